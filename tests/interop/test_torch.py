"""Torch goes on in jamsgrad, and jamsgrad in torch, as if nothing happened."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from reference import assert_trees_close, same_bits
from torch_runs import (
    BEFORE,
    FILE,
    GRADS,
    HYPER,
    NAMES,
    START,
    amsgrad,
    first,
    in_dtype,
    later,
    run,
    torch_path,
    torch_state,
)

import jamsgrad
from jamsgrad import ScaleByAmsgradState, interop, schedules


def maximizing():
    decay = optax.add_decayed_weights(0.1)
    return optax.chain(optax.scale(-1.0), decay, amsgrad())


def by_group():
    """A learning rate for the weights and one for the biases."""
    labels = {name: name.partition(".")[2] for name in NAMES}
    return optax.multi_transform({"weight": amsgrad(0.01), "bias": amsgrad(0.1)}, labels)


OPTIMIZERS = {
    "adam": amsgrad,
    "float32": amsgrad,
    "named": amsgrad,
    "groups": by_group,
    "l2": lambda: optax.chain(optax.add_decayed_weights(0.1), amsgrad()),
    "maximize": maximizing,
    "adamw": lambda: jamsgrad.amsgradw(0.01, **HYPER, weight_decay=0.1, convention="pytorch"),
    "fused": amsgrad,
    "complex": amsgrad,
}


def names_of(case):
    named = any("param_names" in group for group in torch_state(case)["param_groups"])
    return None if named else NAMES


# From torch


@pytest.mark.parametrize("case", OPTIMIZERS)
def test_from_torch_goes_on_as_torch_does(case):
    path, optimizer = torch_path(case), OPTIMIZERS[case]()
    params = first(path)
    dtype = params["0.bias"].dtype
    state = optimizer.init(params)
    state = interop.from_torch(torch_state(case), state, names=names_of(case))
    grads = in_dtype(later(GRADS), dtype)
    ours, _ = run(optimizer, params, grads, state=state)
    theirs = {name: x[1:] for name, x in path.items()}
    if dtype != "float32":
        assert_trees_close(ours, theirs, rtol=1e-12)
    else:  # five steps of 0.01 and less, each to the rounding of a number of order 1
        assert_trees_close(ours, theirs, rtol=2e-7, atol=2e-7)


@pytest.mark.parametrize("case", OPTIMIZERS)
def test_from_torch_gives_the_state_of_those_who_never_left(case):
    optimizer = OPTIMIZERS[case]()
    dtype = FILE[f"{case}/path/0.bias"].dtype
    start, grads = in_dtype((START, GRADS), dtype)
    new = optimizer.init(start)
    _, stayed = run(optimizer, start, {name: g[:BEFORE] for name, g in grads.items()}, state=new)
    came = interop.from_torch(torch_state(case), new, names=names_of(case))
    tolerance = 1e-12 if dtype != "float32" else 3e-6
    assert_trees_close(came, stayed, rtol=tolerance, atol=tolerance)
    assert [x.dtype for x in jax.tree.leaves(came)] == [x.dtype for x in jax.tree.leaves(new)]


def test_from_torch_copies_the_moments_bit_for_bit():
    state_dict = torch_state("adam")
    state = interop.from_torch(state_dict, START, names=NAMES)
    assert isinstance(state, ScaleByAmsgradState)
    for number, name in enumerate(NAMES):
        entry = state_dict["state"][number]
        assert same_bits(state.m[name], entry["exp_avg"])
        assert same_bits(state.v[name], entry["exp_avg_sq"])
        assert same_bits(state.vhat[name], entry["max_exp_avg_sq"])
    assert state.count == BEFORE
    assert state.count.dtype == "int32"


def aligned(x):
    """A copy that starts where JAX could take it over without copying."""
    room = np.zeros(x.nbytes + 4096, np.uint8)
    start = -room.ctypes.data % 4096
    out = room[start : start + x.nbytes].view(x.dtype).reshape(x.shape)
    out[...] = x
    return out


@pytest.mark.parametrize("to_params", [None, jax.device_put])
def test_what_torch_does_later_is_not_seen_here(to_params):
    state_dict = torch_state("adam")
    state_dict["state"] = jax.tree.map(aligned, state_dict["state"])
    state = interop.from_torch(state_dict, START, names=NAMES, to_params=to_params)
    before = jax.tree.map(np.array, state)
    for x in jax.tree.leaves(state_dict["state"]):
        np.add(x, 1, out=x)
    assert same_bits(state, before)


# To torch


@pytest.mark.parametrize("case", OPTIMIZERS)
def test_to_torch_gives_the_state_dict_that_torch_itself_has(case):
    theirs, optimizer = torch_state(case), OPTIMIZERS[case]()
    dtype = FILE[f"{case}/path/0.bias"].dtype
    start, grads = in_dtype((START, GRADS), dtype)
    _, state = run(optimizer, start, {name: g[:BEFORE] for name, g in grads.items()})
    new = {"state": {}, "param_groups": theirs["param_groups"]}
    ours = interop.to_torch(state, new, np.asarray, names=names_of(case))
    assert ours["param_groups"] == theirs["param_groups"]
    tolerance = 1e-12 if dtype != "float32" else 3e-6
    assert_trees_close(ours["state"], theirs["state"], rtol=tolerance, atol=tolerance)
    dtypes = [{key: x.dtype for key, x in entry.items()} for entry in ours["state"].values()]
    assert dtypes == [{key: x.dtype for key, x in e.items()} for e in theirs["state"].values()]


@pytest.mark.parametrize("case", ["adam", "named", "groups", "float32", "complex"])
def test_there_and_back_changes_no_bit(case):
    state_dict, names = torch_state(case), names_of(case)
    like = OPTIMIZERS[case]().init(first(torch_path(case)))
    state = interop.from_torch(state_dict, like, names=names)
    back = interop.to_torch(state, state_dict, np.asarray, names=names)
    assert same_bits(back["state"], state_dict["state"])
    assert back["param_groups"] == state_dict["param_groups"]
    again = interop.from_torch(back, like, names=names)
    assert same_bits(again, state)


def test_frozen_parameters_have_no_state_in_torch_either():
    state_dict = torch_state("frozen")
    trained = {name: START[name] for name in NAMES if name != "10.bias"}
    state = interop.from_torch(state_dict, trained)
    back = interop.to_torch(state, state_dict, np.asarray)
    assert same_bits(back["state"], state_dict["state"])
    thawed = interop.to_torch(amsgrad().init(START), state_dict, np.asarray)
    assert len(thawed["state"]) == len(NAMES)
    for names, words in [
        (trained.keys() - {"0.bias"}, "^torch has '0.bias', not found here. Tell"),
        (trained.keys() | {"11"}, "^here is '11', which torch does not have"),
    ]:
        wrong = {name: START.get(name, START["0.bias"]) for name in names}
        with pytest.raises(ValueError, match=words):
            interop.to_torch(amsgrad().init(wrong), state_dict, np.asarray)
    new = {"state": {}, "param_groups": state_dict["param_groups"]}
    with pytest.raises(ValueError, match=r"^torch has '10.bias', not found here. Tell"):
        interop.to_torch(state, new, np.asarray)


@pytest.mark.parametrize("from_params", [None, partial(jax.tree.map, jnp.asarray)])
def test_torch_may_step_in_place_on_what_it_is_given(from_params):
    given = []
    state = interop.from_torch(torch_state("adam"), START, names=NAMES)
    before = jax.tree.map(np.array, state)
    interop.to_torch(state, torch_state("adam"), given.append, names=NAMES, from_params=from_params)
    assert len(given) == 4 * len(NAMES)
    for x in given:
        np.add(x, 1, out=x)
    assert same_bits(state, before)


def test_bfloat16_moments_become_float32():
    new = amsgrad(moment_dtype="bfloat16").init(START)
    state = interop.from_torch(torch_state("adam"), new, names=NAMES)
    back = interop.to_torch(state, torch_state("adam"), np.asarray, names=NAMES)
    for number, name in enumerate(NAMES):
        x = back["state"][number]["exp_avg_sq"]
        assert x.dtype == np.float32
        assert np.array_equal(x, np.asarray(state[0].v[name], np.float32))


@pytest.mark.parametrize("case", ["adam", "groups", "adamw", "complex"])
def test_real_torch_goes_on_as_jamsgrad_does(case):
    torch = pytest.importorskip("torch", reason="torch is not among the test dependencies")
    kind = torch.optim.AdamW if case == "adamw" else torch.optim.Adam
    params = {name: torch.tensor(x[0], requires_grad=True) for name, x in torch_path(case).items()}
    state_dict = torch_state(case)
    numbered = [n for g in state_dict["param_groups"] for n in g.get("param_names", NAMES)]
    groups, rest = [], iter(numbered)
    for group in state_dict["param_groups"]:
        own = {key: x for key, x in group.items() if key not in ("params", "param_names")}
        pairs = [(name, params[name]) for _, name in zip(group["params"], rest, strict=False)]
        groups.append({"params": pairs, **own})
    optimizer = kind(groups)
    start, grads = in_dtype((START, GRADS), FILE[f"{case}/path/0.bias"].dtype)
    state = interop.from_torch(state_dict, start, names=numbered)
    optimizer.load_state_dict(interop.to_torch(state, optimizer.state_dict(), torch.tensor))
    for t in range(1, 6):
        for name, p in params.items():
            p.grad = torch.tensor(np.array(grads[name][BEFORE + t - 1]))
        optimizer.step()
        for name, p in params.items():
            assert np.array_equal(p.detach().numpy(), torch_path(case)[name][t])


def test_to_torch_refuses_what_torch_could_not_go_on_with():
    state = interop.from_torch(torch_state("adam"), START, names=NAMES)
    fits, other_b2, no_maximum = (torch_state("adam") for _ in range(3))
    other_b2["param_groups"][0]["betas"] = [0.8, 0.999]
    no_maximum["param_groups"][0]["amsgrad"] = False
    _, scheduled = run(jamsgrad.amsgrad(0.1, schedules.inverse_time(0.8), 0.95), START, GRADS)
    batch = jax.tree.map(lambda x: jnp.stack([x, x]), state)
    for given, state_dict, words, options in [
        (state, other_b2, r"another b2 than .* 0.999: .*, not to 1 - b2\*\*7 = 0.006", {}),
        (state, no_maximum, "amsgrad=False, which has no maximum", {}),
        (scheduled, fits, "another b1 than that of state_dict, 0.8", {}),
        (batch, fits, r"one number of steps, torch's step, got \[\[7, 7\]\]", {}),
        (START, fits, "hold a jamsgrad.ScaleByAmsgradState, got dict without one", {}),
        (state, fits, r"here is '0.bias', .*from_params", {"names": list("abcde")}),
        (
            state,
            fits,
            r"of '0.weight' has shape \(2, 3\), expected \(3, 2\): should from_params",
            {"from_params": lambda t: t | {"0.weight": t["0.weight"].T}},
        ),
    ]:
        with pytest.raises(ValueError, match=words):
            interop.to_torch(given, state_dict, np.asarray, **{"names": NAMES, **options})
