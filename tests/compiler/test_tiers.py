"""Threaded and native code give the same bits, and a program changes from one to the other without being noticed."""

import gc
import math
import random
import struct
import sys
import threading
import time
import weakref
from functools import reduce
from itertools import product
from math import inf

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import micrograd_cn as mc
from micrograd_cn import Op, Value, gradients
from micrograd_cn.compiler import compile  # noqa: A004 -- the field's name
from micrograd_cn.compiler.llvm.machine import VECTOR_LEVEL, Machine
from micrograd_cn.compiler.runtime import executable
from micrograd_cn.compiler.runtime.executable import Tiers
from micrograd_cn.engine import constant
from micrograd_cn.optim import SGD
from micrograd_cn.testing import expressions
from micrograd_cn.testing.numeric.numerical import rounding_error

from .common import OPTIMISERS, code_of, compiled_for_all, everything, is_native, loop, problem, sizes
from .common import settings as kept


def run(output, inputs, rows, kind, parameters):
    """Return the bits of what one kind of code computes for many rows, which run in vectors, and for single rows."""
    with code_of(kind):
        program, found = compile(output, inputs), []
        for forward, backward in ((rows, rows), (rows[:1], rows[1:3])):
            for p in parameters:
                p.grad = 0.0
            found += [*program.forward(forward), program.backward(backward), *(p.grad for p in parameters)]
    assert is_native(program) == kind.endswith("native")
    return [struct.pack("d", x) if x == x else b"nan" for x in found]


@given(expressions(), st.integers(0, 3))
@settings(
    max_examples=max(8, settings().max_examples // 3), suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_kinds_of_code_give_the_same_bits_and_the_engines_numbers(f, count):
    """Threaded and native code of a random expression give the same bits, and differ from the engine by rounding only.

    So do gathered and fused code for many rows, and native code of what is fused.
    """
    count = min(count, len(f.point))
    inputs, parameters = [[Value(x) for x in part] for part in (f.point[:count], f.point[count:])]
    y = f(*inputs, *parameters)
    if not isinstance(y, Value) or y.op is None:
        return
    row = f.point[:count]
    rows = [row, [x + 0.25 for x in row], [-x for x in row]] * 6
    threaded, native, gathered, fused, fused_native = [
        run(y, inputs, rows, kind, parameters) for kind in ("threaded", "native", "gathered", "fused", "fused native")
    ]
    assert threaded == native
    assert fused == fused_native
    in_lanes = len(rows) + 1 + len(parameters)
    assert gathered[:in_lanes] == fused[:in_lanes]  # for single rows, fused code adds short sums in another order
    expected, size = gradients(y, parameters, create_graph=True), sizes(y)
    for kind in ("threaded", "gathered", "fused"):
        with code_of(kind):
            program = compile(y, inputs)
            for some in ([row], [row] * 3):
                for found in program.forward(some):
                    assert abs(found - y.data) <= 1e-12 * abs(y.data) + 16 * rounding_error(y)
                for p in parameters:
                    p.grad = 0.0
                program.backward(some)
                for p, g in zip(parameters, expected, strict=True):
                    error = rounding_error(g) + 2.0**-53 * size[p]
                    assert abs(p.grad - g.data) <= 1e-12 * abs(g.data) + 16 * error


def powers(x, n):
    """Return n numbers: x, and then each number times x, plus 0.7."""
    found = [x]
    for _ in range(n - 1):
        found.append(found[-1] * x + 0.7)
    return found


@pytest.mark.parametrize(
    "forward",
    [
        lambda a, b, x: mc.sum([a - 1.0, b - 2.0, a * b, 0.3, x]) * x,
        lambda a, b, x: mc.logsumexp([a, b, 0.5]) * x * x,
        lambda a, b, x: mc.dot([0.1 * k + 0.3 for k in range(9)] + powers(x, 3), powers(x, 9) + powers(x, 6)[3:]),
        lambda a, b, x: mc.sum([mc.gelu(p) * b for p in powers(0.9 * x, 18)]),
    ],
)
def test_both_kinds_of_code_give_the_same_bits_of_ones_own_formulas(forward):
    """Threaded and native code give the same bits for user-defined operations, with constants among their operands."""
    own = Op("own", forward, tuple([lambda y, a, b, x: forward(b, x, a)] * 3))
    x, ws = Value(0.3), [Value(0.1 * i) for i in range(8)]
    rows = [[0.1 * i - 1.0] for i in range(19)]
    constants = [own(constant(0.1 * i), constant(0.7 * i), x) for i in range(8)]
    mixed = [own(w, constant(0.07 * i), x) * own(x, w, w) for i, w in enumerate(ws)]
    y = mc.sum([*constants, *mixed, *(own(w, w * w, 0.1 * w) * x for w in ws)])
    threaded, native = [run(y, [x], rows, kind, ws) for kind in ("threaded", "native")]
    assert threaded == native


@pytest.mark.parametrize("first", [(mc.sin, mc.cos), (mc.cos, mc.sin)])
def test_fused_code_takes_no_tree_of_functions_for_another(first):
    """Each chain of functions of an input has its own result, whichever trees come before it."""
    chains = [chain for n in (2, 3) for chain in product(first, repeat=n)]

    def f(x):
        of_chains = [reduce(lambda y, function: function(y), chain, y) for chain, y in zip(chains, x[2:], strict=True)]
        return [first[0](x[0]) + first[1](x[1]), *of_chains]

    sample = [0.1 * k for k in range(2 + len(chains))]
    with code_of("fused"):
        assert compile(f)(sample) == pytest.approx([y.data for y in f([*map(Value, sample)])], rel=1e-14)


def test_code_is_freed_with_the_program_and_shared_functions_stay(code):
    """A program's code is freed with the program, and the kernels that all programs share are not."""
    x, w = Value(2.0), Value(3.0)
    program = compile(mc.tanh(w * x), [x])
    program.backward([[1.0]] * 3)
    program.fit([[1.0]] * 3, SGD([w], lr=0.1), 1)
    assert is_native(program) == (code == "native")
    freed = [
        weakref.ref(program),
        weakref.ref(program.compiled.select_executable("gradient", 3)),
        weakref.ref(program.compiled),
    ]
    shared = compiled_for_all()
    assert all(one() is not None for one in freed)
    del program
    executable.forget_tiers()
    gc.collect()
    assert [one() for one in freed] == [None] * len(freed)
    assert compiled_for_all() == shared
    assert compile(mc.tanh(w * x), [x]).forward([[1.0]] * 3) == pytest.approx([math.tanh(w.data)] * 3, rel=1e-15)


def model_of(numbers):
    """Return a program with the two constants and the parameter in `numbers`, and the parameter."""
    k, a, w = numbers
    w, x = Value(w), Value(1.0)
    return compile(mc.where(mc.less(k, x), mc.tanh(w * x) + a, w / x), [x]), w


@pytest.mark.parametrize("numbers", [(0.5, 0.25, 3.0), (0.5, 0.25, 7.0)])
def test_equal_instructions_share_their_code(numbers):
    """Programs with equal instructions share it, whatever their parameters are, and each has its own numbers."""
    rows = [[0.1], [0.5], [2.0]]

    def results(program, w):
        w.grad = 0.0
        return program.forward(rows), program.forward(rows[:1]), program.backward(rows), w.grad

    expected = []
    for each in ((0.5, 0.25, 3.0), numbers):
        executable.forget_tiers()
        expected.append(results(*model_of(each)))
    executable.forget_tiers()
    first, second = model_of((0.5, 0.25, 3.0)), model_of(numbers)
    assert [results(*first), results(*second), results(*first)] == [*expected, expected[0]]
    [one, other] = [program.compiled.select_executable("gradient", 3) for program, _ in (first, second)]
    assert one is other


def test_programs_that_share_their_code_train_in_turns_as_each_does_alone():
    """Memory that one program has trained in may be the other's next, with other samples and parameters."""

    def trained(shares):
        executable.forget_tiers()
        both = []
        for start, rows in ((3.0, [[0.1], [0.5], [2.0]]), (0.5, [[1.0], [-2.0], [0.25]])):
            if not shares:
                executable.forget_tiers()
            program, w = model_of((0.5, 0.25, start))
            both.append((program, rows, w, SGD([w], lr=0.01, momentum=0.9)))
        losses = []
        for _ in range(3):
            for program, rows, w, optimizer in both:
                if not shares:
                    executable.forget_tiers()
                losses += [*program.fit(rows, optimizer, 2), w.data]
        return losses

    assert trained(shares=True) == trained(shares=False)


@pytest.mark.parametrize("changed", [(-0.0, 0.0, 1.0), (math.nan, 0.0, 1.0), (0.5, 0.0, 1.0)])
def test_other_constants_have_other_code(changed):
    """Constants that differ in their bits alone, as 0.0 and -0.0 do, are not mistaken for each other."""
    x = Value(1.0)
    for numbers in ((0.0, 0.0, 1.0), changed):
        one = compile([x * numbers[0], x + numbers[1]], [x])
        [product, added] = one.forward([[2.0]])[0]
        assert [struct.pack("d", y) for y in (product, added)] == [
            struct.pack("d", y) for y in (2.0 * numbers[0], 2.0 + numbers[1])
        ]


def test_a_program_has_native_code_at_once_if_an_equal_one_had_it(monkeypatch):
    """So training the same model again does not wait for it, and a program that is dropped leaves it to the next."""
    rows = [[0.5]] * 3
    monkeypatch.setattr(executable, "SECONDS_BEFORE_NATIVE", 0.0)
    model_of((0.5, 0.25, 3.0))[0].forward(rows)
    monkeypatch.setattr(executable, "SECONDS_BEFORE_NATIVE", inf)
    for numbers, expected in (((0.5, 0.25, 7.0), True), ((0.5, 0.75, 3.0), False)):
        again, _ = model_of(numbers)
        again.forward(rows)
        assert is_native(again) is expected


def test_little_code_of_earlier_programs_is_kept(monkeypatch):
    """What is kept is bounded in number and in bytes, and what was used last stays."""
    monkeypatch.setattr(executable, "MAX_KEPT", 3)
    x = Value(1.0)
    chains = [compile(mc.sum([x] * k), [x]) for k in range(2, 7)]
    codes = [weakref.ref(one.compiled.select_executable("forward", 1)) for one in chains[:3]]
    compile(mc.sum([x] * 2), [x]).forward([[1.0]])
    assert [one.forward([[1.0]]) for one in chains[3:]] == [[5.0], [6.0]]
    del chains
    gc.collect()
    assert [code() is not None for code in codes] == [True, False, False]
    monkeypatch.setattr(executable, "KEPT_BYTES", 0)
    compile(x * x, [x]).forward([[1.0]])
    gc.collect()
    assert codes[0]() is None


def test_what_has_run_for_long_gets_native_code_with_the_same_bits():
    """A program that has run for long enough gets native code, which changes no bit, unless its graph is too large."""
    _, program, rows, model = problem()
    with kept({"runtime.executable.SECONDS_BEFORE_NATIVE": inf}):
        expected = [program.forward(rows), program.forward(rows[:2]), program.backward(rows)]
        assert "threaded code" in repr(program)
    with kept({"runtime.executable.SECONDS_BEFORE_NATIVE": 0.0}):
        program.forward(rows)
        assert is_native(program)
        assert [program.forward(rows), program.forward(rows[:2]), program.backward(rows)] == expected
    large = compile(mc.tanh(model.parameters()[0]) * 2.0, [])
    with kept({"runtime.executable.SECONDS_BEFORE_NATIVE": 0.0, "runtime.executable.MAX_NATIVE_COST": 0}):
        large.forward([[]])
        assert not is_native(large), "the graph is too large for native code"


@pytest.mark.parametrize("threaded_is_faster", [False, True])
def test_a_large_program_gets_the_faster_of_native_and_threaded_code(threaded_is_faster, monkeypatch):
    """Native code of a large program is compiled in several modules, and used if it is faster than threaded code."""
    _, program, rows, _ = problem()
    large = {"loops.schedule.MAX_UNFUSED_COST": 10, "native.LINES_PER_MODULE": 20}
    with kept(large | {"runtime.executable.SECONDS_BEFORE_NATIVE": inf}):
        expected = [program.forward(rows), program.forward(rows[:2]), program.backward(rows)]
        measured, original = [], Tiers._seconds

        def seconds(self, code, *numbers):
            measured.append((code.kind, code.lanes > 1, code.native, original(self, code, *numbers) > 0))
            return float(code.native == threaded_is_faster)

        monkeypatch.setattr(Tiers, "_seconds", seconds)
    with kept(large | {"runtime.executable.SECONDS_BEFORE_NATIVE": 0.0}):
        for _ in range(3):
            assert [program.forward(rows), program.forward(rows[:2]), program.backward(rows)] == expected
        loop_losses = program.fit(rows, SGD(program.parameters, lr=0.0), epochs=3)
    assert loop_losses == pytest.approx([expected[2]] * 3, rel=1e-12)
    assert is_native(program) != threaded_is_faster
    every = [(kind, lanes) for kind, lanes in (("forward", True), ("forward", False), ("gradient", True))]
    assert sorted(measured) == sorted([(*key, native, True) for key in every for native in (False, True)])
    modules = program.compiled.tiers("gradient", True).get(native=True).code
    assert threaded_is_faster or len(modules._compiled) > 1


def test_native_code_is_made_after_a_time_by_itself():
    """With the default settings, a program gets native code if it is called again and again for at most a minute.

    Native code is made at once if the program will probably run for a minute.
    """
    x, w = Value(2.0), Value(3.0)
    program, end = compile(mc.tanh(w * x), [x]), time.monotonic() + 60
    rows = [[0.001 * k] for k in range(2000)]
    expected = program.forward(rows)
    assert not is_native(program)
    while not is_native(program) and time.monotonic() < end:
        assert program.forward(rows) == expected
    assert is_native(program)
    assert not program.compiled.select_executable("gradient", 3).native
    assert program.compiled.select_executable("gradient", 3, left=60.0).native, "it will run for long enough"


@pytest.mark.parametrize("rows", [1, 37])
def test_training_goes_on_from_where_it_was_with_native_code(rows):
    """`fit` may change to native code between two steps, and gives the same bits as a loop of steps."""
    (ours, program, data, _), (theirs, other, _, _) = problem(), problem()
    mine, yours = OPTIMISERS["adam"](ours), OPTIMISERS["adam"](theirs)
    told = []

    def progress(losses):
        told.append(is_native(program))
        executable.SECONDS_BEFORE_NATIVE = inf if len(told) < 3 else 0.0

    with kept({"runtime.executable.SECONDS_BEFORE_NATIVE": inf, "training.epochs.POLL_SECONDS": 0.0}):  # step by step
        program.fit(data, mine, 8, batch_size=rows, progress=progress)
    assert told[:3] == [False] * 3
    assert told[-1]
    loop(other, data, yours, 8, rows)
    assert everything(ours, mine) == everything(theirs, yours)


def test_other_threads_go_on_while_code_is_made(monkeypatch):
    """While one thread compiles a program to native code, other threads can run its threaded code."""
    x, w = Value(2.0), Value(3.0)
    program = compile(mc.tanh(w * x), [x])
    assert program.forward([[0.5]] * 2) == [math.tanh(1.5)] * 2
    get, found = Tiers.get, []

    def slow(self, native):
        if native:
            thread = threading.Thread(target=lambda: found.append(program.forward([[0.5]] * 2)))
            thread.start()
            thread.join(60)
        return get(self, native)

    monkeypatch.setattr(Tiers, "get", slow)
    with kept({"runtime.executable.SECONDS_BEFORE_NATIVE": 0.0}):
        assert program.forward([[0.5]] * 2) == [math.tanh(1.5)] * 2
    assert found == [[math.tanh(1.5)] * 2]
    assert is_native(program)


@pytest.mark.parametrize("rows", [2, 5])
def test_native_code_has_the_formulas_constants_and_parameters_of_the_threaded_code(rows):
    """Native code that is made later has the constants and formulas of the time when the graph was compiled.

    Constants, and numbers that formulas read, may have changed since, and threaded code does not have the change.
    """
    factor = [0.5]
    scaled = Op("scaled", lambda x: x * factor[0], (lambda y, x: factor[0],))
    x, w, v, c = Value(2.0), Value(3.0), Value(5.0), Value(4.0).detach()
    program = compile(scaled(w * x) + v * c, [x])
    data = [[1.0]] * rows
    assert program.forward(data) == [21.5] * rows
    program.backward(data)
    assert (w.grad, v.grad, c.grad) == (0.5, 4.0, 0.0)
    w.grad = v.grad = 0.0
    c.data, w.data, v.requires_grad, factor[0] = 100.0, 10.0, False, 2.0
    assert "4.0" in program.source("python")
    with kept({"runtime.executable.SECONDS_BEFORE_NATIVE": 0.0}):
        assert program.forward(data) == [25.0] * rows
        program.backward(data)
        assert is_native(program)
    assert (w.grad, v.grad, c.grad) == (0.5, 0.0, 0.0)  # v is frozen


def test_threads_run_one_program_at_the_same_time():
    """Eight threads that run one program at the same time get their own rows' results, each time."""
    _, program, _, _ = problem()
    rng = random.Random(5)
    batches = [[[rng.uniform(-1, 1) for _ in range(4)] for _ in range(50)] for _ in range(8)]
    expected = [program.forward(batch) for batch in batches]
    results = [[] for _ in batches]

    def run(i):
        for _ in range(100):
            results[i].append(program.forward(batches[i]))

    threads = [threading.Thread(target=run, args=(i,)) for i in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for found, right in zip(results, expected, strict=True):
        assert all(one == right for one in found)
        assert len(found) == 100


def test_threads_compile_at_the_same_time(code):
    """Threads that compile different user-defined operations at the same time get their own, and each is right."""
    found = {}

    def work(thread):
        for k in range(4):
            c = 0.1 + 0.25 * (4 * thread + k)
            own = Op("own", lambda x, c=c: mc.sin(x) * c + x, (lambda y, x, c=c: mc.cos(x) * c + 1.0,))
            x, w = Value(0.5), Value(1.5)
            program = compile(own(w * x), [x])
            values = [*program.forward([[0.5]]), *program.forward([[0.5]] * 3), program.backward([[0.5]] * 3), w.grad]
            y, slope = math.sin(0.75) * c + 0.75, 0.5 * (math.cos(0.75) * c + 1.0)
            found[c] = values == pytest.approx([y] * 5 + [slope], rel=1e-14)

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


@pytest.mark.parametrize("large", [False, True])
def test_functions_that_store_outputs_as_vectors_are_optimised(monkeypatch, large):
    """LLVM 22 aborts the process on some of them at its lowest level, on processors with AVX-512."""
    levels, compiled = [], Machine.compile

    def noted(self, functions, op_names, level):
        levels.append((level, any("store <" in line and "%a" in str(f) for f in functions for line in f.lines)))
        return compiled(self, functions, op_names, level)

    monkeypatch.setattr(Machine, "compile", noted)
    x, w = Value(0.5), Value(2.0)
    outputs = [mc.sin(x * k) + w for k in range(1, 10)]
    with kept({"loops.schedule.MAX_UNFUSED_COST": -1 if large else 10**9}):
        program = compile(outputs, [x])
        program.compiled.tiers("forward", rows_in_lanes=True).get(native=True)
    assert levels
    assert all(level == VECTOR_LEVEL for level, stores in levels if stores)
    rows = [[0.1 * k] for k in range(20)]
    assert program.forward(rows)[3][2] == pytest.approx(math.sin(0.3 * 3) + 2.0, rel=1e-14)
