"""Newton's method, for the end of a search: few steps, to the last digits."""

import warnings
from collections.abc import Callable
from functools import cache
from typing import Any, NamedTuple, TypeAlias, cast

import jax
import jax.numpy as jnp
import numpy as np
import optax

from jamsgrad import _check
from jamsgrad._tree import Tree, as_tree, as_vector, leads_out

Array: TypeAlias = Any  # of JAX or of NumPy
MOST = 64  # variables: a step costs as many gradients
_DAMPING = 1e-2  # of the curvature, at first
# What is tried at once: so many times the damping, and steps so many times as long. Or, where the
# value bends down, steps along that by parts of the box.
_TRIED = np.array([0.0, 0.1, 1.0, 10.0, 1e2, 1e4, 0.0, 0.1])
_LENGTHS = np.array([1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 3.0, 3.0])  # valleys are longer than they look
_KICKS = np.array([0.0, 0.0, 0.0, 0.1, 3e-3, 1e-4, 0.0, 0.0])
_MOST_DAMPING = 1e8  # steps are then so short that nothing is to be had
ULPS = 256  # values that differ by no more roundings are not higher or lower


class NewtonState(NamedTuple):
    """The state of `newton`.

    Attributes:
      damping: what is added to the curvatures, each variable being measured by its own.
      length: the largest component of the last step, if that was undamped, relative to x; or 0.
      ended: 1 if no digit is left to be won, 2 if no step lowers the value, else 0; int32.
    """

    damping: Array
    length: Array
    ended: Array

    @classmethod
    def first(cls, xp: Any, shape: tuple[int, ...], dtype: Any) -> "NewtonState":
        """Of searches that begin, in arrays of NumPy or of `jax.numpy`."""
        none = xp.zeros(shape, dtype)
        return cls(none + _DAMPING, none, xp.zeros(shape, np.int32))


def newton(max_variables: int = MOST) -> optax.GradientTransformationExtraArgs:
    r"""Damped Newton steps with the exact Hessian, as an optax transformation: to finish a search.

    With the gradient g and the Hessian H of the variables that no bound holds, D the diagonal of H
    without its signs, and the eigenvalues :math:`\lambda` and eigenvectors V of
    :math:`D^{-1/2} H D^{-1/2}`, a step is

    .. math:: u = - D^{-1/2} V (|\lambda| + \mu)^{-1} V^T D^{-1/2} g

    cut off at the bounds. Six dampings :math:`\mu` are tried at once, 0 among them, and two steps
    three times as long; the lowest value counts. If none is lower than here, x stays, and the
    damping grows. So no step raises the value, by more than rounding: near the end, where values
    agree to 256 roundings, the full step is taken as long as these steps become shorter. Where the
    value bends down along an eigenvector, three of the tries go along that instead, also where g is
    0, as at a saddle.

    A step costs as many gradients as there are variables, and nine values.

    Args:
      max_variables: for how many variables it may be used, at least 1; a complex one counts twice.

    Returns:
      An optax transformation. `update` needs `params` and `value_fn=`, a function of them; it takes
      `value=` and `bounds=`, a tuple (lower, upper) of trees like them. `minimize` and `multistart`
      hand all of that over.

    Raises:
      ValueError: from `init`, if there are more variables; from `update`, without `value_fn`.

    Warns:
      UserWarning: from `update`, if the function has no second derivative; then no step is made.

    Example:
      >>> import jax.numpy as jnp
      >>> import jamsgrad
      >>> rosenbrock = jamsgrad.problems.rosenbrock(2)
      >>> x0 = jnp.array([-1.2, 1.0])
      >>> result = jamsgrad.minimize(rosenbrock.fun, x0, jamsgrad.newton(), gtol=1e-3)
      >>> bool(result.success), int(result.n_steps) < 30
      (True, True)

    References:
      Bertsekas, Projected Newton methods for optimization problems with simple constraints, SIAM J.
      Control Optim. 20, 1982. Nocedal and Wright, Numerical Optimization, chapters 4 and 16.
      Dauphin et al., Identifying and attacking the saddle point problem, NeurIPS 2014 (the
      eigenvalues without their signs). Moré, The Levenberg-Marquardt algorithm, 1978 (D).
    """
    return _newton(_check.integer("max_variables", max_variables, 1))


@cache  # equal optimizers are one, so that a search with one compiles once
def _newton(max_variables: int) -> optax.GradientTransformationExtraArgs:
    def init(params: Tree) -> NewtonState:
        row = jax.eval_shape(as_vector, params)
        if row.size > max_variables:
            raise ValueError(
                f"newton(max_variables={max_variables}) was given {row.size} variables: each step "
                "would cost as many gradients; allow more of them, or take optax.lbfgs()"
            )
        return NewtonState.first(jnp, (), row.dtype)

    def update(
        updates: Tree,
        state: NewtonState,
        params: Tree = None,
        *,
        value: jax.Array | None = None,
        value_fn: Callable[[Tree], jax.Array] | None = None,
        bounds: tuple[Tree, Tree] | None = None,
        **_: Any,
    ) -> tuple[Tree, NewtonState]:
        if params is None or value_fn is None:
            raise ValueError("newton() needs update(grads, state, params, value_fn=fun)")
        x = as_vector(params)

        def fun(row: jax.Array) -> jax.Array:
            return value_fn(as_tree(row, params))

        ends = (-jnp.inf, jnp.inf) if bounds is None else bounds
        low, high = (jnp.broadcast_to(as_vector(end).astype(x.dtype), x.shape) for end in ends)
        value = fun(x) if value is None else value
        grad = as_vector(updates).astype(x.dtype)

        def one(a: Tree) -> Tree:
            return jax.tree.map(lambda leaf: leaf[None], a)

        def values(points: jax.Array) -> jax.Array:
            return jax.vmap(fun)(points[0])[None]

        here = one(Expansion(x, value, grad, _hessian(fun, x)))
        moved, after = newton_step(here, values, one((low, high)), one(state))
        return as_tree(moved[0] - x, params), jax.tree.map(lambda leaf: leaf[0], after)

    return optax.GradientTransformationExtraArgs(init, cast(Any, update))


def newton_state(opt_state: Tree) -> NewtonState | None:
    """The state of `newton` in that of an optimizer, if it is there."""
    leaves = jax.tree.leaves(opt_state, is_leaf=lambda node: isinstance(node, NewtonState))
    return next((leaf for leaf in leaves if isinstance(leaf, NewtonState)), None)


def warn_of_no_second_derivative(error: Exception) -> None:
    """Say that a search cannot be finished."""
    warnings.warn(
        f"fun has no second derivative, so that newton() cannot finish the search: {error}",
        stacklevel=2,
    )


class Expansion(NamedTuple):
    """The points of k searches, shape (k, d), and what fun does there: (k,), (k, d), (k, d, d)."""

    x: Array
    value: Array
    grad: Array
    hessian: Array


def newton_step(
    here: Expansion,
    values: Callable[[Array], Array],
    box: tuple[Array, Array],
    state: NewtonState,
) -> tuple[Array, NewtonState]:
    """The next points of k searches and their states, in arrays of JAX or of NumPy.

    `values` is a function of points, from shape (k, n, d) to (k, n); the ends of the box have the
    shape (k, d).
    """
    (x, value, grad, hessian), (low, high) = here, box
    xp: Any = x.__array_namespace__()
    fixed = (lambda a: a) if xp is np else jax.lax.stop_gradient  # derivatives go by the step alone
    eps, ulp = float(jnp.finfo(x.dtype).eps), float(jnp.finfo(value.dtype).eps)
    tried = xp.asarray(_TRIED[None], x.dtype)
    held = leads_out(x, grad, low, high) | (low == high)
    idle = (grad == 0) & xp.all(hessian == 0, axis=2)  # fun does not seem to depend on these
    held |= idle & ~xp.all(idle, axis=1)[:, None]
    grad = xp.where(held, 0, grad)
    hessian = xp.where(held[:, None] | held[:, :, None], 0, hessian)
    finite = xp.isfinite(hessian).all(axis=(1, 2))
    unit = xp.sqrt(xp.abs(xp.diagonal(hessian, axis1=1, axis2=2)))
    unit = fixed(xp.where(finite[:, None] & (unit > 0), unit, 1))
    scaled = xp.where(finite[:, None, None], hessian / unit[:, None] / unit[:, :, None], 0)
    scaled = scaled + xp.eye(x.shape[1], dtype=x.dtype)[None] * held[:, None].astype(x.dtype)
    damping = state.damping[:, None] * tried
    bounded = xp.isfinite(high - low) & (low < high)
    reach = xp.where(bounded, high - low, xp.maximum(xp.abs(x), 1))
    curvatures, axes = map(fixed, xp.linalg.eigh(scaled))
    steps, convex = _tries(curvatures, axes, grad / unit, damping, unit * reach)
    steps = steps / unit[:, None]
    points = xp.clip(x[:, None] + steps, low[:, None], high[:, None])
    points = xp.where(held[:, None], x[:, None], points)
    found = values(points)
    found = xp.where(xp.isfinite(found), found, xp.inf)
    lower = xp.min(found, axis=1) < value

    # Near the end, where values agree to rounding, the length of a full step tells.
    full_step, rounding = fixed(steps[:, 0]), ULPS * ulp * xp.abs(value)
    size = xp.where(bounded, xp.maximum(xp.abs(x), 1e-3 * (high - low)), xp.abs(x))
    length = xp.max(xp.where(full_step == 0, 0, xp.abs(full_step) / fixed(size)), axis=1)
    little = convex & (-xp.sum(grad * full_step, axis=1) <= rounding)  # is left to be won
    agree = little & (found[:, 0] <= value + rounding)
    shorter = (length < state.length / 2) | (state.length == 0)
    chosen = xp.where(agree, 0, xp.argmin(found, axis=1))
    moves = finite & xp.where(agree, shorter, lower)
    full = moves & convex & (chosen == 0)
    # The order of convergence is two: the error left follows from the last two lengths.
    exact = (length <= eps**0.75) | (length**3 <= 1e-3 * eps * state.length**2)
    done = xp.where(moves, full & exact, little | (length <= 10 * eps**0.5))
    settled = finite & convex & done
    less = xp.take_along_axis(damping, chosen[:, None], 1)[:, 0]
    less = xp.maximum(xp.where(less == 0, state.damping * 1e-2, less), eps)
    after = xp.where(moves, less, state.damping * 1e6)
    stuck = ~moves & (~finite | (after > _MOST_DAMPING))
    ended = xp.where(settled, 1, xp.where(stuck, 2, 0)).astype(np.int32)
    led = xp.take_along_axis(points, chosen[:, None, None], 1)[:, 0]
    length = xp.where(full, length, 0)
    return xp.where(moves[:, None], led, x), NewtonState(after, length, ended)


def _tries(
    curvatures: Array, axes: Array, grad: Array, damping: Array, reach: Array
) -> tuple[Array, Array]:
    """Steps along the axes of Hessians for each damping, and whether the values bend up everywhere.

    Where one bends down, some of the tries go along that, by parts of the reach: at a saddle the
    gradient says nothing. Of curvatures of shape (k, d) and dampings (k, n) that are arrays of
    shape (k, n, d) and (k,).
    """
    xp: Any = axes.__array_namespace__()
    eps, tiny = (float(a) for a in (jnp.finfo(axes.dtype).eps, jnp.finfo(axes.dtype).tiny))
    convex = curvatures[:, 0] > 4 * axes.shape[1] * eps
    downhill = -xp.sum(axes * grad[:, :, None], axis=1)  # along each axis
    parts = downhill[:, None] / (xp.abs(curvatures)[:, None] + damping[..., None] + tiny)
    lengths, kicks = (xp.asarray(a[None, :, None], axes.dtype) for a in (_LENGTHS, _KICKS))
    steps = lengths * xp.sum(axes[:, None] * parts[:, :, None], axis=3)
    bend = axes[:, :, 0] * xp.where(downhill[:, :1] < 0, -1, 1)
    bend = bend / xp.max(xp.abs(bend) / reach, axis=1)[:, None]
    kicked = ~convex[:, None, None] & (kicks > 0)
    return xp.where(kicked, bend[:, None] * kicks, steps), convex


def _hessian(fun: Callable[[jax.Array], jax.Array], x: jax.Array) -> jax.Array:
    """The Hessian, or NaN if JAX finds none."""
    try:
        return jax.jacfwd(jax.grad(fun))(x)
    except (TypeError, ValueError, NotImplementedError) as error:
        warn_of_no_second_derivative(error)
        return jnp.full((x.size, x.size), jnp.nan, x.dtype)
