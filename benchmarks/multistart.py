"""Thousands of searches at once: `multistart` against vmapped loops, and against NumPy and torch.

    python benchmarks/multistart.py [--rounds 3] [--quick]

"Rosenbrock": 32,768 starts in [-2, 2]^2 until no component of the gradient is above 1e-2, at most
20,000 steps. "bowl": 2^20 starts, 100 steps each. "memory": a million starts of a 10-D sphere.
Every figure is the median of as many processes as there are rounds, for the bowl of five times as
many, run in turns; compilation is not timed. "times faster" is relative to the first of each group.
"""

import argparse
import json
import resource
import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import optax
from _report import machine, median, median_ratio, table
from jax import lax

import jamsgrad
from jamsgrad import problems

LEARNING_RATE, B1, B2 = 0.5, 0.9, 0.99
BOWL_RATE, BOWL_STEPS = 0.02, 100


def rosenbrock(x):
    """Rosenbrock's function of two variables."""
    return 100 * (x[1] - x[0] ** 2) ** 2 + (1 - x[0]) ** 2


def bowl(x):
    """x0^2 + x1^2."""
    return x[0] ** 2 + x[1] ** 2


def seconds(run: Callable[[], object]) -> float:
    """How long the second call takes; the first one compiles."""
    run()
    start = time.perf_counter()
    run()
    return time.perf_counter() - start


OURS = jamsgrad.amsgrad(LEARNING_RATE, B1, B2, convention="optax")
OPTAX = optax.amsgrad(LEARNING_RATE, B1, B2)


def while_loop_search(x, *, fun=rosenbrock, optimizer=OPTAX, gtol=1e-2, max_steps=20_000):
    """The search that one writes by hand: a while loop around an optimizer."""
    grad = jax.grad(fun)

    def goes_on(carry):
        _, _, g, n = carry
        return (jnp.max(jnp.abs(g)) > gtol) & (n < max_steps)

    def step(carry):
        x, state, g, n = carry
        updates, state = optimizer.update(g, state)
        x = optax.apply_updates(x, updates)
        return x, state, grad(x), n + 1

    x, _, _, n = lax.while_loop(goes_on, step, (x, optimizer.init(x), grad(x), 0))
    return x, n


def rosenbrock_starts(n):
    """Uniform starts."""
    return jax.random.uniform(jax.random.key(0), (n, 2), minval=-2, maxval=2)


def vmap_of_while(n):
    """All lanes wait for the slowest start."""
    starts = rosenbrock_starts(n)
    search = jax.jit(jax.vmap(while_loop_search))
    return seconds(lambda: jax.block_until_ready(search(starts)))


def vmap_of_while_with_ours(n):
    """The same with `jamsgrad.amsgrad`."""
    starts = rosenbrock_starts(n)
    search = jax.jit(jax.vmap(partial(while_loop_search, optimizer=OURS)))
    return seconds(lambda: jax.block_until_ready(search(starts)))


def map_over_chunks(n):
    """Lanes wait for the slowest start of their chunk."""
    starts = rosenbrock_starts(n).reshape(-1, min(n, 1024), 2)
    search = jax.jit(lambda starts: lax.map(jax.vmap(while_loop_search), starts))
    return seconds(lambda: jax.block_until_ready(search(starts)))


def jaxopt_solver(n):
    """The same through jaxopt, whose tolerance is on the Euclidean norm."""
    from jaxopt import OptaxSolver

    solver = OptaxSolver(rosenbrock, optax.amsgrad(LEARNING_RATE, B1, B2), tol=1e-2, maxiter=20_000)
    starts = rosenbrock_starts(n)
    search = jax.jit(jax.vmap(lambda x: solver.run(x).params))
    return seconds(lambda: jax.block_until_ready(search(starts)))


def multistart(fun, starts, optimizer, **options):
    """The seconds of a compiled call of `multistart` as a whole, and the steps of all searches."""
    run = partial(
        jamsgrad.multistart,
        fun,
        (np.full(starts.shape[1], -2.0), np.full(starts.shape[1], 2.0)),
        optimizer,
        starts=starts,
        finish=None,  # the loops that it is compared with have none
        mesh=jax.make_mesh((jax.device_count(),), ("x",)),
        **options,
    )
    steps = int(run().n_steps.sum(dtype=np.int64))
    return seconds(run), steps


def queue(n):
    """`multistart` on all devices of the process."""
    return multistart(rosenbrock, rosenbrock_starts(n), OURS, gtol=1e-2, max_steps=20_000)


def bowl_starts(n):
    """Uniform starts."""
    return jax.random.uniform(jax.random.key(0), (n, 2), minval=-1, maxval=1)


def bowl_vmap_scan(n):
    """Hand-written `vmap` of `lax.scan` with optax."""
    optimizer = optax.amsgrad(BOWL_RATE, b2=B2)

    def search(x):
        def step(carry, _):
            x, state = carry
            updates, state = optimizer.update(jax.grad(bowl)(x), state)
            return (optax.apply_updates(x, updates), state), None

        return lax.scan(step, (x, optimizer.init(x)), length=BOWL_STEPS)[0][0]

    starts, search = bowl_starts(n), jax.jit(jax.vmap(search))
    return seconds(lambda: jax.block_until_ready(search(starts)))


def bowl_queue(n):
    """`multistart` without tolerances."""
    optimizer = jamsgrad.amsgrad(BOWL_RATE, b2=B2, convention="optax")
    return multistart(bowl, bowl_starts(n), optimizer, gtol=None, max_steps=BOWL_STEPS)


def bowl_numpy(n):
    """The tutorial's loop, with all starts in one array."""
    x = np.asarray(bowl_starts(n), np.float32)

    def search():
        y, m, v, vhat = x.copy(), *(np.zeros_like(x) for _ in range(3))
        for t in range(BOWL_STEPS):
            g = 2 * y
            b1 = np.float32(0.9 ** (t + 1))
            m = b1 * m + (1 - b1) * g
            v = np.float32(B2) * v + np.float32(1 - B2) * g**2
            vhat = np.maximum(vhat, v)
            y -= np.float32(BOWL_RATE) * m / (np.sqrt(vhat) + np.float32(1e-8))
        return y

    return seconds(search)


def bowl_torch(n):
    """One fused torch AMSGrad over all starts."""
    import torch

    start = torch.from_numpy(np.array(bowl_starts(n)))

    def search():
        x = start.clone().requires_grad_()
        optimizer = torch.optim.Adam([x], lr=BOWL_RATE, betas=(B1, B2), amsgrad=True, fused=True)
        for _ in range(BOWL_STEPS):
            optimizer.zero_grad()
            (x**2).sum().backward()
            optimizer.step()

    return seconds(search)


def memory(n):
    """Peak memory of a million starts in ten dimensions, in GiB."""
    sphere = problems.sphere(10)
    result = jamsgrad.multistart(
        sphere.fun,
        sphere.bounds,
        jamsgrad.amsgrad(0.1),
        key=jax.random.key(0),
        n_starts=n,
        finish=None,
    )
    assert result.n_success == n
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20


GROUPS = {  # title: starts, unit, processes a round, the first run being the one to compare with
    "Rosenbrock": (
        2**15,
        "s",
        1,
        [vmap_of_while, vmap_of_while_with_ours, map_over_chunks, jaxopt_solver, queue],
    ),
    "bowl": (2**20, "s", 5, [bowl_vmap_scan, bowl_numpy, bowl_torch, bowl_queue]),
    "memory": (10**6, "GiB", 1, [memory]),
}
RUNS = {run.__name__: run for *_, runs in GROUPS.values() for run in runs}


def in_a_process(name: str, n: int, devices: int) -> tuple[float, int | None] | None:
    """One run in a process of its own: its figure, and its steps if it counts them.

    None if its library is not installed.
    """
    command = [sys.executable, __file__, "--run", name, "--starts", str(n), "--devices"]
    ran = subprocess.run([*command, str(devices)], capture_output=True, text=True, check=False)
    if "ModuleNotFoundError" in ran.stderr:
        return None
    if ran.returncode:
        raise RuntimeError(ran.stderr)
    result = json.loads(ran.stdout.splitlines()[-1])
    return tuple(result) if isinstance(result, list) else (result, None)


def main(argv: list[str] | None = None) -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=3, help="processes of each run")
    parser.add_argument("--quick", action="store_true", help="a sixteenth of the starts")
    parser.add_argument("--run", choices=RUNS, help=argparse.SUPPRESS)
    parser.add_argument("--starts", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--devices", type=int, default=1, help=argparse.SUPPRESS)
    args = parser.parse_args(argv)
    if args.run:
        jax.config.update("jax_num_cpu_devices", args.devices)
        print(json.dumps(RUNS[args.run](args.starts)))
        return

    rows = []
    for title, (n, unit, processes, runs) in GROUPS.items():
        n_starts = n // 16 if args.quick else n
        columns = {(run.__name__, 1): [] for run in runs}
        columns |= {(run.__name__, 2): [] for run in runs if "queue" in run.__name__}
        for _ in range(processes * args.rounds):
            for name, devices in columns:
                columns[name, devices].append(in_a_process(name, n_starts, devices))
        ran = {
            run: list(zip(*column, strict=True))
            for run, column in columns.items()
            if None not in column
        }
        baseline = next(iter(ran.values()))[0]
        for (name, devices), (figures, steps) in ran.items():
            what = f"{title}: {RUNS[name].__doc__.splitlines()[0].rstrip('.')}"
            figure = f"{median(figures):.2f} {unit}"
            rate = f"{steps[0] / median(figures) / 1e6:.0f}" if steps[0] else ""
            faster = f"{median_ratio(baseline, figures):.1f}" if unit == "s" else ""
            rows.append([what, devices, figure, faster, rate])
    print(f"{machine()}\n")
    print(table(["", "CPU devices", "median", "times faster", "million steps / s"], rows))


if __name__ == "__main__":
    main()
