"""Clusters: every well is one, and a valley is one well."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from wells import found

import jamsgrad
from jamsgrad import problems
from jamsgrad._minima.clusters import leaders


def test_tol_is_the_radius_as_a_part_of_the_box_in_every_coordinate():
    for step, plains in ([0.029, 0.0], 1), ([0.031, 0.0], 2), ([0.0, 0.29], 1), ([0.0, 0.31], 2):
        x = np.array([0.5, 5.0]) + np.array([[0, 0], step])
        assert len(found(lambda x: 0 * x[0], x, ([0, 0], [1, 10]))) == plains, step
        assert len(found(lambda x: 0 * x[0], x, ([0, 0], [1, 10]), tol=0.02)) == 1, step


@pytest.mark.parametrize("d", [3, 5])
def test_thousands_of_leaders_are_those_of_the_rule(d):
    # Mere points, and clusters that fray at the radius, mixed.
    rng = np.random.default_rng(5)
    centers = np.repeat(rng.uniform(0, 1, (500, d)), 5, axis=0)
    frayed = centers + rng.uniform(-0.02, 0.02, (2500, d))
    x = rng.permutation(np.concatenate([rng.uniform(0, 1, (1500, d)), frayed]))
    expected = np.full(len(x), -1)
    for i in range(len(x)):
        if expected[i] < 0:
            expected[(expected < 0) & (np.abs(x - x[i]).max(axis=1) <= 0.01)] = i
    assert len(np.unique(expected)) > 2000
    np.testing.assert_array_equal(leaders(x, 0.01), expected)


def test_a_point_stays_with_the_first_that_took_it():
    assert leaders(np.array([[0.0], [0.009], [0.015]]), 0.01).tolist() == [0, 0, 2]


@pytest.fixture(scope="module", params=[1, 2])
def griewank(request):
    """Minima of Griewank's function, and of all that stopped in a well: end, basin and well."""
    problem = problems.griewank(request.param)
    optimizer = jamsgrad.amsgrad(1.0, b2=0.99)
    key = jax.random.key(0)
    result = jamsgrad.multistart(
        problem.fun, problem.bounds, optimizer, key=key, n_starts=5000, gtol=1e-3
    )
    assert result.n_success == 5000
    x = np.asarray(result.x)
    sines = np.rint(x / np.pi / np.sqrt(np.arange(1, request.param + 1)))  # all 0 at a minimum
    in_well = np.sum(sines, axis=1) % 2 == 0  # two searches stopped on top of a hill
    assert np.sum(in_well) > 4990
    _, well = np.unique(sines[in_well], axis=0, return_inverse=True)
    return result.minima, x[in_well], result.basin[in_well], well.ravel()


def test_every_well_of_griewanks_function_is_a_minimum_of_its_own(griewank):
    minima, x, basin, well = griewank
    pairs = np.unique([basin, well], axis=1)
    assert len(np.unique(basin)) == pairs.shape[1] == well.max() + 1
    assert len(minima) - len(np.unique(basin)) <= 1  # a hill is none, or a saddle
    if x.shape[1] == 1:
        assert abs(len(minima) - 191) <= 1  # one for every 2 pi of a box of 1200
    for i in np.unique(basin):
        assert np.abs(x[basin == i] - minima[i].x).max() < math.pi


def test_hits_of_the_best_well_are_the_searches_that_ended_there(griewank):
    (best, *_), x, *_ = griewank
    ended = np.linalg.norm(x - best.x, axis=1) < math.pi
    assert best.count == np.sum(ended) > 0
    if x.shape[1] == 1:
        assert np.abs(best.x).max() < 1e-2
        # A well is 2 pi of the box of 1200 wide: 26 of 5000 searches, with a deviation of 5.
        assert abs(best.count - 26) < 4 * 5


def valley(x):
    """Rosenbrock's valley without the slope along it."""
    return 100 * (x[1] - x[0] ** 2) ** 2


@pytest.mark.parametrize("n", [500, 20_000])
@pytest.mark.parametrize("noise", [0, 1e-5])
def test_a_flat_valley_is_one_minimum(n, noise):
    rng = np.random.default_rng(3)
    s = rng.uniform(-1.2, 1.2, n)
    x = np.stack([s, s**2 + noise * rng.standard_normal(n)], axis=1)
    (minimum,) = found(valley, x, ([-2, -2], [2, 2]))
    assert (minimum.count, minimum.kind, minimum.condition) == (n, "flat", math.inf)


def test_a_ring_is_one_minimum_in_any_unit():
    rng = np.random.default_rng(3)
    angle = rng.uniform(0, 2 * math.pi, 500)
    x = np.stack([np.cos(angle), np.sin(angle)], axis=1)
    for unit in (1e-6, 1.0, 1e6):
        (minimum,) = found(
            lambda x, unit=unit: unit * (jnp.sum(x**2) - 1) ** 2, x, ([-2, -2], [2, 2])
        )
        assert (minimum.count, minimum.kind) == (500, "flat")


def test_where_rosenbrock_was_left_is_one_minimum():
    problem = problems.rosenbrock(2)
    rng = np.random.default_rng(3)
    s = rng.uniform(0.6, 1.4, 300)  # much looser than any search would stop
    (minimum,) = found(problem.fun, np.stack([s, s**2], axis=1), problem.bounds)
    assert minimum.count == 300
    assert minimum.kind == "minimum"
