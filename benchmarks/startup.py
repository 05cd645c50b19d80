"""What it costs to start: importing jamsgrad, and compiling a search on the bowl.

    python benchmarks/startup.py [--rounds 9]

Imports are timed in fresh processes. The search of 100 steps is compiled anew in every round: by
`minimize`, and as the `lax.scan` that one writes by hand around `optax.amsgrad`, which records
nothing, or x and f(x) at every step.
"""

import argparse
import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial

import jax
import jax.numpy as jnp
import optax
from _report import in_turns, machine, median, median_ratio, table

import jamsgrad

STEPS = 100
START = (0.5, -0.3)


def import_in_a_process(module: str) -> None:
    """Import a module in a process of its own."""
    subprocess.run([sys.executable, "-c", f"import {module}"], check=True)


def fresh_bowl() -> Callable:
    """A function that JAX has never seen."""
    return lambda x: x[0] ** 2 + x[1] ** 2


def by_hand(recording: bool) -> None:
    """Compile and run the scan that one writes by hand."""
    fun, optimizer = fresh_bowl(), optax.amsgrad(0.02)

    def step(carry, _):
        x, state = carry
        updates, state = optimizer.update(jax.grad(fun)(x), state)
        x = optax.apply_updates(x, updates)
        return (x, state), (x, fun(x)) if recording else None

    def search(x):
        return jax.lax.scan(step, (x, optimizer.init(x)), length=STEPS)

    jax.block_until_ready(jax.jit(search)(jnp.array(START)))


def by_minimize(recording: bool) -> None:
    """Compile and run the same search by `minimize`."""
    optimizer = jamsgrad.amsgrad(0.02)
    record_every = 1 if recording else None
    jax.block_until_ready(
        jamsgrad.minimize(
            fresh_bowl(), jnp.array(START), optimizer, max_steps=STEPS, record_every=record_every
        )
    )


def main(argv: list[str] | None = None) -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=9)
    args = parser.parse_args(argv)

    runs = {
        "import optax": partial(import_in_a_process, "optax"),
        "import jamsgrad": partial(import_in_a_process, "jamsgrad"),
        "scan by hand": partial(by_hand, recording=False),
        "minimize": partial(by_minimize, recording=False),
        "scan by hand, recording": partial(by_hand, recording=True),
        "minimize, recording": partial(by_minimize, recording=True),
    }
    began = time.perf_counter()
    seconds = in_turns(runs, args.rounds)
    names = list(runs)
    rows = []
    for baseline, ours in zip(names[::2], names[1::2], strict=True):
        rows.append([baseline, f"{median(seconds[baseline]):.3f}", "1.00"])
        ratio = median_ratio(seconds[ours], seconds[baseline])
        rows.append([ours, f"{median(seconds[ours]):.3f}", f"{ratio:.2f}"])
    print(f"{machine()}; {time.perf_counter() - began:.0f} s\n")
    print(table(["", "seconds", "ratio"], rows))


if __name__ == "__main__":
    main()
