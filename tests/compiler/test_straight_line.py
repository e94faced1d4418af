"""Straight-line code has each comparison once, and makes a number of it only where a number is read."""

import pytest

from micrograd_cn.compiler.c.text import Text, VariableWriter
from micrograd_cn.compiler.instructions.code import SAMPLE, Code
from micrograd_cn.compiler.instructions.straight_line import StraightLineWriter
from micrograd_cn.compiler.llvm.lanes import StraightLineLanes
from micrograd_cn.compiler.llvm.operands import literal
from micrograd_cn.compiler.llvm.text import Function

LINES = [
    "const double v3 = x < y ? x : y;",
    "const double v4 = x < y ? y : x;",
    "const double v2 = x < y ? 1.0 : 0.0;",
    "const double v5 = v2 + x;",
    "const double v6 = v2 / y;",
    "const double v7 = x != 0.0 ? v3 : v5;",
    "const double v8 = x != 0.0 ? v4 : v6;",
]


def instructions():
    """Return the code of a comparison of two inputs, which two choices and two numbers read, and two other choices."""
    code = Code()
    x, y = [code.append(("input", k), SAMPLE) for k in range(2)]
    less = code.add(("fcmp olt", x, y))
    chosen = [code.add(("select", less, *pair)) for pair in ((x, y), (y, x))]
    numbers = [code.add((opcode, less, z)) for opcode, z in (("fadd", x), ("fdiv", y))]
    for a, b in zip(chosen, numbers, strict=True):
        code.add(("select", x, a, b))
    return code


def test_c_converts_a_comparison_where_a_number_is_needed():
    """Choices read the comparison itself; the variable of its number is defined once, just before its first use."""
    writer = VariableWriter(Text("f", "double", {}), instructions(), {0: "x", 1: "y"})
    writer.write_all(range(9))
    assert writer.take_lines() == LINES


@pytest.mark.parametrize("count", [1, 4])
def test_llvm_writes_each_comparison_once(count):
    """The comparison, its number, and the comparison of the input with 0 occur once each, for scalars and vectors."""
    f = Function("f", "")
    writer = StraightLineWriter(StraightLineLanes(f, count), instructions())
    writer.names.update({0: "%x", 1: "%y"})
    writer.write_all(range(9))
    assert sum("fcmp olt" in line for line in f.lines) == sum("fcmp une" in line for line in f.lines) == 1
    assert sum(literal(1.0) in line for line in f.lines) == 1
    assert len(f.lines) == len(LINES) + 2
