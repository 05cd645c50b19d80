"""What `benchmarks/tricks.py` switches off is still there, and the page tells of each trick."""

import importlib.util
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


@pytest.fixture
def tricks(monkeypatch):
    """The module `benchmarks/tricks.py`."""
    monkeypatch.syspath_prepend(ROOT / "benchmarks")
    spec = importlib.util.spec_from_file_location("tricks", ROOT / "benchmarks/tricks.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_every_trick_replaces_names_that_exist(tricks, monkeypatch):
    for _, *places in tricks.TRICKS.values():
        for place in places:
            monkeypatch.setattr(*place)  # raises if there is no such name


def test_a_quick_run_shows_what_a_trick_is_for(tricks, capsys):
    tricks.main(["--quick", "zeros_like"])
    assert capsys.readouterr().out.splitlines()[-1].endswith(" | 0.25 | 0.5 | 2.00 |")


def test_an_unknown_trick_is_an_error(tricks):
    with pytest.raises(SystemExit):
        tricks.main(["speed"])


def test_the_page_tells_of_every_trick(tricks):
    page = (ROOT / "docs/developing.md").read_text()
    assert re.findall(r"^\| `(\w+)`, ", page, re.MULTILINE) == [*tricks.TRICKS]
    measured = dict.fromkeys(re.findall(r"^\| (\w+) \| .* \| [\d.]+ \|", page, re.MULTILINE))
    assert [*measured] == [*tricks.TRICKS]
