"""Optimizer state from and to PyTorch and optax: a run goes on where the other library left it.

Torch is never imported: a state dict is a mapping of arrays, or of tensors that NumPy can read.
"""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from jamsgrad import _check
from jamsgrad._optimizer import rounding as _precision
from jamsgrad._optimizer.algorithm import ScaleByAmsgradState, scale_by_amsgrad
from jamsgrad._optimizer.rounding import MomentDtypes
from jamsgrad.interop import _state_dict as _torch_state


def from_torch(
    state_dict: Mapping[str, Any],
    like: Any,
    *,
    names: Iterable[str] | None = None,
    to_params: Callable[[dict[str, np.ndarray]], Any] | None = None,
) -> Any:
    r"""Go on from the state of torch's `Adam(amsgrad=True)` or `AdamW(amsgrad=True)`.

    .. math::
      m &= \text{exp\_avg}, & v &= \text{exp\_avg\_sq}, & \hat v &= \text{max\_exp\_avg\_sq}, \\
      t &= \text{step}, & c_1 &= 1 - \beta_1^t, & c_2 &= 1 - \beta_2^t

    The optimizer that goes on needs `convention="pytorch"` and torch's own hyperparameters.

    Which tensor belongs to which leaf is told by names, not by order: JAX sorts the keys of a dict,
    torch does not. The name of a leaf is its path joined by dots: "0.weight" in
    `{"0.weight": ...}`, "layers.0.weight" in nested dicts or in an Equinox module, "0" in a list.

    Args:
      state_dict: what `state_dict()` of the torch optimizer gave. Several parameter groups are fine
        if their betas agree.
      like: the parameters; or the state of the optimizer that goes on, `optimizer.init(params)`,
        in whose dtypes and shardings the moments then come.
      names: torch's names of the parameters, in the order in which torch's optimizer got them:
        `dict(model.named_parameters())` if it got `model.parameters()`. None takes the names in the
        state dict, which has them if torch's optimizer got `model.named_parameters()`; if not,
        these are the numbers "0", "1", ...
      to_params: from a dict of arrays with these names to a tree like the parameters: the function
        that makes parameters of torch's weights, transposing what is transposed. It is called for
        each moment, and must only move numbers. None leaves the dict as it is.

    Returns:
      A `ScaleByAmsgradState` if `like` is the parameters; else `like` with every AMSGrad state in
      it replaced, and with the counts of its schedules set to t. Nothing shares memory with torch.

    Raises:
      ValueError: if the state does not fit; the message names the parameter and what is wrong.
      TypeError: if `like` is neither the parameters nor the state of an AMSGrad optimizer; if a
        parameter is complex: torch keeps a v of its real and one of its imaginary part.

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
    count, moments = _torch_state.moments(state_dict, names, to_params)
    b1, b2 = _torch_state.betas(state_dict)
    state = like if _all(ScaleByAmsgradState, like) else _new(like)
    leaves = [_torch_state.leaves(old.v) for old in _all(ScaleByAmsgradState, state)]
    shapes = {name: x.shape for named in leaves for name, x in named.items()}
    for field, arrays in moments.items():
        _torch_state.same_names(arrays, shapes, "to_params")
        for name, x in arrays.items():
            _torch_state.fits(field, name, x, shapes[name], "to_params")

    def fill(old: ScaleByAmsgradState) -> ScaleByAmsgradState:
        treedef, own = jax.tree.structure(old.v), _torch_state.leaves(old.v)
        new = {f: treedef.unflatten([xs[name] for name in own]) for f, xs in moments.items()}
        return _filled(old, count, b1, b2, **new)

    return _set_schedules(_exchange(ScaleByAmsgradState, fill, state), count)


def to_torch(
    state: Any,
    state_dict: Mapping[str, Any],
    tensor: Callable[[np.ndarray], Any],
    *,
    names: Iterable[str] | None = None,
    from_params: Callable[[Any], Mapping[str, Any]] | None = None,
) -> dict[str, Any]:
    r"""Let torch's `Adam(amsgrad=True)` or `AdamW(amsgrad=True)` go on: `from_torch` backwards.

    .. math:: \text{exp\_avg} = m, \quad \text{exp\_avg\_sq} = v, \quad
      \text{max\_exp\_avg\_sq} = \hat v, \quad \text{step} = t

    Only a state of `convention="pytorch"` gives torch's numbers. In one of "optax" the maximum is
    that of v / c2.

    Args:
      state: a `ScaleByAmsgradState`, or the state of an optimizer with one or more in it.
      state_dict: `state_dict()` of the torch optimizer that goes on, new or used. Its parameter
        groups, and so its hyperparameters, are kept. What a used one never updated, such as a
        frozen parameter, may be missing in `state`.
      tensor: what makes a tensor of a NumPy array: `torch.tensor`. Torch loads nothing else.
      names: torch's names of the parameters, as in `from_torch`.
      from_params: from a tree like the parameters to a mapping of arrays with these names: the
        inverse of `to_params`. None leaves the tree as it is.

    Returns:
      The state dict for `load_state_dict` of the torch optimizer. Moments in bfloat16 become
      float32; nothing shares memory with `state`.

    Raises:
      ValueError: if the state does not fit the state dict; the message says what is wrong.

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
    ids = _torch_state.parameters(state_dict, names)
    b1, b2 = _torch_state.betas(state_dict)
    if any(not group.get("amsgrad", True) for group in state_dict["param_groups"]):
        raise ValueError("state_dict is of an optimizer with amsgrad=False, which has no maximum")
    states = _some(ScaleByAmsgradState, state)
    count = _count(states)
    _same_weight("b1", b1, count, states[0].m_weight)
    _same_weight("b2", b2, count, states[0].v_weight)
    old_entries = state_dict["state"]
    never_updated = [name for name, i in ids.items() if old_entries and i not in old_entries]
    moments = {name: {} for name in ids}
    for field, key in _torch_state.MOMENTS.items():
        arrays = {}
        for old in states:
            tree = jax.tree.map(_torch_state.to_numpy, getattr(old, field))
            arrays |= _torch_state.leaves(tree if from_params is None else from_params(tree))
        _torch_state.same_names(ids, arrays, "from_params", optional=never_updated)
        for name, x in arrays.items():
            old = old_entries.get(ids[name], {}).get(key, x)
            _torch_state.fits(field, name, x, tuple(np.shape(old)), "from_params")
            moments[name][key] = tensor(np.array(x))
    return {
        "state": {
            ids[name]: {"step": tensor(np.array(count, np.float32)), **own}
            for name, own in moments.items()
            if own
        },
        "param_groups": [dict(group) for group in state_dict["param_groups"]],
    }


def from_optax(
    state: Any,
    b1: float = 0.9,
    b2: float = 0.999,
    *,
    moment_dtype: str | MomentDtypes | None = None,
) -> Any:
    r"""Go on from the state of `optax.amsgrad`.

    .. math:: m = \text{mu}, \quad v = \text{nu}, \quad \hat v = \text{nu\_max}, \quad
      c_1 = 1 - \beta_1^t, \quad c_2 = 1 - \beta_2^t

    The optimizer that goes on needs `convention="optax"` and optax's own hyperparameters. If optax
    was told not to correct a bias, it needs `Convention(bias_correction_mu, "before_max")`, or
    "never" without `bias_correction_nu`.

    Args:
      state: optax's `ScaleByAmsgradState`, or the state of an optimizer with one or more in it. Not
        inside `jax.jit`.
      b1: decay rate of mu, in [0, 1), which the state does not tell.
      b2: decay rate of nu, likewise.
      moment_dtype: how m, v and vhat are stored, as in `amsgrad`.

    Returns:
      `state` with every AMSGrad state in it replaced: that of `optax.amsgrad(...)` becomes that of
      `amsgrad(...)`, its schedule included.

    Raises:
      ValueError: if there is no AMSGrad state of optax, or b1 or b2 is out of range.

    Example:
      >>> import jax.numpy as jnp
      >>> import optax
      >>> import jamsgrad
      >>> from jamsgrad import interop
      >>> state = interop.from_optax(optax.amsgrad(1e-3).init(jnp.ones(2)))
      >>> optimizer = jamsgrad.amsgrad(1e-3, convention="optax")
      >>> updates, state = optimizer.update(jnp.ones(2), state)

    References:
      optax 0.2.8, `optax.scale_by_amsgrad`.
    """

    def fill(old: Any) -> ScaleByAmsgradState:
        like: Any = scale_by_amsgrad(moment_dtype=moment_dtype).init(old.nu)
        v, vhat = jax.tree.map(jnp.real, (old.nu, old.nu_max))  # of complex parameters complex
        return _filled(like, np.asarray(old.count), b1, b2, m=old.mu, v=v, vhat=vhat)

    return _exchange(optax.ScaleByAmsgradState, fill, state)


def to_optax(state: Any) -> Any:
    r"""Let `optax.amsgrad` go on: `from_optax` backwards.

    .. math:: \text{mu} = m, \quad \text{nu} = v, \quad \text{nu\_max} = \hat v

    Only a state of `convention="optax"` gives the numbers of optax's defaults.

    Args:
      state: a `ScaleByAmsgradState`, or the state of an optimizer with one or more in it.

    Returns:
      `state` with every AMSGrad state in it replaced: that of `amsgrad(...)` becomes that of
      `optax.amsgrad(...)`, its schedule included. Moments in bfloat16 become float32.

    Raises:
      ValueError: if there is no `ScaleByAmsgradState`.

    Example:
      >>> import jax.numpy as jnp
      >>> import jamsgrad
      >>> from jamsgrad import interop
      >>> state = jamsgrad.amsgrad(1e-3, convention="optax").init(jnp.ones(2))
      >>> print(interop.to_optax(state)[0].nu_max)
      [0. 0.]

    References:
      optax 0.2.8, `optax.scale_by_amsgrad`.
    """

    def fill(old: ScaleByAmsgradState) -> optax.ScaleByAmsgradState:
        def wide(m: jax.Array, x: jax.Array) -> jax.Array:
            x = _precision.widen(x, _precision.widest(x))
            return x.astype(m.dtype) if jnp.iscomplexobj(m) else x  # optax keeps a complex nu

        m, v, vhat = (jax.tree.map(wide, old.m, x) for x in (old.m, old.v, old.vhat))
        return optax.ScaleByAmsgradState(count=old.count, mu=m, nu=v, nu_max=vhat)

    return _exchange(ScaleByAmsgradState, fill, state)


def _new(params: Any) -> Any:
    """The state of an optimizer that has taken no step."""
    try:
        return scale_by_amsgrad().init(params)
    except TypeError as error:
        raise TypeError(
            "like must be the parameters or the state of an AMSGrad optimizer, "
            f"optimizer.init(params), got {type(params).__name__}: {error}"
        ) from error


def _all(kind: type, state: Any) -> list[Any]:
    """The states of one kind inside an optimizer's state."""
    parts = jax.tree.leaves(state, is_leaf=lambda x: isinstance(x, kind))
    return [x for x in parts if isinstance(x, kind)]


def _some(kind: type, state: Any) -> list[Any]:
    """Those states, of which there must be one at least."""
    if not (found := _all(kind, state)):
        name = f"{kind.__module__.partition('.')[0]}.{kind.__name__}"
        raise ValueError(f"state must be or hold a {name}, got {type(state).__name__} without one")
    return found


def _exchange(kind: type, fill: Callable[[Any], Any], state: Any) -> Any:
    """`state` with those of one kind in it replaced."""
    _some(kind, state)
    return jax.tree.map(
        lambda x: fill(x) if isinstance(x, kind) else x,
        state,
        is_leaf=lambda x: isinstance(x, kind),
    )


def _set_schedules(state: Any, count: int) -> Any:
    """`state` at this count: a state that is nothing but a count is that of a schedule."""

    def is_schedule(x: Any) -> bool:
        return getattr(x, "_fields", None) == ("count",)

    def part(x: Any) -> Any:
        return jax.tree.map(lambda c: jnp.full_like(c, count), x) if is_schedule(x) else x

    return jax.tree.map(part, state, is_leaf=is_schedule)


def _filled(
    old: ScaleByAmsgradState, count: Any, b1: Any, b2: Any, *, m: Any, v: Any, vhat: Any
) -> ScaleByAmsgradState:
    """A state of these numbers in the dtypes and the shardings of `old`."""

    def number(old: Any, new: Any) -> Any:
        return jax.tree.map(lambda x: jnp.asarray(new, x.dtype), old)

    def average(old: Any, new: Any) -> jax.Array:
        return jax.device_put(jnp.asarray(new).astype(old.dtype), getattr(old, "sharding", None))

    def maximum(old: Any, new: Any) -> jax.Array:
        return average(old, _precision.store_max(jnp.asarray(new), old.dtype))

    return ScaleByAmsgradState(
        count=number(old.count, count),
        m=jax.tree.map(average, old.m, m),
        v=jax.tree.map(average, old.v, v),
        vhat=jax.tree.map(maximum, old.vhat, vhat),
        m_weight=number(old.m_weight, _weight("b1", b1, count)),
        v_weight=number(old.v_weight, _weight("b2", b2, count)),
    )


def _weight(name: str, b: Any, count: Any) -> np.ndarray:
    """1 - b**count in float64, without its cancellation."""
    b = _check.in_range(name, b, 0, 1, open_high=True)
    return -np.expm1(count * np.log(b)) if b else np.sign(np.float64(count))


def _same_weight(name: str, b: float, count: int, weight: Any) -> None:
    """Raise if the state was not made with torch's constant b."""
    expected = _weight(name, b, count)
    # Float32 rounds b by up to 2**-25, and so the carried weight by up to 3 % at b = 0.999999.
    if not np.isclose(float(weight), expected, rtol=0.05):
        raise ValueError(
            f"state was made with another {name} than that of state_dict, {b:g}: the weights in its"
            f" moments sum to {float(weight):g}, not to 1 - {name}**{count} = {expected:g}"
        )


def _count(states: list[ScaleByAmsgradState]) -> int:
    """The steps that all of the states have taken."""
    counts = [np.asarray(state.count).tolist() for state in states]
    if any(count != counts[0] for count in counts) or isinstance(counts[0], list):
        raise ValueError(f"state must have taken one number of steps, torch's step, got {counts}")
    return counts[0]
