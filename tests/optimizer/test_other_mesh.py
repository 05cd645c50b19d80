"""A run saved by orbax goes on with the same bits in a process that has fewer devices.

The test saves from eight devices; this file, run as a script, restores onto all that it has.
"""

import hashlib
import os
import subprocess
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from jax.sharding import NamedSharding, PartitionSpec

import jamsgrad

GRADS = np.random.default_rng(0).standard_normal((6, 16, 3)).astype("float32")
OPTIMIZERS = {
    "float32 moments": jamsgrad.amsgrad(0.1, convention="pytorch"),
    "bfloat16 moments": jamsgrad.amsgrad(0.1, moment_dtype="bfloat16"),
}


def start(name):
    """Parameters on all devices of this process, and the state for them."""
    sharding = NamedSharding(jax.make_mesh((jax.device_count(),), ("data",)), PartitionSpec("data"))
    params = jax.device_put(jnp.ones(GRADS.shape[1:]), sharding)
    return params, jax.jit(OPTIMIZERS[name].init)(params)


def steps(name, run, grads):
    """The run, further by these gradients."""
    params, state = run
    update = jax.jit(OPTIMIZERS[name].update)
    for g in grads:
        g = jax.device_put(g, params.sharding)  # noqa: PLW2901
        updates, state = update(g, state, params)
        # Not in the same program: XLA may round a product and a sum in one, or not, by their size.
        params = optax.apply_updates(params, updates)
    return params, state


def digest(run):
    """A fingerprint of all bits."""
    parts = [np.asarray(x).tobytes() for x in jax.tree.leaves(run)]
    return hashlib.sha256(b"".join(parts)).hexdigest()


@pytest.mark.usefixtures("jax_of_a_reader")
@pytest.mark.as_users_compile
@pytest.mark.parametrize("n_devices", [1, 4])
def test_it_goes_on_with_the_same_bits(n_devices, tmp_path):
    ocp = pytest.importorskip("orbax.checkpoint")
    expected = [str(n_devices)]
    for name in OPTIMIZERS:
        half = steps(name, start(name), GRADS[:3])
        with ocp.StandardCheckpointer() as checkpointer:
            checkpointer.save(tmp_path / name, half)
        expected += [digest(half), digest(steps(name, half, GRADS[3:]))]
    command = [sys.executable, __file__, tmp_path]
    environ = {**os.environ, "JAX_NUM_CPU_DEVICES": str(n_devices)}
    ran = subprocess.run(command, env=environ, check=True, capture_output=True, text=True)
    assert ran.stdout.split() == expected


def main(folder):
    """Restore each run, and go on."""
    import orbax.checkpoint as ocp

    print(jax.device_count())
    for name in OPTIMIZERS:
        with ocp.StandardCheckpointer() as checkpointer:
            half = checkpointer.restore(Path(folder) / name, start(name))
        assert len(half[0].sharding.device_set) == jax.device_count()
        print(digest(half), digest(steps(name, half, GRADS[3:])))


if __name__ == "__main__":
    main(*sys.argv[1:])
