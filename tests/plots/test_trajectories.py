"""Searches are drawn in every form, and those that cannot be drawn are refused."""

from dataclasses import replace
from functools import partial

import jax
import matplotlib.pyplot as plt
import numpy as np
import pytest
from pictures import SMALL

from jamsgrad import plots, problems


@pytest.mark.parametrize(
    ("change", "match"),
    [
        (lambda r: replace(r, trajectory=None), "the result has no trajectory.*record_every"),
        (lambda r: {"a": replace(r, trajectory=None)}, r"results\['a'\] has no trajectory"),
        (
            lambda r: jax.tree.map(lambda a: a[None], r.trajectory),
            r"batch of searches of shape \(1,\)",
        ),
        (lambda r: r.trajectory._replace(x=r.trajectory.x[:, :1]), r"shape \(rows, 2\), got"),
        (lambda r: r.trajectory._replace(x={"a": r.trajectory.x}), r"shape \(rows, 2\), got \{'a'"),
        (lambda r: np.zeros((4, 3)), r"shape \(rows, 2\), got \(4, 3\)"),
        (lambda r: np.zeros((0, 2)), r"shape \(rows, 2\), got \(0, 2\)"),
        (lambda r: 1.0, r"shape \(rows, 2\), got \(1,\)"),
        (lambda r: {}, "empty mapping"),
    ],
)
def test_results_that_cannot_be_drawn_are_refused(change, match, result):
    with pytest.raises(ValueError, match=match):
        plots.path(problems.bowl, change(result), **SMALL)
    assert not plt.get_fignums()


@pytest.mark.parametrize(
    ("change", "match"),
    [
        (lambda r: [r, r], "the result must be a Result.* as a mapping.*got a list"),
        (
            lambda r: (r.trajectory, r.trajectory),
            "the result must be a Result.* as a mapping.*got a tuple",
        ),
        (lambda r: [np.zeros((2, 2)), np.zeros((3, 2))], "as a mapping.*got a list"),
        (lambda r: {"a": "points"}, r"results\['a'\] must be a Result.*got a str"),
    ],
)
def test_several_searches_need_names(change, match, result):
    for draw in (partial(plots.path, problems.bowl), plots.convergence):
        with pytest.raises(TypeError, match=match):
            draw(change(result))
    assert not plt.get_fignums()
