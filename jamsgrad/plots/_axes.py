"""What the pictures share: axes, colours, scales, marks and the legend."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.lines import Line2D

# The palette of Okabe and Ito, Color universal design, 2008; its yellow is for the minima.
COLORS = ("#E69F00", "#56B4E9", "#D55E00", "#CC79A7", "#000000", "#009E73", "#0072B2")
STAR = {"marker": "*", "color": "#F0E442"}
NOTHING = "0.85"  # the colour of what is not finite, or led nowhere
TICKS = (1, 2, 2.5, 5, 10)  # their distances, times a power of ten


def axes_for(ax: Any, projection: str | None = None) -> Any:
    """The axes given, or those of a new figure of pyplot's, which can show it."""
    if ax is None:
        import matplotlib.pyplot as plt  # noqa: PLC0415  it chooses a backend for the process

        _, ax = plt.subplots(layout="constrained", subplot_kw={"projection": projection})
    elif (ax.name == "3d") != (projection == "3d"):
        raise ValueError(f"ax must be {projection or 'two-dimensional'} axes, got {ax!r}")
    return ax


def frame(ax: Any, lower: Any, upper: Any, names: Sequence[str] = ("$x_0$", "$x_1$")) -> None:
    """Limits, names and aspect: equal where the sides of the box are of similar size."""
    (left, bottom), (right, top) = lower, upper
    ax.set(xlim=(left, right), ylim=(bottom, top), xlabel=names[0], ylabel=names[1])
    ax.locator_params(nbins=5)
    if ax.name != "3d" and 0.5 <= (right - left) / (top - bottom) <= 2:
        ax.set_aspect("equal")


def inside(points: np.ndarray, lower: Any, upper: Any) -> np.ndarray:
    """Those of the points that are in the box."""
    return points[((points >= lower) & (points <= upper)).all(axis=1)]


def mark(ax: Axes, points: np.ndarray, label: str | None, **look: Any) -> Line2D:
    """Mark points of the box, whole even on its edge."""
    look = {"marker": "o", "markersize": 6.5, "linestyle": "", "zorder": 4, **look}
    return ax.plot(*points.T, label=label, markeredgecolor="black", clip_on=False, **look)[0]


def legend(ax: Axes, ncols: int = 4, **look: Any) -> None:
    """A legend below the axes, where it covers nothing."""
    if ax.get_legend_handles_labels()[0]:
        below = {"loc": "upper center", "bbox_to_anchor": (0.5, 0), "borderaxespad": 4}
        ax.legend(ncols=ncols, frameon=False, **below, **look)


def log_range(values: np.ndarray, decades: float, lowest: float = 0) -> tuple[float, float] | None:
    """A log scale from the `lowest` quantile to the top of the positive values.

    None where they span no more than so many decades, or others are negative beyond rounding.
    """
    positive = values[values > 0]
    if not positive.size or values.min() < -1e-6 * positive.max():
        return None
    low, high = map(float, np.quantile(positive, [lowest, 1]))
    return (low, high) if math.log10(high) - math.log10(low) > decades else None


def height(minimum: float) -> str:
    """What the values above the minimum are called."""
    return r"$f(x) - \min\,f$" if minimum else "$f(x)$"
