"""`take` compiles to a gather: it is right in each kind of code, nan for an index out of range, and loads one operand.

Without a gather, `take` would be a chain of comparisons, one for each operand.
"""

import math
import random
import re
from math import inf, nan

import numpy as np
import pytest

import micrograd_cn as mc
from micrograd_cn import Op, Value, gradients
from micrograd_cn.compiler import compile  # noqa: A004 -- the field's name
from micrograd_cn.losses import cross_entropy, nll_loss
from micrograd_cn.ops.operation import Selection
from micrograd_cn.ops.traits import Lowerings
from micrograd_cn.optim import SGD

from .common import assert_like_eager, close, eager, in_turn, lanes, python

BAD = [-1.0, 1.5, 0.5, 2.0**31, 2.0**32, 2.0**53, 1e300, -1e300, 5e-324, inf, -inf, nan]
N = 27


def weights(count, seed=0):
    """Return random parameters, the same for the same seed."""
    rng = random.Random(seed)
    return [Value(rng.gauss(0, 1)) for _ in range(count)]


def rows_of(count, rows=37, seed=0):
    """Return rows of an index below `count` and two numbers."""
    rng = random.Random(seed)
    return [[float(rng.randrange(count)), rng.gauss(0, 1), rng.gauss(0, 1)] for _ in range(rows)]


def inputs():
    """Return the inputs of a row: an index and two numbers."""
    return [Value(0.0), Value(0.1), Value(0.2)]


ws, v = weights(N), Value(0.3)


def samples(a, count):
    """Return values that depend on the row, so they are computed for each sample."""
    return [a * k + v for k in range(count)]


SORTS = {  # kinds of operands that an index chooses from, and kinds of indices
    "parameters": lambda n, i, a, b: mc.take(ws[:n], i) * a,
    "samples": lambda n, i, a, b: mc.take(samples(a, n), i) * b,
    "constants": lambda n, i, a, b: mc.take([0.5 * k for k in range(n)], i) * v + a,
    "mixed": lambda n, i, a, b: mc.take([(a, ws[k], 0.25 * k, v * a)[k % 4] for k in range(n)], i) * b,
    "computed index": lambda n, i, a, b: mc.take(ws[:n], i * i - i * (i - 1.0)) * a,
    "chosen index": lambda n, i, a, b: mc.take(samples(a, n), mc.take([*range(n - 1, -1, -1)], i)),
    "index of the batch": lambda n, i, a, b: mc.take(samples(a, n), v * 0.0 + (n - 1)) + i,
    "of the batch": lambda n, i, a, b: mc.take([w * w for w in ws[:n]], v * 0.0 + (n - 1)) * a + i,
    "number": lambda n, i, a, b: mc.take(samples(a, n), n - 1) + mc.take(ws[:n], n - 2) * i,
}


@pytest.mark.parametrize(
    ("code", "n", "sort"),
    in_turn([2, 3, 4, N], SORTS),
    indirect=["code"],
)
def test_out_of_range_is_nan_in_its_own_row_alone(code, sort, n):
    """An index that is no operand's number gives nan in its own row, and the rows beside it in the vector are right."""

    def f(*row):
        return SORTS[sort](n, *row)

    x = inputs()
    program = compile(f(*x), x)
    rows = rows_of(n, 4 * (len(BAD) + 1))
    assert_like_eager(f, inputs(), [*ws[:n], v], rows)
    for k, bad in enumerate([*BAD, float(n)]):
        rows[4 * k + 1][0] = bad
    rows[4 * 3][0] = -0.0
    expected = [f(*map(Value, row)).data for row in rows]
    chosen = sort not in ("index of the batch", "of the batch", "number")  # whether the index is in the row
    assert sum(map(math.isnan, expected)) == (len(BAD) + 1 if chosen else 1)
    assert program.forward(rows) == pytest.approx(expected, rel=1e-12, nan_ok=True)
    assert [program.forward([row])[0] for row in rows] == pytest.approx(expected, rel=1e-12, nan_ok=True)
    f_of_xp = python(program)
    with np.errstate(all="ignore"):
        found = f_of_xp(
            np, [p.data for p in program.parameters], [np.array(column) for column in zip(*rows, strict=True)]
        )
    assert list(found) == pytest.approx(expected, rel=1e-12, nan_ok=True)
    found = [f_of_xp(math, [p.data for p in program.parameters], row) for row in rows]
    assert found == pytest.approx(expected, rel=1e-12, nan_ok=True)
    assert close(program.backward(rows), sum(expected) / len(rows), rel=1e-11)


def test_operands_that_are_not_chosen_do_not_leak(code):
    """An operand that is nan or infinite does not change the output or the gradient of rows that choose another one.

    A gather that multiplied operands by masks of 0 and 1 would add nan.
    """
    table = [Value(x) for x in (nan, 2.0, inf, -inf, 1.0, nan)]

    def f(i, a, b):
        return mc.take(table, i) * a + mc.take([a, b, mc.log(a * 0.0), nan, inf, b], i)

    rows = [[1.0, 0.5, 0.25], [4.0, 1.5, 2.0]] * 5
    x = inputs()
    program = compile(f(*x), x)
    for part in (rows, rows[:1]):
        outputs, slopes = eager(f, part, table)
        assert program.forward(part) == outputs
        assert all(map(math.isfinite, outputs[:1]))
        program.backward(part)
        assert [p.grad for p in table] == pytest.approx([sum(g) / len(part) for g in zip(*slopes, strict=True)])
        for p in table:
            p.grad = 0.0


@pytest.mark.parametrize(("code", "n", "count"), in_turn([2, 4, 5, 9, N], [1, 3, 37]), indirect=["code"])
def test_an_infinite_gradient_reaches_only_the_operand_that_is_selected(code, n, count):
    """The square root of a selected 0 has an infinite gradient, which is not multiplied by 0 for the other operands."""
    table = [Value(float(k)) for k in range(n)]
    others = [Value(1.0 + k) for k in range(n)]

    def f(i, a, b):
        return mc.sqrt(mc.take(table, i)) * a + mc.take(others, i) * mc.take(others, n - 1.0 - i) * b

    x = inputs()
    program = compile(f(*x), x)
    rows = [[float(k % n), 1.0 + k, 0.5] for k in range(count)]
    _, slopes = eager(f, rows, [*table, *others])
    program.backward(rows)
    expected = [sum(g) / count for g in zip(*slopes, strict=True)]
    assert [p.grad for p in (*table, *others)] == pytest.approx(expected, rel=1e-12)
    assert table[0].grad == inf


@pytest.mark.parametrize(("code", "n", "count"), in_turn([2, 5, 9], [1, 2, 3, 37]), indirect=["code"])
def test_rows_that_select_something_else_do_not_hide_those_that_reach_an_operand(code, n, count):
    """A node that does not depend on the row gets its gradient if any row selects it, not only if the last row does."""
    ws = [Value(0.25 + k) for k in range(n)]
    zero = Value(0.0)

    def f(i, a, b):
        roots = mc.take([mc.sqrt(w) for w in ws], i)
        return roots * a + mc.maximum(mc.exp(ws[0]), a) * mc.relu(mc.sin(ws[1]) - b) + mc.where(i, 1.0, mc.cos(ws[1]))

    def unreached(i, a, b):
        return f(i, a, b) + mc.where(i + 1.0, 1.0, mc.sqrt(zero)) + mc.take([*ws, mc.log(zero), *ws], i)

    for g in (f, unreached):
        program = compile(g)
        rows = [[float(k % n), 0.5 * k, 0.25 * k] for k in range(count)]
        for part in (rows, rows[::-1]):
            _, slopes = eager(g, part, [*ws, zero])
            program.backward([tuple(row) for row in part])
            expected = [sum(s) / count for s in zip(*slopes, strict=True)]
            assert [p.grad for p in (*ws, zero)] == pytest.approx(expected, rel=1e-12)
            for p in (*ws, zero):
                p.grad = 0.0


def test_second_derivatives_are_compiled(code):
    def f(i, a, b):
        y = mc.take([a**2, a**3 * b, ws[0] * a**4, mc.sin(a), a * b], i)
        [slope] = gradients(y, [a], create_graph=True)
        return slope * slope

    x = [Value(1.0), Value(0.5), Value(0.25)]
    program = compile(f(*x), x)
    rows = rows_of(5)
    expected = [f(*map(Value, row)).data for row in rows]
    assert program.forward(rows) == pytest.approx(expected, rel=1e-12)


# The code of a gather


def embedding(count=N, width=16, positions=16):
    """Return the table, the tokens and the loss of an embedding, which takes a row of the table for each token."""
    table = [weights(width, k) for k in range(count)]
    tokens = [Value(float(k % count)) for k in range(positions)]
    out = [mc.dot(mc.take(table, token), weights(width, 99)) for token in tokens]
    return table, tokens, mc.sum([mc.tanh(y) for y in out])


def test_what_is_taken_of_more_operands_is_no_more_code_and_no_chain_of_choices():
    """`take` from 200 operands has as much code as from 20, and loads one number for each lane.

    Its gradient does not compare the index with the number of each operand either.
    """
    few, many = (compile([mc.take([*xs, v * xs[0]], xs[0]) for _ in [0]], xs) for xs in map(values, (20, 200)))
    few, many = (re.findall(r"^define [^@]*@part\d+.*?^}", p.source(), re.MULTILINE | re.DOTALL) for p in (few, many))
    few, many = (sum(function.count("\n") for function in text) for text in (few, many))
    assert few == many > 0
    _, tokens, loss = embedding()
    program = compile([loss], tokens)
    body = re.search(r"define void @micrograd_cn\.gather\(.*?\n}\n", program.source(), re.DOTALL)[0]
    forms = 2  # the offsets of operands are in a list, or at equal distances
    assert body.count("load double, ptr") == forms * lanes(), "the kernel loads one number for each lane"
    comparisons = compile(loss, tokens).source("c").partition("f_gradient(const")[2]
    assert comparisons.count(" == ") <= len(tokens), "the gradient compares the index of a token at most once"


def values(n):
    """Return n inputs."""
    return [Value(0.1) for _ in range(n)]


def test_a_number_as_index_costs_nothing():
    """If the index is a plain number, `take` is its operand, without a load or a comparison."""
    x = inputs()
    text = compile([mc.take(ws, 5) * x[1] + mc.take([x[1], *x] * 3, 2) * mc.take([1.0] * 9, 3)], x).source("c")
    assert not re.search(r"f_index|\?", text.partition("*/")[2])
    assert math.isnan(compile(mc.take(x * 3, 9) + x[0], x).forward([[1.0, 1.0, 1.0]])[0])


def test_a_gather_of_ones_own_may_pass_a_part_of_the_gradient(code):
    """A user's own operation that loads an operand by an index may pass half of the gradient to it."""
    half = Op(
        "half",
        lambda index, *xs: dict(enumerate(xs)).get(index, nan),
        Selection(
            lambda g, index, *xs: (None, *[mc.where(mc.equal(index, float(k)), 0.5 * g, 0.0) for k in range(len(xs))]),
            lambda index, *xs: (None, *[0.5 if index == k else None for k in range(len(xs))]),
        ),
        arities=range(2, 99),
        lowerings=Lowerings(is_gather=True),
    )
    assert_like_eager(lambda i, a, b: half(i, *ws[:7]) * a, inputs(), ws[:7], rows_of(7))


def test_an_operation_of_ones_own_may_choose(code):
    """A user-defined operation may use `take` in its formula, or declare itself a gather."""
    last = Op(
        "from_the_end",
        lambda index, *xs: mc.take(xs, len(xs) - 1.0 - index),
        lambda y, index, *xs: (0.0, *[mc.equal(index, len(xs) - 1.0 - k) for k in range(len(xs))]),
        arities=range(2, 99),
    )
    own = Op(
        "own",
        lambda index, *xs: dict(enumerate(xs)).get(index, nan),
        lambda y, index, *xs: (None, *[mc.equal(index, float(k)) for k in range(len(xs))]),
        lowerings=Lowerings(is_gather=True),
    )
    twice = Op(
        "twice",
        lambda i, a, b: mc.take([a, b, a * b, a + b, a - b], i),
        (
            None,
            lambda y, i, a, b: mc.take([1.0, 0.0, b, 1.0, 1.0], i),
            lambda y, i, a, b: mc.take([0.0, 1.0, a, 1.0, -1.0], i),
        ),
    )
    assert_like_eager(lambda i, a, b: twice(i, a * ws[0], b * ws[1]), inputs(), ws[:2], rows_of(5))
    assert_like_eager(lambda i, a, b: own(i, *ws[:7]) * a, inputs(), ws[:7], [*rows_of(7), [1.5, 1.0, 1.0]])
    assert_like_eager(lambda i, a, b: last(i, *ws[:7]) * a, inputs(), ws[:7], rows_of(7))


# Losses, training, and indices out of range


@pytest.mark.parametrize("loss", [cross_entropy, nll_loss])
def test_losses_with_the_target_as_an_input_are_those_of_the_engine(code, loss):
    """A loss whose target class is an input is that of the engine for each class. A class out of range gives nan.

    But `fit` refuses it.
    """

    def of_value(i, a, b):
        return loss([w * a + b * k for k, w in enumerate(ws)], i)

    def of_int(i, a, b):
        return loss([w * a + b * k for k, w in enumerate(ws)], int(i.data))

    rows = rows_of(N)
    program = assert_like_eager(of_value, inputs(), ws, rows)
    program.check(rows, of_int)
    assert math.isnan(program.backward([[N, 1.0, 1.0]] * 3))
    with pytest.raises(IndexError, match=rf"row 0: an index or class is 0\.5, but there are {N} to choose from"):
        program.fit([[0.5, 1.0, 1.0]] * 3, SGD(ws, lr=0.1), 2)


def test_check_names_the_row_and_the_index():
    x = inputs()

    def f(i, a, b):
        return mc.take(ws[:5], i) * a

    program = compile(f(*x), x)
    program.check([[4.0, 1.0, 1.0], [0, 1, 1]], f)
    for bad in (5.0, -1.0, 1.5, nan):
        with pytest.raises(
            IndexError, match=rf"^row 1, \[{bad}, 2.0, 3.0\]: take\(\) has the index {bad}, but .* 0 to 4$"
        ):
            program.check([[0, 1, 1], [bad, 2, 3]], f)

    def loss(i, a, b):
        return cross_entropy([w * a for w in ws[:5]], i)

    program = compile(loss(*x), x)
    with pytest.raises(IndexError, match=r"^row 1, \[5.0, 1.0, 1.0\]: cross_entropy: target is 5.0, but the classes"):
        program.check([[0, 1, 1], [5, 1, 1]], loss)
