"""A function that does something else in each call, or whose parameters are replaced, is told so."""

import array
import bisect
import collections
import contextlib
import contextvars
import csv
import ctypes
import dataclasses
import functools
import gc
import heapq
import io
import itertools
import logging
import operator
import os
import queue
import random
import struct
import sys
import threading
import time
import weakref
from collections import ChainMap, Counter, OrderedDict, defaultdict, deque
from datetime import datetime
from os import urandom
from secrets import randbelow
from types import FunctionType, MappingProxyType, ModuleType, SimpleNamespace
from uuid import uuid4

import numpy as np
import pytest

import micrograd_cn as mc
from micrograd_cn import Op, Value, functional
from micrograd_cn import losses as loss_functions
from micrograd_cn.compiler import compile  # noqa: A004 -- the field's name
from micrograd_cn.compiler.function.recorder import Recorder
from micrograd_cn.compiler.function.stale import StaleCheck
from micrograd_cn.compiler.surroundings.objects import progress_of, text_behind
from micrograd_cn.compiler.surroundings.reach import Reach
from micrograd_cn.compiler.surroundings.surroundings import Surroundings
from micrograd_cn.nn import MLP, Layer, Module, Neuron
from micrograd_cn.optim import SGD, Adam, Optimizer

DIFFERS = "does not do the same in each call: of two recordings for the same arguments"
w = Value(2.0, "w")
calls = 0


class Dropout(Module):
    def __init__(self, generator):
        self.generator, self.w = generator, Value(1.5)

    def __call__(self, x):
        return self.w * x * self.mask()

    def mask(self):
        return 1.0 + self.generator.random()


class Holder:
    count = 0

    def __init__(self):
        self.n, self.items = 0, [1.0, 2.0, 3.0]

    def of_attribute(self, x):
        self.n += 1
        return x * self.n

    def of_class(self, x):
        Holder.count += 1
        return x * Holder.count

    def of_items(self, x):
        return x * self.items.pop()


class Forward(Module):
    def __init__(self, state):
        self.w, self.n, self.state = Value(1.5), 0, state

    def forward(self, x):
        return self.state(self, self.w * (x[0] if isinstance(x, list) else x))


class Deeper(Forward):
    pass


def counted(self, x):
    self.n += 1
    return x * self.n


def recurrent(self, x):
    self.n = x + self.n
    return self.n


def noise(x):
    return x * random.random()


class Noisy(Layer):
    def __call__(self, x):
        return super().__call__(x) * random.random()


def with_one_noisy_neuron():
    model = MLP(1, [300, 1])
    model.layers[0].neurons[250].activation = noise
    return model


def counting_activation():
    n = 0

    def activation(x):
        nonlocal n
        n += 1
        return x * n

    return activation


def of_several_models(*models):
    return lambda x: mc.sum([model([x]) for model in models])


@mc.scope("noise")
def in_a_scope(x):
    return noise(x)


@mc.scope("count")
def counted_in_a_scope(x):
    global calls
    calls += 1
    return x * calls


@mc.no_grad()
def without_gradient(x):
    return noise(x)


@mc.detect_anomaly()
def watched(x):
    return noise(x)


@contextlib.contextmanager
def counting():
    global calls
    calls += 1
    yield


@counting()
def in_a_block(x):
    return x * calls


class Counting(contextlib.ContextDecorator):
    def __enter__(self):
        global calls
        calls += 1

    def __exit__(self, *error):
        pass


@Counting()
def in_a_block_of_a_class(x):
    return x * calls


derived = functional.grad(lambda x: x * noise(x))
derived_with_value = functional.value_and_grad(lambda x: x * noise(x))
second = functional.hessian(lambda x: x * noise(x))


class Slotted:
    __slots__ = ("n",)

    def __init__(self):
        self.n = 0.0

    def __call__(self, x):
        self.n += 1.0
        return x * self.n


class Counting:
    of_class_method = of_static_method = 0

    @classmethod
    def by_class(cls, x):
        cls.of_class_method += 1
        return x * cls.of_class_method

    @staticmethod
    def by_name(x):
        Counting.of_static_method += 1
        return x * Counting.of_static_method


class Drawing:
    def __init__(self):
        self.x = random.random()


@dataclasses.dataclass
class DrawingField:
    x: float = dataclasses.field(default_factory=random.random)


class Step:
    def __init__(self, f):
        self.f = f

    def __call__(self, x):
        return self.f(x)


class Steps:
    def __init__(self, *fs):
        self.steps = [Step(f) for f in fs]

    def __call__(self, x):
        for step in self.steps:
            x = step(x)
        return x


def doubled(x):
    return x * 2.0


def noisy(x):
    return x * random.random()


def of_function(x):
    of_function.calls += 1
    return x * of_function.calls


of_function.calls = 0


def of_first_item(held):
    def f(x):
        held[0] += 1
        return x * float(held[0])

    return f


now = datetime.now
class_of = type


def of_global(x):
    global calls
    calls += 1
    return x * calls


def of_variable():
    n = 0

    def f(x):
        nonlocal n
        n += 1
        return x * n

    return f


def of_collection(change, held):
    def f(x):
        change(held)
        return x * mc.sum([*(held.values() if isinstance(held, dict) else held), 1.0])

    return f


def of_iterator(iterator):
    return lambda x: x * next(iterator)


def of_default(x, seen=[]):  # noqa: B006 -- the fault is the case
    seen.append(1.0)
    return x * len(seen)


def of_import(x):
    import random as r

    return x * r.random()


def of_branch(x):
    return x if random.random() < 0.5 else -x


def nested(f):
    return lambda x: functools.partial(f)(x) * 1.0


def decided_by(generator):
    return lambda x: x if generator.random() < 2.0 else -x


def to_random(generator):
    return lambda x: x * generator.random()


@pytest.mark.parametrize(
    "f",
    [
        lambda x: x * random.random(),
        lambda x: x * random.Random().random(),
        lambda x: x * np.random.rand(),
        lambda x: x * np.random.default_rng().random(),
        lambda x: x * time.perf_counter(),
        lambda x: MLP(1, [1])([x]),
        to_random(random.Random(1)),
        to_random(np.random.default_rng(1)),
        to_random(np.random.RandomState(1)),
        # These decide the same in both recordings
        lambda x: x if random.random() < 2.0 else -x,
        lambda x: x if np.random.rand() < 2.0 else -x,
        lambda x: x if np.random.default_rng(1).random() < 2.0 and random.gauss() < 100.0 else -x,
        decided_by(np.random.default_rng(1)),
        decided_by(random.Random(1)),
        Dropout(random.Random(0)),
        Dropout(np.random.default_rng(0)),
        Holder().of_attribute,
        Holder().of_class,
        Holder().of_items,
        of_global,
        of_variable(),
        of_collection(lambda held: held.append(1.0), []),
        of_collection(lambda held: held.pop(), [1.0, 2.0, 3.0]),
        of_collection(lambda held: held.__setitem__(0, held[0] + 1.0), [1.0]),
        of_collection(lambda held: held.update({len(held): 1.0}), {}),
        of_collection(lambda held: held.add(float(len(held))), set()),
        of_collection(lambda held: held.appendleft(1.0), collections.deque()),
        of_iterator(itertools.count(1.0)),
        of_iterator(iter([1.0, 2.0])),
        of_iterator(x for x in (1.0, 2.0)),
        of_iterator(iter([1.0])),
        of_default,
        of_import,
        nested(of_variable()),
        nested(compile(of_variable())),
        functools.partial(lambda generator, x: x * generator.random(), random.Random(0)),
        to_random(random.SystemRandom()),
        of_first_item([0.0] * 250),
        of_first_item(dict.fromkeys(range(300), 0.0)),
        of_first_item(np.zeros(2)),
        of_first_item(np.zeros((2, 2), np.int32)[0]),
        of_first_item(bytearray(1)),
        of_first_item(array.array("d", [0.0])),
        of_function,
        Slotted(),
        lambda x: Counting.by_class(x),
        lambda x: Counting.by_name(x),
        lambda x: x * randbelow(10**9),
        lambda x: x * (uuid4().int % 10**9),
        lambda x: x * int.from_bytes(urandom(4), "big"),
        *([lambda x: x * int.from_bytes(os.getrandom(4), "big")] if hasattr(os, "getrandom") else []),
        lambda x: x * now().microsecond,
        lambda x: x * Drawing().x,
        lambda x: x * DrawingField().x,
        Steps(noisy, doubled),
        Steps(doubled, noisy),
        Forward(lambda self, x: noise(x)),
        Forward(counted),
        Forward(recurrent),
        Deeper(counted),
        of_several_models(Forward(lambda self, x: x), Forward(lambda self, x: noise(x))),
        of_several_models(MLP(1, [2, 1], noise)),
        of_several_models(MLP(1, [2, 1]), MLP(1, [2, 1], noise)),
        of_several_models(MLP(1, [300, 1], counting_activation())),
        of_several_models(with_one_noisy_neuron()),
        of_several_models(Layer(1, 1, activation=noise)),
        of_several_models(Noisy(1, 1)),
        lambda x: in_a_scope(w * x),
        lambda x: counted_in_a_scope(w * x),
        lambda x: w * x + without_gradient(w * x),
        lambda x: watched(w * x),
        lambda x: in_a_block(w * x),
        lambda x: in_a_block_of_a_class(w * x),
        lambda x: derived(w * x),
        lambda x: derived_with_value(w * x)[1],
        lambda x: second(w * x),
    ],
)
def test_a_function_that_does_something_else_in_each_call_is_refused_in_its_first_call(f):
    """The recordings of two calls with the same arguments differ, and the message says how."""
    with pytest.raises(TypeError, match=DIFFERS):
        compile(f)(3.0)


def test_a_sampler_of_numpy_may_be_reached():
    """It is a method of a class of Cython, whose `__module__` is a descriptor."""
    from numpy.random import normal, seed

    drawn = SimpleNamespace(init=np.random.randn, seed=seed)
    assert compile(lambda x: w * x if drawn else normal(x))(3.0) == 3.0 * w.data
    with pytest.raises(TypeError, match=DIFFERS):
        compile(lambda x: w * (x + normal()))(3.0)


@pytest.mark.parametrize("place", range(5))
def test_the_text_of_an_object_behind_a_weak_reference_changes_with_each_part(place):
    parts = [Value(1.0), float, nested, "text"]  # what is inside the first three is not looked at
    parts.insert(place, [1.0])
    x = Holder()
    for i, part in enumerate(parts):
        setattr(x, f"part{i}", part)
    before = text_behind(weakref.ref(x), None)
    assert text_behind(weakref.ref(x), None) == before
    parts[place][0] = 2.0
    assert text_behind(weakref.ref(x), None) != before


def test_a_class_of_a_notebook_belongs_to_the_user():
    """The module of a notebook's cells has no file, as the modules that are built into Python have none."""
    names = {"__name__": "a_notebook", "random": random}
    exec("class Noise:\n    def __call__(self, x): return x * random.random()", names)
    with pytest.raises(TypeError, match=DIFFERS):
        compile(names["Noise"]())(3.0)


def test_a_function_that_returns_what_its_first_call_computed_is_refused():
    """In plain Python, each call returns the value of the first."""
    seen = []

    def f(x):
        seen.append(x * w)
        return seen[0] * 1.0

    with pytest.raises(TypeError, match=DIFFERS + r".*one of them uses mul\(...\), computed before the call"):
        compile(f)(3.0)


@pytest.mark.parametrize("stop", [lambda x: x.detach(), mc.no_grad()(lambda x: 2.0 * x)])
def test_what_is_detached_may_be_a_condition_in_both_recordings(stop):
    """In plain Python it is a constant `Value`, which is true as any other."""
    held = SimpleNamespace()

    def f(x):
        held.last = stop(w)
        try:
            return w * x if held.last else x
        except TypeError:
            return x * x

    assert compile(f)(3.0) == 3.0 * w.data
    f(Value(3.0))
    compile(lambda x: mc.sum([1.0 * x, len([*filter(None, [stop(w), 0.0])])])).check([(3.0,)])


def test_a_branch_that_is_drawn_is_refused():
    """A function that takes a branch at random is refused, unless both recordings happen to take the same branch."""
    refused = 0
    for seed in range(20):
        random.seed(seed)
        try:
            compile(of_branch)(3.0)
        except TypeError as error:
            refused += DIFFERS in str(error)
    assert refused > 3


@pytest.mark.parametrize(
    "f",
    [
        lambda x: w * x if type(x) is Value else w,
        lambda x: w * x if type(x) == Value else w,  # noqa: E721 -- as users write it
        lambda x: w * x if x.__class__ is Value else w,
        lambda x: w * x if type(x * w) is Value else w,
        lambda x: w * x if type(x) is type(w) else w,
        lambda x: {Value: w}.get(type(x), 1.0) * x,
        lambda x: w * x if class_of(x) is Value else w,
    ],
)
def test_a_function_that_asks_for_the_type_of_an_argument_is_refused(f):
    """The type of a recorded argument is another one, so the function would be recorded with the wrong outcome."""
    with pytest.raises(TypeError, match=r"write isinstance\(x, Value\) for type\(x\) is Value"):
        compile(f)(3.0)


def test_types_of_other_objects_may_be_asked_for():
    """A function that uses type() for something else is compiled."""
    f = compile(lambda xs: mc.sum(xs) if type(xs) is list and type(w).__name__ == "Value" else w)
    assert f([1.0, 2.0]) == 3.0


TWICE = []  # a function that appends to it is recorded twice


@pytest.mark.parametrize(
    "f",
    [
        lambda x, y: x * x.detach(),
        lambda x, y: x * mc.no_grad()(lambda: x * y)(),
        lambda x, y: x if x * x > y else -x,
        lambda x, y: x if x * x >= y else -x,
        lambda x, y: x if x * x < y else -x,
        lambda x, y: x if w > x else y,
        lambda x, y: x if w <= x else y,
        lambda x, y: x if x * y > x and x < x * y else y,
        lambda x, y: x if x == x * y else y,
    ],
)
def test_a_function_that_does_the_same_in_each_call_is_accepted_although_it_is_recorded_twice(f):
    """Both recordings note the same comparisons, whichever operand Python asks first, and detach the same values."""

    def recorded_twice(x, y):
        TWICE.append(1.0)
        return f(x, y)

    assert compile(recorded_twice)(1.5, 0.5) == f(Value(1.5), Value(0.5)).data


def test_what_the_second_recording_changes_is_put_back():
    """To be recorded twice has no effect on what the function counts and collects, if its result is the same."""
    n, seen, table, marks, recent = 0, ["a"], {"a": 1}, {1}, collections.deque(maxlen=3)
    holder = Holder()

    def f(x):
        nonlocal n
        n += 1
        seen.append(x)
        table["b"] = table.get("b", 0) + 1
        marks.add(len(marks) + 5)
        recent.append(n)
        holder.n += 1
        holder.items = [x]
        return w * x

    with pytest.warns(UserWarning, match="f reads and changes b, marks, n in each call"):
        assert compile(f)(3.0) == 6.0
    assert (n, len(seen), table, len(marks), [*recent], holder.n) == (1, 2, {"a": 1, "b": 1}, 2, [1], 1)
    assert seen[1].data == holder.items[0].data == 3.0


class Steps:
    def __init__(self):
        self.k = 0

    def __iter__(self):
        return self

    def __next__(self):
        self.k += 1
        return 1.0 if self.k < 4 else 2.0


def generated():
    for k in range(9):
        yield 1.0 if k < 4 else 2.0


ONES = [1.0] * 4 + [2.0] * 5  # both recordings get the same of these
ITERATORS = {
    "list": lambda: iter(ONES),
    "tuple": lambda: iter((*ONES,)),
    "dict": lambda: iter({0.1 * k + 1.0: 1.0 for k in range(9)}.values()),
    "range": lambda: iter(range(9)),
    "reversed": lambda: reversed([2.0, *[1.0] * 8]),
    "deque": lambda: iter(collections.deque(ONES)),
    "cycle": lambda: itertools.cycle(ONES),
    "map": lambda: map(abs, ONES),
    "filter": lambda: filter(None, ONES),
    "zip": lambda: (x for x, _ in zip(ONES, ONES, strict=True)),
    "chain": lambda: itertools.chain([1.0], ONES),
    "islice": lambda: itertools.islice(ONES, 9),
    "generator": generated,
    "expression": lambda: (x for x in ONES),
    "nested": lambda: map(abs, itertools.chain(generated(), ONES)),
}


@pytest.mark.parametrize("name", ITERATORS)
def test_items_of_an_iterator_are_refused_even_if_the_first_ones_are_equal(name):
    """A program would go on with the first item, whatever comes later."""
    items = ITERATORS[name]()
    f = compile(lambda x: x * (0.0 * next(items) + 1.0))
    with pytest.raises(TypeError, match="each takes an item from an iterator"):
        f(1.0)


@pytest.mark.parametrize(
    ("opened", "read"),
    [
        (lambda file: file, lambda file: file.readline()),
        (lambda file: file, next),
        (lambda file: file.buffer, lambda file: file.read(2)),
        (lambda file: io.BytesIO(file.buffer.read()), lambda file: file.readline()),
        (lambda file: io.StringIO(file.read()), next),
        (csv.reader, lambda rows: next(rows)[0]),
    ],
)
def test_lines_of_a_file_are_refused_even_if_the_first_ones_are_equal(opened, read, tmp_path):
    path = tmp_path / "numbers.txt"
    path.write_text("1\n" * 4 + "2\n" * 4)
    with open(path) as file:
        items = opened(file)
        f = compile(lambda x: x * float(read(items)))
        with pytest.raises(TypeError, match="each takes an item from an iterator or a file"):
            f(1.0)


def test_a_file_that_is_read_from_its_beginning_may_be_read(tmp_path):
    path = tmp_path / "numbers.txt"
    path.write_text("3\n4\n")
    with open(path) as file:
        f = compile(lambda x: (file.seek(0), x * float(file.readline()))[1])
        assert [f(1.0), f(2.0)] == [3.0, 6.0]


@pytest.mark.parametrize("items", [itertools.repeat(1.0), iter([*ONES])])
def test_an_iterator_may_be_there_without_being_read(items):
    f = compile(lambda x: x * Value(2.0, str(items)))
    assert [f(3.0), f(4.0)] == [6.0, 8.0]


def sent():
    k = 1.0
    while True:
        k = (yield k) or k


@pytest.mark.parametrize(
    ("make", "read", "change"),
    [
        (lambda: io.BytesIO(b"1"), lambda b: float(b.getvalue()), lambda b: (b.seek(0), b.write(b"9"))),
        (lambda: io.StringIO("1\n9"), lambda s: float((s.seek(0), s.readline())[1]), lambda s: s.truncate(0)),
        (lambda: [g := sent(), next(g)][:1], lambda g: g[0].send(None), lambda g: g[0].send(9.0)),
    ],
)
def test_what_is_sent_to_a_generator_or_written_to_a_stream_is_noticed(make, read, change):
    held = make()
    f = compile(lambda x: x * read(held))
    assert f(2.0) == 2.0
    change(held)
    with pytest.raises((ValueError, TypeError), match=r"is not what it was|could not convert"):
        f(2.0)


CHANGED = [
    (Steps(), lambda x, held: x * next(held)),
    (itertools.count(), lambda x, held: x * Value(2.0 if next(held) < 4 else 3.0, f"w{held}")),
    ([4.0, 3.0, 1.0, 1.0, 1.0], lambda x, held: x * held.pop()),
    (collections.deque([1.0, 1.0, 1.0, 2.0]), lambda x, held: x * (held.rotate(1), held[-1] * 0.0 + 1.0)[1]),
    ({"step": 0}, lambda x, held: (held.update(step=held["step"] + 1), x * (1.0 if held["step"] < 4 else 2.0))[1]),
    (np.zeros(2), lambda x, held: (np.add(held, 1.0, out=held), x * (1.0 if held[0] < 4 else 2.0))[1]),
    ([[0]], lambda x, held: (operator.setitem(held[0], 0, held[0][0] + 1), x * (1.0 if held[0][0] < 4 else 2.0))[1]),
]


@pytest.mark.parametrize(("held", "read"), CHANGED)
def test_numbers_that_a_function_reads_and_changes_in_each_call_are_told(held, read):
    """Both recordings may be the same, as with a count that matters in a later call alone."""
    f = compile(lambda x: read(x, held))
    with pytest.warns(UserWarning, match="reads and changes .* in each call. The compiled function does so only when"):
        f(1.0)


def test_what_a_function_counts_or_collects_without_reading_it_is_not_told():
    """A count of calls and a list of what was computed change no result."""
    calls, seen, table, held = 0, [], {"made": 0}, SimpleNamespace(tried=0, array=np.zeros((2, 2)))

    def f(x):
        nonlocal calls
        calls += 1
        calls = calls + 1
        seen.append(2.0)
        table["made"] += 1
        held.tried += len([1.0, 2.0])
        held.array[0, 1] += abs(-1.0)
        held.last = x
        return w * x

    assert compile(f)(3.0) == 6.0
    assert (calls, seen, table, held.tried, held.array[0, 1]) == (2, [2.0], {"made": 1}, 2, 1.0)


class Appending(list):
    def extend(self, items):
        super().extend([*items, "extended"])


def test_the_second_recording_is_put_back_in_collections_that_update_in_their_own_way():
    """A `Counter` adds up where a dict replaces, and an `OrderedDict` keeps the order of its keys itself."""
    seen, found = collections.Counter(), Appending("a")
    last = collections.OrderedDict(a=1, b=2)

    def f(x):
        seen.update("ab")
        found.append("b")
        last["c"] = last.pop("c", 0) + 1
        return w * x

    with pytest.warns(UserWarning, match="f reads and changes b, c in each call"):
        assert compile(f)(3.0) == 6.0
    assert (seen, found, [*last.items()]) == ({"a": 1, "b": 1}, ["a", "b"], [("a", 1), ("b", 2), ("c", 1)])


def test_the_second_recording_is_put_back_in_arrays_slots_gradients_and_attributes():
    """What a function adds to in its first call is added to once, wherever it is kept."""
    masked, moments = np.ma.masked_array([1.0, 2.0], [False, True]), np.array(["2020-01-01"], "M8[s]")
    grid, items, octets, slotted, p = np.zeros((2, 2)), array.array("d", [0.0]), bytearray(1), Slotted(), Value(2.0)

    def f(x):
        grid[1, 0] += 1.0
        masked[0] += 1.0
        moments[0] += np.timedelta64(1, "s")
        items[0] += 1.0
        octets[0] += 1
        slotted.n += 1.0
        f.calls += 1
        Counting.kept += 1
        return p * x

    f.calls = Counting.kept = 0
    with pytest.warns(UserWarning, match="f reads and changes n in each call"):  # methods of Slotted read an n, too
        assert compile(f)(3.0) == 6.0
    assert (grid.tolist(), items[0], octets[0]) == ([[0.0, 0.0], [1.0, 0.0]], 1.0, 1)
    assert (masked.tolist(), masked.data.tolist(), str(moments[0])) == ([2.0, None], [2.0, 2.0], "2020-01-01T00:00:01")
    assert (slotted.n, f.calls, Counting.kept) == (1.0, 1, 1)


def test_parameters_that_are_made_in_the_first_call_are_kept():
    """A function may draw the weights that it makes once, since both recordings use the same ones."""

    class Lazy(Module):
        def __init__(self):
            self.w = None

        def __call__(self, x):
            if self.w is None:
                self.w = Value(random.random())
            return self.w * x

    model = Lazy()
    f = compile(model)
    assert f(2.0) == 2.0 * model.w.data
    model.w.data = 5.0
    assert f(2.0) == 10.0


def test_a_model_that_is_made_from_a_seed_is_the_same_in_each_call():
    """A function may make a model inside if its weights are always the same."""
    assert compile(lambda x: MLP(1, [1], seed=3)([x]))(2.0) == MLP(1, [1], seed=3)([2.0]).data


def test_results_that_are_looked_up_may_be_kept_in_a_table():
    """A cache that a function fills changes nothing in its result."""
    cache = {}

    def f(x):
        if "k" not in cache:
            cache["k"] = 7.0
        return cache["k"] * x

    assert compile(f)(2.0) == 14.0


def test_a_function_without_such_habits_is_recorded_once():
    """What a function prints, for example, it prints once."""
    printed = []
    said = printed.append

    def f(x):
        said("once")
        return w * x

    assert compile(f)(1.0) == 2.0
    assert printed == ["once"]


# Training


def line(model):
    return compile(lambda x, y: (model(x) - y) ** 2)


class Line(Module):
    def __init__(self):
        self.w, self.b = [Value(0.5), Value(0.25)], Value(0.0)

    def __call__(self, x):
        return self.w[0] * x + self.w[1] * x * x + self.b


samples = [(1.0, 2.0), (2.0, 3.0)]


@pytest.mark.parametrize("rows", [samples, [(1.0, 2.0)]])
def test_an_optimiser_that_has_none_of_the_parameters_is_refused(rows):
    """An optimiser of another model would train nothing."""
    model, other = Line(), Line()
    f, optimizer = line(model), SGD(other.parameters(), 0.1)
    for _ in range(2):
        with pytest.raises(ValueError, match="the optimizer has none of the program's 3 parameters"):
            f.fit(rows, optimizer, 2)
    x = Value(1.0)
    with pytest.raises(ValueError, match="the optimizer has none of the program's 3 parameters"):
        compile(model(x), [x]).fit([[1.0]], optimizer, 2)
    assert (optimizer.steps, [p.data for p in model.parameters()]) == (0, [0.5, 0.25, 0.0])
    f.fit(rows, SGD(model.parameters()[:1]), 1)


def test_an_optimiser_that_has_none_of_the_parameters_of_several_programs_is_refused():
    """Programs of other structures may read the parameters of the optimiser, so the error comes at the end."""
    a, b, c = (Value(1.0) for _ in range(3))

    def chosen(xs):
        return (a if len(xs) == 1 else b) * mc.sum(xs)

    f, mixed = compile(chosen), [([1.0],), ([1.0, 2.0],)]
    f.fit(mixed, SGD([b], 0.1), 1, 1)
    optimizer = SGD([c], 0.1, momentum=0.5, weight_decay=0.5)
    for compiled in (f, compile(chosen)):  # the programs of the second are made while it trains
        with pytest.raises(ValueError, match="the optimizer has none of the program's 2 parameters"):
            compiled.fit(mixed, optimizer, 2, 1)
        assert (c.data, optimizer.steps, optimizer.state) == (1.0, 0, [{"momentum_buffer": 0.0}])


def test_an_optimiser_whose_parameter_is_frozen_is_told_to_thaw_it():
    a, b = Value(1.0, requires_grad=False), Value(1.0)
    optimizer = SGD([a], 0.1)
    with pytest.raises(
        ValueError, match=r"parameters\[0\] of the optimizer is frozen; set its requires_grad = True be"
    ):
        compile(lambda x: a * x + b).fit([(1.0,)], optimizer, 1)
    a.requires_grad = True
    compile(lambda x: a * x + b).fit([(1.0,)], optimizer, 1)
    assert a.data == 0.9


class Replaced:
    """Ways to replace a parameter, each of which leaves a program that has the old one."""

    @staticmethod
    def in_a_list(model):
        model.w[0] = Value(9.0)

    @staticmethod
    def by_attribute(model):
        model.b = Value(9.0)

    @staticmethod
    def by_a_new_list(model):
        model.w = [Value(9.0), Value(8.0)]

    @staticmethod
    def swapped(model):
        model.w.reverse()


WAYS = [Replaced.in_a_list, Replaced.by_attribute, Replaced.by_a_new_list, Replaced.swapped]


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("fits", [0, 1, 2])
def test_fit_notices_that_a_parameter_was_replaced(way, fits):
    """A program that has an old parameter does not train a model that has a new one."""
    model = Line()
    f, optimizer = line(model), Adam(model.parameters(), 0.1)
    f(1.0, 2.0)
    for _ in range(fits):
        f.fit(samples, optimizer, 1)
    way(model)
    with pytest.raises(ValueError, match=r"is not what it was when its program was made: .* compile it anew"):
        f.fit(samples, optimizer, 1)
    assert line(model).fit(samples, Adam(model.parameters(), 0.1), 1)


@pytest.mark.parametrize("calls", [0, 1, 3])
@pytest.mark.parametrize("fits", [0, 1, 2, 3])
@pytest.mark.parametrize("data", [0.0, 3.0])
def test_fit_notices_that_parameters_were_swapped(calls, fits, data):
    """That holds whether the function was called before, trained before, or both, and if the two have equal data."""
    model = SimpleNamespace(w=Value(0.0, "w"), b=Value(data, "b"))
    f, optimizer = compile(lambda x, y: (model.w * x + model.b - y) ** 2), SGD([model.w, model.b], 0.0)
    for _ in range(calls):
        f(1.0, 2.0)
    for _ in range(fits):
        f.fit(samples, optimizer, 1)
    model.w, model.b = model.b, model.w
    if not calls + fits:
        f.fit(samples, optimizer, 1)
        return
    with pytest.raises(ValueError, match=r"an operand of .* is [bw] in one of them, and [bw] in the other"):
        f.fit(samples, optimizer, 1)
    model.w, model.b = model.b, model.w
    f.fit(samples, optimizer, 1)


@pytest.mark.parametrize("fits", [0, 1, 2, 3])
def test_fit_notices_that_parameters_of_another_program_were_swapped(fits):
    """Each structure of arguments, and each branch, has a program, and `fit` may need one that it has never used."""
    model = SimpleNamespace(w=Value(1.0, "w"), b=Value(3.0, "b"))

    def loss(xs, y):
        return (model.w * xs[0] + model.b - y) ** 2 if xs[0] > 0 else (model.w * xs[0] - model.b - y) ** 2

    f, optimizer = compile(loss, branches=True), SGD([model.w, model.b], 0.0)
    f([1.0], 2.0), f([-1.0], 2.0), f([1.0, 0.0], 2.0)
    for _ in range(fits):
        f.fit([([1.0], 2.0)], optimizer, 1)
    model.w, model.b = model.b, model.w
    for sample in (([-1.0], 2.0), ([1.0, 0.0], 2.0)):
        with pytest.raises(ValueError, match="is not what it was when its program was made"):
            f.fit([sample], optimizer, 1)
    new = compile(loss, branches=True)
    new([-1.0], 2.0)
    new.fit([([1.0], 2.0)], optimizer, 1, validation=[([-1.0], 2.0)])
    model.w, model.b = model.b, model.w
    fresh = ([1.0, 2.0, 3.0], 2.0)  # of a structure that has no program yet
    with pytest.raises(ValueError, match="is not what it was when its program was made"):
        new.fit([fresh], optimizer, 1, validation=[([-1.0], 2.0)])
    new.fit([fresh], optimizer, 1)


@pytest.mark.parametrize("how", ["steps", "threads", "merged", "validation"])
@pytest.mark.parametrize("fits", [0, 1, 3])
@pytest.mark.parametrize("replaced", [False, True])
def test_fit_compares_a_branch_when_a_row_first_takes_it(how, fits, replaced):
    """At the start, no row takes the branch, so it cannot be compared then."""
    held = SimpleNamespace(w=Value(0.0, "w"), b=Value(2.0, "b"), k=1.0)

    def loss(x):
        return (held.w * x - 2.0) ** 2 if held.w * x < 1 else (held.w * x * held.k - held.b) ** 2

    f = compile(loss, branches=True)
    for data in (0.0, 5.0, 0.0):
        held.w.data = data
        f(1.0)
    for _ in range(fits):
        f.fit([(1.0,)], SGD([held.w], lr=0.0), 1)
    if replaced:
        held.b = Value(2.0)
    else:
        held.k = 3.0
    rows, optimizer = [(1.0,), (0.9,)], SGD([held.w], lr=0.1)
    epochs = 1000 if how == "merged" else 30
    options = {"threads": 2} if how == "threads" else {}
    if how == "validation":
        rows, options = [(0.1,)], {"validation": [(1.0,)]}
        epochs = 300
    with pytest.raises(ValueError, match="is not what it was when its program was made"):
        f.fit(rows, optimizer, epochs, **options)
    assert held.w.data * max(rows)[0] >= 1 or how == "validation"
    assert 1 <= held.w.data < 1.5  # the steps before are kept


@pytest.mark.parametrize("epochs", [30, 1000])
def test_a_branch_that_no_row_takes_at_the_start_is_used_once_it_was_compared(epochs):
    w, k = Value(0.0), Value(1.0)

    def loss(x):
        return (w * x - 2.0) ** 2 if w * x < 1 else (w * x * k - 2.5) ** 2

    f, rows, found = compile(loss, branches=True), [(1.0,), (0.9,)], []
    for data in (0.0, 5.0):
        w.data = data
        f(1.0)
    for _ in range(3):
        w.data = 0.0
        found.append(f.fit(rows, SGD([w], lr=0.01), epochs))
    assert found[1] == found[2] == pytest.approx(found[0], rel=1e-12)
    w.data, optimizer = 0.0, SGD([w], lr=0.01)
    for expected in found[0][:300]:
        optimizer.zero_grad()
        mean = mc.mean([loss(Value(x)) for (x,) in rows])
        mean.backward()
        optimizer.step()
        assert mean.data == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("epochs", [2, 10])
def test_a_branch_of_a_merged_program_is_compared_again_after_a_callback_changed_something(epochs):
    w, held = Value(0.0), {"k": 1.0}

    def loss(x):
        return (w * x - 2.0) ** 2 if w * x < 1 else (w * x * held["k"] - 2.0) ** 2

    f, rows = compile(loss, branches=True), [(1.0,)] * 100
    w.data = 0.5
    for _ in range(2):  # each branch has a sample, so both are compared, and merged
        f.fit([(1.0,), (9.0,)], SGD([w], lr=0.0), 300, batch_size=1)
    w.data, seen = 0.0, []

    def callback(number, loss):
        held["k"] = 3.0
        seen.append(w.data)

    with pytest.raises(ValueError, match="is not what it was when its program was made"):
        f.fit(rows, SGD([w], lr=0.003), epochs, batch_size=1, callback=callback)
    assert len(seen) == 1
    assert seen[0] < 1 <= w.data < 1.01  # the row comes to take the other branch in the second epoch


@pytest.mark.parametrize("fits", [0, 1, 3])
@pytest.mark.parametrize("kind", [list, tuple, dict, SimpleNamespace])
def test_a_new_parameter_with_the_same_number_is_noticed_wherever_it_is(kind, fits):
    """The function makes no parameter itself, so a parameter that the program does not have has replaced another."""
    leaves = [Value(0.0) for _ in range(400)]
    held = kind((f"w{i}", x) for i, x in enumerate(leaves)) if kind is dict else None
    if kind is SimpleNamespace:
        held = kind(**{f"w{i}": x for i, x in enumerate(leaves)})
    held = held or kind([x] for x in leaves)
    read = {
        dict: lambda: held.values(),
        SimpleNamespace: lambda: vars(held).values(),
        list: lambda: [x for [x] in held],
        tuple: lambda: [x for [x] in held],
    }[kind]
    f = compile(lambda x: (mc.sum(read()) * x - 1.0) ** 2)
    f(1.0)
    for _ in range(fits):
        f.fit([(1.0,)], SGD(leaves, lr=0.0), 1)
    new = Value(0.0)
    if kind is dict:
        held["w300"] = new
    elif kind is SimpleNamespace:
        held.w300 = new
    else:
        held[300][0] = new
    with pytest.raises(ValueError, match="a parameter, but not the same Value in both"):
        f.gradient([(1.0,)], wrt=[new])
    with pytest.raises(ValueError, match="a parameter, but not the same Value in both"):
        f.fit([(1.0,)], SGD([*leaves, new], lr=0.0), 1)


def test_a_bias_of_a_wide_layer_that_was_replaced_is_noticed():
    model = MLP(2, [300, 1], seed=0)
    f = compile(lambda x, y: (model([x, y]) - 1.0) ** 2)
    f(1.0, 2.0)
    model.layers[0].neurons[250].b = Value(0.0)
    with pytest.raises(ValueError, match="is b in one of them, and a parameter in the other"):
        f.fit([(1.0, 2.0)], SGD(model.parameters(), lr=1e-3), 1)


def wide_model():
    model = MLP(2, [300, 1], seed=0)
    return (lambda: model([1.0, 2.0])), lambda: model.layers[0].neurons[250].w.__setitem__(0, Value(5.0))


def long_matrix():
    rows = [[0.1 * i] for i in range(250)]
    return (lambda: mc.sum([row[0] for row in rows])), lambda: rows[240].__setitem__(0, 1e6)


def many_objects():
    rows = [[SimpleNamespace(x=0.1 * i) for i in range(100)] for _ in range(30)]
    return (lambda: mc.sum([x.x for row in rows for x in row])), lambda: setattr(rows[29][99], "x", 1e6)


def too_many_objects():
    rows = [[SimpleNamespace(x=0.1 * i) for i in range(250)] for _ in range(100)]
    return (lambda: mc.sum([row[-1].x for row in rows])), lambda: setattr(rows[99][249], "x", 1e6)


def large_list():
    numbers = [0.1] * 10_001
    return (lambda: numbers[10_000]), lambda: numbers.__setitem__(10_000, 3.0)


def large_sum(make, change):
    """Return a function that adds up many items of a large collection, and a function that changes the last item."""

    def made():
        held = make()

        def read():
            items = [*(held.values() if isinstance(held, dict) else held)]
            return mc.sum([*items[:400], max(items) if isinstance(held, set) else items[-1]])

        return read, lambda: change(held)

    made.__name__ = f"large_sum_of_a_{type(make()).__name__}"
    return made


LARGE_SUMS = [
    large_sum(lambda: [0.1] * 10_001, lambda held: held.__setitem__(-1, 3.0)),
    large_sum(lambda: deque([1.0] * 10_001), lambda held: held.__setitem__(-1, 3.0)),
    large_sum(lambda: dict(enumerate([0.1] * 10_001)), lambda held: held.update({10_000: 3.0})),
    large_sum(lambda: {0.1 * k for k in range(10_001)}, lambda held: held.add(1e6)),
    large_sum(lambda: [*[0.1] * 10_001, w], lambda held: held.__setitem__(-1, Value(w.data))),
    large_sum(lambda: np.array([*[0.1] * 10_001, w]), lambda held: held.__setitem__(-1, Value(w.data))),
]


def large_matrix():
    rows = [[0.1] for _ in range(10_001)]
    return (lambda: mc.sum([row[0] for row in rows])), lambda: rows[-1].__setitem__(0, 3.0)


def large_array():
    numbers = np.zeros(100_001)
    return (lambda: numbers[100_000]), lambda: numbers.__setitem__(100_000, 3.0)


def array_of_rows():
    rows = np.array([None] + [[0.1 * i] for i in range(250)], dtype=object)[1:]
    return (lambda: rows[240][0]), lambda: rows[240].__setitem__(0, 3.0)


def keyed(count):
    """Return a function that reads attributes of keys of a dict, and a function that changes one of them."""

    def made():
        values = {SimpleKey(0.1): 1.0 for _ in range(count)}
        first = next(iter(values))
        return (lambda: mc.sum([w * key.x for key in [*values][:400]])), lambda: setattr(first, "x", 3.0)

    made.__name__ = f"{count}_keys"
    return made


class SimpleKey:
    """An object with an attribute that can be a key of a dict."""

    def __init__(self, x):
        self.x = x


class Tensor:
    """An object of another library that keeps its numbers to itself."""

    __module__ = "_cython_another_library"  # which is not the user's

    def __array__(self):
        return np.array(numbers_of_tensor)


numbers_of_tensor = [1.0]


def foreign_array():
    numbers_of_tensor[0] = 1.0
    convert, tensor = np.asarray, Tensor()
    return (lambda: convert(tensor)[0]), lambda: numbers_of_tensor.__setitem__(0, 3.0)


@pytest.mark.parametrize("fits", [1, 2, 3])
@pytest.mark.parametrize(
    "make",
    [
        wide_model,
        long_matrix,
        many_objects,
        too_many_objects,
        large_list,
        *LARGE_SUMS,
        large_matrix,
        keyed(2),
        keyed(10_001),
        large_array,
        array_of_rows,
        foreign_array,
    ],
)
def test_fit_notices_changes_in_large_collections_and_among_many_objects(make, fits):
    """Where something may not have been looked at, the function is recorded again in each call of `fit`."""
    read, change = make()
    loss, optimizer = compile(lambda x: (w * x * read()) ** 2), SGD([w], 0.0)
    for _ in range(fits):
        loss.fit([(1.0,)], optimizer, 1)
    change()
    with pytest.raises(ValueError, match="is not what it was when its program was made"):
        loss.fit([(1.0,)], optimizer, 1)


def test_fit_records_a_function_again_only_where_that_is_needed(monkeypatch):
    """A large list or array is compared if the function adds it up, and a list that is too large may become smaller."""
    compared, compare = [], StaleCheck._compare_with_new_recording

    def counted(self, *arguments):
        compared.append(self)
        return compare(self, *arguments)

    monkeypatch.setattr(StaleCheck, "_compare_with_new_recording", counted)
    numbers = [0.001] * 10_001

    def fits(read, count):
        compared.clear()
        loss, optimizer = compile(lambda x: (w * x * read()) ** 2), SGD([w], 0.0)
        for k in range(count):
            loss.fit([(1.0,)], optimizer, 1)
            if k == 5:
                del numbers[5000:]
        return len(compared)

    assert fits(lambda: mc.sum([w * x for x in numbers[:400]]), 5) == 0
    weights = np.array([Value(0.001) for _ in range(10_002)]).reshape(2, -1)
    assert fits(lambda: mc.sum([*weights[1, :400]]), 5) == 0
    assert fits(lambda: numbers[3], 20) == 8  # it is looked at anew in calls 2, 3, 5 and 9
    assert fits(lambda: numbers[3], 5) == 0


@pytest.mark.parametrize("kind", [float, np.float32, int, bool])
@pytest.mark.parametrize("most", [0, 10**6])
def test_a_large_array_of_numbers_is_compared_if_that_takes_less_time_than_recording(kind, most, monkeypatch):
    """Unless such arrays have more than `most` numbers: the function is recorded again then. Changes are noticed."""
    monkeypatch.setattr("micrograd_cn.compiler.surroundings.memory.MAX_COMPARED_NUMBERS", 1000)
    monkeypatch.setattr("micrograd_cn.compiler.surroundings.surroundings.MAX_LARGE_NUMBERS", most)
    recorded, record = [], Recorder.record
    monkeypatch.setattr(Recorder, "record", lambda *given, **how: (recorded.append(1), record(*given, **how))[1])
    table = np.ones((2, 1001), kind)
    loss, optimizer = compile(lambda x: (mc.sum([w * number for number in table[1, ::10]]) * x) ** 2), SGD([w], 0.0)
    for _ in range(3):
        loss.fit([(1.0,)], optimizer, 2, callback=lambda *_: None)
    assert (len(recorded) == 1) == bool(most)
    table[1, 1000] = 0
    with pytest.raises(ValueError, match="is not what it was when its program was made"):
        loss.fit([(1.0,)], optimizer, 1)
    table[1, 1000] = 1
    with pytest.raises(ValueError, match="is not what it was when its program was made"):
        loss.fit([(1.0,)], optimizer, 2, callback=lambda *_: table.__setitem__((1, 1000), 0))


# Objects of classes that extend a built-in class or `Value`, and may have an attribute
EXTENDED = {
    kind.__name__: type(f"Own{kind.__name__}", (kind,), {"__module__": __name__})(*arguments)
    for kind, *arguments in ((dict,), (list,), (tuple,), (set,), (deque,), (str,), (float, 1.0), (Value, 1.0))
}
EXTENDED["slots"] = type("OwnSlots", (list,), {"__module__": __name__, "__slots__": ("k",)})()


def attribute_of(made):
    def make():
        made.k = 2.0
        return (lambda: made.k), lambda: setattr(made, "k", 3.0)

    return make


def item(before, after, read):
    """Return a function that makes an item, a function that reads it, and another that replaces it by an equal one."""

    def make():
        held = {"k": before}
        return (lambda: 2.0 if read(held["k"]) else 1.0), lambda: held.update(k=after)

    return make


def item_of_a_list(before, after, read):
    def make():
        held = [before, w]
        return (lambda: 2.0 if read(held[0]) else 1.0), lambda: held.__setitem__(0, after)

    return make


def key():
    held = {1: 2.0}
    return (lambda: 2.0 if next(iter(held)) is True else 1.0), lambda: held.clear() or held.update({True: 2.0})


def bound(name, *arguments):
    def make():
        held = {"k": 2.0}
        read = getattr(held, name)
        return (lambda: read(*arguments)), lambda: held.update(k=3.0)

    return make


def through(view):
    def make():
        held = {"k": 2.0}
        made = view(held)
        return (lambda: next(iter(made.values() if isinstance(made, MappingProxyType) else made))), lambda: held.update(
            k=3.0
        )

    return make


def renamed_attribute():
    made = SimpleNamespace(other=1.0)

    def read():
        try:
            return made.factor
        except AttributeError:
            return 2.0

    def change():
        del made.other
        made.factor = 3.0

    return read, change


def deleted_attribute():
    made = SimpleNamespace(factor=None)
    return (lambda: 2.0 if hasattr(made, "factor") else 3.0), lambda: delattr(made, "factor")


def new_global():
    found = {"__builtins__": __builtins__}
    exec("def read():\n    try:\n        return factor\n    except NameError:\n        return 2.0", found)
    found["__name__"] = __name__
    return found["read"], lambda: found.update(factor=3.0)


def default_in_place():
    def read(*, k=2.0):
        return k

    return (lambda: read()), lambda: read.__kwdefaults__.update(k=3.0)


def name_of_a_function():
    def made():
        pass

    return (lambda: 2.0 if made.__name__ == "made" else 3.0), lambda: setattr(made, "__name__", "other")


def label_of_a_parameter():
    made = Value(1.0, "a")
    return (lambda: 2.0 if made.label == "a" else 3.0), lambda: setattr(made, "label", "b")


def flag_of_a_parameter():
    made = [Value(1.0), Value(2.0)]
    return (lambda: 1.0 + sum(x.requires_grad for x in made)), lambda: setattr(made[0], "requires_grad", False)


def read_only_view():
    held = np.array([2.0])
    shown = held[:]
    shown.flags.writeable = False
    return (lambda: shown[0]), lambda: held.__setitem__(0, 3.0)


def number_of_ctypes():
    made = ctypes.c_int(2)
    return (lambda: made.value), lambda: setattr(made, "value", 3)


class SimpleHolder:
    def __init__(self):
        self.factor = 2.0


def frozen_set():
    made = frozenset([SimpleHolder()])
    return (lambda: next(iter(made)).factor), lambda: setattr(next(iter(made)), "factor", 3.0)


SMALL_CHANGES = {
    **{f"attribute of an own {name}": attribute_of(made) for name, made in EXTENDED.items()},
    "an int becomes a float": item(2, 2.0, lambda x: isinstance(x, int)),
    "1 becomes True": item(1, True, lambda x: x is True),
    "numpy's float becomes a float": item(np.float64(2.0), 2.0, lambda x: isinstance(x, np.float64)),
    "a text becomes a subclass": item("", EXTENDED["str"], lambda x: type(x) is str),
    "an item becomes a float": item_of_a_list(2, 2.0, lambda x: isinstance(x, int)),
    "a key": key,
    "get": bound("get", "k"),
    "__getitem__": bound("__getitem__", "k"),
    "mappingproxy": through(MappingProxyType),
    "values": through(dict.values),
    "renamed attribute": renamed_attribute,
    "deleted attribute": deleted_attribute,
    "new global": new_global,
    "__kwdefaults__": default_in_place,
    "__name__": name_of_a_function,
    "label": label_of_a_parameter,
    "requires_grad": flag_of_a_parameter,
    "read-only view": read_only_view,
    "ctypes": number_of_ctypes,
    "frozenset": frozen_set,
}  # fmt: skip


@pytest.mark.parametrize("fits", [1, 3])
@pytest.mark.parametrize("make", SMALL_CHANGES.values(), ids=SMALL_CHANGES)
def test_fit_notices_small_changes(make, fits):
    """What equals the former content may be something else, and not only plain collections hold something."""
    read, change = make()
    loss, optimizer = compile(lambda x: (w * x * read()) ** 2), SGD([w], 0.0)
    for _ in range(fits):
        loss.fit([(1.0,)], optimizer, 1)
    change()
    with pytest.raises(ValueError, match="is not what it was when its program was made"):
        loss.fit([(1.0,)], optimizer, 1)


def counted_in_a_long_list():
    held = [[0] for _ in range(300)]

    def count():
        held[250][0] += 1
        return held[250][0]

    return count


def counted_by_bound_methods():
    held = {"n": 0}
    get, update = held.get, held.update
    return lambda: update(n=get("n") + 1) or get("n")


def counted_by_a_method_wrapper():
    held = {"n": 0}
    get, put = held.__getitem__, held.__setitem__
    return lambda: put("n", get("n") + 1) or get("n")


def counted_by_a_method_of_the_class():
    held, append = [], list.append
    return lambda: append(held, 1) or len(held)


def counted_in_an_attribute(made):
    def make():
        made.k = 0

        def count():
            made.k += 1
            return made.k

        return count

    return make


def counted_in_memory_of_ctypes():
    held = ctypes.c_int(0)

    def count():
        held.value += 1
        return held.value

    return count


def counted_through_a_memoryview():
    held = memoryview(array.array("l", [0]))

    def count():
        held[0] += 1
        return held[0]

    return count


def counted_in_a_view_of_an_array():
    held = np.zeros(200_000)
    held = held[:1]

    def count():
        held[0] += 1.0
        return held[0]

    return count


def counted_in_a_new_global():
    found = {"__builtins__": __builtins__, "__name__": __name__}
    text = "def count():\n global n\n try:\n  n += 1\n except NameError:\n  n = 1\n return n"
    exec(text, found)
    return found["count"]


def counted_through_a_proxy():
    held = {"n": [0]}
    shown = MappingProxyType(held)

    def count():
        shown["n"][0] += 1
        return shown["n"][0]

    return count


kept_seen = []


def counted_through_a_weak_reference():
    made = SimpleHolder()
    made.n = 0
    kept_seen.append(made)
    weak = weakref.ref(made)

    def count():
        weak().n += 1
        return weak().n

    return count


COUNTS = {
    "in a long list": counted_in_a_long_list,
    "by bound methods": counted_by_bound_methods,
    "by a method wrapper": counted_by_a_method_wrapper,
    "by a method of the class": counted_by_a_method_of_the_class,
    **{f"in an attribute of an own {name}": counted_in_an_attribute(made) for name, made in EXTENDED.items()},
    "in memory of ctypes": counted_in_memory_of_ctypes,
    "through a memoryview": counted_through_a_memoryview,
    "in a view of an array": counted_in_a_view_of_an_array,
    "in a new global": counted_in_a_new_global,
    "through a proxy": counted_through_a_proxy,
    "through a weak reference": counted_through_a_weak_reference,
}


@pytest.mark.parametrize("make", COUNTS.values(), ids=COUNTS)
def test_a_count_of_calls_is_noticed_wherever_it_is_kept(make):
    count = make()
    with pytest.raises(TypeError, match="does not do the same in each call"):
        compile(lambda x: w * x * count())(1.0)


def test_what_the_second_recording_changes_is_put_back_in_unusual_places():
    number, shown = ctypes.c_int(0), memoryview(array.array("l", [0]))
    numbers = np.zeros(2)
    fixed = numbers[:]
    fixed.flags.writeable = False
    found = {"__builtins__": __builtins__, "__name__": __name__}
    exec("def note(step):\n global last\n last = step", found)

    def f(x):
        number.value += 1
        shown[0] += 1
        numbers[1] += 1.0
        found["note"](fixed[1])
        return w * x

    with pytest.warns(UserWarning, match="f reads and changes fixed, number in each call"):
        compile(f)(1.0)
    assert (number.value, shown[0], numbers.tolist(), found["last"]) == (1, 1, [0.0, 1.0], 1.0)


@pytest.mark.parametrize("fits", [0, 1, 2, 3])
def test_fit_notices_that_a_value_was_computed_again(fits):
    """The program has the value that was computed before the function was called."""
    scale, held = Value(2.0, requires_grad=False), Value(3.0)
    c = held * scale
    f, optimizer = compile(lambda x: (c * w * x - 1.0) ** 2), SGD([w], 0.0)
    f(1.0)
    for _ in range(fits):
        f.fit([(1.0,)], optimizer, 1)
    held.data = 4.0
    f.fit([(1.0,)], optimizer, 1)  # as in plain Python, c keeps its number
    c = held * scale
    with pytest.raises(
        ValueError, match=r"one of them uses mul\(...\), computed before the call, and the other another"
    ):
        f.fit([(1.0,)], optimizer, 1)


@pytest.mark.parametrize("calls", [1, 2])
def test_fit_puts_back_what_a_comparison_of_recordings_changes(calls):
    """The function is recorded once more, but nobody notices."""
    seen, held = [], SimpleNamespace(count=0)

    def loss(x):
        seen.append("called")
        held.count += 1
        return (w * x - 1.0) ** 2

    f = compile(loss)
    for _ in range(calls):
        f(1.0)
    before = [*seen], held.count
    for _ in range(3):
        f.fit([(1.0,)], SGD([w], 0.0), 1)
    assert (seen, held.count) == before


@dataclasses.dataclass
class Scale:
    """All scales are equal, whatever their factors."""

    factor: float = dataclasses.field(compare=False)


class Moved:
    """What a function reads, and ways to change it while the old parameters can still be reached."""

    def __init__(self):
        self.a, self.b, self.c = Value(1.0, "a"), Value(2.0, "b"), Value(5.0, "c", requires_grad=False)
        self.best = self.old = None
        self.coefficients, self.index, self.beta = [self.a, self.b], 0, 0.0
        self.heads, self.task = {"one": [self.a], "two": [self.b]}, "one"
        self.merged = ChainMap({"w": self.a}, {"w": self.b})
        self.array, self.numbers = np.array([self.a, self.b]), np.array([1.0, 2.0])
        self.weights = {"a": self.a, "b": self.b, "c": -0.0}
        self.options = SimpleNamespace(beta=1.0)
        self.scales, self.layers = [Scale(1.0)], [[self.a], [self.b]]
        self.settings = type("Settings", (), {"factor": 1.0, "__module__": __name__})()
        self.optimizer = SGD([self.a, self.b], 0.0)

    def scaled(self, x, y):
        return (self.scales[0].factor * self.a * x - y) ** 2

    def set_by_class(self, x, y):
        return (self.settings.factor * self.a * x - y) ** 2

    def layered(self, x, y):
        return (self.layers[0][0] * x - y) ** 2

    def attribute(self, x, y):
        return (self.a * x - y) ** 2

    def polynomial(self, x, y):
        return (mc.sum([c * x**i for i, c in enumerate(self.coefficients)]) - y) ** 2

    def indexed(self, x, y):
        return (self.coefficients[self.index] * x - y) ** 2

    def head(self, x, y):
        return (self.heads[self.task][0] * x - y) ** 2

    def chained(self, x, y):
        return (self.merged["w"] * x - y) ** 2

    def in_an_array(self, x, y):
        return (self.array[0] * x - self.numbers[0] * y) ** 2

    def regularised(self, x, y):
        return (self.a * x - y) ** 2 + (self.beta + self.options.beta) * self.a**2 + self.c

    def summed(self, x, y):
        return (mc.sum([v * (i + 1) for i, v in enumerate(self.weights.values())]) * x - y) ** 2

    def by_name(self, x, y):
        return (getattr(self, "".join(["a"])) * x - y) ** 2


def keep_and_replace(m):
    m.best, m.a = m.a, Value(0.0)


def swap_attributes(m):
    m.a, m.b = m.b, m.a


def swap_entries(m):
    m.heads["one"], m.heads["two"] = m.heads["two"], m.heads["one"]


def change_the_order_of_maps(m):
    m.merged.maps.reverse()


def replace_the_list_by_an_equal_one_and_change_it(m):
    m.old, m.coefficients = m.coefficients, [*m.coefficients]
    f_of(m, "polynomial").fit([(1.0, 2.0)], m.optimizer, 1)
    m.coefficients.reverse()


def replace_an_inner_list_by_an_equal_one_and_change_it(m):
    m.layers[0] = [*m.layers[0]]
    f_of(m, "layered").fit([(1.0, 2.0)], m.optimizer, 1)
    m.layers[0][0] = m.b


def f_of(m, name):
    return vars(m)[f"compiled {name}"]


@pytest.mark.parametrize("fits", [1, 2, 3, 4])
@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("attribute", keep_and_replace),
        ("by_name", keep_and_replace),
        ("attribute", swap_attributes),
        ("polynomial", lambda m: m.coefficients.append(Value(0.0))),
        ("polynomial", lambda m: m.coefficients.insert(0, Value(0.0))),
        ("polynomial", lambda m: m.coefficients.reverse()),
        ("polynomial", replace_the_list_by_an_equal_one_and_change_it),
        ("indexed", lambda m: setattr(m, "index", 1)),
        ("head", lambda m: setattr(m, "task", "two")),
        ("head", swap_entries),
        ("summed", lambda m: m.weights.update(a=m.weights.pop("a"))),
        ("summed", lambda m: m.weights.update(c=0.0)),
        ("set_by_class", lambda m: setattr(m.settings, "factor", 3.0)),
        ("scaled", lambda m: m.scales.__setitem__(0, Scale(3.0))),
        ("layered", replace_an_inner_list_by_an_equal_one_and_change_it),
        ("chained", change_the_order_of_maps),
        ("in_an_array", lambda m: m.array.__setitem__(0, m.b)),
        ("in_an_array", lambda m: m.numbers.__setitem__(0, 3.0)),
        ("regularised", lambda m: setattr(m, "beta", 10.0)),
        ("regularised", lambda m: setattr(m.options, "beta", -0.0)),
        ("regularised", lambda m: setattr(m, "c", Value(7.0, requires_grad=False))),
    ],
)
def test_fit_notices_whatever_the_function_reads_from_elsewhere(name, change, fits):
    """The old parameters can still be reached, and the optimiser has them, but the function does something else."""
    m = Moved()
    f = vars(m)[f"compiled {name}"] = compile(getattr(m, name))
    for _ in range(fits):
        f.fit([(1.0, 2.0)], m.optimizer, 1)
    change(m)
    with pytest.raises(ValueError, match="is not what it was when its program was made"):
        f.fit([(1.0, 2.0)], m.optimizer, 1)
    assert f.fit.__self__ is f
    compile(getattr(m, name)).fit([(1.0, 2.0)], SGD([m.a, m.b], 0.0), 1)


class Doubling:
    factor = 2.0

    def method(self, x):
        return self.factor * x

    @property
    def attribute(self):
        return 2.0

    @staticmethod
    def function(x):
        return 2.0 * x

    def __call__(self, x):
        return 2.0 * x


class Tripling(Doubling):
    factor = 3.0


def doubled(x, factor=2.0, *, offset=0.0):
    return factor * x + offset


def tripled(x, factor=2.0, *, offset=0.0):
    return 3.0 * x


factor_of, of_doubling = operator.attrgetter("factor"), functools.partial(getattr, Doubling)


NEURON, PLAIN_MLP = Neuron(1, seed=0), MLP(1, [2, 1], activation="tanh", seed=0)


class OfUser(Neuron):
    def __init__(self):  # sets what micrograd's Neuron has, and takes the default activation
        self.w, self.b = [Value(1.0)], Value(0.5)


OF_USER = OfUser()


def replaced(holder, name, x):
    """Return a function that replaces an attribute, for `monkeypatch`."""
    return lambda patch, made: patch.setattr(made if holder is None else holder, name, x)


@pytest.mark.parametrize("fits", [1, 3])
@pytest.mark.parametrize(
    ("f", "change"),
    [
        (lambda made, x: made.method(x), replaced(Doubling, "method", lambda self, x: 3.0 * x)),
        (lambda made, x: made.method(x), replaced(Doubling, "factor", 3.0)),
        (lambda made, x: made.method(x), replaced(None, "__class__", Tripling)),
        (lambda made, x: made.attribute * x, replaced(Doubling, "attribute", property(lambda self: 3.0))),
        (lambda made, x: Doubling.function(x), replaced(Doubling, "function", staticmethod(lambda x: 3.0 * x))),
        (lambda made, x: made(x), replaced(Doubling, "__call__", lambda self, x: 3.0 * x)),
        (lambda made, x: doubled(x), replaced(doubled, "__defaults__", (3.0,))),
        (lambda made, x: doubled(x), replaced(doubled, "__kwdefaults__", {"offset": 1.0})),
        (
            lambda made, x: doubled(x),
            replaced(doubled, "__code__", (lambda x, factor=2.0, *, offset=0.0: 3 * x).__code__),
        ),
        (lambda made, x: factor_of(made) * x, replaced(None, "factor", 3.0)),
        (lambda made, x: of_doubling("factor") * x, replaced(Doubling, "factor", 3.0)),
        (lambda made, x: x.tanh(), replaced(Value, "tanh", lambda x: 3.0 * x)),
        (lambda made, x: made.factor * x, replaced(Value, "__mul__", lambda x, y: x + y)),
        (lambda made, x: NEURON([x]), replaced(Value, "relu", lambda x: 3.0 * x)),
        (lambda made, x: PLAIN_MLP([x]), replaced(Value, "tanh", lambda x: 3.0 * x)),
        (lambda made, x: OF_USER([x]), replaced(Value, "relu", lambda x: 3.0 * x)),
        (lambda made, x: operator.neg(x), replaced(operator, "neg", lambda x: 3.0 * x)),
        (lambda made, x: mc.losses.mse_loss([x], [1.0]), replaced(loss_functions, "mse_loss", lambda xs, ts: xs[0])),
        (lambda made, x: NEURON([x]), replaced(Neuron, "__call__", lambda self, xs: 3.0 * xs[0])),
    ],
)
def test_fit_notices_that_other_code_runs_or_another_attribute_is_read(f, change, fits, monkeypatch):
    made = Doubling()
    loss, optimizer = compile(lambda x: (w * f(made, x)) ** 2), SGD([w], 0.0)
    for _ in range(fits):
        loss.fit([(1.0,)], optimizer, 1)
    change(monkeypatch, made)
    with pytest.raises(ValueError, match="is not what it was when its program was made"):
        loss.fit([(1.0,)], optimizer, 1)


FACTORS = {"k": 2.0}


@pytest.mark.parametrize("f", [lambda x: (x * 1.0).relu(), lambda x: NEURON([x])])
def test_what_a_method_reads_that_a_user_has_assigned_to_value_is_watched(f, monkeypatch):
    monkeypatch.setattr(Value, "relu", lambda x: x * FACTORS["k"])
    monkeypatch.setitem(FACTORS, "k", 2.0)
    compiled = compile(f)
    assert compiled(-3.0) == f(Value(-3.0)).data != 0.0
    FACTORS["k"] = 3.0
    with pytest.raises(ValueError, match="is not what it was when its program was made"):
        compiled(-3.0)


def filled(kind, *items):
    made = kind()
    for x in items:
        made.put(x)
    return made


CHANGES = {
    "deque.rotate": (deque([1.0, 2.0, 3.0]), lambda q: q.rotate(-1) or q[0]),
    "deque.extendleft": (deque([1.0]), lambda q: q.extendleft([q[0] + 1.0]) or q[0]),
    "heappop": ([1.0, 2.0, 3.0, 4.0, 5.0], heapq.heappop),
    "heappush": ([3.0], lambda q: heapq.heappush(q, q[0] - 1.0) or q[0]),
    "insort": ([3.0], lambda q: bisect.insort(q, q[0] - 1.0) or q[0]),
    "OrderedDict.move_to_end": (
        collections.OrderedDict(a=1.0, b=2.0, c=3.0),
        lambda q: q.move_to_end(next(iter(q))) or next(iter(q.values())),
    ),
    "Queue.get": (filled(queue.Queue, 1.0, 2.0, 3.0, 4.0), lambda q: q.get()),
    "SimpleQueue.get": (filled(queue.SimpleQueue, 1.0, 2.0, 3.0, 4.0), lambda q: q.get()),
    "ndarray.fill": (np.zeros(1), lambda q: q.fill(q[0] + 1.0) or q[0]),
    "np.copyto": (np.zeros(1), lambda q: np.copyto(q, q + 1.0) or q[0]),
    "np.put": (np.zeros(1), lambda q: np.put(q, 0, q[0] + 1.0) or q[0]),
    "np.multiply": (np.ones(1), lambda q: np.multiply(q, 2.0, out=q)[0]),
    "np.add.at": (np.ones(1), lambda q: np.add.at(q, [0], 1.0) or q[0]),
    "operator.setitem": ([0.0], lambda q: operator.setitem(q, 0, q[0] + 1.0) or q[0]),
    "operator.iadd": ([0.0], lambda q: len(operator.iadd(q, [1.0]))),
    "set.symmetric_difference_update": ({1}, lambda q: q.symmetric_difference_update({1}) or len(q)),
}


@pytest.mark.parametrize(("held", "change"), CHANGES.values(), ids=CHANGES)
def test_whatever_changes_a_collection_or_an_array_is_noticed(held, change):
    with pytest.raises(TypeError, match="does not do the same in each call"):
        compile(lambda x: w * x * change(held))(1.0)


class Noise:
    generator = np.random.default_rng(0)

    class Inner:
        generator = np.random.default_rng(0)

        @staticmethod
        def of_inner():
            return Noise.Inner.generator.normal()

    @classmethod
    def of_class(cls, x):
        return x + cls.generator.normal()

    @classmethod
    def by_another(cls, x):
        return cls.of_class(x)

    def of_object(self):
        return self.generator.normal()


@pytest.mark.parametrize(
    "f",
    [
        lambda x: Noise.of_class(w * x),
        lambda x: Noise.by_another(w * x),
        lambda x: w * x + Noise.Inner.of_inner(),
        lambda x: w * x + Noise().of_object(),
    ],
)
def test_generators_in_attributes_of_classes_are_found(f):
    with pytest.raises(TypeError, match="does not do the same in each call"):
        compile(f)(1.0)


def variable():
    made = contextvars.ContextVar("made")
    made.set(2.0)
    return (lambda: made.get()), lambda: made.set(3.0)


def reference():
    made = Doubling()
    made.own = 2.0
    weak = weakref.ref(made)
    return (lambda: weak().own), lambda: setattr(made, "own", 3.0)


def memory():
    made = memoryview(array.array("d", [2.0]))
    return (lambda: made[0]), lambda: made.__setitem__(0, 3.0)


def missing_attribute():
    made = SimpleNamespace()

    def read():
        try:
            return made.factor
        except AttributeError:
            return 2.0

    return read, lambda: setattr(made, "factor", 3.0)


def module(read):
    def make():
        made = ModuleType("micrograd_cn_settings_of_a_test")
        sys.modules[made.__name__] = made
        made.factor = 2.0
        return (lambda: read(made)), lambda: setattr(made, "factor", 3.0)

    return make


def imported(made):
    from micrograd_cn_settings_of_a_test import factor

    return factor


def of_compiled_function():
    made = compile(lambda x: x)
    made.factor = 2.0
    return (lambda: made.factor), lambda: setattr(made, "factor", 3.0)


class Settings(collections.UserDict):
    pass


def of_a_base_class():
    made = Settings(factor=2.0)
    return (lambda: made["factor"]), lambda: made.update(factor=3.0)


class Network(MLP):
    pass


def layers_of_a_base_class():
    made = Network(1, [1, 1])
    for p in made.parameters():
        p.data, p.requires_grad = 2.0, False
    return (lambda: made([1.0])), made.layers.pop


class Pair:
    __match_args__ = ("factor",)


def in_a_class_pattern(read):
    def make():
        made = Pair()
        vars(made)["factor"] = 2.0
        return (lambda: read(made)), lambda: vars(made).update(factor=3.0)

    return make


def by_name(made):
    match made:
        case Pair(factor=found):
            return found


def by_place(made):
    match made:
        case Pair(found):
            return found


def of_a_thread(kind):
    def make():
        made = kind()
        made.factor = 2.0
        return (lambda: made.factor), lambda: setattr(made, "factor", 3.0)

    return make


def flat():
    made = np.array([2.0])
    items = made.flat
    return (lambda: items[0]), lambda: made.fill(3.0)


@pytest.mark.parametrize(
    "make",
    [
        *(of_a_thread(threading.local), of_a_thread(type("Local", (threading.local,), {})), flat),
        *(variable, reference, memory, missing_attribute, module(imported), module(operator.attrgetter("factor"))),
        *(of_compiled_function, of_a_base_class, layers_of_a_base_class),
        *(in_a_class_pattern(by_name), in_a_class_pattern(by_place)),
    ],
)
def test_fit_notices_what_is_read_in_unusual_ways(make, monkeypatch):
    monkeypatch.delitem(sys.modules, "micrograd_cn_settings_of_a_test", raising=False)
    read, change = make()
    loss, optimizer = compile(lambda x: (w * x * read()) ** 2), SGD([w], 0.0)
    for _ in range(3):
        loss.fit([(1.0,)], optimizer, 1)
    change()
    with pytest.raises(ValueError, match="is not what it was when its program was made"):
        loss.fit([(1.0,)], optimizer, 1)
    sys.modules.pop("micrograd_cn_settings_of_a_test", None)


FACTOR = 2.0


@functools.singledispatch
def by_kind(kind):
    raise TypeError


@by_kind.register
def _(kind: str):
    return FACTOR


@by_kind.register
def _(kind: int):
    return random.random()


class Dispatching:
    factor = 2.0

    @functools.singledispatchmethod
    def by_kind(self, kind):
        raise TypeError

    @by_kind.register
    def _(self, kind: str):
        return self.factor

    @by_kind.register
    def _(self, kind: int):
        return random.random()


class Meta(type):
    @property
    def factor(cls):
        return FACTOR

    @property
    def noise(cls):
        return random.random()

    def __getitem__(cls, key):
        return FACTOR

    def __call__(cls):
        return random.random()


class OfMeta(metaclass=Meta):
    pass


class Unit(float):
    factor = 2.0

    def __mul__(self, x):
        return x * self.factor

    def __add__(self, x):
        return x + random.random()


class Row(list):
    def __matmul__(self, x):
        return x * FACTOR


class Worker(threading.Thread):
    def __init__(self, found):
        super().__init__()
        self.found = found

    def run(self):
        self.found.append(random.random())


def worked():
    found = []
    worker = Worker(found)
    worker.start()
    worker.join()
    return found[0]


unit, row, dispatching = Unit(1.0), Row([1.0]), Dispatching()
vectorized, noise_vectorized = np.frompyfunc(lambda x: x * FACTOR, 1, 1), np.frompyfunc(noise, 1, 1)
referred = Doubling()
referred.factor = 2.0
proxy = weakref.proxy(referred)
computing = ModuleType("computing_of_a_test")
computing.__getattr__ = lambda name: FACTOR


def set_factor(monkeypatch):
    monkeypatch.setitem(globals(), "FACTOR", 3.0)


@pytest.mark.parametrize(
    ("f", "change"),
    [
        (lambda x: x * by_kind("a"), set_factor),
        (lambda x: x * dispatching.by_kind("a"), lambda patch: patch.setattr(Dispatching, "factor", 3.0)),
        (lambda x: x * OfMeta.factor, set_factor),
        (lambda x: x * OfMeta["a"], set_factor),
        (lambda x: unit * x, lambda patch: patch.setattr(Unit, "factor", 3.0)),
        (lambda x: row @ x, set_factor),
        (lambda x: vectorized(x), set_factor),
        (lambda x: x * proxy.factor, lambda patch: patch.setattr(referred, "factor", 3.0)),
        (lambda x: x * computing.factor, set_factor),
    ],
)
def test_fit_notices_what_code_reads_that_is_called_indirectly(f, change, monkeypatch):
    loss, optimizer = compile(lambda x: w * f(x)), SGD([w], 0.0)
    for _ in range(3):
        assert loss.fit([(1.0,)], optimizer, 1) == [4.0]
    change(monkeypatch)
    with pytest.raises(ValueError, match="is not what it was when its program was made"):
        loss.fit([(1.0,)], optimizer, 1)


def test_fit_notices_a_function_that_is_registered_for_another_class():
    chosen = functools.singledispatch(lambda kind: 2.0)
    loss, optimizer = compile(lambda x: w * x * chosen("a")), SGD([w], 0.0)
    for _ in range(3):
        loss.fit([(1.0,)], optimizer, 1)
    chosen.register(str, lambda kind: 3.0)
    with pytest.raises(ValueError, match="is not what it was when its program was made"):
        loss.fit([(1.0,)], optimizer, 1)


@pytest.mark.parametrize(
    "f",
    [
        lambda: by_kind(1),
        lambda: dispatching.by_kind(1),
        lambda: OfMeta.noise,
        lambda: OfMeta(),
        lambda: unit + 0.0,
        lambda: noise_vectorized(1.0),
        worked,
    ],
)
def test_random_numbers_are_noticed_in_code_that_is_called_indirectly(f):
    with pytest.raises(TypeError, match=DIFFERS):
        compile(lambda x: w * x * f())(1.0)


@pytest.mark.parametrize("earlier", [0, 1, 3])
@pytest.mark.parametrize(
    "change",
    [
        lambda m: setattr(m, "beta", m.beta + 1.0),
        lambda m: setattr(m, "a", Value(100.0)),
        lambda m: setattr(m, "c", Value(m.c.data, requires_grad=False)),
    ],
)
def test_fit_notices_what_its_callback_changes(change, earlier):
    m = Moved()
    f = compile(m.regularised)
    for _ in range(earlier):
        f.fit([(1.0, 2.0)], m.optimizer, 1)
    with pytest.raises(ValueError, match="is not what it was when its program was made"):
        f.fit([(1.0, 2.0)], m.optimizer, 3, callback=lambda number, loss: change(m))


@pytest.mark.parametrize(("epochs", "stops"), [(1, None), (3, True)])
def test_what_a_callback_changes_after_the_last_epoch_is_not_refused(epochs, stops):
    m = Moved()

    def callback(number, loss):
        m.beta += 1.0
        return stops

    assert len(compile(m.regularised).fit([(1.0, 2.0)], m.optimizer, epochs, callback=callback)) == 1


def test_a_callback_may_change_what_the_function_does_not_use():
    m, seen = Moved(), []
    f = compile(m.regularised)

    def callback(number, loss):
        seen.append(loss)
        m.seen = [*seen]

    for _ in range(3):
        f.fit([(1.0, 2.0)], m.optimizer, 3, callback=callback)
    assert len(seen) == 9


def test_fit_keeps_no_object_seen_that_a_weak_reference_is_to_and_reads_no_released_memory():
    made, memory = Doubling(), memoryview(array.array("d", [2.0]))
    weak = weakref.ref(made)
    loss = compile(lambda x: (w * x * (2.0 if weak() else 3.0) * (memory.nbytes if x is None else 1.0)) ** 2)
    for _ in range(3):
        loss.fit([(1.0,)], SGD([w], 0.0), 1)
    memory.release()
    loss.fit([(1.0,)], SGD([w], 0.0), 1)
    del made
    gc.collect()
    assert weak() is None
    with pytest.raises(ValueError, match="is not what it was when its program was made"):
        loss.fit([(1.0,)], SGD([w], 0.0), 1)


def test_fit_notices_a_plain_variable_that_changes_between_calls():
    """A weight that is annealed is the usual reason."""
    beta = 0.0
    f, optimizer = compile(lambda x, y: (w * x - y) ** 2 + beta * w**2), SGD([w], 0.0)
    for _ in range(3):
        f.fit(samples, optimizer, 1)
    beta = 1.0
    with pytest.raises(ValueError, match=r"an operand of mul\(...\) is 0.0 in one of them, and 1.0 in the other"):
        f.fit(samples, optimizer, 1)


def test_fit_records_nothing_again_for_what_the_function_does_not_read():
    """Other attributes and an optimiser's state change in each step."""
    calls = []

    class Counted(Moved):
        def attribute(self, x, y):
            print_nothing()
            return super().attribute(x, y)

    def print_nothing(said=calls.append):
        said("called")

    m = Counted()
    f, m.history, m.count = compile(m.attribute), [], 0
    for i in range(5):
        m.history += f.fit([(1.0, 2.0)], m.optimizer, 1)
        m.count, m.best = i, m.a.data
        if i == 1:
            calls.clear()
    assert calls == []


class Trainer:
    """A model with its compiled loss and all that a program for training may keep beside it."""

    def __init__(self, read):
        self.model, self.read = MLP(2, [2, 1]), read
        self.loss = compile(self.error)
        self.optimizer = SGD(self.model.parameters(), 0.0, momentum=0.5)

    def error(self, x, y):
        return (self.model([x, y]) - 1.0) ** 2 + self.read(self.model)

    def keep(self):
        inputs = [Value(1.0), Value(2.0)]
        self.program = compile(self.model(inputs), inputs=inputs)
        self.program.hessian([[1.0, 2.0]])
        self.history = [self.loss.fit([(1.0, 2.0)], self.optimizer, 1) for _ in range(2)]
        self.last = self.loss(1.0, 2.0)

    def keep_others(self):
        self.log, self.rows, self.rng = logging.getLogger(), [[i] for i in range(500)], random.Random(0)


@pytest.mark.parametrize("read", [lambda model: 0.0, lambda model: sum(p * p for p in model.parameters())])
def test_what_a_model_keeps_for_training_is_hardly_looked_at(read):
    """A fit looks through all that a function can read, so it must not look through programs."""
    trainer = Trainer(read)
    whole = Surroundings([trainer])
    named = Reach([trainer.error]).surroundings
    trainer.keep()
    now = Surroundings([trainer])
    assert (whole.complete, now.complete) == (True, True)
    assert len(now._seen) < len(whole._seen) + 30
    trainer.keep_others()
    reach = Reach([trainer.error])
    now = reach.surroundings
    assert (now.complete, reach.code.writes) == (True, False)
    assert len(now._seen) == len(named._seen)
    assert {*trainer.model.parameters()} <= {*now.leaves}


def test_fit_says_what_a_function_raises_that_worked_before():
    """A function that cannot be called any more has no program that could be trained."""
    held = {"w": w}
    f = compile(lambda x: (held["w"] * x - 1.0) ** 2)
    f(1.0)
    del held["w"]
    with pytest.raises(ValueError, match=r"<lambda> is not what it was .*, since it raises KeyError now: 'w'"):
        f.fit([(1.0,)], SGD([w], 0.0), 1)


def test_fit_notices_that_a_model_was_made_anew():
    """In a notebook, a cell that makes the model may run again, and the cell that compiles the loss may not."""
    model = Line()
    f = compile(lambda x: model(x) ** 2)
    f.fit([(1.0,)], SGD(model.parameters(), 0.1), 1)
    model = Line()
    with pytest.raises(ValueError, match="is not what it was when its program was made"):
        f.fit([(1.0,)], SGD(model.parameters(), 0.1), 1)


def test_fit_goes_on_if_a_parameter_only_has_another_place():
    """A list that is copied still holds the same parameters."""
    model = Line()
    f, optimizer = line(model), SGD(model.parameters(), 0.01)
    f.fit(samples, optimizer, 1)
    model.w = [*model.w]
    f.fit(samples, optimizer, 1)
    f.fit(samples, optimizer, 1)
    assert optimizer.steps == 3
    model.w[0] = Value(1.0)
    with pytest.raises(ValueError, match="is not what it was"):
        f.fit(samples, optimizer, 1)


def test_a_function_that_reads_no_leaf_at_first_may_store_one_that_it_makes():
    made = []

    def f(x):
        made[:] = [Value(2.0)]
        return x * made[0]

    assert compile(f)(3.0) == 6.0


def test_a_parameter_that_the_function_makes_is_not_trained():
    """A leaf that is made anew in each call is no parameter to train, also if it can be reached afterwards."""
    held = SimpleNamespace(factor=Value(1.0))

    def loss(x):
        held.factor = Value(1.0)
        return held.factor * x * w

    f = compile(loss)
    f(1.0)
    for _ in range(3):
        f.fit([(1.0,)], SGD([w], 0.0), 1)
        with pytest.raises(ValueError, match=r"makes parameters\[1\] of the optimizer, Value.*, anew in each call"):
            f.fit([(1.0,)], SGD([w, held.factor], 0.1), 1)
    assert f.parameters == [w]


@pytest.mark.parametrize("whole", [False, True])
def test_fit_notices_that_a_constant_has_other_data(whole):
    """State that is loaded into frozen parameters is not in a program that has them as constants."""
    model, b = MLP(1, [2, 1], seed=0), Value(0.0)
    for p in model.parameters():
        p.requires_grad = False
    f = compile(lambda x: (model([x]) + b) ** 2)
    program = f.program(1.0)
    f.fit([(1.0,)], SGD([b], 0.1), 1)
    model.load_state_dict(MLP(1, [2, 1], seed=5).state_dict())
    with pytest.raises(ValueError, match="is a constant of the program, since it required no gradient"):
        program.fit([[1.0]], SGD([b], 0.1), 1) if whole else f.fit([(1.0,)], SGD([b], 0.1), 1)


def counting(optimizer, name):
    real, told = getattr(optimizer, name), []
    setattr(optimizer, name, lambda *arguments: (told.append(1), real(*arguments))[1])
    return told


@pytest.mark.parametrize("name", ["step", "zero_grad"])
def test_a_method_that_is_replaced_on_an_optimiser_is_not_overlooked(name):
    """A wrapper around step() of one optimiser would never be called by the compiled loop."""
    optimizer = SGD([w], 0.0)
    told = counting(optimizer, name)
    with pytest.raises(TypeError, match=rf"only the update\(\) of SGD can be compiled, and it has its own {name}\(\)"):
        compile(lambda x: w * x).fit([(1.0,)], optimizer, 1)
    assert told == []


@pytest.mark.parametrize("name", ["step", "update"])
def test_a_method_that_is_replaced_in_a_class_of_ours_is_not_overlooked(name, monkeypatch):
    """The updates of our optimisers are kept, but not if somebody has replaced their methods."""
    p = Value(1.0)
    f = compile(lambda x: p * x)
    f.fit([(1.0,)], SGD([p], 0.125), 1)
    monkeypatch.setattr(SGD, name, lambda self, p, state: setattr(p, "data", p.data - 10.0 * p.grad))
    if name == "update":
        f.fit([(1.0,)], SGD([p], 0.125), 1)
        assert p.data == 0.875 - 10.0
    else:
        with pytest.raises(TypeError, match=r"it has its own step\(\)"):
            f.fit([(1.0,)], SGD([p], 0.125), 1)


class ByType(Optimizer):
    def update(self, p, state):
        p.data -= self.lr * (2.0 * p.grad if isinstance(p.grad, float) else p.grad)


def test_an_update_that_is_another_formula_for_numbers_is_not_compiled():
    """The formula of an update has to give the numbers of the update."""
    p = Value(1.0)
    with pytest.raises(TypeError, match="cannot compile the update of ByType, which is not the same for numbers"):
        compile(lambda x: p * x).fit([(1.0,)], ByType([p], 0.1), 1)
    assert p.data == 1.0


@pytest.mark.parametrize(
    "used", [lambda x, c: c * x, lambda x, c: x if x > c else -x, lambda x, c: mc.sum([c, x, 1.0])]
)
def test_a_call_notices_that_a_constant_has_other_data(used):
    """A function would read the new data, and its program keeps the old ones."""
    c = Value(2.0, "c", requires_grad=False)
    f = compile(lambda x: used(x, c) + w)
    assert f(3.0) == used(Value(3.0), c).data + 2.0 == f(3.0)
    program = f.program(3.0)
    c.data = -5.0
    for call in (lambda: f(3.0), lambda: f.backward([(3.0,)]), lambda: program.forward([[3.0]])):
        with pytest.raises(ValueError, match=r"c is a constant of the program.*and was 2.0 then; now it is -5.0"):
            call()
    c.data = 2.0
    assert f(3.0) == used(Value(3.0), c).data + 2.0


def test_constants_that_only_the_graph_has_are_not_looked_at():
    """Numbers beside operands cannot change, so a call need not compare them."""
    c = Value(2.0, requires_grad=False)
    f = compile(lambda x: mc.sum([x, 1.0, 2.0, 3.0, c]))
    f(1.0)
    assert f.program(1.0).compiled.data.watched_nodes == [c]


frozen = Value(1.0, "frozen")
RATES = {id(frozen): 0.5}


def attempt(function, otherwise):
    try:
        return function()
    except Exception:  # as broad as users write it
        return otherwise


@pytest.mark.parametrize(
    "factor",
    [
        lambda self, p: 0.0 if p is frozen else 1.0,
        lambda self, p: RATES.get(id(p), 1.0),
        lambda self, p: 0.0 if getattr(p, "label", "") == "frozen" else 1.0,
        lambda self, p: 0.0 if hasattr(p, "label") and p.label == "frozen" else 1.0,
        lambda self, p: attempt(lambda: 0.0 if p in {frozen} else 1.0, 1.0),
        lambda self, p: attempt(lambda: 0.0 if p == self.lr else 1.0, 1.0),
        lambda self, p: 1.0 if isinstance(p.data, float) else 0.0,
    ],
)
def test_an_update_that_asks_which_parameter_it_is_given_is_not_compiled(factor):
    """The formula of an update is that of all parameters."""

    class Asking(Optimizer):
        def update(self, p, state):
            p.data -= self.lr * factor(self, p) * p.grad

    p = Value(1.0)
    with pytest.raises(TypeError, match="cannot compile the update of Asking"):
        compile(lambda x: p * frozen * x).fit([(1.0,)], Asking([p, frozen], 0.1), 1)
    assert (p.data, frozen.data) == (1.0, 1.0)


def test_an_update_may_ask_whether_it_is_given_a_value():
    """A parameter is a Value in the compiled loop, too."""

    class Checked(Optimizer):
        def update(self, p, state):
            if not isinstance(p, Value):
                raise TypeError
            p.data -= self.lr * p.grad

    p = Value(1.0)
    compile(lambda x: p * x).fit([(1.0,)], Checked([p], 0.25), 1)
    assert p.data == 0.75


class ScaleInSlot:
    __slots__ = ("scale",)

    def __init__(self, scale):
        self.scale = scale


def test_code_in_the_slots_of_an_object_is_found():
    """An object without a `__dict__` may hold a function that draws random numbers."""
    holder = ScaleInSlot(lambda x: x * random.random())
    with pytest.raises(TypeError, match=DIFFERS):
        compile(lambda x: holder.scale(x))(1.0)
    holder.scale = lambda x: x * 2.0
    assert compile(lambda x: holder.scale(x))(1.5) == 3.0


def scaled(slope):
    """Return an operation that multiplies its operand by the number in a list, which each of its functions reads."""
    return Op("scaled", lambda x: x * slope[0], (lambda y, x: slope[0],))


@pytest.mark.parametrize("place", ["function", "activation"])
@pytest.mark.parametrize("before", ["fit", "call"])
def test_fit_notices_a_changed_number_that_a_users_operation_reads(before, place):
    slope, w = [2.0], Value(1.0)
    op = scaled(slope)
    model = MLP(1, [1, 1], activation=op, seed=0) if place == "activation" else lambda x: op(w * x[0])
    optimizer = SGD(model.parameters() if place == "activation" else [w], lr=0.0)
    f = compile(lambda x: model([x]))
    losses = f.fit(([1.0],), optimizer, epochs=1) if before == "fit" else [f(1.0)]
    slope[0] = 5.0
    with pytest.raises(ValueError, match=r"fit\(\): the operation 'scaled' is not what it was .*; compile anew"):
        f.fit(([1.0],), optimizer, epochs=1)
    slope[0] = 2.0
    assert [*f.fit(([1.0],), optimizer, epochs=1)] == losses


def test_one_program_has_one_value_even_if_a_users_operation_changes():
    """All code for a program computes what was recorded, and a derivative that would not is refused."""
    slope, w, x = [2.0], Value(3.0), Value(1.0)
    op = scaled(slope)
    f, early = (compile(y, inputs=[x]) for y in (op(op(w) * x), op(w * x)))
    assert (f.forward([[1.0]]), early.gradient([[1.0]])) == ([12.0], [[6.0]])
    slope[0] = 5.0
    assert (f.forward([[1.0]]), f.backward([[1.0]]), w.grad) == ([12.0], 12.0, 4.0)
    assert (early.forward([[1.0]]), early.gradient([[1.0]])) == ([6.0], [[6.0]])
    refusal = "the operation 'scaled' is not what it was when the program was made"
    for derive in (f.gradient, f.jacobian, f.hessian):
        with pytest.raises(ValueError, match=refusal):
            derive([[1.0]])
    assert "2.0" in f.source("python")
    assert "5.0" not in f.source("python")
    anew = compile(op(op(w) * x), inputs=[x])
    assert (anew.forward([[1.0]]), anew.gradient([[1.0]])) == ([75.0], [[75.0]])


def test_a_compiled_function_is_refused_if_a_users_operation_changes():
    slope, w = [2.0], Value(3.0)
    op = scaled(slope)
    f = compile(lambda x: op(op(w) * x))
    assert f(1.0) == 12.0
    slope[0] = 5.0
    for method in (f, f.forward, f.backward, f.gradient, f.jacobian, f.hessian, lambda x: f.value_and_grad(x, "x")):
        with pytest.raises(ValueError, match="the operation 'scaled' is not what it was when the program was made"):
            method(1.0 if method is f else ([1.0],))
    assert (w.grad, compile(f._f)(1.0)) == (0.0, 75.0)


def test_constants_do_not_make_a_users_operation_read_a_number_again():
    """A formula is simplified for operands that are constants, and comes from the same trace as the others."""
    slope, x = [2.0], Value(1.0)
    partials = (lambda y, a, b: b * slope[0], lambda y, a, b: a * slope[0])
    product = Op("product", lambda a, b: a * b * slope[0], partials)
    program = compile(product(x, 3.0) + product(x, x), [x])
    slope[0] = 5.0
    assert program(1.0) == 8.0


class Squared(Module):
    """A module whose methods keep a result: the square of the weight, or a number."""

    def __init__(self):
        self.w, self.factor = Value(0.5), 3.0

    @functools.cached_property
    def square(self):
        return self.w * self.w

    @functools.lru_cache  # noqa: B019 -- as users write it
    def cube(self):
        return self.w * self.w * self.w

    @functools.cached_property
    def number(self):
        return self.factor * 2.0

    @functools.cache  # noqa: B019 -- as users write it
    def constant(self):
        return Value(self.factor, requires_grad=False) * 2.0


@pytest.mark.parametrize("kept", [lambda model: model.square, lambda model: model.cube()])
def test_a_value_that_functools_keeps_between_calls_is_refused(kept):
    """In plain Python, it would keep its first number when the parameter changes."""
    model = Squared()
    with pytest.raises(TypeError, match=rf"{DIFFERS}.*without a cache such as functools\.cached_property"):
        compile(lambda x: kept(model) * x)(1.0)


@pytest.mark.parametrize("kept", [lambda model: model.number, lambda model: model.constant()])
def test_a_number_that_functools_keeps_between_calls_may_be_used(kept):
    model = Squared()
    f = compile(lambda x: kept(model) * model.w * (x if x > 0 else -x), branches=True)
    assert f(1.0) == 3.0
    model.w.data = 1.0
    assert (f(1.0), f(-1.0)) == (6.0, 6.0)


class Scaling(type):
    scale = 1.0


class Scaled(metaclass=Scaling):
    pass


@pytest.mark.parametrize("read", [lambda: globals()["scale_of_test"], lambda: Scaled.scale])
def test_fit_notices_a_global_variable_by_its_text_and_an_attribute_of_a_metaclass(read, monkeypatch):
    monkeypatch.setitem(globals(), "scale_of_test", 1.0)
    monkeypatch.setattr(Scaling, "scale", 1.0)

    def change(epoch, loss):
        Scaling.scale = globals()["scale_of_test"] = 2.0

    weight = Value(0.5)
    loss = compile(lambda x: (weight * x * read() - 1.0) ** 2)
    with pytest.raises(ValueError, match="is not what it was when its program was made"):
        loss.fit([(1.0,)], SGD([weight], 0.01), epochs=4, callback=change)


def _without_attribute(self, *args, **kwargs):
    raise AttributeError


def _noting(name, method, called):
    """Return a method that notes its name in a list, unless the code of this file calls it."""

    def noted(self, *args, **kwargs):
        if sys._getframe(1).f_code.co_filename != __file__:
            called.append(name)
        return method(self, *args, **kwargs)

    return noted


def _user_class(base, called):
    """Return a subclass of `base` in which every method, and properties that other code asks for, are noted."""
    inherited = {name: part for kind in reversed(base.__mro__) for name, part in vars(kind).items()}
    setup = ("__init__", "__setattr__", "__delattr__", "update")  # which make the object
    methods = {
        name: getattr(base, name)
        for name, part in inherited.items()
        if callable(part) and not isinstance(part, (staticmethod, classmethod, type)) and name not in setup
    }
    own = {"__eq__": operator.is_, "__hash__": id, "__bool__": callable, "__getattr__": _without_attribute}
    namespace = {name: _noting(name, method, called) for name, method in (methods | own).items()}
    for name in ("default_factory", "shape", "dtype", "tolist", "keys", "items", "__wrapped__", "func", "__self__"):
        if name not in inherited:
            namespace[name] = property(_noting(name, _without_attribute, called))
    return type(base.__name__, (base,), namespace)


class _Plain:
    pass


USERS_BASES = [
    *(_Plain, dict, OrderedDict, defaultdict, Counter, list, tuple, set, frozenset, deque),
    *(float, int, str, bytes, bytearray, Module, np.ndarray),
]


@pytest.mark.parametrize("base", USERS_BASES)
def test_looking_around_calls_no_method_of_the_users_objects(base):
    """Such a method may change the object: `__missing__` of a nested dict adds keys to it."""
    called = []
    settings = _user_class(base, called)(*[2] * (base is np.ndarray))

    class Slotted:
        __slots__ = ("held",)

    slotted, w, model = Slotted(), Value(0.5), Module()
    slotted.held = model.held = settings
    named, listed, keyed = {"a": settings, "b": 1.0}, [settings, 1.0], {settings: 1.0} if base is not np.ndarray else {}

    def loss(x, y, default=settings):
        used = (settings, slotted.held, model.held, named, listed, keyed, default)
        return (w * x - y) ** 2 if all(x is not None for x in used) else x

    called.clear()
    f, samples = compile(loss), [(1.0, 2.0), (3.0, 1.0)]
    for _ in range(3):
        f.fit(samples, SGD([w], lr=0.01), epochs=1)
    f.gradient(samples, wrt=[w, Value(1.0)])
    f.check(samples)
    assert called == []


@pytest.mark.parametrize(
    "kind", [dict, OrderedDict, type("Frozen", (dict,), {"__setitem__": None, "__delitem__": None})]
)
def test_the_order_of_a_dict_is_put_back_without_methods_of_its_class(kind):
    settings = kind(a=1.0, b=2.0)
    around = Surroundings([lambda x: settings["a"] * x])
    before = around.contents()
    base = OrderedDict if kind is OrderedDict else dict
    base.__delitem__(settings, "a")
    base.__setitem__(settings, "c", 4.0)
    base.__setitem__(settings, "a", 3.0)
    before.restore()
    assert [*settings.items()] == [("a", 1.0), ("b", 2.0)]


def test_an_item_that_moves_to_the_next_collection_is_noticed():
    """The collections are compared one after the other, so their ends matter."""

    class Users(list):
        pass

    for kind in (list, Users):
        first, second = kind([1.0, 2.0]), kind([3.0])
        snapshot = Surroundings([lambda x, a=first, b=second: a, first, second]).snapshot()
        assert not snapshot.may_have_changed()
        first[:], second[:] = [first[0]], [first[1], *second]
        assert snapshot.may_have_changed()


@pytest.mark.parametrize("read", [lambda: os.environ["SCALE_OF_TEST"], lambda: os.getenv("SCALE_OF_TEST"), None])
def test_fit_notices_an_environment_variable(read, monkeypatch):
    monkeypatch.setenv("SCALE_OF_TEST", "1.0")
    if read is None:
        from os import getenv

        read = functools.partial(getenv, "SCALE_OF_TEST")
    weight = Value(0.5)
    loss = compile(lambda x: (weight * x * float(read()) - 1.0) ** 2)
    for _ in range(3):
        loss.fit([(1.0,)], SGD([weight], 0.01), epochs=1)
    monkeypatch.setenv("SCALE_OF_TEST", "2.0")
    with pytest.raises(ValueError, match="is not what it was when its program was made"):
        loss.fit([(1.0,)], SGD([weight], 0.01), epochs=1)


def test_fit_puts_back_a_label_that_the_function_assigns():
    weight = Value(0.5, "before")

    def loss(x):
        weight.label = "inside"
        return (weight * x - 1.0) ** 2

    f = compile(loss)
    f(1.0)
    weight.label = "after"
    f.fit([(1.0,)], SGD([weight], 0.01), epochs=1)
    assert weight.label == "after"


def _changing_functions():
    buffer, array_of, items, mapping, counts, raw = np.full(1, 3.0), np.ones(2), [1.0], {}, {1}, bytearray(8)
    cache = collections.defaultdict(lambda: w * 2.0)

    def alias_of_an_array(x):
        other = buffer
        other *= 0.5
        other += 1
        return x * other[0]

    def view_of_an_array(x):
        part = array_of[1:]
        part += 1
        return x * array_of[1]

    def alias_of_a_list(x):
        other = items
        other += [1.0]
        return x * len(items)

    def alias_of_a_dict(x):
        other = mapping
        other |= {len(other): 1}
        return x * len(mapping)

    def alias_of_a_set(x):
        for other in [counts]:
            other |= {len(other) + 1}
        return x * len(counts)

    def parameter_with_a_default(x, state=[0.0]):  # noqa: B006 -- which it changes
        state += [1.0]
        return x * len(state)

    def positional_out(x):
        np.multiply(buffer, 0.5, buffer)
        return x * (buffer[0] + 1)

    def packed(x):
        [n] = struct.unpack("d", raw)
        struct.pack_into("d", raw, 0, n + 1)
        return x * n

    def method_by_name(x):
        operator.methodcaller("append", 1.0)(items)
        return x * len(items)

    def default_factory(x):
        return cache["k"] * x

    return [f for f in locals().values() if isinstance(f, FunctionType)]


@pytest.mark.parametrize("f", _changing_functions(), ids=lambda f: f.__name__)
def test_a_function_that_changes_what_it_reads_is_refused_however_it_does(f):
    """The code need not show it: a local variable may be another name of what is outside."""
    with pytest.raises(TypeError, match=DIFFERS):
        compile(f)(1.0)


def test_a_change_is_noticed_beside_a_collection_that_is_too_large_to_compare():
    table, counts = [*range(20_000)], [0.0]

    def f(x):
        other = counts
        other += [1.0]
        return x * len(counts) + table[0]

    with pytest.raises(TypeError, match=DIFFERS):
        compile(f)(1.0)


@pytest.mark.parametrize(
    "large", [[0.5] * 10_018, ["name"] * 33_000, dict.fromkeys(range(20_000)), [None, Module()] * 9_000]
)
def test_a_number_beside_a_large_collection_is_noticed_in_calls(large):
    """The items of such a collection are too many to be compared, but everything else is compared."""
    scale = 1.0
    f = compile(lambda x: w * x * scale + 0.0 * len(large))
    first = f(2.0)
    scale = 2.0
    with pytest.raises(ValueError, match="is not what it was when its program was made"):
        f(2.0)
    scale = 1.0
    assert f(2.0) == first


@pytest.mark.parametrize("cached", [functools.lru_cache, functools.cache, functools.lru_cache(maxsize=2)])
@pytest.mark.parametrize(
    ("make", "read", "change"),
    [
        (lambda: {"w": Value(2.0)}, lambda held: held["w"], lambda held: held.update(w=Value(3.0))),
        (lambda: [2.0], lambda held: held[0], lambda held: held.append(held.pop() + 1.0)),
        (lambda: SimpleNamespace(scale=2.0), lambda held: held.scale, lambda held: setattr(held, "scale", 3.0)),
        (lambda: Value(2.0), lambda held: held, lambda held: None),
    ],
)
def test_what_a_function_with_a_cache_has_returned_is_looked_at(make, read, change, cached):
    """A program may read its settings, or its model, by a function that makes them once."""

    @cached
    def settings(name):
        return make()

    f = compile(lambda x: read(settings("usual")) * x)
    assert [f(1.0), f(3.0)] == [2.0, 6.0]
    if make().__class__ is Value:
        settings.cache_clear()
    change(settings("usual"))
    with pytest.raises(ValueError, match="is not what it was when its program was made"):
        f(1.0)


def test_a_list_that_a_generator_returns_again_and_again_is_looked_at():
    def same(held):
        while True:
            yield held

    scales, items = [2.0], None
    items = same(scales)
    next(items)
    f = compile(lambda x: next(items)[0] * x)
    assert f(1.0) == 2.0
    scales[0] = 3.0
    with pytest.raises(ValueError, match="is not what it was when its program was made"):
        f(1.0)


def test_a_changed_number_in_a_list_that_holds_itself_is_told():
    count = [0]
    count.append(count)

    def f(x):
        count[0] += 1
        return w * x * (1.0 if count[0] < 9 else 2.0)

    with pytest.warns(UserWarning, match="f reads and changes count in each call"):
        compile(f)(1.0)


def test_a_log_is_written_beside_code_that_reads_something_else(tmp_path):
    """Its position changes in each call, but nothing is taken from it."""
    with open(tmp_path / "log.txt", "w") as log:

        def f(x):
            log.write("called\n")
            return next(y for y in [w * x, x])

        assert [compile(f)(1.0), compile(f)(2.0)] == [w.data, 2.0 * w.data]


def halves():
    """Yield None with a float that changes: Python may put the new one where the one before the last was."""
    x = 0.0
    while True:
        x += 0.5
        yield


def of_an_inner_iterator():
    inner = iter([1.0] * 9)
    for _ in inner:
        yield


ADVANCED = {
    "a float in a generator": halves,
    "an iterator in a generator": of_an_inner_iterator,
    "a generator expression": lambda: (x for x in [1.0] * 9),
    "a list": lambda: iter([1.0] * 9),
    "a tuple": lambda: iter((1.0,) * 9),
    "a range": lambda: iter(range(9)),
    "a dict": lambda: iter(dict.fromkeys(range(9))),
    "zip": lambda: zip([1.0] * 9, (2.0,) * 9, strict=True),
    "enumerate": lambda: enumerate([1.0] * 9),
    "map": lambda: map(abs, [1.0] * 9),
    "count": itertools.count,
    "repeat": lambda: itertools.repeat(1.0, 9),
}


@pytest.mark.parametrize("name", ADVANCED)
def test_the_progress_of_an_iterator_is_another_after_each_item(name):
    iterator, seen = ADVANCED[name](), []
    for _ in range(6):
        next(iterator)
        seen.append(progress_of(iterator))
        assert progress_of(iterator) == seen[-1], "to look at it takes no item"
    assert len({*seen}) == 6
