"""Compare an operation's derivatives with numerical ones.

The derivatives are compared one by one. If there are many operands, one derivative is compared, along a direction in
which all operands change. Derivatives are also compared where one `Value` is given as several operands.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Sequence
from itertools import combinations, cycle

from ...engine import Value, record
from ...ops.operation import Op
from ..drawing.float_strategies import interior
from ..drawing.smooth_steps import is_smooth
from ..drawing.suspicious_intervals import arities_among
from ..gradcheck import gradcheck
from ..report import GradientMismatch, NothingCompared, PartlyCompared
from .evaluation_points import FAR_REACH, FEW_ARITIES, PRIMES
from .op_failures import Point, op_failure
from .op_recording import RECORDED_SHARED_CODE, compare_recorded, evaluate

COMPARE_CODE = """\
from micrograd_cn.testing import gradcheck
gradcheck(OP, XS, order=ORDER)"""
COMPARE_RECORDED_CODE = """\
from micrograd_cn.engine import record
from micrograd_cn.testing import gradcheck
gradcheck(lambda *xs: record(OP, xs), XS, order=ORDER)"""
SHARED_CODE = """\
from micrograd_cn.engine import record
from micrograd_cn.testing import gradcheck
gradcheck(lambda *xs: record(OP, [xs[i] for i in PLACES]), FREE, order=2)"""
ALONG_CODE = """\
from micrograd_cn.engine import record
from micrograd_cn.testing import gradcheck
xs = [XS]
us = DIRECTION
gradcheck(lambda t: record(OP, [x + u * t for x, u in zip(xs, us)]), 0.0, order=ORDER)"""


def _as_function(op: Op) -> Callable[..., Value]:
    """Return a function of `Value`s that records the operation. It has the operation's name, which messages show."""

    def apply(*operands: Value) -> Value:
        return record(op, operands)

    apply.__name__ = op.name
    return apply


def compare_derivatives(op: Op, xs: Point, order: int, partial_tables: list[str] | None = None) -> bool:
    """Compare the derivatives of an operation at a point with numerical ones; return whether any could be compared.

    If only some could be compared, a table of the derivatives, as text, is appended to `partial_tables`.
    """
    name = _as_function(op)
    return _run_gradcheck(
        op, xs, lambda: gradcheck(name, *xs, order=order), comparison_code(op, order), partial_tables=partial_tables
    )


def comparison_code(op: Op, order: int) -> str:
    """Return code that compares the derivatives of an operation, for the message of a failure.

    If the operation has a `signature`, a call of it may take other arguments than the operands. Then the code calls
    `engine.record` instead of the operation.
    """
    return (COMPARE_RECORDED_CODE if op.signature else COMPARE_CODE).replace("ORDER", str(order))


def _run_gradcheck(
    op: Op, xs: Point, check: Callable[[], object], code: str, where: str = "", partial_tables: list[str] | None = None
) -> bool:
    """Run a check of derivatives; return whether any could be compared. If one is wrong, raise a failure of `op`.

    Args:
        op: the operation whose derivatives are checked.
        xs: the operands, for the message of a failure.
        check: calls `gradcheck`.
        code: code that repeats the check, for the message.
        where: what the message begins with.
        partial_tables: a list. A table of the derivatives, as text, is appended if only some could be compared.
    """
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", PartlyCompared)
        try:
            check()
            if partial_tables is not None:
                partial_tables += [str(warning.message) for warning in caught]
        except NothingCompared:
            return False
        except GradientMismatch as error:
            title, *table = str(error).splitlines()
            raise op_failure(op, xs, where + title.rpartition(": ")[2], code, table, GradientMismatch) from None
        except Exception as error:  # an operation that a partial uses may raise
            raise op_failure(
                op, xs, f"{where}differentiating it raised {type(error).__name__}: {error}", code
            ) from None
    return True


def check_along(op: Op, xs: Point, order: int) -> bool:
    """Compare derivatives of an operation along one direction, in which all operands change by different amounts.

    The first derivative along the direction depends on all entries of the gradient, and the second derivative along it
    on all second derivatives. If either is wrong, first derivatives are compared one by one, since a failure then names
    the operand. Return whether anything could be compared.
    """
    name = _as_function(op)
    direction = [1.0 + math.sqrt(PRIMES[i % len(PRIMES)]) % 1.0 for i in range(len(xs))]

    def along(t: Value) -> Value:
        return name(*[x + u * t for x, u in zip(xs, direction, strict=True)])

    code = ALONG_CODE.replace("DIRECTION", repr([round(u, 3) for u in direction])).replace("ORDER", str(order))
    try:
        return _run_gradcheck(op, xs, lambda: gradcheck(along, 0.0, order=order), code)
    except GradientMismatch:
        compare_derivatives(op, xs, 1)  # its failure names the operand
        raise


def check_shared(op: Op, xs: Point) -> None:
    """Check an operation's partials and derivatives where one `Value` is given as several operands.

    It is given as all operands and, if the operation has three or four operands, as any two of them. The derivative
    with respect to it is a sum of partials.
    """
    for count in arities_among(op, FEW_ARITIES):
        if count > 1:
            _check_shared_in(op, (xs[0],) * count, range(count))
    for i, j in combinations(range(len(xs)), 2) if len(xs) in (3, 4) else ():
        _check_shared_in(op, (*xs[:j], xs[i], *xs[j + 1 :]), (i, j))


def _check_shared_in(op: Op, xs: Point, slots: Sequence[int]) -> None:
    """Check an operation's partials and derivatives where one `Value` is given as all operands in `slots`.

    `xs` has the numbers of all operands, and `slots` has indices of operands with equal numbers. Nothing is checked if
    an operand is near an end of the domain, or near a kink.
    """
    inner = [interior(interval, FAR_REACH) for interval in op.smoothness.domain]
    fits_domain = all(low <= x <= high for x, (low, high) in zip(xs, cycle(inner)))
    if not (fits_domain and is_smooth(op, xs)):
        return
    where = f"where operands {', '.join(map(str, slots))} are one value, "
    first, *others = slots
    places = [first if i in others else i for i in range(len(xs))]
    inputs = [Value(x) for x in xs]
    code = RECORDED_SHARED_CODE.replace("PLACES", repr(places))
    compare_recorded(op, xs, [inputs[i] for i in places], evaluate(op, xs)[1], code, where)
    free = sorted(set(places))
    numbers = [free.index(i) for i in places]
    code = SHARED_CODE.replace("PLACES", repr(numbers)).replace("FREE", ", ".join([repr(xs[i]) for i in free]))

    def at(*vs: Value) -> Value:
        return record(op, [vs[i] for i in numbers])

    _run_gradcheck(op, xs, lambda: gradcheck(at, *[xs[i] for i in free], order=2), code, where)
