"""The public names of the search and of the pictures' problems, loaded when one is first used."""

from jamsgrad import problems as problems
from jamsgrad._minima.minima import Minimum as Minimum
from jamsgrad._multistart.basin_map import BasinMap as BasinMap
from jamsgrad._multistart.basin_map import basin_map as basin_map
from jamsgrad._multistart.drive import Progress as Progress
from jamsgrad._multistart.multistart import multistart as multistart
from jamsgrad._multistart.result import MultiStartResult as MultiStartResult
from jamsgrad._multistart.starts import sample_starts as sample_starts
from jamsgrad._search.minimize import Path as Path
from jamsgrad._search.minimize import Result as Result
from jamsgrad._search.minimize import minimize as minimize
from jamsgrad._search.step import Status as Status
