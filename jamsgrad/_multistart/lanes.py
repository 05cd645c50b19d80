"""The engine: many searches in lanes that step together and take their starts from a queue.

After each round of steps the lanes write their records. Those whose searches have ended then take
the next starts, so that no lane waits for the slowest search. Without tolerances all searches end
at the same step: `together` says so. Then what an optimizer counts is kept once for all lanes, and
records and starts are slices instead of rows that are gathered and scattered.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.experimental.layout import Layout, with_layout_constraint

from jamsgrad._search.step import Record, Search, State
from jamsgrad._search.stopping import Status
from jamsgrad._search.task import Point, Task
from jamsgrad._tree import Numeric, Tree, where, where_rows


class Queue(NamedTuple):
    """Many searches under way.

    Attributes:
      lanes: the states of the searches under way, one per row; with `together` what cannot differ
        between them has no rows.
      serves: the number of the start that each lane serves; n_starts or more if it is idle.
      records: what was found so far, by start, in whole chunks of lanes with `together`.
      taken: how many starts were taken.
      done: how many searches have ended.
      rounds: how many rounds were run.
    """

    lanes: State
    serves: jax.Array
    records: Record[jax.Array]
    taken: jax.Array
    done: jax.Array
    rounds: jax.Array


class Lanes(NamedTuple):
    """The functions of a `Search` in many lanes; `ended` is one bool for all with `together`."""

    init: Callable[[Tree], State]
    step: Callable[[State], tuple[State, Point]]
    ended: Callable[[State], jax.Array]
    record: Callable[[State], Record[jax.Array]]


class Engine(NamedTuple):
    """The queue as pure functions. Starts have their number on the leading axis.

    With `together` there are whole chunks of them.

    Attributes:
      begin: `begin(starts)` is a queue that has taken the first starts. It is never run: its shapes
        are those of every queue, as `empty` needs them.
      advance: `advance(queue, starts, n_starts, n_rounds)` runs so many rounds, fewer if the queue
        runs dry. Starts beyond n_starts are padding, which no lane serves.
    """

    begin: Callable[[Tree], Queue]
    advance: Callable[[Queue, Tree, jax.Array, jax.Array], Queue]


def engine(task: Task, n_lanes: int, steps_per_round: Numeric, costly: bool = False) -> Engine:
    """The queue of searches for this task.

    Where steps are costly, a round ends when all its lanes have stopped.
    """
    one = Search(task, watched=False, costly=costly)
    together = task.stop.only_by_steps
    numbers = np.arange(n_lanes, dtype=np.int32)

    def begin(starts: Tree) -> Queue:
        serves, zero = jnp.asarray(numbers), jnp.zeros([], jnp.int32)
        states = _in_lanes(one, starts, together).init(take(starts, serves))
        records = jax.vmap(lambda x: one.record(one.init(x)))(starts)
        return Queue(states, serves, records, zero, zero, zero)

    def advance(queue: Queue, starts: Tree, n_starts: jax.Array, n_rounds: jax.Array) -> Queue:
        lanes = _in_lanes(one, starts, together)
        last = queue.rounds + n_rounds

        def goes_on(queue: Queue) -> jax.Array:
            return (queue.rounds < last) & (queue.done < n_starts)

        def a_round(queue: Queue) -> Queue:
            ended = lanes.ended(queue.lanes)
            begins = ended if together else ended & (queue.serves < n_starts)
            # The k-th lane that begins takes the k-th of the starts that follow.
            place = numbers if together else jnp.cumsum(begins, dtype=jnp.int32) - 1
            serves = jnp.where(begins, queue.taken + place, queue.serves)
            fresh = lanes.init(take(starts, serves))
            begins = begins if together else begins & (serves < n_starts)
            states = (where if together else where_rows)(begins, fresh, queue.lanes)
            states = run(lanes, _lanes_last(states))
            busy, ended = serves < n_starts, lanes.ended(states)
            records = put(queue.records, serves, busy, lanes.record(states))
            # Each search that has ended frees a lane, which takes a start in the next round.
            taken = queue.done + n_lanes
            n_ended = jnp.where(ended, n_lanes, 0) if together else jnp.sum(busy & ended)
            done = queue.done + n_ended.astype(jnp.int32)
            return Queue(_lanes_last(states), serves, records, taken, done, queue.rounds + 1)

        return lax.while_loop(goes_on, a_round, queue)

    def run(lanes: Lanes, states: State) -> State:
        def step(k: jax.Array, states: State) -> State:
            return _lanes_last(lanes.step(states)[0])

        if not costly:
            return lax.fori_loop(0, steps_per_round, step, states)

        def goes_on(carry: tuple[jax.Array, State]) -> jax.Array:
            k, states = carry
            return (k < steps_per_round) & ~jnp.all(lanes.ended(states))

        first = jnp.zeros([], jnp.int32), states
        return lax.while_loop(goes_on, lambda c: (c[0] + 1, step(*c)), first)[1]

    def take(rows: Tree, serves: jax.Array) -> Tree:
        """The rows of the starts that the lanes serve."""
        if together:
            return jax.tree.map(lambda a: lax.dynamic_slice_in_dim(a, serves[0], n_lanes), rows)
        return jax.tree.map(lambda a: a.at[serves].get(mode="clip"), rows)

    def put(
        records: Record[jax.Array], serves: jax.Array, which: jax.Array, new: Record[jax.Array]
    ) -> Record[jax.Array]:
        """The records with those of some lanes written to the rows of the starts they serve."""
        if together:
            new = jax.vmap(where)(which, new, take(records, serves))
            new = jax.tree.map(_rows_first, new)  # else XLA gives all records the lanes' layout
            return jax.tree.map(
                lambda a, b: lax.dynamic_update_slice_in_dim(a, b, serves[0], 0), records, new
            )
        rows = jnp.where(which, serves, len(records.fun))  # past the end, where it is dropped
        return jax.tree.map(lambda a, b: a.at[rows].set(b, mode="drop"), records, new)

    return Engine(begin, advance)


def empty(shapes: Queue, starts: Tree) -> Queue:
    """A queue of these shapes in which no search has begun, in NumPy arrays; starts are, too.

    Each lane is as if its search had ended, so that it takes a start in the first round. Random
    keys, which NumPy does not have, stay arrays of JAX.
    """

    def full(like: Tree, value: float = 0) -> Tree:
        if jnp.issubdtype(like.dtype, jax.dtypes.prng_key):
            return jnp.zeros(like.shape, like.dtype)
        return np.full(like.shape, value, like.dtype)

    queue, (_, fun, *_) = jax.tree.map(full, shapes), shapes.records
    states = queue.lanes
    if states.status is None:
        ended = full(shapes.lanes.n_evaluated, np.iinfo(np.uint32).max)
        states = states._replace(n_evaluated=ended)
    else:
        states = states._replace(status=full(shapes.lanes.status, Status.MAX_STEPS))
    status = full(shapes.records.status, Status.STOPPED)
    points = jax.tree.map(np.array, starts)
    records = Record(points, full(fun, np.nan), full(fun, np.nan), queue.records.n_steps, status)
    return queue._replace(lanes=states, serves=full(shapes.serves, -1), records=records)


def _in_lanes(one: Search, starts: Tree, together: bool) -> Lanes:
    """The search in many lanes; with `together` what cannot differ between them has no rows."""

    def two_steps(x: Tree) -> State:
        # In a loop JAX iterates to a fixed point, so that values which depend on x only after
        # several steps are found too.
        return lax.fori_loop(0, 2, lambda _, state: one.step(state)[0], one.init(x))

    rows = batched_axes(two_steps, starts) if together else 0
    return Lanes(
        init=jax.vmap(one.init, out_axes=rows),
        step=jax.vmap(one.step, in_axes=(rows,), out_axes=(rows, 0)),
        ended=one.ended if together else jax.vmap(one.ended),
        record=jax.vmap(one.record, in_axes=(rows,)),
    )


def batched_axes(function: Callable[[Tree], Tree], xs: Tree) -> Any:
    """Run vmap abstractly, and note which outputs came out batched: 0 for those, None for others.

    Of `lambda x: (x + 1, jnp.zeros(()))` it is (0, None).
    """
    axes = None

    @jax.custom_batching.custom_vmap
    def look(out: Tree) -> Tree:
        return out

    @look.def_vmap
    def _(axis_size: int, in_batched: list[Tree], out: Tree) -> tuple[Tree, Tree]:
        nonlocal axes
        del axis_size
        axes = jax.tree.map(lambda batched: 0 if batched else None, in_batched[0])
        return out, in_batched[0]

    jax.eval_shape(jax.vmap(lambda x: look(function(x))), xs)
    return axes


def _rows_first(rows: jax.Array) -> jax.Array:
    """Hold XLA to the memory layout of records."""
    return with_layout_constraint(rows, Layout(tuple(range(rows.ndim))))


def _lanes_last(lanes: Tree) -> Tree:
    """Hold XLA to a memory layout in which the lanes are contiguous, so that it vectorises them."""

    def leaf(a: jax.Array) -> jax.Array:
        return with_layout_constraint(a, Layout((*range(1, a.ndim), 0))) if a.ndim > 1 else a

    return jax.tree.map(leaf, lanes)
