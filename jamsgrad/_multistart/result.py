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

from jamsgrad import _check
from jamsgrad._minima.minima import Minimum, distinct_minima
from jamsgrad._multistart import archive as _npz
from jamsgrad._multistart.summary import table
from jamsgrad._search.bounds import Bounds
from jamsgrad._search.minimize import Result, minimize
from jamsgrad._search.step import Status, Stop, nan_is_data


class Setup(NamedTuple):
    """What was searched, and how: enough to search again, unless it comes from a file."""

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
      >>> from jamsgrad import amsgrad, multistart, problems
      >>> bowl = problems.bowl
      >>> found = multistart(
      ...     bowl.fun, bowl.bounds, amsgrad(0.1), key=jax.random.key(0), n_starts=16)
      >>> [(minimum.kind, minimum.count) for minimum in found.minima]
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
    _setup: Setup

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
        """The numbers of the starts, from the lowest value to the highest and then NaN."""
        fun = self.rows.fun
        return np.argsort(np.where(np.isfinite(fun), fun, np.inf), kind="stable")

    @property
    def best(self) -> Result:
        """The search with the lowest value; never NaN if one was finite."""
        return self._one(self.order[0])

    def top(self, k: int) -> list[Result]:
        """The searches with the lowest values.

        Args:
          k: how many, at least 0.

        Returns:
          The `Result` of each, the lowest value first and NaN last, without `aux`, `path`, `last_x`
          and `opt_state`; n_starts of them where k is larger.

        Raises:
          ValueError: if k is negative.
          TypeError: if k is not an integer.

        Example:
          >>> import jax
          >>> from jamsgrad import amsgrad, multistart, problems
          >>> camel, optimizer = problems.six_hump_camel, amsgrad(0.1, b2=0.99)
          >>> found = multistart(
          ...     camel.fun, camel.bounds, optimizer, key=jax.random.key(0), n_starts=50)
          >>> [round(float(result.fun), 3) for result in found.top(3)]
          [-1.032, -1.032, -1.032]
        """
        k = _check.integer("k", k, 0)
        return [self._one(i) for i in self.order[:k]]

    def path(self, i: int, record_every: int = 1) -> Result:
        """Search again from one start, by `minimize`, and record the path.

        The path is the same every time. It gives row i of the results to rounding only, because XLA
        may vectorise one search differently from lanes of many; where rounding decides between two
        minima, it may lead to the other.

        Args:
          i: the number of the start, at least 0 and below n_starts.
          record_every: record every so many steps, start included; at least 1.

        Returns:
          A `Result` with a `path`.

        Raises:
          ValueError: if `i` or `record_every` is out of its range, or the result was loaded from a
            file without `fun` and `optimizer`.
          TypeError: if one of them is not an integer.

        Example:
          >>> import jax
          >>> from jamsgrad import amsgrad, multistart, problems
          >>> bowl = problems.bowl
          >>> found = multistart(
          ...     bowl.fun, bowl.bounds, amsgrad(0.1), key=jax.random.key(0), n_starts=16)
          >>> result = found.path(3)
          >>> bool((result.path.x[0] == found.starts[3]).all())
          True
        """
        i = _check.integer("i", i, 0)
        if i >= self.rows.fun.size:
            raise ValueError(f"i must be the number of one of {self.rows.fun.size} starts, got {i}")
        setup = self._setup
        if setup.fun is None or setup.optimizer is None:
            raise ValueError("path() needs fun and optimizer: give them to MultiStartResult.load")
        return minimize(
            setup.fun,
            jax.tree.map(lambda leaf: jnp.asarray(leaf[i]), self.rows.starts),
            setup.optimizer,
            args=setup.args,
            bounds=None if setup.bounds is None else tuple(setup.bounds),
            record_every=record_every,
            **setup.stop._asdict(),
        )

    @property
    def minima(self) -> tuple[Minimum, ...]:
        """The distinct minima that the successful searches ended in, the lowest first."""
        return self._found[0]

    @property
    def basin(self) -> np.ndarray:
        """In which of the `minima` each search ended, shape (n_starts,); -1 without success."""
        return self._found[1]

    @cached_property
    @nan_is_data()
    def _found(self) -> tuple[tuple[Minimum, ...], np.ndarray]:
        host, setup = self.rows, self._setup
        assert setup.fun is not None  # else they come from a file
        return distinct_minima(
            setup.fun,
            host.x,
            np.where(host.status > 0, host.fun, np.nan),
            setup.bounds,
            args=jax.tree.map(_on_host_if_spread, setup.args),
            n_searches=host.fun.size,
        )

    def save(self, path: str | Path) -> None:
        """Write everything but `fun` and `optimizer` to an npz file, the minima included.

        Args:
          path: the file, replaced if it exists, whole or not at all; no suffix is added.

        Raises:
          TypeError: if x or args is a tree of other nodes than dicts, lists and tuples, or args
            holds random keys.
          OSError: if the file cannot be written.

        Example:
          >>> import jax
          >>> from jamsgrad import amsgrad, multistart, problems
          >>> bowl = problems.bowl
          >>> found = multistart(
          ...     bowl.fun, bowl.bounds, amsgrad(0.1), key=jax.random.key(0), n_starts=16)
          >>> found.save("found.npz")
        """
        setup = self._setup
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
                "args": setup.args,
                "bounds": None if setup.bounds is None else setup.bounds._asdict(),
                "stop": setup.stop._asdict(),
            },
        )

    @classmethod
    def load(
        cls,
        path: str | Path,
        fun: Callable | None = None,
        optimizer: optax.GradientTransformation | None = None,
    ) -> "MultiStartResult":
        """Read what `save` wrote. Nothing in the file is ever executed.

        Args:
          path: the file.
          fun: the objective that was searched, if `path` shall search again; it is not in the file.
          optimizer: likewise.

        Returns:
          The result, its rows as NumPy arrays.

        Raises:
          ValueError: if the file is none that `save` wrote, or broken.
          OSError: if it cannot be read.

        Example:
          >>> import jax
          >>> from jamsgrad import MultiStartResult, amsgrad, multistart, problems
          >>> bowl, optimizer = problems.bowl, amsgrad(0.1)
          >>> found = multistart(
          ...     bowl.fun, bowl.bounds, optimizer, key=jax.random.key(0), n_starts=16)
          >>> found.save("found.npz")
          >>> read = MultiStartResult.load("found.npz", bowl.fun, optimizer)
          >>> read.minima[0].count, bool(read.path(0).success)
          (16, True)
        """
        saved = _npz.load(path)
        bounds = saved["bounds"]
        setup = Setup(
            fun,
            optimizer,
            saved["args"],
            None if bounds is None else Bounds(**bounds),
            Stop(**saved["stop"]),
        )
        result = cls(**saved["rows"], **saved["numbers"], _setup=setup)
        minima = tuple(Minimum(**minimum) for minimum in saved["minima"])
        vars(result)["_found"] = minima, saved["basin"]
        return result

    def summary(self) -> str:
        """What was found and how reliable it is, as a table that a person reads.

        Returns:
          The number of searches, their time, how busy the lanes were, why searches stopped; and a
          row for each of the `minima`.

        Example:
          >>> import jax
          >>> from jamsgrad import amsgrad, multistart, problems
          >>> bowl = problems.bowl
          >>> found = multistart(
          ...     bowl.fun, bowl.bounds, amsgrad(0.1), key=jax.random.key(0), n_starts=16)
          >>> print(found.summary())  # doctest: +ELLIPSIS
          16 searches in ... s (and ... s of compiling), lanes ...% busy: 16 GTOL
          ...
        """
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
            last_x=None,
            opt_state=None,
        )


def _on_host_if_spread(leaf: Any) -> Any:
    """NumPy for an array on many devices: its mesh need not be that of the minima's arrays."""
    spread = isinstance(leaf, jax.Array) and len(leaf.sharding.device_set) > 1
    return _gathered(leaf) if spread else leaf


def _gathered(leaf: jax.Array | np.ndarray) -> np.ndarray:
    """The whole array, also if other processes hold parts of it."""
    if isinstance(leaf, np.ndarray) or leaf.is_fully_addressable:
        return np.asarray(leaf)
    return np.asarray(multihost_utils.process_allgather(leaf, tiled=True))
