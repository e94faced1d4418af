"""Operands that are loaded by an index: right in every tier, nan out of range, and one load, no chain of choices."""

import math
import random
import re
from math import inf, nan

import numpy as np
import pytest

import micrograd_cn as mc
from micrograd_cn import Op, Value, gradients
from micrograd_cn.compiler import compile  # noqa: A004 -- the field's name
from micrograd_cn.compiler.instructions import AFTER, BATCH, SAMPLE, TAKE
from micrograd_cn.compiler.schedule import Map, Takes
from micrograd_cn.losses import cross_entropy, nll_loss
from micrograd_cn.optim import SGD
from micrograd_cn.traits import Forms

from .common import assert_like_eager, eager, forms, loop, native_texts, plan_of, python

BAD = [-1.0, 1.5, 0.5, 2.0**31, 2.0**32, 2.0**53, 1e300, -1e300, 5e-324, inf, -inf, nan]
N = 27


def weights(count, seed=0):
    rng = random.Random(seed)
    return [Value(rng.gauss(0, 1)) for _ in range(count)]


def rows_of(count, rows=37, seed=0):
    rng = random.Random(seed)
    return [[float(rng.randrange(count)), rng.gauss(0, 1), rng.gauss(0, 1)] for _ in range(rows)]


def inputs():
    return [Value(0.0), Value(0.1), Value(0.2)]


ws, v = weights(N), Value(0.3)


def samples(a, count):
    return [a * k + v for k in range(count)]


SORTS = {  # of what is taken from, and of the index
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


@pytest.mark.parametrize("n", [2, 3, 4, 5, N])
@pytest.mark.parametrize("sort", SORTS)
def test_every_sort_of_operand_is_taken_as_by_the_engine(code, sort, n):
    def f(*row):
        return SORTS[sort](n, *row)

    assert_like_eager(f, inputs(), [*ws[:n], v], rows_of(n))


@pytest.mark.parametrize("n", [2, 3, 4, N])
@pytest.mark.parametrize("sort", ["parameters", "samples", "constants", "mixed", "chosen index"])
def test_out_of_range_is_nan_in_its_own_row_alone(code, sort, n):
    def f(*row):
        return SORTS[sort](n, *row)

    x = inputs()
    program = compile(f(*x), x)
    rows = rows_of(n, 4 * (len(BAD) + 1))
    for k, bad in enumerate([*BAD, float(n)]):
        rows[4 * k + 1][0] = bad
    rows[4 * 3][0] = -0.0
    expected = [f(*map(Value, row)).data for row in rows]
    assert sum(map(math.isnan, expected)) == len(BAD) + 1
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
    assert math.isnan(program.backward(rows))


def test_operands_that_are_not_chosen_do_not_leak(code):
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


# How it is done


def embedding(count=N, width=16, positions=16):
    table = [weights(width, k) for k in range(count)]
    tokens = [Value(float(k % count)) for k in range(positions)]
    out = [mc.dot(mc.take(table, token), weights(width, 99)) for token in tokens]
    return table, tokens, mc.sum([mc.tanh(y) for y in out])


def test_one_load_a_take_and_no_chain_of_choices():
    _, tokens, loss = embedding()
    program = compile(loss, tokens)
    text = program.source()
    body = re.search(r"define void @micrograd_cn\.takes\(.*?\n}\n", text, re.DOTALL)[0]
    width = plan_of(program).lanes
    assert body.count("load double, ptr") == width, "one of each lane's operand"
    for lanes in (True, False):
        for kind in ("forward", "gradient"):
            plan = plan_of(program, lanes, kind)
            done = forms(plan, SAMPLE)
            assert (done[TAKE], done["select"]) == (256, 0)
            assert [len(stage.numbers) for stage in plan.stages[SAMPLE] if isinstance(stage, Takes)] == [256]
    assert not any("select <" in t and "fcmp oeq" in t for t in native_texts(plan_of(program, kind="forward")))


def test_takes_of_the_same_operands_share_their_table():
    _, tokens, loss = embedding()
    plan = plan_of(compile(loss, tokens), kind="forward")
    assert len(plan._operands_at) == 16


def test_masks_of_a_gradient_are_shared_comparisons_and_runs_in_single_rows():
    _, tokens, loss = embedding()
    program = compile(loss, tokens)
    for lanes in (True, False):
        plan = plan_of(program, lanes)
        assert forms(plan, SAMPLE)["fcmp oeq"] == 16 * N, "one for each token and each entry, however wide"
        assert sum(len(group.totals) * len(group.totals[0]) for group in plan.schedule.totals.outer) >= 16 * N
    runs = [stage for stage in plan.stages[SAMPLE] if isinstance(stage, Map) and stage.form == "fcmp oeq"]
    assert [len(stage.numbers) for stage in runs] == [N] * 16


def test_few_operands_are_chosen_by_instructions(code):
    x = inputs()
    program = compile(mc.take(ws[:3], x[0]), x)
    assert forms(plan_of(program, kind="forward"), SAMPLE)[TAKE] == 0
    program = compile(mc.take(ws[:4], x[0]), x)
    assert forms(plan_of(program, kind="forward"), SAMPLE)[TAKE] == 1


def test_a_number_as_index_costs_nothing():
    x = inputs()
    program = compile(mc.take(ws, 5) * x[1] + mc.take([x[1], *x] * 3, 2) * mc.take([1.0] * 9, 3), x)
    plan = plan_of(program, kind="forward")
    assert sum(forms(plan, phase)[TAKE] for phase in (BATCH, SAMPLE, AFTER)) == 0
    assert math.isnan(compile(mc.take(x * 3, 9) + x[0], x).forward([[1.0, 1.0, 1.0]])[0])


def test_an_operation_of_ones_own_may_choose(code):
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
        forms=Forms(chooses=True),
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


def test_rows_and_batches_of_every_size(code):
    x = inputs()
    program = compile(mc.take(samples(x[1], N), x[0]) * mc.take(ws, x[0]), x)
    for count in (1, 2, 3, 7, 8, 9, 15, 16, 17, 33, 200):
        rows = rows_of(N, count, seed=count)
        expected = [(a * int(i) + v.data) * ws[int(i)].data for i, a, _ in rows]
        assert program.forward(rows) == pytest.approx(expected, rel=1e-13)
        assert program.forward(rows, threads=2) == program.forward(rows)


# Losses, training, and what is out of range


@pytest.mark.parametrize("loss", [cross_entropy, nll_loss])
def test_losses_with_the_target_as_an_input_are_those_of_the_engine(code, loss):
    def of_value(i, a, b):
        return loss([w * a + b * k for k, w in enumerate(ws)], i)

    def of_int(i, a, b):
        return loss([w * a + b * k for k, w in enumerate(ws)], int(i.data))

    rows = rows_of(N)
    program = assert_like_eager(of_value, inputs(), ws, rows)
    program.check(rows, of_int)
    assert math.isnan(program.backward([[N, 1.0, 1.0]] * 3))
    assert all(map(math.isnan, program.fit([[0.5, 1.0, 1.0]] * 3, SGD([Value(0.0)], lr=0.1), 2)))


def test_training_is_that_of_the_loop(code):
    found = []
    for train in (lambda program, *rest: program.fit(*rest), loop):
        table, tokens, loss = embedding(count=6, width=3, positions=2)
        parameters = [w for row in table for w in row]
        rows = [[k % 6, (k * k) % 6] for k in range(20)]
        losses = train(compile(loss, tokens), rows, SGD(parameters, lr=0.1), 3, 7)
        found.append((losses, [p.data for p in parameters]))
    assert found[0][0] == pytest.approx(found[1][0], rel=1e-14)
    assert found[0][1] == found[1][1]


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
