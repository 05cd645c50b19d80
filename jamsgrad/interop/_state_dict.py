"""The state dict of torch's Adam: read without torch, and refused if it does not fit."""

from collections.abc import Iterable, Mapping
from typing import Any

from jamsgrad import _check
from jamsgrad.interop._by_name import Library, to_numpy

TORCH = Library(
    name="torch",
    source="state_dict",
    names="dict(model.named_parameters())",
    moments={"m": "exp_avg", "v": "exp_avg_sq", "vhat": "max_exp_avg_sq"},
    of_complex="torch keeps v of the real and of the imaginary part, jamsgrad v of the magnitude",
)


def numbers(state_dict: Any, names: Iterable[str] | None) -> dict[str, int]:
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
    return dict(zip(TORCH.check_names(names, len(ids)), ids, strict=True))


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
    state_dict: Mapping[str, Any], names: Iterable[str] | None
) -> tuple[int, dict[str, dict[str, Any]]]:
    """The steps taken, and the tensors of each moment by the names of the parameters."""
    ids, states = numbers(state_dict, names), state_dict["state"]
    entries = {name: states[i] for name, i in ids.items() if i in states}
    if not entries:
        raise ValueError("state_dict holds no state: torch's optimizer has taken no step")
    for name, entry in entries.items():
        for key in ("step", *TORCH.moments.values()):
            if key not in entry:
                why = ": it was trained with amsgrad=False" if key == TORCH.moments["vhat"] else ""
                raise ValueError(f"state_dict has no {key!r} of {name!r}{why}")
    steps = {name: int(to_numpy(entry["step"])) for name, entry in entries.items()}
    if len({*steps.values()}) != 1:
        examples = {step: name for name, step in steps.items()}
        raise ValueError(f"all parameters must have taken the same number of steps, got {examples}")
    count = _check.integer("step", next(iter(steps.values())), 0)
    return count, {
        field: {name: entry[key] for name, entry in entries.items()}
        for field, key in TORCH.moments.items()
    }
