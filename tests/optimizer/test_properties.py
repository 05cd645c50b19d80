"""What holds for all gradients, dtypes and hyperparameters, tried on random ones of every size.

Shapes are fixed and numbers traced, so that each convention is compiled once for all examples.
"""

from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from reference import property_test, same_bits

from jamsgrad import Convention, MomentDtypes, conventions, scale_by_amsgrad

STEPS, COORDINATES = 20, 64
NARROW, WIDE = ("float32", "bfloat16", "float16", "complex64"), ("float64", "complex128")
RULES = conventions | {
    "debias_m alone": Convention(True, "never"),
    "after_max alone": Convention(False, "after_max"),
}
all_rules = pytest.mark.parametrize("rule", RULES.values(), ids=RULES)
many = settings(property_test, max_examples=25)

# All of [0, 1): evenly, and as near to 1 as float64 goes.
decays = st.floats(0, 1, exclude_max=True) | st.floats(0.3, 15.9).map(lambda e: 1 - 10.0**-e)
sizes = st.just(0.0) | st.floats(-45, 15).map(lambda e: 10.0**e)


class Hyper(NamedTuple):
    b1: float
    b2: float
    eps: float
    eps_root: float


hypers = st.builds(Hyper, decays, decays, sizes, sizes)


def gradients(seed, dtype):
    """Sequences of every size that the dtype has: steady, scattered, alternating, with zeros."""
    rng, info = np.random.default_rng(seed), jnp.finfo(dtype)
    low, high = (np.log10(float(a)) for a in (info.smallest_subnormal, info.max))

    def real():
        size = rng.uniform(low, high, COORDINATES)
        size = size + rng.choice([0, 0.3, 3, 50], COORDINATES) * rng.uniform(-1, 1, (STEPS, 1))
        number = 10 ** np.clip(size, low, high - 1e-3)
        number *= np.where(rng.random(COORDINATES) < 0.3, 1, rng.choice([-1, 1], number.shape))
        number *= rng.random(number.shape) >= rng.choice([0, 0.5, 0.9], COORDINATES)
        ends = [float(info.max), -float(info.max), float(info.tiny), float(info.smallest_subnormal)]
        some = rng.random(number.shape) < rng.choice([0, 0, 0, 0.1], COORDINATES)
        return np.where(some, rng.choice(ends, number.shape), number)

    number = real() + 1j * real() if "complex" in dtype else real()
    return jnp.asarray(number, dtype)


def all_gradients(seed, dtypes):
    return {dtype: gradients(seed + i, dtype) for i, dtype in enumerate(dtypes)}


@partial(jax.jit, static_argnums=0)
def run(rule, hyper, grads):
    """The updates and the states of all steps."""
    optimizer = scale_by_amsgrad(*hyper, convention=rule)

    def step(state, g):
        updates, state = optimizer.update(g, state)
        return state, (updates, state)

    return jax.lax.scan(step, optimizer.init(jax.tree.map(lambda g: g[0], grads)), grads)[1]


def bounds(rule, hyper):
    """The largest |u_t| that any gradients can give, for t = 1, 2, ..., shape (STEPS, 1).

    In the paper's form m_t = sum_i w_i g_i and v_t = sum_i z_i g_i^2 with w_i = (1 - b1) b1^(t-i)
    and z_i = (1 - b2) b2^(t-i). Then, by Cauchy and Schwarz and because v_t <= vhat_t,

        |m_t|^2 <= (sum_i w_i^2 / z_i) (sum_i z_i |g_i|^2) <= (sum_i w_i^2 / z_i) vhat_t,

    with equality for gradients that grow like g_i ~ w_i / z_i ~ (b2 / b1)^i; and because no g_i^2
    is larger than vhat_t / (1 - b2),

        |m_t| <= (sum_i w_i) max_i |g_i| <= c1 sqrt(vhat_t / (1 - b2)).

    The corrections multiply u by 1 / c1 and by sqrt(c2): of all v_i / c2_i the last has the largest
    c2_i. Both eps only make |u| smaller.
    """
    b1, b2, k = hyper.b1, hyper.b2, np.arange(STEPS)
    c1, c2 = (np.cumsum((1 - b) * b**k) for b in (b1, b2))
    with np.errstate(all="ignore"):  # b2 = 0
        w_w_z = (1 - b1) ** 2 * b1 ** (2 * k) / ((1 - b2) * b2**k)
        cauchy = np.cumsum(np.where(b1 ** (2 * k) > 0, w_w_z, 0))
    bound = np.minimum(np.sqrt(cauchy), c1 / np.sqrt(1 - b2))
    bound /= c1 if rule.debias_m else 1
    bound *= np.sqrt(c2) if rule.debias_v != "never" else 1
    return bound[:, None]


def real_parts(*arrays):
    """The real parts and then the imaginary ones, for which a complex v has numbers of its own."""
    return [np.concatenate([a.real, a.imag], axis=-1) for a in arrays]


def resolved(vhat, hyper, dtype):
    """Where v is so far above the smallest number that what underflowed is below its rounding."""
    info = jnp.finfo(dtype)
    return vhat * (1 - hyper.b2) >= float(info.tiny) / float(info.eps)


def check_updates(rule, hyper, grads):
    updates, states = jax.device_get(run(rule, hyper, grads))
    for dtype, g in grads.items():
        u, info = updates[dtype], jnp.finfo(dtype)
        v, vhat = states.v[dtype], states.vhat[dtype]
        assert u.dtype == g.dtype
        if np.iscomplexobj(vhat):
            u, v, vhat = real_parts(u, v, vhat)
        assert np.all(np.isfinite(v) & np.isfinite(vhat))
        assert np.all(np.diff(vhat, axis=0, prepend=0) >= 0)
        # Where v underflows it is 0, and then so is u; or it misses at most as many numbers of that
        # size as there are steps, each not larger than itself.
        rounding = 1 + 8 * STEPS * float(jnp.finfo(vhat.dtype).eps)
        slack = np.where(resolved(vhat, hyper, vhat.dtype), rounding, np.sqrt(1 + STEPS))
        bound = slack * bounds(rule, hyper)
        size = np.abs(u.astype(complex if np.iscomplexobj(u) else float))
        representable = bound < float(info.max)
        assert np.all(np.isfinite(size) | ~representable)
        # With eps_root they do not become 0 together.
        known = representable & (resolved(vhat, hyper, vhat.dtype) | (hyper.eps_root == 0))
        half_ulp = np.maximum(float(info.eps) * bound, float(info.smallest_subnormal))
        assert np.all((size <= bound + half_ulp) | ~known)
        assert np.all((size == 0) | (vhat > 0) | (hyper.eps_root > 0))


@all_rules
@many
@given(hyper=hypers, seed=st.integers(0, 10**6))
def test_updates_are_finite_and_bounded_and_vhat_never_shrinks(rule, hyper, seed):
    check_updates(rule, hyper, all_gradients(seed, NARROW))
    check_updates(rule, hyper, all_gradients(seed, WIDE))


@pytest.mark.parametrize(("b1", "b2"), [(0.9, 0.99), (0.5, 0.9), (0.9, 0.999), (0.99, 0.9999)])
@pytest.mark.parametrize("rule", [conventions["paper"], RULES["debias_m alone"]], ids=str)
def test_the_bound_is_attained(rule, b1, b2):
    hyper = Hyper(b1, b2, 0.0, 0.0)
    growing = (b2 / b1) ** np.arange(STEPS)
    g = jnp.asarray(np.tile(growing[:, None], COORDINATES))
    updates, _ = run(rule, hyper, {dtype: g.astype(dtype) for dtype in WIDE})
    np.testing.assert_allclose(updates["float64"][-1, 0], bounds(rule, hyper)[-1, 0], rtol=1e-12)


@all_rules
@many
@given(hyper=hypers, seed=st.integers(0, 10**6))
def test_float32_is_within_a_stated_error_of_float64(rule, hyper, seed):
    """An ulp of the largest possible update per step, of gradients whose squares float32 holds."""
    narrow = all_gradients(seed, NARROW)
    pairs = {"float64": "float32", "complex128": "complex64"}
    updates, _ = jax.device_get(run(rule, hyper, narrow))
    exact, states = run(rule, hyper, {w: narrow[n].astype(w) for w, n in pairs.items()})
    eps, limit = (float(jnp.finfo("float32").eps), float(jnp.finfo("float32").max) ** 0.5 / 2)
    for wide, name in pairs.items():
        g, vhat = np.asarray(narrow[name]), np.asarray(states.vhat[wide])
        u, u_exact = updates[name], np.asarray(exact[wide])
        if np.iscomplexobj(vhat):
            g, vhat, u, u_exact = real_parts(g, vhat, u, u_exact)
        held = np.all(np.maximum(abs(g.real), abs(g.imag)) <= limit, axis=0)
        held = held & resolved(vhat, hyper, "float32")
        error = np.abs(u - u_exact)
        assert np.all((error <= STEPS * eps * bounds(rule, hyper)) | ~held)
        assert held.any() or hyper.b2 > 1 - 1e-6


@all_rules
@many
@given(hyper=hypers, seed=st.integers(0, 10**6), power=st.integers(-20, 20))
def test_gradients_in_another_unit_give_the_same_updates(rule, hyper, seed, power):
    hyper = hyper._replace(b2=min(hyper.b2, 1 - 1e-9), eps=0.0, eps_root=0.0)  # v is resolved
    rng = np.random.default_rng(seed)
    shape = (STEPS, COORDINATES)
    g = 10 ** rng.uniform(-3, 3, shape) * rng.choice([-1, 0, 1], shape)
    rest = all_gradients(seed, NARROW)
    a, b = (
        jax.device_get(run(rule, hyper, rest | {"float32": jnp.asarray(unit * g, "float32")}))
        for unit in (1.0, -(2.0**power))
    )
    a, b = a[0]["float32"], -b[0]["float32"]
    m_is_lost = np.maximum(abs(a), abs(b)) < 1e-25  # after many steps without a gradient
    np.testing.assert_array_equal(a[~m_is_lost], b[~m_is_lost])


@all_rules
@many
@given(hyper=hypers, seed=st.integers(0, 10**6), bad=st.sampled_from([np.nan, np.inf, -np.inf]))
def test_a_coordinate_never_touches_another(rule, hyper, seed, bad):
    grads = all_gradients(seed, NARROW)
    spoiled = {
        name: g.at[seed % STEPS, ::2].set(jnp.asarray(bad, g.dtype)) for name, g in grads.items()
    }
    runs = [jax.device_get(run(rule, hyper, given)) for given in (grads, spoiled)]
    untouched = (
        jax.tree.map(lambda leaf: leaf[:, 1::2], (updates, states.m, states.v, states.vhat))
        for updates, states in runs
    )
    assert same_bits(*untouched)
    (_, a), (_, b) = runs
    assert same_bits((a.count, a.m_weight, a.v_weight), (b.count, b.m_weight, b.v_weight))


leaves = st.builds(
    jax.ShapeDtypeStruct,
    st.lists(st.integers(0, 3), max_size=3).map(tuple),
    st.sampled_from([*NARROW, *WIDE]),
)
trees = st.recursive(
    leaves | st.none() | st.just(optax.MaskedNode()),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.lists(inner, max_size=3).map(tuple),
        st.dictionaries(st.sampled_from("abc"), inner, max_size=3),
    ),
    max_leaves=6,
)
stored = st.sampled_from([None, "float32", "float64", "bfloat16"])


@settings(property_test, max_examples=60)
@given(
    tree=trees,
    grad_dtype=st.sampled_from([None, *NARROW[:3], "float64"]),
    rule=st.sampled_from(list(RULES.values())),
    moment_dtype=st.builds(MomentDtypes, stored, stored, stored),
)
def test_no_tree_no_dtype_and_no_shape_ever_changes(tree, grad_dtype, rule, moment_dtype):
    optimizer = scale_by_amsgrad(convention=rule, moment_dtype=moment_dtype)

    def as_gradient(leaf):
        real = not jnp.issubdtype(leaf.dtype, jnp.complexfloating)
        return jax.ShapeDtypeStruct(leaf.shape, grad_dtype if grad_dtype and real else leaf.dtype)

    grads = jax.tree.map(as_gradient, tree)
    state = jax.eval_shape(optimizer.init, tree)
    updates, after = jax.eval_shape(optimizer.update, grads, state)
    assert updates == grads
    assert after == state
    assert jax.tree.structure(state.m) == jax.tree.structure(tree)
    for leaf, m, v, vhat in zip(
        *map(jax.tree.leaves, (tree, state.m, state.v, state.vhat)), strict=True
    ):
        assert leaf.shape == m.shape == v.shape == vhat.shape
        for moment, asked in zip((m, v, vhat), moment_dtype, strict=True):
            own = jnp.finfo(leaf.dtype).dtype if jnp.finfo(leaf.dtype).bits >= 32 else "float32"
            whole = moment is m or rule.split_complex
            whole = whole and leaf.dtype in ("complex64", "complex128")
            expected = asked if asked and not (whole and asked == "bfloat16") else own
            found = jnp.finfo(moment.dtype).dtype
            assert found == expected
            assert jnp.issubdtype(moment.dtype, jnp.complexfloating) == whole
