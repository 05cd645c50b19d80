"""Two processes of four devices give the bits of one process of eight, and agree when to stop."""

import json
import socket
import subprocess
import sys

import numpy as np
import pytest

from jamsgrad import MultiStartResult

pytest.importorskip("orbax.checkpoint")

SCRIPT = """
import json, sys
import jax
import numpy as np
from jamsgrad import amsgrad, multistart, problems

n_processes, i, address, folder = json.loads(sys.argv[1])
jax.config.update("jax_enable_x64", True)
jax.config.update("jax_num_cpu_devices", 8 // n_processes)
if n_processes > 1:
    jax.config.update("jax_cpu_collectives_implementation", "gloo")
    jax.distributed.initialize(address, n_processes, i)

OPTIMIZER = amsgrad(0.3, b2=0.99)
ARGS = 1.0, np.ones(2), jax.device_put(np.ones(2), jax.local_devices()[1])


def objective(x, a, b, c, key=None):
    noise = 0.0 if key is None else 0 * jax.random.uniform(key)
    return a * problems.himmelblau.fun(x * b * c) + noise


def search(*key, **options):
    return multistart(
        objective, problems.himmelblau.bounds, OPTIMIZER, key=jax.random.key(0), n_starts=301,
        lanes=8, args=ARGS + key, gtol=1e-3, mesh=jax.make_mesh((8,), ("x",)), **options
    )


def stop(progress):
    if i == n_processes - 1:
        raise StopIteration


whole = search()
stopped = search(callback=stop, checkpoint=folder, checkpoint_every=0)
resumed = search(checkpoint=folder, callback=lambda progress: None)
for name, result in {"whole": whole, "stopped": stopped, "resumed": resumed}.items():
    result.save(f"{folder}-{name}-{i}.npz")
alone = multistart(
    problems.bowl.fun, problems.bowl.bounds, OPTIMIZER, key=jax.random.key(i), n_starts=5
)
keyed = search(jax.random.key(1), max_steps=2)
steps = int(keyed.n_steps.max())
print(json.dumps([whole.summary().splitlines()[1:], alone.n_success, steps]))
"""


def run(n_processes, script, folder):
    """What each of the processes printed in its last line."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
    started = [
        subprocess.Popen(
            [
                *(sys.executable, "-W", "error", script),
                json.dumps([n_processes, i, address, str(folder)]),
            ],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for i in range(n_processes)
    ]
    ended = [process.communicate(timeout=300) for process in started]
    for process, (_, stderr) in zip(started, ended, strict=True):
        assert process.returncode == 0, stderr
    return [json.loads(stdout.splitlines()[-1]) for stdout, _ in ended]


def same_rows(a, b):
    return all(
        np.array_equal(getattr(a, name), getattr(b, name), equal_nan=name in ("fun", "grad_norm"))
        for name in ("starts", "x", "fun", "grad_norm", "n_steps", "status")
    )


def test_two_processes_agree_with_each_other_and_with_one(tmp_path):
    script = tmp_path / "script.py"
    script.write_text(SCRIPT)
    (expected,) = run(1, script, tmp_path / "one")
    told = run(2, script, tmp_path / "two")
    assert told == [expected, expected]
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
