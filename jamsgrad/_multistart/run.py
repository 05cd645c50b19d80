"""Runs of many searches: choose starts, search from them, finish the ends; or go on from ends."""

import math
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, ExitStack
from functools import partial
from typing import NamedTuple

import jax
import numpy as np
import optax
from jax.sharding import Mesh

from jamsgrad._multistart.devices import Program, in_a_row, on_host, read
from jamsgrad._multistart.drive import (
    CtrlC,
    End,
    Progress,
    Wish,
    agreed,
    drive,
    interruptible,
    progress_bar,
    until,
)
from jamsgrad._multistart.lanes import Queue
from jamsgrad._multistart.plan import Plan, Screen
from jamsgrad._multistart.polish import polished
from jamsgrad._multistart.screening import screened
from jamsgrad._search.finish import finisher, finishing, joined, may_finish
from jamsgrad._search.newton import NewtonState
from jamsgrad._search.step import Record
from jamsgrad._search.task import Task
from jamsgrad._tree import Tree

Load = Callable[[Program], tuple[Program, Queue]]
Save = Callable[[Program, Queue], None]


class Watch(NamedTuple):
    """Who looks on, and what is kept meanwhile.

    Attributes:
      over: when the time is over, of `time.perf_counter`.
      progress: whether there is a progress bar.
      callback: what is called between slices of rounds.
      keep: a function of the program that opens where its state is kept, to load and to save it.
      save_every: seconds between two savings.
    """

    over: float = math.inf
    progress: bool = False
    callback: Callable[[Progress], None] | None = None
    keep: Callable[[Program], AbstractContextManager[tuple[Load, Save]]] | None = None
    save_every: float = math.inf


class Run(NamedTuple):
    """What came of it.

    Attributes:
      task: what was searched, with `fun` as it was read.
      starts: where the searches started.
      record: what each has to show.
      lane_efficiency: useful steps over executed ones.
      seconds: of searching, compiling left out.
      interrupted: whether Ctrl-C ended it.
      error: what a callback raised, or the second Ctrl-C; None if nothing did.
    """

    task: Task
    starts: Tree
    record: Record[np.ndarray]
    lane_efficiency: float
    seconds: float
    interrupted: bool
    error: BaseException | None


def run(plan: Plan, candidates: Tree, watch: Watch) -> Run:
    """Search from the candidates, or from the best of them."""
    mesh, lanes = in_a_row(plan.mesh), plan.lanes
    starts, before = candidates, 0.0
    last = finisher(plan.finish, jax.tree.map(lambda leaf: leaf[0], candidates))
    with ExitStack() as stack:
        watchers = [until(watch.over), *([] if watch.callback is None else [watch.callback])]
        if watch.progress:
            n = len(jax.tree.leaves(candidates)[0]) // plan.screen.n_candidates
            watchers.append(stack.enter_context(progress_bar(n)))
        ctrl_c = stack.enter_context(interruptible())
        task = read(plan.task, candidates)
        if plan.screen.screens:
            with ctrl_c.held():
                starts, before = _chosen(
                    candidates, task, plan.screen, mesh, lanes, ctrl_c, watch.over
                )
        program = Program(task, starts, mesh, lanes)
        load, save = _NOWHERE if watch.keep is None else stack.enter_context(watch.keep(program))
        program, queue = load(program)
        with ctrl_c.held():
            if not agreed(Wish(0, ctrl_c.end, save=False)).end:
                queue, _ = program.advance(queue, 0)
            compiled = time.perf_counter()
            watchers = [ctrl_c.let_through(one) for one in watchers]
            queue, error = drive(
                program, queue, watchers, ctrl_c, partial(save, program), watch.save_every
            )
            searched = before + time.perf_counter() - compiled
            record, efficiency = program.collect(queue)
            late = End.ENOUGH if time.perf_counter() >= watch.over else End.GO_ON
            end = agreed(Wish(0, max(late, ctrl_c.end), save=False)).end
            if error is None and end == End.GO_ON and last is not None:
                after, seconds = _finished(record, task, last, mesh, lanes, ctrl_c, watch.over)
                record, searched = joined(record, after, task.stop), searched + seconds
                end = agreed(Wish(0, ctrl_c.end, save=False)).end

    error = error or ctrl_c.second()
    interrupted = end == End.INTERRUPTED or isinstance(error, KeyboardInterrupt)
    return Run(task, starts, record, efficiency, searched, interrupted, error)


def gone_on(
    record: Record[np.ndarray],
    task: Task,
    mesh: Mesh,
    lanes: int | None,
    ctrl_c: CtrlC,
    over: float = math.inf,
) -> tuple[Record[np.ndarray], float, float]:
    """Search on by the task from the best point of each search that ended at a finite one.

    The records of all, others as they are; the lanes' efficiency, and the seconds it took.
    """
    which = may_finish(record)
    record = record._replace(n_finish=None)
    if not which.any():
        return record, 1.0, 0.0
    program = Program(task, record.x, mesh, lanes, record, which)
    queue, seconds = _driven(program, ctrl_c, over)
    return *program.collect(queue), seconds


def _finished(
    record: Record[np.ndarray],
    task: Task,
    optimizer: optax.GradientTransformation,
    mesh: Mesh,
    lanes: int | None,
    ctrl_c: CtrlC,
    over: float,
) -> tuple[Record[np.ndarray], float]:
    """The records after the optimizer that finishes searches, and the seconds that it took."""
    one = jax.tree.map(lambda leaf: leaf[0], record.x)
    if not isinstance(jax.eval_shape(optimizer.init, one), NewtonState):
        task = finishing(task, optimizer, one)
        after, _, seconds = gone_on(record, task, mesh, lanes, ctrl_c, over)
        return after, seconds

    def is_over() -> bool:
        return time.perf_counter() >= over or ctrl_c.is_set()

    return polished(record, on_host(task), may_finish(record), lanes, is_over)


def _chosen(
    candidates: Tree,
    task: Task,
    screen: Screen,
    mesh: Mesh,
    lanes: int | None,
    ctrl_c: CtrlC,
    over: float,
) -> tuple[Tree, float]:
    """Where the best candidate of each start came to, and the seconds that took."""
    task = task._replace(stop=task.stop._replace(max_steps=screen.n_steps))
    seconds = []

    def search(starts: Tree) -> Record[np.ndarray]:
        program = Program(task, starts, mesh, lanes)
        queue, took = _driven(program, ctrl_c, over)
        seconds.append(took)
        return program.collect(queue)[0]

    return screened(candidates, screen.n_candidates, search), sum(seconds)


def _driven(program: Program, ctrl_c: CtrlC, over: float) -> tuple[Queue, float]:
    """The queue of a program that nobody watches, run to its end; and the seconds that took."""
    queue, _ = program.advance(program.empty(), 0)
    began = time.perf_counter()
    queue, error = drive(program, queue, [until(over)], ctrl_c, lambda _: None, math.inf)
    if error is not None:
        raise error
    return queue, time.perf_counter() - began


_NOWHERE: tuple[Load, Save] = (lambda program: (program, program.empty()), lambda *_: None)
