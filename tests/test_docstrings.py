"""Every public docstring is complete, and its example runs where it is pasted."""

import dataclasses
import doctest
import inspect
import io
import re
from pathlib import Path

import matplotlib.pyplot as plt
import pytest

import jamsgrad
from jamsgrad import interop, plots, problems, schedules

MODULES = (jamsgrad, schedules, interop, problems, plots)
RECORD = ("x", "fun", "grad_norm", "n_steps", "n_finish", "status", "aux")  # properties


def of_module(module):
    """The public functions and classes of a module, but not those that it imports."""
    for name, thing in inspect.getmembers(module):
        ours = (inspect.isfunction(thing) or inspect.isclass(thing)) and name[0] != "_"
        if ours and thing.__module__.startswith(module.__name__):
            yield f"{module.__name__}.{name}", thing


def methods(name, kind):
    for member in dir(kind):  # inherited ones, too
        method = getattr(kind, member, None)
        if member[0] == "_" or not (inspect.isfunction(method) or inspect.ismethod(method)):
            continue
        if method.__module__.startswith("jamsgrad"):
            yield f"{name}.{member}", method


TOP = dict(pair for module in MODULES for pair in of_module(module))
CLASSES = {name: thing for name, thing in TOP.items() if inspect.isclass(thing)}
METHODS = dict(pair for name, kind in CLASSES.items() for pair in methods(name, kind))
FUNCTIONS = METHODS | {name: thing for name, thing in TOP.items() if name not in CLASSES}
PUBLIC = {name: inspect.getdoc(thing) or "" for name, thing in (TOP | METHODS).items()}
EXAMPLES = {name: doctest.DocTestParser().get_examples(text) for name, text in PUBLIC.items()}


def entries(text, section):
    """The names that a section of a docstring explains, without the stars of `**stop`."""
    found = re.search(rf"^{section}:\n((?:  .*\n|\n)+)", f"{text}\n", re.MULTILINE)
    return re.findall(r"^  \**(\w+): ", found[1], re.MULTILINE) if found else []


def fields(kind):
    """The public fields, those of a record one by one."""
    names = getattr(kind, "_fields", ())
    if dataclasses.is_dataclass(kind):
        names = [field.name for field in dataclasses.fields(kind)]
    if "record" in names:
        at = names.index("record")
        names[at : at + 1] = [name for name in RECORD if hasattr(kind, name)]
    return [name for name in names if name[0] != "_"]


def test_the_public_objects_are_found():
    assert {"jamsgrad.minimize", "jamsgrad.MultiStartResult", "jamsgrad.problems.Problem"} <= {*TOP}
    assert {"jamsgrad.interop.to_torch", "jamsgrad.plots.path"} <= {*FUNCTIONS}
    assert {"jamsgrad.MultiStartResult.load", "jamsgrad.MultiStartResult.rerun"} <= {*METHODS}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_a_function_explains_its_arguments_and_what_comes_of_them(name):
    signature, text = inspect.signature(FUNCTIONS[name]), PUBLIC[name]
    arguments = [argument for argument in signature.parameters if argument != "self"]
    assert entries(text, "Args") == arguments
    assert ("\nReturns:\n" in text) == (signature.return_annotation not in (None, "None"))
    assert entries(text, "Raises") or not arguments
    assert "\nReferences:\n" in text or ".. math::" not in text


@pytest.mark.parametrize("name", CLASSES)
def test_a_class_explains_its_fields(name):
    assert entries(PUBLIC[name], "Attributes") == fields(CLASSES[name])


@pytest.mark.usefixtures("jax_of_a_reader")
@pytest.mark.parametrize("name", PUBLIC)
def test_an_example_needs_nothing_but_what_it_imports(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    examples = EXAMPLES[name]
    assert "\nExample:\n" in PUBLIC[name]
    assert examples
    source = "".join(example.source for example in examples)
    assert not re.search(r"jamsgrad\._|import _", source)
    report = io.StringIO()
    runner = doctest.DocTestRunner(optionflags=doctest.NORMALIZE_WHITESPACE)
    runner.run(doctest.DocTest(examples, {}, name, None, 0, PUBLIC[name]), out=report.write)
    plt.close("all")
    assert not runner.failures, report.getvalue()


def test_no_example_is_left_out():
    files = Path(jamsgrad.__file__).parent.rglob("*.py")
    written = sum(len(re.findall(r"^ *>>> ", file.read_text(), re.MULTILINE)) for file in files)
    assert sum(map(len, EXAMPLES.values())) == written
