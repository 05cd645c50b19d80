"""`minimize`: the loop around one search."""

import inspect
from collections.abc import Callable
from functools import partial
from typing import Any, Literal, TypedDict

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax import lax
from jax.core import Tracer

from jamsgrad import _check, _names
from jamsgrad._check import nan_is_data
from jamsgrad._jit import Split, jit_for
from jamsgrad._search import bounds as _bounds
from jamsgrad._search.finish import STEPS_OF_ONE, Finish, finisher, finishing, joined
from jamsgrad._search.result import Result
from jamsgrad._search.step import Here, Search, State
from jamsgrad._search.stopping import Status, Stop, stop_options
from jamsgrad._search.task import Task, projected
from jamsgrad._search.trajectory import Rows, empty_rows, trajectory
from jamsgrad._tree import Numeric, Tree, ceil_div


@_names.our_names(_names.OF_SEARCHES)
def minimize(
    fun: Callable[..., Tree],
    x0: Tree,
    optimizer: optax.GradientTransformation,
    *,
    args: tuple[Tree, ...] = (),
    bounds: Tree = None,
    project: Callable[[Tree], Tree] | None = None,
    finish: Finish = None,
    max_steps: int = 1000,
    gtol: Numeric | Literal["auto"] | None = "auto",
    ftol: Numeric | None = None,
    xtol: Numeric | None = None,
    patience: int = 10,
    has_aux: bool = False,
    record_every: int | None = None,
    loop: Literal["while", "scan"] = "while",
    throw: bool = False,
    opt_state: Tree = None,
) -> Result:
    r"""Minimise `fun` from one start by any optax optimizer.

    .. math:: x_t = \mathrm{Proj}(x_{t-1} + u_t), \quad u_t = \text{optimizer}(\nabla f(x_{t-1}))

    stopping at the first of

    .. math::
      \max_i |g_i| &\le \text{gtol} \\
      |f_t - f_{t-1}| &\le \text{ftol} \, |f_t| \\
      |x_t - x_{t-1}|_i &\le \text{xtol} \, s_i \text{ for all } i

    the last two `patience` times in a row, or at NaN and infinity, or after `max_steps`. The size
    s is the width of the box, and :math:`|x_t|` where there is none. With bounds, g is the
    projected gradient. A step that leaves x as it was, although the gradient is not 0, counts for
    neither ftol nor xtol. A point that is worse than one seen before does not meet gtol: the search
    goes on, and has status WORSE if it runs out of steps at such a point.

    It works under `jit` and `vmap`, and forward-mode derivatives go through both loops. A second
    call with the same `fun`, `optimizer` and shapes compiles nothing. `amsgrad(0.1)` called twice
    is one optimizer. Schedules are functions, so a new schedule makes a new optimizer. Pass data in
    `args`, or in a `fun` that is a pytree, such as a `jax.tree_util.Partial` or an Equinox module.

    Args:
      fun: the objective, `fun(x, *args)`, written in `jax.numpy`. It returns a real scalar, or
        (scalar, aux) with `has_aux`. Whatever it reads besides its arguments is read once, when JAX
        traces it, and never again: pass data that change in `args`. It is traced anew if the
        globals, the variables or the attributes that its code names are other objects than before.
      x0: the start, an array or a tree of arrays, floating, integers being taken as floats; inside
        the bounds. Under `jit` and `vmap`, where it cannot be checked, it is projected onto them. A
        list is a tree of its numbers: `jnp.array([1.0, 2.0])` is the array.
      optimizer: any optax transformation, such as `jamsgrad.amsgrad(0.1)`. It is called with
        `value=`, `grad=` and `value_fn=`, as `optax.lbfgs` needs.
      args: further arguments of `fun`, trees of arrays.
      bounds: None; a tuple (lower, upper) of trees that broadcast to x0; an array or a list of n
        pairs, None in a list being no bound; or a `scipy.optimize.Bounds`. A tuple is always
        (lower, upper), never pairs, and one that may be pairs is refused: two lists or two arrays
        are (lower, upper). x is projected onto them after every step.
      project: instead of bounds, a function from x to the point that stands for it where x may be,
        such as those of `optax.projections`. It is applied to x0 and after every step. `grad_norm`
        is then the largest component of x - project(x - g), which the optimizer is given in the
        place of g, so that it comes to rest only where that is 0. The paper projects in the norm of
        sqrt(vhat) instead, and gives it g.
      finish: the optimizer that takes over when the search has stopped, from its best point and
        for at most 300 steps: None; any optax transformation; or "auto", which is `newton()` for at
        most 64 variables, and None for more. It goes on until no digit of x changes. The status is
        that after the finish. After NaN nothing takes over.
      max_steps: the largest number of steps, at least 0.
      gtol: stop when no component of the gradient is larger; at least 0, None for never. "auto" is
        the cube root of the epsilon of the value's dtype, 4.9e-3 in float32 and 6.1e-6 in float64.
      ftol: stop when the value changes by no more, relative to it; at least 0, None for never.
      xtol: stop when no component of x changes by more, relative to the width of the box, or to the
        component itself where there is none; at least 0, None for never.
      patience: how many times in a row ftol and xtol must be met, at least 1.
      has_aux: whether `fun` returns an auxiliary output too.
      record_every: record every so many steps, start and last point included, in
        `result.trajectory`; None records nothing.
      loop: "while" ends with the search. "scan" always runs max_steps steps, and those after the
        end change nothing; reverse-mode derivatives need it.
      throw: whether to raise FloatingPointError at NaN or infinity; ignored under jit.
      opt_state: the state of the optimizer to start from, None for a new one. With
        `x0=result.last_x, opt_state=result.opt_state` a search continues where it stopped,
        bit for bit; its record (best point, n_steps, patience) starts again.

    Returns:
      A `Result`. A search that fails still holds its best finite point, if it met one.

    Raises:
      ValueError: if an option is out of its range, x0 is outside the bounds, or they do not fit;
        or if Newton's method is to keep what `project` keeps.
      TypeError: if x0 does not consist of numbers, `fun` does not return a real scalar, the
        optimizer does not keep the types of x and of its state, `project` does not keep that of x,
        or an argument has another type.
      FloatingPointError: with `throw`, if the search met NaN or infinity.

    Example:
      >>> import jax.numpy as jnp
      >>> import jamsgrad
      >>> def f(x, center):
      ...     return jnp.sum((x - center) ** 2)
      >>> optimizer = jamsgrad.amsgrad(0.1, b2=0.99)
      >>> center = jnp.array([1.0, 2.0])
      >>> result = jamsgrad.minimize(f, jnp.zeros(2), optimizer, args=(center,), gtol=1e-4)
      >>> bool(result.success), result.reason.name
      (True, 'GTOL')
      >>> print(jnp.round(result.x, 3))
      [1. 2.]

    References:
      Reddi, Kale and Kumar, ICLR 2018, Algorithm 2 (the projection); the stop rules are
      after those of `scipy.optimize.minimize(method="L-BFGS-B")`, with xtol beside them.
    """
    _check.one_of("loop", loop, ("while", "scan"))
    if record_every is not None:
        record_every = _check.integer("record_every", record_every, 1)
    x0 = floating(x0)
    box = _bounds.parse(bounds, x0)
    _bounds.check_inside(x0, box)
    _check_projection(project, box)
    if any(isinstance(leaf, Tracer) for leaf in jax.tree.leaves((x0, box))):
        x0 = _bounds.project(x0, box)  # where nobody can look
    stop = stop_options(max_steps, gtol, ftol, xtol, patience)
    task = checked_task(fun, optimizer, args, box, stop)
    end = finisher(finish, x0, project)
    if opt_state is not None:
        try:
            _check.same_type("opt_state", opt_state, jax.eval_shape(optimizer.init, x0))
        except TypeError as error:
            raise ValueError(
                f"opt_state is not a state of this optimizer for x0: {error}"
            ) from None
    rows = None if record_every is None else ceil_div(stop.max_steps, record_every) + 1
    length = stop.max_steps + 1 if loop == "scan" else None
    with nan_is_data():
        result = _minimize(
            *task[:2], end, project, has_aux, record_every, rows, length, *task[2:5], x0, opt_state
        )
    traced = isinstance(result.status, Tracer)
    if throw and not traced and (result.status == Status.NONFINITE).any():
        raise FloatingPointError(f"minimize: {result!r}")
    return result


class StopOptions(TypedDict, total=False):
    """The stop options of `minimize`, for those who hand them on."""

    max_steps: int
    gtol: Numeric | Literal["auto"] | None
    ftol: Numeric | None
    xtol: Numeric | None
    patience: int


def stop_by(caller: str, options: StopOptions) -> Stop:
    """The checked stop options that a caller hands on, with the defaults of `minimize`.

    Raises:
      TypeError: if there is another option among them.
    """
    for name in options:
        if name not in Stop._fields:
            raise TypeError(f"{caller}() got an unexpected keyword argument {name!r}")
    defaults = inspect.unwrap(minimize).__kwdefaults__ or {}
    return stop_options(**{name: options.get(name, defaults[name]) for name in Stop._fields})


def checked_task(
    fun: Any, optimizer: Any, args: Any, box: _bounds.Bounds | None, stop: Stop
) -> Task:
    """The task, or an error unless `fun` and `optimizer` are such and `args` a tuple of arrays."""
    _names.function_of_x("fun", fun)
    _check.hashable("fun", fun, Split.of(fun)[:2])
    if not (isinstance(optimizer, optax.GradientTransformation) and all(map(callable, optimizer))):
        way_out = "call the function that makes it, as in amsgrad(0.1)"
        if hasattr(optimizer, "gradient_transformation"):  # optax.MultiSteps
            way_out = "give it as optimizer.gradient_transformation()"
        elif isinstance(optimizer, list | tuple):
            way_out = "chain several by optax.chain(...)"
        raise TypeError(
            f"optimizer must be an optax.GradientTransformation, got {optimizer!r}; {way_out}"
        )
    _check.hashable("optimizer", optimizer, Split.of(optimizer)[:2])
    if not isinstance(args, tuple):
        raise TypeError(f"args must be a tuple of the further arguments of fun, got {args!r}")
    way_out = "words, functions and objects go in by functools.partial(fun, loss='mse'), made once"
    _check.arrays("args", args, or_else=way_out)
    return Task(fun, optimizer, args, box, stop)


def floating(x: Tree, name: str = "x0", array: Callable[..., Tree] = jnp.asarray) -> Tree:
    """The start as strongly typed floating arrays; integers become floats of the default dtype.

    Raises:
      TypeError: if a leaf is of another type; the message names it.
    """

    def leaf(path: Any, value: Any) -> Tree:
        path = f"{name}{jax.tree_util.keystr(path)}"
        if type(value) is int and abs(value) < 2**1000:  # may be beyond the integers of JAX
            value = float(value)
        dtype = _check.array(path, value).dtype
        if jnp.issubdtype(dtype, jnp.integer):
            dtype = jnp.result_type(float)
        if not jnp.issubdtype(dtype, jnp.inexact):
            raise TypeError(f"{path} has dtype {dtype}: a search needs floating x")
        return array(value, dtype)

    x = jax.tree_util.tree_map_with_path(leaf, x)
    if not any(value.size for value in jax.tree.leaves(x)):
        raise ValueError(f"{name} = {x!r} has no numbers to search over")
    return x


def _check_projection(project: Any, box: _bounds.Bounds | None) -> None:
    """Raise unless it is a function, or None, and x is not held by bounds, too."""
    if project is not None and not callable(project):
        raise TypeError(f"project must be a function from x to x, got {project!r}")
    if project is not None and box is not None:
        raise ValueError(
            "bounds and project are both given: a function that keeps the bounds, too, goes in as "
            "project, such as one that calls optax.projections.projection_box"
        )


@jit_for(8)
def _minimize(
    fun: Callable[..., Tree],
    optimizer: optax.GradientTransformation,
    finish: optax.GradientTransformation | None,
    project: Callable[[Tree], Tree] | None,
    has_aux: bool,
    record_every: int | None,
    n_rows: int | None,
    length: int | None,
    args: tuple[Tree, ...],
    bounds: _bounds.Bounds | None,
    stop: Stop,
    x0: Tree,
    opt_state: Tree,
) -> Result:
    """The result of a while loop, or with a length of a scan; recorded if there are rows."""
    task = Task(fun, optimizer, args, bounds, stop, project)
    search = Search(task, has_aux)
    if project is not None and opt_state is None:  # a search that is continued is inside
        x0 = projected(task, x0)
    state, rows = _run(search, search.init(x0, opt_state), record_every, n_rows, length)
    record, after = search.record(state), None
    if finish is not None:
        end = Search(finishing(task, finish, x0, STEPS_OF_ONE), has_aux, warns=False)
        n_rows = None if record_every is None else ceil_div(STEPS_OF_ONE, record_every) + 1
        length = None if length is None else STEPS_OF_ONE + 1
        last, after = _run(end, end.init(record.x), record_every, n_rows, length)
        record = joined(record, end.record(last), stop)
    recorded = None
    if rows is not None and record_every is not None:
        recorded = trajectory(rows, search.n_steps(state), after, record.n_finish, record_every)
    return Result(record, recorded, state.x, state.opt_state)


def _run(
    search: Search, state: State, record_every: int | None, n_rows: int | None, length: int | None
) -> tuple[State, Rows | None]:
    """The state in which a search ends, and its recorded points."""
    rows = None if n_rows is None else empty_rows(state.best, n_rows)

    def advance(carry: tuple[State, Here, Rows | None]) -> tuple[State, Here, Rows | None]:
        state, here, rows = carry
        after, here, point = search.advance(
            state, here, np.True_ if length is None else search.running(state)
        )
        if rows is not None and record_every is not None:
            # A row is written until its step is due, so that the last point has one, too.
            row = ceil_div(search.n_steps(state), record_every)
            put = partial(lax.dynamic_update_index_in_dim, index=row, axis=0)
            rows = jax.tree.map(put, rows, Rows(*point[:3]))
        return after, here, rows

    carry = state, search.unseen(state), rows
    if length is None:
        carry = lax.while_loop(lambda carry: search.running(carry[0]), advance, carry)
    else:
        carry, _ = lax.scan(lambda carry, _: (advance(carry), None), carry, length=length)
    state, _, rows = carry
    return state, rows
