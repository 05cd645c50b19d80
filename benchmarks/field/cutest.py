"""CUTEst: 60 unconstrained and 40 bounded problems of sif2jax, each from its official start.

The unconstrained ones have at most 20 variables, the bounded ones at most 10. Every solver stops
where no component of the projected gradient is above 1e-5, or after 10,000 steps; before a finish
AMSGrad makes 1000. A problem is solved where the value is within 1e-5 max(1, |f|) of the lowest f
that any solver found from there. An evaluation is a value, with or without its gradient; a Hessian
counts as many as there are variables. The time of a call is in CPU seconds: of the first, which
compiles, and the least of three equal ones after it.
"""

import json
import math
import sys
import time
import types
from collections.abc import Callable
from functools import lru_cache, partial
from itertools import chain
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from _costs import Counted, counted_lbfgs, evaluations
from _report import median, table

import jamsgrad
from jamsgrad import amsgrad

NAMES = json.loads((Path(__file__).parent / "cutest.json").read_text())
QUICK = 1  # problems of each kind
GTOL, MAX_STEPS, EXPLORE, N_STARTS = 1e-5, 10_000, 1000, 64
MANY = f"AMSGrad + finish, {N_STARTS} starts"
CALLS = 3  # equal ones after the first
FACTORS = (1, 2, 4, 16, 64)


class Problem(NamedTuple):
    """A problem of the suite."""

    fun: Callable[[jax.Array], jax.Array]
    x0: jax.Array
    bounds: tuple[jax.Array, jax.Array] | None


class Outcome(NamedTuple):
    """What a solver says of it."""

    fun: float
    success: bool
    evaluations: int


Solver = Callable[[Problem], Outcome]


def searched(
    optimizer: optax.GradientTransformation, max_steps: int = MAX_STEPS, finish: Any = None
) -> Solver:
    """`minimize` with this optimizer."""

    def solve(problem: Problem) -> Outcome:
        found = jamsgrad.minimize(
            problem.fun,
            problem.x0,
            optimizer,
            bounds=problem.bounds,
            gtol=GTOL,
            max_steps=max_steps,
            finish=finish,
        )
        n_finish = 0 if finish is None else int(found.n_finish)
        cost = evaluations(int(found.n_steps), n_finish, problem.x0.size)
        if isinstance(found.opt_state, Counted):  # not one for each step
            cost += int(found.opt_state.count) - (int(found.n_steps) - n_finish)
        return Outcome(float(found.fun), bool(found.success), cost)

    return solve


def from_many_starts(problem: Problem) -> Outcome:
    """`multistart` from the official start and others; AMSGrad and the finish."""
    if problem.bounds is None:
        raise NotImplementedError("without a box there is nothing to draw starts from")
    x0, (low, high) = problem.x0, problem.bounds
    reach = 2 * jnp.maximum(1, jnp.abs(x0))  # where there is no bound
    low = jnp.where(jnp.isfinite(low), low, jnp.minimum(x0, high) - reach)
    high = jnp.where(jnp.isfinite(high), high, jnp.maximum(x0, low) + reach)
    starts = low + (high - low) * np.random.default_rng(0).random((N_STARTS, x0.size))
    starts = jnp.clip(starts.at[0].set(x0), *problem.bounds)
    found = jamsgrad.multistart(
        problem.fun, problem.bounds, amsgrad(0.1), starts=starts, gtol=GTOL, max_steps=EXPLORE
    )
    best = found.best
    cost = evaluations(found.n_steps, found.n_finish, x0.size).sum()
    return Outcome(float(best.fun), bool(best.success), int(cost))


def by_optimistix(problem: Problem, name: str) -> Outcome:
    """Optimistix, whose tolerances are on the steps and the values; a step is an evaluation."""
    import optimistix

    if problem.bounds is not None:
        raise NotImplementedError("optimistix has no bounds for BFGS and L-BFGS")
    solution = optimistix.minimise(
        with_args(problem.fun),
        getattr(optimistix, name)(rtol=1e-8, atol=1e-8),
        problem.x0,
        max_steps=MAX_STEPS,
        throw=False,
    )
    success = solution.result == optimistix.RESULTS.successful
    return Outcome(
        float(problem.fun(solution.value)), bool(success), int(solution.stats["num_steps"])
    )


def scipy_lbfgsb(problem: Problem) -> Outcome:
    """SciPy, with the gradients of JAX."""
    import scipy.optimize

    both = value_and_grad(problem.fun)
    found = scipy.optimize.minimize(
        lambda x: tuple(np.asarray(a, np.float64) for a in both(x)),
        np.asarray(problem.x0),
        jac=True,
        bounds=None if problem.bounds is None else scipy.optimize.Bounds(*problem.bounds),
        method="L-BFGS-B",
        options={"maxiter": MAX_STEPS, "maxfun": 10 * MAX_STEPS, "gtol": GTOL, "ftol": 0},
    )
    return Outcome(float(found.fun), bool(found.success), int(found.nfev))


@lru_cache(1)
def value_and_grad(fun: Callable) -> Callable:
    """Compiled once for the calls of a problem."""
    return jax.jit(jax.value_and_grad(fun))


@lru_cache(1)
def with_args(fun: Callable) -> Callable:
    """The same with a second argument, which optimistix passes."""
    return lambda x, _: fun(x)


CONVENTIONS = {name: amsgrad(0.1, convention=name) for name in jamsgrad.conventions}
SOLVERS: dict[str, Solver] = {
    "AMSGrad + finish": searched(amsgrad(0.1), EXPLORE, "auto"),
    **{
        f"AMSGrad {name} + finish": searched(optimizer, EXPLORE, "auto")
        for name, optimizer in CONVENTIONS.items()
        if name != "paper"  # the first line
    },
    MANY: from_many_starts,
    "optax.lbfgs": searched(counted_lbfgs()),
    "optax.lbfgs + finish": searched(counted_lbfgs(), finish="auto"),
    "SciPy L-BFGS-B": scipy_lbfgsb,
    "optimistix BFGS": partial(by_optimistix, name="BFGS"),
    "optimistix L-BFGS": partial(by_optimistix, name="LBFGS"),
    "optax.adam": searched(optax.adam(0.1)),
    **{f"AMSGrad {name}": searched(optimizer) for name, optimizer in CONVENTIONS.items()},
}


def measure(solver: str, quick: bool) -> list[dict]:
    """A row for each problem that this solver takes."""
    rows = []
    for kind, names in NAMES.items():
        for name in names[:QUICK] if quick else names:
            problem = problem_of(name, kind)
            start = float(problem.fun(problem.x0))
            seconds = []
            try:
                for _ in range(2 if quick else 1 + CALLS):
                    began = time.process_time()
                    outcome = SOLVERS[solver](problem)
                    seconds.append(time.process_time() - began)
            except NotImplementedError:
                break
            taken = {"first": round(seconds[0], 5), "again": round(min(seconds[1:]), 5)}
            row = {"kind": kind, "name": name, "start": start}
            rows.append(row | outcome._asdict() | taken)
            jax.clear_caches()  # a hundred problems fill the memory
    return rows


def problem_of(name: str, kind: str) -> Problem:
    """The problem of this name."""
    without_what_no_list_names()
    from sif2jax import cutest

    problem = getattr(cutest, name)()
    x0, args = jnp.asarray(problem.y0, float), problem.args
    bounds = None
    if kind == "bounded":
        bounds = tuple(
            jnp.broadcast_to(jnp.asarray(end, x0.dtype), x0.shape) for end in problem.bounds
        )
        x0 = jnp.clip(x0, *bounds)
    return Problem(lambda x: problem.objective(x, args), x0, bounds)


def without_what_no_list_names() -> None:
    """Replace the wings of sif2jax that are not needed: their import takes over a minute."""

    def anything(name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return () if name.endswith("_problems") else tuple

    for wing in ("constrained_minimisation", "quadratic_problems", "nonlinear_equations"):
        module = types.ModuleType(f"sif2jax.cutest._{wing}")
        module.__getattr__ = anything
        sys.modules.setdefault(module.__name__, module)


def lowest(results: dict[str, list[dict]]) -> dict[str, float]:
    """The lowest value of each problem that any solver found from one start."""
    found: dict[str, float] = {}
    for row in chain(*(rows for solver, rows in results.items() if solver != MANY)):
        value = row["fun"] if math.isfinite(row["fun"]) else math.inf
        found[row["name"]] = min(value, found.get(row["name"], math.inf))
    return found


def tolerance(value: float) -> float:
    """By how much values may differ that are one."""
    return 1e-5 * max(1, abs(value))


def solved_by(results: dict[str, list[dict]]) -> dict[str, dict[str, dict]]:
    """The rows of the problems that each solver solved, by name."""
    best = lowest(results)
    return {
        solver: {
            row["name"]: row
            for row in rows
            if row["fun"] <= (known := best.get(row["name"], row["fun"])) + tolerance(known)
        }
        for solver, rows in results.items()
    }


COST = "cost / the least of any solver"
COSTS = {"evaluations": "evaluations", "first": "CPU s of a first call", "again": "of a second"}


def costs(results: dict[str, list[dict]]) -> dict[str, dict[str, list[float]]]:
    """The costs relative to the least, by kind and solver, infinite where unsolved."""
    return {
        f"{kind}, {label}": relative(results, kind, cost)
        for cost, label in (("evaluations", "evaluations"), ("first", "time of a first call"))
        for kind in NAMES
    }


def relative(results: dict[str, list[dict]], kind: str, cost: str) -> dict[str, list[float]]:
    """What the problems of a kind cost each solver, over what they cost the best."""
    solved = solved_by(results)
    least: dict[str, float] = {}
    for name, row in chain(*(own.items() for own in solved.values())):
        least[name] = min(row[cost], least.get(name, math.inf))
    tried = {
        solver: {row["name"] for row in rows if row["kind"] == kind}
        for solver, rows in results.items()
    }
    names = sorted(set().union(*tried.values()))
    return {
        solver: [
            solved[solver][name][cost] / least[name] if name in solved[solver] else math.inf
            for name in names
        ]
        for solver in results
        if tried[solver]
    }


def report(results: dict[str, list[dict]]) -> str:
    """The tables: how many, at which price, and which not."""
    shares = "Share of the problems solved with so many times the fewest evaluations of any solver:"
    parts = [counted(results), shares, profile(results), unsolved(results)]
    best = lowest(results)
    lower = [
        row["name"]
        for row in results.get(MANY, [])
        if row["name"] in best and row["fun"] < best[row["name"]] - tolerance(best[row["name"]])
    ]
    if lower:
        text = f"From {N_STARTS} starts a lower minimum is found of {len(lower)} problems"
        parts.insert(1, f"{text}: {' '.join(sorted(lower))}.")
    return "\n\n".join(parts)


def counted(results: dict[str, list[dict]]) -> str:
    """How many problems were solved, and what the middle one of them cost."""
    solved = solved_by(results)
    lines = []
    for solver, rows in results.items():
        cells = []
        for kind in NAMES:
            names = [row["name"] for row in rows if row["kind"] == kind]
            own = [solved[solver][name] for name in names if name in solved[solver]]
            cells.append(f"{len(own)} of {len(names)}" if names else "")
            if own:
                spent, first, again = (median([row[cost] for row in own]) for cost in COSTS)
                cells += [round(spent), f"{first:.2g}", f"{again:.2g}"]
            else:
                cells += [""] * len(COSTS)
        above = sum(row["success"] and not row["fun"] <= row["start"] for row in rows)
        lines.append([solver, *cells, above])
    header = ["", *chain(*([f"{kind}: solved", *COSTS.values()] for kind in NAMES))]
    return table([*header, "successes above their start"], lines)


def profile(results: dict[str, list[dict]]) -> str:
    """The profile of Dolan and Moré at a few ratios."""
    lines = [
        [f"{solver}, {kind}", *(f"{np.mean(np.array(own) <= most):.2f}" for most in FACTORS)]
        for kind in NAMES
        for solver, own in relative(results, kind, "evaluations").items()
    ]
    within = [f"within {factor} times" if factor > 1 else "fewest" for factor in FACTORS]
    return table(["", *within], lines)


def unsolved(results: dict[str, list[dict]]) -> str:
    """The problems that each solver did not solve."""
    solved = solved_by(results)
    lines = [
        [solver, " ".join(sorted({row["name"] for row in rows} - solved[solver].keys())) or "none"]
        for solver, rows in results.items()
    ]
    return table(["", "not solved"], lines)
