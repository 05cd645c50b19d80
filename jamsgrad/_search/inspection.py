"""What the program of an objective tells before it runs: reads past an end, and no derivative."""

import warnings
from collections.abc import Callable, Iterator
from typing import Any

import jax
import numpy as np
from jax.core import Tracer

from jamsgrad._jit import inner_programs
from jamsgrad._tree import Tree

_MOST = 4096  # numbers in an array of indices
_NO_DERIVATIVE = (
    "no derivative of fun reaches x, so that its gradient is 0 everywhere and a search ends where "
    "it begins: round, floor, argmax, astype(int) and lax.stop_gradient have none, and neither has "
    "a fun that does not use x"
)


def inspect(program: Any, x: Tree) -> None:
    """Look at the program of ((value, aux), gradient), a `ClosedJaxpr`, of `fun` at x.

    Raises:
      IndexError: if it reads an entry that an array does not have: JAX would read the last one.

    Warns:
      UserWarning: if no derivative reaches x.
    """
    for shape, axis, index in _reads_past_the_end(program, {}):
        raise IndexError(
            f"fun reads index {index} of an axis of size {shape[axis]}, in an array of shape "
            f"{shape}: JAX would read its last entry instead. x has the shape "
            f"{jax.tree.map(np.shape, x)}, from x0 or the bounds; two variables need bounds such "
            "as ([-5, -5], [5, 5])"
        )
    gradient = program.jaxpr.outvars[-len(jax.tree.leaves(x)) :]
    if all(_is_zero(program.jaxpr, var) for var in gradient):
        warnings.warn(_NO_DERIVATIVE, stacklevel=2)


def _reads_past_the_end(program: Any, known: dict) -> Iterator[tuple[tuple[int, ...], int, int]]:
    """The (shape, axis, index) of reads whose index is a constant past an end of the array.

    `known` are the variables with known values. It grows by those that follow from them, as far as
    indices are made by the usual few operations. Data are not looked at: indices are few integers.
    """
    if hasattr(program, "consts"):
        known |= dict(zip(program.jaxpr.constvars, program.consts, strict=True))
        program = program.jaxpr

    def value(var: Any) -> np.ndarray | None:
        found: Any = var.val if hasattr(var, "val") else known.get(var)
        small = isinstance(found, int) or (
            hasattr(found, "dtype")
            and getattr(found.dtype, "kind", "") in "iub"
            and found.size <= _MOST
            and not isinstance(found, Tracer)
        )
        return np.asarray(found) if small else None

    for equation in program.eqns:
        name, params, operands = equation.primitive.name, equation.params, equation.invars
        shape = operands[0].aval.shape if operands else ()
        if name == "dynamic_slice":
            for axis, (var, size) in enumerate(
                zip(operands[1:], params["slice_sizes"], strict=True)
            ):
                yield from _past(shape, axis, value(var), size)
        elif name == "gather" and "PROMISE_IN_BOUNDS" in str(params["mode"]):
            indices = value(operands[1])
            for i, axis in enumerate(params["dimension_numbers"].start_index_map):
                rows = None if indices is None else indices[..., i]
                yield from _past(shape, axis, rows, params["slice_sizes"][axis])
        for inner in inner_programs(equation):
            inside = {}
            if name in ("jit", "pjit"):
                inside |= dict(zip(inner.jaxpr.invars, map(value, operands), strict=True))
            yield from _reads_past_the_end(inner, inside)
            if name in ("jit", "pjit"):
                ends = inner.jaxpr.outvars
                results = [var.val if hasattr(var, "val") else inside.get(var) for var in ends]
                known |= dict(zip(equation.outvars, results, strict=True))
        if name in _FOLDS and all(value(var) is not None for var in operands):
            known[equation.outvars[0]] = _FOLDS[name](params, *map(value, operands))


def _past(
    shape: tuple[int, ...], axis: int, indices: np.ndarray | None, size: int
) -> Iterator[tuple[tuple[int, ...], int, int]]:
    """The first read of so many entries along an axis that passes an end of it."""
    if indices is not None and indices.size:
        if indices.max() + size > shape[axis]:
            yield shape, axis, int(indices.max())
        elif indices.min() < 0:
            yield shape, axis, int(indices.min()) - shape[axis]  # as it was written


def _is_zero(program: Any, var: Any) -> bool:
    """Whether an output is zeros by its making."""
    if hasattr(var, "val"):
        return not np.any(var.val)
    (made,) = [e for e in program.eqns if var in e.outvars] or [None]
    return (
        made is not None
        and made.primitive.name == "broadcast_in_dim"
        and (hasattr(made.invars[0], "val") and not np.any(made.invars[0].val))
    )


def _broadcast(params: dict, a: np.ndarray, *_: np.ndarray) -> np.ndarray:
    shape = params["shape"]
    at = [1] * len(shape)
    for axis, size in zip(params["broadcast_dimensions"], a.shape, strict=True):
        at[axis] = size
    return np.broadcast_to(a.reshape(at), shape)


def _iota(params: dict) -> np.ndarray:
    numbers = np.arange(params["shape"][params["dimension"]])
    rest = len(params["shape"]) - params["dimension"] - 1
    return np.broadcast_to(numbers.reshape(-1, *[1] * rest), params["shape"])


# What `jnp` makes of an index, in NumPy. An operation that is missing hides a read, no more.
_FOLDS: dict[str, Callable[..., np.ndarray]] = {
    "lt": lambda _, a, b: np.less(a, b),
    "add": lambda _, a, b: np.add(a, b),
    "sub": lambda _, a, b: np.subtract(a, b),
    "mul": lambda _, a, b: np.multiply(a, b),
    "neg": lambda _, a: np.negative(a),
    "select_n": lambda _, which, *cases: np.where(which, cases[-1], cases[0]),
    "broadcast_in_dim": _broadcast,
    "convert_element_type": lambda _, a: a,
    "iota": _iota,
    "reshape": lambda params, a: a.reshape(params["new_sizes"]),
    "squeeze": lambda params, a: np.squeeze(a, params["dimensions"]),
    "concatenate": lambda params, *parts: np.concatenate(parts, params["dimension"]),
}
