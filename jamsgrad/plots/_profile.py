"""How the lowest value rises as one parameter is held elsewhere."""

import numpy as np
from matplotlib.axes import Axes

from jamsgrad._minima.profile import Profile
from jamsgrad.plots import _axes


def profile(profile: Profile, ax: Axes | None = None) -> Axes:
    """Draw a profile: the value above the minimum, its allowed rise, and the interval.

    Only the part of it is shown that rises up to three times as far as allowed.

    Args:
      profile: what `jamsgrad.profile` returned.
      ax: axes to draw in; None for a new figure.

    Returns:
      The axes.

    Raises:
      TypeError: if `profile` is none.
      ValueError: if `ax` is three-dimensional.

    Example:
      >>> import jax
      >>> import jamsgrad
      >>> bowl, optimizer = jamsgrad.problems.bowl, jamsgrad.amsgrad(0.1)
      >>> found = jamsgrad.multistart(
      ...     bowl.fun, bowl.bounds, optimizer, key=jax.random.key(0), n_starts=16)
      >>> seen = jamsgrad.profile(
      ...     bowl.fun, found.minima[0], 0, bowl.bounds, optimizer, key=jax.random.key(0), rise=0.1)
      >>> jamsgrad.plots.profile(seen).get_xlabel()
      'x[0]'

    References:
      Raue et al., Structural and practical identifiability analysis, Bioinformatics 25, 2009.
    """
    seen = _axes.checked(profile, Profile)
    axes = _axes.axes_for(ax)
    above = seen.fun - seen.lowest
    shown = above <= 3 * seen.rise
    low, high = (
        end if np.isfinite(end) else at
        for end, at in zip(seen.interval, seen.at[shown][[0, -1]], strict=True)
    )
    axes.axvspan(low, high, color=_axes.MINIMA[0], alpha=0.12, linewidth=0)
    axes.axhline(seen.rise, color="0.4", linestyle="--", linewidth=1, label=f"rise {seen.rise:.3g}")
    label = "others searched again"
    axes.plot(seen.at[shown], above[shown], ".-", color=_axes.MINIMA[0], label=label)
    lowest = seen.at[np.argmin(np.abs(above))], 0.0
    _axes.mark(axes, np.array([lowest]), "minimum", **_axes.STAR | {"markersize": 13})
    axes.set(xlabel=seen.name, ylabel="$f(x)$ above the minimum")
    axes.locator_params(nbins=6)
    axes.margins(x=0.02)
    axes.grid(**_axes.GRID)
    _axes.legend(axes, ncols=2)
    return axes
