"""The AMSGrad states in an optimizer's state: found, filled, and stored as it stores them."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from jax.sharding import AxisType, NamedSharding, PartitionSpec
from reference import same_bits
from torch_runs import BEFORE, NAMES, START, amsgrad, refused, torch_state

import jamsgrad
from jamsgrad import interop, schedules


@pytest.mark.parametrize("count", [1, 1000])
@pytest.mark.parametrize("b2", [0.0, 0.95, 0.999, 0.9999999])
def test_the_weights_have_no_cancellation(b2, count):
    state_dict = torch_state("adam")
    state_dict["param_groups"][0]["betas"] = (0.9, b2)
    for entry in state_dict["state"].values():
        entry["step"] = np.float32(count)
    state = interop.from_torch(state_dict, START, names=NAMES)
    series = (1 - b2) * np.sum(b2 ** np.arange(count, dtype=float))
    np.testing.assert_allclose(state.v_weight, series, rtol=1e-14)


def test_a_state_in_a_chain_comes_back_in_it():
    schedule = schedules.inverse_sqrt(0.1)
    optimizer = optax.chain(optax.clip_by_global_norm(1.0), amsgrad(schedule))
    new = optimizer.init(START)
    state = interop.from_torch(torch_state("adam"), new, names=NAMES)
    assert jax.tree.structure(state) == jax.tree.structure(new)
    bare = interop.from_torch(torch_state("adam"), START, names=NAMES)
    assert same_bits(state[1][0], bare)
    assert state[1][1].count == BEFORE  # the schedule goes on where torch was


def test_an_injected_schedule_is_set_and_other_counts_are_not():
    optimizer = optax.chain(
        optax.ema(0.9), optax.inject_hyperparams(amsgrad)(optax.exponential_decay(0.1, 1, 0.9))
    )
    with jax.numpy_dtype_promotion("standard"):
        new = optimizer.init(START)
    ema, injected = interop.from_torch(torch_state("adam"), new, names=NAMES)
    assert injected.hyperparams_states["learning_rate"].count == BEFORE
    assert ema.count == 0  # its average starts here


@pytest.mark.parametrize(
    ("dtypes", "m", "vhat"),
    [
        ("bfloat16", "bfloat16", "bfloat16"),
        (jamsgrad.MomentDtypes(m="bfloat16", v="float32"), "bfloat16", "float64"),
    ],
)
def test_moments_are_stored_as_the_optimizer_stores_them(dtypes, m, vhat):
    new = amsgrad(moment_dtype=dtypes).init(START)
    state = interop.from_torch(torch_state("adam"), new, names=NAMES)[0]
    exact = interop.from_torch(torch_state("adam"), START, names=NAMES)
    for name in NAMES:
        assert state.m[name].dtype == m
        assert state.vhat[name].dtype == vhat
        assert same_bits(state.m[name], exact.m[name].astype(m))
        stored = np.asarray(state.vhat[name], float)
        assert np.all(stored >= exact.vhat[name])
        assert np.all(stored <= exact.vhat[name] * (1 + float(jnp.finfo(vhat).eps)))
        assert np.all(np.asarray(state.v[name], float) <= stored)


def test_a_state_of_numpy_arrays_will_do():
    new = amsgrad(schedules.inverse_sqrt(0.1)).init(START)
    restored = jax.tree.map(np.asarray, new)
    a, b = (interop.from_torch(torch_state("adam"), x, names=NAMES) for x in (new, restored))
    assert same_bits(a, b)


def test_moments_are_sharded_as_the_parameters():
    mesh = jax.make_mesh((2,), ("x",), axis_types=(AxisType.Auto,))
    sharding = NamedSharding(mesh, PartitionSpec(None, "x"))
    params = START | {"0.weight": jax.device_put(START["0.weight"], sharding)}
    for like in (params, amsgrad().init(params)):
        state = interop.from_torch(torch_state("adam"), like, names=NAMES)
        for moment in optax.tree_utils.tree_get_all_with_path(state, "0.weight"):
            assert moment[1].sharding.is_equivalent_to(sharding, 2)


MADE = {
    "torch": lambda new: interop.from_torch(torch_state("adam"), new, names=NAMES),
    "committing": lambda new: interop.from_torch(
        torch_state("adam"), new, names=NAMES, to_params=committed
    ),
    "keras": lambda new: interop.from_keras(keras_variables(), new, names=NAMES),
    "optax": lambda new: interop.from_optax(interop.to_optax(new)),
}


def committed(tree):
    return jax.device_put(tree, jax.devices()[0])


def keras_variables():
    shapes = [START[name].shape for name in NAMES]
    moments = [np.ones(shape) for shape in shapes for _ in "mv"] + [np.ones(s) for s in shapes]
    return [np.int32(7), np.float64(0.1), *moments]


def arrays_committed(tree):
    return [x.committed for x in jax.tree.leaves(tree)]


@pytest.mark.parametrize("source", MADE)
@pytest.mark.parametrize("place", [lambda tree: tree, committed], ids=["free", "committed"])
def test_arrays_are_committed_where_the_old_ones_were(place, source):
    rule = "optax" if source == "optax" else "pytorch"
    optimizer = jamsgrad.amsgrad(schedules.inverse_sqrt(0.1), convention=rule)
    new = place(optimizer.init(START))
    state = MADE[source](new)
    moments = [x for x in jax.tree.leaves(state) if x.ndim]
    expected = [x for x in jax.tree.leaves(new) if x.ndim]
    assert arrays_committed(moments) == arrays_committed(expected)
    if source != "optax":  # whose state has no weights
        assert arrays_committed(state) == arrays_committed(new)
    if not arrays_committed(new)[0]:
        step = jax.jit(optimizer.update)
        _, later = step(START, state)
        step(START, later)
        assert step._cache_size() == 1
        mesh = jax.make_mesh((2,), ("x",), axis_types=(AxisType.Auto,))
        step(jax.device_put(START, NamedSharding(mesh, PartitionSpec())), state)


@pytest.mark.parametrize(
    ("like", "got"),
    [
        (amsgrad(), "GradientTransformation"),
        (optax.adam(0.1).init({"x": jnp.ones(2)}), r"tuple: parameter \[0\].count has dtype int32"),
        ({"0.bias": jnp.ones(2, int)}, r"dict: parameter \['0.bias'\] has dtype int64"),
    ],
    ids=["optimizer", "another state", "integers"],
)
def test_what_is_neither_parameters_nor_state_is_refused(like, got):
    words = r"^like must be the parameters or the state of .*, optimizer.init\(params\), got "
    refused(TypeError, words + got, like=like)


def test_betas_out_of_range_are_refused():
    def change(state_dict):
        state_dict["param_groups"][0]["betas"] = [0.9, 1.0]

    refused(ValueError, r"b2 must be a finite number in \[0, 1\), got 1.0", change=change)
