"""Trees come back from a file as they were written, and nothing else is read."""

import dataclasses
import io
import json
import re
from collections import OrderedDict, defaultdict
from typing import NamedTuple

import jax
import jax.numpy as jnp
import ml_dtypes
import numpy as np
import pytest
from reference import same_bits

from jamsgrad._multistart import archive

TREES = {
    "array": np.arange(6.0).reshape(2, 3),
    "jax array": jnp.ones((2, 1), jnp.int32),
    "scalars": [True, 3, -2.5, float("inf"), "text", None],
    "complex scalars": [1j, complex(float("inf"), -0.0)],
    "numpy scalar": [np.float32(0.1), np.array(2.0)],
    "nested": {"a": [(np.zeros(2), {}), []], "b": {3: ((), None)}},
    "empty": np.zeros((0, 3), bool),
    "complex": np.array([1 + 2j, complex("nan")]),
    "bfloat16": np.array([1.5, np.nan, -0.0], ml_dtypes.bfloat16),
    "float16": np.ones(3, np.float16),
}


@pytest.mark.parametrize("name", TREES)
def test_a_tree_comes_back_as_it_was(tmp_path, name):
    archive.save(tmp_path / "file", TREES[name])
    assert [path.name for path in tmp_path.iterdir()] == ["file"]
    assert same_bits(archive.load(tmp_path / "file"), TREES[name])


class Point(NamedTuple):
    x: np.ndarray
    y: np.ndarray


@jax.tree_util.register_dataclass
@dataclasses.dataclass
class Rates:
    up: float
    down: Point
    kind: str = dataclasses.field(default="fixed", metadata={"static": True})


@jax.tree_util.register_pytree_node_class
class Unnamed:
    def __init__(self, *children):
        self.children = children

    def tree_flatten(self):
        return self.children, None

    @classmethod
    def tree_unflatten(cls, _, children):
        return cls(*children)


ONES = np.ones(2)
NODES = {
    "NamedTuple": (Point(y=1.0, x=ONES), {"x": ONES, "y": 1.0}),
    "dataclass": (
        Rates(0.5, Point(ONES, None), "other"),
        {"up": 0.5, "down": {"x": ONES, "y": None}},
    ),
    "OrderedDict": (OrderedDict(b=ONES, a=2.0), {"b": ONES, "a": 2.0}),
    "defaultdict": (defaultdict(list, {1: [ONES]}), {1: [ONES]}),
    "without names": (Unnamed(ONES, (3.0, Unnamed())), [ONES, (3.0, [])]),
    "in others": ({"a": [Point(1.0, 2.0)]}, {"a": [{"x": 1.0, "y": 2.0}]}),
    "Partial": (jax.tree_util.Partial(jnp.sum, ONES), [(ONES,), {}]),
}


@pytest.mark.parametrize("name", NODES)
def test_other_nodes_become_dicts_and_lists_or_what_they_were(tmp_path, name):
    node, plain = NODES[name]
    archive.save(tmp_path / "file", node)
    read = archive.load(tmp_path / "file")
    assert same_bits(read, plain)
    like = jax.tree.map(lambda _: jax.ShapeDtypeStruct((), float), node)
    again = archive.into("like", read, like)
    assert jax.tree.structure(again) == jax.tree.structure(node)
    assert all(map(same_bits, jax.tree.leaves(again), jax.tree.leaves(node)))


@pytest.mark.parametrize(
    ("saved", "like", "said"),
    [
        (Point(1.0, 2.0), Point(1.0, Point(1.0, 2.0)), "like['y'] is a Point with ['x', 'y'], the"),
        (
            Point(1.0, 2.0),
            Rates(1.0, 2.0),
            "like is a Rates with ['up', 'down'], the file has ['x'",
        ),
        (Point(1.0, 2.0), ONES, "like is an array or a number, the file has a tree there"),
        ([1.0], [1.0, 2.0], "like is a list with [0, 1], the file has [0] there"),
        (ONES, (1.0,), "like is a tuple with [0], the file has ndarray there"),
    ],
)
def test_a_tree_of_other_nodes_is_refused_by_name(tmp_path, saved, like, said):
    archive.save(tmp_path / "file", saved)
    with pytest.raises(ValueError, match=re.escape(said)):
        archive.into("like", archive.load(tmp_path / "file"), like)


@pytest.mark.parametrize("node", [object(), {1, 2}, b"bytes", jnp.sum])
def test_other_objects_are_refused_and_the_old_file_is_left(tmp_path, node):
    archive.save(tmp_path / "file", 1)
    with pytest.raises(TypeError, match=f"got a {type(node).__name__}, which JAX does not know"):
        archive.save(tmp_path / "file", [node])
    assert archive.load(tmp_path / "file") == 1
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_a_scalar_is_as_weakly_typed_as_before(tmp_path):
    archive.save(tmp_path / "file", (1j, 2.0, np.complex128(3)))
    numbers = archive.load(tmp_path / "file")
    assert [type(x) for x in numbers] == [complex, float, np.ndarray]
    archive.save(tmp_path / "file", [np.float64(2), np.bool_(True)])
    assert [x.dtype for x in archive.load(tmp_path / "file")] == [np.float64, bool]


@pytest.mark.parametrize(
    "keys",
    [
        jax.random.key(1),
        jax.random.key(1, impl="rbg"),
        jax.random.split(jax.random.key(1), (2, 3)),
    ],
)
def test_random_keys_are_saved_as_their_bits(tmp_path, keys):
    archive.save(tmp_path / "file", (keys,))
    (read,) = archive.load(tmp_path / "file")
    assert read.dtype == keys.dtype
    assert same_bits(jax.random.key_data(read), jax.random.key_data(keys))


def npz(**arrays):
    file = io.BytesIO()
    np.savez(file, **arrays)
    return file.getvalue()


class Harmful:
    def __reduce__(self):
        return pytest.fail, ("a pickle was executed",)


ONE_ARRAY = {"format": "jamsgrad 4", "tree": {"array": "array_0", "dtype": "float64"}}
FOREIGN = {
    "empty": b"",
    "text": b"nothing of ours",
    "another npz": npz(x=np.ones(2)),
    "another format": npz(tree=np.array(json.dumps({"format": "else", "tree": None}))),
    "no JSON": npz(tree=np.array("{")),
    "a pickle": npz(tree=np.array([Harmful()], dtype=object)),
    "a hidden pickle": npz(
        tree=np.array(json.dumps(ONE_ARRAY)), array_0=np.array([Harmful()], dtype=object)
    ),
    "an array that is missing": npz(tree=np.array(json.dumps(ONE_ARRAY))),
}


@pytest.mark.parametrize("name", FOREIGN)
def test_foreign_files_are_refused_and_never_executed(tmp_path, name):
    file = tmp_path / "file"
    file.write_bytes(FOREIGN[name])
    with pytest.raises(ValueError, match="is no file that jamsgrad wrote, or broken"):
        archive.load(file)


@pytest.mark.parametrize(("version", "age"), [(1, "an older"), (3, "an older"), (5, "a newer")])
def test_a_file_of_another_version_is_refused_as_that(tmp_path, version, age):
    file = tmp_path / "file"
    file.write_bytes(npz(tree=np.array(json.dumps({"format": f"jamsgrad {version}", "tree": {}}))))
    said = f"was written by {age} version of jamsgrad, in format {version}; this one reads format 4"
    with pytest.raises(ValueError, match=said):
        archive.load(file)


@pytest.mark.parametrize("part", [0.1, 0.5, 0.9])
def test_a_file_cut_short_is_refused(tmp_path, part):
    file = tmp_path / "file"
    archive.save(file, TREES["array"])
    whole = file.read_bytes()
    file.write_bytes(whole[: int(part * len(whole))])
    with pytest.raises(ValueError, match="is no file that jamsgrad wrote, or broken"):
        archive.load(file)
