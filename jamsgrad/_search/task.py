"""What a search does at a point: evaluate the objective there, and move on by the optimizer."""

from collections.abc import Callable, Iterator
from functools import reduce
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

from jamsgrad import _check
from jamsgrad._jit import Split
from jamsgrad._reads import Few, told
from jamsgrad._search import bounds as _bounds
from jamsgrad._search.newton import newton_state
from jamsgrad._search.stopping import Stop
from jamsgrad._tree import Tree


class Task(NamedTuple):
    """What a search minimises, how it moves, where, and when it stops."""

    fun: Callable[..., Tree]
    optimizer: optax.GradientTransformation
    args: tuple[Tree, ...]
    bounds: _bounds.Bounds | None
    stop: Stop
    project: Callable[[Tree], Tree] | None = None  # onto where x may be, if that is no box


class Point(NamedTuple):
    """An evaluated point."""

    x: Tree
    fun: jax.Array
    grad_norm: jax.Array
    aux: Tree


def checked_objective(
    fun: Callable[..., Tree], has_aux: bool
) -> Callable[..., tuple[jax.Array, Tree]]:
    """`fun` as a function to (value, aux) with a clear error unless value is a real scalar."""

    def objective(x: Tree, *args: Tree) -> tuple[jax.Array, Tree]:
        try:
            return evaluated(x, *args)
        except Exception as error:
            for note in _notes(error, x):
                error.add_note(note)
            raise

    def evaluated(x: Tree, *args: Tree) -> tuple[jax.Array, Tree]:
        out = fun(x, *args)
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


def _notes(error: Exception, x: Tree) -> Iterator[str]:
    """What to do about an error that `fun` raised at x."""
    kinds, words = (jax.errors.JAXTypeError, jax.errors.JAXIndexError), ("Tracer", "static")
    # JAX has no class of its own for some, such as those of shapes and of hashes.
    if isinstance(error, kinds) or any(word in str(error) for word in words):
        yield (
            "fun must be written in jax.numpy: NumPy, math and `if` do not work; args are traced: a"
            " number or flag that Python itself must read goes in by functools.partial(fun, n=3), "
            "made once"
        )
    yield from _check.notes_of_lists(x)


def measured(task: Task, x: Tree, fun: jax.Array, grad: Tree, aux: Tree) -> tuple[Point, Tree]:
    """The point with the value and the gradient that JAX found there; and its gradient to go by."""
    grad = jax.tree.map(jnp.conj, grad)  # of complex x: JAX's gradient is the conjugate
    slope = projected_gradient(task, x, grad)
    if task.bounds is not None:  # a bound may hold x where its slope is infinite
        grad = jax.tree.map(lambda g: jnp.where(jnp.isfinite(g), g, 0), grad)
    if task.project is not None:
        grad = slope  # else steps whose coordinates have rates of their own come to rest elsewhere
    return Point(x, fun, _grad_norm(x, fun, slope), aux), grad


def move(
    task: Task, x: Tree, fun: jax.Array, grad: Tree, opt_state: Tree, has_aux: bool
) -> tuple[Tree, Tree]:
    """The point that the optimizer moves to, inside the bounds, and the optimizer's new state."""
    objective, asked = checked_objective(task.fun, has_aux), []
    # Newton's method keeps the bounds itself; the line searches of optax refuse the argument.
    free, more = task, {}
    if newton_state(opt_state) is not None:
        if task.project is not None:
            raise ValueError(
                "newton() keeps bounds, and knows nothing of project: take another optimizer, such "
                "as optax.lbfgs()"
            )
        free, more = task._replace(bounds=None), {"bounds": task.bounds}

    def value_fn(x: Tree) -> jax.Array:
        asked.append(True)  # not x: a tracer must not be kept
        return objective(projected(free, x), *task.args)[0]

    def moved_by(grad: Tree) -> Any:
        return optax.with_extra_args_support(task.optimizer).update(
            grad, opt_state, x, value=fun, grad=grad, value_fn=value_fn, **more
        )

    moved = moved_by(grad)
    if asked and free.bounds is not None:
        # A line search that asks for values follows the projected path, as its slope must.
        moved = moved_by(projected_gradient(task, x, grad))
    if not (isinstance(moved, tuple) and len(moved) == 2):
        raise TypeError(f"optimizer.update must return (updates, state), got {moved!r}")
    updates, new_state = moved
    _check.same_type("the updates of the optimizer", updates, x, any_width=True)
    _check.same_type("the new state of the optimizer", new_state, opt_state)
    return projected(task, optax.apply_updates(x, updates)), new_state


def projected(task: Task, x: Tree) -> Tree:
    """The point that stands for x where x may be."""
    if task.project is None:
        return _bounds.project(x, task.bounds)
    inside = task.project(x)
    _check.same_type("what project returns", inside, x, any_width=True)
    return jax.tree.map(lambda a, b: jnp.asarray(a, b.dtype), inside, x)


def projected_gradient(task: Task, x: Tree, grad: Tree) -> Tree:
    """What is left of the gradient where x may not leave its bounds, or what it is projected onto.

    It is 0 where no step downhill is possible.
    """
    if task.project is None:
        return _bounds.projected_gradient(x, grad, task.bounds)
    moved = projected(task, jax.tree.map(jnp.subtract, x, grad))
    return jax.tree.map(jnp.subtract, x, moved)


def asks_for_values(optimizer: optax.GradientTransformation, x: Tree) -> bool:
    """Whether a step of the optimizer evaluates the objective, as a line search does."""
    split = Split.of(optimizer)
    shapes = tuple((leaf.shape, leaf.dtype.name) for leaf in jax.tree.leaves(x))
    key = tuple(map(told, split.fixed)), split.structure, jax.tree.structure(x), shapes
    return _ASKS.get(key, lambda: (_asks(optimizer, x),))[0]


_ASKS = Few(64)


class _AskedError(Exception):
    pass


def _asks(optimizer: optax.GradientTransformation, x: Tree) -> bool:
    def value_fn(_: Tree) -> jax.Array:
        raise _AskedError

    def step(x: Tree) -> Tree:
        state, value = optimizer.init(x), jnp.zeros([])
        update = optax.with_extra_args_support(optimizer).update
        return update(x, state, x, value=value, grad=x, value_fn=value_fn)

    try:
        jax.eval_shape(step, x)
    except _AskedError:
        return True
    except Exception:  # the search will say what is wrong with it
        return False
    return False


def _grad_norm(x: Tree, fun: jax.Array, projected: Tree) -> jax.Array:
    """The largest component of the projected gradient; NaN unless it, x and fun are finite.

    The finiteness check is part of the same reduction because XLA on CPU would otherwise fuse it
    into, and recompute it for, every field of the record: see docs/developing.md.
    """

    def largest(x: jax.Array, projected: jax.Array) -> jax.Array:
        sizes = jnp.abs(projected)
        for a in (x, projected, fun):
            sizes += jnp.real(0 * a).astype(sizes.dtype)  # 0, or NaN
        return jnp.max(sizes).astype(fun.dtype)

    leaves = zip(jax.tree.leaves(x), jax.tree.leaves(projected), strict=True)
    return reduce(jnp.maximum, [largest(*leaf) for leaf in leaves if leaf[0].size])
