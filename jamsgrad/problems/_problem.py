"""What a problem is, and how a decorated function becomes one or a family of them.

A problem is one block: a function, its docstring, and a decorator that states what is known about
it. `all_problems` lists every block.
"""

import inspect
import sys
import textwrap
from collections.abc import Callable
from typing import NamedTuple, Protocol

import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import ArrayLike

from jamsgrad import _check

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
      >>> optimizer = amsgrad(0.3, b2=0.99)
      >>> result = minimize(booth.fun, jnp.zeros(2), optimizer, bounds=booth.bounds, gtol=1e-4)
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

    def __call__(self, n: int) -> Problem: ...


_Function = Callable[[jax.Array], jax.Array]
_Point = tuple[float, float]
_of_two: dict[str, Problem] = {}
_families: dict[str, Family] = {}


def of_two(
    *, box: tuple[ArrayLike, ArrayLike], at: list[_Point], minimum: float = 0.0, source: str
) -> Callable[[_Function], Problem]:
    """Turn a function of two variables into a `Problem`; `at` holds all its minimizers."""

    def decorate(fun: _Function) -> Problem:
        name = make_private(fun)
        bounds = (_constant(box[0], 2), _constant(box[1], 2))
        _of_two[name] = Problem(name, fun, bounds, _constant(at, len(at), 2), minimum, source)
        return _of_two[name]

    return decorate


def family(
    *, box: _Point, at: float = 0.0, minimum: float = 0.0, source: str, least: int = 1
) -> Callable[[_Function], Family]:
    """Turn a function of n >= `least` variables into a function of n that returns its `Problem`.

    The only minimizer is (`at`, ..., `at`); the value there is n times `minimum`.
    """

    def decorate(fun: _Function) -> Family:
        name = make_private(fun)

        def problem(n: int) -> Problem:
            n = _check.integer(f"{name}: n", n, least)
            bounds = (_constant(box[0], n), _constant(box[1], n))
            return Problem(name, fun, bounds, _constant(at, 1, n), minimum * n, source)

        value = f"{minimum:.5g} n" if minimum else "0"
        written = inspect.getdoc(fun) or ""  # python -OO leaves none
        text, _, example = written.partition("Example:\n")
        problem.__doc__ = f"""{text}Args:
  n: number of variables, at least {least}.

Returns:
  The problem on [{box[0]:g}, {box[1]:g}]^n, with its minimum {value} at ({at:.5g}, ..., {at:.5g}).

Raises:
  TypeError: if n is not an integer.
  ValueError: if n is below {least}.

Example:
{example}

References:
{textwrap.indent(textwrap.fill(f"{source}.", 94), "  ")}
"""
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
    """The square root whose derivative at 0 is 0; the true one is infinite."""
    zero = u == 0
    # The inner `where` keeps the infinity out of the unused branch, where 0 times it would be NaN.
    return jnp.where(zero, 0, jnp.sqrt(jnp.where(zero, 1, u)))


def make_private(fun: Callable) -> str:
    """Rename f to _f, also in its module, where pickle looks, and return f, the problem's name."""
    name = fun.__name__
    fun.__name__ = fun.__qualname__ = f"_{name}"
    setattr(sys.modules[fun.__module__], fun.__name__, fun)
    return name


def _constant(values: ArrayLike, *shape: int) -> np.ndarray:
    """A float64 array that nobody can change: the problems are shared by all who import them."""
    array = np.array(np.broadcast_to(values, shape), dtype=np.float64)
    array.setflags(write=False)
    return array
