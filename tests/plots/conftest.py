"""No figure outlives its test; one search serves all."""

import jax.numpy as jnp
import matplotlib.pyplot as plt
import pytest

import jamsgrad
from jamsgrad import problems


@pytest.fixture(autouse=True)
def close_figures():
    yield
    plt.close("all")


@pytest.fixture(scope="session")
def result():
    """A search that stops by its tolerance, long before the buffers of its trajectory are full."""
    optimizer = jamsgrad.amsgrad(0.1, b2=0.9)
    start = jnp.array([-0.8, 0.6])
    found = jamsgrad.minimize(
        problems.bowl.fun, start, optimizer, max_steps=500, gtol=1e-3, record_every=1
    )
    assert found.trajectory.n_recorded < 200
    assert jnp.isnan(found.trajectory.x[-1]).all()
    return found
