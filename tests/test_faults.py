"""Whatever is wrong with what a search is given becomes an error with a name, or a status."""

import re

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from jax import lax
from optax import GradientTransformation
from reference import explore, same_bits

from jamsgrad import MultiStartResult, Status, amsgrad, minimize, sample_starts

KEY = jax.random.key(5)
START, BOX = jnp.array([-1.0, 1.5]), (np.full(2, -2.0), np.full(2, 2.0))
SGD = optax.sgd(0.1)


def bowl(x):
    return jnp.sum(x**2)


def one(fun=bowl, optimizer=SGD, **options):
    return minimize(fun, START, optimizer, **options)


def many(fun=bowl, optimizer=SGD, **options):
    return explore(fun, **{"bounds": BOX, "optimizer": optimizer, "key": KEY} | options)


BOTH = pytest.mark.parametrize("search", [one, many])


# Objectives that are legal and nasty


def half(value):
    """The bowl, with another value where x0 > 0."""
    return lambda x: jnp.where(x[0] > 0, value, bowl(x))


OBJECTIVES = {
    "constant": lambda x: jnp.array(3.0),
    "without gradient": lambda x: bowl(lax.stop_gradient(x)),
    "of integers": lambda x: bowl(jnp.floor(x).astype(int).astype(float)),
    "NaN on half the box": half(jnp.nan),
    "inf on half the box": half(jnp.inf),
    "-inf on half the box": half(-jnp.inf),
    "unbounded below": lambda x: -jnp.sum(jnp.exp(x)),
    "NaN everywhere": lambda x: jnp.nan * bowl(x),
    "beyond float32": lambda x: 1e300 * bowl(x),
}


def objective(x, which):
    """All of them, so that they are compiled once."""
    return lax.switch(which, list(OBJECTIVES.values()), x)


values = jax.jit(jax.vmap(objective, in_axes=(0, None)))


@pytest.mark.parametrize("name", OBJECTIVES)
def test_a_nasty_objective_gives_a_status_to_each_of_many(name):
    which = list(OBJECTIVES).index(name)
    result = many(objective, args=(which,), n_starts=40, gtol=1e-3)
    starts, fun = np.asarray(result.starts), np.asarray(result.fun)
    met = starts[:, 0] > 0 if "half" in name else np.full(40, name == "NaN everywhere")
    gives_up = {"beyond float32": Status.MAX_STEPS}  # it jumps between two corners
    status = np.where(met, Status.NONFINITE, gives_up.get(name, Status.GTOL))
    np.testing.assert_array_equal(result.status, status)
    np.testing.assert_allclose(fun, values(result.x, which), rtol=1e-13)
    assert np.all(np.isfinite(fun) != met)
    if not met.all():
        assert result.best.fun == np.min(fun[~met])
    if name in ("constant", "without gradient", "of integers"):
        assert not np.any(result.n_steps)
        assert {minimum.kind for minimum in result.minima} == {"flat"}
    if name == "unbounded below":
        np.testing.assert_array_equal(result.x, 2.0)
        assert [minimum.kind for minimum in result.minima] == ["on the boundary"]
    assert sum(minimum.count for minimum in result.minima) == result.n_success
    assert f"{sum(met)} NONFINITE" in repr(result) or not any(met)


@pytest.mark.parametrize("name", OBJECTIVES)
def test_a_nasty_objective_gives_a_status_to_one(name):
    expected = dict.fromkeys(OBJECTIVES, Status.GTOL) | {
        "unbounded below": Status.NONFINITE,
        "NaN everywhere": Status.NONFINITE,
        "beyond float32": Status.NONFINITE,
    }
    which = list(OBJECTIVES).index(name)
    result = one(objective, args=(which,), gtol=1e-3)
    assert result.status == expected[name]
    assert same_bits(result.fun, objective(result.x, which)) or np.isclose(
        result.fun, objective(result.x, which), rtol=1e-13
    )
    assert np.isfinite(result.fun) == (name != "NaN everywhere")
    # On the far side of the border, where there is one.
    stopped = minimize(objective, -START, SGD, args=(which,), gtol=1e-3, max_steps=50)
    assert "half" not in name or (stopped.status, stopped.n_steps) == (Status.NONFINITE, 0)


@BOTH
@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_updates_that_are_not_finite_leave_the_start(search, bad):
    def update(updates, state, params):
        return jax.tree.map(lambda u: state * u, updates), state

    optimizer = GradientTransformation(lambda params: jnp.full_like(params, bad), update)
    result = search(fun=jnp.sum, optimizer=optimizer)
    if search is one:
        assert (result.status, result.n_steps) == (Status.NONFINITE, 1)
        assert same_bits((result.x, result.fun), (START, jnp.sum(START)))
    else:  # infinity is projected onto the box, NaN is not
        status = {np.nan: Status.NONFINITE, np.inf: Status.MAX_STEPS, -np.inf: Status.GTOL}
        corner = np.full_like(result.x, np.sign(bad) * 2 if np.isinf(bad) else np.nan)
        np.testing.assert_array_equal(result.status, status[bad])
        kept = corner if bad == -np.inf else result.starts
        np.testing.assert_array_equal(result.x, kept)


# Objectives and optimizers that are none


class OwnError(Exception):
    """Raised by what is searched or searches: it has to come through as it is."""


def fails(*args, **kwargs):
    raise OwnError


def steps(new_state=lambda state: state, init=lambda params: jnp.zeros((), "float32")):
    """Plain descent with a state."""
    return GradientTransformation(init, lambda updates, state, params: (updates, new_state(state)))


def changes(change):
    """Plain descent, its updates changed."""
    return GradientTransformation(lambda params: (), lambda u, state, params: (change(u), state))


@BOTH
@pytest.mark.parametrize(
    "options",
    [
        {"fun": fails},
        {"optimizer": GradientTransformation(fails, SGD.update)},
        {"optimizer": GradientTransformation(SGD.init, fails)},
        {"optimizer": optax.chain(optax.clip(1.0), changes(fails))},
    ],
    ids=["fun", "init", "update", "chained"],
)
def test_errors_of_ones_own_come_through(search, options):
    with pytest.raises(OwnError):
        search(**options)


@pytest.mark.parametrize("name", ["starts", "callback"])
def test_errors_of_ones_own_come_through_from_many(name):
    with pytest.raises(OwnError):
        many(**{name: fails})


class UnhashableUpdate:
    __hash__ = None

    def __call__(self, updates, state, params):
        return updates, state


REFUSED = {
    "whole array": ({"fun": lambda x: x}, "real floating scalar, got float64 of shape (2,)"),
    "row": ({"fun": lambda x: bowl(x)[None]}, "real floating scalar, got float64 of shape (1,)"),
    "integer": ({"fun": lambda x: 3}, "real floating scalar, got int64"),
    "integer array": ({"fun": jnp.argmax}, "real floating scalar, got int64"),
    "boolean": ({"fun": lambda x: x[0] > 0}, "real floating scalar, got bool"),
    "complex": (
        {"fun": lambda x: lax.complex(bowl(x), 1.0)},
        "real floating scalar, got complex128",
    ),
    "complex number": ({"fun": lambda x: 1j}, "real floating scalar, got complex128 of shape ()"),
    "nothing": ({"fun": lambda x: None}, "real floating scalar, got None"),
    "text": ({"fun": lambda x: "low"}, "real floating scalar, got 'low'"),
    "list": ({"fun": lambda x: [bowl(x)]}, "real floating scalar, got ["),
    "pair": ({"fun": lambda x: (bowl(x), x)}, "set has_aux=True"),
    "no function": ({"fun": 3.0}, "fun must be a function of x, got 3.0"),
    "args list": ({"args": [1.0]}, "args must be a tuple of the further arguments of fun, got [1."),
    "args text": (
        {"args": (1.0, "a")},
        "args[1] must be an array or a number, got 'a' of type str",
    ),
    "args function": (
        {"args": ({"f": len},)},
        "args[0]['f'] must be an array or a number, got <bu",
    ),
    "args objects": (
        {"args": (np.array([None]),)},
        "args[0] must be an array or a number, got arr",
    ),
    "args shape": ({"args": (jax.ShapeDtypeStruct((), float),)}, "args[0] must be an array"),
    "optimizer not made": ({"optimizer": amsgrad}, "optimizer must be an optax.GradientTransf"),
    "optimizer of None": (
        {"optimizer": GradientTransformation(None, None)},  # pyright: ignore
        "optimizer must be an optax.GradientTransformation, got GradientTransformation(init=None",
    ),
    "optimizer unhashable": (
        {"optimizer": GradientTransformation(SGD.init, UnhashableUpdate())},
        "optimizer must be hashable",
    ),
    "state of text": (
        {"optimizer": steps(init=lambda params: {"name": "a"})},
        "the state of the optimizer['name'] must be an array or a number, got 'a' of type str",
    ),
    "state's dtype": (
        {"optimizer": steps(lambda s: s.astype("float64"))},
        "the new state of the optimizer must be float32[], got float64[]",
    ),
    "state's shape": (
        {"optimizer": steps(lambda s: s[None])},
        "the new state of the optimizer must be float32[], got float32[1]",
    ),
    "state's tree": (
        {"optimizer": steps(lambda s: (s, s))},
        "new state of the optimizer must have the structure PyTreeDef(*), got PyTreeDef((*, *))",
    ),
    "no state": (
        {"optimizer": GradientTransformation(SGD.init, lambda u, s, p: u)},
        "optimizer.update must return (updates, state), got ",
    ),
    "three results": (
        {"optimizer": GradientTransformation(SGD.init, lambda u, s, p: (u, s, p))},
        "optimizer.update must return (updates, state), got (",
    ),
    "updates' shape": (
        {"optimizer": changes(lambda u: u[:1])},
        "must be float64[2], got float64[1]",
    ),
    "scalar updates": ({"optimizer": changes(lambda u: 0.5)}, "must be float64[2], got float64[]"),
    "longer updates": (
        {"optimizer": changes(lambda u: jnp.zeros((3, 2)))},
        "the updates of the optimizer must be float64[2], got float64[3, 2]",
    ),
    "integer updates": (
        {"optimizer": changes(lambda u: u.astype(int))},
        "the updates of the optimizer must be float64[2], got int64[2]",
    ),
    "complex updates": (
        {"optimizer": changes(lambda u: u.astype(complex))},
        "the updates of the optimizer must be float64[2], got complex128[2]",
    ),
    "no updates": (
        {"optimizer": changes(lambda u: None)},
        "the updates of the optimizer must have the structure PyTreeDef(*), got PyTreeDef(None)",
    ),
}


@BOTH
@pytest.mark.parametrize("case", REFUSED)
def test_what_is_no_objective_and_no_optimizer_is_refused(search, case):
    options, said = REFUSED[case]
    with pytest.raises(TypeError, match=re.escape(said)) as error:
        search(**options)
    assert ("has_aux" in str(error.value)) == (case == "pair")  # a hint for those it helps


@BOTH
@pytest.mark.filterwarnings("ignore:no derivative of fun reaches x")
@pytest.mark.parametrize("value", [3.0, np.float32(3), np.array(3.0)], ids=repr)
def test_a_value_may_be_any_kind_of_number(search, value):
    result = search(fun=lambda x: value)
    assert np.all(result.status == Status.GTOL)
    np.testing.assert_array_equal(result.fun, 3.0)


@BOTH
def test_updates_of_another_width_are_taken_as_optax_takes_them(search):
    half_width = optax.chain(SGD, changes(lambda u: u.astype("float32")))
    with jax.numpy_dtype_promotion("standard"):
        result = search(optimizer=half_width, gtol=1e-4)
    assert np.all(result.status == Status.GTOL)
    assert result.x.dtype == "float64"


NUMBERS = {"gtol": (10**400, ValueError), "max_steps": (10**400, ValueError)}
NUMBERS |= {"ftol": ([1e-3], TypeError), "xtol": ("small", TypeError), "patience": (2.5, TypeError)}


@BOTH
@pytest.mark.parametrize("name", NUMBERS)
def test_limits_that_are_none_are_refused(search, name):
    value, error = NUMBERS[name]
    with pytest.raises(error, match=f"{name} must be "):
        search(**{name: value})


# What only one search is given


@pytest.mark.parametrize(
    ("x0", "said"),
    [
        ("abc", "x0 must be an array or a number, got 'abc' of type str"),
        ("f4", "x0 must be an array or a number, got 'f4' of type str"),
        ({"a": START, "b": len}, "x0['b'] must be an array or a number, got <built-in"),
        (np.array(["a"]), "x0 must be an array or a number, got array(['a']"),
        (np.ones(2, np.longdouble), "x0 must be an array or a number, got array([1., 1.]"),
        (jax.ShapeDtypeStruct((2,), float), "x0 must be an array or a number, got ShapeDtypeStr"),
        (10**400, "x0 must be an array or a number"),
        (KEY, "x0 has dtype key<fry>: a search needs floating x"),
    ],
    ids=["text", "name of a dtype", "function", "texts", "longdouble", "shape", "huge", "key"],
)
def test_a_start_that_is_no_array_is_refused(x0, said):
    with pytest.raises(TypeError, match=re.escape(said)):
        minimize(bowl, x0, SGD)


@pytest.mark.parametrize(
    ("start", "said"),
    [
        (jnp.ones(3), "opt_state[0].m must be float64[2], got float64[3]"),
        (START.astype("float32"), "opt_state[0].m must be float64[2], got float32[2]"),
        ({"a": START}, "opt_state must have the structure"),
    ],
    ids=["shape", "dtype", "tree"],
)
def test_a_state_for_another_x_is_refused(start, said):
    optimizer = amsgrad(0.1)
    with pytest.raises(ValueError, match=re.escape(f"optimizer for x0: {said}")):
        minimize(bowl, START, optimizer, opt_state=optimizer.init(start))


@pytest.mark.parametrize("loop", [None, 3, ["while"], np.zeros(2)], ids=repr)
def test_a_loop_that_is_no_word_is_refused(loop):
    with pytest.raises(ValueError, match="loop must be one of 'while', 'scan', got "):
        one(loop=loop)


# What only many are given


@pytest.mark.parametrize(
    ("options", "error", "said"),
    [
        ({"key": None}, TypeError, "key must be one key, such as jax.random.key(0), got None"),
        ({"key": 7}, TypeError, "key must be one key, such as jax.random.key(0), got 7"),
        ({"key": jax.random.split(KEY)}, TypeError, "key must be one key"),
        ({"bounds": (None, None)}, ValueError, "the bounds None and None hold no numbers"),
        ({"bounds": np.zeros((0, 2))}, ValueError, "hold no numbers"),
        ({"bounds": [(0, 1), (0,)]}, ValueError, "bounds as a list must hold n pairs"),
        ({"bounds": (np.zeros(2), np.nan)}, ValueError, "bounds of x are NaN: lower [0. 0.]"),
        (
            {"key": None, "starts": np.zeros((3, 2)), "n_starts": 4},
            TypeError,
            "key must be one key",
        ),
        ({"starts": np.zeros(2)}, ValueError, "bound array([-2., -2.]) does not fit x of shape"),
        ({"starts": lambda key, n, box: None}, ValueError, "starts must have the shape (1024, 2)"),
        ({"starts": "halton"}, ValueError, "starts must be one of 'uniform', 'sobol', 'lhs'"),
        ({"starts": ["sobol"]}, TypeError, "starts must be an array or a number, got array(['sob"),
        ({"starts": b"sobol"}, TypeError, "starts must be an array or a number, got b'sobol'"),
        ({"starts": {"a": fails}}, TypeError, "starts['a'] must be an array or a number, got <fun"),
        (
            {"starts": np.zeros((3, 2)), "n_starts": 2},
            ValueError,
            "starts holds 3 starts, more than",
        ),
        ({"starts": [[0.0, 0.0], [1.0]]}, ValueError, "starts as a list must hold points of one s"),
        (
            {"starts": np.zeros((0, 2))},
            ValueError,
            "starts = array([], shape=(0, 2), dtype=float64)",
        ),
        ({"starts": np.full((1, 2), 9.0)}, ValueError, "starts[0, 0] = 9.0 is outside its bounds"),
        ({"mesh": jax.sharding.Mesh(np.array([]), "x")}, ValueError, "mesh must have a device"),
        ({"checkpoint": 3}, TypeError, "checkpoint must be the path of a folder, got 3"),
        ({"checkpoint": ""}, TypeError, "checkpoint must be the path of a folder, got ''"),
        ({"checkpoint": b"a"}, TypeError, "checkpoint must be the path of a folder, got b'a'"),
        ({"checkpoint_every": -1}, ValueError, "checkpoint_every must be a finite number >= 0"),
    ],
    ids=lambda value: "" if not isinstance(value, dict) else next(iter(value)),
)
def test_what_many_cannot_use_is_refused(options, error, said):
    with pytest.raises(error, match=re.escape(said)):
        many(**options)


@pytest.mark.parametrize("starts", [np.zeros(2), "halton", None], ids=repr)
def test_points_cannot_be_drawn_as_points(starts):
    said = f"'lhs' or a function, got {starts!r}"
    with pytest.raises(ValueError, match=re.escape(said)):
        sample_starts(KEY, 4, BOX, starts)


@pytest.mark.parametrize(
    "fun",
    [
        lambda x: np.sin(x).sum(),
        lambda x: float(x[0]) + jnp.sum(x),
        lambda x: jnp.sum(x) if x[0] > 0 else -jnp.sum(x),
    ],
    ids=["NumPy", "float", "if"],
)
def test_an_objective_that_jax_cannot_trace_is_told_what_to_do(fun):
    with pytest.raises(TypeError, match="traced array") as caught:
        minimize(fun, jnp.ones(2), amsgrad(0.1))
    said = "fun must be written in jax.numpy: NumPy, math and `if` do not work; "
    assert [note.startswith(said) for note in caught.value.__notes__].count(True) == 1


def test_a_file_is_no_folder_for_a_checkpoint(tmp_path):
    file = tmp_path / "file"
    file.write_text("mine")
    with pytest.raises(NotADirectoryError, match=r"must be a folder, '.*file' is a file"):
        many(n_starts=4, checkpoint=file)
    assert file.read_text() == "mine"


@pytest.mark.parametrize("i", [None, slice(2), 1.0, -1, 9], ids=repr)
def test_what_is_no_start_is_not_run_again(i):
    result = many(n_starts=4)
    allowed = "an integer >= 0" if i != 9 else "the number of one of 4 starts"
    with pytest.raises(
        (TypeError, ValueError), match=f"i must be {allowed}, got {re.escape(repr(i))}"
    ):
        result.rerun(i)


@pytest.mark.as_users_compile  # a slow program takes longer than its compilation saves
def test_a_million_starts_are_a_number_like_others():
    result = many(optimizer=optax.sgd(0.5), n_starts=2**20)  # a step to the minimum
    assert result.fun.shape == (2**20,)
    assert np.all((result.status == Status.GTOL) & (result.n_steps == 1))
    assert same_bits(result.starts[:9], sample_starts(KEY, 9, BOX))
    assert [minimum.count for minimum in result.minima] == [2**20]


@pytest.mark.as_users_compile
def test_lanes_for_which_there_are_no_starts_cost_nothing():
    few, most = (many(n_starts=5, lanes=lanes) for lanes in (16, 2**31 - 1))
    assert same_bits((few.x, few.n_steps), (most.x, most.n_steps))
    assert most.lane_efficiency == few.lane_efficiency


def test_own_starts_of_another_dtype_leave_the_drawn_ones_where_they_are():
    own = np.zeros((2, 2), np.float32)
    result = many(n_starts=50, starts=own)
    assert result.starts.dtype == result.x.dtype == np.float32
    drawn = sample_starts(KEY, 50, BOX)[2:]
    np.testing.assert_allclose(result.starts[2:], drawn, rtol=1e-6)


@pytest.mark.parametrize("look", [jax.debug_nans, jax.debug_infs])
def test_searching_for_nan_does_not_stop_many(look):
    # Starts that were never evaluated have NaN for a value, and the best before them is infinite.
    with look(True):
        result = many(objective, args=(list(OBJECTIVES).index("NaN on half the box"),), n_starts=20)
    assert {*np.asarray(result.status).tolist()} == {Status.NONFINITE, Status.GTOL}


def test_complex_starts_end_in_complex_minima(tmp_path):
    def fun(z, center):
        apart = (z - center) ** 2 - (1 + 0j)  # zero at the center + 1 and - 1
        return jnp.sum(apart.real**2 + 2 * apart.imag**2)

    center = np.array([1 + 1j, -2j], np.complex64)
    starts = center + np.array([1, -1], np.complex64) * np.array(
        [[0.9], [1.1], [-1.1]], np.complex64
    )
    result = explore(
        fun, None, optax.sgd(0.05), key=KEY, n_starts=3, starts=starts, args=(center,), gtol=1e-4
    )
    minima = result.minima
    assert np.all(result.status == Status.GTOL)
    assert [m.count for m in minima] in ([2, 1], [1, 2])
    assert {(m.kind, m.x.dtype.name) for m in minima} == {("minimum", "complex64")}
    for m in minima:
        np.testing.assert_allclose(abs(m.x - center), 1, atol=1e-4)
        np.testing.assert_allclose(m.condition, 2, rtol=1e-3)
    assert "minimum" in result.summary()
    result.save(tmp_path / "complex.npz")
    assert same_bits(MultiStartResult.load(tmp_path / "complex.npz").best.x, result.best.x)
