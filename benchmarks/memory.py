"""What bfloat16 saves: memory and time of one AMSGrad update of many parameters, float32 or not.

    python benchmarks/memory.py [--millions 20] [--rounds 20]

Bytes are per parameter: "state" of the optimizer, "temporary" of the compiled step with parameters
and state donated, and "peak" of a process of its own that makes three steps, with parameters and
gradients (8 bytes, or 4 in bfloat16) but without what it held before the first array. The time is
relative to `optax.amsgrad`, update by update in turns.
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
BASELINE, ROUNDED = "optax.amsgrad", "jamsgrad, 6 bytes, bfloat16 parameters"
OPTIMIZERS = {  # the baseline comes first
    BASELINE: optax.amsgrad(1e-3),
    "optax.adam": optax.adam(1e-3),
    "jamsgrad": jamsgrad.amsgrad(1e-3),
    "jamsgrad, 8 bytes": jamsgrad.amsgrad(1e-3, moment_dtype=EIGHT_BYTES),
    "jamsgrad, 6 bytes": jamsgrad.amsgrad(1e-3, moment_dtype="bfloat16"),
    ROUNDED: optax.chain(
        jamsgrad.amsgrad(1e-3, moment_dtype="bfloat16"), jamsgrad.round_parameters()
    ),
}
LAYOUTS: dict[str, Callable[[int, int], list]] = {
    "1 matrix": lambda n, seed: leaves(n, 1, seed),
    "400 matrices": lambda n, seed: leaves(n, 400, seed),
    "1 vector": lambda n, seed: [x.reshape(-1) for x in leaves(n, 1, seed)],
}


def dtype_of(name: str) -> str:
    """The dtype of the parameters and gradients that an optimizer gets."""
    return "bfloat16" if name == ROUNDED else "float32"


def three_steps(name: str, n: int) -> float:
    """By how many bytes per parameter the peak memory of this process grows in three steps."""
    optimizer, shape, dtype = OPTIMIZERS[name], (n // COLUMNS, COLUMNS), dtype_of(name)
    init, step = compiled(optimizer, [jax.ShapeDtypeStruct(shape, dtype)])
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    params, grads = ([jnp.full(shape, x, dtype)] for x in (0.0, 1.0))
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
        own_params, own_grads = (
            [jnp.array(x, dtype_of(name)) for x in tree] for tree in (params, grads)
        )
        init, step = compiled(optimizer, own_params)
        state = init(own_params)
        held[name] = sum(x.nbytes for x in jax.tree.leaves(state)) / n
        temporary[name] = step.memory_analysis().temp_size_in_bytes / n
        runs[name] = repeated(step, own_params, state, own_grads)
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
        print(three_steps(args.three_steps, n))
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
    print(f"{args.millions} million parameters; {machine()}\n")
    header = ["", "parameters in", "state", "temporary", "peak", "ms", f"time / {BASELINE}"]
    print(table(header, rows))


if __name__ == "__main__":
    main()
