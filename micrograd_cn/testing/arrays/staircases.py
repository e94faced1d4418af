"""Tell whether a function that does not change in small steps is a step function, such as floor, or is rounded.

For example, rounding makes a staircase of 1 - cos(x) near 0: the computed values stay the same in small steps, and then
jump by the last bit of 1. At 0 the value is 0, so its own last bit does not show how far it is rounded, but the height
of a tread does. A step function such as floor looks similar, but it has few treads, and they are high.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..numeric.thresholds import (
    BISECTIONS,
    CHANGING_SHARE,
    COARSE_BITS,
    CONTINUED_STEPS,
    CROSSED_TREADS,
    FAR,
    FAR_STEP,
    FEATURE,
    FEW_TREADS,
    GROWTH,
    HALF_PRECISION_JUMP,
    LAST_BITS,
    LEAST_SUBNORMALS,
    LEAST_TREADS,
    LOW_STEP_BITS,
    MANY_TREADS,
    MAX_CONTINUOUS_START,
    MAX_TREADS,
    MUCH_SMALLER,
    NEARER_POINTS,
    NEXT_STEPS,
    SAME_HEIGHT,
    SHORTER_REACH,
    STEP_BITS,
    SUDDEN_GROWTH,
    TREAD_SHARE,
    TREADS_SEEN,
    WHOLE_COUNT,
    WIDER_THAN_FINEST,
)
from .directional_function import DirectionalFunction
from .problem import Problem, norm
from .vectors import Vector

__tracebackhide__ = True


class Tread(NamedTuple):
    """The tread around the point: the interval of steps, along a direction, in which a function does not change.

    Attributes:
        width: the step after which the function first changes.
        height: how far the function jumps there. It is small if the function begins to change continuously.
        is_rounding: whether the function has so many treads that rounding may have made them.
        is_mask: whether the function does not jump there, but begins to change continuously, as relu does at 0.
    """

    width: float
    height: float
    is_rounding: bool
    is_mask: bool = False


def tread_of(phi: DirectionalFunction) -> Tread | None:
    """Return the narrower of the two treads on both sides of the point; None if an output changes in the finest steps.

    A tread is an interval in which no output changes. None is also returned if no output changes in large steps. The
    changes of single outputs count, and not that of their weighted sum, in which they may cancel.
    """
    finest = phi.problem.steps.finest
    if _total_change(phi, finest) != 0.0 or _total_change(phi, -finest) != 0.0:
        return None
    moved = phi.moved_elements
    longest = float(np.max(np.abs(phi.v[moved]), initial=0.0))
    if not longest:
        return None
    reach = FAR * max(1.0, 1.0 / longest, float(np.max(np.abs(phi.x[moved]))) / longest)
    while not (_total_change(phi, reach) or _total_change(phi, -reach)):
        if math.isfinite(phi(reach)) or math.isfinite(phi(-reach)) or reach <= finest:
            return None
        reach /= SHORTER_REACH  # so far away, f is not finite on either side
    found = [tread for sign in (1.0, -1.0) if (tread := _tread_on(phi, sign, finest, reach))]
    return min(found, default=None)


def _tread_on(phi: DirectionalFunction, sign: float, finest: float, reach: float) -> Tread | None:
    """Return the tread on one side of the point; None if no output changes in steps up to `reach`.

    A tread is an interval in which no output changes. `sign` is 1.0 for the side of the direction, and -1.0 for the
    other side. In the step `finest`, no output changes.
    """
    still, changed = finest, finest
    while _total_change(phi, sign * changed) == 0.0:
        if changed >= reach:
            return None
        still, changed = changed, changed * GROWTH
    for _ in range(BISECTIONS):
        middle = math.sqrt(still * changed)
        if _total_change(phi, sign * middle) == 0.0:
            still = middle
        else:
            changed = middle
    height = _total_change(phi, sign * changed)
    treads = 2.0 ** (MANY_TREADS * phi.problem.bits)
    highest = max(_total_change(phi, sign * changed * treads**part) for part in (1.0, 0.5))
    is_mask = height < MAX_CONTINUOUS_START * max(_total_change(phi, sign * changed * part) for part in CONTINUED_STEPS)
    return Tread(changed, height, highest > TREADS_SEEN * treads * height, is_mask)


def has_high_treads(phi: DirectionalFunction) -> bool | None:
    """Return whether f keeps its value near the point if one element moves, and then makes a jump that is high.

    It is high if neither rounding of the outputs explains it, nor rounding of the part of f that the element causes.
    How large this part is shows if the element becomes 0. None is returned if f does not depend on the element.
    """
    around, [moved] = tread_of(phi), phi.moved_elements
    if around is None:
        finest = phi.problem.steps.finest
        return None if _total_change(phi, finest) == _total_change(phi, -finest) == 0.0 else False
    part = _total_change(phi, -float(phi.x[moved] / phi.v[moved]))
    low = max(FEATURE * phi.rounding, 2.0 ** -(STEP_BITS * phi.problem.bits) * part)
    return not around.is_mask and around.height > low


def first_jumps(
    phi: DirectionalFunction, reach: float, slope: float, off: float, lowest: float = 0.0, rounding: float = math.inf
) -> Iterator[tuple[float, float]]:
    """Yield, for each side of the point, the step in which f jumps off a straight line, and the jump's height.

    The function f of one number is `phi`. It has left the line in a step if its distance from the line exceeds
    rounding, and exceeds a small part of `off` times the step. A side of the point is left out if f has left the line
    already in the finest step, or has not left it in the step `reach`. Otherwise bisection finds the jump. If f is
    continuous there, the height is nearly 0. A side is also left out if its jump is not higher than `lowest`, or too
    low to explain `off` (see `rounding`). Most bisections of continuous functions end early for one of these reasons.

    Args:
        phi: the function of one number, which is 0 at the point.
        reach: the largest step.
        slope: the slope of the line. On the treads of a staircase, the function has this slope.
        off: by how much the slope of the function over many treads differs from `slope`.
        lowest: the height that each jump must exceed.
        rounding: a rounding error of the function that the caller knows. A jump that is too low to explain `off` is
            left out only if this error, too, is too small to explain `off`. So with inf, the default, no jump is left
            out for this reason.
    """

    def away(t: float) -> float:
        return phi(t) - slope * t

    def has_left(t: float) -> bool:
        return math.fabs(away(t)) > max(0.5 * FEATURE * phi.rounding, 0.5 * off * math.fabs(t) / MAX_TREADS)

    for sign in (1.0, -1.0):
        on_line, left = sign * phi.problem.steps.finest, sign * reach
        if not math.fabs(on_line) < math.fabs(left) or has_left(on_line) or not has_left(left):
            continue
        for _ in range(BISECTIONS):
            middle = sign * math.sqrt(on_line * left)
            if has_left(middle):
                left = middle
            else:
                on_line = middle
            height, needed = math.fabs(away(left) - away(on_line)), off * math.fabs(on_line) / MAX_TREADS
            if not height > max(lowest, needed if needed > rounding else 0.0):
                break
        else:
            yield left, height


def _total_change(phi: DirectionalFunction, t: float) -> float:
    """Return the sum of |u_j| times |change of output j| in the step t along `phi`, divided by |phi.divisor|.

    u_j is the weight of output j.
    """
    line = _Line(phi.problem, phi.u, phi.v, phi.x, phi.outputs)
    return float(np.abs(phi.u).dot(line.changes(t * phi.v))) / math.fabs(phi.divisor)


class _Line(NamedTuple):
    """A function f of arrays along the line x + t v, with methods that tell how far each single output changes.

    In a `DirectionalFunction`, the changes of several outputs may cancel in their weighted sum u · f.

    Attributes:
        problem: the function f.
        u: the weights of the outputs.
        v: the direction, which says how far each element moves.
        x: the point.
        outputs: the outputs at x.
    """

    problem: Problem
    u: Vector
    v: Vector
    x: Vector
    outputs: Vector

    def nearer(self, factor: float) -> _Line:
        """Return the line that begins at x / factor, a point nearer to 0, with the direction v / factor."""
        x = self.problem.arguments.rounded(self.x / factor)
        return self._replace(v=self.v / factor, x=x, outputs=self.problem.value(x))

    @property
    def weighted(self) -> NDArray[np.bool_]:
        """A mask of the outputs whose weight is not 0."""
        found: NDArray[np.bool_] = self.u != 0.0
        return found

    @property
    def last_bits(self) -> Vector:
        """A move by the last bit of each element whose entry in the direction v is not 0, with the sign of this entry.

        The last bit of a number is the distance to the next number of its type. It is taken to be eps times the number,
        which is at least the distance, so rounding does not undo the move.
        """
        problem = self.problem
        eps = problem.eps if problem.half_precision else problem.arguments.eps
        found: Vector = eps * np.abs(self.x) * np.sign(self.v)
        return found

    @property
    def smallest_move(self) -> Vector:
        """A move of the elements: in half precision by their last bits, in other types by at least their last bits.

        In other types, an element moves as far as in the finest step of numerical derivatives if that is longer than
        its last bit. An element that is 0 has no last bit, so it always moves as far as in the finest step.
        """
        last_bits, move = self.last_bits, self.problem.steps.finest * self.v
        if self.problem.half_precision:
            return np.where(last_bits == 0.0, move, last_bits)
        return np.where(np.abs(move) > np.abs(last_bits), move, last_bits)

    def changes(self, move: Vector) -> Vector:
        """Return how far each output changes if x is moved by `move`; 0 for an output that is not finite there."""
        there = self.problem.value(self.problem.arguments.rounded(self.x + move))
        change: Vector = np.abs(there - self.outputs)
        change[~np.isfinite(change)] = 0.0
        return change


def keeps_slope(
    phi: DirectionalFunction, slope: float | None = None, both_sides: bool = False, beside: float = 0.0
) -> bool:
    """Return whether f has about the slope `slope` in its finest steps.

    The result is False for a step function, which keeps its value in such steps. The result is True, too, if rounding
    hides the change in these steps, and in steps that are a little longer, or if f is not finite there. The slope of f
    may differ from `slope` by a small part of the derivative that is checked, but by at most half of `slope`. Without
    this second bound, a flat function would pass for any moderate `slope` beside a derivative of 1e8.

    Args:
        phi: f along a direction.
        slope: the slope; by default the derivative that is checked.
        both_sides: whether to take steps along the direction and against it, and to compare the mean of both slopes. By
            default, the step is taken along the direction.
        beside: the size of intermediate results of f, if it is known. Rounding of their last bits may hide the change.
    """
    problem, slope = phi.problem, phi.analytic if slope is None else slope
    off = min(TREAD_SHARE * math.fabs(phi.analytic), 0.5 * math.fabs(slope))
    weights = phi.u[phi.changed_outputs] if phi.changed_outputs.any() else phi.u
    coarse = COARSE_BITS * problem.eps * beside * norm(weights) / math.fabs(phi.divisor)
    t = max(problem.steps.finest, FEATURE * max(phi.rounding, coarse) / off if off else math.inf)
    if not t <= problem.steps.first_steps[-1]:
        return True
    change = 0.5 * (phi(t) - phi(-t)) if both_sides else phi(t)
    return not math.fabs(change - slope * t) > off * t  # nan tells nothing


def is_step_function(phi: DirectionalFunction) -> bool:
    """Return whether f is a step function along the direction of `phi`, so its slope at the point is 0."""
    return step_heights(phi) is not None


def step_heights(phi: DirectionalFunction) -> Vector | None:
    """Return how far each output jumps if f is a step function along the direction of `phi`; else None.

    Far from 0, even the smallest steps may be longer than the treads of a step function: in float32, floor(x) is x for
    each x above 8388608. Therefore the steps are repeated at points that are nearer to 0. If neighbouring numbers at
    the point are farther apart than 1, one of the new points is where they are about 1 apart. If f is a step function
    at one of these points, the heights of its jumps are known. At the points that are farther from 0, at least half of
    the outputs must not change, or must jump by about the same heights, except for their last bits. Five calls of f
    suffice to return None for a smooth function, except in half precision and at points at which neighbouring numbers
    are farther apart than 1.
    """
    line = _Line(phi.problem, phi.u, phi.v, phi.x, phi.outputs)
    heights = _heights_of_steps(line, 0.0 if phi.problem.half_precision else LEAST_SUBNORMALS)
    if heights is not None:
        return heights
    too_large = _too_large(phi)
    starts = [line, line.nearer(too_large)] if too_large > 1.0 else [line]
    for number, start in enumerate(starts, 1):
        heights = _heights_nearer_to_0(start, starts[:number])
        if heights is not None:
            return heights
    return None


def _too_large(phi: DirectionalFunction) -> float:
    """Return the power of 2 by which to divide the point, so its largest moved element has a last bit of about 1."""
    largest = float(np.max(np.abs(phi.x[phi.moved_elements]), initial=0.0))
    return float(2.0 ** (math.frexp(largest)[1] - round(phi.problem.bits)))


def _heights_nearer_to_0(line: _Line, farther: list[_Line]) -> Vector | None:
    """Return how far each output jumps at a point nearer to 0 than that of `line`, if f is a step function there.

    Several points are tried, from the farthest to the nearest, until f is a step function at one. At all points that
    were tried before it, and at the points of the lines in `farther`, the outputs must not change, or must jump by
    about the same heights. If they do not, or if no such point is found, None is returned. It is also returned if the
    nearest of these points shows that f changes continuously.
    """
    if _changes_at_once(line.nearer(MUCH_SMALLER**NEARER_POINTS)):
        return None
    for k in range(1, NEARER_POINTS + 1):
        nearer = line.nearer(MUCH_SMALLER**k)
        heights = _heights_of_steps(nearer, LEAST_SUBNORMALS)
        if heights is not None:
            return heights if all(_may_jump(other, heights) for other in farther) else None
        farther = [*farther, nearer]
    return None


def may_be_rounding_steps(phi: DirectionalFunction, heights: Vector) -> bool:
    """Return whether steps of these heights may be those of rounding in a coarser type, beside a part that is constant.

    An example is 1 + tanh(x), computed in float32 inside a function of doubles. Rounding the sum, which is about 1,
    makes the steps, so they are equally high at points that are nearer to 0. But they are always low relative to the
    output, since at x = 0 the output is still 1. The steps of a quantiser, which has no such constant part, are high
    relative to the output at the point itself, or at some point that is nearer to 0.

    A step counts as high if it is more than a small part of the larger of two outputs: the one at the point that is
    looked at, and the one with 0 for all moved elements. The result is False if steps of these heights are high at the
    point itself. It is also False if they are high at a point that is nearer to 0, and f jumps at least half as high
    there.
    """
    line = _Line(phi.problem, phi.u, phi.v, phi.x, phi.outputs)
    seen = (heights > 0.0) & line.weighted
    at_0 = phi.problem.value(np.where(phi.v != 0.0, 0.0, phi.x))
    least = 2.0 ** (-STEP_BITS * phi.problem.bits)

    def are_high(outputs: Vector) -> bool:
        return are_many(heights >= least * np.fmax(np.abs(outputs), np.abs(at_0)))

    def are_many(mask: NDArray[np.bool_]) -> bool:
        return bool(2 * np.count_nonzero(mask & seen) >= np.count_nonzero(seen))

    if are_high(line.outputs):
        return False
    too_large = max(_too_large(phi), 1.0)
    for far in dict.fromkeys((1.0, too_large)):
        for k in range(1, 2 * NEARER_POINTS + 1):  # a quantiser may have steps that are far lower than 1
            nearer = line.nearer(far * MUCH_SMALLER**k)
            if are_high(nearer.outputs):
                jumps, _ = _all_first_jumps(nearer._replace(v=line.v))
                return not are_many(jumps >= 0.5 * heights)
    return True


def may_be_ramp(phi: DirectionalFunction) -> bool:
    """Return whether the function f of `phi` has a jump at x that may be a ramp narrower than the finest steps.

    The function x / max(|x|, 1e-8) has such a ramp at 0, and its derivative there is 1e8. If a ramp is as steep as the
    checked derivative, and is no longer than the finest step, it can climb as high as the derivative times this step.
    The result is True only if f jumps no higher than that, on both sides of x. For a straight-through gradient, such as
    1 for round(x), the result is False, because f jumps far higher.

    Along a direction that moves several elements, each element has a ramp of its own. Some ramps climb and others
    descend, so the jump of `phi` must be between the total height of the descending ramps and that of the climbing
    ones. Since the jump of `phi` may then be 0, the largest jump of a single output must also be above 0, and at most
    as high as the highest of these ramps. Finally, the outputs must change by about as much in longer steps as in the
    finest step, as they do if f jumps.
    """
    finest, terms = phi.problem.steps.finest, phi.terms
    climbing, descending = (finest * float(np.sum(part)) for part in (terms[terms > 0.0], terms[terms < 0.0]))
    steepest = finest * float(np.max(np.abs(terms), initial=0.0))
    line, highest = _Line(phi.problem, phi.u, phi.v, phi.x, phi.outputs), 0.0
    for step in (finest, -finest):
        near, far = (np.abs(phi.u) * line.changes(part * step * phi.v) for part in (1.0, WIDER_THAN_FINEST))
        rise = math.copysign(1.0, step) * phi(step)
        if not (descending <= rise <= climbing and math.isclose(np.sum(near), np.sum(far), rel_tol=TREAD_SHARE)):
            return False
        highest = max(highest, float(np.max(near)) / math.fabs(phi.divisor))
    return 0.0 < highest <= steepest


def size_of_parts(phi: DirectionalFunction, far: bool = False) -> float:
    """Return about how large an intermediate result ("part") of f is, such as the 1 in 1 - cos(x), which is 0 at 0.

    It is estimated by the largest absolute value of an output, plus its change on the way to 0 or to points beside the
    point. If `far` is set, all elements move by several times their size to these points, and parts are taken to be at
    least as large as an element, like the x in log(exp(x)) - x, which is 0.
    """
    line = _Line(phi.problem, phi.u, phi.v, phi.x, phi.outputs)
    move = FAR_STEP * (phi.problem.scale if far else np.sign(phi.v))
    size = float(np.max(np.abs(phi.outputs) + np.max([line.changes(to) for to in (move, -move, -phi.x)], axis=0)))
    return max(size, float(np.max(np.abs(phi.x[phi.moved_elements])))) if far else size


def is_low(phi: DirectionalFunction, height: float) -> bool:
    """Return whether a jump of `phi` by `height` may be due to rounding of intermediate results of f.

    A jump of at most `COARSE_BITS` last bits of the largest intermediate result may come from rounding. This result is
    estimated by `size_of_parts`, and taken to be at least 1, since the estimate may be too small: in erf(x) - tanh(x),
    intermediate results of about 1 cancel at all points that are far from 0.
    """
    last_bits = COARSE_BITS * phi.problem.eps * max(1.0, size_of_parts(phi))
    return height <= last_bits * norm(phi.u) / math.fabs(phi.divisor)


def climbs_by_rounding(phi: DirectionalFunction) -> bool:
    """Return whether f keeps its value in the finest steps only since it is rounded, and climbs in longer steps.

    An example is 1 - tanh(x)**2 in float32 at -7: it keeps its value until tanh(x) changes by its last bit. All changes
    of f over short steps are then multiples of one jump, which is only a few last bits of an intermediate result of f.
    The largest change is many jumps, so it is not noise. The changes of a function that is 0 on one side of a kink,
    like relu, are not such multiples. The changes are those of steps taken before, so this costs hardly any calls.
    """
    changes = [size for size in phi.known_changes if size > 0.0]
    if len(set(changes)) < LEAST_TREADS or phi(phi.problem.steps.finest) or phi(-phi.problem.steps.finest):
        return False
    jump = min(changes)
    if not FEATURE * phi.rounding < jump:  # the numerical derivative allows for rounding of the outputs
        return False
    counts = [size / jump for size in changes if size <= FEW_TREADS * jump]
    whole = all(math.fabs(count - round(count)) <= WHOLE_COUNT for count in counts)
    return whole and len(set(counts)) >= LEAST_TREADS and max(changes) > FEATURE * jump and is_low(phi, jump)


def has_high_steps(phi: DirectionalFunction, heights: Vector) -> bool:
    """Return whether f jumps by `heights` because it is a step function, and not because of rounding.

    For each output, `heights` has the height of its jumps. The jumps of a step function are higher than rounding of
    intermediate results explains. They are about as high if the point itself is divided by a large factor, whereas
    jumps by rounding are lower there. It is enough if half of the outputs that jump do so there, too.
    """
    line = _Line(phi.problem, phi.u, phi.v, phi.x, phi.outputs)
    seen = (heights > 0.0) & line.weighted
    if not seen.any() or (heights[seen] < 2.0 ** (-STEP_BITS * phi.problem.bits) * size_of_parts(phi)).any():
        return False
    nearer, _ = _all_first_jumps(line.nearer(MUCH_SMALLER)._replace(v=line.v))
    return bool(2 * np.count_nonzero((nearer >= 0.5 * heights) & seen) >= np.count_nonzero(seen))


def _changes_at_once(line: _Line) -> bool:
    """Return whether an output changes in the smallest step along the line, but too little for a jump at the point.

    In half precision, the result is True if more than half of the outputs change, no matter how far.
    """
    changes = np.maximum(*(line.changes(move) for move in (line.smallest_move, -line.smallest_move)))
    weighted = line.weighted
    if line.problem.half_precision:
        return bool(2 * np.count_nonzero((changes != 0.0) & weighted) > np.count_nonzero(weighted))
    tall = 2.0 ** (-STEP_BITS * line.problem.bits) * np.abs(line.outputs)
    return bool(((changes != 0.0) & (changes < tall) & weighted).any())  # taller changes are jumps at the point itself


def _heights_of_steps(line: _Line, subnormals: float) -> Vector | None:
    """Return how far each output jumps; None if f does not look like a step function at the point of the line.

    The outputs of a step function stay the same in the smallest steps, or jump at the point itself. At least half of
    them jump by far more than rounding could explain. They do not change with each last bit of the point, unlike those
    of a sawtooth. In half precision, rounding may change some outputs in the smallest steps. At least half must stay
    the same, or jump at the point itself, and then stay the same in longer steps. An output that does not jump has the
    height 0. So has an output that jumps by at most `subnormals` times the smallest positive number of its type.
    """
    problem, half = line.problem, line.problem.half_precision
    here, weighted, smallest = np.abs(line.outputs), line.weighted, line.smallest_move
    if not half and _changes_at_once(line):
        return None
    at_once = [line.changes(move) for move in (smallest, -smallest)]
    moved_at_once = (at_once[0] != 0.0) | (at_once[1] != 0.0)
    if not half:  # on each side of the point, a step function keeps its value; rounding changes a value in most steps
        unlike_steps = np.zeros(here.size)
        for part in NEXT_STEPS:
            other = weighted & (line.changes(part * smallest) != at_once[int(part < 0.0)])
            if np.count_nonzero(other) > CHANGING_SHARE * np.count_nonzero(weighted):
                return None
            unlike_steps += other
        # If only few outputs depend on the moved elements, most of these may change without being many of all.
        dependent = (moved_at_once & weighted) | (unlike_steps > 0.0)
        if np.count_nonzero(2.0 * unlike_steps > len(NEXT_STEPS)) > CHANGING_SHARE * np.count_nonzero(dependent):
            return None
    problem.budget.lift_limit()
    least, lowest = subnormals * problem.outputs.smallest_subnormal, 2.0 ** -(LOW_STEP_BITS * problem.bits)

    def or_at_once(jumps: Vector) -> Vector:
        return np.where(at_once[0] != 0.0, at_once[0], np.where(at_once[1] != 0.0, at_once[1], jumps))

    def are_low(jumps: Vector, farthest: Vector) -> bool:
        jumps = or_at_once(jumps)
        low = np.count_nonzero(weighted & (jumps > least) & (jumps < lowest * np.maximum(farthest, here)))
        return 2 * int(low) > int(np.count_nonzero(weighted))

    found = _first_jumps(line, None if half else are_low)
    if found is None:
        return None
    jumps, farthest = or_at_once(found[0]), found[1]
    moving = weighted & (jumps > least)
    jumps = np.where(moving, jumps, 0.0)
    count = np.count_nonzero(moving)
    if not count:
        return None
    if half:
        beyond = [line.changes(WIDER_THAN_FINEST * move) for move in (smallest, -smallest)]
        still = ~moved_at_once | ((at_once[0] == beyond[0]) & (at_once[1] == beyond[1]))  # or jumps at the point itself
        if 2 * np.count_nonzero(still & moving) < count:
            return None
    if not half and np.count_nonzero(_changes_with_each_bit(line) & moving) > CHANGING_SHARE * count:
        return None
    if half:
        if not _are_high_in_half(line, jumps, moving):
            return None
        # In steps that double, a smooth function that begins flat, as x * x does at 0, seems to jump by several bits.
        sudden = or_at_once(_all_first_jumps(line, SUDDEN_GROWTH)[0])
        return jumps if _are_high_in_half(line, sudden, moving) else None
    for direction in (
        np.sign(line.v),
        FAR_STEP * np.sign(line.v),
    ):  # rounding has many more treads than the steps have shown
        farthest = np.maximum(farthest, line.changes(direction))
    height = jumps / np.maximum(farthest, here, out=np.ones(here.size), where=moving)
    if 2 * np.count_nonzero((height >= 2.0 ** -(STEP_BITS * problem.bits)) & moving) >= count:
        return jumps
    if 2 * np.count_nonzero((height >= lowest) & moving) < count:
        return None
    # rounding in a coarser type makes lower treads at a point that is nearer to 0
    others, _ = _all_first_jumps(line.nearer(MUCH_SMALLER)._replace(v=line.v))
    return jumps if 2 * np.count_nonzero((others >= 0.5 * jumps) & moving) >= count else None


def _are_high_in_half(line: _Line, jumps: Vector, moving: NDArray[np.bool_]) -> bool:
    """Return whether at least half of the outputs in the mask `moving` jump by more than a last bit in half precision.

    `jumps` has the height of the jump of each output.
    """
    high = (jumps >= HALF_PRECISION_JUMP * line.problem.eps * np.abs(line.outputs)) & moving
    return bool(2 * np.count_nonzero(high) >= np.count_nonzero(moving))


def _changes_with_each_bit(line: _Line) -> NDArray[np.bool_]:
    """Return a mask of the outputs that change in more than half of a few moves, each by one more last bit.

    An output whose treads are several last bits wide changes at most once in these moves.
    """
    bits = line.last_bits
    changes = [line.changes(k * bits) if k else np.zeros(line.outputs.size) for k in LAST_BITS]
    count = sum((before != after).astype(int) for before, after in itertools.pairwise(changes))
    found: NDArray[np.bool_] = 2 * np.asarray(count) > len(changes) - 1
    return found


def _may_jump(line: _Line, heights: Vector) -> bool:
    """Return whether at least half of the outputs may be those of a step function that jumps by `heights`.

    The point is moved by growing steps, which begin with its last bits. An output of a step function does not change,
    or its first change is about as large as its entry in `heights`. The change may also be a few last bits of the
    output if these are larger than the height. Growing steps may cross several treads at once, both here and where
    `heights` were found.
    """
    problem, moving = line.problem, heights > 0.0
    first = np.zeros(heights.size)
    growth = round(0.5 * problem.bits)
    for k in range(0, growth, 2):
        for sign in (1.0, -1.0):
            change = line.changes(sign * 2.0**k * problem.eps * np.abs(line.x) * np.sign(line.v))
            first = np.where(first == 0.0, change, first)
    last_bits = problem.eps * np.abs(line.outputs)
    highest = SAME_HEIGHT * np.maximum(heights, last_bits)
    lowest = np.where(heights > SAME_HEIGHT * last_bits, heights / CROSSED_TREADS, 0.0)
    same = moving & ((first == 0.0) | (first >= lowest) & (first <= highest))
    return bool(2 * np.count_nonzero(same) >= np.count_nonzero(moving))


def _all_first_jumps(line: _Line, growth: float | None = None) -> tuple[Vector, Vector]:
    """Return two vectors: the first change of each output that is not 0, and its largest change.

    The point is moved by growing steps along the line, to both sides in turn. Each step is `growth` times the one
    before; by default, it is twice as long in half precision, and `CROSSED_TREADS` times in other types.
    """
    found = _first_jumps(line, None, growth)
    assert found is not None
    return found


def _first_jumps(
    line: _Line, are_low: Callable[[Vector, Vector], bool] | None, growth: float | None = None
) -> tuple[Vector, Vector] | None:
    """Return the two vectors that `_all_first_jumps` returns, or None as soon as `are_low` says so.

    `are_low` takes the two vectors of the steps so far, and tells whether most jumps are too low, whatever longer steps
    may show. It is called only after a step in which further outputs have changed for the first time.
    """
    problem, half = line.problem, line.problem.half_precision
    jumps, farthest, count = np.zeros(line.outputs.size), np.zeros(line.outputs.size), 0
    first = -problem.bits if half else math.log2(problem.steps.finest) + 1.0
    growth = growth or (2.0 if half else CROSSED_TREADS)
    for k, h in enumerate((2.0 ** np.arange(first, 4.0, math.log2(growth))).tolist()):
        change = line.changes((h if k % 2 else -h) * line.v)
        jumps = np.where(jumps == 0.0, change, jumps)
        farthest = np.maximum(farthest, change)
        before, count = count, int(np.count_nonzero(jumps))
        if are_low and count > before and are_low(jumps, farthest):
            return None
    return jumps, farthest
