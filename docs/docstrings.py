"""Make the docstrings, written for the terminal, Markdown for mkdocstrings."""

import re
from textwrap import dedent
from typing import Any

import griffe


class Markdown(griffe.Extension):
    """Equations become `$$`, examples code, references a paragraph."""

    def on_object(self, *, obj: griffe.Object, **kwargs: Any) -> None:
        """Rewrite the docstring of an object before it is parsed."""
        if obj.docstring:
            obj.docstring.value = to_markdown(obj.docstring.value)


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
