"""Helpers for tests of graphs: labelled leaves, the gradients of several nodes, and Python's binary operators."""

import operator

from micrograd_cn import Value

ARITHMETIC = [operator.add, operator.sub, operator.mul, operator.truediv, operator.pow]


def leaves(*data):
    """Return leaves with these data, labelled "a", "b" and so on."""
    return [Value(x, label) for x, label in zip(data, "abcdefgh", strict=False)]


def grads(*values):
    """Return the gradient of each node."""
    return [v.grad for v in values]
