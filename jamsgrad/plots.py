"""Pictures of functions of two variables, and of the searches on them.

The only file that touches matplotlib: `from jamsgrad import plots`. Every function draws in the
`ax` it is given, or in one of a new figure; it changes no rcParams and none of pyplot's state.

A `Function` is a `jamsgrad.problems.Problem`, or `(fun, bounds)` with bounds in any form that
`minimize` takes. A `Search` is a Result with a path (from `minimize` with `record_every`), its
Path, or an array of points of shape (rows, 2). Values that span decades get a log scale, above the
problem's minimum if that is known.
"""

import math
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from itertools import cycle
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from matplotlib.animation import FuncAnimation
from matplotlib.axes import Axes
from matplotlib.colors import Colormap, LogNorm, Normalize
from matplotlib.lines import Line2D
from matplotlib.ticker import LogLocator, MaxNLocator
from numpy.typing import ArrayLike

from jamsgrad import _bounds, _check
from jamsgrad._minimize import Path, Result
from jamsgrad._search import checked_objective
from jamsgrad.problems import Problem

Function = Problem | tuple[Callable, Any]
Search = Result | Path | ArrayLike
Results = Search | Mapping[str, Search]
Colors = str | Colormap

# The palette of Okabe and Ito, Color universal design, 2008; its yellow is for the minima.
_COLORS = ("#E69F00", "#56B4E9", "#D55E00", "#CC79A7", "#000000", "#009E73", "#0072B2")
_YELLOW = "#F0E442"
_DASHES = ("-", "--", "-.", ":")
_MARKERS = ("s", "^", "D", "v", "P")
_TICKS = (1, 2, 2.5, 5, 10)  # their distances, times a power of ten


def surface(
    problem: Function, ax: Any = None, *, cmap: Colors = "viridis", resolution: int = 101
) -> Any:
    """Draw the function as a surface in three dimensions.

    Args:
      problem: the function, of two variables.
      ax: three-dimensional axes to draw in; None for a new figure.
      cmap: the colours of the values; "jet" gives the look of the classic tutorials.
      resolution: grid points along each side, at least 2.

    Returns:
      The axes.

    Raises:
      ValueError: if the function is not one of two variables in a finite box, is nowhere finite, or
        `ax` is not three-dimensional.

    Example:
      >>> from jamsgrad import problems
      >>> ax = surface(problems.bowl, resolution=51)
      >>> ax.figure.savefig("surface.png")  # doctest: +SKIP
    """
    problem = _of_two_variables(problem)
    land = _landscape(problem, resolution)
    ax = _axes(ax, "3d")
    drawn = ax.plot_surface(
        land.x0,
        land.x1,
        land.values.filled(np.nan),
        cmap=cmap,
        norm=land.norm,
        rcount=resolution,
        ccount=resolution,
        linewidth=0.3,
    )
    drawn.set_edgecolor("face")  # else light seams show between the faces
    _color_bar(drawn, land, ax=ax, shrink=0.7, pad=0.08)
    _frame(ax, problem)
    ax.set(xticks=_inner_ticks(*ax.get_xlim()), yticks=_inner_ticks(*ax.get_ylim()))
    return ax


def contour(
    problem: Function,
    ax: Axes | None = None,
    *,
    cmap: Colors = "viridis",
    resolution: int = 201,
    levels: int = 24,
) -> Axes:
    """Draw the function from above in bands of colour, and its minima. Grey: not finite.

    Args:
      problem: the function, of two variables.
      ax: axes to draw in; None for a new figure.
      cmap: the colours of the values; "jet" gives the look of the classic tutorials.
      resolution: grid points along each side, at least 2.
      levels: how many bands, at least 1.

    Returns:
      The axes.

    Raises:
      ValueError: if the function is not one of two variables in a finite box, or is nowhere finite.

    Example:
      >>> import jax.numpy as jnp
      >>> ax = contour((lambda x: jnp.sin(x[0]) * x[1], ([-3, 0], [3, 2])))
      >>> [float(end) for end in ax.get_xlim()]
      [-3.0, 3.0]
    """
    problem = _of_two_variables(problem)
    land = _landscape(problem, resolution)
    axes = _axes(ax)
    edges = land.norm.inverse(np.linspace(0, 1, _check.integer("levels", levels, 1) + 1))
    edges[-1] = max(edges[-1], land.values.max())  # against rounding
    grid = land.x0, land.x1, land.values
    drawn = axes.contourf(*grid, edges, cmap=cmap, norm=land.norm, extend=land.extend)
    axes.set_facecolor("0.85")
    # A child of the axes: it stays as high as they are, whatever their aspect.
    _color_bar(drawn, land, cax=axes.inset_axes((1.04, 0, 0.05, 1)))
    _frame(axes, problem)
    if len(problem.minimizers):
        star = {"marker": "*", "markersize": 19, "color": _YELLOW, "zorder": 3}
        _mark(axes, problem, problem.minimizers, "minimum", **star)
        _legend(axes)
    return axes


def path(problem: Function, results: Results, ax: Axes | None = None, **options: Any) -> Axes:
    """Draw where searches went, over the contours of the function.

    Args:
      problem: the function, of two variables.
      results: a search of it, or several as a mapping from name to search.
      ax: axes to draw in; None for a new figure.
      **options: those of `contour`.

    Returns:
      The axes.

    Raises:
      ValueError: if the function or a search is not one of two variables, a Result has no path, or
        a search is a batch of them.

    Example:
      >>> from jamsgrad import problems
      >>> ax = path(problems.bowl, {"by hand": [[-0.8, 0.6], [-0.2, 0.2], [0.0, 0.0]]})
      >>> [text.get_text() for text in ax.get_legend().get_texts()]
      ['minimum', 'start', 'by hand']
    """
    return _draw_paths(problem, results, ax, **options)[0]


def convergence(results: Results, ax: Axes | None = None, *, minimum: float = 0.0) -> Axes:
    """Draw how the value fell, step by step.

    Args:
      results: a search, or several as a mapping from name to search; of any number of variables,
        but points alone will not do.
      ax: axes to draw in; None for a new figure.
      minimum: what to subtract from the values, such as `problem.minimum`.

    Returns:
      The axes; their y is logarithmic where the differences are positive and span two decades.

    Raises:
      ValueError: if a search holds no values, or is a batch of searches.

    Example:
      >>> import jax.numpy as jnp
      >>> from jamsgrad import amsgrad, minimize
      >>> result = minimize(lambda x: jnp.sum(x**2), jnp.ones(3), amsgrad(0.1), record_every=1)
      >>> convergence(result).get_yscale()
      'log'
    """
    trails = _trails(results)
    for name, trail in trails.items():
        if trail.fun is None:
            raise ValueError(f"{_called(name)} has points but no values: give a Result or a Path")
    axes = _axes(ax)
    drawn = []
    for (name, trail), style in zip(trails.items(), _styles(), strict=False):
        every = max(len(trails), len(trail.fun) // 8)
        marks = len(drawn) * every // len(trails), every  # each line's at other steps
        drawn.append(trail.fun - minimum)
        axes.plot(trail.step, drawn[-1], label=name, markevery=marks, **style)
    values = np.concatenate(drawn)
    if _log_range(values[np.isfinite(values)], decades=2) is not None:
        axes.set_yscale("log", nonpositive="mask")
    axes.set(xlabel="step", ylabel=_height(minimum))
    axes.grid(alpha=0.3)
    _legend(axes)
    return axes


def animate(
    problem: Function,
    results: Results,
    ax: Axes | None = None,
    *,
    frames: int = 60,
    interval: int = 80,
    **options: Any,
) -> FuncAnimation:
    """Let searches run over the contours of the function.

    Args:
      problem: the function, of two variables.
      results: a search of it, or several as a mapping from name to search.
      ax: axes to draw in; None for a new figure.
      frames: how many pictures at most, evenly spread over the steps; at least 1.
      interval: milliseconds from one to the next.
      **options: those of `contour`.

    Returns:
      The animation. Keep it: matplotlib drops an animation that nobody holds.

    Raises:
      ValueError: as `path` does.

    Example:
      >>> from jamsgrad import problems
      >>> animation = animate(problems.bowl, [[-0.8, 0.6], [-0.2, 0.2], [0.0, 0.0]])
      >>> import tempfile
      >>> with tempfile.TemporaryDirectory() as folder:
      ...     animation.save(f"{folder}/search.gif", writer="pillow")
    """
    frames = _check.integer("frames", frames, 1)
    problem = _of_two_variables(problem)
    axes, runs = _draw_paths(problem, results, ax, **options)
    last = max(run.trail.step[-1] for run in runs)
    steps = np.unique(np.linspace(last, 0, frames).round().astype(int))

    def draw(step: int) -> list[Line2D]:
        axes.set_title(f"step {step}", y=1.0)  # by hand: the search for a place is slow
        for trail, lines, end in runs:
            so_far = trail.x[trail.step <= step]
            for line in lines:
                line.set_data(*so_far.T)
            end.set_data(*_inside(problem, _ends(so_far)[1]).T)
        return [artist for _, lines, end in runs for artist in (*lines, end)]

    draw(last)
    figure: Any = axes.get_figure(root=True)
    if ax is None:  # lay the figure out once, not once per picture
        figure.draw_without_rendering()
        figure.set_layout_engine("none")
    return FuncAnimation(figure, draw, frames=steps.tolist(), interval=interval)


# -- the function ----------------------------------------------------------------------------------


class _Landscape(NamedTuple):
    """The function on a grid, masked where it is not finite, and how to colour and call it."""

    x0: np.ndarray
    x1: np.ndarray
    values: Any
    norm: Normalize
    label: str

    @property
    def extend(self) -> Any:
        """Whether the colours stand for values below their scale, too."""
        return "min" if isinstance(self.norm, LogNorm) else "neither"


def _of_two_variables(problem: Function) -> Problem:
    """The function as a Problem whose bounds have the shape (2,); a minimum not known is 0."""
    if not isinstance(problem, Problem):
        if not (isinstance(problem, tuple) and len(problem) == 2 and callable(problem[0])):
            raise TypeError(f"expected a Problem or a tuple (fun, bounds), got {problem!r}")
        problem = Problem("", *problem, minimizers=np.empty((0, 2)), minimum=0.0, source="")
    lower, upper = (np.asarray(end, float) for end in _bounds.ends(problem.bounds))
    if not {lower.shape, upper.shape} <= {(), (2,)}:
        raise ValueError(
            f"plots draw functions of two variables, got {problem.name or 'a function'} with "
            f"bounds of shape {lower.shape} and {upper.shape}"
        )
    if not (np.isfinite(upper - lower).all() and (lower < upper).all()):
        raise ValueError(f"plots need finite bounds, lower < upper, got {lower} and {upper}")
    return problem._replace(bounds=(np.broadcast_to(lower, 2), np.broadcast_to(upper, 2)))


@partial(jax.jit, static_argnums=0)
def _values(fun: Callable, points: jax.Array) -> jax.Array:
    return jax.vmap(checked_objective(fun, has_aux=False))(points)[0]


def _landscape(problem: Problem, resolution: int) -> _Landscape:
    side = np.linspace(*problem.bounds, _check.integer("resolution", resolution, 2))
    x0, x1 = np.meshgrid(*side.T)
    points = jnp.asarray(np.stack([x0.ravel(), x1.ravel()], axis=1))
    values = np.asarray(_values(problem.fun, points), float).reshape(x0.shape)
    values = np.ma.masked_invalid(values)
    if not values.count():
        raise ValueError("the function is not finite anywhere on the grid")
    # A round bowl's lowest thousandth reaches up to three decades below its top: that is linear.
    excess = values - problem.minimum
    ends = _log_range(excess.compressed(), decades=3.5, lowest=0.001)
    if ends is not None:
        return _Landscape(x0, x1, excess.clip(ends[0]), LogNorm(*ends), _height(problem.minimum))
    low, high = float(values.min()), float(values.max())
    if high - low <= 1e-9 * max(abs(low), abs(high)):  # a constant
        low, high = low - max(abs(low), 1) / 2, high + max(abs(high), 1) / 2
    return _Landscape(x0, x1, values, Normalize(low, high), _height(0))


def _log_range(values: np.ndarray, decades: float, lowest: float = 0) -> tuple[float, float] | None:
    """A log scale from the `lowest` quantile to the top of the positive values.

    None where they span no more than so many decades, or others are negative beyond rounding.
    """
    positive = values[values > 0]
    if not positive.size or values.min() < -1e-6 * positive.max():
        return None
    low, high = map(float, np.quantile(positive, [lowest, 1]))
    return (low, high) if math.log10(high) - math.log10(low) > decades else None


def _height(minimum: float) -> str:
    return r"$f(x) - \min\,f$" if minimum else "$f(x)$"


# -- the searches ----------------------------------------------------------------------------------


class _Trail(NamedTuple):
    """The rows of a search that were written; of mere points, `fun` is None."""

    step: np.ndarray
    x: Any
    fun: Any


class _Run(NamedTuple):
    """A trail on the axes."""

    trail: _Trail
    lines: list[Line2D]
    end: Line2D


def _called(name: str) -> str:
    return f"results[{name!r}]" if name else "the result"


def _trails(results: Results) -> dict[str, _Trail]:
    """The trails by name; that of a single search is ""."""
    named = results if isinstance(results, Mapping) else {"": results}
    if not named:
        raise ValueError("results is an empty mapping: nothing to draw")
    return {name: _trail(name, result) for name, result in named.items()}


def _trail(name: str, result: Search) -> _Trail:
    rows = result.path if isinstance(result, Result) else result
    if rows is None:
        raise ValueError(f"{_called(name)} has no path: call minimize with record_every=1")
    if not isinstance(rows, Path):
        points = np.atleast_1d(np.asarray(rows, float))
        return _Trail(np.arange(len(points)), points, None)
    if shape := np.shape(rows.n_recorded):
        raise ValueError(f"{_called(name)} is a batch of searches of shape {shape}: draw one each")
    written = slice(int(rows.n_recorded))
    return _Trail(*jax.tree.map(lambda a: np.asarray(a)[written], (rows.step, rows.x, rows.fun)))


def _ends(points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The first and the last finite point, each of shape (1, 2); (0, 2) if there is none."""
    finite = points[np.isfinite(points).all(axis=1)]
    return finite[:1], finite[-1:]


def _draw_paths(
    problem: Function, results: Results, ax: Axes | None, **options: Any
) -> tuple[Axes, list[_Run]]:
    problem = _of_two_variables(problem)
    trails = _trails(results)
    for name, trail in trails.items():
        if not isinstance(trail.x, np.ndarray) or trail.x.shape[1:] != (2,) or not len(trail.x):
            shape = jax.tree.map(np.shape, trail.x)
            raise ValueError(f"{_called(name)} must have points of shape (rows, 2), got {shape}")
    axes = contour(problem, ax, **options)
    single = len(trails) == 1
    runs = []
    for (name, trail), style in zip(trails.items(), _styles(), strict=False):
        width = 1.5 + 2.5 * (len(trails) - 1 - len(runs)) / len(trails)  # those below still show
        ink, rim = ("white", "black") if single else (style["color"], "white")
        lines = [
            *axes.plot(*trail.x.T, color=rim, linewidth=width + 1.6, zorder=1.9),
            *axes.plot(*trail.x.T, color=ink, linewidth=width, linestyle=style["linestyle"]),
            *(axes.plot(*trail.x.T, ".", color=ink, markersize=5) if single else ()),
        ]
        start, end = _ends(trail.x)
        _mark(axes, problem, start, None if runs else "start", color="white")
        look = {"linestyle": ""} if single else {"linewidth": width}  # of the line in the legend
        end = _mark(axes, problem, end, name or "end", **{**style, **look})
        runs.append(_Run(trail, lines, end))
    _legend(axes)
    return axes, runs


def _styles() -> Iterator[dict[str, Any]]:
    """Looks that tell lines apart, in colour or not."""
    for color, dash, marker in zip(cycle(_COLORS), cycle(_DASHES), cycle(_MARKERS), strict=True):
        yield {"color": color, "linestyle": dash, "marker": marker}


# -- the axes --------------------------------------------------------------------------------------


def _axes(ax: Any, projection: str | None = None) -> Any:
    """The axes given, or those of a new figure of pyplot's, which can show it."""
    if ax is None:
        import matplotlib.pyplot as plt  # noqa: PLC0415  it chooses a backend for the process

        _, ax = plt.subplots(layout="constrained", subplot_kw={"projection": projection})
    elif (ax.name == "3d") != (projection == "3d"):
        raise ValueError(f"ax must be {projection or 'two-dimensional'} axes, got {ax!r}")
    return ax


def _frame(ax: Any, problem: Problem) -> None:
    """Limits, names and aspect: equal where the sides of the box are of similar size."""
    (left, bottom), (right, top) = problem.bounds
    ax.set(xlim=(left, right), ylim=(bottom, top), xlabel="$x_0$", ylabel="$x_1$")
    ax.locator_params(nbins=5)
    ax.set_title(problem.name.replace("_", " "))
    if ax.name != "3d" and 0.5 <= (right - left) / (top - bottom) <= 2:
        ax.set_aspect("equal")


def _inner_ticks(low: float, high: float) -> list[float]:
    """A few ticks away from the ends, where in three dimensions the labels of two axes meet."""
    margin = 0.05 * (high - low)
    ticks = MaxNLocator(5, steps=_TICKS).tick_values(low, high)
    return [tick for tick in ticks if low + margin < tick < high - margin]


def _color_bar(drawn: Any, land: _Landscape, **where: Any) -> None:
    ticks = LogLocator() if isinstance(land.norm, LogNorm) else MaxNLocator(6, steps=_TICKS)
    drawn.axes.figure.colorbar(drawn, ticks=ticks, label=land.label, extend=land.extend, **where)


def _inside(problem: Problem, points: np.ndarray) -> np.ndarray:
    lower, upper = problem.bounds
    return points[((points >= lower) & (points <= upper)).all(axis=1)]


def _mark(ax: Axes, problem: Problem, points: np.ndarray, label: str | None, **look: Any) -> Line2D:
    """Mark the points that are in the box, whole even on its edge."""
    look = {"marker": "o", "markersize": 6.5, "linestyle": "", "zorder": 4, **look}
    inside = _inside(problem, points)
    return ax.plot(*inside.T, label=label, markeredgecolor="black", clip_on=False, **look)[0]


def _legend(ax: Axes) -> None:
    """A legend below the axes, where it covers nothing."""
    if ax.get_legend_handles_labels()[0]:
        below = {"loc": "upper center", "bbox_to_anchor": (0.5, 0), "borderaxespad": 4}
        ax.legend(ncols=4, frameon=False, **below)
