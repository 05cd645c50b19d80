"""Write torch_states.npz: what torch's own optimizers keep after 7 steps, and their next 5 steps.

    python -m pip install torch==2.13.0 && python tests/data/make_torch_states.py

The gradients are given, not functions of the parameters, and begin with a spike, so that the
maximum matters; complex ones are turned by TURN. Per case: `<case>/state/<number>/<key>` after step
7, `<case>/path/<name>` after steps 7 to 12, and in the meta the parameter groups. The names are
neither sorted nor told apart by their shapes.
"""

import json
from pathlib import Path

import numpy as np
import torch

BEFORE, AFTER = 7, 5
TURN = 0.6 - 0.8j
SHAPES = {
    "2.weight": (2, 2),
    "10.weight": (2, 2),
    "10.bias": (2,),
    "0.weight": (3, 2),
    "0.bias": (2,),
}
HYPER = {"lr": 0.01, "betas": (0.8, 0.95), "eps": 1e-6, "amsgrad": True}
RNG = np.random.default_rng(0)
START = {name: RNG.standard_normal(shape) for name, shape in SHAPES.items()}
GRADS = {name: RNG.standard_normal((BEFORE + AFTER, *shape)) for name, shape in SHAPES.items()}
for grads in GRADS.values():
    grads[1] *= 30


def two_groups(params):
    """The weights and the biases apart: torch numbers them in this order."""
    weights = [(name, p) for name, p in params if name.endswith("weight")]
    biases = [(name, p) for name, p in params if name.endswith("bias")]
    return [{"params": weights}, {"params": biases, "lr": 0.1}]


CASES = {
    "adam": (torch.optim.Adam, HYPER, {}),
    "float32": (torch.optim.Adam, HYPER, {"dtype": torch.float32}),
    "named": (torch.optim.Adam, HYPER, {"named": True}),
    "groups": (torch.optim.Adam, HYPER, {"named": True, "group": two_groups}),
    "l2": (torch.optim.Adam, HYPER | {"weight_decay": 0.1}, {}),
    "maximize": (torch.optim.Adam, HYPER | {"weight_decay": 0.1, "maximize": True}, {}),
    "adamw": (torch.optim.AdamW, HYPER | {"weight_decay": 0.1}, {}),
    "fused": (torch.optim.Adam, HYPER | {"fused": True}, {}),
    "no_maximum": (torch.optim.Adam, HYPER | {"amsgrad": False}, {}),
    "frozen": (torch.optim.Adam, HYPER, {"named": True, "without": {"10.bias": range(12)}}),
    "uneven": (torch.optim.Adam, HYPER, {"without": {"10.bias": range(1)}}),
    "new": (torch.optim.Adam, HYPER, {"without": dict.fromkeys(SHAPES, range(12))}),
    "complex": (torch.optim.Adam, HYPER, {"dtype": torch.complex128}),
    "sgd": (torch.optim.SGD, {"lr": 0.1, "momentum": 0.9}, {}),
}


def run(kind, hyper, named=False, group=list, dtype=torch.float64, without=None):
    """The arrays and the meta of one case."""

    def tensor(x, **options):
        return torch.tensor(x * TURN if dtype.is_complex else x, dtype=dtype, **options)

    params = {name: tensor(x, requires_grad=True) for name, x in START.items()}
    pairs = group(params.items())
    optimizer = kind(pairs if named else list(params.values()), **hyper)
    arrays, path = {}, []
    for t in range(BEFORE + AFTER):
        for name, p in params.items():
            skipped = t in (without or {}).get(name, ())
            p.grad = None if skipped else tensor(GRADS[name][t])
        optimizer.step()
        if t >= BEFORE - 1:
            path.append({name: p.detach().numpy().copy() for name, p in params.items()})
        if t == BEFORE - 1:
            for number, entry in optimizer.state_dict()["state"].items():
                for key, x in entry.items():
                    arrays[f"state/{number}/{key}"] = x.numpy().copy()
    arrays |= {f"path/{name}": np.stack([x[name] for x in path]) for name in params}
    return arrays, {"param_groups": optimizer.state_dict()["param_groups"]}


def main():
    """Run all cases and write the file."""
    arrays = {f"start/{name}": x for name, x in START.items()}
    arrays |= {f"grads/{name}": x for name, x in GRADS.items()}
    meta = {"torch": torch.__version__, "names": list(SHAPES), "before": BEFORE, "cases": {}}
    for case, (kind, hyper, options) in CASES.items():
        own, meta["cases"][case] = run(kind, hyper, **options)
        arrays |= {f"{case}/{key}": x for key, x in own.items()}
    path = Path(__file__).with_name("torch_states.npz")
    np.savez_compressed(path, meta=json.dumps(meta), **arrays)
    print(f"{len(arrays)} arrays in {path.name}, {path.stat().st_size} bytes")


if __name__ == "__main__":
    main()
