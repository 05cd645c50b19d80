"""What a problem is, and how a decorated function becomes one or a family of them.

A problem is one block: a function, its docstring, and a decorator that states what is known about
it. `all_problems` lists every block, and the docstrings are completed from what was stated.
"""

import inspect
import sys
import textwrap
from collections.abc import Callable, Sequence
from typing import NamedTuple, Protocol

import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import ArrayLike

from jamsgrad import _check

Function = Callable[[jax.Array], jax.Array]

JAMIL_YANG = "Jamil and Yang, A literature survey of benchmark functions, IJMMNO 4, 2013"
LIBRARY = "box: Surjanovic and Bingham, Virtual Library of Simulation Experiments, 2013"


class Problem(NamedTuple):
    """A function to minimise in a box, and what is known about it.

    Attributes:
      name: the function's name.
      fun: takes x of shape (n,), returns a scalar of x's dtype. Pure; one object serves every n.
      bounds: (lower, upper), float64 arrays of shape (n,).
      minimizers: every global minimizer in the box, float64, shape (k, n).
      minimum: the value of fun at the minimizers.
      source: who published the function, and whose box this is.

    Example:
      >>> import jax.numpy as jnp
      >>> from jamsgrad import amsgrad, minimize, problems
      >>> booth = problems.booth
      >>> booth.minimizers, booth.minimum
      (array([[1., 3.]]), 0.0)
      >>> result = minimize(booth.fun, jnp.zeros(2), amsgrad(0.3, b2=0.99), bounds=booth.bounds)
      >>> [round(x, 3) for x in result.x.tolist()]
      [1.0, 3.0]
    """

    name: str
    fun: Callable[[jax.Array], jax.Array]
    bounds: tuple[np.ndarray, np.ndarray]
    minimizers: np.ndarray
    minimum: float
    source: str


class Family(Protocol):
    """A function of n that returns the problem of n variables."""

    __name__: str

    def __call__(self, n: int) -> Problem: ...


_of_two: dict[str, Problem] = {}
_families: dict[str, Family] = {}


def of_two(
    *,
    box: tuple[ArrayLike, ArrayLike],
    at: Sequence[tuple[float, float]],
    minimum: float,
    source: str,
) -> Callable[[Function], Problem]:
    """Turn a function of two variables into a `Problem`; `at` holds all its minimizers."""

    def decorate(fun: Function) -> Problem:
        name = make_private(fun)
        problem = Problem(name, fun, _box(box, 2), _constant(at), minimum, source)
        (low0, low1), (high0, high1) = problem.bounds
        points = ", ".join(f"({x0:.5g}, {x1:.5g})" for x0, x1 in at)
        sides = f"[{low0:g}, {high0:g}] x [{low1:g}, {high1:g}]"
        complete(fun, f"The box is {sides}, the minimum {minimum:.5g} at {points}.", source)
        _of_two[name] = problem
        return problem

    return decorate


def family(
    *, box: tuple[float, float], at: float, minimum: float, source: str, least: int = 1
) -> Callable[[Function], Family]:
    """Turn a function of n >= `least` variables into a function of n that returns its `Problem`.

    The only minimizer is (`at`, ..., `at`); the value there is n times `minimum`.
    """

    def decorate(fun: Function) -> Family:
        name = make_private(fun)

        def problem(n: int) -> Problem:
            n = _check.integer(f"{name}: n", n, least)
            point = _constant(np.full((1, n), at))
            return Problem(name, fun, _box(box, n), point, minimum * n, source)

        value = f"{minimum:.5g} n" if minimum else "0"
        text, _, example = _doc(fun).partition("Example:\n")
        problem.__doc__ = f"""{text}Args:
  n: number of variables, at least {least}.

Returns:
  The problem on [{box[0]:g}, {box[1]:g}]^n, with its minimum {value} at ({at:.5g}, ..., {at:.5g}).

Raises:
  TypeError: if n is not an integer.
  ValueError: if n is below {least}.

Example:
{example}

{_references(source)}"""
        problem.__name__ = problem.__qualname__ = name
        problem.__module__ = fun.__module__
        _families[name] = problem
        return problem

    return decorate


def all_problems(n: int) -> tuple[Problem, ...]:
    """Every problem of n variables: for tests, benchmarks and galleries.

    Args:
      n: number of variables, at least 2.

    Returns:
      The problems; more of them for n = 2, the only size that some have.

    Raises:
      TypeError: if n is not an integer.
      ValueError: if n is below 2.

    Example:
      >>> from jamsgrad import problems
      >>> [problem.name for problem in problems.all_problems(5)][:3]
      ['sphere', 'rosenbrock', 'ackley']
      >>> len(problems.all_problems(2))
      20
    """
    n = _check.integer("all_problems: n", n, 2)
    fixed = _of_two.values() if n == 2 else ()
    return (*fixed, *(problem(n) for problem in _families.values()))


def sqrt(u: jax.Array) -> jax.Array:
    """The square root whose derivative at 0 is 0; the true one is infinite.

    The inner `where` keeps the infinity out of the unused branch too: there it would meet a
    factor 0 and become NaN.
    """
    zero = u == 0
    return jnp.where(zero, 0, jnp.sqrt(jnp.where(zero, 1, u)))


def make_private(fun: Callable) -> str:
    """Rename the function f to _f, and return the name f, which the problem takes over.

    The function also becomes the attribute _f of its module, where pickle looks it up.
    """
    name = fun.__name__
    fun.__name__ = fun.__qualname__ = f"_{name}"
    setattr(sys.modules[fun.__module__], fun.__name__, fun)
    return name


def complete(fun: Callable, facts: str, source: str) -> None:
    """Add the facts and the source to the function's docstring."""
    fun.__doc__ = f"{_doc(fun)}\n\n{textwrap.fill(facts, 98)}\n\n{_references(source)}"


def _constant(values: ArrayLike) -> np.ndarray:
    """A float64 array that nobody can change: the problems are shared by all who import them."""
    array = np.array(values, dtype=np.float64)
    array.setflags(write=False)
    return array


def _box(box: tuple[ArrayLike, ArrayLike], n: int) -> tuple[np.ndarray, np.ndarray]:
    lower, upper = (_constant(np.broadcast_to(end, n)) for end in box)
    return lower, upper


def _doc(fun: Callable) -> str:
    return inspect.getdoc(fun) or ""  # python -OO leaves none


def _references(source: str) -> str:
    lines = textwrap.wrap(f"{source}.", 94)
    return "\n  ".join(["References:", *lines]) + "\n"
