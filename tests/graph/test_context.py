"""Modes, scopes and hooks hold inside their block alone: in this thread, this task, this generator."""

import asyncio
import contextvars
import copy
import math
import os
import signal
import threading
import time

import pytest

import micrograd_cn as mc
from micrograd_cn import Value, detect_anomaly, gradients, no_grad
from micrograd_cn.graph import context
from micrograd_cn.graph.context import Hooks, hooked, recording
from micrograd_cn.graph.node import set_gradients

from .modes import both_modes


@pytest.mark.parametrize("closed_inside", [detect_anomaly, no_grad])
def test_a_generator_that_is_closed_inside_another_block_ends_its_own_mode_alone(closed_inside):
    def quiet():
        with no_grad():
            yield

    generator = quiet()
    next(generator)
    with closed_inside():
        generator.close()
        assert getattr(context.here(), closed_inside().name)
        assert len(context.here().blocks) == 1
    assert context.here().blocks == ()
    assert not context.active


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")
def test_a_child_can_enter_a_block_even_if_another_thread_was_just_entering_one_at_the_fork():
    held, child = threading.Event(), 0

    def hold():
        with context._lock:  # as `no_grad()` does for a moment
            held.set()
            time.sleep(0.05)

    thread = threading.Thread(target=hold)
    thread.start()
    held.wait()
    if not (child := os.fork()):
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
        signal.alarm(5)  # ends a child that waits for ever
        with no_grad():
            os._exit(0)
    thread.join()
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def test_no_grad_is_no_detector_of_anomalies():
    x = Value(0)
    y = x.sqrt()
    with no_grad():
        assert x.log().data == -math.inf
        assert gradients(y, [x]) == [math.inf]
        y.backward()
    assert x.grad == math.inf


def test_no_grad_records_nothing():
    x = Value(2)
    with no_grad():
        results = [x + x, x * x, x * 3, x.tanh(), mc.dot([x], [x]), -x]
    assert all(not y.requires_grad and y.parents == () for y in results)
    assert [y.data for y in results[:3]] == [4, 4, 6]
    assert (x * x).requires_grad


def test_no_grad_decorates_and_nests_and_ends_with_an_exception():
    x = Value(2)

    @no_grad()
    def f():
        with no_grad():
            assert not (x * x).requires_grad
        return x * x

    assert not f().requires_grad
    assert not f().requires_grad
    with pytest.raises(KeyError), no_grad():
        raise KeyError
    assert (x * x).requires_grad


def test_recording_ends_no_grad_for_a_while_and_changes_nothing_else():
    x = Value(2)
    with no_grad():
        with recording() as ended:
            assert ended is True
            assert (x * x).requires_grad
            assert (x - 2).log().data == -math.inf
        assert not (x * x).requires_grad
    with recording() as ended:
        assert ended is False
        assert (x - 2).log().requires_grad
    with detect_anomaly(), recording() as ended:
        assert ended is False
        with pytest.raises(FloatingPointError, match="log"):
            (x - 2).log()


def test_no_grad_holds_in_its_own_thread_alone():
    inside, done = threading.Event(), threading.Event()
    seen = []

    def other():
        inside.wait(10)
        seen.append((Value(2) * Value(3)).requires_grad)
        done.set()

    thread = threading.Thread(target=other)
    thread.start()
    with no_grad():
        inside.set()
        done.wait(10)
        assert not (Value(2) * Value(3)).requires_grad
    thread.join()
    assert seen == [True]


def test_no_grad_holds_in_its_own_task_alone():
    async def quiet(entered, leave):
        with no_grad():
            entered.set()
            await leave.wait()
            return (Value(1) + Value(1)).requires_grad

    async def recording(entered, leave):
        await entered.wait()
        result = (Value(1) + Value(1)).requires_grad
        leave.set()
        return result

    async def both():
        entered, leave = asyncio.Event(), asyncio.Event()
        return await asyncio.gather(quiet(entered, leave), recording(entered, leave))

    assert asyncio.run(both()) == [False, True]


def test_a_generator_that_is_closed_inside_another_mode_does_not_end_that():
    def waiting():
        with no_grad():
            yield

    def run():
        abandoned = waiting()
        next(abandoned)
        with detect_anomaly():
            abandoned.close()
            with pytest.raises(FloatingPointError):
                mc.log(Value(0))

    contextvars.copy_context().run(run)


def test_a_generator_that_is_closed_in_another_context_ends_nothing_there():
    def waiting():
        with no_grad():
            yield

    abandoned = waiting()
    contextvars.copy_context().run(next, abandoned)
    abandoned.close()
    assert (context.here().blocks, context.active) == ((), False)


@both_modes
def test_one_object_is_used_again_and_inside_itself_and_in_threads(mode, holds):
    again = mode()
    for _ in range(2):
        with again:
            assert holds()
            with again, again:
                assert holds()
            assert holds()
        assert not holds()

    @again
    def factorial(n):
        assert holds()
        return 1 if n == 0 else n * factorial(n - 1)

    @again
    def count(n):
        assert holds()
        if n:
            yield from count(n - 1)
        assert holds()
        yield n

    barrier, seen = threading.Barrier(4, timeout=10), []

    def thread(entering):
        barrier.wait()
        if not entering:
            seen.append(holds())
            barrier.wait()
            return
        with again:
            barrier.wait()
            seen.append(holds() and factorial(5) == 120 and list(count(3)) == [0, 1, 2, 3] and holds())
        seen.append(not holds())

    threads = [threading.Thread(target=thread, args=(i < 3,)) for i in range(4)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert sorted(seen) == [False] + [True] * 6
    with again:
        assert factorial(3) == 6
        assert holds()
    assert not holds()


def test_that_a_node_was_given_data_is_marked():
    x = Value(1.0)
    context.data_changed = False
    x.data = 2.0
    assert context.data_changed


def test_blocks_that_new_nodes_depend_on_are_counted():
    assert (context.active, context._entered) == (False, 0)
    with hooked(Hooks()):
        with hooked(Hooks()):
            assert (context.active, context._entered) == (True, 2)
        assert (context.active, context._entered) == (True, 1)
    assert (context.active, context._entered) == (False, 0)
    with pytest.raises(KeyError), hooked(Hooks()):
        raise KeyError
    assert (context.active, context._entered) == (False, 0)


class Noting(Hooks):
    """Note every call of a hook that returns nothing."""

    def __init__(self):
        self.noted = []

    def compared(self, a, symbol, b, holds):
        self.noted.append((a.label, symbol, getattr(b, "label", b), holds))

    def read(self, x, how):
        self.noted.append((x.label, how))

    def before_write(self, x, name):
        self.noted.append((x.label, name, "from", getattr(x, f"_{name}")))

    def made_constant(self, operands):
        self.noted.append(("constant of", len(operands)))


def test_hooks_are_called_for_what_a_graph_cannot_record_and_only_inside_their_block():
    x, y = Value(1.0, "x"), Value(2.0, "y")
    hooks = Noting()
    with hooked(hooks):
        assert x < y
        assert not x >= 3.0
        assert max(y, x) is y
        assert (x.data, x.item(), f"{x:.1f}") == (1.0, 1.0, "1.0")
        assert copy.copy(x).data == 1.0
        x.data = 4.0
        y.grad = 5.0
        set_gradients([y], None)
        assert y.grad is None
        assert mc.add(x.detach(), 1.0).data == 5.0
        assert gradients(x * x, [x]) == [8.0]
    seen = list(hooks.noted)
    assert x > y
    assert x.data == 4.0
    x.data = 1.0
    assert hooks.noted == seen
    assert seen == [
        ("x", "<", "y", True),
        ("x", ">=", 3.0, False),
        ("x", ">", "y", False),
        *[("x", how) for how in (".data", ".item()", "a formatted text", "a copy", ".data")],
        ("x", "data", "from", 1.0),
        *[("y", "grad", "from", 0.0), ("y", "grad", "from", 5.0), ("y", ".grad")],
        ("constant of", 2),
        ("", ".data"),
        ("", "the output of gradients() without create_graph=True"),
    ]


def test_hooks_may_give_the_results_that_would_be_constants_and_the_objects_that_become_nodes():
    class Own(Value):
        pass

    class Giving(Hooks):
        def detached(self, x):
            return x * 1.0

        def suppressed(self, op, operands):
            return Value(7.0, op.name)

        def new_node(self, kind, a, b):
            return object.__new__(Own)

    x = Value(3.0, "x")
    with hooked(Giving()):
        assert (x.detach().requires_grad, x.detach().label) == (True, "x")
        assert type(x * x) is Own
        with no_grad():
            assert ((x * x).data, (x * x).label) == (7.0, "mul")
        with hooked(Hooks()):  # the inner hooks alone are called
            assert not x.detach().requires_grad
            assert type(x * x) is Value
    assert type(x * x) is Value


def test_a_mode_before_a_class_is_refused():
    with pytest.raises(TypeError, match=r"^@no_grad\(\) stands before a function; in the class Net"):
        no_grad()(type("Net", (), {}))


@pytest.mark.parametrize("mode", [no_grad, detect_anomaly])
def test_a_mode_without_brackets_is_refused(mode):
    with pytest.raises(TypeError, match=rf"write with {mode.__name__}\(\): for a block, with brackets"), mode:
        pass
    with pytest.raises(TypeError, match=rf"write @{mode.__name__}\(\) before a function, with brackets"):

        @mode
        def f():
            return None
