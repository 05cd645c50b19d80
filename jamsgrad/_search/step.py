"""One search as pure functions: start, evaluate a point and move on, say what was found.

A step evaluates a point, judges it, keeps it if it is the best, and moves on. Hence each recorded
value belongs to its recorded point; the objective is compiled once; and starting a search does not
evaluate it. `minimize` and the lanes of `multistart` are loops around this one step.
"""

from collections.abc import Callable
from functools import partial
from typing import Generic, NamedTuple, TypeVar

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from jamsgrad import _check
from jamsgrad._search.stopping import Status, Stillness, count_still, verdict
from jamsgrad._search.task import Point, Task, checked_objective, evaluate, move
from jamsgrad._tree import Tree, full_like, where

Array = TypeVar("Array", jax.Array, np.ndarray)


class Record(NamedTuple, Generic[Array]):
    """What a search has to show: its best point, or the point at which a tolerance stopped it."""

    x: Tree
    fun: Array
    grad_norm: Array
    n_steps: Array
    status: Array
    aux: Tree = None


class HasRecord(Generic[Array]):
    """The parts of the `record` that a result holds, by their names."""

    record: Record[Array]

    @property
    def x(self) -> Tree:
        """The point, or the points."""
        return self.record.x

    @property
    def fun(self) -> Array:
        """The value there."""
        return self.record.fun

    @property
    def grad_norm(self) -> Array:
        """The largest component of the gradient there, of the projected one with bounds."""
        return self.record.grad_norm

    @property
    def n_steps(self) -> Array:
        """Steps taken."""
        return self.record.n_steps

    @property
    def status(self) -> Array:
        """Why the search stopped, the number of a `Status`."""
        return self.record.status


class State(NamedTuple):
    """A search under way. Its record is derived from it.

    The order of the fields decides how XLA on CPU fuses a step, and so how it rounds.

    Attributes:
      x: the next point to evaluate.
      opt_state: the state of the optimizer.
      fun_still: how long the value hardly changed; None without ftol.
      x_still: how long the point hardly moved; None without xtol.
      best: the best point, or the point at which a tolerance stopped the search.
      n_good: how many finite points were evaluated while the search was running, uint32.
      status: a `Status`, STOPPED while the search is running. None if no tolerance is set: then it
        follows from `n_good` and `n_evaluated`.
      n_evaluated: how many points were evaluated, uint32; None if a tolerance is set.
    """

    x: Tree
    opt_state: Tree
    fun_still: Stillness | None
    x_still: Stillness | None
    best: Point
    n_good: jax.Array
    status: jax.Array | None
    n_evaluated: jax.Array | None


class Search(NamedTuple):
    """A search as pure functions, all of which may be vmapped.

    Attributes:
      init: the state at a start; with a second argument it goes on with that optimizer state.
      step: evaluate the point, and move on unless that stops the search. Once the search has
        stopped, its record changes no more.
      running: whether the search goes on.
      ended: whether there is nothing left to do. Of searches without tolerances that follows from
        the number of steps alone, also if the search met NaN.
      record: what the search has to show so far.
    """

    init: Callable[..., State]
    step: Callable[[State], tuple[State, Point]]
    running: Callable[[State], jax.Array]
    ended: Callable[[State], jax.Array]
    record: Callable[[State], Record[jax.Array]]


def one_search(task: Task, *, has_aux: bool = False, freeze: bool = True) -> Search:
    """The search that the task describes.

    With `freeze` nothing of a stopped search changes any more. Without it only the record is kept:
    x and the optimizer's state go on. Lanes use that, because they never read those again, and
    freezing them takes three times as long.
    """
    stop = task.stop
    max_steps = jnp.asarray(stop.max_steps, jnp.uint32)

    def init(x: Tree, opt_state: Tree = None) -> State:
        fun, aux = jax.eval_shape(checked_objective(task.fun, has_aux), x, *task.args)
        opt_state = task.optimizer.init(x) if opt_state is None else opt_state
        _check.arrays("the state of the optimizer", opt_state)
        worst = jnp.full((), jnp.inf, fun.dtype)
        zero, never = jnp.zeros([], jnp.uint32), jnp.zeros([], jnp.int32)
        plain = stop.only_by_steps
        return State(
            x,
            opt_state,
            n_good=zero,
            status=None if plain else jnp.asarray(Status.STOPPED, jnp.int32),
            n_evaluated=zero if plain else None,
            fun_still=None if stop.ftol is None else Stillness(worst, never),
            x_still=None if stop.xtol is None else Stillness(full_like(x, jnp.nan), never),
            best=Point(x, worst, worst, full_like(aux, 0)),
        )

    def running(state: State) -> jax.Array:
        if state.status is not None:
            return state.status == Status.STOPPED
        return (state.n_good == state.n_evaluated) & ~ended(state)

    def ended(state: State) -> jax.Array:
        if state.n_evaluated is not None:
            return state.n_evaluated > max_steps
        return ~running(state)

    def step(state: State) -> tuple[State, Point]:
        x, n_good, best = state.x, state.n_good, state.best
        point, grad = evaluate(task, x, has_aux)
        goes_on = running(state)
        finite = ~jnp.isnan(point.grad_norm)
        fun_still, x_still = state.fun_still, state.x_still
        if stop.ftol is not None and fun_still is not None:
            fun_still = count_still(fun_still, stop.ftol, point.fun, goes_on)
        if stop.xtol is not None and x_still is not None:
            x_still = count_still(x_still, stop.xtol, x, goes_on)
        out_of_steps = n_good >= max_steps
        status, converged = state.status, jnp.asarray(False)
        if status is None:
            moves = goes_on & finite & ~out_of_steps
        else:
            here = verdict(stop, finite, point.grad_norm, fun_still, x_still, out_of_steps)
            converged = here > 0
            moves = goes_on & (here == Status.STOPPED)
            status = jnp.where(goes_on, here, status)

        improves = finite & (converged | (point.fun < best.fun))
        first = n_good == 0 if state.n_evaluated is None else state.n_evaluated == 0
        best = where(goes_on & (improves | first), point, best)

        # cond and not where, which would let the derivatives of a step not taken through
        go = partial(move, task, point, grad, state.opt_state, has_aux)
        stay = partial(tuple, (x, state.opt_state))
        next_x, opt_state = lax.cond(moves, go, stay) if freeze else go()
        state = State(
            next_x,
            opt_state,
            n_good=n_good + (goes_on & finite).astype(jnp.uint32),
            status=status,
            n_evaluated=None if state.n_evaluated is None else state.n_evaluated + 1,
            fun_still=fun_still,
            x_still=x_still,
            best=best,
        )
        return state, point

    def record(state: State) -> Record[jax.Array]:
        status = state.status
        if status is None:
            met_nan = state.n_good != state.n_evaluated
            status = jnp.where(met_nan, Status.NONFINITE, Status.STOPPED)
            status = jnp.where(state.n_good > max_steps, Status.COMPLETED, status)
        # A search that stopped at a good point made no move from it.
        n_steps = jnp.where(status >= 0, state.n_good - 1, state.n_good)
        x, fun, grad_norm, aux = state.best
        return Record(x, fun, grad_norm, n_steps.astype(jnp.int32), status.astype(jnp.int32), aux)

    return Search(init, step, running, ended, record)
