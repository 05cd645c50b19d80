"""The recipe of interatomic potentials, against what torch made of it.

`data/recipe.npz` was written by torch, see `data/make_recipe.py`.
"""

import functools
import importlib.util
import json
import re
import runpy
import sys
from importlib.util import find_spec
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from optax.contrib import reduce_on_plateau

from jamsgrad import amsgrad

ROOT = Path(__file__).parents[1]
FILE = np.load(ROOT / "tests/data/recipe.npz")
META = json.loads(str(FILE["meta"]))
STEPS, ODD = 200, 77


@pytest.fixture(autouse=True)
def as_a_script_computes():
    """JAX as the example has it, which sets float64 itself."""
    with jax.numpy_dtype_promotion("standard"), jax.numpy_rank_promotion("allow"):
        yield


@pytest.fixture(scope="module")
def example():
    """The module, which compiles its recipe once."""
    spec = importlib.util.spec_from_file_location(
        "train_potential", ROOT / "examples/train_potential.py"
    )
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    module.make_recipe = functools.cache(module.make_recipe)
    return module


@pytest.fixture(scope="module")
def run(example):
    """The curves of 200 steps, and the state after each."""
    states, curves = [], []
    with jax.numpy_dtype_promotion("standard"), jax.numpy_rank_promotion("allow"):
        recipe, data = example.make_recipe(), example.make_data()
        state = example.init_state(recipe, example.init_params())
        for t in range(STEPS):
            state = example.train(recipe, state, data, t + 1, curves)
            states.append(state)
    return np.array(curves), states


def checkpoint():
    """Torch's half way, with arrays for tensors."""
    found = jax.tree.map(
        lambda x: FILE[x] if str(x).startswith("checkpoint/") else x, META["checkpoint"]
    )
    state = found["optimizer"]["state"]
    found["optimizer"]["state"] = {int(number): entry for number, entry in state.items()}
    return found


def assert_torch_took(example, curves, first=0):
    """The curves, which begin after some steps, are those of torch."""
    loss, learning_rate, average = curves.T
    np.testing.assert_allclose(loss, FILE["loss"][first:], rtol=1e-10)
    np.testing.assert_allclose(learning_rate, FILE["lr"][first:], rtol=1e-14)
    ends = np.flatnonzero(~np.isnan(average))
    np.testing.assert_array_equal((first + ends + 1) % example.PER_EPOCH, 0)
    np.testing.assert_allclose(
        average[ends], FILE["average"][first // example.PER_EPOCH :], rtol=1e-10
    )


def test_torch_takes_the_same_200_steps(example, run):
    curves, _ = run
    assert_torch_took(example, curves)
    assert len(np.unique(curves[:, 1])) == 3  # so that the plateau had something to do


def test_names_and_shapes_are_those_of_torch(example):
    torch = checkpoint()["model"]
    assert {n: x.shape for n, x in torch.items()} == {
        n: x.shape for n, x in example.init_params().items()
    }
    assert list(example.init_params()) == example.NAMES


def test_a_run_goes_on_from_torch(example, run):
    recipe, curves = example.make_recipe(), []
    state = example.init_state(recipe, example.init_params())
    state = example.from_torch(checkpoint(), state)
    for ours, own in zip(jax.tree.leaves(state), jax.tree.leaves(run[1][99]), strict=True):
        assert (ours.dtype, ours.shape) == (own.dtype, own.shape)
        np.testing.assert_allclose(ours, own, rtol=1e-10, atol=1e-13)
    example.train(recipe, state, example.make_data(), STEPS, curves)
    assert_torch_took(example, np.array(curves), 100)


def printed_loss(text):
    return re.search(r"steps (\d+) to (\d+), loss (\S+)\n", text).groups()


def test_a_run_that_stops_at_an_odd_step_goes_on_to_the_same_bits(
    example, run, tmp_path, capsys, monkeypatch
):
    monkeypatch.setitem(sys.modules, "torch", None)  # it is not asked for
    drawn = []
    draw = example.draw
    monkeypatch.setattr(example, "draw", lambda curves: drawn.append(curves) or draw(curves))
    example.main(["--stop-at", "31", "--out", str(tmp_path)])
    example.main(["--resume", "--stop-at", str(ODD), "--out", str(tmp_path)])
    assert [path.name for path in tmp_path.iterdir()] == ["train_potential"]
    capsys.readouterr()
    example.main(["--resume", "--steps", "102", "--out", str(tmp_path)])
    assert printed_loss(capsys.readouterr().out) == (str(ODD), "102", repr(float(run[0][101, 0])))
    np.testing.assert_array_equal(np.array(drawn[0]), run[0][:102])
    assert (tmp_path / "train_potential.png").read_bytes().startswith(b"\x89PNG")


def test_what_is_kept_has_the_same_bits(example, run, tmp_path):
    ocp = pytest.importorskip("orbax.checkpoint")
    curves, states = run
    with ocp.StandardCheckpointer() as checkpointer:
        kept = {"state": states[ODD], "curves": curves[: ODD + 1]}
        checkpointer.save(tmp_path / "run", kept)
        checkpointer.wait_until_finished()
        blank = example.init_state(example.make_recipe(), example.init_params())
        state, lines = example.restore(checkpointer, tmp_path / "run", blank)
    assert jax.tree.structure(state) == jax.tree.structure(states[ODD])
    for a, b in zip(jax.tree.leaves(state), jax.tree.leaves(states[ODD]), strict=True):
        assert a.dtype == b.dtype
        np.testing.assert_array_equal(a, b)
    np.testing.assert_array_equal(lines, curves[: ODD + 1])


@pytest.mark.skipif(find_spec("torch") is None, reason="needs torch")
def test_the_command_reads_a_file_of_torch(example, run, tmp_path, capsys):
    import torch

    tensors = jax.tree.map(
        lambda x: torch.tensor(x) if isinstance(x, np.ndarray) else x, checkpoint()
    )
    torch.save(tensors, tmp_path / "checkpoint.pt")
    file = str(tmp_path / "checkpoint.pt")
    example.main(["--from-torch", file, "--steps", "120", "--out", str(tmp_path)])
    begun, end, loss = printed_loss(capsys.readouterr().out)
    assert (begun, end) == ("100", "120")
    np.testing.assert_allclose(float(loss), run[0][119, 0], rtol=1e-10)


def test_orbax_is_asked_for_before_a_run_begins(example, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "orbax.checkpoint", None)
    monkeypatch.setattr(example, "train", None)
    for options in (["--stop-at", "5"], ["--resume"]):
        with pytest.raises(SystemExit, match=r"needs orbax.checkpoint: .*\[checkpoint\]"):
            example.main([*options, "--out", str(tmp_path)])


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--stop-at", "0"], "--stop-at must be at least 1, got 0"),
        (["--steps", "0"], "--steps must be at least 1, got 0"),
        (["--resume"], "--resume needs .*train_potential, which --stop-at writes"),
        (["--resume", "--from-torch", "x.pt"], "not allowed with argument --resume"),
    ],
)
def test_impossible_options_are_refused(example, options, said, tmp_path, capsys):
    with pytest.raises(SystemExit) as end:
        example.main([*options, "--out", str(tmp_path)])
    assert end.value.code == 2
    assert re.search(said, capsys.readouterr().err)


# The rows of the tables in docs/recipe.md and docs/migration.md


@pytest.mark.parametrize("case", META["plateaus"])
def test_a_plateau_reduces_when_torch_does(example, case):
    torch = {"factor": 0.1, "cooldown": 0, "threshold": 1e-4, "min_lr": 0, "mode": "min"}
    torch |= META["plateaus"][case]
    relative = torch.get("threshold_mode", "rel") == "rel"
    plateau = reduce_on_plateau(
        torch["factor"],
        torch["patience"] + 1,
        rtol=torch["threshold"] if relative else 0.0,
        atol=0.0 if relative else torch["threshold"],
        cooldown=torch["cooldown"],
        min_scale=torch["min_lr"] / example.LR,
    )
    sign = 1 if torch["mode"] == "min" else -1

    @jax.jit
    def scales(values):
        def step(state, value):
            _, state = plateau.update({}, state, value=sign * value)
            return state, state.scale

        return jax.lax.scan(step, plateau.init(jnp.zeros(())), values)[1]

    rates = FILE[f"plateau/{case}"]
    np.testing.assert_allclose(example.LR * scales(FILE["values"]), rates, rtol=1e-12)
    assert len(np.unique(rates)) > 1


def test_the_average_of_swa_utils_begins_with_the_first_step(example, run):
    d = example.EMA_DECAY
    first, *others = [state.params for state in run[1]]
    average, update = first, jax.jit(lambda new, old: optax.incremental_update(new, old, 1 - d))
    for params in others:
        average = update(params, average)
    for name in example.NAMES:
        np.testing.assert_allclose(average[name], FILE[f"swa/{name}"], rtol=1e-10, atol=1e-13)


def test_the_debiased_average_of_optax_weighs_the_steps_alone(example, run):
    d, n = example.EMA_DECAY, 20
    ema = optax.ema(d, debias=True)
    state = ema.init(example.init_params())
    paths = [state.params["inter.bias"] for state in run[1][:n]]
    for own in run[1][:n]:
        average, state = jax.jit(ema.update)(own.params, state)
    weights = d ** np.arange(n)[::-1]
    expected = np.tensordot(weights / weights.sum(), np.array(paths), 1)
    np.testing.assert_allclose(average["inter.bias"], expected, rtol=1e-12)


def test_gradients_that_are_not_finite_are_skipped_as_by_a_grad_scaler(example):
    optimizer = optax.apply_if_finite(
        optax.chain(example.clip_grad_norm(1.0), amsgrad(example.LR, convention="pytorch")), 10
    )
    start = jnp.zeros(FILE["grads"].shape[1])

    def step(carry, grads):
        updates, state = optimizer.update(grads, carry[1], carry[0])
        params = optax.apply_updates(carry[0], updates)
        return (params, state), params

    _, path = jax.lax.scan(step, (start, optimizer.init(start)), jnp.asarray(FILE["grads"]))
    np.testing.assert_allclose(path, FILE["scaler"], rtol=1e-12)


def test_a_benchmark_shows_what_a_mistake_costs(monkeypatch, capsys):
    monkeypatch.syspath_prepend(ROOT / "benchmarks")
    monkeypatch.setattr(sys, "path", [*sys.path])
    benchmark = runpy.run_path(str(ROOT / "benchmarks/recipe.py"))
    benchmark["main"](["--steps", "20", "decay before the clip"])
    cells = dict(re.findall(r"^\| (\w[^|]*) \| (\d\S+) \|", capsys.readouterr().out, re.MULTILINE))
    assert cells.keys() == {"decay before the clip"}
    assert float(cells["decay before the clip"]) > 1e-6
    page = (ROOT / "docs/recipe.md").read_text()
    rows = re.findall(r"^\| (\w[^|]*) \| \d\S+ \|", page, re.MULTILINE)
    assert rows == list(benchmark["RECIPES"])
    with pytest.raises(SystemExit):
        benchmark["main"](["haste"])
