"""What the tests compare with: AMSGrad in NumPy float64, and how they run optimizers."""

from functools import partial

import jax
import numpy as np
import optax
from hypothesis import settings

from jamsgrad import conventions, multistart

CONVENTIONS = tuple(conventions)

explore = partial(multistart, finish=None)  # the searches themselves, as the optimizer ends them

# Reproducible, and without a clock: compilation time is no property of the code under test.
property_test = settings(max_examples=15, deadline=None, derandomize=True)


def amsgrad(
    x,
    grads,
    learning_rate,
    b1=0.9,
    b2=0.999,
    eps=1e-8,
    eps_root=0.0,
    *,
    debias_m=False,
    debias_v="never",
    eps_hat=False,
    split_complex=False,
    weight_decay=0.0,
    l2=0.0,
    project=lambda x: x,
):
    """The points x_1, x_2, ... of Reddi et al.'s Algorithm 2 and of the libraries that correct it.

    `grads` lists g_1, g_2, ..., or is a list of functions of x; the learning rate, b1 and b2 are
    numbers or functions of t = 1, 2, ...; `weight_decay` is decoupled, `l2` goes into the gradient.
    """

    def at(value, t):
        return value(t) if callable(value) else value

    x = np.asarray(x)
    x = x.astype(np.complex128 if np.iscomplexobj(x) else np.float64)
    two = split_complex and np.iscomplexobj(x)  # each number is two real ones

    def pairs(z):
        z = np.asarray(z).astype(complex if two else x.dtype)
        return np.stack([z.real, z.imag], -1) if two else z

    def whole(z):
        return z[..., 0] + 1j * z[..., 1] if two else z

    x = pairs(x)
    m, v, vhat = np.zeros_like(x), np.zeros(x.shape), np.zeros(x.shape)
    b1_product = b2_product = 1.0
    path = []
    for t, grad in enumerate(grads, start=1):
        b1_t, b2_t = at(b1, t), at(b2, t)
        b1_product, b2_product = b1_product * b1_t, b2_product * b2_t
        c1 = 1 - b1_product if debias_m else 1.0
        c2 = 1 - b2_product if debias_v != "never" else 1.0
        g = pairs(grad(whole(x)) if callable(grad) else grad) + l2 * x
        m = b1_t * m + (1 - b1_t) * g
        v = b2_t * v + (1 - b2_t) * np.abs(g) ** 2
        vhat = np.maximum(vhat, v / c2 if debias_v == "before_max" else v)
        if eps_hat:
            denominator = (np.sqrt(vhat + eps_root) + eps) / np.sqrt(c2)
        else:
            corrected = vhat / c2 if debias_v == "after_max" else vhat
            denominator = np.sqrt(corrected + eps_root) + eps
        u = np.zeros_like(x)
        np.divide(m / c1, denominator, out=u, where=vhat + eps_root > 0)
        x = pairs(project(whole(x - at(learning_rate, t) * (u + weight_decay * x))))
        path.append(whole(x))
    return np.stack(path)


def run(optimizer, params, grads, *, state=None, project=lambda x: x):
    """The parameters after every step, and the last state, of one jitted scan.

    `grads` is a tree whose leaves have a leading axis of steps, or a pair (function of the
    parameters, number of steps).
    """
    grad, steps = grads if isinstance(grads, tuple) else (None, None)

    def step(carry, given):
        params, state = carry
        updates, state = optimizer.update(grad(params) if grad else given, state, params)
        params = project(optax.apply_updates(params, updates))
        return (params, state), params

    @jax.jit
    def scan(params, state, grads):
        (_, state), path = jax.lax.scan(step, (params, state), grads, length=steps)
        return path, state

    state = optimizer.init(params) if state is None else state
    return scan(params, state, None if grad else grads)


def same_bits(a, b):
    """Whether two trees have the same structure, dtypes and bits, NaNs included."""

    def same(x, y):
        x, y = np.asarray(x), np.asarray(y)
        return x.dtype == y.dtype and x.shape == y.shape and x.tobytes() == y.tobytes()

    return jax.tree.structure(a) == jax.tree.structure(b) and all(
        map(same, jax.tree.leaves(a), jax.tree.leaves(b))
    )


def assert_trees_close(a, b, rtol=1e-12, atol=0.0):
    """Raise unless two trees have the same structure and leaves that are close."""
    assert jax.tree.structure(a) == jax.tree.structure(b)
    jax.tree.map(lambda x, y: np.testing.assert_allclose(x, y, rtol=rtol, atol=atol), a, b)
