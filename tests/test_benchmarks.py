"""The benchmarks start, the report has all of them, and the README quotes their figures."""

import importlib.util
import re
import runpy
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
BENCHMARKS = ROOT / "benchmarks"
SCRIPTS = sorted(path.stem for path in BENCHMARKS.glob("[!_]*.py"))
PAGE = "# Title\n\n<!-- benchmark: a -->\nold\n<!-- /benchmark -->\n\nText | with | bars.\n"


@pytest.fixture
def run():
    """The module `benchmarks/run.py`."""
    spec = importlib.util.spec_from_file_location("run", BENCHMARKS / "run.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("name", SCRIPTS)
def test_every_benchmark_explains_its_options(name, monkeypatch, capsys):
    monkeypatch.syspath_prepend(BENCHMARKS)
    monkeypatch.setattr(sys, "argv", [name, "--help"])
    with pytest.raises(SystemExit) as exit_info:
        runpy.run_path(str(BENCHMARKS / f"{name}.py"), run_name="__main__")
    assert exit_info.value.code == 0
    assert "options:" in capsys.readouterr().out


def test_every_benchmark_is_in_the_report(run):
    assert sorted(run.BENCHMARKS) == [
        name for name in SCRIPTS if name not in ("run", "tricks", "recipe")
    ]


def test_every_section_of_the_report_is_a_table(run):
    measured = run.sections((ROOT / "docs/benchmarks.md").read_text())
    assert set(measured) == set(run.BENCHMARKS)
    assert all(" ---: |" in body for body in measured.values())


def test_the_figures_of_the_readme_are_those_of_the_pages(run):
    pages = {page: (ROOT / page).read_text() for page in ("docs/benchmarks.md", "docs/field.md")}
    linked = re.compile(r"^\| \[.*?\]\((docs/\w+\.md)#(\w+)[\w-]*\) \| (.*) \|$", re.MULTILINE)
    rows = linked.findall((ROOT / "README.md").read_text())
    assert {name for _, name, _ in rows} == {*run.BENCHMARKS, "nist", "cutest"}
    for page, name, text in rows:
        figures = re.findall(r"\*\*(.*?)\*\*", text)
        assert figures
        for figure in figures:
            assert re.search(rf"\| {figure}\b", run.sections(pages[page])[name]), figure


def test_a_page_takes_the_sections_of_the_report_and_keeps_the_rest(run):
    new = "\n| x |\n| \\1 \\g<0> |\n"
    report = f"before\n{run.section('b', 'B')}\n## a\n{run.section('a', new)}\n"
    after = run.replaced(PAGE + run.section("b", "other"), report)
    assert after == PAGE.replace("old\n", new) + run.section("b", "B")
    assert run.replaced(after, report) == after


def test_a_text_without_markers_stays_as_it_is(run):
    assert run.replaced("Text.\n", run.section("a", "A")) == "Text.\n"


def test_a_benchmark_that_the_report_lacks_is_an_error(run):
    with pytest.raises(ValueError, match="no benchmark a in the report, only b"):
        run.replaced(PAGE, run.section("b", "B"))


@pytest.mark.parametrize(
    "text",
    [
        "<!-- benchmark: a -->\nx\n",
        "<!-- /benchmark -->\n",
        "<!-- benchmark: a -->\n<!-- benchmark: b -->\n<!-- /benchmark -->\n",
        "<!-- benchmark: a -->\n<!-- /benchmark -->\n<!-- /benchmark -->\n",
        2 * "<!-- benchmark: a -->\n<!-- /benchmark -->\n",
    ],
)
def test_markers_that_do_not_pair_are_an_error(run, text):
    with pytest.raises(ValueError, match="must open once and then close"):
        run.replaced(text, text)


def test_a_benchmark_run_again_replaces_its_chapter_and_no_other(run, monkeypatch, tmp_path):
    report, runs = tmp_path / "report.md", []

    def chapter(name, args):
        runs.append(name)
        return f"## {name}\n\nrun {len(runs)}\n\n{run.section(name, '| 1 |')}\n"

    monkeypatch.setattr(run, "run", chapter)
    run.main(["--out", str(report)])
    assert runs == [*run.BENCHMARKS]
    before = report.read_text()
    run.main(["--out", str(report), "memory"])
    assert runs == [*run.BENCHMARKS, "memory"]
    second, last = runs.index("memory") + 1, len(runs)
    assert report.read_text() == before.replace(f"run {second}\n", f"run {last}\n")
    with pytest.raises(SystemExit):
        run.main(["--out", str(report), "speed"])
