"""The inverse of a Hessian: to full accuracy in any units, or why there is none."""

import numpy as np
import pytest

from jamsgrad._minima.covariance import SingularError, covariance

CORRELATION = np.array([[1.0, 0.5, -0.25], [0.5, 1.0, 0.125], [-0.25, 0.125, 1.0]])
FREE = np.zeros(3, bool)


@pytest.mark.parametrize("sizes", [[1, 1, 1], [1e-6, 1, 1e6], [1e-100, 1e90, 1e-30]])
def test_units_cost_no_digits(sizes):
    sizes = np.array(sizes)
    expected = sizes[:, None] * np.linalg.inv(CORRELATION) * sizes
    found = covariance(CORRELATION / sizes[:, None] / sizes, FREE)
    np.testing.assert_allclose(found, expected, rtol=1e-13)


def test_what_is_held_is_known_and_the_others_depend_on_it():
    found = covariance(CORRELATION, np.array([False, True, False]))
    assert not found[1].any()
    assert not found[:, 1].any()
    of_two = np.linalg.inv(CORRELATION[np.ix_([0, 2], [0, 2])])
    np.testing.assert_allclose(found[np.ix_([0, 2], [0, 2])], of_two, rtol=1e-14)
    assert not covariance(CORRELATION, ~FREE).any()
    held = covariance(np.diag([1.0, -1.0, 4.0]), np.array([False, True, False]))
    np.testing.assert_array_equal(held, np.diag([1, 0, 0.25]))


@pytest.mark.parametrize(
    ("hessian", "direction"),
    [
        (np.diag([1.0, 0.0, 2.0]), [0, 1, 0]),
        (np.diag([1.0, 2.0, -1e-9]), [0, 0, 1]),
        (np.array([[1.0, 2, 0], [2, 4, 0], [0, 0, 1]]), [1, -0.5, 0]),
        (np.array([[1.0, 2, 0], [2, 3, 0], [0, 0, 1]]), [1, -1 / np.sqrt(3), 0]),
        (np.array([[1e-12, 1, 0], [1, 1e12, 0], [0, 0, 1]]), [1, -1e-12, 0]),
    ],
)
def test_a_direction_that_does_not_rise_is_named(hessian, direction):
    with pytest.raises(SingularError) as caught:
        covariance(hessian, FREE)
    np.testing.assert_allclose(caught.value.direction, direction, rtol=1e-12, atol=1e-15)


def test_in_float32_the_rounding_of_float32_counts():
    nearly = np.array([[1.0, 1 - 3e-7], [1 - 3e-7, 1.0]])
    assert covariance(nearly, FREE[:2])[0, 0] > 1e5
    with pytest.raises(SingularError):
        covariance(nearly.astype(np.float32), FREE[:2])
