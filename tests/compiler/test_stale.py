"""`fit` compares recordings with new ones, and nothing that was called before makes a right function look stale."""

import copy
import pickle

import numpy as np
import pytest

from micrograd_cn import Value, less, where
from micrograd_cn.compiler import compile  # noqa: A004 -- the field's name
from micrograd_cn.compiler.function.arguments import Arguments
from micrograd_cn.compiler.function.recording import Recorder
from micrograd_cn.optim import SGD

w, v = Value(0.5), Value(0.25)
WEIGHTS = np.array([w, v])
made = []  # nodes of the functions


def with_number(x, y):
    return (w * x - y) ** 2 + 3.0


def with_array(x, y):
    return (w * np.maximum(x, 0).sum() + v * x.clip(-1.0, 0.5).sum() + np.minimum(0.25, x) @ WEIGHTS - y) ** 2


def with_choice(x, y):
    return (where(less(0.0, x), w * x, 0.0) - y * 2.0) ** 2


def with_branch(x, y):
    return (w * x - y) ** 2 if x > 0.0 else (v * x - 2.0 * y) ** 2


def with_power(x, y, n):
    return (w * x**n + 1.0 - y) ** 2


def with_kept_nodes(x, y):
    made.append(w * 2.0)
    return (made[-1] * x - y) ** 2


ARRAYS = [(np.array([0.5, -0.3]), 1.0), (np.array([0.2, 0.3]), 2.0)]
NUMBERS, SIGNS = [(1.0, 2.0), (2.0, 1.0)], [(1.0, 2.0), (-1.0, 2.0)]
FUNCTIONS = {
    with_number: (NUMBERS, {}),
    with_array: (ARRAYS, {}),
    with_choice: (SIGNS, {}),
    with_branch: (SIGNS, {"branches": True}),
    with_power: ([(1.0, 2.0, 3), (1.5, 2.0, 3)], {"static": ["n"]}),
    with_kept_nodes: (NUMBERS, {}),
}


@pytest.mark.parametrize("function", FUNCTIONS)
def test_fit_takes_a_function_after_every_other_call(function, monkeypatch):
    """No method changes the recorded graph: afterwards, the recording still equals a new one."""
    samples, options = FUNCTIONS[function]
    f = compile(function, **options)
    monkeypatch.setitem(globals(), function.__name__, f)  # a compiled function is pickled by its name
    f(*samples[0])
    f.forward(samples)
    f.backward(samples)
    f.gradient(samples)
    f.value_and_grad(samples, "x")
    f.jacobian(samples, ["x", "y"])
    f.hessian(samples, wrt="parameters", mean=True, dense=True)
    f.check(samples)
    for program in {f.program(*sample) for sample in samples}:
        program.jacobian_structure("parameters"), program.hessian_structure()
        program.derivative("gradient", "parameters")
        for language in ("python", "c", "llvm"):
            program.source(language)
    pickle.dumps(f), copy.copy(f), repr(f)
    for node in made:
        assert node.parents
    for _ in range(2):
        f.fit(samples, SGD([w, v], lr=0.0), epochs=1)
        f.gradient(samples, wrt=[w, Value(1.0)])


@pytest.mark.parametrize(
    "function",
    [
        lambda x: x[np.argmax(np.cumsum(x))],
        lambda x: x[np.argmin(np.cumsum(x))],
        lambda x: np.sort(np.cumsum(x))[1],
        lambda x: sorted([x[0], x[0] + x[1]], key=None)[1] * np.maximum(x[0], x[1]),
        lambda x: min([(x[0], 1.0), (x[0] + x[1], 2.0)], key=lambda pair: pair[0])[0] + np.clip(x[1], -1.0, 1.0),
    ],
)
def test_plain_values_are_compared_in_the_same_order_as_arguments(function):
    """The class of an argument is a subclass of the class of what is computed from it, so Python calls its method."""
    arguments = Arguments(function, "f", ())
    recorder = Recorder(arguments)
    for y in (1.1, -1.1):
        bucket = arguments.bucket_of([np.array([1.2, y])], {})
        assert recorder.record(bucket, 0).difference(recorder.record(bucket, 0, plain=True)) == ""
