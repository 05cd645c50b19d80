"""Which points are of one minimum: those that no barrier divides."""

from collections.abc import Callable
from functools import partial

import numpy as np
import scipy  # its modules load when first used

from jamsgrad._minima.barrier import Between, between
from jamsgrad._minima.objective import RowObjective
from jamsgrad._tree import ceil_div

_FEW = 64  # leaders, found without a tree: its module takes a third of a second to load
_MANY = 1000  # leaders: where there are more, most of those to come lead nothing but themselves
_FAR = 2000  # leaders, among which those far away are looked for
_LEVEL = 1e-4  # of the relief: how far apart the values of a plateau may be


def clusters(
    objective: RowObjective, points: np.ndarray, tol: float
) -> tuple[np.ndarray, np.ndarray]:
    """For each of the points, best first, the number of the best point of its minimum; the leaders.

    Each leader takes the points around it, up to `tol` of the scale away in every coordinate, that
    no barrier divides from it. Those that a barrier divides from their leader are covered again,
    among themselves and with half the radius, until none is left. So one minimum may have several
    leaders, and these are joined: see `_wells`.
    """
    leader = np.arange(len(points))
    rest, radius = leader, tol
    while rest.size:
        taker = rest[leaders(points[rest] / objective.scale, radius)]
        a, b = taker[taker != rest], rest[taker != rest]
        apart = between(objective, points[a], points[b], tol).barrier
        leader[b[~apart]] = a[~apart]
        rest, radius = b[apart], radius / 2

    cover, n_before = np.unique(leader), None
    while (best := np.unique(leader)).size != n_before:
        n_before = best.size
        places = points[best] / objective.scale
        a, b = _neighbours(places, 3 * tol)
        ways = between(objective, points[best[a]], points[best[b]], tol)
        way = np.abs(places[b] - places[a])
        level = ways.level & ~ways.barrier & (way.max(axis=1) > 3 * tol)
        plateau = np.isin(np.arange(len(best)), [a[level], b[level]])
        values = objective.ends[best]
        steepness = (values[b] - values[a]) / np.linalg.norm(way, axis=1)
        well = _wells(objective, values, a, b, ways, steepness, plateau)
        leader = best[well][np.searchsorted(best, leader)]
    return leader, cover


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


def _wells(
    objective: RowObjective,
    values: np.ndarray,
    a: np.ndarray,
    b: np.ndarray,
    ways: Between,
    steepness: np.ndarray,
    plateau: np.ndarray,
) -> np.ndarray:
    """The number of the best point of each point's well, from what lies between neighbours a < b.

    Points come in from the best to the worst, like land from falling water. A point on a slope
    belongs to the well that the steepest way without a barrier leads to. Where it reaches several
    wells it is a pass, and joins those above whose best point it rises no further than a line may
    rise within one well. So what lies between two wells never makes them one.

    A point without a slope, on a plateau, belongs to a plateau whose best point is level with it:
    however far away it is. So what lies below a plateau never takes its points.
    """
    well = list(range(len(values)))

    def best(i: int) -> int:
        while well[i] != i:
            well[i] = i = well[well[i]]
        return i

    order = np.lexsort((a, b))
    order = order[~ways.barrier[order]]
    ends = np.searchsorted(b[order], np.arange(len(values) + 1))
    for i in np.unique(b[order]).tolist():
        edges = order[ends[i] : ends[i + 1]]
        to = np.array([best(j) for j in a[edges].tolist()])
        height, flat = values[i] - values[to], ways.level[edges]
        slope = ways.slope[edges] & ~flat.any() & ~plateau[i]
        if slope.any():
            leads, shallow = slope, slope & (height <= ways.allowed[edges])
            onward = slope & ~shallow
        else:
            shallow = height <= _LEVEL * objective.relief
            leads = flat | shallow
            onward = shallow
        if leads.any():
            some = onward if onward.any() else leads
            chosen = int(to[some][np.argmax(steepness[edges[some]])])
            well[i] = chosen
            for other in to[shallow].tolist():
                low, high = sorted((best(chosen), best(other)))
                well[high] = low
    return np.array([best(i) for i in range(len(values))])


def _neighbours(points: np.ndarray, radius: float) -> tuple[np.ndarray, np.ndarray]:
    """Each pair a < b once of a point and one of its nearest ones.

    These are eight within the radius, which hold a valley together. Where there are fewer than four
    it is four however far away: of two thousand of the points, because in many dimensions to look
    among more is slow.
    """
    if len(points) <= 9:
        return np.triu_indices(len(points), 1)
    tree = scipy.spatial.KDTree(points)
    near = np.asarray(tree.query(points, 9, p=np.inf, distance_upper_bound=radius)[1])
    (lonely,) = np.nonzero(near[:, 4] == len(points))  # the point itself is the first
    if lonely.size:
        some = np.arange(0, len(points), ceil_div(len(points), _FAR))
        tree = tree if len(some) == len(points) else scipy.spatial.KDTree(points[some])
        far = np.full((len(points), 5), len(points))
        far[lonely] = some[tree.query(points[lonely], 5, p=np.inf)[1]]
        near = np.concatenate([near, far], axis=1)
    a, which = np.nonzero((near < len(points)) & (near != np.arange(len(points))[:, None]))
    a, b = np.unique(np.sort([a, near[a, which]], axis=0), axis=1)
    return a, b
