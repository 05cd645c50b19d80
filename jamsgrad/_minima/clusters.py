"""Which points are of one minimum: near each other, and with no barrier between them."""

import numpy as np

from jamsgrad._minima.barrier import divided
from jamsgrad._tree import RowObjective

_MANY = 1000  # clusters: where there are more, most of those to come are of one point


def clusters(objective: RowObjective, points: np.ndarray, tol: float) -> np.ndarray:
    """For each of the points, best first, the number of the best point of its minimum.

    From the best point on, every point takes those which no better one has taken, which differ from
    it in no coordinate by more than `tol` of its scale, and which no barrier divides from it. Those
    that are divided are tried again among themselves with half the radius. So one minimum may be in
    several clusters: neighbours, up to 3 tol apart, are joined where no barrier divides them.
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
    """For each of the points, best first, the number of the first point within tol that has none.

    Such a point has itself: it takes all within tol, in every coordinate, that have none either.
    """
    from scipy.spatial import KDTree  # noqa: PLC0415, slow to import

    tree = KDTree(points, balanced_tree=False)  # balancing is slow where points agree
    leader = np.full(len(points), -1)
    found = 0
    for i, point in enumerate(points):
        if leader[i] < 0:
            near = np.asarray(tree.query_ball_point(point, tol, p=np.inf))
            leader[near[leader[near] < 0]] = i
            found += 1
            if found == _MANY:
                rest = np.flatnonzero(leader < 0)
                alone = rest[_alone(points[rest], tol)]
                leader[alone] = alone
    return leader


def _alone(points: np.ndarray, tol: float) -> np.ndarray:
    """Which points have no other within tol: all but a few of those that have none.

    One query answers for all points. It compares one point of each cell of a lattice, because to
    compare thousands that all but agree is slow. Where a point lies within tol, the one that stands
    for its cell lies within 2 tol.
    """
    from scipy.spatial import KDTree  # noqa: PLC0415, slow to import

    shift = np.random.default_rng(0).random(points.shape[1])  # minima may be round numbers
    cells = np.floor(points / tol + shift)
    _, first, counts = np.unique(cells, axis=0, return_index=True, return_counts=True)
    stand = points[first]
    distance, _ = KDTree(stand, balanced_tree=False).query(
        stand, k=2, p=np.inf, distance_upper_bound=2.01 * tol
    )
    alone = np.zeros(len(points), bool)
    alone[first] = (counts == 1) & np.isinf(distance[:, 1])
    return alone


def _joined(
    objective: RowObjective, points: np.ndarray, leader: np.ndarray, tol: float
) -> np.ndarray:
    """The leaders, after neighbouring clusters that no barrier divides were joined."""
    from scipy.sparse import coo_array  # noqa: PLC0415, slow to import
    from scipy.sparse.csgraph import connected_components  # noqa: PLC0415
    from scipy.spatial import KDTree  # noqa: PLC0415

    found, cluster = np.unique(leader, return_inverse=True)
    best = points[found] / objective.scale
    # Itself and eight neighbours, which hold a valley together; all could be thousands.
    _, near = KDTree(best).query(best, k=9, p=np.inf, distance_upper_bound=3 * tol)
    near = np.asarray(near)[:, 1:]
    a, which = np.nonzero(near < len(best))  # there may be fewer
    a, b = np.unique(np.sort([a, near[a, which]], axis=0), axis=1)
    apart = divided(objective, points[found[a]], points[found[b]], tol)
    a, b = a[~apart], b[~apart]
    ways = coo_array((np.ones(len(a)), (a, b)), shape=(len(best),) * 2)
    _, component = connected_components(ways, directed=False)
    _, first = np.unique(component, return_index=True)
    return found[first[component[cluster]]]
