"""Newton's method for the ends of many searches, on the host: only fun and its derivatives compile.

As a program of its own the method takes longer to compile than the search itself.
"""

import time
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np

from jamsgrad._minima.objective import RowObjective
from jamsgrad._search.bounds import end_rows
from jamsgrad._search.finish import STEPS
from jamsgrad._search.newton import (
    ULPS,
    Expansion,
    NewtonState,
    newton_step,
    warn_of_no_second_derivative,
)
from jamsgrad._search.step import Record
from jamsgrad._search.stopping import Status
from jamsgrad._search.task import Task
from jamsgrad._tree import Tree, as_rows, as_tree, ceil_div, leads_out


@np.errstate(all="ignore")  # boxes and values may be as large as numbers get
def polished(
    record: Record[np.ndarray],
    task: Task,
    which: np.ndarray,
    lanes: int | None,
    is_over: Callable[[], bool],
) -> tuple[Record[np.ndarray], float]:
    """The records after `newton`, for those searches that are wanted; and the seconds it took.

    These seconds leave out the first step, which compiles.
    """
    rows, like = as_rows(record.x), jax.tree.map(lambda leaf: leaf[0], record.x)
    low, high = end_rows(task.bounds, rows.shape[1])
    needed = 16 * ceil_div(int(which.sum()), 16)
    lanes = needed if lanes is None else min(lanes, needed)
    objective = RowObjective(
        task.fun, task.args, like, low, high, np.ones_like(low), record.fun, rows[0], lanes
    )
    rows, low, high = (a.astype(objective.dtype) for a in (rows, low, high))
    best, fun, grad_norm = rows.copy(), record.fun.copy(), record.grad_norm.copy()
    status, n_steps = np.full_like(record.status, Status.MAX_STEPS), 0 * record.n_steps
    state = NewtonState.first(np, record.fun.shape, rows.dtype)
    left, began = np.flatnonzero(which), time.perf_counter()
    for k in range(STEPS + 1 if left.size else 0):
        try:
            here = objective.expansions(rows[left])
        except (TypeError, ValueError, NotImplementedError) as error:
            warn_of_no_second_derivative(error)
            break
        slope = _largest(here, low, high, like)
        rounding = ULPS * float(jnp.finfo(fun.dtype).eps) * np.abs(fun[left])
        good = np.isfinite(slope) & (here.value <= fun[left] + rounding)
        at = left[good]
        best[at], fun[at], grad_norm[at] = here.x[good], here.value[good], slope[good]
        n_steps[left], ended = k, state.ended[left]
        status[left[ended == 1]], status[left[ended == 2]] = Status.ROUNDING, Status.STALLED
        on = ended == 0
        left, here = left[on], Expansion(*(a[on] for a in here))
        if k == STEPS or not left.size or is_over():
            break
        own = NewtonState(*(a[left] for a in state))
        box = np.broadcast_to(low, here.x.shape), np.broadcast_to(high, here.x.shape)
        rows[left], after = newton_step(here, objective.grid_values, box, own)
        for whole, part in zip(state, after, strict=True):
            whole[left] = part
        began = time.perf_counter() if k == 0 else began
    return Record(as_tree(best, like), fun, grad_norm, n_steps, status), time.perf_counter() - began


def _largest(here: Expansion, low: np.ndarray, high: np.ndarray, like: Tree) -> np.ndarray:
    """The largest component of each projected gradient."""
    out = leads_out(here.x, here.grad, low, high)
    leaves = jax.tree.leaves(as_tree(np.where(out, 0, here.grad), like))
    sizes = [np.abs(leaf.reshape(len(out), -1)).max(axis=1, initial=0) for leaf in leaves]
    return np.max(sizes, axis=0)
