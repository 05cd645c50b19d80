"""What torch itself computed, and how the tests go on from it.

`data/torch_states.npz` was written by torch, see `data/make_torch_states.py`.
"""

import copy
import json
from operator import itemgetter
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import jamsgrad
from jamsgrad import interop

FILE = np.load(Path(__file__).parents[1] / "data" / "torch_states.npz")
META = json.loads(str(FILE["meta"]))
NAMES, BEFORE = META["names"], META["before"]
START = {name: jnp.asarray(FILE[f"start/{name}"]) for name in NAMES}
GRADS = {name: jnp.asarray(FILE[f"grads/{name}"]) for name in NAMES}
HYPER = {"b1": 0.8, "b2": 0.95, "eps": 1e-6}


def torch_state(case):
    """The state dict of torch after seven steps."""
    state = {}
    for path in FILE.files:
        if path.startswith(f"{case}/state/"):
            number, key = path.split("/")[2:]
            state.setdefault(int(number), {})[key] = FILE[path].copy()
    return {"state": state, "param_groups": copy.deepcopy(META["cases"][case]["param_groups"])}


def torch_path(case, names=NAMES):
    """Torch's parameters after the seventh and after every later step."""
    return {name: FILE[f"{case}/path/{name}"] for name in names}


def in_dtype(tree, dtype):
    """Parameters or gradients as torch had them: complex ones are turned, see the script."""
    turned = jnp.issubdtype(dtype, jnp.complexfloating)

    def leaf(x):
        return (jax.lax.complex(0.6 * x, -0.8 * x) if turned else x).astype(dtype)

    return jax.tree.map(leaf, tree)


def first(path):
    return {name: jnp.asarray(x[0]) for name, x in path.items()}


def later(grads, names=NAMES):
    return {name: grads[name][BEFORE:] for name in names}


def amsgrad(learning_rate=0.01, moment_dtype=None):
    return jamsgrad.amsgrad(learning_rate, **HYPER, convention="pytorch", moment_dtype=moment_dtype)


def run(optimizer, params, grads, *, state=None):
    """The parameters after every step, and the last state: op by op, with nothing to compile."""
    state = optimizer.init(params) if state is None else state
    path = []
    for t in range(len(jax.tree.leaves(grads)[0])):
        updates, state = optimizer.update(jax.tree.map(itemgetter(t), grads), state, params)
        params = optax.apply_updates(params, updates)
        path.append(params)
    return jax.tree.map(lambda *xs: jnp.stack(xs), *path), state


def refused(error, words, case="adam", like=START, change=lambda state_dict: None, **kwargs):
    state_dict = torch_state(case)
    change(state_dict)
    with pytest.raises(error, match=words):
        interop.from_torch(state_dict, like, **{"names": NAMES, **kwargs})
