"""Kinds and conditions: what the Hessian says of a point."""

import functools
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


@functools.cache
def in_units(fun):
    """The function with its units as arguments, so that it is compiled once for all of them."""
    return lambda x, unit, length: unit * fun(x / length)


UNITS = [(1, 1), (1e-9, 1), (1e9, 1), (1, 1e-6), (1, 1e6), (1e-9, 1e6)]


@pytest.mark.parametrize(("unit", "length"), UNITS)
@pytest.mark.parametrize(
    ("fun", "x", "kind"),
    [
        (lambda x: jnp.sum(x**2), [1e-4, 0], "minimum"),
        (lambda x: jnp.sum(x**2), [0.1, 0], "unconverged"),
        (lambda x: jnp.sum((x + jnp.array([0.0, 3.0])) ** 2), [1e-4, -2], "on the boundary"),
        (lambda x: jnp.sum((x + jnp.array([0.0, 3.0])) ** 2), [0.1, -2], "unconverged"),
        (lambda x: x[0] ** 2 - 4 * x[1] ** 2, [1e-4, 0], "saddle"),
        (lambda x: x[0] + 2 * x[1], [-2, -2], "on the boundary"),
        (lambda x: x[0] + 2 * x[1], [0, 0], "unconverged"),
        (lambda x: x[0] ** 2, [1e-4, 0], "flat"),
        (lambda x: x[0] ** 2 + 1e-7 * x[1] ** 2, [1e-4, 0.5], "flat"),
        (lambda x: x[0] ** 2 + 1e-2 * x[1] ** 2, [1e-4, 0.5], "unconverged"),
        (lambda x: 0 * x[0] + 3, [0.3, 0], "flat"),
        (lambda x: jnp.exp(-jnp.sum((x + 1) ** 2) / 0.02), [1, 1], "flat"),
        (lambda x: -jnp.exp(-(x[0] + 2) / 1e-3) + x[1] ** 2, [-1.95, 0], "flat"),
        (lambda x: jnp.exp(-(x[0] + 2) / 1e-3) + x[1] ** 2, [-1.95, 0], "flat"),
    ],
)
def test_the_kind_is_the_same_in_any_unit(fun, x, kind, unit, length):
    x = length * np.array([x], float)
    box = -2.0 * length, 2.0 * length
    (minimum,) = found(in_units(fun), x, box, args=(float(unit), float(length)))
    assert minimum.kind == kind


def test_a_parabola_in_small_units_has_at_most_one_minimum():
    # No gradient is larger than gtol, so that all searches end where they start.
    x = np.random.default_rng(3).uniform(-9, 9, (50, 1))
    (minimum,) = found(lambda x: 1e-9 * jnp.sum((x - 3) ** 2), x, ([-9], [9]))
    assert minimum.count == 50
    assert minimum.kind == ("minimum" if abs(minimum.x[0] - 3) < 0.018 else "unconverged")
    x = np.concatenate([x, [[3.0]]])
    (minimum,) = found(lambda x: 1e-9 * jnp.sum((x - 3) ** 2), x, ([-9], [9]))
    assert (minimum.x, minimum.count, minimum.kind) == (3, 51, "minimum")


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
