"""Python's operators and the methods of a `Value` record rows, beside numbers and numpy's scalars too."""

import math
import operator
import re
from decimal import Decimal
from fractions import Fraction
from types import SimpleNamespace

import numpy as np
import pytest
from micrograd.engine import Value as Micrograd

import micrograd_cn as mc
from micrograd_cn import Value, gradients, no_grad
from micrograd_cn.graph.operators import method
from micrograd_cn.losses import mse_loss
from micrograd_cn.nn import MLP, Layer

from ..values import ARITHMETIC, leaves


def test_a_method_takes_its_operations_options():
    assert Value(-1).leaky_relu(negative_slope=0.25).data == -0.25
    assert Value(-1).elu(alpha=2).data == 2 * math.expm1(-1)


def test_operators_agree_with_floats():
    for a, b in [(3.5, -2.0), (-3.5, 2.0), (0.25, 8.0)]:
        x, y = Value(a), Value(b)
        for f in (
            lambda p, q: p + q,
            lambda p, q: p - q,
            lambda p, q: p * q,
            lambda p, q: p / q,
            lambda p, q: abs(p) ** q,
            lambda p, q: -p + +q,
        ):
            assert f(x, y).data == f(x, b).data == f(a, y).data == f(a, b)


NUMPY_SCALARS = [
    *[np.bool_, np.int8, np.uint8, np.int16, np.uint16, np.int32, np.uint32, np.int64, np.uint64],
    *[np.float16, np.float32, np.float64, np.longdouble, np.array],
]


@pytest.mark.filterwarnings("ignore:== of a Value and an equal number")  # which is what this test looks at
@pytest.mark.parametrize("kind", NUMPY_SCALARS, ids=lambda kind: kind.__name__)
def test_a_numpy_scalar_on_either_side_gives_a_value(kind):
    one, v = kind(1), Value(3)
    for operation in ARITHMETIC:
        for result, expected in ((operation(one, v), operation(1.0, 3.0)), (operation(v, one), operation(3.0, 1.0))):
            assert type(result) is Value
            assert (result.data, type(result.data)) == (expected, float)
            v.grad = 0.0
            result.backward()
            assert v.grad == pytest.approx(gradients(result, [v])[0])
    for less in (operator.lt, operator.le):
        assert less(one, v)
        assert not less(v, one)
    for more in (operator.gt, operator.ge):
        assert more(v, one)
        assert not more(one, v)
    assert one != v
    assert v != kind(3)


@pytest.mark.parametrize("kind", [np.complex64, np.complex128])
def test_a_complex_numpy_scalar_is_refused_on_either_side(kind):
    for operation in ARITHMETIC:
        with pytest.raises(TypeError):
            operation(kind(1), Value(3))
        with pytest.raises(TypeError):
            operation(Value(3), kind(1))


@pytest.mark.parametrize("operation", ARITHMETIC)
def test_a_numpy_array_and_a_value_make_an_array_of_values(operation):
    v = Value(3)
    for other in (np.array([1.0, 2.0]), np.array([Value(1), Value(2)])):
        for result, expected in (
            (operation(other, v), [operation(x, 3.0) for x in (1.0, 2.0)]),
            (operation(v, other), [operation(3.0, x) for x in (1.0, 2.0)]),
        ):
            assert isinstance(result, np.ndarray)
            assert [type(y) for y in result] == [Value, Value]
            assert [y.data for y in result] == pytest.approx(expected, rel=1e-15)


def test_a_modulus_is_refused_in_words():
    v = Value(2)
    with pytest.raises(TypeError, match=r"pow\(\) of a Value takes a base and an exponent, and no modulus"):
        pow(v, 2, 3)
    assert v.__rpow__(2, 3) is NotImplemented
    with pytest.raises(TypeError, match="pow"):
        pow(2, v, 3)
    with pytest.raises(TypeError, match=r"^pow\(\) takes 2 operands, got 3"):
        mc.pow(v, 2, 3)
    assert (pow(v, 3).data, pow(3, v).data) == (8, 9)


def test_a_subclass_of_value_works_as_an_operand():
    class Weight(Value):
        pass

    w, x = Weight(3), Value(2)
    for y in (w * x, x * w, w + 1, mc.dot([w], [x]), w.tanh() * w):
        assert y.requires_grad
    (x * w).backward()
    assert w.grad == 2


@pytest.mark.parametrize("name", [name for name, op in mc.OPS.items() if op.unary])
def test_every_operation_of_one_operand_is_a_method(name):
    x, op = Value(0.3), mc.OPS[name]
    y = getattr(x, name)()
    assert y.op is op
    assert (y.data, y.partials) == (op(0.3), op(Value(0.3)).partials)
    assert (getattr(Value, name).__name__, getattr(Value, name).__doc__) == (name, op.doc.split("\n")[0])


def test_an_operation_of_any_arity_may_be_a_method():
    squares = mc.Op("squares", lambda *xs: math.fsum(x * x for x in xs), lambda y, *xs: tuple([2.0 * x for x in xs]))
    x, y = leaves(2, 3)
    assert method(squares)(x, y).data == 13
    assert method(mc.atan2)(x, y).data == math.atan2(2, 3)


@pytest.mark.parametrize("symbol", ["+", "-", "/", "**"])
@pytest.mark.parametrize("other", [[1.0], (1.0, 2.0), []])
def test_an_operator_of_a_value_and_a_list_says_what_to_write(symbol, other):
    for text in (f"value {symbol} other", f"other {symbol} value"):
        kind = type(other).__name__
        message = f"there is no operation for {symbol} of a Value and a {kind}; write [x {symbol} a for a in xs]"
        with pytest.raises(TypeError, match=f"^{re.escape(message)}$"):
            eval(text, {"value": Value(1.0), "other": other})


@pytest.mark.parametrize("symbol", ["+", "-", "*", "/", "**"])
def test_an_operator_of_a_value_and_a_tensor_says_what_to_write(symbol):
    tensor = SimpleNamespace(shape=(2,), device="cpu")
    for text in (f"value {symbol} other", f"other {symbol} value"):
        with pytest.raises(TypeError, match=r"an array of another library; write np\.asarray\(t\)"):
            eval(text, {"value": Value(1.0), "other": tensor})


def test_a_list_of_ones_own_may_know_values():
    class Vector(list):
        def __radd__(self, x):
            return Vector([x + a for a in self])

    assert [y.data for y in Value(1.0) + Vector([1.0, 2.0])] == [2.0, 3.0]


CURES = [  # expressions for an operand that is no number, and what to write instead
    ("None", r"a NoneType; write math\.nan for a missing number"),
    ("'a'", r"a str; convert it with float\(\) first"),
    ("2j", r"a complex; compute the real and the imaginary part by themselves, as x \* z\.real and x \* z\.imag"),
    ("{'a': 1.0}", r"a dict; write d\[key\] for one of its numbers"),
    ("{1.0}", "a set; use one element at a time, of a list, since a set has no order"),
    ("abs", "a builtin_function_or_method; call it, and pass what it returns"),
    ("(lambda: 1.0)", "a function; call it, and pass what it returns"),
    ("model", "a Layer; call it, and pass what it returns"),
    ("map(abs, [1.0])", r"a map; write list\(xs\), and use one element at a time"),
    ("range(3)", r"a range; use one element at a time, as in \[f\(x\) for x in xs\]"),
]


@pytest.mark.parametrize("symbol", ["+", "-", "*", "/", "**"])
@pytest.mark.parametrize(("wrong", "cure"), CURES)
def test_an_operand_that_is_no_number_is_answered_with_what_to_write(symbol, wrong, cure):
    if symbol == "*" and wrong == "'a'":
        cure = r"a str; write float\(s\) \* x if the text s is a number"
    for text in (f"value {symbol} {wrong}", f"{wrong} {symbol} value"):
        with pytest.raises(TypeError, match=rf"there is no operation for {re.escape(symbol)} of a Value and {cure}"):
            eval(text, {"value": Value(1.0), "model": Layer(1, 1)})


@pytest.mark.parametrize("symbol", ["<", "<=", ">", ">="])
@pytest.mark.parametrize(("wrong", "cure"), [CURES[0], CURES[1], CURES[2]])
def test_what_cannot_be_compared_is_answered_with_what_to_write(symbol, wrong, cure):
    with pytest.raises(TypeError, match=rf"there is no {symbol} of a Value and {cure}"):
        eval(f"value {symbol} {wrong}", {"value": Value(1.0)})


def test_a_class_without_a_reflected_method_of_its_own_may_still_be_compared():
    class Bound:
        def __gt__(self, x):
            return x.data < 2.0

    assert Value(1.0) < Bound()
    assert not Value(3.0) < Bound()


@pytest.mark.parametrize(
    ("apply", "instead"),
    [
        (lambda x: x // 2, r"// of a Value; write floor\(x / y\)"),
        (lambda x: 2 // x, r"// of a Value; write floor\(x / y\)"),
        (lambda x: mc.less(x, 1) & mc.less(x, 2), r"& of a Value; write a \* b"),
        (lambda x: True & mc.less(x, 1), r"& of a Value; write a \* b"),
        (lambda x: mc.less(x, 1) | False, r"\| of a Value; write maximum\(a, b\)"),
        (lambda x: True | mc.less(x, 1), r"\| of a Value; write maximum\(a, b\)"),
        (lambda x: ~mc.less(x, 1), "~ of a Value; write 1 - a"),
        (lambda x: x ^ 2, r"\^ of a Value; write x \*\* y"),
        (lambda x: 2 ^ x, r"\^ of a Value; write x \*\* y"),
    ],
)
def test_an_operator_without_an_operation_says_what_to_write(apply, instead):
    with pytest.raises(TypeError, match=f"there is no operation for {instead}"):
        apply(Value(3.0))


@pytest.mark.parametrize(
    "apply",
    [
        *[lambda x, y, f=f: f(x, y) for f in ARITHMETIC],
        lambda x, y: mc.dot([x], [y]),
        lambda x, y: mc.sum([x, y]),
        lambda x, y: mc.maximum(y, x),
        lambda x, y: mc.exp(y),
        lambda x, y: Value(y),
        lambda x, y: setattr(x, "data", y),
        lambda x, y: MLP(2, [1])([y, y]),
        lambda x, y: mse_loss([y], [1.0]),
    ],
)
def test_two_engines_are_not_mixed(apply):
    """An operand of micrograd would take a `Value` for a number, and the gradient of one of them would be lost."""
    x, y = Value(2.0), Micrograd(3.0)
    with pytest.raises(TypeError, match=r"micrograd.engine.Value beside a Value of micrograd_cn: two engines"):
        apply(x, y)
    assert (y.data, y.grad) == (3.0, 0)


def test_a_node_of_another_engine_is_no_number_even_if_it_converts_itself_to_one():
    class Handwritten(Micrograd):
        def __float__(self):
            return float(self.data)

    with pytest.raises(TypeError, match="Handwritten beside a Value of micrograd_cn: two engines are mixed"):
        Value(2.0) * Handwritten(3.0)


def test_text_times_a_value_is_refused_as_text():
    """Python asked how often to repeat the text, so the error was about a count."""
    for product in (lambda text: Value(2) * text, lambda text: text * Value(2)):
        for text, kind in (("2", "str"), (b"2", "bytes")):
            write = re.escape(f"for * of a Value and a {kind}; write float(s) * x if the text s is a number")
            with pytest.raises(TypeError, match=write):
                product(text)


class Metres:
    """A number of a user's class, which could be converted to a float too, and has operators of its own."""

    def __init__(self, number):
        self.number = number

    def __float__(self):
        return float(self.number)

    def __rmul__(self, other):
        return Metres(other * self.number)

    def __radd__(self, other):
        return NotImplemented


def test_the_class_of_the_other_number_is_asked_as_python_asks_it_for_floats():
    """For 3.0 * q, Python calls `q.__rmul__(3.0)`. Only if q leaves it to the other operand is q converted."""
    x, q = Value(3.0), Metres(2)
    for product in (3.0 * q, x * q):
        assert type(product) is Metres
    (x * q).number.backward()
    assert x.grad == 2.0
    assert [(x + q).data, (x - q).data, (x * Fraction(1, 2)).data, (x * Decimal(2)).data] == [5.0, 1.0, 1.5, 6.0]
    assert [(x * np.float32(2)).data, (x * np.int64(2)).data, (x * np.array(2.0)).data] == [6.0, 6.0, 6.0]
    with no_grad():
        assert type(x * q) is Metres
        y = x
        y *= q
        x *= Decimal(2)
    assert (type(y), x.data) == (Metres, 6.0)


def test_a_subclass_of_numpys_arrays_with_an_operator_of_its_own_is_asked():
    """Since numpy 2, its arrays have a `device`, as those of PyTorch and jax have."""

    class Measured(np.ndarray):
        def __rsub__(self, other):
            return "measured"

    assert Value(1.0) - np.zeros(3).view(Measured) == "measured"
