"""The shared functions for like instructions whose operands lie anywhere, each against plain Python."""

import functools
import math
import operator
from array import array
from itertools import product

import pytest

from micrograd_cn.compiler import gathers
from micrograd_cn.compiler.machine import machine

from .test_products import FORMS, WORD, Ground, near

PYTHON = {"fsub": operator.sub, "fdiv": operator.truediv, "llvm.fabs": abs}


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
    [*product(("fsub", "fdiv"), map("".join, product("svg", repeat=2))), *product(["llvm.fabs"], "svg")],
)
def test_instructions(form, pattern, count):
    ground = Ground()
    operands = [chosen(ground, letter, count) for letter in pattern]
    tables = [array("q", padded(ground, places)) for places in operands]
    vectors = -(-count // ground.native)
    words = [vectors, WORD * 3]
    for letter, places, table in zip(pattern, operands, tables, strict=True):
        words.append(table.buffer_info()[0] if letter == "g" else WORD * places[0])
    assert ground.run(gathers.run(form, pattern), words) == 0
    before = ground.s_before
    for k, places in enumerate(zip(*operands, strict=True)):
        assert ground.s.data[3 + k] == PYTHON[form](*[before[i] for i in places])
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


@pytest.mark.parametrize("check", [False, True])
@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize(("count", "depth"), [(1, 1), (3, 4), (4, 2), (9, 5), (21, 17)])
def test_sums(form, count, depth, check):
    ground = Ground()
    sums = [[tuple(60 + ground.rng.randrange(200) for _ in "ab") for _ in range(depth)] for _ in range(count)]
    assert ground.run(gathers.sums(check), table_of_sums(ground, sums), form) == 0
    before = ground.s_before
    for k, pairs in enumerate(sums):
        terms = [before[a] * before[b] for a, b in pairs]
        assert near(ground.s.data[3 + k], terms)
        if form == "sum" or not machine().fused:
            assert ground.s.data[3 + k] == functools.reduce(operator.add, terms)  # one after the other
    whole = -(-count // ground.native) * ground.native
    assert ground.unchanged(ground.s, before, range(3, 3 + whole))


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("lane", [0, 2, 5])
def test_a_checked_sum_does_not_overflow_on_the_way_and_others_stay_what_they_are(form, lane):
    ground = Ground()
    sums = [[(100 + 2 * k, 101 + 2 * k), (70, 71), (72, 71)] for k in range(6)]
    for place, x in ((70, 1e308), (71, 1.0), (72, 1e308)):
        ground.s.data[place] = 0.0 if place != 71 else x
    sums[lane] = [(80, 71), (81, 71), (82, 71)]
    for place, x in ((80, 1e308), (81, 1.5e308), (82, -1.75e308)):
        ground.s.data[place] = x
    words = table_of_sums(ground, sums)
    ground.run(gathers.sums(True), words, form)
    assert ground.s.data[3 + lane] == pytest.approx(0.75e308, rel=1e-15)
    found = list(ground.s.data[3:9])
    ground.run(gathers.sums(False), words, form)
    assert ground.s.data[3 + lane] == math.inf
    assert [x for k, x in enumerate(ground.s.data[3:9]) if k != lane] == [x for k, x in enumerate(found) if k != lane]


@pytest.mark.parametrize("twins", [1, 2])
def test_twins_stand_for_the_first_terms_where_a_sum_overflows(twins):
    ground = Ground()
    one, parts, units = 50, [70, 71][:twins], [72, 73][:twins]
    ground.s.data[one] = 1.0
    for place, unit in zip(parts, units, strict=True):
        ground.s.data[place], ground.s.data[unit] = math.inf, 1.5e308 * 2.0**-63  # twice 1.5e308, which is too large
    for k in range(6):
        ground.s.data[80 + k] = -1.5e308 * (2 * twins - 1) if twins == 1 else -1.5e308
    ground.s.data[90] = -1.5e308
    sums = [[*((one, part) for part in parts), (one, 80 + k), (one, 90), (one, 90)][: 3 + twins] for k in range(6)]
    words, native = table_of_sums(ground, sums), ground.native
    rows = [words[3 + 2 * k * native : 3 + 2 * (k + 1) * native] for k in range(2 * (3 + twins))]
    table = words[:3]
    for vector in range(words[0]):
        for row in rows[vector * (3 + twins) : (vector + 1) * (3 + twins)]:
            table += row
        for unit in units:
            table += [WORD * unit] * native
    assert ground.run(gathers.sums(True, twins), table, "dot") == 0
    expected = (twins * 2 - 3) * 1.5e308
    assert list(ground.s.data[3:9]) == [pytest.approx(expected, rel=1e-15)] * 6


@pytest.mark.parametrize("check", [False, True])
@pytest.mark.parametrize(("pattern", "twins"), [("sv", 0), ("vvvs", 0), ("svvvsvs", 1), ("svsvvvgv", 2), ("vggv", 0)])
def test_short_sums(pattern, twins, check):
    ground, count = Ground(), 11
    operands = [chosen(ground, letter, count) for letter in pattern]
    tables = [array("q", padded(ground, places)) for places in operands]
    words = [-(-count // ground.native), WORD * 3]
    for letter, places, table in zip(pattern, operands, tables, strict=True):
        words.append(table.buffer_info()[0] if letter == "g" else WORD * places[0])
    for form in FORMS:
        assert ground.run(gathers.short_sums(pattern, check, twins), words, form) == 0
        for k, places in enumerate(zip(*operands, strict=True)):
            xs = [ground.s_before[i] for i in places[: len(pattern) - twins]]
            assert near(ground.s.data[3 + k], [a * b for a, b in zip(xs[::2], xs[1::2], strict=True)])
        assert ground.unchanged(ground.s, ground.s_before, range(3, 3 + words[0] * ground.native))


def test_a_short_sum_that_overflows_has_its_twins_for_its_first_terms():
    ground, count = Ground(), 6
    for k in range(count):  # parts that have overflowed, and what they are in units of 1 / SCALE
        ground.s.data[70 + k], ground.s.data[80 + k] = math.inf, 1.5e308 * 2.0**-63
        ground.s.data[90 + k] = -1.5e308
    ground.s.data[50] = 1.0
    words = [-(-count // ground.native), WORD * 3, *(WORD * k for k in (50, 70, 50, 90, 80))]
    ground.run(gathers.short_sums("svsvv", True, 1), words)
    assert list(ground.s.data[3 : 3 + count]) == [pytest.approx(1.5e308, rel=1e-15)] * count
