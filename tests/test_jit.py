"""What is compiled again, what is not, and what is let go."""

import gc
import weakref
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from reference import same_bits

from jamsgrad import amsgrad, amsgradw, basin_map, minimize, multistart, scale_by_amsgrad
from jamsgrad._jit import Split, jit_for

KEY = jax.random.key(0)
BOX = ([-1.0, -2.0], [1.0, 2.0])


class Counted:
    """A bowl that counts how often Python runs it."""

    def __init__(self):
        self.times = 0

    def __call__(self, x, center=0.0):
        self.times += 1
        return jnp.sum((x - center) ** 2)


@jax.tree_util.register_pytree_node_class
class Module:
    """An objective that is a pytree, as an Equinox module is one; it has no hash."""

    __hash__ = None

    def __init__(self, center, counted):
        self.center, self.counted = center, counted

    def __call__(self, x):
        return self.counted(x, self.center)

    def tree_flatten(self):
        return (self.center,), self.counted

    @classmethod
    def tree_unflatten(cls, counted, children):
        return cls(*children, counted)


def by_center(center, counted, x):
    return counted(x, center)


OBJECTIVES = {
    "partial": lambda center, counted: jax.tree_util.Partial(by_center, center, counted),
    "module": Module,
}


@pytest.mark.parametrize(
    "make", [partial(amsgrad, 1e-3), partial(amsgradw, 1e-3), scale_by_amsgrad]
)
def test_equal_arguments_give_the_same_optimizer(make):
    schedule = optax.constant_schedule(0.9)
    assert make(0.3) is make(0.3)
    assert make(0.3, b2=0.99, convention="optax") is make(0.3, convention="optax", b2=0.99)
    assert make(schedule) is make(schedule)
    assert make(0.3) is not make(0.25)
    assert make(0.3) is not make(0.3, convention="optax")
    assert make(jnp.array(0.3)) is not make(jnp.array(0.3))
    assert jax.jit(lambda b: make(b).init(jnp.ones(2)))(0.3) is not None


def test_what_is_wrong_is_refused_each_time():
    for _ in range(2):
        with pytest.raises(ValueError, match="learning_rate must be"):
            amsgrad(-1.0)
        with pytest.raises(TypeError, match="missing 1 required positional argument"):
            amsgrad()


def test_a_loop_over_keys_compiles_once():
    counted = Counted()
    for i in range(5):
        found = multistart(counted, BOX, amsgrad(0.3), key=jax.random.key(i), n_starts=20)
        assert found.n_success == 20
        if i == 0:
            times = counted.times
    assert counted.times == times


@pytest.mark.parametrize("kind", ["partial", "module"])
@pytest.mark.parametrize("devices", [1, 8])
def test_new_data_in_an_objective_compile_nothing(kind, devices):
    counted = Counted()
    mesh = jax.make_mesh((devices,), ("x",))
    for i, center in enumerate((jnp.array([0.5, 1.0]), jnp.array([-0.5, 0.25]))):
        fun = OBJECTIVES[kind](center, counted)
        found = multistart(fun, BOX, amsgrad(0.1), key=KEY, n_starts=20, mesh=mesh)
        (minimum,) = found.minima
        np.testing.assert_allclose(minimum.x, center, atol=1e-4)
        np.testing.assert_allclose(found.rerun(3).x, center, atol=1e-4)
        if i == 0:
            times = counted.times
    assert counted.times == times


def test_minimize_and_basin_map_take_objectives_that_are_pytrees():
    module = Module(jnp.array([0.5, 1.0]), Counted())
    np.testing.assert_allclose(minimize(module, jnp.zeros(2), amsgrad(0.1)).x, [0.5, 1], atol=1e-4)
    assert len(basin_map(module, BOX, amsgrad(0.1), resolution=4).minima) == 1


def test_weakly_typed_arguments_and_starts_compile_once():
    counted, times = Counted(), []
    for center in (0.5, 0.25):
        multistart(counted, BOX, amsgrad(0.1), key=KEY, n_starts=20, args=(center,), max_steps=9)
        times.append(counted.times)
    assert times[0] == times[1]


def test_an_optimizer_whose_state_changes_its_weak_types_compiles_once():
    counted, optimizer, times = Counted(), optax.lbfgs(), []
    with jax.numpy_dtype_promotion("standard"):  # optax.lbfgs needs it
        for _ in range(2):
            multistart(counted, BOX, optimizer, key=KEY, n_starts=9, max_steps=5)
            times.append(counted.times)
    assert times[0] == times[1]


class Data:
    """Something large that an objective closes over."""


def test_what_an_objective_closes_over_is_let_go():
    alive = []

    def search(run):
        data = Data()
        alive.append(weakref.ref(data))
        run(lambda x: jnp.sum(x**2) + 0 * len(vars(data)))

    for _ in range(40):
        search(lambda fun: minimize(fun, jnp.ones(2), amsgrad(0.1), max_steps=3))
    search(lambda fun: multistart(fun, BOX, amsgrad(0.1), key=KEY, n_starts=3, max_steps=3))
    gc.collect()
    assert sum(ref() is not None for ref in alive) <= 20


def test_only_data_are_traced():
    split = Split.of(
        {"f": jnp.sum, "n": 3, "x": np.ones(2), "rate": 0.5, "word": "a", "flag": True}
    )
    assert [type(leaf) for leaf in split.data] == [float, np.ndarray]
    assert split.join([0.25, np.zeros(2)])["rate"] == 0.25
    assert hash(split.fixed) is not None


def test_a_compiled_function_is_compiled_for_each_program_and_not_for_data():
    traced = []

    @jit_for(2)
    def scaled(fun, n, x):
        traced.append(n)
        return fun(x) * n

    assert scaled(jnp.sin, 2, 1.0) == 2 * jnp.sin(1.0)
    scaled(jnp.sin, 2, 3.0)
    scaled(jnp.sin, 3, 3.0)
    scaled(jax.tree_util.Partial(jnp.add, 1.0), 2, 3.0)
    assert scaled(jax.tree_util.Partial(jnp.add, 2.0), 2, 3.0) == 10
    assert traced == [2, 3, 2]


def test_the_same_search_gives_the_same_bits_with_an_equal_optimizer():
    results = [multistart(jnp.sum, BOX, amsgrad(0.1), key=KEY, n_starts=9) for _ in range(2)]
    assert same_bits(*(result.record for result in results))
