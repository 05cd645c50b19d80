"""NIST StRD: the 27 nonlinear fits with certified parameters, from a thousand starts each.

The starts lie in the hull of NIST's two starts, widened by half its width, or by their size and 0.1
where the two agree, and x is measured in parts of that box. AMSGrad makes 200 steps, the finish
follows, and up to 300 more steps of Newton's, for ends that the finish did not get to rest. The
objective is the sum of squares over that of the data around their mean. Digits are those of the
worst parameter, at most 11; the terms of Lanczos's sums are put in NIST's order. Peers go from
NIST's own two starts, the second being near the solution.

The data are works of the US government: https://www.itl.nist.gov/div898/strd/nls/nls_main.shtml.
"""

import json
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from _costs import evaluations
from _report import median, table
from jax.numpy import arctan, cos, exp, pi, sin

import jamsgrad

PROBLEMS = json.loads((Path(__file__).parent / "nist.json").read_text())
QUICK = ("Misra1a", "Thurber")
N_STARTS, QUICK_STARTS, EXPLORE, GO_ON = 1000, 100, 200, 300
MOST_DIGITS = 11
AMSGRAD = jamsgrad.amsgrad(0.05, b2=0.99)


def wave(x, period, a, b):
    """A cosine and a sine of one period."""
    return a * cos(2 * pi * x / period) + b * sin(2 * pi * x / period)


def peak(x, height, middle, width):
    """A Gaussian as in Gauss1."""
    return height * exp(-(((x - middle) / width) ** 2))


def rational(x, top, bottom):
    """A quotient of polynomials; the constant of the lower one is 1."""
    return jnp.polyval(jnp.array(top[::-1]), x) / jnp.polyval(jnp.array([*bottom[::-1], 1.0]), x)


def three_peaks(x, a, b, *peaks):
    """Two peaks above an exponential."""
    return a * exp(-b * x) + peak(x, *peaks[:3]) + peak(x, *peaks[3:])


def three_decays(x, a1, k1, a2, k2, a3, k3):
    """Lanczos's sum of exponentials."""
    return a1 * exp(-k1 * x) + a2 * exp(-k2 * x) + a3 * exp(-k3 * x)


MODELS: dict[str, Callable[..., jax.Array]] = {  # of x and NIST's b1, b2, ...
    "Bennett5": lambda x, b1, b2, b3: b1 * (b2 + x) ** (-1 / b3),
    "BoxBOD": lambda x, b1, b2: b1 * (1 - exp(-b2 * x)),
    "Chwirut": lambda x, b1, b2, b3: exp(-b1 * x) / (b2 + b3 * x),
    "DanWood": lambda x, b1, b2: b1 * x**b2,
    "ENSO": lambda x, b1, b2, b3, b4, b5, b6, b7, b8, b9: (
        b1 + wave(x, 12.0, b2, b3) + wave(x, b4, b5, b6) + wave(x, b7, b8, b9)
    ),
    "Eckerle4": lambda x, b1, b2, b3: b1 / b2 * exp(-(((x - b3) / b2) ** 2) / 2),
    "Gauss": three_peaks,
    "Hahn1": lambda x, *b: rational(x, b[:4], b[4:]),
    "Kirby2": lambda x, *b: rational(x, b[:3], b[3:]),
    "Lanczos": three_decays,
    "MGH09": lambda x, b1, b2, b3, b4: b1 * (x**2 + b2 * x) / (x**2 + b3 * x + b4),
    "MGH10": lambda x, b1, b2, b3: b1 * exp(b2 / (x + b3)),
    "MGH17": lambda x, b1, b2, b3, b4, b5: b1 + b2 * exp(-b4 * x) + b3 * exp(-b5 * x),
    "Misra1a": lambda x, b1, b2: b1 * (1 - exp(-b2 * x)),
    "Misra1b": lambda x, b1, b2: b1 * (1 - (1 + b2 * x / 2) ** -2.0),
    "Misra1c": lambda x, b1, b2: b1 * (1 - (1 + 2 * b2 * x) ** -0.5),
    "Misra1d": lambda x, b1, b2: b1 * b2 * x / (1 + b2 * x),
    "Nelson": lambda x, b1, b2, b3: b1 - b2 * x[0] * exp(-b3 * x[1]),  # the logarithm of y
    "Rat42": lambda x, b1, b2, b3: b1 / (1 + exp(b2 - b3 * x)),
    "Rat43": lambda x, b1, b2, b3, b4: b1 / (1 + exp(b2 - b3 * x)) ** (1 / b4),
    "Roszman1": lambda x, b1, b2, b3, b4: b1 - b2 * x - arctan(b3 / (x - b4)) / pi,
    "Thurber": lambda x, *b: rational(x, b[:4], b[4:]),
}


class Fit(NamedTuple):
    """A problem of NIST's."""

    residuals: Callable[[jax.Array], jax.Array]
    starts: np.ndarray
    certified: np.ndarray
    errors: np.ndarray
    lowest: float  # the certified sum of squares
    around_mean: float  # the sum of squares of the data
    n_data: int
    has_terms: bool  # b is amplitudes and rates by turns, whose order means nothing

    def ordered(self, ends: np.ndarray) -> np.ndarray:
        """The ends with their terms in NIST's order, rising rates."""
        if not self.has_terms:
            return ends
        terms = ends.reshape(len(ends), -1, 2)
        order = np.argsort(terms[..., 1], axis=1)
        return np.take_along_axis(terms, order[..., None], axis=1).reshape(ends.shape)

    def digits(self, found: np.ndarray, true: np.ndarray) -> float:
        """The digits of the worst number."""
        error = np.nan_to_num(np.max(np.abs(found - true) / np.abs(true)), nan=1.0)
        return float(np.abs(np.log10(np.clip(error, 10.0**-MOST_DIGITS, 1.0))))


def fit_of(name: str) -> Fit:
    """The problem of this name."""
    numbers = PROBLEMS[name]
    y, *x = np.array(numbers["data"]).T
    if name == "Nelson":
        y = np.log(y)
    model = MODELS[name if name in MODELS else name.rstrip("123")]
    inputs, y = jnp.asarray(x if len(x) > 1 else x[0]), jnp.asarray(y)
    return Fit(
        lambda b: model(inputs, *b) - y,
        np.array([numbers["start1"], numbers["start2"]]),
        np.array(numbers["certified"]),
        np.array(numbers["standard_deviation"]),
        numbers["residual_sum_of_squares"],
        float(jnp.sum((y - y.mean()) ** 2)),
        y.size,
        name.startswith("Lanczos"),
    )


def from_a_box(fit: Fit, n_starts: int) -> dict:
    """`multistart`, in parts of the box."""
    low, high = fit.starts.min(axis=0), fit.starts.max(axis=0)
    half = np.where(low < high, (high - low) / 2, np.abs(low) + 0.1)  # NIST's starts may agree
    low, high = low - half, high + half
    n = low.size

    def fun(u):
        return jnp.sum(fit.residuals(low + u * (high - low)) ** 2) / fit.around_mean / 2

    starts = jax.random.uniform(jax.random.key(0), (n_starts, n))
    box = -jnp.inf, jnp.inf
    explored = jamsgrad.multistart(fun, box, AMSGRAD, starts=starts, max_steps=EXPLORE)
    found = explored.then(jamsgrad.newton(), max_steps=GO_ON)
    n_newton = explored.n_finish + found.n_steps
    spent = evaluations(explored.n_steps + found.n_steps, n_newton, n)
    certified = fit.lowest / fit.around_mean / 2
    there = found.fun <= certified * (1 + 1e-6) + 1e-18
    ends = fit.ordered(low + found.x * (high - low))
    minima = found.minima
    errors = [_errors(fit, minimum, low, high) for minimum in minima[:2]]
    closest = max(ends[there], key=partial(fit.digits, true=fit.certified), default=ends[0])
    return {
        "digits": fit.digits(closest, fit.certified),
        "share": float(there.mean()),
        "success": float((found.status > 0).mean()),
        "evaluations": int(spent.sum()),
        "minima": len(minima),
        "rows": sum(bool(m.fun <= certified * (1 + 1e-6) + 1e-18) for m in minima),
        "error_digits": max((fit.digits(e, fit.errors) for e in errors), default=0.0),
        "gauss_newton_digits": fit.digits(_gauss_newton_errors(fit, closest), fit.errors),
    }


def _errors(fit: Fit, minimum: jamsgrad.Minimum, low: np.ndarray, high: np.ndarray) -> np.ndarray:
    """The standard errors at a minimum, the noise being estimated from the residuals."""
    try:
        unit = np.asarray(minimum.standard_errors())
    except ValueError:  # flat
        return np.full_like(low, np.nan)
    noise = 2 * float(minimum.fun) / (fit.n_data - low.size)
    return unit * np.sqrt(noise) * (high - low)


def _gauss_newton_errors(fit: Fit, b: np.ndarray) -> np.ndarray:
    """The standard errors as NIST has them: without the curvature of the model."""
    jacobian = np.asarray(jax.jacfwd(fit.residuals)(jnp.asarray(b)))
    noise = np.sum(np.asarray(fit.residuals(jnp.asarray(b))) ** 2) / (fit.n_data - b.size)
    upper = np.linalg.qr(jacobian * np.abs(b), mode="r")
    inverse = np.linalg.pinv(upper)
    return np.sqrt(noise * np.sum(inverse**2, axis=1)) * np.abs(b)


def from_nists_starts(fit: Fit, n_starts: int, solve: Callable) -> dict:
    """A solver from the two starts: the digits of the better end, and the share that got there."""
    ends = [solve(fit, start) for start in fit.starts]
    squares = np.array([float(jnp.sum(fit.residuals(b) ** 2)) for b in ends])
    there = squares <= fit.lowest * (1 + 1e-6) + 1e-18 * fit.around_mean
    return {"digits": max(fit.digits(b, fit.certified) for b in ends), "share": float(there.mean())}


def least_squares(fit, start):
    """SciPy's, with the Jacobian of JAX and tight tolerances."""
    from scipy.optimize import least_squares

    tight = {"ftol": 1e-15, "xtol": 1e-15, "gtol": 1e-15, "max_nfev": 10_000}
    residuals, jacobian = jax.jit(fit.residuals), jax.jit(jax.jacfwd(fit.residuals))
    with np.errstate(all="ignore"):
        found = least_squares(
            lambda b: np.asarray(residuals(b)),
            start,
            lambda b: np.asarray(jacobian(b)),
            method="lm",
            x_scale="jac",
            **tight,
        )
    return found.x


def curve_fit(fit, start):
    """SciPy's, as it comes."""
    from scipy.optimize import curve_fit

    residuals = jax.jit(fit.residuals)
    try:
        return curve_fit(lambda _, *b: residuals(jnp.array(b)), None, np.zeros(fit.n_data), start)[
            0
        ]
    except RuntimeError:  # it ran out of steps
        return start


SOLVERS: dict[str, Callable[[Fit, int], dict]] = {
    "AMSGrad + finish, 1000 starts": from_a_box,
    "SciPy least_squares, 2 starts": partial(from_nists_starts, solve=least_squares),
    "SciPy curve_fit, 2 starts": partial(from_nists_starts, solve=curve_fit),
}


def measure(solver: str, quick: bool) -> list[dict]:
    """A row for each fit."""
    rows = []
    for name in QUICK if quick else PROBLEMS:
        row = SOLVERS[solver](fit_of(name), QUICK_STARTS if quick else N_STARTS)
        rows.append({"name": name, "level": PROBLEMS[name]["level"], **row})
        jax.clear_caches()
    return rows


def report(results: dict[str, list[dict]]) -> str:
    """The tables: all solvers, and then ours fit by fit."""
    counts = [
        [
            solver,
            sum(row["digits"] >= 8 for row in rows),
            sum(row["digits"] >= 6 for row in rows),
            sum(row["digits"] >= 4 for row in rows),
            len(rows),
            f"{median([row['share'] for row in rows]):.2f}",
        ]
        for solver, rows in results.items()
    ]
    header = ["", "8 digits or more", "6", "4", "fits", "share of starts that got there, median"]
    parts = [table(header, counts)]
    if rows := results.get(next(iter(SOLVERS))):
        header = ["", "digits", "share of starts", "of all minima", "are the certified one"]
        header += ["digits of the errors", "without the model's curvature"]
        lines = [
            [
                row["name"],
                f"{abs(row['digits']):.1f}",
                f"{row['share']:.2f}",
                row["minima"],
                row["rows"],
                f"{abs(row['error_digits']):.1f}",
                f"{abs(row['gauss_newton_digits']):.1f}",
            ]
            for row in rows
        ]
        about = (
            f"{next(iter(SOLVERS))}, fit by fit. NIST's standard errors are those of Gauss and "
            "Newton, and those of a `Minimum` are of the exact Hessian, which knows the curvature "
            "of the model too:"
        )
        parts += [about, table(header, lines)]
    return "\n\n".join(parts)
