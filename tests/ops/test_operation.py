"""A row is called with numbers or `Value`s, with defaults, and with any number of operands; a user's row, too."""

import math
from decimal import Decimal
from fractions import Fraction

import numpy as np
import pytest

import micrograd_cn as mc
from micrograd_cn import OPS, Op, Value, define, gradients
from micrograd_cn.ops.traits import Smoothness

from .test_table import every_row


def cube():
    return Op("cube", lambda x: x * x * x, (lambda y, x: 3.0 * x * x,), doc="x cubed.")


def test_a_users_operation_is_a_full_row(table):
    op = define(cube())
    assert table["cube"] is op
    for row in OPS.values():
        assert row.__doc__ == row.doc + f"\n\nBy convention: {row.smoothness.convention}." * bool(
            row.smoothness.convention
        )
    assert (op.__doc__, op.notation.symbol, repr(op), op.unary) == ("x cubed.", "cube", "<operation cube>", True)
    assert (op(2), op.text("x")) == (8.0, "cube(x)")
    x = Value(2.0)
    y = op(x)
    y.backward()
    assert (y.data, x.grad, y.op) == (8.0, 12.0, op)
    [first] = gradients(y, [x], create_graph=True)
    [second] = gradients(first, [x], create_graph=True)
    assert (first.data, second.data, gradients(second, [x])) == (12.0, 12.0, [6.0])


def test_a_users_operation_may_have_defaults():
    partials = (lambda y, x, k: k, lambda y, x, k: x)
    scaled = Op("scaled", lambda x, k: x * k, partials, signature=lambda x, factor=2.0: (x, factor))
    x, k = Value(3.0), Value(5.0)
    assert (scaled(3), scaled(3, factor=4), scaled.text("x", "k"), scaled.unary) == (6.0, 12.0, "scaled(x, k)", True)
    three = ((lambda y, a, b, c: 1.0),) * 3
    for signature, unary in ((lambda a, b=1.0, c=2.0: (a, b, c), True), (lambda a, b, c=2.0: (a, b, c), False)):
        assert Op("three", lambda a, b, c: a + b + c, three, signature=signature).unary is unary
    assert gradients(scaled(x), [x]) == [2.0]
    first = gradients(scaled(x, k), [x, k], create_graph=True)
    assert ([g.data for g in first], gradients(first[0], [k])) == ([5.0, 3.0], [1.0])


def test_a_users_operation_may_have_any_number_of_operands():
    squares = Op("squares", lambda *xs: math.fsum(x * x for x in xs), lambda y, *xs: tuple([2.0 * x for x in xs]))
    xs = [Value(x) for x in (1.0, 2.0, 3.0)]
    y = squares(*xs)
    y.backward()
    assert (squares(1, 2), y.data, [x.grad for x in xs]) == (5.0, 14.0, [2.0, 4.0, 6.0])
    [first] = gradients(y, [xs[2]], create_graph=True)
    assert (first.data, gradients(first, [xs[2]]), squares.text("a", "b")) == (6.0, [2.0], "squares(a, b)")


def test_a_users_operation_may_have_hundreds_of_operands():
    wide = Op(
        "wide",
        lambda *xs: math.fsum(xs),
        (lambda y, *xs: 1.0,) * 300,
        smoothness=Smoothness(domain=((-1.0, 1.0),) * 300),
    )
    node = wide(*[Value(0.5) for _ in range(300)])
    assert (wide(*[0.5] * 300), node.data, node.partials) == (150.0, 150.0, (1.0,) * 300)


def interior_call(op, wrap):
    """Return the result of a call at a point inside the domain."""
    operands = [wrap(x) for x in (0.25, 0.5, 0.75)[: op.arity]]
    if op.name == "dot":
        return op(operands, operands)
    if op.lowerings.is_gather:
        return op(operands, 1)
    return op(*operands) if op.arity else op(operands)


@every_row
def test_numbers_give_a_float_and_values_a_value(op):
    number = interior_call(op, float)
    assert type(number) is float
    for exact in (interior_call(op, Fraction), interior_call(op, Decimal), interior_call(op, np.float32)):
        assert (type(exact), exact) == (float, number)
    node = interior_call(op, Value)
    assert (type(node), node.data, node.op) == (Value, number, op)


def test_a_value_beside_numbers_gives_a_value():
    x = Value(2.0)
    for node in (mc.add(1, x), mc.add(x, 1), mc.sum([1, x]), mc.sum([1], x), mc.dot([1], [3], x), mc.where(0, 1, x)):
        assert isinstance(node, Value)
    assert isinstance(mc.mean([1, x]), Value)
    assert [type(p) for p in mc.softmax([1, x])] == [Value, Value]


def test_an_unknown_keyword_is_refused():
    with pytest.raises(TypeError, match=r"tanh\(\) takes no keyword arguments, got base"):
        mc.tanh(1.0, base=2)
    with pytest.raises(TypeError, match=r"elu\(\): .*beta"):
        mc.elu(1.0, beta=2)


@pytest.mark.parametrize("op", [mc.elu, mc.leaky_relu], ids=repr)
def test_a_wrong_number_of_arguments_is_refused(op):
    for arguments in ((), (1.0, 2.0, 3.0)):
        with pytest.raises(TypeError, match=rf"^{op.name}\(\): .*argument"):
            op(*arguments)


@every_row
def test_text_is_python_for_the_call(op):
    for n in [op.arity] if op.arity else [n for n in (1, 2, 3) if n in op.arities]:
        operands = {
            name: Value(x) for name, x in zip("abc", (0.0 if op.lowerings.is_gather else 0.4, 0.3, 0.7), strict=True)
        }
        names = list(operands)[:n]
        node = eval(op.text(*names), {**OPS}, operands)
        assert node.op is op
        assert node.data == op.forward(*[operands[name].data for name in names])


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            lambda x: mc.sum([x, x], axis=0),
            r"^sum\(\): a list has no axes, so there is no axis; write \[sum\(row\) for row",
        ),
        (lambda x: mc.logsumexp([x], keepdim=True), r"^logsumexp\(\): a list has no axes, so there is no keepdim"),
        (lambda x: mc.logsumexp(x, 1.0), r"^logsumexp\(\): it takes one list; write logsumexp\(\[x, y\]\)$"),
        (lambda x: mc.sum(x, x, x), r"^sum\(\): it takes one list; write sum\(\[x, y, z\]\)$"),
        (lambda x: mc.dot(x, x), r"^dot\(\): expected a list of numbers, got Value"),
        (lambda x: mc.elu(x, 1.0, 2.0), r"^elu\(\): .*takes from 1 to 2 positional arguments"),
    ],
)
def test_axes_and_numbers_without_a_list_are_answered_with_what_to_write(call, message):
    with pytest.raises(TypeError, match=message):
        call(mc.Value(1.0))
