"""Many searches of a fixed number of steps, chunk by chunk: the pure engine without tolerances.

Nobody stops early, so that all lanes are at the same step: what an optimizer counts is one number
for all of them, and they hand in, and take the next starts, as one slice.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import lax

from jamsgrad._multistart.lanes import Engine, QueueState, blank, lanes_last
from jamsgrad._search.step import Descent, Record, Status, where


class FixedState(NamedTuple):
    """A search of a fixed number of steps under way.

    Attributes:
      x: the next point to evaluate.
      opt_state: the state of the optimizer.
      n_evaluated: how many points were evaluated, uint32.
      n_counted: how many of them before the first that was not finite and within the steps asked
        for, uint32: why and when a search stopped follows from these two.
      best: the best of those points, its value and its gradient norm.
    """

    x: Any
    opt_state: Any
    n_evaluated: jax.Array
    n_counted: jax.Array
    best: tuple[Any, jax.Array, jax.Array]


class FixedSearch(NamedTuple):
    """A search of a fixed number of steps as pure functions."""

    init: Callable[[Any], FixedState]
    step: Callable[[FixedState], FixedState]
    record: Callable[[FixedState], Record]
    ended: Callable[[FixedState], jax.Array]


def fixed_search(descent: Descent, max_steps: Any) -> FixedSearch:
    """`_search.search` without tolerances and freezing: the same records, from fewer numbers."""
    begin, evaluate, move = descent
    max_steps = jnp.asarray(max_steps, jnp.uint32)

    def init(x: Any) -> FixedState:
        opt_state, record = begin(x)
        zero = jnp.zeros([], jnp.uint32)
        return FixedState(x, opt_state, zero, zero, (x, record.fun, record.grad_norm))

    def step(state: FixedState) -> FixedState:
        x, opt_state, n_evaluated, n_counted, best = state
        fun, grad, grad_norm, _ = evaluate(x)
        running = (n_counted == n_evaluated) & ~ended(state)
        counts = running & ~jnp.isnan(grad_norm)
        better = (counts & (fun < best[1])) | (n_evaluated == 0)
        best = where(better, (x, fun, grad_norm), best)
        x, opt_state = move(x, opt_state, fun, grad)
        return FixedState(
            x, opt_state, n_evaluated + 1, n_counted + counts.astype(jnp.uint32), best
        )

    def record(state: FixedState) -> Record:
        _, _, n_evaluated, n_counted, best = state
        status = jnp.where(n_counted < n_evaluated, Status.NONFINITE, Status.STOPPED)
        status = jnp.where(n_counted > max_steps, Status.COMPLETED, status)
        n_steps = jnp.minimum(n_counted, max_steps)
        return Record(*best, n_steps.astype(jnp.int32), status.astype(jnp.int32), aux=None)

    def ended(state: FixedState) -> jax.Array:
        return state.n_evaluated > max_steps

    return FixedSearch(init, step, record, ended)


def engine(search: FixedSearch, n_lanes: int, steps_per_round: Any) -> Engine:
    """What `_queue.engine` is, for searches that end together.

    Its records have as many rows as whole chunks have.
    """

    def init(starts: Any, n_starts: jax.Array) -> QueueState:
        starts = whole_chunks(starts)
        return QueueState(
            lanes=_lanes(search, starts).init(chunk(starts, 0)),
            serves=jnp.arange(n_lanes, dtype=jnp.int32),
            next=jnp.asarray(n_lanes, jnp.int32),
            n_starts=n_starts,
            records=unknown(starts),
            rounds=jnp.zeros([], jnp.int32),
        )

    def advance(queue: QueueState, starts: Any, n_rounds: jax.Array) -> QueueState:
        starts = whole_chunks(starts)
        together = _lanes(search, starts)
        last = queue.rounds + n_rounds

        def goes_on(queue: QueueState) -> jax.Array:
            return (queue.rounds < last) & (queue.serves[0] < queue.n_starts)

        def a_round(queue: QueueState) -> QueueState:
            lanes = lax.fori_loop(
                0, steps_per_round, lambda _, lanes: lanes_last(together.step(lanes)), queue.lanes
            )
            records = hand_in(queue, together.record(lanes), starts)
            ended = together.ended(lanes)
            taken = jnp.where(ended, n_lanes, 0)
            serves = queue.serves + taken
            return QueueState(
                lanes=where(ended, together.init(chunk(starts, serves[0])), lanes),
                serves=serves,
                next=queue.next + taken,
                n_starts=queue.n_starts,
                records=records,
                rounds=queue.rounds + 1,
            )

        return lax.while_loop(goes_on, a_round, queue)

    def hand_in(queue: QueueState, new: Record, starts: Any) -> Record:
        first = queue.serves[0]
        new = jax.vmap(where)(queue.serves < queue.n_starts, new, unknown(chunk(starts, first)))
        return jax.tree.map(
            lambda out, new: lax.dynamic_update_slice_in_dim(out, new, first, 0), queue.records, new
        )

    def unknown(starts: Any) -> Record:
        return blank(jax.vmap(lambda x: search.record(search.init(x)))(starts))

    def whole_chunks(starts: Any) -> Any:
        def pad(leaf: jax.Array) -> jax.Array:
            filling = [(0, -len(leaf) % n_lanes)] + [(0, 0)] * (leaf.ndim - 1)
            return jnp.pad(leaf, filling, mode="edge")

        return jax.tree.map(pad, starts)

    def chunk(starts: Any, first: Any) -> Any:
        return jax.tree.map(lambda leaf: lax.dynamic_slice_in_dim(leaf, first, n_lanes), starts)

    return Engine(init, advance, lambda queue: queue.records)


def _lanes(search: FixedSearch, starts: Any) -> FixedSearch:
    """The search in many lanes; what can't differ between them has no axis of lanes."""

    def two_steps(x: Any) -> FixedState:  # as a loop: what depends on x after some steps does so
        return lax.fori_loop(0, 2, lambda _, state: search.step(state), search.init(x))

    axes = _axes(two_steps, starts)
    return FixedSearch(
        init=jax.vmap(search.init, out_axes=axes),
        step=jax.vmap(search.step, in_axes=(axes,), out_axes=axes),
        record=jax.vmap(search.record, in_axes=(axes,)),
        ended=search.ended,
    )


def _axes(function: Callable, xs: Any) -> Any:
    """The axes of the results of a vmapped function: None for those that depend on no x, else 0."""
    axes = None

    @jax.custom_batching.custom_vmap
    def look(out: Any) -> Any:
        return out

    @look.def_vmap
    def _(axis_size: int, in_batched: list, out: Any) -> tuple[Any, Any]:
        nonlocal axes
        del axis_size
        axes = jax.tree.map(lambda batched: 0 if batched else None, in_batched[0])
        return out, in_batched[0]

    jax.eval_shape(jax.vmap(lambda x: look(function(x))), xs)
    return axes
