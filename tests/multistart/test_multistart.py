"""`multistart`: `minimize` from every start, the same bits on any devices, stopped at any time."""

import inspect
import re
import signal
import sys
import threading
import time
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from reference import assert_trees_close, same_bits

from jamsgrad import (
    MultiStartResult,
    Progress,
    Status,
    amsgrad,
    basin_map,
    minimize,
    multistart,
    problems,
    sample_starts,
)
from jamsgrad._multistart import devices, drive
from jamsgrad._search.minimize import stop_by
from jamsgrad._search.stopping import Stop

KEY = jax.random.key(3)
BOX = problems.himmelblau.bounds
AMSGRAD, SGD = amsgrad(0.3, b2=0.99), optax.sgd(0.1)
N_STARTS, LANES, GTOL = 300, 64, 1e-3
MESHES = {"8": jax.make_mesh((8,), ("x",)), "4x2": jax.make_mesh((4, 2), ("a", "b"))}
MESHES["3 of them"] = jax.make_mesh((3,), ("x",), devices=jax.devices()[6:3:-1])


class Holed:
    """Himmelblau's function, `value` within `radius` of (3, 2); counts how often Python runs it."""

    times = 0

    def __call__(self, x, radius, value):
        self.times += 1
        hole = jnp.sum((x - jnp.array([3.0, 2.0])) ** 2) < radius**2
        return jnp.where(hole, value, problems.himmelblau.fun(x))


HOLED = Holed()


def search(radius=0.0, value=0.0, **options):
    """The search that most tests share: as long as only data change it is compiled once."""
    given = {"key": KEY, "n_starts": N_STARTS, "lanes": LANES, "gtol": GTOL} | options
    return multistart(HOLED, BOX, AMSGRAD, args=(radius, value), **given)


def rows(result, which=slice(None)):
    """Everything in the result that belongs to a start, on the host."""
    arrays = (result.starts, result.x, result.fun, result.grad_norm, result.n_steps, result.status)
    return jax.tree.map(lambda leaf: np.asarray(leaf)[which], arrays)


def assert_rows_close(a, b):
    """Same starts, steps and statuses; points, values and gradients to rounding."""
    assert same_bits((a[0], a[4:]), (b[0], b[4:]))
    # The values near 0 are squares of small differences; in the gradients terms of 1000 cancel.
    assert_trees_close(a[1:4], b[1:4], rtol=1e-10, atol=1e-9)


@jax.jit
@jax.vmap
def alone(x0):
    """`minimize` as it is without lanes."""
    return minimize(problems.himmelblau.fun, x0, AMSGRAD, bounds=BOX, gtol=GTOL).record[:5]


himmelblaus = jax.jit(jax.vmap(problems.himmelblau.fun))


@pytest.fixture(scope="module")
def found():
    return search()


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


# Devices, lanes, watchers


def test_options_that_xla_does_not_know_are_left_out(found, monkeypatch):
    compiled = devices._compiled_advance.__wrapped__
    assert devices._can_compile({})
    assert devices._can_compile(devices._WIDE_VECTORS)
    unknown = {"xla_cpu_what_nobody_knows": 512}
    assert not devices._can_compile(unknown)
    monkeypatch.setattr(devices, "_WIDE_VECTORS", unknown)
    monkeypatch.setattr(devices, "_compiled_advance", compiled)
    assert_rows_close(rows(search()), rows(found))


def test_watching_and_running_again_change_no_bit(found):
    seen = []
    assert same_bits(rows(search(callback=seen.append)), rows(found))
    assert seen
    assert same_bits(rows(search()), rows(found))


@pytest.mark.parametrize(
    ("mesh", "lanes"), [("8", LANES), ("4x2", LANES), ("8", 7), ("3 of them", LANES)]
)
def test_many_devices_give_the_bits_of_one(mesh, lanes):
    one, seen = search(lanes=lanes), []
    for options in ({}, {"callback": seen.append}):
        result = search(mesh=MESHES[mesh], lanes=lanes, **options)
        assert same_bits(rows(result), rows(one))
        assert result.n_success == one.n_success
        assert same_bits(result.best, one.best)
    assert (seen[-1].done, seen[-1].best) == (N_STARTS, one.best.fun)


def test_many_devices_give_the_bits_of_one_where_rounding_decides():
    def rugged(mesh):
        problem = problems.griewank(5)
        given = {"key": KEY, "n_starts": 1000, "lanes": 64, "max_steps": 300, "mesh": mesh}
        return multistart(problem.fun, problem.bounds, amsgrad(0.1, b2=0.99), **given)

    assert same_bits(rows(rugged(MESHES["8"])), rows(rugged(None)))


@pytest.mark.parametrize(
    ("n", "lanes"), [(1, 1024), (3, 1024), (4, 1008), (10, 400), (31, 128), (32, 1024)]
)
def test_lanes_default_to_what_is_fast_for_so_many_variables(monkeypatch, n, lanes):
    def layout(**options):
        monkeypatch.setattr(devices.Program, "init", lambda self: seen.append(self.layout) or 1 / 0)
        seen = []
        with pytest.raises(ZeroDivisionError):
            multistart(jnp.sum, (jnp.zeros(n), 1.0), SGD, key=KEY, n_starts=2000, **options)
        return seen[0]

    assert layout().n_lanes == lanes
    assert layout(lanes=2000).n_lanes == 2000


@pytest.mark.parametrize("kind", ["Auto", "Explicit"])
@pytest.mark.parametrize("own", [True, False])
def test_it_works_while_another_mesh_is_set(found, kind, own):
    axis_types = (getattr(jax.sharding.AxisType, kind),)
    mesh = jax.make_mesh((8,), ("s",), axis_types=axis_types)
    with jax.set_mesh(mesh):
        result = search(mesh=mesh if own else None)
        assert same_bits(rows(result), rows(found))
        assert [m.count for m in result.minima] == [m.count for m in found.minima]
        assert result.rerun(3).success
        assert same_bits(result.top(1)[0], found.best)


def far(x, centers):
    return jnp.mean(jnp.sum((x[None] - centers) ** 2, axis=1))


@pytest.mark.parametrize("kind", ["Auto", "Explicit"])
@pytest.mark.parametrize("spec", [None, (), ("s",)], ids=["one device", "replicated", "sharded"])
def test_args_and_bounds_may_be_on_any_devices(spec, kind):
    axis_types = (getattr(jax.sharding.AxisType, kind),)
    mesh = jax.make_mesh((8,), ("s",), axis_types=axis_types)
    place = jax.devices()[3]
    if spec is not None:
        place = jax.NamedSharding(mesh, jax.P(*spec))
    centers = np.arange(16.0).reshape(8, 2) / 16
    box = jax.device_put(([-1.0, -1.0], [1.0, 1.0]), jax.devices()[2])
    box = tuple(map(jnp.stack, box))
    options = {"key": KEY, "n_starts": 20, "lanes": 16}
    for used in (None, mesh):
        args = (jax.device_put(centers, place),)
        result = multistart(far, box, SGD, args=args, mesh=used, **options)
        assert result.n_success == 20
        (minimum,) = result.minima
        np.testing.assert_allclose(minimum.x, centers.mean(axis=0), atol=1e-5)


def test_leaves_without_numbers_do_no_harm(tmp_path):
    box = {"a": np.zeros((0, 3)), "b": -np.ones(2)}, {"a": np.zeros((0, 3)), "b": np.ones(2)}
    result = multistart(lambda x: jnp.sum(x["b"] ** 2), box, SGD, key=KEY, n_starts=20)
    assert result.x["a"].shape == (20, 0, 3)
    assert [m.count for m in result.minima] == [20]
    result.save(tmp_path / "found.npz")
    assert MultiStartResult.load(tmp_path / "found.npz").x["a"].shape == (20, 0, 3)


def test_minima_without_a_hessian_are_found_while_nan_is_looked_for():
    with jax.debug_nans(True):
        result = multistart(
            lambda x: jnp.sum(jnp.abs(x) ** 1.5), None, SGD, key=KEY, n_starts=1,
            starts=jnp.zeros((1, 2)),
        )  # fmt: skip
        assert [m.kind for m in result.minima] == ["unknown"]


def test_each_device_gets_its_share(monkeypatch):
    shares, share_out = [], devices.share_out
    spy = lambda *given: shares.append(given[2:]) or share_out(*given)  # noqa: E731
    monkeypatch.setattr(devices, "share_out", spy)
    search(mesh=MESHES["3 of them"])
    assert shares == [(N_STARTS, N_STARTS // 3)]


def test_nothing_is_shown_unless_asked_for(capfd):
    search()
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("lanes", [1, 7, 4096])
def test_another_number_of_lanes_gives_the_same_starts_and_results_to_rounding(found, lanes):
    assert_rows_close(rows(search(lanes=lanes)), rows(found))


def test_new_data_do_not_compile_again(found):
    times = HOLED.times
    search(radius=0.5, value=9.0, key=jax.random.key(9), gtol=0.1, starts=jnp.zeros((3, 2)))
    search(max_steps=77)
    result = search(max_steps=1002, patience=4, callback=lambda progress: None)
    assert HOLED.times == times
    assert same_bits(rows(result), rows(found))


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


# Watching and stopping


def test_the_callback_sees_the_search_go_on_to_its_end(found):
    seen = []
    search(callback=seen.append, gtol=1e-3)
    assert all(isinstance(progress, Progress) for progress in seen)
    done, n_starts, n_success, best, seconds = zip(*seen, strict=True)
    assert done == tuple(sorted(done))
    assert set(n_starts) == {N_STARTS}
    assert all(a <= b for a, b in zip(n_success, done, strict=True))
    assert best == tuple(sorted(best, reverse=True))
    assert seconds == tuple(sorted(seconds))
    assert (done[-1], n_success[-1], best[-1]) == (N_STARTS, found.n_success, found.best.fun)


def stop(progress):
    raise StopIteration


def interrupt(progress):
    signal.raise_signal(signal.SIGINT)  # what Ctrl-C does


AFTER_A_ROUND = pytest.mark.parametrize("gtol", [10.0, 0.0], ids=["some done", "none done"])


@AFTER_A_ROUND
@pytest.mark.parametrize("end", [stop, interrupt])
def test_whoever_ends_the_search_early_gets_what_it_has(end, gtol):
    before = signal.getsignal(signal.SIGINT)
    result, whole = search(callback=end, gtol=gtol), search(gtol=gtol)
    assert signal.getsignal(signal.SIGINT) is before
    stopped = np.asarray(result.status == Status.STOPPED)
    assert np.sum(stopped) >= N_STARTS - LANES
    assert np.all(stopped) == (gtol == 0)
    assert result.n_success == N_STARTS - np.sum(stopped)
    assert same_bits(rows(result, ~stopped), rows(whole, ~stopped))
    # What took a step has the value of its point, what did not is a start without one.
    evaluated = ~stopped | np.asarray(result.n_steps > 0)
    assert np.sum(evaluated) == LANES
    assert same_bits(np.asarray(result.x)[~evaluated], np.asarray(result.starts)[~evaluated])
    values = np.where(evaluated, himmelblaus(result.x), np.nan)
    np.testing.assert_allclose(result.fun, values, rtol=1e-13, atol=1e-13)
    np.testing.assert_array_equal(np.isnan(result.grad_norm), ~evaluated)
    assert result.best.fun == np.nanmin(result.fun)


@AFTER_A_ROUND
def test_searches_that_never_began_are_not_counted_as_useful(gtol):
    result = search(callback=stop, gtol=gtol)
    evaluations = np.sum(result.n_steps) + np.sum(np.asarray(result.status) != Status.STOPPED)
    round_steps = np.max(search(callback=stop, gtol=0.0).n_steps)
    expected = float(evaluations) / float(LANES * round_steps)
    np.testing.assert_allclose(result.lane_efficiency, expected, rtol=1e-6)


def test_ctrl_c_while_it_compiles_gives_the_starts_without_values():
    once = iter([interrupt])

    def fun(x):
        for end in once:
            end(None)
        return jnp.sum(x**2)

    result = multistart(fun, ([-1.0, -2.0], [1.0, 2.0]), SGD, key=KEY, n_starts=5)
    assert np.all(result.status == Status.STOPPED)
    assert same_bits(result.x, result.starts)
    assert np.all(result.n_steps == 0)
    assert np.all(np.isnan(result.fun) & np.isnan(result.grad_norm))
    assert 0 <= result.lane_efficiency <= 1


def test_an_error_in_the_callback_comes_through_and_the_handler_is_restored():
    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(ZeroDivisionError):
        search(callback=lambda progress: 1 / 0)
    assert signal.getsignal(signal.SIGINT) is before


def test_it_runs_in_another_thread(found):
    results = []
    thread = threading.Thread(target=lambda: results.append(search()))
    thread.start()
    thread.join()
    assert same_bits(rows(results[0]), rows(found))


def test_a_progress_bar_shows_starts_value_and_success(found, capsys):
    pytest.importorskip("tqdm")
    assert same_bits(rows(search(progress=True)), rows(found))
    shown = capsys.readouterr().err
    assert "compiling" in shown
    last = shown.splitlines()[-1]
    assert "searching: 100%" in last
    assert f"{N_STARTS}/{N_STARTS}" in last
    assert f"best {float(found.best.fun):.6g}, success 100%" in last


def test_a_progress_bar_without_tqdm_names_the_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "tqdm.auto", None)
    with pytest.raises(ImportError, match="pip install tqdm"):
        search(progress=True)


# The pace


def drain(monkeypatch, slices, save_every=1e6, watchers=()):
    """What the queue was asked and when it was saved, by a clock that only its slices move.

    `slices` holds the seconds that a round takes in each slice; after the last the queue is dry.
    """
    began = 64.0
    seconds, rounds, saved = [began], [], []
    monkeypatch.setattr(drive.time, "perf_counter", lambda: seconds[0])

    class Program:
        n_starts = 40

        def advance(self, queue, n_rounds):
            rounds.append(n_rounds)
            seconds[0] += n_rounds * slices[queue]
            return queue + 1

        def look(self, queue):
            return tuple(map(np.asarray, (queue < len(slices), 10 * queue, queue, -queue)))

    drive.drive(
        Program(),
        0,
        list(watchers),
        threading.Event(),
        lambda queue: saved.append((queue, seconds[0] - began)),
        save_every,
    )
    return rounds, saved


def test_slices_grow_to_half_a_second_and_shrink_with_slow_rounds(monkeypatch):
    seen = []
    slices = [1 / 64] * 4 + [1 / 32, 1 / 32, 8.0, 1 / 64, 1 / 64]
    rounds, saved = drain(monkeypatch, slices, watchers=[seen.append])
    assert rounds == [1, 4, 16, 32, 32, 16, 16, 1, 4]
    ends = np.cumsum(np.multiply(rounds, slices))
    assert seen == [Progress(10 * k, 40, k, -k, ends[k - 1]) for k in range(1, 10)]
    assert saved == [(9, ends[-1])]  # complete, and not before


def test_it_is_saved_when_the_interval_is_over_and_when_somebody_stops_it(monkeypatch):
    half_seconds = [1 / 2] * 8
    assert drain(monkeypatch, half_seconds, 1.0) == ([1] * 8, [(3, 1.5), (6, 3.0), (8, 4.0)])

    def stops(progress):
        if progress.done == 20:
            raise StopIteration

    assert drain(monkeypatch, half_seconds, 1.25, [stops]) == ([1] * 2, [(2, 1.0)])


@pytest.mark.parametrize(
    ("wishes", "agreed"),
    [
        ([[4, False, True], [9, False, False]], (4, False, True)),
        ([[4, False, False], [9, False, True]], (4, False, False)),
        ([[4, True, False], [9, False, False]], (4, True, False)),
        ([[4, False, False], [9, True, False]], (4, True, False)),
    ],
)
def test_the_first_process_sets_the_pace_and_any_may_stop_all(monkeypatch, wishes, agreed):
    monkeypatch.setattr(
        drive.multihost_utils, "process_allgather", lambda wish: np.array([wish, wishes[1]])
    )
    assert drive.agreed(drive.Wish(*wishes[0])) == agreed


# The result


def test_top_and_order_are_sorted_and_best_is_the_first(found):
    values = np.asarray(found.fun)[found.order]
    assert np.all(np.diff(values) >= 0)
    np.testing.assert_array_equal([r.fun for r in found.top(5)], values[:5])
    assert same_bits(found.best, found.top(1)[0])
    i = found.order[0]
    assert same_bits(found.best.record[:5], jax.tree.map(lambda leaf: leaf[i], rows(found)[1:]))
    assert len(found.top(N_STARTS + 1)) == N_STARTS


def test_a_path_leads_from_the_start_to_the_result(found):
    result = found.rerun(17, record_every=7)
    rows_ = int(result.trajectory.n_recorded)
    np.testing.assert_array_equal(result.trajectory.step[:rows_], np.arange(rows_) * 7)
    assert same_bits(result.trajectory.x[0], found.starts[17])
    assert (result.n_steps, result.status) == (found.n_steps[17], found.status[17])
    np.testing.assert_allclose(result.x, found.x[17], rtol=1e-10)
    assert same_bits(found.rerun(17, record_every=7), result)


def test_the_summary_says_what_was_found(found):
    text = found.summary()
    assert repr(found) == str(found) == text
    for said in ("300 searches", "300 GTOL", "Chance", *(str(m.count) for m in found.minima)):
        assert said in text
    text = search(radius=1.0, value=np.nan).summary()
    assert re.search(r"\d+ GTOL, \d+ NONFINITE", text)


def test_a_saved_result_is_read_back(found, tmp_path):
    file = tmp_path / "result.npz"
    result = search(radius=1.0, value=np.nan)
    result.save(file)
    assert [path.name for path in tmp_path.iterdir()] == ["result.npz"]
    read = MultiStartResult.load(file)
    assert same_bits(rows(read), rows(result))
    assert read.summary() == result.summary()
    assert same_bits([m.x for m in read.minima], [m.x for m in result.minima])
    assert same_bits(read.basin, result.basin)
    assert same_bits(read.best, result.best)
    with pytest.raises(ValueError, match="path\\(\\) needs fun and optimizer"):
        read.rerun(17)
    read = MultiStartResult.load(str(file), HOLED, AMSGRAD)
    assert same_bits(read.rerun(17), result.rerun(17))
    read.save(file)
    assert same_bits(rows(MultiStartResult.load(file)), rows(result))


def test_nothing_but_files_of_ours_are_loaded(found, tmp_path):
    file = tmp_path / "result.npz"
    np.savez(file, tree=np.array([print], dtype=object))
    with pytest.raises(ValueError, match="is no file that jamsgrad wrote, or broken"):
        MultiStartResult.load(file)
    with pytest.raises(FileNotFoundError):
        MultiStartResult.load(tmp_path / "none.npz")


@pytest.mark.parametrize("k", [-1, 1.5])
def test_the_number_of_the_best_is_checked(found, k):
    with pytest.raises((TypeError, ValueError), match="k must be an integer >= 0"):
        found.top(k)


# Sizes


bowl = partial(multistart, problems.bowl.fun, ([-1.0, -2.0], [1.0, 2.0]), optimizer=SGD, key=KEY)


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
    [(3, "cpu", 1024), (4, "cpu", 1008), (31, "cpu", 128), (32, "cpu", 1024), (10, "gpu", 1024)],
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
    result = multistart(fun, bounds, SGD, key=KEY, n_starts=20, lanes=4, gtol=1e-4)
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
        result = multistart(
            fun, (-2, np.full(2, 2)), optax.adam(0.1), key=KEY, n_starts=9, args=args
        )
        one = result.rerun(4)
    assert np.all(result.status == Status.GTOL)
    assert result.n_steps[4] == one.n_steps
    np.testing.assert_allclose(result.x, np.tile(one.x, (9, 1)), atol=1e-4)
    np.testing.assert_allclose(result.x[4], one.x, rtol=1e-9)


def test_starts_of_your_own_need_no_bounds():
    own = jax.random.normal(KEY, (5, 2))
    result = multistart(problems.bowl.fun, None, SGD, key=KEY, n_starts=5, starts=own)
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
        ({"bounds": ((-1.0, 1.0), (-1.0, 1.0))}, ValueError, "leave nothing to search"),
        ({"bounds": ((-1.0, 1.0), (-1.0, 1.0))}, ValueError, "pairs (low, high) go in a list"),
        ({"starts": np.zeros((2, 2), int)}, TypeError, "starts has dtype int64"),
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
        multistart(**given | options)


def test_limits_are_by_default_those_of_minimize():
    ours, theirs = (inspect.signature(f).parameters for f in (multistart, minimize))
    assert ours["args"].default == theirs["args"].default
    assert ours["checkpoint_every"].default == 60
    limits = {name: theirs[name].default for name in Stop._fields}
    assert stop_by("multistart", {}) == Stop(**limits)
    assert bowl(n_starts=3)._task.stop == Stop(**limits)
    assert stop_by("multistart", {"gtol": None, "patience": 3}).patience == 3


@pytest.mark.parametrize("call", [multistart, basin_map])
def test_a_limit_that_minimize_has_not_is_refused(call):
    with pytest.raises(TypeError, match=rf"^{call.__name__}\(\) got an unexpected .* 'tol'"):
        call(problems.bowl.fun, BOX, SGD, tol=1e-3)


def test_points_of_ones_own_need_neither_a_key_nor_their_number():
    own = np.linspace(-0.5, 0.5, 14).reshape(7, 2)
    result = multistart(problems.bowl.fun, BOX, SGD, starts=own)
    assert same_bits(result.starts, own)
    with pytest.raises(TypeError, match="key must be given to draw starts"):
        multistart(problems.bowl.fun, BOX, SGD, starts=own, n_starts=8)
    with pytest.raises(TypeError, match="key must be given to draw starts"):
        multistart(problems.bowl.fun, BOX, SGD)
    assert len(multistart(problems.bowl.fun, BOX, SGD, key=KEY, max_steps=0).fun) == 1024


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
        lambda: jax.vmap(lambda rate: multistart(HOLED, BOX, amsgrad(rate), key=KEY).fun)(
            jnp.array([0.1, 0.2])
        ),
        lambda: jax.grad(lambda radius: search(radius=radius).fun[0])(0.1),
    ],
    ids=["jit of the key", "jit of nothing", "vmap of gtol", "vmap of the optimizer", "grad"],
)
def test_where_jax_is_tracing_it_says_what_to_use_instead(call):
    with pytest.raises(TypeError, match="under jit and vmap use minimize"):
        call()
