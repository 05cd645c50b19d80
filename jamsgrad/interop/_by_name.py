"""Moments that another library keeps by the names of its parameters, into a tree and back."""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.tree_util import KeyPath, keystr, tree_leaves_with_path

from jamsgrad._optimizer.algorithm import ConventionName, ScaleByAmsgradState, scale_by_amsgrad
from jamsgrad._tree import Tree
from jamsgrad.interop import _states


class Library(NamedTuple):
    """A library that keeps moments by name: what errors call it, and its keys of the moments."""

    name: str
    source: str  # the argument in which its state is given
    names: str  # the code that gives the names of its parameters
    moments: dict[str, str]  # its keys of m, v and vhat
    convention: ConventionName
    of_complex: str  # what an error says of its v of a complex parameter

    def checked_names(self, names: Iterable[str], n: int) -> list[str]:
        """The names of all n parameters, or an error."""
        names = list(names)
        if not all(isinstance(name, str) for name in names):
            kinds = sorted({type(name).__name__ for name in names})
            raise ValueError(f"names must be strings, as in {self.names}, got {kinds}")
        if len({*names}) != len(names):
            raise ValueError(f"names must differ, got {names}")
        if len(names) != n:
            raise ValueError(f"names has {len(names)} names, {self.source} has {n} parameters")
        return names

    def into_state(
        self,
        like: Tree,
        entries: Mapping[str, Mapping[str, Any]],
        to_params: Callable[[dict[str, np.ndarray]], Tree] | None,
        count: int,
        b1: float,
        b2: float,
    ) -> Tree:
        """The state after `count` steps, from the library's arrays by parameter and by key.

        `like` is the parameters, or the state of an optimizer in which the moments are replaced.
        """
        named: dict[str, dict[str, Any]] = {}
        for field, key in self.moments.items():
            arrays = {name: to_numpy(entry[key]) for name, entry in entries.items()}
            try:
                named[field] = named_leaves(to_params(arrays) if to_params else arrays)
            except KeyError as error:
                raise ValueError(
                    f"to_params asks for {error}, {self.source} has {[*arrays]}"
                ) from error
        if not (olds := _states.states_of(ScaleByAmsgradState, like, needed=False)):
            try:
                like = scale_by_amsgrad(convention=self.convention).init(like)
            except TypeError as error:
                raise TypeError(
                    "like must be the parameters or the state of an AMSGrad optimizer, "
                    f"optimizer.init(params), got {type(like).__name__}: {error}"
                ) from error
            olds = [like]
        own = {name: x for old in olds for name, x in named_leaves(old.v).items()}
        for field, arrays in named.items():
            self._check_names({*arrays} - {*own}, {*own} - {*arrays}, "to_params")
            self._check_arrays(field, arrays, own, own, "to_params")

        def fill(old: ScaleByAmsgradState) -> ScaleByAmsgradState:
            treedef, own = jax.tree.structure(old.v), named_leaves(old.v)
            new = {field: treedef.unflatten([xs[k] for k in own]) for field, xs in named.items()}
            return _states.like_old(old, count, b1, b2, **new)

        state = _states.replace_states(ScaleByAmsgradState, like, fill)
        return _states.set_schedules(state, count)

    def entries_of(
        self,
        states: list[ScaleByAmsgradState],
        old: Mapping[str, Mapping[str, Any]],
        from_params: Callable[[Tree], Mapping[str, Any]] | None,
    ) -> dict[str, dict[str, np.ndarray]]:
        """The moments by the library's names and keys: `into_state` backwards.

        `old` has what the library keeps of each parameter. The states may lack those of which it
        keeps nothing, unless it keeps nothing at all.
        """
        needed = {name for name, entry in old.items() if entry} or {*old}
        named: dict[str, dict[str, Any]] = {}
        for field in self.moments:
            named[field] = {}
            for state in states:
                tree = jax.tree.map(to_numpy, getattr(state, field))
                named[field] |= named_leaves(from_params(tree) if from_params else tree)
        for field, key in self.moments.items():
            arrays = named[field]
            self._check_names(needed - {*arrays}, {*arrays} - {*old}, "from_params")
            known = {name: x[key] for name, x in old.items() if key in x}
            self._check_arrays(field, arrays, known, named["v"], "from_params")
        return {n: {key: named[f][n] for f, key in self.moments.items()} for n in named["v"]}

    def steps_of(self, states: list[ScaleByAmsgradState], b1: float, b2: float) -> int:
        """The steps that all states have taken with b1 and b2, or an error if that is not so."""
        count, *others = (np.asarray(state.count).tolist() for state in states)
        if any(other != count for other in others) or isinstance(count, list):
            raise ValueError(
                f"state must have taken one number of steps, {self.name}'s step, got "
                f"{[count, *others]}"
            )
        for name, b, weight in (("b1", b1, states[0].m_weight), ("b2", b2, states[0].v_weight)):
            expected = _states.sum_of_weights(name, b, count)
            # Float32 rounds b by up to 2**-25: the carried weight is off by 3 % at b = 0.999999.
            if not np.isclose(float(weight), expected, rtol=0.05):
                raise ValueError(
                    f"state was made with another {name} than that of {self.source}, {b:g}: the "
                    f"weights in its moments sum to {float(weight):g}, not to "
                    f"1 - {name}**{count} = {expected:g}"
                )
        return count

    def _check_names(self, missing: set[str], extra: set[str], function: str) -> None:
        """Raise if parameters are missing here, or if the library lacks those that are here."""
        wrong: list[str] = []
        if missing:
            wrong.append(f"{self.name} has {_few(missing)}, not found here")
        if extra:
            wrong.append(f"here is {_few(extra)}, which {self.name} does not have or never updated")
        if wrong:
            raise ValueError(
                f"{'; '.join(wrong)}. Tell {self.name}'s names by names={self.names}, or convert "
                f"its arrays by {function}"
            )

    def _check_arrays(
        self,
        field: str,
        arrays: Mapping[str, Any],
        known: Mapping[str, Any],
        v: Mapping[str, Any],
        function: str,
    ) -> None:
        """Raise unless the arrays of a moment have known shapes, and are complex only as our v."""
        for name, x in arrays.items():
            what, shape = f"{field} ({self.moments[field]}) of {name!r}", np.shape(x)
            if np.iscomplexobj(x) and not np.iscomplexobj(v[name]):
                raise TypeError(f"{what} is complex: {self.of_complex}")
            if shape != (expected := np.shape(known.get(name, x))):
                hint = f": should {function} transpose it?" if shape == expected[::-1] else ""
                raise ValueError(f"{what} has shape {shape}, expected {expected}{hint}")


def named_leaves(tree: Tree) -> dict[str, Any]:
    """The leaves of a tree by their names: the parts of their paths, joined by dots."""
    # An empty node (None, masked) has no leaf, but counts as a child of its parent.
    nodes = tree_leaves_with_path(tree, is_leaf=lambda node: not jax.tree.leaves(node))
    inner = {path[:i] for path, _ in nodes for i in range(1, len(path) + 1)}
    n_children = Counter(path[:-1] for path in inner)

    def name(path: KeyPath) -> str:
        # A variable of Flax NNX has one child, `value`, and the name of the variable is meant. A
        # `value` with siblings is a parameter, as in attention.
        if path and getattr(path[-1], "name", None) == "value" and n_children[path[:-1]] == 1:
            path = path[:-1]
        return keystr(path, simple=True, separator=".")

    named = [(name(path), x) for path, x in tree_leaves_with_path(tree)]
    counts = Counter(name for name, _ in named)
    if twice := {name for name, count in counts.items() if count > 1}:
        raise ValueError(
            f"more than one leaf has the name {_few(twice)}, which is its path joined by dots"
        )
    return dict(named)


def to_numpy(x: Any) -> np.ndarray:
    """A copy in NumPy of an array or a tensor; 16-bit numbers become float32."""
    if hasattr(x, "cpu"):  # a tensor, on any device; NumPy has no dtype for torch's bfloat16
        x = x.detach().cpu()
        x = x.float() if str(x.dtype) == "torch.bfloat16" else x
    x = np.asarray(x).copy()  # torch steps in place, and jax.device_put shares memory
    x = x.view(jnp.bfloat16) if x.dtype == "V2" else x  # as Keras writes it to a file
    return x.astype(np.float32) if x.dtype.itemsize == 2 else x


def _few(names: set[str]) -> str:
    more = f" and {len(names) - 5} more" if len(names) > 5 else ""
    return ", ".join(map(repr, sorted(names)[:5])) + more
