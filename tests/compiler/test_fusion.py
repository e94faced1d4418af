"""Instructions that a single other one needs become part of it, and nothing else does."""

from collections import Counter
from itertools import pairwise

import pytest

import micrograd_cn as mc
from micrograd_cn import Value
from micrograd_cn.compiler import compile, fusion, schedule  # noqa: A004 -- the field's name
from micrograd_cn.compiler.formulas import Operations
from micrograd_cn.compiler.fusion import HEAVIEST, MOST_READ, fused
from micrograd_cn.compiler.instructions import BATCH, FORMULAS, SAMPLE, TAKE, below
from micrograd_cn.compiler.schedule import Schedule, Stretch

from .common import plan_of


@pytest.fixture(autouse=True)
def few(monkeypatch):
    """Let a single instruction be enough, but where a test says otherwise."""
    monkeypatch.setattr(fusion, "COMMON", 1)


class Ground:
    """Instructions with inputs, and what they are without those that nothing needs after they have been fused."""

    def __init__(self, inputs=4, phase=SAMPLE):
        self.code = Operations()
        self.xs = [self.code.leaf(("input", k), phase) for k in range(inputs)]

    def fused(self, *roots, sums=True):
        needed = below(self.code, roots)
        code = fused(self.code, needed, set(roots), sums)
        return code, [i for i in below(code, roots) if code.operands[i]]


def forms(code, numbers):
    return [code.instructions[i][0] for i in numbers]


def inside(form):
    """Return the forms that a formula consists of."""
    return [instruction[0] for instruction in FORMULAS[form][0].instructions if instruction[0] != "input"]


def test_what_one_other_needs_is_part_of_it():
    ground = Ground()
    x, y, z, _ = ground.xs
    product = ground.code.add(("fmul", x, y))
    root = ground.code.add(("fsub", product, z))
    code, left = ground.fused(root)
    assert left == [root]
    form, *operands = code.instructions[root]
    assert operands == [x, y, z]
    assert inside(form) == ["fmul", "fsub"]
    assert FORMULAS[form][0].instructions[-1] == ("fsub", 3, 2)
    assert ground.code.instructions[root] == ("fsub", product, z)  # those that were given stay as they are


def test_what_two_others_need_or_one_twice_or_the_caller_stays():
    ground = Ground()
    x, y, *_ = ground.xs
    product = ground.code.add(("fmul", x, y))
    one, other = ground.code.add(("exp", product)), ground.code.add(("fneg", product))
    assert ground.fused(one, other)[1] == [product, one, other]
    square = ground.code.add(("fmul", product, product))
    assert ground.fused(square)[1] == [product, square]
    code, left = ground.fused(product, one)
    assert left == [product, one]
    assert code.instructions[one] == ("exp", product)
    assert ground.fused(one)[1] == [one]


def test_parts_have_parts_and_are_no_formulas_of_their_own():
    ground = Ground()
    x, y, *_ = ground.xs
    add = ground.code.add
    inner = add(("fneg", add(("fmul", x, y))))
    root = add(("exp", inner))
    code, left = ground.fused(root)
    assert left == [root]
    assert inside(code.instructions[root][0]) == ["fmul", "fneg", "exp"]
    assert code.instructions[inner] == ground.code.instructions[inner]


def test_an_operand_that_several_parts_read_is_read_once():
    ground = Ground()
    x, y, *_ = ground.xs
    root = ground.code.add(("fadd", ground.code.add(("fmul", x, y)), ground.code.add(("fsub", y, x))))
    code, left = ground.fused(root)
    assert left == [root]
    assert code.operands[root] == (x, y)
    assert code.instructions[root][1:] == (x, y)


def test_like_trees_have_one_form_and_others_have_others():
    ground = Ground()
    w, x, y, z = ground.xs
    add = ground.code.add
    roots = [
        add(("fadd", add(("fmul", w, x)), y)),
        add(("fadd", add(("fmul", x, y)), z)),
        add(("fadd", z, add(("fmul", w, y)))),
        add(("fadd", add(("fmul", w, w)), y)),
        add(("fadd", add(("fdiv", w, x)), y)),
    ]
    code, left = ground.fused(*roots)
    assert left == roots
    one, two, *others = forms(code, roots)
    assert one == two
    assert len({one, *others}) == 4


def test_what_is_rare_stays_as_it_is(monkeypatch):
    monkeypatch.setattr(fusion, "COMMON", 3)
    ground = Ground(inputs=8)
    add, xs = ground.code.add, ground.xs
    common = [add(("exp", add(("fmul", xs[k], xs[k + 1])))) for k in range(3)]
    rare = [add(("fneg", add(("fdiv", xs[k], xs[k + 1])))) for k in range(2)]
    code, left = ground.fused(*common, *rare)
    assert forms(code, rare) == ["fneg", "fneg"]
    assert len(left) == 3 + 4
    assert {form in FORMULAS for form in forms(code, common)} == {True}


def test_parts_have_no_more_operands_and_are_no_longer_than_a_function_may_be():
    ground = Ground(inputs=MOST_READ + 2)
    total = ground.xs[0]
    for x in ground.xs[1:]:
        total = ground.code.add(("fadd", total, x))
    code, left = ground.fused(total)
    assert [len(code.operands[i]) for i in left] == [MOST_READ, 3]
    ground = Ground()
    y = ground.xs[0]
    for _ in range(HEAVIEST + 1):
        y = ground.code.add(("fneg", y))
    code, left = ground.fused(y)
    assert sorted(len(inside(form)) if form in FORMULAS else 1 for form in forms(code, left)) == [1, HEAVIEST]


def test_loads_and_scalars_of_the_batch_stay_as_they_are():
    ground = Ground()
    w, x, y, z = ground.xs
    taken = ground.code.add((TAKE, w, x, y, z))
    root = ground.code.add(("fneg", taken))
    assert ground.fused(root)[1] == [taken, root]
    product = ground.code.add(("fmul", x, y))
    taken = ground.code.add((TAKE, product, x, y, z))
    assert ground.fused(taken)[1] == [product, taken]
    ground = Ground(phase=BATCH)
    product = ground.code.add(("fmul", *ground.xs[:2]))
    root = ground.code.add(("fneg", product))
    assert ground.fused(root)[1] == [product, root]


def test_a_short_sum_is_a_formula_and_a_long_one_is_none():
    ground = Ground(inputs=MOST_READ + 2)
    xs, add = ground.xs, ground.code.add
    short = add(("adjoint", ((xs[0], xs[1]), (xs[2], xs[3])), (xs[4],)))
    code, left = ground.fused(short)
    assert left == [short]
    assert FORMULAS[code.instructions[short][0]][0].instructions[-1] == ("adjoint", ((0, 1), (2, 3)), (4,))
    terms = add(("adjoint", (), tuple(xs[:5])))
    code, _ = ground.fused(short, terms)
    assert FORMULAS[code.instructions[terms][0]][0].instructions[-1] == ("adjoint", (), (0, 1, 2, 3, 4))
    product = add(("fmul", xs[0], xs[1]))
    instruction = ("dot", ((product, xs[2]),) * (MOST_READ // 2 + 1), ())
    long = add(instruction)
    code, left = ground.fused(long)
    assert left == [product, long]
    assert code.instructions[long] == instruction


def test_sums_that_are_gathered_stay_as_they_are():
    ground = Ground()
    w, x, y, z = ground.xs
    total = ground.code.add(("adjoint", ((w, x), (ground.code.add(("fneg", y)), z)), ()))
    root = ground.code.add(("exp", total))
    assert ground.fused(root)[1] == [root]
    code, left = ground.fused(root, sums=False)
    assert len(left) == 3
    assert code.instructions == ground.code.instructions


def test_a_formula_is_written_out_with_its_constants():
    ground = Ground()
    x, y, *_ = ground.xs
    gelu = ground.code.apply(mc.gelu, [ground.code.add(("fmul", x, y))])
    code, left = ground.fused(gelu)
    assert left == [gelu]
    form = code.instructions[gelu][0]
    before = ground.code.instructions[gelu][0]
    assert inside(form) == ["fmul", *inside(before)] or sorted(inside(form)) == sorted(["fmul", *inside(before)])
    constants = {i[1] for i in FORMULAS[before][0].instructions if i[0] == "constant"}
    assert constants
    assert constants == {i[1] for i in FORMULAS[form][0].instructions if i[0] == "constant"}


@pytest.mark.parametrize("lanes", [True, False])
def test_large_programs_are_fused_and_small_ones_not(monkeypatch, lanes):
    x, w = Value(0.5), Value(1.5)
    program = compile(mc.exp(mc.sin(w * x) * x), [x])
    code = program.executables.lowering.code
    roots = program.executables.lowering.outputs
    small = Schedule(code, roots, [], lanes)
    assert not small.large
    assert small.code is code
    monkeypatch.setattr(schedule, "LARGEST", small.size)
    assert not Schedule(code, roots, [], lanes).large
    monkeypatch.setattr(schedule, "LARGEST", small.size - 1)
    large = Schedule(code, roots, [], lanes)
    assert large.large
    assert [len(s.done) for s in (small, large)] == [4, 1]
    assert large.size == small.size


def test_like_steps_of_a_large_program_come_one_after_the_other(monkeypatch):
    xs = [Value(k / 8) for k in range(8)]
    y = mc.sum([mc.exp(f(x) * f(x)) for k, x in enumerate(xs) for f in [mc.sin if k % 2 else mc.cos]])
    monkeypatch.setattr(schedule, "LARGEST", 0)
    plan = plan_of(compile(y, xs), kind="forward")
    [stretch] = [stage for stage in plan.stages[SAMPLE] if isinstance(stage, Stretch)]
    found = [plan.code.instructions[i][0] for i in stretch.numbers]
    assert Counter(found)["sin"] == Counter(found)["cos"] == 4
    changes = sum(a != b for a, b in pairwise(found))
    assert changes == len(set(found)) - 1
