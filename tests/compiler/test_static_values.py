"""Static arguments, and keys of dicts, share a program only if a function cannot tell them from each other."""

import enum
import functools
import math
import types
import weakref
from collections import namedtuple
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction

import numpy as np
import pytest

from micrograd_cn import Value
from micrograd_cn.compiler import compile  # noqa: A004 -- the field's name
from micrograd_cn.compiler.data import static_values
from micrograd_cn.module import Module
from micrograd_cn.nn import MLP


@dataclass(frozen=True)
class Frozen:
    """A dataclass that compares and hashes by its field."""

    x: object


class Slotted:
    """A class whose instances are all equal, and which keeps its attributes in slots."""

    __slots__ = ("__hidden", "x")

    def __init__(self, x, hidden=0):
        self.x, self.__hidden = x, hidden

    def __eq__(self, other):
        return True

    def __hash__(self):
        return 1


class Plain:
    """A class that compares by identity."""

    def __init__(self, x=0.0):
        self.x = x

    def method(self):
        return self.x


Pair = namedtuple("Pair", "x y")
Color = enum.Enum("Color", "RED BLUE")


def told_apart(*values):
    """Return how often a function is recorded that is called twice with each of these static values."""
    seen = []
    f = compile(lambda x, k: (seen.append(k), x)[1], static=["k"])
    for k in values:
        f(1.0, k)
        f(1.0, k)
    return len(seen)


@pytest.mark.parametrize(
    "values",
    [
        (0.0, -0.0),
        (1, True, 1.0, Fraction(1), Decimal(1), np.float32(1.0), np.int8(1)),
        (np.float32(0.0), np.float32(-0.0)),
        (Decimal("1.0"), Decimal("1.00")),
        (0j, -0j, complex(0.0, -0.0)),
        ((0.0,), (-0.0,)),
        (Pair(1, 2), Pair(1.0, 2), (1, 2)),
        (frozenset([0]), frozenset([0.0]), frozenset([False])),
        (Frozen(0.0), Frozen(-0.0), Frozen(0), Frozen(False), Frozen(np.float64(0))),
        (Frozen((1,)), Frozen((True,)), Frozen(Frozen(1)), Frozen(Frozen(1.0))),
        (Slotted(1), Slotted(1.0), Slotted(1, hidden=2)),
        (range(0), range(1, 1)),
        (Color.RED, Color.BLUE),
        (functools.partial(max, 0.0), functools.partial(max, -0.0)),
        ("1", b"1", None),
    ],
    ids=lambda values: type(values[0]).__name__,
)
def test_values_that_differ_do_not_share_a_program(values):
    """Values that are equal for Python, and differ in type, sign or attributes, have a program each."""
    assert told_apart(*values) == len(values)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ((1, "a", None, 2.0), (1, "a", None, 2.0)),
        (Frozen((1.0, "a")), Frozen((1.0, "a"))),
        (Decimal("1.0"), Decimal("1.0")),
        (np.float32(2), np.float32(2)),
        (Color.RED, Color.RED),
    ],
    ids=lambda x: type(x).__name__,
)
def test_values_that_are_the_same_share_a_program(one, other):
    """Two objects with the same types and numbers share a program."""
    assert told_apart(one, other) == 1


@pytest.mark.parametrize("base", [float, complex, int, str, bytes, tuple, frozenset, Pair])
@pytest.mark.parametrize("wrap", [lambda k: k, lambda k: (k, 1.0)])
def test_an_attribute_of_a_number_a_text_or_a_tuple_of_a_users_class_is_a_part_of_the_static_value(base, wrap):
    kind = type("Quantity", (base,), {"__module__": __name__})
    meters, kilometers, other = [
        kind(*((1, 2) if base is Pair else (b"1",) if base is bytes else ("1",))) for _ in "abc"
    ]
    meters.unit, kilometers.unit, other.unit = 1.0, 1000.0, 1.0
    f = compile(lambda x, k: x * (k.unit if isinstance(k, kind) else k[0].unit), static=["k"])
    assert [f(2.0, wrap(k)) for k in (meters, kilometers, other)] == [2.0, 2000.0, 2.0]
    meters.unit = 5.0
    assert f(2.0, wrap(meters)) == 10.0


@pytest.mark.parametrize(
    ("held", "changed"),
    [
        (lambda: 1.0, lambda k: setattr(k, "x", 5.0)),
        (lambda: [1.0], lambda k: k.x.append(2.0)),
        (lambda: {"a": [1.0]}, lambda k: k.x["a"].append(2.0)),
        (lambda: {1.0}, lambda k: k.x.add(2.0)),
        (lambda: Plain(1.0), lambda k: setattr(k.x, "x", 2.0)),
        (lambda: Plain([1.0]), lambda k: k.x.x.append(2.0)),
        (lambda: Slotted(1.0), lambda k: setattr(k.x, "x", 2.0)),
        (lambda: Slotted(1.0), lambda k: setattr(k.x, "_Slotted__hidden", 2.0)),
        (lambda: np.array([0.0, 1.0]), lambda k: k.x.__setitem__(0, -0.0)),
        (lambda: np.array([0.0, "a"], dtype=object), lambda k: k.x.__setitem__(0, -0.0)),
        (lambda: [0.0] * 5000, lambda k: k.x.append(2.0)),
    ],
)
@pytest.mark.parametrize("wrap", [lambda k: k, lambda k: k.method, lambda k: functools.partial(max, k)])
def test_an_object_that_has_changed_is_another_value(held, changed, wrap):
    """A function of an object is recorded again if anything in the object has changed, however deep inside."""
    k, seen = Plain(held()), []
    static = wrap(k)
    f = compile(lambda x, k: (seen.append(k), x)[1], static=["k"])
    f(1.0, static)
    f(1.0, static)
    assert len(seen) == 1
    changed(k)
    f(1.0, static)
    assert len(seen) == 2


class Rate:
    k = 2.0

    def scaled(self, x):
        return self.k * x


class Doubled(Rate):
    pass


class Settings(enum.Enum):
    FIRST = 1
    SECOND = 2


def rate():
    pass


instance, settings = Doubled(), types.ModuleType("settings")


@pytest.mark.parametrize(
    ("given", "changed"),
    [
        *((x, x) for x in (rate, Rate, settings, Settings.FIRST, Settings)),
        *((x, Rate) for x in (Doubled, instance, instance.scaled)),
        (settings, Settings),
    ],
)
def test_an_attribute_of_a_function_a_class_or_a_module_may_change(given, changed, monkeypatch):
    """What a function reads from a static argument is read anew if it has changed, wherever the attribute is."""
    monkeypatch.setattr(settings, "inner", Settings, raising=False)
    seen = []

    def f(x, g):
        seen.append(changed.k)
        return x * changed.k

    compiled = compile(f, static=["g"])
    for k in (2.0, 5.0, 2):
        monkeypatch.setattr(changed, "k", k, raising=False)
        assert compiled(1.0, given) == compiled(1.0, given) == k
    assert [repr(k) for k in seen] == ["2.0", "5.0", "2"]


def test_an_attribute_of_a_member_of_an_enum_may_end_in_an_underscore(monkeypatch):
    """Enum's own attributes begin with one, such as `_value_`."""
    compiled = compile(lambda x, g: x * g.k_, static=["g"])
    for k in (2.0, 5.0):
        monkeypatch.setattr(Settings.FIRST, "k_", k, raising=False)
        assert compiled(1.0, Settings.FIRST) == k


def test_a_list_of_a_class_and_a_method_may_change(monkeypatch):
    """An attribute of a class that changes in place is another value, and so is a method that is replaced."""
    monkeypatch.setattr(Rate, "held", [2.0], raising=False)
    f = compile(lambda x, g: g.scaled(x) * g.held[0], static=["g"])
    assert f(1.0, instance) == 4.0
    Rate.held[0] = 3.0
    assert f(1.0, instance) == 6.0
    monkeypatch.setattr(Rate, "scaled", lambda self, x: 10.0 * x)
    assert f(1.0, instance) == 30.0


def test_an_object_that_contains_itself_is_a_value():
    """An object that refers to itself can be a static value, and is recorded once."""
    k = Plain()
    k.x = [k, {"k": k}]
    assert told_apart(k, k) == 1


def test_a_model_is_a_value_whose_parameters_may_change():
    """A model as a static value has one program, which reads the parameters' present data at each call."""
    model = MLP(1, [1], seed=0)
    f = compile(lambda model, x: model([x]), static="model")
    before = f(model, 1.0)
    for p in model.parameters():
        p.data += 1.0
    assert f(model, 1.0) == model([1.0]).data != before
    assert "1 program" in repr(f)


class Scaled(Module):
    """A module that has other modules, some of them in collections."""

    def __init__(self):
        self.inner, self.others = Inner(), {"some": [Inner()]}

    def forward(self, x):
        return self.inner(x) + self.others["some"][0](x)


class Inner(Module):
    """A module with a factor, a function and a parameter."""

    doubles = False

    def __init__(self):
        self.factor, self.function, self.w = 1, abs, Value(1.0)

    def forward(self, x):
        return x * self.w * self.function(self.factor) * (1 + self.doubles)


@pytest.mark.parametrize(
    "change",
    [
        lambda m: setattr(m.inner, "factor", 3),
        lambda m: setattr(m.inner, "factor", 1.0),
        lambda m: setattr(m.others["some"][0], "factor", 3),
        lambda m: setattr(m.others["some"][0], "function", float.__neg__),
        lambda m: setattr(m.inner, "doubles", True),
        lambda m: setattr(m, "inner", Inner()),
        lambda m: m.others["some"].__setitem__(0, Inner()),
        lambda m: m.others.update(some=[Inner()]),
    ],
)
def test_a_flag_of_a_module_in_a_model_is_a_part_of_the_static_value(change):
    """What a module holds is compared in each call, however deep it is in the model."""
    m, f = Scaled(), compile(lambda m, x: m(x), static=["m"])
    assert f(m, 2.0) == f(m, 2.0) == 4.0
    m.others["some"][0].factor = 1.0
    f(m, 2.0)
    before = repr(f).splitlines()[0]
    change(m)
    m.inner.w.data = 5.0
    assert f(m, 2.0) == f(m, 2.0) == m(2.0).data
    assert repr(f).splitlines()[0] != before


class Mixed(Module):
    """A module with collections that have other things besides modules, and with a dict whose order matters."""

    def __init__(self):
        self.named = {"a": Inner(), "b": Inner()}
        self.named["b"].factor = 3
        self.items, self.pair = [Inner(), 0.0, [1.0]], (Inner(), 0.0)

    def forward(self, x):
        for part in self.named.values():
            x = part(x) + 1.0
        return x + sum(math.copysign(10.0, number) for number in (self.items[1], self.pair[1])) + self.items[2][0]


@pytest.mark.parametrize(
    "change",
    [
        lambda m: m.named.update(a=m.named.pop("a")),
        lambda m: m.items.__setitem__(1, -0.0),
        lambda m: m.items[2].__setitem__(0, 5.0),
        lambda m: setattr(m, "pair", (m.pair[0], -0.0)),
    ],
)
def test_the_order_and_other_items_of_collections_of_modules_are_a_part_of_the_static_value(change):
    m, f = Mixed(), compile(lambda m, x: m(x), static=["m"])
    before = f(m, 2.0)
    change(m)
    assert f(m, 2.0) == f(m, 2.0) == m(2.0).data != before


def test_an_activation_of_a_layer_and_a_class_attribute_of_a_module_may_change(monkeypatch):
    model, f = MLP(2, [2, 1], activation="tanh", seed=0), compile(lambda m, x: m(x), static=["m"])
    before = f(model, [-1.0, -2.0])
    model.layers[0].neurons[0].activation = model.layers[0].neurons[1].activation = "relu"
    assert f(model, [-1.0, -2.0]) == pytest.approx(model([-1.0, -2.0]).data, rel=1e-14)
    assert f(model, [-1.0, -2.0]) != before
    m = Scaled()
    assert f(m, 2.0) == 4.0
    monkeypatch.setattr(Inner, "doubles", True)
    assert f(m, 2.0) == 8.0


def test_the_key_of_a_model_does_not_keep_it_alive_longer_than_the_function():
    m, f = Scaled(), compile(lambda m, x: m(x), static=["m"])
    f(m, 2.0)
    dead = weakref.ref(m)
    del m, f
    assert dead() is None


@pytest.mark.parametrize("keys", [(1, True, 1.0), (0.0, -0.0), (Frozen(1), Frozen(True))])
def test_dicts_whose_keys_differ_do_not_share_a_program(keys):
    """Dicts with keys such as 1 and True, which are equal for Python, have a program each."""
    seen = []
    f = compile(lambda d: (seen.extend(d), sum(d.values()) * 2.0)[1])
    assert [f({key: 3.0}) for key in keys] == [6.0] * len(keys) == [f({key: 3.0}) for key in keys]
    assert [repr(key) for key in seen] == [repr(key) for key in keys]
    assert f.gradient([({keys[0]: 3.0},)]) == [[2.0]]


def test_a_parameter_is_a_static_value_by_identity():
    """A `Value` as a static argument has one program whatever its data are, and another `Value` has another one."""
    w = Value(2.0)
    f = compile(lambda w, x: w * x, static="w")
    assert f(w, 3.0) == 6.0
    w.data = 5.0
    assert (f(w, 3.0), f(Value(1.0), 3.0)) == (15.0, 3.0)


FACTOR = 2.0


def scaled_by_global(z):
    return FACTOR * z


def test_a_function_whose_surroundings_have_changed_is_another_static_value(monkeypatch):
    """Its closure, its defaults, its code and the numbers among its globals are compared, also in a partial."""
    k, table, weight = 2.0, [2.0], Value(2.0)

    def closed(z):
        return k * z

    def of_table(z):
        return inner(z)

    def inner(z):
        return table[0] * z

    def by_default(z, k=2.0, *, more=0.0):
        return k * z + more

    def recoded(z):
        return 2.0 * z

    def of_weight(z):
        return weight * z

    f = compile(lambda x, h: h(x), static=["h"])
    functions = [closed, of_table, by_default, recoded, scaled_by_global, functools.partial(closed), of_weight]
    for _ in range(2):
        assert [f(1.0, h) for h in functions] == [2.0] * 7
    assert len(f._store.recordings) == 7
    k, table[0], weight.data = 5.0, 5.0, 5.0
    by_default.__defaults__, recoded.__code__ = (5.0,), (lambda z: 5.0 * z).__code__
    monkeypatch.setitem(globals(), "FACTOR", 5.0)
    for _ in range(2):
        assert [f(1.0, h) for h in functions] == [5.0] * 7
    assert len(f._store.recordings) == 7 + 6  # a parameter is read at each call
    by_default.__kwdefaults__["more"] = 1.0
    assert f(1.0, by_default) == 6.0


def test_a_function_that_calls_itself_is_one_static_value():
    def power(z, n=3):
        return z * power(z, n - 1) if n else 1.0

    assert told_apart(power, power) == 1


def test_a_dataclass_that_compares_by_its_fields_says_which_option_it_needs():
    def made(*bases, **options):
        @dataclass(**options)
        class Line(*bases):
            w: object

            def __call__(self, x):
                return self.w * x

        return Line(Value(2.0))

    f = compile(lambda m, x: m(x), static=["m"])
    with pytest.raises(
        TypeError, match=r"'Line', since .*; write @dataclass\(eq=False\), or @dataclass\(frozen=True\)"
    ):
        f(made(), 3.0)
    with pytest.raises(TypeError, match=r"'Line', since .*; write @dataclass\(eq=False\)$"):
        f(made(Module), 3.0)  # whose attributes may be assigned
    assert f(made(eq=False), 3.0) == f(made(frozen=True), 3.0) == f(made(Module, eq=False), 3.0) == 6.0


def test_the_contents_of_a_function_are_read_once_for_each_static_value(monkeypatch):
    """Each of seven functions names all of them. To follow each path from name to name would take a factorial time."""
    table = [2.0]

    def made(i):
        def function(z):
            return others[i - 1](z) if i else table[0] * z

        others = []
        return function, others

    pairs = [made(i) for i in range(7)]
    functions = [function for function, _ in pairs]
    for _, others in pairs:
        others += functions
    reads, read = [], static_values._function_identity
    monkeypatch.setattr(static_values, "_function_identity", lambda f, *more: reads.append(f) or read(f, *more))
    f = compile(lambda x, h: h(x), static=["h"])
    for k in (2.0, 5.0):
        table[0] = k
        reads.clear()
        assert f(1.0, functions[-1]) == k
        assert len(reads) == len({*reads}) == 7
    assert len(f._store.recordings) == 2


def test_the_attributes_of_an_object_are_read_once_for_each_static_value(monkeypatch):
    """Each of six objects names all others. To follow each path from object to object would take a factorial time."""

    class Node:
        def __init__(self, k):
            self.k, self.others = k, []

    nodes = [Node(float(k)) for k in range(6)]
    for node in nodes:
        node.others = [other for other in nodes if other is not node]
    read, named_attributes = [], static_values.named_attributes
    monkeypatch.setattr(static_values, "named_attributes", lambda x: read.append(x) or named_attributes(x))
    f = compile(lambda x, node: node.others[0].others[1].k * x, static=["node"])
    assert f(1.0, nodes[5]) == 2.0
    for k in (5.0, 7.0):
        nodes[2].k = k
        read.clear()
        key = static_values.static_value("node", nodes[5])
        assert len(read) == len({*read}) == 6
        assert key == static_values.static_value("node", nodes[5])
        assert f(1.0, nodes[5]) == k
    assert len(f._store.recordings) == 3


scale = 2.0


def test_a_number_that_an_inner_function_reads_is_a_part_of_the_static_value(monkeypatch):
    def outer(x):
        def inner():
            return scale * x

        return inner()

    f = compile(lambda x, g: g(x), static=["g"])
    assert f(1.0, outer) == 2.0
    monkeypatch.setitem(globals(), "scale", 5.0)
    assert f(1.0, outer) == 5.0


def test_a_long_chain_of_functions_is_a_static_value():
    def twice(g):
        return lambda z: g(z)

    scale = [2.0]
    chain = last = lambda z: scale[0] * z
    for _ in range(2000):
        chain = twice(chain)
    before = static_values.static_value("h", chain)
    assert before == static_values.static_value("h", chain)
    scale[0] = 5.0
    assert before != static_values.static_value("h", chain)
    assert hash(before) == hash(before)  # it is not too deep, either
    assert last(1.0) == 5.0


def counting(z):
    global COUNT
    COUNT += 1
    return 2.0 * z


COUNT = 0


def counting_in_closure():
    count, seen = 0, []

    def function(z):
        nonlocal count
        count += 1
        seen.append(z)
        return 2.0 * z

    return function


def counting_decorator(f):
    counts = {"calls": 0}

    @functools.wraps(f)
    def wrapper(z):
        counts["calls"] += 1
        return f(z)

    return wrapper


@pytest.mark.parametrize(
    "function",
    [counting, counting_in_closure(), counting_decorator(lambda z: 2.0 * z), functools.partial(counting_in_closure())],
    ids=["global", "closure", "decorator", "partial"],
)
def test_a_static_function_that_counts_its_calls_is_recorded_once(function):
    f = compile(lambda x, h: h(x), static=["h"])
    for _ in range(10):
        assert f(3.0, function) == 6.0
    assert len(f._store.programs) == 1
    assert "1 program\n" in repr(f)
    assert "2.0" in f.source("python")
    assert f.gradient([(3.0, function)] * 2, wrt="inputs") == [[2.0]] * 2
    assert len(f._store.programs) == 1


def test_a_static_object_that_counts_its_calls_is_called_no_more_once_it_is_recorded():
    class Counting:
        calls = 0

        def __call__(self, z):
            self.calls += 1
            return 2.0 * z

    f, held = compile(lambda x, h: h(x), static=["h"]), Counting()
    assert f(3.0, held) == 6.0
    calls = held.calls
    assert [f(3.0, held) for _ in range(5)] == [6.0] * 5
    assert held.calls == calls


def test_a_static_function_that_counts_and_compares_has_the_right_branch_for_each_sample():
    """What one branch does to the state of the function may change what the other branch computes."""

    def made():
        state = {"seen": False}

        def function(z):
            if z > 0.0:
                state["seen"] = True
                return 2.0 * z
            return z * (3.0 if state["seen"] else 5.0)

        return function, state

    f = compile(lambda x, h: h(x), static=["h"], branches=True)
    (ours, state), (theirs, other) = made(), made()
    for x, reset in [
        (1.0, 0),
        (-1.0, 0),
        (-2.0, 1),
        (-3.0, 0),
        (1.0, 0),
        (-3.0, 0),
        (2.0, 1),
        (-1.0, 1),
        (-1.0, 0),
    ] * 2:
        if reset:
            state["seen"] = other["seen"] = False
        assert f(x, ours) == theirs(x)
        state.update(other)  # a program does not change it


@pytest.mark.parametrize("branches", [False, True])
def test_a_static_function_that_counts_has_one_program_for_each_structure_and_branch(branches):
    """Its state changes at each recording, so each call finds a state in which its structure was not recorded."""
    count, w = 0, Value(2.0)

    def function(z):
        nonlocal count
        count += 1
        if isinstance(z, list):
            return 3.0 * w * z[0] + z[1]
        return w * z if not branches or z > 0.0 else 5.0 * w * z

    f = compile(lambda x, h: h(x), static=["h"], branches=branches)
    for _ in range(30):
        assert f(1.0, function) == 2.0
        assert f([1.0, 2.0], function) == 8.0
        assert not branches or f(-1.0, function) == -10.0
    assert len(f._store.programs) == 2 + branches
    assert len(f._store.recordings) < 60
    assert f.parameters == [w]


def test_a_static_function_that_counts_is_not_taken_for_what_it_was_in_another_state():
    state, weights = {"calls": 0, "scale": 2.0}, [Value(2.0), Value(2.0)]

    def function(z):
        state["calls"] += 1
        return weights[0] * state["scale"] * (z[0] if isinstance(z, list) else z)

    f = compile(lambda x, h: h(x), static=["h"])
    for scale in (2.0, 3.0, 2.0, 5.0):
        state["scale"] = scale
        for x in (1.0, [1.0], 1.0, [1.0]):
            assert f(x, function) == 2.0 * scale
    assert len(f._store.programs) == 6
    weights.reverse()
    for x in (1.0, [1.0], 1.0, [1.0]):
        samples = [(x, function)]
        assert f.gradient(samples, wrt=[weights[0]]) == [[5.0]]
        assert f.gradient(samples, wrt=[weights[1]]) == [[0.0]]


def test_a_single_static_value_for_all_samples_says_how_to_repeat_it():
    def sign(x, k):
        return x if k == "a" else -x

    f = compile(sign, static="k")
    for value, write in [
        ("a", r"\['a'\] \* len\(x\)"),
        (None, r"\[None\] \* len\(x\)"),
        (len, r"\[k\] \* len\(x\)"),
        (("a", "a"), r"\[k\] \* len\(x\)"),
        ({"a": 1}, r"\[k\] \* len\(x\)"),
    ]:
        for call in (f.forward, f.gradient, f.jacobian):
            with pytest.raises(TypeError, match=f"for k, which is static; write {write} for the same value"):
                call(([1.0, 2.0], value))
        with pytest.raises(TypeError, match=r"write \[\(x, k\)\] for one sample"):
            f.forward((1.0, value))
    with pytest.raises(TypeError, match="which is static; write a list of tuples, one for each sample"):
        f.forward((np.ones(2), "a"))
    x = [1.0, 2.0]
    assert f.forward((x, ["a"] * len(x))) == [1.0, 2.0]
    assert f.forward((x, 3)) == [-1.0, -2.0]


def test_columns_of_different_lengths_are_named_if_one_is_static():
    f = compile(lambda x, k: x if k == "a" else -x, static="k")
    with pytest.raises(ValueError, match="of equal length, but got 2 of x, 3 of k"):
        f.forward(([1.0, 2.0], list("abc")))


class Holder:
    def __init__(self, function, program):
        self.function, self.program = function, program


def test_what_compiled_code_holds_is_no_part_of_a_static_value():
    """A compiled function, or a program, is the same static value after it has run, alone or held by an object."""
    w, x = Value(2.0), Value(1.0)
    program = compile(w * x, inputs=[x])
    function = compile(lambda z: w * z)
    f = compile(lambda z, held: held.function(z) * len(held.program.inputs), static=["held"])
    g = compile(lambda z, h: h(z), static=["h"])
    held = Holder(function, program)
    for k in range(3):
        assert f(3.0, held) == g(3.0, function) == 6.0
        assert function(float(k)) == program.forward([[k]])[0] == 2.0 * k
    assert len(f._store.recordings) == len(g._store.recordings) == 1
    function.scale = 3.0
    assert f(3.0, held) == 6.0
    assert len(f._store.recordings) == 2


def test_a_static_argument_may_have_an_attribute_with_a_method_named_size():
    class Held:
        def __init__(self, part):
            self.part = part

    class Sized:
        def __init__(self, gain):
            self.gain = gain

        def size(self):
            return 3

    weight = Value(2.0)
    f = compile(lambda x, option: weight * x * option.part.gain, static="option")
    options = [Held(Sized(gain)) for gain in (3.0, 5.0)]
    assert [f(1.0, option) for option in options] == [6.0, 10.0]


def test_a_tensor_in_a_static_argument_is_compared_by_its_numbers():
    torch = pytest.importorskip("torch")
    option, weight = type("Option", (), {})(), Value(2.0)
    option.gain = torch.arange(5000.0)
    f = compile(lambda x, option: weight * x * float(option.gain[2000]), static="option")
    assert f(1.0, option) == 4000.0
    option.gain[2000] += 1e-3
    assert f(1.0, option) == 2.0 * float(option.gain[2000]) != 4000.0
