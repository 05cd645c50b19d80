"""Fit a model with several optima: two damped oscillations in noisy data, from 10,000 starts.

    python examples/fit_model.py [--starts 10000] [--devices 2] [--seed 0] [--out figures]

Two weakly coupled pendulums are displaced and let go; the displacement of one is

    y(t) = sum_k a_k exp(-r_k t) cos(2 pi f_k t),  f_1 = f_0 + gap

with the time in units of the record, and noise of known size. Least squares has many local optima:
a frequency that is wrong by one beat fits a part of the data. The parameters are a dict; amplitudes
a, rates r and the gap, which are positive and may be of any magnitude, are searched on a log scale:
the table of minima shows their logarithms. Prints what was found and how often, and the best fit
with its standard errors; draws the values in order, the best fit over the data, and its residuals.
The progress bar needs the extra `progress`.
"""

import argparse
from pathlib import Path

import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np

import jamsgrad
from jamsgrad import plots

NOISE = 0.1
TRUE = {
    "amplitude": np.array([1.0, 0.6]),
    "frequency": 10.0,  # of the slower oscillation
    "gap": 2.5,
    "rate": np.array([1.0, 2.0]),
}
BOUNDS = (
    {"amplitude": np.full(2, 0.1), "frequency": 2.0, "gap": 0.5, "rate": np.full(2, 0.1)},
    {"amplitude": np.full(2, 3.0), "frequency": 25.0, "gap": 10.0, "rate": np.full(2, 10.0)},
)
SCALE = {"amplitude": "log", "gap": "log", "rate": "log"}


@jax.jit
def model(x, t):
    """The displacement at the times t for the parameters x."""
    frequency = x["frequency"] + jnp.array([0.0, 1.0]) * x["gap"]
    decay = x["amplitude"] * jnp.exp(-x["rate"] * t[:, None])
    return jnp.sum(decay * jnp.cos(2 * jnp.pi * frequency * t[:, None]), axis=1)


def misfit(x, t, y):
    """Half of chi^2, the sum of the squares of the residuals in units of the noise."""
    return 0.5 * jnp.sum(((y - model(x, t)) / NOISE) ** 2)


def report(x, errors):
    """A row for each number: the truth, what was found, and how far apart in standard errors."""
    print(f"\n{'parameter':16} {'true':>8} {'found':>8}   {'error':>7} {'pull':>6}")
    for name, truth in TRUE.items():
        for k, true in enumerate(np.ravel(truth)):
            found, error = np.ravel(x[name])[k], np.ravel(errors[name])[k]
            label = name + (f"[{k}]" if np.ndim(truth) else "")
            pull = (found - true) / error
            print(f"{label:16} {true:8.4f} {found:8.4f} ± {error:7.4f} {pull:+6.2f}")


def draw(result, problem, t, y):
    """The values where the searches ended, the two best optima over the data, and the residuals."""
    figure = plt.figure(figsize=(12, 5.5), layout="constrained")
    grid = figure.add_gridspec(3, 2)
    left, right = figure.add_subplot(grid[:, 0]), figure.add_subplot(grid[:2, 1])
    below = figure.add_subplot(grid[2, 1], sharex=right)
    plots.waterfall(result, left)
    left.set_title(f"{len(result.fun):,} searches, minima in the order of the table")
    fine = np.linspace(t[0], t[-1], 1000)
    right.errorbar(t, y, NOISE, fmt=".", color="0.6", markersize=4, elinewidth=0.7, label="data")
    looks = (
        {"color": "#e69f00", "linestyle": "--", "linewidth": 1},
        {"color": "#0072b2"},
    )
    for rank, look in zip((1, 0), looks, strict=True):
        if rank < len(result.minima):
            minimum = result.minima[rank]
            name = ("best fit", "second best optimum")[rank]
            label = f"{name}, $f$ = {minimum.fun:.3g}"
            x = problem.to_x(minimum.x)
            right.plot(fine, model(x, fine), label=label, **look)
            residuals = (y - model(x, t)) / NOISE
            below.plot(t, residuals, ".", color=look["color"], markersize=(7, 4)[rank])
    right.set(ylabel="displacement $y$")
    right.tick_params(labelbottom=False)
    right.legend(reverse=True)  # the data, then the best fit
    below.axhspan(-2, 2, color="0.9", zorder=0)  # where 95 % of a good fit's are
    below.axhline(0, color="0.6", linewidth=1, zorder=1)
    below.set(xlabel="time $t$", ylabel="residual / noise")
    for ax in (right, below):
        ax.grid(alpha=0.3)
    return figure


def main(argv=None):
    """Make the data, fit them from many starts, and tell and draw what was found."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--starts", type=int, default=10_000)
    parser.add_argument(
        "--devices", type=int, default=2, help="CPU devices, best one for each core"
    )
    parser.add_argument("--seed", type=int, default=0, help="of the noise and the starts")
    parser.add_argument("--out", type=Path, default=Path("figures"), help="folder of the picture")
    args = parser.parse_args(argv)
    jax.config.update("jax_num_cpu_devices", args.devices)

    noise_key, starts_key = jax.random.split(jax.random.key(args.seed))
    t = jnp.linspace(0, 1, 64)
    y = model(TRUE, t) + NOISE * jax.random.normal(noise_key, t.shape)
    problem = jamsgrad.scaled(misfit, BOUNDS, SCALE)
    result = jamsgrad.multistart(
        problem.fun,
        problem.bounds,
        jamsgrad.amsgrad(0.3, b2=0.99),
        key=starts_key,
        n_starts=args.starts,
        args=(t, y),
        gtol=0.2,  # moves no parameter by a tenth of its statistical error
        mesh=jax.make_mesh((jax.device_count(),), ("starts",)),
        progress=True,
    )
    print(result)
    best = result.minima[0]
    x, errors = jax.jvp(problem.to_x, (best.x,), (best.standard_errors(),))  # d exp(u) = exp(u) du
    report(x, errors)
    free = t.size - best.hessian.shape[0]
    print(f"chi^2 = {2 * best.fun:.1f} with {free} degrees of freedom")

    args.out.mkdir(parents=True, exist_ok=True)
    figure = draw(result, problem, t, y)
    figure.savefig(args.out / "fit_model.png", dpi=120)
    plt.close(figure)
    print(f"wrote {args.out / 'fit_model.png'}")


if __name__ == "__main__":
    main()
