"""Code and tables grow with the graph, and no function does."""

import pytest

import micrograd_cn as mc
from micrograd_cn import Op, Value
from micrograd_cn.compiler import compile  # noqa: A004 -- the field's name
from micrograd_cn.compiler.formulas import LONGEST, MOST_CHOICES
from micrograd_cn.compiler.instructions import FORMULAS, SAMPLE
from micrograd_cn.compiler.lowering import ordered
from micrograd_cn.compiler.machine import machine
from micrograd_cn.compiler.schedule import CHUNK, Sums

from .common import executable_of, native_texts, plan_of


def longest(plan):
    """Return the lines of the longest native function of a plan."""
    return max(text.count("\n") for text in native_texts(plan))


def words(executable):
    """Return how many words the tables of an executable have."""
    return sum(map(len, executable.plan.tables))


def added(make):
    """Return the names of functions that are compiled for all programs while something is made."""
    before = set(machine().shared)
    make()
    return set(machine().shared) - before


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


@pytest.mark.parametrize("lanes", [True, False])
def test_code_grows_with_the_graph_and_no_function_with_it(lanes):
    def program(n):
        x, w = Value(0.5), Value(0.9)
        y = x
        for _ in range(n):
            y = mc.sin(y * w)
        return compile(y, [x])

    programs = [program(500), program(2000)]
    plans = [plan_of(p, lanes) for p in programs]
    small, large = [sum(map(len, native_texts(plan))) for plan in plans]
    assert large < 4.3 * small
    assert longest(plans[1]) <= longest(plans[0]) + 10
    small, large = [words(executable_of(p, native=False, lanes=lanes)) for p in programs]
    assert large < 4.1 * small
    small, large = [plan.places.slots + plan.places.scalars for plan in plans]
    assert large < 4.1 * small


def test_no_function_is_compiled_for_a_larger_graph_of_the_same_forms():
    def program(n):
        x, w = Value(0.5), Value(0.9)
        y = x
        for _ in range(n):
            y = mc.silu(y * w)
        return compile(y, [x])

    def run(n):
        made = program(n)
        for rows in ([[0.5]], [[0.5]] * 20):
            made.forward(rows)
            made.backward(rows)

    run(100)  # from some tens of products on, a sum of them is a loop
    assert added(lambda: run(101)) == set()
    run(600)  # from LARGEST instructions on, some are inside others
    assert added(lambda: run(900)) == set()


def test_threaded_code_has_one_function_for_each_form_and_formula():
    x, w = Value(0.5), Value(0.9)
    own = Op("own", lambda x: mc.sin(x) * 0.123 + x, (lambda y, x: mc.cos(x) * 0.123 + 1.0,))
    y = x
    for _ in range(50):
        y = own(y * w)
    program = compile(y, [x])
    names = {name for name in added(lambda: program.backward([[0.5]] * 3)) if "threaded_formula" in name}
    assert len(names) == 2  # of the value, and of the partial


def test_no_function_grows_with_the_number_of_outputs():
    def program(n):
        x, w = Value(0.5), Value(0.9)
        outputs = [w * float(i) + (x if i % 2 else 1.0) for i in range(n)]
        made = compile(outputs, [x])
        expected = [0.9 * i + (0.25 if i % 2 else 1.0) for i in range(n)]
        assert made.forward([[0.25]] * 17) == [expected] * 17
        assert made.forward([[0.25]]) == [expected]
        return made

    few = program(3 * CHUNK)
    assert longest(plan_of(program(9 * CHUNK), kind="forward")) < longest(plan_of(few, kind="forward")) + 20
    assert added(lambda: program(3 * CHUNK + 1)) == set()


def test_outputs_share_one_walk_through_the_graph():
    x, w = Value(0.5), Value(0.9)
    outputs = [x]
    for _ in range(300):
        outputs.append(mc.tanh(outputs[-1] * w))
    order = ordered(outputs)
    assert len(order) == 600 + 301
    assert [node for node in order if node.op is mc.tanh][:300] == outputs[1:]


@pytest.mark.parametrize("lanes", [True, False])
def test_long_sums_of_products_with_and_without_parameters_are_two_loops(lanes):
    def size(n):
        xs, ws = [Value(0.1) for _ in range(n)], [Value(0.5) for _ in range(10)]
        plan = plan_of(compile(mc.dot([*ws, *xs], [*xs[:10], *xs]), xs), lanes, "forward")
        return sum(map(len, native_texts(plan)))

    assert size(1000) < size(100) + 200


def test_a_long_dot_is_a_loop():
    def program(n):
        xs, ws = [Value(1.0) for _ in range(n)], [Value(1.0) for _ in range(n)]
        return compile([mc.dot(ws, xs), mc.dot(ws[::-1], xs)], xs)

    for lanes in (True, False):
        small, large = [plan_of(program(n), lanes, "forward") for n in (100, 1000)]
        assert sum(map(len, native_texts(large))) < sum(map(len, native_texts(small))) + 100
        assert [len(stage.numbers) for stage in large.stages[SAMPLE] if isinstance(stage, Sums)] == [2]


@pytest.mark.parametrize("lanes", [True, False])
def test_formulas_of_many_operands_or_constants_do_not_make_code_grow_faster(lanes):
    def of_operands(n):
        xs, ws = [Value(0.1) for _ in range(n)], [Value(0.5) for _ in range(n)]
        return compile(mc.logsumexp([w * x for w, x in zip(ws, xs, strict=True)]), xs)

    def of_constants(n):
        x, y = Value(0.5), Value(0.9)
        for k in range(n):
            y = mc.elu(y * x, 0.5 + 0.001 * k)
        return compile(y, [x])

    for make in (of_operands, of_constants):
        small, large = make(50), make(100)
        before = [sum(map(len, native_texts(plan_of(p, lanes)))) for p in (small, large)]
        assert before[1] < 2.5 * before[0]
        executable_of(small, native=False, lanes=lanes)
        assert len(added(lambda large=large: executable_of(large, native=False, lanes=lanes))) <= MOST_CHOICES
        assert words(executable_of(large, native=False, lanes=lanes)) < 2.5 * words(
            executable_of(small, native=False, lanes=lanes)
        )


def test_a_formula_counts_as_what_it_consists_of():
    def long(x):
        for _ in range(20):
            x = mc.sin(x) * 0.9
        return x

    x, w = Value(2.0), Value(3.0)
    program = compile(mc.sum([Op("long", long, (lambda y, x: 1.0,))(w * x + i) for i in range(10)]), [x])
    plan = plan_of(program, kind="forward")
    calls = [i for i in plan.schedule.needed if plan.code.instructions[i][0] in FORMULAS]
    assert len(calls) == 10
    assert [plan.code.weight(i) for i in calls] == [20 * 4 + 20] * 10  # a call as four, a product as one
    assert plan.schedule.size >= 1000


@pytest.mark.parametrize("count", [1, 3, 5])
def test_no_function_grows_with_a_formula(count):
    def make(n):
        def many(*xs):
            y = xs[0]
            for i in range(n):
                y = mc.sin(y) * xs[i % len(xs)] + 0.1
            return y

        w = Value(0.2)
        return compile(Op("many", many, (lambda *_: 1.0,) * count)(*[w] * count) * w, [])

    short, long = make(100), make(1000)
    assert longest(plan_of(long, kind="forward")) == pytest.approx(longest(plan_of(short, kind="forward")), abs=30)
    found = long.forward([[]])[0]
    assert found == pytest.approx(long._outputs[0].data, rel=1e-12)
    assert max(len(FORMULAS[f][0].instructions) for f in FORMULAS) < 4 * LONGEST
