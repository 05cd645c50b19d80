"""Which points are of one minimum: near each other, and with no barrier between them."""

from collections.abc import Callable
from functools import partial

import numpy as np
import scipy  # its modules load when first used

from jamsgrad._minima.barrier import divided
from jamsgrad._minima.objective import RowObjective

_FEW = 64  # leaders, found without a tree: its module takes a third of a second to load
_MANY = 1000  # leaders: where there are more, most of those to come lead nothing but themselves


def clusters(objective: RowObjective, points: np.ndarray, tol: float) -> np.ndarray:
    """For each of the points, best first, the number of the best point of its minimum.

    Each leader takes the points around it, up to `tol` of the scale away in every coordinate, that
    no barrier divides from it. Those that a barrier divides from their leader are covered again,
    among themselves and with half the radius, until none is left. So one minimum may have several
    leaders: neighbours, up to 3 tol apart, are joined where no barrier divides them.
    """
    leader = np.arange(len(points))
    rest, radius = leader, tol
    while rest.size:
        taker = rest[leaders(points[rest] / objective.scale, radius)]
        a, b = taker[taker != rest], rest[taker != rest]
        apart = divided(objective, points[a], points[b], tol)
        leader[b[~apart]] = a[~apart]
        rest, radius = b[apart], radius / 2
    return _joined(objective, points, leader, tol)


def leaders(points: np.ndarray, tol: float) -> np.ndarray:
    """The number of each point's leader, by greedy cover of the points, best first.

    The first unassigned point becomes a leader, and takes all unassigned points within tol of it in
    every coordinate, itself among them.
    """
    leader = np.full(len(points), -1)
    _cover(lambda i: (np.abs(points - points[i]) <= tol).all(axis=1).nonzero()[0], leader, _FEW)
    if (leader < 0).any():
        tree = scipy.spatial.KDTree(points, balanced_tree=False)  # balancing is slow at ties
        near = partial(tree.query_ball_point, r=tol, p=np.inf)
        _cover(lambda i: np.asarray(near(points[i])), leader, _MANY)
        rest = np.flatnonzero(leader < 0)
        if rest.size:
            # A point without unassigned neighbours leads itself alone, whenever its turn comes. So
            # to assign it now changes nothing, and spares a query of the tree for each.
            alone = rest[_alone(points[rest], tol)]
            leader[alone] = alone
            _cover(lambda i: np.asarray(near(points[i])), leader, rest.size)
    return leader


def _cover(near: Callable[[int], np.ndarray], leader: np.ndarray, most: int) -> None:
    """Greedy cover of the points that have no leader yet, by `most` new leaders."""
    for i in np.flatnonzero(leader < 0).tolist():
        if leader[i] < 0 and most:
            around = near(i)
            leader[around[leader[around] < 0]] = i
            most -= 1


def _alone(points: np.ndarray, tol: float) -> np.ndarray:
    """Which points have no other within tol.

    It may miss a few isolated points; it never returns one that has a neighbour. One query answers
    for all points. To compare thousands that all but agree is slow, so only one point of each cell
    of a lattice is compared. If a point has a neighbour within tol, that neighbour's cell has its
    point within 2 tol.
    """
    shift = np.random.default_rng(0).random(points.shape[1])  # minima may be round numbers
    cells = np.floor(points / tol + shift)
    _, first, counts = np.unique(cells, axis=0, return_index=True, return_counts=True)
    of_cells = points[first]
    distance, _ = scipy.spatial.KDTree(of_cells, balanced_tree=False).query(
        of_cells, k=2, p=np.inf, distance_upper_bound=2.01 * tol
    )
    alone = np.zeros(len(points), bool)
    alone[first] = (counts == 1) & np.isinf(distance[:, 1])
    return alone


def _joined(
    objective: RowObjective, points: np.ndarray, leader: np.ndarray, tol: float
) -> np.ndarray:
    """The leaders, after neighbouring clusters that no barrier divides were joined."""
    best, cluster = np.unique(leader, return_inverse=True)
    a, b = _neighbours(points[best] / objective.scale, 3 * tol)
    joins = ~divided(objective, points[best[a]], points[best[b]], tol)
    a, b = a[joins], b[joins]
    first = np.arange(len(best))  # of all that are joined to it, by links that get shorter
    while (first[a] != first[b]).any():
        least = np.minimum(first[a], first[b])
        np.minimum.at(first, a, least)
        np.minimum.at(first, b, least)
        first = first[first]
    return best[first[cluster]]


def _neighbours(points: np.ndarray, radius: float) -> tuple[np.ndarray, np.ndarray]:
    """Each pair once of a point and one of its eight nearest ones within the radius.

    Eight hold a valley together; all could be thousands.
    """
    if len(points) <= 9:
        a, b = np.triu_indices(len(points), 1)
        near = (np.abs(points[a] - points[b]) < radius).all(axis=1)
        return a[near], b[near]
    _, near = scipy.spatial.KDTree(points).query(points, k=9, p=np.inf, distance_upper_bound=radius)
    near = np.asarray(near)[:, 1:]  # without the point itself
    a, which = np.nonzero(near < len(points))  # there may be fewer
    a, b = np.unique(np.sort([a, near[a, which]], axis=0), axis=1)
    return a, b
