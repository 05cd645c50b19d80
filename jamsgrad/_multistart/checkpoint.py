"""Checkpoints of a queue: written while it runs, read when the same search is begun again."""

import hashlib
import os
import re
import warnings
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.experimental import multihost_utils
from jax.extend.core import ClosedJaxpr, Jaxpr, Literal

from jamsgrad._multistart import devices as sharded
from jamsgrad._multistart.lanes import QueueState
from jamsgrad._search.step import Point

try:
    import fcntl
except ImportError:  # Windows; nothing keeps two searches from writing to one folder there
    fcntl = None


class Checkpoint(NamedTuple):
    """A folder that holds the newest state of a queue.

    Attributes:
      load: the state that was saved last, or, if there is none, the one that it is given.
      save: replace it, atomically. If that fails, warn: a full disk must not end a search.
    """

    load: Callable[[QueueState], QueueState]
    save: Callable[[QueueState], None]


NOWHERE = Checkpoint(load=lambda queue: queue, save=lambda queue: None)


@contextmanager
def opened(path: Any, identity: dict[str, str]) -> Iterator[Checkpoint]:
    """The checkpoint in the folder `path`, for the search that `identity` describes.

    Raises:
      ImportError: without the extra `checkpoint`.
      TypeError: if `path` is no path.
      NotADirectoryError: if there is a file.
      ValueError: when it is loaded, if it is of another search, or broken.
      RuntimeError: if another process uses the folder.
    """
    try:
        import orbax.checkpoint as ocp  # noqa: PLC0415, an extra
    except ImportError:
        raise ImportError(
            "checkpoint= needs orbax-checkpoint: pip install orbax-checkpoint"
        ) from None

    if not isinstance(path, str | os.PathLike) or not str(path):
        raise TypeError(f"checkpoint must be the path of a folder, got {path!r}")
    folder = Path(path).absolute()
    if folder.exists() and not folder.is_dir():
        raise NotADirectoryError(f"checkpoint must be a folder, {str(folder)!r} is a file")
    with ExitStack() as stack:
        stack.enter_context(_alone(folder))
        options = ocp.CheckpointManagerOptions(max_to_keep=1, enable_async_checkpointing=False)
        items = ("queue", "identity")
        manager = stack.enter_context(
            ocp.CheckpointManager(folder, options=options, item_names=items)
        )

        def load(queue: QueueState) -> QueueState:
            step = manager.latest_step()
            if step is None:
                return queue

            def read(**parts: Any) -> Any:
                try:
                    return manager.restore(step, args=ocp.args.Composite(**parts))
                except Exception as error:  # whatever orbax may say to half a file
                    raise ValueError(
                        f"checkpoint={str(path)!r} is broken; delete it to start again"
                    ) from error

            saved = read(identity=ocp.args.JsonRestore()).identity
            differs = [name for name in identity if saved.get(name) != identity[name]]
            if differs:
                raise ValueError(
                    f"checkpoint={str(path)!r} belongs to another search: it differs in "
                    f"{', '.join(differs)}; take another path, or delete it to start again"
                )
            like = jax.tree.map(_like, _without_keys(queue))
            return _with_keys(read(queue=ocp.args.StandardRestore(like)).queue, queue)

        def save(queue: QueueState) -> None:
            parts = ocp.args.Composite(
                queue=ocp.args.StandardSave(_without_keys(queue)),
                identity=ocp.args.JsonSave(identity),
            )
            try:
                manager.save((manager.latest_step() or 0) + 1, args=parts)
            except Exception as error:  # whatever a file system may say
                warnings.warn(f"checkpoint={str(path)!r} was not written: {error}", stacklevel=2)

        yield Checkpoint(load, save)


def identity(setting: sharded.Setting, data: sharded.Data, starts: Any) -> dict[str, str]:
    """What a checkpoint must share with the search that loads it, part by part."""

    def first_step(data: sharded.Data, x: Any) -> tuple[Any, Point]:
        one = sharded.one_search(setting, data)
        return one.step(one.init(x))

    start = jax.tree.map(lambda leaf: leaf[0], starts)
    program = jax.make_jaxpr(first_step)(data, start)
    text = re.sub("0x[0-9a-f]+", "", str(program))  # addresses, another time others
    _, point = jax.jit(first_step)(data, start)  # in the text a callback to the host is an address
    values = f"{point.fun:.3g} {point.grad_norm:.3g}"  # another processor may round otherwise
    return {
        "the version of JAX": jax.__version__,
        "fun or optimizer": _digest([text, values, *_constants(program)]),
        "key or starts": _digest(starts),
        "args": _digest(data.args),
        "bounds": _digest(data.bounds),
        "max_steps, a tolerance or patience": _digest(data.stop),
        "lanes": str(setting.n_lanes),
        "the number of devices": str(setting.mesh.size),
    }


def _constants(program: Jaxpr | ClosedJaxpr) -> Iterator[Any]:
    """The arrays that a program closes over, which are no part of its text."""
    if isinstance(program, ClosedJaxpr):
        yield from program.consts
        program = program.jaxpr
    for equation in program.eqns:
        yield from (x.val for x in equation.invars if isinstance(x, Literal))
        for inner in jax.tree.leaves(list(equation.params.values())):
            if isinstance(inner, Jaxpr | ClosedJaxpr):
                yield from _constants(inner)


def _digest(tree: Any) -> str:
    """The same for the same numbers, strings and structure."""
    digest = hashlib.sha256(str(jax.tree.structure(tree)).encode())
    for leaf in map(np.asarray, jax.tree.leaves(_without_keys(tree))):
        digest.update(f"{leaf.dtype}{leaf.shape}".encode() + leaf.tobytes())
    return digest.hexdigest()


def _is_key(leaf: Any) -> bool:
    return isinstance(leaf, jax.Array) and jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key)


def _without_keys(tree: Any) -> Any:
    """Random keys as numbers; an optimizer may hold some, and not every orbax writes them."""
    return jax.tree.map(lambda a: jax.random.key_data(a) if _is_key(a) else a, tree)


def _with_keys(queue: QueueState, like: QueueState) -> QueueState:
    def leaf(a: jax.Array, like: jax.Array) -> jax.Array:
        return jax.random.wrap_key_data(a, impl=jax.random.key_impl(like)) if _is_key(like) else a

    return jax.tree.map(leaf, queue, like)


def _like(leaf: jax.Array) -> jax.ShapeDtypeStruct:
    return jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=leaf.sharding)


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Keep others out of the folder by a lock beside it, which no holder survives."""
    with ExitStack() as stack:
        free = True
        if fcntl and jax.process_index() == 0:
            folder.parent.mkdir(parents=True, exist_ok=True)
            lock = stack.enter_context(folder.with_name(f"{folder.name}.lock").open("w"))
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                free = False
        if not multihost_utils.process_allgather(np.array(free)).all():
            raise RuntimeError(f"checkpoint={str(folder)!r} is in use by another search")
        yield
