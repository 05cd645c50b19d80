"""What mistakes in the recipe of examples/train_potential.py do to the training loss.

    python benchmarks/recipe.py [--steps 200] [MISTAKE ...]

Each run has one mistake and the same data, first weights and batches in float64. The deviation is
the largest |loss / torch's loss - 1| of all steps, with the losses that torch itself computed
(`tests/data/recipe.npz`). `docs/recipe.md` shows the table.
"""

import argparse
import sys
from pathlib import Path

import jax
import numpy as np
import optax
from _report import machine, table

import jamsgrad

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "examples"))
import train_potential as example  # noqa: E402

RIGHT = example.make_recipe()
CLIP = example.clip_grad_norm(example.MAX_NORM)
MASK = {name: name in example.DECAYED for name in example.NAMES}
DECAY = optax.add_decayed_weights(example.WEIGHT_DECAY, MASK)


def ours(convention: str = "pytorch") -> optax.GradientTransformation:
    """AMSGrad with the numbers of a library."""
    return jamsgrad.amsgrad(example.LR, convention=convention)


def chain(*parts: optax.GradientTransformation) -> example.Recipe:
    """The recipe with another optimizer."""
    return RIGHT._replace(optimizer=optax.chain(*parts))


def plateau(**changes: float) -> example.Recipe:
    """The recipe with another plateau, told as arguments of torch."""
    return RIGHT._replace(plateau=example.plateau_of(**example.PLATEAU | changes))


RECIPES = {
    "none": RIGHT,
    "optax.clip_by_global_norm: c / norm": chain(
        optax.clip_by_global_norm(example.MAX_NORM), DECAY, ours()
    ),
    "decay before the clip": chain(DECAY, CLIP, ours()),
    "decay of all parameters": chain(CLIP, optax.add_decayed_weights(example.WEIGHT_DECAY), ours()),
    "decoupled decay: amsgradw": chain(
        CLIP,
        jamsgrad.amsgradw(
            example.LR, weight_decay=example.WEIGHT_DECAY, mask=MASK, convention="pytorch"
        ),
    ),
    "patience without + 1": plateau(patience=example.PLATEAU["patience"] - 1),
    "optax's default rtol for threshold": plateau(threshold=1e-4),
    "average without torch_ema's ramp": RIGHT._replace(ema_decay=lambda n: example.EMA_DECAY),
    "optax.amsgrad": chain(CLIP, DECAY, optax.amsgrad(example.LR)),
    "convention='keras'": chain(CLIP, DECAY, ours("keras")),
    "convention='paper'": chain(CLIP, DECAY, ours("paper")),
}


def losses(recipe: example.Recipe, data: tuple, steps: int) -> np.ndarray:
    """The training loss of each step."""
    state, curves = example.init_state(recipe, example.init_params()), []
    example.train(recipe, state, data, steps, curves)
    return np.array(curves)[:, 0]


def main(argv: list[str] | None = None) -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("mistakes", nargs="*", metavar="MISTAKE", help="all if none is named")
    parser.add_argument("--steps", type=int, default=200, help="at most 200")
    args = parser.parse_args(argv)
    if unknown := {*args.mistakes} - {*RECIPES}:
        parser.error(f"no mistake {', '.join(sorted(unknown))}, only {', '.join(RECIPES)}")
    jax.config.update("jax_enable_x64", True)

    data, rows = example.make_data(), []
    torch = np.load(ROOT / "tests/data/recipe.npz")["loss"][: args.steps]
    for name in args.mistakes or RECIPES:
        deviations = np.abs(losses(RECIPES[name], data, args.steps) / torch - 1)
        first = next((t for t, x in enumerate(deviations, 1) if x > 1e-6), "")
        rows.append([name, f"{deviations.max():.1e}", first])
    print(f"{machine()}\n")
    print(table(["mistake", "largest deviation", "first step off by 1e-6"], rows))


if __name__ == "__main__":
    main()
