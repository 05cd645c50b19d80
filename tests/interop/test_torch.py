"""The carry-over: torch and optax go on in jamsgrad, and jamsgrad in them, as if nothing happened.

`data/torch_states.npz` was written by torch itself, see `data/make_torch_states.py`.
"""

import copy
import json
import re
from dataclasses import dataclass
from functools import partial
from operator import itemgetter
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from jax.sharding import AxisType, NamedSharding, PartitionSpec
from reference import assert_trees_close, same_bits

import jamsgrad
from jamsgrad import Convention, ScaleByAmsgradState, interop, schedules

FILE = np.load(Path(__file__).parents[1] / "data" / "torch_states.npz")
META = json.loads(str(FILE["meta"]))
NAMES, BEFORE = META["names"], META["before"]
START = {name: jnp.asarray(FILE[f"start/{name}"]) for name in NAMES}
GRADS = {name: jnp.asarray(FILE[f"grads/{name}"]) for name in NAMES}
HYPER = {"b1": 0.8, "b2": 0.95, "eps": 1e-6}


def torch_state(case):
    """The state dict of torch after seven steps."""
    state = {}
    for path in FILE.files:
        if path.startswith(f"{case}/state/"):
            number, key = path.split("/")[2:]
            state.setdefault(int(number), {})[key] = FILE[path].copy()
    return {"state": state, "param_groups": copy.deepcopy(META["cases"][case]["param_groups"])}


def torch_path(case, names=NAMES):
    """Torch's parameters after the seventh and after every later step."""
    return {name: FILE[f"{case}/path/{name}"] for name in names}


def first(path):
    return {name: jnp.asarray(x[0]) for name, x in path.items()}


def later(grads, names=NAMES):
    return {name: grads[name][BEFORE:] for name in names}


def amsgrad(learning_rate=0.01, moment_dtype=None):
    return jamsgrad.amsgrad(learning_rate, **HYPER, convention="pytorch", moment_dtype=moment_dtype)


def run(optimizer, params, grads, *, state=None):
    """The parameters after every step, and the last state: op by op, with nothing to compile."""
    state = optimizer.init(params) if state is None else state
    path = []
    for t in range(len(jax.tree.leaves(grads)[0])):
        updates, state = optimizer.update(jax.tree.map(itemgetter(t), grads), state, params)
        params = optax.apply_updates(params, updates)
        path.append(params)
    return jax.tree.map(lambda *xs: jnp.stack(xs), *path), state


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
    grads = jax.tree.map(lambda g: g.astype(dtype), later(GRADS))
    ours, _ = run(optimizer, params, grads, state=state)
    theirs = {name: x[1:] for name, x in path.items()}
    if dtype == "float64":
        assert_trees_close(ours, theirs, rtol=1e-12)
    else:  # five steps of 0.01 and less, each to the rounding of a number of order 1
        assert_trees_close(ours, theirs, rtol=2e-7, atol=2e-7)


@pytest.mark.parametrize("case", OPTIMIZERS)
def test_from_torch_gives_the_state_of_those_who_never_left(case):
    optimizer = OPTIMIZERS[case]()
    dtype = FILE[f"{case}/path/0.bias"].dtype
    start, grads = jax.tree.map(lambda x: x.astype(dtype), (START, GRADS))
    new = optimizer.init(start)
    _, stayed = run(optimizer, start, {name: g[:BEFORE] for name, g in grads.items()}, state=new)
    came = interop.from_torch(torch_state(case), new, names=names_of(case))
    tolerance = 1e-12 if dtype == "float64" else 3e-6
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


def test_masked_parameters_are_left_out():
    named = torch_state("frozen")
    mask = {name: name != "10.bias" for name in NAMES}
    optimizer = optax.masked(amsgrad(), mask)
    path = torch_path("frozen")
    params = first(path)
    state = interop.from_torch(named, optimizer.init(params))
    grads = later(GRADS) | {"10.bias": jnp.zeros((5, 2))}
    ours, _ = run(optimizer, params, grads, state=state)
    assert_trees_close(ours, {name: x[1:] for name, x in path.items()}, rtol=1e-12)


def test_frozen_parameters_may_be_left_out_of_the_tree():
    params = {name: START[name] for name in NAMES if name != "10.bias"}
    state = interop.from_torch(torch_state("frozen"), params)
    assert state.m.keys() == params.keys()


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


# Which tensor belongs to which leaf


def nested(tree):
    """The parameters by layer, as a model has them."""
    layers = [{}, {}, {}]
    for name, x in tree.items():
        layer, kind = name.split(".")
        layers[["0", "2", "10"].index(layer)][{"weight": "kernel"}.get(kind, kind)] = x.T
    return {"layers": layers}


def flat(tree):
    """Back to torch's names and layout."""
    return {
        f"{number}.{ {'kernel': 'weight'}.get(kind, kind) }": x.T
        for number, layer in zip(("0", "2", "10"), tree["layers"], strict=True)
        for kind, x in layer.items()
    }


def test_the_order_of_a_dict_does_not_matter():
    turned = dict(reversed(START.items()))
    a, b = (interop.from_torch(torch_state("adam"), x, names=NAMES) for x in (START, turned))
    assert same_bits(a, b)
    assert list(jax.tree.map(jnp.abs, START)) != NAMES  # why: JAX sorts the keys


def test_paths_are_names():
    def deep(tree):
        out = {}
        for name, x in tree.items():
            layer, kind = name.split(".")
            out.setdefault(layer, {})[kind] = x
        return out

    state = interop.from_torch(torch_state("named"), deep(START))
    bare = interop.from_torch(torch_state("named"), START)
    assert same_bits(state.m, deep(bare.m))


def test_a_list_has_the_order_of_torch():
    state = interop.from_torch(torch_state("adam"), list(START.values()))
    named = interop.from_torch(torch_state("adam"), START, names=NAMES)
    assert same_bits(dict(zip(NAMES, state.vhat, strict=True)), dict(named.vhat))


def test_to_params_transposes_the_moments_as_the_weights():
    params = nested(START)
    state = interop.from_torch(torch_state("named"), params, to_params=nested)
    bare = interop.from_torch(torch_state("named"), START)
    for field in ("m", "v", "vhat"):
        assert same_bits(getattr(state, field), nested(getattr(bare, field)))


@partial(jax.tree_util.register_dataclass, data_fields=["value"], meta_fields=[])
@dataclass
class Variable:
    """A leaf as Flax NNX wraps it."""

    value: jax.Array


def test_the_variables_of_flax_have_the_names_of_what_they_hold():
    params = {name: Variable(x) for name, x in START.items()}
    state_dict = torch_state("named")
    state = interop.from_torch(state_dict, amsgrad().init(params))
    bare = interop.from_torch(state_dict, START)
    assert same_bits(state[0].m, {name: Variable(x) for name, x in bare.m.items()})
    back = interop.to_torch(state, state_dict, np.asarray)
    assert same_bits(back["state"], state_dict["state"])


@partial(jax.tree_util.register_dataclass, data_fields=["query", "key", "value"], meta_fields=[])
@dataclass
class Attention:
    """Parameters of which one is called as what a variable of Flax holds."""

    query: jax.Array
    key: jax.Array
    value: jax.Array


@pytest.mark.parametrize("frozen", [(), ("query", "key")])
@pytest.mark.parametrize("wrap", [lambda x: x, Variable])
def test_an_attribute_called_value_beside_others_is_a_parameter(wrap, frozen):
    names = ("query", "key", "value")
    tensors = dict(zip(names, START.values(), strict=False))
    layer = Attention(**{name: wrap(x) for name, x in tensors.items()})
    mask = Attention(**{name: name not in frozen for name in names})
    optimizer = optax.masked(amsgrad(), mask)
    state_dict = torch_state("adam")
    kept = {i: entry for i, entry in enumerate(state_dict["state"].values()) if i < 3}
    state_dict["state"] = {i: e for i, e in kept.items() if names[i] not in frozen}
    state_dict["param_groups"][0]["params"] = [0, 1, 2]
    state = interop.from_torch(state_dict, optimizer.init(layer), names=names)
    moment = getattr(state.inner_state[0].m.value, "value", state.inner_state[0].m.value)
    assert same_bits(moment, kept[2]["exp_avg"])
    back = interop.to_torch(state, state_dict, np.asarray, names=names)
    assert same_bits(back["state"], state_dict["state"])


def test_leaves_of_one_name_are_refused():
    like = START | {"0": {"weight": START["0.weight"]}}
    refused(ValueError, "^more than one leaf has the name '0.weight', .* joined by dots", like=like)


def test_names_may_be_any_iterable_and_win_over_those_in_the_state_dict():
    renamed = {f"module.{name}": x for name, x in START.items()}
    state = interop.from_torch(torch_state("named"), renamed, names=renamed)
    bare = interop.from_torch(torch_state("named"), START)
    assert same_bits(state.m, {f"module.{name}": x for name, x in bare.m.items()})


class Tensor:
    """What a tensor of torch shows: bfloat16 has no NumPy dtype, and other devices no array."""

    def __init__(self, x, dtype, device="cpu", grad=True):
        self.x, self.dtype, self.device, self.grad = np.asarray(x), dtype, device, grad

    def detach(self):
        return Tensor(self.x, self.dtype, self.device, grad=False)

    def cpu(self):
        return Tensor(self.x, self.dtype, "cpu", self.grad)

    def float(self):
        return Tensor(self.x.astype(np.float32), "torch.float32", self.device, self.grad)

    def __array__(self, dtype=None, copy=None):
        if self.device != "cpu" or self.grad or self.dtype == "torch.bfloat16":
            raise TypeError("torch refuses")
        return self.x


@pytest.mark.parametrize("dtype", ["torch.float64", "torch.bfloat16"])
def test_tensors_are_read_from_any_device(dtype):
    state_dict = torch_state("adam")
    arrays = interop.from_torch(state_dict, START, names=NAMES)
    state_dict["state"] = {
        i: {key: Tensor(x, dtype, "cuda") for key, x in entry.items()}
        for i, entry in state_dict["state"].items()
    }
    betas = state_dict["param_groups"][0]["betas"]
    state_dict["param_groups"][0]["betas"] = [Tensor(b, "torch.float64", "cuda") for b in betas]
    tensors = interop.from_torch(state_dict, START, names=NAMES)
    assert_trees_close(tensors, arrays, rtol=1e-12 if dtype == "torch.float64" else 1e-7)


# To torch


@pytest.mark.parametrize("case", OPTIMIZERS)
def test_to_torch_gives_the_state_dict_that_torch_itself_has(case):
    theirs, optimizer = torch_state(case), OPTIMIZERS[case]()
    dtype = FILE[f"{case}/path/0.bias"].dtype
    start, grads = jax.tree.map(lambda x: x.astype(dtype), (START, GRADS))
    _, state = run(optimizer, start, {name: g[:BEFORE] for name, g in grads.items()})
    new = {"state": {}, "param_groups": theirs["param_groups"]}
    ours = interop.to_torch(state, new, np.asarray, names=names_of(case))
    assert ours["param_groups"] == theirs["param_groups"]
    tolerance = 1e-12 if dtype == "float64" else 3e-6
    assert_trees_close(ours["state"], theirs["state"], rtol=tolerance, atol=tolerance)
    dtypes = [{key: x.dtype for key, x in entry.items()} for entry in ours["state"].values()]
    assert dtypes == [{key: x.dtype for key, x in e.items()} for e in theirs["state"].values()]


@pytest.mark.parametrize("case", ["adam", "named", "groups", "float32"])
def test_there_and_back_changes_no_bit(case):
    state_dict, names = torch_state(case), names_of(case)
    like = OPTIMIZERS[case]().init(first(torch_path(case)))
    state = interop.from_torch(state_dict, like, names=names)
    back = interop.to_torch(state, state_dict, np.asarray, names=names)
    assert same_bits(back["state"], state_dict["state"])
    assert back["param_groups"] == state_dict["param_groups"]
    again = interop.from_torch(back, like, names=names)
    assert same_bits(again, state)


def test_from_params_transposes_back():
    state_dict = torch_state("named")
    state = interop.from_torch(state_dict, nested(START), to_params=nested)
    back = interop.to_torch(state, state_dict, np.asarray, from_params=flat)
    assert same_bits(back["state"], state_dict["state"])


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


@pytest.mark.parametrize("case", ["adam", "groups", "adamw"])
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
    state = interop.from_torch(state_dict, START, names=numbered)
    optimizer.load_state_dict(interop.to_torch(state, optimizer.state_dict(), torch.tensor))
    for t in range(1, 6):
        for name, p in params.items():
            p.grad = torch.tensor(np.array(GRADS[name][BEFORE + t - 1]))
        optimizer.step()
        for name, p in params.items():
            assert np.array_equal(p.detach().numpy(), torch_path(case)[name][t])


# What does not fit is refused by its name


def refused(error, words, case="adam", like=START, change=lambda state_dict: None, **kwargs):
    state_dict = torch_state(case)
    change(state_dict)
    with pytest.raises(error, match=words):
        interop.from_torch(state_dict, like, **{"names": NAMES, **kwargs})


@pytest.mark.parametrize("got", [["model", "optimizer"], "list"])
def test_another_mapping_is_refused(got):
    given = [1] if got == "list" else dict.fromkeys(got)
    with pytest.raises(ValueError, match="must have 'state' and 'param_groups', as"):
        interop.from_torch(given, START)
    with pytest.raises(ValueError, match=re.escape(f"got {got}")):
        interop.to_torch(jamsgrad.amsgrad(0.1).init(START), given, np.asarray)


def test_a_state_without_the_maximum_is_refused():
    words = r"no 'max_exp_avg_sq' of '2.weight': it was trained with amsgrad=False"
    refused(ValueError, words, "no_maximum")


@pytest.mark.parametrize("key", ["step", "exp_avg", "exp_avg_sq"])
def test_a_missing_entry_is_refused(key):
    def drop(state_dict):
        del state_dict["state"][2][key]

    refused(ValueError, f"no '{key}' of '10.bias'$", change=drop)


def test_another_optimizer_is_refused():
    refused(ValueError, "no 'step' of '2.weight'", "sgd")

    def drop(state_dict):
        del state_dict["param_groups"][0]["betas"]

    refused(ValueError, "another optimizer than Adam: a group has no 'betas'", change=drop)


def test_an_optimizer_that_took_no_step_is_refused():
    refused(ValueError, "holds no state: torch's optimizer has taken no step", "new")


def test_different_counts_are_refused():
    words = re.escape("same number of steps, got {7: '0.bias', 6: '10.bias'}")
    refused(ValueError, words, "uneven")


def test_other_shapes_are_refused():
    like = START | {"0.weight": START["0.weight"].T}
    words = (
        r"m \(exp_avg\) of '0.weight' has shape \(3, 2\), expected \(2, 3\): should to_params tr"
    )
    refused(ValueError, words, like=like)
    words = r"m \(exp_avg\) of '0.bias' has shape \(2,\), expected \(4,\)$"
    refused(ValueError, words, like=START | {"0.bias": jnp.ones(4)})

    def change(state_dict):
        state_dict["state"][4]["max_exp_avg_sq"] = np.ones(3)

    words = r"vhat \(max_exp_avg_sq\) of '0.bias' has shape \(3,\), expected \(2,\)$"
    refused(ValueError, words, change=change)


def test_a_parameter_without_state_is_refused():
    words = "^here is '10.bias', which torch does not have or never updated"
    refused(ValueError, words, "frozen", names=None)


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


def test_a_state_without_parameter_is_refused():
    like = {name: START[name] for name in NAMES if name != "10.bias"}
    words = "^torch has '10.bias', not found here. Tell"
    refused(ValueError, words, like=like)


def test_a_dict_of_parameters_without_names_is_refused():
    words = r"^torch has '0', .*; here is '0.bias', .*names=dict\(model.named_parameters\(\)\), or"
    refused(ValueError, words, names=None)


def test_only_a_few_of_many_names_are_told():
    many = {f"layer.{i}": jnp.ones(1) for i in range(100)}
    refused(ValueError, r"here is 'layer.0', ('layer.\d+',? ){4}and 95 more, which", like=many)


@pytest.mark.parametrize(
    ("names", "words"),
    [
        (NAMES[1:], "names has 4 names, state_dict has 5 parameters"),
        ([*NAMES[1:], NAMES[1]], "names must differ"),
        (START.items(), r"names must be strings, .* got \['tuple'\]"),
    ],
)
def test_names_that_do_not_fit_are_refused(names, words):
    refused(ValueError, words, names=names)


def test_to_params_that_asks_for_another_name_is_refused():
    words = "to_params asks for 'bias', state_dict has .*'0.bias'"
    refused(ValueError, words, to_params=lambda tree: {"b": tree["bias"]})


def test_groups_with_different_betas_are_refused():
    def change(state_dict):
        state_dict["param_groups"][1]["betas"] = [0.9, 0.95]

    words = re.escape("groups must have the same betas, got [(0.8, 0.95), (0.9, 0.95)]")
    refused(ValueError, words, "groups", names=None, change=change)


def test_betas_out_of_range_are_refused():
    def change(state_dict):
        state_dict["param_groups"][0]["betas"] = [0.9, 1.0]

    refused(ValueError, r"b2 must be a finite number in \[0, 1\), got 1.0", change=change)


def test_complex_parameters_are_refused():
    params = jax.tree.map(lambda x: x.astype(complex), START)
    refused(TypeError, r"m \(exp_avg\) of '0.bias' is complex", "complex", params)
    with pytest.raises(TypeError, match=r"m \(exp_avg\) of '0.bias' is complex"):
        interop.to_torch(amsgrad().init(params), torch_state("adam"), np.asarray, names=NAMES)


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


# From and to optax


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
