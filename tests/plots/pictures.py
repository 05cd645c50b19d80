"""What the tests of the pictures share: results to draw, and how to read what was drawn."""

from dataclasses import replace
from functools import cache

import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np
from matplotlib.colors import to_rgba_array

import jamsgrad
from jamsgrad import problems

BOWL = (problems.bowl.fun, (-1.0, 1.0))
SMALL = {"resolution": 21, "levels": 5}

BLUE, ORANGE, GREEN, PINK, SKY, VERMILION = to_rgba_array(
    ["#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00"]  # Okabe and Ito
)


def holed(x):
    """Himmelblau's function, NaN around its minimum at (3, 2)."""
    hole = jnp.sum((x - jnp.array([3.0, 2.0])) ** 2) < 1
    return jnp.where(hole, jnp.nan, problems.himmelblau.fun(x))


@cache
def some_map():
    """Searches of which three in four succeed, some of the others without a value."""
    optimizer = jamsgrad.amsgrad(0.3, b2=0.99)
    return jamsgrad.basin_map(holed, problems.himmelblau.bounds, optimizer, resolution=16)


def wells(x):
    """A well around each whole and each half number, so that none leads to another."""
    return jnp.sum(1 - jnp.cos(4 * jnp.pi * x))


def searches(values, basin=None, status=1, x=None):
    """A result with these values: search i succeeded in well basin[i], of at most twelve."""
    basin = np.zeros(len(values), int) if basin is None else np.asarray(basin)
    x = np.stack([basin - 5.0, np.zeros(len(values))], axis=1) if x is None else x
    status = np.broadcast_to(status, len(values))
    given = {"x": x, "fun": np.asarray(values, float), "status": status}
    found = some_map().result
    record = found.record._replace(**given, grad_norm=0 * status, n_steps=0 * status)
    return replace(
        found,
        starts=x,
        record=record,
        _plan=found._plan._replace(task=found._plan.task._replace(fun=wells)),
    )


def changed(found, *, minima=None, n_steps=None, **fields):
    """The map with other minima, numbers of steps or fields."""
    if minima is not None:
        fields["result"] = replace(found.result, _known=(minima, found.result.basin))
    if n_steps is not None:
        fields["record"] = found.record._replace(n_steps=n_steps)
    return replace(found, **fields)


def written(trajectory):
    """The rows of a Trajectory that were written: step, x, fun."""
    n = int(trajectory.n_recorded)
    return (
        np.asarray(trajectory.step)[:n],
        np.asarray(trajectory.x)[:n],
        np.asarray(trajectory.fun)[:n],
    )


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


def image(ax):
    return np.asarray(ax.get_images()[0].get_array())
