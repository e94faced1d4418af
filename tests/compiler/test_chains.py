"""Chains of additions of products, as Python's `sum` and numpy's `@` record them, are computed by loops."""

import random

import numpy as np
import pytest

import micrograd_cn as mc
from micrograd_cn import Value
from micrograd_cn.compiler import compile  # noqa: A004 -- the field's name
from micrograd_cn.compiler.instructions.code import BATCH, SAMPLE, Code
from micrograd_cn.compiler.loops.chains import chains_of_products, with_sums


def leaves(code, count):
    return [code.append(("input", k), SAMPLE) for k in range(count)]


def chained(code, products, start=None, product_first=False):
    """Append a chain of additions, and return its number; `products` has the numbers of the products."""
    total, rest = (products[0], products[1:]) if start is None else (start, products)
    for p in rest:
        total = code.emit("fadd", p, total) if product_first else code.emit("fadd", total, p)
    return total


@pytest.mark.parametrize("product_first", [False, True])
@pytest.mark.parametrize("with_start", [False, True])
def test_a_long_chain_is_a_sum(with_start, product_first):
    code = Code()
    xs = leaves(code, 17)
    products = [code.emit("fmul", xs[k], xs[k + 8]) for k in range(8)]
    end = chained(code, products, xs[16] if with_start else None, product_first)
    computed = [i for i, used in enumerate(code.operands) if used]
    [(i, found)] = chains_of_products(code, computed, {end}).items()
    assert i == end
    assert found.pairs == [(xs[k], xs[k + 8]) for k in range(8)]
    assert found.terms == ((xs[16],) if with_start else ())
    made = with_sums(code, [(i, found)])
    assert made.instructions[end] == ("sum", tuple(found.pairs), found.terms)
    assert {*made.operands[end]} == {*xs[: 16 + with_start]}
    assert code.instructions[end][0] == "fadd"


def test_what_is_used_elsewhere_is_in_no_chain():
    code = Code()
    xs = leaves(code, 18)
    products = [code.emit("fmul", xs[k], xs[k + 9]) for k in range(9)]
    end = chained(code, products)
    computed = [i for i, used in enumerate(code.operands) if used]
    assert [len(x.pairs) for x in chains_of_products(code, computed, {end}).values()] == [9]
    middle = max(code.operands[end])  # the sum, since the products come before it
    assert chains_of_products(code, computed, {end, middle}).keys() == {middle}
    assert chains_of_products(code, computed, {end, max(code.operands[middle])}) == {}
    assert not chains_of_products(code, computed, {end, products[4]})
    sin = code.emit("sin", products[4])
    assert not chains_of_products(code, [*computed, sin], {end, sin})


def test_products_of_two_kinds_are_two_chains():
    """A loop cannot compute both products of two numbers of the row, and products of such a number and a parameter."""
    code = Code()
    xs, ws = leaves(code, 8), [code.append(("parameter", k), BATCH) for k in range(8)]
    products = [*(code.emit("fmul", w, x) for w, x in zip(ws, xs, strict=True)), *(code.emit("fmul", x, x) for x in xs)]
    end = chained(code, products)
    found = chains_of_products(code, [i for i, used in enumerate(code.operands) if used], {end})
    assert [(x.pairs, len(x.terms)) for x in found.values()] == [
        ([(w, x) for w, x in zip(ws, xs, strict=True)], 0),
        ([(x, x) for x in xs], 1),
    ]


def long_chain(numbers, rng):
    """Return a sum of products of some numbers: a chain with terms, shared products, and sums that are used again."""
    kinds = ["product"] * 20 + ["term", "shared", "reuse", "square", "turned"]
    shared, total, extra = numbers[0] * numbers[1], numbers[rng.randrange(len(numbers))], []
    for _ in range(rng.randrange(10, 60)):
        kind = rng.choice(kinds)
        a, b = rng.choice(numbers), rng.choice(numbers)
        if kind == "turned":
            total = a * b + total
        elif kind == "reuse":
            extra.append(total)
            total = total + a * b
        else:
            total = total + {"product": a * b, "term": a, "shared": shared, "square": a * a}[kind]
    for x in extra:
        total = total - x * 0.5
    return total


@pytest.mark.parametrize("seed", range(12))
def test_chains_give_the_bits_of_the_engine_in_lanes(seed):
    w = [Value(random.Random(seed).uniform(-1, 1)) for _ in range(6)]

    def f(x):
        rng = random.Random(seed)
        numbers = [*w, *x]
        return sum([long_chain(numbers, rng) * long_chain([*w[:2], *x], rng) for _ in range(3)])

    rows = np.random.default_rng(seed).normal(size=(9, 5))
    expected, gradients = [], []
    for row in rows:
        y = f([*map(float, row)])
        expected.append(y.data)
        gradients.append(mc.gradients(y, w))
    g = compile(f)
    assert g.forward((rows,)).tolist() == expected
    assert g.value_and_grad((rows,), w)[1] == pytest.approx(np.mean(gradients, axis=0), rel=1e-11, abs=1e-11)
    assert g.forward((rows[:1],))[0] == pytest.approx(expected[0], rel=1e-12, abs=1e-12)


@pytest.mark.parametrize("layer", ["@", "sum", "sum with a bias", "dot"])
def test_layers_are_loops_however_they_are_written(layer):
    """Straight-line code for so many products would need much more memory than tables of loops."""
    w, b = np.array([[Value(0.01 * (i - j)) for i in range(40)] for j in range(40)]), [Value(0.1) for _ in range(40)]

    def f(x):
        if layer == "@":
            return (w @ (w @ x)).sum()
        neuron = {
            "sum": lambda row, bias, xs: sum(a * y for a, y in zip(row, xs, strict=True)),
            "sum with a bias": lambda row, bias, xs: sum((a * y for a, y in zip(row, xs, strict=True)), bias),
            "dot": lambda row, bias, xs: mc.dot(list(row), list(xs)),
        }[layer]
        for _ in range(2):
            x = [neuron(row, bias, x) for row, bias in zip(w, b, strict=True)]
        return sum(x)

    g, rows = compile(f), np.random.default_rng(0).normal(size=(20, 40))
    assert g.forward((rows,)) == pytest.approx([f([*map(float, row)]).data for row in rows], rel=1e-11, abs=1e-12)
    [recording] = [x for found in g._store.recordings.values() for x in found]
    schedule = recording.program.compiled.select_executable("forward", 20).plan.schedule
    assert len(schedule.long_sums) == 80
    assert schedule.cost < 1000
