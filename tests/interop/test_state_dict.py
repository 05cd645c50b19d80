"""A state dict that does not fit is refused, with its reason."""

import re

import numpy as np
import pytest
from torch_runs import START, refused

import jamsgrad
from jamsgrad import interop


@pytest.mark.parametrize("got", [["model", "optimizer"], "list"])
def test_another_mapping_is_refused(got):
    given = [1] if got == "list" else dict.fromkeys(got)
    with pytest.raises(ValueError, match="must have 'state' and 'param_groups', as"):
        interop.from_torch(given, START)
    with pytest.raises(ValueError, match=re.escape(f"got {got}")):
        interop.to_torch(jamsgrad.amsgrad(0.1).init(START), given, np.asarray)


def test_a_state_without_the_maximum_is_refused():
    words = r"no 'max_exp_avg_sq' of '2.weight': it was trained with amsgrad=False"
    refused(ValueError, words, "no_maximum")


@pytest.mark.parametrize("key", ["step", "exp_avg", "exp_avg_sq"])
def test_a_missing_entry_is_refused(key):
    def drop(state_dict):
        del state_dict["state"][2][key]

    refused(ValueError, f"no '{key}' of '10.bias'$", change=drop)


def test_another_optimizer_is_refused():
    refused(ValueError, "no 'step' of '2.weight'", "sgd")

    def drop(state_dict):
        del state_dict["param_groups"][0]["betas"]

    refused(ValueError, "another optimizer than Adam: a group has no 'betas'", change=drop)


def test_an_optimizer_that_took_no_step_is_refused():
    refused(ValueError, "holds no state: torch's optimizer has taken no step", "new")


def test_different_counts_are_refused():
    words = re.escape("same number of steps, got {7: '0.bias', 6: '10.bias'}")
    refused(ValueError, words, "uneven")


def test_groups_with_different_betas_are_refused():
    def change(state_dict):
        state_dict["param_groups"][1]["betas"] = [0.9, 0.95]

    words = re.escape("groups must have the same betas, got [(0.8, 0.95), (0.9, 0.95)]")
    refused(ValueError, words, "groups", names=None, change=change)
