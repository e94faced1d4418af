"""Integers and addresses with operators, for code that writes LLVM functions."""

from __future__ import annotations

import ctypes

import pytest

from micrograd_cn.compiler.llvm.lanes import Lanes
from micrograd_cn.compiler.llvm.machine import machine
from micrograd_cn.compiler.llvm.operands import Doubles, Integer, Vector, Words, horizontal_sums, transpose
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


def floats_of(called: str, expression, *columns: list[float]) -> list[float]:
    """Compile a function of vectors that `expression` writes, and call it. Each column has the lanes of a vector."""
    count = len(columns[0])
    f = Function(f"{KERNEL_PREFIX}test_operands_{called}", "ptr %x, ptr %y", fma=machine().fma)
    lanes, x = Lanes(f, count), Doubles(f, "%x")
    results = expression(*[lanes.load(x + count * k) for k in range(len(columns))])
    for k, result in enumerate(results):
        Lanes(f, result.count).store(result, Doubles(f, "%y") + count * k)
    f.do("ret void")
    address = machine().address(f.name, lambda: f, fast=False)
    given = (ctypes.c_double * (count * len(columns)))(*[x for column in columns for x in column])
    found = (ctypes.c_double * (count * len(results)))()
    ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_void_p)(address)(given, found)
    return [*found]


@pytest.mark.parametrize(
    ("called", "expression"),
    [
        ("sums", lambda x, y: (x + y) * 2.0 - x / y),
        ("rounded_once_or_twice", lambda x, y: x * 3.0 + y if isinstance(x, float) else x.multiply_add(3.0, y)),
        ("larger", lambda x, y: max(x, y) if isinstance(x, float) else (x > y).select(x, y)),
        ("not_below_a_number", lambda x, y: max(x, 2.0) if isinstance(x, float) else (x < 2.0).select(2.0, x)),
        ("equal", lambda x, y: (x if x == y else 0.0) if isinstance(x, float) else (x == y).select(x, 0.0)),
        ("at_least", lambda x, y: (x if x >= y else -1.0) if isinstance(x, float) else (x >= y).select(x, -1.0)),
    ],
)
def test_vectors_compute_in_each_lane_as_floats_of_python(called, expression):
    xs, ys = [1.0, 2.0, 3.0, 4.0], [2.0, 2.0, 0.5, -8.0]
    expected = [expression(x, y) for x, y in zip(xs, ys, strict=True)]
    assert floats_of(f"{called}_4", lambda x, y: [expression(x, y)], xs, ys) == expected
    assert floats_of(f"{called}_1", lambda x, y: [expression(x, y)], xs[:1], ys[:1]) == expected[:1]


def test_conditions_hold_for_nan_and_for_some_lane():
    nan = float("nan")

    def expression(x):
        return [x.is_nan().select(7.0, x), (x > 2.0).any().select(x, 0.0), (x > 9.0).any().select(x, 0.0)]

    assert floats_of("nan", expression, [1.0, nan, 3.0, nan])[:4] == [1.0, 7.0, 3.0, 7.0]
    assert floats_of("any", expression, [1.0, 2.0, 3.0, 4.0])[4:] == [1.0, 2.0, 3.0, 4.0, 0.0, 0.0, 0.0, 0.0]


def test_lanes_are_exchanged_and_added():
    columns = [[1.0, 2.0], [10.0, 20.0]]
    assert floats_of("transpose", lambda *xs: transpose(xs), *columns) == [1.0, 10.0, 2.0, 20.0]
    assert floats_of("horizontal_sums", lambda *xs: [horizontal_sums(xs)], *columns) == [3.0, 30.0]
    assert floats_of("one_lane", lambda x, y: [x.insert(y[1], 0)], *columns) == [20.0, 2.0]
    assert floats_of("all_lanes", lambda x: [x.constant(0.5) + x.horizontal_sum()[0]], [4.0]) == [4.5]
    assert floats_of("sum_of_8", lambda x: [x.insert(x.horizontal_sum(), 0)], [0.5 * k for k in range(8)])[0] == 14.0


def test_a_vector_of_one_lane_is_a_double():
    f = Function("f", "double %x")
    assert Vector(f, "%x").type == "double"
    assert [Vector(f, "%x")[0].name, Vector(f, "%x").horizontal_sum().name, *f.lines] == ["%x", "%x"]
