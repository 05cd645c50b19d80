"""Fit a model with several optima: two damped oscillations in noisy data, from 10,000 starts.

    python examples/fit_model.py [--starts 10000] [--devices 2] [--seed 0] [--out figures]

Two weakly coupled pendulums are displaced and let go; the displacement of one is

    y(t) = sum_k a_k exp(-r_k t) cos(2 pi f_k t),  f_1 = f_0 + gap

with the time in units of the record, and noise of known size. Least squares has many local optima:
a frequency that is wrong by one beat fits a part of the data. The parameters are a dict; amplitudes
a, rates r and the gap, which are positive and may be of any magnitude, are searched on a log scale.
Prints what was found and how often, and the best fit with its statistical errors; draws the values
in order, and the best fit over the data. The progress bar needs the extra `progress`.
"""

import argparse
from pathlib import Path

import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np
from jax.flatten_util import ravel_pytree

import jamsgrad
from jamsgrad import plots

NOISE = 0.1
TRUE = {
    "frequency": 10.0,  # of the slower oscillation
    "log_amplitude": np.log([1.0, 0.6]),
    "log_gap": np.log(2.5),
    "log_rate": np.log([1.0, 2.0]),
}
BOUNDS = (
    {
        "frequency": 2.0,
        "log_amplitude": np.log([0.1, 0.1]),
        "log_gap": np.log(0.5),
        "log_rate": np.log([0.1, 0.1]),
    },
    {
        "frequency": 25.0,
        "log_amplitude": np.log([3.0, 3.0]),
        "log_gap": np.log(10.0),
        "log_rate": np.log([10.0, 10.0]),
    },
)


@jax.jit
def model(x, t):
    """The displacement at the times t for the parameters x."""
    frequency = x["frequency"] + jnp.array([0.0, 1.0]) * jnp.exp(x["log_gap"])
    decay = jnp.exp(x["log_amplitude"] - jnp.exp(x["log_rate"]) * t[:, None])
    return jnp.sum(decay * jnp.cos(2 * jnp.pi * frequency * t[:, None]), axis=1)


def misfit(x, t, y):
    """Half the mean square of the residuals in units of the noise: about 0.5 for a good fit."""
    return 0.5 * jnp.mean(((y - model(x, t)) / NOISE) ** 2)


@jax.jit
def standard_errors(x, t, y):
    """The square roots of the diagonal of the inverse Hessian of chi^2 / 2, as a dict like x."""
    flat, tree = ravel_pytree(x)
    hessian = t.size * jax.hessian(lambda flat: misfit(tree(flat), t, y))(flat)
    return tree(jnp.sqrt(jnp.diag(jnp.linalg.inv(hessian))))


def report(x, errors):
    """A row for each number: the truth, what was found, and how far apart in standard errors."""
    print(f"\n{'parameter':16} {'true':>8} {'found':>8}   {'error':>7} {'pull':>6}")
    for name, truth in TRUE.items():
        for k, true in enumerate(np.ravel(truth)):
            found, error = np.ravel(x[name])[k], np.ravel(errors[name])[k]
            label = name + (f"[{k}]" if np.ndim(truth) else "")
            pull = (found - true) / error
            print(f"{label:16} {true:8.4f} {found:8.4f} ± {error:7.4f} {pull:+6.2f}")


def draw(result, t, y):
    """The values where the searches ended, and the two best optima over the data."""
    figure, (left, right) = plt.subplots(1, 2, figsize=(12, 4.5), layout="constrained")
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
            right.plot(fine, model(minimum.x, fine), label=label, **look)
    right.set(xlabel="time $t$", ylabel="displacement $y$")
    right.legend(reverse=True)  # the data, then the best fit
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
    result = jamsgrad.multistart(
        misfit,
        BOUNDS,
        jamsgrad.amsgrad(0.3, b2=0.99),
        key=starts_key,
        n_starts=args.starts,
        args=(t, y),
        gtol=3e-3,  # moves no parameter by a tenth of its statistical error
        mesh=jax.make_mesh((jax.device_count(),), ("starts",)),
        progress=True,
    )
    print(result)
    report(result.best.x, standard_errors(result.best.x, t, y))
    chi2, free = 2 * t.size * result.best.fun, t.size - ravel_pytree(TRUE)[0].size
    print(f"chi^2 = {chi2:.1f} with {free} degrees of freedom")

    args.out.mkdir(parents=True, exist_ok=True)
    figure = draw(result, t, y)
    figure.savefig(args.out / "fit_model.png", dpi=120)
    plt.close(figure)
    print(f"wrote {args.out / 'fit_model.png'}")


if __name__ == "__main__":
    main()
