"""What pages take from elsewhere: figures of the field, and the rows that torch and Keras have."""

import re
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).parents[1]
CHOOSING, FIELD, MIGRATION = (
    (ROOT / "docs" / f"{name}.md").read_text() for name in ("choosing", "field", "migration")
)


def row(text, name):
    """The cells of the first row of a table that begins with this name."""
    (line, *_) = re.findall(rf"^\| {re.escape(name)} \|(.*)\|$", text, re.MULTILINE)
    return [cell.strip() for cell in line.split("|")]


def test_figures_of_the_field_are_those_of_its_page():
    words = {
        "AMSGrad + finish": "AMSGrad with the finish solves",
        "optax.lbfgs": "`optax.lbfgs`",
        "SciPy L-BFGS-B": "SciPy's L-BFGS-B",
    }
    for name, ours in words.items():
        unconstrained, evaluations, _, _, bounded, *_ = row(FIELD, name)
        assert f"{ours} {unconstrained} with {evaluations}" in CHOOSING
        assert f"{ours} {bounded}" in CHOOSING
    assert f"{row(FIELD, 'optax.lbfgs + finish')[0]} with the finish" in CHOOSING
    everywhere = row(FIELD, "AMSGrad + finish, 64 starts")[4]
    assert f"From 64 starts AMSGrad with the finish solves {everywhere}." in CHOOSING
    ours, *_, fits, _ = row(FIELD, "AMSGrad + finish, 1000 starts")
    theirs, *_ = row(FIELD, "SciPy least_squares, 2 starts")
    assert ours == fits
    assert f"Of the {fits} fits of NIST" in CHOOSING
    assert f"solve all {ours} to 8 digits" in CHOOSING
    assert f"solves {theirs}." in CHOOSING


@pytest.mark.parametrize(("library", "title"), [("torch", "torch `Adam"), ("keras", "Keras `Adam")])
def test_every_argument_that_was_run_there_has_its_row(library, title):
    names = np.load(ROOT / "tests" / "data" / "migration.npz").files
    run = {name.split("/")[1] for name in names if name.startswith(f"{library}/")}
    table = MIGRATION[MIGRATION.index(f"| {title}") :].split("\n\n")[0]
    words = [word for name in run for word in name.split() if word != "default"]
    assert len(words) > 5
    assert [word for word in words if not re.search(rf"\b{word}\b", table)] == []
