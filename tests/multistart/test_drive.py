"""Watching, stopping and the pace."""

import signal
import sys
import threading
import time

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from many import KEY, LANES, N_STARTS, SGD, himmelblaus, rows, search, stop
from reference import explore, same_bits

from jamsgrad import (
    Progress,
    Status,
    multistart,
)
from jamsgrad._multistart import drive

# Watching and stopping


def test_the_callback_sees_the_search_go_on_to_its_end(found):
    seen = []
    search(callback=seen.append, gtol=1e-3)
    assert all(isinstance(progress, Progress) for progress in seen)
    done, n_starts, n_success, best, seconds, fun = zip(*seen, strict=True)
    assert done == tuple(sorted(done))
    assert set(n_starts) == {N_STARTS}
    assert all(a <= b for a, b in zip(n_success, done, strict=True))
    assert best == tuple(sorted(best, reverse=True))
    assert seconds == tuple(sorted(seconds))
    assert [len(values) for values in fun] == list(n_success)
    assert fun[-1].min() == best[-1]
    assert (done[-1], n_success[-1], best[-1]) == (N_STARTS, found.n_success, found.best.fun)


def interrupt(progress):
    signal.raise_signal(signal.SIGINT)  # what Ctrl-C does


AFTER_A_ROUND = pytest.mark.parametrize("gtol", [10.0, 0.0], ids=["some done", "none done"])


@AFTER_A_ROUND
@pytest.mark.parametrize("end", [stop, interrupt])
def test_whoever_ends_the_search_early_gets_what_it_has(end, gtol):
    before = signal.getsignal(signal.SIGINT)
    result, whole = search(callback=end, gtol=gtol), search(gtol=gtol)
    assert signal.getsignal(signal.SIGINT) is before
    stopped = np.asarray(result.status == Status.STOPPED)
    assert np.sum(stopped) >= N_STARTS - LANES
    assert np.all(stopped) == (gtol == 0)
    assert result.n_success == N_STARTS - np.sum(stopped)
    assert same_bits(rows(result, ~stopped), rows(whole, ~stopped))
    # What took a step has the value of its point, what did not is a start without one.
    evaluated = ~stopped | np.asarray(result.n_steps > 0)
    assert np.sum(evaluated) == LANES
    assert same_bits(np.asarray(result.x)[~evaluated], np.asarray(result.starts)[~evaluated])
    values = np.where(evaluated, himmelblaus(result.x), np.nan)
    np.testing.assert_allclose(result.fun, values, rtol=1e-13, atol=1e-13)
    np.testing.assert_array_equal(np.isnan(result.grad_norm), ~evaluated)
    assert result.best.fun == np.nanmin(result.fun)


@AFTER_A_ROUND
def test_searches_that_never_began_are_not_counted_as_useful(gtol):
    result = search(callback=stop, gtol=gtol)
    evaluations = np.sum(result.n_steps) + np.sum(np.asarray(result.status) != Status.STOPPED)
    round_steps = np.max(search(callback=stop, gtol=0.0).n_steps)
    expected = float(evaluations) / float(LANES * round_steps)
    np.testing.assert_allclose(result.lane_efficiency, expected, rtol=1e-6)


def test_ctrl_c_while_it_compiles_gives_the_starts_without_values():
    once = iter([interrupt])

    def fun(x):
        for end in once:
            end(None)
        return jnp.sum(x**2)

    result = explore(fun, ([-1.0, -2.0], [1.0, 2.0]), SGD, key=KEY, n_starts=5)
    assert np.all(result.status == Status.STOPPED)
    assert same_bits(result.x, result.starts)
    assert np.all(result.n_steps == 0)
    assert np.all(np.isnan(result.fun) & np.isnan(result.grad_norm))
    assert 0 <= result.lane_efficiency <= 1


def test_an_error_in_the_callback_comes_through_and_the_handler_is_restored():
    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(ZeroDivisionError):
        search(callback=lambda progress: 1 / 0)
    assert signal.getsignal(signal.SIGINT) is before


def test_it_runs_in_another_thread(found):
    results = []
    thread = threading.Thread(target=lambda: results.append(search()))
    thread.start()
    thread.join()
    assert same_bits(rows(results[0]), rows(found))


def test_a_progress_bar_shows_starts_value_and_success(found, capsys):
    pytest.importorskip("tqdm")
    assert same_bits(rows(search(progress=True)), rows(found))
    shown = capsys.readouterr().err
    assert "compiling" in shown
    last = shown.splitlines()[-1]
    assert "searching: 100%" in last
    assert f"{N_STARTS}/{N_STARTS}" in last
    assert f"best {float(found.best.fun):.6g}, success 100%" in last


def test_a_progress_bar_without_tqdm_names_the_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "tqdm.auto", None)
    with pytest.raises(ImportError, match="pip install tqdm"):
        search(progress=True)


# The pace


def drain(monkeypatch, slices, save_every=1e6, watchers=()):
    """What the queue was asked and when it was saved, by a clock that only its slices move.

    `slices` holds the seconds that a round takes in each slice; after the last the queue is dry.
    """
    began = 64.0
    seconds, rounds, saved = [began], [], []
    monkeypatch.setattr(drive.time, "perf_counter", lambda: seconds[0])

    class Program:
        n_starts = 10 * len(slices)
        first_rounds = 1

        def advance(self, queue, n_rounds):
            rounds.append(n_rounds)
            seconds[0] += n_rounds * slices[queue]
            queue += 1
            return queue, (10 * queue, -queue, np.full(queue, -1.0))

    drive.drive(
        Program(),
        0,
        list(watchers),
        threading.Event(),
        lambda queue: saved.append((queue, seconds[0] - began)),
        save_every,
    )
    return rounds, saved


def test_slices_grow_to_half_a_second_and_shrink_with_slow_rounds(monkeypatch):
    seen = []
    slices = [1 / 64] * 4 + [1 / 32, 1 / 32, 8.0, 1 / 64, 1 / 64]
    rounds, saved = drain(monkeypatch, slices, watchers=[seen.append])
    assert rounds == [1, 4, 16, 32, 32, 16, 16, 1, 4]
    ends = np.cumsum(np.multiply(rounds, slices))
    assert [one[:5] for one in seen] == [(10 * k, 90, k, -k, ends[k - 1]) for k in range(1, 10)]
    assert [one.fun.tolist() for one in seen] == [[-1.0] * k for k in range(1, 10)]
    assert saved == [(9, ends[-1])]  # complete, and not before


def test_it_is_saved_when_the_interval_is_over_and_when_somebody_stops_it(monkeypatch):
    half_seconds = [1 / 2] * 8
    assert drain(monkeypatch, half_seconds, 1.0) == ([1] * 8, [(3, 1.5), (6, 3.0), (8, 4.0)])

    def stops(progress):
        if progress.done == 20:
            raise StopIteration

    assert drain(monkeypatch, half_seconds, 1.25, [stops]) == ([1] * 2, [(2, 1.0)])


@pytest.mark.parametrize(
    ("wishes", "agreed"),
    [
        ([[4, False, True], [9, False, False]], (4, False, True)),
        ([[4, False, False], [9, False, True]], (4, False, False)),
        ([[4, True, False], [9, False, False]], (4, True, False)),
        ([[4, False, False], [9, True, False]], (4, True, False)),
    ],
)
def test_the_first_process_sets_the_pace_and_any_may_stop_all(monkeypatch, wishes, agreed):
    monkeypatch.setattr(jax, "process_count", lambda: 2)
    monkeypatch.setattr(
        drive.multihost_utils, "process_allgather", lambda wish: np.array([wish, wishes[1]])
    )
    assert drive.agreed(drive.Wish(*wishes[0])) == agreed


def test_a_search_ends_when_its_time_is_over():
    def fun(x):
        return jnp.sum(jnp.sin(x) ** 2) + 1e-3 * jnp.sum(x**2)

    began = time.perf_counter()
    found = multistart(
        fun, (-5.0, 5.0), SGD, key=KEY, n_starts=10**4, lanes=16, gtol=0.0, max_steps=10**5,
        max_seconds=2.0,
    )  # fmt: skip
    assert time.perf_counter() - began < 10
    assert Status.STOPPED in found.status
    assert found.n_finish.sum() == 0
    assert not found.interrupted
    with pytest.raises(ValueError, match="max_seconds must be"):
        multistart(fun, (-5.0, 5.0), SGD, key=KEY, max_seconds=-1.0)
