"""A deliberately naive engine, with which tests compare the package's engine.

It computes a gradient as the definition says: the sum over all paths of the product of the local derivatives along the
path. It shares no code with the package. Values and local derivatives are mpmath's formulas in tests/ops/references.py.
"""

from mpmath import mp, mpf

from .ops.references import REFERENCES


class Naive:
    """A node. A leaf has no name and no parents, a constant has None as parents, and `paths` counts the paths below.

    Local derivatives are computed when the node is made, as in the package's engine.
    """

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
    """Return a node without a gradient."""
    return Naive(data, parents=None)


def apply(name, *parents):
    """Return the node of an operation, by its name in the table."""
    with mp.workprec(80):
        return Naive(REFERENCES[name][0](*[parent.data for parent in parents]), name, parents)


def derivative(root, node):
    """Return d root / d node by recursion over all paths from the root to the node."""
    if root is node:
        return mpf(1)
    with mp.workprec(80):
        return mp.fsum(
            p * derivative(parent, node) for p, parent in zip(root.partials, root.parents or (), strict=True)
        )


def below(root):
    """Return `root` and all nodes below it, without constants."""
    found = {}
    waiting = [root]
    while waiting:
        node = waiting.pop()
        if not node.constant and node not in found:
            found[node] = None
            waiting += node.parents
    return list(found)


def backward(root):
    """Add the gradient of `root` to the `grad` of each leaf, and set the `grad` of each other node to it."""
    for node in below(root):
        node.grad = derivative(root, node) + (node.grad if node.name is None else 0)


def of_expression(f):
    """Build an `Expression` of `micrograd_cn.testing` at its point, and return the root and the inputs."""
    inputs = [Naive(x) for x in f.point]
    nodes = list(inputs)
    for op, operands in f.steps:
        nodes.append(apply(op.name, *[nodes[i] if isinstance(i, int) else constant(i) for i in operands]))
    return nodes[-1], inputs
