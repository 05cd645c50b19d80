"""`minimize`: its numbers, its two loops, its transformations and what it refuses."""

import re
from functools import partial
from pathlib import Path as File

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
import scipy.optimize
from hypothesis import given, settings
from hypothesis import strategies as st
from reference import CONVENTIONS, assert_trees_close, property_test, same_bits

from jamsgrad import Result, Status, amsgrad, minimize, problems
from jamsgrad._search.step import Record

START = jnp.array([-1.0, 1.5])
AMSGRAD = amsgrad(0.05, b2=0.99)
SGD = optax.sgd(0.1)
OPTIMIZERS = {name: amsgrad(0.05, b2=0.99, convention=name) for name in CONVENTIONS}
OPTIMIZERS |= {"adam": optax.adam(0.05), "sgd": optax.sgd(1e-3)}
LOOPS = pytest.mark.parametrize("loop", ["while", "scan"])


def quadratic(x, center=0.0):
    return jnp.sum((x - center) ** 2)


def rosenbrock(x, a=1.0, b=100.0):
    return (a - x[0]) ** 2 + b * (x[1] - x[0] ** 2) ** 2


# The numbers


@pytest.mark.as_users_compile
@pytest.mark.parametrize(
    ("eps", "key"),
    [(0.0, "traj_tutorial_published_eps0"), (1e-8, "traj_tutorial_published_eps1e-8")],
)
@LOOPS
def test_the_tutorials_path_is_kept_row_by_row(eps, key, loop):
    golden = np.load(File(__file__).parents[1] / "data" / "amsgrad_vectors.npz")
    optimizer = amsgrad(0.007, optax.exponential_decay(0.9, 1, 0.9), 0.99, eps=eps)
    x0 = jnp.asarray(golden["x0_tutorial"])
    result = minimize(
        problems.bowl.fun, x0, optimizer, max_steps=100, gtol=None, record_every=1, loop=loop
    )
    expected = np.concatenate([x0[None], golden[key]])
    assert expected.shape == (101, 2)
    np.testing.assert_allclose(result.trajectory.x, expected, rtol=1e-12)
    np.testing.assert_allclose(result.trajectory.fun, np.sum(expected**2, axis=1), rtol=3e-12)
    np.testing.assert_allclose(
        result.trajectory.grad_norm, 2 * np.max(np.abs(expected), 1), rtol=1e-12
    )
    np.testing.assert_allclose(result.last_x, golden[key][-1], rtol=1e-12)


@settings(property_test, max_examples=8)
@given(
    problem=st.sampled_from(problems.all_problems(2)),
    optimizer=st.sampled_from(sorted(OPTIMIZERS)),
    bounded=st.booleans(),
    dtype=st.sampled_from(["float32", "float64"]),
    at=st.tuples(st.floats(0, 1), st.floats(0, 1)),
)
def test_every_row_holds_the_value_and_the_gradient_of_its_point(
    problem, optimizer, bounded, dtype, at
):
    lower, upper = (jnp.asarray(end, dtype) for end in problem.bounds)
    x0 = jnp.clip(lower + jnp.array(at, dtype) * (upper - lower), lower, upper)
    with jax.numpy_dtype_promotion("standard"):  # optax.adam needs it
        result = minimize(
            problem.fun,
            x0,
            OPTIMIZERS[optimizer],
            bounds=(lower, upper) if bounded else None,
            max_steps=30,
            gtol=1e-2,
            record_every=1,
        )
    result = jax.device_get(result)
    path, rows = result.trajectory, int(result.trajectory.n_recorded)
    assert rows == result.n_steps + 1
    assert result.x.dtype == result.fun.dtype == result.grad_norm.dtype == path.x.dtype == dtype
    assert path.fun.dtype == path.grad_norm.dtype == dtype

    # The result and then every row, evaluated one by one.
    points = np.concatenate([result.x[None], path.x[:rows]])
    found = np.append(result.fun, path.fun[:rows])
    norms = np.append(result.grad_norm, path.grad_norm[:rows])
    values, grads = jax.device_get(
        jax.jit(partial(jax.lax.map, jax.value_and_grad(problem.fun)))(jnp.asarray(points))
    )
    if bounded:
        low, high = map(np.asarray, (lower, upper))
        assert np.all((low <= points) & (points <= high))
        grads = np.where((points <= low) & (grads > 0), 0, grads)
        grads = np.where((points >= high) & (grads < 0), 0, grads)
    # XLA contracts a * b + c in one program and not in the other: a few roundings of the terms,
    # which cancel to a sum of the size of the minimum, and of sines of arguments up to 30.
    eps = 64 * np.finfo(dtype).eps
    assert np.all(np.isfinite(found[:-1]))
    atol = eps * (abs(values[1]) + abs(problem.minimum))
    np.testing.assert_allclose(found, values, rtol=eps, atol=atol)
    expected = np.max(np.abs(grads), axis=1)
    np.testing.assert_allclose(norms, expected, rtol=eps, atol=eps * (expected[1] + 1))

    # Best and last point against the record, to the bit.
    best = int(np.nanargmin(np.where(np.isfinite(path.fun), path.fun, np.nan)))
    row = rows - 1 if result.status in (Status.GTOL, Status.FTOL, Status.XTOL) else best
    shown = (result.x, result.fun, result.grad_norm)
    assert same_bits(shown, (path.x[row], path.fun[row], path.grad_norm[row]))
    assert same_bits(result.last_x, path.x[rows - 1])
    assert same_bits(path.x[0], np.asarray(x0))


# The path


@pytest.mark.as_users_compile
@pytest.mark.parametrize(("every", "rows"), [(7, 5), (23, 2), (24, 2)])
@LOOPS
def test_every_kth_row_is_recorded_with_the_start(every, rows, loop):
    record = partial(minimize, quadratic, START, AMSGRAD, max_steps=23, gtol=None, loop=loop)
    full, path = record(record_every=1).trajectory, record(record_every=every).trajectory
    assert path.n_recorded == rows == len(path.step)
    steps = [*range(0, 23, every), 23]  # the last point has a row, whether it is due or not
    np.testing.assert_array_equal(path.step, steps)
    assert same_bits(path[:4], jax.tree.map(lambda a: a[np.array(steps)], full[:4]))


@LOOPS
def test_rows_after_the_end_are_nan_and_minus_one(loop):
    x0 = {"a": START, "b": jnp.float32(0.5)}
    result = minimize(
        lambda x: quadratic(x["a"]), x0, SGD, max_steps=30, gtol=1.0, record_every=2, loop=loop
    )
    n = result.trajectory.n_recorded
    assert result.n_steps == 5  # 3 * 0.8**5 <= 1
    assert n == 4  # after 0, 2 and 4 steps, and at the end
    np.testing.assert_array_equal(result.trajectory.step, [0, 2, 4, 5, *[-1] * 12])
    assert jax.tree.map(lambda a: (a.shape, a.dtype.name), result.trajectory.x) == {
        "a": ((16, 2), "float64"),
        "b": ((16,), "float32"),
    }
    for leaf in jax.tree.leaves(result.trajectory[1:4]):
        assert np.isfinite(leaf[:n]).all()
        assert np.isnan(leaf[n:]).all()


def test_no_path_without_record_every():
    assert minimize(quadratic, START, SGD, max_steps=3).trajectory is None


# Continuing


SCHEDULED = amsgrad(0.01, optax.exponential_decay(0.9, 1, 0.999), convention="optax")


@pytest.mark.as_users_compile
@pytest.mark.parametrize(("optimizer", "loop"), [(SCHEDULED, "while"), (AMSGRAD, "scan")])
def test_1000_steps_are_400_and_600_bit_for_bit(optimizer, loop):
    run = partial(minimize, rosenbrock, optimizer=optimizer, gtol=None, record_every=1, loop=loop)
    whole = run(START, max_steps=1000)
    first = run(START, max_steps=400)
    second = run(first.last_x, max_steps=600, opt_state=first.opt_state)
    assert (first.n_steps, second.n_steps) == (400, 600)
    assert same_bits((second.last_x, second.opt_state), (whole.last_x, whole.opt_state))
    joined = jax.tree.map(
        lambda a, b: jnp.append(a, b[1:], axis=0), first.trajectory.x, second.trajectory.x
    )
    assert same_bits(joined, whole.trajectory.x)
    assert min(first.fun, second.fun) == whole.fun


def test_a_converged_search_continues_without_a_step():
    first = minimize(quadratic, START, AMSGRAD, gtol=0.1)
    again = minimize(quadratic, first.last_x, AMSGRAD, gtol=0.1, opt_state=first.opt_state)
    assert (first.status, again.status, again.n_steps) == (Status.GTOL, Status.GTOL, 0)
    assert same_bits(again.record[:3], first.record[:3])
    assert same_bits((again.last_x, again.opt_state), (first.last_x, first.opt_state))


# Two loops


@pytest.mark.as_users_compile
@pytest.mark.parametrize(
    ("options", "status"),
    [
        ({"gtol": 1e-2, "max_steps": 300}, Status.GTOL),
        ({"gtol": None, "xtol": 1e-4, "ftol": 1e-9, "patience": 3, "max_steps": 300}, Status.XTOL),
        ({"max_steps": 20, "record_every": 3, "bounds": (-9, 1.6)}, Status.MAX_STEPS),
    ],
    ids=["gtol", "xtol", "steps"],
)
def test_scan_gives_what_while_gives(options, status):
    run = partial(minimize, problems.himmelblau.fun, START, AMSGRAD, **options)
    a, b = run(loop="while"), run(loop="scan")
    assert a.status == b.status == status
    assert a.n_steps == b.n_steps
    # The same operations, compiled in two programs: they may differ in the last digits.
    assert_trees_close(a, b, rtol=1e-12, atol=1e-12)


def test_scan_gives_what_while_gives_after_nan():
    def fun(x):
        return jnp.where(x[0] > -0.5, jnp.nan, quadratic(x))

    a, b = (
        minimize(fun, START, SGD, max_steps=9, record_every=1, loop=loop)
        for loop in ("while", "scan")
    )
    assert (a.status, a.n_steps, a.trajectory.n_recorded) == (Status.NONFINITE, 4, 5)
    assert same_bits(a, b)


# Derivatives


def solve(inputs, loop):
    """A number that depends on all that a search finds, from start, args and learning rate."""
    start, args, learning_rate = inputs
    result = minimize(
        rosenbrock,
        start,
        amsgrad(learning_rate, b2=0.99),
        args=args,
        max_steps=12,
        gtol=None,
        loop=loop,
    )
    return jnp.sum(result.x) + result.fun + jnp.sum(result.last_x**2) + result.grad_norm


def test_derivatives_by_start_args_and_learning_rate_are_right():
    inputs = (START, (jnp.array(1.1), jnp.array(20.0)), jnp.array(0.05))
    flat, unravel = jax.flatten_util.ravel_pytree(inputs)
    solve_flat = {loop: lambda v, loop=loop: solve(unravel(v), loop) for loop in ("scan", "while")}

    reverse = jax.jit(jax.grad(solve_flat["scan"]))(flat)
    # With a step of 1e-6 central differences are off by 1e-12 times the third derivative.
    steps = 1e-6 * jnp.eye(flat.size)
    plain = jax.jit(jax.vmap(solve_flat["scan"]))
    differences = (plain(flat[None] + steps) - plain(flat[None] - steps)) / 2e-6
    assert np.all(np.abs(differences) > 0.01)  # every input matters
    np.testing.assert_allclose(reverse, differences, rtol=1e-6)

    direction = jnp.array([0.3, -0.7, 1.1, 0.2, -0.5])
    for fun in solve_flat.values():
        _, forward = jax.jit(partial(jax.jvp, fun))((flat,), (direction,))
        np.testing.assert_allclose(forward, reverse @ direction, rtol=1e-11)


# Where the gradient is zero, the derivative of its norm is not finite: so may be the derivative of
# a step that is not taken.
CLIPPED = optax.chain(optax.clip_by_global_norm(1.0), optax.sgd(0.5))


@LOOPS
@pytest.mark.parametrize("batched", [False, True])
def test_the_derivative_stays_finite_after_an_early_stop(loop, batched):
    def search(x0):
        result = minimize(quadratic, x0, CLIPPED, max_steps=9, gtol=1e-9, loop=loop)
        return result.last_x + 3 * x0, (result.status, result.n_steps, result.grad_norm)

    def total(starts):
        ends, rest = jax.vmap(search)(starts)
        return jnp.sum(ends, axis=0), rest

    jacobian = partial(jax.jacrev if loop == "scan" else jax.jacfwd, has_aux=True)
    starts = jnp.array([[0.3, 0.1], [0.0, 0.0], [0.875, 0.0]])
    if batched:
        found, (status, n_steps, norm) = jax.jit(jacobian(total))(starts)
        found = jnp.swapaxes(found, 0, 1)
    else:
        pairs = [jax.jit(jacobian(search))(start) for start in starts]
        found, (status, n_steps, norm) = jax.tree.map(lambda *a: jnp.stack(a), *pairs)
    np.testing.assert_array_equal(status, Status.GTOL)
    np.testing.assert_array_equal(n_steps, [1, 0, 2])
    np.testing.assert_array_equal(norm, 0)
    # Half a gradient 2 x is a step to 0 from anywhere, and where no step is taken, last_x is x0.
    expected = np.array([3 * np.eye(2), 4 * np.eye(2), 3 * np.eye(2)])
    np.testing.assert_allclose(found, expected, atol=1e-14)


# vmap and jit


def test_vmap_over_1000_starts_is_a_loop_over_them():
    def search(x0):
        return minimize(problems.himmelblau.fun, x0, AMSGRAD, max_steps=150, gtol=1e-2).record[:5]

    starts = jax.random.uniform(jax.random.key(0), (1000, 2), minval=-5.0, maxval=5.0)
    together, single = jax.device_get(jax.vmap(search)(starts)), jax.jit(search)
    x, fun, grad_norm, n_steps, status = map(
        np.stack, zip(*jax.device_get([single(x) for x in starts]), strict=True)
    )
    assert set(status) == {Status.GTOL, Status.MAX_STEPS, Status.WORSE}
    np.testing.assert_array_equal(together[4], status)
    np.testing.assert_array_equal(together[3], n_steps)
    # XLA vectorises over the lanes: a rounding per step. The values near 0 are squares of small
    # differences, the gradients differences of terms of size 1000.
    np.testing.assert_allclose(together[0], x, rtol=1e-11)
    np.testing.assert_allclose(together[1], fun, rtol=1e-11, atol=1e-11)
    np.testing.assert_allclose(together[2], grad_norm, rtol=1e-11, atol=1e-9)


def test_vmap_of_everything_else():
    def search(args, bounds, gtol):
        return minimize(
            quadratic, START, AMSGRAD, args=args, bounds=bounds, gtol=gtol, record_every=100
        )

    args = (jnp.array([0.0, 1.0, 9.0]),)
    bounds, gtol = (jnp.full(3, -2.0), jnp.array([2.0, 2.0, 3.0])), jnp.array([1e-1, 1e-3, 1e-5])
    together = jax.vmap(search)(args, bounds, gtol)
    assert together.trajectory.x.shape == (3, 11, 2)
    alone = [search(*jax.tree.map(lambda a, i=i: a[i], (args, bounds, gtol))) for i in range(3)]
    assert_trees_close(together, jax.tree.map(lambda *a: jnp.stack(a), *alone), 1e-11, 1e-13)
    np.testing.assert_array_equal(together.x[2], [3.0, 3.0])
    assert together.success.all()


class Traced:
    """An objective that counts how often Python runs it."""

    def __init__(self):
        self.times = 0

    def __call__(self, x, center):
        self.times += 1
        return quadratic(x, center)


def test_new_data_and_new_limits_do_not_compile_again():
    fun = Traced()
    search = partial(minimize, fun, optimizer=AMSGRAD, ftol=1e-9, xtol=1e-9)
    first = search(START, args=(1.0,), bounds=(-2, 2), gtol=1e-3)
    times = fun.times
    assert times > 0
    changed = [
        search(START, args=(1.0,), bounds=(-2, 2), gtol=1e-3),
        search(START + 0.25, args=(1.5,), bounds=(-2, 2), gtol=1e-3),
        search(START, args=(1.0,), bounds=(-3.0, [2, 4]), gtol=0.1, ftol=0.0, xtol=1.0, patience=5),
        search(START, args=(1.0,), bounds=[(-2, 2)] * 2, gtol=1e-3, max_steps=np.int64(2)),
    ]
    assert fun.times == times
    assert same_bits(changed[0], first)
    np.testing.assert_allclose(changed[1].x, [1.5, 1.5], atol=1e-3)
    assert changed[3].n_steps == 2


@pytest.mark.parametrize("gtol", [1, np.float64(1.0), np.float32(1.0)], ids=repr)
def test_the_type_of_a_tolerance_does_not_compile_again(gtol):
    fun = Traced()
    minimize(fun, START, AMSGRAD, args=(1.0,), gtol=1.0)
    times = fun.times
    minimize(fun, START, AMSGRAD, args=(1.0,), gtol=gtol)
    assert fun.times == times


@pytest.mark.parametrize("options", [{"loop": "scan"}, {"record_every": 5}], ids=str)
def test_called_twice_it_compiles_once(options):
    fun = Traced()
    options |= {"max_steps": 20}
    minimize(fun, START, AMSGRAD, args=(jnp.zeros(2),), **options)
    times = fun.times
    minimize(fun, START - 1, AMSGRAD, args=(jnp.ones(2),), **options)
    assert fun.times == times


def test_under_jit_it_gives_the_same():
    def search(x0, center, gtol):
        result = minimize(quadratic, x0, AMSGRAD, args=(center,), gtol=gtol, bounds=(-2, center))
        return result, result.success

    result, success = jax.jit(search)(START, 1.5, 1e-3)
    plain = minimize(quadratic, START, AMSGRAD, args=(1.5,), gtol=1e-3, bounds=(-2, 1.5))
    assert success == plain.success == (plain.status > 0)
    assert_trees_close(result, plain, rtol=1e-12, atol=1e-15)


# Other optimizers


@pytest.mark.parametrize(
    "make",
    [optax.lbfgs, optax.polyak_sgd, optax.contrib.prodigy, partial(optax.adam, 0.1)],
    ids=["lbfgs", "polyak_sgd", "prodigy", "adam"],
)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_any_optax_optimizer_will_do(make, dtype):
    x0 = jnp.array([-1.0, 1.5], dtype)
    with jax.numpy_dtype_promotion("standard"):  # none of them passes the strict one
        result = minimize(quadratic, x0, make(), args=(jnp.ones(2, dtype),), max_steps=500)
    assert Status(int(result.status)) is Status.GTOL
    assert result.x.dtype == result.fun.dtype == dtype
    np.testing.assert_allclose(result.x, 1, atol=np.finfo(dtype).eps ** (1 / 3))


def test_optimizers_are_told_value_gradient_and_function():
    def update(updates, state, params, *, value, grad, value_fn):
        told = {"x": params, "value": value, "grad": grad, "moved": value_fn(params + 1)}
        return jax.tree.map(lambda g: -0.25 * g, updates), told

    def init(params):
        zero = jnp.zeros([])
        return {"x": params, "value": zero, "grad": params, "moved": zero}

    result = minimize(
        lambda x, c: (quadratic(x, c), None),
        START,
        optax.GradientTransformationExtraArgs(init, update),
        args=(1.0,),
        max_steps=1,
        has_aux=True,
    )
    told = {"x": START, "value": 4.25, "grad": 2 * (START - 1), "moved": 1.0 + 2.25}
    assert_trees_close(result.opt_state, told, rtol=1e-15)


# Auxiliary outputs and trees


@LOOPS
def test_aux_belongs_to_x(loop):
    def fun(x, center):
        aux = {"x": x, "twice": 2 * x, "center": center, "n": 3, "big": x[0] > 0, "none": None}
        return quadratic(x, center), aux

    # It overshoots: the best point is not the last one.
    result = minimize(
        fun, START, amsgrad(1.0), args=(jnp.zeros(2),), max_steps=10, has_aux=True, loop=loop
    )
    x = result.x
    assert np.any(x != result.last_x)
    expected = {"x": x, "twice": 2 * x, "center": jnp.zeros(2), "n": 3, "big": x[0] > 0}
    assert_trees_close(result.aux, expected | {"none": None}, rtol=0)


def test_aux_is_none_without_has_aux():
    assert minimize(quadratic, START, SGD, max_steps=1).aux is None


TREE = {"a": jnp.array([1.0, -2.0]), "b": (jnp.float32(3.0), {"c": jnp.ones((2, 2), jnp.float32)})}


def tree_fun(x):
    return sum(jnp.sum((leaf.astype(float) - 0.5) ** 2) for leaf in jax.tree.leaves(x))


@pytest.mark.parametrize("bounds", [None, (-9, {"a": 9.0, "b": 2.0})])
def test_x_may_be_a_tree_of_mixed_dtypes(bounds):
    x0 = TREE if bounds is None else jax.tree.map(lambda leaf: leaf / 2, TREE)
    result = minimize(tree_fun, x0, AMSGRAD, gtol=1e-4, bounds=bounds, record_every=10)
    assert result.status == Status.GTOL
    for tree in (result.x, result.last_x):
        assert jax.tree.map(lambda leaf: (leaf.shape, leaf.dtype), tree) == jax.tree.map(
            lambda leaf: (leaf.shape, leaf.dtype), x0
        )
        jax.tree.map(lambda leaf: np.testing.assert_allclose(leaf, 0.5, atol=1e-4), tree)
    assert result.fun.dtype == result.grad_norm.dtype == "float64"
    assert result.fun == tree_fun(result.x)


@pytest.mark.parametrize("x0", [[1.0, -2.0], (3.0, np.float32(1.0)), 2.0, np.array([1.0, 2.0])])
def test_x_may_be_python_and_numpy_numbers(x0):
    result = minimize(tree_fun, jax.tree.map(jnp.asarray, x0), AMSGRAD, gtol=1e-4)
    assert same_bits(minimize(tree_fun, x0, AMSGRAD, gtol=1e-4), result)
    assert result.success
    jax.tree.map(lambda leaf: np.testing.assert_allclose(leaf, 0.5, atol=1e-4), result.x)


@pytest.mark.parametrize("optimizer", [SGD, AMSGRAD], ids=["sgd", "amsgrad"])
@pytest.mark.parametrize("dtype", ["complex64", "complex128"])
def test_complex_x_finds_the_complex_minimum(optimizer, dtype):
    target = jnp.array([1 + 2j, -3 - 1j, 2j], dtype)

    def fun(x):
        return jnp.sum(jnp.abs(x - target) ** 2) + 0.1 * jnp.abs(x[0] - target[0]) ** 4

    x0 = jnp.array([0, 1j, 1 - 1j], dtype)
    result = minimize(fun, x0, optimizer, gtol=1e-4, xtol=1e-12, max_steps=2000)
    assert result.status == Status.GTOL
    assert result.x.dtype == dtype
    assert result.fun.dtype == jnp.real(x0).dtype
    np.testing.assert_allclose(result.x, target, atol=1e-4)


# Bounds


@pytest.mark.parametrize("loop", ["while", "scan"])
def test_all_forms_of_bounds_give_the_same_search(loop):
    lower, upper = [-1.5, -np.inf], [-0.5, 1.5]
    forms = [
        (lower, upper),
        (np.array(lower), jnp.array(upper)),
        np.stack([lower, upper], axis=1),
        list(zip(lower, upper, strict=True)),
        scipy.optimize.Bounds(lower, upper),
    ]
    results = [
        minimize(rosenbrock, START, AMSGRAD, bounds=bounds, record_every=1, loop=loop)
        for bounds in forms
    ]
    assert all(same_bits(result, results[0]) for result in results)
    # On the end x0 = -0.5 the best x1 is x0^2, and downhill leads out of the box.
    assert results[0].status == Status.GTOL
    assert results[0].x[0] == -0.5
    np.testing.assert_allclose(results[0].x[1], 0.25, atol=1e-6)


def test_infinite_bounds_change_nothing_and_equal_bounds_hold_fast():
    free = minimize(quadratic, START, AMSGRAD, gtol=1e-3)
    assert same_bits(minimize(quadratic, START, AMSGRAD, gtol=1e-3, bounds=(-np.inf, np.inf)), free)
    held = minimize(quadratic, START, AMSGRAD, gtol=1e-3, bounds=([-1, -np.inf], [-1, np.inf]))
    assert (held.status, held.x[0]) == (Status.GTOL, -1.0)
    np.testing.assert_allclose(held.x[1], 0, atol=1e-3)
    both = minimize(quadratic, START, AMSGRAD, gtol=0.0, bounds=(START, START))
    assert (both.status, both.n_steps, both.grad_norm) == (Status.GTOL, 0, 0)


# What is refused


@pytest.mark.parametrize(
    ("fun", "x0", "options", "error", "said"),
    [
        (quadratic, {"a": START, "b": True}, {}, TypeError, "x0['b'] has dtype bool"),
        (quadratic, np.array([True]), {}, TypeError, "x0 has dtype bool"),
        (lambda x: x, START, {}, TypeError, "real floating scalar, got float64 of shape (2,)"),
        (lambda x: x[:1], START, {}, TypeError, "got float64 of shape (1,)"),
        (lambda x: 3, START, {}, TypeError, "got int64 of shape ()"),
        (lambda x: x[0] > 0, START, {}, TypeError, "got bool of shape ()"),
        (lambda x: jnp.sum(x).astype(complex), START, {}, TypeError, "got complex128"),
        (lambda x: (jnp.sum(x), 1), START, {}, TypeError, "set has_aux=True"),
        (lambda x: None, START, {}, TypeError, "fun must return a real floating scalar"),
        (quadratic, START, {"has_aux": True}, TypeError, "(value, aux) with has_aux=True"),
        (lambda x: (1.0, 2, 3), START, {"has_aux": True}, TypeError, "(value, aux)"),
        (lambda x: (x, 1), START, {"has_aux": True}, TypeError, "got float64 of shape (2,)"),
        (quadratic, START, {"loop": "for"}, ValueError, "loop must be one of 'while', 'scan'"),
        (quadratic, START, {"loop": "for"}, ValueError, "got 'for'"),
        (quadratic, START, {"record_every": 0}, ValueError, "record_every must be an integer >= 1"),
        (quadratic, START, {"record_every": 1.5}, TypeError, "record_every must be an integer"),
        (quadratic, START, {"max_steps": -1}, ValueError, "max_steps must be an integer >= 0"),
        (quadratic, START, {"patience": 0}, ValueError, "patience must be an integer >= 1"),
        (quadratic, START, {"gtol": -1}, ValueError, "gtol must be a finite number >= 0"),
        (quadratic, START, {"bounds": (1, 0)}, ValueError, "bounds of x are reversed"),
        (quadratic, START, {"bounds": (0, 2)}, ValueError, "x0[0] = -1.0 is outside its bounds"),
        (quadratic, START, {"bounds": 3}, TypeError, "bounds must be a tuple (lower, upper)"),
        (quadratic, START, {"args": 3.0}, TypeError, "args"),
        (lambda x: 1.0, {}, {}, (TypeError, ValueError), "x0"),
        (lambda x: 1.0, None, {}, (TypeError, ValueError), "x0"),
        (jnp.sum, jnp.zeros(0), {}, (TypeError, ValueError), "x0"),
    ],
)
def test_nonsense_is_refused_by_name_and_value(fun, x0, options, error, said):
    with pytest.raises(error, match=re.escape(said)):
        minimize(fun, x0, SGD, **options)


def test_a_start_outside_the_bounds_is_refused_and_projected_where_nobody_can_look():
    with pytest.raises(
        ValueError, match=r"never moved silently: jnp\.clip moves them into the box"
    ):
        minimize(quadratic, START, SGD, bounds=(0, 2))
    result = jax.jit(
        lambda x: minimize(quadratic, x, SGD, bounds=(0, 2), max_steps=9, gtol=None, record_every=1)
    )(START)
    np.testing.assert_array_equal(result.trajectory.x[0], jnp.clip(START, 0, 2))
    np.testing.assert_array_equal(result.trajectory.x.min(), 0.0)
    starts = jnp.array([[-3.0, 1.0], [0.5, 2.5], [0.5, 1.0]])
    found = jax.vmap(lambda x: minimize(quadratic, x, SGD, bounds=(0, 2), max_steps=0))(starts)
    np.testing.assert_array_equal(found.x, jnp.clip(starts, 0, 2))
    found = jax.jit(lambda low: minimize(quadratic, START, SGD, bounds=(low, 2), max_steps=0))(1.0)
    np.testing.assert_array_equal(found.x, jnp.clip(START, 1, 2))


def test_an_error_in_the_objective_comes_through():
    def fun(x):
        raise ZeroDivisionError("the objective's own")

    with pytest.raises(ZeroDivisionError, match="the objective's own"):
        minimize(fun, START, SGD)


def explode(x):
    return jnp.log(jnp.sum(x))


def test_throw_raises_outside_jit_only():
    search = partial(minimize, explode, optimizer=SGD, max_steps=100)
    assert search(jnp.ones(2)).status == Status.NONFINITE
    with pytest.raises(FloatingPointError, match=r"(?s)Met NaN or infinity.*grad_norm") as caught:
        search(jnp.ones(2), throw=True)
    assert str(caught.value).count(Status.NONFINITE.message) == 1
    assert jax.jit(partial(search, throw=True))(jnp.ones(2)).status == Status.NONFINITE
    lanes = jax.vmap(partial(search, throw=True))(jnp.ones((3, 2)))
    np.testing.assert_array_equal(lanes.status, Status.NONFINITE)
    assert minimize(quadratic, START, SGD, throw=True).success


# The result


def test_a_result_can_be_read():
    result = minimize(quadratic, START, AMSGRAD)
    assert result.message == Status.GTOL.message
    text = repr(result)
    assert text.startswith(f"GTOL after {result.n_steps} steps: {result.message}\n")
    assert f"fun: {float(result.fun):.8g}" in text
    assert f"grad_norm: {float(result.grad_norm):.3g}" in text
    assert str(np.asarray(result.x)) in text
    assert "opt_state" not in text
    assert str(result) == text


def search_tree(x0):
    """A search whose result is shown while it is traced."""
    result = minimize(tree_fun, {"a": x0}, SGD, max_steps=3, record_every=1)
    assert "status=" in repr(result)
    return result


@pytest.mark.parametrize(
    "make",
    [
        lambda: jax.jit(jax.vmap(search_tree))(jnp.ones((3, 2))),
        lambda: jax.eval_shape(search_tree, START),
        lambda: Result(Record(*[None] * 6)),
        lambda: jax.tree.map(jnp.shape, jax.jit(search_tree)(START)),
    ],
    ids=["vmapped", "eval_shape", "empty", "shapes"],
)
def test_every_kind_of_result_has_a_repr(make):
    assert repr(make()).startswith("Result(")


@pytest.mark.parametrize("name", ["max_steps", "patience", "record_every"])
def test_what_int32_cannot_count_is_refused(name):
    with pytest.raises(ValueError, match=rf"{name} must be an integer <= 2\*\*31 - 1"):
        minimize(quadratic, START, AMSGRAD, **{name: 2**31})


def test_empty_leaves_of_x_do_no_harm():
    result = minimize(lambda x: jnp.sum(x[0] ** 2), (jnp.ones(2), jnp.zeros(0)), AMSGRAD)
    assert result.status == Status.GTOL


@pytest.mark.parametrize("optimizer", [0.1, amsgrad, optax.adam])
def test_what_is_no_optimizer_is_refused(optimizer):
    with pytest.raises(TypeError, match="optimizer must be an optax"):
        minimize(quadratic, START, optimizer)


def test_the_state_of_another_optimizer_is_refused():
    with pytest.raises(ValueError, match="opt_state is not a state of this optimizer"):
        minimize(quadratic, START, AMSGRAD, opt_state=optax.adam(0.1).init(START))


def test_a_message_belongs_to_one_search():
    results = jax.vmap(lambda x: minimize(quadratic, x, AMSGRAD))(jnp.ones((3, 2)))
    with pytest.raises(ValueError, match=r"not to \(3,\)"):
        results.message  # noqa: B018
