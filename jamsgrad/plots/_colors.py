"""Which colour a minimum has: the same in all pictures of the same searches."""

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb, to_rgba_array

from jamsgrad.plots import _axes

OF_MINIMA = tuple(_axes.COLORS[i] for i in (6, 0, 5, 3, 1, 2))  # no black: it cannot be darker
FAILED = "black"
_ALL = (*OF_MINIMA, "0.6", FAILED)  # grey is for the other minima


def of_searches(basin: np.ndarray) -> np.ndarray:
    """The colours of searches that ended in the minima of these numbers, -1 for a failed one."""
    return to_rgba_array(_ALL)[_kind(basin)]


def of_regions(basin: np.ndarray, n: int) -> np.ndarray:
    """The colours of n minima on a map: the first six have their own, neighbours' differ.

    A minimum takes the next colour that no lower neighbour has. If these have all twelve colours,
    it takes the one that is its turn.
    """
    strong = np.array([to_rgb(color) for color in OF_MINIMA])
    palette = np.concatenate([strong, (1 + strong) / 2])
    beside = [basin[:, :-1], basin[:, 1:]], [basin[:-1], basin[1:]]
    pairs = np.concatenate([np.sort([a.ravel(), b.ravel()], axis=0) for a, b in beside], axis=1)
    lower: list[set[int]] = [set() for _ in range(n)]
    for a, b in np.unique(pairs, axis=1).T.tolist():
        if 0 <= a < b:
            lower[b].add(a)
    chosen: list[int] = []
    for i in range(n):
        turn = [(i + j) % len(palette) for j in range(len(palette))]
        taken = {chosen[a] for a in lower[i]}
        chosen.append(next((color for color in turn if color not in taken), turn[0]))
    return palette[chosen]


def legend(
    axes: Axes, shown: np.ndarray, basin: np.ndarray, style: dict[str, Any], failed: dict[str, Any]
) -> None:
    """A legend of the minima `shown`, with the share of all searches that ended in each."""
    names = [*(f"minimum {i}" for i in range(len(OF_MINIMA))), "other minima", "failed"]
    counts = np.bincount(_kind(basin).ravel(), minlength=len(names))
    for i in np.unique(_kind(shown)):
        given = {"color": _ALL[i], **(failed if names[i] == "failed" else style)}
        axes.plot([], [], label=f"{names[i]} ({100 * counts[i] / basin.size:.3g} %)", **given)
    inches = axes.get_window_extent().width / axes.figure.dpi
    _axes.legend(axes, ncols=max(1, int(inches / 1.6)), columnspacing=1)


def _kind(basin: np.ndarray) -> np.ndarray:
    """Where in `_ALL` a minimum stands, by its number; -1 is a failed search."""
    return np.where(basin < 0, len(_ALL) - 1, np.minimum(basin, len(OF_MINIMA)))
