"""Check functions of many numbers: singly where they are few, else by random directions and a sample of elements."""

from __future__ import annotations

import contextlib
import functools
import math
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .analytic import GradientFunction, dot
from .causes import EQUAL_RTOL
from .compare import Comparison
from .contract import check_additivity, check_contract, check_no_stale_state, random_cotangent
from .directional_comparison import TOO_FEW_CALLS, can_tell_one_percent, compare_along
from .directional_function import DirectionalFunction
from .libraries import is_tensor
from .numerical import Estimate, OutOfCalls, central_quotient
from .problem import MAX_CALLS, MAX_COMPARED_SINGLY, Problem, norm
from .pytrees import leaves
from .subject import Subject
from .vectors import Indices, Vector, chunks, draw_from

__tracebackhide__ = True

DIRECTIONS, ELEMENTS = 4, 8  # how many are compared of more
MAX_GROUPS = 12  # directions of single arrays; of more arrays, those of like gradients share one
MAX_EVEN_SIZE = 1000  # numbers of which a direction goes uphill in no more than downhill
STEP_SIZES = np.arange(256, 512) / 512  # of a scale, by which the numbers are moved at a step of 1
CLEAR_OUTPUT_MISMATCH = 0.1  # by which a derivative is off that shows a mistake well
NEARBY_DISTANCES = (2.0**-4, 2.0**-3, 2.0**-2)  # of a scale, where it is next to the point
MAX_WRONG_ELEMENTS = 3  # elements that are wrong, to stop
CALLS_AFTER_WRONG = (
    16  # calls for an element when another one is known to be wrong: one that shows a mistake well takes 6
)
RESERVED_CALLS = 8  # calls that are made when all is compared
UNLIMITED_CALLS = 10**9  # as in types of few digits, where it takes many calls to tell a mistake from noise


def compare_arrays(
    subject: Subject,
    derivatives: dict[str, Callable[..., Any]],
    order: int,
    rtol: float | None,
    atol: float | None,
    seed: int,
) -> tuple[list[Comparison], bool]:
    """Compare derivatives up to `order` of a function of arrays: each is that of the gradient before, as a function.

    It is said, too, whether it is one of a type of few bits.
    """
    problem = Problem(subject.heading, subject.f, subject.args, derivatives, rtol, atol, subject.names, subject.static)
    chosen = any(getattr(x, "requires_grad", False) for x in leaves(subject.args))
    comparisons = compare_problem(problem, seed)
    for level in range(2, order + 1):
        if any(comparison.agrees is False for comparison in comparisons):  # of a wrong gradient no derivative is of use
            break
        upstream = problem.outputs.unpack(random_cotangent(problem, np.random.default_rng(seed)))
        for weights in problem.outputs.variables(upstream):
            if is_tensor(weights):  # asks for a gradient if the arguments do, so that all are compared
                weights.requires_grad_(chosen)
        df = GradientFunction(problem.f, problem.arguments, problem.outputs)
        args, names = (
            (*problem.arguments.template, upstream),
            [*problem.names, "upstream" if level == 2 else f"upstream{level}"],
        )
        subject = replace(subject, f=df, args=args, names=names)
        heading = f"{subject.heading}, derivative {level}"
        problem = Problem(heading, df, subject.args, {}, rtol, atol, names, subject.static, f"d{level - 1}f")
        comparisons += compare_problem(problem, seed)
    return comparisons, problem.half_precision


def compare_problem(problem: Problem, seed: int) -> list[Comparison]:
    """Compare derivatives of a function of numbers and arrays.

    Raises:
        GradientMismatch: the backward pass fails where it is called in other ways.
        NotDeterministic: two calls gave different gradients.
    """
    random = np.random.default_rng(seed)
    kept = check_contract(problem, random)
    problem.calls_left = UNLIMITED_CALLS if problem.half_precision else MAX_CALLS - problem.calls - RESERVED_CALLS
    n, m = problem.x.size, problem.y.size
    with np.errstate(all="ignore"):  # beside the point there may be a pole, or the end of the domain
        comparisons = (
            compare_singly(problem)
            if n * m <= MAX_COMPARED_SINGLY
            else SampledCheck(problem, random, kept and kept[0]).compare()
        )
        if kept:
            check_no_stale_state(problem, *kept)
            if (
                n * m <= MAX_COMPARED_SINGLY
                and not problem.half_precision
                and not any(comparison.agrees is False for comparison in comparisons)
            ):
                check_additivity(problem, *kept)
    return comparisons + _not_finite_outputs(problem)


def compare_singly(problem: Problem) -> list[Comparison]:
    """Compare every derivative of every output."""
    jobs, arguments = [], []
    for j in np.flatnonzero(problem.finite_outputs).tolist():
        u = problem.unit_cotangent(j)
        typical_slope, g = problem.typical_slope(u), problem.derivative.gradient(problem.x, u)
        gradient_norm = 0.0 if g is None else norm(g, problem.scale)
        for i in range(problem.x.size):

            def compare(
                j: int = j,
                i: int = i,
                u: Vector = u,
                typical_slope: float = typical_slope,
                gradient_norm: float = gradient_norm,
            ) -> tuple[Comparison, DirectionalFunction]:
                return compare_along(
                    problem,
                    problem.derivative_name(j, i),
                    u,
                    problem.element_direction(i),
                    typical_slope,
                    gradient_norm=gradient_norm,
                )

            jobs.append(compare)
            arguments.append(problem.arguments.leaf_path(i))
    found = compare_in_turn(problem, jobs)
    return [
        replace(_excuse_infinite_argument(*one), argument=argument)
        for one, argument in zip(found, arguments, strict=True)
    ]


def _excuse_infinite_argument(comparison: Comparison, phi: DirectionalFunction) -> Comparison:
    """Return a comparison, or that there is none: what is not finite at a number that is not is no mistake."""
    if (
        comparison.agrees is False
        and not math.isfinite(comparison.analytic)
        and not np.isfinite(phi.x[phi.moved_elements]).all()
    ):
        return replace(comparison, agrees=None, note="not finite at the point: the argument")
    return comparison


def compare_in_turn(
    problem: Problem,
    jobs: Sequence[Callable[[], tuple[Comparison, DirectionalFunction]]],
    others: int = 0,
    enough: float = math.inf,
) -> list[tuple[Comparison, DirectionalFunction]]:
    """Return the comparisons, until so many are wrong: each has its share of the calls of `f`, `others` have theirs.

    What its share did not tell has the rest once more; but those beside a wrong one, of which there are to be `enough`,
    have few.
    """
    found: list[tuple[Comparison, DirectionalFunction]] = []
    kept = problem.calls_left * others / (len(jobs) + others) if jobs else 0.0
    wrong = 0
    for k, job in enumerate(jobs):
        firm = wrong > 0 and enough < math.inf and not problem.half_precision
        found.append(
            problem.with_call_limit(
                CALLS_AFTER_WRONG if firm else (problem.calls_left - kept) / (len(jobs) - k), job, firm
            )
        )
        wrong += found[-1][0].agrees is False
        if wrong >= enough:
            break
    if wrong and enough < math.inf:
        return found
    unknown = [k for k, (comparison, _) in enumerate(found) if comparison.note == TOO_FEW_CALLS]
    for n, k in enumerate(unknown):
        again = problem.with_call_limit((problem.calls_left - kept) / (len(unknown) - n), jobs[k])
        found[k] = again if again[0].agrees is not None else found[k]
    return found


def _not_finite_outputs(problem: Problem) -> list[Comparison]:
    """Return a row for outputs that are not finite at the point, of which nothing is compared."""
    if problem.finite_outputs.all():
        return []
    i = int(np.argmin(problem.finite_outputs))
    count = int(np.count_nonzero(~problem.finite_outputs))
    note = f"not finite at the point: {count} of {problem.y.size} outputs"
    return [Comparison(f"d{problem.outputs.element_name(i)}", math.nan, Estimate(math.nan, math.inf), None, note)]


class SampledCheck:
    """Random directions and a sample of elements of a problem with many.

    Args:
        problem: the function, its derivative and the point.
        random: what is random.
        u: weights of the outputs for the first direction, of which the gradient is known already.
    """

    def __init__(self, problem: Problem, random: np.random.Generator | int, u: Vector | None = None) -> None:
        self._problem, self._first_cotangent = problem, u
        self._random = np.random.default_rng(random)
        self._arrays = [(path, place) for path, place in problem.arguments.leaf_slices() if place.stop > place.start]

    def compare(self) -> list[Comparison]:
        """Compare directions, of all arrays and of each, and elements; look for the worst where one disagrees."""
        problem, several = self._problem, len(self._arrays) > 1
        directions = [
            functools.partial(self._compare_informative_direction, k)
            for k in range(DIRECTIONS // 2 if several else DIRECTIONS)
        ]
        arrays = min(len(self._arrays), MAX_GROUPS) if several else 0
        found = compare_in_turn(problem, directions, others=arrays + ELEMENTS, enough=1)
        comparisons = [comparison for comparison, _ in found]
        if 2 * sum(comparison.agrees is not None for comparison in comparisons) >= len(
            comparisons
        ):  # what noise hides is left to the others
            comparisons = [comparison for comparison in comparisons if not comparison.noisy]
        u = self._next_cotangent()  # with the same ones for arrays and elements, one gradient is enough
        g = problem.derivative.gradient(problem.x, u)
        gradient_norm = norm(g, problem.scale) if several and g is not None else 0.0
        groups = self._groups(g) if several else []
        of_arrays = compare_in_turn(
            problem,
            [functools.partial(self._compare_group, *group, u, gradient_norm) for group in groups],
            others=ELEMENTS,
        )
        comparisons += [comparison for comparison, _ in of_arrays]
        wrong = [phi for comparison, phi in of_arrays if comparison.agrees is False][:MAX_WRONG_ELEMENTS]
        functions = wrong or [phi for comparison, phi in found if comparison.agrees is False]
        worst = []
        for k, phi in enumerate(functions, 1):  # what is wrong is known: where takes longer
            print_progress(f"{problem.heading}: wrong; looking for the worst elements, {k} of {len(functions)}")
            worst.append(self._worst_element(phi))
        typical_slope = problem.typical_slope(u)
        among = np.logical_or.reduce([phi.v != 0.0 for phi in functions] or [np.ones(problem.x.size, bool)])
        elements = list(dict.fromkeys([*worst, *self._choose_elements(g, among)]))
        compared = compare_in_turn(
            problem,
            [functools.partial(self._compare_element, i, u, typical_slope, gradient_norm) for i in elements],
            enough=MAX_WRONG_ELEMENTS,
        )
        # of an element that noise hides there is its array's direction
        return comparisons + [comparison for comparison, _ in compared if not comparison.noisy]

    def _compare_element(
        self, i: int, u: Vector, typical_slope: float, gradient_norm: float
    ) -> tuple[Comparison, DirectionalFunction]:
        """Compare the derivative by an element; where it is wrong, that of an output."""
        problem = self._problem
        comparison, phi = compare_along(
            problem, self._title(i), u, problem.element_direction(i), typical_slope, gradient_norm=gradient_norm
        )
        if comparison.agrees is None and comparison.note.startswith("kink"):
            comparison, phi = self._compare_nearby(
                (comparison, phi), self._title(i), u, problem.element_direction(i), typical_slope
            )
        if comparison.agrees is False and problem.y.size > 1:
            cause = self._cause(i, u, comparison)
            with contextlib.suppress(OutOfCalls):
                of_one = self._wrong_output(phi)
                title = problem.derivative_name(int(np.argmax(of_one)), i)
                derivatives, _ = compare_along(
                    problem, title, of_one, problem.element_direction(i), problem.typical_slope(of_one)
                )
                comparison = derivatives if derivatives.agrees is False else comparison
            comparison = replace(comparison, cause=cause)
        return replace(_excuse_infinite_argument(comparison, phi), argument=problem.arguments.leaf_path(i)), phi

    def _cause(self, i: int, u: Vector, comparison: Comparison) -> str:
        """Return that a matrix is transposed, if the right derivative by an element stands where that would put it."""
        g, at = self._problem.derivative.gradient(self._problem.x, u), self._problem.arguments.transposed_index(i)
        is_there = g is not None and math.isclose(g[at], comparison.numeric.slope, rel_tol=EQUAL_RTOL)
        return "a transposed matrix" if is_there and at != i else ""

    def _compare_informative_direction(self, k: int) -> tuple[Comparison, DirectionalFunction]:
        """Compare along a direction that tells 1 %, if one of three does: another may be steeper, and cross no kink."""
        problem = self._problem
        even = problem.x.size <= MAX_EVEN_SIZE  # of many numbers, what goes up and down at once cancels
        first = 1.0 if k == 0 else 0.0 if even or k == 1 else 0.5  # a mistake in one of many is lost in what is all up
        for part in (first, 0.5 if even else 0.75, 1.0):
            comparison, phi = self._compare_along(f"direction {k + 1}", part)
            array, *others = [path for path, _ in self._arrays]
            comparison = replace(comparison, argument="" if others else array)
            if can_tell_one_percent(problem, comparison) or comparison.note == TOO_FEW_CALLS:
                return comparison, phi
        if comparison.agrees:
            comparison = replace(comparison, agrees=None, note="too noisy to tell 1 %", noisy=True)
        return comparison, phi

    def _groups(self, g: Vector | None) -> list[tuple[str, Vector]]:
        """Return arrays to be moved alone, each by its name and where it lies; of many, those of like gradients."""
        size = self._problem.x.size
        steep = [0.0 if g is None else norm(g[place], self._problem.scale[place]) for _, place in self._arrays]
        order = np.argsort(steep, kind="stable") if len(steep) > MAX_GROUPS else np.arange(len(steep))
        groups = []
        for part in np.array_split(order, min(len(steep), MAX_GROUPS)):
            mask = np.zeros(size)
            for i in part:
                mask[self._arrays[i][1]] = 1.0
            first, *others = [self._arrays[i][0] for i in sorted(part.tolist())]
            groups.append((f"{first} and {len(others)} others" if others else first, mask))
        return groups

    def _compare_group(
        self, names: str, mask: Vector, u: Vector, gradient_norm: float
    ) -> tuple[Comparison, DirectionalFunction]:
        comparison, phi = self._compare_along(f"direction of {names}", 1.0, mask, u, gradient_norm)
        if not can_tell_one_percent(self._problem, comparison):
            comparison, phi = self._compare_along(
                f"direction of {names}", 0.5, mask, self._next_cotangent(), gradient_norm
            )
        if comparison.agrees and not can_tell_one_percent(self._problem, comparison):
            comparison = replace(comparison, agrees=None, note="too noisy to tell 1 %", noisy=True)
        return replace(comparison, argument=names), phi

    def _title(self, element: int) -> str:
        name = "f" if self._problem.y.size == 1 else "(w*f)"
        return f"d{name}/d{self._problem.arguments.element_name(element)}"

    def _compare_along(
        self, title: str, part: float, mask: Vector | None = None, u: Vector | None = None, gradient_norm: float = 0.0
    ) -> tuple[Comparison, DirectionalFunction]:
        """Compare along a direction, of some arrays, uphill in a part of it, by which there is more to be seen."""
        problem = self._problem
        u = self._next_cotangent() if u is None else u
        g = problem.derivative.gradient(problem.x, u)
        v = self._random_direction(g, part) if mask is None else mask * self._random_direction(g, part)
        typical_slope = 0.0 if g is None else problem.norm(g, v)
        comparison, phi = compare_along(problem, title, u, v, typical_slope, gradient_norm=gradient_norm)
        if comparison.note.startswith("kink"):  # of what is between the derivatives on both sides, more is seen beside
            found = self._compare_nearby((comparison, phi), title, u, v, typical_slope)
            return (comparison, phi) if comparison.agrees and found[0].agrees is None else found
        return comparison, phi

    def _compare_nearby(
        self, found: tuple[Comparison, DirectionalFunction], title: str, u: Vector, v: Vector, typical_slope: float
    ) -> tuple[Comparison, DirectionalFunction]:
        """Compare next to the point, where kinks hide what the derivative is at the point; farther if they still do.

        Where no calls are left for that, it is what was `found` at the point.
        """
        problem, title, n = self._problem, f"{title}, next to the point", v.size
        for away in NEARBY_DISTANCES:
            steps = self._random.uniform(0.5, 1.0, n) * self._random.choice([-away, away], n)  # no two of them equal
            beside = problem.arguments.rounded(problem.x + steps * problem.scale)
            with contextlib.suppress(OutOfCalls):
                found = compare_along(problem, title, u, v, typical_slope, beside)
            if found[0].agrees is not None:
                break
        return found

    def _next_cotangent(self) -> Vector:
        """Return random weights of the outputs."""
        known, self._first_cotangent = self._first_cotangent, None
        return random_cotangent(self._problem, self._random) if known is None else known

    def _random_direction(self, g: Vector | None, uphill: float) -> Vector:
        """Return a random direction, half a scale or more of each element, that goes uphill in a part of them."""
        problem, random = self._problem, self._random
        if g is None:
            uphill = 0.0
        v = draw_from(_signed_steps(uphill), problem.x.size, random)
        if g is not None and uphill:
            for some in chunks(slice(0, v.size)):
                v[some] *= np.copysign(1.0, g[some])
            level = (g == 0.0) | ~np.isfinite(g)
            v[level] = np.copysign(v[level], random.random(np.count_nonzero(level)) - 0.5)
        v *= problem.scale
        if g is not None and not np.isfinite(g).all():
            v[~(np.isfinite(g) | np.isfinite(problem.x))] = 0.0  # what is not finite at such a number is no mistake
        return v

    def _choose_elements(self, g: Vector | None, among: NDArray[np.bool_]) -> list[int]:
        """Return elements to be compared: not finite, steepest, and of every array some; where wrong, of those."""
        problem = self._problem
        found: list[int] = []
        if g is not None:
            finite = np.isfinite(g)
            if not finite.all():
                found += np.flatnonzero(~finite & np.isfinite(problem.x))[:2].tolist()
            steep = np.abs(np.multiply(g, problem.scale, out=problem.scratch), out=problem.scratch)
            steep[~(finite & among)] = 0.0
            found.append(int(np.argmax(steep)))
        places = [place for _, place in self._arrays if among[place].any()]
        while len(set(found)) < min(ELEMENTS, sum(place.stop - place.start for place in places)):
            place = places[len(found) % len(places)]
            found.append(int(self._random.integers(place.start, place.stop)))
        return list(dict.fromkeys(found))

    def _worst_element(self, phi: DirectionalFunction) -> int:
        """Return the element of a direction that disagrees most, by halving the direction again and again.

        If the steepest one disagrees by as much as they do on average, it is that one.
        """
        some, problem = phi.moved_elements, self._problem
        total = self._mismatch_along(phi.u, phi.v)
        g = problem.derivative.gradient(problem.x, phi.u)
        if g is not None:
            steepest = int(some[np.argmax(np.abs(g[some] * phi.v[some]))])
            along = problem.element_direction(steepest)
            part = float(phi.v[steepest] / along[steepest])
            if some.size * math.fabs(part * self._mismatch_along(phi.u, along)) >= math.fabs(total):
                return steepest
        while some.size > 1:
            left, right = np.array_split(some, 2)
            of_left = self._mismatch_along(phi.u, np.where(_mask(phi.v.size, left), phi.v, 0.0))
            of_right = total - of_left
            some, total = (left, of_left) if math.fabs(of_left) >= math.fabs(of_right) else (right, of_right)
        return int(some.item())

    def _mismatch_along(self, u: Vector, v: Vector) -> float:
        """Return the difference of both derivatives along `v`, from few calls."""
        problem = self._problem
        phi = DirectionalFunction(problem, u, v, problem.x)
        numeric = central_quotient(phi, 0.0, problem.steps.first_steps[2])
        return numeric - phi.analytic if math.isfinite(numeric) else 0.0

    def _wrong_output(self, phi: DirectionalFunction) -> Vector:
        """Return 1 for an output whose derivative along a line disagrees: the steepest, or one found by halving."""
        problem, size = self._problem, phi.u.size
        h = problem.steps.first_steps[2]
        above, below = (problem.value(problem.arguments.rounded(problem.x + t * phi.v)) for t in (h, -h))
        numeric = (above - below) / (2.0 * h)
        steepest = int(np.argmax(np.where(phi.u != 0.0, np.nan_to_num(np.abs(numeric * phi.u)), -1.0)))
        of_one = problem.unit_cotangent(steepest)
        if not math.isfinite(phi.analytic):
            return of_one

        def mismatch(u: Vector) -> float:
            return dot(numeric, u) - problem.derivative.slope(problem.x, u, phi.v)

        if math.fabs(mismatch(of_one)) > CLEAR_OUTPUT_MISMATCH * math.fabs(numeric[steepest]):
            return of_one
        some, total = np.flatnonzero(phi.u), mismatch(phi.u)
        while some.size > 1:
            left, right = np.array_split(some, 2)
            of_left = mismatch(np.where(_mask(size, left), phi.u, 0.0))
            some, total = (
                (left, of_left) if math.fabs(of_left) >= math.fabs(total - of_left) else (right, total - of_left)
            )
        return problem.unit_cotangent(int(some.item()))


@functools.cache
def _signed_steps(uphill: float) -> Vector:
    """Return steps of which a part is up, and half of the others too."""
    return np.where(np.arange(STEP_SIZES.size) % 8 < 4 * (1 - uphill), -STEP_SIZES, STEP_SIZES)


def print_progress(progress: str) -> None:
    """Tell who waits at a terminal how far a search is."""
    if sys.stderr.isatty():
        print(progress, file=sys.stderr, flush=True)


def _mask(n: int, some: Indices) -> NDArray[np.bool_]:
    mask = np.zeros(n, bool)
    mask[some] = True
    return mask
