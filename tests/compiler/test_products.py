"""The shared functions for sums, each against plain Python: odd sizes, several blocks, and sums that overflow."""

import ctypes
import math
import random
import re
from array import array
from fractions import Fraction
from math import inf, nan
from types import SimpleNamespace

import pytest

from micrograd_cn.compiler import products
from micrograd_cn.compiler.machine import Memory, machine

SCALE = 2.0**-64
WORD = 8
SIGNATURE = ctypes.CFUNCTYPE(ctypes.c_int64, *[ctypes.c_void_p] * 4, *[ctypes.c_int64] * 2)
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
        """Call a function of products, and return whether a sum overflowed."""
        f = make(machine(), form)
        function = SIGNATURE(machine().address(f.name, lambda: f, fast))
        self.table = array("q", [address(word) if callable(word) else word for word in words])
        before = [list(memory.data) for memory in (self.s, self.w, self.a)]
        flag = function(
            self.table.buffer_info()[0], self.s.address, self.w.address, self.a.address, self.blocks, self.stride
        )
        self.s_before, self.w_before, self.a_before = before
        return flag

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
    assert ground.run(products.matrix, words, form) == 0
    x, s = ground.lanes(), ground.s.data
    for slot, scalar in found:
        for block, lane in ground.everywhere():
            terms = [s[scalar + k * step // WORD] * x(j, block, lane) for k, j in enumerate(samples)]
            assert near(x(slot, block, lane), [start(slot, block, lane), *terms])
    written = {
        (block * ground.slots + slot) * ground.width + lane for slot, _ in found for block, lane in ground.everywhere()
    }
    assert ground.unchanged(ground.w, ground.w_before, written)


@pytest.mark.parametrize("blocks", [1, 2])
@pytest.mark.parametrize("fast", [True, False])
def test_any_lane_of_a_matrix_that_overflows_is_reported(fast, blocks):
    for block in range(blocks):
        for lane in range(machine().width):
            for bad in (1e200, inf, nan):
                ground = Ground(blocks=blocks)
                words, samples, _ = matrix_table(ground, 7, 5, 8)
                ground.w.data[(block * ground.slots + samples[2]) * ground.width + lane] = bad
                assert ground.run(products.matrix, words, fast=fast) == 1


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
    assert ground.run(products.inner, words, form) == 0
    x = ground.lanes()
    for slot, pairs in sums:
        for block, lane in ground.everywhere():
            terms = [x(a, block, lane) * x(b, block, lane) for a, b in pairs]
            assert near(x(slot, block, lane), [start(slot, block, lane), *terms])
    for bad in (0, len(counts) - 1):  # each sum may be the one
        ground.put(sums[bad][1][0][0], 1e200)
        assert ground.run(products.inner, words, form) == 1


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
        assert ground.run(make, words, form) == 0
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
    assert ground.run(products.outer, words) == 0
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
    assert ground.run(products.single_totals, words) == 0
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
    assert ground.run(products.fill, words) == 0
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


def overflows_are_reported(ground, make, words, form, sums, outside):
    """Let one sum overflow after the other; return whether each was reported, and nothing without them."""
    kept = list(ground.s.data)
    found = []
    for i, pairs in sums:
        ground.s.data[:] = kept
        ground.s.data[i] = 1e300
        found.append(ground.run(make, words, form))
        ground.s.data[:] = kept
        ground.s.data[pairs[-1][0]] = inf
        found.append(ground.run(make, words, form))
    ground.s.data[:] = kept
    ground.s.data[outside] = inf
    return set(found) == {1} and ground.run(make, words, form) == 0


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("depth", [1, 3, 4, 7, 8, 9, 16, 21])
@pytest.mark.parametrize("count", [2, 5, 8, 13])
def test_row_sums(form, depth, count):
    ground = Ground(scalars=500)
    whole = -(-count // ground.native) * ground.native
    results, right, lefts = 0, 40, [70 + ground.rng.randrange(400) for _ in range(count)]
    words = [whole, depth, WORD * right, WORD * results, *(WORD * k for k in [*lefts, *lefts[-1:] * (whole - count)])]
    sums = [(results + k, [(left + j, right + j) for j in range(depth)]) for k, left in enumerate(lefts)]
    assert ground.run(products.row_sums, words, form) == 0
    assert scalar_sums_are_right(ground, sums)
    assert ground.unchanged(ground.s, ground.s_before, range(results, results + whole))
    if depth == 9:
        assert overflows_are_reported(ground, products.row_sums, words, form, sums, outside=68)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("depth", [1, 9])
@pytest.mark.parametrize("count", [2, 9, 16, 33, 70])
def test_column_sums(form, depth, count):
    ground = Ground(scalars=500)
    whole = -(-count // ground.native) * ground.native
    results, lefts = 0, [120 + ground.rng.randrange(250) for _ in range(depth)]
    rights = [90 + ground.rng.randrange(25) for _ in range(depth)]
    words = [whole, depth, results, *(WORD * x for pair in zip(lefts, rights, strict=True) for x in pair)]
    sums = [(results + k, [(a + k, b) for a, b in zip(lefts, rights, strict=True)]) for k in range(count)]
    assert ground.run(products.column_sums, words, form) == 0
    assert scalar_sums_are_right(ground, sums)
    assert ground.unchanged(ground.s, ground.s_before, range(results, results + whole))
    if depth == 9:
        assert overflows_are_reported(ground, products.column_sums, words, form, sums, outside=117)


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
    assert ground.run(products.list_sums, words, form) == 0
    assert scalar_sums_are_right(ground, sums)
    assert ground.unchanged(ground.s, ground.s_before, {i for i, _ in sums})
    assert overflows_are_reported(ground, products.list_sums, words, form, sums, outside=19)


@pytest.mark.parametrize("pairs", [1, 3])
@pytest.mark.parametrize(("rows", "columns"), [(1, 3), (2, 8), (3, 33), (5, 40)])
def test_outer_scalars(rows, columns, pairs):
    ground = Ground()
    whole = -(-columns // ground.native) * ground.native
    lefts = [[ground.rng.randrange(200) for _ in range(rows)] for _ in range(pairs)]
    firsts = [ground.rng.randrange(200) for _ in range(pairs)]
    words = [pairs, rows, whole, WORD * 8, *(WORD * k for left in lefts for k in left), *(WORD * k for k in firsts)]
    assert ground.run(products.outer_scalars, words) == 0
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
    assert ground.run(products.list_totals, words) == 0
    s = ground.s.data
    for k, pairs in found:
        assert near(ground.a.data[k], [ground.a_before[k], *(s[a] * s[b] for a, b in pairs)])
    assert ground.unchanged(ground.a, ground.a_before, {k for k, _ in found})


RUNS = {
    ("fsub", (True, True)): lambda a, b: a - b,
    ("fsub", (False, True)): lambda a, b: a - b,
    ("fdiv", (True, False)): lambda a, b: a / b,
    ("fneg", (True,)): lambda a: -a,
    ("fcmp olt", (True, True)): lambda a, b: float(a < b),
    ("select", (True, True, False)): lambda a, b, c: b if a else c,
    ("llvm.fabs", (True,)): abs,
    ("sin", (True,)): math.sin,
    ("hypot", (True, False)): math.hypot,
}


@pytest.mark.parametrize(("form", "steps"), RUNS, ids=str)
@pytest.mark.parametrize("vectors", [1, 3])
def test_run(form, steps, vectors):
    ground = Ground()
    firsts = [100 + 40 * k for k in range(len(steps))]
    words = [vectors, WORD * 8, *(WORD * first for first in firsts)]
    assert ground.run(products.run(form, steps), words) == 0
    count = vectors * ground.native
    for k in range(count):
        operands = [ground.s.data[first + k * step] for first, step in zip(firsts, steps, strict=True)]
        assert ground.s.data[8 + k] == pytest.approx(RUNS[form, steps](*operands), rel=1e-15)
    assert ground.unchanged(ground.s, ground.s_before, range(8, 8 + count))


@pytest.mark.parametrize("count", [1, 5, 40])
def test_copy(count):
    ground = Ground()
    places = [100 + ground.rng.randrange(100) for _ in range(count)]
    assert ground.run(products.copy, [count, WORD * 7, *(WORD * k for k in places)]) == 0
    assert ground.s.data[7 : 7 + count] == [ground.s.data[k] for k in places]
    assert ground.unchanged(ground.s, ground.s_before, range(7, 7 + count))


# Sums that overflowed


def rescue_table(ground, count, at, even):
    """Return a table of sums, for each its place and its terms as pairs of places, and what must be kept with it."""
    words, found = [count], []
    samples = array("q", [at(k) for k in (3, 4, 5)])
    for k in range(count):
        twins, mixed, alike = [(30 + k, 1)] * (k % 2), [(50 + k, 1), (51, 2)], [(5, 6)]
        words += [at(20 + k), len(twins), len(mixed), len(alike), even, WORD * 40, WORD * 2, samples.buffer_info()[0]]
        words += [word for a, b in (*twins, *mixed) for word in (WORD * a, at(b))]
        words += [word for a, b in alike for word in (at(a), at(b))]
        mixed += [(40 + 2 * j, 3 + j) for j in range(even)]
        found.append((20 + k, twins, mixed, alike))
    return words, found, samples


def rescued_terms(s, sample, twins, mixed, alike):
    """Return the terms of a sum that is made again, in units of 1."""
    terms = [s[a] * sample(b) / SCALE for a, b in twins]
    return [*terms, *(s[a] * sample(b) for a, b in mixed), *(sample(a) * sample(b) for a, b in alike)]


@pytest.mark.parametrize("even", [0, 3])
@pytest.mark.parametrize("count", [1, 3])
def test_rescue(count, even):
    ground = Ground()
    s = ground.s.data
    for k in range(30, 40):
        s[k] *= SCALE
    words, found, _kept = rescue_table(ground, count, ground.at, even)

    def overflowed(k, block, lane):
        return (block + lane + k) % 3 == 0

    for k in range(count):
        for block, lane in ground.everywhere():
            if overflowed(k, block, lane):
                place = (block * ground.slots + 20 + k) * ground.width + lane
                ground.w.data[place] = (inf, -inf, nan, 1e200)[lane % 4]
    assert ground.run(products.rescue, words) == 0
    x, before = ground.lanes(), ground.lanes(ground.w_before)
    for k, (slot, *terms) in enumerate(found):
        for block, lane in ground.everywhere():
            if overflowed(k, block, lane):
                expected = rescued_terms(s, lambda b: x(b, block, lane), *terms)  # noqa: B023 -- called here
                assert near(x(slot, block, lane), expected)
            else:
                assert x(slot, block, lane) == before(slot, block, lane)


@pytest.mark.parametrize("bad", [[inf, 0.5, nan, 1e160], [1.0, -inf, 2.0, 1e150]])
def test_rescue_of_scalars(bad):
    ground = Ground()
    s = ground.s.data
    for k in range(30, 40):
        s[k] *= SCALE
    s[20:24] = bad
    words, found, _kept = rescue_table(ground, 4, lambda k: WORD * k, 3)
    assert ground.run(products.rescue_scalars, words) == 0
    for (place, *terms), old in zip(found, bad, strict=True):
        expected = rescued_terms(s, s.__getitem__, *terms)
        assert s[place] == old if abs(old) < 1e154 else near(s[place], expected)


def test_what_is_made_again_does_not_overflow_on_the_way():
    ground = Ground()
    ground.s.data[50:54] = [1e308, -1e308, 1e308, 1e308]
    ground.s.data[20] = inf
    ground.s.data[0:4] = [1.0] * 4
    pairs = [(50, 0), (52, 1), (51, 2)]
    words = [1, WORD * 20, 0, 3, 0, 0, 0, 0, 0, *(WORD * k for pair in pairs for k in pair)]
    ground.run(products.rescue_scalars, words)
    assert ground.s.data[20] == pytest.approx(1e308, rel=1e-15)


# Ways to add up


@pytest.mark.parametrize("form", FORMS)
def test_products_of_a_sum_are_rounded_and_those_of_a_dot_need_not_be(form):
    ground = Ground(blocks=1)
    ground.put(20, -(0.1 * 0.1))
    ground.put(0, 0.1)
    assert ground.run(products.inner, [1, 0, ground.at(20), 1, ground.at(0), ground.at(0)], form) == 0
    rounding = Fraction(0.1 * 0.1) - Fraction(0.1) ** 2
    assert ground.w.data[20 * ground.width] == (0.0 if form == "sum" or not machine().fused else -float(rounding))


def test_gradients_are_added_up_as_a_dot_is():
    assert [products.way(form) for form in ("sum", "dot", "adjoint", "scaled")] == ["sum", "dot", "dot", "scaled"]
    names = [products.name("matrix", form) for form in ("sum", "dot", "scaled")]
    assert names == ["micrograd_cn.matrix_sum", "micrograd_cn.matrix", "micrograd_cn.matrix_scaled"]


# Memory

SAMPLES = [products.inner, products.fill, products.rescue, products.tile(1), products.tile(3)]
TOTALS = [products.single_totals, products.totals(1), products.totals(3)]
SCALARS = [products.row_sums, products.column_sums, products.list_sums, products.outer_scalars, products.list_totals]
SCALARS += [products.copy, products.rescue_scalars, products.run("fsub", (True, False))]


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
