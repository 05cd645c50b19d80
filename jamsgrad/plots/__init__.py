"""Pictures of functions of two variables, of the searches on them, and of what many searches found.

Only this folder touches matplotlib: `from jamsgrad import plots`. Every function draws in the `ax`
it is given, or in one of a new figure; it changes no rcParams and none of pyplot's state.

A `Function` is a `jamsgrad.problems.Problem`, or `(fun, bounds)` with bounds in any form that
`minimize` takes. A `Search` is a Result of `minimize` with `record_every`, its Trajectory,
or an array of points of shape (rows, 2). Values that span decades get a log scale, above the
problem's minimum if that is known.

A minimum has the same colour in all pictures of the same searches: minimum 0, the lowest, is blue.
"""

from jamsgrad.plots._landscape import contour as contour
from jamsgrad.plots._landscape import surface as surface
from jamsgrad.plots._multistart import basins as basins
from jamsgrad.plots._multistart import parallel as parallel
from jamsgrad.plots._multistart import waterfall as waterfall
from jamsgrad.plots._paths import animate as animate
from jamsgrad.plots._paths import convergence as convergence
from jamsgrad.plots._paths import path as path
from jamsgrad.plots._profile import profile as profile
