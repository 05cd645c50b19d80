"""Results, and trees of arrays, in npz files that hold nothing which could be executed.

A file holds the arrays `array_0`, `array_1`, ... and the JSON text `tree`: the version of the
format, and the tree with names in the place of its arrays.
"""

import json
import os
from collections.abc import Mapping
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

from jamsgrad._minima.minima import Minimum
from jamsgrad._search.bounds import Bounds
from jamsgrad._search.step import Record
from jamsgrad._search.stopping import Stop
from jamsgrad._search.task import Task
from jamsgrad._tree import Tree

_FORMAT = "jamsgrad 2"


def save_result(
    path: str | Path,
    *,
    task: Task,
    found: tuple[tuple[Minimum, ...], np.ndarray],
    record: Record[np.ndarray],
    **rest: Tree,
) -> None:
    """Write the fields of a MultiStartResult, except `fun` and `optimizer`."""
    minima, basin = found
    box = task.bounds
    tree = {
        "record": record._asdict(),
        "rest": rest,
        "minima": [minimum._asdict() for minimum in minima],
        "basin": basin,
        "args": task.args,
        "bounds": None if box is None else box._asdict(),
        "stop": task.stop._asdict(),
    }
    save(path, tree)


def load_result(path: str | Path, fun: Tree, optimizer: Tree) -> dict[str, Tree]:
    """The fields that `save_result` wrote, with this `fun` and `optimizer`, or None for both."""
    saved = load(path)
    box = None if saved["bounds"] is None else Bounds(**saved["bounds"])
    return {
        "_task": Task(fun, optimizer, saved["args"], box, Stop(**saved["stop"])),
        "_known": (tuple(Minimum(**minimum) for minimum in saved["minima"]), saved["basin"]),
        "record": Record(**saved["record"]),
        **saved["rest"],
    }


def save(path: str | Path, tree: Tree) -> None:
    """Write a tree of dicts, lists, tuples, None, strings, numbers and arrays, whole or not at all.

    Raises:
      TypeError: if there is anything else in the tree, such as a class of your own or a random key.
    """
    arrays: dict[str, np.ndarray] = {}

    def encode(node: Tree) -> Tree:
        if node is None or isinstance(node, bool | int | float | str):
            return node
        if type(node) is complex:  # not as an array, which JAX would not take for weakly typed
            return {"complex": [node.real, node.imag]}
        if type(node) in (list, tuple):
            return {type(node).__name__: [encode(child) for child in node]}
        if type(node) is dict:
            return {"dict": [[encode(key), encode(child)] for key, child in node.items()]}
        if not isinstance(node, np.ndarray | np.generic | jax.Array):
            raise TypeError(
                f"only dicts, lists and tuples of arrays can be saved, got a {type(node).__name__}"
            )
        if jnp.issubdtype(node.dtype, jax.dtypes.prng_key):
            raise TypeError(
                "random keys cannot be saved, only their bits: pass jax.random.key_data(key), and "
                "make the key of them by jax.random.wrap_key_data"
            )
        array = np.asarray(node)
        name = f"array_{len(arrays)}"
        # NumPy writes the dtypes that JAX added to it, such as bfloat16, as bytes without a name.
        known = array.dtype.isbuiltin == 1
        arrays[name] = array if known else array.view(f"u{array.dtype.itemsize}")
        return {"array": name, "dtype": array.dtype.name}

    text = json.dumps({"format": _FORMAT, "tree": encode(tree)})
    path = Path(path)
    unfinished = path.with_name(f"{path.name}.{os.getpid()}.tmp")
    try:
        with unfinished.open("wb") as file:
            np.savez(file, tree=np.array(text), **arrays)  # pyright: ignore[reportArgumentType]
        unfinished.replace(path)
    finally:
        unfinished.unlink(missing_ok=True)


def load(path: str | Path) -> Tree:
    """The tree that `save` wrote to the file.

    Raises:
      ValueError: if the file is no such one, or broken.
    """
    with Path(path).open("rb") as file:
        try:
            with np.load(file, allow_pickle=False) as arrays:
                contents = json.loads(str(arrays["tree"]))
                if contents["format"] != _FORMAT:
                    raise ValueError(contents["format"])
                return _decode(contents["tree"], arrays)
        except Exception as error:  # zip, JSON, NumPy: each has its own
            raise ValueError(f"{str(path)!r} is no file that jamsgrad wrote, or broken") from error


def _decode(node: Tree, arrays: Mapping[str, np.ndarray]) -> Tree:
    if not isinstance(node, dict):
        return node
    if "array" in node:
        array = arrays[node["array"]]
        return array if array.dtype.name == node["dtype"] else array.view(node["dtype"])
    ((kind, children),) = node.items()
    if kind == "dict":
        return {_decode(key, arrays): _decode(child, arrays) for key, child in children}
    if kind == "complex":
        return complex(*children)
    return {"list": list, "tuple": tuple}[kind](_decode(child, arrays) for child in children)
