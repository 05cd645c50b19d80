"""What lies between two points: do the values rise and fall, or does a slope lead down?"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jamsgrad._minima.objective import RowObjective

_CHANGE, _ULPS, _NOISE, _CANCELLED = 1e-2, 16, 8, 64  # of the inequality in `_short`
_SAME = 1e-8  # of the scale: values in float64 do not tell points that agree to eight digits apart
_CLOSE = 1e-6  # of the scale: wells are not so near that they pass for noise
_ALONG = 33  # points on the line, its ends among them
_DIRECTIONS = 4  # directions aside
_PAIRS = 1 << 12  # at a time, less where they have many coordinates
_NUMBERS = 1 << 22  # at most, in the points of so many pairs
_NEAR = 3  # radii: lines up to this length are short
_LADDER = 2.0 ** np.arange(-11, -5)  # where long lines have points near their higher end
_FALL, _CLIFF = 1e-2, 4  # of `_between`


class Between(NamedTuple):
    """What lies between the points of pairs; each field has the shape (pairs,)."""

    barrier: np.ndarray  # whether a barrier divides them
    allowed: np.ndarray  # how far the line may rise within one well
    level: np.ndarray  # whether all values between them agree to rounding
    slope: np.ndarray  # whether the higher point is on a slope that leads down to the lower one

    @classmethod
    def nothing(cls, n: int) -> "Between":
        """Of points that agree."""
        true = np.ones(n, bool)
        return cls(~true, np.full(n, np.inf), true, true.copy())


def between(
    objective: RowObjective,
    a: np.ndarray,
    b: np.ndarray,
    radius: float,
    bends: np.ndarray | None = None,
) -> Between:
    """What lies on the lines between pairs of points, each of shape (pairs, d), a the better one.

    A line across a curved valley always rises a little. On a short line, up to 3 radii long in
    every coordinate (radii are parts of the scale), a rise counts as a barrier only above the sum
    of 1 % of the typical change over that distance, of rounding error, and of the roughness of the
    values: see `_short`. On a longer one there may be other wells, so every rise above rounding
    counts. A value that is not finite is a barrier, too. Points that agree to rounding, or to
    eight digits of the scale, are never divided. Lines are straight, or parabolas whose middles lie
    `bends` aside, which count as short.
    """
    result = Between.nothing(len(a))
    eps = max(float(jnp.finfo(leaf.dtype).eps) for leaf in jax.tree.leaves(objective.like))
    size = np.maximum(np.abs(a), objective.scale)
    same = np.maximum(_ULPS * eps * size, _SAME * objective.scale)
    differ = (np.abs(b - a) > same).any(axis=1)
    # As halves, because the difference of two points may be larger than numbers get.
    short = (np.abs(b / 2 - a / 2) <= _NEAR / 2 * radius * objective.scale).all(axis=1)
    n_pairs = max(1, min(_PAIRS, _NUMBERS // (a.shape[1] * (_ALONG + 2 * _DIRECTIONS))))
    bent = np.zeros_like(a) if bends is None else bends
    short |= bends is not None
    for which, judge in ((differ & short, _short), (differ & ~short, _long)):
        (pairs,) = np.nonzero(which)
        for i in range(0, len(pairs), n_pairs):
            some = pairs[i : i + n_pairs]
            found = judge(objective, a[some, None], b[some, None], bent[some, None], radius, eps)
            for all_, part in zip(result, found, strict=True):
                all_[some] = part
    return result


def _values(objective: RowObjective, rows: np.ndarray) -> np.ndarray:
    """The values at rows of shape (pairs, k, d), clipped to the box: shape (pairs, k)."""
    rows = np.clip(rows, objective.low, objective.high)
    return objective.values(rows.reshape(-1, rows.shape[2])).reshape(rows.shape[:2])


def _short(
    objective: RowObjective,
    a: np.ndarray,
    b: np.ndarray,
    bend: np.ndarray,
    radius: float,
    eps: float,
) -> Between:
    r"""What lies between points that are near each other, shape (pairs, 1, d).

    With f_i the values along the line, there is a barrier if

    .. math:: \max_i \bigl(f_i - \max(\min_{j \le i} f_j, \min_{j \ge i} f_j)\bigr)
              > \mathrm{CHANGE} \, C + R + \min(\mathrm{NOISE} \, \sigma, \mathrm{CANCELLED} \, R),
              \qquad R = \mathrm{ULPS} \, \epsilon \, T

    or if one of the f_i is not finite. The left side is how far the line rises above its lowest
    points on both sides. The right side is how far it may rise within one well:

    - C is the typical change over the distance from a to b: the mean of |f - f(a)| in four
      directions, as far from a as b is. In a curved valley the line rises by a small part of it.
    - R is rounding error, and T the size of the terms that the value is a sum of, which may cancel:
      the largest of |f(a)|, |f(b)| and the median of |f| in four directions, a radius from a.
      Epsilon is that of x or of the values, whichever is larger.
    - sigma is the standard deviation of noise, that is of rounding errors of terms larger than T.
      Fourth differences of noise have sqrt(70) times its standard deviation, because
      70 = 1 + 16 + 36 + 16 + 1; those of a smooth function are small. The limit keeps wells that
      are only a few points of the line apart from passing as noise. There is none where a and b
      agree to a millionth of the scale.
    """
    directions = np.random.default_rng(0).standard_normal((_DIRECTIONS, a.shape[2]))
    directions *= objective.scale / np.linalg.norm(directions, axis=1, keepdims=True)
    steps = np.linspace(0, 1, _ALONG)[:, None]
    distance = np.linalg.norm((b - a) / objective.scale, axis=2, keepdims=True)
    along = (1 - steps) * a + steps * b + 4 * steps * (1 - steps) * bend
    rows = [along, a + distance * directions, a + radius * directions]
    values = _values(objective, np.concatenate(rows, axis=1))
    eps = max(eps, float(jnp.finfo(values.dtype).eps))
    along, near, far = np.split(values.astype(np.float64), [_ALONG, _ALONG + _DIRECTIONS], axis=1)
    change = np.abs(near - along[:, :1])
    typical = np.where(np.isfinite(change), change, 0).mean(axis=1)
    terms = np.median(np.where(np.isfinite(far), np.abs(far), 0), axis=1)
    rounding = _ULPS * eps * np.maximum(terms, np.abs(along[:, [0, -1]]).max(axis=1))
    noise = np.sqrt((np.diff(along, n=4, axis=1) ** 2).mean(axis=1) / 70)
    limit = np.where(distance[:, 0, 0] <= _CLOSE, np.inf, _CANCELLED * rounding)
    noise = np.minimum(_NOISE * noise, limit)
    return _between(along, _CHANGE * typical + rounding + noise, rounding + noise)


def _long(objective: RowObjective, a: np.ndarray, b: np.ndarray, *given: Any) -> Between:
    """What lies between points that are far from each other; only rounding may rise.

    The line goes from the higher point, b. Its points get denser towards b, so that a well there
    is seen however narrow it is; the others are not evenly spaced, because wells may be. Most of
    the lines between minima rise well above both, which three values show.
    """
    *_, eps = given
    n_even = _ALONG - len(_LADDER)
    even = np.linspace(0, 1, n_even)
    even[1:-1] += np.random.default_rng(0).uniform(-0.4, 0.4, n_even - 2) / (n_even - 1)
    steps = np.sort(np.concatenate([even, _LADDER]))
    few = np.searchsorted(steps, [0, _LADDER[0], 0.3, 0.6, 1])
    rest = np.delete(np.arange(_ALONG), few)

    def values(some: np.ndarray, of: slice | np.ndarray) -> np.ndarray:
        at = steps[some, None]
        return _values(objective, (1 - at) * b[of] + at * a[of])

    first = values(few, slice(None))
    eps = max(eps, float(jnp.finfo(first.dtype).eps))
    limit = first[:, [0, -1]].max(axis=1) + _ULPS * eps * np.abs(first).max(axis=1)
    result = Between.nothing(len(a))
    (low,) = np.nonzero(first.max(axis=1) <= limit)
    result.barrier[:] = True
    if low.size:
        along = np.empty((len(low), _ALONG))
        along[:, few], along[:, rest] = first[low], values(rest, low)
        terms = np.maximum(np.median(np.abs(along), axis=1), np.abs(along[:, [0, -1]]).max(axis=1))
        rounding = _ULPS * eps * terms
        found = _between(along, rounding, rounding, int(np.searchsorted(steps, 1 / 8)))
        for all_, part in zip(result, found, strict=True):
            all_[low] = part
    return result


def _between(
    along: np.ndarray, allowed: np.ndarray, rounding: np.ndarray, eighth: int = (_ALONG - 1) // 8
) -> Between:
    """What values along lines, shape (pairs, 33), say; `eighth` is a point at an eighth of them.

    The higher end is on a slope if the value falls there at once: by the first eighth of the line
    by a hundredth of all. It does not on a plateau. And it must fall gradually, by no more than a
    quarter of all from one point to the next: else there is a plateau with a cliff, however near.
    """
    before = np.minimum.accumulate(along, axis=1)
    after = np.minimum.accumulate(along[:, ::-1], axis=1)[:, ::-1]
    rise = (along - np.maximum(before, after)).max(axis=1)
    barrier = ~np.isfinite(along).all(axis=1) | (rise > allowed)

    down = np.where(along[:, :1] >= along[:, -1:], along, along[:, ::-1])
    drop, fall = (down[:, 0] - lowest for lowest in (down[:, -1], down.min(axis=1)))
    at_once = down[:, 0] - down[:, : eighth + 1].min(axis=1)
    steepest = (down[:, :-1] - down[:, 1:]).max(axis=1)
    gradual = (at_once + allowed >= _FALL * fall) & (steepest <= fall / _CLIFF + allowed)
    level = along.max(axis=1) - along.min(axis=1) <= rounding
    return Between(barrier, allowed, level, gradual | (drop <= allowed))
