"""Equal optimizers are one object, so that what was compiled for the one serves the other."""

import inspect
from collections.abc import Callable
from functools import lru_cache, wraps
from typing import Any, ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")

_FEW = 32  # optimizers kept, and with them their schedules


def one_if_equal(make: Callable[P, T]) -> Callable[P, T]:
    """Let a function return the same object when it is called with equal arguments.

    Arguments that have no hash, such as arrays and traced values, make a new one each time.
    """
    signature = inspect.signature(make)

    @lru_cache(maxsize=_FEW, typed=True)
    def remembered(*arguments: Any) -> T:
        return make(**dict(zip(signature.parameters, arguments, strict=True)))  # pyright: ignore[reportCallIssue]

    @wraps(make)
    def one(*args: P.args, **kwargs: P.kwargs) -> T:
        try:
            bound = signature.bind(*args, **kwargs)
            bound.apply_defaults()
            hash(tuple(bound.arguments.values()))
        except TypeError:
            return make(*args, **kwargs)
        return remembered(*bound.arguments.values())

    return one
