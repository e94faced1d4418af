"""Compare a directional derivative with a numerical one, at the point or as a mean over an interval around it.

The weighted sum of a problem's outputs, with the weights u, is a function φ of one number t along a direction v (see
`DirectionalFunction`). The derivative of φ at 0 that the code under test gives is called analytic. Its difference from
the numerical derivative is called the mismatch.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from dataclasses import replace
from typing import TypeAlias

import numpy as np

from . import half_precision
from .call_budget import OutOfCalls
from .compare import Claim, Comparison, compare, noise_note
from .directional_function import DirectionalFunction
from .interval_means import CLOSE, compare_interval_means, mean_over_interval
from .numerical import Estimate, central_quotient, noise_level, two_step_estimate
from .problem import Problem, floor_power_of_2, norm
from .staircases import is_step_function, tread_of
from .tied_kinks import has_tied_kink
from .tolerance import ArrayTolerance
from .vectors import Vector

__tracebackhide__ = True

Compared: TypeAlias = tuple[Comparison, DirectionalFunction]  # the result, and which function was compared

NARROW_FEATURES = "no numerical derivative: features that are narrower than the steps, as between poles of lgamma"
JUMP_OR_POLE = "a jump or a pole", "no numerical derivative: a jump"  # how notes begin
TOO_FEW_CALLS = "too noisy to tell within the limit of calls"
BURIED = 2.0  # times the rounding: in half precision, a smaller change over the largest step is noise
DOUBLE_PRECISION_BITS = 40  # with this many fraction bits or more, rounding is far below the tolerance
VISIBLE_MISMATCH = 20.0  # a mismatch shows if it changes φ, in the largest step, by more than this times the rounding
MIN_SIGNAL_TO_NOISE = 1000.0  # change over rounding, in the largest step, at which an error of 1 % can be seen
MAX_ANALYTIC_NOISE = 2.0**13  # times the last bit: how noisy a correct analytic derivative may be
BEYOND_NOISE = 10.0  # times the errors of both derivatives: no noise makes a mismatch that is larger
MAX_SCATTER = 0.1  # relative to slope and mismatch: quotients that scatter less than this are not mere noise
CLEAR_MISMATCH = 100.0  # times the estimated error: a derivative off by more is wrong, even if larger steps agree
CHANGE_FACTOR = 2.0  # `ArrayTolerance.own_slope` is this times the slope of φ over the largest step
FLAT_POWER = 0.4  # `ArrayTolerance.flat_slope` is eps to this power, times the slope of φ over the largest step
MAX_TREADS = 4.0  # a mismatch that changes φ by at most so many treads, in the width of a tread, may be rounding
EDGE_FACTOR = 2.0**-10  # steps are made smaller by this where the edge of the domain or a pole may be near
FEATURE = 8.0  # times the rounding: what looks like more noise, between far points only, is a feature of f
LONG_STEP = 2.0**-7  # where even the finest steps are as long, features at whole numbers are not seen
UNEVEN_POINTS = 8.0 * (np.arange(17) * 0.618034 % 1.0) - 4.0
ROUGH_SHARE = 0.4  # of the distance from a parabola: a smooth function is nearer to a polynomial of degree 6
FEATURE_SLOPE = 4.0  # the slope of a feature is at most this times its height, over the distance of near points
ROUNDED_OFF = 4.0  # times the last bit of the others: a derivative this small may be lost if it is added to these
NEGLIGIBLE_SHARE = 1e-4  # of the norm of the gradient: a derivative below this share may be hidden by rounding


def compare_along(
    problem: Problem,
    title: str,
    u: Vector,
    v: Vector,
    typical_slope: float,
    x: Vector | None = None,
    gradient_norm: float = 0.0,
) -> Compared:
    """Compare the derivative of u · f, the weighted sum of the outputs, along the direction `v` with a numerical one.

    If the derivative does not agree, the elements are moved by steps of two other sizes: first by 1, then by about
    their own size. A step of 1 is large for a tiny element, whose effect rounding may hide, and small for a huge
    element. Steps of each element's own size suit elements that are smaller than others, and points near the edge of
    the domain.

    Args:
        problem: the function f, its derivative and the point.
        title: the name of the derivative.
        u: the cotangent, which has the weights of the outputs.
        v: the direction, which says how far each element moves.
        typical_slope: about how large derivatives along such directions are.
        x: the point; by default that of the problem.
        gradient_norm: the norm of the whole gradient. A derivative that is negligible beside it counts as right even if
            rounding hides it.

    Returns:
        The comparison, and the function of one number that was differentiated.
    """
    confirmed = False  # whether shorter steps show a mistake, too
    (first, phi), of_first = _compare_within_limit(problem, title, u, v, typical_slope, x), typical_slope
    if first.agrees and not first.noisy and not _agrees_beside_steeper(first, phi):
        return first, phi
    moved = phi.moved_elements
    steps, here = np.abs(v[moved]), np.abs(problem.x[moved])
    own = np.where(here > 0.0, floor_power_of_2(here), np.minimum(steps, 1.0))
    # Even the finest steps cross 0, where there may be a kink, if they are larger than an element.
    crossing = (here > 0.0) & (here < (1.0 if problem.half_precision else 4.0) * problem.steps.finest * steps)
    shorter = [np.minimum(own, steps)] if crossing.any() else []
    for other in (np.ones(steps.size), own, *shorter):
        factors = np.abs(np.log2(other / steps))
        is_short = any(other is short for short in shorter)
        # Many steps may be far too large.
        many = is_short or bool(np.count_nonzero(factors > 4.0) > 0.1 * factors.size)
        plain = other.max() > steps.max() and _is_clearly_wrong(first)
        beside_steeper = bool(first.agrees) and _agrees_beside_steeper(first, phi)
        unclear = (first.agrees is None or beside_steeper) and factors.max() > 2.0
        if problem.half_precision and first.agrees is None and first.noisy and first.numeric.error < math.inf:
            # Longer steps help against noise. Shorter ones may always help, since part of the noise may be curvature
            by_noise = first.numeric.noise > 0.5 * first.numeric.error
            ratio = norm(other) / norm(steps)
            unclear = unclear and (ratio < 0.5 or (ratio > 2.0 and by_noise))
        if (first.agrees is False and many and not plain) or unclear:
            of_other = typical_slope * float(other.max() / steps.max())
            along_other = np.zeros(v.size)
            along_other[moved] = np.sign(v[moved]) * other
            again, along = _compare_within_limit(problem, title, u, along_other, of_other, x)
            hidden = problem.half_precision and is_short and again.agrees is None and first.agrees is False
            # In steps that are larger than a feature of f, it looks like a kink, which is no mistake and no excuse.
            kink = again.note.startswith("kink")
            wrong = again.agrees is False and not kink
            unseen = (
                not phi.changed_outputs.any() and along.changed_outputs.any() and not (kink and again.agrees is False)
            )
            right = again.agrees and not (kink and other.max() > steps.max() and first.agrees is False)
            if right and first.agrees is False and not is_short and _is_clearly_wrong(first):
                right = _would_show(problem, again, first, along, phi)
            confirmed = confirmed or (first.agrees is False and wrong and other.max() < steps.max())
            if right or unseen or hidden or (first.agrees is not False and wrong):
                first, phi, of_first = again, along, of_other
    if first.agrees is None and first.note.startswith(JUMP_OR_POLE) and not problem.half_precision:
        nearer = _compare_within_limit(problem, title, u, EDGE_FACTOR * v, EDGE_FACTOR * typical_slope, x)
        if nearer[0].agrees:
            return nearer
    if first.agrees is False and math.isfinite(first.analytic):
        try:
            note = _excuse(problem, first, phi, title, u, of_first, gradient_norm, confirmed)
        except OutOfCalls:
            note = TOO_FEW_CALLS
        if note:
            first = replace(first, agrees=None, note=note, noisy=not note.startswith(("kink", "no num")))
    size = max(math.fabs(first.analytic), math.fabs(first.numeric.slope) + 5.0 * first.numeric.error)
    usual = of_first
    if moved.size == 1:  # the norm of the gradient is that of derivatives times `scale`
        size, usual = size * float(problem.scale[moved[0]]), max(gradient_norm, typical_slope)
    if first.agrees is False and size <= min(ROUNDED_OFF * problem.eps, NEGLIGIBLE_SHARE) * usual:
        first = replace(first, agrees=True, note="negligible beside the other derivatives")
    if first.agrees is None and first.noisy and half_precision.agrees_closely(first, problem):
        first = replace(first, agrees=True, note=CLOSE, noisy=False)
    if first.noisy and 5.0 * first.numeric.error + math.fabs(first.analytic) <= NEGLIGIBLE_SHARE * gradient_norm:
        first = replace(first, agrees=True, note="negligible beside the other derivatives", noisy=False)
    return first, phi


def _agrees_beside_steeper(comparison: Comparison, phi: DirectionalFunction) -> bool:
    """Return whether a derivative agrees only because f is far steeper in the largest steps than at the point.

    For example, x**4 is flat at 0, but so steep in steps of 1e9 that rounding hides a wrong derivative of 3. The
    comparison should then be repeated with shorter steps.
    """
    problem = phi.problem
    if comparison.note.startswith("kink"):  # it agrees since it is between the derivatives of the two sides
        return False
    mismatch = math.fabs(comparison.analytic - comparison.numeric.slope)
    if problem.half_precision or mismatch <= problem.rtol * math.fabs(comparison.analytic):
        return False
    tolerance = ArrayTolerance(problem.rtol, problem.atol, phi.typical_slope, phi.analytic_rounding)
    return mismatch > tolerance.allowed_error(comparison.analytic, comparison.numeric)


def _is_clearly_wrong(comparison: Comparison) -> bool:
    """Return whether the two derivatives differ by far more than the estimated error of the numerical one.

    Then the comparison is not repeated with larger steps, which would only hide the difference.
    """
    mismatch = math.fabs(comparison.analytic - comparison.numeric.slope)
    return (
        comparison.numeric.slope != 0.0
        and math.isfinite(mismatch)
        and mismatch > CLEAR_MISMATCH * comparison.numeric.error
    )


def _would_show(
    problem: Problem, comparison: Comparison, wrong: Comparison, along: DirectionalFunction, phi: DirectionalFunction
) -> bool:
    """Return whether `comparison` is exact enough to show the mistake that the comparison `wrong` shows.

    The two comparisons differentiated the functions `along` and `phi`, which move the same elements by different steps.
    So the error that `comparison` allows and the mismatch in `wrong` are each divided by the norm of these elements'
    part of the gradient, taken in the steps of its own function.
    """
    g = problem.derivative.gradient(phi.x, phi.u)
    if problem.half_precision or g is None:
        return True
    sizes = [norm(g[phi.moved_elements], each.v[phi.moved_elements]) / math.fabs(each.divisor) for each in (along, phi)]
    tolerance = ArrayTolerance(problem.rtol, problem.atol, along.typical_slope, along.analytic_rounding)
    allowed = tolerance.allowed_error(comparison.analytic, comparison.numeric)
    mismatch = math.fabs(wrong.analytic - wrong.numeric.slope)
    return allowed * sizes[1] <= 0.5 * mismatch * sizes[0]


def can_tell_one_percent(problem: Problem, comparison: Comparison) -> bool:
    """Return whether a comparison was exact enough to show an error of 1 % of the derivative.

    In other types than float16 and bfloat16, every comparison that calls a derivative right or wrong is exact enough.
    """
    return half_precision.can_tell_one_percent(comparison) if problem.half_precision else comparison.agrees is not None


def _excuse(
    problem: Problem,
    comparison: Comparison,
    phi: DirectionalFunction,
    title: str,
    u: Vector,
    typical_slope: float,
    gradient_norm: float = 0.0,
    confirmed: bool = False,
) -> str:
    """Return a reason, other than a mistake, why the derivative in `comparison` differs from the numerical one.

    The reason is rounding, features of f that are narrower than the steps, or a kink where elements are equal. If none
    is found, the result is "". In half precision, the comparison is repeated at other points, for which `title`, `u`
    and `typical_slope` are needed, as in `compare_along`. `phi` is the function that was differentiated, and
    `gradient_norm` is the norm of its whole gradient. `confirmed` says that shorter steps show a mistake, too.
    """
    if problem.half_precision:
        return half_precision.rounding_excuse(
            problem, comparison, phi, lambda x: _compare_within_limit(problem, title, u, phi.v, typical_slope, x)[0]
        )
    mismatch = math.fabs(comparison.analytic - comparison.numeric.slope)
    if rounding := _absorbing_rounding(phi, comparison.numeric, mismatch):
        return noise_note(rounding)
    small = mismatch <= math.sqrt(problem.eps) * max(typical_slope, gradient_norm) / math.fabs(phi.divisor)
    if (small or comparison.numeric.slope == 0.0) and (rounding := _rounding_nearby(phi, mismatch)):
        return noise_note(rounding)
    if not confirmed and _has_narrow_features(phi, mismatch):
        return NARROW_FEATURES
    tread = problem.steps.finest
    still = phi(tread) == phi(-tread) == 0.0 and phi.changes_far_away()  # as if a part of f computed in float32
    # Far below 0, gelu is x times a staircase, and none itself. A mistake would not vanish over larger steps either.
    hidden = mismatch * problem.steps.first_steps[0] <= MIN_SIGNAL_TO_NOISE * phi.rounding_beside_largest
    if (still or hidden) and _is_staircase(phi, comparison.analytic, mismatch):
        return "too noisy to tell: the mismatch vanishes over larger steps"  # as for 1 + erf(x) at -8
    around = tread_of(phi)
    if around and around.is_rounding and mismatch * around.width <= MAX_TREADS * around.height:
        phi.raise_rounding(around.height)
        again = _compare_in_stages(problem, title, phi, typical_slope / math.fabs(phi.divisor))
        if again.agrees is not False and not _is_off_over_intervals(phi, mismatch):
            return noise_note(around.height)
    return "kink: not differentiable, as sorting is where numbers are equal" if has_tied_kink(phi) else ""


def _absorbing_rounding(phi: DirectionalFunction, numeric: Estimate, mismatch: float) -> float:
    """Return the rounding of outputs that is larger than their changes, if it explains the mismatch; else 0.0.

    In 1000 + 1e-20 * x, rounding absorbs each change of x. Such outputs do not change in any step, and the numerical
    derivative lacks their part. Rounding explains the mismatch if the checked derivative of the other outputs agrees.
    """
    part, rounding = phi.absorbed_part()
    hidden = math.fabs(part) * phi.problem.steps.first_steps[0] <= VISIBLE_MISMATCH * rounding
    rest = math.fabs(phi.analytic - part - numeric.slope)
    allowed = max(5.0 * numeric.error, phi.problem.rtol * max(math.fabs(numeric.slope), math.fabs(part)))
    return rounding if part and hidden and rest <= max(allowed, 1e-6 * mismatch) else 0.0


def _rounding_nearby(phi: DirectionalFunction, mismatch: float) -> float:
    """Return how far rounding changes u · f when all elements move, if that could explain the mismatch; else 0.0.

    u · f is the weighted sum of the outputs that `phi` computes, and `mismatch` is the difference of its derivative
    from the numerical one. When only one element moves, the outputs may stay the same by chance, as the rounded value
    of log(exp(x)) - x may. Each element moves by tiny parts of its own size, in steps of two sizes. The smaller of the
    two results counts, since a kink or a curve grows with the step, and rounding does not.
    """
    problem = phi.problem
    here = np.abs(phi.x)
    own = np.where(here > 0.0, floor_power_of_2(here), np.minimum(problem.scale, 1.0))
    own *= np.random.default_rng(0).uniform(0.5, 1.0, own.size)
    along = DirectionalFunction(problem, phi.u, own, phi.x)
    least = problem.steps.first_steps[0] * mismatch / VISIBLE_MISMATCH
    rounding = math.inf
    for exponent in problem.noise_exponents[:2]:
        rounding = min(rounding, noise_level(along, 0.0, [exponent]) / math.fabs(phi.divisor))
        if not rounding >= least:
            return 0.0
    return rounding


def _has_narrow_features(phi: DirectionalFunction, mismatch: float) -> bool:
    """Return whether `phi` has features that are narrower than the steps, so its slope at the point may be another.

    For example, between its poles at whole numbers, lgamma is steeper or flatter than over the long steps that suit
    large numbers. Values at points that are far apart then look like noise, and values at points that are close do not.
    Rounding would look like noise at close points, too. The result is False if even the finest steps are short.
    """
    steps = phi.problem.steps
    if float(np.max(np.abs(phi.v[phi.moved_elements]), initial=0.0)) * steps.finest < LONG_STEP:
        return False
    quiet: float | None = None
    bits = phi.problem.bits
    nearest = [bits - 1.0] if bits < DOUBLE_PRECISION_BITS else []
    for exponent in [*nearest, *phi.problem.noise_exponents[:3]]:  # from near points to far ones
        level = _roughness(phi, 2.0**-exponent)
        if level > FEATURE * phi.rounding:
            return quiet is not None and mismatch * quiet <= FEATURE_SLOPE * level
        quiet = 2.0**-exponent
    return False


def _roughness(phi: DirectionalFunction, step: float) -> float:
    """Return how far `phi` is from a polynomial at uneven points up to four steps away; 0.0 if it is smooth there.

    A smooth function is far nearer to a polynomial of high degree than to a parabola. The points are uneven, since even
    ones may all lie at the same distance from a pole.
    """
    ts = UNEVEN_POINTS * step
    values = np.array([phi(t) for t in ts.tolist()])
    if not np.isfinite(values).all():
        return 0.0
    left = []
    for degree in (2, 6):
        powers = np.vander(UNEVEN_POINTS, degree + 1)
        rest = values - powers @ np.linalg.lstsq(powers, values, rcond=None)[0]
        left.append(norm(rest) / math.sqrt(rest.size - degree - 1))
    return left[1] if left[1] > ROUGH_SHARE * left[0] else 0.0


def _is_staircase(phi: DirectionalFunction, analytic: float, mismatch: float) -> bool:
    """Return whether the mismatch vanishes in means over wide intervals, as if rounding made a staircase of f.

    Near the point, f does not change, since small steps stay on one tread of the staircase. Wide intervals have many
    treads. `phi` is the weighted sum of the outputs of f along a direction, `analytic` is its derivative that is
    checked, and `mismatch` is the distance of `analytic` from the numerical derivative at the point.
    """
    means = [mean_over_interval(phi, h) for h in (0.25, 2.0**-4, 2.0**-6)]
    return any(
        mean is not None
        and math.fabs(mean.mismatch) + mean.noise + mean.bias < 0.5 * mismatch
        and math.fabs(mean.analytic - analytic) < 0.5 * mismatch
        for mean in means
    )


def _is_off_over_intervals(phi: DirectionalFunction, mismatch: float) -> bool:
    """Return whether the mean of the derivative over some wide interval has a mismatch, too, far above its noise."""
    means = [mean_over_interval(phi, h) for h in (1.0, 0.25, 2.0**-4)]
    return any(
        mean is not None and math.fabs(mean.mismatch) > max(2.0 * (mean.noise + mean.bias), 0.5 * mismatch)
        for mean in means
    )


def _compare_within_limit(
    problem: Problem, title: str, u: Vector, v: Vector, typical_slope: float, x: Vector | None
) -> Compared:
    """Compare a derivative along the direction `v`, but only as long as calls of the user's function are left.

    If no calls are left, a comparison that says so is returned. The arguments are those of `compare_along`; if `x` is
    None, the point is that of the problem.
    """
    phi = DirectionalFunction(problem, u, v, problem.x if x is None else x, per_element=True)
    try:
        return _compare_in_stages(problem, title, phi, typical_slope / math.fabs(phi.divisor)), phi
    except OutOfCalls:
        return Comparison(title, phi.analytic, _rough_estimate(phi), None, TOO_FEW_CALLS, True), phi


def _rough_estimate(phi: DirectionalFunction) -> Estimate:
    """Return a numerical derivative from the largest steps alone, whose error is at least as large as itself.

    If the function has not been computed in these steps, the derivative is nan.
    """
    h = phi.problem.steps.first_steps[0]
    above, below = phi.known(h), phi.known(-h)
    if not (math.isfinite(above) and math.isfinite(below)):
        return Estimate(math.nan, math.inf)
    absorbed = 0.5 * phi.problem.outputs.eps * norm(phi.u, phi.outputs) / math.fabs(phi.divisor)
    noise = 2.0 * max(phi.rounding, absorbed) / h
    size = max(math.fabs(above), math.fabs(below)) / h
    return Estimate((above - below) / (2.0 * h), size + noise, noise)


def _compare_in_stages(problem: Problem, title: str, phi: DirectionalFunction, typical_slope: float) -> Comparison:
    """Compare the derivative at 0 of φ, the function `phi`, with numerical ones, in stages until one of them decides.

    Each stage costs more than the one before. `typical_slope` is the usual size of such derivatives.

    1. The comparison ends if steps leave the domain, if no output changes, or if noise hides everything.
    2. In half precision (float16 and bfloat16), means over intervals around the point are compared. In other types, a
       few difference quotients are compared.
    3. Numerical derivatives at the point, extrapolated to steps of 0, are compared. The rounding of φ is first taken
       from the last bits of the outputs. If that cannot tell, it is measured.
    4. In other types than half precision, means over intervals are compared if noise still hides the derivative.
    """
    half = problem.half_precision
    if half:
        phi.changes_far_away()
    first, last = problem.steps.first_steps[0], problem.steps.first_steps[-1 if half else 0]
    change = max(math.fabs(phi(first)), math.fabs(phi(-first)))
    near = max(math.fabs(phi(last)), math.fabs(phi(-last))) if half else change
    if not half and not math.isfinite(change) and _moves_beyond_own_size(phi):
        return Comparison(
            title, phi.analytic, Estimate(math.nan, math.inf), None, "outside the domain: the steps are too large"
        )
    moved = change / first if math.isfinite(change) else 0.0
    if moved:  # the gradient may be wrong, or 0 at a stationary point: the change of the outputs bounds what is typical
        beside = math.sqrt(problem.eps) * min(moved, near / last)
        phi.typical_slope = typical_slope = min(typical_slope, 1e4 * moved)
        typical_slope = max(typical_slope, beside)
    elif phi.analytic == 0.0 and math.isfinite(change) and not (half and phi.changed_outputs.any()):
        return _compare_unmoved(title, phi)
    if not half and _is_below_noise(phi, first, change):  # the costly stages would hardly tell more
        error = 4.0 * phi.rounding / first
        estimate = Estimate(_central_quotient(phi, first), error, error)
        return Comparison(title, phi.analytic, estimate, None, noise_note(phi.rounding), True)
    if not half and moved and typical_slope > phi.typical_slope:  # f may be far steeper in large steps, as x**4 is
        nearer = problem.steps.first_steps[1]
        beside = math.sqrt(problem.eps) * max(math.fabs(phi(nearer)), math.fabs(phi(-nearer))) / nearer
        typical_slope = max(phi.typical_slope, min(beside or math.inf, typical_slope))
    rounded = phi.analytic_rounding
    flat_slope = 0.0 if half else problem.eps**FLAT_POWER * moved
    own_slope = CHANGE_FACTOR * moved or math.inf
    tolerance = ArrayTolerance(problem.rtol, problem.atol, typical_slope, rounded, own_slope, flat_slope)
    if half and _is_far_below_noise(phi, first, change):
        noise = phi.rounding / first
        if not tolerance.is_exact_enough(Estimate(0.0, BURIED * noise), 0.0):
            estimate = replace(_rough_estimate(phi), noise=noise)
            return Comparison(title, phi.analytic, estimate, None, noise_note(phi.rounding), True)
    over = compare_interval_means(phi, title, tolerance, half_precision.has_settled) if half else None
    seen = over if half else _compare_quickly(phi, title, tolerance, typical_slope)
    if phi.analytic == 0.0 and not (seen and seen.agrees) and is_step_function(phi):
        return Comparison(title, 0.0, Estimate(0.0, 0.0), True)
    if seen and (not half or seen.agrees is not None or half_precision.is_hopeless(seen, phi)):
        return seen

    steps = problem.steps._replace(absolute_error=1e-2 * problem.rtol * tolerance.typical_slope)
    needs_first_order = not half and problem.bits < DOUBLE_PRECISION_BITS

    def at_the_point(rounding: float, tolerance: ArrayTolerance) -> Comparison:
        """Compare the derivative of φ at the point with a numerical one, if `rounding` is the error of φ's values."""
        accept = functools.partial(tolerance.accepts, phi.analytic)
        claim = Claim(title, phi.analytic, phi, 0.0, 0.0, rounding, tolerance, steps, needs_first_order, accept)
        if claim.looks_wrong:
            mismatch = math.fabs(claim.analytic - claim.central.slope)
            most = phi.largest_change / problem.steps.first_steps[0]
            coarse = math.nan if half else min(phi.rounding_beside_largest, most)
            if not mismatch <= coarse:
                problem.budget.lift_limit(sure=not math.isfinite(phi.analytic))
                coarse = math.nan if half else min(phi.intermediate_rounding(), most)
            if mismatch <= coarse:
                return Comparison(title, phi.analytic, claim.central, None, noise_note(coarse), noisy=True)
            claim = replace(claim)
        comparison = compare(claim)
        mismatch = comparison.analytic - comparison.numeric.slope
        if (
            half
            and comparison.agrees
            and not (comparison.note.startswith("kink") or tolerance.is_exact_enough(comparison.numeric, mismatch))
        ):
            return replace(comparison, agrees=None, note=noise_note(rounding), noisy=True)
        return comparison

    comparison = at_the_point(phi.rounding, tolerance)
    if comparison.agrees and not comparison.note:
        return comparison
    rounding = max(phi.rounding, noise_level(phi, 0.0, problem.noise_exponents))
    if change == 0.0 and phi.changes_far_away():  # near the point, rounding hides all change, or a mask does
        around = None if half else tread_of(phi)
        if not (around and around.is_mask):
            rounding = max(rounding, around.height if around else first * math.fabs(phi.analytic))
    comparison = at_the_point(rounding, tolerance)
    if comparison.agrees is not True and math.isfinite(phi.analytic):
        most = math.inf if half else _max_analytic_noise(phi, rounding, typical_slope)
        if (
            half
            or comparison.agrees is None
            or at_the_point(rounding, replace(tolerance, analytic_error=max(rounded, most))) != comparison
        ):
            rounded = max(rounded, min(noise_level(phi.analytic_at, 0.0, problem.noise_exponents), most))
            tolerance = replace(tolerance, analytic_error=rounded)
            before, comparison = comparison, at_the_point(rounding, tolerance)
            mismatch = math.fabs(before.analytic - before.numeric.slope)
            if before.agrees is False and not half and mismatch > BEYOND_NOISE * (rounded + 5.0 * before.numeric.error):
                comparison = before
    if comparison.noisy and half and seen and seen.numeric.error < comparison.numeric.error:
        return seen
    if comparison.noisy and not half:
        over = compare_interval_means(phi, title, tolerance)
        comparison = comparison if over is None or over.agrees is None else over
    return comparison


def _moves_beyond_own_size(phi: DirectionalFunction) -> bool:
    """Return whether `phi` moves some element by more than 4 times the element's own size.

    Then smaller steps may stay in the domain.
    """
    here, steps = np.abs(phi.x), np.abs(phi.v)
    return bool(np.any((here != 0.0) & (steps > 4.0 * here)))


def _central_quotient(phi: DirectionalFunction, h: float) -> float:
    """Return the central difference quotient of the function `phi` at 0 with step `h`."""
    return central_quotient(phi, 0.0, h)


def _is_below_noise(phi: DirectionalFunction, first: float, change: float) -> bool:
    """Return whether rounding of `phi` would hide an error of 1 % even in the largest step, and no mistake shows there.

    `first` is the largest step, and `change` is the change of `phi` in this step.
    """
    if not max(change, first * math.fabs(phi.analytic)) < MIN_SIGNAL_TO_NOISE * phi.rounding:
        return False
    return (
        math.fabs(_central_quotient(phi, first) - phi.analytic) * first
        <= VISIBLE_MISMATCH * phi.rounding + 0.1 * math.fabs(phi.analytic) * first
    )


def _is_far_below_noise(phi: DirectionalFunction, first: float, change: float) -> bool:
    """Return whether, in the largest step, rounding of `phi` hides both the checked and the numerical derivative.

    Then means over intervals do not tell a mistake from noise either. `first` is the largest step, and `change` is the
    change of `phi` in this step.
    """
    return max(change, first * math.fabs(phi.analytic)) <= BURIED * phi.rounding


def _compare_unmoved(title: str, phi: DirectionalFunction) -> Comparison:
    """Return the comparison for a derivative of 0, which is right since small steps change no output.

    If far larger steps do change an output, rounding may hide the changes in small steps, so the derivative counts as
    not compared.
    """
    moves = phi.changes_far_away()
    estimate = Estimate(0.0, 0.0)
    return Comparison(
        title, 0.0, estimate, None if moves else True, noise_note(phi.rounding) if moves else "", noisy=moves
    )


def _compare_quickly(
    phi: DirectionalFunction, title: str, tolerance: ArrayTolerance, typical_slope: float
) -> Comparison | None:
    """Compare the derivative of `phi` with a few difference quotients; return None if these give no clear verdict."""
    steps = phi.problem.steps
    e = two_step_estimate(phi, 0.0, steps.first_steps[0], steps.first_steps[2], phi.rounding)
    if tolerance.accepts(phi.analytic, e):
        return Comparison(title, phi.analytic, e, True)
    mismatch = math.fabs(phi.analytic - e.slope)
    noisy = replace(
        tolerance, analytic_error=max(tolerance.analytic_error, _max_analytic_noise(phi, phi.rounding, typical_slope))
    )
    most = phi.largest_change / phi.problem.steps.first_steps[0]
    if not math.isfinite(mismatch) or mismatch <= max(
        noisy.allowed_error(phi.analytic, e), min(phi.rounding_beside_largest, most)
    ):
        return None
    telling = mismatch * steps.finest > 40.0 * phi.rounding  # the finest steps show a mistake in spite of noise
    small = steps.first_steps[-2], steps.finest if telling else steps.first_steps[-1]
    if not _stands_out(phi, e.slope, mismatch, small):
        return None
    phi.problem.budget.lift_limit(sure=telling)
    if not telling and mismatch <= min(phi.intermediate_rounding(), most):
        return None
    return Comparison(title, phi.analytic, e, False, remainder_order=_remainder_order(phi, *small))


def _stands_out(phi: DirectionalFunction, slope: float, mismatch: float, steps: Sequence[float]) -> bool:
    """Return whether the mismatch far exceeds the scatter of difference quotients with small steps to both sides.

    Noise that could hide the correct derivative would scatter the quotients far more. The quotients also differ at a
    kink, or next to a feature as small as the steps. If the outputs do not change in these small steps, they must not
    change in far larger steps, either.

    Args:
        phi: the function.
        slope: its numerical derivative at 0.
        mismatch: the distance of the analytic derivative from `slope`.
        steps: the small steps.
    """
    scatter = MAX_SCATTER * min(mismatch, math.fabs(slope))
    if not all(math.fabs(phi(t) / t - slope) <= scatter for h in steps for t in (h, -h)):
        return False
    return slope != 0.0 or not phi.changes_far_away()


def _remainder_order(phi: DirectionalFunction, larger: float, smaller: float) -> float:
    """Return the order in t of the Taylor remainder φ(t) - t * φ.analytic, where φ is the function `phi`.

    It is computed from the sizes of the remainder at two small steps t, the `larger` and the `smaller`.
    """
    left = [math.hypot(*(phi(t) - t * phi.analytic for t in (h, -h))) for h in (larger, smaller)]
    return math.log(left[0] / left[1]) / math.log(larger / smaller)


def _max_analytic_noise(phi: DirectionalFunction, rounding: float, typical_slope: float) -> float:
    """Return how large the rounding error of a correct derivative may be, judged by the rounding error of `phi`.

    `rounding` is the rounding error of `phi`, and `typical_slope` is about how large its derivatives are.
    """
    problem = phi.problem
    largest = float(np.max(np.abs(problem.y))) * float(np.max(np.abs(phi.u))) / math.fabs(phi.divisor)
    digits = max(problem.eps, rounding / (largest or math.inf))
    return MAX_ANALYTIC_NOISE * digits * max(typical_slope, math.fabs(phi.analytic))
