"""Where searches start: points in a box, each a function of the key and its own number."""

from collections.abc import Callable
from typing import Literal

import jax
import jax.numpy as jnp
import numpy as np

from jamsgrad import _check
from jamsgrad._multistart.plan import Draws
from jamsgrad._search import bounds as _bounds
from jamsgrad._search.minimize import floating
from jamsgrad._tree import PRNGKey, Tree

PREFIXED = ("uniform", "sobol")  # fewer starts are the first of more
METHODS = (*PREFIXED, "lhs")
_DEFAULT_N = 1024
Sampler = Literal["uniform", "sobol", "lhs"] | Callable[[jax.Array, int, _bounds.Bounds], Tree]


def sample_starts(key: PRNGKey, n_starts: int, bounds: Tree, starts: Sampler = "uniform") -> Tree:
    r"""Draw the points from which searches start.

    .. math:: x_i = l + u_i \, (h - l), \quad u_i \in [0, 1]^d

    with l and h the lower and the upper bound, and u_i

    - "uniform": independent and uniform, drawn by NumPy's Philox, seeded with the key's bits;
    - "sobol": the i-th point of a scrambled Sobol sequence, which leaves smaller gaps;
    - "lhs": a Latin hypercube: in each coordinate every n-th part of [0, 1] holds one point.

    Start i of "uniform" and "sobol" depends on the key and i alone, so the first m of n starts are
    those of `sample_starts(key, m, ...)`, bit for bit. In a Latin hypercube n_starts changes all of
    them.

    Args:
      key: a key, from `jax.random.key` or `jax.random.PRNGKey`.
      n_starts: how many, at least 0.
      bounds: (lower, upper), arrays or trees that broadcast to each other, and whose shape is that
        of x; an array of shape (d, 2); or a `scipy.optimize.Bounds`. All of them finite.
      starts: "uniform", "sobol", "lhs", or a function of (key, n_starts, box) that returns the
        starts; `box.lower` and `box.upper` are trees of arrays of x's shape and dtype.

    Returns:
      A tree like the bounds, each leaf a NumPy array with the starts as a new first axis, shape
      (n_starts, ...), of the floating dtype of its bounds. All starts are inside the bounds, which
      belong to the box.

    Raises:
      ValueError: if n_starts or starts is none of these, a bound is infinite or NaN, the bounds are
        reversed or do not fit each other, or a function's starts are not of that shape or outside.
      TypeError: if n_starts is not an integer, the key is none, or the bounds are in none of these
        forms.

    Example:
      >>> import jax
      >>> import jax.numpy as jnp
      >>> from jamsgrad import sample_starts
      >>> box = {"a": 0.0, "b": -1.0}, {"a": 1.0, "b": jnp.ones(3)}
      >>> starts = sample_starts(jax.random.key(0), 1000, box)
      >>> starts["a"].shape, starts["b"].shape
      ((1000,), (1000, 3))
      >>> few = sample_starts(jax.random.key(0), 10, box)
      >>> bool(jnp.array_equal(few["b"], starts["b"][:10]))
      True

    References:
      Joe and Kuo, Constructing Sobol sequences with better two-dimensional projections, SIAM J.
      Sci. Comput. 30, 2008. McKay, Beckman and Conover, A comparison of three methods for selecting
      values of input variables, Technometrics 21, 1979 (the Latin hypercube).
    """
    n = _check.integer("n_starts", n_starts, 0)
    _check.key("key", key)
    box = _bounds.box(bounds)
    if callable(starts):
        return inside(starts(key, n, box), n, box)
    _check.one_of("starts", starts, METHODS, or_else="a function")
    size = sum(low.size for low in jax.tree.leaves(box.lower))
    return placed(_units(starts, key, n, size), box)


def starts_and_box(
    key: Tree, n_starts: int | None, bounds: Tree, starts: Sampler | Tree, n_candidates: int = 1
) -> tuple[Tree, _bounds.Bounds | None]:
    """The starts that the arguments of `multistart` mean, and the box of one search.

    So many candidates each. Points of the user's own come first. Where n_starts asks for more,
    uniform ones follow: start i is then start i of the key.
    """
    if n_starts is not None:
        n_starts = _check.integer("n_starts", n_starts, 1) * n_candidates
    if isinstance(starts, str) or callable(starts):
        n = n_starts or _DEFAULT_N * n_candidates
        points = sample_starts(key, n, bounds, starts)  # pyright: ignore[reportArgumentType], another word is refused there
        box = _box(bounds, points)
        if box is not None and jax.tree.all(jax.tree.map(lambda a, b: (a == b).all(), *box)):
            raise ValueError(
                f"bounds leave nothing to search: lower and upper are equal; {_bounds.A_TUPLE}"
            )
        return points, box
    points = _points(starts)
    n_points = len(jax.tree.leaves(points)[0])
    box = _box(bounds, points)
    if box is not None:
        points = inside(points, n_points, box)
    n_starts = n_starts or n_points
    if n_points > n_starts:
        each = "" if n_candidates == 1 else f" of {n_candidates} candidates each"
        n = n_starts // n_candidates
        raise ValueError(f"starts holds {n_points} starts, more than n_starts = {n}{each}")
    if n_starts % n_candidates:
        raise ValueError(
            f"starts holds {n_points} points, which are no whole number of starts of "
            f"{n_candidates} candidates each, as screen says; n_starts adds what is missing"
        )
    if n_points < n_starts:
        drawn = sample_starts(key, n_starts, box)
        points = jax.tree.map(lambda a, b: np.concatenate([a, b[n_points:]]), points, drawn)
    return points, box


def draws_of(key: Tree, starts: Sampler | Tree, box: _bounds.Bounds | None) -> Draws | None:
    """Where further starts come from: those that do not depend on how many there are."""
    if key is None or box is None or callable(starts):
        return None
    if isinstance(starts, str) and starts not in PREFIXED:
        return None
    return Draws(key, starts if isinstance(starts, str) else "uniform")


def _points(starts: Tree) -> Tree:
    """The user's own points as arrays with a common first axis."""
    try:
        points = np.asarray(starts) if isinstance(starts, list) else starts
    except ValueError:
        raise ValueError(
            f"starts as a list must hold points of one shape, got {starts!r}"
        ) from None
    points = floating(points, "starts", np.asarray)
    counts = {leaf.shape[:1] for leaf in jax.tree.leaves(points)}
    if len(counts) != 1 or counts == {()}:
        shapes = jax.tree.map(lambda leaf: leaf.shape, points)
        raise ValueError(f"starts need one common first axis of starts, got shapes {shapes}")
    return points


def _box(bounds: Tree, starts: Tree) -> _bounds.Bounds | None:
    """The box of one search, whose x is a row of the starts."""
    one = jax.tree.map(lambda leaf: jax.ShapeDtypeStruct(leaf.shape[1:], leaf.dtype), starts)
    try:
        return _bounds.parse(bounds, one)
    except ValueError as error:
        shapes = jax.tree.map(lambda leaf: leaf.shape, starts)
        error.add_note(f"x is a row of the starts, whose shape is {shapes}")
        raise


def inside(starts: Tree, n: int, box: _bounds.Bounds) -> Tree:
    """The `starts` that somebody made, in the dtype of the box, or an error if they do not fit."""
    lows, treedef = jax.tree.flatten(box.lower)
    expected = jax.tree.map(lambda low: (n, *low.shape), box.lower)
    try:
        leaves = list(map(np.asarray, treedef.flatten_up_to(starts)))
    except (TypeError, ValueError) as error:
        raise ValueError(f"starts must have the shape {expected}, got {starts!r}") from error
    given = treedef.unflatten(leaf.shape for leaf in leaves)
    if given != expected:
        raise ValueError(f"starts must have the shape {expected}, got {given}")
    for leaf in leaves:
        if not any(jnp.issubdtype(leaf.dtype, kind) for kind in (jnp.floating, jnp.integer, bool)):
            raise TypeError(f"starts must be real numbers, got dtype {leaf.dtype}")
        if np.isnan(leaf).any():
            raise ValueError("starts must not be NaN")
    leaves = [leaf.astype(low.dtype) for leaf, low in zip(leaves, lows, strict=True)]
    rows = jax.tree.map(lambda end: np.broadcast_to(end, (n, *end.shape)), box)
    _bounds.check_inside(treedef.unflatten(leaves), rows, "starts")
    return treedef.unflatten(leaves)


def placed(units: np.ndarray, box: _bounds.Bounds) -> Tree:
    """The points of the box at `units`, points of the unit cube of shape (n, variables)."""
    box = jax.tree.map(np.asarray, box)
    lows, treedef = jax.tree.flatten(box.lower)
    ends = np.cumsum([low.size for low in lows])[:-1]

    def leaf(u: np.ndarray, low: np.ndarray, high: np.ndarray) -> np.ndarray:
        a, b = low.astype(float) / 2, high.astype(float) / 2
        x = 2 * (
            a + u.reshape(len(u), *low.shape) * (b - a)
        )  # halves, because high - low may overflow
        # Rounding may have left the box; NumPy clips a bfloat16 as a float32.
        return np.clip(x.astype(low.dtype), low, high).astype(low.dtype)

    parts = np.split(units, ends, axis=1)
    return treedef.unflatten(map(leaf, parts, lows, jax.tree.leaves(box.upper)))


def _units(method: str, key: PRNGKey, n: int, size: int) -> np.ndarray:
    """Points of the unit cube, shape (n, size), on the host: to compile this takes half a second.

    Philox counts: its i-th number is a function of the key and i.
    """
    seed = np.asarray(jax.random.key_data(key)).ravel().tolist()
    if method == "uniform":
        return np.random.Generator(np.random.Philox(np.random.SeedSequence(seed))).random((n, size))
    from scipy.stats import qmc  # noqa: PLC0415, slow to import

    rng = np.random.default_rng(seed)
    if method == "lhs":
        return qmc.LatinHypercube(size, rng=rng).random(n)
    # Sobol points come in powers of two; a shorter sequence is the beginning of a longer one.
    return qmc.Sobol(size, rng=rng).random_base2(max(n - 1, 0).bit_length())[:n]
