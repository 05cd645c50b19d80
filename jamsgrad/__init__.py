"""jamsgrad: AMSGrad for JAX, with the numbers of the library you come from."""

import importlib as _importlib
import typing as _typing

from jamsgrad import interop as interop
from jamsgrad import schedules as schedules
from jamsgrad._optimizer.algorithm import Convention as Convention
from jamsgrad._optimizer.algorithm import ScaleByAmsgradState as ScaleByAmsgradState
from jamsgrad._optimizer.algorithm import conventions as conventions
from jamsgrad._optimizer.algorithm import scale_by_amsgrad as scale_by_amsgrad
from jamsgrad._optimizer.aliases import amsgrad as amsgrad
from jamsgrad._optimizer.aliases import amsgradw as amsgradw
from jamsgrad._optimizer.rounding import MomentDtypes as MomentDtypes

if _typing.TYPE_CHECKING:
    from jamsgrad._searching import *  # noqa: F403

__version__ = "0.1.0"


def __getattr__(name: str) -> _typing.Any:
    """Load the search when it is first used: those who only train never wait for it."""
    if name == "__all__":  # what `from jamsgrad import *` takes
        return __dir__()
    if not name.startswith("_") and name in __dir__():
        return getattr(_importlib.import_module("jamsgrad._searching"), name)
    raise AttributeError(f"module 'jamsgrad' has no attribute {name!r}")


def __dir__() -> list[str]:
    names = {*globals(), *vars(_importlib.import_module("jamsgrad._searching"))}
    return sorted(name for name in names if not name.startswith("_"))
