"""The objective as a function of rows: points of any tree as vectors of real numbers."""

from collections.abc import Callable
from typing import NamedTuple

import jax
import numpy as np

from jamsgrad._tree import Tree, as_tree


class RowObjective(NamedTuple):
    """The objective `fun(x, *args)`, and the space of rows in which distances are measured."""

    fun: Callable[..., jax.Array]
    args: tuple
    like: Tree  # a point, with the shapes and dtypes of every x
    low: np.ndarray  # the box, shape (d,), infinite where there is none
    high: np.ndarray
    scale: np.ndarray  # the length that counts as 1 in each coordinate, shape (d,)

    @property
    def dtype(self) -> np.dtype:
        """The type of rows, which holds all leaves."""
        leaves = jax.tree.leaves(self.like)
        return np.result_type(np.float32, *(leaf.real.dtype for leaf in leaves))


def of_rows(
    fun: Callable[..., jax.Array], args: tuple, like: Tree
) -> Callable[[jax.Array], jax.Array]:
    """The objective as a function of one row, shape (d,)."""
    return lambda row: fun(as_tree(row, like), *args)
