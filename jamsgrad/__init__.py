"""jamsgrad: AMSGrad for JAX, with the numbers of the library you come from."""

from jamsgrad import problems as problems
from jamsgrad import schedules as schedules
from jamsgrad._amsgrad import Convention as Convention
from jamsgrad._amsgrad import ScaleByAmsgradState as ScaleByAmsgradState
from jamsgrad._amsgrad import conventions as conventions
from jamsgrad._amsgrad import scale_by_amsgrad as scale_by_amsgrad
from jamsgrad._minimize import Path as Path
from jamsgrad._minimize import Result as Result
from jamsgrad._minimize import minimize as minimize
from jamsgrad._optimizers import amsgrad as amsgrad
from jamsgrad._optimizers import amsgradw as amsgradw
from jamsgrad._precision import MomentDtypes as MomentDtypes
from jamsgrad._search import Status as Status

__version__ = "0.1.0"
