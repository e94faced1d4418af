"""A node stores a number and how it was made, and is read, compared, shown, copied and traced."""

import copy
import gc
import inspect
import math
import operator
import pickle
from decimal import Decimal
from fractions import Fraction
from itertools import product

import numpy as np
import pytest

import micrograd_cn as mc
from micrograd_cn import Op, Value, gradients
from micrograd_cn.engine import constant
from micrograd_cn.functional import grad
from micrograd_cn.graph.numpy_methods import NumpyMethods
from micrograd_cn.graph.unsupported import INSTEAD
from micrograd_cn.nn import MLP

from ..values import ARITHMETIC, grads, leaves


@pytest.mark.parametrize("f", [lambda a, b: a + b, lambda a, b: a * b, lambda a, b: a / b, lambda a, b: a - b])
def test_a_binary_node_is_one_object_for_the_garbage_collector(f):
    a, b = Value(1.000001), Value(0.999999)
    gc.collect()
    gc.disable()
    try:
        before = gc.get_objects()  # kept, since objects that another thread frees meanwhile would be missing
        for _ in range(1_000):
            a = f(a, b)
        made = len(gc.get_objects()) - len(before)
    finally:
        gc.enable()
    # With a second object for each node, it would be 2,000. The loop and other threads make some, too.
    assert 1_000 <= made < 1_500


def test_a_node_sends_its_gradient_on_by_hand():
    a, b, c = leaves(2, -3, 10)
    e = a * b
    d = e + c
    d.grad = 4.0
    d._backward()
    assert grads(e, c, a, b) == [4, 4, 0, 0]
    e._backward()
    e._backward()
    assert grads(a, b) == [-24, 16]
    a._backward()
    y = a + a
    y.grad, a.grad = 1.5, None
    y._backward()
    assert a.grad == 3
    n = mc.dot([a, b], [b, 2.0], c)
    n.grad, a.grad, b.grad, c.grad = 2.0, 0.0, 0.0, 0.0
    c.requires_grad = False
    n._backward()
    assert grads(a, b, c, n.parents[3]) == [-6, 8, 0, 0]


def test_a_new_value_has_no_gradient_and_no_label():
    x = Value(2, "x")
    for y in (Value(2), constant(2), x + x, x * x, x + 1, x.tanh(), x.detach() * 2):
        assert (y.grad, y.label) == (0, "")


@pytest.mark.parametrize(
    "number",
    [3, True, 2.5, Fraction(1, 4), Decimal("0.5"), np.float32(1.5), np.float64(2), np.int64(7), np.array(4.0)],
)
def test_real_numbers_are_taken_and_stored_as_float(number):
    for v in (
        Value(number),
        Value(1) * number,
        number * Value(1) if not isinstance(number, np.ndarray) else Value(number),
    ):
        assert isinstance(v, Value)
        assert type(v.data) is float
        assert v.data == float(number)


ASSIGNED = [
    *[(10, 10.0), (-3, -3.0), (0, 0.0), (True, 1.0)],
    *[(np.int64(7), 7.0), (np.int8(-2), -2.0), (np.float32(0.5), 0.5), (Fraction(1, 4), 0.25)],
    *[(Decimal("-0.5"), -0.5), (Decimal("1e400"), math.inf)],
]
HUGE = [10**400, -(10**400), Fraction(10**400, 3)]


@pytest.mark.parametrize("huge", HUGE, ids=lambda x: str(x)[:5])
@pytest.mark.parametrize(
    "use",
    [
        *[Value, lambda x: Value(1.0) * x, lambda x: x - Value(1.0), lambda x: Value(1.0) ** x, lambda x: mc.tanh(x)],
        *[lambda x: mc.dot([Value(1.0), x], [x, 1.0]), lambda x: constant(x), lambda x: Value(1.0).backward(x)],
        *[lambda x: setattr(Value(1.0), "data", x), lambda x: Op("huge", lambda y: x, (None,))(Value(1.0))],
        *[lambda x: mc.compiler.compile(lambda y: 2.0 * y[0])([x]), lambda x: grad(lambda y: y * y)(x)],
    ],
)
def test_a_number_that_is_too_large_for_a_float_is_refused_as_by_float(use, huge):
    with pytest.raises(OverflowError, match=r"too large for a float, .*; write -?math\.inf for infinity"):
        use(huge)


@pytest.mark.parametrize("huge", HUGE, ids=lambda x: str(x)[:5])
@pytest.mark.parametrize("x", [2.0, -math.inf, math.inf, math.nan])
def test_a_comparison_with_a_number_that_is_too_large_for_a_float_is_that_of_python(x, huge):
    v = Value(x)
    assert [v < huge, v <= huge, v > huge, v >= huge] == [x < huge, x <= huge, x > huge, x >= huge]
    assert [huge < v, huge >= v] == [huge < x, huge >= x]


@pytest.mark.parametrize(("assigned", "expected"), ASSIGNED, ids=lambda x: f"{type(x).__name__} {str(x)[:5]}")
def test_data_may_be_assigned_any_real_number_and_then_every_operation_takes_it(assigned, expected):
    x = Value(1.5)
    x.data = assigned
    for data in (x.data, Value(assigned).data):
        assert (data, type(data)) == (expected, float)
    for op in mc.OPS.values():
        arity = op.arity or 3
        y = op.forward(*[expected] * arity)
        node = mc.engine.record(op, (x,) * arity)
        assert node.data == pytest.approx(y, rel=0, abs=0, nan_ok=True)
        node.backward()
        x.grad = 0.0
    for operation in ARITHMETIC:
        for y in (operation(x, assigned), operation(x, 0.5), operation(2, x)):
            assert isinstance(y, Value)


@pytest.mark.parametrize("refused", ["3", b"3", None, 1j, [1.0], Value(1), np.array([1.0])])
def test_data_refuses_what_is_no_real_number_and_keeps_its_own(refused):
    x = Value(1.5)
    with pytest.raises(TypeError, match="real number"):
        x.data = refused
    assert x.data == 1.5


@pytest.mark.parametrize(
    ("refused", "message"),
    [
        ("3", "str '3'"),
        (b"3", "bytes b'3'"),
        (None, "NoneType"),
        (1j, "complex 1j"),
        (np.complex128(1j), "complex"),
        ([1], "list"),
        ((1,), "tuple"),
        ({}, "dict"),
        (object(), "object"),
    ],
)
def test_refused_data_is_a_type_error_that_names_it(refused, message):
    with pytest.raises(TypeError, match=f"real number.*{message}"):
        Value(refused)
    name = type(refused).__name__.removesuffix("128")
    for operation in (lambda v: v + refused, lambda v: v / refused, lambda v: v**refused, lambda v: v < refused):
        with pytest.raises(TypeError, match=name):
            operation(Value(1))
    for operation in (lambda v: refused + v, lambda v: refused * v, lambda v: refused**v, lambda v: refused >= v):
        with pytest.raises(TypeError):
            operation(Value(1))


def test_an_array_is_no_data():
    with pytest.raises(TypeError, match=r"one real number, got the sequence ndarray"):
        Value(np.array([1.0]))


def test_a_value_of_a_value_and_a_label_that_is_no_text_are_refused():
    with pytest.raises(TypeError, match=r"got a Value.*detach"):
        Value(Value(1))
    with pytest.raises(TypeError, match="label must be a str, got int 5"):
        Value(1, 5)


def test_equality_and_hash_are_identity_and_order_is_of_data():
    a, b, c = Value(1), Value(1), Value(2)
    assert a != b
    assert a == a
    assert len({a, b}) == 2
    assert max([a, c, b]) is c
    for x, y, same in ((a, a, True), (a, b, False), (a, c, False), (a, 2.0, False), (a, 2, False), (a, "a", False)):
        assert (x == y) is (y == x) is same
        assert (x != y) is (y != x) is not same
    for p, q in product((-1.0, 0.0, 2.0, math.nan), repeat=2):
        for x, y in ((Value(p), Value(q)), (Value(p), q), (p, Value(q))):
            assert (x < y, x <= y, x > y, x >= y) == (p < q, p <= q, p > q, p >= q)


@pytest.mark.parametrize("f", [math.exp, float, int, complex, math.sqrt, round])
def test_no_conversion_loses_the_graph_in_silence(f):
    with pytest.raises(TypeError):
        f(Value(1))


def test_item_repr_and_format():
    v = Value(2 / 3, "x")
    v.grad = -1.5
    assert v.item() == 2 / 3
    assert repr(v) == "Value(data=0.6666666666666666, grad=-1.5, label='x')"
    assert repr(Value(1)) == "Value(data=1.0, grad=0.0)"
    assert f"{v:.4f}" == "0.6667"
    assert f"{v:>8.2f}|" == "    0.67|"
    assert f"{v}" == str(v) == repr(v)


@pytest.mark.parametrize("duplicate", [copy.copy, copy.deepcopy, lambda v: pickle.loads(pickle.dumps(v))])
def test_a_leaf_is_copied_and_an_interior_node_is_not(duplicate):
    v = Value(0.1, "x")
    v.grad, v.requires_grad = 3.0, False
    w = duplicate(v)
    assert w is not v
    assert (w.data, w.grad, w.label, w.requires_grad, w.parents) == (0.1, 3.0, "x", False, ())
    with pytest.raises(TypeError, match=r"cannot copy or pickle Value\(data=0.2.* \(add\)"):
        duplicate(Value(0.1) + Value(0.1))


class Weight(Value):
    """A leaf with attributes of its own."""

    def __init__(self, data, label="", decay=0.0):
        super().__init__(data, label)
        self.decay = decay
        self.shared = [self.decay]


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_a_copy_of_a_subclass_is_of_the_subclass_with_its_attributes(protocol):
    w = Weight(0.1, "w", decay=0.5)
    w.grad, w.requires_grad = 3.0, False
    for copied in (copy.copy(w), copy.deepcopy(w), pickle.loads(pickle.dumps(w, protocol))):
        assert (type(copied), copied is w) == (Weight, False)
        assert (copied.data, copied.grad, copied.label, copied.requires_grad) == (0.1, 3.0, "w", False)
        assert vars(copied) == {"decay": 0.5, "shared": [0.5]}
    assert copy.copy(w).shared is w.shared
    assert copy.deepcopy(w).shared is not w.shared
    pair = copy.deepcopy([w, w])
    assert pair[0] is pair[1]
    copied.requires_grad = True
    (copied * 2).backward()
    assert copied.grad == 5.0


class Slotted(Value):
    __slots__ = ("decay",)


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_a_copy_of_a_subclass_with_slots_has_what_is_in_them(protocol):
    w = Slotted(0.1, "w")
    w.decay = 0.5
    for copied in (copy.copy(w), copy.deepcopy(w), pickle.loads(pickle.dumps(w, protocol))):
        assert (type(copied), copied.data, copied.label, copied.decay) == (Slotted, 0.1, "w", 0.5)


def test_a_model_with_subclassed_weights_is_copied_and_pickled():
    model = MLP(2, [1])
    model.layers[0].neurons[0].w[0] = Weight(2.0, "w0", decay=0.25)
    for twin in (copy.deepcopy(model), pickle.loads(pickle.dumps(model))):
        w = twin.layers[0].neurons[0].w[0]
        assert (type(w), w.decay, w.data) == (Weight, 0.25, 2.0)
        assert twin([1, 1]).data == model([1, 1]).data


def test_a_deep_copy_of_a_model_keeps_shared_parameters_shared():
    model = MLP(1, [1])
    model.layers[0].neurons[0].b = model.layers[0].neurons[0].w[0]
    twin = copy.deepcopy(model)
    neuron = twin.layers[0].neurons[0]
    assert neuron.b is neuron.w[0]
    assert neuron.b is not model.layers[0].neurons[0].b


def test_micrograds_views_are_read_only():
    a, b = leaves(2, 3)
    y = a * b
    assert y._prev == {a, b}
    assert (y._op, a._op, a._prev) == ("*", "", set())
    with pytest.raises(AttributeError):
        y._op = "+"


def test_operations_have_micrograds_names_where_it_has_them():
    a, b = leaves(2, 3)
    made = [a + b, a * b, a**2, a**-1, a**0.5, a**2.0, a.relu(), a.tanh(), a.exp(), a**b, 2**a, a**math.inf]
    names = ["+", "*", "**2", "**-1", "**0.5", "**2", "ReLU", "tanh", "exp", "**", "**", "**inf"]
    assert [y._op for y in made] == names
    for y in made:
        y.parents  # noqa: B018 -- numbers become constant nodes
    assert [y._op for y in made] == names


def test_prev_is_a_set_that_cannot_be_changed():
    a, b = leaves(2, 3)
    y = a * b
    held = y._prev
    assert isinstance(held, set)
    assert held == {a, b} == y._prev
    assert {*held, y} == held | {y}
    assert (repr(a._prev), held - {b}, held.issubset({a, b})) == ("set()", {a}, True)
    changes = {
        "add": lambda: y._prev.add(a),
        "discard": lambda: y._prev.discard(a),
        "remove": lambda: y._prev.remove(a),
        "pop": lambda: y._prev.pop(),
        "clear": lambda: y._prev.clear(),
        "update": lambda: y._prev.update([y], [a]),
        "__isub__": lambda: operator.isub(y._prev, {a}),
        "__ior__": lambda: operator.ior(a._prev, {b}),
        "intersection_update": lambda: held.intersection_update({a}),
    }
    for name, change in changes.items():
        with pytest.raises(TypeError, match=rf"^_prev\.{name}\(\): .*write x\.detach\(\) .*Value\(data, \(x,\)"):
            change()
    with pytest.raises(AttributeError, match=r"^_prev = .*write x\.detach\(\) .*Value\(data, \(x,\)"):
        y._prev = set()
    assert (held, y.parents) == ({a, b}, (a, b))
    for other in (held.copy(), held | set(), set(held), copy.copy(held), pickle.loads(pickle.dumps(held))):
        assert (type(other), len(other)) == (set, 2)
        other.clear()


@pytest.mark.parametrize(
    ("make", "op", "label"),
    [
        (lambda: Value(2.0, _op="input"), "input", ""),
        (lambda: Value(2.0, "x", _op="input"), "input", "x"),
        (lambda: Value(2.0, (), ""), "", ""),
        (lambda: Value(2.0, set(), "", "x"), "", "x"),
        (lambda: Value(2.0, _children=(), _op="", label="x"), "", "x"),
        (lambda: Value(data=2.0, _children=[]), "", ""),
        (lambda: Passing(2.0), "", ""),
        (lambda: Passing(2.0, (), "input"), "input", ""),
    ],
)
def test_micrograds_arguments_without_operands_make_a_leaf(make, op, label):
    x = make()
    (x * 3).backward()
    assert (x.grad, x.op, x._op, x.label, x._prev, x.requires_grad) == (3.0, None, op, label, set(), True)
    assert (copy.copy(x)._op, pickle.loads(pickle.dumps(x)).data) == (op, 2.0)


class Passing(Value):
    """A class that passes micrograd's arguments on, and sets what micrograd's class sets."""

    def __init__(self, data, _children=(), _op=""):
        super().__init__(data, _children, _op)
        self._backward = lambda: None
        self.name = "mine"


def test_an_unknown_keyword_is_named():
    with pytest.raises(TypeError, match=r"^Value\.__init__\(\) got an unexpected keyword argument 'lable'"):
        Value(1, lable="x")
    with pytest.raises(TypeError, match=r"^Value\.backward\(\) got an unexpected keyword argument 'grads'"):
        Value(1).backward(grads=2)


def test_a_formatted_text_is_that_of_the_subclass():
    class Shown(Value):
        def __str__(self):
            return "shown"

    x = Shown(2)
    assert (f"{x}", f"{x!r}", f"{x:.1f}", f"{Value(2)}") == ("shown", repr(x), "2.0", "Value(data=2.0, grad=0.0)")


def test_a_new_name_for_the_operation_of_a_node_is_refused_with_what_to_write():
    for node in (Value(2), Value(2) * 3):
        with pytest.raises(AttributeError, match=r"write x.label = 'times' to name a node"):
            node._op = "times"


def test_a_value_takes_no_other_attributes_but_a_subclass_does_and_a_dict_by_node():
    v = Value(1)
    with pytest.raises(AttributeError, match=r"'Value' object has no attribute 'm'; write .*keys are nodes"):
        v.m = 0
    with pytest.raises(AttributeError, match=r"no attribute 'momentum'; write state = {x: y}"):
        v.momentum = 0.0
    assert "a dict with the nodes as keys, or define a subclass" in " ".join(Value.__doc__.split())
    w = Weight(1)
    w.m = 0.5
    momentum = {v: 0.5}
    assert (w.m, momentum[v]) == (0.5, 0.5)


def test_a_value_has_no_name_by_accident():
    assert "_" not in dir(Value)
    documented = {"data", "grad", "group", "label", "op", "parents", "partials", "requires_grad", "item"}
    documented |= {"as_integer_ratio"}  # it raises an error too, in the module `statistics`
    documented |= {"backward", "detach", "edges", "operands", "zero_grad"}
    documented |= {name for name in vars(NumpyMethods) if not name.startswith("_")}
    documented |= set(INSTEAD)  # they raise an error
    assert {name for name in dir(Value) if not name.startswith("_")} == documented | {
        name for name, op in mc.OPS.items() if op.unary
    }
    slots = {name for kind in Value.__mro__ for name in getattr(kind, "__slots__", ())}
    for kind in Value.__mro__[:-1]:
        for name, thing in vars(kind).items():
            if name.startswith("_") and not name.endswith("__") and name not in slots:
                inner = getattr(thing, "fget", None) or getattr(thing, "__func__", thing)
                assert inner.__name__ == name


def test_the_attributes_of_the_class_can_be_read_as_help_does():
    names = {name for name, _ in inspect.getmembers(Value)}
    assert {"backward", "data", "grad", "__add__"} <= names


def test_a_constant_is_made_by_pytorchs_keyword():
    constant, leaf = Value(3, requires_grad=False), Value(3, "x", requires_grad=True)
    assert (constant.requires_grad, leaf.requires_grad) == (False, True)
    (leaf * constant).backward()
    assert (leaf.grad, constant.grad) == (3.0, 0.0)


@pytest.mark.parametrize("wrong", ["False", "", None, 2, 0.5])
def test_requires_grad_is_a_bool(wrong):
    """A text such as "False" would count as true."""
    with pytest.raises(TypeError, match=r"requires_grad must be True or False, got "):
        Value(1, requires_grad=wrong)
    assert [Value(1, requires_grad=x).requires_grad for x in (True, False, np.bool_(False))] == [True, False, False]


def test_a_name_is_answered_with_the_label():
    with pytest.raises(TypeError, match=r"^a Value has no name; write Value\(data, label='w'\)$"):
        Value(1.0, name="w")


def test_an_interior_node_that_requires_no_gradient_passes_none_on():
    """It does not matter whether this is set before the node is used or afterwards."""
    for before in (True, False):
        x = Value(2.0)
        y = x * x
        if before:
            y.requires_grad = False
        z = y * 3.0 + x
        y.requires_grad = False
        z.backward()
        assert x.grad == 1.0
        assert gradients(z, [x]) == [1.0]
        assert gradients(z, [x], create_graph=True)[0].data == 1.0
        with pytest.raises(RuntimeError, match="on the constant"):
            y.backward()
