"""Parameters in bfloat16 without a float32 copy: their updates are rounded so that none is lost.

bfloat16 has 8 significant bits: an update below half a unit in the last place of its parameter is
lost when the sum is rounded to nearest, and training stalls. Rounded stochastically, the sum is
right on average.
"""

# JAX leaves parts of jax.tree untyped, and optax has no stubs:
# pyright: reportUnknownMemberType=false, reportUnknownArgumentType=false
# pyright: reportUnknownVariableType=false, reportMissingTypeStubs=false

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from jamsgrad._optimizer import rounding
from jamsgrad._optimizer.equal import one_if_equal
from jamsgrad._tree import Tree


class RoundParametersState(NamedTuple):
    """The state of `round_parameters`: the steps taken, from which the dither follows."""

    count: jax.Array  # pyright: ignore[reportIncompatibleMethodOverride] optax's name for it


@one_if_equal
def round_parameters() -> optax.GradientTransformationExtraArgs:
    r"""Round bfloat16 parameters stochastically as they are updated; put it last in a chain.

    .. math:: u' = \text{SR}(x + u) - x, \quad \text{so that} \quad x + u' = \text{SR}(x + u)

    with x and u widened to float32, and SR(y) one of the two neighbours of y in bfloat16, drawn so
    that its mean is y. `optax.apply_updates` then gives SR(x + u) to the bit. Without it training
    stalls as soon as updates are less than half a unit in the last place, about 0.002 x to 0.004 x.

    Any optimizer may come before it, and so do wrappers that need updates of the gradients' dtype:
    `optax.chain(optax.MultiSteps(optimizer, 4).gradient_transformation(), round_parameters())`, and
    likewise `optax.apply_if_finite`. With `amsgrad(..., moment_dtype="bfloat16")` parameters,
    gradients and state take 10 bytes per parameter instead of the 20 of float32. Updates of
    parameters in other dtypes pass through.

    The dither follows from the step, the leaf and the element's index, as that of `MomentDtypes`:
    there is no key, and a run that is resumed or sharded repeats the same bits. Under `vmap` all
    replicas share it.

    Returns:
      An optax gradient transformation whose `update` needs the parameters. Updates of bfloat16
      parameters are float32: apply them by `optax.apply_updates`, which gives bfloat16 again. A
      bare `params + updates`, as in `eqx.apply_updates`, would give float32.

    Raises:
      ValueError: by `update`, if it is called without `params`, or with updates of another shape.
      TypeError: by `update`, if `params` have another structure than the updates.

    Example:
      >>> import jax.numpy as jnp
      >>> import optax
      >>> import jamsgrad
      >>> optimizer = optax.chain(optax.sgd(1e-3), jamsgrad.round_parameters())
      >>> x = jnp.ones(1000, jnp.bfloat16)
      >>> state = optimizer.init(x)
      >>> for _ in range(100):  # 100 steps of -0.001, each a quarter of bfloat16's spacing below 1
      ...     updates, state = optimizer.update(jnp.ones_like(x), state, x)
      ...     x = optax.apply_updates(x, updates)
      >>> print(x.dtype, f"{x.astype(jnp.float32).mean():.2f}")
      bfloat16 0.90

    References:
      Gupta, Agrawal, Gopalakrishnan and Narayanan, Deep Learning with Limited Numerical Precision,
      ICML 2015; Zamirai, Zhang, Aberger and De Sa, Revisiting BFloat16 Training, 2020.
    """

    def init(params: Tree) -> RoundParametersState:
        del params
        return RoundParametersState(jnp.zeros([], jnp.int32))

    def update(
        updates: Tree, state: Tree, params: Tree | None = None, **extra_args: Any
    ) -> tuple[Tree, RoundParametersState]:
        del extra_args
        if params is None:
            raise ValueError(
                "round_parameters rounds the parameters: call update(updates, state, params)"
            )
        # None is the update of what is not trained, such as a function in an Equinox module.
        us, treedef = jax.tree.flatten(updates, is_leaf=lambda u: u is None)
        try:
            ps = treedef.flatten_up_to(params)
        except (TypeError, ValueError):
            raise TypeError(
                f"params must have the structure of the updates, {treedef}, got "
                f"{jax.tree.structure(params)}"
            ) from None
        pairs = enumerate(zip(ps, us, strict=True))
        rounded = [_rounded(p, u, state.count, i) for i, (p, u) in pairs]
        count = jnp.asarray(optax.safe_increment(state.count))
        return treedef.unflatten(rounded), RoundParametersState(count)

    return optax.GradientTransformationExtraArgs(init, update)


def _rounded(p: Any, u: Any, count: jax.Array, leaf: int) -> Any:
    """SR(p + u) - p in float32 for the leaf of this number; u itself if p is not bfloat16.

    The difference of two neighbours is exact in float32, and where it is not, p + u' is still so
    near to SR(p + u) that rounding it to bfloat16 gives that.
    """
    if u is None or getattr(p, "dtype", None) != jnp.bfloat16:
        return u
    if p.shape != jnp.shape(u):
        raise ValueError(f"the update of a parameter of shape {p.shape} has shape {jnp.shape(u)}")
    old = rounding.widen(p, rounding.widest(p))
    total = old + jnp.asarray(u, old.dtype)
    return rounding.store_average(total, p.dtype, count, leaf, "p").astype(old.dtype) - old
