"""A folder that holds a pytree: written while a search runs, read when it is begun again."""

import os
import warnings
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import NamedTuple

import jax
import numpy as np
from jax.experimental import multihost_utils

from jamsgrad._tree import Tree, with_keys, without_keys

try:
    import fcntl
except ImportError:  # Windows; nothing keeps two searches from writing to one folder there
    fcntl = None


class Checkpoint(NamedTuple):
    """A folder that holds the newest state of a search, a pytree.

    Attributes:
      load: the state that was saved last, or, if there is none, the one that it is given.
      save: replace it, atomically. If that fails, warn: a full disk must not end a search.
    """

    load: Callable[[Tree], Tree]
    save: Callable[[Tree], None]


NOWHERE = Checkpoint(load=lambda state: state, save=lambda state: None)


@contextmanager
def opened(path: str | Path | None, identity: Callable[[], dict[str, str]]) -> Iterator[Checkpoint]:
    """The checkpoint in the folder `path`, for the search that `identity()` describes.

    Without a path nothing is kept.

    Raises:
      ImportError: without the extra `checkpoint`.
      TypeError: if `path` is no path.
      NotADirectoryError: if there is a file.
      ValueError: when it is loaded, if it is of another search, or broken.
      RuntimeError: if another process uses the folder.
    """
    if path is None:
        yield NOWHERE
        return
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
    whose = identity()
    with ExitStack() as stack:
        stack.enter_context(_alone(folder))
        options = ocp.CheckpointManagerOptions(max_to_keep=1, enable_async_checkpointing=False)
        items = ("state", "identity")
        manager = stack.enter_context(
            ocp.CheckpointManager(folder, options=options, item_names=items)
        )

        def load(state: Tree) -> Tree:
            step = manager.latest_step()
            if step is None:
                return state

            def read(**parts: object) -> Tree:
                try:
                    return manager.restore(step, args=ocp.args.Composite(**parts))
                except Exception as error:  # whatever orbax may say to half a file
                    raise ValueError(
                        f"checkpoint={str(path)!r} is broken; delete it to start again"
                    ) from error

            saved = read(identity=ocp.args.JsonRestore()).identity
            differs = [name for name in whose if saved.get(name) != whose[name]]
            if differs:
                raise ValueError(
                    f"checkpoint={str(path)!r} belongs to another search: it differs in "
                    f"{', '.join(differs)}; take another path, or delete it to start again"
                )
            like = jax.tree.map(_like, without_keys(state))
            return with_keys(read(state=ocp.args.StandardRestore(like)).state, state)

        def save(state: Tree) -> None:
            parts = ocp.args.Composite(
                state=ocp.args.StandardSave(without_keys(state)),
                identity=ocp.args.JsonSave(whose),
            )
            try:
                manager.save((manager.latest_step() or 0) + 1, args=parts)
            except Exception as error:  # whatever a file system may say
                warnings.warn(f"checkpoint={str(path)!r} was not written: {error}", stacklevel=2)

        yield Checkpoint(load, save)


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
