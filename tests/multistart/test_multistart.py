"""`multistart`: `minimize` from every start, and what is refused."""

import inspect
import re
import time
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from many import (
    AMSGRAD,
    BOX,
    HOLED,
    KEY,
    LANES,
    MESHES,
    N_STARTS,
    SGD,
    alone,
    assert_rows_close,
    rows,
    search,
    stop,
)
from reference import assert_trees_close, explore, same_bits

from jamsgrad import (
    Status,
    amsgrad,
    basin_map,
    minimize,
    multistart,
    problems,
    sample_starts,
)
from jamsgrad._multistart import devices
from jamsgrad._search.minimize import stop_by
from jamsgrad._search.stopping import Stop

# The numbers


def test_every_start_gets_the_result_of_minimize(found):
    expected = (found.starts, *alone(found.starts))
    assert_rows_close(rows(found), jax.tree.map(np.asarray, expected))
    assert found.n_success == N_STARTS == np.sum(np.asarray(found.status) == Status.GTOL)


def test_himmelblau_gives_four_minima(found):
    expected = sorted(np.asarray(problems.himmelblau.minimizers).tolist())
    np.testing.assert_allclose(sorted(m.x.tolist() for m in found.minima), expected, atol=1e-4)
    assert {m.kind for m in found.minima} == {"minimum"}
    assert sum(m.count for m in found.minima) == N_STARTS
    for basin, minimum in enumerate(found.minima):
        ends = np.asarray(found.x)[found.basin == basin]
        assert len(ends) == minimum.count
        np.testing.assert_allclose(ends, np.broadcast_to(minimum.x, ends.shape), atol=1e-3)


@pytest.mark.parametrize("method", ["uniform", "sobol", "lhs"])
def test_row_i_belongs_to_start_i_of_the_key(method):
    result = search(key=jax.random.key(4), starts=method)
    starts = sample_starts(jax.random.key(4), N_STARTS, BOX, method)
    assert same_bits(result.starts, starts)
    assert_rows_close(rows(result), jax.tree.map(np.asarray, (starts, *alone(starts))))


def test_own_starts_come_first_and_drawn_ones_fill_up(found):
    own = np.linspace(-4.0, 4.0, 20).reshape(10, 2)
    result = search(starts=own)
    np.testing.assert_array_equal(result.starts[:10], own)
    assert same_bits(rows(result, slice(10, None)), rows(found, slice(10, None)))
    again = search(starts=found.starts)
    assert same_bits(rows(again), rows(found))


# Objectives that are not finite


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_a_hole_in_the_objective_touches_only_those_who_meet_it(found, value):
    result = search(radius=1.0, value=value)
    met = np.asarray(result.status == Status.NONFINITE)
    born = np.sum((np.asarray(result.starts) - [3, 2]) ** 2, axis=1) < 1
    assert np.all(met[born])
    assert np.sum(born) < np.sum(met) < N_STARTS / 2
    assert same_bits(rows(result, ~met), rows(found, ~met))
    # Those who walked into it keep their best point, those born in it what they met.
    np.testing.assert_array_equal(result.fun[born], value)
    walked = np.asarray(result.fun)[met & ~born]
    assert np.all(np.isfinite(walked) & (walked >= np.min(found.fun)))
    assert np.isfinite(result.best.fun)
    assert result.best.fun == np.nanmin(np.where(np.isinf(result.fun), np.nan, result.fun))
    assert len(result.minima) == 3
    np.testing.assert_array_equal(result.basin == -1, met)
    assert result.n_success == np.sum(~met)


def test_nothing_but_nan_still_gives_a_result():
    seen = []
    result = search(radius=100.0, value=np.nan, callback=seen.append)
    assert np.all(result.status == Status.NONFINITE)
    assert np.all(np.isnan(result.fun))
    assert same_bits(result.x, result.starts)
    assert (result.n_success, result.minima, result.best.status) == (0, (), Status.NONFINITE)
    assert (seen[-1].done, seen[-1].n_success, seen[-1].best) == (N_STARTS, 0, np.inf)
    assert "300 NONFINITE" in result.summary()


# Sizes


bowl = partial(explore, problems.bowl.fun, ([-1.0, -2.0], [1.0, 2.0]), optimizer=SGD, key=KEY)


def test_the_seconds_add_up():
    began = time.perf_counter()
    result = bowl(n_starts=9)
    taken = time.perf_counter() - began
    assert 0 < result.seconds < result.seconds + result.compile_seconds < taken


@pytest.mark.parametrize(
    ("max_steps", "executed"), [(0, 1), (127, 128), (128, 2 * 65), (255, 2 * 128), (300, 3 * 101)]
)
def test_without_tolerance_all_run_all_steps_and_no_lane_waits(max_steps, executed):
    result = bowl(n_starts=64, lanes=16, gtol=None, max_steps=max_steps)
    assert np.all(result.status == Status.COMPLETED)
    assert np.all(result.n_steps == max_steps)
    assert type(result.lane_efficiency) is float
    np.testing.assert_allclose(result.lane_efficiency, (max_steps + 1) / executed, rtol=1e-6)


@pytest.fixture(scope="module")
def fixed():
    """Without tolerances, with NaN around one minimum: some stop early."""
    return search(gtol=None, max_steps=200, radius=1.0, value=np.nan)


@pytest.mark.as_users_compile
@pytest.mark.parametrize("mesh", MESHES)
def test_without_tolerances_many_devices_give_the_bits_of_one(fixed, mesh):
    options = {"gtol": None, "max_steps": 200, "radius": 1.0, "value": np.nan}
    assert same_bits(rows(search(mesh=MESHES[mesh], **options)), rows(fixed))


def test_without_tolerances_every_start_gets_the_result_of_minimize(fixed):
    def alone(x0):
        options = {"args": (1.0, np.nan), "bounds": BOX, "gtol": None, "max_steps": 200}
        return minimize(HOLED, x0, AMSGRAD, **options).record[:5]

    expected = (fixed.starts, *jax.jit(jax.vmap(alone))(fixed.starts))
    assert_rows_close(rows(fixed), jax.tree.map(np.asarray, expected))
    assert set(np.asarray(fixed.status)) == {Status.COMPLETED, Status.NONFINITE}


@pytest.mark.as_users_compile
def test_without_tolerances_a_search_that_is_ended_has_what_it_found_so_far(fixed):
    options = {"gtol": None, "max_steps": 200, "radius": 1.0, "value": np.nan}
    result = search(callback=stop, **options)  # in the middle of the first lanes' steps
    x, fun = np.asarray(result.x), np.asarray(result.fun)
    status, n_steps = np.asarray(result.status), np.asarray(result.n_steps)
    assert set(status[:LANES]) == {Status.STOPPED, Status.NONFINITE}
    assert set(n_steps[:LANES][status[:LANES] == Status.STOPPED]) == {101}
    assert np.all((status[LANES:] == Status.STOPPED) & (n_steps[LANES:] == 0))
    assert same_bits(x[LANES:], np.asarray(result.starts)[LANES:])
    values = jax.vmap(lambda x: HOLED(x, 1.0, np.nan))(x[:LANES])
    np.testing.assert_allclose(fun[:LANES], values, rtol=1e-13, atol=1e-13)
    assert np.all((fun[:LANES] >= np.asarray(fixed.fun)[:LANES]) | np.isnan(fun[:LANES]))
    assert np.all(np.isnan(fun[LANES:]))
    assert result.n_success == 0


@pytest.mark.parametrize(
    ("size", "platform", "lanes"),
    [
        (3, "cpu", 1024),
        (4, "cpu", 1008),
        (31, "cpu", 128),
        (32, "cpu", 1024),
        (10, "gpu", 2**16),
        (64, "gpu", 2**16),
        (100, "gpu", 41936),
        (10_000, "gpu", 1024),
    ],
)
def test_how_many_lanes_are_taken_by_default(size, platform, lanes):
    assert devices.lanes_for({"a": np.zeros((5, size)), "b": np.zeros(5)}, platform) == lanes


@pytest.mark.parametrize(
    ("n_starts", "options"),
    [(1, {}), (3, {"mesh": MESHES["8"]}), (33, {"lanes": 8, "max_steps": 0})],
    ids=["one", "fewer than devices", "no steps"],
)
def test_any_number_of_starts_lanes_and_steps(n_starts, options):
    result = bowl(n_starts=n_starts, **options)
    assert result.fun.shape == (n_starts,)
    assert 0 < result.lane_efficiency <= min(n_starts / 16, 1)
    status = Status.GTOL if options.get("max_steps") != 0 else Status.MAX_STEPS
    assert np.all(result.status == status)
    if status is Status.MAX_STEPS:
        assert np.all(result.n_steps == 0)
        assert same_bits(result.x, result.starts)
        np.testing.assert_allclose(result.fun, np.sum(np.square(result.x), axis=1), rtol=1e-15)


def test_x_and_its_bounds_may_be_trees_of_mixed_dtypes():
    def fun(x):
        return jnp.sum((x["a"] - 0.5) ** 2) + jnp.sum(x["b"].astype(float) ** 2) + x["c"] ** 2

    lower = {"a": -1.0, "b": -np.ones((2, 2), np.float32), "c": -1.0}
    bounds = lower, {"a": np.ones(3), "b": np.float32(1), "c": 1}
    result = explore(fun, bounds, SGD, key=KEY, n_starts=20, lanes=4, gtol=1e-4)
    assert same_bits(result.starts, sample_starts(KEY, 20, bounds))
    assert jax.tree.map(lambda leaf: (leaf.shape, leaf.dtype.name), result.x) == {
        "a": ((20, 3), "float64"),
        "b": ((20, 2, 2), "float32"),
        "c": ((20,), "float64"),
    }
    np.testing.assert_allclose(result.x["a"], 0.5, atol=1e-4)
    one = minimize(fun, jax.tree.map(lambda leaf: leaf[7], result.starts), SGD, gtol=1e-4)
    assert_trees_close(
        result.top(20)[list(result.order).index(7)].record[:5], one.record[:5], 1e-5, 1e-12
    )


def test_any_optax_optimizer_will_do():
    def fun(x, center):
        return jnp.sum((x - center) ** 2) + jnp.sum(jnp.cosh(x))

    args = (jnp.array([1.0, -0.5]),)
    with jax.numpy_dtype_promotion("standard"):  # it does not pass the strict one
        result = explore(fun, (-2, np.full(2, 2)), optax.adam(0.1), key=KEY, n_starts=9, args=args)
        one = result.rerun(4)
    assert np.all(result.status == Status.GTOL)
    assert result.n_steps[4] == one.n_steps
    np.testing.assert_allclose(result.x, np.tile(one.x, (9, 1)), atol=1e-4)
    np.testing.assert_allclose(result.x[4], one.x, rtol=1e-9)


def test_starts_of_your_own_need_no_bounds():
    own = jax.random.normal(KEY, (5, 2))
    result = explore(problems.bowl.fun, None, SGD, key=KEY, n_starts=5, starts=own)
    assert same_bits(result.starts, own)
    assert np.all(result.status == Status.GTOL)


# What is refused


INFINITE = (-1.0, [1.0, np.inf])
OUTSIDE = np.array([[0.0, 0.0], [0.0, 9.0]])


class Unhashable:
    __hash__ = None

    def __call__(self, x):
        return jnp.sum(x)


@pytest.mark.parametrize(
    ("options", "error", "said"),
    [
        ({"lanes": 0}, ValueError, "lanes must be an integer >= 1, got 0"),
        ({"lanes": 1.5}, TypeError, "lanes must be an integer >= 1, got 1.5"),
        ({"n_starts": 0}, ValueError, "n_starts must be an integer >= 1, got 0"),
        ({"starts": "halton"}, ValueError, "starts must be one of 'uniform', 'sobol', 'lhs'"),
        ({"gtol": -1.0}, ValueError, "gtol must be a finite number >= 0"),
        ({"max_steps": -1}, ValueError, "max_steps must be an integer >= 0"),
        ({"patience": 0}, ValueError, "patience must be an integer >= 1"),
        ({"bounds": INFINITE}, ValueError, "starts need finite bounds"),
        ({"bounds": INFINITE, "starts": OUTSIDE[:1]}, ValueError, "starts need finite bounds"),
        ({"bounds": (1, np.zeros(2))}, ValueError, "reversed"),
        ({"bounds": None}, TypeError, "bounds must be"),
        ({"starts": OUTSIDE}, ValueError, "[1, 1] = 9.0 is outside its bounds"),
        ({"starts": OUTSIDE * np.nan}, ValueError, "starts must not be NaN"),
        ({"starts": np.zeros((9, 2))}, ValueError, "9 starts, more than n_starts = 4"),
        ({"starts": np.zeros((2, 3))}, ValueError, "does not fit x of shape (3,)"),
        ({"bounds": ([-1.0, 1.0], [-1.0, 1.0])}, ValueError, "leave nothing to search"),
        ({"bounds": ([-1.0, 1.0], [-1.0, 1.0])}, ValueError, "pairs (low, high) go in a list"),
        ({"bounds": ((-1.0, 1.0), (-1.0, 1.0))}, ValueError, "pairs (low, high) go in a list"),
        ({"starts": np.zeros((2, 2), bool)}, TypeError, "starts has dtype bool"),
        ({"starts": 0.5}, ValueError, "starts"),
        (
            {
                "fun": lambda x: jnp.sum(x["a"] ** 2 + x["b"] ** 2),
                "starts": {"a": np.zeros(4), "b": np.zeros(3)},
                "bounds": None,
            },
            ValueError,
            "starts",
        ),
        ({"args": 3.0}, TypeError, "args"),
        ({"mesh": 2}, TypeError, "mesh must be a jax.sharding.Mesh, got 2"),
        ({"callback": 1}, TypeError, "callback must be a function of a Progress, got 1"),
        ({"fun": None}, TypeError, "fun must be a function of x, got None"),
        ({"fun": Unhashable()}, TypeError, "fun must be hashable"),
        ({"fun": lambda x: x}, TypeError, "real floating scalar, got float64 of shape (2,)"),
    ],
)
def test_nonsense_is_refused_by_name_and_value(options, error, said):
    given = {"fun": problems.bowl.fun, "bounds": BOX, "optimizer": SGD, "key": KEY, "n_starts": 4}
    with pytest.raises(error, match=re.escape(said)):
        explore(**given | options)


def test_limits_are_by_default_those_of_minimize():
    ours, theirs = (inspect.signature(f).parameters for f in (multistart, minimize))
    assert ours["args"].default == theirs["args"].default
    assert ours["checkpoint_every"].default == 60
    limits = {name: theirs[name].default for name in Stop._fields}
    assert stop_by("multistart", {}) == Stop(**limits)
    assert bowl(n_starts=3)._plan.task.stop == Stop(**limits)
    assert stop_by("multistart", {"gtol": None, "patience": 3}).patience == 3


@pytest.mark.parametrize("call", [multistart, basin_map])
def test_a_limit_that_minimize_has_not_is_refused(call):
    with pytest.raises(TypeError, match=rf"^{call.__name__}\(\) got an unexpected .* 'limit'"):
        call(problems.bowl.fun, BOX, SGD, limit=1e-3)


def test_points_of_ones_own_need_neither_a_key_nor_their_number():
    own = np.linspace(-0.5, 0.5, 14).reshape(7, 2)
    result = explore(problems.bowl.fun, BOX, SGD, starts=own)
    assert same_bits(result.starts, own)
    with pytest.raises(TypeError, match=r"key must be one key, such as .*, got None"):
        explore(problems.bowl.fun, BOX, SGD, starts=own, n_starts=8)
    with pytest.raises(TypeError, match=r"key must be one key, such as .*, got None"):
        explore(problems.bowl.fun, BOX, SGD)
    assert len(explore(problems.bowl.fun, BOX, SGD, key=KEY, max_steps=0).fun) == 1024


def test_what_a_result_holds_is_numpy(found):
    assert {type(leaf) for leaf in jax.tree.leaves((found.starts, found.record))} == {np.ndarray}


def test_starts_of_another_shape_are_told_with_that_shape():
    with pytest.raises(ValueError, match=re.escape("does not fit x of shape ()")) as caught:
        search(starts=jnp.zeros(2))
    assert caught.value.__notes__ == ["x is a row of the starts, whose shape is (2,)"]


@pytest.mark.parametrize(
    "call",
    [
        lambda: jax.jit(lambda key: search(key=key).fun)(KEY),
        jax.jit(lambda: search().fun),
        lambda: jax.vmap(lambda gtol: search(gtol=gtol).fun)(jnp.array([0.1, 0.2])),
        lambda: jax.vmap(lambda rate: explore(HOLED, BOX, amsgrad(rate), key=KEY).fun)(
            jnp.array([0.1, 0.2])
        ),
        lambda: jax.grad(lambda radius: search(radius=radius).fun[0])(0.1),
    ],
    ids=["jit of the key", "jit of nothing", "vmap of gtol", "vmap of the optimizer", "grad"],
)
def test_where_jax_is_tracing_it_says_what_to_use_instead(call):
    with pytest.raises(TypeError, match="under jit and vmap use minimize"):
        call()
