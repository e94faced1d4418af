"""Derivatives of functions are right at every order, for every structure of arguments, and nested in each other."""

import copy
import math
import pickle
import random
import re
import types
from array import array
from collections import deque
from dataclasses import dataclass
from fractions import Fraction
from functools import partial
from itertools import combinations_with_replacement
from typing import NamedTuple

import numpy as np
import pytest
from mpmath import mp, mpf

import micrograd_cn as mc
from micrograd_cn import OPS, Value, compiler, no_grad
from micrograd_cn.engine import record, topological_order
from micrograd_cn.functional import (
    grad,
    hessian,
    hvp,
    jacobian,
    jvp,
    sparse_hessian,
    sparse_jacobian,
    value_and_grad,
    vjp,
)
from micrograd_cn.losses import binary_cross_entropy_with_logits
from micrograd_cn.nn import MLP
from micrograd_cn.parameters.tree import flatten
from micrograd_cn.testing import gradcheck

from .ops.references import REFERENCES

# Each operation up to order 5

POINTS = {"log1p": [(-0.5,), (2.0,)], "asin": [(0.3,), (-0.6,)], "acos": [(0.3,), (-0.6,)], "where": [(1.0, 0.3, 0.7)]}
POINTS |= {"erfinv": [(0.3,), (-0.8,)], "clip": [(0.3, 0.1, 0.7), (-0.4, 0.1, 0.7), (1.5, 0.1, 0.7), (0.3, 0.7, 0.1)]}
POINTS["take"] = [(0.0, -0.8, 0.5), (2.0, 1.1, -0.4, 0.6)]
ANYWHERE = {
    1: [(0.7,), (1.9,)],
    2: [(0.7, 1.3), (2.1, 0.4)],
    None: [(0.3, -0.8, 0.5), (0.2, 1.1, -0.4, 0.6)],
}
NEGATIVE = [(-0.9,)]


def points(op):
    """Return points inside the operation's domain."""
    found = POINTS.get(op.name) or ANYWHERE[op.arity]
    return found + NEGATIVE if op.arity == 1 and op.smoothness.domain[0][0] == -math.inf else found


def nested(f, slots):
    """Differentiate f by one argument after the other."""
    for slot in slots:
        f = grad(f, slot)
    return f


@pytest.mark.parametrize("op", OPS.values(), ids=list(OPS))
@pytest.mark.parametrize("order", [1, 2, 3, 4, 5])
def test_every_operation_at_every_order(op, order):
    """Derivatives of each operation, mixed ones included, are those that mpmath computes numerically with 60 digits."""
    value = REFERENCES[op.name][0]
    rng = random.Random(f"{op.name} {order}")
    with mp.workdps(60):
        for xs in points(op):
            every = list(combinations_with_replacement(range(len(xs)), order))
            for slots in rng.sample(every, min(len(every), 4)):
                got = nested(lambda *v: record(op, v), slots)(*xs)
                times = tuple(slots.count(i) for i in range(len(xs)))
                expected = mp.diff(lambda *x: mpf(value(*x)), tuple(map(mpf, xs)), times)
                assert got == pytest.approx(float(expected), rel=1e-9, abs=1e-9), (xs, slots)


# Functions, points at kinks, and the derivatives of order 1 to 5 there, which are the table's conventions.
AT_KINKS = [
    (mc.relu, 0.0, [0, 0, 0, 0, 0]),
    (mc.abs, 0.0, [0, 0, 0, 0, 0]),
    (mc.leaky_relu, 0.0, [0.01, 0, 0, 0, 0]),
    (mc.elu, 0.0, [1, 1, 1, 1, 1]),
    (lambda x: mc.elu(x, 0.5), 0.0, [0.5, 0.5, 0.5, 0.5, 0.5]),
    (mc.step, 0.0, [0, 0, 0, 0, 0]),
    (lambda x: mc.maximum(x, 0.0), 0.0, [0.5, 0, 0, 0, 0]),
    (lambda x: mc.minimum(2 * x, x + 1), 1.0, [1.5, 0, 0, 0, 0]),
    (lambda x: mc.where(x, x * x, 3 * x), 0.0, [3, 0, 0, 0, 0]),
    (lambda x: x**0, 0.0, [0, 0, 0, 0, 0]),
    (lambda x: x**1, 0.0, [1, 0, 0, 0, 0]),
    (lambda x: x**2, 0.0, [0, 2, 0, 0, 0]),
    (lambda x: x**4, 0.0, [0, 0, 0, 24, 0]),
    (lambda x: x**3, -2.0, [12, -12, 6, 0, 0]),
    (lambda y: 0**y, 2.0, [0, 0, 0, 0, 0]),
    (lambda x: mc.sqrt(x * x), 0.0, [math.nan] * 5),
    (lambda x: mc.hypot(x, 0.0), 0.0, [math.nan] * 5),
    (lambda y: mc.atan2(y, 0.0), 0.0, [0] + [math.nan] * 4),
]


@pytest.mark.parametrize(("f", "x", "expected"), AT_KINKS)
def test_conventions_hold_at_every_order(f, x, expected):
    assert [nested(f, [0] * n)(x) for n in range(1, 6)] == pytest.approx(expected, abs=0, nan_ok=True)


COMPOSITIONS = [
    (lambda x: mc.exp(mc.sin(x * x)), lambda x: mp.exp(mp.sin(x * x)), 0.7),
    (lambda x: x**x, lambda x: x**x, 1.3),
    (lambda x: 1 / (1 + x**2), lambda x: 1 / (1 + x * x), 0.5),
    (lambda x: mc.log(mc.cosh(x)) * mc.sqrt(1 + x), lambda x: mp.log(mp.cosh(x)) * mp.sqrt(1 + x), 0.4),
    (lambda x: mc.tanh(3 * x - 1) / mc.tan(x), lambda x: mp.tanh(3 * x - 1) / mp.tan(x), 0.9),
    (
        lambda x: mc.logsumexp([x, x * x, mc.cos(x)]),
        lambda x: mp.log(mp.exp(x) + mp.exp(x * x) + mp.exp(mp.cos(x))),
        0.6,
    ),
    (lambda x: mc.atan2(mc.sin(x), x + 2), lambda x: mp.atan2(mp.sin(x), x + 2), 0.8),
    (lambda x: mc.gelu(mc.silu(x)), lambda x: (lambda s: s * mp.ncdf(s))(x / (1 + mp.exp(-x))), -0.3),
]


@pytest.mark.parametrize(("f", "exact", "x"), COMPOSITIONS)
def test_compositions_agree_with_mpmath_to_order_5(f, exact, x):
    with mp.workdps(60):
        for n in range(1, 6):
            assert nested(f, [0] * n)(x) == pytest.approx(float(mp.diff(exact, mpf(x), n)), rel=1e-10)


def test_the_sixth_derivative_recomputes_nothing_shared():
    """The graph of a sixth derivative stays small, because each derivative shares nodes with the one before.

    Without sharing, the number of nodes would grow exponentially with the order.
    """
    made = 0

    def f(x):
        nonlocal made
        y = 1 / (1 + x**2)
        for _ in range(6):
            [y] = mc.gradients(y, [x], create_graph=True)
            made = len(topological_order(y))
        return y

    f(Value(0.5))
    assert made < 2500


# Structures


def test_results_have_the_arguments_structure():
    f = lambda p, q: p["w"][0] * p["w"][1] + p["b"] * q  # noqa: E731
    p = {"w": [2, 3.0], "b": 4}
    assert grad(f)(p, 5) == {"w": [3.0, 2.0], "b": 5.0}
    assert grad(f, 1)(p, 5) == 4.0
    assert grad(f, -1)(p, 5) == 4.0
    assert grad(f, (1, 0))(p, 5) == (4.0, {"w": [3.0, 2.0], "b": 5.0})
    assert value_and_grad(f, [1])(p, 5) == (26.0, (4.0,))
    assert grad(lambda t: t[0] * t[1][0])((2, (3,))) == (3.0, (2.0,))
    assert all(type(x) is float for x in grad(f)(p, 5)["w"])


A, X, W = np.arange(6.0).reshape(2, 3) - 2.0, np.array([0.5, -1.0, 2.0]), np.array([1.0, 2.0, -0.5])


def same(found, expected):
    """Assert that `found` is an array of doubles of the expected shape, and return whether only rounding differs."""
    assert (type(found), found.dtype, found.shape) == (np.ndarray, np.float64, np.shape(expected))
    return np.allclose(found, expected, rtol=1e-12, atol=1e-12)


def test_arrays_are_structures_and_so_are_their_derivatives():
    f = lambda x: (x * x * W).sum()  # noqa: E731
    assert same(grad(f)(X), 2 * X * W)
    assert same(grad(f)(np.array([1, 2, 3])), 2 * np.array([1, 2, 3]) * W)
    assert same(hessian(f)(X), np.diag(2 * W))
    assert same(jacobian(lambda x: A @ x)(X), A)
    assert same(jacobian(lambda a: a @ X)(A), np.einsum("ik,j->ikj", np.eye(2), X))
    assert same(jacobian(lambda t: t * X)(2.0), X)
    assert same(jacobian(lambda t: t * A)(2.0), A)
    assert jacobian(lambda x: [x[0], x.sum()])(X)[1].tolist() == [1.0, 1.0, 1.0]
    assert same(hvp(f, X, W), 2 * W * W)
    value, along = jvp(lambda x: A @ x, X, W)
    assert same(value, A @ X)
    assert same(along, A @ W)
    value, pull = vjp(lambda x: A @ x, X)
    assert same(value, A @ X)
    assert same(pull(np.array([1.0, -1.0])), A[0] - A[1])
    assert grad(lambda x, c: (x * c).sum())(X, W).tolist() == W.tolist()  # c stays an array of floats
    assert sparse_jacobian(lambda x: A @ x)(X).dense() == A.tolist()
    assert sparse_hessian(f)(X).dense() == np.diag(2 * W).tolist()


def test_arrays_in_structures_and_structures_in_the_place_of_an_arrays_elements():
    """Arrays may be in dicts and lists, and a Jacobian has a structure for each element of an output array."""
    value, slopes = value_and_grad(lambda p: p["w"] @ X + p["b"])({"w": W, "b": 1.0})
    assert value == W @ X + 1.0
    assert same(slopes["w"], X)
    assert slopes["b"] == 1.0
    rows = jacobian(lambda p: p[0] * p[1])([X, 2.0])
    assert [[row[0].tolist(), row[1]] for row in rows] == [
        [(2 * e).tolist(), x] for e, x in zip(np.eye(3), X, strict=True)
    ]
    assert jacobian(lambda x: np.array(x))([1.0, 2.0]) == [[1.0, 0.0], [0.0, 1.0]]
    assert same(grad(lambda x, y: (x * y).sum(), (0, 1))(X, W)[1], X)


def test_arrays_at_every_level():
    """Derivatives of derivatives take and return arrays, also with respect to an outer function's argument."""
    cube = lambda x: (x**3).sum()  # noqa: E731
    assert same(jacobian(grad(cube))(X), np.diag(6 * X))
    assert same(grad(lambda x: grad(cube)(x) @ W)(X), 6 * X * W)
    assert same(grad(lambda x: jvp(cube, x, W)[1])(X), 6 * X * W)
    assert same(jacobian(lambda t: grad(cube)(t * X))(1.0), 6 * X * X)
    held = np.array([Value(1.0), Value(2.0)])
    found = grad(lambda x: x @ x)(held)  # the result depends on the Values in the array
    assert mc.gradients(found[1], list(held)) == [0.0, 2.0]


def test_what_numpy_does_with_an_array_of_values():
    """numpy's functions, operators and methods on an array of `Value`s are differentiated right."""

    def f(x):
        inside = np.tanh(A @ x) + np.exp(2.0 * x[:2]) / (1 + abs(x[1:])) - x[::2] ** 2
        return np.sqrt(inside @ inside) + mc.dot(x, W) + x.mean() + np.max(x) + sum(x) + x.reshape(3, 1).sum()

    step = 1e-6
    slopes = [(f(X + step * e) - f(X - step * e)) / (2 * step) for e in np.eye(3)]
    assert np.allclose(grad(f)(X), slopes, rtol=1e-7)


class Foreign:
    """An array of a library other than numpy, which has a shape and `tolist`."""

    def __init__(self, rows):
        self.rows, self.shape = rows, np.shape(rows)

    def tolist(self):
        return self.rows


def test_arrays_of_other_libraries_are_nested_lists():
    for given in (Foreign([[1.0, 2.0], [3.0, 4.0]]), memoryview(np.array([[1.0, 2.0], [3.0, 4.0]]))):
        assert grad(lambda x: x[0][1] * x[1][0])(given) == [[0.0, 3.0], [2.0, 0.0]]
    assert grad(lambda x: x[0] * x[1])(array("d", [2.0, 3.0])) == [3.0, 2.0]
    assert hvp(lambda x: x[0] * x[1], Foreign([2.0, 3.0]), Foreign([1.0, 0.0])) == [0.0, 1.0]


@pytest.mark.parametrize("x", [np.float64(3), np.float32(3), np.int64(3), np.array(3), Foreign(3.0).tolist()])
def test_an_array_without_an_axis_is_a_number(x):
    assert (grad(lambda x: x * x)(x), type(grad(lambda x: x * x)(x))) == (6.0, float)
    assert grad(lambda y: np.array(y * y))(x) == 6.0
    assert grad(lambda y: np.float64(3))(x) == 0.0


def test_an_empty_array_has_an_empty_gradient():
    assert same(grad(lambda x: x.sum() + Value(1.0))(np.zeros((0, 3))), np.zeros((0, 3)))


SHARED = [
    (lambda x: x[0] * x[1] + x[2].exp(), "both"),
    (lambda x: mc.dot(x, W), "both"),
    (lambda x: mc.logsumexp(x) * 2.0, "both"),
    (lambda x: sum(a * a for a in x), "both"),
    (lambda x: [x[0] * x[1], {"y": x[2] ** 2}], "both"),
    (lambda x: MODEL(x), "both"),
    (lambda x: binary_cross_entropy_with_logits(x, [1, 0, 1]), "both"),
    (lambda x: x @ x + (2.0 * x).sum() - np.tanh(x) @ W, "arrays"),
    (lambda x: A @ x, "arrays"),
    (lambda x: (A * x).mean(axis=1), "arrays"),
]
MODEL = MLP(3, [2, 1], activation="tanh", seed=0)


@pytest.mark.parametrize(("f", "of"), SHARED)
def test_a_function_that_can_be_differentiated_can_be_compiled_and_checked(f, of):
    """`functional`, `compile` and `gradcheck` pass a list or an array to the function in the same way."""
    for x in [X] if of == "arrays" else [X, X.tolist(), tuple(X)]:
        with no_grad():  # outside, the result would be a Value that depends on the parameters of MODEL
            value, _ = jvp(f, x, x)
        compiled = compiler.compile(f)(x)
        assert type(compiled) is type(value)
        assert flatten(compiled)[0] == [(path, pytest.approx(y, rel=1e-12)) for path, y in flatten(value)[0]]
        gradcheck(f, x)


def test_functions_may_branch_loop_and_take_keywords():
    def f(x, n, *, scale=1.0):
        total = 0.0
        for k in range(n):
            total = total + x**k if x > 0 else total - x**k
        return scale * sum([total, x])

    assert grad(f)(2.0, 4) == 1 + 4 + 12 + 1
    assert grad(f)(-1.0, 3, scale=2.0) == 2 * (-1 + 2 + 1)


def test_a_jacobian_is_outputs_by_inputs():
    f = lambda v: {"product": v[0] * v[1], "rest": [v[0] - v[1], mc.sin(v[0])]}  # noqa: E731
    assert jacobian(f)([0.0, 3.0]) == {"product": [3.0, 0.0], "rest": [[1.0, -1.0], [1.0, 0.0]]}
    assert jacobian(lambda x: x * x)(3) == 6.0
    assert jacobian(lambda x, y: [x * y], (0, 1))(2, 3) == [(3.0, 2.0)]


def test_a_hessian_is_symmetric_and_right():
    f = lambda v: v[0] ** 3 * v[1] + mc.exp(v[1] * v[2])  # noqa: E731
    x, y, z = 1.5, 0.5, -0.4
    e = math.exp(y * z)
    expected = [[6 * x * y, 3 * x * x, 0], [3 * x * x, z * z * e, (1 + y * z) * e], [0, (1 + y * z) * e, y * y * e]]
    got = hessian(f)([x, y, z])
    for row, exact in zip(got, expected, strict=True):
        assert row == pytest.approx(exact, rel=1e-14)
    assert hessian(mc.sin)(0.3) == pytest.approx(-math.sin(0.3))
    assert hessian(lambda x, y: x * x * y, (0, 1))(2, 3) == ((6.0, 4.0), (4.0, 0.0))


def test_products_with_vectors_agree_with_the_matrices():
    f = lambda v: [v["a"] * v["b"], mc.tanh(v["a"]), v["b"] ** 2]  # noqa: E731
    x, v, u = {"a": 0.5, "b": -2.0}, {"a": 3.0, "b": 0.25}, [1.0, -2.0, 0.5]
    matrix = [[row["a"], row["b"]] for row in jacobian(f)(x)]
    value, tangent = jvp(f, x, v)
    assert value == [-1.0, math.tanh(0.5), 4.0]
    assert tangent == pytest.approx([row[0] * 3.0 + row[1] * 0.25 for row in matrix], rel=1e-14)
    value, pull = vjp(f, x)
    assert value == [-1.0, math.tanh(0.5), 4.0]
    got = pull(u)
    assert [got["a"], got["b"]] == pytest.approx(
        [sum(w * row[i] for w, row in zip(u, matrix, strict=True)) for i in (0, 1)]
    )

    g = lambda v: v["a"] ** 3 * mc.exp(v["b"])  # noqa: E731
    h = hessian(g)(x)
    product = hvp(g, x, v)
    for name in "ab":
        assert product[name] == pytest.approx(h[name]["a"] * 3.0 + h[name]["b"] * 0.25, rel=1e-14)


def test_jvp_of_outputs_that_do_not_move():
    """The tangent of an output that does not depend on the input is 0."""
    assert jvp(lambda v: [v[1], v[0] * 0 + 2, v[0]], [1.0, 5.0], [1.0, 0.0]) == ([5.0, 2.0, 1.0], [0.0, 0.0, 1.0])


# Nesting


def test_levels_do_not_confuse_each_others_variables():
    """An inner derivative treats the outer variable as a constant, even where both have the same value.

    Confusing the two is the classic mistake of nested differentiation.
    """
    assert grad(lambda x: x * grad(lambda y: x + y)(1.0))(3.0) == 1.0
    assert grad(lambda x: x * grad(lambda y: x + y)(x))(3.0) == 1.0
    assert grad(lambda x: grad(lambda y: x * y * y)(x))(3.0) == 12.0
    assert grad(lambda x: x * grad(lambda y: grad(lambda z: x * y * z)(y))(2.0))(3.0) == 6.0


def test_every_transform_nests_in_every_other():
    f = lambda x: mc.sin(x) * x  # noqa: E731
    second = lambda x: 2 * math.cos(x) - x * math.sin(x)  # noqa: E731
    third = lambda x: -3 * math.sin(x) - x * math.cos(x)  # noqa: E731
    x = 0.7
    assert jacobian(grad(f))(x) == pytest.approx(second(x))
    assert grad(jacobian(f))(x) == pytest.approx(second(x))
    assert grad(hessian(f))(x) == pytest.approx(third(x))
    assert hessian(grad(f))(x) == pytest.approx(third(x))
    assert grad(lambda x: jvp(f, x, 1.0)[1])(x) == pytest.approx(second(x))
    assert jvp(grad(f), x, 2.0)[1] == pytest.approx(2 * second(x))
    assert grad(lambda x: vjp(f, x)[1](1.0))(x) == pytest.approx(second(x))
    assert grad(lambda x: hvp(f, x, 1.0))(x) == pytest.approx(third(x))
    assert jvp(lambda x: jvp(f, x, 1.0)[1], x, 1.0)[1] == pytest.approx(second(x))
    assert grad(lambda t: jvp(f, x, t)[1])(3.0) == pytest.approx(math.sin(x) + x * math.cos(x))
    assert grad(lambda t: hvp(f, x, t))(3.0) == pytest.approx(second(x))


def test_a_value_as_argument_gives_values_that_depend_on_it():
    x = Value(2.0)
    slope = grad(lambda y: y**3)(x)
    assert isinstance(slope, Value)
    slope.backward()
    assert (slope.data, x.grad) == (12.0, 12.0)


def test_derivatives_are_taken_inside_no_grad_too():
    with no_grad():
        assert grad(lambda x: x * x)(3.0) == 6.0
        _, pull = vjp(lambda x: x * x, 3.0)
        assert pull(2.0) == 12.0
        assert not (Value(1) * 2).requires_grad


def square_by_memo(key):
    memo = {}

    def f(x):
        if key(x) not in memo:
            memo[key(x)] = x * x
        return memo[key(x)]

    return f


NESTED = {
    "list": lambda a, b: [a, b],
    "tuple": lambda a, b: (a, b),
    "dict": lambda a, b: {"a": a, "b": b},
    "array": lambda a, b: np.array([a, b]),
    "matrix": lambda a, b: np.array([[a, b]]),
    "list of arrays": lambda a, b: [np.array([a]), np.array([b])],
    "dict of arrays": lambda a, b: {"x": np.array([a, b])},
}


@pytest.mark.parametrize("nested", NESTED)
def test_a_gradient_depends_on_the_values_in_an_argument_however_they_are_nested(nested):
    """Also on those in another argument than the one that is differentiated by, and in a direction."""
    pack = NESTED[nested]

    def f(xs, scale=1.0):
        found = [x for _, x in leaves_of(xs)]
        return scale * found[0] ** 2 * found[1]

    def leaves_of(xs):
        items = xs.items() if isinstance(xs, dict) else enumerate(xs.ravel() if isinstance(xs, np.ndarray) else xs)
        for key, x in items:
            yield from leaves_of(x) if isinstance(x, (list, tuple, dict, np.ndarray)) else [(key, x)]

    a, b = Value(3.0), Value(5.0)
    [[_, da], [_, db]] = leaves_of(grad(f)(pack(a, b)))
    (da + db).backward()  # of 2ab + a²
    assert (da.data, db.data, a.grad, b.grad) == (30.0, 9.0, 16.0, 6.0)

    a, b = Value(3.0), Value(5.0)
    slope = grad(lambda s, xs: f(xs, s))(2.0, pack(a, b))
    slope.backward()
    assert (slope.data, a.grad, b.grad) == (45.0, 30.0, 9.0)
    constant = grad(lambda s, xs: 3 * s)(2.0, pack(a, b))
    assert (type(constant), constant.data) == (Value, 3.0), "a derivative that does not depend on them is one, too"

    a, b = Value(1.0), Value(2.0)
    tangent = jvp(f, pack(3.0, 5.0), pack(a, b))[1]
    tangent.backward()
    assert (tangent.data, a.grad, b.grad) == (48.0, 30.0, 9.0)


@pytest.mark.parametrize("first", [grad, jacobian, hessian])
@pytest.mark.parametrize("second", [grad, jacobian, hessian, value_and_grad])
@pytest.mark.parametrize("at", [3.0, Value(3.0)])
def test_a_node_of_an_earlier_call_that_the_function_has_kept_is_refused(first, second, at):
    f = square_by_memo(lambda x: getattr(x, "data", x))
    first(f)(3.0)
    with pytest.raises(ValueError, match=r"earlier call, from an argument that was 3\.0, and kept.*as in memo\[x\]"):
        second(f)(at)


def test_a_memo_with_values_as_keys_is_right():
    f = square_by_memo(lambda x: x)
    assert (grad(f)(3.0), grad(f)(3.0), hessian(f)(3.0)) == (6.0, 6.0, 2.0)


def test_results_of_earlier_calls_may_be_used_in_other_functions():
    w = Value(2.0)
    at_boundary = grad(lambda x: w * x * x)(1.0)  # 2 w, which trains w
    found = grad(lambda x: w * x * at_boundary)(3.0)
    found.backward()
    assert (found.data, w.grad) == (8.0, 8.0)
    _, pull = vjp(lambda x: x * x, 3.0)
    assert grad(pull)(2.0) == 6.0
    pulled = pull(w)
    assert grad(lambda x: pulled * x)(1.0).data == 12.0


def test_nothing_is_left_on_the_values_of_a_closure():
    """`grad` leaves the `grad` of parameters alone that the function captures."""
    w = Value(2.0)
    slope = grad(lambda x: w * x * x)(3.0)
    assert (slope.data, w.grad) == (12.0, 0.0)


def boundary_terms():
    """Return functions of a parameter that differentiate at a plain number, and their derivatives at w = 3.

    A physics-informed network has such terms for its boundary conditions.
    """
    f = lambda w, x: w * w * x**3  # noqa: E731
    return [
        (lambda w: grad(lambda x: f(w, x))(2.0), 2 * 3 * 12.0),
        (lambda w: value_and_grad(lambda x: f(w, x))(2.0)[0], 2 * 3 * 8.0),
        (lambda w: grad(lambda x, y: f(w, x) * y, argnums=(0, 1))(2.0, 5.0)[1], 2 * 3 * 8.0),
        (lambda w: jacobian(lambda x: [x[0], f(w, x[1])])([1.0, 2.0])[1][1], 2 * 3 * 12.0),
        (lambda w: hessian(lambda x: f(w, x))(2.0), 2 * 3 * 12.0),
        (lambda w: grad(grad(lambda x: f(w, x)))(2.0), 2 * 3 * 12.0),
        (lambda w: sparse_jacobian(lambda x: f(w, x))(2.0).values[0], 2 * 3 * 12.0),
        (lambda w: sparse_hessian(lambda x: f(w, x))(2.0).values[0], 2 * 3 * 12.0),
        (lambda w: hvp(lambda x: f(w, x), 2.0, 5.0), 2 * 3 * 60.0),
        (lambda w: jvp(lambda x: f(w, x), 2.0, 5.0)[1], 2 * 3 * 60.0),
        (lambda w: vjp(lambda x: f(w, x), 2.0)[1](5.0), 2 * 3 * 60.0),
        (lambda w: grad(lambda x: f(w, x[0]) + x[1])(np.array([2.0, 1.0]))[0], 2 * 3 * 12.0),
    ]


@pytest.mark.parametrize("term", boundary_terms())
def test_a_derivative_at_a_plain_number_depends_on_the_parameters_that_f_uses(term):
    """A derivative at a plain number is a `Value` if f uses a parameter, and backward reaches the parameter.

    It is a plain number inside `no_grad`, or if the parameter is frozen.
    """
    derived, expected = term
    w = Value(3.0)
    y = derived(w)
    y.backward()
    assert w.grad == pytest.approx(expected, rel=1e-14)
    compiled = compiler.compile(lambda x: derived(w) * x)
    w.grad = 0.0
    compiled.backward([(1.0,)])
    assert w.grad == pytest.approx(expected, rel=1e-14)
    with no_grad():
        assert type(derived(w)) in (float, np.float64)
    w.requires_grad = False
    assert type(derived(w)) in (float, np.float64)


def test_a_physics_informed_loss_trains_its_boundary_term():
    """A derivative at a plain number, inside a function of a `Value`, contributes to the parameter's gradient."""
    w = Value(2.0)
    f = lambda x: x * w + x * grad(lambda t: t * t * w)(1.5)  # noqa: E731
    f(Value(1.0)).backward()
    assert w.grad == 4.0


def test_the_weights_of_a_pulled_gradient_are_differentiated_too():
    """The function that `vjp` returns can be differentiated by its weights."""
    _, pull = vjp(lambda x: x**3, 2.0)
    assert grad(lambda w: w * pull(w))(5.0) == 2 * 12 * 5
    assert grad(pull)(5.0) == 12.0
    assert isinstance(pull(Value(2.0)), Value)
    assert isinstance(jvp(lambda x: x**3, 2.0, Value(1.0))[1], Value)


def test_what_does_not_move_is_a_value_too_beside_values():
    """If some outputs of `jvp` are `Value`s, constant outputs and their tangents are `Value`s too."""
    value, tangent = jvp(lambda x: [x, 3.0], Value(2.0), 1.0)
    assert all(isinstance(x, Value) for x in (*value, *tangent))
    assert [x.data for x in tangent] == [1.0, 0.0]


def test_a_pull_knows_what_is_around_it():
    """The function that `vjp` returns follows the mode at its own call: inside `no_grad`, or in another derivative."""
    cube = lambda x: x**3  # noqa: E731
    x = Value(2.0)
    _, pull = vjp(cube, x)
    pull(1.0).backward()
    assert x.grad == 6 * 2.0
    with no_grad():
        assert not pull(1.0).requires_grad
    _, pull = vjp(cube, 2.0)
    assert (pull(1.0), type(pull(1))) == (12.0, float)
    assert grad(lambda x: x * pull(1.0).tanh())(5.0) == math.tanh(12.0)


class Decibel(float):
    def __add__(self, other):
        return Decibel(10.0 * math.log10(10.0 ** (self / 10.0) + 10.0 ** (other / 10.0)))


def test_a_number_with_operators_of_its_own_is_refused():
    """The function would be differentiated with other operators than those of its argument."""
    for derivative in (grad, jacobian, hessian):
        with pytest.raises(TypeError, match=r"argument 0\[0\] is a Decibel, whose __add__ .*; write float\(x\)"):
            derivative(lambda x: x[0] + 1.0)([Decibel(3.0)])
    assert grad(lambda x: x * x)(Fraction(3)) == 6.0


def test_constants_among_the_arguments_are_differentiated_by():
    """`grad` differentiates by an argument that is a detached `Value`, and the result does not depend on its origin."""
    x = Value(3.0)
    slope = grad(lambda a, b: a * a * b)(x.detach(), x)
    assert slope.data == 2 * 3.0 * 3.0
    slope.backward()
    assert x.grad == 2 * 3.0, "a is detached, so the gradient comes through b alone"


def test_directions_are_numbers():
    """The vectors of `jvp`, `hvp` and `vjp` may be numbers of any kind, and anything else is refused."""
    value, tangent = jvp(lambda x: x, 1, 2)
    assert (type(value), type(tangent)) == (float, float)
    assert hvp(lambda x: x * x, 1, Fraction(1, 2)) == 1.0
    for call in (lambda: jvp(mc.sin, 1.0, "a"), lambda: vjp(mc.sin, 1.0)[1]("a")):
        with pytest.raises(TypeError, match="str 'a'"):
            call()


def test_values_among_other_arguments_give_values():
    """A `Value` as an argument that `grad` does not differentiate by makes the result a `Value` that depends on it."""
    s = Value(2.0)
    for slope in (grad(lambda x, s: x * s * x)(3.0, s), grad(lambda x, s: x * s * x)(3.0, s=s)):
        slope.backward()
    assert s.grad == 12.0


def test_an_outer_level_does_not_look_into_no_grad():
    """A derivative that a function computes inside `no_grad` is a constant for an outer derivative."""

    def f(x):
        with no_grad():
            s = grad(lambda y: y**3)(x)
        return x * s

    assert grad(f)(2.0) == 12.0
    with no_grad():
        assert not grad(lambda y: y**3)(Value(2.0)).requires_grad


def test_a_dicts_order_does_not_matter():
    f = lambda v: v["a"] * v["b"]  # noqa: E731
    assert jvp(f, {"a": 2.0, "b": 3.0}, {"b": 0.0, "a": 1.0}) == (6.0, 3.0)


@pytest.mark.parametrize("zero", [-0.0, 0.0])
def test_a_variable_keeps_the_sign_of_zero(zero):
    """An argument of -0.0 is not replaced by 0.0, which other branches of atan2 and division would show."""
    angle, infinite = lambda x: mc.atan2(0.0, x), lambda x: mc.div(1.0, x)
    for x in (zero, Value(zero)):
        [value, _] = value_and_grad(angle)(x)
        assert getattr(value, "data", value) == mc.atan2(0.0, zero)
        [value, tangent] = jvp(infinite, x, 1.0)
        assert (getattr(value, "data", value), getattr(tangent, "data", tangent)) == (mc.div(1.0, zero), -math.inf)


def test_a_plain_number_is_a_constant():
    """A function may return a plain number instead of a `Value`, and its derivative is 0."""
    assert value_and_grad(lambda x: 1)(2.0) == (1.0, 0.0)
    assert grad(lambda x, y: mc.sin(y))(1.0, 2.0) == 0.0
    assert grad(lambda x: Fraction(1, 2))([1.0, 2.0]) == [0.0, 0.0]
    assert grad(lambda x: x * grad(lambda y: 3.0)(x) + x)(2.0) == 1.0
    assert hessian(lambda x: np.float64(3))(2.0) == 0.0
    assert hvp(lambda x: 3.0, [1.0, 2.0], [1.0, 0.0]) == [0.0, 0.0]
    assert jacobian(lambda x: [x, 2.0])(1.0) == [1.0, 0.0]
    assert jvp(lambda x: [x, 2.0], 1.0, 3.0) == ([1.0, 2.0], [3.0, 0.0])
    value, pull = vjp(lambda x: [2 * x, 2.0], 1.0)
    assert (value, pull([3.0, 5.0])) == ([2.0, 2.0], 6.0)
    assert all(type(x) is float for x in value)


def test_places_of_arguments_may_be_numpys_integers():
    assert grad(mc.mul, np.int64(1))(2.0, 3.0) == 2.0
    assert grad(mc.mul, np.array([1, 0]))(2.0, 3.0) == (2.0, 3.0)


# Anomalies


def test_an_infinite_tangent_is_an_anomaly():
    assert jvp(mc.sqrt, 0.0, 1.0) == (0.0, math.inf)
    with mc.detect_anomaly(), pytest.raises(FloatingPointError, match=r"jvp through sqrt\(0.0\): the tangent .* inf"):
        jvp(mc.sqrt, 0.0, 1.0)
    with mc.detect_anomaly(), pytest.raises(FloatingPointError, match=r"div\(0.5, 0.0\) gave inf"):
        jvp(mc.sqrt, Value(0.0), 1.0)
    with mc.detect_anomaly():
        assert jvp(mc.exp, 0.0, 2.0) == (1.0, 2.0)


def test_an_overflowing_tangent_is_an_anomaly():
    def f(x):
        y = 1e200 * x
        y.label = "y"
        z = 1e200 * y * 0.0
        return z

    with mc.detect_anomaly(), pytest.raises(FloatingPointError, match=r"jvp through mul\(1e\+200, y=0.0\): .* inf"):
        jvp(f, 0.0, 1.0)


# Refusals


@pytest.mark.parametrize(
    ("call", "exception", "message"),
    [
        (lambda: grad(lambda x: x > 0)(1.0), TypeError, "grad: the function returned bool True, .* or a number"),
        (lambda: grad(lambda x: f"{x}")(1.0), TypeError, "grad: the function returned str 'Value.*, or a number"),
        (lambda: grad(lambda x: [x])([1.0]), TypeError, r"grad: the function returned list .*; use jacobian"),
        (lambda: grad(lambda x: None)(1.0), TypeError, "grad: the function returned NoneType None"),
        (lambda: grad(math.sin)(1.0), TypeError, r"^grad: math\.sin takes plain numbers; write micrograd_cn\.sin\(x\)"),
        (lambda: jacobian(lambda x: [x, "2"])(1.0), TypeError, r"jacobian: output\[1\] of the function is str '2'"),
        (lambda: grad(mc.sin, "0"), TypeError, "grad: argnums must be an int or a sequence of ints, got '0'"),
        (lambda: hessian(mc.sin, 0.5), TypeError, "hessian: argnums must be an int or a sequence of ints, got 0.5"),
        (lambda: jacobian(mc.sin, [0, None]), TypeError, r"jacobian: argnums must be .* of ints, got \[0, None\]"),
        (lambda: grad(mc.sin)("a"), TypeError, "grad: argument 0: .*str 'a'"),
        (lambda: grad(lambda v: v[0])([1.0, None]), TypeError, r"grad: argument 0\[1\]: .*NoneType"),
        (lambda: grad(mc.sin, 1)(1.0), ValueError, r"argnums \[1\] must name each of 1 arguments at most once"),
        (lambda: grad(lambda x, y=2.0: x * y, 1)(3.0), ValueError, "once; pass argument 1 in the call"),
        (lambda: grad(mc.mul, (0, -2))(1.0, 2.0), ValueError, r"argnums \[0, -2\] must name .* at most once"),
        (lambda: value_and_grad(mc.sin)("a"), TypeError, "value_and_grad: argument 0: .*str 'a'"),
        (lambda: hessian(mc.sin)("a"), TypeError, "^hessian: argument 0: .*str 'a'"),
        (lambda: hessian(mc.sin, 1)(1.0), ValueError, r"^hessian: argnums \[1\] must name"),
        (lambda: hessian(lambda x: [x])(1.0), TypeError, "^hessian: the function returned list .*; use jacobian"),
        (lambda: hvp(lambda x: [x], 1.0, 1.0), TypeError, "^hvp: the function returned list .*; use jacobian"),
        (lambda: grad(lambda v: v)(np.ones(2)), TypeError, "grad: the function returned ndarray .*; use jacobian"),
        (lambda: grad(lambda v: v[0])(np.array([1, 2j])), TypeError, r"grad: argument 0\[0\]: .* complex"),
        (lambda: grad(lambda v: v[0, 0])(np.array([["a"]])), TypeError, r"grad: argument 0\[0\]\[0\]: .* str 'a'"),
        (lambda: hvp(lambda v: v @ v, np.ones(2), np.ones(3)), ValueError, "hvp: v must have the structure of array"),
        (lambda: jvp(lambda v: v[0], [1.0, 2.0], [1.0]), ValueError, r"jvp: v must have the structure of \[1.0, 2.0\]"),
        (lambda: jvp(mc.sin, 1.0, [1.0]), ValueError, r"jvp: v must have the structure of 1.0, got \[1.0\]"),
        (lambda: hvp(lambda v: v[0], [1.0, 2.0], 1.0), ValueError, "hvp: v must have the structure"),
        (lambda: vjp(lambda v: v, [1.0, 2.0])[1]([1.0]), ValueError, "vjp: the weights must have the structure"),
    ],
)
def test_what_cannot_be_differentiated_is_explained(call, exception, message):
    with pytest.raises(exception, match=message):
        call()


def test_by_default_the_first_argument_is_differentiated_and_no_other():
    def f(x, y):
        return x * x * y

    assert grad(f)(2, 3) == 12.0
    assert value_and_grad(f)(2, 3) == (12.0, 12.0)
    assert jacobian(lambda x, y: [f(x, y)])(2, 3) == [12.0]
    assert hessian(f)(2, 3) == 6.0


@pytest.mark.parametrize("i", [2, 3, 7, -3, -4, -7])
def test_there_is_no_argument_beyond_the_last_one_nor_before_the_first(i):
    with pytest.raises(ValueError, match="argnums"):
        grad(lambda x, y: x * y, argnums=i)(2, 3)
    with pytest.raises(ValueError, match="argnums"):
        grad(lambda x, y: x * y, argnums=[0, i])(2, 3)


@pytest.mark.parametrize(("i", "expected"), [(0, 3.0), (1, 2.0), (-1, 2.0), (-2, 3.0)])
def test_arguments_are_counted_from_either_end(i, expected):
    assert grad(lambda x, y: x * y, argnums=i)(2, 3) == expected


def test_an_infinite_tangent_is_an_anomaly_where_they_are_looked_for_alone():
    """`jvp` returns an infinite tangent, and raises for it inside `detect_anomaly` only."""
    with no_grad():
        assert jvp(mc.sqrt, 0.0, 1.0) == (0.0, math.inf)
    with mc.detect_anomaly(), pytest.raises(FloatingPointError):
        jvp(mc.sqrt, 0.0, 1.0)


@pytest.mark.parametrize("derivative", [grad, jacobian, hessian, value_and_grad, sparse_jacobian, sparse_hessian])
def test_an_argument_by_its_name_alone_is_answered_with_what_to_write(derivative):
    with pytest.raises(TypeError, match="pass x by position, since argnums counts positional arguments"):
        derivative(lambda x: x * x)(x=2)


SQUARE = lambda v: v[0] ** 2 * v[1]  # noqa: E731


class Area:
    def of(self, v):
        return v[0] * v[1]


@pytest.mark.parametrize("derive", [grad, value_and_grad, jacobian, hessian, sparse_jacobian, sparse_hessian])
def test_a_point_in_place_of_argnums_is_answered_with_what_to_write(derive):
    name = derive.__name__
    for f, point in ((SQUARE, (1, 2)), (SQUARE, [0, 1]), (SQUARE, 3), (SQUARE, -2), (Area().of, (0, 1))):
        with pytest.raises(ValueError, match=rf"^{name}: .*the function takes 1 positional argument; write") as caught:
            derive(f, point)
        assert f"write {name}(f)({point!r}) for the derivative at this point" in str(caught.value)
    for point in ((1.0, 2.0), 0.5, "x"):
        with pytest.raises(TypeError, match=rf"^{name}: argnums must be an int or a seq.*; write {name}\(f\)\("):
            derive(SQUARE, point)
    with pytest.raises(TypeError, match=rf"^{name} takes a function, got Value .*; write gradients\(y, \[x\]\)"):
        derive(Value(3) ** 2)
    with pytest.raises(TypeError, match=rf"^{name} takes a function, got float 3\.0; write {name}\(f\)"):
        derive(3.0)
    with pytest.raises(ValueError, match=rf"^{name}: f was called without arguments, .*; write {name}\(f\)\(x\) for"):
        derive(SQUARE)()


def test_functions_with_any_number_of_arguments_take_any_argnums():
    for f in (lambda *xs: xs[0] * xs[2], partial(lambda a, b, c: a * c), lambda a, b, c=2.0: a * c):
        assert grad(f, (0, 2))(3.0, 1.0, 5.0) == (5.0, 3.0)
        assert grad(f, -1)(3.0, 1.0, 5.0) == 3.0
    assert grad(Area().of)((2, 3)) == (3.0, 2.0)


@pytest.mark.parametrize(
    ("given", "write"),
    [
        (range(2), r"list\(\.\.\.\)"),
        (deque([1, 2]), r"list\(\.\.\.\)"),
        ((x for x in (1, 2)), r"list\(\.\.\.\)"),
        ({1, 2}, "a list, because a set has no order"),
    ],
)
def test_an_argument_that_is_no_list_is_answered_with_what_to_write(given, write):
    with pytest.raises(TypeError, match=rf"^grad: argument 0: expected .*; write {write}$"):
        grad(SQUARE)(given)


def test_a_sum_that_begins_with_a_value_of_its_own_gives_values_as_the_docstring_says():
    def total(xs, start):
        for x in xs:
            start = start + x * x
        return start

    assert grad(lambda xs: total(xs, 0.0))([1.0, 2.0]) == [2.0, 4.0]
    assert [g.data for g in grad(lambda xs: total(xs, Value(0)))([1.0, 2.0])] == [2.0, 4.0]


def test_a_function_of_a_models_own_parameters_is_no_function_of_its_argument():
    model = MLP(1, [1], seed=0)
    x, y = Value(2), Value(3)
    for f, argument in (
        (lambda parameters: model([2.0]), model.parameters()),
        (lambda z: x * 2, x),
        (lambda z: y, {"y": y}),
    ):
        for derive in (grad, value_and_grad):
            with pytest.raises(ValueError, match=rf"^{derive.__name__}: the function does not use its argument, but"):
                derive(f)(argument)
    assert grad(lambda z: z * x)(x * 1.0).data == 2.0  # one factor is the argument
    assert grad(lambda z: y * 2)(x).data == 0.0
    assert [g.data for g in grad(lambda z: 0.0 * z[0])([x, y])] == [0.0, 0.0]
    assert grad(lambda x: x * grad(lambda z: x * x)(x))(3.0) == 0.0  # the inner function is constant
    with no_grad(), pytest.raises(ValueError, match="does not use its argument"):
        grad(lambda z: x * 2)(x)


def test_a_function_that_uses_its_argument_and_the_leaves_in_it_is_refused():
    model = MLP(1, [1], seed=0)
    parameters = model.parameters()

    def loss(ps):
        return (model([2.0]) - 1) ** 2 + 0.01 * sum(p * p for p in ps)

    for derive in (grad, jacobian, hessian, value_and_grad, sparse_hessian):
        with pytest.raises(ValueError, match=r"also the leaf .*label='w0'.* that was passed in it, .*pass x"):
            derive(loss)(parameters)
    for derive in (hvp, jvp):
        with pytest.raises(ValueError, match="also the leaf"):
            derive(loss, parameters, [1.0, 1.0])
    x = Value(2)
    y = x * 3
    assert grad(lambda a, b: a * b)(x, x).data == 2.0  # the other argument is constant
    assert hessian(lambda a, b: a * a * b)(x, x).data == 4.0
    assert grad(lambda a, b: grad(lambda c: c * c * b)(a))(x, x).data == 4.0
    assert [g.data for g in grad(lambda a, b: a * b, (0, 1))(x, y)] == [6.0, 2.0]
    assert grad(lambda a: a * y)(y).data == 6.0  # y is no leaf


def test_a_model_as_an_argument_is_answered_with_what_to_write():
    with pytest.raises(TypeError, match=r"got MLP; write loss\.backward\(\), or gradients\(loss, model\.parameters"):
        value_and_grad(lambda model: model([1.0]))(MLP(1, [1]))


def test_a_set_or_a_bool_is_no_argnums():
    for wrong in ({0, 1}, frozenset({0}), True):
        with pytest.raises(TypeError, match="argnums must be an int or a sequence of ints, got"):
            grad(lambda x, y: x * y, wrong)


@dataclass
class Point:
    x: float


@pytest.mark.filterwarnings("ignore::PendingDeprecationWarning")  # numpy's, for a matrix
@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: grad(lambda p: p.x * 2.0)(Point(1.0)), "^grad: argument 0 is a Point, a dataclass; write a dict"),
        (
            lambda: grad(lambda m: m[0, 0])(np.matrix([[1.0, 2.0]])),
            r"^grad: argument 0 is a numpy\.matrix; .*asarray\(",
        ),
        (lambda: grad(compiler.compile(lambda x: x * x))(2.0), r"^grad: the function is compiled; write f\.gradient\("),
        (lambda: grad(lambda x, p: p + "a")(1.0, Point(1.0)), "unsupported operand"),
    ],
)
def test_arguments_and_functions_that_have_no_gradient_are_answered_with_what_to_write(call, message):
    with pytest.raises(TypeError, match=message):
        call()


def test_a_copy_of_an_argument_is_the_argument():
    assert grad(lambda p: copy.deepcopy(p)["w"] ** 2)({"w": 3.0}) == {"w": 6.0}
    assert grad(lambda p: copy.copy(p["w"]) ** 2)({"w": 3.0}) == {"w": 6.0}
    assert grad(lambda x: copy.deepcopy(2.0 * x) ** 2)(3.0) == 24.0
    assert grad(grad(lambda x: copy.copy(x) ** 3))(2.0) == 12.0
    w = Value(2.0)
    assert grad(lambda x: copy.copy(w) * x)(3.0).data == 2.0
    with pytest.raises(TypeError, match="a pickle of a Value that stands for a number"):
        grad(lambda p: pickle.loads(pickle.dumps(p))["w"] ** 2)({"w": 3.0})
    assert pickle.loads(pickle.dumps(w)).data == copy.copy(w).data == 2.0


OF_ELEMENTS = [
    lambda v: (v * 2)[0],
    lambda v: (2 * v)[0],
    lambda v: (v + v)[0],
    lambda v: (v[1:] + v[:-1])[0],
    lambda v: (v.copy() * 2)[0],
    lambda v: v[0] * (v == 1.0),
    lambda v: v[0] * (v != 1.0),
]


@pytest.mark.parametrize("f", OF_ELEMENTS)
@pytest.mark.parametrize("row", [False, True])
def test_operators_of_an_array_of_another_library_are_refused_where_a_list_has_others(f, row):
    """Those of a list would join and repeat it, and give the derivative of something else."""
    given = Foreign([[1.0, 2.0]] if row else [1.0, 2.0])
    with pytest.raises(TypeError, match=r"no operators of its elements; write np\.asarray\(x\)") as error:
        grad((lambda v: f(v[0])) if row else f)(given)
    assert error.value.__notes__ == ["grad: argument 0 (Foreign) is a list in f; write np.asarray(x) for an array"]
    derived = (lambda v: f(v[0])) if row else f
    for call in (
        lambda: jvp(derived, given, given),
        lambda: hvp(derived, given, given),
        lambda: hessian(derived)(given),
        lambda: grad(lambda v: grad(derived)(v)[0][0] if row else grad(derived)(v)[0])(given),
    ):
        with pytest.raises(TypeError, match="no operators of its elements"):
            call()


class Polynomial(list):
    def __mul__(self, k):
        return Polynomial([x * k for x in self])


class Vector(tuple):
    def __add__(self, other):
        return Vector(map(sum, zip(self, other, strict=True)))


class Scaled(dict):
    def __getitem__(self, key):
        return 10.0 * super().__getitem__(key)


class Plain(list):
    def norm(self):
        return math.hypot(*self)


class Corner(NamedTuple):
    x: float
    y: float

    def __mul__(self, k):
        return Corner(self.x * k, self.y * k)


@pytest.mark.parametrize(
    ("f", "x", "method", "base"),
    [
        (lambda v: (v * 2)[0], Polynomial([2.0, 3.0]), "__mul__", "list"),
        (lambda v: (v + v)[0], Vector([2.0, 3.0]), "__add__", "tuple"),
        (lambda v: v["a"] ** 2, Scaled(a=2.0), "__getitem__", "dict"),
    ],
)
def test_a_collection_with_operators_of_its_own_is_refused(f, x, method, base):
    """A function gets a plain list, tuple or dict in its place, and would be another function of it."""
    message = (
        rf" is a {type(x).__name__}, whose {method} a {base} in its place would not have; write {base}\(x\) for it"
    )
    for derive, given, path in (
        (grad, x, ""),
        (hessian, x, ""),
        (jacobian, [x], r"\[0\]"),
        (grad, {"p": [x]}, r"\['p'\]\[0\]"),
    ):
        with pytest.raises(TypeError, match=rf"^{derive.__name__}: argument 0{path}{message}$"):
            derive(f)(given)
    assert grad(lambda v: v[0] * v[1])(Plain([2.0, 3.0])) == [3.0, 2.0]
    assert grad(lambda v: (v * 2.0).x)(Corner(2.0, 3.0)) == Corner(2.0, 0.0)


def test_a_list_in_the_place_of_an_array_of_another_library_is_a_list_otherwise():
    x = Foreign([3.0, 4.0])
    assert grad(lambda v: sum(a * b for a, b in zip(v, v[::-1], strict=True)))(x) == [8.0, 6.0]
    assert type(found := jacobian(lambda v: v)(x)) is list
    assert found * 2 == [[1.0, 0.0], [0.0, 1.0]] * 2
    assert grad(lambda v: v[0] if v == [*v] and v != [0.0] and isinstance(v, list) else 0.0)(x) == [1.0, 0.0]
    assert grad(lambda v: (np.asarray(v) * 2.0)[0])(x) == [2.0, 0.0]


def test_an_array_of_another_library_says_how_to_get_an_array_in_f():
    x = array("d", [1.0, 2.0])  # stands for a PyTorch tensor, which is passed to f as a list, too
    for f in (lambda v: (v * v)[0], lambda v: v.sum()):
        with pytest.raises((TypeError, AttributeError)) as error:
            grad(f)(x)
        assert error.value.__notes__ == ["grad: argument 0 (array) is a list in f; write np.asarray(x) for an array"]
        with pytest.raises((TypeError, AttributeError)) as error:
            grad(f)([1.0, 2.0])
        assert error.value.__notes__ == ["grad: argument 0 is a list in f, too; pass np.array(x) for an array"]
    with pytest.raises(AttributeError) as error:
        grad(lambda columns: columns["u"].sum())({"u": array("d", [1.0, 2.0])})
    assert error.value.__notes__[0].startswith("grad: argument 0['u'] (array) is a list in f; write np.asarray(x)")
    assert grad(lambda v: (v * v).sum())(np.asarray(x)).tolist() == [2.0, 4.0]


@pytest.mark.parametrize("derive", [value_and_grad, grad, jacobian, hessian, sparse_jacobian, sparse_hessian])
def test_options_of_other_libraries_are_answered_with_what_to_write(derive):
    name = derive.__name__
    if derive is grad:
        write = "write value_and_grad(f, has_aux=True)"
    else:  # for which no function of this module takes has_aux
        write = "differentiate lambda x: f(x)[0], and call f for the rest"
    if derive is not value_and_grad:
        with pytest.raises(TypeError, match=rf"^{name}\(\) has no option has_aux; {re.escape(write)}$"):
            derive(lambda x: x * x, has_aux=True)
    with pytest.raises(TypeError, match=rf"^{name}\(\) has no option argnum; write argnums=\.\.\.$"):
        derive(lambda x: x * x, argnum=0)


@pytest.mark.parametrize("derive", [jvp, hvp, vjp])
def test_derivatives_at_a_point_have_no_option_for_the_argument_to_differentiate(derive):
    point = (2.0,) if derive is vjp else (2.0, 1.0)
    with pytest.raises(TypeError, match=rf"^{derive.__name__}\(\) has no option argnums; pass a function of one arg"):
        derive(lambda x: x * x, *point, argnums=0)


def test_vjp_and_jvp_in_the_form_of_other_libraries_are_answered_with_what_to_write():
    def product(x, y):
        return x * y

    with pytest.raises(TypeError, match=r"write value, pull = vjp\(f, x\), and then pull\(v\); .* \(x, y\)\)$"):
        vjp(product, 2.0, 3.0)
    with pytest.raises(TypeError, match=r"has no option v; write value, pull = vjp\(f, x\), and then pull\(v\)"):
        vjp(product, 2.0, v=3.0)
    for call, write in (
        (lambda: vjp(product, (2.0, 3.0)), "vjp(lambda x: f(*x), x)"),
        (lambda: jvp(product, (2.0, 3.0), (1.0, 0.0)), "jvp(lambda x: f(*x), x, v)"),
    ):
        with pytest.raises(TypeError) as error:
            call()
        assert error.value.__notes__[-1].endswith(f"as in jax and PyTorch, write {write}")
    assert vjp(lambda x: product(*x), (2.0, 3.0))[1](1.0) == (3.0, 2.0)
    assert jvp(lambda x: product(*x), (2.0, 3.0), (1.0, 0.0)) == (6.0, 3.0)


PICTURE = np.array([[0, 51], [102, 255]], dtype=np.uint8)


def normalised(x):
    return x / 255 if x.dtype == np.uint8 else x


BY_DTYPE = {
    "grad": lambda x: grad(lambda x: normalised(x).mean())(x),
    "value_and_grad": lambda x: value_and_grad(lambda x: normalised(x).mean())(x),
    "jacobian": lambda x: jacobian(normalised)(x),
    "hessian": lambda x: hessian(lambda x: (normalised(x) ** 2).sum())(x),
    "jvp": lambda x: jvp(normalised, x, x),
    "vjp": lambda x: vjp(normalised, x),
}


@pytest.mark.parametrize("name", BY_DTYPE)
def test_a_function_that_asks_for_the_dtype_of_integers_gives_a_warning(name):
    """For an array of `Value`s it takes another branch than for the array."""
    with pytest.warns(
        UserWarning, match=rf"^{name}\(\): the function gives .* for the numbers as they are, but .* for V"
    ):
        BY_DTYPE[name](PICTURE)
    BY_DTYPE[name](PICTURE.astype(float))  # warnings are errors in tests


def test_the_dtype_of_integers_alone_gives_no_warning():
    assert grad(lambda x: (x * np.ones((2, 2), dtype=x.dtype)).sum())(PICTURE).tolist() == [[1.0, 1.0], [1.0, 1.0]]
    assert np.allclose(grad(lambda x: np.linalg.norm(x))(np.array([3, 4])), [0.6, 0.8])
    assert grad(lambda w, x: w * normalised(x).sum())(2.0, PICTURE) == 1.6


def with_fallback(convert, fallback):
    def f(x):
        try:
            return convert(x)
        except TypeError:
            return fallback(x)

    return f


BY_CONVERSION = {
    "grad": grad,
    "value_and_grad": value_and_grad,
    "jacobian": jacobian,
    "jvp": lambda f: lambda x: jvp(f, x, 1.0),
    "vjp": lambda f: lambda x: vjp(f, x),
}


@pytest.mark.parametrize("name", BY_CONVERSION)
@pytest.mark.parametrize("convert", [math.sqrt, float, int, round, np.float64])
def test_a_caught_error_of_a_conversion_gives_a_warning_if_the_handler_computes_something_else(name, convert):
    of = BY_CONVERSION[name]
    with pytest.warns(UserWarning, match=rf"^{name}\(\): .* but 400\.0 for Values, .* It has caught the error"):
        of(with_fallback(convert, lambda x: x * 100.0))(4)
    of(with_fallback(convert, lambda x: convert(4) * (x / 4.0)))(4)  # the same number; warnings are errors in tests


def test_a_caught_error_of_a_conversion_gives_no_warning_where_the_function_cannot_take_numbers():
    assert grad(with_fallback(lambda x: float(x) * x.data, lambda x: x * x))(3.0) == 6.0


@pytest.mark.parametrize("f", [lambda x: x * 2, lambda x: 2 * x, lambda x: x + x, lambda x: x * x])
@pytest.mark.parametrize("entry", [3.0, A])
def test_a_function_of_the_entry_of_a_tuple_is_told_that_it_gets_the_tuple(f, entry):
    """Python repeats a tuple and joins two tuples, so f would return the entry twice."""
    x = (entry,)
    for name, call, write in (
        ("jvp", lambda: jvp(f, x, x), "jvp(lambda x: f(*x), x, v)"),
        ("vjp", lambda: vjp(f, x), "vjp(lambda x: f(*x), x)"),
        ("hvp", lambda: hvp(lambda x: sum(f(x)), x, x), "hvp(lambda x: f(*x), x, v)"),
    ):
        with pytest.raises(TypeError, match="the argument is a tuple of one entry") as error:
            call()
        assert error.value.__notes__[-1] == (
            f"{name}() passes x to f as one argument; if f takes the entries of this tuple, as in jax and PyTorch, "
            f"write {write}"
        )
    assert jvp(lambda x: x[0] * 2.0, (3.0,), (1.0,)) == jvp(lambda x: 2.0 * x, 3.0, 1.0) == (6.0, 2.0)
    assert vjp(lambda x: x, (3.0,))[1]((1.0,)) == (1.0,)
    assert hvp(lambda x: x[0] ** 3, (3.0,), (1.0,)) == (18.0,)


def test_a_function_that_catches_an_arithmetic_error_gives_a_warning_where_numbers_raise_it():
    """For a `Value`, 0 / 0 is nan, and raises no error."""

    def sinc(x):
        try:
            return mc.sin(x) / x
        except ZeroDivisionError:
            return 1.0

    with pytest.warns(
        UserWarning, match=r"value_and_grad\(\): the function gives 1.0 for these numbers, but inf or nan"
    ):
        value_and_grad(sinc)(0.0)
    assert value_and_grad(sinc)(0.5)[0] == sinc(0.5)
    assert grad(lambda x: 1 / x)(0.0) == -math.inf


def test_a_namespace_is_answered_with_a_dict():
    with pytest.raises(TypeError, match=r"argument 0 is a SimpleNamespace; write a dict of its numbers, vars\(x\)"):
        grad(lambda p: p.x * p.x)(types.SimpleNamespace(x=1.0))


@pytest.mark.parametrize(
    ("call", "note"),
    [
        (lambda: hessian(lambda v: v[0] * v[1])(2.0), "which has no items, .*; pass a list or an array for a vector"),
        (lambda: grad(lambda v: max(v))(2.0), "which has no items, .*; pass a list or an array for a vector"),
        (lambda: grad(lambda v: v * v)([1.0, 2.0]), r"argument 0 is a list in f, too; pass np.array\(x\)"),
        (lambda: grad(lambda u, v: v.sum())(1.0, (1.0, 2.0)), None),  # the tuple is not differentiated
        (
            lambda: grad(lambda u, v: v.sum(), 1)(1.0, (1.0, 2.0)),
            r"argument 1 is a tuple in f, too; pass np.array\(x\)",
        ),
        (lambda: grad(lambda m: np.linalg.solve(m, m[0])[0])(np.eye(2)), r"write micrograd_cn.solve\(A, b\)"),
        (
            lambda: grad(lambda m: np.linalg.eigvalsh(m)[0])(np.eye(2)),
            "no operation for eigenvalues and singular value",
        ),
        (lambda: grad(lambda v: np.random.normal(v).sum())(np.ones(2)), r"write mean \+ std \* z, with z = np.random"),
    ],
)
def test_errors_of_python_and_numpy_have_a_note_that_says_what_to_write(call, note):
    with pytest.raises((TypeError, AttributeError)) as caught:
        call()
    notes = getattr(caught.value, "__notes__", [])
    assert len(notes) == (note is not None)
    assert note is None or re.search(note, notes[0])


@pytest.mark.parametrize("f", [lambda x: x.data**2, lambda x: x.item() * 3.0, lambda x: math.exp(x.data)])
def test_a_number_that_was_read_by_data_is_warned_of(f):
    with pytest.warns(UserWarning, match=r"the function returned a plain number, .*; if it comes from x\.(data|item)"):
        assert grad(f)(2.0) == 0.0


def test_a_constant_function_is_not_warned_of():
    assert grad(lambda x: 3.0)(2.0) == 0.0
    assert grad(lambda x: x * x.data)(2.0) == 2.0  # the other factor is constant, on purpose


@pytest.mark.parametrize("derive", [jvp, hvp, vjp])
@pytest.mark.parametrize("wrong", [None, 2.0, Value(3.0)])
def test_what_is_differentiated_at_a_point_is_a_function(derive, wrong):
    rest = () if derive is vjp else (1.0,)
    write = re.escape(f"write {derive.__name__}(f, x{', v' * bool(rest)})")
    with pytest.raises(TypeError, match=f"^{derive.__name__} takes a function, got {type(wrong).__name__} .*; {write}"):
        derive(wrong, 1.0, *rest)
