"""The AMSGrad states inside an optimizer's state: find them, replace them, fill them."""

from collections.abc import Callable
from typing import TypeVar

import jax
import jax.numpy as jnp
import numpy as np

from jamsgrad import _check
from jamsgrad._optimizer import rounding
from jamsgrad._optimizer.algorithm import ScaleByAmsgradState
from jamsgrad._tree import Tree

State = TypeVar("State")


def states_of(kind: type[State], tree: Tree) -> list[State]:
    """The states of one kind inside an optimizer's state."""
    parts = jax.tree.leaves(tree, is_leaf=lambda part: isinstance(part, kind))
    return [part for part in parts if isinstance(part, kind)]


def require_states(kind: type[State], tree: Tree) -> list[State]:
    """Those states, or an error if there is none."""
    if not (found := states_of(kind, tree)):
        name = f"{kind.__module__.partition('.')[0]}.{kind.__name__}"
        raise ValueError(f"state must be or hold a {name}, got {type(tree).__name__} without one")
    return found


def replace_states(kind: type[State], tree: Tree, fill: Callable[[State], Tree]) -> Tree:
    """An optimizer's state with `fill(state)` for every state of one kind in it."""
    require_states(kind, tree)
    return jax.tree.map(
        lambda part: fill(part) if isinstance(part, kind) else part,
        tree,
        is_leaf=lambda part: isinstance(part, kind),
    )


def set_schedules(tree: Tree, count: int) -> Tree:
    """An optimizer's state with the counts of its schedules set to `count`.

    A schedule's state is recognised by its form: a NamedTuple whose only field is `count`. Optax
    has no common class for them. In optax 0.2.8 three classes have this form, and all of them count
    the steps of a schedule: ScaleByScheduleState, WrappedScheduleState (of inject_hyperparams) and
    WeightDecaySchedule. A state that counts for a sum of its own, such as EmaState, has a second
    field and is left alone: its sum starts now.
    """

    def is_schedule(part: Tree) -> bool:
        return getattr(part, "_fields", None) == ("count",)

    def at_count(part: Tree) -> Tree:
        return jax.tree.map(lambda x: jnp.full_like(x, count), part) if is_schedule(part) else part

    return jax.tree.map(at_count, tree, is_leaf=is_schedule)


def like_old(
    old: ScaleByAmsgradState,
    count: int | np.ndarray,
    b1: float,
    b2: float,
    *,
    m: Tree,
    v: Tree,
    vhat: Tree,
) -> ScaleByAmsgradState:
    """The state after `count` steps with these moments, in the dtypes and shardings of `old`."""

    def number(old: Tree, new: int | np.ndarray) -> Tree:
        return jax.tree.map(lambda x: jnp.asarray(new, x.dtype), old)

    def average(old: jax.Array, new: jax.Array) -> jax.Array:
        return jax.device_put(jnp.asarray(new).astype(old.dtype), getattr(old, "sharding", None))

    def maximum(old: jax.Array, new: jax.Array) -> jax.Array:
        return average(old, rounding.store_max(jnp.asarray(new), old.dtype))

    return ScaleByAmsgradState(
        count=number(old.count, count),
        m=jax.tree.map(average, old.m, m),
        v=jax.tree.map(average, old.v, v),
        vhat=jax.tree.map(maximum, old.vhat, vhat),
        m_weight=number(old.m_weight, sum_of_weights("b1", b1, count)),
        v_weight=number(old.v_weight, sum_of_weights("b2", b2, count)),
    )


def sum_of_weights(name: str, b: float, count: int | np.ndarray) -> np.ndarray:
    """1 - b**count in float64, without its cancellation."""
    b = _check.in_range(name, b, 0, 1, open_high=True)
    return np.asarray(-np.expm1(count * np.log(b)) if b else np.sign(np.float64(count)))
