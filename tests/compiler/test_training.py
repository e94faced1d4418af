"""`fit` gives the bits of a loop of `backward` and `step`, and keeps the steps that it took if it is interrupted."""

import math
import os
import pickle
import random
import signal
import sys
import threading
import time
from array import array
from collections import OrderedDict
from itertools import cycle, islice, pairwise
from types import SimpleNamespace

import numpy as np
import pytest
from tqdm import tqdm

import micrograd_cn as mc
from micrograd_cn import Value, optim
from micrograd_cn.compiler import compile  # noqa: A004 -- the field's name
from micrograd_cn.compiler.llvm.machine import Machine
from micrograd_cn.compiler.training import update
from micrograd_cn.compiler.training.epochs import TrainingOptions, train
from micrograd_cn.compiler.training.update import update_key
from micrograd_cn.optim import SGD, Adam, AdamW, Optimizer, RMSprop, cosine_lr, linear_lr, step_lr, warmup

from .common import OPTIMISERS, everything, loop, problem, settings


@pytest.mark.parametrize("make", OPTIMISERS.values(), ids=OPTIMISERS)
@pytest.mark.parametrize("batch", [None, 16, 1])
def test_fit_is_the_loop_of_steps_to_the_bit(make, batch):
    """`fit` and a loop of steps give the same losses, parameters, gradients and state for each optimiser."""
    (ours, program, rows, _), (theirs, other, _, _) = problem(), problem()
    mine, yours = make(ours), make(theirs)
    with settings({"runtime.executable.SECONDS_BEFORE_NATIVE": 1e-7}):  # it changes to native code at once
        losses = program.fit(rows, mine, 5, batch_size=batch, shuffle=random.Random(1))
        losses += program.fit(rows, mine, 3, batch_size=batch)
    expected = loop(other, rows, yours, 5, batch or 37, random.Random(1))
    expected += loop(other, rows, yours, 3, batch or 37)
    assert losses == pytest.approx(expected, rel=1e-12)
    assert everything(ours, mine) == everything(theirs, yours)


def test_fit_is_the_eager_training_and_eager_training_goes_on_from_it():
    """Three epochs of `fit` and two epochs of the eager engine give the parameters of five eager epochs."""
    (ours, program, rows, model), (theirs, _, _, other) = problem(), problem()
    mine, yours = OPTIMISERS["adam"](ours), OPTIMISERS["adam"](theirs)
    program.fit(rows, mine, 3, batch_size=10)
    for net, optimizer, epochs in ((other, yours, 5), (model, mine, 2)):
        parameters = net.parameters()
        for _ in range(epochs):
            for start in range(0, 37, 10):
                batch = rows[start : start + 10]
                fits = [(net([Value(x) for x in row[:3]]) - row[3]) ** 2 for row in batch]
                loss = mc.mean(fits) + 1e-3 * mc.sum([p * p for p in parameters])
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
    assert [p.data for p in ours] == pytest.approx([p.data for p in theirs], rel=1e-10)


def test_the_optimiser_may_have_more_parameters_or_fewer(code):
    """An optimiser may lack parameters of the program, have others, and have them in another order."""
    (ours, program, rows, _), (theirs, other, _, _) = problem(extra=20), problem(extra=20)
    for p in (ours[3], theirs[3]):
        p.requires_grad = False  # the optimiser leaves it alone, and for the programs it is still a parameter
    for chosen in (slice(2, None), slice(None, None, -1), slice(0, 1)):
        mine, yours = OPTIMISERS["nesterov"](ours[chosen]), OPTIMISERS["nesterov"](theirs[chosen])
        program.fit(rows, mine, 2, batch_size=16)
        loop(other, rows, yours, 2, 16)
        held = [p.data for p in ours]
        assert held == [p.data for p in theirs]
        assert mine.state_dict() == yours.state_dict()
        assert [p.grad for p in mine.parameters if p.requires_grad] == [
            p.grad for p in yours.parameters if p.requires_grad
        ]


class Interrupting:
    """A `shuffle` that raises KeyboardInterrupt at its third call, as if the user had pressed Ctrl-C."""

    def __init__(self):
        self.left = 2

    def shuffle(self, order):
        if not self.left:
            raise KeyboardInterrupt
        self.left -= 1


@pytest.mark.parametrize("schedule", [None, cosine_lr(0.1, 100)], ids=["one rate", "cosine"])
def test_what_was_trained_is_kept_when_interrupted(code, schedule):
    """After an interrupt between two epochs, parameters and state are those of the epochs that were finished."""
    (ours, program, rows, _), (theirs, other, _, _) = problem(), problem()
    mine, yours = OPTIMISERS["adamw"](ours), OPTIMISERS["adamw"](theirs)
    with pytest.raises(KeyboardInterrupt):
        program.fit(rows, mine, 10, batch_size=16, shuffle=Interrupting(), schedule=schedule)
    loop(other, rows, yours, 2, 16, schedule=schedule)
    assert everything(ours, mine) == everything(theirs, yours)
    assert mine.steps == 6


@pytest.mark.skipif(os.name == "nt", reason="signals to oneself")
@pytest.mark.parametrize("schedule", [None, warmup(linear_lr(0.05, 10**6), 100)], ids=["one rate", "warm-up"])
@pytest.mark.parametrize("threads", [1, 2])
def test_ctrl_c_ends_training_between_two_steps(threads, schedule):
    """Ctrl-C stops the compiled loop, and leaves the parameters and state of a whole number of steps.

    The compiled loop runs outside Python, where no signal is handled, so it has to return to Python now and then.
    """
    (ours, program, rows, _), (theirs, other, _, _) = problem(), problem()
    mine, yours = OPTIMISERS["momentum"](ours), OPTIMISERS["momentum"](theirs)
    running, ended = [], []  # and not an Event, since Ctrl-C in its `set` would leave its lock held

    def interrupt():
        start = time.monotonic()
        while not running and time.monotonic() < start + 60:
            time.sleep(1e-3)
        if not ended:
            os.kill(os.getpid(), signal.SIGINT)

    handler = signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background job has none
    thread = threading.Thread(target=interrupt)
    thread.start()
    try:
        with pytest.raises(KeyboardInterrupt):
            program.fit(
                rows,
                mine,
                10**12,
                progress=lambda losses: len(losses) > 1 and running.append(True),
                threads=threads,
                schedule=schedule,
            )
    finally:
        ended.append(True)
        running.append(True)
        thread.join()
        signal.signal(signal.SIGINT, handler)
    assert 1 < mine.steps < 10**12
    other.fit(rows, yours, mine.steps, threads=threads, schedule=schedule)
    assert schedule is None or mine.lr == schedule(mine.steps - 1)
    assert everything(ours, mine) == everything(theirs, yours)


def test_ctrl_c_at_any_line_of_the_writing_back_leaves_all_or_nothing():
    """An interrupt while `fit` writes numbers back to `Value`s leaves all of the old numbers or all of the new ones.

    The test interrupts the function `write_back` at its first line, then at its second line, and so on to its end.
    """

    def fit(line):
        ws = [Value(k + 1.0) for k in range(5)]
        ws[3].requires_grad = False
        x = Value(1.0)
        program, optimizer = compile(mc.sum([w * w for w in ws]) * x, [x]), OPTIMISERS["adam"](ws)
        before = everything(ws, optimizer)
        left, traced = line, sys.gettrace()

        def trace(frame, event, _):
            nonlocal left
            left -= event == "line"
            if not left:
                raise KeyboardInterrupt
            return trace

        sys.settrace(lambda frame, *_: trace if frame.f_code.co_name == "write_back" else None)
        try:
            program.fit([[1.0]], optimizer, 2)
        except KeyboardInterrupt:
            return True, before, everything(ws, optimizer)
        finally:
            sys.settrace(traced)
        return False, before, everything(ws, optimizer)

    interrupted, before, trained = fit(line=-1)
    assert not interrupted
    assert before != trained
    for line in range(1, 100):  # how many lines there are depends on the version of Python
        interrupted, before, after = fit(line)
        assert after in (before, trained), line
        if not interrupted:
            break
    assert 10 < line < 99


def test_a_parameter_that_was_frozen_after_compiling_gets_no_gradient():
    x, v, w = Value(1), Value(2), Value(3)
    program = compile(v * w * x, [x])
    v.requires_grad = False
    program.backward([[1.0], [2.0]])
    assert (v.grad, w.grad) == (0.0, 3.0)


def test_an_own_optimiser_compiles_if_it_is_written_in_rows():
    """A user-defined optimiser trains in `fit` if its update uses the table's operations, and is refused if not."""

    class Signs(Optimizer):
        state_names = ("largest", "rate")

        def update(self, p, state):
            state["largest"] = mc.maximum(state["largest"], mc.abs(p.grad))
            state["rate"] = self.lr / self.steps
            p.data -= state["rate"] * mc.where(mc.less(0.0, p.grad), 1.0, -1.0)

    (ours, program, rows, _), (theirs, other, _, _) = problem(), problem()
    mine, yours = Signs(ours, lr=0.1), Signs(theirs, lr=0.1)
    program.fit(rows, mine, 4, batch_size=16)
    loop(other, rows, yours, 4, 16)
    assert everything(ours, mine) == everything(theirs, yours)

    class Rounding(Optimizer):
        def update(self, p, state):
            p.data = round(p.data)

    class Averaging(Optimizer):
        def update(self, p, state):
            p.data -= self.lr * p.grad / len(self.parameters)  # a compiled update serves any number of parameters

    class Clipping(SGD):
        def step(self):
            mc.optim.clip_grad_norm(self.parameters, 1.0)
            super().step()

    for refused in (Rounding, Averaging, Clipping):
        with pytest.raises(TypeError, match=refused.__name__):
            program.fit(rows, refused(ours, lr=0.1), 1)


def test_the_update_of_another_class_is_traced_anew_for_each_fit():
    """The update of a user-defined optimiser is traced for each `fit`, because numbers that it reads may change."""
    factor = [1.0]

    def kind_of(base):
        class Scaled(base):
            scale = 1.0

            def update(self, p, state):
                p.data -= self.lr * self.scale * factor[0] * p.grad

        return Scaled

    x, w = Value(1.0), Value(0.0)
    program = compile(w * x, [x])
    for kind in map(kind_of, (Optimizer, SGD)):
        w.data, factor[0] = 0.0, 1.0
        optimizer = kind([w], lr=1.0)
        program.fit([[1.0]], optimizer, 1)
        kind.scale = 10.0
        program.fit([[1.0]], optimizer, 1)
        factor[0] = 100.0
        program.fit([[1.0]], optimizer, 1)
        assert w.data == -1011.0


def test_the_update_of_a_users_class_is_native_code_only_once_while_it_is_the_same(monkeypatch):
    """It is traced for each `fit`, and equal instructions have the same executable, as those of programs do."""

    class Halving(Optimizer):
        state_names = ("rate", "mark")

        def update(self, p, state):
            p.data -= 0.5 * self.lr * p.grad
            state["rate"], state["mark"] = self.lr, 2.0

    w = Value(1.0)
    program = compile(w * w, [])
    for rate in (0.25, 0.5):
        program.fit([[]] * 2, Halving([w], lr=rate), 1)
    monkeypatch.setattr(Machine, "compile", None)
    optimizer = Halving([w], lr=0.5)
    program.fit([[]] * 2, optimizer, 1)
    assert (w.data, optimizer.state) == (0.1875, [{"rate": 0.5, "mark": 2.0}])


@pytest.mark.parametrize("make", OPTIMISERS.values(), ids=OPTIMISERS)
@pytest.mark.parametrize("count", [1, 8, 17, 600])
def test_every_number_of_parameters_is_updated(make, count):
    """The compiled update changes each parameter, for fewer parameters than a vector holds and for many."""

    def trained(train):
        ws = [Value(0.01 * k - 0.3) for k in range(count)]
        frozen = ws[count // 2 :: 5]
        x = Value(0.5)
        program = compile(mc.sum([w * w * (x + k % 3) for k, w in enumerate(ws)]), [x])
        for w in frozen:
            w.requires_grad = False
        optimizer = make(ws)
        train(program, [[0.1], [0.2], [0.7], [1.0], [-0.2]], optimizer, 3, 4)
        return everything(ws, optimizer)

    assert trained(lambda program, *rest: program.fit(*rest)) == trained(loop)


@pytest.mark.parametrize("make", OPTIMISERS.values(), ids=OPTIMISERS)
def test_calls_of_fit_follow_what_has_changed_between_them(make):
    """`fit` sees what has changed since its last call: data, frozen parameters, their order, and a loaded state.

    `fit` remembers where an optimiser's parameters are in the program, and this may be out of date.
    """

    def trained(fit):
        ws = [Value(0.1 * k, f"w{k}") for k in range(20)]
        x, y = Value(0.5), Value(0.5)
        programs = [compile(mc.dot(some, [x] * len(some)) * y + some[0] ** 2, [x, y]) for some in (ws[:19], ws[3:])]
        optimizer = make(ws[::-1])
        for change in range(6):
            if change == 1:
                ws[4].data = 3.0
            elif change == 2:
                ws[5].requires_grad = False
            elif change == 3:
                optimizer.parameters[0], optimizer.parameters[1] = optimizer.parameters[1], optimizer.parameters[0]
            elif change == 4:
                optimizer.load_state_dict(optimizer.state_dict())
            fit(programs[change % 2 if change < 5 else 0], [[0.5, 1.0], [2.0, -1.0], [0.1, 0.3]], optimizer, 2, 2)
        return everything(ws, optimizer)

    assert trained(lambda program, *rest: program.fit(*rest)) == trained(loop)


@pytest.mark.parametrize("make", OPTIMISERS.values(), ids=OPTIMISERS)
def test_the_state_is_the_same_whenever_it_is_asked_for_and_whoever_holds_it_sees_it_change(make):
    """`optimizer.state` has the same numbers whenever it is read, and a reference to it stays up to date.

    `fit` keeps the state in arrays, in an order of its own, and makes dicts of them only when somebody reads it.
    """

    def trained(asks):
        parameters, program, rows, _ = problem()
        parameters[4].requires_grad = False
        optimizer, held = make([parameters[5], *parameters[:5], *parameters[6:]]), []

        def ask(losses):
            held.append(optimizer.state)

        for call in range(3):
            if call == asks:
                held = [optimizer.state, *optimizer.state]
            program.fit(rows, optimizer, 2, progress=ask if asks == call + 10 else False)
            if asks == 20:
                optimizer = pickle.loads(pickle.dumps(optimizer))
                optimizer.parameters = [parameters[5], *parameters[:5], *parameters[6:]]
        saved = optimizer.state_dict()
        assert saved["state"] == optimizer.state
        if held:
            assert held[0] is optimizer.state
        if 0 <= asks < 3:
            assert all(a is b for a, b in zip(held[1:], optimizer.state, strict=True))
        return everything(parameters, optimizer)

    assert len({repr(trained(asks)) for asks in (-1, 0, 1, 2, 10, 11, 12, 20)}) == 1


def test_a_slot_that_no_step_reads_stays_what_it_is():
    """`fit` leaves an entry of the state alone if the update does not use it."""
    w, x = Value(1.0), Value(1.0)
    optimizer = SGD([w], lr=0.1)
    optimizer.state[0]["momentum_buffer"] = 5.0
    compile(w * x, [x]).fit([[1.0]], optimizer, 2)
    assert (w.data, optimizer.state) == (0.8, [{"momentum_buffer": 5.0}])


def test_losses_are_the_means_of_their_epochs():
    """`fit` returns the mean loss over all rows of an epoch, also if the last batch is smaller."""
    x, w = Value(1.0), Value(3.0)
    program = compile(w * 0.0 + x, [x])
    rows = [[float(k)] for k in range(11)]
    for batch in (None, 1, 4, 10, 11):
        assert program.fit(rows, SGD([w], lr=0.1), 3, batch_size=batch) == pytest.approx([5.0] * 3, rel=1e-15)


def test_the_way_back_to_python_is_taken_often_enough_for_ctrl_c_and_no_more_often():
    """The compiled loop takes a step, more for a short time, then twice as many, and returns 20 times a second."""
    parameters, program, rows, _ = problem()
    told = []
    program.fit(rows, SGD(parameters, 1e-3), 2)  # the first step of a process takes long, since code is compiled
    with settings({"training.epochs.FIRST_SECONDS": 0.0}):
        losses = program.fit(rows, SGD(parameters, 1e-3), 2**15, progress=lambda losses: told.append(len(losses)))
    assert (len(losses), sum(told)) == (2**15, 2**15)
    assert told[:3] == [1, 2, 4]
    assert max(told) > 50  # a twentieth of a second is enough for many steps
    assert all(b <= 2 * a for a, b in pairwise(told))
    told.clear()
    with settings({"training.epochs.FIRST_SECONDS": 0.05}):
        program.fit(rows, SGD(parameters, 1e-3), 9, progress=lambda losses: told.append(len(losses)))
    assert (told[0], sum(told)) == (1, 9)
    assert told[1] > 2
    told.clear()
    with settings({"training.epochs.POLL_SECONDS": 0.0}):
        program.fit(rows, SGD(parameters, 1e-3), 20, progress=lambda losses: told.append(len(losses)))
    assert told == [1] * 20


def test_fit_refuses_what_it_cannot_do():
    parameters, program, rows, _ = problem()
    optimizer = SGD(parameters)
    for arguments, exception, message in (
        ({"epochs": -1}, ValueError, "epochs"),
        ({"epochs": 1.5}, ValueError, "epochs"),
        ({"epochs": 1, "batch_size": 0}, ValueError, "batch_size"),
        ({"epochs": 1, "batch_size": True}, ValueError, "batch_size"),
        *(({"epochs": 0, "schedule": x}, TypeError, "a function of the number of the step") for x in (0.1, "cosine")),
        *(({"epochs": 0, "progress": x}, TypeError, "a bool or a function of some steps'") for x in (None, 1, "bar")),
    ):
        with pytest.raises(exception, match=message):
            program.fit(rows, optimizer, **arguments)
    with pytest.raises(TypeError, match="optimizer"):
        program.fit(rows, parameters, 1)
    x, w = Value(1.0), Value(1.0)
    with pytest.raises(ValueError, match="is an input"):
        compile(w * x, [x]).fit([[1.0]], SGD([w, x]), 1)
    before = [p.data for p in parameters]
    assert program.fit(rows, optimizer, 0) == []
    assert [p.data for p in parameters] == before


WRONG = {
    "twice": lambda order: order.__setitem__(0, order[1]),
    "below": lambda order: order.__setitem__(order.index(3), -1),
    "above": lambda order: order.__setitem__(order.index(3), 10),
    "far below": lambda order: order.__setitem__(order.index(3), -20),
    "far above": lambda order: order.__setitem__(order.index(3), 20),
    "no int64": lambda order: order.__setitem__(order.index(3), 2**70),
    "a fraction": lambda order: order.__setitem__(order.index(3), 3.0),
    "no number": lambda order: order.__setitem__(order.index(3), None),
    "fewer": lambda order: order.remove(3),
    "more": lambda order: order.append(3),
}


@pytest.mark.parametrize("change", WRONG.values(), ids=WRONG)
def test_an_order_of_other_numbers_is_refused(change):
    """A `shuffle` that does not permute the row numbers is refused, because compiled code would read other memory."""
    x, w = Value(1.0), Value(0.0)
    program = compile(w * x, [x])
    with pytest.raises(ValueError, match="shuffle must permute the list of row numbers, and neither add"):
        program.fit([[1.0]] * 10, SGD([w]), 2, shuffle=SimpleNamespace(shuffle=change))
    assert w.data == 0.0


def in_two_lines(losses):
    """Write a line for some steps. With `yield`, nobody runs it."""
    yield f"{len(losses)} steps"
    yield str(losses[-1])


@pytest.mark.parametrize(
    ("options", "cure"),
    [
        ({"shuffle": SimpleNamespace(shuffle=lambda order: sorted(order, reverse=True))}, r"write order\[:\] = \.\.\."),
        (
            {"shuffle": SimpleNamespace(shuffle=lambda order: np.random.permutation(order))},
            r"write order\[:\] = \.\.\.",
        ),
        ({"progress": in_two_lines}, "write a loop without yield"),
        ({"progress": lambda losses: map(print, losses)}, "write a loop without yield"),
    ],
)
def test_what_a_users_function_returns_is_not_ignored(options, cure):
    """The order stays as it was if a new list is returned, and an iterator does nothing until somebody asks it."""
    x, w = Value(1.0), Value(0.0)
    with pytest.raises(TypeError, match=cure):
        compile(w * x, [x]).fit([[1.0], [2.0]], SGD([w]), 2, **options)


def test_a_shuffle_may_return_the_list_that_it_has_changed():
    x, w, seen = Value(1.0), Value(0.0), []

    def backwards(order):
        order.reverse()
        seen.append([*order])
        return order

    compile(w * x, [x]).fit([[1.0], [2.0]], SGD([w]), 2, shuffle=SimpleNamespace(shuffle=backwards))
    assert seen == [[1, 0], [0, 1]]


def test_a_progress_bar_of_tqdm_is_chosen_by_true():
    x, w = Value(1.0), Value(0.0)
    with pytest.raises(TypeError, match="write progress=True"):
        compile(w * x, [x]).fit([[1.0]], SGD([w]), 2, progress=tqdm)


def test_every_order_of_the_numbers_is_taken():
    """`fit` takes the rows in the order that `shuffle` gives, also if it puts numpy's ints or bools into the list."""
    x, w, order = Value(1.0), Value(0.0), list(range(1000))
    random.Random(0).shuffle(order)
    rows, taken = (
        [[float(k)] for k in range(1000)],
        SimpleNamespace(shuffle=lambda rows: rows.__setitem__(slice(None), order)),
    )
    losses = compile(w * 0.0 + x, [x]).fit(rows, SGD([w]), 1, 1, taken, each_step=True)
    assert losses == order
    taken = SimpleNamespace(shuffle=lambda rows: rows.__setitem__(slice(None), [np.int64(1), False]))
    assert compile(w * 0.0 + x, [x]).fit([[5.0], [7.0]], SGD([w]), 1, 1, taken, each_step=True) == [7.0, 5.0]


# Schedules

SCHEDULES = {
    "cosine": cosine_lr(0.1, 20, 0.001),
    "step": step_lr(0.1, 3),
    "linear": warmup(linear_lr(0.1, 12), 5, 0.0),
    "own": lambda step: 0.1 / (1 + step % 5),
    "none, then all at once": lambda step: [0.0, 0.0, 0.3][step % 3],
}


SCHEDULED = [  # each schedule, optimiser and batch size at least once, which is quicker than all combinations
    *((10, "adam", name) for name in SCHEDULES),
    *((batch, make, "own") for make, batch in zip(OPTIMISERS, (None, 1, 10, 8, 1, None, 10, 1, 8), strict=True)),
]


@pytest.mark.parametrize(("batch", "make", "schedule"), SCHEDULED)
def test_fit_with_a_schedule_is_the_loop_of_steps_to_the_bit(make, batch, schedule):
    """`fit` with a schedule and a loop that sets `lr` before each step give the same bits."""
    make, schedule = OPTIMISERS[make], SCHEDULES[schedule]
    (ours, program, rows, _), (theirs, other, _, _) = problem(extra=3), problem(extra=3)
    mine, yours = make(ours), make(theirs)
    losses = program.fit(rows, mine, 5, batch_size=batch, shuffle=random.Random(1), schedule=schedule)
    losses += program.fit(rows, mine, 3, batch_size=batch, schedule=schedule)  # the schedule goes on
    losses += program.fit(rows, mine, 2, batch_size=batch)
    expected = loop(other, rows, yours, 5, batch or 37, random.Random(1), schedule)
    expected += loop(other, rows, yours, 3, batch or 37, schedule=schedule)
    expected += loop(other, rows, yours, 2, batch or 37)
    assert losses == pytest.approx(expected, rel=1e-12)
    assert everything(ours, mine) == everything(theirs, yours)


def test_an_own_optimiser_has_the_learning_rate_of_the_schedule():
    """The update of a user-defined optimiser reads the schedule's learning rate for the step as `self.lr`."""

    class Remembering(Optimizer):
        state_names = ("rates",)

        def update(self, p, state):
            state["rates"] = 10.0 * state["rates"] + self.lr
            p.data -= self.lr * p.grad

    x, w = Value(1.0), Value(0.0)
    program, optimizer = compile(w * x, [x]), Remembering([w], lr=9.0)
    program.fit([[1.0], [3.0]], optimizer, 3, batch_size=1, schedule=float)
    assert optimizer.state == [{"rates": 12345.0}]
    assert w.data == -(1 * 3 + 2 * 1 + 3 * 3 + 4 * 1 + 5 * 3)


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("shuffle", [None, random.Random(3)])
def test_a_schedule_is_called_once_for_each_step_and_the_last_rate_stays(code, shuffle, threads):
    parameters, program, rows, _ = problem()
    optimizer, asked = SGD(parameters, lr=0.5), []

    def schedule(step):
        asked.append(step)
        return 1e-3 * step

    program.fit(rows, optimizer, 0, schedule=schedule, threads=threads)
    assert (asked, optimizer.lr) == ([], 0.5)
    program.fit(rows, optimizer, 4, 10, shuffle, schedule=schedule, threads=threads)
    assert asked == list(range(16))
    assert (optimizer.lr, optimizer.steps) == (1e-3 * 15, 16)
    program.fit(rows, optimizer, 2, 10, shuffle, schedule=schedule, threads=threads)
    assert asked == list(range(24))
    program.fit(rows, optimizer, 1, threads=threads)
    assert optimizer.lr == 1e-3 * 23


WRONG_RATES = {
    "negative": (-0.5, ValueError, "must be 0 or more, got -0.5"),
    "nan": (math.nan, ValueError, "must be 0 or more, got nan"),
    "inf": (math.inf, ValueError, "must be 0 or more, got inf"),
    "a bool": (True, ValueError, "must be 0 or more, got True, a bool, which is no number"),
    "a text": ("0.1", ValueError, "must be 0 or more, got '0.1', a str, which is no number"),
    "nothing": (None, TypeError, "must be 0 or more, got None"),
}


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize(
    ("bad", "rate", "exception", "message"),
    [(bad, *wrong) for wrong, bad in zip(WRONG_RATES.values(), (0, 1, 5, 11, 0, 5), strict=True)],
    ids=WRONG_RATES,
)
def test_a_rate_that_is_none_ends_training_before_its_step(bad, rate, exception, message, threads):
    """A schedule that returns something else than a learning rate ends `fit` with an error, and earlier steps count."""
    (ours, program, rows, _), (theirs, other, _, _) = problem(), problem()
    mine, yours = OPTIMISERS["adam"](ours), OPTIMISERS["adam"](theirs)

    def schedule(step):
        return rate if step == bad else 0.01 + 0.001 * step

    with pytest.raises(exception) as caught:
        program.fit(rows, mine, 3, 10, schedule=schedule, threads=threads)
    assert str(caught.value) == f"fit(): step {bad} of the schedule {schedule!r}: the learning rate {message}"
    backward = other.backward
    other.backward = lambda chosen: backward(chosen, threads=threads)
    batches = cycle([rows[k : k + 10] for k in range(0, len(rows), 10)])
    for chosen in islice(batches, bad):
        loop(other, chosen, yours, 1, 10, schedule=schedule)
    assert everything(ours, mine) == everything(theirs, yours)
    assert mine.steps == bad


def test_an_error_of_the_schedule_ends_training_before_its_step(code):
    """If the schedule raises, `fit` raises the same error, and the steps before it count."""
    parameters, program, rows, _ = problem()
    optimizer = SGD(parameters)
    with pytest.raises(KeyError, match="5"):
        program.fit(rows, optimizer, 10, schedule=dict.fromkeys(range(5), 0.25).__getitem__)
    assert (optimizer.steps, optimizer.lr) == (5, 0.25)
    with pytest.raises(KeyError, match="5"):
        program.fit(rows, optimizer, 10, schedule={}.__getitem__)
    assert (optimizer.steps, optimizer.lr) == (5, 0.25)


def test_progress_is_shown_on_stderr(capsys):
    parameters, program, rows, _ = problem()
    program.fit(rows, SGD(parameters, lr=0.01), 4, batch_size=10, progress=True)
    shown = capsys.readouterr()
    assert "16/16" in shown.err
    assert "loss=" in shown.err
    assert shown.out == ""


@pytest.mark.parametrize("lengths", [[3], [3, 2, 1]], ids=["one program", "several"])
def test_a_function_is_told_every_steps_loss(lengths):
    """A function that is given as `progress` gets the loss of each step once, for one program and for several."""
    losses_of, told = [], []
    for progress in (False, lambda losses: told.append([*losses])):
        w = Value(0.5)
        loss = compile(lambda xs, w=w: (mc.dot(xs, [w] * len(xs)) - 1.0) ** 2)
        samples = [([0.25 * k] * lengths[k % len(lengths)],) for k in range(10)]
        optimizer = SGD([w], 0.01)
        losses_of.append(loss.fit(samples, optimizer, 7, 3, progress=progress, each_step=True))
    assert [x for losses in told for x in losses] == losses_of[0] == losses_of[1]
    assert len(told) > 1
    assert all(told)


def test_what_was_trained_is_kept_when_the_function_that_is_told_raises():
    """If `progress` raises, the steps that were taken before count."""
    (ours, program, rows, _), (theirs, other, _, _) = problem(), problem()
    mine, yours = SGD(ours, 0.05), SGD(theirs, 0.05)

    def enough(losses):
        if len(losses) > 1:
            raise ArithmeticError

    with pytest.raises(ArithmeticError):
        program.fit(rows, mine, 10**5, progress=enough)
    assert 1 < mine.steps < 10**5
    other.fit(rows, yours, mine.steps)
    assert everything(ours, mine) == everything(theirs, yours)


class Marks(Optimizer):
    """An optimiser whose state is a constant, which no instruction computes."""

    state_names = ("mark",)

    def update(self, p, state):
        p.data -= self.lr * p.grad
        state["mark"] = 2.5


def test_what_an_update_keeps_may_be_a_constant(code):
    """`fit` writes a constant to the state if the update does."""
    w, x = Value(1.0), Value(0.5)
    optimizer = Marks([w], lr=0.1)
    compile(w * x, [x]).fit([[1.0]], optimizer, 3)
    assert w.data == pytest.approx(0.7)
    assert optimizer.state == [{"mark": 2.5}]


# Anomalies


@pytest.mark.parametrize("samples", [[(1.0,), (4.0,)], [(1.0,), ([4.0],)]], ids=["one form", "two"])
@pytest.mark.parametrize("threads", [1, 2])
def test_inside_detect_anomaly_training_ends_before_the_step_that_is_none(samples, threads):
    """Inside `detect_anomaly`, `fit` raises at the step at which an eager loop does, and before it changes anything."""

    def made():
        w = Value(2.0, "w")
        return w, lambda x: mc.log(w * (x[0] if isinstance(x, list) else x) - 1.0)

    (ours, f), (theirs, g) = made(), made()
    compiled, a, b = compile(f), SGD([ours], 0.5), SGD([theirs], 0.5)
    compiled.backward(samples)

    def eager():
        for (x,) in samples * 5:
            b.zero_grad()
            g(x).backward()
            b.step()

    with mc.detect_anomaly():
        with pytest.raises(FloatingPointError, match=r"row [01]: log\(-16.*\) gave nan"):
            compiled.fit(samples, a, 5, batch_size=1, threads=threads)
        with pytest.raises(FloatingPointError, match=r"log\(-16.*\) gave nan"):
            eager()
    assert (ours.data, a.steps) == (pytest.approx(theirs.data), b.steps)


@pytest.mark.parametrize("make", OPTIMISERS.values(), ids=OPTIMISERS)
def test_looking_for_anomalies_changes_no_number(make):
    """Inside `detect_anomaly`, a training without anomalies gives the same bits as outside."""
    (ours, program, rows, _), (theirs, other, _, _) = problem(), problem()
    mine, yours = make(ours), make(theirs)
    with mc.detect_anomaly():
        losses = program.fit(rows, mine, 2, batch_size=10, shuffle=random.Random(1))
    assert losses == pytest.approx(other.fit(rows, yours, 2, batch_size=10, shuffle=random.Random(1)), rel=1e-15)
    assert everything(ours, mine) == everything(theirs, yours)


# Updates that cannot be compiled


def optimiser(**methods):
    """Return an optimiser of a new class that has these methods."""
    return type("Own", (Optimizer,), {"state_names": ("kept",), **methods})([Value(1.0)], lr=0.1)


def changed(change):
    """Return an optimiser whose update calls `change`, in addition to a step of gradient descent."""

    def update(self, p, state):
        p.data -= self.lr * p.grad
        change(self, p, state)

    made = optimiser(update=update)
    made.option = 2.0
    return made


# Things that an update may do beside changing the parameter and the state


def count(self, p, state):
    self.times = getattr(self, "times", 0) + 1


def alternate(sign):
    """Return a function that multiplies a parameter by 1 and by -1 in turn, so it never does the same twice."""
    signs = cycle([sign, -sign])
    return lambda self, p, state: setattr(p, "data", p.data * next(signs))


def to(x):
    """Return a function that sets an option of the optimiser."""
    return lambda self, p, state: setattr(self, "option", x)


REFUSED = {
    "step": (
        optimiser(step=lambda self: None),
        r"only the update\(\) of Own can be compiled, and it has its own step\(\); use",
    ),
    "zero_grad": (optimiser(zero_grad=lambda self: None), r"has its own zero_grad\(\); use backward\(rows\) and"),
    "an attribute": (changed(count), "Own, which changes self.times; use backward"),
    "an option": (changed(lambda self, p, state: setattr(self, "lr", self.lr * 0.5)), "which changes self.lr;"),
    "a label": (changed(lambda self, p, state: setattr(p, "label", "w")), "which changes p.label;"),
    "a gradient": (changed(lambda self, p, state: setattr(p, "grad", 0.0)), "which changes p.grad;"),
    "whether": (changed(lambda self, p, state: setattr(p, "requires_grad", False)), "changes p.requires_grad;"),
    "a number for it": (changed(lambda self, p, state: setattr(p, "requires_grad", 1)), "changes p.requires_grad;"),
    "not the same": (changed(alternate(1.0)), "Own, which is not the same each time; use backward"),
    "nor the same": (changed(alternate(-1.0)), "Own, which is not the same each time; use backward"),
    "greater": (changed(to(3.0)), "which changes self.option;"),
    "smaller": (changed(to(1.0)), "which changes self.option;"),
    "a number beside its slots": (
        changed(lambda self, p, state: state.update(t=1.0)),
        r"state\['t'\], which is not am",
    ),
    "a slot taken away": (changed(lambda self, p, state: state.clear()), r"state\['kept'\], which is no longer there;"),
    "a branch": (changed(lambda self, p, state: p.grad > 0.0 or None), "cannot compile the update of Own: "),
    "a key": (
        changed(lambda self, p, state: setattr(p, "data", p.data - {5: 0.01, 7: 3.0}.get(self.steps, 0.1) * p.grad)),
        "cannot compile the update of Own: a formula may not look an operand's number up in a dict",
    ),
    "its state": (
        changed(lambda self, p, state: self.state[0]),
        "not written in the table's operations on p.data, p.g",
    ),
}


@pytest.mark.parametrize(("optimizer", "message"), REFUSED.values(), ids=REFUSED)
def test_an_update_that_cannot_be_compiled_is_refused_with_the_reason(optimizer, message):
    """`fit` refuses an update that does something that compiled code would not do, and says what that is."""
    x, w = Value(1.0), optimizer.parameters[0]
    before = [w.data, repr(vars(optimizer))]
    with pytest.raises(TypeError, match=message):
        compile(w * x, [x]).fit([[1.0]], optimizer, 1)
    assert [w.data, repr(vars(optimizer))] == before or "times" in vars(optimizer)


@pytest.mark.parametrize("kind", [SGD, RMSprop, Adam, AdamW])
def test_options_may_be_others_in_each_call(kind):
    """An optimiser's options may change between calls of `fit`, although its compiled update is cached."""

    def trained(train):
        w, x = Value(1.0), Value(1.0)
        program = compile(w * w * x, [x])
        for options in ({}, {"weight_decay": 0.1}, {"lr": 0.5}, {"weight_decay": 0.1, "lr": 0.2}, {}):
            train(program, [[1.0], [2.0]], kind([w], **{"lr": 0.1, **options}), 2, 1)
        optimizer = kind([w], lr=0.1)
        for decay in (0.0, 0.3, 0.0):
            optimizer.weight_decay = decay
            train(program, [[1.0]], optimizer, 1, 1)
        return w.data

    assert trained(lambda program, *rest: program.fit(*rest)) == trained(loop)


@pytest.mark.parametrize("whole", [False, True])
def test_a_callback_that_changes_the_samples_in_place_changes_nothing(whole):
    """`fit` trains on the numbers of its call and validates with them, whether or not it could read them in place."""

    def fitted(factor, pair):
        w = Value(0.5)
        xs, ys, held_out = np.array([[1.0], [2.0]]), np.ones((2, 1)), np.array([[3.0]])

        def change(*_):
            for a in (xs, ys, held_out):
                a *= factor

        loss = (lambda x, y: (w * x[0] - y[0]) ** 2) if pair else (lambda x: (w * x[0] - 1.0) ** 2)
        f = compile(loss)
        if whole:
            f, samples, others = f.program([1.0], [1.0]) if pair else f.program([1.0]), xs, held_out
            if pair:
                xs = samples = np.hstack([xs, ys])
                held_out = others = np.array([[3.0, 1.0]])
        else:
            samples, others = ((xs, ys), (held_out, ys[:1].copy())) if pair else (xs, held_out)
        losses = f.fit(samples, SGD([w], 0.05), 4, callback=change, validation=others)
        return w.data, [*losses], losses.validation

    for pair in (False, True):
        assert fitted(1.5, pair) == fitted(1.0, pair)


KINDS = [kind for kind in vars(optim).values() if isinstance(kind, type) and issubclass(kind, Optimizer)]


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind is not Optimizer])
def test_the_compiled_update_of_every_optimiser_of_the_package_is_cached(kind):
    """Two optimisers of one class with the same options have the same key in the cache of compiled updates."""
    assert kind.__name__ in optim.__all__
    key, again = (update_key(kind([Value(1.0)], lr=0.1), False, False) for _ in range(2))
    assert key is not None
    assert key == again


def test_the_updates_that_were_used_last_are_those_that_are_kept(monkeypatch):
    """The cache of compiled updates drops the update that has not been used for longest."""
    monkeypatch.setattr(update, "MAX_CACHED", 2)
    monkeypatch.setattr(update, "_cache", OrderedDict())
    kinds = [SGD([Value(1.0)], lr=0.1, weight_decay=k / 8) for k in range(4)]
    found = [update.compiled_update(optimizer, False, False) for optimizer in kinds]
    assert update.compiled_update(kinds[3], False, False) is found[3]
    assert update.compiled_update(kinds[2], False, False) is found[2]
    assert update.compiled_update(kinds[0], False, False) is not found[0]


def test_the_first_steps_say_nothing_about_the_time_that_is_left():
    """`train` reports 0 seconds left after its first call of the compiled loop and its last, and an estimate between.

    The first step is slow, because its memory is new, so it says nothing about the pace of the others.
    """
    reported = []
    options = TrainingOptions(SGD([Value(1.0)], lr=0.1), epochs=3, batch_size=1, progress=False)
    losses = train(
        options,
        4,
        lambda first, most: array("d", [float(first)]),
        lambda seconds, left: reported.append(left),
        lambda order: None,
    )
    assert list(losses) == [1.5] * 3
    assert len(reported) == 12
    assert reported[0] == 0.0 == reported[-1]
    assert all(left > 0.0 for left in reported[1:-1])


def test_an_update_that_raises_for_numbers_is_refused():
    """The loop in Python raises the error, so `fit` must not train with the formula that was traced."""

    class Picky(SGD):
        def update(self, p, state):
            if isinstance(p.grad, float):
                raise KeyError("no floats")
            p.data = p.data - self.lr * p.grad

    w, x = Value(1.0), Value(2.0)
    with pytest.raises(TypeError, match="which is not the same for numbers"):
        compile(w * x, [x]).fit([[1.0]], Picky([w], lr=0.1), 1)
    assert w.data == 1.0


def test_counts_may_be_integers_of_numpy():
    w = Value(0.0)
    f = compile(lambda x: (w * x - 1.0) ** 2)
    options = {"batch_size": np.int64(1), "patience": np.int64(1), "validation": [(1.0,)]}
    for chosen in (options, options | {"batch_size": None}):
        assert len(f.fit([(1.0,)], SGD([w], lr=0.1), np.int64(2), **chosen)) == 2
    with pytest.raises(ValueError, match=r"epochs must be an int of at least 0, got 2\.0"):
        f.fit([(1.0,)], SGD([w], lr=0.1), 2.0)
