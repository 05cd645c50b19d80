"""Many searches that are finished, or gone on with."""

import time

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from many import AMSGRAD, KEY, MESHES

from jamsgrad import Status, minimize, multistart, newton, problems
from jamsgrad._multistart import run

VALLEY = problems.rosenbrock(2)


def search(fun=VALLEY.fun, bounds=VALLEY.bounds, **options):
    given = {"key": KEY, "n_starts": 40, "lanes": 16, "max_steps": 100} | options
    return multistart(fun, bounds, AMSGRAD, **given)


@pytest.fixture(scope="module")
def finished():
    return search()


def test_searches_out_of_steps_are_brought_to_their_ends(finished):
    alone = search(finish=None)
    assert alone.n_success < 5
    assert finished.n_success == 40
    np.testing.assert_allclose(finished.x, np.ones((40, 2)), rtol=1e-14)
    assert (finished.n_steps - finished.n_finish == alone.n_steps).all()
    assert (finished.n_finish > 0).any()
    assert (finished.fun <= alone.fun).all()
    assert [(m.kind, m.count) for m in finished.minima] == [("minimum", 40)]


def test_each_is_what_minimize_finds(finished):
    for i in range(3):
        one = finished.rerun(i)
        assert one.status == finished.status[i]
        np.testing.assert_allclose(one.x, finished.x[i], rtol=1e-14)
        assert one.n_finish == pytest.approx(finished.n_finish[i], abs=2)


@pytest.mark.as_users_compile
@pytest.mark.parametrize("mesh", ["8", "3 of them"])
def test_devices_do_not_matter(mesh):
    one, many = search(), search(mesh=MESHES[mesh])
    for a, b in zip(jax.tree.leaves(one.record), jax.tree.leaves(many.record), strict=True):
        np.testing.assert_array_equal(a, b)


def test_after_nan_nothing_takes_over_and_the_others_are_finished():
    def fun(x):
        return jnp.where(x[0] > 1, jnp.nan, VALLEY.fun(x))

    found, alone = search(fun), search(fun, finish=None)
    bad = found.status == Status.NONFINITE
    assert bad.any()
    assert (~bad).any()
    for a, b in zip(found.record[:5], alone.record[:5], strict=True):
        np.testing.assert_array_equal(a[bad], b[bad])
    assert (found.n_finish[bad] == 0).all()


def test_then_goes_on_from_all_ends():
    alone = search(finish=None)
    with jax.numpy_dtype_promotion("standard"):  # which optax.lbfgs needs
        found = alone.then(optax.lbfgs(), max_steps=300)
        one = minimize(VALLEY.fun, alone.x[0], optax.lbfgs(), bounds=VALLEY.bounds, max_steps=300)
        again = found.rerun(0)
    assert (found.starts == alone.x).all()
    assert found.n_success == 40
    assert found.then(newton(), gtol=0.0).fun.max() < 1e-28
    np.testing.assert_allclose(one.x, found.x[0], rtol=1e-6)
    assert again.status == found.status[0]
    with pytest.raises(TypeError, match=r"then\(\) got an unexpected keyword argument 'steps'"):
        alone.then(AMSGRAD, steps=3)


def test_another_search_with_the_same_functions_compiles_nothing():
    times = []

    def fun(x):
        times.append(1)
        return VALLEY.fun(x)

    search(fun)
    n = len(times)
    search(fun, key=jax.random.key(9))
    assert len(times) == n


def test_a_checkpoint_of_the_search_alone_is_finished(tmp_path):
    pytest.importorskip("orbax.checkpoint")
    first = search(checkpoint=tmp_path / "c")
    again = search(checkpoint=tmp_path / "c")
    for a, b in zip(jax.tree.leaves(first.record), jax.tree.leaves(again.record), strict=True):
        np.testing.assert_array_equal(a, b)


def test_a_saved_result_keeps_the_steps_of_the_finish(finished, tmp_path):
    finished.save(tmp_path / "f.npz")
    read = type(finished).load(tmp_path / "f.npz", VALLEY.fun, AMSGRAD)
    assert (read.n_finish == finished.n_finish).all()


@pytest.mark.parametrize("dtype", ["bfloat16", "float16", "float32", "complex64"])
def test_any_dtype_is_finished_in_its_own(dtype):
    starts = np.linspace(-1, 1, 12).reshape(6, 2).astype(dtype)

    def fun(x):
        return jnp.sum(jnp.abs(x - jnp.asarray(0.5, dtype)) ** 2)

    found = search(fun, None, starts=jnp.asarray(starts), key=None, n_starts=None)
    assert found.x.dtype == dtype
    assert (found.x == np.asarray(0.5, dtype)).all()
    assert found.n_success == 6


@pytest.mark.filterwarnings("error")
def test_where_no_search_ended_well_nothing_is_finished():
    found = search(lambda x: jnp.log(x[0] - 10) + x[1])
    assert (found.status == Status.NONFINITE).all()
    assert found.n_finish.sum() == 0


def test_another_optimizer_may_finish():
    with jax.numpy_dtype_promotion("standard"):  # which optax.lbfgs needs
        found = search(finish=optax.lbfgs())
    alone = search(finish=None)
    assert found.n_success > 30 > alone.n_success
    assert (found.fun <= alone.fun).all()
    assert (found.n_finish <= 100).all()


def test_without_a_second_derivative_the_ends_stay_and_a_warning_says_why():
    @jax.custom_jvp
    def fun(x):
        return jnp.sum((x - 0.3) ** 2)

    def slope(x):
        return jax.pure_callback(
            lambda x: 2 * (np.asarray(x) - 0.3), x, x, vmap_method="expand_dims"
        )

    fun.defjvp(lambda x, t: (fun(*x), jnp.sum(slope(*x) * t[0])))
    with pytest.warns(UserWarning, match="no second derivative"):
        found = search(fun, n_starts=4)
    alone = search(fun, n_starts=4, finish=None)
    assert (found.x == alone.x).all()
    assert (found.status == alone.status).all()
    assert found.n_finish.sum() == 0


def test_the_finish_ends_when_the_time_is_over(monkeypatch):
    polished, now = run.polished, time.perf_counter()

    def late(*given):
        monkeypatch.setattr(time, "perf_counter", lambda: now + 100)
        return polished(*given)

    monkeypatch.setattr(run, "polished", late)
    found = search(max_seconds=60.0, max_steps=1, n_starts=16)
    assert time.perf_counter() == now + 100
    assert found.n_finish.sum() == 0
