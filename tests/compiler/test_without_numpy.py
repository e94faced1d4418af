"""Compiled programs and functions give the same numbers, to the bit, whether numpy is imported or not.

numpy moves and gathers numbers faster, but the package does not need it. Both ways have code of their own.
"""

import math
import random
import sys
from array import array
from functools import partial

import numpy as np
import pytest

from micrograd_cn import Value, exp, functional, less, no_grad, sin, where
from micrograd_cn.compiler import compile, parameters_to_vector, vector_to_parameters  # noqa: A004 -- the field's name
from micrograd_cn.nn import MLP
from micrograd_cn.optim import SGD, Adam

rng = random.Random(0)
ROWS = [[rng.uniform(-1, 1) for _ in range(3)] for _ in range(11)]
COLUMNS = [array("d", column) for column in zip(*ROWS, strict=True)]


with_branches = partial(compile, branches=True)


def branches(x, y, z):
    return sin(x) * y if x > 0.0 else exp(y * z) + x


def several(x, y, z):
    return [x * y, z] if x > 0.0 else [y - x, z * z]


def ragged(x, y, z):
    return [x, y, z] if x > 0.0 else [z]


def smooth(x, y, z):
    return exp(x * y) + where(less(0.0, z), z * z, 0.0) + y**3


def program():
    x, y, z, w = (Value(float(k), "xyzw"[k]) for k in range(4))
    return compile([x * y + w, sin(z) * w, w * 2.0], [x, y, z])


def of_three():
    x, y, z = Value(0.0), Value(0.0), Value(0.0)
    return compile(smooth(x, y, z), [x, y, z])


def of_many():
    """Return a program with 40 inputs, whose Hessian has only a few entries."""
    xs = [Value(0.0) for _ in range(40)]
    return compile(sin(xs[0]) * xs[39] + xs[7] ** 3, xs)


def without_gradients():
    """Return what a block without gradients and a condition make of a model, whose arrays nothing has to look for."""
    model = MLP(2, [3, 1], seed=0)
    with no_grad():
        for p in model.parameters():
            p.data = p.data * 0.5 if p else 0.0
    return model([1.0, 2.0]).data


def buffer(count):
    return array("d", [math.nan]) * count


def into(count, call):
    """Return what `call` writes into a buffer of `count` numbers."""
    out = buffer(count)
    call(out)
    return out.tolist()


def trained(has_branches=False, rows=ROWS, **options):
    """Return the losses of a training of a network, and its parameters afterwards."""
    model = MLP(3, [4, 1], seed=0)

    def loss(x, y, z):
        return (model([x, y, z]) - (x if has_branches and x > 0.1 else y)) ** 2

    return with_branches(loss).fit(rows, Adam(model.parameters(), lr=0.01), 3, **options), [
        p.data for p in model.parameters()
    ]


class Shuffler:
    """An object with a method that shuffles as `change` does."""

    def __init__(self, change):
        self.shuffle = change


def parameters():
    ps = [Value(1.0), Value(2.0)]
    vector_to_parameters(array("d", [3.0, 4.0]), ps)
    return [p.data for p in ps], [*parameters_to_vector(ps)]


CALLS = {
    "forward": lambda: program().forward(ROWS),
    "forward into a buffer": lambda: into(33, lambda out: program().forward(ROWS, out=out)),
    "forward of columns": lambda: with_branches(branches).forward(tuple(COLUMNS)),
    "branches": lambda: with_branches(branches).forward(ROWS),
    "branches into a buffer": lambda: into(11, lambda out: with_branches(branches).forward(ROWS, out=out)),
    "several results": lambda: with_branches(several).forward(ROWS),
    "several results into a buffer": lambda: into(22, lambda out: with_branches(several).forward(ROWS, out=out)),
    "ragged results": lambda: with_branches(ragged).forward(ROWS),
    "gradient": lambda: with_branches(branches).gradient(ROWS),
    "gradient into a buffer": lambda: into(33, lambda out: with_branches(branches).gradient(ROWS, out=out)),
    "jacobian": lambda: with_branches(several).jacobian(ROWS),
    "hessian": lambda: compile(smooth).hessian(ROWS, dense=True),
    "hessian into a buffer": lambda: into(99, lambda out: compile(smooth).hessian(ROWS, dense=True, out=out)),
    "hessian of a program": lambda: into(99, lambda out: of_three().hessian(ROWS, dense=True, out=out)),
    "mean hessian into a buffer": lambda: into(9, lambda out: of_three().hessian(ROWS, mean=True, dense=True, out=out)),
    "sparse matrices": lambda: into(
        2 * 40**2, lambda out: of_many().hessian([[0.5] * 40, [0.25] * 40], dense=True, out=out)
    ),
    "no numbers": lambda: compile(lambda n: Value(2.0, "w") * n, static="n").forward([(2,), (3,), (2,)]),
    "mean hessian": lambda: compile(smooth).hessian(ROWS, mean=True, dense=True),
    "mean hessian of branches": lambda: with_branches(branches).hessian(ROWS, mean=True, dense=True),
    "value and gradient": lambda: with_branches(branches).value_and_grad(ROWS, wrt="inputs"),
    "fit": trained,
    "fit of branches": lambda: trained(True),
    "fit of batches": lambda: trained(True, batch_size=4, shuffle=random.Random(0)),
    "fit with a shuffle of one's own": lambda: trained(
        batch_size=4, shuffle=Shuffler(lambda order: order.append(order.pop(0)))
    ),
    "fit of columns": lambda: trained(rows=tuple(COLUMNS), batch_size=4, shuffle=random.Random(0)),
    "fit of columns with branches": lambda: trained(True, rows=tuple(COLUMNS)),
    "parameters": parameters,
    "no_grad": without_gradients,
    "functional": lambda: functional.hessian(lambda v: smooth(*v))(ROWS[0]),
}


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize("installed", [True, False])
def test_the_numbers_are_the_same_with_and_without_numpy(call, installed, monkeypatch):
    """Nothing imports numpy, or its import raises an ImportError."""
    assert sys.modules["numpy"] is np
    expected = plain(CALLS[call]())
    for name in [name for name in sys.modules if name.partition(".")[0] == "numpy"]:
        monkeypatch.delitem(sys.modules, name)
    if not installed:
        monkeypatch.setitem(sys.modules, "numpy", None)
    assert plain(CALLS[call]()) == expected
    assert sys.modules.get("numpy") is None


def plain(x):
    """Return lists in the place of arrays, tuples and dense matrices."""
    if hasattr(x, "tolist"):
        x = x.tolist()
    return [*map(plain, x)] if isinstance(x, (list, tuple)) else x


@pytest.mark.parametrize("wrong", [[0] * 11, [*range(10)], [*range(1, 12)], [-1, *range(10)], [0.5] * 11])
@pytest.mark.parametrize("imported", [True, False])
def test_a_shuffle_that_is_no_permutation_is_refused_with_and_without_numpy(wrong, imported, monkeypatch):
    w = Value(1.0)
    f = compile(lambda x, y, z: (w * x - y) ** 2 + z)
    if not imported:
        monkeypatch.delitem(sys.modules, "numpy", raising=False)

    def shuffle(order):
        order[:] = wrong

    with pytest.raises(ValueError, match="must permute the list of row numbers"):
        f.fit(ROWS, SGD([w], lr=0.1), 1, shuffle=Shuffler(shuffle))
    assert w.data == 1.0
