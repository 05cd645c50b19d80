"""Where searches start: points in a box, each a function of the key and its own number."""

from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jamsgrad import _check
from jamsgrad._search import bounds as _bounds

METHODS = ("uniform", "sobol", "lhs")
Sampler = Callable[[jax.Array, int, _bounds.Bounds], Any]


def sample_starts(key: jax.Array, n: int, bounds: Any, method: str | Sampler = "uniform") -> Any:
    r"""Draw the points from which `n` searches start.

    .. math:: x_i = l + u_i \, (h - l), \quad u_i \in [0, 1]^d

    with l and h the lower and the upper bound, and u_i

    - "uniform": independent and uniform, drawn from `jax.random.fold_in(key, i)`;
    - "sobol": the i-th point of a scrambled Sobol sequence, which leaves smaller gaps;
    - "lhs": a Latin hypercube: in each coordinate every n-th part of [0, 1] holds one point.

    Start i of "uniform" and "sobol" depends on the key and i alone, so the first m of n starts are
    those of `sample_starts(key, m, ...)`, bit for bit. In a Latin hypercube n changes all of them.

    Args:
      key: a key, from `jax.random.key` or `jax.random.PRNGKey`.
      n: how many starts, at least 0.
      bounds: (lower, upper), arrays or trees that broadcast to each other, and whose shape is that
        of x; an array of shape (d, 2); or a `scipy.optimize.Bounds`. All of them finite.
      method: "uniform", "sobol", "lhs", or a function of (key, n, box) that returns the starts;
        `box.lower` and `box.upper` are trees of arrays of x's shape and dtype.

    Returns:
      A tree like the bounds, each leaf with the starts as a new first axis: shape (n, ...), of the
      floating dtype of its bounds. All starts are inside the bounds, which belong to the box.

    Raises:
      ValueError: if n or the method is none of these, a bound is infinite or NaN, the bounds are
        reversed or do not fit each other, or a sampler's starts are not of that shape or outside.
      TypeError: if n is not an integer, the key is none, or the bounds are in none of these forms.

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
    n = _check.integer("n", n, 0)
    _check.key("key", key)
    box = _bounds.box(bounds)
    if callable(method):
        return inside(method(key, n, box), n, box)
    _check.one_of("method", method, METHODS, or_else="a function")
    if method == "uniform":
        return _uniform(key, n, box)
    return placed(_spread(method, key, n, _size(box)), box)


def inside(starts: Any, n: int, box: _bounds.Bounds) -> Any:
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
    leaves = [jnp.asarray(leaf, low.dtype) for leaf, low in zip(leaves, lows, strict=True)]
    rows = jax.tree.map(lambda end: np.broadcast_to(end, (n, *end.shape)), box)
    _bounds.check_inside(treedef.unflatten(leaves), rows, "starts")
    return treedef.unflatten(leaves)


def placed(units: np.ndarray, box: _bounds.Bounds) -> Any:
    """The points of the box at `units`, points of the unit cube of shape (n, variables)."""
    return _placed(jnp.asarray(units, float), box)


@partial(jax.jit, static_argnames="n")
def _uniform(key: jax.Array, n: int, box: _bounds.Bounds) -> Any:
    def start(i: jax.Array) -> Any:
        return _place(jax.random.uniform(jax.random.fold_in(key, i), (_size(box),), float), box)

    return jax.vmap(start)(jnp.arange(n))


@jax.jit
def _placed(units: jax.Array, box: _bounds.Bounds) -> Any:
    return jax.vmap(_place, in_axes=(0, None))(units, box)


def _place(unit: jax.Array, box: _bounds.Bounds) -> Any:
    """The point of the box at `unit`, a point of the unit cube."""
    lows, treedef = jax.tree.flatten(box.lower)
    ends = np.cumsum([low.size for low in lows])[:-1]

    def leaf(u: jax.Array, low: jax.Array, high: jax.Array) -> jax.Array:
        u = u.reshape(low.shape)
        a, b = low.astype(u.dtype) / 2, high.astype(u.dtype) / 2
        x = 2 * (a + u * (b - a))  # halves, because high - low may overflow
        return jnp.clip(x.astype(low.dtype), low, high)  # rounding may have left the box

    return treedef.unflatten(map(leaf, jnp.split(unit, ends), lows, jax.tree.leaves(box.upper)))


def _spread(method: str, key: jax.Array, n: int, size: int) -> np.ndarray:
    """Points of the unit cube by `scipy.stats.qmc`, shape (n, size)."""
    from scipy.stats import qmc  # noqa: PLC0415, slow to import

    rng = np.random.default_rng(np.asarray(jax.random.key_data(key)).ravel().tolist())
    if method == "lhs":
        return qmc.LatinHypercube(size, rng=rng).random(n)
    # Sobol points come in powers of two; a shorter sequence is the beginning of a longer one.
    return qmc.Sobol(size, rng=rng).random_base2(max(n - 1, 0).bit_length())[:n]


def _size(box: _bounds.Bounds) -> int:
    return sum(low.size for low in jax.tree.leaves(box.lower))
