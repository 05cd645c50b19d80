"""The objective of rows: no more rows at once than asked for, and the same derivatives."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from reference import explore

from jamsgrad import amsgrad, problems
from jamsgrad._minima.objective import RowObjective

BOX = ([-2.0, -2.0], [2.0, 2.0])


def row_objective(fun, d, lanes):
    ends, ones = np.zeros(1), np.ones(d)
    return RowObjective(fun, (), ones, -ones, ones, 2 * ones, ends, 0 * ones, lanes)


@pytest.mark.parametrize("lanes", [None, 1, 2, 3, 7])
def test_a_hessian_by_some_columns_at_a_time_is_the_same(lanes):
    fun = problems.rosenbrock(5).fun
    at = np.linspace(-1, 1, 5)
    grad, hessian = row_objective(fun, 5, lanes).derivatives(at)
    np.testing.assert_allclose(grad, jax.grad(fun)(at), rtol=1e-12)
    np.testing.assert_allclose(hessian, jax.hessian(fun)(at), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("n", [0, 1, 5, 64, 1500])
@pytest.mark.parametrize("lanes", [None, 1, 5, 100])
def test_values_are_those_of_the_rows(n, lanes):
    if n:
        rows = np.random.default_rng(3).uniform(-1, 1, (n, 2))
        values = row_objective(problems.bowl.fun, 2, lanes).values(rows)
        np.testing.assert_allclose(values, jax.vmap(problems.bowl.fun)(rows), rtol=1e-12)


def counted(value, grad):
    """A simulator that only a callback knows, and how many points it was asked for at once."""
    sizes = []

    def call(x):
        sizes.append(x[..., 0].size)
        return np.asarray(value(x), np.float64)

    @jax.custom_vjp
    def fun(x):
        shape = jax.ShapeDtypeStruct((), jnp.float64)
        return jax.pure_callback(call, shape, x, vmap_method="broadcast_all")

    fun.defvjp(lambda x: (fun(x), x), lambda x, g: (g * grad(x),))
    return fun, sizes


SIMULATORS = {
    "bowl": (lambda x: ((np.asarray(x) - 1) ** 2).sum(-1), lambda x: 2 * (x - 1)),
    "plateau": (lambda x: 0 * np.asarray(x)[..., 0], lambda x: 0 * x),
    "four wells": (
        lambda x: ((np.asarray(x) ** 2 - 1) ** 2).sum(-1),
        lambda x: 4 * x * (x**2 - 1),
    ),
}


@pytest.mark.parametrize("name", SIMULATORS)
@pytest.mark.parametrize(("n_starts", "lanes"), [(1, 4), (4, 4), (6, 1), (40, 6), (40, None)])
def test_the_table_asks_for_no_more_points_at_once_than_lanes(name, n_starts, lanes):
    fun, sizes = counted(*SIMULATORS[name])
    found = explore(
        fun, BOX, amsgrad(0.1, b2=0.99), key=jax.random.key(0), n_starts=n_starts, lanes=lanes,
        gtol=1e-2, max_steps=300,
    )  # fmt: skip
    searched = sum(sizes)
    sizes.clear()
    assert sum(minimum.count for minimum in found.minima) == n_starts
    assert max(sizes, default=0) <= (lanes or 1024)
    assert len(set(sizes)) <= 2  # programs
    if name != "plateau":  # which no search has to cross
        assert sum(sizes) < 4 * searched
