"""The gallery shows every example, and a picture where there is one."""

import runpy
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


@pytest.fixture
def hooks():
    pytest.importorskip("mkdocs", reason="needs mkdocs: pip install -e '.[docs]'")
    return runpy.run_path(str(ROOT / "docs/hooks.py"))


def test_every_example_is_in_the_gallery(hooks):
    assert set(hooks["GALLERY"]) == {path.name for path in (ROOT / "examples").glob("*.py")}
    for name, row in hooks["GALLERY"].items():
        assert row.arguments is None or row.picture
        if row.picture and row.arguments is None:
            assert (ROOT / "docs" / row.picture).exists()
        shown = hooks["entry"](name)
        assert shown.startswith("## ")
        assert ("![" in shown.split("???")[0]) == (row.picture is not None)
        for line in (ROOT / "examples" / name).read_text().splitlines():
            assert line in shown
    titles = [hooks["entry"](name).splitlines()[0] for name in hooks["GALLERY"]]
    assert len(set(titles)) == len(titles)
