"""Ctrl-C and errors of callbacks end a search, and lose nothing of it."""

import _thread
import signal
import threading
from contextlib import contextmanager

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from many import KEY, N_STARTS, SGD, rows, search, stop
from reference import explore, same_bits

from jamsgrad import MultiStartResult, Status
from jamsgrad._multistart import drive
from jamsgrad._multistart import multistart as multistart_module


def press(times):
    for _ in range(times):
        signal.raise_signal(signal.SIGINT)


def pressing(times):
    return lambda _: press(times)


def test_the_first_ctrl_c_marks_the_result(tmp_path):
    found = search(callback=pressing(1))
    assert found.interrupted
    assert np.any(found.status == Status.STOPPED)
    found.save(tmp_path / "found.npz")
    assert MultiStartResult.load(tmp_path / "found.npz").interrupted


@pytest.mark.parametrize("callback", [None, stop])
def test_what_nobody_interrupted_is_not_marked(callback):
    assert not search(callback=callback).interrupted


def test_it_is_marked_even_if_all_was_done():
    def at_the_end(progress):
        if progress.done == N_STARTS:
            press(1)

    found = search(callback=at_the_end)
    assert found.interrupted
    assert found.n_success == N_STARTS


class OwnError(Exception):
    @property
    def result(self):
        return "mine"


def raising(error):
    def callback(progress):
        raise error

    return callback


ENDS = {
    "second Ctrl-C": (pressing(2), KeyboardInterrupt),
    "KeyboardInterrupt": (raising(KeyboardInterrupt()), KeyboardInterrupt),
    "an error": (raising(ZeroDivisionError("mine")), ZeroDivisionError),
    "an exit": (raising(SystemExit(3)), SystemExit),
    "a thread": (lambda _: [_thread.interrupt_main() for _ in range(2)], KeyboardInterrupt),
}


@pytest.mark.parametrize("name", ENDS)
def test_an_error_carries_what_was_searched(name, tmp_path):
    pytest.importorskip("orbax.checkpoint")
    callback, kind = ENDS[name]
    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(kind) as raised:
        search(callback=callback, checkpoint=tmp_path / "kept", lanes=32)
    assert signal.getsignal(signal.SIGINT) is before
    found = raised.value.result
    ended = np.sum(found.status != Status.STOPPED)
    assert np.any(found.n_steps > 0)
    assert found.interrupted == (kind is KeyboardInterrupt)
    (note,) = raised.value.__notes__
    assert f"{ended} of 300 searches had ended; see error.result and checkpoint=" in note
    seen = []
    resumed = search(checkpoint=tmp_path / "kept", lanes=32, callback=seen.append)
    assert seen[0].done >= ended
    assert same_bits(rows(resumed), rows(search(lanes=32)))


def test_an_error_that_has_a_result_of_its_own_comes_through():
    with pytest.raises(OwnError) as raised:
        search(callback=raising(OwnError()))
    assert raised.value.result == "mine"
    assert not hasattr(raised.value, "__notes__")


@pytest.mark.parametrize("times", [1, 2])
def test_ctrl_c_while_it_is_written_waits_until_that_is_done(tmp_path, times, monkeypatch):
    pytest.importorskip("orbax.checkpoint")
    opened, once = multistart_module.opened, iter([times])

    @contextmanager
    def with_press(*given):
        with opened(*given) as (load, save):

            def pressed(*given):
                press(next(once, 0))
                save(*given)

            yield load, pressed

    with monkeypatch.context() as patched:
        patched.setattr(multistart_module, "opened", with_press)
        options = {"checkpoint": tmp_path / "a", "checkpoint_every": 0.0, "lanes": 32}
        if times == 1:
            assert search(**options).interrupted
        else:
            with pytest.raises(KeyboardInterrupt) as raised:
                search(**options)
            assert raised.value.result.interrupted
    assert not list(once)
    assert same_bits(rows(search(**options)), rows(search(lanes=32)))


@pytest.mark.parametrize("times", [1, 2])
def test_ctrl_c_before_the_first_step(times):
    once = iter([times])

    def fun(x):
        press(next(once, 0))
        return jnp.sum(x**2)

    run = lambda: explore(fun, ([-1.0, -2.0], [1.0, 2.0]), SGD, key=KEY, n_starts=5)  # noqa: E731
    if times == 1:
        assert run().interrupted
    else:
        with pytest.raises(KeyboardInterrupt):
            run()
    assert not run().interrupted


def test_the_third_one_raises_while_the_second_is_held():
    with drive.interruptible() as ctrl_c, ctrl_c.held():
        press(2)
        assert isinstance(ctrl_c.second(), KeyboardInterrupt)
        with pytest.raises(KeyboardInterrupt):
            press(1)


def test_a_process_that_ignores_ctrl_c_goes_on_to_do_so():
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        assert not search(callback=pressing(3)).interrupted
    finally:
        signal.signal(signal.SIGINT, before)


def test_another_thread_hears_of_no_signal_and_hands_over_its_errors():
    found = []

    def run():
        found.append(search().interrupted)
        with pytest.raises(ZeroDivisionError) as raised:
            search(callback=raising(ZeroDivisionError()))
        found.append(raised.value.result.interrupted)

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    assert found == [False, False]


def test_where_another_process_fails_this_one_says_so(monkeypatch):
    def with_another(wish):
        return np.array([wish, (1, drive.End.FAILED if wish[0] > 1 else 0, 0)])

    monkeypatch.setattr(jax, "process_count", lambda: 2)
    monkeypatch.setattr(drive.multihost_utils, "process_allgather", with_another)
    with pytest.raises(RuntimeError, match="by an error in another process") as raised:
        search(gtol=0.0)
    assert np.all(raised.value.result.status == Status.STOPPED)


@pytest.mark.filterwarnings("ignore:no derivative of fun reaches x")
def test_an_error_in_the_compiled_program_comes_through():
    def fun(x):
        shape = jax.ShapeDtypeStruct((), x.dtype)
        x = jax.lax.stop_gradient(x)
        return jax.pure_callback(lambda _: 1 / 0, shape, x, vmap_method="sequential")

    with pytest.raises(jax.errors.JaxRuntimeError, match="ZeroDivisionError"):
        explore(fun, ([-1.0, -2.0], [1.0, 2.0]), SGD, key=KEY, n_starts=5, max_steps=3)
