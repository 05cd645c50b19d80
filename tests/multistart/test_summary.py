"""The table of minima, to the letter."""

import numpy as np

from jamsgrad._minima.minima import Minimum
from jamsgrad._multistart.summary import table


def minimum(count, **fields):
    some = Minimum(np.arange(2.0), 0.5, count, count / 100, (0.001, 0.25), "minimum", 12.0)
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
