"""Profiles: the lowest value with one parameter held, and the interval where it rises so far."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from many import AMSGRAD, KEY

from jamsgrad import Minimum, amsgradw, multistart, profile

BOX = {"a": -9.0, "b": np.array([-9.0, -9.0])}, {"a": 9.0, "b": np.array([9.0, 9.0])}
HESSIAN = np.array([[2.0, 0.9, 0.0], [0.9, 1.0, -0.5], [0.0, -0.5, 3.0]])
CENTER = np.array([1.0, -2.0, 0.5])


def quadratic(x, hessian=HESSIAN):
    offset = jnp.append(x["a"], x["b"]) - CENTER
    return offset @ hessian @ offset / 2 + 7.0


def lowest(fun, box=BOX, **options):
    found = multistart(fun, box, AMSGRAD, key=KEY, n_starts=16, lanes=16, **options)
    return found.minima[0]


def profiled(which, fun=quadratic, box=BOX, minimum=None, **options):
    given = {"key": KEY, "n_points": 8, "n_starts": 2} | options
    return profile(fun, minimum or lowest(fun, box), which, box, AMSGRAD, **given)


@pytest.mark.parametrize(("which", "i"), [("a", 0), ("b[0]", 1), (2, 2)])
@pytest.mark.parametrize("rise", [0.5, 1.92])
def test_of_a_parabola_it_is_the_one_of_the_standard_error(which, i, rise):
    seen = profiled(which, rise=rise)
    variance = np.linalg.inv(HESSIAN)[i, i]
    offset = np.sqrt(2 * rise * variance)
    np.testing.assert_allclose(seen.interval, CENTER[i] + np.array([-offset, offset]), rtol=1e-9)
    np.testing.assert_allclose(seen.fun, 7.0 + (seen.at - CENTER[i]) ** 2 / (2 * variance))
    assert seen.name == (which if isinstance(which, str) else "b[1]")
    assert (np.diff(seen.at) > 0).all()
    held = np.column_stack([seen.x["a"], seen.x["b"]])[:, i]
    np.testing.assert_array_equal(held, seen.at)
    np.testing.assert_allclose(jax.vmap(quadratic)(seen.x), seen.fun, rtol=1e-12)


def test_others_are_searched_again_not_followed():
    """With a held at 2 the well of b at 3 is the lower one, which no path downhill leads to."""

    def fun(x):
        wells = jnp.minimum((x["b"] + 3) ** 2 + 0.3 * x["a"], (x["b"] - 3) ** 2 - 0.3 * x["a"])
        return wells + x["a"] ** 2

    box = {"a": -4.0, "b": -5.0}, {"a": 4.0, "b": 5.0}
    minimum = next(
        m for m in multistart(fun, box, AMSGRAD, key=KEY, n_starts=32).minima if m.x["a"] > 0
    )
    seen = profile(fun, minimum, "a", box, AMSGRAD, key=KEY, n_starts=6, rise=1.0)
    np.testing.assert_allclose(seen.fun, seen.at**2 - 0.3 * np.abs(seen.at), atol=1e-9)
    np.testing.assert_allclose(
        seen.x["b"] * np.sign(seen.at), np.full(len(seen.at), 3.0), atol=1e-4
    )


def test_where_it_does_not_rise_the_interval_ends_with_the_box():
    def fun(x):
        return jnp.where(x["a"] < 0, x["a"] ** 2, 1e-3 * x["a"] ** 2) + x["b"] ** 2

    box = {"a": -5.0, "b": -5.0}, {"a": 5.0, "b": 5.0}
    seen = profiled("a", fun, box, rise=1.0)
    np.testing.assert_allclose(seen.interval, (-1.0, 5.0), rtol=1e-6)
    open_box = {"a": -np.inf, "b": -5.0}, {"a": np.inf, "b": 5.0}
    minimum = lowest(fun, box)
    flat = profiled("a", lambda x: x["b"] ** 2, open_box, minimum, n_starts=1)
    assert flat.interval == (-np.inf, np.inf)


def test_a_minimum_at_a_bound_has_one_side():
    box = {"a": 2.0, "b": np.array([-9.0, -9.0])}, BOX[1]
    seen = profiled("a", box=box, rise=0.5)
    assert seen.interval[0] == 2.0
    assert seen.at[0] == 2.0
    # The value there is that of the parabola at 2, and rises from there.
    variance = np.linalg.inv(HESSIAN)[0, 0]
    offset = np.sqrt(1 + 2 * 0.5 * variance)
    assert seen.interval[1] == pytest.approx(1 + offset, rel=1e-4)


def test_a_lower_value_on_the_way_is_told():
    def fun(x):
        return jnp.minimum((x["a"] + 2) ** 2, (x["a"] - 2) ** 2 - 0.5) + x["b"] ** 2

    box = {"a": -5.0, "b": -5.0}, {"a": 5.0, "b": 5.0}
    (upper,) = (
        m for m in multistart(fun, box, AMSGRAD, key=KEY, n_starts=32).minima if m.x["a"] < 0
    )
    with pytest.warns(UserWarning, match=r"the value -0\.\d+, lower than .* of the minimum, 0"):
        profile(fun, upper, "a", box, AMSGRAD, key=KEY, rise=6.0)


def test_all_its_searches_are_one_program():
    traces = []

    def fun(x):
        traces.append(x)
        return quadratic(x)

    minimum = lowest(quadratic)
    profiled("a", fun, minimum=minimum)
    n = len(traces)
    profiled("a", fun, minimum=minimum, rise=0.3)
    assert len(traces) == n


@pytest.mark.parametrize(
    ("which", "options", "error", "words"),
    [
        ("c", {}, ValueError, r"which = 'c' is none of the parameters: a, b\[0\], b\[1\]"),
        (3, {}, ValueError, "which must be below 3, or a name, got 3"),
        (-1, {}, ValueError, "^which must be"),
        ("a", {"rise": 0}, ValueError, "rise must be above 0"),
        ("a", {"n_points": 3}, ValueError, "^n_points must be"),
        ("a", {"n_starts": 0}, ValueError, "^n_starts must be"),
        ("a", {"key": None}, TypeError, "key must be one key"),
        ("a", {"box": ({"a": 3.0, "b": -9.0}, 9.0)}, ValueError, r"minimum.x\['a'\] = .* outside"),
        ("a", {"box": ({"a": 1.0, "b": -9.0}, {"a": 1.0, "b": 9.0})}, ValueError, "a is fixed"),
        ("a", {"minimum": 3.0}, TypeError, "minimum must be one of the minima of a result, got 3"),
    ],
)
def test_what_it_cannot_do_is_refused(which, options, error, words):
    x = {"a": np.array(1.0), "b": np.array([-2.0, 0.5])}
    minimum = Minimum(x, 7.0, 1, 1.0, (0.0, 1.0), "minimum", 1.0, x, 0.0)
    with pytest.raises(error, match=words):
        profiled(which, **{"minimum": minimum} | options)


def test_an_optimizer_that_moves_the_parameter_is_refused():
    with pytest.raises(ValueError, match="the optimizer moves a, although its gradient is 0"):
        profile(quadratic, lowest(quadratic), "a", BOX, amsgradw(0.3), key=KEY, n_starts=1)
