"""The end of a search: what takes over, what it may change, and what the status then says."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from jamsgrad import Status, amsgrad, minimize, newton, problems

VALLEY = problems.rosenbrock(2)
START = jnp.array([-1.2, 1.0])


AMSGRAD = amsgrad(0.3, b2=0.99)


def search(fun=VALLEY.fun, x0=START, optimizer=AMSGRAD, **options):
    return minimize(fun, x0, optimizer, **{"max_steps": 200, "finish": "auto"} | options)


@pytest.mark.parametrize(
    "finish", ["auto", newton(), optax.lbfgs()], ids=["auto", "newton", "lbfgs"]
)
@pytest.mark.parametrize("loop", ["while", "scan"])
def test_a_search_out_of_steps_is_brought_to_its_end(finish, loop):
    alone = search(finish=None, loop=loop)
    with jax.numpy_dtype_promotion("standard"):  # which optax.lbfgs needs
        result = search(finish=finish, loop=loop)
    assert (alone.status, result.status) == (Status.MAX_STEPS, Status.GTOL)
    np.testing.assert_allclose(result.x, [1, 1], rtol=1e-9)
    assert result.n_steps == 200 + result.n_finish
    assert 0 < result.n_finish <= 30
    assert alone.n_finish == 0
    # The search itself can be gone on with as before.
    assert (result.last_x == alone.last_x).all()


def test_a_converged_search_is_known_to_the_last_digits():
    result = search(problems.himmelblau.fun, jnp.array([1.0, 1.0]), gtol=1e-2)
    assert result.status == Status.GTOL
    np.testing.assert_allclose(result.x, [3, 2], rtol=1e-15)
    assert result.n_finish <= 4


def test_the_status_says_whether_it_is_exact_where_gtol_cannot_be_met():
    result = search(lambda x: 1e9 * jnp.sum(jnp.exp(x) - 3 * x), START, gtol=1e-12)
    assert (result.status, result.grad_norm > 1e-12) == (Status.ROUNDING, True)
    assert "rounding" in result.message
    np.testing.assert_allclose(result.x, np.log(3), rtol=1e-15)


def test_without_tolerances_the_gradient_of_auto_tells():
    result = search(gtol=None)
    assert result.status == Status.GTOL
    assert search(gtol=None, finish=optax.sgd(0.0)).status == Status.COMPLETED


def test_a_saddle_is_left():
    def fun(x):
        return x[0] ** 4 - x[0] ** 2 + x[1] ** 2

    result = search(fun, jnp.zeros(2))
    assert result.fun == pytest.approx(-0.25)
    assert search(fun, jnp.zeros(2), finish=None).fun == 0


@pytest.mark.parametrize("finish", [optax.sgd(0.0), optax.sgd(1e3)])
def test_a_finish_that_leads_nowhere_costs_no_success(finish):
    alone, result = (search(lambda x: jnp.sum(x**4), finish=f, gtol=1e-3) for f in (None, finish))
    assert (result.status, result.fun) == (alone.status, alone.fun)
    assert result.status == Status.GTOL


def test_after_nan_nothing_takes_over():
    result = search(lambda x: jnp.log(x[0]) + x[1], jnp.array([0.1, 0.0]))
    assert (result.status, result.n_finish) == (Status.NONFINITE, 0)


def test_the_best_point_is_gone_on_with():
    result = search(
        lambda x: jnp.sum((x - 1) ** 2), optimizer=optax.sgd(1.2), max_steps=3, x0=START
    )
    assert result.n_finish <= 2
    assert result.x.tolist() == [1.0, 1.0]


@pytest.mark.parametrize("every", [1, 7, 50])
def test_the_trajectory_goes_on_to_the_last_point(every):
    result = search(record_every=every)
    step, x, fun, _, n = result.trajectory
    last, n_finish = 200, int(result.n_finish)
    first = [*range(0, last, every), last]
    after = [last + k for k in range(every, n_finish, every)] + [last + n_finish]
    assert step[: int(n)].tolist() == first + after
    assert (x[int(n) - 1] == result.x).all()
    assert np.isnan(fun[int(n) :]).all()
    assert not np.isnan(fun[: int(n)]).any()
    alone = search(record_every=every, finish=None).trajectory
    assert (x[: len(first)] == alone.x[: len(first)]).all()


def test_it_works_under_vmap_and_with_aux():
    def fun(x):
        return VALLEY.fun(x), 2 * x

    starts = jnp.asarray(START[None] + np.linspace(-0.1, 0.1, 5)[:, None])
    result = jax.vmap(lambda x: search(fun, x, has_aux=True))(starts)
    assert (result.aux == 2 * result.x).all()
    assert (result.status == Status.GTOL).all()
    assert np.abs(result.x - 1).max() < 1e-12


def test_for_many_variables_auto_is_none():
    result = search(lambda x: jnp.sum(x**2), jnp.ones(65), max_steps=5)
    assert (result.n_finish, result.n_steps) == (0, 5)
    with pytest.raises(ValueError, match="65 variables"):
        search(lambda x: jnp.sum(x**2), jnp.ones(65), finish=newton())


def test_it_is_traced_once():
    traced = []

    def fun(x):
        traced.append(1)
        return VALLEY.fun(x)

    search(fun)
    n = len(traced)
    search(fun, START + 0.1)
    assert len(traced) == n


@pytest.mark.parametrize(
    ("finish", "error", "words"),
    [
        ("newton", ValueError, "finish must be one of 'auto' or None, or an optax transformation"),
        (3, TypeError, r'"auto", None or an optax transformation, such as newton\(\), got 3'),
        (newton, TypeError, "an optax transformation"),
    ],
)
def test_another_finish_is_refused(finish, error, words):
    with pytest.raises(error, match=words):
        search(finish=finish)


def test_derivatives_go_through_the_finish():
    def end(c, loop):
        def fun(x, c):
            return jnp.sum((x - c) ** 2) + jnp.sum(jnp.cos(x))

        result = search(fun, jnp.zeros(2), args=(c,), max_steps=20, loop=loop)
        return result.x[0]

    # At the end 2 (x - c) = sin x, so dx/dc = 2 / (2 - cos x).
    x = end(1.0, "scan")
    expected = 2 / (2 - np.cos(x))
    assert jax.grad(end)(1.0, "scan") == pytest.approx(expected)
    assert jax.jvp(lambda c: end(c, "while"), (1.0,), (1.0,))[1] == pytest.approx(expected)
