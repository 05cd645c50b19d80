"""Valleys that bend are one minimum, however few searches ended in them; two valleys are two."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from reference import explore
from wells import found

import jamsgrad


def on_ring(n, radius=1.0):
    angle = np.random.default_rng(3).uniform(0, 2 * np.pi, n)
    return radius * np.stack([np.cos(angle), np.sin(angle)], axis=1)


def ring(x):
    return (jnp.sum(x**2) - 1) ** 2


@pytest.mark.parametrize("n", [15, 60, 500])
@pytest.mark.parametrize("noise", [0, 1e-6, 1e-4])
def test_a_ring_is_one_minimum_however_few_searches_ended_on_it(n, noise):
    x = on_ring(n) * (1 + noise * np.random.default_rng(4).standard_normal((n, 1)))
    (minimum,) = found(ring, x, ([-2, -2], [2, 2]))
    assert (minimum.count, minimum.kind) == (n, "flat")
    assert minimum.extent.min() > 1.8


@pytest.mark.parametrize("n", [60, 400])
def test_a_valley_of_more_dimensions_is_one(n):
    x = np.random.default_rng(3).standard_normal((n, 3))
    x /= np.linalg.norm(x, axis=1, keepdims=True)
    (minimum,) = found(ring, x, ([-2] * 3, [2] * 3))
    assert (minimum.count, minimum.kind) == (n, "flat")


@pytest.mark.parametrize("n", [20, 60, 300])
def test_the_two_branches_of_a_product_are_two_valleys(n):
    rng = np.random.default_rng(3)
    s = np.exp(rng.uniform(-np.log(4), np.log(4), n)) * rng.choice([-1, 1], n)
    minima = found(
        lambda x: (x[0] * x[1] - 1) ** 2, np.stack([s, 1 / s], axis=1), ([-4, -4], [4, 4])
    )
    assert sorted(m.count for m in minima) == sorted([np.sum(s < 0), np.sum(s > 0)])
    assert {m.kind for m in minima} == {"flat"}


def test_rings_within_each_other_stay_two():
    def fun(x):
        r = jnp.sqrt(jnp.sum(x**2))
        return 1 - jnp.cos(2 * np.pi * (r - 1) / 0.4)

    x = np.concatenate([on_ring(100), on_ring(80, 1.4)])
    assert sorted(m.count for m in found(fun, x, ([-2, -2], [2, 2]))) == [80, 100]


def test_rings_at_two_heights_stay_two():
    def fun(x):
        r = jnp.sqrt(jnp.sum(x**2))
        return jnp.minimum((r - 1) ** 2, 0.1 + (r - 1.6) ** 2)

    x = np.concatenate([on_ring(100), on_ring(80, 1.6)])
    assert [m.count for m in found(fun, x, ([-2, -2], [2, 2]))] == [100, 80]


@pytest.mark.parametrize("second", [True, False])
def test_a_valley_is_known_without_second_derivatives(second):
    def fun(x):
        return 5 * (x[0] - x[1]) ** 2

    once = jax.custom_vjp(fun)
    once.defvjp(lambda x: (fun(x), x), lambda x, g: (g * jax.grad(fun)(x),))
    s = np.random.default_rng(3).uniform(-2, 2, 40)
    (minimum,) = found(fun if second else once, np.stack([s, s], axis=1), ([-2, -2], [2, 2]))
    assert (minimum.count, minimum.kind) == (40, "flat")
    np.testing.assert_allclose(minimum.extent, np.ptp(s))


def test_a_fit_by_two_exponentials_has_two_valleys_which_are_mirror_images():
    t = jnp.linspace(0, 5, 30)
    data = 2 * jnp.exp(-0.7 * t)

    def fun(p):
        return jnp.sum((p[0] * jnp.exp(-p[1] * t) + p[2] * jnp.exp(-p[3] * t) - data) ** 2)

    result = explore(
        fun, ([0, 0.1, 0, 0.1], [5, 3, 5, 3]), jamsgrad.amsgrad(0.1, b2=0.99),
        key=jax.random.key(0), n_starts=300, max_steps=3000,
    )  # fmt: skip
    assert result.n_success > 100
    assert len(result.minima) <= 5
    two = sorted(result.minima, key=lambda minimum: minimum.count)[-2:]
    assert {minimum.kind for minimum in two} <= {"flat", "on the boundary"}
    assert sum(minimum.count for minimum in two) > 0.9 * result.n_success


def test_the_plateau_of_a_peak_is_no_minimum_for_each_search():
    x = jnp.linspace(400.0, 500.0, 35)

    def peak(b):
        return b[0] / b[1] * jnp.exp(-0.5 * ((x - b[2]) / b[1]) ** 2)

    data = peak(jnp.array([1.55, 4.09, 451.5]))
    result = explore(
        lambda b: jnp.sum((peak(b) - data) ** 2),
        (np.array([0.5, 2.0, 225.0]), np.array([20.0, 20.0, 1000.0])),
        jamsgrad.amsgrad(1.0, b2=0.99), key=jax.random.key(0), n_starts=128,
    )  # fmt: skip
    best, *others = result.minima
    assert (best.kind, best.fun < 1e-6) == ("minimum", True)
    assert len(others) < 10
    assert sum(m.count for m in others if m.kind == "flat") > 80
