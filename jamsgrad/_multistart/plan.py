"""What a result needs to search further: how its searches are made, and where starts come from."""

from typing import Any, NamedTuple

from jax.sharding import Mesh

from jamsgrad import _check
from jamsgrad._search.finish import Finish
from jamsgrad._search.task import Task
from jamsgrad._tree import PRNGKey

_STEPS = 50  # of each candidate, where only the number of candidates is said


class Screen(NamedTuple):
    """How starts are chosen: the best of so many candidates each, after so many steps."""

    n_candidates: int = 1
    n_steps: int = 0

    @property
    def screens(self) -> bool:
        """Whether there is a choice."""
        return self.n_candidates > 1


class Draws(NamedTuple):
    """Where further starts come from, each a function of the key and its own number."""

    key: PRNGKey
    method: str


class Plan(NamedTuple):
    """How each search is made.

    Attributes:
      task: what it minimises, with `fun` as it is searched.
      finish: what takes over at its end, as the caller asked for it.
      screen: how its start is chosen.
      lanes: how many searches step together on a device; None chooses.
      mesh: the devices, in a row; None for one, as after loading.
      draws: where further starts come from; None if there are no others.
    """

    task: Task
    finish: Finish = None
    screen: Screen = Screen()
    lanes: int | None = None
    mesh: Mesh | None = None
    draws: Draws | None = None


def as_screen(screen: Any) -> Screen:
    """What the argument `screen` of `multistart` means.

    Raises:
      TypeError: if it is neither a number of candidates nor a pair of them and of steps.
      ValueError: if one of these is out of its range.
    """
    if isinstance(screen, tuple):
        if len(screen) != 2:
            raise TypeError(
                f"screen must be a number of candidates, or (candidates, steps), got {screen!r}"
            )
        n_candidates, n_steps = screen
    else:
        n_candidates, n_steps = screen, _STEPS
    return Screen(
        _check.integer("screen", n_candidates, 1), _check.integer("the steps of screen", n_steps, 0)
    )
