"""What a person reads of many searches: the best point, and the minima with how sure they are."""

import math
from collections.abc import Sequence

import numpy as np

from jamsgrad._minima.minima import Minimum
from jamsgrad._minima.statistics import chance_of_new
from jamsgrad._tree import as_row


def best_point(value: float, grad_norm: float, x: np.ndarray) -> str:
    """The best point of all searches, with its value and gradient."""
    if not math.isfinite(value):
        return "No search found a finite value."
    return f"Best value {value:.6g}, largest component of the gradient {grad_norm:.3g}, x = {_x(x)}"


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
    counts = [minimum.count for minimum in minima if minimum.kind != "unconverged"]
    unconverged = sum(minimum.count for minimum in minima) - sum(counts)
    if unconverged:
        lines.append(
            f"{unconverged:,} hits are unconverged: even the best of them is further than a "
            "thousandth of the box from where Newton's step leads. Try a smaller gtol, more steps, "
            "or another unit for fun."
        )
    if counts:
        about, at_most = (f"{100 * chance:.3g} %" for chance in chance_of_new(counts))
        chance = f"about {about}, at most {at_most} (95 %)"
        lines.append(f"Chance that the next success is a new minimum: {chance}")
    return "\n".join(lines)


def _cells(minimum: Minimum) -> tuple[str, ...]:
    low, high = minimum.hit_rate_interval
    return (
        f"{minimum.fun:.6g}",
        str(minimum.count),
        f"{100 * minimum.hit_rate:.3g} % ({100 * low:.3g} to {100 * high:.3g})",
        minimum.kind,
        f"{minimum.condition:.3g}",
        _x(as_row(minimum.x)),
    )


def _x(x: np.ndarray) -> str:
    """The first numbers of a point."""
    shown = [f"{float(value):.5g}" for value in x[:4]] + ["..."] * (x.size > 4)
    return f"[{', '.join(shown)}]"
