"""One AMSGrad update of many float32 parameters, against optax and torch.

    python benchmarks/update.py [--millions 20] [--rounds 20]

Every optimizer applies its update in one jit with parameters and state donated; torch, if it is
installed, in place. "GB/s" counts the bytes that an ideal single pass moves: gradient, parameter
and state read, parameter and state written.
"""

import argparse
from collections.abc import Callable

import jax
import jax.numpy as jnp
import optax
from _report import in_turns, machine, median, median_ratio, table
from _step import compiled, leaves, repeated

import jamsgrad

BASELINE = "optax.amsgrad"
OPTIMIZERS = {
    BASELINE: optax.amsgrad(1e-3),
    "optax.adam": optax.adam(1e-3),
    **{
        f"jamsgrad {name}": jamsgrad.amsgrad(1e-3, convention=name) for name in jamsgrad.conventions
    },
}


def jax_run(optimizer: optax.GradientTransformation, n: int, n_leaves: int) -> Callable[[], None]:
    """A function that makes one update and waits for it."""
    params, grads = (jax.tree.map(jnp.asarray, leaves(n, n_leaves, seed)) for seed in (0, 1))
    init, step = compiled(optimizer, params)
    return repeated(step, params, init(params), grads)


def torch_runs(n: int, n_leaves: int) -> dict[str, Callable[[], object]]:
    """The same for torch's three implementations, none if torch is not installed."""
    try:
        import torch
    except ImportError:
        return {}
    runs = {}
    for name, flags in {
        "single": {"foreach": False},
        "foreach": {"foreach": True},
        "fused": {"fused": True},
    }.items():
        params = [torch.from_numpy(x) for x in leaves(n, n_leaves, 0)]
        for p, g in zip(params, leaves(n, n_leaves, 1), strict=True):
            p.grad = torch.from_numpy(g)
        runs[f"torch {name}"] = torch.optim.Adam(params, lr=1e-3, amsgrad=True, **flags).step
    return runs


def main(argv: list[str] | None = None) -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--millions", type=int, default=20, help="parameters, in millions")
    parser.add_argument("--rounds", type=int, default=20, help="updates timed of each optimizer")
    args = parser.parse_args(argv)
    n = args.millions * 1_000_000

    rows = []
    for n_leaves in (1, 400):
        runs = {name: jax_run(o, n, n_leaves) for name, o in OPTIMIZERS.items()}
        runs |= torch_runs(n, n_leaves)
        seconds = in_turns(runs, args.rounds)
        for name in runs:
            moments = 2 if name == "optax.adam" else 3
            n_bytes = 4 * n * (3 + 2 * moments)
            rows.append(
                [
                    name,
                    n_leaves,
                    f"{1e3 * median(seconds[name]):.1f}",
                    f"{median_ratio(seconds[name], seconds[BASELINE]):.2f}",
                    f"{n_bytes / median(seconds[name]) / 1e9:.1f}",
                ]
            )
        del runs
    print(f"{args.millions} million float32 parameters; {machine()}\n")
    print(table(["", "leaves", "ms", "time / optax.amsgrad", "GB/s"], rows))


if __name__ == "__main__":
    main()
