"""A minimum as evidence: errors as curve_fit computes them, or a sentence on why there are none."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.optimize
from reference import same_bits
from wells import found

T, NOISE = np.linspace(0, 2, 9), 0.1


def half_chi_square(model, y):
    return lambda x: 0.5 * jnp.sum(((model(T, x) - y) / NOISE) ** 2)


def line(t, x):
    return x["offset"] + x["slope"] * t


def decay(t, x):
    return x[0] * jnp.exp(-x[1] * t) + x[2]


def at(fun, x, bounds=None):
    """The minimum at a point, in which a list is an array."""
    point = jax.tree.map(
        lambda leaf: np.asarray(leaf, float)[None], x, is_leaf=lambda node: isinstance(node, list)
    )
    (minimum,) = found(fun, point, bounds)
    return minimum


def test_a_straight_line_has_the_errors_of_linear_regression():
    y = np.random.default_rng(0).normal(size=T.size)
    design = np.stack([np.ones_like(T), T], axis=1)
    normal = design.T @ design / NOISE**2
    offset, slope = np.linalg.lstsq(design, y)[0]
    minimum = at(half_chi_square(line, y), {"slope": slope, "offset": offset})
    np.testing.assert_allclose(minimum.hessian, normal, rtol=1e-12)
    np.testing.assert_allclose(minimum.covariance(), np.linalg.inv(normal), rtol=1e-12)
    errors = minimum.standard_errors()
    assert {*errors} == {"offset", "slope"}
    _, covariance = scipy.optimize.curve_fit(
        lambda t, a, b: a + b * t, T, y, sigma=np.full(T.size, NOISE), absolute_sigma=True
    )
    np.testing.assert_allclose(minimum.covariance(), covariance, rtol=1e-6)
    np.testing.assert_allclose(errors["slope"], np.sqrt(covariance[1, 1]), rtol=1e-6)


@pytest.mark.parametrize("unit", [1.0, 1e-6, 1e6])
def test_a_fit_without_residuals_has_the_errors_of_curve_fit(unit):
    # There the Hessian is that of Gauss and Newton, J^T J. One parameter is in another unit.
    x = np.array([2.0, 0.7, -1.0])
    y = np.asarray(decay(T, x))
    units = np.array([unit, 1 / unit, 1.0])
    jacobian = jax.jacfwd(lambda x: decay(T, x))
    _, covariance = scipy.optimize.curve_fit(
        lambda _, *x: np.asarray(decay(T, x)),
        *(T, y, x, np.full(T.size, NOISE)),
        absolute_sigma=True,
        jac=lambda _, *x: np.asarray(jacobian(jnp.array(x))),
    )
    box = 0.5 * units * np.minimum(x, 2 * x), 1.5 * units * np.maximum(x, x / 3)
    minimum = at(half_chi_square(lambda t, x: decay(t, x / units), y), units * x, box)
    expected = units[:, None] * covariance * units
    np.testing.assert_allclose(minimum.covariance(), expected, rtol=1e-8)
    np.testing.assert_allclose(minimum.standard_errors(), np.sqrt(np.diag(expected)), rtol=1e-8)


def test_with_residuals_the_hessian_is_the_exact_one():
    # -log L of Poisson counts with mean exp(x): its second derivative is n exp(x), at the best x
    # the sum of the counts. Half a chi-square with y = exp(x) has y' ^ 2 + (y - data) y''.
    counts = np.array([3.0, 5, 4, 8])
    minimum = at(lambda x: jnp.sum(jnp.exp(x) - counts * x), np.log(counts.mean()))
    np.testing.assert_allclose(minimum.standard_errors(), 1 / np.sqrt(counts.sum()), rtol=1e-12)
    data = np.array([1.0, 3.0])
    minimum = at(lambda x: 0.5 * jnp.sum((jnp.exp(x) - data) ** 2), np.log(2.0))
    np.testing.assert_allclose(minimum.covariance(), [[1 / 8]], rtol=1e-12)
    minimum = at(lambda x: 0.5 * jnp.sum((x**2 - data) ** 2), np.sqrt(2.0))
    np.testing.assert_allclose(minimum.covariance(), [[1 / (2 * 8 + 2 * (2 * 2 - 4))]], rtol=1e-12)


@pytest.mark.parametrize("upper", [0.2, 9.0])
def test_what_a_bound_holds_has_no_error_and_the_others_are_conditional(upper):
    def fun(x):
        return 0.5 * jnp.sum((jnp.array([[2.0, 0, 1], [1, 1, 0], [0, 3, 1]]) @ x + 1) ** 2)

    hessian, x = np.asarray(jax.hessian(fun)(jnp.zeros(3))), np.array([0, 0.2, 0])
    free = np.ix_([0, 2], [0, 2])
    x[[0, 2]] = -np.linalg.solve(hessian[free], np.asarray(jax.grad(fun)(jnp.array(x)))[[0, 2]])
    minimum = at(fun, x, (np.array([-9, 0.2, -9]), np.array([9, upper, 9])))
    assert minimum.held.tolist() == [False, True, False]
    assert minimum.kind == ("minimum" if upper == 0.2 else "on the boundary")
    covariance = np.zeros((3, 3))
    covariance[free] = np.linalg.inv(hessian[free])
    np.testing.assert_allclose(minimum.covariance(), covariance, rtol=1e-12)
    assert minimum.standard_errors()[1] == 0


def test_errors_have_the_tree_the_shapes_and_the_dtypes_of_x():
    def fun(x):
        b = (jnp.array([[1.0, 4.0]]) * x["b"].astype(jnp.float64)) ** 2
        return 0.5 * (9 * x["a"].real ** 2 + 16 * x["a"].imag ** 2 + jnp.sum(b))

    x = {"a": np.zeros(1, complex), "b": np.zeros((1, 1, 2), np.float32)}
    (minimum,) = found(fun, x)
    expected = {"a": np.array(1 / 3 + 0.25j), "b": np.array([[1, 0.25]], np.float32)}
    assert same_bits(minimum.standard_errors(), expected)


@pytest.mark.parametrize(
    ("fun", "x", "kind", "said"),
    [
        (
            lambda x: (x["gain"] + 2 * x["offset"][0]) ** 2 + x["offset"][1] ** 2,
            (0.0, [0.0, 0.0]),
            "flat",
            r"is flat along gain \+1, offset\[0\] -0.5, which fun does not fix; fix one of these",
        ),
        (
            lambda x: x["gain"] ** 2,
            (0.0, [0.3, 0.7]),
            "flat",
            r"along offset\[0\]; offset\[1\], wh",
        ),
        (
            lambda x: x["gain"] ** 2 + x["offset"][0] ** 2 - x["offset"][1] ** 2,
            (0.0, [0.0, 0.0]),
            "saddle",
            r"is a saddle: the value falls along offset\[1\]; search on",
        ),
        (
            lambda x: x["gain"] ** 2 + jnp.sum(x["offset"] ** 2),
            (0.7, [0.0, 0.0]),
            "unconverged",
            "is unconverged: Newton's .* of the box; search with more steps, or a smaller gtol",
        ),
        (
            lambda x: jnp.abs(x["gain"]) ** 1.5 + 0 * jnp.sum(x["offset"]),
            (0.0, [0.0, 0.0]),
            "unknown",
            "its kind is unknown; the Hessian is computed for the 256 best",
        ),
        (
            lambda x: (x["gain"] + 1) ** 2 + x["offset"][0] ** 2,
            (-1.0, [0.0, 0.5]),
            "flat",
            r"is flat along offset\[1\], which",
        ),
        (
            lambda x: (x["gain"] + 2) ** 2 + x["offset"][0] ** 2,
            (-1.0, [0.0, 0.5]),
            "on the boundary",
            r"is flat along offset\[1\], which",
        ),
    ],
)
def test_without_a_minimum_there_are_no_errors_and_the_message_says_why(fun, x, kind, said):
    x = {"gain": x[0], "offset": x[1]}
    minimum = at(fun, x, ({"gain": -1, "offset": -1}, {"gain": 1, "offset": 1}))
    assert minimum.kind == kind
    for errors in (minimum.covariance, minimum.standard_errors):
        with pytest.raises(ValueError, match=said):
            errors()
    if kind == "unknown":
        assert (minimum.hessian, minimum.held, minimum.unsettled) == (None,) * 3
        assert minimum.directions() == ""
    else:
        assert minimum.hessian.shape == (3, 3)
        assert kind == "unconverged" or minimum.directions() in said.replace("\\", "")


def test_a_hessian_that_rounding_cannot_invert_is_refused():
    weights = np.array([[1.0, 1.0], [1.0, 1.0 + 1e-9]])
    minimum = at(lambda x: 0.5 * jnp.sum((weights @ x) ** 2), [0.0, 0.0])
    minimum = minimum._replace(kind="minimum", unsettled=np.empty((0, 2)))
    with pytest.raises(
        ValueError, match=r"no inverse in float64: fun does not fix x\[0\] .1, x\[1\]"
    ):
        minimum.covariance()


def test_a_flat_valley_that_its_ends_show_says_how_wide_it_is():
    x = {"a": np.linspace(0, 3, 30), "b": np.zeros(30)}
    (minimum,) = found(lambda x: jnp.abs(x["b"]) ** 1.5 + 0 * x["a"], x)
    assert (minimum.kind, minimum.hessian) == ("flat", None)
    assert minimum.directions() == "a by 3"
    with pytest.raises(ValueError, match="is flat along a by 3, which"):
        minimum.covariance()


def test_of_many_directions_six_are_named():
    minimum = at(lambda x: 0 * jnp.sum(x), np.zeros(8))
    assert minimum.unsettled.tolist() == np.eye(8).tolist()
    assert minimum.directions() == "; ".join([*(f"x[{i}]" for i in range(6)), "..."])
    minimum = at(lambda x: jnp.sum(jnp.arange(8.0) * x) ** 2, np.zeros(8))
    assert len(minimum.unsettled) == 7
    np.testing.assert_allclose(minimum.unsettled @ np.arange(8), 0, atol=1e-9)
    assert (np.count_nonzero(minimum.unsettled, axis=1) <= 2).all()


@pytest.mark.parametrize("scale", [1.0, 1e-6, 1e6])
def test_directions_are_in_units_of_x(scale):
    box = np.array([0.0, 0.0]), np.array([scale, 1 / scale])
    minimum = at(
        lambda x: (x[0] / scale + 2 * x[1] * scale - 1) ** 2, [0.5 * scale, 0.25 / scale], box
    )
    (direction,) = minimum.unsettled
    np.testing.assert_allclose(direction, [1, -0.5 / scale**2], rtol=1e-6)


def test_the_gradient_is_that_of_its_best_point():
    from jamsgrad._minima.minima import distinct_minima

    x, norms = np.array([[1.0], [0.0], [0.5]]), np.array([0.1, 0.2, 0.3])
    (minimum,), _ = distinct_minima(lambda x: x[0] ** 2, x, x[:, 0] ** 2, norms, None, n_searches=3)
    assert minimum.grad_norm == 0.2
