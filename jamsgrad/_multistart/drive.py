"""The host's side of a search: slices of rounds, and those who look on between them."""

import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from enum import IntEnum
from typing import NamedTuple, Protocol, TypeVar

import jax
import numpy as np
from jax.experimental import multihost_utils

Queue = TypeVar("Queue")

_SLICE_SECONDS = 0.5  # between two looks at the queue: for progress, callbacks and Ctrl-C


class Progress(NamedTuple):
    """How far a `multistart` has come: what its callback is given.

    Attributes:
      done: searches that have ended.
      n_starts: searches in all.
      n_success: those that met a tolerance, or ran all their steps without one.
      best: the lowest value so far, infinite before there is one.
      seconds: since the first step.
      fun: the values of those that ended with success, before their finish, shape (n_success,).

    Example:
      >>> import jamsgrad
      >>> def hit_often(progress: jamsgrad.Progress) -> None:
      ...     if (progress.fun < progress.best + 1e-3).sum() >= 50:
      ...         raise StopIteration  # the search ends with what it has
    """

    done: int
    n_starts: int
    n_success: int
    best: float
    seconds: float
    fun: np.ndarray


class End(IntEnum):
    """Why a process wants to stop, if it does; the largest of all processes counts."""

    GO_ON = 0
    ENOUGH = 1
    INTERRUPTED = 2
    FAILED = 3


class Wish(NamedTuple):
    """What a process wants to do next: so many rounds, or to stop; and whether to save before."""

    n_rounds: int
    end: End
    save: bool


class CtrlC(threading.Event):
    """Set by Ctrl-C. The second one raises KeyboardInterrupt, but not while that is held.

    The third one raises in any case.
    """

    def __init__(self) -> None:
        """Nobody has pressed it."""
        super().__init__()
        self._times, self._held = 0, False

    @property
    def end(self) -> End:
        """What this process wishes because of it."""
        return _end(self)

    def press(self, *_: object) -> None:
        """Handle the signal."""
        self.set()
        self._times += 1
        if self._times > 2 or (self._times == 2 and not self._held):
            raise KeyboardInterrupt

    def second(self) -> KeyboardInterrupt | None:
        """The error that was held, if any."""
        return KeyboardInterrupt() if self._times > 1 else None

    @contextmanager
    def held(self, held: bool = True) -> Iterator[None]:
        """Hold KeyboardInterrupt, so that no queue is lost half way; or hold it no more."""
        before, self._held = self._held, held
        try:
            yield
        finally:
            self._held = before

    def let_through(self, watch: Callable[[Progress], None]) -> Callable[[Progress], None]:
        """A function of the user, which may run for long, with KeyboardInterrupt."""

        def watched(progress: Progress) -> None:
            with self.held(held=False):
                watch(progress)

        return watched


class Driven(Protocol[Queue]):
    """What can be driven: `devices.Program`, whose words these are."""

    n_starts: int
    first_rounds: int

    def advance(
        self, queue: Queue, n_rounds: int
    ) -> tuple[Queue, tuple[int, float, np.ndarray]]: ...


def drive(
    program: Driven[Queue],
    queue: Queue,
    watchers: Sequence[Callable[[Progress], None]],
    interrupted: threading.Event,
    save: Callable[[Queue], None],
    save_every: float,
) -> tuple[Queue, BaseException | None]:
    """Advance the queue in slices until it runs dry or somebody stops it.

    An error of those who look on ends it too, and is returned; it is saved before.
    """
    began = saved = time.perf_counter()
    error = None
    wish = agreed(Wish(program.first_rounds, _end(interrupted), save=False))
    done = 0
    while done < program.n_starts and not wish.end:
        before = time.perf_counter()
        queue, look = program.advance(queue, wish.n_rounds)
        done, best, fun = look
        now = time.perf_counter()
        end = End.FAILED if error else End.GO_ON
        try:
            for watch in watchers:
                watch(Progress(done, program.n_starts, fun.size, best, now - began, fun))
        except StopIteration:
            end = max(end, End.ENOUGH)
        except BaseException as raised:  # also KeyboardInterrupt: what was searched is saved first
            end, error = End.FAILED, raised
        n_rounds = int(wish.n_rounds * _SLICE_SECONDS / (now - before))
        n_rounds = max(1, min(4 * wish.n_rounds, n_rounds))
        wish = agreed(Wish(n_rounds, max(end, _end(interrupted)), now - saved > save_every))
        if wish.save or wish.end or done == program.n_starts:
            try:
                save(queue)
            except BaseException as raised:  # where warnings are errors, or a third Ctrl-C
                error = error or raised
            saved = time.perf_counter()
    if wish.end == End.FAILED and error is None:
        error = RuntimeError("multistart was ended by an error in another process")
    return queue, error


def _end(interrupted: threading.Event) -> End:
    return End.INTERRUPTED if interrupted.is_set() else End.GO_ON


def agreed(wish: Wish) -> Wish:
    """What all processes do next: the first one sets the pace, any may stop all."""
    if jax.process_count() == 1:
        return wish
    wishes = multihost_utils.process_allgather(np.array(wish)).reshape(-1, 3)
    return Wish(int(wishes[0, 0]), End(wishes[:, 1].max()), bool(wishes[0, 2]))


def until(over: float) -> Callable[[Progress], None]:
    """Ends a search when its time is over, of `time.perf_counter`."""

    def watch(_: Progress) -> None:
        if time.perf_counter() >= over:
            raise StopIteration

    return watch


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
def interruptible() -> Iterator[CtrlC]:
    """The first Ctrl-C sets an event instead of raising; the handler of before comes back.

    Only the main thread hears of signals, and a process that ignores them goes on to do so.
    """
    ctrl_c = CtrlC()
    main = threading.current_thread() is threading.main_thread()
    if not main or signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
        yield ctrl_c
        return
    before = signal.signal(signal.SIGINT, ctrl_c.press)
    try:
        yield ctrl_c
    finally:
        # None if it was not Python that had set it; then there is no way to set it again.
        signal.signal(signal.SIGINT, signal.SIG_DFL if before is None else before)
