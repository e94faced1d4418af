"""Integers and addresses with operators, for code that writes LLVM functions."""

from __future__ import annotations

import ctypes

import pytest

from micrograd_cn.compiler.llvm.machine import machine
from micrograd_cn.compiler.llvm.operands import Doubles, Integer, Words
from micrograd_cn.compiler.llvm.text import KERNEL_PREFIX, Function


def result_of(called: str, expression, a: int, b: int) -> int:
    """Compile a function of two integers that `expression` writes, and call it."""
    f = Function(f"{KERNEL_PREFIX}test_operands_{called}", "i64 %a, i64 %b", "i64")
    f.do(f"ret i64 {expression(Integer(f, '%a'), Integer(f, '%b'))}")
    address = machine().address(f.name, lambda: f, fast=False)
    return ctypes.CFUNCTYPE(ctypes.c_int64, ctypes.c_int64, ctypes.c_int64)(address)(a, b)


@pytest.mark.parametrize(
    ("called", "expression"),
    [
        ("arithmetic", lambda a, b: (a + b) * 3 - a // b + a % b),
        ("shortcuts", lambda a, b: (a + 0) * 1 + b),
        ("number_first", lambda a, b: 5 * a + b),
    ],
)
def test_integers_compute_as_those_of_python(called, expression):
    for a, b in ((0, 1), (7, 3), (3, 7), (8, 8)):
        assert result_of(called, expression, a, b) == expression(a, b)


@pytest.mark.parametrize(
    ("called", "expression", "of_python"),
    [
        ("minimum", lambda a, b: a.minimum(b), min),
        ("maximum", lambda a, b: a.maximum(b), max),
        ("equal", lambda a, b: (a == b).select(a, 100), lambda a, b: a if a == b else 100),
        ("different", lambda a, b: (a != b).select(a, 100), lambda a, b: a if a != b else 100),
        ("less", lambda a, b: (a < b).select(a, 100), lambda a, b: a if a < b else 100),
        ("not_less", lambda a, b: (a >= b).select(a, 100), lambda a, b: a if a >= b else 100),
        ("not", lambda a, b: (~(a > b)).select(a, 100), lambda a, b: a if not a > b else 100),
        ("either", lambda a, b: ((a > 7) | (b > 2)).select(a, 100), lambda a, b: a if a > 7 or b > 2 else 100),
        ("as_integer", lambda a, b: (a < b).to_integer(), lambda a, b: int(a < b)),
        ("both", lambda a, b: ((a > 2) & (b > 2)).select(a, 100), lambda a, b: a if a > 2 and b > 2 else 100),
    ],
)
def test_conditions_select_as_those_of_python(called, expression, of_python):
    for a, b in ((0, 1), (7, 3), (3, 7), (8, 8)):
        assert result_of(called, expression, a, b) == of_python(a, b)


def test_a_condition_cannot_choose_what_is_written():
    f = Function("f", "i64 %n")
    with pytest.raises(TypeError, match=r"f\.when"):
        assert Integer(f, "%n") == 0


def test_words_and_doubles_are_loaded_and_stored():
    f = Function(f"{KERNEL_PREFIX}test_operands_memory", "ptr %words, ptr %doubles", "i64")
    words, doubles = Words(f, "%words"), Doubles(f, "%doubles")
    doubles[words[0]] = (doubles + 1).bytes(8)[-2]
    words[3] = words[0] * 4
    f.do(f"ret i64 {(words + 1)[words[0]]}")
    address = machine().address(f.name, lambda: f, fast=False)
    run = ctypes.CFUNCTYPE(ctypes.c_int64, ctypes.c_void_p, ctypes.c_void_p)(address)
    numbers, values = (ctypes.c_int64 * 4)(2, 20, 30, 40), (ctypes.c_double * 3)(0.5, 1.5, 2.5)
    assert run(numbers, values) == 8
    assert [*values] == [0.5, 1.5, 0.5]
    assert [*numbers] == [2, 20, 30, 8]
