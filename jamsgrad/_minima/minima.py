"""What was found: distinct minima, how often each was hit, and what kind of point each is."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np

from jamsgrad import _check
from jamsgrad._minima.clusters import clusters
from jamsgrad._minima.hessian import Certificate, certificate
from jamsgrad._minima.minimum import Minimum
from jamsgrad._minima.objective import RowObjective
from jamsgrad._minima.statistics import wilson
from jamsgrad._minima.valleys import joined
from jamsgrad._search.bounds import Bounds, end_rows
from jamsgrad._tree import Tree, as_rows, as_tree

_CERTIFIED = 256  # the best minima, whose Hessian is computed
_VARIABLES = 200  # at most, for a Hessian to be computed
_FLAT = 1e-3  # of the rise of a bowl: where all points rise less they show a plateau or a valley
_ULPS = 16  # values are equal that are no further apart
_UNKNOWN = Certificate()
_REPLACED = ("saddle", "unconverged", "unknown")  # kinds of the best point that all may overrule


@np.errstate(over="ignore", invalid="ignore")  # boxes and values may be as large as numbers get
def distinct_minima(
    fun: Callable[..., jax.Array],
    x: Tree,
    values: np.ndarray,
    grad_norm: np.ndarray,
    bounds: Bounds | None,
    *,
    args: tuple = (),
    n_searches: int,
    tol: float = 1e-2,
    lanes: int | None = None,
) -> tuple[tuple[Minimum, ...], np.ndarray]:
    """The distinct minima among the points where searches ended, and which point belongs to which.

    Points are of one minimum if no barrier divides them: those on a slope belong to the minimum
    that it leads down to, and those on a plateau or in a flat valley to one that is as wide. What
    lies between two minima never makes them one. Distances are parts of a scale: the width of the
    box, or, where that is infinite or 0, the range of the points, at least 0.1 max(1, |x|).

    Args:
      fun: the objective, `fun(x, *args)`, a real scalar.
      x: where the searches ended, a tree of arrays, the points as first axis; a complex number
        counts as two coordinates.
      values: the values there, shape (k,). Points that are not finite or have no finite value are
        left out: NaN is the value of a search without success.
      grad_norm: the largest component of the projected gradient at each, shape (k,).
      bounds: the box of the searches, or None.
      args: further arguments of `fun`.
      n_searches: how many searches there were, failed ones included.
      tol: how far points lie apart that are compared as neighbours, as a part of the scale; above
        0. Between them a line may rise as it does across a curved valley.
      lanes: how many rows may be evaluated at once; None for as many as is fast.

    Returns:
      The minima, best value first, each with its best point; and for every point the number of its
      minimum among them, -1 for those left out, shape (k,).
    """
    points, eps = as_rows(x), float(jnp.finfo(values.dtype).eps)
    values = values.astype(np.float64)
    tol = _check.in_range("tol", tol, 0)
    n_searches = _check.integer("n_searches", n_searches, len(values))
    basin = np.full(len(values), -1)
    finite = np.isfinite(values) & np.isfinite(points).all(axis=1)
    if not finite.any():
        return (), basin
    # Best first. Equal values are ordered by the first coordinates of their points, because the
    # order in which they were found must not count. To `lexsort` the last key counts most.
    order = np.lexsort((*points.T[2::-1], np.where(finite, values, np.inf)))[: finite.sum()]
    points, values, grad_norm = points[order], values[order], grad_norm[order]

    low, high = end_rows(bounds, points.shape[1])
    like = jax.tree.map(lambda leaf: np.asarray(leaf[0]), x)
    scale, middle = _scale(points, low, high)
    objective = RowObjective(fun, args, like, low, high, scale, values, middle, lanes)
    well, certified = _certified(objective, points, tol)
    found, ranks, counts = np.unique(well, return_inverse=True, return_counts=True)
    # Values that agree to rounding are ordered by their points, too, here to the tolerance. Near 0
    # they are rounded as what they are the difference of, which is about as large as the relief.
    size = np.maximum(np.abs(values[found[1:]]), objective.relief if len(found) > 1 else 0)
    apart = np.diff(values[found]) > _ULPS * eps * size
    near = np.rint(points[found] / scale / tol)
    rows = np.lexsort((*near.T[2::-1], np.cumsum(np.append(False, apart))))
    basin[order] = np.argsort(rows)[ranks]
    extent, found, counts = _extent(points, found, ranks)[rows], found[rows], counts[rows]
    places, extents = as_tree(points[found], like), as_tree(extent, like)

    def minimum(rank: int, i: int, count: int) -> Minimum:
        known = certified.get(i, _UNKNOWN)
        return Minimum(
            x=jax.tree.map(lambda leaf: leaf[rank, ...], places),
            fun=float(values[i]),
            count=count,
            hit_rate=count / n_searches,
            hit_rate_interval=wilson(count, n_searches),
            kind=known.kind,
            condition=known.condition,
            extent=jax.tree.map(lambda leaf: leaf[rank, ...], extents),
            grad_norm=float(grad_norm[i]),
            hessian=known.hessian,
            held=known.held,
            unsettled=known.unsettled,
        )

    return tuple(map(minimum, range(len(found)), found.tolist(), counts.tolist())), basin


def _certified(
    objective: RowObjective, points: np.ndarray, tol: float
) -> tuple[np.ndarray, dict[int, Certificate]]:
    """The number of the best point of each point's minimum, and what is known of these points.

    Flat valleys and plateaus are known by their certificates, and joined. That lets other minima in
    among the best, until these are certified, too.
    """
    well, leaders = clusters(objective, points, tol)
    certified: dict[int, Certificate] = {}
    n_before = None
    while True:
        found, ranks = np.unique(well, return_inverse=True)
        if len(found) == n_before:
            return well, certified
        n_before = len(found)
        worst = objective.ends[found]
        np.maximum.at(worst, ranks, objective.ends)
        width = (_extent(points, found, ranks) / objective.scale).max(axis=1)
        for rank, i in enumerate(found[:_CERTIFIED].tolist()):
            if i not in certified and points.shape[1] <= _VARIABLES:
                certified[i] = certificate(objective, points[i])
            known = certified.get(i, _UNKNOWN)
            wide = width[rank] > 3 * tol and known.kind in _REPLACED
            rise = worst[rank] - objective.ends[i]
            if wide and rise <= _FLAT * width[rank] ** 2 * objective.relief:
                certified[i] = known._replace(kind="flat", condition=np.inf, wide=True)
        flat = [i for i in found.tolist() if certified.get(i, _UNKNOWN).wide]
        if len(flat) > 1:
            well = joined(objective, points, well, np.array(flat), leaders, tol)


def _extent(points: np.ndarray, found: np.ndarray, ranks: np.ndarray) -> np.ndarray:
    """How far apart the points of each minimum lie, in each coordinate."""
    first, last = points[found], points[found]
    np.minimum.at(first, ranks, points)
    np.maximum.at(last, ranks, points)
    return last - first


def _scale(points: np.ndarray, low: np.ndarray, high: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The length that counts as 1 in each coordinate, see `distinct_minima`; and the middle."""
    # Points that all but agree would be torn apart by a scale as small as their range.
    least = 0.1 * np.maximum(1, np.abs(points).max(axis=0))
    usable = np.isfinite(low) & np.isfinite(high) & (low < high)
    scale = np.where(usable, high - low, np.maximum(np.ptp(points, axis=0), least))
    first, last = np.where(usable, [low, high], [points.min(axis=0), points.max(axis=0)])
    return np.minimum(scale, np.finfo(float).max), first / 2 + last / 2  # a width may overflow
