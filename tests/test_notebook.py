"""The notebook runs from its first cell to its last, and shows what its comments say."""

import ast
import json
import re
from pathlib import Path

import matplotlib.pyplot as plt
import pytest

PATH = Path(__file__).parents[1] / "examples/quickstart.ipynb"
NOTEBOOK = json.loads(PATH.read_text())
CELLS = ["".join(cell["source"]) for cell in NOTEBOOK["cells"] if cell["cell_type"] == "code"]


def shown(code, names):
    """Run a cell; the value of its last expression, as a notebook shows it."""
    body = ast.parse(code).body
    last = body.pop() if isinstance(body[-1], ast.Expr) and not code.endswith(";") else None
    exec(compile(ast.Module(body, []), "cell", "exec"), names)
    if last is None:
        return None
    return eval(compile(ast.Expression(last.value), "cell", "eval"), names)


@pytest.mark.usefixtures("jax_of_a_reader")
def test_the_notebook_runs(capsys):
    names, tables = {}, []
    install, *cells = CELLS
    assert install.startswith("%pip install")
    for code in cells:
        value = shown(code, names)
        said = re.findall(r"print\(.*\)  # (.*)", code)
        assert capsys.readouterr().out.splitlines()[: len(said)] == said
        if hasattr(value, "_repr_html_"):
            tables.append(value._repr_html_())
    found, result, player = tables
    assert "<table>" in found
    assert "<table>" in result
    assert "<script" in player
    assert len(plt.get_fignums()) == 1  # the map; the animation has closed its own
    plt.close("all")


def test_it_is_a_notebook_without_outputs():
    assert (NOTEBOOK["nbformat"], NOTEBOOK["nbformat_minor"]) == (4, 5)
    assert len({cell["id"] for cell in NOTEBOOK["cells"]}) == len(NOTEBOOK["cells"])
    assert not any(cell.get("outputs") for cell in NOTEBOOK["cells"])
