"""Models that the tests of this folder share."""

from collections import deque
from types import SimpleNamespace

import numpy as np

from micrograd_cn import Value
from micrograd_cn.nn import Layer, Module, Neuron


def data(model):
    """Return the numbers of a model's parameters."""
    return [p.data for p in model.parameters()]


class Block(Module):
    """A module that keeps parameters in all ways: alone, in a list, in modules, in a dict, and twice."""

    def __init__(self):
        self.scale = Value(2)
        self.pair = [Value(3), Value(4)]
        self.parts = [Layer(1, 2, seed=0), {"head": Neuron(2, seed=0)}]
        self.name = "text"
        self.shared = self.scale


class Holder(Module):
    """A module with a single attribute, `held`."""

    def __init__(self, held):
        self.held = held


class SlottedModule(Module):
    __slots__ = ("w",)

    def __init__(self, w, b):
        self.b, self.w = b, w


class Keeper(Module):
    """A module that keeps parameters somewhere in `held`, and uses all that it finds."""

    def __init__(self, held):
        self.name, self.held = "text", held

    def __call__(self, x):
        return sum((p * x + p for p in self.parameters()), Value(0.0) * 0.0)


class Sequence(Module, list):
    """A module that is a list of its parts."""

    def __call__(self, x):
        for part in self:
            x = part(x)
        return x


class Kept(Module):
    """A model that keeps an activation of its last call, and parameters in several kinds of attributes."""

    def __init__(self):
        self.w, self.ws, self.array = Value(1.0), [Value(2.0)], np.array([[Value(3.0)]])
        self.inside = {"a": Value(4.0)}
        self.last = self.mean = None

    def __call__(self, x):
        self.last = self.w * x
        return self.last


class Many(Module):
    """A model with a parameter in an attribute and in collections of all kinds."""

    def __init__(self):
        self.w, self.b, self.rate = Value(1.0), Value(0.5), 0.1
        self.ws, self.rows = [Value(2.0), Value(3.0)], [[Value(4.0)], [Value(5.0)]]
        self.array, self.inside = np.array([Value(6.0), Value(7.0)]), {"a": Value(8.0)}
        self.queue, self.object = deque([Value(9.0)]), SimpleNamespace(w=Value(10.0))

    def reset(self):
        self.w = self.w * 0.1


class State(Module):
    """A recurrent model whose first state is a parameter at first."""

    def __init__(self):
        self.w, self.u, self.h, self.hs = Value(0.5), Value(0.25), Value(0.0), [Value(0.0)]

    def __call__(self, x):
        return self.forward(x)

    def forward(self, x):
        self.h, self.hs = self.h * 0.5 + x, [self.hs[0] + self.w * x]
        return self.h

    def step(self, x):
        self.h = (self.w * x + self.u * self.h).tanh()
        self.hs[0] = (self.w * x + self.u * self.hs[0]).tanh()
        return self.h


BECAME_COMPUTED = (
    r"was a parameter, and is now computed from it \({}\).*begin with a number, as in self\.{} = 0\.0"
    r".*for fast weights, as in MAML, write a function"
)


class Noted(Value):
    pass
