"""The engine: the same records however it is cut, and nothing from lanes that idle."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from reference import assert_trees_close, same_bits

from jamsgrad import Status, amsgrad, minimize
from jamsgrad._multistart.lanes import Queue, batched_axes, empty, engine
from jamsgrad._search.step import Record, Search
from jamsgrad._search.stopping import stop_options
from jamsgrad._search.task import Task

pytestmark = pytest.mark.as_users_compile

OPTIMIZER = amsgrad(0.1, b2=0.99)
GTOL = {"each ends alone": 1e-2, "all end together": None}
STATUSES = {
    "each ends alone": {Status.GTOL, Status.MAX_STEPS, Status.NONFINITE},
    "all end together": {Status.COMPLETED, Status.NONFINITE},
}
MAX_STEPS = 90
N_LANES, STEPS_PER_ROUND, N_STARTS = 4, 10, 13  # the last three of 16 rows are padding
STARTS = jnp.linspace(3.0, -0.5, 32).reshape(16, 2)


def bowl(x):
    """A bowl with the minimum at 0, and NaN where x0 is above 2."""
    return jnp.where(x[0] > 2, jnp.nan, jnp.sum(x**2))


def task(fun=bowl, optimizer=OPTIMIZER, max_steps=MAX_STEPS, gtol=None):
    return Task(fun, optimizer, (), None, stop_options(max_steps, gtol, None, None, 1))


bowls = jax.jit(jax.vmap(bowl))


@pytest.fixture(scope="module", params=list(GTOL))
def kind(request):
    """With a tolerance or without."""
    return request.param


def empty_queue(functions, starts=STARTS):
    return empty(jax.eval_shape(functions.begin, starts), np.asarray(starts))


class Engine(NamedTuple):
    empty: object
    advance: object


@pytest.fixture(scope="module")
def queue(kind):
    """The engine, compiled once; its functions are given their starts."""
    functions = engine(task(gtol=GTOL[kind]), N_LANES, STEPS_PER_ROUND)
    advance = jax.jit(functions.advance)
    return Engine(
        lambda: empty_queue(functions),
        lambda state, rounds, n_starts=N_STARTS: advance(state, STARTS, n_starts, rounds),
    )


class Run(NamedTuple):
    empty: object
    done: object
    records: object


@pytest.fixture(scope="module")
def drained(queue):
    """The queue before its first round and when it has run dry, and what it recorded."""
    empty = queue.empty()
    done = queue.advance(empty, 2**30)
    return Run(empty, done, done.records)


def test_every_start_gets_the_result_of_minimize(drained, kind):
    options = {"max_steps": MAX_STEPS, "gtol": GTOL[kind]}
    alone = [minimize(bowl, x0, OPTIMIZER, **options).record for x0 in STARTS[:N_STARTS]]
    expected = Record(*jax.tree.map(lambda *rows: np.stack(rows), *alone))
    found = jax.tree.map(lambda leaf: leaf[:N_STARTS], drained.records)
    assert set(np.asarray(found.status)) == STATUSES[kind]
    assert same_bits((found.n_steps, found.status), (expected.n_steps, expected.status))
    assert_trees_close(found, expected, rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("piece", [1, 3])
def test_advancing_in_pieces_is_advancing_at_once_bit_for_bit(queue, drained, piece):
    state = drained.empty
    for rounds in range(piece, int(drained.done.rounds) + piece, piece):
        assert state.rounds == rounds - piece
        state = queue.advance(state, piece)
    assert same_bits(state, drained.done)


def test_a_queue_that_ran_dry_or_has_no_starts_runs_no_more_rounds(queue, drained):
    assert same_bits(queue.advance(drained.done, 5), drained.done)
    assert drained.done.done >= N_STARTS
    nothing = queue.empty()
    assert same_bits(queue.advance(nothing, 5, n_starts=0), nothing)
    assert np.all(nothing.records.status == Status.STOPPED)


def test_no_rounds_change_nothing(queue, drained):
    assert same_bits(queue.advance(drained.empty, 0), drained.empty)


def test_padding_is_never_served(drained):
    blank = jax.tree.map(lambda leaf: leaf[N_STARTS:], drained.records)
    assert same_bits(blank.x, STARTS[N_STARTS:])
    assert np.all(np.isnan(blank.fun) & np.isnan(blank.grad_norm))
    assert np.all((blank.n_steps == 0) & (blank.status == Status.STOPPED))


@pytest.mark.parametrize("n_starts", [1, 3])
def test_fewer_starts_than_lanes_give_the_rows_that_many_starts_give(queue, drained, n_starts):
    records = queue.advance(queue.empty(), 2**30, n_starts).records
    few, many = (jax.tree.map(lambda leaf: leaf[:n_starts], r) for r in (records, drained.records))
    assert same_bits(few, many)
    assert np.all(np.isnan(records.fun[n_starts:]))


@pytest.mark.parametrize("rounds", [0, 1, 4])
def test_collecting_early_gives_every_row_a_value_that_belongs_to_its_point(queue, drained, rounds):
    state = queue.advance(drained.empty, rounds)
    records = state.records
    ended = np.asarray(records.status != Status.STOPPED)
    assert same_bits(
        *(jax.tree.map(lambda leaf: leaf[ended], r) for r in (records, drained.records))
    )
    # A search that is under way and took no step has not evaluated anything.
    evaluated = ended | (np.asarray(records.n_steps) > 0)
    values = np.where(evaluated, bowls(records.x), np.nan)
    np.testing.assert_allclose(records.fun, values, rtol=1e-14)
    np.testing.assert_array_equal(records.x[~evaluated], STARTS[~evaluated])
    assert np.all(np.isnan(records.grad_norm[~evaluated]))


def test_lanes_take_the_starts_in_their_order(queue, drained, kind):
    state, last = drained.empty, 0
    np.testing.assert_array_equal(state.serves, np.full(N_LANES, -1))
    while state.done < N_STARTS:
        before = np.asarray(state.serves)
        state = queue.advance(state, 1)
        taken = np.asarray(state.serves)[np.asarray(state.serves) != before]
        np.testing.assert_array_equal(taken, np.arange(last, last + taken.size))
        last += taken.size
        ended = np.sum(state.records.status[:N_STARTS] != Status.STOPPED)
        assert GTOL[kind] is None or int(state.done) == ended
    assert np.all(state.records.status[:N_STARTS] != Status.STOPPED)
    assert last == np.max(state.serves) + 1 >= N_STARTS


def test_lanes_keep_once_what_is_the_same_in_all_of_them():
    state = empty_queue(engine(task(), N_LANES, STEPS_PER_ROUND))
    assert isinstance(state, Queue)
    moments = state.lanes.opt_state[0]
    assert moments.m.shape == (N_LANES, 2)
    assert moments.count.shape == moments.v_weight.shape == state.lanes.n_evaluated.shape == ()
    assert state.lanes.n_good.shape == (N_LANES,)
    assert state.lanes.status is None


def test_with_a_tolerance_every_lane_has_its_own_state():
    state = empty_queue(engine(task(gtol=1e-2), N_LANES, STEPS_PER_ROUND))
    assert {leaf.shape[0] for leaf in jax.tree.leaves(state.lanes)} == {N_LANES}
    assert state.lanes.n_evaluated is None


def test_what_vmap_batches_is_told_without_running_it():
    assert batched_axes(lambda x: (x + 1, jnp.zeros(())), STARTS) == (0, None)


def test_what_an_optimizer_counts_by_the_gradient_is_kept_by_lane():
    finite = optax.apply_if_finite(OPTIMIZER, 3)
    what = task(lambda x: -jnp.sqrt(2 - x[0]), finite)
    functions = engine(what, N_LANES, STEPS_PER_ROUND)
    starts = STARTS[3 : 3 + N_LANES]
    state = empty_queue(functions, starts)
    assert state.lanes.opt_state.total_notfinite.shape == (N_LANES,)
    assert state.lanes.opt_state.inner_state[0].count.shape == (N_LANES,)
    skipped = jax.jit(functions.advance)(state, starts, N_LANES, 1).lanes.opt_state.total_notfinite
    np.testing.assert_array_equal(skipped, [STEPS_PER_ROUND, STEPS_PER_ROUND, 0, 0])


@pytest.mark.parametrize("max_steps", [0, 1, 2, 3])
def test_nan_at_the_last_point_of_all_is_nan(max_steps):
    def fun(x):
        return jnp.where(x < 0.85, jnp.nan, x)  # 1, 0.9, and then NaN

    sgd, x0 = optax.sgd(0.1), jnp.ones(())
    one = Search(task(fun, sgd, max_steps))
    state = one.init(x0)
    for _ in range(max_steps + 1):
        state, _ = one.step(state)
    assert one.ended(state)
    alone = minimize(fun, x0, sgd, max_steps=max_steps, gtol=None)
    assert one.record(state).status == (Status.COMPLETED if max_steps < 2 else Status.NONFINITE)
    assert same_bits(tuple(one.record(state)[:5]), tuple(alone.record)[:5])


def test_of_equal_values_the_first_stays_the_best():
    one = Search(task(jnp.square, optax.sgd(1.0), 3))  # 1, -1, 1, -1
    state = one.init(jnp.ones(()))
    for _ in range(4):
        state, _ = one.step(state)
        assert one.record(state).x == 1
