"""How the values of searches fell."""

import numpy as np
from matplotlib.axes import Axes

from jamsgrad.plots import _axes
from jamsgrad.plots._trajectories import Results, recorded, title


def convergence(results: Results, ax: Axes | None = None, *, minimum: float = 0.0) -> Axes:
    """Draw how the value fell, step by step.

    Args:
      results: a search, or several as a mapping from name to search; of any number of variables.
        Points alone have no values to draw.
      ax: axes to draw in; None for a new figure.
      minimum: what to subtract from the values, such as `problem.minimum`.

    Returns:
      The axes; their y is logarithmic where the differences are positive and span two decades.

    Raises:
      ValueError: if a search was not recorded, has no values or is a batch of them, there is none,
        or `ax` is three-dimensional.
      TypeError: if a search is none of these, such as a list of several.

    Example:
      >>> import jax.numpy as jnp
      >>> from jamsgrad import amsgrad, minimize, plots
      >>> result = minimize(lambda x: jnp.sum(x**2), jnp.ones(3), amsgrad(0.1), record_every=1)
      >>> plots.convergence(result).get_yscale()
      'log'
    """
    searches = recorded(results)
    drawn: list[np.ndarray] = []
    for name, search in searches.items():
        if search.fun is None:
            raise ValueError(f"{title(name)} has points but no values: give its Result")
        drawn.append(search.fun - minimum)
    axes = _axes.axes_for(ax)
    lines = zip(searches.items(), drawn, _axes.line_styles(), strict=False)
    for i, ((name, search), values, style) in enumerate(lines):
        every = max(len(drawn), len(values) // 8)
        marks = i * every // len(drawn), every  # each line's at other steps
        axes.plot(search.step, values, label=name, markevery=marks, **style)
    values = np.concatenate(drawn)
    if _axes.log_range(values[np.isfinite(values)], decades=2) is not None:
        axes.set_yscale("log", nonpositive="mask")
    axes.set(xlabel="step", ylabel=_axes.value_label(minimum))
    axes.grid(alpha=0.3)
    _axes.legend(axes)
    return axes
