"""Every function draws in the axes it is given, and touches nothing else."""

import jax.numpy as jnp
import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import pytest
from pictures import (
    BOWL,
    SMALL,
    new_ax,
    searches,
    some_map,
)

import jamsgrad
from jamsgrad import plots, problems

DRAW = {
    "surface": lambda problem, result, ax: plots.surface(problem, ax, resolution=21),
    "contour": lambda problem, result, ax: plots.contour(problem, ax, **SMALL),
    "path": lambda problem, result, ax: plots.path(problem, result, ax, **SMALL),
    "convergence": lambda problem, result, ax: plots.convergence(result, ax),
    "waterfall": lambda problem, result, ax: plots.waterfall(some_map().result, ax),
    "parallel": lambda problem, result, ax: plots.parallel(some_map().result, ax),
    "basins": lambda problem, result, ax: plots.basins(some_map(), ax),
}


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


@pytest.mark.usefixtures("jax_of_a_reader")
def test_everything_works_in_float32_too():
    optimizer = jamsgrad.amsgrad(0.1)
    found = jamsgrad.minimize(
        problems.bowl.fun, jnp.array([0.5, 0.5]), optimizer, max_steps=5, record_every=1
    )
    assert found.trajectory.x.dtype == "float32"
    plots.surface(problems.bowl, resolution=5)
    plots.path(problems.bowl, found, resolution=5)
    plots.convergence(found)
    found = jamsgrad.basin_map(*problems.bowl[1:3], optimizer, resolution=4)
    assert found.result.x.dtype == "float32"
    plots.basins(found)
    plots.waterfall(found.result)
    plots.parallel(found.result)


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
