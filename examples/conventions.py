"""One name, four updates: the update of each convention for the same gradients.

    python examples/conventions.py [--steps 3000] [--spike 30] [--out figures]

All gradients are 1 but the hundredth, which is the spike; then all of them times 1e-6, where eps
shows. Prints the updates u_t at a few steps, of which the learning rate makes steps, and draws all
of them.
"""

import argparse
from functools import partial
from pathlib import Path

import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np
from matplotlib.ticker import FormatStrFormatter, NullFormatter

import jamsgrad

SPIKE_AT = 100
SIZES = {1.0: "gradients of 1", 1e-6: "the same times $10^{-6}$"}
STYLES = {  # colours of Okabe and Ito; where lines are equal, the narrow lie on the wide
    "paper": {"color": "#0072B2", "linestyle": "-.", "linewidth": 2},
    "optax": {"color": "#D55E00", "linestyle": "-", "linewidth": 4, "zorder": 2.1},
    "pytorch": {"color": "#56B4E9", "linestyle": "-", "linewidth": 7},
    "keras": {"color": "#000000", "linestyle": "--", "linewidth": 1.5, "zorder": 2.2},
}


@partial(jax.jit, static_argnums=0)
def updates(optimizer, gradients):
    """u_1, u_2, ... for one parameter."""

    def step(state, gradient):
        update, state = optimizer.update(gradient, state)
        return state, update

    return jax.lax.scan(step, optimizer.init(gradients[0]), gradients)[1]


def main(argv=None):
    """Compute, print and draw the updates with the command line's settings."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--steps", type=int, default=3000)
    parser.add_argument("--spike", type=float, default=30.0, help="the hundredth gradient")
    parser.add_argument("--out", type=Path, default=Path("figures"), help="folder of the picture")
    args = parser.parse_args(argv)

    jax.config.update("jax_enable_x64", True)
    t = np.arange(1, args.steps + 1)
    gradients = jnp.where(t == SPIKE_AT, args.spike, 1.0)
    shown = [1, 10, SPIKE_AT - 1, SPIKE_AT + 50, args.steps]

    figure, axes = plt.subplots(1, 2, figsize=(9, 4), sharey=True, layout="constrained")
    for ax, (size, title) in zip(axes, SIZES.items(), strict=True):
        print(f"{'size':>7} {'u at step':>9}", *(f"{step:>6}" for step in shown))
        for name, style in STYLES.items():
            u = np.asarray(updates(jamsgrad.scale_by_amsgrad(convention=name), size * gradients))
            print(f"{size:7g} {name:>9}", *(f"{u[step - 1]:6.3f}" for step in shown))
            ax.plot(t, u, label=name, **style)
        ax.axvline(SPIKE_AT, color="0.8", linewidth=1, zorder=0)
        ax.set(title=title, xlabel="step $t$", xscale="log", yscale="log")
        ax.grid(alpha=0.3)
    axes[0].set(ylabel="update $u_t$", ylim=(0.2, 10), yticks=[0.2, 0.5, 1, 2, 5, 10])
    axes[0].yaxis.set_major_formatter(FormatStrFormatter("%g"))
    axes[0].yaxis.set_minor_formatter(NullFormatter())
    axes[1].legend()
    args.out.mkdir(parents=True, exist_ok=True)
    figure.savefig(args.out / "conventions.png", dpi=120)
    plt.close(figure)
    print(f"wrote {args.out / 'conventions.png'}")


if __name__ == "__main__":
    main()
