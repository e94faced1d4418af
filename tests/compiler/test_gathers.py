"""The shared functions for like instructions whose operands lie anywhere, each against plain Python."""

import functools
import math
import operator
from array import array
from itertools import product

import pytest

from micrograd_cn.compiler import gathers
from micrograd_cn.compiler.instructions import START
from micrograd_cn.compiler.machine import machine

from .test_products import FORMS, WORD, Ground, near

PYTHON = {
    **{"fsub": operator.sub, "fdiv": operator.truediv, "fneg": operator.neg, "llvm.fabs": abs, START: lambda x: x},
    **{"fcmp olt": lambda a, b: float(a < b), "select": lambda a, b, c: b if a else c},
    **{"sin": math.sin, "hypot": math.hypot},
}


def padded(ground, places):
    """Return the bytes to some places, the last one again until vectors are whole."""
    return [WORD * k for k in [*places, *places[-1:] * (-len(places) % ground.native)]]


def chosen(ground, letter, count):
    """Return places of operands as a letter of a pattern says."""
    first = 60 + ground.rng.randrange(100)
    return {
        "s": [first] * count,
        "v": [first + k for k in range(count)],
        "g": [60 + ground.rng.randrange(200) for _ in range(count)],
    }[letter]


@pytest.mark.parametrize("count", [1, 3, 4, 9, 16])
@pytest.mark.parametrize(
    ("form", "pattern"),
    [
        *product(("fsub", "fdiv"), map("".join, product("svg", repeat=2))),
        *product(["llvm.fabs", START], "svg"),
        *(("fneg", "v"), ("fcmp olt", "vv"), ("select", "vvs"), ("select", "gsv"), ("sin", "v"), ("hypot", "vs")),
    ],
)
def test_instructions(form, pattern, count):
    ground = Ground()
    operands = [chosen(ground, letter, count) for letter in pattern]
    tables = [array("q", padded(ground, places)) for places in operands]
    vectors = -(-count // ground.native)
    words = [vectors, WORD * 3]
    for letter, places, table in zip(pattern, operands, tables, strict=True):
        words.append(table.buffer_info()[0] if letter == "g" else WORD * places[0])
    ground.run(gathers.mapped(form, pattern), words)
    before = ground.s_before
    for k, places in enumerate(zip(*operands, strict=True)):
        assert ground.s.data[3 + k] == pytest.approx(PYTHON[form](*[before[i] for i in places]), rel=1e-15)
    assert ground.unchanged(ground.s, before, range(3, 3 + vectors * ground.native))


def table_of_sums(ground, sums):
    columns = [
        padded(ground, places) for places in zip(*[[i for pair in pairs for i in pair] for pairs in sums], strict=True)
    ]
    words = [len(columns[0]) // ground.native, WORD * 3, len(sums[0])]
    for first in range(0, len(columns[0]), ground.native):
        for column in columns:
            words += column[first : first + ground.native]
    return words


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize(("count", "depth"), [(1, 1), (3, 4), (4, 2), (9, 5), (21, 17)])
def test_sums(form, count, depth):
    ground = Ground()
    sums = [[tuple(60 + ground.rng.randrange(200) for _ in "ab") for _ in range(depth)] for _ in range(count)]
    ground.run(gathers.sums, table_of_sums(ground, sums), form)
    before = ground.s_before
    for k, pairs in enumerate(sums):
        terms = [before[a] * before[b] for a, b in pairs]
        assert near(ground.s.data[3 + k], terms)
        if form == "sum" or not machine().fused:
            assert ground.s.data[3 + k] == functools.reduce(operator.add, terms)  # one after the other
    whole = -(-count // ground.native) * ground.native
    assert ground.unchanged(ground.s, before, range(3, 3 + whole))


@pytest.mark.parametrize("pattern", ["sv", "vvvs", "svvvsv", "svsvvvgv", "vggv"])
def test_short_sums(pattern):
    ground, count = Ground(), 11
    operands = [chosen(ground, letter, count) for letter in pattern]
    tables = [array("q", padded(ground, places)) for places in operands]
    words = [-(-count // ground.native), WORD * 3]
    for letter, places, table in zip(pattern, operands, tables, strict=True):
        words.append(table.buffer_info()[0] if letter == "g" else WORD * places[0])
    for form in FORMS:
        ground.run(gathers.mapped(form, pattern), words)
        for k, places in enumerate(zip(*operands, strict=True)):
            xs = [ground.s_before[i] for i in places]
            assert near(ground.s.data[3 + k], [a * b for a, b in zip(xs[::2], xs[1::2], strict=True)])
        assert ground.unchanged(ground.s, ground.s_before, range(3, 3 + words[0] * ground.native))
