"""A deliberately naive reference engine: a gradient is the sum, over all paths, of the products of local derivatives.

It shares nothing with the library: values and local derivatives are mpmath's closed forms of tests/ops/references.py.
"""

from mpmath import mp, mpf

from .ops.references import REFERENCES


class Naive:
    """A node, whose local derivatives are computed when it is made."""

    def __init__(self, data, name=None, parents=()):
        self.data = mpf(data)
        self.grad = mpf(0)
        self.name = name
        self.parents = parents
        self.constant = name is None and parents is None
        self.paths = sum(parent.paths for parent in parents) if parents else 1
        self.partials = ()
        if name is not None:
            _, *partials = REFERENCES[name]
            xs = [parent.data for parent in parents]
            several = name in ("sum", "dot", "logsumexp", "take")
            self.partials = partials[0](*xs) if several else [partial(*xs) for partial in partials]


def constant(data):
    return Naive(data, parents=None)


def apply(name, *parents):
    with mp.workprec(80):
        return Naive(REFERENCES[name][0](*[parent.data for parent in parents]), name, parents)


def derivative(root, node):
    """Return d root / d node, a sum over the paths between them."""
    if root is node:
        return mpf(1)
    with mp.workprec(80):
        return mp.fsum(
            p * derivative(parent, node) for p, parent in zip(root.partials, root.parents or (), strict=True)
        )


def below(root):
    """Return the nodes below `root`, itself included, without constants."""
    found = {}
    waiting = [root]
    while waiting:
        node = waiting.pop()
        if not node.constant and node not in found:
            found[node] = None
            waiting += node.parents
    return list(found)


def backward(root):
    """Add the gradient of `root` to every leaf, and set it on every interior node."""
    for node in below(root):
        node.grad = derivative(root, node) + (node.grad if node.name is None else 0)


def of_expression(f):
    """Return the root and the inputs of an `Expression` at its point."""
    inputs = [Naive(x) for x in f.point]
    nodes = list(inputs)
    for op, operands in f.steps:
        nodes.append(apply(op.name, *[nodes[i] if isinstance(i, int) else constant(i) for i in operands]))
    return nodes[-1], inputs
