"""The table of minima, to the letter."""

import numpy as np

from jamsgrad._minima.minimum import Minimum
from jamsgrad._minima.statistics import Chance
from jamsgrad._multistart import summary
from jamsgrad._multistart.summary import best_point

CHANCE = Chance(0.125, 0.708)
UNKNOWN = Chance(np.nan, np.nan)


def table(rows, chance=CHANCE, **options):
    return summary.table(rows, chance, **options).text()


def minimum(count, **fields):
    x = np.arange(2.0)
    some = Minimum(x, 0.5, count, count / 100, (0.001, 0.25), "minimum", 12.0, 0 * x, 0.0)
    return some._replace(**fields)


def test_table_is_read_by_a_person():
    rows = [minimum(7), minimum(1, kind="on the boundary", fun=-1.25e-9, x=np.array([2.5e-7, -1]))]
    assert table(rows).splitlines() == [
        "value      hits  hit rate (95 %)  kind             condition  x[0]     x[1]",
        "0.5        7     7 % (0.1 to 25)  minimum          12         0        1",
        "-1.25e-09  1     1 % (0.1 to 25)  on the boundary  12         2.5e-07  -1",
        "Chance that the next success is a new minimum: about 12.5 %, at most 70.8 % (95 %)",
    ]
    *shown, more, last = table([minimum(1)] * 25, limit=3).splitlines()
    assert len(shown) == 4
    assert more == "... and 22 more"
    assert last.endswith("about 12.5 %, at most 70.8 % (95 %)")
    assert "more" not in table([minimum(1)] * 3, limit=3)
    assert table([]) == ""


def test_unconverged_hits_are_told():
    rows = [minimum(7), *[minimum(1, kind="unconverged")] * 3, minimum(1, kind="flat")]
    *_, said, _ = table(rows).splitlines()
    assert said.startswith("3 hits are unconverged")
    assert "smaller gtol, more steps, or another unit for fun" in said
    assert "Chance" not in table(rows[1:4], UNKNOWN)
    assert "unconverged" not in table([minimum(7)])


def test_numbers_have_the_names_of_the_tree_and_only_eight_are_shown():
    x = {"rate": np.array(0.5), "offset": np.arange(8.0)}
    titles, row, _ = table([minimum(7, x=x)]).splitlines()
    assert titles.split("condition")[1].split() == [*(f"offset[{i}]" for i in range(8)), "..."]
    assert row.split("12  ")[1].split() == [*"01234567", "..."]


def test_a_flat_minimum_says_along_what():
    flat = {"kind": "flat", "x": {"gain": np.array(1.0), "offset": np.zeros(2)}}
    known = minimum(5, **flat, unsettled=np.array([[1, -0.5, 0], [0, 0, 1]]))
    by_ends = minimum(4, **flat, fun=2.0, extent={"gain": np.array(3.0), "offset": np.eye(2)[0]})
    said = "is flat: fun hardly changes along"
    *_, first, second, _ = table([known, by_ends, minimum(1, x=flat["x"])]).splitlines()
    assert first == f"0.5 {said} gain +1, offset[0] -0.5; offset[1]"
    assert second == f"2 {said} gain by 3, offset[0] by 1"
    assert "2 is flat" not in table([known, by_ends], limit=1)


def test_the_best_point_is_shown_or_that_there_is_none():
    said = "Best value 0.000257689, largest component of the gradient 0.0321, "
    for x, point in (
        (np.array([1.0, -2.5e-7]), "x[0] = 1, x[1] = -2.5e-07"),
        ({"b": np.arange(3.0), "a": np.array(3.0)}, "a = 3, b[0] = 0, b[1] = 1, b[2] = 2"),
        (np.zeros(8), ", ".join(f"x[{i}] = 0" for i in range(8))),
        (np.zeros(9), ", ".join(f"x[{i}] = 0" for i in range(8)) + ", ..."),
    ):
        assert best_point(0.000257689, 0.03214, x) == said + point
    for value in (np.nan, np.inf, -np.inf):
        assert best_point(value, np.nan, x) == "No search found a finite value."
