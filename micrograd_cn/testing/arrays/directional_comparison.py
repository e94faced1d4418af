"""Compare a directional derivative with a numerical one, and try again with other steps if the two do not agree.

The weighted sum of a problem's outputs, with the weights u, is a function φ of one number t along a direction v (see
`DirectionalFunction`). The derivative of φ at 0 that the code under test gives is called analytic. Its difference from
the numerical derivative is called the mismatch. `directional_stages` compares the two derivatives in steps of one size.
Unless that comparison already shows that the derivative is right, the functions in `REVISIONS` are tried in order, and
each may replace the comparison by a better one.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable
from dataclasses import replace
from typing import TypeAlias

import numpy as np

from ..numeric.call_budget import OutOfCalls
from ..numeric.compare import FINE_FEATURE, Comparison
from ..numeric.numerical import Estimate, agree
from ..numeric.thresholds import (
    CLEAR_MISMATCH,
    CROSSING,
    CROSSING_IN_HALF,
    DETECTABLE_ERROR,
    EDGE_FACTOR,
    ESTIMATED_ERRORS,
    FAR_TOO_LARGE,
    FAR_TOO_LARGE_SHARE,
    NEGLIGIBLE_SHARE,
    OTHER_STEPS,
    ROUNDED_OFF,
    STEPPING_ELEMENTS,
    STEPPING_SHARE,
    UNEVEN_STEP,
)
from . import half_precision
from .directional_function import DirectionalFunction
from .directional_stages import LOW_STEPS, TOO_FEW_CALLS, Attempt, compare_within_limit
from .excuses import Doubt, excuse
from .interval_means import CLOSE
from .problem import Problem, floor_power_of_2, norm
from .staircases import (
    has_high_steps,
    has_high_treads,
    is_step_function,
    keeps_slope,
    may_be_ramp,
    size_of_parts,
    step_heights,
)
from .tolerance import ArrayTolerance
from .vectors import Indices, Vector
from .whole_number_features import has_features, has_slope, takes_long_steps

__tracebackhide__ = True

ComparedAlong: TypeAlias = tuple[Comparison, DirectionalFunction]  # the result, and which function was compared

JUMP_OR_POLE = "a jump or a pole", "no numerical derivative: a jump"  # how notes begin
BESIDE_FEATURES = "too noisy to tell: features are narrower than the steps, as teeth of a sawtooth"  # a note
NEGLIGIBLE = "negligible beside the other derivatives"  # a note


def compare_along(
    problem: Problem,
    title: str,
    u: Vector,
    v: Vector,
    typical_slope: float,
    x: Vector | None = None,
    gradient_norm: float = 0.0,
    known_wrong: bool = False,
) -> ComparedAlong:
    """Compare the derivative of u · f, the weighted sum of the outputs, along the direction `v` with a numerical one.

    Unless the first comparison shows that the derivative is right, the elements are moved by steps of other sizes, and
    then other reasons than a mistake are looked for (see `REVISIONS`). If steps are long, the first question is whether
    f has features that are narrower (`whole_number_features`).

    Args:
        problem: the function f, its derivative and the point.
        title: the name of the derivative.
        u: the cotangent, which has the weights of the outputs.
        v: the direction, which says how far each element moves.
        typical_slope: about how large derivatives along directions like this one are.
        x: the point; by default that of the problem.
        gradient_norm: the norm of the whole gradient. A derivative that is negligible compared with it counts as right
            even if rounding hides it.
        known_wrong: whether the gradient is known to be wrong, since no excuse was found for a derivative along another
            direction. A clear mismatch then needs no excuse of its own.

    Returns:
        The comparison, and the function of one number that was differentiated.
    """
    x = problem.x if x is None else x
    v = _without_steps(problem, u, v, x)
    phi = DirectionalFunction(problem, u, v, x, per_element=True)
    if not v.any():
        return Comparison(title, 0.0, Estimate(0.0, 0.0), True), phi
    comparison = compare_within_limit(title, phi, typical_slope)
    if problem.may_have_treads is None:
        with contextlib.suppress(OutOfCalls):  # otherwise, the next comparison finds out
            numeric = comparison.numeric.slope
            problem.may_have_treads = not (keeps_slope(phi) or (numeric != 0.0 and keeps_slope(phi, numeric)))
    if problem.may_have_treads and (stepped := _by_treads(comparison, phi)):
        return stepped, phi
    settled = comparison.agrees and not comparison.noisy and not _agrees_beside_steeper(comparison, phi)
    wrong = known_wrong and comparison.agrees is False and not comparison.note.startswith("kink")
    if (settled or (wrong and (problem.few_comparisons or _is_clearly_wrong(comparison)))) and not takes_long_steps(
        phi
    ):
        return comparison, phi
    question = Question(problem, title, typical_slope, gradient_norm, phi)
    found = Attempt(comparison, phi, typical_slope)
    beside = within_features(question, found)
    found = beside or found
    for revise in (excused,) if beside or settled else REVISIONS:
        found = revise(question, found) or found
    if found.comparison.agrees and found.comparison.note and _may_miss_features(question):
        found = _revised(found, agrees=None, note=BESIDE_FEATURES, noisy=True)
    return found.comparison, found.phi


def _by_treads(comparison: Comparison, phi: DirectionalFunction) -> Comparison | None:
    """Return a comparison with another verdict if f is a step function along `phi`, but the derivative is not 0.

    A step function does not change on treads, which are intervals, and jumps from one tread to the next. Long
    numerical steps cross many treads, and the mean slope over many treads of a quantiser is that of a straight line. So
    `comparison` may call a straight-through gradient right. Three cases are told apart:

    - The jumps are high. The comparison that is returned calls the derivative wrong.
    - The jumps are high, but the derivative is so steep that they may be ramps which are narrower than the finest
      steps. The comparison that is returned has no verdict.
    - The jumps are so low that rounding of large numbers inside f may have made them, as in (x + 1e6) - 1e6. The mean
      slope is then the derivative. If the derivative agrees with it, but the jumps hide an error of 1 %, the
      comparison that is returned has no verdict.

    None is returned in all other cases, and if no calls are left to look at the jumps.
    """
    if not math.isfinite(phi.analytic):
        return None
    try:
        numeric = comparison.numeric.slope
        if keeps_slope(phi, both_sides=True) or (numeric and keeps_slope(phi, numeric, both_sides=True)):
            return None
        phi.problem.budget.lift_limit()
        if keeps_slope(phi, both_sides=True, beside=size_of_parts(phi, far=True)):
            return None
        heights = step_heights(phi)
        is_high = heights is not None and has_high_steps(phi, heights)
        is_ramp = is_high and may_be_ramp(phi)
    except OutOfCalls:
        return None
    if heights is None:
        return None
    if is_ramp:
        return comparison._replace(agrees=None, note=FINE_FEATURE, noisy=False)
    if is_high:
        return comparison._replace(numeric=Estimate(0.0, 0.0), agrees=False, note="", noisy=False)
    known_to = 2.0 * norm(phi.u, heights) / (math.fabs(phi.divisor) * phi.problem.steps.first_steps[0])
    hidden = comparison.agrees and ESTIMATED_ERRORS * known_to > DETECTABLE_ERROR * math.fabs(phi.analytic)
    return comparison._replace(agrees=None, note=LOW_STEPS, noisy=False) if hidden else None


class Question:
    """The question whether the derivative along a direction is right.

    Args:
        problem: the function f, its derivative and the point.
        title: the name of the derivative.
        typical_slope: about how large derivatives along directions like this one are.
        gradient_norm: the norm of the whole gradient.
        phi: the function of one number that was differentiated first. `x`, `u` and `v` are taken from it.

    Attributes:
        phi: the function of one number that was differentiated first.
        x: the point at which the derivative is taken. It may be another point than that of the problem, but is near it.
        u: the cotangent, which has the weights of the outputs.
        v: the direction, which says how far each element moves.
        moved_elements: the indices of the elements that the direction moves.
        steps: how far the direction moves each of these elements, without signs.
        sizes: the absolute values of these elements at the problem's own point, even if `x` is another point.
        own_steps: for each of these elements, a step of about its absolute value. For an element that is 0, the step is
            the entry of `steps`, but at most 1.
    """

    def __init__(
        self, problem: Problem, title: str, typical_slope: float, gradient_norm: float, phi: DirectionalFunction
    ) -> None:
        self.problem, self.title = problem, title
        self.typical_slope, self.gradient_norm = typical_slope, gradient_norm
        self.phi, self.x, self.u, self.v = phi, phi.x, phi.u, phi.v
        self.moved_elements = phi.moved_elements
        self.steps = np.abs(self.v[self.moved_elements])
        self.sizes = np.abs(problem.x[self.moved_elements])
        self.own_steps = np.where(self.sizes > 0.0, floor_power_of_2(self.sizes), np.minimum(self.steps, 1.0))

    def attempt(self, v: Vector, typical_slope: float) -> Attempt:
        """Compare the derivative along the direction `v`, and return an `Attempt` with the comparison.

        `v` moves the same elements as this question's direction, but each of them by another amount. `typical_slope` is
        about how large derivatives along directions like this one are.
        """
        phi = DirectionalFunction(self.problem, self.u, v, self.x, per_element=True)
        return Attempt(compare_within_limit(self.title, phi, typical_slope), phi, typical_slope)

    def attempt_with_steps(self, steps: Vector) -> Attempt:
        """Compare the derivative along a direction that moves each element in `moved_elements` by its entry in `steps`.

        An element that `v` moves up or down is again moved up or down.
        """
        along = np.zeros(self.v.size)
        along[self.moved_elements] = np.sign(self.v[self.moved_elements]) * steps
        return self.attempt(along, self.typical_slope * float(steps.max() / self.steps.max()))


def within_features(question: Question, found: Attempt) -> Attempt | None:
    """Compare again in steps that move each element by less than 1, if f has features narrower than the steps so far.

    Such features are, for example, the teeth of a sawtooth. Return the new attempt if it can tell whether the
    derivative is right. Otherwise, return the attempt `found` without a verdict, since the features hide whether the
    derivative is right. None is returned in these cases:

    - f has no such features, or `found` has no verdict.
    - The derivative is 0, and f is a step function, or has a slope over the steps. Earlier stages have judged this.
    - No calls are left for a new attempt.
    """
    comparison, phi, zero = found.comparison, found.phi, found.comparison.analytic == 0.0
    if comparison.agrees is None or not takes_long_steps(phi):
        return None
    if found.is_wrong:
        question.problem.budget.lift_limit()
    try:
        if not has_features(phi) or (zero and (found.is_wrong or is_step_function(phi))):
            return None
        again = question.attempt_with_steps(np.minimum(question.steps, UNEVEN_STEP))
        comparison = again.comparison
        known = comparison.agrees is not None and not comparison.note and again.phi.changed_outputs.any()
        if known and has_slope(again.phi, comparison.numeric.slope):
            return again
    except OutOfCalls:
        return None
    return _revised(found, agrees=None, note=BESIDE_FEATURES, noisy=True)


def _may_miss_features(question: Question) -> bool:
    """Return whether f has features, such as teeth, that are narrower than the steps, so these may miss them.

    The result is also True if no calls are left to look for such features.
    """
    try:
        return takes_long_steps(question.phi) and has_features(question.phi)
    except OutOfCalls:
        return True


def in_steps_of_1(question: Question, found: Attempt) -> Attempt | None:
    """Compare again, with each element moved by 1. Return the better of the two attempts; None if no new one was made.

    A step of 1 is large for a tiny element, whose effect rounding may hide, and small for a huge element.
    """
    return _in_other_steps(question, found, np.ones(question.steps.size))


def in_steps_of_own_size(question: Question, found: Attempt) -> Attempt | None:
    """Compare again, with each element moved by about its absolute value.

    Such steps suit elements that are smaller than others, and points near the edge of the domain. Return the better of
    the two attempts; None if no new one was made.
    """
    return _in_other_steps(question, found, question.own_steps)


def in_steps_beside_0(question: Question, found: Attempt) -> Attempt | None:
    """Compare again if an element is so small that even the finest steps cross 0, where there may be a kink.

    In the new attempt, the step of an element other than 0 is at most the element's absolute value. Return the better
    of the two attempts; None if no new one was made.
    """
    size, finest = question.sizes, question.problem.steps.finest * question.steps
    if not ((size > 0.0) & (size < (CROSSING_IN_HALF if question.problem.half_precision else CROSSING) * finest)).any():
        return None
    return _in_other_steps(question, found, np.minimum(question.own_steps, question.steps), beside_0=True)


def in_tiny_steps(question: Question, found: Attempt) -> Attempt | None:
    """Compare again with far smaller steps if there may be a jump, a pole or the edge of the domain near the point.

    Return the new attempt if the derivative agrees in it, else None. In half precision, no new attempt is made.
    """
    comparison = found.comparison
    edge = comparison.agrees is None and comparison.note.startswith(JUMP_OR_POLE)
    if not edge or question.problem.half_precision:
        return None
    nearer = question.attempt(EDGE_FACTOR * question.v, EDGE_FACTOR * question.typical_slope)
    return nearer if nearer.comparison.agrees else None


def excused(question: Question, found: Attempt) -> Attempt | None:
    """Return the attempt without a verdict if there is an excuse for a wrong derivative (see `excuses`); else None.

    If no calls are left to look for an excuse, this counts as an excuse, too. There is no excuse for a derivative that
    is infinite or nan.
    """
    if not found.is_wrong or not math.isfinite(found.comparison.analytic):
        return None
    try:
        note = excuse(Doubt(found.comparison, found.phi, found.typical_slope, found.confirmed, question.gradient_norm))
    except OutOfCalls:
        note = TOO_FEW_CALLS
    noisy = not note.startswith(("kink", "no num"))
    return _revised(found, agrees=None, note=note, noisy=noisy) if note else None


def beside_steps(question: Question, found: Attempt) -> Attempt | None:
    """Compare again without those elements along which f is a step function, if the checked derivative there is 0.

    In a sum of step functions, such as that of round(x), a step that moves many elements lets some of them jump. So the
    sum seems to climb like a straight line, and to prove the derivative 0 wrong. It keeps its value if a single element
    moves. A few elements of each array are looked at. If most of them jump, the new attempt moves no element of this
    array whose derivative is 0. If no other element is left, the derivative is called right.

    None is returned if `found` calls the derivative right, or has no verdict about a derivative other than 0. None is
    also returned if the gradient is not known, if f is no step function along any array, and if no calls are left to
    look for jumps.
    """
    problem, phi = question.problem, found.phi
    gradient = problem.derivative.gradient(phi.x, phi.u)
    in_doubt = found.is_wrong or (found.comparison.agrees is None and phi.analytic == 0.0)
    if not in_doubt or gradient is None or phi.moved_elements.size < 2:
        return None
    try:
        for place in phi.moved_arrays:
            still = place.start + np.flatnonzero((phi.v[place] != 0.0) & (gradient[place] == 0.0))
            if still.size and place.start not in problem.has_steps:
                problem.has_steps[place.start] = _has_steps(phi, still)
    except OutOfCalls:
        return None
    left = _without_steps(problem, phi.u, phi.v, phi.x)
    if not left.any():
        return replace(found, comparison=Comparison(question.title, 0.0, Estimate(0.0, 0.0), True))
    return None if np.array_equal(left, phi.v) else question.attempt(left, question.typical_slope)


def _without_steps(problem: Problem, u: Vector, v: Vector, x: Vector) -> Vector:
    """Return the direction `v`, but without elements along which f is known to be a step function; see `beside_steps`.

    A direction that moves a single element is returned as it is.
    """
    if not any(problem.has_steps.values()) or np.count_nonzero(v) < 2:
        return v
    gradient, left = problem.derivative.gradient(x, u), v.copy()
    assert gradient is not None
    for place in problem.arguments.slices():
        if problem.has_steps.get(place.start):
            left[place][gradient[place] == 0.0] = 0.0
    return left


def _has_steps(phi: DirectionalFunction, elements: Indices) -> bool:
    """Return whether f is a step function along most of these elements of the point; a few of them are looked at."""
    phi.problem.budget.lift_limit()
    seen = []
    for i in elements[np.unique(np.linspace(0, elements.size - 1, STEPPING_ELEMENTS).astype(int))]:
        alone = np.zeros(phi.v.size)
        alone[i] = phi.v[i]
        seen.append(has_high_treads(DirectionalFunction(phi.problem, phi.u, alone, phi.x, per_element=True)))
    return seen.count(True) >= max(1.0, STEPPING_SHARE * (len(seen) - seen.count(None)))


def lost_beside_others(question: Question, found: Attempt) -> Attempt | None:
    """Return an attempt that calls a derivative right if it is tiny compared with other derivatives, else None.

    Rounding may lose such a derivative when it is added to the others, so it may differ from the numerical one, or the
    numerical one may not be exact enough for a verdict. None is also returned if the derivative agrees anyway.
    """
    problem, moved, numeric = question.problem, question.moved_elements, found.comparison.numeric
    size = max(math.fabs(found.comparison.analytic), math.fabs(numeric.slope) + ESTIMATED_ERRORS * numeric.error)
    usual = found.typical_slope
    if moved.size == 1:  # `gradient_norm` is a norm of derivatives times `scale`, so this one is multiplied, too
        size, usual = size * float(problem.scale[moved[0]]), max(question.gradient_norm, question.typical_slope)
    lost = size <= min(ROUNDED_OFF * problem.eps, NEGLIGIBLE_SHARE) * usual
    return (
        _revised(found, agrees=True, note=NEGLIGIBLE)
        if not found.comparison.agrees and lost and math.isfinite(numeric.error)
        else None
    )


def agrees_to_last_bit(question: Question, found: Attempt) -> Attempt | None:
    """Return an attempt that calls a derivative in half precision right if noise hides it, but the last bits agree.

    The checked derivative must be equal to the numerical one up to the last bit. None is returned in all other cases.
    """
    comparison = found.comparison
    hidden = comparison.agrees is None and comparison.noisy
    if hidden and half_precision.agrees_closely(comparison, question.problem):
        return _revised(found, agrees=True, note=CLOSE, noisy=False)
    return None


def hidden_beside_others(question: Question, found: Attempt) -> Attempt | None:
    """Return an attempt that calls a derivative right if it has no verdict, but is negligible; else None.

    It is negligible if the derivative and its estimated error are tiny compared with the norm of the whole gradient.
    """
    comparison = found.comparison
    size = ESTIMATED_ERRORS * comparison.numeric.error + math.fabs(comparison.analytic)
    if question.moved_elements.size == 1:  # the norm of the gradient is that of derivatives times `scale`
        size *= float(question.problem.scale[question.moved_elements[0]])
    if (comparison.noisy or comparison.agrees is None) and size <= NEGLIGIBLE_SHARE * question.gradient_norm:
        return _revised(found, agrees=True, note=NEGLIGIBLE, noisy=False)
    return None


Revision: TypeAlias = Callable[[Question, Attempt], Attempt | None]
REVISIONS: tuple[Revision, ...] = (
    in_steps_of_1,
    in_steps_of_own_size,
    in_steps_beside_0,
    in_tiny_steps,
    beside_steps,
    excused,
    lost_beside_others,
    agrees_to_last_bit,
    hidden_beside_others,
)


def _revised(found: Attempt, agrees: bool | None, note: str, noisy: bool | None = None) -> Attempt:
    """Return the attempt `found`, but with this verdict and note; also with `noisy`, unless that is None.

    `agrees` is the verdict: True, False, or None if the derivative counts as not compared.
    """
    comparison = found.comparison
    noisy = comparison.noisy if noisy is None else noisy
    return replace(found, comparison=comparison._replace(agrees=agrees, note=note, noisy=noisy))


def _in_other_steps(question: Question, found: Attempt, steps: Vector, beside_0: bool = False) -> Attempt | None:
    """Compare with `steps` if that may tell more. Return the better of the old and the new attempt, or None.

    None is returned if no new attempt was made.

    Args:
        question: the derivative in question, and the direction.
        found: the best attempt so far.
        steps: how far each moved element moves.
        beside_0: whether `steps` are shorter than before because an element is so near 0 that even the finest steps
            before took it to the other side of 0.
    """
    if not _may_tell_more(question, found, steps, beside_0):
        return None
    again = question.attempt_with_steps(steps)
    longer, shorter = steps.max() > question.steps.max(), steps.max() < question.steps.max()
    # In steps that are larger than a feature of f, the feature looks like a kink, which is no mistake and no excuse.
    wrong = again.is_wrong and not again.is_kink and not (longer and _contradict_each_other(found, again))
    if wrong and longer and not found.is_wrong and _vanishes_beside(question, again):
        return found  # f has a feature at the point that is narrower than these steps, and rounding hides it
    right = bool(again.comparison.agrees) and not (again.is_kink and longer and found.is_wrong)
    if right and found.is_wrong and not beside_0 and _is_clearly_wrong(found.comparison):
        right = _would_show(again, found)
    unseen = not found.phi.changed_outputs.any() and again.phi.changed_outputs.any()
    seen_now = bool(unseen) and not (again.is_kink and again.is_wrong)
    hidden = question.problem.half_precision and beside_0 and again.comparison.agrees is None and found.is_wrong
    confirmed = found.confirmed or (found.is_wrong and wrong and bool(shorter))
    better = right or seen_now or hidden or (not found.is_wrong and wrong)
    return replace(again if better else found, confirmed=confirmed)


def _vanishes_beside(question: Question, again: Attempt) -> bool:
    """Return whether the derivative is right at two random points that are about a step of `again` from the point.

    `again` calls the derivative wrong at the point, with steps that are much longer than the absolute values of the
    point's elements. They may miss a feature: |a - b| - |a - c|, with numbers of about 1e-20, is constant in steps of 1
    in `a`, but has a slope at the point. A mistake in a formula shows at the other points, too. In half precision, the
    result is False.
    """
    phi, random = again.phi, np.random.default_rng(0)
    if question.problem.half_precision:
        return False
    for _ in range(2):
        moves = random.uniform(0.5, 1.0, phi.v.size) * random.choice([-1.0, 1.0], phi.v.size) * phi.v
        beside = DirectionalFunction(
            question.problem, question.u, phi.v, question.problem.arguments.rounded(phi.x + moves), per_element=True
        )
        comparison = compare_within_limit(question.title, beside, again.typical_slope)
        if not comparison.agrees or comparison.note.startswith("kink"):
            return False
    return True


def _contradict_each_other(found: Attempt, again: Attempt) -> bool:
    """Return whether two attempts that move one element have numerical derivatives that differ by more than noise.

    The result is True only in float16 and bfloat16. Rounding there hides the changes of f in short steps, so longer
    steps are tried, too. If the slope of f changes near the point, longer steps may miss this. The result is False if
    several elements move, since the two attempts then move them in different directions, along which the derivatives
    differ anyway.
    """
    single = found.phi.problem.half_precision and found.phi.moved_elements.size == 1
    numeric = found.comparison.numeric
    return single and numeric.slope != 0.0 and not agree(numeric, again.comparison.numeric)


def _may_tell_more(question: Question, found: Attempt, steps: Vector, beside_0: bool) -> bool:
    """Return whether a comparison with `steps` may change the verdict of `found`.

    The verdict may change in two cases: `found` calls the derivative wrong, and many of the steps so far are far too
    large or too small; or `found` has no verdict, and `steps` differ enough from the steps so far. `beside_0` says that
    `steps` are shorter than before since even the finest steps crossed 0.
    """
    first, half = found.comparison, question.problem.half_precision
    factors = np.abs(np.log2(steps / question.steps))
    if found.is_wrong:
        many = beside_0 or bool(np.count_nonzero(factors > FAR_TOO_LARGE) > FAR_TOO_LARGE_SHARE * factors.size)
        plain = steps.max() > question.steps.max() and _is_clearly_wrong(first)
        return many and not plain
    unclear = first.agrees is None or _agrees_beside_steeper(first, found.phi)
    if not unclear or not factors.max() > OTHER_STEPS:
        return False
    if not (half and first.agrees is None and first.noisy and first.numeric.error < math.inf):
        return True
    # Longer steps help against noise. Shorter ones may always help, since part of the noise may be curvature.
    by_noise = first.numeric.noise > 0.5 * first.numeric.error
    ratio = norm(steps) / norm(question.steps)
    # A small element may cross a pole in a step that suits large ones, as lgamma does at 0.
    some_shorter = bool((steps <= 2.0 * question.steps).all()) and factors.max() > FAR_TOO_LARGE
    return ratio < 0.5 or some_shorter or (ratio > 2.0 and by_noise)


def _agrees_beside_steeper(comparison: Comparison, phi: DirectionalFunction) -> bool:
    """Return whether a derivative agrees only because f is far steeper in the largest steps than at the point.

    For example, x**4 is flat at 0, but so steep in steps of 1e9 that rounding hides a wrong derivative of 3. The
    comparison should then be repeated with shorter steps.
    """
    problem = phi.problem
    if comparison.note.startswith("kink"):  # the derivative agrees since it is between those of the two sides
        return False
    mismatch = comparison.mismatch
    if problem.half_precision or mismatch <= problem.rtol * math.fabs(comparison.analytic):
        return False
    return mismatch > _typical_tolerance(phi).allowed_error(comparison.analytic, comparison.numeric)


def _typical_tolerance(phi: DirectionalFunction) -> ArrayTolerance:
    """Return the tolerance for a derivative that is as large as those along the direction of `phi` usually are."""
    problem = phi.problem
    return ArrayTolerance(problem.rtol, problem.atol, phi.typical_slope, phi.analytic_rounding)


def _is_clearly_wrong(comparison: Comparison) -> bool:
    """Return whether the two derivatives differ by far more than the estimated error of the numerical one.

    Then the comparison is not repeated with larger steps, which would only hide the difference. The result is False if
    the numerical derivative is 0.
    """
    mismatch = comparison.mismatch
    return (
        comparison.numeric.slope != 0.0
        and math.isfinite(mismatch)
        and mismatch > CLEAR_MISMATCH * comparison.numeric.error
    )


def _would_show(again: Attempt, found: Attempt) -> bool:
    """Return whether the attempt `again` is exact enough to show the mistake that the attempt `found` shows.

    The two attempts move the same elements by different steps, so their derivatives differ in size. Therefore the error
    that `again` allows and the mismatch in `found` are compared relative to a norm: the norm of the gradient with
    respect to the moved elements, in which each entry is multiplied by the step of its element in that attempt. The
    result is True in half precision, and if the gradient is not known.
    """
    phi = found.phi
    g = phi.problem.derivative.gradient(phi.x, phi.u)
    if phi.problem.half_precision or g is None:
        return True
    moved = phi.moved_elements
    sizes = [norm(g[moved], each.v[moved]) / math.fabs(each.divisor) for each in (again.phi, phi)]
    allowed = _typical_tolerance(again.phi).allowed_error(again.comparison.analytic, again.comparison.numeric)
    return allowed * sizes[1] <= 0.5 * found.mismatch * sizes[0]


def can_tell_one_percent(problem: Problem, comparison: Comparison) -> bool:
    """Return whether a comparison was exact enough to show an error of 1 % of the derivative.

    In other types than float16 and bfloat16, every comparison that calls a derivative right or wrong is exact enough.
    """
    return half_precision.can_tell_one_percent(comparison) if problem.half_precision else comparison.agrees is not None
