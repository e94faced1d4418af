"""`check_op`: every check that an operation of the package, or a user-defined one, should pass."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any

from ...engine import Value, record
from ...ops.number import whole_number
from ...ops.operation import Op
from ..drawing.float_strategies import floats_between, import_strategies, interior
from ..drawing.smooth_steps import is_smooth
from ..drawing.suspicious_intervals import arities_among
from ..numeric.numerical import stated_rounding
from ..numeric.thresholds import LARGE_VALUE, MANY_OPERANDS, SAME_VALUE, STATED_ROUNDING, UNDERFLOW
from ..report import PartlyCompared
from . import lowerings
from .evaluation_points import (
    FAR_REACH,
    FEW_ARITIES,
    LARGE_ARITIES,
    NEAR_REACH,
    SMALL_ARITIES,
    check_and_shrink,
    kink_points,
    operand_domain,
    points_near_ends,
    signed_zero_points,
    special_points,
    spread_points,
)
from .op_derivatives import check_along, check_shared, compare_derivatives, comparison_code
from .op_failures import Point, op_failure, reraise_as_failure
from .op_recording import LOCAL_CODE, check_recording, evaluate, same_number
from .op_selection import check_selection

FIXED_INDICES = (0.0, 2.0)  # indices at which a gather, which picks an operand by its index, is checked
SEED = 30  # with which Hypothesis draws points; without it, they would depend on the source text of `check_drawn`

PICTURE_CODE = """\
from micrograd_cn import Value, draw_dot
from micrograd_cn.engine import record
print(draw_dot(record(OP, [Value(0.5)]"""

Reference = Callable[..., float] | None


def check_op(op: Op, reference: Reference = None, examples: int = 50) -> dict[str, str]:
    """Check an operation: its values, its derivatives, its kinks, its picture, and its lowerings.

    1. At special values, such as 0.0, -0.0, inf and nan, the operation and its partials must raise no error, and give
       the same numbers on `Value`s as on floats. If a partial is a `Selection`, which may leave an operand without a
       gradient, its two functions must agree (see `op_selection`).
    2. At a kink, the operation's derivative must be nan, or lie between the two one-sided derivatives.
    3. The picture that `draw_dot` makes of the operation must have an edge for each operand.
    4. At points all over the domain, close to its ends, and where operands are 0.0 or -0.0, no value may be nan, and
       derivatives must agree with numerical ones. The points are up to 100 from 0. In a domain that is farther away,
       they are up to about 200 from the end nearest to 0. At some of the points, second derivatives are compared too,
       and so are derivatives where several operands are the same `Value`. An n-ary operation, which takes any number of
       operands, is given up to 33. A gather, which picks one of its operands by an index, is not differentiated with
       respect to the index.
    5. At the points of 1 and 4, each lowering, which is another form of the operation, must give the same values. The
       lowerings are its formula or summands, JavaScript (run by Node.js or the package quickjs), machine code (by
       llvmlite) and numpy. JavaScript and machine code must give the same partials, too.

    What `check_op` cannot see:

    - a mistake between the points, of which there are a few hundred, or farther from 0 than all of them;
    - a mistake in third derivatives;
    - a wrong derivative where rounding hides how the value changes.

    Args:
        op: the operation to check.
        reference: the same function of floats from an independent source. A value may differ from that of the reference
            by 1e-12 of its size, and also by as much as the rounding of the operands and the operation's own
            `smoothness.rounding` explain.
        examples: the number of points at which second derivatives are compared: two thirds are spread over the domain,
            the others are drawn by Hypothesis.

    Returns:
        A dict with the name of each lowering that could not be compared, and the reason. Either what runs the lowering
        is not installed, or the operation is not written with the package's operations.

    Raises:
        AssertionError: a check failed. The message names the check and the operands, which are as simple as could be
            found, and has code that shows the failure. If a derivative is wrong, the error is a `GradientMismatch`.
        ImportError: hypothesis is missing.
        TypeError: `op` is not an `Op`. Use `gradcheck` for functions.

    Warns:
        PartlyCompared: at some points, some but not all derivatives could be compared. The message shows the first such
            point.

    >>> from micrograd_cn import tanh
    >>> not_compared = check_op(tanh, reference=lambda x: math.expm1(2 * x) / (math.expm1(2 * x) + 2))
    """
    __tracebackhide__ = True
    if not isinstance(op, Op):
        name = getattr(op, "__name__", type(op).__name__)
        raise TypeError(
            f"check_op: {name} is no operation of micrograd_cn (an Op), such as micrograd_cn.sin; to check a function, "
            f"write gradcheck({name}, x, gradient=df)"
        )
    partial_tables: list[str] = []
    try:
        missing = _check(op, reference, examples, partial_tables)
    except AssertionError as error:
        failure = error
    else:
        if partial_tables:
            title = f"check_op of {op.name}: at {len(partial_tables)} points some derivatives could not be compared"
            warnings.warn(PartlyCompared(f"{title}, first by {partial_tables[0]}"), stacklevel=2)
        return missing
    raise type(failure)(*failure.args)  # a new exception, without the frames of the checks


def _check(op: Op, reference: Reference, examples: int, partial_tables: list[str]) -> dict[str, str]:
    """Run all checks of `check_op`; return the names of the lowerings that could not be compared, each with the reason.

    For each point at which only some derivatives could be compared, a table of the derivatives, as text, is appended
    to `partial_tables`.
    """
    checked_points = list(special_points(op))
    for xs in checked_points:
        y, partials = evaluate(op, xs)
        check_selection(op, xs, y)
        check_recording(op, xs, partials)
    if op.smoothness.kink is not None:
        _check_kinks(op, op.smoothness.kink)
    _check_picture(op)
    for index, row in _rows_at_fixed_index(op) if op.lowerings.is_gather else [((), op)]:
        known = partial(reference, *index) if reference and index else reference
        checked_points += [(*index, *xs) for xs in _check_domain(row, known, examples, partial_tables)]
    return lowerings.compare_lowerings(op, checked_points)


def _rows_at_fixed_index(op: Op) -> Iterator[tuple[Point, Op]]:
    """Yield pairs: an index, as a tuple of one number, and the operation that a gather becomes if this index is fixed.

    A gather is an operation that picks one of its operands by an index, which is its first operand. The new operation
    takes only the other operands. Its derivatives can be compared, since none is with respect to the index.
    """
    for index in FIXED_INDICES:
        arities = [n - 1 for n in (*SMALL_ARITIES, *LARGE_ARITIES) if n in op.arities and n - 1 > index]
        if arities:
            forward, partials = partial(op.forward, index), partial(_partials_after, op, index)
            yield (index,), Op(op.name, forward, partials, arities=arities)


def _partials_after(op: Op, index: float, y: Any, *xs: Any) -> tuple[Any, ...]:
    """Return the partials of a gather with respect to `xs`, the operands that come after its index.

    The gather picks one of them by the index. `y` is its value.
    """
    return op.local_derivatives(y, index, *xs)[1:]


def _check_kinks(op: Op, kink: Callable[..., float]) -> None:
    """Check the values and first derivatives at kinks of the operation: points at which the function `kink` is 0."""

    def blaming(*xs: float) -> float:
        with reraise_as_failure(op, xs, f"the kink of {op.name}", "OP.smoothness.kink(XS)"):
            return kink(*xs)

    for xs in {repr(xs): xs for xs in kink_points(op, blaming)}.values():  # each once; 0.0 and -0.0 are two points
        evaluate(op, xs)
        compare_derivatives(op, xs, 1)  # nothing is compared at a jump, at a pole, or with nan: these are conventions


def _check_picture(op: Op) -> None:
    """Check that the picture that `draw_dot` makes of the operation has an edge for each operand."""
    from ...picture import draw_dot

    for count in arities_among(op, FEW_ARITIES):
        edges = draw_dot(record(op, (Value(0.5, "x"),) * count)).source.count("->")
        if edges != count:
            raise op_failure(
                op, (), f"with {count} operands it is drawn with {edges} edges", f"{PICTURE_CODE} * {count})).source)"
            )


def _check_domain(op: Op, reference: Reference, examples: int, partial_tables: list[str]) -> list[Point]:
    """Check the operation at points that are spread over its domain, or drawn by Hypothesis; return all these points.

    `reference` computes the same function, and `examples` is the number of points at which second derivatives are
    compared. For each point at which only some derivatives could be compared, a table of all derivatives there is
    appended to `partial_tables`.
    """
    st = import_strategies()
    from hypothesis import HealthCheck, Phase, given, seed, settings

    def check(xs: Point, order: int) -> int:
        checked_points.append(xs)
        order = check_and_shrink(op, xs, lambda xs: _check_point(op, xs, reference, order, partial_tables))
        if order > 1 and 1 < len(xs) < MANY_OPERANDS:
            check_and_shrink(op, xs, lambda xs: check_shared(op, xs))
        return order

    def operand(i: int) -> Any:
        return floats_between(*interior(operand_domain(op, i), NEAR_REACH)) | floats_between(
            *interior(operand_domain(op, i), FAR_REACH)
        )

    examples = whole_number("check_op: examples", examples, 0)
    checked_points: list[Point] = []
    wide = [*spread_points(op, examples // 2, NEAR_REACH), *spread_points(op, examples // 6, FAR_REACH)]
    compared = [check(xs, 2) for xs in wide]
    for xs in [*spread_points(op, 2 * examples, FAR_REACH), *points_near_ends(op), *signed_zero_points(op)]:
        check(xs, 1)
    for count in [] if op.arity else arities_among(op, LARGE_ARITIES):
        for xs in [*spread_points(op, 2, NEAR_REACH, [count]), *spread_points(op, 1, FAR_REACH, [count])]:
            check(xs, 2)

    operands = st.one_of([st.tuples(*map(operand, range(count))) for count in arities_among(op, SMALL_ARITIES)])

    @settings(
        max_examples=max(examples - len(wide), 1),
        database=None,
        deadline=None,
        suppress_health_check=list(HealthCheck),
        phases=[Phase.generate],  # `check_and_shrink` shrinks
        report_multiple_bugs=False,
    )
    @seed(SEED)
    @given(operands)
    def check_drawn(xs: Point) -> None:
        compared.append(check(xs, 2))

    check_drawn()
    if not any(compared):
        raise op_failure(op, (), "nowhere in its domain could its derivatives be compared", "OP.smoothness.domain")
    return checked_points


def _check_point(op: Op, xs: Point, reference: Reference, order: int, partial_tables: list[str]) -> int:
    """Check the operation at one point, with its derivatives up to order `order`.

    Return the order up to which derivatives could be compared; 0 if none could be. If only some could be compared, a
    table of the derivatives is appended to `partial_tables`.
    """
    with reraise_as_failure(op, xs, f"the kink of {op.name}", "OP.smoothness.kink(XS)"):
        if not is_smooth(op, xs):
            return 0
    y, partials = evaluate(op, xs)
    if math.isnan(y):
        raise op_failure(op, xs, "its value is nan, inside its domain", "OP.forward(XS)")
    if reference is not None:
        with reraise_as_failure(op, xs, "the reference", "# call the reference with XS"):
            expected = reference(*xs)
        _check_reference(op, xs, y, partials, expected)
    check_selection(op, xs, y)
    check_recording(op, xs, partials)
    if math.isinf(y):
        return 0
    for slot, p in enumerate(partials):
        if math.isnan(p) or (math.isinf(p) and math.fabs(y) <= LARGE_VALUE):
            raise op_failure(op, xs, f"partial {slot} is {p}, inside its domain", LOCAL_CODE)
    if any(math.fabs(z) > LARGE_VALUE for z in (y, *partials)):
        order = 1
    many = len(xs) >= MANY_OPERANDS
    if not (check_along(op, xs, order) if many else compare_derivatives(op, xs, order, partial_tables)):
        if order > 1 and not many:
            raise op_failure(
                op, xs, "no derivative could be compared: state its kink or domain", comparison_code(op, order)
            )
        return 0
    return order


def _check_reference(op: Op, xs: Point, y: float, partials: Sequence[float], expected: float) -> None:
    """Compare `y`, the value of the operation at `xs`, with `expected`, the value of the reference there.

    The partials of the operation at `xs` tell how far rounding of the operands may change the value.
    """
    moved = [math.fabs(x * p) for x, p in zip(xs, partials, strict=True)]
    allowed = (SAME_VALUE + stated_rounding(op, y, xs)) * math.fabs(expected)
    allowed += STATED_ROUNDING * math.fsum(filter(math.isfinite, moved))
    if not (same_number(y, expected) or (math.isfinite(expected) and math.fabs(y - expected) <= allowed + UNDERFLOW)):
        raise op_failure(op, xs, f"its value is {y}, the reference gives {expected}", "OP.forward(XS)")
