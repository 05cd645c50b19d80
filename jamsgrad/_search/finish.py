"""The end of a search: another optimizer takes over where it stopped."""

from collections.abc import Callable
from typing import Literal

import jax
import jax.numpy as jnp
import optax

from jamsgrad import _check
from jamsgrad._search.newton import MOST, ULPS, newton, newton_state
from jamsgrad._search.step import Record
from jamsgrad._search.stopping import Auto, Status, Stop, gradient_tolerance
from jamsgrad._search.task import Task
from jamsgrad._tree import Tree, as_vector, where_rows

# At most; two or three where the search had converged, and more in a curved valley.
STEPS = 100  # of one among many searches
STEPS_OF_ONE = 300  # of a search that has no other beside it
Finish = optax.GradientTransformation | Literal["auto"] | None


def finisher(
    finish: Finish, x: Tree, project: Callable[[Tree], Tree] | None = None
) -> optax.GradientTransformation | None:
    """The optimizer that `finish` means for a search over x."""
    if finish is None or isinstance(finish, optax.GradientTransformation):
        return finish
    if not isinstance(finish, str):
        raise TypeError(
            f'finish must be "auto", None or an optax transformation, such as newton(), got '
            f"{finish!r}"
        )
    _check.one_of("finish", finish, ("auto",), or_else="None, or an optax transformation")
    few = jax.eval_shape(as_vector, x).size <= MOST
    return newton() if few and project is None else None


def finishing(
    task: Task, optimizer: optax.GradientTransformation, x: Tree, steps: int = STEPS
) -> Task:
    """The task of the end: so few steps, and on until the gradient is 0.

    Newton's method says itself when it is done, and leaves a saddle where the gradient is 0.
    """
    knows = newton_state(jax.eval_shape(optimizer.init, x)) is not None
    stop = Stop(steps, -1.0 if knows else 0.0, None, None, task.stop.patience)
    return task._replace(optimizer=optimizer, stop=stop)


def may_finish(record: Record) -> Tree:
    """Which searches are gone on with: those that have ended, at a finite point."""
    xp = record.fun.__array_namespace__()
    ended = (record.status != int(Status.NONFINITE)) & (record.status != int(Status.STOPPED))
    return ended & xp.isfinite(record.fun)


def joined(first: Record, last: Record, stop: Stop) -> Record:
    """What searches have to show that ended as `first`, and were gone on with to `last`.

    Such a search has converged if its gradient meets gtol, that of "auto" where none is set, or
    its last step was exact to rounding. If it has not, one that had succeeded before keeps its end,
    unless it was led to a value that is lower by more than rounding, as from a saddle.
    """
    xp = first.fun.__array_namespace__()
    gtol = stop._replace(gtol=Auto("auto")) if stop.gtol is None else stop
    met = last.grad_norm <= xp.asarray(gradient_tolerance(gtol, first.fun.dtype))
    exact = last.status == int(Status.ROUNDING)
    rounding = ULPS * float(jnp.finfo(first.fun.dtype).eps)
    lower = last.fun + rounding * abs(first.fun) < first.fun
    had_converged = (first.status > 0) & (first.status != int(Status.COMPLETED))
    failed = ~met & ~exact
    status = xp.where(had_converged & failed, int(Status.MAX_STEPS), first.status)
    status = xp.where(exact, int(Status.ROUNDING), status)
    status = xp.where(met, int(Status.GTOL), status)
    goes_on = may_finish(first) & (~had_converged | ~failed | lower)
    n_finish = last.n_steps
    last = last._replace(status=status, n_steps=first.n_steps + n_finish, n_finish=None)
    record = where_rows(goes_on, last, first._replace(n_finish=None))
    return record._replace(n_finish=xp.where(goes_on, n_finish, 0 * n_finish))
