"""`fit` clips gradients, calls a callback, validates and stops early as a loop with the functions of `optim` does."""

import json
import math
import random
import weakref
from decimal import Decimal
from fractions import Fraction
from functools import partial
from types import ModuleType, SimpleNamespace

import numpy as np
import pytest

import micrograd_cn as mc
from micrograd_cn import Value
from micrograd_cn.compiler import compile  # noqa: A004 -- the field's name
from micrograd_cn.compiler.data import nodes
from micrograd_cn.compiler.data.parameters import vector_to_parameters
from micrograd_cn.compiler.training.epochs import TrainingOptions
from micrograd_cn.compiler.training.state import TrainingState
from micrograd_cn.optim import SGD, Adam, AdamW, EarlyStopping, Optimizer, clip_grad_norm, cosine_lr, warmup

from .common import OPTIMISERS, branching, everything, mixed, problem, settings


def looped(program, rows, optimizer, epochs, batch, *, norm=None, validation=None, patience=None, callback=None):
    """Train with a loop in Python that does what the docstring of `fit` promises.

    Return the losses and the validation losses of the epochs.
    """
    losses, found = [], []
    stopping = EarlyStopping(optimizer.parameters, patience) if patience else None
    for epoch in range(epochs):
        total = 0.0
        for start in range(0, len(rows), batch):
            chosen = rows[start : start + batch]
            optimizer.zero_grad()
            total += program.backward(chosen) * len(chosen)
            if norm is not None:
                clip_grad_norm(optimizer.parameters, norm)
            optimizer.step()
        losses.append(total / len(rows))
        arguments = [epoch, losses[-1]]
        if validation:
            found.append(sum(program.forward(validation)) / len(validation))
            arguments.append(found[-1])
        stops = stopping.step(found[-1]) if stopping else False
        if (callback and callback(*arguments)) or stops:
            break
    if stopping:
        stopping.restore()
    return losses, found


def numbers(parameters, optimizer):
    """Return all numbers that a training changes as one list, which pytest.approx can compare."""
    data, gradients, state = everything(parameters, optimizer)
    return [*data, *gradients, *(x for of_one in state["state"] for x in of_one.values())]


# Clipping


@pytest.mark.parametrize("make", OPTIMISERS.values(), ids=OPTIMISERS)
@pytest.mark.parametrize(
    ("norm", "batch", "threads"),
    [(0.05, 37, 1), (0.05, 10, 1), (0.05, 1, 1), (0.05, 10, 2), (1.0, 10, 1), (0.0, 37, 1)],
)
def test_clipped_steps_are_those_of_the_loop(make, batch, threads, norm):
    """`fit` with `clip_grad_norm` trains as a loop that calls `optim.clip_grad_norm` before each step.

    The norm is that of the gradients of the optimiser's parameters, without frozen ones.
    """
    (ours, program, rows, _), (theirs, other, _, _) = problem(extra=2), problem(extra=2)
    ours[3].requires_grad = theirs[3].requires_grad = False
    mine, yours = make(ours[1:]), make(theirs[1:])
    losses = program.fit(rows, mine, 4, batch_size=batch, threads=threads, clip_grad_norm=norm)
    expected, _ = looped(other, rows, yours, 4, batch, norm=norm)
    assert losses == pytest.approx(expected, rel=1e-12)
    assert numbers(ours[1:], mine) == pytest.approx(numbers(theirs[1:], yours), rel=1e-11, abs=1e-14)


@pytest.mark.parametrize("threads", [1, 2])
def test_functions_with_several_programs_clip_the_gradient_of_all(threads):
    """The gradient of a batch is clipped after the gradients of its samples' programs are added up."""
    (ours, f, samples), (theirs, g, _) = mixed(branching), mixed(branching)
    mine, yours = Adam(ours, lr=0.05), Adam(theirs, lr=0.05)
    losses = compile(f, branches=True).fit(samples, mine, 5, batch_size=4, threads=threads, clip_grad_norm=0.1)
    expected, _ = looped(compile(g, branches=True), samples, yours, 5, 4, norm=0.1)
    assert losses == pytest.approx(expected, rel=1e-12)
    assert numbers(ours, mine) == pytest.approx(numbers(theirs, yours), rel=1e-11)


@pytest.mark.parametrize("scale", [1e200, 1e-200, 1.0])
def test_squares_of_gradients_neither_overflow_nor_vanish(scale):
    """The norm of gradients near 1e200 or 1e-200 is right, although their squares overflow or are 0."""
    ws, x = [Value(0.0), Value(0.0)], Value(1.0)
    program = compile((3.0 * ws[0] + 4.0 * ws[1]) * x, [x])
    program.fit([[scale]], SGD(ws, lr=1.0), 1, clip_grad_norm=scale)
    factor = scale / (5.0 * scale + 1e-6)
    assert [w.data for w in ws] == pytest.approx([-3.0 * scale * factor, -4.0 * scale * factor], rel=1e-12)


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("bad", [math.inf, math.nan])
def test_a_norm_that_no_factor_corrects_ends_training_before_its_step(threads, bad):
    """If the norm is inf or nan, `fit` raises before it takes the step, and the earlier steps count."""
    w, x = Value(1.0), Value(1.0)
    program, optimizer = compile(w * x, [x]), SGD([w], lr=1.0)
    rows = [[0.5], [0.25], [bad], [0.125]]
    with pytest.raises(ValueError, match=r"the norm of the gradients is (inf|nan) in step 2"):
        program.fit(rows, optimizer, 3, batch_size=1, threads=threads, clip_grad_norm=10.0)
    assert (w.data, optimizer.steps) == (0.25, 2)


@pytest.mark.parametrize(
    ("norm", "exception", "message"),
    [
        (-1.0, ValueError, "clip_grad_norm must be 0 or more, got -1.0"),
        (math.nan, ValueError, "clip_grad_norm must be 0 or more, got nan"),
        ("1", TypeError, "clip_grad_norm must be a number, the largest norm, or None, got '1'"),
        (True, TypeError, "clip_grad_norm must be a number"),
        (np.array([0.1]), TypeError, "clip_grad_norm must be a number"),
        (Value(0.1), TypeError, "clip_grad_norm must be a number"),
    ],
)
def test_a_wrong_norm_is_refused(norm, exception, message):
    w, x = Value(1.0), Value(1.0)
    with pytest.raises(exception, match=message):
        compile(w * x, [x]).fit([[1.0]], SGD([w]), 1, clip_grad_norm=norm)


# Frozen parameters, whose steps are skipped


@pytest.mark.parametrize("name", ["adam", "adamw", "amsgrad", "dampened"])
def test_parameters_with_fewer_steps_behind_them_go_on_from_their_own_count(name):
    """A parameter that was frozen for some steps has taken fewer steps, and Adam's bias correction counts those."""

    def trained(fit):
        parameters, program, rows, _ = problem(extra=1)
        optimizer = OPTIMISERS[name](parameters)
        for p in parameters[2:5]:
            p.requires_grad = False
        fit(program, rows, optimizer, 3, 10)
        parameters[2].requires_grad = parameters[3].requires_grad = True
        fit(program, rows, optimizer, 2, 10)
        parameters[4].requires_grad = True
        fit(program, rows, optimizer, 2, 10)
        assert optimizer.skipped == {2: 12, 3: 12, 4: 20}
        return numbers(parameters, optimizer)

    # `fit` computes the powers of the betas as vectors, whose rounding differs a little.
    assert trained(lambda program, *rest: program.fit(*rest)) == pytest.approx(trained(looped), rel=1e-13, abs=1e-16)


# Callbacks


@pytest.mark.parametrize("each_step", [False, True])
@pytest.mark.parametrize("batch", [37, 10])
@pytest.mark.parametrize("threads", [1, 2])
def test_a_callback_is_told_each_epochs_number_and_loss_and_sees_its_parameters(each_step, batch, threads):
    """After each epoch, `fit` writes the parameters back, and gives the callback the epoch's number and mean loss."""
    (ours, program, rows, _), (theirs, other, _, _) = problem(), problem()
    mine, yours = OPTIMISERS["adam"](ours), OPTIMISERS["adam"](theirs)
    seen, expected = [], []
    with settings({"runtime.executable.SECONDS_BEFORE_NATIVE": 1e-7}):
        program.fit(
            rows, mine, 4, batch_size=batch, threads=threads, each_step=each_step,
            callback=lambda epoch, loss: seen.append((epoch, loss, [p.data for p in ours], mine.steps)),
        )  # fmt: skip
    looped(
        other, rows, yours, 4, batch,
        callback=lambda epoch, loss: expected.append((epoch, loss, [p.data for p in theirs], yours.steps)),
    )  # fmt: skip
    for a, b in zip(seen, expected, strict=True):
        assert (a[0], a[3]) == (b[0], b[3])
        assert [a[1], *a[2]] == pytest.approx([b[1], *b[2]], rel=1e-11)
    if threads == 1:
        assert everything(ours, mine) == everything(theirs, yours)


def raises(epoch, loss):
    """Stop the training by an exception, which `fit` catches."""
    raise StopIteration


@pytest.mark.parametrize(
    ("callback", "epochs"),
    [
        (lambda epoch, loss: epoch == 2, 3),
        (lambda epoch, loss: np.bool_(epoch == 1), 2),
        (lambda epoch, loss: None, 5),
        (lambda epoch, loss: False, 5),
        (raises, 1),
    ],
)
def test_a_callback_ends_training(callback, epochs):
    """Training ends after the epoch whose callback returns True or raises StopIteration."""
    parameters, program, rows, _ = problem()
    optimizer = OPTIMISERS["momentum"](parameters)
    losses = program.fit(rows, optimizer, 5, batch_size=10, callback=callback)
    assert (len(losses), optimizer.steps) == (epochs, 4 * epochs)


def test_a_callback_may_change_parameters_and_the_learning_rate():
    """What a callback assigns to parameters and to `lr` holds from the next epoch on."""
    w, x = Value(1.0), Value(1.0)
    optimizer = SGD([w], lr=1.0)

    def halve(epoch, loss):
        w.data, optimizer.lr = 10.0 * epoch, optimizer.lr / 2

    compile(w * x, [x]).fit([[1.0]], optimizer, 3, callback=halve)
    assert (w.data, optimizer.lr, optimizer.steps) == (20.0, 0.125, 3)
    compile(w * x, [x]).fit([[1.0]], optimizer, 2, callback=lambda epoch, loss: epoch == 1)
    assert w.data == 19.75


SPARE = Value(0.5)
IN_CALLBACK = {
    "nothing": lambda ws, optimizer, f: None,
    "data": lambda ws, optimizer, f: setattr(ws[1], "data", -0.5),
    "all data": lambda ws, optimizer, f: vector_to_parameters([1.5, -0.5, 0.25, 2.0], ws),
    "data and learning rate": lambda ws, optimizer, f: (setattr(ws[3], "data", 2), setattr(optimizer, "lr", 1)),
    "learning rate": lambda ws, optimizer, f: setattr(optimizer, "lr", optimizer.lr / 2),
    "option": lambda ws, optimizer, f: setattr(optimizer, "betas", (0.5, 0.9)),
    "amsgrad": lambda ws, optimizer, f: setattr(optimizer, "amsgrad", True),
    "steps": lambda ws, optimizer, f: setattr(optimizer, "steps", 1),
    "state": lambda ws, optimizer, f: optimizer.state[0].update(exp_avg=3.0),
    "new state": lambda ws, optimizer, f: (
        optimizer.lazy_state,  # the old state is kept alive
        optimizer.load_state_dict(Adam(ws, lr=0.2).state_dict()),
    ),
    "old state": lambda ws, optimizer, f: optimizer.load_state_dict(optimizer.state_dict()),
    "frozen": lambda ws, optimizer, f: setattr(ws[2], "requires_grad", not ws[2].requires_grad),
    "all but one frozen": lambda ws, optimizer, f: [setattr(w, "requires_grad", False) for w in ws[1:]],
    "step by hand": lambda ws, optimizer, f: optimizer.step(),
    "gradients": lambda ws, optimizer, f: f.backward([(2.0, 1.0)]),
    "order": lambda ws, optimizer, f: optimizer.parameters.reverse(),
    "other parameter": lambda ws, optimizer, f: optimizer.parameters.__setitem__(3, Value(0.5)),
    "spare parameter": lambda ws, optimizer, f: optimizer.parameters.__setitem__(3, SPARE),
    "fewer parameters": lambda ws, optimizer, f: setattr(optimizer, "parameters", [ws[1], ws[3], ws[0], Value(0.5)]),
    "skipped": lambda ws, optimizer, f: optimizer.load_state_dict(optimizer.state_dict() | {"skipped": [1, 0, 0, 0]}),
    "skipped by hand": lambda ws, optimizer, f: optimizer.skipped.update({0: 1}),
    "fit": lambda ws, optimizer, f: f.fit([(1.0, 1.0)], optimizer, 2),
    "fit of another optimizer": lambda ws, optimizer, f: f.fit([(1.0, 1.0)], SGD(ws, lr=0.1, momentum=0.5), 2),
    "fit of another function": lambda ws, optimizer, f: compile(lambda x: (ws[1] * x) ** 2).fit([(2.0,)], optimizer, 2),
}


@pytest.mark.parametrize("is_program", [False, True])
@pytest.mark.parametrize("what", IN_CALLBACK)
def test_fit_goes_on_with_all_that_a_callback_changes(what, is_program):
    """Epochs with a callback give what calls of `fit` with one epoch each give, and what new memory for each gives."""

    def trained(in_callback):
        ws = [Value(0.1 * k) for k in range(4)]
        optimizer, rows = Adam(ws, lr=0.1), [(1.0, 2.0), (-0.5, 1.0), (3.0, -1.0)]
        f, seen, held = compile(lambda x, y: (ws[0] + ws[1] * x + ws[2] * x * x + mc.tanh(ws[3] * x) - y) ** 2), [], []
        f = f.program(*rows[0]) if is_program else f

        def callback(*_):
            seen.append([(w.data, w.grad) for w in ws])
            if len(seen) % 2 and len(seen) < 6:
                held.append(IN_CALLBACK[what](ws, optimizer, f))
            seen.append([(w.data, w.grad) for w in ws])

        if in_callback:
            f.fit(rows, optimizer, 5, callback=callback)
        else:
            for _ in range(5):
                f.fit(rows, optimizer, 1)
                callback()
        return seen, everything(ws, optimizer)

    with settings({"training.state.MAX_KEPT_NUMBERS": -1, "training.run.MAX_KEPT_WORDS": -1}):  # no memory is kept
        expected = trained(False)
    assert trained(False) == expected
    assert trained(True) == expected


def test_training_goes_on_with_its_memory_after_a_callback_has_changed_parameters(monkeypatch):
    """A parameter that the compiled function does not read is copied again, too."""
    made, before = [], TrainingState.__init__
    monkeypatch.setattr(TrainingState, "__init__", lambda self, *given: (made.append(self), before(self, *given))[1])
    w, unread = Value(1.0), Value(3.0)
    seen, optimizer = [], SGD([unread, w], lr=0.25, weight_decay=1.0)

    def callback(*_):
        w.data, unread.data = w.data + 1.0, unread.data + 2.0
        seen.append((w.data, unread.data))

    losses = compile(lambda x: w * x).fit([(1.0,)], optimizer, 3, callback=callback)
    assert len(made) == 1
    assert losses == [1.0, 1.5, 1.875]  # the data before each step; the step makes 0.75 * data - 0.25 of it
    assert seen == [(1.5, 4.25), (1.875, 5.1875), (2.15625, 5.890625)]


def test_the_layout_of_parameters_is_kept_for_further_optimisers():
    """A program keeps the layout of its last `fit`, but none with parameters that it does not read."""
    w, b, other, x = Value(1.0), Value(2.0), Value(3.0), Value(0.0)
    f, program = compile(lambda x: (w * x + b) ** 2), compile((w * x + b) ** 2, [x])
    kept = [f._store.layouts, program._layouts]
    for given in ([w, b], [b, w], [b], [w, b, other]):
        found = []
        for _ in range(2):
            f.fit([(1.0,)], SGD(given, lr=0.1), 1)
            program.fit([[1.0]], SGD(given, lr=0.1), 1)
            found.append([*map(list, kept)])
        assert found[0] == found[1]
        assert [layout.optimized for [layout] in kept] == [given if other not in given else [b]] * 2


@pytest.mark.parametrize("options", [{"progress": True}, {"schedule": True}, {"threads": 2}, {"clip_grad_norm": 0.5}])
@pytest.mark.parametrize("by_machine_code", [False, True])
def test_memory_that_is_kept_changes_nothing(options, by_machine_code, monkeypatch):
    """Memory that a training has left does not show in the next one, even if the last one has failed."""
    if by_machine_code:  # parameters are read and written by machine code
        monkeypatch.setattr(nodes, "MIN_NODES", 1)
        monkeypatch.setattr(nodes, "NODES_BEFORE_CODE", 0)

    def trained():
        ws = [Value(0.1 * k) for k in range(4)]
        optimizer, rows = Adam(ws, lr=0.1), [(1.0, 2.0), (-0.5, 1.0), (3.0, -1.0), (2.0, 0.5), (0.1, 0.2)]
        f, seen = compile(lambda x, y: (ws[0] + ws[1] * x + ws[2] * x * x + mc.tanh(ws[3] * x) - y) ** 2), []

        def changing(epoch, loss):
            ws[2].data = 0.25
            return 1 / 0 if epoch else None

        functions = {
            "progress": lambda _: optimizer.state[1]["exp_avg"],
            "schedule": lambda step: 0.1 / (step + 1 + ws[0].data * 0.0),
        }
        for k in range(5):
            given = {name: functions.get(name, x) for name, x in options.items()}
            f.fit(rows[k // 4 :], optimizer, 2, batch_size=3 + k % 2, **given)
            f.fit(rows[k // 4 :], optimizer, 1)
            seen.append(everything(ws, optimizer))
            with pytest.raises(ZeroDivisionError):
                f.fit(rows, optimizer, 3, batch_size=1, callback=changing)
            if k == 2:
                ws[0].data = math.nan
                f.fit(rows, optimizer, 1)
                for w in ws:
                    w.data = 0.5
                optimizer.load_state_dict(Adam(ws, lr=0.1).state_dict())
        return seen

    found = trained()
    with settings({"training.state.MAX_KEPT_NUMBERS": -1, "training.run.MAX_KEPT_WORDS": -1}):
        assert found == trained()


def frozen_product(as_function, used_first):
    """Return a parameter that is frozen now, another one, and a compiled loss of their product."""
    a, b, x = Value(1.0, "a"), Value(1.0, "b"), Value(2.0)
    a.requires_grad = used_first
    compiled = compile(lambda x: (a * b * x - 3) ** 2) if as_function else compile((a * b * x - 3) ** 2, [x])
    if used_first and as_function:
        compiled(2.0)
    a.requires_grad = False
    return a, b, compiled


@pytest.mark.parametrize("as_function", [True, False])
def test_a_callback_unfreezes_a_parameter_or_an_error_says_what_to_write(as_function):
    """A parameter that was frozen when its program was made is a constant there, which no gradient reaches."""

    def unfreeze(epoch, loss):
        a.requires_grad = epoch < 2

    a, b, compiled = frozen_product(as_function, used_first=True)
    compiled.fit([[2.0]], SGD([a, b], lr=0.01), 5, callback=unfreeze)
    v, w = Value(1.0), Value(1.0)
    optimizer = SGD([v, w], lr=0.01)
    for epoch in range(5):
        v.requires_grad = 0 < epoch < 3
        optimizer.zero_grad()
        ((v * w * 2 - 3) ** 2).backward()
        optimizer.step()
    assert (a.data, b.data) == pytest.approx((v.data, w.data), rel=1e-12)
    a, b, compiled = frozen_product(as_function, used_first=False)
    with pytest.raises(ValueError, match=r"label='a'\), is a constant .*freeze it only after the program is made"):
        compiled.fit([[2.0]], SGD([a, b], lr=0.01), 5, callback=unfreeze)
    assert b.data != 1.0


CHANGES = {
    "the data of a parameter": lambda p, optimizer: setattr(p, "data", 5.0),
    "requires_grad of w": lambda p, optimizer: setattr(p, "requires_grad", False),
    "the parameters of the optimizer": lambda p, optimizer: optimizer.parameters.reverse(),
    "lr of the optimizer": lambda p, optimizer: setattr(optimizer, "lr", 0.5),
    "momentum of the optimizer": lambda p, optimizer: setattr(optimizer, "momentum", 0.5),
    "steps of the optimizer": lambda p, optimizer: setattr(optimizer, "steps", 9),
    "momentum_buffer in the state": lambda p, optimizer: optimizer.state[0].update(momentum_buffer=0.5),
}


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("option", ["schedule", "shuffle", "progress"])
@pytest.mark.parametrize("change", CHANGES)
def test_what_is_changed_between_steps_takes_effect_or_is_refused(change, option, threads):
    """`fit` copies parameters and optimiser before it takes steps, so a schedule's change of them would be lost."""
    w, v, x = Value(1.0, "w"), Value(2.0, "v"), Value(1.0)
    optimizer, calls = SGD([w, v], lr=0.1, momentum=0.9), []

    def user_function(*_):
        calls.append(1)
        if len(calls) == 2:
            CHANGES[change](w, optimizer)
        return 0.1 if option == "schedule" else None

    given = {"shuffle": SimpleNamespace(shuffle=user_function), "schedule": warmup(user_function, 2)}
    given = given.get(option, user_function)
    program = compile((w * x - v) ** 2, [x])
    if option == "schedule" and change.startswith("lr"):  # a schedule sets it
        program.fit([[1.0]], optimizer, 6, threads=threads, **{option: given})
        assert optimizer.lr == 0.1
        return
    with pytest.raises(ValueError, match=rf"fit\(\): {option} has changed {change}.*that you pass as callback="):
        program.fit([[1.0]], optimizer, 6, threads=threads, **{option: given})
    assert len(calls) == 2, "the error comes with the next step, and not when all have been taken"


FACTORS = {"all": 1.0}


class Scaled(Optimizer):
    """An optimiser whose update reads an attribute of the class, a list of the object, and a global dict."""

    decay = 0.5

    def __init__(self, parameters):
        super().__init__(parameters, lr=0.1)
        self.scales, self.rule = [1.0, 9.0], self.halved

    def halved(self, x):
        return self.lr * x / 2.0

    def update(self, p, state):
        p.data = p.data * self.decay - self.rule(p.grad) * self.scales[0] * FACTORS["all"]


CHANGES_OF_SCALED = {
    "decay of the optimizer": lambda optimizer, patch: setattr(optimizer, "decay", 0.25),
    "something that the update of Scaled reads": lambda optimizer, patch: optimizer.scales.reverse(),
    "something that the update of Scaled": lambda optimizer, patch: patch.setitem(FACTORS, "all", 9.0),
    "": lambda optimizer, patch: setattr(optimizer, "calls", [1, 2]),
}


@pytest.mark.parametrize("option", ["schedule", "shuffle"])
@pytest.mark.parametrize("change", CHANGES_OF_SCALED)
def test_what_the_update_of_a_users_optimiser_reads_is_not_changed_without_effect(change, option, monkeypatch):
    w, x, calls = Value(1.0), Value(1.0), []
    optimizer, program = Scaled([w]), compile(w * w * x, [x])

    def user_function(*_):
        calls.append(1)
        if len(calls) == 2:
            CHANGES_OF_SCALED[change](optimizer, monkeypatch)
        return 0.1 if option == "schedule" else None

    given = {option: SimpleNamespace(shuffle=user_function) if option == "shuffle" else user_function}
    if change:
        with pytest.raises(ValueError, match=rf"fit\(\): {option} has changed {change}"):
            program.fit([[1.0]], optimizer, 4, **given)
    else:  # the update does not read it
        program.fit([[1.0]], optimizer, 4, **given)
        assert w.data == pytest.approx(0.4**4)


READ = SimpleNamespace(rate=1.0, rates=[1.0], array=np.ones(2), const=Value(1.0, requires_grad=False))
CHANGES_OF_READ = {
    "attribute": lambda k: setattr(READ, "rate", 1.0 + k / 2),
    "list": lambda k: READ.rates.__setitem__(0, 1.0 + k / 2),
    "array": lambda k: np.add(READ.array, k / 2, READ.array),  # the code does not show that this writes
    "constant": lambda k: setattr(READ.const, "data", 1.0 + k / 2),
}


@pytest.mark.parametrize("option", ["schedule", "shuffle", "progress", "threads"])
@pytest.mark.parametrize("change", CHANGES_OF_READ)
def test_fit_does_not_go_on_with_a_number_that_a_function_changes_between_steps(change, option):
    """The program has the number that the function read when it was recorded."""
    READ.rate, READ.rates[0], READ.array[:], READ.const.data = 1.0, 1.0, 1.0, 1.0
    w, calls = Value(1.0), []

    def loss(x):
        return (READ.rate * READ.rates[0] * READ.array[1] * READ.const * w * x - 1.0) ** 2

    def user_function(*_):
        calls.append(1)
        CHANGES_OF_READ[change](len(calls))
        return 0.1 if option in ("schedule", "threads") else None

    options = {"threads": 2, "schedule": user_function} if option == "threads" else {option: user_function}
    if option == "shuffle":
        options = {"shuffle": SimpleNamespace(shuffle=user_function)}
    with pytest.raises(ValueError, match=r"was made: .* is 1.0 in one of them|is a constant of the program"):
        compile(loss).fit([(1.0,), (2.0,)], SGD([w], lr=0.1), 5, 1, **options)
    assert len(calls) < 9


def test_a_schedule_may_not_change_a_number_for_one_step():
    """The compiled loop takes many steps after the calls of the schedule, which has put the number back by then."""
    w = Value(1.0)

    def schedule(step):
        READ.rate = 2.0 if step == 5 else 1.0
        return 0.01

    READ.rate = 1.0
    with pytest.raises(ValueError, match=r"is 1.0 in one of them"):
        compile(lambda x: READ.rate * w * x).fit([(1.0,)], optimizer := SGD([w]), 50, schedule=schedule)
    assert optimizer.steps == 5


def test_what_changes_between_steps_but_makes_no_difference_is_allowed():
    w, v = Value(1.0), Value(1.0)
    options = {"epochs": 9, "batch_size": 2}

    def changing(*_):
        READ.rates.append(2.0)
        return 0.01

    READ.rates = [1.0]
    f = compile(lambda x: (READ.rates[0] * w * x if w * x < 1.0 else w * x) ** 2, branches=True)
    f.fit([(1.0,), (-2.0,), (3.0,)], SGD([w]), schedule=changing, **options)
    g = compile(lambda x: (v * x) ** 2)
    g.fit([(1.0,), (-2.0,), (3.0,)], SGD([v]), schedule=lambda step: 0.01, **options)
    assert len(READ.rates) == 19
    assert w.data == pytest.approx(v.data, rel=1e-12)


class Static:
    """A class whose static method shuffles, and one whose class method does."""

    of_class = None

    @staticmethod
    def shuffle(order):
        SHOWN[-1](order)


class OfClass:
    @classmethod
    def shuffle(cls, order):
        SHOWN[-1](order)


def own_shuffles():
    """Return objects whose `shuffle` is the function that `SHOWN` ends with, each in another way."""
    replaced, module, function = random.Random(0), ModuleType("own"), lambda: None
    replaced.shuffle = module.shuffle = function.shuffle = lambda order: SHOWN[-1](order)
    return {"static": Static, "class": OfClass, "replaced": replaced, "module": module, "function": function}


@pytest.mark.parametrize("kind", own_shuffles())
def test_every_shuffle_of_a_users_sees_what_the_steps_before_have_left(kind):
    w, seen = Value(0.0), []
    SHOWN[:] = [lambda order: seen.append(w.data)]
    compile(lambda x: (w * x - 1.0) ** 2).fit([(1.0,), (1.0,)], SGD([w], lr=0.1), 2, 1, own_shuffles()[kind])
    assert seen == [0.0, pytest.approx(0.36)]


@pytest.mark.parametrize(
    "shuffle",
    [random, random.Random(0), random.SystemRandom(), np.random, np.random.default_rng(0), np.random.RandomState(0)],
    ids=["random", "Random", "SystemRandom", "np.random", "Generator", "RandomState"],
)
def test_generators_of_python_and_numpy_run_no_code_of_the_users(shuffle, monkeypatch):
    options = TrainingOptions(SGD([Value(1.0)]), 1, shuffle=shuffle)
    assert options.called_between_steps == ()
    if shuffle is random:
        monkeypatch.setattr(random, "shuffle", lambda order: None)
        assert TrainingOptions(SGD([Value(1.0)]), 1, shuffle=shuffle).called_between_steps == ("shuffle",)


def test_a_progress_function_may_read_everything_and_may_change_what_is_not_trained():
    """It may also change the parameters for a while, as for a look at the loss elsewhere."""
    w, x = Value(1.0), Value(1.0)
    optimizer, program = Adam([w], lr=0.1), compile(w * w * x, [x])

    def report(losses):
        optimizer.losses = [*optimizer.state, losses]
        before, w.data = w.data, 7.0
        assert program.forward([[1.0]]) == [49.0]
        w.data = before

    history = program.fit([[1.0]], optimizer, 5, progress=report)
    u, other = Value(1.0), Value(1.0)
    assert history == compile(u * u * other, [other]).fit([[1.0]], Adam([u], lr=0.1), 5)
    assert w.data == u.data


def test_what_was_trained_is_kept_when_a_callback_raises():
    """If a callback raises, `fit` raises the same error, and the epochs before it count."""
    w, x = Value(1.0), Value(1.0)
    with pytest.raises(ZeroDivisionError):
        compile(w * x, [x]).fit([[1.0]], SGD([w], lr=1.0), 9, callback=lambda epoch, loss: 1 // (2 - epoch) > 5)
    assert w.data == -2.0


def test_callbacks_that_cannot_be_meant_are_refused():
    """A callback that is no function, or that returns a number, is refused: a loss of 0.0 would not stop a training."""
    w, x = Value(1.0), Value(1.0)
    program, optimizer = compile(w * x, [x]), SGD([w])
    with pytest.raises(TypeError, match="callback must be a function of an epoch's number and loss, got 3"):
        program.fit([[1.0]], optimizer, 1, callback=3)
    with pytest.raises(TypeError, match=r"; write validation=\.\.\., patience=\.\.\.$"):
        program.fit([[1.0]], optimizer, 1, callback=EarlyStopping([w], patience=2))
    with pytest.raises(TypeError, match=r"no option early_stopping; write validation=\.\.\., patience=\.\.\.$"):
        program.fit([[1.0]], optimizer, 1, early_stopping=True)
    with pytest.raises(TypeError, match=r"callback must return True to stop, or False or None to go on, got 1\.0"):
        program.fit([[1.0]], optimizer, 1, callback=lambda epoch, loss: loss)


def test_shuffling_schedules_and_callbacks_go_together():
    """A callback that does nothing changes no bit of a training with a shuffle and a schedule."""

    def trained(**options):
        parameters, program, rows, _ = problem()
        optimizer, random_ = AdamW(parameters, lr=0.1), random.Random(0)
        program.fit(rows, optimizer, 4, batch_size=8, shuffle=random_, schedule=cosine_lr(0.1, 20), **options)
        return everything(parameters, optimizer)

    assert trained() == trained(callback=lambda epoch, loss: None)


# Validation and early stopping


def overfits(seed=0):
    """Return parameters, a program, rows to train on, rows to validate on, and the model.

    The rows are few and their validation targets are random, so the validation loss soon rises.
    """
    parameters, program, rows, model = problem(seed)
    rng = random.Random(seed + 1)
    return parameters, program, rows[:6], [[*row[:3], rng.uniform(-1, 1)] for row in rows[6:20]], model


@pytest.mark.parametrize("patience", [None, 1, 3])
@pytest.mark.parametrize("threads", [1, 2])
def test_validation_and_early_stopping_are_those_of_the_loop(patience, threads):
    """`fit` validates after each epoch, stops when the loop would stop, and restores the best epoch's parameters."""
    (ours, program, rows, held_out, _), (theirs, other, *_) = overfits(), overfits()
    mine, yours, told = Adam(ours, lr=0.05), Adam(theirs, lr=0.05), []
    history = program.fit(
        rows, mine, 60, batch_size=4, threads=threads, validation=held_out, patience=patience,
        callback=lambda *arguments: told.append(arguments),
    )  # fmt: skip
    losses, found = looped(other, rows, yours, 60, 4, validation=held_out, patience=patience)
    assert len(history) == len(losses) == len(history.validation) == len(told)
    assert (len(history) < 60) == (patience is not None)
    assert history == pytest.approx(losses, rel=1e-10)
    assert history.validation == pytest.approx(found, rel=1e-10)
    assert told == [(k, *both) for k, both in enumerate(zip(history, history.validation, strict=True))]
    assert numbers(ours, mine) == pytest.approx(numbers(theirs, yours), rel=1e-9, abs=1e-12)
    now = sum(program.forward(held_out)) / len(held_out)
    if patience:
        assert now == pytest.approx(min(history.validation), rel=1e-12)
        assert history.validation[history.best_epoch] == min(history.validation) < history.validation[-1]
    else:
        assert (now, history.best_epoch) == (pytest.approx(history.validation[-1], rel=1e-12), None)


def test_the_best_parameters_are_kept_however_fit_ends():
    """With a patience, the best epoch's parameters are restored also after an interrupt."""
    parameters, program, rows, held_out, _ = overfits()
    seen = []

    def interrupts(epoch, loss, validation_loss):
        seen.append((validation_loss, [p.data for p in parameters]))
        if epoch == 40:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        program.fit(
            rows, Adam(parameters, lr=0.05), 60, batch_size=4, validation=held_out, patience=50, callback=interrupts
        )
    assert [p.data for p in parameters] == min(seen)[1]
    assert min(seen) != seen[-1]


@pytest.mark.parametrize("rate", [Fraction(1, 10), Decimal("0.1"), 1], ids=str)
def test_a_rate_that_is_no_float_counts_as_changed_by_nobody(rate):
    """A warning would be an error here: `fit` itself makes a float of the rate."""
    w = Value(1.0)
    optimizer = SGD([w], lr=0.5)
    optimizer.lr = rate
    compile(lambda x: w * x).fit([(1.0,)], optimizer, 1)
    assert (w.data, optimizer.lr) == (1.0 - float(rate), float(rate))


class Climbing(Optimizer):
    """An update that does not look at `maximize`, which the step does."""

    asks = False

    def update(self, p, state):
        p.data -= self.lr * (-p.grad if self.asks and self.maximize else p.grad)


@pytest.mark.parametrize("asks", [False, True])
def test_fit_climbs_with_every_optimiser_that_maximizes(asks):
    w, x = Value(1.0), Value(0.0)
    optimizer = Climbing([w], lr=0.25)
    optimizer.asks, optimizer.maximize = asks, True
    history = compile((w * x) ** 2, [x]).fit([[1.0]], optimizer, 3, validation=[[1.0]], patience=2)
    assert (w.data, history.validation) == (1.5**3, [2.25, 2.25**2, 2.25**3])
    assert (w.grad, optimizer.maximize, history.best_epoch) == (4.5, True, 2)


@pytest.mark.parametrize("asks", [False, True])
def test_a_schedule_may_not_begin_to_maximize(asks):
    w = Value(1.0)
    optimizer = Climbing([w], lr=0.25)
    optimizer.asks = asks

    def schedule(step):
        optimizer.maximize = True
        return 0.25

    with pytest.raises(ValueError, match="schedule has changed maximize of the optimizer"):
        compile(lambda x: (w * x) ** 2).fit([(1.0,)], optimizer, 3, schedule=schedule)


def test_an_optimiser_that_maximizes_keeps_the_largest_validation_loss():
    w, x = Value(0.0), Value(1.0)
    program = compile(-((w - x) ** 2), [x])
    history = program.fit([[3.0]], SGD([w], lr=0.25, maximize=True), 20, validation=[[2.0]], patience=2)
    assert max(history.validation) == history.validation[history.best_epoch] == -((w.data - 2.0) ** 2)
    assert len(history) == history.best_epoch + 3


def test_a_function_validates_samples_of_new_structures_whose_programs_have_more_parameters():
    """Validation samples may have a structure that no training sample has, with parameters that only they use."""

    def made():
        ws = [Value(0.5), Value(-0.25)]
        return ws, compile(lambda xs: sum((w * x - 1.0) ** 2 for w, x in zip(ws, xs, strict=False)))

    (ours, f), (theirs, other) = made(), made()
    samples, held_out = [([1.0],), ([2.0],)], [([1.0, 3.0],), ([0.5],)]
    mine, yours = Adam(ours, lr=0.1), Adam(theirs, lr=0.1)
    history = f.fit(samples, mine, 6, batch_size=1, validation=held_out, patience=6)
    losses, found = looped(other, samples, yours, 6, 1, validation=held_out, patience=6)
    assert (history, history.validation) == (pytest.approx(losses), pytest.approx(found))
    assert numbers(ours, mine) == pytest.approx(numbers(theirs, yours), rel=1e-11)


@pytest.mark.parametrize("trained_by", ["fit", "callback", "assignment"])
def test_a_constant_that_only_the_validation_reads_is_not_kept_while_it_changes(trained_by):
    """Samples of other lengths have programs of their own, so `w` can be a constant in one of them alone."""
    w, v = Value(1.0), Value(3.0)
    optimizer = SGD([w] if trained_by != "assignment" else [v], lr=0.01)
    f = compile(lambda xs: sum((w * v * x - 1.0) ** 2 for x in xs))
    held_out = ([[1.0, 2.0, 3.0]],)

    def callback(epoch, loss, validated):
        if trained_by == "callback":
            w.requires_grad = True
        elif trained_by == "assignment":
            w.data += 1.0

    w.requires_grad = False
    f.forward(held_out)
    if trained_by != "assignment":
        w.requires_grad = True
        f.forward(([[1.0, 2.0]],))  # so `w` can be trained there
        w.requires_grad = trained_by == "fit"
    with pytest.raises(ValueError, match="is a constant of the program, since it required no gradient when"):
        f.fit(([[1.0, 2.0]],), optimizer, 4, validation=held_out, callback=None if trained_by == "fit" else callback)
    assert w.data == 1.0 + (trained_by == "assignment")


def test_early_stopping_that_cannot_be_meant_is_refused_before_training():
    w, x = Value(1.0), Value(1.0)
    program, optimizer = compile(w * x, [x]), SGD([w])
    with pytest.raises(ValueError, match=r"patience needs validation data; write validation=\.\.\."):
        program.fit([[1.0]], optimizer, 1, patience=2)
    for patience in (0, 1.5, True):
        with pytest.raises(ValueError, match=f"patience must be an int of at least 1, got {patience}"):
            program.fit([[1.0]], optimizer, 1, validation=[[1.0]], patience=patience)
    for f, wrong in ((program, [[1.0, 2.0]]), (program, []), (compile(lambda x: w * x), [])):
        with pytest.raises(ValueError, match=r"^validation: .*(rows|samples|wide|numbers)"):
            f.fit([[1.0]] if f is program else [(1.0,)], optimizer, 1, validation=wrong)
    with pytest.raises(TypeError, match=r"^validation: sample 0 does not have the arguments of .*missing a req"):
        compile(lambda x, y: w * x * y).fit([(1.0, 2.0)], optimizer, 1, validation=[(1.0,)])
    with pytest.raises(TypeError, match=r"^validation: .*missing a required argument: 'y'"):
        compile(lambda x, y: w * x * y).fit([(1.0, 2.0)], optimizer, 1, validation=np.ones((3, 1)))
    assert optimizer.steps == 0


def test_what_fit_returns_is_a_list_of_numbers():
    """`fit` returns a list of losses, which json can write, with two attributes for validation."""
    w, x = Value(1.0), Value(1.0)
    history = compile(w * x, [x]).fit([[1.0]], SGD([w], lr=0.5), 2)
    assert (history, history.validation, history.best_epoch) == ([1.0, 0.5], [], None)
    assert json.dumps(history) == "[1.0, 0.5]"


def test_an_eager_function_stops_where_the_compiled_one_does():
    """An eager loop with `EarlyStopping` and `clip_grad_norm` stops at the same epoch with the same parameter."""

    def loss(w, x):
        return mc.mean([(w * x - 1.0) ** 2, 0.01 * w * w])

    w, v = Value(3.0), Value(3.0)
    history = compile(lambda x: loss(w, x)).fit(
        [(1.0,)], SGD([w], lr=0.3), 30, clip_grad_norm=1.0, validation=[(0.5,)], patience=2
    )
    stopping, optimizer, found = EarlyStopping([v], 2), SGD([v], lr=0.3), []
    for _ in range(30):
        optimizer.zero_grad()
        loss(v, 1.0).backward()
        clip_grad_norm([v], 1.0)
        optimizer.step()
        found.append(loss(v, 0.5).data)
        if stopping.step(found[-1]):
            break
    stopping.restore()
    assert history.validation == pytest.approx(found, rel=1e-12)
    assert (w.data, len(history) < 30) == (pytest.approx(v.data, rel=1e-12), True)


@pytest.mark.parametrize("made", [True, False], ids=["a graph", "a function"])
def test_early_stopping_restores_all_parameters_on_which_the_loss_depends(made):
    """The callback may train some of them by another optimiser."""
    a, b, x, t = Value(0.0), Value(0.0), Value(1.0), Value(1.0)
    f = compile(((a + b) * x - t) ** 2, [x, t]) if made else compile(lambda x, t: ((a + b) * x - t) ** 2)
    rows = [[1.0, 1.0], [2.0, 2.0]]

    def other_step(*_):
        b.data += 0.75

    history = f.fit(rows, SGD([a], lr=1e-3), 10, callback=other_step, validation=rows, patience=2)
    assert (len(history), history.best_epoch, b.data) == (4, 1, 0.75)
    losses = f.forward(rows)
    assert sum(losses) / len(losses) == pytest.approx(history.validation[1], rel=1e-12)


@pytest.mark.parametrize("columns", [1, 2])
@pytest.mark.parametrize("made", [True, False], ids=["a graph", "a function"])
def test_data_that_a_schedule_changes_in_place_are_those_of_the_call(columns, made):
    """`fit` reads samples and validation samples once, before it calls any code of the user's."""
    xs, w = np.arange(1.0, 41.0).reshape(20, 2), Value(0.1)
    if made:
        inputs = [Value(0.0), Value(0.0)]
        program, data = compile((w * inputs[0] - inputs[1]) ** 2, inputs), lambda: xs
    elif columns == 1:
        program, data = compile(lambda row: (w * row[0] - row[1]) ** 2), lambda: (xs,)
    else:
        first, second = xs[:, 0].copy(), xs[:, 1].copy()
        program, data = compile(lambda x, y: (w * x - y) ** 2), lambda: (first, second)

    def losses(schedule):
        w.data = 0.1
        given = data()
        history = program.fit(given, SGD([w], 1e-6), 3, schedule=schedule, validation=given)
        return [*history], history.validation

    def clear(step):
        for x in data() if isinstance(data(), tuple) else [data()]:
            x[:] = 0.0
        return 1e-6

    expected = losses(lambda step: 1e-6)
    assert losses(clear) == expected


class HeldRate:
    """A schedule that is an object, and one whose method is a schedule."""

    def __init__(self, optimizer):
        self.optimizer = optimizer

    def __call__(self, step):
        return self.optimizer.lr * 0.9


def generated(optimizer):
    while True:
        yield optimizer.lr * 0.9


def reading_later(w, optimizer):
    """Return schedules that reach the optimiser or the parameter w, each in another way."""
    inner, weak, rates = lambda: optimizer.lr * 0.9, weakref.ref(optimizer), generated(optimizer)
    held = SimpleNamespace(found=optimizer)
    return {
        "closure": lambda step: optimizer.lr * 0.9,
        "count of steps": lambda step: 0.1 / (1 + optimizer.steps),
        "parameter": lambda step: 0.1 if w.data < 0.3 else 0.01,
        "nested": lambda step: inner(),
        "object": HeldRate(optimizer),
        "method": HeldRate(optimizer).__call__,
        "partial": partial(lambda held, step: held.lr * 0.9, optimizer),
        "default": lambda step, held=optimizer: held.lr * 0.9,
        "weak reference": lambda step: weak().lr * 0.9,
        "proxy": partial(lambda held, step: held.lr * 0.9, weakref.proxy(optimizer)),
        "generator": lambda step: next(rates),
        "computed name": lambda step: getattr(held, "fou" + "nd").lr * 0.9,
        "inside warm-up": warmup(lambda step: optimizer.lr * 0.9, 3),
        "many functions": partial(lambda fs, step: fs[9]().lr * 0.9, [*[lambda: None] * 9, lambda: held.found]),
        "global variable": lambda step: globals()["SHOWN"][-1].lr * 0.9,
    }


SHOWN = []  # the optimiser of the last test, for a schedule that reads a global variable


@pytest.mark.parametrize("way", reading_later(Value(0.0), SGD([Value(0.0)])))
def test_a_schedule_sees_what_the_steps_before_have_left(way):
    """It is then called at each step, and not ahead of the steps, which would show it an old optimiser."""

    def trained(fit):
        w = Value(0.0)
        optimizer = SGD([w], lr=0.1)
        SHOWN[:] = [optimizer]
        fit(w, optimizer, reading_later(w, optimizer)[way])
        return w.data, optimizer.lr

    def compiled(w, optimizer, schedule):
        compile(lambda x: (w * x - 1.0) ** 2).fit([(1.0,)], optimizer, 5, schedule=schedule)

    def eager(w, optimizer, schedule):
        for _ in range(5):
            optimizer.lr = schedule(optimizer.steps)
            optimizer.zero_grad()
            ((w - 1.0) ** 2).backward()
            optimizer.step()

    assert trained(compiled) == pytest.approx(trained(eager), rel=1e-12)


def test_a_schedule_that_may_read_gradients_is_refused():
    w = Value(0.0)
    with pytest.raises(ValueError, match=r"schedule may read gradients.*; write a loop of optimizer.zero_grad\(\)"):
        compile(lambda x: w * x).fit([(1.0,)], SGD([w]), 2, schedule=lambda step: 0.1 if w.grad else 0.01)


def test_a_schedule_that_the_progress_function_tells_the_losses_knows_them_at_each_step():
    """Otherwise the rates would depend on how often the progress function is called, and so on the time."""
    w, losses, asked = Value(0.0), [1.0], []
    rates = dict(enumerate([0.1] * 99))

    def schedule(step):
        asked.append(len(losses))
        return 0.1 * losses[-1]

    compile(lambda x: (w * x - 1.0) ** 2).fit([(1.0,)], SGD([w]), 9, schedule=schedule, progress=losses.extend)
    assert asked == list(range(1, 10))
    sizes = []
    compile(lambda x: w * x).fit([(1.0,)], SGD([w]), 9, schedule=rates.get, progress=lambda x: sizes.append(len(x)))
    assert len(sizes) < 9  # it tells this schedule nothing


@pytest.mark.parametrize("base", [object, random.Random])
@pytest.mark.parametrize("threads", [1, 2])
def test_a_shuffle_and_a_progress_function_see_what_the_steps_before_have_left(base, threads):
    w, shown = Value(0.0), []
    optimizer = SGD([w], lr=0.1)

    class Sorting(base):
        def __init__(self, optimizer):
            self.optimizer, self.seen = optimizer, []

        def shuffle(self, order):
            self.seen.append((self.optimizer.steps, w.data))

    shuffle, f = Sorting(optimizer), compile(lambda x: (w * x - 1.0) ** 2)
    f.fit([(1.0,), (1.0,)], optimizer, 2, 1, shuffle, threads=threads, progress=lambda _: shown.append(w.data))
    assert shuffle.seen == [(0, 0.0), (2, pytest.approx(0.36))]
    assert shown[-1] == w.data


def _branching(w, v):
    return lambda x, y: (w * x - y) ** 2 if w * x > y else v * (w * x - y) ** 2 + 0.1 * v * v


def _captured(w, v):
    shared = v * 2.0  # computed before the function is called
    return lambda x, y: (w * x * shared - y) ** 2


def _of_lists(w, v):
    return lambda x, y: (mc.sum([w * each for each in x]) * v - y) ** 2 if isinstance(x, list) else (w * x - y * v) ** 2


UNEVEN = [([0.5, 1.0], 1.0), (0.3, 0.2), ([2.0], 0.7), (-1.0, 0.4), ([0.1, 0.2], 0.3)]
VALIDATED = {
    "one program": (lambda w, v: lambda x, y: (w * x + v - y) ** 2, UNEVEN[1:4:2]),
    "branches that depend on parameters": (_branching, UNEVEN[1:4:2]),
    "captured values": (_captured, UNEVEN[1:4:2]),
    "samples of several structures": (_of_lists, UNEVEN),
}


@pytest.mark.parametrize("patience", [None, 2])
@pytest.mark.parametrize("batch", [None, 1])
@pytest.mark.parametrize("name", VALIDATED)
def test_validation_gives_the_same_whether_the_parameters_are_copied_back_before_it(name, batch, patience):
    """They are copied back after each epoch if there is a callback."""
    make, samples = VALIDATED[name]
    found = []
    for callback in (None, lambda *_: None):
        w, v = Value(-0.75), Value(0.5)
        loss = compile(make(w, v), branches=True)
        history = loss.fit(
            samples, Adam([w] if name == "captured values" else [w, v], lr=0.3), 12, batch,
            validation=[(x, 0.5 * y) for x, y in samples], patience=patience, callback=callback,
        )  # fmt: skip
        found.append([list(history), history.validation, history.best_epoch, w.data, v.data, w.grad, loss(*samples[0])])
    assert repr(found[0]) == repr(found[1])
    assert len(set(found[0][1])) > 2  # the validation loss follows the parameters


def _of_another_branch_later(known, callback):
    w, numbers = Value(-0.25), [0.5]

    def branching(x, y):
        return (w * x - y) ** 2 if w * x > y else numbers[0] * (w * x - y) ** 2

    loss = compile(branching, branches=True)
    if known:
        loss.forward([(1.0, 0.5), (1.0, -0.5)])
        numbers.append(7.0)  # which no branch reads, but `fit` does not know this
    history = loss.fit([(0.3, 5.0)], SGD([w], lr=0.1), 12, validation=[(1.0, 0.5)], callback=callback)
    return list(history), history.validation, w.data


@pytest.mark.parametrize("known", [False, True])
def test_validation_may_take_another_branch_once_training_has_moved_the_parameters(known):
    """If the branch was recorded before `fit`, it is compared with the function when the validation first takes it."""
    *found, w = _of_another_branch_later(known, None)
    assert [*found, w] == [*_of_another_branch_later(known, lambda *_: None)]
    assert w > 0.5


def test_validation_of_a_program_reads_the_parameters_while_they_are_trained():
    found = []
    for callback in (None, lambda *_: None):
        w, x = Value(0.5), Value(1.0)
        program = compile((w * x - 1.0) ** 2, [x])
        history = program.fit([[1.0], [2.0]], SGD([w], lr=0.05), 6, 1, validation=[[3.0], [0.5]], callback=callback)
        found.append((list(history), history.validation, w.data))
    assert found[0] == found[1]
    assert len(set(found[0][1])) == 6


@pytest.mark.parametrize("options", [{}, {"callback": lambda number, loss: None}, {"batch_size": 1}])
def test_a_loss_without_a_slope_is_named_as_the_reason_that_nothing_is_trained(options):
    """A count of mistakes has the derivative 0 everywhere. At a minimum, the loss is 0, and no mistake."""
    w = Value(1.0)
    samples = [(1.0, -1.0), (2.0, 1.0)]
    count = compile(lambda x, t: mc.less(w * x * t, 0.0))
    with pytest.warns(UserWarning, match=r"has trained nothing: .* the loss stays 0.5; comparisons"):
        assert [*count.fit(samples, SGD([w], lr=0.1), 3, **options)] == [0.5] * 3
    hinge = compile(lambda x, t: mc.relu(1.0 - w * x * t))
    hinge.fit([(2.0, 1.0)], SGD([w], lr=0.1), 3, **options)
