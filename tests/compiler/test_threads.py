"""Rows that are divided among threads give the numbers of one thread, and interrupts and forks leave threads sound."""

import contextlib
import math
import os
import random
import signal
import subprocess
import sys
import threading
import time
import warnings
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

import pytest

from micrograd_cn import Op, Value
from micrograd_cn.compiler import GuardError, compile  # noqa: A004 -- the field's name
from micrograd_cn.compiler.runtime.executable import Executable
from micrograd_cn.compiler.threads import forks
from micrograd_cn.compiler.threads.tasks import run_parallel
from micrograd_cn.optim import SGD, cosine_lr, warmup

from .common import OPTIMISERS, everything, in_turn, loop, problem, settings


@pytest.mark.parametrize("threads", [2, 3, 5])
def test_numbers_are_those_of_one_thread(code, threads):
    """Outputs of several threads have the bits of one thread, and gradients differ by the rounding of sums only."""
    parameters, program, data, _ = problem()
    for rows in (1, 2, 3, 8, 9, 37):
        of_one_thread(parameters, program, data[:rows], threads)


def of_one_thread(parameters, program, data, threads):
    """Assert that the results of some threads are those of one thread."""
    assert program.forward(data, threads=threads) == program.forward(data)
    found = []
    for count in (1, threads):
        for p in parameters:
            p.grad = 0.0
        found.append((program.backward(data, threads=count), [p.grad for p in parameters]))
    assert found[1][0] == pytest.approx(found[0][0], rel=1e-13)
    assert found[1][1] == pytest.approx(found[0][1], rel=1e-11, abs=1e-15)


def test_no_more_threads_have_memory_than_there_are_rows(monkeypatch):
    acquired, acquire = [], Executable.acquire
    monkeypatch.setattr(Executable, "acquire", lambda self: acquired.append(self) or acquire(self))
    w = Value(1.0)
    f, rows = compile(lambda x: (w * x - 1.0) ** 2), ([1.0, 2.0, 3.0],)
    for use in (
        lambda: f.forward(rows, 1000),
        lambda: f.gradient(rows, threads=1000),
        lambda: f.backward(rows, 1000),
        lambda: f.fit(rows, SGD([w], 0.1), 2, threads=1000),
    ):
        acquired.clear()
        with settings({"runtime.executable.SECONDS_BEFORE_NATIVE": math.inf}):  # native code has memory, too
            use()
        assert 1 <= len(acquired) <= 3


@pytest.mark.parametrize("threads", [1, 2, 3])
@pytest.mark.parametrize("outputs", [1, 3])
def test_outputs_are_in_order_whoever_computes_which_part_of_them(threads, outputs):
    """Outputs are in the order of the rows, although threads compute parts of them in any order."""
    x = Value(0.5)
    program = compile([x * k for k in range(2, outputs + 2)] if outputs > 1 else x * 2.0, [x])
    for rows in (1, 2, 3, 17, 999, 20_000, *[100_000] * (threads == 3)):
        expected = [[i * k for k in range(2, outputs + 2)] for i in range(rows)]
        found = program.forward([[float(i)] for i in range(rows)], threads)
        assert found == (expected if outputs > 1 else [2.0 * i for i in range(rows)])


def test_each_number_of_threads_gives_the_same_bits_each_time():
    """The gradient of three threads is the same each time: its parts are added in an order that does not vary."""
    parameters, program, data, _ = problem()
    found = set()
    for _ in range(20):
        for p in parameters:
            p.grad = 0.0
        program.backward(data, threads=3)
        found.add(tuple(p.grad for p in parameters))
    assert len(found) == 1


@pytest.mark.parametrize(
    ("code", "schedule", "batch"),
    in_turn([None, warmup(cosine_lr(0.1, 10), 4)], [1, 10, None]),
    indirect=["code"],
)
def test_training_in_threads_is_the_loop_of_steps(code, batch, schedule):
    """`fit` in two threads gives the bits of a loop of steps with `backward` in two threads."""
    (ours, program, rows, _), (theirs, other, _, _) = problem(extra=5), problem(extra=5)
    mine, yours = OPTIMISERS["adam"](ours), OPTIMISERS["adam"](theirs)
    backward = other.backward
    other.backward = lambda chosen: backward(chosen, threads=2)
    losses = program.fit(rows, mine, 3, batch_size=batch, shuffle=random.Random(1), threads=2, schedule=schedule)
    expected = loop(other, rows, yours, 3, batch or len(rows), random.Random(1), schedule)
    assert losses == pytest.approx(expected, rel=1e-12)
    assert everything(ours, mine) == everything(theirs, yours)


def test_tasks_run_at_the_same_time_and_results_are_in_order():
    """`run_parallel` runs all tasks at the same time, so they can wait for each other, and returns results in order."""
    meeting = threading.Barrier(3, timeout=60)

    def meet(k):
        meeting.wait()
        return k

    assert run_parallel([lambda k=k: meet(k) for k in range(3)]) == [0, 1, 2]
    assert run_parallel([lambda: "alone"]) == ["alone"]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_a_forked_process_makes_threads_of_its_own():
    """A forked child has none of its parent's worker threads, so it starts its own instead of waiting forever."""
    assert run_parallel([lambda: 1, lambda: 2]) == [1, 2]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # Python warns of a fork while there are threads
        child = os.fork()
    if not child:
        signal.alarm(10)
        os._exit(run_parallel([lambda: 1, lambda: 2]) != [1, 2])
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


@pytest.mark.parametrize("threads", [0, -1, 1.0, True, "2", None])
def test_other_numbers_of_threads_are_refused(threads):
    x, w = Value(1.0), Value(math.pi)
    program = compile(w * x, [x])
    optimizer = OPTIMISERS["sgd"]([w])
    for call in (program.forward, program.backward, lambda rows, **more: program.fit(rows, optimizer, 1, **more)):
        with pytest.raises(ValueError, match="threads must be an int of at least 1"):
            call([[1.0]], threads=threads)
    assert (w.data, w.grad) == (math.pi, 0.0)


def test_no_task_runs_any_more_after_ctrl_c_whenever_it_comes():
    """When `run_parallel` raises KeyboardInterrupt, no task runs any more, even if Ctrl-C came twice.

    A task that still ran would write to buffers that the caller may already use for something else.
    """
    running, lock, random_, interrupted, shots = [0], threading.Lock(), random.Random(0), 0, 0

    def task():
        with lock:
            running[0] += 1
        time.sleep(0.002)
        with lock:
            running[0] -= 1

    def interrupt(*_):
        nonlocal shots
        shots -= 1
        if shots >= 0:
            raise KeyboardInterrupt

    signal.signal(signal.SIGALRM, interrupt)
    try:
        for _ in range(150):
            shots = 2  # the second one comes while `run_parallel` waits for its tasks to end
            try:
                signal.setitimer(signal.ITIMER_REAL, random_.uniform(1e-5, 3e-3), random_.choice([0.0, 4e-4]))
                run_parallel([lambda: time.sleep(1e-4), task, task])
                shots = 0
            except KeyboardInterrupt:
                shots = 0
                interrupted += 1
                assert running == [0]
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0.0)
        signal.signal(signal.SIGALRM, lambda *_: None)  # a late signal without a handler would end the process
    assert interrupted > 50
    assert run_parallel([lambda: 1, lambda: 2, lambda: 3]) == [1, 2, 3]


# Recording


def test_threads_that_call_a_function_for_the_first_time_at_once_make_its_programs_one_after_the_other():
    """Eight threads that call a function for the first time at once get right results, and make no program twice."""
    ws = [Value(k + 1.0) for k in range(8)]
    at_once = threading.Barrier(8)

    @compile(static="k", branches=True)
    def f(x, k):
        with suppress(threading.BrokenBarrierError):
            at_once.wait(0.2)
        return ws[k] * x if x > 0 else -ws[k] * x

    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda k: (f(1.0, k), f(-1.0, k)), range(8)))
    assert found == [(k + 1.0, k + 1.0) for k in range(8)]
    assert sorted(p.data for p in f.parameters) == [k + 1.0 for k in range(8)]
    assert repr(f).count("operation") == 16
    f.fit([(1.0, 7), (-1.0, 7)], SGD([ws[7]], 0.1), 1)
    assert [w.data for w in ws] == [*range(1, 8), pytest.approx(7.9)]


@pytest.fixture
def impatient(monkeypatch):
    """Let a thread that waits for code of the user's go on soon."""
    monkeypatch.setattr(forks, "MAX_SECONDS_OF_WAITING", 0.05)


def elsewhere(f, *args):
    """Call `f` in another thread, and return what it returns. The thread does not keep the process from ending."""
    found = []
    thread = threading.Thread(target=lambda: found.append(f(*args)), daemon=True)
    thread.start()
    thread.join(10)
    assert found, "the thread waits for ever, or has raised an error"
    return found[0]


@pytest.mark.usefixtures("impatient")
def test_a_function_may_wait_for_a_thread_that_calls_it():
    """A function that is recorded may wait for another thread that calls it with other arguments."""
    w = Value(2.0)

    @compile
    def f(xs):
        return xs[0] * w * (elsewhere(f, xs_of_thread) if len(xs) > 1 else 1.0)

    xs_of_thread = [1.0]
    assert elsewhere(f, [1.0, 2.0]) == 4.0
    assert f([3.0, 2.0]) == 12.0
    assert repr(f).count("operation") == 2


@pytest.mark.usefixtures("impatient")
def test_two_functions_may_wait_for_threads_that_call_the_other():
    """Two threads may each record a function that waits for a thread that calls the other of the two functions."""
    w, f_has_begun, g_has_begun = Value(2.0), threading.Event(), threading.Event()

    @compile
    def f(x):
        f_has_begun.set()
        g_has_begun.wait(5)
        return x * w * elsewhere(g, [1.0])

    @compile
    def g(x):
        if isinstance(x, list):
            return x[0] * w
        g_has_begun.set()
        f_has_begun.wait(5)
        return x * w * elsewhere(f, 1.0)

    with ThreadPoolExecutor(2) as pool:
        found = [pool.submit(f, 1.0), pool.submit(g, 1.0)]
        assert [x.result() for x in found] == [4.0, 8.0]
    assert (repr(f).count("operation"), repr(g).count("operation")) == (1, 2)
    assert f.parameters == g.parameters == [w]


@pytest.mark.parametrize("fails", [False, True])
def test_work_that_has_ended_lets_another_thread_begin_at_once(fails):
    lock = forks.ForkSafeLock()
    with pytest.raises(ZeroDivisionError) if fails else contextlib.nullcontext():
        lock.in_turn(lambda: 1 / (not fails))
    assert elsewhere(lambda: lock().acquire(blocking=False))


def test_a_recording_that_another_thread_published_does_not_count_as_published_again():
    """The recordings before it in the list would otherwise be left out, although they have not been tried."""
    f = compile(lambda x, h: h(x), static=["h"], branches=True)
    for x in (1.0, -1.0):
        f(x, abs_with_branches)
    [known] = f._store.recordings.values()
    first, second = known
    assert not f._store._publish(second, known, 0)
    assert [*known] == [first, second]
    assert f._store._publish(second, others := [first], 1)
    assert others == [first, second]


def abs_with_branches(x):
    return x if x > 0.0 else -x


@pytest.mark.parametrize("branches", [True, False])
def test_of_recordings_that_threads_make_at_the_same_time_equal_ones_are_dropped(monkeypatch, branches):
    """If no thread waits for another, each records the function, and each recording is published once.

    Without `branches`, a function still gets one program alone: the threads that take another branch get an error.
    """
    monkeypatch.setattr(forks, "MAX_SECONDS_OF_WAITING", 0)
    all_record = threading.Event()
    at_once = threading.Barrier(6, all_record.set, timeout=5)
    w = Value(3.0)
    captured = w * 2.0

    @compile(branches=branches)
    def f(x):
        if not all_record.is_set():
            at_once.wait()
        return captured * w * x if x > 0 else -captured * w * x

    def call(x):
        try:
            return f(x)
        except GuardError:
            return "another branch"

    with ThreadPoolExecutor(6) as pool:
        found = list(pool.map(call, [1.0, -1.0] * 3))
    assert repr(f).count("operation") == 1 + branches
    assert len(f.parameters) == 2
    assert found.count(18.0) == (6 if branches else 3)
    assert branches or found.count("another branch") == 3


def slope_by(call):
    """Return an operation x * x whose derivative, when a program is made, calls `call` in another thread."""
    return Op("square", lambda x: x * x, (lambda y, x: 2.0 * x if type(x) is float else elsewhere(call) * x,))


@pytest.mark.usefixtures("impatient")
def test_a_derivative_of_an_own_operation_may_wait_for_a_thread_that_differentiates_another_function():
    """While a program is differentiated, the user's code runs. It may need a derivative that another thread makes."""
    cube = compile(lambda x: x * x * x)
    square = slope_by(lambda: cube.gradient([(2.0,)])[0][0] / 6.0)
    f = compile(lambda x: square(x) * 1.0)
    assert elsewhere(f.gradient, [(3.0,)]) == [[6.0]]


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize("of_graph", [False, True])
def test_a_derivative_of_an_own_operation_may_wait_for_a_thread_that_calls_its_program(of_graph):
    """While a program is lowered, the user's code runs. It may need the result of this program."""
    w, x = Value(1.0), Value(3.0)
    made = []

    def slope(y, x):
        if type(x) is float:
            return 2.0 * x
        if not made:
            raise TypeError("there is no program yet")
        return elsewhere(lambda: made[0].forward([[2.0]])[0] / 2.0) * x

    square = Op("square", lambda x: x * x, (slope,))
    f = compile(lambda x: square(x * w))
    program = compile(square(x * w), [x]) if of_graph else f.program(3.0)
    made.append(program)
    assert elsewhere(program.backward, [[3.0]]) == 9.0
    assert w.grad == 18.0
    assert elsewhere(f.gradient, [(3.0,)]) == [[6.0]]


@pytest.mark.usefixtures("impatient")
def test_threads_that_wait_for_each_other_s_derivatives_get_them():
    """Two threads may each differentiate a program with an operation that needs the other's derivative."""
    begun = [threading.Event(), threading.Event()]

    def other_slope(k):
        begun[k].set()
        begun[1 - k].wait(5)
        return elsewhere(lambda: plain[1 - k].gradient([(1.0,)])[0][0])

    plain = [compile(lambda x: 2.0 * x) for _ in range(2)]
    squares = [slope_by(lambda k=k: other_slope(k)) for k in range(2)]
    functions = [compile(lambda x, square=square: square(x) * 1.0) for square in squares]
    with ThreadPoolExecutor(2) as pool:
        found = [pool.submit(f.gradient, [(3.0,)]) for f in functions]
        assert [x.result() for x in found] == [[[6.0]], [[6.0]]]


def test_threads_that_differentiate_an_own_operation_at_once_get_the_same_derivatives(monkeypatch):
    """If no thread waits for another, each makes the derivative, and the first of them is kept."""
    monkeypatch.setattr(forks, "MAX_SECONDS_OF_WAITING", 0)
    w = Value(2.0)
    for _ in range(5):
        at_once = threading.Barrier(6)

        def slope(y, x, at_once=at_once):
            if type(x) is not float:
                with suppress(threading.BrokenBarrierError):
                    at_once.wait(0.05)
            return 2.0 * x

        square = Op("square", lambda x: x * x, (slope,))
        f = compile(lambda x, square=square: square(x * w) + x)
        f(1.0)
        calls = [lambda f=f: f.gradient([(3.0,)]), lambda f=f: f.backward([(3.0,)]), lambda f=f: f(3.0)] * 2
        with ThreadPoolExecutor(6) as pool:
            found = [*pool.map(lambda call: call(), calls)]
        assert found == [[[25.0]], 39.0, 39.0] * 2


FORKS = """
import os, threading, time
import micrograd_cn as mc
from micrograd_cn import Value
from micrograd_cn.compiler import compile
w = Value(1.0)
made = lambda n: compile(lambda x: mc.sum([mc.tanh(w * x + k) for k in range(n)]))
shared, done = made(200), False
def work():
    n = 10
    while not done:
        f, n = made(n), n + 1
        f(1.0)
        f.source()
thread = threading.Thread(target=work)
thread.start()
for _ in range(5):
    time.sleep(0.05)
    if not (child := os.fork()):
        made(7).backward([(1.0,)])
        shared.program(1.0).gradient([[1.0]])
        os._exit(0)
    end, ended = time.monotonic() + 20, (0, 0)
    while not ended[0] and time.monotonic() < end:
        time.sleep(0.01)
        ended = os.waitpid(child, os.WNOHANG)
    if not ended[0]:
        os.kill(child, 9)
    print("ended" if ended == (child, 0) else "hangs", flush=True)
done = True
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="processes are not forked here")
def test_a_child_that_was_forked_while_another_thread_compiled_can_compile():
    """A child can compile, although another thread of its parent may have held the compiler's lock at the fork."""
    found = subprocess.run([sys.executable, "-c", FORKS], capture_output=True, text=True, check=False)
    assert found.stdout.split() == ["ended"] * 5, found.stderr


COMPUTED = """
import os, signal, threading, warnings
from micrograd_cn.compiler.threads.forks import cached_property

warnings.simplefilter("ignore", DeprecationWarning)  # Python warns of a fork while there are threads
begun, go_on = threading.Event(), threading.Event()

class Slow:
    @cached_property
    def number(self):
        if not begun.is_set():
            begun.set()
            go_on.wait()
        return object()

first = Slow()
threading.Thread(target=lambda: first.number).start()
begun.wait()
if not (child := os.fork()):
    signal.alarm(20)
    os._exit(Slow().number is first.number)
print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
seen = first.number
go_on.set()
for thread in threading.enumerate():
    thread is threading.main_thread() or thread.join()
print(first.number is seen)
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="processes are not forked here")
def test_a_property_that_another_thread_computes_at_a_fork_can_be_computed_in_the_child():
    """In Python 3.11, `functools.cached_property` holds a lock while it computes, one for all objects."""
    found = subprocess.run([sys.executable, "-c", COMPUTED], capture_output=True, text=True, check=False, timeout=60)
    assert found.stdout.split() == ["0", "True"], found.stderr


HELD = """
import os, signal, threading, warnings
from micrograd_cn import Value
from micrograd_cn.compiler import compile
from micrograd_cn.compiler.data import parameters
from micrograd_cn.compiler.function.hooks import OTHER_THREADS

warnings.simplefilter("ignore", DeprecationWarning)  # Python warns of a fork while there are threads
w, held, go_on = Value(2.0), threading.Event(), threading.Event()

def hold():
    with OTHER_THREADS._lock(), parameters._lock():
        held.set()
        go_on.wait()

threading.Thread(target=hold).start()
held.wait()
if not (child := os.fork()):
    signal.alarm(20)
    os._exit(compile(lambda x: w * x if x > 0 else x)(3.0) != 6.0)
print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
go_on.set()
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="processes are not forked here")
def test_a_child_that_was_forked_while_another_thread_held_the_locks_of_recordings_can_record():
    found = subprocess.run([sys.executable, "-c", HELD], capture_output=True, text=True, check=False)
    assert found.stdout.strip() == "0", found.stderr
