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
from .causes import ALIKE
from .compare import Comparison
from .contract import check_no_stale_state, examine, examine_sum, random_weights
from .directional_comparison import FEW_CALLS, compare_along, tells
from .directional_function import DirectionalFunction
from .libraries import is_tensor
from .numerical import Estimate, OutOfCalls, quotient
from .problem import CALLS, FEW, Problem, length
from .pytrees import leaves
from .subject import Subject
from .vectors import Indices, Vector, blocks, drawn

__tracebackhide__ = True

DIRECTIONS, ELEMENTS = 4, 8  # how many are compared of more
GROUPS = 12  # directions of single arrays; of more arrays, those of like gradients share one
EVEN = 1000  # numbers of which a direction goes uphill in no more than downhill
STEPS = np.arange(256, 512) / 512  # of a scale, by which the numbers are moved at a step of 1
MUCH = 0.1  # by which a derivative is off that shows a mistake well
AWAY = (2.0**-4, 2.0**-3, 2.0**-2)  # of a scale, where it is next to the point
ENOUGH = 3  # elements that are wrong, to stop
FURTHER = 16  # calls for an element when another one is known to be wrong: one that shows a mistake well takes 6
LAST = 8  # calls that are made when all is compared
UNLIMITED = 10**9  # as in types of few digits, where it takes many calls to tell a mistake from noise


def subject_rows(
    asked: Subject,
    named: dict[str, Callable[..., Any]],
    order: int,
    rtol: float | None,
    atol: float | None,
    seed: int,
) -> tuple[list[Comparison], bool]:
    """Compare derivatives up to `order` of a function of arrays: each is that of the gradient before, as a function.

    It is said, too, whether it is one of a type of few bits.
    """
    problem = Problem(asked.heading, asked.f, asked.args, named, rtol, atol, asked.names, asked.static)
    chosen = any(getattr(x, "requires_grad", False) for x in leaves(asked.args))
    rows = foreign_rows(problem, seed)
    for level in range(2, order + 1):
        if any(row.agrees is False for row in rows):  # of a wrong gradient no derivative is of use
            break
        upstream = problem.outputs.tree(random_weights(problem, np.random.default_rng(seed)))
        for weights in problem.outputs.variables(upstream):
            if is_tensor(weights):  # asks for a gradient if the arguments do, so that all are compared
                weights.requires_grad_(chosen)
        df = GradientFunction(problem.f, problem.arguments, problem.outputs)
        args, names = (
            (*problem.arguments.model, upstream),
            [*problem.names, "upstream" if level == 2 else f"upstream{level}"],
        )
        asked = replace(asked, f=df, args=args, names=names)
        heading = f"{asked.heading}, derivative {level}"
        problem = Problem(heading, df, asked.args, {}, rtol, atol, names, asked.static, f"d{level - 1}f")
        rows += foreign_rows(problem, seed)
    return rows, problem.of_few_bits


def foreign_rows(problem: Problem, seed: int) -> list[Comparison]:
    """Compare derivatives of a function of numbers and arrays.

    Raises:
        GradientMismatch: the backward pass fails where it is called in other ways.
        NotDeterministic: two calls gave different gradients.
    """
    random = np.random.default_rng(seed)
    kept = examine(problem, random)
    problem.left = UNLIMITED if problem.of_few_bits else CALLS - problem.calls - LAST
    n, m = problem.x.size, problem.y.size
    with np.errstate(all="ignore"):  # beside the point there may be a pole, or the end of the domain
        rows = singly(problem) if n * m <= FEW else SampledCheck(problem, random, kept and kept[0]).rows()
        if kept:
            check_no_stale_state(problem, *kept)
            if n * m <= FEW and not problem.of_few_bits and not any(row.agrees is False for row in rows):
                examine_sum(problem, *kept)
    return rows + _masked(problem)


def singly(problem: Problem) -> list[Comparison]:
    """Compare every derivative of every output."""
    jobs, arguments = [], []
    for j in np.flatnonzero(problem.live).tolist():
        u = problem.one(j)
        typical, g = problem.typical(u), problem.derivative.gradient(problem.x, u)
        whole = 0.0 if g is None else length(g, problem.scale)
        for i in range(problem.x.size):

            def compare(
                j: int = j, i: int = i, u: Vector = u, typical: float = typical, whole: float = whole
            ) -> tuple[Comparison, DirectionalFunction]:
                return compare_along(problem, problem.title(j, i), u, problem.along(i), typical, whole=whole)

            jobs.append(compare)
            arguments.append(problem.arguments.path(i))
    found = in_turn(problem, jobs)
    return [replace(_at_finite(*one), argument=argument) for one, argument in zip(found, arguments, strict=True)]


def _at_finite(row: Comparison, line: DirectionalFunction) -> Comparison:
    """Return a comparison, or that there is none: what is not finite at a number that is not is no mistake."""
    if row.agrees is False and not math.isfinite(row.analytic) and not np.isfinite(line.x[line.some]).all():
        return replace(row, agrees=None, note="not finite at the point: the argument")
    return row


def in_turn(
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
    kept = problem.left * others / (len(jobs) + others) if jobs else 0.0
    wrong = 0
    for k, job in enumerate(jobs):
        firm = wrong > 0 and enough < math.inf and not problem.of_few_bits
        found.append(problem.within(FURTHER if firm else (problem.left - kept) / (len(jobs) - k), job, firm))
        wrong += found[-1][0].agrees is False
        if wrong >= enough:
            break
    if wrong and enough < math.inf:
        return found
    unknown = [k for k, (row, _) in enumerate(found) if row.note == FEW_CALLS]
    for n, k in enumerate(unknown):
        again = problem.within((problem.left - kept) / (len(unknown) - n), jobs[k])
        found[k] = again if again[0].agrees is not None else found[k]
    return found


def _masked(problem: Problem) -> list[Comparison]:
    """Return a row for outputs that are not finite at the point, of which nothing is compared."""
    if problem.live.all():
        return []
    i = int(np.argmin(problem.live))
    count = int(np.count_nonzero(~problem.live))
    note = f"not finite at the point: {count} of {problem.y.size} outputs"
    return [Comparison(f"d{problem.outputs.names(i)}", math.nan, Estimate(math.nan, math.inf), None, note)]


class SampledCheck:
    """Random directions and a sample of elements of a problem with many.

    Args:
        problem: the function, its derivative and the point.
        random: what is random.
        u: weights of the outputs for the first direction, of which the gradient is known already.
    """

    def __init__(self, problem: Problem, random: np.random.Generator | int, u: Vector | None = None) -> None:
        self._problem, self._known = problem, u
        self._random = np.random.default_rng(random)
        self._arrays = [(path, place) for path, place in problem.arguments.paths() if place.stop > place.start]

    def rows(self) -> list[Comparison]:
        """Compare directions, of all arrays and of each, and elements; look for the worst where one disagrees."""
        problem, several = self._problem, len(self._arrays) > 1
        directions = [functools.partial(self._telling, k) for k in range(DIRECTIONS // 2 if several else DIRECTIONS)]
        arrays = min(len(self._arrays), GROUPS) if several else 0
        found = in_turn(problem, directions, others=arrays + ELEMENTS, enough=1)
        rows = [row for row, _ in found]
        if 2 * sum(row.agrees is not None for row in rows) >= len(rows):  # what noise hides is left to the others
            rows = [row for row in rows if not row.noisy]
        u = self._weights()  # with the same ones for arrays and elements, one gradient is enough
        g = problem.derivative.gradient(problem.x, u)
        whole = length(g, problem.scale) if several and g is not None else 0.0
        groups = self._groups(g) if several else []
        of_arrays = in_turn(
            problem, [functools.partial(self._of_arrays, *group, u, whole) for group in groups], others=ELEMENTS
        )
        rows += [row for row, _ in of_arrays]
        wrong = [line for row, line in of_arrays if row.agrees is False][:ENOUGH]
        lines = wrong or [line for row, line in found if row.agrees is False]
        worst = []
        for k, line in enumerate(lines, 1):  # what is wrong is known: where takes longer
            say(f"{problem.heading}: wrong; looking for the worst elements, {k} of {len(lines)}")
            worst.append(self._worst(line))
        typical = problem.typical(u)
        among = np.logical_or.reduce([line.v != 0.0 for line in lines] or [np.ones(problem.x.size, bool)])
        elements = list(dict.fromkeys([*worst, *self._elements(g, among)]))
        compared = in_turn(
            problem, [functools.partial(self._of_element, i, u, typical, whole) for i in elements], enough=ENOUGH
        )
        # of an element that noise hides there is its array's direction
        return rows + [row for row, _ in compared if not row.noisy]

    def _of_element(self, i: int, u: Vector, typical: float, whole: float) -> tuple[Comparison, DirectionalFunction]:
        """Compare the derivative by an element; where it is wrong, that of an output."""
        problem = self._problem
        row, line = compare_along(problem, self._title(i), u, problem.along(i), typical, whole=whole)
        if row.agrees is None and row.note.startswith("kink"):
            row, line = self._beside((row, line), self._title(i), u, problem.along(i), typical)
        if row.agrees is False and problem.y.size > 1:
            cause = self._cause(i, u, row)
            with contextlib.suppress(OutOfCalls):
                of_one = self._wrong_output(line)
                title = problem.title(int(np.argmax(of_one)), i)
                named, _ = compare_along(problem, title, of_one, problem.along(i), problem.typical(of_one))
                row = named if named.agrees is False else row
            row = replace(row, cause=cause)
        return replace(_at_finite(row, line), argument=problem.arguments.path(i)), line

    def _cause(self, i: int, u: Vector, row: Comparison) -> str:
        """Return that a matrix is transposed, if the right derivative by an element stands where that would put it."""
        g, at = self._problem.derivative.gradient(self._problem.x, u), self._problem.arguments.transposed(i)
        is_there = g is not None and math.isclose(g[at], row.numeric.slope, rel_tol=ALIKE)
        return "a transposed matrix" if is_there and at != i else ""

    def _telling(self, k: int) -> tuple[Comparison, DirectionalFunction]:
        """Compare along a direction that tells 1 %, if one of three does: another may be steeper, and cross no kink."""
        problem = self._problem
        even = problem.x.size <= EVEN  # of many numbers, what goes up and down at once cancels
        first = 1.0 if k == 0 else 0.0 if even or k == 1 else 0.5  # a mistake in one of many is lost in what is all up
        for part in (first, 0.5 if even else 0.75, 1.0):
            row, line = self._along(f"direction {k + 1}", part)
            array, *others = [path for path, _ in self._arrays]
            row = replace(row, argument="" if others else array)
            if tells(problem, row) or row.note == FEW_CALLS:
                return row, line
        if row.agrees:
            row = replace(row, agrees=None, note="too noisy to tell 1 %", noisy=True)
        return row, line

    def _groups(self, g: Vector | None) -> list[tuple[str, Vector]]:
        """Return arrays to be moved alone, each by its name and where it lies; of many, those of like gradients."""
        size = self._problem.x.size
        steep = [0.0 if g is None else length(g[place], self._problem.scale[place]) for _, place in self._arrays]
        order = np.argsort(steep, kind="stable") if len(steep) > GROUPS else np.arange(len(steep))
        groups = []
        for part in np.array_split(order, min(len(steep), GROUPS)):
            mask = np.zeros(size)
            for i in part:
                mask[self._arrays[i][1]] = 1.0
            first, *others = [self._arrays[i][0] for i in sorted(part.tolist())]
            groups.append((f"{first} and {len(others)} others" if others else first, mask))
        return groups

    def _of_arrays(self, names: str, mask: Vector, u: Vector, whole: float) -> tuple[Comparison, DirectionalFunction]:
        row, line = self._along(f"direction of {names}", 1.0, mask, u, whole)
        if not tells(self._problem, row):
            row, line = self._along(f"direction of {names}", 0.5, mask, self._weights(), whole)
        if row.agrees and not tells(self._problem, row):
            row = replace(row, agrees=None, note="too noisy to tell 1 %", noisy=True)
        return replace(row, argument=names), line

    def _title(self, element: int) -> str:
        name = "f" if self._problem.y.size == 1 else "(w*f)"
        return f"d{name}/d{self._problem.arguments.names(element)}"

    def _along(
        self, title: str, part: float, mask: Vector | None = None, u: Vector | None = None, whole: float = 0.0
    ) -> tuple[Comparison, DirectionalFunction]:
        """Compare along a direction, of some arrays, uphill in a part of it, by which there is more to be seen."""
        problem = self._problem
        u = self._weights() if u is None else u
        g = problem.derivative.gradient(problem.x, u)
        v = self._direction(g, part) if mask is None else mask * self._direction(g, part)
        typical = 0.0 if g is None else problem.length(g, v)
        row, line = compare_along(problem, title, u, v, typical, whole=whole)
        if row.note.startswith("kink"):  # of what is between the derivatives on both sides, more is seen beside
            found = self._beside((row, line), title, u, v, typical)
            return (row, line) if row.agrees and found[0].agrees is None else found
        return row, line

    def _beside(
        self, found: tuple[Comparison, DirectionalFunction], title: str, u: Vector, v: Vector, typical: float
    ) -> tuple[Comparison, DirectionalFunction]:
        """Compare next to the point, where kinks hide what the derivative is at the point; farther if they still do.

        Where no calls are left for that, it is what was `found` at the point.
        """
        problem, title, n = self._problem, f"{title}, next to the point", v.size
        for away in AWAY:
            steps = self._random.uniform(0.5, 1.0, n) * self._random.choice([-away, away], n)  # no two of them equal
            beside = problem.arguments.stored(problem.x + steps * problem.scale)
            with contextlib.suppress(OutOfCalls):
                found = compare_along(problem, title, u, v, typical, beside)
            if found[0].agrees is not None:
                break
        return found

    def _weights(self) -> Vector:
        """Return random weights of the outputs."""
        known, self._known = self._known, None
        return random_weights(self._problem, self._random) if known is None else known

    def _direction(self, g: Vector | None, uphill: float) -> Vector:
        """Return a random direction, half a scale or more of each element, that goes uphill in a part of them."""
        problem, random = self._problem, self._random
        if g is None:
            uphill = 0.0
        v = drawn(_steps(uphill), problem.x.size, random)
        if g is not None and uphill:
            for some in blocks(slice(0, v.size)):
                v[some] *= np.copysign(1.0, g[some])
            level = (g == 0.0) | ~np.isfinite(g)
            v[level] = np.copysign(v[level], random.random(np.count_nonzero(level)) - 0.5)
        v *= problem.scale
        if g is not None and not np.isfinite(g).all():
            v[~(np.isfinite(g) | np.isfinite(problem.x))] = 0.0  # what is not finite at such a number is no mistake
        return v

    def _elements(self, g: Vector | None, among: NDArray[np.bool_]) -> list[int]:
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

    def _worst(self, line: DirectionalFunction) -> int:
        """Return the element of a direction that disagrees most, by halving the direction again and again.

        If the steepest one disagrees by as much as they do on average, it is that one.
        """
        some, problem = line.some, self._problem
        total = self._mismatch(line.u, line.v)
        g = problem.derivative.gradient(problem.x, line.u)
        if g is not None:
            steepest = int(some[np.argmax(np.abs(g[some] * line.v[some]))])
            along = problem.along(steepest)
            part = float(line.v[steepest] / along[steepest])
            if some.size * math.fabs(part * self._mismatch(line.u, along)) >= math.fabs(total):
                return steepest
        while some.size > 1:
            left, right = np.array_split(some, 2)
            of_left = self._mismatch(line.u, np.where(_mask(line.v.size, left), line.v, 0.0))
            of_right = total - of_left
            some, total = (left, of_left) if math.fabs(of_left) >= math.fabs(of_right) else (right, of_right)
        return int(some.item())

    def _mismatch(self, u: Vector, v: Vector) -> float:
        """Return the difference of both derivatives along `v`, from few calls."""
        problem = self._problem
        line = DirectionalFunction(problem, u, v, problem.x)
        numeric = quotient(line, 0.0, problem.steps.first[2])
        return numeric - line.slope if math.isfinite(numeric) else 0.0

    def _wrong_output(self, line: DirectionalFunction) -> Vector:
        """Return 1 for an output whose derivative along a line disagrees: the steepest, or one found by halving."""
        problem, size = self._problem, line.u.size
        h = problem.steps.first[2]
        above, below = (problem.value(problem.arguments.stored(problem.x + t * line.v)) for t in (h, -h))
        numeric = (above - below) / (2.0 * h)
        steepest = int(np.argmax(np.where(line.u != 0.0, np.nan_to_num(np.abs(numeric * line.u)), -1.0)))
        of_one = problem.one(steepest)
        if not math.isfinite(line.slope):
            return of_one

        def mismatch(u: Vector) -> float:
            return dot(numeric, u) - problem.derivative.slope(problem.x, u, line.v)

        if math.fabs(mismatch(of_one)) > MUCH * math.fabs(numeric[steepest]):
            return of_one
        some, total = np.flatnonzero(line.u), mismatch(line.u)
        while some.size > 1:
            left, right = np.array_split(some, 2)
            of_left = mismatch(np.where(_mask(size, left), line.u, 0.0))
            some, total = (
                (left, of_left) if math.fabs(of_left) >= math.fabs(total - of_left) else (right, total - of_left)
            )
        return problem.one(int(some.item()))


@functools.cache
def _steps(uphill: float) -> Vector:
    """Return steps of which a part is up, and half of the others too."""
    return np.where(np.arange(STEPS.size) % 8 < 4 * (1 - uphill), -STEPS, STEPS)


def say(progress: str) -> None:
    """Tell who waits at a terminal how far a search is."""
    if sys.stderr.isatty():
        print(progress, file=sys.stderr, flush=True)


def _mask(n: int, some: Indices) -> NDArray[np.bool_]:
    mask = np.zeros(n, bool)
    mask[some] = True
    return mask
