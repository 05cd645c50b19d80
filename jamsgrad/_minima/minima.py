"""What was found: distinct minima, how often each was hit, and what kind of point each is."""

from collections.abc import Callable
from typing import NamedTuple

import jax
import numpy as np

from jamsgrad import _check
from jamsgrad._minima.clusters import clusters
from jamsgrad._minima.hessian import certificate
from jamsgrad._minima.objective import RowObjective
from jamsgrad._minima.statistics import wilson
from jamsgrad._search.bounds import Bounds, end_rows
from jamsgrad._tree import Tree, as_rows, as_tree

_CERTIFIED = 256  # the best minima, whose Hessian is computed
_VARIABLES = 200  # at most, for a Hessian to be computed


class Minimum(NamedTuple):
    """One of the distinct minima that many searches found.

    Attributes:
      x: its best point, a tree of NumPy arrays.
      fun: the value there.
      count: how many searches ended in it.
      hit_rate: count / all searches.
      hit_rate_interval: the 95 % Wilson interval of the hit rate, (low, high). It holds for
        independent starts (`starts="uniform"`). Sobol and Latin hypercube starts spread more evenly
        than chance, so that for them it is usually too wide. For a grid (`basin_map`) or starts of
        your own it is not an interval of confidence.
      kind: "saddle", if the value falls in some direction; "on the boundary", if it would fall only
        outside the bounds; "flat", if in some direction it does not change to second order;
        "minimum"; "unknown", if the Hessian is not finite or was not computed: beyond the 256 best
        minima, or for more than 200 variables.
      condition: largest / smallest absolute eigenvalue of the Hessian in the coordinates that no
        bound holds; inf if one is 0, NaN if there are none or the kind is unknown.

    Example:
      >>> import jax
      >>> import jamsgrad
      >>> result = jamsgrad.multistart(
      ...     lambda x: x[0] ** 2 + 4 * x[1] ** 2, ([-1, -1], [1, 1]), jamsgrad.amsgrad(0.1),
      ...     key=jax.random.key(0), n_starts=100)
      >>> (minimum,) = result.minima
      >>> minimum.count, minimum.hit_rate, minimum.kind, minimum.condition
      (100, 1.0, 'minimum', 4.0)
      >>> print("{:.3f} to {:.3f}".format(*minimum.hit_rate_interval))
      0.963 to 1.000
    """

    x: Tree
    fun: float
    count: int  # pyright: ignore[reportIncompatibleMethodOverride], the field's word for it
    hit_rate: float
    hit_rate_interval: tuple[float, float]
    kind: str
    condition: float


@np.errstate(over="ignore", invalid="ignore")  # boxes and values may be as large as numbers get
def distinct_minima(
    fun: Callable[..., jax.Array],
    x: Tree,
    values: np.ndarray,
    bounds: Bounds | None,
    *,
    args: tuple = (),
    n_searches: int,
    tol: float = 1e-2,
) -> tuple[tuple[Minimum, ...], np.ndarray]:
    """The distinct minima among the points where searches ended, and which point belongs to which.

    Points are of one minimum if they are near each other and no barrier divides them, or if points
    between hold them together: a flat valley is one minimum, not dozens. Distances are parts of a
    scale: the width of the box, or, where that is infinite or 0, the range of the points, at least
    0.1 max(1, |x|).

    Args:
      fun: the objective, `fun(x, *args)`, a real scalar.
      x: where the searches ended, a tree of arrays, the points as first axis; a complex number
        counts as two coordinates.
      values: the values there, shape (k,). Points that are not finite or have no finite value are
        left out: NaN is the value of a search without success.
      bounds: the box of the searches, or None.
      args: further arguments of `fun`.
      n_searches: how many searches there were, failed ones included.
      tol: how far points of one minimum may lie from its best one, as a part of the scale, without
        others between them; above 0.

    Returns:
      The minima, best value first, each with its best point; and for every point the number of its
      minimum among them, -1 for those left out, shape (k,).
    """
    points, values = as_rows(x), np.asarray(values, np.float64)
    tol = _check.in_range("tol", tol, 0)
    n_searches = _check.integer("n_searches", n_searches, len(values))
    basin = np.full(len(values), -1)
    finite = np.isfinite(values) & np.isfinite(points).all(axis=1)
    if not finite.any():
        return (), basin
    # Best first. Equal values are ordered by the first coordinates of their points, because the
    # order in which they were found must not count. To `lexsort` the last key counts most.
    order = np.lexsort((*points.T[2::-1], np.where(finite, values, np.inf)))[: finite.sum()]
    points, values = points[order], values[order]

    low, high = end_rows(bounds, points.shape[1])
    like = jax.tree.map(lambda leaf: np.asarray(leaf[0]), x)
    objective = RowObjective(fun, args, like, low, high, _scale(points, low, high))
    best = clusters(objective, points, tol)
    found, ranks, counts = np.unique(best, return_inverse=True, return_counts=True)
    basin[order] = ranks
    places = as_tree(points[found], like)

    def minimum(rank: int, i: int, count: int) -> Minimum:
        computed = rank < _CERTIFIED and points.shape[1] <= _VARIABLES
        kind, condition = certificate(objective, points[i]) if computed else ("unknown", np.nan)
        return Minimum(
            x=jax.tree.map(lambda leaf: leaf[rank, ...], places),
            fun=float(values[i]),
            count=count,
            hit_rate=count / n_searches,
            hit_rate_interval=wilson(count, n_searches),
            kind=kind,
            condition=condition,
        )

    return tuple(map(minimum, range(len(found)), found.tolist(), counts.tolist())), basin


def _scale(points: np.ndarray, low: np.ndarray, high: np.ndarray) -> np.ndarray:
    """The length that counts as 1 in each coordinate: see `distinct_minima`."""
    # Points that all but agree would be torn apart by a scale as small as their range.
    least = 0.1 * np.maximum(1, np.abs(points).max(axis=0))
    usable = np.isfinite(low) & np.isfinite(high) & (low < high)
    scale = np.where(usable, high - low, np.maximum(np.ptp(points, axis=0), least))
    return np.minimum(scale, np.finfo(float).max)  # a width may overflow
