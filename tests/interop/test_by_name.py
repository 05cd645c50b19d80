"""Which tensor belongs to which leaf, by name and never by order."""

from dataclasses import dataclass
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from reference import assert_trees_close, same_bits
from torch_runs import (
    GRADS,
    NAMES,
    START,
    amsgrad,
    first,
    later,
    refused,
    run,
    torch_path,
    torch_state,
)

import jamsgrad
from jamsgrad import interop


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


def test_from_params_transposes_back():
    state_dict = torch_state("named")
    state = interop.from_torch(state_dict, nested(START), to_params=nested)
    back = interop.to_torch(state, state_dict, np.asarray, from_params=flat)
    assert same_bits(back["state"], state_dict["state"])


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


# What does not fit is refused by its name


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


@pytest.mark.parametrize("convention", ["paper", "optax", "keras"])
def test_complex_parameters_are_refused_where_v_is_of_the_magnitude(convention):
    params = jax.tree.map(lambda x: x.astype(complex), START)
    state = jamsgrad.amsgrad(0.1, convention=convention).init(params)
    words = r"m \(exp_avg\) of '0.bias' is complex: .*, as does convention='pytorch'"
    refused(TypeError, words, "complex", state)
    refused(TypeError, words, "complex", START)
    with pytest.raises(TypeError, match=words):
        interop.to_torch(state, torch_state("adam"), np.asarray, names=NAMES)
