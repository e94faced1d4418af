"""numpy's functions of arrays of `Value`s give the numbers and derivatives of arrays of floats, or raise an error."""

import numpy as np
import pytest

from micrograd_cn import Value
from tests.graph.numpy_functions import campaign, outcome


def test_some_calls_of_all_functions_are_right_or_refused():
    counts, wrong = campaign(every=31)
    assert wrong == []
    assert counts["right"] > 400
    assert counts["refused"] > 200


@pytest.mark.slow
def test_all_calls_of_all_functions_are_right_or_refused():
    counts, wrong = campaign()
    assert wrong == []
    assert counts["right"] > 20_000


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (
            lambda x: [y.data if isinstance(y, Value) else y for y in x],
            "the derivative with respect to number 0 is 0.0, not",
        ),
        (lambda x: x if isinstance(x[0], Value) else x + 1.0, "the numbers are"),
        (lambda x: x * (x[0].data if isinstance(x[0], Value) else x[0]), "the derivative with respect to number 0 is"),
        (lambda x: x[1:] if isinstance(x[0], Value) else x, "the shape is"),
    ],
)
def test_the_campaign_finds_a_function_that_is_wrong(function, message):
    assert outcome(function, (np.array([2.0, 3.0]),), {}).startswith(message)
