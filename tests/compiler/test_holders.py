"""Whatever holds the code that a compiled function runs, or an object that it reads, a change is noticed."""

import collections
import enum
import functools
import gc
import itertools
import random
import sys
import weakref
from types import MappingProxyType, ModuleType, SimpleNamespace
from typing import NamedTuple

import numpy as np
import pytest

from micrograd_cn import Value
from micrograd_cn.compiler import compile  # noqa: A004 -- the field's name

NOT_SAME, CHANGED = "does not do the same in each call", "is not what it was when its program was made"
gain, calls = {"k": 1.0}, 0


class State(NamedTuple):
    x: float

    def drag(self):
        return gain["k"] * self.x

    def noisy(self):
        return random.random() * self.x

    def counted(self):
        global calls
        calls += 1
        return calls * self.x

    def __neg__(self):
        return gain["k"] * self.x

    unit = 2.0


class Flow(State):
    __slots__ = ()


class Key:
    def scaled(self, x):
        return gain["k"] * x


class SimpleKey:
    def scaled(self, x):
        return 2.0 * x


@pytest.mark.parametrize("f", [lambda s: s.noisy(), lambda s: s.counted()])
def test_methods_of_a_namedtuple_that_do_something_else_in_each_call_are_refused(f):
    with pytest.raises(TypeError, match=NOT_SAME):
        compile(f)(State(1.0))


@pytest.mark.parametrize(
    ("f", "argument", "holder", "name", "new"),
    [
        (lambda s: s.drag(), State(1.0), gain, "k", 5.0),
        (lambda s: -s[1]["a"], [1.0, {"a": Flow(1.0)}], gain, "k", 5.0),
        (lambda s: s.drag() + s.drag(), Flow(1.0), State, "drag", lambda s: 3.0 * s.x),
        (lambda s: s[0].x * s[0].unit, (State(1.0), 1.0), State, "unit", 5.0),
        (lambda s: [key.scaled(x) for key, x in s.items()], {Key(): 1.0}, gain, "k", 5.0),
    ],
)
def test_what_is_read_by_methods_of_arguments_is_noticed(f, argument, holder, name, new, monkeypatch):
    compiled = compile(f)
    compiled(argument)
    if holder is gain:
        monkeypatch.setitem(holder, name, new)
    else:
        monkeypatch.setattr(holder, name, new)
    with pytest.raises(ValueError, match=CHANGED):
        compiled(argument)


def test_what_later_arguments_bring_is_noticed(monkeypatch):
    """Each class of a namedtuple and each value of a static argument has its own methods."""
    unary, chosen, key = compile(lambda s: -s), compile(lambda key, x: key.scaled(x), static="key"), Key()
    unary(1.0)
    unary(State(1.0))
    chosen(SimpleKey(), 1.0)
    chosen(key, 1.0)
    monkeypatch.setitem(gain, "k", 5.0)
    with pytest.raises(ValueError, match=CHANGED):
        unary(State(1.0))
    with pytest.raises(ValueError, match=CHANGED):
        chosen(key, 1.0)


def drawn_times(x):
    return random.random() * x


settings = ModuleType("settings_of_a_test")
settings.inner = ModuleType("settings_of_a_test.inner")
settings.scale = settings.inner.width = 2.0
settings.draws = drawn_times
sys.modules[settings.__name__] = settings
modules = [settings]


def scaled(module, x, use=lambda module, x: module.scale * x):
    return use(module, x)


def of_default(x, module=settings):
    return module.scale * x


class Model:
    def __init__(self):
        self.held = settings

    def __call__(self, x):
        return self.held.scale * x


def imported(x):
    import settings_of_a_test as module

    return module.scale * x


READING = [
    *(Model(), of_default, imported, functools.partial(scaled, settings)),
    *(lambda x: scaled(settings, x), lambda x: modules[0].scale * x, lambda x: settings.inner.width * x),
]


@pytest.mark.parametrize("f", READING)
def test_a_variable_of_a_module_is_noticed_wherever_the_module_is_found(f, monkeypatch):
    compiled = compile(f)
    compiled(1.0)
    monkeypatch.setattr(settings, "scale", 5.0)
    monkeypatch.setattr(settings.inner, "width", 5.0)
    with pytest.raises(ValueError, match=CHANGED):
        compiled(1.0)


def drawn(module, x):
    return module.draws(x)


def importing(x):
    import settings_of_a_test as module

    return module.draws(x)


@pytest.mark.parametrize("f", [importing, lambda x: modules[0].draws(x), lambda x: scaled(settings, x, drawn)])
def test_a_module_that_draws_numbers_is_noticed_wherever_it_is_found(f):
    with pytest.raises(TypeError, match=NOT_SAME):
        compile(f)(1.0)


class Scaling:
    """A function with an attribute that it reads, and one that draws numbers."""

    def __init__(self):
        self.factor = 2.0

    def __call__(self, x):
        return self.factor * x


class Drawing:
    def __call__(self, x):
        return random.random() * x


class Attributed(Value):
    pass


class Number(int):
    pass


class Name(str):
    pass


class Level(enum.IntEnum):
    LOW = 1


class Mapping(dict):
    def __missing__(self, key):
        return self.default


class Matrix(np.ndarray):
    pass


def array_of(*items):
    made = np.empty(len(items), object)
    made[:] = items
    return made


def with_attribute(x, f):
    x.default = f
    return x


def only(items):
    [item] = items
    return item


def enumeration(f):
    return enum.Enum("Made", {"ONE": f})


FIELDS = [("gain", float), ("f", object)]
# Functions that make a holder of `f`, and functions that read `f` from it
HOLDERS = {
    "array": (array_of, lambda x: x[0]),
    "grid": (lambda f: array_of(f, f, f, f).reshape(2, 2), lambda x: x[1, 1]),
    "subclass of an array": (lambda f: array_of(f).view(Matrix), lambda x: x[0]),
    "array in an array": (lambda f: array_of([array_of(f)]), lambda x: x[0][0][0]),
    "records": (lambda f: np.array([(1.0, f)], FIELDS), lambda x: x["f"][0]),
    "record": (lambda f: np.array([(1.0, f)], FIELDS)[0], lambda x: x["f"]),
    "frozenset": (lambda f: frozenset([f]), only),
    "key": (lambda f: {f: 1.0}, only),
    "key that is a tuple": (lambda f: {(1.0, f): 1.0}, lambda x: only(x)[1]),
    "view of a dict": (lambda f: {1: f}.values(), only),
    "mapping proxy": (lambda f: MappingProxyType({1: f}), lambda x: x[1]),
    "enumeration": (enumeration, lambda x: x["ONE"].value),
    "members of an enumeration": (enumeration, lambda x: only([member.value for member in x])),
    "missing key": (lambda f: with_attribute(Mapping(), f), lambda x: x[1]),
    "factory": (lambda f: collections.defaultdict(lambda: f), lambda x: x.default_factory()),
    "exception": (ValueError, lambda x: x.args[0]),
    "attribute of a value": (lambda f: with_attribute(Attributed(1.0), f), lambda x: x.default),
    "attribute of an int": (lambda f: with_attribute(Number(1), f), lambda x: x.default),
    "attribute of a text": (lambda f: with_attribute(Name("1"), f), lambda x: x.default),
    "attribute of a member": (lambda f: with_attribute(Level.LOW, f), lambda x: x.default),
    "repeat": (itertools.repeat, next),
    "ufunc": (lambda f: np.frompyfunc(f, 1, 1), lambda x: x),
    "weak reference": (weakref.ref, lambda x: x()),
    "weak proxy": (weakref.proxy, lambda x: x),
    "weak method": (lambda f: weakref.WeakMethod(f.__call__), lambda x: x()),
    "weak dict": (lambda f: weakref.WeakValueDictionary({1: f}), lambda x: x[1]),
    "weak set": (lambda f: weakref.WeakSet([f]), only),
}


@pytest.mark.parametrize("name", HOLDERS)
def test_code_and_attributes_of_functions_are_found_in_every_holder(name):
    make, read = HOLDERS[name]
    drawing, scaling = Drawing(), Scaling()
    held = make(drawing)
    with pytest.raises(TypeError, match=NOT_SAME):
        compile(lambda x: read(held)(x))(1.0)
    held = make(scaling)
    compiled = compile(lambda x: read(held)(x))
    compiled(1.0)
    scaling.factor = 5.0
    with pytest.raises(ValueError, match=CHANGED):
        compiled(1.0)


class Parent:
    def __init__(self):
        self.table, self.rates, self.other, self.inner = [1.0], np.ones(2), [1.0], SimpleNamespace(rate=1.0)


class Child:
    def __init__(self, parent):
        self.parent = weakref.ref(parent)

    def __call__(self, x):
        parent = self.parent()
        return parent.table[0] * parent.rates[1] * parent.inner.rate * x if parent else x


@pytest.mark.parametrize(
    "change",
    [
        lambda parent: parent.table.__setitem__(0, 5.0),
        lambda parent: parent.rates.__setitem__(1, 5.0),
        lambda parent: setattr(parent.inner, "rate", 5.0),
        lambda parent: setattr(parent, "table", [5.0]),
    ],
)
def test_what_the_object_behind_a_weak_reference_holds_is_noticed(change):
    parent = Parent()
    compiled = compile(Child(parent))
    compiled(1.0)
    change(parent)
    with pytest.raises(ValueError, match=CHANGED):
        compiled(1.0)


def test_a_weak_reference_stays_weak_and_what_is_not_read_behind_it_may_change():
    parent = Parent()
    compiled = compile(Child(parent))
    compiled(1.0)
    parent.other[0] = 5.0
    assert not compiled._stale.has_changed()
    gone = weakref.ref(parent)
    del parent
    gc.collect()
    assert gone() is None


@pytest.mark.filterwarnings("ignore:Setting the .* on a NumPy array has been deprecated:DeprecationWarning")
@pytest.mark.parametrize("kind", [np.ndarray, Matrix])
@pytest.mark.parametrize(("name", "new"), [("shape", (4, 1)), ("dtype", np.int64)])
def test_an_array_that_gets_another_shape_or_dtype_in_place_is_noticed(name, new, kind):
    table = np.array([[1.0, 2.0], [3.0, 4.0]]).view(kind)
    compiled = compile(lambda x: table[1, 0] * x)
    compiled(1.0)
    setattr(table, name, new)
    with pytest.raises(ValueError, match=CHANGED):
        compiled(1.0)


class Linear:
    slope = 2.0

    def __call__(self, x):
        return self.slope * x


class Steep(Linear):
    slope = 5.0


class Shifted(Linear):
    def __call__(self, x):
        return super().__call__(x) + 1.0


class Fixed:
    slope = 9.0

    def __call__(self, x):
        return x


@pytest.mark.parametrize(
    "made", [lambda kind: kind(), lambda kind: lambda x: kind()(x), lambda kind: lambda x: kind.slope * x]
)
@pytest.mark.parametrize("base", [Steep, Fixed])
def test_a_class_that_gets_other_bases_is_noticed(made, base):
    kind = type("Kind", (Shifted if base is Steep else Linear,), {"__module__": __name__})
    compiled = compile(made(kind))
    compiled(1.0)
    kind.__bases__ = (base,)
    with pytest.raises(ValueError, match=CHANGED):
        compiled(1.0)
