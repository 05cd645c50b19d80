"""Whether two points lie in different wells: does the value rise and fall between?"""

import jax
import jax.numpy as jnp
import numpy as np

from jamsgrad._minima.objective import RowObjective

_CHANGE, _ULPS, _NOISE, _CANCELLED = 1e-2, 16, 8, 64  # of the inequality in `_is_barrier`
_ALONG = 33  # points on the line, its ends among them
_DIRECTIONS = 4  # directions aside
_PAIRS = 1 << 12  # at a time, less where they have many coordinates
_NUMBERS = 1 << 22  # at most, in the points of so many pairs


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
    steps = np.linspace(0, 1, _ALONG)[:, None]
    n_pairs = max(1, min(_PAIRS, _NUMBERS // (d * (_ALONG + 2 * _DIRECTIONS))))
    for i in range(0, len(differ), n_pairs):
        some = differ[i : i + n_pairs]
        start, end = a[some, None], b[some, None]
        distance = np.linalg.norm((end - start) / objective.scale, axis=2, keepdims=True)
        rows = [(1 - steps) * start + steps * end, start + distance * directions]
        rows = np.concatenate([*rows, start + radius * directions], axis=1)
        values = objective.values(np.clip(rows, objective.low, objective.high).reshape(-1, d))
        last_place = max(eps, float(jnp.finfo(values.dtype).eps))
        values = values.astype(np.float64).reshape(len(some), -1)
        along, near, far = np.split(values, [_ALONG, _ALONG + _DIRECTIONS], axis=1)
        result[some] = _is_barrier(along, near, far, last_place)
    return result


def _is_barrier(along: np.ndarray, near: np.ndarray, far: np.ndarray, eps: float) -> np.ndarray:
    r"""Whether the values along lines from a to b, shape (pairs, 33), rise to a barrier.

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
    before = np.minimum.accumulate(along, axis=1)
    after = np.minimum.accumulate(along[:, ::-1], axis=1)[:, ::-1]
    rise = (along - np.maximum(before, after)).max(axis=1)
    change = np.abs(near - along[:, :1])
    typical = np.where(np.isfinite(change), change, 0).mean(axis=1)
    terms = np.median(np.where(np.isfinite(far), np.abs(far), 0), axis=1)
    terms = np.maximum(terms, np.abs(along[:, [0, -1]]).max(axis=1))
    rounding = _ULPS * eps * terms
    noise = np.sqrt((np.diff(along, n=4, axis=1) ** 2).mean(axis=1) / 70)
    allowed = _CHANGE * typical + rounding + np.minimum(_NOISE * noise, _CANCELLED * rounding)
    return ~np.isfinite(along).all(axis=1) | (rise > allowed)
