"""Code written for micrograd runs after the import changes, and trains the same."""

import random

import pytest

SCRIPT = """
import random
from {package}.engine import Value
from {package}.nn import MLP

random.seed({seed})
points = [(random.uniform(-1, 1), random.uniform(-1, 1)) for _ in range(12)]
labels = [1 if x * y > 0 else -1 for x, y in points]
model = MLP(2, [6, 4, 1])
start = [p.data for p in model.parameters()]
history = []
for step in range(15):
    scores = [model([Value(x), Value(y)]) for x, y in points]
    hinge = sum((1 + -label * score).relu() for label, score in zip(labels, scores)) * (1 / len(points))
    loss = hinge + 1e-3 * sum(p * p for p in model.parameters())
    model.zero_grad()
    loss.backward()
    for p in model.parameters():
        p.data -= 0.2 * p.grad
    history.append(loss.data)
end = [p.data for p in model.parameters()]
"""


def run(package, seed):
    names = {}
    exec(SCRIPT.format(package=package, seed=seed), names)
    return names["start"], names["history"], names["end"]


@pytest.mark.parametrize("seed", [1, 1337])
def test_the_same_seed_gives_the_same_weights_and_the_same_training_run(seed):
    start, history, end = run("micrograd", seed)
    ours = run("micrograd_cn", seed)
    assert ours[0] == start
    assert ours[1] == pytest.approx(history, rel=1e-10)
    assert ours[2] == pytest.approx(end, rel=1e-9, abs=1e-12)
    assert history[-1] < history[0]


EXPRESSIONS = [
    lambda a, b: (a + b) * (a - b) / b,
    lambda a, b: (a * b + b**3).relu() + 3 - a,
    lambda a, b: 2 / a - 1 + -b * 4,
    lambda a, b: sum([a, b, a * b]) ** 2,
    lambda a, b: (a / 3) ** -1.5 + b.relu() * 10,
]


@pytest.mark.parametrize("f", EXPRESSIONS)
def test_expressions_have_micrograds_values_and_gradients(f):
    from micrograd.engine import Value as Theirs

    from micrograd_cn.engine import Value as Ours

    random.seed(7)
    for _ in range(10):
        a, b = random.uniform(0.5, 2), random.uniform(-2, 2)
        theirs, ours = (Theirs(a), Theirs(b)), (Ours(a), Ours(b))
        expected, result = f(*theirs), f(*ours)
        expected.backward()
        result.backward()
        assert result.data == pytest.approx(expected.data, rel=1e-14)
        assert [v.grad for v in ours] == pytest.approx([v.grad for v in theirs], rel=1e-14)


def test_a_notebooks_trace_through_prev_and_op_sees_the_graph():
    from micrograd_cn.engine import Value

    a, b = Value(2), Value(3)
    y = (a * b + 1).relu()
    nodes, edges = set(), set()
    waiting = [y]
    while waiting:
        v = waiting.pop()
        nodes.add(v)
        for child in v._prev:
            edges.add((child, v))
            waiting.append(child)
    assert len(nodes) == 6
    assert len(edges) == 5
    assert sorted(v._op for v in nodes if v._op) == ["*", "+", "relu"]
