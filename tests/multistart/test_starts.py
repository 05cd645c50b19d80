"""Starts: reproducible, independent of how many there are, spread as promised, never outside."""

import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.optimize
from reference import same_bits

from jamsgrad._multistart import starts as _starts
from jamsgrad._multistart.starts import inside, sample_starts
from jamsgrad._search import bounds as _bounds

KEY = jax.random.key(7)
METHODS = ["uniform", "sobol", "lhs"]
BOX = (np.array([-1.0, 2.0, -50.0]), np.array([1.0, 2.5, 50.0]))
TREE = (
    {"a": -1.0, "b": (np.zeros(3), np.float32(0))},
    {"a": 1, "b": (2.0, np.ones((2, 1), np.float32))},
)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("bounds", [BOX, TREE], ids=["array", "tree"])
def test_a_key_gives_the_same_starts_every_time_and_another_key_others(method, bounds):
    first = sample_starts(KEY, 20, bounds, method)
    assert same_bits(first, sample_starts(KEY, 20, bounds, method))
    other = sample_starts(jax.random.key(8), 20, bounds, method)
    assert all(
        (np.asarray(a) != np.asarray(b)).all()
        for a, b in zip(jax.tree.leaves(first), jax.tree.leaves(other), strict=True)
    )


@pytest.mark.parametrize("method", METHODS)
def test_a_legacy_key_gives_the_starts_of_its_typed_twin(method):
    assert same_bits(
        sample_starts(jax.random.PRNGKey(7), 9, BOX, method), sample_starts(KEY, 9, BOX, method)
    )


@pytest.mark.parametrize("method", ["uniform", "sobol"])
@pytest.mark.parametrize("bounds", [BOX, TREE], ids=["array", "tree"])
def test_the_first_starts_do_not_depend_on_how_many_there_are(method, bounds):
    many = sample_starts(KEY, 1000, bounds, method)
    for n in (0, 1, 999):
        few = sample_starts(KEY, n, bounds, method)
        assert same_bits(few, jax.tree.map(lambda leaf, n=n: leaf[:n], many))


def test_a_uniform_start_is_a_function_of_the_key_and_its_number():
    starts = sample_starts(KEY, 50, BOX)
    seed = np.random.SeedSequence(jax.random.key_data(KEY).tolist())
    units = np.random.Generator(np.random.Philox(seed)).random(32 * 3)  # in the order of starts
    np.testing.assert_allclose(starts[31], BOX[0] + units[-3:] * (BOX[1] - BOX[0]), rtol=1e-14)
    assert len(np.unique(starts)) == starts.size


@pytest.mark.parametrize("method", METHODS)
def test_starts_fill_the_box_evenly(method):
    import scipy.stats  # takes a second in each process, and few tests need it

    starts = np.asarray(sample_starts(KEY, 4096, BOX, method))
    units = (starts - BOX[0]) / (BOX[1] - BOX[0])
    for i, unit in enumerate(units.T):
        # The first two moments of the uniform distribution, within 5 standard errors.
        assert abs(unit.mean() - 1 / 2) < 5 * np.sqrt(1 / 12 / 4096)
        assert abs(unit.var() - 1 / 12) < 5 * np.sqrt(1 / 180 / 4096)
        assert scipy.stats.kstest(unit, "uniform").pvalue > 1e-3, i
    assert np.abs(np.corrcoef(units.T) - np.eye(3)).max() < 5 / np.sqrt(4096)


def test_sobol_and_latin_hypercube_hold_one_start_in_every_slice():
    for method in ("sobol", "lhs"):
        units = (np.asarray(sample_starts(KEY, 64, BOX, method)) - BOX[0]) / (BOX[1] - BOX[0])
        slices = np.sort(np.floor(units * 64).astype(int), axis=0)
        np.testing.assert_array_equal(slices, np.arange(64)[:, None].repeat(3, 1))


HUGE = float(np.finfo(np.float32).max)
NASTY = [
    (np.float32(0.1), np.float32(0.3)),
    (np.float32(-HUGE), np.float32(HUGE)),
    (np.float32(1), np.nextafter(np.float32(1), np.float32(2))),
    (np.float32(1e8), np.float32(1e8 + 24)),
    (np.float32(-0.1), np.float32(1e30)),
    (np.float32(0.7), np.float32(0.7)),
    (np.float32(-1e-30), np.float32(1e-30)),
    (jnp.bfloat16(0.1), jnp.bfloat16(0.101)),
    (jnp.float16(-65504), jnp.float16(65504)),
    (-1.7e308, 1.7e308),
]


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize(("low", "high"), NASTY, ids=repr)
def test_no_start_leaves_the_closed_box(low, high, method):
    starts = sample_starts(KEY, 5000, (low, high), method)
    assert starts.dtype == jnp.result_type(low)
    starts, low, high = (np.asarray(a, np.float64) for a in (starts, low, high))
    assert ((low <= starts) & (starts <= high)).all()
    assert abs(np.mean(np.sign(starts - (low / 2 + high / 2)))) < 0.2 or low == high


def test_the_corners_of_the_unit_cube_are_those_of_the_box():
    # Rounding high - low up would place some of the upper corners outside.
    low, high = np.sort(np.random.default_rng(0).normal(size=(2, 1000)).astype(np.float32), axis=0)
    box = _bounds.box((low, high))
    lower, upper = _starts.placed(np.array([np.zeros(1000), np.ones(1000)]), box)
    assert same_bits(lower, low)
    assert (upper <= high).all()
    np.testing.assert_allclose(upper, high, rtol=0, atol=1e-6)


@pytest.mark.parametrize(
    ("bounds", "shape"),
    [
        (BOX, (3,)),
        ((jnp.array(BOX[0]), jnp.array(BOX[1])), (3,)),
        ((list(BOX[0]), list(BOX[1])), (3,)),
        (np.stack(BOX, axis=1), (3,)),
        (np.stack(BOX, axis=1).tolist(), (3,)),
        (list(zip(*BOX, strict=True)), (3,)),
        (scipy.optimize.Bounds(*BOX), (3,)),
        ((-2, BOX[1]), (3,)),
        ((BOX[0], 60), (3,)),
        ((np.zeros((2, 1)), np.ones(3)), (2, 3)),
        ((0, 1), ()),
        ((np.float64(0), True), ()),
    ],
    ids=repr,
)
def test_shapes_come_from_the_bounds(bounds, shape):
    starts = sample_starts(KEY, 11, bounds, "lhs")
    assert starts.shape == (11, *shape)
    assert starts.dtype == jnp.float64
    assert type(starts) is np.ndarray


def test_all_forms_of_one_box_give_the_same_starts():
    wanted = sample_starts(KEY, 5, BOX, "lhs")
    for bounds in (np.stack(BOX, axis=1), [list(p) for p in zip(*BOX, strict=True)]):
        assert same_bits(sample_starts(KEY, 5, bounds, "lhs"), wanted)
    assert same_bits(sample_starts(KEY, 5, scipy.optimize.Bounds(*BOX), "lhs"), wanted)


@pytest.mark.parametrize("method", METHODS)
def test_trees_and_prefixes_of_trees(method):
    starts = sample_starts(KEY, 6, TREE, method)
    shapes = jax.tree.map(lambda leaf: (leaf.shape, str(leaf.dtype)), starts)
    assert shapes == {
        "a": ((6,), "float64"),
        "b": (((6, 3), "float64"), ((6, 2, 1), "float32")),
    }
    inside(starts, 6, _bounds.box(TREE))
    for bounds in ((0, TREE[1]), ({"a": 0, "b": 0.0}, TREE[1]), (TREE[0], 9.0)):
        got = sample_starts(KEY, 6, bounds, method)
        assert jax.tree.structure(got) == jax.tree.structure(starts)


def test_a_list_of_arrays_is_a_tree_and_a_list_of_numbers_an_array():
    starts = sample_starts(KEY, 4, ([np.zeros(2), np.zeros(2)], 1), "lhs")
    assert [leaf.shape for leaf in starts] == [(4, 2), (4, 2)]
    assert sample_starts(KEY, 4, ([0, 0.5], [1, 1]), "lhs").shape == (4, 2)


def test_without_x64_starts_are_float32():
    with jax.enable_x64(False):
        for bounds in (BOX, (0, 1), (jnp.zeros(3), 1.0)):
            assert sample_starts(KEY, 3, bounds, "lhs").dtype == jnp.float32
        with pytest.raises(ValueError, match="finite"):  # in float32 it is
            sample_starts(KEY, 3, (0.0, 1e300))


def test_no_starts_at_all():
    for method in METHODS:
        assert sample_starts(KEY, 0, BOX, method).shape == (0, 3)


@pytest.mark.parametrize(
    ("bounds", "said"),
    [
        ((0, np.inf), "those of x are not: lower 0.0, upper inf"),
        (
            ({"a": np.zeros(2), "b": -np.inf}, 1),
            "those of x['b'] are not: lower -inf, upper 1.0",
        ),
        (([0, -np.inf], 1), "finite"),
        ((0, np.nan), "NaN"),
        ((1, 0), "reversed"),
        ((np.zeros(2), np.zeros(3)), "do not fit each other"),
        (({"a": 0}, {"b": 1}), "do not fit each other"),
        (({"a": 0}, (1, 2)), "do not fit each other"),
        (("low", 1), "do not fit each other"),
        (np.zeros((3, 3)), "shape (n, 2)"),
        ((None, None), "the bounds None and None hold no numbers"),
        (({}, {}), "hold no numbers"),
        ((np.zeros(0), np.ones(0)), "hold no numbers"),
        (np.zeros((0, 2)), "hold no numbers"),
        (([0, [1]], [1, [2]]), "do not fit each other"),
        (("f4", "f8"), "do not fit each other"),
    ],
    ids=repr,
)
def test_bounds_that_make_no_box_are_refused(bounds, said):
    for method in METHODS:
        with pytest.raises(ValueError, match=re.escape(said)):
            sample_starts(KEY, 3, bounds, method)


@pytest.mark.parametrize(
    ("n", "bounds", "method", "error", "said"),
    [
        (-1, BOX, "uniform", ValueError, "n_starts must be an integer >= 0, got -1"),
        (1.5, BOX, "uniform", TypeError, "n_starts must be an integer"),
        (3, BOX, "grid", ValueError, "'uniform', 'sobol', 'lhs' or a function, got 'grid'"),
        (3, None, "uniform", TypeError, "bounds must be a tuple"),
        (3, (0j, 1), "uniform", TypeError, "real"),
    ],
)
def test_arguments_out_of_range_are_refused(n, bounds, method, error, said):
    with pytest.raises(error, match=re.escape(said)):
        sample_starts(KEY, n, bounds, method)


def test_a_function_as_the_method_gets_the_box_and_its_starts_come_back_in_its_dtype():
    def corners(key, n, box):
        return np.where(jax.random.bernoulli(key, 0.5, (n, 3)), box.lower, box.upper)

    low, high = (end.astype(np.float32) for end in BOX)
    starts = sample_starts(KEY, 40, (low, high), corners)
    assert starts.dtype == jnp.float32
    assert ((np.asarray(starts) == low) | (np.asarray(starts) == high)).all()
    halves = sample_starts(
        KEY, 2, TREE, lambda *_: {"a": [0, 1], "b": (np.ones((2, 3)), 1 - np.ones((2, 2, 1)))}
    )
    assert jax.tree.structure(halves) == jax.tree.structure(sample_starts(KEY, 2, TREE))


@pytest.mark.parametrize(
    ("starts", "said"),
    [
        (np.zeros((4, 2)), "starts must have the shape (3, 2), got (4, 2)"),
        (np.zeros((3, 1)), "starts must have the shape (3, 2), got (3, 1)"),
        ({"a": np.zeros((3, 2))}, "starts must have the shape (3, 2), got"),
        ([[0, 0], [0, 1.5], [0, 0]], "starts[1, 1] = 1.5 is outside its bounds [0.0, 1.0]"),
        ([[0, 0], [0, np.nan], [0, 0]], "starts must not be NaN"),
        ([[0, 0], [0], [0, 0]], "starts must have the shape (3, 2), got [[0, 0], [0], [0, 0]]"),
        (None, "starts must have the shape (3, 2), got ()"),
        (jax.random.split(KEY, (3, 2)), "starts must have the shape (3, 2), got Array"),
    ],
    ids=repr,
)
def test_starts_of_a_function_that_do_not_fit_are_refused(starts, said):
    with pytest.raises(ValueError, match=re.escape(said)):
        sample_starts(KEY, 3, (np.zeros(2), np.ones(2)), lambda *_: starts)


@pytest.mark.parametrize("number", [None, "a", 1j])
def test_starts_of_a_function_that_are_no_real_numbers_are_refused(number):
    with pytest.raises(TypeError, match="starts must be real numbers, got dtype"):
        sample_starts(KEY, 3, (np.zeros(2), np.ones(2)), lambda *_: np.full((3, 2), number))


@pytest.mark.parametrize("method", [*METHODS, lambda key, n, box: np.zeros((n, 3))])
@pytest.mark.parametrize(
    "key",
    [
        *(None, 0, 0.5, "key", object, [1, 2]),
        *(np.array(3), np.zeros(2), np.zeros(3, np.uint32)),
        *(jax.random.split(KEY, 3), jax.random.split(jax.random.PRNGKey(0), 3)),
    ],
    ids=repr,
)
def test_what_is_not_one_key_is_refused(key, method):
    message = f"key must be one key, such as jax.random.key(0), got {key!r}"
    with pytest.raises(TypeError, match=re.escape(message)):
        sample_starts(key, 3, BOX, method)


@pytest.mark.parametrize("method", METHODS)
def test_start_i_is_the_same_point_in_every_dtype(method):
    wide = sample_starts(KEY, 100, BOX, method)
    for dtype in (np.float32, np.float16, jnp.bfloat16):
        narrow = sample_starts(KEY, 100, tuple(end.astype(dtype) for end in BOX), method)
        assert narrow.dtype == dtype
        # Half an ulp for the start, and one for each end of the box.
        tolerance = 2 * float(jnp.finfo(dtype).eps) * np.abs(BOX).max(axis=0)
        assert np.all(np.abs(np.asarray(narrow, float) - np.asarray(wide)) <= tolerance)


def test_drawing_starts_compiles_nothing():
    sample_starts(KEY, 77, BOX)  # a key is read by a program of JAX
    events = []
    jax.monitoring.register_event_duration_secs_listener(lambda name, *_, **__: events.append(name))
    for method in METHODS:
        sample_starts(jax.random.PRNGKey(1), 78, tuple(end + 1 for end in BOX), method)
    assert not [name for name in events if "backend_compile" in name]
    jax.jit(lambda x: x + 77.0)(1.0)
    assert [name for name in events if "backend_compile" in name]  # it would have been heard
