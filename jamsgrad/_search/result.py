"""What one search found: the result of `minimize`."""

import html
from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer

from jamsgrad._search.step import HasRecord, Record
from jamsgrad._search.stopping import NO_SLOPE, Status
from jamsgrad._search.trajectory import Trajectory
from jamsgrad._tree import Tree, as_row, html_table, names


@jax.tree_util.register_dataclass
@dataclass(frozen=True, repr=False, eq=False)
class Result(HasRecord[jax.Array]):
    """What a search found. `fun` is always the objective at exactly this `x`.

    Attributes:
      x: the point with the lowest value seen, or the point at which gtol stopped the search.
      fun: its value.
      grad_norm: the largest component of its gradient, of the projected one with bounds.
      n_steps: steps taken, those of the finish included.
      n_finish: how many of them were of the finish.
      status: why the search stopped, the number of a `Status`; `reason` is the `Status` itself.
      aux: the auxiliary output of the objective at x, None without `has_aux`.
      trajectory: the recorded points, a `Trajectory`; None without `record_every`.
      last_x: where the search stood when it stopped, before its finish; None if it was one of many.
      opt_state: the optimizer's state there; with last_x it continues the search bit for bit, with
        a new record: best point, n_steps and patience start again. None if it was one of many.

    Example:
      >>> import jax.numpy as jnp
      >>> import jamsgrad
      >>> import optax
      >>> jamsgrad.minimize(jnp.square, jnp.array(1.0), optax.sgd(0.5))
      GTOL after 1 steps: Converged: no component of the gradient is larger than gtol.
              x: 0.0
            fun: 0
      grad_norm: 0
    """

    record: Record[jax.Array]
    trajectory: Trajectory | None = None
    last_x: Tree = None
    opt_state: Tree = None

    @property
    def aux(self) -> Tree:
        """The auxiliary output of the objective at x."""
        return self.record.aux

    @property
    def success(self) -> jax.Array:
        """Whether a tolerance was met, or without tolerances all steps were run."""
        return self.status > 0

    @property
    def reason(self) -> Status:
        """Why the search stopped.

        Raises:
          ValueError: if these are the results of many searches, as under `vmap`.
        """
        if jnp.ndim(self.status):
            raise ValueError(f"a reason belongs to one search, not to {self.status.shape} of them")
        return Status(int(self.status))

    @property
    def message(self) -> str:
        """Why the search stopped, in a sentence that says what to try.

        Raises:
          ValueError: if these are the results of many searches, as under `vmap`.
        """
        reason = self.reason
        if reason is Status.GTOL and not self.n_steps and not self.grad_norm:
            return NO_SLOPE
        return reason.message

    def __repr__(self) -> str:
        """The result as a person reads it."""
        if not self._is_one:
            return f"Result(x={self.x!r}, fun={self.fun!r}, status={self.status!r})"
        rows = [f"{name:>9}: {text}" for name, text in self._numbers]
        return "\n".join([self._headline, *rows])

    def _repr_html_(self) -> str | None:
        """The same in a notebook, with a row for each number of x; None for its `repr`."""
        if not self._is_one:
            return None
        x = zip(names(self.x), as_row(jax.tree.map(np.asarray, self.x)), strict=True)
        rows = [*self._numbers[1:], *((name, f"{number:.8g}") for name, number in x)]
        return f"<p>{html.escape(self._headline)}</p>" + html_table(rows)

    @property
    def _is_one(self) -> bool:
        """Whether this is the result of one search, and its numbers are known."""
        status = self.status
        return isinstance(status, jax.Array) and not isinstance(status, Tracer) and not status.shape

    @property
    def _headline(self) -> str:
        return f"{self.reason.name} after {self.n_steps} steps: {self.message}"

    @property
    def _numbers(self) -> list[tuple[str, str]]:
        x = jax.tree.map(np.asarray, self.x)
        return [("x", f"{x}"), ("fun", f"{self.fun:.8g}"), ("grad_norm", f"{self.grad_norm:.3g}")]
