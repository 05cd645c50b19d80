"""The picture at the top of the README: which start leads where, and searches on their way.

    python docs/face.py docs/images/face.png

Himmelblau's function has four minima. The colours are the minima that AMSGrad finds from each
start, darker where it takes longer; the lines are some of these searches.
"""

import sys

import jax
import matplotlib.pyplot as plt
import numpy as np

import jamsgrad
from jamsgrad import plots, problems

STARTS = [(-4.6, 0.4), (-0.6, -4.6), (4.6, -4.4), (0.2, 4.6), (-1.6, -0.6), (4.7, 4.4), (-4.5, 4.6)]


def main(path):
    """Search, and draw."""
    problem, optimizer = problems.himmelblau, jamsgrad.amsgrad(0.1, b2=0.99)
    figure = plt.figure(figsize=(8, 5))
    ax = figure.add_axes((0, 0, 1, 1))  # no margin, which would be white on a dark page
    found = jamsgrad.basin_map(problem.fun, problem.bounds, optimizer, resolution=400, gtol=1e-2)
    plots.basins(found, ax)
    for child in (*ax.child_axes, ax.get_legend()):  # the colour bar; the picture has few words
        child.remove()
    low, high = problem.bounds
    grid = np.stack(np.meshgrid(*np.linspace(low, high, 201).T), axis=-1)
    values = jax.vmap(jax.vmap(problem.fun))(grid)
    lines = {"colors": "white", "alpha": 0.35, "linewidths": 0.8}
    ax.contour(grid[..., 0], grid[..., 1], values, np.geomspace(3, 600, 12), **lines)
    for start in STARTS:
        result = jamsgrad.minimize(
            problem.fun, np.array(start), optimizer, gtol=1e-2, record_every=1
        )
        points = np.asarray(result.trajectory.x)[: int(result.trajectory.n_recorded)]
        ax.plot(*points.T, color="black", linewidth=3.6, solid_capstyle="round")
        ax.plot(*points.T, color="white", linewidth=2, solid_capstyle="round")
        ax.plot(*start, "o", color="white", markeredgecolor="black", markersize=7)
    ax.set_aspect("auto")
    ax.set_axis_off()
    figure.savefig(path, dpi=200)
    plt.close(figure)


if __name__ == "__main__":
    main(*sys.argv[1:])
