"""What is compiled again, what is not, and what is let go."""

import copy
import gc
import weakref
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from reference import explore, same_bits

from jamsgrad import amsgrad, amsgradw, basin_map, minimize, scale_by_amsgrad
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
        found = explore(counted, BOX, amsgrad(0.3), key=jax.random.key(i), n_starts=20)
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
        found = explore(fun, BOX, amsgrad(0.1), key=KEY, n_starts=20, mesh=mesh)
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
        explore(counted, BOX, amsgrad(0.1), key=KEY, n_starts=20, args=(center,), max_steps=9)
        times.append(counted.times)
    assert times[0] == times[1]


def test_an_optimizer_whose_state_changes_its_weak_types_compiles_once():
    counted, optimizer, times = Counted(), optax.lbfgs(), []
    with jax.numpy_dtype_promotion("standard"):  # optax.lbfgs needs it
        for _ in range(2):
            explore(counted, BOX, optimizer, key=KEY, n_starts=9, max_steps=5)
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

    descent = optax.sgd(0.1)
    for _ in range(30):
        search(lambda fun: minimize(fun, jnp.ones(2), descent, max_steps=3))
    search(lambda fun: explore(fun, BOX, descent, key=KEY, n_starts=3, max_steps=3))
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
    results = [explore(jnp.sum, BOX, amsgrad(0.1), key=KEY, n_starts=9) for _ in range(2)]
    assert same_bits(*(result.record for result in results))


class Fit:
    scale = 1.0

    def __init__(self, target):
        self.target, self.settings, self.counts = target, {"target": target}, []

    def loss(self, x):
        self.counts.append(1)  # what it changes itself is not new
        return jnp.sum((x - self.center()) ** 2)

    def center(self):
        return self.target

    __call__ = loss


class Slotted:
    __slots__ = ("target",)

    def __init__(self, target):
        self.target = target


class ByKey(Fit):
    def center(self):
        return self.settings["target"]


class OfItsClass(Fit):
    def center(self):
        return type(self).scale + 0 * self.scale


TARGET = 0.0
CONFIG = Slotted(0.0)


def reads_a_global(x):
    return jnp.sum((x - shifted()) ** 2)


def shifted():
    return TARGET


def reads_an_attribute_of_a_global(x):
    return jnp.sum((x - CONFIG.target) ** 2)


def changing(kind):
    """An objective, and a function that moves its minimum by what it reads."""
    fit = {"by key": ByKey, "of its class": OfItsClass}.get(kind, Fit)(0.0)
    variable = 0.0

    def closure(x):
        return jnp.sum((x - variable) ** 2)

    def change(target):
        nonlocal variable
        globals()["TARGET"] = variable = fit.target = CONFIG.target = target
        fit.settings["target"] = target
        OfItsClass.scale = target

    fun = {
        "closure": closure,
        "global": reads_a_global,
        "attribute of a global": reads_an_attribute_of_a_global,
        "callable": fit,
        "partial": partial(fit.loss),
    }
    return lambda: fun.get(kind, fit.loss), change, fit.counts


CHANGING = pytest.mark.parametrize(
    "kind",
    ["method", "callable", "closure", "global", "attribute of a global", "by key", "of its class",
     "partial"],
)  # fmt: skip


def by_minimize(fun):
    return minimize(fun, jnp.zeros(2), amsgrad(0.1, b2=0.99), gtol=1e-3)


def by_multistart(fun):
    return explore(fun, BOX, amsgrad(0.1, b2=0.99), key=KEY, n_starts=5, gtol=1e-3)


@CHANGING
def test_what_fun_reads_is_read_again_when_it_has_changed(kind):
    fun, change, counts = changing(kind)
    for target in (1.0, -1.0):
        change(target)
        np.testing.assert_allclose(by_minimize(fun()).x, target, atol=1e-2)
    times = len(counts)
    np.testing.assert_allclose(by_minimize(fun()).x, target, atol=1e-2)
    assert len(counts) == times


def test_what_fun_changes_itself_compiles_nothing_anew():
    fun, _, counts = changing("method")
    for run in (by_minimize, by_multistart):
        run(fun())
    times = len(counts)
    for run in (by_minimize, by_multistart, by_minimize):
        run(fun())
    assert len(counts) == times


@CHANGING
def test_the_table_of_minima_is_of_what_was_searched(kind):
    fun, change, _ = changing(kind)
    change(0.5)
    found = by_multistart(fun())
    change(-0.5)
    assert [(m.kind, m.count) for m in found.minima] == [("minimum", 5)]
    np.testing.assert_allclose(found.rerun(0).x, found.x[0], atol=1e-6)


def test_arrays_that_change_in_place_do_not_change_a_result():
    data, center, starts = np.full(2, 0.5), np.full(2, 0.25), np.array([[0.0, 0.0], [1.0, -1.0]])
    inner = jax.jit(lambda x: jnp.sum((x - data) ** 2))
    box = np.array([-1.0, -2.0]), np.array([1.0, 2.0])
    found = explore(
        lambda x, center: inner(x) + jnp.sum((x - center - data) ** 2), box,
        amsgrad(0.1, b2=0.99), args=(center,), starts=starts, gtol=1e-3,
    )  # fmt: skip
    for array in (data, center, starts, *box):
        array[:] = 0.0
    assert [(m.kind, m.count) for m in found.minima] == [("minimum", 2)]
    np.testing.assert_allclose(found.rerun(1).x, found.x[1], atol=1e-6)
    assert found.starts.tolist() == [[0.0, 0.0], [1.0, -1.0]]


def closes_over(data, kind):
    """An objective that closes over the data."""

    class Loss:
        def __init__(self):
            self.data, self.itself = data, self  # a circle

        def loss(self, x):
            return jnp.mean((x - self.data.array) ** 2)

        __call__ = loss

    def loss(x):
        return Loss.loss(Loss(), x) + 0 * len(repr(type(loss)))

    return {
        "lambda": lambda x: jnp.mean((x - data.array) ** 2),
        "itself": loss,
        "default": lambda x, d=data: jnp.mean((x - d.array) ** 2),
        "method": Loss().loss,
        "callable": Loss(),
        "partial": partial(lambda d, x: jnp.mean((x - d.array) ** 2), data),
        "pytree": jax.tree_util.Partial(lambda c, x: jnp.mean((x - data.array) ** c), 2.0),
        "jit": jax.jit(lambda x: jnp.mean((x - data.array) ** 2)),
    }[kind]


def kept_alive(search):
    """How many data of two searches are kept."""
    alive = []
    for i in range(2):
        data = Data()
        data.array = jnp.full(3, float(i))
        alive.append(weakref.ref(data))
        search(data)
    del data
    gc.collect()
    return sum(ref() is not None for ref in alive)


@pytest.mark.parametrize(
    "kind", ["lambda", "itself", "default", "method", "callable", "partial", "pytree", "jit"]
)
def test_an_objective_is_let_go_at_once(kind):
    x, options = jnp.array(0.0), {"max_steps": 2}
    search = lambda data: minimize(closes_over(data, kind), x, amsgrad(0.1), **options)  # noqa: E731
    assert kept_alive(search) == 0


def test_an_objective_of_many_searches_and_an_optimizer_are_let_go_at_once():
    many = {"key": KEY, "n_starts": 3, "max_steps": 2}
    descent = lambda data: optax.sgd(lambda _, data=data: jnp.min(data.array))  # noqa: E731
    fun, x = jnp.sin, jnp.array(0.0)
    for search in (
        lambda data: explore(
            closes_over(data, "method"), (0.0, 9.0), amsgrad(0.1), **many
        ).summary(),
        lambda data: minimize(fun, x, descent(data), max_steps=2),
    ):
        assert kept_alive(search) == 0


def test_a_result_is_copied_and_pickled():
    cloudpickle = pytest.importorskip("cloudpickle")
    found = explore(jnp.sum, BOX, optax.sgd(0.1), key=KEY, n_starts=3, max_steps=2)
    for other in (copy.deepcopy(found), cloudpickle.loads(cloudpickle.dumps(found))):
        assert same_bits(other.record, found.record)
        assert [m.count for m in other.minima] == [m.count for m in found.minima]


def test_a_result_is_of_as_many_bits_as_its_search():
    found = explore(jnp.sum, BOX, amsgrad(0.1), key=KEY, n_starts=3, gtol=10.0)
    with jax.enable_x64(False):
        assert [m.x.dtype for m in found.minima] == [np.float64] * len(found.minima)
        assert found.rerun(0).x.dtype == jnp.float64
