"""Paths and animations show the points that were recorded."""

import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np
import pytest
from matplotlib.layout_engine import ConstrainedLayoutEngine
from pictures import BOWL, SMALL, labels, lines_through, new_ax, written
from PIL import Image

from jamsgrad import plots, problems


@pytest.mark.parametrize("form", ["Result", "Trajectory", "array"])
def test_the_path_is_the_data(form, result):
    _, x, _ = written(result.trajectory)
    given = {"Result": result, "Trajectory": result.trajectory, "array": jnp.asarray(x)}[form]
    ax = plots.path(problems.bowl, given, **SMALL)
    assert len(lines_through(ax, x)) == 3  # rim, line, beads
    assert lines_through(ax, x[:1])
    assert lines_through(ax, x[-1:])
    assert labels(ax) == ["minimum", "start", "end"]


def test_several_paths_differ_in_colour_dashes_and_marker(result):
    names = [f"search {i}" for i in range(5)]
    points = {name: np.array([[0, 0], [0.1 * i, 0.5]]) for i, name in enumerate(names)}
    ax = plots.path(BOWL, points, **SMALL)
    assert labels(ax) == ["start", *names]
    ends = [lines_through(ax, rows[-1:])[0] for rows in points.values()]
    lines = [lines_through(ax, rows)[1] for rows in points.values()]
    assert [line.get_color() for line in lines] == [end.get_color() for end in ends]
    assert len({line.get_color() for line in lines}) == 5
    assert len({line.get_linestyle() for line in lines}) == 4
    assert len({end.get_marker() for end in ends}) == 5


def test_more_searches_than_looks_are_drawn():
    points = {str(i): np.array([[0, 0], [0.1, 0.5]]) for i in range(30)}
    assert len(labels(plots.path(BOWL, points, **SMALL))) == 31


def test_rows_that_are_not_finite_are_gaps_and_no_ends():
    points = np.array([[0.5, 0.5], [np.nan, 0.2], [0.1, 0.1], [np.inf, 0], [np.nan, np.nan]])
    ax = plots.path(BOWL, points, **SMALL)
    ax.figure.canvas.draw()
    assert lines_through(ax, points[:1])
    assert lines_through(ax, points[2:3])


def test_a_search_that_leaves_the_box_does_not_move_the_picture():
    points = np.array([[0.5, 0.5], [2, 2], [1e30, 1e30]])
    ax = plots.path(BOWL, points, **SMALL)
    assert ax.get_xlim() == ax.get_ylim() == (-1, 1)
    assert not lines_through(ax, points[-1:])  # an unclipped mark would float beside the axes


def test_the_legend_covers_nothing(result):
    for ax in (plots.path(problems.bowl, result, **SMALL), plots.convergence({"a": result})):
        ax.figure.canvas.draw()
        legend, axes = ax.get_legend().get_window_extent(), ax.get_window_extent()
        assert legend.y1 < axes.y0
        assert not legend.overlaps(ax.xaxis.get_label().get_window_extent())


def test_what_else_is_on_the_axes_stays_in_the_legend(result):
    ax = new_ax("path")
    ax.plot([0, 1], [0, 1], label="mine")
    assert "mine" in labels(plots.path(problems.bowl, result, ax, **SMALL))


@pytest.mark.parametrize("problem", [problems.bowl, BOWL], ids=["Problem", "fun and bounds"])
@pytest.mark.parametrize("given", [True, False], ids=["ax given", "no ax"])
def test_the_animation_is_written_as_a_gif(problem, given, result, tmp_path):
    ax = new_ax("animate") if given else None
    figures = plt.get_fignums()
    animation = plots.animate(problem, result, ax, frames=3, interval=70, **SMALL)
    assert plt.get_fignums() == (figures if given else [1])
    animation.save(tmp_path / "search.gif", writer="pillow", dpi=40)
    with Image.open(tmp_path / "search.gif") as gif:
        assert gif.n_frames == 3
        assert gif.info["duration"] == 70


def test_the_animation_runs_from_the_start_to_the_end(result, tmp_path):
    step, x, _ = written(result.trajectory)
    ax = new_ax("animate")
    animation = plots.animate(problems.bowl, {"a": result, "b": x[:2]}, ax, frames=2, **SMALL)
    seen = []
    animation.save(
        tmp_path / "search.gif",
        writer="pillow",
        dpi=20,
        progress_callback=lambda *_: seen.append(
            (ax.get_title(), [len(lines_through(ax, rows)) for rows in (x[:1], x[:2], x)])
        ),
    )
    # At the start: 2 lines and an end for each search, and the mark of either start.
    assert seen == [("step 0", [8, 0, 0]), (f"step {step[-1]}", [2, 2, 2])]


def test_only_a_new_figure_is_laid_out_once_for_all_frames(tmp_path):
    _, ax = plt.subplots(layout="constrained")
    for given, constrained in ((ax, True), (None, False)):
        animation = plots.animate(BOWL, np.zeros((1, 2)), given, **SMALL)
        animation.save(tmp_path / "search.gif", writer="pillow", dpi=20)
        engine = plt.gcf().get_layout_engine()
        assert isinstance(engine, ConstrainedLayoutEngine) is constrained


@pytest.mark.parametrize("given", [True, False], ids=["ax given", "no ax"])
def test_an_animation_shows_itself_in_a_notebook(given, result):
    ax = new_ax("animate") if given else None
    animation = plots.animate(problems.bowl, result, ax, frames=2, **SMALL)
    player = animation._repr_html_()
    assert "<script" in player
    assert player.count("data:image/png") == 2
    assert animation._repr_html_() == player
    assert bool(plt.get_fignums()) is given  # nothing of it is shown a second time


def test_the_end_of_a_single_search_leaves_the_minimum_to_be_seen(result):
    ax = plots.path(problems.bowl, result, **SMALL)
    (end,) = [line for line in ax.lines if line.get_label() == "end"]
    assert end.get_fillstyle() == "none"


def test_there_are_no_more_frames_than_steps(tmp_path):
    animation = plots.animate(BOWL, np.array([[0, 0], [0.5, 0.5], [0.2, 0]]), frames=50, **SMALL)
    animation.save(tmp_path / "search.gif", writer="pillow", dpi=20)
    with Image.open(tmp_path / "search.gif") as gif:
        assert gif.n_frames == 3


def test_an_animation_that_cannot_be_drawn_is_refused(result):
    with pytest.raises(ValueError, match="frames must be"):
        plots.animate(problems.bowl, result, frames=0)
    with pytest.raises(ValueError, match="two variables"):
        plots.animate(problems.sphere(3), result)
    assert not plt.get_fignums()
