"""Moments in bfloat16: unbiased averages, a maximum that is never too low, and exact repetition."""

import re
from functools import partial

import jax
import jax.numpy as jnp
import ml_dtypes
import numpy as np
import optax
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from jax.sharding import NamedSharding, PartitionSpec
from reference import amsgrad, property_test, run, same_bits

import jamsgrad
from jamsgrad import MomentDtypes, scale_by_amsgrad
from jamsgrad._optimizer.rounding import store_average, store_max

BF16 = ml_dtypes.bfloat16
EIGHT_BYTES = MomentDtypes(m="bfloat16", v="float32", vhat="bfloat16")
LOW = pytest.mark.parametrize("moment_dtype", ["bfloat16", EIGHT_BYTES], ids=["6B", "8B"])
ALL_BF16 = np.arange(2**16, dtype=np.uint16).view(BF16)
RNG = np.random.default_rng(0)
GRADS = jnp.asarray(RNG.standard_normal((10, 6, 4)), "float32")
START = jnp.zeros((6, 4), "float32")

float32s = hnp.arrays(np.float32, 64, elements=st.floats(0, width=32, allow_infinity=False))


def neighbours(x):
    """The largest bfloat16 below or at |x| and the smallest above it, with the sign of x."""
    low = (np.float32(x).view(np.uint32) >> 16).astype(np.uint16)
    return low.view(BF16).astype(float), (low + np.uint16(1)).view(BF16).astype(float)


@partial(jax.jit, static_argnums=(1, 2, 3))
def stochastic(x, steps, leaf=0, moment="m"):
    """`x` stored as bfloat16 averages in `steps` steps."""
    return jax.vmap(lambda count: store_average(x, jnp.bfloat16, count, leaf, moment))(
        jnp.arange(steps, dtype="int32")
    )


# Stochastic rounding of the averages


@pytest.mark.parametrize("sign", [1, -1])
@pytest.mark.parametrize("value", [1.001, 1.0039, np.pi, 7e-20, 3.3e30, 1.3e-38, 7.7e-40, 3e-41])
def test_stochastic_rounding_is_unbiased(value, sign):
    value = np.float32(sign * value)
    stored = np.asarray(stochastic(jnp.full((2048,), value), 64), float)
    low, high = neighbours(value)
    assert set(np.unique(stored)) == {low, high}
    p = (float(value) - low) / (high - low)
    deviation = abs(high - low) * np.sqrt(p * (1 - p))
    errors = stored - float(value)
    assert abs(errors.mean()) < 4 * deviation / np.sqrt(errors.size)
    # Nor is one element or one step: the largest of 2048 means stays within 6 standard errors.
    assert np.all(abs(errors.mean(0)) < 6 * deviation / np.sqrt(64))
    assert np.all(abs(errors.mean(1)) < 6 * deviation / np.sqrt(2048))


def test_dithers_of_elements_steps_and_leaves_are_uncorrelated():
    x = jnp.full((64, 128), np.float32(1 + 2**-8))  # halfway: up or down like a fair coin
    dithers = ((0, "m"), (0, "v"), (1, "m"))
    ups = np.stack([np.asarray(stochastic(x, 32, *dither), float) > 1 for dither in dithers])
    signs = 2.0 * ups - 1
    bound = 5 / np.sqrt(signs.size / 3)
    assert abs(signs.mean()) < bound
    for axis in range(4):  # leaves, steps, rows, columns
        neighbour = np.roll(signs, 1, axis)
        assert abs(np.mean(signs * neighbour)) < bound


def test_moments_and_leaves_have_their_own_dithers():
    optimizer = scale_by_amsgrad(moment_dtype="bfloat16")
    params = [jnp.ones(4096, "float32")] * 3
    _, state = jax.jit(optimizer.update)(params, optimizer.init(params))
    stored = np.array(jax.tree.leaves((state.m, state.v)), float)
    assert [len(np.unique(x)) for x in stored] == [2] * 6
    correlation = np.corrcoef(stored) - np.eye(6)
    assert np.all(abs(correlation) < 5 / np.sqrt(4096))


def test_leaves_of_one_shape_are_lowered_once():
    optimizer = scale_by_amsgrad(moment_dtype="bfloat16")
    text = jax.jit(optimizer.update).lower([START] * 5, optimizer.init([START] * 5)).as_text()
    assert len(re.findall(r"func.func private @_dithered", text)) == 1
    assert len(re.findall(r"call @_dithered", text)) == 10


def test_the_dither_depends_on_the_index_in_the_whole_array():
    x = jnp.full((4, 5, 6), np.float32(1 + 2**-8))
    flat = stochastic(x.reshape(-1), 8)
    assert same_bits(stochastic(x, 8).reshape(8, -1), flat)


def test_stochastic_rounding_keeps_what_bfloat16_holds():
    finite = ALL_BF16[np.isfinite(ALL_BF16.astype(np.float32))]
    assert same_bits(stochastic(jnp.asarray(finite.astype(np.float32)), 1)[0], finite)


# Rounding up of the maximum


@property_test
@given(x=float32s)
def test_the_maximum_is_the_smallest_bfloat16_not_below(x):
    up = np.asarray(jax.jit(lambda x: store_max(x, jnp.bfloat16))(x))
    low, high = neighbours(x)
    expected = np.where(low == x, low, high)
    assert np.array_equal(up.astype(float), expected)


def test_the_maximum_keeps_what_bfloat16_holds():
    held = ALL_BF16[: int(np.flatnonzero(np.isinf(ALL_BF16.astype(np.float32)))[0]) + 1]
    assert same_bits(store_max(jnp.asarray(held.astype(np.float32)), jnp.bfloat16), held)


@pytest.mark.parametrize(("wide", "narrow"), [("float64", "float32"), ("float64", "bfloat16")])
def test_the_maximum_of_float64_is_not_below_either(wide, narrow):
    x = np.abs(RNG.standard_normal(1000)) * 10.0 ** RNG.integers(-36, 36, 1000)
    stored = store_max(jnp.asarray(x, wide), jnp.dtype(narrow))
    assert stored.dtype == narrow
    rise = np.asarray(stored, float) / x - 1
    assert rise.min() >= 0
    assert 0 < rise.max() <= jnp.finfo(narrow).eps
    again = store_max(stored.astype(wide), jnp.dtype(narrow))
    assert same_bits(stored, again)


# NaN and inf


@pytest.mark.parametrize("value", [np.nan, -np.nan, np.inf, -np.inf], ids=repr)
def test_nan_and_inf_are_stored_as_themselves(value):
    x = jnp.full((256,), np.float32(value))
    np.testing.assert_array_equal(np.asarray(stochastic(x, 16), float), np.float32(value))
    if value != -np.inf:
        np.testing.assert_array_equal(
            np.asarray(store_max(x, jnp.bfloat16), float), np.float32(value)
        )


@pytest.mark.parametrize("bits", [0x7FC00000, 0xFFC00000, 0x7FFFFFFF, 0xFFFFFFFF], ids=hex)
def test_every_quiet_nan_stays_nan(bits):
    """0x7FFFFFFF is the NaN that NVIDIA devices compute: adding to its bits must not wrap to 0."""
    x = jnp.asarray(np.full(256, bits, np.uint32).view(np.float32))
    assert bool(jnp.isnan(stochastic(x, 16)).all())
    assert bool(jnp.isnan(store_max(x, jnp.bfloat16)).all())


@LOW
@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf], ids=repr)
def test_a_bad_gradient_shows_in_every_moment_of_its_element_only(bad, moment_dtype):
    optimizer = scale_by_amsgrad(moment_dtype=moment_dtype)
    g = GRADS[0].at[2, 3].set(bad)
    _, state = jax.jit(optimizer.update)(g, optimizer.init(g))
    for moment in (state.m, state.v, state.vhat):
        wrong = ~np.isfinite(np.asarray(moment, np.float32))
        assert np.argwhere(wrong).tolist() == [[2, 3]]


# The moments over many steps


def test_v_of_unit_gradients_arrives_where_rounding_to_nearest_stalls():
    optimizer = scale_by_amsgrad(b2=0.999, moment_dtype="bfloat16")
    ones = jnp.ones(256, "float32")

    @jax.jit
    def last(state):
        return jax.lax.fori_loop(0, 3000, lambda _, s: optimizer.update(ones, s)[1], state)

    true = 1 - 0.999**3000
    v = np.asarray(last(optimizer.init(ones)).v, float)
    assert true > 0.95
    assert abs(v.mean() / true - 1) < 0.01

    nearest = BF16(0)
    for _ in range(3000):
        nearest = BF16(np.float32(0.999) * np.float32(nearest) + np.float32(0.001))
    assert 0.2 < float(nearest) < 0.55


@LOW
@pytest.mark.parametrize("convention", ["paper", "optax"])
def test_vhat_never_shrinks_and_covers_v(convention, moment_dtype):
    optimizer = scale_by_amsgrad(0.9, 0.9, convention=convention, moment_dtype=moment_dtype)

    def step(state, g):
        state = optimizer.update(g, state)[1]
        return state, (state.v, state.vhat, state.v_weight)

    scale = 10.0 ** np.linspace(-3, -1, 200) * np.where(np.arange(200) % 50 == 0, 30, 1)
    grads = jnp.asarray(scale[:, None] * RNG.standard_normal((200, 32)), "float32")
    _, out = jax.jit(partial(jax.lax.scan, step))(optimizer.init(grads[0]), grads)
    v, vhat, weight = (np.asarray(x, np.float32) for x in out)
    v = v / weight[:, None] if convention == "optax" else v
    assert np.all(np.diff(vhat, axis=0) >= 0)
    assert np.all(np.diff(vhat, axis=0).max(0) > 0)
    largest = np.maximum.accumulate(v)
    assert np.all(vhat >= largest)
    assert np.all(vhat <= largest * np.float32(1 + jnp.finfo("bfloat16").eps))  # one ulp at most


@pytest.mark.parametrize("convention", ["optax", "keras"])
@pytest.mark.parametrize(("moment_dtype", "ulps"), [("bfloat16", 8), (EIGHT_BYTES, 2)])
def test_one_step_is_within_ulps_of_float32(convention, moment_dtype, ulps):
    rule = jamsgrad.conventions[convention]
    optimizer = jamsgrad.amsgrad(1.0, convention=convention, moment_dtype=moment_dtype)
    path, _ = run(optimizer, START, GRADS[:1])
    expected = amsgrad(START, GRADS[:1], 1.0, **rule._asdict())
    np.testing.assert_allclose(path, expected, rtol=ulps * float(jnp.finfo("bfloat16").eps) / 2)


def test_a_long_run_in_bfloat16_arrives():
    optimizer = jamsgrad.amsgrad(0.03, b2=0.99, moment_dtype="bfloat16")
    path, _ = run(optimizer, jnp.ones(16, "float32"), (lambda x: 2 * (x - 3), 1000))
    np.testing.assert_allclose(path[-1], 3.0, atol=1e-3)


# Dtypes


@pytest.mark.parametrize("dtype", ["bfloat16", "float16", "float32", "float64", "complex64"])
@pytest.mark.parametrize(
    ("moment_dtype", "names"),
    [
        ("bfloat16", ("bfloat16", "bfloat16", "bfloat16")),
        (jnp.bfloat16, ("bfloat16", "bfloat16", "bfloat16")),
        ("float32", ("float32", "float32", "float32")),
        (EIGHT_BYTES, ("bfloat16", "float32", "bfloat16")),
        (MomentDtypes(v="float64"), (None, "float64", None)),
    ],
    ids=str,
)
def test_moments_have_the_dtypes_asked_for_and_keep_them(moment_dtype, names, dtype):
    params = {"x": jnp.ones(3, dtype)}
    optimizer = jamsgrad.amsgrad(0.1, moment_dtype=moment_dtype)
    before = optimizer.init(params)
    updates, after = jax.eval_shape(optimizer.update, params, before)
    assert updates["x"].dtype == dtype
    own = "float64" if dtype == "float64" else "float32"
    for state in (before[0], after[0]):
        m, v, vhat = (moment["x"].dtype.name for moment in (state.m, state.v, state.vhat))
        assert m == ("complex64" if dtype == "complex64" else names[0] or own)
        assert (v, vhat) == (names[1] or own, names[2] or own)


@pytest.mark.parametrize(
    ("moment_dtype", "moment", "shown"),
    [
        ("float16", "m", "'float16'"),
        ("int8", "m", "'int8'"),
        ("float8_e4m3fn", "m", "'float8_e4m3fn'"),
        ("complex64", "m", "'complex64'"),
        ("half the memory", "m", "'half the memory'"),
        (3.0, "m", "3.0"),
        (MomentDtypes(v="float16"), "v", "'float16'"),
        (MomentDtypes(vhat="uint8"), "vhat", "'uint8'"),
    ],
    ids=str,
)
def test_other_moment_dtypes_are_refused_with_the_reason(moment_dtype, moment, shown):
    message = (
        rf"^moment_dtype of {moment} must be None or one of 'float32', 'float64', 'bfloat16', "
        rf"got {re.escape(shown)}: float16 overflows"
    )
    for build in (
        scale_by_amsgrad,
        partial(jamsgrad.amsgrad, 0.1),
        partial(jamsgrad.amsgradw, 0.1),
    ):
        with pytest.raises(ValueError, match=message):
            build(moment_dtype=moment_dtype)


def test_float64_moments_need_x64():
    with jax.enable_x64(False), pytest.raises(ValueError, match="needs jax_enable_x64"):
        scale_by_amsgrad(moment_dtype="float64")


# Repetition: resumed, saved, sharded, wrapped


def sharding():
    """Both axes over the eight devices."""
    mesh = jax.make_mesh((2, 4), ("a", "b"), axis_types=(jax.sharding.AxisType.Auto,) * 2)
    return NamedSharding(mesh, PartitionSpec("a", "b"))


def start_and_step(moment_dtype):
    optimizer = jamsgrad.amsgrad(0.1, moment_dtype=moment_dtype)

    @jax.jit
    def step(params, state, g):
        updates, state = optimizer.update(g, state, params)
        return optax.apply_updates(params, updates), state

    def steps(params, state, grads):
        for g in grads:
            params, state = step(params, state, g)
        return params, state

    return (START, optimizer.init(START)), steps


@pytest.mark.as_users_compile
@LOW
def test_a_run_saved_through_a_uint16_view_resumes_bit_for_bit(moment_dtype, tmp_path):
    start, steps = start_and_step(moment_dtype)
    half = steps(*start, GRADS[:5])
    leaves = [np.asarray(leaf) for leaf in jax.tree.leaves(half)]
    words = [leaf.view(np.uint16) if leaf.dtype == BF16 else leaf for leaf in leaves]
    np.savez(tmp_path / "state.npz", *words)
    with np.load(tmp_path / "state.npz", allow_pickle=False) as saved:
        loaded = [word.view(BF16) if word.dtype == np.uint16 else word for word in saved.values()]
    assert sum(leaf.dtype == BF16 for leaf in loaded) == (3 if moment_dtype == "bfloat16" else 2)
    resumed = steps(*jax.tree.unflatten(jax.tree.structure(half), loaded), GRADS[5:])
    assert same_bits(resumed, steps(*start, GRADS))


@pytest.mark.as_users_compile
@LOW
def test_a_sharded_run_saved_by_orbax_resumes_bit_for_bit(moment_dtype, tmp_path):
    ocp = pytest.importorskip("orbax.checkpoint")
    optimizer = jamsgrad.amsgrad(0.1, moment_dtype=moment_dtype)
    spread = jax.device_put(START, sharding())
    update = jax.jit(optimizer.update)
    _, half = update(jax.device_put(GRADS[0], sharding()), jax.jit(optimizer.init)(spread))
    with ocp.StandardCheckpointer() as checkpointer:
        checkpointer.save(tmp_path / "state", half)
        checkpointer.wait_until_finished()
        loaded = checkpointer.restore(tmp_path / "state", half)
    assert same_bits(loaded, half)
    assert loaded[0].vhat.sharding.is_equivalent_to(sharding(), 2)
    g = jax.device_put(GRADS[1], sharding())
    assert same_bits(update(g, loaded), update(g, half))


@pytest.mark.as_users_compile
@LOW
def test_the_same_bits_sharded_or_not(moment_dtype):
    optimizer = scale_by_amsgrad(moment_dtype=moment_dtype)
    update = jax.jit(optimizer.update)
    local = optimizer.init(START)
    spread = jax.jit(optimizer.init)(jax.device_put(START, sharding()))
    for g in GRADS[:3]:
        u_local, local = update(g, local)
        u_spread, spread = update(jax.device_put(g, sharding()), spread)
        assert spread.v.sharding.is_equivalent_to(sharding(), 2)
        assert same_bits((u_local, local), (u_spread, spread))


@pytest.mark.as_users_compile
def test_the_sharded_update_needs_no_communication():
    optimizer = scale_by_amsgrad(moment_dtype="bfloat16")
    g = jax.device_put(START, sharding())
    text = jax.jit(optimizer.update).lower(g, jax.jit(optimizer.init)(g)).compile().as_text()
    assert not re.findall(r"all-gather|all-reduce|all-to-all|collective-permute", text)


@pytest.mark.as_users_compile
@LOW
def test_multi_steps_keeps_low_precision_moments(moment_dtype):
    optimizer = optax.MultiSteps(
        jamsgrad.amsgrad(0.1, moment_dtype=moment_dtype), every_k_schedule=2
    )
    with jax.numpy_dtype_promotion("standard"):
        path, state = run(optimizer.gradient_transformation(), START, jnp.repeat(GRADS, 2, axis=0))
    bare, bare_state = run(jamsgrad.amsgrad(0.1, moment_dtype=moment_dtype), START, GRADS)
    np.testing.assert_allclose(path[1::2], bare, rtol=1e-5, atol=1e-6)
    assert same_bits(state.inner_opt_state[0].vhat, bare_state[0].vhat)


@LOW
def test_tree_map_params_finds_low_precision_moments(moment_dtype):
    optimizer = jamsgrad.amsgrad(0.1, moment_dtype=moment_dtype)
    _, state = run(optimizer, START, GRADS)
    doubled = optax.tree_map_params(optimizer, lambda x: x * 2, state)
    for name in ("m", "v", "vhat"):
        assert same_bits(getattr(doubled[0], name), getattr(state[0], name) * 2)
    assert same_bits(doubled[0].v_weight, state[0].v_weight)


@pytest.mark.as_users_compile
def test_each_replica_of_vmap_shares_the_dither():
    optimizer = scale_by_amsgrad(moment_dtype="bfloat16")
    batch = jnp.stack([GRADS[0]] * 3)
    _, state = jax.jit(jax.vmap(optimizer.update))(batch, jax.vmap(optimizer.init)(batch))
    _, single = jax.jit(optimizer.update)(GRADS[0], optimizer.init(GRADS[0]))
    for replica in range(3):
        assert same_bits(jax.tree.map(lambda x: x[replica], state), single)  # noqa: B023


@pytest.mark.parametrize("differentiate", [jax.grad, jax.jacfwd])
def test_derivatives_go_straight_through_the_rounding(differentiate):
    def first_update(b1, moment_dtype):
        optimizer = scale_by_amsgrad(b1, moment_dtype=moment_dtype)
        g = jnp.array([0.5, 2.0], jnp.float32)
        return optimizer.update(g, optimizer.init(g))[0].sum()

    rounded = differentiate(first_update)(jnp.float32(0.9), "bfloat16")
    exact = differentiate(first_update)(jnp.float32(0.9), None)
    assert exact == pytest.approx(-2 / np.sqrt(1e-3), rel=1e-5)
    assert rounded == pytest.approx(exact, rel=2**-6)  # two moments, each within a bfloat16 ulp


def test_complex_moments_take_the_dtype_asked_for_where_there_is_one():
    def stored(dtype):
        return scale_by_amsgrad(moment_dtype=dtype).init(jnp.zeros(2, "complex64")).m.dtype.name

    assert [stored(dtype) for dtype in (None, "float64", "bfloat16")] == [
        "complex64",
        "complex128",
        "complex64",
    ]
