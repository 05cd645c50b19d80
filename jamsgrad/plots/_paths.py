"""Where searches went: over the contours of the function, and down in value."""

from collections.abc import Iterator, Mapping
from itertools import cycle
from typing import Any, NamedTuple

import jax
import numpy as np
from matplotlib.animation import FuncAnimation
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from numpy.typing import ArrayLike

from jamsgrad import _check
from jamsgrad._search.minimize import Path, Result
from jamsgrad.plots import _axes
from jamsgrad.plots._landscape import Function, contour, of_two_variables

Search = Result | Path | ArrayLike
Results = Search | Mapping[str, Search]

_DASHES = ("-", "--", "-.", ":")
_MARKERS = ("s", "^", "D", "v", "P")


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
      ValueError: if the function or a search is not one of two variables, a Result has no path, a
        search is a batch of them, or there is none; else as `contour` does.
      TypeError: if a search is none of these, such as a list of several; else as `contour` does.

    Example:
      >>> from jamsgrad import plots, problems
      >>> ax = plots.path(problems.bowl, {"by hand": [[-0.8, 0.6], [-0.2, 0.2], [0.0, 0.0]]})
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
      ValueError: if a search has no path, holds no values or is a batch of searches, there is none,
        or `ax` is three-dimensional.
      TypeError: if a search is none of these, such as a list of several.

    Example:
      >>> import jax.numpy as jnp
      >>> from jamsgrad import amsgrad, minimize, plots
      >>> result = minimize(lambda x: jnp.sum(x**2), jnp.ones(3), amsgrad(0.1), record_every=1)
      >>> plots.convergence(result).get_yscale()
      'log'
    """
    trails = _trails(results)
    for name, trail in trails.items():
        if trail.fun is None:
            raise ValueError(f"{_called(name)} has points but no values: give a Result or a Path")
    axes = _axes.axes_for(ax)
    drawn = []
    for (name, trail), style in zip(trails.items(), _styles(), strict=False):
        every = max(len(trails), len(trail.fun) // 8)
        marks = len(drawn) * every // len(trails), every  # each line's at other steps
        drawn.append(trail.fun - minimum)
        axes.plot(trail.step, drawn[-1], label=name, markevery=marks, **style)
    values = np.concatenate(drawn)
    if _axes.log_range(values[np.isfinite(values)], decades=2) is not None:
        axes.set_yscale("log", nonpositive="mask")
    axes.set(xlabel="step", ylabel=_axes.height(minimum))
    axes.grid(alpha=0.3)
    _axes.legend(axes)
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
      ValueError: if frames is less than 1; else as `path` does.
      TypeError: as `path` does.

    Example:
      >>> from jamsgrad import plots, problems
      >>> animation = plots.animate(problems.bowl, [[-0.8, 0.6], [-0.2, 0.2], [0.0, 0.0]])
      >>> animation.save("search.gif", writer="pillow")
    """
    frames = _check.integer("frames", frames, 1)
    problem = of_two_variables(problem)
    axes, runs = _draw_paths(problem, results, ax, **options)
    last = max(run.trail.step[-1] for run in runs)
    steps = np.unique(np.linspace(last, 0, frames).round().astype(int))

    def draw(step: int) -> list[Line2D]:
        axes.set_title(f"step {step}", y=1.0)  # by hand: the search for a place is slow
        for trail, lines, end in runs:
            so_far = trail.x[trail.step <= step]
            for line in lines:
                line.set_data(*so_far.T)
            end.set_data(*_axes.inside(_ends(so_far)[1], *problem.bounds).T)
        return [artist for _, lines, end in runs for artist in (*lines, end)]

    draw(last)
    figure: Any = axes.get_figure(root=True)
    if ax is None:  # lay the figure out once, not once per picture
        figure.draw_without_rendering()
        figure.set_layout_engine("none")
    return FuncAnimation(figure, draw, frames=steps.tolist(), interval=interval)


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
        try:
            points = np.atleast_1d(np.asarray(rows, float))
        except (TypeError, ValueError):
            raise TypeError(
                f"{_called(name)} must be a Result, a Path or an array of points; give several "
                f'searches as a mapping, {{"name": search, ...}}; got a {type(rows).__name__}'
            ) from None
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
    problem = of_two_variables(problem)
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
        start, end = (_axes.inside(point, *problem.bounds) for point in _ends(trail.x))
        _axes.mark(axes, start, None if runs else "start", color="white")
        look = {"linestyle": ""} if single else {"linewidth": width}  # of the line in the legend
        end = _axes.mark(axes, end, name or "end", **{**style, **look})
        runs.append(_Run(trail, lines, end))
    _axes.legend(axes)
    return axes, runs


def _styles() -> Iterator[dict[str, Any]]:
    """Looks that tell lines apart, in colour or not."""
    for color, dash, marker in zip(
        cycle(_axes.COLORS), cycle(_DASHES), cycle(_MARKERS), strict=True
    ):
        yield {"color": color, "linestyle": dash, "marker": marker}
