"""The queue on every device of a mesh: each serves its own share of the starts.

Every array has a first axis of devices, and `shard_map` gives each device its row, so that there is
no communication before the end.
"""

from collections.abc import Callable
from functools import cache, partial, wraps
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from jamsgrad._multistart import chunks as _chunks
from jamsgrad._multistart import lanes as _queue
from jamsgrad._multistart.lanes import Engine, QueueState
from jamsgrad._search.bounds import Bounds
from jamsgrad._search.step import Record, Search, Status, Stop, descent, search

DEVICES = "devices"
_WIDE_VECTORS = {"xla_cpu_prefer_vector_width": 512}  # a step in the cache is up to a fifth faster


class Setting(NamedTuple):
    """What a compiled queue depends on; hashable."""

    fun: Callable
    optimizer: optax.GradientTransformation
    mesh: Mesh
    n_lanes: int


class Data(NamedTuple):
    """What a compiled queue is given on every device alike."""

    args: tuple
    bounds: Bounds | None
    stop: Stop
    steps_per_round: int


def _put(mesh: Mesh, array: np.ndarray, *axes: str) -> jax.Array:
    """An array on the mesh, also when its devices belong to several processes.

    With the axis DEVICES row i lies on device i, without it the whole array on each.
    """
    sharding = NamedSharding(mesh, PartitionSpec(*axes))
    return jax.make_array_from_callback(array.shape, sharding, array.__getitem__)


def share_of_each(mesh: Mesh, n: int) -> int:
    """How many of n starts a device has; the last devices have fewer."""
    return -(-n // mesh.size)


def share_out(mesh: Mesh, starts: Any, n: int, share: int) -> tuple[Any, jax.Array]:
    """The starts in equal shares, the last ones filled up; and how many of each share are real."""
    filling = share * mesh.size - n

    def leaf(starts: jax.Array) -> jax.Array:
        rows = np.asarray(starts)
        filled = np.concatenate([rows, rows[-1:].repeat(filling, axis=0)]) if filling else rows
        return _put(mesh, filled.reshape(mesh.size, share, *filled.shape[1:]), DEVICES)

    counts = np.clip(n - share * np.arange(mesh.size), 0, share).astype(np.int32)
    return jax.tree.map(leaf, starts), _put(mesh, counts, DEVICES)


def on_all(mesh: Mesh, tree: Any) -> Any:
    """The tree with its arrays whole on every device of the mesh, wherever they were.

    Other numbers JAX places itself; of several processes each has its own whole arrays.
    """

    def leaf(a: Any) -> Any:
        if not isinstance(a, jax.Array):
            return a
        if not (mesh.is_multi_process and a.is_fully_addressable):
            return jax.device_put(a, NamedSharding(mesh, PartitionSpec()))
        if jnp.issubdtype(a.dtype, jax.dtypes.prng_key):
            bits = _put(mesh, np.asarray(jax.random.key_data(a)))
            return jax.random.wrap_key_data(bits, impl=jax.random.key_impl(a))
        return _put(mesh, np.asarray(a))

    return jax.tree.map(leaf, tree)


def one_search(setting: Setting, data: Data) -> Search:
    """The search that every lane runs."""
    fun, optimizer, _, _ = setting
    return search(fun, optimizer, data.stop, args=data.args, bounds=data.bounds, freeze=False)


def _engine(setting: Setting, data: Data) -> Engine:
    fun, optimizer, _, n_lanes = setting
    args, bounds, stop, steps_per_round = data
    if stop.only_by_steps:
        fixed = _chunks.fixed_search(descent(fun, optimizer, args, bounds), stop.max_steps)
        return _chunks.engine(fixed, n_lanes, steps_per_round)
    return _queue.engine(one_search(setting, data), n_lanes, steps_per_round)


def _on_each(setting: Setting, local: Callable, shared: Any, own: tuple) -> Any:
    """`local(shared, *own)` on every device, with its own row of `own`."""

    def row(shared: Any, own: tuple) -> Any:
        out = local(shared, *jax.tree.map(lambda leaf: leaf[0], own))
        return jax.tree.map(lambda leaf: leaf[None], out)

    rows = PartitionSpec(DEVICES)
    specs = (PartitionSpec(), rows)
    return jax.shard_map(row, mesh=setting.mesh, in_specs=specs, out_specs=rows, check_vma=False)(
        shared, own
    )


def _on_its_mesh(function: Callable) -> Callable:
    """Call `function(setting, ...)` where the mesh of the setting is set, not one of the caller."""

    @wraps(function)
    def call(setting: Setting, *args: Any) -> Any:
        with jax.set_mesh(setting.mesh):
            return function(setting, *args)

    return call


@_on_its_mesh
@partial(jax.jit, static_argnums=0)
def init(setting: Setting, data: Data, shares: Any, counts: jax.Array) -> QueueState:
    def local(data: Data, shares: Any, count: jax.Array) -> QueueState:
        return _engine(setting, data).init(shares, count)

    return _on_each(setting, local, data, (shares, counts))


@_on_its_mesh
def advance(
    setting: Setting, data: Data, shares: Any, queue: QueueState, n_rounds: Any
) -> QueueState:
    """So many rounds on every device; the queue is donated."""
    platform = setting.mesh.devices.flat[0].platform
    return _compiled_advance(platform)(setting, data, shares, queue, n_rounds)


@cache
def _compiled_advance(platform: str) -> Callable[..., QueueState]:
    options = _WIDE_VECTORS if platform == "cpu" and _can_compile(_WIDE_VECTORS) else None
    return jax.jit(_advance, static_argnums=0, donate_argnums=3, compiler_options=options)


def _advance(
    setting: Setting, data: Data, shares: Any, queue: QueueState, n_rounds: Any
) -> QueueState:
    def local(shared: tuple, queue: QueueState, shares: Any) -> QueueState:
        data, n_rounds = shared
        return _engine(setting, data).advance(queue, shares, n_rounds)

    return _on_each(setting, local, (data, n_rounds), (queue, shares))


def _can_compile(options: Any) -> bool:
    """Whether this XLA knows the options, which it may give up."""
    try:
        jax.jit(lambda: 0, compiler_options=options).lower().compile()
    except Exception:  # of a type that JAX does not export
        return False
    return True


@_on_its_mesh
@partial(jax.jit, static_argnums=0)
def look(setting: Setting, queue: QueueState) -> tuple:
    """Whether lanes are busy, and how many searches are done, succeeded, and the lowest value."""
    records = queue.records
    status = records.status
    done, success = (status != Status.STOPPED), (status > 0)
    finite = jnp.where(jnp.isfinite(records.fun), records.fun, jnp.inf)
    busy = queue.serves < queue.n_starts[:, None]
    looks = jnp.any(busy), jnp.sum(done), jnp.sum(success), jnp.min(finite)
    everywhere = NamedSharding(setting.mesh, PartitionSpec())
    return jax.lax.with_sharding_constraint(looks, everywhere)


@_on_its_mesh
@partial(jax.jit, static_argnums=(0, 3))
def collect(setting: Setting, data: Data, queue: QueueState, n: int) -> tuple[Record, Any]:
    """All records by start, and the share of the executed steps that was useful."""

    def local(data: Data, queue: QueueState) -> Record:
        return _engine(setting, data).collect(queue)

    records = _on_each(setting, local, data, (queue,))
    share = share_of_each(setting.mesh, n)  # rows; what comes after them filled up a chunk

    def rows(leaf: jax.Array) -> jax.Array:
        return leaf[:, :share].reshape(share * len(leaf), *leaf.shape[2:])[:n]

    records = jax.tree.map(rows, records)
    ended = jnp.sum(records.status != Status.STOPPED, dtype=jnp.float32)
    useful = jnp.sum(records.n_steps, dtype=jnp.float32) + ended  # moves, and the last evaluations
    rounds = jnp.maximum(jnp.sum(queue.rounds, dtype=jnp.float32), 1)
    executed = rounds * jnp.asarray(data.steps_per_round, jnp.float32) * setting.n_lanes
    everywhere = NamedSharding(setting.mesh, PartitionSpec())  # shares may be uneven
    return jax.lax.with_sharding_constraint((records, useful / executed), everywhere)
