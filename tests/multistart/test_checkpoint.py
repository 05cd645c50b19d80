"""A search that is stopped or killed and begun again ends in the bits of one that never was."""

import re
import resource
import signal
import sys
import warnings

import apart
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from reference import explore, same_bits

from jamsgrad import Status, amsgrad, problems

pytest.importorskip("orbax.checkpoint")

BOX = problems.himmelblau.bounds
AMSGRAD = amsgrad(0.3, b2=0.99)


def fun(x, scale):
    """Himmelblau's function, in other units."""
    return scale * problems.himmelblau.fun(x)


def search(**options):
    """Many searches with few lanes: eight rounds or so."""
    given = {"key": jax.random.key(1), "n_starts": 200, "lanes": 32, "gtol": 1e-3, "args": (1.0,)}
    return explore(fun, BOX, AMSGRAD, **given | options)


def rows(result):
    arrays = (result.starts, result.x, result.fun, result.grad_norm, result.n_steps, result.status)
    return jax.tree.map(np.asarray, arrays)


def stop_after(n):
    """A callback that ends the search when it has seen the queue `n` times."""
    seen = []

    def callback(progress):
        seen.append(progress)
        if len(seen) == n:
            raise StopIteration

    return callback


def contents(folder):
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.fixture(scope="module")
def whole():
    return search()


@pytest.mark.parametrize("devices", [1, 8])
def test_without_tolerances_too_it_ends_in_the_same_bits(tmp_path, devices):
    mesh = jax.make_mesh((devices,), ("x",))
    options = {"gtol": None, "max_steps": 200, "mesh": mesh, "lanes": 16}
    stopped = search(checkpoint=tmp_path / "a", callback=stop_after(1), **options)
    assert np.all(stopped.status == Status.STOPPED)
    resumed = search(checkpoint=tmp_path / "a", **options)
    assert np.all(resumed.status == Status.COMPLETED)
    assert same_bits(rows(resumed), rows(search(**options)))


@pytest.mark.parametrize("devices", [1, 8])
def test_stopped_and_begun_again_it_ends_in_the_same_bits(tmp_path, whole, devices):
    mesh = jax.make_mesh((devices,), ("x",))
    stopped = search(checkpoint=tmp_path / "a", callback=stop_after(1), mesh=mesh, lanes=16)
    assert np.any(stopped.status == Status.STOPPED)
    resumed = search(checkpoint=tmp_path / "a", mesh=mesh, lanes=16)
    assert same_bits(rows(resumed), rows(search(mesh=mesh, lanes=16)))
    assert resumed.lane_efficiency == search(mesh=mesh, lanes=16).lane_efficiency
    assert whole.n_success == resumed.n_success


def test_a_complete_one_returns_at_once(tmp_path, whole):
    first, seen = search(checkpoint=tmp_path), []
    again = search(checkpoint=str(tmp_path), callback=seen.append)
    assert same_bits(rows(first), rows(whole))
    assert same_bits(rows(again), rows(whole))
    assert [progress.done for progress in seen] == [200]


def test_it_is_written_at_every_interval_and_at_the_end(tmp_path, whole):
    def saved(every):
        folder, steps = tmp_path / f"every {every}", set()
        watch = lambda _: steps.update(p.name for p in folder.iterdir() if p.name.isdigit())  # noqa: E731
        search(checkpoint=folder, checkpoint_every=every, callback=watch)
        (last,) = (p.name for p in folder.iterdir() if p.name.isdigit())
        return steps, last

    assert saved(1e6) == (set(), "1")
    steps, last = saved(0.0)
    assert len(steps) == int(last) - 1 > 1


def sharper(x, scale):
    return scale * problems.himmelblau.fun(2 * x)


def shifted(shift):
    """A new function each time; the array that it closes over stands in an inner jit."""
    return lambda x, scale: fun(x - jax.jit(lambda: shift + 0.0)(), scale)


def test_what_fun_closes_over_belongs_to_it(tmp_path):
    def run(shift):
        given = {"key": jax.random.key(1), "n_starts": 20, "args": (1.0,), "checkpoint": tmp_path}
        return explore(shifted(shift), BOX, AMSGRAD, **given)

    assert same_bits(rows(run(np.zeros(2))), rows(run(np.zeros(2))))
    with pytest.raises(ValueError, match="differs in fun or optimizer"):
        run(np.array([0.0, 0.1]))


def called_back(shift):
    """An objective whose value only the host knows: in the program it is an address."""

    def on_host(x):
        return ((x - shift) ** 2).sum(axis=-1)

    @jax.custom_jvp
    def fun(x):
        shape = jax.ShapeDtypeStruct((), x.dtype)
        return jax.pure_callback(on_host, shape, x, vmap_method="expand_dims")

    fun.defjvp(lambda x, dx: (fun(*x), jnp.sum(2 * x[0] * dx[0])))
    return fun


def test_what_a_callback_computes_belongs_to_it(tmp_path):
    def run(shift):
        options = {"key": jax.random.key(0), "n_starts": 4, "max_steps": 5}
        return explore(called_back(shift), BOX, AMSGRAD, checkpoint=tmp_path / "c", **options)

    first = run(0.3)
    assert same_bits(rows(run(0.3)), rows(first))
    with pytest.raises(ValueError, match="it differs in fun or optimizer;"):
        run(0.9)


def tabled(last):
    """An optimizer whose table of learning rates differs from others late, or nowhere."""
    rates = jnp.array([0.1, 0.1, last])
    return amsgrad(lambda count: rates[jnp.minimum(count, 2)])


def keyed(seed):
    key = jax.random.key(seed)
    return optax.stateless(lambda g, _: jax.random.normal(key, g.shape, g.dtype))


@pytest.mark.parametrize(
    ("make", "value", "other"),
    [
        (tabled, 0.1, 0.2),
        (keyed, 0, 1),
        (lambda b1: amsgrad(0.3, b1=jnp.array(b1), convention="pytorch"), 0.9, 0.1),
    ],
    ids=["table", "key", "b1"],
)
def test_arrays_in_the_optimizer_belong_to_it(tmp_path, make, value, other):
    def run(value):
        given = {"key": jax.random.key(1), "n_starts": 20, "args": (1.0,), "max_steps": 9}
        return rows(explore(fun, BOX, make(value), checkpoint=tmp_path, **given))

    assert same_bits(run(value), run(value))
    with pytest.raises(ValueError, match="differs in fun or optimizer"):
        run(other)


@pytest.mark.parametrize(
    ("options", "differs"),
    [
        ({"fun": sharper}, "fun or optimizer"),
        ({"optimizer": optax.sgd(0.01)}, "fun or optimizer"),
        ({"optimizer": amsgrad(0.31, b2=0.99)}, "fun or optimizer"),
        ({"key": jax.random.key(2)}, "key or starts"),
        ({"n_starts": 199}, "key or starts"),
        ({"n_starts": 200, "screen": 2}, "screen"),
        ({"starts": "sobol"}, "key or starts"),
        ({"args": (2.0,)}, "args"),
        ({"bounds": (-5.0, np.array([5.0, 5.5])), "starts": np.zeros((200, 2))}, "key or starts"),
        ({"max_steps": 1001}, "max_steps, a tolerance or patience"),
        ({"gtol": 2e-3}, "max_steps, a tolerance or patience"),
        ({"ftol": 0.0}, "max_steps, a tolerance or patience"),
    ],
    ids=lambda value: "-".join(value) if isinstance(value, dict) else "",
)
def test_a_checkpoint_of_another_search_is_refused(tmp_path_factory, options, differs):
    folder = tmp_path_factory.getbasetemp() / "refused"
    if not folder.exists():
        search(checkpoint=folder)
    before = contents(folder)
    options = {
        "fun": fun,
        "bounds": BOX,
        "optimizer": AMSGRAD,
        "key": jax.random.key(1),
        "n_starts": 200,
        "lanes": 32,
        "gtol": 1e-3,
        "args": (1.0,),
    } | options
    with pytest.raises(ValueError, match=f"another search: it differs in .*{re.escape(differs)}"):
        explore(**options, checkpoint=folder)
    assert contents(folder) == before


def test_random_keys_in_the_optimizer_are_kept(tmp_path):
    noisy = optax.chain(optax.add_noise(1e-3, 0.5, jax.random.key(7)), optax.sgd(0.01))
    with jax.numpy_dtype_promotion("standard"):
        run = lambda **options: explore(  # noqa: E731
            problems.bowl.fun,
            ([-1.0, -1.0], [1.0, 1.0]),
            noisy,
            key=jax.random.key(1),
            n_starts=40,
            lanes=8,
            gtol=1e-3,
            **options,
        )
        expected = run()
        run(checkpoint=tmp_path, callback=stop_after(1))
        assert same_bits(rows(run(checkpoint=tmp_path)), rows(expected))


def test_one_folder_serves_one_search_at_a_time(tmp_path):
    refused = []

    def intrude(progress):
        with pytest.raises(RuntimeError, match="is in use by another search") as error:
            search(checkpoint=tmp_path)
        refused.append(error)
        raise StopIteration

    search(checkpoint=tmp_path, callback=intrude)
    assert len(refused) == 1


# What goes wrong in the file system leaves orbax with threads that complain later: each such thing
# happens in a process of its own.


def truncated(folder):
    """The error of a search whose checkpoint is cut to half."""
    search(checkpoint=folder, callback=stop_after(1))
    data = [p for p in folder.rglob("*") if p.is_file() and p.parent.name == "d"]
    assert data
    for file in data:
        file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])
    with pytest.raises(ValueError) as error:  # noqa: PT011
        search(checkpoint=folder)
    return [str(error.value)]


def disk_full(folder):
    """The warnings of a search that cannot write its checkpoint."""
    expected = rows(search())
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (64, resource.RLIM_INFINITY))
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        result = search(checkpoint=folder)
    assert same_bits(rows(result), expected)
    return [str(warning.message) for warning in caught]


@pytest.mark.parametrize(
    ("search_in", "said"),
    [
        (truncated, "is broken: what was found cannot be read; nothing was"),
        (disk_full, "was not written: "),
    ],
    ids=["truncated files", "a full disk"],
)
def test_a_failing_file_system_is_told_and_loses_no_result(tmp_path, search_in, said):
    folder = tmp_path / "folder"
    (told,) = apart.told(search_in, (folder,))
    assert f"checkpoint={str(folder)!r} {said}" in " ".join(told)


def test_without_orbax_the_extra_is_named(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "orbax.checkpoint", None)
    with pytest.raises(ImportError, match="pip install orbax-checkpoint"):
        search(checkpoint=tmp_path)


def test_the_interval_is_checked():
    with pytest.raises(ValueError, match="checkpoint_every must be a finite number >= 0, got -1"):
        search(checkpoint_every=-1)


def long_search(**options):
    """One of many rounds."""
    problem = problems.rosenbrock(2)
    given = {"key": jax.random.key(0), "n_starts": 2000, "lanes": 16, "max_steps": 5000}
    return explore(problem.fun, problem.bounds, amsgrad(0.1), **given, **options)


def long_search_shown(folder, shown):
    """It tells through a pipe how far it has come."""
    long_search(checkpoint=folder, checkpoint_every=0, callback=lambda p: shown.send(p.done))


@pytest.mark.as_users_compile
def test_killed_again_and_again_it_ends_in_the_same_bits(tmp_path):
    folder, done = tmp_path / "checkpoint", [0]
    for times in np.random.default_rng(0).integers(4, 8, size=3):
        seen, shown = apart.FORKED.Pipe(duplex=False)
        process = apart.begin(long_search_shown, folder, shown)
        shown.close()  # so that a process that ends early is no endless wait
        told = [seen.recv() for _ in range(times)]
        process.kill()
        process.join()
        assert process.exitcode == -signal.SIGKILL
        done.append(told[0])
    assert sorted(done) == done  # it went on where it was, and did not begin again
    assert done[-1] > 0
    resumed = long_search(checkpoint=folder, callback=lambda progress: done.append(progress.done))
    assert sorted(done) == done
    assert same_bits(rows(resumed), rows(long_search()))


def test_the_folder_holds_the_checkpoint_and_nothing_else(tmp_path):
    search(checkpoint=tmp_path / "new" / "folder")
    assert [path.name for path in (tmp_path / "new" / "folder").iterdir()] == ["1"]
    assert sorted(path.name for path in (tmp_path / "new").iterdir()) == ["folder", "folder.lock"]


LAYOUTS = {
    "lanes": {"lanes": 17},
    "devices": {"mesh": jax.make_mesh((2,), ("x",))},
    "both": {"mesh": jax.make_mesh((8,), ("x",)), "lanes": 16},
}


@pytest.mark.parametrize("gtol", [1e-3, None], ids=["gtol", "together"])
@pytest.mark.parametrize("name", LAYOUTS)
def test_what_had_ended_is_kept_by_other_lanes_and_devices(tmp_path, name, gtol):
    other = LAYOUTS[name] | {"gtol": gtol, "max_steps": 1000 if gtol else 200}
    options = other | {"lanes": 32, "mesh": None, "callback": stop_after(2)}
    kept, seen = search(checkpoint=tmp_path, **options), []
    ended = kept.status != Status.STOPPED
    assert 0 < np.sum(ended) < 200
    stopped = search(checkpoint=tmp_path, callback=stop_after(1), **other)
    more = stopped.status != Status.STOPPED
    resumed = search(checkpoint=tmp_path, callback=seen.append, **other)
    assert np.all(more >= ended)
    for earlier, which in ((kept, ended), (stopped, more)):
        bits = [jax.tree.map(lambda a: a[which], rows(found)) for found in (earlier, resumed)]  # noqa: B023
        assert same_bits(*bits)
    assert seen[0].done >= np.sum(more)
    assert seen[-1].done == 200
    assert seen[-1].n_success == resumed.n_success == 200
    np.testing.assert_allclose(resumed.x, search(**other).x, atol=1e-6)
    assert 0 < resumed.lane_efficiency <= 1
    again = search(checkpoint=tmp_path, **(options | {"callback": None}))
    assert same_bits(rows(again), rows(resumed))


def test_another_version_of_jax_keeps_what_had_ended(tmp_path, monkeypatch):
    kept = search(checkpoint=tmp_path, callback=stop_after(2))
    ended = kept.status != Status.STOPPED
    monkeypatch.setattr(jax, "__version__", "0.0.1")
    with pytest.raises(ValueError, match="differs in fun or optimizer"):
        explore(
            lambda x, scale: 2 * fun(x, scale), BOX, AMSGRAD, key=jax.random.key(1), n_starts=200,
            lanes=32, gtol=1e-3, args=(1.0,), checkpoint=tmp_path,
        )  # fmt: skip
    resumed = search(checkpoint=tmp_path)
    assert resumed.n_success == 200
    assert same_bits(*(jax.tree.map(lambda a: a[ended], rows(r)) for r in (kept, resumed)))


@pytest.mark.parametrize("part", ["identity", "records", "lanes"])
def test_what_is_broken_is_named_and_what_is_not_is_kept(tmp_path, part):
    kept = search(checkpoint=tmp_path, callback=stop_after(2))
    (folder,) = tmp_path.glob(f"*/{part}")
    for file in folder.rglob("*"):
        if file.is_file():
            file.write_bytes(b"")
    before = set(contents(tmp_path))
    if part != "lanes":
        with pytest.raises(ValueError, match=r"is broken: .* cannot be read; nothing was deleted"):
            search(checkpoint=tmp_path)
        assert set(contents(tmp_path)) == before
        return
    with pytest.warns(UserWarning, match="the searches under way cannot be read, and begin again"):
        resumed = search(checkpoint=tmp_path)
    ended = kept.status != Status.STOPPED
    assert resumed.n_success == 200
    assert same_bits(*(jax.tree.map(lambda a: a[ended], rows(r)) for r in (kept, resumed)))
