"""What was recorded of the searches to draw, in whichever form they are given."""

from collections.abc import Mapping
from typing import NamedTuple, TypeAlias

import jax
import numpy as np
from numpy.typing import ArrayLike

from jamsgrad._search.minimize import Result, Trajectory
from jamsgrad._tree import Tree

Search: TypeAlias = Result | Trajectory | ArrayLike
Results: TypeAlias = Search | Mapping[str, Search]


class Recorded(NamedTuple):
    """The rows that were written in a search, as NumPy arrays. Points alone have no `fun`."""

    step: np.ndarray
    x: Tree
    fun: np.ndarray | None


def recorded(results: Results) -> dict[str, Recorded]:
    """The rows of each search by name. The name of a single search is ""."""
    named = results if isinstance(results, Mapping) else {"": results}
    if not named:
        raise ValueError("results is an empty mapping: nothing to draw")
    return {name: _rows(name, search) for name, search in named.items()}


def title(name: str) -> str:
    """What error messages call the search of this name."""
    return f"results[{name!r}]" if name else "the result"


def _rows(name: str, search: Search) -> Recorded:
    rows = search.trajectory if isinstance(search, Result) else search
    if rows is None:
        raise ValueError(f"{title(name)} has no trajectory: call minimize with record_every=1")
    if not isinstance(rows, Trajectory):
        try:
            points = np.atleast_1d(np.asarray(rows, float))
        except (TypeError, ValueError):
            raise TypeError(
                f"{title(name)} must be a Result, a Trajectory or an array of points; give several "
                f'searches as a mapping, {{"name": search, ...}}; got a {type(rows).__name__}'
            ) from None
        return Recorded(np.arange(len(points)), points, None)
    if shape := np.shape(rows.n_recorded):
        raise ValueError(f"{title(name)} is a batch of searches of shape {shape}: draw one each")
    written = slice(int(rows.n_recorded))
    return Recorded(*jax.tree.map(lambda a: np.asarray(a)[written], (rows.step, rows.x, rows.fun)))
