"""Subclasses of `Value` that override operators work as in micrograd; what the engine would pass over is refused."""

import functools

import numpy as np
import pytest

from micrograd_cn import Value, dot, maximum
from micrograd_cn.derivatives.sparse import sparse_gradient, sparse_hessian
from micrograd_cn.functional import grad
from micrograd_cn.gradients import gradients

CALLED = []


class Logged(Value):
    def __add__(self, other):
        CALLED.append("+")
        return super().__add__(other)

    def __mul__(self, other):
        CALLED.append("*")
        return super().__mul__(other)

    def __pow__(self, other):
        CALLED.append("**")
        return super().__pow__(other)


# What micrograd 0.1.0 calls for a class with these three methods; v is a plain Value.
@pytest.mark.parametrize(
    ("text", "called"),
    [
        *[("3 + x", "+"), ("x + v", "+"), ("v + x", ""), ("3 * x", "*"), ("x * v", "*"), ("v * x", "")],
        *[("-x", "*"), ("x - 1", "+"), ("x - y", "* +"), ("1 - x", "*"), ("x - v", "+"), ("v - x", "*")],
        *[("x / 2", "*"), ("2 / x", "**"), ("x / y", "** *"), ("x / v", "*"), ("v / x", "**"), ("x ** 2", "**")],
        ("sum([x, y])", "+"),
    ],
)
def test_operators_call_those_that_a_subclass_overrides_as_in_micrograd(text, called):
    CALLED.clear()
    numbers = {"x": 2.0, "y": 3.0, "v": 5.0}
    values = {"x": Logged(2), "y": Logged(3), "v": Value(5)}
    result = eval(text, {}, values)
    assert " ".join(CALLED) == called
    assert result.data == pytest.approx(eval(text, {}, numbers), rel=1e-15)
    result.backward()
    plain = {name: Value(x) for name, x in numbers.items()}
    eval(text, {}, plain).backward()
    assert [x.grad for x in values.values()] == pytest.approx([x.grad for x in plain.values()], rel=1e-15)


def test_a_subclass_keeps_its_own_operators_and_those_of_its_bases():
    class Base(Value):
        def __rmul__(self, other):
            return "mine"

    class Own(Base):
        def __mul__(self, other):
            return Value(100)

        def __truediv__(self, other):
            return "my quotient"

    assert (3 * Own(1), Own(1) / 2, (-Own(1)).data) == ("mine", "my quotient", 100.0)


def test_a_subclass_without_operators_of_its_own_has_those_of_value():
    class Plain(Value):
        def square(self):
            return self * self

    assert Plain.__sub__ is Value.__sub__
    assert (1 - Plain(3)).op.name == "sub"


def test_overridden_operators_take_numbers_of_numpy_and_refuse_text():
    x = Logged(2)
    assert (x / np.int64(2)).data == 1.0
    assert (np.float64(3) * x).data == 6.0
    for wrong in (lambda: x / "a", lambda: "a" / x, lambda: x - "a", lambda: "a" - x):
        with pytest.raises(TypeError, match="unsupported operand"):
            wrong()


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ({"grad": property(lambda self: 1.0)}, r"class Own cannot define grad: .*read x\.grad after backward\(\)"),
        ({"__slots__": ("grad",)}, "class Own cannot define grad"),
        ({"data": functools.cached_property(lambda self: 1.0)}, "class Own cannot define data: .*before you assign"),
        ({"__eq__": lambda a, b: True}, r"class Own defines __eq__.*add __hash__ = Value\.__hash__"),
        ({"__eq__": lambda a, b: True, "__hash__": lambda a: 1}, "class Own defines __eq__ or __hash__"),
        ({"__hash__": lambda a: hash(a.data)}, "class Own defines __eq__ or __hash__"),
    ],
)
def test_what_the_engine_would_pass_over_is_refused_when_the_class_is_made(body, message):
    with pytest.raises(TypeError, match=message):
        type("Own", (Value,), body)


def test_a_property_of_a_mixin_is_refused_too():
    class Mixin:
        grad = 0.0

    with pytest.raises(TypeError, match="class Own cannot define grad"):
        type("Own", (Mixin, Value), {})


class Ops:
    bias = 0.5

    def log(self):
        return "log of Ops"

    def __abs__(self):
        return "abs of Ops"

    def relu(self):  # hidden in micrograd, too
        return "relu of Ops"

    def softmax(self):
        return self.data, "softmax of Ops"

    @property
    def value(self):
        return 10 * self.data

    @value.setter
    def value(self, x):
        self.data = x / 10

    @value.deleter
    def value(self):
        self.data = 0.0


def test_a_class_is_warned_of_if_value_hides_methods_of_a_base_that_micrograd_would_call():
    class InPlace:
        def __isub__(self, other):
            return self

    with pytest.warns(UserWarning, match=r"^class V\(Value, Ops\) does not call log, __abs__ of Ops, .*") as caught:

        class V(Value, Ops):
            pass

    assert str(caught[0].message).endswith("; write class V(Ops, Value)")
    assert (len(caught), caught[0].filename) == (1, __file__)
    with pytest.warns(UserWarning, match=r"class W\(V, InPlace\) does not call __isub__ of .*W\(InPlace, V\)$"):
        type("W", (V, InPlace), {})

    class Right(Ops, Value):
        pass

    class OwnMethods(Value, Ops):
        log = Ops.log
        __abs__ = Ops.__abs__

    type("Below", (V,), {})
    assert Right(1.0).log() == OwnMethods(1.0).log() == "log of Ops"


def test_a_method_that_a_value_lacks_is_found_in_a_base_after_value():
    class V(Value, Ops):
        log = __abs__ = None

    v = V(2.0)
    assert (v.softmax(), v.value, v.bias, V.softmax) == ((2.0, "softmax of Ops"), 20.0, 0.5, Ops.softmax)
    v.value = 50
    v.bias = 1.5
    assert (v.data, v.bias, V.bias, vars(v)) == (5.0, 1.5, 0.5, {"bias": 1.5})
    v.softmax = 3
    assert v.softmax == 3
    del v.value, v.softmax
    assert (v.data, v.softmax()) == (0.0, (0.0, "softmax of Ops"))
    with pytest.raises(AttributeError, match="'V' object has no attribute 'clip'; write clip"):
        v.clip(0, 1)
    assert not hasattr(Value(2.0), "softmax")


@pytest.mark.parametrize("own_hash", [Value.__hash__, id])
def test_values_that_compare_equal_are_still_two_nodes(own_hash):
    class Alike(Value):
        def __hash__(self):
            return own_hash(self)

        def __eq__(self, other):
            return True

    x, y = Alike(2), Alike(3)
    assert gradients(x * y * y, [x, y]) == [9.0, 12.0]
    assert gradients(gradients(x * y * y, [y], create_graph=True)[0], [x, y]) == [6.0, 4.0]
    (x * y).backward()
    assert (x.grad, y.grad) == (3.0, 2.0)
    assert [g.data for g in grad(lambda a, b: a * b, (0, 1))(x, y)] == [3.0, 2.0]


class Tenfold(Value):
    """A class whose products are ten times as large, so a derivative would be wrong that is computed by them."""

    def __mul__(self, other):
        return super().__mul__(other) * 10.0

    __rmul__ = __mul__

    def __pow__(self, other):
        return super().__pow__(other) * 10.0


@pytest.mark.parametrize(
    "f",
    [
        lambda w, x: w * x,
        lambda w, x: x * w * w,
        lambda w, x: w**3 * x.exp(),
        lambda w, x: x / w,
        lambda w, x: dot([w, x], [x, w]).tanh(),
        lambda w, x: maximum(w, x) * x * x,
    ],
)
def test_derivatives_are_operations_of_the_table_where_a_class_has_operators_of_its_own(f):
    w, x = Tenfold(3.0), Value(2.0)
    y = f(w, x)
    plain = gradients(y, [w, x])
    first = gradients(y, [w, x], create_graph=True)
    assert [g.data for g in first] == pytest.approx(plain, rel=1e-15)
    assert [g.data for g in sparse_gradient(y, [w, x])] == pytest.approx(plain, rel=1e-15)
    entries = sparse_hessian(y, [w, x])
    hessian = np.zeros((2, 2))
    hessian[entries.rows, entries.columns] = [getattr(entry, "data", entry) for entry in entries.values]
    step = 1e-6
    second = gradients(first[1], [w, x])
    for i, p in enumerate((w, x)):
        p.data += step
        above = gradients(f(w, x), [x])[0]
        p.data -= 2 * step
        below = gradients(f(w, x), [x])[0]
        p.data += step
        assert second[i] == pytest.approx((above - below) / (2 * step), rel=1e-6, abs=1e-6)
        assert hessian[1, i] == pytest.approx(second[i], rel=1e-12)


def test_derivatives_of_a_product_call_no_operator_of_a_class():
    """Each of its factors is a leaf, so the derivatives are products of these leaves."""
    x, y, z = leaves = [Logged(2), Logged(3), Logged(5)]
    v = x * y * z * x
    CALLED.clear()
    assert [g.data for g in sparse_gradient(v, leaves)] == [60.0, 20.0, 12.0]
    assert [getattr(g, "data", g) for g in sparse_hessian(v, leaves).values] == [30.0, 20.0, 12.0, 20.0, 4.0, 12.0, 4.0]
    assert [g.data for g in gradients(v, leaves, create_graph=True)] == [60.0, 20.0, 12.0]
    assert CALLED == []
