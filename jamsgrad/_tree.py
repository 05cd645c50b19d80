"""Points as rows of real numbers, in which distances are measured, and back to trees."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import numpy as np

from jamsgrad._search import bounds as _bounds


class RowObjective(NamedTuple):
    """The objective as a function of rows; `like` is a point, as a tree."""

    fun: Callable
    args: tuple
    like: Any
    low: np.ndarray
    high: np.ndarray
    scale: np.ndarray

    @property
    def dtype(self) -> np.dtype:
        """The type of rows, which holds all leaves."""
        leaves = jax.tree.leaves(self.like)
        return np.result_type(np.float32, *(leaf.real.dtype for leaf in leaves))


def as_rows(x: Any) -> np.ndarray:
    """A tree of k points as an array of shape (k, number of variables)."""
    leaves = [np.asarray(leaf) for leaf in jax.tree.leaves(x)]
    leaves = [np.stack([a.real, a.imag], -1) if _parts(a) == 2 else a for a in leaves]
    rows = [leaf.reshape(len(leaf), leaf[:1].size) for leaf in leaves]
    return np.concatenate(rows, axis=1, dtype=np.float64)


def as_row(x: Any) -> np.ndarray:
    """A tree, one point, as an array of shape (number of variables,)."""
    return as_rows(jax.tree.map(lambda leaf: leaf[None], x))[0]


def as_tree(rows: Any, like: Any) -> Any:
    """Back from an array of shape (..., number of variables) to a tree of points."""
    leaves, treedef = jax.tree.flatten(like)
    ends = np.cumsum([_parts(leaf) * leaf.size for leaf in leaves])

    def part(leaf: Any, end: int) -> Any:
        numbers = rows[..., end - _parts(leaf) * leaf.size : end].astype(leaf.dtype)
        if _parts(leaf) == 2:
            numbers = numbers[..., ::2] + 1j * numbers[..., 1::2]
        return numbers.reshape((*rows.shape[:-1], *leaf.shape))

    return treedef.unflatten(map(part, leaves, ends))


def end_rows(bounds: _bounds.Bounds | None, size: int) -> tuple[np.ndarray, np.ndarray]:
    """The ends of a box, infinite where there is none, as arrays of shape (size,)."""
    if bounds is None:
        return np.full(size, -np.inf), np.full(size, np.inf)
    return as_row(bounds.lower), as_row(bounds.upper)


def _parts(leaf: Any) -> int:
    """How many real numbers one number of the leaf is."""
    return 2 if np.iscomplexobj(leaf) else 1
