"""What no step of `fit` changes is computed once, and training gives the numbers that a loop in plain Python gives."""

import random
from contextlib import contextmanager

import pytest

import micrograd_cn as mc
from micrograd_cn import Value
from micrograd_cn.compiler import compile  # noqa: A004 -- the field's name
from micrograd_cn.compiler.training import fixed
from micrograd_cn.nn import MLP
from micrograd_cn.optim import SGD, Adam, AdamW

from .common import settings

EPOCHS, BATCH = 4, 5
ALWAYS = {f"training.fixed.{name}": 0 for name in ("MIN_ROWS", "OPERANDS_PER_NUMBER", "SECONDS_PER_OPERATION")}
ALWAYS |= {"training.fixed.SECONDS_PER_CALL": 0.0}


@contextmanager
def splits(monkeypatch):
    """Let `fit` compute each fixed part once, however little it is; yield the counts of numbers in a row without it."""
    widths = []

    def noted(program, *args):
        widths.append(None)
        found = original(program, *args)
        if found[0] is not program:
            widths[-1] = len(found[0].graph.inputs)
        return found

    original = fixed.without_fixed_part
    monkeypatch.setattr("micrograd_cn.compiler.training.run.without_fixed_part", noted)
    with settings(ALWAYS):
        yield widths


def samples(n=13, width=3, seed=1):
    rng = random.Random(seed)
    return [([rng.uniform(-1, 1) for _ in range(width)], rng.uniform(-1, 1)) for _ in range(n)]


def by_hand(f, data, optimizer, epochs=EPOCHS, batch=BATCH):
    """Train by the plain function in a loop; return the mean loss of each epoch."""
    means = []
    for _ in range(epochs):
        losses = []
        for first in range(0, len(data), batch):
            of_batch = [f(*sample) for sample in data[first : first + batch]]
            optimizer.zero_grad()
            (mc.sum(of_batch) / len(of_batch)).backward()
            optimizer.step()
            losses += [loss.data for loss in of_batch]
        means.append(sum(losses) / len(losses))
    return means


def network():
    net = MLP(3, [4, 3, 1], activation="tanh", seed=2)
    return net, net.parameters(), lambda x, y: (net(x) - y) ** 2


def frozen_first_layer():
    net, ps, f = network()
    for p in net.layers[0].parameters():
        p.requires_grad = False
    return f, ps, ps


def last_layer_trained():
    net, ps, f = network()
    return f, ps, net.layers[2].parameters()


def some_weights_frozen():
    _, ps, f = network()
    for p in [*ps[:9], ps[-1]]:
        p.requires_grad = False
    return f, ps, ps


def features_of_arguments():
    ps = [Value(0.1 * k) for k in range(7)]

    def f(x, y):
        features = [mc.sin(x[0] * x[1]), mc.exp(x[2]), x[0] ** 3, x[1], mc.where(mc.less(x[2], 0), x[2], 0.5)]
        return (mc.dot(features, ps[:5]) * ps[5] + ps[6] - y) ** 2

    return f, ps, ps


def shared_parameter():  # w is in the layer below, too, so only what is computed without it is fixed
    w, u, v = Value(0.3), Value(0.4), Value(0.5)
    return (lambda x, y: (w * mc.tanh(u * x[0] + x[1]) + mc.tanh(w * x[2]) * v - y) ** 2), [w, u, v], [w]


def detached_features():
    net, ps, _ = network()
    w = [Value(0.1 * k) for k in range(4)]
    return (lambda x, y: (mc.dot(w, [h.detach() for h in net.layers[0](x)]) - y) ** 2), [*ps, *w], w


def computed_index():
    ps = [Value(0.1 * k + 0.2) for k in range(4)]
    return (lambda x, y: (mc.take(ps[:3], mc.step(x[0]) + mc.step(x[1])) * mc.tanh(ps[3] * y) - y) ** 2), ps, ps[:3]


# The function with its parameters and those of the optimiser, and how many numbers a row has without the fixed part:
# those that are used beside it, too
CASES = [
    (frozen_first_layer, 5),
    (last_layer_trained, 4),
    (some_weights_frozen, 6),
    (features_of_arguments, 6),
    (shared_parameter, 3),
    (detached_features, 5),
    (computed_index, 3),
]


@pytest.mark.parametrize(("case", "width"), CASES)
def test_training_gives_the_numbers_of_a_plain_loop(case, width, monkeypatch):
    (f, ps, trained), (g, qs, also_trained) = case(), case()
    data = samples()
    with splits(monkeypatch) as widths:
        history = compile(f).fit(data, AdamW(trained, lr=0.05), EPOCHS, batch_size=BATCH)
    assert widths == [width]
    assert list(history) == pytest.approx(by_hand(g, data, AdamW(also_trained, lr=0.05)), rel=1e-12)
    assert [p.data for p in ps] == pytest.approx([q.data for q in qs], rel=1e-12)
    assert [p.grad for p in trained] == pytest.approx([q.grad for q in also_trained], rel=1e-9, abs=1e-15)


@pytest.mark.parametrize("options", [
    {"batch_size": 1}, {"batch_size": 4, "shuffle": random.Random}, {"clip_grad_norm": 0.01}, {"threads": 2},
    {"validation": samples(5, seed=7), "patience": 1},
], ids=lambda options: "-".join(options))  # fmt: skip
def test_options_of_fit_mean_the_same_without_the_fixed_part(options, monkeypatch):
    f, ps, trained = frozen_first_layer()
    before = [p.data for p in ps]
    found = []
    for always in (False, True):
        for p, x in zip(ps, before, strict=True):
            p.data = x
        now = {name: x(3) if x is random.Random else x for name, x in options.items()}
        with splits(monkeypatch) as widths, settings({} if always else {"training.fixed.MAX_NUMBERS": -1}):
            history = compile(f).fit(samples(), Adam(trained, lr=0.05), EPOCHS, **now)
        assert widths == [5 if always else None]
        found.append([*history, *(history.validation or []), *(p.data for p in ps)])
    assert found[1] == pytest.approx(found[0], rel=1e-12)


def test_each_fit_reads_anew_what_may_have_changed_since_the_last(monkeypatch):
    """Between two calls of `fit`, numbers of samples and of frozen parameters, flags and optimisers may change."""

    def changes(layers, data):
        yield SGD(layers[2], lr=0.1)
        data[0][0][1] = 2.5  # in place
        yield SGD(layers[2], lr=0.1)
        layers[0][0].data += 1.0
        yield SGD(layers[2], lr=0.1)
        yield SGD(layers[1] + layers[2], lr=0.1)
        both = SGD(layers[0] + layers[2], lr=0.1)
        layers[2][0].requires_grad = False
        yield both
        layers[2][0].requires_grad = True
        for p in layers[0]:
            p.requires_grad = False
        yield both
        yield SGD(layers[0], lr=0.1)  # which trains nothing
        for p in layers[0]:
            p.requires_grad = True
        yield both
        yield SGD(layers[2], lr=0.1)

    def run(fit):
        net, ps, f = network()
        data, losses = samples(), []
        train = fit(f)
        for optimizer in changes([layer.parameters() for layer in net.layers], data):
            losses += train(data, optimizer)
            losses += [p.data for p in ps]
        return losses

    def compiled(f):
        made = compile(f)
        return lambda data, optimizer: list(made.fit(data, optimizer, EPOCHS, batch_size=BATCH))

    with splits(monkeypatch) as widths:
        found = run(compiled)
    assert widths == [4, 4, 4, 5, None, 4, None, None, 4]
    assert found == pytest.approx(run(lambda f: lambda *args: by_hand(f, *args)), rel=1e-11)


class Reverse:
    """A user's own way to shuffle, which may change anything."""

    def shuffle(self, xs):
        xs.reverse()


def test_what_a_users_function_may_change_between_steps_is_computed_in_each_step(monkeypatch):
    """A callback may assign a frozen parameter, and a schedule or a shuffle may change anything that is not refused."""
    f, ps, trained = last_layer_trained()
    g, qs, also_trained = last_layer_trained()
    data = samples()

    def change(epoch, loss):
        ps[0].data += 0.5

    with splits(monkeypatch) as widths:
        history = compile(f).fit(data, SGD(trained, lr=0.05), EPOCHS, callback=change)
        compile(f).fit(data, SGD(trained, lr=0.05), EPOCHS, schedule=lambda step: 0.05)
        compile(f).fit(data, SGD(trained, lr=0.05), EPOCHS, shuffle=Reverse())
    assert [*filter(None, widths)] == []
    expected, optimizer = [], SGD(also_trained, lr=0.05)
    for _ in range(EPOCHS):
        expected += by_hand(g, data, optimizer, 1, len(data))
        qs[0].data += 0.5
    assert list(history) == pytest.approx(expected, rel=1e-12)


def test_a_constant_of_a_split_program_may_not_change(monkeypatch):
    """A program keeps the numbers of its constants: it refuses a changed one, but not one that is changed back."""
    w, c = Value(0.5), Value(2.0, "c", requires_grad=False)
    f = compile(lambda x: (w * mc.tanh(c * x) - 1) ** 2)
    with splits(monkeypatch) as widths:
        first = f.fit([(0.3,), (0.4,)], SGD([w], lr=0.1), EPOCHS)
        c.data = 3.0
        with pytest.raises(ValueError, match="c is a constant of the program"):
            f.fit([(0.3,), (0.4,)], SGD([w], lr=0.1), EPOCHS)
        c.data, w.data = 2.0, 0.5
        assert list(f.fit([(0.3,), (0.4,)], SGD([w], lr=0.1), EPOCHS)) == list(first)
    assert widths[0] == widths[-1] == 1


def test_a_constant_that_requires_a_gradient_now_stays_a_constant_of_a_split_program(monkeypatch):
    """A program keeps a leaf as a constant if it was one when the program was made. Its nodes may be frozen, too."""
    w, c, x = Value(0.5), Value(2.0, requires_grad=False), Value(1.0)
    h = mc.tanh(c * x)
    h.requires_grad = False
    program = compile((w * h - 1) ** 2, [x])
    c.requires_grad = True
    with splits(monkeypatch) as widths:
        program.fit([(0.3,), (0.4,)], SGD([w], lr=0.1), EPOCHS)
    v = Value(0.5)
    by_hand(lambda x: (v * mc.tanh(2.0 * x) - 1) ** 2, [(0.3,), (0.4,)], SGD([v], lr=0.1))
    assert widths == [1]
    assert w.data == pytest.approx(v.data, rel=1e-12)


def test_samples_with_several_programs_and_anomalies_are_computed_in_each_epoch(monkeypatch):
    """Only the program of all samples is split, and `detect_anomaly` names the node and the row that it should."""
    w, v = Value(0.5), Value(0.25)
    f, g = compile(lambda xs: w * mc.sum([mc.tanh(x) for x in xs])), compile(lambda x: w * mc.log(x) + v)
    with splits(monkeypatch) as widths:
        f.fit([([0.1, 0.2],), ([0.3],)], SGD([w], lr=0.1), EPOCHS)
        with mc.detect_anomaly(), pytest.raises(FloatingPointError, match=r"row 1: log\(x=0\.0\) gave -inf"):
            g.fit([(1.0,), (0.0,)], SGD([w, v], lr=0.1), EPOCHS)
    assert widths == []


def test_a_value_that_is_not_selected_sends_no_gradient_from_a_fixed_part(monkeypatch):
    """Where `where` leaves out a product with an infinite factor of the fixed part, its gradient is 0, and not nan."""
    w, v = Value(0.5), Value(0.25)
    f = compile(lambda x: mc.where(mc.less(0, x), w * mc.log(x) + v * mc.exp(x * 1000), v * x))
    with splits(monkeypatch) as widths:
        f.fit([(-1.0,), (0.0,), (-2.0,)], SGD([w, v], lr=0.1), 2)
    assert widths[0]
    assert (w.data, v.data) == pytest.approx((0.5, 0.45))


def test_few_rows_are_not_worth_a_second_program(monkeypatch):
    f, _, trained = last_layer_trained()
    compiled, before = compile(f), len(fixed._splits)
    compiled.fit(samples(), SGD(trained, lr=0.05), 1)
    assert len(fixed._splits) == before
    monkeypatch.setattr(fixed._Split, "_make", pytest.fail)
    compiled.fit(samples(), SGD(trained, lr=0.05), EPOCHS)
