"""Ctrl-C, or any other exception, at any line of the package leaves nothing half made.

A test traces the lines that a call runs, makes everything anew, and raises an exception before one of these lines.
After that, the same call and others must give the numbers of a program that was never interrupted, and the surroundings
must be as before: the garbage collector, locks, threads and `with` blocks. By default a test tries some of the lines.
The slow tests try all of them, and send real signals at random moments.
"""

import contextlib
import gc
import json
import math
import random
import signal
import sys
import threading
import time
from array import array
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from itertools import chain
from pathlib import Path
from weakref import WeakSet

import pytest

import micrograd_cn as mc
from micrograd_cn import Value, functional
from micrograd_cn.compiler import compile  # noqa: A004 -- the field's name
from micrograd_cn.compiler.data import parameters as parameter_cache
from micrograd_cn.compiler.function.hooks import _inlining, is_inlining
from micrograd_cn.compiler.llvm import machine as machine_module
from micrograd_cn.compiler.runtime.executable import forget_tiers
from micrograd_cn.compiler.threads.forks import ForkSafeLock
from micrograd_cn.compiler.training import run as training
from micrograd_cn.derivatives import argument_binding
from micrograd_cn.graph import context
from micrograd_cn.nn import MLP
from micrograd_cn.optim import SGD, Adam
from micrograd_cn.optim import optimizer as optimizers

from .common import settings
from .interrupts import is_interruptible

PACKAGE = str(Path(mc.__file__).parent)


# Lines


def traced(action, wanted, visit):
    """Run `action`; call `visit(code, line)` before each line of the package in a code object that `wanted` accepts."""

    def at_line(frame, event, _):
        if event == "line" and is_interruptible(frame):
            visit(frame.f_code, frame.f_lineno)
        return at_line

    before = sys.gettrace()
    sys.settrace(lambda frame, *_: at_line if wanted(frame.f_code) else None)
    try:
        return action()
    finally:
        sys.settrace(before)


def test_an_exception_of_a_trace_function_leaves_no_lock_held():
    """Otherwise a later test would wait forever for a thread that waits for the lock."""
    lock = threading.RLock()

    def locked():
        with lock:
            return {x: str(x) for x in range(3) if x} | dict.fromkeys([str(x) for x in range(3)])

    for interrupted in range(12):
        seen = []

        def visit(*_, seen=seen, interrupted=interrupted):
            seen.append(None)
            if len(seen) > interrupted:
                raise KeyboardInterrupt

        with contextlib.suppress(KeyboardInterrupt):
            traced(locked, lambda code: code is locked.__code__, visit)
        assert lock.acquire(blocking=False)
        lock.release()
        with pytest.raises(RuntimeError):
            lock.release()


def lines_of(action):
    """Return how often `action` comes to each line of the package: a dict from pairs of a code object and a line."""
    found = Counter()

    def visit(*place):
        found[place] += 1

    traced(action, lambda code: code.co_filename.startswith(PACKAGE), visit)
    return found


def interrupt(action, code, line, occurrence, error):
    """Run `action`, and raise `error` when it comes to a line for the nth time; return the exception, if any."""

    def visit(_, number):
        nonlocal occurrence
        occurrence -= number == line
        if not occurrence:
            occurrence = -1
            raise error

    try:
        traced(action, lambda found: found is code, visit)
    except BaseException as raised:  # a caller may keep it, with its traceback and so with all frames
        return raised
    return None


# Surroundings

_lasting_locks = WeakSet(x for x in gc.get_objects() if isinstance(x, ForkSafeLock))
_locks = WeakSet()  # of the problem that is interrupted; hundreds of other programs may be alive


def _note_lock(lock, init=ForkSafeLock.__init__):
    init(lock)
    _locks.add(lock)


ForkSafeLock.__init__ = _note_lock
_other_thread = ThreadPoolExecutor(1)
_other_thread.submit(int).result()


def held_locks():
    """Return the names of the package's locks that another thread could not take now."""
    known = {f"{lock!r}": lock() for lock in [*_lasting_locks, *_locks]}
    known |= {"llvm": machine_module._lock, "parameters": parameter_cache._lock(), "context": context._lock}

    def names():
        found = []
        for name, lock in known.items():
            if lock.acquire(blocking=False):
                lock.release()
            else:
                found.append(name)
        return found

    return _other_thread.submit(names).result()


def surroundings():
    """Return everything in this process that must be after a call as it was before."""
    return {
        "collector": gc.isenabled(),
        "frozen": gc.get_freeze_count() > 0,
        "context": [getattr(context.here(), name) for name in ("no_grad", "detect_anomaly", "hooks", "scope")],
        "in a block": context.active,
        "inlining": is_inlining(),
        "depth": argument_binding._depth.get(),
        "locks": held_locks(),
        "trainings": len(training._runs),
    }


def restore_surroundings():
    """Undo what one trial has left, so the next one is not blamed for it."""
    gc.enable()
    gc.unfreeze()
    context._context.set(context.Context())
    context._entered, context.active = 0, False
    training._runs.clear()
    _inlining.set(False)
    argument_binding._depth.set(0)


# Problems

ROWS = [(0.5, [1.0, -2.0, 0.25]), (-1.5, [0.5, 3.0, 2.0]), (2.0, [-1.0, 0.125, 1.5])]


class Problem:
    """Something to compute. A new object has computed nothing yet.

    Attributes:
        parameters: the `Value`s that `first` may give gradients to.
    """

    parameters: list[Value] = []  # noqa: RUF012 -- it is not changed

    def first(self):
        """Compute something for the first time; this is interrupted."""
        raise NotImplementedError

    def results(self):
        """Compute the same, and other numbers that depend on what `first` has made. Return the numbers as a text."""
        raise NotImplementedError

    def wrong(self):
        """Return what is half done after an interrupt; "" if there is nothing."""
        grads = repr([p.grad for p in self.parameters])
        return "" if grads in self.possible_grads() else f"half of a gradient is there: {grads}"

    @classmethod
    @cache
    def possible_grads(cls):
        """Return the gradients before and after `first`, as texts."""
        one = cls()
        before = repr([p.grad for p in one.parameters])
        one.first()
        return before, repr([p.grad for p in one.parameters])


class Function(Problem):
    """A compiled function with two branches, a captured value, a constant, long sums and formulas.

    It makes a parameter of its own, which `f.parameters` then has for each branch.
    """

    def __init__(self):
        self.parameters = ws = [Value(0.3 * k - 0.5, f"w{k}") for k in range(6)]
        captured = ws[0] * ws[1]

        def f(x, v):
            own = Value(0.25, "own")
            inner = mc.dot(ws[:3], v).tanh() * captured
            if x > 0:
                return mc.logsumexp([inner, x * own, ws[3]]) + mc.where(mc.less(x, 1.0), ws[4] * x, mc.exp(ws[5] * x))
            return mc.sum([a * b for a, b in zip(ws * 2, v * 4, strict=True)]) + inner.sigmoid() * own * x * x

        self.f = compile(f, branches=True)

    def first(self):
        return self.f(*ROWS[0])

    def results(self):
        found = [self.first(), self.f(*ROWS[1]), self.f.forward(ROWS), self.f.gradient(ROWS)]
        for w in self.parameters:
            w.grad = 0.0
        found += [self.f.backward(ROWS), [w.grad for w in self.parameters]]
        return repr([found, len(self.f.parameters), str(self.f).count("\n")])


class Forward(Function):
    def first(self):
        return self.f.forward(ROWS)


class Backward(Function):
    def first(self):
        return self.f.backward(ROWS)


class Gradient(Function):
    def first(self):
        return self.f.gradient(ROWS, wrt="parameters")


class Jacobian(Function):
    def first(self):
        return self.f.jacobian(ROWS, dense=True)


class Hessian(Function):
    def first(self):
        return self.f.hessian(ROWS, lower=True)


class Check(Function):
    def __init__(self):
        super().__init__()
        w = self.parameters[0]
        self.f = compile(lambda x, v: mc.dot([w, w * x, x], v).tanh() if x > 0 else x * w, branches=True)

    def first(self):
        return self.f.check(ROWS)


class Threads(Function):
    def first(self):
        return self.f.forward(ROWS * 8, threads=2), self.f.backward(ROWS * 8, threads=2)


class Method(Function):
    """A method of an instance."""

    def __init__(self):
        super().__init__()
        ws = self.parameters

        class Line:
            @compile
            def loss(self, x, v):
                return mc.dot(ws[:3], v) * x

        self.line = Line()

    def first(self):
        return self.line.loss(*ROWS[0]), self.line.loss.backward(ROWS)


class Source(Function):
    """The texts of the program for a branch, in all languages."""

    def first(self):
        program = self.f.program(*ROWS[0])
        return [program.source("c", optimizer=SGD(self.parameters)), program.source("python"), program.source("llvm")]


class Graph(Problem):
    """A program of a graph in which a parameter is frozen, and in which many instructions are alike."""

    def __init__(self):
        self.parameters = ws = [Value(0.3 * k - 0.5, f"w{k}") for k in range(8)]
        self.xs = [Value(k + 1.0, f"x{k}") for k in range(4)]
        hidden = [mc.dot([w * k for w in ws[:4]], self.xs).tanh() for k in range(5)]
        chosen = mc.take(ws[:5], self.xs[0] * 2.0)
        self.program = compile(mc.sum([h * w for h, w in zip(hidden, ws[3:], strict=True)]) ** 3 * chosen, self.xs)
        ws[2].requires_grad = False
        self.rows = [[0.5 * k, *(0.5 * k + j for j in range(3))] for k in range(5)]

    def first(self):
        return self.program.backward(self.rows)

    def results(self):
        found = [self.first(), self.program.forward(self.rows), self.program(*self.rows[0])]
        for w in self.parameters:
            w.grad = 0.0
        found += [self.program.backward(self.rows), self.program.backward(self.rows[:1])]
        return repr([found, [w.grad for w in self.parameters], [w.requires_grad for w in self.parameters]])


class Prepared(Graph):
    def first(self):
        numbers, out = array("d", chain.from_iterable(self.rows)), array("d", bytes(40))
        rows = memoryview(numbers).cast("B").cast("d", (5, 4))
        run = self.program.prepare(rows, out)
        self.parameters[1].data = 1.25
        found = [*run()]
        self.parameters[1].data = -0.2
        return found, [*run()]


class Derivatives(Graph):
    def first(self):
        found = self.program.hessian(self.rows, lower=True), self.program.gradient(self.rows, wrt=self.parameters[1:2])
        return *found, [w.requires_grad for w in self.parameters]


class Native(Graph):
    """Native code, which takes the place of threaded code, and optimised kernels."""

    def first(self):
        at_once = {
            "runtime.executable.SECONDS_BEFORE_NATIVE": 0.0,
            "runtime.executable.SECONDS_BEFORE_FAST_KERNELS": 0.0,
        }
        threaded = self.program(*self.rows[0]), self.program.forward(self.rows)
        with settings(at_once):
            return (
                threaded,
                self.program.forward(self.rows),
                self.program(*self.rows[0]),
                self.program.gradient(self.rows),
            )


class Kernels(Graph):
    """A program for a machine for which no kernel is compiled yet."""

    def __init__(self):
        machine_module._machine = None
        super().__init__()

    def first(self):
        return self.program.forward(self.rows), self.program.gradient(self.rows)


class Fit(Problem):
    """Training: the optimiser and the parameters have the state after some of the steps."""

    EPOCHS = 3

    def __init__(self):
        self.model = MLP(2, [3, 1], seed=0)
        self.model.parameters()[3].requires_grad = False
        self.optimizer = Adam(self.model.parameters(), lr=0.1)
        self.loss = compile(lambda x, y: (self.model(x) - y) ** 2)
        self.rows = [([0.1 * k, -0.2 * k], 0.3 * k) for k in range(4)]
        self.options = {}

    def first(self):
        return self.loss.fit(self.rows, self.optimizer, self.EPOCHS, batch_size=2, **self.options)

    def state(self):
        return repr([self.model.state_dict(), self.optimizer.state_dict()])

    def take_step(self, k):
        self.loss.fit(self.rows[k % 2 * 2 :][:2], self.optimizer, 1, **self.options)

    @classmethod
    @cache
    def states(cls):
        """Return the state before training and after each step."""
        one = cls()
        found = [one.state()]
        for k in range(2 * cls.EPOCHS):
            one.take_step(k)
            found.append(one.state())
        return found

    def wrong(self):
        return "" if self.state() == self.states()[self.optimizer.steps] else "half of a step is taken"

    def results(self):
        for k in range(self.optimizer.steps, 2 * self.EPOCHS):
            self.take_step(k)
        return repr([self.state() == self.states()[-1], self.loss.forward(self.rows), self.loss.gradient(self.rows)])


class ShortFit(Fit):
    """Calls of `fit` of few steps, which machine code takes that was made before."""

    def __init__(self):
        super().__init__()
        self.model.parameters()[3].requires_grad = True
        before = self.model.state_dict(), self.optimizer.state_dict()
        with settings({"runtime.prepared.CALLS_BEFORE_PREPARED": 0}):
            for _ in range(3):
                self.take_step(0)
        while not optimizers.machine_code.ready(self.optimizer):
            time.sleep(0.001)
        self.model.load_state_dict(before[0])
        self.optimizer.load_state_dict(before[1])

    def first(self):
        return [self.loss.fit(self.rows, self.optimizer, 2) for _ in range(self.EPOCHS)]

    def take_step(self, k):
        self.loss.fit(self.rows, self.optimizer, 1)


class ShortSteps(ShortFit):
    """A call of `fit` with a callback, which takes its steps by the same machine code."""

    def first(self):
        return self.loss.fit(self.rows, self.optimizer, 2 * self.EPOCHS, callback=lambda number, loss: None)


class FitInThreads(Fit):
    def __init__(self):
        super().__init__()
        self.options = {"threads": 2}


class FitClipped(Fit):
    def __init__(self):
        super().__init__()
        self.options = {"clip_grad_norm": 0.5}


class EarlyStopping(Fit):
    """A program that is trained with validation data, until its loss for these is no longer better."""

    def __init__(self):
        super().__init__()
        xs = [Value(0.5), Value(0.25)]
        self.program = compile(self.model(xs) ** 2, xs)

    def first(self):
        return self.program.fit([[0.5, 1.0]] * 3, self.optimizer, 4, validation=[[0.25, 1.0]], patience=2)

    @classmethod
    @cache
    def states(cls):
        """Return the data before training and after each step."""
        one = cls()
        found = [one.model.state_dict()]
        for _ in range(4):
            one.program.fit([[0.5, 1.0]] * 3, one.optimizer, 1)
            found.append(one.model.state_dict())
        return found

    def wrong(self):
        return "" if self.model.state_dict() in self.states() else "half of a step is taken, or half is restored"

    def results(self):
        fresh = type(self)()
        self.model.load_state_dict(fresh.model.state_dict())
        self.optimizer.load_state_dict(fresh.optimizer.state_dict())
        return repr([self.first(), self.state()])


class Saved(Problem):
    """A model that is saved to a file, and loaded from it."""

    def __init__(self):
        self.models = [MLP(2, [3, 1], seed=seed) for seed in (1, 2, 3)]
        self.states = [model.state_dict() for model in self.models]
        self.path = Path("model.json")
        for file in Path.cwd().iterdir():
            file.unlink()
        self.models[0].save(self.path)

    def first(self):
        self.models[1].save(self.path)
        self.models[2].load(self.path)

    def wrong(self):
        wrong = []
        if json.loads(self.path.read_text()) not in self.states[:2]:
            wrong.append("half of a file is written")
        if self.models[2].state_dict() not in self.states:
            wrong.append("half of a model is loaded")
        if [file.name for file in Path.cwd().iterdir()] != [self.path.name]:
            wrong.append("a temporary file is left")
        return ", ".join(wrong)

    def results(self):
        self.first()
        return repr(self.models[2].state_dict() == self.states[1])


class Eager(Problem):
    """The engine alone: a graph, its gradients, those of functions, and a `with` block."""

    def __init__(self):
        self.model = MLP(2, [3, 1], seed=0)
        self.parameters = self.model.parameters()
        (self.model([1.0, 2.0]) ** 2).backward()
        self.parameters[0].grad = None

    def first(self):
        loss = self.model([0.5, -0.25]) ** 2
        loss.backward()
        with mc.no_grad(), mc.scope("values"):
            value = self.model([0.5, 1.0]).data
        hessian = functional.hessian(lambda v: self.model(v).exp())([0.5, 0.25])
        return loss.data, value, repr(hessian)

    def results(self):
        self.model.zero_grad()
        return repr([self.first(), [p.grad for p in self.parameters]])


class OptimizerState(Problem):
    """The state of an optimiser, which is loaded, and to which an option adds numbers."""

    def __init__(self):
        model, other = MLP(2, [3, 1], seed=0), MLP(2, [3, 1], seed=0)
        self.optimizer, done = Adam(model.parameters(), lr=0.1), Adam(other.parameters(), lr=0.5, amsgrad=True)
        (other([0.5, 2.0]) ** 2).backward()
        done.step()
        self.loaded = done.state_dict()

    def first(self):
        self.optimizer.load_state_dict(self.loaded)
        self.optimizer.amsgrad = False

    @classmethod
    @cache
    def states(cls):
        one = cls()
        found = [repr(one.optimizer.state_dict()), repr(one.loaded)]
        one.first()
        return *found, repr(one.optimizer.state_dict())

    def wrong(self):
        return "" if repr(self.optimizer.state_dict()) in self.states() else "half of a state is loaded"

    def results(self):
        self.first()
        return repr(self.optimizer.state_dict())


PROBLEMS = [
    *(Function, Forward, Backward, Gradient, Jacobian, Hessian, Check, Threads, Method, Source),
    *(Graph, Prepared, Derivatives, Native, Kernels, Fit, FitInThreads, FitClipped, EarlyStopping, Saved, Eager),
    *(ShortFit, ShortSteps, OptimizerState),
]
# The functions whose lines are tried by default, because they change what later calls read
CHANGING = {
    Backward: (
        "record_missing",
        "_record_rows",
        "_publish",
        "at_once",
        "without_collector",
        "enter",
        "record_call",
        "_end",
        "watch_for",
        "forget",
        "leave",
        "add_gradients",
    ),
    Derivatives: ("_derive",),
    Graph: ("append", "differentiate", "_place", "broadcast"),
    Prepared: ("append",),
    Native: ("link",),
    Fit: ("_end", "write_back", "at_once"),
    ShortFit: ("losses", "_take", "take", "at_once", "training_alone"),
    ShortSteps: ("losses_and_callback", "_take"),
    EarlyStopping: ("restore", "step"),
    Saved: ("save", "load_state_dict", "assign_data", "at_once"),
    Eager: ("backward", "enter", "differentiation_level"),
    OptimizerState: ("load_state_dict", "amsgrad"),
}


# Campaigns


class Campaign:
    """Interrupt the first call of a problem, again and again, and note what is wrong afterwards.

    Args:
        problem: a class of problems.

    Attributes:
        lines: how often the first call comes to each line.
        interrupted: how many calls have been interrupted.
        wrong: a text for each fault that was found.
    """

    def __init__(self, problem):
        self.problem = problem
        for _ in range(2):  # what the whole process shares is there the second time
            self.fresh().first()
            self.expected = self.fresh().results()
        self.before, self.threads = surroundings(), threading.active_count()
        self.lines = lines_of(self.fresh().first)
        self.interrupted = 0
        self.wrong = []

    def fresh(self):
        """Return a new problem, whose first call finds no code of the problems before it."""
        forget_tiers()
        return self.problem()

    def places(self, middle=True):
        """Return the lines that the first call comes to, with the numbers of their first, middle and last time."""
        return [
            (*place, k)
            for place, count in self.lines.items()
            for k in sorted({1, (count + 1) // 2 if middle else 1, count})
        ]

    def try_line(self, code, line, occurrence, error=KeyboardInterrupt):
        """Interrupt the first call before a line."""
        _locks.clear()
        one = self.fresh()
        kept = interrupt(one.first, code, line, occurrence, error)
        place = f"{code.co_filename.removeprefix(PACKAGE)}:{line} in {code.co_qualname}, time {occurrence}"
        self.look(one, kept, place)

    def look(self, one, kept, place):
        """Note what is wrong with a problem after `place`. `kept` is the exception, which is alive meanwhile."""
        self.interrupted += kept is not None
        after, count = surroundings(), threading.active_count()
        if kept and place.startswith("signal"):
            del after[
                "in a block"
            ]  # a signal may interrupt `contextlib`, whose block ends when the exception is dropped
        wrong = [f"{name}: {self.before[name]} became {x}" for name, x in after.items() if self.before[name] != x]
        wrong += [f"{count - self.threads} more threads"] * (count > self.threads)
        self.threads = count
        restore_surroundings()
        try:
            wrong += [text] if (text := one.wrong()) else []
            found = one.results()
        except Exception as error:
            found = f"{type(error).__name__}: {error}"
        wrong += [f"{found[:200]} instead of {self.expected[:200]}"] * (found != self.expected)
        self.wrong += [f"{self.problem.__name__}, {place}: {text}" for text in wrong]


@pytest.fixture(scope="module", autouse=True)
def nothing_frozen():
    """Run the tests with a garbage collector in which nothing is frozen."""
    frozen = gc.get_freeze_count()  # it counts all objects of all collected tests
    gc.unfreeze()
    yield
    if frozen:
        gc.freeze()


@pytest.fixture(autouse=True)
def like_a_user(tmp_path, monkeypatch):
    """Run a test in an empty folder."""
    monkeypatch.chdir(tmp_path)
    with settings({"threads.collector.MANY_OBJECTS": 0}):  # so few objects, too, are moved to the oldest generation
        yield
    machine_module._machine = None


@pytest.mark.parametrize("share", [0.08, pytest.param(1.0, marks=pytest.mark.thorough)])
@pytest.mark.parametrize(("problem", "functions"), CHANGING.items())
def test_an_interrupted_call_leaves_nothing_half_made(problem, functions, share):
    campaign = Campaign(problem)
    # What is half done before the middle of a loop is half done before its last turn, too.
    places = [place for place in campaign.places(middle=False) if place[0].co_name in functions]
    assert {code.co_name for code, *_ in places} == {*functions}
    places = random.Random(0).sample(places, math.ceil(share * len(places)))
    for place in [*places, *random.Random(0).sample(campaign.places(), 2)]:
        campaign.try_line(*place)
    assert campaign.interrupted > 0.8 * len(places)
    assert not campaign.wrong


@pytest.mark.slow
@pytest.mark.parametrize("error", [KeyboardInterrupt, MemoryError])
@pytest.mark.parametrize("problem", PROBLEMS)
def test_a_call_that_is_interrupted_at_any_line_leaves_nothing_half_made(problem, error):
    campaign = Campaign(problem)
    for place in campaign.places():
        campaign.try_line(*place, error)
    share = 0.9 if error is KeyboardInterrupt else 0.85  # a comparison that raises an error counts as a change
    assert campaign.interrupted > share * len(campaign.places())
    assert not campaign.wrong


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # Python ignores an interrupt of __del__
@pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="no timers that send signals here")
@pytest.mark.parametrize("problem", PROBLEMS)
def test_a_call_that_real_signals_interrupt_leaves_nothing_half_made(problem):
    campaign, random_, armed = Campaign(problem), random.Random(0), False

    def interrupt_once(*_):
        nonlocal armed
        if armed:
            armed = False
            raise KeyboardInterrupt

    one = campaign.fresh()
    start = time.perf_counter()
    one.first()
    seconds = time.perf_counter() - start
    handler = signal.signal(signal.SIGALRM, interrupt_once)
    try:
        for k in range(300):
            _locks.clear()
            one, kept, armed = campaign.fresh(), None, True
            try:
                signal.setitimer(signal.ITIMER_REAL, random_.uniform(1e-5, seconds))
                one.first()
                armed = False
            except KeyboardInterrupt as raised:
                kept = raised
            signal.setitimer(signal.ITIMER_REAL, 0.0)
            campaign.look(one, kept, f"signal {k}")
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0.0)
        signal.signal(signal.SIGALRM, handler)
    assert campaign.interrupted > 30
    assert not campaign.wrong
