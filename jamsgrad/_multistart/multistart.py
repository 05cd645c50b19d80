"""`multistart`: the host around the queue: devices, progress and interruption."""

import threading
import time
from collections.abc import Callable
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.experimental import multihost_utils
from jax.sharding import Mesh

from jamsgrad import _check
from jamsgrad._multistart import checkpoint as _checkpoint
from jamsgrad._multistart import devices as sharded
from jamsgrad._multistart.drive import Progress, interruptible, progress_bar
from jamsgrad._multistart.lanes import QueueState
from jamsgrad._multistart.result import MultiStartResult, Setup
from jamsgrad._multistart.starts import METHODS, inside, sample_starts
from jamsgrad._search import bounds as _bounds
from jamsgrad._search.minimize import check_arguments, floating
from jamsgrad._search.step import nan_is_data, stop_options

_STEPS_PER_ROUND = 128  # a stopped lane waits for half a round, and a round costs a few steps
_SLICE_SECONDS = 0.5  # between two looks at the queue: for progress, callbacks and Ctrl-C
_LANES = 1024  # enough to share what a step costs by itself, and their state stays in the cache
_UNFUSED = 4096  # numbers in an array whose reduction XLA on CPUs does not fuse: twice the time


@nan_is_data()
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
    lanes: int | None = None,
    mesh: Mesh | None = None,
    progress: bool = False,
    callback: Callable[[Progress], None] | None = None,
    checkpoint: str | Path | None = None,
    checkpoint_every: float = 60.0,
    max_steps: int = 1000,
    gtol: float | None = 1e-5,
    ftol: float | None = None,
    xtol: float | None = None,
    patience: int = 1,
) -> MultiStartResult:
    r"""Minimise `fun` from many starts at once, by any optax optimizer.

    A fixed number of lanes step together; a lane whose search has stopped hands in its result and
    takes the next start, so that nobody waits for the slowest. Without tolerances none stops early,
    and all lanes hand in together. Search i goes from start s_i, by the steps and the stop rules of
    `minimize`, to a point x_i:

    .. math::
      x_{i,0} = s_i, \quad
      x_{i,t} = \mathrm{Proj}(x_{i,t-1} + \text{optimizer}(\nabla f(x_{i,t-1}))), \quad
      f(x_\text{best}) = \min_i f(x_i)

    The starts depend on `key`, `n_starts` and the sampler (start i of "uniform" and "sobol" on
    `key` and i alone), not on the number of lanes, devices or processes, on progress bars or
    interruptions. With the same lanes per device the results are the same bit for bit; with
    another number of lanes, because XLA may vectorise differently, they are equal to rounding,
    which searches that are chaotic amplify.

    On CPUs give JAX a device per core before it starts (`jax.config.update("jax_num_cpu_devices",
    2)`) and pass `mesh=jax.make_mesh((2,), ("x",))`: that is how it uses several cores well.

    Args:
      fun: the objective, `fun(x, *args)`, written in `jax.numpy`: a real scalar.
      bounds: the box, in any of the forms of `minimize`; it gives x its shape: `(-5.0, 5.0)` is the
        box of one number, `([-5.0, -5.0], [5.0, 5.0])` of two. Finite, unless `starts` gives all
        starts.
      optimizer: any optax transformation; every search has its own state of it.
      key: a key of `jax.random`, from which the starts are drawn.
      n_starts: how many searches, at least 1.
      sampler: how starts are drawn: see `sample_starts`.
      starts: starts of your own, a tree like x with a new first axis; they come first, and drawn
        ones fill up to n_starts.
      args: further arguments of `fun`, trees of arrays.
      lanes: how many searches step together on a device, at least 1; no more than it has starts,
        rounded up to 16. None for 1024, or on CPUs for as many as hold 4095 numbers of x, if they
        are fewer and at least 128 (4 to 31 variables): that is up to twice as fast there.
      mesh: the devices to share the starts among, any `jax.sharding.Mesh`; None for one device.
      progress: whether to show a progress bar, which needs the extra `progress`.
      callback: called with a `Progress` about twice a second; raising StopIteration ends the
        search with what it has, as Ctrl-C does, on all processes.
      checkpoint: a folder for the state of the search, which needs the extra `checkpoint`. The same
        call with the same folder goes on where the last one stopped or was killed, bit for bit;
        once complete, it returns at once. One folder for all processes.
      checkpoint_every: seconds between two writings of it, at least 0.
      max_steps: the largest number of steps of a search, at least 0.
      gtol: as in `minimize`.
      ftol: as in `minimize`.
      xtol: as in `minimize`.
      patience: as in `minimize`.

    Returns:
      A `MultiStartResult`. Searches that ended badly are in it, with their best finite point if
        they met one.

    Raises:
      ValueError: if an option is out of its range, starts and bounds do not fit, the bounds leave
        nothing to search, or the checkpoint is of another search.
      TypeError: if `fun` does not return a real scalar, x is not floating, an argument has another
        type, or the call is under `jit`, `vmap` or `grad`.
      ImportError: if progress or checkpoints are asked for without their extra.
      RuntimeError: if another search uses the checkpoint.

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
    check_arguments(fun, optimizer, args)
    mesh = _one_axis(mesh)
    if callback is not None and not callable(callback):
        raise TypeError(f"callback must be a function of a Progress, got {callback!r}")
    stop = stop_options(max_steps, gtol, ftol, xtol, patience)
    n_starts = _check.integer("n_starts", n_starts, 1)
    lanes = None if lanes is None else _check.integer("lanes", lanes, 1)
    checkpoint_every = _check.in_range("checkpoint_every", checkpoint_every, 0)
    if not callable(sampler):
        _check.one_of("sampler", sampler, METHODS, or_else="a function")
    points = _all_starts(key, n_starts, bounds, sampler, starts)
    box = _box(bounds, points)
    if starts is None and box is not None and jax.tree.all(jax.tree.map(_equal, *box)):
        raise ValueError(
            f"bounds leave nothing to search: lower and upper are equal; {_bounds.A_TUPLE}"
        )
    data = sharded.Data(
        args=args,
        bounds=box,
        stop=stop,
        steps_per_round=_ceil(max_steps + 1, _ceil(max_steps + 1, _STEPS_PER_ROUND)),
    )
    share = sharded.share_of_each(mesh, n_starts)
    if lanes is None:
        lanes = _lanes_for(points, mesh.devices[0].platform)
    setting = sharded.Setting(
        fun=fun,
        optimizer=optimizer,
        mesh=mesh,
        n_lanes=min(lanes, 16 * _ceil(share, 16)),
    )
    shares, counts = sharded.share_out(mesh, points, n_starts, share)
    placed = sharded.on_all(mesh, data)
    advance = partial(sharded.advance, setting, placed, shares)
    look = partial(sharded.look, setting)

    with ExitStack() as stack:
        watchers = [] if callback is None else [callback]
        if progress:
            watchers.append(stack.enter_context(progress_bar(n_starts)))
        interrupted = stack.enter_context(interruptible())
        queue = sharded.init(setting, placed, shares, counts)
        load, save = _checkpoint.NOWHERE
        if checkpoint is not None:
            identity = _checkpoint.identity(setting, data, points)
            load, save = stack.enter_context(_checkpoint.opened(checkpoint, identity))
        queue = advance(load(queue), 0)
        look(queue)[0].block_until_ready()
        compiled = time.perf_counter()
        queue = _drain(
            advance, look, queue, n_starts, watchers, interrupted, save, checkpoint_every
        )
        searched = time.perf_counter() - compiled

    records, efficiency = sharded.collect(setting, placed, queue, n_starts)
    efficiency = float(efficiency)
    return MultiStartResult(
        starts=points,
        x=records.x,
        fun=records.fun,
        grad_norm=records.grad_norm,
        n_steps=records.n_steps,
        status=records.status,
        lane_efficiency=efficiency,
        seconds=searched,
        compile_seconds=time.perf_counter() - began - searched,
        _setup=Setup(fun, optimizer, args, box, stop),
    )


def _one_axis(mesh: Any) -> Mesh:
    """The devices of the mesh in a row."""
    if mesh is not None and not isinstance(mesh, Mesh):
        raise TypeError(f"mesh must be a jax.sharding.Mesh, got {mesh!r}")
    if mesh is not None and not mesh.size:
        raise ValueError(f"mesh must have a device, got {mesh!r}")
    devices = jax.local_devices()[:1] if mesh is None else mesh.devices.ravel()
    row = Mesh(devices, (sharded.DEVICES,))
    try:
        with jax.set_mesh(row):
            return row
    except ValueError:  # JAX is tracing
        raise TypeError(
            "multistart drives the devices itself: under jit and vmap use minimize"
        ) from None


def _all_starts(key: jax.Array, n: int, bounds: Any, sampler: str | Callable, own: Any) -> Any:
    """The user's own starts, filled up with drawn ones: start i is start i of the key."""
    if own is None:
        return sample_starts(key, n, bounds, sampler)
    try:
        own = np.asarray(own) if isinstance(own, list) else own
    except ValueError:
        raise ValueError(f"starts as a list must hold points of one shape, got {own!r}") from None
    own = floating(own, "starts")
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
    try:
        return _bounds.parse(bounds, one)
    except ValueError as error:
        shapes = jax.tree.map(lambda leaf: leaf.shape, starts)
        error.add_note(f"x is a row of the starts, whose shape is {shapes}")
        raise


def _equal(a: Any, b: Any) -> bool:
    return bool((a == b).all())


def _lanes_for(points: Any, platform: str) -> int:
    """How many lanes are fast for such points."""
    size = max(leaf[0].size for leaf in jax.tree.leaves(points))
    fused = (_UNFUSED - 1) // size // 16 * 16
    return fused if platform == "cpu" and 128 <= fused < _LANES else _LANES


def _drain(
    advance: Callable,
    look: Callable[[QueueState], tuple],
    queue: QueueState,
    n_starts: int,
    watchers: list[Callable[[Progress], None]],
    interrupted: threading.Event,
    save: Callable[[QueueState], None],
    save_every: float,
) -> QueueState:
    """Advance the queue in slices until it runs dry or somebody stops it."""
    began = saved = time.perf_counter()
    n_rounds, stop, _ = _agree(1, interrupted.is_set(), False)
    busy = True
    while busy and not stop:
        before = time.perf_counter()
        queue = advance(queue, n_rounds)
        busy, done, n_success, best = (x.item() for x in look(queue))
        now = time.perf_counter()
        try:
            for watch in watchers:
                watch(Progress(done, n_starts, n_success, best, now - began))
        except StopIteration:
            stop = True
        stop = stop or interrupted.is_set()
        n_rounds = max(1, min(4 * n_rounds, int(n_rounds * _SLICE_SECONDS / (now - before))))
        n_rounds, stop, due = _agree(n_rounds, stop, now - saved > save_every)
        if due or stop or not busy:
            save(queue)
            saved = time.perf_counter()
    return queue


def _agree(n_rounds: int, stop: bool, due: bool) -> tuple[int, bool, bool]:
    """What all processes do next: the first one sets the pace, any may stop all."""
    wishes = multihost_utils.process_allgather(np.array([n_rounds, stop, due])).reshape(-1, 3)
    return int(wishes[0, 0]), bool(wishes[:, 1].any()), bool(wishes[0, 2])


def _ceil(a: int, b: int) -> int:
    return -(-a // b)
