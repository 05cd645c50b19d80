"""What many searches found: the result of `multistart`, for code and for people."""

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Unpack

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.sharding import Mesh

from jamsgrad import _check
from jamsgrad._check import nan_is_data
from jamsgrad._jit import as_searched
from jamsgrad._minima.minima import distinct_minima
from jamsgrad._minima.minimum import Minimum
from jamsgrad._minima.statistics import Chance, chance_of_new
from jamsgrad._multistart import archive
from jamsgrad._multistart.columns import columns
from jamsgrad._multistart.devices import in_a_row
from jamsgrad._multistart.drive import interruptible
from jamsgrad._multistart.ends import gone_on
from jamsgrad._multistart.summary import best_point, statuses, table
from jamsgrad._search.finish import Finish
from jamsgrad._search.minimize import Result, StopOptions, checked_task, minimize, stop_by
from jamsgrad._search.step import HasRecord, Record
from jamsgrad._search.task import Task
from jamsgrad._tree import Tree

Found = tuple[tuple[Minimum, ...], np.ndarray]


@dataclass(frozen=True, repr=False, eq=False)
class MultiStartResult(HasRecord[np.ndarray]):
    """What many searches found. Row i of every array belongs to start i.

    Attributes:
      starts: where the searches started, each leaf of shape (n_starts, ...).
      x: their best points, or where a tolerance stopped them, likewise.
      fun: the values there, shape (n_starts,); NaN where nothing was evaluated.
      grad_norm: the largest component of the (projected) gradient there, likewise.
      n_steps: steps taken, those of the finish included, shape (n_starts,).
      n_finish: how many of them were of the finish.
      status: why each search stopped, a `Status`, shape (n_starts,).
      lane_efficiency: useful steps over executed ones, idle and waiting lanes counted in.
      seconds: of searching.
      compile_seconds: of compiling and setting up; near 0 when it was compiled before.
      interrupted: whether Ctrl-C was pressed, which ends the search with what it has; searches that
        had not ended are STOPPED. A loop of searches ends by it.

    Example:
      >>> import jax
      >>> from jamsgrad import amsgrad, multistart, problems
      >>> bowl = problems.bowl
      >>> found = multistart(
      ...     bowl.fun, bowl.bounds, amsgrad(0.1), key=jax.random.key(0), n_starts=16)
      >>> [(minimum.kind, minimum.count) for minimum in found.minima]
      [('minimum', 16)]
      >>> print("about {:.0%}, at most {:.0%}".format(*found.chance_of_new))
      about 0%, at most 24%
    """

    starts: Tree
    record: Record[np.ndarray]
    lane_efficiency: float
    seconds: float
    compile_seconds: float
    _task: Task  # with `fun` as it was searched
    interrupted: bool = False
    _known: Found | None = None
    _lanes: int | None = None  # that the caller asked for
    _mesh: Mesh | None = None  # the devices that searched
    _finish: Finish = None
    _fun: Callable[..., Tree] | None = None  # as it was given, to be pickled

    def __getstate__(self) -> dict[str, Tree]:
        """Pickle `fun` as it was given, because what JAX traced cannot be."""
        state = dict(vars(self)) | {"_mesh": None}
        if self._fun is not None:
            state["_task"] = self._task._replace(fun=self._fun)
        return state

    @property
    def n_success(self) -> int:
        """How many searches met a tolerance, or ran all their steps without one."""
        return int((self.status > 0).sum())

    @cached_property
    def order(self) -> np.ndarray:
        """The numbers of the starts, from the lowest value to the highest and then NaN."""
        return np.argsort(np.where(np.isfinite(self.fun), self.fun, np.inf), kind="stable")

    @property
    def best(self) -> Result:
        """The search with the lowest value; never NaN if one was finite."""
        return self._one(self.order[0])

    def top(self, k: int) -> list[Result]:
        """The searches with the lowest values.

        Args:
          k: how many, at least 0.

        Returns:
          The `Result` of each, the lowest value first and NaN last, without `aux`, `trajectory`,
          `last_x` and `opt_state`; n_starts of them where k is larger.

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

    def rerun(self, i: int, record_every: int = 1) -> Result:
        """Search again from one start, by `minimize`, and record the trajectory.

        It is the same every time. It is row i of the results to rounding, as XLA may vectorise one
        search otherwise; where rounding decides between two minima, it may lead to the other one.

        Args:
          i: the number of the start, at least 0 and below n_starts.
          record_every: record every so many steps, start included; at least 1.

        Returns:
          A `Result` with a `trajectory`.

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
          >>> result = found.rerun(3)
          >>> bool((result.trajectory.x[0] == found.starts[3]).all())
          True
        """
        i = _check.integer("i", i, 0)
        if i >= self.fun.size:
            raise ValueError(f"i must be the number of one of {self.fun.size} starts, got {i}")
        task = self._task
        if task.fun is None or task.optimizer is None:
            raise ValueError("rerun() needs fun and optimizer: give them to MultiStartResult.load")
        with as_searched(task.fun):
            return minimize(
                task.fun,
                jax.tree.map(lambda leaf: jnp.asarray(leaf[i]), self.starts),
                task.optimizer,
                args=task.args,
                bounds=task.bounds,
                record_every=record_every,
                finish=self._finish,
                **task.stop._asdict(),
            )

    @nan_is_data()
    def then(
        self, optimizer: optax.GradientTransformation, **stop: Unpack[StopOptions]
    ) -> "MultiStartResult":
        """Search on from where these searches ended, by another optimizer.

        Args:
          optimizer: any optax transformation; every search begins with a new state of it.
          **stop: `max_steps`, `gtol`, `ftol`, `xtol` and `patience`, as in `minimize`.

        Returns:
          The result of searches whose starts are the ends of these, on the same devices. A search
          that ended in NaN, or was stopped from outside, is not gone on with: its row is as it was.

        Raises:
          ValueError: if an option is out of its range, or this result was loaded from a file
            without `fun`.
          TypeError: if the optimizer is none, or an option has another type.

        Example:
          >>> import jax
          >>> import optax
          >>> from jamsgrad import amsgrad, multistart, problems
          >>> valley = problems.rosenbrock(2)
          >>> found = multistart(
          ...     valley.fun, valley.bounds, amsgrad(0.3), key=jax.random.key(0), n_starts=64,
          ...     max_steps=100, finish=None)
          >>> found.n_success, found.then(optax.lbfgs(), max_steps=200).n_success
          (0, 64)
        """
        if self._task.fun is None:
            raise ValueError("then() needs fun: give it to MultiStartResult.load")
        began, when = time.perf_counter(), stop_by("then", stop)
        task = checked_task(self._task.fun, optimizer, self._task.args, self._task.bounds, when)
        with as_searched(task.fun), interruptible() as ctrl_c, ctrl_c.held():
            after = gone_on(self.record, task, self._mesh or in_a_row(None), self._lanes, ctrl_c)
        if (second := ctrl_c.second()) is not None:
            raise second
        return replace(
            self,
            starts=self.x,
            record=after.record,
            lane_efficiency=after.lane_efficiency,
            seconds=after.seconds,
            compile_seconds=time.perf_counter() - began - after.seconds,
            interrupted=bool(ctrl_c.end),
            _task=task,
            _known=None,
            _finish=None,
        )

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
        with as_searched(self._task.fun):
            return self._known or distinct_minima(
                self._task.fun,
                self.x,
                np.where(self.status > 0, self.fun, np.nan),
                self.grad_norm,
                self._task.bounds,
                args=self._task.args,
                n_searches=self.fun.size,
                lanes=self._lanes,
            )

    def save(self, path: str | Path) -> None:
        """Write everything but `fun` and `optimizer` to an npz file, the minima included.

        Of a NamedTuple, a dataclass or an Equinox module in x or args the file holds the children
        and their names: `load` makes dicts of them, or what it is told to.

        Args:
          path: the file, replaced if it exists, whole or not at all; no suffix is added.

        Raises:
          TypeError: if x or args holds what JAX does not know as an array, a number or a tree.
          OSError: if the file cannot be written.

        Example:
          >>> import jax
          >>> from jamsgrad import amsgrad, multistart, problems
          >>> bowl = problems.bowl
          >>> found = multistart(
          ...     bowl.fun, bowl.bounds, amsgrad(0.1), key=jax.random.key(0), n_starts=16)
          >>> found.save("found.npz")
        """
        archive.save_result(
            path,
            task=self._task,
            found=self._found,
            record=self.record,
            starts=self.starts,
            lane_efficiency=self.lane_efficiency,
            seconds=self.seconds,
            compile_seconds=self.compile_seconds,
            interrupted=self.interrupted,
            _finish=self._finish if isinstance(self._finish, str) else None,
        )

    @classmethod
    def load(
        cls,
        path: str | Path,
        fun: Callable[..., Tree] | None = None,
        optimizer: optax.GradientTransformation | None = None,
        *,
        like: Tree = None,
        args_like: Tree = None,
    ) -> "MultiStartResult":
        """Read what `save` wrote. Nothing in the file is ever executed.

        Args:
          path: the file.
          fun: the objective that was searched, which is not in the file; `rerun` needs it.
          optimizer: likewise.
          like: a tree of the structure of x, such as a start, whose numbers are not read: x becomes
            such a tree. None makes dicts and lists of nodes such as NamedTuples.
          args_like: likewise a tuple of the structure of `args`.

        Returns:
          The result, as it was saved.

        Raises:
          ValueError: if the file is none that `save` wrote, or broken, or `like` does not fit it.
          OSError: if it cannot be read.

        Example:
          >>> import jax
          >>> from jamsgrad import MultiStartResult, amsgrad, multistart, problems
          >>> bowl, optimizer = problems.bowl, amsgrad(0.1)
          >>> found = multistart(
          ...     bowl.fun, bowl.bounds, optimizer, key=jax.random.key(0), n_starts=16)
          >>> found.save("found.npz")
          >>> read = MultiStartResult.load("found.npz", bowl.fun, optimizer)
          >>> read.minima[0].count, bool(read.rerun(0).success)
          (16, True)
        """
        return cls(**archive.load_result(path, fun, optimizer, like, args_like))

    def summary(self) -> str:
        """What was found and how reliable it is, as text that a person reads.

        Returns:
          The number of searches, their time, how busy the lanes were; for each reason why searches
          stopped how many, and what it means; the best point of all, whatever stopped it; and a row
          for each of the `minima`, with the chance that others are missing. That chance is of
          searches that ended: "unconverged" rows are no evidence, and do not count.

        Example:
          >>> import jax
          >>> from jamsgrad import amsgrad, multistart, problems
          >>> bowl = problems.bowl
          >>> found = multistart(
          ...     bowl.fun, bowl.bounds, amsgrad(0.1), key=jax.random.key(0), n_starts=16)
          >>> print(found.summary())  # doctest: +ELLIPSIS
          16 searches in ... s (and ... s of compiling), lanes ...% busy: 16 GTOL
          16 GTOL. Converged: no component of the gradient is larger than gtol.
          Best value ..., largest component of the gradient ..., x[0] = ..., x[1] = ...
          ...
        """
        (names, reasons), best = statuses(self.status), self.order[0]
        x = jax.tree.map(lambda leaf: leaf[best], self.x)
        first = (
            f"{self.fun.size:,} searches in {self.seconds:.2f} s (and {self.compile_seconds:.2f} s "
            f"of compiling), lanes {self.lane_efficiency:.0%} busy: {names}"
        )
        point = best_point(float(self.fun[best]), float(self.grad_norm[best]), x)
        return "\n".join([first, *reasons, point, table(self.minima, self.chance_of_new)])

    def __repr__(self) -> str:
        """The summary."""
        return self.summary()

    @nan_is_data()
    def _one(self, i: int) -> Result:
        return Result(jax.tree.map(lambda leaf: jnp.asarray(leaf[i]), self.record))
