"""How the lowest value rises as one parameter is held elsewhere."""

from typing import NamedTuple

import numpy as np

from jamsgrad._tree import Tree


class Profile(NamedTuple):
    """The lowest value for each value of one parameter, all others being searched.

    Attributes:
      name: what the parameter is called, "rate" or "x[0]".
      at: its values, ascending, shape (k,).
      fun: the lowest value found with the parameter held there, shape (k,).
      x: where, a tree like x whose leaves have these k points as first axis.
      lowest: the value at the minimum.
      rise: how far above it the interval reaches.
      interval: (low, high), where the value has risen by `rise` on either side of the minimum; the
        end of the box, which may be infinite, where it does not rise so far.

    Example:
      >>> import jax
      >>> import jamsgrad
      >>> bowl, optimizer = jamsgrad.problems.bowl, jamsgrad.amsgrad(0.1)
      >>> found = jamsgrad.multistart(
      ...     bowl.fun, bowl.bounds, optimizer, key=jax.random.key(0), n_starts=16)
      >>> seen = jamsgrad.profile(
      ...     bowl.fun, found.minima[0], "x[0]", bowl.bounds, optimizer, key=jax.random.key(0),
      ...     rise=0.25)
      >>> print("{} from {:.3f} to {:.3f}".format(seen.name, *seen.interval))
      x[0] from -0.500 to 0.500
    """

    name: str
    at: np.ndarray
    fun: np.ndarray
    x: Tree
    lowest: float
    rise: float
    interval: tuple[float, float]


class Curve:
    """The points of a profile, rows of a value and x, in the order of the parameter."""

    def __init__(self, column: int, best: np.ndarray, rise: float) -> None:
        self.rows, self._column = best[None], column
        self._lowest, self._top, self._middle = best[0], best[0] + rise, best[column]

    def add(self, rows: np.ndarray) -> None:
        """Take in more points; of those with the same parameter the lower value counts."""
        rows = np.concatenate([self.rows, rows[np.isfinite(rows[:, 0])]])
        rows = rows[np.lexsort((rows[:, 0], rows[:, self._column]))]
        self.rows = rows[np.append(True, np.diff(rows[:, self._column]) > 0)]

    def is_known(self, side: int, end: float) -> bool:
        """Whether the value has risen enough on this side, or there is nothing beyond."""
        fun, at = self._around(side)
        return fun[1] > self._top or at[1] == end

    def gap(self, side: int) -> np.ndarray:
        """Between which values of the parameter fun has risen enough; twice the last if nowhere."""
        fun, at = self._around(side)
        return at if fun[1] > self._top else at[[1, 1]]

    def crossing(self, side: int, end: float) -> float:
        """Where the value has risen enough, or the end of the box.

        The root of the rise is nearly a line, as the value is nearly a parabola.
        """
        fun, at = self._around(side)
        if fun[1] <= self._top:
            return float(end)
        top, *roots = np.sqrt(np.maximum(np.append(self._top, fun) - self._lowest, 0))
        return float(np.interp(top, roots, at))

    def _around(self, side: int) -> tuple[np.ndarray, np.ndarray]:
        """The last point before the value has risen enough and the first one after, or the last."""
        out = side * (self.rows[:, self._column] - self._middle)
        rows = self.rows[out >= 0][np.argsort(out[out >= 0])]
        risen = np.flatnonzero(rows[:, 0] > self._top)
        last = risen[0] if risen.size else len(rows) - 1
        two = rows[[max(last - 1, 0), last]]
        return two[:, 0], two[:, self._column]
