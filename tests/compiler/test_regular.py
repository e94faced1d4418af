"""Loops compute regular programs: stencils as vectors of neighbouring cells, with the same bits, and long sums."""

import random

import pytest

from micrograd_cn import Value, dot, gradients
from micrograd_cn import sum as sum_of
from micrograd_cn.compiler import compile  # noqa: A004 -- the field's name
from micrograd_cn.compiler.instructions.code import SAMPLE
from micrograd_cn.compiler.loops.stages import Map

from .campaign import bits
from .common import assert_like_eager, code_of, lanes, settings
from .graphs import STEPS


def line(steps, periodic=True):
    """Return a function that computes steps of a line of cells, whose border is periodic or fixed."""

    def f(us):
        for step in steps:
            found = [step(us[i - 1], us[i], us[(i + 1) % len(us)]) for i in range(len(us))]
            us = found if periodic else [us[0], *found[1:-1], us[-1]]
        return us

    return f


def grid(us):
    """Return the next values of the cells of a grid with six rows and a periodic border, by diffusion."""
    n = len(us)
    width = n // 6
    around = [us[i - width] + us[(i + width) % n] + us[i - 1] + us[(i + 1) % n] for i in range(n)]
    return [u + 0.1 * (a - 4.0 * u) - 0.02 * u * u for u, a in zip(us, around, strict=True)]


def matrix_product(us):
    """Return the square of a matrix of 6 x 6, written out."""
    return [sum_of([us[6 * i + k] * us[6 * k + j] for k in range(6)]) for i in range(6) for j in range(6)]


def recurrence(us):
    """Return the values of independent logistic maps."""
    for _ in range(3):
        us = [3.7 * u * (1.0 - u) for u in us]
    return us


PROGRAMS = {
    "periodic": line(STEPS[:2]),
    "fixed": line([STEPS[1]] * 2, periodic=False),
    "relu and where": line(STEPS[2:5]),
    "grid": grid,
    "product": matrix_product,
    "recurrence": recurrence,
}


def computed(f, row, kind):
    """Return the bits of the cells and of the gradient of the sum of their squares."""
    xs = [Value(x) for x in row]
    cells = f(xs)
    with code_of(kind):
        program = compile([*cells, *gradients(sum_of([u * u for u in cells]), xs, create_graph=True)], xs)
        return [*map(bits, program.forward([row])[0])]


@pytest.mark.parametrize("f", PROGRAMS.values(), ids=PROGRAMS)
def test_vectors_of_cells_have_the_bits_of_scalars(f):
    rng = random.Random(1)
    row = [rng.gauss(0.0, 1.0) for _ in range(36)]
    expected = computed(f, row, "threaded")
    for kind in ("gathered", "fused native"):
        assert computed(f, row, kind) == expected


def starts_of(where, xs, biases):
    """Return twelve terms of sums: in places of their own, one after the other, or one for all sums."""
    if where == "l":
        return [biases[0], 2.0, xs[1] * xs[2], 0.0, biases[3], biases[1] * biases[2]] * 2
    return biases if where == "v" else biases[:1] * 12


@pytest.mark.parametrize("where", ["l", "v", "s"], ids=["list", "vectors", "splat"])
def test_a_loop_adds_the_products_of_a_sum_to_its_term_wherever_this_is(where):
    rng, number = random.Random(1), lambda: Value(float(rng.randrange(-9, 10)))  # so sums are exact in any order
    xs, biases = [number() for _ in range(260)], [number() for _ in range(12)]
    starts = starts_of(where, xs, biases)
    outputs = [*starts] if where == "v" else []  # so they are the first parameters, one after the other
    for right in (xs, [*biases[:4], *[number() for _ in range(8)]]):  # numbers of a row, or parameters alone
        matrix = [[number() for _ in right] for _ in starts]
        columns = [*zip(*matrix, strict=True)][: len(starts)]
        outputs += [dot(left, right, start) for left, start in zip(matrix, starts, strict=True)]
        outputs += [dot(left, right[:12], start) for left, start in zip(columns, starts, strict=True)]
    outputs += [dot(xs[:40], xs[k : k + 40], start) for k, start in enumerate(starts)]
    for kind in ("threaded", "native"):
        with code_of(kind):
            program = compile(outputs, xs)
            for n in (1, lanes() + 3):
                found = program.forward([[x.data for x in xs]] * n)
                assert found == [[y.data for y in outputs]] * n
            kernels = program.compiled.tiers("forward", rows_in_lanes=False).tables.kernels
            assert {f"row_sums_{where}", f"column_sums_{where}"} <= {name.partition(".")[2] for name in kernels}


def test_a_recurrence_of_few_cells_has_no_maps():
    """To gather the operands of few instructions into vectors would take longer than to compute them one by one."""
    xs = [Value(0.1 * k) for k in range(8)]
    with code_of("gathered"), settings({"loops.plan.MIN_MAPPED_RANK": 8}):
        for count, has_maps in ((3, False), (8, True)):
            program = compile(recurrence(xs[:count]), xs[:count])
            stages = program.compiled.tiers("forward", rows_in_lanes=False).tables.plan.stages[SAMPLE]
            assert any(type(stage) is Map for stage in stages) is has_maps


def test_the_gradient_of_a_matrix_has_its_many_uses_in_a_sample():
    """If there are more uses than blocks of rows, the loop over the uses is inside the loop over the blocks."""
    rng = random.Random(0)
    weights = [[Value(rng.gauss(0.0, 0.5)) for _ in range(4)] for _ in range(4)]

    def f(*hs):
        for _ in range(24):
            hs = [dot(row, hs).tanh() for row in weights]
        return sum_of(hs)

    rows = [[rng.gauss(0.0, 1.0) for _ in range(4)] for _ in range(20)]
    program = assert_like_eager(f, [Value(1.0) for _ in range(4)], [w for row in weights for w in row], rows)
    kernels = {
        name for tiers in program.compiled._tiers.values() for x in tiers.made.values() for name in x.tables.kernels
    }
    assert any(name.endswith("_by_pair") for name in kernels)
