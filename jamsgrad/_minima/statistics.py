"""How sure it is: hit rates, the chance that minima are missing, and the table that says so."""

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from jamsgrad._tree import as_row

if TYPE_CHECKING:
    from jamsgrad._minima.minima import Minimum

_Z = 1.959964  # the normal distribution has 95 % within


def wilson(count: int, n: int) -> tuple[float, float]:
    """The 95 % interval of Wilson for the chance of a hit, after `count` hits in n searches.

    References:
      Wilson, Probable inference, the law of succession, and statistical inference, JASA 22, 1927.
    """
    middle = count + _Z**2 / 2
    half = _Z * math.sqrt(count * (n - count) / n + _Z**2 / 4)
    low, high = ((middle + side) / (n + _Z**2) for side in (-half, half))
    return max(low, 0.0), min(high, 1.0)


def chance_of_new(minima: Sequence["Minimum"]) -> tuple[float, float]:
    r"""The chance that the next success is a new minimum: an estimate, and a limit above it.

    With n successes, s minima found once and d found twice, Good and Turing estimate the chance as
    s / n. The variance of n times its error is about E s + 2 E d (Esty). With u for n times the
    chance, and as in Wilson's interval u in place of E s, which is the mean of both,

    .. math:: (u - s)^2 \le z^2 (u + 2 d) \iff
              u \le s + \frac{z^2}{2} + z \sqrt{s + 2 d + \frac{z^2}{4}}

    Where nothing was found once the estimate is 0 and the limit 3.84 / n: minima that each take a
    small share of the starts may have been missed. Starts must be independent.

    Returns:
      s / n, and the upper end of the 95 % interval, at most 1; NaN if there was no success.

    References:
      Good, The population frequencies of species and the estimation of population parameters,
      Biometrika 40, 1953 (Good and Turing). Esty, A normal limit law for a nonparametric estimator
      of the coverage of a random sample, Ann. Stat. 11, 1983.
    """
    counts = [minimum.count for minimum in minima]
    n, s, d = sum(counts), counts.count(1), counts.count(2)
    if not n:
        return math.nan, math.nan
    limit = s + _Z**2 / 2 + _Z * math.sqrt(s + 2 * d + _Z**2 / 4)
    return s / n, min(limit / n, 1.0)


def table(minima: Sequence["Minimum"], limit: int = 10) -> str:
    """The best minima, and the chance that there are others, as text for a person."""
    if not minima:
        return "No minimum was found."
    titles = ("value", "hits", "hit rate (95 %)", "kind", "condition", "x")
    rows = [titles, *map(_cells, minima[:limit])]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = ["  ".join(map(str.ljust, row, widths)).rstrip() for row in rows]
    if len(minima) > limit:
        lines.append(f"... and {len(minima) - limit} more")
    about, at_most = (f"{100 * chance:.3g} %" for chance in chance_of_new(minima))
    chance = f"about {about}, at most {at_most} (95 %)"
    return "\n".join([*lines, f"Chance that the next success is a new minimum: {chance}"])


def _cells(minimum: "Minimum") -> tuple[str, ...]:
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
