"""Every benchmark in one go: one Markdown report.

    python benchmarks/run.py [--quick] [--out report.md] [NAME ...]

runs each benchmark in a process of its own and writes what it prints into the report, between
`<!-- benchmark: NAME -->` and `<!-- /benchmark -->`. With names it runs only those, and the report
keeps its other chapters. `docs/benchmarks.md` is such a report.
"""

import argparse
import ast
import datetime
import importlib.metadata
import re
import subprocess
import sys
import time
from pathlib import Path

HERE = Path(__file__).parent
BENCHMARKS = {  # name: arguments, and those of a quick run
    "update": ([], ["--millions", "2", "--rounds", "3"]),
    "memory": ([], ["--millions", "2", "--rounds", "3"]),
    "precision": ([], ["--quick", "--seeds", "2"]),
    "convergence": ([], ["--rounds", "1"]),
    "multistart": (["--rounds", "1"], ["--rounds", "1", "--quick"]),
    "startup": ([], ["--quick"]),
}
SECTION = re.compile(r"<!-- benchmark: (\S+) -->\n(.*?)<!-- /benchmark -->", re.DOTALL)
MARKER = re.compile(r"<!-- (?:benchmark: (\S+)|(/)benchmark) -->")


def section(name: str, body: str) -> str:
    """`body` between the markers of benchmark `name`."""
    return f"<!-- benchmark: {name} -->\n{body}<!-- /benchmark -->"


def sections(text: str) -> dict[str, str]:
    """What stands between the markers of each benchmark in `text`.

    Raises:
      ValueError: if a marker lacks its partner, or a benchmark is marked twice.
    """
    found = dict(SECTION.findall(text))
    markers = [name or end for name, end in MARKER.findall(text)]
    if markers != [marker for name in found for marker in (name, "/")]:
        raise ValueError(f"each benchmark must open once and then close, got markers {markers}")
    return found


def replaced(text: str, report: str) -> str:
    """`text` with each of its marked sections replaced by the report's; all else as it was.

    Raises:
      ValueError: if the report lacks a benchmark that is marked in `text`.
    """
    new = sections(report)
    unknown = sorted(set(sections(text)) - set(new))
    if unknown:
        raise ValueError(f"no benchmark {', '.join(unknown)} in the report, only {', '.join(new)}")
    return SECTION.sub(lambda match: section(match[1], new[match[1]]), text)


def about(name: str) -> str:
    """What the benchmark says of itself, but for how to run it."""
    title, _, *rest = ast.get_docstring(ast.parse((HERE / f"{name}.py").read_text())).split("\n\n")
    return "\n\n".join([title, *rest])


def run(name: str, args: list[str]) -> str:
    """Run a benchmark; its chapter of the report."""
    began = time.perf_counter()
    command = [sys.executable, HERE / f"{name}.py", *args]
    printed = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout
    ran = " ".join(["python", f"benchmarks/{name}.py", *args])
    version, today = importlib.metadata.version("jamsgrad"), datetime.date.today()
    how = f"`{ran}`, jamsgrad {version}, {today}, {time.perf_counter() - began:.0f} s"
    return f"## {name}\n\n{about(name)}\n\n{how}\n\n{section(name, printed)}\n"


def chapters(report: str) -> dict[str, str]:
    """The chapters of a report by their benchmarks."""
    found = re.split(r"^## (\w+)\n", report, flags=re.MULTILINE)
    names, bodies = found[1::2], found[2::2]
    return {n: f"## {n}\n\n{body.strip()}\n" for n, body in zip(names, bodies, strict=True)}


def main(argv: list[str] | None = None) -> None:
    """Write the report."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"any of {', '.join(BENCHMARKS)}")
    parser.add_argument("--quick", action="store_true", help="two minutes, to see that all runs")
    parser.add_argument("--out", type=Path, default=Path("report.md"), help="the report")
    args = parser.parse_args(argv)
    if unknown := {*args.names} - {*BENCHMARKS}:
        parser.error(f"no benchmark {', '.join(sorted(unknown))}, only {', '.join(BENCHMARKS)}")

    began = time.perf_counter()
    found = chapters(args.out.read_text()) if args.names else {}
    for name in args.names or BENCHMARKS:
        full, quick = BENCHMARKS[name]
        found[name] = run(name, quick if args.quick else full)
        ordered = [found[n] for n in BENCHMARKS if n in found]
        args.out.write_text("\n".join(["# Benchmarks\n", *ordered]))  # a failure leaves the rest
    print(f"{args.out}: {time.perf_counter() - began:.0f} s")


if __name__ == "__main__":
    main()
