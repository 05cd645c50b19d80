"""The searches that the tests of `multistart` share."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
from reference import assert_trees_close, explore, same_bits

from jamsgrad import (
    amsgrad,
    minimize,
    problems,
)

KEY = jax.random.key(3)
BOX = problems.himmelblau.bounds
AMSGRAD, SGD = amsgrad(0.3, b2=0.99), optax.sgd(0.1)
N_STARTS, LANES, GTOL = 300, 64, 1e-3
MESHES = {"8": jax.make_mesh((8,), ("x",)), "4x2": jax.make_mesh((4, 2), ("a", "b"))}
MESHES["3 of them"] = jax.make_mesh((3,), ("x",), devices=jax.devices()[6:3:-1])


class Holed:
    """Himmelblau's function, `value` within `radius` of (3, 2); counts how often Python runs it."""

    times = 0

    def __call__(self, x, radius, value):
        self.times += 1
        hole = jnp.sum((x - jnp.array([3.0, 2.0])) ** 2) < radius**2
        return jnp.where(hole, value, problems.himmelblau.fun(x))


HOLED = Holed()


def search(radius=0.0, value=0.0, **options):
    """The search that most tests share: as long as only data change it is compiled once."""
    given = {"key": KEY, "n_starts": N_STARTS, "lanes": LANES, "gtol": GTOL} | options
    return explore(HOLED, BOX, AMSGRAD, args=(radius, value), **given)


def rows(result, which=slice(None)):
    """Everything in the result that belongs to a start, on the host."""
    arrays = (result.starts, result.x, result.fun, result.grad_norm, result.n_steps, result.status)
    return jax.tree.map(lambda leaf: np.asarray(leaf)[which], arrays)


def assert_rows_close(a, b):
    """Same starts, steps and statuses; points, values and gradients to rounding."""
    assert same_bits((a[0], a[4:]), (b[0], b[4:]))
    # The values near 0 are squares of small differences; in the gradients terms of 1000 cancel.
    assert_trees_close(a[1:4], b[1:4], rtol=1e-10, atol=1e-9)


@jax.jit
@jax.vmap
def alone(x0):
    """`minimize` as it is without lanes."""
    return minimize(problems.himmelblau.fun, x0, AMSGRAD, bounds=BOX, gtol=GTOL).record[:5]


himmelblaus = jax.jit(jax.vmap(problems.himmelblau.fun))


def stop(progress):
    raise StopIteration
