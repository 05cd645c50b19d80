"""What a program is: a checkpoint belongs to the search that has the same identity."""

import hashlib
import re
from collections.abc import Callable, Iterator, Mapping
from typing import NamedTuple

import jax
import numpy as np

from jamsgrad._jit import Split, inner_programs
from jamsgrad._multistart.devices import Program
from jamsgrad._multistart.plan import Screen
from jamsgrad._search.step import Search
from jamsgrad._search.task import Point, Task
from jamsgrad._tree import Tree, without_keys

VERSION = "the version of jamsgrad"
N_STARTS = "the number of starts"
_FORMAT = "3"  # of what a checkpoint holds; another one cannot be read


class Identity(NamedTuple):
    """Whose a checkpoint is.

    Attributes:
      search: what it must share with the program that loads it, part by part.
      layout: what it must share for the searches under way to go on bit for bit. Those that have
        ended are kept in any case.
    """

    search: dict[str, str]
    layout: dict[str, str]

    def differs(self, saved: Mapping[str, Mapping[str, str]]) -> list[str]:
        """The parts in which a saved identity is of another search."""
        other = saved.get("search", {VERSION: "one that had no such part"})
        return [name for name, mine in self.search.items() if other.get(name, mine) != mine]


def identity(program: Program, candidates: Tree, screen: Screen) -> Callable[[int], Identity]:
    """The identity of the search that a program runs, or that of its first n starts alone.

    Starts that were chosen are known by their candidates, because these lead to points that may
    differ by rounding.
    """
    task, (mesh, n_lanes, _) = program.task, program.layout
    start = jax.tree.map(lambda leaf: leaf[0], candidates)
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
    search = {
        VERSION: _FORMAT,
        "fun or optimizer": _digest([values]),
        # Another version may write the same function otherwise, which then says nothing.
        f"fun or optimizer as JAX {jax_version} traces it": _digest([text, *_constants(traced)]),
        "args": _digest((task.args, parts.data)),
        "bounds": _digest(task.bounds),
        "max_steps, a tolerance or patience": _digest(task.stop),
        "screen": _digest(screen),
    }
    layout = {
        "lanes": str(n_lanes),
        "the number of devices": str(mesh.size),
        "the version of JAX": jax_version,
    }

    def of_first(n: int) -> Identity:
        some = jax.tree.map(lambda leaf: leaf[: n * screen.n_candidates], candidates)
        return Identity(search | {"key or starts": _digest(some)}, layout | {N_STARTS: str(n)})

    return of_first


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
