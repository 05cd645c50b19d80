"""What every benchmark shares: timing in turns, and a Markdown table."""

import os
import platform
import statistics
import time
from collections.abc import Callable, Mapping, Sequence

import jax
import optax


def in_turns(runs: Mapping[str, Callable[[], object]], rounds: int) -> dict[str, list[float]]:
    """Seconds of each of the `rounds` calls of each run, in turns A B C A B C ...

    In turns, because the speed of a shared machine drifts; every run is called once before.
    """
    seconds: dict[str, list[float]] = {name: [] for name in runs}
    for run in runs.values():
        run()
    for _ in range(rounds):
        for name, run in runs.items():
            start = time.perf_counter()
            run()
            seconds[name].append(time.perf_counter() - start)
    return seconds


def median(values: Sequence[float]) -> float:
    """The median."""
    return statistics.median(values)


def median_ratio(a: Sequence[float], b: Sequence[float]) -> float:
    """The median of a / b, round by round."""
    return statistics.median(x / y for x, y in zip(a, b, strict=True))


def table(header: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """A Markdown table, numbers to the right."""
    lines = [header, ["---"] + ["---:"] * (len(header) - 1), *rows]
    return "\n".join("| " + " | ".join(map(str, line)) + " |" for line in lines)


def cpus() -> int:
    """How many cores this process may use."""
    # Not os.cpu_count(): `taskset` leaves a process fewer, and XLA starts as many threads as these.
    affinity = hasattr(os, "sched_getaffinity")
    return len(os.sched_getaffinity(0)) if affinity else os.cpu_count() or 1


def machine() -> str:
    """One line on what the figures were measured with."""
    return (
        f"{cpus()} x {platform.processor() or platform.machine()}, "
        f"{jax.devices()[0].device_kind}, Python {platform.python_version()}, "
        f"JAX {jax.__version__}, optax {optax.__version__}"
    )
