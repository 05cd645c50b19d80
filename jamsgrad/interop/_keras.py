"""The state of Keras 3's Adam and AdamW, from and to its variables, read without Keras and h5py."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Literal, NamedTuple

import jax
import numpy as np

from jamsgrad import _check
from jamsgrad._optimizer.algorithm import ScaleByAmsgradState
from jamsgrad._tree import Tree
from jamsgrad.interop import _states
from jamsgrad.interop._by_name import Library, to_numpy

_KERAS = Library(
    name="Keras",
    source="variables",
    names="[v.path for v in model.trainable_variables]",
    moments={"m": "momentum", "v": "velocity", "vhat": "velocity_hat"},
    convention="keras",
    of_complex="Keras has no AMSGrad of complex parameters",
)
_M, _V, _VHAT = _KERAS.moments.values()
_KINDS = (_M, _V, _VHAT, "gradient_accumulator", "average")  # of which each parameter has one


def from_keras(
    variables: Iterable[Any] | Mapping[str, Any],
    like: Tree,
    b1: float = 0.9,
    b2: float = 0.999,
    *,
    names: Iterable[str] | None = None,
    to_params: Callable[[dict[str, np.ndarray]], Tree] | None = None,
    missing_max: Literal["velocity"] | None = None,
) -> Tree:
    r"""Go on from the state of Keras 3's `Adam(amsgrad=True)` or `AdamW(amsgrad=True)`.

    .. math::
      m &= \text{momentum}, & v &= \text{velocity}, & \hat v &= \text{velocity\_hat}, \\
      t &= \text{iteration}, & c_1 &= 1 - \beta_1^t, & c_2 &= 1 - \beta_2^t

    The optimizer that goes on needs `convention="keras"` and Keras's own hyperparameters: b1 and b2
    are Keras's beta_1 and beta_2. Arrays and leaves are matched by name, as in `from_torch`.

    Args:
      variables: `optimizer.variables`; or what `optimizer.save_own_variables(mapping)` puts into a
        mapping; or a file that you opened by h5py, `h5py.File("model.weights.h5")`, or for
        "model.keras" `h5py.File(zipfile.ZipFile("model.keras").open("model.weights.h5"))`. Of a
        `LossScaleOptimizer` take its `inner_optimizer`, in a file "optimizer/inner_optimizer".
      like: as in `from_torch`.
      b1: decay rate of m, in [0, 1), which is not among the variables.
      b2: decay rate of v, as b1.
      names: names of the parameters in Keras's order, such as
        `[v.path for v in model.trainable_variables]`. None takes those that the variables have
        ("net_dense_kernel"), or else the numbers "0", "1", ...
      to_params: as in `from_torch`. Keras's layers have their kernels as Flax has them.
      missing_max: "velocity" starts the maximum at the velocity if Keras kept none, because it
        trained with `amsgrad=False`; None refuses such variables.

    Returns:
      A `ScaleByAmsgradState` if `like` is the parameters; else `like` with every AMSGrad state in
      it replaced, and with the counts of its schedules set to t. Nothing shares memory with Keras.

    Raises:
      ValueError: if the variables do not fit; the message names the parameter and the error.
      TypeError: if `variables` are none, or `like` is neither the parameters nor the state of an
        AMSGrad optimizer, or a parameter is complex.

    Example:
      >>> import jax.numpy as jnp
      >>> import numpy as np
      >>> from jamsgrad import amsgrad, interop
      >>> moment = np.array([1.0, 2.0])
      >>> variables = {  # as optimizer.save_own_variables(variables) fills it
      ...     "0": np.int32(7), "1": np.float32(0.001), "2": moment, "3": moment**2, "4": moment**2}
      >>> like = amsgrad(1e-3, convention="keras").init({"dense/bias": jnp.zeros(2)})
      >>> state = interop.from_keras(variables, like, names=["dense/bias"])
      >>> print(state[0].count, state[0].m["dense/bias"])
      7 [1. 2.]

    References:
      Keras 3.15.1, `keras.optimizers.Adam` and `keras.optimizers.Optimizer.save_own_variables`.
    """
    if missing_max is not None:
        _check.one_of("missing_max", missing_max, (_V,), or_else="None")
    states = _states.states_of(ScaleByAmsgradState, like, needed=False)
    n = len(jax.tree.leaves([state.v for state in states] if states else like))
    kept = _read(variables, names, n)
    if not kept.has_max and missing_max is None:
        raise ValueError(
            f"variables have no {_VHAT!r}: Keras trained with amsgrad=False; missing_max={_V!r} "
            "takes the velocity as the maximum so far"
        )
    entries = {name: {_VHAT: entry[_V], **entry} for name, entry in kept.entries().items()}
    count = _check.integer("iteration", kept.arrays[kept.iteration].item(), 0)
    return _KERAS.into_state(like, entries, to_params, count, b1, b2)


def to_keras(
    state: Tree,
    variables: Iterable[Any] | Mapping[str, Any],
    b1: float = 0.9,
    b2: float = 0.999,
    *,
    names: Iterable[str] | None = None,
    from_params: Callable[[Tree], Mapping[str, Any]] | None = None,
) -> dict[str, np.ndarray]:
    """Let Keras 3's `Adam(amsgrad=True)` or `AdamW(amsgrad=True)` go on: `from_keras` backwards.

    Keras goes on with the same numbers only from a state of `convention="keras"`.

    Args:
      state: a `ScaleByAmsgradState`, or the state of an optimizer with one or more in it.
      variables: the variables of the Keras optimizer that goes on, as in `from_keras`. A new one
        has them after `optimizer.build(model.trainable_variables)`. Those that are no part of
        AMSGrad, such as the learning rate and the averages of `use_ema`, keep their values.
      b1: as in `from_keras`, and as in the run that made the state.
      b2: as b1.
      names: as in `from_keras`.
      from_params: as in `to_torch`.

    Returns:
      A mapping for `optimizer.load_own_variables`. Moments in bfloat16 become float32; nothing
      shares memory with `state`.

    Raises:
      ValueError: if the state does not fit the variables; the message names the error.
      TypeError: if `variables` are none, or a parameter is complex.

    Example:
      >>> import jax.numpy as jnp
      >>> import numpy as np
      >>> from jamsgrad import amsgrad, interop
      >>> state = amsgrad(1e-3, convention="keras").init({"dense/bias": jnp.ones(2)})
      >>> new = {"0": 0, "1": 0.001, "2": np.zeros(2), "3": np.zeros(2), "4": np.zeros(2)}
      >>> sorted(interop.to_keras(state, new, names=["dense/bias"]))
      ['0', '1', '2', '3', '4']
    """
    states = _states.states_of(ScaleByAmsgradState, state)
    kept = _read(variables, names, sum(len(jax.tree.leaves(state.v)) for state in states))
    if not kept.has_max:
        raise ValueError("variables are of an optimizer with amsgrad=False, which has no maximum")
    count = _KERAS.steps_of(states, b1, b2)
    new = _KERAS.entries_of(states, kept.entries(), from_params)
    arrays = dict(enumerate(kept.arrays))
    arrays[kept.iteration] = np.asarray(count, kept.arrays[kept.iteration].dtype)
    arrays |= {i: new[name][kind] for name, at in kept.at.items() for kind, i in at.items()}
    return {str(i): x for i, x in arrays.items()}


class _Kept(NamedTuple):
    """The variables of an optimizer, and which of them is what."""

    arrays: list[np.ndarray]
    iteration: int  # where the count of steps is
    at: dict[str, dict[str, int]]  # by parameter and kind: where the moments are

    @property
    def has_max(self) -> bool:
        return all(_VHAT in at for at in self.at.values())

    def entries(self) -> dict[str, dict[str, np.ndarray]]:
        """The moments by parameter and kind."""
        return {n: {kind: self.arrays[i] for kind, i in at.items()} for n, at in self.at.items()}


def _read(variables: Any, names: Iterable[str] | None, n: int) -> _Kept:
    """What the variables are: by their names, or by the order in which Keras makes them.

    `n` is the number of parameters where `names` do not tell it.
    """
    names = None if names is None else list(names)
    arrays, own = _arrays(variables)
    kinds = _by_name(own) if own else _by_order(arrays, n if names is None else len(names))
    places = {kind: [i for i, k in enumerate(kinds) if k == kind] for kind in {*kinds, *_KINDS}}
    if len(iteration := places.get("iteration", [])) != 1:
        raise ValueError(
            f"variables must have one 'iteration', got {len(iteration)}: of a LossScaleOptimizer "
            "give optimizer.inner_optimizer.variables"
        )
    if places["gradient_accumulator"]:
        raise ValueError(
            "variables hold accumulated gradients, which optax.MultiSteps keeps elsewhere: give "
            "the variables without them, iteration divided by gradient_accumulation_steps"
        )
    n = len(places[_M])
    if n == 0 or len(places[_V]) != n or len(places[_VHAT]) not in (0, n):
        found = {kind: len(places[kind]) for kind in _KERAS.moments.values()}
        raise ValueError(
            f"variables must have moments of Adam for each parameter, got {found}: a new optimizer "
            "has them after optimizer.build(model.trainable_variables)"
        )
    if names is None:
        names = [own[i].removesuffix(f"_{_M}") for i in places[_M]] if own else map(str, range(n))
    names = _KERAS.checked_names(names, n)
    kept = _Kept(
        arrays,
        iteration[0],
        {
            name: {kind: places[kind][j] for kind in _KERAS.moments.values() if places[kind]}
            for j, name in enumerate(names)
        },
    )
    for name, entry in kept.entries().items():
        _check_maximum(name, entry[_V], entry.get(_VHAT, entry[_V]))
    return kept


def _arrays(variables: Any) -> tuple[list[np.ndarray], list[str] | None]:
    """The variables in Keras's order, and their names if they have some."""
    if isinstance(variables, Mapping):
        for part in ("optimizer", "vars"):  # of a file
            variables = variables.get(part, variables)
        keys = list(map(str, range(len(variables))))  # those of a file are sorted as words
        if {*variables} != {*keys}:
            raise ValueError(
                "variables must have the keys '0', '1', ..., as save_own_variables numbers them, "
                f"or hold them in 'optimizer/vars', got {sorted(variables)[:5]}"
            )
        return [to_numpy(variables[key]) for key in keys], None
    if not isinstance(variables, Iterable) or isinstance(variables, str):
        raise TypeError(
            "variables must be optimizer.variables, or what save_own_variables writes, got "
            f"{type(variables).__name__}"
        )
    variables = list(variables)
    named = all(hasattr(v, "name") and hasattr(v, "value") for v in variables)
    own = [v.name for v in variables] if named and variables else None
    return [to_numpy(v.value if own else v) for v in variables], own


def _by_name(own: list[str]) -> list[str]:
    """The kind of each variable by the end of its name: "dense_kernel_momentum" is a momentum."""

    def kind(name: str) -> str:
        return next((kind for kind in _KINDS if name.endswith(f"_{kind}")), name)

    return [kind(name) for name in own]


def _by_order(arrays: list[np.ndarray], n: int) -> list[str]:
    """The kind of each variable by its place: scalars, momentum and velocity in turns, maxima.

    The learning rate is a variable if it is no schedule.
    """
    shapes = [x.shape for x in arrays]
    counts = bool(arrays) and np.issubdtype(arrays[0].dtype, np.integer)
    layouts = [
        scalars + n * [_M, _V] + maxima
        for scalars in (["iteration"], ["iteration", "learning_rate"])
        for maxima in ([], n * [_VHAT])
        if counts
        and len(scalars) + 2 * n + len(maxima) == len(arrays)
        and not any(shapes[: len(scalars)])
        and shapes[len(scalars) :: 2][:n] == shapes[len(scalars) + 1 :: 2][:n]
        and (not maxima or shapes[len(scalars) : -n : 2] == shapes[-n:])
    ]
    if n == 0 or len(layouts) != 1:
        raise ValueError(
            f"variables must be the iteration, perhaps the learning rate, and momentum, velocity "
            f"and velocity_hat of each of {n} parameters, got arrays of the shapes {shapes}: give "
            "optimizer.variables, whose names tell what else there is"
        )
    return layouts[0]


def _check_maximum(name: str, v: np.ndarray, vhat: np.ndarray) -> None:
    """Raise if these cannot be a velocity and its maximum: something else was in their places."""
    fits = v.shape == vhat.shape and not np.iscomplexobj(v)
    if fits and bool(np.any((v < 0) | (vhat < v))):
        raise ValueError(
            f"variables are of another optimizer than Adam(amsgrad=True), or in another order: "
            f"what should be the velocity of {name!r} is negative or larger than its maximum"
        )
