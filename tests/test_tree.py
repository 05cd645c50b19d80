"""Trees of arrays: as rows and back, and with one value, one condition or no keys."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from reference import same_bits

from jamsgrad import _tree

POINTS = {
    "a": np.arange(3, dtype=np.float32),
    "b": np.arange(12).reshape(3, 2, 2) * (1 - 2j),
    "empty": np.zeros((3, 0)),
}


def test_a_tree_of_points_becomes_rows_and_is_itself_again():
    rows = _tree.as_rows(POINTS)
    assert (rows.shape, rows.dtype) == ((3, 9), np.float64)
    np.testing.assert_array_equal(rows[2], [2, 8, -16, 9, -18, 10, -20, 11, -22])
    like = jax.tree.map(lambda leaf: leaf[0], POINTS)
    assert same_bits(_tree.as_tree(rows, like), POINTS)
    assert same_bits(jax.jit(jax.vmap(lambda row: _tree.as_tree(row, like)))(rows), POINTS)
    for i in range(3):
        np.testing.assert_array_equal(
            _tree.as_row(jax.tree.map(lambda leaf, i=i: leaf[i], POINTS)), rows[i]
        )


class Rates(NamedTuple):
    up: np.ndarray
    by_day: list


@pytest.mark.parametrize(
    ("x", "names"),
    [
        (np.zeros(2), ["x[0]", "x[1]"]),
        (1.5, ["x"]),
        (1j, ["x.real", "x.imag"]),
        ({"rate": 1.0, "offset": np.zeros(2)}, ["offset[0]", "offset[1]", "rate"]),
        ([1.0, np.zeros((1, 2))], ["x[0]", "x[1][0,0]", "x[1][0,1]"]),
        ({"a": {"b": (2.0, 3j)}, "c": {}}, ["a.b[0]", "a.b[1].real", "a.b[1].imag"]),
        (Rates(1.0, [2.0, 3.0]), ["up", "by_day[0]", "by_day[1]"]),
        ({3: 1.0, 4: np.zeros(1)}, ["x[3]", "x[4][0]"]),
    ],
)
def test_the_numbers_of_a_row_have_names(x, names):
    assert _tree.names(x) == names
    assert len(names) == _tree.as_row(jax.tree.map(np.asarray, x)).size
    with_root = [f"x.{name}" if name[0] != "x" else name for name in names]
    assert _tree.names(x, "x") == with_root
    assert _tree.names(x, "start") == ["start" + name[1:] for name in with_root]


def test_one_condition_chooses_all_leaves():
    a, b = {"x": jnp.ones(2), "y": jnp.int32(1)}, {"x": jnp.zeros(2), "y": jnp.int32(0)}
    assert same_bits(_tree.where(jnp.array(True), a, b), a)
    assert same_bits(_tree.where(jnp.array(False), a, b), b)


def test_full_like_needs_shapes_and_dtypes_only():
    given = {"x": jnp.ones(2, jnp.bfloat16), "y": jnp.complex64(1)}
    full = {"x": jnp.full(2, 7, jnp.bfloat16), "y": jnp.complex64(7)}
    assert same_bits(_tree.full_like(given, 7), full)
    assert same_bits(_tree.full_like(jax.eval_shape(lambda: given), 7), full)


@pytest.mark.parametrize("impl", ["threefry2x32", "rbg"])
def test_keys_become_numbers_and_the_same_keys_again(impl):
    tree = {"keys": jax.random.split(jax.random.key(3, impl=impl), 2), "x": jnp.arange(2.0)}
    written = jax.tree.map(np.asarray, _tree.without_keys(tree))
    assert written["keys"].dtype == np.uint32
    again = _tree.with_keys(written, tree)
    assert again["keys"].dtype == tree["keys"].dtype
    assert same_bits(_tree.without_keys(again), _tree.without_keys(tree))


@pytest.mark.parametrize(
    ("a", "b", "quotient"), [(0, 3, 0), (1, 3, 1), (3, 3, 1), (4, 3, 2), (2**62 + 1, 2, 2**61 + 1)]
)
def test_ceil_div_rounds_up(a, b, quotient):
    assert _tree.ceil_div(a, b) == quotient
