"""How the moments are kept: their dtypes, and how a moment is rounded when it is stored.

An exponential average changes by less than half a bfloat16 ulp per step when b is near 1, so
rounding to nearest stalls it; stochastic rounding keeps it unbiased. A running maximum has no small
increments: rounding it up costs at most one ulp, once, and never ratchets.
"""

# What JAX leaves untyped (jnp.asarray, jax.jit, jnp.finfo), and chex without stubs:
# pyright: reportUnknownMemberType=false, reportUnknownArgumentType=false
# pyright: reportUnknownVariableType=false, reportMissingTypeStubs=false

import math
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from jamsgrad._tree import Numeric

_STORABLE = ("float32", "float64", "bfloat16")
_GOLDEN = -0x61C88647  # 2^32 / golden ratio, as an int32: its multiples wrap around 2^32
_TWISTS = {
    "m": 0,
    "v": 0xFFFFFFFF,
    "p": 0x55555555,
}  # what is stored at one step has its own dither
_KEPT, _DROPPED = 0xFFFF0000, 0x0000FFFF  # the bits of a float32 that bfloat16 has, and lacks


class MomentDtypes(NamedTuple):
    """The dtype in which each moment of AMSGrad is stored.

    A bfloat16 moment takes 2 bytes per parameter instead of 4. The averages m and v are then stored
    with stochastic rounding and the maximum vhat is rounded up, so that none of them stalls. Three
    bfloat16 moments take 6 bytes; with v in float32, as below, they take 8, as much as Adam.

    The rounding follows from the step, the leaf and the element's index, so a state that is saved
    and loaded goes on in the same bits. Orbax saves it as it is. NumPy's files have no bfloat16:
    save a view, as below.

    Attributes:
      m: dtype of the first moment: "float32", "float64", "bfloat16", or None for the parameter's
        own dtype, float32 at least. For complex parameters m has the complex dtype of that
        precision. There is no complex bfloat16: m then keeps the parameter's own dtype.
      v: dtype of the second moment, as m.
      vhat: dtype of the running maximum of v, as m.

    Example:
      >>> import jax.numpy as jnp
      >>> import jamsgrad
      >>> eight_bytes = jamsgrad.MomentDtypes(m="bfloat16", v="float32", vhat="bfloat16")
      >>> state = jamsgrad.scale_by_amsgrad(moment_dtype=eight_bytes).init(jnp.zeros(3))
      >>> state.m.dtype.name, state.v.dtype.name, state.vhat.dtype.name
      ('bfloat16', 'float32', 'bfloat16')
      >>> import io
      >>> import numpy as np
      >>> file = io.BytesIO()
      >>> np.savez(file, vhat=np.asarray(state.vhat).view(np.uint16))
      >>> _ = file.seek(0)
      >>> np.load(file)["vhat"].view(jnp.bfloat16)
      array([0, 0, 0], dtype=bfloat16)
    """

    m: str | None = None
    v: str | None = None
    vhat: str | None = None


def moment_dtypes(moment_dtype: Any) -> MomentDtypes:
    """The `MomentDtypes` meant by None, by one dtype for all three, or by a `MomentDtypes`."""
    if not isinstance(moment_dtype, MomentDtypes):
        moment_dtype = MomentDtypes(moment_dtype, moment_dtype, moment_dtype)
    return MomentDtypes(*map(_storable, MomentDtypes._fields, moment_dtype))


def _storable(moment: str, dtype: Any) -> str | None:
    if dtype is None:
        return None
    try:
        name = jnp.dtype(dtype).name
    except TypeError:
        name = None
    if name not in _STORABLE:
        raise ValueError(
            f"moment_dtype of {moment} must be None or one of {', '.join(map(repr, _STORABLE))}, "
            f"got {dtype!r}: float16 overflows at a gradient of 256, 8-bit codes lose small v"
        )
    if name == "float64" and not jax.config.read("jax_enable_x64"):
        raise ValueError(f"moment_dtype of {moment} is 'float64', which needs jax_enable_x64")
    return name


def zeros_like(p: jax.Array | jax.ShapeDtypeStruct, stored: str | None) -> jax.Array:
    """A moment of zeros for the parameter `p`, in its sharding; `p` may be abstract.

    `where` and not `jnp.zeros_like`: under jit only a result that depends on `p` is sharded as `p`.
    """
    own = stored is None or (stored == "bfloat16" and jnp.iscomplexobj(p))
    dtype = _like(p.dtype, widest(p) if own else jnp.dtype(stored))
    if isinstance(p, jax.ShapeDtypeStruct):
        return jnp.zeros_like(p, dtype)
    return jnp.where(False, p, 0).astype(dtype)


def widest(*arrays: jax.Array | jax.ShapeDtypeStruct) -> jnp.dtype:
    """The real dtype, float32 at least, that holds the numbers of all `arrays`."""
    double = any(jnp.finfo(x.dtype).bits == 64 for x in arrays)
    return jnp.dtype("float64" if double else "float32")


def exact(count: Any) -> jax.Array:
    """A count from which schedules compute in the widest precision enabled: int64 gives float64."""
    return count.astype(jnp.int64) if jax.config.read("jax_enable_x64") else count


def widen(x: Any, dtype: jnp.dtype) -> jax.Array:
    """`x` in the real `dtype`, or in the complex dtype made of two such numbers."""
    x = jnp.asarray(x)
    return x.astype(_like(x.dtype, dtype))


def _like(dtype: jnp.dtype, real: jnp.dtype) -> jnp.dtype:
    """`real`, made complex if `dtype` is."""
    if jnp.issubdtype(dtype, jnp.complexfloating):
        return jnp.dtype("complex128" if real == "float64" else "complex64")
    return real


def store_average(
    x: jax.Array, dtype: jnp.dtype, count: jax.Array, leaf: int, what: Literal["m", "v", "p"]
) -> jax.Array:
    """Round an average, or a parameter, to `dtype`, stochastically to bfloat16: E[stored] = x.

    The dither depends only on the step, the number of the leaf, what it is and the element's index.
    So no key is carried, and a run that is resumed or sharded repeats the same bits. Under `vmap`
    all replicas of one state share their dither.
    """
    if dtype != jnp.bfloat16:
        return x.astype(dtype)
    seed: jax.Array = _seed(count, leaf)
    return _dithered(x, seed ^ jnp.uint32(_TWISTS[what]))


def dither(x: jax.Array, count: jax.Array) -> jax.Array:
    """A part of an ulp of x, from -1/2 to 1/2, another one at every count.

    Added to a small increment of x it makes the rounding of their sum unbiased. Without it a
    million increments of 1e-7 drift by a percent in float32. The multiples of the golden ratio
    spread more evenly than random numbers.
    """
    word = jnp.dtype(f"uint{jnp.finfo(x.dtype).bits}")
    exponent = np.asarray(np.inf, x.dtype).view(word)  # NumPy's, which jax_debug_infs ignores
    power = lax.bitcast_convert_type(lax.bitcast_convert_type(x, word) & exponent, x.dtype)
    turns = count.astype(jnp.int32) * jnp.int32(_GOLDEN)
    return turns.astype(x.dtype) * (2.0**-32 * float(jnp.finfo(x.dtype).eps)) * power


def store_max(x: jax.Array, dtype: Any) -> jax.Array:
    """Round a maximum x >= 0 up to `dtype`: stored >= x, and a stored value stores as itself."""
    narrow = jnp.dtype("float32") if dtype == jnp.bfloat16 else dtype
    if jnp.finfo(narrow).bits < jnp.finfo(x.dtype).bits:
        nearest = x.astype(narrow)
        up = jnp.nextafter(nearest, np.asarray(np.inf, narrow))
        x = jnp.where(nearest.astype(x.dtype) < x, up, nearest)
    if dtype != jnp.bfloat16:
        return x.astype(dtype)
    return _truncate(x, jnp.uint32(_DROPPED))


@jax.custom_jvp
def _truncate(x: jax.Array, addend: jax.Array) -> jax.Array:
    """Add to the 16 bits that bfloat16 lacks, then drop them; its derivative is the identity's.

    In integers, because XLA may keep excess precision across bare casts (jax issues 6283, 23007).
    """
    bits = lax.bitcast_convert_type(x.astype(jnp.float32), jnp.uint32)
    # A NaN must not carry into its sign: one minimum stops the negative ones, one the positive.
    bits = jnp.minimum(bits, jnp.uint32(_KEPT))
    signed = jnp.minimum(lax.bitcast_convert_type(bits, jnp.int32), jnp.int32(0x7FFF0000))
    kept = (lax.bitcast_convert_type(signed, jnp.uint32) + addend) & jnp.uint32(_KEPT)
    return lax.bitcast_convert_type(kept, jnp.float32).astype(jnp.bfloat16)


@_truncate.defjvp
def _truncate_jvp(
    primals: tuple[jax.Array, jax.Array], tangents: tuple[jax.Array, jax.Array]
) -> tuple[jax.Array, jax.Array]:
    return _truncate(*primals), tangents[0].astype(jnp.bfloat16)


# Two nested jits: leaves of one shape are then traced and lowered once.
@jax.jit
def _seed(count: jax.Array, leaf: Numeric) -> jax.Array:
    """32 hashed bits for a step and a leaf.

    The division has no other purpose than to be one: XLA on CPUs keeps divisions out of the loops
    that use them. Without it the number of each leaf is a constant inside its loops, which are then
    compiled for each leaf anew, even for 400 leaves of the same shape.
    """
    steps = _hash32(count.astype(jnp.uint32) + jnp.uint32(1))
    return lax.div(_hash32(steps + jnp.asarray(leaf, jnp.uint32)), jnp.uint32(3))


@jax.jit
def _dithered(x: jax.Array, seed: jax.Array) -> jax.Array:
    """Round to bfloat16 with 16 hashed bits per element, 13 times faster than drawn with a key.

    On CPUs the hashing is the cost of an update beyond its memory traffic. Most of it is the index
    of an element of a long one-dimensional array, which LLVM builds number by number.
    """
    index = jnp.zeros(x.shape, jnp.uint32)
    for axis in range(x.ndim):  # no reshape: it would break the sharding of the elements
        stride = jnp.uint32(math.prod(x.shape[axis + 1 :]) & 0xFFFFFFFF)
        index += lax.broadcasted_iota(jnp.uint32, x.shape, axis) * stride
    return _truncate(x, _hash32(index + seed) >> 16)


def _hash32(x: jax.Array) -> jax.Array:
    """lowbias32 of Chris Wellons' hash-prospector (2018)."""
    x = (x ^ (x >> 16)) * jnp.uint32(0x7FEB352D)
    x = (x ^ (x >> 15)) * jnp.uint32(0x846CA68B)
    return x ^ (x >> 16)
