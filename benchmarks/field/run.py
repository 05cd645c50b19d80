"""The field: public suites, the solvers people would pick, and this library beside them.

    python benchmarks/field/run.py [--quick] [--out docs/field.md] [PART ...]

measures each part, or those named. Every solver has a process of its own, and as many run at once
as there are cores, unless the part reads the clock. What was measured goes to
`benchmarks/field/measured/PART.json`, the tables to the part's markers on the page, and its figure
to `images/field_PART.png` beside it. `--resume` keeps what that file has already. The extra `field`
brings the suites and the solvers; a solver whose library is missing is left out.
"""

import argparse
import datetime
import importlib
import importlib.metadata
import json
import math
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from _report import cpus, machine
from run import replaced, section, sections  # of the folder above

HERE = Path(__file__).parent
PARTS = ("cutest", "bbob", "nist", "starts", "training")
SUITES = ("cutest", "bbob", "nist")  # in float64
MEASURED = HERE / "measured"
PAGE = "# The field\n"
TIMED = ("cutest", "starts")  # as users compile
ALONE = ("starts",)  # its seconds are those of a clock
# Steps are few and programs many: most of the time would go into making them fast.
QUICK_TO_COMPILE = "--xla_backend_optimization_level=0 --xla_llvm_disable_expensive_passes=true"


def in_a_process(part: str, solvers: list[str], quick: bool) -> dict[str, dict]:
    """What these solvers measured: their rows, None if their library is not installed."""
    command = [sys.executable, __file__, part, *["--quick"][: int(quick)], "--measure", *solvers]
    flags = f"{os.environ.get('XLA_FLAGS', '')} {QUICK_TO_COMPILE}"
    env = os.environ | ({"JAX_ENABLE_X64": "1"} if part in SUITES else {})
    env |= {"XLA_FLAGS": flags} if quick or part not in TIMED else {}
    ran = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True, env=env)
    return json.loads(ran.stdout.splitlines()[-1])


def cpu_seconds() -> float:
    """Those of this process and of its children that have ended."""
    return sum(os.times()[:4])


def measure(part: str, solvers: list[str], quick: bool) -> dict[str, dict]:
    """The same in this process."""
    found = {}
    for solver in solvers:
        began = cpu_seconds()
        try:
            rows = importlib.import_module(part).measure(solver, quick)
        except ModuleNotFoundError as error:
            print(f"{part}: {solver} is left out: {error}", file=sys.stderr)
            rows = None
        found[solver] = {"cpu_seconds": round(cpu_seconds() - began, 1), "rows": rows}
    return found


def commit() -> str:
    """The version of the code, marked if files differ from it."""
    command = ["git", "describe", "--always", "--dirty", "--exclude=*"]
    ran = subprocess.run(command, cwd=HERE, capture_output=True, text=True, check=False)
    return ran.stdout.strip() or importlib.metadata.version("jamsgrad")


def measured(part: str, chosen: list[str], quick: bool, resume: bool, folder: Path) -> dict:
    """What all solvers of a part measured, by name; written to its file as soon as it is there."""
    file = folder / f"{part}.json"
    found = json.loads(file.read_text()) if resume and file.exists() else {}
    order = list(importlib.import_module(part).SOLVERS)
    left = [solver for solver in chosen or order if solver in order and solver not in found]
    about = {"commit": commit(), "date": str(datetime.date.today()), "machine": machine()}
    folder.mkdir(parents=True, exist_ok=True)
    n_cores = cpus()
    n_processes = n_cores if quick else len(left)
    ways = [own for k in range(n_processes) if (own := left[k::n_processes])]
    at_once = 1 if part in ALONE and not quick else n_cores
    with ThreadPoolExecutor(at_once) as pool:
        ran = [pool.submit(in_a_process, part, solvers, quick) for solvers in ways]
        for done in as_completed(ran):
            for solver, run in done.result().items():
                if run["rows"] is not None:
                    found[solver] = {**about, "quick": quick, **run}
            found = {solver: found[solver] for solver in order if solver in found}
            lines = [f"{json.dumps(solver)}: {json.dumps(run)}" for solver, run in found.items()]
            file.write_text("{\n" + ",\n".join(lines) + "\n}\n")
    return found


def tables(part: str, found: dict) -> str:
    """What stands between the part's markers."""
    results = {solver: run["rows"] for solver, run in found.items()}
    seconds = math.fsum(run["cpu_seconds"] for run in found.values())  # sum changed in Python 3.12
    of = [sorted({run[key] for run in found.values()}) for key in ("machine", "commit", "date")]
    how = "; ".join(", ".join(values) for values in of)
    quick = ", a quick run" if any(run["quick"] for run in found.values()) else ""
    return f"{how}; {seconds:.0f} CPU s{quick}\n\n{importlib.import_module(part).report(results)}\n"


def draw(part: str, found: dict, folder: Path) -> None:
    """The part's figure, if it has one."""
    module = importlib.import_module(part)
    if hasattr(module, "costs"):
        from _figures import draw

        results = {solver: run["rows"] for solver, run in found.items()}
        draw(module.costs(results), module.COST, folder / f"field_{part}.png")


def main(argv: list[str] | None = None) -> None:
    """Measure, and write the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"any of {', '.join(PARTS)}")
    parser.add_argument("--quick", action="store_true", help="two minutes, to see that all runs")
    parser.add_argument("--out", type=Path, default=Path("field.md"), help="the page")
    parser.add_argument("--resume", action="store_true", help="keep what is measured already")
    parser.add_argument("--measured", type=Path, default=MEASURED, help="the folder of the figures")
    parser.add_argument("--solver", action="append", default=[], help="only this one, or these")
    parser.add_argument("--measure", nargs="+", help=argparse.SUPPRESS)
    args = parser.parse_args(argv)
    if unknown := {*args.parts} - {*PARTS}:
        parser.error(f"no part {', '.join(sorted(unknown))}, only {', '.join(PARTS)}")
    if args.measure:
        print(json.dumps(measure(args.parts[0], args.measure, args.quick)))
        return

    page = args.out.read_text() if args.out.exists() else PAGE
    for part in args.parts or PARTS:
        found = measured(part, args.solver, args.quick, args.resume, args.measured)
        body = tables(part, found)
        if part not in sections(page):
            page += f"\n## {part}\n\n{section(part, '')}\n"
        new = sections(page) | {part: body}
        page = replaced(page, "\n".join(section(name, text) for name, text in new.items()))
        args.out.write_text(page)  # a failure leaves the rest
        draw(part, found, args.out.parent / "images")


if __name__ == "__main__":
    main()
