"""Further starts for a search, and starts that are chosen among candidates."""

import signal

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from many import AMSGRAD, BOX, KEY, MESHES, rows, stop
from reference import same_bits

from jamsgrad import MultiStartResult, Status, minimize, multistart, problems, sample_starts
from jamsgrad._multistart import devices

FUN = problems.himmelblau.fun


def search(n_starts=40, fun=FUN, **options):
    given = {"key": KEY, "lanes": 16, "gtol": 1e-2, "max_steps": 60} | options
    return multistart(fun, BOX, AMSGRAD, n_starts=n_starts, **given)


def assert_same(a, b):
    assert same_bits(rows(a), rows(b))
    assert same_bits(np.asarray(a.n_finish), np.asarray(b.n_finish))


@pytest.mark.as_users_compile
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"starts": "sobol"},
        {"finish": None, "gtol": None},
        {"screen": (3, 5)},
        {"mesh": MESHES["3 of them"]},
        {"starts": np.zeros((8, 2))},
    ],
    ids=str,
)
def test_more_starts_are_those_of_one_search_of_all(options):
    grown = search(24, **options).more(10).more(30)
    whole = search(64, **options)
    assert_same(grown, whole)
    assert [m.count for m in grown.minima] == [m.count for m in whole.minima]
    assert 0 < grown.lane_efficiency <= 1


def test_more_compiles_nothing():
    traced = []

    def fun(x):
        traced.append(x)
        return FUN(x)

    found = search(48, fun=fun)
    n = len(traced)
    found.more(48).more(48)
    assert len(traced) == n


def test_it_goes_on_from_a_file(tmp_path):
    found = search(screen=2)
    found.save(tmp_path / "found.npz")
    read = MultiStartResult.load(tmp_path / "found.npz", FUN, AMSGRAD)
    whole = found.more(16)
    np.testing.assert_allclose(read.more(16).x, whole.x, rtol=1e-12)


@pytest.mark.parametrize(
    "found",
    [
        lambda: search(starts="lhs"),
        lambda: search(starts=sample_starts),
        lambda: search(None, starts=np.zeros((4, 2)), key=None),
        lambda: search().then(AMSGRAD),
    ],
    ids=["lhs", "a function", "points without a key", "ends"],
)
def test_other_starts_have_no_further_ones(found):
    with pytest.raises(ValueError, match="needs starts that depend on their numbers alone"):
        found().more(4)


def test_without_the_function_there_are_no_more(tmp_path):
    search().save(tmp_path / "found.npz")
    with pytest.raises(ValueError, match="needs fun and optimizer: give them to"):
        MultiStartResult.load(tmp_path / "found.npz").more(4)


@pytest.mark.parametrize(("n", "error"), [(0, ValueError), (2.5, TypeError)])
def test_the_number_is_checked(n, error):
    with pytest.raises(error, match=r"^n must be"):
        search().more(n)


def test_ctrl_c_leaves_what_there_is(monkeypatch):
    found = search()
    advance = devices.Program.advance

    def interrupted(self, queue, n_rounds):
        signal.raise_signal(signal.SIGINT)
        return advance(self, queue, n_rounds)

    monkeypatch.setattr(devices.Program, "advance", interrupted)
    so_far = found.more(32)
    assert so_far.interrupted
    assert so_far.fun.size == 72
    assert same_bits(so_far.x[:40], found.x)


def test_each_start_is_the_best_of_its_candidates():
    k, steps = 4, 7
    found = search(12, screen=(k, steps), finish=None)
    candidates = sample_starts(KEY, 12 * k, BOX)
    short = jax.vmap(lambda x: minimize(FUN, x, AMSGRAD, bounds=BOX, gtol=1e-2, max_steps=steps))
    ended = short(candidates)
    best = np.asarray(ended.fun).reshape(12, k).argmin(axis=1) + k * np.arange(12)
    np.testing.assert_allclose(found.starts, np.asarray(ended.x)[best], rtol=1e-12)
    again = minimize(FUN, found.starts[3], AMSGRAD, bounds=BOX, gtol=1e-2, max_steps=60)
    np.testing.assert_allclose(found.x[3], again.x, rtol=1e-12)
    assert found.n_steps[3] == again.n_steps
    assert "each start is the best of 4 candidates after 7 steps" in found.summary()
    assert "candidates" not in search(12).summary()


def test_with_no_steps_candidates_are_only_evaluated():
    found = search(10, screen=(3, 0))
    candidates = sample_starts(KEY, 30, BOX)
    best = np.asarray(jax.vmap(FUN)(candidates)).reshape(10, 3).argmin(axis=1) + 3 * np.arange(10)
    np.testing.assert_array_equal(found.starts, candidates[best])


def test_a_candidate_that_meets_nan_is_not_taken():
    def fun(x):
        return jnp.where(x[0] > 0, jnp.nan, FUN(x))

    found = search(30, fun, screen=(8, 2), finish=None)
    assert (found.starts[:, 0] <= 0).all()
    nowhere = search(5, lambda x: jnp.sum(x) * jnp.nan, screen=2)
    assert np.isnan(nowhere.fun).all()


def test_own_points_are_candidates_in_a_row():
    own = np.asarray(sample_starts(KEY, 12, BOX))
    found = search(None, starts=own, key=None, screen=(3, 4))
    assert_same(found, search(4, screen=(3, 4)))
    with pytest.raises(ValueError, match="no whole number of starts of 5 candidates each"):
        search(None, starts=own, screen=5)
    with pytest.raises(ValueError, match="more than n_starts = 2 of 3 candidates each"):
        search(2, starts=own, screen=3)


@pytest.mark.parametrize(
    ("screen", "error", "words"),
    [
        (0, ValueError, "^screen must be"),
        ((2, -1), ValueError, "^the steps of screen must be"),
        (
            (1, 2, 3),
            TypeError,
            r"a number of candidates, or \(candidates, steps\), got \(1, 2, 3\)",
        ),
        ("best", TypeError, "^screen must be an integer"),
    ],
)
def test_what_is_no_screen_is_refused(screen, error, words):
    with pytest.raises(error, match=words):
        search(screen=screen)


def test_time_over_while_it_screens_ends_the_search():
    found = search(screen=4, max_seconds=0.0)
    assert (found.status == Status.STOPPED).any()
    assert found.starts.shape == (40, 2)


def test_a_checkpoint_grows(tmp_path):
    first = search(24, checkpoint=tmp_path / "a", screen=2)
    seen = []
    grown = search(64, checkpoint=tmp_path / "a", screen=2, callback=seen.append)
    assert seen[0].done >= 24
    assert same_bits(rows(first), rows(grown, slice(24)))
    assert_same(grown, search(64, screen=2))


def test_a_checkpoint_that_was_stopped_grows(tmp_path):
    stopped = search(40, checkpoint=tmp_path / "a", callback=stop)
    assert (stopped.status == Status.STOPPED).any()
    assert_same(search(64, checkpoint=tmp_path / "a"), search(64))
