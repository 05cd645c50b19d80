"""One search as pure functions: start, evaluate a point and move on, say what was found.

A step evaluates a point, judges it, keeps it if it is the best, and moves on. Hence each recorded
value belongs to its recorded point; the objective is compiled once; and starting a search does not
evaluate it. `minimize` and the lanes of `multistart` are loops around this one step.
"""

from dataclasses import dataclass
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


@dataclass(frozen=True)
class Search:
    """The search that a task describes, as pure functions, all of which may be vmapped.

    With `freeze` nothing of a stopped search changes any more. Without it only the record is kept:
    x and the optimizer's state go on. Lanes use that, because they never read those again, and
    freezing them takes three times as long.
    """

    task: Task
    has_aux: bool = False
    freeze: bool = True

    @property
    def max_steps(self) -> jax.Array:
        """The number of steps in the type of the counts."""
        return jnp.asarray(self.task.stop.max_steps, jnp.uint32)

    def init(self, x: Tree, opt_state: Tree = None) -> State:
        """The state at a start; it goes on with this state of the optimizer if there is one."""
        stop = self.task.stop
        fun, aux = jax.eval_shape(
            checked_objective(self.task.fun, self.has_aux), x, *self.task.args
        )
        opt_state = self.task.optimizer.init(x) if opt_state is None else opt_state
        _check.arrays("the state of the optimizer", opt_state)
        worst = jnp.full((), jnp.inf, fun.dtype)
        zero, never = jnp.zeros([], jnp.uint32), jnp.zeros([], jnp.int32)
        plain = stop.only_by_steps
        return State(
            x,
            opt_state,
            fun_still=None if stop.ftol is None else Stillness(worst, never),
            x_still=None if stop.xtol is None else Stillness(full_like(x, jnp.nan), never),
            best=Point(x, worst, worst, full_like(aux, 0)),
            n_good=zero,
            status=None if plain else jnp.asarray(Status.STOPPED, jnp.int32),
            n_evaluated=zero if plain else None,
        )

    def running(self, state: State) -> jax.Array:
        """Whether the search goes on."""
        if state.status is not None:
            return state.status == Status.STOPPED
        return (state.n_good == state.n_evaluated) & ~self.ended(state)

    def ended(self, state: State) -> jax.Array:
        """Whether there is nothing left to do.

        Without tolerances that follows from the number of steps alone, also after NaN.
        """
        if state.n_evaluated is not None:
            return state.n_evaluated > self.max_steps
        return ~self.running(state)

    def step(self, state: State) -> tuple[State, Point]:
        """Evaluate the point, and move on unless that stops the search.

        Once the search has stopped, its record changes no more.
        """
        stop, x, n_good, best = self.task.stop, state.x, state.n_good, state.best
        point, grad = evaluate(self.task, x, self.has_aux)
        running = self.running(state)
        finite = ~jnp.isnan(point.grad_norm)
        fun_still, x_still = state.fun_still, state.x_still
        if stop.ftol is not None and fun_still is not None:
            fun_still = count_still(fun_still, stop.ftol, point.fun, running)
        if stop.xtol is not None and x_still is not None:
            x_still = count_still(x_still, stop.xtol, x, running)
        out_of_steps = n_good >= self.max_steps
        status, converged = state.status, jnp.asarray(False)
        if status is None:
            moves = running & finite & ~out_of_steps
        else:
            here = verdict(stop, finite, point.grad_norm, fun_still, x_still, out_of_steps)
            converged = here > 0
            moves = running & (here == Status.STOPPED)
            status = jnp.where(running, here, status)

        improves = finite & (converged | (point.fun < best.fun))
        first = (n_good if state.n_evaluated is None else state.n_evaluated) == 0
        best = where(running & (improves | first), point, best)

        # cond and not where, which would let the derivatives of a step not taken through
        go = partial(move, self.task, point, grad, state.opt_state, self.has_aux)
        stay = partial(tuple, (x, state.opt_state))
        next_x, opt_state = lax.cond(moves, go, stay) if self.freeze else go()
        n_evaluated = state.n_evaluated
        if n_evaluated is not None:
            n_evaluated += running.astype(jnp.uint32) if self.freeze else jnp.uint32(1)
        n_good += (running & finite).astype(jnp.uint32)
        state = State(next_x, opt_state, fun_still, x_still, best, n_good, status, n_evaluated)
        return state, point

    def record(self, state: State) -> Record[jax.Array]:
        """What the search has to show so far."""
        status = state.status
        if status is None:
            met_nan = state.n_good != state.n_evaluated
            status = jnp.where(met_nan, Status.NONFINITE, Status.STOPPED)
            status = jnp.where(state.n_good > self.max_steps, Status.COMPLETED, status)
        # A search that stopped at a good point made no move from it.
        n_steps = jnp.where(status >= 0, state.n_good - 1, state.n_good)
        x, fun, grad_norm, aux = state.best
        return Record(x, fun, grad_norm, n_steps.astype(jnp.int32), status.astype(jnp.int32), aux)
