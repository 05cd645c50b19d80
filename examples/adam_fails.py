"""Where Adam fails and AMSGrad does not: the figure of Reddi, Kale and Kumar, Section 5.

    python examples/adam_fails.py [--steps 5000000] [--seeds 6] [--out figures]

The losses are linear, f_t(x) = g_t x on [-1, 1]: mostly g_t = -10, but one step in 101 it is 1010
(online), or each with probability 0.01 (stochastic). The best x is -1. Adam divides the rare large
gradient by its own size and forgets that size before the next one, so the small ones win: it goes
to +1. Both use the learning rate 1 / sqrt(t). Draws the expected average regret and the iterate.
"""

import argparse
from functools import partial
from pathlib import Path

import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np
import optax

import jamsgrad
from jamsgrad import problems, schedules

LEARNING_RATE = schedules.inverse_sqrt(1.0)
OPTIMIZERS = {
    "Adam": optax.adam(LEARNING_RATE, b1=0.9, b2=0.99),
    "AMSGrad": jamsgrad.amsgrad(LEARNING_RATE, b1=0.9, b2=0.99),
}
STYLES = {"Adam": {"color": "#d55e00", "linestyle": "--"}, "AMSGrad": {"color": "#0072b2"}}
ROWS = 1000


@partial(jax.jit, static_argnums=(0, 1, 2))
def play(problem, optimizer, every, key):
    """x_t and the expected average regret in ROWS rows, one each `every` steps."""

    def step(_, carry):
        t, x, state, average_regret = carry
        regret = problem.expected_gradient * (x - problem.minimizer)
        average_regret += (regret - average_regret) / t
        gradient = problem.gradient(t, key).astype(x.dtype)
        updates, state = optimizer.update(gradient, state, x)
        return t + 1, jnp.clip(x + updates, *problem.bounds), state, average_regret

    def row(carry, _):
        # XLA compiles a loop whose data are small as a whole: t is counted, not read from an array.
        carry = jax.lax.fori_loop(0, every, step, carry)
        _, x, _, average_regret = carry
        return carry, (x, average_regret)

    x = jnp.zeros(())
    _, rows = jax.lax.scan(row, (1, x, optimizer.init(x), x), length=ROWS)
    return rows


def draw(axes, t, results):
    """The two rows of the figure for one problem: average regret, and iterate."""
    for name, (x, regret) in results.items():
        for ax, values in zip(axes, (regret, x), strict=True):
            ax.plot(t, np.median(values, axis=0), label=name, **STYLES[name])
            low, high = values.min(axis=0), values.max(axis=0)
            ax.fill_between(t, low, high, color=STYLES[name]["color"], alpha=0.2, linewidth=0)
    axes[1].axhline(-1, color="black", linestyle=":", linewidth=1, label="best $x$")
    axes[1].set(xlabel="step $t$", xscale="log", ylim=(-1.1, 1.1))
    for ax in axes:
        ax.grid(alpha=0.3)


def main(argv=None):
    """Play both problems with both optimizers and draw them."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--steps", type=int, default=5_000_000, help=f"rounded to {ROWS}s")
    parser.add_argument("--seeds", type=int, default=6)
    parser.add_argument("--out", type=Path, default=Path("figures"), help="folder of the picture")
    args = parser.parse_args(argv)
    every = max(1, args.steps // ROWS)
    t = every * np.arange(1, ROWS + 1)

    figure, axes = plt.subplots(
        2, 2, figsize=(9, 6), sharex=True, sharey="row", layout="constrained"
    )
    keys = jax.random.split(jax.random.key(0), args.seeds)
    for column, setting, problem, seeds in (
        (axes[:, 0], "online", problems.reddi_online, keys[:1]),  # the same for every seed
        (axes[:, 1], "stochastic", problems.reddi_stochastic, keys),
    ):
        results = {}
        for name, optimizer in OPTIMIZERS.items():
            x, regret = map(np.asarray, jax.vmap(partial(play, problem, optimizer, every))(seeds))
            results[name] = x, regret
            ends = ", ".join(f"{end:+.3f}" for end in x[:, -1])
            print(f"{setting}: {name} ends at {ends}")
        draw(column, t, results)
        column[0].set(title=setting if len(seeds) == 1 else f"{setting}, {len(seeds)} seeds")
    axes[0, 0].set(ylabel="expected average regret")
    axes[1, 0].set(ylabel="iterate $x_t$")
    axes[1, 1].legend(loc="center right")
    args.out.mkdir(parents=True, exist_ok=True)
    figure.savefig(args.out / "adam_fails.png", dpi=120)
    plt.close(figure)
    print(f"wrote {args.out / 'adam_fails.png'}")


if __name__ == "__main__":
    main()
