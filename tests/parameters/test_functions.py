"""Leaves that functions of a model read where no parameters are looked for: an optimiser warns that it lacks them."""

# ruff: noqa: B008, B019 -- defaults that are leaves, and caches of methods, are what these tests are about

import functools
import itertools
import warnings
import weakref
from queue import Queue

import numpy as np
import pytest

from micrograd_cn import Value, compiler, less, where
from micrograd_cn.nn import MLP, Layer, Module
from micrograd_cn.optim import SGD

OUTSIDE = Value(0.5)
SLOPE = 0.5


class Scaled(Module):
    """A model that applies its attribute `f` to `w` times its input."""

    def __init__(self, f):
        self.w = Value(1.0)
        if f:
            self.f = f

    def __call__(self, x):
        return self.f(self.w * x)


def scaled_by(x):
    return OUTSIDE * x


class InMethodDefault(Scaled):
    def f(self, x, slope=Value(SLOPE)):
        return slope * x


class InMethodVariable(Scaled):
    def f(self, x):
        return OUTSIDE * x


class Cached(Scaled):
    @functools.cache
    def slope(self):
        return Value(SLOPE)

    def f(self, x):
        return self.slope() * x


class BoundedCache(Scaled):
    @functools.lru_cache(maxsize=2)
    def slope(self):
        return [Value(SLOPE)]

    def f(self, x):
        return self.slope()[0] * x


class InQueue(Scaled):
    """A model that has something in a queue. It was not there yet when `__init__` ended."""

    def __init__(self, f, make=lambda p: p):
        super().__init__(f)
        self.slopes, self.make = Queue(), make

    def f(self, x):
        if self.slopes.empty():
            self.slopes.put(self.make(Value(SLOPE)))
        (slope,) = self.slopes.queue
        return slope(x) if isinstance(slope, Module) else slope * x


class InQueueOfClass(Scaled):
    slopes = Queue()

    def f(self, x):
        if self.slopes.empty():
            self.slopes.put(Value(SLOPE))
        return self.slopes.queue[0] * x


class Overriding(InMethodDefault):
    def f(self, x):
        return super().f(x) + 0.0


class InProperty(Scaled):
    @property
    def slope(self):
        return OUTSIDE

    def f(self, x):
        return self.slope * x


class InPartialMethod(Scaled):
    def multiply(self, x, slope):
        return slope * x

    f = functools.partialmethod(multiply, slope=Value(SLOPE))


class Next(Scaled):
    def __init__(self, slopes=None):
        super().__init__(None)
        self.slopes = slopes or itertools.cycle([Value(SLOPE)])

    def f(self, x):
        return next(self.slopes) * x


class Slope:
    def __init__(self):
        self.slope = Value(SLOPE)

    def __call__(self, x):
        return self.times(x)

    def times(self, x):
        return self.slope * x


def leaky(x, slope):
    return where(less(0.0, x), x, slope * x)


def of_attribute():
    def f(x):
        return f.slope * x

    f.slope = Value(SLOPE)
    return f


def one_layer(activation):
    return Layer(1, 1, activation=activation, init=lambda *_: -1.0)


def sharing(xs):
    """Return a function that reads `xs`, as another function does which it calls."""

    def times(x):
        return xs[0] * x

    return lambda x: times(x) + 0.0 * xs[0]


def table_of(slope):
    slopes = {"leaky": [slope]}
    return lambda x: slopes["leaky"][0] * x


READING = {
    "a closure": lambda: Scaled((lambda slope: lambda x: slope * x)(Value(SLOPE))),
    "a closure of a function in a closure": lambda: Scaled((lambda f: lambda x: f(x))(lambda x, s=Value(SLOPE): s * x)),
    "a list in a closure": lambda: Scaled((lambda slopes: lambda x: slopes[0] * x)([Value(SLOPE)])),
    "a list in two closures": lambda: Scaled(sharing([Value(SLOPE)])),
    "a list in a dict in a closure": lambda: Scaled(table_of(Value(SLOPE))),
    "an array in a closure": lambda: Scaled((lambda a: lambda x: (a * x).sum())(np.array([Value(SLOPE)]))),
    "a model in a list in a closure": lambda: Scaled((lambda nets: lambda x: nets[0](x))([Scaled(lambda x: x)])),
    "a model in a tuple in a default": lambda: Scaled(lambda x, nets=(Scaled(lambda x: x),): nets[0](x)),
    "a default": lambda: Scaled(lambda x, slope=Value(SLOPE): slope * x),
    "a default that is passed by name": lambda: Scaled(lambda x, *, slope=Value(SLOPE): slope * x),
    "a list in a default": lambda: Scaled(lambda x, slopes=(Value(SLOPE),): slopes[0] * x),
    "a global variable": lambda: Scaled(lambda x: OUTSIDE * x),
    "a global variable of another function": lambda: Scaled(lambda x: scaled_by(x)),
    "a model in a closure": lambda: Scaled((lambda net: lambda x: net(x))(Scaled(lambda x: x))),
    "a default of a method": lambda: InMethodDefault(None),
    "a global variable in a method": lambda: InMethodVariable(None),
    "a cache": lambda: Cached(None),
    "a property": lambda: InProperty(None),
    "a partialmethod": lambda: InPartialMethod(None),
    "an iterator": Next,
    "a function in an iterator": lambda: Next(map((lambda p: lambda _: p)(Value(SLOPE)), itertools.repeat(0))),
    "an iterator of an array": lambda: Scaled((lambda flat: lambda x: flat[0] * x)(np.array([Value(SLOPE)]).flat)),
    "a queue": lambda: InQueue(None),
    "an exception in a default": lambda: Scaled(lambda x, error=ValueError(Value(SLOPE)): error.args[0] * x),
    "a model in a queue": lambda: InQueue(None, lambda p: Scaled(lambda x: x)),
    "a queue of the class": lambda: InQueueOfClass(None),
    "a bounded cache": lambda: BoundedCache(None),
    "a method that is overridden": lambda: Overriding(None),
    "an activation that is a partial": lambda: one_layer(functools.partial(leaky, slope=Value(SLOPE))),
    "an activation with a closure": lambda: one_layer((lambda slope: lambda x: leaky(x, slope))(Value(SLOPE))),
    "an activation with an attribute": lambda: one_layer(of_attribute()),
    "an activation that is a method": lambda: one_layer(Slope().times),
    "the activation of an MLP": lambda: MLP(1, [2, 1], lambda x: leaky(x, OUTSIDE), lambda *_: -1.0),
}
# A compiled function is refused if it takes an item of an iterator, or makes a leaf and keeps it
REFUSED = {"an iterator", "a function in an iterator", "a queue", "a model in a queue", "a queue of the class"}
WARNING = r"of this \w+ reads Value\(.*\), which gets a gradient, but is in no optimizer, so nothing trains it"


def loss_of(model, x=1.0):
    y = model([x]) if isinstance(model, (MLP, Layer)) else model(x)
    return (y - 3.0) ** 2


def train(model, *optimizers, steps=2, after=lambda: None):
    for _ in range(steps):
        for optimizer in optimizers:
            optimizer.zero_grad()
        loss_of(model).backward()
        for optimizer in optimizers:
            optimizer.step()
        after()


@pytest.mark.parametrize("name", READING)
def test_the_second_step_warns_of_a_leaf_that_only_a_function_has(name):
    model = READING[name]()
    optimizer = SGD(model.parameters(), lr=0.01)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        train(model, optimizer, steps=1)
    with pytest.warns(UserWarning, match=WARNING) as caught:
        train(model, optimizer, steps=1)
    assert [w.filename for w in caught] == [__file__]


@pytest.mark.parametrize("name", [name for name in READING if name not in REFUSED])
def test_fit_warns_once_of_a_leaf_that_only_a_function_has(name):
    model = READING[name]()
    loss = compiler.compile(lambda x: loss_of(model, x))
    with pytest.warns(UserWarning, match=WARNING) as caught:
        loss.fit([(1.0,)], SGD(model.parameters(), lr=0.01), epochs=3)
    assert len(caught) == 1


def test_the_path_of_the_function_is_named():
    model = MLP(1, [2, 1], lambda x: leaky(x, OUTSIDE), lambda *_: -1.0)
    with pytest.warns(UserWarning, match=r"^layers\.0\.neurons\.0\.activation of this MLP reads "):
        train(model, SGD(model.parameters(), lr=0.01))
    with pytest.warns(UserWarning, match=r"^InMethodDefault\.f of this InMethodDefault reads "):
        train(model := InMethodDefault(None), SGD(model.parameters(), lr=0.01))


class Own(Module):
    """A model whose activation function is one of its methods."""

    def __init__(self):
        self.slope = Value(SLOPE)
        self.net = MLP(1, [2, 1], activation=self.activate, seed=0)

    def activate(self, x):
        return leaky(x, self.slope)

    def __call__(self, x):
        return self.net([x])


class Named(Scaled):
    """A model that names its parameters itself, and may keep others elsewhere."""

    def f(self, x, slope=Value(SLOPE)):
        return slope * x

    def parameters(self):
        return [self.w]


def test_there_is_no_warning_if_something_trains_the_leaf_or_nothing_should():
    slope = Value(SLOPE)
    model = Scaled(lambda x: slope * x)

    def by_hand():
        slope.data -= 0.01 * slope.grad

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        train(model, SGD([*model.parameters(), slope], lr=0.01))
        train(model, SGD(model.parameters(), lr=0.01), SGD([slope], lr=0.01))
        train(model, SGD(model.parameters(), lr=0.01), after=by_hand)
        slope.requires_grad = False
        train(model, SGD(model.parameters(), lr=0.01))
        train(model := Own(), SGD(model.parameters(), lr=0.01))
        train(model := Named(None), SGD(model.parameters(), lr=0.01))
        train(model := Scaled(lambda x: x), SGD(model.parameters(), lr=0.01))


def test_objects_that_raise_errors_when_they_are_looked_at_are_left_alone():
    """A proxy of an object that is gone raises an error for everything but its type."""
    model = Scaled(lambda x: x)
    model.gone = weakref.proxy(Slope())
    model.unassigned = lambda x: later * x
    if not model:
        later = 1.0
    train(model, SGD(model.parameters(), lr=0.01))
