"""The points at which `check_op` evaluates an operation: special values, points all over its domain, and kinks."""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Callable, Iterator, Sequence
from math import inf, nan
from typing import TypeVar

from ...ops.operation import Op
from ..drawing.float_strategies import MARGIN, interior
from ..drawing.suspicious_intervals import arities_among
from .op_failures import Point

T = TypeVar("T")

FEW_ARITIES, SMALL_ARITIES, LARGE_ARITIES = (1, 2, 3), (1, 2, 3, 4, 5), (6, 9, 17, 33)  # counts of operands
SPECIAL_VALUES = (0.0, -0.0, 1.0, -1.0, 2.5, 5e-324, -5e-324, 1e300, -1e300, inf, -inf, nan)
FEWER_SPECIAL_VALUES = (0.0, -1.0, 5e-324, 1e300, inf, -inf, nan)  # where there are many operands
KINK_CANDIDATES = (0.0, 1.0, -1.0, 0.5)
NEAR_REACH, FAR_REACH = 4.0, 100.0  # the greatest distance of points from 0; see `interior` for domains farther away
PRIMES = [
    n for n in range(2, 300) if all(n % k for k in range(2, n))
]  # one for each operand; their square roots are irrational
SIMPLE_VALUES = (0.0, 1.0, -1.0, 2.0, -2.0, 0.5, -0.5, 3.0, -3.0)
SHRINK_TRIALS = 80  # how many points are tried in search of a simpler one
KINK_SEARCH_CELLS = 200  # the count of cells of the grid along an operand, on which kinks are looked for


def operand_domain(op: Op, slot: int) -> tuple[float, float]:
    """Return the open interval of the operand with the index `slot` on which the operation is smooth."""
    return op.smoothness.domain[slot % len(op.smoothness.domain)]


def special_points(op: Op) -> Iterator[Point]:
    """Yield points with special values such as 0.0, inf and nan.

    If there are up to three operands, they have all combinations of special values. If there are more, only one of them
    has a special value at a point, and all others are 1.0. This one is the first operand, the last, or one between.
    """
    for count in arities_among(op, FEW_ARITIES + LARGE_ARITIES):
        if count <= 3:
            yield from itertools.product(SPECIAL_VALUES if count < 3 else FEWER_SPECIAL_VALUES, repeat=count)
        else:
            for slot, x in itertools.product(sorted({0, 5 % count, count - 1}), FEWER_SPECIAL_VALUES):
                yield tuple([x if i == slot else 1.0 for i in range(count)])


def spread_points(op: Op, count: int, reach: float, operands: Sequence[int] = SMALL_ARITIES) -> Iterator[Point]:
    """Yield points that fill the domain evenly: multiples of irrational numbers, modulo 1 (Weyl 1916).

    Args:
        op: the operation whose domain is filled.
        count: how many points.
        reach: the greatest distance of an operand from 0; see `interior` for domains that are farther away.
        operands: numbers of operands for an n-ary operation. The points go through these numbers in turn.

    >>> from micrograd_cn import log, mul
    >>> list(spread_points(mul, 2, 4.0)), list(spread_points(log, 2, 100.0))
    ([(-0.686, 1.856), (2.627, -0.287)], [(41.451,), (82.851,)])
    """
    numbers = arities_among(op, operands)
    for k in range(1, count + 1):
        point = []
        for i in range(numbers[k % len(numbers)]):
            low, high = interior(operand_domain(op, i), reach)
            x = low + (high - low) * (k * math.sqrt(PRIMES[i % len(PRIMES)]) % 1.0)
            short = round(x, 3)
            point.append(short if low <= short <= high else x)
        yield tuple(point)


def points_near_ends(op: Op) -> Iterator[Point]:
    """Yield points near the ends of the operation's domain: one operand is near an end, the others are well inside.

    >>> from micrograd_cn import asin
    >>> list(points_near_ends(asin))
    [(-0.98,), (-0.996,), (-0.99995,), (0.98,), (0.996,), (0.99995,)]
    """
    for count in arities_among(op, FEW_ARITIES):
        domains = [operand_domain(op, i) for i in range(count)]
        middle = [0.5 * (low + high) for low, high in [interior(interval, NEAR_REACH) for interval in domains]]
        for i, (low, high) in enumerate(domains):
            near = min(MARGIN, 0.25 * (high - low))
            for end, inwards in ((low, near), (high, -near)):
                if math.isfinite(end):
                    for part in (0.4, 0.08, 0.001):
                        yield (*middle[:i], end + part * inwards, *middle[i + 1 :])


def signed_zero_points(op: Op) -> Iterator[Point]:
    """Yield points inside the domain at which one operand, or each operand, is 0.0 or -0.0.

    >>> from micrograd_cn import log, mul
    >>> list(signed_zero_points(mul))
    [(0.0, 1.856), (-0.686, 0.0), (0.0, 0.0), (-0.0, 1.856), (-0.686, -0.0), (-0.0, -0.0)]
    >>> list(signed_zero_points(log))
    []
    """
    for count in arities_among(op, FEW_ARITIES):
        [inside] = spread_points(op, 1, NEAR_REACH, [count])
        has_zero = [low < 0.0 < high for low, high in [operand_domain(op, i) for i in range(count)]]
        for zero in (0.0, -0.0):
            yield from ((*inside[:i], zero, *inside[i + 1 :]) for i in range(count) if has_zero[i])
            if count > 1 and all(has_zero):
                yield (zero,) * count


def kink_points(op: Op, kink: Callable[..., float]) -> Iterator[Point]:
    """Yield points at which the function `kink` of the operands is 0, since the operation has a kink there.

    Simple points are tried first. Others are found by bisection along each operand. No point is yielded twice.
    """
    for count in arities_among(op, FEW_ARITIES):
        yielded = dict.fromkeys(xs for xs in itertools.product(KINK_CANDIDATES, repeat=count) if kink(*xs) == 0.0)
        yield from yielded
        for slot, other, reach in itertools.product(range(count), (0.5, 3.0), (NEAR_REACH, FAR_REACH)):

            def at(x: float, slot: int = slot, other: float = other, count: int = count) -> Point:
                # The others differ: clip(x, 1.0, 1.0) has a kink at every x
                others = iter([other + 0.5 * i for i in range(count)])
                return tuple([x if i == slot else next(others) for i in range(count)])

            found = _zeros(lambda x, at=at: kink(*at(x)), *interior(operand_domain(op, slot), reach))  # type: ignore[misc]
            fresh = dict.fromkeys(xs for xs in map(at, found) if xs not in yielded)
            yielded |= fresh
            yield from fresh


def _zeros(f: Callable[[float], float], low: float, high: float) -> Iterator[float]:
    """Yield zeros of a function: points of a grid, and one between each two neighbours at which its signs are opposite.

    If the function jumps from one sign to the other, the float beside the jump at which it is positive is yielded. Of a
    stretch of the grid on which the function is 0 throughout, only the first and the last point are yielded.

    >>> [list(_zeros(f, 0.0, 4.0)) for f in (lambda x: (x - 1.0) * (x - 2.7), lambda x: 1.0 if x > 0.7 else -1.0)]
    [[1.0, 2.7], [0.7000000000000001]]
    >>> list(_zeros(lambda x: 0.0 if 1.0 <= x <= 3.0 else x, 0.0, 4.0))
    [0.0, 1.0, 3.0]
    """
    grid = [low + (high - low) * k / KINK_SEARCH_CELLS for k in range(KINK_SEARCH_CELLS + 1)]
    values = [f(x) for x in grid]
    cells = [*itertools.pairwise(zip(grid, values, strict=True))]
    # Whether f is 0 throughout each cell: between the ends of one, too, and not just at each multiple of half a cell
    is_zero = [y == z == f(x + 0.382 * (there - x)) == 0.0 for (x, y), (there, z) in cells]
    for x, y, before, after in zip(grid, values, [False, *is_zero], [*is_zero, False], strict=True):
        if y == 0.0 and not (before and after):
            yield x
    for ends in cells:
        (below, least), (above, most) = sorted(ends, key=lambda end: end[1])
        if least < 0.0 < most:
            while (middle := 0.5 * (below + above)) not in (below, above):
                below, above = (middle, above) if f(middle) < 0.0 else (below, middle)
            yield above


def check_and_shrink(op: Op, xs: Point, check: Callable[[Point], T]) -> T:
    """Return the result of `check` at a point. If the check fails, search for simpler points that fail alike.

    If it fails, the failure at the simplest point that was found is raised. A simpler point has fewer operands, or an
    operand that is a whole number or has fewer digits. Failures are alike if their titles differ only in numbers.
    """
    try:
        return check(xs)
    except AssertionError as error:
        failure = error
    left = SHRINK_TRIALS

    def fails(candidate: Point) -> bool:
        nonlocal left, failure
        left -= 1
        try:
            check(candidate)
        except AssertionError as error:
            if _failure_kind(error) == _failure_kind(failure):
                failure = error
                return True
        return False

    for count in arities_among(op, range(1, len(xs))):
        if count < len(xs) and fails(xs[:count]):
            xs = xs[:count]
    for slot in range(len(xs)):
        for x in _simpler(xs[slot], operand_domain(op, slot)):
            if left > 0 and fails((*xs[:slot], x, *xs[slot + 1 :])):
                xs = (*xs[:slot], x, *xs[slot + 1 :])
                break
    raise failure


def _failure_kind(failure: AssertionError) -> str:
    """Return the title of a failure without its numbers: two failures of the same kind have the same text."""
    return re.sub(r"[-\d][\w.+-]*|inf|nan", "", str(failure).partition("\n")[0].partition(": ")[2])


def _simpler(x: float, interval: tuple[float, float]) -> Iterator[float]:
    """Yield numbers in an interval that are simpler than `x`: first 0.0, 1.0 and the like, then `x` with few digits.

    >>> list(_simpler(-3.777, (-math.inf, math.inf))), list(_simpler(12.34, (0.0, math.inf)))
    ([0.0, 1.0, -1.0, 2.0, -2.0, 0.5, -0.5, 3.0, -3.0, -4.0, -3.8, -3.78], [1.0, 2.0, 0.5, 3.0, 10.0, 12.0, 12.3])
    """
    low, high = interval
    candidates = dict.fromkeys([*SIMPLE_VALUES, *(round(x, digits) for digits in (-1, 0, 1, 2))])
    worse = len(repr(x))
    for candidate in candidates:
        if candidate == x:
            return
        if low + MARGIN <= candidate <= high - MARGIN and len(repr(candidate)) <= worse:
            yield candidate
