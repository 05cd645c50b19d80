"""Make the docstrings, written for the terminal, Markdown for mkdocstrings."""

import importlib
import inspect
import re
import sys
from pathlib import Path
from textwrap import dedent
from typing import Any

import griffe


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
            if isinstance(shown, griffe.Attribute):
                shown.annotation, shown.value = type(made).__name__, None
                made = made[1]  # the function in the problem
            shown.docstring = function.docstring
            shown.docstring.value = inspect.getdoc(made)
            shown.docstring.parent = shown
            mod.set_member(function.name, shown)


def to_markdown(docstring: str) -> str:
    """The docstring with the names and signs that griffe and Markdown know."""
    docstring = re.sub(r"^\.\. math::(.*(?:\n(?:  .*)?)*)", _equation, docstring, flags=re.M)
    docstring = re.sub(r"^Example:$", "Examples:", docstring, flags=re.M)
    return re.sub(r"^References:\n((?:  .*\n?)+)", _references, docstring, flags=re.M)


def _equation(match: re.Match) -> str:
    maths = dedent(match[1]).strip()
    if "&" in maths:
        maths = f"\\begin{{aligned}}\n{maths}\n\\end{{aligned}}"
    return f"\n$$\n{maths}\n$$\n\n"


def _references(match: re.Match) -> str:
    return f"**References:**\n\n{dedent(match[1])}"
