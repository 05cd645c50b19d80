"""Newton's method, for the end of a search: few steps, to the last digits."""

import warnings
from collections.abc import Callable
from functools import cache
from typing import Any, NamedTuple, cast

import jax
import jax.numpy as jnp
import numpy as np
import optax

from jamsgrad import _check
from jamsgrad._tree import Tree, as_tree, as_vector

MOST = 64  # variables: a step costs as many gradients
_DAMPING = 1e-2  # of the curvature, at first
_TRIED = np.array(
    [0.0, 0.1, 1.0, 10.0, 1e2, 1e4]
)  # times the damping: the steps that are tried at once
_MOST_DAMPING = 1e8  # steps are then so short that nothing is to be had
_KICKS = np.geomspace(0.1, 1e-4, _TRIED.size)  # of the box: the steps where the value bends down
_ULPS = 64  # values that differ by no more roundings say nothing


class NewtonState(NamedTuple):
    """The state of `newton`.

    Attributes:
      damping: what is added to the curvatures, each variable being measured by its own.
      length: the largest component of the last step, if that was undamped, relative to x; or 0.
      ended: 1 if no digit is left to be won, 2 if no step lowers the value, else 0; int32.
    """

    damping: jax.Array
    length: jax.Array
    ended: jax.Array


def newton(max_variables: int = MOST) -> optax.GradientTransformationExtraArgs:
    r"""Damped Newton steps with the exact Hessian, as an optax transformation: to finish a search.

    With the Hessian H and the gradient g of the variables that no bound holds, and D the diagonal
    of H without its signs, a step is

    .. math:: u = - (H + \mu D)^{-1} g

    cut off at the bounds. Six dampings :math:`\mu` are tried at once, 0 among them, and the lowest
    value counts. If none is lower than here, x stays, and the damping grows. So no step raises the
    value, by more than rounding: near the end, where values agree to 64 roundings, the full step is
    taken as long as these steps become shorter. Where :math:`H + \mu D` is not positive definite,
    the step goes along a direction in which the value bends down, also where g is 0, as at a
    saddle.

    A step costs as many gradients as there are variables, and seven values.

    Args:
      max_variables: for how many variables it may be used, at least 1; a complex one counts twice.

    Returns:
      An optax transformation. `update` needs `params` and `value_fn=`, a function of them; it takes
      `value=` and `bounds=`, a tuple (lower, upper) of trees like them. `minimize` and `multistart`
      hand all of that over.

    Raises:
      ValueError: from `init`, if there are more variables; from `update`, without `value_fn`.
      TypeError: from `update`, if the function has no second derivative.

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
      Control Optim. 20, 1982. Nocedal and Wright, Numerical Optimization, chapters 4 and 16. Moré,
      The Levenberg-Marquardt algorithm, 1978 (the scaling by D).
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
        return NewtonState(
            jnp.asarray(_DAMPING, row.dtype), jnp.zeros([], row.dtype), jnp.zeros([], jnp.int32)
        )

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
        moved, state = _step(fun, x, value, as_vector(updates).astype(x.dtype), low, high, state)
        return as_tree(moved - x, params), state

    return optax.GradientTransformationExtraArgs(init, cast(Any, update))


def newton_state(opt_state: Tree) -> NewtonState | None:
    """The state of `newton` in that of an optimizer, if it is there."""
    leaves = jax.tree.leaves(opt_state, is_leaf=lambda node: isinstance(node, NewtonState))
    return next((leaf for leaf in leaves if isinstance(leaf, NewtonState)), None)


def _step(
    fun: Callable[[jax.Array], jax.Array],
    x: jax.Array,
    value: jax.Array,
    grad: jax.Array,
    low: jax.Array,
    high: jax.Array,
    state: NewtonState,
) -> tuple[jax.Array, NewtonState]:
    """The next point, and the state there; x is a vector of real numbers."""
    eps, ulp = float(jnp.finfo(x.dtype).eps), float(jnp.finfo(value.dtype).eps)
    held = ((x <= low) & (grad > 0)) | ((x >= high) & (grad < 0)) | (low == high)
    grad = jnp.where(held, 0, grad)
    hessian = jnp.where(held[None] | held[:, None], 0, _hessian(fun, x))
    finite = jnp.isfinite(hessian).all()
    unit = jnp.sqrt(jnp.abs(jnp.diagonal(hessian)))
    unit = jnp.where(finite & (unit > 0), unit, 1)
    scaled = jnp.where(finite, hessian / unit[None] / unit[:, None], 0) + jnp.diag(
        held.astype(x.dtype)
    )
    damping = state.damping * _TRIED.astype(x.dtype)
    steps, convex, bend = jax.vmap(_solved, (None, None, 0))(scaled, -grad / unit, damping)

    # Where the value bends down, by parts of the box.
    bounded = jnp.isfinite(high - low) & (low < high)
    reach = jnp.where(bounded, high - low, jnp.maximum(jnp.abs(x), 1))
    bend *= jnp.where(bend @ (grad / unit) > 0, -1, 1)[:, None]
    bend *= (_KICKS.astype(x.dtype) / jnp.max(jnp.abs(bend) / (unit * reach)[None], axis=1))[
        :, None
    ]
    steps = jnp.where(convex[:, None], steps, bend) / unit[None]
    points = jnp.where(held[None], x[None], jnp.clip(x[None] + steps, low[None], high[None]))
    values = jax.vmap(fun)(points)
    values = jnp.where(jnp.isfinite(values), values, jnp.inf)
    lowest = jnp.argmin(values)
    lower = values[lowest] < value

    # Near the end, where values agree to rounding, the length of a full step tells.
    rounding = _ULPS * ulp * jnp.abs(value)
    size = jnp.where(bounded, jnp.maximum(jnp.abs(x), 1e-3 * (high - low)), jnp.abs(x))
    length = jnp.max(jnp.where(steps[0] == 0, 0, jnp.abs(steps[0]) / size))
    agree = convex[0] & (-grad @ steps[0] <= rounding) & (values[0] <= value + rounding)
    shorter = (length < state.length / 2) | (state.length == 0)
    chosen = jnp.where(agree, 0, lowest)
    moves = finite & jnp.where(agree, shorter, lower)
    full = moves & convex[0] & (chosen == 0)
    # The order of convergence is two: the error left follows from the last two lengths.
    exact = (length <= eps**0.75) | (length**3 <= 1e-3 * eps * state.length**2)
    done = jnp.where(moves, full & exact, agree | (length <= 10 * eps**0.5))
    settled = finite & convex[0] & done
    less = jnp.where(chosen == 0, state.damping * 1e-2, damping[chosen])
    after = jnp.where(moves, jnp.maximum(less, eps), state.damping * 1e6)
    stuck = ~moves & (~finite | (after > _MOST_DAMPING))
    ended = jnp.where(settled, 1, jnp.where(stuck, 2, 0)).astype(jnp.int32)
    length = jnp.where(full, length, 0)
    return jnp.where(moves, points[chosen], x), NewtonState(after, length, ended)


def _solved(
    matrix: jax.Array, right: jax.Array, damping: jax.Array
) -> tuple[jax.Array, jax.Array, jax.Array]:
    """The solution of (matrix + damping) y = right, by Gauss and Jordan.

    And whether that is positive definite; else a vector along which it is not.
    """
    d = right.size
    rows, none = np.arange(d), jnp.zeros_like(right)
    left = matrix + damping * jnp.eye(d, dtype=matrix.dtype)
    least = 4 * d * float(jnp.finfo(matrix.dtype).eps)

    def eliminate(i: jax.Array, carry: tuple) -> tuple:
        table, bend, convex = carry
        column, pivot = table[:, i], table[i, i]
        here = convex & ~(pivot > least)
        bend = jnp.where(here, jnp.where(rows == i, 1, jnp.where(rows < i, -column, 0)), bend)
        row = table[i] / pivot
        table -= jnp.where(rows == i, column - 1, column)[:, None] * row[None]
        return table, bend, convex & ~here

    table = jnp.concatenate([left, right[:, None]], axis=1)
    table, bend, convex = jax.lax.fori_loop(0, d, eliminate, (table, none, np.True_))
    return table[:, d], convex, bend


def _hessian(fun: Callable[[jax.Array], jax.Array], x: jax.Array) -> jax.Array:
    """The Hessian, or NaN if JAX finds none."""
    try:
        return jax.jacfwd(jax.grad(fun))(x)
    except (TypeError, ValueError, NotImplementedError) as error:
        warnings.warn(
            f"fun has no second derivative, so that newton() cannot finish the search: {error}",
            stacklevel=2,
        )
        return jnp.full((x.size, x.size), jnp.nan, x.dtype)
