"""When a search stops, why, and in which order the rules are asked."""

from enum import IntEnum
from typing import NamedTuple

import jax
import jax.numpy as jnp

from jamsgrad import _check
from jamsgrad._tree import Numeric


class Status(IntEnum):
    """Why a search stopped; positive means success. `message` says it in a sentence.

    The numbers are those of `scipy.optimize.least_squares`, in which 0 is "out of steps", and not
    those of `scipy.optimize.minimize`, in which 0 is success.

    Example:
      >>> import jamsgrad
      >>> jamsgrad.Status(4).name, jamsgrad.Status(4).message
      ('COMPLETED', 'Completed: all steps asked for were run; no tolerance was set.')
    """

    WORSE = -4
    STALLED = -3
    STOPPED = -2
    NONFINITE = -1
    MAX_STEPS = 0
    GTOL = 1
    FTOL = 2
    XTOL = 3
    COMPLETED = 4
    ROUNDING = 5

    @property
    def message(self) -> str:
        """The status in a sentence that says what to try."""
        return _MESSAGES[self]


_SLOW = (
    "look at grad_norm, because a coordinate that AMSGrad slowed down permanently looks the same, "
    "and then a larger learning rate helps."
)
_MESSAGES = {
    Status.WORSE: "Out of steps where no component of the gradient is larger than gtol, but higher "
    "than at a point passed before, which is the result; search on from there with a smaller "
    "learning rate.",
    Status.STALLED: "The last steps left x as it was although the gradient there is not 0: the "
    "learning rate is 0, or its steps are too small for the dtype of x, or no step of Newton's "
    "lowers the value; look at the schedule, or search in float64.",
    Status.STOPPED: "Stopped from outside before it was done; the best point so far is kept.",
    Status.NONFINITE: "Met NaN or infinity in the value, the gradient or the point; the best finite"
    " point, if any, is kept; try bounds, a smaller learning rate or optax.clip_by_global_norm.",
    Status.MAX_STEPS: "Out of steps: no tolerance was met in max_steps; try more steps, another "
    "learning rate or a looser tolerance.",
    Status.GTOL: "Converged: no component of the gradient is larger than gtol.",
    Status.FTOL: f"Converged: the value hardly changed (ftol); {_SLOW}",
    Status.XTOL: f"Converged: the point hardly moved (xtol); {_SLOW}",
    Status.COMPLETED: "Completed: all steps asked for were run; no tolerance was set.",
    Status.ROUNDING: "Converged to rounding: no step of Newton's lowers the value any more.",
}


NO_SLOPE = (
    "Converged after 0 steps, because the gradient is exactly 0 at the start: a stationary point, "
    "or a function that is flat there, as on a plateau or after round or argmax; try other starts."
)


@jax.tree_util.register_static
class Auto(str):
    """The word "auto" as a part of a tree that is no array, so that it may be handed to `jit`."""

    __slots__ = ()


class Stop(NamedTuple):
    """When to stop: None switches a tolerance off. `minimize` explains the fields."""

    max_steps: int
    gtol: Numeric | Auto | None
    ftol: Numeric | None
    xtol: Numeric | None
    patience: int

    @property
    def only_by_steps(self) -> bool:
        """Whether no tolerance is set."""
        return self.gtol is None and self.ftol is None and self.xtol is None


def stop_options(
    max_steps: int,
    gtol: Numeric | str | None,
    ftol: Numeric | None,
    xtol: Numeric | None,
    patience: int,
) -> Stop:
    """The checked stop options; tolerances may be traced."""

    def tolerance(name: str, value: Numeric | None) -> Numeric | None:
        return None if value is None else _check.in_range(name, value, 0)

    if isinstance(gtol, str):
        _check.one_of("gtol", gtol, ("auto",), or_else="a number, or None")
        gtol = Auto(gtol)
    return Stop(
        max_steps=_check.integer("max_steps", max_steps, 0),
        gtol=gtol if isinstance(gtol, Auto) else tolerance("gtol", gtol),
        ftol=tolerance("ftol", ftol),
        xtol=tolerance("xtol", xtol),
        patience=_check.integer("patience", patience, 1),
    )


def gradient_tolerance(stop: Stop, dtype: jnp.dtype) -> jax.Array | None:
    """The gtol for values of this dtype; "auto" is the cube root of its epsilon.

    A gradient is known to rounding errors of values, which are larger than epsilon.
    """
    if stop.gtol is None:
        return None
    gtol = float(jnp.finfo(dtype).eps) ** (1 / 3) if isinstance(stop.gtol, Auto) else stop.gtol
    return jnp.asarray(gtol, dtype)


class Stillness(NamedTuple):
    """How many times in a row a search hardly went on, int32 each.

    Attributes:
      value: the value of the previous point; None without ftol, as `by_fun` is.
      by_fun: steps by which the value hardly changed.
      by_x: steps by which x hardly moved; None without xtol.
      idle: steps that left x as it was, although the value slopes there.
    """

    value: jax.Array | None
    by_fun: jax.Array | None
    by_x: jax.Array | None
    idle: jax.Array

    @classmethod
    def new(cls, stop: Stop, worst: jax.Array) -> "Stillness":
        """Of a search that begins."""
        never = jnp.zeros([], jnp.int32)
        by_fun = stop.ftol is not None
        return cls(
            value=worst if by_fun else None,
            by_fun=never if by_fun else None,
            by_x=None if stop.xtol is None else never,
            idle=never,
        )

    def evaluated(self, stop: Stop, fun: jax.Array) -> "Stillness":
        """After another value. Steps of length 0 down a slope count for nothing."""
        if self.value is None or self.by_fun is None:
            return self
        close = jnp.abs(fun - self.value) <= jnp.asarray(stop.ftol, fun.dtype) * jnp.abs(fun)
        times = jnp.where(close, self.by_fun + 1, 0)
        return self._replace(value=fun, by_fun=jnp.where(self.idle > 0, self.by_fun, times))

    def moved(self, stays: jax.Array, close: jax.Array | None) -> "Stillness":
        """After a step that left x as it was, down a slope, or after one that was close."""
        by_x = self.by_x
        if by_x is not None and close is not None:
            by_x = jnp.where(stays, by_x, jnp.where(close, by_x + 1, 0))
        return self._replace(by_x=by_x, idle=jnp.where(stays, self.idle + 1, 0))


def verdict(
    stop: Stop,
    finite: jax.Array,
    small_gradient: jax.Array,
    worse: jax.Array,
    still: Stillness | None,
    ended: jax.Array | None,
    out_of_steps: jax.Array,
) -> jax.Array:
    """The status of a search at a point, int32: the first of the rules that holds, or STOPPED.

    A running search is STOPPED, so that one which is interrupted needs no last update.
    """
    rules = [(~finite, Status.NONFINITE), (small_gradient & ~worse, Status.GTOL)]
    if still is not None and still.by_fun is not None:
        rules.append((still.by_fun >= stop.patience, Status.FTOL))
    if still is not None and still.by_x is not None:
        rules.append((still.by_x >= stop.patience, Status.XTOL))
    if ended is not None:  # what `newton` says of itself
        rules += [(ended == 1, Status.ROUNDING), (ended == 2, Status.STALLED)]
    rules.append((out_of_steps & small_gradient, Status.WORSE))
    if still is not None:
        rules.append((out_of_steps & (still.idle >= stop.patience), Status.STALLED))
    rules.append((out_of_steps, Status.MAX_STEPS))
    status = jnp.asarray(Status.STOPPED, jnp.int32)
    for holds, why in reversed(rules):  # jnp.select would stack the rules and search them: slower
        status = jnp.where(holds, jnp.asarray(why, jnp.int32), status)
    return status
