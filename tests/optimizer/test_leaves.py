"""Parameters may be abstract; what cannot be trained is named by its path, with the way out."""

import re

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from jax.sharding import NamedSharding, PartitionSpec
from reference import CONVENTIONS, same_bits

from jamsgrad import MomentDtypes, amsgrad, amsgradw, scale_by_amsgrad

MOMENTS = [None, "float32", "bfloat16", MomentDtypes(m="bfloat16", vhat="float64")]
PARAMS = {"w": jnp.ones((8, 2), "bfloat16"), "z": jnp.ones(8, "complex64"), "b": jnp.ones(())}


def abstract(params, sharding=None):
    def leaf(p):
        return jax.ShapeDtypeStruct(p.shape, p.dtype, sharding=sharding if p.ndim else None)

    return jax.tree.map(leaf, params)


@pytest.mark.parametrize("convention", CONVENTIONS)
@pytest.mark.parametrize("moment_dtype", MOMENTS, ids=str)
def test_abstract_parameters_give_the_state_of_real_ones(convention, moment_dtype):
    optimizer = scale_by_amsgrad(convention=convention, moment_dtype=moment_dtype)
    expected = optimizer.init(PARAMS)
    assert same_bits(optimizer.init(abstract(PARAMS)), expected)
    shapes = jax.eval_shape(optimizer.init, abstract(PARAMS))
    assert shapes == jax.eval_shape(lambda: expected)
    assert same_bits(jax.jit(lambda: optimizer.init(abstract(PARAMS)))(), expected)


@pytest.mark.parametrize(
    "optimizer",
    [
        amsgrad(0.1),
        amsgradw(0.1, mask=lambda params: jax.tree.map(lambda p: p.ndim > 1, params)),
        optax.chain(optax.scale(1.0), amsgradw(optax.constant_schedule(0.1))),
        optax.masked(amsgrad(0.1), {"w": True, "z": False, "b": True}),
        optax.inject_hyperparams(amsgrad, hyperparam_dtype=jnp.float32)(learning_rate=0.1),
    ],
    ids=["amsgrad", "mask", "chain", "masked", "injected"],
)
def test_abstract_parameters_go_through_what_is_around(optimizer):
    state = optimizer.init(abstract(PARAMS))
    assert same_bits(state, optimizer.init(PARAMS))
    updates, _ = optimizer.update(PARAMS, state, PARAMS)
    assert updates["w"].dtype == jnp.bfloat16


def test_moments_of_abstract_parameters_take_their_sharding():
    mesh = jax.make_mesh((8,), ("x",))
    sharding = NamedSharding(mesh, PartitionSpec("x"))
    state = amsgrad(0.1).init(abstract(PARAMS, sharding))[0]
    theirs = optax.adam(0.1).init(abstract(PARAMS, sharding))[0]
    for moment in (state.m, state.v, state.vhat):
        assert moment["w"].sharding == moment["z"].sharding == sharding
        assert moment["w"].sharding == theirs.mu["w"].sharding


NO_ARRAYS = {
    "function": (jax.nn.tanh, "is <PjitFunction"),
    "word": ("linear", "is 'linear' of type str"),
    "object": (object(), "is <object object at "),
    "objects": (np.array([None]), "has dtype object"),
    "integers": (np.arange(2), "has dtype int64"),
    "integer": (3, "has dtype int64"),
    "bool": (True, "has dtype bool"),
    "key": (jax.random.key(0), "has dtype key<fry>"),
    "longdouble": (np.ones(2, np.longdouble), "has dtype "),
}


@pytest.mark.parametrize("name", NO_ARRAYS)
def test_a_leaf_that_is_no_array_is_named_with_the_way_out(name):
    leaf, problem = NO_ARRAYS[name]
    tree = {"layers": [{"w": jnp.ones(2)}, {"w": jnp.ones(2), "act": leaf}]}
    good = {"layers": [{"w": jnp.ones(2)}, {"w": jnp.ones(2), "act": jnp.ones(2)}]}
    for optimizer in (amsgrad(0.1), amsgradw(0.1), optax.chain(optax.identity(), amsgrad(0.1))):
        with pytest.raises(TypeError, match=re.escape(f"parameter ['layers'][1]['act'] {problem}")):
            optimizer.init(tree)
    optimizer = amsgrad(0.1)
    with pytest.raises(TypeError, match=r"eqx.filter\(.*optax.masked or optax.transforms.freeze"):
        optimizer.init(tree)
    with pytest.raises(TypeError, match=re.escape(f"gradient of ['layers'][1]['act'] {problem}")):
        optimizer.update(tree, optimizer.init(good))
    mask = jax.tree.map(lambda leaf: leaf is not tree["layers"][1]["act"], tree)
    masked = optax.masked(amsgrad(0.1), mask)
    updates, _ = masked.update(good, masked.init(tree))
    assert (updates["layers"][0]["w"] < 0).all()


@pytest.mark.parametrize(
    ("grads", "error", "said"),
    [
        (
            {"w": jnp.ones(2), "act": None},
            TypeError,
            "the gradient of ['act'] is missing (None, or",
        ),
        ({"w": jnp.ones(2)}, TypeError, "the gradient of ['act'] is missing (None, or"),
        ({"act": jnp.ones(1)}, TypeError, "the gradient of ['w'] is missing (None, or"),
        (
            {"w": jnp.ones(2), "act": jnp.ones(1), "b": jnp.ones(1)},
            TypeError,
            "the gradient of ['b'] has no moments in the state: give init the tree",
        ),
        (
            {"w": [jnp.ones(2)], "act": jnp.ones(1)},
            TypeError,
            "the gradient of ['w'] is missing",
        ),
        (
            {"w": jnp.ones(2), "act": jnp.ones(3)},
            ValueError,
            "the gradient of ['act'] has shape (3,), its moments have (1,)",
        ),
        (
            {"w": jax.ShapeDtypeStruct((2,), float), "act": jnp.ones(1)},
            TypeError,
            "the gradient of ['w'] is ShapeDtypeStruct",
        ),
        ([jnp.ones(1), jnp.ones(2)], TypeError, "the gradient of ['act'] is missing"),
    ],
)
def test_gradients_that_do_not_fit_the_moments_are_named(grads, error, said):
    optimizer = amsgrad(0.1)
    state = optimizer.init({"w": jnp.ones(2), "act": jnp.ones(1)})
    for update in (optimizer.update, jax.jit(optimizer.update)):
        if update is optimizer.update or "Shape" not in said:
            with pytest.raises(error, match=re.escape(said)):
                update(grads, state)


def test_a_gradient_without_moments_is_named_where_the_state_has_none():
    optimizer = amsgrad(0.1)
    state = optimizer.init({"w": jnp.ones(2), "act": None})
    with pytest.raises(TypeError, match=r"the gradient of \['act'\] has no moments in the state"):
        optimizer.update({"w": jnp.ones(2), "act": jnp.ones(1)}, state)


@pytest.mark.parametrize("make", [amsgrad, amsgradw])
def test_functions_among_the_parameters_do_not_disturb_updates(make):
    # As in Equinox: the gradients of what is no array are None, the model has functions there.
    model = {"w": jnp.ones(2), "act": jax.nn.tanh}
    grads = {"w": jnp.ones(2), "act": None}
    optimizer = make(0.1)
    updates, _ = optimizer.update(grads, optimizer.init(grads), model)
    same, _ = optimizer.update(grads, optimizer.init(grads), {"w": jnp.ones(2), "act": None})
    assert same_bits(updates, same)
    assert updates["act"] is None
