"""What a state dict of torch's Adam says, read without torch and refused if it does not fit.

A parameter is known by its name on both sides: torch numbers its parameters in an order of its own,
and JAX sorts the keys of a dict.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import jax
import numpy as np

from jamsgrad import _check

MOMENTS = {"m": "exp_avg", "v": "exp_avg_sq", "vhat": "max_exp_avg_sq"}


def parameters(state_dict: Any, names: Iterable[str] | None) -> dict[str, Any]:
    """Torch's number of each parameter, by its name."""
    if not isinstance(state_dict, Mapping) or not {"state", "param_groups"} <= state_dict.keys():
        got = list(state_dict) if isinstance(state_dict, Mapping) else type(state_dict).__name__
        raise ValueError(
            "state_dict must have 'state' and 'param_groups', as state_dict() of a torch optimizer "
            f"gives it, got {got}"
        )
    groups = state_dict["param_groups"]
    ids = [i for group in groups for i in group["params"]]
    if names is None:
        names = [n for group in groups for n in group.get("param_names", map(str, group["params"]))]
    names = list(names)
    if not all(isinstance(name, str) for name in names):
        raise ValueError(
            "names must be strings, as in dict(model.named_parameters()), got "
            f"{sorted({type(name).__name__ for name in names})}"
        )
    if len({*names}) != len(names):
        raise ValueError(f"names must differ, got {names}")
    if len(names) != len(ids):
        raise ValueError(f"names has {len(names)} names, state_dict has {len(ids)} parameters")
    return dict(zip(names, ids, strict=True))


def betas(state_dict: Mapping[str, Any]) -> tuple[float, float]:
    """(b1, b2), the same in all parameter groups."""
    groups = state_dict["param_groups"]
    if not all("betas" in group for group in groups):
        raise ValueError("state_dict is of another optimizer than Adam: a group has no 'betas'")
    pairs = [tuple(float(to_numpy(b)) for b in group["betas"]) for group in groups]
    if len({*pairs}) != 1:
        raise ValueError(f"the parameter groups must have the same betas, got {pairs}")
    b1, b2 = pairs[0]
    return b1, b2


def moments(
    state_dict: Mapping[str, Any], names: Iterable[str] | None, to_params: Callable | None
) -> tuple[int, dict[str, dict[str, Any]]]:
    """The steps taken, and each moment: its arrays by the names of the leaves that they become."""
    ids, states = parameters(state_dict, names), state_dict["state"]
    entries = {name: states[i] for name, i in ids.items() if i in states}
    if not entries:
        raise ValueError("state_dict holds no state: torch's optimizer has taken no step")
    for name, entry in entries.items():
        for key in ("step", *MOMENTS.values()):
            if key not in entry:
                why = ": it was trained with amsgrad=False" if key == MOMENTS["vhat"] else ""
                raise ValueError(f"state_dict has no {key!r} of {name!r}{why}")
    steps = {name: int(to_numpy(entry["step"])) for name, entry in entries.items()}
    if len({*steps.values()}) != 1:
        examples = {step: name for name, step in steps.items()}
        raise ValueError(f"all parameters must have taken the same number of steps, got {examples}")
    count = _check.integer("step", next(iter(steps.values())), 0)

    def moment(key: str) -> dict[str, Any]:
        arrays = {name: to_numpy(entry[key]) for name, entry in entries.items()}
        try:
            return leaves(arrays if to_params is None else to_params(arrays))
        except KeyError as error:
            raise ValueError(f"to_params asks for {error}, state_dict has {[*arrays]}") from error

    return count, {field: moment(key) for field, key in MOMENTS.items()}


def leaves(tree: Any) -> dict[str, Any]:
    """The leaves of a tree by the names of their paths."""

    def empty(node: Any) -> bool:
        return jax.tree.structure(node).num_leaves == 0

    # What is None or masked has no leaf, but is a child like the others.
    nodes = jax.tree_util.tree_leaves_with_path(tree, is_leaf=empty)
    inner = {path[:i] for path, _ in nodes for i in range(1, len(path) + 1)}
    n_children = Counter(path[:-1] for path in inner)

    def name(path: Any) -> str:
        # A variable of Flax NNX has `value` alone; beside others it is a parameter's own name.
        if path and getattr(path[-1], "name", None) == "value" and n_children[path[:-1]] == 1:
            path = path[:-1]
        return jax.tree_util.keystr(path, simple=True, separator=".")

    named = [(name(path), x) for path, x in nodes if not empty(x)]
    counts = Counter(key for key, _ in named)
    if twice := {key for key, count in counts.items() if count > 1}:
        raise ValueError(
            f"more than one leaf has the name {_few(twice)}, which is its path joined by dots"
        )
    return dict(named)


def same_names(
    torch: Iterable[str], ours: Iterable[str], function: str, optional: Iterable[str] = ()
) -> None:
    """Raise unless torch and we have state of the same parameters, but for the optional ones."""
    torch, ours = {*torch}, {*ours}
    wrong = []
    if missing := torch - ours - {*optional}:
        wrong.append(f"torch has {_few(missing)}, not found here")
    if ours - torch:
        wrong.append(f"here is {_few(ours - torch)}, which torch does not have or never updated")
    if wrong:
        raise ValueError(
            f"{'; '.join(wrong)}. Tell torch's names by names=dict(model.named_parameters()), or "
            f"convert its arrays by {function}"
        )


def _few(names: set[str]) -> str:
    more = f" and {len(names) - 5} more" if len(names) > 5 else ""
    return ", ".join(map(repr, sorted(names)[:5])) + more


def fits(field: str, name: str, x: Any, shape: tuple[int, ...], function: str) -> None:
    """Raise unless the moment `x` of a parameter is real and has its shape."""
    what = f"{field} ({MOMENTS[field]}) of {name!r}"
    if np.iscomplexobj(x):
        raise TypeError(
            f"{what} is complex: torch keeps v of the real and of the imaginary part, jamsgrad v "
            "of the magnitude"
        )
    if np.shape(x) != shape:
        hint = f": should {function} transpose it?" if np.shape(x) == shape[::-1] else ""
        raise ValueError(f"{what} has shape {np.shape(x)}, expected {shape}{hint}")


def to_numpy(x: Any) -> np.ndarray:
    """A copy in NumPy of an array or a tensor, float32 at least if it is floating."""
    if hasattr(x, "cpu"):  # a tensor, on any device; NumPy knows nothing of torch's bfloat16
        x = x.detach().cpu()
        x = x.float() if str(x.dtype) == "torch.bfloat16" else x
    x = np.asarray(x).copy()  # torch steps in place, jax.device_put shares memory
    return x.astype(np.float32) if x.dtype.itemsize == 2 else x  # float16 and JAX's bfloat16
