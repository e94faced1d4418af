"""Look for a reason, other than a mistake, why a derivative along a direction differs from the numerical one.

`EXCUSES` lists the functions that look for such a reason, in the order in which they are tried, and
`HALF_PRECISION_EXCUSES` lists those for half precision. They take a `Doubt`, and return the reason as a note for
messages, or "" if it does not apply. The derivative that is checked is called analytic, and its difference from the
numerical derivative is called the mismatch.
"""

from __future__ import annotations

import itertools
import math
import statistics
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple, TypeAlias

import numpy as np

from ..numeric.compare import FINE_FEATURE, Comparison, noise_note
from ..numeric.numerical import DOMAIN_ERRORS, central_quotient, noise_level
from ..numeric.thresholds import (
    ABSORBED_SHARE,
    CLOSE_SLOPE,
    COARSE_BITS,
    COARSER_BITS,
    DOUBLE_PRECISION_BITS,
    ESTIMATED_ERRORS,
    FACTOR_INTERVALS,
    FAR,
    FEATURE,
    FEATURE_SHARE,
    FEATURE_SLOPE,
    FEATURE_STEPS,
    FEW_LAST_BITS,
    FIRST_POINTS,
    HARDLY_CHANGES,
    HARDLY_NOISE,
    INTERVAL_POINTS,
    JUMPS_OF_ROUNDING,
    LEAST_CHANGE,
    LONG_STEP,
    LOW_STEP_BITS,
    MANY_INTERVAL_POINTS,
    MANY_TREADS,
    MAX_TREADS,
    NEIGHBOURING,
    NOISY_SHARE,
    ON_TREAD,
    OSCILLATION_POINTS,
    OSCILLATION_REACH,
    OSCILLATIONS,
    OTHER_MEAN,
    OUTSIDE,
    PARTS_OF_WAY,
    ROUGH_SHARE,
    ROUNDED_PARTS,
    SAME_HEIGHT,
    SHORT_PARTS,
    SHORT_STEPS,
    SMOOTH_SCATTER,
    SMOOTH_SHARE,
    SURE_MEAN,
    SURE_SHARE,
    TAIL_DEGREE,
    TELLING_SCATTER,
    TERM_NORMS,
    VISIBLE_MISMATCH,
    WIDE_INTERVALS,
    WIDER_MISMATCH,
    WIDER_SHARE,
)
from ..report import GradientMismatch
from . import half_precision
from .analytic import dot
from .directional_function import DirectionalFunction
from .directional_stages import Attempt, compare_in_stages, compare_within_limit
from .interval_means import mean_over_interval
from .problem import Problem, floor_power_of_2, max_magnitude, norm
from .staircases import first_jumps, size_of_parts, tread_of
from .tied_kinks import has_cancelling_kinks, has_tied_kink
from .vectors import Vector
from .whole_number_features import longest_move

__tracebackhide__ = True

NARROW_FEATURES = "no numerical derivative: features that are narrower than the steps, as between poles of lgamma"
UNEVEN_POINTS = 8.0 * (np.arange(17) * 0.618034 % 1.0) - 4.0


@dataclass(frozen=True)
class Doubt(Attempt):
    """A comparison whose verdict is that the derivative is wrong, although it is finite.

    `excuse` looks for another reason for the mismatch than a mistake.

    Attributes:
        gradient_norm: the norm of the whole gradient of the weighted sum of the outputs.
    """

    gradient_norm: float = 0.0

    @property
    def problem(self) -> Problem:
        """The function of arrays, its derivative and the point."""
        return self.phi.problem

    @property
    def hardly_changes(self) -> bool:
        """Whether f is nearly flat: the numerical derivative is at most `HARDLY_CHANGES` times the mismatch."""
        return math.fabs(self.comparison.numeric.slope) <= HARDLY_CHANGES * self.mismatch


def excuse(doubt: Doubt) -> str:
    """Return the first reason, other than a mistake, why the derivative differs from the numerical one; "" if none.

    Raises:
        OutOfCalls: the running comparison may not call the user's function any more.
    """
    excuses = HALF_PRECISION_EXCUSES if doubt.problem.half_precision else EXCUSES
    return next(filter(None, (each(doubt) for each in excuses)), "")


def rounding_in_half_precision(doubt: Doubt) -> str:
    """Return a note if rounding in half precision explains why the derivative differs from the numerical one; else "".

    Rounding explains the difference if the derivatives do not differ by about as much at points nearby, or if they
    agree over larger steps (see `rounding_excuse`).
    """
    phi = doubt.phi

    def compare_at(x: Vector) -> Comparison:
        there = DirectionalFunction(phi.problem, phi.u, phi.v, x, per_element=True)
        return compare_within_limit(doubt.comparison.title, there, doubt.typical_slope)

    return half_precision.rounding_excuse(phi.problem, doubt.comparison, phi, compare_at)


def rounding_absorbs_changes(doubt: Doubt) -> str:
    """Return a note if rounding hides that some outputs change, as in 1000 + 1e-20 * x; else "".

    Rounding explains the mismatch, which is the difference of the checked derivative from the numerical one, in one of
    three cases:

    - Some outputs do not change in any step, so the numerical derivative leaves them out. The checked derivative of the
      other outputs agrees with the numerical one.
    - No output changes in the largest steps, and rounding of an intermediate result that is larger than the outputs
      explains that. An example is 1 + exp(x) in log(1 + exp(x)), which is 0 at -90.
    - An array of the arguments changes no output when it moves without the others, as `a` in log(1 + a**2) + x**2 if
      all numbers are tiny. Without the part of the checked derivative that comes from such arrays, the two derivatives
      agree. A mistake in this part shows in other comparisons, in which only one array moves.
    """
    phi, numeric, first = doubt.phi, doubt.comparison.numeric, doubt.problem.steps.first_steps[0]
    other = max(ESTIMATED_ERRORS * numeric.error, phi.problem.rtol * math.fabs(numeric.slope))
    least = (doubt.mismatch - max(other, ABSORBED_SHARE * doubt.mismatch)) / (1.0 + phi.problem.rtol)
    rounding = phi.absorbed_rounding()
    # A smaller part would not explain the mismatch, and rounding would not hide a larger one.
    part = phi.absorbed_part() if max(least, 0.0) * first <= VISIBLE_MISMATCH * rounding else 0.0
    known = max(map(max_magnitude, (phi.outputs, phi.x[phi.moved_elements])))
    tiny = math.fabs(phi.analytic * phi.divisor) * first <= math.sqrt(phi.problem.eps) * norm(phi.u) * known
    last_bits = 0.5 * phi.problem.outputs.eps * norm(phi.u) / math.fabs(phi.divisor)
    still = numeric.slope == 0.0 and not any(math.fabs(phi(t)) > 0.0 for t in (first, -first))  # one may be nan
    if tiny and still:  # parts that cancel in the outputs may absorb all
        part, rounding = phi.analytic, max(rounding, last_bits * size_of_parts(phi, far=True))
    elif tiny and not part and (part := _part_of_still_arrays(phi, first)):  # so may a part such as 1
        rounding = max(rounding, last_bits * max(1.0, size_of_parts(phi)))
    hidden = math.fabs(part) * first <= VISIBLE_MISMATCH * rounding
    rest = math.fabs(phi.analytic - part - numeric.slope)
    allowed = max(ESTIMATED_ERRORS * numeric.error, phi.problem.rtol * max(math.fabs(numeric.slope), math.fabs(part)))
    absorbed = rounding and part and hidden and rest <= max(allowed, ABSORBED_SHARE * doubt.mismatch)
    return noise_note(rounding) if absorbed else ""


def rounding_of_all_elements(doubt: Doubt) -> str:
    """Return a note if the mismatch may come from rounding of f near the point; else "".

    The mismatch is the difference of the checked derivative from the numerical one. Rounding is measured by moves of
    all elements at once. When only one element moves, the outputs may stay the same by chance, as the rounded value of
    log(exp(x)) - x may. Nothing is measured unless the mismatch is small, or f hardly changes.
    """
    phi = doubt.phi
    typical = max(doubt.typical_slope, doubt.gradient_norm)
    small = doubt.mismatch <= math.sqrt(phi.problem.eps) * typical / math.fabs(phi.divisor)
    if not (small or doubt.hardly_changes):
        return ""
    rounding = rounding_nearby(phi, doubt.mismatch)
    return noise_note(rounding) if rounding else ""


def rounding_of_derivative(doubt: Doubt) -> str:
    """Return a note if f hardly changes, and the derivative that is checked is nothing but rounding; else "".

    An example is the derivative with respect to a bias before a batch norm: it is 0, and computed as a sum of numbers
    that cancel. Another is the derivative of a softmax of large inputs that all move by the same amount.
    """
    rounding = _derivative_rounding(doubt.phi, doubt.mismatch) if doubt.hardly_changes else 0.0
    return f"too noisy to tell: the derivative is rounded by {rounding:.1g}" if rounding else ""


def narrow_features(doubt: Doubt) -> str:
    """Return a note if features of f that are narrower than the steps explain the mismatch; else "".

    The mismatch is the difference of the checked derivative from the numerical one. The features do not excuse the
    derivative if a comparison with shorter steps has called it wrong, too. Nor do they excuse a gradient of 0 if f has
    a slope over the steps: only a step function may have both, and an earlier stage (`is_step`) has called that right.
    """
    phi = doubt.phi
    numeric = doubt.comparison.numeric.slope
    missing = doubt.comparison.analytic == 0.0 and math.fabs(numeric) > OUTSIDE * doubt.comparison.numeric.error
    narrow = not (doubt.confirmed or missing) and _takes_long_steps(phi)
    if narrow and (
        _has_narrow_features(phi, doubt.mismatch) or _oscillates(phi, numeric) or _is_unresolved(phi, numeric)
    ):
        return NARROW_FEATURES
    return ""


def features_wider_than_finest_steps(doubt: Doubt) -> str:
    """Return a note if the slope of f over each of several short steps is the derivative that is checked; else "".

    Longer steps then miss a feature of f, such as a bend beside a kink, or a tread of a quantiser that is multiplied by
    x. If f jumps at the point, as a sawtooth does at 0, steps across the point show the jump and not the slope. Then
    the slopes over steps that lie wholly on the left or wholly on the right of the point must all be the checked
    derivative. Noise would make the slopes over steps of several sizes different. A slope of 0 does not count, since it
    may be that of a tread that rounding makes.
    """
    phi, finest = doubt.phi, doubt.problem.steps.finest
    close = CLOSE_SLOPE * min(doubt.mismatch, math.fabs(phi.analytic))

    def is_close(slope: float) -> bool:
        return math.fabs(slope - phi.analytic) < close

    steps = [part * finest for part in SHORT_STEPS]
    across = (central_quotient(phi, 0.0, h) for h in steps)
    beside = ((phi(2.0 * t) - phi(t)) / t for h in steps for t in (h, -h))
    # Steps that are known tell whether a jump is possible, so looking for one costs no calls elsewhere.
    longer = doubt.problem.steps.first_steps[-1]
    at_jump = math.fabs(phi(finest) - phi(-finest)) > 0.5 * math.fabs(phi.known(longer) - phi.known(-longer))
    return FINE_FEATURE if all(map(is_close, across)) or (at_jump and all(map(is_close, beside))) else ""


def features_as_narrow_as_finest_steps(doubt: Doubt) -> str:
    """Return a note if f bends or jumps within about the finest steps, as next to a pole of lgamma; else "".

    Larger steps miss such a feature. It explains the mismatch, which is the difference of the checked derivative from
    the numerical one, under three conditions:

    - The difference quotients in the finest steps differ visibly from the numerical derivative. This is not so for a
      smooth function with a noisy derivative.
    - Within a few finest steps, the analytic derivative changes by at least half as much as the mismatch. This is not
      so for a staircase.
    - In the mean over some interval that is not much longer than the finest steps, the two derivatives agree.

    The second condition is weaker if the third one holds very exactly: the change of the analytic derivative then need
    only be at least `LEAST_CHANGE` times the mismatch.
    """
    phi, finest, mismatch = doubt.phi, doubt.problem.steps.finest, doubt.mismatch
    if doubt.confirmed or doubt.is_kink:
        return ""
    visible = max(FEATURE_SHARE * mismatch, VISIBLE_MISMATCH * phi.rounding / finest)
    if all(math.fabs(phi(t) / t - doubt.comparison.numeric.slope) < visible for t in (finest, -finest)):
        return ""
    steps = [part * finest for part in FEATURE_STEPS]
    slopes = [phi.analytic_at(sign * h) for h in steps for sign in (1.0, -1.0)]
    change = max((off for slope in slopes if (off := math.fabs(slope - phi.analytic)) < math.inf), default=0.0)
    if change < LEAST_CHANGE * mismatch:
        return ""
    for mean in (mean_over_interval(phi, h) for h in steps):
        error = math.fabs(mean.mismatch) + mean.noise + mean.bias if mean else math.inf
        sure = mean and error < SURE_MEAN * mismatch and math.fabs(mean.analytic - phi.analytic) < 0.5 * mismatch
        if sure or (error < 0.5 * mismatch <= change):
            return "no numerical derivative: a feature that is about as narrow as the finest steps"
    return ""


def hidden_feature(doubt: Doubt) -> str:
    """Return a note if rounding hides a feature that is narrower than the finest steps; else "".

    An example in float32 is the cosine distance 1 - a * x / sqrt(1e-12 + x**2) for a tiny constant a. At x = 0 its
    derivative is -1e6 * a, and far beyond |x| = 1e-6 the derivative vanishes. But the cosine is so small that rounding
    loses it beside 1. Three conditions must hold:

    - In the finest steps, rounding would hide the mismatch, the difference of the analytic and numerical derivatives.
    - At the ends of the finest steps and of longer ones, the analytic derivative is near the numerical derivative.
    - Very near the checked point, the analytic derivative is nearly the same as at the point. So a mistake that is made
      only at a special number, such as 0, is not excused.
    """
    phi, finest, mismatch = doubt.phi, doubt.problem.steps.finest, doubt.mismatch
    if mismatch * finest > phi.rounding:
        return ""

    def is_near(value: float, *steps: float) -> bool:
        return all(
            math.fabs(phi.analytic_at(t) - value) < 0.5 * mismatch for h in steps for t in (h, -h)
        )  # nan is near nothing

    if not is_near(doubt.comparison.numeric.slope, finest, *doubt.problem.steps.first_steps):
        return ""
    parts = (finest * 2.0**-k for k in range(round(doubt.problem.bits), 0, -1))
    near = next(filter(phi.moves_all, parts), finest)
    return noise_note(phi.rounding) if is_near(phi.analytic, near) else ""


def treads(doubt: Doubt) -> str:
    """Return a note if rounding makes a staircase of f with treads that explain the mismatch; else "".

    The mismatch is the difference of the checked derivative from the numerical one. A tread is an interval in which f
    does not change. The treads must be high enough to cause the mismatch. Two more conditions must hold. A comparison
    that takes the height of a tread as the rounding error of f must not call the derivative wrong. And the derivative
    must not be wrong in its means over wide intervals.
    """
    phi, around = doubt.phi, tread_of(doubt.phi)
    if not (around and around.is_rounding and doubt.mismatch * around.width <= MAX_TREADS * around.height):
        return ""
    with phi.raised_rounding(around.height):
        excused = _is_hidden_by(around.height, doubt) and not _is_off_over_intervals(phi, doubt.mismatch)
    return noise_note(around.height) if excused else ""


def treads_of_a_factor(doubt: Doubt) -> str:
    """Return a note if f, or a factor of f, does not change near the point, and then jumps by rounding; else "".

    XLA's tanh is an example: between -20 and -17.8, it differs from -1 by a few last bits, and below -20 it is -1
    exactly. A function such as x * (1 + tanh(x)) is then x times a staircase: it is smooth on a tread, but its slope
    there lacks the term x * tanh'(x), since tanh does not change. In x * log(1 + x * x), the sum absorbs most of x * x
    for small x. A batch norm that computes x * a - mean * a, as a function of a, is a smooth function less a staircase.

    The rounding error of f is taken to be the height of the next jump. But this may be a low jump: XLA's tanh is off by
    3.5 last bits at -20, and jumps by half a last bit beside -17.8. So if the estimated rounding of intermediate
    results is a moderate multiple of the jump, it is taken instead. If f does not change in the finest steps, an
    intermediate result may also be computed in a coarser type, such as float32 in 1 + tanh(x.astype("float32")), and
    its rounding is estimated for such types, too.

    The mismatch is the difference of the checked derivative from the numerical one. Five conditions must hold:

    - As far as the next jump, f keeps its value or has the slope of the numerical derivative, up to the rounding error.
    - The rounding error is larger than that of f's outputs alone. The jump is at most as high as the estimated rounding
      of intermediate results, or so near to the point that f has as many treads as rounding makes.
    - The mismatch times the distance of the jump is at most `MAX_TREADS` times the rounding error, so treads of this
      height may cause the mismatch.
    - Relative to the derivative, the mismatch vanishes in the mean over some wider interval.
    - A comparison that allows for this rounding error of f does not call the derivative wrong.
    """
    phi, problem, steps = doubt.phi, doubt.problem, doubt.problem.steps
    changes = not phi(steps.finest) == phi(-steps.finest) == 0.0
    slope = doubt.comparison.numeric.slope if changes else 0.0  # the slope on the tread
    narrow = min(_narrow_tread(phi), FAR) if changes else 0.0  # otherwise f may be a step function
    wide = steps.first_steps[1] <= narrow  # at points of usual size, looking is no use, and costs calls
    largest = central_quotient(phi, 0.0, steps.first_steps[0])
    vanishes = not math.fabs(largest - slope) < OTHER_MEAN * doubt.mismatch
    if changes and not (wide or vanishes):
        return ""  # most mistakes do not vanish there, and need no further calls
    of_parts = 2.0 * max(phi.rounding_beside_largest, phi.intermediate_rounding)  # of a difference of two values
    coarser = [] if changes else [bits for bits in COARSER_BITS if bits < problem.bits]
    estimates = [of_parts, *(of_parts * 2.0 ** (problem.bits - bits) for bits in coarser)]
    rounding = max(estimates)
    if vanishes:
        low = 2.0 ** (-LOW_STEP_BITS * problem.bits) * size_of_parts(phi) * norm(phi.u) / math.fabs(phi.divisor)
        rounding = max(rounding, low)
    of_factor = rounding > FEATURE * phi.rounding
    usual = _usual_step(phi)
    reach = min(MAX_TREADS * rounding / doubt.mismatch, usual * steps.first_steps[0]) if of_factor else 0.0
    if absorbed := wide and reach < narrow and _vanishes_between_ends(phi, doubt, narrow):
        reach = narrow
    lowest = FEATURE * phi.rounding
    jumps = JUMPS_OF_ROUNDING * phi.moved_elements.size  # elements that move together jump one after another
    around = None if changes else tread_of(phi)
    ends = [(around.width, around.height)] if around and around.width <= reach else []
    least = max(2.0 * phi.rounding, min(lowest, of_parts / jumps))  # a lower jump is noise, or confirms no estimate
    for end, jump in first_jumps(phi, reach, slope, doubt.mismatch, least, of_parts) if changes else ends:
        height = max(jump, *(each for each in estimates if each <= jumps * jump), 0.0)
        if (
            lowest < height
            and (jump <= rounding or math.fabs(end) <= narrow)
            and doubt.mismatch * math.fabs(end) <= MAX_TREADS * height
            and all(math.fabs(phi(part * end) - part * end * slope) < 0.5 * height for part in ON_TREAD)
            and (absorbed or any(_vanishes_relatively(phi, doubt, h * usual) for h in FACTOR_INTERVALS))
            and _is_hidden_by(height, doubt)
        ):
            return noise_note(height)
    return ""


def rounding_of_parts(doubt: Doubt) -> str:
    """Return a note if rounding of large intermediate results of f or its derivative explains the mismatch; else "".

    The mismatch is the difference of the checked derivative from the numerical one. Three conditions must hold:

    - Rounding shows in one of three ways. Values of f near the point scatter visibly around a polynomial. Or a
      difference quotient with a longer step confirms the checked derivative, and contradicts those with shorter steps,
      in which f does not change. Or the mismatch vanishes where f changes far more than rounding explains (see
      `_vanishes_beyond_rounding`).
    - Over each of several intervals around the point, the mean of the checked derivative differs from the mean slope of
      f by no more than rounding allows. Long intervals are needed: rounding errors of neighbouring values may be nearly
      the same, as those of XLA's tanh below -17 are, and then a mean over a short interval has this error, too.
    - The checked derivative at the point is near to its mean over one of these intervals, or between its other values
      there.
    """
    phi, problem = doubt.phi, doubt.problem
    usual, longest = _usual_step(phi), max_magnitude(phi.v[phi.moved_elements])
    halves = (FACTOR_INTERVALS[-1] * 2.0**-k * usual for k in range(1, 64))
    intervals = [part * usual for part in FACTOR_INTERVALS]
    intervals += itertools.takewhile(lambda h: h * longest >= 1.0, halves)
    nearest, bits = intervals[-1], ROUNDED_PARTS * COARSE_BITS * problem.eps
    usual_size = max(1.0, *map(max_magnitude, (phi.outputs, phi.x[phi.moved_elements])))
    if not doubt.mismatch * nearest * math.fabs(phi.divisor) <= MAX_TREADS * bits * usual_size * norm(phi.u):
        return ""  # most mistakes are larger
    parts = [_on_way(phi, part) for part in PARTS_OF_WAY]
    changes = (dot(np.abs(problem.value(x) - phi.outputs), np.abs(phi.u)) / math.fabs(phi.divisor) for x in parts)
    rounding = max(ROUNDED_PARTS * phi.rounding_beside_largest, bits * max(filter(math.isfinite, changes), default=0.0))
    # As if an intermediate result of f were at least as large as 1
    of_usual_part, points = max(rounding, bits * norm(phi.u) / math.fabs(phi.divisor)), INTERVAL_POINTS
    if any(_is_confirmed(phi, doubt.mismatch, part * nearest) for part in SHORT_PARTS):
        rounding = of_usual_part
    elif _vanishes_beyond_rounding(doubt, [*intervals, 2.0 * usual], of_usual_part):
        rounding, points = of_usual_part, MANY_INTERVAL_POINTS
    else:  # some elements alone may be noisy
        noise = max(_scatter_over(phi, h, doubt.mismatch) for h in (nearest, 2.0 * nearest))
        rounding = min(rounding, VISIBLE_MISMATCH * phi.moved_elements.size * noise)
    if not rounding > 0.0:
        return ""
    of_slope = bits * max(_size_of_terms(phi, x) for x in parts)
    belongs = False
    for h in intervals:
        mean = _mean_of_slopes(phi, h, points)
        off = math.fabs(mean.value - central_quotient(phi, 0.0, h))
        size = math.fabs(mean.value)
        if ESTIMATED_ERRORS * mean.error > SURE_SHARE * size:  # it changes too much between the points of the rule
            continue
        if off > mean.error + 0.5 * rounding / h + of_slope + problem.rtol * size:
            return ""
        belongs = belongs or mean.belongs(phi.analytic, 0.5 * doubt.mismatch, of_slope)
    return noise_note(rounding) if belongs else ""


def rounding_of_terms(doubt: Doubt) -> str:
    """Return a note if the mismatch is small compared with the terms of the derivative, which cancel; else "".

    The mismatch is the difference of the checked derivative from the numerical one. The derivative along a direction is
    a sum of terms: each is an entry of the gradient times the move of its element. If each entry is as exact as the
    tolerance demands, the sum is off by at most the tolerance times the sum of the terms' absolute values. Rounding
    errors have random signs, so the sum is hardly off by more than the tolerance times a few Euclidean norms of the
    terms, which is far less if there are many terms. A mistake of that size in all entries shows along another
    direction, in which the terms do not cancel.
    """
    phi = doubt.phi
    terms = phi.terms
    if terms.size == 1:
        return ""
    rounding = phi.problem.rtol * min(float(np.sum(np.abs(terms))), TERM_NORMS * norm(terms))
    return (
        f"too noisy to tell: the terms of the derivative are rounded by {rounding:.1g}"
        if (doubt.mismatch <= rounding)
        else ""
    )


def tied_kink(doubt: Doubt) -> str:
    """Return a note if f has a kink because some elements are equal to each other, as sorting has; else ""."""
    kink = has_tied_kink(doubt.phi, doubt.mismatch)
    return "kink: not differentiable, as sorting is where numbers are equal" if kink else ""


def cancelling_kinks(doubt: Doubt) -> str:
    """Return a note if several elements are at kinks of f, and these cancel along the direction; else ""."""
    kink = has_cancelling_kinks(doubt.phi, doubt.mismatch)
    return "kink: not differentiable, though kinks of several elements cancel along this direction" if kink else ""


Excuse: TypeAlias = Callable[[Doubt], str]
EXCUSES: tuple[Excuse, ...] = (
    rounding_absorbs_changes,
    rounding_of_all_elements,
    narrow_features,
    treads,
    treads_of_a_factor,
    rounding_of_parts,
    tied_kink,
    cancelling_kinks,
    features_wider_than_finest_steps,
    features_as_narrow_as_finest_steps,
    hidden_feature,
    rounding_of_derivative,
)
HALF_PRECISION_EXCUSES: tuple[Excuse, ...] = (
    rounding_absorbs_changes,
    rounding_of_terms,
    treads,
    rounding_in_half_precision,
    tied_kink,
    cancelling_kinks,
)


def rounding_nearby(phi: DirectionalFunction, mismatch: float) -> float:
    """Return how far rounding changes u · f when all elements move; 0.0 if that could not explain the mismatch.

    u · f is the weighted sum of the outputs that `phi` computes, and `mismatch` is the difference of its derivative
    from the numerical one. When only one element moves, the outputs may stay the same by chance, as the rounded value
    of log(exp(x)) - x may. So each element is moved by two tiny steps, which are relative to its absolute value. The
    smaller of the two results counts, since the effect of a kink or a curve grows with the step, and that of rounding
    does not.
    """
    problem = phi.problem
    along = DirectionalFunction(problem, phi.u, _moves_of_own_size(phi), phi.x)
    least = problem.steps.first_steps[0] * mismatch / VISIBLE_MISMATCH
    rounding = math.inf
    for exponent in problem.noise_exponents[:2]:
        level = noise_level(along, 0.0, [exponent], least * math.fabs(phi.divisor))
        rounding = min(rounding, level / math.fabs(phi.divisor))
        if not rounding >= least:
            return 0.0
    return rounding


def _part_of_still_arrays(phi: DirectionalFunction, step: float) -> float:
    """Return how much of `phi.analytic` comes from arrays that change no output in the step `step` if each moves alone.

    It is 0.0 if only one array moves, or if the gradient is not known.
    """
    gradient, arrays = phi.problem.derivative.gradient(phi.x, phi.u), phi.moved_arrays
    if gradient is None or len(arrays) < 2:
        return 0.0
    total = 0.0
    for place in arrays:
        move = np.zeros(phi.v.size)
        move[place] = step * phi.v[place]
        points = (phi.problem.arguments.rounded(phi.x + sign * move) for sign in (1.0, -1.0))
        if all(np.array_equal(phi.problem.value(x), phi.outputs) for x in points):
            total += dot(gradient[place], phi.v[place])
    return total / phi.divisor


def _derivative_rounding(phi: DirectionalFunction, mismatch: float) -> float:
    """Return how far rounding changes the derivative of `phi` that is checked; 0.0 if that cannot explain `mismatch`.

    All elements of the point, and the weights of the outputs, are changed by a few last bits, in steps of several
    sizes, and the derivative is computed for each. Without rounding, it would change smoothly. The result is how far
    these derivatives scatter around a parabola. `mismatch` is the difference of the checked derivative from the
    numerical one.
    """
    problem, moves, least = phi.problem, _moves_of_own_size(phi), mismatch / ESTIMATED_ERRORS
    growth = np.random.default_rng(1).uniform(0.5, 1.0, phi.u.size)

    def slope(t: float) -> float:
        x = problem.arguments.rounded(phi.x + t * moves)
        try:
            return problem.derivative.slope(x, phi.u * (1.0 + t * growth), phi.v) / phi.divisor
        except GradientMismatch:  # the derivative contains a check, which has failed; this is no edge of its domain
            raise
        except DOMAIN_ERRORS:
            return math.nan

    ts = UNEVEN_POINTS * 2.0 ** (FEW_LAST_BITS - problem.bits)
    if not any(math.fabs(slope(t) - phi.analytic) >= HARDLY_NOISE * least for t in ts[:3].tolist()):
        return 0.0  # most mistakes are not, and need no further calls
    rounding = _scatter(np.array([slope(t) for t in ts.tolist()]), 2)
    return rounding if rounding >= least else 0.0


def _scatter(values: Vector, degree: int) -> float:
    """Return the root mean square distance of values at `UNEVEN_POINTS` from a polynomial of this degree."""
    powers = np.vander(UNEVEN_POINTS, degree + 1)
    rest = values - powers @ np.linalg.lstsq(powers, values, rcond=None)[0]
    return norm(rest) / math.sqrt(rest.size - degree - 1)


def _moves_of_own_size(phi: DirectionalFunction) -> Vector:
    """Return a direction that moves each element by a random amount, which is about as large as the element itself."""
    here = np.abs(phi.x)
    own = np.where(here > 0.0, floor_power_of_2(here), np.minimum(phi.problem.scale, 1.0))
    moves: Vector = own * np.random.default_rng(0).uniform(0.5, 1.0, own.size)
    return moves


def _takes_long_steps(phi: DirectionalFunction) -> bool:
    """Return whether even the finest steps of `phi` move some element by at least `LONG_STEP`."""
    return longest_move(phi, phi.problem.steps.finest) >= LONG_STEP


def _has_narrow_features(phi: DirectionalFunction, mismatch: float) -> bool:
    """Return whether `phi` has features that are narrower than the steps, and large enough to explain the mismatch.

    `mismatch` is the difference of the checked derivative from the numerical one. For example, lgamma has a pole at
    every negative whole number. At a large negative number the steps are long, since they grow with the number, and
    span several poles. Values at points that are far apart then look like noise, and values at points that are close do
    not. Rounding would look like noise at close points, too.
    """
    quiet: float | None = None
    bits = phi.problem.bits
    nearest = [bits - 1.0] if bits < DOUBLE_PRECISION_BITS else []
    for exponent in [*nearest, *phi.problem.noise_exponents[:3]]:  # from near points to far ones
        level = _roughness(phi, 2.0**-exponent)
        if level > FEATURE * phi.rounding:
            return quiet is not None and mismatch * quiet <= FEATURE_SLOPE * level
        quiet = 2.0**-exponent
    return False


def _oscillates(phi: DirectionalFunction, numeric: float) -> bool:
    """Return whether `phi` and the derivative that is checked oscillate in short steps, around the slope `numeric`.

    An example is lgamma, whose derivative oscillates between its poles. Then the numerical derivative is only a mean,
    and says nothing about the derivative at the point. `_has_narrow_features` does not see such features if rounding of
    f hides them.

    If only the derivative oscillates, and `phi` is smooth, the derivative is wrong, and the result is False. `phi` is
    smooth if its values in short steps are nearer to a parabola than the oscillating derivative predicts. The
    prediction is too large if even the finest steps reach the next pole. Then `phi` counts as smooth only if its
    distance from the parabola is no more than rounding, and the prediction is far more than rounding.
    """
    random = np.random.default_rng(0)  # evenly spaced points may all lie at the same distance from a pole
    reach = OSCILLATION_REACH * phi.problem.steps.finest
    ts = random.uniform(-reach, reach, OSCILLATION_POINTS)
    first = np.array([phi.analytic_at(t) for t in ts[:FIRST_POINTS].tolist()]) - numeric
    if np.all(first > 0.0) or np.all(first < 0.0):  # most wrong derivatives need no further calls
        return False
    ts.sort()
    slopes = np.array([phi.analytic_at(t) for t in ts.tolist()])
    ts = ts[np.isfinite(slopes)]
    off = slopes[np.isfinite(slopes)] - numeric
    crossings = np.count_nonzero(np.diff(off > 0.0))
    if crossings < OSCILLATIONS:
        return False
    values = np.array([phi(t) for t in ts.tolist()])
    ts, values = ts[np.isfinite(values)], values[np.isfinite(values)]
    powers = np.vander(ts / reach, 3)
    rest = values - powers @ np.linalg.lstsq(powers, values, rcond=None)[0]
    predicted = float(np.median(np.abs(off))) * 0.5 * reach / crossings  # half the change in a quarter of a period
    scatter = norm(rest) / math.sqrt(rest.size)
    if float(np.max(np.abs(phi.v))) * phi.problem.steps.finest < 1.0:
        return bool(scatter >= SMOOTH_SHARE * predicted)
    return bool(scatter > SMOOTH_SCATTER * phi.rounding or predicted < TELLING_SCATTER * phi.rounding)


def _is_unresolved(phi: DirectionalFunction, numeric: float) -> bool:
    """Return whether the features of `phi` are so narrow that even neighbouring numbers skip them.

    This is so if `phi` changes as much between neighbouring numbers as over far larger steps, and by more than
    rounding. An example is a sawtooth, at points so large that a tooth is hardly wider than the distance of
    neighbouring numbers. Then the values do not tell how steep the sawtooth is between its jumps. `numeric` is the
    slope of `phi` over larger steps.
    """
    problem = phi.problem
    rounding = max(phi.rounding, phi.rounding_beside_largest)
    last_bits = 2.0 ** (1.0 - problem.bits)
    near = [phi(k * last_bits) for k in NEIGHBOURING]
    changes = [math.fabs(b - a) for a, b in itertools.pairwise(near)]
    if not all(map(math.isfinite, near)) or statistics.median(changes) <= FEATURE * rounding:
        return False
    far = [phi(t) - numeric * t for h in problem.steps.first_steps for t in (h, -h)]
    height = max(near) - min(near)
    return height > FEATURE * phi.intermediate_rounding and max(map(math.fabs, far)) <= SAME_HEIGHT * height


def _roughness(phi: DirectionalFunction, step: float) -> float:
    """Return how far the values of `phi` at some points near 0 scatter around a polynomial; 0.0 if `phi` is smooth.

    Two polynomials are fitted to the values: a parabola, and a polynomial of degree 6. A smooth function is far nearer
    to the polynomial of degree 6 than to the parabola, and the result is 0.0 then. Otherwise the result is the distance
    of the values from the polynomial of degree 6, as a root mean square.

    The points are up to four steps away. They are unevenly spaced, since evenly spaced points may all lie at the same
    distance from a pole. The result is also 0.0 if a value is not finite.
    """
    ts = UNEVEN_POINTS * step
    values = np.array([phi(t) for t in ts.tolist()])
    if not np.isfinite(values).all():
        return 0.0
    from_parabola, rest = (_scatter(values, degree) for degree in (2, 6))
    return rest if rest > ROUGH_SHARE * from_parabola else 0.0


def _narrow_tread(phi: DirectionalFunction) -> float:
    """Return the width of a narrow tread, as a step along `phi`.

    A tread is an interval in which a function does not change. If the treads of a staircase are narrower, there are so
    many of them that rounding may have made them.
    """
    moved = phi.moved_elements
    longest, largest = (max_magnitude(each[moved]) for each in (phi.v, phi.x))
    return 2.0 ** (-MANY_TREADS * phi.problem.bits) * max(1.0, largest) / longest if longest else 0.0


def _usual_step(phi: DirectionalFunction) -> float:
    """Return the step along `phi` in which each moved element moves at least by its entry in `Problem.scale`.

    The step is at least 1.
    """
    moved = phi.moved_elements
    return float(np.max(phi.problem.scale[moved] / np.abs(phi.v[moved]), initial=1.0))


def _vanishes_between_ends(phi: DirectionalFunction, doubt: Doubt, h: float) -> bool:
    """Return whether the mean of the checked derivative over [-h, h] is far less wrong than that at the point.

    The mismatch is the difference of the checked derivative from the numerical one. Divided by the derivative, it must
    be less than half as large for the means over [-h, h] as it is at the point. Two values of `phi` and Simpson's rule
    give the two means, so this is cheap, but not exact.
    """
    mean = (phi.analytic_at(-h) + 4 * phi.analytic + phi.analytic_at(h)) / 6
    off = math.fabs(mean - central_quotient(phi, 0.0, h))
    return off * math.fabs(phi.analytic) < 0.5 * doubt.mismatch * math.fabs(mean)


def _vanishes_relatively(phi: DirectionalFunction, doubt: Doubt, h: float) -> bool:
    """Return whether the mismatch, relative to the derivative, is smaller in the mean over [-h, h] than at the point.

    The mismatch is the difference of the checked derivative from the numerical one. In the mean, the relative mismatch
    must also be less than `WIDER_MISMATCH`: if f does not change at the point, the relative mismatch at the point is 1,
    and many a wrong derivative has a slightly smaller one in the mean. Also, the derivative at the point must be near
    to the mean, or between other derivatives in the interval. Simpson's rule gives the mean, since the derivative may
    change by its own size over the interval, as where f decays exponentially.
    """
    mean = _mean_of_slopes(phi, h)
    off = math.fabs(mean.value - central_quotient(phi, 0.0, h)) + mean.error
    at_point = doubt.mismatch / math.fabs(doubt.comparison.analytic) if doubt.comparison.analytic else math.inf
    belongs = mean.belongs(phi.analytic, 0.5 * doubt.mismatch)
    return belongs and off < min(WIDER_SHARE * at_point, WIDER_MISMATCH) * math.fabs(mean.value)


class _MeanOfSlopes(NamedTuple):
    """The mean of the derivative that is checked over an interval around the point.

    Attributes:
        value: the mean.
        error: an estimate of its error, which comes from the rule by which it is computed.
        least: the smallest derivative at points of the interval other than the point itself.
        largest: the largest derivative at these points.
    """

    value: float
    error: float
    least: float
    largest: float

    def belongs(self, slope: float, near: float, rounding: float = 0.0) -> bool:
        """Return whether `slope` is between `least` and `largest`, up to `rounding`, or nearer to the mean than `near`.

        `slope` is the derivative at the point itself.
        """
        return math.fabs(self.value - slope) < near or self.least - rounding <= slope <= self.largest + rounding


def _vanishes_beyond_rounding(doubt: Doubt, intervals: list[float], rounding: float) -> bool:
    """Return whether the mismatch, relative to the derivative, vanishes over an interval where f changes much.

    The mismatch is the difference of the checked derivative from the numerical one. Rounding may make a mismatch
    although the values of f do not scatter: in the entropy of a saturated softmax, the largest probability absorbs
    changes of tiny ones. So the means of the two derivatives are compared over a long interval, the shortest of
    `intervals` in which the change of f, times half of the relative mismatch at the point, is more than `rounding`. The
    result is True if the relative mismatch of the means is less than half of that at the point.
    """
    phi, numeric = doubt.phi, doubt.comparison.numeric.slope
    at_point = doubt.mismatch / max(math.fabs(phi.analytic), math.fabs(numeric))
    for h in sorted(intervals):
        quotient = central_quotient(phi, 0.0, h)
        if rounding < 0.5 * at_point * math.fabs(quotient) * h:
            mean = _mean_of_slopes(phi, h, MANY_INTERVAL_POINTS)
            return math.fabs(mean.value - quotient) + mean.error < 0.5 * at_point * math.fabs(mean.value)
    return False


def _mean_of_slopes(phi: DirectionalFunction, h: float, points: int = INTERVAL_POINTS) -> _MeanOfSlopes:
    """Return the mean over [-h, h] of the derivative of `phi` that is checked, by Simpson's rule with `points` points.

    The rule is used twice, with all points and with every other point, and the difference counts as its error.
    """
    slopes = np.array([phi.analytic_at(t) for t in np.linspace(-h, h, points).tolist()])
    mean, coarser = (_simpson_mean(each) for each in (slopes, slopes[::2]))
    others = np.delete(slopes, slopes.size // 2)
    return _MeanOfSlopes(mean, math.fabs(mean - coarser), float(np.min(others)), float(np.max(others)))


def _simpson_mean(values: Vector) -> float:
    """Return the mean of a function over an interval from an odd count of equally spaced values, by Simpson's rule."""
    total = values[0] + 4 * np.sum(values[1::2]) + 2 * np.sum(values[2:-1:2]) + values[-1]
    return float(total / (3 * (values.size - 1)))


def _is_confirmed(phi: DirectionalFunction, mismatch: float, h: float) -> bool:
    """Return whether a difference quotient with the step `h` confirms the derivative, so shorter steps mislead.

    `mismatch` is how far the derivative at the point is from the numerical one of shorter steps. The derivative is
    confirmed if its mean over the step differs from the quotient by a small part of `mismatch`, and from the derivative
    at the point by less than half of it.
    """
    mean = _mean_of_slopes(phi, h)
    off = math.fabs(mean.value - central_quotient(phi, 0.0, h)) + mean.error
    return off < SURE_MEAN * mismatch and math.fabs(mean.value - phi.analytic) < 0.5 * mismatch


def _scatter_over(phi: DirectionalFunction, h: float, mismatch: float) -> float:
    """Return how far values of `phi` over [-h, h] scatter around a polynomial; 0.0 if the scatter is small.

    The degree of the polynomial is so high that a smooth function hardly differs from it, even where it decays
    exponentially. The scatter is small if it is less than `NOISY_SHARE` · mismatch · h / n, where n is the number of
    the entries of the point that change along the direction of `phi`.
    """
    points = UNEVEN_POINTS * (h / np.max(np.abs(UNEVEN_POINTS)))
    values = np.array([phi(t) for t in points.tolist()])
    scatter = _scatter(values, TAIL_DEGREE) if np.isfinite(values).all() else 0.0
    return scatter if scatter * phi.moved_elements.size >= NOISY_SHARE * mismatch * h else 0.0


def _on_way(phi: DirectionalFunction, part: float) -> Vector:
    """Return a point on the way to 0: each moved element x becomes (1 - part) * x, rounded to its type."""
    x = phi.x - part * np.where(phi.v != 0.0, phi.x, 0.0)
    return phi.problem.arguments.rounded(x)


def _size_of_terms(phi: DirectionalFunction, x: Vector) -> float:
    """Return the sum of the absolute terms of the derivative along the direction of `phi`, at the point `x`.

    A term is an entry of the gradient times the move of its element. If the gradient is not known, the derivative
    counts as its only term. The result is 0.0 if it is not finite.
    """
    g = phi.problem.derivative.gradient(x, phi.u)
    if g is None:
        size = math.fabs(phi.analytic_along(phi.v, x))
    else:
        size = float(np.sum(np.abs(g[phi.moved_elements] * phi.v[phi.moved_elements]))) / math.fabs(phi.divisor)
    return size if math.isfinite(size) else 0.0


def _is_hidden_by(rounding: float, doubt: Doubt) -> bool:
    """Return whether the derivative no longer counts as wrong if the rounding error of f's values is `rounding`."""
    phi = doubt.phi
    with phi.raised_rounding(rounding):
        again = compare_in_stages(doubt.comparison.title, phi, doubt.typical_slope / math.fabs(phi.divisor))
    return again.agrees is not False


def _is_off_over_intervals(phi: DirectionalFunction, mismatch: float) -> bool:
    """Return whether the derivative is also wrong in its mean over some wide interval.

    The difference of the two means, of the derivative that is checked and of the numerical one, must exceed two bounds:
    half of `mismatch`, which is their difference at the point, and twice the estimated error of the difference.
    """
    means = [mean_over_interval(phi, h) for h in WIDE_INTERVALS]
    return any(
        mean is not None and math.fabs(mean.mismatch) > max(2.0 * (mean.noise + mean.bias), 0.5 * mismatch)
        for mean in means
    )
