"""Steps of an optimiser that a user's own loop takes are the same, to the last bit, in machine code and in Python."""

import copy
import gc
import math
import pickle
import random
import threading
import weakref

import numpy as np
import pytest

import micrograd_cn as mc
from micrograd_cn import Value
from micrograd_cn.compiler import compile  # noqa: A004 -- the field's name
from micrograd_cn.compiler.data import nodes as machine
from micrograd_cn.compiler.training import single_steps, tracing, update
from micrograd_cn.compiler.training.single_steps import SingleSteps, StateInBlocks
from micrograd_cn.nn import MLP
from micrograd_cn.optim import SGD, Adam, AdamW, EarlyStopping, RMSprop, clip_grad_norm
from micrograd_cn.optim import optimizer as optimizers

from .common import need_known_layout

N = 37  # not a multiple of the lanes of a block
OPTIMIZERS = {
    "sgd": lambda ps: SGD(ps, lr=0.1),
    "momentum": lambda ps: SGD(ps, lr=0.1, momentum=0.9, dampening=0.1, weight_decay=0.01),
    "nesterov": lambda ps: SGD(ps, lr=0.1, momentum=0.9, nesterov=True, maximize=True),
    "adam": lambda ps: Adam(ps, lr=0.01),
    "amsgrad": lambda ps: Adam(ps, lr=0.01, weight_decay=0.1, amsgrad=True),
    "adamw": lambda ps: AdamW(ps, lr=0.01, betas=(0.8, 0.99)),
    "rmsprop": lambda ps: RMSprop(ps, lr=0.01),
}


@pytest.fixture(autouse=True)
def steps(monkeypatch):
    """Let machine code take all steps that it can take, and count those that it takes."""
    need_known_layout()
    monkeypatch.setattr(machine, "MIN_NODES", 1)
    monkeypatch.setattr(optimizers, "MIN_PARAMETERS", 1)
    monkeypatch.setattr(machine, "NODES_BEFORE_CODE", 0)
    monkeypatch.setattr(single_steps, "PARAMETERS_BEFORE_CODE", 0)
    monkeypatch.setattr(single_steps, "PARAMETERS_BEFORE_LOADING", 0)
    monkeypatch.setattr(single_steps, "FIRST_PAUSE", 1)
    monkeypatch.setattr(single_steps, "MAX_PAUSE", 1)
    made = Counted()
    monkeypatch.setattr(optimizers, "machine_code", made)
    return made


class Foreground:
    """Do tasks at once, where `BackgroundTasks` does them in a thread of their own."""

    def do(self, key, task):
        task()


class Counted(SingleSteps):
    """Count the steps, and take none for optimisers whose steps Python code shall take."""

    def __init__(self):
        super().__init__()
        self.count, self.plain = 0, weakref.WeakSet()

    def step(self, optimizer):
        taken = optimizer not in self.plain and super().step(optimizer)
        self.count += taken
        return taken


def state_of(parameters, optimizer):
    """Return the text of everything that steps change."""
    numbers = [(p.data, p.grad, p.requires_grad) for p in parameters]
    return repr((numbers, optimizer.steps, optimizer.lr, optimizer.skipped, optimizer.state_dict()))


def random_number(rng):
    return rng.choice([rng.gauss(0, 1) * 10 ** rng.uniform(-8, 3), 0.0, -0.0, rng.gauss(0, 1)])


def gradients(rng, parameters, _):
    for p in parameters:
        p.grad = random_number(rng)


def change_data(rng, parameters, _):
    parameters[rng.randrange(N)].data = random_number(rng)


def freeze(rng, parameters, _):
    p = parameters[rng.randrange(N)]
    p.requires_grad = not p.requires_grad


def without_gradient(rng, parameters, optimizer):
    if rng.random() < 0.5:
        optimizer.zero_grad(set_to_none=rng.random() < 0.5)
    else:
        parameters[rng.randrange(N)].grad = None


def change_rate(rng, _, optimizer):
    optimizer.lr = rng.choice([0.1, 1, 0.0, 1e-3])


def change_option(rng, _, optimizer):
    optimizer.weight_decay = rng.choice([0.0, 0.5, 0])
    optimizer.maximize = rng.random() < 0.5


def change_state(rng, _, optimizer):
    state = optimizer.state[rng.randrange(N)]
    for name in state:
        state[name] = rng.choice([abs(random_number(rng)), 1])


def amsgrad(rng, _, optimizer):
    if isinstance(optimizer, Adam):
        optimizer.amsgrad = rng.random() < 0.5


def reload(_, __, optimizer):
    optimizer.load_state_dict(optimizer.state_dict())


def set_steps(rng, _, optimizer):
    optimizer.steps = rng.randrange(10)


def replace(rng, parameters, optimizer):
    k = rng.randrange(N)
    parameters[k] = optimizer.parameters[k] = Value(random_number(rng))


def fit(rng, parameters, optimizer):
    if all(p.requires_grad for p in parameters) and not optimizer.skipped:
        f = compile(lambda x: sum((p - x) ** 2 for p in parameters))
        f.fit([(rng.gauss(0, 1),)], optimizer, epochs=2)


ACTIONS = [
    *(gradients, change_data, freeze, without_gradient, change_rate, change_option, change_state, amsgrad, reload),
    *(set_steps, replace, fit),
]


@pytest.mark.parametrize("kind", OPTIMIZERS)
def test_random_actions_between_steps_give_the_same_as_in_python(kind, steps):
    for seed in range(6):
        rngs = random.Random(seed), random.Random(seed)
        sides = []
        for rng in rngs:
            parameters = [Value(rng.gauss(0, 1)) for _ in range(N)]
            sides.append((rng, parameters, OPTIMIZERS[kind](parameters)))
        steps.plain.add(sides[1][2])
        before = steps.count
        for turn in range(25):
            for rng, parameters, optimizer in sides:
                gradients(rng, parameters, optimizer)
                optimizer.step()
                if turn % 3 == 2:
                    rng.choice(ACTIONS)(*(rng, parameters, optimizer))
                    optimizer.step()
            if turn % 4 == 0:
                assert state_of(*sides[0][1:]) == state_of(*sides[1][1:]), (kind, seed, turn)
        assert state_of(*sides[0][1:]) == state_of(*sides[1][1:]), (kind, seed)
        assert steps.count > before, "machine code took no step"


@pytest.mark.parametrize("kind", OPTIMIZERS)
def test_without_anything_between_them_machine_code_takes_all_steps(kind, steps):
    parameters = [Value(0.1 * k) for k in range(N)]
    optimizer = OPTIMIZERS[kind](parameters)
    for k in range(10):
        for p in parameters:
            p.grad = p.data * k
        optimizer.step()
        optimizer.zero_grad()
        assert {p.grad for p in parameters} == {0.0}
    assert steps.count == 10


@pytest.mark.parametrize("kind", OPTIMIZERS)
def test_a_rate_that_a_schedule_gives_as_another_number_is_no_reason_for_steps_in_python(kind, steps):
    """Numpy computes float64 and float32 scalars, and a user may write an int."""
    ours, theirs = [[Value(0.5) for _ in range(N)] for _ in range(2)]
    optimizer, plain = OPTIMIZERS[kind](ours), OPTIMIZERS[kind](theirs)
    steps.plain.add(plain)
    for k, rate in enumerate([np.cos(0.1), np.float32(0.25), 1, 0.125, np.float64(0.0)]):
        for p, q in zip(ours, theirs, strict=True):
            p.grad = q.grad = 0.25 * k
        optimizer.lr = plain.lr = rate
        optimizer.step()
        plain.step()
        assert type(optimizer.lr) is float
    assert steps.count == 5
    assert state_of(ours, optimizer) == state_of(theirs, plain)


@pytest.mark.parametrize(
    "kind", sorted(OPTIMIZERS.keys() - {"sgd"})
)  # which keeps no state, so it trains the new one, too
def test_a_parameter_that_is_added_before_the_first_step_is_refused(kind, steps):
    optimizer = OPTIMIZERS[kind]([Value(0.5) for _ in range(N)])
    optimizer.parameters.append(Value(1.0))
    with pytest.raises(ValueError, match="was made for 37 parameters and has 38 now"):
        optimizer.step()
    assert optimizer.steps == 0


def test_a_state_that_somebody_holds_changes_with_each_step_and_otherwise_stays_in_memory(steps):
    parameters = [Value(1.0) for _ in range(N)]
    optimizer = Adam(parameters)
    optimizer.step()
    assert isinstance(optimizer.lazy_state, StateInBlocks)
    held = optimizer.state
    for p in parameters:
        p.grad = 2.0
    optimizer.step()
    assert steps.count == 1
    assert held is optimizer.state
    assert held[3]["exp_avg"] == pytest.approx(0.1 * parameters[3].grad)
    one = held[3]
    del held
    optimizer.step()
    optimizer.step()
    assert steps.count == 1
    assert one["exp_avg"] == pytest.approx(0.271 * parameters[3].grad)
    del one
    optimizer.step()
    optimizer.step()
    assert steps.count == 3
    assert optimizer.state_dict()["state"][3]["exp_avg"] == pytest.approx(2.0 * (1 - 0.9**5))
    assert isinstance(optimizer.lazy_state, StateInBlocks)


def test_copies_and_pickles_of_an_optimizer_go_their_own_way(steps):
    parameters = [Value(1.0) for _ in range(N)]
    optimizer = Adam(parameters)
    for p in parameters:
        p.grad = 1.0
    optimizer.step()
    saved = optimizer.state_dict()
    others = copy.deepcopy(optimizer), pickle.loads(pickle.dumps(optimizer)), copy.copy(optimizer)
    for p in parameters:
        p.grad = 2.0
    optimizer.step()
    for other in others[:2]:
        assert other.state_dict() == saved
        assert [p.data for p in other.parameters] != [p.data for p in parameters]
    others[2].step()
    for other in others[:2]:
        for p in other.parameters:
            p.grad = 2.0
        other.step()
    assert others[0].state_dict() == others[1].state_dict() == optimizer.state_dict() | {"steps": 2}
    assert steps.count == 5


def test_errors_are_those_of_python(steps):
    parameters = [Value(1.0) for _ in range(N)]
    optimizer = Adam(parameters)
    optimizer.step()
    optimizer.lr = math.nan
    with pytest.raises(ValueError, match="lr must be 0 or more"):
        optimizer.step()
    optimizer.lr = 0.1
    del optimizer.parameters[3]
    with pytest.raises(ValueError, match="made for 37 parameters and has 36"):
        optimizer.step()
    assert optimizer.steps == 1


def test_a_list_of_parameters_that_was_changed_is_left_to_python_where_it_matters(steps):
    """A parameter that is in the list twice is changed twice, and a tuple has the parameters in another place."""
    for change in (lambda ps: [*ps[:-1], ps[0]], tuple):
        results = []
        for plain in (False, True):
            optimizer = SGD([Value(0.5 * k) for k in range(N)], lr=0.1, momentum=0.9, weight_decay=0.5)
            optimizer.step()
            if plain:
                steps.plain.add(optimizer)
            optimizer.parameters = change(optimizer.parameters)
            optimizer.step()
            optimizer.step()
            results.append([p.data for p in optimizer.parameters])
        assert results[0] == results[1]


def test_an_optimizer_of_a_user_takes_its_own_steps(steps):
    class Mine(SGD):
        def update(self, p, state):
            p.data -= 1.0

    parameters = [Value(1.0) for _ in range(N)]
    Mine(parameters).step()
    assert {p.data for p in parameters} == {0.0}
    optimizer = SGD(parameters)
    optimizer.step()
    optimizer.momentum = 0.5
    optimizer.step()
    assert steps.count == 1
    optimizer.step()
    optimizer.update = lambda p, state: setattr(p, "data", 3.0)
    optimizer.step()
    assert {p.data for p in parameters} == {3.0}


def test_modes_and_a_recording_are_left_to_python(steps):
    parameters = [Value(1.0) for _ in range(N)]
    optimizer = SGD(parameters, lr=1.0)
    for p in parameters:
        p.grad = 1.0
    with mc.no_grad():
        optimizer.step()
    with mc.detect_anomaly():
        optimizer.step()
    assert steps.count == 0
    assert {p.data for p in parameters} == {-1.0}

    def f(x):
        optimizer.step()
        return parameters[0] * x

    with pytest.raises(TypeError):
        compile(f)(1.0)


def test_an_optimizer_is_freed():
    parameters = [Value(1.0) for _ in range(N)]
    optimizer = Adam(parameters)
    optimizer.step()
    gone = weakref.ref(optimizer)
    gc.disable()
    try:
        del optimizer
        assert gone() is None
    finally:
        gc.enable()


def test_a_loop_by_hand_trains_as_fit_does(steps):
    """Clipping, freezing, early stopping and printing happen between the steps, and `fit` comes in between."""

    def trained(plain):
        model = MLP(2, [8, 1], activation="tanh", seed=0)
        loss = compile(lambda x, y: (model(x) - y) ** 2)
        optimizer, rng = Adam(model.parameters(), lr=0.01), random.Random(1)
        if plain:
            steps.plain.add(optimizer)
        samples = [([rng.gauss(0, 1), rng.gauss(0, 1)], rng.gauss(0, 1)) for _ in range(6)]
        stopping, seen = EarlyStopping(model.parameters(), 5), []
        for turn in range(12):
            seen.append(loss.backward(samples))
            if turn % 4 == 1:
                seen.append(clip_grad_norm(model.parameters(), 0.1))
            model.parameters()[turn].requires_grad = turn % 5 != 3
            optimizer.step()
            optimizer.zero_grad()
            stopping.step(seen[0])
            seen.append([repr(model.parameters()[0]), loss(*samples[0]), model(samples[1][0]).data])
            if turn == 6:
                seen.append(loss.fit(samples, optimizer, epochs=3))
        stopping.restore()
        return seen, model.state_dict(), optimizer.state_dict()

    before = steps.count
    assert trained(plain=False) == trained(plain=True)
    assert steps.count > before


def test_optimizers_of_several_threads_do_not_disturb_each_other(steps):
    def work(results, k):
        parameters = [Value(1.0 + k) for _ in range(N)]
        optimizer = Adam(parameters, lr=0.1)
        for _ in range(200):
            for p in parameters:
                p.grad = p.data
            optimizer.step()
        results[k] = [p.data for p in parameters]

    together, alone = {}, {}
    threads = [threading.Thread(target=work, args=(together, k)) for k in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for k in range(4):
        work(alone, k)
    assert together == alone


def test_training_may_go_on_while_the_update_is_compiled_in_the_background(monkeypatch):
    """What the thread that trains changes meanwhile is no change that the update makes."""
    optimizer = Adam([Value(float(k)) for k in range(40)], 0.012345)
    call = tracing.call_with_terms

    def call_while_training(f, *terms, **options):
        optimizer.parameters[0].data += 1.0
        optimizer.parameters[1].grad += 1.0
        return call(f, *terms, **options)

    monkeypatch.setattr(tracing, "call_with_terms", call_while_training)
    monkeypatch.setattr(update, "_cache", type(update._cache)())
    SingleSteps()._make(copy.copy(optimizer))
    assert optimizer.parameters[0].data == 2.0
    assert len(update._cache) == 1


@pytest.mark.parametrize("first_is_fitted", [False, True])
def test_a_new_optimizer_uses_machine_code_that_another_one_has_had_made(first_is_fitted, steps, monkeypatch):
    """A sweep over learning rates makes an optimiser for each of them, which may take a few steps only."""
    monkeypatch.setattr(single_steps, "PARAMETERS_BEFORE_CODE", 10 * N)
    monkeypatch.setattr(single_steps, "PARAMETERS_BEFORE_LOADING", 3 * N)
    monkeypatch.setattr(single_steps, "BackgroundTasks", Foreground)
    monkeypatch.setattr(update, "_cache", type(update._cache)())
    steps.__init__()
    ps = [Value(float(k)) for k in range(N)]

    def taken(optimizer, count):
        """Return how many of `count` steps machine code takes."""
        before = steps.count
        for _ in range(count):
            gradients(random.Random(1), ps, optimizer)
            optimizer.step()
        return steps.count - before

    if first_is_fitted:  # this makes the machine code of the update, but not that which takes single steps
        compile(lambda x: sum((p - x) ** 2 for p in ps)).fit([(1.0,)], RMSprop(ps, lr=0.1, alpha=0.7), epochs=2)
    assert taken(RMSprop(ps, lr=0.1, alpha=0.7), 12) == 3
    assert taken(RMSprop(ps, lr=0.2, alpha=0.7), 12) == 10
    assert taken(RMSprop(ps, lr=0.1, alpha=0.6), 12) == 3


def test_steps_of_optimizers_with_the_same_update_are_counted_together(steps, monkeypatch):
    """A loop that makes an optimiser for each of its runs may take too few steps in each run."""
    monkeypatch.setattr(single_steps, "PARAMETERS_BEFORE_CODE", 10 * N)
    monkeypatch.setattr(single_steps, "BackgroundTasks", Foreground)
    monkeypatch.setattr(update, "_cache", type(update._cache)())
    steps.__init__()
    ps = [Value(float(k)) for k in range(N)]

    def taken(alpha):
        """Return how many of four steps of a new optimiser machine code takes."""
        optimizer, before = RMSprop(ps, lr=0.1, alpha=alpha), steps.count
        for _ in range(4):
            gradients(random.Random(1), ps, optimizer)
            optimizer.step()
        return steps.count - before

    assert [taken(alpha) for alpha in (0.7, 0.6, 0.7, 0.6, 0.7, 0.6, 0.6)] == [0, 0, 0, 0, 3, 3, 4]


def test_fit_does_not_wait_until_the_driver_of_single_steps_is_compiled(steps, monkeypatch):
    """`fit` has the update compiled, but not the driver. A call that compiled it would take dozens of times as long."""
    x, ps = np.ones((5, N)), [Value(0.0) for _ in range(N)]
    loss, optimizer, has_driver, begun = compile(lambda x: mc.dot(ps, x) ** 2), SGD(ps, lr=0.01), [False], []
    monkeypatch.setattr(single_steps, "has_driver", lambda name, lanes, fast: has_driver[0])
    monkeypatch.setattr(steps, "_tasks", Foreground())
    monkeypatch.setattr(steps, "_make", begun.append)
    taken = []
    take = single_steps.SingleStep.take
    monkeypatch.setattr(single_steps.SingleStep, "take", lambda *xs: taken.append(1) or take(*xs))
    for _ in range(60):
        loss.fit((x,), optimizer, 1)
    assert begun
    assert not taken
    has_driver[0] = True
    loss.fit((x,), optimizer, 1)
    assert taken


def toggle_many(rng, parameters, _):
    """Freeze or unfreeze a layer, as for fine-tuning."""
    first, last = sorted([rng.randrange(N), rng.randrange(N)])
    if requires := rng.random() < 0.5:
        first, last = rng.choice([(0, N), (first, last)])
    for p in parameters[first:last]:
        p.requires_grad = requires


def copied(rng, parameters, optimizer):
    assert b"SkippedCounts" not in pickle.dumps(optimizer)  # a pickle has only what users can read
    other = rng.choice([copy.copy, copy.deepcopy, lambda x: pickle.loads(pickle.dumps(x))])(optimizer)
    assert other.skipped == optimizer.skipped
    assert other.state_dict() == optimizer.state_dict()


def change_skipped(rng, _, optimizer):
    change = rng.randrange(3)
    if change == 0:
        optimizer.skipped[rng.randrange(N)] = rng.randrange(3)
    elif change == 1:
        optimizer.skipped = {}


def fit_with_frozen(rng, parameters, optimizer):
    rng.choice(parameters).requires_grad = True
    f = compile(lambda x: sum((p - x) ** 2 for p in parameters))
    f.fit([(rng.gauss(0, 1),)], optimizer, epochs=rng.choice([1, 1, 2]))


FINE_TUNING = [
    *(gradients, change_data, without_gradient, change_rate, change_option, change_state, amsgrad, reload, set_steps),
    *(replace, fit_with_frozen, copied, copied, change_skipped, *[toggle_many] * 10),
]


@pytest.mark.parametrize("kind", OPTIMIZERS)
def test_freezing_between_steps_gives_the_same_as_in_python(kind, steps):
    taken, groups = [0, 0], [0, 0]  # while some parameters are frozen, and later; by one group and by several
    for seed in range(3):
        sides = []
        for rng in (random.Random(seed), random.Random(seed)):
            parameters = [Value(rng.gauss(0, 1)) for _ in range(N)]
            sides.append((rng, parameters, OPTIMIZERS[kind](parameters)))
        steps.plain.add(sides[1][2])
        for turn in range(25):
            for rng, _, optimizer in sides:
                rng.choice(FINE_TUNING)(*(rng, parameters := optimizer.parameters, optimizer))
                for _ in range(rng.randrange(5)):
                    gradients(rng, parameters, optimizer)
                    before = steps.count
                    optimizer.step()
                    taken[all(p.requires_grad for p in parameters)] += steps.count - before
                    groups[len(sizes_of_groups(steps, optimizer)) > 1] += steps.count - before
            if turn % 3 == 0:
                assert state_of(*sides[0][1:]) == state_of(*sides[1][1:]), (kind, seed, turn)
        assert state_of(*sides[0][1:]) == state_of(*sides[1][1:]), (kind, seed)
    assert min(taken) > 0, taken
    assert groups[0] > 0
    # The updates of Adam, and of a momentum with dampening, depend on the count of steps
    assert (groups[1] > 0) == (isinstance(optimizer, Adam) or kind == "momentum"), groups


def sizes_of_groups(steps, optimizer):
    step = steps._ready.get(optimizer)
    return [len(group.indices) for group in step._groups] if step else []


@pytest.mark.parametrize("kind", OPTIMIZERS)
def test_steps_are_taken_by_machine_code_while_some_parameters_are_frozen_and_after(kind, steps):
    parameters = [Value(0.1 * k) for k in range(N)]
    optimizer, counts = OPTIMIZERS[kind](parameters), []
    for frozen in (range(N), range(20), range(3, 30), range(0)):
        for k, p in enumerate(parameters):
            p.requires_grad = k not in frozen
        for _ in range(10):
            for p in parameters:
                p.grad = p.data - 1.0
            optimizer.step()
        counts.append(steps.count)
    assert counts[0] == 0
    assert counts[-1] >= 27
    assert optimizer.skipped == {k: 10 + 10 * (k < 20) + 10 * (3 <= k < 30) for k in range(N)}


def test_a_dict_of_skipped_steps_that_the_user_holds_is_changed_by_steps(steps):
    parameters = [Value(1.0, requires_grad=k > 3) for k in range(N)]
    optimizer = SGD(parameters, lr=0.1)
    for p in parameters:
        p.grad = 1.0
    for _ in range(3):
        optimizer.step()
    assert steps.count > 0
    held, before = optimizer.skipped, steps.count
    optimizer.step()
    assert held == optimizer.skipped == dict.fromkeys(range(4), 4)
    assert steps.count == before
