"""Which start leads to which minimum, as a map."""

import numpy as np
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import LinearSegmentedColormap, Normalize, to_rgb
from matplotlib.ticker import MaxNLocator

from jamsgrad import _check
from jamsgrad._multistart.result import BasinMap
from jamsgrad._tree import as_row
from jamsgrad.plots import _axes, _colors


def basins(basin_map: BasinMap, ax: Axes | None = None, *, shade: float = 0.6) -> Axes:
    """Draw which start leads to which minimum; the darker, the more steps it takes.

    Args:
      basin_map: from `jamsgrad.basin_map`.
      ax: axes to draw in; None for a new figure.
      shade: how much darker the longest searches are than the shortest, from 0 (not at all) to 1.

    Returns:
      The axes. With more than six minima there is no legend. With more than twelve, colours are
      used again, but not for neighbours.

    Raises:
      ValueError: if shade is out of its range, or `ax` is three-dimensional.
      TypeError: if `basin_map` is not a BasinMap, or shade is not a number.

    Example:
      >>> from jamsgrad import amsgrad, basin_map, plots, problems
      >>> problem = problems.himmelblau
      >>> found = basin_map(problem.fun, problem.bounds, amsgrad(0.3, b2=0.99), resolution=20)
      >>> plots.basins(found).get_images()[0].get_array().shape
      (20, 20, 3)
    """
    shade = _check.in_range("shade", shade, 0, 1)
    minima, basin = _axes.checked(basin_map, BasinMap).minima, basin_map.basin
    colors = [*_colors.of_regions(basin, len(minima)), to_rgb(_axes.GREY)]
    image = np.array(colors)[basin]  # -1 is the last
    ended = basin >= 0
    steps = basin_map.n_steps[ended]
    norm = Normalize(*np.quantile(steps, [0.02, 0.98])) if steps.size else Normalize(0, 1)
    image[ended] *= 1 - shade * norm(steps).clip(0, 1)[:, None]

    axes = _axes.axes_for(ax)
    sides = _edges(basin_map.x0), _edges(basin_map.x1)
    where = {"extent": sides[0] + sides[1], "origin": "lower", "aspect": "auto"}
    axes.imshow(image, interpolation="nearest", **where)
    _axes.frame(axes, *sides, _axes.variable_names(basin_map.result.x))
    few = len(minima) <= len(_colors.OF_MINIMA)
    stars = np.array([as_row(minimum.x) for minimum in minima]).reshape(-1, 2)
    _axes.mark(axes, stars, None, **_axes.STAR, markersize=19 if few else 9)
    if shade and steps.size:
        greys = LinearSegmentedColormap.from_list("steps", ["1", str(1 - shade)])
        ticks = MaxNLocator(6, integer=True, steps=_axes.TICK_STEPS)
        look = {"label": "steps", "ticks": ticks, "extend": "both"}
        axes.figure.colorbar(
            ScalarMappable(norm, greys), cax=axes.inset_axes(_axes.COLOR_BAR), **look
        )
    if few:
        square = {"marker": "s", "markersize": 9, "linestyle": ""}
        _colors.legend(axes, basin, basin, square, square | {"color": _axes.GREY})
    return axes


def _edges(middles: np.ndarray) -> tuple[float, float]:
    """Where the pixels with these middles begin and end."""
    half = (middles[-1] - middles[0]) / (len(middles) - 1) / 2
    return middles[0] - half, middles[-1] + half
