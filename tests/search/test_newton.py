"""Newton's method: to the last digits, inside the box, away from saddles, never uphill."""

from functools import cache

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from jamsgrad import Status, minimize, newton, problems, sample_starts

SMOOTH = (
    "beale",
    "booth",
    "bowl",
    "branin",
    "goldstein_price",
    "himmelblau",
    "matyas",
    "mccormick",
    "six_hump_camel",
    "three_hump_camel",
    "rosenbrock",
    "sphere",
    "styblinski_tang",
    "levy",
    "rastrigin",
)
BUMPY = ("ackley", "griewank", "michalewicz", "schwefel")


def problem(name):
    found = getattr(problems, name)
    return found if isinstance(found, problems.Problem) else found(3)


def ends(fun, starts, bounds=None, **options):
    """Where newton() leads to from many starts."""
    given = {"max_steps": 60, "gtol": 0.0, "bounds": bounds} | options
    return jax.jit(jax.vmap(lambda x: minimize(fun, x, newton(), **given)))(starts)


@cache
def searched(name, dtype):
    """The ends from eight starts near each minimizer, then from 32 in the whole box."""
    found = problem(name)
    wide = np.subtract(*found.bounds[::-1])
    steps = np.random.default_rng(0).uniform(-0.01, 0.01, (8, *found.minimizers.shape))
    near = np.clip(found.minimizers + steps * wide, *found.bounds).reshape(-1, wide.size)
    far = sample_starts(jax.random.key(0), 32, found.bounds)
    starts = np.concatenate([near, far]).astype(dtype)
    box = tuple(end.astype(dtype) for end in found.bounds)
    return ends(found.fun, starts, box, record_every=1), len(near)


@pytest.mark.as_users_compile
@pytest.mark.parametrize(
    ("name", "dtype"),
    [(name, "float64") for name in SMOOTH] + [(name, "float32") for name in SMOOTH[::3]],
)
def test_it_ends_within_ten_roundings_of_the_minimizers(name, dtype):
    result, n = searched(name, dtype)
    minimizers = problem(name).minimizers
    assert set(result.status[:n].tolist()) <= {Status.GTOL, Status.ROUNDING}
    apart = np.abs(np.asarray(result.x[:n], float)[:, None] - minimizers)
    apart = (apart / np.maximum(1, np.abs(minimizers))).max(axis=2).min(axis=1)
    assert apart.max() <= 10 * np.finfo(dtype).eps


@pytest.mark.as_users_compile
@pytest.mark.parametrize("name", [*SMOOTH, *BUMPY])
def test_no_value_is_raised_by_more_than_rounding_and_no_point_leaves_the_box(name):
    result, _ = searched(name, "float64")
    path, x = np.asarray(result.trajectory.fun), np.asarray(result.trajectory.x)
    rounding = 1e-12 * np.maximum(1, np.abs(path[:, :-1]))
    assert not (np.diff(path) > rounding).any()
    lower, upper = problem(name).bounds
    assert not ((x < lower) | (x > upper)).any()


@pytest.mark.parametrize(
    ("fun", "start", "value"),
    [
        (lambda x: x[0] ** 4 - x[0] ** 2 + x[1] ** 2, [0.0, 0.0], -0.25),
        (lambda x: x[0] ** 4 + x[1] ** 4 - 2 * x[0] * x[1], [0.0, 0.0], -0.5),
        (lambda x: jnp.cos(x[0]) + jnp.cos(x[1]), [0.0, 0.0], -2.0),  # a maximum
        (lambda x: x[0] * x[1] + 0.25 * jnp.sum(x**4), [1e-9, 1e-9], -0.5),
    ],
)
def test_it_leaves_saddles_and_maxima(fun, start, value):
    result = ends(fun, jnp.array([start]), gtol=None, max_steps=40)
    assert result.fun[0] == pytest.approx(value, abs=1e-12)


def test_bounds_hold_variables_whose_descent_leads_out():
    def fun(x):
        return (x[0] - 2.0) ** 2 + (x[1] + x[0] - 0.5) ** 2

    result = minimize(fun, jnp.zeros(2), newton(), bounds=([-1, -1], [1, 1]), gtol=1e-12)
    assert result.success
    assert result.x[0] == 1.0  # the bound itself; the other within ten roundings, as everywhere
    np.testing.assert_allclose(result.x[1], -0.5, rtol=10 * np.finfo(float).eps)
    fixed = minimize(fun, jnp.zeros(2), newton(), bounds=([0, -1], [0, 1]), gtol=1e-12)
    assert fixed.x[0] == 0.0
    np.testing.assert_allclose(fixed.x[1], 0.5, rtol=10 * np.finfo(float).eps)


def test_units_of_variables_and_values_do_not_count():
    bent = problems.rosenbrock(2).fun
    unit = np.array([1e-6, 1e6])
    plain = minimize(bent, jnp.array([-1.0, 1.0]), newton(), gtol=0.0)
    scaled = minimize(
        lambda x: 1e-9 * bent(x / unit), jnp.array([-1.0, 1.0]) * unit, newton(), gtol=0.0
    )
    assert scaled.n_steps == pytest.approx(plain.n_steps, abs=2)
    np.testing.assert_allclose(scaled.x / unit, [1, 1], rtol=1e-15)


def test_trees_and_complex_numbers_are_vectors_of_reals():
    def fun(x):
        return (x["a"] - 1.0) ** 2 + jnp.sum(jnp.abs(x["z"] - jnp.array([1 + 2j, 3j])) ** 2)

    x0 = {"a": jnp.array(0.0), "z": jnp.zeros(2, complex)}
    result = minimize(fun, x0, newton(), gtol=1e-12)
    assert result.n_steps <= 2
    assert result.x["a"] == 1.0
    np.testing.assert_allclose(result.x["z"], [1 + 2j, 3j], rtol=1e-15)


def test_it_is_an_optax_transformation_with_value_fn():
    def fun(x):
        return jnp.sum((x - 1.0) ** 2 * jnp.arange(1.0, 4.0))

    optimizer, x = newton(), jnp.zeros(3)
    state = optimizer.init(x)
    updates, state = optimizer.update(jax.grad(fun)(x), state, x, value_fn=fun)
    np.testing.assert_allclose(x + updates, np.ones(3), rtol=1e-15)
    assert isinstance(optimizer, optax.GradientTransformationExtraArgs)
    with pytest.raises(ValueError, match=r"update\(grads, state, params, value_fn=fun\)"):
        optimizer.update(x, state, x)


def test_too_many_variables_are_refused_with_the_way_out():
    with pytest.raises(ValueError, match=r"max_variables=64\) was given 65 .* optax.lbfgs"):
        newton().init(jnp.zeros(65))
    assert newton(65).init(jnp.zeros(65)).damping == 1e-2
    assert newton() is newton()


def test_without_a_second_derivative_it_says_so_and_stays():
    @jax.custom_jvp
    def fun(x):
        return jnp.sum(x**2)

    def numbers(x):
        return jax.pure_callback(lambda x: 2 * np.asarray(x), x, x)

    fun.defjvp(lambda x, t: (fun(*x), jnp.sum(numbers(*x) * t[0])))
    with pytest.warns(UserWarning, match="no second derivative"):
        result = minimize(fun, jnp.ones(2), newton(), gtol=1e-9)
    assert (result.status, result.x.tolist()) == (Status.STALLED, [1.0, 1.0])


def test_a_hessian_that_is_not_finite_moves_nothing():
    result = minimize(lambda x: jnp.abs(x) ** 1.5, jnp.array(0.0), newton(), gtol=None, max_steps=3)
    assert result.x == 0.0
