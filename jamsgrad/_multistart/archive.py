"""Results, and trees of arrays, in npz files that hold nothing which could be executed.

A file holds the arrays `array_0`, `array_1`, ... and the JSON text `tree`: the version of the
format, and the tree with names in the place of its arrays. Of nodes that others registered with
JAX, such as a NamedTuple or an Equinox module, it holds the children and what they are called.
"""

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jamsgrad._minima.minimum import Minimum
from jamsgrad._multistart.plan import Draws, Plan, Screen
from jamsgrad._search.bounds import Bounds
from jamsgrad._search.step import Record
from jamsgrad._search.stopping import Stop
from jamsgrad._search.task import Task
from jamsgrad._tree import Tree, as_row, as_tree, child_key

_NAME, _VERSION = "jamsgrad", 4  # of the format
_LEAF = jax.tree.structure(0)


def save_result(
    path: str | Path,
    *,
    plan: Plan,
    found: tuple[tuple[Minimum, ...], np.ndarray],
    record: Record[np.ndarray],
    **rest: Tree,
) -> None:
    """Write the fields of a MultiStartResult, except `fun` and `optimizer`."""
    minima, basin = found
    task, draws = plan.task, plan.draws
    box, finish = task.bounds, plan.finish
    tree = {
        "record": record._asdict(),
        "rest": rest,
        "minima": [minimum._asdict() for minimum in minima],
        "rows": _row_numbers(record.x),
        "basin": basin,
        "args": task.args,
        "bounds": None if box is None else box._asdict(),
        "stop": task.stop._asdict(),
        "finish": finish if isinstance(finish, str) else None,
        "screen": tuple(plan.screen),
        "draws": None if draws is None else tuple(draws),
    }
    save(path, tree)


def load_result(
    path: str | Path, fun: Tree, optimizer: Tree, like: Tree = None, args_like: Tree = None
) -> dict[str, Tree]:
    """The fields that `save_result` wrote, with this `fun` and `optimizer`, or None for both.

    Trees like x get the nodes of `like`, and args those of `args_like`, where these are not None.
    """
    saved = load(path)
    record, rest = saved["record"], saved["rest"]
    minima, args = [Minimum(**minimum) for minimum in saved["minima"]], saved["args"]
    ends = saved["bounds"] or {}
    if like is not None:
        minima = [
            minimum._replace(
                x=into("like", minimum.x, like), extent=into("like", minimum.extent, like)
            )
            for minimum in minima
        ]
        record["x"] = into("like", record["x"], like)
        rest["starts"] = into("like", rest["starts"], like)
        saved["rows"] = into("like", saved["rows"], like)
        ends = {end: into("like", tree, like) for end, tree in ends.items()}
    if args_like is not None:
        args = into("args_like", args, args_like)
    order = as_row(saved["rows"]).astype(int)
    minima = [_reordered(minimum, order) for minimum in minima]
    task = Task(fun, optimizer, args, Bounds(**ends) if ends else None, Stop(**saved["stop"]))
    draws = None if saved["draws"] is None else Draws(*saved["draws"])
    return {
        "_plan": Plan(task, saved["finish"], Screen(*saved["screen"]), draws=draws),
        "_known": (tuple(minima), saved["basin"]),
        "record": Record(**record),
        **rest,
    }


def _row_numbers(points: Tree) -> Tree:
    """A tree like one of the points, of the place of each number in a row.

    The dict that a NamedTuple becomes in a file has another order of its leaves.
    """
    exact = jax.tree.map(
        lambda leaf: np.zeros(leaf.shape[1:], complex if np.iscomplexobj(leaf) else float), points
    )
    return as_tree(np.arange(float(as_row(exact).size)), exact)


def _reordered(minimum: Minimum, order: np.ndarray) -> Minimum:
    """The minimum with its rows and columns in another order."""
    if minimum.hessian is None or minimum.held is None or minimum.unsettled is None:
        return minimum
    return minimum._replace(
        hessian=minimum.hessian[np.ix_(order, order)],
        held=minimum.held[order],
        unsettled=minimum.unsettled[:, order],
    )


def save(path: str | Path, tree: Tree) -> None:
    """Write a tree of dicts, lists, tuples, None, strings, numbers and arrays, whole or not at all.

    Other nodes are written as dicts from the names of their children, or as lists; random keys as
    their bits.

    Raises:
      TypeError: if there is anything else in the tree, such as an object that JAX does not know.
    """
    arrays: dict[str, np.ndarray] = {}

    def encode(node: Tree) -> Tree:
        if isinstance(node, np.ndarray | np.generic | jax.Array):
            return encode_array(node)
        if isinstance(node, bool | int | float | str | None):
            return node
        if type(node) is complex:  # not as an array, which JAX would not take for weakly typed
            return {"complex": [node.real, node.imag]}
        names, children = _listed(node)
        if names is None:
            kind = "tuple" if type(node) is tuple else "list"
            return {kind: list(map(encode, children))}
        return {
            "dict": [[encode(n), encode(child)] for n, child in zip(names, children, strict=True)]
        }

    def encode_array(node: Any) -> Tree:
        if jnp.issubdtype(node.dtype, jax.dtypes.prng_key):
            kind = str(jax.random.key_impl(node))
            return {"key": [kind, encode(jax.random.key_data(node))]}
        array = np.asarray(node)
        name = f"array_{len(arrays)}"
        # NumPy writes the dtypes that JAX added to it, such as bfloat16, as bytes without a name.
        known = array.dtype.isbuiltin == 1
        arrays[name] = array if known else array.view(f"u{array.dtype.itemsize}")
        return {"array": name, "dtype": array.dtype.name}

    text = json.dumps({"format": f"{_NAME} {_VERSION}", "tree": encode(tree)})
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
      ValueError: if the file is no such one, or broken, or another version of jamsgrad wrote it.
    """
    with Path(path).open("rb") as file:
        try:
            with np.load(file, allow_pickle=False) as arrays:
                contents = json.loads(str(arrays["tree"]))
                name, version = contents["format"].split()
                if name != _NAME:
                    raise ValueError(name)
                if int(version) == _VERSION:
                    return _decode(contents["tree"], arrays)
        except Exception as error:  # zip, JSON, NumPy: each has its own
            raise ValueError(f"{str(path)!r} is no file that jamsgrad wrote, or broken") from error
    raise ValueError(
        f"{str(path)!r} was written by {'an older' if int(version) < _VERSION else 'a newer'} "
        f"version of jamsgrad, in format {version}; this one reads format {_VERSION}: read it with "
        "that version, or search again"
    )


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
    if kind == "key":
        return jax.random.wrap_key_data(_decode(children[1], arrays), impl=children[0])
    return {"list": list, "tuple": tuple}[kind](_decode(child, arrays) for child in children)


def _listed(node: Tree) -> tuple[list | None, list]:
    """The names of the children of a node, or None if they are numbered, and the children."""
    if type(node) in (list, tuple):
        return None, list(node)
    if type(node) is dict:  # in its own order, also if JAX could not sort its keys
        return list(map(_named, node)), list(node.values())
    names, children, structure = _children(node)
    if structure == _LEAF:
        raise TypeError(
            "only arrays, numbers and trees of them can be saved, got a "
            f"{type(node).__name__}, which JAX does not know as a tree"
        )
    return (None if names == [*range(len(names))] else names), children


def into(name: str, saved: Tree, like: Tree) -> Tree:
    """The tree that was saved with the nodes of `like`, whose leaves are not read.

    Raises:
      ValueError: if they do not fit each other; the message says where, by the name of `like`.
    """
    names, children, structure = _children(like)
    if structure == _LEAF:
        if isinstance(saved, dict | list | tuple):
            raise ValueError(
                f"{name} is an array or a number, the file has a tree there: {saved!r}"
            )
        return saved
    here = {} if saved is None else saved
    here = dict(enumerate(here)) if isinstance(here, list | tuple) else here
    if not isinstance(here, dict) or {*here} != {*names}:
        got = [*here] if isinstance(here, dict) else type(saved).__name__
        raise ValueError(
            f"{name} is a {type(like).__name__} with {names}, the file has {got} there"
        )
    return structure.unflatten(
        [into(f"{name}[{n!r}]", here[n], child) for n, child in zip(names, children, strict=True)]
    )


def _children(node: Tree) -> tuple[list, list, Any]:
    """What the children of a node are called, the children, and the structure of this node alone.

    They are numbered if they have no names that differ.
    """
    found, structure = jax.tree_util.tree_flatten_with_path(node, is_leaf=lambda n: n is not node)
    names = [_named(child_key(path[0])) if path else None for path, _ in found]
    if len({*names}) != len(names):
        names = [*range(len(names))]
    return names, [child for _, child in found], structure


def _named(key: Any) -> Tree:
    """A key of a dict as a name that can be written."""
    plain = isinstance(key, bool | int | float | str | None)
    if isinstance(key, tuple):
        return tuple(map(_named, key))
    return key if plain else str(key)
