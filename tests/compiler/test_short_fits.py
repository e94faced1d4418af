"""Calls of `fit` with few steps, which code takes that earlier calls have left, do what all calls of `fit` do."""

import gc
import random
import threading
import time
import weakref

import numpy as np
import pytest

import micrograd_cn as mc
from micrograd_cn import Value
from micrograd_cn.compiler import compile  # noqa: A004 -- the field's name
from micrograd_cn.compiler.data import nodes as machine
from micrograd_cn.compiler.function import short_fits, stale
from micrograd_cn.compiler.function.short_fits import ShortFits
from micrograd_cn.compiler.runtime import prepared
from micrograd_cn.compiler.runtime.arrays import ArrayRunner
from micrograd_cn.compiler.threads import background
from micrograd_cn.losses import cross_entropy
from micrograd_cn.module import Module
from micrograd_cn.nn import MLP
from micrograd_cn.optim import SGD, Adam, AdamW, RMSprop
from micrograd_cn.optim import optimizer as optimizers

from .common import need_known_layout, settings

N = 9
OPTIMIZERS = {
    "sgd": lambda ps: SGD(ps, lr=0.1),
    "momentum": lambda ps: SGD(ps, lr=0.05, momentum=0.9, weight_decay=0.01),
    "maximize": lambda ps: SGD(ps, lr=0.01, momentum=0.5, nesterov=True, maximize=True),
    "adam": lambda ps: Adam(ps, lr=0.01),
    "adamw": lambda ps: AdamW(ps, lr=0.01, amsgrad=True),
    "rmsprop": lambda ps: RMSprop(ps, lr=0.01),
}


@pytest.fixture(autouse=True)
def taken(monkeypatch):
    """Let every second call of a kind be short if it can be, and return the counts of the steps that were taken."""
    need_known_layout()
    monkeypatch.setattr(prepared, "CALLS_BEFORE_PREPARED", 0)
    monkeypatch.setattr(short_fits, "MAX_EPOCHS", 100)
    counts, losses = [], ShortFits.losses

    def counted(self, options, samples):
        found = losses(self, options, samples)
        counts.append(len(found))
        return found

    monkeypatch.setattr(ShortFits, "losses", counted)
    return counts


def make_ready(*made):
    """Wait until machine code can take the steps of optimisers."""
    for optimizer in made:
        for _ in range(10_000):
            if optimizers.machine_code.ready(optimizer):
                break
            time.sleep(0.001)


def everything(parameters, *optimizers):
    """Return the text of all that training changes."""
    numbers = [(p.data, p.grad, p.requires_grad) for p in parameters]
    return repr((numbers, [(x.steps, x.lr, x.skipped, x.state_dict()) for x in optimizers]))


def raised(action):
    """Run `action`, and return the text of the ValueError that it raises; "" if it raises none."""
    try:
        action()
    except ValueError as error:
        return str(error)
    return ""


class Side:
    """A function, its parameters and an optimiser. One side takes short calls, and the other side takes none."""

    def __init__(self, kind, seed):
        self.rng = random.Random(f"{kind} {seed}")
        self.parameters = ws = [Value(self.rng.gauss(0, 1)) for _ in range(N)]
        self.optimizer, self.part = OPTIMIZERS[kind](ws), OPTIMIZERS[kind]([ws[7], ws[2], ws[5]])
        self.f = compile(lambda x, y: (sum(w * mc.tanh(x * k) for k, w in enumerate(ws)) - y) ** 2)

    def samples(self):
        n = self.rng.choice([1, 1, 3])
        numbers = [(self.rng.gauss(0, 1), self.rng.gauss(0, 1)) for _ in range(n)]
        return numbers if self.rng.random() < 0.5 else tuple(np.array(numbers).T.copy())


def change_data(side):
    side.parameters[side.rng.randrange(N)].data = side.rng.gauss(0, 1)


def freeze(side):
    p = side.parameters[side.rng.randrange(N)]
    p.requires_grad = not p.requires_grad


def change_rate(side):
    side.optimizer.lr = side.rng.choice([0.1, 1, 0.0, 1e-3])


def change_option(side):
    side.optimizer.weight_decay = side.rng.choice([0.0, 0.5, 0])


def change_state(side):
    for name, x in side.optimizer.state[side.rng.randrange(N)].items():
        side.optimizer.state[3][name] = abs(x) + 0.5


def reverse(side):
    side.optimizer.parameters.reverse()


def leave_one_out(side):
    p = side.parameters[side.rng.randrange(N)]
    side.optimizer.parameters[side.rng.randrange(N)] = p if p not in side.optimizer.parameters else Value(0.5)


def step_by_hand(side):
    side.f.backward(side.samples())
    side.optimizer.step()


def long_fit(side):
    side.f.fit(side.samples(), side.optimizer, 12)


def fit_with_callback(side):
    side.f.fit(side.samples(), side.optimizer, 2, callback=lambda epoch, loss: None)


def other_optimizer(side):
    side.f.fit(side.samples(), SGD(side.parameters, lr=0.01), 2)


def train_part(side):
    """Train some parameters while another one is frozen."""
    frozen = side.parameters[side.rng.choice([0, 1, 8])]
    frozen.requires_grad = False
    for epochs in (1, 2):
        side.f.fit(side.samples(), side.part, epochs)
    frozen.requires_grad = True


def load_state(side):
    side.optimizer.load_state_dict(side.optimizer.state_dict())


def clear_gradients(side):
    side.optimizer.zero_grad(set_to_none=True)


ACTIONS = [
    *(change_data, change_rate, change_option, change_state, reverse, step_by_hand, long_fit, fit_with_callback),
    *(other_optimizer, load_state, clear_gradients, train_part, train_part, freeze, freeze),
]
LASTING = [freeze, leave_one_out]


@pytest.mark.parametrize("kind", OPTIMIZERS)
def test_random_actions_between_short_calls_give_what_they_give_between_others(kind, taken, monkeypatch):
    frozen = [0, 0]
    for seed in range(4):
        short, long = Side(kind, seed), Side(kind, seed)
        make_ready(short.optimizer)
        for turn in range(32):
            epochs, found = 1 + turn % 3, []
            for side, most in ((short, 100), (long, 0)):
                monkeypatch.setattr(short_fits, "MAX_EPOCHS", most)
                try:
                    found.append([*side.f.fit(side.samples(), side.optimizer, epochs)])
                except ValueError as error:  # such as for a parameter that is frozen now
                    found.append(str(error))
                frozen[any(not p.requires_grad for p in side.parameters)] += taken[-1]
                if turn % 3 == 2:
                    side.rng.choice(ACTIONS if turn < 24 else LASTING)(side)
            assert found[0] == found[1], (kind, seed, turn)
            assert [p.data for p in short.parameters] == [p.data for p in long.parameters], (kind, seed, turn)
            if turn % 6 == 5:  # seldom, since a state that is read is no longer in the memory of machine code
                states = [everything(side.parameters, side.optimizer, side.part) for side in (short, long)]
                assert states[0] == states[1], (kind, seed, turn)
    assert sum(frozen) > 100
    assert min(frozen) > 0, frozen


def test_a_loop_of_short_calls_takes_all_steps_but_the_first_ones(taken):
    w = Value(0.0)
    f, optimizer = compile(lambda x, y: (w * x - y) ** 2), SGD([w], lr=0.1)
    f.fit([(1.0, 3.0)], optimizer, 1)
    f.fit([(1.0, 3.0)], optimizer, 1)
    make_ready(optimizer)
    taken.clear()
    found = [f.fit([(1.0, 3.0)], optimizer, 2) for _ in range(10)]
    assert taken == [2] * 10
    assert all(type(losses).__name__ == "History" and losses.validation == [] for losses in found)
    assert found[-1][1] == pytest.approx((3.0 * 0.8**21) ** 2)
    assert f.fit([(1.0, 3.0)], optimizer, 0) == []
    with pytest.raises(ValueError, match="epochs"):
        f.fit([(1.0, 3.0)], optimizer, -1)


def test_other_steps_than_one_with_all_samples_are_not_short(taken):
    w = Value(0.5)
    f, optimizer, samples = compile(lambda x: (w * x - 1.0) ** 2), SGD([w], lr=0.1), [(1.0,), (2.0,)]
    for _ in range(2):
        f.fit(samples, optimizer, 1)
    make_ready(optimizer)
    taken.clear()
    f.fit(samples, optimizer, 1, each_step=True)
    assert taken == [1]
    options = [
        *({"batch_size": 1}, {"shuffle": random.Random(0)}, {"schedule": lambda step: 0.1}, {"threads": 2}),
        *({"progress": len}, {"clip_grad_norm": 1.0}, {"callback": lambda *_: None}, {"validation": samples}),
        {"validation": samples, "patience": 2},
    ]
    for each in options:
        f.fit(samples, optimizer, 1, **each)
    assert not any(taken[1:])
    with mc.detect_anomaly():
        f.fit(samples, optimizer, 1)
    assert not taken[-1]
    f.fit(samples, optimizer, 1)
    assert taken[-1] == 1


def test_what_the_function_reads_is_compared_before_each_short_call(taken, monkeypatch):
    monkeypatch.setattr(stale, "TIMES_AS_LONG", 1e9)  # so other calls look no more
    ws, scale = [Value(0.5)], [2.0]
    f, optimizer = compile(lambda x: (ws[0] * x * scale[0] - 1.0) ** 2), SGD([*ws], lr=0.1)
    for _ in range(20):
        f.fit([(1.0,)], optimizer, 1)
    make_ready(optimizer)
    assert f.fit([(1.0,)], optimizer, 1)
    assert taken[-1] == 1
    scale[0] = 3.0
    with pytest.raises(ValueError, match="is not what it was"):
        f.fit([(1.0,)], optimizer, 1)
    scale[0] = 2.0
    ws[0] = Value(0.25)
    with pytest.raises(ValueError, match="is not what it was"):
        f.fit([(1.0,)], optimizer, 1)


def test_a_parameter_that_the_function_makes_anew_is_refused_in_each_call():
    held = {}

    def loss(x):
        held["w"] = w = Value(0.5)
        return (w * x - 1.0) ** 2

    f = compile(loss)
    f(1.0)
    optimizer = SGD([held["w"]], lr=0.1)
    make_ready(optimizer)
    for _ in range(4):
        with pytest.raises(ValueError, match="fit\\(\\): "):
            f.fit([(1.0,)], optimizer, 1)


def test_constants_are_checked_before_each_short_call():
    w, c = Value(0.5), Value(2.0, requires_grad=False)
    f, optimizer = compile(lambda x: (w * x * c - 1.0) ** 2), SGD([w], lr=0.1)
    for _ in range(2):
        f.fit([(1.0,)], optimizer, 1)
    make_ready(optimizer)
    f.fit([(1.0,)], optimizer, 1)
    c.data = 3.0
    before = w.data
    with pytest.raises(ValueError, match="constant"):
        f.fit([(1.0,)], optimizer, 1)
    assert w.data == before


@pytest.mark.parametrize("lists_first", [True, False])
def test_a_parameter_that_only_other_samples_use_gets_no_gradient(lists_first, taken):
    w, v = Value(0.5), Value(0.25)
    f = compile(lambda x: (w * x[0] + v * x[1]) ** 2 if isinstance(x, list) else (w * x) ** 2)
    optimizer, kinds = SGD([w, v], lr=0.1, momentum=0.5), [[(1.0,)], [([1.0, 2.0],)]]
    make_ready(optimizer)
    expected = [Value(0.5), Value(0.25)]
    other = SGD(expected, lr=0.1, momentum=0.5)
    for k in range(10):
        listed = (k // 2 + lists_first) % 2
        f.fit(kinds[listed], optimizer, 1)
        other.zero_grad()
        ((expected[0] + 2.0 * expected[1]) ** 2 if listed else expected[0] ** 2).backward()
        other.step()
        assert [p.data for p in (w, v)] == pytest.approx([p.data for p in expected], rel=1e-13)
        assert [p.grad for p in (w, v)] == pytest.approx([p.grad for p in expected], rel=1e-13)
    assert sum(taken) > 2


def test_branches_that_are_not_taken_send_no_gradient(taken):
    w = Value(1.5)
    f = compile(lambda x: w * x if x < 1.0 else w / (x - 0.5), branches=True)
    optimizer = SGD([w], lr=0.001)
    make_ready(optimizer)
    for _ in range(30):  # some calls before a program for both branches is worthwhile
        before = w.data
        f.fit([(0.5,), (2.0,)] * 50, optimizer, 1)
        assert w.data == pytest.approx(before - 0.0005 * (0.5 + 1 / 1.5), rel=1e-13)
    assert not any(taken)


def test_functions_with_branches_are_trained_by_other_code(taken):
    w = Value(1.5)
    f = compile(lambda x: w * x if w > x else w * w, branches=True)
    optimizer = SGD([w], lr=0.5)
    make_ready(optimizer)
    expected = Value(1.5)
    for _ in range(8):
        f.fit([(1.0,), (2.0,)], optimizer, 1)
        value = expected.data
        slope = ((1.0 if value > 1.0 else 2 * value) + (2.0 if value > 2.0 else 2 * value)) / 2
        expected.data -= 0.5 * slope
        assert w.data == pytest.approx(expected.data, rel=1e-14)
    assert not any(taken)


def test_an_optimiser_of_some_parameters_trains_these_and_only_these(taken):
    """The other parameters keep their data and gradients, and may be frozen."""
    net, x, y = MLP(2, [3, 1], activation="tanh", seed=1), [0.5, -0.25], 1.0
    f, last = compile(lambda x, y: (net(x) - y) ** 2), net.layers[1].parameters()
    first = net.layers[0].parameters()
    optimizer = SGD(last[::-1], lr=0.1)
    f.fit([(x, y)], optimizer, 1)
    f.fit([(x, y)], optimizer, 1)
    make_ready(optimizer)
    for p in first:
        p.grad, p.requires_grad = 7.0, p is not first[0]
    before = [(p.data, p.grad) for p in first]
    for change in (lambda: None, lambda: setattr(first[1], "data", 0.75), lambda: setattr(last[2], "data", 0.25)):
        change()
        before[1] = first[1].data, 7.0
        loss = (net(x) - y) ** 2
        expected = [p.data - 0.1 * g for p, g in zip(last, mc.gradients(loss, last), strict=True)]
        taken.clear()
        assert f.fit([(x, y)], optimizer, 1) == pytest.approx([loss.data])
        assert taken == [1]
        assert [p.data for p in last] == pytest.approx(expected)
        assert [(p.data, p.grad) for p in first] == before
    last[0].requires_grad = False
    f.fit([(x, y)], optimizer, 1)
    for _ in range(20):
        f.fit([(x, y)], optimizer, 1)
    assert taken[-1] == 1
    assert optimizer.skipped == {3: 21}


@pytest.mark.parametrize("kind", OPTIMIZERS)
def test_one_long_call_and_many_short_ones_give_the_same_bits_after_parameters_were_frozen(kind, taken):
    rng = np.random.default_rng(1)
    x, y, found = rng.normal(size=(8, 8)), rng.normal(size=8), []
    for is_long in (True, False):
        net = MLP(8, [12, 4, 1], activation="tanh", seed=1)
        f, optimizer = compile(lambda x, y, net=net: (net(x) - y) ** 2), OPTIMIZERS[kind](net.parameters())
        for is_frozen in (False, True, False):
            for p in net.layers[0].parameters():
                p.requires_grad = not is_frozen
            taken.clear()
            for epochs in [105] if is_long else [1] * 105:
                f.fit((x, y), optimizer, epochs)
                while not (is_long or background.is_idle()):
                    time.sleep(0.0001)
            if is_frozen and not is_long:
                assert sum(taken) > 90
        found.append(([p.data for p in net.parameters()], optimizer.skipped))
    assert found[0] == found[1]


def test_what_only_asks_for_machine_code_counts_no_steps():
    parameters = [Value(1.0, requires_grad=k > 3) for k in range(N)]
    optimizer = SGD(parameters, lr=0.1)
    make_ready(optimizer)
    assert optimizers.machine_code.ready(optimizer)
    assert optimizer.skipped == {}


def test_a_short_call_refuses_and_warns_of_what_other_calls_do(taken):
    w, v = Value(0.5), Value(0.25)
    detached, captured = compile(lambda x: w * x + v.detach()), w * 3
    from_before = compile(lambda x: (captured * w * x + v) ** 2)
    alone, part = SGD([v], lr=0.1), SGD([w], lr=0.1)
    for _ in range(3):
        detached.fit([(1.0,)], part, 1)
        from_before.fit([(1.0,)], alone, 1)
    make_ready(alone, part)
    w.requires_grad = False
    for _ in range(3):
        with pytest.raises(RuntimeError, match="depends on no parameter that requires a gradient"):
            detached.fit([(1.0,)], alone, 1)
    w.requires_grad = True
    for _ in range(3):
        with pytest.raises(ValueError, match="was computed from"):
            from_before.fit([(1.0,)], part, 1)
    model = Scaled(Value(2.0))
    f = compile(lambda x: (model(x) - 1) ** 2)
    for _ in range(4):
        optimizer = SGD(model.parameters(), lr=0.1)
        make_ready(optimizer)
        with pytest.warns(UserWarning, match="reads Value.* in no optimizer"):
            f.fit([(1.0,)], optimizer, 1)
        del optimizer
    assert taken[-1] == 1


class Scaled(Module):
    """A model whose function reads a leaf in a closure, which is no parameter of the model."""

    def __init__(self, leaf):
        self.w, self.scaled = Value(0.5), lambda x: leaf * x

    def __call__(self, x):
        return self.w * self.scaled(x)


def test_a_parameter_that_only_the_optimiser_has_is_trained_too(taken):
    w, spare = Value(0.5), Value(1.0)
    f = compile(lambda x: (w * x - 1.0) ** 2)
    optimizer = SGD([w, spare], lr=0.1, weight_decay=0.5)
    make_ready(optimizer)
    for k in range(4):
        f.fit([(1.0,)], optimizer, 1)
        assert spare.data == pytest.approx(0.95 ** (k + 1))
    assert not any(taken)


def test_an_optimiser_that_has_lost_a_parameter_is_refused_or_warned_of(taken):
    w, v = Value(0.5), Value(0.25, requires_grad=True)
    f = compile(lambda x: (w * x + v) ** 2)
    optimizer = SGD([w, v], lr=0.1)
    for _ in range(2):
        f.fit([(1.0,)], optimizer, 1)
    make_ready(optimizer)
    assert f.fit([(1.0,)], optimizer, 1)
    assert taken[-1] == 1
    v.grad, before, other = 7.0, v.data, SGD([w, Value(1.0)], lr=0.1)
    make_ready(other)
    for _ in range(4):
        f.fit([(1.0,)], other, 1)
        assert (v.data, v.grad) == (before, 7.0)
    optimizer.parameters[:] = [Value(1.0), Value(2.0)]
    for _ in range(4):
        with pytest.raises(ValueError, match="none of the program's"):
            f.fit([(1.0,)], optimizer, 1)


def test_a_call_that_is_refused_changes_no_gradient():
    w = Value(0.5)
    f, optimizer = compile(lambda x: (w * x - 1.0) ** 2), SGD([w], lr=0.1)
    for _ in range(2):
        f.fit([(1.0,)], optimizer, 1)
    make_ready(optimizer)
    f.fit([(1.0,)], optimizer, 1)
    w.grad, w.requires_grad = 7.0, False
    with pytest.raises(RuntimeError, match="no parameter that requires a gradient"):
        f.fit([(1.0,)], optimizer, 1)
    assert w.grad == 7.0


def test_a_parameter_of_later_samples_keeps_its_gradient(monkeypatch, taken):
    monkeypatch.setattr(machine, "MIN_NODES", 1)
    monkeypatch.setattr(machine, "NODES_BEFORE_CODE", 0)
    w, v = Value(0.5), Value(0.25)
    f, optimizer = compile(lambda x: w * x[0] + v * x[1] if isinstance(x, list) else w * x), SGD([w], lr=0.1)
    for _ in range(2):
        f.fit([(1.0,)], optimizer, 1)
    make_ready(optimizer)
    f.fit([(1.0,)], optimizer, 1)
    assert taken[-1] == 1
    f.forward([([1.0, 2.0],)])
    v.grad = 7.0
    for _ in range(3):
        f.fit([(1.0,)], optimizer, 1)
        assert (v.data, v.grad) == (0.25, 7.0)


def test_a_step_that_is_refused_comes_after_those_before_it(taken):
    """A loss may become nan in the middle of a call; the other code then says why."""
    w = Value(1.0)
    f, optimizer = compile(lambda x: mc.log(w) * x), SGD([w], lr=1.0)
    for _ in range(2):
        f.fit([(0.1,)], optimizer, 1)
    make_ready(optimizer)
    taken.clear()
    w.data = 1.0
    optimizer.steps = 0
    losses = f.fit([(0.75,)], optimizer, 4)
    assert taken[0] > 0
    w.data = 1.0
    with settings({"function.short_fits.MAX_EPOCHS": 0}):
        assert repr(losses) == repr(f.fit([(0.75,)], optimizer, 4))
    assert optimizer.steps == 8


def test_an_index_out_of_range_raises_the_same_error_in_a_short_call():
    w = Value(2.0)
    f, optimizer = compile(lambda x, k: cross_entropy([x * w, x], k)), SGD([w], lr=0.1)
    for _ in range(2):
        f.fit([(3.0, 0)], optimizer, 1)
    make_ready(optimizer)
    before = w.data
    with pytest.raises(IndexError, match="sample 0"):
        f.fit([(3.0, 2)], optimizer, 1)
    assert w.data == before


def test_two_threads_cannot_train_the_same_parameters(monkeypatch):
    w = Value(0.5)
    f, g = compile(lambda x: (w * x - 1.0) ** 2), compile(lambda x: (w * x - 2.0) ** 2)
    optimizer, errors = SGD([w], lr=0.1), []
    for _ in range(2):
        f.fit([(1.0,)], optimizer, 1)
    make_ready(optimizer)
    run = ArrayRunner.mean_gradient_of

    def other(*args):
        thread = threading.Thread(target=lambda: errors.append(raised(lambda: g.fit([(1.0,)], SGD([w], lr=0.1), 1))))
        thread.start()
        thread.join()
        return run(*args)

    monkeypatch.setattr(ArrayRunner, "mean_gradient_of", other)
    before = w.data
    f.fit([(1.0,)], optimizer, 1)
    assert ["another thread is training" in error for error in errors] == [True]
    assert w.data == before - 0.1 * 2 * (before - 1.0)
    monkeypatch.undo()

    told = []

    def schedule(step):
        thread = threading.Thread(target=lambda: told.append(raised(lambda: f.fit([(1.0,)], optimizer, 1))))
        thread.start()
        thread.join()
        return 0.1

    g.fit([(1.0,)], SGD([Value(1.0), w], lr=0.1), 1, schedule=schedule)
    assert ["another thread is training" in text for text in told] == [True]

    def callback(epoch, loss):
        f.fit([(1.0,)], optimizer, 1)

    g.fit([(1.0,)], SGD([w], lr=0.1), 2, callback=callback)  # one after the other
    assert optimizer.steps == 5


def test_short_calls_keep_neither_the_optimiser_nor_the_function():
    w = Value(0.5)
    f, optimizer = compile(lambda x: (w * x - 1.0) ** 2), Adam([w], lr=0.1)
    for _ in range(2):
        f.fit([(1.0,)], optimizer, 1)
    make_ready(optimizer)
    f.fit([(1.0,)], optimizer, 1)
    gc.disable()
    try:
        held = weakref.ref(f), weakref.ref(optimizer)
        del optimizer
        assert held[1]() is None
        del f
        assert held[0]() is None
    finally:
        gc.enable()


# One call of `fit` whose callback runs after each step


@pytest.fixture
def by_short_steps(monkeypatch):
    """Return the counts of the steps that were taken between calls of callbacks."""
    counts, taken = [], ShortFits.losses_and_callback

    def counted(self, *given):
        losses, ended = taken(self, *given)
        counts.append(len(losses))
        return losses, ended

    monkeypatch.setattr(ShortFits, "losses_and_callback", counted)
    return counts


@pytest.mark.parametrize("kind", OPTIMIZERS)
def test_random_actions_in_callbacks_give_what_they_give_between_other_steps(kind, by_short_steps, monkeypatch):
    step = ShortFits._step
    for seed in range(6):
        found = []
        for is_short in (True, False):
            if not is_short:
                monkeypatch.setattr(ShortFits, "_step", lambda *_: None)
            side, seen = Side(kind, seed), []
            make_ready(side.optimizer)

            def callback(number, loss, side=side, seen=seen):
                seen.append((number, loss, [(p.data, p.grad) for p in side.parameters], side.optimizer.steps))
                if number % 5 == 4:
                    side.rng.choice(ACTIONS if number < 30 else [*ACTIONS, *LASTING])(side)

            try:
                losses = side.f.fit(side.samples(), side.optimizer, 40, callback=callback)
                assert [loss for _, loss, *_ in seen] == losses
            except ValueError as error:  # such as for a parameter that is frozen now
                seen.append((len(seen), str(error)))
            found.append((seen, everything(side.parameters, side.optimizer)))
        monkeypatch.setattr(ShortFits, "_step", step)
        assert found[0] == found[1], (kind, seed)
        assert [number for number, *_ in found[0][0]] == [*range(len(found[0][0]))]
    assert sum(by_short_steps) > 100


@pytest.mark.parametrize("as_list", [True, False])
def test_all_steps_but_the_first_are_taken_between_callbacks_and_the_samples_were_read_before(as_list, by_short_steps):
    w = Value(0.0)
    f, optimizer, seen = compile(lambda x, y: (w * x - y) ** 2), SGD([w], lr=0.1), []
    samples = [[1.0, 3.0]] if as_list else (np.array([1.0]), np.array([3.0]))
    make_ready(optimizer)

    def callback(number, loss):
        seen.append((number, loss, w.data))
        samples[0][0] = 100.0

    losses = f.fit(samples, optimizer, 20, callback=callback)
    assert by_short_steps == [0, 19]
    assert type(losses).__name__ == "History"
    assert losses.validation == []
    assert losses == pytest.approx([9.0 * 0.8 ** (2 * k) for k in range(20)])
    assert seen == [(k, losses[k], pytest.approx(3.0 - 3.0 * 0.8 ** (k + 1))) for k in range(20)]
    samples[0][0] = 1.0
    assert len(f.fit(samples, optimizer, 5, callback=lambda *_: None)) == 5
    assert by_short_steps == [0, 19, 5]


@pytest.mark.parametrize("begins_short", [True, False])
@pytest.mark.parametrize("stop", [3, 10, None])
def test_the_compiled_loop_takes_what_is_left_with_the_samples_as_they_were(begins_short, stop, by_short_steps):
    """After the callback has added a parameter to the optimiser, or in a block for anomalies, no step is short."""
    w, spare, x, seen = Value(0.0), Value(1.0), np.array([1.0]), []
    f, optimizer = compile(lambda x: (w * x - 3.0) ** 2), SGD([w], lr=0.1)
    make_ready(optimizer)
    if begins_short:
        f.fit((x,), optimizer, 20, callback=lambda *_: None)
        w.data = 0.0
    by_short_steps.clear()
    block = mc.detect_anomaly()

    def callback(number, loss):
        seen.append((number, loss))
        x[0] = 100.0
        if number == stop:
            optimizer.parameters.append(spare)
        elif number == 15 and stop is None:
            block.__enter__()

    try:
        losses = f.fit((x,), optimizer, 20, callback=callback)
    finally:
        if stop is None:
            block.__exit__(None, None, None)
    assert losses == pytest.approx([9.0 * 0.8 ** (2 * k) for k in range(20)])
    assert seen == [*enumerate(losses)]
    taken = 16 if stop is None else stop + 1
    assert by_short_steps == ([taken] if begins_short else [0, taken - 1])


@pytest.mark.parametrize(("most", "taken"), [(4_000, [0, 19]), (3_999, [0])])
def test_many_numbers_are_read_where_they_are(most, taken, by_short_steps, monkeypatch):
    monkeypatch.setattr(short_fits, "MAX_NUMBERS", most)
    w = Value(0.5)
    f, optimizer = compile(lambda x, y: (w * x - y) ** 2), SGD([w], lr=0.01)
    make_ready(optimizer)
    f.fit((np.ones(2_000), np.zeros(2_000)), optimizer, 20, callback=lambda *_: None)
    assert by_short_steps == taken
    assert w.data == pytest.approx(0.5 * 0.98**20)


@pytest.mark.parametrize("last", [0, 1, 2, 7, 19])
@pytest.mark.parametrize("raises", [True, False])
def test_a_callback_ends_training_after_any_step(last, raises):
    w = Value(0.0)
    f, optimizer, numbers = compile(lambda x: (w * x - 3.0) ** 2), SGD([w], lr=0.1), []
    make_ready(optimizer)

    def callback(number, loss):
        numbers.append(number)
        if number == last and raises:
            raise StopIteration
        return number == last

    for _ in range(2):
        numbers.clear()
        steps = optimizer.steps
        losses = f.fit([(1.0,)], optimizer, 20, callback=callback)
        assert (numbers, len(losses), optimizer.steps - steps) == ([*range(last + 1)], last + 1, last + 1)


def test_what_a_callback_changes_is_compared_before_the_next_step(by_short_steps):
    w, scale, constant = Value(0.5), [2.0], Value(1.0, requires_grad=False)
    f, optimizer = compile(lambda x: (w * x * scale[0] - constant) ** 2), SGD([w], lr=0.01)
    make_ready(optimizer)

    def changed(action):
        f.fit([(1.0,)], optimizer, 20, callback=lambda number, loss: action() if number == 10 else None)

    changed(lambda: None)
    assert by_short_steps == [0, 19]
    for action, back in (
        (lambda: scale.__setitem__(0, 3.0), lambda: scale.__setitem__(0, 2.0)),
        (lambda: setattr(constant, "data", 5.0), lambda: setattr(constant, "data", 1.0)),
    ):
        steps = optimizer.steps
        with pytest.raises(ValueError, match=r"constant|is not what it was"):
            changed(action)
        assert optimizer.steps == steps + 11
        back()
    changed(lambda: setattr(optimizer, "lr", 0.5))
    assert by_short_steps[-1] == 20


def test_a_callback_may_train_and_other_threads_may_train_while_it_runs(by_short_steps):
    w = Value(0.0)
    f, optimizer, raised = compile(lambda x: (w * x - 3.0) ** 2), SGD([w], lr=0.1), []
    make_ready(optimizer)

    def train(number):
        try:
            f.fit([(1.0,)], optimizer, 1 + number % 2 * 10)
        except Exception as error:
            raised.append(error)

    def callback(number, loss):
        train(number)
        other = threading.Thread(target=train, args=(number,))
        other.start()
        other.join()

    losses = f.fit([(1.0,)], optimizer, 20, callback=callback)
    assert not raised
    assert by_short_steps == [0, 19]
    assert optimizer.steps == 20 + 2 * (10 * 1 + 10 * 11)
    assert losses == pytest.approx([9.0 * 0.8 ** (2 * (k + 2 * (k // 2 * 12 + k % 2))) for k in range(20)])
