"""AMSGrad on a bowl: the classic tutorial, with `jax.grad` where it differentiates by hand.

    python examples/bowl.py [--seed 1] [--steps 100] [--learning-rate 0.007] [--b1 0.9] [--b2 0.99]
                            [--eps 0] [--out figures]

Minimises f(x) = x0^2 + x1^2 from a random start in [-1, 1]^2, prints every step, and writes
`surface.png`, `contour.png` and `path.png`: the function from the side with the path on it, from
above, and with the path.
"""

import argparse
from pathlib import Path

import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np
import optax

import jamsgrad
from jamsgrad import plots
from jamsgrad.problems import bowl


def search(x, steps, learning_rate, b1, b2, eps):
    """AMSGrad with b1_t = b1^t: the points visited, start included, and their values."""
    optimizer = jamsgrad.amsgrad(learning_rate, optax.exponential_decay(b1, 1, b1), b2, eps)

    @jax.jit
    def step(x, state):
        updates, state = optimizer.update(jax.grad(bowl.fun)(x), state)
        x = optax.apply_updates(x, updates)
        return x, state, bowl.fun(x)

    state = optimizer.init(x)
    points, values = [x], [bowl.fun(x)]
    for t in range(steps):
        x, state, value = step(x, state)
        print(f">{t} f({np.asarray(x)}) = {value:.5f}")
        points.append(x)
        values.append(value)
    return np.array(points), np.array(values)


def surface(points, values):
    """The bowl from the side, and the path on it."""
    ax = plots.surface(bowl)
    ax.computed_zorder = False  # the path lies on the surface, not behind it
    ax.view_init(elev=50)
    x0, x1 = points.T
    ax.plot(x0, x1, values, color="black", linewidth=3.5, zorder=2)
    ax.plot(x0, x1, values, color="white", linewidth=2, zorder=3)
    ends = {"start": (0, "o", "white"), "end": (-1, "s", "#E69F00")}  # as on the contours
    for name, (i, marker, color) in ends.items():
        look = {"marker": marker, "color": color, "markeredgecolor": "black", "linestyle": ""}
        ax.plot(x0[i], x1[i], values[i], label=name, zorder=4, **look)
    ax.legend(loc="upper left")
    return ax


def main(argv=None):
    """Run the search with the command line's settings and draw it."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seed", type=int, default=1, help="of the random start")
    parser.add_argument("--steps", type=int, default=100)
    parser.add_argument("--learning-rate", type=float, default=0.007)
    parser.add_argument("--b1", type=float, default=0.9)
    parser.add_argument("--b2", type=float, default=0.99)
    parser.add_argument("--eps", type=float, default=0.0, help="the tutorial's digits need 0")
    parser.add_argument("--out", type=Path, default=Path("figures"), help="folder of the pictures")
    args = parser.parse_args(argv)
    if args.steps < 0:
        parser.error(f"--steps must be at least 0, got {args.steps}")

    jax.config.update("jax_enable_x64", True)  # the tutorial computes in NumPy, in float64
    start = jnp.asarray(np.random.RandomState(args.seed).uniform(*bowl.bounds))
    points, values = search(start, args.steps, args.learning_rate, args.b1, args.b2, args.eps)
    print("Done!")
    print(f"f({points[-1]}) = {values[-1]:.6f}")

    pictures = {
        "surface": surface(points, values),
        "contour": plots.contour(bowl),
        "path": plots.path(bowl, points),
    }
    args.out.mkdir(parents=True, exist_ok=True)
    for name, ax in pictures.items():
        title = "$f(x) = x_0^2 + x_1^2$" if name == "contour" else f"AMSGrad, {args.steps} steps"
        ax.set_title(title)
        ax.figure.savefig(args.out / f"{name}.png", dpi=120)
        plt.close(ax.figure)
        print(f"wrote {args.out / name}.png")
    return points, values


if __name__ == "__main__":
    main()
