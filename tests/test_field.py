"""The comparison with the field: the runner, each part in its quick run, and the page."""

import importlib
import importlib.util
import json
import runpy
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jamsgrad

ROOT = Path(__file__).parents[1]
FIELD = ROOT / "benchmarks/field"
PARTS = ("cutest", "bbob", "nist", "starts", "training")
SUITE = {"cutest": "sif2jax", "bbob": "bbobax", "training": "sklearn"}


@pytest.fixture
def run(monkeypatch):
    """The module `benchmarks/field/run.py`; the parts can be imported."""
    monkeypatch.syspath_prepend(FIELD.parent)
    monkeypatch.syspath_prepend(FIELD)
    spec = importlib.util.spec_from_file_location("field", FIELD / "run.py")
    module = importlib.util.module_from_spec(spec)
    monkeypatch.delitem(sys.modules, "run", raising=False)  # it takes that of the folder above
    sys.path.remove(str(FIELD))
    spec.loader.exec_module(module)
    sys.path.insert(0, str(FIELD))
    return module


def row(part, value):
    """A row of a part, as a solver measures it, that is hit by a solver whose value is 0."""
    if part == "cutest":
        outcome = {"start": 4.0, "fun": value, "success": True, "evaluations": 10}
        return {"kind": "bounded", "name": "HS1", **outcome, "first": 0.2, "again": 0.1}
    if part == "bbob":
        hits = [int(value == 0)] * 7
        return {
            "function": "sphere",
            "variables": 2,
            "instance": 0,
            "searches": 1,
            "hits": hits,
        } | {
            "evaluations": 10,
            "until": [10] * 7,
        }
    if part == "starts":
        reached = [1.0, 2.0] if value == 0 else None
        counts = {"hits": int(value == 0), "ends": 1, "found": float(value == 0)}
        seconds = {"first": reached, "most": reached, "table": [3.0, 4.0]}
        return {"job": "Rastrigin, 2 variables", **counts, **seconds}
    if part == "training":
        return {"task": "digits", "rate": 0.1, "losses": [value] * 5, "by_rate": [None, value]}
    own = ("digits", "share", "minima", "rows", "error_digits", "gauss_newton_digits")
    return {"name": "Misra1a", "level": "lower", **dict.fromkeys(own, 9.0 if value == 0 else 1.0)}


def test_the_runner_explains_its_options(monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["run", "--help"])
    monkeypatch.setattr(sys, "path", [str(FIELD), *sys.path])
    monkeypatch.delitem(sys.modules, "run", raising=False)
    sys.path.remove(str(FIELD))
    with pytest.raises(SystemExit) as exit_info:
        runpy.run_path(str(FIELD / "run.py"), run_name="__main__")
    assert exit_info.value.code == 0
    assert "--resume" in capsys.readouterr().out


def test_all_parts_are_measured_and_on_the_page(run):
    assert run.PARTS == PARTS
    assert [*run.sections((ROOT / "docs/field.md").read_text())] == [*PARTS]


def test_the_tables_of_the_page_are_those_of_the_figures(run):
    page = run.sections((ROOT / "docs/field.md").read_text())
    for part in PARTS:
        file = FIELD / f"measured/{part}.json"
        found = run.tables(part, json.loads(file.read_text())) if file.exists() else ""
        assert page[part] == found


@pytest.mark.parametrize("part", PARTS)
def test_what_a_solver_hits_and_misses_is_in_the_tables(run, part):
    module = importlib.import_module(part)
    hit, missed, *_ = module.SOLVERS
    text = module.report({hit: [row(part, 0.0)], missed: [row(part, 9.0)]})
    lines = [line for line in text.splitlines() if line.startswith((f"| {hit} ", f"| {missed} "))]
    counts = {
        "cutest": "1 of 1",
        "bbob": "| 1 | 1 |",
        "nist": "| 1 | 1 | 1 | 1 |",
        "starts": "| 1 of 1 | 1.0 | 121 of 121 | 1.0 | 3.0 |",
        "training": "| 0 (0 to 0) | 0.1 |",
    }[part]
    assert counts in lines[0]
    assert counts not in lines[1]


@pytest.mark.parametrize("part", PARTS)
def test_a_part_measures_its_first_solver(run, part):
    pytest.importorskip(SUITE.get(part, "scipy"))
    solver = next(iter(importlib.import_module(part).SOLVERS))
    rows = run.in_a_process(part, [solver], quick=True)[solver]["rows"]
    assert rows
    assert set(row(part, 0.0)) <= set(rows[0])


def test_a_solver_whose_library_is_missing_is_left_out(run, monkeypatch, capsys):
    def without(*_):
        raise ModuleNotFoundError("No module named 'fieldless'")

    nist = importlib.import_module("nist")
    monkeypatch.setattr(nist, "measure", without)
    assert run.measure("nist", ["curve_fit"], True)["curve_fit"]["rows"] is None
    assert "curve_fit is left out: No module named 'fieldless'" in capsys.readouterr().err


def test_a_resumed_run_measures_only_what_is_left(run, monkeypatch, tmp_path):
    ran = []

    def measured(part, solvers, quick):
        ran.extend(solvers)
        return {solver: {"cpu_seconds": 1.0, "rows": [row(part, 0.0)]} for solver in solvers}

    monkeypatch.setattr(run, "in_a_process", measured)
    page, folder = tmp_path / "field.md", tmp_path / "measured"
    page.write_text("# The field\n\nWords of ours.\n")
    options = ["--out", str(page), "--measured", str(folder), "nist"]
    first, *others = importlib.import_module("nist").SOLVERS
    run.main(["--solver", first, *options])
    assert ran == [first]
    for _ in range(2):
        run.main(["--resume", *options])
        assert sorted(ran) == sorted([first, *others])
    assert page.read_text().startswith("# The field\n\nWords of ours.\n\n## nist\n")
    assert [*json.loads((folder / "nist.json").read_text())] == [first, *others]


@pytest.mark.parametrize("part", ["cutest", "bbob"])
def test_what_is_hit_has_a_finite_cost_and_all_is_drawn(run, part, tmp_path):
    module = importlib.import_module(part)
    hit, missed, *_ = module.SOLVERS
    found = {hit: [row(part, 0.0)], missed: [row(part, 9.0)]}
    costs = module.costs(found)
    assert all(np.isfinite(own[hit]).all() for own in costs.values() if hit in own)
    assert all(np.isinf(own[missed]).all() for own in costs.values() if missed in own)
    run.draw(part, {name: {"rows": rows} for name, rows in found.items()}, tmp_path)
    assert (tmp_path / f"field_{part}.png").stat().st_size > 10_000


def test_the_figures_of_the_page_are_there(run):
    page = (ROOT / "docs/field.md").read_text()
    for part in ("cutest", "bbob"):
        assert f"(images/field_{part}.png)" in page
        assert (ROOT / f"docs/images/field_{part}.png").exists()


def test_the_known_minima_of_a_job_are_minima(run):
    for name, job in importlib.import_module("starts").JOBS.items():
        slopes = jax.vmap(jax.grad(job.problem.fun))(jnp.asarray(job.minima))
        assert float(jnp.abs(slopes).max()) < 1e-9, name
        low, high = job.box
        assert ((low < job.minima) & (job.minima < high)).all(), name
    assert len(np.unique(job_of_rastrigin().minima, axis=0)) == 121


def job_of_rastrigin():
    return importlib.import_module("starts").JOBS["Rastrigin, 2 variables"]


def test_a_watch_sees_the_first_hit_and_most_of_the_minima(run):
    starts, job = importlib.import_module("starts"), job_of_rastrigin()
    values = np.asarray(jax.vmap(job.problem.fun)(jnp.asarray(job.minima)))
    lowest = int(np.argmin(values))
    watch = starts.Watch(job, 0.0)
    watch.look(np.delete(job.minima, lowest, axis=0)[:100], np.delete(values, lowest)[:100])
    assert watch.row()["found"] == 100 / 121
    assert watch.row()["first"] is watch.row()["most"] is None
    watch.look(job.minima[[lowest]], values[[lowest]])
    assert watch.row()["hits"] == 1
    assert watch.row()["first"] is not None
    assert watch.row()["most"] is None
    watch.look(job.minima, values)
    assert watch.row()["most"] is not None
    assert watch.row()["ends"] == 222


def test_cma_es_is_charged_until_it_hits(run):
    pytest.importorskip("evosax")
    bbob = importlib.import_module("bbob")
    sphere = bbob.Instance(lambda x, params: jnp.sum(x**2) + params, jnp.zeros(()), 2, 0)
    with jax.numpy_dtype_promotion("standard"), jax.numpy_rank_promotion("allow"):
        found = bbob.by_cma_es(sphere)
    assert (found.values <= bbob.TARGETS[-1]).all()
    assert found.until == sorted(found.until)
    assert found.until[-1] == found.evaluations


def test_a_run_of_scipy_ends_where_it_hits_the_last_target(run):
    bbob = importlib.import_module("bbob")
    sphere = bbob.Instance(lambda x, params: jnp.sum(x**2) + params, jnp.zeros(()), 2, 0)
    found = bbob.by_scipy(bbob.basinhopping, sphere)
    assert (found.values <= bbob.TARGETS[-1]).all()
    assert found.until[-1] == found.evaluations < 100


def test_an_unknown_part_is_an_error(run):
    with pytest.raises(SystemExit):
        run.main(["speed"])


def test_the_models_have_the_certified_sums_of_squares(run):
    nist = importlib.import_module("nist")
    assert len(nist.PROBLEMS) == 27
    for name in nist.PROBLEMS:
        fit = nist.fit_of(name)
        squares = float(jnp.sum(fit.residuals(jnp.asarray(fit.certified)) ** 2))
        # Parameters of 11 digits: the sum of squares is that of the minimum in second order.
        assert abs(squares - fit.lowest) <= 1e-9 * fit.lowest + 1e-17 * fit.around_mean, name


def test_digits_are_those_of_the_worst_number(run):
    fit = importlib.import_module("nist").fit_of("Misra1a")
    true = np.array([1.0, 1e-3])
    assert fit.digits(true, true) == 11
    assert fit.digits(true * [1, 1.001], true) == pytest.approx(3)
    assert fit.digits(true * [-1, 1], true) == 0
    assert fit.digits(np.array([np.nan, 1.0]), true) == 0


def test_what_a_search_costs(run):
    costs = importlib.import_module("_costs")
    assert costs.evaluations(100, 0, 5) == 101
    assert costs.evaluations(100, 10, 5) == 91 + 10 * (1 + 5 + 8)


def test_line_searches_are_counted(run):
    calls = []

    def fun(x):
        jax.debug.callback(lambda _: calls.append(1), x)
        return jnp.sum((x - 1) ** 4)

    costs = importlib.import_module("_costs")
    with jax.numpy_dtype_promotion("standard"):  # that of optax.lbfgs
        found = jamsgrad.minimize(fun, jnp.array([3.0, -2.0]), costs.counted_lbfgs(), max_steps=20)
    jax.effects_barrier()
    assert int(found.n_steps) <= int(found.opt_state.count) <= len(calls)
