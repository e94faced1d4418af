"""Hypothesis strategies for floats of every magnitude, also near the ends of domains.

If a test fails, Hypothesis shrinks the floats to simple numbers.
"""

from __future__ import annotations

import bisect
import functools
import itertools
import math
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from ...ops.number import number
from ...ops.traits import REAL, Interval

__all__ = [
    "MARGIN",
    "bounds",
    "enumerate_three_digits",
    "interior",
    "interval_near_0",
    "numbers_near_end",
    "numbers_of_every_magnitude",
    "reals",
    "three_digit_numbers",
    "tidied",
    "tidy_power_of_10",
    "whole_numbers",
]

if TYPE_CHECKING:
    from hypothesis.strategies import SearchStrategy

MARGIN = 0.05  # how far a point stays from kinks, poles and the ends of a domain
FULL_PRECISION_REACH = 3.0  # only numbers within this distance of 0, or of a domain's end, are drawn with all digits
MODERATE_MAGNITUDES = (1e-6, 1e6)  # magnitudes in this range are drawn often
DRAWN_MAGNITUDES = (1e-100, 1e100)  # squares and cubes of such numbers neither overflow nor underflow
NORMAL_MAGNITUDES = (sys.float_info.min, sys.float_info.max)


def import_strategies() -> Any:
    """Return the module `hypothesis.strategies`, which is imported only when it is needed.

    Raises:
        ImportError: hypothesis is missing; the message says what to install.
    """
    try:
        from hypothesis import strategies
    except ImportError as error:
        message = "strategies need hypothesis: pip install hypothesis, or from a clone pip install -e '.[pytest]'"
        raise ImportError(message) from error
    return strategies


def bounds(caller: str, min_value: float, max_value: float, largest: float = NORMAL_MAGNITUDES[1]) -> Interval:
    """Return the closed interval between two bounds, but within plus or minus `largest`; inf stands for no bound.

    Error messages begin with `caller`, the name of the function whose arguments the bounds are.

    Raises:
        ValueError: a bound is nan, or no number of at most `largest` in size lies between the bounds.
        TypeError: a bound is not a real number.

    >>> bounds("values", 0, math.inf)
    (0.0, 1.7976931348623157e+308)
    """
    low, high = number(min_value), number(max_value)
    for name, bound in (("min_value", low), ("max_value", high)):
        if math.isnan(bound):
            raise ValueError(f"{caller}: {name} must be a number, or an infinity for no bound, got nan")
    if not (low <= high and low <= largest and high >= -largest):
        raise ValueError(
            f"{caller}: min_value must be at most max_value, with a finite number between, "
            f"got {min_value} and {max_value}"
        )
    return max(low, -largest), min(high, largest)


def interior(domain: Interval, reach: float, margin: float = MARGIN) -> Interval:
    """Return the part of an open interval that is near 0, and at least `margin` from the ends of the interval.

    The part is within `reach` of 0. If all of the interval is farther away, the part begins at the margin of the end
    that is nearer to 0, and its length is at most twice `reach`. The margin is at most a quarter of the interval's
    length.

    >>> interior((0.0, math.inf), 3.0), interior((10.0, math.inf), 3.0), interior((0.0, 0.1), 3.0)
    ((0.05, 3.0), (10.05, 16.05), (0.025, 0.07500000000000001))
    """
    margin = min(margin, (domain[1] - domain[0]) / 4.0)
    low, high = domain[0] + margin, domain[1] - margin
    if low > reach:
        return low, min(high, low + 2.0 * reach)
    if high < -reach:
        return max(low, high - 2.0 * reach), high
    return max(low, -reach), min(high, reach)


@functools.lru_cache
def reals(
    low: float,
    high: float,
    domain: Interval = REAL,
    focus: tuple[Interval, ...] = (),
    magnitudes: Interval = DRAWN_MAGNITUDES,
) -> SearchStrategy[float]:
    """Return a Hypothesis strategy for numbers of every magnitude, also 0.0, -0.0 and numbers near a domain's ends.

    Whole numbers and other simple numbers come first, so Hypothesis shrinks a failure to these. The strategy is empty
    if no number satisfies all conditions.

    Args:
        low: the least number.
        high: the greatest number.
        domain: the open interval in which the numbers lie.
        focus: intervals from which about every second number is drawn.
        magnitudes: the least absolute value of numbers other than 0, and the greatest.

    >>> from hypothesis import find
    >>> find(reals(-1e9, 1e9), lambda x: x > 999)
    1000.0
    """
    st = import_strategies()
    first = max(low, math.nextafter(domain[0], math.inf))
    last = min(high, math.nextafter(domain[1], -math.inf))
    if first > last:
        return st.nothing()  # type: ignore[no-any-return]
    near = interval_near_0(domain, first, last)
    moderate = max(MODERATE_MAGNITUDES[0], magnitudes[0]), min(MODERATE_MAGNITUDES[1], magnitudes[1])

    def tidy(x: float) -> float:
        return tidied(x, first, last, magnitudes[0])

    kinds = [
        *([whole_numbers(*near), floats_between(*near).map(tidy)] if magnitudes[0] < FULL_PRECISION_REACH else []),
        three_digit_numbers(first, last, *moderate),
        numbers_of_every_magnitude(first, last, *moderate),
        numbers_of_every_magnitude(first, last, *magnitudes),
        st.one_of([numbers_near_end(end, first, last) for end in domain if end and math.isfinite(end)]),
        st.sampled_from((0.0, -0.0)) if first <= 0.0 <= last else st.nothing(),  # a single draw, as for a whole number
    ]
    chosen = [kind for kind in kinds if not kind.is_empty]
    in_focus = [floats_between(max(first, a), min(last, b)).map(tidy) for a, b in focus if a <= last and first <= b]
    chosen += [st.one_of(in_focus) for _ in chosen if in_focus]  # every second number
    return st.sampled_from(range(len(chosen))).flatmap(chosen.__getitem__)  # type: ignore[no-any-return]


def interval_near_0(domain: Interval, first: float, last: float) -> Interval:
    """Return the interval in which `reals` draws numbers with all their digits; elsewhere it draws three-digit numbers.

    The interval is near 0 if 0 is in the domain and between the bounds `first` and `last`. Otherwise it is near the end
    of the domain, or the bound, that is nearest to 0.
    """
    low, high = interior(domain, FULL_PRECISION_REACH)
    low, high = max(low, first), min(high, last)
    return (low, high) if low <= high else interior((first, last), FULL_PRECISION_REACH, 0.0)


def tidied(x: float, first: float, last: float, least: float) -> float:
    """Return x, but round a tiny number to three significant digits, and one below `least` in absolute value to 0.0.

    If 0.0 is not between the bounds `first` and `last`, the bound that is farther from 0.0 is returned instead of 0.0.

    >>> [tidied(x, first, 1.0, 1e-100) for x, first in ((-1.23456e-9, -1.0), (1e-200, -1.0), (1e-200, 1e-300))]
    [-1.23e-09, 0.0, 1.0]
    """
    if math.fabs(x) >= MODERATE_MAGNITUDES[0]:
        return x
    if math.fabs(x) >= least:
        return min(max(float(f"{x:.2e}"), first), last)
    return 0.0 if first <= 0.0 <= last else max(first, last, key=math.fabs)


def whole_numbers(low: float, high: float) -> SearchStrategy[float]:
    """Return a Hypothesis strategy for the whole numbers of a closed interval, as floats; empty if there are none."""
    st = import_strategies()
    first, last = math.ceil(low), math.floor(high)
    return st.integers(first, last).map(float) if first <= last else st.nothing()  # type: ignore[no-any-return]


def floats_between(low: float, high: float) -> SearchStrategy[float]:
    """Return a Hypothesis strategy for the floats of a closed interval; if possible, it shrinks to a whole number."""
    st = import_strategies()
    return st.one_of(whole_numbers(low, high), st.floats(low, high, allow_subnormal=False))  # type: ignore[no-any-return]


def three_digit_numbers(low: float, high: float, least: float, most: float) -> SearchStrategy[float]:
    """Return a Hypothesis strategy for numbers with at most three significant digits, such as 0.125 or 4e+30.

    They lie between the bounds `low` and `high`, and their absolute values are from `least` to `most`. The numbers are
    enumerated, and the whole numbers up to 999 come first, so they are drawn most often. An integer is drawn as the
    index of a number, since integers shrink well.
    """
    st = import_strategies()
    count, numbered = enumerate_three_digits(low, high, least, most)
    return st.integers(0, count - 1).map(numbered) if count else st.nothing()  # type: ignore[no-any-return]


def enumerate_three_digits(low: float, high: float, least: float, most: float) -> tuple[int, Callable[[int], float]]:
    """Return the count of numbers with up to three significant digits, and a function from an index to such a number.

    The numbers lie between `low` and `high`, and their absolute values between `least` and `most`. Some numbers are
    counted several times, since 1.0 and 1.00 count as two numbers.

    >>> count, numbered = enumerate_three_digits(-2.0, 1.1, 0.9, 1e6)
    >>> count, [numbered(k) for k in range(9)]
    (350, [1.0, -1.0, -2.0, 0.9, 1.0, 1.1, -0.9, -1.0, -1.1])
    """
    decades: list[tuple[int, int, int, int, int]] = []
    for sign, near, far in ((1, low, high), (-1, -high, -low)):
        a, b = max(near, least), min(far, most)
        for exponent in range(math.floor(math.log10(a)) - 2, math.floor(math.log10(b)) + 1) if a <= b else ():
            first, last = math.ceil(a / 10.0**exponent), math.floor(min(999.0, b / 10.0**exponent))
            if first <= last:
                decades.append((abs(exponent), exponent, -sign, first, last))
    decades.sort()
    ends = list(itertools.accumulate(last - first + 1 for *_, first, last in decades))

    def numbered(k: int) -> float:
        i = bisect.bisect_right(ends, k)
        _, exponent, below, _, last = decades[i]
        return min(max(-below * float(f"{last + 1 + k - ends[i]}e{exponent}"), low), high)

    return ends[-1] if ends else 0, numbered


def numbers_of_every_magnitude(low: float, high: float, least: float, most: float) -> SearchStrategy[float]:
    """Return a Hypothesis strategy for numbers of all magnitudes from `least` to `most`, about equally often.

    They lie between the bounds `low` and `high`. A number is 10**e or -10**e, rounded to three significant digits. The
    exponent e is drawn as a float, since Hypothesis draws floats from all parts of an interval about equally often, but
    not integers from a large range. A failure shrinks to a whole e.
    """
    st = import_strategies()
    signs = []
    for sign, near, far in ((1.0, low, high), (-1.0, -high, -low)):
        a, b = max(near, least), min(far, most)
        if a <= b:
            exponents = st.floats(math.log10(a), math.log10(b))
            signs.append(exponents.map(lambda e, s=sign: min(max(s * tidy_power_of_10(e), low), high)))
    return st.one_of(signs)  # type: ignore[no-any-return]


def tidy_power_of_10(exponent: float) -> float:
    """Return 10**exponent, rounded to three significant digits.

    >>> tidy_power_of_10(2.5), tidy_power_of_10(-3.5), tidy_power_of_10(-3.0)
    (316.0, 0.000316, 0.001)
    """
    whole = math.floor(exponent)
    return float(f"{10.0 ** (exponent - whole):.2f}e{whole}")


def numbers_near_end(end: float, low: float, high: float) -> SearchStrategy[float]:
    """Return a Hypothesis strategy for numbers from `low` to `high` that are near `end`, which is the end of a domain.

    The distances from `end` are of every magnitude, down to a millionth of the largest distance.
    """
    far = min(MARGIN, 0.25 * (high - low))
    distances = numbers_of_every_magnitude(0.0, far, 1e-6 * far, far)
    sign = 1.0 if end <= low else -1.0
    return distances.map(lambda d: min(max(end + sign * d, low), high))
