"""`Program.prepare` returns a function that reads rows from one buffer and writes outputs to another at each call.

It skips all checks, so it is the quickest way to run a program again and again in the same buffers.
"""

import gc
import os
import subprocess
import sys
import threading
import weakref
from array import array

import numpy as np
import pytest

import micrograd_cn as mc
from micrograd_cn import Value
from micrograd_cn.compiler import compile  # noqa: A004 -- the field's name
from micrograd_cn.compiler.data import partition
from micrograd_cn.compiler.instructions import lowering
from micrograd_cn.compiler.runtime import executable
from micrograd_cn.compiler.runtime.prepared import FrequentCalls

from .common import is_native, settings

WIDTH = 3


def program(outputs=5):
    """Return a program with up to five outputs, and its parameters. The third output does not depend on the row."""
    ws, xs = [Value(0.5 * k - 1) for k in range(4)], [Value(0.25) for _ in range(WIDTH)]
    made = [mc.dot(ws[:WIDTH], xs), mc.exp(xs[0]) * ws[3], ws[0] * ws[1], xs[1], mc.tanh(xs[2] - ws[2]) * xs[0]]
    return compile(made[0] if outputs == 1 else made[:outputs], xs), ws


def buffer(n, width=WIDTH):
    """Return an array of numbers, and a view of the same memory as n rows."""
    numbers = array("d", [0.1 * k - 1 for k in range(n * width)])
    return numbers, memoryview(numbers).cast("B").cast("d", (n, width))


@pytest.mark.parametrize(("n", "outputs"), [(1, 1), (1, 5), (2, 2), (8, 4), (9, 1), (21, 5)])
def test_the_numbers_are_those_of_forward_at_every_call(code, n, outputs):
    """Each call gives what `forward` gives for the numbers that rows and parameters have at that time."""
    made, ws = program(outputs)
    numbers, rows = buffer(n)
    out, expected = array("d", bytes(8 * n * outputs)), array("d", bytes(8 * n * outputs))
    run = made.prepare(rows, out)
    del rows
    gc.collect()
    found = set()
    for change in range(3):
        for k in range(len(numbers)):
            numbers[k] += 0.125 * change
        ws[change].data += 0.5
        assert run() is out
        assert out == made.forward(memoryview(numbers).cast("B").cast("d", (n, WIDTH)), out=expected)
        found.add(tuple(out))
    assert len(found) == 3


def test_two_of_a_program_do_not_disturb_each_other():
    """Two prepared functions of one program each have their own rows and outputs."""
    made, _ = program(5)
    one, other = buffer(1), buffer(1)
    outs = array("d", bytes(40)), array("d", bytes(40))
    first, second = made.prepare(one[1], outs[0]), made.prepare(other[1], outs[1])
    other[0][0] = 7.0
    second()
    first()
    assert [list(out) for out in outs] == made.forward([list(one[0]), list(other[0])])


def test_what_cannot_be_read_or_written_in_place_is_refused():
    made, _ = program(2)
    _, rows = buffer(2)
    out = array("d", bytes(32))
    for wrong in ([[1.0, 2.0, 3.0]], rows.toreadonly(), memoryview(bytes(6)).cast("B", (2, 3))):
        with pytest.raises(TypeError, match=r"rows.*buffer|rows must be"):
            made.prepare(wrong, out)
    with pytest.raises(ValueError, match="no rows"):
        made.prepare([], array("d"))
    with pytest.raises(ValueError, match="room for 4 numbers, not for 2"):
        made.prepare(rows[:1], out)
    with pytest.raises(TypeError, match="out must be a buffer of doubles"):
        made.prepare(rows, [0.0] * 4)
    with pytest.raises(ValueError, match="rows have 2 numbers, the program 3 inputs"):
        made.prepare(buffer(2, 2)[1], out)


def test_it_is_native_code_at_once():
    """Preparing makes native code, because whoever prepares a program will call it often."""
    made, _ = program(2)
    made.prepare(buffer(1)[1], array("d", bytes(16)))
    assert is_native(made)


def without_parameters():
    """Return a program of one input and two outputs."""
    x = Value(0.5)
    return compile([mc.sin(x), x * x], [x])


def test_it_is_a_function_of_python_that_keeps_what_it_needs_and_no_longer_than_it_lives():
    """A prepared function is a builtin function that takes no arguments, and its references are counted right.

    It keeps its program and buffers alive, and frees them when it is freed itself.
    """
    made, out = without_parameters(), array("d", bytes(16))
    references = sys.getrefcount(out)
    run, program = made.prepare(buffer(1, 1)[1], out), weakref.ref(made)
    assert run.__class__ is len.__class__
    with pytest.raises(TypeError, match="takes no arguments"):
        run(1)
    assert sys.getrefcount(out) == references + 2  # the function holds `out` and a view of its memory
    results = [run() for _ in range(10)]
    assert sys.getrefcount(out) == references + 12
    del made, results
    gc.collect()
    assert program() is not None
    assert run() is out
    del run
    gc.collect()
    assert program() is None
    assert sys.getrefcount(out) == references


def test_it_holds_the_buffers_that_it_reads_and_writes():
    """The buffers cannot be resized while a prepared function uses their memory, and can afterwards."""
    numbers, out = array("d", [0.5]), array("d", bytes(16))
    run = without_parameters().prepare(memoryview(numbers).cast("B").cast("d", (1, 1)), out)
    for held in (numbers, out):
        with pytest.raises(BufferError):
            held.extend(range(100_000))
    assert run() is out
    del run
    numbers.extend([1.0])
    out.extend([1.0])


@pytest.mark.parametrize("long", [True, False])
def test_other_threads_run_during_a_long_call_but_not_during_a_short_one(long):
    """A call for many numbers releases the GIL; a short call keeps it, since a release would take longer than it."""
    n, interval = 1 << 18, sys.getswitchinterval()
    with settings({"runtime.executable.GIL_RELEASE_SIZE": 0 if long else sys.maxsize}):
        run = without_parameters().prepare(buffer(n, 1)[1], array("d", bytes(16 * n)))
    begun, seen, found = threading.Event(), [], []

    def call():
        begun.set()
        for _ in range(20):
            run()
        found.extend(seen)

    sys.setswitchinterval(1e6)  # Python never takes the GIL away from a thread, which has to release it by itself
    try:
        thread = threading.Thread(target=call)
        thread.start()
        begun.wait()
        seen.append(True)
        thread.join()
    finally:
        sys.setswitchinterval(interval)
    assert found == [True] * long


def test_many_shapes_in_rotation_are_prepared_while_their_memory_is_small():
    f, ones = compile(lambda a, b: mc.dot(list(a), list(b))), [np.ones(k) for k in range(1, 13)]

    def ready():
        return sum(hasattr(x, "runner") for x in f._arrays.runners.values())

    for _ in range(52):
        assert [f(x, x) for x in ones] == [*range(1, 13)]
    assert ready() == len(ones)
    with settings({"function.array_calls.MAX_DOUBLES": 100}):
        for _ in range(52):
            assert f(np.ones(13), np.ones(13)) == 13.0
        assert ready() == 1


def test_calls_of_one_kind_are_prepared_although_each_other_call_is_of_a_new_kind():
    found = FrequentCalls(4)

    def call(kind):
        if kind not in found and found.is_due(kind, lambda: True):
            found.add(kind, "ready")

    for k in range(200):
        call("often")
        call(f"once {k}")
        assert len(found) + len(found._counts) <= 5
    assert [*found] == ["often"]
    for kind in ("a", "b", "c", "d", "e"):  # prepared kinds give way, too
        for _ in range(60):
            call(kind)
        assert found[kind] == "ready"
    assert len(found) <= 4
    found.count_anew("e")
    call("e")
    assert "e" not in found


@pytest.mark.parametrize("method", ["backward", "forward"])
def test_the_call_that_is_prepared_lowers_nothing_and_finds_its_driver_compiled(method, monkeypatch):
    """Otherwise, this one call would take as long as dozens of those before it."""
    lowered, begun = [], []
    made = lowering.Lowering.__init__
    monkeypatch.setattr(lowering.Lowering, "__init__", lambda self, *xs: lowered.append(self) or made(self, *xs))
    monkeypatch.setattr(executable, "has_driver", lambda name, lanes, fast: False)
    monkeypatch.setattr(executable._tasks, "do", lambda key, work: begun.append((len(counts), key, work)))
    w, counts = Value(0.5), []
    f = compile(lambda x, y: (w * x - y) ** 2)
    for _ in range(60):
        counts.append(len(lowered))
        getattr(f, method)((np.ones(9), np.ones(9)))
    assert counts == [0] + [counts[1]] * 59
    after, (name, lanes), work = begun[0]
    assert 0 < after < 40
    assert {key for _, key, _ in begun} == {(name, lanes)}
    assert name == {"backward": "prepared_gradient", "forward": "prepared_forward"}[method]
    assert lanes == f.recording_of(np.ones(()), np.ones(())).program.compiled.machine.width
    assert work()


@pytest.mark.parametrize(("has_driver", "ready"), [(True, 12), (False, 201)])
def test_calls_are_prepared_once_their_driver_is_compiled(has_driver, ready, monkeypatch):
    """The driver is compiled once in a process, so it is compiled for most functions. No call waits for it."""
    monkeypatch.setattr(executable, "has_driver", lambda name, lanes, fast: has_driver)
    monkeypatch.setattr(executable._tasks, "do", lambda key, work: None)
    w = Value(0.5)
    f = compile(lambda x, y: (w * x - y) ** 2)
    counts = []
    for _ in range(200):
        f.backward((np.ones(9), np.ones(9)))
        counts.append(len(f._arrays.runners))
    assert counts == [0] * (ready - 1) + [1] * (201 - ready)


def test_results_are_searched_for_nan_without_waiting_for_machine_code(monkeypatch):
    """Where it finds nan, the slower code with gates computes the derivatives."""
    begun = []
    monkeypatch.setattr(partition._kernels, "_addresses", {})
    monkeypatch.setattr(partition._kernels._tasks, "do", lambda key, work: begun.append(key))
    f = compile(lambda x: [mc.where(mc.less(0.0, x), mc.sqrt(x), 0.0), x * x])
    xs = np.array([4.0, 1.0, 0.25])
    for _ in range(20):
        assert f.jacobian((xs,), dense=True).tolist() == [[[0.25], [8.0]], [[0.5], [2.0]], [[1.0], [0.5]]]
    assert f.jacobian((xs - 4.0,), dense=True)[0].tolist() == [[0.0], [0.0]]
    assert {*begun} == {"finds_nan"}


def test_preparing_calls_of_a_jacobian_does_not_walk_through_the_graph(monkeypatch):
    """Only `backward` has to know which parameters the gradient reaches. In a large graph this takes milliseconds."""
    walks = []
    monkeypatch.setattr("micrograd_cn.compiler.program.visited_nodes", lambda outputs: walks.append(outputs) or set())
    w = Value(2.0)
    f = compile(lambda x: [w * x * x, w * x])
    for _ in range(20):
        f.jacobian((np.array([1.0, 2.0, 3.0]),))
    assert any(f._arrays.runners.values())
    assert not walks


def test_the_second_call_finds_its_driver_compiled():
    """It takes half of the time to compile the driver together with the kernels of the first call."""
    f = compile(lambda x: mc.exp(x))
    assert f(0.0) == 1.0
    code = f.recording_of(0.0).program.compiled.tiers("forward", rows_in_lanes=False).get(native=False)
    assert any("prepared_forward" in name for name in code.tables.kernels)


def test_a_call_after_many_of_another_kind_gets_its_own_numbers():
    """What the latest calls have found is used only for calls of the same method, with samples of the same form.

    The function computes something else for a list than for an array of as many numbers.
    """
    w = Value(3.0)
    f = compile(lambda x, y: (w * len(x + x) + mc.sum(x) - y) ** 2)
    x2, x3, y = np.array([1.0, 2.0]), np.array([1.0, 2.0, 4.0]), np.array([0.5, 1.5, 2.5, 3.5])
    samples = {
        **{"one": [(x2, 0.5)], "longer": [(x3, 0.5)], "listed": [([1.0, 2.0], 0.5)], "named": [[x2, 0.5]]},
        **{"two": [(x2, 0.5), (x2, 1.5)], "rows": (np.array([x2, x2, x2, x2]), y), "row": (x3[None], y[:1])},
        **{"tuple": [((1.0, 2.0), 0.5)], "longer list": [([1.0, 2.0, 4.0], 0.5)], "integers": [([1, 2], 3)]},
        **{"two lists": [([1.0, 2.0], 0.5), ([4.0, 2.0], 1.5)], "other": [([1.0, 2.0], 0.5), ((4.0, 2.0), 1.5)]},
    }
    kinds = [(name, form) for name in ("backward", "forward", "gradient", "value_and_grad") for form in samples]

    def called(name, form):
        w.grad = 0.0
        found = getattr(f, name)(samples[form])
        parts = found if isinstance(found, tuple) else [found]
        return [
            np.asarray(part).tolist() for part in parts
        ], w.grad  # exact, since all numbers are small multiples of 1/4

    expected = {kind: called(*kind) for kind in kinds}
    for kind in kinds:
        for _ in range(60):
            called(*kind)
    for first in kinds:
        for second in kinds:
            for kind in [first] * 5 + [second, first]:
                assert called(*kind) == expected[kind], (first, second, kind)


@pytest.mark.parametrize("method", ["forward", "gradient", "backward", "value_and_grad"])
@pytest.mark.parametrize("wrong", [("1.0", 2.0), (None, 2.0), (1j, 2.0)])
def test_what_is_no_number_is_refused_after_many_calls_as_in_the_first_one(method, wrong):
    w = Value(3.0)
    f = compile(lambda x, y: (w * x[0] + x[1] - y) ** 2)
    call = getattr(f, method)
    for _ in range(80):
        call([([1.0, 2.0], 0.5)])
    for samples in ([([*wrong], 0.5)], [([1.0, 2.0], wrong[0])]):
        with pytest.raises((TypeError, ValueError), match="sample 0"):
            call(samples)


KEPT_TO_THE_END = """
import sys
from array import array
from micrograd_cn import Value
from micrograd_cn.compiler import compile

x, w, kept = Value(0.5), Value(2.0), {}
rows = memoryview(array("d", [3.0])).cast("B").cast("d", (1, 1))
kept["itself"], kept["run"] = kept, compile([x * w], [x]).prepare(rows, array("d", [0.0]))
sys.kept = kept
"""


def test_a_function_of_machine_code_that_lives_until_python_ends_does_not_crash_it():
    """Python freed the description of the function before the function, and then read it: now and then it crashed."""
    # glibc fills the memory that is freed with these bytes, so reading it crashes for sure
    environment = os.environ | {"PYTHONMALLOC": "malloc", "MALLOC_PERTURB_": "255"}
    subprocess.run([sys.executable, "-c", KEPT_TO_THE_END], env=environment, check=True)
