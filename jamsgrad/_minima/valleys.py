"""Flat valleys and plateaus: their parts are joined along lines that bend as they do."""

import numpy as np
import scipy  # its modules load when first used

from jamsgrad._minima.barrier import between
from jamsgrad._minima.objective import RowObjective
from jamsgrad._tree import ceil_div

_LEVEL = 1e-3  # of the relief: how far apart the values of one valley may be
_MOST = 2000  # points that are compared
_ROUNDS = 8  # in each of which each part is compared with the nearest other one
_NEWTON, _SHORT = 5, 1e-3  # steps at most, and the last of them as a part of the line
_STIFF = 1e-6  # of the largest curvature: what counts


def joined(
    objective: RowObjective,
    points: np.ndarray,
    well: np.ndarray,
    flat: np.ndarray,
    some: np.ndarray,
    tol: float,
) -> np.ndarray:
    """The wells, after those of `flat` that are parts of one valley were joined.

    A well is known by the number of its best point, and a flat one has a flat direction there. The
    straight line to the next part may leave a valley that bends. So parts are compared along the
    parabola through their nearest points and the bottom of the valley half-way between them.

    Args:
      objective: the objective, the values of the points in it.
      points: where searches ended, best first.
      well: that of each point.
      flat: the wells to be joined, if their values agree.
      some: points that lie everywhere in their wells, as the leaders of clusters do.
      tol: that of `clusters`.
    """
    some = some[np.isin(well[some], flat)]
    some = np.union1d(flat, some[:: ceil_div(max(len(some), 1), _MOST)])
    places, well = points[some] / objective.scale, well.copy()
    distance = scipy.spatial.distance.cdist(places, places, "chebyshev")
    values = objective.ends[well[some]]
    distance[np.abs(values[:, None] - values) > _LEVEL * objective.relief] = np.inf
    for _ in range(_ROUNDS):
        distance[well[some][:, None] == well[some]] = np.inf
        nearest = distance.argmin(axis=1)
        length = distance[np.arange(len(some)), nearest]
        order = np.lexsort((length, well[some]))
        _, first = np.unique(well[some][order], return_index=True)
        p = order[first]
        p = p[np.isfinite(length[p])]
        if not p.size:
            break
        p, q = np.unique(np.sort([p, nearest[p]], axis=0), axis=1)
        a, b = points[some[p]], points[some[q]]
        bends = np.array([_bend(objective, *pair) for pair in zip(a, b, strict=True)])
        open_ = ~between(objective, a, b, tol, bends).barrier
        parts = well[some]
        for i, j in zip(parts[p[~open_]], parts[q[~open_]], strict=True):
            distance[np.ix_(parts == i, parts == j)] = np.inf
            distance[np.ix_(parts == j, parts == i)] = np.inf
        for i, j in zip(some[p[open_]], some[q[open_]], strict=True):
            low, high = sorted((well[i], well[j]))
            well[well == high] = low
    return well


def _bend(objective: RowObjective, a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """From half-way between a and b across to the bottom of the valley, by Newton's steps."""
    scale = objective.scale
    along = (b - a) / scale
    length = np.linalg.norm(along)
    across = np.eye(len(a)) - np.outer(along, along) / length**2
    bend = np.zeros(len(a))
    for _ in range(_NEWTON):
        middle = np.clip((a + b) / 2 + bend * scale, objective.low, objective.high)
        derivatives = objective.derivatives(middle)
        if derivatives is None:
            break
        grad, hessian = derivatives
        try:
            curvature, axes = np.linalg.eigh(across @ (scale[:, None] * hessian * scale) @ across)
        except np.linalg.LinAlgError:  # the scale may take it beyond what numbers hold
            break
        size = np.abs(curvature)
        stiff = size > _STIFF * size.max()
        step = axes[:, stiff] @ ((axes.T @ across @ (scale * grad))[stiff] / size[stiff])
        if not np.isfinite(step).all():
            break
        bend -= step
        bend *= min(1.0, length / 2 / max(float(np.linalg.norm(bend)), 1e-300))
        if np.linalg.norm(step) <= _SHORT * length:
            break
    return bend * scale
