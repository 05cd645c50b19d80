"""Waterfalls and parallel coordinates show the values and the points found."""

from dataclasses import replace
from itertools import pairwise

import jax.numpy as jnp
import numpy as np
import optax
import pytest
from pictures import (
    BLUE,
    GREEN,
    ORANGE,
    changed,
    image,
    labels,
    lines_through,
    searches,
    some_map,
)

from jamsgrad import plots


def shown(ax):
    """The dots, the crosses and the crosses at the edge of a waterfall: their points."""
    return [np.asarray(drawn.get_offsets()) for drawn in ax.collections]


def test_a_waterfall_is_the_sorted_values():
    ax = plots.waterfall(searches([3.0, 1.0, 2.0, 5.0], [1, 0, 0, 2]))
    dots, crosses, lost = shown(ax)
    assert dots.tolist() == [[1, 1], [2, 2], [3, 3], [4, 5]]
    np.testing.assert_array_equal(ax.collections[0].get_facecolor(), [BLUE, BLUE, ORANGE, GREEN])
    assert len(crosses) == len(lost) == 0
    assert labels(ax) == ["minimum 0 (50 %)", "minimum 1 (25 %)", "minimum 2 (25 %)"]
    assert (ax.get_yscale(), ax.get_ylabel()) == ("linear", "$f(x)$")
    assert ax.collections[0].get_rasterized()


def test_searches_without_success_are_told_apart_and_those_without_a_value_are_at_the_edge():
    values = [4.0, 1.0, np.nan, 2.0, np.inf, 3.0]
    ax = plots.waterfall(searches(values, status=[0, 1, -1, -2, -1, 1]))
    dots, crosses, lost = shown(ax)
    assert dots.tolist() == [[1, 1], [3, 3]]
    assert crosses.tolist() == [[2, 2], [4, 4]]
    assert lost.tolist() == [[5, 1], [6, 1]]
    _, top = ax.collections[2].get_offset_transform().transform((5, 1))
    assert top == pytest.approx(ax.get_window_extent().y1)
    assert labels(ax) == ["minimum 0 (33.3 %)", "failed (66.7 %)"]


@pytest.mark.parametrize("n", [1, 10, 300])
@pytest.mark.parametrize("lost", [0, 1, 0.6, 1.0])
@pytest.mark.parametrize("log", [False, True])
def test_the_axis_of_a_waterfall_reaches_from_the_first_to_the_last_rank(n, lost, log):
    values = 10.0 ** -np.linspace(0, 9, n) if log else np.linspace(1, 2, n)
    n_lost = int(lost * n) if isinstance(lost, float) else lost
    values[:n_lost] = np.nan
    status = np.where(np.isfinite(values), 1, -1)
    ax = plots.waterfall(searches(values, np.arange(n) % 10, status=status))
    ax.figure.canvas.draw()
    low, high = ax.get_xlim()
    assert low <= 1 <= n <= high
    assert high - low <= 1.2 * n
    if n_lost < n:
        low, high = ax.get_ylim()
        dots = shown(ax)[0][:, 1]
        assert low <= dots.min() <= dots.max() <= high


@pytest.mark.parametrize(
    ("values", "basin", "scale"),
    [
        ([0.0, 1.0, 2.0, 50.0], [0, 1, 2, 3], "linear"),
        ([0.0, 1e-3, 1.0, 1e3], [0, 1, 2, 3], "symlog"),
        ([-7.0, -6.999, -6.0, 1e3], [0, 1, 2, 3], "symlog"),
        ([0.0, 1e-12, 1e-9, 10, 10 + 1e-9, 20], [0, 0, 0, 1, 1, 2], "linear"),  # steps, not noise
        ([0.0, 1e-6, 0.0, 2e-6, 1e-12, 1e-9], [0, 0, 1, 1, 2, 2], "linear"),  # one level
        ([1e-12, 1e-9, 1e-6, 1e-3], [0, 0, 0, 0], "symlog"),
        ([1.0, 2.0, 3.0], [0, 0, 0], "linear"),
        ([2.0, 2.0], [0, 1], "linear"),
        ([np.nan, np.nan], [0, 0], "linear"),
    ],
)
def test_a_waterfall_is_logarithmic_where_steps_span_decades(values, basin, scale):
    ax = plots.waterfall(searches(values, basin))
    ax.figure.canvas.draw()
    assert ax.get_yscale() == scale
    assert ax.get_ylabel() == ("$f(x)$" if scale == "linear" else "$f(x)$ above the best")
    base = 0 if scale == "linear" else min(values)
    drawn = shown(ax)[0][:, 1]
    finite = np.sort(values)[np.isfinite(values)]
    np.testing.assert_array_equal(np.sort(drawn), finite - base)


TIES = {  # values of searches, the minimum of each, and the levels that are seen
    "rounding": ([0, 2e-15, 1e-15, 3e-15, 1e-15, 0], [0, 0, 1, 1, 2, 2], [[0, 1, 2]]),
    "tolerance": ([1e-9, 4e-8, 2e-9, 5e-8, 3e-9, 9e-8], [0, 0, 1, 1, 2, 2], [[0, 1, 2]]),
    "pairs": ([-1, -1, -1, -1, 2, 2, 2, 2], [0, 1, 0, 1, 2, 3, 3, 2], [[0, 1], [2, 3]]),
    "none": ([0, 0.1, 1, 1.1, 5, 5.1], [0, 0, 1, 1, 2, 2], [[0], [1], [2]]),
}


@pytest.mark.parametrize("name", TIES)
def test_minima_of_one_level_are_plateaus_one_after_the_other(name):
    values, basin, levels = TIES[name]
    ax = plots.waterfall(searches(values, basin))
    ax.figure.canvas.draw()
    colors = ax.collections[0].get_facecolor()
    changes = (colors[1:] != colors[:-1]).any(axis=1).sum()
    assert changes == len(np.unique(basin)) - 1  # no minimum is torn
    low, high = ax.get_ylim()
    drawn = shown(ax)[0][:, 1]
    flat = np.ptp(drawn) < 0.1 * (high - low)
    assert flat == (len(levels) == 1)


def test_what_failed_among_minima_of_one_level_comes_after_them():
    values = [0.0, 1e-9, 2e-9, 1e-9, 3e-9, 1.5e-9]
    ax = plots.waterfall(searches(values, [0, 0, 0, 1, 1, 1], status=[1, 1, 1, 1, 1, 0]))
    assert shown(ax)[1].tolist() == [[6, 1.5e-9]]
    assert shown(ax)[0][:, 0].tolist() == [1, 2, 3, 4, 5]


def test_what_failed_is_a_step_too():
    values = [0.0, 1e-12, 1e-9, 1e-2, 1.0, 1e2]
    ax = plots.waterfall(searches(values, status=[1, 1, 1, 0, 0, 0]))
    assert ax.get_yscale() == "symlog"
    assert ax.yaxis.get_transform().linthresh == 1e-2  # what met the tolerance is all but 0


def test_values_above_a_given_minimum():
    values = [-2.0, -1.999, -1.0, 1e3]
    ax = plots.waterfall(searches(values, [0, 1, 2, 3]), minimum=-3.0)
    assert shown(ax)[0][:, 1].tolist() == [1.0, -1.999 + 3, 2.0, 1003.0]
    assert (ax.get_yscale(), ax.get_ylabel()) == ("symlog", r"$f(x) - \min\,f$")
    too_high = plots.waterfall(searches(values, [0, 1, 2, 3]), minimum=0.0)
    assert (too_high.get_yscale(), too_high.get_ylabel()) == ("linear", "$f(x)$")


def segments(ax):
    return np.array(ax.collections[0].get_segments())


def test_parallel_coordinates_are_the_best_points_between_their_bounds():
    x = np.array([[-5.0, 5.0], [5.0, 0.0], [2.5, 2.5], [0.0, 0.0]])
    ax = plots.parallel(searches([4.0, 2.0, 1.0, 3.0], x=x), k=3)
    best = [[0.75, 0], [0.75, 1]]
    # The best come last, above the others.
    assert segments(ax).tolist() == [[[0.5, 0], [0.5, 1]], [[1, 0], [0.5, 1]], best]
    np.testing.assert_array_equal(ax.collections[0].get_colors(), [GREEN, ORANGE, BLUE])
    assert lines_through(ax, best)[-1].get_label() == "best"
    assert [text.get_text() for text in ax.get_yticklabels()] == ["$x_{0}$", "$x_{1}$"]
    assert labels(ax) == ["best", *(f"minimum {i} (25 %)" for i in range(3))]
    assert ax.get_xlabel() == "from lower to upper bound"
    assert ax.get_ylim() == (1.5, -0.5)
    assert [text.get_text() for text in ax.texts] == ["-5", "5", "-5", "5"]


def test_parallel_coordinates_of_what_failed():
    ax = plots.parallel(searches([4.0, np.nan, 1.0], status=[0, -1, 1]))
    assert len(segments(ax)) == 2
    failed, best = ax.collections[0].get_linestyles()
    assert failed[1] is not None  # dashes
    assert best[1] is None
    assert labels(ax) == ["best", "minimum 0 (33.3 %)", "failed (66.7 %)"]


def without_bounds(result, fun):
    """The result of a search of `fun` that had no bounds."""
    return replace(
        result, _plan=result._plan._replace(task=result._plan.task._replace(fun=fun, bounds=None))
    )


def test_parallel_coordinates_of_a_tree_without_bounds():
    x = {"scale": np.array([1.0, 3.0, 2.0]), "b": {"w": np.full((3, 1, 2), 7.0)}}
    result = searches([1.0, 2.0, 3.0], x=x)
    ax = plots.parallel(without_bounds(result, lambda x: x["scale"] ** 2))
    names = [text.get_text() for text in ax.get_yticklabels()]
    assert names == ["b.w[0, 0]", "b.w[0, 1]", "scale"]
    assert segments(ax)[::-1, :, 0].tolist() == [[0, 0, 0], [0, 0, 1], [0, 0, 0.5]]
    assert "end of the points" in ax.get_xlabel()


@pytest.mark.parametrize(
    ("wrap", "names"),
    [
        (lambda x: x, ["Re $x_{0}$", "Im $x_{0}$", "Re $x_{1}$", "Im $x_{1}$"]),
        (lambda x: {"a": x}, ["Re a[0]", "Im a[0]", "Re a[1]", "Im a[1]"]),
    ],
)
def test_parallel_coordinates_of_complex_points(wrap, names):
    x = np.array([[1 + 2j, 3 - 4j], [3 + 2j, 3 - 2j], [2 + 6j, 7 - 3j]])
    result = searches([1.0, 2.0, 3.0], x=wrap(x))
    ax = plots.parallel(without_bounds(result, optax.tree_utils.tree_norm))
    ax.figure.canvas.draw()
    assert [text.get_text() for text in ax.get_yticklabels()] == names
    parts = [[0, 0, 0, 0], [1, 0, 0, 1], [0.5, 1, 1, 0.5]]
    assert segments(ax)[::-1, :, 0].tolist() == parts


def test_names_of_many_variables_do_not_overlap():
    x = np.zeros((2, 300))
    result = searches([1.0, 2.0], x=x)
    ax = plots.parallel(without_bounds(result, lambda x: jnp.sum(x**2)))
    ax.figure.canvas.draw()
    boxes = [text.get_window_extent() for text in ax.get_yticklabels()]
    assert len(boxes) == 25
    assert not any(a.overlaps(b) for a, b in pairwise(boxes))


def test_the_longer_the_search_the_darker_its_start():
    found = some_map()
    steps = np.arange(256).reshape(16, 16)
    found = changed(found, basin=0 * steps, n_steps=steps)
    ax = plots.basins(found, shade=0.5)
    brightness = image(ax)[..., 1].ravel() / BLUE[1]
    assert (np.diff(brightness) <= 0).all()
    assert len(np.unique(brightness)) > 200
    assert (brightness[0], brightness[-1]) == (1, 0.5)
    assert ax.child_axes[0].get_ylabel() == "steps"
    assert not plots.basins(found, shade=0).child_axes
