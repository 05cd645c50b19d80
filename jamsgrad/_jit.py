"""`jax.jit` for functions whose first arguments say what to compile, such as an objective.

What a function reads besides its arguments, JAX reads once, when it traces the function. So a
program belongs to a function and to what that reads; and it is let go with the function.
"""

import contextlib
import dis
import functools
import inspect
import itertools
import threading
import weakref
from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterator
from types import CodeType, FunctionType, MethodType
from typing import NamedTuple, TypeVar

import jax
import numpy as np

from jamsgrad._tree import Tree

T = TypeVar("T")

_FEW = 16  # programs at most; `jax.jit` would keep thousands, and with them all they close over
_MANY = 64  # entries of a list or a dict that are looked at, and functions
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
        self._n, self._programs = n, _Few(_FEW)
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
        """The program for these arguments, compiled before unless they or what they read are new."""
        fun, split = args[0], Split.of(args[: self._n])
        fixed, structure = tuple(map(_told, split.fixed)), split.structure
        of_fun = fixed[0] if fixed else None
        if not (fixed and split.fixed[0] is fun):  # a pytree
            whole, *rest = structure.children()
            of_fun = _structure(whole)
            structure = (of_fun, *rest)
        last, reads = _LAST_READ.get(of_fun, _LastRead), _Reads(fun)
        if last.reads != reads:
            last.reads, last.version = reads, next(_VERSIONS)
        program = self._programs.get((fixed, structure, last.version), self._new)
        return _Call(program, split, fun, last)


def jit_for(n: int, **options: Tree) -> Callable[[Callable[..., Tree]], Compiled]:
    """Compile a function anew for other values of its first n arguments, and keep the last few.

    Those arguments are trees, of which only the data are traced. So an objective that is a pytree
    (a `jax.tree_util.Partial`, an Equinox module) is not compiled again for new arrays. The first
    one is a function, for which it is compiled anew where what it reads has changed: see `_Reads`.
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
        out = jax.core.eval_jaxpr(self._jaxpr.jaxpr, self._jaxpr.consts, *jax.tree.leaves(args))
        return self._out.unflatten(out)

    def __deepcopy__(self, memo: dict) -> "Read":
        """Itself: nothing in it changes."""
        return self


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


class _Call(NamedTuple):
    program: _Program
    split: Split
    fun: Tree
    last: "_LastRead"

    def run(self, how: Callable[[Tree, list], Tree]) -> Tree:
        now = self.program.now
        now.split, now.traced = self.split, False
        try:
            return how(self.program.jitted, self.split.data)
        finally:
            del now.split
            if now.traced:  # what `fun` itself changed, such as a counter, makes it no other one
                self.last.reads = _Reads(self.fun)


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


# -- what tells one function from another --------------------------------------------------------


class _Few:
    """The last few values, by keys that do not keep functions alive; they go when those go."""

    def __init__(self, most: int) -> None:
        self._most, self._kept = most, OrderedDict()  # whose operations are one step for threads

    def get(self, key: Hashable, make: Callable[[], T]) -> T:
        found, kept = self._kept.get(key), self._kept
        if found is not None:
            with contextlib.suppress(KeyError):
                kept.move_to_end(key)
            return found[0]

        def forget(_: weakref.ref) -> None:
            kept.pop(key, None)

        value = make()
        kept[key] = value, [weakref.ref(thing, forget) for thing in _weakly_held(key)]
        if len(kept) > self._most:
            kept.popitem(last=False)
        return value


class _Same:
    """Equal to what is made of the same object, and keeps it alive only if it must."""

    __slots__ = ("get", "number")

    def __init__(self, thing: Tree) -> None:
        self.number = id(thing)
        try:
            self.get = weakref.ref(thing)
        except TypeError:
            self.get = lambda: thing

    def __hash__(self) -> int:
        return self.number

    def __eq__(self, other: object) -> bool:
        if self is other:
            return True
        return isinstance(other, _Same) and (self.get() is other.get() is not None)


def _told(value: Tree) -> Hashable:
    """A hashable value as a part of a key; functions are not kept alive by it."""
    kind = type(value)
    if kind is MethodType:
        return kind, _told(value.__func__), _Same(value.__self__)
    if kind is tuple or kind is list:
        return tuple(map(_told, value))
    return _same(value) if callable(value) and kind.__eq__ is object.__eq__ else value


def _same(value: Tree) -> Hashable:
    """A part of a key that is equal for the same object."""
    if type(value).__eq__ is object.__eq__:
        try:
            return weakref.ref(value)  # compares what it refers to
        except TypeError:
            pass
    return _Same(value)


def _structure(structure: Tree) -> Hashable:
    """The structure of a tree as a part of a key; functions in it are not kept alive by it."""
    return (_told(structure.node_data()), *map(_structure, structure.children()))


def _weakly_held(key: Hashable) -> Iterator[Tree]:
    if isinstance(key, tuple):
        for part in key:
            yield from _weakly_held(part)
    get = key.get if isinstance(key, _Same) else key
    if isinstance(get, weakref.ref):
        yield get()


class _Reads(list):
    """What a function reads besides its arguments, as far as its code names it.

    That are globals, variables and defaults that it closes over, those of the functions that it
    names in turn, and the attributes of the object that it is, or is a method of. Objects are told
    by their identity, numbers and words by their value, lists and dicts by what they hold.
    """

    def __init__(self, fun: Tree) -> None:
        self._seen: set[int] = set()
        self._look(fun)

    def _look(self, fun: Tree) -> None:
        kind = type(fun)
        if kind is FunctionType:
            self._function(fun)
        elif kind is MethodType:
            self._object(fun.__self__, fun.__func__)
        elif isinstance(fun, functools.partial):
            if kind is not jax.tree_util.Partial:  # whose arguments are data
                self.append(_mark((fun.args, fun.keywords)))
            self._look(fun.func)
        elif jax.tree_util.all_leaves([fun]) and kind.__eq__ is object.__eq__:
            self._object(fun, getattr(kind, "__call__", None))

    def _function(self, fun: FunctionType) -> None:
        if id(fun) in self._seen or len(self._seen) > _MANY:
            return
        self._seen.add(id(fun))
        known = fun.__globals__
        values = [known.get(name) for name in _globals(fun.__code__)]
        if fun.__closure__:
            values += map(_content, fun.__closure__)
        if fun.__defaults__ or fun.__kwdefaults__:
            values += fun.__defaults__, fun.__kwdefaults__
        self += map(_mark, values)
        for value in values:
            if type(value) is FunctionType and value.__module__ == fun.__module__:
                self._function(value)

    def _object(self, thing: Tree, method: Tree) -> None:
        has = getattr(thing, "__dict__", {})
        functions, names = _methods(type(thing), method)
        for function in functions:
            self._function(function)
        for name in names:
            if name in has:
                self += name, _mark(has[name])


class _LastRead:
    """What a function read when it was last called, and a number that is new when that changes."""

    def __init__(self) -> None:
        self.reads, self.version = None, 0


_LAST_READ, _VERSIONS = _Few(64), itertools.count(1)
_SCALARS = frozenset((int, str, bool, bytes, type(None)))


def _mark(value: Tree, depth: int = 3) -> Hashable:
    """The value, as it is told from others that a function may read in its place."""
    kind = type(value)
    if kind in _SCALARS:
        return kind, value
    if kind is float or kind is complex:
        return kind, repr(value)  # 0.0 and -0.0 are two, NaN is one
    if kind in (tuple, list, dict) and depth and len(value) <= _MANY:
        values = (*value, *value.values()) if kind is dict else value
        return kind, *(_mark(item, depth - 1) for item in values)
    return _same(value)


def _content(cell: Tree) -> Tree:
    try:
        return cell.cell_contents
    except ValueError:  # the variable is not set yet
        return None


@functools.lru_cache(maxsize=256)
def _globals(code: CodeType) -> tuple[str, ...]:
    """The names of the globals that a function reads, and those that are defined in it."""
    names = {i.argval for i in dis.get_instructions(code) if i.opname == "LOAD_GLOBAL"}
    inner = (_globals(constant) for constant in code.co_consts if isinstance(constant, CodeType))
    return tuple(sorted(names.union(*inner)))


_found: weakref.WeakKeyDictionary = weakref.WeakKeyDictionary()  # by class


def _methods(kind: type, method: Tree) -> tuple[tuple[FunctionType, ...], tuple[str, ...]]:
    """The method of the class and those that it names, as functions; and all that they name."""
    found = _found.setdefault(kind, {})
    if method not in found:
        functions, following = [], [method]
        while following:
            member = following.pop()
            member = getattr(member, "fget", getattr(member, "__func__", member))
            if isinstance(member, FunctionType) and member not in functions:
                functions.append(member)
                named = _attributes(member.__code__)
                following += [inspect.getattr_static(kind, name, None) for name in named]
        names = {name for function in functions for name in _attributes(function.__code__)}
        found[method] = tuple(functions), tuple(sorted(names))
    return found[method]


def _attributes(code: CodeType) -> set[str]:
    """The names of attributes in a function, and in those that are defined in it."""
    inner = (_attributes(constant) for constant in code.co_consts if isinstance(constant, CodeType))
    return set(code.co_names).union(*inner)
