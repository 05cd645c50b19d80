"""Fits with certified answers: seven problems of NIST's StRD, from a thousand starts each.

    python examples/nist.py [--starts 1000] [PROBLEM ...]

NIST certifies the parameters of nonlinear fits to 11 digits. AMSGrad explores from random starts in
a box around NIST's two, as wide as twice their distance; Newton's method finishes each search.
Prints how many searches came to the certified optimum, how many digits of the parameters and of
their standard errors agree, and how many minima there are. A share is also a warning: from a single
start the fit would have failed that often. NIST's errors leave out the curvature of the model (the
method of Gauss and Newton), so that they are computed here from the Jacobian.

The data are works of the US government: https://www.itl.nist.gov/div898/strd/nls/nls_main.shtml.
All 27 fits are in `benchmarks/field`.
"""

import argparse
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

import jamsgrad


class Fit(NamedTuple):
    """A problem: y should be the model of x and b."""

    model: Callable
    x: list[float]
    y: list[float]
    starts: tuple[list[float], list[float]]
    certified: list[float]
    errors: list[float]


FITS = {
    "BoxBOD": Fit(
        lambda x, b: b[0] * (1 - jnp.exp(-b[1] * x)),
        x=[1.0, 2.0, 3.0, 5.0, 7.0, 10.0],
        y=[109.0, 149.0, 149.0, 191.0, 213.0, 224.0],
        starts=([1.0, 1.0], [100.0, 0.75]),
        certified=[213.80940889, 0.54723748542],
        errors=[12.354515176, 0.10455993237],
    ),
    "DanWood": Fit(
        lambda x, b: b[0] * x ** b[1],
        x=[1.309, 1.471, 1.49, 1.565, 1.611, 1.68],
        y=[2.138, 3.421, 3.597, 4.34, 4.882, 5.66],
        starts=([1.0, 5.0], [0.7, 4.0]),
        certified=[0.76886226176, 3.8604055871],
        errors=[0.01828197386, 0.051726610913],
    ),
    "MGH09": Fit(
        lambda x, b: b[0] * (x**2 + b[1] * x) / (x**2 + b[2] * x + b[3]),
        x=[4.0, 2.0, 1.0, 0.5, 0.25, 0.167, 0.125, 0.1, 0.0833, 0.0714, 0.0625],
        y=[0.1957, 0.1947, 0.1735, 0.16, 0.0844, 0.0627, 0.0456, 0.0342, 0.0323, 0.0235, 0.0246],
        starts=([25.0, 39.0, 41.5, 39.0], [0.25, 0.39, 0.415, 0.39]),
        certified=[0.19280693458, 0.19128232873, 0.12305650693, 0.13606233068],
        errors=[0.011435312227, 0.19633220911, 0.080842031232, 0.090025542308],
    ),
    "MGH10": Fit(
        lambda x, b: b[0] * jnp.exp(b[1] / (x + b[2])),
        x=[
            50.0,
            55.0,
            60.0,
            65.0,
            70.0,
            75.0,
            80.0,
            85.0,
            90.0,
            95.0,
            100.0,
            105.0,
            110.0,
            115.0,
            120.0,
            125.0,
        ],
        y=[
            34780.0,
            28610.0,
            23650.0,
            19630.0,
            16370.0,
            13720.0,
            11540.0,
            9744.0,
            8261.0,
            7030.0,
            6005.0,
            5147.0,
            4427.0,
            3820.0,
            3307.0,
            2872.0,
        ],
        starts=([2.0, 400000.0, 25000.0], [0.02, 4000.0, 250.0]),
        certified=[0.005609636471, 6181.3463463, 345.22363462],
        errors=[0.00015687892471, 23.309021107, 0.78486103508],
    ),
    "Misra1a": Fit(
        lambda x, b: b[0] * (1 - jnp.exp(-b[1] * x)),
        x=[
            77.6,
            114.9,
            141.1,
            190.8,
            239.9,
            289.0,
            332.8,
            378.4,
            434.8,
            477.3,
            536.8,
            593.1,
            689.1,
            760.0,
        ],
        y=[
            10.07,
            14.73,
            17.94,
            23.93,
            29.61,
            35.18,
            40.02,
            44.82,
            50.76,
            55.05,
            61.01,
            66.4,
            75.47,
            81.78,
        ],
        starts=([500.0, 0.0001], [250.0, 0.0005]),
        certified=[238.94212918, 0.00055015643181],
        errors=[2.7070075241, 7.2668688436e-06],
    ),
    "Rat42": Fit(
        lambda x, b: b[0] / (1 + jnp.exp(b[1] - b[2] * x)),
        x=[9.0, 14.0, 21.0, 28.0, 42.0, 57.0, 63.0, 70.0, 79.0],
        y=[8.93, 10.8, 18.59, 22.33, 39.35, 56.11, 61.73, 64.62, 67.08],
        starts=([100.0, 1.0, 0.1], [75.0, 2.5, 0.07]),
        certified=[72.462237576, 2.6180768402, 0.067359200066],
        errors=[1.7340283401, 0.088295217536, 0.0034465663377],
    ),
    "Rat43": Fit(
        lambda x, b: b[0] / (1 + jnp.exp(b[1] - b[2] * x)) ** (1 / b[3]),
        x=[1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0, 9.0, 10.0, 11.0, 12.0, 13.0, 14.0, 15.0],
        y=[
            16.08,
            33.83,
            65.8,
            97.2,
            191.55,
            326.2,
            386.87,
            520.53,
            590.03,
            651.92,
            724.93,
            699.56,
            689.96,
            637.56,
            717.41,
        ],
        starts=([100.0, 10.0, 1.0, 1.0], [700.0, 5.0, 0.75, 1.3]),
        certified=[699.6415127, 5.2771253025, 0.75962938329, 1.2792483859],
        errors=[16.302297817, 2.0828735829, 0.19566123451, 0.68761936385],
    ),
}


def digits(found, true):
    """The digits in which the worst number agrees, at most the 11 that are certified."""
    error = np.max(np.abs((np.asarray(found) - true) / np.asarray(true)))
    return float(np.clip(-np.log10(max(error, 1e-11)), 0, 11))


def searched(fit, n_starts):
    """The search in parts u of the box, the parameters that u stands for, and their residuals."""
    ends = np.sort(np.array(fit.starts), axis=0)
    width = np.maximum(ends[1] - ends[0], 0.1 * np.abs(ends[0]))
    low, wide = ends[0] - width / 2, 2 * width
    x, y = np.array(fit.x), np.array(fit.y)

    def parameters(u):
        return low + u * wide

    def residuals(u):
        return (fit.model(x, parameters(u)) - y) / np.std(y)

    found = jamsgrad.multistart(
        lambda u: 0.5 * jnp.sum(residuals(u) ** 2),
        None,  # the box is for the starts alone
        jamsgrad.amsgrad(0.05, b2=0.99),
        starts=np.random.default_rng(0).random((n_starts, low.size)),
        max_steps=200,  # the finish does the rest
    )
    return found, parameters, residuals


def standard_errors(residuals, u):
    """Those of Gauss and Newton, the noise being that of the residuals."""
    jacobian, left = np.asarray(jax.jacfwd(residuals)(u)), residuals(u)
    noise = np.sum(left**2) / (left.size - u.size)
    unit = np.linalg.norm(jacobian, axis=0)
    inverse = np.linalg.inv(np.linalg.qr(jacobian / unit, mode="r")) / unit[:, None]
    return np.sqrt(noise) * np.linalg.norm(inverse, axis=1)


def main(argv=None):
    """Fit each problem, and print a row."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("problems", nargs="*", metavar="PROBLEM", help=f"any of {', '.join(FITS)}")
    parser.add_argument("--starts", type=int, default=1000)
    args = parser.parse_args(argv)
    if unknown := {*args.problems} - {*FITS}:
        parser.error(f"no problem {', '.join(sorted(unknown))}, only {', '.join(FITS)}")
    jax.config.update("jax_enable_x64", True)

    print(f"{'':8} {'searches':>9} {'digits':>7} {'of errors':>10} {'minima':>7}  parameters")
    for name in args.problems or FITS:
        fit = FITS[name]
        found, parameters, residuals = searched(fit, args.starts)
        best = found.best
        share = (found.fun <= best.fun * (1 + 1e-6)).mean()
        errors = standard_errors(residuals, best.x)
        errors = np.asarray(jax.jvp(parameters, (best.x,), (errors,))[1])
        of_errors = digits(errors, fit.errors)
        b = np.asarray(parameters(best.x))
        print(
            f"{name:8} {share:9.1%} {digits(b, fit.certified):7.1f} {of_errors:10.1f} "
            f"{len(found.minima):7}  {', '.join(f'{value:.6g}' for value in b)}"
        )


if __name__ == "__main__":
    main()
