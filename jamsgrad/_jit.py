"""`jax.jit` for functions whose first arguments say what to compile, such as an objective.

What a function reads besides its arguments, JAX reads once, when it traces the function. So a
program belongs to a function and to what that reads; and it is let go with the function.
"""

import contextlib
import functools
import itertools
import threading
from collections.abc import Callable
from typing import NamedTuple

import jax
import numpy as np
from jax.core import eval_jaxpr

from jamsgrad._reads import Few, Reads, structure_told, told
from jamsgrad._tree import Tree

_FEW = 16  # programs at most; `jax.jit` would keep thousands, and with them all they close over
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
        self._n, self._programs = n, Few(_FEW)
        self._new = functools.partial(_Program, function, options)

    def __call__(self, *args: Tree) -> Tree:
        """Call the function."""
        return self._of(args).run(lambda jitted, data: jitted(data, *args[self._n :]))

    def eval_shape(self, *args: Tree) -> Tree:
        """The shapes of what the function returns; nothing is compiled."""
        return self._of(args).run(lambda jitted, data: jitted.eval_shape(data, *args[self._n :]))

    def read(self, *args: Tree) -> jax.tree_util.Partial:
        """The function of the other arguments as it is now: it reads nothing else any more.

        It takes arguments of the same shapes and types, and is the same object until the first
        arguments change in more than their data.
        """
        call, n = self._of(args), self._n

        def trace(jitted: Tree, data: list) -> Tree:
            given = jax.tree.map(_abstract, (data, *args[n:]))
            # Else the mesh that the caller has set would be part of what is traced.
            with jax.sharding.use_abstract_mesh(jax.sharding.AbstractMesh((), ())):
                return jitted.trace(*given)

        traced, read = call.run(trace), call.program.read
        found = read.get(traced.jaxpr) or read.setdefault(traced.jaxpr, Read(traced))
        return jax.tree_util.Partial(found, call.split.data)

    def _of(self, args: tuple) -> "_Call":
        """The program for these arguments; an old one, unless they or what they read are new."""
        fun, split = args[0], Split.of(args[: self._n])
        fixed, structure = tuple(map(told, split.fixed)), split.structure
        of_fun = fixed[0] if fixed else None
        if not (fixed and split.fixed[0] is fun):  # a pytree
            whole, *rest = structure.children()
            of_fun = structure_told(whole)
            structure = (of_fun, *rest)
        last, reads = _LAST_READ.get(of_fun, _LastRead), Reads(fun)
        if last.reads != reads:
            last.reads, last.version = reads, next(_VERSIONS)
        program = self._programs.get((fixed, structure, last.version), self._new)
        return _Call(program, split, fun, last)


def jit_for(n: int, **options: Tree) -> Callable[[Callable[..., Tree]], Compiled]:
    """Compile a function anew for other values of its first n arguments, and keep the last few.

    Those arguments are trees, of which only the data are traced. So an objective that is a pytree
    (a `jax.tree_util.Partial`, an Equinox module) is not compiled again for new arrays. The first
    one is a function. It is compiled anew where what that reads has changed: see `_reads.Reads`.
    """
    return lambda function: Compiled(function, n, options)


class Read:
    """A function as JAX traced it. The arrays of NumPy that it closed over are copied.

    Attributes:
      x64: whether 64 bits were enabled, which its numbers need.
    """

    def __init__(self, traced: Tree) -> None:
        """Keep what `jax.jit(...).trace(...)` returned."""
        self._jaxpr = _with_copies(traced.jaxpr)
        self._out = jax.tree.structure(traced.out_info)
        self.x64: bool = jax.config.jax_enable_x64  # pyright: ignore[reportAttributeAccessIssue], JAX makes it as it starts

    def __call__(self, *args: Tree) -> Tree:
        """Call the function."""
        out = eval_jaxpr(self._jaxpr.jaxpr, self._jaxpr.consts, *jax.tree.leaves(args))
        return self._out.unflatten(out)

    def __deepcopy__(self, memo: dict) -> "Read":
        """Itself: nothing in it changes."""
        return self


def inner_programs(equation: Tree) -> list[Tree]:
    """The programs that an equation of one runs, such as the branches of a `cond`."""
    leaves = jax.tree.leaves(list(equation.params.values()))
    return [leaf for leaf in leaves if hasattr(leaf, "eqns")]


def as_searched(fun: Tree) -> contextlib.AbstractContextManager:
    """The setting of 64 bits that a `Read` needs, and that of now for other functions."""
    read = getattr(fun, "func", None)
    return jax.enable_x64(read.x64) if isinstance(read, Read) else contextlib.nullcontext()


class _Program:
    """A compiled function, which holds what it is compiled for only while that is traced."""

    def __init__(self, function: Callable[..., Tree], options: dict[str, Tree]) -> None:
        now = threading.local()

        def program(data: list, *args: Tree) -> Tree:
            now.traced = True
            return function(*now.split.join(data), *args)

        self.jitted, self.now = jax.jit(program, **options), now
        self.read: dict[Tree, Read] = {}


class _LastRead:
    """What a function read when it was last called, and a number that is new when that changes."""

    def __init__(self) -> None:
        self.reads: Reads | None = None
        self.version = 0


_LAST_READ, _VERSIONS = Few(64), itertools.count(1)


class _Call(NamedTuple):
    program: _Program
    split: Split
    fun: Tree
    last: _LastRead

    def run(self, how: Callable[[Tree, list], Tree]) -> Tree:
        now = self.program.now
        now.split, now.traced = self.split, False
        try:
            return how(self.program.jitted, self.split.data)
        finally:
            vars(now).pop("split", None)
            if now.traced:  # what `fun` itself changed, such as a counter, makes it no other one
                self.last.reads = Reads(self.fun)


def _abstract(leaf: Tree) -> jax.ShapeDtypeStruct:
    kind = jax.typeof(leaf)
    return jax.ShapeDtypeStruct(kind.shape, kind.dtype, weak_type=kind.weak_type)


def _with_copies(jaxpr: Tree) -> Tree:
    """The traced function with copies of the arrays of NumPy in it, which may change in place."""

    def inner(value: Tree) -> Tree:
        return _with_copies(value) if hasattr(value, "consts") else value

    equations = []
    for equation in jaxpr.eqns:
        params = {name: inner(value) for name, value in equation.params.items()}
        changed = any(params[name] is not value for name, value in equation.params.items())
        equations.append(equation.replace(params=params) if changed else equation)
    consts = [c if isinstance(c, jax.Array) else np.array(c) for c in jaxpr.consts]
    same = all(a is b for a, b in zip(equations, jaxpr.eqns, strict=True))
    if same and all(a is b for a, b in zip(consts, jaxpr.consts, strict=True)):
        return jaxpr
    return jaxpr.replace(jaxpr=jaxpr.jaxpr.replace(eqns=equations), consts=consts)
