"""The shared functions for sums, each against plain Python: odd sizes, and several blocks."""

import ctypes
import math
import random
import re
from array import array
from fractions import Fraction
from math import nan
from types import SimpleNamespace

import pytest

from micrograd_cn.compiler import gathers, products
from micrograd_cn.compiler.machine import Memory, machine

WORD = 8
SIGNATURE = ctypes.CFUNCTYPE(None, *[ctypes.c_void_p] * 4, *[ctypes.c_int64] * 2)
FORMS = ("dot", "sum")


class Ground:
    """Memory with random numbers, and a table: on it a function runs, and Python says what there should be."""

    def __init__(self, scalars=300, slots=40, blocks=3, totals=600, seed=0):
        on = machine()
        self.width, self.native, self.blocks, self.slots = on.width, on.native, blocks, slots
        self.rng = random.Random(seed)
        self.s, self.w, self.a = Memory(scalars + 16), Memory(blocks * slots * self.width), Memory(totals + 16)
        for memory in (self.s, self.w, self.a):
            for k in range(len(memory.data)):
                memory.data[k] = self.rng.gauss(0.0, 1.0)
        self.stride = WORD * slots * self.width

    def run(self, make, words, form="dot", fast=True):
        """Call a function of products, and keep what there was before."""
        f = make(machine(), form)
        function = SIGNATURE(machine().address(f.name, lambda: f, fast))
        self.table = array("q", [address(word) if callable(word) else word for word in words])
        before = [list(memory.data) for memory in (self.s, self.w, self.a)]
        function(self.table.buffer_info()[0], self.s.address, self.w.address, self.a.address, self.blocks, self.stride)
        self.s_before, self.w_before, self.a_before = before

    def lanes(self, data=None):
        """Return what has a slot in every block and lane: a function of the slot, block and lane."""
        data = self.w.data if data is None else data
        return lambda slot, block, lane: data[(block * self.slots + slot) * self.width + lane]

    def everywhere(self):
        return [(block, lane) for block in range(self.blocks) for lane in range(self.width)]

    def put(self, slot, x):
        """Put a number into all lanes of a slot."""
        for block, lane in self.everywhere():
            self.w.data[(block * self.slots + slot) * self.width + lane] = x

    def at(self, slot):
        """Return the offset of a slot."""
        return WORD * self.width * slot

    def unchanged(self, memory, before, written):
        """Return whether all but some places of a memory are as they were."""
        return all(x == before[k] for k, x in enumerate(memory.data) if k not in written)


def address(maker):
    """Return the address of a function that a table needs."""
    f = maker(machine(), "dot")
    return machine().address(f.name, lambda: f, True)


def of_form(maker, form):
    def make(on, _):
        return maker(on, form)

    return make


def near(found, terms):
    """Return whether a sum is right, but for its roundings."""
    return abs(found - math.fsum(terms)) <= 1e-14 * (1.0 + sum(map(abs, terms)))


# Samples in lanes

FIRSTS = [(0, None), (1, 0.0), (2, -0.0)]  # what a table says, and what sums start from; None for what is there


def matrix_table(ground, sums, depth, step, form="dot", word=0):
    """Return the table of sums of scalars 0, 1, ... by slots of samples, and where they are."""
    rng = random.Random(0)
    samples = [rng.randrange(20) for _ in range(depth)]
    size = products.TILE
    count = -(-sums // size)
    words = [depth, step, count, word, *[ground.at(k) for k in samples]]
    found, done = [], 0
    for number in range(count):
        m = sums // count + (number < sums % count)
        words += [of_form(products.tile(m), form), m]
        for _ in range(m):
            scalar = rng.randrange(40)
            words += [ground.at(20 + done), WORD * scalar]
            found.append((20 + done, scalar))
            done += 1
    return words, samples, found


def started(ground, slots, first):
    """Put nan where sums are written that start from a constant, and return what each starts from."""
    if first is None:
        return lambda *place: ground.lanes(ground.w_before)(*place)
    for slot in slots:
        ground.put(slot, nan)
    return lambda *_: first


@pytest.mark.parametrize(("word", "first"), FIRSTS)
@pytest.mark.parametrize(
    ("form", "sums", "depth", "step"),
    [
        *(("dot", sums, 7, 8) for sums in (1, 5, 6, 7, 8, 9, 17)),
        *(("sum", sums, 40, 16) for sums in (1, 8, 13)),
        ("dot", 3, 1, 8),
        ("dot", 9, products.DEPTH, 0),  # a number in all places
        ("sum", 9, products.DEPTH + 1, 0),
        ("dot", 2, 2 * products.DEPTH + 1, 0),
    ],
)
def test_matrix(form, sums, depth, step, word, first):
    ground = Ground()
    words, samples, found = matrix_table(ground, sums, depth, step, form, word)
    start = started(ground, [slot for slot, _ in found], first)
    ground.run(products.matrix, words, form)
    x, s = ground.lanes(), ground.s.data
    for slot, scalar in found:
        for block, lane in ground.everywhere():
            terms = [s[scalar + k * step // WORD] * x(j, block, lane) for k, j in enumerate(samples)]
            assert near(x(slot, block, lane), [start(slot, block, lane), *terms])
    written = {
        (block * ground.slots + slot) * ground.width + lane for slot, _ in found for block, lane in ground.everywhere()
    }
    assert ground.unchanged(ground.w, ground.w_before, written)


@pytest.mark.parametrize(("word", "first"), FIRSTS)
@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("counts", [[1], [8, 9], [1, 40, 3]])
def test_inner(form, counts, word, first):
    ground = Ground()
    words, sums = [len(counts), word], []
    for k, count in enumerate(counts):
        pairs = [(ground.rng.randrange(20), ground.rng.randrange(20)) for _ in range(count)]
        sums.append((20 + k, pairs))
        words += [ground.at(20 + k), count, *(ground.at(i) for pair in pairs for i in pair)]
    start = started(ground, [slot for slot, _ in sums], first)
    ground.run(products.inner, words, form)
    x = ground.lanes()
    for slot, pairs in sums:
        for block, lane in ground.everywhere():
            terms = [x(a, block, lane) * x(b, block, lane) for a, b in pairs]
            assert near(x(slot, block, lane), [start(slot, block, lane), *terms])


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("depth", [1, 9, products.DEPTH, 2 * products.DEPTH + 1])
@pytest.mark.parametrize(
    ("word", "there", "sign"), [(0, 0.0, 1.0), (0, -0.0, -1.0), (1, nan, 1.0), (1, -0.0, 1.0), (2, nan, -1.0)]
)
def test_a_sum_of_negative_zeros_has_the_sign_of_what_it_starts_from(word, there, sign, depth, form):
    ground = Ground()
    ground.s.data[:] = [1.0] * len(ground.s.data)
    ground.put(30, 1.0)
    for slot in range(20):
        ground.put(slot, -0.0)
    matrix, _, found = matrix_table(ground, 7, depth, 0, form, word)
    inner = [1, word, ground.at(20), depth, *[ground.at(30), ground.at(7)] * depth]
    for make, words, slots in ((products.matrix, matrix, [slot for slot, _ in found]), (products.inner, inner, [20])):
        for slot in slots:
            ground.put(slot, there)
        ground.run(make, words, form)
        x = ground.lanes()
        for place in [(slot, *where) for slot in slots for where in ground.everywhere()]:
            assert (x(*place), math.copysign(1.0, x(*place))) == (0.0, sign)


@pytest.mark.parametrize(("rows", "columns"), [(1, 3), (2, 8), (3, 8), (5, 9), (6, 16), (7, 33), (14, 4)])
@pytest.mark.parametrize("pairs", [1, 2])
@pytest.mark.parametrize("pairs_inside", [False, True])
def test_outer(rows, columns, pairs, pairs_inside):
    ground = Ground(totals=14 * 40)
    size, whole = products.rows_of(machine()), -(-columns // ground.native) * ground.native
    lefts = [[ground.rng.randrange(40) for _ in range(rows)] for _ in range(pairs)]
    rights = [[ground.rng.randrange(40) for _ in range(columns)] for _ in range(pairs)]
    tiles = [products.totals(r, pairs_inside) for r in (min(size, rows), rows % size or size)]
    words = [pairs, rows, whole, WORD * 8, *tiles]
    words += [ground.at(k) for left in lefts for k in left]
    words += [ground.at(k) for right in rights for k in (*right, *right[-1:] * (whole - columns))]
    ground.run(products.outer, words)
    x = ground.lanes()
    for row in range(rows):
        for column in range(columns):
            terms = [
                x(left[row], block, lane) * x(right[column], block, lane)
                for left, right in zip(lefts, rights, strict=True)
                for block, lane in ground.everywhere()
            ]
            place = 8 + row * whole + column
            assert near(ground.a.data[place], [ground.a_before[place], *terms])
    assert ground.unchanged(ground.a, ground.a_before, range(8, 8 + rows * whole))


@pytest.mark.parametrize(("native", "registers", "rows"), [(2, 16, 3), (4, 16, 3), (2, 32, 6), (4, 32, 6), (8, 32, 3)])
def test_a_tile_of_totals_has_a_register_for_each_sum_and_each_factor(native, registers, rows):
    assert products.rows_of(SimpleNamespace(native=native, registers=registers)) == rows
    assert rows * native + rows + 1 <= registers  # the columns' factors are read one by one


def test_a_tile_of_sums_is_as_large_as_sixteen_registers_hold_beside_a_sample_and_a_scalar():
    assert 2 * products.TILE + 2 + 1 <= 16 < 2 * (products.TILE + 1) + 2 + 1


@pytest.mark.parametrize("count", [1, 4, 7, 8, 9, 21])
def test_single_totals(count):
    ground = Ground()
    whole = -(-count // ground.native) * ground.native
    factors = [(ground.rng.randrange(40), ground.rng.randrange(40)) for _ in range(count)]
    padded = [*factors, *factors[-1:] * (whole - count)]
    words = [whole, WORD * 16, *(ground.at(k) for pair in padded for k in pair)]
    ground.run(products.single_totals, words)
    x = ground.lanes()
    for k, (a, b) in enumerate(factors):
        terms = [x(a, block, lane) * x(b, block, lane) for block, lane in ground.everywhere()]
        assert near(ground.a.data[16 + k], [ground.a_before[16 + k], *terms])
    assert ground.unchanged(ground.a, ground.a_before, range(16, 16 + whole))


@pytest.mark.parametrize("count", [1, 2, 9])
def test_fill(count):
    ground = Ground()
    pairs = [(3 * k, 7 + k) for k in range(count)]
    words = [count, *(word for slot, scalar in pairs for word in (ground.at(slot), WORD * scalar))]
    ground.run(products.fill, words)
    x, before = ground.lanes(), ground.lanes(ground.w_before)
    filled = dict(pairs)
    for slot in range(ground.slots):
        for block, lane in ground.everywhere():
            expected = ground.s.data[filled[slot]] if slot in filled else before(slot, block, lane)
            assert x(slot, block, lane) == expected


# Scalars


def scalar_sums_are_right(ground, sums):
    """Compare sums of scalars, each with its place and the places of its factors."""
    s = ground.s_before
    return all(near(ground.s.data[i], [s[i], *(s[a] * s[b] for a, b in pairs)]) for i, pairs in sums)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("depth", [1, 3, 4, 7, 8, 9, 16, 21])
@pytest.mark.parametrize("count", [2, 5, 8, 13])
def test_row_sums(form, depth, count):
    ground = Ground(scalars=500)
    whole = -(-count // ground.native) * ground.native
    results, right, lefts = 0, 40, [70 + ground.rng.randrange(400) for _ in range(count)]
    words = [whole, depth, WORD * right, WORD * results, *(WORD * k for k in [*lefts, *lefts[-1:] * (whole - count)])]
    sums = [(results + k, [(left + j, right + j) for j in range(depth)]) for k, left in enumerate(lefts)]
    ground.run(products.row_sums, words, form)
    assert scalar_sums_are_right(ground, sums)
    assert ground.unchanged(ground.s, ground.s_before, range(results, results + whole))


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("depth", [1, 9])
@pytest.mark.parametrize("count", [2, 9, 16, 33, 70])
def test_column_sums(form, depth, count):
    ground = Ground(scalars=500)
    whole = -(-count // ground.native) * ground.native
    results, lefts = 0, [120 + ground.rng.randrange(250) for _ in range(depth)]
    rights = [90 + ground.rng.randrange(25) for _ in range(depth)]
    words = [1, whole, depth, results, *(WORD * x for pair in zip(lefts, rights, strict=True) for x in pair)]
    sums = [(results + k, [(a + k, b) for a, b in zip(lefts, rights, strict=True)]) for k in range(count)]
    ground.run(products.column_sums, words, form)
    assert scalar_sums_are_right(ground, sums)
    assert ground.unchanged(ground.s, ground.s_before, range(results, results + whole))


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("depths", [[1], [3, 4, 5], [8, 1, 33], [7]])
def test_list_sums(form, depths):
    ground = Ground()
    sums = [
        (3 * k, [(20 + ground.rng.randrange(99), 150 + ground.rng.randrange(99)) for _ in range(depth)])
        for k, depth in enumerate(depths)
    ]
    words = [len(sums)]
    for i, pairs in sums:
        words += [WORD * i, len(pairs), *(WORD * x for pair in pairs for x in pair)]
    ground.run(products.list_sums, words, form)
    assert scalar_sums_are_right(ground, sums)
    assert ground.unchanged(ground.s, ground.s_before, {i for i, _ in sums})


@pytest.mark.parametrize("pairs", [1, 3])
@pytest.mark.parametrize(("rows", "columns"), [(1, 3), (2, 8), (3, 33), (5, 40)])
def test_column_totals(rows, columns, pairs):
    ground = Ground()
    whole = -(-columns // ground.native) * ground.native
    lefts = [[ground.rng.randrange(200) for _ in range(rows)] for _ in range(pairs)]
    firsts = [ground.rng.randrange(200) for _ in range(pairs)]
    words = [rows]
    for row in range(rows):
        words += [whole, pairs, WORD * (8 + row * whole)]
        words += [WORD * k for first, left in zip(firsts, lefts, strict=True) for k in (first, left[row])]
    ground.run(products.column_totals, words)
    s = ground.s.data
    for row in range(rows):
        for column in range(columns):
            place = 8 + row * whole + column
            terms = [s[left[row]] * s[first + column] for left, first in zip(lefts, firsts, strict=True)]
            assert near(ground.a.data[place], [ground.a_before[place], *terms])
    assert ground.unchanged(ground.a, ground.a_before, range(8, 8 + rows * whole))


@pytest.mark.parametrize("counts", [[1], [1, 5, 2]])
def test_list_totals(counts):
    ground = Ground()
    found = [
        (5 * k, [(ground.rng.randrange(99), ground.rng.randrange(99)) for _ in range(n)]) for k, n in enumerate(counts)
    ]
    words = [len(found)]
    for k, pairs in found:
        words += [WORD * k, len(pairs), *(WORD * x for pair in pairs for x in pair)]
    ground.run(products.list_totals, words)
    s = ground.s.data
    for k, pairs in found:
        assert near(ground.a.data[k], [ground.a_before[k], *(s[a] * s[b] for a, b in pairs)])
    assert ground.unchanged(ground.a, ground.a_before, {k for k, _ in found})


@pytest.mark.parametrize("count", [1, 5, 40])
def test_copy(count):
    ground = Ground()
    places = [100 + ground.rng.randrange(100) for _ in range(count)]
    ground.run(products.copy, [count, WORD * 7, *(WORD * k for k in places)])
    assert ground.s.data[7 : 7 + count] == [ground.s.data[k] for k in places]
    assert ground.unchanged(ground.s, ground.s_before, range(7, 7 + count))


# Ways to add up


@pytest.mark.parametrize("form", FORMS)
def test_products_of_a_sum_are_rounded_and_those_of_a_dot_need_not_be(form):
    ground = Ground(blocks=1)
    ground.put(20, -(0.1 * 0.1))
    ground.put(0, 0.1)
    ground.run(products.inner, [1, 0, ground.at(20), 1, ground.at(0), ground.at(0)], form)
    rounding = Fraction(0.1 * 0.1) - Fraction(0.1) ** 2
    assert ground.w.data[20 * ground.width] == (0.0 if form == "sum" or not machine().fused else -float(rounding))


def test_gradients_are_added_up_as_a_dot_is():
    assert [products.way(form) for form in ("sum", "dot", "adjoint")] == ["sum", "dot", "dot"]
    assert [products.name("matrix", form) for form in ("sum", "dot")] == [
        "micrograd_cn.matrix_sum",
        "micrograd_cn.matrix",
    ]


# Memory

SAMPLES = [products.inner, products.fill, products.tile(1), products.tile(3)]
TOTALS = [products.single_totals, products.totals(1), products.totals(3)]
SCALARS = [products.row_sums, products.column_sums, products.list_sums, products.column_totals, products.list_totals]
SCALARS += [products.copy, gathers.mapped("fsub", "vs"), gathers.mapped("fsub", "vg")]


def alignments(text):
    """Return how vectors are aligned, and how single numbers are."""
    found = re.findall(r"(?:load|store) (<\d+ x double>|double),? .*align (\d+)", text)
    return [{int(align) for kind, align in found if (kind == "double") == single} for single in (False, True)]


@pytest.mark.parametrize("form", FORMS)
def test_samples_are_aligned_as_native_vectors_are_and_all_else_as_numbers_are(form):
    native = machine().native
    for makers, expected in ((SAMPLES, {8 * native}), (TOTALS, {8, 8 * native}), (SCALARS, {8})):
        for make in makers:
            vectors, single = alignments(str(make(machine(), form)))
            assert vectors in (expected, set()) if makers is SCALARS else vectors == expected, make
            assert single <= {8}, make
