"""The objective as a function of rows: points of any tree as vectors of real numbers."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import jax
import jax.numpy as jnp
import numpy as np

from jamsgrad._jit import jit_for
from jamsgrad._search.newton import Expansion
from jamsgrad._tree import Tree, as_tree

_AT_ONCE = 1024, 64  # rows: two sizes to compile for, so that a few rows cost a few evaluations


@dataclass(frozen=True)
class RowObjective:
    """The objective `fun(x, *args)`, and the space of rows in which distances are measured."""

    fun: Callable[..., jax.Array]
    args: tuple
    like: Tree  # a point, with the shapes and dtypes of every x
    low: np.ndarray  # the box, shape (d,), infinite where there is none
    high: np.ndarray
    scale: np.ndarray  # the length that counts as 1 in each coordinate, shape (d,)
    ends: np.ndarray  # the values where searches ended, best first
    middle: np.ndarray  # of the box, shape (d,), or of the ends where it is open
    lanes: int | None  # rows that may be evaluated at once; None for as many as is fast

    @cached_property
    def dtype(self) -> np.dtype:
        """The type of rows, which holds all leaves."""
        return np.result_type(np.float32, *(x.real.dtype for x in jax.tree.leaves(self.like)))

    def values(self, rows: np.ndarray) -> np.ndarray:
        """The values at rows of shape (k, d)."""
        return self._in_parts(_values, rows, *_AT_ONCE)

    def grid_values(self, points: np.ndarray) -> np.ndarray:
        """The values at points of shape (k, n, d), shape (k, n)."""
        return self._in_one_size(_values, points.reshape(-1, points.shape[2])).reshape(
            points.shape[:2]
        )

    def expansions(self, rows: np.ndarray) -> Expansion:
        """The values, the gradients and the Hessians at rows of shape (k, d)."""
        rows = rows.astype(self.dtype)
        return Expansion(rows, *self._in_one_size(_expansions, rows))

    def _in_one_size(self, function: Callable[..., Tree], rows: np.ndarray) -> Tree:
        """A function of many rows that is compiled for one number of them."""
        many, few = _AT_ONCE
        at_once = few if len(rows) <= few else many
        return self._in_parts(function, rows, at_once, at_once)

    def _in_parts(
        self, function: Callable[..., Tree], rows: np.ndarray, many: int, few: int
    ) -> Tree:
        """A function of many rows, or few, at once; of no more than may be."""
        rows = rows.astype(self.dtype)
        many, few = (min(n, self.lanes or n) for n in (many, few))
        found, n_rows = [], len(rows)
        while len(rows):
            n = many if len(rows) >= many else few
            some = np.pad(rows[:n], ((0, n - len(rows[:n])), (0, 0)), mode="edge")
            found.append(function(self.fun, self.args, self.like, some))
            rows = rows[n:]
        return jax.tree.map(lambda *parts: np.concatenate(parts)[:n_rows], *found)

    def derivatives(self, row: np.ndarray) -> tuple[np.ndarray, np.ndarray] | None:
        """The gradient and the Hessian at a row of shape (d,); None unless there are finite ones.

        A custom derivative may not have a second one.
        """
        at_once = None if self.lanes is None or self.lanes >= row.size else self.lanes
        some = row.astype(self.dtype)
        try:
            found = _derivatives((self.fun, at_once), self.args, self.like, some)
        except (TypeError, ValueError, NotImplementedError):
            return None
        grad, hessian = map(np.asarray, found)
        return (grad, hessian) if np.isfinite(grad).all() and np.isfinite(hessian).all() else None

    @cached_property
    def relief(self) -> float:
        """How far values rise above the best: what 90 % of the box stay below, or of the ends.

        It is what other differences are compared with, in whatever unit the objective is. The tenth
        left out may be as steep as it likes. The ends show it where most of the box is a plateau.
        """
        units = np.random.default_rng(0).uniform(-0.5, 0.5, (_AT_ONCE[1], len(self.scale)))
        rows = np.clip(self.middle + units * self.scale, self.low, self.high)
        rises = [values - self.ends[0] for values in (self.values(rows), self.ends)]
        rises = [rise[np.isfinite(rise)] for rise in rises]
        return max(float(np.quantile(rise, 0.9)) for rise in rises if rise.size)


def _of_rows(fun: Callable[..., jax.Array], args: tuple, like: Tree) -> Callable[..., jax.Array]:
    return lambda row: jnp.asarray(fun(as_tree(row, like), *args))


@jit_for(1)
def _values(fun: Callable[..., jax.Array], args: tuple, like: Tree, rows: jax.Array) -> jax.Array:
    return jax.vmap(_of_rows(fun, args, like))(rows)


@jit_for(1)
def _expansions(
    fun: Callable[..., jax.Array], args: tuple, like: Tree, rows: jax.Array
) -> tuple[jax.Array, jax.Array, jax.Array]:
    at = _of_rows(fun, args, like)
    value, grad = jax.vmap(jax.value_and_grad(at))(rows)
    return value, grad, jax.vmap(jax.jacfwd(jax.grad(at)))(rows)


@jit_for(1)
def _derivatives(
    given: tuple[Callable[..., jax.Array], int | None], args: tuple, like: Tree, row: jax.Array
) -> tuple[jax.Array, jax.Array]:
    fun, at_once = given
    grad = jax.grad(_of_rows(fun, args, like))
    if at_once is None:
        return grad(row), jax.jacfwd(grad)(row)

    def column(unit: jax.Array) -> jax.Array:
        return jax.jvp(grad, (row,), (unit,))[1]

    columns = jnp.eye(row.size, dtype=row.dtype)
    return grad(row), jax.lax.map(column, columns, batch_size=at_once)
