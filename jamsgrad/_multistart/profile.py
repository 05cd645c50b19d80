"""`profile`: how the lowest value rises as one parameter is held elsewhere."""

import warnings
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Unpack

import jax
import numpy as np
import optax
from jax import lax
from jax.sharding import Mesh

from jamsgrad import _check, _names
from jamsgrad._minima.minimum import Minimum
from jamsgrad._minima.profile import Curve, Profile
from jamsgrad._multistart.multistart import multistart
from jamsgrad._multistart.starts import sample_starts
from jamsgrad._search import bounds as _bounds
from jamsgrad._search.minimize import StopOptions
from jamsgrad._tree import PRNGKey, Tree, as_row, as_rows, as_tree, as_vector, names

_REACH = 1.5  # of the step to the rise that the curvature promises: how far the first points lie
_WIDER = 6  # times at most the points are spread twice as far
_CLOSER = 2  # times they are gathered around the ends of the interval


@_names.our_names(_names.OF_SEARCHES)
def profile(
    fun: Callable[..., Tree],
    minimum: Minimum,
    which: str | int,
    bounds: Tree,
    optimizer: optax.GradientTransformation,
    *,
    key: PRNGKey,
    rise: float = 1.92,
    n_points: int = 16,
    n_starts: int = 4,
    args: tuple[Tree, ...] = (),
    lanes: int | None = None,
    mesh: Mesh | None = None,
    **stop: Unpack[StopOptions],
) -> Profile:
    r"""Hold one parameter at several values, search all others, and see how the minimum rises.

    .. math:: p(a) = \min_{x : x_i = a} f(x), \qquad
              \text{interval} = \{a : p(a) \le p(\hat x_i) + \text{rise}\}

    Where f is a negative log likelihood, or half a chi-square, that is the profile likelihood. Its
    interval holds also where f is no parabola, unlike the one of a standard error: a rise of 1.92
    is for 95 %, 0.5 for 68 %.

    The points of a profile are searched together, by one `multistart` with its finish. First they
    are spread about the minimum, as far as its curvature says, and further where the value has not
    risen enough; then they are gathered around the ends of the interval.

    Args:
      fun: the objective, `fun(x, *args)`, as for `multistart`.
      minimum: one of its `minima`, from which the profile starts: the lowest one, usually.
      which: the parameter: its name as in a summary, such as "rate" or "x[0]", or its number.
      bounds: the box, in any of the forms of `minimize`; finite where others are searched.
      optimizer: any optax transformation that leaves a parameter alone whose gradient is 0.
      key: a key of `jax.random`, from which the starts of the others are drawn.
      rise: how far the value may rise, above 0, in the unit of `fun`.
      n_points: how many values of the parameter are searched together, at least 4.
      n_starts: how many searches for each, at least 1: one from the minimum, others drawn.
      args: further arguments of `fun`, trees of arrays.
      lanes: as in `multistart`.
      mesh: as in `multistart`.
      **stop: `max_steps`, `gtol`, `ftol`, `xtol` and `patience`, as in `minimize`.

    Returns:
      A `Profile`, which `jamsgrad.plots.profile` draws.

    Raises:
      ValueError: if there is no such parameter, the minimum is outside the bounds, the parameter is
        fixed, an option is out of its range, or the optimizer moves the parameter.
      TypeError: if `minimum` is none, or another argument has another type.

    Warns:
      UserWarning: if a lower value is found on the way. The minimum was none, then.

    Example:
      >>> import jax
      >>> import jax.numpy as jnp
      >>> import jamsgrad
      >>> def fun(x):  # a narrow valley: a alone is known much less well than with b held
      ...     return 50 * (x["a"] - x["b"]) ** 2 + x["a"] ** 2 / 2
      >>> box, optimizer = ({"a": -9.0, "b": -9.0}, {"a": 9.0, "b": 9.0}), jamsgrad.amsgrad(0.3)
      >>> found = jamsgrad.multistart(
      ...     fun, box, optimizer, key=jax.random.key(0), n_starts=16)
      >>> seen = jamsgrad.profile(
      ...     fun, found.minima[0], "a", box, optimizer, key=jax.random.key(0), rise=0.5)
      >>> print("{} from {:.2f} to {:.2f}".format(seen.name, *seen.interval))
      a from -1.00 to 1.00

    References:
      Venzon and Moolgavkar, A method for computing profile-likelihood-based confidence intervals,
      Applied Statistics 37, 1988. Raue et al., Structural and practical identifiability analysis,
      Bioinformatics 25, 2009.
    """
    if not isinstance(minimum, Minimum):
        raise TypeError(f"minimum must be one of the minima of a result, got {minimum!r}")
    if not (rise := _check.in_range("rise", rise, 0)):
        raise ValueError("rise must be above 0, got 0")
    n_points = _check.integer("n_points", n_points, 4)
    n_starts = _check.integer("n_starts", n_starts, 1)
    best, i = as_row(minimum.x), _number_of(which, minimum.x)
    box = _bounds.parse(bounds, jax.tree.map(np.asarray, minimum.x))
    _bounds.check_inside(minimum.x, box, "minimum.x")
    low, high = (end[i] for end in _bounds.end_rows(box, best.size))
    name = names(minimum.x)[i]
    if low == high:
        raise ValueError(f"{name} is fixed: both its bounds are {low:g}")
    starts = np.tile(best, (n_starts, n_points, 1))
    if n_starts > 1:
        drawn = as_rows(sample_starts(key, (n_starts - 1) * n_points, box))
        starts[1:] = drawn.reshape(starts[1:].shape)
    search = partial(
        multistart, Held(fun, i), box, optimizer, args=args, lanes=lanes, mesh=mesh, **stop
    )

    def lowest(at: np.ndarray) -> np.ndarray:
        """For each value of the parameter the lowest value of fun, and x, in a row."""
        starts[..., i] = at
        found = search(starts=as_tree(starts.reshape(-1, best.size), minimum.x))
        rows = as_rows(found.x)
        if (rows[:, i] != as_rows(found.starts)[:, i]).any():
            raise ValueError(
                f"the optimizer moves {name}, although its gradient is 0: leave out weight decay "
                "and noise"
            )
        rows = np.column_stack([found.fun, rows]).reshape(n_starts, n_points, -1)
        first = np.where(np.isfinite(rows[..., 0]), rows[..., 0], np.inf).argmin(axis=0)
        return rows[first, np.arange(n_points)]

    curve = Curve(1 + i, np.append(minimum.fun, best), rise)
    parts = np.arange(1, n_points // 2 + 1), np.arange(1, n_points - n_points // 2 + 1)
    reach = _first_reach(minimum, i, rise, high - low)
    for _ in range(_WIDER):
        below, above = (
            best[i] + side * reach * k / k[-1] for side, k in zip((-1, 1), parts, strict=True)
        )
        curve.add(lowest(np.clip(np.append(below, above), low, high)))
        if all(curve.is_known(side, end) for side, end in ((-1, low), (1, high))):
            break
        reach *= 2
    for _ in range(_CLOSER):
        gaps = [(curve.gap(side), k) for side, k in zip((-1, 1), parts, strict=True)]
        curve.add(lowest(np.concatenate([a + (b - a) * k / (k[-1] + 1) for (a, b), k in gaps])))
    fun_found = curve.rows[:, 0].min()
    if fun_found < minimum.fun - 1e-6 * rise:
        warnings.warn(
            f"the value {fun_found:g}, lower than that of the minimum, {minimum.fun:g}, is found "
            "on the way: search again with more starts, and profile the lowest minimum",
            stacklevel=2,
        )
    return Profile(
        name=name,
        at=curve.rows[:, 1 + i],
        fun=curve.rows[:, 0],
        x=as_tree(curve.rows[:, 1:], minimum.x),
        lowest=minimum.fun,
        rise=rise,
        interval=(curve.crossing(-1, low), curve.crossing(1, high)),
    )


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Held:
    """An objective whose gradient is 0 in one number of x, so that searches leave that as it is."""

    fun: Callable[..., Tree]
    which: int = field(metadata={"static": True})

    def __call__(self, x: Tree, *args: Tree) -> Tree:
        """The value at x."""
        row = as_vector(x)
        row = row.at[self.which].set(lax.stop_gradient(row[self.which]))
        return self.fun(as_tree(row, x), *args)


def _first_reach(minimum: Minimum, i: int, rise: float, width: float) -> float:
    """How far from the minimum the first points lie, by its curvature, or by the box."""
    try:
        error = as_row(minimum.standard_errors())[i]
    except ValueError:
        error = np.nan
    reach = _REACH * error * np.sqrt(2 * rise)
    if np.isfinite(reach) and reach > 0:
        return float(reach)
    x = abs(as_row(minimum.x)[i])
    return float(width / 4 if np.isfinite(width) else max(x, 1.0))


def _number_of(which: Any, x: Tree) -> int:
    """The number of a parameter, given by its name or its number."""
    known = names(x)
    if isinstance(which, str):
        if which not in known:
            raise ValueError(f"which = {which!r} is none of the parameters: {', '.join(known)}")
        return known.index(which)
    i = _check.integer("which", which, 0)
    if i >= len(known):
        raise ValueError(f"which must be below {len(known)}, or a name, got {i}")
    return i
