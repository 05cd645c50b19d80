"""The table of minima that a person reads: values, hits, kinds, and how sure it all is."""

from collections.abc import Sequence

from jamsgrad._minima.minima import Minimum
from jamsgrad._minima.statistics import chance_of_new
from jamsgrad._tree import as_row


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
    counts = [minimum.count for minimum in minima]
    about, at_most = (f"{100 * chance:.3g} %" for chance in chance_of_new(counts))
    chance = f"about {about}, at most {at_most} (95 %)"
    return "\n".join([*lines, f"Chance that the next success is a new minimum: {chance}"])


def _cells(minimum: Minimum) -> tuple[str, ...]:
    x = as_row(minimum.x)
    shown = [f"{float(value):.5g}" for value in x[:4]] + ["..."] * (x.size > 4)
    low, high = minimum.hit_rate_interval
    return (
        f"{minimum.fun:.6g}",
        str(minimum.count),
        f"{100 * minimum.hit_rate:.3g} % ({100 * low:.3g} to {100 * high:.3g})",
        minimum.kind,
        f"{minimum.condition:.3g}",
        f"[{', '.join(shown)}]",
    )
