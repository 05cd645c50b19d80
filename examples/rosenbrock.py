"""A race across Rosenbrock's valley: AMSGrad in every convention, and Adam.

    python examples/rosenbrock.py [--steps 1000] [--learning-rate 0.05] [--out figures]

Minimises f(x) = 100 (x1 - x0^2)^2 + (1 - x0)^2 from the classic start (-1.2, 1), prints where each
search ends, and writes `convergence.png`, `paths.png` and `search.gif` (of 24 `--frames`).
"""

import argparse
from pathlib import Path

import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt
import optax

import jamsgrad
from jamsgrad import plots, problems

ROSENBROCK = problems.rosenbrock(2)
START = (-1.2, 1.0)
VIEW = ([-1.5, -0.5], [1.5, 1.5])  # lower and upper corner of the pictures


def search(optimizer, steps):
    """One search, with every step recorded."""
    start = jnp.array(START)
    return jamsgrad.minimize(ROSENBROCK.fun, start, optimizer, max_steps=steps, record_every=1)


def main(argv=None):
    """Run the five searches with the command line's settings, compare and draw them."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--steps", type=int, default=1000)
    parser.add_argument("--learning-rate", type=float, default=0.05)
    parser.add_argument("--frames", type=int, default=24, help="of the animation")
    parser.add_argument("--out", type=Path, default=Path("figures"), help="folder of the pictures")
    args = parser.parse_args(argv)

    jax.config.update("jax_enable_x64", True)
    optimizers = {
        name: jamsgrad.amsgrad(args.learning_rate, convention=name) for name in jamsgrad.conventions
    }
    optimizers["Adam"] = optax.adam(args.learning_rate)
    results = {name: search(optimizer, args.steps) for name, optimizer in optimizers.items()}
    # The best first: its trajectory is the longest, and the pictures draw it below the others.
    results = dict(sorted(results.items(), key=lambda item: item[1].fun))

    print(f"{'':8} {'steps':>6} {'f':>9} {'grad_norm':>9}  status")
    for name, result in results.items():
        status = result.reason.name
        print(f"{name:8} {result.n_steps:6} {result.fun:9.2e} {result.grad_norm:9.2e}  {status}")

    view = ROSENBROCK._replace(bounds=VIEW)
    args.out.mkdir(parents=True, exist_ok=True)
    pictures = {"convergence": plots.convergence(results), "paths": plots.path(view, results)}
    for name, ax in pictures.items():
        ax.set_title(f"Rosenbrock, learning rate {args.learning_rate:g}")
        ax.figure.savefig(args.out / f"{name}.png", dpi=120)
        plt.close(ax.figure)
        print(f"wrote {args.out / name}.png")
    animation = plots.animate(view, results, frames=args.frames, interval=120)
    animation.save(args.out / "search.gif", writer="pillow", dpi=80)
    plt.close()
    print(f"wrote {args.out / 'search.gif'}")
    return results


if __name__ == "__main__":
    main()
