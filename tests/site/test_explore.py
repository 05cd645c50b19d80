"""The page Explore computes what the library computes: its own code, in node or in Chromium."""

import json
import re
import shutil
import subprocess
from functools import partial
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from browser import CHROMIUM, Browser

from jamsgrad import amsgrad, conventions, minimize, problems

ROOT = Path(__file__).parents[2]
CODE = ROOT / "docs/javascripts/amsgrad.js"
RULES = [*conventions, "adam"]
PROBLEMS = {
    "bowl": problems.bowl,
    "rosenbrock": problems.rosenbrock(2),
    "himmelblau": problems.himmelblau,
}
STARTS = {"bowl": [-0.8, 0.6], "rosenbrock": [-1.5, 1.5], "himmelblau": [1.0, -4.0]}
NAMES = ("alpha", "b1", "b2", "eps")
# On some paths, such as those that bounce between Rosenbrock's walls, a difference of 1e-14 in the
# start grows to 1 within 200 steps. On these it does not.
SETTINGS = [
    (0.05, 0.9, 0.999, 1e-8),
    (0.3, 0.0, 0.1, 1e-12),
    (0.01, 0.99, 0.9, 1.0),
    (0.1, 0.45, 0.9999, 10.0),
    (0.002, 0.5, 0.5, 0.0),
]
STEPS = 200

pytestmark = pytest.mark.usefixtures("lenient_promotion")  # optax.adam needs it


@pytest.fixture(scope="module")
def execute(tmp_path_factory):
    """Evaluate an expression of JavaScript beside the page's own code."""
    node = shutil.which("node")
    if node:
        yield partial(in_node, node)
    elif CHROMIUM:
        with Browser(CHROMIUM, tmp_path_factory.mktemp("profile")) as browser:
            code = CODE.read_text()
            yield lambda expression: browser.run(f"(() => {{ {code} return {expression}; }})()")
    else:
        pytest.skip("neither node nor chromium is installed")


def in_node(node, expression):
    script = f"{CODE.read_text()}\nprocess.stdout.write(JSON.stringify({expression}))"
    done = subprocess.run([node, "-"], input=script, capture_output=True, text=True, check=True)
    return json.loads(done.stdout)


@pytest.fixture
def lenient_promotion():
    with jax.numpy_dtype_promotion("standard"):
        yield


@pytest.fixture
def run(execute):
    """Rows of searches on the page: x, fun, m, v and vhat, of shape (search, step, n)."""

    def rows(searches, steps=STEPS):
        of_state = "...['m', 'v', 'vhat'].map((name) => state.map((s) => s[name]))"
        row = f"({{ x, fun, state }}) => [x, [fun], {of_state}]"
        searches = json.dumps(searches)
        found = execute(f"{searches}.map((search) => amsgrad.run(search, {steps}).map({row}))")
        names = ("x", "fun", "m", "v", "vhat")
        return {
            name: np.array([[row[i] for row in path] for path in found])
            for i, name in enumerate(names)
        }

    return rows


def optimizer_of(rule, alpha, b1, b2, eps):
    if rule == "adam":
        return optax.adam(alpha, b1, b2, eps)
    return amsgrad(alpha, b1, b2, eps, convention=rule)


@pytest.mark.parametrize("rule", RULES)
def test_paths_are_those_of_minimize(run, rule):
    def fun(x, which):  # all problems in one program
        return jax.lax.switch(which, [problem.fun for problem in PROBLEMS.values()], x)

    def search(which, start, bounds, settings):
        optimizer = optimizer_of(rule, *settings)
        limits = {"max_steps": STEPS, "gtol": None, "record_every": 1}
        found = minimize(fun, start, optimizer, args=(which,), bounds=bounds, **limits)
        return found.trajectory

    cases = [(name, settings) for name in PROBLEMS for settings in SETTINGS]
    which = jnp.array([list(PROBLEMS).index(name) for name, _ in cases])
    start = jnp.array([STARTS[name] for name, _ in cases])
    bounds = tuple(jnp.array([PROBLEMS[name].bounds[i] for name, _ in cases]) for i in (0, 1))
    settings = tuple(jnp.array([settings for _, settings in cases]).T)
    expected = jax.vmap(search)(which, start, bounds, settings)
    found = run([picture_with(name, rule, settings) for name, settings in cases])
    assert found["x"].shape == (len(cases), STEPS + 1, 2)
    np.testing.assert_allclose(found["x"], expected.x, rtol=0, atol=1e-9)
    np.testing.assert_allclose(found["fun"][..., 0], expected.fun, rtol=1e-9, atol=1e-9)
    assert np.ptp(found["x"], axis=1).min() > 1e-3  # each has moved


def picture_with(name, rule, settings):
    named = dict(zip(NAMES, settings, strict=True))
    return {"problem": name, "rule": rule, "start": STARTS[name], **named}


CASES = {
    "reddi": {"problem": "reddi", "start": [0.0], "b1": 0.0, "b2": 0.1},
    "reddi, other rates": {"problem": "reddi", "start": [0.5]},
    "spikes": {"problem": "bowl", "start": [-0.8, 0.6], "spikes": [41, 60]},
    "a spike at step 1": {"problem": "himmelblau", "start": [1.0, -4.0], "spikes": [1]},
    "clipped": {"problem": "himmelblau", "start": [1.0, -4.0], "clip": 1.0, "spikes": [41]},
}


@pytest.mark.parametrize("rule", ["paper", "keras", "adam"])
@pytest.mark.parametrize("case", CASES)
def test_gradients_of_the_page_move_the_optimizers_alike(run, case, rule):
    given = {"rule": rule, **dict(zip(NAMES, SETTINGS[0], strict=True)), **CASES[case]}
    expected = loop(optimizer_of(rule, *(given[name] for name in NAMES)), given)
    found = run([given])
    for name, values in expected.items():
        np.testing.assert_allclose(found[name][0, 1:], values, rtol=1e-9, atol=1e-9)


def loop(optimizer, given):
    """x, m, v and vhat of every step, by a loop around optax."""
    if "clip" in given:
        optimizer = optax.chain(optax.clip_by_global_norm(given["clip"]), optimizer)
    spikes = jnp.array(given.get("spikes", [0]))
    x = jnp.array(given["start"])
    if given["problem"] == "reddi":
        online = problems.reddi_theorem1
        bounds, key = online.bounds, jax.random.key(0)

        def gradient(t, x):
            return jnp.full_like(x, online.gradient(t, key))

    else:
        problem = PROBLEMS[given["problem"]]
        bounds = problem.bounds

        def gradient(_, x):
            return jax.grad(problem.fun)(x)

    def step(carry, t):
        x, state = carry
        g = jnp.where(jnp.any(t == spikes), jnp.full_like(x, 1000.0), gradient(t, x))
        updates, state = optimizer.update(g, state, x)
        x = jnp.clip(x + updates, *bounds)
        get = partial(optax.tree_utils.tree_get, state)
        if given["rule"] == "adam":
            return (x, state), {"x": x, "m": get("mu"), "v": get("nu")}
        return (x, state), {"x": x, "m": get("m"), "v": get("v"), "vhat": get("vhat")}

    return jax.lax.scan(step, (x, optimizer.init(x)), jnp.arange(1, STEPS + 1))[1]


def test_values_are_those_of_the_problems(execute):
    for name, problem in PROBLEMS.items():
        inside = np.random.default_rng(0).uniform(*problem.bounds, (50, 2))
        found = execute(f"{json.dumps(inside.tolist())}.map(amsgrad.problems.{name}.fun)")
        np.testing.assert_allclose(found, jax.vmap(problem.fun)(jnp.array(inside)), rtol=1e-12)
        page = execute(f"amsgrad.problems.{name}")
        np.testing.assert_array_equal(np.array(page["box"]).T, problem.bounds)
        np.testing.assert_array_equal(page["minimizers"], problem.minimizers)
    online, page = problems.reddi_theorem1, execute("amsgrad.problems.reddi")
    assert page["box"] == [list(online.bounds)]
    assert page["minimizers"] == [[online.minimizer]]
    mean = execute("[-1, 0.5, 1].map((x) => amsgrad.problems.reddi.fun([x]))")
    regret = [online.expected_gradient * (x - online.minimizer) for x in (-1, 0.5, 1)]
    np.testing.assert_allclose(mean, regret, rtol=1e-12)


def test_conventions_are_those_of_the_library(execute):
    for name, rule in execute("amsgrad.rules").items():
        if name == "adam":
            assert not rule["max"]
            continue
        convention = conventions[name]
        assert rule["max"]
        assert rule["debiasM"] == convention.debias_m
        assert rule["debiasV"] == convention.debias_v
        assert rule.get("epsHat", False) == convention.eps_hat


@pytest.fixture
def play(execute, run):
    """The rows of each search that a button of the page starts."""

    def rows(button):
        page = (ROOT / "docs/explore.md").read_text()
        (words,) = re.findall(rf'data-set="([^"]*)">{re.escape(button)}<', page)
        scene = execute(f"amsgrad.scene({json.dumps(words)})")
        scene["clip"] = scene["clip"] or 1e300  # JSON has no infinity
        found = run([scene | {"rule": rule} for rule in scene["show"]], scene["play"])
        return {
            rule: {name: values[i] for name, values in found.items()}
            for i, rule in enumerate(scene["show"])
        }

    return rows


def test_adam_goes_to_1_and_amsgrad_to_minus_1(play):
    for rule, rows in play("all conventions").items():
        late = rows["x"][-30:, 0]
        assert late.mean() == pytest.approx(1 if rule == "adam" else -1, abs=0.05)


def test_after_the_spike_adam_comes_back_and_amsgrad_does_not(play):
    adam, paper = map(play("1000 at step 151").get, ("adam", "paper"))
    assert max(adam["fun"][150], paper["fun"][150]) < 1e-5  # both are at the minimum
    assert adam["fun"][-1] < 1e-5
    assert paper["fun"][-1] > 0.1
    assert (paper["vhat"][-1] == paper["vhat"][151]).all()
    np.testing.assert_allclose(adam["v"][-1] / adam["v"][151], 0.99**699, rtol=0.2)
    for rows in play("the same, clipped").values():
        assert rows["fun"][-1] < 1e-5


def test_first_steps_of_the_conventions(play):
    for rule, rows in play("twelve steps").items():
        length = np.abs(rows["x"][1] - rows["x"][0]) / 0.02
        np.testing.assert_allclose(length, 0.1 / 0.001**0.5 if rule == "paper" else 1, rtol=1e-6)


def test_the_paper_finds_another_minimum(play):
    ends = {rule: rows["x"][-1] for rule, rows in play("another minimum").items()}
    np.testing.assert_allclose(ends.pop("paper"), problems.himmelblau.minimizers[0], atol=1e-3)
    for end in ends.values():
        np.testing.assert_allclose(end, problems.himmelblau.minimizers[3], atol=0.01)


def test_what_a_spike_at_step_1_counts(play):
    rows = play("1000 at step 1")
    roots = {rule: np.sqrt(rows[rule]["vhat"][-1]) for rule in rows}
    np.testing.assert_allclose(roots["optax"], 1000, rtol=1e-6)
    np.testing.assert_allclose(roots["paper"], 1000 * 0.001**0.5, rtol=1e-6)
    np.testing.assert_allclose(roots["pytorch"], roots["paper"])  # before c2, which grows to 1


def test_where_eps_is_large_the_path_is_straight(play):
    for button, straight in (("eps = 10", True), ("eps = 1e-8", False)):
        for rows in play(button).values():
            aside = np.abs(rows["x"] @ np.array([0.6, 0.8])).max()
            assert (aside < 0.06) == straight
