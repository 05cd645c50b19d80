"""What many searches found: the result of `multistart`, for code and for people."""

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Unpack, cast

import jax
import jax.numpy as jnp
import numpy as np
import optax

from jamsgrad import _check
from jamsgrad._check import nan_is_data
from jamsgrad._jit import as_searched
from jamsgrad._multistart import archive
from jamsgrad._multistart.devices import in_a_row, on_host
from jamsgrad._multistart.drive import interruptible
from jamsgrad._multistart.evidence import Evidence
from jamsgrad._multistart.plan import Plan, Screen
from jamsgrad._multistart.run import Run, Watch, gone_on, run
from jamsgrad._multistart.starts import sample_starts
from jamsgrad._search.minimize import StopOptions, checked_task, minimize, stop_by
from jamsgrad._search.result import Result
from jamsgrad._tree import Tree


@dataclass(frozen=True, repr=False, eq=False)
class MultiStartResult(Evidence):
    """What many searches found. Row i of every array belongs to start i.

    Attributes:
      starts: where the searches started, each leaf of shape (n_starts, ...); with `screen`, where
        the best candidate of each had come to.
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

    interrupted: bool = False
    _fun: Callable[..., Tree] | None = None  # as it was given, to be pickled

    def __getstate__(self) -> dict[str, Tree]:
        """Pickle `fun` as it was given, because what JAX traced cannot be."""
        plan = self._plan._replace(mesh=None)
        if self._fun is not None:
            plan = plan._replace(task=plan.task._replace(fun=self._fun))
        return dict(vars(self)) | {"_plan": plan}

    @property
    def n_success(self) -> int:
        """How many searches met a tolerance, or ran all their steps without one."""
        return int((self.status > 0).sum())

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
        i, n = _check.integer("i", i, 0), len(self.record.fun)
        if i >= n:
            raise ValueError(f"i must be the number of one of {n} starts, got {i}")
        task = self._plan.task
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
                finish=self._plan.finish,
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
        plan = self._plan
        if plan.task.fun is None:
            raise ValueError("then() needs fun: give it to MultiStartResult.load")
        began, when = time.perf_counter(), stop_by("then", stop)
        task = checked_task(plan.task.fun, optimizer, plan.task.args, plan.task.bounds, when)
        with as_searched(task.fun), interruptible() as ctrl_c, ctrl_c.held():
            record, efficiency, seconds = gone_on(
                self.record, task, in_a_row(plan.mesh), plan.lanes, ctrl_c
            )
        if (second := ctrl_c.second()) is not None:
            raise second
        return replace(
            self,
            starts=self.record.x,
            record=record,
            lane_efficiency=efficiency,
            seconds=seconds,
            compile_seconds=time.perf_counter() - began - seconds,
            interrupted=bool(ctrl_c.end),
            _plan=plan._replace(task=task, finish=None, screen=Screen(), draws=None),
            _known=None,
        )

    @nan_is_data()
    def more(self, n: int) -> "MultiStartResult":
        """Search from n further starts, as if they had been asked for in the first place.

        So one may search until nothing new is likely. A checkpoint grows by the same call of
        `multistart` with a larger n_starts.

        Args:
          n: how many further starts, at least 1. The next ones of the key are drawn.

        Returns:
          The result of all searches. It is that of one call with so many starts, bit for bit if
          that has as many lanes on a device, and no search was stopped from outside. After Ctrl-C
          it is `interrupted`.

        Raises:
          ValueError: if n is out of its range, the starts do not depend on their numbers alone
            (`starts="lhs"`, a function, points without a key, or the ends of other searches), or
            the result was loaded from a file without `fun` and `optimizer`.
          TypeError: if n is not an integer.
          KeyboardInterrupt: at the second Ctrl-C; `error.result` is the result so far.

        Example:
          >>> import jax
          >>> from jamsgrad import amsgrad, multistart, problems
          >>> wells, optimizer = problems.himmelblau, amsgrad(0.3, b2=0.99)
          >>> found = multistart(
          ...     wells.fun, wells.bounds, optimizer, key=jax.random.key(0), n_starts=64)
          >>> while found.chance_of_new.limit > 0.02 and not found.interrupted:
          ...     found = found.more(64)
          >>> found.fun.size, len(found.minima)
          (256, 4)
        """
        n, plan, began = _check.integer("n", n, 1), self._plan, time.perf_counter()
        if plan.task.fun is None or plan.task.optimizer is None:
            raise ValueError("more() needs fun and optimizer: give them to MultiStartResult.load")
        if plan.draws is None:
            raise ValueError(
                'more() needs starts that depend on their numbers alone: "uniform" or "sobol" '
                "ones, or points with a key; search from others by multistart(starts=points)"
            )
        k, n_before = plan.screen.n_candidates, len(self.record.fun)
        drawn = sample_starts(
            plan.draws.key, k * (n_before + n), plan.task.bounds, cast(Any, plan.draws.method)
        )
        candidates = jax.tree.map(lambda leaf: leaf[k * n_before :], drawn)
        with as_searched(plan.task.fun):
            came = run(plan, candidates, Watch())
        last = result_of(came, plan, began, None)
        steps, executed = zip(_steps(self), _steps(last), strict=True)
        found = replace(
            self,
            starts=_appended(self.starts, last.starts),
            record=_appended(*(one.record._replace(n_finish=one.n_finish) for one in (self, last))),
            lane_efficiency=sum(steps) / max(sum(executed), 1),
            seconds=self.seconds + last.seconds,
            compile_seconds=self.compile_seconds + last.compile_seconds,
            interrupted=self.interrupted or last.interrupted,
            _known=None,
        )
        if came.error is not None:
            came.error.result = found  # pyright: ignore[reportAttributeAccessIssue]
            raise came.error
        return found

    def save(self, path: str | Path) -> None:
        """Write everything but `fun` and `optimizer` to an npz file, the minima included.

        The file holds the children of a NamedTuple, a dataclass or an Equinox module in x or args,
        and their names. `load` makes dicts of them, or what its `like` says.

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
            plan=self._plan,
            found=self._found,
            record=self.record,
            starts=self.starts,
            lane_efficiency=self.lane_efficiency,
            seconds=self.seconds,
            compile_seconds=self.compile_seconds,
            interrupted=self.interrupted,
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

    @nan_is_data()
    def _one(self, i: int) -> Result:
        return Result(jax.tree.map(lambda leaf: jnp.asarray(leaf[i]), self.record))


def result_of(
    came: Run, plan: Plan, began: float, fun: Callable[..., Tree] | None
) -> MultiStartResult:
    """The result of a run that began then."""
    return MultiStartResult(
        starts=came.starts,
        record=came.record,
        lane_efficiency=came.lane_efficiency,
        seconds=came.seconds,
        compile_seconds=time.perf_counter() - began - came.seconds,
        interrupted=came.interrupted,
        _plan=plan._replace(task=on_host(came.task)),
        _fun=fun,
    )


def _steps(found: MultiStartResult) -> tuple[int, float]:
    """How many steps there are to show for, and about how many were executed."""
    n_steps = int(found.record.n_steps.sum(dtype=np.int64))
    return n_steps, n_steps / found.lane_efficiency if found.lane_efficiency else 0


def _appended(first: Tree, last: Tree) -> Tree:
    """The rows of both."""
    return jax.tree.map(lambda a, b: np.concatenate([a, b]), first, last)
