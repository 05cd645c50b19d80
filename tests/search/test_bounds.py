"""Bounds: every form means the same box, what makes no sense is refused, and the box is kept."""

import re
import types

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.optimize
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from reference import property_test, same_bits

from jamsgrad._search import bounds as _bounds

INF = np.inf
X = jnp.array([1.0, 2.0, 3.0])
LOWER, UPPER = np.array([0.0, -INF, 3.0]), np.array([INF, 2.0, 3.0])  # open, open, one point
TREE = {"a": X, "b": (jnp.float32(0.5), jnp.ones((2, 3)))}


@pytest.mark.parametrize(
    "bounds",
    [
        (LOWER, UPPER),
        (jnp.array(LOWER), jnp.array(UPPER)),
        (list(LOWER), list(UPPER)),
        (LOWER.astype(np.float32), UPPER.astype(np.float32)),
        np.stack([LOWER, UPPER], axis=1),
        jnp.stack([jnp.array(LOWER), jnp.array(UPPER)], axis=1),
        list(zip(LOWER, UPPER, strict=True)),
        [list(pair) for pair in zip(LOWER, UPPER, strict=True)],
        scipy.optimize.Bounds(LOWER, UPPER),
        _bounds.Bounds(LOWER, UPPER),
    ],
    ids=lambda bounds: type(bounds).__name__,
)
def test_all_forms_mean_the_same_box(bounds):
    box = _bounds.parse(bounds, X)
    assert same_bits(box, _bounds.Bounds(jnp.array(LOWER), jnp.array(UPPER)))
    _bounds.check_inside(X, box)


@pytest.mark.parametrize(
    "bounds",
    [
        (0, 4),
        (0.0, 4.0),
        (np.float32(0), np.int64(4)),
        ([0], [4]),
        (np.zeros(3), 4),
        [(0, 4)] * 3,
        scipy.optimize.Bounds(0, 4),
    ],
    ids=repr,
)
def test_numbers_broadcast_and_take_the_dtype_of_x(bounds):
    for dtype in (jnp.float32, jnp.float64):
        box = _bounds.parse(bounds, X.astype(dtype))
        assert same_bits(box, _bounds.Bounds(jnp.zeros(3, dtype), jnp.full(3, 4, dtype)))


@pytest.mark.parametrize(
    "lower",
    [
        0,
        {"a": 0, "b": 0.0},
        {"a": np.zeros(3), "b": (0, [0.0, 0.0, 0.0])},
        {"a": [0, 0, 0], "b": (jnp.zeros(()), np.zeros((2, 1)))},
        jax.tree.map(jnp.zeros_like, TREE),
    ],
    ids=["number", "prefix", "tree", "lists", "like-x"],
)
def test_trees_and_prefixes_of_trees_broadcast_to_x(lower):
    box = _bounds.parse((lower, 4.0), TREE)
    assert same_bits(box.lower, jax.tree.map(jnp.zeros_like, TREE))
    assert same_bits(box.upper, jax.tree.map(lambda leaf: jnp.full_like(leaf, 4), TREE))


def test_shapes_are_enough_and_no_bounds_are_no_box():
    shapes = jax.eval_shape(lambda: TREE)
    assert same_bits(_bounds.parse((0, 1), shapes), _bounds.parse((0, 1), TREE))
    assert _bounds.parse(None, X) is None
    assert _bounds.check_inside(X, None) is None
    assert _bounds.project(X, None) is X
    assert _bounds.projected_gradient(None, X, None) is X


@pytest.mark.parametrize(
    ("bounds", "error", "said"),
    [
        ((1, 0), ValueError, "reversed: lower [1. 1. 1.], upper [0. 0. 0.]"),
        (([0, 5, 0], 4), ValueError, "reversed: lower [0. 5. 0.]"),
        ([(0, 1), (3, 2), (0, 9)], ValueError, "reversed"),
        ((np.nan, 1), ValueError, "NaN"),
        ((0, [1, np.nan, 1]), ValueError, "NaN"),
        (([0, 0], 1), ValueError, "the lower bound [0, 0] does not fit x of shape (3,)"),
        ((0, np.ones((3, 1))), ValueError, "the upper bound"),
        ((None, 1), ValueError, "the lower bound None does not fit"),
        (("low", 1), ValueError, "the lower bound 'low' does not fit"),
        (({"a": 0}, 1), ValueError, "the lower bound {'a': 0} does not fit"),
        ([(0, 1), (0,)], ValueError, "bounds as a list must hold n pairs, got [(0, 1), (0,)]"),
        ([(0, 1), (0, 1)], ValueError, "does not fit x of shape (3,)"),
        (np.zeros((3, 3)), ValueError, "shape (n, 2), got (3, 3)"),
        (np.zeros(2), ValueError, "shape (n, 2), got (2,)"),
        (5, TypeError, "got int: 5"),
        ("box", TypeError, "got str: 'box'"),
        ((0, 1, 2), TypeError, "got tuple: (0, 1, 2)"),
        ({"a": 1}, TypeError, "got dict"),
    ],
    ids=repr,
)
def test_bounds_that_make_no_sense_are_refused(bounds, error, said):
    with pytest.raises(error, match=re.escape(said)):
        _bounds.parse(bounds, X)


@pytest.mark.parametrize("pairs", [[(None, 1), (0, None), (None, None)], [[None, 1]] * 3])
@pytest.mark.parametrize("make", [list, np.array])
def test_none_in_pairs_is_no_bound(make, pairs):
    box = _bounds.parse(make(pairs), X)
    lows, highs = zip(*pairs, strict=True)
    assert box.lower.tolist() == [-np.inf if low is None else low for low in lows]
    assert box.upper.tolist() == [np.inf if high is None else high for high in highs]


def test_pairs_in_a_tuple_are_told_where_they_leave_no_room():
    with pytest.raises(ValueError, match=re.escape("pairs (low, high) go in a list")):
        _bounds.check_inside(X[:2], _bounds.parse(([-9, 9], [-9, 9]), X[:2]))
    with pytest.raises(ValueError, match=r"jnp\.clip moves them into the box$"):
        _bounds.check_inside(X[:2], _bounds.parse(([90, 90], [99, 99]), X[:2]))


ZIPPED = tuple(zip(np.zeros(2), np.ones(2), strict=True))


@pytest.mark.parametrize(
    "pairs",
    [
        ((-5, 5), (0, 10)),
        ((-5.0, 5.0), [0.0, 10.0]),
        ((None, 5), (0, None)),
        ((0, 1),),
        ((0, 1), (2, 3), (4, 5)),
        ([0, 1], [2, 3], [4, 5]),
        ZIPPED,
        tuple((jnp.array(low), jnp.array(high)) for low, high in ZIPPED),
    ],
    ids=repr,
)
def test_what_may_be_pairs_is_refused_as_a_tuple(pairs):
    x = jnp.full(len(pairs), 0.5)
    for parse in (lambda: _bounds.parse(pairs, x), lambda: _bounds.box(pairs)):
        with pytest.raises(ValueError, match=r"pairs \(low, high\) go in a list.*array\(lower\)"):
            parse()
    if None not in pairs[0]:
        box = _bounds.box(list(pairs))
        assert box.lower.tolist() == [float(low) for low, _ in pairs]


def test_a_tuple_of_two_lists_arrays_or_trees_is_lower_and_upper():
    for make in (list, np.array, jnp.array):
        box = _bounds.box((make([-5.0, 0.0]), make([5.0, 10.0])))
        assert (box.lower.tolist(), box.upper.tolist()) == ([-5, 0], [5, 10])
    three = _bounds.box(((0, 0, 0), (1, 1, 1)))
    assert jax.tree.map(float, three.upper) == (1, 1, 1)
    two = _bounds.box(types.SimpleNamespace(lb=(0.0, -1.0), ub=(1.0, 2.0)))
    assert jax.tree.map(float, two) == _bounds.Bounds((0, -1), (1, 2))
    assert jax.tree.map(float, _bounds.parse(two, two.lower)) == jax.tree.map(float, two)


def test_errors_name_the_leaf():
    with pytest.raises(ValueError, match=re.escape("bounds of x['b'][0] are reversed")):
        _bounds.parse((0, {"a": 1, "b": (-1, 1)}), TREE)
    with pytest.raises(TypeError, match=re.escape("bounds need real numbers, x is complex128")):
        _bounds.parse((0, 1), X.astype(complex))


@pytest.mark.parametrize(
    ("bounds", "x", "said"),
    [
        ((0, 2.5), X, "x0[2] = 3.0 is outside its bounds [0.0, 2.5]"),
        ((1.5, INF), X, "x0[0] = 1.0 is outside its bounds [1.5, inf]"),
        ((0, 1), jnp.float64(-2), "x0 = -2.0 is outside its bounds [0.0, 1.0]"),
        (({"a": 0, "b": 1}, 3), TREE, "x0['b'][0] = 0.5 is outside its bounds [1.0, 3.0]"),
    ],
    ids=["upper", "lower", "scalar", "tree"],
)
def test_a_start_outside_is_refused_by_name_and_value(bounds, x, said):
    with pytest.raises(ValueError, match=re.escape(said)):
        _bounds.check_inside(x, _bounds.parse(bounds, x))


def test_traced_bounds_and_starts_are_not_checked():
    def inside(lower, x):
        box = _bounds.parse((lower, 1.0), x)
        _bounds.check_inside(x, box)
        return _bounds.project(x, box)

    np.testing.assert_array_equal(jax.jit(inside)(0.0, X), [1, 1, 1])
    np.testing.assert_array_equal(jax.vmap(inside, (None, 0))(0.0, -X[:, None]), [[0], [0], [0]])


numbers = hnp.arrays(np.float64, 3, elements=st.integers(-3, 3) | st.floats(-3, 3))


@property_test
@given(numbers, numbers, numbers, numbers)
def test_projection_is_the_nearest_point_and_idempotent(a, b, x, other):
    lower, upper = np.minimum(a, b), np.maximum(a, b)
    box = _bounds.parse((lower, upper), x)
    nearest = _bounds.project(x, box)
    assert np.all((lower <= nearest) & (nearest <= upper))
    assert same_bits(_bounds.project(nearest, box), nearest)
    other = np.clip(other, lower, upper)  # any other point of the box is no nearer
    assert np.all(np.abs(nearest - x) <= np.abs(other - x))


def test_projection_keeps_inner_points_nan_and_dtypes():
    box = _bounds.parse((0, 1), TREE)
    inner = jax.tree.map(lambda leaf: jnp.full_like(leaf, 0.3), TREE)
    assert same_bits(_bounds.project(inner, box), inner)
    nan = jax.tree.map(lambda leaf: jnp.full_like(leaf, jnp.nan), TREE)
    assert all(np.isnan(leaf).all() for leaf in jax.tree.leaves(_bounds.project(nan, box)))


# At a lower end a positive gradient leads out of the box, at an upper end a negative one.
@pytest.mark.parametrize("sign", [1, -1])
def test_projected_gradient_drops_what_leads_out_of_the_box(sign):
    x = jnp.array([0.0, 0.0, 0.5, 1.0, 1.0, 2.0, 2.0, 7.0])
    lower, upper = [0.0, 0.0, 0.0, 0.0, 0.0, 2.0, 2.0, -INF], [1.0] * 5 + [2.0, 2.0, INF]
    grad = jnp.array([3.0, -3.0, 3.0, 3.0, -3.0, 3.0, -3.0, 3.0])
    kept = [0.0, -3.0, 3.0, 3.0, 0.0, 0.0, 0.0, 3.0]
    if sign < 0:  # the mirror image
        x, lower, upper = -x, [-u for u in upper], [-low for low in lower]
    box = _bounds.parse((lower, upper), x)
    found = _bounds.projected_gradient(x, sign * grad, box)
    np.testing.assert_array_equal(found, sign * np.array(kept))


def test_projected_gradient_keeps_nan_and_the_dtype():
    box = _bounds.parse((0, 1), x := jnp.zeros(2, jnp.float32))
    found = _bounds.projected_gradient(x, jnp.array([jnp.nan, 1.0], jnp.float32), box)
    assert same_bits(found, jnp.array([jnp.nan, 0.0], jnp.float32))
