"""Graphs of other classes are drawn and stepped through as ours are, with the gradients that those classes computed."""

import gc
import json
import math
import re
from collections import Counter

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from micrograd.engine import Value as Micrograd
from micrograd.nn import MLP

from micrograd_cn import Tape, Value, compare_gradients, draw_dot, draw_flow, no_grad
from micrograd_cn.handwritten import Handwritten, Opaque, is_handwritten
from micrograd_cn.picture.colours import DOUBT, PARAMETER

from ..picture.svg import boxes, lines
from .classes import BINARY, Kept, Lecture, MicroGPT, Named, built, recipes


class Node:
    """A node with any attributes."""

    def __init__(self, data, prev=(), op="", **others):
        self.data, self.grad, self._prev, self._op = data, 0.0, prev, op
        vars(self).update(others)


def read(root):
    return Handwritten(root).root


def sorted_terms(line):
    """Return the line with the terms of its sum sorted: their order follows a set of the other class."""
    return " + ".join(sorted(line.removeprefix("= ").split(" + "))) if line.startswith("= ") else line


def written(picture):
    """Return all texts of a picture."""
    return " ".join(lines(picture.source.replace("\n", " ")))


def drawn(root):
    """Return the boxes and edges of a picture, with their texts and styles, but without their names in DOT."""
    picture = draw_dot(root, fold=None, legend=False, lang="en")
    found = {name: (*map(sorted_terms, lines), look) for name, (lines, look) in boxes(picture).items()}
    edges = re.findall(r"^\t(v\d+) -> (v\d+) (.*)$", picture.source, re.MULTILINE)
    return Counter(found.values()), Counter((found[a], found[b], look) for a, b, look in edges)


# Operations that wrap no number: a wrapped number is a leaf of the other class, and a constant of ours.
SQUARE, CUBE = {"square": lambda p: p**2}, {"cube": lambda p: p**3}
TANH, RELU, MINUS = {"tanh": lambda p: p.tanh()}, {"relu": lambda p: p.relu()}, {"-": lambda p, q: p - q}
DRAWN = [
    (Micrograd, BINARY | SQUARE | CUBE | RELU),
    (Lecture, BINARY | SQUARE | CUBE | TANH),
    (Named, BINARY | SQUARE | TANH | RELU | MINUS),
]


@given(st.data())
def test_a_graph_is_drawn_and_compared_as_if_it_were_ours(data):
    theirs, operations = data.draw(st.sampled_from(DRAWN))
    recipe = data.draw(recipes(operations, most=5))
    root, nodes = built(recipe, theirs)
    expected, ours = built(recipe, Value)
    root.backward()
    expected.backward()
    for node, mine in zip(nodes, ours, strict=True):
        assume(mine.grad == 0.0 or abs(mine.grad) > 1e-6)  # smaller gradients are rounding errors, which differ
        assume(mine.data == 0.0 or abs(mine.data) > 1e-6)
        assert node.grad == pytest.approx(mine.grad, rel=1e-9)
    assume("operands unknown" not in written(draw_dot(root, fold=None, lang="en")))  # a - b and b - a are 0
    compare_gradients(root)
    assert drawn(root) == drawn(expected)


def test_a_set_of_operands_that_knows_neither_order_nor_how_often():
    a, b = Node(3.0), Node(2.0)
    for data, op, prev, expected in [
        (6.0, "+", {a}, [a, a]),
        (9.0, "*", {a}, [a, a]),
        (27.0, "**", {a}, [a, a]),
        (1.0, "-", {a, b}, [a, b]),
        (-1.0, "-", {a, b}, [b, a]),
        (-3.0, "-", {a}, [a]),
        (1.5, "/", {a, b}, [a, b]),
        (2 / 3, "/", {a, b}, [b, a]),
        (9.0, "**", {a, b}, [a, b]),
        (8.0, "**", {a, b}, [b, a]),
        (2.0, "min", {a, b}, [a, b]),
        (math.atan2(2.0, 3.0), "atan2", {a, b}, [b, a]),
    ]:
        found = read(Node(data, prev, op))
        assert not isinstance(found.op, Opaque), op
        operands = [x.data for x in found.parents]
        assert operands == [x.data for x in expected] or (op == "min" and sorted(operands) == [2.0, 3.0])


@pytest.mark.parametrize(
    ("op", "prev", "data", "number", "slot"),
    [
        ("**3", 2.0, 8.0, 3.0, 1),
        ("**-1", 2.0, 0.5, -1.0, 1),
        ("**0.5", 4.0, 2.0, 0.5, 1),
        (f"**{1 / 3}", 8.0, 2.0, 1 / 3, 1),
        ("** 2", 2.0, 4.0, 2.0, 1),
        ("**3.0", 3.0, 27.0, 3.0, 1),
        ("^2", 3.0, 9.0, 2.0, 1),
        ("*-1", 3.0, -3.0, -1.0, 1),
        ("+1e-3", 3.0, 3.001, 1e-3, 1),
        ("-2", 3.0, 1.0, 2.0, 1),
        ("leaky_relu(0.2)", -1.0, -0.2, 0.2, 1),
    ],
)
def test_an_operation_s_text_may_have_a_number(op, prev, data, number, slot):
    for kind in (tuple, set, list, frozenset):
        found = read(Node(data, kind([Node(prev)]), op))
        assert found.parents[slot].data == number
        assert not found.parents[slot].requires_grad
        assert found.parents[1 - slot].data == prev


@pytest.mark.parametrize(
    "op", ["ReLU", "relu", "RELU", " relu ", "Tanh", "σ", "sigmoid", "ln", "log", "neg", "-", "exp"]
)
def test_spellings(op):
    values = {"tanh": math.tanh(0.5), "ln": math.log(0.5), "log": math.log(0.5), "neg": -0.5, "-": -0.5}
    values |= {"exp": math.exp(0.5), "sigmoid": 1 / (1 + math.exp(-0.5)), "relu": 0.5}
    found = read(Node(values.get(op.strip().lower(), 0.7), {Node(0.5)}, op))
    assert isinstance(found.op, Opaque) == (op == "σ")


# Nothing is made up where something is not known.


@pytest.mark.parametrize(
    ("op", "prev", "data", "reason"),
    [
        ("mystery", (2.0, 3.0), 5.0, "unknown operation"),
        ("", (2.0, 3.0), 5.0, "unknown operation"),
        ("*", (2.0, 3.0), 7.0, "but 2 * 3 = 6"),
        ("**3", (2.0,), 9.0, "but 2 ** 3 = 8"),
        ("tanh", (2.0, 3.0), 5.0, "unknown operation"),
        ("**", (2.0,), 32.0, "an operand is missing"),
        ("log10", (100.0,), 2.0, "unknown operation"),
    ],
)
def test_an_operation_that_does_not_explain_the_data_is_drawn_without_a_local_derivative(op, prev, data, reason):
    root = Node(data, tuple(map(Node, prev)), op, label="y")
    root.grad = 1.0
    found = read(root)
    assert isinstance(found.op, Opaque)
    assert found.data == data
    assert all(map(math.isnan, found.partials))
    text = written(draw_dot(root, lang="en"))
    assert text.count("× ?") == len(prev) + 1  # one is in the legend
    assert reason in text
    assert not re.search(r"\bnan\b", text)
    with pytest.raises(AssertionError, match=re.escape(reason)):
        compare_gradients(root)
    assert "未知" in draw_dot(Node(2.0, {Node(1.0)}, "mystery"), lang="zh").source


def test_operands_in_a_set_are_drawn_in_one_order():
    for _ in range(20):
        operands = [Node(x, label=label) for x, label in ((1.0, ""), (3.0, "b"), (5.0, "a"), (4.0, ""))]
        assert [x.data for x in read(Node(13.0, set(operands), "sum")).parents] == [5.0, 3.0, 1.0, 4.0]


def test_an_order_that_cannot_be_told_is_said():
    a, b = Node(3.0, label="a"), Node(3.0, label="b")
    for op, data in (("-", 0.0), ("/", 1.0)):
        assert "order of operands unknown" in written(draw_dot(Node(data, {a, b}, op), lang="en"))
        assert not isinstance(read(Node(data, (a, b), op)).op, Opaque)
    assert not isinstance(read(Node(6.0, {a, b}, "+")).op, Opaque)  # either order has the same derivatives


def test_wrapped_numbers_may_be_operands_as_they_are():
    a = Node(3.0, label="a")
    found = read(Node(6.0, (a, 2), "*"))
    assert found.partials[0] == 2.0
    assert not found.parents[1].requires_grad


@pytest.mark.parametrize("number", [int, np.float64, np.float32, np.int64, np.array, float])
def test_numbers_of_any_type(number):
    a, b = Node(number(3)), Node(number(2))
    root = Node(a.data * b.data, {a, b}, "*")
    root.grad, a.grad, b.grad = number(1), number(2), number(3)
    assert read(root).data == 6.0
    compare_gradients(root)
    b.grad = number(4)
    with pytest.raises(AssertionError):
        compare_gradients(root)


def test_a_class_in_single_precision_is_right_but_for_its_own_rounding():
    rng = np.random.default_rng(0)
    for _ in range(30):
        nodes = [Named(x) for x in rng.normal(size=3).astype(np.float32)]
        for _ in range(10):
            i, j = rng.integers(len(nodes), size=2)
            nodes.append((nodes[i] * nodes[j] + nodes[i]) * nodes[0])
            nodes[-1].data = np.float32(nodes[-1].data)
        root = nodes[-1]
        root.backward()
        assert type(root.data) is np.float32
        compare_gradients(root)


def test_a_gradient_that_is_none_is_none_yet():
    a = Node(3.0)
    a.grad = None
    assert read(Node(6.0, {a}, "+")).parents[0].grad == 0.0


# Classes


def test_micrograd_s_network():
    x = [Micrograd(1.0), Micrograd(-2.0)]
    y = MLP(2, [3, 1])(x)
    y.backward()
    compare_gradients(y)
    looks = [look for _, look in boxes(draw_dot(y, parameters=x)).values()]
    assert sum(PARAMETER in look for look in looks) == 2


def test_a_class_that_keeps_local_derivatives_in_the_place_of_names():
    a, b = MicroGPT(2.0), MicroGPT(-3.0)
    product = a * b
    y = (product + 10.0).tanh() * a
    y.backward()
    compare_gradients(y)
    assert read(product).op.name == "mul"  # the only row with this value and these derivatives
    relu = read(MicroGPT(3.0).relu())
    assert (relu.op.notation.symbol, relu.partials) == ("", (1.0,))  # abs, leaky_relu and others have them too
    assert "?" not in draw_dot(y, lang="en", legend=False).source
    wrong = Kept(6.0, (a, b), (1.0, 1.0))
    wrong.grad, a.grad, b.grad = 1.0, 1.0, 1.0
    with pytest.raises(AssertionError, match="unknown operation"):
        compare_gradients(wrong)


class Tutorial:
    def __init__(self, data, parents=(), partials=()):
        self.data, self.parents, self.partials, self.grad = data, parents, partials, 0.0


def test_the_tutorial_s_class():
    a = Tutorial(3.0)
    y = Tutorial(9.0, (a, a), (3.0, 3.0))
    y.grad = 1.0
    a.grad = 6.0
    compare_gradients(y)
    a.grad = 3.0
    with pytest.raises(AssertionError, match="only 1 of 2 contributions"):
        compare_gradients(y)


# What is refused


@pytest.mark.parametrize("what", [1.0, "x", None, [1], Node, Micrograd, np.float64(1)])
def test_what_is_no_node_is_refused(what):
    assert not is_handwritten(what)
    for function in (draw_dot, draw_flow, compare_gradients, Tape().snapshot):
        with pytest.raises(TypeError, match=r"takes a .*, got \w+"):
            function(what)


def test_a_class_with_other_names_is_told_what_is_needed():
    class Other:
        def __init__(self):
            self.data, self.grad, self.inputs = 1.0, 0.0, ()

    for function in (draw_dot, draw_flow, compare_gradients):
        with pytest.raises(TypeError, match=r"got Other.*`_prev`.*`_op`"):
            function(Other())
    with pytest.raises(TypeError, match="需要有"):
        draw_dot(Other(), lang="zh")


def test_operands_that_are_no_nodes_are_refused():
    for prev in ({"a"}, (None,), (Value(1),), {"a": 1}, 3):
        with pytest.raises(TypeError, match=r"Node\._prev"):
            draw_dot(Node(1.0, prev, "+"))
    for data in ("3", None, 1j, [1.0], np.ones(2)):
        with pytest.raises(TypeError, match=r"Node\.data: expected"):
            draw_dot(Node(6.0, (Node(data),), "+"))


def test_a_circle_is_refused():
    a, b = Node(1.0, label="a"), Node(2.0)
    b._prev, b._op = (a,), "exp"
    a._prev, a._op = [b], "exp"
    for function in (draw_dot, draw_flow, compare_gradients):
        with pytest.raises(ValueError, match="circle: the Node a is below itself"):
            function(Node(3.0, {a}, "exp"))
    a._prev = {a}
    with pytest.raises(ValueError, match="circle"):
        draw_dot(a)


def test_equality_of_their_own_is_not_asked():
    class Picky(Node):
        __hash__ = None

        def __eq__(self, other):
            raise AssertionError("asked")

    a = Picky(3.0, ())
    y = Picky(6.0, (a, a), "+")
    y.grad, a.grad = 1.0, 2.0
    compare_gradients(y)
    assert draw_dot(y, parameters=[a]).source.count("->") == 2


@pytest.fixture
def uncollected():
    gc.disable()  # the collector would pass through all these objects again and again
    yield
    gc.enable()


@pytest.mark.usefixtures("uncollected")
def test_a_deep_graph():
    node = x = Node(1.0)
    x.grad = 1.0
    for _ in range(4_000):
        node = Node(node.data, (node, 0.0), "+")
        node.grad = 1.0
    compare_gradients(node)
    x.grad = 2.0
    with pytest.raises(AssertionError, match="2 times the right one"):
        compare_gradients(node)
    while node._prev:  # Python frees a chain of plain objects by recursion
        node = node._prev[0]


def test_no_grad_is_about_values_of_ours():
    with no_grad():
        assert read(Node(6.0, {Node(3.0)}, "+")).partials == (1.0, 1.0)


# The picture and the page


def wrong():
    a = Lecture(3.0, label="a")
    y = a + a
    y.label = "y"
    y.grad, a.grad = 1.0, 1.0
    return y, a


def test_a_gradient_that_is_not_the_sum_of_its_contributions_is_marked():
    y, a = wrong()
    picture = draw_dot(y, lang="en")
    assert [(lines[-2:], DOUBT in look) for lines, look in boxes(picture).values()] == [
        (["grad 1", "≠ 1 + 1"], True),
        (["data 6", "grad 1"], False),
    ]
    assert "yellow" in written(picture)
    a.grad = 2.0
    picture = draw_dot(y, lang="en")
    assert [(lines[-1], DOUBT in look) for lines, look in boxes(picture).values()] == [
        ("= 1 + 1", False),
        ("grad 1", False),
    ]
    assert "yellow" not in written(picture)
    y.grad, a.grad = 5.0, 1.0  # y is not the root of backward(), so a may have other users
    assert "≠" not in draw_dot(y, lang="en").source


def test_the_page_has_their_gradients():
    y, _ = wrong()
    data = json.loads(re.search(r'id="data"[^>]*>(.*?)</script>', draw_flow(y).html, re.DOTALL)[1])
    assert data["graphs"][0]["handwritten"]
    [tape], [graph] = data["tapes"], data["graphs"]
    numbers = [tape["fixed"][k] for k in tape["columns"]]
    assert numbers[-len(graph["nodes"]) :] == [1.0, 1.0]  # behind data and partials, which every page has
    ours = json.loads(re.search(r'id="data"[^>]*>(.*?)</script>', draw_flow(Value(2) * 3).html, re.DOTALL)[1])
    [tape], [graph] = ours["tapes"], ours["graphs"]
    assert len(tape["columns"]) == len(graph["nodes"]) + 2  # the other two are the product's partials


def test_a_node_may_depend_on_a_step():
    """A step has a derivative of 0, and its node may be an operand like any other node."""
    y = Node(1.0, (Node(3.0),), "step")
    found = read(Node(2.0, (y, y), "+"))
    assert (found.data, found.op.name, found.parents[0].op.name) == (2.0, "add", "step")
