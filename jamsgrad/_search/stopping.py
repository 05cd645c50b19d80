"""When a search stops, why, and in which order the rules are asked."""

from collections.abc import Iterator
from contextlib import contextmanager
from enum import IntEnum
from functools import reduce
from typing import NamedTuple

import jax
import jax.numpy as jnp

from jamsgrad import _check
from jamsgrad._tree import Numeric, Tree


class Status(IntEnum):
    """Why a search stopped; positive means success. `message` says it in a sentence.

    The numbers are those of `scipy.optimize.least_squares`, in which 0 is "out of steps", and not
    those of `scipy.optimize.minimize`, in which 0 is success.

    Example:
      >>> import jamsgrad
      >>> jamsgrad.Status(4).name, jamsgrad.Status(4).message
      ('COMPLETED', 'Completed: all steps asked for were run; no tolerance was set.')
    """

    STOPPED = -2
    NONFINITE = -1
    MAX_STEPS = 0
    GTOL = 1
    FTOL = 2
    XTOL = 3
    COMPLETED = 4

    @property
    def message(self) -> str:
        """The status in a sentence that says what to try."""
        return _MESSAGES[self]


_SLOW = (
    "look at grad_norm, because a coordinate that AMSGrad slowed down permanently looks the same, "
    "and then a larger learning rate helps."
)
_MESSAGES = {
    Status.STOPPED: "Stopped from outside before it was done; the best point so far is kept.",
    Status.NONFINITE: "Met NaN or infinity in the value, the gradient or the point; the best finite"
    " point, if any, is kept; try bounds, a smaller learning rate or optax.clip_by_global_norm.",
    Status.MAX_STEPS: "Out of steps: no tolerance was met in max_steps; try more steps, another "
    "learning rate or a looser tolerance.",
    Status.GTOL: "Converged: no component of the gradient is larger than gtol.",
    Status.FTOL: f"Converged: the value hardly changed (ftol); {_SLOW}",
    Status.XTOL: f"Converged: the point hardly moved (xtol); {_SLOW}",
    Status.COMPLETED: "Completed: all steps asked for were run; no tolerance was set.",
}


@contextmanager
def nan_is_data() -> Iterator[None]:
    """Keep JAX from raising at values that are not finite: statuses tell of them."""
    with jax.debug_nans(False), jax.debug_infs(False):
        yield


class Stop(NamedTuple):
    """When to stop: None switches a tolerance off. `minimize` explains the fields."""

    max_steps: int
    gtol: Numeric | None
    ftol: Numeric | None
    xtol: Numeric | None
    patience: int

    @property
    def only_by_steps(self) -> bool:
        """Whether no tolerance is set."""
        return self.gtol is None and self.ftol is None and self.xtol is None


def stop_options(
    max_steps: int,
    gtol: Numeric | None,
    ftol: Numeric | None,
    xtol: Numeric | None,
    patience: int,
) -> Stop:
    """The checked stop options; tolerances may be traced."""

    def tolerance(name: str, value: Numeric | None) -> Numeric | None:
        return None if value is None else _check.in_range(name, value, 0)

    return Stop(
        max_steps=_check.integer("max_steps", max_steps, 0),
        gtol=tolerance("gtol", gtol),
        ftol=tolerance("ftol", ftol),
        xtol=tolerance("xtol", xtol),
        patience=_check.integer("patience", patience, 1),
    )


class Stillness(NamedTuple):
    """The previous value or point, and how many times in a row it hardly changed."""

    previous: Tree
    times: jax.Array


def count_still(still: Stillness, tol: Numeric, new: Tree, running: jax.Array) -> Stillness:
    """Count once more if `new` is within tol of the previous, relative to it where above 1."""

    def is_close(old: jax.Array, new: jax.Array) -> jax.Array:
        size = jnp.abs(new)
        return jnp.abs(new - old) <= jnp.asarray(tol, size.dtype) * jnp.maximum(size, 1)

    close = jax.tree.leaves(jax.tree.map(is_close, still.previous, new))
    all_close = reduce(jnp.logical_and, map(jnp.all, close))
    return Stillness(new, jnp.where(all_close, still.times + running.astype(jnp.int32), 0))


def verdict(
    stop: Stop,
    finite: jax.Array,
    grad_norm: jax.Array,
    fun_still: Stillness | None,
    x_still: Stillness | None,
    out_of_steps: jax.Array,
) -> jax.Array:
    """The status of a search at a point, int32: the first of the rules that holds, or STOPPED.

    A running search is STOPPED, so that one which is interrupted needs no last update.
    """
    rules = [(~finite, Status.NONFINITE)]
    if stop.gtol is not None:
        rules.append((grad_norm <= jnp.asarray(stop.gtol, grad_norm.dtype), Status.GTOL))
    if fun_still is not None:
        rules.append((fun_still.times >= stop.patience, Status.FTOL))
    if x_still is not None:
        rules.append((x_still.times >= stop.patience, Status.XTOL))
    rules.append((out_of_steps, Status.MAX_STEPS))
    status = jnp.asarray(Status.STOPPED, jnp.int32)
    for holds, why in reversed(rules):  # jnp.select would stack the rules and search them: slower
        status = jnp.where(holds, jnp.asarray(why, jnp.int32), status)
    return status
