"""Optax goes on in jamsgrad, and jamsgrad in optax, as if nothing happened."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from reference import assert_trees_close, same_bits
from torch_runs import BEFORE, GRADS, HYPER, NAMES, START, amsgrad, later, run

import jamsgrad
from jamsgrad import Convention, interop, schedules

X, G = START["10.weight"], GRADS["10.weight"]


def optax_run(optimizer, params, grads, **kwargs):
    with jax.numpy_dtype_promotion("standard"):
        return run(optimizer, params, grads, **kwargs)


def pair(schedule=0.05, clip=10.0, rule=None):
    """The same chain with optax's AMSGrad and with ours."""
    rule = rule or jamsgrad.conventions["optax"]
    flags = {"bias_correction_mu": rule.debias_m, "bias_correction_nu": rule.debias_v != "never"}
    theirs, ours = (
        optax.chain(optax.clip_by_global_norm(clip), optimizer)
        for optimizer in (
            optax.amsgrad(schedule, **HYPER, **flags),
            jamsgrad.amsgrad(schedule, **HYPER, convention=rule),
        )
    )
    return theirs, ours


B = {name: HYPER[name] for name in ("b1", "b2")}
RULES = [Convention(m, v) for m in (True, False) for v in ("before_max", "never")]


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("rule", RULES, ids=str)
@pytest.mark.parametrize("back", [False, True], ids=["from", "to"])
def test_optax_and_jamsgrad_take_over_from_each_other(back, rule, dtype):
    theirs, ours = pair(schedules.inverse_sqrt(0.05), rule=rule)
    start, grads = {"x": X.astype(dtype)}, {"x": G.astype(dtype)}
    stayer, leaver = (ours, theirs) if not back else (theirs, ours)
    expected, end = optax_run(leaver, start, grads)
    path, state = optax_run(leaver, start, {"x": grads["x"][:BEFORE]})
    state = interop.to_optax(state) if back else interop.from_optax(state, **B)
    assert jax.tree.structure(state) == jax.tree.structure(stayer.init(start))
    params = jax.tree.map(lambda x: x[-1], path)
    path, after = optax_run(stayer, params, later(grads, ["x"]), state=state)
    tolerance = 1e-12 if dtype == "float64" else 5e-6
    expected = jax.tree.map(lambda x: x[BEFORE:], expected)
    assert_trees_close(path, expected, rtol=tolerance, atol=tolerance)
    after = interop.from_optax(after, **B) if back else interop.to_optax(after)
    assert_trees_close(after, end, rtol=tolerance, atol=tolerance)


def test_there_and_back_through_optax_changes_no_bit():
    theirs, ours = pair()
    _, state = optax_run(theirs, X, G)
    assert same_bits(interop.to_optax(interop.from_optax(state, **B)), state)
    _, state = run(ours, X, G)
    back = interop.from_optax(interop.to_optax(state), **B)
    assert same_bits(back[1][0][:4], state[1][0][:4])
    assert_trees_close(back, state, rtol=1e-14)


def test_a_bare_state_gives_a_bare_state():
    scale, ours = optax.scale_by_amsgrad(**HYPER), jamsgrad.scale_by_amsgrad(**HYPER)
    state = interop.from_optax(scale.init(START), **B)
    assert same_bits(state, ours.init(START))
    assert same_bits(interop.to_optax(state), scale.init(START))


def test_the_defaults_are_those_of_optax():
    _, state = optax_run(optax.amsgrad(0.1), X, G)
    _, ours = run(jamsgrad.amsgrad(0.1, convention="optax"), X, G)
    assert_trees_close(interop.from_optax(state), ours, rtol=1e-11)


def test_every_state_of_a_partition_is_exchanged():
    labels = {name: "a" if "bias" in name else "b" for name in NAMES}

    def partition(make):
        return optax.multi_transform({"a": make(0.1), "b": make(0.01)}, labels)

    with jax.numpy_dtype_promotion("standard"):
        theirs, ours = partition(optax.amsgrad).init(START), partition(jamsgrad.amsgrad).init(START)
    assert same_bits(interop.from_optax(theirs), ours)
    assert same_bits(interop.to_optax(ours), theirs)


def test_a_batch_of_states_is_carried_over_at_once():
    theirs, ours = optax.amsgrad(0.1, **HYPER), jamsgrad.amsgrad(0.1, **HYPER, convention="optax")
    starts, grads = (jnp.stack([x, 2 * x, -x]) for x in (X, G))
    with jax.numpy_dtype_promotion("standard"):
        _, state = jax.vmap(lambda p, g: run(theirs, p, g))(starts, grads)
    _, expected = jax.vmap(lambda p, g: run(ours, p, g))(starts, grads)
    assert_trees_close(interop.from_optax(state, **B), expected, rtol=1e-12)


def test_moment_dtype_of_a_state_from_optax():
    _, state = optax_run(optax.scale_by_amsgrad(**HYPER), X, G)
    narrow = interop.from_optax(state, **B, moment_dtype="bfloat16")
    assert same_bits(narrow.m, state.mu.astype("bfloat16"))
    assert same_bits(narrow.v, state.nu.astype("bfloat16"))
    assert narrow.vhat.dtype == "bfloat16"
    stored = np.asarray(narrow.vhat, float)
    assert np.all((stored >= state.nu_max) & (stored <= state.nu_max * (1 + 2**-7)))
    wide = interop.to_optax(narrow)
    assert {x.dtype.name for x in wide[1:]} == {"float32"}
    assert same_bits(interop.from_optax(wide, **B, moment_dtype="bfloat16")[1:4], narrow[1:4])


def test_optaxs_own_bfloat16_moments_are_widened():
    params, grads = X.astype("bfloat16"), G.astype("bfloat16")
    _, state = optax_run(optax.scale_by_amsgrad(**HYPER), params, grads)
    ours = interop.from_optax(state, **B)
    assert state.mu.dtype == "bfloat16"
    assert {x.dtype.name for x in ours} == {"int32", "float32"}
    assert same_bits(ours.m, state.mu.astype("float32"))


def test_complex_parameters_of_optax():
    params, grads = (jax.lax.complex(x["2.weight"], x["10.weight"]) for x in (START, GRADS))
    theirs, ours = pair()
    _, state = optax_run(theirs, params, grads)
    _, expected = run(ours, params, grads)
    assert_trees_close(interop.from_optax(state, **B), expected, rtol=1e-12)
    dtypes = [x.dtype for x in jax.tree.leaves(interop.to_optax(expected))]
    assert dtypes == [x.dtype for x in jax.tree.leaves(state)]
    with pytest.raises(TypeError, match="optax keeps v of the magnitude, convention='pytorch' of"):
        interop.to_optax(jamsgrad.amsgrad(0.1, convention="pytorch").init(params))


def test_a_state_of_another_optimizer_is_refused():
    with jax.numpy_dtype_promotion("standard"):
        adam, theirs = optax.adam(0.1).init(START), optax.amsgrad(0.1).init(START)
    ours = amsgrad().init(START)
    for state in (adam, ours, {}):
        with pytest.raises(ValueError, match=r"be or hold a optax\.ScaleByAmsgradState"):
            interop.from_optax(state)
    for state in (adam, theirs, None):
        with pytest.raises(ValueError, match=r"be or hold a jamsgrad\.ScaleByAmsgradState"):
            interop.to_optax(state)
    with pytest.raises(ValueError, match=r"b2 must be a finite number in \[0, 1\), got 1"):
        interop.from_optax(theirs, 0.9, 1)
