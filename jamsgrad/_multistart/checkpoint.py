"""A folder that holds a search: written while it runs, read when it is begun again."""

import os
import warnings
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import jax
import numpy as np
from jax.experimental import multihost_utils

from jamsgrad._multistart.devices import Program
from jamsgrad._multistart.identity import N_STARTS, Identity
from jamsgrad._multistart.lanes import Queue
from jamsgrad._multistart.run import Load, Save
from jamsgrad._search.stopping import Status
from jamsgrad._tree import Tree, with_keys, without_keys

try:
    import fcntl
except ImportError:  # Windows; nothing keeps two searches from writing to one folder there
    fcntl = None


_PARTS = {
    "identity": "to which search it belongs",
    "records": "what was found",
    "lanes": "the searches under way",
}


class _BrokenError(ValueError):
    """A part of a checkpoint cannot be read."""


@contextmanager
def opened(
    path: str | Path, identity: Callable[[], Callable[[int], Identity]], n_starts: int
) -> Iterator[tuple[Load, Save]]:
    """The checkpoint in the folder `path`, for the search that `identity()(n_starts)` describes.

    Loading gives the program and the queue to go on with, for a program that would begin. Saving
    replaces the state, atomically; if it fails, it warns: a full disk must not end a search.

    It holds the records by start, which any layout of lanes and devices can go on with, and the
    searches under way, which only the same layout can. If it holds a search of the first of these
    starts, that grows.

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
    of_first = identity()
    with ExitStack() as stack:
        stack.enter_context(_alone(folder))
        options = ocp.CheckpointManagerOptions(max_to_keep=1, enable_async_checkpointing=False)
        manager = stack.enter_context(
            ocp.CheckpointManager(folder, options=options, item_names=tuple(_PARTS))
        )

        def read(part: str, args: Any) -> Any:
            try:
                return manager.restore(
                    manager.latest_step(), args=ocp.args.Composite(**{part: args})
                )[part]
            except Exception as error:  # whatever orbax may say to half a file
                raise _BrokenError(
                    f"checkpoint={str(path)!r} is broken: {_PARTS[part]} cannot be read; nothing "
                    "was deleted; take another path, or move the folder away, to begin again"
                ) from error

        def load(program: Program) -> tuple[Program, Queue]:
            if manager.latest_step() is None:
                return program, program.empty()
            saved = read("identity", ocp.args.JsonRestore())
            n_saved = min(n_starts, int(saved.get("layout", {}).get(N_STARTS, n_starts)))
            whose = of_first(n_saved)
            differs = whose.differs(saved)
            if differs:
                raise ValueError(
                    f"checkpoint={str(path)!r} belongs to another search: it differs in "
                    f"{', '.join(differs)}; take another path for this one"
                )
            blank = program.collect(program.empty())[0], program.left
            like = jax.tree.map(lambda a: a[:n_saved], blank)
            records, left = _grown(read("records", ocp.args.StandardRestore(like)), blank)
            if n_saved == n_starts and saved["layout"] == whose.layout:
                part = program if left.all() else program.rest(records, left)
                queue = part.empty()._replace(records=None)
                like = jax.tree.map(_like, without_keys(queue))
                try:
                    lanes = read("lanes", ocp.args.StandardRestore(like))
                    return part, part.begun(with_keys(lanes, queue), records)
                except _BrokenError:
                    warnings.warn(
                        f"checkpoint={str(path)!r} is broken: {_PARTS['lanes']} cannot be read, "
                        "and begin again; those that had ended are kept",
                        stacklevel=2,
                    )
            program = program.rest(records, records.status == Status.STOPPED)
            return program, program.empty()

        def save(program: Program, queue: Queue) -> None:
            records = program.collect(queue)[0], program.left
            lanes = without_keys(queue._replace(records=None))
            parts = ocp.args.Composite(
                identity=ocp.args.JsonSave(of_first(n_starts)._asdict()),
                records=ocp.args.StandardSave(records),
                lanes=ocp.args.StandardSave(lanes),
            )
            try:
                manager.save((manager.latest_step() or 0) + 1, args=parts)
            except Exception as error:  # whatever a file system may say
                warnings.warn(f"checkpoint={str(path)!r} was not written: {error}", stacklevel=2)

        yield load, save


def _grown(saved: Tree, blank: Tree) -> Tree:
    """Arrays with rows for further starts."""
    return jax.tree.map(lambda a, b: np.concatenate([a, b[len(a) :]]), saved, blank)


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
