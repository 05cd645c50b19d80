"""bfloat16 parameters, rounded as they are updated: unbiased, exact in the sum, repeatable."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from jax.sharding import AxisType, NamedSharding, PartitionSpec
from reference import same_bits

from jamsgrad import amsgrad, amsgradw, round_parameters
from jamsgrad._optimizer.rounding import store_average

RNG = np.random.default_rng(0)
P = jnp.asarray(RNG.standard_normal((16, 8)), "bfloat16")
GRADS = jnp.asarray(RNG.standard_normal((10, 16, 8)), "bfloat16")
WIDE = GRADS.astype("float32")
# Optax adds bfloat16 parameters and float32 updates, which strict promotion refuses.
pytestmark = pytest.mark.usefixtures("standard_promotion")


@pytest.fixture
def standard_promotion():
    with jax.numpy_dtype_promotion("standard"):
        yield


def added(p, u, count=0):
    """The parameters after an update, as optax applies it."""
    optimizer = round_parameters()
    state = optimizer.init(p)._replace(count=jnp.asarray(count, "int32"))
    return optax.apply_updates(p, optimizer.update(u, state, p)[0])


def all_finite(least=2.0**-100):
    """Each bfloat16 that is not subnormal, nor so large that a sum overflows."""
    numbers = jnp.arange(2**16, dtype="uint16").view("bfloat16")
    size = np.abs(np.asarray(numbers, np.float32))
    return numbers[np.isfinite(size) & (size >= least) & (size < 1e37)]


# The sum


@pytest.mark.parametrize("compiled", [True, False])
@pytest.mark.parametrize(
    "relative", [-1.0, -0.9999999, -2.0, -0.5, 1e-9, 1e-3, -0.3, 1.0, 3e4, -1e12]
)
def test_the_sum_is_the_rounded_sum_to_the_bit(relative, compiled):
    p = all_finite()
    u = p.astype("float32") * np.float32(relative)
    noise = jnp.asarray(RNG.choice([0, 1e-7, 1e-3, 0.1, 1], p.shape) * RNG.standard_normal(p.shape))
    u = u * (1 + noise.astype("float32"))
    total = p.astype("float32") + u
    expected = store_average(total, jnp.dtype("bfloat16"), jnp.int32(7), 0, "p")
    result = (jax.jit(added) if compiled else added)(p, u, 7)
    size = np.abs(np.asarray(total))
    usual = (size >= 2.0**-100) & (size < 3e38)  # XLA flushes subnormal numbers to 0
    assert result.dtype == jnp.bfloat16
    assert same_bits(result[usual], expected[usual])
    low, high = (
        np.asarray(x) for x in (jnp.nextafter(result, jnp.bfloat16(s)) for s in (-np.inf, np.inf))
    )
    exact = np.asarray(total)
    assert np.all((low.astype("float32") < exact) & (exact < high.astype("float32")) | ~usual)


@pytest.mark.parametrize("u", [1e-3, -1e-3, 0.3, -2e-5, 3e-7])
@pytest.mark.parametrize("p", [1.0, -0.75, 3e-20, 1e30])
def test_the_sum_is_unbiased(p, u):
    u = np.float32(u * abs(p))
    x = jnp.full(2048, p, "bfloat16")
    sums = jax.vmap(lambda count: added(x, jnp.full(2048, u), count))(jnp.arange(64))
    sums = np.asarray(sums, float)
    total = float(np.asarray(x[0], np.float32) + u)
    low, high = sums.min(), sums.max()
    assert low <= total <= high
    assert set(np.unique(sums)) <= {low, high}
    share = (total - low) / (high - low) if high > low else 0.0
    deviation = (high - low) * np.sqrt(share * (1 - share))
    ulp = abs(float(x[0])) * 2.0**-7
    assert abs(sums.mean() - total) <= 4 * max(deviation, 0.01 * ulp) / np.sqrt(sums.size)


def test_no_update_changes_nothing():
    p = all_finite(least=2.0**-126)
    for count in (0, 1, 12345):
        assert same_bits(added(p, jnp.zeros(p.shape, "float32"), count), p)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_what_is_not_finite_shows(value):
    result = added(jnp.ones(4, "bfloat16"), jnp.array([value, 0, 1, 0], "float32"))
    np.testing.assert_array_equal(np.asarray(result, np.float32)[[0, 1, 3]], [value, 1, 1])


# Training


def train(optimizer, x, grads):
    def step(carry, g):
        x, state = carry
        updates, state = optimizer.update(g, state, x)
        return (optax.apply_updates(x, updates), state), None

    return jax.jit(partial(jax.lax.scan, step))((x, optimizer.init(x)), grads)[0]


@pytest.mark.parametrize(
    "make",
    [
        optax.sgd,
        lambda rate: amsgrad(rate, convention="pytorch"),
        lambda rate: amsgrad(rate, convention="pytorch", moment_dtype="bfloat16"),
        lambda rate: amsgradw(rate, convention="keras", weight_decay=0.0),
        optax.adam,
        optax.lion,
    ],
    ids=["sgd", "pytorch", "6 bytes", "keras", "adam", "lion"],
)
def test_small_steps_arrive_that_are_lost_without_it(make):
    x, ones = jnp.ones(500, "bfloat16"), jnp.ones((400, 500), "bfloat16")
    updates = jax.jit(partial(jax.lax.scan, lambda state, g: make(1e-3).update(g, state, x)[::-1]))
    way = -updates(make(1e-3).init(x), ones)[1].astype("float32").sum(0).mean()
    stalled, _ = train(make(1e-3), x, ones)
    rounded, _ = train(optax.chain(make(1e-3), round_parameters()), x, ones)
    assert rounded.dtype == stalled.dtype == jnp.bfloat16
    assert way > 0.3
    assert 1 - float(rounded.astype("float32").mean()) == pytest.approx(float(way), rel=0.01)
    assert same_bits(stalled, x)


def test_other_dtypes_pass_through():
    params = {
        "float32": jnp.ones(3, "float32"),
        "float16": jnp.ones(3, "float16"),
        "complex": jnp.ones(3, "complex64"),
        "bfloat16": jnp.ones(3, "bfloat16"),
        "none": None,
    }
    optimizer = round_parameters()
    updates, state = optimizer.update(params, optimizer.init(params), params)
    assert {name: x.dtype.name for name, x in updates.items() if x is not None} == {
        "float32": "float32",
        "float16": "float16",
        "complex": "complex64",
        "bfloat16": "float32",
    }
    assert same_bits(
        [updates[n] for n in ("float32", "complex")], [params[n] for n in ("float32", "complex")]
    )
    assert updates["none"] is None
    assert state.count == 1


def test_parameters_that_are_not_trained_may_be_anything():
    params = {"w": P, "activation": jax.nn.relu, "steps": 3}
    updates = {"w": P, "activation": None, "steps": None}
    optimizer = round_parameters()
    out, _ = optimizer.update(updates, optimizer.init(params), params)
    assert same_bits(out["w"], P.astype("float32"))
    assert out["activation"] is out["steps"] is None


@pytest.mark.parametrize(
    "wrap",
    [
        lambda inner: inner,
        lambda inner: optax.masked(inner, {"w": True, "b": True}),
        lambda inner: optax.partition({"a": inner}, {"w": "a", "b": "a"}),
        lambda inner: optax.inject_hyperparams(
            lambda scale: optax.chain(optax.scale(scale), inner)
        )(1.0),
        lambda inner: optax.chain(optax.clip_by_global_norm(1e6), inner),
    ],
    ids=["bare", "masked", "partition", "inject", "chain"],
)
def test_wrappers_of_optax_change_no_bit(wrap):
    optimizer = optax.chain(amsgrad(1e-3), round_parameters())
    # In float32: XLA may leave out that updates are rounded to bfloat16, in some programs.
    params, grads = {"w": P, "b": P[0]}, {"w": WIDE, "b": WIDE[:, 0]}
    expected, _ = train(optimizer, params, grads)
    assert same_bits(train(wrap(optimizer), params, grads)[0], expected)


def test_multi_steps_goes_before_it():
    inner = optax.MultiSteps(amsgrad(1e-3), 2).gradient_transformation()
    twice, _ = train(optax.chain(inner, round_parameters()), P, jnp.repeat(GRADS, 2, axis=0))
    assert twice.dtype == jnp.bfloat16
    once, _ = train(amsgrad(1e-3), P.astype("float32"), GRADS.astype("float32"))
    np.testing.assert_allclose(twice.astype("float32"), once, rtol=0.03, atol=2e-3)


def test_apply_if_finite_goes_before_it():
    plain = optax.chain(amsgrad(1e-3), round_parameters())
    optimizer = optax.chain(optax.apply_if_finite(amsgrad(1e-3), 3), round_parameters())
    assert same_bits(train(optimizer, P, WIDE)[0], train(plain, P, WIDE)[0])
    assert same_bits(train(optimizer, P, WIDE[:2] * jnp.nan)[0], P)


# Repetition


OPTIMIZER = optax.chain(amsgrad(0.01, moment_dtype="bfloat16"), round_parameters())


def step(x, state, g):
    updates, state = OPTIMIZER.update(g, state, x)
    return optax.apply_updates(x, updates), state


def steps(x, state, grads):
    for g in grads:
        x, state = jax.jit(step)(x, state, g)
    return x, state


@pytest.mark.as_users_compile
def test_a_resumed_run_a_scan_and_a_loop_have_the_same_bits():
    start = P, OPTIMIZER.init(P)
    whole = steps(*start, GRADS)
    half = jax.tree.map(np.asarray, steps(*start, GRADS[:5]))
    assert same_bits(steps(*half, GRADS[5:]), whole)
    assert same_bits(train(OPTIMIZER, P, GRADS)[0], whole[0])


@pytest.mark.as_users_compile
def test_the_same_bits_sharded_or_not_without_communication():
    mesh = jax.make_mesh((2, 4), ("a", "b"), axis_types=(AxisType.Auto,) * 2)
    sharding = NamedSharding(mesh, PartitionSpec("a", "b"))
    x, *grads = jax.device_put([P, *GRADS[:3]], sharding)
    spread = steps(x, jax.jit(OPTIMIZER.init)(x), grads)
    assert spread[0].sharding.is_equivalent_to(sharding, 2)
    assert same_bits(spread, steps(P, OPTIMIZER.init(P), GRADS[:3]))
    text = jax.jit(step).lower(x, spread[1], grads[0]).compile().as_text()
    assert not any(word in text for word in ("all-gather", "all-reduce", "collective-permute"))


@pytest.mark.as_users_compile
def test_each_replica_of_vmap_shares_the_dither():
    xs, gs = jnp.stack([P] * 3), jnp.stack([GRADS[0]] * 3)
    many, _ = jax.jit(jax.vmap(step))(xs, jax.vmap(OPTIMIZER.init)(xs), gs)
    one, _ = jax.jit(step)(P, OPTIMIZER.init(P), GRADS[0])
    assert same_bits(many, jnp.stack([one] * 3))


@pytest.mark.as_users_compile
@pytest.mark.parametrize("dtype", ["bfloat16", "float32"])
def test_a_step_in_place_needs_no_memory_besides(dtype):
    x, g = jnp.zeros((256, 512), "bfloat16"), jnp.zeros((256, 512), dtype)
    lowered = jax.jit(step, donate_argnums=(0, 1)).lower(x, jax.eval_shape(OPTIMIZER.init, x), g)
    assert lowered.compile().memory_analysis().temp_size_in_bytes < 0.01 * x.nbytes


def test_leaves_steps_and_moments_have_dithers_of_their_own():
    x, u = jnp.ones(4096, "bfloat16"), jnp.full(4096, 2.0**-8, "float32")  # halfway
    optimizer = round_parameters()
    state = optimizer.init([x, x])
    ups = []
    for _ in range(2):
        updates, state = optimizer.update([u, u], state, [x, x])
        ups += [np.asarray(leaf) > 0 for leaf in updates]
    halfway = x.astype("float32") + u
    kinds = (store_average(halfway, x.dtype, jnp.int32(0), 0, kind) for kind in ("m", "v"))
    ups += [np.asarray(kind, np.float32) > 1 for kind in kinds]
    correlation = np.corrcoef(np.array(ups, float)) - np.eye(len(ups))
    assert np.all(abs(correlation) < 5 / np.sqrt(4096))


# Errors


def test_what_does_not_fit_is_refused():
    optimizer = round_parameters()
    state = optimizer.init({"w": P})
    with pytest.raises(ValueError, match=r"call update\(updates, state, params\)"):
        optimizer.update({"w": P}, state)
    with pytest.raises(TypeError, match=r"params must have the structure of the updates, .*'w'"):
        optimizer.update({"w": P}, state, {"v": P})
    with pytest.raises(ValueError, match=r"of shape \(16, 8\) has shape \(8,\)"):
        optimizer.update({"w": P[0]}, state, {"w": P})
