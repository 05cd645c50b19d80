"""Pictures that the build of the site makes: contours of each problem, and those of the gallery."""

import ast
import os
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

from mkdocs.structure.files import File, Files

ROOT = Path(__file__).parents[1]


class Example(NamedTuple):
    """An example's picture: one of docs/images, one that the build makes, or none."""

    picture: str | None
    arguments: str | None = None  # with which the build runs it; None where it does not


GALLERY = {
    "bowl.py": Example("images/path.png"),
    "adam_fails.py": Example("images/adam_fails.png"),
    "conventions.py": Example("images/conventions.png"),
    "rosenbrock.py": Example("search.gif", "--frames 12"),
    "multistart.py": Example("images/multistart.png"),
    "vmap_bowl.py": Example("vmap_bowl.png", "--starts 10000"),
    "tune_learning_rate.py": Example("tune_learning_rate.png", ""),
    "fit_model.py": Example("fit_model.png", "--starts 300 --devices 1"),
    "fit_ode.py": Example("images/fit_ode.png"),
    "nist.py": Example(None),
    "train_digits.py": Example(None),
    "train_potential.py": Example("images/train_potential.png"),
    "from_pytorch.py": Example("images/from_pytorch.png"),
    "sharded_multistart.py": Example(None),
    "sharded_training.py": Example(None),
}


def on_files(files: Files, config: Any) -> Files:
    """Add the pictures to the files of the site."""
    for uri, path in pictures().items():
        files.append(File.generated(config, uri, abs_src_path=str(path)))
    return files


def on_page_markdown(markdown: str, page: Any, **kwargs: Any) -> str:
    """Write the gallery, from the examples themselves."""
    if page.file.src_uri != "gallery.md":
        return markdown
    return "\n".join([markdown, *(entry(name) for name in GALLERY)])


def entry(name: str) -> str:
    """An example's headline, its picture and its code."""
    code = (ROOT / "examples" / name).read_text()
    headline = (ast.get_docstring(ast.parse(code)) or name).splitlines()[0]
    title, _, rest = headline.rstrip(".").partition(": ")
    lines = [f"## {title}", "", f"{rest[:1].upper()}{rest[1:]}." if rest else "", ""]
    if (picture := GALLERY[name].picture) is not None:
        uri = picture if GALLERY[name].arguments is None else f"images/gallery/{picture}"
        lines += [f"![{headline}]({uri})", ""]
    quoted = "\n".join(f"    {line}".rstrip() for line in code.splitlines())
    fenced = f"    ```python\n{quoted}\n    ```\n"
    return "\n".join([*lines, f'??? example "examples/{name}"', "", fenced])


@cache  # `mkdocs serve` builds again and again
def pictures() -> dict[str, Path]:
    """The pictures by where they are on the site."""
    folder = Path(tempfile.mkdtemp(prefix="jamsgrad-site-"))
    drawn = {name: row.arguments for name, row in GALLERY.items() if row.arguments is not None}
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        runs = [pool.submit(run, name, args, folder) for name, args in drawn.items()]
        found = {f"images/problems/{path.name}": path for path in contours(folder / "problems")}
        for done in runs:
            done.result()
    for name in drawn:
        found[f"images/gallery/{GALLERY[name].picture}"] = folder / str(GALLERY[name].picture)
    return found


def run(name: str, arguments: str, folder: Path) -> None:
    """Run an example, as its own docstring says."""
    command = [sys.executable, ROOT / "examples" / name, *arguments.split(), "--out", folder]
    subprocess.run(command, check=True, capture_output=True, env=os.environ | {"MPLBACKEND": "agg"})


def contours(folder: Path) -> list[Path]:
    """A contour picture of each problem of two variables."""
    import matplotlib as mpl  # noqa: PLC0415  the backend comes first

    mpl.use("agg")
    import matplotlib.pyplot as plt  # noqa: PLC0415

    from jamsgrad import plots, problems  # noqa: PLC0415

    folder.mkdir()
    paths = []
    for problem in problems.all_problems(2):
        _, ax = plt.subplots(figsize=(5, 4), layout="constrained")
        plots.contour(problem, ax)
        paths.append(folder / f"{problem.name}.png")
        ax.figure.savefig(paths[-1], dpi=100)
        plt.close(ax.figure)
    return paths
