"""The objective as a function of rows: points of any tree as vectors of real numbers."""

from collections.abc import Callable
from dataclasses import dataclass, field

import jax
import numpy as np

from jamsgrad._tree import Tree, as_tree


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class RowObjective:
    """The objective `fun(x, *args)`, and the space of rows in which distances are measured."""

    fun: Callable[..., jax.Array] = field(metadata={"static": True})
    args: tuple
    like: Tree  # a point, with the shapes and dtypes of every x
    low: np.ndarray  # the box, shape (d,), infinite where there is none
    high: np.ndarray
    scale: np.ndarray  # the length that counts as 1 in each coordinate, shape (d,)

    def __call__(self, row: jax.Array) -> jax.Array:
        """The value at one row, shape (d,)."""
        return self.fun(as_tree(row, self.like), *self.args)

    @property
    def dtype(self) -> np.dtype:
        """The type of rows, which holds all leaves."""
        return np.result_type(np.float32, *(x.real.dtype for x in jax.tree.leaves(self.like)))
