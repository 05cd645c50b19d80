"""What many searches found: their values, their points, and where they came from."""

from typing import Any

import jax
import numpy as np
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.collections import LineCollection
from matplotlib.colors import LinearSegmentedColormap, Normalize, to_rgb, to_rgba_array
from matplotlib.ticker import MaxNLocator

from jamsgrad import _check
from jamsgrad._multistart.basin_map import BasinMap
from jamsgrad._multistart.result import MultiStartResult
from jamsgrad._search.bounds import end_rows
from jamsgrad._tree import as_row, as_rows
from jamsgrad.plots import _axes

_MINIMA = tuple(_axes.COLORS[i] for i in (6, 0, 5, 3, 1, 2))  # no black: it cannot be darker
_LOOKS = (*_MINIMA, "0.6", "black")  # of the best minima, of the others, of the failed


def waterfall(
    result: MultiStartResult, ax: Axes | None = None, *, minimum: float | None = None
) -> Axes:
    """Draw the values where searches ended, the best first: plateaus are minima found often.

    Crosses are searches without success; those at the upper edge have no value. The scale is
    logarithmic, with a linear part around zero, where the steps from the best minimum to the others
    span three decades, or without such steps the values two.

    Args:
      result: what many searches found.
      ax: axes to draw in; None for a new figure.
      minimum: what to subtract from the values, such as `problem.minimum`; None subtracts the best
        value on a logarithmic scale, and nothing on a linear one.

    Returns:
      The axes.

    Raises:
      TypeError: if `result` is not one of `multistart`.
      ValueError: if `ax` is three-dimensional.

    Example:
      >>> import jax
      >>> from jamsgrad import amsgrad, multistart, plots, problems
      >>> problem, optimizer = problems.himmelblau, amsgrad(0.3, b2=0.99)
      >>> result = multistart(
      ...     problem.fun, problem.bounds, optimizer, key=jax.random.key(0), n_starts=64)
      >>> ax = plots.waterfall(result)
      >>> len(ax.collections[0].get_offsets()), ax.get_xlabel()
      (64, 'searches, best first')

    References:
      Raue et al., Lessons learned from quantitative dynamical modeling in systems biology, PLoS ONE
      8, 2013.
    """
    order = _checked(result, MultiStartResult).order
    values, basin = result.rows.fun[order].astype(float), result.basin[order]
    finite = np.isfinite(values)
    base = minimum if minimum is not None else values[0] if finite[0] else 0.0
    linear = _linear_part(values[finite] - base, basin[finite])
    label = _axes.height(base)
    if minimum is None:
        label = "$f(x)$" if linear is None else "$f(x)$ above the best"
        base = 0.0 if linear is None else base

    axes = _axes.axes_for(ax)
    rank = np.arange(1, len(values) + 1)
    size = float(np.clip(8000 / len(values), 3, 30))
    ended = basin >= 0
    # In one call: where minima have the same value, none must hide the others.
    dots = {"c": _colors(basin[ended]), "linewidths": 0, "rasterized": True}
    axes.scatter(rank[ended], values[ended] - base, s=size, **dots)
    crosses = {"marker": "x", "color": _LOOKS[-1], "linewidths": 0.8, "rasterized": True}
    failed, lost = ~ended & finite, ~finite
    axes.scatter(rank[failed], values[failed] - base, s=2 * size, **crosses)
    edge = {"transform": axes.get_xaxis_transform(), "clip_on": False}
    axes.scatter(rank[lost], np.ones(lost.sum()), s=2 * size, **crosses, **edge)
    if linear is not None:
        axes.set_yscale("symlog", linthresh=linear)
    axes.set(xlabel="searches, best first", ylabel=label)
    axes.xaxis.set_major_locator(MaxNLocator(6, integer=True))
    axes.grid(alpha=0.3)
    mark = {"marker": "o", "linestyle": ""}
    _legend(axes, basin, basin, mark, mark | {"marker": "x"})
    return axes


def parallel(result: MultiStartResult, ax: Axes | None = None, *, k: int = 100) -> Axes:
    """Draw the points where the best searches ended, a line for each, in parallel coordinates.

    Each variable has a row, a complex one two; a point is a line through all rows, from the lower
    to the upper bound, or where there is none from the lowest to the highest of the points.

    Args:
      result: what many searches found.
      ax: axes to draw in; None for a new figure.
      k: how many of the best to draw, at least 1. Those without a finite value are left out.

    Returns:
      The axes.

    Raises:
      ValueError: if k is less than 1, no search has a finite value, or `ax` is three-dimensional.
      TypeError: if `result` is not one of `multistart`, or k is not an integer.

    Example:
      >>> import jax
      >>> from jamsgrad import amsgrad, multistart, plots
      >>> bounds = {"rate": 0.0, "shift": -1.0}, {"rate": 1.0, "shift": 1.0}
      >>> result = multistart(
      ...     lambda x: (x["rate"] - 0.3) ** 2 + x["shift"] ** 2, bounds, amsgrad(0.1),
      ...     key=jax.random.key(0), n_starts=10)
      >>> [text.get_text() for text in plots.parallel(result).get_yticklabels()]
      ['rate', 'shift']

    References:
      Inselberg, The plane with parallel coordinates, The Visual Computer 1, 1985.
    """
    found = _checked(result, MultiStartResult).rows
    best = result.order[: _check.integer("k", k, 1)]
    best = best[np.isfinite(found.fun[best])]
    if not best.size:
        raise ValueError("no search has a finite value: there is nothing to draw")
    points, basin, names = as_rows(found.x)[best], result.basin[best], _names(found.x)
    low, high = end_rows(result._setup.bounds, points.shape[1])
    closed = np.isfinite(high - low)
    low, high = np.where(closed, [low, high], [points.min(axis=0), points.max(axis=0)])
    points = (points - low) / np.where(high > low, high - low, 1)

    axes = _axes.axes_for(ax)
    rows = np.arange(len(names))
    lines = np.stack([points, np.broadcast_to(rows, points.shape)], axis=2)
    colors, failed = _colors(basin), basin < 0
    # From the worst to the best, which is then above all others.
    look = {"linestyles": np.where(failed, ":", "-")[::-1], "rasterized": True, "linewidths": 1}
    axes.add_collection(LineCollection(list(lines[::-1]), colors=colors[::-1], **look))
    axes.plot(*lines[0].T, color="black", linewidth=5)
    mark = {"marker": "o", "markersize": 8, "markeredgecolor": "black"}
    axes.plot(*lines[0].T, color=colors[0], linewidth=3, label="best", **mark)
    axes.set(xlim=(-0.03, 1.03), ylim=(len(names) - 0.5, -0.5))
    bound = "bound" if closed.all() else "bound, or end of the points"
    axes.set_xlabel(f"from lower to upper {bound}")
    some = slice(None, None, -(-len(names) // 25))  # more would overlap
    axes.set_yticks(rows[some], names[some])
    axes.grid(alpha=0.3)
    _legend(axes, basin, result.basin, {"linestyle": "-"}, {"linestyle": ":"})
    return axes


def basins(basin_map: BasinMap, ax: Axes | None = None, *, shade: float = 0.6) -> Axes:
    """Draw which start leads to which minimum; the darker, the more steps it takes.

    Args:
      basin_map: from `jamsgrad.basin_map`.
      ax: axes to draw in; None for a new figure.
      shade: how much darker the longest searches are than the shortest, from 0 (not at all) to 1.

    Returns:
      The axes. With more than six minima there is no legend, with more than twelve colours are used
      again, but not for neighbours.

    Raises:
      ValueError: if shade is out of its range, or `ax` is three-dimensional.
      TypeError: if `basin_map` is not a BasinMap, or shade is not a number.

    Example:
      >>> from jamsgrad import amsgrad, basin_map, plots, problems
      >>> problem = problems.himmelblau
      >>> found = basin_map(problem.fun, problem.bounds, amsgrad(0.3, b2=0.99), resolution=20)
      >>> plots.basins(found).get_images()[0].get_array().shape
      (20, 20, 3)
    """
    shade = _check.in_range("shade", shade, 0, 1)
    minima, basin = _checked(basin_map, BasinMap).minima, basin_map.basin
    nothing = to_rgb(_axes.NOTHING)
    image = np.array([*_map_colors(basin, len(minima)), nothing])[basin]  # -1 is the last
    ended = basin >= 0
    steps = basin_map.n_steps[ended]
    norm = Normalize(*np.quantile(steps, [0.02, 0.98])) if steps.size else Normalize(0, 1)
    image[ended] *= 1 - shade * norm(steps).clip(0, 1)[:, None]

    axes = _axes.axes_for(ax)
    (left, right), (bottom, top) = map(_edges, (basin_map.x0, basin_map.x1))
    where = {"extent": (left, right, bottom, top), "origin": "lower", "aspect": "auto"}
    axes.imshow(image, interpolation="nearest", **where)
    _axes.frame(axes, (left, bottom), (right, top), _names(basin_map.result.rows.x))
    few = len(minima) <= len(_MINIMA)
    stars = np.array([as_row(minimum.x) for minimum in minima]).reshape(-1, 2)
    _axes.mark(axes, stars, None, **_axes.STAR, markersize=19 if few else 9)
    if shade and steps.size:
        greys = LinearSegmentedColormap.from_list("steps", ["1", str(1 - shade)])
        bar = axes.inset_axes((1.04, 0, 0.05, 1))  # as high as the axes, whatever their aspect
        ticks = MaxNLocator(6, integer=True, steps=_axes.TICKS)
        drawn = ScalarMappable(norm, greys)
        axes.figure.colorbar(drawn, cax=bar, label="steps", ticks=ticks, extend="both")
    if few:
        square = {"marker": "s", "markersize": 9, "linestyle": ""}
        _legend(axes, basin, basin, square, square | {"color": _axes.NOTHING})
    return axes


def _colors(basin: np.ndarray) -> np.ndarray:
    """The colours of searches that ended in these minima, -1 for a failed one."""
    return to_rgba_array(_LOOKS)[_look(basin)]


def _look(basin: np.ndarray) -> np.ndarray:
    return np.where(basin < 0, len(_LOOKS) - 1, np.minimum(basin, len(_MINIMA)))


def _legend(axes: Axes, shown: np.ndarray, basin: np.ndarray, look: dict, failed: dict) -> None:
    """What is shown, and how many of all searches ended there."""
    names = [*(f"minimum {i}" for i in range(len(_MINIMA))), "other minima", "failed"]
    counts = np.bincount(_look(basin).ravel(), minlength=len(names))
    for i in np.unique(_look(shown)):
        given = {"color": _LOOKS[i], **(failed if names[i] == "failed" else look)}
        axes.plot([], [], label=f"{names[i]} ({100 * counts[i] / basin.size:.3g} %)", **given)
    figure: Any = axes.get_figure(root=True)
    inches = axes.get_window_extent().width / figure.dpi
    _axes.legend(axes, ncols=max(1, int(inches / 1.6)), columnspacing=1)


def _map_colors(basin: np.ndarray, n: int) -> np.ndarray:
    """Colours of n minima: the first six have their own, neighbours' differ where they can."""
    strong = np.array([to_rgb(color) for color in _MINIMA])
    palette = np.concatenate([strong, (1 + strong) / 2])
    beside = [basin[:, :-1], basin[:, 1:]], [basin[:-1], basin[1:]]
    pairs = np.concatenate([np.sort([a.ravel(), b.ravel()], axis=0) for a, b in beside], axis=1)
    better = [set() for _ in range(n)]
    for a, b in np.unique(pairs, axis=1).T.tolist():
        if 0 <= a < b:
            better[b].add(a)
    chosen = []
    for i in range(n):
        turn = [(i + j) % len(palette) for j in range(len(palette))]
        taken = {chosen[a] for a in better[i]}
        chosen.append(next((color for color in turn if color not in taken), turn[0]))
    return palette[chosen]


def _linear_part(heights: np.ndarray, basin: np.ndarray) -> float | None:
    """How far a logarithmic scale of the values is linear around 0; None if all of it should be.

    How values differ within a minimum tells of the tolerance. What counts are the steps from one
    minimum to another, and to what failed; only where there are none is it the tolerance.
    """
    inside = basin >= 0
    low, high = np.full((2, basin.max(initial=0) + 1), [[np.inf], [-np.inf]])
    np.minimum.at(low, basin[inside], heights[inside])
    np.maximum.at(high, basin[inside], heights[inside])
    spread = (high - low).max()
    step = heights > 2 * max(spread, 0)
    if step.any():
        ends = _axes.log_range(heights[step | (heights < 0)], decades=3)
    else:
        ends = _axes.log_range(heights, decades=2, lowest=0.01)
    return None if ends is None else 10.0 ** np.floor(np.log10(ends[0]))


def _edges(middles: np.ndarray) -> tuple[float, float]:
    """Where the pixels with these middles begin and end."""
    half = (middles[-1] - middles[0]) / (len(middles) - 1) / 2
    return middles[0] - half, middles[-1] + half


def _names(x: Any) -> list[str]:
    """The names of the columns of `as_rows(x)`: what leads to them in the tree."""
    names = []
    for path, leaf in jax.tree_util.tree_leaves_with_path(x):
        name = jax.tree_util.keystr(path, simple=True, separator=".")
        parts = ("Re ", "Im ") if np.iscomplexobj(leaf) else ("",)
        for index in np.ndindex(leaf.shape[1:]):
            number = ", ".join(map(str, index))
            full = f"{name}[{number}]" if name and number else name or f"$x_{{{number}}}$"
            names += [part + full for part in parts]
    return names


def _checked(given: Any, kind: type) -> Any:
    if not isinstance(given, kind):
        raise TypeError(f"expected a {kind.__name__}, got a {type(given).__name__}")
    return given
