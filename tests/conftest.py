"""The strictest JAX there is: float64, no implicit promotion, eight devices."""

import os

os.environ["JAX_NUM_CPU_DEVICES"] = "8"  # not an XLA flag: examples may ask for as many
os.environ.setdefault("MPLBACKEND", "agg")

import jax
import pytest

jax.config.update("jax_enable_x64", True)
jax.config.update("jax_numpy_dtype_promotion", "strict")
jax.config.update("jax_numpy_rank_promotion", "raise")


@pytest.fixture
def jax_of_a_reader():
    """JAX as it is for those who paste an example, not as it is for the tests."""
    with (
        jax.enable_x64(False),
        jax.numpy_dtype_promotion("standard"),
        jax.numpy_rank_promotion("allow"),
    ):
        yield


collect_ignore = ["data"]  # scripts that wrote the data with libraries that tests do not need
