"""How sure it is: the intervals of hit rates, and the chance that minima are missing."""

import math
from collections.abc import Sequence
from typing import NamedTuple

_Z = 1.959964  # the normal distribution has 95 % within


class Chance(NamedTuple):
    """A chance, as far as counts show it; both numbers are NaN if there are no counts."""

    estimate: float
    limit: float  # the upper end of its 95 % interval


def wilson(count: int, n: int) -> tuple[float, float]:
    """The 95 % interval of Wilson for the chance of a hit, after `count` hits in n searches.

    References:
      Wilson, Probable inference, the law of succession, and statistical inference, JASA 22, 1927.
    """
    middle = count + _Z**2 / 2
    half = _Z * math.sqrt(count * (n - count) / n + _Z**2 / 4)
    low, high = ((middle + side) / (n + _Z**2) for side in (-half, half))
    return max(low, 0.0), min(high, 1.0)


def chance_of_new(counts: Sequence[int]) -> Chance:
    r"""The chance that the next success is a new minimum: an estimate, and a limit above it.

    With n successes, s minima found once and d found twice, Good and Turing estimate the chance as
    s / n. The variance of n times its error is about E s + 2 E d (Esty). Let u be n times the
    chance. Both u and s have the mean E s. As in Wilson's interval, replace E s by u, and E d by d,
    and solve for u:

    .. math:: (u - s)^2 \le z^2 (u + 2 d) \iff
              u \le s + \frac{z^2}{2} + z \sqrt{s + 2 d + \frac{z^2}{4}}

    Where nothing was found once the estimate is 0 and the limit 3.84 / n: minima that each take a
    small share of the starts may have been missed. Starts must be independent.

    Args:
      counts: how often each of the minima was found, each at least 1.

    Returns:
      s / n, and the upper end of the 95 % interval, at most 1; NaN if there was no success.

    References:
      Good, The population frequencies of species and the estimation of population parameters,
      Biometrika 40, 1953 (Good and Turing). Esty, A normal limit law for a nonparametric estimator
      of the coverage of a random sample, Ann. Stat. 11, 1983.
    """
    n, s, d = sum(counts), counts.count(1), counts.count(2)
    if not n:
        return Chance(math.nan, math.nan)
    limit = s + _Z**2 / 2 + _Z * math.sqrt(s + 2 * d + _Z**2 / 4)
    return Chance(s / n, min(limit / n, 1.0))
