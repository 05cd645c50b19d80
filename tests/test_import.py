"""What a user gets by `import jamsgrad`, seen from a fresh process."""

import importlib.metadata
import json
import subprocess
import sys
from collections.abc import Mapping
from types import ModuleType

import pytest

import jamsgrad

PUBLIC = [name for name in dir(jamsgrad) if name[0] != "_"]
DOCUMENTED = [name for name in PUBLIC if callable(getattr(jamsgrad, name))]


def told(code):
    """The value of an expression of `jamsgrad` and `sys`, in a fresh process."""
    code = f"import json, sys, jamsgrad; print(json.dumps({code}))"
    command = [sys.executable, "-W", "error", "-c", code]
    return json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


@pytest.fixture(scope="module")
def imported():
    """The names of all modules that `import jamsgrad` loads."""
    return told("sorted(sys.modules)")


@pytest.mark.parametrize(
    "heavy",
    ["matplotlib", "scipy.stats", "torch", "tqdm", "orbax", "chex", "jax.extend.core"],
)
def test_import_leaves_out(imported, heavy):
    assert "jamsgrad" in imported
    assert not [name for name in imported if name == heavy or name.startswith(heavy + ".")]


def test_only_the_pictures_wait_until_they_are_used():
    listed, held = told("[dir(jamsgrad), [*vars(jamsgrad)]]")
    public = {name for name in listed if name[0] != "_"}
    assert public == {*PUBLIC}
    assert public - {*held} == {"plots"}


def test_the_pictures_need_no_import_of_their_own():
    matplotlib = "'matplotlib' in sys.modules"
    used = "jamsgrad.plots.waterfall.__module__, jamsgrad.plots is sys.modules['jamsgrad.plots']"
    before, module, same, after = told(f"[{matplotlib}, {used}, {matplotlib}]")
    assert not before
    assert module.startswith("jamsgrad.plots.")
    assert same
    assert after


def test_a_typo_is_an_attribute_error():
    with pytest.raises(AttributeError, match="no attribute 'minimise'"):
        jamsgrad.minimise  # noqa: B018


def test_nothing_but_documented_objects_and_modules_is_public():
    rest = set(PUBLIC) - set(DOCUMENTED)
    assert {"amsgrad", "amsgradw", "scale_by_amsgrad"} <= set(DOCUMENTED)
    assert all(isinstance(getattr(jamsgrad, name), ModuleType | Mapping) for name in rest)


def test_the_version_is_the_installed_one():
    assert jamsgrad.__version__ == importlib.metadata.version("jamsgrad")


def test_a_star_imports_all_that_is_public():
    names = {}
    exec("from jamsgrad import *", names)
    assert set(PUBLIC) <= set(names)
