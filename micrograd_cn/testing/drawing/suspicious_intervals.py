"""Intervals in which an operation's partial changes fast, or does not match the operation's values.

Hypothesis strategies draw more numbers there.
"""

from __future__ import annotations

import functools
import itertools
import math
from collections.abc import Callable, Sequence

from ...ops.operation import Op
from ...ops.traits import Interval
from .float_strategies import interior

__all__ = [
    "arities_among",
    "fast_cells",
    "find_suspicious",
    "grid_over",
    "kink_finder",
    "persistent_part",
    "sample_along",
    "suspicious_intervals",
    "unexplained_change",
]

# Up to this distance from 0, the grid has even steps. An interval that is narrower than a step may be missed.
GRID_REACH, STEPS_PER_UNIT = 8, 40
DECADES, STEPS_PER_DECADE = range(-6, 6), 8  # farther away, and near 0 and ends of the domain, the grid is logarithmic
UNEXPLAINED_PART = 1e-3  # how large the result of `unexplained_change` may be in an interval that is not suspicious
MAX_INTERVALS = 8  # how many intervals are kept for each operand, at most: the most suspicious ones

Sample = tuple[float, float, float]  # x, the value there, and the partial


def arities_among(op: Op, counts: Sequence[int]) -> tuple[int, ...]:
    """Return the entries of `counts` that the operation accepts as its number of operands.

    If it accepts none of them, return the first entry of its attribute `arities`.

    >>> from micrograd_cn import mul, sum
    >>> own = Op("own", max, max, arities=(4,))
    >>> [arities_among(op, (1, 2, 3)) for op in (mul, sum, own)]
    [(2,), (1, 2, 3), (4,)]
    """
    return tuple([n for n in counts if n in op.arities]) or (op.arities[0],)


@functools.lru_cache
def suspicious_intervals(op: Op) -> tuple[tuple[Interval, ...], ...]:
    """Return the suspicious intervals for each operand; for an n-ary operation, those for all operands together.

    Each operand in turn takes the numbers of a grid, while the other operands stay the same. An interval of the grid is
    suspicious if the integral of the partial differs from the change of the value, however finely the interval is
    divided for the integral. It is also suspicious if the partial changes four times as fast as on both sides of the
    interval.

    >>> from micrograd_cn import less, tanh, where
    >>> bad = Op("bad", lambda x: x * x, (lambda y, x: where(less(1.3, x) * less(x, 1.35), 2.1, 2.0) * x,))
    >>> suspicious_intervals(bad), suspicious_intervals(tanh)
    ((((1.3, 1.35),),), ((),))
    """
    count = arities_among(op, range(1, 5))[-1]
    found: list[dict[Interval, float]] = [{} for _ in op.smoothness.domain]
    insides = [interior(op.smoothness.domain[slot % len(op.smoothness.domain)], 3.0) for slot in range(count)]
    others = [low + (high - low) / (1.6 + slot) for slot, (low, high) in enumerate(insides)]  # no two are equal
    for slot in range(count):
        domain = op.smoothness.domain[slot % len(op.smoothness.domain)]
        suspicious = find_suspicious(sample_along(op, slot, others), grid_over(domain), kink_finder(op, slot, others))
        found[slot % len(op.smoothness.domain)].update(suspicious)
    return tuple([tuple(sorted(sorted(each, key=each.__getitem__)[-MAX_INTERVALS:])) for each in found])


def sample_along(op: Op, slot: int, others: list[float]) -> Callable[[float], Sample]:
    """Return a function of a number. It computes both the operation and its partial with respect to operand `slot`.

    Operand `slot` is that number, and the other operands come from `others`. The function returns a `Sample`. If the
    operation raises an error, the value and the partial in it are nan.
    """

    def at(x: float) -> Sample:
        xs = [*others[:slot], x, *others[slot + 1 :]]
        try:
            y = op.forward(*xs)
            return x, y, float(op.local_derivatives(y, *xs)[slot])
        except Exception:  # the checks report what is wrong with the row
            return x, math.nan, math.nan

    return at


@functools.lru_cache
def grid_over(domain: Interval) -> list[float]:
    """Return a grid of numbers in `domain`, in ascending order, at which to evaluate an operation and its partial."""
    even = [k / STEPS_PER_UNIT for k in range(-GRID_REACH * STEPS_PER_UNIT, GRID_REACH * STEPS_PER_UNIT + 1)]
    powers = [10.0 ** (e + k / STEPS_PER_DECADE) for e in DECADES for k in range(STEPS_PER_DECADE)]
    near = [end + sign * p for end in (0.0, *domain) if math.isfinite(end) for p in powers for sign in (1.0, -1.0)]
    low, high = interior(domain, math.inf, powers[0])
    fractions = [low + (high - low) * k / 100 for k in range(101)] if math.isfinite(high - low) else []
    return sorted({x for x in [*even, *near, *fractions] if low <= x <= high})


def kink_finder(op: Op, slot: int, others: list[float]) -> Callable[[Interval], bool]:
    """Return a function that tells whether an operation has a kink, a jump or a pole in an interval of operand `slot`.

    Strategies draw no extra points in such an interval. `others` has a number for each operand; the one at `slot` is
    not used.
    """

    def has_kink(interval: Interval) -> bool:
        if op.smoothness.kink is None:
            return False
        low, high = interval
        xs = [high, *[low + (high - low) * (math.sqrt(k) % 1.0) for k in range(1, 20)]]  # not evenly spaced
        kinks = [op.smoothness.kink(*others[:slot], x, *others[slot + 1 :]) for x in xs]
        return not (all(kink > 0.0 for kink in kinks) or all(kink < 0.0 for kink in kinks))

    return has_kink


def find_suspicious(
    at: Callable[[float], Sample], grid: list[float], has_kink: Callable[[Interval], bool]
) -> dict[Interval, float]:
    """Return suspicious intervals (see `suspicious_intervals`), each with a score: the higher, the more suspicious.

    A cell is the interval between two neighbouring points of the grid. Suspicious cells that touch are joined.

    Args:
        at: evaluates the operation and its partial at a point.
        grid: the points, in ascending order.
        has_kink: tells whether an interval has a kink; such intervals are left out.
    """
    cells = list(itertools.pairwise([at(x) for x in grid]))
    suspicious: dict[Interval, float] = {}
    for cell in cells:
        score = unexplained_change(*cell)
        if score > UNEXPLAINED_PART and (interval := persistent_part(at, *cell)):
            suspicious[interval] = score
    for k in fast_cells(cells):
        suspicious.setdefault((cells[k][0][0], cells[k][1][0]), UNEXPLAINED_PART)
    joined: dict[Interval, float] = {}
    for low, high in sorted(interval for interval in suspicious if not has_kink(interval)):
        score = suspicious[low, high]
        for before in [before for before in joined if before[1] == low]:
            low, score = before[0], max(score, joined.pop(before))
        joined[low, high] = score
    return joined


def unexplained_change(a: Sample, b: Sample) -> float:
    """Return how far an operation's change over an interval is from what its partials at the two ends predict.

    `a` and `b` are the samples at the ends of the interval. The prediction is the integral of the partial by the
    trapezoidal rule. The distance is reduced by what rounding may explain, so it may be negative. It is relative to the
    size of the change plus the integral of the partial's size. If the change is infinite or nan, the result is 0.0.
    Otherwise, if a partial is infinite or nan, the result is 1.0.
    """
    change, dx = b[1] - a[1], b[0] - a[0]
    if not math.isfinite(change):
        return 0.0
    if not math.isfinite(a[2] + b[2]):
        return 1.0
    noise = 8.0 * (math.ulp(a[1]) + math.ulp(b[1]))
    size = math.fabs(change) + 0.5 * (math.fabs(a[2]) + math.fabs(b[2])) * dx
    return (math.fabs(change - 0.5 * (a[2] + b[2]) * dx) - noise) / size if 0.0 < size < math.inf else 0.0


def persistent_part(at: Callable[[float], Sample], a: Sample, b: Sample) -> Interval | None:
    """Return the part of an interval in which an operation's value changes otherwise than its partials predict.

    The interval is divided again and again, so the prediction becomes more exact (see `unexplained_change`). None is
    returned if the change is then predicted everywhere. `a` and `b` are the samples at the two ends of the interval.
    """
    interval, narrowing = (a[0], b[0]), True
    for k in range(24):
        middle = at(0.5 * (a[0] + b[0]))
        halves = sorted(((a, middle), (middle, b)), key=lambda half: unexplained_change(*half))
        if unexplained_change(*halves[1]) <= UNEXPLAINED_PART:
            return None
        a, b = halves[1]
        narrowing = narrowing and k < 5 and unexplained_change(*halves[0]) <= UNEXPLAINED_PART
        if narrowing:
            interval = a[0], b[0]
    return interval


def fast_cells(cells: list[tuple[Sample, Sample]]) -> list[int]:
    """Return the indices of cells in which the partial changes more than four times as fast as in cells on both sides.

    The cells on both sides are those four to six cells away. A cell is an interval between two neighbouring points of a
    grid, given as the samples at its two ends.
    """
    rates = [math.fabs((b[2] - a[2]) / (b[0] - a[0])) for a, b in cells]
    found = []
    for k in range(6, len(cells) - 6):
        around, (a, b) = rates[k - 6 : k + 7], cells[k]
        if (
            math.isfinite(sum(around))
            and math.fabs(a[0]) < GRID_REACH - 1  # beyond that, the cells have different widths
            and rates[k] > 4.0 * max(*around[:3], *around[-3:])
            and math.fabs(b[2] - a[2]) > UNEXPLAINED_PART * math.fabs(a[2])
        ):
            found.append(k)
    return found
