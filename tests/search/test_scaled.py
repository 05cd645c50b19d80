"""Scaled problems: the same values in other variables, and words that do not fit are named."""

import pickle
import re
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.optimize
from reference import same_bits

from jamsgrad import amsgrad, minimize, multistart, scaled
from jamsgrad._search.bounds import Bounds

KEY = jax.random.key(3)
BOX = {"rate": 1e-3, "offset": np.array([-1.0, 0.5])}, {"rate": 10.0, "offset": np.array([1.0, 2])}
X = {"rate": jnp.array(0.25), "offset": jnp.array([0.5, 1.5])}


def fun(x, weight=1.0):
    return weight * (x["rate"] - 0.1) ** 2 + jnp.sum(x["offset"] ** 2) * x["rate"]


class Point(NamedTuple):
    a: object
    b: object


@pytest.mark.parametrize(
    ("scale", "rate", "offset"),
    [
        ("linear", "linear", "linear"),
        ({}, "linear", "linear"),
        ({"rate": "log"}, "log", "linear"),
        ({"offset": ["linear", "log"]}, "linear", ["linear", "log"]),
        ({"offset": ("linear", "log"), "rate": "log"}, "log", ["linear", "log"]),
    ],
)
def test_the_words_are_those_of_the_leaves(scale, rate, offset):
    problem = scaled(fun, BOX, scale)
    is_log = {"rate": rate == "log", "offset": np.array(offset) == "log"}
    for end, of_box in zip(problem.bounds, BOX, strict=True):
        for name in BOX[0]:
            logs = np.broadcast_to(is_log[name], np.shape(of_box[name]))
            expected = np.where(logs, np.log(np.abs(of_box[name])), of_box[name])
            np.testing.assert_array_equal(end[name], expected)
    u = problem.from_x(X)
    for name, x in X.items():
        expected = np.where(is_log[name], np.log(x), x)
        np.testing.assert_allclose(u[name], expected, rtol=1e-15)
    back = problem.to_x(u)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-15), back, X)
    np.testing.assert_allclose(problem.fun(u, 3.0), fun(X, 3.0), rtol=1e-14)


@pytest.mark.parametrize(
    ("bounds", "scale", "lower"),
    [
        ((1.0, np.e), "log", 0.0),
        (([1.0, 1.0], [2.0, 2.0]), "log", np.zeros(2)),
        ([(1.0, 2.0), (1.0, None)], ["log", "linear"], np.array([0.0, 1])),
        (scipy.optimize.Bounds([1.0, 1.0], [2.0, 2.0]), "log", np.zeros(2)),
        (
            ([1.0, np.ones((2, 1))], 3.0),
            ["log", [["linear"], ["log"]]],
            [0.0, np.array([[1.0], [0]])],
        ),
        ((Point(1.0, [1.0, 1.0]), Point(2.0, 3.0)), Point("log", "linear"), Point(0.0, np.ones(2))),
        (({"a": {"b": 1.0, "c": 1.0}}, 2.0), {"a": {"c": "log"}}, {"a": {"b": 1.0, "c": 0.0}}),
        (({"a": {"b": 1.0, "c": 1.0}}, 2.0), {"a": "log"}, {"a": {"b": 0.0, "c": 0.0}}),
    ],
)
def test_bounds_of_any_form_and_words_of_any_tree(bounds, scale, lower):
    problem = scaled(lambda x: 0.0, bounds, scale)
    assert isinstance(problem.bounds, Bounds)
    assert same_bits(
        jax.tree.map(np.asarray, problem.bounds.lower), jax.tree.map(np.asarray, lower)
    )


def test_jit_vmap_and_derivatives_go_through_it():
    problem = scaled(fun, BOX, {"rate": "log", "offset": ["linear", "log"]})
    u = problem.from_x(X)
    grad, by_hand = jax.jit(jax.grad(problem.fun))(u), jax.grad(fun)(X)
    np.testing.assert_allclose(grad["rate"], by_hand["rate"] * X["rate"], rtol=1e-14)
    factor = jnp.array([1.0, X["offset"][1]])
    np.testing.assert_allclose(grad["offset"], by_hand["offset"] * factor, rtol=1e-14)
    many = jax.tree.map(lambda leaf: jnp.stack([leaf, leaf]), u)
    np.testing.assert_allclose(jax.vmap(problem.fun)(many), 2 * [fun(X)], rtol=1e-14)
    back = problem.to_x(jax.tree.map(np.asarray, many))  # axes in front; NumPy stays NumPy
    assert all(isinstance(leaf, np.ndarray) for leaf in jax.tree.leaves(back))
    np.testing.assert_allclose(back["offset"], 2 * [X["offset"]], rtol=1e-15)
    x, error = jax.jvp(problem.to_x, (u,), (jax.tree.map(lambda leaf: 0.1 + 0 * leaf, u),))
    np.testing.assert_allclose(error["rate"], 0.1 * x["rate"], rtol=1e-15)
    np.testing.assert_allclose(error["offset"], [0.1, 0.1 * x["offset"][1]], rtol=1e-15)


def test_a_linear_variable_below_zero_has_a_derivative():
    problem = scaled(fun, BOX, {"offset": ["linear", "log"]})
    at = {"rate": jnp.array(0.5), "offset": jnp.array([-0.5, 1.0])}
    assert all(
        jnp.isfinite(leaf).all() for leaf in jax.tree.leaves(jax.jacobian(problem.from_x)(at))
    )
    large = {"rate": jnp.array(0.5), "offset": jnp.array([1e9, 0.0])}
    assert all(jnp.isfinite(g).all() for g in jax.tree.leaves(jax.grad(problem.fun)(large)))


def test_dtypes_stay():
    box = {"a": np.float32(1), "b": 1.0}, {"a": np.float32(2), "b": 2.0}
    x = {"a": np.ones(3, np.float32), "b": np.ones(3)}
    problem = scaled(fun, box, "log")
    for tree in (x, jax.tree.map(jnp.asarray, x)):
        for there in (problem.to_x(tree), problem.from_x(tree)):
            assert jax.tree.map(lambda leaf: leaf.dtype, there) == {"a": "float32", "b": "float64"}


def test_bounds_may_be_traced():
    def lowest(low):
        return scaled(fun, ({"rate": low, "offset": -1.0}, 2.0), {"rate": "log"}).bounds.lower

    assert jax.jit(lowest)(0.5)["rate"] == jnp.log(0.5)


def test_a_search_finds_what_is_many_magnitudes_away():
    def misfit(x, target):
        return jnp.log(x["rate"] / target) ** 2 + jnp.sum((x["offset"] - 0.75) ** 2)

    box = {"rate": 1e-9, "offset": np.zeros(2)}, {"rate": 1e9, "offset": np.ones(2)}
    problem = scaled(misfit, box, {"rate": "log"})
    found = multistart(problem.fun, problem.bounds, amsgrad(0.3, b2=0.99), key=KEY, n_starts=20,
                       args=(1e-6,), max_steps=2000)  # fmt: skip
    assert found.n_success == 20
    (minimum,) = found.minima
    x = problem.to_x(minimum.x)
    np.testing.assert_allclose(x["rate"], 1e-6, rtol=1e-4)
    np.testing.assert_allclose(x["offset"], 0.75, rtol=1e-4)
    start = problem.from_x({"rate": jnp.array(1.0), "offset": jnp.zeros(2)})
    one = minimize(problem.fun, start, amsgrad(0.3, b2=0.99), args=(1e-6,), bounds=problem.bounds,
                   max_steps=2000)  # fmt: skip
    np.testing.assert_allclose(problem.to_x(one.x)["rate"], 1e-6, rtol=1e-4)


def test_equal_scaled_objectives_compile_once_and_new_data_compile_nothing():
    times = 0

    def by_data(data, x):
        nonlocal times
        times += 1
        return jnp.sum((x - data) ** 2)

    def plain(x):
        return by_data(0.5, x)

    assert scaled(plain, (1.0, 2.0), "log").fun == scaled(plain, (1.0, 3.0), "log").fun
    assert hash(scaled(plain, (1.0, 2.0), "log").fun) == hash(scaled(plain, (1.0, 3.0), "log").fun)
    assert scaled(plain, (1.0, 2.0), "log").fun != scaled(plain, (1.0, 2.0), "linear").fun
    for make in (lambda _: plain, lambda data: jax.tree_util.Partial(by_data, data)):
        traced = []
        for data in (jnp.array(1.5), jnp.array(1.75)):
            problem = scaled(make(data), (1.0, 2.0), "log")
            found = multistart(problem.fun, problem.bounds, amsgrad(0.1), key=KEY, n_starts=4)
            assert len(found.minima) == 1
            traced.append(times)
            best = data if isinstance(make(data), jax.tree_util.Partial) else 1.0
            np.testing.assert_allclose(problem.to_x(found.best.x), best, rtol=1e-3)
        assert traced[0] == traced[1]


def test_what_the_objective_reads_is_read_again():
    factor = 1.0

    def reads(x):
        return factor * jnp.sum((x - 1.5) ** 2) + factor

    for fun_ in (reads, jax.tree_util.Partial(reads)):
        for factor in (1.0, 3.0):
            problem = scaled(fun_, (1.0, 2.0), "log")
            found = multistart(problem.fun, problem.bounds, amsgrad(0.1), key=KEY, n_starts=4)
            np.testing.assert_allclose(found.best.fun, factor, rtol=1e-6)


def test_it_is_pickled_with_its_objective():
    problem = pickle.loads(pickle.dumps(scaled(fun, BOX, {"rate": "log"})))
    assert problem.fun == scaled(fun, BOX, {"rate": "log"}).fun
    assert same_bits(problem.bounds, scaled(fun, BOX, {"rate": "log"}).bounds)


@pytest.mark.parametrize(
    ("bounds", "scale", "said"),
    [
        (BOX, "log", 'offset[0] has the scale "log", which needs a lower bound above 0, got -1: '
         'raise that bound, or search it on the scale "linear"'),
        ((0.0, 1.0), "log", 'x has the scale "log", which needs a lower bound above 0, got 0'),
        (BOX, {"offset": ["log", "linear"]}, "offset[0] has the scale"),
        (BOX, "ln", "scale must be one of 'log', 'linear', got 'ln'"),
        (BOX, {"rate": "exp"}, "scale['rate'] must be one of 'log', 'linear', got 'exp'"),
        (BOX, {"rates": "log"}, "scale has no rates in x, which has ['offset', 'rate']"),
        (BOX, {"offset": ["log"]}, "scale['offset'] must have the shape (2,) of x, got ['log']"),
        (BOX, {"offset": ["linear", "ln"]}, "scale['offset'] must be one of 'log', 'linear', got"),
        (BOX, {"rate": None}, "scale['rate'] must be one of 'log', 'linear', got None"),
        (BOX, ["log", "linear"], "scale ['log', 'linear'] does not fit x, which is PyTreeDef"),
        (([0.0, 1.0], [np.inf, 0.5]), "linear", "bounds of x are reversed"),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_named(bounds, scale, said):
    with pytest.raises(ValueError, match=re.escape(said)):
        scaled(fun, bounds, scale)


def test_other_trees_and_other_things_are_refused():
    problem = scaled(fun, BOX, {"rate": "log"})
    for call in (problem.to_x, problem.from_x, problem.fun):
        with pytest.raises(ValueError, match="the scaled problem has 2 leaves, got PyTreeDef"):
            call(jnp.ones(2))
    with pytest.raises(TypeError, match="fun must be a function of x, got 3"):
        scaled(3, BOX, "log")  # pyright: ignore
    with pytest.raises(TypeError, match="bounds must be"):
        scaled(fun, None, "log")
