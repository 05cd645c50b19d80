"""Clear errors for bad numbers: every scalar argument of the library is checked here."""

import math
import operator
from collections.abc import Iterable
from typing import Any

from jax.core import Tracer

_INT32_MAX = 2**31 - 1


def in_range(
    name: str,
    value: Any,
    low: float = -math.inf,
    high: float = math.inf,
    *,
    open_high: bool = False,
) -> Any:
    """`value` as a float, or an error unless it is finite and low <= value <= high.

    `open_high` excludes the upper end. Tracers pass unchecked: their value is known only
    at run time, and jitting over a hyperparameter must keep working.
    """
    if isinstance(value, Tracer):
        return value
    allowed = f"[{low:g}, {high:g}{')' if open_high else ']'}"
    try:
        if isinstance(value, str):
            raise TypeError
        number = float(value)
    except (TypeError, ValueError):
        raise TypeError(
            f"{name} must be a real number in {allowed}, got {value!r} of type "
            f"{type(value).__name__}"
        ) from None
    below = number < high if open_high else number <= high
    if not (math.isfinite(number) and number >= low and below):
        raise ValueError(f"{name} must be a finite number in {allowed}, got {value!r}")
    return number


def integer(name: str, value: Any, low: int) -> int:
    """`value` as an int from `low` to the largest int32, which counts steps, or an error."""
    try:
        if isinstance(value, bool):
            raise TypeError
        number = operator.index(value)
    except TypeError:
        raise TypeError(
            f"{name} must be an integer >= {low}, got {value!r} of type {type(value).__name__}"
        ) from None
    if number < low:
        raise ValueError(f"{name} must be an integer >= {low}, got {value!r}")
    if number > _INT32_MAX:
        raise ValueError(f"{name} must be an integer <= 2**31 - 1, got {value!r}")
    return number


def one_of(name: str, value: Any, allowed: Iterable[str], *, or_else: str = "") -> None:
    """Raise unless `value` is among the `allowed` words."""
    if value not in (allowed := tuple(allowed)):
        words = ", ".join(map(repr, allowed)) + (or_else and f" or {or_else}")
        raise ValueError(f"{name} must be one of {words}, got {value!r}")
