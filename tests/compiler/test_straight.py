"""Instructions as straight-line code: what is written for each, and what is written once."""

import pytest

import micrograd_cn as mc
from micrograd_cn.compiler.lanes import Lanes
from micrograd_cn.compiler.straight import Straight, compute
from micrograd_cn.compiler.text import Function, literal

from .common import Instructions

ONE, ZERO, NOTHING = literal(1.0), literal(0.0), literal(-0.0)


def written(made, *numbers, made_before=None):
    """Return the lines of some instructions, of which the leaves have names, and what wrote them."""
    f = Function("f", "")
    straight = Straight(Lanes(f, 1, fused=True), made.code, made_before)
    straight.known.update({i: f"%w{k}" for k, i in enumerate(made.w)} | {i: f"%x{k}" for k, i in enumerate(made.x)})
    for i in numbers:
        straight.write(i)
    return [line.strip() for line in f.lines], straight


def test_a_comparison_that_chooses_is_no_number():
    made = Instructions(0, 3)
    code, x = made.code, made.x
    less = code.machine("fcmp olt", x[0], x[1])
    chosen = code.machine("select", less, x[0], x[2])
    lines, straight = written(made, less, chosen)
    assert lines == ["%v0 = fcmp olt double %x0, %x1", "%v1 = select i1 %v0, double %x0, double %x2"]
    assert straight.value(less) == straight.value(less) == "%v2"  # written where it is asked for, once
    assert straight.f.lines[2:] == [f"  %v2 = select i1 %v0, double {ONE}, double {ZERO}"]


def test_what_is_no_comparison_chooses_where_it_is_not_zero():
    made = Instructions(0, 3)
    lines, _ = written(made, made.code.machine("select", *made.x))
    assert lines == [f"%v0 = fcmp une double %x0, {ZERO}", "%v1 = select i1 %v0, double %x1, double %x2"]


def test_a_comparison_may_be_a_factor():
    made = Instructions(0, 2)
    code, (x, y) = made.code, made.x
    less = code.machine("fcmp olt", x, y)
    lines, _ = written(made, less, code.machine("fmul", less, x), code.machine("vote", less, x, y))
    assert lines[1:] == [
        f"%v1 = select i1 %v0, double {ONE}, double {ZERO}",
        "%v2 = fmul double %x0, %v1",
        "%v3 = call double @vote(double %v1, double %x0, double %x1)",
    ]


def test_formulas_share_what_they_have_in_common():
    made = Instructions(0, 1)
    code, [x] = made.code, made.x
    sine = code.machine("sin", x)
    numbers = [code.apply(op, [x]) for op in (mc.softplus, mc.sigmoid, mc.relu)]
    alone = [written(made, i)[0] for i in (sine, *numbers)]
    lines, straight = written(made, sine, *numbers)
    assert len(lines) < sum(map(len, alone))
    assert len({line.partition(" = ")[2] for line in lines}) == len(lines)
    lines, _ = written(made, sine, *numbers, made_before=straight.made)
    assert lines == []  # all of it is there already


def test_what_a_formula_gives_is_what_its_instructions_give():
    made = Instructions(0, 2)
    number = made.code.apply(mc.hypot, made.x)
    lines, straight = written(made, number)
    f = Function("f", "")
    found = compute(Lanes(f, 1, fused=True), made.code.instructions[number][0], ["%x0", "%x1"])
    assert ([line.strip() for line in f.lines], found) == (lines, straight.value(number))


def test_sums_are_added_up_from_their_terms():
    made = Instructions(2, 2)
    (a, b), (x, y) = made.w, made.x
    number = made.code.add(("adjoint", ((a, x),), (y, b)))
    lines, straight = written(made, number)
    assert lines == [
        "%v0 = fadd double %x1, %w1",
        "%v1 = call double @llvm.fma.f64(double %w0, double %x0, double %v0)",
    ]
    assert straight.value(number) == "%v1"
    lines, _ = written(made, made.code.add(("adjoint", ((a, x), (b, y)), ())))
    assert lines == [
        "%v0 = fmul double %w0, %x0",
        "%v1 = call double @llvm.fma.f64(double %w1, double %x1, double %v0)",
    ]
    assert straight.sum(number, [], []) == NOTHING


def test_a_value_that_is_nowhere_is_a_mistake():
    made = Instructions(0, 1)
    straight = Straight(Lanes(Function("f", ""), 1, fused=True), made.code)
    assert straight.value(made.code.constant(2.5)) == literal(2.5)
    with pytest.raises(KeyError):
        straight.value(made.x[0])
