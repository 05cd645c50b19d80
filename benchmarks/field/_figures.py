"""The figures of the page: which share of the problems is solved at which cost."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np

from jamsgrad.plots._axes import COLORS

LINES = ("-", "--", ":")  # each takes all colours


def draw(costs: Mapping[str, Mapping[str, Sequence[float]]], label: str, file: Path) -> None:
    """A panel for each kind of problem and cost, with a curve for each solver.

    Infinite costs are never reached. This is the profile of Dolan and Moré, Math. Program. 91,
    2002, where a cost is a ratio to the least, and the distribution of run times where it is an
    expected run time.
    """
    n_columns = min(2, len(costs))
    n_rows = len(costs) // n_columns
    size = {"figsize": (11, 1.5 + 4 * n_rows), "layout": "constrained"}
    figure, axes = plt.subplots(n_rows, n_columns, sharey=True, squeeze=False, **size)
    solvers = list(dict.fromkeys(solver for panel in costs.values() for solver in panel))
    for ax, (title, panel) in zip(axes.flat, costs.items(), strict=True):
        finite = [x for own in panel.values() for x in own if np.isfinite(x)]
        for solver, values in panel.items():
            i = solvers.index(solver)
            look = {"color": COLORS[i % len(COLORS)], "linestyle": LINES[i // len(COLORS)]}
            reached = np.sort([value for value in values if np.isfinite(value)])
            shares = [i / len(values) for i in range(len(reached) + 1)]
            corners = [min(finite, default=1.0), *reached, max(finite, default=1.0)]
            ax.step(corners, [*shares, shares[-1]], where="post", label=solver, **look)
        ax.set(xscale="log", xlabel=label, ylim=(0, 1.02), title=title)
        ax.grid(alpha=0.3)
    for ax in axes[:, 0]:
        ax.set_ylabel("share")
    lines = {line.get_label(): line for ax in axes.flat for line in ax.get_lines()}
    below = {"loc": "outside lower center", "ncols": 4, "frameon": False}
    figure.legend([lines[solver] for solver in solvers], solvers, **below)
    file.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(file, dpi=100)
    plt.close(figure)
