"""`jax.jit` for functions whose first arguments say what to compile, such as an objective."""

from collections.abc import Callable
from functools import lru_cache
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


class Compiled:
    """A function that is compiled anew for other values of its first n arguments."""

    def __init__(self, function: Callable[..., Tree], n: int, options: dict[str, Tree]) -> None:
        """Compile nothing yet; `options` are those of `jax.jit`."""

        @lru_cache(maxsize=_FEW)
        def compiled(fixed: tuple, structure: Tree) -> Tree:
            def program(data: list, *args: Tree) -> Tree:
                return function(*Split(fixed, structure, []).join(data), *args)

            return jax.jit(program, **options)

        self._n, self._compiled = n, compiled

    def __call__(self, *args: Tree) -> Tree:
        """Call the function."""
        fixed, structure, data = Split.of(args[: self._n])
        return self._compiled(fixed, structure)(data, *args[self._n :])

    def eval_shape(self, *args: Tree) -> Tree:
        """The shapes of what the function returns; nothing is compiled."""
        fixed, structure, data = Split.of(args[: self._n])
        return self._compiled(fixed, structure).eval_shape(data, *args[self._n :])


def jit_for(n: int, **options: Tree) -> Callable[[Callable[..., Tree]], Compiled]:
    """Compile a function anew for other values of its first n arguments, and keep the last few.

    Those arguments are trees, of which only the data are traced. So an objective that is a pytree
    (a `jax.tree_util.Partial`, an Equinox module) is not compiled again for new arrays.
    """
    return lambda function: Compiled(function, n, options)
