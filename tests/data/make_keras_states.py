"""Write keras_states.npz: what Keras's own optimizers keep after 7 steps, and after 100 more.

    python -m pip install keras==3.15.1 jax
    KERAS_BACKEND=jax python tests/data/make_keras_states.py

The gradients are given, not functions of the parameters, and begin with a spike, so that the
maximum matters. Per case: `<case>/before/<i>` and `<case>/after/<i>`, the variables of the
optimizer as `save_own_variables` numbers them, and `<case>/path/<name>`, the parameters after step
7 and after some of the later steps; in the meta the names of the variables. The layers are not in
alphabetical order.
"""

import json
from pathlib import Path

import jax
import keras
import numpy as np

BEFORE, AFTER = 7, 100
KEPT = [0, 1, 2, 3, 10, 31, 100]  # steps after the seventh whose parameters are kept
SHAPES = {
    "net/two/kernel": (3, 2),
    "net/two/bias": (2,),
    "net/one/kernel": (2, 2),
    "net/one/bias": (2,),
}
HYPER = {"learning_rate": 0.01, "beta_1": 0.8, "beta_2": 0.95, "epsilon": 1e-6, "amsgrad": True}
RNG = np.random.default_rng(0)
START = {name: RNG.standard_normal(shape) for name, shape in SHAPES.items()}
GRADS = {name: RNG.standard_normal((BEFORE + AFTER, *shape)) for name, shape in SHAPES.items()}
for grads in GRADS.values():
    grads[1] *= 30

ADAM, DECAY = keras.optimizers.Adam, keras.optimizers.schedules.ExponentialDecay
CASES = {
    "adam": lambda: ADAM(**HYPER),
    "float32": lambda: ADAM(**HYPER),
    "schedule": lambda: ADAM(**HYPER | {"learning_rate": DECAY(0.01, 10, 0.9)}),
    "adamw": lambda: keras.optimizers.AdamW(**HYPER, weight_decay=0.1),
    "ema": lambda: ADAM(**HYPER, use_ema=True, ema_momentum=0.9),
    "no_maximum": lambda: ADAM(**HYPER | {"amsgrad": False}),
    "accumulating": lambda: ADAM(**HYPER, gradient_accumulation_steps=2),
    "loss_scale": lambda: keras.optimizers.LossScaleOptimizer(ADAM(**HYPER)),
    "sgd": lambda: keras.optimizers.SGD(0.1, momentum=0.9),
}
WITHOUT_STEPS = {"loss_scale"}  # Keras 3.15.1 cannot step it outside jit


def run(case, make):
    """The arrays and the names of one case."""
    keras.config.set_floatx("float32" if case == "float32" else "float64")
    layers = [keras.Input((3,)), *(keras.layers.Dense(2, name=name) for name in ("two", "one"))]
    model = keras.Sequential(layers, name="net")
    variables = {v.path: v for v in model.trainable_variables}
    assert list(variables) == list(SHAPES)
    for name, v in variables.items():
        v.assign(START[name])
    optimizer, arrays, path = make(), {}, []
    optimizer.build(list(variables.values()))

    def keep(when):
        own = {}
        optimizer.save_own_variables(own)
        arrays.update({f"{when}/{i}": x for i, x in own.items()})

    for t in range(BEFORE + AFTER):
        if case not in WITHOUT_STEPS:
            optimizer.apply([GRADS[name][t] for name in variables], list(variables.values()))
        if t - BEFORE + 1 in KEPT:
            path.append({name: np.asarray(v.value) for name, v in variables.items()})
        if t == BEFORE - 1:
            keep("before")
    keep("after")
    arrays |= {f"path/{name}": np.stack([x[name] for x in path]) for name in variables}
    return arrays, [v.name for v in optimizer.variables]


def main():
    """Run all cases and write the file."""
    jax.config.update("jax_enable_x64", True)
    arrays = {f"start/{name}": x for name, x in START.items()}
    arrays |= {f"grads/{name}": x for name, x in GRADS.items()}
    meta = {"keras": keras.__version__, "names": list(SHAPES), "before": BEFORE, "kept": KEPT}
    meta["variables"] = {}
    for case, make in CASES.items():
        own, meta["variables"][case] = run(case, make)
        arrays |= {f"{case}/{key}": x for key, x in own.items()}
    path = Path(__file__).with_name("keras_states.npz")
    np.savez_compressed(path, meta=json.dumps(meta), **arrays)
    print(f"{len(arrays)} arrays in {path.name}, {path.stat().st_size} bytes")


if __name__ == "__main__":
    main()
