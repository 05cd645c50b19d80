"""What type checkers say of the code that users write; skipped without pyright."""

import json
import re
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
RIGHT = """
import jax.numpy as jnp
import optax
from jamsgrad import amsgrad, amsgradw, minimize, multistart, scale_by_amsgrad

params = {"w": jnp.zeros(3)}
optimizer = amsgrad(1e-3, moment_dtype="bfloat16")
state = optimizer.init(params)
print(state[0].m["w"].nbytes + state[0].v["w"].nbytes, state[0].count)
updates, state = optimizer.update(params, state, params)
print(state[0].vhat, scale_by_amsgrad().init(params).v_weight)
decayed = amsgradw(1e-3, convention="pytorch")
print(decayed.init(params)[0].m_weight)
plain: optax.GradientTransformation = decayed
chained = optax.chain(optax.clip(1.0), optimizer)
minimize(jnp.sum, jnp.ones(2), chained, loop="scan", gtol=None)
multistart(jnp.sum, (0.0, 1.0), plain, starts="sobol")
multistart(jnp.sum, (0.0, 1.0), plain, starts=lambda key, n, box: jnp.zeros(n))
"""
WRONG = {
    'amsgrad(0.1, convention="torch")': "convention",
    "amsgrad(0.1, betas=(0.9, 0.99))": "betas",
    "amsgrad(0.1).init(3)[0].momentum": "momentum",
    'minimize(jnp.sum, jnp.ones(2), amsgrad(0.1), loop="for")': "loop",
    'minimize(jnp.sum, jnp.ones(2), amsgrad(0.1), gtol="none")': "gtol",
    "minimize(jnp.sum, jnp.ones(2))": "optimizer",
    'multistart(jnp.sum, (0.0, 1.0), amsgrad(0.1), finish="never")': "finish",
    "multistart(jnp.sum, (0.0, 1.0), amsgrad(0.1), maxiter=3)": "maxiter",
    'sample_starts(0, 3, (0.0, 1.0), "sobel")': "starts",
}


@pytest.mark.skipif(find_spec("pyright") is None, reason="needs pyright: pip install -e '.[dev]'")
def test_pyright_says_what_is_right_and_what_is_wrong(tmp_path):
    names = "amsgrad, minimize, multistart, sample_starts"
    head = f"import jax.numpy as jnp\nfrom jamsgrad import {names}\n"
    (tmp_path / "right.py").write_text(RIGHT)
    (tmp_path / "wrong.py").write_text(head + "\n".join(WRONG))
    (tmp_path / "pyrightconfig.json").write_text(json.dumps({"extraPaths": [str(ROOT)]}))
    command = [sys.executable, "-m", "pyright", "--outputjson", "--pythonpath", sys.executable]
    ran = subprocess.run([*command, "-p", tmp_path], capture_output=True, text=True, check=False)
    found = json.loads(ran.stdout)["generalDiagnostics"]
    assert [one["message"] for one in found if one["file"].endswith("right.py")] == []
    lines = {}
    for one in found:
        lines.setdefault(one["range"]["start"]["line"] - 2, []).append(one["message"])
    for i, (code, word) in enumerate(WRONG.items()):
        assert re.search(rf"\b{word}\b", "".join(lines.get(i, []))), code
