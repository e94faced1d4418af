"""What is prepared computes what `forward` does, from the numbers and parameters as they are at each call."""

import gc
import sys
import threading
import weakref
from array import array

import pytest

import micrograd_cn as mc
from micrograd_cn import Value
from micrograd_cn.compiler import compile  # noqa: A004 -- the field's name

from .common import is_native, settings

WIDTH = 3


def program(outputs=5):
    """Return a program of some outputs, one of them a constant of the rows, and its parameters."""
    ws, xs = [Value(0.5 * k - 1) for k in range(4)], [Value(0.25) for _ in range(WIDTH)]
    made = [mc.dot(ws[:WIDTH], xs), mc.exp(xs[0]) * ws[3], ws[0] * ws[1], xs[1], mc.tanh(xs[2] - ws[2]) * xs[0]]
    return compile(made[0] if outputs == 1 else made[:outputs], xs), ws


def buffer(n, width=WIDTH):
    """Return numbers, and the same as rows."""
    numbers = array("d", [0.1 * k - 1 for k in range(n * width)])
    return numbers, memoryview(numbers).cast("B").cast("d", (n, width))


@pytest.mark.parametrize(("n", "outputs"), [(1, 1), (1, 5), (2, 2), (8, 4), (9, 1), (21, 5)])
def test_the_numbers_are_those_of_forward_at_every_call(code, n, outputs):
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
    made, _ = program(2)
    made.prepare(buffer(1)[1], array("d", bytes(16)))
    assert is_native(made)


def without_parameters():
    x = Value(0.5)
    return compile([mc.sin(x), x * x], [x])


def test_it_is_a_function_of_python_that_keeps_what_it_needs_and_no_longer_than_it_lives():
    made, out = without_parameters(), array("d", bytes(16))
    references = sys.getrefcount(out)
    run, program = made.prepare(buffer(1, 1)[1], out), weakref.ref(made)
    assert run.__class__ is len.__class__
    with pytest.raises(TypeError, match="takes no arguments"):
        run(1)
    assert sys.getrefcount(out) == references + 2  # one is its buffer's
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
    n, interval = 1 << 18, sys.getswitchinterval()
    with settings({"runtime.executable.GIL_RELEASE_SIZE": 0 if long else sys.maxsize}):
        run = without_parameters().prepare(buffer(n, 1)[1], array("d", bytes(16 * n)))
    begun, seen, found = threading.Event(), [], []

    def call():
        begun.set()
        for _ in range(20):
            run()
        found.extend(seen)

    sys.setswitchinterval(1e6)  # nobody is made to wait
    try:
        thread = threading.Thread(target=call)
        thread.start()
        begun.wait()
        seen.append(True)
        thread.join()
    finally:
        sys.setswitchinterval(interval)
    assert found == [True] * long
