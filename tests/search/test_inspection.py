"""What an objective's program tells before it runs."""

import re
import warnings

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from jax import lax
from reference import explore

from jamsgrad import amsgrad, basin_map, minimize

SGD = optax.sgd(0.1)
ONE, TWO, TABLE = (np.array(x, "float32") for x in ([1.0], [0.3, 0.6], [[1.0, 1.0]]))

PAST_THE_END = {
    "x[1]": (lambda x: x[0] + x[1] ** 2, ONE, 1),
    "x[-3]": (lambda x: x[-3] ** 2, TWO, -3),
    "x[5]": (lambda x: x[0] * x[5], TWO, 5),
    "a list": (lambda x: jnp.sum(x[jnp.array([0, 2])] ** 2), TWO, 2),
    "NumPy's": (lambda x: jnp.sum(x[np.array([0, 3])] ** 2), TWO, 3),
    "arange": (lambda x: jnp.sum(x[jnp.arange(4)] ** 2), TWO, 3),
    "at": (lambda x: x.at[3].get() ** 2, TWO, 3),
    "a loop": (lambda x: sum(x[i] ** 2 for i in range(3)), TWO, 2),
    "under jit": (jax.jit(lambda x: x[0] + x[2] ** 2), TWO, 2),
    "in a branch": (lambda x: lax.cond(x[0] > 0, lambda x: x[3], lambda x: x[0], x), TWO, 3),
    "in a scan": (lambda x: lax.fori_loop(0, 3, lambda _, s: s + x[2] ** 2, 0.0), TWO, 2),
    "a column": (lambda x: jnp.sum(x[:, 2] ** 2), TABLE, 2),
    "a row": (lambda x: x[1, 0] ** 2, TABLE, 1),
    "a table": (lambda x: x[0] * jnp.arange(3.0)[3], TWO, 3),
}
WITHIN = {
    "x[1]": lambda x: x[0] * x[1],
    "x[-2]": lambda x: x[-1] * x[-2],
    "a list": lambda x: jnp.sum(x[jnp.array([0, -1])] ** 2),
    "slices": lambda x: jnp.sum(x[1:5] ** 2) + jnp.sum(x[-7:] ** 2),
    "reversed": lambda x: jnp.sum(x[::-1] * x),
    "rolled": lambda x: jnp.sum(jnp.roll(x, 1) * x),
    "differences": lambda x: jnp.sum(jnp.diff(x) ** 2),
    "sorted": lambda x: jnp.sort(x)[0] ** 2,
    "interpolated": lambda x: jnp.interp(x[0], jnp.arange(3.0), jnp.arange(3.0) ** 2),
    "an index of its own": lambda x: x[jnp.argmax(x)] ** 2,
    "a loop": lambda x: lax.fori_loop(0, 2, lambda i, s: s + x[i] ** 2, 0.0),
    "an inverse": lambda x: jnp.sum(jnp.linalg.inv(jnp.diag(x + 1))),
    "a quantile": lambda x: jnp.quantile(x, 0.3),
    "split": lambda x: jnp.sum(jnp.split(x, 2)[1] ** 2),
}
WITHOUT_DERIVATIVE = {
    "round": lambda x: jnp.sum(jnp.round(x) ** 2),
    "floor": lambda x: jnp.sum(jnp.floor(x)),
    "sign": lambda x: jnp.sum(jnp.sign(x)),
    "stop_gradient": lambda x: jnp.sum(lax.stop_gradient(x) ** 2),
    "integers": lambda x: jnp.sum(x.astype(int) ** 2).astype(float),
    "argmax": lambda x: jnp.argmax(x).astype(float),
    "a step": lambda x: jnp.sum(jnp.where(x > 0, 1.0, 0.0)),
    "under jit": jax.jit(lambda x: jnp.sum(jnp.round(x) ** 2)),
    "a constant": lambda x: jnp.array(3.0),
    "a number": lambda x: 3.0,
}


@pytest.mark.parametrize("name", PAST_THE_END)
def test_a_read_past_the_end_is_refused(name, jax_of_a_reader):
    fun, x0, index = PAST_THE_END[name]
    words = rf"fun reads index {index} of an axis of size \d.* would read its last entry instead"
    with pytest.raises(IndexError, match=words):
        minimize(fun, x0, SGD)


@pytest.mark.parametrize("name", WITHIN)
def test_other_reads_are_not_refused(name, jax_of_a_reader):
    minimize(WITHIN[name], TWO, SGD, max_steps=1)


@pytest.mark.parametrize(
    "search",
    [
        lambda fun: explore(fun, (-5.0, 5.0), SGD, key=jax.random.key(0), n_starts=2),
        lambda fun: basin_map(fun, (-5.0, 5.0), SGD, resolution=2),
        lambda fun: jax.jit(lambda x: minimize(fun, x, SGD).x)(ONE),
        lambda fun: jax.vmap(lambda x: minimize(fun, x, SGD).x)(jnp.ones((3, 1))),
    ],
    ids=["multistart", "basin_map", "under jit", "under vmap"],
)
def test_every_search_refuses_it(search):
    def fun(x):
        x = jnp.atleast_1d(x)
        return (x[0] - 1) ** 2 + (x[2] + 2) ** 2

    with pytest.raises(IndexError, match=re.escape("bounds such as ([-5, -5], [5, 5])")):
        search(fun)


@pytest.mark.parametrize("name", WITHOUT_DERIVATIVE)
def test_a_function_without_derivative_warns(name, jax_of_a_reader):
    with pytest.warns(UserWarning, match="no derivative of fun reaches x"):
        result = minimize(WITHOUT_DERIVATIVE[name], TWO, SGD)
    assert "the gradient is exactly 0 at the start" in result.message
    box = [-1.0, -1.0], [1.0, 1.0]
    with pytest.warns(UserWarning, match="no derivative of fun reaches x"):
        explore(WITHOUT_DERIVATIVE[name], box, SGD, key=jax.random.key(0), n_starts=3)


def test_a_derivative_that_reaches_one_leaf_is_enough():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        minimize(lambda x: x["a"] ** 2, {"a": jnp.ones(()), "b": TWO}, SGD, max_steps=1)
        minimize(lambda x: jnp.sum(jnp.round(x)) + x[0], TWO, SGD, max_steps=1)


def test_a_gradient_that_is_0_at_the_start_has_words_of_its_own():
    flat = minimize(lambda x: jnp.sum(jnp.maximum(x, 0.0) ** 2), -TWO, SGD)
    assert flat.success
    assert "the gradient is exactly 0 at the start" in str(flat)
    assert "exactly 0" not in minimize(lambda x: jnp.sum(x**2), TWO, SGD, gtol=100.0).message
    assert "exactly 0" not in minimize(lambda x: x**2, 0.5, optax.sgd(0.5)).message
    assert minimize(lambda x: x**2, 0.5, optax.sgd(0.5)).grad_norm == 0


def test_it_is_traced_once():
    times = 0

    def fun(x):
        nonlocal times
        times += 1
        return jnp.sum(x**2)

    minimize(fun, TWO, amsgrad(0.1), max_steps=3)
    assert times == 1
