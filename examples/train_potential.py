"""Train an interatomic potential as MACE and NequIP do with torch's Adam(amsgrad=True).

    python examples/train_potential.py [--steps 400] [--out figures]
    python examples/train_potential.py --stop-at 77     # stops, and keeps its state
    python examples/train_potential.py --resume         # goes on from it to the same bits
    python examples/train_potential.py --from-torch checkpoint.pt

The recipe: clip by the global norm, coupled decay on one of two parameter groups, AMSGrad with
torch's numbers, ReduceLROnPlateau on the validation loss of averaged weights, torch_ema's average.
The potential is small, in the manner of Behler and Parrinello (Phys. Rev. Lett. 98, 146401, 2007):
each atom's energy is a network's function of its surroundings, and forces are minus the gradient of
the sum. It learns clusters of eight Lennard-Jones atoms, made here. `docs/recipe.md` has torch's
lines beside these, and what each mistake costs. `--stop-at` and `--resume` need the extra
`checkpoint`. A checkpoint of torch is what `tests/data/make_recipe.py` saves.
"""

import argparse
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np
import optax
from optax.contrib import reduce_on_plateau

from jamsgrad import amsgrad, interop

ATOMS, TRAIN, VALID, BATCH, WIDTH = 8, 80, 40, 16, 16
PER_EPOCH = TRAIN // BATCH  # steps
CUTOFF, CENTRES, SHARPNESS = 3.0, np.linspace(0.8, 2.2, 8), 8.0
ENERGY_WEIGHT, FORCE_WEIGHT = 1.0, 0.03

# The settings, in torch's words. Only weights of layers in between decay, as in MACE.
LR, MAX_NORM, WEIGHT_DECAY, EMA_DECAY = 1e-2, 0.3, 1e-2, 0.95
PLATEAU = {"factor": 0.5, "patience": 1, "threshold": 0.03, "cooldown": 1}
LAYERS = ("embed", "inter", "readout")
NAMES = [f"{layer}.{kind}" for layer in LAYERS for kind in ("weight", "bias")]
DECAYED = ["inter.weight"]


class Configurations(NamedTuple):
    """Clusters of atoms, with sigma and epsilon of the reference as units."""

    positions: jax.Array  # (n, ATOMS, 3)
    energies: jax.Array  # (n,), less the mean of those to train on
    forces: jax.Array  # (n, ATOMS, 3)


class Recipe(NamedTuple):
    """What torch keeps in an optimizer, a scheduler, an average and a call before each step."""

    optimizer: optax.GradientTransformation
    plateau: optax.GradientTransformationExtraArgs
    ema_decay: Callable[[jax.Array], Any]  # of the number of steps taken


class State(NamedTuple):
    """All that a run needs to go on."""

    params: dict[str, jax.Array]
    optimizer: optax.OptState
    plateau: Any
    average: dict[str, jax.Array]
    n: jax.Array  # steps taken


# The data


def distances(positions):
    """From each atom to all others, (ATOMS, ATOMS - 1)."""
    others = np.array([[j for j in range(ATOMS) if j != i] for i in range(ATOMS)])
    return jnp.linalg.norm(positions[others] - positions[:, None], axis=-1)


def lennard_jones(positions):
    """The energy to learn. Each pair is met twice, hence 2 and not 4."""
    r6 = distances(positions) ** -6
    return 2 * jnp.sum(r6**2 - r6)


def make_data(seed=0):
    """Configurations to train on and to validate with: cubes, stretched and shaken at random."""
    rng, n = np.random.default_rng(seed), TRAIN + VALID
    cube = np.array([[i, j, k] for i in (0, 1) for j in (0, 1) for k in (0, 1)], float)
    positions = cube * rng.uniform(1.15, 1.4, (n, 1, 1)) + 0.03 * rng.normal(size=(n, ATOMS, 3))
    energies, gradients = jax.vmap(jax.value_and_grad(lennard_jones))(jnp.asarray(positions))
    data = Configurations(jnp.asarray(positions), energies - energies[:TRAIN].mean(), -gradients)
    return jax.tree.map(lambda x: x[:TRAIN], data), jax.tree.map(lambda x: x[TRAIN:], data)


def batch_of(step, seed=0):
    """Which configurations a step is taken on: it depends on nothing else, so runs may stop."""
    epoch, i = divmod(step, PER_EPOCH)
    return np.random.default_rng((seed, epoch)).permutation(TRAIN).reshape(-1, BATCH)[i]


# The potential


def init_params(seed=0):
    """Weights and biases by torch's names and in its shapes, (out, in)."""
    rng, sizes, params = np.random.default_rng(seed), (len(CENTRES), WIDTH, WIDTH, 1), {}
    for layer, n, m in zip(LAYERS, sizes[:-1], sizes[1:], strict=True):
        params[f"{layer}.weight"] = jnp.asarray(rng.normal(size=(m, n)) / n**0.5)
        params[f"{layer}.bias"] = jnp.zeros(m)
    return params


def dense(params, layer, x):
    """What torch.nn.Linear computes."""
    return x @ params[f"{layer}.weight"].T + params[f"{layer}.bias"]


def energy(params, positions):
    """The sum of the atoms' energies."""
    r = distances(positions)
    near = jnp.where(r < CUTOFF, (1 + jnp.cos(jnp.pi * r / CUTOFF)) / 2, 0.0)
    x = jnp.sum(near[..., None] * jnp.exp(-SHARPNESS * (r[..., None] - CENTRES) ** 2), axis=1)
    for layer in LAYERS[:-1]:
        x = jnp.tanh(dense(params, layer, x))
    return jnp.sum(dense(params, LAYERS[-1], x))


def errors(params, data):
    """Mean squared errors of the energy per atom and of a component of the forces."""
    energies, gradients = jax.vmap(jax.value_and_grad(energy, 1), (None, 0))(params, data.positions)
    per_atom = (energies - data.energies) / ATOMS
    return jnp.mean(per_atom**2), jnp.mean((gradients + data.forces) ** 2)


@jax.jit
def loss(params, data):
    """What is minimised: energies and forces, weighted."""
    of_energy, of_forces = errors(params, data)
    return ENERGY_WEIGHT * of_energy + FORCE_WEIGHT * of_forces


# The recipe


def clip_grad_norm(max_norm):
    """torch.nn.utils.clip_grad_norm_, which divides by the norm + 1e-6; optax by the norm."""

    def clip(grads, params=None):
        del params
        norm = optax.tree.norm(grads)
        return optax.tree.scale(jnp.minimum(1.0, max_norm / (norm + 1e-6)), grads)

    return optax.stateless(clip)


def torch_ema_decay(n, decay=EMA_DECAY):
    """The decay of torch_ema's average at its n-th update: it begins with 2 / 11."""
    return jnp.minimum(decay, (1 + n) / (10 + n))


def make_recipe():
    """The parts, with torch's numbers."""
    return Recipe(
        optimizer=optax.chain(
            clip_grad_norm(MAX_NORM),
            optax.add_decayed_weights(WEIGHT_DECAY, mask={name: name in DECAYED for name in NAMES}),
            amsgrad(LR, convention="pytorch"),
        ),
        plateau=reduce_on_plateau(
            factor=PLATEAU["factor"],
            patience=PLATEAU["patience"] + 1,  # torch waits for one bad epoch more
            rtol=PLATEAU["threshold"],
            cooldown=PLATEAU["cooldown"],
        ),
        ema_decay=torch_ema_decay,
    )


def init_state(recipe, params):
    """The state before the first step."""
    return State(
        params, recipe.optimizer.init(params), recipe.plateau.init(params), params, jnp.array(0)
    )


@partial(jax.jit, static_argnums=0)
def train_step(recipe, state, batch):
    """The state after a step, and the loss before it."""
    value, grads = jax.value_and_grad(loss)(state.params, batch)
    updates, optimizer = recipe.optimizer.update(grads, state.optimizer, state.params)
    params = optax.apply_updates(state.params, optax.tree.scale(state.plateau.scale, updates))
    n = state.n + 1
    average = optax.incremental_update(params, state.average, 1 - recipe.ema_decay(n))
    return State(params, optimizer, state.plateau, average, n), value


@partial(jax.jit, static_argnums=0)
def end_epoch(recipe, state, valid):
    """The state after a look at the averaged weights, and their loss."""
    value = loss(state.average, valid)
    _, plateau = recipe.plateau.update(state.params, state.plateau, value=value)
    return state._replace(plateau=plateau), value


def train(recipe, state, data, until, curves):
    """The state after `until` steps; what is drawn is appended to the curves."""
    training, valid = data
    for t in range(int(state.n), until):
        curves["lr"].append(LR * state.plateau.scale)
        batch = jax.tree.map(lambda x: x[batch_of(t)], training)  # noqa: B023  used at once
        state, value = train_step(recipe, state, batch)
        curves["loss"].append(value)
        if (t + 1) % PER_EPOCH == 0:
            curves["weights"].append(loss(state.params, valid))
            state, value = end_epoch(recipe, state, valid)
            curves["average"].append(value)
    return state


# Stop, go on, come from torch


def save(folder, state, curves):
    """Keep a run by orbax."""
    with checkpointer() as orbax:
        orbax.save(folder.absolute(), {"state": state, "curves": as_arrays(curves)}, force=True)


def restore(folder, state):
    """The state and the curves of a run; `state` tells the types."""
    with checkpointer() as orbax:
        curves = orbax.restore(folder.absolute())["curves"]
        saved = orbax.restore(folder.absolute(), {"state": state, "curves": curves})
    return saved["state"], {name: list(values) for name, values in saved["curves"].items()}


def checkpointer():
    """Orbax's."""
    try:
        import orbax.checkpoint as ocp  # noqa: PLC0415  only if a run stops or goes on
    except ModuleNotFoundError:
        raise SystemExit(
            "This example needs orbax: python -m pip install -e '.[checkpoint]'"
        ) from None
    return ocp.StandardCheckpointer()


def load_torch(path):
    """What torch.save wrote."""
    try:
        import torch  # noqa: PLC0415  only for this
    except ModuleNotFoundError:
        raise SystemExit("This example needs torch: python -m pip install torch") from None
    return torch.load(path, map_location="cpu", weights_only=True)


def from_torch(checkpoint, state):
    """Go on from a checkpoint of torch, a mapping of arrays. `state` is that before all steps.

    Its entries are the state dicts of the model, of the optimizer, of ReduceLROnPlateau
    ("lr_scheduler") and of torch_ema ("ema").
    """

    def to_params(arrays):
        return {name: jnp.array(np.asarray(arrays[name])) for name in NAMES}

    optimizer, scheduler, ema = (checkpoint[key] for key in ("optimizer", "lr_scheduler", "ema"))
    groups = [name for name in NAMES if name not in DECAYED] + DECAYED  # as torch numbers them
    return State(
        params=to_params(checkpoint["model"]),
        optimizer=interop.from_torch(optimizer, state.optimizer, names=groups),
        plateau=state.plateau._replace(
            scale=jnp.array(optimizer["param_groups"][0]["lr"] / LR),
            best_value=jnp.array(scheduler["best"]),
            plateau_count=jnp.int32(scheduler["num_bad_epochs"]),
            cooldown_count=jnp.int32(scheduler["cooldown_counter"]),
        ),
        average=to_params(dict(zip(NAMES, ema["shadow_params"], strict=True))),
        n=jnp.array(ema["num_updates"]),
    )


# What is seen of it


def new_curves(n=0):
    """Of a run that begins after n steps, of which nothing is known."""
    lengths = {"loss": n, "lr": n, "weights": n // PER_EPOCH, "average": n // PER_EPOCH}
    return {name: [np.nan] * length for name, length in lengths.items()}


def as_arrays(curves):
    """What is kept and drawn."""
    return {name: np.array(values, float) for name, values in curves.items()}


def draw(curves):
    """Loss and learning rate over the steps."""
    curves = as_arrays(curves)
    figure, (top, bottom) = plt.subplots(
        2, 1, sharex=True, figsize=(8, 6), height_ratios=(3, 1), layout="constrained"
    )
    ends = PER_EPOCH * np.arange(1, len(curves["average"]) + 1)
    top.plot(curves["loss"], color="#0072b2", alpha=0.35, linewidth=1, label="training, by batch")
    top.plot(ends, curves["weights"], "--", color="0.4", linewidth=1, label="validation")
    top.plot(ends, curves["average"], color="#d55e00", label="validation, averaged weights")
    top.set(ylabel="loss", yscale="log", title="A potential by AMSGrad, as torch would train it")
    top.legend()
    bottom.step(np.arange(len(curves["lr"])), curves["lr"], where="post", color="k")
    bottom.set(xlabel="step", ylabel="learning rate", yscale="log")
    return figure


def main(argv=None):
    """Train, or go on; then draw."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--steps", type=int, default=400)
    parser.add_argument("--stop-at", type=int, metavar="STEP", help="stop, and keep the state")
    parser.add_argument("--out", type=Path, default=Path("figures"), help="folder of the picture")
    begin = parser.add_mutually_exclusive_group()
    begin.add_argument("--resume", action="store_true", help="go on from where a run stopped")
    begin.add_argument("--from-torch", type=Path, metavar="FILE", help="go on from a checkpoint")
    args = parser.parse_args(argv)
    jax.config.update("jax_enable_x64", True)

    data, recipe, folder = make_data(), make_recipe(), args.out / "train_potential_state"
    state, curves = init_state(recipe, init_params()), new_curves()
    if args.resume:
        if not folder.exists():
            parser.error(f"--resume needs {folder}, which --stop-at writes")
        state, curves = restore(folder, state)
    if args.from_torch:
        state = from_torch(load_torch(args.from_torch), state)
        curves = new_curves(int(state.n))
    begun, until = int(state.n), args.steps if args.stop_at is None else args.stop_at
    for option, step in (("--stop-at", args.stop_at), ("--steps", args.steps)):
        if step is not None and step <= begun:
            parser.error(f"{option} must be at least {begun + 1}, got {step}")

    state = train(recipe, state, data, until, curves)
    print(f"steps {begun} to {until}, loss {float(curves['loss'][-1])!r}")
    if args.stop_at is not None:
        save(folder, state, curves)
        print(f"wrote {folder}: go on by --resume")
        return
    for name, params in (("weights", state.params), ("averaged weights", state.average)):
        of_energy, of_forces = (float(x) ** 0.5 for x in errors(params, data[1]))
        print(f"{name}: RMSE of the energy per atom {of_energy:.4f}, of the forces {of_forces:.3f}")
    args.out.mkdir(parents=True, exist_ok=True)
    figure = draw(curves)
    figure.savefig(args.out / "train_potential.png", dpi=120)
    plt.close(figure)
    print(f"wrote {args.out / 'train_potential.png'}")


if __name__ == "__main__":
    main()
