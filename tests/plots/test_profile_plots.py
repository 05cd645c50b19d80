"""The picture of a profile holds its numbers."""

import matplotlib.pyplot as plt
import numpy as np
import pytest

from jamsgrad import plots
from jamsgrad._minima.profile import Profile

AT = np.linspace(-2, 2, 9)


def seen(**changes):
    given = Profile("rate", AT, 3 + AT**2, {"rate": AT}, 3.0, 1.0, (-1.0, 1.0))
    return given._replace(**changes)


def test_it_shows_the_rise_and_the_interval():
    ax = plt.subplots()[1]
    assert plots.profile(seen(), ax) is ax
    rise, curve, minimum = ax.get_lines()
    np.testing.assert_array_equal(rise.get_ydata(), [1, 1])
    shown = AT**2 <= 3  # three times the rise
    np.testing.assert_array_equal(curve.get_xdata(), AT[shown])
    np.testing.assert_array_equal(curve.get_ydata(), AT[shown] ** 2)
    np.testing.assert_array_equal(minimum.get_xydata(), [[0, 0]])
    (band,) = ax.patches
    assert (band.get_x(), band.get_x() + band.get_width()) == (-1, 1)
    assert ax.get_xlabel() == "rate"


def test_an_interval_without_an_end_reaches_as_far_as_the_points():
    ax = plt.subplots()[1]
    plots.profile(seen(interval=(-np.inf, 1.0)), ax)
    (band,) = ax.patches
    assert band.get_x() == AT[AT**2 <= 3][0]


def test_what_is_no_profile_is_refused():
    with pytest.raises(TypeError, match="expected a Profile, got a tuple"):
        plots.profile((1, 2))
