"""Check the derivative of a function of arrays: every single derivative if there are few, or else a random sample.

The arguments are packed into one vector x, whose entries are called elements, and the results into one vector f(x),
whose entries are called outputs (see `Problem`). A weighted sum u · f of the outputs is differentiated, either with
respect to one element or along a direction v, a vector that says how far each element moves. The vector u of weights is
called a cotangent.
"""

from __future__ import annotations

import contextlib
import functools
import math
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from statistics import mean, stdev
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..inputs.libraries import is_any_array, is_tensor
from ..inputs.pytrees import leaves
from ..inputs.subject import VALUE_AND_GRADIENT, Subject
from ..numeric.call_budget import OutOfCalls
from ..numeric.compare import FINE_FEATURE, Comparison, noise_note
from ..numeric.numerical import Estimate
from ..numeric.thresholds import (
    CALLS_AFTER_WRONG,
    DIRECTIONS,
    DOUBLE_PRECISION_BITS,
    ELEMENTS,
    EQUAL_RTOL,
    ESTIMATED_ERRORS,
    FAR_BELOW_ERROR,
    FEW_DIRECTIONS,
    FEW_ELEMENTS,
    FEW_LAST_BITS,
    FEW_WRONG_ELEMENTS,
    HIDDEN_SHARE,
    KEPT_CALLS,
    MAX_CALLS,
    MAX_COMPARED_SINGLY,
    MAX_EVEN_SIZE,
    MAX_GROUPS,
    MAX_HIDDEN,
    MAX_OPPOSITE_SPREAD,
    MAX_UNCLEAR_AFTER_WRONG,
    MAX_WRONG_ELEMENTS,
    NEARBY_DISTANCES,
    NEGLIGIBLE_SHARE,
    NEIGHBOURS,
    NOISE_SHARE,
    RESERVED_CALLS,
    TOWARDS_ZERO,
    UNEVEN_STEP,
    UNLIMITED_CALLS,
    UPHILL_SHARES,
)
from .analytic import GradientFunction, dot
from .contract import check_additivity, check_contract, check_no_stale_state, random_cotangent, without_overflow
from .directional_comparison import BESIDE_FEATURES, NEGLIGIBLE, ComparedAlong, can_tell_one_percent, compare_along
from .directional_function import DirectionalFunction
from .directional_stages import TOO_FEW_CALLS, compare_within_limit
from .excuses import NARROW_FEATURES
from .half_precision import agrees_closely, has_settled
from .problem import Problem, norm
from .sampling import array_groups, array_places, choose_elements, random_direction
from .search import worst_element, wrong_output
from .staircases import keeps_slope
from .vectors import Vector, chunks

__tracebackhide__ = True


def compare_arrays(
    subject: Subject,
    derivatives: dict[str, Callable[..., Any]],
    order: int,
    rtol: float | None,
    atol: float | None,
    seed: int,
    exhaustive: bool = False,
    like: Callable[..., Any] | None = None,
    generators: dict[str, Any] | None = None,
) -> tuple[list[Comparison], bool, float]:
    """Compare the derivatives of a function of arrays, up to those of order `order`, with numerical ones.

    To check second derivatives, the gradient that PyTorch or jax computes is treated as the function, and the
    derivative of that gradient is compared.

    Args:
        subject: the function and its arguments.
        derivatives: the derivative that the user gave, keyed by the keyword of `gradcheck`, such as "vjp". If there is
            none, the backward pass of PyTorch or jax is checked.
        order: the highest order of derivatives.
        rtol: relative tolerance; None for the default of `gradcheck`.
        atol: absolute tolerance; None for the default of `gradcheck`.
        seed: seed of the random directions and of the random weights of the outputs.
        exhaustive: whether derivatives with respect to all elements are compared, and not only to a sample of them.
        like: a function; if it is given, the derivative is compared with its numerical derivatives, and not with those
            of the subject.
        generators: the states of the global random number generators, if the caller knows them (see `Problem`).

    Returns:
        Three items: the comparisons; True if an argument or output is in half precision (float16 or bfloat16), else
        False; and the relative tolerance.

    Raises:
        TypeError: the function seems to return a value and its gradient.
    """
    problem = Problem(
        subject.heading,
        subject.f,
        subject.args,
        derivatives,
        rtol,
        atol,
        subject.names,
        subject.static,
        like=like,
        generators=generators,
    )
    if not derivatives and _looks_like_value_and_gradient(problem, subject):
        raise TypeError(VALUE_AND_GRADIENT)
    if problem.is_empty:
        return [_of_nothing(problem)], False, problem.rtol
    chosen = any(getattr(x, "requires_grad", False) for x in leaves(subject.args))
    comparisons = compare_problem(problem, seed, exhaustive)
    for level in range(2, order + 1):
        if any(comparison.agrees is False for comparison in comparisons):  # no use in differentiating a wrong gradient
            break
        upstream = problem.outputs.unpack(random_cotangent(problem, np.random.default_rng(seed)))
        for weights in problem.outputs.variables(upstream):
            if is_tensor(weights):  # if only some tensors require a gradient, the others count as constants
                weights.requires_grad_(chosen)
        df = GradientFunction(problem.f, problem.arguments, problem.outputs)
        args, names = (
            (*problem.arguments.template, upstream),
            [*problem.names, "upstream" if level == 2 else f"upstream{level}"],
        )
        subject = replace(subject, f=df, args=args, names=names)
        heading = f"{subject.heading}, derivative {level}"
        problem = Problem(heading, df, subject.args, {}, rtol, atol, names, subject.static, f"d{level - 1}f")
        comparisons += compare_problem(problem, seed, exhaustive)
    return comparisons, problem.half_precision, problem.rtol


def _looks_like_value_and_gradient(problem: Problem, subject: Subject) -> bool:
    """Return whether a plain function returns a pair that looks like a value and its gradient.

    A pair looks like that if its first item is a number, and its second item is an array with the shape of an argument,
    or several such arrays. A module and the method `apply` of an `autograd.Function` are not plain functions.
    """
    result = problem.outputs.template
    is_function = getattr(subject.f, "__name__", "") != "apply" and not subject.is_module
    if not (is_function and isinstance(result, tuple) and len(result) == 2 and np.shape(result[0]) == ()):
        return False
    found = result[1] if isinstance(result[1], (tuple, list)) else [result[1]]
    shapes = [tuple(x.shape) for x in problem.arguments.variables(problem.arguments.template) if is_any_array(x)]
    return bool(found) and all(is_any_array(x) and x.shape != () and tuple(x.shape) in shapes for x in found)


def _of_nothing(problem: Problem) -> Comparison:
    """Call the derivative of a problem whose arguments have no element, and return a comparison that agrees.

    There is no number to compare. But the call raises an error if arrays of the gradient have wrong shapes.
    """
    u = np.ones(problem.y.size)
    if problem.derivative.gradient(problem.x, u) is None:
        problem.derivative.slope(problem.x, u, np.ones(problem.x.size))
    path = problem.arguments.leaf_slices()[0][0]
    return Comparison(
        f"df/d{path}", 0.0, Estimate(0.0, 0.0), True, "an empty array: shapes alone were checked", argument=path
    )


def compare_problem(problem: Problem, seed: int, exhaustive: bool = False) -> list[Comparison]:
    """Compare the derivatives of a problem with numerical ones, and check the rules for its backward pass.

    Args:
        problem: the function, its derivative and the point.
        seed: seed of the random directions and of the random weights of the outputs.
        exhaustive: whether derivatives with respect to all elements are compared, by as many calls as that takes.

    Raises:
        GradientMismatch: the backward pass breaks a rule (see `contract`).
        NotDeterministic: two calls gave different gradients.
    """
    random = np.random.default_rng(seed)
    checked = check_contract(problem, random)
    unlimited = problem.half_precision or exhaustive
    n, m = problem.x.size, problem.y.size
    if n * m > MAX_COMPARED_SINGLY and not problem.half_precision:
        problem.may_have_treads = None  # the first direction, which moves all elements, tells
    elif not problem.half_precision:
        with np.errstate(all="ignore"):
            problem.may_have_treads = _may_have_treads(problem, checked)
    problem.budget.left = UNLIMITED_CALLS if unlimited else MAX_CALLS - problem.budget.calls - RESERVED_CALLS
    with np.errstate(all="ignore"):  # near the point there may be a pole or the edge of the domain
        if n * m <= MAX_COMPARED_SINGLY:
            comparisons = _without_hidden_elements(problem, random, compare_singly(problem))
        else:
            comparisons = SampledCheck(problem, random, checked and checked[0], exhaustive).compare()
        if checked:
            check_no_stale_state(problem, *checked)
            if (
                n * m <= MAX_COMPARED_SINGLY
                and not problem.half_precision
                and not any(comparison.agrees is False for comparison in comparisons)
            ):
                found = np.array([(c.numeric.error, c.mismatch) for c in comparisons]).reshape(-1, n, 2)
                known_to = ESTIMATED_ERRORS * np.max(np.where(np.isfinite(found), found, 0.0), axis=(0, 2), initial=0.0)
                check_additivity(problem, *checked, known_to)
    return comparisons + _not_finite_outputs(problem) + _random_numbers(problem)


def _may_have_treads(problem: Problem, checked: tuple[Vector, Vector] | None) -> bool:
    """Return whether f may be a step function, whose treads are the intervals in which it does not change.

    It may be one if f changes by another amount than the checked derivative predicts when all elements move at once by
    the finest step of numerical derivatives. `checked` has a vector u of weights of the outputs, and the gradient of u
    · f, if they are known.
    """
    u, g = checked or (random_cotangent(problem, np.random.default_rng(0)), None)
    uphill = problem.scale if g is None else np.where(np.isfinite(g), np.copysign(problem.scale, g), 0.0)
    return not keeps_slope(DirectionalFunction(problem, u, uphill, problem.x))


def compare_singly(problem: Problem) -> list[Comparison]:
    """Return a comparison with a numerical derivative for each finite output and each element of the point."""
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
            ) -> ComparedAlong:
                title, v = problem.derivative_name(j, i), problem.element_direction(i)
                found = compare_along(problem, title, u, v, typical_slope, gradient_norm=gradient_norm)
                negligible = math.fabs(found[0].analytic) * problem.scale[i] <= NEGLIGIBLE_SHARE * gradient_norm
                return _unless_hidden(*found) if negligible else found

            jobs.append(compare)
            arguments.append(problem.arguments.leaf_path(i))
    found = compare_within_budget(problem, jobs)
    return [
        _excuse_infinite_point(*one)._replace(argument=argument) for one, argument in zip(found, arguments, strict=True)
    ]


def _unless_hidden(comparison: Comparison, phi: DirectionalFunction) -> ComparedAlong:
    """Return the comparison, but without the verdict "right" if noise is so large that it says nothing.

    This is so if rounding of f makes the estimated error of the numerical derivative thousands of times as large as the
    derivative that is checked. A derivative of the opposite sign, for example, would then count as right, too.

    But the verdict stays if the checked derivative consists of rounding alone, as the derivative with respect to a bias
    before a batch norm does. Such a derivative changes by about its own size if all elements of the point move by a few
    last bits.
    """
    problem, size, e = phi.problem, math.fabs(comparison.analytic), comparison.numeric
    error = ESTIMATED_ERRORS * e.error
    if not comparison.agrees or problem.half_precision or not 0.0 < FAR_BELOW_ERROR * size < error < math.inf:
        return comparison, phi
    if math.fabs(e.slope) > error or error <= problem.atol or e.noise <= NOISE_SHARE * e.error:
        return comparison, phi
    if comparison.note not in ("", NEGLIGIBLE):
        return comparison, phi
    random, last_bits = np.random.default_rng(0), 2.0**FEW_LAST_BITS * problem.eps * problem.scale
    for _ in range(NEIGHBOURS):
        x = problem.x + random.choice([-1.0, 1.0], problem.x.size) * last_bits
        if not math.fabs(phi.analytic_along(phi.v, problem.arguments.rounded(x)) - comparison.analytic) <= 0.5 * size:
            return comparison, phi
    return comparison._replace(agrees=None, note=noise_note(max(phi.rounding, e.noise)), noisy=True), phi


def _excuse_infinite_point(comparison: Comparison, phi: DirectionalFunction) -> Comparison:
    """Return the comparison; mark a derivative as not compared if infinite or nan numbers at the point explain it.

    This concerns only a derivative that is infinite or nan itself, and counts as wrong. There are two explanations. An
    element that moves is infinite or nan. Or it affects an output that is infinite or nan at the point. The backward
    pass may then multiply the weight of that output, which is 0, by an infinite derivative: exp(100) is infinite in
    float32, and 0 times infinity is nan. `phi` is the function that was differentiated. It tells which elements moved.
    """
    if comparison.agrees is not False or math.isfinite(comparison.analytic):
        return comparison
    if not np.isfinite(phi.x[phi.moved_elements]).all():
        return comparison._replace(agrees=None, note="not finite at the point: the argument")
    if _reach_infinite_output(phi.problem, phi.v != 0.0):
        return comparison._replace(agrees=None, note="not finite at the point: an output that depends on it")
    return comparison


def _reach_infinite_output(problem: Problem, moved: NDArray[np.bool_]) -> bool:
    """Return whether an output that is not finite at the point depends on the elements in `moved`, which is a mask.

    An output depends on them if it becomes finite when these elements are set to 0, or when they move by random steps
    of about their own size, to one side or to the other. After random steps, equal elements are no longer equal; the
    standard deviation of equal elements has no derivative. Random steps also hardly ever lead to a whole number, which
    may be a pole of lgamma.

    The output may also be infinite because of other elements: c * exp(x) is infinite because of x, but depends on c,
    too. So all elements are moved towards 0 until the output is finite. The output depends on the elements in `moved`
    if it changes with them there.
    """
    if problem.all_outputs_finite:
        return False
    infinite = ~problem.finite_outputs
    steps = UNEVEN_STEP * np.random.default_rng(0).uniform(0.5, 1.0, problem.x.size) * problem.scale
    moves = [np.where(moved, sign * steps, 0.0) for sign in (1.0, -1.0)]
    to_zero = np.where(moved, -problem.x, 0.0)
    if any((np.isfinite(problem.all_outputs_at(problem.x + move)) & infinite).any() for move in (to_zero, *moves)):
        return True
    for part in TOWARDS_ZERO:
        x = part * problem.x
        here = problem.all_outputs_at(x)
        seen = infinite & np.isfinite(here)
        if any((problem.all_outputs_at(x + part * move) != here)[seen].any() for move in moves):
            return True
    return False


def compare_within_budget(
    problem: Problem,
    jobs: Sequence[Callable[[], ComparedAlong]],
    reserved: int = 0,
    max_wrong: float = math.inf,
    once: bool = False,
    known_wrong: bool = False,
) -> list[ComparedAlong]:
    """Run comparisons that share the remaining calls of the user's function equally; return a result for each.

    If a comparison has run out of calls, it runs once more at the end, with the calls that other comparisons did not
    need. If `max_wrong` is finite, other rules hold from the first wrong derivative on: each later comparison may make
    only `CALLS_AFTER_WRONG` calls (except in half precision), and no comparison runs a second time. After
    `MAX_UNCLEAR_AFTER_WRONG` comparisons that had too few calls, no further one runs.

    Args:
        problem: the function, and the budget of calls that remain.
        jobs: functions without arguments; each runs one comparison.
        reserved: how many comparisons the caller will run later. Their shares of the calls are kept for them.
        max_wrong: the number of wrong derivatives after which no further comparison runs; by default, all run.
        once: whether no comparison runs a second time.
        known_wrong: whether a derivative was wrong before, so the comparisons only show which element causes it. Then
            no comparison runs a second time, and the limit `MAX_UNCLEAR_AFTER_WRONG` holds from the beginning.
    """
    found: list[ComparedAlong] = []
    budget = problem.budget
    reserved_calls = min(budget.left * reserved / (len(jobs) + reserved), reserved * KEPT_CALLS) if jobs else 0.0
    wrong = unclear = 0
    for k, job in enumerate(jobs):
        firm = wrong > 0 and max_wrong < math.inf and not problem.half_precision
        share = CALLS_AFTER_WRONG if firm else (budget.left - reserved_calls) / (len(jobs) - k)
        found.append(budget.run(share, job, firm))
        wrong += found[-1][0].agrees is False
        unclear += (firm or known_wrong) and found[-1][0].note == TOO_FEW_CALLS
        if wrong >= max_wrong or unclear >= MAX_UNCLEAR_AFTER_WRONG:
            break
    if once or known_wrong or (wrong and max_wrong < math.inf):
        return found
    unknown = [k for k, (comparison, _) in enumerate(found) if comparison.note == TOO_FEW_CALLS]
    for n, k in enumerate(unknown):
        again = budget.run((budget.left - reserved_calls) / (len(unknown) - n), jobs[k])
        found[k] = again if again[0].agrees is not None else found[k]
    return found


def _without_hidden_elements(
    problem: Problem, random: np.random.Generator, comparisons: list[Comparison]
) -> list[Comparison]:
    """Return `comparisons`, which are with respect to single elements, without those that noise hides.

    In half precision, noise may hide the derivative of a loss, for example, with respect to one of many elements. Then
    derivatives are compared along two directions in which all elements move. If the checked derivatives agree with the
    numerical ones along both, these two comparisons take the place of those that noise hides. In all other cases,
    `comparisons` is returned unchanged.
    """
    hidden = any(comparison.agrees is None and comparison.noisy for comparison in comparisons)
    if not (problem.half_precision and hidden) or any(comparison.agrees is False for comparison in comparisons):
        return comparisons
    along = SampledCheck(problem, random).compare_directions()
    if not all(comparison.agrees for comparison in along):
        return comparisons
    return [*along, *(comparison for comparison in comparisons if not comparison.noisy)]


def _not_finite_outputs(problem: Problem) -> list[Comparison]:
    """Return a list of one comparison, marked as not compared, for all outputs that are infinite or nan at the point.

    If all outputs are finite, the list is empty.
    """
    if problem.finite_outputs.all():
        return []
    i = int(np.argmin(problem.finite_outputs))
    count = int(np.count_nonzero(~problem.finite_outputs))
    note = f"not finite at the point: {count} of {problem.y.size} outputs"
    return [Comparison(f"d{problem.outputs.element_name(i)}", math.nan, Estimate(math.nan, math.inf), None, note)]


def _random_numbers(problem: Problem) -> list[Comparison]:
    """Return a list with a comparison without a verdict if f draws random numbers; otherwise an empty list.

    This is for an f that gave the same results in all calls so far. Other calls may still give other results: the
    dropout of a single number, for example, often gives the same result several times.
    """
    if not problem.drawn:
        return []
    note = f"f draws from {problem.drawn}, so it may not be deterministic: seed it inside f"
    return [Comparison("all of f", math.nan, Estimate(math.nan, math.inf), None, note)]


class SampledCheck:
    """The check of a problem with many derivatives: along random directions, and with respect to a sample of elements.

    Args:
        problem: the function, its derivative and the point.
        random: a generator of random numbers, or its seed.
        u: the weights of the outputs for the first direction; by default, they are random. A caller that has computed
            the gradient for some weights already gives these, which saves a call of the derivative.
        exhaustive: whether all elements are compared.
    """

    def __init__(
        self,
        problem: Problem,
        random: np.random.Generator | int,
        u: Vector | None = None,
        exhaustive: bool = False,
    ) -> None:
        self._problem, self._first_cotangent, self._exhaustive = problem, u, exhaustive
        self._random = np.random.default_rng(random)
        self._arrays = array_places(problem)
        self._least_scales = [(place, float(problem.scale[place].min())) for _, place in self._arrays]
        # Whether noise may be that of a kink. Among very many numbers, it is not if there is as much next to the point.
        self._kinks_hide = True
        few = problem.few_comparisons
        self._directions, self._elements = (FEW_DIRECTIONS, FEW_ELEMENTS) if few else (DIRECTIONS, ELEMENTS)
        self._cancelling_tells = False  # whether a direction tells along which changes uphill and downhill cancel
        self._hidden = math.inf  # the smallest `hidden` (see `Comparison`) of all directions that move all arrays

    def compare_directions(self) -> list[Comparison]:
        """Compare derivatives along two directions that move all elements."""
        return [self._compare_informative_direction(k)[0] for k in range(2)]

    def compare(self) -> list[Comparison]:
        """Compare derivatives along directions that move all arrays, or one array, and with respect to single elements.

        A direction says how far each element moves. An array of the result whose outputs change far less than others
        has a comparison in which only its outputs count. If the derivative along a direction is wrong, elements whose
        derivatives are far off are looked for, and compared before other elements.
        """
        problem, several = self._problem, len(self._arrays) > 1
        directions = [
            functools.partial(self._compare_informative_direction, k)
            for k in range(DIRECTIONS // 2 if several else self._directions)
        ]
        arrays = min(len(self._arrays), MAX_GROUPS) if several else 0
        found = compare_within_budget(problem, directions, reserved=arrays + self._elements, max_wrong=1)
        comparisons = [comparison._replace(hidden=self._hidden) for comparison, _ in found]
        known = sum(comparison.agrees is not None for comparison in comparisons)
        needed = 0.5 * len(comparisons) if problem.half_precision else 1.0
        if known >= needed:  # each direction moves all elements, so these tell enough, whatever noise hides in others
            comparisons = [comparison for comparison in comparisons if not comparison.noisy]
        verdicts = {comparison.agrees for comparison, _ in found}
        coarse = problem.bits < DOUBLE_PRECISION_BITS
        if coarse and MAX_HIDDEN < self._hidden < math.inf and True in verdicts and False not in verdicts:
            comparisons.append(_of_whole_gradient(self._hidden))
        hidden = [functools.partial(self._compare_output, *one) for one in self._hidden_outputs()]
        of_outputs = compare_within_budget(problem, hidden, reserved=arrays + self._elements) if hidden else []
        comparisons += [comparison for comparison, _ in of_outputs if not comparison.noisy]
        found += of_outputs
        # The same cotangent serves for all arrays and elements, so one gradient is enough.
        wrong_outputs = [phi.u for comparison, phi in of_outputs if comparison.agrees is False]
        u = wrong_outputs[0] if wrong_outputs else self._next_cotangent()
        g = problem.derivative.gradient(problem.x, u)
        gradient_norm = norm(g, problem.scale) if several and g is not None else 0.0
        jobs = [
            functools.partial(self._compare_group, *group, u, gradient_norm)
            for group in (array_groups(problem, g) if several else [])
        ]
        of_arrays = compare_within_budget(problem, jobs, reserved=self._elements, once=True)
        wrong = [phi for comparison, phi in of_arrays if comparison.agrees is False][:MAX_WRONG_ELEMENTS]
        functions = wrong or [phi for comparison, phi in found if comparison.agrees is False]
        of_elements = self._compare_elements(functions, u, g, gradient_norm)
        of_elements += self._compare_again(jobs, of_arrays, u, g, gradient_norm)
        comparisons += [comparison for comparison, _ in of_arrays]
        elements = [comparison for comparison, _ in of_elements]
        if not any(comparison.agrees is False for comparison in elements):
            comparisons = _without_narrow_features(comparisons, elements)
        # In a sample, an element that noise hides is left out: the direction of its array has been compared.
        return comparisons + [c for c in elements if self._exhaustive or not _is_hidden(c, problem)]

    def _compare_again(
        self,
        jobs: Sequence[Callable[[], ComparedAlong]],
        of_arrays: list[ComparedAlong],
        u: Vector,
        g: Vector | None,
        gradient_norm: float,
    ) -> list[ComparedAlong]:
        """Compare those arrays again whose comparisons ran out of calls, with the calls that are left now.

        Args:
            jobs: functions without arguments; each compares the derivative along a direction of one group of arrays.
            of_arrays: the results of `jobs`. A new comparison replaces its entry in this list.
            u: the weights of the outputs, whose weighted sum is differentiated.
            g: the gradient of the weighted sum; None if it is not known.
            gradient_norm: the norm of this gradient.

        Returns:
            The comparisons of single elements that are made if the verdict of a new comparison is that a derivative is
            wrong; else an empty list.
        """
        wrong = []
        for k, (comparison, _) in enumerate(of_arrays):
            if comparison.note == TOO_FEW_CALLS:  # it may use all calls that are left: a share may be too small again
                [of_arrays[k]] = compare_within_budget(self._problem, [jobs[k]], once=True)
                if of_arrays[k][0].agrees is False:
                    wrong.append(of_arrays[k][1])
        return self._compare_elements(wrong, u, g, gradient_norm) if wrong else []

    def _compare_elements(
        self, functions: list[DirectionalFunction], u: Vector, g: Vector | None, gradient_norm: float
    ) -> list[ComparedAlong]:
        """Compare derivatives with respect to single elements, beginning with those that are likely to be wrong.

        Args:
            functions: the functions along directions whose derivatives are wrong. For each, the element that
                contributes most to the difference from the numerical derivative is compared.
            u: the weights of the outputs, whose weighted sum is differentiated.
            g: the gradient of the weighted sum; None if it is not known.
            gradient_norm: the norm of this gradient; 0.0 if it is not known, or if there is only one array.
        """
        problem, worst = self._problem, []
        for k, phi in enumerate(functions, 1):  # the search may take long, so its progress is shown
            print_progress(f"{problem.heading}: wrong; looking for the worst elements, {k} of {len(functions)}")
            worst.append(worst_element(phi))
        typical_slope = problem.typical_slope(u)
        among = np.logical_or.reduce([phi.v != 0.0 for phi in functions] or [np.ones(problem.x.size, bool)])
        if self._exhaustive:
            chosen = list(range(problem.x.size))
        else:
            chosen = choose_elements(problem, self._random, g, among, self._elements)
        elements = list(dict.fromkeys([*worst, *chosen]))
        return compare_within_budget(
            problem,
            [
                functools.partial(self._compare_element, i, u, typical_slope, gradient_norm, bool(functions))
                for i in elements
            ],
            max_wrong=FEW_WRONG_ELEMENTS if problem.few_comparisons else MAX_WRONG_ELEMENTS,
            known_wrong=bool(functions),
        )

    def _compare_element(
        self, i: int, u: Vector, typical_slope: float, gradient_norm: float, known_wrong: bool
    ) -> ComparedAlong:
        """Compare the derivative of u · f, the weighted sum of the outputs, with respect to one element.

        If it is wrong, a single output whose own derivative is wrong is looked for, and that derivative is compared
        instead. If a kink prevents a verdict, the derivative is compared at a point nearby.

        Args:
            i: the index of the element.
            u: the weights of the outputs.
            typical_slope: about how large the derivatives with respect to single elements are.
            gradient_norm: the norm of the whole gradient of u · f.
            known_wrong: whether the derivative along a direction that moves this element is wrong.
        """
        problem, v = self._problem, self._problem.element_direction(i)
        comparison, phi = compare_along(
            problem, self._title(i), u, v, typical_slope, gradient_norm=gradient_norm, known_wrong=known_wrong
        )
        if comparison.agrees is None and comparison.note.startswith("kink"):
            comparison, phi = self._compare_nearby((comparison, phi), self._title(i), u, v, typical_slope)
        elif _may_hide_kink(comparison, phi):
            comparison = comparison._replace(noisy=True)
        if comparison.agrees is False and problem.y.size > 1:
            cause = self._cause(i, u, comparison)
            with contextlib.suppress(OutOfCalls):
                of_one = wrong_output(phi)
                title = problem.derivative_name(int(np.argmax(of_one)), i)
                of_output = _of_single_output(comparison, phi, of_one)
                if of_output is None:
                    direction, slope = problem.element_direction(i), problem.typical_slope(of_one)
                    along = DirectionalFunction(problem, of_one, direction, problem.x, per_element=True)
                    of_output = compare_within_limit(title, along, slope)  # excuses have been looked for above
                comparison = of_output._replace(title=title) if of_output.agrees is False else comparison
            comparison = comparison._replace(cause=cause)
        return _excuse_infinite_point(comparison, phi)._replace(argument=problem.arguments.leaf_path(i)), phi

    def _cause(self, i: int, u: Vector, comparison: Comparison) -> str:
        """Return "a transposed matrix" if that explains the wrong derivative with respect to element `i`; else "".

        A transposed matrix explains it if the gradient of u · f has the correct derivative at the index that the
        element has in the transposed matrix. `u` has the weights of the outputs, and `comparison` has the correct
        derivative.
        """
        g, at = self._problem.derivative.gradient(self._problem.x, u), self._problem.arguments.transposed_index(i)
        is_there = g is not None and math.isclose(g[at], comparison.numeric.slope, rel_tol=EQUAL_RTOL)
        return "a transposed matrix" if is_there and at != i else ""

    def _compare_informative_direction(self, k: int) -> ComparedAlong:
        """Compare along a random direction, and along up to two more if that cannot show an error of 1 %.

        Along some directions, the function changes too little to show an error of 1 %, or it has a kink. Return the
        first comparison that is exact enough, or that has run out of calls. If there is none, return one in which two
        derivatives in half precision are equal up to their last bit. Failing that, return the last comparison, but
        without its verdict if it has called the derivative right. The title of the comparison has the number `k` + 1.
        """
        problem = self._problem
        even = problem.x.size <= MAX_EVEN_SIZE  # among many elements, the changes uphill and downhill may cancel
        # With all elements uphill, the slope is largest, but a mistake in some of many elements is lost in it.
        first = 1.0 if k == 0 else 0.0 if even or k == 1 or self._cancelling_tells else 0.5
        close: ComparedAlong | None = None
        for part in (first, UPHILL_SHARES[0 if even else 1], 1.0):
            comparison, phi = self._compare_along(f"direction {k + 1}", part)
            if k == 1 and part == first:
                self._cancelling_tells = self._is_telling(comparison)
            array, *others = [path for path, _ in self._arrays]
            comparison = comparison if others else comparison._replace(argument=array)
            if self._is_telling(comparison) or comparison.note == TOO_FEW_CALLS:
                return comparison, phi
            if comparison.agrees and agrees_closely(comparison, problem):
                close = comparison, phi
        if close:
            return close
        if comparison.agrees:
            comparison = comparison._replace(agrees=None, note="too noisy to show an error of 1 %", noisy=True)
        return comparison, phi

    def _is_telling(self, comparison: Comparison) -> bool:
        """Return whether a comparison would show an error of 1 %, so no comparison along another direction is needed.

        The result is also True if the two derivatives are equal up to their last bit, and the estimated error of the
        numerical one is small (`has_settled`).
        """
        problem = self._problem
        return can_tell_one_percent(problem, comparison) or (
            comparison.agrees is True and has_settled(comparison, problem)
        )

    def _hidden_outputs(self) -> list[tuple[str, Vector]]:
        """Return a pair for each array of the result whose outputs change far less than those of another array.

        A weighted sum of all outputs would hardly show a mistake in such an array. The pair has the name of the array,
        and weights of all outputs, which are 0 for the outputs of other arrays. The list is empty if there are more
        than `MAX_GROUPS` arrays, since one backward pass is needed for each.
        """
        problem = self._problem
        places = [one for one in problem.outputs.leaf_slices() if problem.finite_outputs[one[1]].any()]
        if not 1 < len(places) <= MAX_GROUPS:
            return []
        u = self._next_cotangent()
        sizes, found = [], []
        for path, place in places:
            alone = np.zeros(u.size)
            alone[place] = u[place]
            found.append((path, alone))
            sizes.append(self._steepness(alone))
        return [one for one, size in zip(found, sizes, strict=True) if size < HIDDEN_SHARE * max(sizes)]

    def _steepness(self, u: Vector) -> float:
        """Return about how far u · f changes if the point moves in a random direction, by `Problem.scale` in all.

        u · f is the sum of the outputs with the weights `u`. An element moves by about its entry in the scale.
        """
        problem = self._problem
        g = problem.derivative.gradient(problem.x, u)
        if g is not None:
            return norm(g, problem.scale)
        return math.fabs(problem.derivative.slope(problem.x, u, random_direction(problem, self._random, None, 0.0)))

    def _compare_output(self, path: str, u: Vector) -> ComparedAlong:
        """Compare, along a random direction, the derivative of the weighted sum of the outputs of one array.

        `path` is the path of this array in the result. The weights `u` are 0 for the outputs of all other arrays.
        """
        comparison, phi = self._compare_along(f"direction of {path}", 1.0, u=u)
        array, *others = [path for path, _ in self._arrays]
        return comparison._replace(argument="" if others else array), phi

    def _compare_group(self, names: str, mask: Vector, u: Vector, gradient_norm: float) -> ComparedAlong:
        """Compare the derivative along a random direction that moves one group of arrays.

        If the comparison is not exact enough to show an error of 1 %, a second random direction is tried, with other
        weights of the outputs. If that comparison is not exact enough either, it does not call the derivative right.

        Args:
            names: the names of the arrays.
            mask: 1.0 for the elements of these arrays, 0.0 for all others.
            u: the weights of the outputs, whose weighted sum is differentiated.
            gradient_norm: the norm of the whole gradient of the weighted sum.
        """
        comparison, phi = self._compare_along(f"direction of {names}", 1.0, mask, u, gradient_norm)
        if not self._is_telling(comparison) and comparison.note != TOO_FEW_CALLS:
            comparison, phi = self._compare_along(
                f"direction of {names}", 0.5, mask, self._next_cotangent(), gradient_norm
            )
        told = can_tell_one_percent(self._problem, comparison) or agrees_closely(comparison, self._problem)
        if comparison.agrees and not told:
            comparison = comparison._replace(agrees=None, note="too noisy to show an error of 1 %", noisy=True)
        return comparison._replace(argument=names), phi

    def _title(self, element: int) -> str:
        """Return the name of the derivative with respect to an element, such as "d(w*f)/dx[0]".

        In the name, w stands for the weights of the outputs. If there is only one output, w is left out.
        """
        name = "f" if self._problem.y.size == 1 else "(w*f)"
        return f"d{name}/d{self._problem.arguments.element_name(element)}"

    def _compare_along(
        self, title: str, part: float, mask: Vector | None = None, u: Vector | None = None, gradient_norm: float = 0.0
    ) -> ComparedAlong:
        """Compare the derivative along a random direction; at a kink or a fine feature, compare next to it instead.

        In half precision, noise may hide a kink. Then the derivative is compared next to the point, too.

        Args:
            title: the name of the derivative.
            part: the share of the elements that is sure to move uphill (see `random_direction`). The larger it is, the
                larger is the derivative along the direction.
            mask: 1.0 for elements that move, 0.0 for others; by default, all move.
            u: the weights of the outputs, whose weighted sum is differentiated; random ones by default.
            gradient_norm: the norm of the whole gradient of the weighted sum.
        """
        problem = self._problem
        u = self._next_cotangent() if u is None else u
        g = problem.derivative.gradient(problem.x, u)
        v = random_direction(problem, self._random, g, part)
        v = v if mask is None else mask * v
        if g is not None and not problem.all_outputs_finite:
            infinite = ~np.isfinite(g) & (v != 0.0)
            if infinite.any() and not infinite.all() and _reach_infinite_output(problem, infinite):
                v = np.where(infinite, 0.0, v)  # these elements are compared singly
        typical_slope = 0.0 if g is None else problem.norm(g, v)
        comparison, phi = compare_along(problem, title, u, v, typical_slope, gradient_norm=gradient_norm)
        # At a kink, any slope between those of the two sides agrees, and a fine feature hides it: compare beside it.
        if comparison.note.startswith(("kink", FINE_FEATURE)):
            found = self._compare_nearby((comparison, phi), title, u, v, typical_slope)
            if not (comparison.agrees and found[0].agrees is None):
                comparison, phi = found
        elif self._kinks_hide and phi.analytic != 0.0 and _may_hide_kink(comparison, phi):  # 0 may be a missing one
            found = self._compare_nearby((comparison, phi), title, u, v, typical_slope)
            self._kinks_hide = found[0].agrees is not None or not problem.few_comparisons
            comparison, phi = found if found[0].agrees and found[0].numeric.slope != 0.0 else (comparison, phi)
        if phi.x is not problem.x:
            g = problem.derivative.gradient(phi.x, u)
        # Other steps than those of v may have been taken, at another point, where the gradient may be 0.
        if typical_slope and mask is None and g is not None and (slope := self._least_slope(g, phi)):
            self._hidden = min(self._hidden, _largest_hidden(problem, comparison) / slope)
        return comparison, phi

    def _least_slope(self, g: Vector, phi: DirectionalFunction) -> float:
        """Return how much a mistake in one element of the gradient `g` changes the derivative of `phi`, at least.

        The mistake is as large as the norm of `g`. It changes the derivative least if it is in the element that makes
        the shortest step. If there are several arrays, the norm and the steps are relative to the scale of each array,
        since small elements move less than large ones.
        """
        shortest = min(_shortest_step(phi.v[place]) / size for place, size in self._least_scales)
        gradients = (norm(g[place]) * size for place, size in self._least_scales)
        return shortest * math.hypot(*gradients) / math.fabs(phi.divisor)

    def _compare_nearby(
        self, found: ComparedAlong, title: str, u: Vector, v: Vector, typical_slope: float
    ) -> ComparedAlong:
        """Compare a derivative at a random point near the problem's point, and return this comparison.

        Up to two points farther away are tried if the comparison has no verdict, or if it calls the derivative wrong
        and finds a kink. In half precision, they may also be tried if the derivative is wrong without a kink, or if it
        agrees with a numerical derivative of 0. The last comparison is then returned. It loses its verdict "wrong" if
        the mismatches at the points are so different that they cancel in the mean, as those of many close kinks do.

        Args:
            found: the comparison at the problem's point. It is returned if no calls are left for another comparison.
            title: the name of the derivative.
            u: the weights of the outputs, whose weighted sum is differentiated.
            v: the direction along which it is differentiated.
            typical_slope: about how large derivatives along directions like this one are.
        """
        problem, title, n = self._problem, f"{title}, next to the point", v.size
        # Steps that are longer than usual have shown the kink, so a point that is as near as usual may be at it, too.
        sizes = np.maximum(problem.scale, np.abs(found[1].v))
        off: list[float] = []
        wrong: ComparedAlong | None = None
        in_noise = problem.few_comparisons and found[0].noisy and _may_hide_kink(*found)
        for away in NEARBY_DISTANCES:
            # The distances are random, so no two elements become equal.
            steps = self._random.uniform(0.5, 1.0, n) * self._random.choice([-away, away], n)
            nearby = problem.arguments.rounded(problem.x + steps * sizes)
            with contextlib.suppress(OutOfCalls):
                found = compare_along(problem, title, u, v, typical_slope, nearby)
            if found[0].agrees and (found[0].numeric.slope != 0.0 or not problem.half_precision):
                break
            if in_noise and found[0].agrees is None and found[0].noisy:  # there is as much noise without the kink
                break
            if found[0].agrees is False and not found[0].note.startswith("kink"):
                if wrong or not problem.half_precision:
                    break
                wrong = found
            if found[0].agrees is False:
                off.append(found[0].analytic - found[0].numeric.slope)
        # Changes of order in a sorted array may be nearer to each other than the finest steps. The derivative then
        # seems wrong, by other amounts at other points. In half precision, it seems right at some points, too.
        if wrong and found[0].agrees and found[0].numeric.slope != 0.0:
            return wrong[0]._replace(agrees=None), wrong[1]
        found = wrong or found
        if len(off) > 1 and found[0].agrees is False and math.fabs(mean(off)) < MAX_OPPOSITE_SPREAD * stdev(off):
            return found[0]._replace(agrees=None), found[1]
        return found

    def _next_cotangent(self) -> Vector:
        """Return random weights of the outputs; on the first call, the weights `u` that the constructor got, if any."""
        first, self._first_cotangent = self._first_cotangent, None
        if first is not None:
            return first
        return without_overflow(self._problem, random_cotangent(self._problem, self._random))


def _of_single_output(comparison: Comparison, phi: DirectionalFunction, of_one: Vector) -> Comparison | None:
    """Turn a comparison for a weighted sum of outputs into one for the only output that changes; None if more change.

    `phi` is the weighted sum as a function of one element. If only one output has changed in all steps so far, dividing
    the derivatives in `comparison` by the weight of this output gives the derivatives of the output. This is not so for
    the checked derivative if outputs that do not change contribute to it, too. So None is also returned if the checked
    derivative of this output, times its weight, is not the checked derivative of the weighted sum.

    Args:
        comparison: a comparison that calls the derivative of `phi` wrong.
        phi: the function of one number that was differentiated.
        of_one: weights of the outputs: 1 for the output, and 0 for all others.
    """
    problem, weight = phi.problem, float(dot(phi.u, of_one))
    changed = phi.changed_outputs & (phi.u != 0.0)
    if phi.x is not problem.x or np.count_nonzero(changed) != 1 or not changed[int(np.argmax(of_one))]:
        return None
    at_point = problem.derivative.slope(problem.x, of_one, phi.v) / phi.divisor
    if not math.fabs(weight * at_point - phi.analytic) <= EQUAL_RTOL * math.fabs(phi.analytic):
        return None
    e, size = comparison.numeric, math.fabs(weight)
    numeric = Estimate(e.slope / weight, e.error / size, e.noise / size)
    return comparison._replace(analytic=comparison.analytic / weight, numeric=numeric)


def _may_hide_kink(comparison: Comparison, phi: DirectionalFunction) -> bool:
    """Return whether a comparison in half precision may have no verdict because noise hides a kink.

    A kink is likely where an element is 0, as for relu, or equal to another one, as for sorting. Equal elements do not
    count if about as many would be equal at a point nearby: a half-precision type has so few numbers that some of many
    elements are always equal.
    """
    problem, moved = phi.problem, phi.moved_elements
    if comparison.agrees is not None or not problem.half_precision:
        return False
    return bool((phi.x[moved] == 0.0).any() or problem.avoidable_ties[moved].any())


def _is_hidden(comparison: Comparison, problem: Problem) -> bool:
    """Return whether noise hides the derivative with respect to an element, so the comparison tells nothing.

    In half precision, the result is also True if there is no numerical derivative. A small element near the edge of the
    domain may have none: short steps are too noisy, and long ones leave the domain.
    """
    unknown = comparison.agrees is None and math.isinf(comparison.numeric.error)
    return comparison.noisy or (problem.half_precision and unknown)


def _shortest_step(v: Vector) -> float:
    """Return the smallest absolute value of the entries of a direction that are not 0; inf if all are 0."""
    parts = (v[some] for some in chunks(slice(0, v.size)))
    return min(float(np.abs(part).min(where=part != 0.0, initial=math.inf)) for part in parts)


def _largest_hidden(problem: Problem, comparison: Comparison) -> float:
    """Return how large a mistake in the derivative along a direction may be although `comparison` does not show it.

    If the derivative agrees with the numerical one, this is the error that the tolerance and the numerical derivative's
    own error allow. Otherwise, it is this error plus the distance of the two derivatives. The result is inf if one of
    the derivatives, or the error of the numerical one, is not finite.
    """
    e = comparison.numeric
    size = max(math.fabs(comparison.analytic), math.fabs(e.slope))
    allowed = max(problem.atol, problem.rtol * size, ESTIMATED_ERRORS * e.error)
    found = allowed if comparison.agrees else comparison.mismatch + allowed
    return found if math.isfinite(found) else math.inf


def _without_narrow_features(comparisons: list[Comparison], of_elements: list[Comparison]) -> list[Comparison]:
    """Return comparisons along directions, but mark the wrong ones as not compared if an element has narrow features.

    A feature of the function is narrow if it is narrower than the steps. `of_elements` has comparisons with respect to
    single elements, among them those that contribute most to a mismatch along a direction. If the function has narrow
    features along one of these elements, they may have caused the mismatch.
    """
    if not any(comparison.note in (NARROW_FEATURES, BESIDE_FEATURES) for comparison in of_elements):
        return comparisons
    return [c._replace(agrees=None, note=NARROW_FEATURES) if c.agrees is False else c for c in comparisons]


def _of_whole_gradient(hidden: float) -> Comparison:
    """Return a comparison without a verdict, whose note says that noise hides a mistake of the size `hidden`.

    `hidden` is the size of a mistake in one element of the gradient, divided by the norm of the gradient.
    """
    size = f"of {hidden:.0%} of" if hidden < 1.0 else "as large as"
    note = f"too noisy: a mistake {size} the gradient's norm would not show; try exhaustive=True, float64"
    return Comparison("whole gradient", math.nan, Estimate(math.nan, math.inf), None, note, True)


def print_progress(progress: str) -> None:
    """Print a line about the progress of a search to stderr, if that is a terminal."""
    if sys.stderr.isatty():
        print(progress, file=sys.stderr, flush=True)
