"""The strictest JAX there is: float64, no implicit promotion, eight devices."""

import atexit
import gc
import os
import shutil
import tempfile

os.environ["JAX_NUM_CPU_DEVICES"] = "8"  # not an XLA flag: examples may ask for as many
os.environ.setdefault("MPLBACKEND", "agg")
os.environ.setdefault("KERAS_BACKEND", "jax")  # Keras alone asks for TensorFlow
os.environ.setdefault("OMP_NUM_THREADS", "1")  # of torch: the workers of xdist fill the cores
# All processes of a run share what one has compiled. The folder is empty at first, and goes with
# the run; the workers of xdist have it from the process that started them.
if "PYTEST_XDIST_WORKER" not in os.environ:
    os.environ["JAX_COMPILATION_CACHE_DIR"] = tempfile.mkdtemp(prefix="jamsgrad-tests-")
    atexit.register(shutil.rmtree, os.environ["JAX_COMPILATION_CACHE_DIR"], ignore_errors=True)
os.environ["JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"] = "0"

import jax
import pytest
from quick import compile_quickly

jax.config.update("jax_enable_x64", True)
jax.config.update("jax_numpy_dtype_promotion", "strict")
jax.config.update("jax_numpy_rank_promotion", "raise")
compile_quickly(True)


def pytest_collection_modifyitems(items):
    """Of each file, run first what is compiled as users do: to switch forgets all programs."""
    files = list(dict.fromkeys(item.path for item in items))
    items.sort(key=lambda item: (files.index(item.path), may_be_quick(item)))


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item):
    """Compile as users do where bits or printed digits are tested, and quickly elsewhere."""
    compile_quickly(may_be_quick(item))


def may_be_quick(item):
    return item.get_closest_marker("as_users_compile") is None


@pytest.fixture
def jax_of_a_reader():
    """JAX as it is for those who paste an example, not as it is for the tests."""
    with (
        jax.enable_x64(False),
        jax.numpy_dtype_promotion("standard"),
        jax.numpy_rank_promotion("allow"),
    ):
        yield


def pytest_collection_finish():
    """Collect garbage seldom."""
    gc.set_threshold(50_000, 20, 100)


collect_ignore = ["data"]  # scripts that wrote the data with libraries that tests do not need
