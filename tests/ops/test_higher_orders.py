"""Derivatives of order 2 and 3 of every row are accurate near 0, near and at the ends of its domain, and far out.

Mixed derivatives are among them. All digits but the last few must be right, or as many as the last bits of the operands
leave.
"""

import math
import random
from itertools import product
from math import inf, nan

import pytest
from mpmath import mp, mpf

import micrograd_cn as mc
from micrograd_cn import OPS, Value, gradients
from micrograd_cn.compiler import compile as compiled
from micrograd_cn.engine import record, topological_order
from micrograd_cn.flow.javascript import Rows
from micrograd_cn.functional import grad
from micrograd_cn.text.formula import Term, trace

from .jets import FUNCTIONS, Jet
from .references import LARGEST, REFERENCES, TINY, magnitude, numbered
from .test_table import OVERFLOW, elementary, every_row, inside

# The points.

SIZES = [
    TINY,
    1e-310,
    1e-300,
    1e-160,
    1e-100,
    1e-40,
    1e-20,
    1e-15,
    1e-12,
    1e-8,
    1e-3,
    0.3,
    0.5,
    0.7,
    1 - 1e-3,
    1 - 1e-9,
]
SIZES += [1 - 2.0**-53, 1 + 2.0**-52, 1 + 1e-3, 1.2, 2.0, 2.4, 5.0, 18.5, 26.5, 27.2, 36.8, 38.5, 100.0, 372.5]
SIZES += [705.0, 709.5, 710.2, 744.0, 750.0, 1e10, 1e60, 1e110, 1e154, 1e200, 1e300, LARGEST]
SIGNED = [0.0, -0.0, *[sign * x for x in SIZES for sign in (1.0, -1.0)]]


SKEWED = [
    (2e-322, 0.0),
    (1e-246, 1e-50),
    (1e-323, 1e-218),
    (1e-169, 1e-197),
    (1e-300, 1e-100),
    (1e-300, -1.0),
    (1e200, 1.0),
]


def pairs(rng):
    yield from [point for a, b in SKEWED for point in ((a, b), (b, a), (-a, b), (b, -a))]
    for _ in range(30):
        a = magnitude(rng)
        yield rng.choice(SIGNED), rng.choice(SIGNED)
        yield a, a * rng.uniform(-1, 1)
        yield rng.uniform(-3, 3), rng.uniform(-3, 3)
        yield abs(a), rng.choice([-2.0, -1.0, 0.0, 0.5, 1.0, 1.5, 2.0, 3.0])


def lists(rng):
    for n in (1, 2, 2, 3, 4):
        for _ in range(10):
            yield tuple(rng.choice(SIGNED) for _ in range(n))
            yield tuple(rng.uniform(-60, 60) for _ in range(n))
            yield tuple(rng.uniform(-1, 1) * 10.0 ** -rng.randint(0, 30) for _ in range(n))


POINTS = {
    1: lambda rng: [(x,) for x in SIGNED],
    2: pairs,
    3: lambda rng: [tuple(rng.choice(SIGNED) for _ in range(3)) for _ in range(60)],
    None: lists,
}


def points(op):
    for xs in numbered(op, POINTS[op.arity](random.Random(op.name))):
        if inside(op, xs) and not (op.smoothness.kink and op.smoothness.kink(*xs) == 0):
            yield xs


# The errors that are allowed, in units of half an ulp.

BITS = {1: 1300, 2: 4400, 3: 2400, None: 2400}  # near the origin lengths cancel
UNITS = 40


def coarse(op, xs):
    """Return the factor by which a row multiplies the error, 2**-1074, of a subnormal intermediate result."""
    if op.name in ("gelu", "silu", "erf", "erfc"):  # a density times a polynomial
        return max(1, abs(mpf(xs[0]))) ** 3
    if op.name in ("atan2", "hypot"):  # a cosine or sine over a power of the radius
        return 1 + mp.hypot(*map(mpf, xs)) ** -3
    return 1


def beyond(op, xs, times):
    """Return whether an intermediate result overflows, even if the derivative does not."""
    a, *rest = xs
    if op.name == "pow":
        [b] = rest
        return abs(b) > 1e100 or mc.pow(a, b - times[0]) == inf
    if op.name == "div":  # it computes 0 times 1 / b**2
        return a == 0 and mc.pow(*rest, -2) == inf
    return op.smoothness.rounding is not None and inf in op.smoothness.rounding(op.forward(*xs), *xs)[1:]


def close_weights(op, jet, times):
    """Return the error of a third derivative that comes from the difference of two equal weights."""
    if op.name not in ("logsumexp", "logaddexp") or len(times) < 3 or sum(times) < 3:
        return 0
    seconds = [(*times[:i], t - 1, *times[i + 1 :]) for i, t in enumerate(times) if t]
    return min(abs(jet.derivative(second)) for second in seconds)


def allowed(op, xs, jet, times):
    true = jet.derivative(times)
    moved = sum(abs(jet.derivative(more(times, i)) * mpf(x)) for i, x in enumerate(xs))
    stated = op.smoothness.rounding(op.forward(*xs), *xs)[1:] if op.smoothness.rounding else ()
    size = (
        abs(true) * (1 + mpf(max(filter(math.isfinite, stated), default=0)))
        + min(moved, OVERFLOW)
        + close_weights(op, jet, times)
    )
    return UNITS * (size * mpf(2) ** -53 + mpf(TINY) * coarse(op, xs))


def more(times, i):
    return (*times[:i], times[i] + 1, *times[i + 1 :])


def derivatives(op, xs, order=3):
    """Return derivatives by how often each operand occurs; each is found once for each order of differentiation."""
    inputs = [Value(x) for x in xs]
    level = [((0,) * len(xs), record(op, tuple(inputs)))]
    found = {}
    for _ in range(order):
        following = {}
        for times, y in level:
            recorded = gradients(y, inputs, create_graph=True) if y.requires_grad else [Value(0.0) for _ in xs]
            captured = gradients(y, inputs) if y.requires_grad else [0.0] * len(xs)
            for i, (g, number) in enumerate(zip(recorded, captured, strict=True)):
                assert g.data == number or (g.data != g.data and number != number), (xs, times, i)
                found.setdefault(more(times, i), []).append(number)
                following[more(times, i)] = g
        level = list(following.items())
    return found


def mistakes(op, xs, got):
    jet = FUNCTIONS[op.name](*Jet.variables(*xs))
    for times, numbers in got.items():
        if sum(times) > 1 and not beyond(op, xs, times):
            true = jet.derivative(times)
            clipped = max(-OVERFLOW, min(true, OVERFLOW))
            for g in numbers:
                if math.isfinite(g) and g == float(true):  # it is right to 1 ulp, which is found sooner
                    continue
                wrong = mp.inf if g != g else abs((mp.sign(g) * OVERFLOW if math.isinf(g) else mpf(g)) - clipped)
                if wrong > allowed(op, xs, jet, times):
                    yield f"{op.name}{xs} differentiated {times}: {g!r}, not {mp.nstr(true, 17)}"


def test_every_row_has_a_reference():
    assert FUNCTIONS.keys() == OPS.keys()


@every_row
def test_references_have_the_first_derivatives_of_those_of_the_rows_themselves(op):
    _, *partials = REFERENCES[op.name]
    with mp.workprec(250):
        for xs in numbered(op, [(0.3, 0.7, 0.45), (0.9, 0.2, 0.6), (-0.6, -0.35, -0.8)]):
            xs = xs[: op.arity or 3]
            if inside(op, xs):
                exact = [mpf(x) for x in xs]
                jet = FUNCTIONS[op.name](*Jet.variables(*xs))
                firsts = partials[0](*exact) if op.arity is None else [partial(*exact) for partial in partials]
                for i, first in enumerate(firsts):
                    assert mp.almosteq(jet.derivative(more((0,) * len(xs), i)), first, 1e-60, 1e-60), (xs, i)


@pytest.mark.parametrize(
    "share", [0.2, pytest.param(0.5, marks=pytest.mark.thorough), pytest.param(1.0, marks=pytest.mark.slow)]
)
@every_row
def test_second_and_third_derivatives_are_accurate_near_0_near_ends_and_far_out(op, share):
    with mp.workprec(BITS[op.arity]):
        tried = list(points(op))
        if op.arity != 1:
            tried = random.Random(op.name).sample(tried, round(share * len(tried)))
        wrong = [mistake for xs in tried for mistake in mistakes(op, xs, derivatives(op, xs))]
    assert len(tried) > 10
    assert not wrong, f"{len(wrong)}: " + "; ".join(wrong[:5])


@pytest.mark.parametrize("op", [op for op in OPS.values() if op.arity == 1], ids=lambda op: op.name)
def test_functions_of_functions_have_the_same_derivatives(op):
    for x in (1e-300, 1e-12, 0.5, 0.999):
        if inside(op, (x,)):
            _, [second], [third] = derivatives(op, (x,)).values()
            assert (grad(grad(op))(x), grad(grad(grad(op)))(x)) == (second, third), x


# Limits at the ends of the domain, of orders 2 and 3.

NOTHING = {inf: (0, 0), -inf: (0, 0)}
NO_LIMIT = {inf: (nan, nan), -inf: (nan, nan)}
LIMITS = {
    "neg": NOTHING,
    "abs": NOTHING,
    "exp": {inf: (inf, inf), -inf: (0, 0)},
    "expm1": {inf: (inf, inf), -inf: (0, 0)},
    "log": {0.0: (-inf, inf), inf: (0, 0)},
    "log1p": {-1.0: (-inf, inf), inf: (0, 0)},
    "sqrt": {0.0: (-inf, inf), inf: (0, 0)},
    "sin": NO_LIMIT,
    "cos": NO_LIMIT,
    "tan": NO_LIMIT,
    "asin": {1.0: (inf, inf), -1.0: (-inf, inf)},
    "acos": {1.0: (-inf, -inf), -1.0: (inf, -inf)},
    "atan": NOTHING,
    "sinh": {inf: (inf, inf), -inf: (-inf, inf)},
    "cosh": {inf: (inf, inf), -inf: (inf, -inf)},
    "sech": NOTHING,
    "tanh": NOTHING,
    "sigmoid": NOTHING,
    "relu": NOTHING,
    "softplus": NOTHING,
    "gelu": NOTHING,
    "silu": NOTHING,
    "erf": NOTHING,
    "erfc": NOTHING,
    "erfinv": {1.0: (inf, inf), -1.0: (-inf, inf)},
    "lgamma": {inf: (0, 0), -inf: (nan, nan)},
    "digamma": {inf: (0, 0), -inf: (nan, nan)},
    "floor": NOTHING,
    "step": NOTHING,
}


def test_every_end_has_a_limit():
    unary = [op for op in OPS.values() if op.arity == 1]
    assert {op.name: set(op.smoothness.domain[0]) for op in unary} == {
        name: set(limits) for name, limits in LIMITS.items()
    }


@pytest.mark.parametrize("name", LIMITS)
def test_at_the_ends_of_the_domain_derivatives_are_their_limits(name):
    op = OPS[name]
    for x, limits in LIMITS[name].items():
        assert [grad(grad(op))(x), grad(grad(grad(op)))(x)] == pytest.approx(limits, nan_ok=True), x


@pytest.mark.parametrize("a", [1e-320, 1e-200, 1e-150, 3.0, 1e200])
def test_a_power_that_is_a_polynomial_has_no_nan_however_large_its_factors(a):
    for b, expected in ((0.0, [0.0, 0.0, 0.0]), (1.0, [1.0, 0.0, 0.0]), (2.0, [2.0 * a, 2.0, 0.0])):
        found = derivatives(OPS["pow"], (a, b))
        assert [number for i in (1, 2, 3) for number in set(found[i, 0])] == expected, b


# Rows that are not in the table, which derivatives are made of.


EXTREME = [0.0, -0.0, 1.0, -1.0, 0.5, 1e-20, TINY, 30.0, -745.3, -800.0, 1e300, inf, -inf, nan]


def reached():
    """Return the rows outside the table that derivatives up to the third reach, each with its number of operands."""
    found = {}
    for op in OPS.values():
        n = op.arity or 2
        inputs = [Value(x) for x in (0.3, 0.8, 0.6)[:n]]
        level = [record(op, tuple(inputs))]
        for _ in range(3):
            level = [g for y in level if y.requires_grad for g in gradients(y, inputs, create_graph=True)]
            for node in [node for g in level for node in topological_order(g)]:
                if node.op not in OPS.values():
                    found[node.op, len(node.parents)] = node
    return found


def test_rows_outside_the_table_have_a_formula_that_computes_what_they_do():
    rng = random.Random(0)
    found = reached()
    assert len(found) > 10
    for op, count in found:
        tried = [(*xs, 0.5, 2.0, -1.0, 0.0, 3.0)[:count] for xs in product(EXTREME, repeat=2)]
        tried += [tuple(rng.uniform(-3, 3) for _ in range(count)) for _ in range(100)]
        for xs in tried:
            y = op.forward(*xs)
            assert {type(x) for x in (y, *op.local_derivatives(y, *xs))} == {float}, (op, xs)
            if op.lowerings.formula:
                assert op.lowerings.formula(*xs) == pytest.approx(y, rel=1e-15, nan_ok=True), (op, xs)


def test_rows_outside_the_table_come_down_to_machine_code_and_to_javascript():
    rows = Rows()
    for op, count in reached():
        operands = tuple(map(Term, "abcdefgh"[:count]))
        for term in (Term("", op, operands), *trace(op.local_derivatives, Term("y"), *operands, of=op)):
            assert all(row.lowerings.machine and row.lowerings.javascript for row in elementary(term))
        assert rows.add(op, count)
    assert rows.module().count("=>") > 2 * len(reached())


@every_row
def test_a_recorded_second_derivative_is_compiled(op):
    xs = (0.3, 0.8, 0.6)[: op.arity or 2]
    inputs = [Value(x) for x in xs]
    y = record(op, tuple(inputs))
    firsts = gradients(y, inputs, create_graph=True)
    total = mc.sum([weight * g for weight, g in zip((1.0, 0.5, 0.25), firsts, strict=False)])
    if total.requires_grad:
        program = compiled(total, inputs)
        assert program.forward([list(xs)])[0] == pytest.approx(total.data, rel=1e-13)


def test_no_derivative_of_a_power_of_nan_is_a_number():
    x, b = Value(2.0), Value(nan)
    for first in gradients(x**b, [x, b], create_graph=True):
        assert all(math.isnan(second) for second in gradients(first, [x, b]))


def test_rows_of_derivatives_are_made_once():
    x, y = Value(0.5), Value(2.0)
    first, again = (gradients(mc.atan2(y, x), [x], create_graph=True)[0].op for _ in range(2))
    second = [gradients(mc.ops.table._radial(((1.0, 1, 0),), 1)(x, y), [x], create_graph=True)[0].op for _ in range(2)]
    assert first is again
    assert second[0] is second[1]


@pytest.mark.parametrize("across", range(7))
def test_derivatives_of_the_angle_are_powers_of_the_inverse(across):
    """The angle of z = x + iy is the imaginary part of log(z), whose n-th derivative is -(n - 1)! / (-z)^n."""
    x, y = Value(0.75), Value(-1.25)
    node = mc.atan2(y, x)
    for order in range(1, 7):
        [node] = gradients(node, [y if order <= across else x], create_graph=True)
        z = complex(x.data, y.data)
        expected = -(1j ** min(order, across)) * math.factorial(order - 1) / (-z) ** order
        assert math.isclose(node.data, expected.imag, rel_tol=1e-12, abs_tol=1e-12)
