import pickle

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jamsgrad import problems

ONLINE = [problems.reddi_theorem1, problems.reddi_online, problems.reddi_stochastic]

each_online = pytest.mark.parametrize("online", ONLINE, ids=lambda online: online.name)


@pytest.mark.parametrize(
    ("online", "period"),
    [(problems.reddi_theorem1, [3] + [-1] * 2), (problems.reddi_online, [1010] + [-10] * 100)],
    ids=["theorem1", "online"],
)
def test_periodic_sequences(online, period):
    steps = jnp.arange(1, 2 * len(period) + 1)
    draw = jax.jit(jax.vmap(online.gradient, in_axes=(0, None)))
    np.testing.assert_array_equal(draw(steps, jax.random.key(0)), period * 2)
    np.testing.assert_allclose(online.expected_gradient, np.mean(period), rtol=1e-14)


def test_stochastic_sequence():
    online = problems.reddi_stochastic
    steps = jnp.arange(1, 1_000_001)
    draw = jax.jit(jax.vmap(online.gradient, in_axes=(0, None)))
    gradients = np.asarray(draw(steps, jax.random.key(0)))
    assert set(gradients) == {1010.0, -10.0}
    # The mean is the stated one, to four standard deviations.
    deviation = 1020 * np.sqrt(0.01 * 0.99 / steps.size)
    assert abs(gradients.mean() - online.expected_gradient) < 4 * deviation
    # Chance is a function of the step and the key alone.
    assert draw(steps[40:41], jax.random.key(0)) == gradients[40]
    assert np.any(draw(steps, jax.random.key(1)) != gradients)


@each_online
def test_online_problems_take_the_dtype_of_x(online):
    lower, upper = online.bounds
    assert online.minimizer == (lower if online.expected_gradient > 0 else upper)
    for dtype in (jnp.float32, jnp.float64):
        gradient = online.gradient(1, jax.random.key(0))
        assert gradient.shape == ()
        assert (jnp.ones((), dtype) * gradient).dtype == dtype


@each_online
def test_pickle_finds_the_gradient(online):
    assert pickle.loads(pickle.dumps(online)) == online
    assert getattr(problems, online.name) is online
