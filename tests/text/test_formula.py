"""A formula shows what was computed, in the order of the operands, and cannot depend on a number."""

import math
import operator
import random

import pytest

import micrograd_cn as mc
from micrograd_cn.ops.traits import Lowerings
from micrograd_cn.text.formula import EXAMPLES, FormulaError, FormulaSteps, Term, expand, trace

X = Term("x")
BRANCHES = [operator.lt, operator.le, operator.gt, operator.ge, operator.eq, operator.ne]


@pytest.mark.parametrize("compare", BRANCHES)
def test_a_comparison_is_refused(compare):
    for a, b in ((X, 1.0), (1.0, X), (X, Term("y"))):
        with pytest.raises(
            FormulaError, match=r"may not branch on .*, and maximum\(\) and minimum\(\) for max\(\) and min"
        ):
            compare(a, b)


@pytest.mark.parametrize(
    "look_up", [lambda x: {0.0: 1.0, 1.0: 5.0}.get(x, 0.0) + 0.0 * x, lambda x: 2.0 * x if x in {1.0, 2.0} else x]
)
def test_an_operand_that_is_looked_up_is_refused(look_up):
    """A dict finds the operand's number, but it would never find the symbol that stands for the number."""
    with pytest.raises(FormulaError, match=r"'own': a formula may not look an operand's number up .* use where\(\)"):
        expand(mc.Op("own", look_up, (None,)), X)


def test_a_condition_is_refused_by_the_name_of_its_row():
    with pytest.raises(FormulaError, match=r"^the operation 'tanh': a formula may not branch"):
        trace(lambda x: 1.0 if x else 0.0, X, of=mc.tanh)


@pytest.mark.parametrize(
    ("apply", "name"),
    [(operator.add, "add"), (operator.sub, "sub"), (operator.mul, "mul"), (operator.truediv, "div"), (pow, "pow")],
)
def test_operators_keep_the_order_of_their_operands(apply, name):
    assert str(apply(X, 2)) == f"{name}(x, 2.0)"
    assert str(apply(2, X)) == f"{name}(2.0, x)"
    assert str(apply(X, Term("y"))) == f"{name}(x, y)"


@pytest.mark.parametrize(
    ("function", "text"),
    [
        (lambda x, y: x / y, "div(x, y)"),
        (lambda x, y: x % y, "remainder(x, y)"),
        (lambda x, y: x**y, "pow(x, y)"),
        (lambda x, y: 2.0 / x, "div(2.0, x)"),
        (lambda x, y: 2.0 % x, "remainder(2.0, x)"),
        (lambda x, y: 2.0**x, "pow(2.0, x)"),
    ],
)
def test_operators_that_raise_errors_for_some_floats_are_traced_in_a_users_operation(function, text):
    own = mc.Op("own", function, (lambda z, x, y: y, lambda z, x, y: x))
    assert str(trace(function, Term("x"), Term("y"), of=own)) == text


def test_signs_and_sizes():
    assert (str(-X), str(abs(X)), str(+mc.exp(-X))) == ("neg(x)", "abs(x)", "exp(neg(x))")


def test_a_formula_stands_before_a_forward():
    own = mc.Op("own", lambda x: 2.0 * x, (lambda y, x: 2.0,), lowerings=Lowerings(formula=lambda x: x + x))
    assert str(expand(own, X)) == "add(x, x)"
    own.lowerings = Lowerings()
    assert str(expand(own, X)) == "mul(2.0, x)"


def test_what_is_no_number_is_no_operand():
    with pytest.raises(TypeError, match="str 'a'"):
        mc.add(X, "a")


def test_a_formula_is_traced_without_numbers():
    x = Term("x")
    assert str(2.0 * x - (x / 3.0) ** -x) == "sub(mul(2.0, x), pow(div(x, 3.0), neg(x)))"
    assert str(2.0**x + abs(1.0 - x) + 1.0 / x + (1.0 + x)) == (
        "add(add(add(pow(2.0, x), abs(sub(1.0, x))), div(1.0, x)), add(1.0, x))"
    )
    assert str(expand(mc.Op("cube", lambda x: x * x * x, (lambda y, x: 3.0 * x * x,)), x)) == "mul(mul(x, x), x)"


@pytest.mark.parametrize(
    "forward",
    [
        math.sin,
        lambda x: float(x.is_integer()),
        lambda x: x if x > 0.0 else 0.0,
        lambda x: 1.0 if x == 0.0 else x,
        lambda x: x and 1.0,
    ],
)
def test_what_is_no_formula_is_refused_with_the_rows_name(forward):
    with pytest.raises(FormulaError, match="odd_one"):
        expand(mc.Op("odd_one", forward, (lambda y, x: 1.0,)), Term("x"))


@pytest.mark.parametrize("outside", EXAMPLES)
def test_a_formula_is_compared_at_every_number_for_which_the_function_raises_no_error(outside):
    def forward(x):
        if isinstance(x, float):
            if x == outside:
                raise ValueError("outside of the domain")
            return x * x + (x == EXAMPLES[EXAMPLES.index(outside) - 1])
        return x * x

    with pytest.raises(FormulaError, match=r"'odd_one': it gives .* for a symbol"):
        expand(mc.Op("odd_one", forward, (lambda y, x: 2.0 * x,)), Term("x"))


def test_the_formula_of_one_result_has_the_steps_that_this_result_needs():
    """Constants are equal to indices here, as 2.0 is to 2, and must not be taken for them."""
    draw = random.Random(1)
    for _ in range(200):
        inputs, count = draw.randint(1, 3), draw.randint(1, 6)
        numbers = [draw.uniform(-2.0, 2.0) for _ in range(inputs)]

        constants = [float(i) for i in range(inputs + count)]
        operands = [[*range(inputs + k), *draw.sample(constants, 2)] for k in range(count + 1)]
        steps = [(draw.choice([mc.add, mc.mul]), draw.choices(operands[k], k=2)) for k in range(count)]
        formula = FormulaSteps(steps, draw.choices(operands[count], k=3))
        whole = formula.run(numbers, lambda op, xs: op.forward(*xs), float)
        for k, result in enumerate(whole):
            alone = formula.of_result(k, inputs)
            assert alone.run(numbers, lambda op, xs: op.forward(*xs), float) == [result]
            used = {x for _, xs in alone.steps for x in xs if type(x) is int} | {*alone.results}
            assert used >= {*range(inputs, inputs + len(alone.steps))}
