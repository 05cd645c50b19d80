"""JAX's debugging flags find nothing in the library: what is healthy runs under each of them."""

from contextlib import ExitStack

import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np
import optax
import pytest
import scipy.optimize

from jamsgrad import (
    MomentDtypes,
    MultiStartResult,
    amsgrad,
    amsgradw,
    basin_map,
    conventions,
    interop,
    minimize,
    multistart,
    plots,
    problems,
    sample_starts,
    scale_by_amsgrad,
    schedules,
)

FLAGS = {
    "nans and infs": lambda: (jax.debug_nans(True), jax.debug_infs(True)),
    "tracer leaks": lambda: (jax.checking_leaks(),),
    "promotion": lambda: (jax.numpy_dtype_promotion("strict"), jax.numpy_rank_promotion("raise")),
}
KEY = jax.random.key(0)
SQUARE = ([-2.0, -2.0], [2.0, 2.0])
CORNER = np.array([-np.inf, 0.0]), jnp.array([1.0, jnp.inf])  # made before a flag forbids it
OPTIMIZER = amsgrad(0.1, b2=0.99)
PARAMS = {"w": np.ones((2, 3), np.float32), "b": np.zeros(2, np.float32)}


def fun(x):
    return jnp.sum((x - 1) ** 2)


def fun_of_tree(x):
    return jnp.sum(x["a"] ** 2) + (x["b"] - 1) ** 2


def steps(optimizer, dtype="float32"):
    """A step as it is written, and a compiled one."""
    params = jax.tree.map(lambda p: jnp.asarray(p, dtype), PARAMS)
    state = optimizer.init(params)
    for update in (optimizer.update, jax.jit(optimizer.update)):
        _, state = update(params, state, params)
    return params


def train(optimizer, dtype="float32"):
    """Steps one by one, in a loop, and differentiated."""
    params = steps(optimizer, dtype)

    def step(carry, _):
        params, state = carry
        updates, state = optimizer.update(params, state, params)
        return (optax.apply_updates(params, updates), state), None

    jax.lax.scan(step, (params, jax.jit(optimizer.init)(params)), length=2)

    def of_gradient(grads):
        updates, _ = optimizer.update(grads, optimizer.init(params), params)
        return jnp.sum(updates["w"].real)

    jax.grad(of_gradient)(params)


def train_conventions(moment_dtype):
    for convention in conventions:
        steps(scale_by_amsgrad(convention=convention, moment_dtype=moment_dtype))


def train_schedules():
    rates = schedules.inverse_sqrt(0.1), schedules.inverse_time(0.9)
    train(amsgrad(*rates, optax.constant_schedule(0.99), convention="keras"))


def train_traced():
    make = optax.inject_hyperparams(amsgradw, hyperparam_dtype=jnp.float32)
    steps(make(learning_rate=optax.constant_schedule(0.1)))


def one(x0=(0.0, 0.0), **options):
    return repr(minimize(fun, jnp.array(x0, "float32"), OPTIMIZER, **options))


def one_in_bounds():
    one(bounds=[(None, 5.0), (None, None)])
    one(bounds=CORNER, max_steps=3)
    one(bounds=scipy.optimize.Bounds([-np.inf, 0], [0.5, np.inf]), max_steps=3)


def one_recorded():
    one(record_every=3)
    one(record_every=2, gtol=None, max_steps=9)
    one(record_every=1, loop="scan", max_steps=20)


def one_of_tree():
    x0 = {"a": jnp.ones(3, "float32"), "b": jnp.zeros((), "float32")}
    minimize(fun_of_tree, x0, OPTIMIZER, bounds=(-2, {"a": 3.0, "b": 4.0}))


def one_transformed():
    def value(x, loop="scan"):
        return minimize(fun, x, OPTIMIZER, loop=loop, max_steps=5).fun

    x = jnp.zeros((2, 2), "float32")
    jax.jit(jax.vmap(value))(x)
    jax.grad(value)(x[0])
    jax.jvp(lambda x: value(x, "while"), (x[0],), (x[1],))


def one_with_aux():
    found = minimize(
        lambda x: (fun(x), {"x": x}), jnp.zeros(2, "float32"), OPTIMIZER, has_aux=True, throw=True
    )
    one(x0=found.last_x, opt_state=found.opt_state)


def many(tmp_path, bounds=SQUARE, gtol=1e-3, **options):
    found = multistart(
        fun, bounds, OPTIMIZER, **{"key": KEY, "n_starts": 8, "gtol": gtol} | options
    )
    repr(found), found.best, found.top(2), found.minima, found.rerun(1), found.rerun(0, 2)
    found.save(tmp_path / "found.npz")
    repr(MultiStartResult.load(tmp_path / "found.npz", fun, OPTIMIZER).rerun(0))
    return found


def many_elsewhere(tmp_path):
    points = np.array([[0.0, 0.0], [1.0, 1.0]], "float32")
    many(tmp_path, starts=points, n_starts=2, bounds=None)
    many(tmp_path, starts=points, n_starts=2, bounds=[(None, 5.0), (0, None)])
    many(tmp_path, starts=points, n_starts=3)


def many_drawn(tmp_path):
    many(tmp_path, starts="lhs", progress=True, callback=lambda progress: None)
    for method in ("uniform", "sobol", "lhs"):
        sample_starts(KEY, 9, ([0, 0.0], [1, 1]), method)


def some_fail(tmp_path):
    half = jax.tree_util.Partial(lambda x: jnp.where(x[0] > 0, jnp.nan, fun(x + 2)))
    found = multistart(half, SQUARE, OPTIMIZER, key=KEY, n_starts=8, gtol=1e-3)
    assert 0 < found.n_success < 8
    found.top(8), found.summary(), [found.rerun(i) for i in (0, 1, 2)]


def other_states():
    gradients = np.array([[1.0, 2.0, 3.0]], np.float32)
    moments = {"exp_avg": gradients, "exp_avg_sq": gradients**2, "max_exp_avg_sq": gradients**2}
    state_dict = {
        "state": {0: {"step": 7, **moments}},
        "param_groups": [{"params": [0], "betas": (0.9, 0.999)}],
    }
    params = {"0": jnp.ones((1, 3), "float32")}
    for dtype in (None, "bfloat16"):
        optimizer = amsgrad(0.1, convention="pytorch", moment_dtype=dtype)
        state = interop.from_torch(state_dict, optimizer.init(params))
        optimizer.update(params, interop.from_optax(interop.to_optax(state), moment_dtype=dtype))
        interop.to_torch(state, state_dict, np.asarray)
    interop.from_torch(state_dict, params)


def all_problems():
    for problem in problems.all_problems(2):
        jax.jit(jax.value_and_grad(problem.fun))(jnp.asarray(problem.minimizers[0], "float32"))


def pictures(tmp_path):
    few = {"resolution": 11}
    bowl, found = problems.bowl, many(tmp_path)
    result = minimize(fun, jnp.zeros(2), OPTIMIZER, record_every=3, max_steps=20)
    for problem in (bowl, (jnp.sum, SQUARE), (lambda x: jnp.log(x[0]) + x[1], SQUARE)):
        plots.contour(problem, **few)
    plots.surface(bowl, **few)
    plots.path(bowl, {"a": result, "b": found.rerun(1)}, **few)
    plots.animate(bowl, result, frames=2, **few).save(tmp_path / "a.gif", writer="pillow")
    plots.convergence(result), plots.waterfall(found), plots.parallel(found)
    plots.basins(basin_map(bowl.fun, bowl.bounds, OPTIMIZER, resolution=4, gtol=1e-2))
    plt.close("all")


RUNS = {
    "conventions": lambda _: train_conventions(None),
    "bfloat16 moments": lambda _: train_conventions("bfloat16"),
    "mixed moments": lambda _: steps(amsgrad(0.1, moment_dtype=MomentDtypes("bfloat16"))),
    "no eps": lambda _: train(amsgrad(0.1, eps=0)),
    "bfloat16 parameters": lambda _: steps(amsgrad(0.1), "bfloat16"),
    "complex parameters": lambda _: steps(amsgrad(0.1), "complex64"),
    "weight decay": lambda _: steps(amsgradw(0.1, mask={"w": True, "b": False})),
    "schedules": lambda _: train_schedules(),
    "traced hyperparameters": lambda _: train_traced(),
    "one": lambda _: one(ftol=1e-6, xtol=1e-6, patience=3),
    "one in bounds": lambda _: one_in_bounds(),
    "one recorded": lambda _: one_recorded(),
    "one of a tree": lambda _: one_of_tree(),
    "one transformed": lambda _: one_transformed(),
    "one with aux": lambda _: one_with_aux(),
    "one by L-BFGS": lambda _: minimize(fun, jnp.zeros(2), optax.lbfgs()),
    "many": many,
    "many by steps": lambda path: many(path, gtol=None, max_steps=100),
    "many by tolerances": lambda path: many(path, gtol=None, ftol=1e-5, xtol=1e-5, patience=2),
    "many elsewhere": many_elsewhere,
    "many drawn": many_drawn,
    "many kept": lambda path: many(path, checkpoint=path / "kept"),
    "some fail": some_fail,
    "interop": lambda _: other_states(),
    "problems": lambda _: all_problems(),
    "plots": pictures,
}


@pytest.mark.usefixtures("jax_of_a_reader")
@pytest.mark.parametrize("name", RUNS)
@pytest.mark.parametrize("flag", FLAGS)
def test_what_is_healthy_runs_under_every_debugging_flag(flag, name, tmp_path):
    with ExitStack() as stack:
        for switched in FLAGS[flag]():
            stack.enter_context(switched)
        RUNS[name](tmp_path)
