"""Many searches as a queue served by lanes: the bowl and Himmelblau from 100,000 starts.

    python examples/multistart.py [--starts 100000] [--resolution 256] [--devices 2] [--out figures]

Prints for each function which minima were found, how often, and how sure that is; then the same
for Himmelblau's from a grid of starts, and draws which of them leads where, and the values found.
Its four minima are all 0: they are numbered by their x.
"""

import argparse
from pathlib import Path

import jax
import matplotlib.pyplot as plt

import jamsgrad
from jamsgrad import plots, problems


def main(argv=None):
    """Search both functions and draw the one with several minima."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--starts", type=int, default=100_000)
    parser.add_argument("--resolution", type=int, default=256, help="of the grid of starts")
    parser.add_argument(
        "--devices", type=int, default=2, help="CPU devices, best one for each core"
    )
    parser.add_argument("--out", type=Path, default=Path("figures"), help="folder of the picture")
    args = parser.parse_args(argv)

    jax.config.update("jax_num_cpu_devices", args.devices)
    options = {
        "optimizer": jamsgrad.amsgrad(0.3, b2=0.99),
        "gtol": 1e-3,
        "mesh": jax.make_mesh((jax.device_count(),), ("starts",)),
    }
    for problem in (problems.bowl, problems.himmelblau):
        result = jamsgrad.multistart(
            problem.fun, problem.bounds, key=jax.random.key(0), n_starts=args.starts, **options
        )
        print(f"{problem.name}: {result}\n")
    basin_map = jamsgrad.basin_map(
        problem.fun, problem.bounds, resolution=args.resolution, **options
    )
    print(f"{problem.name}, {basin_map}\n")

    args.out.mkdir(parents=True, exist_ok=True)
    figure, (left, right) = plt.subplots(1, 2, figsize=(12, 4.8), layout="constrained")
    plots.basins(basin_map, left).set_title("which start leads to which minimum")
    plots.waterfall(basin_map.result, right, minimum=problem.minimum).set_title("values found")
    figure.savefig(args.out / "multistart.png", dpi=120)
    plt.close(figure)
    print(f"wrote {args.out / 'multistart.png'}")


if __name__ == "__main__":
    main()
