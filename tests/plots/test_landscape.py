"""Surfaces and contours are the function, and say what they leave out."""

import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np
import pytest
from matplotlib.colors import LogNorm, Normalize
from pictures import BOWL, SMALL, filled, labels, lines_through, new_ax
from scipy.optimize import Bounds

from jamsgrad import plots, problems


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


@pytest.mark.parametrize("draw", [plots.contour, plots.surface])
@pytest.mark.parametrize("problem", [problems.bowl, problems.rosenbrock(2), problems.branin])
def test_a_function_and_its_bounds_come_together_or_one_after_the_other(draw, problem):
    fun, bounds = problem.fun, problem.bounds
    together, apart = draw((fun, bounds), resolution=5), draw(fun, bounds, resolution=5)
    np.testing.assert_array_equal(filled(together).get_array(), filled(apart).get_array())
    ax = new_ax(draw.__name__)
    assert draw(fun, bounds, ax, resolution=5) is ax
    ax = new_ax(draw.__name__)
    assert draw(problem, ax, resolution=5) is ax
    assert draw(fun, bounds=bounds, ax=ax, resolution=5) is ax


@pytest.mark.parametrize(
    ("sides", "aspect"),
    [((1, 1.9), 1), ((1.9, 1), 1), ((1, 2.1), "auto"), ((2.1, 1), "auto")],
)
def test_the_aspect_is_equal_where_the_sides_are_of_similar_size(sides, aspect):
    assert plots.contour((problems.bowl.fun, ([0, 0], list(sides))), **SMALL).get_aspect() == aspect


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
