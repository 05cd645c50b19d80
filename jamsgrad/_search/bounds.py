"""Bounds: the one place where they are understood, checked and kept."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer

from jamsgrad import _check
from jamsgrad._check import nan_is_data
from jamsgrad._tree import as_row, leads_out

A_TUPLE = "a tuple of bounds is (lower, upper): pairs (low, high) go in a list"


class Bounds(NamedTuple):
    """A box: `lower` and `upper` are trees like x, each leaf of the shape and dtype of x's."""

    lower: Any
    upper: Any


@nan_is_data()  # an open end is infinite
def parse(bounds: Any, x: Any, *, finite: bool = False) -> Bounds | None:
    """The box meant by `bounds`, broadcast to `x`.

    Args:
      bounds: None; a tuple (lower, upper) of trees that broadcast to x, whose leaves are numbers
        or arrays; an array or a list of shape (n, 2) for an x of shape (n,), in which None is no
        bound; or a `scipy.optimize.Bounds`.
      x: the point, or a tree of `jax.ShapeDtypeStruct`.
      finite: whether infinite ends are refused.

    Raises:
      ValueError: if the shapes do not fit, a bound is NaN, or a lower bound is above its upper one.
      TypeError: if `bounds` is none of these, or x is complex.
    """
    if bounds is None:
        return None
    lower, upper = ends(bounds)
    box = Bounds(_broadcast("lower", lower, x), _broadcast("upper", upper, x))
    for (path, low), high in zip(
        jax.tree_util.tree_leaves_with_path(box.lower), jax.tree.leaves(box.upper), strict=True
    ):
        if jnp.iscomplexobj(low):
            raise TypeError(f"bounds need real numbers, x{_at(path)} is {low.dtype}")
        if not isinstance(low, Tracer) and not isinstance(high, Tracer):
            _check_ends(path, np.asarray(low), np.asarray(high), finite)
    return box


def box(bounds: Any, *, finite: bool = True) -> Bounds:
    """The box meant by `bounds` alone, where there is no x to broadcast to.

    Leaf by leaf, lower and upper broadcast to each other; one may be a prefix of the other's tree.
    The common dtype is floating. A list of numbers is an array, as in `parse`.

    Raises:
      ValueError: if the ends do not fit each other, or an end is infinite although all are to be
        `finite`; else as `parse`.
    """

    def is_array(end: Any) -> bool:
        return isinstance(end, list) and all(map(np.isscalar, jax.tree.leaves(end)))

    def variable(low: Any, high: Any) -> jax.ShapeDtypeStruct:
        _check.arrays("bounds", (low, high))
        with jax.numpy_dtype_promotion("standard"):  # the ends may be integers, or of two dtypes
            dtype = jnp.result_type(low, high, float)
        return jax.ShapeDtypeStruct(jnp.broadcast_shapes(jnp.shape(low), jnp.shape(high)), dtype)

    def variables(low: Any, highs: Any) -> Any:
        return jax.tree.map(lambda high: variable(low, high), highs)

    lower, upper = ends(bounds)
    try:
        lower, upper = (
            jax.tree.map(lambda e: np.asarray(e) if is_array(e) else e, end, is_leaf=is_array)
            for end in (lower, upper)
        )
        try:
            x = jax.tree.map(variables, lower, upper)
        except ValueError:
            x = jax.tree.map(variables, upper, lower)
    except (TypeError, ValueError) as error:
        raise ValueError(f"the bounds {lower!r} and {upper!r} do not fit each other") from error
    if not any(leaf.size for leaf in jax.tree.leaves(x)):
        raise ValueError(f"the bounds {lower!r} and {upper!r} hold no numbers")
    with np.errstate(over="ignore"):  # an end too large for the dtype becomes infinite
        box = parse(Bounds(lower, upper), x, finite=finite)
    assert box is not None
    return box


def plane(box: Bounds, what: str, whose: str = "") -> Bounds:
    """The finite box of two variables, lower < upper. Numbers are the ends of either variable.

    Raises:
      ValueError: if it is another box, with `what` it is needed for and `whose` bounds it has.
    """
    lower, upper = (jax.tree.map(np.asarray, end) for end in box)
    lows, highs = map(jax.tree.leaves, (lower, upper))
    numbers = isinstance(lower, np.ndarray) and lower.shape == ()
    if not numbers and sum(low.size for low in lows) != 2:
        shape = jax.tree.map(np.shape, lower)
        raise ValueError(f"{what} needs two variables, got {whose}bounds of shape {shape}")
    sides = [(low < high) & np.isfinite(high - low) for low, high in zip(lows, highs, strict=True)]
    if not all(side.all() for side in sides):
        needs = f"{what} needs finite bounds, lower < upper, got {lower} and {upper}"
        raise ValueError(f"{needs}; {A_TUPLE}")
    return Bounds(*(np.broadcast_to(end, 2) for end in (lower, upper))) if numbers else box


@nan_is_data()
def ends(bounds: Any) -> tuple[Any, Any]:
    """The lower and the upper end of `bounds` as they were given, in any of the forms."""
    if _may_be_pairs(bounds):
        raise ValueError(
            f"the tuple of bounds {bounds!r} may be pairs: {A_TUPLE}, [(low, high), ...]; lower "
            "and upper as arrays are (jnp.array(lower), jnp.array(upper)); where x itself is such "
            "a tuple, give types.SimpleNamespace(lb=lower, ub=upper)"
        )
    if isinstance(bounds, tuple) and len(bounds) == 2:
        return bounds
    if not isinstance(bounds, tuple) and hasattr(bounds, "lb") and hasattr(bounds, "ub"):
        return bounds.lb, bounds.ub
    if isinstance(bounds, list | np.ndarray | jax.Array):
        try:
            array = bounds if isinstance(bounds, jax.Array) else np.asarray(bounds)
        except ValueError:
            raise ValueError(f"bounds as a list must hold n pairs, got {bounds!r}") from None
        if array.ndim == 2 and array.shape[1] == 2:
            if array.dtype == object:  # SciPy's None, where there is no bound
                array = np.where(array == None, [-np.inf, np.inf], array).astype(float)  # noqa: E711
            return array[:, 0], array[:, 1]
        raise ValueError(f"bounds as an array must have shape (n, 2), got {array.shape}")
    raise TypeError(
        "bounds must be a tuple (lower, upper), an array of shape (n, 2) or a "
        f"scipy.optimize.Bounds, got {type(bounds).__name__}: {bounds!r}"
    )


def _may_be_pairs(bounds: Any) -> bool:
    """Whether it is a tuple, which is (lower, upper), of what may as well be pairs (low, high).

    Two lists of two numbers are the documented form of (lower, upper).
    """

    def is_number(end: Any) -> bool:
        kinds = int | float | np.generic | np.ndarray | jax.Array
        return end is None or (isinstance(end, kinds) and np.ndim(end) == 0)

    def is_pair(part: Any) -> bool:
        return type(part) in (tuple, list) and len(part) == 2 and all(map(is_number, part))

    if type(bounds) is not tuple or not bounds or not all(map(is_pair, bounds)):
        return False
    return len(bounds) != 2 or any(type(part) is tuple for part in bounds)


def check_inside(x: Any, bounds: Bounds | None, name: str = "x0") -> None:
    """Raise a ValueError if `x` is concrete and outside the bounds; it is never moved."""
    if bounds is None:
        return

    def leaf(path: Any, *given: Any) -> None:
        if any(isinstance(a, Tracer) for a in given):
            return
        value, low, high = map(np.asarray, given)
        columns = np.asarray(value.T, order="C")  # NumPy is slow with many short rows
        inside = ((columns >= low.T) & (columns <= high.T)).T
        if inside.all():
            return
        for i in map(tuple, np.argwhere(~inside)):
            index = list(map(int, i)) or ""
            hint = f"; {A_TUPLE}" if low[i] == high[i] else ""
            raise ValueError(
                f"{name}{_at(path)}{index} = {value[i]} is outside its bounds "
                f"[{low[i]}, {high[i]}]; starts are never moved silently: "
                f"jnp.clip moves them into the box{hint}"
            )

    jax.tree_util.tree_map_with_path(leaf, x, bounds.lower, bounds.upper)


def project(x: Any, bounds: Bounds | None) -> Any:
    """The point of the box nearest to `x`: the paper's projection, for a box a clip."""
    if bounds is None:
        return x
    return jax.tree.map(jnp.clip, x, bounds.lower, bounds.upper)


def projected_gradient(x: Any, grad: Any, bounds: Bounds | None) -> Any:
    """The gradient without the components whose descent would leave the box."""
    if bounds is None:
        return grad

    def leaf(x: jax.Array, g: jax.Array, low: jax.Array, high: jax.Array) -> jax.Array:
        return jnp.where(leads_out(x, g, low, high), 0, g)

    return jax.tree.map(leaf, x, grad, bounds.lower, bounds.upper)


def end_rows(bounds: Bounds | None, size: int) -> tuple[np.ndarray, np.ndarray]:
    """The ends of the box, infinite where there is none, as arrays of shape (size,)."""
    if bounds is None:
        return np.full(size, -np.inf), np.full(size, np.inf)
    return as_row(bounds.lower), as_row(bounds.upper)


def _broadcast(name: str, end: Any, x: Any) -> Any:
    """One end as a tree like `x`; `end` may be a prefix of that tree."""
    points, treedef = jax.tree.flatten(x)
    try:
        try:
            ends = treedef.flatten_up_to(end)
        except ValueError:
            prefix = jax.tree.map(lambda e, part: jax.tree.map(lambda _: e, part), end, x)
            ends = treedef.flatten_up_to(prefix)
        return treedef.unflatten(map(_end, ends, points))
    except (TypeError, ValueError) as error:
        shapes = jax.tree.map(lambda p: p.shape, x)
        text = f"the {name} bound {end!r} does not fit x of shape {shapes}"
        raise ValueError("; ".join([text, *_check.notes_of_lists(x)])) from error


def _end(end: Any, like: Any) -> Any:
    """One end with shape and dtype of x, in NumPy where it is a number: that compiles nothing."""
    if isinstance(end, jax.Array):
        return jnp.broadcast_to(jnp.asarray(end, like.dtype), like.shape)
    if (end := np.asarray(end)).dtype == object:
        raise TypeError("not a number")  # None, which NumPy would take for NaN
    with np.errstate(over="ignore"):  # an end too large for the dtype becomes infinite
        return np.broadcast_to(end.astype(like.dtype), like.shape)


def _check_ends(path: Any, low: np.ndarray, high: np.ndarray, finite: bool) -> None:
    def ends() -> str:  # to print arrays takes longer than to check them
        return f"lower {low}, upper {high}"

    if np.isnan(low).any() or np.isnan(high).any():
        raise ValueError(f"bounds of x{_at(path)} are NaN: {ends()}")
    if (low > high).any():
        raise ValueError(f"bounds of x{_at(path)} are reversed: {ends()}")
    if finite and (np.isinf(low).any() or np.isinf(high).any()):
        raise ValueError(f"starts need finite bounds, those of x{_at(path)} are not: {ends()}")


def _at(path: Any) -> str:
    return jax.tree_util.keystr(path)
