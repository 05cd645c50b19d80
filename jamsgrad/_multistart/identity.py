"""What a program is: a checkpoint belongs to the search that has the same identity."""

import hashlib
import re
from collections.abc import Iterator

import jax
import numpy as np

from jamsgrad._jit import Split, inner_programs
from jamsgrad._multistart.checkpoint import VERSION, Identity
from jamsgrad._multistart.devices import Program
from jamsgrad._search.step import Search
from jamsgrad._search.task import Point, Task
from jamsgrad._tree import Tree, without_keys

_FORMAT = "3"  # of what a checkpoint holds; another one cannot be read


def identity(program: Program) -> Identity:
    """The identity of the search that a program runs."""
    task, (mesh, n_lanes, _) = program.task, program.layout
    start = jax.tree.map(lambda leaf: leaf[0], program.starts)
    parts = Split.of(task[:2])

    def first_step(data: list, rest: tuple, x: Tree) -> Point:
        one = Search(Task(*parts.join(data), *rest))
        return one.step(one.init(x))[1]

    given = parts.data, task[2:], start
    traced = jax.make_jaxpr(first_step)(*given)
    text = re.sub("0x[0-9a-f]+", "", str(traced))  # addresses differ from process to process
    # A callback to the host is an address in the text, but the values at the start show it.
    point = jax.jit(first_step)(*given)
    values = f"{point.fun:.3g} {point.grad_norm:.3g}"  # another processor may round otherwise
    jax_version = jax.__version__
    return Identity(
        search={
            VERSION: _FORMAT,
            "fun or optimizer": _digest([values]),
            # Another version may write the same function otherwise, which then says nothing.
            f"fun or optimizer as JAX {jax_version} traces it": _digest(
                [text, *_constants(traced)]
            ),
            "key or starts": _digest(program.starts),
            "args": _digest((task.args, parts.data)),
            "bounds": _digest(task.bounds),
            "max_steps, a tolerance or patience": _digest(task.stop),
        },
        layout={
            "lanes": str(n_lanes),
            "the number of devices": str(mesh.size),
            "the version of JAX": jax_version,
        },
    )


def _constants(program: Tree) -> Iterator[Tree]:
    """The arrays that a program closes over, which are no part of its text."""
    yield from getattr(program, "consts", ())
    for equation in program.eqns:
        yield from (x.val for x in equation.invars if hasattr(x, "val"))
        for inner in inner_programs(equation):
            yield from _constants(inner)


def _digest(tree: Tree) -> str:
    """The same for the same numbers, strings and structure."""
    digest = hashlib.sha256(str(jax.tree.structure(tree)).encode())
    for leaf in map(np.asarray, jax.tree.leaves(without_keys(tree))):
        digest.update(f"{leaf.dtype}{leaf.shape}".encode() + leaf.tobytes())
    return digest.hexdigest()
