"""Train on eight devices with the optimizer's state shared out among them, as in ZeRO stage 1.

    python examples/sharded_training.py [--devices 8] [--steps 50]

Each device has a part of the batch and a copy of the parameters, but keeps only its part of m, v
and vhat: three times the size of the parameters in float32, and so most of the memory. Nothing in
the optimizer knows of it: the state is placed by `NamedSharding`, and the compiler adds what the
devices have to tell each other. Prints what the state takes on a device, and the largest relative
difference of any loss from that of one device: float32 rounding, as sums are added in another
order, or with moments in bfloat16 what those change. The devices are simulated on the CPU.
"""

import argparse
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.sharding import Mesh, NamedSharding, PartitionSpec

import jamsgrad

SIZES = (64, 512, 512, 1)  # of the layers
BATCH = 256


def init_params(key):
    """The weights and biases of a network of dense layers."""
    keys = jax.random.split(key, len(SIZES) - 1)
    return [
        {"w": jax.random.normal(k, (n, m)) * (2 / n) ** 0.5, "b": jnp.zeros(m)}
        for k, n, m in zip(keys, SIZES[:-1], SIZES[1:], strict=True)
    ]


def predict(params, x):
    """The output of the network for a batch, shape (batch,)."""
    for layer in params[:-1]:
        x = jax.nn.relu(x @ layer["w"] + layer["b"])
    return (x @ params[-1]["w"] + params[-1]["b"])[:, 0]


@jax.jit
def batch_of(step):
    """The data of a step: inputs, and a function of them for the network to learn."""
    x = jax.random.normal(jax.random.fold_in(jax.random.key(1), step), (BATCH, SIZES[0]))
    return x, jnp.sin(x[:, 0]) * x[:, 1]


def sharded(mesh, leaf):
    """A leaf of the state: its largest axis that the devices divide is shared out among them."""
    axes = [i for i, n in enumerate(leaf.shape) if n % mesh.size == 0]
    if not axes:
        return NamedSharding(mesh, PartitionSpec())
    axis = max(axes, key=lambda i: leaf.shape[i])
    return NamedSharding(mesh, PartitionSpec(*[None] * axis, "data"))


def replicated(mesh, leaf):
    """A leaf of which every device has a copy."""
    del leaf
    return NamedSharding(mesh, PartitionSpec())


def train(optimizer, mesh, placing, steps):
    """The losses of some steps on these devices, and the bytes of state on the first of them."""
    copy, split = NamedSharding(mesh, PartitionSpec()), NamedSharding(mesh, PartitionSpec("data"))
    params = jax.device_put(init_params(jax.random.key(0)), copy)
    placed = jax.tree.map(partial(placing, mesh), jax.eval_shape(optimizer.init, params))
    state = jax.jit(optimizer.init, out_shardings=placed)(params)  # never whole on one device

    @partial(jax.jit, out_shardings=(copy, placed, copy), donate_argnums=(0, 1))
    def step(params, state, x, y):
        loss, grads = jax.value_and_grad(lambda p: jnp.mean((predict(p, x) - y) ** 2))(params)
        updates, state = optimizer.update(grads, state, params)
        return optax.apply_updates(params, updates), state, loss

    losses = []
    for i in range(steps):
        params, state, loss = step(params, state, *jax.device_put(batch_of(i), split))
        losses.append(loss)
    own = mesh.devices.ravel()[0]
    shards = [s for leaf in jax.tree.leaves(state) for s in leaf.addressable_shards]
    return np.array(losses), sum(s.data.nbytes for s in shards if s.device == own)


def main(argv=None):
    """Train on one device and on all, with the state on each of them and shared out."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--devices", type=int, default=8, help="simulated CPU devices")
    parser.add_argument("--steps", type=int, default=50)
    args = parser.parse_args(argv)
    if args.devices < 1 or BATCH % args.devices:
        parser.error(f"--devices must be a divisor of {BATCH}, got {args.devices}")
    if args.steps < 1:
        parser.error(f"--steps must be at least 1, got {args.steps}")
    jax.config.update("jax_platforms", "cpu")
    jax.config.update("jax_num_cpu_devices", args.devices)

    one, every = (Mesh(np.array(jax.devices()[:n]), ("data",)) for n in (1, args.devices))
    exact = jamsgrad.amsgrad(1e-3, b2=0.99)
    short = jamsgrad.amsgrad(1e-3, b2=0.99, moment_dtype="bfloat16")
    alone = None
    print(f"{'devices, state':22} {'bytes on each':>13} {'last loss':>9}  largest difference")
    for how, optimizer, mesh, placing in (
        ("whole", exact, one, replicated),
        ("replicated", exact, every, replicated),
        ("sharded", exact, every, sharded),
        ("sharded, bfloat16", short, every, sharded),
    ):
        losses, n_bytes = train(optimizer, mesh, placing, args.steps)
        alone = losses if alone is None else alone
        difference = np.max(np.abs(losses / alone - 1))
        label = f"{mesh.size}, {how}"
        print(f"{label:22} {n_bytes:13,} {losses[-1]:9.4f}  {difference:.1e}")


if __name__ == "__main__":
    main()
