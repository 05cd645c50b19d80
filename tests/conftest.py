"""The strictest JAX there is: float64, no implicit promotion, eight devices."""

import atexit
import gc
import os
import shutil
import tempfile

os.environ["JAX_NUM_CPU_DEVICES"] = "8"  # not an XLA flag: examples may ask for as many
os.environ.setdefault("MPLBACKEND", "agg")
# Most of the time would go into compiling: all processes of a run share what one has compiled.
if "PYTEST_XDIST_WORKER" not in os.environ:  # nor do its workers make a folder of their own
    os.environ["JAX_COMPILATION_CACHE_DIR"] = tempfile.mkdtemp(prefix="jamsgrad-tests-")
    atexit.register(shutil.rmtree, os.environ["JAX_COMPILATION_CACHE_DIR"], ignore_errors=True)
os.environ["JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"] = "0"

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


def pytest_collection_finish():
    """Spare the garbage collector all that was imported."""
    gc.collect()
    gc.freeze()
