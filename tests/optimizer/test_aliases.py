"""The optimizers: the numbers of the libraries people come from, and optax's tools around them."""

import json
import re
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from reference import CONVENTIONS, amsgrad, assert_trees_close, run, same_bits

import jamsgrad
from jamsgrad import Convention, conventions, schedules

VECTORS = np.load(Path(__file__).parents[1] / "data" / "amsgrad_vectors.npz")
CASES = [
    case
    for case in json.loads(str(VECTORS["meta"]))["cases"]
    if case["convention"] in (*CONVENTIONS, "custom")
]
RNG = np.random.default_rng(0)
GRADS = jnp.asarray(RNG.standard_normal((12, 3)))
START = jnp.asarray(RNG.standard_normal(3))


# Golden trajectories of the real libraries


def convention_of(case):
    if case["convention"] == "custom":
        return Convention(case["debias_m"], case["debias_v"])
    return conventions[case["convention"]]


def schedule(value):
    """The library's schedule and the reference's function of t for a value of the golden file."""
    if not isinstance(value, dict):
        return value, value
    words = value["schedule"]
    if words.startswith("lr/sqrt(t)"):
        return schedules.inverse_sqrt(value["lr"]), lambda t: value["lr"] / np.sqrt(t)
    b1 = value["b1"]
    if words.startswith("b1/t"):
        return schedules.inverse_time(b1), lambda t: b1 / t
    decay = value.get("decay", b1)
    assert words.startswith(("b1**t", "b1 * decay**(t-1)"))
    return optax.exponential_decay(b1, 1, decay), lambda t: b1 * decay ** (t - 1)


def optimizer_of(case):
    hyper = case["hyper"]
    arguments = (schedule(hyper["lr"])[0], schedule(hyper["b1"])[0], hyper["b2"], hyper["eps"])
    arguments += (hyper.get("eps_root", 0.0),)
    convention = convention_of(case)
    if "decoupled_weight_decay" in hyper:
        decay = hyper["decoupled_weight_decay"]
        optimizer = jamsgrad.amsgradw(*arguments, weight_decay=decay, convention=convention)
    else:
        optimizer = jamsgrad.amsgrad(*arguments, convention=convention)
    if "coupled_weight_decay" in hyper:
        decay = optax.add_decayed_weights(hyper["coupled_weight_decay"])
        optimizer = optax.chain(decay, optimizer)
    return optax.chain(optax.scale(-1.0), optimizer) if hyper.get("maximize") else optimizer


def errors(path, golden):
    """The largest error of each coordinate, relative to its largest value."""
    assert path.shape == golden.shape
    return np.abs(np.asarray(path, float) - golden).max(0) / np.abs(golden).max(0)


def test_all_golden_cases_are_here():
    assert len(CASES) == 26
    assert {case["convention"] for case in CASES} == {*CONVENTIONS, "custom"}


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("case", CASES, ids=lambda case: case["name"])
def test_golden_trajectories(case, dtype):
    golden, hyper = VECTORS[case["traj"]], case["hyper"]
    closed_loop = case["grads"] not in VECTORS
    grads = (lambda x: 2 * x, 100) if closed_loop else jnp.asarray(VECTORS[case["grads"]], dtype)
    project = (lambda x: jnp.clip(x, -1, 1)) if "project" in hyper else (lambda x: x)
    start = jnp.asarray(VECTORS[case["x0"]], dtype)
    path, _ = run(optimizer_of(case), start, grads, project=project)
    assert path.dtype == dtype
    error = errors(path, golden)
    if dtype == "float64":
        assert error.max() < 1e-12
        return
    # The squares of the 1e-30 gradients are 0 in float32. Then vhat is 0, and without eps_root a
    # coordinate whose vhat is 0 does not move, where float64 walks away in full steps.
    still = np.zeros(start.shape, bool)
    if not closed_loop and not hyper.get("eps_root"):
        still = np.all(np.square(grads) == 0, axis=0)
    assert np.all(np.ptp(np.vstack([start, path])[:, still], axis=0) == 0)
    assert error[~still].max() < 2e-6


def test_the_underflowing_coordinate_is_the_fourth_alone():
    for grads in (VECTORS["grads_S"], VECTORS["grads_Z"]):
        underflows = np.all(np.square(jnp.asarray(grads, "float32")) == 0, axis=0)
        assert np.flatnonzero(underflows).tolist() == [4]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["name"])
def test_the_reference_of_these_tests_agrees_with_the_golden_trajectories(case):
    golden, hyper = VECTORS[case["traj"]], case["hyper"]
    sign = -1 if hyper.get("maximize") else 1
    grads = sign * VECTORS[case["grads"]] if case["grads"] in VECTORS else [lambda x: 2 * x] * 100
    path = amsgrad(
        VECTORS[case["x0"]],
        grads,
        schedule(hyper["lr"])[1],
        schedule(hyper["b1"])[1],
        **{name: hyper[name] for name in ("b2", "eps", "eps_root") if name in hyper},
        **{k: v for k, v in convention_of(case)._asdict().items() if k != "eps"},
        weight_decay=hyper.get("decoupled_weight_decay", 0.0),
        l2=hyper.get("coupled_weight_decay", 0.0),
        project=(lambda x: np.clip(x, -1, 1)) if "project" in hyper else (lambda x: x),
    )
    assert errors(path, golden).max() < 1e-12


@pytest.mark.as_users_compile
@pytest.mark.parametrize(
    "case", [case for case in CASES if "last_line" in case], ids=lambda case: case["name"]
)
def test_the_tutorials_last_line_to_every_printed_digit(case):
    path, _ = run(optimizer_of(case), jnp.asarray(VECTORS[case["x0"]]), (lambda x: 2 * x, 100))
    x = np.asarray(path[-1])
    assert f">99 f({x}) = {np.sum(x**2):.5f}" == case["last_line"]


# The counterexample for which AMSGrad was made


def test_adam_fails_where_every_convention_succeeds():
    """Reddi et al., Theorem 1: the gradient is 3 every third step, else -1; the best x is -1."""
    grads = jnp.where(jnp.arange(1, 1001) % 3 == 1, 3.0, -1.0)
    rate = schedules.inverse_sqrt(0.5)

    def end(optimizer):
        path, _ = run(optimizer, jnp.zeros(()), grads, project=lambda x: jnp.clip(x, -1, 1))
        return path[-1]

    with jax.numpy_dtype_promotion("standard"):
        assert end(optax.adam(rate, b1=0.0, b2=0.1)) > 0.9
    for convention in CONVENTIONS:
        assert end(jamsgrad.amsgrad(rate, 0.0, 0.1, convention=convention)) < -0.99


# Learning rate and weight decay


@pytest.mark.parametrize("dtype", ["bfloat16", "float32", "float64", "complex64"])
@pytest.mark.parametrize(
    "wrap",
    [float, np.float32, np.float64, jnp.float32, jnp.float64, optax.constant_schedule],
    ids=["float", "numpy float32", "numpy float64", "float32", "float64", "schedule"],
)
def test_learning_rate_and_decay_of_any_kind_give_updates_of_the_gradients_dtype(wrap, dtype):
    g = jnp.array([1.0, -2.0, 0.0], dtype)
    decay = wrap(0.5) if wrap is not optax.constant_schedule else 0.5
    direction = jamsgrad.scale_by_amsgrad(0.5, 0.75)
    u, _ = direction.update(g, direction.init(g))
    for optimizer, expected in [
        (jamsgrad.amsgrad(wrap(0.25), 0.5, 0.75), -0.25 * u),
        (jamsgrad.amsgradw(wrap(0.25), 0.5, 0.75, weight_decay=decay), -0.25 * (u + 0.5 * g)),
    ]:
        updates, _ = optimizer.update(g, optimizer.init(g), g)
        assert updates.dtype == dtype
        assert np.array_equal(updates, expected)


@pytest.mark.parametrize("grad_dtype", ["bfloat16", "float32"])
def test_low_precision_gradients_train_float32_parameters_inside_scan(grad_dtype):
    optimizer = jamsgrad.amsgradw(schedules.inverse_sqrt(0.1), weight_decay=0.5)
    grads = GRADS.astype(grad_dtype)
    with jax.numpy_dtype_promotion("standard"):  # for optax.apply_updates
        path, (state, *_) = run(optimizer, START.astype("float32"), grads)
    assert path.dtype == state.v.dtype == "float32"
    expected = amsgrad(START, grads, lambda t: 0.1 / np.sqrt(t), weight_decay=0.5)
    np.testing.assert_allclose(path, expected, atol=1e-6 if grad_dtype == "float32" else 0.02)


@pytest.mark.parametrize("as_function", [False, True])
def test_amsgradw_decays_what_the_mask_selects(as_function):
    mask = {"weight": True, "bias": False}
    optimizer = jamsgrad.amsgradw(
        0.1, weight_decay=0.5, mask=(lambda params: mask) if as_function else mask
    )
    params, grads = {"weight": START, "bias": START}, {"weight": GRADS, "bias": GRADS}
    path, _ = run(optimizer, params, grads)
    for name, decay in (("weight", 0.5), ("bias", 0.0)):
        expected = amsgrad(START, GRADS, 0.1, weight_decay=decay)
        np.testing.assert_allclose(path[name], expected, rtol=1e-12)


def test_amsgradw_needs_the_parameters():
    optimizer = jamsgrad.amsgradw(0.1)
    with pytest.raises(ValueError, match=r"call update\(updates, state, params\)"):
        optimizer.update(START, optimizer.init(START))


@pytest.mark.parametrize("value", [-0.1, np.inf, np.nan])
def test_a_learning_rate_or_decay_out_of_range_is_refused(value):
    for build, name in [
        (lambda: jamsgrad.amsgrad(value), "learning_rate"),
        (lambda: jamsgrad.amsgradw(value), "learning_rate"),
        (lambda: jamsgrad.amsgradw(0.1, weight_decay=value), "weight_decay"),
    ]:
        with pytest.raises(ValueError, match=rf"^{name} must be .*, got {re.escape(repr(value))}$"):
            build()


def test_a_traced_learning_rate_and_decay_are_not_checked():
    def update(rate, decay):
        optimizer = jamsgrad.amsgradw(rate, weight_decay=decay)
        return optimizer.update(START, optimizer.init(START), START)[0]

    good = (0.1, 0.5)
    np.testing.assert_allclose(jax.jit(update)(*good), update(*good), rtol=1e-14)
    np.testing.assert_allclose(jax.jit(update)(-0.1, 0.5), -update(*good), rtol=1e-14)


# Optax's tools around the optimizers


def both(optimizer, wrapped):
    """The trajectories of two optimizers on the same gradients."""
    return run(optimizer, START, GRADS)[0], run(wrapped, START, GRADS)[0]


@pytest.mark.parametrize("make", [jamsgrad.amsgrad, jamsgrad.amsgradw])
def test_tree_get_finds_the_moments(make):
    optimizer = make(0.1)
    _, state = run(optimizer, START, GRADS)
    for name in jamsgrad.ScaleByAmsgradState._fields:
        found = optax.tree_utils.tree_get(state[0], name)
        assert same_bits(found, getattr(state[0], name))
    assert same_bits(optax.tree_utils.tree_get(state, "vhat"), state[0].vhat)


@pytest.mark.parametrize("make", [jamsgrad.amsgrad, jamsgrad.amsgradw])
def test_tree_map_params_maps_the_moments_and_nothing_else(make):
    optimizer = make(schedules.inverse_sqrt(0.1))
    params = {"a": START, "b": [START]}
    state = optimizer.init(params)
    mapped = optax.tree_map_params(
        optimizer, lambda _: "moment", state, transform_non_params=lambda _: "scalar"
    )
    names = {"a": "moment", "b": ["moment"]}
    assert mapped[0] == ("scalar", names, names, names, "scalar", "scalar")
    assert set(jax.tree.leaves(mapped[1:])) == {"scalar"}
    doubled = optax.tree_map_params(optimizer, lambda m, p: m + 2 * p, state, params)
    assert same_bits(doubled[0].v, jax.tree.map(lambda p: 2 * p, params))


@pytest.mark.parametrize(
    ("make", "hyper"),
    [
        (jamsgrad.amsgrad, {"b1": 0.8, "b2": 0.95, "eps": 1e-3, "eps_root": 1e-6}),
        (jamsgrad.amsgradw, {"b1": 0.8, "weight_decay": 0.5}),
        (jamsgrad.amsgrad, {"b1": schedules.inverse_time(0.9), "convention": "keras"}),
    ],
    ids=["amsgrad", "amsgradw", "schedule"],
)
def test_inject_hyperparams(make, hyper):
    hyper = {"learning_rate": 0.1, "convention": "pytorch"} | hyper
    injected = optax.inject_hyperparams(make)(**hyper)
    bare, path = both(make(**hyper), injected)
    np.testing.assert_allclose(path, bare, rtol=1e-12)


def test_an_injected_hyperparameter_changes_midway():
    injected = optax.inject_hyperparams(jamsgrad.amsgrad)(0.1, b1=0.9)
    first, state = run(injected, START, GRADS[:5])
    state.hyperparams["learning_rate"] = jnp.asarray(0.01)
    second, _ = run(injected, first[-1], GRADS[5:], state=state)
    expected = amsgrad(START, GRADS, lambda t: 0.1 if t <= 5 else 0.01)
    np.testing.assert_allclose(np.concatenate([first, second]), expected, rtol=1e-12)


def test_masked_passes_other_leaves_through():
    optimizer = optax.masked(jamsgrad.amsgrad(0.1), {"a": True, "b": False})
    params, grads = {"a": START, "b": START}, {"a": GRADS, "b": GRADS}
    path, state = run(optimizer, params, grads)
    np.testing.assert_allclose(path["a"], amsgrad(START, GRADS, 0.1), rtol=1e-12)
    np.testing.assert_allclose(path["b"], START[None] + np.cumsum(GRADS, 0), rtol=1e-12)
    assert state.inner_state[0].m["b"] == optax.MaskedNode()


def test_multi_transform_runs_each_label_alone():
    optimizer = optax.multi_transform(
        {"slow": jamsgrad.amsgrad(0.01), "fast": jamsgrad.amsgrad(0.1, convention="keras")},
        {"a": "slow", "b": "fast"},
    )
    path, _ = run(optimizer, {"a": START, "b": START}, {"a": GRADS, "b": GRADS})
    np.testing.assert_allclose(path["a"], amsgrad(START, GRADS, 0.01), rtol=1e-12)
    keras = conventions["keras"]._asdict()
    np.testing.assert_allclose(path["b"], amsgrad(START, GRADS, 0.1, **keras), rtol=1e-12)


def test_multi_steps_steps_on_the_mean_gradient():
    optimizer = optax.MultiSteps(jamsgrad.amsgrad(0.1), every_k_schedule=3)
    with jax.numpy_dtype_promotion("standard"):
        path, state = run(optimizer.gradient_transformation(), START, GRADS)
    expected = amsgrad(START, GRADS.reshape(4, 3, 3).mean(1), 0.1)
    np.testing.assert_allclose(path[2::3], expected, rtol=1e-6)  # optax accumulates in float32
    assert state.inner_opt_state[0].count == 4


def test_apply_if_finite_skips_the_bad_gradients():
    bad = jnp.stack([GRADS, jnp.full_like(GRADS, jnp.nan)], axis=1).reshape(24, 3)
    optimizer = optax.apply_if_finite(jamsgrad.amsgrad(0.1), max_consecutive_errors=2)
    path, state = run(optimizer, START, bad)
    expected = amsgrad(START, GRADS, 0.1)
    np.testing.assert_allclose(path[0::2], expected, rtol=1e-12)
    np.testing.assert_allclose(path[1::2], expected, rtol=1e-12)
    assert state.inner_state[0].count == 12


def test_schedule_free_averages_the_bare_iterates():
    beta, bare = 0.9, jamsgrad.amsgrad(0.1, b1=0.0)
    path, _ = run(optax.contrib.schedule_free(bare, 0.1, b1=beta), START, GRADS)
    z = amsgrad(START, GRADS, 0.1, b1=0.0)  # given gradients: the bare iterates
    x = np.cumsum(z, axis=0) / np.arange(1, 13)[:, None]  # constant learning rate: equal weights
    np.testing.assert_allclose(path, (1 - beta) * z + beta * x, rtol=1e-12)


def test_lookahead_pulls_the_bare_iterates_back():
    optimizer = optax.lookahead(jamsgrad.amsgrad(0.1), sync_period=4, slow_step_size=0.5)
    with jax.numpy_dtype_promotion("standard"):
        path, _ = run(optimizer, optax.LookaheadParams.init_synced(START), GRADS)
    moves = np.diff(amsgrad(START, GRADS, 0.1), axis=0, prepend=START[None])
    fast = slow = np.asarray(START)
    for t, move in enumerate(moves, start=1):
        fast = fast + move
        if t % 4 == 0:
            fast = slow = slow + 0.5 * (fast - slow)
        np.testing.assert_allclose(path.fast[t - 1], fast, rtol=1e-12)
        np.testing.assert_allclose(path.slow[t - 1], slow, rtol=1e-12)


def test_flatten_changes_nothing():
    params, grads = {"a": START, "b": START[0]}, {"a": GRADS, "b": GRADS[:, 0]}
    path, _ = run(optax.flatten(jamsgrad.amsgrad(0.1)), params, grads)
    assert_trees_close(path, run(jamsgrad.amsgrad(0.1), params, grads)[0], rtol=1e-14)


def test_learning_rate_schedules_compute_in_float64():
    schedule = optax.exponential_decay(0.1, 1, 0.99)
    optimizer = jamsgrad.amsgrad(schedule, 0.0, 0.0, 0.0)  # every step is alpha_t sign(g)
    state = optimizer.init(jnp.zeros(1))
    for t in range(5):
        updates, state = optimizer.update(jnp.ones(1), state)
        np.testing.assert_allclose(updates, -0.1 * 0.99**t, rtol=1e-15)


def test_updates_may_be_plain_numbers():
    optimizer = jamsgrad.scale_by_amsgrad(b2=0.99)
    updates, _ = optimizer.update(2.0, optimizer.init(1.0))
    np.testing.assert_allclose(updates, 1.0, rtol=1e-6)
