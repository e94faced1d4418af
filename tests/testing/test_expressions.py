"""Expressions: how steps choose their operands, which steps are left out, and the code that is printed."""

import itertools
import math
from math import inf

import pytest
from hypothesis import find

import micrograd_cn as mc
from micrograd_cn import Op, Value
from micrograd_cn.ops.traits import POSITIVE, REAL, Smoothness
from micrograd_cn.testing import Expression, expressions
from micrograd_cn.testing.drawing.expressions import (
    OPERAND_CHOICES,
    build_steps,
    call_name,
    is_public,
    step_strategy,
    with_small_numbers,
    without_dead_steps,
)
from micrograd_cn.testing.drawing.smooth_steps import nudged_input

from .drawing import drawn_from
from .rows import grouped

HIDDEN = Op("hidden", lambda x: math.nan, (lambda y, x: 1.0,))  # no step of it is smooth


def own(name, **fields):
    return Op(name, lambda x: x * x, (lambda y, x: 2.0 * x,), **grouped(**fields))


def expression_of(recipes, max_inputs=3):
    return without_dead_steps(build_steps(recipes, max_inputs))


# How operands are chosen.


@pytest.mark.parametrize("choice", range(OPERAND_CHOICES))
def test_the_first_operand_of_the_first_step_is_a_new_input(choice):
    f = expression_of([(mc.tanh, ((choice, 0.5),))])
    assert (f.point, f.steps) == ((0.5,), ((mc.tanh, (0,)),))


@pytest.mark.parametrize("choice", range(OPERAND_CHOICES))
def test_a_later_operand_is_a_constant_a_result_or_a_new_input(choice):
    f = expression_of([(mc.mul, ((0, 0.5), (choice, 2.0)))])
    if choice < 2:
        assert (f.point, f.steps) == ((0.5,), ((mc.mul, (0, 2.0)),))
    elif choice < 9:
        assert (f.point, f.steps) == ((0.5,), ((mc.mul, (0, 0)),))
    else:
        assert (f.point, f.steps) == ((0.5, 2.0), ((mc.mul, (0, 1)),))


CHAIN = [(op, ((0, 0.5),)) for op in (mc.tanh, mc.sin, mc.exp, mc.atan, mc.neg, mc.cos, mc.sigmoid)]


@pytest.mark.parametrize("choice", range(OPERAND_CHOICES))
def test_the_latest_result_is_chosen_often_and_others_by_turns(choice):
    f = expression_of([*CHAIN, (mc.add, ((0, 0.5), (choice, 2.0)))], max_inputs=1)
    assert f.point == (0.5,)
    assert [op for op, _ in f.steps] == [*[op for op, _ in CHAIN], mc.add]
    first, second = f.steps[-1][1]
    assert first == 7, "the latest"
    back = {6: 1, 7: 2, 8: 3, 9: 4, 10: 5, 11: 6}.get(choice, 0)
    assert second == (2.0 if choice < 2 else 7 - back)


def test_those_before_the_first_are_counted_from_the_latest_again():
    for choice, chosen in ((8, 0), (9, 1), (10, 0)):
        f = expression_of([(mc.tanh, ((0, 0.5),)), (mc.mul, ((0, 0.5), (choice, 2.0)))], max_inputs=1)
        [*_, (_, (first, second))] = f.steps
        assert first == 1
        assert second == chosen


def test_a_step_whose_operands_find_nothing_is_left_out():
    assert build_steps([(mc.log, ((0, None),))], 3) == []
    assert build_steps([(mc.mul, ((0, 0.5), (0, None)))], 3) == []
    assert build_steps([(HIDDEN, ((0, 0.5),))], 3) == []
    f = expression_of([(mc.exp, ((0, 2.0),)), (mc.asin, ((0, None),)), (mc.neg, ((0, 0.5),))])
    assert [op for op, _ in f.steps] == [mc.exp, mc.neg]
    alone = expression_of([(mc.exp, ((0, -3.0),)), (HIDDEN, ((11, 0.5),)), (mc.sin, ((11, 0.7),))])
    assert alone.point == (0.7,), "the input of a step that is left out is none"


def test_a_result_outside_the_domain_of_an_operand_is_not_chosen():
    f = expression_of([(mc.neg, ((0, 2.0),)), (mc.log, ((0, 0.7),))])
    assert (f.point, f.steps) == ((2.0,), ((mc.log, (0,)),)), "2.0 is in its domain, -2.0 is not"
    f = expression_of([(mc.neg, ((0, -2.0),)), (mc.log, ((0, 0.7),))])
    assert [op for op, _ in f.steps] == [mc.neg, mc.log]
    f = expression_of([(mc.tanh, ((0, -2.0),)), (mc.log, ((0, 0.7),))])
    assert (f.point, f.steps) == ((0.7,), ((mc.log, (0,)),))


@pytest.mark.parametrize("most", [1, 2, 3])
def test_there_are_at_most_so_many_inputs(most):
    f = expression_of([(mc.sum, tuple([(11, 0.5 + i) for i in range(4)]))], most)
    assert f.point == tuple([0.5 + i for i in range(most)])
    chained = [(op, ((11, 0.5),)) for op, _ in CHAIN[:3]]
    assert sum(not node.step for node in build_steps(chained, most)) == most


def test_an_input_is_nudged_for_the_kinks_of_the_operation_that_it_is_for():
    [x, _] = build_steps([(mc.relu, ((0, 0.1),))], 3)
    assert x.nudged == pytest.approx([0.095, 0.105])
    [x, _] = build_steps([(mc.tanh, ((0, 0.1),))], 3)
    assert x.nudged == pytest.approx([0.05, 0.15])
    [x, _] = build_steps([(mc.log, ((0, 0.1),))], 3)
    assert x.nudged == pytest.approx([0.075, 0.125])
    [x, y, _] = build_steps([(mc.mul, ((0, 0.5), (11, 2.0)))], 3)
    assert (x.input_mask, y.input_mask) == (1, 2)
    nodes = build_steps([(mc.tanh, ((0, 0.5),)), (mc.mul, ((11, 0.6), (11, 0.7)))], 3)
    assert [node.input_mask for node in nodes] == [1, 1, 2, 4, 6]
    nodes = build_steps([(mc.tanh, ((0, 0.5),)), (mc.mul, ((11, 0.6), (11, 0.7)))], 2)
    assert sum(not node.step for node in nodes) == 2, "no more than are allowed"


def test_the_domain_of_each_operand_is_its_own():
    row = Op("own", lambda a, b: mc.log(a) * b, (None, None), smoothness=Smoothness(domain=(POSITIVE, REAL)))
    f = expression_of([(mc.neg, ((0, 2.0),)), (row, ((0, 3.0), (2, 3.0)))])
    assert f.steps == ((mc.neg, (0,)), (row, (0, 1)))
    many = Op(
        "own", lambda *xs: mc.sum([mc.log(x) for x in xs]), lambda y, *xs: (), smoothness=Smoothness(domain=(POSITIVE,))
    )
    assert expression_of([(mc.neg, ((0, 2.0),)), (many, ((0, 3.0), (2, 3.0)))]).steps == ((many, (0, 0)),)


def test_what_the_last_step_does_not_need_is_pruned():
    x, y, z = [nudged_input(float(i), i, REAL, False) for i in range(3)]

    def step(op, *operands):
        node = nudged_input(7.0, 0, REAL, False)
        node.step = (op, list(operands))
        return node

    a = step(mc.tanh, y)
    unused = step(mc.exp, x)
    b = step(mc.mul, a, z)
    last = step(mc.sum, b, 4.0, a, b)
    f = without_dead_steps([x, y, a, unused, z, b, last])
    assert f.point == (1.0, 2.0)
    assert f.steps == ((mc.tanh, (0,)), (mc.mul, (2, 1)), (mc.sum, (3, 4.0, 2, 3)))
    assert without_dead_steps([x, y]) == Expression((1.0,), ())


# What is drawn.


def test_tame_numbers_are_small_ones_of_the_domain_and_between_the_bounds():
    choices = ((5, 1e30), (0, -1e30), (11, 1e-30), (2, None), (3, 9.0))
    assert with_small_numbers(mc.sum, choices, -inf, inf) == (
        mc.sum,
        ((5, 2.0), (0, 1.0), (11, 3.0), (2, None), (3, 1.0)),
    )
    assert [x for _, x in with_small_numbers(mc.sum, choices, 1.5, 2.5)[1]] == [2.0, 1.5, 2.5, None, 1.5]
    assert [x for _, x in with_small_numbers(mc.sum, choices, -9.0, -7.0)[1]] == [-7.0, -7.0, -7.0, None, -7.0]
    assert [x for _, x in with_small_numbers(mc.asin, choices[:1], -inf, inf)[1]] == [0.95]
    row = Op("own", lambda a, b: a, (None, None), smoothness=Smoothness(domain=((10.0, inf), (-1.0, 0.5))))
    assert [x for _, x in with_small_numbers(row, choices[:2], -inf, inf)[1]] == [10.05, 0.45]


def test_a_recipe_has_a_choice_and_a_number_of_its_domain_for_each_operand():
    row = Op("own", lambda a, b: a, (None, None), smoothness=Smoothness(domain=(POSITIVE, (-1.0, 1.0))))
    found = drawn_from(step_strategy(row, (-1e3, 0.5)), 90)
    assert {op for op, _ in found} == {row}
    assert {len(operands) for _, operands in found} == {2}
    assert {choice for _, operands in found for choice, _ in operands} == {*range(12)}
    assert all(0.0 < a <= 0.5 and -1.0 < b <= 0.5 for _, ((_, a), (_, b)) in found)
    found = drawn_from(step_strategy(row, (-1e3, -0.5)), 12)
    assert all(a is None and -1.0 < b <= -0.5 for _, ((_, a), (_, b)) in found)


def test_a_row_that_chooses_has_the_number_of_an_operand_there():
    chosen = {(len(operands), operands[0]) for _, operands in drawn_from(step_strategy(mc.take, (-1.0, 1.0)), 200)}
    assert chosen == {(n, (0, float(i))) for n in {n for n, _ in chosen} for i in range(n - 1)}


def test_a_recipe_of_a_row_of_any_number_of_operands_has_up_to_eight():
    counts = {len(operands) for _, operands in drawn_from(step_strategy(mc.sum, (-1.0, 1.0)), 120)}
    assert counts == {1, 2, 3, 4, 5, 8}


def test_where_nothing_that_is_drawn_suits_the_expression_is_a_number():
    for low, high, x in ((-inf, inf, 0.0), (2.0, 5.0, 2.0), (-5.0, -3.0, -3.0)):
        assert {*drawn_from(expressions([HIDDEN], min_value=low, max_value=high), 6)} == {Expression((x,), ())}


def test_a_step_that_the_numbers_drawn_do_not_suit_is_tried_with_tame_ones():
    narrow = Op("narrow", lambda x: x if 1.5 < x < 2.5 else math.nan, (lambda y, x: 1.0,))
    for f in drawn_from(expressions([narrow], max_steps=1, min_value=-1e3, max_value=2.0), 30):
        assert f.point[0] == 2.0 or 1.5 < f.point[0] < 2.5
        assert len(f.steps) == 1


def test_at_most_three_inputs_and_eight_steps_are_drawn_unless_it_is_said_otherwise(monkeypatch):
    asked = []

    def nodes(steps, most):
        asked.append((len(steps), most))
        assert len({*steps}) == len(steps), "no step is drawn twice"
        return [nudged_input(0.5, 0, REAL, False)]

    monkeypatch.setitem(expressions.__globals__, "build_steps", nodes)
    drawn_from(expressions([mc.tanh]), 150)
    assert {most for _, most in asked} == {3}
    assert max(steps for steps, _ in asked) == 8
    assert min(steps for steps, _ in asked) == 1
    asked.clear()
    drawn_from(expressions([mc.tanh], max_inputs=1, max_steps=1), 6)
    assert {*asked} == {(1, 1)}


def test_ones_own_operation_is_drawn_as_often_as_four_of_the_table(monkeypatch):
    made, make = [], expressions.__globals__["step_strategy"]
    monkeypatch.setitem(expressions.__globals__, "step_strategy", lambda op, at: made.append(op) or make(op, at))
    bump, tanh = own("bump"), own("tanh")
    find(expressions([mc.sin, bump, tanh]), lambda f: f.steps)
    assert made == [mc.sin, *[bump] * 4, *[tanh] * 4], "it is the row that is of the table, not its name"


@pytest.mark.parametrize(
    ("ops", "low", "high"),
    [([mc.log], -inf, 0.0), ([mc.asin], 1.0, inf), ([mc.asin], -inf, -1.0), ([mc.log, mc.asin], -9.0, -1.0)],
)
def test_bounds_at_the_end_of_a_domain_are_outside(ops, low, high):
    with pytest.raises(ValueError, match=r"expressions: no number from .* is in the domain of (log|asin)"):
        expressions(ops, min_value=low, max_value=high)
    assert expressions([*ops, mc.tanh], min_value=low, max_value=high) is not None


# The expression.


def test_an_expression_computes_with_numbers_and_records_with_values():
    f = Expression((0.5, 2.0), ((mc.tanh, (0,)), (mc.mul, (2, 1)), (mc.sum, (3, 4.0, 3))))
    t = math.tanh(0.5)
    assert f.nodes(0.5, 2) == [0.5, 2, t, 2.0 * t, 4.0 + 4.0 * t]
    assert f(0.5, 2.0) == 4.0 + 4.0 * t
    x = Value(0.5)
    root = f(x, 2.0)
    assert isinstance(root, Value)
    root.backward()
    assert x.grad == pytest.approx(4.0 * (1.0 - t * t))
    assert Expression((3.0,), ())(3.0) == 3.0
    for inputs in ((), (1.0,), (1.0, 2.0, 3.0)):
        with pytest.raises(TypeError, match=f"the expression takes 2 inputs, got {len(inputs)}"):
            f(*inputs)


def printed(point, *steps):
    return repr(Expression(point, steps)).splitlines()


def test_printed_code_has_operators_and_calls_and_negative_constants_in_brackets():
    assert printed((0.5, -1.0), (mc.mul, (0, -2.0)), (mc.add, (-0.0, 2)), (mc.maximum, (3, 1)), (mc.exp, (4,))) == [
        "from micrograd_cn import exp, maximum",
        "",
        "def f(x0, x1):",
        "    v2 = x0 * (-2.0)",
        "    v3 = (-0.0) + v2",
        "    v4 = maximum(v3, x1)",
        "    return exp(v4)",
        "",
        "f(0.5, -1.0)",
    ]
    assert printed((0.5,), (mc.mul, (0, 2.0))) == ["def f(x0):", "    return x0 * 2.0", "", "f(0.5)"]
    assert printed((0.5,)) == ["def f(x0):", "    return x0", "", "f(0.5)"]
    assert printed((0.5, 1.0)) == ["def f(x0, x1):", "    return x1", "", "f(0.5, 1.0)"]


def test_printed_code_says_which_operations_are_ones_own():
    bump, tanh = own("bump"), own("tanh")
    lines = printed((0.5,), (bump, (0,)), (tanh, (1,)), (mc.tanh, (2,)), (mc.sin, (3,)), (bump, (4,)))
    assert lines[:4] == [
        "# bump is an operation of your own",
        "# own_tanh is an operation of your own",
        "from micrograd_cn import sin, tanh",
        "",
    ]
    assert lines[5:9] == ["    v1 = bump(x0)", "    v2 = own_tanh(v1)", "    v3 = tanh(v2)", "    v4 = sin(v3)"]


def test_printed_code_takes_no_name_of_an_operation():
    lines = printed((0.5, 1.0), (own("f"), (0,)), (own("x0"), (2,)), (own("v2"), (3,)), (own("f_"), (4,)))
    assert lines[4:] == [
        "def f__(x0_, x1):",
        "    v2_ = f(x0_)",
        "    v3 = x0(v2_)",
        "    v4 = v2(v3)",
        "    return f_(v4)",
        "",
        "f__(0.5, 1.0)",
    ]


def test_the_name_that_an_operation_is_called_by():
    assert (is_public(mc.tanh), call_name(mc.tanh)) == (True, "tanh")
    assert (is_public(own("tanh")), call_name(own("tanh"))) == (False, "own_tanh")
    assert (is_public(own("bump")), call_name(own("bump"))) == (False, "bump")


def test_an_expression_is_printed_pretty_as_its_code():
    class Printer:
        def text(self, text):
            self.shown = text

    printer = Printer()
    f = Expression((0.5,), ())
    f._repr_pretty_(printer, False)
    assert printer.shown == repr(f)


def test_expressions_of_no_operation_inputs_or_steps_are_refused():
    for refused in itertools.chain([{"ops": []}], [{name: 0} for name in ("max_inputs", "max_steps")]):
        with pytest.raises(
            ValueError, match=r"^expressions: (ops has no operations|max_\w+ must be an int of at least 1, got 0)"
        ):
            expressions(**refused)
    assert expressions([mc.tanh], max_inputs=1, max_steps=1) is not None
