"""One optimizer step on many parameters, as a training loop runs it: jitted and in place."""

from collections.abc import Callable
from typing import Any

import jax
import numpy as np
import optax

COLUMNS = 1000


def leaves(n: int, n_leaves: int, seed: int) -> list[np.ndarray]:
    """`n` random float32 numbers in `n_leaves` matrices, as most parameters of networks are."""
    numbers = np.random.default_rng(seed).standard_normal(n, np.float32)
    return [x.reshape(-1, COLUMNS) for x in np.split(numbers, n_leaves)]


def compiled(optimizer: optax.GradientTransformation, params: Any) -> tuple[Any, Any]:
    """The compiled `init(params)` and `step(params, state, grads)` for parameters like these.

    Donated buffers are matched to results by shape, in order: they are returned in the order of the
    arguments, or XLA copies each of them once more.
    """

    def step(params, state, grads):
        updates, state = optimizer.update(grads, state, params)
        return optax.apply_updates(params, updates), state

    shapes = jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype), params)
    state = jax.eval_shape(optimizer.init, shapes)
    return (
        jax.jit(optimizer.init).lower(shapes).compile(),
        jax.jit(step, donate_argnums=(0, 1)).lower(shapes, state, shapes).compile(),
    )


def repeated(step: Any, params: Any, state: Any, grads: Any) -> Callable[[], None]:
    """A function that makes one step from where the last one ended, and waits for it."""
    held = [params, state]

    def run() -> None:
        held[:] = step(*held, grads)
        jax.block_until_ready(held)

    return run
