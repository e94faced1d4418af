"""Which instructions of single rows are computed as vectors, and where their results lie."""

import math
import random
from itertools import chain, pairwise

import pytest

import micrograd_cn as mc
from micrograd_cn import Value
from micrograd_cn.compiler import compile  # noqa: A004 -- the field's name
from micrograd_cn.compiler.instructions import SAMPLE, START
from micrograd_cn.compiler.machine import machine
from micrograd_cn.compiler.maps import FAR, VECTORS, _chains, _Placed
from micrograd_cn.compiler.schedule import ALONE, Map, Stretch, Sums

from .common import Instructions

FREE = 64
NATIVE = machine().native


def stages(plan, kind):
    return [stage for stage in plan.stages[SAMPLE] if isinstance(stage, kind)]


def gathered(plan):
    """Return the maps of which some operand lies anywhere, and those of sums."""
    return [stage for stage in stages(plan, Map) if not stage.pattern or "g" in stage.pattern]


def neighbours(plan):
    """Return the maps whose operands lie side by side, or are the same."""
    return [stage for stage in stages(plan, Map) if stage.pattern and "g" not in stage.pattern]


def beside(plan, numbers):
    """Return whether values lie side by side, in order."""
    first = plan.scalar[numbers[0]]
    return [plan.scalar[i] for i in numbers] == [*range(first, first + len(numbers))]


def test_operands_from_anywhere_are_gathered_by_form():
    made = Instructions(0, 30)
    code, x = made.code, made.x
    differences = [code.machine("fsub", x[(7 * k) % 30], x[(11 * k) % 30]) for k in range(1, 9)]
    quotients = [code.machine("fdiv", x[k], x[29 - 2 * k]) for k in range(3)]
    alone = code.machine("fadd", x[0], x[5])
    roots = [*differences, *quotients, alone]
    plan = made.plan(*roots, lanes=False, scalars=FREE, gather=True)
    found = {stage.form: stage.numbers for stage in gathered(plan)}
    assert {form: sorted(numbers) for form, numbers in found.items()} == {"fsub": differences, "fdiv": quotients}
    assert all(beside(plan, numbers) for numbers in found.values())
    assert [i for stretch in stages(plan, Stretch) for i in stretch.numbers] == [alone]
    assert not gathered(made.plan(*roots, lanes=False, scalars=FREE))
    assert not gathered(made.plan(*roots, lanes=True, scalars=FREE, gather=True))  # vectors already


@pytest.mark.parametrize("count", [VECTORS * NATIVE - 1, VECTORS * NATIVE])
def test_neighbours_are_a_map_of_their_own_from_some_vectors_on(count):
    made = Instructions(0, 50)
    roots = [made.code.apply(mc.exp, [i]) for i in [*made.x[:count], *made.x[40:50:3]]]
    plan = made.plan(*roots, lanes=False, scalars=FREE, gather=True)
    if count < VECTORS * NATIVE:
        [everything] = gathered(plan)
        assert (everything.numbers, neighbours(plan)) == (roots, [])
    else:
        [run], [others] = neighbours(plan), gathered(plan)
        assert (run.numbers, others.numbers) == (roots[:count], roots[count:])


def test_short_sums_are_gathered_by_how_many_products_and_terms_they_have():
    made = Instructions(0, 30)
    code, x = made.code, made.x
    twos = [code.dot([(x[k], x[k + 3]), (x[9 - k], x[k + 2])], [], "adjoint") for k in range(4)]
    mixed = [code.dot([(x[k], x[k + 4])], [x[20 - k]], "adjoint") for k in range(3)]
    others = [code.dot([(x[k], x[k + 5])], [x[19 - k]], "dot") for k in range(2)]
    plan = made.plan(*twos, *mixed, *others, lanes=False, scalars=FREE, gather=True)
    assert sorted(stage.numbers for stage in gathered(plan)) == [twos, mixed]
    assert {i for stretch in stages(plan, Stretch) for i in stretch.numbers} == {*others}


def test_neighbours_with_others_between_them_are_maps_too():
    made = Instructions(0, 40)
    code, x = made.code, made.x
    count = VECTORS * NATIVE + 1
    squares, products, turned = [], [], []
    for k in range(count):
        squares.append(code.machine("fmul", x[k], x[k]))
        products.append(code.machine("fmul", x[k], x[39]))
        turned.append(code.machine("fmul", x[k], x[38 - k]))
    plan = made.plan(*squares, *products, *turned, lanes=False, scalars=FREE, gather=True)
    assert sorted((run.numbers, run.pattern) for run in neighbours(plan)) == [
        (squares, "vv"),
        (products, "vs"),
    ]
    [others] = gathered(plan)
    assert sorted(others.numbers) == turned
    assert all(beside(plan, stage.numbers) for stage in (*neighbours(plan), others))


def starting(count, starts):
    """Return the plan of some long sums, which start as `starts` says, and their numbers."""
    made = Instructions(2 * ALONE, ALONE + 20)
    code, w, x = made.code, made.w, made.x
    sums = [
        code.dot([(w[(k + j) % len(w)], x[j]) for j in range(ALONE)], starts(code, x, k), "adjoint")
        for k in range(count)
    ]
    return made.plan(*sums, lanes=False, scalars=200), sums


@pytest.mark.parametrize("count", [NATIVE - 1, NATIVE, 2 * NATIVE + 1])
def test_what_long_sums_start_from_is_copied_in_whole_vectors(count):
    whole = count // NATIVE * NATIVE
    for starts, pattern in (
        (lambda code, x, k: [], "s"),
        (lambda code, x, k: [x[ALONE + 2]], "s"),
        (lambda code, x, k: [x[ALONE + k]], "v"),
    ):
        plan, sums = starting(count, starts)
        [group] = stages(plan, Sums)
        assert group.numbers == sums
        runs = neighbours(plan)
        assert [(run.form, run.numbers) for run in runs] == ([(START, sums[:whole])] if whole else [])
        assert all(run.pattern == pattern or len(run.numbers) == 1 for run in runs)
        assert [i for stretch in stages(plan, Stretch) for i in stretch.numbers] == sums[whole:]
        assert plan.stages[SAMPLE].index(group) == len(plan.stages[SAMPLE]) - 1  # it reads what they start from


@pytest.mark.parametrize("count", [7, 8])
def test_single_rows_of_many_like_instructions_have_their_numbers(count, monkeypatch):
    monkeypatch.setattr("micrograd_cn.compiler.executable.PATIENCE", 0.0)
    monkeypatch.setattr("micrograd_cn.compiler.executable.LEAST", 0)
    xs = [mc.Value(0.1 * k) for k in range(count)]
    program = compile([mc.exp(x) * 0.5 for x in xs], xs)
    assert program.executables.plan("forward", lanes=False).schedule.alike() == count
    assert program.forward([[0.2 * k for k in range(count)]])[0] == pytest.approx(
        [0.5 * math.exp(0.2 * k) for k in range(count)], rel=1e-15
    )
    executable = program.executables.best("forward", 1)
    assert executable.native
    assert program.executables.best("forward", 9).native


def test_levels_of_other_forms_are_not_alike():
    made = Instructions(0, 6)
    roots = [made.code.apply(op, [x]) for op, x in zip((mc.exp, mc.sin, mc.cos), made.x, strict=False)]
    last = made.code.machine("fadd", made.code.machine("fmul", *roots[:2]), roots[2])
    schedule = made.schedule(last, lanes=False)
    assert schedule.alike() == 1.0
    assert made.schedule(last, lanes=True).alike() == 0.0


def test_inputs_that_like_instructions_read_at_even_distances_are_copied_side_by_side(code):
    xs = [mc.Value(0.1 * k) for k in range(60)]
    count = 20
    rows = [[0.01 * k * k - 0.3 * row for k in range(60)] for row in range(2)]

    def f(x):
        return mc.sum([mc.sin(x[3 * k + 1]) * x[3 * k] - mc.exp(x[3 * k]) for k in range(count)])

    program = compile(f(xs), xs)
    plan = program.executables.plan("forward", lanes=False)
    moved = [i for i in plan.schedule.needed if plan.code.instructions[i][0] == "input"]
    if code == "gathered":
        for start in (0, 1):
            assert beside(plan, [i for i in moved if plan.code.instructions[i][1] % 3 == start])
        forms = {stage.form: stage.pattern for stage in neighbours(plan)}
        assert forms == {"sin": "v", "exp": "v", "fmul": "vv", "fsub": "vv"}
        assert not gathered(plan)
    for _ in range(2):
        assert program.forward(rows) == pytest.approx([f(row) for row in rows], rel=1e-12)


def test_long_sums_that_start_from_constants_of_their_own_have_their_own():
    xs = [Value(0.1 * k) for k in range(12)]
    rows = [[Value(0.01 * (j + 1) * (k - 3)) for k in range(12)] for j in range(20)]
    outputs = [mc.sum([*(w * x for w, x in zip(row, xs, strict=True)), j + 1.5]) for j, row in enumerate(rows)]
    found = compile(outputs, xs).forward([[x.data for x in xs]])[0]
    assert found == pytest.approx([y.data for y in outputs], rel=1e-13)


@pytest.mark.parametrize("operands", [1, 2, 3])
@pytest.mark.parametrize("seed", range(30))
def test_chains_have_every_instruction_once_at_even_distances_and_are_long_enough_or_alone(seed, operands):
    rng = random.Random(seed)
    found = {tuple(rng.choice([-FAR, 0, 4]) + rng.randrange(5) for _ in range(operands)) for _ in range(60)}
    for start in range(0, 40, 20):
        found |= {tuple(100 + start + 2 * k + m * k for m in range(operands)) for k in range(8)}
    placed = [_Placed((), k, place) for k, place in enumerate(sorted(found))]
    for least in (3, 5):
        chains = list(_chains(placed, least))
        assert sorted(chain(*chains)) == placed
        for links in chains:
            assert len(links) == 1 or len(links) >= least
            steps = {tuple(b - a for a, b in zip(x.places, y.places, strict=True)) for x, y in pairwise(links)}
            assert len(steps) <= 1
        assert max(map(len, chains)) >= 8
