"""A few random functions in which numpy compares elements, among which nan is; `numpy_programs` draws them.

`python -m tests.compiler.numpy_programs` draws hundreds.
"""

import pytest

from micrograd_cn.graph import node

from . import numpy_programs


@pytest.mark.parametrize("seed", [4, 23, 34, 38])
def test_a_program_has_numpys_numbers(seed):
    assert not numpy_programs.check(seed)


@pytest.mark.slow
def test_hundreds_of_programs_have_numpys_numbers():
    assert not [found for seed in range(2000) if (found := numpy_programs.check(seed))]


def test_a_function_of_which_guards_do_not_ask_for_nan_is_found(monkeypatch):
    monkeypatch.setattr(node, "asks_for_nan", lambda symbol, caller: False)
    assert numpy_programs.check(4).startswith("seed 4: branches=True, [")
