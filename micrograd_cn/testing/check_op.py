"""Every check that an operation of the table, or one of your own, should pass."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any

from ..engine import Value, record
from ..ops.operation import Op
from . import lowerings
from .evaluation_points import FAR, FEW, MANY, MORE, REACH, at_simplest, domain, kinks, near_ends, special, spread
from .float_strategies import _floats, _st, inside
from .op_derivatives import LONG, check_along, check_shared, compare_derivatives, comparison
from .op_failures import Point, blamed, failed
from .op_recording import LOCAL, check_recording, evaluated, same
from .report import PartlyCompared
from .smooth_steps import is_smooth
from .suspicious_intervals import few

INDICES = (0.0, 2.0)
LARGE = 1e6  # a value or partial beyond which the second derivative is not compared

DRAWN = """\
from micrograd_cn import Value, draw_dot
from micrograd_cn.engine import record
print(draw_dot(record(OP, [Value(0.5)]"""

Reference = Callable[..., float] | None


def check_op(op: Op, reference: Reference = None, examples: int = 50) -> dict[str, str]:
    """Check one operation: values, derivatives to second order, kinks, special values, sharing, picture, other forms.

    In turn: no float, special ones included, makes it raise; on `Value`s it gives the numbers that it gives on floats,
    and so do its partials, to the bit; at kinks the derivative is nan,
    or between those of the two sides; the picture has an edge an operand; over the domain, up to 100 from 0 or from its
    near end, and close to its ends, no value is nan and derivatives agree with numerical ones, near 0 to second order,
    also where one value is several operands. An n-ary row is given up to 33 operands. At all these points the row's
    formula, its summands, its JavaScript (run by Node.js or the package quickjs), its machine code (by llvmlite) and
    its numpy form give the row's values, the second and third of these languages also its partials. Of a row that
    chooses, derivatives are those with respect to what it chooses from.

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

    Warns:
        PartlyCompared: at some points some, not all, derivatives could not be compared; it shows the first.

    >>> from micrograd_cn import tanh
    >>> not_compared = check_op(tanh, reference=lambda x: math.expm1(2 * x) / (math.expm1(2 * x) + 2))
    """
    __tracebackhide__ = True
    partly: list[str] = []
    try:
        missing = _check(op, reference, examples, partly)
    except AssertionError as error:
        failure = error
    else:
        if partly:
            title = f"check_op of {op.name}: at {len(partly)} points some derivatives could not be compared"
            warnings.warn(PartlyCompared(f"{title}, first by {partly[0]}"), stacklevel=2)
        return missing
    raise type(failure)(*failure.args)  # a new one, without the frames that led to it


def _check(op: Op, reference: Reference, examples: int, partly: list[str]) -> dict[str, str]:
    looked_at = list(special(op))
    for xs in looked_at:
        check_recording(op, xs, evaluated(op, xs)[1])
    if op.smoothness.kink is not None:
        _check_kinks(op, op.smoothness.kink)
    _check_picture(op)
    for index, row in _with_index(op) if op.lowerings.is_gather else [((), op)]:
        known = partial(reference, *index) if reference and index else reference
        looked_at += [(*index, *xs) for xs in _over_the_domain(row, known, examples, partly)]
    return lowerings.compare(op, looked_at)


def _with_index(op: Op) -> Iterator[tuple[Point, Op]]:
    """Give what a row that chooses is of its other operands, for some indices: beside a whole number it is nan."""
    for index in INDICES:
        arities = [n - 1 for n in (*MORE, *MANY) if n in op.arities and n - 1 > index]
        if arities:
            forward, partials = partial(op.forward, index), partial(_partials_after, op, index)
            yield (index,), Op(op.name, forward, partials, arities=arities)


def _partials_after(op: Op, index: float, y: Any, *xs: Any) -> tuple[Any, ...]:
    return op.local_derivatives(y, index, *xs)[1:]


def _check_kinks(op: Op, kink: Callable[..., float]) -> None:
    def blaming(*xs: float) -> float:
        with blamed(op, xs, f"the kink of {op.name}", "OP.smoothness.kink(XS)"):
            return kink(*xs)

    for xs in kinks(op, blaming):
        evaluated(op, xs)
        compare_derivatives(op, xs, 1)  # nothing is compared at a jump or a pole, or with nan: they are conventions


def _check_picture(op: Op) -> None:
    from ..picture import draw_dot

    for count in few(op, FEW):
        edges = draw_dot(record(op, (Value(0.5, "x"),) * count)).source.count("->")
        if edges != count:
            raise failed(
                op, (), f"with {count} operands it is drawn with {edges} edges", f"{DRAWN} * {count})).source)"
            )


def _over_the_domain(op: Op, reference: Reference, examples: int, partly: list[str]) -> list[Point]:
    """Check points spread evenly, so that no part is left out, and points drawn; return them."""
    st = _st()
    from hypothesis import HealthCheck, Phase, given, settings

    def check(xs: Point, order: int) -> int:
        looked_at.append(xs)
        order = at_simplest(op, xs, lambda xs: _check_point(op, xs, reference, order, partly))
        if order > 1 and 1 < len(xs) < LONG:
            at_simplest(op, xs, lambda xs: check_shared(op, xs))
        return order

    def operand(i: int) -> Any:
        return _floats(*inside(domain(op, i), REACH)) | _floats(*inside(domain(op, i), FAR))

    looked_at: list[Point] = []
    wide = [*spread(op, examples // 2, REACH), *spread(op, examples // 6, FAR)]
    compared = [check(xs, 2) for xs in wide]
    for xs in [*spread(op, 2 * examples, FAR), *near_ends(op)]:
        check(xs, 1)
    for count in [] if op.arity else few(op, MANY):
        for xs in [*spread(op, 2, REACH, [count]), *spread(op, 1, FAR, [count])]:
            check(xs, 2)

    @settings(
        max_examples=max(examples - len(wide), 1),
        derandomize=True,
        database=None,
        deadline=None,
        suppress_health_check=list(HealthCheck),
        phases=[Phase.generate],  # `at_simplest` shrinks, and says no more than one example
        report_multiple_bugs=False,
    )
    @given(st.one_of([st.tuples(*map(operand, range(count))) for count in few(op, MORE)]))
    def drawn(xs: Point) -> None:
        compared.append(check(xs, 2))

    drawn()
    if not any(compared):
        raise failed(op, (), "nowhere in its domain could its derivatives be compared", "OP.smoothness.domain")
    return looked_at


def _check_point(op: Op, xs: Point, reference: Reference, order: int, partly: list[str]) -> int:
    """Check one point of the domain; return the order to which derivatives could be compared there."""
    with blamed(op, xs, f"the kink of {op.name}", "OP.smoothness.kink(XS)"):
        if not is_smooth(op, xs):
            return 0
    y, partials = evaluated(op, xs)
    if math.isnan(y):
        raise failed(op, xs, "its value is nan, inside its domain", "OP.forward(XS)")
    if reference is not None:
        with blamed(op, xs, "the reference", "# call the reference with XS"):
            expected = reference(*xs)
        _check_reference(op, xs, y, partials, expected)
    check_recording(op, xs, partials)
    if math.isinf(y):
        return 0
    for slot, p in enumerate(partials):
        if math.isnan(p) or (math.isinf(p) and math.fabs(y) <= LARGE):
            raise failed(op, xs, f"partial {slot} is {p}, inside its domain", LOCAL)
    if any(math.fabs(z) > LARGE for z in (y, *partials)):
        order = 1
    many = len(xs) >= LONG
    if not (check_along(op, xs, order) if many else compare_derivatives(op, xs, order, partly)):
        if order > 1 and not many:
            raise failed(op, xs, "no derivative could be compared: state its kink or domain", comparison(op, order))
        return 0
    return order


def _check_reference(op: Op, xs: Point, y: float, partials: Sequence[float], expected: float) -> None:
    moved = [math.fabs(x * p) for x, p in zip(xs, partials, strict=True)]
    stated = op.smoothness.rounding(y, *xs)[0] if op.smoothness.rounding else 0.0
    allowed = (1e-12 + 1e-15 * stated) * math.fabs(expected) + 1e-15 * math.fsum(filter(math.isfinite, moved))
    if not (same(y, expected) or (math.isfinite(expected) and math.fabs(y - expected) <= allowed + 1e-300)):
        raise failed(op, xs, f"its value is {y}, the reference gives {expected}", "OP.forward(XS)")
