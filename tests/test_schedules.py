"""The paper's schedules, by value, by precision and under jit."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import jamsgrad
from jamsgrad import schedules

COUNTS = np.arange(1000)


def test_inverse_time_is_b1_over_t():
    values = jax.jit(jax.vmap(schedules.inverse_time(0.9)))(COUNTS)
    np.testing.assert_allclose(values, 0.9 / np.arange(1, 1001), rtol=1e-15)


def test_inverse_sqrt_is_alpha_over_root_t():
    values = jax.jit(jax.vmap(schedules.inverse_sqrt(0.5)))(COUNTS)
    np.testing.assert_allclose(values, 0.5 / np.sqrt(np.arange(1, 1001)), rtol=1e-15)


@pytest.mark.parametrize("schedule", [schedules.inverse_time, schedules.inverse_sqrt])
@pytest.mark.parametrize("count", [3, np.int32(3), jnp.int32(3), jnp.int64(3)], ids=repr)
def test_a_schedule_takes_any_integer_count(schedule, count):
    expected = {schedules.inverse_time: 0.125, schedules.inverse_sqrt: 0.25}[schedule]
    assert schedule(0.5)(count) == expected


@pytest.mark.parametrize("schedule", [schedules.inverse_time, schedules.inverse_sqrt])
def test_a_traced_value_is_not_checked_and_is_differentiable(schedule):
    derivative = jax.jit(jax.grad(lambda b: schedule(b)(jnp.int32(3))))(2.0)
    assert derivative == schedule(0.5)(3) / 0.5


@pytest.mark.parametrize(
    ("schedule", "name", "value"),
    [(schedules.inverse_time, "value", b) for b in (-0.1, 1.0, np.nan)]
    + [(schedules.inverse_sqrt, "alpha", a) for a in (-0.1, np.inf, np.nan)],
)
def test_a_value_out_of_range_is_refused_by_name(schedule, name, value):
    with pytest.raises(ValueError, match=rf"^{name} must be .*, got {value}"):
        schedule(value)


def test_the_tutorials_b1_is_optax_exponential_decay():
    b1 = optax.exponential_decay(0.9, 1, 0.9)
    values = [float(b1(jnp.int64(count))) for count in range(50)]
    np.testing.assert_allclose(values, 0.9 ** np.arange(1, 51), rtol=1e-14)


def test_debiasing_under_a_schedule_divides_by_the_exact_weights():
    optimizer = jamsgrad.scale_by_amsgrad(schedules.inverse_time(0.9), optax.constant_schedule(0.5))
    state = optimizer.init(jnp.ones(2))
    for _ in range(4):
        _, state = optimizer.update(jnp.ones(2), state)
    np.testing.assert_allclose(state.m_weight, 1 - 0.9**4 / 24, rtol=1e-15)
    assert state.v_weight == 1 - 0.5**4
