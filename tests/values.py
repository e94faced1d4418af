"""What many tests of graphs use: named leaves, the gradients of several nodes, and Python's binary operators."""

import operator

from micrograd_cn import Value

ARITHMETIC = [operator.add, operator.sub, operator.mul, operator.truediv, operator.pow]


def leaves(*data):
    return [Value(x, label) for x, label in zip(data, "abcdefgh", strict=False)]


def grads(*values):
    return [v.grad for v in values]
