"""The recorded points of a search."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from jamsgrad._search.task import Point
from jamsgrad._tree import Tree, ceil_div


class Trajectory(NamedTuple):
    """The recorded points of a search; rows after `n_recorded` are NaN, with step -1.

    Attributes:
      step: int32, shape (rows,): steps taken when the row was written, 0 for the start.
      x: the points, each leaf with the rows as a new first axis.
      fun: their values, shape (rows,).
      grad_norm: largest component of the projected gradient there, shape (rows,).
      n_recorded: how many rows were written.

    Example:
      >>> import jax.numpy as jnp
      >>> import jamsgrad
      >>> trajectory = jamsgrad.minimize(
      ...     jnp.square, jnp.array(1.0), jamsgrad.amsgrad(0.1), max_steps=40, record_every=10
      ... ).trajectory
      >>> int(trajectory.n_recorded), trajectory.step.tolist()
      (5, [0, 10, 20, 30, 40])
    """

    step: jax.Array
    x: Tree
    fun: jax.Array
    grad_norm: jax.Array
    n_recorded: jax.Array


class Rows(NamedTuple):
    """Recorded points: the fields of a `Trajectory` that a loop writes."""

    x: Tree
    fun: jax.Array
    grad_norm: jax.Array


def empty_rows(point: Point, n: int) -> Rows:
    """Rows of NaN."""
    return Rows(
        *jax.tree.map(lambda leaf: jnp.full((n, *leaf.shape), jnp.nan, leaf.dtype), point[:3])
    )


def trajectory(
    rows: Rows, last: jax.Array, after: Rows | None, n_finish: jax.Array | None, every: int
) -> Trajectory:
    """The recorded points of a search, and those after it, if it was finished."""
    n_recorded = ceil_div(last, every) + 1
    step = jnp.minimum(every * np.arange(len(rows.fun), dtype=np.int32), last)
    if after is not None and n_finish is not None:
        more = last + jnp.minimum(every * np.arange(len(after.fun), dtype=np.int32), n_finish)

        def append(a: jax.Array, b: jax.Array) -> jax.Array:
            longer = jnp.concatenate([a, jnp.zeros_like(b[1:])])
            return lax.dynamic_update_slice_in_dim(longer, b[1:], n_recorded, 0)

        step, rows = jax.tree.map(append, (step, rows), (more, after))
        n_recorded += ceil_div(n_finish, every)
    written = np.arange(len(step), dtype=np.int32) < n_recorded
    if after is not None:  # if it is not, other rows are blank

        def or_nan(a: jax.Array) -> jax.Array:
            return jnp.where(written.reshape(-1, *[1] * (a.ndim - 1)), a, jnp.nan)

        rows = jax.tree.map(or_nan, rows)
    return Trajectory(jnp.where(written, step, -1), *rows, n_recorded)
