"""Every example runs as a newcomer would run it, with JAX as it is for those."""

import contextlib
import io
import re
import runpy
import sys
from importlib.util import find_spec
from pathlib import Path
from types import SimpleNamespace

import jax
import numpy as np
import pytest

from jamsgrad import MultiStartResult, problems

ROOT = Path(__file__).parents[1]
EXAMPLES = {  # name: arguments, and the files it writes
    "bowl.py": ([], ["contour.png", "path.png", "surface.png"]),
    "vmap_bowl.py": (["--starts", "1000"], ["vmap_bowl.png"]),
    "multistart.py": (
        ["--starts", "5000", "--resolution", "32", "--devices", "8"],
        ["multistart.png"],
    ),
    "sharded_multistart.py": (["--processes", "2"], ["sharded_multistart.npz"]),
    "rosenbrock.py": (["--frames", "3"], ["convergence.png", "paths.png", "search.gif"]),
    "adam_fails.py": (["--steps", "600000"], ["adam_fails.png"]),
    "conventions.py": ([], ["conventions.png"]),
    "tune_learning_rate.py": ([], ["tune_learning_rate.png"]),
    "from_pytorch.py": ([], ["from_pytorch.png"]),
    "fit_model.py": (["--starts", "300", "--devices", "8"], ["fit_model.png"]),
    "fit_ode.py": (["--starts", "4"], ["fit_ode.png"]),
    "nist.py": (["--starts", "30", "Misra1a", "Rat43"], []),
    "sharded_training.py": (["--steps", "20"], []),
    "train_digits.py": (["--seeds", "1"], ["train_digits.png"]),
    "train_potential.py": (["--steps", "40"], ["train_potential.png"]),
}
NEEDS = {  # command line: modules that are not among the test dependencies, and what to install
    ("fit_ode.py",): (("diffrax",), "-e '.[ode]'"),
    ("from_pytorch.py",): (("torch",), "torch"),
    ("train_digits.py",): (("flax", "sklearn"), "-e '.[training]'"),
    ("train_digits.py", "--equinox"): (("equinox", "sklearn"), "-e '.[training]'"),
    ("train_potential.py", "--from-torch", "checkpoint.pt"): (("torch",), "torch"),
}


USER = {  # JAX as it starts, which the tests have changed
    "jax_enable_x64": False,
    "jax_numpy_dtype_promotion": "standard",
    "jax_numpy_rank_promotion": "allow",
}


def execute(name, *arguments):
    """Run an example as a script in this process, which has imported JAX and has its devices."""
    command = [str(ROOT / "examples" / name), *map(str, arguments)]
    before = {option: getattr(jax.config, option) for option in (*USER, "jax_platforms")}
    argv, out, err, code = sys.argv, io.StringIO(), io.StringIO(), 0
    try:
        for option, value in USER.items():
            jax.config.update(option, value)
        sys.argv = command
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            runpy.run_path(command[0], run_name="__main__")
    except SystemExit as end:  # as Python ends: a text is printed, and the code is then 1
        code = end.code if isinstance(end.code, int) else 1
        err.write("" if isinstance(end.code, int) else f"{end.code}\n")
    finally:
        sys.argv = argv
        for option, value in before.items():
            jax.config.update(option, value)
    return SimpleNamespace(returncode=code, stdout=out.getvalue(), stderr=err.getvalue())


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """Run an example once; give what it printed and the folder it wrote to."""
    done = {}

    def run_once(name, *more):
        modules, package = NEEDS.get((name, *more), ((), ""))
        missing = [module for module in modules if find_spec(module) is None]
        if missing:
            pytest.skip(f"{name} needs {', '.join(missing)}: pip install {package}")
        if (name, more) not in done:
            arguments, files = EXAMPLES[name]
            out = tmp_path_factory.mktemp(name.removesuffix(".py"))
            ran = execute(name, *arguments, *more, *(["--out", out] if files else []))
            assert ran.returncode == 0, ran.stderr
            done[name, more] = ran.stdout, out
        return done[name, more]

    return run_once


def test_every_example_is_run():
    assert {path.name for path in (ROOT / "examples").glob("*.py")} == set(EXAMPLES)


@pytest.mark.parametrize("name", EXAMPLES)
def test_example_writes_its_files(run, name):
    _, out = run(name)
    assert sorted(p.name for p in out.iterdir()) == EXAMPLES[name][1]
    magic = {".png": b"\x89PNG", ".gif": b"GIF89a", ".npz": b"PK"}
    assert all(p.read_bytes().startswith(magic[p.suffix]) for p in out.iterdir())


def test_bowl_ends_on_the_digits_of_the_tutorial(run):
    lines = run("bowl.py")[0].splitlines()
    steps = [line for line in lines if line.startswith(">")]
    assert len(steps) == 100
    assert steps[-1] == ">99 f([-6.78222208e-12  1.27905115e-03]) = 0.00000"


def test_adam_fails_where_amsgrad_does_not(run):
    ends = {
        tuple(name.split(": ")): [float(end) for end in numbers.split(", ")]
        for name, numbers in re.findall(r"(.*) ends at (.*)", run("adam_fails.py")[0])
    }
    assert len(ends["stochastic", "Adam"]) == len(ends["stochastic", "AMSGrad"]) == 6
    for setting in ("online", "stochastic"):  # by then not all six have arrived
        assert min(ends[setting, "Adam"]) > 0.9
        assert max(ends[setting, "AMSGrad"]) < 0.7
        assert np.median(ends[setting, "AMSGrad"]) < -0.8


def test_the_conventions_differ_as_the_docs_say(run):
    rows = re.findall(
        r"^ *(\S+) +(paper|optax|pytorch|keras) +(.*)$", run("conventions.py")[0], re.M
    )
    u = {(float(size), name): [float(x) for x in line.split()] for size, name, line in rows}
    assert len(u) == 8
    first, last = 0, -1
    assert u[1, "paper"][first] == 3.162  # 0.1 / sqrt(0.001)
    assert u[1, "optax"][first] == u[1, "pytorch"][first] == 1
    assert u[1, "paper"][last] == 1
    assert u[1, "optax"][last] < 0.32  # the spike stays at the size it had early
    assert 0.97 < u[1, "pytorch"][last] < 1  # and here grows back
    assert u[1, "keras"] == u[1, "pytorch"]
    assert u[1e-6, "keras"][first] < 0.25 * u[1e-6, "pytorch"][first]


def test_the_learning_rate_is_tuned(run):
    first, tuned = map(
        float, re.findall(r"loss (\S+?),?(?:\s|$)", run("tune_learning_rate.py")[0])[:2]
    )
    assert tuned < first / 100


def test_two_processes_find_what_one_device_finds(run):
    out = run("sharded_multistart.py")[1]
    found = MultiStartResult.load(out / "sharded_multistart.npz")
    assert (found.n_success, len(found.minima)) == (20_000, 16)
    problem = problems.styblinski_tang(4)
    np.testing.assert_allclose(found.best.fun, problem.minimum, rtol=1e-6)


def test_a_run_moves_from_torch_to_jax_and_back(run):
    printed = run("from_pytorch.py")[0]
    differences = [float(x) for x in re.findall(r"largest relative difference.* (\S+)\n", printed)]
    assert len(differences) == 2
    assert max(differences) < 1e-6


@pytest.mark.parametrize("command", NEEDS, ids=" ".join)
def test_an_example_without_its_packages_says_which(command, tmp_path, monkeypatch):
    (needed, *_), package = NEEDS[command]
    for module in (
        "torch",
        "flax",
        "equinox",
        "diffrax",
    ):  # those that were not chosen are not asked for
        monkeypatch.setitem(sys.modules, module, None)
    ran = execute(*command, "--out", tmp_path)
    assert ran.returncode == 1
    assert ran.stderr == f"This example needs {needed}: python -m pip install {package}\n"


@pytest.mark.parametrize(
    ("name", "option", "value", "allowed"),
    [
        ("bowl.py", "--steps", -3, "at least 0"),
        pytest.param(
            *("from_pytorch.py", "--steps", 1, "at least 2"),
            marks=pytest.mark.skipif(find_spec("torch") is None, reason="needs torch"),
        ),
        ("sharded_training.py", "--devices", 0, "a divisor of 256"),
        ("sharded_training.py", "--devices", 3, "a divisor of 256"),
        ("sharded_training.py", "--steps", 0, "at least 1"),
        ("train_digits.py", "--steps", 0, "a multiple of 20"),
        ("train_digits.py", "--steps", 30, "a multiple of 20"),
    ],
)
def test_an_impossible_option_is_refused(name, option, value, allowed):
    ran = execute(name, option, str(value))
    assert ran.returncode == 2
    assert ran.stderr.endswith(f"{name}: error: {option} must be {allowed}, got {value}\n")


def test_the_true_parameters_are_found(run):
    printed = run("fit_model.py")[0]
    rows = re.findall(r"^(\S+) +(\S+) +(\S+) ± +(\S+) +\S+$", printed, re.MULTILINE)
    assert [name for name, *_ in rows] == [
        "amplitude[0]",
        "amplitude[1]",
        "frequency",
        "gap",
        "rate[0]",
        "rate[1]",
    ]
    true, found, error = np.array([row[1:] for row in rows], float).T
    assert (np.abs(found - true) < 3 * error).all()
    assert (error < 0.2 * true).all()  # so that the line above says something
    chi2, free = map(float, re.search(r"chi\^2 = (\S+) with (\S+) degrees", printed).groups())
    assert abs(chi2 - free) < 3 * np.sqrt(2 * free)
    assert len(re.findall(r" % \(", printed)) > 2  # several optima, else one start would do


def test_the_true_rates_are_found(run):
    printed = run("fit_ode.py")[0]
    rows = re.findall(r"^([A-D]{2}) +(\S+) +(\S+) ± +(\S+)$", printed, re.MULTILINE)
    assert [name for name, *_ in rows] == ["AB", "BA", "BC", "CB", "CD", "DC"]
    true, found, error = np.array([row[1:] for row in rows], float).T
    assert (np.abs(found - true) < 3 * error).all()
    name, low, high = re.search(
        r"^([A-D]{2}) is between (\S+) and (\S+) \(", printed, re.M
    ).groups()
    assert float(low) < dict(zip([row[0] for row in rows], found, strict=True))[name] < float(high)


def test_certified_digits_are_found(run):
    rows = re.findall(r"^(\w+) +(\S+)% +(\S+) +(\S+) ", run("nist.py")[0], re.MULTILINE)
    assert [name for name, *_ in rows] == ["Misra1a", "Rat43"]
    shares, digits, of_errors = np.array([row[1:] for row in rows], float).T
    assert (shares >= 50).all()
    assert (digits >= 8).all()
    assert (of_errors >= 6).all()


def test_shared_out_state_gives_the_losses_of_one_device(run):
    rows = dict(re.findall(r"^(\d, .*?)  +(\S.*)$", run("sharded_training.py")[0], re.MULTILINE))
    n_bytes = {how: int(row.split()[0].replace(",", "")) for how, row in rows.items()}
    difference = {how: float(row.split()[-1]) for how, row in rows.items()}
    whole = n_bytes["1, whole"]
    assert n_bytes["8, replicated"] == whole
    # Only scalars and the bias of the last layer, of one number, cannot be shared out.
    assert whole / 8 <= n_bytes["8, sharded"] <= whole / 8 + 24
    assert whole / 16 <= n_bytes["8, sharded, bfloat16"] <= whole / 16 + 24
    assert max(difference["8, replicated"], difference["8, sharded"]) < 1e-5
    assert 0 < difference["8, sharded, bfloat16"] < 1e-2


@pytest.mark.parametrize("framework", [(), ("--equinox",)], ids=["flax", "equinox"])
def test_amsgrad_learns_the_digits(run, framework):
    ends = re.findall(r"(.*): test accuracy (\S+)%", run("train_digits.py", *framework)[0])
    assert [name for name, _ in ends] == ["AMSGrad, paper", "AMSGrad, pytorch", "Adam"]
    assert min(float(end) for _, end in ends[:2]) > 97
