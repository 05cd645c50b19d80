"""What the pages say is true: code runs, quotations and links hold, CI runs the commands."""

import inspect
import pkgutil
import re
from pathlib import Path
from textwrap import dedent

import pytest

import jamsgrad
from jamsgrad import plots

ROOT = Path(__file__).parents[1]
PAGES = {
    str(path.relative_to(ROOT)): path.read_text()
    for pattern in ("README.md", "CONTRIBUTING.md", "tests/README.md", "docs/**/*.md")
    for path in sorted(ROOT.glob(pattern))
}
BLOCKS = [
    pytest.param(source, dedent(code), id=f"{page}-{i}")
    for page, text in PAGES.items()
    for i, (source, code) in enumerate(
        re.findall(r'^ *```python(?: title="([^"\n]*)")?\n(.*?)```', text, re.DOTALL | re.MULTILINE)
    )
]
OPTIONAL = {  # needed by some blocks alone
    *("blackjax", "equinox", "flatbuffers", "flax", "haiku", "keras", "netket", "numpyro"),
    *("optimistix", "orbax", "torch"),
}
CI = (ROOT / ".ci/run").read_text()

each_page = pytest.mark.parametrize("page", PAGES)


@pytest.mark.usefixtures("jax_of_a_reader")
@pytest.mark.parametrize(("source", "code"), [b for b in BLOCKS if not b.values[0]])
def test_code_runs_and_prints_what_its_comments_say(source, code, capsys):
    del source
    for library in set(re.findall(r"^(?:import|from) (\w+)", code, re.MULTILINE)) & OPTIONAL:
        pytest.importorskip(library)
    exec(compile(code, "block", "exec"), {})
    printed = capsys.readouterr().out.split("\n")
    said = re.findall(r"print\(.*\)  # (.*)", code)
    assert printed[: len(said)] == said
    assert said


@pytest.mark.parametrize(("source", "code"), [b for b in BLOCKS if b.values[0]])
def test_quoted_lines_are_those_of_the_source(source, code):
    lines = [line.strip() for line in (ROOT / source).read_text().splitlines()]
    quoted = [line.strip() for line in code.splitlines()]
    assert "\n".join(["", *quoted, ""]) in "\n".join(lines)


@each_page
def test_links_lead_to_files(page):
    targets = re.findall(r"\]\(((?!http)[^)#]+)[^)]*\)", PAGES[page])
    assert [t for t in targets if not (ROOT / page).parent.joinpath(t).exists()] == []


def test_every_public_name_is_in_the_reference():
    shown = re.findall(r"^::: jamsgrad\.([\w.]+)$", "".join(PAGES.values()), re.MULTILINE)
    public = {name for name in dir(jamsgrad) if name[0] != "_"}
    modules = {m.name for m in pkgutil.iter_modules(jamsgrad.__path__) if m.name[0] != "_"}
    pictures = {f"plots.{name}" for name, x in vars(plots).items() if inspect.isfunction(x)}
    assert sorted(shown) == sorted(public | modules | pictures)


def test_ci_runs_the_test_command_of_the_readme():
    (command,) = [line for line in PAGES["README.md"].splitlines() if "python -m pytest" in line]
    assert command.startswith("python3 -m venv .venv && ")
    assert "grep -m 1 'python -m pytest' README.md" in CI


def test_ci_runs_the_checks_of_the_contributors():
    checks = re.findall(r"^\.venv/bin/(?!python).*", PAGES["CONTRIBUTING.md"], re.MULTILINE)
    assert len(checks) >= 4
    assert [check for check in checks if check.split("  #")[0].strip() not in CI] == []
