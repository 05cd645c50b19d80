"""The public names of the search and of the pictures' problems, loaded when one is first used."""

from jamsgrad import problems as problems
from jamsgrad._basin_map import BasinMap as BasinMap
from jamsgrad._basin_map import basin_map as basin_map
from jamsgrad._minima import Minimum as Minimum
from jamsgrad._minimize import Path as Path
from jamsgrad._minimize import Result as Result
from jamsgrad._minimize import minimize as minimize
from jamsgrad._multistart import multistart as multistart
from jamsgrad._multistart_result import MultiStartResult as MultiStartResult
from jamsgrad._progress import Progress as Progress
from jamsgrad._search import Status as Status
from jamsgrad._starts import sample_starts as sample_starts
