"""`multistart`: from its arguments to a program, which is driven to a result."""

import contextlib
import math
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from functools import partial
from pathlib import Path
from typing import Unpack

import jax
import optax
from jax.sharding import Mesh

from jamsgrad import _check, _names
from jamsgrad._check import nan_is_data
from jamsgrad._multistart import devices
from jamsgrad._multistart.checkpoint import opened
from jamsgrad._multistart.devices import copied
from jamsgrad._multistart.drive import Progress
from jamsgrad._multistart.identity import identity
from jamsgrad._multistart.plan import Plan, Screen, as_screen
from jamsgrad._multistart.result import MultiStartResult, result_of
from jamsgrad._multistart.run import Load, Save, Watch, run
from jamsgrad._multistart.starts import Sampler, draws_of, starts_and_box
from jamsgrad._search.finish import Finish
from jamsgrad._search.minimize import StopOptions, checked_task, stop_by
from jamsgrad._search.stopping import Status
from jamsgrad._tree import PRNGKey, Tree


@_names.our_names(_names.OF_SEARCHES)
@nan_is_data()
def multistart(
    fun: Callable[..., Tree],
    bounds: Tree,
    optimizer: optax.GradientTransformation,
    *,
    key: PRNGKey | None = None,
    n_starts: int | None = None,
    starts: Sampler | Tree = "uniform",
    screen: int | tuple[int, int] = 1,
    finish: Finish = "auto",
    args: tuple[Tree, ...] = (),
    lanes: int | None = None,
    mesh: Mesh | None = None,
    max_seconds: float | None = None,
    progress: bool = False,
    callback: Callable[[Progress], None] | None = None,
    checkpoint: str | Path | None = None,
    checkpoint_every: float = 60.0,
    **stop: Unpack[StopOptions],
) -> MultiStartResult:
    r"""Minimise `fun` from many starts at once, by any optax optimizer.

    A fixed number of lanes step together. When the search of a lane has stopped, the lane takes the
    next start, so that no search waits for the slowest. Search i goes from start s_i, by the steps
    and the stop rules of `minimize`, to a point x_i:

    .. math::
      x_{i,0} = s_i, \quad
      x_{i,t} = \mathrm{Proj}(x_{i,t-1} + \text{optimizer}(\nabla f(x_{i,t-1}))), \quad
      f(x_\text{best}) = \min_i f(x_i)

    The starts depend on `key`, `n_starts` and `starts` alone; start i of "uniform" and "sobol"
    depends on `key` and i alone. With the same number of lanes per device the results are the same
    bit for bit, whatever the number of devices and processes, and after interruptions too. With
    another number of lanes they are equal to rounding, because XLA may vectorise differently, and
    chaotic searches amplify rounding.

    The optimizer explores, and `finish` ends each search, by default with Newton's method: then a
    minimum is known to the last digits, and a search that ran out of steps near one succeeds too.

    To use several cores well, give JAX a device per core before it starts
    (`jax.config.update("jax_num_cpu_devices", 2)`), and pass `mesh=jax.make_mesh((2,), ("x",))`.

    Args:
      fun: the objective, `fun(x, *args)`, written in `jax.numpy`. It returns a real scalar.
        Whatever it reads besides its arguments is read once, when JAX traces it, and never again:
        pass data that change in `args`. It is traced anew if the globals, the variables or the
        attributes that its code names are other objects than before. The result keeps what was
        traced: its minima and `rerun` are of the objective that was searched.
      bounds: the box, in any of the forms of `minimize`. It gives x its shape: `(-5.0, 5.0)` is a
        box for one number, `([-5.0, -5.0], [5.0, 5.0])` for two. It must be finite, unless `starts`
        gives all starts.
      optimizer: any optax transformation; every search has its own state of it.
      key: a key of `jax.random`, from which the starts are drawn; needed unless `starts` gives all.
      n_starts: how many searches, at least 1; None for 1024, or as many as `starts` has points.
      starts: how starts are drawn, "uniform", "sobol", "lhs" or a function: see `sample_starts`. Or
        points of your own, a tree like x with a new first axis; where n_starts is larger than their
        number, uniform ones follow them.
      screen: how many candidates there are for each start, at least 1; or (candidates, steps), the
        steps being 50 otherwise, at least 0. Each candidate is searched for so many steps, or until
        a tolerance stops it; the one with the lowest value is where search i starts, with a new
        state of the optimizer. Candidates are drawn as starts are; of points of your own the
        first k are those of start 0. A screening counts neither for `n_steps` nor for the
        `callback`, and after an interruption it is repeated.
      finish: what takes over at the best point of each search that has stopped, for at most 100
        steps, else as in `minimize`; "auto" is `newton()` for at most 64 variables. Statuses,
        values and minima are those after it, `n_steps` counts both, and `n_finish` its own. None
        leaves the ends as they are. After Ctrl-C there is no finish.
      args: further arguments of `fun`, trees of arrays.
      lanes: how many searches step together on a device, at least 1; no more than it has starts,
        rounded up to 16. None for 1024 on CPU, and for 65,536 on accelerators, or fewer where x has
        more than 64 variables. On CPU, for 4 to 31 variables, None is 4095 // variables, rounded
        down to a multiple of 16, which is up to twice as fast.
      mesh: the devices to share the starts among, any `jax.sharding.Mesh`; None for one device.
      max_seconds: how long the call may take; None for as long as it needs. The time to compile
        counts, but cannot be interrupted.
        Then it returns what there is, up to a second later: searches under way are STOPPED, and
        none is finished.
      progress: whether to show a progress bar, which needs the extra `progress`.
      callback: called with a `Progress` about twice a second; raising StopIteration ends the
        search with what it has, as Ctrl-C does, on all processes. Another error ends it, too: then
        `error.result` is the result so far.
      checkpoint: a folder for the state of the search, which needs the extra `checkpoint`. The same
        call with the same folder goes on where the last one stopped or was killed, bit for bit;
        once complete, it returns at once. With another number of lanes or devices, or another
        version of JAX, the searches that had ended are kept and the others begin again. One folder
        for all processes.
      checkpoint_every: seconds between two writings of it, at least 0.
      **stop: `max_steps`, `gtol`, `ftol`, `xtol` and `patience`, as in `minimize`.

    Returns:
      A `MultiStartResult`. Searches that ended badly are in it, with their best finite point if
        they met one. After Ctrl-C it holds what was found until then, and is `interrupted`.

    Raises:
      ValueError: if an option is out of its range, starts and bounds do not fit, the bounds leave
        nothing to search, or the checkpoint is of another search or broken.
      TypeError: if `fun` does not return a real scalar, x is not floating, an argument has another
        type, or the call is under `jit`, `vmap` or `grad`.
      ImportError: if progress or checkpoints are asked for without their extra.
      RuntimeError: if another search uses the checkpoint, or another process met an error.
      KeyboardInterrupt: at the second Ctrl-C; `error.result` is the result so far. Only the main
        thread of Python hears of Ctrl-C.

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
    mesh = devices.in_a_row(mesh)
    _refuse_under_tracing(mesh)
    if callback is not None and not callable(callback):
        raise TypeError(f"callback must be a function of a Progress, got {callback!r}")
    lanes = None if lanes is None else _check.integer("lanes", lanes, 1)
    checkpoint_every = _check.in_range("checkpoint_every", checkpoint_every, 0)
    if max_seconds is not None:
        max_seconds = _check.in_range("max_seconds", max_seconds, 0)
    over = began + (math.inf if max_seconds is None else max_seconds)
    when, how = stop_by("multistart", stop), as_screen(screen)
    candidates, box = copied(starts_and_box(key, n_starts, bounds, starts, how.n_candidates))
    task = checked_task(fun, optimizer, copied(args), box, when)
    plan = Plan(task, finish, how, lanes, mesh, draws_of(key, starts, box))
    keep = None if checkpoint is None else partial(_kept, checkpoint, candidates, how)
    watch = Watch(over, progress, callback, keep, checkpoint_every)
    came = run(plan, candidates, watch)
    found = result_of(came, plan, began, fun)
    if came.error is not None:
        _hand_over(came.error, found, checkpoint)
        raise came.error
    return found


def _kept(
    path: str | Path, candidates: Tree, screen: Screen, program: devices.Program
) -> AbstractContextManager[tuple[Load, Save]]:
    """The checkpoint of a program."""
    return opened(path, lambda: identity(program, candidates, screen), program.n_starts)


def _hand_over(
    error: BaseException, found: MultiStartResult, checkpoint: str | Path | None
) -> None:
    """Give an error that ends a search the result so far, and say where it is."""
    kept = [] if checkpoint is None else [f"checkpoint={str(checkpoint)!r}"]
    with contextlib.suppress(Exception):  # an error may refuse the attribute
        error.result = found  # pyright: ignore[reportAttributeAccessIssue]
        kept.insert(0, "error.result")
    if kept:
        ended, n = int((found.status != Status.STOPPED).sum()), found.fun.size
        error.add_note(f"multistart: {ended} of {n} searches had ended; see {' and '.join(kept)}")


def _refuse_under_tracing(mesh: Mesh) -> None:
    """Raise under jit, vmap and grad: there JAX lets nobody set a mesh."""
    try:
        with jax.set_mesh(mesh):
            pass
    except ValueError:
        raise TypeError(
            "multistart drives the devices itself: under jit and vmap use minimize"
        ) from None
