"""AMSGrad as Reddi, Kale and Kumar wrote it (ICLR 2018, Algorithm 2): the algorithm, nothing else.

    m_t    = b1_t m_{t-1} + (1 - b1_t) g_t
    v_t    = b2_t v_{t-1} + (1 - b2_t) |g_t|^2
    vhat_t = max(vhat_{t-1}, v_t)
    u_t    = m_t / (sqrt(vhat_t) + eps)             eps = 0 in the paper
    x_t    = Proj_F(x_{t-1} - alpha_t u_t)          in aliases.py and _search/bounds.py

g_t is the gradient at x_{t-1}; m, v and vhat start at 0. `_leaf` has the first four lines.
"""

# What JAX leaves untyped (jnp.asarray, jax.tree, jnp.finfo), and optax, which has no stubs:
# pyright: reportUnknownMemberType=false, reportUnknownArgumentType=false
# pyright: reportUnknownVariableType=false, reportMissingTypeStubs=false

from collections.abc import Mapping
from functools import partial
from types import MappingProxyType
from typing import Any, Literal, NamedTuple, TypeAlias, cast

import jax
import jax.numpy as jnp
import optax
from jax import lax
from jax.core import Tracer

from jamsgrad import _check, _names
from jamsgrad._optimizer import leaves, rounding
from jamsgrad._optimizer.equal import one_if_equal
from jamsgrad._optimizer.rounding import MomentDtypes
from jamsgrad._optimizer.typed import Optimizer
from jamsgrad._tree import Numeric, Tree, as_float

ConventionName: TypeAlias = Literal["paper", "optax", "pytorch", "keras"]

_HEADROOM = 0.98  # of the largest number, as v and vhat in bfloat16 round up by 0.8 % at most


class Convention(NamedTuple):
    """Where AMSGrad corrects the bias of its moments, which libraries do not agree on.

    With c1 = 1 - prod(b1_i) and c2 = 1 - prod(b2_i), the sums of the weights in m and v:

    | `debias_v`     | maximum over | denominator                                              |
    |----------------|--------------|----------------------------------------------------------|
    | `"never"`      | v            | sqrt(vhat + eps_root) + eps                              |
    | `"before_max"` | v / c2       | sqrt(vhat + eps_root) + eps                              |
    | `"after_max"`  | v            | sqrt(vhat / c2 + eps_root) + eps, or with `eps_hat`      |
    |                |              | (sqrt(vhat + eps_root) + eps) / sqrt(c2)                 |

    AMSGrad exists because its denominator never shrinks. That holds for `"never"` and
    `"before_max"`; with `"after_max"` c2 grows after the maximum was taken, and it does not.

    Attributes:
      debias_m: whether the numerator is m / c1 instead of m.
      debias_v: "never", "before_max" or "after_max".
      eps_hat: whether eps joins sqrt(vhat) before the division by sqrt(c2); needs "after_max".
      eps: the eps that is used when the caller gives none.
      split_complex: whether a complex parameter is two real ones: v and vhat then are complex, and
        hold those of the real parts and those of the imaginary ones. Else both are real, of |g|^2.

    Example:
      >>> import jamsgrad
      >>> jamsgrad.conventions["keras"].eps_hat
      True
      >>> mixed = jamsgrad.Convention(debias_m=True, debias_v="never")
      >>> optimizer = jamsgrad.amsgrad(1e-3, convention=mixed)
    """

    debias_m: bool
    debias_v: Literal["never", "before_max", "after_max"]
    eps_hat: bool = False
    eps: float = 1e-8
    split_complex: bool = False


conventions: Mapping[ConventionName, Convention] = MappingProxyType(
    {
        "paper": Convention(debias_m=False, debias_v="never"),
        "optax": Convention(debias_m=True, debias_v="before_max"),
        "pytorch": Convention(debias_m=True, debias_v="after_max", split_complex=True),
        "keras": Convention(debias_m=True, debias_v="after_max", eps_hat=True, eps=1e-7),
    }
)


class ScaleByAmsgradState(NamedTuple):
    """The state of `scale_by_amsgrad`.

    Attributes:
      count: steps taken so far, int32 scalar.
      m: average of the gradients, shaped like the parameters.
      v: average of their squared magnitudes, shaped like the parameters, and real (but see
        `Convention.split_complex`).
      vhat: the largest v (v / c2 with "before_max") so far, in the same form.
      m_weight: c1, the sum of the weights in m, scalar.
      v_weight: c2, the sum of the weights in v, scalar.

    Example:
      >>> import jax.numpy as jnp
      >>> import optax
      >>> import jamsgrad
      >>> state = jamsgrad.amsgrad(0.1).init(jnp.ones(2))
      >>> optax.tree_utils.tree_get(state, "vhat").shape
      (2,)
    """

    count: jax.Array  # pyright: ignore[reportIncompatibleMethodOverride] optax's name for it
    m: Tree
    v: Tree
    vhat: Tree
    m_weight: jax.Array
    v_weight: jax.Array


@_names.our_names(_names.OF_OPTIMIZERS)
@one_if_equal
def scale_by_amsgrad(
    b1: optax.ScalarOrSchedule = 0.9,
    b2: optax.ScalarOrSchedule = 0.999,
    eps: Numeric | None = None,
    eps_root: Numeric = 0.0,
    *,
    convention: ConventionName | Convention = "paper",
    moment_dtype: str | MomentDtypes | None = None,
) -> Optimizer[ScaleByAmsgradState]:
    r"""Scale gradients by the AMSGrad rule, without a learning rate and without its sign.

    .. math::
      m_t &= \beta_{1,t} m_{t-1} + (1 - \beta_{1,t}) g_t \\
      v_t &= \beta_{2,t} v_{t-1} + (1 - \beta_{2,t}) |g_t|^2 \\
      \hat v_t &= \max(\hat v_{t-1}, v_t) \\
      u_t &= m_t / (\sqrt{\hat v_t} + \epsilon)

    A coordinate whose vhat (plus eps_root) is 0 has seen no gradient yet: its update is 0 for any
    eps, 0 included, and so is its derivative. In float32 that holds for gradients whose square
    underflows, below about 1e-19 / sqrt(1 - b2).

    A finite gradient whose square overflows, above 1.8e19 in float32, is clipped to where it does
    not: v = inf would never leave the maximum, and the coordinate would never move again. After one
    such gradient the updates equal those in float64. Of several, the relative sizes are lost, as
    all are clipped to the same value. That a maximum remembers a spike is the algorithm's own:
    where spikes are errors, put `optax.clip_by_global_norm` before this. NaN and infinite gradients
    are not clipped: their updates are NaN, and `optax.apply_if_finite` leaves them out.

    Args:
      b1: decay rate of m: a number in [0, 1), a 0-d array, or a schedule from the count of steps
        taken (0 at the first) to such a number (not checked). b1_t = b1^t of the tutorial is
        `optax.exponential_decay(b1, 1, b1)`; b1 / t of the paper is `schedules.inverse_time(b1)`.
      b2: decay rate of v, as b1.
      eps: added to the square root, at least 0; None takes the convention's own.
      eps_root: added under the square root, at least 0.
      convention: "paper", "optax", "pytorch", "keras" or a `Convention`: whose numbers to give.
        "paper" and "optax" keep the promise that the denominator never shrinks; "pytorch" and
        "keras", which correct the bias after the maximum, do not.
      moment_dtype: how m, v and vhat are stored: None for the dtype of each parameter, float32 at
        least; "bfloat16" for 6 bytes of state per parameter; or a `MomentDtypes`.

    Returns:
      An optax gradient transformation with a `ScaleByAmsgradState`. Updates have the dtype of the
      gradients; the dtypes of the state never change.

    Raises:
      ValueError: if a concrete hyperparameter is out of its range (traced ones are not checked),
        the convention is unknown or impossible, or a moment cannot be stored in its dtype.
      TypeError: if a hyperparameter is no number, or b1 or b2 is traced in bfloat16 or float16,
        which cannot hold decay rates near 1; by `init` and `update`, if a parameter or a gradient
        is neither floating nor complex; by `update`, if gradients and moments do not match.

    Example:
      >>> import jax, jax.numpy as jnp, optax
      >>> import jamsgrad
      >>> optimizer = optax.chain(
      ...     optax.clip_by_global_norm(1.0), jamsgrad.scale_by_amsgrad(b2=0.99), optax.scale(-0.1))
      >>> x = jnp.array([3.0, -4.0])
      >>> updates, state = optimizer.update(jax.grad(lambda x: x @ x)(x), optimizer.init(x))
      >>> [round(u, 4) for u in updates.tolist()]
      [-0.1, 0.1]

    References:
      Reddi, Kale and Kumar, On the Convergence of Adam and Beyond, ICLR 2018, Algorithm 2.
      The other conventions: optax 0.2.8 `amsgrad`, torch 2.13.0 `Adam(amsgrad=True)`,
      Keras 3.15.1 `Adam(amsgrad=True)`.
    """
    rule = _rule(convention)
    eps = rule.eps if eps is None else eps
    for name, b in (("b1", b1), ("b2", b2)):
        if not callable(b):
            _check.decay_rate(name, b)
    _check.in_range("eps", eps, 0)
    _check.in_range("eps_root", eps_root, 0)
    stored = rounding.moment_dtypes(moment_dtype)
    known_later = any(callable(b) or isinstance(b, Tracer) for b in (b1, b2))

    def init(params: Tree) -> ScaleByAmsgradState:
        params = leaves.parameters(params)
        squares = params if rule.split_complex else jax.tree.map(leaves.real, params)
        weight_dtype = rounding.widest(*jax.tree.leaves(params))
        return ScaleByAmsgradState(
            count=jnp.zeros([], jnp.int32),
            m=jax.tree.map(partial(rounding.zeros_like, stored=stored.m), params),
            v=jax.tree.map(partial(rounding.zeros_like, stored=stored.v), squares),
            vhat=jax.tree.map(partial(rounding.zeros_like, stored=stored.vhat), squares),
            m_weight=jnp.zeros([], weight_dtype),
            v_weight=jnp.zeros([], weight_dtype),
        )

    def update(
        updates: Tree, state: Tree, params: Tree | None = None, **extra_args: Any
    ) -> tuple[Tree, ScaleByAmsgradState]:
        del params, extra_args
        _check_state(state)
        count = rounding.exact(state.count)
        b1_t, b2_t = _decay("b1", b1, count), _decay("b2", b2, count)
        # c1 and c2 are averages of ones: exact under schedules, and free of the cancellation in
        # 1 - b**t, which in float32 is off by 0.7 % at b2 = 0.999999 and which a max remembers.
        c1 = _average(b1_t, state.m_weight, 1.0, rounding.dither(state.m_weight, count))
        c2 = _average(b2_t, state.v_weight, 1.0, rounding.dither(state.v_weight, count))
        eps_t = eps
        if known_later:  # where 1 - b has rounded to 0, nothing is averaged: NaN, no standstill
            eps_t = jnp.where((c1 > 0) & (c2 > 0), eps, jnp.nan)
        step = _Step(rule, state.count, b1_t, b2_t, c1, c2, *_epsilons(rule, c2, eps_t, eps_root))
        grads, moments, treedef = leaves.gradients(updates, state.m, state.v, state.vhat)
        new = [_leaf(step, i, *xs) for i, xs in enumerate(zip(grads, *moments, strict=True))]
        updates, m, v, vhat = (treedef.unflatten([x[k] for x in new]) for k in range(4))
        count = jnp.asarray(optax.safe_increment(state.count))
        return updates, ScaleByAmsgradState(count, m, v, vhat, c1, c2)

    return cast(Optimizer[ScaleByAmsgradState], optax.GradientTransformationExtraArgs(init, update))


_Decay: TypeAlias = tuple[jax.typing.ArrayLike, jax.typing.ArrayLike]  # b_t and 1 - b_t


class _Step(NamedTuple):
    """What all leaves share at step t."""

    rule: Convention
    steps_taken: jax.Array  # t - 1
    b1: _Decay
    b2: _Decay
    c1: jax.Array
    c2: jax.Array
    eps: Numeric
    eps_root: Numeric


def _leaf(
    t: _Step, leaf: int, grad: Numeric, m: jax.Array, v: jax.Array, vhat: jax.Array
) -> tuple[jax.Array, jax.Array, jax.Array, jax.Array]:
    """Algorithm 2 for the array of number `leaf` in the tree: its u, m, v and vhat.

    `wide` takes a number to the precision of the arithmetic. It matters for low-precision moments,
    which are rounded again where they are stored.
    """
    grad = jnp.asarray(grad)
    if jnp.iscomplexobj(v):
        parts = [(x.real, x.imag) for x in (grad, m, v, vhat)]
        re, im = (_leaf(t, leaf, *xs) for xs in zip(*parts, strict=True))
        u, m, v, vhat = map(lax.complex, re, im)
        return u, m, v, vhat
    wide = partial(rounding.widen, dtype=rounding.widest(m, v, vhat))
    g, c1, c2 = wide(_with_finite_square(grad, v, vhat)), wide(t.c1), wide(t.c2)

    def average(
        what: Literal["m", "v"], old: jax.Array, new: jax.Array, decay: _Decay
    ) -> jax.Array:
        mean = _average(decay, wide(old), new)
        return rounding.store_average(mean, old.dtype, count=t.steps_taken, leaf=leaf, what=what)

    m = average("m", m, g, t.b1)
    v = average("v", v, _abs_sq(g), t.b2)
    now = wide(v) / c2 if t.rule.debias_v == "before_max" else wide(v)
    now = jnp.maximum(now, 0)  # no effect, as v >= 0; without it XLA on CPUs took 1.5 times as long
    vhat = rounding.store_max(jnp.maximum(wide(vhat), now), vhat.dtype)
    largest = wide(vhat) / c2 if t.rule.debias_v == "after_max" else wide(vhat)
    square = largest + wide(t.eps_root)
    seen = square != 0  # where no gradient was seen, u = 0 / 1, and its derivative is 0 too
    denominator = jnp.sqrt(jnp.where(seen, square, 1)) + wide(t.eps)
    numerator = jnp.where(seen, wide(m), 0)
    u = _divide(numerator, c1 * denominator if t.rule.debias_m else denominator)
    return u.astype(grad.dtype), m, v, vhat


def _average(decay: _Decay, old: jax.Array, new: Numeric, dither: Numeric = 0.0) -> jax.Array:
    """The exponential average b old + (1 - b) new, for decay = (b, 1 - b).

    For b >= 0.5 that is old + (1 - b) (new - old): float32 rounds a b near 1 badly, and 1 - b well.
    """
    b, rest = (jnp.asarray(x, old.dtype) for x in decay)
    if isinstance(decay[0], float):  # it is known when this is traced, and needs no where
        step, base = (rest, old) if decay[0] >= 0.5 else (-b, jnp.asarray(new, old.dtype))
        return base + (step * (new - old) + dither)
    near = b >= 0.5
    step = jnp.where(near, rest, -b) * (new - old)
    return jnp.where(near, old, new) + (step + dither)


def _decay(name: str, b: optax.ScalarOrSchedule, count: jax.Array) -> _Decay:
    """Both b_t and 1 - b_t, before either is rounded to the dtype that it meets."""
    b_t: Any = b(count) if callable(b) else b
    if callable(b):
        _check.holds_decay_rates(name, b_t)
    b_t = as_float(b_t)
    return b_t, 1.0 - b_t


def _epsilons(
    rule: Convention, c2: jax.Array, eps: Numeric, eps_root: Numeric
) -> tuple[Numeric, Numeric]:
    """The eps and eps_root that go with sqrt(vhat / c2). With `eps_hat` they are divided too.

    (sqrt(vhat + eps_root) + eps) / sqrt(c2) = sqrt(vhat / c2 + eps_root / c2) + eps / sqrt(c2).
    """
    if not rule.eps_hat:
        return eps, eps_root
    return jnp.asarray(eps, c2.dtype) / jnp.sqrt(c2), jnp.asarray(eps_root, c2.dtype) / c2


def _with_finite_square(g: jax.Array, *stored: jax.Array) -> jax.Array:
    """g, clipped to where v stays finite as it is stored: a maximum would remember inf for ever."""
    parts = 2 if jnp.iscomplexobj(g) else 1  # |g|^2 is the sum of so many squares
    largest = min(float(jnp.finfo(x.dtype).max) for x in stored)
    limit = (_HEADROOM * largest / parts) ** 0.5
    if limit > float(jnp.finfo(g.dtype).max):
        return g
    g = rounding.widen(g, rounding.widest(g))  # in bfloat16 XLA would keep 0 * g, an array more

    def clip(x: jax.Array) -> jax.Array:
        least, most = (jnp.asarray(end, x.dtype) for end in (-limit, limit))
        return lax.clamp(least, x, most) + 0 * x  # 0 * inf is NaN: an infinite gradient shows

    return lax.complex(clip(g.real), clip(g.imag)) if jnp.iscomplexobj(g) else clip(g)


def _abs_sq(g: jax.Array) -> jax.Array:
    return jnp.square(g.real) + jnp.square(g.imag) if jnp.iscomplexobj(g) else jnp.square(g)


def _divide(m: jax.Array, denominator: jax.Array) -> jax.Array:
    if jnp.iscomplexobj(m):
        return lax.complex(m.real / denominator, m.imag / denominator)
    return m / denominator


def _check_state(state: Tree) -> None:
    """Raise where another optimizer made the state."""
    if not all(hasattr(state, field) for field in ScaleByAmsgradState._fields):
        library = type(state).__module__.partition(".")[0]
        raise TypeError(
            f"state must be a ScaleByAmsgradState of jamsgrad, got a {type(state).__name__} of "
            f"{library}: begin with optimizer.init(params), or take over the state of optax.amsgrad"
            " by interop.from_optax, of torch by interop.from_torch, of Keras by interop.from_keras"
        )


def _rule(convention: ConventionName | Convention) -> Convention:
    if not isinstance(convention, Convention):
        _check.one_of("convention", convention, conventions, or_else="a jamsgrad.Convention")
        return conventions[convention]
    for name in ("debias_m", "split_complex"):
        if not isinstance(flag := getattr(convention, name), bool):
            raise TypeError(f"convention.{name} must be a bool, got {flag!r}")
    _check.one_of("convention.debias_v", convention.debias_v, ("never", "before_max", "after_max"))
    if convention.eps_hat and convention.debias_v != "after_max":
        raise ValueError(
            "convention.eps_hat=True needs debias_v='after_max', "
            f"got debias_v={convention.debias_v!r}"
        )
    return convention
