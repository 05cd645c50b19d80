"""What looks on while a queue runs: progress bars, and Ctrl-C."""

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import NamedTuple


class Progress(NamedTuple):
    """How far a `multistart` has come: what its callback is given.

    Attributes:
      done: searches that have ended.
      n_starts: searches in all.
      n_success: those that met a tolerance, or ran all their steps without one.
      best: the lowest value handed in so far, infinite before there is one.
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


@contextmanager
def progress_bar(n_starts: int) -> Iterator[Callable[[Progress], None]]:
    """A bar of tqdm's, as a function to call with every `Progress`."""
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
