"""Training: AMSGrad's conventions beside Adam, AdamW, SGD and schedule-free, tuned alike.

Three tasks: a network on scikit-learn's digits, a transformer over the characters of Python's help
texts, and the interatomic potential of `examples/train_potential.py`. Every optimizer has the same
ten learning rates, from 1e-4 to 3, and takes the best of them on one seed; then it is trained from
five other seeds at that rate. The rate falls linearly to 0, but for schedule-free, which keeps it
after a warm-up. The loss is that of the training data for the digits, and of held-out data for the
others. SGD has a momentum of 0.9, AdamW and schedule-free a weight decay of 0.01.
"""

import math
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from _report import median, table
from optax.contrib import schedule_free_adamw, schedule_free_eval_params
from precision import Task, digits, text

import jamsgrad

SEEDS = 5  # trained together, as are so many learning rates
RATES = [10.0 ** (k / 2) for k in range(-8, 2)]
STEPS, QUICK_STEPS = {"digits": 1000, "text": 250, "potential": 400}, 20
QUICK = ("digits",)


def potential(steps: int) -> Task:
    """The small interatomic potential of the recipe, in batches of 16 clusters."""
    sys.path.insert(0, str(Path(__file__).parents[2] / "examples"))
    import train_potential as example

    training, held_out = example.make_data()
    like = example.init_params()

    def init(key):
        keys = dict(zip(like, jax.random.split(key, len(like)), strict=True))
        return {
            name: jax.random.normal(keys[name], x.shape) / math.sqrt(x.shape[1])
            if x.ndim > 1
            else x
            for name, x in like.items()
        }

    def batches(key):
        return jax.random.randint(key, (steps, example.BATCH), 0, example.TRAIN)

    def grad(params, batch):
        return jax.grad(example.loss)(params, example.take(training, batch))

    def losses(params):
        return (example.loss(params, held_out),)

    return Task(("potential",), init, batches, grad, losses, 0.0)


TASKS: dict[str, Callable[[int], Task]] = {"digits": digits, "text": text, "potential": potential}


class Method(NamedTuple):
    """An optimizer of a learning rate, or of a schedule, and of the number of steps."""

    make: Callable[[Any, int], optax.GradientTransformation]
    evaluated: Callable[[Any, Any], Any] = lambda state, params: params


def decayed(make: Callable[[optax.Schedule], optax.GradientTransformation]) -> Method:
    """The optimizer with a rate that falls to 0."""
    return Method(lambda rate, steps: make(lambda count: rate * (1 - count / steps)))


SOLVERS: dict[str, Method] = {
    **{
        f"AMSGrad {name}": decayed(lambda rate, name=name: jamsgrad.amsgrad(rate, convention=name))
        for name in jamsgrad.conventions
    },
    "optax.adam": decayed(optax.adam),
    "optax.adamw": decayed(lambda rate: optax.adamw(rate, weight_decay=0.01)),
    "optax.sgd": decayed(lambda rate: optax.sgd(rate, momentum=0.9)),
    "schedule-free AdamW": Method(
        lambda rate, steps: schedule_free_adamw(rate, warmup_steps=steps // 20, weight_decay=0.01),
        schedule_free_eval_params,
    ),
}


def trained(task: Task, method: Method, steps: int) -> Callable[[np.ndarray, np.ndarray], Any]:
    """The final losses of runs with these learning rates and seeds, compiled once."""

    def one(rate, seed):
        keys = jax.random.split(jax.random.key(seed))
        params, optimizer = task.init(keys[0]), method.make(rate, steps)

        def step(carry, batch):
            params, state = carry
            updates, state = optimizer.update(task.grad(params, batch), state, params)
            return (optax.apply_updates(params, updates), state), None

        start = params, optimizer.init(params)
        (params, state), _ = jax.lax.scan(step, start, task.batches(keys[1]))
        return task.losses(method.evaluated(state, params))[-1]

    return jax.jit(jax.vmap(one))


def measure(solver: str, quick: bool) -> list[dict]:
    """A row for each task."""
    rows = []
    for name in QUICK if quick else TASKS:
        steps = QUICK_STEPS if quick else STEPS[name]
        run = trained(TASKS[name](steps), SOLVERS[solver], steps)
        tuned = [
            np.asarray(run(jnp.array(RATES[i : i + SEEDS]), jnp.zeros(SEEDS, int)))
            for i in range(0, len(RATES), SEEDS)
        ]
        by_rate = np.nan_to_num(np.concatenate(tuned), nan=np.inf)
        best = RATES[int(np.argmin(by_rate))]
        losses = run(jnp.full(SEEDS, best), 1 + jnp.arange(SEEDS))
        rows.append(
            {
                "task": name,
                "rate": best,
                "losses": np.asarray(losses, float).tolist(),
                "by_rate": [x if math.isfinite(x) else None for x in by_rate.tolist()],
            }
        )
    return rows


def report(results: dict[str, list[dict]]) -> str:
    """The table: median, least and largest of the final losses, and the learning rate."""
    names = list(dict.fromkeys(row["task"] for rows in results.values() for row in rows))
    lines = []
    for solver, rows in results.items():
        cells = {}
        for row in rows:
            losses = row["losses"]
            spread = f"{median(losses):.3g} ({min(losses):.3g} to {max(losses):.3g})"
            cells[row["task"]] = [spread, f"{row['rate']:.1g}"]
        lines.append([solver, *(cell for name in names for cell in cells.get(name, ["", ""]))])
    header = ["", *(cell for name in names for cell in (f"{name}: loss", "learning rate"))]
    return table(header, lines)
