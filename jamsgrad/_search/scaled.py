"""`scaled`: the same problem in the variables that suit a search, such as logarithms."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, NamedTuple, TypeAlias

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer

from jamsgrad import _check, _names
from jamsgrad._search.bounds import Bounds, box
from jamsgrad._tree import Tree, as_row, names

Word: TypeAlias = Any  # "log" or "linear", or nested tuples of these in the shape of an array

_WORDS = ("log", "linear")


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class ScaledObjective:
    """An objective of search variables. It is a pytree of what `fun` is made of.

    Attributes:
      fun: the objective of x.
      words: the scale of each leaf.
    """

    fun: Callable[..., Tree]
    words: tuple[Word, ...] = field(metadata={"static": True})

    def __call__(self, u: Tree, *args: Tree) -> Tree:
        """The value at the x that u stands for."""
        return self.fun(_mapped("exp", self.words, u), *args)


class Scaled(NamedTuple):
    """A problem in search variables u, which `scaled` makes: log(x) where the scale is "log", or x.

    Attributes:
      fun: the objective of u, `fun(u, *args)`. It is equal to another one, and needs no new
        program, if the objective and the scale are. If the objective is a pytree, so is this.
      bounds: the box of u, trees like x.

    Example:
      >>> import jamsgrad
      >>> box = {"rate": 0.01}, {"rate": 100.0}
      >>> problem = jamsgrad.scaled(lambda x: x["rate"] ** 2, box, "log")
      >>> print("{rate:.2f}".format(**problem.bounds.lower))
      -4.61
    """

    fun: ScaledObjective
    bounds: Bounds

    def to_x(self, u: Tree) -> Tree:
        r"""The parameters that search variables stand for.

        .. math:: x = e^u \text{ where the scale is "log"}, \qquad x = u \text{ elsewhere}

        An error of u becomes one of x, to first order, by the derivative of this:
        `x, x_error = jax.jvp(problem.to_x, (u,), (u_error,))`.

        Args:
          u: search variables, a tree like x; or many of them, each leaf with further axes first.

        Returns:
          A tree of arrays of the same shapes, of NumPy where u has such. x may be outside the
          bounds by rounding.

        Raises:
          ValueError: if u has another number of leaves than the bounds.

        Example:
          >>> import jax.numpy as jnp
          >>> import jamsgrad
          >>> problem = jamsgrad.scaled(jnp.sum, ([0.01, -1.0], [100.0, 1.0]), ["log", "linear"])
          >>> print(problem.to_x(jnp.array([0.0, 0.5])))
          [1.  0.5]

        References:
          Tarantola, Inverse Problem Theory, SIAM, 2005, section 1.2: parameters that are positive.
        """
        return _mapped("exp", self.fun.words, u)

    def from_x(self, x: Tree) -> Tree:
        """The search variables of parameters, such as a start for `minimize`.

        Args:
          x: parameters, a tree like the bounds, above 0 where the scale is "log"; or many of them,
            each leaf with further axes first.

        Returns:
          A tree of arrays of the same shapes, of NumPy where x has such; NaN where a logarithm does
          not exist.

        Raises:
          ValueError: if x has another number of leaves than the bounds.

        Example:
          >>> import jax.numpy as jnp
          >>> import jamsgrad
          >>> problem = jamsgrad.scaled(jnp.sum, ([0.01, -1.0], [100.0, 1.0]), ["log", "linear"])
          >>> print(problem.from_x(jnp.array([1.0, 0.5])))
          [0.  0.5]
        """
        return _mapped("log", self.fun.words, x)


def scaled(fun: Callable[..., Tree], bounds: Tree, scale: Tree) -> Scaled:
    r"""The same problem in the variables that suit a search.

    A positive parameter that may be of any magnitude is searched by its logarithm:

    .. math:: g(u) = f(x(u)), \qquad x_i(u) = e^{u_i} \text{ or } u_i

    Search by `multistart(problem.fun, problem.bounds, ...)`: starts are spread evenly over the
    magnitudes then. x in that result, and in its summary, is u; `problem.to_x` takes it back. So
    standard errors are those of u: that of a logarithm is the relative error of its parameter.

    Args:
      fun: the objective, `fun(x, *args)`, as for `multistart` or `minimize`.
      bounds: the box of x, in any of the forms of `minimize`, which gives x its shape. Ends may be
        infinite; lower ones are above 0 where the scale is "log".
      scale: "log" or "linear" for all of x, or a tree of these words, which may stop where all
        leaves below have the same word. A dict of words may leave out keys, which are "linear". For
        an array it may be lists of words in its shape.

    Returns:
      A `Scaled` with the `fun` and the `bounds` of the search, and the functions `to_x` and
      `from_x` between its variables and x.

    Raises:
      ValueError: if a word is none of the two, the scale does not fit the bounds, a lower bound is
        not above 0 where it must be, or the bounds are no box.
      TypeError: if `fun` is not callable, or the bounds are none.

    Example:
      >>> import jax
      >>> import jamsgrad
      >>> def fun(x, target):
      ...     return (x["offset"] - 0.5) ** 2 + (x["rate"] / target - 1) ** 2
      >>> box = {"offset": -1.0, "rate": 1e-6}, {"offset": 1.0, "rate": 1e6}
      >>> problem = jamsgrad.scaled(fun, box, {"rate": "log"})
      >>> found = jamsgrad.multistart(
      ...     problem.fun, problem.bounds, jamsgrad.amsgrad(0.3, b2=0.99), key=jax.random.key(0),
      ...     n_starts=100, args=(1e-3,))
      >>> x = problem.to_x(found.best.x)
      >>> print("{offset:.2f} {rate:.4f}".format(**x))
      0.50 0.0010

    References:
      Tarantola, Inverse Problem Theory, SIAM, 2005, section 1.2: parameters that are positive.
    """
    _names.function_of_x("fun", fun)
    ends = box(bounds, finite=False)
    words = tuple(_words("scale", scale, ends.lower))
    _check_positive(words, ends.lower)

    lower, upper = (_mapped("log", words, end) for end in ends)
    return Scaled(ScaledObjective(fun, words), Bounds(lower, upper))


def _mapped(how: str, words: tuple[Word, ...], tree: Tree) -> Tree:
    """The tree with "exp" or "log" of what is on the scale "log", as arrays of JAX or of NumPy."""

    def leaf(word: Word, value: jax.Array | np.ndarray) -> jax.Array | np.ndarray:
        xp = jnp if isinstance(value, jax.Array) else np
        logs = np.broadcast_to(_is_log(word), np.shape(value))
        if logs.all():
            return getattr(xp, how)(value)
        # Where it is not wanted the function must have a finite derivative, too.
        safe = xp.where(logs, value, 1.0)
        return xp.where(logs, getattr(xp, how)(safe), value) if logs.any() else value

    leaves, structure = jax.tree.flatten(tree)
    if len(leaves) != len(words):
        raise ValueError(f"the scaled problem has {len(words)} leaves, got {structure}")
    with np.errstate(divide="ignore", over="ignore", invalid="ignore"):
        return structure.unflatten(map(leaf, words, leaves))


def _is_log(word: Word) -> np.ndarray:
    return np.asarray(word) == "log"


def _words(name: str, scale: Tree, x: Tree) -> Iterator[Word]:
    """The word, or the words, of each leaf of x; `name` is that of the scale in errors."""
    paths, structure = jax.tree_util.tree_flatten_with_path(x, is_leaf=lambda node: node is not x)
    if isinstance(scale, str):
        _check.one_of(name, scale, _WORDS)
        yield from [scale] * len(jax.tree.leaves(x))
    elif structure == jax.tree.structure(0):
        if np.shape(scale) != x.shape:
            raise ValueError(f"{name} must have the shape {x.shape} of x, got {scale!r}")
        for word in np.ravel(scale).tolist():
            _check.one_of(name, word, _WORDS)
        yield _nested(np.asarray(scale).tolist())
    else:
        if isinstance(x, dict) and isinstance(scale, dict):
            if unknown := sorted(map(str, scale.keys() - x.keys())):
                raise ValueError(f"{name} has no {', '.join(unknown)} in x, which has {[*x]}")
            scale = type(x)({key: scale.get(key, "linear") for key in x})
        try:
            parts = structure.flatten_up_to(scale)
        except ValueError:
            raise ValueError(f"{name} {scale!r} does not fit x, which is {structure}") from None
        for part, (path, child) in zip(parts, paths, strict=True):
            yield from _words(name + jax.tree_util.keystr(path), part, child)


def _nested(words: list | str) -> Word:
    """Lists of words as tuples, which have a hash."""
    return words if isinstance(words, str) else tuple(map(_nested, words))


def _check_positive(words: tuple[Word, ...], lower: Tree) -> None:
    """Raise unless all lower bounds are above 0, or not known yet, where the scale is "log"."""
    if any(isinstance(end, Tracer) for end in jax.tree.leaves(lower)):
        return
    ends = jax.tree.leaves(lower)
    logs = [np.broadcast_to(_is_log(w), e.shape) for w, e in zip(words, ends, strict=True)]
    logs = np.concatenate([leaf.ravel() for leaf in logs])
    for name, is_log, low in zip(names(lower), logs, as_row(lower), strict=True):
        if is_log and low <= 0:
            raise ValueError(
                f'{name} has the scale "log", which needs a lower bound above 0, got {low:g}: '
                'raise that bound, or search it on the scale "linear"'
            )
