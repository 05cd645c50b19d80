"""Searches as a table: named columns, as pandas and polars take them."""

import jax
import numpy as np

from jamsgrad._search.step import Record
from jamsgrad._search.stopping import Status
from jamsgrad._tree import Tree, as_rows, names


def columns(starts: Tree, record: Record[np.ndarray], basin: np.ndarray) -> dict[str, np.ndarray]:
    """The columns of `MultiStartResult.columns`, each of shape (n_starts,)."""
    one = jax.tree.map(lambda leaf: leaf[0], starts)
    return {
        **dict(zip(names(one, "start"), as_rows(starts).T, strict=True)),
        **dict(zip(names(one, "x"), as_rows(record.x).T, strict=True)),
        "fun": record.fun,
        "grad_norm": record.grad_norm,
        "n_steps": record.n_steps,
        "status": np.array([Status(status).name for status in record.status]),
        "basin": basin,
    }
