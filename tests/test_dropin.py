"""Code written for micrograd and in its lecture runs after the import changes, and gives the same numbers."""

import importlib
import math
import random
import re
from collections import Counter
from itertools import product

import graphviz
import numpy as np
import pytest

from micrograd_cn import draw_dot
from micrograd_cn.engine import Value
from micrograd_cn.nn import Neuron

from .picture.svg import boxes

both = pytest.mark.parametrize("package", ["micrograd", "micrograd_cn"])


def modules(package):
    """Return the modules `engine` and `nn` of micrograd or of this package."""
    return importlib.import_module(f"{package}.engine"), importlib.import_module(f"{package}.nn")


def run(script, package, **names):
    """Run a script with imports from a package, and return its variables."""
    exec(script.format(package=package), names)
    return names


# The computations in micrograd's own tests


def shared_by_relus(value):
    x = value(-4.0)
    z = 2 * x + 2 + x
    q = z.relu() + z * x
    h = (z * z).relu()
    return [x], h + q + q * x


def every_operator(value):
    a, b = value(-4.0), value(2.0)
    c, d = a + b, a * b + b**3
    c += c + 1
    c += 1 + c + (-a)
    d += d * 2 + (b + a).relu()
    d += 3 * d + (b - a).relu()
    e = c - d
    f = e**2
    g = f / 2.0
    g += 10.0 / f
    return [a, b], g


def powers_and_reflected_operators(value):
    a, b = value(0.75), value(-1.25)
    c = (a / 3) ** -1.5 + 7 / b - 1
    c -= sum([a, b, a * b]) ** 2
    c *= 0.5
    c /= b
    return [a, b], 1 - c + -b * 4


@pytest.mark.parametrize("f", [shared_by_relus, every_operator, powers_and_reflected_operators])
def test_expressions_have_micrograds_value_and_gradients(f):
    (theirs, expected), (ours, result) = (f(modules(package)[0].Value) for package in ("micrograd", "micrograd_cn"))
    expected.backward()
    result.backward()
    assert result.data == pytest.approx(expected.data, rel=1e-14)
    assert [v.grad for v in ours] == pytest.approx([v.grad for v in theirs], rel=1e-14)
    assert all(v.grad for v in ours)


# micrograd's demo, which separates two moons

MOONS = """
import math, random
from {package}.engine import Value
from {package}.nn import Neuron, Layer, MLP

random.seed(seed)
X, labels = [], []
for i in range(15):
    angle = math.pi * i / 14
    X += [[math.cos(angle), math.sin(angle)], [1 - math.cos(angle), 0.5 - math.sin(angle)]]
    labels += [-1, 1]
X = [[x + random.gauss(0, 0.1), y + random.gauss(0, 0.1)] for x, y in X]

model = MLP(2, [16, 16, 1])
start = [p.data for p in model.parameters()]

def loss():
    inputs = [list(map(Value, row)) for row in X]
    scores = list(map(model, inputs))
    losses = [(1 + -label * score).relu() for label, score in zip(labels, scores)]
    data_loss = sum(losses) * (1.0 / len(losses))
    penalty = 1e-4 * sum((p * p for p in model.parameters()))
    accuracy = [(label > 0) == (score.data > 0) for label, score in zip(labels, scores)]
    return data_loss + penalty, sum(accuracy) / len(accuracy)

history = []
for k in range(steps):
    total_loss, accuracy = loss()
    model.zero_grad()
    total_loss.backward()
    rate = 1.0 - 0.9 * k / 100
    for p in model.parameters():
        p.data -= rate * p.grad
    history.append((total_loss.data, accuracy))
end = [p.data for p in model.parameters()]
"""


@pytest.mark.parametrize("seed", [1337, pytest.param(1, marks=pytest.mark.slow)])
def test_the_moons_demo_has_the_same_weights_losses_accuracies_and_boundary(seed):
    theirs, ours = (run(MOONS, package, seed=seed, steps=2) for package in ("micrograd", "micrograd_cn"))
    assert len(ours["start"]) == 337
    assert ours["start"] == theirs["start"]
    losses, accuracies = zip(*ours["history"], strict=True)
    expected_losses, expected_accuracies = zip(*theirs["history"], strict=True)
    assert losses == pytest.approx(expected_losses, rel=1e-10)
    assert accuracies == expected_accuracies
    assert losses[-1] < losses[0]
    assert ours["end"] == pytest.approx(theirs["end"], rel=1e-9, abs=1e-12)

    h = 1.0
    xx, yy = np.meshgrid(np.arange(-1.5, 2.5, h), np.arange(-1.0, 2.0, h))
    mesh = np.c_[xx.ravel(), yy.ravel()]
    boundaries = []
    for names in (theirs, ours):
        inputs = [list(map(names["Value"], row)) for row in mesh]
        scores = list(map(names["model"], inputs))
        boundaries.append(np.array([s.data > 0 for s in scores]).reshape(xx.shape))
    assert boundaries[0].tolist() == boundaries[1].tolist()
    assert {True, False} == set(boundaries[1].ravel().tolist())


# micrograd's notebook, which traces a graph by `_prev` and draws it


def trace(root):
    """Return all nodes and edges, as the notebook's function does."""
    nodes, edges = set(), set()

    def build(v):
        if v not in nodes:
            nodes.add(v)
            for child in v._prev:
                edges.add((child, v))
                build(child)

    build(root)
    return nodes, edges


def drawn_by_hand(root):
    """Return a picture of the graph, as the notebook's function does."""
    nodes, edges = trace(root)
    dot = graphviz.Digraph(format="svg", graph_attr={"rankdir": "LR"})
    for n in nodes:
        uid = str(id(n))
        label = getattr(n, "label", "")
        dot.node(name=uid, label="{ %s | data %.4f | grad %.4f }" % (label, n.data, n.grad), shape="record")  # noqa: UP031
        if n._op:
            dot.node(name=uid + n._op, label=n._op)
            dot.edge(uid + n._op, uid)
    for a, b in edges:
        dot.edge(str(id(a)), str(id(b)) + b._op)
    return dot


@both
def test_the_notebooks_own_drawing_has_a_record_a_node_and_a_box_an_operation(package):
    """The notebook's drawing function draws a record for each node and a box for each operation, in both packages."""
    a, b = (modules(package)[0].Value(x) for x in (2.0, -3.0))
    y = (a * b + 10).relu()
    y.backward()
    source = drawn_by_hand(y).source
    records = re.findall(r"label=\"\{ .* \| data (\S+) \| grad (\S+) \}\" shape=record", source)
    gradient_of_ten = {"micrograd": "1.0000", "micrograd_cn": "0.0000"}[package]
    assert Counter(records) == Counter(
        [("2.0000", "-3.0000"), ("-3.0000", "2.0000"), ("-6.0000", "1.0000"), ("10.0000", gradient_of_ten)]
        + [("4.0000", "1.0000")] * 2
    )
    symbols = re.findall(r"\[label=\"?([^\s{\"\]]+)\"?\]", source)
    assert sorted(symbols) == ["*", "+", "ReLU"]
    assert source.count("->") == 3 + 5
    assert len(set(re.findall(r"-> (\S+)", source))) == 6


def test_a_neuron_is_traced_and_drawn_by_hand_and_by_us():
    """The notebook's functions work on a neuron, and `draw_dot` shows the same nodes."""
    random.seed(1337)
    n = Neuron(2)
    x = [Value(1.0), Value(-2.0)]
    y = n(x)
    y.backward()
    nodes, edges = trace(y)
    assert nodes == {*n.parameters(), *x, y, *y._prev}
    assert len(edges) == 6
    assert drawn_by_hand(y).source.count("shape=record") == len(nodes)
    pictures = [draw_dot(y), draw_dot(y, format="svg", rankdir="TB")]
    for picture in pictures:
        assert isinstance(picture, graphviz.Digraph)
        for v in nodes:
            assert any(f"data {v.data:.4g}" in lines for lines, _ in boxes(picture).values())


# Steps of the lecture on micrograd, in its order

GRADS = {"L": 1.0, "f": 4.0, "d": -2.0, "c": -2.0, "e": -2.0, "a": 6.0, "b": -4.0}


def build_up(**nudge):
    """Return the lecture's first expression by labels, after adding numbers to the data of some nodes."""
    a = Value(2.0, label="a")
    b = Value(-3.0, label="b")
    c = Value(10.0, label="c")
    f = Value(-2.0, label="f")
    leaves = {"a": a, "b": b, "c": c, "f": f}
    for name, h in nudge.items():
        if name in leaves:
            leaves[name].data += h
    e = a * b
    e.label = "e"
    e.data += nudge.get("e", 0.0)
    d = e + c
    d.label = "d"
    d.data += nudge.get("d", 0.0)
    out = d * f
    out.label = "L"
    out.data += nudge.get("L", 0.0)
    return {v.label: v for v in (a, b, c, e, d, f, out)}


def test_the_expression_is_built_by_hand_with_labels_given_afterwards():
    v = build_up()
    assert {name: node.data for name, node in v.items()} == {
        **{"a": 2.0, "b": -3.0, "c": 10.0, "e": -6.0, "d": 4.0, "f": -2.0, "L": -8.0}
    }
    assert v["d"]._prev == {v["e"], v["c"]}
    assert (v["d"]._op, v["e"]._op, v["L"]._op, v["a"]._op) == ("+", "*", "*", "")
    assert "Value(data=-8.0" in repr(v["L"])
    assert {node.label for node in trace(v["L"])[0]} == set("abcdefL")
    assert {node.grad for node in v.values()} == {0.0}


def test_the_numerical_check_adds_h_to_each_in_turn():
    h = 0.001
    for name, expected in GRADS.items():
        slope = (build_up(**{name: h})["L"].data - build_up()["L"].data) / h
        assert slope == pytest.approx(expected, rel=1e-9)


def test_gradients_are_set_by_hand_and_a_step_along_them_raises_the_result():
    v = build_up()
    v["L"].grad = 1.0
    v["f"].grad = v["d"].data * v["L"].grad
    v["d"].grad = v["f"].data * v["L"].grad
    v["c"].grad = v["e"].grad = v["d"].grad
    v["a"].grad = v["b"].data * v["e"].grad
    v["b"].grad = v["a"].data * v["e"].grad
    assert {name: node.grad for name, node in v.items()} == GRADS
    for name in "abcf":
        v[name].data += 0.01 * v[name].grad
    a, b, c, f = (v[name] for name in "abcf")
    assert ((a * b + c) * f).data == pytest.approx(-7.286496, rel=1e-12)
    automatic = build_up()
    automatic["L"].backward()
    assert {name: node.grad for name, node in automatic.items()} == GRADS


def neuron(squash):
    """Return the nodes of the lecture's neuron by labels; `squash` is its activation function."""
    x1, x2 = Value(2.0, label="x1"), Value(0.0, label="x2")
    w1, w2 = Value(-3.0, label="w1"), Value(1.0, label="w2")
    b = Value(6.8813735870195432, label="b")
    x1w1 = x1 * w1
    x1w1.label = "x1*w1"
    x2w2 = x2 * w2
    x2w2.label = "x2*w2"
    total = x1w1 + x2w2
    total.label = "x1*w1 + x2*w2"
    n = total + b
    n.label = "n"
    o = squash(n)
    o.label = "o"
    return {v.label: v for v in (x1, x2, w1, w2, b, x1w1, x2w2, total, n, o)}


def tanh(n):
    return n.tanh()


def by_exp(n):
    e = (2 * n).exp()
    return (e - 1) / (e + 1)


def by_exp_without_division(n):
    e = (2 * n).exp()
    return (e - 1) * (e + 1) ** -1


NEURON = {"x1": -1.5, "w1": 1.0, "x2": 0.5, "w2": 0.0}
INNER = ("b", "n", "x1*w1 + x2*w2", "x1*w1", "x2*w2")


@pytest.mark.parametrize("squash", [tanh, by_exp, by_exp_without_division])
def test_the_neurons_gradients_are_the_lectures_with_tanh_whole_and_in_parts(squash):
    v = neuron(squash)
    v["o"].backward()
    assert v["o"].data == pytest.approx(math.sqrt(0.5), rel=1e-12)
    assert {name: v[name].grad for name in NEURON} == pytest.approx(NEURON, rel=1e-12)
    assert [v[name].grad for name in INNER] == pytest.approx([0.5] * 5, rel=1e-12)


def test_each_node_sends_its_gradient_on_by_hand_in_the_lectures_order():
    """Each call of `_backward()` adds to the gradients of that node's operands, and to no others."""
    v = neuron(tanh)
    v["o"].grad = 1.0
    sent = {
        "o": {"n": 0.5},
        "n": {"b": 0.5, "x1*w1 + x2*w2": 0.5},
        "b": {},
        "x1*w1 + x2*w2": {"x1*w1": 0.5, "x2*w2": 0.5},
        "x2*w2": {"x2": 0.5, "w2": 0.0},
        "x1*w1": {"x1": -1.5, "w1": 1.0},
    }
    arrived = {"o": 1.0}
    for name, received in sent.items():
        assert v[name]._backward() is None
        arrived |= received
        assert {n: node.grad for n, node in v.items() if node.grad} == pytest.approx(
            {n: g for n, g in arrived.items() if g}, rel=1e-12
        )


def sorted_by_hand(root):
    """Return the nodes in topological order, by the lecture's function."""
    topo, visited = [], set()

    def build_topo(v):
        if v not in visited:
            visited.add(v)
            for child in v._prev:
                build_topo(child)
            topo.append(v)

    build_topo(root)
    return topo


def shared_neuron():
    """Return the neuron's nodes, and an expression that uses some of them again."""
    v = neuron(by_exp)
    y = v["o"] * v["n"] + v["x1"] ** 3 - v["o"] / v["w1"]
    return v, y


@pytest.mark.parametrize("make", [lambda: ((v := neuron(tanh)), v["o"]), lambda: (build_up(), None), shared_neuron])
def test_backward_by_the_users_own_topological_sort_gives_the_engines_gradients(make):
    (by_hand, root), (by_engine, other) = make(), make()
    root, other = root or by_hand["L"], other or by_engine["L"]
    topo = sorted_by_hand(root)
    place = {v: i for i, v in enumerate(topo)}
    assert all(place[child] < place[v] for v in topo for child in v._prev)
    assert topo[-1] is root
    root.grad = 1.0
    for node in reversed(topo):
        node._backward()
    other.backward()
    for name in by_hand:
        assert by_hand[name].grad == pytest.approx(by_engine[name].grad, rel=1e-14, abs=1e-15)


@both
def test_by_hand_interior_gradients_must_be_zero_before(package):
    """A second backward pass by hand adds to old gradients of interior nodes, as in micrograd; `backward` does not."""
    a = modules(package)[0].Value(3.0)
    b = a * 2
    y = b * b
    for expected in (24.0, 24.0 + 48.0):
        y.grad = 1.0
        for node in reversed(sorted_by_hand(y)):
            node._backward()
        assert a.grad == expected
    a.grad = b.grad = 0.0
    y.backward()
    assert a.grad == 24.0


def test_a_value_used_twice_gets_both_gradients():
    a = Value(3.0, label="a")
    b = a + a
    b.label = "b"
    b.backward()
    assert (a.grad, len(b._prev)) == (2.0, 1)
    a, b = Value(-2.0, label="a"), Value(3.0, label="b")
    d, e = a * b, a + b
    (d * e).backward()
    assert (a.grad, b.grad) == (-3.0, -8.0)


@pytest.mark.parametrize("kind", [int, float])
def test_numbers_on_either_side_become_values(kind):
    four, two = kind(4), kind(2)
    for f, data, slope in (
        (lambda a: a + four, 6, 1),
        (lambda a: four + a, 6, 1),
        (lambda a: a * four, 8, 4),
        (lambda a: four * a, 8, 4),
        (lambda a: a - four, -2, 1),
        (lambda a: four - a, 2, -1),
        (lambda a: a / four, 0.5, 0.25),
        (lambda a: four / a, 2, -1),
        (lambda a: a**two, 4, 4),
        (lambda a: -a, -2, -1),
        (lambda a: a.exp(), math.exp(2), math.exp(2)),
    ):
        a = Value(2.0)
        y = f(a)
        y.backward()
        assert (y.data, a.grad) == (data, slope)


# The lecture's network

NETWORK = """
import random
from {package}.engine import Value
from {package}.nn import MLP

random.seed(seed)
n = MLP(3, [4, 4, 1])
xs = [[2.0, 3.0, -1.0], [3.0, -1.0, 0.5], [0.5, 1.0, 1.0], [1.0, 1.0, -1.0]]
ys = [1.0, -1.0, -1.0, 1.0]
start = [p.data for p in n.parameters()]
first = n(xs[0])
history = []
for k in range(20):
    ypred = [n(x) for x in xs]
    loss = sum((yout - ygt) ** 2 for ygt, yout in zip(ys, ypred))
    for p in n.parameters():
        p.grad = 0.0
    loss.backward()
    for p in n.parameters():
        p.data += -0.01 * p.grad
    history.append((k, loss.data, *(y.data for y in ypred)))
end = [p.data for p in n.parameters()]
"""


@pytest.mark.parametrize("seed", range(5))
def test_the_lectures_network_trains_as_micrograds_does(seed):
    theirs, ours = (run(NETWORK, package, seed=seed) for package in ("micrograd", "micrograd_cn"))
    assert len(ours["start"]) == 41
    assert ours["start"] == theirs["start"]
    assert isinstance(ours["first"], Value)
    for result, expected in zip(ours["history"], theirs["history"], strict=True):
        assert result == pytest.approx(expected, rel=1e-9, abs=1e-12)
    assert ours["end"] == pytest.approx(theirs["end"], rel=1e-9, abs=1e-12)
    losses = [loss for _, loss, *_ in ours["history"]]
    assert losses[-1] < losses[0]


OWN_NETWORK = """
import random
from {package}.engine import Value

class Neuron:
    def __init__(self, nin):
        self.w = [Value(random.uniform(-1, 1)) for _ in range(nin)]
        self.b = Value(random.uniform(-1, 1))

    def __call__(self, x):
        act = sum((wi * xi for wi, xi in zip(self.w, x)), self.b)
        return squash(act)

    def parameters(self):
        return self.w + [self.b]

class Layer:
    def __init__(self, nin, nout):
        self.neurons = [Neuron(nin) for _ in range(nout)]

    def __call__(self, x):
        outs = [n(x) for n in self.neurons]
        return outs[0] if len(outs) == 1 else outs

    def parameters(self):
        return [p for neuron in self.neurons for p in neuron.parameters()]

class MLP:
    def __init__(self, nin, nouts):
        sizes = [nin] + nouts
        self.layers = [Layer(sizes[i], sizes[i + 1]) for i in range(len(nouts))]

    def __call__(self, x):
        for layer in self.layers:
            x = layer(x)
        return x

    def parameters(self):
        return [p for layer in self.layers for p in layer.parameters()]

random.seed(3)
n = MLP(3, [4, 4, 1])
xs = [[2.0, 3.0, -1.0], [3.0, -1.0, 0.5], [0.5, 1.0, 1.0], [1.0, 1.0, -1.0]]
ys = [1.0, -1.0, -1.0, 1.0]
history = []
for k in range(20):
    loss = sum([(n(x) - y) ** 2 for x, y in zip(xs, ys)])
    for p in n.parameters():
        p.grad = {reset}
    loss.backward()
    for p in n.parameters():
        p.data += -0.05 * p.grad
    history.append(loss.data)
"""


def softsign(v):
    """Compute v / (1 + |v|) from operations that micrograd has."""
    return v * (1 + (v * v) ** 0.5) ** -1


@pytest.mark.parametrize("squash", [lambda v: v.relu(), softsign])
def test_a_network_written_by_hand_trains_as_over_micrograd(squash):
    histories = []
    for package in ("micrograd", "micrograd_cn"):
        names = {"squash": squash}
        exec(OWN_NETWORK.format(package=package, reset="0.0"), names)
        histories.append(names["history"])
    assert histories[1] == pytest.approx(histories[0], rel=1e-9)
    assert histories[1][-1] < histories[1][0]


def test_resetting_to_none_as_with_pytorch_trains_as_resetting_to_zero():
    histories = []
    for reset in ("0.0", "None"):
        names = {"squash": lambda v: v.tanh()}
        exec(OWN_NETWORK.format(package="micrograd_cn", reset=reset), names)
        histories.append(names["history"])
    assert histories[0] == histories[1]
    assert histories[0][-1] < 0.5 * histories[0][0]


@both
def test_layers_and_neurons_are_called_as_in_micrograd(package):
    _, nn = modules(package)
    random.seed(4)
    x = [2.0, 3.0]
    single, layer, model = nn.Neuron(2, nonlin=False), nn.Layer(2, 1), nn.MLP(2, [3, 2])
    assert single(x).data == pytest.approx(sum(w.data * xi for w, xi in zip(single.w, x, strict=True)) + single.b.data)
    assert layer(x).data == layer.neurons[0](x).data
    assert [len(nn.Layer(2, 3)(x)), len(model(x)), len(model.parameters())] == [3, 2, 17]
    assert all(p.grad == 0 for p in model.parameters())
    sum(model(x)).backward()
    assert any(p.grad for p in model.parameters())
    model.zero_grad()
    assert all(p.grad == 0 for p in model.parameters())


@both
def test_a_numpy_array_and_a_value_make_an_array_of_values(package):
    value = modules(package)[0].Value
    for xs, v in product(([1.0, 2.0], [[0.5], [-3.0]]), (3.0, -2.0)):
        y = np.array(xs) * value(v)
        assert y.dtype == object
        assert [[type(e), e.data] for e in y.ravel()] == [[value, x * v] for x in np.ravel(xs)]


# Operations as the lecture writes them, which published code adds to micrograd's `Value`

OWN_OPERATIONS = """
import math, random
from {package}.engine import Value
from {package}.nn import Neuron

random.seed(seed)

def tanh(self):
    x = self.data
    t = (math.exp(2 * x) - 1) / (math.exp(2 * x) + 1)
    out = Value(t, (self,), 'tanh')
    def _backward():
        self.grad += (1 - t**2) * out.grad
    out._backward = _backward
    return out

def power(self, other):
    other = other if isinstance(other, Value) else Value(other)
    out = Value(self.data**other.data, (self, other), 'pow')
    def _backward():
        self.grad += other.data * self.data**(other.data - 1) * out.grad
        other.grad += self.data**other.data * math.log(abs(self.data)) * out.grad
    out._backward = _backward
    return out

class Extended(Value):
    def __init__(self, data, _children=(), _op=''):
        super().__init__(data, _children, _op)

    def cube(self):
        out = Extended(self.data**3, (self,), 'cube')
        def _backward():
            self.grad += 3 * self.data**2 * out.grad
        out._backward = _backward
        return out

Value.squash = tanh

class TanhNeuron(Neuron):
    def __init__(self, nin):
        self.w = [Value(random.uniform(-1, 1)) for _ in range(nin)]
        self.b = Value(0)

    def __call__(self, x):
        return sum((wi * xi for wi, xi in zip(self.w, x)), self.b).squash()

    def parameters(self):
        return self.w + [self.b]

hidden, last = [TanhNeuron(2) for _ in range(3)], TanhNeuron(3)
parameters = [p for neuron in [*hidden, last] for p in neuron.parameters()]
history = []
for step in range(15):
    loss = Value(0)
    for x, y in [((2.0, 3.0), 1.0), ((3.0, -1.0), -1.0), ((0.5, 1.0), -1.0), ((1.0, 1.0), 1.0)]:
        out = last([neuron(x) for neuron in hidden])
        cubed = Extended(0.5) + out * 0.1
        loss = loss + (out - y)**2 + power((out * out + 1), out * 0.5) + Extended(0.3).cube() * out + cubed
    for p in parameters:
        p.grad = 0
    loss.backward()
    for p in parameters:
        p.data -= 0.05 * p.grad
    history.append(loss.data)
end = [p.data for p in parameters]
last_out = out
"""


@pytest.mark.parametrize("seed", range(3))
def test_operations_written_as_in_the_lecture_train_as_on_micrograd(seed):
    theirs, ours = (run(OWN_OPERATIONS, package, seed=seed) for package in ("micrograd", "micrograd_cn"))
    del ours["Value"].squash
    assert ours["history"] == pytest.approx(theirs["history"], rel=1e-9)
    assert ours["end"] == pytest.approx(theirs["end"], rel=1e-9, abs=1e-12)
    assert ours["history"][-1] < ours["history"][0]
    assert [len(trace(names["last_out"])[0]) for names in (theirs, ours)] == [41, 41]
    assert "tanh" in draw_dot(ours["last_out"]).source


def test_an_operator_that_is_assigned_to_value_is_called_where_the_table_of_differences_says(monkeypatch):
    """The methods of a subclass are called everywhere, and by neurons with such weights."""
    product, called = Value.__mul__, []

    def counted(x, y):
        called.append("*")
        return product(x, y)

    def count(run):
        called.clear()
        run()
        return len(called)

    a, b = Value(2), Value(3)
    with monkeypatch.context() as patch:
        patch.setattr(Value, "__mul__", counted)
        counts = [count(run) for run in (lambda: a * b, lambda: 3 * a, lambda: a / b, lambda: Neuron(2)([a, b]))]
    assert counts == [1, 0, 0, 0]
    kind = type("V", (Value,), {"__mul__": counted})
    neuron, x = Neuron(2), kind(2)
    neuron.w = [kind(w.data, w.label) for w in neuron.w]
    assert [count(run) for run in (lambda: x * b, lambda: 3 * x, lambda: x / b, lambda: neuron([a, b]))] == [1, 1, 1, 2]


def test_a_closure_sees_only_what_it_has_added_to_the_gradient_of_an_operand():
    x, seen = Value(2.0), []

    def twice():
        out = Value(2 * x.data, (x,), "twice")

        def backward():
            seen.append(x.grad)
            x.grad += 2 * out.grad
            seen.append(x.grad)

        out._backward = backward
        return out

    (twice() + twice()).backward()
    assert (seen, x.grad) == ([0.0, 2.0, 0.0, 2.0], 4.0)
