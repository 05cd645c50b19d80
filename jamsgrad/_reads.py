"""What tells one function from another: its identity, and what it reads besides its arguments."""

import contextlib
import dis
import functools
import inspect
import weakref
from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterable, Iterator
from types import CodeType, FunctionType, MemberDescriptorType, MethodType, ModuleType
from typing import Any, TypeVar

import jax
import numpy as np

T = TypeVar("T")

_MANY = 64  # functions that are looked at, and entries of a list or a dict


class Few:
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

    def __init__(self, thing: Any) -> None:
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


def told(value: Any) -> Hashable:
    """A hashable value as a part of a key; functions are not kept alive by it."""
    kind = type(value)
    if kind is MethodType:
        return kind, told(value.__func__), _Same(value.__self__)
    if kind is tuple or kind is list:
        return tuple(map(told, value))
    if kind is dict:
        return kind, *map(told, value.items())
    return _same(value) if callable(value) and kind.__eq__ is object.__eq__ else value


def _same(value: Any) -> Hashable:
    """A part of a key that is equal for the same object."""
    if type(value).__eq__ is object.__eq__:
        try:
            return weakref.ref(value)  # compares what it refers to
        except TypeError:
            pass
    return _Same(value)


def structure_told(structure: Any) -> Hashable:
    """The structure of a tree as a part of a key; functions in it are not kept alive by it."""
    return (told(structure.node_data()), *map(structure_told, structure.children()))


def _weakly_held(key: Hashable) -> Iterator[Any]:
    if isinstance(key, tuple):
        for part in key:
            yield from _weakly_held(part)
    get = key.get if isinstance(key, _Same) else key
    if isinstance(get, weakref.ref):
        yield get()


class Reads(list):
    """What a function reads besides its arguments, as far as its code names it.

    That are globals, variables and defaults that it closes over, and the attributes of these and of
    the object that it is, or is a method of; and those of the functions that it names. Objects are
    known by their identity, numbers and words by their value, lists and dicts by what they hold.
    """

    def __init__(self, fun: Any) -> None:
        self._seen: set[int] = set()
        self._look(fun)

    def _look(self, fun: Any) -> None:
        kind = type(fun)
        if kind is FunctionType:
            self._function(fun)
        elif kind is MethodType:
            self._method(fun.__self__, fun.__func__)
        elif isinstance(fun, functools.partial):
            if kind is not jax.tree_util.Partial:  # whose arguments are data
                self.append(_mark((fun.args, fun.keywords)))
            self._look(fun.func)
        elif not jax.tree_util.all_leaves([fun]):
            parts = jax.tree.leaves(fun, is_leaf=lambda node: node is not fun)
            for part in filter(callable, parts):  # such as a function that it calls
                self._look(part)
        elif kind.__eq__ is object.__eq__:
            self._method(fun, inspect.getattr_static(kind, "__call__", None))

    def _function(self, fun: FunctionType) -> None:
        if id(fun) in self._seen or len(self._seen) > _MANY:
            return
        self._seen.add(id(fun))
        known, code = fun.__globals__, fun.__code__
        values: list[Any] = [known.get(name) for name in _globals(code)]
        if fun.__closure__:
            values += map(_content, fun.__closure__)
        if fun.__defaults__ or fun.__kwdefaults__:
            values += *(fun.__defaults__ or ()), *(fun.__kwdefaults__ or {}).values()
        self += map(_mark, values)
        for value in values:
            kind = type(value)
            if kind is FunctionType and value.__module__ == fun.__module__:
                self._function(value)
            elif kind is MethodType:
                self._look(value)
            elif kind not in _BARE:
                self._attributes(value, _names(code))

    def _method(self, thing: Any, method: Any) -> None:
        functions, names = _methods(type(thing), method)
        self._attributes(thing, names, depth=2)
        for function in functions:
            self._function(function)

    def _attributes(self, thing: Any, names: Iterable[str], depth: int = 1) -> None:
        """Those attributes of an object that have one of the names, and theirs."""
        kind = type(thing)
        if depth == 0 or kind in _BARE or id(thing) in self._seen or len(self._seen) > _MANY:
            return
        own = getattr(thing, "__dict__", _NOTHING)
        if own is _NOTHING and not hasattr(kind, "__slots__"):
            return
        self._seen.add(id(thing))
        places = own, *(vars(parent) for parent in kind.__mro__[:-1])
        for name in names:
            for place in places:
                if name in place:
                    value = place[name]
                    if type(value) is MemberDescriptorType:  # of __slots__
                        value = getattr(thing, name, None)
                    self += name, _mark(value)
                    self._attributes(value, names, depth - 1)
                    break


_SCALARS = frozenset((int, str, bool, bytes, type(None)))
_BARE = _SCALARS | {float, complex, tuple, list, dict, ModuleType, FunctionType, np.ndarray}
_NOTHING: dict[str, Any] = {}


def _mark(value: Any, depth: int = 3) -> Hashable:
    """What tells the value from others that a function may read instead."""
    kind = type(value)
    if kind in _SCALARS:
        return kind, value
    if kind is float or kind is complex:
        return kind, repr(value)  # 0.0 and -0.0 are two, NaN is one
    if kind in (tuple, list, dict) and depth and len(value) <= _MANY:
        values = (*value, *value.values()) if kind is dict else value
        return kind, *(_mark(item, depth - 1) for item in values)
    return _same(value)


def _content(cell: Any) -> Any:
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


def _methods(kind: type, method: Any) -> tuple[tuple[FunctionType, ...], tuple[str, ...]]:
    """The method of the class and those that it names, as functions; and all that they name."""
    found = _found.setdefault(kind, {})
    if method not in found:
        functions, following = [], [method]
        while following:
            member = following.pop()
            member = getattr(member, "fget", getattr(member, "__func__", member))
            if isinstance(member, FunctionType) and member not in functions:
                functions.append(member)
                named = _names(member.__code__)
                following += [inspect.getattr_static(kind, name, None) for name in named]
        names = {name for function in functions for name in _names(function.__code__)}
        found[method] = tuple(functions), tuple(sorted(names))
    return found[method]


@functools.lru_cache(maxsize=256)
def _names(code: CodeType) -> tuple[str, ...]:
    """The names of attributes and of globals in a function, and in those defined in it."""
    inner = (_names(constant) for constant in code.co_consts if isinstance(constant, CodeType))
    return tuple(sorted(set(code.co_names).union(*inner)))
