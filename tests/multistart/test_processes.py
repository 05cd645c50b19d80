"""Two processes of four devices give the bits of one process of eight, and agree when to stop."""

import socket

import apart
import jax
import numpy as np
import pytest
from reference import explore

from jamsgrad import MultiStartResult, amsgrad, problems

pytest.importorskip("orbax.checkpoint")

pytestmark = pytest.mark.as_users_compile

OPTIMIZER = amsgrad(0.3, b2=0.99)


def objective(x, a, b, c, key=None):
    noise = 0.0 if key is None else 0 * jax.random.uniform(key)
    return a * problems.himmelblau.fun(x * b * c) + noise


def searches(n_processes, i, folder):
    """What every process does; its results lie beside the folder."""
    args = 1.0, np.ones(2), jax.device_put(np.ones(2), jax.local_devices()[1])

    def search(*key, **options):
        return explore(
            objective, problems.himmelblau.bounds, OPTIMIZER, key=jax.random.key(0), n_starts=301,
            lanes=8, args=args + key, gtol=1e-3, mesh=jax.make_mesh((8,), ("x",)), **options
        )  # fmt: skip

    def stop(progress):
        if i == n_processes - 1:
            raise StopIteration

    whole = search()
    stopped = search(callback=stop, checkpoint=folder, checkpoint_every=0)
    resumed = search(checkpoint=folder, callback=lambda progress: None)
    for name, result in {"whole": whole, "stopped": stopped, "resumed": resumed}.items():
        result.save(f"{folder}-{name}-{i}.npz")
    alone = explore(
        problems.bowl.fun, problems.bowl.bounds, OPTIMIZER, key=jax.random.key(i), n_starts=5
    )
    keyed = search(jax.random.key(1), max_steps=2)
    return [whole.summary().splitlines()[1:], alone.n_success, int(keyed.n_steps.max())]


def one_of(n_processes, i, address, folder):
    """What one of several processes does."""
    jax.config.update("jax_num_cpu_devices", 8 // n_processes)
    jax.config.update("jax_cpu_collectives_implementation", "gloo")
    jax.distributed.initialize(address, n_processes, i)
    return searches(n_processes, i, folder)


def same_rows(a, b):
    return all(
        np.array_equal(getattr(a, name), getattr(b, name), equal_nan=name in ("fun", "grad_norm"))
        for name in ("starts", "x", "fun", "grad_norm", "n_steps", "status")
    )


def test_two_processes_agree_with_each_other_and_with_one(tmp_path):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
    expected = searches(1, 0, tmp_path / "one")
    two = [(2, i, address, tmp_path / "two") for i in range(2)]
    assert apart.told(one_of, *two) == [expected, expected]
    assert expected[1:] == [5, 2]

    def load(name):
        return MultiStartResult.load(tmp_path / f"{name}.npz")

    one = load("one-whole-0")
    assert one.n_success == 301
    for name in ("one-resumed-0", "two-whole-0", "two-whole-1", "two-resumed-0", "two-resumed-1"):
        assert same_rows(load(name), one), name
    stopped = load("two-stopped-0")
    assert stopped.n_success < 301
    assert np.max(stopped.n_steps) > 0
    assert same_rows(stopped, load("two-stopped-1"))
    assert same_rows(stopped, load("one-stopped-0"))
