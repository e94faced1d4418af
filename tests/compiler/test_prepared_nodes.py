"""Prepared calls read parameters, and add gradients, where the nodes are, whatever was done to the nodes meanwhile."""

import copy
import pickle
import random
import sys
import threading
from array import array
from operator import sub

import pytest

from micrograd_cn import Value, detect_anomaly, less, no_grad, where
from micrograd_cn.compiler import Program, compile, vector_to_parameters  # noqa: A004 -- the field's name
from micrograd_cn.compiler.data import nodes as machine
from micrograd_cn.compiler.runtime import prepared
from micrograd_cn.nn import MLP, Module
from micrograd_cn.optim import SGD, Adam

from .common import need_known_layout

np = pytest.importorskip("numpy")


@pytest.fixture(autouse=True)
def _machine_code():
    need_known_layout()
    if not machine._kernels.are_compiled:
        machine._kernels.compile()


@pytest.fixture
def added(monkeypatch):
    """A list to which each call of `add_gradients` of a prepared call appends whether machine code added."""
    found, add = [], prepared.PreparedCall.add_gradients

    def noted(self):
        found.append(add(self))
        return found[-1]

    monkeypatch.setattr(prepared.PreparedCall, "add_gradients", noted)
    return found


class Pair(Module):
    """A network beside a number that is frozen and unfrozen, and a leaf that only some programs use."""

    def __init__(self):
        self.net, self.scale, self.unused = MLP(2, [3, 1], activation="tanh", seed=1), Value(0.5), Value(2.0)

    def __call__(self, x):
        return self.net(x) * self.scale


X = np.linspace(-1.0, 1.0, 10).reshape(5, 2)
Y = np.linspace(0.0, 1.0, 5)


def eager(loss, samples, parameters):
    """Return the mean loss and what `backward` makes of the gradients, without a compiled program."""
    before = [p.grad for p in parameters]
    mean = sum([loss.__wrapped__(x, y) for x, y in samples]) * (1.0 / len(samples))
    mean.backward()
    after = [p.grad for p in parameters]
    for p, grad in zip(parameters, before, strict=True):
        p.grad = grad
    return mean.data, after


def assign(model, optimizer, rng):
    for p in model.parameters():
        p.data = rng.uniform(-1.0, 1.0)


def assign_one(model, optimizer, rng):
    rng.choice(model.parameters()).data += 0.25


def assign_vector(model, optimizer, rng):
    vector_to_parameters([rng.uniform(-1.0, 1.0) for _ in model.parameters()], model.parameters())


def load_state(model, optimizer, rng):
    model.load_state_dict({name: np.multiply(x, 0.75).tolist() for name, x in model.state_dict().items()})


def step(model, optimizer, rng):
    optimizer.step()


def clear(model, optimizer, rng):
    optimizer.zero_grad(set_to_none=rng.random() < 0.5)


def set_gradient(model, optimizer, rng):
    rng.choice(model.parameters()).grad = rng.choice([None, -0.0, 3.0, 7])


def share_number(model, optimizer, rng):
    """All nodes have one float object as data and gradient, which machine code must not change in place."""
    shared = float(rng.random())
    for p in model.parameters():
        p.data = p.grad = shared


def add_eagerly(model, optimizer, rng):
    ((model(X[0]) - 1.0) ** 2).backward()


def copy_model(model, optimizer, rng):
    for other in (copy.deepcopy(model), pickle.loads(pickle.dumps(model))):
        for p in other.parameters():
            p.data = p.grad = 100.0


EDITS = [
    *(assign, assign_one, assign_vector, load_state, step, clear, set_gradient, share_number, add_eagerly, copy_model),
]


@pytest.mark.parametrize("seed", range(8))
def test_calls_between_changes_by_hand_give_what_the_engine_gives(seed, added):
    rng, model = random.Random(seed), Pair()
    optimizer = rng.choice([SGD, Adam])([*model.net.parameters(), model.scale], lr=0.05)
    loss = compile(lambda x, y: (model(x) - y) ** 2)
    other = compile(lambda x, y: abs(model(x) - y))  # shares the parameters
    parameters = model.parameters()
    for _ in range(60):
        loss.backward((X, Y))
    for _ in range(40):
        rng.choice(EDITS)(model, optimizer, rng)
        f = rng.choice([loss, loss, other])
        samples = [*zip(X, Y, strict=True)]
        if rng.random() < 0.3:
            samples = samples[:1]
        columns = tuple(map(np.array, zip(*samples, strict=True)))
        given = samples if rng.random() < 0.5 and len(samples) == 1 else columns
        mean, gradients = eager(f, samples, parameters)
        assert f.forward(given) == pytest.approx([f.__wrapped__(x, y).data for x, y in samples])
        held = [p.grad for p in parameters]
        texts = [*map(repr, held)]
        assert f.backward(given) == pytest.approx(mean)
        assert [*map(repr, held)] == texts  # floats that others refer to are not changed in place
        assert [p.grad for p in parameters] == pytest.approx(gradients, abs=1e-14, nan_ok=True)
    assert added.count(True) > 60


def test_frozen_parameters_and_those_of_a_subclass_are_left_to_python(added):
    class Own(Value):
        __slots__ = ()

    w, v = Value(2.0), Own(3.0)
    loss = compile(lambda x: w * x + v * x)
    one = compile(lambda x: w * x * x)
    for _ in range(60):
        loss.backward((Y,))
        one.backward((Y,))
    assert added[-1]
    assert not added[-2]
    w.grad = v.grad = 0.0
    w.requires_grad = False
    loss.backward((Y,))
    assert (w.grad, v.grad) == (0.0, 0.5)
    w.requires_grad = True
    loss.backward((Y,))
    assert (w.grad, v.grad) == (0.5, 1.0)


def test_some_parameters_may_be_frozen_and_not_all(added):
    """Machine code leaves the gradients of frozen parameters alone, and a call with frozen ones alone is refused."""
    w, v = Value(2.0), Value(3.0)
    loss = compile(lambda x: w * x + v * x)
    for _ in range(60):
        loss.backward((Y,))
    w.grad = v.grad = 0.0
    w.requires_grad = False
    for grad, expected in ((0.0, 0.5), (None, 1.0)):
        w.grad = grad
        loss.backward((Y,))
        assert (w.grad, v.grad) == (grad, expected)
        assert added[-1] == (grad is not None)
    w.grad, v.requires_grad = 0.0, False
    for _ in range(2):
        with pytest.raises(RuntimeError, match="all are frozen"):
            loss.backward((Y,))
    assert (w.grad, v.grad) == (0.0, 1.0)


def test_parameters_without_a_gradient_keep_none(added):
    w, k = Value(2.0), Value(3.0)
    loss = compile(lambda x: where(less(k, 0.0), 0.0, w * x))
    detached = compile(lambda x: w * x + k.detach() * x)
    for _ in range(60):
        loss.backward((Y,))
        detached.backward((Y,))
    for f in (loss, detached):
        k.grad = w.grad = None
        f.backward((Y,))
        eagerly = k.grad, w.grad
        k.grad = w.grad = None
        sum([f.__wrapped__(float(y)) for y in Y]).backward()
        assert [eagerly[0], eagerly[1] * 5] == pytest.approx([k.grad, w.grad])


def test_a_constant_that_has_changed_is_refused():
    w, c = Value(2.0), Value(3.0, requires_grad=False)
    loss = compile(lambda x: w * x * c)
    for _ in range(60):
        loss.backward((Y,))
    c.data = 4.0
    with pytest.raises(ValueError, match="constant of the program"):
        loss.backward((Y,))


def test_anomalies_are_looked_for():
    w = Value(1.0)
    loss = compile(lambda x: (w * x).log())
    samples = (np.array([1.0, 2.0]),)
    for _ in range(60):
        loss.backward(samples)
    w.data = -1.0
    with detect_anomaly(), pytest.raises(FloatingPointError):
        loss.backward(samples)
    with no_grad():
        assert np.isnan(loss.forward(samples)).all()


@pytest.mark.parametrize("n", [prepared.MAX_NODES, prepared.MAX_NODES + 1])
def test_many_parameters_are_read_as_few(n):
    ws = [Value(0.1 * k) for k in range(n)]
    loss = compile(lambda x: sum([w * x for w in ws]))
    for k in range(60):
        ws[k].data = 0.5
        mean = loss.backward((Y,))
    assert mean == pytest.approx(sum([w.data for w in ws]) * Y.mean())
    assert ws[0].grad == pytest.approx(30.0)
    for k in range(3):
        ws[-1].data = float(k)
        assert loss.forward((Y,)).sum() == pytest.approx(sum([w.data for w in ws]) * Y.sum())


def test_results_true_and_false_are_not_used_up():
    """A built-in function that returns an object has to count the reference."""
    w = Value(2.0)
    numbers = array("d", [1.0])
    both = machine.PreparedNodes([w], numbers.buffer_info()[0], numbers.buffer_info()[0])
    for expected in (True, False):
        if not expected:
            w.requires_grad, w.grad = False, None
        before = [*map(sys.getrefcount, (expected, not expected))]
        numbers[0] = 1.0
        results = [both.add() for _ in range(1000)]
        assert {*results} == {expected}
        changes = [*map(sub, map(sys.getrefcount, (expected, not expected)), before)]
        assert changes == ([1000, 0] if sys.version_info < (3, 12) else [0, 0])  # they are immortal since 3.12
        del results
        assert both.read()
        assert numbers[0] == 2.0
        assert w.grad == (1000.0 if expected else None)


def test_threads_share_a_program():
    net = MLP(2, [3, 1], activation="tanh", seed=1)
    loss = compile(lambda x, y: (net(x) - y) ** 2)
    for _ in range(60):
        loss.backward((X, Y))
    for p in net.parameters():
        p.grad = 0.0
    expected = loss.value_and_grad((X, Y), wrt=net.parameters())[1]

    def work():
        for _ in range(200):
            loss.backward((X, Y))

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [p.grad for p in net.parameters()] == pytest.approx(800 * expected)


def test_the_memory_of_a_function_that_is_gone_is_not_used():
    """Each prepared call has functions of its own for its own memory."""
    w = Value(2.0)
    loss = compile(lambda x: w * x * x)
    for n in (1, 2, 3, 4):
        for k in range(60):
            w.data = float(k)
            assert loss.backward((np.ones(n),)) == k


def test_a_prepared_program_cannot_be_called_while_a_function_is_recorded():
    """The function would go on with the number that the parameter of the other program had."""
    w, x = Value(2.0), Value(1.0)
    inner = Program(w * x, [x]).prepare(np.array([[3.0]]), np.zeros(1))
    for k in range(60):
        w.data = float(k)
        assert inner()[0] == 3.0 * k
    w.data = 5.0
    with pytest.raises(TypeError, match="what a compiled program reads"):
        compile(lambda y: y * inner()[0])(1.0)
