"""What a GPU makes of the update, of many searches, and of the tests: one JSON in six minutes.

    python benchmarks/gpu.py [--quick] [--minutes 6] [--out gpu.json]

"updates" are AMSGrad updates of 20 to 500 million parameters in 1 and 400 leaves, parameters and
state donated, beside `optax.amsgrad`, `optax.adam`, torch's fused Adam if it is installed, and a
copy. "GB/s" counts the bytes of one ideal pass. "searches" are as many as there are lanes, or 2^17,
without a finish, and the vmapped loop that one writes by hand. "tests" are those that depend on no
number of devices. A part that time does not suffice for is left out and named under "left_out".
`--quick` is small enough for CPUs.
"""

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import jax
import jax.numpy as jnp
from _report import machine, median
from _step import COLUMNS, compiled, repeated
from memory import OPTIMIZERS
from multistart import OURS, while_loop_search

import jamsgrad
from jamsgrad import problems

ROOT = Path(__file__).parents[1]
MILLIONS, QUICK_MILLIONS, N_LEAVES = (20, 100, 500), (0.4,), (1, 400)
LANES, QUICK_LANES = [2**k for k in range(10, 21)], [1024]
MOST_OF_FEW_LANES = 2**17  # searches
TESTS, QUICK_TESTS = ["tests/optimizer", "tests/problems", "tests/search"], ["tests/test_tree.py"]
PROBLEMS = {
    "Rosenbrock, 2 variables": (problems.rosenbrock(2), 1e-2, 5000),
    "Rosenbrock, 10 variables": (problems.rosenbrock(10), 1e-2, 1000),
    "bowl, 100 steps": (problems.bowl, None, 100),
}


def seconds(run: Callable[[], object], calls: int) -> float:
    """The median of some calls, after one that compiles."""
    run()
    took = []
    for _ in range(calls):
        start = time.perf_counter()
        run()
        took.append(time.perf_counter() - start)
    return median(took)


def leaves(n: int, n_leaves: int) -> list[jax.Array]:
    """`n` numbers in matrices, made on the device."""
    return [jnp.full((n // n_leaves // COLUMNS, COLUMNS), 0.1 * i + 0.1) for i in range(n_leaves)]


def jax_update(name: str, n: int, n_leaves: int) -> Callable[[], object]:
    """One update of an optimizer."""
    params, grads = leaves(n, n_leaves), leaves(n, n_leaves)
    init, step = compiled(OPTIMIZERS[name], params)
    return repeated(step, params, init(params), grads)


def torch_update(n: int, n_leaves: int) -> Callable[[], object]:
    """One fused update of torch on its GPU, or on the CPU."""
    import torch

    has_gpu = torch.cuda.is_available()
    shape = n // n_leaves // COLUMNS, COLUMNS
    params = [torch.full(shape, 0.1, device="cuda" if has_gpu else "cpu") for _ in range(n_leaves)]
    for p in params:
        p.grad = torch.full_like(p, 0.1)
    optimizer = torch.optim.Adam(params, lr=1e-3, amsgrad=True, fused=True)

    def run():
        optimizer.step()
        if has_gpu:
            torch.cuda.synchronize()

    return run


def copy(n: int) -> Callable[[], object]:
    """Read and write each number."""
    x, negated = jnp.ones(n), jax.jit(jnp.negative)
    return lambda: negated(x).block_until_ready()


BYTES = {  # of one pass over gradient, parameters and state, for each parameter
    "copy": 8,
    "torch fused": 36,
    "optax.amsgrad": 36,
    "optax.adam": 28,
    "jamsgrad": 36,
    "jamsgrad, 8 bytes": 28,
    "jamsgrad, 6 bytes": 24,
}


def update(name: str, millions: float, n_leaves: int, calls: int) -> dict:
    """The time of one update, None where a library is missing or the memory does not suffice."""
    n = int(millions * 1e6)
    makes = {"copy": lambda: copy(n), "torch fused": lambda: torch_update(n, n_leaves)}
    row = {"what": name, "millions": millions, "leaves": n_leaves}
    try:
        took = seconds(makes.get(name, partial(jax_update, name, n, n_leaves))(), calls)
    except ModuleNotFoundError as error:
        return {**row, "error": str(error)}
    except RuntimeError as error:  # out of memory
        return {**row, "error": str(error).splitlines()[0]}
    return {**row, "ms": 1e3 * took, "GB/s": BYTES[name] * n / took / 1e9}


def searches(name: str, lanes: int | None, quick: bool) -> dict:
    """The time of `multistart` in so many lanes, None for the vmapped loop."""
    problem, gtol, max_steps = PROBLEMS[name]
    n_starts = 1024 if quick else max(lanes or LANES[-1], MOST_OF_FEW_LANES)
    starts = jamsgrad.sample_starts(jax.random.key(0), n_starts, problem.bounds)
    if lanes is None:
        loop = partial(while_loop_search, fun=problem.fun, gtol=gtol or 0.0, max_steps=max_steps)
        compiled_loop = jax.jit(jax.vmap(loop))

        def steps_taken():
            return jax.block_until_ready(compiled_loop(starts))[1]
    else:

        def steps_taken():
            return jamsgrad.multistart(
                *(problem.fun, problem.bounds, OURS),
                starts=starts,
                lanes=lanes,
                finish=None,
                gtol=gtol,
                max_steps=max_steps,
            ).n_steps

    counts = []
    took = seconds(lambda: counts.append(steps_taken()), 1)
    steps = int(counts[-1].sum())
    row = {"what": name, "lanes": lanes, "searches": n_starts, "seconds": took}
    return {**row, "million steps / s": steps / took / 1e6}


def tests(folder: str, limit: float) -> dict:
    """Whether the tests pass here."""
    command = [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", folder]
    try:
        ran = subprocess.run(
            command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=limit
        )
    except subprocess.TimeoutExpired:
        return {"what": folder, "error": f"not within {limit:.0f} s"}
    return {"what": folder, "passed": ran.returncode == 0, "last": ran.stdout.splitlines()[-1:]}


def measurements(quick: bool, left: Callable[[], float]) -> Iterator[tuple[str, str, Callable]]:
    """The part, the name and the run of each measurement, the most wanted first."""
    calls = 3 if quick else 20
    for millions in QUICK_MILLIONS if quick else MILLIONS:
        for n_leaves in N_LEAVES:
            for name in BYTES:
                run = partial(update, name, millions, n_leaves, calls)
                yield "updates", f"{name}, {millions} million, {n_leaves} leaves", run
    for name in PROBLEMS:
        for lanes in [*(QUICK_LANES if quick else LANES[::-1]), None]:
            yield "searches", f"{name}, {lanes} lanes", partial(searches, name, lanes, quick)
    for folder in QUICK_TESTS if quick else TESTS:
        yield "tests", folder, lambda folder=folder: tests(folder, max(left(), 1.0))


def main(argv: list[str] | None = None) -> None:
    """Write the JSON, anew after each measurement."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="small enough for CPUs")
    parser.add_argument("--minutes", type=float, default=6.0, help="the time there is")
    parser.add_argument("--out", type=Path, default=Path("gpu.json"))
    args = parser.parse_args(argv)

    end = time.monotonic() + 60 * args.minutes
    found = {"machine": machine(), "updates": [], "searches": [], "tests": [], "left_out": []}
    reserved = {"updates": 0.6, "searches": 0.25, "tests": 0.0}  # of the time, for what follows
    for part, name, run in measurements(args.quick, lambda: end - time.monotonic()):
        if not args.quick and end - time.monotonic() < 60 * args.minutes * reserved[part]:
            found["left_out"].append(name)
            continue
        found[part].append(run())
        args.out.write_text(json.dumps(found, indent=1) + "\n")
    args.out.write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main()
