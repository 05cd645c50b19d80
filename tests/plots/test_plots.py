"""The pictures show the data they are given, and touch nothing else."""

import subprocess
import sys
from dataclasses import replace
from functools import cache, partial
from itertools import pairwise

import jax
import jax.numpy as jnp
import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import optax
import pytest
from matplotlib.colors import LogNorm, Normalize, to_rgb, to_rgba_array
from matplotlib.layout_engine import ConstrainedLayoutEngine
from PIL import Image
from scipy.optimize import Bounds

import jamsgrad
from jamsgrad import plots, problems

BOWL = (problems.bowl.fun, (-1.0, 1.0))
SMALL = {"resolution": 21, "levels": 5}
DRAW = {
    "surface": lambda problem, result, ax: plots.surface(problem, ax, resolution=21),
    "contour": lambda problem, result, ax: plots.contour(problem, ax, **SMALL),
    "path": lambda problem, result, ax: plots.path(problem, result, ax, **SMALL),
    "convergence": lambda problem, result, ax: plots.convergence(result, ax),
    "waterfall": lambda problem, result, ax: plots.waterfall(some_map().result, ax),
    "parallel": lambda problem, result, ax: plots.parallel(some_map().result, ax),
    "basins": lambda problem, result, ax: plots.basins(some_map(), ax),
}


def holed(x):
    """Himmelblau's function, NaN around its minimum at (3, 2)."""
    hole = jnp.sum((x - jnp.array([3.0, 2.0])) ** 2) < 1
    return jnp.where(hole, jnp.nan, problems.himmelblau.fun(x))


@cache
def some_map():
    """Searches of which three in four succeed, some of the others without a value."""
    optimizer = jamsgrad.amsgrad(0.3, b2=0.99)
    return jamsgrad.basin_map(holed, problems.himmelblau.bounds, optimizer, resolution=16)


@pytest.fixture(autouse=True)
def close_figures():
    yield
    plt.close("all")


@pytest.fixture(scope="module")
def result():
    """A search that stops by its tolerance, long before the buffers of its path are full."""
    optimizer = jamsgrad.amsgrad(0.1, b2=0.9)
    start = jnp.array([-0.8, 0.6])
    found = jamsgrad.minimize(
        problems.bowl.fun, start, optimizer, max_steps=500, gtol=1e-3, record_every=1
    )
    assert found.path.n_recorded < 200
    assert jnp.isnan(found.path.x[-1]).all()
    return found


def written(path):
    """The rows of a Path that were written: step, x, fun."""
    n = int(path.n_recorded)
    return np.asarray(path.step)[:n], np.asarray(path.x)[:n], np.asarray(path.fun)[:n]


def new_ax(name):
    return plt.figure().add_subplot(projection="3d" if name == "surface" else None)


def filled(ax):
    """The bands of colour of a contour plot, or the faces of a surface."""
    return ax.collections[0]


def labels(ax):
    return [text.get_text() for text in ax.get_legend().get_texts()]


def lines_through(ax, points):
    """The lines on the axes with exactly these points."""
    return [line for line in ax.lines if np.array_equal(line.get_xydata(), points)]


# -- every function --------------------------------------------------------------------------------


@pytest.mark.parametrize("name", DRAW)
@pytest.mark.parametrize("problem", [problems.bowl, BOWL], ids=["Problem", "fun and bounds"])
def test_a_given_ax_comes_back_and_nothing_else_is_touched(name, problem, result):
    ax = new_ax(name)
    current = plt.figure().add_subplot()
    figures, settings = plt.get_fignums(), dict(mpl.rcParams)
    assert DRAW[name](problem, result, ax) is ax
    assert ax.has_data()
    assert plt.get_fignums() == figures
    assert plt.gca() is current
    assert not current.has_data()
    assert dict(mpl.rcParams) == settings


@pytest.mark.parametrize("name", DRAW)
@pytest.mark.parametrize("problem", [problems.bowl, BOWL], ids=["Problem", "fun and bounds"])
def test_without_ax_there_is_one_new_figure_that_pyplot_can_show(name, problem, result):
    settings = dict(mpl.rcParams)
    ax = DRAW[name](problem, result, None)
    assert plt.get_fignums() == [ax.figure.number]
    assert ax.figure.get_layout_engine() is not None
    assert ax.has_data()
    assert dict(mpl.rcParams) == settings


@pytest.mark.parametrize("name", DRAW)
def test_nothing_is_cut_off(name, result):
    ax = DRAW[name](problems.rosenbrock(2), result, None)
    ax.figure.canvas.draw()
    page, ink = ax.figure.bbox, ax.figure.get_tightbbox().transformed(ax.figure.dpi_scale_trans)
    assert page.x0 <= ink.x0 < ink.x1 <= page.x1
    assert page.y0 <= ink.y0 < ink.y1 <= page.y1


@pytest.mark.parametrize("name", DRAW)
def test_the_wrong_kind_of_axes_is_refused(name, result):
    ax = new_ax("contour" if name == "surface" else "surface")
    with pytest.raises(ValueError, match=r"ax must be .*(3d|two-dimensional)"):
        DRAW[name](problems.bowl, result, ax)


def test_everything_works_in_float32_too():
    code = """
import jax.numpy as jnp, jamsgrad
from jamsgrad import plots, problems
found = jamsgrad.minimize(problems.bowl.fun, jnp.array([0.5, 0.5]), jamsgrad.amsgrad(0.1),
                          max_steps=5, record_every=1)
assert found.path.x.dtype == "float32"
plots.surface(problems.bowl, resolution=5)
plots.path(problems.bowl, found, resolution=5)
plots.convergence(found)
found = jamsgrad.basin_map(*problems.bowl[1:3], jamsgrad.amsgrad(0.1), resolution=4)
assert found.result.x.dtype == "float32"
plots.basins(found)
plots.waterfall(found.result)
plots.parallel(found.result)
"""
    subprocess.run([sys.executable, "-W", "error", "-c", code], check=True)


# -- the function ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "bounds",
    [([-2, 0], [1, 4]), np.array([[-2, 1], [0, 4]]), Bounds([-2, 0], [1, 4])],  # pyright: ignore
    ids=["pair", "array", "scipy"],
)
def test_bounds_in_every_form_are_the_limits(bounds):
    ax = plots.contour((problems.bowl.fun, bounds), **SMALL)
    assert ax.get_xlim() == (-2, 1)
    assert ax.get_ylim() == (0, 4)
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("$x_0$", "$x_1$")


@pytest.mark.parametrize(
    ("sides", "aspect"),
    [((1, 1.9), 1), ((1.9, 1), 1), ((1, 2.1), "auto"), ((2.1, 1), "auto")],
)
def test_the_aspect_is_equal_where_the_sides_are_of_similar_size(sides, aspect):
    assert plots.contour((problems.bowl.fun, ([0, 0], sides)), **SMALL).get_aspect() == aspect


def test_the_surface_is_the_function():
    ax = plots.surface((lambda x: x[0] + 10 * x[1], ([0, 0], [1, 2])), resolution=3)
    np.testing.assert_allclose(filled(ax).get_array(), [5.25, 5.75, 15.25, 15.75])
    assert tuple(ax.zz_dataLim.intervalx) == (0, 21)
    assert (ax.get_xlim(), ax.get_ylim()) == ((0, 1), (0, 2))


def test_the_contours_are_the_function():
    ax = plots.contour((lambda x: x[0] + 10 * x[1], ([0, 0], [1, 2])), levels=3)
    np.testing.assert_allclose(filled(ax).levels, [0, 7, 14, 21])
    lowest = filled(ax).get_paths()[0].vertices
    assert (lowest @ [1, 10]).max() == pytest.approx(7)


def test_the_colour_map_is_viridis_unless_one_is_given():
    assert filled(plots.contour(problems.bowl, **SMALL)).get_cmap().name == "viridis"
    assert filled(plots.contour(problems.bowl, cmap="jet", **SMALL)).get_cmap().name == "jet"
    assert filled(plots.surface(problems.bowl, cmap="jet", resolution=5)).get_cmap().name == "jet"


@pytest.mark.parametrize("draw", [plots.contour, plots.surface])
@pytest.mark.parametrize(
    ("problem", "norm", "label"),
    [
        (problems.bowl, Normalize, "$f(x)$"),
        (problems.mccormick, Normalize, "$f(x)$"),
        (problems.rosenbrock(2), LogNorm, "$f(x)$"),
        (problems.rosenbrock(2)[1:3], LogNorm, "$f(x)$"),
        (problems.six_hump_camel, LogNorm, r"$f(x) - \min\,f$"),
        (problems.styblinski_tang(2)[1:3], Normalize, "$f(x)$"),  # negative, minimum not known
    ],
)
def test_colours_are_logarithmic_where_values_span_decades(draw, problem, norm, label):
    drawn = filled(draw(problem, resolution=51))
    assert type(drawn.norm) is norm
    assert drawn.colorbar.ax.get_ylabel() == label
    assert drawn.colorbar.extend == ("min" if norm is LogNorm else "neither")


def test_the_scale_hardly_depends_on_the_grid():
    coarse, fine = (
        filled(plots.contour(problems.rosenbrock(2), resolution=n)).norm for n in (50, 400)
    )
    assert coarse.vmin == pytest.approx(fine.vmin, rel=0.5)


def test_a_colour_bar_is_as_high_as_its_axes():
    ax = plots.contour((problems.bowl.fun, ([-1.5, -1], [1.5, 1])), **SMALL)
    ax.figure.canvas.draw()
    bar = filled(ax).colorbar.ax.get_window_extent()
    assert bar.height == pytest.approx(ax.get_window_extent().height)


@pytest.mark.parametrize("draw", [plots.contour, plots.surface])
def test_values_that_are_not_finite_are_left_out(draw):
    def fun(x):
        return jnp.where(x[0] < 0, jnp.nan, jnp.where(x[1] > 0.5, jnp.inf, 1 + x[1]))

    ax = draw((fun, (-1, 1)), resolution=21)
    ax.figure.canvas.draw()
    norm = filled(ax).norm
    assert (norm.vmin, norm.vmax) == (0, 1.5)
    if draw is plots.contour:
        points = np.concatenate([path.vertices for path in filled(ax).get_paths()])
        assert points[:, 0].min() >= 0
        assert points[:, 1].max() <= 0.5


@pytest.mark.parametrize("value", [0.0, 3.0, -1e20])
def test_a_constant_is_drawn(value):
    ax = plots.contour((lambda x: 0 * x[0] + value, (-1, 1)), **SMALL)
    ax.figure.canvas.draw()
    assert filled(ax).norm.vmin < value < filled(ax).norm.vmax


def test_the_highest_point_of_a_log_scale_is_coloured():
    drawn = filled(plots.contour((lambda x: jnp.exp(10 * x[0]), (-1, 1)), levels=7))
    assert drawn.levels[-1] >= float(jnp.exp(10.0))


def test_the_minima_are_marked():
    ax = plots.contour(problems.himmelblau, **SMALL)
    assert lines_through(ax, problems.himmelblau.minimizers)
    assert labels(ax) == ["minimum"]
    assert plots.contour(BOWL, **SMALL).get_legend() is None


@pytest.mark.parametrize("draw", [plots.contour, plots.surface])
@pytest.mark.parametrize(
    ("problem", "error", "match"),
    [
        (problems.sphere(3), ValueError, r"two variables, got sphere .*\(3,\)"),
        (problems.sphere(1), ValueError, r"two variables, got sphere .*\(1,\)"),
        ((problems.bowl.fun, np.zeros((4, 2))), ValueError, r"two variables.*\(4,\)"),
        ((problems.bowl.fun, (0, np.inf)), ValueError, "finite bounds.*inf"),
        ((problems.bowl.fun, (1, 0)), ValueError, "lower < upper, got 1.0 and 0.0"),
        ((lambda x: x[0] * jnp.nan, (0, 1)), ValueError, "not finite anywhere"),
        ((lambda x: x, (0, 1)), TypeError, "scalar"),
        (problems.bowl.fun, TypeError, "Problem or a tuple"),
    ],
)
def test_functions_that_cannot_be_drawn_are_refused(draw, problem, error, match):
    with pytest.raises(error, match=match):
        draw(problem)
    assert not plt.get_fignums()


@pytest.mark.parametrize("options", [{"resolution": 1}, {"levels": 0}])
def test_options_out_of_range_are_refused(options):
    with pytest.raises(ValueError, match=f"{next(iter(options))} must be"):
        plots.contour(problems.bowl, **options)


def test_the_same_function_is_compiled_once():
    traces = []

    def fun(x):
        traces.append(x)
        return x[0] + x[1]

    for _ in range(2):
        plots.contour((fun, (0, 1)), **SMALL)
    assert len(traces) == 1


# -- the searches ----------------------------------------------------------------------------------


@pytest.mark.parametrize("form", ["Result", "Path", "array"])
def test_the_path_is_the_data(form, result):
    _, x, _ = written(result.path)
    given = {"Result": result, "Path": result.path, "array": jnp.asarray(x)}[form]
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


@pytest.mark.parametrize(
    ("change", "match"),
    [
        (lambda r: r._replace(path=None), "the result has no path.*record_every"),
        (lambda r: {"a": r._replace(path=None)}, r"results\['a'\] has no path"),
        (lambda r: jax.tree.map(lambda a: a[None], r.path), r"batch of searches of shape \(1,\)"),
        (lambda r: r.path._replace(x=r.path.x[:, :1]), r"shape \(rows, 2\), got"),
        (lambda r: r.path._replace(x={"a": r.path.x}), r"shape \(rows, 2\), got \{'a'"),
        (lambda r: np.zeros((4, 3)), r"shape \(rows, 2\), got \(4, 3\)"),
        (lambda r: np.zeros((0, 2)), r"shape \(rows, 2\), got \(0, 2\)"),
        (lambda r: 1.0, r"shape \(rows, 2\), got \(1,\)"),
        (lambda r: {}, "empty mapping"),
    ],
)
def test_results_that_cannot_be_drawn_are_refused(change, match, result):
    with pytest.raises(ValueError, match=match):
        plots.path(problems.bowl, change(result), **SMALL)
    assert not plt.get_fignums()


@pytest.mark.parametrize(
    ("change", "match"),
    [
        (lambda r: [r, r], "the result must be a Result.* as a mapping.*got a list"),
        (lambda r: (r.path, r.path), "the result must be a Result.* as a mapping.*got a tuple"),
        (lambda r: [np.zeros((2, 2)), np.zeros((3, 2))], "as a mapping.*got a list"),
        (lambda r: {"a": "points"}, r"results\['a'\] must be a Result.*got a str"),
    ],
)
def test_several_searches_need_names(change, match, result):
    for draw in (partial(plots.path, problems.bowl), plots.convergence):
        with pytest.raises(TypeError, match=match):
            draw(change(result))
    assert not plt.get_fignums()


# -- convergence -----------------------------------------------------------------------------------


@pytest.mark.parametrize("minimum", [0.0, -2.0])
def test_the_convergence_is_the_data(minimum, result):
    step, _, fun = written(result.path)
    ax = plots.convergence({"a": result, "b": result.path}, minimum=minimum)
    for line in ax.lines:
        np.testing.assert_array_equal(line.get_xydata(), np.stack([step, fun - minimum], axis=1))
    assert labels(ax) == ["a", "b"]
    assert ax.get_yscale() == ("log" if minimum == 0 else "linear")
    assert ("min" in ax.get_ylabel()) == (minimum != 0)


def of_values(*values):
    """A Path of one variable, or of many: convergence does not look at it."""
    n = len(values)
    step = np.arange(n, dtype=np.int32)
    return jamsgrad.Path(step, {"w": np.zeros((n, 7))}, np.array(values), np.zeros(n), np.int32(n))


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
    with pytest.raises(ValueError, match="the result has no path"):
        plots.convergence(result._replace(path=None))
    assert not plt.get_fignums()


# -- animation -------------------------------------------------------------------------------------


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
    step, x, _ = written(result.path)
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


# -- many searches ---------------------------------------------------------------------------------

BLUE, ORANGE, GREEN, PINK, SKY, VERMILLION = to_rgba_array(
    ["#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00"]  # Okabe and Ito
)


def searches(values, basin=None, status=1, x=None):
    """A result with these values: search i succeeded in well basin[i], of at most twelve."""
    basin = np.zeros(len(values), int) if basin is None else np.asarray(basin)
    x = np.stack([basin - 5.0, np.zeros(len(values))], axis=1) if x is None else x
    status = np.broadcast_to(status, len(values))
    given = {"starts": x, "x": x, "fun": np.asarray(values, float), "status": status}
    return replace(some_map().result, **given, grad_norm=0 * status, n_steps=0 * status)


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


def test_beyond_six_minima_the_others_share_a_colour():
    ax = plots.waterfall(searches(np.arange(9.0), range(9)))
    own = [BLUE, ORANGE, GREEN, PINK, SKY, VERMILLION]
    colors = ax.collections[0].get_facecolor()
    np.testing.assert_array_equal(colors[:6], own)
    assert len(np.unique(colors[6:], axis=0)) == 1
    assert labels(ax)[-2:] == ["minimum 5 (11.1 %)", "other minima (33.3 %)"]


@pytest.mark.parametrize(
    ("values", "basin", "scale"),
    [
        ([0.0, 1.0, 2.0, 50.0], [0, 1, 2, 3], "linear"),
        ([0.0, 1e-3, 1.0, 1e3], [0, 1, 2, 3], "symlog"),
        ([-7.0, -6.999, -6.0, 1e3], [0, 1, 2, 3], "symlog"),
        ([0.0, 1e-12, 1e-9, 10, 10 + 1e-9, 20], [0, 0, 0, 1, 1, 2], "linear"),  # steps, not noise
        ([0.0, 1e-6, 0.0, 2e-6, 1e-12, 1e-9], [0, 0, 1, 1, 2, 2], "symlog"),  # no steps
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
    finite = np.sort(values)[np.isfinite(values)]
    np.testing.assert_array_equal(shown(ax)[0][:, 1], finite - base)


def test_what_failed_is_a_step_too():
    values = [0.0, 1e-12, 1e-9, 1e-2, 1.0, 1e2]
    ax = plots.waterfall(searches(values, status=[1, 1, 1, 0, 0, 0]))
    assert ax.get_yscale() == "symlog"
    assert ax.yaxis.get_transform().linthresh == 1e-2  # what met the tolerance is all but 0


@pytest.mark.parametrize("panels", [1, 2, 3])
def test_the_legend_of_many_searches_fits_below_their_axes(panels):
    figure, axes = plt.subplots(1, panels, figsize=(4.5 * panels, 4), layout="constrained")
    for ax in np.ravel(axes):
        plots.waterfall(searches(np.arange(9.0), range(9)), ax)
    figure.canvas.draw()
    for ax in np.ravel(axes):
        assert ax.get_window_extent().width > 0.8 * figure.bbox.width / panels
        assert ax.get_tightbbox().width <= figure.bbox.width / panels


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


def test_parallel_coordinates_of_what_failed():
    ax = plots.parallel(searches([4.0, np.nan, 1.0], status=[0, -1, 1]))
    assert len(segments(ax)) == 2
    failed, best = ax.collections[0].get_linestyles()
    assert failed[1] is not None  # dashes
    assert best[1] is None
    assert labels(ax) == ["best", "minimum 0 (33.3 %)", "failed (66.7 %)"]


def test_parallel_coordinates_of_a_tree_without_bounds():
    x = {"scale": np.array([1.0, 3.0, 2.0]), "b": {"w": np.full((3, 1, 2), 7.0)}}
    result = searches([1.0, 2.0, 3.0], x=x)
    setup = result._setup._replace(fun=lambda x: x["scale"] ** 2, bounds=None)
    ax = plots.parallel(replace(result, _setup=setup))
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
    setup = result._setup._replace(fun=optax.tree_utils.tree_norm, bounds=None)
    ax = plots.parallel(replace(result, _setup=setup))
    ax.figure.canvas.draw()
    assert [text.get_text() for text in ax.get_yticklabels()] == names
    parts = [[0, 0, 0, 0], [1, 0, 0, 1], [0.5, 1, 1, 0.5]]
    assert segments(ax)[::-1, :, 0].tolist() == parts


def test_names_of_many_variables_do_not_overlap():
    x = np.zeros((2, 300))
    result = searches([1.0, 2.0], x=x)
    setup = result._setup._replace(fun=lambda x: jnp.sum(x**2), bounds=None)
    ax = plots.parallel(replace(result, _setup=setup))
    ax.figure.canvas.draw()
    boxes = [text.get_window_extent() for text in ax.get_yticklabels()]
    assert len(boxes) == 25
    assert not any(a.overlaps(b) for a, b in pairwise(boxes))


def image(ax):
    return np.asarray(ax.get_images()[0].get_array())


def test_the_map_is_coloured_by_minimum():
    found = some_map()
    ax = plots.basins(found, shade=0)
    colors = np.stack([BLUE, ORANGE, GREEN])[:, :3]
    for i, color in enumerate(colors):
        assert (image(ax)[found.basin == i] == color).all()
    assert (image(ax)[found.basin == -1] == to_rgb("0.85")).all()
    assert {-1, 0, 1, 2} == set(found.basin.ravel())
    assert labels(ax)[-1].startswith("failed")
    assert len(labels(ax)) == 4
    assert lines_through(ax, np.array([minimum.x for minimum in found.minima]))


def test_the_map_lies_on_the_box_the_right_way_up():
    found = some_map()
    ax = plots.basins(found)
    drawn = ax.get_images()[0]
    assert drawn.origin == "lower"
    np.testing.assert_allclose(drawn.get_extent(), [-5, 5, -5, 5])
    assert (ax.get_xlim(), ax.get_ylim(), ax.get_aspect()) == ((-5, 5), (-5, 5), 1)
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("$x_{0}$", "$x_{1}$")
    flat = plots.basins(found._replace(x1=found.x1 / 10))
    np.testing.assert_allclose(flat.get_images()[0].get_extent(), [-5, 5, -0.5, 0.5])
    assert flat.get_aspect() == "auto"


def test_the_longer_the_search_the_darker_its_start():
    found = some_map()
    steps = np.arange(256).reshape(16, 16)
    found = found._replace(basin=0 * steps, n_steps=steps)
    ax = plots.basins(found, shade=0.5)
    brightness = image(ax)[..., 1].ravel() / BLUE[1]
    assert (np.diff(brightness) <= 0).all()
    assert len(np.unique(brightness)) > 200
    assert (brightness[0], brightness[-1]) == (1, 0.5)
    assert ax.child_axes[0].get_ylabel() == "steps"
    assert not plots.basins(found, shade=0).child_axes


def test_neighbours_on_the_map_differ_in_colour():
    found = some_map()
    basin = np.random.default_rng(0).permutation(64).reshape(8, 8)  # whatever the order
    found = found._replace(basin=np.kron(basin, np.ones((2, 2), int)), minima=found.minima[:1] * 64)
    ax = plots.basins(found, shade=0)
    colors = image(ax)[::2, ::2]
    assert (colors[1:] != colors[:-1]).any(axis=-1).all()
    assert (colors[:, 1:] != colors[:, :-1]).any(axis=-1).all()
    assert (colors[basin == 5] == VERMILLION[:3]).all()
    assert ax.get_legend() is None


@pytest.mark.parametrize("change", [{"basin": np.full((16, 16), -1), "minima": ()}, {"n_steps": 0}])
def test_maps_on_which_nothing_differs(change):
    found = some_map()
    change = {k: v if np.shape(v) else np.full((16, 16), v) for k, v in change.items()}
    ax = plots.basins(found._replace(**change | {"minima": change.get("minima", found.minima)}))
    ax.figure.canvas.draw()
    assert np.isfinite(image(ax)).all()


@pytest.mark.parametrize(
    ("draw", "error", "match"),
    [
        (plots.waterfall, TypeError, "expected a MultiStartResult, got a Result"),
        (plots.parallel, TypeError, "expected a MultiStartResult, got a Result"),
        (lambda _: plots.basins(some_map().result), TypeError, "expected a BasinMap, got a Multi"),
        (lambda _: plots.parallel(searches([1.0]), k=0), ValueError, "k must be an integer >= 1"),
        (lambda _: plots.parallel(searches([np.nan])), ValueError, "no search has a finite value"),
        (lambda _: plots.basins(some_map(), shade=1.5), ValueError, r"shade must be .* \[0, 1\]"),
    ],
)
def test_what_many_searches_did_not_find_is_refused(draw, error, match, result):
    with pytest.raises(error, match=match):
        draw(result)
    assert not plt.get_fignums()
