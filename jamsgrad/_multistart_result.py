"""What many searches found: the result of `multistart`, for code and for people."""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.experimental import multihost_utils

from jamsgrad import _check, _npz
from jamsgrad._bounds import Bounds
from jamsgrad._evidence import table
from jamsgrad._minima import Minimum, distinct_minima
from jamsgrad._minimize import Result, minimize
from jamsgrad._search import Status, Stop


class Question(NamedTuple):
    """What was asked: enough to search again, unless it comes from a file."""

    fun: Callable | None
    optimizer: optax.GradientTransformation | None
    args: tuple
    bounds: Bounds | None
    stop: Stop


class Rows(NamedTuple):
    """The arrays of a result as NumPy arrays."""

    starts: Any
    x: Any
    fun: Any
    grad_norm: Any
    n_steps: Any
    status: Any


@dataclass(frozen=True, repr=False, eq=False)
class MultiStartResult:
    """What many searches found. Row i of every array belongs to start i.

    Attributes:
      starts: where the searches started, each leaf of shape (n_starts, ...).
      x: their best points, or where a tolerance stopped them, likewise.
      fun: the values there, shape (n_starts,); NaN where nothing was evaluated.
      grad_norm: the largest component of the (projected) gradient there, likewise.
      n_steps: steps taken, shape (n_starts,).
      status: why each search stopped, a `Status`, shape (n_starts,).
      lane_efficiency: useful steps over executed ones, idle and waiting lanes counted in.
      seconds: of searching.
      compile_seconds: of compiling and setting up; near 0 when it was compiled before.

    Example:
      >>> import jax
      >>> import jamsgrad
      >>> bowl = jamsgrad.problems.bowl
      >>> result = jamsgrad.multistart(
      ...     bowl.fun, bowl.bounds, jamsgrad.amsgrad(0.1), key=jax.random.key(0), n_starts=16)
      >>> [(minimum.kind, minimum.count) for minimum in result.minima]
      [('minimum', 16)]
    """

    starts: Any
    x: Any
    fun: jax.Array
    grad_norm: jax.Array
    n_steps: jax.Array
    status: jax.Array
    lane_efficiency: float
    seconds: float
    compile_seconds: float
    question: Question

    def __post_init__(self) -> None:
        """Gather the rows while all processes are here; later perhaps only one asks for them."""
        if jax.process_count() > 1:
            _ = self.rows

    @cached_property
    def rows(self) -> Rows:
        """The arrays, starts to status, as NumPy arrays, gathered from all processes."""
        rows = Rows(self.starts, self.x, self.fun, self.grad_norm, self.n_steps, self.status)
        return jax.tree.map(_gathered, rows)

    @property
    def n_success(self) -> int:
        """How many searches met a tolerance, or ran all their steps without one."""
        return int((self.rows.status > 0).sum())

    @cached_property
    def order(self) -> np.ndarray:
        """The numbers of the starts from the lowest value to the highest, then NaN."""
        fun = self.rows.fun
        return np.argsort(np.where(np.isfinite(fun), fun, np.inf), kind="stable")

    @property
    def best(self) -> Result:
        """The search with the lowest value; never NaN if one was finite."""
        return self._one(self.order[0])

    def top(self, k: int) -> list[Result]:
        """The `k` searches with the lowest values."""
        k = _check.integer("k", k, 0)
        return [self._one(i) for i in self.order[:k]]

    def path(self, i: int, record_every: int = 1) -> Result:
        """Search again from start `i` and record the path; the same every time."""
        i = _check.integer("i", i, 0)
        question = self.question
        if question.fun is None or question.optimizer is None:
            raise ValueError("path() needs fun and optimizer: give them to MultiStartResult.load")
        return minimize(
            question.fun,
            jax.tree.map(lambda leaf: jnp.asarray(leaf[i]), self.rows.starts),
            question.optimizer,
            args=question.args,
            bounds=None if question.bounds is None else tuple(question.bounds),
            record_every=record_every,
            **question.stop._asdict(),
        )

    @property
    def minima(self) -> tuple[Minimum, ...]:
        """The distinct minima that the successful searches ended in, the lowest first."""
        return self._found[0]

    @property
    def basin(self) -> np.ndarray:
        """In which of the `minima` each search ended: its number there, -1 without success."""
        return self._found[1]

    @cached_property
    def _found(self) -> tuple[tuple[Minimum, ...], np.ndarray]:
        rows = self.rows
        assert self.question.fun is not None  # else they come from a file
        return distinct_minima(
            self.question.fun,
            rows.x,
            np.where(rows.status > 0, rows.fun, np.nan),
            self.question.bounds,
            args=self.question.args,
            n_searches=rows.fun.size,
        )

    def save(self, path: str | Path) -> None:
        """Write everything but `fun` and `optimizer` to an npz file, the minima included.

        Raises:
          TypeError: if x or args is a tree of other nodes than dicts, lists and tuples.
        """
        question = self.question
        _npz.save(
            path,
            {
                "rows": self.rows._asdict(),
                "numbers": {
                    "lane_efficiency": self.lane_efficiency,
                    "seconds": self.seconds,
                    "compile_seconds": self.compile_seconds,
                },
                "minima": [minimum._asdict() for minimum in self.minima],
                "basin": self.basin,
                "args": question.args,
                "bounds": None if question.bounds is None else question.bounds._asdict(),
                "stop": question.stop._asdict(),
            },
        )

    @classmethod
    def load(
        cls,
        path: str | Path,
        fun: Callable | None = None,
        optimizer: optax.GradientTransformation | None = None,
    ) -> "MultiStartResult":
        """Read what `save` wrote; with `fun` and `optimizer` paths can be searched again.

        Raises:
          ValueError: if the file is no such one, or broken. Nothing in it is ever executed.
        """
        saved = _npz.load(path)
        bounds = saved["bounds"]
        question = Question(
            fun,
            optimizer,
            saved["args"],
            None if bounds is None else Bounds(**bounds),
            Stop(**saved["stop"]),
        )
        result = cls(**saved["rows"], **saved["numbers"], question=question)
        minima = tuple(Minimum(**minimum) for minimum in saved["minima"])
        vars(result)["_found"] = minima, saved["basin"]
        return result

    def summary(self) -> str:
        """What was found and how reliable it is, as a table that a person reads."""
        counts = Counter(self.rows.status.tolist())
        ends = ", ".join(f"{counts[s]:,} {Status(s).name}" for s in sorted(counts, reverse=True))
        return (
            f"{self.rows.fun.size:,} searches in {self.seconds:.2f} s "
            f"(and {self.compile_seconds:.2f} s of compiling), "
            f"lanes {self.lane_efficiency:.0%} busy: {ends}\n{table(self.minima)}"
        )

    def __repr__(self) -> str:
        """The summary."""
        return self.summary()

    def _one(self, i: Any) -> Result:
        row = jax.tree.map(lambda leaf: jnp.asarray(leaf[i]), self.rows)
        return Result(
            x=row.x,
            fun=row.fun,
            grad_norm=row.grad_norm,
            n_steps=row.n_steps,
            status=row.status,
            aux=None,
            path=None,
            last_x=row.x,
            opt_state=None,
        )


def _gathered(leaf: jax.Array | np.ndarray) -> np.ndarray:
    """The whole array, also if other processes hold parts of it."""
    if isinstance(leaf, np.ndarray) or leaf.is_fully_addressable:
        return np.asarray(leaf)
    return np.asarray(multihost_utils.process_allgather(leaf, tiled=True))
