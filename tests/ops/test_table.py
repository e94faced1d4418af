"""Every row of the operation table is accurate, total, closed under differentiation, and usable by its name."""

import copy
import math
import pickle
import random
import subprocess
import sys
from decimal import Decimal
from fractions import Fraction
from itertools import product
from math import inf, nan

import numpy as np
import pytest
from mpmath import mp, mpf

import micrograd_cn as mc
from micrograd_cn import OPS, Op, Value, define, gradients
from micrograd_cn.compiler import compile  # noqa: A004 -- the field's name
from micrograd_cn.engine import record, topological_order
from micrograd_cn.ops.traits import Smoothness
from micrograd_cn.text.formula import FormulaError, Term, expand, trace

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
    """Return the float to the bit, all nan alike."""
    return float(x).hex()


def data(x):
    return x.data if isinstance(x, Value) else x


def inside(op, operands):
    domain = op.smoothness.domain if op.arity else op.smoothness.domain * len(operands)
    return all(low < x < high for x, (low, high) in zip(operands, domain, strict=True))


# Accuracy. Overflow counts as 2**1024, the first power of two that is out of range.

OVERFLOW = mpf(2) ** 1024


def error(got, true, slack):
    """Return the error in units of what is allowed: 4 ulp, or 1e-15 and what the row states on top."""
    if math.isfinite(got) and got == float(true):  # to within 1 ulp; quicker, and true of most
        return 0
    true = max(-OVERFLOW, min(mpf(true), OVERFLOW))
    if 0 < abs(true) < TINY:  # it underflows, whatever the row states
        slack = 0.0
    if slack == inf:  # an intermediate result overflows
        return 0
    if math.isnan(got):
        return mp.inf
    got = mp.sign(got) * OVERFLOW if math.isinf(got) else mpf(got)
    ulp = math.ulp(max(-LARGEST, min(float(true), LARGEST)))
    return abs(got - true) / max(4 * mpf(ulp), mpf(1e-15) * (1 + mpf(slack)) * abs(true))


def mistakes(op, points):
    """Return what is not accurate at the points, the worst first."""
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
        for slot, (g, t, s) in enumerate(zip(got, true, slack, strict=False), -1):  # no partials at a kink
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


@pytest.mark.parametrize("share", [0.3, pytest.param(1.0, marks=pytest.mark.slow)])
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


# What a row states of itself: the errors it allows, where it is not smooth, and where it ends.

SMALL = 2.0**-1030  # is rounded to 2**-1074, 256 times as coarse as 2**-1022, the smallest that is not subnormal
LOST = 38 * 2.0**-1022 / 1.0964627734e-314  # gelu(-38) is 38 times a probability, which is subnormal

ROUNDINGS = {  # operands, and the condition number of the value and of each partial; 2**-1022/x where x is subnormal
    "div": {(3.0, 2.0): (0, 0, 0), (SMALL, 1.0): (0, 0, 256)},
    "pow": {
        (2.0, 10.0): (0, 9 * math.log(2), 0),
        (2.0, -1030.0): (0, 1031 * math.log(2) + 512, 256),
        (2.0, 1024.5): (0, 1023.5 * math.log(2), inf),
        (2.0, 1026.0): (0, inf, inf),
    },
    "atan2": {(3 * SMALL, 4 * SMALL): (0, 102.4, 102.4), (1.0, SMALL): (0, 256, 0), (SMALL, 1.0): (0, 0, 256)},
    "hypot": {(3.0, 4.0): (0, 0, 0), (0.0, SMALL): (0, 256, 256), (LARGEST, LARGEST): (0, inf, inf)},
    "elu": {(-1.0, 2.0): (0, 0, 0), (-720.0, 2.0): (0, 2.0**-1022 * math.exp(360) * math.exp(360), 0)},
    "gelu": {(1.0,): (1, 2), (-1.0,): (1, 9.6170849333187672917), (-38.0,): (1444 + LOST, 1447.0013869547 + LOST)},
    "silu": {
        (1.0,): (0, 2 / (1 + mc.sigmoid(-1))),
        (-1.0,): (0, 2 / (1 - mc.sigmoid(1))),
        (-2.0,): (0, 3 / (2 * mc.sigmoid(2) - 1)),
    },
    "erf": {(3.0,): (0, 9)},
    "erfc": {(3.0,): (0, 9)},
    "dot": {
        (1.0, 2.0, 3.0, -4.0): (11 / 5, 0, 0, 0, 0),
        (1.0, 2.0, 10.0): (2 / 12, 0, 0, 0),
        (0.0, 1.0): (0, 0, 0),
        (1e200, 1e200): (inf, 0, 0),
        (1e154, 1e154, 1e154, 1e154): (inf, 0, 0, 0, 0),
    },
    "logsumexp": {
        (0.0,): (0, 1),
        (1.0, 0.0): (0.9662517633998878, 1.5822031088882178, 2.582203108888218),
        (-3.0, -1.0, 2.0): (1.057553853318732, 6.228242789563351, 4.228242789563351, 1.2282427895633514),
    },
}


def test_stated_errors_are_the_condition_numbers():
    assert ROUNDINGS.keys() == {name for name, op in OPS.items() if op.smoothness.rounding}
    for name, points in ROUNDINGS.items():
        for operands, stated in points.items():
            got = OPS[name].smoothness.rounding(OPS[name].forward(*operands), *operands)
            assert got == pytest.approx(stated, rel=1e-8, abs=1e-8), (name, operands)
    assert OPS["div"].smoothness.rounding(0.0, TINY, 4.0) == (0, 0, 1e15), (
        "of a result that underflows to 0 nothing is left"
    )


KINKS = {
    "equal": lambda a, b: a == b,
    "abs": lambda x: x == 0,
    "atan2": lambda y, x: y == 0 and x <= 0,
    "div": lambda a, b: b == 0,
    "elu": lambda x, alpha: x == 0,
    "hypot": lambda x, y: x == 0 and y == 0,
    "leaky_relu": lambda x, slope: x == 0,
    "less": lambda a, b: a == b,
    "less_equal": lambda a, b: a == b,
    "maximum": lambda a, b: a == b,
    "minimum": lambda a, b: a == b,
    "relu": lambda x: x == 0,
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
MORE_ACCURATE = {("log1p", (TINY,)), ("log1p", (-TINY,))}  # PyTorch: 0


def test_every_row_is_compared_with_pytorch():
    assert {*PYTORCH_UNARY, *PYTORCH_BINARY, *PYTORCH_LISTS} == OPS.keys() - NO_COUNTERPART


@pytest.mark.parametrize("name", [name for name in OPS if name not in NO_COUNTERPART])
def test_special_values_are_those_of_pytorch(name):
    op = OPS[name]
    for operands, value, partials in pytorch(name):
        full = op.signature(*operands) if op.signature and op.unary else operands
        y = op.forward(*full)
        if (name, operands) not in MORE_ACCURATE:
            assert written(y) == written(value) or y == pytest.approx(value, rel=1e-15, abs=0) != 0, operands
        got = op.local_derivatives(y, *full)[: len(partials)]
        assert list(got) == pytest.approx(partials, rel=1e-15, abs=0, nan_ok=True), operands


# Conventions: operands, and the partials chosen there.

CONVENTIONS = {
    "equal": {(1.0, 1.0): (0.0, 0.0), (1.0, 2.0): (0.0, 0.0)},
    "abs": {(0.0,): (0.0,)},
    "atan2": {(0.0, 0.0): (0.0, 0.0)},
    "elu": {(0.0, 0.7): (0.7, 0.0)},
    "hypot": {(0.0, 0.0): (nan, nan)},
    "leaky_relu": {(0.0, 0.2): (0.2, 0.0)},
    "less": {(1.0, 1.0): (0.0, 0.0), (1.0, 2.0): (0.0, 0.0)},
    "less_equal": {(1.0, 1.0): (0.0, 0.0), (1.0, 2.0): (0.0, 0.0)},
    "maximum": {(2.0, 2.0): (0.5, 0.5), (0.0, -0.0): (0.5, 0.5)},
    "minimum": {(2.0, 2.0): (0.5, 0.5), (0.0, -0.0): (0.5, 0.5)},
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
    "relu": {(0.0,): (0.0,)},
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


# The table is closed under differentiation. Every row is a case, so a row that a derivative reaches is one too.


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


# A user's own rows.


def cube():
    return Op("cube", lambda x: x * x * x, (lambda y, x: 3.0 * x * x,), doc="x cubed.")


def test_a_users_operation_is_a_full_row(table):
    op = define(cube())
    assert table["cube"] is op
    for row in OPS.values():
        assert row.__doc__ == row.doc + f"\n\nBy convention: {row.smoothness.convention}." * bool(
            row.smoothness.convention
        )
    assert (op.__doc__, op.notation.symbol, repr(op), op.unary) == ("x cubed.", "cube", "<operation cube>", True)
    assert (op(2), op.text("x")) == (8.0, "cube(x)")
    x = Value(2.0)
    y = op(x)
    y.backward()
    assert (y.data, x.grad, y.op) == (8.0, 12.0, op)
    [first] = gradients(y, [x], create_graph=True)
    [second] = gradients(first, [x], create_graph=True)
    assert (first.data, second.data, gradients(second, [x])) == (12.0, 12.0, [6.0])


def test_a_users_operation_may_have_defaults():
    partials = (lambda y, x, k: k, lambda y, x, k: x)
    scaled = Op("scaled", lambda x, k: x * k, partials, signature=lambda x, factor=2.0: (x, factor))
    x, k = Value(3.0), Value(5.0)
    assert (scaled(3), scaled(3, factor=4), scaled.text("x", "k"), scaled.unary) == (6.0, 12.0, "scaled(x, k)", True)
    three = ((lambda y, a, b, c: 1.0),) * 3
    for signature, unary in ((lambda a, b=1.0, c=2.0: (a, b, c), True), (lambda a, b, c=2.0: (a, b, c), False)):
        assert Op("three", lambda a, b, c: a + b + c, three, signature=signature).unary is unary
    assert gradients(scaled(x), [x]) == [2.0]
    first = gradients(scaled(x, k), [x, k], create_graph=True)
    assert ([g.data for g in first], gradients(first[0], [k])) == ([5.0, 3.0], [1.0])


def test_a_users_operation_may_have_any_number_of_operands():
    squares = Op("squares", lambda *xs: math.fsum(x * x for x in xs), lambda y, *xs: tuple([2.0 * x for x in xs]))
    xs = [Value(x) for x in (1.0, 2.0, 3.0)]
    y = squares(*xs)
    y.backward()
    assert (squares(1, 2), y.data, [x.grad for x in xs]) == (5.0, 14.0, [2.0, 4.0, 6.0])
    [first] = gradients(y, [xs[2]], create_graph=True)
    assert (first.data, gradients(first, [xs[2]]), squares.text("a", "b")) == (6.0, [2.0], "squares(a, b)")


def test_a_users_operation_may_have_hundreds_of_operands():
    wide = Op(
        "wide",
        lambda *xs: math.fsum(xs),
        (lambda y, *xs: 1.0,) * 300,
        smoothness=Smoothness(domain=((-1.0, 1.0),) * 300),
    )
    node = wide(*[Value(0.5) for _ in range(300)])
    assert (wide(*[0.5] * 300), node.data, node.partials) == (150.0, 150.0, (1.0,) * 300)


def test_define_refuses_a_taken_name_and_what_is_no_operation(table):
    define(cube())
    with pytest.raises(ValueError, match="'cube' is already defined"):
        define(cube())
    with pytest.raises(TypeError, match="takes an Op, got function"):
        define(lambda x: x)


def test_a_row_is_copied_as_itself_and_pickled_if_it_is_in_the_table():
    for op in (mc.tanh, cube(), Op("tanh", math.tanh, (lambda y, x: 1.0 - y * y,))):
        assert copy.copy(op) is copy.deepcopy([op])[0] is op
        if op is not mc.tanh:
            with pytest.raises(TypeError, match=rf"cannot pickle the operation '{op.name}'.*define\(\) it"):
                pickle.dumps(op)


def test_a_row_that_is_not_defined_where_it_is_unpickled_is_named(table):
    pickled = pickle.dumps(define(cube()))
    del table["cube"]
    with pytest.raises(LookupError, match=r"the operation 'cube' was pickled but is not in the table.*define\(\) it"):
        pickle.loads(pickled)


def test_a_row_is_unpickled_where_nothing_is_imported_yet():
    code = f"import pickle; print(pickle.loads({pickle.dumps(mc.tanh)!r})(0.0))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "0.0\n"


@pytest.mark.parametrize(
    ("arguments", "exception", "message"),
    [
        ((3, abs, (abs,)), TypeError, "name must be a str, got 3"),
        (("two words", abs, (abs,)), ValueError, "must be an identifier, got 'two words'"),
        (("", abs, (abs,)), ValueError, "must be an identifier, got ''"),
        (("lambda", abs, (abs,)), ValueError, "must be an identifier, got 'lambda'"),
        (("bad", 5, (abs,)), TypeError, "bad: forward must be a function, got 5"),
        (("bad", abs, ()), TypeError, r"bad: partials must be .*, got \(\)"),
        (("bad", abs, (abs, 7)), TypeError, "bad: partials must be .* 7"),
        (("bad", abs, [abs]), TypeError, "bad: partials must be "),
        (("bad", abs, None), TypeError, "bad: partials must be .*None"),
    ],
)
def test_a_malformed_row_is_refused(arguments, exception, message):
    with pytest.raises(exception, match=message):
        Op(*arguments)


def test_a_domain_has_an_interval_for_each_partial():
    with pytest.raises(ValueError, match="bad: 1 partials but 2 domain intervals"):
        Op("bad", abs, (abs,), smoothness=Smoothness(domain=((0.0, 1.0), (0.0, 1.0))))
    with pytest.raises(ValueError, match="bad: 2 partials but 1 domain intervals"):
        Op("bad", max, (max, max), smoothness=Smoothness(domain=((0.0, 1.0),)))


# Calls.


def interior_call(op, wrap):
    """Return the call's result at an interior point."""
    operands = [wrap(x) for x in (0.25, 0.5, 0.75)[: op.arity]]
    if op.name == "dot":
        return op(operands, operands)
    if op.lowerings.is_gather:
        return op(operands, 1)
    return op(*operands) if op.arity else op(operands)


@every_row
def test_numbers_give_a_float_and_values_a_value(op):
    number = interior_call(op, float)
    assert type(number) is float
    for exact in (interior_call(op, Fraction), interior_call(op, Decimal), interior_call(op, np.float32)):
        assert (type(exact), exact) == (float, number)
    node = interior_call(op, Value)
    assert (type(node), node.data, node.op) == (Value, number, op)


def test_a_value_beside_numbers_gives_a_value():
    x = Value(2.0)
    for node in (mc.add(1, x), mc.add(x, 1), mc.sum([1, x]), mc.sum([1], x), mc.dot([1], [3], x), mc.where(0, 1, x)):
        assert isinstance(node, Value)
    assert isinstance(mc.mean([1, x]), Value)
    assert [type(p) for p in mc.softmax([1, x])] == [Value, Value]


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


@pytest.mark.parametrize("op", [op for op in OPS.values() if op.arity and not op.signature], ids=repr)
def test_a_wrong_number_of_operands_is_refused(op):
    for wrap, n in product((int, float, Value), {0, op.arity - 1, op.arity + 1}):
        with pytest.raises(TypeError, match=rf"^{op.name}\(\) takes {op.arity} operands, got {n}$"):
            op(*[wrap(1)] * n)


@pytest.mark.parametrize(
    ("arities", "taken", "words"),
    [
        ((), (0, 1, 2, 9), None),
        ((3,), (3,), "3"),
        ((2, 4), (2, 4), "2 or 4"),
        (range(2, 5), (2, 3, 4), "2 to 4"),
        (range(2, sys.maxsize), (2, 3, 4, 5, 9), "at least 2"),
    ],
)
def test_an_n_ary_row_says_how_many_operands_it_takes(arities, taken, words):
    op = Op("own", lambda *xs: math.fsum(xs), lambda y, *xs: (1.0,) * len(xs), arities=arities)
    for wrap, n in product((int, float, Value), {0, 1, 2, 3, 4, 5, 9}):
        if n in taken:
            result = op(*[wrap(1)] * n)
            assert getattr(result, "data", result) == n
        elif words:
            with pytest.raises(TypeError, match=rf"^own\(\) takes {words} operands, got {n}$"):
                op(*[wrap(1)] * n)
    assert mc.mul.arities == (2,)


def test_a_row_does_not_say_twice_how_many_operands_it_takes():
    with pytest.raises(ValueError, match=r"^bad: arities are .* of an n-ary operation alone; got \(2,\)"):
        Op("bad", abs, (abs,), arities=(2,))
    with pytest.raises(ValueError, match=r"^bad: arities are numbers of operands, .* got \(-1, 2\)"):
        Op("bad", abs, abs, arities=(-1, 2))


def test_an_unknown_keyword_is_refused():
    with pytest.raises(TypeError, match=r"tanh\(\) takes no keyword arguments, got base"):
        mc.tanh(1.0, base=2)
    with pytest.raises(TypeError, match=r"elu\(\): .*beta"):
        mc.elu(1.0, beta=2)


@pytest.mark.parametrize("op", [mc.elu, mc.leaky_relu], ids=repr)
def test_a_wrong_number_of_arguments_is_refused(op):
    for arguments in ((), (1.0, 2.0, 3.0)):
        with pytest.raises(TypeError, match=rf"^{op.name}\(\): .*argument"):
            op(*arguments)


@pytest.mark.parametrize(
    ("x", "message"),
    [
        ("1", r"the str '1'; convert it with float\(\)"),
        (b"1", r"the bytes b'1'; convert it with float\(\)"),
        (None, "NoneType"),
        (1j, r"the complex 1j; use its \.real"),
        (np.complex128(1), r"the complex .*; use its \.real"),
        ([1.0], "list"),
        ((1.0,), "tuple"),
        (np.ones(1), "the sequence ndarray; use one element"),
        (np.ones(2), "the sequence ndarray; use one element"),
    ],
    ids=repr,
)
def test_what_is_no_real_number_is_refused_by_its_type(x, message):
    for call in (mc.tanh, lambda x: mc.add(1.0, x), lambda x: mc.mul(Value(1), x), lambda x: mc.sum([x, 1])):
        with pytest.raises(TypeError, match=rf"expected (a|one) real number, got {message}"):
            call(x)


@pytest.mark.parametrize("x", [3, True, Fraction(3, 2), Decimal("1.5"), np.float32(1.5), np.int64(3), np.array(1.5)])
def test_every_real_number_is_an_operand(x):
    assert (type(mc.neg(x)), mc.neg(x), mc.add(Value(1), x).data) == (float, -float(x), 1 + float(x))


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


# An operand by its number.

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
    assert (index.grad, xs[1].grad) == (0.0, inf)  # no 0 * inf goes to the index
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


# Notation.


@every_row
def test_text_is_python_for_the_call(op):
    for n in [op.arity] if op.arity else [n for n in (1, 2, 3) if n in op.arities]:
        operands = {
            name: Value(x) for name, x in zip("abc", (0.0 if op.lowerings.is_gather else 0.4, 0.3, 0.7), strict=True)
        }
        names = list(operands)[:n]
        node = eval(op.text(*names), {**OPS}, operands)
        assert node.op is op
        assert node.data == op.forward(*[operands[name].data for name in names])


# Other languages


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
    if not isinstance(term, Term) or term.op is None:
        return set()
    if term.op.lowerings.machine:
        return {term.op}.union(*map(elementary, term.operands))
    return elementary(expand(term.op, *term.operands))


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


def test_a_formula_is_traced_without_numbers():
    x = Term("x")
    assert str(2.0 * x - (x / 3.0) ** -x) == "sub(mul(2.0, x), pow(div(x, 3.0), neg(x)))"
    assert str(2.0**x + abs(1.0 - x) + 1.0 / x + (1.0 + x)) == (
        "add(add(add(pow(2.0, x), abs(sub(1.0, x))), div(1.0, x)), add(1.0, x))"
    )
    assert str(expand(mc.Op("cube", lambda x: x * x * x, (lambda y, x: 3.0 * x * x,)), x)) == "mul(mul(x, x), x)"


@pytest.mark.parametrize(
    "forward",
    [
        math.sin,
        lambda x: float(x.is_integer()),
        lambda x: x if x > 0.0 else 0.0,
        lambda x: 1.0 if x == 0.0 else x,
        lambda x: x and 1.0,
    ],
)
def test_what_is_no_formula_is_refused_with_the_rows_name(forward):
    with pytest.raises(FormulaError, match="odd_one"):
        expand(mc.Op("odd_one", forward, (lambda y, x: 1.0,)), Term("x"))
