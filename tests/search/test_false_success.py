"""No success that is none: steps that lead nowhere, other units, infinite slopes at a bound."""

import inspect

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from jamsgrad import Status, amsgrad, minimize


def bowl(x):
    return jnp.sum((x - jnp.ones((), x.dtype)) ** 2)


RATE_0 = {
    "a rate that decays to 0": optax.cosine_decay_schedule(0.01, 50),
    "a rate of 0 at first": lambda t: jnp.where(t < 30, 0.0, 0.05),
    "a rate that ends early": optax.linear_schedule(0.02, 0.0, 40),
    "warm restarts": optax.sgdr_schedule(
        [{"init_value": 0.0, "peak_value": 0.02, "decay_steps": 40, "warmup_steps": 20}] * 2
    ),
    "a rate of 0": 0.0,
}
ACCUMULATED = {
    f"{k} gradients a step": optax.MultiSteps(amsgrad(0.05), k).gradient_transformation()
    for k in (2, 4, 16)
}
OPTIMIZERS = {name: amsgrad(rate, b2=0.99) for name, rate in RATE_0.items()} | ACCUMULATED


@pytest.mark.parametrize(
    "tolerance", [{"xtol": 1e-6}, {"ftol": 1e-6}, {"xtol": 1e-6, "ftol": 1e-6}]
)
@pytest.mark.parametrize("name", OPTIMIZERS)
def test_a_step_that_does_not_move_x_is_not_convergence(name, tolerance, jax_of_a_reader):
    result = minimize(
        bowl, jnp.full(2, 5.0), OPTIMIZERS[name], gtol=None, max_steps=2000, **tolerance
    )
    assert not result.success or result.fun < 1e-2
    if name in ("a rate that decays to 0", "a rate of 0", "a rate that ends early"):
        assert result.status == Status.STALLED


@pytest.mark.parametrize(
    ("dtype", "x0", "rate"),
    [
        ("bfloat16", 5.0, 1e-3),
        ("float16", 500.0, 1e-2),
        ("float32", 1e6, 1e-3),
        ("float64", 1e16, 0.1),
    ],
)
@pytest.mark.parametrize("tolerance", [{"xtol": 1e-6}, {"ftol": 1e-6}, {"gtol": 1e-3}])
def test_x_that_can_no_longer_move_is_stalled(dtype, x0, rate, tolerance, jax_of_a_reader):
    with jax.enable_x64(dtype == "float64"):
        options = {"gtol": None, "max_steps": 100} | tolerance
        result = minimize(jnp.sum, jnp.full(2, x0, dtype), amsgrad(rate), **options)
    assert (result.status, result.success) == (Status.STALLED, False)
    assert "too small for the dtype of x" in result.message


@pytest.mark.parametrize("unit", [1e-15, 1e-9, 1e-3, 1.0, 1e6, 1e12])
@pytest.mark.parametrize("tolerance", [{"xtol": 1e-6}, {"ftol": 1e-9}])
@pytest.mark.parametrize("bounds", [None, (-10.0, 10.0)])
def test_tolerances_are_the_same_in_every_unit(unit, tolerance, bounds):
    bounds = None if bounds is None else tuple(unit * end for end in bounds)
    result = minimize(
        lambda x: unit * (1 + jnp.sum((x / unit - 3) ** 2)),
        jnp.array([unit, 5 * unit]),
        amsgrad(1e-2 * unit, b2=0.99),
        gtol=None,
        max_steps=5000,
        bounds=bounds,
        **tolerance,
    )
    assert result.success
    np.testing.assert_allclose(result.x / unit, 3, atol=0.05)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_gtol_is_the_cube_root_of_epsilon_by_default(dtype):
    auto = inspect.signature(minimize).parameters["gtol"].default
    eps = float(np.finfo(dtype).eps)
    assert auto == "auto"
    x0 = jnp.array([3.0], dtype)
    result = minimize(bowl, x0, optax.sgd(0.1), record_every=1)
    seen = result.trajectory.grad_norm[: int(result.trajectory.n_recorded)]
    assert result.status == Status.GTOL
    assert seen[-1] <= eps ** (1 / 3) < seen[-2]
    with pytest.raises(
        ValueError, match="gtol must be one of 'auto' or a number, or None, got 'small'"
    ):
        minimize(bowl, x0, optax.sgd(0.1), gtol="small")


@pytest.mark.parametrize(
    ("fun", "bounds", "corner"),
    [
        (lambda x: jnp.sum(jnp.sqrt(x)), (0.0, 10.0), 0.0),
        (lambda x: -jnp.sum(jnp.sqrt(2 - x)), (-1.0, 2.0), None),
        (lambda x: jnp.sum(jnp.cbrt(x - 1)), (1.0, 4.0), 1.0),
        (lambda x: jnp.sum(x**0.3) + jnp.sum((x[1:] - 2) ** 2) * 0, (0.0, 3.0), 0.0),
    ],
)
def test_finiteness_is_asked_of_the_projected_gradient(fun, bounds, corner):
    x0 = jnp.clip(jnp.array([1.3, 1.2]), *bounds)
    result = minimize(fun, x0, amsgrad(0.5), bounds=bounds)
    assert result.status == Status.GTOL
    if corner is not None:
        np.testing.assert_array_equal(result.x, corner)
        assert result.fun == fun(jnp.full(2, corner))
        assert result.grad_norm == 0


def test_one_variable_is_held_at_an_infinite_slope_while_another_moves():
    def fun(x):
        return jnp.sqrt(x[0]) + (x[1] - 3) ** 2

    result = minimize(fun, jnp.array([0.01, 0.0]), amsgrad(0.1), bounds=(0.0, 5.0), max_steps=3000)
    assert result.status == Status.GTOL
    np.testing.assert_allclose(result.x, [0.0, 3.0], atol=1e-4)
    free = minimize(jnp.sqrt, 0.0, amsgrad(0.1))  # no bound holds it
    assert free.status == Status.NONFINITE


def quadratic(x):
    return (x[0] + 1) ** 2 + 10 * (x[1] - 0.5 - x[0]) ** 2


def rosenbrock(x):
    return jnp.sum(100 * (x[1:] - x[:-1] ** 2) ** 2 + (1 - x[:-1]) ** 2)


@pytest.mark.parametrize(
    ("fun", "x0", "bounds", "expected"),
    [
        (quadratic, [2.0, 2.0], (0.0, 5.0), [0.0, 0.5]),
        (quadratic, [2.0, 2.0], ([-3.0, 0.7], [5.0, 5.0]), [1 / 11, 0.7]),
        (rosenbrock, [-1.0, 0.5], (-2.0, 0.8), [0.8, 0.64]),
        (rosenbrock, [1.5, 1.5], (1.1, 2.0), [1.1, 1.21]),
    ],
)
def test_lbfgs_meets_active_bounds(fun, x0, bounds, expected, jax_of_a_reader):
    with jax.enable_x64(True):
        result = minimize(fun, jnp.array(x0), optax.lbfgs(), bounds=bounds, max_steps=300)
        assert result.status == Status.GTOL
        np.testing.assert_allclose(result.x, expected, atol=1e-4)
        for step in 1e-3 * np.array([[1, 0], [-1, 0], [0, 1], [0, -1]]):
            assert fun(jnp.clip(result.x + step, *map(jnp.array, bounds))) >= result.fun - 1e-9
