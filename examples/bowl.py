"""AMSGrad on a bowl: the classic tutorial, with `jax.grad` where it differentiates by hand.

    python examples/bowl.py [--seed 1] [--steps 100] [--learning-rate 0.007] [--b1 0.9] [--b2 0.99]
                            [--eps 0] [--out figures]

Minimises f(x) = x0^2 + x1^2 from a random start in [-1, 1]^2, prints every step, and writes
`surface.png`, `contour.png` and `path.png`.
"""

import argparse
from pathlib import Path

import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np
import optax

import jamsgrad

BOUNDS = (-1.0, 1.0)


def bowl(x):
    """The objective, f(x) = x0^2 + x1^2."""
    return x[0] ** 2 + x[1] ** 2


def search(x, steps, learning_rate, b1, b2, eps):
    """AMSGrad with b1_t = b1^t: the points visited, start included, and their values."""
    optimizer = jamsgrad.amsgrad(learning_rate, optax.exponential_decay(b1, 1, b1), b2, eps)

    @jax.jit
    def step(x, state):
        updates, state = optimizer.update(jax.grad(bowl)(x), state)
        x = optax.apply_updates(x, updates)
        return x, state, bowl(x)

    state = optimizer.init(x)
    points, values = [x], [bowl(x)]
    for t in range(steps):
        x, state, value = step(x, state)
        print(f">{t} f({np.asarray(x)}) = {value:.5f}")
        points.append(x)
        values.append(value)
    return np.array(points), np.array(values)


def draw_surface():
    """The bowl in three dimensions."""
    x0, x1 = np.meshgrid(*2 * [np.linspace(*BOUNDS, 101)])
    figure, ax = plt.subplots(subplot_kw={"projection": "3d"}, layout="constrained")
    ax.plot_surface(x0, x1, bowl((x0, x1)), cmap="viridis")
    ax.set(xlabel="$x_0$", ylabel="$x_1$", zlabel="$f(x)$", title="$f(x) = x_0^2 + x_1^2$")
    return figure


def draw_contour():
    """The bowl in filled contours."""
    x0, x1 = np.meshgrid(*2 * [np.linspace(*BOUNDS, 201)])
    figure, ax = plt.subplots(layout="constrained")
    filled = ax.contourf(x0, x1, bowl((x0, x1)), levels=50, cmap="viridis")
    figure.colorbar(filled, label="$f(x)$")
    ax.set(xlabel="$x_0$", ylabel="$x_1$", title="$f(x) = x_0^2 + x_1^2$", aspect="equal")
    return figure


def draw_path(points):
    """The search over the contours."""
    figure = draw_contour()
    ax = figure.axes[0]
    ax.plot(*points.T, ".-", color="white", linewidth=1, markersize=4)
    ax.plot(*points[0], "o", color="tab:orange", markeredgecolor="black", label="start")
    ax.plot(*points[-1], "*", color="red", markeredgecolor="black", markersize=14, label="end")
    ax.legend()
    ax.set(title=f"AMSGrad, {len(points) - 1} steps")
    return figure


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

    jax.config.update("jax_enable_x64", True)  # the tutorial computes in NumPy, in float64
    start = jnp.asarray(np.random.RandomState(args.seed).uniform(*BOUNDS, size=2))
    points, values = search(start, args.steps, args.learning_rate, args.b1, args.b2, args.eps)
    print("Done!")
    print(f"f({points[-1]}) = {values[-1]:.6f}")

    args.out.mkdir(parents=True, exist_ok=True)
    for name, figure in {
        "surface": draw_surface(),
        "contour": draw_contour(),
        "path": draw_path(points),
    }.items():
        figure.savefig(args.out / f"{name}.png", dpi=120)
        plt.close(figure)
        print(f"wrote {args.out / name}.png")
    return points, values


if __name__ == "__main__":
    main()
