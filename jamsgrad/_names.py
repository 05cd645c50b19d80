"""What other libraries call arguments, and what they are called here."""

import functools
import inspect
from collections.abc import Callable, Mapping
from typing import Any, ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")

_CHAIN = "optax.chain({}, amsgrad(...))"
OF_OPTIMIZERS = {
    "lr": "it is learning_rate=",
    "betas": "it is b1= and b2=",
    **dict.fromkeys(("beta1", "beta_1"), "it is b1="),
    **dict.fromkeys(("beta2", "beta_2"), "it is b2="),
    "epsilon": "it is eps=",
    "weight_decay": "amsgradw(..., weight_decay=) is torch's AdamW, and torch's Adam is "
    + _CHAIN.format("optax.add_decayed_weights(weight_decay)"),
    "amsgrad": "the maximum is always taken",
    "maximize": _CHAIN.format("optax.scale(-1.0)") + " maximises",
    **dict.fromkeys(("foreach", "fused", "capturable"), "a jitted update is fused"),
    **dict.fromkeys(
        ("clipnorm", "global_clipnorm"), _CHAIN.format("optax.clip_by_global_norm(...)") + " clips"
    ),
    "clipvalue": _CHAIN.format("optax.clip(...)") + " clips",
    "mu_dtype": "it is moment_dtype=",
}
OF_SEARCHES = {
    "tol": "it is gtol=, ftol= or xtol=",
    **dict.fromkeys(("maxiter", "max_iter", "maxfun", "maxfev", "niter"), "it is max_steps="),
    "method": "it is optimizer=, such as amsgrad(0.1) or optax.lbfgs()",
    "options": "they are arguments of their own: max_steps=, gtol=, ftol=, xtol=",
    **dict.fromkeys(("jac", "grad", "hess", "hessp"), "JAX differentiates fun"),
    "constraints": "minimize() has bounds= and project=",
    "callback": "record_every= records the points",
    "disp": "the result says what happened, and multistart() has progress=",
    "x0": "it is starts=",
    **dict.fromkeys(("seed", "rng", "random_state"), "multistart() has key=jax.random.key(0)"),
    "workers": "it is mesh=, of jax.make_mesh",
}


def our_names(theirs: Mapping[str, str]) -> Callable[[Callable[P, T]], Callable[P, T]]:
    """Let a function say what it calls an argument that has another name elsewhere.

    It also says so where one object is given instead of `fun` and `bounds`.
    """

    def decorate(function: Callable[P, T]) -> Callable[P, T]:
        ours = inspect.signature(function).parameters
        foreign = {name: here for name, here in theirs.items() if name not in ours}
        begins_with_fun = next(iter(ours)) == "fun"

        @functools.wraps(function)
        def called(*args: P.args, **kwargs: P.kwargs) -> T:
            for name in kwargs:
                if name in foreign:
                    here = foreign[name]
                    raise TypeError(f"{function.__name__}() has no argument {name}: {here}")
            if args and begins_with_fun:
                function_of_x("fun", args[0])
            return function(*args, **kwargs)

        return called

    return decorate


def function_of_x(name: str, value: Any) -> None:
    """Raise unless `value` can be called."""
    if not callable(value):
        given = repr(value)
        if hasattr(value, "fun") and hasattr(value, "bounds"):
            given = f"a {type(value).__name__}: give its parts, problem.fun and problem.bounds"
        raise TypeError(f"{name} must be a function of x, got {given}")
