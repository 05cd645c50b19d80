"""Many starts: a fresh process until a first hit, most of the minima, and a table.

The four functions of ten variables on which MultistartOptimization.jl shows itself, Rastrigin's
function of two variables with its 121 minima, and 32,768 starts in Rosenbrock's valley. Learning
rates of AMSGrad are 0.03 of the side of the box. All searches are in float64. Seconds are CPU
seconds from the start of Python, with imports and compilation, in a process for each job;
the functions are those of `jamsgrad.problems`, whose import all pay. A hit is within 1e-6 of the
minimum. Solvers of JAX search in batches, those of SciPy one after another. AMSGrad makes at most
1000 steps before the finish, a quasi-Newton method 200.
"""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jamsgrad import problems

HIT, NEAR, SHARE = 1e-6, 1e-2, 0.95
MAX_STEPS, MAX_QUASI_NEWTON = 1000, 200
EVENTS = ("first", "most", "table")


class Job(NamedTuple):
    """Searches from many starts for the known minima of a function."""

    problem: problems.Problem
    n_starts: int
    batch: int
    minima: np.ndarray  # (number, variables)
    gtol: float = 1e-5

    @property
    def box(self) -> tuple[np.ndarray, np.ndarray]:
        """The ends of the box, for each variable."""
        low, high = (np.broadcast_to(end, self.minima.shape[1:]) for end in self.problem.bounds)
        return np.array(low, float), np.array(high, float)

    def starts(self, seed: int) -> np.ndarray:
        """A batch of uniform starts."""
        low, high = self.box
        return np.random.default_rng(seed).uniform(low, high, (self.batch, low.size))


def of_ten(problem: problems.Problem) -> Job:
    """A function of ten variables, of which the lowest minimum is known."""
    return Job(problem, 512, 128, problem.minimizers)


def minima_of_rastrigin() -> np.ndarray:
    """All minima in the box: a grid of the points near the integers where the slope is zero."""
    x, w = np.arange(-5.0, 6.0), 2 * np.pi
    for _ in range(20):
        x -= (2 * x + 10 * w * np.sin(w * x)) / (2 + 10 * w**2 * np.cos(w * x))
    return np.stack(np.meshgrid(x, x), axis=-1).reshape(-1, 2)


ROSENBROCK = problems.rosenbrock(2)
JOBS: dict[str, Job] = {
    "Griewank, 10 variables": of_ten(problems.griewank(10)),
    "Levy, 10 variables": of_ten(problems.levy(10)),
    "Rastrigin, 10 variables": of_ten(problems.rastrigin(10)),
    "Rosenbrock, 10 variables": of_ten(problems.rosenbrock(10)),
    "Rastrigin, 2 variables": Job(problems.rastrigin(2), 1024, 128, minima_of_rastrigin()),
    "Rosenbrock, 2 variables": Job(ROSENBROCK, 2**15, 2**15, ROSENBROCK.minimizers, 1e-2),
}
QUICK = "Rosenbrock, 2 variables"


class Watch:
    """When what was reached: CPU seconds and seconds of the clock since Python was started."""

    def __init__(self, job: Job, began: float):
        """Nothing was reached."""
        self.job, self.began, self.at = job, began, dict[str, list[float]]()
        self.hits = self.ends = 0
        self.found = np.zeros(len(job.minima), bool)

    def mark(self, event: str) -> None:
        """It is reached now, if it was not before."""
        now = [round(time.process_time(), 3), round(time.time() - self.began, 3)]
        self.at.setdefault(event, now)

    def value(self, value: float) -> None:
        """A value was computed."""
        if value <= self.job.problem.minimum + HIT:
            self.mark("first")

    def look(self, x: np.ndarray, fun: np.ndarray) -> None:
        """These searches have ended."""
        self.hits += int((fun <= self.job.problem.minimum + HIT).sum())
        self.ends += len(fun)
        side = np.subtract(*self.job.box[::-1])
        distances = np.abs((x[:, None] - self.job.minima) / side).max(axis=-1)
        self.found |= (distances <= NEAR).any(axis=0)
        self.value(fun.min())
        if self.found.mean() >= SHARE:
            self.mark("most")

    def row(self) -> dict:
        """All that was reached."""
        counts = {"hits": self.hits, "ends": self.ends, "found": float(self.found.mean())}
        return counts | {event: self.at.get(event) for event in EVENTS}


def ours(job: Job, watch: Watch) -> None:
    """`multistart`, batch by batch, and its summary."""
    import jamsgrad

    low, high = job.box
    rate = 0.03 * float(high[0] - low[0])
    found = jamsgrad.multistart(
        job.problem.fun,
        (low, high),
        jamsgrad.amsgrad(rate, b2=0.99),
        key=jax.random.key(0),
        n_starts=job.batch,
        gtol=job.gtol,
        max_steps=MAX_STEPS,
    )
    watch.look(found.x, found.fun)
    for done in range(job.batch, job.n_starts, job.batch):
        found = found.more(job.batch)
        watch.look(found.x[done:], found.fun[done:])
    print(found.summary())


def vmapped(job: Job, watch: Watch, search: Callable) -> None:
    """A search under vmap, which says x and f(x), and the ten lowest ends."""
    run, ends = jax.jit(jax.vmap(partial(search, job))), []
    for seed in range(job.n_starts // job.batch):
        x, fun = map(np.asarray, run(jnp.asarray(job.starts(seed))))
        fun = np.where(np.isfinite(fun), fun, np.inf)
        watch.look(x, fun)
        ends.append((x, fun))
    x, fun = (np.concatenate(parts) for parts in zip(*ends, strict=True))
    for i in np.argsort(fun)[:10]:
        print(fun[i], x[i])


def jaxopt_search(name: str, job: Job, x: jax.Array) -> tuple[jax.Array, jax.Array]:
    """A solver of jaxopt."""
    import jaxopt

    solver = getattr(jaxopt, name)(job.problem.fun, tol=job.gtol, maxiter=MAX_QUASI_NEWTON)
    x = solver.run(x).params
    return x, job.problem.fun(x)


def optimistix_search(name: str, job: Job, x: jax.Array) -> tuple[jax.Array, jax.Array]:
    """A solver of optimistix."""
    import optimistix

    tolerances = {"rtol": 1e-8, "atol": 1e-8} if job.gtol == 1e-5 else {"rtol": 1e-4, "atol": 1e-4}
    solver = getattr(optimistix, name)(**tolerances)
    x = optimistix.minimise(
        lambda x, _: job.problem.fun(x), solver, x, max_steps=MAX_QUASI_NEWTON, throw=False
    ).value
    return x, job.problem.fun(x)


def with_gradient(job: Job, watch: Watch) -> Callable[[Any], tuple[float, np.ndarray]]:
    """The function as SciPy takes it; the watch sees its values."""
    both = jax.jit(jax.value_and_grad(job.problem.fun))

    def fun(x):
        value, slope = both(np.asarray(x))
        watch.value(float(value))
        return float(value), np.asarray(slope)

    return fun


def one_by_one(job: Job) -> None:
    """An error for jobs of tens of thousands of starts."""
    if job.n_starts > 10_000:
        raise NotImplementedError("one after another would take minutes")


def by_pypesto(job: Job, watch: Watch) -> None:
    """PyPESTO, with SciPy's L-BFGS-B, and its summary; one batch, as a start takes 0.2 s."""
    one_by_one(job)
    import pypesto
    import pypesto.optimize

    objective = pypesto.Objective(fun=with_gradient(job, watch), grad=True)
    low, high = job.box
    problem = pypesto.Problem(objective, lb=low, ub=high)
    optimizer = pypesto.optimize.ScipyOptimizer("L-BFGS-B", options={"maxiter": MAX_QUASI_NEWTON})
    result = pypesto.optimize.minimize(problem, optimizer, n_starts=job.batch, progress_bar=False)
    ends = [end for end in result.optimize_result.list if end.fval is not None]
    watch.look(np.array([end.x for end in ends]), np.array([end.fval for end in ends]))
    print(result.summary())


def by_optimagic(job: Job, watch: Watch) -> None:
    """TikTak of optimagic with SciPy's L-BFGS-B, as it comes: a second rediscovery ends it."""
    one_by_one(job)
    import optimagic as om

    low, high = job.box
    found = om.minimize(
        fun_and_jac=with_gradient(job, watch),
        fun=lambda x: float(job.problem.fun(x)),
        params=job.starts(0)[0],
        algorithm="scipy_lbfgsb",
        bounds=om.Bounds(lower=low, upper=high),
        multistart=om.MultistartOptions(n_samples=job.n_starts, seed=0),
    )
    ends = found.multistart_info.local_optima
    watch.look(np.array([end.x for end in ends]), np.array([end.fun for end in ends]))
    print(found)


SOLVERS: dict[str, Callable[[Job, Watch], None]] = {
    "AMSGrad + finish": ours,
    "jaxopt L-BFGS": partial(vmapped, search=partial(jaxopt_search, "LBFGS")),
    "optimistix BFGS": partial(vmapped, search=partial(optimistix_search, "BFGS")),
    "optimistix L-BFGS": partial(vmapped, search=partial(optimistix_search, "LBFGS")),
    "pyPESTO": by_pypesto,
    "optimagic": by_optimagic,
}


def in_a_process(solver: str, name: str, quick: bool) -> dict | None:
    """What a solver reaches in a job, None if the job is none for it."""
    env = os.environ | {"JAX_ENABLE_X64": "1"}
    paths = [str(Path(__file__).parents[2]), env.get("PYTHONPATH", "")]
    env["PYTHONPATH"] = os.pathsep.join(filter(None, paths))
    command = [sys.executable, __file__, solver, name, str(time.time()), *["--quick"][: int(quick)]]
    ran = subprocess.run(command, capture_output=True, text=True, check=False, env=env)
    if "ModuleNotFoundError" in ran.stderr:
        raise ModuleNotFoundError(ran.stderr.splitlines()[-1])
    if ran.returncode:
        raise RuntimeError(ran.stderr)
    return json.loads(ran.stdout.splitlines()[-1])


def measure(solver: str, quick: bool) -> list[dict]:
    """A row for each job that this solver takes."""
    runs = {name: in_a_process(solver, name, quick) for name in ([QUICK] if quick else JOBS)}
    return [{"job": name, **run} for name, run in runs.items() if run is not None]


def report(results: dict[str, list[dict]]) -> str:
    """A table for each job."""
    from _report import table

    parts = []
    for job in dict.fromkeys(row["job"] for rows in results.values() for row in rows):
        minima, lines = len(JOBS[job].minima), []
        for solver, rows in results.items():
            for row in (row for row in rows if row["job"] == job):
                first, most, end = (f"{row[e][0]:.1f}" if row[e] else "-" for e in EVENTS)
                found = [f"{round(row['found'] * minima)} of {minima}", most]
                hits = f"{row['hits']:,} of {row['ends']:,}"
                lines.append([solver, hits, first, *(found if minima > 1 else []), end])
        header = ["", "starts that hit", "CPU s to the first hit"]
        header += ["minima found", "CPU s to 95 % of them"] if minima > 1 else []
        parts += [f"### {job}", table([*header, "CPU s until the table"], lines)]
    return "\n\n".join(parts)


def main(solver: str, name: str, began: str, *quick: str) -> None:
    """One run, in this process: print its row."""
    job = JOBS[name]._replace(**({"n_starts": 32, "batch": 16} if quick else {}))
    watch = Watch(job, float(began))
    try:
        SOLVERS[solver](job, watch)
    except NotImplementedError:
        print("null")
        return
    watch.mark("table")
    print(json.dumps(watch.row()))


if __name__ == "__main__":
    main(*sys.argv[1:])
