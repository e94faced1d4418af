"""Every row of the table is accurate, takes any float, and has derivatives that are made of rows."""

import math
import random
from fractions import Fraction
from itertools import product
from math import inf, nan

import numpy as np
import pytest
from mpmath import mp, mpf

import micrograd_cn as mc
from micrograd_cn import OPS, Value, gradients
from micrograd_cn.compiler import compile  # noqa: A004 -- the field's name
from micrograd_cn.engine import record, topological_order
from micrograd_cn.ops.table import log_sum_above
from micrograd_cn.testing import check_op, gradcheck
from micrograd_cn.text.formula import Term, expand, trace

from .references import (
    BITS,
    LARGEST,
    POINTS,
    PYTORCH_BINARY,
    PYTORCH_LISTS,
    PYTORCH_UNARY,
    REFERENCES,
    TINY,
    numbered,
    pytorch,
)
from .references import EDGES as PECULIAR

every_row = pytest.mark.parametrize("op", list(OPS.values()), ids=list(OPS))


def written(x):
    """Return all bits of the float as text, the same for every nan."""
    return float(x).hex()


def data(x):
    return x.data if isinstance(x, Value) else x


def inside(op, operands):
    domain = op.smoothness.domain if op.arity else op.smoothness.domain * len(operands)
    return all(low < x < high for x, (low, high) in zip(operands, domain, strict=True))


# Accuracy. A result that overflows counts as 2**1024, the first power of two that is out of range.

OVERFLOW = mpf(2) ** 1024


def error(got, true, slack):
    """Return the error in units of the error that is allowed: 4 ulp, or 1e-15 with what the row states."""
    if math.isfinite(got) and got == float(true):  # it is right to 1 ulp; most are, and this is quick
        return 0
    true = max(-OVERFLOW, min(mpf(true), OVERFLOW))
    if 0 < abs(true) < TINY:  # a result that underflows has no error that the row could state
        slack = 0.0
    if slack == inf:  # an intermediate result overflows
        return 0
    if math.isnan(got):
        return mp.inf
    got = mp.sign(got) * OVERFLOW if math.isinf(got) else mpf(got)
    ulp = math.ulp(max(-LARGEST, min(float(true), LARGEST)))
    return abs(got - true) / max(4 * mpf(ulp), mpf(1e-15) * (1 + mpf(slack)) * abs(true))


def mistakes(op, points):
    """Return messages about inaccurate values and partials, the worst first."""
    value, *partials = REFERENCES[op.name]
    found = []
    for operands in points:
        exact = [mpf(x) for x in operands]
        y = op.forward(*operands)
        kink = op.smoothness.kink is not None and op.smoothness.kink(*operands) == 0
        try:
            true = [value(*exact)]
        except ZeroDivisionError:
            assert kink, f"{op.name}{operands} is a pole that the row does not state"
            continue
        got = [y]
        if not kink:
            true += partials[0](*exact) if op.arity is None else [partial(*exact) for partial in partials]
            got += op.local_derivatives(y, *operands)
        slack = op.smoothness.rounding(y, *operands) if op.smoothness.rounding else (0.0,) * (1 + len(operands))
        assert len(slack) == 1 + len(operands), f"{op.name}: rounding is for the value and each slot"
        for slot, (g, t, s) in enumerate(zip(got, true, slack, strict=False), -1):  # at a kink there are no partials
            if error(g, t, s) > 1:
                what = "value" if slot < 0 else f"partial {slot}"
                message = f"{op.name}{operands}: {what} {g!r}, not {mp.nstr(mpf(t), 17)}, stated {s:.3g}"
                found.append((error(g, t, s), message))
    return [message for _, message in sorted(found, reverse=True)]


def test_every_row_has_a_reference_for_its_value_and_each_partial():
    assert {name: len(reference) - 1 for name, reference in REFERENCES.items()} == {
        name: op.arity or 1 for name, op in OPS.items()
    }


@every_row
def test_reference_partials_are_the_derivatives_of_reference_values(op):
    value, *partials = REFERENCES[op.name]
    n = op.arity or 3
    for point in numbered(op, ((0.3, 0.7, 0.45), (0.9, 0.2, 0.6), (-0.6, -0.35, -0.8))):
        if inside(op, point[:n]):
            exact = [mpf(x) for x in point[:n]]
            claimed = partials[0](*exact) if op.arity is None else [partial(*exact) for partial in partials]
            for slot in range(n):
                with mp.workdps(40):
                    derivative = mp.diff(value, exact, [int(slot == i) for i in range(n)])
                assert mp.almosteq(claimed[slot], derivative, 1e-12, 1e-12), (point, slot)


@pytest.mark.parametrize(
    "share", [0.1, pytest.param(0.3, marks=pytest.mark.thorough), pytest.param(1.0, marks=pytest.mark.slow)]
)
@every_row
def test_value_and_partials_are_accurate_over_the_whole_domain(op, share):
    rng = random.Random(op.name)
    points = [xs for xs in numbered(op, POINTS[op.arity](rng)) if inside(op, xs)]
    peculiar, others = points[: len(PECULIAR)], points[len(PECULIAR) :]
    points = peculiar + rng.sample(others, round(share * len(others)))
    with mp.workprec(BITS.get(op.name, 250)):
        wrong = mistakes(op, points)
    assert not wrong, f"{len(wrong)} of {len(points)} points: " + "; ".join(wrong[:5])


@pytest.mark.parametrize("x", [sign * x for x in (1e-300, 1e-8, 1, 40, 700, 1e300) for sign in (1.0, -1.0)])
@pytest.mark.parametrize("name", ["sigmoid", "softplus", "log1p", "expm1", "gelu", "logsumexp", "tanh"])
def test_stable_formulas_hold_from_tiny_to_huge(name, x):
    op = OPS[name]
    with mp.workprec(BITS.get(op.name, 250)):
        points = [(x,), (x, 0.0), (x, -x, 1.0)] if op.arity is None else [(x,)]
        assert not mistakes(op, [operands for operands in points if inside(op, operands)])
    if not inside(op, points[0]):
        assert math.isnan(op(x)) or (x, op(x)) == (-1, -inf)


# What a row states of itself: where it is not smooth, and where it ends. `test_rounding.py` has its errors.

KINKS = {
    "equal": lambda a, b: a == b,
    "abs": lambda x: x == 0,
    "atan2": lambda y, x: y == 0 and x <= 0,
    "clip": lambda x, low, high: low == high or (low < high and x in (low, high)),
    "digamma": lambda x: x <= 0 and x == int(x),
    "div": lambda a, b: b == 0,
    "elu": lambda x, alpha: x == 0,
    "floor": lambda x: x == int(x),
    "hypot": lambda x, y: x == 0 and y == 0,
    "leaky_relu": lambda x, slope: x == 0,
    "less": lambda a, b: a == b,
    "less_equal": lambda a, b: a == b,
    "lgamma": lambda x: x <= 0 and x == int(x),
    "maximum": lambda a, b: a == b,
    "minimum": lambda a, b: a == b,
    "relu": lambda x: x == 0,
    "remainder": lambda a, b: b == 0 or math.fmod(a, b) == 0,
    "step": lambda x: x == 0,
    "tan": lambda x: False,  # no float is an odd multiple of pi/2
    "where": lambda c, a, b: c == 0,
}


def test_a_kink_is_stated_where_there_is_one_and_nowhere_else():
    assert KINKS.keys() == {name for name, op in OPS.items() if op.smoothness.kink}
    for name, there in KINKS.items():
        for operands in POINTS[OPS[name].arity](random.Random(name)):
            assert (OPS[name].smoothness.kink(*operands) == 0) == there(*operands), (name, operands)


@every_row
def test_a_domain_ends_where_the_function_does(op):
    for slot, (low, high) in enumerate(op.smoothness.domain):
        assert low < 0.5 < high
        for end, outward in ((low, -inf), (high, inf)):
            if math.isfinite(end):
                outside, within = ([0.5] * len(op.smoothness.domain) for _ in range(2))
                outside[slot], within[slot] = math.nextafter(end, outward), math.nextafter(end, -outward)
                assert math.isnan(op(*outside)), outside
                assert math.isfinite(op(*within)), within


# Special values.


@every_row
def test_nothing_raises_on_any_float(op):
    special = [nan, inf, -inf, 0.0, -0.0, TINY, -TINY, 1e308, -1e308]
    for n in [op.arity] if op.arity else [1, 2, 3]:
        for operands in product(special, repeat=n):
            y = op.forward(*operands)
            assert {type(x) for x in (y, *op.local_derivatives(y, *operands))} == {float}, operands


NO_COUNTERPART = {"sech"}
MORE_ACCURATE = {("log1p", (TINY,)), ("log1p", (-TINY,))}  # PyTorch gives 0
OTHER_ZEROS = {"remainder"}  # a zero has the sign of the divisor, as in Python and numpy


def test_every_row_is_compared_with_pytorch():
    assert {*PYTORCH_UNARY, *PYTORCH_BINARY, *PYTORCH_LISTS} == OPS.keys() - NO_COUNTERPART


@pytest.mark.parametrize("name", [name for name in OPS if name not in NO_COUNTERPART])
def test_special_values_are_those_of_pytorch(name):
    op = OPS[name]
    for operands, value, partials in pytorch(name):
        full = op.signature(*operands) if op.signature and op.unary else operands
        y = op.forward(*full)
        if (name, operands) not in MORE_ACCURATE:
            zeros = name in OTHER_ZEROS and y == value == 0
            assert zeros or written(y) == written(value) or y == pytest.approx(value, rel=1e-15, abs=0) != 0, operands
        got = op.local_derivatives(y, *full)[: len(partials)]
        assert list(got) == pytest.approx(partials, rel=1e-15, abs=0, nan_ok=True), operands


# Conventions: operands, and the partials that the table chooses there.

CONVENTIONS = {
    "equal": {(1.0, 1.0): (0.0, 0.0), (1.0, 2.0): (0.0, 0.0)},
    "abs": {(0.0,): (0.0,), (nan,): (0.0,)},
    "acos": {(1.0,): (-inf,), (-1.0,): (-inf,)},
    "asin": {(1.0,): (inf,), (-1.0,): (inf,)},
    "atan2": {
        (0.0, 0.0): (0.0, 0.0),
        (2.0, inf): (nan, 0.0),
        (-inf, 2.0): (0.0, nan),
        (inf, inf): (nan, nan),
    },
    "clip": {
        (0.0, 0.0, 1.0): (1.0, 0.0, 0.0),
        (1.0, 0.0, 1.0): (1.0, 0.0, 0.0),
        (1.0, 1.0, 1.0): (0.0, 0.0, 0.0),
        (0.5, 1.0, 0.0): (0.0, 0.0, 1.0),
        (nan, 0.0, 1.0): (0.0, 0.0, 0.0),
    },
    "digamma": {(0.0,): (inf,), (-1.0,): (inf,)},
    "elu": {(0.0, 0.7): (0.7, 0.0), (nan, 0.7): (nan, nan)},
    "erfinv": {(1.0,): (inf,), (-1.0,): (inf,)},
    "floor": {(1.0,): (0.0,), (0.5,): (0.0,), (nan,): (0.0,)},
    "gelu": {(inf,): (nan,), (-inf,): (nan,)},
    "hypot": {(0.0, 0.0): (nan, nan), (2.0, inf): (0.0, nan), (-inf, 2.0): (nan, 0.0), (inf, inf): (nan, nan)},
    "leaky_relu": {(0.0, 0.2): (0.2, 0.0), (nan, 0.2): (0.2, nan)},
    "less": {(1.0, 1.0): (0.0, 0.0), (1.0, 2.0): (0.0, 0.0)},
    "less_equal": {(1.0, 1.0): (0.0, 0.0), (1.0, 2.0): (0.0, 0.0)},
    "lgamma": {(0.0,): (-inf,), (-1.0,): (nan,), (-inf,): (nan,)},
    "log": {(0.0,): (inf,), (-2.0,): (-0.5,)},
    "log1p": {(-1.0,): (inf,), (-3.0,): (-0.5,)},
    "logaddexp": {(inf, inf): (nan, nan), (-inf, -inf): (nan, nan), (inf, 1.0): (1.0, 0.0)},
    "logsumexp": {(inf, 1.0): (nan, 0.0), (-inf, -inf): (nan, nan), (-inf, 1.0): (0.0, 1.0), (inf,): (nan,)},
    "maximum": {(2.0, 2.0): (0.5, 0.5), (0.0, -0.0): (0.5, 0.5), (nan, 1.0): (1.0, 1.0)},
    "minimum": {(2.0, 2.0): (0.5, 0.5), (0.0, -0.0): (0.5, 0.5), (1.0, nan): (1.0, 1.0)},
    "pow": {
        (0.0, 0.0): (0.0, 0.0),
        (3.0, 0.0): (0.0, math.log(3.0)),
        (-3.0, 0.0): (0.0, nan),
        (0.0, 1.0): (1.0, 0.0),
        (0.0, 0.5): (inf, 0.0),
        (0.0, 3.0): (0.0, 0.0),
        (-3.0, 2.0): (-6.0, nan),
        (nan, 0.0): (0.0, nan),
        (5e-324, 0.0): (0.0, math.log(5e-324)),
        (0.75 * 2.0**-1024, 0.0): (0.0, math.log(0.75 * 2.0**-1024)),
    },
    "relu": {(0.0,): (0.0,), (nan,): (1.0,)},
    "remainder": {(6.0, 3.0): (1.0, -2.0), (-1.0, 3.0): (1.0, 1.0), (2.0, 0.0): (1.0, -inf)},
    "silu": {(inf,): (nan,), (-inf,): (nan,)},
    "sqrt": {(0.0,): (inf,)},
    "step": {(0.0,): (0.0,), (1.0,): (0.0,)},
    "take": {(1.0, 5.0, 7.0): (0.0, 0.0, 1.0), (2.0, 5.0, 7.0): (0.0, 0.0, 0.0), (nan, 5.0, 7.0): (0.0, 0.0, 0.0)},
    "where": {(0.0, 5.0, 7.0): (0.0, 0.0, 1.0), (-2.0, 5.0, 7.0): (0.0, 1.0, 0.0), (nan, 5.0, 7.0): (0.0, 1.0, 0.0)},
}


@pytest.mark.parametrize("op", [mc.elu, mc.leaky_relu], ids=repr)
def test_zero_is_not_above_zero(op):
    for zero in (0.0, -0.0):
        assert written(op(zero, -1.0)) == written(-zero)
        assert math.isnan(op(zero, inf))


def test_every_convention_is_pinned():
    assert CONVENTIONS.keys() == {name for name, op in OPS.items() if op.smoothness.convention}


def chosen(op, operands, slot):
    """Return whether the partial at `slot` is chosen: it is not what the values of the operation nearby tell.

    This is so where the partial jumps; where it is nan, but the value is not; where the value is nan because of this
    operand, but the partial is not; and at nan, where the partial takes no notice of nan but depends on the operand.
    """

    def partial(x):
        near = [*operands[:slot], x, *operands[slot + 1 :]]
        return op.local_derivatives(op.forward(*near), *near)[slot]

    x, y, here = operands[slot], op.forward(*operands), partial(operands[slot])
    if math.isnan(x):
        return not math.isnan(here) and len({partial(z) for z in (-1.0, 0.5, 2.0)}) > 1
    if math.isnan(y) != math.isnan(here):
        return math.isnan(here) or op.arity == 1
    sides = [partial(x - 1e-9), partial(x + 1e-9)] if math.isfinite(x) and math.isfinite(y) else []
    return any(written(s) != written(here) and s != pytest.approx(here, rel=1e-6, abs=1e-6) for s in sides)


@every_row
def test_a_derivative_that_is_chosen_is_stated(op):
    special = [0.0, -0.0, 0.5, 1.0, -1.0, -2.0, 3.0, inf, -inf, nan]
    found = [
        (operands, slot)
        for operands in product(special, repeat=op.arity or 2)
        for slot in range(op.arity or 2)
        if sum(map(math.isnan, operands)) <= math.isnan(operands[slot]) and chosen(op, operands, slot)
    ]
    assert not found or op.smoothness.convention, found[:5]


def test_the_second_derivative_of_elu_at_0_is_alpha():
    x = Value(0.0)
    [slope] = gradients(mc.elu(x, 0.7), [x], create_graph=True)
    assert gradients(slope, [x]) == [0.7]


@pytest.mark.parametrize("name", CONVENTIONS)
def test_conventions_hold_captured_and_recorded(name):
    for operands, chosen in CONVENTIONS[name].items():
        inputs = [Value(x) for x in operands]
        node = record(OPS[name], tuple(inputs))
        recorded = [g.data for g in gradients(node, inputs, create_graph=True)]
        assert list(node.partials) == pytest.approx(chosen, abs=0, nan_ok=True), operands
        assert recorded == pytest.approx(chosen, abs=0, nan_ok=True), operands


@pytest.mark.parametrize("x", [0.5, 2.0, 1e-100, 1e100, 1e-300, 1.5 * 2.0**-1024])
def test_the_mixed_derivative_of_a_power_is_right_at_exponent_0(x):
    base, exponent = Value(x), Value(0.0)
    [slope] = gradients(base**exponent, [base], create_graph=True)
    assert gradients(slope, [exponent]) == [pytest.approx(1.0 / x, rel=1e-12)]


@pytest.mark.parametrize(("x", "exponent", "gradient"), [(-3.0, 2, -6.0), (0.0, 0, 0.0), (-3.0, 0, 0.0), (0.0, 1, 1.0)])
def test_a_power_with_a_constant_exponent_has_no_nan_on_its_node(x, exponent, gradient):
    base = Value(x)
    node = base**exponent
    node.backward()
    assert (base.grad, node.partials) == (gradient, (gradient, 0.0))
    assert gradients(node, [base], create_graph=True)[0].data == gradient


@pytest.mark.parametrize("exponent", [0.5, 1.0, 3.0])
def test_zero_to_a_positive_power_does_not_move_with_the_exponent(exponent):
    y = Value(exponent)
    node = 0**y
    node.backward()
    assert (node.data, y.grad) == (0.0, 0.0)


# The table is closed under differentiation: a partial is made of rows, and the test runs for those rows too.


@every_row
def test_a_recorded_partial_is_made_of_rows_and_equals_the_float_partial(op):
    rng = random.Random(op.name)
    n = op.arity or 3
    points = [tuple(rng.uniform(-3, 3) for _ in range(n)) for _ in range(40)]
    points += [tuple(rng.uniform(0.05, 0.95) for _ in range(n)) for _ in range(40)]
    for operands in numbered(op, points):
        if inside(op, operands):
            inputs = tuple([Value(x) for x in operands])
            node = record(op, inputs)
            recorded = op.local_derivatives(node, *inputs)
            expected = op.local_derivatives(node.data, *operands)
            assert [written(data(x)) for x in recorded] == [written(x) for x in expected]
            nodes = [node for x in recorded if isinstance(x, Value) for node in topological_order(x)]
            for row, count in {(node.op, len(node.parents)) for node in nodes}:
                assert row in OPS.values() or elementary(Term("", row, tuple(map(Term, "abcd"[:count]))))


# Sums, weights and sequences.


def test_the_derivative_of_a_weight_near_1_is_as_accurate_as_those_of_the_others():
    xs = [-34.76600978836293, -6.268657319773759, -32.93880384424328]
    logits = [Value(x) for x in xs]
    first, largest, last = gradients(mc.softmax(logits)[1], logits)
    with mp.workdps(40):
        shares = [mp.exp(mp.mpf(x) - mp.mpf(xs[1])) for x in xs]
        total = mp.fsum(shares)
        others = (shares[0] + shares[2]) / total
        assert largest == pytest.approx(float(shares[1] / total * others), rel=1e-14, abs=0.0)
        assert [first, last] == pytest.approx(
            [float(-shares[k] * shares[1] / total**2) for k in (0, 2)], rel=1e-14, abs=0
        )


def test_weights_are_those_of_logits_of_any_size_and_of_ties():
    assert mc.softmax([1e308, 1e308, -1e308]) == [0.5, 0.5, 0.0]
    assert mc.softmax([-1e308, -1e308]) == [0.5, 0.5]
    logits = [Value(x) for x in (3.0, 3.0, 3.0, -inf)]
    weights = mc.softmax(logits)
    assert [w.data for w in weights] == [1 / 3, 1 / 3, 1 / 3, 0.0]
    assert gradients(weights[0], logits) == pytest.approx([2 / 9, -1 / 9, -1 / 9, 0.0], rel=1e-15)


def test_dot_takes_long_sequences():
    assert mc.dot([1.0] * 1000, [2.0] * 1000) == 2000


def test_dot_refuses_sequences_of_different_lengths():
    with pytest.raises(ValueError, match=r"dot\(\) needs two sequences of one length, got 2 and 3"):
        mc.dot([1, 2], [1, 2, 3])
    with pytest.raises(ValueError, match="got 3 and 2"):
        mc.dot([1, 2, 3], [1, 2])


@pytest.mark.parametrize("name", ["mean", "softmax", "logsumexp", "take"])
def test_an_empty_sequence_is_refused_where_it_has_no_meaning(name):
    with pytest.raises(ValueError, match=rf"{name}\(\) needs at least one operand"):
        getattr(mc, name)([], *[0] * (name == "take"))


def test_an_infinite_term_beside_an_overflow_is_no_error():
    assert mc.sum([1e308, 1e308, inf]) == inf
    assert math.isnan(mc.sum([1e308, 1e308, inf, -inf]))
    assert mc.dot([1e308, 1e308, inf], [1, 1, -1]) == -inf
    assert mc.sum([1e308, 1e308, -1e308]) == 1e308


def test_sigmoid_far_out_is_0_or_1_with_gradient_0():
    for x, y in ((1000.0, 1.0), (-1000.0, 0.0)):
        v = Value(x)
        s = mc.sigmoid(v)
        s.backward()
        assert (s.data, v.grad) == (y, 0)


def test_sums_may_be_empty_and_have_a_start():
    assert [written(x) for x in (mc.sum([]), mc.dot([], []))] == [written(0.0)] * 2
    assert (mc.sum([1, 2], 10), mc.sum([1, 2], start=10), mc.sum([], 10), mc.dot([], [], 5)) == (13, 13, 10, 5)
    assert mc.sum(x for x in (1, 2)) == 3.0
    start = Value(10.0)
    assert gradients(mc.sum([1, 2], start), [start]) == [1.0]


# `take`: an operand that is chosen by its number.

NO_NUMBERS = [-1.0, 3.0, 1.5, 0.5, 2.0000000000000004, -TINY, 2.0**31, 2.0**32, 2.0**53, 1e300, -1e300, inf, -inf, nan]


def test_take_is_the_operand_with_the_number_and_never_a_neighbour():
    xs = [3.0, -inf, nan]
    for k in (0, 1, 2, -0.0, np.int64(2), True, Fraction(4, 2)):
        assert written(mc.take(xs, k)) == written(xs[int(k)])
    for bad in NO_NUMBERS:
        operands = [Value(x) for x in (3.0, 4.0, 5.0)]
        index = Value(bad)
        y = mc.take(operands, index)
        y.backward()
        assert math.isnan(y.data)
        assert math.isnan(mc.take([3.0, 4.0, 5.0], bad))
        assert [x.grad for x in (index, *operands)] == [0.0] * 4
        assert math.isnan(mc.take.lowerings.formula(bad, 3.0, 4.0, 5.0))


def test_take_passes_its_gradient_to_the_chosen_operand_alone():
    index, xs = Value(1.0), [Value(nan), Value(2.0), Value(inf), Value(1.0)]
    y = mc.take(xs, index) * 3.0
    y.backward()
    assert (y.data, [x.grad for x in xs], index.grad) == (6.0, [0.0, 3.0, 0.0, 0.0], 0.0)
    assert gradients(y, xs) == [0.0, 3.0, 0.0, 0.0]
    assert [g.data for g in gradients(y, xs, create_graph=True)] == [0.0, 3.0, 0.0, 0.0]
    (mc.take(xs, index) * inf).backward()
    assert (index.grad, xs[1].grad) == (0.0, inf)  # the index does not get 0 * inf
    assert not mc.take.propagates_gradient_to(0)
    assert mc.take.propagates_gradient_to(1)


def test_take_has_second_derivatives():
    xs, index = [Value(0.5), Value(2.0)], Value(0.0)
    y = mc.take([x * x * x for x in xs], index + 1.0) * xs[0]
    first = gradients(y, xs, create_graph=True)
    assert [g.data for g in first] == [8.0, 6.0]
    assert [gradients(g, xs) for g in first] == [[0.0, 12.0], [12.0, 6.0]]
    assert gradients(first[1], [index]) == [0.0]


def test_the_recorded_derivative_of_take_follows_another_index():
    x, index = Value(2.0), Value(1.0)
    [slope] = gradients(mc.take([x, x * x, 5.0], index), [x], create_graph=True)
    assert slope.data == 4.0
    program = compile(slope, [x, index])
    assert program.forward([[2.0, 0.0], [2.0, 1.0], [3.0, 1.0], [2.0, 2.0], [2.0, 3.0]]) == [1.0, 4.0, 6.0, 0.0, 0.0]


def test_take_of_rows_is_the_row():
    table = [[Value(3.0 * i + j) for j in range(3)] for i in range(4)]
    for rows in (table, tuple(map(tuple, table))):
        row = mc.take(rows, Value(2.0))
        assert [y.data for y in row] == [6.0, 7.0, 8.0]
        mc.sum(row).backward()
        assert [x.grad for x in table[2]] == [1.0, 1.0, 1.0]
        assert [x.grad for row in (table[0], table[1], table[3]) for x in row] == [0.0] * 9
        mc.sum(row).zero_grad()
    assert mc.take(np.arange(6.0).reshape(3, 2), 1) == [2.0, 3.0]
    assert mc.take([[[1, 2], [3, 4]], [[5, 6], [7, 8]]], 1) == [[5.0, 6.0], [7.0, 8.0]]
    assert mc.take(np.arange(3.0), 1) == mc.take((x for x in range(3)), 1) == mc.take(xs=[0, 1], index=1) == 1.0


def test_what_take_refuses_is_named():
    with pytest.raises(ValueError, match=r"take\(\) needs rows of one length, got 2 and 3"):
        mc.take([[1, 2], [3, 4, 5]], 0)
    for call in (lambda: mc.take([1, [2]], 0), lambda: mc.take([1, 2], "0"), lambda: mc.take([1, 2])):
        with pytest.raises(TypeError):
            call()


# Formulas: rows that are written with other rows, as every other language computes them.

FORMULAS = [op for op in OPS.values() if op.lowerings.formula]
EDGES = [0.0, -0.0, 1.0, -1.0, 0.5, 2.0, -3.0, 1e-20, 5e-324, -700.5, -745.3, 36.5, 1e300, -1e300, inf, -inf, nan]


@pytest.mark.parametrize("op", FORMULAS, ids=lambda op: op.name)
def test_a_formula_computes_what_forward_does(op):
    rng = random.Random(0)
    n = {"dot": 5}.get(op.name, op.arity or 3)
    points = [*product(EDGES, repeat=n)] if n < 5 else []
    points += [[rng.gauss(0.0, rng.choice([1.0, 30.0])) for _ in range(n)] for _ in range(300)]
    for operands in points:
        true, got = op.forward(*operands), op.lowerings.formula(*operands)
        slack = 1e-14 * math.fsum(map(abs, operands)) if op.name == "sum" else 1e-13 if op.name == "dot" else 0.0
        assert got == pytest.approx(true, rel=1e-14, abs=slack, nan_ok=True), operands


def test_a_step_of_logsumexp_has_its_partials():
    rng = random.Random(0)
    for n in (1, 2, 3, 9):
        for _ in range(50):
            xs = [Value(rng.gauss(0.0, rng.choice([1.0, 10.0]))) for _ in range(n)]
            weights = gradients(OPS["logsumexp"].lowerings.formula(*xs), xs)
            assert weights == pytest.approx(mc.softmax([x.data for x in xs]), rel=1e-12), xs


def test_formulas_take_any_number_of_operands_that_their_row_does():
    assert expand(mc.sum) == expand(mc.dot) == 0.0
    assert expand(mc.dot, 5.0) == 5.0
    assert expand(mc.dot, 2.0, 3.0) == 6.0
    assert expand(mc.dot, 2.0, 3.0, 1.0) == 7.0
    assert expand(mc.dot, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 0.5) == 32.5
    assert expand(mc.logsumexp, 7.0) == 7.0


def elementary(term):
    """Return the rows that a formula consists of in the end."""
    found, visited, stack = set(), {}, [term]
    while stack:
        term = stack.pop()
        if not isinstance(term, Term) or term.op is None or id(term) in visited:
            continue
        visited[id(term)] = term  # it stays alive, so no other term gets its id
        if term.op.lowerings.machine:
            found.add(term.op)
            stack += term.operands
        else:
            stack.append(expand(term.op, *term.operands))
    return found


@pytest.mark.parametrize("op", OPS.values(), ids=lambda op: op.name)
def test_every_row_and_its_partials_come_down_to_rows_with_a_machine_form(op):
    operands = [Term(name) for name in "abc"[: op.arity or 3]]
    assert elementary(op(*operands) if op.arity else Term("", op, tuple(operands)))
    for partial in trace(op.local_derivatives, Term("y"), *operands, of=op):
        for row in elementary(partial):
            assert row.lowerings.machine
            assert row.lowerings.javascript
    assert op.lowerings.formula or op.lowerings.summands or op.lowerings.machine
    assert op.lowerings.formula or op.lowerings.summands or op.lowerings.javascript


@pytest.mark.parametrize("examples", [1, pytest.param(50, marks=pytest.mark.slow)])
def test_the_operation_of_cross_entropy_is_right(examples):
    """`log_sum_above(x, *xs)` is logsumexp(xs) - x, with right derivatives, and inf or nan where these are."""
    for xs in ([0.5, -1.0, 0.25], [2.0, 2.0], [30.0, 0.0, -30.0, 1.0]):
        for k, x in enumerate(xs):
            assert log_sum_above(x, *xs) == pytest.approx(mc.logsumexp(xs) - x, rel=1e-14)
            gradcheck(lambda *xs, k=k: log_sum_above(xs[k], *xs), *xs, order=2)
    check_op(log_sum_above, examples=examples)
    assert math.isnan(log_sum_above(1.0, 1.0, math.nan))
    assert log_sum_above(0.0, 0.0, math.inf) == log_sum_above(-math.inf, 0.0, -math.inf) == math.inf


@pytest.mark.parametrize("op", [op for op in OPS.values() if op.lowerings.differentiable], ids=lambda op: op.name)
def test_the_formula_for_libraries_that_differentiate_is_the_operation(op):
    for xs in ((-2.0, 0.75, 1.5), (3.0, 0.25, -1.0)):
        ours, theirs = ([Value(x) for x in xs[: op.arity or 3]] for _ in range(2))
        y, z = record(op, ours), op.lowerings.differentiable(*theirs)
        y.backward()
        z.backward()
        assert [z.data, *(x.grad for x in theirs)] == pytest.approx([y.data, *(x.grad for x in ours)], rel=1e-14)
