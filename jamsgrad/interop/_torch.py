"""The state of torch's Adam and AdamW, from and to its state dict."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np

from jamsgrad._optimizer.algorithm import ScaleByAmsgradState
from jamsgrad._tree import Tree
from jamsgrad.interop import _state_dict, _states
from jamsgrad.interop._state_dict import TORCH


def from_torch(
    state_dict: Mapping[str, Any],
    like: Tree,
    *,
    names: Iterable[str] | None = None,
    to_params: Callable[[dict[str, np.ndarray]], Tree] | None = None,
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

    Returns:
      A `ScaleByAmsgradState` if `like` is the parameters; else `like` with every AMSGrad state in
      it replaced, and with the counts of its schedules set to t. Nothing shares memory with torch.

    Raises:
      ValueError: if the state does not fit; the message names the parameter and the error.
      TypeError: if `like` is neither the parameters nor the state of an AMSGrad optimizer, or if a
        parameter is complex, because torch keeps one v of its real and one of its imaginary part.

    Example:
      A layer that keeps its weight transposed, as Flax does:

      >>> import jax.numpy as jnp
      >>> import numpy as np
      >>> import jamsgrad
      >>> from jamsgrad import interop
      >>> moment = np.array([[1.0, 2.0, 3.0]])
      >>> state_dict = {  # as torch's Adam(model.parameters(), amsgrad=True).state_dict() gives it
      ...     "state": {0: {"step": 7, "exp_avg": moment, "exp_avg_sq": moment**2,
      ...                   "max_exp_avg_sq": moment**2}},
      ...     "param_groups": [{"params": [0], "betas": (0.9, 0.999)}]}
      >>> def to_params(torch):
      ...     return {"kernel": jnp.array(torch["weight"].T)}
      >>> params = to_params({"weight": np.zeros((1, 3))})
      >>> optimizer = jamsgrad.amsgrad(1e-3, convention="pytorch")
      >>> state = interop.from_torch(
      ...     state_dict, optimizer.init(params), names=["weight"], to_params=to_params)
      >>> print(state[0].count, state[0].m["kernel"].ravel())
      7 [1. 2. 3.]

      `like=params` gives the bare state, which is the first of the optimizer's:

      >>> bare = interop.from_torch(state_dict, params, names=["weight"], to_params=to_params)
      >>> state = (bare, *optimizer.init(params)[1:])

    References:
      torch 2.13.0, `torch.optim.Adam`, `torch.optim.AdamW` and `torch.optim.Optimizer.state_dict`.
    """
    count, moments = _state_dict.moments(state_dict, names)
    b1, b2 = _state_dict.betas(state_dict)
    return TORCH.into_state(like, moments, to_params, count, b1, b2)


def to_torch(
    state: Tree,
    state_dict: Mapping[str, Any],
    tensor: Callable[[np.ndarray], Any],
    *,
    names: Iterable[str] | None = None,
    from_params: Callable[[Tree], Mapping[str, Any]] | None = None,
) -> dict[str, Any]:
    r"""Let torch's `Adam(amsgrad=True)` or `AdamW(amsgrad=True)` go on: `from_torch` backwards.

    .. math:: \text{exp\_avg} = m, \quad \text{exp\_avg\_sq} = v, \quad
      \text{max\_exp\_avg\_sq} = \hat v, \quad \text{step} = t

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
      The state dict for `load_state_dict` of the torch optimizer. Moments in bfloat16 become
      float32; nothing shares memory with `state`.

    Raises:
      ValueError: if the state does not fit the state dict; the message names the error.
      TypeError: if a parameter is complex, as in `from_torch`.

    Example:
      >>> import jax.numpy as jnp
      >>> import numpy as np
      >>> import jamsgrad
      >>> from jamsgrad import interop
      >>> state = jamsgrad.amsgrad(1e-3, convention="pytorch").init({"weight": jnp.ones(3)})
      >>> new = {"state": {}, "param_groups": [{"params": [0], "betas": (0.9, 0.999)}]}
      >>> state_dict = interop.to_torch(state, new, np.asarray, names=["weight"])
      >>> sorted(state_dict["state"][0])
      ['exp_avg', 'exp_avg_sq', 'max_exp_avg_sq', 'step']

      With torch, for its own `optimizer` of one list of parameters, this is
      `optimizer.load_state_dict(interop.to_torch(state, optimizer.state_dict(), torch.tensor))`.

    References:
      torch 2.13.0, `torch.optim.Optimizer.load_state_dict`.
    """
    ids = _state_dict.numbers(state_dict, names)
    b1, b2 = _state_dict.betas(state_dict)
    if any(not group.get("amsgrad", True) for group in state_dict["param_groups"]):
        raise ValueError("state_dict is of an optimizer with amsgrad=False, which has no maximum")
    states = _states.require_states(ScaleByAmsgradState, state)
    count = TORCH.steps_of(states, b1, b2)
    entries = state_dict["state"]
    never_updated = [name for name, i in ids.items() if entries and i not in entries]
    new: dict[str, dict[str, Any]] = {}
    for field, key in TORCH.moments.items():
        old = {name: entries.get(i, {}).get(key) for name, i in ids.items()}
        shapes = {name: None if x is None else tuple(np.shape(x)) for name, x in old.items()}
        arrays = TORCH.moment_of(states, field, from_params, shapes, never_updated)
        for name, x in arrays.items():
            new.setdefault(name, {})[key] = tensor(np.array(x))
    return {
        "state": {
            i: {"step": tensor(np.array(count, np.float32)), **new[name]}
            for name, i in ids.items()
            if name in new
        },
        "param_groups": [dict(group) for group in state_dict["param_groups"]],
    }
