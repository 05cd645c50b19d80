"""`multistart`: the host around the queue: devices, progress and interruption."""

import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.sharding import Mesh

from jamsgrad import _bounds, _check
from jamsgrad import _sharded_queue as sharded
from jamsgrad._minimize import check_arguments, floating
from jamsgrad._multistart_result import MultiStartResult, Question
from jamsgrad._queue import QueueState
from jamsgrad._search import stop_options
from jamsgrad._starts import inside, sample_starts

_STEPS_PER_ROUND = 128  # a stopped lane waits for half a round, and a round costs a few steps
_SLICE_SECONDS = 0.5  # between two looks at the queue: for progress, callbacks and Ctrl-C
_ALL = 2**30  # more rounds than any queue needs


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


def multistart(
    fun: Callable,
    bounds: Any,
    optimizer: optax.GradientTransformation,
    *,
    key: jax.Array,
    n_starts: int = 1024,
    sampler: str | Callable = "uniform",
    starts: Any = None,
    args: tuple = (),
    lanes: int = 1024,
    mesh: Mesh | None = None,
    progress: bool = False,
    callback: Callable[[Progress], None] | None = None,
    max_steps: int = 1000,
    gtol: float | None = 1e-5,
    ftol: float | None = None,
    xtol: float | None = None,
    patience: int = 1,
) -> MultiStartResult:
    r"""Minimise `fun` from many starts at once, by any optax optimizer.

    A fixed number of lanes step together; a lane whose search has stopped hands in its result and
    takes the next start, so that nobody waits for the slowest. Start i and its result depend on
    `key` and i, not on the number of devices or processes, on progress bars or interruptions:
    with the same lanes per device results are the same bit for bit. Another number of lanes gives
    the same starts and, because XLA may vectorise differently, results that are equal to rounding.

    On CPUs give JAX a device per core before it starts (`jax.config.update("jax_num_cpu_devices",
    2)`) and pass `mesh=jax.make_mesh((2,), ("x",))`: that is how it uses several cores well.

    Args:
      fun: the objective, `fun(x, *args)`: a real scalar.
      bounds: the box, in any of the forms of `minimize`; it gives x its shape. Finite, unless
        `starts` gives all starts.
      optimizer: any optax transformation; every search has its own state of it.
      key: a key of `jax.random`, from which the starts are drawn.
      n_starts: how many searches, at least 1.
      sampler: how starts are drawn: see `sample_starts`.
      starts: starts of your own, a tree like x with a new first axis; they come first, and drawn
        ones fill up to n_starts.
      args: further arguments of `fun`, trees of arrays.
      lanes: how many searches step together on a device, at least 1. On CPUs 512 to 2048 are best.
      mesh: the devices to share the starts among, any `jax.sharding.Mesh`; None for one device.
      progress: whether to show a progress bar, which needs the extra `progress`.
      callback: called with a `Progress` about twice a second; raising StopIteration ends the
        search with what it has, as Ctrl-C does. With several processes it must do so on all.
      max_steps: the largest number of steps of a search, at least 0.
      gtol: as in `minimize`.
      ftol: as in `minimize`.
      xtol: as in `minimize`.
      patience: as in `minimize`.

    Returns:
      A `MultiStartResult`. Searches that ended badly are in it, with their best finite point.

    Raises:
      ValueError: if an option is out of its range, or starts and bounds do not fit.
      TypeError: if `fun` does not return a real scalar, or x is not floating.
      ImportError: if progress or checkpoints are asked for without their extra.

    Example:
      >>> import jax
      >>> import jamsgrad
      >>> problem = jamsgrad.problems.himmelblau
      >>> result = jamsgrad.multistart(
      ...     problem.fun, problem.bounds, jamsgrad.amsgrad(0.3, b2=0.99), key=jax.random.key(0),
      ...     n_starts=200, gtol=1e-3)
      >>> len(result.minima), result.n_success
      (4, 200)

    References:
      The stop rules and the projection are those of `minimize`.
    """
    began = time.perf_counter()
    check_arguments(optimizer, args)
    stop = stop_options(max_steps, gtol, ftol, xtol, patience)
    n_starts = _check.integer("n_starts", n_starts, 1)
    lanes = _check.integer("lanes", lanes, 1)
    points = _all_starts(key, n_starts, bounds, sampler, starts)
    data = sharded.Data(args, _box(bounds, points), stop)

    devices = np.array(jax.devices()[:1]) if mesh is None else mesh.devices.ravel()
    share = _ceil(n_starts, devices.size)
    setting = sharded.Setting(
        fun=fun,
        optimizer=optimizer,
        mesh=Mesh(devices, (sharded.DEVICES,)),
        n_lanes=min(lanes, 16 * _ceil(share, 16)),
        steps_per_round=_ceil(max_steps + 1, _ceil(max_steps + 1, _STEPS_PER_ROUND)),
    )
    shares, counts = sharded.share_out(setting.mesh, points, n_starts, share)

    with ExitStack() as stack:
        watchers = [] if callback is None else [callback]
        if progress:
            watchers.append(stack.enter_context(_progress_bar(n_starts)))
        interrupted = stack.enter_context(_interruptible())
        queue = sharded.init(setting, data, shares, counts)
        advance = partial(sharded.advance, setting, data, shares)
        queue = jax.block_until_ready(advance(queue, 0))
        compiled = time.perf_counter()
        look = partial(sharded.look, setting)
        queue = _drain(advance, look, queue, n_starts, watchers, interrupted)
    seconds = time.perf_counter() - compiled

    records, efficiency = sharded.collect(setting, data, queue, n_starts)
    return MultiStartResult(
        starts=points,
        x=records.x,
        fun=records.fun,
        grad_norm=records.grad_norm,
        n_steps=records.n_steps,
        status=records.status,
        lane_efficiency=float(efficiency),
        seconds=seconds,
        compile_seconds=compiled - began,
        question=Question(fun, optimizer, args, data.bounds, stop),
    )


def _all_starts(key: jax.Array, n: int, bounds: Any, sampler: str | Callable, own: Any) -> Any:
    """The user's own starts, filled up with drawn ones: start i is start i of the key."""
    if own is None:
        return sample_starts(key, n, bounds, sampler)
    own = floating(np.asarray(own) if isinstance(own, list) else own, "starts")
    counts = {leaf.shape[:1] for leaf in jax.tree.leaves(own)}
    if len(counts) != 1 or counts == {()}:
        shapes = jax.tree.map(lambda leaf: leaf.shape, own)
        raise ValueError(f"starts need one common first axis of starts, got shapes {shapes}")
    ((n_own,),) = counts
    box = _box(bounds, own)
    if box is not None:
        own = inside(own, n_own, box)
    if n_own > n:
        raise ValueError(f"starts holds {n_own} starts, more than n_starts = {n}")
    if n_own == n:
        return own
    drawn = sample_starts(key, n, box, sampler)
    return jax.tree.map(lambda a, b: jnp.concatenate([a, b[n_own:]]), own, drawn)


def _box(bounds: Any, starts: Any) -> _bounds.Bounds | None:
    """The box of one search, whose x is a row of the starts."""
    one = jax.tree.map(lambda leaf: jax.ShapeDtypeStruct(leaf.shape[1:], leaf.dtype), starts)
    return _bounds.parse(bounds, one)


def _drain(
    advance: Callable,
    look: Callable[[QueueState], tuple],
    queue: QueueState,
    n_starts: int,
    watchers: list[Callable[[Progress], None]],
    interrupted: threading.Event,
) -> QueueState:
    """Advance the queue in slices until it runs dry or somebody stops it."""
    began = time.perf_counter()
    # Several processes must agree on every slice, so without watchers they take only one.
    n_rounds = 1 if jax.process_count() == 1 or watchers else _ALL
    busy = True
    while busy and not interrupted.is_set():
        before = time.perf_counter()
        queue = advance(queue, n_rounds)
        busy, done, n_success, best = (x.item() for x in look(queue))
        now = time.perf_counter()
        if jax.process_count() == 1:
            n_rounds = max(1, min(2 * n_rounds, int(n_rounds * _SLICE_SECONDS / (now - before))))
        try:
            for watch in watchers:
                watch(Progress(done, n_starts, n_success, best, now - began))
        except StopIteration:
            break
    return queue


@contextmanager
def _interruptible() -> Iterator[threading.Event]:
    """Ctrl-C sets an event instead of raising, so that no queue is lost half way."""
    event = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield event
        return
    before = signal.signal(signal.SIGINT, lambda *_: event.set())
    try:
        yield event
    finally:
        signal.signal(signal.SIGINT, before)


@contextmanager
def _progress_bar(n_starts: int) -> Iterator[Callable[[Progress], None]]:
    try:
        from tqdm.auto import tqdm  # noqa: PLC0415, an extra
    except ImportError:
        raise ImportError("progress=True needs tqdm: pip install 'jamsgrad[progress]'") from None

    with tqdm(total=n_starts, desc="compiling", unit=" starts") as bar:

        def show(progress: Progress) -> None:
            bar.set_description("searching", refresh=False)
            success = progress.n_success / max(progress.done, 1)
            bar.set_postfix_str(f"best {progress.best:.6g}, success {success:.0%}", refresh=False)
            bar.update(progress.done - bar.n)

        yield show


def _ceil(a: int, b: int) -> int:
    return -(-a // b)
