"""What the README says is true: its code runs, its commands are those that CI runs."""

import re
from pathlib import Path
from textwrap import dedent

import jax
import pytest

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()
BLOCKS = [dedent(code) for code in re.findall(r" *```python\n(.*?)```", README, re.DOTALL)]


@pytest.mark.parametrize("code", BLOCKS)
def test_code_runs_and_prints_what_its_comments_say(code, capsys):
    with jax.numpy_dtype_promotion("standard"):
        exec(compile(code, "README.md", "exec"), {})
    printed = capsys.readouterr().out.split("\n")
    said = re.findall(r"print\(.*\)  # (.*)", code)
    assert printed[: len(said)] == said
    assert said


def test_links_lead_to_files():
    targets = re.findall(r"\]\(((?!http)[^)#]+)\)", README)
    assert targets
    assert [t for t in targets if not (ROOT / t).exists()] == []


def test_ci_runs_the_test_command_of_the_readme():
    (command,) = [line for line in README.splitlines() if "python -m pytest" in line]
    assert command.startswith("python3 -m venv .venv && ")
    assert "grep -m 1 'python -m pytest' README.md" in (ROOT / ".ci/run").read_text()
