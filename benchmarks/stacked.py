"""The three moments in one array per leaf: does XLA then make one loop of an update?

    python benchmarks/stacked.py [--millions 8] [--rounds 9]

All forms compute the paper's equations on float32 matrices, jitted, parameters and state donated.
"loops" are the fusions that XLA makes for each leaf, "copies" what it copies besides. Seconds are
CPU seconds, of updates in turns. `docs/developing.md` shows the table.
"""

import argparse
import time
from collections.abc import Callable

import jax.numpy as jnp
import optax
from _report import machine, median, median_ratio, table
from _step import compiled, leaves, repeated

import jamsgrad

LR, B1, B2, EPS = 1e-3, 0.9, 0.999, 1e-8
N_LEAVES = (1, 400)
BASELINE = "optax.amsgrad"


def moments(g, m, v, vhat):
    """The paper's equations."""
    m, v = B1 * m + (1 - B1) * g, B2 * v + (1 - B2) * g**2
    return m, v, jnp.maximum(vhat, v)


def of_leaves(init: Callable, leaf: Callable) -> optax.GradientTransformation:
    """An optimizer of lists of arrays from what it does to one."""

    def update(grads, states, params=None):
        del params
        new = [leaf(g, state) for g, state in zip(grads, states, strict=True)]
        return [u for u, _ in new], [state for _, state in new]

    return optax.GradientTransformation(lambda params: [init(p) for p in params], update)


def apart() -> optax.GradientTransformation:
    """Three arrays for each leaf."""

    def leaf(g, state):
        m, v, vhat = moments(g, *state)
        return -LR * m / (jnp.sqrt(vhat) + EPS), (m, v, vhat)

    return of_leaves(lambda p: (jnp.zeros_like(p),) * 3, leaf)


def stacked(axis: int) -> optax.GradientTransformation:
    """One array for each leaf, the moments along this axis."""

    def leaf(g, state):
        m, v, vhat = moments(g, *jnp.moveaxis(state, axis, 0))
        return -LR * m / (jnp.sqrt(vhat) + EPS), jnp.stack([m, v, vhat], axis)

    return of_leaves(lambda p: jnp.stack([jnp.zeros_like(p)] * 3, axis), leaf)


def from_stack() -> optax.GradientTransformation:
    """One array for each leaf, and the update from the new one."""

    def leaf(g, state):
        state = jnp.stack(moments(g, *state))
        return -LR * state[0] / (jnp.sqrt(state[2]) + EPS), state

    return of_leaves(lambda p: jnp.stack([jnp.zeros_like(p)] * 3), leaf)


FORMS = {
    BASELINE: optax.amsgrad(LR),
    "jamsgrad paper": jamsgrad.amsgrad(LR),
    "the paper's equations, three arrays": apart(),
    "one array, moments first": stacked(0),
    "one array, moments last": stacked(-1),
    "one array, the update from it": from_stack(),
}


def main(argv: list[str] | None = None) -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--millions", type=float, default=8, help="parameters, in millions")
    parser.add_argument("--rounds", type=int, default=9, help="updates timed of each form")
    args = parser.parse_args(argv)
    n, rows = int(args.millions * 1e6), []
    for n_leaves in N_LEAVES:
        runs, texts, seconds = {}, {}, {name: [] for name in FORMS}
        for name, optimizer in FORMS.items():
            params, grads = (list(map(jnp.asarray, leaves(n, n_leaves, k))) for k in (0, 1))
            init, step = compiled(optimizer, params)
            texts[name], runs[name] = step.as_text(), repeated(step, params, init(params), grads)
            runs[name]()
        for _ in range(args.rounds):
            for name, run in runs.items():
                start = time.process_time()
                run()
                seconds[name].append(time.process_time() - start)
        for name, text in texts.items():
            counts = [round(text.count(f" {what}(") / n_leaves) for what in ("fusion", "copy")]
            ratio = f"{median_ratio(seconds[name], seconds[BASELINE]):.2f}"
            rows.append([name, n_leaves, *counts, f"{1e3 * median(seconds[name]):.0f}", ratio])
    print(f"{args.millions:g} million float32 parameters; {machine()}\n")
    print(table(["", "leaves", "loops", "copies", "CPU ms", "time / optax.amsgrad"], rows))


if __name__ == "__main__":
    main()
