"""Whether two points lie in different wells: does the value rise and fall between?"""

from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jamsgrad._tree import RowObjective, as_tree

_ALONG = 33  # points on a way, its ends among them
_AROUND = 4  # directions aside
_PAIRS = 1 << 14  # in one call
_BATCH = 128  # pairs at once: about as many evaluations as there are lanes in a search
_NUMBERS = 1 << 22  # of which neither the pairs of a call nor the points of a batch hold more
_ROUNDINGS = 16  # what rounding may make of a number, in units of its last place


def divided(objective: RowObjective, a: np.ndarray, b: np.ndarray, radius: float) -> np.ndarray:
    """For pairs of points, shape (pairs, d), whether a barrier divides them.

    A barrier is higher than some point of the straight way before it, and than some point behind.
    In a curved valley every straight way has a low one: what counts is above a hundredth of the
    typical change over such a length, in whatever units, and above rounding. That is relative to
    the value and to the values at the distance `radius`, a part of the scale, which show the size
    of terms that cancel, and is larger where values along the way are rough. What is not finite is
    a barrier. Points that agree to rounding are never divided.
    """
    result = np.zeros(len(a), bool)
    eps = max(float(jnp.finfo(leaf.dtype).eps) for leaf in jax.tree.leaves(objective.like))
    size = np.maximum(np.abs(a), objective.scale)
    (apart,) = np.nonzero((np.abs(b - a) > _ROUNDINGS * eps * size).any(axis=1))
    aside = np.random.default_rng(0).standard_normal((_AROUND, a.shape[1]))
    aside *= objective.scale / np.linalg.norm(aside, axis=1, keepdims=True)
    shared = [aside, np.array([objective.low, objective.high]), np.array([radius, eps])]
    shared = [array.astype(objective.dtype) for array in shared]
    n_batch = _fitting(_BATCH, a.shape[1] * (_ALONG + 2 * _AROUND))
    n_pairs = n_batch * _fitting(_PAIRS // n_batch, a.shape[1] * n_batch)
    for i in range(0, len(apart), n_pairs):
        some = apart[i : i + n_pairs]
        way = np.linalg.norm((b[some] - a[some]) / objective.scale, axis=1)
        pairs = [
            np.pad(
                array.astype(objective.dtype),
                ((0, n_pairs - len(some)), *((0, 0),) * (array.ndim - 1)),
            )
            for array in (a[some], b[some], way)
        ]
        n_batches = -(-len(some) // n_batch)
        found = _divided(
            objective.fun, pairs, n_batch, n_batches, shared, objective.like, objective.args
        )
        result[some] = np.asarray(found)[: len(some)]
    return result


def _fitting(most: int, numbers: int) -> int:
    """How many things of so many numbers fit, at least 1 and at most `most`."""
    return max(1, min(most, _NUMBERS // numbers))


@partial(jax.jit, static_argnames=("fun", "n_batch"))
def _divided(
    fun: Callable,
    pairs: list,
    n_batch: int,
    n_batches: Any,
    shared: list,
    like: Any,
    args: tuple,
) -> jax.Array:
    aside, (low, high), (radius, eps) = shared
    steps = jnp.linspace(0, 1, _ALONG, dtype=low.dtype)[:, None]

    def one(a: jax.Array, b: jax.Array, way: jax.Array) -> jax.Array:
        along = (1 - steps) * a[None] + steps * b[None]
        rows = jnp.concatenate([along, a[None] + way * aside, a[None] + radius * aside])
        rows = jnp.clip(rows, low[None], high[None])
        values = jax.vmap(lambda row: fun(as_tree(row, like), *args))(rows)
        along, near, far = jnp.split(values, [_ALONG, _ALONG + _AROUND])
        sides = jax.lax.cummin(along), jax.lax.cummin(along, reverse=True)
        rise = jnp.max(along - jnp.maximum(*sides))
        change = jnp.abs(near - along[0])
        typical = jnp.mean(jnp.where(jnp.isfinite(change), change, 0))
        terms = jnp.median(jnp.where(jnp.isfinite(far), jnp.abs(far), 0))
        terms = jnp.maximum(terms, jnp.maximum(jnp.abs(along[0]), jnp.abs(along[-1])))
        last_place = jnp.maximum(eps.astype(values.dtype), jnp.finfo(values.dtype).eps)
        least = _ROUNDINGS * last_place * terms
        # Noise shows in fourth differences, which are sqrt(70) times as large; it may be as large
        # as what cancels in the value, and is not what changes from one well to the next.
        noise = jnp.sqrt(jnp.mean(jnp.diff(along, n=4) ** 2) / 70)
        allowed = 1e-2 * typical + least + jnp.minimum(8 * noise, 64 * least)
        return ~jnp.isfinite(along).all() | (rise > allowed)

    def batch(i: jax.Array, found: jax.Array) -> jax.Array:
        some = [jax.lax.dynamic_slice_in_dim(array, i * n_batch, n_batch) for array in pairs]
        return jax.lax.dynamic_update_slice_in_dim(found, jax.vmap(one)(*some), i * n_batch, 0)

    # A loop, because every other number of pairs would have to be compiled.
    return jax.lax.fori_loop(0, n_batches, batch, jnp.zeros(len(pairs[0]), bool))
