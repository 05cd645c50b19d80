"""Arguments, words, states and tensors of other libraries: errors say what they are here."""

import inspect
import re

import jax
import jax.numpy as jnp
import optax
import pytest

from jamsgrad import (
    amsgrad,
    amsgradw,
    basin_map,
    interop,
    minimize,
    multistart,
    problems,
    profile,
    scale_by_amsgrad,
    scaled,
)

KEY, ONES = jax.random.key(0), jnp.ones(2)
BOX = ([-1.0, -1.0], [1.0, 1.0])


def bowl(x):
    return jnp.sum(x**2)


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("lr", "it is learning_rate="),
        ("betas", "it is b1= and b2="),
        ("beta_1", "it is b1="),
        ("beta2", "it is b2="),
        ("epsilon", "it is eps="),
        ("weight_decay", "amsgradw(..., weight_decay=)"),
        ("amsgrad", "the maximum is always taken"),
        ("maximize", "optax.scale(-1.0)"),
        ("fused", "a jitted update is fused"),
        ("clipnorm", "optax.clip_by_global_norm"),
        ("clipvalue", "optax.clip("),
        ("mu_dtype", "it is moment_dtype="),
    ],
)
def test_arguments_of_other_optimizers(name, said):
    with pytest.raises(TypeError, match=re.escape(said)) as e:
        amsgrad(0.1, **{name: 0.5})
    assert str(e.value).startswith(f"amsgrad() has no argument {name}: ")
    with pytest.raises(TypeError, match=r"scale_by_amsgrad\(\) has no argument"):
        scale_by_amsgrad(**{name: 0.5})
    if name != "weight_decay":
        with pytest.raises(TypeError, match=r"amsgradw\(\) has no argument"):
            amsgradw(0.1, **{name: 0.5})


SEARCHES = {
    "minimize": lambda **more: minimize(bowl, ONES, **more),
    "multistart": lambda **more: multistart(bowl, BOX, **more),
    "basin_map": lambda **more: basin_map(bowl, BOX, **more),
    "profile": lambda **more: profile(bowl, None, 0, BOX, **more),
}


@pytest.mark.parametrize("search", SEARCHES)
@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("tol", "gtol=, ftol= or xtol="),
        ("maxiter", "max_steps="),
        ("maxfev", "max_steps="),
        ("method", "optimizer="),
        ("options", "max_steps=, gtol="),
        ("jac", "JAX differentiates"),
        ("seed", "key=jax.random.key(0)"),
    ],
)
def test_arguments_of_other_searches(search, name, said):
    with pytest.raises(TypeError, match=rf"{search}\(\) has no argument {name}: ") as e:
        SEARCHES[search](**{name: 1})  # without an optimizer, too
    assert said in str(e.value)


def test_what_is_an_argument_here_is_taken():
    amsgradw(0.1, weight_decay=0.1)
    assert minimize(bowl, x0=ONES, optimizer=optax.sgd(0.1), max_steps=1).n_steps == 1


def test_what_nobody_knows_is_python_s_own_error():
    with pytest.raises(TypeError, match="unexpected keyword argument 'colour'"):
        amsgrad(0.1, colour=3)
    with pytest.raises(TypeError, match="unexpected keyword argument 'colour'"):
        minimize(bowl, ONES, amsgrad(0.1), colour=3)


@pytest.mark.parametrize("function", [amsgrad, minimize, multistart, basin_map, profile])
def test_signatures_are_shown_in_full(function):
    assert "kwargs" not in inspect.signature(function).parameters
    assert inspect.unwrap(function).__doc__ == function.__doc__


@pytest.mark.parametrize(
    ("word", "meant"),
    [("torch", "pytorch"), ("PyTorch", "pytorch"), ("Keras", "keras"), ("papers", "paper")],
)
def test_a_word_that_is_nearly_right(word, meant):
    with pytest.raises(ValueError, match=f"got '{word}'; did you mean '{meant}'\\?$"):
        amsgrad(0.1, convention=word)
    with pytest.raises(ValueError, match=r"got 'reddi'$"):
        amsgrad(0.1, convention="reddi")


@pytest.mark.parametrize(
    "search",
    [
        lambda f: multistart(f, amsgrad(0.1), key=KEY),
        lambda f: basin_map(f, amsgrad(0.1)),
        lambda f: minimize(f, ONES, amsgrad(0.1)),
    ],
    ids=["multistart", "basin_map", "minimize"],
)
@pytest.mark.parametrize(
    "problem",
    [problems.bowl, problems.sphere(2), scaled(bowl, BOX, "linear")],
    ids=["bowl", "sphere", "scaled"],
)
def test_a_problem_is_given_by_its_parts(search, problem):
    kind = type(problem).__name__
    with pytest.raises(TypeError, match=f"fun must be .*{kind}: give its parts, problem.fun and"):
        search(problem)


@pytest.mark.parametrize(
    "other", [optax.adam(0.1), optax.amsgrad(0.1), optax.sgd(0.1)], ids=["adam", "amsgrad", "sgd"]
)
def test_a_state_of_another_optimizer(other):
    state = other.init(ONES)
    with pytest.raises(TypeError, match=r"state must be a ScaleByAmsgradState of jamsgrad, got a"):
        amsgrad(0.1).update(ONES, state, ONES)
    with pytest.raises(TypeError, match=r"got a tuple of builtins: begin with optimizer.init"):
        scale_by_amsgrad().update(ONES, amsgrad(0.1).init(ONES), ONES)


def test_what_a_state_holds_instead():
    with pytest.raises(ValueError, match="without one: it holds ScaleByAdamState, EmptyState"):
        interop.from_optax(optax.adam(0.1).init(ONES))
    with pytest.raises(ValueError, match="got tuple without one: it holds nothing"):
        interop.to_optax(())


class Tensor:
    """As torch's looks to those who do not import it."""

    __module__ = "torch"
    dtype, shape = "torch.float32", (2,)


class Module:
    """Likewise."""

    __module__ = "torch.nn.modules.module"


class Linear(Module):
    """A module of the user."""

    __module__ = "mine"


class Parameter(Tensor):
    """A tensor that is trained."""

    __module__ = "torch.nn.parameter"


def test_tensors_of_torch_become_arrays():
    way_out = r"is a tensor of torch: jnp.asarray\(tensor.detach\(\).cpu\(\).numpy\(\)\)"
    for tensor in (Tensor(), Parameter()):
        for params in (tensor, {"w": tensor}, [ONES, tensor]):
            with pytest.raises(TypeError, match=f"parameter .*{way_out}"):
                amsgrad(0.1).init(params)
        with pytest.raises(TypeError, match=f"the gradient of .*{way_out}"):
            amsgrad(0.1).update(tensor, amsgrad(0.1).init(ONES))
        with pytest.raises(TypeError, match=f"x0 .*{way_out}"):
            minimize(bowl, tensor, amsgrad(0.1))
        with pytest.raises(TypeError, match=rf"args\[0\] .*{way_out}"):
            minimize(bowl, ONES, amsgrad(0.1), args=(tensor,))
    for model in (Linear(), (p for p in ())):
        with pytest.raises(TypeError, match=r"for name, p in model.named_parameters\(\)"):
            amsgrad(0.1).init(model)


def test_tensors_of_torch_itself():
    torch = pytest.importorskip("torch")
    model = torch.nn.Linear(2, 1)
    for params in (model, model.parameters(), model.state_dict(), torch.ones(2)):
        with pytest.raises(TypeError, match=r"detach\(\).cpu\(\).numpy\(\)"):
            amsgrad(0.1).init(params)
    params = {name: jnp.asarray(p.detach().cpu().numpy()) for name, p in model.named_parameters()}
    assert amsgrad(0.1).init(params)[0].m["weight"].shape == (1, 2)


# In a notebook


def test_results_are_tables_in_a_notebook():
    found = multistart(bowl, BOX, amsgrad(0.1), key=KEY, n_starts=8)
    for shown in (found._repr_html_(), found.best._repr_html_()):
        assert shown.count("<table>") == shown.count("</table>") == 1
        assert "<td>" in shown
    assert found._repr_html_().count("<tr>") == 2
    assert "x[1]" in found._repr_html_()
    start = {"rate": 0.0, "a<b": 0.0}
    one = minimize(lambda x: (x["rate"] - 1) ** 2 + x["a<b"] ** 2, start, amsgrad(0.1))
    assert "<td>rate</td>" in one._repr_html_()
    assert "a&lt;b" in one._repr_html_()
    many = jax.vmap(lambda x: minimize(bowl, x, amsgrad(0.1), max_steps=1))(jnp.ones((3, 2)))
    assert many._repr_html_() is None
    nothing = multistart(lambda x: bowl(x) * jnp.nan, BOX, amsgrad(0.1), key=KEY, n_starts=8)
    assert "<table>" not in nothing._repr_html_()
    assert nothing.summary().endswith("No search found a finite value.")


def test_a_map_is_a_table_too():
    seen = basin_map(bowl, BOX, amsgrad(0.1), resolution=3)
    assert seen._repr_html_().startswith("<p>3 x 3 starts:</p>")
    assert "</table>" in seen._repr_html_()


# Which minimum is which


@pytest.mark.parametrize("n_starts", [64, 200])
@pytest.mark.parametrize(
    "fun",
    [problems.himmelblau.fun, lambda x: problems.himmelblau.fun(x) * 1e6],
    ids=["1", "1e6"],
)
def test_minima_that_tie_are_ordered_by_x(fun, n_starts):
    box, optimizer = problems.himmelblau.bounds, amsgrad(0.3, b2=0.99)
    for seed in range(3):
        found = multistart(fun, box, optimizer, key=jax.random.key(seed), n_starts=n_starts)
        first = [float(minimum.x[0]) for minimum in found.minima]
        assert len(first) == 4
        assert first == sorted(first)
