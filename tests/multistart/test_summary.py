"""The table of minima, to the letter."""

import numpy as np

from jamsgrad._minima.minima import Minimum
from jamsgrad._multistart.summary import best_point, table


def minimum(count, **fields):
    x = np.arange(2.0)
    some = Minimum(x, 0.5, count, count / 100, (0.001, 0.25), "minimum", 12.0, 0 * x)
    return some._replace(**fields)


def test_table_is_read_by_a_person():
    rows = [minimum(7), minimum(1, kind="on the boundary", fun=-1.25e-9, x={"a": np.arange(6.0)})]
    assert table(rows).splitlines() == [
        "value      hits  hit rate (95 %)  kind             condition  x",
        "0.5        7     7 % (0.1 to 25)  minimum          12         [0, 1]",
        "-1.25e-09  1     1 % (0.1 to 25)  on the boundary  12         [0, 1, 2, 3, ...]",
        "Chance that the next success is a new minimum: about 12.5 %, at most 70.8 % (95 %)",
    ]
    *shown, more, last = table([minimum(1)] * 25, limit=3).splitlines()
    assert len(shown) == 4
    assert more == "... and 22 more"
    assert last.endswith("about 100 %, at most 100 % (95 %)")
    assert "more" not in table([minimum(1)] * 3, limit=3)
    assert table([]) == "No minimum was found."


def test_unconverged_hits_are_no_evidence_for_or_against_others():
    rows = [minimum(7), *[minimum(1, kind="unconverged")] * 3, minimum(1, kind="flat")]
    *_, said, chance = table(rows).splitlines()
    assert said.startswith("3 hits are unconverged")
    assert "smaller gtol, more steps, or another unit for fun" in said
    assert chance == table([minimum(7), minimum(1)]).splitlines()[-1]
    assert "Chance" not in table(rows[1:4])
    assert "unconverged" not in table([minimum(7)])


def test_the_best_point_is_shown_or_that_there_is_none():
    x = np.array([1.0, -2.5e-7, 3, 4, 5])
    said = "Best value 0.000257689, largest component of the gradient 0.0321, "
    assert best_point(0.000257689, 0.03214, x) == said + "x = [1, -2.5e-07, 3, 4, ...]"
    for value in (np.nan, np.inf, -np.inf):
        assert best_point(value, np.nan, x) == "No search found a finite value."
