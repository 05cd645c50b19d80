"""The same bits on any devices, with any watchers, wherever the data are."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from many import HOLED, KEY, LANES, MESHES, N_STARTS, SGD, assert_rows_close, rows, search
from reference import explore, same_bits

from jamsgrad import (
    MultiStartResult,
    amsgrad,
    problems,
)
from jamsgrad._multistart import devices

pytestmark = pytest.mark.as_users_compile

# Devices, lanes, watchers


def test_options_that_xla_does_not_know_are_left_out(found, monkeypatch):
    compiled = functools.cache(devices._compiled_advance.__wrapped__)
    assert devices._can_compile({})
    assert devices._can_compile(devices._WIDE_VECTORS)
    unknown = {"xla_cpu_what_nobody_knows": 512}
    assert not devices._can_compile(unknown)
    monkeypatch.setattr(devices, "_WIDE_VECTORS", unknown)
    monkeypatch.setattr(devices, "_compiled_advance", compiled)
    assert_rows_close(rows(search()), rows(found))


def test_watching_and_running_again_change_no_bit(found):
    seen = []
    assert same_bits(rows(search(callback=seen.append)), rows(found))
    assert seen
    assert same_bits(rows(search()), rows(found))


@pytest.mark.parametrize(
    ("mesh", "lanes"), [("8", LANES), ("4x2", LANES), ("8", 7), ("3 of them", LANES)]
)
def test_many_devices_give_the_bits_of_one(mesh, lanes):
    one, seen = search(lanes=lanes), []
    for options in ({}, {"callback": seen.append}):
        result = search(mesh=MESHES[mesh], lanes=lanes, **options)
        assert same_bits(rows(result), rows(one))
        assert result.n_success == one.n_success
        assert same_bits(result.best, one.best)
    assert (seen[-1].done, seen[-1].best) == (N_STARTS, one.best.fun)


def test_many_devices_give_the_bits_of_one_where_rounding_decides():
    def rugged(mesh):
        problem = problems.griewank(5)
        given = {"key": KEY, "n_starts": 1000, "lanes": 64, "max_steps": 300, "mesh": mesh}
        return explore(problem.fun, problem.bounds, amsgrad(0.1, b2=0.99), **given)

    assert same_bits(rows(rugged(MESHES["8"])), rows(rugged(None)))


@pytest.mark.parametrize(
    ("n", "lanes"), [(1, 1024), (3, 1024), (4, 1008), (10, 400), (31, 128), (32, 1024)]
)
def test_lanes_default_to_what_is_fast_for_so_many_variables(monkeypatch, n, lanes):
    def layout(**options):
        monkeypatch.setattr(
            devices.Program, "empty", lambda self: seen.append(self.layout) or 1 / 0
        )
        seen = []
        with pytest.raises(ZeroDivisionError):
            explore(jnp.sum, (jnp.zeros(n), 1.0), SGD, key=KEY, n_starts=2000, **options)
        return seen[0]

    assert layout().n_lanes == lanes
    assert layout(lanes=2000).n_lanes == 2000


@pytest.mark.parametrize("kind", ["Auto", "Explicit"])
@pytest.mark.parametrize("own", [True, False])
def test_it_works_while_another_mesh_is_set(found, kind, own):
    axis_types = (getattr(jax.sharding.AxisType, kind),)
    mesh = jax.make_mesh((8,), ("s",), axis_types=axis_types)
    with jax.set_mesh(mesh):
        result = search(mesh=mesh if own else None)
        assert same_bits(rows(result), rows(found))
        assert [m.count for m in result.minima] == [m.count for m in found.minima]
        assert result.rerun(3).success
        assert same_bits(result.top(1)[0], found.best)


def far(x, centers):
    return jnp.mean(jnp.sum((x[None] - centers) ** 2, axis=1))


@pytest.mark.parametrize("kind", ["Auto", "Explicit"])
@pytest.mark.parametrize("spec", [None, (), ("s",)], ids=["one device", "replicated", "sharded"])
def test_args_and_bounds_may_be_on_any_devices(spec, kind):
    axis_types = (getattr(jax.sharding.AxisType, kind),)
    mesh = jax.make_mesh((8,), ("s",), axis_types=axis_types)
    place = jax.devices()[3]
    if spec is not None:
        place = jax.NamedSharding(mesh, jax.P(*spec))
    centers = np.arange(16.0).reshape(8, 2) / 16
    box = jax.device_put(([-1.0, -1.0], [1.0, 1.0]), jax.devices()[2])
    box = tuple(map(jnp.stack, box))
    options = {"key": KEY, "n_starts": 20, "lanes": 16}
    for used in (None, mesh):
        args = (jax.device_put(centers, place),)
        result = explore(far, box, SGD, args=args, mesh=used, **options)
        assert result.n_success == 20
        (minimum,) = result.minima
        np.testing.assert_allclose(minimum.x, centers.mean(axis=0), atol=1e-5)


def test_leaves_without_numbers_do_no_harm(tmp_path):
    box = {"a": np.zeros((0, 3)), "b": -np.ones(2)}, {"a": np.zeros((0, 3)), "b": np.ones(2)}
    result = explore(lambda x: jnp.sum(x["b"] ** 2), box, SGD, key=KEY, n_starts=20)
    assert result.x["a"].shape == (20, 0, 3)
    assert [m.count for m in result.minima] == [20]
    result.save(tmp_path / "found.npz")
    assert MultiStartResult.load(tmp_path / "found.npz").x["a"].shape == (20, 0, 3)


def test_minima_without_a_hessian_are_found_while_nan_is_looked_for():
    with jax.debug_nans(True):
        result = explore(
            lambda x: jnp.sum(jnp.abs(x) ** 1.5), None, SGD, key=KEY, n_starts=1,
            starts=jnp.zeros((1, 2)),
        )  # fmt: skip
        assert [m.kind for m in result.minima] == ["unknown"]


def test_each_device_gets_its_share(monkeypatch):
    shares, share_out = [], devices.share_out
    spy = lambda *given: shares.append(given[2:4]) or share_out(*given)  # noqa: E731
    monkeypatch.setattr(devices, "share_out", spy)
    search(mesh=MESHES["3 of them"])
    assert shares == [(N_STARTS, N_STARTS // 3)]


def test_nothing_is_shown_unless_asked_for(capfd):
    search()
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("lanes", [1, 7, 4096])
def test_another_number_of_lanes_gives_the_same_starts_and_results_to_rounding(found, lanes):
    assert_rows_close(rows(search(lanes=lanes)), rows(found))


def test_new_data_do_not_compile_again(found):
    times = HOLED.times
    search(radius=0.5, value=9.0, key=jax.random.key(9), gtol=0.1, starts=jnp.zeros((3, 2)))
    search(max_steps=77)
    result = search(max_steps=1002, patience=4, callback=lambda progress: None)
    assert HOLED.times == times
    assert same_bits(rows(result), rows(found))
