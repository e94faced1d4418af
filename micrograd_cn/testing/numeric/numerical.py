"""Numerical derivatives that estimate their own error, and the measured rounding error of a function."""

from __future__ import annotations

import itertools
import math
import statistics
from collections.abc import Callable, Iterable, Mapping, Sequence
from math import inf, nan
from typing import NamedTuple

from ...engine import Value, topological_order
from ...gradients import gradients
from ...ops.operation import Op
from ...ops.registry import OPS
from .call_budget import OutOfCalls
from .thresholds import (
    AGREEING_ERRORS,
    ALIASED_DIVISION,
    ALIASED_SHARE,
    ALIASED_STEP,
    ERROR_GROWTH,
    EXACT_VALUE_DERIVATIVE,
    FAR_NOISE,
    FINEST_JUMP,
    GUESS,
    HARDLY_NOISE,
    JUMPING,
    LEVELS,
    LOST_DIGITS_ERROR,
    MAX_SMOOTH_CHANGE,
    MIN_STILL,
    NEAR_SHARE,
    NEIGHBOUR_NOISE,
    NEIGHBOUR_SHARE,
    NOISE_OFFSET,
    NOISE_STEP,
    NOISE_ULPS,
    PROPORTIONAL,
    QUOTIENT_NOISE,
    REMAINDER_NOISE,
    SAME_NOISE,
    STATED_ROUNDING,
    STEADY,
    STILL_STEP,
    VANISHING,
    WIDE_ULP,
)

__tracebackhide__ = True  # pytest leaves out the frames of this file


# What a function raises outside its domain: it may assert that its arguments lie inside, PyTorch raises RuntimeError,
# and numpy's warnings may be errors. A GradientMismatch is an AssertionError, too, but it is always raised again.
DOMAIN_ERRORS = ArithmeticError, AssertionError, ValueError, RuntimeError, RuntimeWarning


class Estimate(NamedTuple):
    """A numerical derivative, with an estimate of its error.

    Attributes:
        slope: the derivative; nan if none was found.
        error: an estimate of its absolute error; inf if none was found.
        noise: the part of `error` that comes from rounding in the function's values.
    """

    slope: float
    error: float
    noise: float = 0.0


class Steps(NamedTuple):
    """The step sizes of a numerical derivative, and the error at which it is exact enough.

    Attributes:
        first_steps: the first step of each extrapolation; the largest one comes first. An extrapolation halves its step
            again and again (see `derivative`).
        finest: no step is smaller than this.
        relative_error: an estimate is exact enough if its error is at most this fraction of its slope.
        absolute_error: an estimate is also exact enough if its error is at most this.
        stops_early: whether an extrapolation ends as soon as its estimate is exact enough. Otherwise it goes on until
            the estimated error grows.
    """

    first_steps: Sequence[float]
    finest: float
    relative_error: float
    absolute_error: float = 0.0
    stops_early: bool = False

    def suffice(self, e: Estimate) -> bool:
        """Return whether the error of the estimate is small enough by `relative_error` or by `absolute_error`."""
        return e.error <= max(self.relative_error * math.fabs(e.slope), self.absolute_error)


def derivative(
    g: Callable[[float], float],
    x: float,
    side: int = 0,
    rounding: float = 0.0,
    steps: Steps | None = None,
    accept: Callable[[Estimate], bool | None] | None = None,
) -> Estimate:
    """Return the derivative of `g` at `x`, computed from values of `g` alone.

    Difference quotients with steps h, h/2, h/4, ... are extrapolated to h = 0 (Richardson). The differences of the
    extrapolated values estimate the error, and the extrapolation stops when these differences grow again (Ridders 1982,
    Advances in Engineering Software 4, 75). Several first steps h are tried, since only a step that is smaller than the
    distance to the next kink, pole or edge of the domain can give the correct result. If no result can be trusted, the
    slope is nan.

    Args:
        g: the function of one number that is differentiated.
        x: the point at which `g` is differentiated.
        side: 0 for a central derivative, 1 for the derivative from the right, -1 for the derivative from the left.
        rounding: the absolute error of the values of `g` that comes from rounding inside `g`.
        steps: the sizes of the steps; the default suits a function that computes in doubles.
        accept: tells whether the caller's derivative agrees with an estimate; None if the estimate is not exact enough
            to tell. The first estimate for which it returns True is returned, if extrapolations with the next two
            smaller first steps agree, and if the caller's derivative does not disagree with a more exact estimate.
            Without these two conditions, the noise of small steps would excuse what larger steps have shown.

    >>> estimate = derivative(lambda x: x**3, 2.0)
    >>> abs(estimate.slope - 12) <= estimate.error < 1e-8
    True
    """
    if steps is None:
        sizes = {1.0, math.fabs(x) or 1.0}
        first = sorted({size * 2.0**-k for size in sizes for k in (3, 9, 16, 24)}, reverse=True)
        here = g(x)
        sides = [side] if side else [1, -1]
        if all(g(x + sign * h) == here for h in first for sign in sides):  # g does not depend on x
            return Estimate(0.0, math.ulp(here) / first[0])
        steps = Steps(first, 0.0, EXACT_VALUE_DERIVATIVE)
    found: list[Estimate] = []
    for i, h in enumerate(steps.first_steps):
        estimate = _extrapolate(g, x, h, side, rounding, steps, accept=accept)
        found.append(estimate)
        if accept and accept(estimate) and not any(_refutes(e, estimate, accept) for e in found):
            finer = (_extrapolate(g, x, h, side, rounding, steps, levels=2) for h in steps.first_steps[i + 1 :][:2])
            if all(agree(estimate, other) for other in finer):
                return estimate
        elif steps.suffice(estimate):
            others = [_extrapolate(g, x, h, side, rounding, steps, levels=3) for h in steps.first_steps[i + 1 :][-2:]]
            if all(agree(estimate, other) for other in others):
                return estimate
    # Trust the estimate of a coarse step only if all finer ones agree: it may have stepped over a kink.
    kept = [e for i, e in enumerate(found) if all((_confirms if side else agree)(finer, e) for finer in found[i:])]
    best = min(kept, key=lambda e: e.error, default=Estimate(nan, inf))
    if math.ulp(x) > WIDE_ULP and not _predicts_neighbours(best, g, x, rounding):
        return Estimate(nan, inf)
    return best


def taylor_order(
    g: Callable[[float], float], x: float, slope: float, rounding: float = 0.0, first: float = 0.0
) -> float:
    """Return the order in h of the Taylor remainder |g(x + h) - g(x) - slope * h|.

    The order is 2 or more if `slope` is the derivative of `g` at `x`, and 1 if it is not. The step h is halved again
    and again; the result is the median of the orders at the last three steps. Remainders that rounding hides are left
    out. If that leaves none, the result is nan.

    Args:
        g: the function of one number whose Taylor remainder is computed.
        x: the point around which `g` is expanded.
        slope: the derivative to be checked.
        rounding: the absolute error of the values of `g`.
        first: the largest step; by default an eighth of max(|x|, 1).

    >>> round(taylor_order(math.exp, 0.0, 1.0)), round(taylor_order(math.exp, 0.0, 1.01))
    (2, 1)
    """
    scale, here = max(math.fabs(x), 1.0), g(x)
    steps = [first * 2.0**-k for k in range(12)] if first else [scale * 2.0**-k for k in range(3, 25)]
    remainders = [math.fabs(g(x + h) - here - slope * h) for h in steps]
    noise = REMAINDER_NOISE * max(rounding, math.ulp(here))
    orders = [math.log2(a / b) for a, b in itertools.pairwise(remainders) if all(noise < r < inf for r in (a, b))]
    return statistics.median(orders[-3:]) if orders else nan


def is_off_in_first_order(
    g: Callable[[float], float], x: float, slope: float, rounding: float, first: float, mismatch: float
) -> bool:
    """Return whether values of `g` on both sides of `x` show that `slope` is wrong, even if `g` has a large curvature.

    The Taylor remainder r(h) = g(x + h) - g(x) - slope * h has a term of first order in h, which is the mistake, and
    one of second order, which may be far larger. In (r(h) - r(-h)) / 2, the second one cancels. This difference must be
    proportional to h in the last three steps in which rounding does not hide it. The other part, (r(h) + r(-h)) / 2,
    must be small or vanish faster than h, since at a kink it is proportional to h, too.

    Args:
        g: the function of one number whose Taylor remainder is computed.
        x: the point around which `g` is expanded.
        slope: the derivative to be checked.
        rounding: the absolute error of the values of `g`.
        first: the largest step; it is halved again and again.
        mismatch: how far `slope` is from the numerical derivative. The steps must show a mistake of half to twice this
            size.

    >>> def curved(x: float) -> float:
    ...     return x + 1e3 * x * x
    >>> [is_off_in_first_order(curved, 0.0, slope, 1e-9, 0.5, 1.0 - slope) for slope in (0.99, 1.0)]
    [True, False]
    """
    here = g(x)
    noise = REMAINDER_NOISE * max(rounding, math.ulp(here))
    seen: list[tuple[float, float]] = []  # of half of the difference and half of the sum, over the step
    for h in [first * 2.0**-k for k in range(12)]:
        right, left = g(x + h) - here - slope * h, g(x - h) - here + slope * h
        odd, even = 0.5 * (right - left), 0.5 * (right + left)
        if noise < math.fabs(odd) < inf:
            seen.append((odd / h, even / h))
    if len(seen) < 3:
        return False
    odds, evens = zip(*seen[-3:], strict=True)
    sizes, last = [math.fabs(odd) for odd in odds], math.fabs(evens[-1])
    proportional = min(odds) * max(odds) > 0.0 and max(sizes) <= PROPORTIONAL * min(sizes)
    vanishes = last <= VANISHING[0] * sizes[-1] or last <= VANISHING[1] * math.fabs(evens[0])
    return proportional and vanishes and 0.5 * math.fabs(mismatch) <= sizes[-1] <= 2.0 * math.fabs(mismatch)


def _predicts_neighbours(e: Estimate, g: Callable[[float], float], x: float, rounding: float) -> bool:
    """Return whether the slope of `e` predicts the values of `g` at the two nearest floats on each side of `x`.

    The caller asks this if x is so large that neighbouring floats are far apart. If the slope does not predict the
    values of `g` there, `g` oscillates between neighbouring floats, and the estimate is worthless.
    """
    here = g(x)
    for k in (-2, -1, 1, 2):
        there, change = g(x + k * math.ulp(x)), e.slope * (k * math.ulp(x))
        noise = NEIGHBOUR_NOISE * max(math.ulp(here), rounding)
        if not math.fabs(there - here - change) <= noise + NEIGHBOUR_SHARE * math.fabs(change):
            return False
    return True


def jump_near(values: Mapping[float, float], slope: float, rounding: float) -> float | None:
    """Return a short step over which a function changes so much that it seems to jump; None if there is none.

    The change is then far larger than rounding, and than the slopes over longer steps predict.

    Args:
        values: the changes of the function, keyed by the step from the point.
        slope: a further slope of the function, such as the derivative that is checked.
        rounding: the absolute rounding error of the changes.

    >>> jump_near({0.25: 0.25, 2.0**-20: 2.0**-20, -(2.0**-24): 1.0}, 1.0, 1e-16)
    -5.960464477539063e-08
    >>> jump_near({0.25: 1.0, 2.0**-20: 2.0**-18}, 0.0, 1e-16)  # it is as steep over the longer step
    """
    least, slope = FINEST_JUMP * rounding, math.fabs(slope) if math.isfinite(slope) else 0.0
    steep = [t for t, y in values.items() if t and least + JUMPING * slope * math.fabs(t) < math.fabs(y) < inf]
    if not steep:  # as for most functions
        return None
    finite = [(math.fabs(t), math.fabs(y)) for t, y in values.items() if t and math.isfinite(y)]
    near = NEAR_SHARE * max(size for size, _ in finite)
    steepest = max((change / size for size, change in finite if size > near), default=0.0)
    return next((t for t in steep if math.fabs(values[t]) > least + JUMPING * steepest * math.fabs(t)), None)


def noise_level(
    g: Callable[[float], float], x: float, steps: Iterable[int] = (40, 28, 22, 16), least: float = 0.0
) -> float:
    """Return the absolute rounding error of the values of `g` near `x`; 0.0 if no noise can be seen.

    The noise is measured at equally spaced points beside `x`, with several spacings. The largest noise is returned.

    Args:
        g: the function of one number whose rounding error is measured.
        x: the point near which the error is measured.
        steps: exponents k. The spacing is about 2**-k and, if |x| < 1, also about 2**-k |x|. Several are needed: points
            that are too close may all give the same value, as when a part of `g` computes in float32, and between
            points that are too far apart, `g` may oscillate. Such an oscillation is not rounding. It is left out if
            closer points have shown that `g` is steep and smooth.
        least: the smallest noise that matters to the caller. If the values of `g` at three points of a spacing differ
            by far less than `least`, the other points of this spacing are left out.

    >>> 1e-17 < noise_level(lambda x: math.log(math.cosh(x)), 1e-6) < 1e-15
    True
    """
    size = min(math.fabs(x) or 1.0, 1.0)
    found = slope = 0.0
    for scale in dict.fromkeys((size, 1.0)):
        for k in sorted(steps, reverse=True):  # from near points to far ones
            step = NOISE_STEP * scale * 2.0**-k
            if step < NOISE_ULPS * math.ulp(x):  # between neighbouring floats, not every change is rounding
                continue
            # All points are on one side of x: a kink at x would look like noise, and an odd function would show none.
            for h in (step, -step):
                points = [x + (i + NOISE_OFFSET) * h for i in range(9)]
                three = points[::4]
                few = [g(point) for point in three]
                is_quiet = max(few) - min(few) < HARDLY_NOISE * least
                known = dict(zip(three, few, strict=True))
                values = few if is_quiet else [known[point] if point in known else g(point) for point in points]
                if all(map(math.isfinite, values)):
                    break
            if is_quiet:
                continue
            level = _noise_in_differences(values)
            steep = slope != 0.0 and level > ALIASED_SHARE * (max(values) - min(values))
            steep = steep and math.fabs(slope * h) >= ALIASED_STEP * level
            if steep and _is_continuous(g, x, ALIASED_DIVISION * level / math.fabs(slope)):
                continue
            slope = slope or _steady_slope(values, h)
            # Farther from x, values may be larger, and so may their last bits: those are no noise at x.
            if scale == size or level > FAR_NOISE * math.ulp(max(map(math.fabs, values))):
                found = max(found, level)
    return found


def _steady_slope(values: list[float], h: float) -> float:
    """Return the slope of a function from values at points with the spacing `h`; 0.0 if the slope varies among them."""
    changes = [b - a for a, b in itertools.pairwise(values)]
    low, high = min(changes), max(changes)
    return (values[-1] - values[0]) / (h * len(changes)) if high - low <= STEADY * min(abs(low), abs(high)) else 0.0


def _is_continuous(g: Callable[[float], float], x: float, h: float) -> bool:
    """Return whether `g` changes between points near `x` with the spacing `h`, and none of its changes is a jump.

    A jump is a change that is far larger than most of the others. If rounding makes a staircase or a sawtooth of a
    function, the function jumps.
    """
    values = [g(x + (i + NOISE_OFFSET) * h) for i in range(33)]
    changes = sorted(math.fabs(b - a) for a, b in itertools.pairwise(values))
    return 0.0 < changes[-1] <= MAX_SMOOTH_CHANGE * changes[16]


def _noise_in_differences(values: list[float]) -> float:
    """Return the rounding error of a function, from its values at equally spaced points; 0.0 if it cannot be seen.

    It cannot be seen if the points are too far apart. Differences of high order vanish for a smooth function. Those of
    noise do not: they change sign, and three orders in a row estimate the same noise (ECnoise; Moré and Wild 2011, SIAM
    Journal on Scientific Computing 33, 1292).
    """
    if not all(map(math.isfinite, values)):
        return 0.0
    levels: list[float] = []
    turns: list[bool] = []
    differences, factor = values, 1.0
    for order in range(1, 7):
        differences = [b - a for a, b in itertools.pairwise(differences)]
        still = differences.count(0.0)
        if order == 1 and still >= MIN_STILL:  # a staircase; if there is a single step, it may be a jump
            return 0.5 * max(map(math.fabs, differences)) if still < len(differences) - 1 else 0.0
        factor *= order / (4.0 * order - 2.0)  # (order!)^2 / (2 order)!, the inverse of independent errors' variance
        levels.append(2.0 * math.sqrt(factor / len(differences)) * math.hypot(*differences))
        turns.append(any(a * b < 0.0 for a, b in itertools.pairwise(differences)))
    for turn, *three in zip(turns, levels, levels[1:], levels[2:], strict=False):
        if turn and max(three) <= SAME_NOISE * min(three):
            return three[0]
    return 0.0


def _refutes(e: Estimate, accepted: Estimate, accept: Callable[[Estimate], bool | None]) -> bool:
    """Return whether `e` is more exact than `accepted`, agrees with it, and refutes the derivative that is checked.

    `accept` tells whether an estimate agrees with the derivative that is checked.
    """
    return e.error < accepted.error and agree(accepted, e) and accept(e) is False


def _confirms(finer: Estimate, e: Estimate) -> bool:
    """Return whether `finer`, a one-sided estimate with a smaller first step, agrees with `e`, and is no guess.

    The estimate `finer` is a guess if its error is finite, larger than the slope of `e`, and far larger than rounding
    and the error of `e`. Then it has not converged, and `e`, with larger steps, cannot have converged either. That
    happens where the function oscillates quickly. An error of inf means that no finer estimate was found, which says
    nothing against `e`, so the result is True.
    """
    guess = finer.error > max(GUESS * max(finer.noise, e.error), math.fabs(e.slope))
    return agree(e, finer) and not (guess and math.isfinite(finer.error))


def agree(a: Estimate, b: Estimate) -> bool:
    """Return whether the slopes of two estimates differ by at most `AGREEING_ERRORS` times the sum of their errors.

    A slope of nan, which means that no derivative was found, agrees with every slope.
    """
    return not math.fabs(a.slope - b.slope) > AGREEING_ERRORS * (a.error + b.error)


def central_quotient(g: Callable[[float], float], x: float, h: float) -> float:
    """Return the central difference quotient of `g` at `x` with step `h`.

    >>> central_quotient(lambda x: x * x, 3.0, 0.5)
    6.0
    """
    return (g(x + h) - g(x - h)) / (2.0 * h)


def two_step_estimate(g: Callable[[float], float], x: float, h: float, finer: float, rounding: float) -> Estimate:
    """Return the central derivative by one Richardson extrapolation from the quotients with steps `h` and `finer`.

    `rounding` is the absolute error of the values of `g`.

    >>> estimate = two_step_estimate(lambda x: x**3, 2.0, 2.0**-3, 2.0**-16, 0.0)
    >>> abs(estimate.slope - 12) <= estimate.error < 1e-9
    True
    """
    coarse, fine = central_quotient(g, x, h), central_quotient(g, x, finer)
    noise = 2.0 * max(math.ulp(g(x + finer)), math.ulp(g(x - finer)), rounding) / finer
    off = (fine - coarse) / ((h / finer) ** 2 - 1.0)
    return Estimate(fine + off, math.fabs(off) + noise, noise)


def _extrapolate(
    g: Callable[[float], float],
    x: float,
    h: float,
    side: int,
    rounding: float,
    steps: Steps,
    levels: int = LEVELS,
    accept: Callable[[Estimate], bool | None] | None = None,
) -> Estimate:
    """Return the best estimate of one extrapolation, which begins with the step `h` and uses at most `levels` steps.

    Each step is half of the step before. For `side` 0, the difference quotients are central; for 1 and -1, they use the
    values on the right and on the left of `x`. `rounding` is the absolute error of the values of `g`. If
    `steps.stops_early` is set, the extrapolation ends at the first estimate that `steps` or `accept` calls exact
    enough. Otherwise, it ends when the estimated error grows (see `derivative`).
    """
    order = 1 if side else 2  # the error is a power series in h; that of a central quotient is one in h * h
    best = Estimate(nan, inf)
    previous: list[float] = []
    for _ in range(levels):
        right, left = (x + h if side >= 0 else x), (x - h if side <= 0 else x)
        if right == left or h < steps.finest:
            break
        try:
            high, low = g(right), g(left)
        except OutOfCalls:
            break
        width = right - left
        quotient = (high - low) / width
        row, least = [quotient], best.error
        noise = QUOTIENT_NOISE * max(math.ulp(max(math.fabs(high), math.fabs(low))), rounding) / width
        factor = 1.0
        for before in previous:
            factor *= 2.0**order
            quotient = (factor * quotient - before) / (factor - 1.0)
            row.append(quotient)
            error = math.fabs(quotient - before) + noise
            if error < least:
                slope, least = quotient, error
        if least < best.error:
            best = Estimate(slope, least, noise)
        if previous and ERROR_GROWTH * least < math.fabs(row[-1] - previous[-1]) < inf:
            break
        if steps.stops_early and (steps.suffice(best) or (accept and accept(best))):
            break
        previous = row if math.isfinite(row[0]) else []
        h /= 2.0
    return best


def rounding_error(y: Value, moved: Value | None = None) -> float:
    """Return how far rounding may change `y`: the sum, over all nodes, of the node's rounding error times |dy/dnode|.

    Args:
        y: the result; the nodes are those of its graph.
        moved: the only leaf that the caller varies; None if the caller varies all leaves. If a user-defined operation
            does not state its rounding error, the error is measured by varying its operands; leaves other than `moved`
            stay as they are.
    """
    nodes = topological_order(y)
    effects = [
        math.fabs(d) * _operation_rounding(node, moved) for d, node in zip(gradients(y, nodes), nodes, strict=True)
    ]
    return math.fsum(effect for effect in effects if math.isfinite(effect))


def loses_digits(y: Value) -> bool:
    """Return whether a user-defined operation computed a value in the graph of `y` to few correct digits.

    For example, 1 - cos(x) has few correct digits if x is near 0. Operations that state their rounding error are not
    looked at.

    >>> own = Op("own", lambda x: 1.0 - math.cos(x), (lambda y, x: math.sin(x),))
    >>> loses_digits(own(Value(1e-6))), loses_digits(own(Value(1.0)))
    (True, False)
    """
    own = [node for node in topological_order(y) if not _has_stated_rounding(node)]
    return any(
        _operation_rounding(node) > LOST_DIGITS_ERROR * math.fabs(node.data) or _value_stands_still(node)
        for node in own
    )


def _value_stands_still(node: Value) -> bool:
    """Return whether the value of a node does not change when an operand is moved by a small step.

    Only operands count whose partial predicts that the value changes in this step.
    """
    assert node.op is not None
    xs = [parent.data for parent in node.parents]
    for i, (x, slope) in enumerate(zip(xs, node.partials, strict=True)):
        g, step = _with_operand(node.op, xs, i), STILL_STEP * (math.fabs(x) or 1.0)
        if math.fabs(slope * step) > math.ulp(node.data) and g(x - step) == g(x + step) == node.data:
            return True
    return False


def _has_stated_rounding(node: Value) -> bool:
    """Return whether the rounding error of a node's operation is stated, so it need not be measured.

    It is if the operation states it in `Smoothness.rounding`. It also is if the operation is one of the package's own,
    which are exact up to rounding of the last bit.
    """
    assert node.op is not None
    return node.op.smoothness.rounding is not None or OPS.get(node.op.name) is node.op


def stated_rounding(op: Op, y: float, xs: Sequence[float], slot: int = 0) -> float:
    """Return the relative rounding error that an operation states in `Smoothness.rounding`; 0.0 if it states none.

    Args:
        op: the operation that states its error.
        y: the value of the operation for `xs`.
        xs: the operands.
        slot: 0 for the error of the value, and i + 1 for that of partial i.
    """
    return STATED_ROUNDING * op.smoothness.rounding(y, *xs)[slot] if op.smoothness.rounding else 0.0


def _operation_rounding(node: Value, moved: Value | None = None) -> float:
    """Return the absolute rounding error of a node's operation.

    It is the error that the operation states (`Smoothness.rounding`), but at least the last bit of the node's value. If
    a user-defined operation states none, its rounding error is measured by varying its operands, since the operation
    may lose digits. If `moved` is given, leaves other than `moved` are not varied.
    """
    op = node.op
    assert op is not None
    last_bit = math.ulp(node.data)
    xs = [parent.data for parent in node.parents]
    if op.smoothness.rounding is not None:
        stated = stated_rounding(op, node.data, xs) * math.fabs(node.data)
        return max(last_bit, stated) if math.isfinite(stated) else last_bit
    if _has_stated_rounding(node):
        return last_bit
    moving = [moved is None or parent.op is not None or parent is moved for parent in node.parents]
    measured = [noise_level(_with_operand(op, xs, i), x) for i, x in enumerate(xs) if moving[i]]
    return max([last_bit, *measured])


def _with_operand(op: Op, xs: list[float], i: int) -> Callable[[float], float]:
    """Return the operation as a function of the operand with the index `i`, with the other operands from `xs`.

    The function returns nan where the operation raises a domain error.
    """

    def forward(t: float) -> float:
        try:
            return float(op.forward(*xs[:i], t, *xs[i + 1 :]))
        except (ArithmeticError, ValueError):  # outside the domain of a user-defined operation
            return nan

    return forward
