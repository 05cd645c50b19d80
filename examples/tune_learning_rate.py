"""Tune the learning rate by its own gradient: differentiate through a whole search.

    python examples/tune_learning_rate.py [--tuning-steps 40] [--steps 100] [--out figures]

The loss that AMSGrad reaches on Rosenbrock after some steps is a function of the learning rate.
`minimize(..., loop="scan")` can be differentiated in reverse, so AMSGrad tunes its own learning
rate; a sweep over a grid shows where that ends.
"""

import argparse
from functools import partial
from pathlib import Path

import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np

import jamsgrad
from jamsgrad import problems

START = (-1.2, 1.0)


def final_loss(log_learning_rate, steps):
    """The logarithm of the loss after so many steps of AMSGrad with this learning rate."""
    result = jamsgrad.minimize(
        problems.rosenbrock(2).fun,
        jnp.array(START),
        jamsgrad.amsgrad(jnp.exp(log_learning_rate), b2=0.99),
        max_steps=steps,
        gtol=None,
        loop="scan",  # which can be differentiated in reverse
    )
    return jnp.log(result.fun)


def main(argv=None):
    """Tune, sweep a grid for comparison, and draw both."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--tuning-steps", type=int, default=40, help="searches, one after another")
    parser.add_argument("--steps", type=int, default=100, help="steps of each search")
    parser.add_argument("--first", type=float, default=0.005, help="the first learning rate")
    parser.add_argument("--out", type=Path, default=Path("figures"), help="folder of the picture")
    args = parser.parse_args(argv)

    loss = partial(final_loss, steps=args.steps)
    tuned = jamsgrad.minimize(
        loss,
        jnp.log(args.first),
        jamsgrad.amsgrad(0.3, b2=0.9),
        max_steps=args.tuning_steps,
        gtol=1e-2,
        record_every=1,
    )
    print(f"learning rate {args.first:g}: loss {jnp.exp(tuned.trajectory.fun[0]):.2e}")
    print(f"learning rate {jnp.exp(tuned.x):.3g}: loss {jnp.exp(tuned.fun):.2e}, tuned")
    print(tuned.message)

    grid = jnp.linspace(jnp.log(args.first / 2), jnp.log(2.0), 400)
    swept = jax.jit(jax.vmap(loss))(grid)
    figure, ax = plt.subplots(layout="constrained")
    ax.plot(np.exp(grid), np.exp(swept), color="0.6", label="sweep of 400 learning rates")
    rates, losses = np.exp(tuned.trajectory.x), np.exp(tuned.trajectory.fun)
    ax.plot(rates, losses, ".--", color="#d55e00", label="tuned by its gradient")
    ax.plot(rates[0], losses[0], "o", color="#0072b2", label="first")
    ax.plot(np.exp(tuned.x), np.exp(tuned.fun), "k*", markersize=14, label="best")
    ax.set(xscale="log", yscale="log", xlabel="learning rate")
    ax.set(ylabel=f"loss after {args.steps} steps", title="AMSGrad tunes AMSGrad, on Rosenbrock")
    ax.grid(alpha=0.3)
    ax.legend()
    args.out.mkdir(parents=True, exist_ok=True)
    figure.savefig(args.out / "tune_learning_rate.png", dpi=120)
    plt.close(figure)
    print(f"wrote {args.out / 'tune_learning_rate.png'}")


if __name__ == "__main__":
    main()
