"""Keras goes on in jamsgrad, and jamsgrad in Keras, as if nothing happened.

`data/keras_states.npz` was written by Keras, see `data/make_keras_states.py`.
"""

import json
import zipfile
from pathlib import Path
from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from reference import assert_trees_close, run, same_bits

import jamsgrad
from jamsgrad import interop

FILE = np.load(Path(__file__).parents[1] / "data" / "keras_states.npz")
META = json.loads(str(FILE["meta"]))
NAMES, BEFORE, KEPT = META["names"], META["before"], META["kept"]
START = {name: jnp.asarray(FILE[f"start/{name}"]) for name in NAMES}
GRADS = {name: jnp.asarray(FILE[f"grads/{name}"]) for name in NAMES}
BETAS = {"b1": 0.8, "b2": 0.95}
HYPER = {**BETAS, "eps": 1e-6, "convention": "keras"}


def amsgrad(learning_rate=0.01):
    return jamsgrad.amsgrad(learning_rate, **HYPER)


OPTIMIZERS = {
    "adam": amsgrad,
    "float32": amsgrad,
    "schedule": lambda: amsgrad(optax.exponential_decay(0.01, 10, 0.9)),
    "adamw": lambda: jamsgrad.amsgradw(0.01, weight_decay=0.1, **HYPER),
    "ema": amsgrad,
}


def saved(case, when="before"):
    """What `save_own_variables` writes."""
    n = len(META["variables"][case])
    return {str(i): FILE[f"{case}/{when}/{i}"] for i in range(n)}


def live(case, when="before"):
    """What `optimizer.variables` has."""
    pairs = zip(META["variables"][case], saved(case, when).values(), strict=True)
    return [SimpleNamespace(name=name, value=x) for name, x in pairs]


def in_file(case):
    """As h5py shows it: a group sorts its keys as words."""
    own = saved(case)
    return {"optimizer": {"vars": {key: own[key] for key in sorted(own)}}, "layers": {}}


def bare(case):
    """What a loop of one's own hands to `optimizer.stateless_apply`."""
    return list(saved(case).values())


def keras_path(case):
    return {name: FILE[f"{case}/path/{name}"] for name in NAMES}


def in_dtype(tree, case):
    dtype = FILE[f"{case}/path/{NAMES[0]}"].dtype
    return jax.tree.map(lambda x: x.astype(dtype), tree)


def stayed(case, steps):
    """Our state of those who never were in Keras."""
    start, grads = in_dtype((START, {name: g[:steps] for name, g in GRADS.items()}), case)
    return run(OPTIMIZERS[case](), start, grads)[1]


# From Keras, and back


@pytest.mark.parametrize("case", OPTIMIZERS)
def test_from_keras_goes_on_for_a_hundred_steps_as_keras_does(case):
    path, optimizer = keras_path(case), OPTIMIZERS[case]()
    params = {name: jnp.asarray(x[0]) for name, x in path.items()}
    state = interop.from_keras(live(case), optimizer.init(params), **BETAS, names=NAMES)
    later = in_dtype({name: g[BEFORE:] for name, g in GRADS.items()}, case)
    ours, last = run(optimizer, params, later, state=state)
    at = np.array(KEPT[1:]) - 1
    theirs = {name: x[1:] for name, x in path.items()}
    tolerance = 1e-12 if case != "float32" else 1e-6
    assert_trees_close({n: x[at] for n, x in ours.items()}, theirs, rtol=tolerance, atol=tolerance)
    back = interop.to_keras(last, live(case), **BETAS, names=NAMES)
    moments = [str(i) for i, name in enumerate(META["variables"][case]) if "_average" not in name]
    after = saved(case, "after")
    assert_trees_close(
        *({i: x[i] for i in moments} for x in (back, after)),
        rtol=tolerance,
        atol=1e-12 if case != "float32" else 2e-5,
    )
    assert back["0"] == BEFORE + 100


@pytest.mark.parametrize("case", OPTIMIZERS)
def test_both_ways_give_the_state_of_those_who_never_left(case):
    ours, theirs = stayed(case, BEFORE), live(case)
    tolerance = 1e-12 if case != "float32" else 3e-6
    came = interop.from_keras(theirs, ours, **BETAS, names=NAMES)
    assert_trees_close(came, ours, rtol=tolerance, atol=tolerance)
    assert jax.tree.map(jnp.result_type, came) == jax.tree.map(jnp.result_type, ours)
    went = interop.to_keras(ours, theirs, **BETAS, names=NAMES)
    assert_trees_close(went, saved(case), rtol=tolerance, atol=tolerance)
    assert {i: x.dtype for i, x in went.items()} == {i: x.dtype for i, x in saved(case).items()}
    back = interop.to_keras(came, theirs, **BETAS, names=NAMES)
    assert same_bits(back, saved(case))


@pytest.mark.parametrize("case", ["adam", "float32", "schedule", "adamw"])
@pytest.mark.parametrize("source", [saved, in_file, bare])
def test_files_mappings_and_bare_arrays_say_what_live_variables_say(source, case):
    like = OPTIMIZERS[case]().init(in_dtype(START, case))
    expected = interop.from_keras(live(case), like, **BETAS, names=NAMES)
    assert same_bits(interop.from_keras(source(case), like, **BETAS, names=NAMES), expected)
    assert same_bits(interop.to_keras(expected, source(case), **BETAS, names=NAMES), saved(case))


def test_without_names_live_variables_have_their_own_and_others_numbers():
    expected = interop.from_keras(live("adam"), START, **BETAS, names=NAMES)
    own = {name.replace("/", "_"): x for name, x in START.items()}
    state = interop.from_keras(live("adam"), own, **BETAS)
    assert same_bits(state.v, {n.replace("/", "_"): x for n, x in expected.v.items()})
    state = interop.from_keras(saved("adam"), [START[name] for name in NAMES], **BETAS)
    assert same_bits(state.vhat, [expected.vhat[name] for name in NAMES])


def test_a_tree_of_ones_own_goes_through_to_params_and_back():
    def to_params(arrays):
        return {
            "one": arrays["net/one/kernel"],
            "rest": [arrays[n] for n in NAMES if "one/k" not in n],
        }

    def from_params(params):
        rest = iter(params["rest"])
        return {n: params["one"] if "one/k" in n else next(rest) for n in NAMES}

    like = amsgrad().init(to_params(START))
    state = interop.from_keras(saved("adam"), like, **BETAS, names=NAMES, to_params=to_params)
    expected = interop.from_keras(live("adam"), START, **BETAS, names=NAMES)
    assert same_bits(state[0].m, to_params(expected.m))
    back = interop.to_keras(state, saved("adam"), **BETAS, names=NAMES, from_params=from_params)
    assert same_bits(back, saved("adam"))


def test_averages_and_the_learning_rate_keep_their_values():
    back = interop.to_keras(stayed("ema", BEFORE + 3), live("ema"), **BETAS, names=NAMES)
    before = saved("ema")
    assert [i for i in before if same_bits(back[i], before[i])][:5] == ["1", "2", "3", "4", "5"]


def test_a_run_without_maximum_starts_it_at_the_velocity():
    for source in (live, saved):
        with pytest.raises(ValueError, match=r"no 'velocity_hat': .*missing_max='velocity' takes"):
            interop.from_keras(source("no_maximum"), START, **BETAS, names=NAMES)
        state = interop.from_keras(
            source("no_maximum"), START, **BETAS, names=NAMES, missing_max="velocity"
        )
        assert same_bits(state.vhat, state.v)
    with pytest.raises(ValueError, match="missing_max must be one of 'velocity' or None"):
        interop.from_keras(live("adam"), START, missing_max="exp_avg_sq")
    with pytest.raises(ValueError, match="amsgrad=False, which has no maximum"):
        interop.to_keras(stayed("adam", 1), live("no_maximum"), **BETAS, names=NAMES)


def test_bfloat16_moments_are_read_as_keras_writes_them_to_a_file():
    narrow = {i: x.astype(jnp.bfloat16) if x.ndim else x for i, x in saved("adam").items()}
    void = {i: x.view("V2") if x.ndim else x for i, x in narrow.items()}
    a, b = (interop.from_keras(x, START, **BETAS, names=NAMES) for x in (narrow, void))
    assert same_bits(a, b)
    assert same_bits(a.m["net/two/bias"], narrow["4"].astype(float))


# What does not fit is refused


def swapped(a, b):
    own = saved("adam")
    return own | {a: own[b], b: own[a]}


@pytest.mark.parametrize(
    ("variables", "error", "words"),
    [
        (3, TypeError, "variables must be optimizer.variables, .* got int"),
        ("adam.h5", TypeError, "variables must be optimizer.variables, .* got str"),
        ({"momentum": 1}, ValueError, r"must have the keys '0', '1', .* got \['momentum'\]"),
        ({"1": 1, "2": 2}, ValueError, "must have the keys '0', '1'"),
        ([], ValueError, "of each of 4 parameters, got arrays of the shapes"),
        (live("adam")[:2], ValueError, "a new optimizer has them after optimizer.build"),
        (live("sgd"), ValueError, "Adam for each parameter, got {'momentum': 4, 'velocity': 0"),
        (saved("sgd"), ValueError, "of each of 4 parameters, got arrays of the shapes"),
        (live("loss_scale"), ValueError, "one 'iteration', got 2: .*inner_optimizer.variables"),
        (saved("loss_scale"), ValueError, "whose names tell what else there is"),
        (live("accumulating"), ValueError, "accumulated gradients, which optax.MultiSteps"),
        (saved("accumulating"), ValueError, "whose names tell what else there is"),
        (saved("ema"), ValueError, "whose names tell what else there is"),
        (live("adam")[:-1], ValueError, "'velocity_hat': 3"),
        (bare("adam")[1:], ValueError, "got arrays of the shapes"),
        (swapped("8", "9"), ValueError, "velocity of 'net/one/bias' is negative or larger than"),
        (swapped("9", "13"), ValueError, "'net/one/bias' is negative or larger than its maximum"),
    ],
    ids=lambda x: None,
)
def test_variables_that_do_not_fit_are_refused(variables, error, words):
    with pytest.raises(error, match=words):
        interop.from_keras(variables, START, **BETAS, names=NAMES)
    with pytest.raises(error, match=words):
        interop.to_keras(amsgrad().init(START), variables, **BETAS, names=NAMES)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"names": NAMES[1:]}, "names has 3 names, variables has 4 parameters"),
        ({"names": [*NAMES[1:], NAMES[1]]}, "names must differ"),
        (
            {"names": None},
            r"^Keras has 'net_one_bias', .*here is 'net/one/bias', .*v.path for v in",
        ),
        ({"b2": 1.0}, r"b2 must be a finite number in \[0, 1\), got 1.0"),
        ({"to_params": lambda arrays: arrays["kernel"]}, "to_params asks for 'kernel', variables"),
        ({"to_params": lambda a: {n: x.T for n, x in a.items()}}, "should to_params transpose it"),
    ],
    ids=lambda x: None,
)
def test_names_and_numbers_that_do_not_fit_are_refused(change, words):
    with pytest.raises(ValueError, match=words):
        interop.from_keras(live("adam"), START, **{**BETAS, "names": NAMES, **change})


def test_what_keras_could_not_go_on_with_is_refused():
    state = stayed("adam", BEFORE)
    with pytest.raises(ValueError, match=r"another b2 than that of variables, 0.999: "):
        interop.to_keras(state, live("adam"), 0.8, names=NAMES)
    with pytest.raises(ValueError, match=r"hold a jamsgrad.ScaleByAmsgradState, got dict without"):
        interop.to_keras(START, live("adam"), **BETAS, names=NAMES)
    with pytest.raises(TypeError, match=r"^like must be the parameters or the state of an AMSGrad"):
        interop.from_keras(live("adam"), amsgrad(), **BETAS, names=NAMES)
    params = jax.tree.map(lambda x: x.astype(complex), START)
    with pytest.raises(TypeError, match="is complex: Keras has no AMSGrad of complex parameters"):
        interop.to_keras(amsgrad().init(params), live("adam"), **BETAS, names=NAMES)


def test_nothing_shares_memory():
    variables = live("adam")
    state = interop.from_keras(variables, START, **BETAS, names=NAMES)
    before = jax.tree.map(np.array, state)
    back = interop.to_keras(state, variables, **BETAS, names=NAMES)
    for x in [*back.values(), *(v.value for v in variables)]:
        np.add(x, 1, out=x)
    assert same_bits(state, before)


# Keras itself


@pytest.fixture
def keras():
    """Keras in float64; what runs after a test has Keras's own float32 again."""
    keras = pytest.importorskip("keras", reason="Keras is not among the test dependencies")
    before = keras.config.floatx(), keras.config.dtype_policy()
    keras.config.set_floatx("float64")
    keras.config.set_dtype_policy("float64")
    yield keras
    keras.config.set_floatx(before[0])
    keras.config.set_dtype_policy(before[1])


@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # Keras's own
@pytest.mark.parametrize("case", ["adam", "schedule", "adamw"])
def test_real_keras_goes_on_as_jamsgrad_does(case, keras, tmp_path):
    h5py = pytest.importorskip("h5py", reason="h5py is not among the test dependencies")
    layers = [keras.Input((3,)), *(keras.layers.Dense(2, name=name) for name in ("two", "one"))]
    model = keras.Sequential(layers, name="net")
    kind = keras.optimizers.AdamW if case == "adamw" else keras.optimizers.Adam
    rate = keras.optimizers.schedules.ExponentialDecay(0.01, 10, 0.9)
    model.compile(
        optimizer=kind(
            rate if case == "schedule" else 0.01,
            beta_1=0.8,
            beta_2=0.95,
            epsilon=1e-6,
            amsgrad=True,
            **({"weight_decay": 0.1} if case == "adamw" else {}),
        ),
        loss="mse",
    )
    variables, path = model.trainable_variables, keras_path(case)
    names = [v.path for v in variables]
    assert names == NAMES
    model.optimizer.build(variables)
    for v in variables:
        v.assign(path[v.path][0])
    ours = stayed(case, BEFORE)
    new = interop.to_keras(ours, model.optimizer.variables, **BETAS, names=names)
    model.optimizer.load_own_variables(new)
    for t in range(BEFORE, BEFORE + 100):
        model.optimizer.apply([GRADS[name][t] for name in names], variables)
        if t - BEFORE + 1 in KEPT:
            at = KEPT.index(t - BEFORE + 1)
            for v in variables:
                np.testing.assert_allclose(v.value, path[v.path][at], rtol=1e-12, atol=1e-12)
    like = OPTIMIZERS[case]().init(START)
    expected = interop.from_keras(model.optimizer.variables, like, **BETAS, names=names)
    model.save(tmp_path / "model.keras")
    model.save_weights(tmp_path / "model.weights.h5")
    archive = zipfile.ZipFile(tmp_path / "model.keras")
    for file in (archive.open("model.weights.h5"), tmp_path / "model.weights.h5"):
        with h5py.File(file) as opened:
            for group in (opened, opened["optimizer"], opened["optimizer/vars"]):
                state = interop.from_keras(group, like, **BETAS, names=names)
                assert same_bits(state, expected)
