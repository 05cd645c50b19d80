"""What type checkers know of an optimizer's state, which optax's own types leave open."""

# Optax has no stubs. The type of a NamedTuple's field must not be narrowed, as it could be set:
# nobody sets it.
# pyright: reportMissingTypeStubs=false, reportIncompatibleVariableOverride=false

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Generic, TypeVar

import optax

from jamsgrad._tree import Tree

S = TypeVar("S")

if TYPE_CHECKING:

    class Optimizer(optax.GradientTransformationExtraArgs, Generic[S]):
        """An optimizer whose `init` and `update` give a state of type S."""

        init: Callable[[Tree], S]
        update: Callable[..., tuple[Tree, S]]

else:

    class Optimizer:
        """At run time it is optax's own."""

        def __class_getitem__(cls, _: Any) -> Any:
            return optax.GradientTransformationExtraArgs
