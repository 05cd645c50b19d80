"""The three sequences of gradients with which Reddi, Kale and Kumar show that Adam can fail."""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp

from jamsgrad._tree import Numeric, PRNGKey
from jamsgrad.problems._problem import make_private

_Gradient = Callable[[Numeric, PRNGKey], jax.Array]

_REDDI = "Reddi, Kale and Kumar, On the convergence of Adam and beyond, ICLR 2018"


class OnlineProblem(NamedTuple):
    r"""Linear losses of one variable, one per step, and the best fixed x.

    The loss of step t and the regret of the points x_1, ..., x_T are

    .. math:: f_t(x) = g_t \, x, \quad R_T = \sum_{t=1}^T (f_t(x_t) - f_t(x^*))

    with x* the `minimizer`. At a fixed x the regret grows by `expected_gradient * (x - minimizer)`
    per step.

    Attributes:
      name: the problem's name.
      gradient: `gradient(t, key)` is g_t at step t = 1, 2, ...; one key serves all steps, and
        sequences without chance ignore it. Weakly typed, so that it takes on x's dtype.
      bounds: (lower, upper) of x.
      minimizer: the x in the bounds with the least mean loss.
      expected_gradient: the mean of g_t over a period, or over chance.
      source: where the sequence was published.

    Example:
      >>> import jax
      >>> from jamsgrad import problems
      >>> online, key = problems.reddi_theorem1, jax.random.key(0)
      >>> [float(online.gradient(t, key)) for t in (1, 2, 3, 4)]
      [3.0, -1.0, -1.0, 3.0]
      >>> online.minimizer, sum(float(online.gradient(t, key)) for t in (1, 2, 3))
      (-1.0, 1.0)
    """

    name: str
    gradient: Callable[[Numeric, PRNGKey], jax.Array]
    bounds: tuple[float, float]
    minimizer: float
    expected_gradient: float
    source: str


def _reddi(*, expected_gradient: float, where: str) -> Callable[[_Gradient], OnlineProblem]:
    """Turn a sequence of the paper into an `OnlineProblem`; for all three, -1 is the best x."""

    def decorate(gradient: _Gradient) -> OnlineProblem:
        name, source = make_private(gradient), f"{_REDDI}, {where}"
        return OnlineProblem(name, gradient, (-1.0, 1.0), -1.0, expected_gradient, source)

    return decorate


# The rare large gradient points the right way, the frequent small ones the wrong way. Adam divides
# the large one by its own size, then forgets that size.


@_reddi(expected_gradient=1 / 3, where="Section 3, Theorem 1 with C = 3 (it asks for C > 2)")
def reddi_theorem1(t: Numeric, key: PRNGKey) -> jax.Array:
    """3 in the first of every three steps, -1 in the others."""
    return jnp.where(jnp.mod(t, 3) == 1, 3.0, -1.0)


@_reddi(expected_gradient=10 / 101, where="Section 5, synthetic experiments, online")
def reddi_online(t: Numeric, key: PRNGKey) -> jax.Array:
    """1010 in the first of every 101 steps, -10 in the others."""
    return jnp.where(jnp.mod(t, 101) == 1, 1010.0, -10.0)


@_reddi(expected_gradient=0.2, where="Section 5, synthetic experiments, stochastic")
def reddi_stochastic(t: Numeric, key: PRNGKey) -> jax.Array:
    """1010 with probability 0.01, -10 else."""
    is_rare = jax.random.bernoulli(jax.random.fold_in(key, t), 0.01)
    return jnp.where(is_rare, 1010.0, -10.0)
