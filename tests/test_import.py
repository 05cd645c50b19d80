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


PICTURES = "jamsgrad.plots.waterfall.__module__, jamsgrad.plots is sys.modules['jamsgrad.plots']"
TOLD = {  # name: an expression of `jamsgrad` and `sys`, in this order
    "imported": "sorted(sys.modules)",  # by `import jamsgrad`
    "listed": "dir(jamsgrad)",
    "held": "[*vars(jamsgrad)]",
    "used": f"[{PICTURES}]",
    "imported then": "sorted(sys.modules)",
}


@pytest.fixture(scope="module")
def told():
    """The values of those expressions in a fresh process."""
    values = ", ".join(f"{name!r}: {code}" for name, code in TOLD.items())
    code = f"import json, sys, jamsgrad; print(json.dumps({{{values}}}))"
    command = [sys.executable, "-W", "error", "-c", code]
    return json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


@pytest.mark.parametrize(
    "heavy",
    ["matplotlib", "scipy.stats", "torch", "tqdm", "orbax", "chex", "jax.extend.core"],
)
def test_import_leaves_out(told, heavy):
    imported = told["imported"]
    assert "jamsgrad" in imported
    assert not [name for name in imported if name == heavy or name.startswith(heavy + ".")]


def test_only_the_pictures_wait_until_they_are_used(told):
    public = {name for name in told["listed"] if name[0] != "_"}
    assert public == {*PUBLIC}
    assert public - {*told["held"]} == {"plots"}


def test_the_pictures_need_no_import_of_their_own(told):
    module, same = told["used"]
    assert "matplotlib" not in told["imported"]
    assert module.startswith("jamsgrad.plots.")
    assert same
    assert "matplotlib" in told["imported then"]


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
