"""Fit the rates of a chemical reaction: an ordinary differential equation, solved by diffrax.

    python examples/fit_ode.py [--starts 100] [--seed 0] [--out figures]

A substance A turns into B, C and D, and back, by six rates:

    A <-> B <-> C <-> D,  dA/dt = r_BA B - r_AB A, and so on

A and C are measured, with noise of known size. The rates may be of any magnitude, so they are
searched on a log scale; the table shows their logarithms. Prints the optima and how often each was
found, the rates with their standard errors, and the interval of the worst known one by a profile:
all other rates are fitted again for each of its values. Draws the searches in the order of their
values, the best fit over the data, and the profile. Needs the extra `ode`, and a few minutes, most
of them to compile.
"""

import argparse
from pathlib import Path

import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np

import jamsgrad
from jamsgrad import plots

try:
    import diffrax
except ImportError:
    raise SystemExit("This example needs diffrax: python -m pip install -e '.[ode]'") from None

NOISE = 0.01
TRUE = {"AB": 1.0, "BA": 0.3, "BC": 2.0, "CB": 0.8, "CD": 0.5, "DC": 0.1}
BOUNDS = dict.fromkeys(TRUE, 1e-2), dict.fromkeys(TRUE, 10.0)
TIMES = np.linspace(0.2, 8.0, 25)
MEASURED = np.array([0, 2])  # A and C


def flow(t, y, rate):
    """The change of A, B, C and D per unit of time."""
    del t
    a, b, c, d = y
    ab, bc, cd = (
        rate["AB"] * a - rate["BA"] * b,
        rate["BC"] * b - rate["CB"] * c,
        rate["CD"] * c - rate["DC"] * d,
    )
    return jnp.stack([-ab, ab - bc, bc - cd, cd])


@jax.jit
def course(rate, times):
    """A, B, C and D at the times, beginning with A alone.

    DirectAdjoint has the second derivatives that Newton's method needs.
    """
    solution = diffrax.diffeqsolve(
        diffrax.ODETerm(flow),
        diffrax.Tsit5(),
        t0=0.0,
        t1=times[-1],
        dt0=0.2,
        y0=jnp.array([1.0, 0.0, 0.0, 0.0]),
        args=rate,
        saveat=diffrax.SaveAt(ts=times),
        max_steps=50,
        adjoint=diffrax.DirectAdjoint(),
        throw=False,
    )
    return solution.ys


def misfit(rate, y):
    """Half of chi^2, the sum of the squares of the residuals in units of the noise."""
    return 0.5 * jnp.sum(((course(rate, TIMES)[:, MEASURED] - y) / NOISE) ** 2)


def report(problem, minimum):
    """A row for each rate: the truth, what was found, and its standard error."""
    rates, errors = jax.jvp(problem.to_x, (minimum.x,), (minimum.standard_errors(),))
    print(f"\n{'rate':4} {'true':>8} {'found':>8}   {'error':>7}")
    for name, true in TRUE.items():
        print(f"{name:4} {true:8.4f} {rates[name]:8.4f} ± {errors[name]:7.4f}")
    return max(TRUE, key=lambda name: errors[name] / rates[name])


def draw(found, seen, best, y):
    """The values where the searches ended, the best fit over the data, and the profile."""
    figure, axes = plt.subplots(1, 3, figsize=(14, 4.2), layout="constrained")
    plots.waterfall(found, axes[0])
    fine = np.linspace(TIMES[0], TIMES[-1], 100)
    for k, name, values in zip(MEASURED, "AC", np.asarray(y).T, strict=True):
        points = axes[1].errorbar(TIMES, values, NOISE, fmt=".", label=f"{name}, measured")
        axes[1].plot(fine, course(best, fine)[:, k], color=points[0].get_color(), label="best fit")
    axes[1].set(xlabel="time $t$", ylabel="concentration")
    axes[1].grid(alpha=0.3)
    axes[1].legend()
    plots.profile(seen, axes[2])
    axes[2].set_xlabel(f"log of the rate {seen.name}")
    return figure


def main(argv=None):
    """Make the data, fit them from many starts, and tell and draw what was found."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--starts", type=int, default=100)
    parser.add_argument("--seed", type=int, default=0, help="of the noise and the starts")
    parser.add_argument("--out", type=Path, default=Path("figures"), help="folder of the picture")
    args = parser.parse_args(argv)

    jax.config.update("jax_enable_x64", True)  # for the last digits of the fit

    noise_key, starts_key = jax.random.split(jax.random.key(args.seed))
    y = course(TRUE, TIMES)[:, MEASURED]
    y += NOISE * jax.random.normal(noise_key, y.shape)
    problem = jamsgrad.scaled(misfit, BOUNDS, "log")
    optimizer = jamsgrad.amsgrad(0.1, b2=0.99)
    found = jamsgrad.multistart(
        problem.fun,
        problem.bounds,
        optimizer,
        key=starts_key,
        n_starts=args.starts,
        args=(y,),
        max_steps=200,  # the finish does the rest
    )
    print(found)
    best = found.minima[0]
    worst = report(problem, best)
    seen = jamsgrad.profile(
        problem.fun,
        best,
        worst,
        problem.bounds,
        optimizer,
        key=starts_key,
        args=(y,),
        max_steps=200,
    )
    low, high = np.exp(seen.interval)
    print(f"{worst} is between {low:.4f} and {high:.4f} (95 %, by its profile)")
    figure = draw(found, seen, problem.to_x(best.x), y)
    args.out.mkdir(parents=True, exist_ok=True)
    figure.savefig(args.out / "fit_ode.png", dpi=120)
    plt.close(figure)
    print(f"wrote {args.out / 'fit_ode.png'}")


if __name__ == "__main__":
    main()
