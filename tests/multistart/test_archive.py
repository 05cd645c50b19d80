"""Trees come back from a file as they were written, and nothing else is read."""

import io
import json
from typing import NamedTuple

import jax
import jax.numpy as jnp
import ml_dtypes
import numpy as np
import pytest
from reference import same_bits

from jamsgrad._multistart import archive as _npz

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
    _npz.save(tmp_path / "file", TREES[name])
    assert [path.name for path in tmp_path.iterdir()] == ["file"]
    assert same_bits(_npz.load(tmp_path / "file"), TREES[name])


class Point(NamedTuple):
    x: np.ndarray
    y: np.ndarray


@pytest.mark.parametrize("node", [Point(np.ones(2), np.ones(2)), object(), {1, 2}, b"bytes"])
def test_other_nodes_are_refused_and_the_old_file_is_left(tmp_path, node):
    _npz.save(tmp_path / "file", 1)
    with pytest.raises(TypeError, match=f"can be saved, got a {type(node).__name__}"):
        _npz.save(tmp_path / "file", [node])
    assert _npz.load(tmp_path / "file") == 1
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_a_scalar_is_as_weakly_typed_as_before(tmp_path):
    _npz.save(tmp_path / "file", (1j, 2.0, np.complex128(3)))
    numbers = _npz.load(tmp_path / "file")
    assert [type(x) for x in numbers] == [complex, float, np.ndarray]


@pytest.mark.parametrize("keys", [jax.random.key(1), jax.random.split(jax.random.key(1), (2, 3))])
def test_random_keys_are_refused_by_name(tmp_path, keys):
    with pytest.raises(TypeError, match=r"keys cannot be saved, .* jax\.random\.key_data\(key\)"):
        _npz.save(tmp_path / "file", (keys,))
    data = jax.random.key_data(keys)
    _npz.save(tmp_path / "file", data)
    assert same_bits(_npz.load(tmp_path / "file"), np.asarray(data))


def npz(**arrays):
    file = io.BytesIO()
    np.savez(file, **arrays)
    return file.getvalue()


class Harmful:
    def __reduce__(self):
        return pytest.fail, ("a pickle was executed",)


ONE_ARRAY = {"format": "jamsgrad 1", "tree": {"array": "array_0", "dtype": "float64"}}
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
        _npz.load(file)


@pytest.mark.parametrize("part", [0.1, 0.5, 0.9])
def test_a_file_cut_short_is_refused(tmp_path, part):
    file = tmp_path / "file"
    _npz.save(file, TREES["array"])
    whole = file.read_bytes()
    file.write_bytes(whole[: int(part * len(whole))])
    with pytest.raises(ValueError, match="is no file that jamsgrad wrote, or broken"):
        _npz.load(file)
