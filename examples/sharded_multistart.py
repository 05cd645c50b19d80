"""One search on eight devices, or on two processes as on two hosts, with the same bits.

    python examples/sharded_multistart.py [--processes 2] [--devices 8] [--starts 20000]

Every process runs this same script. On real hosts start it once on each, with the same address:

    python sharded_multistart.py --processes 2 --process 0 --coordinator 10.0.0.1:1234
    python sharded_multistart.py --processes 2 --process 1 --coordinator 10.0.0.1:1234
"""

import argparse
import hashlib
import socket
import subprocess
import sys
from pathlib import Path

import jax

import jamsgrad
from jamsgrad import problems


def search(args):
    """What every process does: the same call, on all devices of all processes."""
    jax.config.update("jax_platforms", "cpu")
    jax.config.update("jax_num_cpu_devices", args.devices // args.processes)
    if args.processes > 1:
        jax.config.update("jax_cpu_collectives_implementation", "gloo")
        jax.distributed.initialize(args.coordinator, args.processes, args.process)

    problem = problems.styblinski_tang(4)
    result = jamsgrad.multistart(
        problem.fun,
        problem.bounds,
        jamsgrad.amsgrad(0.3, b2=0.99),
        key=jax.random.key(0),
        n_starts=args.starts,
        gtol=1e-3,
        mesh=jax.make_mesh((jax.device_count(),), ("starts",)),
    )
    if jax.process_index() == 0:
        args.out.mkdir(parents=True, exist_ok=True)
        result.save(args.out / "sharded_multistart.npz")
        print(f"{jax.process_count()} processes, {jax.device_count()} devices\n{result}")
        print(f"x of all starts has the SHA-256 {hashlib.sha256(result.x.tobytes()).hexdigest()}")


def on_this_machine(processes, argv):
    """Start the processes here, all with the same arguments; wait until they have ended."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
    command = [sys.executable, __file__, *argv]
    started = [
        subprocess.Popen([*command, "--coordinator", address, "--process", str(i)])
        for i in range(processes)
    ]
    if max(process.wait() for process in started) != 0:
        sys.exit("a process failed")


def main(argv=None):
    """Search here, or start the processes that do."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--processes", type=int, default=1)
    parser.add_argument("--process", type=int, help="the number of this one, from 0")
    parser.add_argument("--coordinator", help="address and port of process 0")
    parser.add_argument("--devices", type=int, default=8, help="simulated CPU devices, in all")
    parser.add_argument("--starts", type=int, default=20_000)
    parser.add_argument("--out", type=Path, default=Path("results"), help="folder of the result")
    args = parser.parse_args(argv)
    if args.processes > 1 and args.process is None:
        on_this_machine(args.processes, sys.argv[1:] if argv is None else argv)
    else:
        search(args)


if __name__ == "__main__":
    main()
