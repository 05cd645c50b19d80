"""The benchmarks start, the report has all of them, and the README quotes their figures."""

import importlib
import importlib.util
import json
import re
import runpy
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
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
        name for name in SCRIPTS if name not in ("run", "tricks", "recipe", "gpu", "stacked")
    ]


def test_every_section_of_the_report_is_a_table(run):
    measured = run.sections((ROOT / "docs/benchmarks.md").read_text())
    assert set(measured) == set(run.BENCHMARKS)
    assert all(" ---: |" in body for body in measured.values())


def test_the_figures_of_the_readme_are_those_of_the_pages(run):
    pages = {page: (ROOT / page).read_text() for page in ("docs/benchmarks.md", "docs/field.md")}
    linked = re.compile(r"^\| \[[^]]*\]\((docs/\w+\.md)#(\w+)[\w-]*\) \| (.*) \|$", re.MULTILINE)
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


def test_a_quick_run_of_the_gpu_script_writes_all_of_its_parts(monkeypatch, tmp_path):
    monkeypatch.syspath_prepend(BENCHMARKS)
    gpu = importlib.import_module("gpu")
    few = {name: gpu.BYTES[name] for name in ("copy", "torch fused", "jamsgrad, 6 bytes")}
    name = "bowl, 100 steps"
    for constant, value in {
        "BYTES": few,
        "PROBLEMS": {name: gpu.PROBLEMS[name]},
        "N_LEAVES": (1,),
        "QUICK_TESTS": ["tests/test_schedules.py"],
    }.items():
        monkeypatch.setattr(gpu, constant, value)
    with jax.enable_x64(False), jax.numpy_dtype_promotion("standard"):
        gpu.main(["--quick", "--out", str(tmp_path / "gpu.json")])
    found = json.loads((tmp_path / "gpu.json").read_text())
    assert [row["what"] for row in found["updates"]] == [*few]
    assert found["updates"][0]["GB/s"] > 0
    assert [row["lanes"] for row in found["searches"]] == [1024, None]
    assert all(row["million steps / s"] > 0 for row in found["searches"])
    assert found["tests"][0]["passed"]
    assert found["left_out"] == []


def test_what_there_is_no_time_for_is_named(monkeypatch, tmp_path):
    monkeypatch.syspath_prepend(BENCHMARKS)
    gpu = importlib.import_module("gpu")
    gpu.main(["--minutes", "0", "--out", str(tmp_path / "gpu.json")])
    found = json.loads((tmp_path / "gpu.json").read_text())
    assert not found["updates"] + found["searches"] + found["tests"]
    assert len(found["left_out"]) == 3 * 2 * len(gpu.BYTES) + 3 * 12 + len(gpu.TESTS)


def test_the_moments_in_one_array_give_the_same_update(monkeypatch, capsys):
    monkeypatch.syspath_prepend(BENCHMARKS)
    stacked = importlib.import_module("stacked")
    grads = [jnp.array([[1.0, -2.0], [0.5, 3.0]])]
    updates = []
    for name in list(stacked.FORMS)[2:]:
        form = stacked.FORMS[name]
        state = form.init(grads)
        for _ in range(3):
            update, state = form.update(grads, state)
        updates.append(update[0])
    assert all(jnp.allclose(update, updates[0], rtol=1e-12) for update in updates)
    monkeypatch.setattr(stacked, "N_LEAVES", (1,))
    with jax.enable_x64(False), jax.numpy_dtype_promotion("standard"):
        stacked.main(["--millions", "0.01", "--rounds", "1"])
    assert "| one array, moments first | 1 |" in capsys.readouterr().out
