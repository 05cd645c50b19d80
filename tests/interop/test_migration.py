"""The migration tables: every argument of torch and Keras, and the three traps in numbers.

`data/migration.npz` was written by torch and Keras themselves, see `data/make_migration.py`.
"""

from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from reference import CONVENTIONS, assert_trees_close, run

import jamsgrad
from jamsgrad import amsgrad, amsgradw

FILE = np.load(Path(__file__).parents[1] / "data" / "migration.npz")
NAMES = ("kernel", "bias")
START = {name: jnp.asarray(FILE[f"start/{name}"]) for name in NAMES}
GRADS = {name: jnp.asarray(FILE[f"grads/{name}"]) for name in NAMES}


def clip_each(clipnorm):
    """Keras's clipnorm: the norm of each leaf alone."""
    return optax.stateless_with_tree_map(
        lambda g, _: g / jnp.maximum(1.0, jnp.linalg.norm(g.ravel()) / clipnorm)
    )


TORCH = {
    "default": amsgrad(1e-3, convention="pytorch"),
    "lr": amsgrad(0.1, convention="pytorch"),
    "betas": amsgrad(1e-3, b1=0.8, b2=0.95, convention="pytorch"),
    "eps": amsgrad(1e-3, eps=1e-2, convention="pytorch"),
    "weight_decay": optax.chain(
        optax.add_decayed_weights(0.1), amsgrad(1e-3, convention="pytorch")
    ),
    "decoupled_weight_decay": amsgradw(1e-3, weight_decay=0.1, convention="pytorch"),
    "AdamW": amsgradw(1e-3, convention="pytorch"),
    "AdamW weight_decay": amsgradw(1e-3, weight_decay=0.1, convention="pytorch"),
    "maximize": optax.chain(optax.scale(-1.0), amsgrad(1e-3, convention="pytorch")),
    "foreach": amsgrad(1e-3, convention="pytorch"),
    "fused": amsgrad(1e-3, convention="pytorch"),
    "differentiable": amsgrad(1e-3, convention="pytorch"),
}
KERAS = {
    "default": amsgrad(1e-3, convention="keras"),
    "learning_rate": amsgrad(0.1, convention="keras"),
    "beta_1": amsgrad(1e-3, b1=0.8, convention="keras"),
    "beta_2": amsgrad(1e-3, b2=0.95, convention="keras"),
    "epsilon": amsgrad(1e-3, eps=1e-2, convention="keras"),
    "weight_decay": amsgradw(1e-3, weight_decay=0.1, convention="keras"),
    "exclude_from_weight_decay": amsgradw(
        1e-3, weight_decay=0.1, mask={"kernel": True, "bias": False}, convention="keras"
    ),
    "clipnorm": optax.chain(clip_each(0.5), amsgrad(1e-3, convention="keras")),
    "global_clipnorm": optax.chain(
        optax.clip_by_global_norm(0.5), amsgrad(1e-3, convention="keras")
    ),
    "clipvalue": optax.chain(optax.clip(0.5), amsgrad(1e-3, convention="keras")),
    "use_ema": amsgrad(1e-3, convention="keras"),
    "loss_scale_factor": optax.chain(optax.scale(1 / 1024.0), amsgrad(1e-3, convention="keras")),
    "gradient_accumulation_steps": optax.MultiSteps(
        amsgrad(1e-3, convention="keras"), 3
    ).gradient_transformation(),
}


def golden(library, row):
    return {name: FILE[f"{library}/{row}/{name}"] for name in NAMES}


def test_every_row_is_here():
    rows = {tuple(name.split("/")[:2]) for name in FILE.files if name.count("/") > 1}
    named = {("torch", row) for row in TORCH} | {("keras", row) for row in KERAS}
    assert rows == named | {("keras", "ema_overwrite_frequency")}


@pytest.mark.parametrize("row", TORCH)
def test_arguments_of_torch(row):
    path, _ = run(TORCH[row], START, GRADS)
    # With `differentiable`, torch computes 1 - beta**step in float32.
    assert_trees_close(path, golden("torch", row), rtol=1e-12 if row != "differentiable" else 1e-6)


@pytest.mark.parametrize("row", KERAS)
def test_arguments_of_keras(row):
    scaled = row == "loss_scale_factor"  # the gradients are those of the scaled loss
    grads = jax.tree.map(lambda g: 1024.0 * g, GRADS) if scaled else GRADS
    accumulates = row == "gradient_accumulation_steps"
    with jax.numpy_dtype_promotion("standard" if accumulates else "strict"):
        path, _ = run(KERAS[row], START, grads)
    # Optax accumulates in float32.
    assert_trees_close(path, golden("keras", row), rtol=1e-6 if accumulates else 1e-12)


@pytest.mark.parametrize("every", [None, 4])
def test_use_ema_of_keras(every):
    optimizer = amsgrad(1e-3, convention="keras")
    params, state, average = START, optimizer.init(START), None
    row = "ema_overwrite_frequency" if every else "use_ema"
    for t in range(12):
        updates, state = optimizer.update({name: g[t] for name, g in GRADS.items()}, state)
        params = optax.apply_updates(params, updates)
        average = params if average is None else optax.incremental_update(params, average, 1 - 0.9)
        if every and (t + 1) % every == 0:
            params = average
        theirs = {name: FILE[f"keras/{row}/average/{name}"][t] for name in NAMES}
        assert_trees_close(average, theirs, rtol=1e-12)
        theirs = {name: x[t] for name, x in golden("keras", row).items()}
        assert_trees_close(params, theirs, rtol=1e-12)


def test_the_defaults_of_the_conventions_are_those_of_the_libraries():
    assert jamsgrad.conventions["pytorch"].eps == 1e-8
    assert jamsgrad.conventions["keras"].eps == 1e-7


# The traps


def steps(convention, grads, eps=None):
    """The sizes of the steps at learning rate 1, in the defaults b1 = 0.9 and b2 = 0.999."""
    path, _ = run(amsgrad(1.0, eps=eps, convention=convention), jnp.zeros(()), grads)
    return np.abs(np.diff(path, prepend=0.0))


@pytest.mark.parametrize(
    ("spike", "times_smaller", "optax_step"), [(0, 29.4, 1e-3), (99, 3.04, None)]
)
def test_optax_remembers_an_early_spike_at_full_size(spike, times_smaller, optax_step):
    grads = jnp.ones(spike + 2001).at[spike].set(1000.0)
    torch, ours = (steps(convention, grads)[-1] for convention in ("pytorch", "optax"))
    np.testing.assert_allclose(torch / ours, times_smaller, rtol=2e-3)
    if optax_step:
        np.testing.assert_allclose(ours, optax_step, rtol=1e-3)
    with jax.numpy_dtype_promotion("standard"):
        path, _ = run(optax.amsgrad(1.0), jnp.zeros(()), grads)
    np.testing.assert_allclose(ours, np.abs(np.diff(path))[-1], rtol=1e-9)


def test_keras_adds_an_eps_that_is_31_6_times_larger_at_the_first_step():
    eps = 1e-3
    for convention, times in (("pytorch", 1.0), ("optax", 1.0), ("keras", 31.6)):
        # The first step is g / (g + eps'), for a gradient g of about the size of eps.
        (step,) = steps(convention, jnp.array([1e-3]), eps)
        np.testing.assert_allclose((1e-3 / step - 1e-3) / eps, times, rtol=1e-3)


def test_the_first_step_of_the_paper_is_3_16_times_the_learning_rate():
    for convention in CONVENTIONS:
        (step,) = steps(convention, jnp.array([7.0]))
        times = 3.16 if convention == "paper" else 1.0
        np.testing.assert_allclose(step, times, rtol=1e-3)
    steady = steps("paper", jnp.full(100, 7.0))
    assert np.argmax(steady) + 1 == 12
    np.testing.assert_allclose(np.max(steady), 6.57, rtol=1e-3)
