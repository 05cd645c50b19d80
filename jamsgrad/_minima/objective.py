"""The objective as a function of rows: points of any tree as vectors of real numbers."""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jamsgrad._jit import jit_for
from jamsgrad._tree import Tree, as_tree

_AT_ONCE = 1024, 64  # rows: two sizes to compile for, so that a few rows cost a few evaluations


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
        return np.result_type(np.float32, *(x.real.dtype for x in jax.tree.leaves(self.like)))

    def values(self, rows: np.ndarray) -> np.ndarray:
        """The values at rows of shape (k, d)."""
        rows = rows.astype(self.dtype)
        found, many, few = [], *_AT_ONCE
        while len(rows):
            n = many if len(rows) >= many else few
            some = np.pad(rows[:n], ((0, n - len(rows[:n])), (0, 0)), mode="edge")
            found.append(np.asarray(_values(self.fun, self.args, self.like, some))[: len(rows)])
            rows = rows[n:]
        return np.concatenate(found)

    def derivatives(self, row: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The gradient and the Hessian at a row of shape (d,)."""
        found = _derivatives(self.fun, self.args, self.like, row.astype(self.dtype))
        return np.asarray(found[0]), np.asarray(found[1])


def _of_rows(fun: Callable[..., jax.Array], args: tuple, like: Tree) -> Callable[..., jax.Array]:
    return lambda row: jnp.asarray(fun(as_tree(row, like), *args))


@jit_for(1)
def _values(fun: Callable[..., jax.Array], args: tuple, like: Tree, rows: jax.Array) -> jax.Array:
    return jax.vmap(_of_rows(fun, args, like))(rows)


@jit_for(1)
def _derivatives(
    fun: Callable[..., jax.Array], args: tuple, like: Tree, row: jax.Array
) -> tuple[jax.Array, jax.Array]:
    objective = _of_rows(fun, args, like)
    return jax.grad(objective)(row), jax.hessian(objective)(row)
