"""Kinds and conditions: what the Hessian says of a point."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from wells import found


@pytest.mark.parametrize(
    ("fun", "x", "bounds", "kind", "condition"),
    [
        (lambda x: jnp.sum(x**2), [0, 0], None, "minimum", 1),
        (lambda x: jnp.sum(jnp.array([1.0, 10.0, 1e4]) * x**2), [0, 0, 0], None, "minimum", 1e4),
        (lambda x: jnp.sum(jnp.array([1.0, 1e12]) * x**2), [0, 0], None, "minimum", 1e12),
        (lambda x: jnp.sum(jnp.array([1.0, 1e15]) * x**2), [0, 0], None, "flat", np.inf),
        (lambda x: x[0] ** 2 - 4 * x[1] ** 2, [0, 0], None, "saddle", 4),
        (lambda x: -jnp.sum(x**2), [0, 0], None, "saddle", 1),
        (lambda x: 0 * x[0] + 3, [0, 0], None, "flat", np.inf),
        (lambda x: x[0] ** 2 + x[1] ** 4, [0, 0], None, "flat", np.inf),
        (lambda x: x[0] + 2 * x[1], [-1, -1], (-1, 1), "on the boundary", np.nan),
        (lambda x: x[1] ** 2 - x[0], [1, 0], (-1, 1), "on the boundary", 1),
        (lambda x: -(x[1] ** 2) - x[0], [1, 0], (-1, 1), "saddle", 1),
        (lambda x: jnp.sum(jnp.array([1.0, 3.0]) * x**2), [0, 0], (0, 1), "minimum", 3),
        (jnp.sum, [1, 1], (1, 1), "minimum", np.nan),
        (lambda x: jnp.sum(jnp.abs(x) ** 1.5), [0, 0], None, "unknown", np.nan),
    ],
)
def test_kind_and_condition(fun, x, bounds, kind, condition):
    (minimum,) = found(fun, np.array([x], float), bounds)
    assert minimum.kind == kind
    np.testing.assert_allclose(minimum.condition, condition, rtol=1e-12)


def test_in_float32_what_rounding_made_is_flat():
    for x64, kind in ((True, "minimum"), (False, "flat")):
        with jax.enable_x64(x64):
            weights = jnp.array([1e-6, 1.0])
            (minimum,) = found(lambda x, w=weights: jnp.sum(w * x**2), jnp.zeros((1, 2)))
            assert minimum.kind == kind


def test_an_objective_without_second_derivatives_or_of_too_many_variables_is_unknown():
    @jax.custom_vjp
    def once(x):
        return jnp.sum(x**2)

    once.defvjp(lambda x: (once(x), x), lambda x, g: (2 * g * x,))
    (minimum,) = found(once, np.zeros((3, 2)))
    assert (minimum.kind, minimum.count) == ("unknown", 3)
    assert math.isnan(minimum.condition)
    (minimum,) = found(lambda x: jnp.sum(x**2), np.zeros((3, 201)))
    assert (minimum.kind, minimum.count) == ("unknown", 3)


def test_only_the_best_minima_are_certified():
    x = np.arange(300.0)
    minima = found(lambda x: 1e-3 * x - jnp.cos(2 * math.pi * x), x, (0, 300), tol=1e-3)
    assert len(minima) == 300
    assert [m.kind != "unknown" for m in minima] == [True] * 256 + [False] * 44
