"""The state of torch's Adam and AdamW, from and to its state dict, which is read without torch."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Literal

import jax
import numpy as np

from jamsgrad import _check
from jamsgrad._optimizer.algorithm import ScaleByAmsgradState
from jamsgrad._tree import Tree
from jamsgrad.interop import _states
from jamsgrad.interop._by_name import Library, to_numpy

_TORCH = Library(
    name="torch",
    source="state_dict",
    names="dict(model.named_parameters())",
    moments={"m": "exp_avg", "v": "exp_avg_sq", "vhat": "max_exp_avg_sq"},
    convention="pytorch",
    of_complex="torch keeps v of both parts of a number, as does convention='pytorch'",
)


def from_torch(
    state_dict: Mapping[str, Any],
    like: Tree,
    *,
    names: Iterable[str] | None = None,
    to_params: Callable[[dict[str, np.ndarray]], Tree] | None = None,
    missing_max: Literal["exp_avg_sq"] | None = None,
) -> Tree:
    r"""Go on from the state of torch's `Adam(amsgrad=True)` or `AdamW(amsgrad=True)`.

    .. math::
      m &= \text{exp\_avg}, & v &= \text{exp\_avg\_sq}, & \hat v &= \text{max\_exp\_avg\_sq}, \\
      t &= \text{step}, & c_1 &= 1 - \beta_1^t, & c_2 &= 1 - \beta_2^t

    The optimizer that goes on needs `convention="pytorch"` and torch's own hyperparameters.

    Tensors and leaves are matched by name, not by order: JAX sorts the keys of a dict, torch does
    not. The name of a leaf is its path joined by dots: "0.weight" in `{"0.weight": ...}`,
    "layers.0.weight" in nested dicts or in an Equinox module, "0" in a list.

    Args:
      state_dict: the result of the torch optimizer's `state_dict()`. Several parameter groups are
        fine if their betas agree.
      like: the parameters; or the state of the optimizer that goes on, `optimizer.init(params)`.
        The moments then take the dtypes and the shardings of that state.
      names: torch's names of the parameters, in the order in which torch's optimizer got them:
        `dict(model.named_parameters())` if it got `model.parameters()`. None takes the names in the
        state dict, which are there if torch's optimizer got `model.named_parameters()`, and else
        the numbers "0", "1", ...
      to_params: from a dict of arrays with these names to a tree like the parameters: the function
        that converts torch's weights, with its transpositions. It is called once for each moment,
        and must not compute with the numbers. None leaves the dict as it is.
      missing_max: "exp_avg_sq" starts the maximum at exp_avg_sq where the state has none, because
        it was trained with `amsgrad=False`; None refuses such a state.

    Returns:
      A `ScaleByAmsgradState` if `like` is the parameters; else `like` with every AMSGrad state in
      it replaced, and with the counts of its schedules set to t. Nothing shares memory with torch.

    Raises:
      ValueError: if the state does not fit; the message names the parameter and the error.
      TypeError: if `like` is neither the parameters nor the state of an AMSGrad optimizer, or if a
        parameter is complex and `like` is the state of another convention than "pytorch".

    Example:
      A layer that keeps its weight transposed, as Flax does:

      >>> import jax.numpy as jnp
      >>> from jamsgrad import amsgrad, interop
      >>> moment = jnp.array([[1.0, 2.0, 3.0]])
      >>> state_dict = {  # as torch's Adam(model.parameters(), amsgrad=True).state_dict() gives it
      ...     "state": {0: {"step": 7, "exp_avg": moment, "exp_avg_sq": moment**2,
      ...                   "max_exp_avg_sq": moment**2}},
      ...     "param_groups": [{"params": [0], "betas": (0.9, 0.999)}]}
      >>> def to_params(torch):
      ...     return {"kernel": jnp.array(torch["weight"].T)}
      >>> params = to_params({"weight": jnp.zeros((1, 3))})
      >>> like = amsgrad(1e-3, convention="pytorch").init(params)
      >>> state = interop.from_torch(state_dict, like, names=["weight"], to_params=to_params)
      >>> print(state[0].count, state[0].m["kernel"].ravel())
      7 [1. 2. 3.]

    References:
      torch 2.13.0, `torch.optim.Adam`, `torch.optim.AdamW` and `torch.optim.Optimizer.state_dict`.
    """
    ids, states = _numbers(state_dict, names), state_dict["state"]
    entries = {name: states[i] for name, i in ids.items() if i in states}
    if missing_max is not None:
        _check.one_of("missing_max", missing_max, ("exp_avg_sq",), or_else="None")
        entries = {name: _with_max(entry, missing_max) for name, entry in entries.items()}
    count = _steps(entries)
    return _TORCH.into_state(like, entries, to_params, count, *_betas(state_dict))


def to_torch(
    state: Tree,
    state_dict: Mapping[str, Any],
    tensor: Callable[[np.ndarray], Any],
    *,
    names: Iterable[str] | None = None,
    from_params: Callable[[Tree], Mapping[str, Any]] | None = None,
) -> dict[str, Any]:
    """Let torch's `Adam(amsgrad=True)` or `AdamW(amsgrad=True)` go on: `from_torch` backwards.

    Torch goes on with the same numbers only from a state of `convention="pytorch"`. With "optax"
    vhat is the maximum of v / c2 instead.

    Args:
      state: a `ScaleByAmsgradState`, or the state of an optimizer with one or more in it.
      state_dict: `state_dict()` of the torch optimizer that goes on, new or used. Its parameter
        groups, and so its hyperparameters, are kept. Parameters that a used one never updated, such
        as frozen ones, may be missing in `state`.
      tensor: from a NumPy array to a tensor: `torch.tensor`. Torch loads nothing but tensors.
      names: torch's names of the parameters, as in `from_torch`.
      from_params: from a tree like the parameters to a mapping of arrays with these names: the
        inverse of `to_params`. None leaves the tree as it is.

    Returns:
      The state dict for `load_state_dict` of the torch optimizer (torch 2.13.0). Moments in
      bfloat16 become float32; nothing shares memory with `state`.

    Raises:
      ValueError: if the state does not fit the state dict; the message names the error.
      TypeError: if a parameter is complex and the state is of another convention than "pytorch".

    Example:
      >>> import jax.numpy as jnp
      >>> import numpy as np
      >>> from jamsgrad import amsgrad, interop
      >>> state = amsgrad(1e-3, convention="pytorch").init({"weight": jnp.ones(3)})
      >>> new = {"state": {}, "param_groups": [{"params": [0], "betas": (0.9, 0.999)}]}
      >>> state_dict = interop.to_torch(state, new, np.asarray, names=["weight"])
      >>> sorted(state_dict["state"][0])
      ['exp_avg', 'exp_avg_sq', 'max_exp_avg_sq', 'step']
    """
    ids = _numbers(state_dict, names)
    b1, b2 = _betas(state_dict)
    groups, old = state_dict["param_groups"], state_dict["state"]
    if any(not group.get("amsgrad", True) for group in groups):
        raise ValueError("state_dict is of an optimizer with amsgrad=False, which has no maximum")
    states = _states.states_of(ScaleByAmsgradState, state)
    count = _TORCH.steps_of(states, b1, b2)
    new = _TORCH.entries_of(states, {name: old.get(i, {}) for name, i in ids.items()}, from_params)
    arrays = {i: {"step": np.float32(count), **new[name]} for name, i in ids.items() if name in new}
    return {
        "state": jax.tree.map(lambda x: tensor(np.array(x)), arrays),
        "param_groups": [dict(group) for group in groups],
    }


def _numbers(state_dict: Any, names: Iterable[str] | None) -> dict[str, int]:
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
    return dict(zip(_TORCH.checked_names(names, len(ids)), ids, strict=True))


def _betas(state_dict: Mapping[str, Any]) -> tuple[float, float]:
    """(b1, b2), the same in all parameter groups."""
    groups = state_dict["param_groups"]
    if not all("betas" in group for group in groups):
        raise ValueError("state_dict is of another optimizer than Adam: a group has no 'betas'")
    betas = [group["betas"] for group in groups]
    pairs = [(float(to_numpy(b1)), float(to_numpy(b2))) for b1, b2 in betas]
    if len({*pairs}) != 1:
        raise ValueError(f"the parameter groups must have the same betas, got {pairs}")
    return pairs[0]


def _with_max(entry: Mapping[str, Any], v: str) -> Mapping[str, Any]:
    """The state of a parameter in which the maximum, if there is none, is that of now alone."""
    return {_TORCH.moments["vhat"]: entry[v], **entry} if v in entry else entry


def _steps(entries: Mapping[str, Mapping[str, Any]]) -> int:
    """The steps that all parameters have taken, or an error if one lacks a part of its state."""
    if not entries:
        raise ValueError("state_dict holds no state: torch's optimizer has taken no step")
    for name, entry in entries.items():
        for key in ("step", *_TORCH.moments.values()):
            if key not in entry:
                why = (
                    ": it was trained with amsgrad=False; missing_max='exp_avg_sq' takes "
                    "exp_avg_sq as the maximum so far"
                )
                why = why if key == _TORCH.moments["vhat"] else ""
                raise ValueError(f"state_dict has no {key!r} of {name!r}{why}")
    examples = {int(to_numpy(entry["step"])): name for name, entry in entries.items()}
    if len(examples) != 1:
        raise ValueError(
            f"all parameters must have taken the same number of steps, got {examples}: split them "
            "by optax.partition, and call from_torch for each part, with its part of the state dict"
        )
    return _check.integer("step", next(iter(examples)), 0)
