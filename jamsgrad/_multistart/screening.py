"""Choosing starts: the best of several candidates for each, after a short search from all."""

from collections.abc import Callable

import jax
import numpy as np

from jamsgrad._search.step import Record
from jamsgrad._search.stopping import Status
from jamsgrad._tree import Tree, where_rows


def screened(candidates: Tree, k: int, search: Callable[[Tree], Record[np.ndarray]]) -> Tree:
    """The point with the lowest value that the k candidates of each start came to.

    Those of start i have the numbers k i to k i + k - 1, so that it depends on no other start. The
    first candidates of all are searched together, then the second ones: that is one program, the
    one of the search itself.
    """
    best = None
    for j in range(k):
        record = search(jax.tree.map(lambda leaf, j=j: leaf[j::k], candidates))
        best = record if best is None else _better(best, record)
        if (record.status == Status.STOPPED).any():
            break  # somebody stopped it
    assert best is not None
    return best.x


def _better(old: Record[np.ndarray], new: Record[np.ndarray]) -> Record[np.ndarray]:
    """Of each two searches the one with the lower value."""
    return where_rows((new.fun < old.fun) | np.isnan(old.fun), new, old)
