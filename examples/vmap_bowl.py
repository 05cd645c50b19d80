"""A hundred thousand searches at once in plain JAX: init/update, `lax.scan`, `vmap`, `jit`.

python examples/vmap_bowl.py [--starts 100000] [--steps 100] [--out figures]
"""

import argparse
from pathlib import Path

import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np
import optax

import jamsgrad


def bowl(x):
    """The objective, f(x) = x0^2 + x1^2."""
    return x[0] ** 2 + x[1] ** 2


def search(x, steps):
    """One search of `steps` steps from `x`: the end, and the value after every step."""
    optimizer = jamsgrad.amsgrad(0.02, b2=0.99)

    def step(carry, _):
        x, state = carry
        updates, state = optimizer.update(jax.grad(bowl)(x), state)
        x = optax.apply_updates(x, updates)
        return (x, state), bowl(x)

    (x, _), values = jax.lax.scan(step, (x, optimizer.init(x)), length=steps)
    return x, values


def main(argv=None):
    """Search from all starts, print the spread of the results and draw it over the steps."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--starts", type=int, default=100_000)
    parser.add_argument("--steps", type=int, default=100)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=Path("figures"), help="folder of the picture")
    args = parser.parse_args(argv)

    starts = jax.random.uniform(jax.random.key(args.seed), (args.starts, 2), minval=-1, maxval=1)
    search_all = jax.jit(jax.vmap(search, in_axes=(0, None)), static_argnums=1)
    ends, values = jax.block_until_ready(search_all(starts, args.steps))

    levels = [0, 0.05, 0.5, 0.95, 1]
    print(f"{args.starts} searches of {args.steps} steps; distance of the ends from the minimum:")
    distances = jnp.quantile(jnp.linalg.norm(ends, axis=1), jnp.array(levels))
    for level, distance in zip(levels, distances, strict=True):
        print(f"  {level:4.0%} are within {distance:.2e}")

    low, middle, high = np.quantile(values, [0.05, 0.5, 0.95], axis=0)
    t = np.arange(1, args.steps + 1)
    figure, ax = plt.subplots(layout="constrained")
    ax.fill_between(t, low, high, alpha=0.3, label="90 % of the searches")
    ax.plot(t, middle, label="median")
    ax.set(xlabel="step", ylabel="$f(x)$", yscale="log", title=f"{args.starts:,} searches at once")
    ax.grid(alpha=0.3)
    ax.legend()
    args.out.mkdir(parents=True, exist_ok=True)
    figure.savefig(args.out / "vmap_bowl.png", dpi=120)
    plt.close(figure)
    print(f"wrote {args.out / 'vmap_bowl.png'}")
    return ends, values


if __name__ == "__main__":
    main()
