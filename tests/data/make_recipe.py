"""Write recipe.npz: what torch makes of the recipe of examples/train_potential.py.

    python -m pip install -e . torch==2.13.0
    python tests/data/make_recipe.py [--checkpoint checkpoint.pt]

The data, the first weights and the batches are the example's; all else is torch, in float64. With
`--checkpoint` it also saves what the example's `--from-torch` reads. In the file: `loss` and `lr`
of each step; `average`, the validation loss of the averaged weights after each epoch;
`checkpoint/<i>`, the arrays of the state dicts half way, and in the meta these dicts with i in
their places; `swa/<name>`, the average of torch.optim.swa_utils at the end. And with numbers given
instead of a model: `plateau/<case>`, the learning rates that ReduceLROnPlateau sets after each of
`values`, with its arguments in the meta, and `scaler`, steps on `grads` with a GradScaler.
"""

import argparse
import json
import sys
from pathlib import Path

import jax
import numpy as np
import torch
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parents[1] / "examples"))
import train_potential as example  # noqa: E402

STEPS, HALF = 200, 100
PLATEAUS = {
    "recipe": example.PLATEAU,
    "default": {"patience": 10},
    "relative": {"factor": 0.8, "patience": 2, "threshold": 0.05},
    "absolute": {"factor": 0.9, "patience": 0, "threshold": 0.02, "threshold_mode": "abs"},
    "max": {
        "mode": "max",
        "factor": 0.9,
        "patience": 2,
        "threshold": 0.02,
        "threshold_mode": "abs",
    },
    "min_lr": {"factor": 0.3, "patience": 3, "cooldown": 4, "min_lr": 1e-3},
}
VALUES = np.exp(-np.arange(120) / 20) + 0.2 * np.random.default_rng(1).normal(size=120) ** 2
VALUES[[7, 60]] = np.nan, np.inf
GRADS = np.random.default_rng(2).normal(size=(30, 5))
GRADS[4, 1], GRADS[11], GRADS[12, 0] = np.inf, np.nan, -np.inf


class Potential(torch.nn.Module):
    """The example's, whose parameters get its numbers."""

    def __init__(self):
        """Make the layers."""
        super().__init__()
        for name, weight in example.init_params().items():
            layer, kind = name.split(".")
            if kind == "weight":
                self.add_module(layer, torch.nn.Linear(*reversed(weight.shape)))
        arrays = {name: torch.tensor(np.array(x)) for name, x in example.init_params().items()}
        self.load_state_dict(arrays)

    def forward(self, positions):
        """Energies and forces."""
        positions = positions.clone().requires_grad_()
        others = [[j for j in range(example.ATOMS) if j != i] for i in range(example.ATOMS)]
        r = torch.linalg.norm(positions[:, others] - positions[:, :, None], dim=-1)
        near = (1 + torch.cos(torch.pi * r / example.CUTOFF)) / 2 * (r < example.CUTOFF)
        offsets = r[..., None] - torch.tensor(example.CENTRES)
        x = torch.sum(near[..., None] * torch.exp(-example.SHARPNESS * offsets**2), dim=2)
        x = torch.tanh(self.inter(torch.tanh(self.embed(x))))
        energies = self.readout(x).sum(dim=(1, 2))
        (gradients,) = torch.autograd.grad(energies.sum(), positions, create_graph=True)
        return energies, -gradients


class ExponentialMovingAverage:
    """That of torch_ema, reduced to what the recipe calls."""

    def __init__(self, parameters, decay):
        """Begin with the first weights."""
        self.parameters, self.decay, self.num_updates = list(parameters), decay, 0
        self.shadow_params = [p.detach().clone() for p in self.parameters]

    def update(self):
        """Take in the weights of now."""
        self.num_updates += 1
        decay = min(self.decay, (1 + self.num_updates) / (10 + self.num_updates))
        with torch.no_grad():
            for shadow, p in zip(self.shadow_params, self.parameters, strict=True):
                shadow.sub_((1 - decay) * (shadow - p))

    def state_dict(self):
        """As torch_ema 0.3 saves it."""
        return {
            "decay": self.decay,
            "num_updates": self.num_updates,
            "shadow_params": [x.clone() for x in self.shadow_params],
            "collected_params": None,
        }


def loss_of(model, data):
    """The example's loss."""
    positions, energies, forces = (torch.tensor(np.array(x)) for x in data)
    of_energy, of_forces = model(positions)
    of_energy = ((of_energy - energies) / example.ATOMS) ** 2
    of_forces = (of_forces - forces) ** 2
    return example.ENERGY_WEIGHT * of_energy.mean() + example.FORCE_WEIGHT * of_forces.mean()


def train():
    """The curves, the checkpoint half way, and the average of swa_utils at the end."""
    training, valid = example.make_data()
    model, averaged = Potential(), Potential()
    params = dict(model.named_parameters())
    groups = [
        {"params": [p for name, p in params.items() if name not in example.DECAYED]},
        {
            "params": [params[name] for name in example.DECAYED],
            "weight_decay": example.WEIGHT_DECAY,
        },
    ]
    optimizer = torch.optim.Adam(groups, lr=example.LR, amsgrad=True)
    scheduler = torch.optim.lr_scheduler.ReduceLROnPlateau(optimizer, **example.PLATEAU)
    ema = ExponentialMovingAverage(model.parameters(), example.EMA_DECAY)
    swa = AveragedModel(model, multi_avg_fn=get_ema_multi_avg_fn(example.EMA_DECAY))
    curves, checkpoint = {"loss": [], "lr": [], "average": []}, {}
    for t in range(STEPS):
        curves["lr"].append(optimizer.param_groups[0]["lr"])
        optimizer.zero_grad()
        loss = loss_of(model, example.take(training, example.batch_of(t)))
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), max_norm=example.MAX_NORM)
        optimizer.step()
        ema.update()
        swa.update_parameters(model)
        curves["loss"].append(loss.item())
        if (t + 1) % example.PER_EPOCH == 0:
            with torch.no_grad():
                for p, shadow in zip(averaged.parameters(), ema.shadow_params, strict=True):
                    p.copy_(shadow)
            curves["average"].append(loss_of(averaged, valid).item())
            scheduler.step(curves["average"][-1])
        if t + 1 == HALF:
            parts = {"model": model, "optimizer": optimizer, "lr_scheduler": scheduler, "ema": ema}
            checkpoint = {key: copied(part.state_dict()) for key, part in parts.items()}
    return curves, checkpoint, {name: p.detach() for name, p in swa.module.named_parameters()}


def copied(tree):
    """A state dict that later steps do not change."""
    return jax.tree.map(lambda x: x.clone() if isinstance(x, torch.Tensor) else x, dict(tree))


def plateau(case):
    """The learning rate after each value."""
    optimizer = torch.optim.Adam([torch.zeros(1, requires_grad=True)], lr=example.LR)
    scheduler = torch.optim.lr_scheduler.ReduceLROnPlateau(optimizer, **PLATEAUS[case])
    rates = []
    for value in VALUES:
        scheduler.step(value)
        rates.append(optimizer.param_groups[0]["lr"])
    return rates


def scaler():
    """The parameters after each step: gradients that are not finite are skipped."""
    p = torch.zeros(GRADS.shape[1], requires_grad=True)
    optimizer = torch.optim.Adam([p], lr=example.LR, amsgrad=True)
    scale, path = torch.amp.GradScaler("cpu", init_scale=2.0**10, growth_interval=4), []
    for grad in GRADS:
        optimizer.zero_grad()
        p.grad = scale.scale(torch.tensor(grad))
        scale.unscale_(optimizer)
        torch.nn.utils.clip_grad_norm_([p], max_norm=1.0)
        scale.step(optimizer)
        scale.update()
        path.append(p.detach().numpy().copy())
    return path


def main():
    """Run all and write the file."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--checkpoint", type=Path, help="where to save that half way")
    args = parser.parse_args()
    jax.config.update("jax_enable_x64", True)
    torch.set_default_dtype(torch.float64)
    torch.set_num_threads(1)
    curves, checkpoint, swa = train()
    if args.checkpoint:
        torch.save(checkpoint, args.checkpoint)
    arrays = curves | {f"swa/{name}": x.numpy() for name, x in swa.items()}
    arrays |= {f"plateau/{case}": plateau(case) for case in PLATEAUS}
    arrays |= {"values": VALUES, "grads": GRADS, "scaler": np.stack(scaler())}
    tensors = [x for x in jax.tree.leaves(checkpoint) if isinstance(x, torch.Tensor)]
    arrays |= {f"checkpoint/{i}": x.numpy() for i, x in enumerate(tensors)}
    places = iter(range(len(tensors)))
    in_meta = jax.tree.map(
        lambda x: f"checkpoint/{next(places)}" if isinstance(x, torch.Tensor) else x, checkpoint
    )
    meta = {"torch": torch.__version__, "plateaus": PLATEAUS, "checkpoint": in_meta}
    path = HERE / "recipe.npz"
    np.savez_compressed(path, meta=json.dumps(meta), **arrays)
    print(f"{len(arrays)} arrays in {path.name}, {path.stat().st_size} bytes")


if __name__ == "__main__":
    main()
