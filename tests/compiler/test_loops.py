"""The compiler computes a value once, makes loops of long sums, and uses memory again, so code and memory stay small.

Other files compare the results with the engine. These tests count instructions, lines, words of tables and numbers in
memory, because code that is right may still be too large or slow.
"""

import itertools
import math
import re
from random import Random

import pytest

import micrograd_cn as mc
from micrograd_cn import Op, Value
from micrograd_cn.compiler import compile  # noqa: A004 -- the field's name
from micrograd_cn.compiler.loops.strides import contiguous_runs, interleaved_runs, stride, strided_groups
from micrograd_cn.compiler.runtime import executable
from micrograd_cn.compiler.runtime.executable import Buffers
from micrograd_cn.optim import SGD

from .common import assert_like_eager, code_of, compiled_for_all, lanes, memory_of, tables_of

MEGABYTE = 1 << 17  # in doubles


def functions_of(program):
    """Return the LLVM text of each function that belongs to this program alone, in its native code for many rows."""
    return re.findall(r"^define [^@]*@part\d+\(.*?^}", program.source("llvm"), re.MULTILINE | re.DOTALL)


def calls(program, name):
    """Return how many calls of a function of vectors there are in the program's own functions."""
    return sum(text.count(f"@micrograd_cn.vector_{name}_") for text in functions_of(program))


def length(program):
    """Return how many lines the program's own functions have, which is about how many instructions."""
    return sum(text.count("\n") for text in functions_of(program))


def longest(program):
    """Return how many lines the longest of the program's own functions has.

    LLVM's time grows faster than the length of a function, so a large graph has to become many functions.
    """
    return max(text.count("\n") for text in functions_of(program))


def gradient_in_c(program):
    """Return the C text of a program's gradient in three parts: before the rows, for each row, and after the rows."""
    before, _, rest = program.source("c").partition("f_gradient(const")[2].partition("row < n; row++) {\n")
    inside, _, after = rest.partition("\n    }\n")
    return before, inside, after.partition("\n}")[0]


# Values that are computed once


def test_what_depends_on_parameters_alone_is_computed_once_a_batch():
    """Values that depend on parameters alone are computed before the rows, not for each row.

    This includes parts of a user-defined operation whose other parts depend on the row.
    """
    x, w = Value(2.0), Value(3.0)
    tempered = Op(
        "tempered",
        lambda x, w: x * mc.tanh(x) * mc.div(1.0, mc.sinh(mc.exp(w))),
        (lambda y, x, w: x * mc.div(1.0, mc.sinh(mc.exp(w))), lambda y, x, w: 0.0 * x),
    )
    program = assert_like_eager(
        lambda x: mc.sin(w) * x + mc.dot([w] * 9, [w] * 9) + tempered(x, w), [x], [w], [[0.5], [-2.0], [3.0]]
    )
    before, inside, after = gradient_in_c(program)
    for name in ("sin", "cos", "sinh", "exp"):
        assert (before + after).count(f" {name}(") == 1, name
        assert f" {name}(" not in inside, name
    assert calls(program, "sin") == calls(program, "exp") == 0


def test_constants_are_computed_when_the_graph_is_compiled():
    x, w, c = Value(2.0), Value(3.0), Value(0.5).detach()
    text = compile(w * x * (mc.sin(c) + mc.exp(c) * 2.0), [x]).source("c").partition("*/")[2]
    assert "sin(" not in text
    assert "exp(" not in text
    assert repr(math.sin(0.5) + math.exp(0.5) * 2.0) in text


def test_a_value_is_computed_once_whoever_needs_it():
    """Equal values are computed once, even if one is part of an operation's value and another of its derivative."""
    x, w = Value(2.0), Value(3.0)
    program = compile(mc.sin(w * x) + mc.sin(x * w) * 2.0, [x])
    assert (calls(program, "sin"), calls(program, "cos")) == (1, 1)
    once, twice = compile(mc.silu(w * x), [x]), compile(mc.silu(w * x) + mc.silu(x * w) * 2.0, [x])
    assert calls(once, "exp") == calls(twice, "exp") > 0
    own = Op("own", lambda x: mc.exp(x) * mc.sin(x), (lambda y, x: mc.exp(x) * mc.sin(x) + mc.exp(x) * mc.cos(x),))
    program = compile(own(w * x), [x])  # the value and the partial derivative have parts in common
    assert [calls(program, name) for name in ("exp", "sin", "cos")] == [1, 1, 1]


def test_gradients_that_nobody_asked_for_are_not_computed():
    """No instructions are made for the gradients of inputs, nor for any gradient of a list of outputs."""
    x, w = Value(2.0), Value(3.0)
    assert calls(compile(w * mc.sin(x), [x]), "cos") == 0
    assert calls(compile(w * mc.sin(w * x), [x]), "cos") == 1
    assert calls(compile([mc.sin(w * x)], [x]), "cos") == 0
    assert calls(compile(w + mc.exp(x), [x]), "exp") == 1  # the value needs exp, the gradient does not


# Loops


@pytest.mark.parametrize(
    "graph",
    [
        lambda ws, xs: [mc.dot(ws, xs), mc.dot(ws[::-1], xs)],
        lambda ws, xs: [mc.dot([*ws[:10], *xs], [*xs[:10], *xs])],
        lambda ws, xs: [mc.sum([w * w for w in ws]) * xs[0]],
        lambda ws, xs: mc.dot(ws, xs) ** 2,
        lambda ws, xs: mc.sum([mc.tanh(mc.dot(ws, xs)), mc.dot(ws, xs[::-1])]) ** 2,
    ],
)
def test_a_longer_sum_is_no_more_code(graph):
    """A sum of 1000 terms has as many instructions as a sum of 100 terms, because both are loops."""
    found = []
    for n in (100, 1000):
        ws, xs = ([Value(0.5) for _ in range(n)] for _ in range(2))
        found.append(length(compile(graph(ws, xs), xs)))
    assert found[0] == found[1]


def chain(op, n):
    """Return a program that multiplies by a parameter and applies `op`, n times one after the other."""
    x, w = Value(0.5), Value(0.9)
    y = x
    for k in range(n):
        y = op(y * w, k)
    return compile(y, [x])


@pytest.mark.parametrize("in_lanes", [True, False])
def test_code_and_tables_grow_with_the_graph_and_no_function_does(in_lanes):
    """A graph that is twice as deep has about twice the code, tables and memory, and no longer functions."""
    small, large = (chain(lambda y, _: mc.sin(y), n) for n in (400, 800))
    if in_lanes:
        assert length(large) < 2.2 * length(small)
        assert longest(large) == longest(small)
    assert tables_of(large, in_lanes=in_lanes) < 2.1 * tables_of(small, in_lanes=in_lanes)
    assert sum(memory_of(large, in_lanes=in_lanes)) < 2.2 * sum(memory_of(small, in_lanes=in_lanes))


def test_formulas_of_many_operands_or_constants_do_not_make_code_grow_faster():
    """Code and tables grow in proportion to the graph too if operations have many operands or many constants.

    No kernel is compiled for a particular number of operands or for a constant.
    """

    def of_operands(n):
        xs, ws = [Value(0.1) for _ in range(n)], [Value(0.5) for _ in range(n)]
        return compile(mc.logsumexp([w * x for w, x in zip(ws, xs, strict=True)]), xs)

    for make in (of_operands, lambda n: chain(lambda y, k: mc.elu(y, 0.5 + 0.001 * k), n)):
        small, large = make(50), make(100)
        assert length(large) < 2.5 * length(small)
        few, before = tables_of(small), compiled_for_all()
        assert tables_of(large) < 2.5 * few
        assert compiled_for_all() == before


@pytest.mark.parametrize("count", [1, 3, 5])
def test_no_function_grows_with_a_formula(count):
    """A user-defined operation with a long formula makes no function longer, and is still right."""

    def make(n):
        def many(*xs):
            y = xs[0]
            for i in range(n):
                y = mc.sin(y) * xs[i % len(xs)] + 0.1
            return y

        x = Value(0.2)
        y = Op("many", many, (lambda *_: 1.0,) * count)(*[x] * count)
        return compile([y], [x]), y.data

    (short, _), (long, expected) = make(100), make(600)
    assert longest(long) == longest(short)
    assert long.forward([[0.2]]) == [[pytest.approx(expected, rel=1e-12)]]


@pytest.mark.thorough
def test_no_function_grows_with_the_number_of_outputs():
    """A program with more outputs has more functions, but no longer ones, and needs no other kernels."""

    def program(n):
        x, w = Value(0.5), Value(0.9)
        made = compile([w * float(i) + (x if i % 2 else 1.0) for i in range(n)], [x])
        expected = [0.9 * i + (0.25 if i % 2 else 1.0) for i in range(n)]
        for rows in (17, 1):
            assert made.forward([[0.25]] * rows) == [expected] * rows
        return made

    few, many = program(700), program(1000)
    assert longest(many) < 1.05 * longest(few)  # although there are 1.4 times as many outputs
    before = compiled_for_all()
    program(701)
    assert compiled_for_all() == before


def test_no_function_is_compiled_for_a_larger_graph_of_the_same_forms():
    """A larger graph of the same operations needs no kernel that a smaller one did not need.

    Threaded code would not be ready at once if it had to compile kernels.
    """

    def run(n):
        before, program = compiled_for_all(), chain(lambda y, _: mc.silu(y), n)
        for rows in ([[0.5]], [[0.5]] * 20):
            program.forward(rows)
            program.backward(rows)
        return compiled_for_all() - before

    with code_of("threaded"):
        run(100)  # in smaller graphs some sums are so short that they are not loops
        assert run(101) == set()
    with code_of("fused"):
        run(200)
        assert run(300) == set()


def test_the_items_of_a_run_have_operands_at_constant_strides():
    """Each item is in one run. No contiguous run of several items ends before it must."""
    random = Random(0)
    for _ in range(200):
        width, count = random.randint(1, 2), random.randrange(1, 14)
        drawn = {tuple(random.randrange(7) for _ in range(width)) for _ in range(count)}
        places = dict(enumerate(sorted(drawn)))

        def strides(items, places=places):
            return {stride(slot) for slot in zip(*(places[i] for i in items), strict=True)}

        runs = [*contiguous_runs(places)]
        assert [*itertools.chain(*runs)] == [*places]
        assert all(strides(run) <= {0, 1} for run in runs)
        assert all(not strides([*a, b[0]]) <= {0, 1} for a, b in itertools.pairwise(runs) if len(a) > 1)
        for groups in (interleaved_runs(places, 3), strided_groups(places, 3)):
            assert sorted(itertools.chain(*groups)) == [*places]
        for run in interleaved_runs(places, 3):
            assert len(run) == 1 or (len(run) >= 3 and None not in strides(run))


@pytest.mark.parametrize("nodes", [10_000, pytest.param(100_000, marks=pytest.mark.slow)])
def test_many_nodes_compile(nodes):
    x, w = Value(0.5), Value(1.0 - 1e-6)
    y = x
    for i in range(nodes):
        y = y * w if i % 2 else y + w * 1e-6
    program = compile(y, [x])
    y.backward()
    expected, w.grad = w.grad, 0.0
    program.backward([[0.5]])
    assert w.grad == pytest.approx(expected, rel=1e-9)


# Memory


def layers(depth, width=16):
    """Return a program that computes a network, in which only the next layer reads a layer's values."""
    xs, ws = [Value(0.1) for _ in range(width)], [Value(0.3) for _ in range(2 * width)]
    hs = xs
    for _ in range(depth):
        hs = [mc.sin(mc.dot(ws[k : k + width], hs)) for k in range(width)]
    return compile([mc.dot(ws[:width], hs)], xs)


@pytest.mark.parametrize("in_lanes", [True, False])
def test_places_of_what_nobody_reads_any_more_are_used_again(in_lanes):
    """A network that is four times as deep needs no more memory for its rows, because places are used again."""
    found = [memory_of(layers(depth), "forward", in_lanes) for depth in (4, 8, 16)]
    rows = [rows for _, rows in found]
    if in_lanes:
        assert rows[0] == rows[1] == rows[2] > 0
    else:
        assert [rows for rows in found if sum(rows) > 3000] == []


@pytest.mark.parametrize("kind", ["forward", "gradient"])
def test_memory_for_rows_is_used_again_in_the_next_call(kind):
    xs = [Value(0.1 * k) for k in range(3)]
    program = compile(mc.dot(xs, [Value(0.5) for _ in xs]), xs)
    rows = [[float(k)] * 3 for k in range(40)]
    run = program.forward if kind == "forward" else program.backward
    with code_of("threaded"):
        run(rows)
        executable = program.compiled.tiers(kind, True).get(native=False)
        executable.release(buffers := executable.acquire())
        run(rows)
        assert executable.acquire() is buffers


@pytest.mark.parametrize("threads", [1, 2])
def test_training_uses_the_memory_of_the_training_before(monkeypatch, threads):
    w, made = Value(0.5), []
    monkeypatch.setattr(executable, "SECONDS_BEFORE_NATIVE", math.inf)  # native code would have buffers of its own
    monkeypatch.setattr(executable, "Buffers", lambda owner: made.append(owner) or Buffers(owner))
    f = compile(lambda x: (w * x - 1.0) ** 2)

    def count_after_training():
        f.fit([(1.0,), (2.0,), (0.5,)], SGD([w], lr=0.01), epochs=2, threads=threads)
        return len(made)

    assert count_after_training() == count_after_training() >= threads


@pytest.mark.parametrize("inputs", [1, 8, 100, 700, 5000, 20_000])
def test_rows_that_are_computed_together_take_a_megabyte_at_most_or_as_many_as_lie_side_by_side(inputs):
    """A panel needs at most a megabyte, which fits into the processor's cache, unless two blocks are larger."""
    xs, ws = [Value(0.1) for _ in range(inputs)], [Value(0.3) for _ in range(9)]
    program = compile(mc.dot(ws[:8], xs[:8]) * mc.dot(ws[1 : len(xs) + 1], xs[:8]) if inputs > 8 else ws[0] * xs[0], xs)
    _, rows = memory_of(program)
    block = lanes() * (inputs + 32)
    assert rows <= max(MEGABYTE, 2 * block)
    assert rows >= lanes() * inputs
