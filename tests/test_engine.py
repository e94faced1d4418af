"""The engine records a graph, sorts it, and sends gradients back through it, however deep or wide the graph is."""

import gc
import math
import random
from fractions import Fraction

import numpy as np
import pytest

import micrograd_cn as mc
from micrograd_cn import Value, detect_anomaly, gradients, no_grad
from micrograd_cn.engine import constant, topological_order
from micrograd_cn.nn import MLP

from .values import grads, leaves

# Mistakes that scalar engines are known for


def test_a_shared_node_gets_all_its_gradient_before_it_sends():
    """A node that two others use sends its gradient on once, after both have added to it."""
    (a,) = leaves(1)
    b = a * 2
    (b + b * 3).backward()
    assert a.grad == 8


def test_a_diamond_of_sums_and_products():
    a, b = leaves(2, 3)
    c, d = a + b, a * b
    y = (c + d) + c * d
    y.backward()
    assert (y.data, *grads(a, b)) == (41, 25, 19)


def test_backward_twice_with_the_leaf_reset_between_gives_the_same():
    (x,) = leaves(3)
    y = x * x * x
    y.backward()
    assert x.grad == 27
    x.grad = 0.0
    y.backward()
    assert x.grad == 27


def test_backward_twice_without_a_reset_is_exactly_twice():
    a, b, d = leaves(0.1, 0.7, -1.3)
    e = ((a + b) * d).tanh() * a
    e.backward()
    once = grads(a, b, d)
    e.backward()
    assert grads(a, b, d) == [2 * g for g in once]


def test_backward_twice_is_exactly_twice_where_sums_round():
    """A second backward doubles a gradient exactly, although adding its terms one by one would round differently."""
    (x,) = leaves(2)
    y = x.sqrt() + x
    y.backward()
    once = x.grad
    y.backward()
    assert x.grad == 2 * once


def test_two_roots_over_one_graph_do_not_leak_into_each_other():
    """Interior gradients are those of the last root, and leaves add up the gradients of both."""
    (x,) = leaves(3)
    h = x * x
    y, z = h * 2, h + x
    y.backward()
    assert (h.grad, x.grad) == (2, 12)
    z.backward()
    assert (h.grad, x.grad) == (1, 12 + 7)


def test_changing_data_after_the_forward_pass_cannot_corrupt_the_gradient():
    """Backward uses the partial derivatives that were computed when the node was recorded."""
    a, b = leaves(2, 3)
    y = a * b
    b.data = 100
    y.backward()
    assert a.grad == 3


@pytest.mark.parametrize(
    ("f", "slope"),
    [(lambda a: a + a, 2), (lambda a: a * a, 6), (lambda a: a - a, 0), (lambda a: a / a, 0)],
)
def test_an_operand_used_twice_has_two_slots(f, slope):
    """A node with the same operand twice has a partial derivative for each use, and both contribute to the gradient."""
    a = Value(3)
    y = f(a)
    assert y.parents == (a, a)
    assert len(y.partials) == 2
    y.backward()
    assert a.grad == pytest.approx(slope, abs=1e-16)


def test_power_with_both_sides_values():
    a, b = leaves(2, 3)
    y = a**b
    y.backward()
    assert (y.data, a.grad, b.grad) == (8, 12, pytest.approx(5.545177444479562, rel=1e-15))
    (x,) = leaves(2)
    (x**x).backward()
    assert x.grad == pytest.approx(6.772588722239782, rel=1e-15)


def test_power_of_a_number_to_a_value():
    (x,) = leaves(3)
    y = 2**x
    y.backward()
    assert (y.data, x.grad) == (8, pytest.approx(8 * math.log(2), rel=1e-15))


def test_a_negative_base_squared_has_no_nan_anywhere():
    """The derivative with respect to the exponent, which needs log(-3), is not computed for a constant exponent."""
    x = Value(-3)
    y = x**2
    y.backward()
    assert x.grad == -6
    assert all(math.isfinite(number) for n in (x, y, *y.parents) for number in (n.data, n.grad, *n.partials))


# Depth, width and memory


def test_a_chain_of_20_000_additions():
    x = y = Value(0)
    for _ in range(20_000):
        y = y + 1
    y.backward()
    assert (y.data, x.grad) == (20_000, 1)
    y.zero_grad()
    assert x.grad == 0
    assert gradients(y, [x]) == [1]


def test_a_sum_of_20_000_terms():
    xs = [Value(i) for i in range(20_000)]
    y = mc.sum(xs)
    y.backward()
    assert y.data == sum(range(20_000))
    assert {x.grad for x in xs} == {1.0}


def test_doubling_60_times_takes_no_exponential_time():
    """A graph with 2**60 paths and 60 nodes takes time in proportion to its nodes."""
    x = y = Value(1)
    for _ in range(60):
        y = y + y
    y.backward()
    assert x.grad == 2**60
    assert len(topological_order(y)) == 60
    [again] = gradients(y, [x], create_graph=True)
    assert again.data == 2**60


@pytest.mark.slow
def test_a_chain_of_a_million_nodes_is_built_differentiated_and_freed():
    x = y = Value(1)
    for _ in range(1_000_000):
        y = y * x
    y.backward()
    assert x.grad == 1_000_001
    del y


def values_alive():
    """Return how many `Value`s exist."""
    return [type(thing) for thing in gc.get_objects()].count(Value)


def test_a_graph_is_freed_at_once_by_reference_counting():
    random.seed(0)
    model = MLP(2, [4, 1])
    gc.collect()
    gc.disable()
    try:
        before = values_alive()
        for _ in range(3):
            loss = (model([1.0, -2.0]) - 1) ** 2
            model.zero_grad()
            loss.backward()
            gradients(loss, model.parameters(), create_graph=True)
            for p in model.parameters():
                p.data -= 0.1 * p.grad
        assert values_alive() > before
        del loss
        assert values_alive() == before
        assert gc.collect() == 0
    finally:
        gc.enable()


# Constants


def test_a_number_becomes_a_constant_node_without_a_gradient():
    x = Value(3)
    y = 2 * x + 1
    y.backward()
    assert x.grad == 2
    constants = [p for n in topological_order(y) for p in n.parents if not p.requires_grad]
    assert [(c.data, c.grad, c.op) for c in constants] == [(1, 0, None), (2, 0, None)]


def test_what_is_made_of_constants_alone_is_a_constant():
    """An operation of constants records no node, and backward from its result is refused."""
    y = constant(2) * 3 + Value(1).detach()
    assert (y.data, y.requires_grad, y.parents) == (7, False, ())
    with pytest.raises(RuntimeError, match=r"constant Value\(data=7"):
        y.backward()


def test_no_partial_is_computed_for_a_constant():
    def partial(y, x, c):
        raise AssertionError("computed the partial of a constant")

    op = mc.Op("first", lambda x, c: x * c, (lambda y, x, c: c, partial))
    y = op(Value(3), 4.0)
    assert y.partials == (4, 0)
    assert gradients(y, [y.parents[0]], create_graph=True)[0].data == 4
    x, c = Value(3), constant(4)
    assert [y.partials for y in (x * c, c * x, x + c, c + x)] == [(4, 0), (0, 4), (1, 0), (0, 1)]


def test_a_leaf_can_be_frozen():
    x, w = Value(2), Value(3)
    w.requires_grad = False
    (x * w).backward()
    assert (x.grad, w.grad) == (3, 0)


def test_detach_gives_a_constant_with_the_same_data_and_label():
    x = Value(3, "x")
    c = x.detach()
    assert (c.data, c.label, c.requires_grad, c is x) == (3, "x", False, False)
    (x * c).backward()
    assert (x.grad, c.grad) == (3, 0)


# Backward


def test_backward_on_a_leaf_accumulates_one():
    x = Value(5)
    x.backward()
    x.backward()
    assert x.grad == 2


def test_backward_multiplies_by_the_gradient_that_it_is_given():
    a, b = leaves(2, 3)
    y = a * b
    y.backward(5)
    assert grads(y, a, b) == [5.0, 15.0, 10.0]
    y.backward(gradient=np.float32(0.5))
    assert grads(y, a, b) == [0.5, 16.5, 11.0]
    a.backward(-1)
    assert a.grad == 15.5
    assert [type(g) for g in grads(y, a, b)] == [float, float, float]
    for refused in ("1", None, [1.0], Value(1)):
        with pytest.raises(TypeError, match="real number"):
            y.backward(refused)
    assert grads(a, b) == [15.5, 11.0]


def test_a_gradient_of_none_counts_as_zero():
    a, b = leaves(2, 3)
    y = a * b + a
    for go in (y.backward, lambda: y.backward(2.0)):
        a.grad = None
        go()
    assert (a.grad, b.grad) == (8.0, 6.0)
    a.grad = y.grad = None
    y.backward()
    assert (a.grad, y.grad) == (4.0, 1.0)
    a.grad = None
    (a * 1).zero_grad()
    assert a.grad == 0.0
    a.grad = None
    a.backward()
    assert a.grad == 1.0


@pytest.mark.parametrize("frozen_first", [True, False])
def test_a_frozen_leaf_keeps_a_gradient_of_none(frozen_first):
    """An optimiser leaves it alone then, also after it is unfrozen. A number in its `grad` stays as it is, too."""
    a, b = leaves(2, 3)
    for grad in (None, 0.0, 5.0):
        a.grad, b.grad, b.requires_grad = None, grad, not frozen_first
        y = a * b + b + mc.maximum(a, b) + mc.sum([b, 0.0 * a, b * b])
        b.requires_grad = False
        y.backward()
        assert (a.grad, b.grad) == (3.0, grad)
        b.requires_grad = True


@pytest.mark.parametrize("given", [2, True, np.float32(0.1), np.float64(2), np.int64(3), np.array(4.0), Fraction(1, 2)])
def test_a_gradient_is_a_float_whatever_real_number_is_assigned(given):
    x = Value(1)
    x.grad = given
    assert (type(x.grad), x.grad) == (float, float(given))
    (x * 3.0).backward()
    assert (type(x.grad), x.grad) == (float, float(given) + 3.0)
    x.grad *= np.float32(0.1)
    x.data -= 0.1 * x.grad
    assert (type(x.grad), type(x.data)) == (float, float)


@pytest.mark.parametrize("given", ["a", b"1", [1.0], np.ones(2), 1j, Value(1)])
def test_a_gradient_that_is_not_a_real_number_is_refused(given):
    x = Value(1)
    x.grad = 5.0
    with pytest.raises(TypeError, match=r"^grad: expected (a|one) real number"):
        x.grad = given
    assert x.grad == 5.0


def test_backward_refuses_what_is_not_a_value():
    with pytest.raises(TypeError, match="needs a Value, got float"):
        Value.backward(3.0)


def test_topological_order_puts_every_node_before_its_operands():
    random.seed(5)
    nodes = [Value(i) for i in range(5)]
    for _ in range(200):
        nodes.append(random.choice(nodes) * random.choice(nodes[-20:]))
    order = topological_order(nodes[-1])
    place = {node: i for i, node in enumerate(order)}
    assert len(place) == len(order)
    for node in order:
        assert all(parent.op is None or place[parent] > place[node] for parent in node.parents)


def test_zero_grad_reaches_every_node_and_leaf():
    a, b = leaves(2, 3)
    h = a * b
    y = h.tanh() + a
    y.backward()
    y.zero_grad()
    assert grads(a, b, h, y) == [0, 0, 0, 0]
    a.backward()
    a.zero_grad()
    assert a.grad == 0


def test_a_backward_that_fails_loses_no_earlier_gradient():
    """If `backward` raises, as inside `detect_anomaly`, gradients that leaves had before are still there."""
    x, z = Value(0, "x"), Value(2, "z")
    (z * 3).backward()
    y = z * x.sqrt()
    with detect_anomaly(), pytest.raises(FloatingPointError):
        y.backward()
    assert z.grad == 3


def test_a_value_is_true_whatever_its_number():
    """`if x` is true for any `Value`, as micrograd's are, so `x or default` does not drop a 0."""
    assert all([Value(0), Value(math.nan), Value(0) * 2])


@pytest.mark.parametrize(
    ("option", "write"),
    [
        ("retain_graph", r"write backward\(\), which always keeps the graph"),
        ("create_graph", r"write gradients\(y, xs, "),
        ("inputs", r"write gradients\(y, xs\), which changes no grad"),
    ],
)
def test_backward_refuses_an_option_of_pytorch_and_says_what_to_write(option, write):
    for how in (True, False):
        with pytest.raises(TypeError, match=f"backward\\(\\) takes no {option}; {write}"):
            (Value(2) * 3).backward(**{option: how})


def test_a_weight_that_no_grad_made_a_constant_is_named_as_the_reason():
    w = Value(1.0)
    with no_grad():
        w = w - 0.1 * w.grad
    with pytest.raises(RuntimeError, match=r"inside no_grad\(\), write w.data -= ... and not w = w - ..."):
        (w * 2.0).backward()
