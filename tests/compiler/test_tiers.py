"""Threaded and native code: the same bits, when native code is made, memory, other threads."""

import copy
import gc
import math
import random
import struct
import sys
import threading
import weakref
from math import inf

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import micrograd_cn as mc
from micrograd_cn import OPS, Op, Value
from micrograd_cn.compiler import compile  # noqa: A004 -- the field's name
from micrograd_cn.compiler.executable import FEW
from micrograd_cn.compiler.machine import machine
from micrograd_cn.compiler.training import Running
from micrograd_cn.engine import constant, record
from micrograd_cn.nn import MLP
from micrograd_cn.optim import SGD
from micrograd_cn.testing import expressions

from .common import ACTIVATIONS, OPTIMISERS, choose, everything, loop, problem

CODES = ("threaded", "native", "gathered", "fused")


def run(output, inputs, rows, code, monkeypatch, parameters):
    """Return the bits of what one kind of code computes, with rows in lanes and with single ones."""
    choose(monkeypatch, code)
    program = compile(output, inputs)
    for p in parameters:
        p.grad = 0.0
    numbers = [*program.forward(rows), program.backward(rows), *(p.grad for p in parameters)]
    for p in parameters:
        p.grad = 0.0
    numbers += [*program.forward(rows[:1]), program.backward(rows[1:3]), *(p.grad for p in parameters)]
    return [struct.pack("d", x) if x == x else b"nan" for x in numbers]


@given(expressions(), st.integers(0, 3))
@settings(
    max_examples=max(20, settings().max_examples // 2), suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_kinds_of_code_give_the_same_bits(monkeypatch, f, count):
    count = min(count, len(f.point))
    inputs, parameters = [[Value(x) for x in part] for part in (f.point[:count], f.point[count:])]
    y = f(*inputs, *parameters)
    if not isinstance(y, Value) or y.op is None:
        return
    rows = [f.point[:count], [x + 0.25 for x in f.point[:count]], [-x for x in f.point[:count]]] * 6
    threaded, native, gathered, fused = [run(y, inputs, rows, code, monkeypatch, parameters) for code in CODES]
    assert threaded == native
    in_lanes = len(rows) + 1 + len(parameters)
    assert gathered[:in_lanes] == fused[:in_lanes]  # of single rows, short sums are in another order


@pytest.mark.parametrize("op", [op for op in OPS.values() if op.arity and not op.forms.machine], ids=lambda op: op.name)
def test_both_kinds_of_code_give_the_same_bits_of_sums_of_formulas(monkeypatch, op):
    added = Op(
        "added", lambda a, b, c: mc.sum([a, b, c]) * a, (lambda y, a, b, c: b, lambda y, *_: 1.0, lambda y, *_: 2.0)
    )
    rng = random.Random(0)
    xs, ws = [Value(0.5) for _ in range(3)], [Value(rng.gauss(0, 1)) for _ in range(3)]
    a, b, c = [record(op, tuple([w * x, x, w][: op.arity])) for x, w in zip(xs, ws, strict=True)]
    one = constant(1.0)
    y = mc.sum(
        [mc.sum([a, b, xs[0] * ws[1], c, one * a]), mc.dot([a, b], [b, xs[2]], c), added(a * b, b, c), added(a, b, c)]
    )
    rows = [[rng.gauss(0, 1) for _ in xs] for _ in range(60)]
    threaded, native = [run(y, xs, rows, code, monkeypatch, ws) for code in ("threaded", "native")]
    assert threaded == native


def powers(x, n):
    """Return x, x * x + 0.7, and so on."""
    found = [x]
    for _ in range(n - 1):
        found.append(found[-1] * x + 0.7)
    return found


@pytest.mark.parametrize(
    "forward",
    [
        lambda a, b, x: mc.sum([a, b, 0.1, 0.7]) * x + x * x,
        lambda a, b, x: mc.sum([a - 1.0, b - 2.0, a * b, 0.3, x]) * x,
        lambda a, b, x: mc.logsumexp([a, b, 0.5]) * x * x,
        lambda a, b, x: mc.dot([0.1 * k + 0.3 for k in range(9)] + powers(x, 3), powers(x, 9) + powers(x, 6)[3:]),
        lambda a, b, x: mc.dot(powers(0.9 * a, 40), powers(0.9 * b, 40)[::-1]) * x,
        lambda a, b, x: mc.sum(powers(0.9 * a, 40)) * x,
        lambda a, b, x: mc.sum([mc.gelu(p) * b for p in powers(0.9 * x, 18)]),
    ],
)
def test_both_kinds_of_code_give_the_same_bits_of_ones_own_formulas(monkeypatch, forward):
    own = Op("own", forward, tuple([lambda y, a, b, x: forward(b, x, a)] * 3))
    x, ws = Value(0.3), [Value(0.1 * i) for i in range(8)]
    rows = [[0.1 * i - 1.0] for i in range(19)]
    constants = [own(constant(0.1 * i), constant(0.7 * i), x) for i in range(8)]
    mixed = [own(w, constant(0.07 * i), x) * own(x, w, w) for i, w in enumerate(ws)]
    y = mc.sum([*constants, *mixed, *(own(w, w * w, 0.1 * w) * x for w in ws)])
    threaded, native = [run(y, [x], rows, code, monkeypatch, ws) for code in ("threaded", "native")]
    assert threaded == native


@pytest.mark.parametrize("activation", [*ACTIVATIONS, "logsumexp", "long"])
def test_both_kinds_of_code_give_the_same_bits_of_networks(monkeypatch, activation):
    rng = random.Random(0)
    xs = [Value(0.1) for _ in range(40)]
    if activation in ACTIVATIONS:
        model = MLP(40, [9, 9, 1], activation=activation, seed=0)
        parameters, y = model.parameters(), model(xs)
    else:
        parameters = [Value(rng.gauss(0, 1)) for _ in range(80)]
        if activation == "logsumexp":
            terms = [w * x for w, x in zip(parameters, xs, strict=False)]
            ranges = [mc.logsumexp([*terms[k : k + k // 2], terms[k], parameters[k], 0.5, *xs[:k]]) for k in (1, 4, 9)]
            angles = [
                mc.logsumexp([t, p, 0.5]) * mc.atan2(p, t) for t, p in zip(terms[:9], parameters[:9], strict=True)
            ]
            y = mc.sum([*ranges, *angles, mc.logsumexp([*parameters[:12], 0.25])])
            y = y + mc.logsumexp([1.0, 2.0, xs[0], 3.0, 4.0, parameters[0], 5.0])
        else:
            y = mc.dot([*parameters, *xs, *parameters], [*xs, *xs, *xs, *parameters], parameters[3])
            y = y * mc.sum([1.5, *xs, *parameters, parameters[0] * parameters[1]]) * mc.dot(parameters, parameters)
        for k in range(9):
            y = mc.hypot(mc.elu(y, 0.5 + k) * mc.maximum(y, 0.1 * k), parameters[k] ** (0.5 * k))
        y = mc.log1p(mc.abs(y))
    rows = [[rng.gauss(0, 1) for _ in xs] for _ in range(19)]
    threaded, native = [run(y, xs, rows, code, monkeypatch, parameters) for code in ("threaded", "native")]
    assert threaded == native


def test_code_is_freed_with_the_program_and_shared_functions_stay(code):
    x, w = Value(2.0), Value(3.0)
    program = compile(mc.tanh(w * x), [x])
    program.backward([[1.0]] * 3)
    program.fit([[1.0]] * 3, SGD([w], lr=0.1), 1)
    executable = program.executables.best("gradient", 3)
    assert executable.native == (code == "native")
    freed = [weakref.ref(executable), weakref.ref(executable.plan), weakref.ref(program.executables.lowering)]
    if code == "native":
        freed.append(weakref.ref(executable.stages._compiled.engine))
    shared = copy.deepcopy(machine().addresses)
    assert all(one() is not None for one in freed)
    del program, executable
    gc.collect()
    assert [one() for one in freed] == [None] * len(freed)
    assert machine().addresses == shared
    program = compile(mc.tanh(w * x), [x])
    assert program.forward([[1.0]] * 3) == pytest.approx([math.tanh(w.data)] * 3, rel=1e-15)


def test_what_has_run_for_long_gets_native_code(monkeypatch):
    monkeypatch.setattr("micrograd_cn.compiler.executable.PATIENCE", 1e9)
    x, w = Value(2.0), Value(3.0)
    y = mc.tanh(w * x)
    program = compile(y, [x])
    best = program.executables.best
    assert not best("forward", 1).native
    program.forward([[0.5]])
    executable = best("forward", 1)
    assert not executable.native
    assert executable.seconds > 0.0
    executable.seconds = 1e9 * executable.plan.schedule.size
    assert best("forward", 1).native
    assert [program.forward([[0.5]]) for _ in range(9)] == [[math.tanh(1.5)]] * 9
    assert best("forward", 1).seconds > 0.0  # of the native code alone
    assert not best("forward", FEW + 1).native  # a row in each lane is code of its own
    assert not best("gradient", 1).native
    monkeypatch.setattr("micrograd_cn.compiler.schedule.LARGEST", 1)
    best = compile(y, [x]).executables.best
    best("forward", 1).seconds = inf
    assert not best("forward", 1).native


def test_what_has_run_for_a_while_gets_fast_shared_functions_and_the_same_bits(monkeypatch):
    monkeypatch.setattr("micrograd_cn.compiler.executable.PATIENCE", inf)
    for rows in (1, 37):
        parameters, program, data, _ = problem()
        found = []
        for _ in range(2):
            for p in parameters:
                p.grad = 0.0
            executable = program.executables.best("gradient", rows)
            found.append((program.backward(data[:rows]), [p.grad for p in parameters], executable.plan.fast))
            executable.seconds = 10.0
        assert [fast for *_, fast in found] == [False, True]
        assert found[0][:2] == found[1][:2]


def test_few_rows_are_done_one_by_one_and_more_in_lanes():
    x, w = Value(2.0), Value(3.0)
    best = compile(w * x, [x]).executables.best
    assert best("forward", 1).lanes == best("forward", FEW).lanes == 1
    assert best("forward", FEW + 1).lanes == best("forward", 1000).lanes == machine().width


def test_training_that_has_run_or_is_going_to_run_for_long_gets_native_code(monkeypatch):
    monkeypatch.setattr("micrograd_cn.compiler.executable.PATIENCE", 1e9)
    parameters, program, rows, _ = problem()
    optimizer = SGD(parameters, lr=0.01)
    program.fit(rows, optimizer, 2)
    executable = program.executables.best("gradient", len(rows))
    assert not executable.native
    seconds = executable.seconds
    program.fit(rows, optimizer, 2)
    assert executable.seconds > seconds > 0.0
    size = executable.plan.schedule.size
    running = Running(program.executables, len(rows))
    running.expect(1.0, 1e9)
    assert running.executable is executable
    running.expect(1e9 * size, 0.0)  # nothing is left to do
    assert running.executable is executable
    executable.seconds = 0.0
    running.expect(1.0, 1e9 * size)
    assert running.executable.native
    assert program.executables.best("gradient", len(rows)) is running.executable
    running.done()


@pytest.mark.parametrize("rows", [1, 37])
def test_training_goes_on_from_where_it_was_with_native_code(monkeypatch, rows):
    (ours, program, data, _), (theirs, other, _, _) = problem(), problem()
    mine, yours = OPTIMISERS["adam"](ours), OPTIMISERS["adam"](theirs)
    taken = []
    expect = Running.expect

    def at_the_third(self, *seconds):
        taken.append(self.executable.native)
        monkeypatch.setattr("micrograd_cn.compiler.executable.PATIENCE", 0.0 if len(taken) == 3 else inf)
        expect(self, *seconds)

    monkeypatch.setattr(Running, "expect", at_the_third)
    monkeypatch.setattr("micrograd_cn.compiler.epochs.TURN", 0.0)  # a step a turn
    program.fit(data, mine, 8, batch_size=rows)
    assert taken[:3] == [False] * 3
    assert set(taken[3:]) == {True}
    monkeypatch.undo()
    loop(other, data, yours, 8, rows)
    assert everything(ours, mine) == everything(theirs, yours)


def test_memory_is_never_there_twice(monkeypatch):
    monkeypatch.setattr("micrograd_cn.compiler.executable.PATIENCE", 1.0)
    parameters, program, rows, _ = problem()
    running = Running(program.executables, len(rows))
    executable, [memory] = running.executable, running.memories

    def interrupted(_):
        raise KeyboardInterrupt

    monkeypatch.setattr(executable, "done", interrupted)
    with pytest.raises(KeyboardInterrupt):
        running.expect(1.0, inf)
    monkeypatch.undo()
    running.done()
    assert memory not in executable._unused
    assert memory not in running.executable._unused
    assert running.memories[0] in running.executable._unused
    taken = [running.executable.memory([0.0] * len(parameters)) for _ in range(3)]
    assert len({one.s.address for one in taken}) == 3


def test_other_threads_go_on_while_code_is_made(monkeypatch):
    x, w = Value(2.0), Value(3.0)
    program = compile(mc.tanh(w * x), [x])
    executables = program.executables
    executables.best("forward", 1).seconds = inf
    get, found = executables.get, []

    def slow(kind, lanes, native):
        if native:
            thread = threading.Thread(target=lambda: found.append(program.forward([[0.5]])))
            thread.start()
            thread.join(60)
        return get(kind, lanes, native)

    monkeypatch.setattr(executables, "get", slow)
    assert program.forward([[0.5]]) == [math.tanh(1.5)]
    assert found == [[math.tanh(1.5)]]
    assert executables.best("forward", 1).native


def test_native_code_has_the_formulas_of_the_threaded_code():
    factor = [0.5]
    scaled = Op("scaled", lambda x: x * factor[0], (lambda y, x: factor[0],))
    x = Value(1.0)
    program = compile(scaled(x), [x])
    factor[0] = 2.0
    assert program.forward([[1.0]]) == [0.5]
    program.executables.best("forward", 1).seconds = inf
    assert program.forward([[1.0]]) == [0.5]
    assert program.executables.best("forward", 1).native


@pytest.mark.parametrize("rows", [1, 5])
def test_native_code_has_the_constants_and_parameters_of_the_threaded_code(rows):
    x, w, v, c = Value(2.0), Value(3.0), Value(5.0), Value(4.0).detach()
    program = compile(w * x + v * c, [x])
    data = [[1.0]] * rows
    assert program.forward(data) == [23.0] * rows
    c.data, w.data, v.requires_grad = 100.0, 10.0, False
    assert "4.0" in program.source("python")
    for kind in ("forward", "gradient"):
        program.executables.best(kind, rows).seconds = inf
    assert program.forward(data) == [30.0] * rows
    program.backward(data)
    assert (w.grad, v.grad, c.grad) == (1.0, 0.0, 0.0)  # v is frozen
    assert program.executables.best("gradient", rows).native


def test_threads_run_one_program_at_the_same_time():
    _, program, _, _ = problem()
    rng = random.Random(5)
    batches = [[[rng.uniform(-1, 1) for _ in range(4)] for _ in range(50)] for _ in range(8)]
    expected = [program.forward(batch) for batch in batches]
    results = [[] for _ in batches]

    def run(i):
        for _ in range(200):
            results[i].append(program.forward(batches[i]))

    threads = [threading.Thread(target=run, args=(i,)) for i in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for found, right in zip(results, expected, strict=True):
        assert all(one == right for one in found)
        assert len(found) == 200


def test_threads_compile_at_the_same_time(code):
    found, names = {}, {}

    def work(thread):
        for k in range(4):
            c = 0.1 + 0.25 * (4 * thread + k)
            own = Op("own", lambda x, c=c: mc.sin(x) * c + x, (lambda y, x, c=c: mc.cos(x) * c + 1.0,))
            x, w = Value(0.5), Value(1.5)
            program = compile(own(w * x), [x])
            values = [*program.forward([[0.5]]), *program.forward([[0.5]] * 3), program.backward([[0.5]] * 3), w.grad]
            y, slope = math.sin(0.75) * c + 0.75, 0.5 * (math.cos(0.75) * c + 1.0)
            found[c] = values == pytest.approx([y] * 5 + [slope], rel=1e-14)
            names[c] = frozenset(form for form, *_ in program.executables.lowering.code.instructions)

    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    threads = [threading.Thread(target=work, args=(k,)) for k in range(4)]
    try:
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    finally:
        sys.setswitchinterval(interval)
    assert len(found) == 16
    assert all(found.values())
    assert len(set(names.values())) == 16  # each formula has a name of its own
