"""Optax's own tests, with `jamsgrad.amsgrad` in the place of `optax.amsgrad`.

    python tests/optimizer/test_optax_suite.py [--convention=optax] [arguments of pytest]

Optax installs its tests beside its code. The script runs those that name `amsgrad`, in a JAX whose
flags are not those of our tests.
"""

import functools
import importlib
import os
import re
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import jax
import optax
import pytest

import jamsgrad

ROOT = Path(optax.__file__).parent
FILES = [
    ROOT / f for f in ("_src/alias_test.py", "_src/sharding_test.py", "contrib/_common_test.py")
]


class Amsgrad:
    """A plugin of pytest that keeps the tests of `amsgrad` alone."""

    def pytest_collection_modifyitems(self, config, items):
        # absl numbers its tests; what they are called with is kept beside them.
        named = {item: item.name + getattr(item.obj, "__x_params_repr__", "") for item in items}
        others = [item for item in items if "amsgrad" not in named[item]]
        config.hook.pytest_deselected(items=others)
        items[:] = [item for item in items if item not in others]


def main(convention="optax", *args):
    """Run optax's tests of `amsgrad` on ours; the exit status."""
    convention = convention.removeprefix("--convention=")
    ours = functools.partial(jamsgrad.amsgrad, convention=convention)
    optax.amsgrad = importlib.import_module("optax._src.alias").amsgrad = ours
    # Optax compares versions as strings, and would skip the tests of sharding: "0.12" < "0.7.2".
    jax.__version__ = "9"
    # It brings the data for a test of another optimizer, and is not among our test dependencies.
    sys.modules["sklearn"] = SimpleNamespace(datasets=None, linear_model=None)
    own = ["-c", os.devnull, "--rootdir", ROOT, "-p", "no:cacheprovider", "-p", "no:xdist"]
    return pytest.main([*map(str, own), *args, *map(str, FILES)], plugins=[Amsgrad()])


@pytest.mark.skipif(not all(map(Path.exists, FILES)), reason="optax came without its tests")
def test_optax_own_tests_pass_with_our_amsgrad():
    kept = {name: x for name, x in os.environ.items() if not name.startswith(("JAX_", "PYTEST"))}
    environ = {**kept, "JAX_DISABLE_MOST_OPTIMIZATIONS": "1"}  # most of its time is compilation
    command = [sys.executable, __file__, "--convention=optax", "-q"]
    ran = subprocess.run(command, env=environ, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stdout[-5000:] + ran.stderr[-5000:]
    (summary,) = re.findall(r"^.*\d+ passed.*$", ran.stdout, re.MULTILINE)
    assert int(re.search(r"(\d+) passed", summary)[1]) >= 30
    assert "skipped" not in summary


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
