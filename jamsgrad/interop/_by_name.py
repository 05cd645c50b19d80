"""Moments that another library keeps by the names of its parameters, into a tree and back.

Parameters are matched by name, never by position: torch numbers them in the order in which its
optimizer got them, and JAX sorts the keys of a dict.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple

import jax
import numpy as np
from jax.tree_util import KeyPath, keystr, tree_leaves_with_path

from jamsgrad._optimizer.algorithm import ScaleByAmsgradState, scale_by_amsgrad
from jamsgrad._tree import Tree
from jamsgrad.interop import _states


class Library(NamedTuple):
    """A library that keeps moments by name: what errors call it, and its keys of the moments."""

    name: str
    source: str  # the argument in which its state is given
    names: str  # the code that gives the names of its parameters
    moments: dict[str, str]  # its keys of m, v and vhat
    of_complex: str  # how its v of a complex parameter differs from ours

    def check_names(self, names: Iterable[str], n_parameters: int) -> list[str]:
        """The names as a list, or an error unless they name this many parameters."""
        names = list(names)
        if not all(isinstance(name, str) for name in names):
            kinds = sorted({type(name).__name__ for name in names})
            raise ValueError(f"names must be strings, as in {self.names}, got {kinds}")
        if len({*names}) != len(names):
            raise ValueError(f"names must differ, got {names}")
        if len(names) != n_parameters:
            raise ValueError(
                f"names has {len(names)} names, {self.source} has {n_parameters} parameters"
            )
        return names

    def into_state(
        self,
        like: Tree,
        moments: Mapping[str, Mapping[str, Any]],
        to_params: Callable[[dict[str, np.ndarray]], Tree] | None,
        count: int,
        b1: float,
        b2: float,
    ) -> Tree:
        """The state after `count` steps, from the library's arrays of m, v and vhat by name.

        `like` is the parameters, or the state of an optimizer in which the moments are replaced.
        """

        def leaves(field: str) -> dict[str, Any]:
            arrays = {name: to_numpy(x) for name, x in moments[field].items()}
            try:
                return named_leaves(arrays if to_params is None else to_params(arrays))
            except KeyError as error:
                raise ValueError(
                    f"to_params asks for {error}, {self.source} has {[*arrays]}"
                ) from error

        named = {field: leaves(field) for field in self.moments}
        state = like if _states.states_of(ScaleByAmsgradState, like) else _new_state(like)
        olds = _states.states_of(ScaleByAmsgradState, state)
        shapes = {name: x.shape for old in olds for name, x in named_leaves(old.v).items()}
        for field, arrays in named.items():
            self._check_same_names({*arrays}, {*shapes}, "to_params")
            for name, x in arrays.items():
                self._check_moment(field, name, x, shapes[name], "to_params")

        def fill(old: ScaleByAmsgradState) -> ScaleByAmsgradState:
            treedef, own = jax.tree.structure(old.v), named_leaves(old.v)
            new = {field: treedef.unflatten([xs[k] for k in own]) for field, xs in named.items()}
            return _states.like_old(old, count, b1, b2, **new)

        state = _states.replace_states(ScaleByAmsgradState, state, fill)
        return _states.set_schedules(state, count)

    def moment_of(
        self,
        states: list[ScaleByAmsgradState],
        field: str,
        from_params: Callable[[Tree], Mapping[str, Any]] | None,
        shapes: Mapping[str, tuple[int, ...] | None],
        optional: Iterable[str] = (),
    ) -> dict[str, Any]:
        """The arrays of one moment by the library's names.

        `shapes` has those names, and the shapes of the parameters where the library knows them.
        The states need not have the `optional` ones.
        """
        arrays: dict[str, Any] = {}
        for state in states:
            tree = jax.tree.map(to_numpy, getattr(state, field))
            arrays |= named_leaves(tree if from_params is None else from_params(tree))
        needed = {*shapes} - ({*optional} - {*arrays})
        self._check_same_names(needed, {*arrays}, "from_params")
        for name, x in arrays.items():
            self._check_moment(field, name, x, shapes[name], "from_params")
        return arrays

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

    def _check_same_names(self, theirs: set[str], ours: set[str], function: str) -> None:
        """Raise unless both sides have moments of the same parameters."""
        wrong: list[str] = []
        if missing := theirs - ours:
            wrong.append(f"{self.name} has {_few(missing)}, not found here")
        if extra := ours - theirs:
            wrong.append(f"here is {_few(extra)}, which {self.name} does not have or never updated")
        if wrong:
            raise ValueError(
                f"{'; '.join(wrong)}. Tell {self.name}'s names by names={self.names}, or convert "
                f"its arrays by {function}"
            )

    def _check_moment(
        self, field: str, name: str, x: Any, shape: tuple[int, ...] | None, function: str
    ) -> None:
        """Raise unless a moment is real and has the shape of its parameter, if that is known."""
        what = f"{field} ({self.moments[field]}) of {name!r}"
        if np.iscomplexobj(x):
            raise TypeError(f"{what} is complex: {self.of_complex}")
        if shape is not None and np.shape(x) != shape:
            hint = f": should {function} transpose it?" if np.shape(x) == shape[::-1] else ""
            raise ValueError(f"{what} has shape {np.shape(x)}, expected {shape}{hint}")


def named_leaves(tree: Tree) -> dict[str, Any]:
    """The leaves of a tree by their names: the parts of their paths, joined by dots."""

    def is_empty(node: Tree) -> bool:
        return jax.tree.structure(node).num_leaves == 0

    # An empty node (None, masked) has no leaf, but counts as a child of its parent.
    nodes = tree_leaves_with_path(tree, is_leaf=is_empty)
    inner = {path[:i] for path, _ in nodes for i in range(1, len(path) + 1)}
    n_children = Counter(path[:-1] for path in inner)
    paths = [(_strip_nnx_value(path, n_children), x) for path, x in nodes if not is_empty(x)]
    named = [(keystr(path, simple=True, separator="."), x) for path, x in paths]
    counts = Counter(name for name, _ in named)
    if twice := {name for name, count in counts.items() if count > 1}:
        raise ValueError(
            f"more than one leaf has the name {_few(twice)}, which is its path joined by dots"
        )
    return dict(named)


def _strip_nnx_value(path: KeyPath, n_children: Mapping[KeyPath, int]) -> KeyPath:
    """The path of a variable of Flax NNX, in place of the path of the array in it.

    A variable has one child, `value`. A `value` with siblings is a parameter, as in attention.
    """
    is_value = bool(path) and getattr(path[-1], "name", None) == "value"
    return path[:-1] if is_value and n_children[path[:-1]] == 1 else path


def to_numpy(x: Any) -> np.ndarray:
    """A copy in NumPy of an array or a tensor; 16-bit numbers become float32."""
    if hasattr(x, "cpu"):  # a tensor, on any device; NumPy has no dtype for torch's bfloat16
        x = x.detach().cpu()
        x = x.float() if str(x.dtype) == "torch.bfloat16" else x
    x = np.asarray(x).copy()  # torch steps in place, and jax.device_put shares memory
    return x.astype(np.float32) if x.dtype.itemsize == 2 else x


def _new_state(params: Tree) -> Any:
    """The state of an optimizer that has taken no step."""
    try:
        return scale_by_amsgrad().init(params)
    except TypeError as error:
        raise TypeError(
            "like must be the parameters or the state of an AMSGrad optimizer, "
            f"optimizer.init(params), got {type(params).__name__}: {error}"
        ) from error


def _few(names: set[str]) -> str:
    more = f" and {len(names) - 5} more" if len(names) > 5 else ""
    return ", ".join(map(repr, sorted(names)[:5])) + more
