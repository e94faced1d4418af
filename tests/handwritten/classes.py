"""`Value` classes as people write them, with right and wrong backward passes, and random graphs of any class."""

import math
import random
from types import SimpleNamespace

from hypothesis import strategies as st

# Karpathy's lecture, with closures.


class Lecture:
    def __init__(self, data, _children=(), _op="", label=""):
        self.data = data
        self.grad = 0.0
        self._backward = lambda: None
        self._prev = set(_children)
        self._op = _op
        self.label = label

    def __add__(self, other):
        other = other if isinstance(other, Lecture) else Lecture(other)
        out = Lecture(self.data + other.data, (self, other), "+")

        def _backward():
            self.grad += 1.0 * out.grad
            other.grad += 1.0 * out.grad

        out._backward = _backward
        return out

    def __mul__(self, other):
        other = other if isinstance(other, Lecture) else Lecture(other)
        out = Lecture(self.data * other.data, (self, other), "*")

        def _backward():
            self.grad += other.data * out.grad
            other.grad += self.data * out.grad

        out._backward = _backward
        return out

    def __pow__(self, other):
        out = Lecture(self.data**other, (self,), f"**{other}")

        def _backward():
            self.grad += other * (self.data ** (other - 1)) * out.grad

        out._backward = _backward
        return out

    def __rmul__(self, other):
        return self * other

    def __truediv__(self, other):
        return self * other**-1

    def __neg__(self):
        return self * -1

    def __sub__(self, other):
        return self + (-other)

    def __radd__(self, other):
        return self + other

    def tanh(self):
        x = self.data
        t = (math.exp(2 * x) - 1) / (math.exp(2 * x) + 1)
        out = Lecture(t, (self,), "tanh")

        def _backward():
            self.grad += (1 - t**2) * out.grad

        out._backward = _backward
        return out

    def exp(self):
        out = Lecture(math.exp(self.data), (self,), "exp")

        def _backward():
            self.grad += out.data * out.grad

        out._backward = _backward
        return out

    def backward(self):
        topo, visited = [], set()

        def build_topo(v):
            if v not in visited:
                visited.add(v)
                for child in v._prev:
                    build_topo(child)
                topo.append(v)

        build_topo(self)
        self.grad = 1.0
        for node in reversed(topo):
            node._backward()


# A class like the tutorial's and microgpt's: nodes keep local derivatives, and the backward pass is a function of them.


class Kept:
    """A class with the slots and names of microgpt's; a subclass may also keep the texts of operations."""

    def __init__(self, data, children=(), local_grads=(), op=""):
        self.data, self.grad = data, 0
        self._children, self._local_grads = children, local_grads

    def _of(self, other):
        return other if isinstance(other, Kept) else type(self)(other)

    def __add__(self, other):
        other = self._of(other)
        return type(self)(self.data + other.data, (self, other), (1, 1), "+")

    def __mul__(self, other):
        other = self._of(other)
        return type(self)(self.data * other.data, (self, other), (other.data, self.data), "*")

    def __sub__(self, other):
        other = self._of(other)
        return type(self)(self.data - other.data, (self, other), (1, -1), "-")

    def __truediv__(self, other):
        other = self._of(other)
        y = self.data / other.data
        return type(self)(y, (self, other), (1 / other.data, -y / other.data), "/")

    def __pow__(self, n):
        return type(self)(self.data**n, (self,), (n * self.data ** (n - 1),), f"**{n}")

    def tanh(self):
        y = math.tanh(self.data)
        return type(self)(y, (self,), (1 - y * y,), "tanh")

    def exp(self):
        y = math.exp(self.data)
        return type(self)(y, (self,), (y,), "exp")

    def relu(self):
        return type(self)(max(0, self.data), (self,), (float(self.data > 0),), "ReLU")

    def backward(self):
        right(self)


class MicroGPT(Kept):
    __slots__ = ("_children", "_local_grads", "data", "grad", "label")


class Named(Kept):
    """A class with micrograd's names and a set of operands."""

    def __init__(self, data, children=(), local_grads=(), op=""):
        self.data, self.grad, self._op = data, 0.0, op
        self._prev = set(children)
        self.edges = list(zip(children, local_grads, strict=True))


def edges(node):
    return node.edges if isinstance(node, Named) else list(zip(node._children, node._local_grads, strict=True))


def order(root):
    done = {}

    def visit(node):
        if node not in done:
            for x, _ in edges(node):
                visit(x)
            done[node] = True

    visit(root)
    return [*done][::-1]


def right(root):
    root.grad = 1.0
    for node in order(root):
        for x, local in edges(node):
            x.grad += local * node.grad


def assigns(root):
    root.grad = 1.0
    for node in order(root):
        for x, local in edges(node):
            x.grad = local * node.grad


def keeps_the_first(root):
    root.grad = 1.0
    for node in order(root):
        for x, local in edges(node):
            if x.grad == 0.0:
                x.grad = local * node.grad


def hurries(root):
    root.grad = 1.0
    visited = set()

    def visit(node):
        visited.add(node)
        for x, local in edges(node):
            x.grad += local * node.grad
            if x not in visited:
                visit(x)

    visit(root)


def sends_again(root):
    root.grad = 1.0

    def visit(node):
        for x, local in edges(node):
            x.grad += local * node.grad
            visit(x)

    visit(root)


def forgets_upstream(root):
    root.grad = 1.0
    for node in order(root):
        for x, local in edges(node):
            x.grad += local


def begins_with_nothing(root):
    for node in order(root):
        for x, local in edges(node):
            x.grad += local * node.grad
    order(root)[-1].grad = 1e-3


def twice(root):
    right(root)
    right(root)


FAULTS = {
    assigns: "assigned with =",
    keeps_the_first: "only ",
    hurries: "before the rest had arrived",
    sends_again: "sent its gradient on more than once",
    forgets_upstream: "not multiplied by the upstream gradient",
    twice: "2 times the right one: something is left over",
}

# Random graphs: recipes that any class can follow.

UNARY = {"tanh": lambda p: p.tanh(), "square": lambda p: p**2, "inverse": lambda p: (p * p + 1) ** -1}
BINARY = {"+": lambda p, q: p + q, "*": lambda p, q: p * q}
OTHERS = {"-": lambda p, q: p - q, "/": lambda p, q: p / (q * q + 1)}


@st.composite
def recipes(draw, operations, most=8):
    """Draw the leaves' numbers, and steps: an operation, and which earlier nodes are its operands."""
    rng = random.Random(draw(st.integers(0, 2**32)))
    leaves = [rng.choice((-1, 1)) * rng.uniform(0.3, 1.5) for _ in range(draw(st.integers(1, 3)))]
    steps, count = [], len(leaves)
    for _ in range(draw(st.integers(1, most))):
        name = draw(st.sampled_from(sorted(operations)))
        steps.append((operations[name], name, draw(st.integers(0, count - 1)), draw(st.integers(0, count - 1))))
        count += 1
    return SimpleNamespace(leaves=leaves, steps=steps)


def built(recipe, value):
    """Return the root, which is the sum of the last nodes, and all nodes of the recipe, with labels."""
    nodes = [value(x) for x in recipe.leaves]
    used = set()
    for function, _, i, j in recipe.steps:
        several = function.__code__.co_argcount == 2
        used |= {i, j} if several else {i}
        nodes.append(function(nodes[i], nodes[j]) if several else function(nodes[i]))
    root = nodes[-1]
    for i in range(len(nodes) - 1):
        if i not in used:
            root = root + nodes[i]
            nodes.append(root)
    for i, node in enumerate(nodes):
        node.label = f"n{i}"
    return root, nodes
