"""Whatever holds the code that a compiled function runs, or an object that it reads, a change is noticed."""

import functools
import random
import sys
from types import ModuleType
from typing import NamedTuple

import pytest

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


def noisy(x):
    return random.random() * x


settings = ModuleType("settings_of_a_test")
settings.inner = ModuleType("settings_of_a_test.inner")
settings.scale = settings.inner.width = 2.0
settings.draws = noisy
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
