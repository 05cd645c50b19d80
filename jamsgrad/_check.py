"""Clear errors for bad arguments: numbers, words, keys, and trees of arrays."""

import contextlib
import difflib
import inspect
import math
import operator
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer

_INT32_MAX = 2**31 - 1


def in_range(
    name: str, value: Any, low: float, high: float = math.inf, *, open_high: bool = False
) -> Any:
    """`value` as a float, or an error unless it is finite and low <= value <= high.

    `open_high` excludes the upper end. Tracers pass unchecked: their value is known only
    at run time, and jitting over a hyperparameter must keep working.
    """
    if isinstance(value, Tracer):
        return value
    end = ")" if open_high else "]"
    allowed = f">= {low:g}" if high == math.inf else f"in [{low:g}, {high:g}{end}"
    expected = f"a real number {allowed}"
    try:
        number = _converted(name, expected, value, float, str, TypeError, ValueError)
    except OverflowError:
        number = math.inf
    inside = low <= number < high if open_high else low <= number <= high
    if not (math.isfinite(number) and inside):
        raise ValueError(f"{name} must be a finite number {allowed}, got {value!r}")
    return number


_COARSE = (
    "bfloat16 rounds 0.999 to 1, and float16 0.9998; keep b1 and b2 in float32, as in "
    "optax.inject_hyperparams(amsgrad, hyperparam_dtype=jnp.float32)"
)


def decay_rate(name: str, value: Any) -> None:
    """Raise unless `value` is a number in [0, 1), or traced in a dtype that can hold such."""
    if isinstance(value, Tracer):
        holds_decay_rates(name, value)
        return
    try:
        in_range(name, value, 0, 1, open_high=True)
    except ValueError as error:
        if _is_coarse(value):
            raise ValueError(f"{error}; {_COARSE}") from None
        raise


def holds_decay_rates(name: str, value: Any) -> None:
    """Raise if `value`, which is known only later, has a dtype in which 1 - b may round to 0."""
    if _is_coarse(value):
        raise TypeError(
            f"{name} must not be traced, or computed by a schedule, in {value.dtype}: {_COARSE}"
        )


def _is_coarse(value: Any) -> bool:
    dtype = getattr(value, "dtype", np.dtype(float))
    return jnp.issubdtype(dtype, jnp.floating) and jnp.finfo(dtype).bits < 32


def integer(name: str, value: Any, low: int) -> int:
    """`value` as an int from `low` to the largest int32, which counts steps, or an error."""
    number = _converted(name, f"an integer >= {low}", value, operator.index, bool, TypeError)
    if not low <= number <= _INT32_MAX:
        limit = f">= {low}" if number < low else "<= 2**31 - 1"
        raise ValueError(f"{name} must be an integer {limit}, got {value!r}")
    return number


def one_of(name: str, value: Any, allowed: Iterable[str], *, or_else: str = "") -> None:
    """Raise unless `value` is among the `allowed` words."""
    allowed = tuple(allowed)
    if not isinstance(value, str) or value not in allowed:
        words = ", ".join(map(repr, allowed)) + (or_else and f" or {or_else}")
        near = difflib.get_close_matches(value.lower(), allowed) if isinstance(value, str) else ()
        meant = f"; did you mean {near[0]!r}?" if near else ""
        raise ValueError(f"{name} must be one of {words}, got {value!r}{meant}")


def hashable(name: str, value: Any, parts: Any) -> None:
    """Raise unless the parts of `value` that a program is made of can be told from others."""
    try:
        hash(parts)
    except TypeError:
        raise TypeError(
            f"{name} must be hashable, because what was compiled for it is kept; got {value!r}"
        ) from None


def key(name: str, value: Any) -> None:
    """Raise unless `value` is one random key of JAX, of the new kind or the old."""
    with contextlib.suppress(TypeError, ValueError):
        if jax.random.key_data(value).ndim == 1:
            return
    raise TypeError(f"{name} must be one key, such as jax.random.key(0), got {value!r}")


def arrays(name: str, tree: Any, *, or_else: str = "") -> None:
    """Raise unless all leaves of the tree are arrays or numbers, and say what to do `or_else`."""
    for path, leaf in jax.tree_util.tree_leaves_with_path(tree):
        try:
            array(f"{name}{jax.tree_util.keystr(path)}", leaf)
        except TypeError as error:
            raise TypeError(f"{error}{or_else and f'; {or_else}'}") from None


def array(name: str, value: Any) -> Any:
    """The abstract value of an array or a number, or an error if JAX knows no such array."""
    fails = (TypeError, ValueError, OverflowError)
    but = jax.ShapeDtypeStruct
    if (way_out := of_torch(value)) is not None:
        raise TypeError(f"{name} must be an array or a number, it is {way_out}")
    return _converted(name, "an array or a number", value, jax.typeof, but, *fails)


def of_torch(value: Any) -> str | None:
    """What a value of torch is, and how it becomes arrays of JAX; None for another value."""
    kinds = {f"{kind.__module__}.{kind.__name__}" for kind in type(value).__mro__}
    if "torch.Tensor" in kinds:
        return "a tensor of torch: jnp.asarray(tensor.detach().cpu().numpy()) is the array"
    if "torch.nn.modules.module.Module" in kinds or inspect.isgenerator(value):  # .parameters()
        return (
            f"a {type(value).__name__}: of a model of torch give {{name: jnp.asarray("
            "p.detach().cpu().numpy()) for name, p in model.named_parameters()}"
        )
    return None


def same_type(name: str, tree: Any, like: Any, *, any_width: bool = False) -> None:
    """Raise unless the tree has the structure, the shapes and the dtypes of `like`.

    With `any_width` floating numbers may have more or fewer bits.
    """
    structure, expected = jax.tree.structure(tree), jax.tree.structure(like)
    if structure != expected:
        raise TypeError(f"{name} must have the structure {expected}, got {structure}")
    arrays(name, tree)
    tree, like = (jax.eval_shape(lambda given: given, given) for given in (tree, like))

    def fits(dtype: Any, expected: Any) -> bool:
        if not any_width:
            return dtype == expected
        real = jnp.issubdtype(expected, jnp.floating)
        return jnp.issubdtype(dtype, jnp.floating if real else jnp.complexfloating)

    found = jax.tree_util.tree_leaves_with_path(tree)
    for (path, leaf), expected in zip(found, jax.tree.leaves(like), strict=True):
        if leaf.shape != expected.shape or not fits(leaf.dtype, expected.dtype):
            raise TypeError(
                f"{name}{jax.tree_util.keystr(path)} must be {expected.dtype}"
                f"{list(expected.shape)}, got {leaf.dtype}{list(leaf.shape)}"
            )


def _converted(
    name: str, expected: str, value: Any, convert: Callable, but: type, *fails: type[Exception]
) -> Any:
    """`convert(value)`, or an error where it `fails` or where the value is of the type `but`."""
    if not isinstance(value, but):
        with contextlib.suppress(*fails):
            return convert(value)
    raise TypeError(f"{name} must be {expected}, got {value!r} of type {type(value).__name__}")


@contextlib.contextmanager
def nan_is_data() -> Iterator[None]:
    """Keep JAX from raising at values that are not finite: statuses tell of them."""
    with jax.debug_nans(False), jax.debug_infs(False):
        yield


def notes_of_lists(x: Any) -> Iterator[str]:
    """What x is, where it is a list of numbers and probably meant as an array."""
    if isinstance(x, list | tuple) and _holds_numbers(x):
        kind = type(x).__name__
        yield (
            f"x is a {kind} here, because x0, or what else gave x its shape (bounds, starts), is "
            f"one: jnp.array(x0) is the array, and (jnp.array(lower), jnp.array(upper)) its box"
        )


def _holds_numbers(x: Any) -> bool:
    """Whether it is a number, or lists and tuples of numbers."""
    return all(map(_holds_numbers, x)) if type(x) in (list, tuple) else not jnp.ndim(x)
