"""What a person reads of many searches: the best point, and the minima with how sure they are."""

import html
import math
from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from jamsgrad._minima.minimum import Minimum
from jamsgrad._minima.statistics import Chance
from jamsgrad._search.stopping import Status
from jamsgrad._tree import Tree, as_row, html_table, names

_SHOWN = 8  # numbers of a point


class Report(NamedTuple):
    """Sentences, a table whose first row are titles, and what is to be said of that."""

    sentences: list[str]
    rows: list[tuple[str, ...]]
    notes: list[str]

    def text(self) -> str:
        """For a terminal."""
        widths = [max(map(len, column)) for column in zip(*self.rows, strict=True)]
        aligned = ["  ".join(map(str.ljust, row, widths)).rstrip() for row in self.rows]
        return "\n".join([*self.sentences, *aligned, *self.notes])

    def html(self) -> str:
        """For a notebook."""
        before, after = (
            "<br>".join(map(html.escape, lines)) for lines in (self.sentences, self.notes)
        )
        table = html_table(self.rows[1:], self.rows[0]) if self.rows else ""
        return f"<p>{before}</p>{table}<p>{after}</p>"


def statuses(status: np.ndarray) -> tuple[str, list[str]]:
    """How many searches ended for which reason, in short, and a sentence for each."""
    counts = Counter(status.tolist())
    found = [(counts[s], Status(s)) for s in sorted(counts, reverse=True)]
    names = ", ".join(f"{n:,} {reason.name}" for n, reason in found)
    return names, [f"{n:,} {reason.name}. {reason.message}" for n, reason in found]


def best_point(value: float, grad_norm: float, x: Tree) -> str:
    """The best point of all searches, with its value and gradient."""
    if not math.isfinite(value):
        return "No search found a finite value."
    pairs = zip(_names(x), _x(x), strict=True)
    point = ", ".join(number if name == number else f"{name} = {number}" for name, number in pairs)
    return f"Best value {value:.6g}, largest component of the gradient {grad_norm:.3g}, {point}"


def table(minima: Sequence[Minimum], chance_of_new: Chance, limit: int = 10) -> Report:
    """The best minima, and the chance that there are others; nothing where there are none."""
    if not minima:
        return Report([], [], [])
    titles = ("value", "hits", "hit rate (95 %)", "kind", "condition", *_names(minima[0].x))
    lines = []
    if len(minima) > limit:
        lines.append(f"... and {len(minima) - limit} more")
    lines += [
        f"{minimum.fun:.6g} is flat: fun hardly changes along {minimum.directions()}"
        for minimum in minima[:limit]
        if minimum.kind == "flat"
    ]
    unconverged = sum(minimum.count for minimum in minima if minimum.kind == "unconverged")
    if unconverged:
        lines.append(
            f"{unconverged:,} hits are unconverged: even the best of them is further than a "
            "thousandth of the box from where Newton's step leads. Try a smaller gtol, more steps, "
            "or another unit for fun."
        )
    if not math.isnan(chance_of_new.estimate):
        about, at_most = (f"{100 * chance:.3g} %" for chance in chance_of_new)
        chance = f"about {about}, at most {at_most} (95 %)"
        lines.append(f"Chance that the next success is a new minimum: {chance}")
    return Report([], [titles, *map(_cells, minima[:limit])], lines)


def _cells(minimum: Minimum) -> tuple[str, ...]:
    low, high = minimum.hit_rate_interval
    return (
        f"{minimum.fun:.6g}",
        str(minimum.count),
        f"{100 * minimum.hit_rate:.3g} % ({100 * low:.3g} to {100 * high:.3g})",
        minimum.kind,
        f"{minimum.condition:.3g}",
        *_x(minimum.x),
    )


def _names(x: Tree) -> list[str]:
    """What the numbers of a point are called that `_x` shows."""
    found = names(x)
    return found if len(found) <= _SHOWN else [*found[:_SHOWN], "..."]


def _x(x: Tree) -> list[str]:
    """The first numbers of a point."""
    found = as_row(x)
    return [f"{number:.5g}" for number in found[:_SHOWN]] + ["..."] * (found.size > _SHOWN)
