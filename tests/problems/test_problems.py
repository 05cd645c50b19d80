import inspect
import itertools
import math
import pickle
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.optimize

from jamsgrad import problems

PROBLEMS = [*problems.all_problems(2), *problems.all_problems(5)]
SCALABLE = [getattr(problems, problem.name) for problem in problems.all_problems(5)]

RETURNS = r"on \[(.+), (.+)\]\^n, with its minimum (\S+).* at \((\S+), ..., (\S+)\)\."

each_problem = pytest.mark.parametrize(
    "problem", PROBLEMS, ids=lambda problem: f"{problem.name}-{problem.bounds[0].size}"
)


def random_points(problem, n_points):
    lower, upper = problem.bounds
    return np.random.default_rng(0).uniform(lower, upper, (n_points, lower.size))


def corners(problem):
    return np.array(list(itertools.product(*zip(*problem.bounds, strict=True))))


def values_and_gradients(problem, points):
    return jax.jit(jax.vmap(jax.value_and_grad(problem.fun)))(jnp.asarray(points))


@each_problem
def test_what_is_stated_is_true(problem):
    lower, upper = problem.bounds
    minimizers = problem.minimizers
    assert lower.dtype == upper.dtype == minimizers.dtype == np.float64
    assert np.all(lower < upper)

    # The minimizers lie in the box, no two are the same, and all reach the minimum.
    assert minimizers.shape == (len(minimizers), lower.size)
    assert np.all((lower <= minimizers) & (minimizers <= upper))
    for a, b in itertools.combinations(minimizers, 2):
        assert not np.allclose(a, b, atol=0.1)
    values, gradients = values_and_gradients(problem, minimizers)
    np.testing.assert_allclose(values, problem.minimum, rtol=2e-15, atol=1e-26)

    # The gradient is 0 there; on the boundary, what is left of it points out of the box.
    projected = np.clip(minimizers - gradients, lower, upper) - minimizers
    np.testing.assert_allclose(projected, 0, atol=1e-11)

    # No point of the box is lower.
    others = jax.jit(jax.vmap(problem.fun))(random_points(problem, 10_000))
    assert np.min(others) > problem.minimum


@each_problem
@pytest.mark.parametrize("dtype", [jnp.float32, jnp.float64])
def test_values_and_gradients_are_finite_and_keep_their_dtype(problem, dtype):
    points = np.concatenate([problem.minimizers, corners(problem), random_points(problem, 100)])
    points = np.concatenate([points, np.zeros_like(points[:1])])  # where |x| and sqrt have kinks
    values, gradients = values_and_gradients(problem, points.astype(dtype))
    assert values.dtype == gradients.dtype == dtype
    assert np.all(np.isfinite(values))
    assert np.all(np.isfinite(gradients))


@each_problem
def test_trailing_lanes_give_the_same_values_and_gradients(problem):
    points = jnp.asarray(random_points(problem, 5))
    value_and_grad = jax.value_and_grad(problem.fun)
    values, gradients = jax.jit(jax.vmap(value_and_grad, in_axes=-1, out_axes=-1))(points.T)
    plain = jax.jit(value_and_grad)
    for i, point in enumerate(points):
        value, gradient = plain(point)
        np.testing.assert_allclose(values[i], value, rtol=1e-11)
        np.testing.assert_allclose(gradients[:, i], gradient, rtol=1e-9, atol=1e-9)


# The formulas as the literature prints them: a wrong coefficient may leave the minimum unharmed.
TEXTBOOK = {
    "bowl": lambda x, y: x**2 + y**2,
    "booth": lambda x, y: (x + 2 * y - 7) ** 2 + (2 * x + y - 5) ** 2,
    "matyas": lambda x, y: 0.26 * (x**2 + y**2) - 0.48 * x * y,
    "beale": lambda x, y: (
        (1.5 - x + x * y) ** 2 + (2.25 - x + x * y**2) ** 2 + (2.625 - x + x * y**3) ** 2
    ),
    "himmelblau": lambda x, y: (x**2 + y - 11) ** 2 + (x + y**2 - 7) ** 2,
    "three_hump_camel": lambda x, y: 2 * x**2 - 1.05 * x**4 + x**6 / 6 + x * y + y**2,
    "six_hump_camel": lambda x, y: 4 * x**2 - 2.1 * x**4 + x**6 / 3 + x * y - 4 * y**2 + 4 * y**4,
    "goldstein_price": lambda x, y: (
        (1 + (x + y + 1) ** 2 * (19 - 14 * x + 3 * x**2 - 14 * y + 6 * x * y + 3 * y**2))
        * (30 + (2 * x - 3 * y) ** 2 * (18 - 32 * x + 12 * x**2 + 48 * y - 36 * x * y + 27 * y**2))
    ),
    "branin": lambda x, y: (
        (y - 5.1 / (4 * np.pi**2) * x**2 + 5 / np.pi * x - 6) ** 2
        + 10 * (1 - 1 / (8 * np.pi)) * np.cos(x)
        + 10
    ),
    "mccormick": lambda x, y: np.sin(x + y) + (x - y) ** 2 - 1.5 * x + 2.5 * y + 1,
    "michalewicz": lambda *x: (
        -sum(np.sin(xi) * np.sin(i * xi**2 / np.pi) ** 20 for i, xi in enumerate(x, start=1))
    ),
    "eggholder": lambda x, y: (
        -(y + 47) * np.sin(np.sqrt(abs(y + x / 2 + 47))) - x * np.sin(np.sqrt(abs(x - y - 47)))
    ),
    "sphere": lambda *x: sum(xi**2 for xi in x),
    "rosenbrock": lambda *x: scipy.optimize.rosen(x),
    "ackley": lambda *x: (
        -20 * np.exp(-0.2 * np.sqrt(np.mean(np.square(x))))
        - np.exp(np.mean(np.cos(2 * np.pi * np.array(x))))
        + 20
        + np.e
    ),
    "rastrigin": lambda *x: 10 * len(x) + sum(xi**2 - 10 * np.cos(2 * np.pi * xi) for xi in x),
    "griewank": lambda *x: (
        sum(xi**2 / 4000 for xi in x)
        - math.prod(np.cos(xi / np.sqrt(i)) for i, xi in enumerate(x, start=1))
        + 1
    ),
    "levy": lambda *x: textbook_levy([1 + (xi - 1) / 4 for xi in x]),
    "styblinski_tang": lambda *x: sum(xi**4 - 16 * xi**2 + 5 * xi for xi in x) / 2,
    "schwefel": lambda *x: -sum(xi * np.sin(np.sqrt(abs(xi))) for xi in x),
}


def textbook_levy(w):
    return (
        np.sin(np.pi * w[0]) ** 2
        + sum((wi - 1) ** 2 * (1 + 10 * np.sin(np.pi * wi + 1) ** 2) for wi in w[:-1])
        + (w[-1] - 1) ** 2 * (1 + np.sin(2 * np.pi * w[-1]) ** 2)
    )


@each_problem
def test_formula_is_the_textbooks(problem):
    points = random_points(problem, 10)
    expected = [TEXTBOOK[problem.name](*point) for point in points]
    np.testing.assert_allclose(jax.jit(jax.vmap(problem.fun))(points), expected, rtol=1e-10)


@each_problem
def test_points_cannot_be_changed(problem):
    for array in (*problem.bounds, problem.minimizers):
        with pytest.raises(ValueError, match="read-only"):
            array[...] = 0


@each_problem
@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_pickle_finds_the_function(problem, protocol):
    again = pickle.loads(pickle.dumps(problem, protocol))
    assert again.fun is problem.fun
    assert repr(again) == repr(problem)


def test_each_problem_is_public_under_its_name():
    for problem in problems.all_problems(2):
        public = getattr(problems, problem.name)
        assert (public if isinstance(public, problems.Problem) else public(2)).fun is problem.fun


@pytest.mark.parametrize("scalable", SCALABLE, ids=lambda scalable: scalable.__name__)
def test_sizes_share_one_function(scalable):
    assert scalable(2).fun is scalable(np.int64(7)).fun
    assert scalable(7).minimizers.shape == (1, 7)


@pytest.mark.parametrize("scalable", SCALABLE, ids=lambda scalable: scalable.__name__)
def test_the_docstring_names_the_source_that_the_problem_names(scalable):
    references = inspect.getdoc(scalable).split("References:\n")[1]
    assert " ".join(references.split()) == scalable(5).source + "."


@pytest.mark.parametrize("scalable", SCALABLE, ids=lambda scalable: scalable.__name__)
def test_the_docstring_has_the_problems_numbers(scalable):
    docstring, problem = inspect.getdoc(scalable), scalable(5)
    low, high, minimum, x1, xn = map(float, re.findall(RETURNS, docstring)[0])
    assert (problem.bounds[0] == low).all()
    assert (problem.bounds[1] == high).all()
    np.testing.assert_allclose([x1, xn], problem.minimizers[0, 0], rtol=1e-4)
    np.testing.assert_allclose(5 * minimum, problem.minimum, rtol=1e-4)
    with pytest.raises(ValueError, match=f"{re.findall('at least (.*)[.]', docstring)[0]}, got 0"):
        scalable(0)


@pytest.mark.parametrize(
    "scalable", [*SCALABLE, problems.all_problems], ids=lambda scalable: scalable.__name__
)
@pytest.mark.parametrize("n", [0, -1, 2.0, True, "2", None, np.array([2])])
def test_bad_n_is_refused(scalable, n):
    message = rf"{scalable.__name__}: n must be an integer >= [12], got {re.escape(repr(n))}"
    with pytest.raises((TypeError, ValueError), match=message):
        scalable(n)


def test_smallest_sizes():
    for scalable in (problems.rosenbrock, problems.all_problems):
        with pytest.raises(ValueError, match=">= 2, got 1"):
            scalable(1)
    for scalable in set(SCALABLE) - {problems.rosenbrock}:
        problem = scalable(1)
        value = jax.jit(problem.fun)(problem.minimizers[0])
        np.testing.assert_allclose(value, problem.minimum, rtol=2e-15)


def test_kinks_have_finite_gradients():
    # eggholder: both square roots at 0; schwefel: every one.
    egg = jax.jit(jax.grad(problems.eggholder.fun))
    for point in ([100.0, 53.0], [100.0, -97.0]):
        assert np.all(np.isfinite(egg(jnp.array(point))))
    np.testing.assert_array_equal(jax.jit(jax.grad(problems.schwefel(3).fun))(jnp.zeros(3)), 0)
    # The kink is a point, not a plateau: a float32 step away the slope of the cone is back.
    slope = jax.jit(jax.grad(problems.ackley(1).fun))(jnp.array([1e-15], jnp.float32))
    np.testing.assert_allclose(slope, 4, rtol=1e-6)
