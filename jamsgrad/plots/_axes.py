"""What the pictures share: axes, scales, colours, marks and legends."""

import math
from collections.abc import Sequence
from typing import Any, Literal, TypeAlias, TypeVar

import jax
import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb, to_rgba_array
from matplotlib.lines import Line2D
from matplotlib.ticker import StrMethodFormatter

from jamsgrad._tree import Tree

# The palette of Okabe and Ito, Color universal design, 2008; its yellow is for the minima.
COLORS = ("#E69F00", "#56B4E9", "#D55E00", "#CC79A7", "#000000", "#009E73", "#0072B2")
STAR: dict[str, Any] = {"marker": "*", "color": "#F0E442"}
MINIMA = tuple(COLORS[i] for i in (6, 0, 5, 3, 1, 2))  # no black: it cannot be darker
FAILED = "black"
_ENDS = (*MINIMA, "0.6", FAILED)  # grey is for the other minima
GREY = "0.85"  # where the function is not finite, or the search from there failed
TICK_STEPS = (1, 2, 2.5, 5, 10)  # distances of ticks, times a power of ten
COLOR_BAR = (1.04, 0, 0.05, 1)  # inset axes as high as their parent, whatever its aspect

GRID: dict[str, Any] = {"alpha": 0.3}  # of every picture with a scale that is not a map
THOUSANDS = StrMethodFormatter("{x:,.0f}")  # of axes that count

Interval: TypeAlias = tuple[float, float]
Kind = TypeVar("Kind")


def checked(given: object, kind: type[Kind]) -> Kind:
    """The value given, or an error if it is of another type."""
    if not isinstance(given, kind):
        raise TypeError(f"expected a {kind.__name__}, got a {type(given).__name__}")
    return given


def axes_for(ax: Axes | None, projection: Literal["3d"] | None = None) -> Axes:
    """The given axes, or those of a new figure of pyplot, which `plt.show` shows."""
    if ax is None:
        import matplotlib.pyplot as plt  # noqa: PLC0415  it chooses a backend for the process

        return plt.subplots(layout="constrained", subplot_kw={"projection": projection})[1]
    if (ax.name == "3d") != (projection == "3d"):
        raise ValueError(f"ax must be {projection or 'two-dimensional'} axes, got {ax!r}")
    return ax


def frame(ax: Axes, x: Interval, y: Interval, names: Sequence[str] = ("$x_0$", "$x_1$")) -> None:
    """Set limits, names and aspect: an equal one where the sides of the box are of similar size."""
    ax.set(xlim=x, ylim=y, xlabel=names[0], ylabel=names[1])
    ax.locator_params(nbins=5)
    if ax.name != "3d" and 0.5 <= (x[1] - x[0]) / (y[1] - y[0]) <= 2:
        ax.set_aspect("equal")


def variable_names(x: Tree) -> list[str]:
    """The names of the columns of `as_rows(x)`, by where they are in the tree."""
    names: list[str] = []
    for path, leaf in jax.tree_util.tree_leaves_with_path(x):
        name = jax.tree_util.keystr(path, simple=True, separator=".")
        parts = ("Re ", "Im ") if np.iscomplexobj(leaf) else ("",)
        for index in np.ndindex(leaf.shape[1:]):
            number = ", ".join(map(str, index))
            full = f"{name}[{number}]" if name and number else name or f"$x_{{{number}}}$"
            names += [part + full for part in parts]
    return names


def inside(points: np.ndarray, lower: np.ndarray, upper: np.ndarray) -> np.ndarray:
    """The points that are in the box."""
    return points[((points >= lower) & (points <= upper)).all(axis=1)]


def mark(ax: Axes, points: np.ndarray, label: str | None, **look: Any) -> Line2D:
    """Mark points of the box. A mark on the edge of the axes is drawn whole."""
    round_dot = {"marker": "o", "markersize": 6.5, "markeredgecolor": "black"}
    look = {**round_dot, "linestyle": "", "zorder": 4, **look}
    return ax.plot(*points.T, label=label, clip_on=False, **look)[0]


def legend(ax: Axes, ncols: int = 4, **look: Any) -> None:
    """Put a legend below the axes, where it covers nothing."""
    if ax.get_legend_handles_labels()[0]:
        below = {"loc": "upper center", "bbox_to_anchor": (0.5, 0), "borderaxespad": 4}
        ax.legend(ncols=ncols, frameon=False, **below, **look)


def colors_of_searches(basin: np.ndarray) -> np.ndarray:
    """The colours of searches that ended in the minima of these numbers, -1 for a failed one."""
    return to_rgba_array(_ENDS)[_end(basin)]


def colors_of_regions(basin: np.ndarray, n: int) -> np.ndarray:
    """The colours of n minima on a map: the first six have their own, neighbours' differ.

    A minimum takes the next colour that no lower neighbour has. If these have all twelve colours,
    it takes the one that is its turn.
    """
    strong = np.array([to_rgb(color) for color in MINIMA])
    palette = np.concatenate([strong, (1 + strong) / 2])
    beside = [basin[:, :-1], basin[:, 1:]], [basin[:-1], basin[1:]]
    pairs = np.concatenate([np.sort([a.ravel(), b.ravel()], axis=0) for a, b in beside], axis=1)
    lower, higher = np.unique(pairs, axis=1)
    chosen: list[int] = []
    for i in range(n):
        turn = [(i + j) % len(palette) for j in range(len(palette))]
        taken = {chosen[a] for a in lower[higher == i] if 0 <= a < i}
        chosen.append(next((color for color in turn if color not in taken), turn[0]))
    return palette[chosen]


def minima_legend(ax: Axes, shown: np.ndarray, basin: np.ndarray, look: dict, failed: dict) -> None:
    """A legend of the minima `shown`, with the share of all searches that ended in each."""
    names = [*(f"minimum {i}" for i in range(len(MINIMA))), "other minima", "failed"]
    counts = np.bincount(_end(basin).ravel(), minlength=len(names))
    for i in np.unique(_end(shown)):
        given = {"color": _ENDS[i], **look, **(failed if names[i] == "failed" else {})}
        ax.plot([], [], label=f"{names[i]} ({100 * counts[i] / basin.size:.3g} %)", **given)
    inches = ax.get_window_extent().width / ax.figure.dpi
    legend(ax, ncols=max(1, int(inches / 1.6)), columnspacing=1)


def log_range(values: np.ndarray, decades: float, lowest: float = 0) -> Interval | None:
    """The ends of a log scale: the quantile `lowest` of the positive values, and their maximum.

    None where these span no more than `decades`, or other values are negative beyond rounding.
    """
    positive = values[values > 0]
    if not positive.size or values.min() < -1e-6 * positive.max():
        return None
    low, high = map(float, np.quantile(positive, [lowest, 1]))
    return (low, high) if math.log10(high) - math.log10(low) > decades else None


def value_label(minimum: float) -> str:
    """The label of an axis of values from which `minimum` was subtracted."""
    return r"$f(x) - \min\,f$" if minimum else "$f(x)$"


def _end(basin: np.ndarray) -> np.ndarray:
    """Where in `_ENDS` a minimum stands, by its number; -1 is a failed search."""
    return np.where(basin < 0, len(_ENDS) - 1, np.minimum(basin, len(MINIMA)))
