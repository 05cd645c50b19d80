"""`basin_map`: the searches of `multistart` from a grid, where a reader of a map looks for them."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from reference import same_bits
from scipy.optimize import Bounds

from jamsgrad import Status, amsgrad, basin_map, minimize, problems

AMSGRAD = amsgrad(0.3, b2=0.99)
DESCENT = optax.sgd(0.02)  # without momentum nothing leaves its well
HIMMELBLAU = problems.himmelblau
SIZE = 24


def wells(x):
    """Two wells that differ in x0, the left one the deeper."""
    return (x[0] ** 2 - 1) ** 2 + 0.1 * x[0] + x[1] ** 2


def holed(x, radius):
    """Himmelblau's function, NaN around its minimum at (3, 2)."""
    hole = jnp.sum((x - jnp.array([3.0, 2.0])) ** 2) < radius**2
    return jnp.where(hole, jnp.nan, HIMMELBLAU.fun(x))


def search(fun=HIMMELBLAU.fun, bounds=HIMMELBLAU.bounds, optimizer=AMSGRAD, **options):
    return basin_map(fun, bounds, optimizer, **{"resolution": SIZE, "gtol": 1e-3} | options)


@pytest.fixture(scope="module")
def found():
    return search()


def pixel(found, x):
    """The [i, j] of the start nearest to x."""
    return np.abs(found.x1 - x[1]).argmin(), np.abs(found.x0 - x[0]).argmin()


def test_himmelblau_has_four_basins_and_every_minimum_lies_in_its_own(found):
    assert [found.basin[pixel(found, minimum.x)] for minimum in found.minima] == [0, 1, 2, 3]
    places = sorted(minimum.x.tolist() for minimum in found.minima)
    np.testing.assert_allclose(places, sorted(HIMMELBLAU.minimizers.tolist()), atol=1e-3)
    counts = [minimum.count for minimum in found.minima]
    assert np.bincount(found.basin.ravel()).tolist() == counts
    assert sum(counts) == SIZE**2


@pytest.mark.parametrize("i", [0, 5, 23])
@pytest.mark.parametrize("j", [0, 11, 18])
def test_the_map_tells_what_minimize_finds_from_there(found, i, j):
    start = jnp.array([found.x0[j], found.x1[i]])
    alone = minimize(HIMMELBLAU.fun, start, AMSGRAD, bounds=HIMMELBLAU.bounds, gtol=1e-3)
    assert (found.n_steps[i, j], found.status[i, j]) == (alone.n_steps, alone.status)
    np.testing.assert_allclose(found.fun[i, j], alone.fun, atol=1e-9)
    np.testing.assert_allclose(found.minima[found.basin[i, j]].x, alone.x, atol=1e-3)


def test_starts_are_the_middles_of_pixels_that_tile_the_box():
    found = search(problems.bowl.fun, ([-1, 10], [3, 12]), resolution=4)
    assert found.x0.tolist() == [-0.5, 0.5, 1.5, 2.5]
    assert found.x1.tolist() == [10.25, 10.75, 11.25, 11.75]
    for i in range(4):
        for j in range(4):
            assert found.result.starts[4 * i + j].tolist() == [found.x0[j], found.x1[i]]


def test_columns_are_the_first_variable():
    found = search(wells, ([-2, -1], [2, 1]), DESCENT, resolution=8)
    assert found.basin.tolist() == [[0, 0, 0, 0, 1, 1, 1, 1]] * 8


def test_everything_is_that_of_the_searches(found):
    result = found.result
    for given, expected in (
        (found.basin, result.basin),
        (found.fun, result.fun),
        (found.n_steps, result.n_steps),
        (found.status, result.status),
    ):
        assert same_bits(given, np.asarray(expected).reshape(SIZE, SIZE))
    assert found.minima is result.minima
    assert repr(found) == f"24 x 24 starts: {result.summary()}"


def test_searches_without_success_are_in_no_basin():
    found = search(holed, args=(1.0,))
    failed = found.status == Status.NONFINITE
    np.testing.assert_array_equal(found.basin == -1, failed)
    distance = np.hypot(found.x0 - 3, (found.x1 - 2)[:, None])
    assert failed[distance < 1].all()
    assert np.isnan(found.fun[distance < 1]).all()
    assert 0 < failed.sum() < failed.size
    assert len(found.minima) == 3


def test_where_nothing_is_found_the_map_is_empty():
    found = search(max_steps=3)
    assert (found.status == Status.MAX_STEPS).all()
    assert (found.n_steps == 3).all()
    assert (found.basin == -1).all()
    assert found.minima == ()


def test_devices_change_nothing(found):
    shared = search(mesh=jax.make_mesh((8,), ("x",)), lanes=SIZE**2)
    assert same_bits(shared.n_steps, found.n_steps)
    assert same_bits(shared.basin == -1, found.basin == -1)
    np.testing.assert_allclose(shared.fun, found.fun, atol=1e-12)


@pytest.mark.parametrize(
    "bounds",
    [(-5, 5), ([-5, -5], 5), [(-5, 5), (-5, 5)], Bounds([-5, -5], [5, 5])],  # pyright: ignore
    ids=["numbers", "mixed", "pairs", "scipy"],
)
def test_bounds_in_every_form(found, bounds):
    same = search(bounds=bounds)
    names = ("x0", "x1", "basin", "x", "fun", "grad_norm", "n_steps", "status")
    assert all(same_bits(getattr(found, name), getattr(same, name)) for name in names)


def test_trees_of_two_numbers():
    def fun(x):
        return wells(jnp.stack([x["b"][0, 0], x["a"]]))

    bounds = {"a": 0.0, "b": -2.0}, {"a": 1.0, "b": jnp.full((1, 1), 2.0)}
    found = search(fun, bounds, DESCENT, resolution=4)
    assert found.x0.tolist() == [0.125, 0.375, 0.625, 0.875]
    assert found.x1.tolist() == [-1.5, -0.5, 0.5, 1.5]
    assert found.basin.tolist() == [[0] * 4, [0] * 4, [1] * 4, [1] * 4]
    assert found.minima[0].x["b"].shape == (1, 1)


@pytest.mark.parametrize(
    ("options", "error", "match"),
    [
        ({"bounds": ([0, 0, 0], 1)}, ValueError, r"two variables.*\(3,\)"),
        ({"bounds": [(0, 1)]}, ValueError, r"two variables.*\(1,\)"),
        ({"bounds": ({"a": 0}, 1)}, ValueError, r"two variables.*\{'a': \(\)\}"),
        ({"bounds": (0, math.inf)}, ValueError, "finite bounds"),
        ({"bounds": ([0, 1], [1, 1])}, ValueError, r"lower < upper, got \[0. 1.\] and \[1. 1.\]"),
        ({"bounds": None}, TypeError, "bounds must be"),
        ({"resolution": 1}, ValueError, "resolution must be an integer >= 2, got 1"),
        ({"resolution": 9.5}, TypeError, "resolution must be an integer >= 2, got 9.5"),
        ({"gtol": -1}, ValueError, "gtol"),
        ({"fun": lambda x: x}, TypeError, "scalar"),
    ],
)
def test_what_makes_no_map_is_refused(options, error, match):
    with pytest.raises(error, match=match):
        search(**options)
