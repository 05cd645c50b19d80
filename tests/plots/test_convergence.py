"""The convergence shows the values that were recorded."""

from dataclasses import replace

import matplotlib.pyplot as plt
import numpy as np
import pytest
from pictures import labels, written

import jamsgrad
from jamsgrad import plots


@pytest.mark.parametrize("minimum", [0.0, -2.0])
def test_the_convergence_is_the_data(minimum, result):
    step, _, fun = written(result.trajectory)
    ax = plots.convergence({"a": result, "b": result.trajectory}, minimum=minimum)
    for line in ax.lines:
        np.testing.assert_array_equal(line.get_xydata(), np.stack([step, fun - minimum], axis=1))
    assert labels(ax) == ["a", "b"]
    assert ax.get_yscale() == ("log" if minimum == 0 else "linear")
    assert ("min" in ax.get_ylabel()) == (minimum != 0)


def of_values(*values):
    """A Trajectory of one variable, or of many: convergence does not look at it."""
    n = len(values)
    step = np.arange(n, dtype=np.int32)
    return jamsgrad.Trajectory(
        step, {"w": np.zeros((n, 7))}, np.array(values), np.zeros(n), np.int32(n)
    )


@pytest.mark.parametrize(
    ("values", "scale"),
    [
        ((1e4, 1.0, 0.1), "log"),
        ((1e4, 1.0, 0.0), "log"),
        ((1e4, 1.0, -1e-9), "log"),  # rounding
        ((1e4, 1.0, -1.0), "linear"),
        ((3.0, 2.0, 1.0), "linear"),
        ((1e4, np.nan, 0.1, np.inf), "log"),
        ((np.nan, np.nan), "linear"),
        ((0.0, 0.0), "linear"),
    ],
)
def test_the_convergence_is_logarithmic_where_values_are_positive_and_span_decades(values, scale):
    ax = plots.convergence(of_values(*values))
    ax.figure.canvas.draw()
    assert ax.get_yscale() == scale
    assert ax.get_legend() is None


def test_a_zero_on_a_log_scale_is_a_gap():
    ax = plots.convergence(of_values(1e4, 1.0, 0.0))
    assert not np.isfinite(ax.transData.transform((2.0, 0.0))[1])


def test_points_without_values_are_refused(result):
    with pytest.raises(ValueError, match=r"results\['a'\] has points but no values"):
        plots.convergence({"a": np.zeros((3, 2))})
    with pytest.raises(ValueError, match="the result has no trajectory"):
        plots.convergence(replace(result, trajectory=None))
    assert not plt.get_fignums()
