"""The quick engine makes the same nodes, orders, gradients and errors as the plain one, to the bit."""

import operator
from collections import namedtuple
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from functools import partial
from types import SimpleNamespace
from typing import Any, NamedTuple

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import micrograd_cn as mc
from micrograd_cn import OPS, Op, Value, detect_anomaly, no_grad, quick, scope
from micrograd_cn.engine import record, traverse
from micrograd_cn.graph.context import Hooks, hooked
from micrograd_cn.graph.operators import Operators, method


@contextmanager
def engine(twins: dict[str, Any]) -> Iterator[None]:
    """Let `Value` have the functions of the quick engine or of the plain one inside the block."""
    before = {name: vars(Value).get(name, quick.PLAIN[name]) for name in twins}
    quick.install(twins)
    try:
        yield
    finally:
        quick.install(before)


class Weight(Value):
    """A leaf of a user-defined class."""


class Traced(Value):
    """The class of nodes that `Keeper` makes."""

    __slots__ = ()


class Keeper(Hooks):
    """Hooks that remember what they were called with, and return a node instead of a detached value."""

    def __init__(self) -> None:
        self.told: list[Any] = []

    def compared(self, a, symbol, b, holds):
        self.told.append((repr(a._data), symbol, repr(getattr(b, "_data", b)), holds))  # nan differs from nan

    def detached(self, x):
        return x * 1.0 if x.requires_grad else None

    def suppressed(self, op, operands):
        self.told.append((op.name, len(operands)))

    def read(self, x, how):
        self.told.append((repr(x._data), how))

    def made_constant(self, operands):
        self.told.append(("constant of", len(operands)))

    def new_node(self, kind, a, b):
        assert kind is Value
        return object.__new__(Traced)


@contextmanager
def watched() -> Iterator[Keeper]:
    """Install a `Keeper` inside the block."""
    with hooked(keeper := Keeper()):
        yield keeper


def forgetful(y, *xs):
    """Return None, as a partial derivative does whose `return` was forgotten."""


OWN = [
    Op("whole", lambda x: int(x) if abs(x) < 9 else 0, (lambda y, x: 1,)),
    Op("of_numpy", lambda x: np.float64(x) * 0.5, (lambda y, x: 0.5,)),
    Op("forgetful", lambda x: x * x, (forgetful,)),
    Op("nothing", lambda x: None, (lambda y, x: 1.0,)),
    Op("half_forgetful", lambda a, b: a + b, (lambda y, a, b: 1.0, forgetful)),
    Op("half_still", lambda a, b: a, (lambda y, a, b: 1.0, None)),
    Op("short", lambda *xs: mc.sum(xs), lambda y, *xs: (1.0,) * (len(xs) - 1)),
    Op("long", lambda *xs: mc.sum(xs), lambda y, *xs: (1.0,) * (len(xs) + 1)),
    Op("listed", lambda *xs: mc.sum(xs), lambda y, *xs: [1.0] * len(xs)),
    Op("still", lambda *xs: mc.sum(xs), lambda y, *xs: (None, *xs[1:])),
    Op("raises", lambda x: x, (lambda y, x: 1.0 / x,)),
    Op("ternary", lambda a, b, c: a * b + c, (lambda y, a, b, c: b, lambda y, a, b, c: a, None)),
    Op("forgetful_ternary", lambda a, b, c: a + b - c, (forgetful, lambda y, a, b, c: 1.0, forgetful)),
]
ROWS = [*OPS.values(), *OWN]
SIGNS = [name for name, made in vars(Operators).items() if name.startswith("__") and callable(made)]
IN_PLACE = ["__iadd__", "__isub__", "__imul__", "__itruediv__", "__ipow__"]
MODES: dict[str, Callable[[], Any]] = {
    "none": nullcontext,
    "no_grad": no_grad,
    "detect_anomaly": detect_anomaly,
    "scope": partial(scope, "part"),
    "watched": watched,
}


class Step(NamedTuple):
    """A step of a random program.

    `which` and `operands` choose an operation and earlier nodes by numbers, which are taken modulo how many there are,
    so any numbers make a program.
    """

    how: str
    which: int
    operands: list[int]
    mode: str


steps = st.builds(
    Step,
    st.sampled_from(["call", "record", "sign", "in_place", "method", "detach", "freeze", "compare"]),
    st.integers(0, 99),
    st.lists(st.integers(0, 99), min_size=1, max_size=5),
    st.sampled_from([*MODES, *["none"] * 6]),
)
numbers = st.sampled_from([0.0, -0.0, 1.0, -1.5, 0.3, 2.0, 700.0, 1e-300, 1e308, float("inf"), float("nan")])


def run(step: Step, nodes: list[Any]) -> Any:
    """Take a step with some nodes, and return its result."""
    others = [*nodes, 2.0, 3, np.float32(0.5), True, "text", None]
    xs = [nodes[step.operands[0] % len(nodes)], *[others[k % len(others)] for k in step.operands[1:]]]
    row = ROWS[step.which % len(ROWS)]
    if row.arity:
        xs = (xs * 3)[: row.arity]
    match step.how:
        case "call" if row.signature and row.arity is None:
            return row(xs, xs) if row is mc.dot else row(xs, 1) if row is mc.take else row(xs)
        case "call":
            return row(*xs)
        case "record":
            return record(row, xs)
        case "sign":
            name = SIGNS[step.which % len(SIGNS)]
            return getattr(xs[0], name)(*[] if name in ("__neg__", "__abs__", "__pos__") else (xs * 2)[1:2])
        case "in_place":
            return getattr(operator, IN_PLACE[step.which % len(IN_PLACE)])(xs[0], (xs * 2)[1])
        case "method":
            return method(row)(*xs)
        case "detach":
            return xs[0].detach()
        case "freeze":
            xs[0].requires_grad = False
        case "compare":
            return Value(float(xs[0] < (xs * 2)[1]))
    return None


def seen(x: Any, index: dict[Any, int]) -> str:
    """Return a text for a node or a number that is the same in both engines."""
    return f"#{index[x]}" if isinstance(x, Value) and x in index else repr(x)


def told(program: list[Step], data: list[float], upstream: float, root: int, mode: str) -> list[Any]:
    """Run a random program, and return all that can be seen of it, such as nodes, errors and gradients."""
    kinds = [Value, Weight]
    nodes: list[Any] = [kinds[k % 2](x, f"x{k}") for k, x in enumerate(data)]
    found: list[Any] = []
    for step in program:
        try:
            with MODES[step.mode]() as given:
                made = run(step, nodes)
            found.append(getattr(given, "told", None))
        except (TypeError, ValueError, ZeroDivisionError, FloatingPointError, OverflowError) as error:
            found.append((type(error), str(error)))
            continue
        if isinstance(made, Value) and made not in nodes:
            nodes.append(made)
        else:
            found.append(repr(made))
    index = {x: k for k, x in enumerate(nodes)}
    for node in nodes:
        facts = [type(node), node.op, repr(node.data), type(node.data), node.label, str(node.group), node.requires_grad]
        found.append([*facts, [seen(x, index) for x in node.operands], repr(node._partials)])
    last = nodes[-1 - root % len(nodes)]
    order, leaves = traverse(last, nodes[0])
    found.append(([seen(x, index) for x in order], sorted(seen(x, index) for x in leaves if x in index)))
    for _ in range(2):
        try:
            with MODES[mode]():
                last.backward(upstream)
        except (RuntimeError, FloatingPointError, TypeError) as error:
            found.append((type(error), str(error)))
        found.append([repr(node.grad) for node in nodes])
    last.zero_grad()
    return [*found, [repr(node.grad) for node in nodes]]


@given(
    st.lists(steps, max_size=12),
    st.lists(numbers, min_size=1, max_size=4),
    numbers,
    st.integers(0, 3),
    st.sampled_from([*MODES, "none", "none"]),
)
def test_plain_and_quick_make_the_same_graphs_gradients_and_errors(program, data, upstream, root, mode):
    with engine(quick.PLAIN):
        plain = told(program, data, upstream, root, mode)
    with engine(quick.QUICK):
        assert told(program, data, upstream, root, mode) == plain


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
@pytest.mark.parametrize("mode", ["none", "watched"])
@pytest.mark.parametrize("constant", [False, True])
def test_every_row_is_recorded_the_same_in_every_way(row, mode, constant):
    """Each operation makes the same node in both engines, whether it is called, recorded or used as a method."""
    which = ROWS.index(row)
    frozen = [Step("freeze", 0, [k], "none") for k in range(2 * constant)]
    for how in ("call", "record", "method"):
        for operands in ([0], [0, 1], [0, 0], [0, 2], [2, 0], [1, 0, 2], [0, 1, 0, 3]):  # 2 and 3 are numbers
            program = [*frozen, Step(how, which, operands, mode)]
            with engine(quick.PLAIN):
                plain = told(program, [0.3, -1.5], 1.0, 0, "none")
            with engine(quick.QUICK):
                assert told(program, [0.3, -1.5], 1.0, 0, "none") == plain


BOTH = pytest.mark.parametrize("twins", [quick.PLAIN, quick.QUICK], ids=["plain", "quick"])
a, b = 0.3, -1.5
SLOPES = [  # an operator, and the derivative with respect to each operand
    (lambda x, y: x + y, (1.0, 1.0)),
    (lambda x, y: x + b, (1.0, 0.0)),
    (lambda x, y: a + y, (0.0, 1.0)),
    (lambda x, y: x - y, (1.0, -1.0)),
    (lambda x, y: x - b, (1.0, 0.0)),
    (lambda x, y: a - y, (0.0, -1.0)),
    (lambda x, y: x * y, (b, a)),
    (lambda x, y: x * b, (b, 0.0)),
    (lambda x, y: a * y, (0.0, a)),
    (lambda x, y: x / y, (1 / b, -(a / b) / b)),
    (lambda x, y: x / b, (1 / b, 0.0)),
    (lambda x, y: a / y, (0.0, -(a / b) / b)),
    (lambda x, y: x**2, (2 * a, 0.0)),
    (lambda x, y: -x, (-1.0,)),
    (lambda x, y: abs(y), (-1.0,)),
]


@BOTH
@pytest.mark.parametrize("grad", [None, 0.0, 5.0])
def test_a_leaf_that_was_frozen_after_recording_keeps_its_gradient(twins, grad):
    x, w = Value(2.0), Value(3.0)
    with engine(twins):
        y = x * w + w
        w.grad, w.requires_grad = grad, False
        y.backward()
    assert (x.grad, w.grad) == (3.0, grad)


@BOTH
@pytest.mark.parametrize(("f", "slopes"), SLOPES)
def test_an_operator_has_its_operands_and_derivatives_in_both(f, slopes, twins):
    with engine(twins):
        x, y = Value(a), Value(b)
        z = f(x, y)
        assert z.data == f(a, b)
        assert z.partials == slopes
        assert [v.data if isinstance(v, Value) else v for v in z.operands] in ([a, b], [a, 2.0], [a], [b])
        z.backward()
        sent = list(zip(slopes, z.operands, strict=True))
        assert (x.grad, y.grad) == tuple(sum(p for p, v in sent if v is w) for w in (x, y))
        with no_grad():
            assert (f(x, y).op, f(x, y).data) == (None, z.data)
        assert (f(x.detach(), y.detach()).op, f(x.detach(), y.detach()).requires_grad) == (None, False)


@BOTH
def test_who_watches_is_told_in_both(twins):
    """Hooks are called in both engines, the innermost ones alone, and not after the block."""
    with engine(twins):
        x = Value(2.0)
        with hooked(Keeper()), hooked(keeper := Keeper()):
            y = x * 3.0 + 1.0
            assert {type(node) for node in traverse(y)[0]} == {Traced}
            assert (y.data, y.item(), y > x) == (7.0, 7.0, True)
            detached = y.detach()
            with no_grad():
                stopped = x.exp()
        assert keeper.told == [("7.0", ".data"), ("7.0", ".item()"), ("7.0", ">", "2.0", True), ("exp", 1)]
        told = len(keeper.told)
        assert (y.data, detached.op, stopped.op, x.detach().op) == (7.0, mc.mul, None, None)
        assert len(keeper.told) == told


def chain(x):
    """Return the root of a deep graph."""
    y = x
    for k in range(4_000):
        y = y * 1.0001 + x if k % 2 else (y - 0.5).tanh()
    return y


def wide(x):
    """Return the root of a graph whose nodes have thousands of operands."""
    ys = [x * (k / 1000) for k in range(2_000)]
    return mc.sum(ys) + mc.dot(ys, ys[::-1], x) + mc.logsumexp(ys)


def diamonds(x):
    """Return the root of a graph with 2**60 paths."""
    y = x
    for _ in range(60):
        y = y + y
    return y * x


def blocked(x):
    """Return the root of a graph that has operands to which no gradient flows."""
    y = x.sqrt()
    return mc.where(mc.less(y, 1.0), x, y * y) + mc.take([x, y], mc.step(x)) + mc.sum([y.step(), x])


@pytest.mark.parametrize("f", [chain, wide, diamonds, blocked])
@pytest.mark.parametrize("x", [0.5, 0.0, -1.0])
def test_deep_wide_shared_and_blocked_graphs_are_the_same(f, x):
    results = []
    for twins in (quick.PLAIN, quick.QUICK):
        with engine(twins):
            leaf = Value(x, "x")
            y = f(leaf)
            y.backward()
            order, leaves = traverse(y)
            index = {node: k for k, node in enumerate(order)}
            facts = [(n.op, repr(n.data), repr(n.grad), repr(n.partials)) for n in order]
            below_each = [[index.get(z, repr(z)) for z in n.operands] for n in order]
            results.append((facts, below_each, len(leaves), repr(leaf.grad)))
    assert results[0] == results[1]


def test_a_twin_is_another_function_than_the_plain_one():
    """Each function of the quick engine replaces one of the plain engine, so comparing the two compares something."""
    assert quick.QUICK.keys() == quick.PLAIN.keys() >= {"_record", "_traverse", "backward", "__add__", "_binary"}
    for name, twin in quick.QUICK.items():
        assert twin is not quick.PLAIN[name]


def test_the_plain_engine_is_left_in_place_where_it_is_asked_for(tmp_path):
    import os
    import subprocess
    import sys

    code = "import micrograd_cn as m; print(m.Value.backward.__module__, (m.Value(2) * 3).tanh().op.name)"
    for plain, expected in (("", "micrograd_cn.quick tanh\n"), ("1", "micrograd_cn.engine tanh\n")):
        environment = os.environ | {"MICROGRAD_CN_PLAIN": plain}
        run = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
        assert run.stdout == expected


def test_plain_operators_take_the_short_way(monkeypatch):
    """The quick engine records operators without the general functions, or it would not be quick."""

    def long_way(*args):
        raise AssertionError("recorded as an operation of any number of operands")

    with engine(quick.QUICK):
        monkeypatch.setattr(quick, "_plain_record", long_way)
        x, y = Value(0.5), Value(2.0)
        nodes = [x - y, x / y, x**y, x - 2.0, x / 2.0, x**2.0, 2.0 - x, 2.0 / x, 2.0**x, -x, x.tanh()]
        with scope("part"):
            nodes += [x - y, -x, 2.0 - x]
        monkeypatch.setattr(Value, "_binary", long_way)
        monkeypatch.setattr(Value, "_reflected", long_way)
        monkeypatch.setattr(Value, "_unary", long_way)
        nodes += [x + y, x * y, x + 2.0, x * 2.0, 2.0 + x, 2.0 * x, -x]
        assert all(node.requires_grad for node in nodes)
        assert Value.tanh.__code__ is not Value.elu.__code__


@BOTH
@pytest.mark.parametrize("op", [mc.tanh, mc.mul])
def test_a_node_of_one_or_two_operands_has_no_tuples(op, twins):
    """A node with one or two operands stores them in slots, since tuples would take memory and time."""
    operands = [Value(0.5), Value(2.0)][: op.arity]
    with engine(twins):
        node = record(op, operands)
    assert not any(isinstance(getattr(node, slot), tuple) for slot in ("_a", "_b", "_da", "_db"))


@BOTH
@pytest.mark.parametrize("name", IN_PLACE)
def test_an_assignment_operator_changes_a_leaf_inside_no_grad_and_makes_a_node_elsewhere(name, twins):
    with engine(twins):
        update, sign = getattr(operator, name), getattr(operator, name.replace("__i", "__"))
        for other in (3.0, 3, np.float32(3)):
            for kind in (Value, Weight):
                leaf = kind(2.0, "w")
                made = update(leaf, other)
                expected = sign(leaf, other)
                assert made is not leaf
                assert (made.op, made.data, made.partials) == (expected.op, expected.data, expected.partials)
                assert leaf.data == 2.0
                leaf.grad = 0.5
                with no_grad():
                    assert update(leaf, other) is leaf
                assert (leaf.data, leaf.grad, leaf.op, leaf.label, leaf.requires_grad) == (
                    made.data,
                    0.5,
                    None,
                    "w",
                    True,
                )
                with no_grad():
                    assert update(made, other) is not made  # only leaves are changed in place
                    result = sign(leaf, other)  # a constant, but not a leaf that the user has made
                    assert not result.requires_grad
                    assert update(result, other) is not result
                    frozen = Value(2.0, requires_grad=False)
                    assert update(frozen, other) is frozen
                    assert (frozen.data, frozen.requires_grad) == (made.data, False)
                    result.data, result.requires_grad = 2.0, True  # the user makes it a leaf
                    assert update(result, other) is result
                    assert result.data == made.data
                assert made.data == expected.data
        with no_grad(), pytest.raises(TypeError, match=r"unsupported operand|no operation for"):
            update(Value(2.0), "text")
        with no_grad(), detect_anomaly(), pytest.raises(FloatingPointError):
            update(Value(2.0), float("nan"))


@BOTH
@pytest.mark.parametrize("name", IN_PLACE)
def test_an_assignment_operator_with_a_value_or_an_array_is_refused_for_a_leaf_inside_no_grad(name, twins):
    """`p -= 0.1 * g` means the leaf, and `act += w * x` a new value; so the user has to say which."""
    with engine(twins):
        update, sign = getattr(operator, name), getattr(operator, name.replace("__i", "__"))
        for leaf in (Value(2.0), Weight(2.0), Value(2.0, requires_grad=False), Value(2.0).detach()):
            for other in (Value(3.0), Weight(3.0), Value(3.0).detach(), leaf, np.array([3.0]), np.array([Value(3.0)])):
                with no_grad(), pytest.raises(TypeError, match=r"inside no_grad.* to change the leaf"):
                    update(leaf, other)
            assert leaf.data == 2.0
            with no_grad():
                result = sign(leaf, 3.0)
                assert update(result, leaf).data == sign(result, leaf).data
                assert update(Value(2.0, (leaf,), "by hand"), leaf).data == sign(Value(2.0), leaf).data
                assert leaf.data == 2.0


@BOTH
@pytest.mark.parametrize("name", IN_PLACE)
def test_an_assignment_operator_for_an_array_of_leaves_is_refused_inside_no_grad(name, twins):
    """numpy would put constants in the place of the leaves, and nothing would train them any more."""
    sign = getattr(mc, name[3:-2] if name != "__itruediv__" else "div").notation.symbol
    update = f"W {sign}= other"
    with engine(twins):
        for other in (3.0, np.array([3.0, 3.0]), np.array([Value(3.0), Value(3.0)])):
            leaves = [Value(2.0), Value(4.0)]
            weights = np.array(leaves)
            for source in (
                update,
                f"W[:1] {sign}= other[:1] if isinstance(other, np.ndarray) else other",
                f"X.{update}",
            ):
                names = {"W": weights, "X": SimpleNamespace(W=weights), "other": other, "np": np}
                with no_grad(), pytest.raises(TypeError, match=r"for w, g in zip\(W.flat, G.flat\)"):
                    exec(source, names)
                assert [*weights] == leaves
            with no_grad():
                weights = weights + other  # a new array
                before = weights
                exec(update, names := {"W": weights, "other": other})  # of results of operations
                assert names["W"] is before
            weights = np.array(leaves)
            exec(update, names := {"W": weights, "other": other})
            assert all(y.op for y in names["W"])  # outside no_grad() it is a graph


class Loud(Value):
    """A class whose operator returns something else than a node."""

    def __add__(self, other):
        return "mine"


@BOTH
def test_an_assignment_operator_calls_an_operator_of_ones_own(twins):
    """`x += 2` calls the `__add__` of a user-defined class, and inside `no_grad` it changes the leaf."""
    with engine(twins):
        x = y = Loud(1.0)
        x += 2.0
        assert x == "mine"
        with no_grad():
            y += 2.0
        assert y.data == 3.0


@BOTH
def test_help_says_when_an_assignment_operator_changes_a_leaf(twins):
    with engine(twins):
        for name in IN_PLACE:
            assert "no_grad()" in getattr(Value, name).__doc__


def test_the_programs_know_the_operators():
    """The random programs choose among all operators, reflected and unary ones included."""
    assert {"__add__", "__rpow__", "__neg__"} <= {*SIGNS}


def test_partials_may_be_a_tuple_of_a_subclass():
    partials = namedtuple("Partials", "a b c")
    op = Op("three", lambda a, b, c: a * b + c, partials(lambda y, a, b, c: b, lambda y, a, b, c: a, lambda *_: 1.0))
    a, b = Value(2.0), Value(3.0)
    op(a, b, 4.0).backward()
    assert (a.grad, b.grad) == (3.0, 2.0)
