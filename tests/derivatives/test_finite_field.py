"""Only entries that are zero whatever the numbers are left out. Entries that are constants are known as such."""

import math
import os
import subprocess
import sys
from pathlib import Path

import pytest

import micrograd_cn as mc
from micrograd_cn import OPS, Op, Value
from micrograd_cn.derivatives.finite_field import PRIME, FieldEvaluator
from micrograd_cn.derivatives.sparse import sparse_gradient
from micrograd_cn.derivatives.sparse import sparse_hessian as hessian_entries
from micrograd_cn.derivatives.sparse import sparse_jacobian as jacobian_entries
from micrograd_cn.engine import constant, record
from micrograd_cn.functional import sparse_hessian, sparse_jacobian
from micrograd_cn.ops.traits import Lowerings

from .test_sparse import places

MANTISSA_BITS, EXPONENTS = 53, range(-1074, 972)  # a float is an integer of 53 bits times 2**k
FLAT = Op("flat", lambda x: x - x + 1.0, (lambda y, x: x - x,))
ZEROS = {
    "x - x": (lambda x, y: x - x + y * y, {(1, 1)}),
    "x*y - y*x": (lambda x, y: x * y - y * x, set()),
    "expanded": (lambda x, y: (x + y) ** 2 - x**2 - 2 * x * y, {(1, 1)}),
    "divided": (lambda x, y: (x**2 - y**2) / (x - y), set()),
    "inverse": (lambda x, y: x**-1 * x**3 - x * x + y**0 + y**1, set()),
    "inside": (lambda x, y: mc.sin(x * y - y * x + x), {(0, 0)}),
    "of functions": (lambda x, y: mc.sin(x * y) - mc.sin(y * x), set()),
    "linear": (lambda x, y: 3 * x - y / 7 + 2, set()),
    "dot": (lambda x, y: mc.dot([x, y], [y, -x]), set()),
    "sum": (lambda x, y: mc.sum([x * x, y, -(x**2)]), set()),
    "comparison": (lambda x, y: mc.less(x, y) + mc.step(x) + mc.equal(x, y), set()),
    "times comparison": (lambda x, y: mc.less(x, y) * x * x, {(0, 0)}),
    "maximum": (lambda x, y: mc.maximum(x, y), set()),
    "square of maximum": (lambda x, y: mc.maximum(x, y) ** 2, {(0, 0), (0, 1), (1, 0), (1, 1)}),
    "relu": (lambda x, y: mc.relu(x - 1e300) ** 2, {(0, 0)}),  # no point is near the kink
    "where": (lambda x, y: mc.where(mc.less(x, -1e300), x * y, 0), {(0, 1), (1, 0)}),
    "where never": (lambda x, y: mc.where(0, x * y, y), set()),
    "cancels in floats alone": (lambda x, y: (x * 0.1 * 3 - x * 0.3) * y, {(0, 1), (1, 0)}),
    "tiny": (lambda x, y: 1e-200 * x * x * 1e-200, {(0, 0)}),
    "power": (lambda x, y: x**2.5 + x**y, {(0, 0), (0, 1), (1, 0), (1, 1)}),
    "infinite": (lambda x, y: math.inf * x * y - math.inf * x * y, {(0, 1), (1, 0)}),
    "divided by zero": (lambda x, y: x * x / (y - y), {(0, 0)}),
    "unused": (lambda x, y: 1.0, set()),
    "derivative": (lambda x, y: FLAT(x) * y, set()),
}


@pytest.mark.parametrize("name", ZEROS)
def test_exactly_the_entries_that_are_zero_whatever_the_numbers_are_left_out(name):
    f, expected = ZEROS[name]
    found = sparse_hessian(f, (0, 1))(0.3, 0.7)
    assert (places(found), found.shape) == (expected, (2, 2))
    assert places(sparse_hessian(f, (0, 1), lower=True)(0.3, 0.7)) == {(i, j) for i, j in expected if j <= i}


def test_constants_are_known():
    x, y, w = Value(1.5), Value(0.25), Value(3.0)
    values = {
        "found": hessian_entries(5 * x * x + x * y - y * y * w + (x + 2 - x) * y**2, [x, y]).values,
        "linear": jacobian_entries([3 * x - y, x / y + (x + y) ** 2 - x * x - y * y - 2 * x * y], [x, y]).values,
        "gradient": sparse_gradient(5 * x + mc.less(x, y) * w, [x, y]),
        "of a leaf": jacobian_entries([(w + 2 - w) * x, (w + 2 - w * w) * x], [x]).values,
    }
    assert {name: [isinstance(v, float) for v in every] for name, every in values.items()} == {
        "found": [True, True, True, False],  # 10, 1, 1, 4 - 2 * w
        "linear": [True, True, False, False],
        "gradient": [True, True],
        "of a leaf": [True, False],
    }
    assert [getattr(v, "data", v) for v in values["found"]] == [10.0, 1.0, 1.0, -2.0]
    assert values["gradient"] == [5.0, 0.0]


def test_a_constant_that_is_rounded_where_it_was_recorded_is_not_taken_from_there():
    x = Value(1e20)
    [[found]] = [hessian_entries((x + 2 - x) * x * x, [x]).values]
    assert isinstance(found, Value)  # it is 4, but floats give 0 here


def test_constant_factors_do_not_vanish_together():
    found = sparse_hessian(lambda v: (1e-200 * v[0]) * (1e-200 * v[1] * v[2]), lower=True)([1.0, 2.0, 1e300])
    assert found.dense()[1][0] == pytest.approx(1e-100, abs=0.0)
    tiny = Op("tiny", lambda x: 1e-200 * (1e-200 * x * x), (lambda y, x: 1e-200 * (2e-200 * x),))
    assert sparse_jacobian(lambda x: tiny(x) * 1e200)(1e300).values == [pytest.approx(2e100)]


# The prime, and the floats modulo it.


def is_proven_prime(n):
    """Return whether n, below 3e24, is prime, by Miller's test; 13 bases decide (Sorenson & Webster 2017)."""
    assert 41 < n < 3e24
    twos = (n - 1 & 1 - n).bit_length() - 1
    for base in (2, 3, 5, 7, 11, 13, 17, 19, 23, 29, 31, 37, 41):
        powers = [pow(base, (n - 1) >> k, n) for k in range(1, twos + 1)]
        if powers[-1] != 1 and n - 1 not in powers:
            return False
    return True


def lucas(n, a, d, modulus):
    """Return v in (a + sqrt(d))**n = u + v * sqrt(d): the n-th Lucas number, modulo `modulus`."""
    power, base = (1, 0), (a, 1)
    for bit in bin(n)[:1:-1]:
        (u, v), (s, t) = power, base
        if bit == "1":
            power = (u * s + d * v * t) % modulus, (u * t + v * s) % modulus
        base = (s * s + d * t * t) % modulus, 2 * s * t % modulus
    return power[1]


def test_the_modulus_is_a_safe_prime_and_2_is_a_primitive_root():
    p, q, r = PRIME, (PRIME - 1) // 2, 119728144794207551358467
    assert p == 2 * q + 1
    assert (q + 1) % r == 0
    assert r > math.isqrt(q) + 2
    assert is_proven_prime(r)
    assert not is_proven_prime(3215031751)  # 2, 3, 5 and 7 do not find its factors
    d = next(d for d in range(2, 99) if pow(d, q // 2, q) == q - 1)  # no square modulo q
    assert lucas(q + 1, 1, d, q) == 0  # q is a prime, since a factor r of q + 1 is large (Morrison 1975)
    assert math.gcd(lucas((q + 1) // r, 1, d, q), q) == math.gcd(1 - d, q) == 1
    assert pow(2, p - 1, p) == 1  # p is a prime, since a factor q of p - 1 is large (Pocklington 1914)
    assert math.gcd(2**2 - 1, p) == 1
    assert pow(2, q, p) == p - 1
    assert p.bit_length() <= 120  # four digits of a Python int


def shortest(modulus, ratio):
    """Return the least max(|a|, |b|) of all (a, b), but (0, 0), for which a * ratio - b is a multiple of `modulus`."""
    u, v = (0, modulus), (1, ratio)  # a basis of all (a, b), reduced as by Lagrange
    while True:
        n = v[0] * v[0] + v[1] * v[1]
        k = (2 * (u[0] * v[0] + u[1] * v[1]) + n) // (2 * n)
        u = u[0] - k * v[0], u[1] - k * v[1]
        if u[0] * u[0] + u[1] * u[1] >= n:
            break
        u, v = v, u
    steps = [(i, j) for i in range(-2, 3) for j in range(-2, 3) if (i, j) != (0, 0)]
    return min(max(abs(i * u[0] + j * v[0]), abs(i * u[1] + j * v[1])) for i, j in steps)


@pytest.mark.parametrize("modulus", [PRIME, (PRIME - 1) // 2])
def test_no_two_floats_are_equal_modulo_the_prime(modulus):
    assert shortest(31, 8) == 4  # 4 * 8 = 1
    # If two floats were equal, then a * 2**k = b for integers of 53 bits and a difference k of exponents. That is an
    # identity of integers for at most one ratio b / a, and for k < 53 only.
    assert modulus > 2 ** (2 * MANTISSA_BITS + 1)
    for k in range(MANTISSA_BITS, len(EXPONENTS)):
        assert shortest(modulus, pow(2, k, modulus)) >= 2**MANTISSA_BITS


def test_constants_that_are_far_apart_do_not_cancel():
    for k in (1, 30, 61, 62, 64, 89, 107, 119, 120, 121, 127, 128, 240, 521, 607, 1279, 2045):
        low = -min(k // 2, 1074)
        field, x = FieldEvaluator(), Value(1.5)
        assert field.of(x * 2.0**low - x * 2.0 ** (low + k)) != 0
    assert sparse_gradient(*(lambda x: (x * 2.0**-52 - 512 * x, [x]))(Value(1.0))) == [2.0**-52 - 512.0]
    x, y = Value(1.0), Value(2.0)
    assert hessian_entries(x * y * 2.0**31 - x * y * 2.0**-30, [x, y]).values == [2.0**31] * 2


def test_an_operation_of_a_users_own_may_have_floats_among_its_summands():
    parts = Lowerings(summands=lambda a, b: ([(a, 0.5), (a, b)], [b, 0.25]))
    op = Op("own", lambda a, b: a * 0.5 + a * b + b + 0.25, (lambda y, a, b: b + 0.5, lambda y, a, b: a + 1.0))
    own = Op("own", op.forward, op.partials, lowerings=parts)
    x, y, field = Value(3.0), Value(5.0), FieldEvaluator()
    assert field.of(own(x, y) - (x * 0.5 + x * y + y + 0.25)) == 0
    endless = Op(
        "own", lambda a: math.inf, (lambda y, a: 0.0,), lowerings=Lowerings(summands=lambda a: ((), [math.inf]))
    )
    assert field.of(endless(x)) is None


def test_elements_do_not_depend_on_the_evaluator_or_the_process():
    source = (
        "import micrograd_cn as mc\n"
        "from micrograd_cn.derivatives.finite_field import FieldEvaluator\n"
        "x, y = mc.Value(1), mc.Value(2)\n"
        "found = FieldEvaluator().of(mc.sin(x) * y + mc.cos(x))\n"
    )
    here = []
    for _ in range(2):
        names = {}
        exec(source, names)
        here.append(str(names["found"]))
    root = Path(mc.__file__).parents[1]
    there = [
        subprocess.run(
            [sys.executable, "-c", f"{source}print(found)"],
            env=os.environ | {"PYTHONHASHSEED": seed, "PYTHONPATH": str(root)},
            capture_output=True,
            text=True,
            check=True,
        ).stdout.strip()
        for seed in ("1", "2")
    ]
    assert {*here, *there} == {here[0]}


def test_elements_differ_by_operation_and_are_a_field():
    x, y = Value(1), Value(2)
    first = FieldEvaluator()
    own = [Op("own", forward, (lambda y, x: 1.0,)) for forward in (lambda x: x, lambda x: 2.0 * x)]  # one name
    elements = [first.of(op(x)) for op in own] + [first.of(mc.sin(x)), first.of(mc.cos(x)), first.of(x)]
    assert len({*elements}) == 5
    assert first.of(constant(0.25)) * 4 % PRIME == first.of(1.0) == 1
    assert first.of(x**-2) * first.of(x * x) % PRIME == 1
    assert first.of((x - x) ** -2) is first.of(x / (y - y)) is first.of(math.nan * x) is None


@pytest.mark.parametrize("op", OPS.values(), ids=lambda op: op.name)
def test_whatever_is_computed_of_something_unknown_is_unknown(op):
    count = op.arity or 5
    for slot in range(count):
        operands = [Value(0.5) for _ in range(count)]
        assert FieldEvaluator().of(record(op, tuple(operands))) is not None
        for unknown in (math.nan * Value(1.0), Value(1.0) / 0.0):
            operands[slot] = unknown
            assert FieldEvaluator().of(record(op, tuple(operands))) is None
