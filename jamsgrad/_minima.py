"""What was found: distinct minima, how often each was hit, and what kind of point each is."""

from collections.abc import Callable, Sequence
from functools import cache, partial
from typing import Any, NamedTuple

import jax
import numpy as np

from jamsgrad import _bounds, _check

_MANY = 1000  # clusters: where there are more, most of those to come are of one point
_CERTIFIED = 256  # the best minima, whose Hessian is computed
_VARIABLES = 200  # at most, for a Hessian to be computed


class Minimum(NamedTuple):
    """One of the distinct minima that many searches found.

    Attributes:
      x: its best point, a tree of NumPy arrays.
      fun: the value there.
      count: how many searches ended in it.
      hit_rate: count / all searches.
      interval: the 95 % Wilson interval of the hit rate, (low, high).
      kind: "saddle", if the value falls in some direction; "on the boundary", if it would fall only
        outside the bounds; "flat", if in some direction it does not change to second order;
        "minimum"; "unknown", if the Hessian is not finite or was not computed: beyond the 256 best
        minima, or for more than 200 variables.
      condition: largest / smallest absolute eigenvalue of the Hessian in the coordinates that no
        bound holds; inf if one is 0, NaN if there are none or the kind is unknown.

    Example:
      >>> fun = lambda x: x[0] ** 2 + 4 * x[1] ** 2
      >>> x, values = np.array([[0.0, 0.0], [1e-9, 0.0]]), np.array([0.0, 1e-18])
      >>> (found,), basin = distinct_minima(fun, x, values, None, n_searches=10)
      >>> found.count, found.hit_rate, found.kind, found.condition
      (2, 0.2, 'minimum', 4.0)
    """

    x: Any
    fun: float
    count: int  # pyright: ignore[reportIncompatibleMethodOverride], the field's word for it
    hit_rate: float
    interval: tuple[float, float]
    kind: str
    condition: float


class _Problem(NamedTuple):
    """The objective as a function of a row of real numbers; `like` is a point, as a tree."""

    fun: Callable
    args: tuple
    like: Any
    low: np.ndarray
    high: np.ndarray
    scale: np.ndarray

    @property
    def dtype(self) -> np.dtype:
        leaves = jax.tree.leaves(self.like)
        return np.result_type(np.float32, *(leaf.real.dtype for leaf in leaves))


@np.errstate(over="ignore", invalid="ignore")  # boxes and values may be as large as numbers get
def distinct_minima(
    fun: Callable,
    x: Any,
    values: Any,
    bounds: _bounds.Bounds | None,
    *,
    args: tuple = (),
    n_searches: int,
    tol: float = 1e-2,
) -> tuple[tuple[Minimum, ...], np.ndarray]:
    """The distinct minima among the points where searches ended, and which point belongs to which.

    From the best point on, every point takes those which no better one has taken and which differ
    from it in no coordinate by more than `tol` of its scale. The scale is the width of the box, or,
    where that is infinite or 0, the range of the points, at least 0.1 max(1, |x|). Neighbouring
    clusters, up to 3 tol apart, are joined where no barrier divides them: a flat valley is one
    minimum, not dozens.

    Args:
      fun: the objective, `fun(x, *args)`, a real scalar.
      x: where the searches ended, a tree of arrays, the points as first axis; a complex number
        counts as two coordinates.
      values: the values there, shape (k,). Points that are not finite or have no finite value are
        left out: NaN is the value of a search without success.
      bounds: the box of the searches, or None.
      args: further arguments of `fun`.
      n_searches: how many searches there were, failed ones included.
      tol: the radius of a cluster, as a part of the scale, above 0.

    Returns:
      The minima, best value first, each with its best point; and for every point the number of its
      minimum among them, -1 for those left out, shape (k,).

    References:
      Wilson, Probable inference, the law of succession, and statistical inference, JASA 22, 1927.
    """
    points, values = as_rows(x), np.asarray(values, np.float64)
    tol = _check.in_range("tol", tol, 0)
    n_searches = _check.integer("n_searches", n_searches, len(values))
    basin = np.full(len(values), -1)
    finite = np.isfinite(values) & np.isfinite(points).all(axis=1)
    if not finite.any():
        return (), basin
    # Best first; where values tie the points decide, and not the order in which they were found.
    order = np.lexsort((*points.T[2::-1], np.where(finite, values, np.inf)))[: finite.sum()]
    points, values = points[order], values[order]

    low, high = end_rows(bounds, points.shape[1])
    like = jax.tree.map(lambda leaf: np.asarray(leaf[0]), x)
    problem = _Problem(fun, args, like, low, high, _scale(points, low, high))
    leader = _leaders(points / problem.scale, tol)
    joined = _joined(problem, points, leader, 3 * tol)
    found, basin[order], counts = np.unique(joined, return_inverse=True, return_counts=True)
    places = _tree(points[found], like)

    def minimum(rank: int, i: int, count: int) -> Minimum:
        computed = rank < _CERTIFIED and points.shape[1] <= _VARIABLES
        kind, condition = _certificate(problem, points[i]) if computed else ("unknown", np.nan)
        return Minimum(
            x=jax.tree.map(lambda leaf: leaf[rank, ...], places),
            fun=float(values[i]),
            count=count,
            hit_rate=count / n_searches,
            interval=_wilson(count, n_searches),
            kind=kind,
            condition=condition,
        )

    return tuple(map(minimum, range(len(found)), found.tolist(), counts.tolist())), basin


def chance_of_new(minima: Sequence[Minimum]) -> float:
    """The chance that the next success is a new minimum: those found once / all successes.

    NaN if there was none.

    References:
      Good, The population frequencies of species and the estimation of population parameters,
      Biometrika 40, 1953 (Good and Turing).
    """
    hits = sum(minimum.count for minimum in minima)
    return sum(minimum.count == 1 for minimum in minima) / hits if hits else np.nan


def table(minima: Sequence[Minimum], limit: int = 10) -> str:
    """The best minima, and the chance that there are others, as text for a person."""
    if not minima:
        return "No minimum was found."
    titles = ("value", "hits", "hit rate (95 %)", "kind", "condition", "x")
    rows = [titles, *map(_cells, minima[:limit])]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = ["  ".join(map(str.ljust, row, widths)).rstrip() for row in rows]
    if len(minima) > limit:
        lines.append(f"... and {len(minima) - limit} more")
    chance = 100 * chance_of_new(minima)
    return "\n".join([*lines, f"Chance that the next success is a new minimum: {chance:.3g} %"])


def _cells(minimum: Minimum) -> tuple[str, ...]:
    x = as_row(minimum.x)
    shown = [f"{float(value):.5g}" for value in x[:4]] + ["..."] * (x.size > 4)
    low, high = minimum.interval
    return (
        f"{minimum.fun:.6g}",
        str(minimum.count),
        f"{100 * minimum.hit_rate:.3g} % ({100 * low:.3g} to {100 * high:.3g})",
        minimum.kind,
        f"{minimum.condition:.3g}",
        f"[{', '.join(shown)}]",
    )


def _parts(leaf: Any) -> int:
    """How many real numbers one number of the leaf is."""
    return 2 if np.iscomplexobj(leaf) else 1


def as_rows(x: Any) -> np.ndarray:
    """A tree of k points as an array of shape (k, number of variables)."""
    leaves = [np.asarray(leaf) for leaf in jax.tree.leaves(x)]
    leaves = [np.stack([a.real, a.imag], -1) if _parts(a) == 2 else a for a in leaves]
    rows = [leaf.reshape(len(leaf), leaf[:1].size) for leaf in leaves]
    return np.concatenate(rows, axis=1, dtype=np.float64)


def as_row(x: Any) -> np.ndarray:
    """A tree, one point, as an array of shape (number of variables,)."""
    return as_rows(jax.tree.map(lambda leaf: leaf[None], x))[0]


def _tree(rows: Any, like: Any) -> Any:
    """Back from an array of shape (..., number of variables) to a tree of points."""
    leaves, treedef = jax.tree.flatten(like)
    ends = np.cumsum([_parts(leaf) * leaf.size for leaf in leaves])

    def part(leaf: Any, end: int) -> Any:
        numbers = rows[..., end - _parts(leaf) * leaf.size : end].astype(leaf.dtype)
        if _parts(leaf) == 2:
            numbers = numbers[..., ::2] + 1j * numbers[..., 1::2]
        return numbers.reshape((*rows.shape[:-1], *leaf.shape))

    return treedef.unflatten(map(part, leaves, ends))


def end_rows(bounds: _bounds.Bounds | None, size: int) -> tuple[np.ndarray, np.ndarray]:
    """The ends of a box, infinite where there is none, as arrays of shape (size,)."""
    if bounds is None:
        return np.full(size, -np.inf), np.full(size, np.inf)
    return as_row(bounds.lower), as_row(bounds.upper)


def _scale(points: np.ndarray, low: np.ndarray, high: np.ndarray) -> np.ndarray:
    # Points that all but agree would be torn apart by a scale as small as their range.
    least = 0.1 * np.maximum(1, np.abs(points).max(axis=0))
    usable = np.isfinite(low) & np.isfinite(high) & (low < high)
    scale = np.where(usable, high - low, np.maximum(np.ptp(points, axis=0), least))
    return np.minimum(scale, np.finfo(float).max)  # a width may overflow


def _leaders(points: np.ndarray, tol: float) -> np.ndarray:
    """For each of the points, best first, the number of the point that takes it."""
    from scipy.spatial import KDTree  # noqa: PLC0415, slow to import

    tree = KDTree(points, balanced_tree=False)  # balancing is slow where points agree
    leader = np.full(len(points), -1)
    leaders = 0
    for i, point in enumerate(points):
        if leader[i] < 0:
            near = np.asarray(tree.query_ball_point(point, tol, p=np.inf))
            leader[near[leader[near] < 0]] = i
            leaders += 1
            if leaders == _MANY:
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


def _joined(problem: _Problem, points: np.ndarray, leader: np.ndarray, reach: float) -> np.ndarray:
    """The leaders, after neighbouring clusters that no barrier divides were joined."""
    from scipy.sparse import coo_array  # noqa: PLC0415, slow to import
    from scipy.sparse.csgraph import connected_components  # noqa: PLC0415
    from scipy.spatial import KDTree  # noqa: PLC0415

    found, cluster = np.unique(leader, return_inverse=True)
    best = points[found] / problem.scale
    # Itself and eight neighbours, which hold a valley together; all could be thousands.
    _, near = KDTree(best).query(best, k=9, p=np.inf, distance_upper_bound=reach)
    near = np.asarray(near)[:, 1:]
    a, which = np.nonzero(near < len(best))  # there may be fewer
    a, b = np.unique(np.sort([a, near[a, which]], axis=0), axis=1)
    divided = _barrier(problem, best[a], best[b])
    a, b = a[~divided], b[~divided]
    ways = coo_array((np.ones(len(a)), (a, b)), shape=(len(best),) * 2)
    _, component = connected_components(ways, directed=False)
    _, first = np.unique(component, return_index=True)
    return found[first[component[cluster]]]


def _barrier(problem: _Problem, a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Whether the value rises on the straight way from a to b, scaled points of shape (pairs, d).

    In a curved valley it rises a little on every straight way. A barrier rises by more than a
    hundredth of the typical change over such a length, in whatever units. NaN is a barrier.
    """
    aside = np.random.default_rng(0).standard_normal((4, a.shape[1]))
    aside /= np.linalg.norm(aside, axis=1, keepdims=True)
    start, way = a[:, None], (b - a)[:, None]
    along = start + np.linspace(0, 1, 17)[:, None] * way
    around = start + aside * np.linalg.norm(way, axis=2, keepdims=True)

    rows = np.concatenate([along, around], axis=1) * problem.scale
    rows = np.clip(rows, problem.low, problem.high)
    values = _evaluate(problem, rows.reshape(-1, a.shape[1])).reshape(rows.shape[:2])
    ends = values[:, [0, 16]]
    rise = values[:, :17].max(axis=1) - ends.max(axis=1)
    change = np.abs(values[:, 17:] - values[:, :1])
    typical = np.where(np.isfinite(change), change, 0).mean(axis=1)
    rounding = 16 * np.finfo(problem.dtype).eps * np.abs(ends).max(axis=1)
    return ~(rise <= 1e-2 * typical + rounding)


def _evaluate(problem: _Problem, rows: np.ndarray) -> np.ndarray:
    """The objective at many points, in batches of few sizes: each size is compiled."""
    size = min(8192, 1 << max(len(rows) - 1, 0).bit_length())
    values = np.empty(len(rows))
    for i in range(0, len(rows), size):
        batch = rows[i : i + size]
        padded = np.pad(batch, ((0, size - len(batch)), (0, 0)), mode="edge")
        out = _values(problem.fun, _tree(padded, problem.like), problem.args)
        values[i : i + size] = np.asarray(out, np.float64)[: len(batch)]
    return values


@partial(jax.jit, static_argnames="fun")
def _values(fun: Callable, x: Any, args: tuple) -> jax.Array:
    return jax.vmap(lambda x: fun(x, *args))(x)


@partial(jax.jit, static_argnames="fun")
def _derivatives(
    fun: Callable, row: jax.Array, like: Any, args: tuple
) -> tuple[jax.Array, jax.Array]:
    def objective(row: jax.Array) -> jax.Array:
        return fun(_tree(row, like), *args)

    return jax.grad(objective)(row), jax.hessian(objective)(row)


def _certificate(problem: _Problem, point: np.ndarray) -> tuple[str, float]:
    """The kind of the point, and the condition number of its Hessian."""
    fun, args, like, low, high, scale = problem
    try:
        row = point.astype(problem.dtype)
        grad, hessian = map(np.asarray, _derivatives(fun, row, like, args))
    except (TypeError, ValueError, NotImplementedError):
        return "unknown", np.nan  # a custom derivative may not have a second one
    if not (np.isfinite(grad).all() and np.isfinite(hessian).all()):
        return "unknown", np.nan
    movable = low < high
    held = movable & (((point <= low) & (grad > 0)) | ((point >= high) & (grad < 0)))
    free = movable & ~held
    otherwise = "on the boundary" if held.any() else "minimum"
    if not free.any():
        return otherwise, np.nan

    curvature = np.linalg.eigvalsh(hessian[np.ix_(free, free)])
    size = np.abs(curvature)
    # Zero is what rounding may have made, and what is so flat that the gradient which is left
    # would carry the minimum away by a tenth of the scale.
    rounding = 100 * point.size * np.finfo(hessian.dtype).eps * size.max()
    zero = max(rounding, 10 * np.abs(grad / scale)[free].max())
    flat = (size <= zero).any()
    condition = np.inf if flat else float(size.max() / size.min())
    if (curvature < -zero).any():
        return "saddle", condition
    return "flat" if flat and not held.any() else otherwise, condition


@cache
def _wilson(count: int, n: int) -> tuple[float, float]:
    from scipy.stats import binomtest  # noqa: PLC0415, slow to import

    low, high = binomtest(count, n).proportion_ci(0.95, method="wilson")
    return float(low), float(high)
