"""What the tests of minima share: points around wells, and the minima among them."""

import jax
import jax.numpy as jnp
import numpy as np

from jamsgrad._minima.minima import distinct_minima
from jamsgrad._search import bounds as _bounds


def found(*args, **options):
    """The minima among points, and nothing of which point belongs to which."""
    return divided(*args, **options)[0]


def divided(fun, x, bounds=None, n_searches=None, **options):
    """The minima among the points x, and each point's, the values computed here."""
    x = jax.tree.map(np.asarray, x)
    values = np.asarray(jax.jit(jax.vmap(lambda x: fun(x, *options.get("args", ()))))(x))
    box = _bounds.parse(bounds, jax.tree.map(lambda leaf: jnp.asarray(leaf[0]), x))
    options = {"n_searches": n_searches or len(values), **options}
    return distinct_minima(fun, x, values, np.zeros(len(values)), box, **options)


def around(centers, counts, noise=1e-5):
    """Points around the centers, as many as the counts say, in random order."""
    rng = np.random.default_rng(3)
    points = np.repeat(np.asarray(centers, float), counts, axis=0)
    points += noise * rng.uniform(-1, 1, points.shape)
    return rng.permutation(points)


BLOBS = np.array([[-3.0, 1.0], [0.0, 0.0], [3.0, -1.0], [3.0, 2.0]])


def blobs(x):
    """A well at each blob, the first the deepest."""
    distances = jnp.sum((x[None] - jnp.asarray(BLOBS)) ** 2, axis=1)
    return jnp.sum(jnp.arange(-4.0, 0.0) * jnp.exp(-distances))
