"""The host's side of a search: slices of rounds, and those who look on between them."""

import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import NamedTuple

import numpy as np
from jax.experimental import multihost_utils

from jamsgrad._multistart.devices import Program
from jamsgrad._multistart.lanes import Queue

_SLICE_SECONDS = 0.5  # between two looks at the queue: for progress, callbacks and Ctrl-C


class Progress(NamedTuple):
    """How far a `multistart` has come: what its callback is given.

    Attributes:
      done: searches that have ended.
      n_starts: searches in all.
      n_success: those that met a tolerance, or ran all their steps without one.
      best: the lowest value so far, infinite before there is one.
      seconds: since the first step.

    Example:
      >>> import jamsgrad
      >>> def report(progress: jamsgrad.Progress) -> None:
      ...     print(f"{progress.done} of {progress.n_starts}: best {progress.best:.3g}")
    """

    done: int
    n_starts: int
    n_success: int
    best: float
    seconds: float


class Wish(NamedTuple):
    """What a process wants to do next: so many rounds, or to stop; and whether to save before."""

    n_rounds: int
    stop: bool
    save: bool


def drive(
    program: Program,
    queue: Queue,
    watchers: list[Callable[[Progress], None]],
    interrupted: threading.Event,
    save: Callable[[Queue], None],
    save_every: float,
) -> Queue:
    """Advance the queue in slices until it runs dry or somebody stops it."""
    began = saved = time.perf_counter()
    wish = agreed(Wish(1, interrupted.is_set(), save=False))
    done = 0
    while done < program.n_starts and not wish.stop:
        before = time.perf_counter()
        queue, look = program.advance(queue, wish.n_rounds)
        done, n_success, best = look
        now = time.perf_counter()
        stop = False
        try:
            for watch in watchers:
                watch(Progress(done, program.n_starts, n_success, best, now - began))
        except StopIteration:
            stop = True
        n_rounds = int(wish.n_rounds * _SLICE_SECONDS / (now - before))
        n_rounds = max(1, min(4 * wish.n_rounds, n_rounds))
        wish = agreed(Wish(n_rounds, stop or interrupted.is_set(), now - saved > save_every))
        if wish.save or wish.stop or done == program.n_starts:
            save(queue)
            saved = time.perf_counter()
    return queue


def agreed(wish: Wish) -> Wish:
    """What all processes do next: the first one sets the pace, any may stop all."""
    wishes = multihost_utils.process_allgather(np.array(wish)).reshape(-1, 3)
    return Wish(int(wishes[0, 0]), bool(wishes[:, 1].any()), bool(wishes[0, 2]))


@contextmanager
def progress_bar(n_starts: int) -> Iterator[Callable[[Progress], None]]:
    """A bar of tqdm, as a function to call with every `Progress`."""
    try:
        from tqdm.auto import tqdm  # noqa: PLC0415, an extra
    except ImportError:
        raise ImportError("progress=True needs tqdm: pip install tqdm") from None

    with tqdm(total=n_starts, desc="compiling", unit=" starts") as bar:

        def show(progress: Progress) -> None:
            bar.set_description("searching", refresh=False)
            success = progress.n_success / max(progress.done, 1)
            bar.set_postfix_str(f"best {progress.best:.6g}, success {success:.0%}", refresh=False)
            bar.update(progress.done - bar.n)

        yield show


@contextmanager
def interruptible() -> Iterator[threading.Event]:
    """Ctrl-C sets an event instead of raising, so that no queue is lost half way."""
    event = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield event
        return
    before = signal.signal(signal.SIGINT, lambda *_: event.set())
    try:
        yield event
    finally:
        # None if it was not Python that had set it; then there is no way to set it again.
        signal.signal(signal.SIGINT, signal.SIG_DFL if before is None else before)
