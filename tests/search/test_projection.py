"""`project=`: x stays where a function projects it, and the gradient is judged there."""

from collections.abc import Callable
from functools import partial, wraps

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from optax import projections

from jamsgrad import Status, amsgrad, minimize, newton

Projection = Callable[[jax.Array], jax.Array]


def standard(project: Projection) -> Projection:
    """A projection of optax, which promotes dtypes."""

    @wraps(project)
    def projected(x: jax.Array) -> jax.Array:
        with jax.numpy_dtype_promotion("standard"):
            return project(x).astype(x.dtype)

    return projected


CENTER = jnp.array([0.9, 0.6, -0.4])
RADIUS = 1.3


def distance(x: jax.Array, center: jax.Array = CENTER) -> jax.Array:
    return jnp.sum((x - center) ** 2) / 2


@standard
def halfspace(x: jax.Array) -> jax.Array:
    return projections.projection_halfspace(x, jnp.ones(3, x.dtype), jnp.asarray(0.5, x.dtype))


@standard
def ball(x: jax.Array) -> jax.Array:
    return projections.projection_l2_ball(x, RADIUS)


simplex = standard(projections.projection_simplex)
positive = standard(projections.projection_non_negative)
SETS = [simplex, halfspace, ball, positive]


@pytest.mark.parametrize("dtype", [jnp.float32, jnp.float64])
@pytest.mark.parametrize("project", SETS, ids=lambda f: f.__name__)
def test_the_nearest_point_of_a_set_is_the_projection_onto_it(project, dtype):
    center = (2 * CENTER).astype(dtype)
    result = minimize(
        distance, jnp.zeros(3, dtype), amsgrad(0.1, b2=0.9), args=(center,), project=project
    )
    assert result.reason is Status.GTOL
    assert result.x.dtype == dtype
    np.testing.assert_allclose(
        result.x, project(center), atol=1e-2 if dtype == jnp.float32 else 1e-5
    )
    inside = project(result.x)
    np.testing.assert_allclose(result.x, inside, atol=4 * jnp.finfo(dtype).eps)
    expected = jnp.max(jnp.abs(result.x - project(result.x - (result.x - center))))
    np.testing.assert_allclose(result.grad_norm, expected, atol=4 * jnp.finfo(dtype).eps)


def test_a_linear_objective_on_the_simplex_ends_in_a_corner():
    """A gradient that never vanishes is no obstacle: the corner is optimal all the same."""
    result = minimize(
        lambda x: x @ jnp.array([3.0, 1.0, 2.0]),
        jnp.full(3, 1 / 3),
        optax.sgd(0.1),
        project=simplex,
    )
    assert result.reason is Status.GTOL
    np.testing.assert_allclose(result.x, [0, 1, 0], atol=1e-5)


def test_every_recorded_point_is_inside_also_the_start():
    result = minimize(
        distance,
        jnp.array([3.0, -4.0, 12.0]),
        amsgrad(0.1),
        project=ball,
        record_every=1,
        max_steps=50,
    )
    rows = result.trajectory.x[: result.trajectory.n_recorded]
    np.testing.assert_allclose(rows[0], jnp.array([3.0, -4.0, 12.0]) / 10, rtol=1e-12)
    assert (jnp.linalg.norm(rows, axis=1) <= RADIUS + 1e-12).all()


def test_fun_is_never_evaluated_outside():
    def root(x: jax.Array) -> jax.Array:
        return jnp.sqrt(x[0]) - x[0] + x[1] ** 2  # NaN left of 0

    result = minimize(root, jnp.array([0.2, 0.5]), amsgrad(0.1), project=positive)
    assert result.reason is not Status.NONFINITE
    assert jnp.isfinite(result.fun)


@pytest.mark.parametrize("optimizer", [optax.lbfgs(), optax.adam(0.05)])
def test_other_optimizers_are_projected_too(optimizer, jax_of_a_reader):
    with jax.enable_x64(True):
        result = minimize(
            lambda x: jnp.sum((x - 2 * CENTER) ** 4),
            jnp.zeros(3),
            optimizer,
            project=halfspace,
            gtol=1e-4,
            max_steps=5000,
        )
        assert result.success
        assert jnp.sum(result.x) <= 0.5 + 1e-12
        gradient = 4 * (result.x - 2 * CENTER) ** 3
        np.testing.assert_allclose(gradient, jnp.broadcast_to(gradient.mean(), 3), atol=1e-3)


def test_a_finish_is_projected_and_auto_is_none():
    run = partial(minimize, distance, jnp.zeros(3), amsgrad(0.1), project=halfspace, max_steps=5)
    plain, auto = run(), run(finish="auto")
    np.testing.assert_array_equal(plain.x, auto.x)
    assert auto.n_finish == 0
    finished = run(finish=optax.sgd(0.5))
    np.testing.assert_allclose(finished.x, halfspace(CENTER), atol=1e-6)


def test_trees_jit_and_vmap():
    def fun(x: dict) -> jax.Array:
        return jnp.sum((x["a"] - 1.0) ** 2) + (x["b"] + 2.0) ** 2

    def project(x: dict) -> dict:
        return {"a": simplex(x["a"]), "b": jnp.clip(x["b"], -1.0, 1.0)}

    @jax.jit
    @jax.vmap
    def search(x0: dict) -> dict:
        return minimize(fun, x0, amsgrad(0.1), project=project).x

    found = search({"a": jnp.eye(3), "b": jnp.array([5.0, 0.0, -7.0])})
    np.testing.assert_allclose(found["a"], np.full((3, 3), 1 / 3), atol=1e-4)
    np.testing.assert_allclose(found["b"], np.full(3, -1.0))


def test_a_search_goes_on_bit_for_bit():
    run = partial(minimize, distance, optimizer=amsgrad(0.1), project=ball, gtol=None)
    whole = run(x0=jnp.ones(3), max_steps=40)
    half = run(x0=jnp.ones(3), max_steps=20)
    rest = run(x0=half.last_x, opt_state=half.opt_state, max_steps=20)
    np.testing.assert_array_equal(whole.last_x, rest.last_x)


def test_the_same_projection_compiles_once():
    traces = []

    def project(x: jax.Array) -> jax.Array:
        traces.append(x)
        return jnp.clip(x, -1.0, 1.0)

    minimize(distance, jnp.zeros(3), amsgrad(0.1), project=project)
    n = len(traces)
    minimize(distance, jnp.ones(3), amsgrad(0.1), project=project)
    assert len(traces) == n > 0


@pytest.mark.parametrize(
    ("options", "error", "words"),
    [
        ({"project": 3.0}, TypeError, "project must be a function from x to x, got 3.0"),
        ({"project": ball, "bounds": (-1.0, 1.0)}, ValueError, "bounds and project are both given"),
        ({"project": jnp.sum}, TypeError, r"what project returns must be float64\[3\]"),
        ({"project": lambda x: (x, x)}, TypeError, "what project returns must have the structure"),
        ({"project": ball, "finish": newton()}, ValueError, "knows nothing of project"),
    ],
)
def test_what_is_no_projection_is_refused(options, error, words):
    with pytest.raises(error, match=words):
        minimize(distance, jnp.zeros(3), amsgrad(0.1), **options)
