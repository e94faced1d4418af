"""Where an operation is looked at: special values, points all over its domain and at its ends, kinks, simple points."""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from math import inf, nan
from typing import TypeVar

from ..operation import Op
from .failures import Point
from .reals import MARGIN, inside
from .spots import few

T = TypeVar("T")

FEW, MORE, MANY = (1, 2, 3), (1, 2, 3, 4, 5), (6, 9, 17, 33)  # operands of an n-ary row
SPECIAL = (0.0, -0.0, 1.0, -1.0, 2.5, 5e-324, -5e-324, 1e300, -1e300, inf, -inf, nan)
SOME = (0.0, -1.0, 5e-324, 1e300, inf, -inf, nan)  # of these, where there are many operands
AT_KINKS = (0.0, 1.0, -1.0, 0.5)
REACH, FAR = 4.0, 100.0  # how far from 0, or from the domain's near end, points lie
PRIMES = [n for n in range(2, 300) if all(n % k for k in range(2, n))]  # of each operand; the square root is irrational
SIMPLE = (0.0, 1.0, -1.0, 2.0, -2.0, 0.5, -0.5, 3.0, -3.0)
TRIALS = 80  # points tried in search of a simpler one


def domain(op: Op, slot: int) -> tuple[float, float]:
    """Return the open interval of an operand."""
    return op.domain[slot % len(op.domain)]


def special(op: Op) -> Iterator[Point]:
    """Give special values: of few operands each with each, of many each in the first, the sixth and the last place."""
    for count in few(op, FEW + MANY):
        if count <= 3:
            yield from itertools.product(SPECIAL if count < 3 else SOME, repeat=count)
        else:
            for slot, x in itertools.product(sorted({0, 5 % count, count - 1}), SOME):
                yield tuple([x if i == slot else 1.0 for i in range(count)])


def spread(op: Op, count: int, reach: float, operands: Sequence[int] = MORE) -> Iterator[Point]:
    """Give points that fill the domain evenly: multiples of irrational numbers, modulo 1 (Weyl 1916)."""
    numbers = few(op, operands)
    for k in range(1, count + 1):
        point = []
        for i in range(numbers[k % len(numbers)]):
            low, high = inside(domain(op, i), reach)
            x = low + (high - low) * (k * math.sqrt(PRIMES[i % len(PRIMES)]) % 1.0)
            point.append(round(x, 3) if low <= round(x, 3) <= high else x)
        yield tuple(point)


def near_ends(op: Op) -> Iterator[Point]:
    """Give points near the ends of the domain, each operand in turn, the others well inside."""
    for count in few(op, FEW):
        domains = [domain(op, i) for i in range(count)]
        middle = [0.5 * (low + high) for low, high in [inside(interval, REACH) for interval in domains]]
        for i, (low, high) in enumerate(domains):
            for end, inwards in ((low, 1.0), (high, -1.0)):
                for part in (0.4, 0.08, 0.001):
                    if math.isfinite(end):
                        x = end + inwards * part * min(MARGIN, 0.25 * (high - low))
                        yield (*middle[:i], x, *middle[i + 1 :])


def kinks(op: Op, kink: Callable[..., float]) -> Iterator[Point]:
    """Give points at which the row's kink is 0: simple ones, and those found by bisection along each operand."""
    for count in few(op, FEW):
        for xs in itertools.product(AT_KINKS, repeat=count):
            if kink(*xs) == 0.0:
                yield xs
        for slot, other, (reach, cells) in itertools.product(range(count), (0.5, 3.0), ((REACH, 64), (FAR, 200))):
            low, high = inside(domain(op, slot), reach)

            def at(x: float, slot: int = slot, other: float = other, count: int = count) -> Point:
                return tuple([x if i == slot else other for i in range(count)])

            yield from _zeros(lambda x, at=at: kink(*at(x)), at, low, high, cells)  # type: ignore[misc]


def _zeros(
    f: Callable[[float], float], at: Callable[[float], Point], low: float, high: float, cells: int
) -> Iterable[Point]:
    grid = [low + (high - low) * k / cells for k in range(cells + 1)]
    yield from (at(x) for x in grid if f(x) == 0.0)
    for left, right in itertools.pairwise(grid):
        if f(left) * f(right) < 0.0:
            while left < (middle := 0.5 * (left + right)) < right and f(middle) != 0.0:
                same = (f(middle) < 0.0) == (f(left) < 0.0)
                left, right = (middle, right) if same else (left, middle)
            yield at(middle)


def at_simplest(op: Op, xs: Point, check: Callable[[Point], T]) -> T:
    """Return what a check returns at a point of the domain; if it fails, raise how at the simplest point where it does.

    A simpler point has fewer operands, or one of them is a whole number or has fewer digits.
    """
    try:
        return check(xs)
    except AssertionError as error:
        failure = error
    left = TRIALS

    def fails(candidate: Point) -> bool:
        nonlocal left, failure
        left -= 1
        try:
            check(candidate)
        except AssertionError as error:
            failure = error if _kind(error) == _kind(failure) else failure
            return failure is error
        return False

    for count in few(op, range(1, len(xs))):
        if count < len(xs) and left > 0 and fails(xs[:count]):
            xs = xs[:count]
            break
    for slot in range(len(xs)):
        for x in _simpler(xs[slot], domain(op, slot)):
            if left > 0 and fails((*xs[:slot], x, *xs[slot + 1 :])):
                xs = (*xs[:slot], x, *xs[slot + 1 :])
                break
    raise failure


def _kind(failure: AssertionError) -> str:
    """Return the title of a failure without its numbers: what is wrong."""
    return re.sub(r"[-\d][\w.+-]*|inf|nan", "", str(failure).partition("\n")[0].partition(": ")[2])


def _simpler(x: float, interval: tuple[float, float]) -> Iterator[float]:
    """Give simpler numbers of an interval: a few of all, then roundings of `x`."""
    low, high = interval
    candidates = dict.fromkeys([*SIMPLE, *(round(x, digits) for digits in (-1, 0, 1, 2))])
    worse = len(repr(x))
    for candidate in candidates:
        if candidate == x:
            return
        if low + MARGIN <= candidate <= high - MARGIN and len(repr(candidate)) <= worse:
            yield candidate
