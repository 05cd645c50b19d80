"""Train an interatomic potential as MACE and NequIP do with torch's Adam(amsgrad=True).

    python examples/train_potential.py [--steps 300] [--out figures]
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
import importlib
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
PLATEAU = {"factor": 0.5, "patience": 1, "threshold": 0.03, "cooldown": 1, "min_lr": 1e-3}
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
    positions = jnp.asarray(positions)
    energies, gradients = jax.jit(jax.vmap(jax.value_and_grad(lennard_jones)))(positions)
    data = Configurations(positions, energies - energies[:TRAIN].mean(), -gradients)
    return take(data, np.s_[:TRAIN]), take(data, np.s_[TRAIN:])


def take(data, which):
    """Some of the configurations."""
    return jax.tree.map(lambda x: x[which], data)


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


def energy(params, positions):
    """The sum of the atoms' energies."""
    r = distances(positions)
    near = jnp.where(r < CUTOFF, (1 + jnp.cos(jnp.pi * r / CUTOFF)) / 2, 0.0)
    x = jnp.sum(near[..., None] * jnp.exp(-SHARPNESS * (r[..., None] - CENTRES) ** 2), axis=1)
    for layer in LAYERS:
        x = x @ params[f"{layer}.weight"].T + params[f"{layer}.bias"]
        x = x if layer == LAYERS[-1] else jnp.tanh(x)
    return jnp.sum(x)


@jax.jit
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


def plateau_of(factor, patience, threshold, cooldown, min_lr):
    """That of torch's ReduceLROnPlateau, which waits for one bad epoch more than optax's."""
    return reduce_on_plateau(
        factor, patience + 1, rtol=threshold, cooldown=cooldown, min_scale=min_lr / LR
    )


def make_recipe():
    """The parts, with torch's numbers."""
    return Recipe(
        optimizer=optax.chain(
            clip_grad_norm(MAX_NORM),
            optax.add_decayed_weights(WEIGHT_DECAY, mask={name: name in DECAYED for name in NAMES}),
            amsgrad(LR, convention="pytorch"),
        ),
        plateau=plateau_of(**PLATEAU),
        ema_decay=torch_ema_decay,
    )


def init_state(recipe, params):
    """The state before the first step."""
    optimizer, plateau = recipe.optimizer.init(params), recipe.plateau.init(params)
    return State(params, optimizer, plateau, params, jnp.array(0))


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
    """The state after `until` steps.

    For each, (loss, learning rate, NaN or the loss after the epoch) is appended to the curves.
    """
    training, valid = data
    for t in range(int(state.n), until):
        learning_rate, of_average = LR * state.plateau.scale, np.nan
        state, value = train_step(recipe, state, take(training, batch_of(t)))
        if (t + 1) % PER_EPOCH == 0:
            state, of_average = end_epoch(recipe, state, valid)
        curves.append((value, learning_rate, of_average))
    return state


# Stop, go on, come from torch


def needed(module, package):
    """A module that only some options need."""
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError:
        message = f"This example needs {module}: python -m pip install {package}"
        raise SystemExit(message) from None


def restore(checkpointer, folder, state):
    """The state and the curves of a run; another state tells the types."""
    curves = checkpointer.restore(folder)["curves"]  # whose length is not known
    return checkpointer.restore(folder, {"state": state, "curves": curves})["state"], [*curves]


def from_torch(checkpoint, state):
    """The state that goes on from a checkpoint; another one tells the types.

    The checkpoint maps "model", "optimizer", "lr_scheduler" (ReduceLROnPlateau) and "ema"
    (torch_ema) to their state dicts. Arrays will do for tensors.
    """

    def to_params(arrays):
        return {name: jnp.array(np.asarray(arrays[name])) for name in NAMES}

    optimizer, scheduler, ema = (checkpoint[key] for key in ("optimizer", "lr_scheduler", "ema"))
    in_groups = [name for name in NAMES if name not in DECAYED] + DECAYED  # as torch numbers them
    return State(
        params=to_params(checkpoint["model"]),
        optimizer=interop.from_torch(optimizer, state.optimizer, names=in_groups),
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


def draw(curves):
    """Losses and learning rate over the steps."""
    loss, learning_rate, average = np.array(curves).T
    steps = np.arange(1, len(loss) + 1)
    ends = steps[PER_EPOCH - 1 :: PER_EPOCH]
    epochs = loss[: PER_EPOCH * len(ends)].reshape(-1, PER_EPOCH).mean(axis=1)
    figure, (top, bottom) = plt.subplots(
        2, 1, sharex=True, figsize=(8, 6), height_ratios=(3, 1), layout="constrained"
    )
    top.plot(steps, loss, color="#0072b2", alpha=0.25, linewidth=0.8, label="training, a batch")
    top.plot(ends, epochs, color="#0072b2", label="training, mean of an epoch")
    top.plot(
        ends, average[ends - 1], color="#d55e00", linewidth=2, label="validation, averaged weights"
    )
    top.set(ylabel="loss", yscale="log", title="A potential trained by AMSGrad with torch's recipe")
    top.legend()
    bottom.step(steps, learning_rate, where="mid", color="k")
    bottom.set(xlabel="step", ylabel="learning rate", yscale="log")
    for ax in (top, bottom):
        ax.grid(alpha=0.3)
    return figure


def main(argv=None):
    """Train, or go on; then draw."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--steps", type=int, default=300)
    parser.add_argument("--stop-at", type=int, metavar="STEP", help="stop, and keep the state")
    parser.add_argument("--out", type=Path, default=Path("figures"), help="folder of the picture")
    begin = parser.add_mutually_exclusive_group()
    begin.add_argument("--resume", action="store_true", help="go on from where a run stopped")
    begin.add_argument("--from-torch", type=Path, metavar="FILE", help="go on from a checkpoint")
    args = parser.parse_args(argv)
    jax.config.update("jax_enable_x64", True)

    if args.resume or args.stop_at is not None:
        ocp = needed("orbax.checkpoint", "-e '.[checkpoint]'")
        checkpointer, folder = ocp.StandardCheckpointer(), args.out.absolute() / "train_potential"
    data, recipe = make_data(), make_recipe()
    state, curves = init_state(recipe, init_params()), []
    if args.resume:
        if not folder.exists():
            parser.error(f"--resume needs {folder}, which --stop-at writes")
        state, curves = restore(checkpointer, folder, state)
    if args.from_torch:
        torch = needed("torch", "torch")
        state = from_torch(torch.load(args.from_torch, map_location="cpu"), state)
        curves = int(state.n) * [3 * (np.nan,)]  # not known
    begun, until = int(state.n), args.steps if args.stop_at is None else args.stop_at
    for option, step in (("--stop-at", args.stop_at), ("--steps", args.steps)):
        if step is not None and step <= begun:
            parser.error(f"{option} must be at least {begun + 1}, got {step}")

    state = train(recipe, state, data, until, curves)
    print(f"steps {begun} to {until}, loss {float(curves[-1][0])!r}")
    if args.stop_at is not None:
        checkpointer.save(folder, {"state": state, "curves": np.array(curves)}, force=True)
        checkpointer.close()  # when all is written
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
