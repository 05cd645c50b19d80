"""What many searches found: sorted, searched again, saved."""

import dataclasses
import re
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from many import AMSGRAD, HOLED, KEY, N_STARTS, rows, search
from reference import explore, same_bits

from jamsgrad import (
    MultiStartResult,
    Status,
)
from jamsgrad._minima.statistics import chance_of_new

# The result


def test_top_and_order_are_sorted_and_best_is_the_first(found):
    values = np.asarray(found.fun)[found.order]
    assert np.all(np.diff(values) >= 0)
    np.testing.assert_array_equal([r.fun for r in found.top(5)], values[:5])
    assert same_bits(found.best, found.top(1)[0])
    i = found.order[0]
    assert same_bits(found.best.record[:5], jax.tree.map(lambda leaf: leaf[i], rows(found)[1:]))
    assert len(found.top(N_STARTS + 1)) == N_STARTS


def test_a_path_leads_from_the_start_to_the_result(found):
    result = found.rerun(17, record_every=7)
    rows_ = int(result.trajectory.n_recorded)
    steps = [*range(0, int(result.n_steps), 7), int(result.n_steps)]
    np.testing.assert_array_equal(result.trajectory.step[:rows_], steps)
    assert same_bits(result.trajectory.x[0], found.starts[17])
    assert (result.n_steps, result.status) == (found.n_steps[17], found.status[17])
    np.testing.assert_allclose(result.x, found.x[17], rtol=1e-10)
    assert same_bits(found.rerun(17, record_every=7), result)


def test_the_summary_says_what_was_found(found):
    text = found.summary()
    assert repr(found) == str(found) == text
    for said in ("300 searches", "300 GTOL", "Chance", *(str(m.count) for m in found.minima)):
        assert said in text
    text = search(radius=1.0, value=np.nan).summary()
    assert re.search(r"\d+ GTOL, \d+ NONFINITE", text)


def test_the_summary_shows_the_best_point_and_each_status_whatever_came_of_it(found):
    best = f"Best value {found.best.fun:.6g}, largest component of the gradient "
    assert best in found.summary()
    assert f"300 GTOL. {Status.GTOL.message}" in found.summary().splitlines()

    stuck = search(max_steps=5, gtol=1e-9)  # nobody succeeds
    lines = stuck.summary().splitlines()
    assert lines[0].endswith("busy: 300 MAX_STEPS")
    assert lines[1] == f"300 MAX_STEPS. {Status.MAX_STEPS.message}"
    assert lines[2].startswith(f"Best value {stuck.best.fun:.6g}, ")
    assert len(lines) == 3

    some = search(radius=1.0, value=np.nan, max_steps=60)
    said = some.summary()
    for status in map(Status, np.unique(some.status)):
        assert f"{np.sum(some.status == status)} {status.name}. {status.message}" in said
    assert len(np.unique(some.status)) > 1

    nothing = search(radius=100.0, value=np.nan)
    assert nothing.summary().splitlines()[2:] == ["No search found a finite value."]


def test_the_chance_of_new_is_the_one_that_the_summary_prints(found):
    chance = found.chance_of_new
    assert chance == (chance.estimate, chance.limit)
    assert all(type(number) is float for number in chance)
    about, at_most = (f"{100 * number:.3g} %" for number in chance)
    said = f"a new minimum: about {about}, at most {at_most} (95 %)"
    assert found.summary().splitlines()[-1].endswith(said)


def test_unconverged_hits_are_no_evidence_for_or_against_others(found):
    kinds = ["minimum", "unconverged", "unconverged", "flat"]
    counts = [7, 1, 1, 1]
    (first, *_), basin = found.minima, found.basin
    minima = [first._replace(kind=k, count=n) for k, n in zip(kinds, counts, strict=True)]
    some = dataclasses.replace(found, _known=(tuple(minima), basin))
    assert some.chance_of_new == chance_of_new([7, 1])
    none = dataclasses.replace(found, _known=(tuple(minima[1:3]), basin))
    assert np.isnan(none.chance_of_new).all()
    assert "Chance" not in none.summary()


def test_the_best_point_of_a_tree_is_shown():
    result = explore(
        lambda x: (x["a"] - 0.5) ** 2 + jnp.sum(x["b"] ** 2),
        ({"a": -1.0, "b": -jnp.ones((2, 2))}, 1.0), AMSGRAD, key=KEY, n_starts=8, max_steps=0,
    )  # fmt: skip
    x = result.best.x
    assert f", a = {x['a']:.5g}, b[0,0] = {x['b'][0, 0]:.5g}, b[0,1] = " in result.summary()


def test_a_saved_result_is_read_back(found, tmp_path):
    file = tmp_path / "result.npz"
    result = search(radius=1.0, value=np.nan)
    result.save(file)
    assert [path.name for path in tmp_path.iterdir()] == ["result.npz"]
    read = MultiStartResult.load(file)
    assert same_bits(rows(read), rows(result))
    assert read.summary() == result.summary()
    assert same_bits(read.minima, result.minima)
    assert same_bits(read.basin, result.basin)
    assert same_bits(read.best, result.best)
    with pytest.raises(ValueError, match="rerun\\(\\) needs fun and optimizer"):
        read.rerun(17)
    read = MultiStartResult.load(str(file), HOLED, AMSGRAD)
    assert same_bits(read.rerun(17), result.rerun(17))
    read.save(file)
    assert same_bits(rows(MultiStartResult.load(file)), rows(result))


class Point(NamedTuple):  # whose leaves JAX does not sort
    y: Any
    x: Any


def test_errors_are_those_of_the_same_parameters_after_reading(tmp_path):
    def fun(p):
        return (p.y - 2 * p.x[0]) ** 2 + 9 * p.x[0] ** 2 + 4 * jnp.sum(p.x) ** 2 + p.x[2] ** 2

    box = Point(-1.0, -np.ones(3)), Point(1.0, np.array([1.0, 1.0, -0.5]))
    found = explore(fun, box, AMSGRAD, key=KEY, n_starts=8)
    flat = explore(lambda p: (p.x[0] - p.y) ** 2, box, AMSGRAD, key=KEY, n_starts=8)
    file = tmp_path / "found.npz"
    errors = found.minima[0].standard_errors()
    assert errors.x[2] == 0
    found.save(file)
    plain = MultiStartResult.load(file)
    read = plain.minima[0].standard_errors()
    np.testing.assert_allclose(read["x"], errors.x, rtol=1e-14)
    np.testing.assert_allclose(read["y"], errors.y, rtol=1e-14)
    again = MultiStartResult.load(file, like=Point(0, 0)).minima[0]
    assert same_bits(again, found.minima[0])
    plain.save(file)
    assert same_bits(MultiStartResult.load(file).minima, plain.minima)
    flat.save(file)
    assert flat.minima[0].directions() == "y +1, x[0] +1; x[1]; x[2]"
    assert MultiStartResult.load(file).minima[0].directions() == "x[0] +1, y +1; x[1]; x[2]"


def test_nothing_but_files_of_ours_are_loaded(found, tmp_path):
    file = tmp_path / "result.npz"
    np.savez(file, tree=np.array([print], dtype=object))
    with pytest.raises(ValueError, match="is no file that jamsgrad wrote, or broken"):
        MultiStartResult.load(file)
    with pytest.raises(FileNotFoundError):
        MultiStartResult.load(tmp_path / "none.npz")


@pytest.mark.parametrize("k", [-1, 1.5])
def test_the_number_of_the_best_is_checked(found, k):
    with pytest.raises((TypeError, ValueError), match="k must be an integer >= 0"):
        found.top(k)
