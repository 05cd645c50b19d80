"""The program: the engine on every device of a mesh, each with its own share of the starts.

Every array of a queue, and of the shares, has a first axis of devices. `shard_map` gives each
device its row, so that there is no communication before the end.
"""

from collections.abc import Callable
from functools import cache, partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.experimental import multihost_utils
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from jamsgrad._jit import Read, Split, jit_for
from jamsgrad._multistart.lanes import Queue, empty, engine
from jamsgrad._search.step import Record
from jamsgrad._search.stopping import Status
from jamsgrad._search.task import Task, asks_for_values, checked_objective
from jamsgrad._tree import Tree, ceil_div

DEVICES = "devices"
_STEPS_PER_ROUND = 128  # a stopped lane waits for half a round, and a round costs a few steps
_COSTLY_STEPS = 4  # of an optimizer that evaluates the objective, such as for a line search
_LANES = 1024  # enough to share what a step costs by itself, and their state stays in the cache
_UNFUSED = 4096  # XLA on CPU does not fuse reductions over arrays of so many numbers
_WIDE_LANES = 2**16  # a GPU has about so many threads at work; not measured
_WIDE_NUMBERS = 2**22  # in the largest leaf of x, so that states of many variables stay small
_WIDE_VECTORS = {"xla_cpu_prefer_vector_width": 512}  # a step in the cache is up to a fifth faster


class Layout(NamedTuple):
    """Which devices there are, how many lanes each has, and how costly steps are; hashable."""

    mesh: Mesh
    n_lanes: int
    costly: bool


class Look(NamedTuple):
    """How far a queue has come.

    Attributes:
      done: searches that have ended.
      best: the lowest value so far, infinite before there is one.
      fun: the values of those that met a tolerance, or ran all their steps without one.
    """

    done: int
    best: float
    fun: np.ndarray


class Program:
    """Many searches of a task on the devices of a mesh, compiled once for equal layouts."""

    def __init__(
        self,
        task: Task,
        starts: Tree,
        mesh: Mesh,
        lanes: int | None,
        known: Record[np.ndarray] | None = None,
        left: np.ndarray | None = None,
    ) -> None:
        """Share the starts out, and put the task on every device.

        Args:
          task: what every search does.
          starts: a tree of arrays with the starts as first axis.
          mesh: the devices, in a row.
          lanes: how many searches step together on a device; None chooses.
          known: the records of all starts by an earlier program; None if there was none.
          left: for each start whether it is searched here, or else known; None for all.
        """
        self.n_starts = len(jax.tree.leaves(starts)[0])
        self.left = np.ones(self.n_starts, bool) if left is None else left
        self._known = known
        n_left = int(self.left.sum())
        self.share = max(1, ceil_div(n_left, mesh.size))
        if lanes is None:
            lanes = lanes_for(starts, mesh.devices[0].platform)
        one = jax.tree.map(lambda a: jax.ShapeDtypeStruct(a.shape[1:], a.dtype), starts)
        costly = asks_for_values(task.optimizer, one)
        self.layout = Layout(mesh, min(lanes, 16 * ceil_div(self.share, 16)), costly)
        evaluations, most = task.stop.max_steps + 1, _COSTLY_STEPS if costly else _STEPS_PER_ROUND
        self.steps_per_round = ceil_div(evaluations, ceil_div(evaluations, most))
        self.first_rounds = ceil_div(_STEPS_PER_ROUND, most)
        self.task, self.starts = task, starts
        whole = self.layout.n_lanes if task.stop.only_by_steps else 1
        rows = whole * ceil_div(self.share, whole)
        own = jax.tree.map(lambda a: a[self.left] if n_left else a[:1], starts)
        self._starts, counts = share_out(mesh, own, n_left, self.share, rows)
        program = Split.of(task[:2])
        self._program = program.join(on_all(mesh, program.data))
        self._data = on_all(mesh, task[2:])
        self._shares = put(mesh, self._starts, DEVICES)
        self._counts = put(mesh, counts, DEVICES)

    def rest(self, known: Record[np.ndarray], left: np.ndarray) -> "Program":
        """The program of those starts that are left, which knows the records of the others."""
        mesh, lanes, _ = self.layout
        return Program(self.task, self.starts, mesh, lanes, known, left)

    def empty(self) -> Queue:
        """The queue before its first round."""
        return put(self.layout.mesh, self._blank(), DEVICES)

    def begun(self, queue: Queue, records: Record[np.ndarray]) -> Queue:
        """The queue with the records of `collect`, in the place of its own."""

        def rows(blank: np.ndarray, by_start: np.ndarray) -> np.ndarray:
            shape, last = blank[:, : self.share].shape, blank.shape[2:]
            own = blank[:, : self.share].reshape(shape[0] * shape[1], *last)
            own[: self.left.sum()] = by_start[self.left]
            blank[:, : self.share] = own.reshape(shape)
            return blank

        records = jax.tree.map(rows, self._blank().records, records)
        return queue._replace(records=put(self.layout.mesh, records, DEVICES))

    def _blank(self) -> Queue:
        with jax.set_mesh(self.layout.mesh):
            shapes = _begin.eval_shape(*self._program, self.layout, self._data, self._shares)
        return empty(shapes, self._starts)

    def advance(self, queue: Queue, n_rounds: int) -> tuple[Queue, Look]:
        """So many rounds on every device, fewer where it runs dry; the queue is donated."""
        mesh = self.layout.mesh
        shared = self._data, self.steps_per_round, n_rounds
        with jax.set_mesh(mesh):
            compiled = _compiled_advance(mesh.devices[0].platform)
            queue, seen = compiled(
                *self._program, self.layout, shared, queue, self._shares, self._counts
            )
        status, fun = gathered(seen)
        if self._known is not None:
            known = ~self.left
            status = np.append(status, self._known.status[known])
            fun = np.append(fun, self._known.fun[known])
        done, finite = status != Status.STOPPED, fun[np.isfinite(fun)]
        best = finite.min(initial=np.inf)
        return queue, Look(int(done.sum()), float(best), fun[status > 0])

    def collect(self, queue: Queue) -> tuple[Record[np.ndarray], float]:
        """All records by start in NumPy arrays on every host, and the share of useful steps.

        The searches under way are among them. Useful are moves and last evaluations; executed are
        all steps of all lanes, idle and waiting ones included. Those of an earlier program do not
        count.
        """
        records, rounds = gathered((queue.records, queue.rounds))
        rows, n_left = len(records.fun) * self.share, self.left.sum()
        records = jax.tree.map(
            lambda a: a[:, : self.share].reshape(rows, *a.shape[2:])[:n_left], records
        )
        ended = (records.status != Status.STOPPED).sum()
        executed = max(rounds.sum(), 1) * self.steps_per_round * self.layout.n_lanes
        efficiency = float((records.n_steps.sum(dtype=np.int64) + ended) / executed)
        if self._known is not None:
            records = jax.tree.map(partial(_merged, self.left), self._known, records)
        return records, efficiency


def _merged(which: np.ndarray, old: np.ndarray, new: np.ndarray) -> np.ndarray:
    """The old rows, with new ones in the place of some."""
    merged = np.array(old)
    merged[which] = new
    return merged


def read(task: Task, starts: Tree) -> Task:
    """The task with `fun` as it is now: what it reads besides its arguments is read here, once."""
    if isinstance(getattr(task.fun, "func", None), Read):
        return task
    x = jax.tree.map(lambda a: jax.ShapeDtypeStruct(a.shape[1:], a.dtype), starts)
    return task._replace(fun=_value.read(task.fun, x, task.args))


@jit_for(1)
def _value(fun: Callable[..., Tree], x: Tree, args: tuple) -> jax.Array:
    return checked_objective(fun, has_aux=False)(x, *args)[0]


def lanes_for(starts: Tree, platform: str) -> int:
    """How many lanes are fast on a device.

    XLA on CPU does not fuse reductions over arrays of 4096 or more numbers, which doubles the time
    of a step. So there the lanes hold at most 4095 numbers in a leaf of x, if that leaves 128 lanes
    (4 to 31 variables); else they are 1024. Accelerators need many more lanes to be busy.
    """
    size = max(leaf[0].size for leaf in jax.tree.leaves(starts))
    if platform != "cpu":
        return min(_WIDE_LANES, max(_LANES, _WIDE_NUMBERS // size // 16 * 16))
    fused = (_UNFUSED - 1) // size // 16 * 16
    return fused if 128 <= fused < _LANES else _LANES


# -- arrays on a mesh ------------------------------------------------------------------------------


def in_a_row(mesh: Any) -> Mesh:
    """The devices of the mesh in a row; None for one device."""
    if mesh is not None and not isinstance(mesh, Mesh):
        raise TypeError(f"mesh must be a jax.sharding.Mesh, got {mesh!r}")
    if mesh is not None and not mesh.size:
        raise ValueError(f"mesh must have a device, got {mesh!r}")
    devices = jax.local_devices()[:1] if mesh is None else mesh.devices.ravel()
    return Mesh(devices, (DEVICES,))


def put(mesh: Mesh, tree: Tree, *axes: str) -> Tree:
    """Arrays of this process on the mesh, also when its devices belong to several processes.

    With the axis DEVICES row i lies on device i, without it the whole array on each.
    """
    sharding = NamedSharding(mesh, PartitionSpec(*axes))

    def leaf(a: np.ndarray | jax.Array) -> jax.Array:
        if jnp.issubdtype(a.dtype, jax.dtypes.prng_key):
            return jax.random.wrap_key_data(
                leaf(jax.random.key_data(a)), impl=jax.random.key_impl(a)
            )
        a = np.asarray(a)
        return jax.make_array_from_callback(a.shape, sharding, a.__getitem__)

    return jax.tree.map(leaf, tree)


def gathered(tree: Tree) -> Tree:
    """The tree with NumPy arrays, on every host whole."""
    if jax.tree.leaves(tree)[0].is_fully_addressable:
        return jax.tree.map(np.asarray, tree)
    return jax.tree.map(np.asarray, multihost_utils.process_allgather(tree, tiled=True))


def share_out(mesh: Mesh, starts: Tree, n: int, share: int, rows: int) -> tuple[Tree, np.ndarray]:
    """The starts in rows of devices, filled up to `rows` each; and how many of each are real."""
    numbers = share * np.arange(mesh.size)[:, None] + np.minimum(np.arange(rows), share - 1)
    numbers = np.minimum(numbers, n - 1)
    counts = np.clip(n - share * np.arange(mesh.size), 0, share).astype(np.int32)
    return jax.tree.map(lambda a: np.asarray(a)[numbers], starts), counts


def on_all(mesh: Mesh, tree: Tree) -> Tree:
    """The tree with its arrays whole on every device of the mesh, wherever they were.

    Other numbers JAX places itself; of several processes each has its own whole arrays.
    """

    def leaf(a: Tree) -> Tree:
        if not isinstance(a, jax.Array):
            return a
        if mesh.is_multi_process and a.is_fully_addressable:
            return put(mesh, a)
        return jax.device_put(a, NamedSharding(mesh, PartitionSpec()))

    return jax.tree.map(leaf, tree)


def on_host(tree: Tree) -> Tree:
    """The tree with its arrays that lie on several devices as NumPy arrays, from all processes."""

    def leaf(a: Tree) -> Tree:
        spread = isinstance(a, jax.Array) and len(a.sharding.device_set) > 1
        return gathered(a) if spread else a

    return jax.tree.map(leaf, tree)


def copied(tree: Tree) -> Tree:
    """The tree with copies of its arrays of NumPy, which their owner may change in place."""
    return jax.tree.map(lambda a: np.array(a) if isinstance(a, np.ndarray) else a, tree)


# -- the compiled functions ------------------------------------------------------------------------


@jit_for(3)
def _begin(
    fun: Callable[..., Tree],
    optimizer: optax.GradientTransformation,
    layout: Layout,
    data: tuple,
    shares: Tree,
) -> Queue:
    """`lanes.engine.begin` for every device."""
    begin = engine(Task(fun, optimizer, *data), layout.n_lanes, 0, layout.costly).begin
    return jax.vmap(begin)(shares)


@cache
def _compiled_advance(platform: str) -> Callable[..., tuple[Queue, tuple]]:
    options = _WIDE_VECTORS if platform == "cpu" and _can_compile(_WIDE_VECTORS) else None
    return jit_for(3, donate_argnums=2, compiler_options=options)(_advance)


def _advance(
    fun: Callable[..., Tree],
    optimizer: optax.GradientTransformation,
    layout: Layout,
    shared: tuple,
    queue: Queue,
    shares: Tree,
    counts: jax.Array,
) -> tuple[Queue, tuple]:
    """`lanes.engine.advance` on every device, with its own row of the queue, shares and counts."""
    program = Split.of((fun, optimizer))

    def local(shared: tuple, own: tuple) -> tuple[Queue, tuple]:
        data, rest, steps_per_round, n_rounds = shared
        task = Task(*program.join(data), *rest)
        queue, starts, count = jax.tree.map(lambda leaf: leaf[0], own)
        many = engine(task, layout.n_lanes, steps_per_round, layout.costly)
        queue = many.advance(queue, starts, count, n_rounds)
        # Copies for the host, because the queue is donated to the next call.
        seen = queue.records.status, queue.records.fun
        return jax.tree.map(lambda leaf: leaf[None], (queue, seen))

    shared, own = (program.data, *shared), (queue, shares, counts)
    if layout.mesh.size == 1:
        return local(shared, own)
    whole, rows = PartitionSpec(), PartitionSpec(DEVICES)
    on_each = jax.shard_map(
        local, mesh=layout.mesh, in_specs=(whole, rows), out_specs=rows, check_vma=False
    )
    try:
        return on_each(shared, own)
    except Exception as error:  # such as of a closure that JAX converts for a derivative
        error.add_note(
            "fun can be traced on one device, and not under the jax.shard_map of several: leave "
            "out mesh, or write it otherwise (with diffrax, choose another adjoint)"
        )
        raise


def _can_compile(options: dict[str, int]) -> bool:
    """Whether this XLA knows the options, which it may give up."""
    try:
        jax.jit(lambda: 0, compiler_options=options).lower().compile()
    except Exception:  # of a type that JAX does not export
        return False
    return True
