"""The state of optax's own AMSGrad, from and to ours."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from jamsgrad._optimizer import rounding
from jamsgrad._optimizer.algorithm import ScaleByAmsgradState, scale_by_amsgrad
from jamsgrad._tree import Tree
from jamsgrad.interop import _states


def from_optax(
    state: Tree,
    b1: float = 0.9,
    b2: float = 0.999,
    *,
    moment_dtype: str | rounding.MomentDtypes | None = None,
) -> Tree:
    r"""Go on from the state of `optax.amsgrad`.

    .. math:: m = \text{mu}, \quad v = \text{nu}, \quad \hat v = \text{nu\_max}, \quad
      c_1 = 1 - \beta_1^t, \quad c_2 = 1 - \beta_2^t

    The optimizer that goes on needs `convention="optax"` and optax's own hyperparameters. If one of
    optax's bias corrections is off, it needs `Convention(bias_correction_mu, "before_max")`, with
    "never" in place of "before_max" if `bias_correction_nu` is False.

    Args:
      state: optax's `ScaleByAmsgradState`, or the state of an optimizer with one or more in it. Not
        inside `jax.jit`.
      b1: decay rate of mu, in [0, 1), which is not in the state.
      b2: decay rate of nu, as b1.
      moment_dtype: how m, v and vhat are stored, as in `amsgrad`.

    Returns:
      `state` with every AMSGrad state of optax in it replaced by ours. The state of
      `optax.amsgrad(...)` thus becomes the state of `amsgrad(...)`, its schedule included.

    Raises:
      ValueError: if there is no AMSGrad state of optax, or b1 or b2 is out of range.

    Example:
      >>> import jax.numpy as jnp
      >>> import optax
      >>> from jamsgrad import amsgrad, interop
      >>> state = interop.from_optax(optax.amsgrad(1e-3).init(jnp.ones(2)))
      >>> optimizer = amsgrad(1e-3, convention="optax")
      >>> updates, state = optimizer.update(jnp.ones(2), state)

    References:
      optax 0.2.8, `optax.scale_by_amsgrad`.
    """

    def fill(old: optax.ScaleByAmsgradState) -> ScaleByAmsgradState:
        like: Any = scale_by_amsgrad(moment_dtype=moment_dtype).init(old.nu)
        v, vhat = jax.tree.map(jnp.real, (old.nu, old.nu_max))  # complex if the parameters are
        return _states.like_old(like, np.asarray(old.count), b1, b2, m=old.mu, v=v, vhat=vhat)

    return _states.replace_states(optax.ScaleByAmsgradState, state, fill)


def to_optax(state: Tree) -> Tree:
    """Let `optax.amsgrad` go on: `from_optax` backwards.

    Optax with its defaults goes on with the same numbers only from a state of `convention="optax"`.

    Args:
      state: a `ScaleByAmsgradState`, or the state of an optimizer with one or more in it.

    Returns:
      `state` with every AMSGrad state of ours in it replaced by optax's. The state of
      `amsgrad(...)` thus becomes the state of `optax.amsgrad(...)`, its schedule included. Moments
      in bfloat16 become float32.

    Raises:
      ValueError: if there is no `ScaleByAmsgradState`.
      TypeError: if a parameter is complex and the state is of `convention="pytorch"`.

    Example:
      >>> import jax.numpy as jnp
      >>> from jamsgrad import amsgrad, interop
      >>> state = amsgrad(1e-3, convention="optax").init(jnp.ones(2))
      >>> print(interop.to_optax(state)[0].nu_max)
      [0. 0.]
    """

    def fill(old: ScaleByAmsgradState) -> optax.ScaleByAmsgradState:
        if any(map(jnp.iscomplexobj, jax.tree.leaves(old.v))):
            raise TypeError("optax keeps v of the magnitude, convention='pytorch' of two parts")

        def wide(m: jax.Array, x: jax.Array) -> jax.Array:
            x = rounding.widen(x, rounding.widest(x))
            return x.astype(m.dtype) if jnp.iscomplexobj(m) else x  # so is nu in optax

        m, v, vhat = (jax.tree.map(wide, old.m, x) for x in (old.m, old.v, old.vhat))
        return optax.ScaleByAmsgradState(count=old.count, mu=m, nu=v, nu_max=vhat)

    return _states.replace_states(ScaleByAmsgradState, state, fill)
