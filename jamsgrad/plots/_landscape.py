"""The function itself: as a surface, and from above."""

from collections.abc import Callable
from functools import partial
from typing import Any, Literal, NamedTuple, TypeAlias, TypedDict, cast

import jax
import jax.numpy as jnp
import numpy as np
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Colormap, LogNorm, Normalize
from matplotlib.ticker import LogLocator, MaxNLocator
from mpl_toolkits.mplot3d import Axes3D

from jamsgrad import _check
from jamsgrad._check import nan_is_data
from jamsgrad._search import bounds as _bounds
from jamsgrad._search.task import checked_objective
from jamsgrad._tree import Tree
from jamsgrad.plots import _axes
from jamsgrad.problems import Problem

Objective: TypeAlias = Callable[[jax.Array], jax.Array]
Function: TypeAlias = Problem | tuple[Objective, Any]  # bounds in any of their forms
Colors: TypeAlias = str | Colormap


class ContourOptions(TypedDict, total=False):
    """The options of `contour`, for the pictures that begin with one."""

    cmap: Colors
    resolution: int
    levels: int


def surface(
    problem: Function | Objective,
    bounds: Tree = None,
    ax: Axes3D | None = None,
    *,
    cmap: Colors = "viridis",
    resolution: int = 101,
) -> Axes3D:
    """Draw the function as a surface in three dimensions.

    Args:
      problem: the function, of two variables.
      bounds: as in `contour`.
      ax: three-dimensional axes to draw in; None for a new figure.
      cmap: the colours of the values; "jet" gives the look of the classic tutorials.
      resolution: grid points along each side, at least 2.

    Returns:
      The axes.

    Raises:
      ValueError: if `ax` is not three-dimensional; else as `contour` does.
      TypeError: as `contour` does.

    Example:
      >>> from jamsgrad import plots, problems
      >>> ax = plots.surface(problems.bowl, resolution=51)
      >>> ax.figure.savefig("surface.png")
    """
    function, ax = _given(problem, bounds, ax)
    land = _landscape(function, resolution)
    axes = cast(Axes3D, _axes.axes_for(ax, "3d"))
    grid = land.x0, land.x1, land.values.filled(np.nan)
    look = {"cmap": cmap, "norm": land.norm, "linewidth": 0.3}
    drawn = axes.plot_surface(*grid, rcount=resolution, ccount=resolution, **look)
    drawn.set_edgecolor("face")  # else light seams show between the faces
    _finish(axes, land, drawn, ax=axes, shrink=0.7, pad=0.08)
    axes.set(xticks=_inner_ticks(*axes.get_xlim()), yticks=_inner_ticks(*axes.get_ylim()))
    return axes


def contour(
    problem: Function | Objective,
    bounds: Tree = None,
    ax: Axes | None = None,
    *,
    cmap: Colors = "viridis",
    resolution: int = 201,
    levels: int = 24,
) -> Axes:
    """Draw the function from above in bands of colour, and its minima. Grey: not finite.

    Args:
      problem: the function, of two variables.
      bounds: the box of a function that comes alone: `contour(fun, bounds)` is
        `contour((fun, bounds))`. Where there is none, `ax` may take its place.
      ax: axes to draw in; None for a new figure.
      cmap: the colours of the values; "jet" gives the look of the classic tutorials.
      resolution: grid points along each side, at least 2.
      levels: how many bands, at least 1.

    Returns:
      The axes.

    Raises:
      ValueError: if the function is not one of two variables in a finite box, is nowhere finite, an
        option is out of its range, or `ax` is three-dimensional.
      TypeError: if `problem` is neither a Problem nor (fun, bounds), or its function does not give
        a real scalar.

    Example:
      >>> import jax.numpy as jnp
      >>> from jamsgrad import plots
      >>> ax = plots.contour(lambda x: jnp.sin(x[0]) * x[1], ([-3, 0], [3, 2]))
      >>> [float(end) for end in ax.get_xlim()]
      [-3.0, 3.0]
    """
    function, ax = _given(problem, bounds, ax)
    land = _landscape(function, resolution)
    axes = _axes.axes_for(ax)
    edges = land.norm.inverse(np.linspace(0, 1, _check.integer("levels", levels, 1) + 1))
    edges[-1] = max(edges[-1], land.values.max())  # against rounding
    grid = land.x0, land.x1, land.values
    drawn = axes.contourf(*grid, edges, cmap=cmap, norm=land.norm, extend=land.extend)
    axes.set_facecolor(_axes.GREY)
    _finish(axes, land, drawn, cax=axes.inset_axes(_axes.COLOR_BAR))
    if len(land.problem.minimizers):
        minima = _axes.inside(land.problem.minimizers, *land.problem.bounds)
        _axes.mark(axes, minima, "minimum", **_axes.STAR, markersize=19, zorder=3)
        _axes.legend(axes)
    return axes


def _given(problem: Any, bounds: Any, ax: Any) -> tuple[Function, Any]:
    """The function and the axes of `contour(problem, ax)` and of `contour(fun, bounds, ax)`."""
    if bounds is None or isinstance(bounds, Axes):
        return problem, bounds if ax is None else ax
    return (problem, bounds), ax


class _Landscape(NamedTuple):
    """The function on a grid, masked where it is not finite, with the scale of its colours."""

    problem: Problem
    x0: np.ndarray
    x1: np.ndarray
    values: np.ma.MaskedArray
    norm: Normalize
    extend: Literal["min", "neither"]  # "min": the lowest colour stands for lower values, too


def of_two_variables(problem: Function) -> Problem:
    """The function as a Problem whose bounds have the shape (2,); a minimum not known is 0."""
    if not isinstance(problem, Problem):
        if not (isinstance(problem, tuple) and len(problem) == 2 and callable(problem[0])):
            raise TypeError(f"expected a Problem or a tuple (fun, bounds), got {problem!r} alone")
        problem = Problem("", *problem, minimizers=np.empty((0, 2)), minimum=0.0, source="")
    ends = (np.asarray(end, float) for end in _bounds.ends(problem.bounds))
    box = _bounds.Bounds(*np.broadcast_arrays(*ends))
    box = _bounds.plane(box, "a picture", problem.name and f"{problem.name} with ")
    return problem._replace(bounds=(np.ravel(box.lower), np.ravel(box.upper)))


@partial(jax.jit, static_argnums=0)
def _values(fun: Objective, points: jax.Array) -> jax.Array:
    return jax.vmap(checked_objective(fun, has_aux=False))(points)[0]


def _landscape(function: Function, resolution: int) -> _Landscape:
    problem = of_two_variables(function)
    side = np.linspace(*problem.bounds, _check.integer("resolution", resolution, 2))
    x0, x1 = np.meshgrid(*side.T)
    points = jnp.asarray(np.stack([x0.ravel(), x1.ravel()], axis=1))
    with nan_is_data():  # which is drawn in grey
        values = np.asarray(_values(problem.fun, points), float).reshape(x0.shape)
    values = np.ma.masked_invalid(values)
    if not values.count():
        raise ValueError("the function is not finite anywhere on the grid")
    # The lowest thousandth of a round bowl is up to three decades below its top: a linear scale.
    excess = values - problem.minimum
    ends = _axes.log_range(excess.compressed(), decades=3.5, lowest=0.001)
    if ends is not None:
        return _Landscape(problem, x0, x1, np.ma.maximum(excess, ends[0]), LogNorm(*ends), "min")
    low, high = float(values.min()), float(values.max())
    if high - low <= 1e-9 * max(abs(low), abs(high)):  # a constant
        low, high = low - max(abs(low), 1) / 2, high + max(abs(high), 1) / 2
    return _Landscape(problem, x0, x1, values, Normalize(low, high), "neither")


def _finish(axes: Axes, land: _Landscape, drawn: ScalarMappable, **where: Any) -> None:
    """Add the colour bar, the limits and the title."""
    log = isinstance(land.norm, LogNorm)
    ticks = LogLocator() if log else MaxNLocator(6, steps=_axes.TICK_STEPS)
    label = _axes.value_label(land.problem.minimum if log else 0)
    axes.figure.colorbar(drawn, ticks=ticks, label=label, extend=land.extend, **where)
    _axes.frame(axes, *zip(*land.problem.bounds, strict=True))
    axes.set_title(land.problem.name.replace("_", " "))


def _inner_ticks(low: float, high: float) -> list[float]:
    """A few ticks away from the ends, where in three dimensions the labels of two axes meet."""
    margin = 0.05 * (high - low)
    ticks = MaxNLocator(5, steps=_axes.TICK_STEPS).tick_values(low, high)
    return [tick for tick in ticks if low + margin < tick < high - margin]
