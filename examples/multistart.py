"""Many searches as a queue served by lanes: the bowl and Himmelblau from 100,000 starts.

    python examples/multistart.py [--starts 100000] [--devices 2] [--out figures]

Prints for each function which minima were found, how often, and how sure that is; draws where the
starts of Himmelblau's function ended, and the values in order.
"""

import argparse
from pathlib import Path

import jax
import matplotlib.pyplot as plt
import numpy as np

import jamsgrad
from jamsgrad import problems

COLOURS = np.array(["#0072b2", "#e69f00", "#009e73", "#cc79a7"])


def draw(problem, result):
    """Starts in the colour of the minimum that they led to, and all values in order."""
    figure, (left, right) = plt.subplots(1, 2, figsize=(10, 4.5), layout="constrained")
    found = np.array([minimum.x for minimum in result.minima])
    ends, starts = np.asarray(result.x), np.asarray(result.starts)
    nearest = np.linalg.norm(ends[:, None] - found, axis=-1).argmin(axis=1)
    shown = np.arange(min(20_000, len(starts)))  # more dots would only hide each other
    left.scatter(*starts[shown].T, c=COLOURS[nearest[shown]], s=2, linewidths=0, rasterized=True)
    left.plot(*found.T, "*", color="white", markeredgecolor="black", markersize=16)
    left.set(xlabel="$x_0$", ylabel="$x_1$", title="which start leads to which minimum")
    left.set_aspect("equal")
    right.plot(np.sort(np.asarray(result.fun)), color=COLOURS[0])
    right.set(xlabel="searches, best first", ylabel="$f(x)$", yscale="log", title=problem.name)
    return figure


def main(argv=None):
    """Search both functions and draw the one with several minima."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--starts", type=int, default=100_000)
    parser.add_argument("--devices", type=int, default=2, help="on a CPU one for each core is best")
    parser.add_argument("--out", type=Path, default=Path("figures"), help="folder of the picture")
    args = parser.parse_args(argv)

    jax.config.update("jax_num_cpu_devices", args.devices)
    mesh = jax.make_mesh((args.devices,), ("starts",))
    optimizer = jamsgrad.amsgrad(0.3, b2=0.99)
    for problem in (problems.bowl, problems.himmelblau):
        result = jamsgrad.multistart(
            problem.fun,
            problem.bounds,
            optimizer,
            key=jax.random.key(0),
            n_starts=args.starts,
            gtol=1e-3,
            mesh=mesh,
        )
        print(f"{problem.name}: {result}\n")

    args.out.mkdir(parents=True, exist_ok=True)
    figure = draw(problem, result)
    figure.savefig(args.out / "multistart.png", dpi=120)
    plt.close(figure)
    print(f"wrote {args.out / 'multistart.png'}")


if __name__ == "__main__":
    main()
