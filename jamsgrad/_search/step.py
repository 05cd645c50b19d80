"""One search as pure functions: start, look at a point, move on, say what was found.

A look evaluates a point, judges it, and keeps it if it is the best. Hence each recorded value
belongs to its recorded point, and starting a search does not evaluate it. `minimize` moves and then
looks, so that it stops where it looked last. The lanes of `multistart` look and then move, so that
a lane with a new start needs no look of its own.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property, partial, reduce
from typing import Any, Generic, NamedTuple, TypeVar

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from jamsgrad import _check
from jamsgrad._search.inspection import inspect
from jamsgrad._search.newton import ULPS, newton_state
from jamsgrad._search.stopping import Status, Stillness, gradient_tolerance, verdict
from jamsgrad._search.task import Point, Task, checked_objective, measured, move
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
    n_finish: Array | None = None  # of the steps, those after the search itself


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
        """Steps taken, those of the finish included."""
        return self.record.n_steps

    @property
    def n_finish(self) -> Array:
        """How many of them finished the search; 0 where nothing did."""
        n = self.record.n_finish
        return 0 * self.record.n_steps if n is None else n

    @property
    def status(self) -> Array:
        """Why the search stopped, the number of a `Status`."""
        return self.record.status


class State(NamedTuple):
    """A search under way. Its record is derived from it.

    Attributes:
      x: where the search stands.
      opt_state: the state of the optimizer.
      still: how long the search has hardly gone on; None if no tolerance asks, and nobody watches.
      best: the best point, or the point at which gtol stopped the search.
      n_good: how many finite points were evaluated while the search was running, uint32.
      status: a `Status`, STOPPED while the search is running. None if no tolerance is set: then it
        follows from `n_good` and `n_evaluated`.
      n_evaluated: how many points were evaluated, uint32; None if a tolerance is set.
    """

    x: Tree
    opt_state: Tree
    still: Stillness | None
    best: Point
    n_good: jax.Array
    status: jax.Array | None
    n_evaluated: jax.Array | None


class Here(NamedTuple):
    """What a look found at x."""

    fun: jax.Array
    grad_norm: jax.Array
    grad: Tree


@dataclass(frozen=True)
class Search:
    """The search that a task describes, as pure functions, all of which may be vmapped."""

    task: Task
    has_aux: bool = False
    watched: bool = True  # whether steps that leave x as it was are noticed if only gtol is set
    warns: bool = True  # whether it looks for mistakes in the objective
    costly: bool = False  # whether steps cost much more than to freeze what has stopped

    @cached_property
    def _value_and_grad(self) -> Any:
        """The objective with its gradient, traced once."""
        objective = checked_objective(self.task.fun, self.has_aux)
        return jax.jit(jax.value_and_grad(objective, has_aux=True), inline=True)

    @property
    def max_steps(self) -> jax.Array:
        """The number of steps in the type of the counts."""
        return jnp.asarray(self.task.stop.max_steps, jnp.uint32)

    def init(self, x: Tree, opt_state: Tree = None) -> State:
        """The state at a start; it goes on with this state of the optimizer if there is one."""
        stop = self.task.stop
        traced = self._value_and_grad.trace(x, *self.task.args)
        if self.warns:
            inspect(traced.jaxpr, x)
        (fun, aux), _ = traced.out_info
        opt_state = self.task.optimizer.init(x) if opt_state is None else opt_state
        _check.arrays("the state of the optimizer", opt_state)
        worst, zero = jnp.full((), jnp.inf, fun.dtype), jnp.zeros([], jnp.uint32)
        plain = stop.only_by_steps
        return State(
            x,
            opt_state,
            still=Stillness.new(stop, worst) if self._counts else None,
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

    def unseen(self, state: State) -> Here:
        """What `advance` is given before the first look."""
        return Here(state.best.fun, state.best.grad_norm, full_like(state.x, 0))

    def advance(
        self, state: State, here: Here, running: jax.Array | np.bool
    ) -> tuple[State, Here, Point]:
        """Move, unless it is the first time, and look. Once stopped, a search changes no more.

        To move comes first because what is kept at the end need not be selected then: XLA on CPU
        would compute the moments once for each array that such a selection leaves.
        """
        stay = partial(tuple, (state.x, state.opt_state, state.still))
        # cond, because where would let the derivatives of a step not taken through
        go = partial(self._move, state, here)
        x, opt_state, still = lax.cond(running & ~_is_new(state), go, stay)
        return self._look(state._replace(x=x, opt_state=opt_state, still=still), running)

    def step(self, state: State) -> tuple[State, Point]:
        """Look and move, as lanes do. Once the search has stopped, only its record rests.

        To freeze x and the optimizer's state, which lanes do not read again, takes three times as
        long.
        """
        n_evaluated = state.n_evaluated
        state, here, point = self._look(state, self.running(state))
        running = self.running(state)
        if self.costly:  # and a line search ends at once where the gradient is 0
            here = here._replace(grad=where(running, here.grad, full_like(here.grad, 0)))
        x, opt_state, still = self._move(state, here)
        if self.costly:
            x, opt_state = where(running, (x, opt_state), state[:2])
        if still is not None:
            still = where(running, still, state.still)
        if n_evaluated is not None:
            n_evaluated += np.uint32(1)  # the same in all lanes
        return State(x, opt_state, still, *state[3:6], n_evaluated), point

    def status(self, state: State) -> jax.Array:
        """The `Status` so far, int32."""
        if state.status is not None:
            return state.status
        met_nan = state.n_good != state.n_evaluated
        status = jnp.where(met_nan, Status.NONFINITE, Status.STOPPED)
        status = jnp.where(state.n_good > self.max_steps, Status.COMPLETED, status)
        return status.astype(jnp.int32)

    def n_steps(self, state: State) -> jax.Array:
        """How many steps were taken, int32. A search that stopped at a good point did not leave."""
        status = self.status(state)
        left = (status == Status.STOPPED) | (status == Status.NONFINITE)
        return state.n_good.astype(jnp.int32) - (~left).astype(jnp.int32)

    def record(self, state: State) -> Record[jax.Array]:
        """What the search has to show so far."""
        x, fun, grad_norm, aux = state.best
        return Record(x, fun, grad_norm, self.n_steps(state), self.status(state), aux)

    def _look(self, state: State, running: jax.Array | np.bool) -> tuple[State, Here, Point]:
        """The state with the point at x evaluated and judged, if it is running."""
        stop, best, n_good = self.task.stop, state.best, state.n_good
        (fun, aux), grad = self._value_and_grad(state.x, *self.task.args)
        point, grad = measured(self.task, state.x, fun, grad, aux)
        finite = ~jnp.isnan(point.grad_norm)
        gtol = gradient_tolerance(stop, point.fun.dtype)
        small_gradient = jnp.asarray(False) if gtol is None else point.grad_norm <= gtol
        rounding = ULPS * float(jnp.finfo(point.fun.dtype).eps)
        worse = point.fun > best.fun + rounding * jnp.abs(best.fun)
        still, status, newton = state.still, state.status, newton_state(state.opt_state)
        ended = None if newton is None else newton.ended
        if still is not None:
            still = where(running, still.evaluated(stop, point.fun), still)
        if status is not None:
            out_of_steps = n_good >= self.max_steps
            now = verdict(stop, finite, small_gradient, worse, still, ended, out_of_steps)
            status = jnp.where(running, now, status)
        # Newton's steps lead to the last digits, where values are rounding.
        final = small_gradient if ended is None else True
        improves = finite & ((final & ~worse) | (point.fun < best.fun))
        best = where(running & (improves | _is_new(state)), point, best)
        n_good += (running & finite).astype(jnp.uint32)
        n_evaluated = state.n_evaluated
        if n_evaluated is not None:
            n_evaluated += running.astype(jnp.uint32)
        here = Here(point.fun, point.grad_norm, grad)
        return State(*state[:2], still, best, n_good, status, n_evaluated), here, point

    @property
    def _counts(self) -> bool:
        """Whether it counts the steps by which a search hardly went on."""
        stop = self.task.stop
        gtol_only = stop.ftol is None and stop.xtol is None
        return not stop.only_by_steps and (self.watched or not gtol_only)

    def _move(self, state: State, here: Here) -> tuple[Tree, Tree, Stillness | None]:
        """The next point, with the optimizer's state and the stillness there."""
        stop, old, still = self.task.stop, state.x, state.still
        x, opt_state = move(self.task, old, here.fun, here.grad, state.opt_state, self.has_aux)
        if still is None:
            return x, opt_state, None
        stays = (here.grad_norm > 0) & _all(jnp.equal, old, x)
        close, xtol = None, stop.xtol
        if xtol is not None:

            def is_close(old: jax.Array, new: jax.Array, size: jax.Array) -> jax.Array:
                return jnp.abs(new - old) <= jnp.asarray(xtol, size.dtype) * size

            close = _all(is_close, old, x, self._size(x))
        return x, opt_state, still.moved(stays, close)

    def _size(self, x: Tree) -> Tree:
        """What xtol is relative to: the width of the box, and |x| where there is none."""
        if self.task.bounds is None:
            return jax.tree.map(jnp.abs, x)

        def leaf(x: jax.Array, low: jax.Array, high: jax.Array) -> jax.Array:
            width = high - low
            return jnp.where(jnp.isfinite(width), width, jnp.abs(x))

        return jax.tree.map(leaf, x, *self.task.bounds)


def _is_new(state: State) -> jax.Array:
    """Whether the search has not looked at any point."""
    return (state.n_good if state.n_evaluated is None else state.n_evaluated) == 0


def _all(holds: Callable[..., jax.Array], *trees: Tree) -> jax.Array:
    """Whether it holds for all numbers of the trees."""
    return reduce(jnp.logical_and, map(jnp.all, jax.tree.leaves(jax.tree.map(holds, *trees))))
