"""`basin_map`: which start leads to which minimum, for a function of two variables."""

from collections.abc import Callable
from typing import Unpack

import jax
import numpy as np
import optax
from jax.sharding import Mesh

from jamsgrad import _check, _names
from jamsgrad._multistart.basins import BasinMap
from jamsgrad._multistart.multistart import multistart
from jamsgrad._multistart.starts import placed
from jamsgrad._search import bounds as _bounds
from jamsgrad._search.minimize import StopOptions, stop_by
from jamsgrad._tree import Tree, as_rows


@_names.our_names(_names.OF_SEARCHES)
def basin_map(
    fun: Callable[..., Tree],
    bounds: Tree,
    optimizer: optax.GradientTransformation,
    *,
    resolution: int = 256,
    args: tuple[Tree, ...] = (),
    lanes: int | None = None,
    mesh: Mesh | None = None,
    **stop: Unpack[StopOptions],
) -> BasinMap:
    r"""Search a function of two variables from a grid of starts: who ends where?

    With l and h the ends of the box and r the resolution, the search of [i, j] starts at

    .. math:: x_0 = l_0 + \frac{j + 1/2}{r} (h_0 - l_0), \quad
              x_1 = l_1 + \frac{i + 1/2}{r} (h_1 - l_1)

    Args:
      fun: the objective, `fun(x, *args)`: a real scalar.
      bounds: the box, finite, in any of the forms of `minimize`; it gives x its shape, an array of
        shape (2,) or a tree that holds two numbers in all. Where both ends are numbers they are
        those of either variable.
      optimizer: any optax transformation.
      resolution: starts along each side, at least 2.
      args: further arguments of `fun`, trees of arrays.
      lanes: as in `multistart`.
      mesh: as in `multistart`.
      **stop: `max_steps`, `gtol`, `ftol`, `xtol` and `patience`, as in `minimize`.

    Returns:
      A `BasinMap`, which `jamsgrad.plots.basins` draws.

    Raises:
      ValueError: if x has not two variables, the box is not finite or has no area, or an option is
        out of its range.
      TypeError: if `fun` does not return a real scalar, or an argument has another type.

    Example:
      >>> import jamsgrad
      >>> problem = jamsgrad.problems.himmelblau
      >>> optimizer = jamsgrad.amsgrad(0.3, b2=0.99)
      >>> found = jamsgrad.basin_map(
      ...     problem.fun, problem.bounds, optimizer, resolution=20, gtol=1e-3)
      >>> found.basin.shape, len(found.minima), (found.basin >= 0).mean().item()
      ((20, 20), 4, 1.0)

    References:
      The searches are those of `multistart`, their stop rules those of `minimize`.
    """
    resolution = _check.integer("resolution", resolution, 2)
    box = _bounds.plane(_bounds.box(bounds), "a basin map")
    middles = (np.arange(resolution) + 0.5) / resolution
    units = np.stack(np.meshgrid(middles, middles), axis=-1).reshape(-1, 2)
    starts = placed(units, box)
    stop_by("basin_map", stop)
    result = multistart(
        fun,
        box,
        optimizer,
        starts=starts,
        finish=None,  # the map is of the optimizer
        args=args,
        lanes=lanes,
        mesh=mesh,
        **stop,
    )

    def grid(rows: np.ndarray) -> np.ndarray:
        return rows.reshape(resolution, resolution, *rows.shape[1:])

    points = grid(as_rows(starts))
    return BasinMap(
        x0=points[0, :, 0],
        x1=points[:, 0, 1],
        basin=grid(result.basin),
        record=jax.tree.map(grid, result.record),
        result=result,
    )
