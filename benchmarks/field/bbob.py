"""BBOB: the 24 functions of bbobax in two and five variables, three instances of each.

A gradient search has 64 starts of an instance in the box [-5, 5]^d, a solver of SciPy three runs
and CMA-ES sixteen, of at most 2000 evaluations for each variable. A hit is a search that ends
within the target of the minimum, 1e-3 or 1e-8. A search with gradients is charged until it ends, a
run of the others until it hits. An evaluation is a value, with or without its gradient; a Hessian
counts as many as there are variables.
"""

import contextlib
import math
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from _costs import Counted, counted_lbfgs, evaluations
from _report import table

import jamsgrad
from jamsgrad import amsgrad, multistart

DIMENSIONS, QUICK_DIMENSIONS = (5, 2), (2,)
INSTANCES, QUICK_FUNCTIONS = 3, ("sphere", "rosenbrock")
N_STARTS, RUNS, CMA_RUNS, BUDGET = 64, 3, 16, 2000  # evaluations a run for each variable
TARGETS = (10.0, 1.0, 1e-1, 1e-2, 1e-3, 1e-5, 1e-8)
BUDGETS = (10, 100, 1000, 10_000)
AMSGRAD = amsgrad(0.3, b2=0.99)
SCREEN, EXPLORE, LBFGS_STEPS = (4, 30), 60, 200


class Instance(NamedTuple):
    """A function of the suite, its minimum being 0, with the numbers that make an instance."""

    fun: Callable[[jax.Array, Any], jax.Array]
    params: Any
    n: int
    number: int

    @property
    def box(self) -> tuple[np.ndarray, np.ndarray]:
        """The ends of the box."""
        return np.full(self.n, -5.0), np.full(self.n, 5.0)

    @property
    def key(self) -> jax.Array:
        """The key of the starts, the same for all solvers."""
        return jax.random.key(self.number)


class Outcome(NamedTuple):
    """The values that the searches reached, and the evaluations of all of them.

    Until the end, or until each of the targets was hit.
    """

    values: np.ndarray
    evaluations: int
    until: list[int] | None = None


Solver = Callable[[Instance], Outcome]


def explored(instance: Instance, max_steps: int = 1000, finish: Any = "auto") -> Outcome:
    """AMSGrad, with or without the finish."""
    fun, params, n, _ = instance
    found = multistart(
        fun,
        instance.box,
        AMSGRAD,
        key=instance.key,
        n_starts=N_STARTS,
        args=(params,),
        max_steps=max_steps,
        finish=finish,
    )
    return Outcome(found.fun, cost(found, n))


def cost(found: jamsgrad.MultiStartResult, n: int) -> int:
    """All evaluations of a result."""
    n_finish = 0 if found.n_finish is None else found.n_finish
    return int(np.sum(evaluations(found.n_steps, n_finish, n)))


def screened(instance: Instance, finish: Any = "auto") -> tuple[jamsgrad.MultiStartResult, int]:
    """The best of four candidates a start after 30 steps, and 60 steps more."""
    fun, params, n, _ = instance
    (candidates, steps), args = SCREEN, (params,)
    search = partial(multistart, fun, instance.box, AMSGRAD, key=instance.key, args=args)
    found = search(n_starts=N_STARTS, screen=SCREEN, max_steps=EXPLORE, finish=finish)
    return found, cost(found, n) + N_STARTS * candidates * (steps + 1)


def screened_and_finished(instance: Instance) -> Outcome:
    """With the finish."""
    found, spent = screened(instance)
    return Outcome(found.fun, spent)


def screened_then_lbfgs(instance: Instance) -> Outcome:
    """With 200 steps of `optax.lbfgs` from each end, as by `found.then`, but counted."""
    found, spent = screened(instance, finish=None)
    values, evaluated = lbfgs_from(instance, found.x, max_steps=LBFGS_STEPS)
    return Outcome(values, spent + evaluated)


def by_lbfgs(instance: Instance) -> Outcome:
    """`optax.lbfgs` alone."""
    starts = jamsgrad.sample_starts(instance.key, N_STARTS, instance.box)
    return Outcome(*lbfgs_from(instance, starts))


def lbfgs_from(instance: Instance, starts: Any, max_steps: int = 1000) -> tuple[np.ndarray, int]:
    """`optax.lbfgs` in a vmapped `minimize`, which hands out how often it evaluated."""
    fun, params, _, _ = instance
    values, counts = _lbfgs_from(fun, max_steps, starts, params, instance.box)
    return np.asarray(values), int(counts.sum()) + N_STARTS


LBFGS = counted_lbfgs()


@partial(jax.jit, static_argnums=(0, 1))
def _lbfgs_from(fun, max_steps, starts, params, box):
    def search(x):
        found = jamsgrad.minimize(fun, x, LBFGS, args=(params,), bounds=box, max_steps=max_steps)
        count = found.opt_state.count if isinstance(found.opt_state, Counted) else found.n_steps
        return found.fun, count

    return jax.vmap(search)(starts)


def by_cma_es(instance: Instance) -> Outcome:
    """CMA-ES of evosax from the same starts, with its defaults and a first deviation of 2."""
    starts = jamsgrad.sample_starts(instance.key, CMA_RUNS, instance.box)
    keys = jax.random.split(instance.key, CMA_RUNS)
    values, counts, until = _cma_es_from(instance.fun, starts, instance.params, keys)
    return Outcome(np.asarray(values), int(counts.sum()), until.sum(axis=0).tolist())


@partial(jax.jit, static_argnums=0)
def _cma_es_from(fun, starts, params, keys):
    from evosax.algorithms import CMA_ES

    n, targets = starts.shape[1], jnp.array(TARGETS)
    size = 4 + int(3 * math.log(n))
    cma_es = CMA_ES(population_size=size, solution=starts[0])
    own = cma_es.default_params.replace(std_init=2.0)

    def goes_on(carry):
        state, spent, _ = carry
        converged = state.std * jnp.max(state.D) < 1e-9
        return (spent + size <= BUDGET * n) & ~converged & (state.best_fitness > TARGETS[-1])

    def run(x, key):
        def generation(carry):
            state, spent, until = carry
            asked, told = jax.random.split(jax.random.fold_in(key, spent))
            points, state = cma_es.ask(asked, state, own)
            until = jnp.where(state.best_fitness > targets, spent + size, until)
            state, _ = cma_es.tell(
                told, points, jax.vmap(fun, (0, None))(points, params), state, own
            )
            return state, spent + size, until

        blank = jnp.zeros(len(TARGETS), int)
        state, spent, until = jax.lax.while_loop(
            goes_on, generation, (cma_es.init(key, x, own), 0, blank)
        )
        return state.best_fitness, spent, until

    return jax.vmap(run)(starts, keys)


class Spent(Exception):  # noqa: N818
    """The budget of a run is spent, or the last of the targets is hit."""


def by_scipy(run: Callable, instance: Instance) -> Outcome:
    """Runs of a solver of SciPy, each until it ends, hits the last target, or spent its budget."""
    value_of, both = jax.jit(instance.fun), jax.jit(jax.value_and_grad(instance.fun))
    lowest = []  # of each run, after each evaluation
    for seed in range(RUNS):
        values: list[float] = []

        def fun(x, grad=False, values=values):
            if len(values) >= BUDGET * instance.n or (values and values[-1] <= TARGETS[-1]):
                raise Spent
            value, *slope = both(x, instance.params) if grad else (value_of(x, instance.params),)
            values.append(float(value))
            return (values[-1], np.asarray(*slope, np.float64)) if grad else values[-1]

        with contextlib.suppress(Spent):
            run(fun, list(zip(*instance.box, strict=True)), seed)
        lowest.append(np.minimum.accumulate(values))
    until = [sum(min(int((a > target).sum()) + 1, a.size) for a in lowest) for target in TARGETS]
    return Outcome(np.array([a[-1] for a in lowest]), sum(a.size for a in lowest), until)


def differential_evolution(fun, bounds, seed):
    """SciPy's defaults."""
    from scipy.optimize import differential_evolution

    differential_evolution(fun, bounds, rng=seed)


def dual_annealing(fun, bounds, seed):
    """SciPy's defaults."""
    from scipy.optimize import dual_annealing

    dual_annealing(fun, bounds, rng=seed)


def basinhopping(fun, bounds, seed):
    """SciPy's defaults from a random start, by L-BFGS-B with gradients of JAX."""
    from scipy.optimize import basinhopping

    low, high = np.array(bounds).T
    local = {"method": "L-BFGS-B", "jac": True, "bounds": bounds}
    x0 = np.random.default_rng(seed).uniform(low, high)
    basinhopping(partial(fun, grad=True), x0, minimizer_kwargs=local, rng=seed, niter=1000)


SOLVERS: dict[str, Solver] = {
    "AMSGrad screened, then optax.lbfgs": screened_then_lbfgs,
    "AMSGrad screened + finish": screened_and_finished,
    "AMSGrad + finish": explored,
    "AMSGrad": partial(explored, finish=None),
    "optax.lbfgs": by_lbfgs,
    "SciPy differential_evolution": partial(by_scipy, differential_evolution),
    "SciPy dual_annealing": partial(by_scipy, dual_annealing),
    "SciPy basinhopping": partial(by_scipy, basinhopping),
    "evosax CMA-ES": by_cma_es,
}


def measure(solver: str, quick: bool) -> list[dict]:
    """A row for each instance."""
    from bbobax import bbob_suite

    rows = []
    for n in QUICK_DIMENSIONS if quick else DIMENSIONS:
        for k, (name, problem) in enumerate(bbob_suite(num_dims=n).items()):
            if quick and name not in QUICK_FUNCTIONS:
                continue
            fun = partial(_value, problem)
            for number in range(1 if quick else INSTANCES):
                params = problem.sample(jax.random.PRNGKey(1000 * number + k))
                outcome = SOLVERS[solver](Instance(fun, params, n, number))
                rows.append(
                    {
                        "function": name,
                        "variables": n,
                        "instance": number,
                        "searches": len(outcome.values),
                        "hits": [int((outcome.values <= target).sum()) for target in TARGETS],
                        "evaluations": outcome.evaluations,
                        "until": outcome.until or [outcome.evaluations] * len(TARGETS),
                    }
                )
            jax.clear_caches()
    return rows


def _value(problem, x, params):
    """The function, whose minimum is 0 in all instances."""
    return problem.evaluate(jax.random.PRNGKey(0), x, params).fitness


COST = "expected evaluations for each variable"


def costs(results: dict[str, list[dict]]) -> dict[str, dict[str, list[float]]]:
    """The expected run times by the number of variables and solver, for instances and targets."""
    numbers = {row["variables"] for rows in results.values() for row in rows}
    return {
        f"{n} variables": {
            solver: [
                spent / hits / n if hits else np.inf
                for row in rows
                if row["variables"] == n
                for hits, spent in zip(row["hits"], row["until"], strict=True)
            ]
            for solver, rows in results.items()
        }
        for n in sorted(numbers, reverse=True)
    }


def report(results: dict[str, list[dict]]) -> str:
    """The tables, for each number of variables."""
    parts = []
    for title, times in costs(results).items():
        own = {
            solver: [row for row in rows if f"{row['variables']} variables" == title]
            for solver, rows in results.items()
        }
        parts += [f"### {title}", counted(own), reached(times), per_hit(own)]
    return "\n\n".join(parts)


def counted(results: dict[str, list[dict]]) -> str:
    """How many functions and searches hit."""
    header = ["", "functions hit to 1e-3", "to 1e-8", "searches that hit to 1e-3", "to 1e-8"]
    header += ["searches", "million evaluations"]
    lines = []
    for solver, rows in results.items():
        at = [TARGETS.index(target) for target in (1e-3, 1e-8)]
        functions = [len({row["function"] for row in rows if row["hits"][i]}) for i in at]
        hits = [sum(row["hits"][i] for row in rows) for i in at]
        searches = sum(row["searches"] for row in rows)
        million = sum(row["evaluations"] for row in rows) / 1e6
        lines.append([solver, *functions, *hits, searches, f"{million:.2f}"])
    return table(header, lines)


def reached(times: dict[str, list[float]]) -> str:
    """The empirical distribution of run times."""
    lines = [
        [solver, *(f"{np.mean(np.array(own) <= most):.2f}" for most in BUDGETS)]
        for solver, own in times.items()
    ]
    targets = ", ".join(f"{target:g}" for target in TARGETS)
    about = (
        f"Share of the instances and of the targets {targets} that are expected to be hit with so "
        "many evaluations for each variable:"
    )
    return f"{about}\n\n{table(['', *(f'{most:,}' for most in BUDGETS)], lines)}"


def per_hit(results: dict[str, list[dict]]) -> str:
    """Which functions, and at what price."""
    lines = []
    for name in dict.fromkeys(row["function"] for rows in results.values() for row in rows):
        cells = []
        for rows in results.values():
            own = [row for row in rows if row["function"] == name]
            at = TARGETS.index(1e-3)
            hits, spent = (sum(row[key][at] for row in own) for key in ("hits", "until"))
            cells.append(f"{spent / hits:,.0f}" if hits else "-")
        lines.append([name, *cells])
    about = "Evaluations for each hit to 1e-3, over all instances:"
    return f"{about}\n\n{table(['', *results], lines)}"
