"""What each trick for XLA gains: the same run with it and without it.

    python benchmarks/tricks.py [--quick] [--rounds 5] [TRICK ...]

A trick is switched off by replacing a name of its module before anything is compiled. Every figure
is the median over processes of their own, with and without in turns; in each, the fastest of five
calls after one that compiles. Seconds are CPU seconds of all threads, which count neither the time
that other programs take nor how many cores there are. `docs/developing.md` shows the table.
"""

import argparse
import json
import resource
import subprocess
import sys
import time
from collections.abc import Callable
from functools import cache, reduce
from itertools import pairwise
from types import SimpleNamespace

import jax
import jax.numpy as jnp
from _report import machine, median, median_ratio, table
from _step import compiled, leaves, repeated
from jax import lax
from jax.sharding import AxisType, NamedSharding, PartitionSpec

import jamsgrad
from jamsgrad import problems
from jamsgrad._jit import jit_for
from jamsgrad._multistart import devices, lanes
from jamsgrad._optimizer import algorithm, rounding
from jamsgrad._search import step, task
from jamsgrad._search.stopping import Status
from jamsgrad._tree import where

OPTIMIZER = jamsgrad.amsgrad(0.5, b2=0.99, convention="optax")

# -- what is measured; n is 1, or smaller in a quick run -------------------------------------------


def cpu_seconds(run: Callable[[], object]) -> float:
    """CPU seconds of the fastest of five calls, after one that compiles."""
    ticks = []
    for _ in range(6):
        run()
        ticks.append(time.process_time())
    return min(after - before for before, after in pairwise(ticks))


def search(problem: problems.Problem, n_starts: float, **stop) -> Callable[[], object]:
    """Searches from so many starts, as a function."""
    options = {"key": jax.random.key(0), "n_starts": int(n_starts), "finish": None, **stop}
    return lambda: jamsgrad.multistart(problem.fun, problem.bounds, OPTIMIZER, **options)


def valley(n, **stop):
    """CPU s, 8192 searches in Rosenbrock's valley."""
    return cpu_seconds(search(problems.rosenbrock(2), 8192 * n, gtol=1e-2, max_steps=5000, **stop))


def three_rules(n):
    """CPU s, 8192 searches in the valley with three tolerances."""
    return valley(n, ftol=0.0, xtol=0.0)


def ten(n):
    """CPU s, 4096 searches over ten variables."""
    return cpu_seconds(search(problems.rosenbrock(10), 4096 * n, gtol=1e-2, max_steps=1000))


def bowl(n):
    """CPU s, 2^17 searches of 100 steps without tolerances."""
    return cpu_seconds(search(problems.bowl, 2**17 * n, gtol=None, max_steps=100))


def bowl_of_many(n):
    """CPU s, 2^19 such searches."""
    return bowl(4 * n)


def memory(n):
    """GiB at most, a million starts of ten variables."""
    search(problems.sphere(10), 10**6 * n, gtol=1e-3, max_steps=100)()
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20


def steps(n):
    """CPU s, 20,000 steps of `minimize` over ten variables."""
    fun, x0 = problems.rosenbrock(10).fun, jnp.full(10, -1.0)
    options = {"max_steps": int(20e3 * n), "gtol": 1e-9}
    optimizer = jamsgrad.amsgrad(1e-3, b2=0.99)

    def run():
        return int(jamsgrad.minimize(fun, x0, optimizer, **options).n_steps)

    return cpu_seconds(run)


def update(n, moment_dtype=None):
    """CPU s, an update of 20 million float32 parameters."""
    params, grads = (jax.tree.map(jnp.asarray, leaves(int(20e6 * n), 1, seed)) for seed in (0, 1))
    init, run = compiled(jamsgrad.amsgrad(1e-3, moment_dtype=moment_dtype), params)
    return cpu_seconds(repeated(run, params, init(params), grads))


def update_bfloat16(n):
    """CPU s, an update of 20 million parameters with bfloat16 moments."""
    return update(n, "bfloat16")


def compiling(n):
    """CPU s, to trace and compile an update of 48 leaves with bfloat16 moments."""
    params = leaves(int(48e3 * n), int(48 * n), 0)
    began = time.process_time()
    compiled(jamsgrad.amsgrad(1e-3, moment_dtype="bfloat16"), params)
    return time.process_time() - began


def sharded(n):
    """MB of a moment on each of two devices."""
    mesh = jax.make_mesh((2,), ("data",), axis_types=(AxisType.Auto,))
    params = jnp.zeros((1000, int(1000 * n)), device=NamedSharding(mesh, PartitionSpec("data")))
    m = jax.jit(jamsgrad.scale_by_amsgrad().init)(params).m
    return max(shard.data.nbytes for shard in m.addressable_shards) / 1e6


# -- what stands where a trick was -----------------------------------------------------------------


def but(module, **changes):
    """The module with other functions."""
    return SimpleNamespace(**{**vars(module), **changes})


def maximum(a, b):
    """`jnp.maximum`, but of a number and a literal 0 the number."""
    return a if isinstance(b, int) and b == 0 else jnp.maximum(a, b)


def two_reductions(x, fun, projected):
    """`_grad_norm` as one would write it."""
    sizes = jax.tree.map(jnp.abs, projected)
    largest = reduce(jnp.maximum, map(jnp.max, jax.tree.leaves(sizes)))
    finite = (jnp.isfinite(leaf).all() for leaf in jax.tree.leaves((x, fun, projected)))
    return jnp.where(reduce(jnp.logical_and, finite), largest, jnp.nan).astype(fun.dtype)


def selected(stop, finite, small_gradient, worse, still, ended, out_of_steps):
    """`verdict` by `jnp.select`, with all three tolerances."""
    rules = {
        Status.NONFINITE: ~finite,
        Status.GTOL: small_gradient & ~worse,
        Status.FTOL: still.by_fun >= stop.patience,
        Status.XTOL: still.by_x >= stop.patience,
        Status.WORSE: out_of_steps & small_gradient,
        Status.STALLED: out_of_steps & (still.idle >= stop.patience),
        Status.MAX_STEPS: out_of_steps,
    }
    return jnp.select([*rules.values()], [*map(jnp.int32, rules)], jnp.int32(Status.STOPPED))


class Frozen(step.Search):
    """A search of which nothing changes in lanes once it has stopped."""

    def step(self, state):
        """Look and move."""
        after, point = super().step(state)
        frozen = where(self.running(after), after[:2], state[:2])
        return after._replace(x=frozen[0], opt_state=frozen[1]), point


def look_first(self, state, here, running):
    """`Search.advance` that looks, and then selects: moved on, or stopped."""
    state, here, point = self._look(state, running)
    stay = state.x, state.opt_state, state.still
    x, opt_state, still = where(self.running(state), self._move(state, here), stay)
    return state._replace(x=x, opt_state=opt_state, still=still), here, point


def keyed(x, seed):
    """`_dithered` with bits that JAX draws by a key."""
    bits = jax.random.bits(jax.random.key(seed), x.shape, jnp.uint16)
    return rounding._truncate(x, bits.astype(jnp.uint32))


def per_lane_engine(given, *args, engine=lanes.engine):
    """The engine that takes a task without tolerances for one with; its search still knows."""
    lanes.Search = lambda _: step.Search(given)
    return engine(given._replace(stop=given.stop._replace(gtol=0.0)), *args)


def per_lane_counts(function, starts, axes=lanes.batched_axes):
    """`batched_axes` that finds everything of the optimizer batched."""
    return axes(function, starts)._replace(opt_state=0)


def kept_queue(_):
    """`_compiled_advance` without donation, on CPU."""
    return jit_for(3, compiler_options=devices._WIDE_VECTORS)(devices._advance)


TRICKS = {  # what to measure, and what to put in the place of which name to be without the trick
    "lanes_last": ((valley, ten, bowl), (lanes, "_lanes_last", lambda lanes: lanes)),
    "freeze": ((valley, ten, bowl), (lanes, "Search", Frozen)),
    "wide_vectors": ((valley, ten, bowl), (devices, "_WIDE_VECTORS", {})),
    "unfused": ((ten,), (devices, "_UNFUSED", 2**30)),
    "together": ((bowl, bowl_of_many), (devices, "engine", per_lane_engine)),
    "batched_axes": ((bowl,), (lanes, "batched_axes", per_lane_counts)),
    "donated_queue": ((valley, memory), (devices, "_compiled_advance", cache(kept_queue))),
    "grad_norm": ((valley, ten, bowl), (task, "_grad_norm", two_reductions)),
    "verdict": ((three_rules,), (step, "verdict", selected)),
    "maximum": ((update, valley, bowl), (algorithm, "jnp", but(jnp, maximum=maximum))),
    "hash": ((update_bfloat16,), (rounding, "_dithered", jax.jit(keyed))),
    "seed": ((compiling,), (rounding, "lax", but(lax, div=lambda a, b: a))),
    "nested_jits": (
        (compiling,),
        (rounding, "_seed", rounding._seed.__wrapped__),
        (rounding, "_dithered", rounding._dithered.__wrapped__),
    ),
    "zeros_like": ((sharded,), (rounding, "zeros_like", lambda p, stored: jnp.zeros_like(p))),
    "move_first": ((steps,), (step.Search, "advance", look_first)),
}


def in_a_process(trick: str, measure: str, share: float, without: bool) -> float:
    """One figure, from a process of its own."""
    command = [sys.executable, __file__, trick, "--measure", measure, str(share)]
    command += ["--without"] * without
    return json.loads(subprocess.run(command, stdout=subprocess.PIPE, check=True).stdout)


def main(argv: list[str] | None = None) -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("tricks", nargs="*", metavar="TRICK", help=f"any of {', '.join(TRICKS)}")
    parser.add_argument("--rounds", type=int, default=5, help="processes with, and without, each")
    parser.add_argument("--quick", action="store_true", help="an eighth of the work, in one round")
    parser.add_argument("--measure", nargs=2, help=argparse.SUPPRESS)
    parser.add_argument("--without", action="store_true", help=argparse.SUPPRESS)
    args = parser.parse_args(argv)
    if unknown := {*args.tricks} - {*TRICKS}:
        parser.error(f"no trick {', '.join(sorted(unknown))}, only {', '.join(TRICKS)}")
    if args.measure:
        measure, share = globals()[args.measure[0]], float(args.measure[1])
        jax.config.update("jax_num_cpu_devices", 2 if measure is sharded else 1)
        for place in TRICKS[args.tricks[0]][1:] if args.without else ():
            setattr(*place)
        print(json.dumps(measure(share)))
        return

    rounds, share = (1, 1 / 8) if args.quick else (args.rounds, 1)
    rows = []
    for trick in args.tricks or TRICKS:
        for measure in TRICKS[trick][0]:
            figures = [
                [in_a_process(trick, measure.__name__, share, without) for without in (False, True)]
                for _ in range(rounds)
            ]
            has, lacks = zip(*figures, strict=True)
            ratio = f"{median_ratio(lacks, has):.2f}" if all(has) else ""
            medians = [f"{median(column):.3g}" for column in (has, lacks)]
            rows.append([trick, measure.__doc__.rstrip("."), *medians, ratio])
    print(f"{machine()}\n")
    print(table(["trick", "measured", "with", "without", "without / with"], rows))


if __name__ == "__main__":
    main()
