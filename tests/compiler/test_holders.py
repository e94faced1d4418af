"""Whatever holds the code that a compiled function runs, or an object that it reads, a change is noticed."""

import random
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
