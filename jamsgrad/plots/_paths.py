"""Searches: where they went, still and as an animation, and how their values fell."""

from collections.abc import Iterator, Mapping
from itertools import cycle
from typing import Any, NamedTuple, TypeAlias, Unpack

import jax
import numpy as np
from matplotlib.animation import FuncAnimation
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from numpy.typing import ArrayLike

from jamsgrad import _check
from jamsgrad._search.result import Result
from jamsgrad._search.trajectory import Trajectory
from jamsgrad._tree import Tree
from jamsgrad.plots import _axes
from jamsgrad.plots._landscape import ContourOptions, Function, contour, of_two_variables
from jamsgrad.problems import Problem

Search: TypeAlias = Result | Trajectory | ArrayLike
Results: TypeAlias = Search | Mapping[str, Search]

_FRAME: dict[str, Any] = {
    "linestyle": "",
    "markersize": 15,
    "markeredgewidth": 2.5,
    "fillstyle": "none",
}


class _Animation(FuncAnimation):
    """An animation that a notebook shows instead of its figure."""

    made: Figure | None = None  # the figure that was made for it

    def _repr_html_(self) -> str:
        player = self.to_jshtml()
        if self.made is not None:
            import matplotlib.pyplot as plt  # noqa: PLC0415  as in `axes_for`

            plt.close(self.made)  # which the notebook would show beside it
        return player


class _Recorded(NamedTuple):
    """The rows that were written in a search, as NumPy arrays. Points alone have no `fun`."""

    step: np.ndarray
    x: Tree
    fun: np.ndarray | None


def path(
    problem: Function, results: Results, ax: Axes | None = None, **options: Unpack[ContourOptions]
) -> Axes:
    """Draw where searches went, over the contours of the function.

    Args:
      problem: the function, of two variables.
      results: a search of it, or several as a mapping from name to search.
      ax: axes to draw in; None for a new figure.
      **options: those of `contour`.

    Returns:
      The axes.

    Raises:
      ValueError: if a search was not recorded, is not one of two variables or is a batch of them,
        or there is none; else as `contour` does.
      TypeError: if a search is none of these, such as a list of several; else as `contour` does.

    Example:
      >>> from jamsgrad import plots, problems
      >>> ax = plots.path(problems.bowl, {"by hand": [[-0.8, 0.6], [-0.2, 0.2], [0.0, 0.0]]})
      >>> [text.get_text() for text in ax.get_legend().get_texts()]
      ['minimum', 'start', 'by hand']
    """
    return _draw(of_two_variables(problem), results, ax, **options)[0]


def animate(
    problem: Function,
    results: Results,
    ax: Axes | None = None,
    *,
    frames: int = 60,
    interval: int = 80,
    **options: Unpack[ContourOptions],
) -> FuncAnimation:
    """Let searches run over the contours of the function.

    In a notebook the animation shows itself, with buttons to play it.

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
    axes, paths = _draw(problem, results, ax, **options)
    last = max(rows.step[-1] for rows, _, _ in paths)
    steps = np.unique(np.linspace(last, 0, frames).round().astype(int))

    def draw(step: int) -> list[Line2D]:
        axes.set_title(f"step {step}", y=1.0)  # a given y, because matplotlib is slow to find one
        for rows, lines, end in paths:
            so_far = rows.x[rows.step <= step]
            for line in lines:
                line.set_data(*so_far.T)
            end.set_data(*_axes.inside(_ends(so_far)[1], *problem.bounds).T)
        return [artist for _, lines, end in paths for artist in (*lines, end)]

    draw(last)
    figure = axes.get_figure(root=True)
    assert figure is not None
    if ax is None:  # lay the figure out once, not once per picture
        figure.draw_without_rendering()
        figure.set_layout_engine("none")
    shown = _Animation(figure, draw, frames=steps.tolist(), interval=interval)
    shown.made = figure if ax is None else None
    return shown


def convergence(results: Results, ax: Axes | None = None, *, minimum: float = 0.0) -> Axes:
    """Draw how the value fell, step by step.

    Args:
      results: a search, or several as a mapping from name to search; of any number of variables.
        Points alone have no values to draw.
      ax: axes to draw in; None for a new figure.
      minimum: what to subtract from the values, such as `problem.minimum`.

    Returns:
      The axes; their y is logarithmic where the differences are positive and span two decades.

    Raises:
      ValueError: if a search was not recorded, has no values or is a batch of them, there is none,
        or `ax` is three-dimensional.
      TypeError: if a search is none of these, such as a list of several.

    Example:
      >>> import jax.numpy as jnp
      >>> from jamsgrad import amsgrad, minimize, plots
      >>> result = minimize(lambda x: jnp.sum(x**2), jnp.ones(3), amsgrad(0.1), record_every=1)
      >>> plots.convergence(result).get_yscale()
      'log'
    """
    searches = _recorded(results)
    drawn: list[np.ndarray] = []
    for name, search in searches.items():
        if search.fun is None:
            raise ValueError(f"{_title(name)} has points but no values: give its Result")
        drawn.append(search.fun - minimum)
    axes = _axes.axes_for(ax)
    lines = zip(searches.items(), drawn, _line_styles(), strict=False)
    for i, ((name, search), values, style) in enumerate(lines):
        every = max(len(drawn), len(values) // 8)
        marks = i * every // len(drawn), every  # each line's at other steps
        axes.plot(search.step, values, label=name, markevery=marks, **style)
    values = np.concatenate(drawn)
    if _axes.log_range(values[np.isfinite(values)], decades=2) is not None:
        axes.set_yscale("log", nonpositive="mask")
    axes.set(xlabel="step", ylabel=_axes.value_label(minimum))
    axes.grid(**_axes.GRID)
    axes.xaxis.set_major_formatter(_axes.THOUSANDS)
    _axes.legend(axes)
    return axes


def _recorded(results: Results) -> dict[str, _Recorded]:
    """The rows of each search by name. The name of a single search is ""."""
    named = results if isinstance(results, Mapping) else {"": results}
    if not named:
        raise ValueError("results is an empty mapping: nothing to draw")
    return {name: _rows(_title(name), search) for name, search in named.items()}


def _title(name: str) -> str:
    """What error messages call the search of this name."""
    return f"results[{name!r}]" if name else "the result"


def _rows(title: str, search: Search) -> _Recorded:
    rows = search.trajectory if isinstance(search, Result) else search
    if rows is None:
        raise ValueError(f"{title} has no trajectory: call minimize with record_every=1")
    if not isinstance(rows, Trajectory):
        try:
            points = np.atleast_1d(np.asarray(rows, float))
        except (TypeError, ValueError):
            raise TypeError(
                f"{title} must be a Result, a Trajectory or an array of points; give several "
                f'searches as a mapping, {{"name": search, ...}}; got a {type(rows).__name__}'
            ) from None
        return _Recorded(np.arange(len(points)), points, None)
    if shape := np.shape(rows.n_recorded):
        raise ValueError(f"{title} is a batch of searches of shape {shape}: draw one each")
    written = slice(int(rows.n_recorded))
    return _Recorded(*jax.tree.map(lambda a: np.asarray(a)[written], (rows.step, rows.x, rows.fun)))


def _draw(
    problem: Problem, results: Results, ax: Axes | None, **options: Unpack[ContourOptions]
) -> tuple[Axes, list[tuple[_Recorded, list[Line2D], Line2D]]]:
    """The axes, and for each search its rows, the lines through them and the mark at their end."""
    searches = _recorded(results)
    for name, rows in searches.items():
        if not isinstance(rows.x, np.ndarray) or rows.x.shape[1:] != (2,) or not len(rows.x):
            shape = jax.tree.map(np.shape, rows.x)
            raise ValueError(f"{_title(name)} must have points of shape (rows, 2), got {shape}")
    axes = contour(problem, ax, **options)
    n, single = len(searches), len(searches) == 1
    paths = []
    for (name, rows), style in zip(searches.items(), _line_styles(), strict=False):
        width = 1.5 + 2.5 * (n - 1 - len(paths)) / n  # the later, the thinner: all can be seen
        ink, rim = ("white", "black") if single else (style["color"], "white")
        lines = [
            *axes.plot(*rows.x.T, color=rim, linewidth=width + 1.6, zorder=1.9),
            *axes.plot(*rows.x.T, color=ink, linewidth=width, linestyle=style["linestyle"]),
            *(axes.plot(*rows.x.T, ".", color=ink, markersize=5) if single else ()),
        ]
        start, end = (_axes.inside(point, *problem.bounds) for point in _ends(rows.x))
        _axes.mark(axes, start, None if paths else "start", color="white")
        # A single end is a frame, in which a minimum is seen; others have a line in the legend.
        look = _FRAME | {"markeredgecolor": style["color"]} if single else {"linewidth": width}
        end = _axes.mark(axes, end, name or "end", **style | look)
        paths.append((rows, lines, end))
    _axes.legend(axes)
    return axes, paths


def _ends(points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The first and the last finite point, each of shape (1, 2); (0, 2) if there is none."""
    finite = points[np.isfinite(points).all(axis=1)]
    return finite[:1], finite[-1:]


def _line_styles() -> Iterator[dict[str, Any]]:
    """Styles of lines without end; neighbours differ in colour, dashes and marker."""
    dashes, markers = ("-", "--", "-.", ":"), ("s", "^", "D", "v", "P")
    for color, dash, marker in zip(cycle(_axes.COLORS), cycle(dashes), cycle(markers), strict=True):
        yield {"color": color, "linestyle": dash, "marker": marker}
