"""Many searches as a queue of starts that lanes serve: the pure engine.

Lanes step together. Every few steps those that have stopped hand in their records and take the next
starts from the queue, so that nobody waits for the slowest search.
"""

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import lax
from jax.experimental.layout import Layout, with_layout_constraint

from jamsgrad._search.step import Record, Search, Status


class QueueState(NamedTuple):
    """A queue under way.

    Attributes:
      lanes: the states of the searches under way, one per row.
      serves: which start each lane serves; `n_starts` or more if it serves none.
      next: the start that is served next.
      n_starts: how many starts there are; later rows of `records` are padding.
      records: what has been handed in, by start.
      rounds: how many rounds were run.
    """

    lanes: Any
    serves: jax.Array
    next: jax.Array
    n_starts: jax.Array
    records: Record
    rounds: jax.Array


class Engine(NamedTuple):
    """The queue as pure functions."""

    init: Callable[[Any, jax.Array], QueueState]
    advance: Callable[[QueueState, Any, jax.Array], QueueState]
    collect: Callable[[QueueState], Record]


def engine(search: Search, n_lanes: int, steps_per_round: Any) -> Engine:
    """The queue for a search made with `freeze=False`.

    `init(starts, n_starts)` fills the lanes; starts have their number on the leading axis.
    `advance(queue, starts, n_rounds)` runs so many rounds, fewer if the queue runs dry.
    `collect(queue)` gives all records by start, those of the searches under way included.
    """
    init_lanes = jax.vmap(search.init)
    step_lanes = jax.vmap(lambda state: search.step(state)[0])

    def init(starts: Any, n_starts: jax.Array) -> QueueState:
        served = jnp.arange(n_lanes, dtype=jnp.int32)
        return QueueState(
            lanes=init_lanes(_take(starts, served)),
            serves=served,
            next=jnp.asarray(n_lanes, jnp.int32),
            n_starts=n_starts,
            records=blank(init_lanes(starts).record),
            rounds=jnp.zeros([], jnp.int32),
        )

    def advance(queue: QueueState, starts: Any, n_rounds: jax.Array) -> QueueState:
        last = queue.rounds + n_rounds

        def goes_on(queue: QueueState) -> jax.Array:
            return (queue.rounds < last) & jnp.any(queue.serves < queue.n_starts)

        def a_round(queue: QueueState) -> QueueState:
            lanes = lax.fori_loop(
                0, steps_per_round, lambda _, lanes: lanes_last(step_lanes(lanes)), queue.lanes
            )
            return refill(queue._replace(lanes=lanes, rounds=queue.rounds + 1), starts)

        return lax.while_loop(goes_on, a_round, queue)

    def refill(queue: QueueState, starts: Any) -> QueueState:
        stopped = (queue.lanes.record.status != Status.STOPPED) & (queue.serves < queue.n_starts)
        records = _hand_in(queue, stopped)
        place = jnp.cumsum(stopped, dtype=jnp.int32) - 1
        serves = jnp.where(stopped, queue.next + place, queue.serves)
        taken = stopped & (serves < queue.n_starts)
        fresh = init_lanes(_take(starts, serves))
        lanes = jax.tree.map(partial(_select, taken), fresh, queue.lanes)
        served = jnp.sum(stopped, dtype=jnp.int32)
        return queue._replace(lanes=lanes, serves=serves, next=queue.next + served, records=records)

    def collect(queue: QueueState) -> Record:
        record = queue.lanes.record
        began = (record.n_steps > 0) | (record.status != Status.STOPPED)
        return _hand_in(queue, began & (queue.serves < queue.n_starts))

    return Engine(init, advance, collect)


def _hand_in(queue: QueueState, which: jax.Array) -> Record:
    """The records with those of some lanes written to the rows of the starts that they serve."""

    def write(out: jax.Array, new: jax.Array) -> jax.Array:
        row = jnp.where(which, queue.serves, out.shape[0])  # past the end, where it is dropped
        return out.at[row].set(new, mode="drop")

    return jax.tree.map(write, queue.records, queue.lanes.record)


def blank(record: Record) -> Record:
    """The same points, not evaluated, STOPPED."""
    nan = jnp.full_like(record.fun, jnp.nan)
    return record._replace(
        fun=nan,
        grad_norm=nan,
        n_steps=jnp.zeros_like(record.n_steps),
        status=jnp.full_like(record.status, Status.STOPPED),
    )


def _take(starts: Any, which: jax.Array) -> Any:
    return jax.tree.map(lambda leaf: leaf.at[which].get(mode="clip"), starts)


def _select(which: jax.Array, new: jax.Array, old: jax.Array) -> jax.Array:
    return jnp.where(jnp.expand_dims(which, range(1, new.ndim)), new, old)


def lanes_last(lanes: Any) -> Any:
    """Hold XLA to a memory layout in which the lanes are contiguous, so that it vectorises them."""

    def leaf(a: jax.Array) -> jax.Array:
        return with_layout_constraint(a, Layout((*range(1, a.ndim), 0))) if a.ndim > 1 else a

    return jax.tree.map(leaf, lanes)
