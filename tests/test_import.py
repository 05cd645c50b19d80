"""What a user gets by `import jamsgrad`, seen from a fresh process."""

import importlib.metadata
import json
import subprocess
import sys
from types import ModuleType

import pytest

import jamsgrad

PUBLIC = dir(jamsgrad)
DOCUMENTED = [name for name in PUBLIC if callable(getattr(jamsgrad, name))]


@pytest.fixture(scope="module")
def imported():
    """The names of all modules that `import jamsgrad` loads."""
    code = "import json, sys, jamsgrad; print(json.dumps(sorted(sys.modules)))"
    command = [sys.executable, "-W", "error", "-c", code]
    return json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


@pytest.mark.parametrize("heavy", ["matplotlib", "scipy.stats", "torch", "tqdm", "orbax", "chex"])
def test_import_leaves_out(imported, heavy):
    assert "jamsgrad" in imported
    assert not [name for name in imported if name == heavy or name.startswith(heavy + ".")]


def test_those_who_train_do_not_wait_for_the_search(imported):
    assert "jamsgrad._optimizer.algorithm" in imported
    assert "jamsgrad._search.step" not in imported
    assert jamsgrad.minimize.__module__ == "jamsgrad._search.minimize"
    with pytest.raises(AttributeError, match="no attribute 'minimise'"):
        jamsgrad.minimise  # noqa: B018


def test_nothing_but_documented_objects_and_modules_is_public():
    rest = set(PUBLIC) - set(DOCUMENTED)
    assert {"amsgrad", "amsgradw", "scale_by_amsgrad"} <= set(DOCUMENTED)
    assert all(isinstance(getattr(jamsgrad, name), ModuleType | dict) for name in rest)


def test_the_version_is_the_installed_one():
    assert jamsgrad.__version__ == importlib.metadata.version("jamsgrad")


def test_a_star_imports_all_that_is_public():
    names = {}
    exec("from jamsgrad import *", names)
    assert set(PUBLIC) <= set(names)
