"""Errors that lead on: each names what was given, and the words that are the way out."""

import functools
import re
import types
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from reference import explore, same_bits

from jamsgrad import (
    MultiStartResult,
    amsgrad,
    basin_map,
    interop,
    minimize,
    plots,
    problems,
    sample_starts,
    schedules,
)

KEY = jax.random.key(3)
SQUARE = ([-2.0, -2.0], [2.0, 2.0])
SGD = optax.sgd(0.1)


def bowl(x, *args):
    return jnp.sum(x**2)


def one(fun=bowl, optimizer=SGD, x0=(1.0, 1.0), **options):
    return minimize(fun, jnp.array(x0), optimizer, **{"max_steps": 2} | options)


def many(fun=bowl, optimizer=SGD, bounds=SQUARE, **options):
    options = {"key": KEY, "n_starts": 2, "max_steps": 2} | options
    return explore(fun, bounds, optimizer, **options)


def mapped(fun=bowl, optimizer=SGD, bounds=SQUARE, **options):
    return basin_map(fun, bounds, optimizer, **{"resolution": 2, "max_steps": 2} | options)


ALL = pytest.mark.parametrize("search", [one, many, mapped])

# What Python itself must read

READS = {
    "if": lambda x, n: jnp.sum(x) if n else jnp.sum(x**2),
    "in": lambda x, n: jnp.sum(x) if n in (1, 2) else jnp.sum(x**2),
    "range": lambda x, n: sum(jnp.sum(x**2) for _ in range(n)),
    "reshape": lambda x, n: jnp.sum(x.reshape(n)),
    "ones": lambda x, n: jnp.sum(x * jnp.ones((n,))),
    "slice": lambda x, n: jnp.sum(x[:n]),
    "list index": lambda x, n: jnp.sum(x) * [1.0, 2.0, 3.0][n],
    "repeated list": lambda x, n: jnp.sum(jnp.stack([x] * n)),
    "repeated text": lambda x, n: jnp.sum(x) * len("a" * n),
    "key of a dict": lambda x, n: {2: jnp.sum, 3: jnp.max}[n](x),
    "format": lambda x, n: jnp.sum(x) if f"{n:d}" else x,
    "percent": lambda x, n: jnp.sum(x) if "%d" % n else x,  # noqa: UP031
    "int": lambda x, n: jnp.sum(x) * int(n),
    "float": lambda x, n: jnp.sum(x) * float(n),
    "item": lambda x, n: jnp.sum(x) * n.item(),
    "asarray": lambda x, n: jnp.sum(x) * np.asarray(n),
    "arange": lambda x, n: jnp.sum(x * jnp.arange(n)),
    "axis": lambda x, n: jnp.sum(jnp.sum(x, axis=n)),
    "mask": lambda x, n: jnp.sum(x[jnp.arange(2) < n]),
    "tile": lambda x, n: jnp.sum(jnp.tile(x, n)),
    "norm": lambda x, n: jnp.linalg.norm(x, ord=n),
    "diff": lambda x, n: jnp.sum(jnp.diff(x, n)),
    "method of int": lambda x, n: jnp.sum(x) * n.bit_length(),
}


def notes(error, about="functools.partial"):
    return [note for note in getattr(error, "__notes__", []) if about in note]


@pytest.mark.parametrize("name", READS)
def test_what_python_must_read_goes_in_by_partial(name):
    with pytest.raises(Exception) as caught:  # noqa: PT011, each has its own type
        one(READS[name], args=(2,))
    (note,) = notes(caught.value)
    assert "goes in by functools.partial(fun, n=3), made once" in note


@pytest.mark.parametrize("search", [many, mapped])
@pytest.mark.parametrize("name", ["range", "reshape", "slice"])
def test_many_say_it_once_too(search, name):
    with pytest.raises((TypeError, IndexError)) as caught:
        search(READS[name], args=(2,))
    assert len(notes(caught.value)) == 1
    search(functools.partial(READS[name], n=2))


def test_pictures_say_it_too():
    with pytest.raises(TypeError) as caught:
        plots.contour((lambda x: jnp.sum(x) if x[0] > 0 else x, SQUARE), resolution=3)
    assert len(notes(caught.value)) == 1


def test_other_errors_of_ones_own_get_no_note():
    def fails(x):
        raise KeyError("mine")

    with pytest.raises(KeyError) as caught:
        one(fails)
    assert not notes(caught.value)
    assert not notes(caught.value, "x is a")


# x that is a list where an array was meant


@pytest.mark.parametrize(
    "x0", [[-1.0, 1.0], (-1.0, 1.0), [[1.0, 2.0], [3.0, 4.0]], [1, 2]], ids=repr
)
@pytest.mark.parametrize("fun", [bowl, lambda x: x, lambda x: x.sum()], ids=["power", "x", "sum"])
def test_a_list_that_should_be_an_array_is_told(x0, fun):
    with pytest.raises((TypeError, AttributeError)) as caught:
        minimize(fun, x0, SGD)
    (note,) = notes(caught.value, f"x is a {type(x0).__name__} here, because x0")
    assert "jnp.array(x0)" in note


@pytest.mark.parametrize("bounds", [((0.0,) * 3, (1.0,) * 3), {"a": (0, 1)}, None], ids=repr)
def test_a_tuple_that_should_be_a_box_of_arrays_is_told(bounds):
    options = {"bounds": bounds}
    if isinstance(bounds, dict):
        options = {"bounds": types.SimpleNamespace(lb=(0.0, 0.0), ub=(1.0, 1.0))}
    if bounds is None:
        options = {"bounds": None, "starts": (np.zeros(2), np.ones(2)), "key": None}
    with pytest.raises(TypeError) as caught:
        many(**options)
    (note,) = notes(caught.value, "x is a tuple here")
    assert "(jnp.array(lower), jnp.array(upper))" in note


# Pairs in a tuple


@pytest.mark.parametrize("pairs", [((-5.0, 5.0), (0.0, 10.0)), ((0, 1), [0, 1]), ((0, 1),) * 3])
def test_pairs_in_a_tuple_are_refused_everywhere(pairs):
    x0 = np.full(len(pairs), 0.5)
    for call in (
        lambda: minimize(bowl, x0, SGD, bounds=pairs),
        lambda: many(bounds=pairs),
        lambda: many(bounds=pairs, starts=x0[None]),
        lambda: mapped(bounds=pairs),
        lambda: sample_starts(KEY, 3, pairs),
        lambda: plots.contour((bowl, pairs)),
        lambda: plots.surface((bowl, pairs)),
    ):
        with pytest.raises(ValueError, match=r"pairs \(low, high\) go in a list"):
            call()
    assert minimize(bowl, x0, SGD, bounds=list(pairs), max_steps=1).x.shape == x0.shape


def test_a_search_over_a_tuple_of_two_numbers_has_its_form_of_bounds():
    box = types.SimpleNamespace(lb=(0.5, -1.0), ub=(2.0, -0.5))
    found = many(lambda x: x[0] ** 2 + x[1] ** 2, SGD, box, max_steps=100, gtol=1e-3)
    assert jax.tree.map(float, found.best.x) == (0.5, -0.5)
    assert jax.tree.map(float, found.rerun(0).x) == (0.5, -0.5)


# What is no optimizer, and no argument


@pytest.mark.parametrize(
    ("optimizer", "said"),
    [
        (optax.MultiSteps(SGD, 4), "optimizer.gradient_transformation()"),
        ([optax.clip(1.0), SGD], "optax.chain(...)"),
        ((SGD,), "optax.chain(...)"),
        (0.1, "call the function that makes it"),
        ("amsgrad", "call the function that makes it"),
    ],
    ids=["MultiSteps", "list", "tuple", "number", "word"],
)
@ALL
def test_what_is_no_optimizer_is_told_how_to_become_one(search, optimizer, said):
    with pytest.raises(TypeError, match=re.escape(said)):
        search(optimizer=optimizer)


@pytest.mark.parametrize(
    "arg", ["mse", {"loss": len}, [object()]], ids=["word", "function", "object"]
)
@ALL
def test_what_cannot_be_traced_goes_in_by_partial(search, arg):
    with pytest.raises(TypeError, match=r"args\[0\].* must be .*functools.partial.*made once"):
        search(args=(arg,))


# Decay rates in a dtype that cannot hold them

COARSE = ["bfloat16", "float16"]


@pytest.mark.parametrize("dtype", COARSE)
@pytest.mark.parametrize("name", ["b1", "b2"])
def test_a_traced_decay_rate_is_refused_by_its_dtype(name, dtype):
    x = jnp.ones(4, dtype)
    with pytest.raises(TypeError, match=rf"{name} must not be .* {dtype}.*hyperparam_dtype=jnp.fl"):
        jax.jit(lambda b: amsgrad(0.1, **{name: b}).init(x))(jnp.array(0.5, dtype))
    optimizer = amsgrad(0.1, **{name: lambda count: jnp.array(0.5, dtype)})
    state = optimizer.init(x)
    with pytest.raises(TypeError, match=f"{name} must not be .* a schedule, in {dtype}"):
        optimizer.update(x, state)


@pytest.mark.parametrize("run", [jax.jit, lambda function: function], ids=["jit", "eager"])
def test_hyperparameters_in_the_dtype_of_the_parameters_are_refused(run):
    make, params = optax.inject_hyperparams, jnp.ones(4, jnp.bfloat16)
    optimizer = make(amsgrad)(learning_rate=0.05)
    with pytest.raises((TypeError, ValueError), match=r"bfloat16.*hyperparam_dtype=jnp.float32"):
        run(optimizer.update)(params, run(optimizer.init)(params), params)
    optimizer = make(amsgrad, hyperparam_dtype=jnp.float32)(learning_rate=0.05)
    updates, _ = run(optimizer.update)(params, run(optimizer.init)(params), params)
    assert updates.dtype == jnp.bfloat16
    assert (updates < 0).all()


@pytest.mark.parametrize(("dtype", "b2"), [("bfloat16", 0.999), ("float16", 0.9999)])
def test_a_decay_rate_that_its_dtype_rounds_to_one_is_told_so(dtype, b2):
    for make in (lambda b: amsgrad(0.1, b2=b), schedules.inverse_time):
        with pytest.raises(ValueError, match=r"in \[0, 1\), got .*hyperparam_dtype=jnp.float32"):
            make(jnp.array(b2, dtype))
        make(jnp.array(0.5, dtype))
    with pytest.raises(ValueError, match=r"in \[0, 1\), got 1.0$"):
        amsgrad(0.1, b2=1.0)


# Integers are floats where floats are wanted


@pytest.mark.parametrize(
    "x0",
    [
        np.array([1, 2]),
        jnp.array([1, 2], jnp.int8),
        np.array([1, 2], np.uint64),
        3,
        np.int16(3),
        2**40,
        [1, 2.5],
        {"a": 1, "b": np.arange(3)},
    ],
    ids=repr,
)
def test_integers_start_a_search(x0):
    def fun(x):
        return sum(jnp.sum(leaf**2) for leaf in jax.tree.leaves(x))

    floats = jax.tree.map(lambda leaf: jnp.asarray(leaf, float), x0)
    found = minimize(
        fun, x0, SGD, bounds=(-10, 2**41), max_steps=np.uint8(9), gtol=0, record_every=1
    )
    expected = minimize(fun, floats, SGD, bounds=(-10, 2**41), max_steps=9, gtol=0, record_every=1)
    assert same_bits(found, expected)
    starts = jax.tree.map(
        lambda leaf: np.asarray(leaf)[None], tuple(x0) if type(x0) is list else x0
    )
    result = explore(fun, None, SGD, starts=starts, max_steps=np.int8(2))
    assert {leaf.dtype for leaf in jax.tree.leaves(result.starts)} == {np.dtype("float64")}


@pytest.mark.usefixtures("jax_of_a_reader")
def test_integers_become_floats_of_the_default_dtype():
    assert minimize(bowl, np.array([1, 2]), SGD, max_steps=1).x.dtype == "float32"
    found = many(starts=[[0, 1], [1, 1], [2, 2]], n_starts=4, bounds=([-2, -2], [2, 2]))
    assert found.x.dtype == "float32"
    assert found.starts[:3].tolist() == [[0, 1], [1, 1], [2, 2]]


@pytest.mark.parametrize(
    "x0",
    [True, np.array([False]), "1", [1.0, "a"], object()],
    ids=["bool", "bools", "word", "mixed", "object"],
)
def test_what_is_no_number_is_no_start(x0):
    with pytest.raises(TypeError, match="x0"):
        minimize(bowl, x0, SGD)


@pytest.mark.parametrize("integer", [int, np.int8, np.int64, jnp.int32])
def test_hyperparameters_and_limits_may_be_integers(integer):
    zero, two = integer(0), integer(2)

    def run(*rates, **options):
        optimizer = amsgrad(rates[0], *rates[1:])
        return minimize(bowl, jnp.ones(2), optimizer, max_steps=3, **options)

    found = run(two, zero, zero, zero, zero, gtol=zero, ftol=zero, xtol=zero, patience=two)
    assert same_bits(
        found.x, run(2.0, 0.0, 0.0, 0.0, 0.0, gtol=0.0, ftol=0.0, xtol=0.0, patience=2).x
    )
    rate = schedules.inverse_sqrt(two)
    assert rate(integer(3)) == 1.0
    assert schedules.inverse_time(zero)(integer(3)) == 0
    assert len(problems.sphere(two).bounds[0]) == 2


# torch's states


def entry(step, **more):
    return {"step": step, "exp_avg": np.ones(2), "exp_avg_sq": np.full(2, 3.0), **more}


def state_dict(*entries, names=("a", "b")):
    group = {"params": list(range(len(entries))), "betas": (0.9, 0.999)}
    group["param_names"] = list(names[: len(entries)])
    return {"state": dict(enumerate(entries)), "param_groups": [group]}


def test_a_maximum_that_torch_never_kept_may_start_at_exp_avg_sq():
    old = state_dict(entry(3), entry(3, max_exp_avg_sq=np.full(2, 5.0)))
    like = amsgrad(0.1, convention="pytorch").init({"a": jnp.ones(2), "b": jnp.ones(2)})
    with pytest.raises(ValueError, match=r"of 'a': .*missing_max='exp_avg_sq' takes exp_avg_sq as"):
        interop.from_torch(old, like)
    state = interop.from_torch(old, like, missing_max="exp_avg_sq")[0]
    assert jax.tree.map(lambda x: x.tolist(), state.vhat) == {"a": [3, 3], "b": [5, 5]}
    with pytest.raises(
        ValueError, match="missing_max must be one of 'exp_avg_sq' or None, got 'ze"
    ):
        interop.from_torch(old, like, missing_max="zeros")  # pyright: ignore
    del old["state"][0]["exp_avg_sq"]
    with pytest.raises(ValueError, match=r"no 'exp_avg_sq' of 'a'$"):
        interop.from_torch(old, like, missing_max="exp_avg_sq")


def test_parts_that_counted_apart_are_loaded_apart():
    top = {"max_exp_avg_sq": np.full(2, 5.0)}
    optimizer = amsgrad(0.1, convention="pytorch")
    params = {"a": jnp.ones(2), "b": jnp.ones(2)}
    with pytest.raises(ValueError, match=r"split them by optax.partition, and call from_torch for"):
        interop.from_torch(state_dict(entry(9, **top), entry(4, **top)), optimizer.init(params))
    parted = optax.partition({"a": optimizer, "b": optimizer}, {"a": "a", "b": "b"})
    state = parted.init(params)
    inner = {
        name: interop.from_torch(
            state_dict(entry(steps, **top), names=name), state.inner_states[name]
        )
        for name, steps in {"a": 9, "b": 4}.items()
    }
    _, state = parted.update(params, state._replace(inner_states=inner), params)
    counts = {name: int(part.inner_state[0].count) for name, part in state.inner_states.items()}
    assert counts == {"a": 10, "b": 5}


# Any tree in a file


class Params(NamedTuple):
    shift: Any
    rate: Any


def test_a_search_over_any_tree_is_saved_and_goes_on(tmp_path):
    def fun(p, target, key):
        noise = jax.random.normal(key, (), p.rate.dtype)
        return (p.rate - target.rate) ** 2 + jnp.sum((p.shift - target.shift) ** 2) + 0 * noise

    box = Params(np.zeros(2), 0.0), Params(np.ones(2), 1.0)
    args = Params(np.full(2, 0.5), 0.25), jax.random.key(8)
    found = many(fun, SGD, box, args=args, n_starts=4, max_steps=200, gtol=1e-3)
    file = tmp_path / "found.npz"
    found.save(file)
    plain = MultiStartResult.load(file)
    assert same_bits(plain.x, found.x._asdict())
    assert [m.count for m in plain.minima] == [m.count for m in found.minima]
    read = MultiStartResult.load(file, fun, SGD, like=Params(0, 0), args_like=(Params(0, 0), 0))
    assert isinstance(read.x, Params)
    assert same_bits(read.minima, found.minima)
    assert same_bits(read.rerun(2).x, found.rerun(2).x)
    with pytest.raises(ValueError, match=r"like is a dict with \['a'\], the file has \['shift'"):
        MultiStartResult.load(file, like={"a": 0})
    with pytest.raises(ValueError, match=r"args_like is a tuple with \[0\], the file has \[0, 1\]"):
        MultiStartResult.load(file, args_like=(0,))
