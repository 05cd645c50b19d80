"""What a search costs: the number of evaluations, counted alike for all optimizers."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

VALUES = 8  # that a step of `newton` tries, besides the one that it has


def evaluations(n_steps, n_finish, n_variables):
    """Of a search that ended in n_finish steps of Newton's, in arrays or in numbers.

    A value costs 1, a gradient with its value 1, and a Hessian 1 for each variable.
    """
    return n_steps - n_finish + 1 + n_finish * (1 + n_variables + VALUES)


class Counted(NamedTuple):
    """The state of an optimizer, and how many evaluations its line searches made."""

    inner: Any
    count: jax.Array


def counted_lbfgs() -> optax.GradientTransformationExtraArgs:
    """`optax.lbfgs`, which counts."""
    lbfgs = optax.lbfgs()

    def init(params):
        return Counted(lbfgs.init(params), jnp.zeros((), jnp.int32))

    def update(updates, state, params=None, **extra):
        updates, inner = lbfgs.update(updates, state.inner, params, **extra)
        more = jnp.asarray(optax.tree.get(inner, "info").num_linesearch_steps)
        return updates, Counted(inner, state.count + more.astype(jnp.int32))

    return optax.GradientTransformationExtraArgs(init, update)
