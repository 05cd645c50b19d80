"""Whether two points lie in different wells: does the value rise and fall between?"""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np

from jamsgrad._minima.objective import RowObjective
from jamsgrad._tree import Numeric, ceil_div

_CHANGE, _ULPS, _NOISE, _CANCELLED = 1e-2, 16, 8, 64  # of the inequality in `_is_barrier`
_ALONG = 33  # points on the line, its ends among them
_DIRECTIONS = 4  # directions aside
_PAIRS = 1 << 14  # in one call
_BATCH = 128  # pairs at once: about as many evaluations as there are lanes in a search
_NUMBERS = 1 << 22  # at most, in the pairs of a call, and in the points of a batch


def divided(objective: RowObjective, a: np.ndarray, b: np.ndarray, radius: float) -> np.ndarray:
    """For pairs of points, shape (pairs, d), whether a barrier divides them.

    A straight line across a curved valley always rises a little. A rise counts as a barrier only
    above the sum of 1 % of the typical change over that distance, of rounding error, and of the
    roughness of the values: see `_is_barrier`. A value that is not finite is a barrier, too. Points
    that agree to rounding are never divided. Values at the distance `radius`, in scales, show how
    large the terms are that round.
    """
    result = np.zeros(len(a), bool)
    d = a.shape[1]
    eps = max(float(jnp.finfo(leaf.dtype).eps) for leaf in jax.tree.leaves(objective.like))
    size = np.maximum(np.abs(a), objective.scale)
    (differ,) = np.nonzero((np.abs(b - a) > _ULPS * eps * size).any(axis=1))

    directions = np.random.default_rng(0).standard_normal((_DIRECTIONS, d))
    directions *= objective.scale / np.linalg.norm(directions, axis=1, keepdims=True)
    distance = np.linalg.norm((b - a) / objective.scale, axis=1)
    cast = partial(np.asarray, dtype=objective.dtype)
    pairs = [cast(a), cast(b), cast(distance)]
    shared = [cast(directions), cast(objective.low), cast(objective.high), cast(radius)]
    n_batch = _fitting(_BATCH, d * (_ALONG + 2 * _DIRECTIONS))
    n_pairs = n_batch * _fitting(_PAIRS // n_batch, d * n_batch)
    for i in range(0, len(differ), n_pairs):
        some = differ[i : i + n_pairs]
        # The number of pairs is compiled in: the last one fills up, in batches that are skipped.
        filled = np.pad(some, (0, n_pairs - len(some)), mode="edge")
        n_batches = ceil_div(len(some), n_batch)
        found = _divided(objective, [x[filled] for x in pairs], shared, eps, n_batch, n_batches)
        result[some] = np.asarray(found)[: len(some)]
    return result


def _fitting(most: int, numbers: int) -> int:
    """How many things of so many numbers fit, at least 1 and at most `most`."""
    return max(1, min(most, _NUMBERS // numbers))


@partial(jax.jit, static_argnames="n_batch")
def _divided(
    objective: RowObjective,
    pairs: list[jax.Array],
    shared: list[jax.Array],
    eps: Numeric,
    n_batch: int,
    n_batches: Numeric,
) -> jax.Array:
    """Whether a barrier divides the pairs, for the first `n_batches` batches of them.

    `pairs` are rows a, rows b and the distances between; `shared` is what all have in common.
    """
    directions, low, high, radius = shared
    steps = jnp.linspace(0, 1, _ALONG, dtype=low.dtype)[:, None]

    def one(a: jax.Array, b: jax.Array, distance: jax.Array) -> jax.Array:
        along = (1 - steps) * a[None] + steps * b[None]
        rows = [along, a[None] + distance * directions, a[None] + radius * directions]
        rows = jnp.clip(jnp.concatenate(rows), low[None], high[None])
        values = jax.vmap(objective)(rows)
        along, near, far = jnp.split(values, [_ALONG, _ALONG + _DIRECTIONS])
        return _is_barrier(along, near, far, eps)

    def batch(i: Numeric, found: jax.Array) -> jax.Array:
        some = [jax.lax.dynamic_slice_in_dim(x, i * n_batch, n_batch) for x in pairs]
        return jax.lax.dynamic_update_slice_in_dim(found, jax.vmap(one)(*some), i * n_batch, 0)

    return jax.lax.fori_loop(0, n_batches, batch, jnp.zeros(len(pairs[0]), bool))


def _is_barrier(along: jax.Array, near: jax.Array, far: jax.Array, eps: Numeric) -> jax.Array:
    r"""Whether the values along the line from a to b rise to a barrier.

    With f_i the values along the line, there is a barrier if

    .. math:: \max_i \bigl(f_i - \max(\min_{j \le i} f_j, \min_{j \ge i} f_j)\bigr)
              > \mathrm{CHANGE} \, C + R + \min(\mathrm{NOISE} \, \sigma, \mathrm{CANCELLED} \, R),
              \qquad R = \mathrm{ULPS} \, \epsilon \, T

    or if one of the f_i is not finite. The left side is how far the line rises above its lowest
    points on both sides. The right side is how far it may rise within one well:

    - C is the typical change over the distance from a to b: the mean of |f - f(a)| for the values
      `near`, as far from a as b is. In a curved valley the line rises by a small part of it.
    - R is rounding error, and T the size of the terms that the value is a sum of, which may cancel:
      the largest of |f(a)|, |f(b)| and the median of |f| for the values `far`, a radius from a.
      Epsilon is that of x or of the values, whichever is larger.
    - sigma is the standard deviation of noise, that is of rounding errors of terms larger than T.
      Fourth differences of noise have sqrt(70) times its standard deviation, because
      70 = 1 + 16 + 36 + 16 + 1; those of a smooth function are small. The limit keeps wells that
      are only a few points of the line apart from passing as noise.
    """
    lowest_before, lowest_after = jax.lax.cummin(along), jax.lax.cummin(along, reverse=True)
    rise = jnp.max(along - jnp.maximum(lowest_before, lowest_after))
    change = jnp.abs(near - along[0])
    typical = jnp.mean(jnp.where(jnp.isfinite(change), change, 0))
    terms = jnp.median(jnp.where(jnp.isfinite(far), jnp.abs(far), 0))
    terms = jnp.maximum(terms, jnp.maximum(jnp.abs(along[0]), jnp.abs(along[-1])))
    last_place = jnp.maximum(jnp.asarray(eps, along.dtype), jnp.finfo(along.dtype).eps)
    rounding = _ULPS * last_place * terms
    noise = jnp.sqrt(jnp.mean(jnp.diff(along, n=4) ** 2) / 70)
    allowed = _CHANGE * typical + rounding + jnp.minimum(_NOISE * noise, _CANCELLED * rounding)
    return ~jnp.isfinite(along).all() | (rise > allowed)
