"""Every check that an operation of the table, or one of your own, should pass."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Sequence
from functools import partial
from itertools import combinations, cycle
from typing import Any

from ..engine import Value, record
from ..gradients import gradients
from ..operation import Op
from . import forms
from .failures import Point, blamed, failed
from .gradcheck import GradientMismatch, NothingCompared, PartlyCompared, gradcheck
from .points import FAR, MANY, MORE, PRIMES, REACH, counts, domain, kinks, near_ends, simplest, special, spread
from .strategies import MARGIN, _floats, _is_smooth, _st, inside

LARGE = 1e6  # a value or partial beyond which the second derivative is not compared
LONG = 6  # so many operands have their second derivatives compared together, along one direction
LOCAL = "y = OP.forward(XS)\nprint(y, OP.local(y, XS))"
RECORDED = """\
from micrograd_cn.engine import Value, record
xs = [Value(x) for x in (XS,)]
y = record(OP, xs)
print(y, y.partials, OP.local(y, *xs))"""
COMPARED = """\
from micrograd_cn.engine import record
from micrograd_cn.testing import gradcheck
gradcheck(lambda *xs: record(OP, xs), XS, order=ORDER)"""
SHARED = """\
from micrograd_cn.engine import record
from micrograd_cn.testing import gradcheck
gradcheck(lambda x: record(OP, [OPERANDS]), XS, order=2)"""
ALONG = """\
from micrograd_cn.engine import record
from micrograd_cn.testing import gradcheck
xs = [XS]
us = DIRECTION
gradcheck(lambda t: record(OP, [x + u * t for x, u in zip(xs, us)]), 0.0, order=2)"""

Reference = Callable[..., float] | None


def check_op(op: Op, reference: Reference = None, examples: int = 50) -> dict[str, str]:
    """Check one operation: values, derivatives to second order, kinks, special values, sharing, picture, other forms.

    In turn: no float, special ones included, makes it raise; on `Value`s it gives the numbers that it gives on floats,
    and so do its partials, to the bit; partials left out for constants change no other; at kinks the derivative is nan,
    or between those of the two sides; the picture has an edge an operand; over the domain, up to 100 from 0 or from its
    near end, and close to its ends, no value is nan and derivatives agree with numerical ones, near 0 to second order,
    also where one value is several operands. An n-ary row is given up to 33 operands. At all these points the row's
    formula, its summands, its JavaScript (run by Node.js or the package quickjs), its machine code (by llvmlite) and
    its numpy form give the row's values, the second and third of these languages also its partials.

    What it cannot see: a mistake between the points, of which there are some hundreds; one beyond 100; a mistake of the
    third order; and where a value is lost in rounding, a derivative.

    Args:
        op: the row.
        reference: the same function from an independent source, on floats; compared to 1e-12 relative, or to what the
            last bits of the operands and the row's own `rounding` make of it.
        examples: how many points to try to second order: two thirds are spread over the domain, the others drawn.

    Returns:
        Which of the forms could not be compared, and why: what runs it is not installed, or the row is not written in
        the table's operations.

    Raises:
        AssertionError: it says which check failed, at which operands, as simple ones as were found, and has code that
            shows it; a `GradientMismatch` where a derivative differs.
        ImportError: hypothesis is missing.

    >>> from micrograd_cn import tanh
    >>> not_compared = check_op(tanh, reference=lambda x: math.expm1(2 * x) / (math.expm1(2 * x) + 2))
    """
    __tracebackhide__ = True
    try:
        return _check(op, reference, examples)
    except AssertionError as error:
        failure = error
    raise type(failure)(*failure.args)  # a new one, without the frames that led to it


def _check(op: Op, reference: Reference, examples: int) -> dict[str, str]:
    looked_at = list(special(op))
    for xs in looked_at:
        _check_recording(op, xs, *_evaluated(op, xs))
    if op.kink is not None:
        _check_kinks(op, op.kink)
    _check_picture(op)
    looked_at += _over_the_domain(op, reference, examples)
    return forms.compare(op, looked_at)


def _named(op: Op) -> Callable[..., Value]:
    """Return the operation as a function of `Value`s that failures call by its name."""

    def apply(*operands: Value) -> Value:
        return record(op, operands)

    apply.__name__ = op.name
    return apply


def _same(a: float, b: float) -> bool:
    return a == b or (a != a and b != b)


def _evaluated(op: Op, xs: Point) -> tuple[float, tuple[float, ...]]:
    """Return the value and the partials; both must be floats, whatever the operands."""
    with blamed(op, xs, f"{op.name}.forward", "OP.forward(XS)"):
        y: object = op.forward(*xs)
    if not isinstance(y, float):
        raise failed(op, xs, f"{op.name}.forward gave {type(y).__name__} {y!r}, not a float", "OP.forward(XS)")
    again = op.forward(*xs)
    if not _same(y, again):
        raise failed(op, xs, f"{op.name}.forward gave {y}, then {again}: it is not a function", "OP.forward(XS)")
    if isinstance(op.partials, tuple):
        partials: Any = tuple([_partial(op, slot, y, xs) for slot in range(len(xs))])
    else:
        with blamed(op, xs, f"the function of {op.name}'s partials", LOCAL):
            partials = op.local(y, *xs)
        if not isinstance(partials, tuple) or len(partials) != len(xs):
            found = f"{len(partials)} partials" if isinstance(partials, tuple) else f"no tuple but {partials!r}"
            raise failed(op, xs, f"{op.name} has {len(xs)} operands, the function of its partials gave {found}", LOCAL)
    for slot, p in enumerate(partials):
        if not isinstance(p, (float, int)):
            raise failed(op, xs, f"partial {slot} of {op.name} gave {p!r}, not a number", LOCAL)
    return y, partials


def _partial(op: Op, slot: int, y: float, xs: Point) -> Any:
    function = op.partials[slot]  # type: ignore[index]
    if function is None:
        return 0.0
    with blamed(op, xs, f"partial {slot} of {op.name}", LOCAL):
        return function(y, *xs)


def _check_recording(op: Op, xs: Point, y: float, partials: Sequence[float]) -> None:
    """Compare what is recorded with `Value`s, constants among them, with what floats gave."""
    inputs = tuple([Value(x) for x in xs])
    node = record(op, inputs)
    with blamed(op, xs, f"the partials of {op.name}, which must be written with the table's operations,", RECORDED):
        symbolic = op.local(node, *inputs)
    for slot, (p, q, r) in enumerate(zip(partials, node.partials, symbolic, strict=True)):
        r = r.data if isinstance(r, Value) else r
        if not (_same(p, q) and (_same(p, r) or math.isnan(p) or math.isnan(r))):
            raise failed(op, xs, f"partial {slot} is {p} on floats, {q} when recorded, {r} on Values", RECORDED)
        alone = op.needed(y, xs, [i == slot for i in range(len(xs))])[slot] if op.flows(slot) else 0.0
        if not _same(alone, p):
            raise failed(op, xs, f"partial {slot} is {p}, but {alone} when it alone is needed", RECORDED)


def _check_kinks(op: Op, kink: Callable[..., float]) -> None:
    def blaming(*xs: float) -> float:
        with blamed(op, xs, f"the kink of {op.name}", "OP.kink(XS)"):
            return kink(*xs)

    for xs in kinks(op, blaming):
        if not any(map(math.isnan, _evaluated(op, xs)[1])):
            _compare_derivatives(op, xs, 1)  # nothing is compared at a jump or a pole: any derivative is a convention


def _check_picture(op: Op) -> None:
    from ..picture import draw_dot

    for count in counts(op):
        edges = draw_dot(record(op, (Value(0.5, "x"),) * count)).source.count("->")
        if edges != count:
            code = f"from micrograd_cn import Value, draw_dot\ndraw_dot(OP(*[Value(0.5)] * {count}))"
            raise failed(op, (), f"with {count} operands it is drawn with {edges} edges", code)


def _compare_derivatives(op: Op, xs: Point, order: int) -> bool:
    """Compare the derivatives at a point with numerical ones; return whether any could be compared."""
    name = _named(op)
    code = COMPARED.replace(", order=ORDER", f", order={order}" if order > 1 else "")
    return _compared(op, xs, lambda: gradcheck(name, *xs, order=order), code)


def _compared(op: Op, xs: Point, check: Callable[[], None], code: str) -> bool:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", PartlyCompared)
        try:
            check()
        except NothingCompared:
            return False
        except GradientMismatch as error:
            title, *table = str(error).splitlines()
            raise failed(op, xs, title.rpartition(": ")[2], code, table, GradientMismatch) from None
    return True


def _over_the_domain(op: Op, reference: Reference, examples: int) -> list[Point]:
    """Check points spread evenly, so that no part is left out, and points drawn; return them."""
    st = _st()
    from hypothesis import HealthCheck, Phase, given, settings

    def check(xs: Point, order: int) -> bool:
        looked_at.append(xs)
        try:
            return _check_point(op, xs, reference, order)
        except AssertionError as error:
            failure = error
        raise simplest(op, xs, failure, lambda xs: _check_point(op, xs, reference, order))

    def operand(i: int) -> Any:
        return _floats(*inside(domain(op, i), REACH)) | _floats(*inside(domain(op, i), FAR))

    looked_at: list[Point] = []
    wide = [*spread(op, examples // 2, REACH), *spread(op, examples // 6, FAR)]
    compared = [check(xs, 2) for xs in wide]
    for xs in [*spread(op, 2 * examples, FAR), *near_ends(op), *_long(op)]:
        check(xs, 1)

    @settings(
        max_examples=max(examples - len(wide), 1),
        derandomize=True,
        database=None,
        deadline=None,
        suppress_health_check=list(HealthCheck),
        phases=[Phase.generate],  # `simplest` shrinks, and says no more than one example
        report_multiple_bugs=False,
    )
    @given(st.one_of([st.tuples(*map(operand, range(count))) for count in counts(op, MORE)]))
    def drawn(xs: Point) -> None:
        compared.append(check(xs, 2))

    drawn()
    if not any(compared):
        raise failed(op, (), "nowhere in its domain could its derivatives be compared", "OP.domain")
    return looked_at


def _long(op: Op) -> list[Point]:
    return [] if op.arity else [xs for n in MANY for xs in [*spread(op, 2, REACH, [n]), *spread(op, 1, FAR, [n])]]


def _check_point(op: Op, xs: Point, reference: Reference, order: int) -> bool:
    """Check one point of the domain; return whether derivatives could be compared there."""
    with blamed(op, xs, f"the kink of {op.name}", "OP.kink(XS)"):
        if not _is_smooth(op, list(xs), [False] * len(xs)):
            return False
    y, partials = _evaluated(op, xs)
    if math.isnan(y):
        raise failed(op, xs, "its value is nan, inside its domain", "OP.forward(XS)")
    if reference is not None:
        with blamed(op, xs, "the reference", "# call the reference with XS"):
            expected = reference(*xs)
        _check_reference(op, xs, y, partials, expected)
    _check_recording(op, xs, y, partials)
    if math.isinf(y):
        return False
    for slot, p in enumerate(partials):
        if math.isnan(p) or (math.isinf(p) and math.fabs(y) <= LARGE):
            raise failed(op, xs, f"partial {slot} is {p}, inside its domain", LOCAL)
    large = any(math.fabs(z) > LARGE for z in (y, *partials))
    if large:
        order = 1
    if not _compare_derivatives(op, xs, order):
        if order > 1:
            raise failed(op, xs, "no derivative could be compared: state its kinks or its domain", COMPARED)
        return False
    inputs = tuple([Value(x) for x in xs])
    for slot, gradient in enumerate(gradients(record(op, inputs), inputs)):
        if not _same(gradient, partials[slot]):
            raise failed(op, xs, f"gradient {slot} is {gradient}, not {partials[slot]}", RECORDED)
    if len(xs) >= LONG and not large:
        _check_along(op, xs)
    elif len(xs) > 1 and order > 1:
        _check_shared(op, xs)
    return True


def _check_reference(op: Op, xs: Point, y: float, partials: Sequence[float], expected: float) -> None:
    moved = [math.fabs(x * p) for x, p in zip(xs, partials, strict=True)]
    stated = op.rounding(y, *xs)[0] if op.rounding else 0.0
    allowed = (1e-12 + 1e-15 * stated) * math.fabs(expected) + 1e-15 * math.fsum(filter(math.isfinite, moved))
    if not (_same(y, expected) or math.fabs(y - expected) <= allowed + 1e-300):
        raise failed(op, xs, f"its value is {y}, the reference gives {expected}", "OP.forward(XS)")


def _check_along(op: Op, xs: Point) -> None:
    """Check the second derivative along one direction in which no two operands change alike: all entries of it."""
    name = _named(op)
    direction = [1.0 + math.sqrt(prime) % 1.0 for prime in PRIMES[: len(xs)]]

    def along(t: Value) -> Value:
        return name(*[x + u * t for x, u in zip(xs, direction, strict=True)])

    code = ALONG.replace("DIRECTION", repr([round(u, 3) for u in direction]))
    _compared(op, xs, lambda: gradcheck(along, 0.0, order=2), code)


def _check_shared(op: Op, xs: Point) -> None:
    """Check the derivatives where one value is several operands, all or two of them: the sums of their partials."""
    name = _named(op)
    every = [((xs[0],) * count, {*range(count)}) for count in counts(op) if count > 1]
    pairs = (
        [] if len(xs) < 3 else [((*xs[:j], xs[i], *xs[j + 1 :]), {i, j}) for i, j in combinations(range(len(xs)), 2)]
    )
    for point, shared in [*every, *pairs]:
        fits = all(low + MARGIN <= x <= high - MARGIN for x, (low, high) in zip(point, cycle(op.domain)))
        if fits and _is_smooth(op, list(point), [False] * len(point)):

            def at(v: Value, point: Point = point, shared: set[int] = shared) -> Value:
                return name(*[v if i in shared else x for i, x in enumerate(point)])

            operands = ", ".join(["x" if i in shared else repr(x) for i, x in enumerate(point)])
            x = point[min(shared)]
            _compared(op, (x,), partial(gradcheck, at, x, order=2), SHARED.replace("OPERANDS", operands))
