"""Helpers for trees of arrays: points as rows of real numbers, and what `jax.tree` leaves out."""

import html
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar

import jax
import jax.numpy as jnp
import numpy as np

if TYPE_CHECKING:
    from chex import Numeric, PRNGKey
else:  # nothing of chex is needed at run time
    Numeric = PRNGKey = Any

Whole = TypeVar("Whole", int, jax.Array)
Tree: TypeAlias = Any  # a pytree of arrays; type checkers have no better name for one


def html_table(rows: Iterable[Sequence[str]], titles: Sequence[str] = ()) -> str:
    """Rows of texts as a table for a notebook."""

    def row(cells: Sequence[str], tag: str) -> str:
        return "<tr>{}</tr>".format(
            "".join(f"<{tag}>{html.escape(cell)}</{tag}>" for cell in cells)
        )

    head = f"<thead>{row(titles, 'th')}</thead>" if titles else ""
    return f"<table>{head}<tbody>{''.join(row(cells, 'td') for cells in rows)}</tbody></table>"


def as_rows(x: Tree) -> np.ndarray:
    """A tree of k points as an array of shape (k, number of variables), a complex one as two."""
    leaves = [np.asarray(leaf) for leaf in jax.tree.leaves(x)]
    leaves = [np.stack([a.real, a.imag], -1) if np.iscomplexobj(a) else a for a in leaves]
    rows = [leaf.reshape(len(leaf), leaf[:1].size) for leaf in leaves]
    return np.concatenate(rows, axis=1, dtype=np.float64)


def as_row(x: Tree) -> np.ndarray:
    """A tree, one point, as an array of shape (number of variables,)."""
    return as_rows(jax.tree.map(lambda leaf: leaf[None], x))[0]


def as_vector(x: Tree) -> jax.Array:
    """`as_row` for traced arrays: of the common dtype of the leaves, at least float32."""
    leaves = [jnp.asarray(leaf) for leaf in jax.tree.leaves(x)]
    leaves = [jnp.stack([a.real, a.imag], -1) if jnp.iscomplexobj(a) else a for a in leaves]
    dtype = np.result_type(np.float32, *(a.dtype for a in leaves))
    return jnp.concatenate([a.astype(dtype).ravel() for a in leaves])


def as_tree(rows: jax.Array | np.ndarray, like: Tree) -> Tree:
    """Back from an array of shape (..., number of variables) to a tree of points."""
    leaves, treedef = jax.tree.flatten(like)
    parts = [2 if np.iscomplexobj(leaf) else 1 for leaf in leaves]
    ends = np.cumsum([n * leaf.size for n, leaf in zip(parts, leaves, strict=True)])

    def part(leaf: jax.Array | np.ndarray, n: int, end: int) -> jax.Array | np.ndarray:
        numbers = rows[..., end - n * leaf.size : end].astype(leaf.dtype)
        if n == 2:
            numbers = numbers[..., ::2] + 1j * numbers[..., 1::2]
        return numbers.reshape((*rows.shape[:-1], *leaf.shape))

    return treedef.unflatten(map(part, leaves, parts, ends))


def names(x: Tree, root: str = "") -> list[str]:
    """What the numbers of a row are called, by their paths: "rate", "offset[1]", or "x[0]".

    With a root all names begin with it: "start.rate", "start[0]".
    """
    found = []
    for path, leaf in jax.tree_util.tree_leaves_with_path(x):
        name = root
        for key in map(child_key, path):
            dotted = f"{name}.{key}" if name else key
            name = dotted if isinstance(key, str) else f"{name or 'x'}[{key}]"
        parts = (".real", ".imag") if np.iscomplexobj(leaf) else ("",)
        for index in np.ndindex(np.shape(leaf)):
            at = f"[{','.join(map(str, index))}]" if index else ""
            found += [f"{name or 'x'}{at}{part}" for part in parts]
    return found


def child_key(entry: Any) -> Any:
    """What a node calls a child: the key, attribute or index in an entry of JAX's path."""
    kinds = (kind for kind in ("key", "name", "idx") if hasattr(entry, kind))
    kind = next(kinds, None)
    return str(entry) if kind is None else getattr(entry, kind)


def where(condition: jax.Array | np.bool, a: Tree, b: Tree) -> Tree:
    """`jnp.where` with one condition for all leaves."""
    return jax.tree.map(lambda a, b: jnp.where(condition, a, b), a, b)


def where_rows(which: Tree, a: Tree, b: Tree) -> Tree:
    """`where` with a condition for each row, of arrays of JAX or of NumPy."""
    xp: Any = which.__array_namespace__()

    def leaf(a: Tree, b: Tree) -> Tree:
        return xp.where(xp.expand_dims(which, tuple(range(which.ndim, a.ndim))), a, b)

    return jax.tree.map(leaf, a, b)


def full_like(tree: Tree, value: Numeric) -> Tree:
    """A tree of arrays of one value; `tree` may hold `jax.ShapeDtypeStruct`."""
    return jax.tree.map(lambda leaf: jnp.full(leaf.shape, value, leaf.dtype), tree)


def without_keys(tree: Tree) -> Tree:
    """The tree with random keys as the numbers that they are made of, which can be written."""
    return jax.tree.map(lambda leaf: jax.random.key_data(leaf) if _is_key(leaf) else leaf, tree)


def with_keys(tree: Tree, like: Tree) -> Tree:
    """Back from `without_keys`: keys where `like` has some, of the same implementation."""

    def key(leaf: jax.Array, like: jax.Array) -> jax.Array:
        if not _is_key(like):
            return leaf
        return jax.random.wrap_key_data(leaf, impl=jax.random.key_impl(like))

    return jax.tree.map(key, tree, like)


def as_float(x: Numeric) -> Numeric:
    """A number as a floating one: an array of integers gets the default dtype."""
    if isinstance(x, int):
        return float(x)
    floating = jnp.issubdtype(jnp.result_type(x), jnp.inexact)
    return x if floating else jnp.asarray(x, float)


def leads_out(x: Tree, grad: Tree, low: Tree, high: Tree) -> Tree:
    """Where the descent from x would leave the box, of arrays of JAX or of NumPy."""
    return ((x <= low) & (grad > 0)) | ((x >= high) & (grad < 0))


def ceil_div(a: Whole, b: int) -> Whole:
    """The quotient a / b, rounded up."""
    return -(-a // b)


def _is_key(leaf: Any) -> bool:
    return isinstance(leaf, jax.Array) and jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key)
