"""What many searches found: their values, the best points, and which start led where."""

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.collections import LineCollection
from matplotlib.colors import LinearSegmentedColormap, Normalize, to_rgb
from matplotlib.patheffects import withStroke
from matplotlib.ticker import MaxNLocator

from jamsgrad import _check
from jamsgrad._multistart.basins import BasinMap
from jamsgrad._multistart.result import MultiStartResult
from jamsgrad._search.bounds import end_rows
from jamsgrad._tree import as_row, as_rows, ceil_div
from jamsgrad.plots import _axes

_ABOVE: dict[str, Any] = {
    "xycoords": "data",
    "textcoords": "offset points",
    "va": "bottom",
    "fontsize": "small",
    "color": "0.3",
}


def waterfall(
    result: MultiStartResult, ax: Axes | None = None, *, minimum: float | None = None
) -> Axes:
    """Draw the values where searches ended, the best first: plateaus are minima found often.

    Minima whose values agree are drawn one after the other. Crosses are searches without success;
    those at the upper edge have no value. The scale is logarithmic, with a linear part around zero,
    where the gaps from the best minimum to the others span three decades. Without such gaps it is
    logarithmic where the values span two, and linear where the values of several minima agree.

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
      >>> plots.waterfall(result).get_xlabel()
      'searches, best first'

    References:
      Raue et al., Lessons learned from quantitative dynamical modeling in systems biology, PLoS ONE
      8, 2013.
    """
    order, level = _by_minimum(_axes.checked(result, MultiStartResult))
    values, basin = result.fun[order].astype(float), result.basin[order]
    finite = np.isfinite(values)
    base = minimum if minimum is not None else values[finite].min() if finite.any() else 0.0
    threshold = _linear_threshold(values[finite] - base, basin[finite])
    ended = basin >= 0
    one_level = basin.max() > 0 and not level[finite].any()
    if one_level := one_level and values[finite].max() == values[ended].max():
        threshold = None
    label = _axes.value_label(base)
    if minimum is None:
        label = "$f(x)$" if threshold is None else "$f(x)$ above the best"
        base = 0.0 if threshold is None else base

    axes = _axes.axes_for(ax)
    rank = np.arange(1, len(values) + 1)
    size = float(np.clip(8000 / len(values), 3, 30))
    # In one call: where minima have the same value, none must hide the others.
    colors = _axes.colors_of_searches(basin[ended])
    axes.scatter(rank[ended], values[ended] - base, size, colors, linewidths=0, rasterized=True)
    crosses = {"marker": "x", "color": _axes.FAILED, "linewidths": 0.8, "rasterized": True}
    failed, lost = ~ended & finite, ~finite
    axes.scatter(rank[failed], values[failed] - base, s=2 * size, **crosses)
    edge = {"transform": axes.get_xaxis_transform(), "clip_on": False}
    axes.scatter(rank[lost], np.ones(lost.sum()), s=2 * size, **crosses, **edge)
    axes.update_datalim(np.stack([rank, rank], axis=1), updatey=False)  # the edge's are not in it
    axes.autoscale_view(scaley=False)
    if one_level:  # in which differences are rounding, or what the tolerance left
        axes.margins(y=10)
    if threshold is not None:
        axes.set_yscale("symlog", linthresh=threshold)
    axes.set(xlabel="searches, best first", ylabel=label)
    axes.xaxis.set_major_locator(MaxNLocator(6, integer=True))
    axes.xaxis.set_major_formatter(_axes.THOUSANDS)
    axes.grid(**_axes.GRID)
    _axes.minima_legend(axes, basin, basin, {"linestyle": "", "marker": "o"}, {"marker": "x"})
    return axes


def parallel(result: MultiStartResult, ax: Axes | None = None, *, k: int = 100) -> Axes:
    """Draw the points where the best searches ended, a line for each, in parallel coordinates.

    Each variable has a row, a complex variable two; a point is a line through all rows. A row
    reaches from the lower to the upper bound, or without bounds from the lowest to the highest of
    the points; the values are written at its ends.

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
    found = _axes.checked(result, MultiStartResult)
    best = result.order[: _check.integer("k", k, 1)]
    best = best[np.isfinite(found.fun[best])]
    if not best.size:
        raise ValueError("no search has a finite value: there is nothing to draw")
    points, basin = as_rows(found.x)[best], result.basin[best]
    names = _axes.variable_names(found.x)
    low, high = end_rows(result._plan.task.bounds, points.shape[1])
    closed = np.isfinite(high - low)
    low, high = np.where(closed, [low, high], [points.min(axis=0), points.max(axis=0)])
    ends = np.stack([low, high], axis=1)
    points = (points - low) / np.where(high > low, high - low, 1)

    axes = _axes.axes_for(ax)
    rows = np.arange(len(names))
    lines = np.stack([points, np.broadcast_to(rows, points.shape)], axis=2)
    colors, dashes = _axes.colors_of_searches(basin), np.where(basin < 0, ":", "-")
    # From the worst to the best, which is then above all others.
    look = {"colors": colors[::-1], "linestyles": dashes[::-1], "linewidths": 1}
    axes.add_collection(LineCollection(list(lines[::-1]), rasterized=True, **look))
    axes.plot(*lines[0].T, color="black", linewidth=5)
    mark = {"marker": "o", "markersize": 8, "markeredgecolor": "black"}
    axes.plot(*lines[0].T, color=colors[0], linewidth=3, label="best", **mark)
    bound = "bound" if closed.all() else "bound, or end of the points"
    axes.set(xlim=(-0.03, 1.03), ylim=(rows[-1] + 0.5, -0.5), xlabel=f"from lower to upper {bound}")
    some = slice(None, None, ceil_div(len(names), 25))  # more would overlap
    axes.set_yticks(rows[some], names[some])
    for row in rows[some]:
        for x, side in enumerate(("left", "right")):
            end = axes.annotate(f"{ends[row, x]:.4g}", (x, row), (0, 3), **_ABOVE, ha=side)
            end.set_path_effects([withStroke(linewidth=2, foreground="white")])
    axes.grid(**_axes.GRID)
    _axes.minima_legend(axes, basin, result.basin, {"linestyle": "-"}, {"linestyle": ":"})
    return axes


def basins(basin_map: BasinMap, ax: Axes | None = None, *, shade: float = 0.6) -> Axes:
    """Draw which start leads to which minimum; the darker, the more steps it takes.

    Args:
      basin_map: from `jamsgrad.basin_map`.
      ax: axes to draw in; None for a new figure.
      shade: how much darker the longest searches are than the shortest, from 0 (not at all) to 1.

    Returns:
      The axes. With more than six minima there is no legend. With more than twelve, colours are
      used again, but not for neighbours.

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
    minima, basin = _axes.checked(basin_map, BasinMap).minima, basin_map.basin
    colors = [*_axes.colors_of_regions(basin, len(minima)), to_rgb(_axes.GREY)]
    image = np.array(colors)[basin]  # -1 is the last
    ended = basin >= 0
    steps = basin_map.n_steps[ended]
    norm = Normalize(*np.quantile(steps, [0.02, 0.98])) if steps.size else Normalize(0, 1)
    image[ended] *= 1 - shade * norm(steps).clip(0, 1)[:, None]

    axes = _axes.axes_for(ax)
    x, y = _edges(basin_map.x0), _edges(basin_map.x1)
    axes.imshow(image, interpolation="nearest", extent=x + y, origin="lower", aspect="auto")
    _axes.frame(axes, x, y, _axes.variable_names(basin_map.result.x))
    few = len(minima) <= len(_axes.MINIMA)
    stars = np.array([as_row(minimum.x) for minimum in minima]).reshape(-1, 2)
    _axes.mark(axes, stars, None, **_axes.STAR, markersize=19 if few else 9)
    if shade and steps.size:
        greys = LinearSegmentedColormap.from_list("steps", ["1", str(1 - shade)])
        ticks = MaxNLocator(6, integer=True, steps=_axes.TICK_STEPS)
        look = {"cax": axes.inset_axes(_axes.COLOR_BAR), "ticks": ticks, "extend": "both"}
        axes.figure.colorbar(ScalarMappable(norm, greys), label="steps", **look)
    if few:
        square = {"marker": "s", "markersize": 9, "linestyle": ""}
        _axes.minima_legend(axes, basin, basin, square, {"color": _axes.GREY})
    return axes


def _by_minimum(result: MultiStartResult) -> tuple[np.ndarray, np.ndarray]:
    """An order of the searches, the best first, and the level of each one in it, from 0.

    A minimum is on the level of the one before it if its best value, or that of one after it, is no
    higher than the median there, up to rounding. Where several are on one level, the order is by
    minimum; what failed there comes last.
    """
    order = result.order
    values, basin = result.fun[order].astype(float), result.basin[order]
    found = [values[basin == i] for i in range(basin.max(initial=-1) + 1)]
    best = np.minimum.accumulate([own.min() for own in found][::-1])[::-1]
    middle = np.maximum.accumulate([np.median(own) for own in found])
    levels = [0, *np.cumsum(best[1:] > middle[:-1] + _rounding(result))]
    level = np.maximum.accumulate(np.array([*levels, 0])[basin])  # -1 is the last
    shared = np.bincount([*levels, 0])[level] > 1 + (level == 0)
    number = np.where(shared, np.where(basin < 0, len(levels), basin), 0)
    again = np.lexsort((number, level))
    return order[again], level[again]


def _rounding(result: MultiStartResult) -> float:
    """How far values of minima may differ by rounding alone, as a bowl rises across the box."""
    low, high = end_rows(result._plan.task.bounds, as_rows(result.x).shape[1])
    width = np.where(np.isfinite(high - low), high - low, 0)
    hessians = [m.hessian for m in result.minima if m.hessian is not None]
    rises = [float(np.abs(np.diag(hessian)) @ width**2) for hessian in hessians]
    return float(8 * np.finfo(result.fun.dtype).eps * max(rises, default=0))


def _linear_threshold(heights: np.ndarray, basin: np.ndarray) -> float | None:
    """Below which height a logarithmic scale is linear; None if the whole scale should be.

    Differences within one minimum only reflect the stopping tolerance. So the scale is chosen from
    the gaps between minima, and to failed searches. Where there are no gaps all values are used.
    """
    inside = basin >= 0
    low, high = np.full((2, basin.max(initial=0) + 1), [[np.inf], [-np.inf]])
    np.minimum.at(low, basin[inside], heights[inside])
    np.maximum.at(high, basin[inside], heights[inside])
    spread = max((high - low).max(), 0)
    gap = heights > 2 * spread
    if gap.any():
        ends = _axes.log_range(heights[gap | (heights < 0)], decades=3)
    else:
        ends = _axes.log_range(heights, decades=2, lowest=0.01)
    return None if ends is None else 10.0 ** np.floor(np.log10(ends[0]))


def _edges(middles: np.ndarray) -> tuple[float, float]:
    """Where the pixels with these middles begin and end."""
    half = (middles[-1] - middles[0]) / (len(middles) - 1) / 2
    return middles[0] - half, middles[-1] + half
