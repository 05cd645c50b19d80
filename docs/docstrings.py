"""Make the docstrings, written for the terminal, Markdown for mkdocstrings."""

import importlib
import inspect
import re
import sys
from pathlib import Path
from textwrap import dedent
from typing import Any

import griffe
import numpy as np


class Markdown(griffe.Extension):
    """Equations become `$$`, examples code, references a paragraph."""

    def on_object(self, *, obj: griffe.Object, **kwargs: Any) -> None:
        """Rewrite the docstring of an object before it is parsed."""
        if obj.docstring:
            obj.docstring.value = to_markdown(obj.docstring.value)

    def on_module(self, *, mod: griffe.Module, **kwargs: Any) -> None:
        """Show a decorated function as what its decorator makes of it, with that docstring."""
        decorated = [function for function in mod.functions.values() if function.decorators]
        if not decorated or not mod.path.startswith("jamsgrad.problems."):
            return
        inspected = griffe.inspect(
            mod.name, filepath=mod.filepath, import_paths=map(Path, sys.path), parent=mod.parent
        )
        for function in decorated:
            made = getattr(importlib.import_module(mod.path), function.name)
            shown = inspected[function.name]
            shown.docstring = function.docstring
            if isinstance(shown, griffe.Attribute):
                shown.annotation, shown.value = type(made).__name__, None
                shown.docstring.value += f"\n\n{_facts(made)}"
            else:
                shown.docstring.value = inspect.getdoc(made)
            if not hasattr(made, "gradient"):  # docs/hooks.py draws it
                picture = f"![Contours](../images/problems/{function.name}.png)"
                first, _, rest = shown.docstring.value.partition("\n\n")
                shown.docstring.value = f"{first}\n\n{picture}\n\n{rest}"
            shown.docstring.parent = shown
            mod.set_member(function.name, shown)


def to_markdown(docstring: str) -> str:
    """The docstring with the names and signs that griffe and Markdown know."""
    docstring = re.sub(r"^\.\. math::(.*(?:\n(?:  .*)?)*)", _equation, docstring, flags=re.M)
    docstring = re.sub(r":math:`([^`]*)`", r"$\1$", docstring)
    docstring = re.sub(r"^Example:$", "Examples:", docstring, flags=re.M)
    return re.sub(r"^References:\n((?:  .*\n?)+)", _references, docstring, flags=re.M)


def _facts(problem: Any) -> str:
    """What a problem states of itself; families say it in docstrings of their own."""
    low, high = np.atleast_1d(*problem.bounds)
    box = " x ".join(f"[{a:g}, {b:g}]" for a, b in zip(low, high, strict=True))
    if hasattr(problem, "gradient"):
        mean = f"the mean gradient is {problem.expected_gradient:.5g}"
        known = f"On {box} the best x is {problem.minimizer:g}, and {mean}."
    else:
        points = ", ".join(f"({x0:.5g}, {x1:.5g})" for x0, x1 in problem.minimizers)
        known = f"The box is {box}, the minimum {problem.minimum:.5g} at {points}."
    return f"{known}\n\nReferences:\n  {problem.source}.\n"


def _equation(match: re.Match) -> str:
    maths = dedent(match[1]).strip()
    if "&" in maths:
        maths = f"\\begin{{aligned}}\n{maths}\n\\end{{aligned}}"
    return f"\n$$\n{maths}\n$$\n\n"


def _references(match: re.Match) -> str:
    return f"**References:**\n\n{dedent(match[1])}"
