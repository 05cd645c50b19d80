"""The page on failures: each text on it is what a status or an error says, word for word."""

import re
import warnings
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from jamsgrad import Status, amsgrad, amsgradw, minimize, multistart, newton, problems, scaled
from jamsgrad._search.stopping import NO_SLOPE

PAGE = (Path(__file__).parents[1] / "docs" / "no_minimum.md").read_text()
QUOTED = [text for _, text in re.findall(r"^\| (``?)(.+?)\1 \| ", PAGE, re.MULTILINE)]
SQUARE, SGD = ([-2.0, -2.0], [2.0, 2.0]), optax.sgd(0.1)


def bowl(x, *args):
    return jnp.sum(x**2)


@jax.custom_vjp
def once(x):
    return jnp.sum(x**2)


once.defvjp(lambda x: (once(x), x), lambda x, g: (2 * x * g,))


def one(fun=bowl, x0=(1.0, 1.0), optimizer=SGD, **options):
    x0 = x0 if isinstance(x0, list) else jnp.array(x0)
    return minimize(fun, x0, optimizer, **{"max_steps": 2} | options)


def many(fun=bowl, bounds=SQUARE, **options):
    options = {"key": jax.random.key(0), "n_starts": 4, "max_steps": 100} | options
    return multistart(fun, bounds, SGD, **options)


def errors_of(fun, bounds=SQUARE, **options):
    return many(fun, bounds, **options).minima[0].standard_errors()


def moved(optimizer, grads, params):
    return optimizer.update(grads, optimizer.init(params))


W, B = {"w": jnp.ones(2)}, {"b": jnp.ones(2)}
PROVOKED = {
    "NumPy": lambda: one(lambda x: np.sin(x).sum()),
    "if": lambda: one(lambda x: x[0] if x[0] > 0 else x[1]),
    "flag": lambda: one(lambda x, n: jnp.sum(x.reshape(n)), args=(2,)),
    "no scalar": lambda: one(lambda x: x**2),
    "list": lambda: one(x0=[1.0, 1.0]),
    "list in bounds": lambda: one(x0=[1.0, 1.0], bounds=[(-3, 3), (-3, 3)]),
    "args": lambda: one(args=3.0),
    "word": lambda: one(args=("mse",)),
    "optimizer": lambda: one(optimizer=0.1),
    "outside": lambda: one(x0=(3.0, 1.0), bounds=SQUARE),
    "pairs": lambda: one(bounds=((-2, 2), (-2, 2))),
    "equal": lambda: many(bounds=([1.0, 1.0], [1.0, 1.0])),
    "infinite": lambda: many(bounds=([-jnp.inf, 0.0], [1.0, 1.0])),
    "key": lambda: many(key=None),
    "index": lambda: many(lambda x: x[0] ** 2 + x[1] ** 2, ([-2.0], [2.0])),
    "flat": lambda: one(lambda x: jnp.sum(jnp.round(x))),
    "once": lambda: one(once, finish="auto"),
    "newton": lambda: one(x0=np.ones(100), optimizer=newton()),
    "log": lambda: scaled(bowl, ({"r": 0.0}, {"r": 1.0}), "log"),
    "valley": lambda: errors_of(lambda x: (x[0] - x[1]) ** 2),
    "saddle": lambda: errors_of(
        lambda x: x[0] ** 2 - x[1] ** 2, starts=[[0.0, 0.0]], n_starts=None, finish=None
    ),
    "unconverged": lambda: errors_of(
        problems.rosenbrock(2).fun, starts=[[-1.0, 1.0]], n_starts=None, finish=None, gtol=10.0
    ),
    "unknown": lambda: errors_of(bowl, (np.full(201, -1.0), np.ones(201))),
    "jit": lambda: jax.jit(lambda key: many(key=key).fun)(jax.random.key(0)),
    "more": lambda: many(starts="lhs").more(3),
    "decay": lambda: moved(amsgradw(0.1), W, W),
    "integer": lambda: amsgrad(0.1).init(W | {"n": jnp.array(3)}),
    "missing": lambda: moved(amsgrad(0.1), W, W | B),
    "shape": lambda: moved(amsgrad(0.1), {"w": jnp.ones(3)}, W),
    "b2": lambda: amsgrad(0.1, b2=1.0),
}


def said(call):
    """What the call says: the text of its error and the notes under it, or of its warning."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            call()
        except Exception as error:
            return [str(error), *getattr(error, "__notes__", [])]
    return [str(warning.message) for warning in caught]


def shown(text):
    """The texts of the page that are this one; a text that ends in dots is a beginning."""
    return {q for q in QUOTED if q == text or (q.endswith(" ...") and text.startswith(q[:-4]))}


@pytest.mark.usefixtures("jax_of_a_reader")
def test_the_page_quotes_what_is_said_and_nothing_else():
    found = {name: set().union(*map(shown, said(call))) for name, call in PROVOKED.items()}
    assert [name for name, texts in found.items() if len(texts) != 1] == []
    assert sorted(set(QUOTED) - set().union(*found.values())) == []


def test_every_status_has_its_row_with_its_message():
    for status in Status:
        assert f"| `{status.name}`: {status.message} | " in PAGE
    assert f"| `GTOL` after 0 steps: {NO_SLOPE} | " in PAGE
