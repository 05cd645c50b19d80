"""Minima: as many as there are, counted exactly, and called what they are."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from reference import same_bits

import jamsgrad
from jamsgrad import problems
from jamsgrad._minima import barrier as _barrier
from jamsgrad._minima.clusters import leaders
from jamsgrad._minima.minima import Minimum, distinct_minima
from jamsgrad._minima.statistics import chance_of_new, table
from jamsgrad._search import bounds as _bounds

RNG = np.random.default_rng(3)


def found(*args, **options):
    """The minima among points, and nothing of which point belongs to which."""
    return divided(*args, **options)[0]


def divided(fun, x, bounds=None, n_searches=None, **options):
    """The minima among the points x, and each point's, the values computed here."""
    x = jax.tree.map(np.asarray, x)
    values = np.asarray(jax.jit(jax.vmap(lambda x: fun(x, *options.get("args", ()))))(x))
    box = _bounds.parse(bounds, jax.tree.map(lambda leaf: jnp.asarray(leaf[0]), x))
    return distinct_minima(fun, x, values, box, n_searches=n_searches or len(values), **options)


def around(centers, counts, noise=1e-5):
    """Points around the centers, as many as the counts say, in random order."""
    points = np.repeat(np.asarray(centers, float), counts, axis=0)
    points += noise * RNG.uniform(-1, 1, points.shape)
    return RNG.permutation(points)


BLOBS = np.array([[-3.0, 1.0], [0.0, 0.0], [3.0, -1.0], [3.0, 2.0]])


def blobs(x):
    """A well at each blob, the first the deepest."""
    distances = jnp.sum((x[None] - jnp.asarray(BLOBS)) ** 2, axis=1)
    return jnp.sum(jnp.arange(-4.0, 0.0) * jnp.exp(-distances))


@pytest.mark.parametrize("numbers", [1, 1000, 10_000])
def test_pairs_are_compared_in_as_many_calls_as_memory_asks_for(monkeypatch, numbers):
    x = around(BLOBS, [5, 30, 1, 40])
    expected, basin = divided(blobs, x, ([-4, -4], [4, 4]))
    monkeypatch.setattr(_barrier, "_NUMBERS", numbers)
    minima, again = divided(blobs, x, ([-4, -4], [4, 4]))
    np.testing.assert_array_equal(again, basin)
    assert [m.fun for m in minima] == [m.fun for m in expected]


def test_blobs_are_counted_exactly_best_first():
    counts = [5, 300, 1, 40]
    x = around(BLOBS, counts)
    minima, basin = divided(blobs, x, ([-4, -4], [4, 4]), n_searches=500)
    assert [m.count for m in minima] == counts
    assert [m.hit_rate for m in minima] == [0.01, 0.6, 0.002, 0.08]
    assert [m.fun for m in minima] == sorted(m.fun for m in minima)
    for m, center in zip(minima, BLOBS, strict=True):
        assert abs(m.x - center).max() <= 1e-5
        assert m.kind == "minimum"
    # The blobs are in the order of their values, too.
    np.testing.assert_array_equal(basin, abs(x[:, None] - BLOBS).max(axis=2).argmin(axis=1))


def test_a_minimum_is_the_best_of_its_points():
    x = around([[0.0, 0.0]], [50], noise=1e-3)
    (minimum,) = found(problems.bowl.fun, x, problems.bowl.bounds)
    values = np.sum(x**2, axis=1)
    assert minimum.x.tolist() == x[values.argmin()].tolist()
    assert minimum.fun == values.min() > 0


def test_the_order_of_the_points_changes_nothing():
    x = around(BLOBS, [50, 60, 70, 80], noise=0.05)  # clusters fray at this radius
    first = found(blobs, x, ([-4, -4], [4, 4]))
    assert same_bits(first, found(blobs, x, ([-4, -4], [4, 4])))
    for seed in range(3):
        shuffled = np.random.default_rng(seed).permutation(x)
        assert same_bits(first, found(blobs, shuffled, ([-4, -4], [4, 4])))


def test_ties_are_ordered_by_the_points():
    def fun(x):
        return (x**2 - 1) ** 2

    x = np.array([1.0, -1.0, 1.0])
    for points in (x, x[::-1]):
        minima = found(fun, points, (-2, 2))
        assert [(float(m.x), m.count) for m in minima] == [(-1.0, 1), (1.0, 2)]


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


# Minima much closer than the radius


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
        assert best.count > 20


@pytest.mark.parametrize("gap", [1e-2, 1e-3, 1e-4])
def test_two_wells_much_closer_than_the_radius_stay_two(gap):
    def fun(x):
        return ((x[0] / gap) ** 2 - 1) ** 2 + x[1] ** 2

    x = around([[-gap, 0.0], [gap, 0.0]], [30, 20], noise=gap / 10)
    minima = found(fun, x, ([-10, -10], [10, 10]))
    assert sorted(m.count for m in minima) == [20, 30]


def test_points_that_agree_to_rounding_are_one_whatever_lies_between():
    x = 1 + np.finfo(float).eps * RNG.integers(0, 5, (40, 2))
    (minimum,) = found(lambda x: jnp.sum(jnp.cos(1e18 * x)), x, ([-2, -2], [2, 2]))
    assert minimum.count == 40
    assert len(found(lambda x: jnp.sum(x) * jnp.nan, x, (-2, 2))) == 0
    values = np.zeros(40)
    minima, _ = distinct_minima(lambda x: jnp.sum(x) * jnp.nan, x, values, None, n_searches=40)
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


def test_himmelblau_has_four_minima():
    problem = problems.himmelblau
    optimizer = jamsgrad.amsgrad(0.3, b2=0.99)
    starts = jnp.asarray(RNG.uniform(-5, 5, (200, 2)))

    def search(x):
        return jamsgrad.minimize(problem.fun, x, optimizer, bounds=problem.bounds, gtol=1e-4)

    result = jax.jit(jax.vmap(search))(starts)
    assert result.success.all()
    for bounds in (problem.bounds, None):
        minima = found(problem.fun, result.x, bounds)
        assert len(minima) == 4
        assert sum(m.count for m in minima) == 200
        for known in problem.minimizers:
            assert min(abs(m.x - known).max() for m in minima) < 1e-4
        assert {m.kind for m in minima} == {"minimum"}


def valley(x):
    """Rosenbrock's valley without the slope along it."""
    return 100 * (x[1] - x[0] ** 2) ** 2


@pytest.mark.parametrize("n", [500, 20_000])
@pytest.mark.parametrize("noise", [0, 1e-5])
def test_a_flat_valley_is_one_minimum(n, noise):
    s = RNG.uniform(-1.2, 1.2, n)
    x = np.stack([s, s**2 + noise * RNG.standard_normal(n)], axis=1)
    (minimum,) = found(valley, x, ([-2, -2], [2, 2]))
    assert (minimum.count, minimum.kind, minimum.condition) == (n, "flat", math.inf)


def test_a_ring_is_one_minimum_in_any_unit():
    angle = RNG.uniform(0, 2 * math.pi, 500)
    x = np.stack([np.cos(angle), np.sin(angle)], axis=1)
    for unit in (1e-6, 1.0, 1e6):
        (minimum,) = found(
            lambda x, unit=unit: unit * (jnp.sum(x**2) - 1) ** 2, x, ([-2, -2], [2, 2])
        )
        assert (minimum.count, minimum.kind) == (500, "flat")


def test_where_rosenbrock_was_left_is_one_minimum():
    problem = problems.rosenbrock(2)
    s = RNG.uniform(0.6, 1.4, 300)  # much looser than any search would stop
    (minimum,) = found(problem.fun, np.stack([s, s**2], axis=1), problem.bounds)
    assert minimum.count == 300
    assert minimum.kind == "minimum"


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


def test_what_is_not_finite_never_enters():
    x = np.array([[0.0, 0.0], [np.nan, 0.0], [0.5, 0.0], [0.0, np.inf], [0.0, 0.0]])
    values = np.array([1.0, 0.0, np.nan, 0.0, -np.inf])
    (minimum,), basin = distinct_minima(problems.bowl.fun, x, values, None, n_searches=5)
    assert (minimum.fun, minimum.count) == (1.0, 1)
    assert basin.tolist() == [0, -1, -1, -1, -1]
    for n in (2, 0):
        x, values = x[1 : 1 + n], values[1 : 1 + n]
        minima, basin = distinct_minima(problems.bowl.fun, x, values, None, n_searches=5)
        assert (minima, basin.tolist()) == ((), [-1] * n)


def test_points_that_all_but_agree_are_one_without_bounds():
    x = around([[1e4, 1e-3]], [40], noise=1e-5)
    (minimum,) = found(lambda x: jnp.sum((x - jnp.array([1e4, 1e-3])) ** 2), x)
    assert minimum.count == 40


def test_a_box_that_is_open_or_a_point_in_a_coordinate():
    x = around([[-1.0, 2.0], [1.0, 2.0]], [3, 4]) * [1, 0] + [0, 2]
    minima = found(lambda x: (x[0] ** 2 - 1) ** 2 + x[1], x, ([-np.inf, 2], [np.inf, 2]))
    assert sorted(m.count for m in minima) == [3, 4]
    assert {(m.kind, m.condition) for m in minima} == {("minimum", 1.0)}


def test_trees_keep_their_shapes_and_dtypes():
    def fun(x, shift):
        rest = jnp.sum((x["b"] - 1) ** 2).astype(jnp.float64)
        return (x["a"] - shift) ** 2 + rest

    x = {"a": np.full(5, 2.0), "b": np.ones((5, 2, 3), np.float32)}
    (minimum,) = found(fun, x, args=(jnp.array(2.0),), bounds=({"a": 0, "b": 0}, 4))
    assert same_bits(minimum.x, {"a": np.float64(2.0), "b": np.ones((2, 3), np.float32)})
    assert (minimum.count, minimum.kind, minimum.condition) == (5, "minimum", 1.0)


@pytest.mark.parametrize(
    ("count", "n", "low", "high"),
    [
        # z = 1.959964, z^2 = 3.841459: (p + z^2/2n -+ z sqrt(p(1-p)/n + z^2/4n^2)) / (1 + z^2/n)
        (1, 10, 0.0178762, 0.4041500),
        (5, 10, 0.2365931, 0.7634069),
        (10, 10, 0.7224672, 1.0),
    ],
)
def test_wilson_interval_by_hand(count, n, low, high):
    (minimum,) = found(problems.bowl.fun, np.zeros((count, 2)), n_searches=n)
    assert minimum.hit_rate == count / n
    np.testing.assert_allclose(minimum.interval, (low, high), atol=1e-7)


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


def minimum(count, **fields):
    some = Minimum(np.arange(2.0), 0.5, count, count / 100, (0.001, 0.25), "minimum", 12.0)
    return some._replace(**fields)


@pytest.mark.parametrize(
    ("counts", "chance", "limit"),
    [
        # s + z^2/2 + z sqrt(s + 2d + z^2/4) over n, z = 1.959964, s found once, d twice
        ([5], 0, 3.841459 / 5),
        ([10_000], 0, 3.841459e-4),
        ([1], 1, 1),
        ([3, 2, 2], 0, 6.285937 / 7),
        ([40, 30, 20, 8, 1, 1], 0.02, 7.292987 / 100),
        ([50, 40, 3, 2, 2, 1, 1, 1], 0.03, 10.450595 / 100),
    ],
)
def test_chance_of_new_is_good_turings_and_its_limit_estys(counts, chance, limit):
    found = chance_of_new([minimum(count) for count in counts])
    np.testing.assert_allclose(found, (chance, limit), rtol=1e-6)
    assert all(map(math.isnan, chance_of_new([])))


@pytest.mark.parametrize("n", [5, 30, 200])
@pytest.mark.parametrize("rare", [1, 3, 20, 200])
@pytest.mark.parametrize("share", [0.02, 0.3, 1.0])
def test_the_limit_holds_in_95_of_100_searches(n, rare, share):
    # Minima that share a part of the starts, and one that has the others.
    shares = np.array([1 - share, *[share / rare] * rare])
    rng = np.random.default_rng(1)
    right = 0
    for counts in rng.multinomial(n, shares, 1000):
        _, limit = chance_of_new([minimum(int(count)) for count in counts if count])
        right += np.sum(shares[counts == 0]) <= limit
    assert right >= 950


def test_table_is_read_by_a_person():
    rows = [minimum(7), minimum(1, kind="on the boundary", fun=-1.25e-9, x={"a": np.arange(6.0)})]
    assert table(rows).splitlines() == [
        "value      hits  hit rate (95 %)  kind             condition  x",
        "0.5        7     7 % (0.1 to 25)  minimum          12         [0, 1]",
        "-1.25e-09  1     1 % (0.1 to 25)  on the boundary  12         [0, 1, 2, 3, ...]",
        "Chance that the next success is a new minimum: about 12.5 %, at most 70.8 % (95 %)",
    ]
    *shown, more, last = table([minimum(1)] * 25, limit=3).splitlines()
    assert len(shown) == 4
    assert more == "... and 22 more"
    assert last.endswith("about 100 %, at most 100 % (95 %)")
    assert "more" not in table([minimum(1)] * 3, limit=3)
    assert table([]) == "No minimum was found."
