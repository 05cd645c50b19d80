"""The algorithm: `scale_by_amsgrad` against the paper, against optax, and its own contract."""

import inspect
import re
from functools import partial

import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from jax.sharding import AxisType, NamedSharding, PartitionSpec
from jax.test_util import check_grads
from reference import CONVENTIONS, amsgrad, assert_trees_close, property_test, run, same_bits

import jamsgrad
from jamsgrad import Convention, MomentDtypes, conventions, scale_by_amsgrad

OPTAX = [Convention(m, v) for m in (False, True) for v in ("never", "before_max")]
ALL = list(dict.fromkeys([*conventions.values(), *OPTAX, Convention(False, "after_max")]))
DTYPES = ["float16", "bfloat16", "float32", "float64", "complex64", "complex128"]
HYPER = {"b1": 0.8, "b2": 0.95}


def flags(convention):
    rule = conventions.get(convention, convention) if isinstance(convention, str) else convention
    return rule._asdict()


def gradients(shape, seed=0, scale=1.0):
    """Normal numbers, a fifth of them zero."""
    rng = np.random.default_rng(seed)
    return scale * rng.standard_normal(shape) * (rng.random(shape) < 0.8)


def descent(convention="paper", **hyper):
    """The plain optimizer x - 0.1 u."""
    return optax.chain(scale_by_amsgrad(**HYPER | hyper, convention=convention), optax.scale(-0.1))


shapes = hnp.array_shapes(min_dims=0, max_dims=3, max_side=3, min_side=0)
trees = st.recursive(
    shapes,
    lambda inner: st.one_of(
        st.lists(inner, min_size=1, max_size=2).map(lambda x: {"list": x}),
        st.dictionaries(st.sampled_from("abc"), inner, min_size=1, max_size=2),
    ),
    max_leaves=4,
)


def random_trees(tree, steps, seed, exponent):
    """Parameters and gradients for a tree of shapes."""
    leaves, treedef = jax.tree.flatten(tree, is_leaf=lambda x: isinstance(x, tuple))
    params = [gradients(shape, seed) for shape in leaves]
    grads = [gradients((steps, *shape), seed + 1, 10.0**exponent) for shape in leaves]
    return treedef.unflatten(params), treedef.unflatten(grads)


# The numbers


@property_test
@given(
    tree=trees,
    convention=st.sampled_from(ALL),
    seed=st.integers(0, 1000),
    exponent=st.integers(-12, 12),
    b1=st.floats(0, 0.99),
    b2=st.floats(0, 0.999),
    eps=st.sampled_from([0.0, 1e-8, 1e-3]),
    eps_root=st.sampled_from([0.0, 1e-6]),
)
def test_the_reference_agrees_on_random_trees(
    tree, convention, seed, exponent, b1, b2, eps, eps_root
):
    hyper = {"b1": b1, "b2": b2, "eps": eps, "eps_root": eps_root}
    params, grads = random_trees(tree, 6, seed, exponent)
    path, _ = run(descent(convention, **hyper), params, grads)
    expected = jax.tree.map(
        lambda x, g: amsgrad(x, g, 0.1, **flags(convention) | hyper), params, grads
    )
    assert_trees_close(path, expected, rtol=1e-12, atol=1e-12)


def assert_optax_agrees(rule, params, grads, *hyper):
    ours = jamsgrad.amsgrad(0.1, *hyper, convention=rule)
    theirs = optax.amsgrad(
        0.1,
        *hyper,
        bias_correction_mu=rule.debias_m,
        bias_correction_nu=rule.debias_v == "before_max",
    )
    with jax.numpy_dtype_promotion("standard"):
        expected, _ = run(theirs, params, grads)
    # Optax forms 1 - b**t, where the rounding of b**t by eps / 2 weighs 1 / (1 - b): 5 eps at
    # b1 = 0.9, and 50 at b2 = 0.99, half of it after the square root. Steps are at most
    # 0.1 / sqrt(1 - b2) = 1 long and a few errors add up, hence 120 eps, absolutely too.
    tolerance = 120 * np.finfo(jax.tree.leaves(grads)[0].dtype).eps
    assert_trees_close(run(ours, params, grads)[0], expected, rtol=tolerance, atol=tolerance)


@settings(property_test, max_examples=10)
@given(
    tree=trees,
    rule=st.sampled_from(OPTAX),
    dtype=st.sampled_from(["float32", "float64"]),
    seed=st.integers(0, 1000),
    exponent=st.integers(-3, 3),
    b1=st.floats(0, 0.9),
    b2=st.floats(0, 0.99),
    eps_root=st.sampled_from([0.0, 1e-6]),
)
def test_installed_optax_agrees_on_random_trees(
    tree, rule, dtype, seed, exponent, b1, b2, eps_root
):
    params, grads = random_trees(tree, 6, seed, exponent)
    params, grads = jax.tree.map(lambda x: jnp.asarray(x, dtype), (params, grads))
    assert_optax_agrees(rule, params, grads, b1, b2, 1e-8, eps_root)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("rule", OPTAX, ids=str)
def test_installed_optax_agrees_in_all_four_flag_pairs(rule, dtype):
    params, grads = jnp.zeros(50, dtype), jnp.asarray(gradients((50, 50)), dtype)
    assert_optax_agrees(rule, params, grads, 0.9, 0.99)


def test_convention_optax_has_the_flags_and_the_eps_of_optax():
    params, grads = jnp.zeros(4), jnp.asarray(gradients((50, 4), scale=1e-7))
    with jax.numpy_dtype_promotion("standard"):
        expected, _ = run(optax.amsgrad(0.1), params, grads)
    path, _ = run(jamsgrad.amsgrad(0.1, convention="optax"), params, grads)
    np.testing.assert_allclose(path, expected, rtol=1e-11, atol=1e-11)


def test_the_conventions_differ():
    ends = [run(descent(c), jnp.zeros(2), gradients((5, 2)))[0][-1, 0] for c in ALL]
    gaps = np.diff(np.sort(ends))
    assert np.all(gaps > 1e-8)  # pytorch and keras differ by their eps


def dtype_of_v(convention, dtype):
    """Of magnitudes, which are real, or of two real numbers, as torch has it."""
    return jnp.dtype(dtype if convention == "pytorch" else jnp.finfo(dtype).dtype)


@pytest.mark.parametrize("convention", CONVENTIONS)
def test_complex_moments_use_the_magnitude_or_both_parts(convention):
    grads = gradients((8, 3)) + 1j * gradients((8, 3), seed=1)
    expected = amsgrad(np.zeros(3, complex), grads, 0.1, **flags(convention) | HYPER)
    path, state = run(descent(convention), jnp.zeros(3, complex), grads)
    np.testing.assert_allclose(path, expected, rtol=1e-12)
    assert state[0].v.dtype == state[0].vhat.dtype == dtype_of_v(convention, complex)
    assert state[0].m.dtype == "complex128"


@pytest.mark.parametrize("moment_dtype", [None, "bfloat16"])
@pytest.mark.parametrize("rule", conventions.values(), ids=conventions)
def test_a_split_complex_parameter_is_two_real_ones(rule, moment_dtype):
    rule = rule._replace(split_complex=True)
    grads = jnp.asarray(gradients((8, 3)) + 1j * gradients((8, 3), seed=1), "complex64")
    optimizer = descent(rule, moment_dtype=moment_dtype and MomentDtypes(v=moment_dtype))
    params = {"z": jnp.ones(3, "complex64"), "x": jnp.ones(3, "float32")}
    path, _ = run(optimizer, params, {"z": grads, "x": grads.imag})
    split = optax.contrib.split_real_and_imaginary(descent(rule))
    with jax.numpy_dtype_promotion("standard"):
        theirs, _ = run(split, params["z"], grads)
    np.testing.assert_allclose(path["z"], theirs, rtol=2e-6)
    assert path["z"].dtype == "complex64"


@pytest.mark.parametrize("convention", CONVENTIONS)
@pytest.mark.parametrize("b", ["b1", "b2"])
def test_a_traced_decay_rate_that_has_rounded_to_1_shows_as_nan(b, convention):
    """Nothing is averaged then: `paper` stood still in silence, the others were NaN."""
    g = jnp.ones(3, "float32")

    def update(value, schedule):
        hyper = {b: (lambda _: value) if schedule else value}
        optimizer = scale_by_amsgrad(**hyper, convention=convention)
        return optimizer.update(g, optimizer.init(g))[0]

    for schedule in (True, False):
        jitted = jax.jit(partial(update, schedule=schedule))
        assert np.isnan(jitted(jnp.float32(1 - 1e-9))).all()
        assert np.isfinite(jitted(jnp.float32(0.999))).all()
        assert np.isfinite(jitted(jnp.float32(1 - 2**-24))).all()


@pytest.mark.as_users_compile
@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_half_precision_gradients_are_averaged_in_float32(dtype):
    grads = jnp.asarray(gradients((30, 4), scale=1000.0), dtype)  # squares overflow float16
    optimizer = scale_by_amsgrad()
    state, wide = optimizer.init(grads[0]), optimizer.init(jnp.zeros(4, "float32"))
    update = jax.jit(optimizer.update)
    for g in grads:
        u, state = update(g, state)
        u_wide, wide = update(g.astype("float32"), wide)
        assert same_bits(u, u_wide.astype(dtype))
        assert bool(jnp.isfinite(u).all())
    assert same_bits(state, wide)


# The promise of the paper: the denominator never shrinks


@pytest.mark.parametrize("convention", CONVENTIONS)
def test_the_denominator_shrinks_only_where_the_correction_follows_the_maximum(convention):
    rule = conventions[convention]._replace(debias_m=False)  # so that u = m / denominator
    optimizer = scale_by_amsgrad(**HYPER, convention=rule)
    state, denominators = optimizer.init(jnp.zeros(())), []
    for g in (1.0, 0.1, 0.1, 0.1):
        u, state = optimizer.update(jnp.asarray(g), state)
        denominators.append(state.m / u)
    change = np.diff(denominators) / np.array(denominators[:-1])
    if convention in ("paper", "optax"):
        assert np.all(change > -1e-14)
    else:
        assert np.all(change < -0.05)


# Zero gradients


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("eps", [0.0, 1.0])
def test_no_gradient_no_update_for_any_eps(dtype, eps):
    zero = jnp.zeros(3, dtype)
    for convention in ALL:
        optimizer = scale_by_amsgrad(eps=eps, convention=convention)
        u, state = optimizer.update(zero, optimizer.init(zero))
        assert same_bits(jnp.abs(u), jnp.abs(zero))
        assert not np.any(state.vhat)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("convention", CONVENTIONS)
def test_the_derivative_is_finite_at_zero_gradients(convention, dtype):
    def updates(grads, eps):
        optimizer = scale_by_amsgrad(**HYPER, eps=eps, convention=convention)
        return jax.lax.scan(
            lambda state, g: optimizer.update(g, state)[::-1], optimizer.init(grads[0]), grads
        )[1]

    # Coordinates: never a gradient, one at the start, one at the end, one between.
    grads = jnp.array([[0, 1, 0, 0], [0, 0, 0, 1], [0, 0, 1, 0]], dtype)
    weights = jnp.asarray(gradients(grads.shape, seed=1) + 3, dtype)

    @jax.jit
    def derivatives(grads, eps):
        reverse = jax.grad(lambda *x: jnp.vdot(weights, updates(*x)), (0, 1))(grads, eps)
        _, forward = jax.jvp(updates, (grads, eps), (weights, jnp.ones_like(eps)))
        return reverse, forward

    for eps in (0.0, 1e-8):
        (by_grads, by_eps), forward = derivatives(grads, jnp.asarray(eps, dtype))
        assert np.all(np.isfinite(by_grads))
        assert np.all(np.isfinite(forward))
        assert not np.any(by_grads[:, 0])
        assert not np.any(forward[:, 0])
        np.testing.assert_allclose(
            jnp.vdot(by_grads, weights) + by_eps, jnp.vdot(weights, forward), rtol=1e-5
        )


@pytest.mark.parametrize("convention", ALL, ids=str)
def test_with_eps_root_the_derivative_at_a_zero_gradient_is_the_analytic_one(convention):
    eps, eps_root, rule = 1e-3, 1e-4, Convention(**flags(convention))
    optimizer = scale_by_amsgrad(**HYPER, eps=eps, eps_root=eps_root, convention=convention)
    state = optimizer.init(jnp.zeros(()))
    derivative = jax.grad(lambda g: optimizer.update(g, state)[0])(0.0)
    numerator = 1.0 if rule.debias_m else 1 - HYPER["b1"]
    denominator = np.sqrt(eps_root) + eps
    if rule.eps_hat:
        denominator /= np.sqrt(1 - HYPER["b2"])
    np.testing.assert_allclose(derivative, numerator / denominator, rtol=1e-13)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("eps", [0.0, 1e-8])
def test_update_and_derivative_are_finite_for_gradients_of_any_size(dtype, eps):
    optimizer = scale_by_amsgrad(**HYPER, eps=eps)
    exponents = np.arange(-44, 18) if dtype == "float32" else np.arange(-320, 150, 2)
    grads = jnp.asarray(10.0**exponents, dtype)
    state = optimizer.init(jnp.zeros((), dtype))

    def update(g):
        return optimizer.update(g, state)[0]

    for derivative in (jax.grad, jax.jacfwd):
        u, du = jax.jit(jax.vmap(update))(grads), jax.jit(jax.vmap(derivative(update)))(grads)
        assert np.all(np.isfinite(u))
        bad = np.asarray(grads)[~np.isfinite(du)]
        assert not bad.size, f"{derivative.__name__} is not finite at gradients {bad}"


@pytest.mark.parametrize("convention", CONVENTIONS)
def test_derivatives_through_ten_steps_equal_finite_differences(convention):
    scale = jnp.asarray([1.0, 10.0, 0.1])

    @jax.jit
    def end(x, learning_rate, b1, b2, eps):
        optimizer = jamsgrad.amsgrad(learning_rate, b1, b2, eps, convention=convention)

        def step(carry, _):
            x, state = carry
            updates, state = optimizer.update(scale * jnp.sin(x), state, x)
            return (optax.apply_updates(x, updates), state), None

        (x, _), _ = jax.lax.scan(step, (x, optimizer.init(x)), length=10)
        return x

    arguments = (jnp.array([1.0, -0.7, 0.4]), 0.1, 0.8, 0.95, 1e-3)
    check_grads(end, arguments, order=1, modes=("fwd", "rev"), rtol=1e-6, eps=1e-6)


# Gradients whose square overflows


@pytest.mark.parametrize("spike", [1e20, -3e38])
@pytest.mark.parametrize("convention", CONVENTIONS)
def test_a_coordinate_outlives_a_gradient_whose_square_overflows(convention, spike):
    grads = np.concatenate([gradients((5, 1)), [[spike]], gradients((95, 1), seed=1)])

    def updates(optimizer, dtype):
        def step(state, grad):
            update, state = optimizer.update(grad, state)
            return state, update

        state = optimizer.init(jnp.zeros(1, dtype))
        return jax.lax.scan(step, state, jnp.asarray(grads, dtype))

    state, narrow = updates(scale_by_amsgrad(b2=0.99, convention=convention), "float32")
    _, wide = updates(scale_by_amsgrad(b2=0.99, convention=convention), "float64")
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(state))
    np.testing.assert_allclose(narrow, wide, rtol=1e-5, atol=1e-30)
    assert np.all(np.abs(narrow[5:]) > 1e-6)
    # optax loses it for ever.
    with jax.numpy_dtype_promotion("standard"):
        _, lost = updates(optax.scale_by_amsgrad(b2=0.99), "float32")
    np.testing.assert_array_equal(lost[5:], 0)


@pytest.mark.parametrize(
    ("param", "grad", "moment_dtype", "spike"),
    [
        ("float64", "float64", MomentDtypes(vhat="float32"), 1e21),
        ("float64", "float64", MomentDtypes(vhat="bfloat16"), 1e21),
        ("float64", "float64", MomentDtypes(v="float32"), 1e21),
        ("float64", "float64", MomentDtypes("float64", "float32", "float32"), 1e21),
        ("float64", "float64", "float32", 1e39),
        ("float64", "float64", "bfloat16", 1e39),
        ("float32", "float64", None, 1e39),
    ],
)
def test_a_coordinate_outlives_a_gradient_too_large_for_where_moments_are_stored(
    param, grad, moment_dtype, spike
):
    def updates(moment_dtype, dtype):
        optimizer = scale_by_amsgrad(moment_dtype=moment_dtype)
        state, found = optimizer.init(jnp.zeros(1, dtype)), []
        for g in (spike, 1.0, 1.0):
            update, state = optimizer.update(jnp.full(1, g, grad), state)
            found.append(update.item())
        return found

    # A moment in bfloat16 is off by up to an ulp: 2^-7, m and the root of vhat together.
    rtol = 1e-6 if "bfloat16" not in str(moment_dtype) else 2.0**-6
    np.testing.assert_allclose(updates(moment_dtype, param), updates(None, "float64"), rtol=rtol)


@pytest.mark.parametrize("grads", [(1e19, 1.5e19), (1e17, 1.8e19)])
def test_gradients_are_not_clipped_before_their_squares_overflow(grads):
    def last(dtype):
        optimizer = scale_by_amsgrad(convention="optax")
        state = optimizer.init(jnp.zeros(1, dtype))
        for g in grads:
            update, state = optimizer.update(jnp.full(1, g, dtype), state)
        return update.item()

    np.testing.assert_allclose(last("float32"), last("float64"), rtol=1e-6)


@pytest.mark.usefixtures("jax_of_a_reader")
def test_parameters_of_numpy_in_float64_are_taken_without_a_warning():
    state = scale_by_amsgrad().init({"w": np.zeros(3)})
    assert state.v["w"].dtype == "float32"


@pytest.mark.parametrize("dtype", ["float32", "float64", "complex64"])
def test_gradients_are_kept_as_they_are_while_their_squares_are_representable(dtype):
    # |g|^2 is nearly max, of which each of the two parts of a complex number has half.
    largest = 0.699 if dtype == "complex64" else 0.989
    sizes = float(np.finfo(dtype).max) ** 0.5 * np.array([largest, 0.49, 0.3, 1e-9])
    g = jnp.asarray(sizes * (1 - 1j if dtype == "complex64" else -1), dtype)
    optimizer = scale_by_amsgrad(b1=0.0, b2=0.0)
    _, state = optimizer.update(g, optimizer.init(g))
    assert same_bits(state.m, g)
    np.testing.assert_allclose(np.sqrt(state.v), np.abs(g), rtol=1e-6)


@pytest.mark.parametrize("bad", [np.inf, -np.inf, np.nan])
def test_gradients_that_are_not_finite_stay_visible(bad):
    optimizer = scale_by_amsgrad()
    update, _ = optimizer.update(jnp.array([bad, 1.0]), optimizer.init(jnp.zeros(2)))
    assert np.isnan(update[0])
    assert np.isfinite(update[1])


@pytest.mark.parametrize("dtype", ["float32", "float64", "complex64"])
@pytest.mark.parametrize("convention", CONVENTIONS)
def test_the_largest_gradients_of_all_give_the_updates_of_any_constant_gradient(convention, dtype):
    largest = float(np.finfo(dtype).max) * (1 + 1j if dtype == "complex64" else 1)
    optimizer = scale_by_amsgrad(0.9, 0.99, convention=convention)
    state = optimizer.init(jnp.zeros(1, dtype))
    parts = 2 if state.v.dtype == "complex64" else 1  # each moves by as much as a real number
    for t in range(1, 51):
        update, state = optimizer.update(jnp.full(1, largest, dtype), state)
        expected = (1 - 0.9**t) / np.sqrt(1 - 0.99**t) if convention == "paper" else parts**0.5
        np.testing.assert_allclose(np.abs(update), expected, rtol=1e-5)


# Shapes, dtypes, trees


@pytest.mark.parametrize("convention", CONVENTIONS)
@pytest.mark.parametrize("dtype", DTYPES)
def test_shapes_and_dtypes_are_those_of_the_parameters_and_never_change(dtype, convention):
    params = {
        "w": jnp.ones((2, 3), dtype),
        "b": jnp.ones((), dtype),
        "empty": jnp.ones((0,), dtype),
    }
    optimizer = scale_by_amsgrad(convention=convention)
    state = optimizer.init(params)
    assert jax.tree.map(jnp.shape, state.m) == jax.tree.map(jnp.shape, params)
    real = "float64" if dtype in ("float64", "complex128") else "float32"
    moment = dtype if "complex" in dtype else real
    assert {x.dtype for x in jax.tree.leaves(state.m)} == {jnp.dtype(moment)}
    for moments in (state.v, state.vhat):
        assert jax.tree.map(jnp.shape, moments) == jax.tree.map(jnp.shape, params)
        expected = dtype_of_v(convention, moment)
        assert {x.dtype for x in jax.tree.leaves(moments)} == {expected}
    assert state.m_weight.dtype == state.v_weight.dtype == real
    assert state.count.dtype == "int32"

    updates, after = jax.eval_shape(optimizer.update, params, state)
    chex.assert_trees_all_equal_shapes_and_dtypes(after, state)
    chex.assert_trees_all_equal_shapes_and_dtypes(updates, params)


@pytest.mark.as_users_compile
@pytest.mark.parametrize("grad_dtype", ["bfloat16", "float16", "float64"])
def test_mixed_precision_does_not_drift_inside_scan(grad_dtype):
    grads = jnp.asarray(gradients((20, 4)), grad_dtype)
    optimizer = scale_by_amsgrad(**HYPER)
    state = optimizer.init(jnp.zeros(4, "float32"))

    def step(state, g):
        updates, state = optimizer.update(g, state)
        return state, updates

    after, updates = jax.jit(partial(jax.lax.scan, step))(state, grads)
    assert updates.dtype == grad_dtype
    assert after.m.dtype == after.v.dtype == after.vhat.dtype == "float32"
    wide, expected = jax.jit(partial(jax.lax.scan, step))(state, grads.astype("float32"))
    assert same_bits(after, wide)
    assert_trees_close(updates, expected.astype(grad_dtype), rtol=1e-6)


def test_leaves_of_different_dtypes_keep_their_own():
    params = {"single": jnp.ones(3, "float32"), "double": jnp.ones(3, "float64")}
    optimizer = scale_by_amsgrad(convention="keras")
    updates, state = jax.jit(optimizer.update)(params, optimizer.init(params))
    assert state.v["single"].dtype == updates["single"].dtype == "float32"
    assert state.v["double"].dtype == updates["double"].dtype == "float64"
    assert_trees_close(updates["single"], updates["double"].astype("float32"), rtol=1e-6)


@pytest.mark.parametrize(
    "params",
    [(), {}, None, {"a": None}, [optax.MaskedNode(), {}]],
    ids=["tuple", "dict", "None", "None leaf", "MaskedNode"],
)
def test_trees_without_leaves_are_kept(params):
    optimizer = scale_by_amsgrad()
    updates, state = jax.jit(optimizer.update)(params, optimizer.init(params))
    assert updates == state.m == state.v == state.vhat == params
    assert state.count == 1


@pytest.mark.parametrize("hole", [None, optax.MaskedNode()], ids=["None", "MaskedNode"])
def test_holes_in_a_tree_change_nothing(hole):
    g = jnp.array([1.0, -2.0])
    optimizer = scale_by_amsgrad()
    params = {"a": [hole, g, hole], "b": {"c": hole}}
    updates, state = optimizer.update(params, optimizer.init(params))
    bare, bare_state = optimizer.update(g, optimizer.init(g))
    assert jax.tree.structure(updates) == jax.tree.structure(params)
    assert same_bits(updates["a"][1], bare)
    assert same_bits(jax.tree.leaves(state), jax.tree.leaves(bare_state))


def test_python_floats_are_parameters():
    optimizer = scale_by_amsgrad(b1=0.0, b2=0.0, eps=0.0)
    updates, _ = optimizer.update({"x": jnp.asarray(-3.0)}, optimizer.init({"x": 1.0}))
    assert updates == {"x": -1.0}


@pytest.mark.parametrize("dtype", ["int32", "uint8", "bool", "<U1"])
def test_parameters_that_do_not_float_are_refused_by_path(dtype):
    params = {"net": [jnp.ones(2), {"steps": np.ones(2, dtype)}]}
    message = re.escape(f"['net'][1]['steps'] has dtype {dtype}")
    for refused in (scale_by_amsgrad(), jamsgrad.amsgrad(0.1), jamsgrad.amsgradw(0.1)):
        with pytest.raises(TypeError, match=message):
            refused.init(params)


def test_a_bare_integer_parameter_is_named_too():
    with pytest.raises(TypeError, match=r"the whole tree.* has dtype int64"):
        scale_by_amsgrad().init(3)


# Hyperparameters


@pytest.mark.parametrize(
    ("name", "value"),
    [(b, value) for b in ("b1", "b2") for value in (-0.1, 1.0, 1.5, np.nan, np.float32(2))]
    + [(eps, value) for eps in ("eps", "eps_root") for value in (-1e-8, np.inf, np.nan)]
    + [("b1", jnp.asarray(1.0))],
)
def test_a_hyperparameter_out_of_range_is_refused(name, value):
    allowed = "in [0, 1)" if name in ("b1", "b2") else ">= 0"
    message = f"^{re.escape(f'{name} must be a finite number {allowed}, got {value!r}')}$"
    for build in (
        scale_by_amsgrad,
        partial(jamsgrad.amsgrad, 0.1),
        partial(jamsgrad.amsgradw, 0.1),
    ):
        with pytest.raises(ValueError, match=message):
            build(**{name: value})


@pytest.mark.parametrize("value", ["0.9", "much", 1j, None, [0.9], np.ones(2)], ids=repr)
def test_a_hyperparameter_that_is_no_number_is_refused(value):
    with pytest.raises(TypeError, match=r"^b1 must be a real number"):
        scale_by_amsgrad(b1=value)


@pytest.mark.parametrize(("name", "end"), [("b1", 0), ("b2", 0.0), ("eps", 0), ("eps_root", 0)])
def test_the_ends_of_the_ranges_are_allowed(name, end):
    optimizer = scale_by_amsgrad(**{name: end})
    g = jnp.array([2.0, 0.0])
    u, _ = optimizer.update(g, optimizer.init(g))
    assert u[0] > 0
    assert u[1] == 0


def test_traced_hyperparameters_are_not_checked():
    def update(b1, b2, eps, eps_root):
        optimizer = scale_by_amsgrad(b1, b2, eps, eps_root)
        return optimizer.update(jnp.ones(2), optimizer.init(jnp.ones(2)))[0]

    good = (0.8, 0.95, 1e-8, 1e-6)
    np.testing.assert_allclose(jax.jit(update)(*good), update(*good), rtol=1e-14)
    assert np.all(jax.jit(update)(0.8, 0.95, -1e9, 0.0) < 0)


@pytest.mark.as_users_compile
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("convention", ["optax", "keras"])
@pytest.mark.parametrize(
    "wrap",
    [np.float64, jnp.float32, jnp.float64, optax.constant_schedule],
    ids=["numpy float64", "float32", "float64", "schedule"],
)
def test_arrays_and_schedules_give_the_numbers_of_floats(wrap, convention, dtype):
    g = jnp.array([1.0, -2.0, 0.0], dtype)
    eps_wrap = (lambda x: x) if wrap is optax.constant_schedule else wrap
    given = scale_by_amsgrad(
        wrap(0.5), wrap(0.75), eps_wrap(0.125), eps_wrap(0.25), convention=convention
    )
    plain = scale_by_amsgrad(0.5, 0.75, 0.125, 0.25, convention=convention)
    given, plain = (jax.jit(opt.update)(g, opt.init(g)) for opt in (given, plain))
    assert same_bits(given, plain)


def test_b1_and_b2_follow_their_schedules():
    b1, b2 = (lambda t: 0.9 / t), (lambda t: 1 - 0.5 / t)
    optimizer = descent(
        "keras",
        b1=jamsgrad.schedules.inverse_time(0.9),
        b2=lambda count: 1 - 0.5 / (count.astype(float) + 1),
    )
    grads = gradients((20, 3))
    expected = amsgrad(np.zeros(3), grads, 0.1, b1, b2, **flags("keras"))
    np.testing.assert_allclose(run(optimizer, jnp.zeros(3), grads)[0], expected, rtol=1e-12)


def test_schedules_of_the_decay_rates_compute_in_float64():
    optimizer = descent(b1=lambda n: 0.9 / jnp.sqrt(n + 1), b2=lambda n: 1 - 0.5 / jnp.sqrt(n + 1))
    grads = gradients((20, 3))
    b1, b2 = (lambda t: 0.9 / np.sqrt(t)), (lambda t: 1 - 0.5 / np.sqrt(t))
    expected = amsgrad(np.zeros(3), grads, 0.1, b1, b2)
    np.testing.assert_allclose(run(optimizer, jnp.zeros(3), grads)[0], expected, rtol=1e-12)


def test_float32_weights_have_no_cancellation():
    optimizer = scale_by_amsgrad(b2=0.999999)
    _, state = optimizer.update(jnp.ones(1, "float32"), optimizer.init(jnp.ones(1, "float32")))
    np.testing.assert_allclose(state.v_weight, 1e-6, rtol=1e-7)


@pytest.mark.parametrize(
    ("b1", "b2"), [(0.9, 0.999), (0.999, 0.99999), (0.9999, 0.999999), (0.99999, 0.9999999)]
)
def test_float32_weights_do_not_drift_in_a_million_steps(b1, b2):
    optimizer = scale_by_amsgrad(b1, b2, convention="optax")

    def step(state, _):
        _, state = optimizer.update(jnp.ones(1, "float32"), state)
        return state, None

    state = optimizer.init(jnp.zeros(1, "float32"))
    state, _ = jax.jit(lambda state: jax.lax.scan(step, state, length=10**6))(state)
    exact = [-np.expm1(1e6 * np.log(b)) for b in (b1, b2)]
    np.testing.assert_allclose((state.m_weight, state.v_weight), exact, rtol=1e-5)


@pytest.mark.parametrize("convention", CONVENTIONS)
def test_eps_defaults_to_the_conventions_own(convention):
    g = jnp.array([1e-8, 1.0])
    default = scale_by_amsgrad(convention=convention)
    explicit = scale_by_amsgrad(convention=convention, eps=1e-7 if convention == "keras" else 1e-8)
    assert same_bits(default.update(g, default.init(g)), explicit.update(g, explicit.init(g)))


def test_the_decay_rates_default_to_those_of_optax():
    ours, theirs = (inspect.signature(f).parameters for f in (scale_by_amsgrad, optax.amsgrad))
    for name in ("b1", "b2", "eps_root"):
        assert ours[name].default == theirs[name].default


def test_the_conventions_cannot_be_changed():
    with pytest.raises(TypeError, match="does not support item assignment"):
        conventions["paper"] = Convention(True, "before_max")


@pytest.mark.parametrize("name", ["torch", "Paper", None, 3, (True, "never")], ids=repr)
def test_an_unknown_convention_is_refused(name):
    near = {"torch": "; did you mean 'pytorch'?", "Paper": "; did you mean 'paper'?"}.get(name, "")
    got = re.escape(f"got {name!r}{near}")
    with pytest.raises(ValueError, match=rf"^convention must be one of 'paper', .*, {got}$"):
        scale_by_amsgrad(convention=name)


@pytest.mark.parametrize(
    ("rule", "message"),
    [
        (Convention(True, "sometimes"), "convention.debias_v must be one of .*, got 'sometimes'"),
        (Convention(True, "never", eps_hat=True), "eps_hat=True needs debias_v='after_max'"),
        (Convention(True, "before_max", eps_hat=True), "eps_hat=True needs debias_v='after_max'"),
        (Convention(True, "never", eps=-1.0), "eps must be .* got -1.0"),
    ],
)
def test_an_impossible_convention_is_refused(rule, message):
    with pytest.raises(ValueError, match=message):
        scale_by_amsgrad(convention=rule)


@pytest.mark.parametrize("flag", [1, "never", None, np.True_], ids=repr)
def test_debias_m_is_true_or_false(flag):
    with pytest.raises(TypeError, match=re.escape(f"debias_m must be a bool, got {flag!r}")):
        scale_by_amsgrad(convention=Convention(flag, "never"))


# The state


def test_the_state_switches_convention_midway():
    grads = gradients((6, 3))
    _, (paper, _) = run(descent("paper"), jnp.zeros(3), grads[:5])
    _, (pytorch, _) = run(descent("pytorch"), jnp.zeros(3), grads[:5])
    assert same_bits(paper, pytorch)
    switched, _ = scale_by_amsgrad(**HYPER, convention="pytorch").update(grads[5], paper)
    expected = amsgrad(np.zeros(3), grads, 1.0, **flags("pytorch") | HYPER)
    np.testing.assert_allclose(-switched, expected[5] - expected[4], rtol=1e-11)


def test_extra_arguments_are_accepted_and_ignored():
    g = jnp.array([1.0, -2.0])
    for optimizer in (scale_by_amsgrad(), jamsgrad.amsgrad(0.1), jamsgrad.amsgradw(0.1)):
        state = optimizer.init(g)
        plain = optimizer.update(g, state, g)
        assert same_bits(plain, optimizer.update(g, state, g, value=jnp.ones(()), key="unused"))


def test_the_update_is_traced_once():
    optimizer = jamsgrad.amsgrad(
        jamsgrad.schedules.inverse_sqrt(0.1), jamsgrad.schedules.inverse_time(0.9)
    )
    update = jax.jit(chex.assert_max_traces(optimizer.update, n=1))
    g = jnp.ones(3, "bfloat16")
    state = optimizer.init(g)
    for k in range(5):
        updates, state = update(g, state)
        assert state[0].count == k + 1
    assert updates.dtype == "bfloat16"


def test_the_count_saturates():
    optimizer = scale_by_amsgrad()
    last = jnp.asarray(np.iinfo(np.int32).max, "int32")
    state = optimizer.init(jnp.ones(2))._replace(count=last)
    assert optimizer.update(jnp.ones(2), state)[1].count == last


@pytest.mark.parametrize("convention", CONVENTIONS)
def test_vmap_over_states_equals_a_loop(convention):
    optimizer = scale_by_amsgrad(**HYPER, convention=convention)
    grads = gradients((4, 7, 3))  # steps, replicas, elements
    batch = jax.vmap(optimizer.init)(jnp.zeros((7, 3)))
    singles = [optimizer.init(jnp.zeros(3))] * 7
    batched, single = jax.jit(jax.vmap(optimizer.update)), jax.jit(optimizer.update)
    for g in grads:
        updates, batch = batched(g, batch)
        pairs = [single(x, state) for x, state in zip(g, singles, strict=True)]
        singles = [state for _, state in pairs]
        expected = jax.tree.map(lambda *xs: jnp.stack(xs), *pairs)
        assert_trees_close((updates, batch), expected, rtol=1e-14)


def test_scan_over_a_thousand_steps_equals_a_loop_of_jit():
    optimizer, grads = descent(), jnp.asarray(gradients((1000, 3)), "float32")
    path, last = run(optimizer, jnp.zeros(3, "float32"), grads)

    @jax.jit
    def step(params, state, g):
        updates, state = optimizer.update(g, state, params)
        return optax.apply_updates(params, updates), state

    params, state = jnp.zeros(3, "float32"), optimizer.init(jnp.zeros(3, "float32"))
    for g in grads:
        params, state = step(params, state, g)
    assert state[0].count == 1000
    assert_trees_close((params, state), (path[-1], last), rtol=1e-5)


@pytest.mark.as_users_compile
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_run_resumes_bit_for_bit_from_a_file(dtype, tmp_path):
    optimizer = jamsgrad.amsgrad(jamsgrad.schedules.inverse_sqrt(0.1), convention="optax")
    grads = jnp.asarray(gradients((10, 3)), dtype)

    @jax.jit
    def step(params, state, g):
        updates, state = optimizer.update(g, state, params)
        return optax.apply_updates(params, updates), state

    def steps(params, state, grads):
        for g in grads:
            params, state = step(params, state, g)
        return params, state

    start = jnp.zeros(3, dtype), optimizer.init(jnp.zeros(3, dtype))
    half = steps(*start, grads[:5])
    np.savez(tmp_path / "state.npz", *jax.tree.leaves(half))
    with np.load(tmp_path / "state.npz") as saved:
        loaded = jax.tree.unflatten(jax.tree.structure(half), list(saved.values()))
    assert same_bits(steps(*loaded, grads[5:]), steps(*start, grads))


@pytest.mark.parametrize(
    ("jit_init", "moment_dtype"), [(False, None), (True, None), (True, "bfloat16")]
)
def test_donated_buffers_are_reused(jit_init, moment_dtype):
    optimizer = jamsgrad.amsgrad(0.1, moment_dtype=moment_dtype)
    params = {"a": jnp.ones((256, 16), "float32"), "b": jnp.ones(64, "float32")}
    state = (jax.jit(optimizer.init) if jit_init else optimizer.init)(params)

    @partial(jax.jit, donate_argnums=(0, 1))
    def step(params, state, grads):
        updates, state = optimizer.update(grads, state, params)
        return optax.apply_updates(params, updates), state

    grads = jax.tree.map(jnp.array, params)
    memory = step.lower(params, state, grads).compile().memory_analysis()
    donated = sum(x.nbytes for x in jax.tree.leaves((params, state)))
    assert memory.alias_size_in_bytes >= donated
    assert memory.temp_size_in_bytes < 1024  # scalars, no array
    new = step(params, state, grads)
    assert all(x.is_deleted() for x in jax.tree.leaves((params, state)))
    assert new[1][0].count == 1
    np.testing.assert_allclose(new[0]["b"], 1 - 0.1 * 0.1 / np.sqrt(1e-3), rtol=1e-2)


@pytest.mark.parametrize(
    ("kind", "moment_dtype"), [("Auto", None), ("Explicit", None), ("Explicit", "bfloat16")]
)
def test_the_state_is_sharded_as_the_parameters(kind, moment_dtype):
    optimizer = scale_by_amsgrad(**HYPER, moment_dtype=moment_dtype)
    specs = {
        "both": PartitionSpec("a", "b"),
        "second": PartitionSpec(None, "a"),
        "none": PartitionSpec(),
    }
    grads = {name: jnp.asarray(gradients((8, 8)), "float32") for name in specs}
    local = optimizer.init(grads)
    expected = jax.jit(optimizer.update)(grads, local)
    mesh = jax.make_mesh((4, 2), ("a", "b"), axis_types=(getattr(AxisType, kind),) * 2)
    shardings = {name: NamedSharding(mesh, spec) for name, spec in specs.items()}
    with jax.set_mesh(mesh):
        grads = jax.device_put(grads, shardings)
        state = jax.jit(optimizer.init)(grads)
        updates, after = jax.jit(optimizer.update)(grads, state)
        for tree in (state.m, state.v, state.vhat, after.m, after.v, after.vhat, updates):
            for name, sharding in shardings.items():
                assert tree[name].sharding.is_equivalent_to(sharding, 2), name
    assert_trees_close(
        jax.device_get((updates, after)),
        jax.device_get(expected),
        rtol=1e-6 if not moment_dtype else 0,
    )
