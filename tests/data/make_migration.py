"""Write migration.npz: what each argument of torch's and of Keras's Adam(amsgrad=True) does.

    python -m pip install torch==2.13.0 keras==3.15.1 jax
    KERAS_BACKEND=jax python tests/data/make_migration.py

The gradients are given, not functions of the parameters, and begin with a spike. Per row:
`torch/<row>/<name>` or `keras/<row>/<name>`, the parameters after every step, in float64; the row
"use_ema" has the averages in `keras/use_ema/average/<name>`.
"""

import json
from pathlib import Path

import jax
import keras
import numpy as np
import torch

STEPS = 12
RNG = np.random.default_rng(0)
SHAPES = {"kernel": (3, 2), "bias": (2,)}
START = {name: RNG.standard_normal(shape) for name, shape in SHAPES.items()}
GRADS = {name: RNG.standard_normal((STEPS, *shape)) for name, shape in SHAPES.items()}
for grads in GRADS.values():
    grads[1] *= 30

TORCH = {
    "default": {},
    "lr": {"lr": 0.1},
    "betas": {"betas": (0.8, 0.95)},
    "eps": {"eps": 1e-2},
    "weight_decay": {"weight_decay": 0.1},
    "decoupled_weight_decay": {"weight_decay": 0.1, "decoupled_weight_decay": True},
    "AdamW": {},
    "AdamW weight_decay": {"weight_decay": 0.1},
    "maximize": {"maximize": True},
    "foreach": {"foreach": True},
    "fused": {"fused": True},
    "differentiable": {"differentiable": True},
}
KERAS = {
    "default": {},
    "learning_rate": {"learning_rate": 0.1},
    "beta_1": {"beta_1": 0.8},
    "beta_2": {"beta_2": 0.95},
    "epsilon": {"epsilon": 1e-2},
    "weight_decay": {"weight_decay": 0.1},
    "exclude_from_weight_decay": {"weight_decay": 0.1},
    "clipnorm": {"clipnorm": 0.5},
    "global_clipnorm": {"global_clipnorm": 0.5},
    "clipvalue": {"clipvalue": 0.5},
    "use_ema": {"use_ema": True, "ema_momentum": 0.9},
    "ema_overwrite_frequency": {
        "use_ema": True,
        "ema_momentum": 0.9,
        "ema_overwrite_frequency": 4,
    },
    "loss_scale_factor": {"loss_scale_factor": 1024.0},
    "gradient_accumulation_steps": {"gradient_accumulation_steps": 3},
}


def run_torch(row, arguments):
    """The path of one row."""
    params = {name: torch.tensor(x) for name, x in START.items()}
    kind = torch.optim.AdamW if row.startswith("AdamW") else torch.optim.Adam
    optimizer = kind(params.values(), amsgrad=True, **arguments)
    path = {name: [] for name in START}
    for t in range(STEPS):
        for name, p in params.items():
            p.grad = torch.tensor(GRADS[name][t])
        optimizer.step()
        for name, p in params.items():
            path[name].append(p.numpy().copy())
    return path


def run_keras(row, arguments):
    """The path of one row, and the averages where there are some."""
    variables = [keras.Variable(x, name=name) for name, x in START.items()]
    optimizer = keras.optimizers.Adam(amsgrad=True, **arguments)
    if row == "exclude_from_weight_decay":
        optimizer.exclude_from_weight_decay(var_names=["bias"])
    scale = float(optimizer.scale_loss(1.0))  # the gradients are those of the scaled loss
    averages = arguments.get("use_ema", False)
    path = {f"{kind}{name}": [] for kind in ("", "average/")[: 1 + averages] for name in START}
    for t in range(STEPS):
        optimizer.apply([scale * GRADS[name][t] for name in START], variables)
        for name, x in zip(START, variables, strict=True):
            path[name].append(np.asarray(x.value))
        if averages:
            for name, x in zip(START, optimizer._model_variables_moving_average, strict=True):
                path[f"average/{name}"].append(np.asarray(x.value))
    return path


def main():
    """Run all rows and write the file."""
    jax.config.update("jax_enable_x64", True)
    keras.config.set_floatx("float64")
    arrays = {f"start/{name}": x for name, x in START.items()}
    arrays |= {f"grads/{name}": x for name, x in GRADS.items()}
    for library, rows, run in (("torch", TORCH, run_torch), ("keras", KERAS, run_keras)):
        for row, arguments in rows.items():
            for name, path in run(row, arguments).items():
                arrays[f"{library}/{row}/{name}"] = np.stack(path)
    meta = {"torch": torch.__version__, "keras": keras.__version__}
    path = Path(__file__).with_name("migration.npz")
    np.savez_compressed(path, meta=json.dumps(meta), **arrays)
    print(f"{len(arrays)} arrays in {path.name}, {path.stat().st_size} bytes")


if __name__ == "__main__":
    main()
