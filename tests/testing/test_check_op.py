"""`check_op` finds planted mistakes everywhere, and reports nothing that is right."""

import math
import re
import types

import pytest
from hypothesis import find
from mpmath import mp, mpf

import micrograd_cn as mc
from micrograd_cn import OPS, Op, Value
from micrograd_cn.ops.traits import Lowerings, Smoothness
from micrograd_cn.testing import GradientMismatch, PartlyCompared, check_op, expressions

from ..ops.references import REFERENCES
from .planted import NOISY, PLANTED

# Every row of the table.


SLOW = {"floor", "logsumexp", "remainder", "sum"}  # those that have many kinks or operands take a second or two


@pytest.mark.parametrize("examples", [2, pytest.param(50, marks=pytest.mark.slow)])
@pytest.mark.parametrize(
    "op", [pytest.param(op, id=name, marks=[pytest.mark.thorough] * (name in SLOW)) for name, op in OPS.items()]
)
def test_every_operation_of_the_table_passes_the_battery(op, examples):
    value = REFERENCES[op.name][0]
    with mp.workdps(50):
        check_op(op, lambda *xs: float(value(*map(mpf, xs))), examples)


@pytest.mark.parametrize("op", PLANTED.values(), ids=list(PLANTED))
def test_the_battery_finds_a_planted_mistake(op):
    with pytest.raises(AssertionError, match="bad"):
        check_op(op)


@pytest.mark.parametrize("sign", [1.0, -1.0])
@pytest.mark.parametrize("slot", [0, 1])
def test_derivatives_are_compared_at_both_zeros_whatever_points_are_drawn(sign, slot):
    def wrong_at_zero(x):
        return mc.less(1e308, sign * mc.div(1.0, x))

    partials = [lambda y, a, b: b + 1.0, lambda y, a, b: a]
    right, operand = partials[slot], lambda *xs: xs[slot]
    partials[slot] = lambda y, *xs: right(y, *xs) + wrong_at_zero(operand(*xs))
    op = Op("bad", lambda a, b: a * b + a, tuple(partials))
    with pytest.raises(GradientMismatch, match=r"bad at .*" + ("-0" if sign < 0.0 else "[( ]0") + r"\.0"):
        check_op(op, examples=2)  # the only points that are drawn are two or three


@pytest.mark.parametrize(
    ("op", "message"),
    [
        (
            Op("bad", math.exp, (lambda y, x: y,)),
            r"bad at 1e\+300: bad.forward raised OverflowError: math range error\n",
        ),
        (Op("bad", lambda x: 1, (lambda y, x: 0.0,)), "bad at 0.0: bad.forward gave int 1, not a float"),
        (Op("bad", lambda *xs: math.fsum(xs) if math.inf not in xs else math.inf, lambda y, *xs: (1.0,)), "bad"),
        (
            Op("bad", lambda x: mc.relu(x), (lambda y, x: 2.0 * mc.step(x),), smoothness=Smoothness(kink=lambda x: x)),
            "bad",
        ),
        (
            Op(
                "bad",
                lambda x: mc.abs(x),
                (lambda y, x: 1.0 - 4.0 * mc.less(x, 0.0),),
                smoothness=Smoothness(kink=lambda x: x),
            ),
            "bad",
        ),
        (
            Op(
                "bad",
                lambda x: mc.abs(x),
                (lambda y, x: mc.where(x, mc.step(x) - mc.step(-x), 3.0),),
                smoothness=Smoothness(kink=lambda x: x),
            ),
            "kink",
        ),
        (
            Op("bad", lambda x: mc.sin(x), (lambda y, x: mc.cos(x) if isinstance(x, float) else mc.cos(x) + 1e-3,)),
            "on Values",
        ),
        (
            Op("bad", lambda x: mc.sin(x), (lambda y, x: math.cos(x) if abs(x) < 1e9 else math.nan,)),
            "table's operations",
        ),
        (Op("bad", lambda x: mc.sin(x), (lambda y, x: None,)), "partial 0 of bad gave None, not a number"),
        (Op("bad", lambda x: x * x * x, (lambda y, x: mc.div(3.0 * y, x),)), "partial 0 is nan, inside its domain"),
        (Op("bad", mc.log, (lambda y, x: mc.div(1.0, x),)), "is nan, inside its domain"),
        (Op("bad", lambda x: math.inf, (lambda y, x: 0.0,)), "nowhere in its domain"),
        (Op("bad", lambda *xs: mc.sum(xs), lambda y, *xs: tuple([1.0, 1.0, 1.0, 1.0, 7.0][: len(xs)])), "bad"),
        (
            Op("bad", lambda *xs: mc.sum(xs), lambda y, *xs: (1, 1, 1, -1.0) if len(xs) == 4 else (1.0,) * len(xs)),
            "bad",
        ),
        (Op("bad", lambda x: 1e-23 * x, (lambda y, x: -4e-12,)), "bad"),
        (Op("bad", lambda x: x * x, (lambda y, x: 2.1 * x,), smoothness=Smoothness(domain=((1e-9, 2e-9),))), "bad"),
    ],
)
def test_the_battery_finds_other_mistakes(op, message):
    with pytest.raises(AssertionError, match=message):
        check_op(op)


@pytest.mark.parametrize("factor", [pytest.param(-2.0, marks=pytest.mark.slow), 2.02])
@pytest.mark.parametrize("low", [-49.0, -16.0, -2.0, -1.0, 0.0, 1.0, 2.0, 5.5, 10.0, 66.0])
def test_the_battery_leaves_out_no_part_of_the_domain(low, factor):
    high = low + (1.0 if abs(low) < 3.0 else 10.0)
    between = lambda x: mc.less(low, x) * mc.less(x, high)  # noqa: E731
    op = Op("bad", lambda x: x * x, (lambda y, x: mc.where(between(x), factor * x, 2.0 * x),))
    with pytest.raises(GradientMismatch):
        check_op(op)


@pytest.mark.parametrize(
    ("row", "low", "high"), [(mc.log, 0.0, 0.05), (mc.asin, 0.95, 1.0), (mc.asin, -1.0, -0.95), (mc.sqrt, 0.0, 0.001)]
)
def test_the_battery_looks_near_the_ends_of_the_domain(row, low, high):
    def partial(y, x):
        return mc.where(mc.less(low, x) * mc.less(x, high), 2.0, 1.0) * row.local_derivatives(y, x)[0]

    with pytest.raises(GradientMismatch):
        check_op(Op("bad", lambda x: row(x), (partial,), smoothness=Smoothness(domain=row.smoothness.domain)))


@pytest.mark.parametrize(
    ("forward", "partial"),
    [
        (lambda x: 1e12 * mc.sin(x), lambda y, x: 1e12),
        (lambda x: 1e12 * mc.tanh(x), lambda y, x: 1e12),
        (lambda x: 1.0 + 1e-10 * mc.sin(x), lambda y, x: -1e-10 * mc.cos(x)),
    ],
)
def test_the_battery_compares_large_rows_and_small_slopes(forward, partial):
    with pytest.raises(GradientMismatch):
        check_op(Op("bad", forward, (partial,)))


@pytest.mark.parametrize("share", [0.2, pytest.param(1.0, marks=pytest.mark.slow)])
@pytest.mark.parametrize(
    "op",
    [pytest.param(op, marks=[pytest.mark.slow] if name == "deviation" else []) for name, op in NOISY.items()],
    ids=list(NOISY),
)
def test_the_battery_accepts_what_is_right_but_noisy(op, share):
    check_op(op, examples=int(share * (50 if op.arity == 1 else 20)))


@pytest.mark.parametrize("place", [*(pytest.param(place, marks=pytest.mark.slow) for place in (2.0, 0.3)), -1.7, 4.5])
def test_the_battery_finds_kinks_where_they_are(place):
    def row(at_kink):
        def partial(y, x):
            return mc.where(x - place, mc.step(x - place) - mc.step(place - x), at_kink)

        return Op("bad", lambda x: mc.abs(x - place), (partial,), smoothness=Smoothness(kink=lambda x: x - place))

    check_op(row(0.0), examples=12)
    with pytest.raises(GradientMismatch, match="kink: -1 on the left, 1 on the right"):
        check_op(row(5.0))


@pytest.mark.parametrize(
    "formula", [lambda x: 1.0001 * mc.exp(-x * x), lambda x: mc.where(mc.less_equal(x, 1e300), mc.exp(-x * x), 1.0)]
)
def test_the_battery_compares_machine_code(formula):
    row = Op("bad", lambda x: mc.exp(-x * x), (lambda y, x: -2.0 * x * y,), lowerings=Lowerings(formula=formula))
    with pytest.raises(AssertionError, match="the formula gives"):
        check_op(row)


def test_the_battery_compares_with_the_reference():
    for op, reference in (
        (mc.tanh, lambda x: math.tanh(x) * (1 + 1e-9)),
        (Op("tiny", lambda x: 1e-18 * x, (lambda y, x: 1e-18,)), lambda x: 7e-18 * x),
        (Op("square", lambda x: mc.where(mc.less(x, 0.0), 1e9, x * x), (lambda y, x: 2.0 * x,)), lambda x: x * x),
        (Op("cancelled", lambda x: 1.0 - mc.erf(x), (lambda y, x: -1.1283791670955126 * mc.exp(-x * x),)), math.erfc),
    ):
        with pytest.raises(AssertionError, match="the reference gives"):
            check_op(op, reference)


def test_a_reference_is_compared_to_the_last_bits_of_the_operands_and_to_what_the_row_says_of_itself():
    doubled = Op("own", lambda x: 2.0 * x, (lambda y, x: 2.0,))
    with pytest.raises(AssertionError, match="the reference gives"):
        check_op(doubled, lambda x: 2.0 * x * (1 + 1e-11))
    steep = Op("own", lambda x: mc.sin(20.0 * x), (lambda y, x: 20.0 * mc.cos(20.0 * x),))
    check_op(steep, lambda x: math.sin(20.0 * math.nextafter(x, math.inf)), examples=20)
    stated = Op("own", lambda x: 2.0 * x, (lambda y, x: 2.0,), smoothness=Smoothness(rounding=lambda y, x: (1e6, 0.0)))
    check_op(stated, lambda x: 2.0 * x * (1 + 5e-10), examples=20)
    with pytest.raises(AssertionError, match="the reference gives"):
        check_op(stated, lambda x: 2.0 * x * (1 + 5e-9))


@pytest.mark.thorough
def test_the_battery_accepts_ones_own_rows():
    check_op(Op("bump", lambda x: mc.exp(-x * x), (lambda y, x: -2.0 * x * y,)), reference=lambda x: math.exp(-x * x))
    check_op(
        Op("squares", lambda *xs: mc.sum([x * x for x in xs]), lambda y, *xs: tuple([2.0 * x for x in xs])), examples=6
    )
    of_math = Op("of_math", lambda x: math.atan(x), (lambda y, x: mc.div(1.0, 1.0 + x * x),))  # is not compiled
    check_op(of_math, examples=20)
    check_op(
        Op(
            "branching",
            lambda x: x * x if x >= 0 else -x,
            (lambda y, x: mc.where(mc.less(x, 0.0), -1.0, 2.0 * x),),
            smoothness=Smoothness(kink=lambda x: x),
        ),
        examples=20,
    )


@pytest.mark.slow
def test_domains_far_from_zero_and_narrow_ones_are_drawn_from():
    for low, high in ((10.0, math.inf), (-math.inf, -20.0), (0.0, 0.08)):
        op = Op("far", lambda x: mc.sin(x), (lambda y, x: mc.cos(x),), smoothness=Smoothness(domain=((low, high),)))
        f = find(expressions([op]), lambda f: len(f.steps) == 1)
        assert f.steps[0][1] == (0,) or low < f.steps[0][1][0] < high
        check_op(op)


def test_the_battery_looks_further_than_a_few_units():
    wrong = Op("bad", lambda x: mc.sin(x), (lambda y, x: mc.cos(x) * mc.where(mc.less(x, 4.5), 1.0, -1.0),))
    with pytest.raises(AssertionError, match="bad"):
        check_op(wrong)


def test_the_battery_finds_what_is_wrong_at_a_kink_of_two_operands_alone():
    def partial(i):
        return lambda y, *xs: mc.where(y, mc.div(xs[i], y), 5.0)

    def row(partials):
        return Op("bad", lambda a, b: mc.hypot(a, b), partials, smoothness=Smoothness(kink=math.hypot))

    check_op(row((lambda y, a, b: mc.div(a, y), lambda y, a, b: mc.div(b, y))), examples=12)
    with pytest.raises(GradientMismatch, match=r"bad at \(0\.0, 0\.0\): 2 of 2 derivatives wrong"):
        check_op(row((partial(0), partial(1))))


@pytest.mark.parametrize("low", [-4.0, -3.0, 2.0, 3.0])
def test_the_battery_finds_what_is_wrong_at_second_order_some_way_from_0(low):
    def partial(y, x):
        return 3.0 * x * (x.detach() if isinstance(x, Value) and low < x.data < low + 1.0 else x)

    with pytest.raises(GradientMismatch, match="d2f/dx0/dx0"):
        check_op(Op("bad", lambda x: x * x * x, (partial,)))


def test_the_battery_finds_a_partial_that_differs_on_values_in_a_part_of_the_domain():
    def partial(y, x):
        return mc.cos(x) + (1e-13 if isinstance(x, Value) and 60.0 < x.data < 70.0 else 0.0)

    with pytest.raises(AssertionError, match="on Values"):
        check_op(Op("bad", lambda x: mc.sin(x), (partial,)))


# Rows of many operands.


def slots(partial):
    """Return a sum of squares whose partial in each slot is `partial(slot, operands)`."""
    return Op("bad", lambda *xs: mc.sum([x * x for x in xs]), lambda y, *xs: tuple(partial(xs)))


@pytest.mark.slow
@pytest.mark.parametrize(
    "partial",
    [
        lambda xs: [2.0 * x if i < 5 else 2.02 * x for i, x in enumerate(xs)],
        lambda xs: [2.0 * x if i != 5 else -2.0 * x for i, x in enumerate(xs)],
        lambda xs: [2.0 * x if len(xs) < 7 else 2.02 * x for x in xs],
        lambda xs: [2.0 * x if i < 32 else 0.0 for i, x in enumerate(xs)],
        lambda xs: [2.0 * xs[i - 12 if i == 12 else i] for i in range(len(xs))],
        lambda xs: [2.0 * x + (0.1 if i == 6 else -0.1 if i == 7 else 0.0) for i, x in enumerate(xs)],
        lambda xs: [2.0 * x if x < 50.0 or i < 5 else 2.02 * x for i, x in enumerate(xs)],
    ],
    ids=[
        "from the sixth",
        "the sixth",
        "of seven and more",
        "the last of 33",
        "twelve apart",
        "two that cancel",
        "the sixth, far out",
    ],
)
def test_the_battery_finds_what_is_wrong_with_many_operands_alone(partial):
    with pytest.raises(GradientMismatch):
        check_op(slots(partial))


@pytest.mark.parametrize("slot", [5, *(pytest.param(slot, marks=pytest.mark.slow) for slot in (16, 32))])
def test_the_battery_finds_what_is_wrong_at_second_order_in_one_of_many_operands(slot):
    def partials(xs):
        return [2.0 * (x.detach() if i == slot and isinstance(x, Value) else x) for i, x in enumerate(xs)]

    with pytest.raises(GradientMismatch, match=r"d2f"):
        check_op(slots(partials), examples=12)


def test_a_row_of_many_operands_is_recorded_on_values_and_with_special_ones():
    with pytest.raises(AssertionError, match="on Values"):
        check_op(slots(lambda xs: [2.0 * x + (1e-3 if len(xs) > 8 and isinstance(x, Value) else 0.0) for x in xs]))
    with pytest.raises(AssertionError, match="raised OverflowError"):
        check_op(
            Op("bad", lambda *xs: mc.sum([*xs[:5], *map(cubed, xs[5:6]), *xs[6:]]), lambda y, *xs: (1.0,) * len(xs))
        )


def cubed(x):
    return x**3


@pytest.mark.slow
@pytest.mark.parametrize("arities", [(2,), (4, 8), range(3, 7), (50,), range(1, 1000)])
def test_a_row_is_called_with_the_numbers_of_operands_that_it_takes_alone(arities):
    called = set()

    def forward(*xs):
        called.add(len(xs))
        assert len(xs) in arities
        return mc.sum(xs)

    check_op(Op("own", forward, lambda y, *xs: (1.0,) * len(xs), arities=arities))
    assert called <= set(arities)
    assert called >= {n for n in (1, 2, 3, 4, 5, 6, 9, 17, 33) if n in arities}
    assert called


# Operands that are one value.


@pytest.mark.parametrize("order", [1, 2])
@pytest.mark.parametrize(("i", "j"), [(0, 1), (0, 2), (1, 2)])
def test_the_battery_finds_what_is_wrong_where_two_of_three_operands_are_one_value(i, j, order):
    def first(y, *xs):
        a, b, c = xs
        shared = xs[i] is xs[j] and len({*map(id, xs)}) == 2 and isinstance(a, Value)
        return b * c if not shared else 1.01 * b * c if order == 1 else (b * c).detach()

    partials = (first, lambda y, a, b, c: a * c, lambda y, a, b, c: a * b)
    with pytest.raises(AssertionError, match=f"where operands {i}, {j} are one value, ") as caught:
        check_op(Op("bad", lambda a, b, c: a * b * c, partials))
    assert isinstance(caught.value, GradientMismatch) == (order == 2)
    assert ("one value, partial 0 is " in str(caught.value)) == (order == 1)


def test_the_battery_finds_what_is_wrong_at_second_order_where_all_operands_are_one_value():
    def partials(y, *xs):
        shared = len(xs) > 1 and all(x is xs[0] for x in xs) and isinstance(xs[0], Value)
        return tuple([2.0 * (x.detach() if shared else x) for x in xs])

    for row in (
        Op("bad", lambda *xs: mc.sum([x * x for x in xs]), partials),
        Op("bad", lambda a, b: a * a + b * b, tuple([lambda y, a, b, i=i: partials(y, a, b)[i] for i in range(2)])),
    ):
        with pytest.raises(GradientMismatch, match=r"d2f/dx0/dx0"):
            check_op(row)


@pytest.mark.parametrize("interval", [(-math.inf, math.inf), (0.0, 0.08), (10.0, math.inf)])
def test_operands_are_one_value_in_narrow_and_far_domains_too(interval):
    def first(y, a, b):
        return b.detach() if a is b and isinstance(b, Value) else b

    row = Op("bad", lambda a, b: a * b, (first, lambda y, a, b: a), smoothness=Smoothness(domain=(interval, interval)))
    with pytest.raises(GradientMismatch, match="where operands 0, 1 are one value, "):
        check_op(row)


def test_operands_are_not_one_value_outside_a_domain_or_at_a_kink():
    outside = Op(  # right where it is said to be smooth
        "own",
        lambda a, b: a * mc.abs(b),
        (lambda y, a, b: mc.abs(b), lambda y, a, b: a),
        smoothness=Smoothness(domain=((-math.inf, math.inf), (0.0, math.inf))),
    )
    check_op(outside, examples=20)
    at_a_tie = Op(  # each partial is that of one side
        "own",
        lambda a, b: mc.maximum(a, b),
        (lambda y, a, b: mc.less_equal(b, a), lambda y, a, b: mc.less_equal(a, b)),
        smoothness=Smoothness(kink=lambda a, b: a - b),
    )
    check_op(at_a_tie, examples=20)


# What is not the derivative's fault.


@pytest.mark.parametrize("edges", [1, 3])
def test_the_battery_counts_the_edges_of_the_picture(edges, monkeypatch):
    drawing = types.SimpleNamespace(source="a -> b\n" * edges)
    monkeypatch.setattr("micrograd_cn.picture.draw_dot", lambda root: drawing)
    with pytest.raises(
        AssertionError, match=f"^check_op of mul: with 2 operands it is drawn with {edges} edges"
    ) as caught:
        check_op(mc.mul)
    code = str(caught.value).rpartition("\n\n")[2]
    assert "micrograd_cn import Value, draw_dot\nfrom micrograd_cn import mul" in code
    exec(code, {})


def test_a_rows_own_rounding_is_no_reason_to_pass():
    row = Op("bad", lambda x: x * x, (lambda y, x: 2.02 * x,), smoothness=Smoothness(rounding=lambda y, x: (1.0, 1.0)))
    with pytest.raises(GradientMismatch):
        check_op(row)


def test_a_derivative_that_could_not_be_compared_is_told_and_others_are_compared():
    def row(slope):
        partials = lambda y, a, b: slope, lambda y, a, b: 1e17 * mc.cos(1e17 * b)
        return Op("own", lambda a, b: a + mc.sin(1e17 * b), partials)

    with pytest.warns(PartlyCompared) as caught:
        check_op(row(1.0), examples=20)
    [told] = caught
    assert told.filename == __file__
    assert re.match(
        r"check_op of own: at \d+ points some derivatives could not be compared, first by gradcheck",
        str(told.message),
    )
    assert re.search(r"^not compared +df/dx1 .* too noisy to tell", str(told.message), flags=re.MULTILINE)
    with pytest.raises(GradientMismatch, match=r"WRONG +df/dx0"):
        check_op(row(1.1))


def test_what_is_raised_by_ones_own_assertion_is_blamed_on_it():
    def forward(x):
        assert x < 1e9, "too large"
        return x

    with pytest.raises(AssertionError, match=r"own at 1e\+300: own.forward raised AssertionError: too large"):
        check_op(Op("own", forward, (lambda y, x: 1.0,)))


@pytest.mark.thorough
def test_a_row_that_chooses_is_called_with_the_numbers_of_operands_that_it_takes_alone():
    called = set()

    def forward(*xs):
        called.add(len(xs))
        return mc.take(list(xs[1:]), xs[0]) if isinstance(xs[0], Value) else OPS["take"].forward(*xs)

    row = OPS["take"]
    check_op(
        Op(
            "own",
            forward,
            row.partials,
            arities=(3, 5),
            lowerings=Lowerings(is_gather=True),
            smoothness=row.smoothness,
        ),
        examples=5,
    )
    assert called == {3, 5}


def test_a_function_that_is_no_operation_is_refused_with_what_to_write():
    with pytest.raises(TypeError, match=r"sin is no operation of micrograd_cn.*gradcheck\(sin, x, gradient=df\)"):
        check_op(math.sin)
