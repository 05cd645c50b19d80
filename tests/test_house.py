"""The house: who may import whom, read from the imports themselves."""

import ast
import functools
from pathlib import Path

import pytest

import jamsgrad

ROOT = Path(jamsgrad.__file__).parent
FILES = sorted(ROOT.rglob("*.py"))

# From the lowest floor to the highest: an arrow only points to a lower one, or within a wing.
FLOORS = (
    ("_check", "_names", "_tree", "_reads"),
    ("_jit",),
    ("_optimizer", "problems", "_search"),
    ("schedules", "interop", "_minima"),
    ("_multistart",),
    ("plots",),
    ("__init__",),
    ("__main__",),
)
FLOOR = {wing: i for i, floor in enumerate(FLOORS) for wing in floor}


def module(file):
    return ".".join(("jamsgrad", *file.relative_to(ROOT).with_suffix("").parts))


NAMES = {module(file): file for file in FILES}


def imports(file):
    """The modules of ours that a file imports, also inside functions and for type checkers."""
    found = set()
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            found |= {known(alias.name) for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{file} has a relative import"
            of = node.module
            found |= {known(f"{of}.{alias.name}") or known(of) for alias in node.names}
    return found - {None, module(file)}


def known(name):
    """The module or package of ours with this name, or None."""
    return next((full for full in (name, f"{name}.__init__") if full in NAMES), None)


ARROWS = {name: imports(file) for name, file in NAMES.items()}


def wing(name):
    return name.split(".")[1]


@functools.cache
def depth(name):
    """The length of the longest chain of imports that ends here."""
    return 1 + max(map(depth, ARROWS[name]), default=0)


def test_every_file_is_read():
    assert {wing(name) for name in NAMES} == FLOOR.keys()
    assert sum(map(len, ARROWS.values())) > len(FILES)
    assert "jamsgrad._search.step" in ARROWS["jamsgrad._multistart.lanes"]


@pytest.mark.parametrize("name", NAMES)
def test_an_arrow_points_down_or_stays_in_its_wing(name):
    for other in ARROWS[name]:
        assert wing(other) == wing(name) or FLOOR[wing(other)] < FLOOR[wing(name)], other


def test_no_circle_and_no_long_chain():
    # A package's own file only lists its names.
    wings = [name for name in NAMES if not name.endswith(("__init__", "__main__"))]
    assert max(map(depth, wings)) <= 10  # a RecursionError is a circle
    folders = {FLOOR[name] for name in FLOOR if (ROOT / name).is_dir()}
    assert len(folders) <= 6


def test_the_search_never_imports_the_optimizer():
    for name in NAMES:
        if wing(name) in ("_search", "_minima", "_multistart", "problems"):
            assert not any(wing(other) == "_optimizer" for other in ARROWS[name])


def test_only_plots_import_matplotlib():
    users = {wing(module(file)) for file in FILES if "import matplotlib" in file.read_text()}
    users |= {wing(module(file)) for file in FILES if "from matplotlib" in file.read_text()}
    assert users == {"plots"}


def test_nothing_private_of_jax_is_imported():
    assert not [file for file in FILES if "jax._src" in file.read_text()]


def test_files_stay_small_and_few():
    assert len([file for file in FILES if file.parent == ROOT]) <= 8
    lines = {module(file): len(file.read_text().splitlines()) for file in FILES}
    assert max(lines.values()) <= 400, max(lines, key=lines.__getitem__)
