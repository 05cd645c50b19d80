"""Minima: as many as there are, counted exactly, and called what they are."""

import jax
import jax.numpy as jnp
import numpy as np
from reference import same_bits
from wells import BLOBS, around, blobs, divided, found

import jamsgrad
from jamsgrad import problems
from jamsgrad._minima.minima import distinct_minima
from jamsgrad._search.bounds import Bounds


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


def test_himmelblau_has_four_minima():
    problem = problems.himmelblau
    optimizer = jamsgrad.amsgrad(0.3, b2=0.99)
    rng = np.random.default_rng(3)
    starts = jnp.asarray(rng.uniform(-5, 5, (200, 2)))

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


def test_what_is_not_finite_never_enters():
    x = np.array([[0.0, 0.0], [np.nan, 0.0], [0.5, 0.0], [0.0, np.inf], [0.0, 0.0]])
    values = np.array([1.0, 0.0, np.nan, 0.0, -np.inf])
    (minimum,), basin = distinct_minima(problems.bowl.fun, x, values, values, None, n_searches=5)
    assert (minimum.fun, minimum.count) == (1.0, 1)
    assert basin.tolist() == [0, -1, -1, -1, -1]
    for n in (2, 0):
        x, values = x[1 : 1 + n], values[1 : 1 + n]
        minima, basin = distinct_minima(problems.bowl.fun, x, values, values, None, n_searches=5)
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


def test_the_extent_is_how_far_the_points_of_a_minimum_lie_apart():
    x = {"a": np.array([1.0, 1.5, 1.25]), "b": np.array([[0.0, 2], [0, 2], [0, 2.5]], np.float32)}

    def fun(x):
        return 0 * (x["a"] + jnp.sum(x["b"]).astype(jnp.float64))

    (minimum,) = found(fun, x, ({"a": 0, "b": 0}, 4))
    assert same_bits(minimum.extent, {"a": np.float64(0.5), "b": np.array([0, 0.5], np.float32)})
    (minimum,) = found(lambda x: 0 * x.real, np.array([1 + 2j, 3 + 1j]))
    assert minimum.extent == 2 + 1j
    minima = found(blobs, around(BLOBS, [5, 1, 30, 40]), ([-4, -4], [4, 4]))
    assert [bool((m.extent < 1e-3).all()) for m in minima] == [True] * 4
    assert minima[1].extent.tolist() == [0, 0]


def test_values_that_agree_to_rounding_are_ordered_by_the_points():
    def fun(x):
        return 5 - jnp.cos(2 * jnp.pi * x[0])

    eps = np.finfo(float).eps
    for seed in range(3):
        noise = np.random.default_rng(seed).uniform(-1, 1, (2, 9))
        x = np.stack([np.arange(-4.0, 5.0), 1e-9 * noise[0]], axis=1)
        values = 4 + 8 * eps * noise[1]
        box = Bounds(np.full(2, -6.0), np.full(2, 6.0))
        order = np.random.default_rng(seed).permutation(9)
        minima, basin = distinct_minima(fun, x[order], values[order], values, box, n_searches=9)
        assert [float(m.x[0]) for m in minima] == list(range(-4, 5))
        np.testing.assert_array_equal(basin, order)
