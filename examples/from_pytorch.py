"""A run moves from PyTorch to JAX in the middle, and its loss does not notice.

    python -m pip install torch
    python examples/from_pytorch.py [--steps 600] [--out figures]

A small network learns a made-up function in torch with Adam(amsgrad=True). Half way its weights and
its optimizer's state are carried over, and JAX takes the other half of the steps while torch goes
on too; also drawn is what JAX does with the weights alone. Then JAX hands its state back.
"""

import argparse
from pathlib import Path

import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np
import optax

from jamsgrad import amsgrad, interop

try:
    import torch
except ModuleNotFoundError:
    raise SystemExit("This example needs torch: python -m pip install torch") from None

HYPER = {"lr": 3e-3, "betas": (0.9, 0.999), "eps": 1e-8}
LAYERS = (0, 2, 4)  # those of torch's Sequential that have parameters


def make_model():
    """The network and its optimizer in torch."""
    model = torch.nn.Sequential(
        torch.nn.Linear(2, 32),
        torch.nn.Tanh(),
        torch.nn.Linear(32, 32),
        torch.nn.Tanh(),
        torch.nn.Linear(32, 1),
    )
    return model, torch.optim.Adam(model.parameters(), amsgrad=True, **HYPER)


def train_torch(model, optimizer, x, y, steps):
    """The loss before every step."""
    x, y, losses = torch.tensor(x), torch.tensor(y), []
    for _ in range(steps):
        optimizer.zero_grad()
        loss = torch.mean((model(x) - y) ** 2)
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return losses


def to_params(arrays):
    """Parameters as JAX libraries keep them: torch's weights are (out, in), kernels (in, out)."""
    return [
        # A copy: jax.device_put would share memory with torch, which steps in place.
        {"kernel": jnp.array(arrays[f"{i}.weight"].T), "bias": jnp.array(arrays[f"{i}.bias"])}
        for i in LAYERS
    ]


def from_params(params):
    """The inverse of `to_params`."""
    arrays = {}
    for i, layer in zip(LAYERS, params, strict=True):
        arrays |= {f"{i}.weight": layer["kernel"].T, f"{i}.bias": layer["bias"]}
    return arrays


def loss(params, x, y):
    """The mean squared error of the same network in JAX."""
    for layer in params[:-1]:
        x = jnp.tanh(x @ layer["kernel"] + layer["bias"])
    return jnp.mean((x @ params[-1]["kernel"] + params[-1]["bias"] - y) ** 2)


def train_jax(params, optimizer, state, x, y, steps):
    """The parameters and the state after the last step, and the loss before every step."""

    def step(carry, _):
        params, state = carry
        value, grads = jax.value_and_grad(loss)(params, x, y)
        updates, state = optimizer.update(grads, state, params)
        return (optax.apply_updates(params, updates), state), value

    run = jax.jit(lambda params, state: jax.lax.scan(step, (params, state), length=steps))
    (params, state), losses = run(params, state)
    return params, state, losses.tolist()


def draw(before, torch_losses, jax_losses, forgetful, path):
    """The losses of both, and by how much they differ."""
    t = len(before) + np.arange(len(jax_losses))
    figure, (top, bottom) = plt.subplots(
        2, 1, sharex=True, layout="constrained", height_ratios=(2, 1)
    )
    top.plot(before, color="#d55e00", label="torch, before")
    top.plot(t, torch_losses, color="#d55e00", linewidth=4, alpha=0.4, label="torch goes on")
    top.plot(t, jax_losses, color="#0072b2", linewidth=1, label="JAX goes on")
    top.plot(t, forgetful, "k--", linewidth=1, label="JAX, with the weights alone")
    top.set(ylabel="loss", yscale="log", title="From PyTorch to JAX half way")
    top.legend()
    difference = np.abs(np.divide(jax_losses, torch_losses) - 1)
    bottom.plot(t, difference / np.finfo(np.float32).eps, "k.", markersize=2)
    bottom.set(xlabel="step", ylabel="relative difference\n/ float32 eps", ylim=(0, None))
    for ax in (top, bottom):
        ax.grid(alpha=0.3)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=120)
    plt.close(figure)


def main(argv=None):
    """Train in torch, carry over, train in both, compare, and go back."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--steps", type=int, default=600, help="of which JAX takes half")
    parser.add_argument("--out", type=Path, default=Path("figures"), help="folder of the picture")
    args = parser.parse_args(argv)
    if args.steps < 2:
        parser.error(f"--steps must be at least 2, got {args.steps}")
    half = args.steps // 2

    torch.manual_seed(0)
    rng = np.random.default_rng(0)
    x = rng.uniform(-1, 1, (256, 2)).astype("float32")
    noise = rng.normal(scale=0.1, size=(256, 1))
    y = (np.sin(3 * x[:, :1]) * np.cos(2 * x[:, 1:]) + noise).astype("float32")
    model, torch_optimizer = make_model()
    before = train_torch(model, torch_optimizer, x, y, half)

    names = dict(model.named_parameters())
    params = to_params({name: p.detach().numpy() for name, p in names.items()})
    optimizer = amsgrad(HYPER["lr"], *HYPER["betas"], HYPER["eps"], convention="pytorch")
    state = interop.from_torch(
        torch_optimizer.state_dict(), optimizer.init(params), names=names, to_params=to_params
    )
    *_, forgetful = train_jax(params, optimizer, optimizer.init(params), x, y, half)
    params, state, in_jax = train_jax(params, optimizer, state, x, y, half)
    in_torch = train_torch(model, torch_optimizer, x, y, half)
    difference = np.max(np.abs(np.divide(in_jax, in_torch) - 1))
    print(f"loss at the start {before[0]:.6f}, half way {before[-1]:.6f}")
    print(f"loss at the end: torch {in_torch[-1]:.9f}, JAX {in_jax[-1]:.9f}")
    print(f"largest relative difference {difference:.1e}")

    back, back_optimizer = make_model()
    arrays = from_params(params)
    back.load_state_dict({name: torch.tensor(np.asarray(a)) for name, a in arrays.items()})
    back_optimizer.load_state_dict(
        interop.to_torch(
            state, back_optimizer.state_dict(), torch.tensor, names=names, from_params=from_params
        )
    )
    stayed = train_torch(model, torch_optimizer, x, y, 20)
    returned = train_torch(back, back_optimizer, x, y, 20)
    difference = np.max(np.abs(np.divide(returned, stayed) - 1))
    print(f"largest relative difference in 20 steps back in torch {difference:.1e}")

    draw(before, in_torch, in_jax, forgetful, args.out / "from_pytorch.png")
    print(f"wrote {args.out / 'from_pytorch.png'}")


if __name__ == "__main__":
    main()
