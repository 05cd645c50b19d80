"""Functions of the tests in processes of their own, forked from one that has imported JAX."""

import importlib
import multiprocessing
import warnings
from concurrent.futures import ProcessPoolExecutor
from functools import partial

import jax

FORKED = multiprocessing.get_context("forkserver")
FORKED.set_forkserver_preload(["jamsgrad", "orbax.checkpoint", "pytest", "hypothesis"])


def call(module, name, *args):
    """The function of a test module, in the process that was begun for it."""
    warnings.simplefilter("error")
    jax.config.update("jax_enable_x64", True)
    return getattr(importlib.import_module(module), name)(*args)


def begin(function, *args):
    """A process that calls the function."""
    given = (function.__module__, function.__name__, *args)
    process = FORKED.Process(target=call, args=given)
    process.start()
    return process


def told(function, *calls):
    """What the function returns, called at once with each of these arguments."""
    function = partial(call, function.__module__, function.__name__)
    with ProcessPoolExecutor(len(calls), mp_context=FORKED) as pool:
        return [
            future.result(timeout=300)
            for future in [pool.submit(function, *args) for args in calls]
        ]
