"""Random graphs agree with a naive engine, with numerical derivatives, and with the rules of calculus.

With `--hypothesis-profile=nightly`, these tests draw a million examples in all.
"""

import contextlib
import math
import warnings
from functools import partial
from itertools import combinations

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, initialize, invariant, multiple, rule

import micrograd_cn as mc
from micrograd_cn import OPS, Value, gradients, no_grad
from micrograd_cn.engine import record, topological_order
from micrograd_cn.testing import Expression, PartlyCompared, TooNoisy, expressions, gradcheck, networks

from . import naive

# Operations that are piecewise linear or constant, so their second derivatives are 0 and test nothing.
TIES = {
    "maximum",
    "minimum",
    "less",
    "less_equal",
    "equal",
    "step",
    "where",
}
SMOOTH = [op for op in OPS.values() if op.name not in TIES]
PATHS = 400  # more paths would make the naive engine too slow
# Expressions of moderate inputs, whose rounding errors are small enough to compare numbers relative to their size
moderate = partial(expressions, min_value=-10, max_value=10)


def examples(share):
    """Return settings with a share of the profile's examples, for slow tests."""
    return settings(max_examples=max(1, int(settings.default.max_examples * share)))


def close(got, expected, scale=1.0):
    """Return whether two numbers differ by rounding only, where the graph has numbers of the size `scale`."""
    return math.isclose(got, float(expected), rel_tol=1e-9, abs_tol=1e-9 * max(1.0, scale))


def size(root):
    """Return the square of the largest number in the graph, to which rounding errors of products are proportional."""
    nodes = topological_order(root)
    largest = max((abs(z) for node in nodes for z in (node.data, node.grad, *node.partials)), default=1.0)
    return largest * largest


def recorded(f):
    """Record an expression at its point, and return the root and the inputs."""
    inputs = [Value(x) for x in f.point]
    return f(*inputs), inputs


# Comparisons with the naive engine


@given(moderate(max_steps=6))
@examples(0.5)
def test_gradients_are_the_sum_over_paths(f):
    expected, leaves = naive.of_expression(f)
    assume(expected.paths <= PATHS)
    y, inputs = recorded(f)
    assert close(y.data, expected.data, abs(y.data))
    y.backward()
    for x, leaf in zip(inputs, leaves, strict=True):
        assert close(x.grad, naive.derivative(expected, leaf), size(y))


UNARY = [mc.sin, mc.cos, mc.tanh, mc.sigmoid, mc.softplus, mc.relu, mc.abs, mc.neg, mc.atan, mc.gelu]
BINARY = [mc.add, mc.sub, mc.mul, mc.maximum, mc.minimum]
NARY = [mc.sum, mc.dot, mc.logsumexp]


class GraphMachine(RuleBasedStateMachine):
    """Build the same graph in the package's engine and in the naive one, by random steps that a user may take.

    After each step, all gradients must agree.
    """

    nodes = Bundle("nodes")
    pairs: list

    @initialize()
    def start(self):
        self.pairs = []

    def keep(self, value, reference):
        """Let later steps use a node and its reference, unless these cannot be compared any more."""
        underflows = 0 < abs(reference.data) < 1e-100  # the float may be 0, which is on another side of a kink
        if not abs(value.data) <= 100 or reference.paths > PATHS or underflows:
            return multiple()
        assert close(value.data, reference.data)
        self.pairs.append((value, reference))
        return value, reference

    @rule(target=nodes, x=st.integers(-2, 2) | st.floats(-2, 2), label=st.sampled_from(["", "x", "权重"]))
    def leaf(self, x, label):
        return self.keep(Value(x, label), naive.Naive(x))

    @rule(target=nodes, op=st.sampled_from(UNARY), a=nodes)
    def unary(self, op, a):
        return self.keep(op(a[0]), naive.apply(op.name, a[1]) if not a[1].constant else naive.constant(op(a[0].data)))

    def apply(self, op, operands):
        """Record an operation in both engines. In both, an operation of constants is a constant."""
        value = record(op, [value for value, _ in operands])
        reference = naive.apply(op.name, *[reference for _, reference in operands])
        if all(reference.constant for _, reference in operands):
            reference = naive.constant(reference.data)
        return self.keep(value, reference)

    @rule(target=nodes, op=st.sampled_from(BINARY), a=nodes, b=nodes)
    def binary(self, op, a, b):
        if op.smoothness.kink and a[0].data == b[0].data:
            return multiple()
        return self.apply(op, [a, b])

    @rule(target=nodes, op=st.sampled_from(BINARY), a=nodes, x=st.floats(-2, 2), left=st.booleans())
    def with_a_number(self, op, a, x, left):
        if op.smoothness.kink and a[0].data == x:
            return multiple()
        value = op(x, a[0]) if left else op(a[0], x)
        operands = [naive.constant(x), a[1]] if left else [a[1], naive.constant(x)]
        reference = naive.apply(op.name, *operands)
        return self.keep(value, naive.constant(reference.data) if a[1].constant else reference)

    @rule(target=nodes, op=st.sampled_from(NARY), operands=st.lists(nodes, min_size=1, max_size=5))
    def nary(self, op, operands):
        return self.apply(op, operands)

    @rule(target=nodes, a=nodes)
    def detach(self, a):
        return self.keep(a[0].detach(), naive.constant(a[0].data))

    @rule(target=nodes, op=st.sampled_from(BINARY), a=nodes, b=nodes)
    def without_recording(self, op, a, b):
        with no_grad():
            value = op(a[0], b[0])
        return self.keep(value, naive.constant(value.data))

    @rule(a=nodes, label=st.text(max_size=3))
    def rename(self, a, label):
        a[0].label = label

    @rule(a=nodes, x=st.floats(-2, 2))
    def update_data(self, a, x):
        if a[0].op is None:  # earlier nodes keep the partial derivatives that they have computed
            a[0].data = x
            a[1].data = naive.mpf(x)

    @rule(a=nodes)
    def backward(self, a):
        if a[1].constant:
            with pytest.raises(RuntimeError):
                a[0].backward()
        else:
            a[0].backward()
            naive.backward(a[1])

    @rule(a=nodes, b=nodes)
    def gradient(self, a, b):
        if not b[1].constant:
            [g] = gradients(a[0], [b[0]])
            assert close(g, naive.derivative(a[1], b[1]), float(abs(g)))

    @rule(a=nodes)
    def zero_grad(self, a):
        a[0].zero_grad()
        for reference in naive.below(a[1]):
            reference.grad = naive.mpf(0)

    @invariant()
    def every_gradient_is_the_naive_one(self):
        for value, reference in getattr(self, "pairs", []):
            assert close(value.grad, reference.grad, float(abs(reference.grad))), (value, reference.grad)


TestGraphMachine = GraphMachine.TestCase
TestGraphMachine.settings = settings(examples(0.2), stateful_step_count=25)


# Comparisons with numerical derivatives


def assert_not_accused(f, *point, order=1):
    """Assert that `gradcheck` does not call right derivatives wrong. It may say that it cannot tell.

    Rounding hides a derivative in a few of ten thousand expressions.
    """
    with warnings.catch_warnings(), contextlib.suppress(TooNoisy):
        warnings.simplefilter("ignore", PartlyCompared)
        gradcheck(f, *point, order=order)


@given(expressions())
@examples(0.5)
def test_no_expression_is_accused(f):
    assert_not_accused(f, *f.point)


@given(expressions(SMOOTH, max_inputs=2, max_steps=4))
@examples(0.2)
def test_no_smooth_expression_is_accused_at_second_order(f):
    assert_not_accused(f, *f.point, order=2)


@given(networks())
@examples(0.1)
def test_no_network_is_accused_in_its_inputs(network):
    model, x = network
    assert_not_accused(lambda x: mc.sum([model(x)] if isinstance(model(x), Value) else model(x)), x)


@pytest.mark.parametrize(
    ("drawn", "count", "order"),
    [
        (expressions(), 40, 1),
        pytest.param(expressions(), 400, 1, marks=pytest.mark.slow),
        (expressions(SMOOTH, max_inputs=2, max_steps=4), 15, 2),
        pytest.param(expressions(SMOOTH, max_inputs=2, max_steps=4), 100, 2, marks=pytest.mark.slow),
    ],
)
def test_hardly_an_expression_has_a_derivative_that_is_not_compared(drawn, count, order):
    """`gradcheck` can tell for all but at most one of the expressions, so the tests above are not empty."""
    hidden = []

    @settings(max_examples=count, database=None, derandomize=True)
    @given(drawn)
    def compare(f):
        try:
            gradcheck(f, *f.point, order=order)
        except (PartlyCompared, TooNoisy):
            hidden.append(f)

    compare()
    assert len(hidden) <= 1


# Three ways to the same gradient


@given(moderate())
def test_backward_gradients_and_symbolic_gradients_agree(f):
    y, inputs = recorded(f)
    first = gradients(y, inputs)
    symbolic = gradients(y, inputs, create_graph=True)
    assert all(x.grad == 0 for x in inputs)
    y.backward()
    for x, g, s in zip(inputs, first, symbolic, strict=True):
        assert close(x.grad, g, size(y))
        assert close(s.data, g, size(y))


@given(expressions(max_steps=5))
def test_numbers_and_values_give_the_same_bits(f):
    assert recorded(f)[0].data == f(*f.point)


@given(expressions(max_steps=5))
def test_printed_code_computes_the_same_bits(f):
    names = {}
    exec(repr(f).rpartition("\n")[0], names)
    assert names["f"](*f.point) == f(*f.point)
    assert eval(repr(f).rpartition("\n")[2], names) == f(*f.point)


# The rules of calculus


@given(moderate(max_inputs=2, max_steps=5), st.data(), st.floats(-2, 2), st.floats(-2, 2))
@examples(0.5)
def test_the_gradient_is_linear(f, data, alpha, beta):
    g = at_the_same_point(data, f)
    inputs = [Value(x) for x in f.point]
    y, z = f(*inputs), g(*inputs)
    together = gradients(alpha * y + beta * z, inputs)
    for got, dy, dz in zip(together, gradients(y, inputs), gradients(z, inputs), strict=True):
        assert close(got, alpha * dy + beta * dz, size(y) + size(z))


@given(moderate(max_inputs=2, max_steps=5), st.data())
@examples(0.5)
def test_the_product_rule(f, data):
    g = at_the_same_point(data, f)
    inputs = [Value(x) for x in f.point]
    y, z = f(*inputs), g(*inputs)
    largest = size(y) + size(z)
    assume(largest < 1e150)  # otherwise products overflow
    for got, dy, dz in zip(gradients(y * z, inputs), gradients(y, inputs), gradients(z, inputs), strict=True):
        assert close(got, dy * z.data + y.data * dz, largest * largest)


@given(moderate(max_steps=5), st.sampled_from([op for op in SMOOTH if op.unary and op.signature is None]))
def test_the_chain_rule(f, op):
    y, inputs = recorded(f)
    low, high = op.smoothness.domain[0]
    assume(low < y.data < high and abs(y.data) < 100)
    z = op(y)
    assume(math.isfinite(z.data) and abs(z.data) < 1e6 and abs(z.partials[0]) < 1e6)
    for got, dy in zip(gradients(z, inputs), gradients(y, inputs), strict=True):
        assert close(got, op.local_derivatives(z.data, y.data)[0] * dy, size(z))


def at_the_same_point(data, f):
    """Draw a second expression, of operations that are smooth everywhere, and evaluate it at the point of `f`."""
    everywhere = [mc.add, mc.sub, mc.mul, mc.sin, mc.cos, mc.tanh, mc.sigmoid, mc.atan]
    g = data.draw(moderate(everywhere, max_inputs=1, max_steps=3))
    return lambda *inputs: g(inputs[-1])


@given(moderate(SMOOTH, max_inputs=3, max_steps=5))
@examples(0.5)
def test_mixed_second_derivatives_do_not_depend_on_the_order(f):
    y, inputs = recorded(f)
    firsts = gradients(y, inputs, create_graph=True)
    for (a, da), (b, db) in combinations(zip(inputs, firsts, strict=True), 2):
        ab, ba = gradients(da, [b])[0], gradients(db, [a])[0]
        assert close(ab, ba, size(y) * max(size(da), size(db)))


# What users do to graphs


@given(expressions())
def test_twice_backward_is_exactly_twice(f):
    y, inputs = recorded(f)
    y.backward()
    once = [x.grad for x in inputs]
    y.backward()
    assert [x.grad for x in inputs] == [2 * g for g in once]


@given(st.lists(moderate(max_inputs=1, max_steps=4), min_size=1, max_size=4), st.randoms())
@examples(0.5)
def test_the_gradient_of_a_sum_is_the_sum_of_gradients_in_any_order(fs, random):
    inputs = [Value(f.point[0]) for f in fs]
    shared = Value(0.5)
    losses = [f(x) * shared for f, x in zip(fs, inputs, strict=True)]
    total = mc.sum(losses)
    total.backward()
    at_once, together = [x.grad for x in inputs], shared.grad
    total.zero_grad()
    random.shuffle(losses)
    for loss in losses:
        loss.backward()
    assert [x.grad for x in inputs] == at_once
    assert close(shared.grad, together, sum(size(loss) for loss in losses))
    assert mc.sum(losses).data == total.data, "a sum that is rounded once does not depend on the order"


@given(expressions(max_steps=5), st.text(max_size=5))
def test_labels_change_no_number(f, label):
    y, inputs = recorded(f)
    z, others = recorded(f)
    for node in (z, *others, *topological_order(z)):
        node.label = label
    assert z.data == y.data
    assert gradients(z, others) == gradients(y, inputs)


@given(expressions(max_steps=5))
def test_independent_steps_may_come_in_any_order(f):
    """A graph whose nodes are recorded in another order, sorted by depth, has the same value and gradients."""
    depth = [0] * len(f.point)
    for _, operands in f.steps:
        depth.append(1 + max((depth[i] for i in operands if isinstance(i, int)), default=0))
    n = len(f.point)
    order = sorted(range(n, n + len(f.steps)), key=lambda i: (depth[i], -i))
    place = {i: i for i in range(n)} | {i: n + k for k, i in enumerate(order)}
    moved = [
        (f.steps[i - n][0], tuple(place[j] if isinstance(j, int) else j for j in f.steps[i - n][1])) for i in order
    ]
    g = Expression(f.point, tuple(moved))
    root, inputs = recorded(g)
    y, others = recorded(f)
    if f.steps:
        root = g.nodes(*inputs)[place[n + len(f.steps) - 1]]
    assert root.data == y.data
    for got, expected in zip(gradients(root, inputs), gradients(y, others), strict=True):
        assert close(got, expected, size(y))


@given(expressions(max_steps=5))
def test_every_node_comes_before_its_operands(f):
    order = topological_order(recorded(f)[0])
    place = {node: i for i, node in enumerate(order)}
    assert len(place) == len(order)
    assert all(parent.op is None or place[parent] > i for i, node in enumerate(order) for parent in node.parents)


@given(expressions(max_steps=5))
def test_no_gradient_flows_through_a_detached_value_nor_out_of_no_grad(f):
    y, inputs = recorded(f)
    z = y.detach() * inputs[0]
    assert gradients(z, inputs)[0] == y.data
    with no_grad():
        quiet = f(*inputs)
    assert (quiet.data, quiet.requires_grad) == (y.data, not f.steps)
