"""The optimizers: AMSGrad chained with a learning rate, and with decoupled weight decay."""

# pyright: reportUnknownMemberType=false, reportMissingTypeStubs=false
# JAX leaves parts of jnp.asarray untyped, and optax has no stubs.

from collections.abc import Callable
from typing import Any, TypeAlias, cast

import jax
import jax.numpy as jnp
import optax

from jamsgrad import _check, _names
from jamsgrad._optimizer import rounding
from jamsgrad._optimizer.algorithm import (
    Convention,
    ConventionName,
    ScaleByAmsgradState,
    scale_by_amsgrad,
)
from jamsgrad._optimizer.equal import one_if_equal
from jamsgrad._optimizer.rounding import MomentDtypes
from jamsgrad._optimizer.typed import Optimizer
from jamsgrad._tree import Numeric, Tree

State: TypeAlias = tuple[ScaleByAmsgradState, *tuple[Any, ...]]


@_names.our_names(_names.OF_OPTIMIZERS)
@one_if_equal
def amsgrad(
    learning_rate: optax.ScalarOrSchedule,
    b1: optax.ScalarOrSchedule = 0.9,
    b2: optax.ScalarOrSchedule = 0.999,
    eps: Numeric | None = None,
    eps_root: Numeric = 0.0,
    *,
    convention: ConventionName | Convention = "paper",
    moment_dtype: str | MomentDtypes | None = None,
) -> Optimizer[State]:
    r"""AMSGrad: Adam whose step sizes never grow back.

    The default `convention="paper"` is not a drop-in for `optax.amsgrad`, whose numbers are those
    of `convention="optax"`: without bias correction the first steps are longer, 3 to 6.6 times
    with the default b1 and b2.

    .. math:: x_t = x_{t-1} - \alpha_t m_t / (\sqrt{\hat v_t} + \epsilon)

    with m and vhat as in `scale_by_amsgrad`. L2 regularisation that goes through the moments, as in
    torch's `Adam(amsgrad=True, weight_decay=wd)`, is
    `optax.chain(optax.add_decayed_weights(wd), amsgrad(...))`; `amsgradw` decouples it.

    Args:
      learning_rate: alpha, at least 0, in units of the parameters: a number, a 0-d array, or a
        schedule from the count of steps taken (0 at the first) to such a number. The paper's
        alpha / sqrt(t) is `schedules.inverse_sqrt(alpha)`.
      b1: as in `scale_by_amsgrad`.
      b2: as in `scale_by_amsgrad`.
      eps: as in `scale_by_amsgrad`.
      eps_root: as in `scale_by_amsgrad`.
      convention: as in `scale_by_amsgrad`.
      moment_dtype: as in `scale_by_amsgrad`.

    Returns:
      An optax gradient transformation; its first state is a `ScaleByAmsgradState`.

    Raises:
      ValueError: if the learning rate is out of its range; else as `scale_by_amsgrad` does.
      TypeError: as `scale_by_amsgrad` does.

    Example:
      >>> import jax, jax.numpy as jnp, optax
      >>> import jamsgrad
      >>> def f(x):
      ...     return jnp.sum((x - 1) ** 2)
      >>> optimizer = jamsgrad.amsgrad(0.1, b2=0.99)
      >>> @jax.jit
      ... def step(x, state):
      ...     updates, state = optimizer.update(jax.grad(f)(x), state)
      ...     return optax.apply_updates(x, updates), state
      >>> x = jnp.zeros(3)
      >>> state = optimizer.init(x)
      >>> for _ in range(200):
      ...     x, state = step(x, state)
      >>> bool(f(x) < 1e-6)
      True

    References:
      Reddi, Kale and Kumar, On the Convergence of Adam and Beyond, ICLR 2018, Algorithm 2.
    """
    chained = optax.chain(
        scale_by_amsgrad(b1, b2, eps, eps_root, convention=convention, moment_dtype=moment_dtype),
        _descend(learning_rate),
    )
    return cast(Optimizer[State], chained)


@_names.our_names(_names.OF_OPTIMIZERS)
@one_if_equal
def amsgradw(
    learning_rate: optax.ScalarOrSchedule,
    b1: optax.ScalarOrSchedule = 0.9,
    b2: optax.ScalarOrSchedule = 0.999,
    eps: Numeric | None = None,
    eps_root: Numeric = 0.0,
    *,
    weight_decay: Numeric = 1e-2,
    mask: Tree | Callable[[Tree], Tree] | None = None,
    convention: ConventionName | Convention = "paper",
    moment_dtype: str | MomentDtypes | None = None,
) -> Optimizer[State]:
    r"""AMSGrad with decoupled weight decay.

    .. math:: x_t = x_{t-1} - \alpha_t (m_t / (\sqrt{\hat v_t} + \epsilon) + \lambda x_{t-1})

    The default `weight_decay=1e-2` is torch's; `optax.adamw` has 1e-4. The numbers are those of
    torch's `AdamW(amsgrad=True)` with `convention="pytorch"`, and of Keras's
    `Adam(amsgrad=True, weight_decay=...)` with `convention="keras"`. The default
    `convention="paper"` takes longer first steps, as described in `amsgrad`.

    Args:
      learning_rate: alpha, as in `amsgrad`; it multiplies the decay too.
      b1: as in `scale_by_amsgrad`.
      b2: as in `scale_by_amsgrad`.
      eps: as in `scale_by_amsgrad`.
      eps_root: as in `scale_by_amsgrad`.
      weight_decay: lambda, at least 0: a number or a 0-d array.
      mask: a tree of booleans, a prefix of the parameters' tree, True where weights decay; or a
        function from the parameters to such a tree; None decays all of them.
      convention: as in `scale_by_amsgrad`.
      moment_dtype: as in `scale_by_amsgrad`.

    Returns:
      An optax gradient transformation whose `update` needs the parameters.

    Raises:
      ValueError: as `amsgrad` does, and if `update` is called without `params`.
      TypeError: as `amsgrad` does.

    Example:
      >>> import jax.numpy as jnp
      >>> import optax
      >>> import jamsgrad
      >>> params = {"weight": jnp.ones((2, 2)), "bias": jnp.ones(2)}
      >>> optimizer = jamsgrad.amsgradw(
      ...     0.1, weight_decay=0.5, mask={"weight": True, "bias": False})
      >>> no_gradient = {"weight": jnp.zeros((2, 2)), "bias": jnp.zeros(2)}
      >>> updates, _ = optimizer.update(no_gradient, optimizer.init(params), params)
      >>> params = optax.apply_updates(params, updates)
      >>> print(params["weight"][0], params["bias"])
      [0.95 0.95] [1. 1.]

    References:
      Loshchilov and Hutter, Decoupled Weight Decay Regularization, ICLR 2019, Algorithm 2;
      torch 2.13.0 `AdamW(amsgrad=True)`.
    """
    _check.in_range("weight_decay", weight_decay, 0)
    decay = _add_decayed_weights(weight_decay)
    chained = optax.chain(
        scale_by_amsgrad(b1, b2, eps, eps_root, convention=convention, moment_dtype=moment_dtype),
        decay if mask is None else optax.masked(decay, mask),
        _descend(learning_rate),
    )
    return cast(Optimizer[State], chained)


# Optax's `scale` and `add_decayed_weights` promote a bfloat16 update that meets a float32 learning
# rate or parameter, and raise under strict promotion. These two keep the dtype of the update.


def _descend(learning_rate: optax.ScalarOrSchedule) -> optax.GradientTransformation:
    if callable(learning_rate):
        return optax.scale_by_learning_rate(lambda count: learning_rate(rounding.exact(count)))
    _check.in_range("learning_rate", learning_rate, 0)

    def scale(u: Any) -> jax.Array:
        return -jnp.asarray(learning_rate, u.dtype) * u

    # Without the parameters, which may hold functions where the updates are None.
    return optax.stateless(lambda updates, _: jax.tree.map(scale, updates))


def _add_decayed_weights(weight_decay: Numeric) -> optax.GradientTransformation:
    def decay(u: Any, p: Any) -> jax.Array | None:
        if u is None:  # of a leaf that is not trained, such as a function in an Equinox module
            return None
        return u + jnp.asarray(weight_decay, u.dtype) * p.astype(u.dtype)

    def decayed(updates: Tree, params: Tree | None) -> Tree:
        if params is None:
            raise ValueError("amsgradw decays the parameters: call update(updates, state, params)")
        return jax.tree.map(decay, updates, params, is_leaf=lambda u: u is None)

    return optax.stateless(decayed)
