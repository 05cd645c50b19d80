"""`jax.jit` for functions whose first arguments say what to compile, such as an objective."""

from collections.abc import Callable
from functools import lru_cache, wraps
from typing import NamedTuple

import jax
import numpy as np

from jamsgrad._tree import Tree

_FEW = 16  # programs; `jax.jit` would keep thousands, and with them all that they close over
_DATA = object()  # stands for data


class Split(NamedTuple):
    """A tree in two parts: what a program is made of, hashable, and the data that it is given.

    Arrays and floats are data. Functions, words and integers are not: they may decide what is
    compiled.
    """

    fixed: tuple
    structure: Tree
    data: list

    @classmethod
    def of(cls, tree: Tree) -> "Split":
        """The tree in two parts."""
        leaves, structure = jax.tree.flatten(tree)
        kinds = jax.Array | np.ndarray | np.generic | float
        fixed = tuple(_DATA if isinstance(leaf, kinds) else leaf for leaf in leaves)
        return cls(fixed, structure, [leaf for leaf in leaves if isinstance(leaf, kinds)])

    def join(self, data: list) -> Tree:
        """The tree with other data."""
        following = iter(data)
        leaves = [next(following) if leaf is _DATA else leaf for leaf in self.fixed]
        return self.structure.unflatten(leaves)


def jit_for(n: int, **options: Tree) -> Callable[[Callable[..., Tree]], Callable[..., Tree]]:
    """Compile a function anew for other values of its first n arguments, and keep the last few.

    Those arguments are trees, of which only the data are traced. So an objective that is a pytree
    (a `jax.tree_util.Partial`, an Equinox module) is not compiled again for new arrays.
    """

    def decorate(function: Callable[..., Tree]) -> Callable[..., Tree]:
        @lru_cache(maxsize=_FEW)
        def compiled(fixed: tuple, structure: Tree) -> Callable[..., Tree]:
            def program(data: list, *args: Tree) -> Tree:
                return function(*Split(fixed, structure, []).join(data), *args)

            return jax.jit(program, **options)

        @wraps(function)
        def call(*args: Tree) -> Tree:
            fixed, structure, data = Split.of(args[:n])
            return compiled(fixed, structure)(data, *args[n:])

        def eval_shape(*args: Tree) -> Tree:
            fixed, structure, data = Split.of(args[:n])
            return compiled(fixed, structure).eval_shape(data, *args[n:])

        vars(call)["eval_shape"] = eval_shape
        return call

    return decorate
