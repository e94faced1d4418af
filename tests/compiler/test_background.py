"""Native code is made in the background. Calls go on meanwhile, and a fork, an exit or an error does no harm."""

import gc
import os
import signal
import subprocess
import sys
import threading
import time
import warnings
from array import array

import pytest

import micrograd_cn as mc
from micrograd_cn import Value
from micrograd_cn.compiler import compile  # noqa: A004 -- the field's name
from micrograd_cn.compiler.data import nodes
from micrograd_cn.compiler.llvm.machine import Machine
from micrograd_cn.compiler.native import NativeCode
from micrograd_cn.compiler.runtime import executable
from micrograd_cn.compiler.runtime.executable import Tiers
from micrograd_cn.compiler.threads import background

from .common import OPTIMISERS, everything, is_native, loop, problem, settings

AT_ONCE = {"runtime.executable.SECONDS_BEFORE_NATIVE": 0.0}


@pytest.fixture(autouse=True)
def in_background():
    until(background.is_idle)  # threads of earlier tests
    with settings({"threads.background.IN_BACKGROUND": True}):
        yield
    until(background.is_idle)


def until(condition):
    """Wait until `condition()` holds, at most a minute."""
    end = time.monotonic() + 60
    while not condition() and time.monotonic() < end:
        time.sleep(1e-3)
    assert condition()


def held_back(monkeypatch):
    """Make background threads wait for the event that is returned before they make native code."""
    get, may_go_on = Tiers.get, threading.Event()

    def slow(self, native):
        if native and threading.current_thread() is not threading.main_thread():
            assert may_go_on.wait(60)
        return get(self, native)

    monkeypatch.setattr(Tiers, "get", slow)
    return may_go_on


def small():
    x, w = Value(2.0), Value(3.0)
    return compile(mc.tanh(w * x), [x]), [[0.5], [1.5], [-2.0]]


def test_the_garbage_collector_stays_as_the_user_switches_it_while_native_code_is_made(monkeypatch):
    """It is that of the whole process. `timeit`, for example, stores whether it is on, and restores it."""
    switched, disable = [], gc.disable

    def noted():
        switched.append(threading.current_thread())
        disable()

    monkeypatch.setattr(gc, "disable", noted)
    program, rows = small()
    expected = program.forward(rows)
    with settings(AT_ONCE):
        until(lambda: program.forward(rows) == expected and is_native(program))
    assert {*switched} == {threading.current_thread()}
    assert gc.isenabled()


def test_calls_go_on_while_native_code_is_made(monkeypatch):
    """No call waits for native code. Once it is there, the next call runs it, and gives the same bits."""
    program, rows = small()
    expected = program.forward(rows)
    may_go_on = held_back(monkeypatch)
    with settings(AT_ONCE):
        for _ in range(3):
            assert program.forward(rows) == expected
            assert not is_native(program)
        may_go_on.set()
        until(lambda: program.forward(rows) == expected and is_native(program))
    assert program.forward(rows) == expected


def test_no_call_waits_for_the_lock_that_is_held_while_native_code_is_made(monkeypatch):
    """A call changes to optimised kernels under the same lock. It does not if native code is being made."""
    program, rows = small()
    expected = program.forward(rows)
    tiers = program.compiled.tiers("forward", True)
    tiers.get(native=False).compile_fast_kernels()
    begun, may_go_on = threading.Event(), threading.Event()

    def slow(*arguments):
        begun.set()
        assert may_go_on.wait(60)
        return NativeCode(*arguments)

    monkeypatch.setattr(executable, "NativeCode", slow)
    with settings(AT_ONCE), monkeypatch.context() as patch:
        patch.setattr(Tiers, "_upgrade_kernels", lambda *_: None)
        assert program.forward(rows) == expected  # begins the native code
    assert begun.wait(60)
    found = []
    with settings(AT_ONCE | {"runtime.executable.SECONDS_BEFORE_FAST_KERNELS": 0.0}):
        call = threading.Thread(target=lambda: found.append(program.forward(rows)))
        call.start()
        call.join(10)
        returned = [*found]
        may_go_on.set()
        call.join(60)
        until(lambda: program.forward(rows) == expected and is_native(program))
    assert returned == [expected]


def test_optimised_kernels_are_used_once_their_driver_of_prepared_calls_is_compiled(monkeypatch):
    """Other programs may have had all kernels optimised but not this driver, which a call would have to compile."""
    program, rows = small()
    expected = program.forward(rows)
    tiers = program.compiled.tiers("forward", True)
    tiers.get(native=False).compile_fast_kernels()
    begun, has_driver = [], executable.has_driver
    monkeypatch.setattr(tiers.background, "do", lambda key, work: begun.append(key))
    monkeypatch.setattr(executable, "has_driver", lambda name, lanes, fast: not fast)
    with settings({"runtime.executable.SECONDS_BEFORE_FAST_KERNELS": 0.0}):
        assert program.forward(rows) == expected
        assert begun == ["kernels"]
        assert not tiers.tables.fast
        monkeypatch.setattr(executable, "has_driver", has_driver)
        assert program.forward(rows) == expected
    assert tiers.tables.fast


def test_background_work_begins_without_waiting_for_its_thread(monkeypatch):
    """A new thread may have to wait for a core for some milliseconds, many times as long as a call takes."""
    begun = []
    monkeypatch.setattr(background, "start_new_thread", lambda work, arguments: begun.append((work, arguments)) or 1)
    done, tasks = [], background.BackgroundTasks()
    tasks.do("key", lambda: done.append(True))
    assert not done
    assert not background.is_idle()
    [(work, arguments)] = begun
    thread = threading.Thread(target=work, args=arguments)
    thread.start()
    thread.join()
    assert done == [True]
    assert background.is_idle()
    assert tasks.begun["key"].done


def test_a_call_that_takes_up_native_code_compiles_no_driver(monkeypatch):
    """Each optimised driver that it asks for was compiled in the background, if it was not there already."""
    asked, address = {"caller": set(), "background": set()}, Machine.address

    def noted(self, name, make, fast):
        if fast:
            asked["background" if background.in_background() else "caller"].add(name)
        return address(self, name, make, fast)

    monkeypatch.setattr(Machine, "address", noted)
    program, rows = small()
    with settings(AT_ONCE):
        until(lambda: program.row(array("d", rows[0])) and asked["caller"])
    assert is_native(program)
    assert asked["caller"] <= asked["background"]


def test_native_code_of_a_large_program_is_made_in_the_background(monkeypatch):
    """Calls run threaded code, and may make other code, while native code of a large program is made."""
    program, rows = small()
    may_go_on, seconds = threading.Event(), Tiers._seconds
    monkeypatch.setattr(Tiers, "_seconds", lambda *arguments: may_go_on.wait(60) and seconds(*arguments))
    with settings(AT_ONCE | {"loops.schedule.MAX_UNFUSED_COST": 0, "runtime.executable.TRIALS": 0}):
        expected = program.forward(rows)
        for _ in range(3):
            assert program.forward(rows) == expected
            assert program.gradient(rows)  # no lock keeps other code from being made
            assert not program.compiled.tiers("forward", True).made.get(True)
        may_go_on.set()
        until(lambda: program.forward(rows) == expected and is_native(program))


@pytest.mark.parametrize("rows", [1, 37])
def test_training_goes_on_while_native_code_is_made(rows, monkeypatch):
    """`fit` trains with threaded code while native code is made, and changes to it between two steps."""
    (ours, program, data, _), (theirs, other, _, _) = problem(), problem()
    mine, yours = OPTIMISERS["adam"](ours), OPTIMISERS["adam"](theirs)
    may_go_on, told = held_back(monkeypatch), []

    def progress(losses):
        told.append(is_native(program))
        if len(told) == 20:
            may_go_on.set()
        if len(told) == 40:  # the steps after this one are native
            until(background.is_idle)

    with settings(AT_ONCE | {"training.epochs.POLL_SECONDS": 0.0}):
        program.fit(data, mine, 60, batch_size=rows, progress=progress)
    assert told[:20] == [False] * 20
    assert told[-1]
    loop(other, data, yours, 60, rows)
    assert everything(ours, mine) == everything(theirs, yours)


def test_an_error_of_the_background_is_raised_by_a_later_call(monkeypatch):
    """What goes wrong in the background is told, and the threaded code still gives its numbers afterwards."""
    program, rows = small()
    expected = program.forward(rows)
    get = Tiers.get

    def failing(self, native):
        if native:
            raise MemoryError("too little memory for native code")
        return get(self, native)

    monkeypatch.setattr(Tiers, "get", failing)
    with settings(AT_ONCE):
        assert program.forward(rows) == expected
        until(lambda: all(work.done for work in program.compiled.tiers("forward", True).background.begun.values()))
        with pytest.raises(MemoryError, match="too little memory"):
            program.forward(rows)
    assert program.forward(rows) == expected


@pytest.mark.parametrize("fails", [False, True])
def test_a_task_that_has_ended_is_begun_again_after_the_call_that_takes_note_of_its_end(fails):
    tasks, begun = background.BackgroundTasks(), []

    def work():
        begun.append(threading.current_thread())
        if fails:
            raise ValueError("the task's own")

    for count in range(1, 4):
        tasks.do("key", work)
        until(lambda: tasks.begun["key"].done)
        if fails:
            with pytest.raises(ValueError, match="the task's own"):
                tasks.do("key", work)
        else:
            tasks.do("key", work)
        assert len(begun) == count


@pytest.mark.skipif(not hasattr(os, "fork"), reason="processes are not forked here")
def test_a_child_process_makes_native_code_itself(monkeypatch):
    """A child that was forked while its parent made native code has no such thread, so it begins one of its own."""
    program, rows = small()
    expected = program.forward(rows)
    may_go_on = held_back(monkeypatch)
    with settings(AT_ONCE):
        assert program.forward(rows) == expected
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # Python warns of a fork while there are threads
            child = os.fork()
        if not child:
            signal.alarm(60)
            monkeypatch.undo()
            try:
                until(lambda: program.forward(rows) == expected and is_native(program))
                os._exit(0)
            finally:
                os._exit(1)
        may_go_on.set()
        assert os.waitpid(child, 0)[1] == 0
        until(lambda: program.forward(rows) == expected and is_native(program))


def test_a_process_may_end_while_native_code_is_made():
    """Python waits at its exit for the thread that is inside LLVM, and ends without an error."""
    code = (
        "from micrograd_cn import Value\n"
        "from micrograd_cn.compiler import compile\n"
        "from micrograd_cn.compiler.runtime import executable\n"
        "executable.SECONDS_BEFORE_NATIVE = 0.0\n"
        "def f(x):\n"
        "    for k in range(150):\n"
        "        x = (x * 0.9).tanh().relu()\n"
        "    return x\n"
        "g = compile(f)\n"
        "assert g(2.0) == g(2.0)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=100)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_without_threads_native_code_is_made_at_once(monkeypatch):
    """Where no thread can be started, the call itself makes native code."""

    def refuse(*arguments):
        raise RuntimeError("can't start new thread")

    program, rows = small()
    expected = program.forward(rows)
    monkeypatch.setattr(background, "start_new_thread", refuse)
    with settings(AT_ONCE):
        assert program.forward(rows) == expected
    assert is_native(program)


def test_threads_take_short_turns_while_work_is_done_in_the_background():
    """Python's switch interval is short while any background thread works, and afterwards it is what it was."""
    usual, seen = sys.getswitchinterval(), []
    may_end, both = threading.Event(), threading.Barrier(3)

    def work():
        both.wait(60)
        seen.append(sys.getswitchinterval())
        may_end.wait(60)

    works = [background.BackgroundWork(work) for _ in range(2)]
    both.wait(60)
    may_end.set()
    until(lambda: all(work.done for work in works))
    assert seen == [pytest.approx(background.SWITCH_INTERVAL)] * 2
    assert sys.getswitchinterval() == usual


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
def test_a_child_has_the_usual_turns_although_it_lost_the_thread_that_made_them_short():
    usual, begun, may_end = sys.getswitchinterval(), threading.Event(), threading.Event()
    work = background.BackgroundWork(lambda: (begun.set(), may_end.wait(60)))
    assert begun.wait(60)
    child = os.fork()
    if not child:
        os._exit(sys.getswitchinterval() != usual)
    _, status = os.waitpid(child, 0)
    may_end.set()
    until(lambda: work.done)
    assert status == 0


def test_python_adds_gradients_until_machine_code_that_adds_them_is_made(monkeypatch):
    """The first call after many nodes does not wait for the compiler, and the numbers are the same before and after."""
    may_go_on = threading.Event()
    compile_kernels = nodes._kernels.compile
    monkeypatch.setattr(nodes._kernels, "are_compiled", False)
    monkeypatch.setattr(nodes._kernels, "compile", lambda: may_go_on.wait(60) and compile_kernels())
    ps = [Value(0.0) for _ in range(40)]
    with settings({"data.nodes.NODES_BEFORE_CODE": 0}):
        assert not nodes.add_to_gradients(ps, array("d", [1.0] * 40), 1.0)
        may_go_on.set()
        until(lambda: nodes.uses_machine_code(ps))
        assert nodes.add_to_gradients(ps, array("d", [2.0] * 40), 1.5)
    assert [p.grad for p in ps] == [3.0] * 40


def test_an_interval_that_the_user_sets_meanwhile_stays():
    usual, begun, may_end = sys.getswitchinterval(), threading.Event(), threading.Event()
    work = background.BackgroundWork(lambda: (begun.set(), may_end.wait(60)))
    assert begun.wait(60)
    sys.setswitchinterval(0.02)
    may_end.set()
    until(lambda: work.done)
    found = sys.getswitchinterval()
    sys.setswitchinterval(usual)
    assert found == pytest.approx(0.02)


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt])
def test_turns_are_long_again_if_no_thread_begins(error, monkeypatch):
    usual = sys.getswitchinterval()

    def refuse(*arguments):
        raise error

    monkeypatch.setattr(background, "start_new_thread", refuse)
    with pytest.raises(error):
        background.BackgroundWork(lambda: None)
    assert sys.getswitchinterval() == usual
    assert background.is_idle()  # otherwise Python would wait for ever when it exits
