"""Clusters: every well is one, and a valley is one well."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from reference import explore
from wells import divided, found

import jamsgrad
from jamsgrad import problems
from jamsgrad._minima.clusters import leaders


def test_tol_says_how_long_lines_may_be_that_rise_as_across_a_valley():
    # A small ripple along one variable, with much steeper walls along the other.
    for i, width in enumerate((1, 10)):
        for step, tol, wells in (0.029, 0.01, 1), (0.031, 0.01, 2), (0.031, 0.02, 1):
            gap = step * width
            x = np.array([[0.5, 5.0], [0.5, 5.0]])
            x[1, i] += gap

            def fun(x, i=i, gap=gap, at=x[0]):
                ripple = 1e-5 * (1 - jnp.cos(2 * math.pi * (x[i] - at[i]) / gap))
                return ripple + 100 * ((x[1 - i] - at[1 - i]) * (1, 10)[i]) ** 2

            assert len(found(fun, x, ([0, 0], [1, 10]), tol=tol)) == wells, (i, step, tol)


WELLS = [
    problems.himmelblau,
    problems.three_hump_camel,
    problems.six_hump_camel,
    problems.branin,
    problems.styblinski_tang(2),
    problems.goldstein_price,
]


@pytest.mark.parametrize("n", [2000, 20_000])
@pytest.mark.parametrize("problem", WELLS, ids=lambda problem: problem.name)
def test_ends_that_fill_the_box_make_no_bridge_between_wells(problem, n):
    low, high = (np.broadcast_to(end, 2) for end in problem.bounds)
    x = np.random.default_rng(3).uniform(low, high, (n, 2))
    minima, basin = divided(problem.fun, x, problem.bounds)
    wells = {"himmelblau": 4, "three_hump_camel": 3, "six_hump_camel": 6, "branin": 3}
    wells = wells.get(problem.name, 4)
    assert wells <= len(minima) <= wells + 3
    # What is left over are a few points on a ridge.
    assert sum(sorted(m.count for m in minima)[-wells:]) > 0.99 * n
    for known in problem.minimizers:
        assert min(np.abs((m.x - known) / (high - low)).max() for m in minima) < 0.05
    # The ends near each well's bottom belong to one minimum, and to no other well's.
    near = [np.abs((x - known) / (high - low)).max(axis=1) < 0.02 for known in problem.minimizers]
    owners = [set(basin[some]) for some in near]
    assert all(len(owner) == 1 for owner in owners)
    assert len(set.union(*owners)) == len(owners)


@pytest.mark.parametrize("n", [30, 300])
def test_two_wells_stay_two_in_a_steep_valley_full_of_ends(n):
    def fun(x):  # the barrier is a thousandth of what the function changes on that distance
        return 1000 * x[1] ** 2 + (x[0] ** 2 - 1) ** 2

    x = np.stack([np.linspace(-1.2, 1.2, n), np.zeros(n)], axis=1)
    minima = found(fun, x, ([-2, -2], [2, 2]))
    assert [round(float(m.x[0])) for m in minima] == [-1, 1]
    assert all(abs(m.count - n / 2) < 0.05 * n for m in minima)


def test_a_slope_belongs_to_the_well_that_it_leads_down_to():
    x = np.linspace(-1.9, 1.9, 39)
    minima, basin = divided(lambda x: (x**2 - 1) ** 2 + 0.1 * x, x, (-2, 2))
    assert [round(float(m.x), 1) for m in minima] == [-1.0, 1.0]
    inside = np.abs(x) > 0.1  # the ridge is in between
    np.testing.assert_array_equal(basin[inside], (x > 0)[inside])


@pytest.mark.parametrize("n", [9, 40, 2000])
@pytest.mark.parametrize("d", [1, 2, 5])
def test_a_plateau_is_one_however_wide(d, n):
    x = np.random.default_rng(3).uniform(-2, 2, (n, d))
    (minimum,) = found(lambda x: 0 * x[0] + 3, x, ([-2] * d, [2] * d))
    assert (minimum.count, minimum.kind) == (n, "flat")
    assert minimum.extent.max() > 2


PLATEAUS = {
    "below a hill": (lambda x: jnp.exp(-jnp.sum(x**2) / 0.05), [1]),
    "beside a far well": (lambda x: -jnp.exp(-jnp.sum((x - 1) ** 2) / 0.02), [1]),
    "at two heights": (lambda x: jnp.where(x[0] > 0, 1.0, 2.0), [0.5, 0.5]),
    "at two heights, smooth": (lambda x: jnp.tanh(20 * x[0]), [0.5, 0.5]),
    "on both sides of a wall": (lambda x: jnp.where(abs(x[0]) < 0.1, 1.0, 0.0), [0.475, 0.475]),
    "on both sides of a ridge": (lambda x: jnp.exp(-((x[0] / 0.05) ** 2)), [0.5, 0.5]),
    "steps": (lambda x: jnp.floor(jnp.abs(x[0])), [0.5, 0.5]),
}


@pytest.mark.parametrize("n", [60, 600])
@pytest.mark.parametrize("name", PLATEAUS)
def test_plateaus_are_as_many_as_there_are(name, n):
    fun, shares = PLATEAUS[name]
    x = np.random.default_rng(3).uniform(-2, 2, (n, 2))
    x = x[np.linalg.norm(jax.vmap(jax.grad(fun))(x), axis=1) < 1e-3]  # where searches stop
    minima = found(fun, x, ([-2, -2], [2, 2]))
    wide = [m for m in minima if m.count > 0.1 * n]
    assert {m.kind for m in wide} == {"flat"}
    np.testing.assert_allclose(
        sorted(m.count / len(x) for m in wide), sorted(shares), atol=0.15, rtol=0
    )
    assert len(minima) <= len(wide) + 3


def test_what_lies_below_a_plateau_does_not_take_its_points():
    rng = np.random.default_rng(3)
    x = np.concatenate([rng.uniform(-4, 4, (300, 2)), 1e-6 * rng.uniform(-1, 1, (20, 2))])
    x = x[(np.sum(x**2, axis=1) > 1) | (np.sum(x**2, axis=1) < 1e-9)]
    lowest, plateau = found(lambda x: jnp.minimum(1.0, jnp.sum(x**2)), x, ([-4, -4], [4, 4]))
    assert (lowest.count, lowest.kind) == (20, "minimum")
    assert (plateau.count, plateau.kind, plateau.fun) == (len(x) - 20, "flat", 1.0)


@pytest.mark.parametrize("spacing", [1, 64, 100])
def test_equal_minima_far_from_each_other_stay_apart(spacing):
    x = spacing * np.arange(-8.0, 9.0)
    minima = found(lambda x: -jnp.cos(2 * math.pi * x), x, (-1000, 1000))
    assert [m.count for m in minima] == [1] * 17


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
    result = explore(problem.fun, problem.bounds, optimizer, key=key, n_starts=5000, gtol=1e-3)
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
