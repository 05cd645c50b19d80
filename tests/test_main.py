"""`python -m jamsgrad` tells what a bug report needs."""

import subprocess
import sys

import jax
import optax

import jamsgrad


def test_it_prints_versions_devices_and_a_check_that_passed():
    command = [sys.executable, "-W", "error", "-m", "jamsgrad"]
    told = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    lines = dict(line.split(maxsplit=1) for line in told.splitlines())
    assert lines["jamsgrad"] == jamsgrad.__version__
    assert (lines["jax"], lines["optax"]) == (jax.__version__, optax.__version__)
    assert lines["devices"] == ", ".join(map(str, jax.devices()))
    assert lines["check"].startswith("passed: Converged")
