"""Schedules of the AMSGrad paper that optax does not have.

The paper's b1_t = b1 lambda^(t-1) is `optax.exponential_decay(b1, 1, lambda)`, and the tutorial's
b1_t = b1^t is `optax.exponential_decay(b1, 1, b1)`.
"""

import jax
import jax.numpy as jnp
import optax

from jamsgrad import _check
from jamsgrad._tree import Numeric, as_float


def inverse_time(value: Numeric) -> optax.Schedule:
    r"""A decay rate that falls as 1 / t, such as the paper's b1_t = b1 / t.

    .. math:: \beta_{1,t} = \beta_1 / t, \quad t = 1, 2, \dots

    Args:
      value: the decay rate at the first step, in [0, 1).

    Returns:
      A schedule: from the count of steps taken (0 at the first step) to value / (count + 1).

    Raises:
      ValueError: if a concrete value is outside [0, 1).
      TypeError: if the value is no number, or traced in bfloat16 or float16.

    Example:
      >>> from jamsgrad import schedules
      >>> b1 = schedules.inverse_time(0.9)
      >>> print(b1(0), b1(1))
      0.9 0.45

    References:
      Reddi, Kale and Kumar, ICLR 2018, Corollary 1 and the remark after Theorem 4.
    """
    _check.decay_rate("value", value)
    first = as_float(value)
    return lambda count: first / _t(count, first)


def inverse_sqrt(alpha: Numeric) -> optax.Schedule:
    r"""A learning rate that falls as 1 / sqrt(t): the paper's alpha_t = alpha / sqrt(t).

    .. math:: \alpha_t = \alpha / \sqrt{t}, \quad t = 1, 2, \dots

    Args:
      alpha: the learning rate of the first step, at least 0.

    Returns:
      A schedule: from the count of steps taken (0 at the first step) to alpha / sqrt(count + 1).

    Raises:
      ValueError: if a concrete alpha is negative or not finite.
      TypeError: if alpha is no number.

    Example:
      >>> from jamsgrad import schedules
      >>> alpha = schedules.inverse_sqrt(0.5)
      >>> print(alpha(0), alpha(3))
      0.5 0.25

    References:
      Reddi, Kale and Kumar, ICLR 2018, Theorem 4.
    """
    _check.in_range("alpha", alpha, 0)
    first = as_float(alpha)
    return lambda count: first / jnp.sqrt(_t(count, first))


def _t(count: jax.typing.ArrayLike, like: Numeric) -> jax.Array:
    """The paper's step number, counted from 1, in the precision of `like`."""
    return jnp.asarray(count, jnp.result_type(like, float)) + 1
