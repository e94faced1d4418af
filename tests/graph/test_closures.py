"""Nodes that are made as in micrograd, `Value(t, (x,), "tanh")` and `out._backward = closure`, behave as rows do."""

import math
import random

import pytest

from micrograd_cn import Value, compiler, detect_anomaly, draw_dot, draw_flow, gradients, no_grad, quick
from micrograd_cn.engine import constant, topological_order
from micrograd_cn.functional import grad, hessian, jvp
from micrograd_cn.graph.closures import Closure
from micrograd_cn.testing import gradcheck

from .. import test_quick


def tanh(self):
    t = math.tanh(self.data)
    out = Value(t, (self,), "tanh")

    def _backward():
        self.grad += (1 - t**2) * out.grad

    out._backward = _backward
    return out


def times(self, other):
    out = Value(self.data * other.data, (self, other), "*")

    def _backward():
        self.grad += other.data * out.grad
        other.grad += self.data * out.grad

    out._backward = _backward
    return out


def clipped(self, most=1.0):
    out = Value(self.data, (self,), "clip")

    def _backward():
        self.grad += max(-most, min(most, out.grad))

    out._backward = _backward
    return out


def graph(rng, unary, binary, size=12):
    """Return leaves and a root of a random graph, with rows, shared nodes, and the two operations that are given."""
    leaves = [Value(rng.uniform(-1, 1)) for _ in range(3)]
    nodes = list(leaves)
    for _ in range(size):
        a, b = rng.choice(nodes), rng.choice(nodes)
        nodes.append([unary(a), binary(a, b), a + b, 2 - a, a * b][rng.randrange(5)])
    root = nodes[-1]
    for node in nodes:
        root = root + node
    return leaves, root


@pytest.mark.parametrize("twins", [quick.QUICK, quick.PLAIN], ids=["quick", "plain"])
@pytest.mark.parametrize("seed", range(8))
def test_gradients_are_those_of_the_rows(seed, twins):
    with test_quick.engine(twins):
        leaves, root = graph(random.Random(seed), tanh, times)
        same, expected = graph(random.Random(seed), Value.tanh, lambda a, b: a * b)
        assert any(isinstance(node.op, Closure) for node in topological_order(root))
        for _ in range(2):  # leaves accumulate
            root.backward()
            expected.backward()
        assert [x.grad for x in leaves] == pytest.approx([x.grad for x in same], rel=1e-13)
        assert gradients(root, leaves) == pytest.approx(gradients(expected, same), rel=1e-13)


def test_both_engines_give_the_same_bits():
    found = []
    for twins in (quick.QUICK, quick.PLAIN):
        with test_quick.engine(twins):
            leaves, root = graph(random.Random(3), tanh, times)
            clipped(root * 3).backward()
            found.append([x.grad for x in leaves])
    assert found[0] == found[1]


def test_an_operand_that_is_used_twice_gets_all_that_the_closure_adds():
    x = Value(3.0)
    y = times(x, x)
    y.backward(2.0)
    assert (x.grad, y.partials, y.parents) == (12.0, (6.0,), (x,))


def test_a_closure_may_be_nonlinear_in_the_gradient():
    x = Value(2.0)
    y = clipped(x)
    z = y * 5 + y.tanh() * 0.1
    z.backward()
    assert x.grad == 1.0
    assert y.partials == (pytest.approx(1 / y.grad),)
    assert y.grad == pytest.approx(5.0, rel=0.1)
    assert gradients(z, [x]) == [1.0]
    assert gradients(y * 0.5, [x]) == [0.5]


def test_a_closure_is_called_when_backward_is():
    x = Value(2.0)
    y = times(x, x)
    x.data = 5.0
    y.backward()
    assert x.grad == 10.0


def test_the_last_closure_counts():
    x = Value(2.0)
    y = tanh(x)

    def _backward():
        x.grad += 7 * y.grad

    y._backward = _backward
    y.backward()
    assert (x.grad, y._backward) == (7.0, _backward)


def test_a_forgotten_closure_is_named_and_one_that_does_nothing_is_obeyed():
    x = Value(2.0)
    y = Value(4.0, (x,), "square")
    assert "nan" in draw_dot(y).source
    for send in ((y + x).backward, lambda: gradients(y, [x]), y._backward):
        with pytest.raises(RuntimeError, match=r"out\._backward of Value\(data=4.0.*'square'\): assign"):
            send()
    y._backward = lambda: None
    x.grad = 0.0
    (y + x).backward()
    assert (x.grad, y.edges(), y.partials) == (1.0, [], (0.0,))


def test_an_operand_that_a_closure_leaves_alone_gets_nothing():
    x = Value(-1.0)
    inner = Value(0.0) ** 0.5  # its derivative is infinite
    y = times(x, x) + inner
    out = Value(max(y.data, 0.0) * 0.0, (y,), "ReLU")

    def _backward():
        if out.data > 0:
            y.grad += out.grad

    out._backward = _backward
    out.backward()
    assert (x.grad, inner.grad) == (0.0, 0.0)


def test_constants_get_no_gradient():
    x, c = Value(2.0), constant(3.0)
    c.grad = 0.5
    times(x, c).backward()
    assert (x.grad, c.grad) == (3.0, 0.5)
    y = tanh(c)
    assert (y.requires_grad, y._prev) == (False, set())
    with no_grad():
        assert not tanh(x).requires_grad
    with detect_anomaly(), pytest.raises(FloatingPointError, match=r"exp\(2\.0\) gave inf"):
        Value(math.inf, (x,), "exp")


def test_a_closure_that_fails_leaves_the_gradients_as_they_were():
    x = Value(2.0)
    x.grad = 3.0
    y = Value(4.0, (x,), "square")

    def _backward():
        x.grad += 1.0
        raise KeyError("mine")

    y._backward = _backward
    with pytest.raises(KeyError, match="mine"):
        y.backward()
    assert x.grad == 3.0


def test_a_closure_that_adds_no_number_is_refused():
    x = Value(2.0)
    y = Value(4.0, (x,), "square")

    def _backward():
        x.grad = "much"

    y._backward = _backward
    with pytest.raises(TypeError, match="got the str 'much'"):
        y.backward()


def test_a_node_of_a_row_can_be_given_a_closure_around_its_own():
    x = Value(3.0)
    y = x * x
    seen, own = [], y._backward

    def _backward():
        seen.append(y.grad)
        own()

    y._backward = _backward
    (y * 2).backward()
    assert (seen, x.grad, y._op, y._prev) == ([2.0], 12.0, "*", {x})


def test_a_closure_on_a_leaf_is_refused_but_the_empty_one_of_micrograd_is_not():
    x = Value(3.0)
    x._backward = lambda: None
    with pytest.raises(TypeError, match=r"is a leaf.*give the operands.*Value\(data, \(x,\)"):
        x._backward = lambda: print()
    x._backward()


def test_it_is_drawn_and_stepped_through():
    x = Value(0.5, "x")
    y = tanh(x) * x
    y.backward()
    source = draw_dot(y).source
    assert "tanh" in source
    assert f"{1 - math.tanh(0.5) ** 2:.4g}" in source
    assert "tanh" in draw_flow(y).html


def own_double(x):
    out = Value(2 * x.item(), (x,), "double")

    def _backward():
        x.grad += 2 * out.grad

    out._backward = _backward
    return out


@pytest.mark.parametrize(
    ("make", "cure"),
    [
        (tanh, r"tanh is built in: delete your method, and write tanh\(x\)"),
        (lambda x: times(x, constant(2.0)), r"mul is built in: delete your method, and write x \* y"),
        (own_double, r"write the operation as a row: from micrograd_cn import Op"),
    ],
)
def test_second_derivatives_and_compiling_are_refused_with_what_to_write_instead(make, cure):
    x = Value(0.5)
    y = make(x) * x
    with pytest.raises(TypeError, match=f"made by hand.*no second derivatives and no sparse Jacobian; {cure}"):
        gradients(y, [x], create_graph=True)
    with pytest.raises(TypeError, match=cure):
        compiler.compile(y, [x])
    with pytest.raises(TypeError, match=cure):
        hessian(make)(0.5)
    assert grad(make)(0.5) == gradients(make(x), [x])[0]
    assert jvp(make, 0.5, 2.0)[1] == 2 * grad(make)(0.5)


def test_inside_a_compiled_function_it_is_refused():
    @compiler.compile
    def f(x):
        return Value(1.0, (x,), "ReLU")

    with pytest.raises(TypeError, match=r"relu is built in: delete your method, and write relu\(x\)"):
        f(0.5)

    with pytest.raises(TypeError, match=r"as \.data .* write tanh\(x\), which is built in, instead of your tanh; or"):
        compiler.compile(lambda x: tanh(x) * x)(0.5)

    @compiler.compile
    def g(x):
        y = x * x
        y._backward = lambda: None
        return y

    with pytest.raises(TypeError, match=r"_backward of its own.*Op\(name, forward, partials\)"):
        g(0.5)


@pytest.mark.parametrize("name", ["**2", "**-1.5", "ReLU", "+", "-", "tanh"])
def test_the_row_is_found_by_micrograds_names(name):
    assert "built in" in Closure(name).instead(2 if name in "+-" else 1)
    assert "Op(" in Closure(f"{name}!").instead(1)


def test_operands_are_values_in_a_tuple():
    x = Value(1.0)
    for operands in ((x, 2.0), "ab", b"ab"):
        if isinstance(operands, str):
            assert Value(1.0, operands).label == operands
        else:
            with pytest.raises(TypeError, match="must be Values, got"):
                Value(1.0, operands, "+")
    with pytest.raises(TypeError, match=r"takes a tuple of operands, got the Value .*; write \(x,\)"):
        Value(1.0, x, "tanh")
    with pytest.raises(TypeError, match="_op must be a str"):
        Value(1.0, (x,), 5)


@pytest.mark.parametrize("x", [0.3, -2.0, 1e-5, 0.0])
def test_a_gradient_check_compares_what_the_closure_adds(x):
    def doubled(self):
        out = tanh(self)
        own = out._backward

        def _backward():
            own()
            own()

        out._backward = _backward
        return out

    gradcheck(lambda v: tanh(v) * v + tanh(v), x)
    with pytest.raises(AssertionError, match="1 of 1 derivatives wrong"):
        gradcheck(lambda v: doubled(v) + v, x)


def test_a_deep_graph_of_closures_needs_no_recursion():
    y = x = Value(0.5)
    for _ in range(5_000):
        y = tanh(y)
    y.backward()
    assert 0 < x.grad < 1e-4


def test_a_name_without_a_number_means_no_operation_of_one_operand_more():
    assert Closure("+").instead(1).startswith("write the operation as a row")
    assert Closure("+").instead(2) == "add is built in: delete your method, and write x + y"
    assert Closure("**3").instead(1) == "pow is built in: delete your method, and write x ** 3"
