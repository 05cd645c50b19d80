"""What bfloat16 costs: final losses with bfloat16 moments and parameters, relative to float32.

    python benchmarks/precision.py [--seeds 5] [--quick]

Every task is trained from the same starts, on the same batches or noise, with its moments stored in
float32, in 8 and in 6 bytes per parameter, and rounded to the nearest bfloat16 as a contrast. Each
ratio is the median over the seeds, with the least and the largest. "nudged" is float32 again from
starts 1e-6 away: what is left when nothing but chance has changed. The networks are also trained
with parameters, gradients and moments in bfloat16 (10 bytes per parameter), with `round_parameters`
and without. scikit-learn brings the digits.
"""

import argparse
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from _report import machine, median, table
from jax import lax
from memory import EIGHT_BYTES

import jamsgrad
from jamsgrad import problems


class Task(NamedTuple):
    """Something to train: its start, its gradient, and the losses to look at in the end."""

    names: tuple[str, ...]
    init: Callable[[jax.Array], Any]  # from a key
    batches: Callable[[jax.Array], jax.Array]  # from a key: what the gradient needs in each step
    grad: Callable[[Any, jax.Array], Any]  # from the parameters and one of these
    losses: Callable[[Any], tuple]
    learning_rate: optax.ScalarOrSchedule
    network: bool = False


def dense(key: jax.Array, n_in: int, n_out: int) -> jax.Array:
    """Random weights of a layer."""
    return jax.random.normal(key, (n_in, n_out)) / np.sqrt(n_in)


def cross_entropy(logits: jax.Array, labels: jax.Array) -> jax.Array:
    """The mean cross entropy."""
    return jnp.mean(optax.softmax_cross_entropy_with_integer_labels(logits, labels))


def digits(steps: int) -> Task:
    """Scikit-learn's digits by a network with one hidden layer, in batches of 64."""
    from sklearn.datasets import load_digits

    images, labels = load_digits(return_X_y=True)
    images, labels = jnp.asarray(images / 16, jnp.float32), jnp.asarray(labels)

    def init(key):
        keys = jax.random.split(key)
        layers = (dense(keys[0], 64, 32), dense(keys[1], 32, 10))
        return [(w, jnp.zeros(w.shape[1])) for w in layers]

    def loss(params, images, labels):
        (w1, b1), (w2, b2) = params
        return cross_entropy(jax.nn.relu(images @ w1 + b1) @ w2 + b2, labels)

    def batches(key):
        return jax.random.randint(key, (steps, 64), 0, len(images))

    def grad(params, batch):
        return jax.grad(loss)(params, images[batch], labels[batch])

    def losses(params):
        return (loss(params, images, labels),)

    return Task(("digits, MLP",), init, batches, grad, losses, 1e-3, network=True)


LAYERS, HEADS, WIDTH, CONTEXT = 2, 2, 32, 32


def transformer_logits(params: dict, tokens: jax.Array) -> jax.Array:
    """A decoder with learned positions, and layer norms before its attentions and MLPs."""

    def normed(x):
        return jax.nn.standardize(x, axis=-1, epsilon=1e-5)

    def heads(x):
        return x.reshape(CONTEXT, HEADS, WIDTH // HEADS)

    x = params["embed"][tokens] + params["position"]
    for layer in params["layers"]:
        q, k, v = (heads(y) for y in jnp.split(normed(x) @ layer["qkv"], 3, axis=-1))
        x += jax.nn.dot_product_attention(q, k, v, is_causal=True).reshape(x.shape) @ layer["out"]
        x += jax.nn.gelu(normed(x) @ layer["up"] + layer["bias"]) @ layer["down"]
    return normed(x) @ params["unembed"]


def text(steps: int) -> Task:
    """Python's own help texts by a small transformer over characters, in batches of 4."""
    from pydoc_data.topics import topics

    characters = "".join(topics[name] for name in sorted(topics))
    symbols, codes = np.unique(list(characters), return_inverse=True)
    training, held_out = np.split(codes.astype(np.int32), [int(0.9 * len(codes))])

    def init(key):
        keys = iter(jax.random.split(key, 3 + 4 * LAYERS))
        return {
            "embed": dense(next(keys), WIDTH, len(symbols)).T,
            "position": 0.1 * jax.random.normal(next(keys), (CONTEXT, WIDTH)),
            "unembed": dense(next(keys), WIDTH, len(symbols)),
            "layers": [
                {
                    "qkv": dense(next(keys), WIDTH, 3 * WIDTH),
                    "out": dense(next(keys), WIDTH, WIDTH),
                    "up": dense(next(keys), WIDTH, 4 * WIDTH),
                    "bias": jnp.zeros(4 * WIDTH),
                    "down": dense(next(keys), 4 * WIDTH, WIDTH),
                }
                for _ in range(LAYERS)
            ],
        }

    def windows(codes, starts):
        return jnp.asarray(codes)[starts[:, None] + jnp.arange(CONTEXT + 1)]

    def loss(params, tokens):
        logits = jax.vmap(lambda t: transformer_logits(params, t))(tokens[:, :-1])
        return cross_entropy(logits, tokens[:, 1:])

    def batches(key):
        return jax.random.randint(key, (steps, 4), 0, len(training) - CONTEXT)

    def grad(params, starts):
        return jax.grad(loss)(params, windows(training, starts))

    def losses(params):
        parts = [
            (x, np.linspace(0, len(x) - CONTEXT - 1, 500).astype(int)) for x in (training, held_out)
        ]
        return tuple(loss(params, windows(*part)) for part in parts)

    names = ("text, transformer", "the same, held-out text")
    # Decayed: at a constant rate, starts 1e-6 apart end up to 2 % apart.
    learning_rate = optax.linear_schedule(3e-3, 0.0, steps)
    return Task(names, init, batches, grad, losses, learning_rate, network=True)


def rosenbrock(steps: int) -> Task:
    """Rosenbrock's function of 100 variables, from random starts."""
    fun = problems.rosenbrock(100).fun

    def init(key):
        return jax.random.uniform(key, (100,), minval=-1, maxval=1)

    def batches(_):
        return jnp.zeros(steps)

    def grad(x, _):
        return jax.grad(fun)(x)

    return Task(("Rosenbrock, n = 100",), init, batches, grad, lambda x: (fun(x),), 0.05)


def quadratic(noise: str, steps: int) -> Task:
    """A separable quadratic of 1,000 variables, curvatures 0.01 to 1, its gradient with noise."""
    curvature = jnp.geomspace(0.01, 1, 1000)
    learning_rate = 1e-4 if noise == "none" else 0.01  # 0.01 would end in underflow without noise

    def init(key):
        return jax.random.normal(key, (1000,))

    def batches(key):
        return jax.random.split(key, steps)

    def grad(x, key):
        exact = curvature * x
        if noise == "none":
            return exact
        noises, seen = jax.random.split(key)
        noisy = exact + jax.random.normal(noises, x.shape)
        return noisy * jax.random.bernoulli(seen, 0.01, x.shape) if noise == "sparse" else noisy

    def losses(x):
        return (jnp.sum(curvature * x**2) / 2,)

    return Task((f"quadratic, noise: {noise}",), init, batches, grad, losses, learning_rate)


def to_nearest(optimizer: optax.GradientTransformation) -> optax.GradientTransformation:
    """The optimizer with moments that are rounded to the nearest bfloat16 after each step."""

    def update(updates, state, params=None):
        updates, state = optimizer.update(updates, state, params)
        nearest = lambda x: lax.reduce_precision(x, exponent_bits=8, mantissa_bits=7)  # noqa: E731
        return updates, optax.tree_map_params(optimizer, nearest, state)

    return optax.GradientTransformation(optimizer.init, update)


def cast(tree: Any, dtype: str) -> Any:
    """All leaves in another dtype."""
    return jax.tree.map(lambda x: x.astype(dtype), tree)


def in_bfloat16(task: Task) -> Task:
    """The task with parameters and gradients in bfloat16; what is between them is float32."""

    def grad(params, batch):
        return cast(task.grad(cast(params, "float32"), batch), "bfloat16")

    def losses(params):
        return task.losses(cast(params, "float32"))

    return task._replace(grad=grad, losses=losses)


def train(task: Task, optimizer: optax.GradientTransformation, starts: Any, batches: Any) -> Any:
    """The trained parameters, for each of the starts."""

    def one(params, batches):
        def step(carry, batch):
            params, state = carry
            updates, state = optimizer.update(task.grad(params, batch), state, params)
            return (optax.apply_updates(params, updates), state), None

        return lax.scan(step, (params, optimizer.init(params)), batches)[0][0]

    return jax.jit(jax.vmap(one))(starts, batches)


def final_losses(task: Task, n_seeds: int) -> dict[str, np.ndarray]:
    """For each storage: the final losses, a row for each of the task's names."""
    keys = jax.random.split(jax.random.key(0), (2, n_seeds))
    starts, batches = jax.vmap(task.init)(keys[0]), jax.vmap(task.batches)(keys[1])
    exact = jamsgrad.amsgrad(task.learning_rate)
    six_bytes = jamsgrad.amsgrad(task.learning_rate, moment_dtype="bfloat16")
    runs = {
        "float32": (task, exact, starts),
        "nudged": (task, exact, jax.tree.map(lambda x: x * (1 + 1e-6), starts)),
        "8 bytes": (task, jamsgrad.amsgrad(task.learning_rate, moment_dtype=EIGHT_BYTES), starts),
        "6 bytes": (task, six_bytes, starts),
        "to nearest": (task, to_nearest(exact), starts),
    }
    if task.network:
        low, narrow = in_bfloat16(task), cast(starts, "bfloat16")
        rounded = optax.chain(six_bytes, jamsgrad.round_parameters())
        runs["bfloat16 parameters"] = (low, six_bytes, narrow)
        runs["the same, rounded"] = (low, rounded, narrow)
    return {
        name: np.stack(jax.jit(jax.vmap(own.losses))(train(own, optimizer, params, batches)))
        for name, (own, optimizer, params) in runs.items()
    }


def spread(ratios: np.ndarray) -> str:
    """Median, least and largest."""
    return f"{median(ratios):.3f} ({min(ratios):.3f} to {max(ratios):.3f})"


def main(argv: list[str] | None = None) -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--quick", action="store_true", help="a fiftieth of the steps")
    args = parser.parse_args(argv)
    share = 50 if args.quick else 1

    tasks = [digits(20_000 // share), text(4000 // share), rosenbrock(20_000 // share)]
    tasks += [quadratic(noise, 20_000 // share) for noise in ("Gaussian", "none", "sparse")]
    rows, columns = [], {}
    for task in tasks:
        losses = final_losses(task, args.seeds)
        exact = losses.pop("float32")
        columns |= dict.fromkeys(losses)
        for row, name in enumerate(task.names):
            ratios = {column: spread(other[row] / exact[row]) for column, other in losses.items()}
            rows.append([name, f"{median(exact[row]):.2g}", ratios])
    rows = [[*row, *(ratios.get(column, "") for column in columns)] for *row, ratios in rows]
    print(f"{args.seeds} seeds; {machine()}\n")
    print(table(["", "loss, float32", *columns], rows))


if __name__ == "__main__":
    main()
