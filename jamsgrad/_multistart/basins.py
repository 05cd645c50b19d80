"""A map of basins: which minimum the searches from a grid of starts end in."""

from dataclasses import dataclass

import numpy as np

from jamsgrad._minima.minimum import Minimum
from jamsgrad._multistart.result import MultiStartResult
from jamsgrad._search.step import HasRecord, Record


@dataclass(frozen=True, repr=False, eq=False)
class BasinMap(HasRecord[np.ndarray]):
    """Where the searches from a grid of starts ended; [i, j] belongs to the start (x0[j], x1[i]).

    So rows are the second variable, as `imshow(..., origin="lower")` and `contour` want it. The
    starts are the middles of pixels that tile the box: the share of a basin among them is its
    share of the box.

    Attributes:
      x0: the first variable of the starts, ascending, shape (resolution,).
      x1: the second one, likewise.
      basin: the number in `minima` of the minimum that each search ended in, -1 without success;
        shape (resolution, resolution).
      x: where it ended, each leaf with these two axes first.
      fun: the value there, likewise; NaN where nothing was evaluated.
      grad_norm: the largest component of the (projected) gradient there.
      n_steps: steps taken.
      n_finish: how many of them finished the search: none, as a map is of the optimizer.
      status: why it stopped, a `Status`.
      result: the searches themselves; that of [i, j] has the number i * resolution + j.

    Example:
      >>> import jamsgrad
      >>> bowl = jamsgrad.problems.bowl
      >>> found = jamsgrad.basin_map(bowl.fun, bowl.bounds, jamsgrad.amsgrad(0.1), resolution=4)
      >>> found.x0.tolist(), found.basin.tolist()[0]
      ([-0.75, -0.25, 0.25, 0.75], [0, 0, 0, 0])
    """

    x0: np.ndarray
    x1: np.ndarray
    basin: np.ndarray
    record: Record[np.ndarray]
    result: MultiStartResult

    @property
    def minima(self) -> tuple[Minimum, ...]:
        """The distinct minima, the lowest first."""
        return self.result.minima

    def __repr__(self) -> str:
        """The size of the map, and the summary of its searches."""
        return f"{self._size}: {self.result.summary()}"

    def _repr_html_(self) -> str:
        """The same in a notebook."""
        return f"<p>{self._size}:</p>{self.result._repr_html_()}"

    @property
    def _size(self) -> str:
        return f"{self.x1.size} x {self.x0.size} starts"
