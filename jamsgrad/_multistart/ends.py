"""Going on from the ends of many searches with another optimizer."""

import time
from collections.abc import Callable, Sequence
from typing import NamedTuple

import jax
import numpy as np
import optax
from jax.sharding import Mesh

from jamsgrad._multistart.devices import Program, on_host
from jamsgrad._multistart.drive import CtrlC, Progress, drive
from jamsgrad._multistart.polish import polished
from jamsgrad._search.finish import finishing, may_finish
from jamsgrad._search.newton import NewtonState
from jamsgrad._search.step import Record
from jamsgrad._search.task import Task


def finished(
    record: Record[np.ndarray],
    task: Task,
    optimizer: optax.GradientTransformation,
    mesh: Mesh,
    lanes: int | None,
    ctrl_c: CtrlC,
    watchers: Sequence[Callable[[Progress], None]],
) -> tuple[Record[np.ndarray], float]:
    """The records after the optimizer that finishes searches, and the seconds that it took."""
    one = jax.tree.map(lambda leaf: leaf[0], record.x)
    state = jax.eval_shape(optimizer.init, one)
    if not isinstance(state, NewtonState):
        task = finishing(task, optimizer, one)
        after = gone_on(record, task, mesh, lanes, ctrl_c, watchers)
        return after.record, after.seconds

    def is_over() -> bool:
        try:
            for watch in watchers:
                watch(Progress(0, 0, 0, np.inf, 0.0))
        except StopIteration:
            return True
        return ctrl_c.is_set()

    return polished(record, on_host(task), may_finish(record), lanes, is_over)


class GoneOn(NamedTuple):
    """What came of it: the records of all searches, and what it took."""

    record: Record[np.ndarray]
    lane_efficiency: float
    seconds: float


def gone_on(
    record: Record[np.ndarray],
    task: Task,
    mesh: Mesh,
    lanes: int | None,
    ctrl_c: CtrlC,
    watchers: Sequence[Callable[[Progress], None]] = (),
) -> GoneOn:
    """Search on by the task from the best point of each search that ended at a finite one.

    The records of others stay as they are.
    """
    which = may_finish(record)
    record = record._replace(n_finish=None)
    if not which.any():
        return GoneOn(record, 1.0, 0.0)
    program = Program(task, record.x, mesh, lanes, record, which)
    queue, _ = program.advance(program.empty(), 0)
    began = time.perf_counter()
    queue, error = drive(program, queue, watchers, ctrl_c, lambda _: None, np.inf)
    if error is not None:
        raise error
    return GoneOn(*program.collect(queue), time.perf_counter() - began)
