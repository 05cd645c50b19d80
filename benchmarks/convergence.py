"""Steps and time to a gradient of 1e-4: AMSGrad in four conventions, and Adam, on ten problems.

    python benchmarks/convergence.py [--learning-rate 0.1] [--max-steps 20000] [--rounds 5]

Every search starts at the same fixed point, a quarter and two thirds along the sides of the box, in
float64, with b1 = 0.9, b2 = 0.999 and a constant learning rate. Compilation is not timed.
"""

import argparse
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import optax
from _report import in_turns, machine, median, table

import jamsgrad
from jamsgrad import problems

PROBLEMS = (
    problems.bowl,
    problems.booth,
    problems.matyas,
    problems.beale,
    problems.himmelblau,
    problems.rosenbrock(2),
    problems.rosenbrock(10),
    problems.six_hump_camel,
    problems.branin,
    problems.styblinski_tang(10),
)


def start(problem: problems.Problem) -> jax.Array:
    """The fixed start."""
    lower, upper = problem.bounds
    share = np.where(np.arange(lower.size) % 2 == 0, 1 / 4, 2 / 3)
    return jnp.asarray(lower + share * (upper - lower))


def elsewhere(problem: problems.Problem, result: jamsgrad.Result) -> str:
    """A mark for a search that converged to something else than the global minimum."""
    return "" if result.fun < problem.minimum + 1e-3 else " *"


def main(argv: list[str] | None = None) -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--learning-rate", type=float, default=0.1)
    parser.add_argument("--max-steps", type=int, default=20_000)
    parser.add_argument("--rounds", type=int, default=5, help="timed searches of each")
    args = parser.parse_args(argv)
    jax.config.update("jax_enable_x64", True)

    optimizers = {
        f"AMSGrad {name}": jamsgrad.amsgrad(args.learning_rate, convention=name)
        for name in jamsgrad.conventions
    } | {"Adam": optax.adam(args.learning_rate)}
    rows = []
    for problem in PROBLEMS:
        search = partial(
            jamsgrad.minimize,
            problem.fun,
            start(problem),
            bounds=problem.bounds,
            max_steps=args.max_steps,
            gtol=1e-4,
        )
        results = {name: search(optimizer) for name, optimizer in optimizers.items()}
        runs = {
            name: lambda optimizer=optimizer, search=search: jax.block_until_ready(
                search(optimizer)
            )
            for name, optimizer in optimizers.items()
        }
        seconds = in_turns(runs, args.rounds)
        cells = [
            f"{result.n_steps} ({1e3 * median(seconds[name]):.1f}){elsewhere(problem, result)}"
            if result.success
            else "-"
            for name, result in results.items()
        ]
        rows.append([f"{problem.name}, n = {problem.bounds[0].size}", *cells])
    print(
        f"Steps (and milliseconds) to gtol = 1e-4 at learning rate {args.learning_rate:g}, in "
        f"float64; -: not within {args.max_steps:,} steps; *: not at the global minimum. "
        f"{machine()}.\n"
    )
    print(table(["", *optimizers], rows))


if __name__ == "__main__":
    main()
