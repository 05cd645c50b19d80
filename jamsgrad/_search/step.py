"""One search: a pair of pure functions, `init` and `step`, around any optax optimizer.

A state has a live part (the next point to evaluate, the optimizer's state) and a record (the best
point, and why the search stopped). A step evaluates, judges, records and, if the search goes on,
moves. So a value never travels without the point it was computed at, an objective stands only once
in a compiled search, and a start costs nothing before its first step.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from enum import IntEnum
from functools import partial, reduce
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax import lax

from jamsgrad import _check
from jamsgrad._search import bounds as _bounds


class Status(IntEnum):
    """Why a search stopped; positive means success. `message` says it in a sentence.

    Example:
      >>> import jamsgrad
      >>> jamsgrad.Status(4).name, jamsgrad.Status(4).message
      ('COMPLETED', 'Completed: all steps asked for were run; no tolerance was set.')
    """

    message: str

    def __new__(cls, value: int, message: str) -> "Status":
        """A member with its sentence."""
        member = int.__new__(cls, value)
        member._value_ = value
        member.message = message
        return member

    GTOL = 1, "Converged: no component of the gradient is larger than gtol."
    FTOL = (
        2,
        "Converged: the value hardly changed (ftol); look at grad_norm, because a coordinate that "
        "AMSGrad slowed down for good looks the same, and then a larger learning rate helps.",
    )
    XTOL = (
        3,
        "Converged: the point hardly moved (xtol); look at grad_norm, because a coordinate that "
        "AMSGrad slowed down for good looks the same, and then a larger learning rate helps.",
    )
    COMPLETED = 4, "Completed: all steps asked for were run; no tolerance was set."
    MAX_STEPS = (
        0,
        "Out of steps: no tolerance was met in max_steps; try more steps, another learning rate or "
        "a looser tolerance.",
    )
    NONFINITE = (
        -1,
        "Met NaN or infinity in the value, the gradient or the point; the best finite point, if "
        "any, is kept; try bounds, a smaller learning rate or optax.clip_by_global_norm.",
    )
    STOPPED = -2, "Stopped from outside before it was done; the best point so far is kept."


@contextmanager
def nan_is_data() -> Iterator[None]:
    """Values that are not finite are told by statuses: JAX must not look for them."""
    with jax.debug_nans(False), jax.debug_infs(False):
        yield


class Stop(NamedTuple):
    """When to stop: None switches a tolerance off."""

    max_steps: Any
    gtol: Any
    ftol: Any
    xtol: Any
    patience: Any

    @property
    def only_by_steps(self) -> bool:
        """Whether no tolerance is set."""
        return self.gtol is None and self.ftol is None and self.xtol is None


class Point(NamedTuple):
    """An evaluated point: after how many steps, where, its value and gradient norm."""

    step: jax.Array
    x: Any
    fun: jax.Array
    grad_norm: jax.Array


class Record(NamedTuple):
    """What a search has to show: its best point, or the point at which a tolerance stopped it.

    While a search is under way its status is STOPPED: what it is, should nobody continue it.
    """

    x: Any
    fun: jax.Array
    grad_norm: jax.Array
    n_steps: jax.Array
    status: jax.Array
    aux: Any


class Stillness(NamedTuple):
    """The previous value (or point), and how many times in a row it hardly changed."""

    previous: Any
    times: jax.Array


class SearchState(NamedTuple):
    """A search under way: the live part, then the record."""

    x: Any
    opt_state: Any
    fun_still: Stillness | None
    x_still: Stillness | None
    record: Record


class Search(NamedTuple):
    """A search as a pair of pure functions, as an optax optimizer is one."""

    init: Callable[..., SearchState]
    step: Callable[[SearchState], tuple[SearchState, Point]]


def stop_options(max_steps: Any, gtol: Any, ftol: Any, xtol: Any, patience: Any) -> Stop:
    """The checked stop options; tolerances may be traced."""

    def tolerance(name: str, value: Any) -> Any:
        return None if value is None else _check.in_range(name, value, 0)

    return Stop(
        max_steps=_check.integer("max_steps", max_steps, 0),
        gtol=tolerance("gtol", gtol),
        ftol=tolerance("ftol", ftol),
        xtol=tolerance("xtol", xtol),
        patience=_check.integer("patience", patience, 1),
    )


def search(
    fun: Callable,
    optimizer: optax.GradientTransformation,
    stop: Stop,
    *,
    args: tuple = (),
    bounds: _bounds.Bounds | None = None,
    has_aux: bool = False,
    freeze: bool = True,
) -> Search:
    """The search for a minimum of `fun(x, *args)`; both of its functions may be vmapped.

    `init(x)` is the state at a start, `init(x, opt_state)` continues with an optimizer's state.
    `step` evaluates x, and moves on unless that stopped the search; it also gives the point that it
    evaluated. Once stopped, a state changes no more.

    Without `freeze` only the record of a stopped search stays as it is: its live part, which nobody
    needs again in a lane of many, runs on, because freezing it too takes three times the time.
    """
    begin, evaluate, move = descent(fun, optimizer, args, bounds, has_aux)
    at_the_end = Status.COMPLETED if stop.only_by_steps else Status.MAX_STEPS

    def init(x: Any, opt_state: Any = None) -> SearchState:
        opt_state, record = begin(x, opt_state)
        zero = record.n_steps
        fun_still = None if stop.ftol is None else Stillness(record.fun, zero)
        x_still = None if stop.xtol is None else Stillness(_full_like(x, jnp.nan), zero)
        return SearchState(x, opt_state, fun_still, x_still, record)

    def step(state: SearchState) -> tuple[SearchState, Point]:
        x, record = state.x, state.record
        fun, grad, grad_norm, aux = evaluate(x)
        point = Point(record.n_steps, x, fun, grad_norm)

        running = record.status == Status.STOPPED
        fun_still = _count(running, state.fun_still, stop.ftol, fun)
        x_still = _count(running, state.x_still, stop.xtol, x)
        status = jnp.where(record.n_steps >= stop.max_steps, at_the_end, Status.STOPPED)
        if x_still is not None:
            status = jnp.where(x_still.times >= stop.patience, Status.XTOL, status)
        if fun_still is not None:
            status = jnp.where(fun_still.times >= stop.patience, Status.FTOL, status)
        if stop.gtol is not None:
            status = jnp.where(grad_norm <= jnp.asarray(stop.gtol, fun.dtype), Status.GTOL, status)
        met = (status > 0) & (status != Status.COMPLETED)
        finite = ~jnp.isnan(grad_norm)
        status = jnp.where(finite, status, Status.NONFINITE).astype(jnp.int32)

        moves = running & (status == Status.STOPPED)
        better = running & ((finite & (met | (fun < record.fun))) | (record.n_steps == 0))
        best = where(
            better,
            (x, fun, grad_norm, aux),
            (record.x, record.fun, record.grad_norm, record.aux),
        )
        record = Record(
            *best[:3],
            n_steps=record.n_steps + moves.astype(jnp.int32),
            status=jnp.where(running, status, record.status),
            aux=best[3],
        )
        # cond and not where, which would let the derivatives of a step not taken through
        go = partial(move, x, state.opt_state, fun, grad)
        stay = partial(tuple, (x, state.opt_state))
        next_x, opt_state = lax.cond(moves, go, stay) if freeze else go()
        return SearchState(next_x, opt_state, fun_still, x_still, record), point

    return Search(init, step)


class Descent(NamedTuple):
    """What every search is made of.

    `begin(x, opt_state)` is the optimizer's state and the record at a start that was not evaluated.
    `evaluate(x)` is (fun, grad, grad_norm, aux); the norm is NaN unless all is finite.
    `move(x, opt_state, fun, grad)` is the next (x, opt_state).
    """

    begin: Callable[..., tuple[Any, Record]]
    evaluate: Callable[[Any], tuple[jax.Array, Any, jax.Array, Any]]
    move: Callable[..., tuple[Any, Any]]


def descent(
    fun: Callable,
    optimizer: optax.GradientTransformation,
    args: tuple,
    bounds: _bounds.Bounds | None,
    has_aux: bool = False,
) -> Descent:
    """The parts of a search for a minimum of `fun(x, *args)`."""
    optimizer = optax.with_extra_args_support(optimizer)
    objective = checked_objective(fun, has_aux)
    value_and_grad = jax.value_and_grad(objective, has_aux=True)

    def begin(x: Any, opt_state: Any = None) -> tuple[Any, Record]:
        fun, aux = jax.eval_shape(objective, x, *args)
        opt_state = optimizer.init(x) if opt_state is None else opt_state
        _check.arrays("the state of the optimizer", opt_state)
        worst = jnp.full((), jnp.inf, fun.dtype)
        zero = jnp.zeros([], jnp.int32)
        stopped = jnp.asarray(Status.STOPPED, jnp.int32)
        return opt_state, Record(x, worst, worst, zero, stopped, _full_like(aux, 0))

    def evaluate(x: Any) -> tuple[jax.Array, Any, jax.Array, Any]:
        (fun, aux), grad = value_and_grad(x, *args)
        grad = jax.tree.map(jnp.conj, grad)  # of complex x: JAX's gradient is the conjugate
        return fun, grad, _grad_norm(x, fun, grad, bounds), aux

    def move(x: Any, opt_state: Any, fun: jax.Array, grad: Any) -> tuple[Any, Any]:
        moved = optimizer.update(
            grad,
            opt_state,
            x,
            value=fun,
            grad=grad,
            value_fn=lambda x: objective(x, *args)[0],
        )
        if not (isinstance(moved, tuple) and len(moved) == 2):
            raise TypeError(f"optimizer.update must return (updates, state), got {moved!r}")
        updates, new_state = moved
        _check.same_type("the updates of the optimizer", updates, x, any_width=True)
        _check.same_type("the new state of the optimizer", new_state, opt_state)
        return _bounds.project(optax.apply_updates(x, updates), bounds), new_state

    return Descent(begin, evaluate, move)


def checked_objective(fun: Callable, has_aux: bool) -> Callable:
    """`fun` as a function to (value, aux) with a clear error unless value is a real scalar."""

    def objective(x: Any, *args: Any) -> tuple[jax.Array, Any]:
        try:
            out = fun(x, *args)
        except (jax.errors.ConcretizationTypeError, jax.errors.TracerArrayConversionError) as error:
            error.add_note("fun must be written in jax.numpy: NumPy, math and `if` do not work")
            raise
        if has_aux and not (isinstance(out, tuple) and len(out) == 2):
            raise TypeError(f"fun must return (value, aux) with has_aux=True, got {out!r}")
        value, aux = out if has_aux else (out, None)
        if not isinstance(value, jax.Array | np.ndarray | np.generic | int | float | complex):
            hint = (
                "; with an auxiliary output, set has_aux=True" if isinstance(value, tuple) else ""
            )
            raise TypeError(f"fun must return a real floating scalar, got {value!r}{hint}")
        dtype, shape = jnp.result_type(value), jnp.shape(value)
        if shape != () or not jnp.issubdtype(dtype, jnp.floating):
            raise TypeError(f"fun must return a real floating scalar, got {dtype} of shape {shape}")
        return jnp.asarray(value, dtype), aux

    return objective


def _grad_norm(x: Any, fun: jax.Array, grad: Any, bounds: _bounds.Bounds | None) -> jax.Array:
    """The largest component of the projected gradient; NaN unless x, fun and grad are finite.

    Whether they are is told by the same reduction: XLA on CPUs computes what is not reduced again
    in everything that depends on it, here all of the record.
    """

    def largest(x: jax.Array, grad: jax.Array, projected: jax.Array) -> jax.Array:
        sizes = jnp.abs(projected)
        for a in (x, grad, fun):
            sizes += jnp.real(0 * a).astype(sizes.dtype)  # 0, or NaN
        return jnp.max(sizes).astype(fun.dtype)

    points, grads, projecteds = map(
        jax.tree.leaves, (x, grad, _bounds.projected_gradient(x, grad, bounds))
    )
    leaves = zip(points, grads, projecteds, strict=True)
    return reduce(jnp.maximum, [largest(*leaf) for leaf in leaves if leaf[0].size])


def _count(running: jax.Array, still: Stillness | None, tol: Any, new: Any) -> Stillness | None:
    """Count once more if `new` is within tol of the previous, relative to it where above 1."""
    if still is None:
        return None

    def is_close(a: jax.Array, b: jax.Array) -> jax.Array:
        size = jnp.abs(b)
        return jnp.abs(b - a) <= jnp.asarray(tol, size.dtype) * jnp.maximum(size, 1)

    close = _all(jax.tree.map(is_close, still.previous, new))
    return Stillness(new, jnp.where(close, still.times + running.astype(jnp.int32), 0))


def where(condition: jax.Array, a: Any, b: Any) -> Any:
    """`jnp.where` with one condition for all leaves."""
    return jax.tree.map(lambda a, b: jnp.where(condition, a, b), a, b)


def _all(tree: Any) -> jax.Array:
    return reduce(jnp.logical_and, [jnp.all(leaf) for leaf in jax.tree.leaves(tree)])


def _full_like(tree: Any, value: float) -> Any:
    return jax.tree.map(lambda leaf: jnp.full(leaf.shape, value, leaf.dtype), tree)
