"""Searches as named columns."""

import jax.numpy as jnp
import numpy as np
from many import AMSGRAD, N_STARTS
from reference import explore

from jamsgrad import Status


def test_columns_are_the_searches_by_name(found):
    columns = found.columns()
    assert [*columns] == [
        *("start[0]", "start[1]", "x[0]", "x[1]"),
        *("fun", "grad_norm", "n_steps", "status", "basin"),
    ]
    assert {column.shape for column in columns.values()} == {(N_STARTS,)}
    for i in range(2):
        np.testing.assert_array_equal(columns[f"start[{i}]"], found.starts[:, i])
        np.testing.assert_array_equal(columns[f"x[{i}]"], found.x[:, i])
    for name in ("fun", "grad_norm", "n_steps", "basin"):
        np.testing.assert_array_equal(columns[name], getattr(found, name))
    assert [Status[name] for name in columns["status"]] == found.status.tolist()
    for basin, minimum in enumerate(found.minima):
        rows_ = columns["basin"] == basin
        assert rows_.sum() == minimum.count
        assert columns["fun"][rows_].min() == minimum.fun


def test_columns_of_a_tree_have_its_names_and_of_failures_too():
    def fun(x):
        value = jnp.abs(x["z"] - 0.5) ** 2 + jnp.sum(x["b"].astype(jnp.float64) ** 2)
        return jnp.where(x["b"][1] < -8, jnp.nan, value)

    starts = {"z": np.array([1j, 0.0, 0.0]), "b": np.array([[-1, 0], [1, -9], [-1, 2]], np.float32)}
    found = explore(fun, None, AMSGRAD, starts=starts, max_steps=5)
    columns = found.columns()
    assert [*columns][:4] == ["start.b[0]", "start.b[1]", "start.z.real", "start.z.imag"]
    assert [*columns][4:8] == ["x.b[0]", "x.b[1]", "x.z.real", "x.z.imag"]
    assert columns["start.b[1]"].tolist() == [0, -9, 2]
    assert columns["start.z.imag"].tolist() == [1, 0, 0]
    assert columns["status"].tolist() == ["MAX_STEPS", "NONFINITE", "MAX_STEPS"]
    assert columns["basin"].tolist() == [-1, -1, -1]
    assert np.isnan(columns["fun"][1])
