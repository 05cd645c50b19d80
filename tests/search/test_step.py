"""One search: every way to stop, in which order, and what its record then holds.

Most searches here go along a line of points that the test chooses, by an optimizer made for it.
"""

import re
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from reference import CONVENTIONS, same_bits

from jamsgrad import Status, amsgrad, minimize
from jamsgrad._search.step import Record, Search, State
from jamsgrad._search.stopping import stop_options
from jamsgrad._search.task import Task

INF, NAN = np.inf, np.nan
OFF = {"gtol": None, "ftol": None, "xtol": None}


def next_point(updates, state, params):
    del updates
    count, points = state
    return points[count + 1] - params, (count + 1, points)


# Goes along the points in its state, whatever the gradient says; numbers with few digits are exact.
N_POINTS = 12
walker = optax.GradientTransformation(
    lambda params: (0, jnp.zeros((N_POINTS, *jnp.shape(params)))), next_point
)


def follow(fun, *points, **options):
    """The search of `fun` along the points, until a tolerance stops it or they end."""
    options = OFF | {"max_steps": len(points) - 1} | options
    points = np.pad(points, [(0, N_POINTS - len(points)), *[(0, 0)] * np.ndim(points[0])])
    return jax.device_get(minimize(fun, points[0], walker, opt_state=(0, points), **options))


def value(x):
    return x


def square(x):
    return x**2


def steep(x):
    return 1e6 * x


def flat(x):
    return 1e-6 * x


def first(x):
    """Ignores the second coordinate."""
    return x[0] ** 2


def half_square(x):
    """The square down to 1, and minus infinity with a gradient of zero below."""
    return jnp.where(x < 1, -INF, x**2)


def overflow(x):
    """The square down to 1, and plus infinity below."""
    return jnp.where(x < 1, INF, x**2)


def nan_value(x):
    """The square down to 1, and NaN with a gradient of zero below."""
    return jnp.where(x < 1, NAN, x**2)


def nan_grad(x):
    """At 0 the value is 0 and JAX's gradient NaN."""
    return jnp.where(x > 0, jnp.sqrt(x), 0.0)


def inf_grad(x):
    """At 0 the value is 0 and the gradient infinite."""
    return jnp.sqrt(x)


# Reaching every status


def test_gtol_stops_at_the_first_small_gradient():
    result = follow(square, 4.0, 2.0, 0.5, 0.25, gtol=1.0)  # 2 |x| <= 1
    assert (result.status, result.n_steps, result.x, result.fun) == (Status.GTOL, 2, 0.5, 0.25)
    assert result.grad_norm == 1.0  # "at most" includes the tolerance itself
    assert result.last_x == 0.5


def test_gtol_looks_at_the_largest_component():
    points = ([4.0, 0.125], [0.125, -3.0], [-0.25, 0.125])
    result = follow(lambda x: jnp.sum(x**2), *points, gtol=0.5)
    assert (result.status, result.n_steps, result.grad_norm) == (Status.GTOL, 2, 0.5)


@pytest.mark.parametrize(("a", "b"), [(1.0, 4.0), (4.0, 1.0)])
def test_gtol_looks_at_every_leaf(a, b):
    def fun(x):
        return a * x["a"] ** 2 + b * jnp.sum(x["b"] ** 2)

    x0 = {"a": 1.0, "b": jnp.array([0.5, 1.0])}
    for gtol, status in ((8.0, Status.GTOL), (7.9, Status.MAX_STEPS)):
        result = minimize(fun, x0, optax.sgd(0.1), max_steps=0, gtol=gtol)
        assert (result.status, result.grad_norm) == (status, 8.0)


@pytest.mark.parametrize(
    ("points", "bounds", "expected"),
    [
        ((4.0, 2.0), (2.0, 5.0), 2.0),  # at the lower end downhill leads out of the box
        ((-4.0, -2.0), (-5.0, -2.0), -2.0),
        ((4.0, 1.0), (2.0, 5.0), 2.0),  # projected onto the end
    ],
)
def test_gtol_takes_the_projected_gradient(points, bounds, expected):
    result = follow(square, *points, gtol=0.0, bounds=bounds)
    assert (result.status, result.n_steps, result.x) == (Status.GTOL, 1, expected)
    assert result.grad_norm == 0


TOLERANCES = pytest.mark.parametrize(
    ("name", "status"), [("ftol", Status.FTOL), ("xtol", Status.XTOL)]
)


@TOLERANCES
@pytest.mark.parametrize("unit", [1.0, 2.0**-60, 2.0**60])
@pytest.mark.parametrize(
    ("points", "stops"),
    [
        ((1.0, 2.0, 2.0 + 2**-6), 2),
        ((1.0, 2.0, 2.0 + 2**-5), None),
        ((1.0, 1000.0, 1010.0), 2),  # relative to the new value
        ((1.0, 1000.0, 990.0), None),
        ((1.0, -1000.0, -1010.0), 2),  # and to its size, not its sign
        ((1.0, -1000.0, -990.0), None),
        ((2**-8, 2**-9, 2**-10), None),  # also below 1
        ((0.009,), None),  # the start has nothing to be compared with
    ],
)
def test_ftol_and_xtol_are_relative_in_any_unit(name, status, unit, points, stops):
    points = [unit * point for point in points]
    result = follow(value, *points, patience=1, **{name: 0.01})
    expected = (Status.MAX_STEPS, len(points) - 1) if stops is None else (status, stops)
    assert (result.status, result.n_steps) == expected


@pytest.mark.parametrize(
    ("bounds", "stops"),
    [((-512.0, 512.0), 2), ((0.0, 512.0), 3), ((0.0, INF), 4), ((-INF, 512.0), 4), (None, 4)],
)
def test_xtol_is_relative_to_the_width_of_a_box(bounds, stops):
    points = (0.0, 16.0, 6.0, 11.0, 11.1)  # moves by 16, 10, 5 and 0.1
    result = follow(value, *points, patience=1, xtol=1.0 / 102, bounds=bounds)
    assert (result.status, result.n_steps) == (Status.XTOL, stops)


def test_ftol_looks_at_the_value_and_xtol_at_the_point():
    def shifted(x):
        return x + 1e6

    points = (1.0, 2.0, 3.0)
    assert follow(shifted, *points, patience=1, xtol=1e-3).status == Status.MAX_STEPS
    result = follow(shifted, *points, patience=1, ftol=1e-3)
    assert (result.status, result.n_steps) == (Status.FTOL, 1)

    def from_a_million(x):
        return x - 1e6

    points = (1e6 + 1, 1e6 + 2, 1e6 + 3)
    assert follow(from_a_million, *points, patience=1, ftol=1e-3).status == Status.MAX_STEPS
    result = follow(from_a_million, *points, patience=1, xtol=1e-3)
    assert (result.status, result.n_steps) == (Status.XTOL, 1)


def test_xtol_needs_every_component_of_every_leaf_to_rest():
    points = ([1.0, 5.0], [1.0, 4.0], [2.0, 4.0], [2.0, 4.001])
    result = follow(lambda x: jnp.sum(x**2), *points, xtol=1e-3, patience=1)
    assert (result.status, result.n_steps) == (Status.XTOL, 3)
    # One leaf rests from the start, the other one only moves more and more slowly.
    result = minimize(
        lambda x: (x["moves"] - 4) ** 2,
        {"moves": 5.0, "rests": jnp.ones(3)},
        optax.sgd(0.25),
        **OFF | {"xtol": 1 / 64},
        patience=1,
    )
    assert (result.status, result.n_steps) == (Status.XTOL, 4)  # 1/2, 1/4, 1/8, 1/16


@TOLERANCES
@pytest.mark.parametrize(("patience", "stops"), [(1, 2), (2, 5), (3, 10), (4, None)])
def test_patience_counts_in_a_row(name, status, patience, stops):
    a, b, c = 10.0, 10.0 + 2**-20, 10.0 - 2**-20  # as good as equal
    points = (1.0, a, b, 20.0, 20 * a / 10, 20 * b / 10, 30.0, 4 * a, 4 * b, 4 * c, 4 * a, 50.0)
    points = (*points[:4], 20 + 2**-20, *points[5:])
    result = follow(value, *points, patience=patience, **{name: 2**-18})
    expected = (Status.MAX_STEPS, len(points) - 1) if stops is None else (status, stops)
    assert (result.status, result.n_steps) == expected


@TOLERANCES
def test_steps_of_length_zero_count_for_nothing(name, status):
    points = (4.0, 2.0, 2.0, 2.0, 2.0, 2.0 - 2**-20, 2.0 - 2**-20, 2.0 - 2**-19, 1.0)
    for patience, stops in ((1, 5), (2, 7)):  # neither do they break a row
        result = follow(value, *points, patience=patience, **{name: 1e-3})
        assert (result.status, result.n_steps) == (status, stops)
    result = follow(square, *points[:3], *[0.0] * 9, patience=3, **{name: 1e-3})
    assert (result.status, result.n_steps) == (status, 6)  # but at 0 there is no slope


def test_a_search_that_no_longer_moves_is_stalled():
    points = (4.0, *[2.0] * 11)
    for options in ({"gtol": 1e-3}, {"ftol": 1e-3}, {"xtol": 1e-3}):
        result = follow(square, *points, patience=10, **options)
        assert (result.status, result.n_steps) == (Status.STALLED, 11)
        assert (result.x, result.success) == (2.0, False)
        result = follow(square, *points, patience=11, **options)
        assert result.status == Status.MAX_STEPS
    assert follow(square, *points).status == Status.COMPLETED


def test_ftol_and_xtol_are_counted_apart():
    # Value and point rest in turn; together they would make four in a row.
    points = ([1.0, 1.0], [1.0, 2.0], [1.001, 2.0], [1.001, 3.0], [1.002, 3.0])
    result = follow(lambda x: 1e6 * (x[0] - 1), *points, ftol=0.0, xtol=1e-2, patience=2)
    assert result.status == Status.MAX_STEPS


def test_patience_does_not_wait_for_gtol():
    assert follow(square, 4.0, 0.0, 1.0, gtol=0.0, patience=3).n_steps == 1


def test_without_tolerances_a_search_is_completed():
    result = follow(square, 4.0, 3.0, 2.0)
    assert (result.status, result.n_steps, result.x) == (Status.COMPLETED, 2, 2.0)


@pytest.mark.parametrize("name", ["gtol", "ftol", "xtol"])
def test_with_a_tolerance_it_is_out_of_steps(name):
    result = follow(square, 4.0, 3.0, 2.0, **{name: 0.0})
    assert (result.status, result.n_steps, result.x) == (Status.MAX_STEPS, 2, 2.0)


def test_a_search_under_way_is_stopped_from_outside():
    for gtol in (1e-5, None):
        stop = stop_options(9, gtol, None, None, 1)
        one = Search(Task(square, optax.sgd(0.1), (), None, stop))
        state = one.init(jnp.array(2.0))
        assert (one.record(state).status, one.record(state).n_steps) == (Status.STOPPED, 0)
        state, point = one.step(state)
        record = one.record(state)
        assert (record.status, record.n_steps) == (Status.STOPPED, 1)
        assert (record.x, record.fun, record.grad_norm) == (2.0, 4.0, 4.0)
        assert (point.x, point.fun, point.grad_norm) == (2.0, 4.0, 4.0)
        assert state.x == 1.6  # not evaluated yet


# NaN and infinity


@pytest.mark.parametrize(
    ("fun", "points"),
    [
        (nan_value, (4.0, 2.0, 0.0, 1.0)),
        (half_square, (4.0, 2.0, 0.0, 1.0)),
        (overflow, (4.0, 2.0, 0.0, 1.0)),
        (nan_grad, (16.0, 4.0, 0.0, 1.0)),
        (inf_grad, (16.0, 4.0, 0.0, 1.0)),
        (square, (4.0, 2.0, NAN, 1.0)),
        (square, (4.0, 2.0, INF, 1.0)),
        (square, (4.0, 2.0, 1e200, 1.0)),
        (first, ([4.0, 0.0], [2.0, 0.0], [1.0, NAN], [1.0, 0.0])),
        (first, ([4.0, 0.0], [2.0, 0.0], [1.0, -INF], [1.0, 0.0])),
    ],
    ids=lambda value: getattr(value, "__name__", None) or str(value[2]),
)
@pytest.mark.parametrize("tolerance", [{}, {"gtol": 1e-3, "ftol": 1e-3, "xtol": 1e-3}])
def test_nan_and_infinity_stop_at_once_and_the_best_finite_point_is_kept(fun, points, tolerance):
    result = follow(fun, *points, **tolerance)
    assert (result.status, result.n_steps) == (Status.NONFINITE, 2)
    assert not result.success
    np.testing.assert_array_equal(result.x, points[1])
    assert (result.fun, result.grad_norm) == (
        fun(result.x),
        np.max(np.abs(jax.grad(fun)(result.x))),
    )
    np.testing.assert_array_equal(result.last_x, points[2])  # where it broke


@pytest.mark.parametrize(
    ("fun", "start"),
    [
        (square, NAN),
        (square, INF),
        (nan_value, 0.5),
        (half_square, 0.5),
        (overflow, 0.5),
        (nan_grad, 0.0),
        (first, [1.0, NAN]),
    ],
    ids=lambda value: getattr(value, "__name__", None) or str(value),
)
@pytest.mark.parametrize("max_steps", [0, 5])
def test_a_start_that_is_not_finite_says_so_at_once(fun, start, max_steps):
    result = minimize(fun, jnp.array(start), optax.sgd(0.1), max_steps=max_steps, gtol=10.0)
    assert (result.status, result.n_steps) == (Status.NONFINITE, 0)
    np.testing.assert_array_equal(result.x, start)
    np.testing.assert_array_equal(result.last_x, start)
    np.testing.assert_array_equal(result.fun, fun(jnp.array(start)))


@pytest.mark.parametrize(
    ("tolerances", "status"), [({}, Status.COMPLETED), ({"gtol": 0.0}, Status.MAX_STEPS)]
)
def test_the_best_point_is_the_lowest_and_not_the_last(tolerances, status):
    result = follow(square, 4.0, -1.0, 3.0, 1.0, 2.0, **tolerances)
    assert (result.x, result.fun, result.grad_norm) == (-1.0, 1.0, 2.0)  # of equals the first
    assert (result.status, result.n_steps, result.last_x) == (status, 4, 2.0)


def hill(x):
    return -(x**2)


@pytest.mark.parametrize(("name", "status"), [("ftol", Status.FTOL), ("xtol", Status.XTOL)])
def test_ftol_and_xtol_stop_with_the_best_point(name, status):
    result = follow(hill, 4.0, -3.0, 0.25, 0.2501, 5.0, patience=1, **{name: 0.01})
    assert (result.status, result.n_steps, result.last_x) == (status, 3, 0.2501)
    assert (result.x, result.fun, result.grad_norm) == (4.0, -16.0, 8.0)


def test_gtol_stops_with_its_own_point_unless_a_better_one_was_seen():
    result = follow(square, 4.0, 0.5, 0.25, gtol=1.0)
    assert (result.status, result.x, result.n_steps) == (Status.GTOL, 0.5, 1)
    # Within rounding of the best it is no worse, and so the result.
    result = follow(lambda x: 1 - 8e-15 * x, 1.0, 0.0, -1.0, gtol=1e-14)
    assert (result.status, result.x, result.n_steps) == (Status.GTOL, 1.0, 0)
    result = follow(lambda x: 1 + x**4 / 4, 2e-4, 2.1e-4, 1e-4, gtol=5e-12)
    assert (result.status, result.x) == (Status.GTOL, 1e-4)


def test_a_rest_that_is_worse_than_the_best_is_no_success():
    points = (4.0, -3.0, 0.25, 0.125, 5.0)
    result = follow(hill, *points[:-1], gtol=0.5)
    assert (result.status, result.n_steps, result.last_x) == (Status.WORSE, 3, 0.125)
    assert (result.x, result.fun, result.grad_norm) == (4.0, -16.0, 8.0)
    result = follow(hill, *points, gtol=0.5)  # it went on, and down again
    assert (result.status, result.x) == (Status.MAX_STEPS, 5.0)


def plateau(x):
    return 1 - jnp.exp(-(x**2))


def wide_plateau(x):
    return jnp.tanh(x - 2)


def periodic(x):
    return jnp.cos(x) + 0.1 * x


@pytest.mark.parametrize(
    ("fun", "x0", "rate"),
    [(plateau, 1.0, 2.0), (plateau, -0.5, 3.0), (wide_plateau, 2.0, -5.0), (periodic, 0.5, -2.5)],
)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_no_success_is_worse_than_any_point_of_its_path(fun, x0, rate, dtype):
    for optimizer in (amsgrad(abs(rate)), optax.sgd(rate), optax.sgd(rate, momentum=0.5)):
        result = minimize(fun, jnp.array(x0, dtype), optimizer, max_steps=2000, record_every=1)
        lowest = np.nanmin(result.trajectory.fun)
        if result.success:
            assert result.fun <= lowest + 64 * np.finfo(dtype).eps * abs(lowest)
        else:
            assert result.fun == lowest
            assert result.status in (Status.WORSE, Status.MAX_STEPS)


def test_a_search_that_rests_on_a_plateau_keeps_its_best_point():
    result = minimize(plateau, jnp.array(1.0), amsgrad(2.0))
    assert (result.status, result.n_steps) == (Status.WORSE, 1000)
    assert (result.x, result.fun) == (1.0, plateau(1.0))
    assert "smaller learning rate" in result.message


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("convention", CONVENTIONS)
def test_a_gradient_of_1e30_is_survived(convention, dtype):
    def cliff(x):
        return jnp.where(x > 1, 1e30 * x, x**2)

    optimizer = amsgrad(0.1, convention=convention)
    result = minimize(cliff, jnp.array(2.0, dtype), optimizer, max_steps=50)
    assert result.status == Status.MAX_STEPS
    assert np.isfinite([result.x, result.fun, result.grad_norm, result.last_x]).all()
    assert result.fun == cliff(result.x) < 1  # over the cliff, at its speed
    # In float32 the square overflows: no coordinate may be lost by that.
    exact = minimize(cliff, jnp.array(2.0), optimizer, max_steps=50)
    np.testing.assert_allclose(result.last_x, exact.last_x, rtol=1e-4)
    # Beyond the cliff vhat, which never decays, stalls it: grad_norm tells.
    stalled = minimize(cliff, result.last_x, optimizer, opt_state=result.opt_state, xtol=1e-3)
    assert stalled.status in (Status.XTOL, Status.STALLED)
    assert stalled.grad_norm > 1e-2


# Which status wins


@pytest.mark.parametrize(
    ("fun", "tolerances", "status"),
    [
        (half_square, ["gtol", "ftol", "xtol"], Status.NONFINITE),
        (square, ["gtol", "ftol", "xtol"], Status.GTOL),
        (square, ["ftol", "xtol"], Status.FTOL),
        (square, ["xtol"], Status.XTOL),
        (square, [], Status.COMPLETED),
    ],
)
def test_the_most_telling_status_wins(fun, tolerances, status):
    # At the last step all rules hold at once: the tolerances are wide, but for the first gradient.
    limits = {"gtol": 1.0, "ftol": 100.0, "xtol": 100.0}
    chosen = {name: limits[name] for name in tolerances}
    result = follow(fun, 2.0, 0.5, patience=1, **chosen)
    assert (result.status, result.n_steps) == (status, 1)
    assert result.success == (status > 0)


@pytest.mark.parametrize(
    ("start", "gtol", "status"),
    [(0.0, 1e-5, Status.GTOL), (1.0, 1e-5, Status.MAX_STEPS), (1.0, None, Status.COMPLETED)],
)
def test_no_steps_still_evaluate_the_start(start, gtol, status):
    result = minimize(square, start, optax.sgd(0.1), max_steps=0, gtol=gtol, record_every=1)
    assert (result.status, result.n_steps, result.trajectory.n_recorded) == (status, 0, 1)
    assert (result.x, result.last_x, result.fun) == (start, start, start**2)
    assert result.grad_norm == 2 * start


# What a status says


def test_statuses_are_numbers_with_a_sentence_each():
    numbers = {"GTOL": 1, "FTOL": 2, "XTOL": 3, "COMPLETED": 4, "MAX_STEPS": 0, "NONFINITE": -1}
    numbers |= {"STOPPED": -2, "STALLED": -3, "WORSE": -4, "ROUNDING": 5}
    assert {status.name: int(status) for status in Status} == numbers
    assert len({status.message for status in Status}) == len(Status)
    for status in Status:
        assert Status(int(status)) is status
        assert re.fullmatch(r"[A-Z][^\n]{20,}[^.]\.", status.message)


@pytest.mark.parametrize(
    ("status", "advice"),
    [
        (Status.GTOL, "gtol"),
        (Status.FTOL, "ftol"),
        (Status.FTOL, "grad_norm"),
        (Status.XTOL, "xtol"),
        (Status.XTOL, "grad_norm"),
        (Status.MAX_STEPS, "more steps"),
        (Status.NONFINITE, "smaller learning rate"),
        (Status.STALLED, "learning rate is 0"),
        (Status.STALLED, "float64"),
        (Status.WORSE, "smaller learning rate"),
        (Status.ROUNDING, "lowers the value"),
    ],
)
def test_messages_say_what_to_look_at(status, advice):
    assert advice in status.message


# The pair


class Seen(NamedTuple):
    state: State
    record: Record


def states(fun, optimizer, x, steps, opt_state=None, lanes=False, **options):
    """The states and records after 0, 1, ... steps."""
    stop = stop_options(**{"max_steps": 1000, "patience": 1} | OFF | options)
    one = Search(Task(fun, optimizer, (), None, stop))
    step = jax.jit(one.step if lanes else lambda *both: one.advance(*both, one.running(both[0])))
    state = one.init(jnp.array(x), opt_state)
    found, rest = [state], [] if lanes else [one.unseen(state)]
    for _ in range(steps):
        state, *rest = step(state, *rest)
        found, rest = [*found, state], rest[:-1]
    return [Seen(state, one.record(state)) for state in found]


@pytest.mark.parametrize(
    "options", [{"gtol": 1.0}, {"ftol": 10.0}, {"xtol": 10.0}, {"max_steps": 1}], ids=str
)
def test_a_stopped_state_changes_no_more(options):
    optimizer = optax.sgd(0.25, momentum=0.5)
    stopped, later = states(square, optimizer, 1.5, 5, **options)[-2:]
    assert stopped.record.status != Status.STOPPED
    assert same_bits(stopped, later)


@pytest.mark.as_users_compile
@pytest.mark.parametrize(
    ("points", "options", "status"),
    [
        ((4.0, 2.0, 0.5, 0.25, 0.125), {"gtol": 1.0}, Status.GTOL),
        ((4.0, 2.0, 0.5, 8.0, 16.0), {"gtol": 1.0}, Status.GTOL),  # would go on
        ((4.0, 2.0, 1.0, 0.5, 0.25), {"gtol": 0.0, "max_steps": 2}, Status.MAX_STEPS),
        ((4.0, 2.0, NAN, 0.5, 0.0), {}, Status.NONFINITE),
    ],
)
def test_in_lanes_only_the_record_rests(points, options, status):
    walk = partial(states, square, walker, points[0], 4, (jnp.int32(0), jnp.array(points)))
    frozen, free = (walk(lanes=lanes, **options) for lanes in (False, True))
    assert all(same_bits(a.record, b.record) for a, b in zip(frozen, free, strict=True))
    assert (free[-1].record.status, free[-1].record.n_steps) == (status, 2)
    np.testing.assert_array_equal(frozen[-1].state.x, points[2])
    assert status == Status.NONFINITE or free[-1].state.x == points[4]


@pytest.mark.as_users_compile
def test_a_step_does_not_depend_on_its_lane():
    stop = stop_options(50, 1e-2, None, 1e-9, 2)
    one = Search(Task(square, amsgrad(0.1), (), None, stop))
    starts = jnp.linspace(-2, 2, 9)
    lanes, singles = jax.vmap(one.init)(starts), [one.init(x) for x in starts]
    together, single = jax.jit(jax.vmap(one.step)), jax.jit(one.step)
    for _ in range(60):
        lanes, _ = together(lanes)
        singles = [single(state)[0] for state in singles]
    found = jax.vmap(one.record)(lanes)
    assert set(np.asarray(found.status)) == {Status.GTOL, Status.MAX_STEPS}
    for i, alone in enumerate(map(one.record, singles)):
        lane = jax.tree.map(lambda leaf: leaf[i], found)  # noqa: B023 used at once
        assert (lane.n_steps, lane.status) == (alone.n_steps, alone.status)
        # A few roundings apart at most: XLA vectorises over lanes.
        np.testing.assert_allclose(lane.x, alone.x, rtol=1e-12, atol=1e-15)


@pytest.mark.parametrize(
    ("option", "bad", "error"),
    [
        ("max_steps", -1, ValueError),
        ("max_steps", 2.0, TypeError),
        ("max_steps", None, TypeError),
        ("patience", 0, ValueError),
        ("patience", "two", TypeError),
        ("gtol", -1e-9, ValueError),
        ("gtol", NAN, ValueError),
        ("ftol", INF, ValueError),
        ("ftol", "small", TypeError),
        ("xtol", -1, ValueError),
    ],
)
def test_bad_stop_options_are_refused_by_name_and_value(option, bad, error):
    with pytest.raises(error, match=f"{option} must be .*{re.escape(repr(bad))}"):
        minimize(square, 1.0, optax.sgd(0.1), **{option: bad})


@pytest.mark.parametrize("tolerance", [np.float64(0.1), np.float32(0.1), jnp.float64(0.1), 1])
@pytest.mark.parametrize("name", ["gtol", "ftol", "xtol"])
def test_tolerances_may_be_any_number(name, tolerance):
    for dtype in ("float32", "float64"):
        result = minimize(square, jnp.array(1.0, dtype), optax.sgd(0.25), **{name: tolerance})
        assert result.success


@pytest.mark.parametrize(
    ("name", "status"), [("gtol", Status.GTOL), ("ftol", Status.FTOL), ("xtol", Status.XTOL)]
)
def test_a_traced_tolerance_may_have_another_dtype(name, status):
    def run(tolerance):
        x0, off = jnp.float32(1), OFF | {name: tolerance}
        return minimize(lambda x: 1 + (x - 1) ** 2, 1 + x0, optax.sgd(0.25), **off)

    assert jax.jit(run)(jnp.float64(0.1)).status == status
