"""What many searches say about the minima of a function."""

from dataclasses import dataclass
from functools import cached_property

import jax
import numpy as np

from jamsgrad._check import nan_is_data
from jamsgrad._jit import as_searched
from jamsgrad._minima.minima import distinct_minima
from jamsgrad._minima.minimum import Minimum
from jamsgrad._minima.statistics import Chance, chance_of_new
from jamsgrad._multistart.columns import columns
from jamsgrad._multistart.plan import Plan
from jamsgrad._multistart.summary import Report, best_point, statuses, table
from jamsgrad._search.step import HasRecord, Record
from jamsgrad._tree import Tree

Found = tuple[tuple[Minimum, ...], np.ndarray]


@dataclass(frozen=True, repr=False, eq=False)
class Evidence(HasRecord[np.ndarray]):
    """The parts of a `MultiStartResult` that say what was found."""

    starts: Tree
    record: Record[np.ndarray]
    lane_efficiency: float
    seconds: float
    compile_seconds: float
    _plan: Plan
    _known: Found | None = None

    @cached_property
    def order(self) -> np.ndarray:
        """The numbers of the starts, from the lowest value to the highest and then NaN."""
        return np.argsort(np.where(np.isfinite(self.fun), self.fun, np.inf), kind="stable")

    @property
    def minima(self) -> tuple[Minimum, ...]:
        """The distinct minima that the successful searches ended in, the lowest first.

        Those of equal value are ordered by their x. The objective is evaluated between the ends of
        the searches to tell minima apart, when they are first asked for, and at no more points at
        once than the `lanes` asked for.
        """
        return self._found[0]

    @property
    def basin(self) -> np.ndarray:
        """In which of the `minima` each search ended, shape (n_starts,); -1 without success."""
        return self._found[1]

    @property
    def chance_of_new(self) -> Chance:
        """The chance that the next successful search ends in a minimum that is not among `minima`.

        A pair of floats, `estimate` (of Good and Turing) and `limit`, the upper end of its 95 %
        interval (of Esty). Searches that are "unconverged" are no evidence, and do not count; NaN
        if there is no other one. Starts must be independent, as `starts="uniform"` are.
        """
        return chance_of_new([m.count for m in self.minima if m.kind != "unconverged"])

    def columns(self) -> dict[str, np.ndarray]:
        """The searches as a table, for `pandas.DataFrame` or `polars.DataFrame`.

        Row i is search i. To find the `basin`, it looks for the `minima`.

        Returns:
          A dict of NumPy arrays of shape (n_starts,): for each number of x, by its name in the
          tree, "start.rate" and "x.rate", or "start[0]" and "x[0]" (float64; of complex numbers
          ".real" and ".imag"); "fun" and "grad_norm"; "n_steps"; "status", the name of a `Status`
          as a string; and "basin", the number of the minimum, -1 without success.

        Example:
          >>> import jax
          >>> from jamsgrad import amsgrad, multistart, problems
          >>> bowl = problems.bowl
          >>> found = multistart(
          ...     bowl.fun, bowl.bounds, amsgrad(0.1), key=jax.random.key(0), n_starts=16)
          >>> columns = found.columns()
          >>> print(", ".join(columns))
          start[0], start[1], x[0], x[1], fun, grad_norm, n_steps, status, basin
          >>> print(columns["status"][:2])
          ['GTOL' 'GTOL']
        """
        return columns(self.starts, self.record, self.basin)

    @cached_property
    @nan_is_data()
    def _found(self) -> Found:
        task = self._plan.task
        with as_searched(task.fun):
            return self._known or distinct_minima(
                task.fun,
                self.x,
                np.where(self.status > 0, self.fun, np.nan),
                self.grad_norm,
                task.bounds,
                args=task.args,
                n_searches=self.fun.size,
                lanes=self._plan.lanes,
            )

    def summary(self) -> str:
        """What was found and how reliable it is, as text that a person reads.

        Returns:
          The number of searches, their time, how busy the lanes were; for each reason why searches
          stopped how many, and what it means; the best point of all, whatever stopped it; and a row
          for each of the ten best `minima`, with the chance that others are missing. That chance is
          of searches that ended: "unconverged" rows are no evidence, and do not count.

        Example:
          >>> import jax
          >>> from jamsgrad import amsgrad, multistart, problems
          >>> bowl = problems.bowl
          >>> found = multistart(
          ...     bowl.fun, bowl.bounds, amsgrad(0.1), key=jax.random.key(0), n_starts=16)
          >>> print(found.summary())  # doctest: +ELLIPSIS
          16 searches in ... s (and ... s to compile and set up), lanes ...% busy: 16 GTOL
          16 GTOL. Converged: no component of the gradient is larger than gtol.
          Best value ..., largest component of the gradient ..., x[0] = ..., x[1] = ...
          ...
        """
        return self._report().text()

    def __repr__(self) -> str:
        """The summary."""
        return self.summary()

    def _repr_html_(self) -> str:
        """The summary in a notebook."""
        return self._report().html()

    def _report(self) -> Report:
        (names, reasons), best = statuses(self.status), self.order[0]
        x = jax.tree.map(lambda leaf: leaf[best], self.x)
        first = (
            f"{self.fun.size:,} searches in {self.seconds:.2f} s (and {self.compile_seconds:.2f} s "
            f"to compile and set up), lanes {self.lane_efficiency:.0%} busy: {names}"
        )
        point = best_point(float(self.fun[best]), float(self.grad_norm[best]), x)
        if self._plan.screen.screens:
            k, n_steps = self._plan.screen
            first += f"; each start is the best of {k} candidates after {n_steps} steps"
        found = table(self.minima, self.chance_of_new)
        return found._replace(sentences=[first, *reasons, point])
