"""What `moment_dtype` saves: memory and time of one AMSGrad update of many float32 parameters.

    python benchmarks/memory.py [--millions 20] [--rounds 20]

Bytes are per parameter: "state" of the optimizer, "temporary" of the compiled step with parameters
and state donated, and "peak" of a process of its own that makes three steps, with parameters and
gradients (8 bytes) but without what it held before the first array. The time is relative to
`optax.amsgrad`, update by update in turns.
"""

import argparse
import json
import resource
import subprocess
import sys
from collections.abc import Callable, Iterator

import jax
import jax.numpy as jnp
import optax
from _report import in_turns, machine, median, median_ratio, table
from _step import COLUMNS, compiled, leaves, repeated

import jamsgrad

EIGHT_BYTES = jamsgrad.MomentDtypes(m="bfloat16", v="float32", vhat="bfloat16")
BASELINE = "optax.amsgrad"
OPTIMIZERS = {  # the baseline comes first
    BASELINE: optax.amsgrad(1e-3),
    "optax.adam": optax.adam(1e-3),
    "jamsgrad": jamsgrad.amsgrad(1e-3),
    "jamsgrad, 8 bytes": jamsgrad.amsgrad(1e-3, moment_dtype=EIGHT_BYTES),
    "jamsgrad, 6 bytes": jamsgrad.amsgrad(1e-3, moment_dtype="bfloat16"),
}
LAYOUTS: dict[str, Callable[[int, int], list]] = {
    "1 matrix": lambda n, seed: leaves(n, 1, seed),
    "400 matrices": lambda n, seed: leaves(n, 400, seed),
    "1 vector": lambda n, seed: [x.reshape(-1) for x in leaves(n, 1, seed)],
}


def three_steps(optimizer: optax.GradientTransformation, n: int) -> float:
    """By how many bytes per parameter the peak memory of this process grows in three steps."""
    init, step = compiled(optimizer, [jax.ShapeDtypeStruct((n // COLUMNS, COLUMNS), jnp.float32)])
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    params, grads = ([jnp.full((n // COLUMNS, COLUMNS), x, jnp.float32)] for x in (0.0, 1.0))
    run = repeated(step, params, init(params), grads)
    del params
    for _ in range(3):
        run()
    return 1024 * (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / n


def peak_memory(name: str, n: int) -> float:
    """`three_steps` in a process of its own."""
    command = [sys.executable, __file__, "--three-steps", name, "--millions", str(n // 1_000_000)]
    ran = subprocess.run(command, capture_output=True, text=True, check=True)
    return json.loads(ran.stdout.splitlines()[-1])


def measure(
    params: list, grads: list, rounds: int
) -> Iterator[tuple[str, float, float, list[float]]]:
    """Each optimizer's name, state and temporary memory in bytes per parameter, and seconds."""
    n = sum(x.size for x in params)
    held, temporary, runs = {}, {}, {}
    for name, optimizer in OPTIMIZERS.items():
        init, step = compiled(optimizer, params)
        own_params = jax.tree.map(jnp.array, params)
        state = init(own_params)
        held[name] = sum(x.nbytes for x in jax.tree.leaves(state)) / n
        temporary[name] = step.memory_analysis().temp_size_in_bytes / n
        runs[name] = repeated(step, own_params, state, grads)
    seconds = in_turns(runs, rounds)
    for name in OPTIMIZERS:
        yield name, held[name], temporary[name], seconds[name]


def main(argv: list[str] | None = None) -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--millions", type=int, default=20, help="parameters, in millions")
    parser.add_argument("--rounds", type=int, default=20, help="updates timed of each optimizer")
    parser.add_argument("--three-steps", choices=OPTIMIZERS, help=argparse.SUPPRESS)
    args = parser.parse_args(argv)
    n = args.millions * 1_000_000
    if args.three_steps:
        print(three_steps(OPTIMIZERS[args.three_steps], n))
        return

    # Before anything is allocated here: Linux counts a parent's peak as its children's.
    peaks = {name: peak_memory(name, n) for name in OPTIMIZERS}
    rows = []
    for layout, make in LAYOUTS.items():
        measured = list(measure(make(n, 0), jax.tree.map(jnp.asarray, make(n, 1)), args.rounds))
        baseline = measured[0][-1]
        for name, held, temporary, seconds in measured:
            rows.append(
                [
                    name,
                    layout,
                    f"{held:.1f}",
                    f"{temporary:.1f}",
                    f"{peaks[name]:.1f}" if layout == "1 matrix" else "",
                    f"{1e3 * median(seconds):.1f}",
                    f"{median_ratio(seconds, baseline):.2f}",
                ]
            )
    print(f"{args.millions} million float32 parameters; {machine()}\n")
    header = ["", "parameters in", "state", "temporary", "peak", "ms", f"time / {BASELINE}"]
    print(table(header, rows))


if __name__ == "__main__":
    main()
