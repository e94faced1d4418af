"""Every real number is an operand; what is none is refused with what to write instead."""

from decimal import Decimal
from fractions import Fraction

import numpy as np
import pytest

import micrograd_cn as mc
from micrograd_cn import Value


@pytest.mark.parametrize(
    ("x", "message"),
    [
        ("1", r"the str '1'; convert it with float\(\)"),
        (b"1", r"the bytes b'1'; convert it with float\(\)"),
        (None, "NoneType"),
        (1j, r"the complex 1j; use its \.real"),
        (np.complex128(1), r"the complex .*; use its \.real"),
        ([1.0], "list"),
        ((1.0,), "tuple"),
        (np.ones(1), "the sequence ndarray; use one element"),
        (np.ones(2), "the sequence ndarray; use one element"),
    ],
    ids=repr,
)
def test_what_is_no_real_number_is_refused_by_its_type(x, message):
    for call in (mc.tanh, lambda x: mc.add(1.0, x), lambda x: mc.mul(Value(1), x), lambda x: mc.sum([x, 1])):
        with pytest.raises(TypeError, match=rf"expected (a|one) real number, got {message}"):
            call(x)


@pytest.mark.parametrize("x", [3, True, Fraction(3, 2), Decimal("1.5"), np.float32(1.5), np.int64(3), np.array(1.5)])
def test_every_real_number_is_an_operand(x):
    assert (type(mc.neg(x)), mc.neg(x), mc.add(Value(1), x).data) == (float, -float(x), 1 + float(x))
