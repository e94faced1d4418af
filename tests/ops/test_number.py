"""Every real number is an operand. The message for anything else says what to write instead."""

from decimal import Decimal
from fractions import Fraction
from types import MappingProxyType

import numpy as np
import pytest

import micrograd_cn as mc
from micrograd_cn import Value, compiler, functional, testing
from micrograd_cn.compiler import compile  # noqa: A004 -- the field's name
from micrograd_cn.functional import grad, vjp
from micrograd_cn.nn import MLP, Layer, Neuron
from micrograd_cn.ops.number import flag, whole_number


@pytest.mark.parametrize(
    ("x", "message"),
    [
        ("1", r"the str '1'; convert it with float\(\)"),
        (b"1", r"the bytes b'1'; convert it with float\(\)"),
        (None, "NoneType"),
        (1j, r"the complex 1j; use its \.real"),
        (np.complex128(1), r"the complex .*; use its \.real"),
        ([1.0], "list"),
        ((1.0,), "tuple"),
        (np.ones(1), "the sequence ndarray; use one element"),
        (np.ones(2), "the sequence ndarray; use one element"),
    ],
    ids=repr,
)
def test_what_is_no_real_number_is_refused_by_its_type(x, message):
    calls = [mc.tanh, lambda x: mc.add(1.0, x), lambda x: mc.mul(Value(1), x)]
    for call in [*calls * (not isinstance(x, np.ndarray)), Value, lambda x: mc.sum([x, 1])]:  # they take arrays
        with pytest.raises(TypeError, match=rf"expected (a|one) real number, got {message}"):
            call(x)


class Tensor:
    """It has what the engine sees of a PyTorch tensor that has one element."""

    shape, grad_fn = (), None

    def __init__(self, requires_grad):
        self.requires_grad = requires_grad

    def __float__(self):
        return 2.0


@pytest.mark.parametrize("kind", [Tensor, "torch"])
def test_a_tensor_that_requires_a_gradient_is_no_number_because_its_graph_would_be_lost(kind):
    tensor = kind(True) if kind is Tensor else pytest.importorskip("torch").tensor(2.0, requires_grad=True)
    for call in (mc.tanh, Value, lambda x: Value(1) * x, lambda x: mc.dot([x], [Value(1)])):
        with pytest.raises(TypeError, match=r"Tensor, which requires a gradient, .* mixed.*; write t.item\(\) for the"):
            call(tensor)
    plain = kind(False) if kind is Tensor else tensor.detach()
    assert ((Value(3) * plain).data, mc.neg(plain)) == (6.0, -2.0)


@pytest.mark.parametrize("x", [3, True, Fraction(3, 2), Decimal("1.5"), np.float32(1.5), np.int64(3), np.array(1.5)])
def test_every_real_number_is_an_operand(x):
    assert (type(mc.neg(x)), mc.neg(x), mc.add(Value(1), x).data) == (float, -float(x), 1 + float(x))


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({0: 5.0, 1: 7.0}, r"got a dict, which would give its keys; write list\(d.values\(\)\)"),
        (MappingProxyType({0: 5.0}), "got a mappingproxy, which would give its keys"),
        (b"ab", r"got bytes; write list\(b\)"),
        (bytearray(b"ab"), r"got bytearray; write list\(b\)"),
    ],
    ids=repr,
)
def test_a_dict_or_bytes_in_the_place_of_a_list_is_refused(given, message):
    calls = [mc.sum, mc.mean, mc.logsumexp, mc.softmax, lambda xs: mc.sum(xs, Value(1)), lambda xs: mc.take(xs, 0)]
    calls += [lambda xs: mc.take([[1.0] * len(xs), xs], 1), lambda xs: mc.take(xs, Value(0))]
    for call in (*calls, lambda xs: mc.dot(xs, [1.0, 2.0]), lambda xs: mc.dot([1.0, 2.0], xs)):
        with pytest.raises(TypeError, match=message):
            call(given)


def test_a_set_is_refused_where_the_order_matters_and_taken_where_not():
    for kind in (set, frozenset):
        xs = kind({1.0, 3.0})
        assert (mc.sum(xs), mc.mean(xs), mc.logsumexp(xs)) == (4.0, 2.0, mc.logsumexp([1.0, 3.0]))
        for call in (mc.softmax, lambda xs: mc.take(xs, 0), lambda xs: mc.dot(xs, xs)):
            with pytest.raises(TypeError, match=r"got a (frozen)?set, which has no order; write a list"):
                call(xs)


@pytest.mark.parametrize(
    "f", [mc.sum, mc.mean, mc.softmax, mc.logsumexp, lambda x: mc.dot(x, x), lambda x: mc.take(x, 0)]
)
def test_one_number_in_place_of_a_list_is_answered_with_what_to_write(f):
    for x in (mc.Value(2), 3.0):
        with pytest.raises(
            TypeError, match=rf"expected a list of numbers, got {type(x).__name__} .*; write \[x\] for one"
        ):
            f(x)
    with pytest.raises(TypeError, match=r"expected a list of numbers, got NoneType None$"):
        f(None)


class Table:
    """It has what is read of a DataFrame of pandas: its items are the labels of its columns."""

    columns = (0, 1)

    def __iter__(self):
        return iter(self.columns)

    def __len__(self):
        return 2

    def to_numpy(self):
        return np.array([[5.0, 6.0], [7.0, 8.0]])


def test_a_table_is_not_read_by_the_labels_of_its_columns():
    calls = [mc.sum, mc.mean, mc.logsumexp, mc.softmax, lambda df: mc.take(df, 0), lambda df: mc.take([df, df], 0)]
    calls += [lambda df: mc.dot(df, [1.0, 2.0]), lambda df: mc.dot([1.0, 2.0], df), mc.tanh, Value]
    calls += [MLP(2, [2, 1]), Layer(2, 1), Neuron(2), grad(lambda xs: xs[0]), lambda df: vjp(lambda xs: xs[0], df)]
    for call in calls:
        with pytest.raises(TypeError, match=r"got a? ?Table.*; write df\.to_numpy\(\)") as caught:
            call(Table())
        assert "list(" not in str(caught.value)


@pytest.mark.parametrize(
    ("call", "name"),
    [
        (lambda x: functional.value_and_grad(abs, has_aux=x), r"value_and_grad\(\): has_aux"),
        (lambda x: functional.sparse_hessian(abs, 0, x), r"sparse_hessian\(\): lower"),
        (lambda x: compile(abs, branches=x), r"compile\(\): branches"),
        (lambda x: Layer(1, 1).load_state_dict({}, x), r"load_state_dict\(\): strict"),
    ],
)
@pytest.mark.parametrize("x", ["no", None, 2, np.array([1, 2])])
def test_an_option_that_is_true_or_false_is_nothing_else(call, name, x):
    with pytest.raises(TypeError, match=f"{name} must be True or False, got"):
        call(x)


@pytest.mark.parametrize("x", [True, 1, 1.0, np.True_])
def test_a_one_counts_as_true(x):
    assert flag("option", x) is True


@pytest.mark.parametrize(
    ("wrong", "error", "message"),
    [
        ("3", TypeError, "x must be an int of at least 1, got '3'; write 3"),
        (3.0, TypeError, "x must be an int of at least 1, got 3.0; write 3"),
        (2.5, TypeError, "x must be an int of at least 1, got 2.5"),
        (None, TypeError, "x must be an int of at least 1, got None"),
        (True, TypeError, "x must be an int of at least 1, got True"),
        (0, ValueError, "x must be an int of at least 1, got 0"),
    ],
)
def test_an_option_that_is_no_whole_number_is_answered_with_what_to_write(wrong, error, message):
    with pytest.raises(error) as caught:
        whole_number("x", wrong)
    assert str(caught.value) == message
    assert whole_number("x", np.int64(3)) == 3
    assert whole_number("x", 0, 0) == 0


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: testing.gradcheck(lambda v: v**2, [2.0]), r"f gets a list, .*; write gradcheck\(f, np\.array\(x\)\)"),
        (lambda: testing.gradcheck(lambda v: v.sum(), (2.0,)), r"f gets a list, .*; write gradcheck\(f, np\.array"),
        (lambda: testing.check_op(mc.exp, examples="50"), "check_op: examples must be .*; write 50"),
        (lambda: testing.gradcheck(mc.exp, 1.0, order="2"), "gradcheck: order must be .*; write 2"),
        (lambda: testing.gradcheck(mc.exp, 1.0, order=1.5), "gradcheck: order must be .* got 1.5"),
        (lambda: mc.draw_dot(Value(1.0), max_nodes="9"), r"draw_dot\(\): max_nodes must be a number, got '9'; convert"),
        (lambda: testing.expressions(max_steps=None), "expressions: max_steps must be .*, got None"),
        (lambda: testing.expressions("sin"), r"expressions: ops is a list of .*; write \[micrograd_cn.sin\]"),
        (lambda: testing.expressions(["cos"]), r"expressions: ops is a list of .*; write \[micrograd_cn.cos\]"),
        (lambda: testing.points(None), "points: shape must be an int of at least 0, got None"),
        (lambda: testing.points("3"), "points: shape must be an int or a tuple of ints, got '3'"),
        (lambda: testing.points(3, apart="1"), r"got the str '1'; convert it with float\(\) first"),
        (lambda: testing.find_functions(3), r"got 3; write find_functions\(package\)"),
        (lambda: compiler.vector_to_parameters(None, [Value(1.0)]), "vector must be an array or a list .*NoneType"),
    ],
)
def test_a_wrong_option_is_no_error_of_python(call, message):
    with pytest.raises(TypeError, match=message):
        call()
