"""AMSGrad for JAX: an optimizer for training, and a search for the minima of a function.

Train with the numbers of PyTorch; "keras", "optax" and "paper" give those of the others::

    optimizer = jamsgrad.amsgrad(1e-3, convention="pytorch")  # an optax optimizer

Search for a minimum from one start, or for all minima in a box from thousands of starts::

    result = jamsgrad.minimize(fun, x0, jamsgrad.amsgrad(0.1), finish="auto")
    found = jamsgrad.multistart(fun, (lower, upper), jamsgrad.amsgrad(0.1), key=jax.random.key(0))
    print(found)

Look at searches with `jamsgrad.plots`, and try them on `jamsgrad.problems`. `jamsgrad.interop`
carries a run over from PyTorch, Keras or optax. `python -m jamsgrad` says whether it all works.
"""

import importlib as _importlib
from typing import TYPE_CHECKING as _TYPE_CHECKING

from jamsgrad import interop as interop
from jamsgrad import problems as problems
from jamsgrad import schedules as schedules
from jamsgrad._minima.minimum import Minimum as Minimum
from jamsgrad._minima.profile import Profile as Profile
from jamsgrad._multistart.basin_map import basin_map as basin_map
from jamsgrad._multistart.basins import BasinMap as BasinMap
from jamsgrad._multistart.drive import Progress as Progress
from jamsgrad._multistart.multistart import multistart as multistart
from jamsgrad._multistart.profile import profile as profile
from jamsgrad._multistart.result import MultiStartResult as MultiStartResult
from jamsgrad._multistart.starts import sample_starts as sample_starts
from jamsgrad._optimizer.algorithm import Convention as Convention
from jamsgrad._optimizer.algorithm import ScaleByAmsgradState as ScaleByAmsgradState
from jamsgrad._optimizer.algorithm import conventions as conventions
from jamsgrad._optimizer.algorithm import scale_by_amsgrad as scale_by_amsgrad
from jamsgrad._optimizer.aliases import amsgrad as amsgrad
from jamsgrad._optimizer.aliases import amsgradw as amsgradw
from jamsgrad._optimizer.parameters import round_parameters as round_parameters
from jamsgrad._optimizer.rounding import MomentDtypes as MomentDtypes
from jamsgrad._search.minimize import minimize as minimize
from jamsgrad._search.newton import newton as newton
from jamsgrad._search.result import Result as Result
from jamsgrad._search.scaled import Scaled as Scaled
from jamsgrad._search.scaled import scaled as scaled
from jamsgrad._search.stopping import Status as Status
from jamsgrad._search.trajectory import Trajectory as Trajectory

if _TYPE_CHECKING:
    from jamsgrad import plots as plots

__version__ = "0.2.0"


def __getattr__(name: str) -> object:
    """Import `plots` when it is first used: it alone needs matplotlib, which is slow to import."""
    if name == "plots":
        return _importlib.import_module("jamsgrad.plots")
    raise AttributeError(f"module 'jamsgrad' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), "plots"})
