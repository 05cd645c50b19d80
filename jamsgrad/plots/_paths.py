"""Where searches went, over the contours of the function: still, and as an animation."""

from typing import NamedTuple, Unpack

import jax
import numpy as np
from matplotlib.animation import FuncAnimation
from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from jamsgrad import _check
from jamsgrad.plots import _axes
from jamsgrad.plots._landscape import ContourOptions, Function, contour, of_two_variables
from jamsgrad.plots._trajectories import Recorded, Results, recorded, title
from jamsgrad.problems import Problem


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
      ValueError: if the function or a search is not one of two variables, a search was not recorded
        or is a batch of them, or there is none; else as `contour` does.
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
    last = max(drawn.rows.step[-1] for drawn in paths)
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
    return FuncAnimation(figure, draw, frames=steps.tolist(), interval=interval)


class _DrawnPath(NamedTuple):
    """What was recorded of a search, the lines through that, and the mark at its end."""

    rows: Recorded
    lines: list[Line2D]
    end: Line2D


def _draw(
    problem: Problem, results: Results, ax: Axes | None, **options: Unpack[ContourOptions]
) -> tuple[Axes, list[_DrawnPath]]:
    searches = recorded(results)
    for name, rows in searches.items():
        if not isinstance(rows.x, np.ndarray) or rows.x.shape[1:] != (2,) or not len(rows.x):
            shape = jax.tree.map(np.shape, rows.x)
            raise ValueError(f"{title(name)} must have points of shape (rows, 2), got {shape}")
    axes = contour(problem, ax, **options)
    n, single = len(searches), len(searches) == 1
    paths: list[_DrawnPath] = []
    for (name, rows), style in zip(searches.items(), _axes.line_styles(), strict=False):
        width = 1.5 + 2.5 * (n - 1 - len(paths)) / n  # the later, the thinner: all can be seen
        ink, rim = ("white", "black") if single else (style["color"], "white")
        lines = [
            *axes.plot(*rows.x.T, color=rim, linewidth=width + 1.6, zorder=1.9),
            *axes.plot(*rows.x.T, color=ink, linewidth=width, linestyle=style["linestyle"]),
            *(axes.plot(*rows.x.T, ".", color=ink, markersize=5) if single else ()),
        ]
        start, end = (_axes.inside(point, *problem.bounds) for point in _ends(rows.x))
        _axes.mark(axes, start, None if paths else "start", color="white")
        look = {"linestyle": ""} if single else {"linewidth": width}  # of the line in the legend
        end = _axes.mark(axes, end, name or "end", **{**style, **look})
        paths.append(_DrawnPath(rows, lines, end))
    _axes.legend(axes)
    return axes, paths


def _ends(points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The first and the last finite point, each of shape (1, 2); (0, 2) if there is none."""
    finite = points[np.isfinite(points).all(axis=1)]
    return finite[:1], finite[-1:]
