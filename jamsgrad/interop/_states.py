"""The AMSGrad states inside an optimizer's state: find them, replace them, fill them."""

from collections.abc import Callable
from typing import TypeVar

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from jamsgrad import _check
from jamsgrad._optimizer import rounding
from jamsgrad._optimizer.algorithm import ScaleByAmsgradState
from jamsgrad._tree import Numeric, Tree

State = TypeVar("State")


def states_of(kind: type[State], tree: Tree, *, needed: bool = True) -> list[State]:
    """The states of one kind inside an optimizer's state, or an error if one is needed there."""
    parts = jax.tree.leaves(tree, is_leaf=lambda part: isinstance(part, kind))
    found = [part for part in parts if isinstance(part, kind)]
    if needed and not found:
        name = f"{kind.__module__.partition('.')[0]}.{kind.__name__}"
        held = [type(part).__name__ for part in jax.tree.leaves(tree, is_leaf=_is_state)]
        raise ValueError(
            f"state must be or hold a {name}, got {type(tree).__name__} without one: it holds "
            f"{', '.join(dict.fromkeys(held)) or 'nothing'}"
        )
    return found


def replace_states(kind: type[State], tree: Tree, fill: Callable[[State], Tree]) -> Tree:
    """An optimizer's state with `fill(state)` for every state of one kind in it."""
    states_of(kind, tree)
    parts, treedef = jax.tree.flatten(tree, is_leaf=lambda part: isinstance(part, kind))
    return treedef.unflatten(fill(part) if isinstance(part, kind) else part for part in parts)


def _is_state(part: Tree) -> bool:
    return hasattr(part, "_fields")


def set_schedules(tree: Tree, count: int) -> Tree:
    """An optimizer's state with the counts of its schedules set to `count`.

    Optax has no common class for the states of schedules, but their form: NamedTuples with `count`
    alone. In optax 0.2.8 these are ScaleByScheduleState, WrappedScheduleState (of
    inject_hyperparams) and WeightDecaySchedule. A state with a sum of its own beside the count,
    such as EmaState, is left alone: its sum starts now.
    """

    def is_schedule(part: Tree) -> bool:
        return getattr(part, "_fields", None) == ("count",)

    def at_count(part: Tree) -> Tree:
        if not is_schedule(part):
            return part
        return jax.tree.map(lambda x: _placed(np.full(np.shape(x), count), x), part)

    return jax.tree.map(at_count, tree, is_leaf=is_schedule)


def like_old(
    old: ScaleByAmsgradState, count: Numeric, b1: float, b2: float, m: Tree, v: Tree, vhat: Tree
) -> ScaleByAmsgradState:
    """The state after `count` steps with these moments, in the dtypes and shardings of `old`."""

    def number(old: Tree, new: Numeric) -> Tree:
        return jax.tree.map(lambda x: _placed(new, x), old)

    def average(old: jax.Array, new: jax.Array) -> jax.Array:
        return _placed(new, old)

    def maximum(old: jax.Array, new: jax.Array) -> jax.Array:
        if jnp.iscomplexobj(old):  # the vhat of the real parts, and that of the imaginary ones
            real = jnp.finfo(old.dtype).dtype
            parts = (rounding.store_max(x, real) for x in (jnp.real(new), jnp.imag(new)))
            return _placed(lax.complex(*parts), old)
        return _placed(rounding.store_max(jnp.asarray(new), old.dtype), old)

    return ScaleByAmsgradState(
        count=number(old.count, count),
        m=jax.tree.map(average, old.m, m),
        v=jax.tree.map(average, old.v, v),
        vhat=jax.tree.map(maximum, old.vhat, vhat),
        m_weight=number(old.m_weight, sum_of_weights("b1", b1, count)),
        v_weight=number(old.v_weight, sum_of_weights("b2", b2, count)),
    )


def _placed(new: Tree, old: Tree) -> jax.Array:
    """New numbers in the dtype and on the devices of an old array, committed to them if it was.

    Jit takes what is not committed to wherever the other arrays are, and compiles for the two kinds
    apart: a state that differs in that from its parameters costs a compilation, or is refused.
    """
    committed = getattr(old, "committed", False)
    if not committed and getattr(new, "committed", False):
        new = np.asarray(new)
    new = jnp.asarray(new).astype(old.dtype)
    return jax.device_put(new, old.sharding) if committed else new


def sum_of_weights(name: str, b: float, count: Numeric) -> np.ndarray:
    """1 - b**count in float64, without its cancellation."""
    b = _check.in_range(name, b, 0, 1, open_high=True)
    return np.asarray(-np.expm1(count * np.log(b)) if b else np.sign(np.float64(count)))
