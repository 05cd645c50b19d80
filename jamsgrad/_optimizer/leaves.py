"""Which leaves AMSGrad can train; errors name the others, by their paths, and the way out."""

# JAX leaves parts of jax.tree and jax.tree_util untyped:
# pyright: reportUnknownMemberType=false, reportUnknownArgumentType=false
# pyright: reportUnknownVariableType=false, reportUnknownLambdaType=false

from typing import Any

import jax
import jax.numpy as jnp
from jax.tree_util import keystr, tree_leaves_with_path

from jamsgrad import _check
from jamsgrad._tree import Tree

_WAY_OUT = (
    "leave it out of the tree by eqx.filter(model, eqx.is_inexact_array) of Equinox, or out of the "
    "optimizer by optax.masked or optax.transforms.freeze"
)


def parameters(params: Tree) -> Tree:
    """The parameters as arrays, or as abstract arrays, all of them floating or complex.

    Raises:
      TypeError: if a leaf is neither.
    """

    def leaf(path: Any, p: Any) -> Any:
        if (problem := _problem(p)) is not None:
            raise TypeError(f"parameter {_at(path)} {problem}")
        return p if _is_abstract(p) else jnp.asarray(p)

    if _check.of_torch(params) is not None:  # a generator, too, which JAX warns of as a leaf
        leaf((), params)
    return jax.tree_util.tree_map_with_path(leaf, params)


def real(p: Any) -> Any:
    """The real part of an array, or an abstract array like it."""
    if not _is_abstract(p):
        return jnp.real(p)
    return jax.ShapeDtypeStruct(p.shape, jnp.finfo(p.dtype).dtype, sharding=p.sharding)


def gradients(updates: Tree, *moments: Tree) -> tuple[list[Any], list[list[jax.Array]], Any]:
    """The leaves of the gradients and of each of the moments, and the structure of their tree.

    Raises:
      TypeError: if a gradient is no floating or complex array, or has no moments, or the other way.
      ValueError: if a gradient has another shape than its moments.
    """
    grads, treedef = jax.tree.flatten(updates)
    try:
        parts = [treedef.flatten_up_to(moment) for moment in moments]
    except (TypeError, ValueError):
        raise TypeError(_difference(updates, moments[0])) from None
    for i, (grad, moment) in enumerate(zip(grads, parts[0], strict=True)):
        problem = f"is {grad!r}; {_WAY_OUT}" if _is_abstract(grad) else _problem(grad)
        if problem is None and not hasattr(moment, "dtype"):
            raise TypeError(_difference(updates, moments[0]))
        if problem is None and jnp.shape(grad) == moment.shape:
            continue
        where = _at(tree_leaves_with_path(updates)[i][0])
        if problem is not None:
            raise TypeError(f"the gradient of {where} {problem}")
        raise ValueError(
            f"the gradient of {where} has shape {jnp.shape(grad)}, its moments have "
            f"{moment.shape}: the state is of other parameters"
        )
    return grads, parts, treedef


def _problem(leaf: Any) -> str | None:
    """Why AMSGrad cannot train a leaf, and the way out; None if it can."""
    if (torch := _check.of_torch(leaf)) is not None:
        return f"is {torch}"
    try:
        dtype = jax.typeof(leaf).dtype
        if jnp.issubdtype(dtype, jnp.inexact):
            return None
    except (TypeError, ValueError, OverflowError):
        dtype = getattr(leaf, "dtype", None)
    what = f"is {leaf!r} of type {type(leaf).__name__}" if dtype is None else f"has dtype {dtype}"
    return f"{what}: AMSGrad needs floating or complex parameters; {_WAY_OUT}"


def _is_abstract(leaf: Any) -> bool:
    return isinstance(leaf, jax.ShapeDtypeStruct)


def _difference(updates: Tree, moment: Tree) -> str:
    """How the tree of the gradients differs from that of the moments."""
    given, kept = ([path for path, _ in tree_leaves_with_path(x)] for x in (updates, moment))
    for path in kept:
        if path not in given:
            return (
                f"the gradient of {_at(path)} is missing (None, or not in the tree), the state has "
                "its moments: give init the tree that is differentiated, such as "
                "eqx.filter(model, eqx.is_inexact_array), or the gradient zeros"
            )
    for path in given:
        if path not in kept:
            return (
                f"the gradient of {_at(path)} has no moments in the state: give init the tree that "
                f"is differentiated, or {_WAY_OUT}"
            )
    structures = jax.tree.structure(moment), jax.tree.structure(updates)
    return "the gradients must have the structure {}, got {}".format(*structures)


def _at(path: Any) -> str:
    return keystr(path) or "(the whole tree)"
