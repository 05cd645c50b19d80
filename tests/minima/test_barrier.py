"""Barriers: wells stay apart however near, and rounding is none."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from wells import BLOBS, around, blobs, divided, found

from jamsgrad import problems
from jamsgrad._minima import barrier as _barrier
from jamsgrad._minima.minima import distinct_minima


@pytest.mark.parametrize("numbers", [1, 1000, 10_000])
def test_pairs_are_compared_in_as_many_calls_as_memory_asks_for(monkeypatch, numbers):
    x = around(BLOBS, [5, 30, 1, 40])
    expected, basin = divided(blobs, x, ([-4, -4], [4, 4]))
    monkeypatch.setattr(_barrier, "_NUMBERS", numbers)
    minima, again = divided(blobs, x, ([-4, -4], [4, 4]))
    np.testing.assert_array_equal(again, basin)
    assert [m.fun for m in minima] == [m.fun for m in expected]


@pytest.mark.parametrize("gap", [1e-2, 1e-3, 1e-4])
def test_two_wells_much_closer_than_the_radius_stay_two(gap):
    def fun(x):
        return ((x[0] / gap) ** 2 - 1) ** 2 + x[1] ** 2

    x = around([[-gap, 0.0], [gap, 0.0]], [30, 20], noise=gap / 10)
    minima = found(fun, x, ([-10, -10], [10, 10]))
    assert sorted(m.count for m in minima) == [20, 30]


@pytest.mark.parametrize("unit", [1e-6, 1.0, 1e6])
def test_two_wells_with_a_barrier_stay_two(unit):
    def fun(x):  # the wells are 2 radii apart, neighbours by any measure
        return unit * ((x[0] / 0.02) ** 2 - 1) ** 2 + unit * x[1] ** 2

    x = around([[-0.02, 0.0], [0.02, 0.0]], [30, 20])
    minima = found(fun, x, ([-1, -1], [1, 1]))
    assert sorted(m.count for m in minima) == [20, 30]
    assert {m.kind for m in minima} == {"minimum"}

    def without(x):
        return unit * x[1] ** 2

    (minimum,) = found(without, x, ([-1, -1], [1, 1]))
    assert minimum.count == 50


def test_nan_between_two_wells_is_a_barrier():
    def fun(x):
        return jnp.where(abs(x) < 0.005, jnp.nan, 0.0)

    assert len(found(fun, np.array([-0.02, 0.02]), (-1, 1))) == 2
    assert len(found(lambda x: 0 * x, np.array([-0.02, 0.02]), (-1, 1))) == 1


def test_points_that_agree_to_rounding_are_one_whatever_lies_between():
    rng = np.random.default_rng(3)
    x = 1 + np.finfo(float).eps * rng.integers(0, 5, (40, 2))
    (minimum,) = found(lambda x: jnp.sum(jnp.cos(1e18 * x)), x, ([-2, -2], [2, 2]))
    assert minimum.count == 40
    assert len(found(lambda x: jnp.sum(x) * jnp.nan, x, (-2, 2))) == 0
    values = np.zeros(40)
    minima, _ = distinct_minima(
        lambda x: jnp.sum(x) * jnp.nan, x, values, values, None, n_searches=40
    )
    assert [m.count for m in minima] == [40]


def test_rounding_of_terms_much_larger_than_the_value_is_no_barrier():
    # At its outer minima the function is 0.3, the sum of terms up to 10.
    problem = problems.three_hump_camel
    with jax.enable_x64(False):
        x = around([[1.7475523, -0.8737761]], [300], noise=2e-4).astype(np.float32)
        (minimum,) = found(problem.fun, x, problem.bounds)
    assert minimum.count == 300


@pytest.mark.parametrize("constant", [0.0, 1.0])
def test_rounding_is_no_barrier(constant):
    # At the minimum the terms of the value cancel, and what is left is their rounding.
    def fun(x):
        return constant + jnp.sum(x**2) - constant * jnp.cos(x[0])

    with jax.enable_x64(False):
        x = around([[0.0, 0.0]], [2000], noise=1e-3).astype(np.float32)
        (minimum,) = found(fun, x, (-10, 10))
    assert minimum.count == 2000


@pytest.mark.parametrize("large", [1e2, 1e4, 1e6])
def test_residuals_that_cancel_make_no_minima(large):
    """The noise of a sum of squares is that of its residuals, differences of large terms."""
    data = large + 1e-3 * jnp.sin(jnp.arange(20.0))

    def fun(x):
        model = large * jnp.ones(20) + x[0] + x[1] * jnp.arange(20.0) / 20
        return jnp.sum((model - data) ** 2) * 1e6

    x = around([[0.0, 0.0]], [60], noise=1e-8)
    assert [m.count for m in found(fun, x, ([-1, -1], [1, 1]))] == [60]


def test_far_from_zero_wells_are_as_wide_as_their_box():
    """Of x near 1e9 ten digits are a tenth of the box, in which there are two wells."""

    def fun(x):
        return ((x[0] - 1e9) / 0.02) ** 2 * ((x[0] - 1e9 - 0.1) / 0.02) ** 2 + x[1] ** 2

    x = around([[1e9, 0.0], [1e9 + 0.1, 0.0]], [30, 20], noise=1e-3)
    assert sorted(m.count for m in found(fun, x, ([1e9 - 0.5, -1], [1e9 + 0.5, 1]))) == [20, 30]


def test_ends_that_agree_to_ten_digits_are_one_whatever_the_noise():
    """Noise of 1e-6, larger than any bowl of the width of the ends."""

    def fun(x):
        return jnp.sum(x**2) + 1e-6 * jnp.sin(1e17 * x[0])

    x = around([[0.3, 0.0]], [50], noise=2e-12)
    assert [m.count for m in found(fun, x, ([-1, -1], [1, 1]))] == [50]
