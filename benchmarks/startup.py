"""What it costs to start: the import, and the first answer of a search, in fresh processes.

    python benchmarks/startup.py [--rounds 5] [--quick]

"by hand" is what one writes without jamsgrad: for many starts `jit(vmap(while_loop))` around
`optax.amsgrad`, from starts of `jax.random.uniform`; for one start the `lax.scan` of 100 steps,
which records nothing, or x and f(x) at every step. Each figure is the median of the CPU seconds of
as many fresh processes as there are rounds, in turns, without importing; other work on the machine
changes CPU seconds less than a clock's. The ratio is to the first row of each group.
"""

import argparse
import itertools
import json
import subprocess
import sys
import time
from collections.abc import Iterator

from _report import machine, median, median_ratio, table

STEPS = 100
START = (0.5, -0.3)
N_STARTS = 2000
GTOL = 1e-3


def himmelblau(x):
    """Himmelblau's function."""
    return (x[0] ** 2 + x[1] - 11) ** 2 + (x[0] + x[1] ** 2 - 7) ** 2


def bowl(x):
    """x0^2 + x1^2."""
    return x[0] ** 2 + x[1] ** 2


def many_by_hand() -> Iterator[None]:
    """The vmapped loop; each `yield` ends a part that is timed."""
    import jax
    import jax.numpy as jnp
    import optax

    optimizer, grad = optax.amsgrad(0.3, b2=0.99), jax.grad(himmelblau)

    def search(x):
        def goes_on(carry):
            _, _, g, n = carry
            return (jnp.max(jnp.abs(g)) > GTOL) & (n < 1000)

        def step(carry):
            x, state, g, n = carry
            updates, state = optimizer.update(g, state)
            x = optax.apply_updates(x, updates)
            return x, state, grad(x), n + 1

        return jax.lax.while_loop(goes_on, step, (x, optimizer.init(x), grad(x), 0))[0]

    yield
    starts = jax.random.uniform(jax.random.key(0), (N_STARTS, 2), minval=-5, maxval=5)
    jax.block_until_ready(jax.jit(jax.vmap(search))(starts))
    yield


def many(finish: str | None = "auto") -> Iterator[None]:
    """`multistart`, the table of its minima, and the same call with a new key."""
    import jax

    from jamsgrad import amsgrad, multistart

    box = [-5.0, -5.0], [5.0, 5.0]

    def search(key: int):
        options = {"n_starts": N_STARTS, "gtol": GTOL, "finish": finish}
        optimizer = amsgrad(0.3, b2=0.99)
        return multistart(himmelblau, box, optimizer, key=jax.random.key(key), **options)

    yield
    found = search(0)
    yield
    found.summary()
    yield
    search(1)
    yield
    for key in range(5):
        search(key)
    yield


def many_of_data() -> Iterator[None]:
    """`multistart` of an objective that is a pytree, and the same with new data."""
    import jax

    from jamsgrad import amsgrad, multistart

    def shifted(shift, x):
        return himmelblau(x + shift)

    def search(shift: float):
        fun = jax.tree_util.Partial(shifted, jax.numpy.full(2, shift))
        box, key = ([-5.0, -5.0], [5.0, 5.0]), jax.random.key(0)
        multistart(fun, box, amsgrad(0.3, b2=0.99), key=key, n_starts=N_STARTS, gtol=GTOL)

    yield
    search(0.0)
    yield
    search(0.5)
    yield


def one_by_hand(recording: bool) -> Iterator[None]:
    """The scan that one writes by hand."""
    import jax
    import jax.numpy as jnp
    import optax

    optimizer = optax.amsgrad(0.02)

    def step(carry, _):
        x, state = carry
        updates, state = optimizer.update(jax.grad(bowl)(x), state)
        x = optax.apply_updates(x, updates)
        return (x, state), (x, bowl(x)) if recording else None

    def search(x):
        return jax.lax.scan(step, (x, optimizer.init(x)), length=STEPS)

    x = jnp.array(START)
    jax.block_until_ready(jax.jit(jnp.sum)(x))  # what JAX itself loads at its first program
    yield
    jax.block_until_ready(jax.jit(search)(x))
    yield


def one(recording: bool) -> Iterator[None]:
    """The same search by `minimize`."""
    import jax
    import jax.numpy as jnp

    from jamsgrad import amsgrad, minimize

    x, every = jnp.array(START), 1 if recording else None
    jax.block_until_ready(jax.jit(jnp.sum)(x))
    yield
    result = minimize(bowl, x, amsgrad(0.02), max_steps=STEPS, record_every=every)
    jax.block_until_ready(result)
    yield


RUNS = {
    "many by hand": many_by_hand,
    "many": many,
    "many unfinished": lambda: many(finish=None),
    "many of data": many_of_data,
    "one by hand": lambda: one_by_hand(recording=False),
    "one": lambda: one(recording=False),
    "one by hand, recording": lambda: one_by_hand(recording=True),
    "one, recording": lambda: one(recording=True),
}


def parts(name: str) -> list[float]:
    """The CPU seconds of the parts of a run, or of an import, in a process of its own."""
    command = [sys.executable, __file__, "--run", name]
    if name not in RUNS:
        command = [sys.executable, "-c", f"{name}, time; print([time.process_time()])"]
    ran = subprocess.run(command, check=True, capture_output=True, text=True)
    return json.loads(ran.stdout.splitlines()[-1])


def timed(run: Iterator[None]) -> list[float]:
    """The CPU seconds between the yields of a run."""
    times = [time.process_time() for _ in run]
    return [after - before for before, after in itertools.pairwise(times)]


def main(argv: list[str] | None = None) -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--quick", action="store_true", help="one round")
    parser.add_argument("--run", choices=RUNS, help="one run in this process: prints its seconds")
    args = parser.parse_args(argv)
    if args.run:
        print(json.dumps(timed(RUNS[args.run]())))
        return

    began = time.perf_counter()
    names = "import optax", "import jamsgrad", *RUNS
    rounds = [
        {name: parts(name) for name in names} for _ in range(1 if args.quick else args.rounds)
    ]

    def seconds(name: str, *which: int) -> list[float]:
        return [sum(ran[name][i] for i in which) for ran in rounds]

    hand, groups = seconds("many by hand", 0), []
    groups.append([("import optax", seconds("import optax", 0))])
    groups[-1].append(("import jamsgrad", seconds("import jamsgrad", 0)))
    groups.append(
        [
            ("2000 searches by hand", hand),
            ("multistart", seconds("many", 0)),
            ("multistart and its table", seconds("many", 0, 1)),
            ("multistart again, with a new key", seconds("many", 2)),
            ("multistart(finish=None)", seconds("many unfinished", 0)),
            ("multistart(finish=None) and its table", seconds("many unfinished", 0, 1)),
            ("multistart(finish=None) again, with a new key", seconds("many unfinished", 2)),
            ("multistart in a loop over five keys, after that", seconds("many", 3)),
            ("multistart of a pytree", seconds("many of data", 0)),
            ("multistart of a pytree again, with new data", seconds("many of data", 1)),
        ]
    )
    for words in ("", ", recording"):
        groups.append([(f"scan by hand{words}", seconds(f"one by hand{words}", 0))])
        groups[-1].append((f"minimize{words}", seconds(f"one{words}", 0)))
    rows = []
    for (first, baseline), *rest in groups:
        rows.append([first, f"{median(baseline):.3f}", "1.00"])
        for name, ours in rest:
            rows.append([name, f"{median(ours):.3f}", f"{median_ratio(ours, baseline):.2f}"])
    print(f"{machine()}; {time.perf_counter() - began:.0f} s\n")
    print(table(["", "CPU seconds", "ratio"], rows))


if __name__ == "__main__":
    main()
