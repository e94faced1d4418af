"""The check of functions of arrays: which directions and elements are compared, and how wrong ones are found."""

import functools
import math
import re
import sys
import types

import numpy as np
import pytest

from micrograd_cn.testing import GradientMismatch, PartlyCompared, gradcheck
from micrograd_cn.testing.arrays import array_check, directional_comparison, excuses
from micrograd_cn.testing.arrays import problem as problem_module
from micrograd_cn.testing.arrays.array_check import (
    SampledCheck,
    compare_problem,
    compare_singly,
    compare_within_budget,
)
from micrograd_cn.testing.arrays.directional_comparison import compare_along
from micrograd_cn.testing.arrays.directional_function import DirectionalFunction
from micrograd_cn.testing.arrays.directional_stages import TOO_FEW_CALLS
from micrograd_cn.testing.arrays.problem import Problem, unit_vector
from micrograd_cn.testing.arrays.sampling import array_groups, array_places, choose_elements, random_direction
from micrograd_cn.testing.arrays.search import mismatch_along, worst_element, wrong_output
from micrograd_cn.testing.numeric.call_budget import CallBudget
from micrograd_cn.testing.numeric.compare import Comparison
from micrograd_cn.testing.numeric.numerical import Estimate


def draw(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape)


def problem_of(f, x, vjp=None, **named):
    return Problem("check", f, x if isinstance(x, tuple) else (x,), {"vjp": vjp} if vjp else named, None, None)


def comparisons_of(f, x, vjp, seed=0):
    return compare_problem(problem_of(f, x, vjp), seed)


def titles(comparisons):
    return [comparison.title for comparison in comparisons]


# Few.


def test_up_to_sixteen_derivatives_are_compared_singly():
    singles = comparisons_of(lambda x: x[:4], np.ones(4), lambda x, g: g)
    assert titles(singles) == [f"df[{j}]/dx0[{i}]" for j in range(4) for i in range(4)]
    assert all(comparison.agrees for comparison in singles)
    assert len(comparisons_of(lambda x: 1.0 * x, np.ones(2), lambda x, g: g)) == 4
    assert titles(comparisons_of(lambda x: x.sum(), np.ones(17), lambda x, g: g * np.ones(17)))[0] == "direction 1"
    assert titles(comparisons_of(lambda x: 1.0 * x, np.ones(5), lambda x, g: g))[0] == "direction 1"


def test_no_derivative_is_compared_singly_as_0():
    problem = problem_of(lambda x, w: x * w, (2.0, 3.0), lambda x, w, g: (None, g * x))
    comparisons = compare_singly(problem)
    assert titles(comparisons) == ["df/dx0", "df/dx1"]
    assert [comparison.agrees for comparison in comparisons] == [False, True]
    assert [comparison.argument for comparison in comparisons] == ["x0", "x1"]


class Shares(CallBudget):
    """A budget that records the shares that it gives."""

    def __init__(self, left):
        super().__init__(left)
        self.shares = []

    def run(self, share, compare, firm=False):
        assert not firm
        self.shares.append(share)
        return super().run(share, compare)


def test_every_comparison_has_its_share_of_the_calls_and_what_that_did_not_tell_has_the_rest_once_more():
    budget = Shares(91.5)

    def comparison(note):
        def compare():
            for _ in range(4):
                budget.calls += 1
            return Comparison("it", 0.0, Estimate(0.0, 0.0), None if note else True, note), None

        return compare

    problem = types.SimpleNamespace(budget=budget, half_precision=False)
    notes = [
        comparison.note
        for comparison, _ in compare_within_budget(
            problem, [comparison(TOO_FEW_CALLS), comparison(""), comparison(TOO_FEW_CALLS)], reserved=6
        )
    ]
    assert notes == [TOO_FEW_CALLS, "", TOO_FEW_CALLS]
    assert budget.shares == [30.5 / 3, 26.5 / 2, 22.5, 18.5 / 2, 14.5], "of the 61 for the six others nothing"


def test_sixteen_calls_are_kept_for_each_later_comparison_and_a_comparison_may_run_only_once():
    budget = Shares(400)
    unknown = Comparison("it", 0.0, Estimate(0.0, 0.0), None, TOO_FEW_CALLS), None
    problem = types.SimpleNamespace(budget=budget, half_precision=False)
    assert compare_within_budget(problem, [lambda: unknown] * 2, reserved=10, once=True) == [unknown] * 2
    assert budget.shares == [120.0, 240.0]
    compare_within_budget(problem, [lambda: unknown], reserved=10)
    assert budget.shares[2:] == [240.0, 240.0]


def test_what_the_rest_of_the_calls_tells_takes_the_place_of_what_a_share_did_not():
    problem = types.SimpleNamespace(budget=CallBudget(90), half_precision=False)

    def job(*found):
        comparisons = iter([(Comparison("it", 0.0, Estimate(0.0, 0.0), agrees, note), None) for agrees, note in found])
        return lambda: next(comparisons)

    hidden = "too noisy to tell: values are rounded by 1"
    jobs = [job((None, TOO_FEW_CALLS), (True, "told")), job((None, TOO_FEW_CALLS), (None, hidden)), job((None, hidden))]
    assert [comparison.note for comparison, _ in compare_within_budget(problem, jobs)] == [
        "told",
        TOO_FEW_CALLS,
        hidden,
    ]
    jobs = [job((False, "1")), job((True, "2")), job((False, "3")), job((False, "4"))]
    assert [comparison.note for comparison, _ in compare_within_budget(problem, jobs, max_wrong=2)] == ["1", "2", "3"]
    assert compare_within_budget(problem, [], reserved=8) == []
    jobs = [job((None, TOO_FEW_CALLS), (True, "told")), job((True, ""))]
    assert [comparison.note for comparison, _ in compare_within_budget(problem, jobs, max_wrong=3)] == ["told", ""], (
        "where none is wrong"
    )


@pytest.mark.parametrize(("kind", "limited"), [("float64", True), ("float32", True), ("float16", False)])
def test_eight_of_the_calls_are_kept_for_the_end_and_in_few_bits_there_is_no_end_of_them(monkeypatch, kind, limited):
    found = []
    monkeypatch.setattr(
        array_check, "compare_singly", lambda problem: found.append((problem.budget.left, problem.budget.calls)) or []
    )
    comparisons_of(lambda x: 2.0 * x, np.ones(2, kind), lambda x, g: 2.0 * g)
    [(left, calls)] = found
    assert left == 300 - calls - 8 if limited else left > 1e6


def test_at_the_end_it_is_asked_whether_f_has_kept_what_it_was_called_with():
    last = {}

    def f(x):
        last["x"] = x.copy()
        return x * x

    with pytest.raises(GradientMismatch, match="changes after calls of f elsewhere"):
        comparisons_of(f, draw(4), lambda x, g: 2.0 * g * last["x"])


def test_of_each_output_alone_it_is_known_what_is_typical(monkeypatch):
    found = []

    def compare(problem, title, u, v, typical, gradient_norm):
        found.append(typical)
        return compare_along(problem, title, u, v, typical)

    monkeypatch.setattr(array_check, "compare_along", compare)
    compare_singly(
        problem_of(lambda x: np.array([3.0, 5.0]) * x, np.array([1.0, 8.0]), lambda x, g: np.array([3.0, 5.0]) * g)
    )
    assert found == pytest.approx([12.0 / math.sqrt(2.0)] * 2 + [40.0 / math.sqrt(2.0)] * 2)


def test_a_row_stands_for_outputs_that_are_not_finite():
    x = np.array([1.0, np.nan, np.nan])
    comparison = comparisons_of(lambda x: 2.0 * x, x, lambda x, g: 2.0 * g)[-1]
    assert (comparison.title, comparison.agrees, comparison.note) == (
        "df[1]",
        None,
        "not finite at the point: 2 of 3 outputs",
    )


OVERFLOWING = np.array([-3.0, -7.0, -1.0, 0.0, -2.77, 0.5, 800.0])  # exp(800) is infinite


@np.errstate(over="ignore")
def exp(x):
    return np.exp(x)


@np.errstate(invalid="ignore")
def exp_vjp(x, u):
    return u * exp(x)  # for the infinite output, 0 * inf is nan


@pytest.mark.parametrize("x", [OVERFLOWING, OVERFLOWING[-3:]], ids=["directions", "singly"])
def test_the_weight_of_an_infinite_output_makes_no_derivative_wrong(x):
    assert {one.agrees for one in comparisons_of(exp, x, exp_vjp)} == {True, None}


def skewness(x):
    """Return the skewness of each column, which is nan for a constant one."""
    centred = x - x.mean(0)
    return (centred**3).mean(0) / (centred**2).mean(0) ** 1.5


def skewness_vjp(x, g):
    centred = x - x.mean(0)
    second, third = (centred**2).mean(0), (centred**3).mean(0)
    found = g * 3.0 / len(x) * (centred**2 / second**1.5 - third * centred / second**2.5)
    return found - found.mean(0)


@pytest.mark.parametrize("seed", range(3))
def test_a_column_of_equal_numbers_whose_output_is_nan_makes_no_derivative_wrong(seed):
    x = np.random.default_rng(seed).normal(size=(4, 3))
    x[:, 0] = 0.25
    with np.errstate(all="ignore"):
        with pytest.warns(PartlyCompared):
            gradcheck(skewness, x, vjp=skewness_vjp)
        with pytest.raises(GradientMismatch):
            gradcheck(skewness, x, vjp=lambda x, g: 1.01 * skewness_vjp(x, g))


@pytest.mark.parametrize("x", [OVERFLOWING, OVERFLOWING[-3:]], ids=["directions", "singly"])
def test_beside_an_infinite_output_mistakes_are_found(x):
    def nowhere(x, u):
        return np.where(x == 0.5, np.nan, exp_vjp(x, u))

    for wrong in (nowhere, lambda x, u: 1.01 * exp_vjp(x, u)):
        assert False in {one.agrees for one in comparisons_of(exp, x, wrong)}


# Many.


def several(*sizes, factor=lambda i: 1.0):
    """Return a problem that sums arrays of these sizes; it is given `factor(i)` times the gradient for the i-th."""
    return problem_of(
        lambda *xs: sum(x.sum() for x in xs),
        tuple(np.ones(size) for size in sizes),
        lambda *args: tuple([factor(i) * args[-1] * np.ones_like(x) for i, x in enumerate(args[:-1])]),
    )


@pytest.mark.parametrize(
    ("sizes", "turns"),
    [
        ((40,), [(4, 8, 1), (0, 8, math.inf), (8, 0, 3)]),
        ((40, 9, 3), [(2, 11, 1), (3, 8, math.inf), (8, 0, 3)]),
        ((2,) * 14, [(2, 20, 1), (12, 8, math.inf), (8, 0, 3)]),
    ],
)
def test_directions_arrays_and_elements_share_the_calls(monkeypatch, sizes, turns):
    found = []

    def noted(problem, jobs, reserved=0, max_wrong=math.inf, once=False, known_wrong=False):
        found.append((len(jobs), reserved, max_wrong))
        return compare_within_budget(problem, jobs, reserved, max_wrong, once, known_wrong)

    monkeypatch.setattr(array_check, "compare_within_budget", noted)
    comparisons = SampledCheck(several(*sizes), 0).compare()
    assert found == turns
    assert all(comparison.agrees for comparison in comparisons)
    assert {
        comparison.argument
        for comparison in comparisons
        if comparison.title.startswith("direction ") and " of " not in comparison.title
    } == {"x0" if len(sizes) == 1 else ""}


def test_of_more_than_twelve_arrays_those_of_like_gradients_share_a_direction():
    scale = np.array([9.0, 1.0, 8.0, 2.0, 7.0, 3.0, 6.0, 4.0, 5.0, 10.0, 11.0, 12.0, 13.0])

    def names(count, g):
        return [name for name, _ in array_groups(several(*[1] * count), g)]

    assert names(12, scale[:12]) == [f"x{i}" for i in range(12)]
    assert names(12, None) == [f"x{i}" for i in range(12)]
    assert names(13, scale) == [
        "x1 and 1 others",
        "x5",
        "x7",
        "x8",
        "x6",
        "x4",
        "x2",
        "x0",
        *(f"x{i}" for i in range(9, 13)),
    ]
    assert names(13, None)[:2] == ["x0 and 1 others", "x2"]
    large = problem_of(lambda *xs: sum(xs), (1024.0, *[1.0] * 12), lambda *args: args[-1:] * 13)
    groups = array_groups(large, np.ones(13))
    assert groups[-1][0] == "x0", "the steepest by its own steps"
    assert groups[0][1].tolist() == [0.0, 1.0, 1.0] + [0.0] * 10
    threes = array_groups(several(*[2] * 26), np.repeat(np.arange(26.0, 0.0, -1.0), 2))
    assert threes[0][0] == "x23 and 2 others"
    assert threes[0][1].tolist() == [0.0] * 46 + [1.0] * 6


def test_the_size_of_the_whole_gradient_is_known_to_those_of_its_parts(monkeypatch):
    found = []

    def compare(problem, title, u, v, typical, x=None, gradient_norm=0.0, known_wrong=False):
        found.append((title.split("[")[0], gradient_norm))
        return compare_along(problem, title, u, v, typical, x, gradient_norm, known_wrong)

    monkeypatch.setattr(array_check, "compare_along", compare)
    x = (4.0 * np.ones(9), np.ones(16))
    SampledCheck(
        problem_of(lambda x, y: 2.0 * x.sum() + y.sum(), x, lambda x, y, g: (2.0 * g + 0.0 * x, g + 0.0 * y)), 0
    ).compare()
    length = math.sqrt(9 * 8.0**2 + 16)
    assert dict(found) == {
        "direction 1": 0.0,
        "direction 2": 0.0,
        **dict.fromkeys(["direction of x0", "direction of x1", "df/dx0", "df/dx1"], length),
    }
    found.clear()
    comparisons = SampledCheck(
        problem_of(lambda x, y: x + y, (np.ones(9),) * 2, jvp=lambda x, y, t: t[0] + t[1]), 0
    ).compare()
    assert all(comparison.agrees for comparison in comparisons)
    assert {whole for _, whole in found} == {0.0}


def test_the_worst_elements_of_three_wrong_arrays_are_looked_for(monkeypatch, capsys):
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    sampled = SampledCheck(several(*[9] * 5, factor=lambda i: -2.0), 0)
    places = []

    def noted(problem, random, g, among, count):
        places.append(among.tolist())
        return choose_elements(problem, random, g, among, count)

    monkeypatch.setattr(array_check, "choose_elements", noted)
    comparisons = sampled.compare()
    assert places == [[True] * 27 + [False] * 18]
    assert capsys.readouterr().err.splitlines() == [
        f"check: wrong; looking for the worst elements, {k} of 3" for k in (1, 2, 3)
    ]
    wrong = [
        comparison.argument
        for comparison in comparisons
        if comparison.title.startswith("df/") and comparison.agrees is False
    ]
    assert wrong == ["x0", "x1", "x2"]


def test_the_steepest_element_is_one_of_what_is_wrong_by_its_own_steps():
    x = np.ones(60)
    x[[11, 42]] = 4096.0, 1024.0
    problem = problem_of(lambda x, y: x.sum() + y.sum(), (x[:30], x[30:]), lambda x, y, g: (g, g))
    random = np.random.default_rng(0)
    g = np.where(np.arange(60) == 50, -3.0, 1.0)
    assert choose_elements(problem, random, g, np.ones(60, bool))[0] == 11
    among = np.arange(60) >= 30
    elements = choose_elements(problem, random, g, among)
    assert elements[0] == 42
    assert len(elements) == 8
    assert min(elements) >= 30
    g[42], among[50:] = np.nan, False
    assert choose_elements(problem, random, -g, among)[0] == 42
    assert choose_elements(problem, random, np.where(np.arange(60) == 33, -99.0, g), among)[:2] == [42, 33]
    both = choose_elements(problem, random, None, np.ones(60, bool))
    assert {i < 30 for i in both} == {True, False}
    assert sorted(choose_elements(several(30, 3, 9), random, None, np.arange(42) == 31)) == [30, 31, 32]


def test_elements_that_noise_hides_are_left_to_the_direction_of_their_array():
    sampled = SampledCheck(several(40), 0)
    compare, titles_of = sampled._compare_element, []

    def hidden(i, *rest):
        comparison, phi = compare(i, *rest)
        titles_of.append(comparison.title)
        noisy = len(titles_of) % 2 == 0
        return Comparison(
            comparison.title, comparison.analytic, comparison.numeric, None if noisy else True, noisy=noisy
        ), phi

    sampled._compare_element = hidden
    assert titles(sampled.compare())[4:] == titles_of[::2]


def test_where_no_single_output_is_wrong_it_is_told_of_all(monkeypatch):
    def compare(title, phi, typical_slope):
        return Comparison(title, phi.analytic, Estimate(phi.analytic, 0.0), True)

    monkeypatch.setattr(array_check, "compare_within_limit", compare)  # which compares single outputs
    monkeypatch.setattr(array_check, "_of_single_output", lambda comparison, phi, of_one: None)
    wrong = [
        comparison
        for comparison in comparisons_of(np.sin, draw(30), lambda x, g: 1.5 * g * np.cos(x))
        if comparison.agrees is False
    ]
    assert len([comparison for comparison in wrong if comparison.title.startswith("d(w*f)/dx0[")]) == 3
    assert {comparison.argument for comparison in wrong} == {"x0"}


def test_a_matrix_that_is_transposed_is_told_from_other_mistakes():
    x, w = draw(5, 5, seed=1), draw(5, 5)

    def causes(vjp):
        comparisons = comparisons_of(lambda x: (w * x).sum(), x, vjp)
        return {
            comparison.cause
            for comparison in comparisons
            if comparison.agrees is False and comparison.title.startswith("df")
        }

    def causes_of_many(vjp):
        comparisons = comparisons_of(lambda x: w * x, x, vjp)
        return {
            comparison.cause
            for comparison in comparisons
            if comparison.agrees is False and comparison.title.startswith(("df", "d(w"))
        }

    assert causes(lambda x, g: 1.5 * g * w) == {""}
    assert causes_of_many(lambda x, g: 1.5 * g * w) == {""}
    assert causes_of_many(lambda x, g: (g * w).T) == {"a transposed matrix"}
    nearly = w * (1.0 + 5e-4 * np.eye(5))
    assert causes_of_many(lambda x, g: g * nearly) == {""}, "on the diagonal not"


def test_four_directions_and_eight_elements_are_compared():
    x = draw(100)
    comparisons = comparisons_of(lambda x: np.sin(x).sum(), x, lambda x, g: g * np.cos(x))
    assert all(comparison.agrees for comparison in comparisons)
    assert titles(comparisons)[:4] == [f"direction {k}" for k in (1, 2, 3, 4)]
    assert len(set(titles(comparisons)[4:])) == 8
    steepest = int(np.argmax(np.abs(np.cos(x)) * problem_of(np.sin, x, lambda x, g: g).scale))
    assert titles(comparisons)[4] == f"df/dx0[{steepest}]"
    several = comparisons_of(np.sin, x, lambda x, g: g * np.cos(x))
    assert all(title.startswith("d(w*f)/dx0[") for title in titles(several)[4:])
    assert len(several) == 12


def test_elements_of_every_array_are_compared():
    x = (draw(100), np.zeros(0), draw(3), 1.0)
    problem = problem_of(
        lambda x, e, w, b: x.sum() + w.sum() + b, x, lambda *args: [np.ones_like(v) for v in args[:-1]]
    )
    comparisons = titles(SampledCheck(problem, 0).compare())
    assert comparisons[:5] == ["direction 1", "direction 2", *(f"direction of x{i}" for i in (0, 2, 3))]
    assert {title.split("[")[0] for title in comparisons[5:]} == {"df/dx0", "df/dx2", "df/dx3"}
    assert [path for path, _ in array_places(several(300, 0))] == ["x0"]


def test_no_more_elements_are_looked_for_than_there_are():
    comparisons = comparisons_of(lambda x: np.outer(x, x), np.ones(5), lambda x, g: (g + g.T) @ x)
    assert sorted(set(titles(comparisons)[4:])) == [f"d(w*f)/dx0[{i}]" for i in range(5)]


def test_elements_that_are_not_finite_come_first_and_two_of_them_are_enough():
    def vjp(x, g):
        return g * np.where(np.isin(np.arange(100), (20, 40, 60)), np.nan, np.where(np.arange(100) == 70, 9.0, 1.0))

    problem, random = problem_of(lambda x: x.sum(), np.ones(100), vjp), np.random.default_rng(0)
    g = vjp(np.ones(100), 1.0)
    everywhere = np.ones(100, bool)
    elements = choose_elements(problem, random, g, everywhere)
    assert elements[:3] == [20, 40, 70]
    assert len(elements) == 8
    assert choose_elements(problem, random, None, everywhere) != elements
    assert len(choose_elements(problem, random, None, everywhere)) == 8


def test_where_an_array_is_wrong_its_elements_are_looked_at_and_no_others():
    def vjp(x, y, g):
        return 1.1 * g * np.cos(x) * np.exp(y), g * np.sin(x) * np.exp(y)

    x, y = draw(30), draw(30)
    problem = Problem("it", lambda x, y: np.sin(x) * np.exp(y), (x, y), {"vjp": vjp}, None, None)
    comparisons = SampledCheck(problem, 0).compare()
    assert {comparison.argument for comparison in comparisons if comparison.agrees is False} == {"", "x0"}
    assert not any("dx1[" in comparison.title for comparison in comparisons)
    assert any(comparison.agrees and comparison.argument == "x1" for comparison in comparisons), (
        "of it there is its direction"
    )


def test_where_the_gradient_is_0_or_not_finite_a_direction_goes_up_or_down_at_random():
    g = np.repeat([0.0, math.nan, math.inf, -math.inf, -1.0, 1.0], 50)
    problem = problem_of(np.sum, np.ones(300), lambda x, u: u * g)
    up = (random_direction(problem, np.random.default_rng(0), g, 1.0) > 0.0).reshape(6, 50).mean(1)
    assert ((up[:4] > 0.3) & (up[:4] < 0.7)).all()
    assert up[4:].tolist() == [0.0, 1.0]


@pytest.mark.parametrize(("uphill", "up"), [(0.0, 0.5), (0.5, 0.75), (0.75, 0.875), (1.0, 1.0)])
def test_of_the_steps_that_are_drawn_a_part_is_up_and_half_of_the_others(uphill, up):
    problem = problem_of(np.sum, np.ones(4000), lambda x, u: u * np.ones(4000))
    v = random_direction(problem, np.random.default_rng(0), np.ones(4000), uphill)
    assert np.mean(v > 0.0) == pytest.approx(up, abs=0.02)
    assert len(np.unique(np.abs(v))) > 200


def test_the_first_direction_goes_uphill_in_every_element(monkeypatch):
    g = draw(200)
    g[:2] = np.nan, 0.0
    problem = problem_of(lambda x: x.sum(), 4.0 * np.ones(200), lambda x, u: u * np.ones(200))
    random = np.random.default_rng(0)
    for part, low, high in ((1.0, 1.0, 1.0), (0.75, 0.8, 0.95), (0.5, 0.65, 0.85), (0.0, 0.4, 0.6)):
        v = random_direction(problem, random, g, part)
        assert ((np.abs(v) >= 2.0) & (np.abs(v) <= 4.0)).all(), "from half of the numbers' size to all of it"
        assert np.ptp(np.abs(v)) > 1.0
        assert low <= np.mean(np.sign(v[2:]) == np.sign(g[2:])) <= high
    v = random_direction(problem, random, None, 0.0)
    assert 0.4 <= np.mean(v > 0.0) <= 0.6
    parts = []
    monkeypatch.setattr(
        array_check, "random_direction", lambda problem, random, g, uphill: parts.append(uphill) or np.ones(200)
    )
    for comparison in SampledCheck(problem, random).compare()[:4]:
        assert comparison.agrees
    assert parts == [1.0, 0.0, 0.0, 0.0]


def test_outputs_are_weighted_by_their_size():
    def vjp(x, upstream):
        seen.append(np.concatenate(upstream))
        return 1000.0 * upstream[0] + 1e-9 * upstream[2] + np.append(0.01 * upstream[1], np.zeros(38))

    seen = []
    problem = problem_of(lambda x: [1000.0 * x, 0.01 * x[:2], 1e-9 * x, 0.0 * x], np.ones(40), vjp)
    SampledCheck(problem, 0).compare()
    found = [u for u in seen if u.all()]
    for u in found:
        for part, size in ((u[:40], 256.0), (u[40:42], 2.0**-7), (u[42:82], 2.0**-8), (u[82:], 1.0)):
            assert set(np.abs(part) * size) <= {0.5, 0.75, 1.0}
    assert {*np.ravel([u[:40] for u in found]) * 256.0} == {-1.0, -0.75, -0.5, 0.5, 0.75, 1.0}
    seen.clear()
    of_sum = problem_of(np.sum, np.ones(30), lambda x, g: (seen.append([g]), g + 0.0 * x)[1])
    SampledCheck(of_sum, 0).compare()
    assert {*np.ravel(seen)} == {1.0}


# Kinks and noise.


def test_where_kinks_hide_a_direction_it_is_compared_next_to_the_point():
    x = np.where(np.arange(50) % 2 == 0, 0.0, 1.0)
    comparisons = comparisons_of(
        lambda x: np.maximum(x, 0.0).sum(), x, lambda x, g: g * np.where(x == 0.0, 7.0, x > 0.0)
    )
    beside = [comparison for comparison in comparisons if comparison.title.startswith("direction")]
    assert beside[0].title == "direction 1, next to the point"
    assert len(beside) == 4
    assert all(comparison.agrees for comparison in beside)
    assert any(comparison.agrees is False for comparison in comparisons[4:]), "at the point itself"


def test_next_to_the_point_is_a_sixteenth_of_the_numbers_size_away_or_half_of_that(monkeypatch):
    found = []

    def compare(problem, title, u, v, typical, x=None, gradient_norm=0.0):
        found.append(x)
        return compare_along(problem, title, u, v, typical, x)

    monkeypatch.setattr(array_check, "compare_along", compare)
    problem = problem_of(
        lambda x: np.abs(x).sum(), 0.0 * np.ones(40), lambda x, g: g * np.where(x == 0.0, 9.0, np.sign(x))
    )
    SampledCheck(problem, 0)._compare_along("direction 1", 1.0)
    assert found[0] is None
    away = np.abs(found[1]) * 16.0
    assert ((away >= 0.5) & (away <= 1.0)).all()
    assert 0.4 <= np.mean(found[1] > 0.0) <= 0.6


def test_a_direction_that_agrees_at_the_kinks_is_compared_next_to_the_point_too():
    x = np.where(np.arange(50) % 2 == 0, 0.0, 1.0)

    def relu(x):
        return np.maximum(x, 0.0).sum()

    comparisons = comparisons_of(relu, x, lambda x, g: g * np.where(x == 0.0, 0.3, x > 0.0))
    assert titles(comparisons)[:4] == [f"direction {k}, next to the point" for k in (1, 2, 3, 4)]
    assert all(comparison.agrees for comparison in comparisons)
    hidden = comparisons_of(relu, x, lambda x, g: g * np.where(x == 1.0, 1.3, x > 0.0))
    assert titles(comparison for comparison in hidden if comparison.agrees is False)


def test_a_direction_that_is_wrong_where_there_is_no_kink_stays_at_the_point():
    wrong = comparisons_of(lambda x: x.sum(), np.ones(50), lambda x, g: 2.0 * g * np.ones(50))
    assert [title for title in titles(wrong) if title.startswith("direction")] == ["direction 1"], "that is enough"


@pytest.mark.parametrize("tries", [1, 2, 3])
def test_next_to_the_point_is_farther_away_where_it_could_not_be_told(tries, monkeypatch):
    """If nothing can be told there, the result at the point stands, if that agreed."""
    found = []

    def compare(problem, title, u, v, typical, x=None, gradient_norm=0.0):
        comparison, phi = compare_along(problem, title, u, v, typical, x)
        if x is not None:
            found.append(np.abs(x).max())
            comparison = comparison if len(found) == tries else comparison._replace(agrees=None)
        return comparison, phi

    monkeypatch.setattr(array_check, "compare_along", compare)
    problem = problem_of(
        lambda x: np.maximum(x, 0.0).sum(), np.zeros(40), lambda x, g: g * np.where(x == 0.0, 0.3, x > 0.0)
    )
    comparison, _ = SampledCheck(problem, 0)._compare_along("direction 1", 1.0)
    assert comparison.agrees
    assert comparison.title == "direction 1, next to the point"
    assert [round(16.0 * most) for most in found] == [1, 2, 4][:tries]
    found.clear()
    tries = 9
    comparison, _ = SampledCheck(problem, 0)._compare_along("direction 1", 1.0)
    assert (comparison.title, comparison.agrees, comparison.note[:4]) == ("direction 1", True, "kink")


def test_what_is_typical_of_a_direction_are_the_finite_parts_of_its_elements(monkeypatch):
    g = np.where(np.arange(40) < 3, np.inf, draw(40))
    found = []

    def compare(problem, title, u, v, typical, x=None, gradient_norm=0.0):
        found.append((typical, v))
        return compare_along(problem, title, u, v, typical, x)

    monkeypatch.setattr(array_check, "compare_along", compare)
    SampledCheck(problem_of(lambda x: x.sum(), np.ones(40), lambda x, u: u * g), 0)._compare_along("direction 1", 0.5)
    [(typical, v)] = found
    assert typical == pytest.approx(np.linalg.norm(g[3:] * v[3:]))
    found.clear()
    SampledCheck(problem_of(np.sin, np.ones(40), jvp=lambda x, t: t * np.cos(x)), 0)._compare_along("direction 1", 0.5)
    assert found[0][0] == 0.0


def test_what_noise_hides_is_left_to_others_if_half_of_the_directions_tell():
    def f(x):
        return x.sum() + 1e12 * (x[0] != 1.0) * (np.sin(1e9 * x[0]))

    def vjp(x, g):
        return g * np.ones_like(x)

    sampled = SampledCheck(problem_of(f, np.ones(40), vjp), 0)
    assert all(comparison.agrees is None for comparison in sampled.compare()[:4])


def stub(sampled, verdicts):
    """Let the directions have the verdicts: True, False, None, or "noisy"."""
    along = sampled._compare_along
    left = iter(verdicts)

    def stubbed(title, part):
        comparison, phi = along(title, part)
        verdict = next(left)
        noisy = verdict == "noisy"
        comparison = type(comparison)(
            comparison.title, comparison.analytic, comparison.numeric, None if noisy else verdict, noisy=noisy
        )
        return comparison, phi

    sampled._compare_along = stubbed


@pytest.mark.parametrize(
    ("verdicts", "directions"),
    [
        ([True, True, *["noisy"] * 6], [1, 2]),
        ([True, True, True, *["noisy"] * 3], [1, 2, 3]),
        ([True, *["noisy"] * 9], [1]),
        (["noisy"] * 12, [1, 2, 3, 4]),
        ([None, "noisy", True, True, True, True], [1, 2, 3, 4]),
        ([None, None, None, None, None, True, True, True], [1, 2, 3, 4]),
    ],
)
def test_noisy_directions_are_left_out_if_one_of_four_tells(verdicts, directions):
    sampled = SampledCheck(problem_of(lambda x: x.sum(), np.ones(40), lambda x, g: g * np.ones(40)), 0)
    stub(sampled, verdicts)
    found = [title for title in titles(sampled.compare()) if title.startswith("direction")]
    assert found == [f"direction {k}" for k in directions]


@pytest.mark.parametrize(("known", "directions"), [(1, 4), (2, 2)])
def test_in_half_precision_two_of_four_must_tell(known, directions):
    x = np.ones(40, np.float16)
    sampled = SampledCheck(problem_of(lambda x: x.sum(), x, lambda x, g: g * np.ones(40, np.float16)), 0)
    stub(sampled, [*[True] * known, *["noisy"] * 12])
    found = [title for title in titles(sampled.compare()) if title.startswith("direction")]
    assert len(found) == directions


def test_a_direction_that_tells_nothing_is_drawn_again_twice_and_steeper():
    sampled = SampledCheck(problem_of(lambda x: x.sum(), np.ones(40), lambda x, g: g * np.ones(40)), 0)
    stub(sampled, [None] * 12)
    along, parts = sampled._compare_along, []
    sampled._compare_along = lambda title, part: parts.append((title, part)) or along(title, part)
    sampled.compare()
    assert parts == [(f"direction {k + 1}", part) for k in range(4) for part in (float(k == 0), 0.5, 1.0)]


@pytest.mark.parametrize(("size", "tries"), [(1000, (0.0, 0.5, 1.0)), (1001, (0.5, 0.75, 1.0))])
def test_of_more_than_a_thousand_numbers_more_go_uphill(size, tries):
    sampled = SampledCheck(problem_of(lambda x: x.sum(), np.ones(size), lambda x, g: g * np.ones(size)), 0)
    stub(sampled, [None] * 9)
    along, parts = sampled._compare_along, []
    sampled._compare_along = lambda title, part: parts.append(part) or along(title, part)
    (
        sampled._compare_informative_direction(0),
        sampled._compare_informative_direction(1),
        sampled._compare_informative_direction(2),
    )
    assert parts == [1.0, *tries[1:], 0.0, *tries[1:], *tries]


@pytest.mark.parametrize("seed", [0, *[pytest.param(seed, marks=pytest.mark.thorough) for seed in (1, 2)]])
def test_one_per_cent_in_one_of_many_numbers_is_found(seed):
    x, of_sin = np.random.default_rng(seed).normal(size=100_000), np.ones(100_000)
    of_sin[33_333] = 1.01
    gradcheck(lambda x: np.sin(x).sum(), x, gradient=np.cos)
    with pytest.raises(GradientMismatch, match=r"x\[33333\]"):
        gradcheck(lambda x: np.sin(x).sum(), x, gradient=lambda x: of_sin * np.cos(x))


@pytest.mark.parametrize("agrees", [False, True, None])
def test_of_an_array_that_the_rest_of_the_calls_tells_to_be_wrong_elements_are_compared(agrees):
    sampled, functions = SampledCheck(several(40), 0), []
    sampled._compare_elements = lambda wrong, *_: functions.extend(wrong) or []
    unknown, told = (
        Comparison("it", 1.0, Estimate(0.0, 0.0), *found) for found in ((None, TOO_FEW_CALLS), (agrees, ""))
    )
    other = unknown._replace(note=""), "other"  # the same object, since nan in it is equal to nothing
    of_arrays = [(unknown, "old"), other]
    sampled._compare_again([lambda: (told, "new"), None], of_arrays, None, None, 1.0)
    assert functions == (["new"] if agrees is False else [])
    assert of_arrays == [(told, "new"), other]


def test_a_direction_without_calls_is_not_drawn_again():
    sampled, drawn = SampledCheck(several(40), 0), []
    comparison = Comparison("it", 1.0, Estimate(math.nan, math.inf), None, TOO_FEW_CALLS, noisy=True)
    sampled._compare_along = lambda title, part: drawn.append(part) or (comparison, None)
    assert sampled._compare_informative_direction(1)[0].note == TOO_FEW_CALLS
    assert drawn == [0.0]
    sampled._compare_along = lambda title, part: (
        drawn.append(part) or (comparison._replace(note="too noisy to tell: values"), None)
    )
    sampled._compare_informative_direction(1)
    assert drawn == [0.0, 0.0, 0.5, 1.0]


def test_what_agrees_and_would_not_show_one_percent_is_too_noisy(monkeypatch):
    monkeypatch.setattr(array_check, "can_tell_one_percent", lambda problem, comparison: False)
    sampled, drawn = SampledCheck(several(9, 9), 0), []
    along = sampled._compare_along

    def noted(title, part, mask=None, u=None, gradient_norm=0.0):
        drawn.append((title, part, None if u is None else u.tolist(), gradient_norm))
        return along(title, part, mask, u, gradient_norm)

    sampled._compare_along = noted
    comparisons = sampled.compare()[:4]
    assert [comparison.argument for comparison in comparisons] == ["", "", "x0", "x1"]
    for comparison in comparisons:
        assert (comparison.agrees, comparison.note, comparison.noisy) == (
            None,
            "too noisy to show an error of 1 %",
            True,
        )
    whole = math.sqrt(18.0)
    of_arrays = [(f"direction of x{i}", part, [1.0], pytest.approx(whole)) for i in (0, 1) for part in (1.0, 0.5)]
    assert drawn[6:] == of_arrays


def test_a_direction_that_hides_one_percent_of_itself_tells_nothing():
    def f(x, amount):
        noise = np.random.default_rng(abs(int(1e4 * float(x.astype(float).sum())))).normal()
        return np.float16(x.astype(float).sum() + amount * noise)

    for amount, seed in ((0.01, 0), (0.01, 5), (0.03, 2)):
        problem = problem_of(
            functools.partial(f, amount=amount), np.float16(draw(40)), lambda x, g: 1.01 * g * np.ones(40)
        )
        assert not any(comparison.agrees for comparison in SampledCheck(problem, seed).compare()[:4])


# Where it is wrong.


def wrong_at(*elements, factor=2.0, n=60):
    return lambda x, g: g * np.where(np.isin(np.arange(n), elements), factor, 1.0)


@pytest.mark.parametrize("element", [0, 1, 29, 30, 58, 59])
@pytest.mark.parametrize("factor", [2.0, -1.0, 1.5])
def test_the_worst_element_of_a_direction_is_found_by_halving(element, factor):
    problem = problem_of(lambda x: x.sum(), np.ones(60), wrong_at(element, factor=factor))
    v = random_direction(problem, np.random.default_rng(0), None, 0.0)
    phi = DirectionalFunction(problem, np.ones(1), v, problem.x)
    assert worst_element(phi) == element
    assert mismatch_along(problem, phi.u, v) == pytest.approx(v[element] * (1.0 - factor))
    assert mismatch_along(problem, phi.u, np.where(np.arange(60) == element, 0.0, v)) == pytest.approx(0.0, abs=1e-9)
    assert f"df/dx0[{element}]" in titles(
        comparison for comparison in SampledCheck(problem, 0).compare() if comparison.agrees is False
    )


@pytest.mark.parametrize("element", [0, 1, 777, 50_000, 99_998, 99_999])
def test_a_wrong_element_of_many_is_found_at_the_centre_of_the_mismatch_in_few_calls(element):
    problem = problem_of(
        lambda x: np.sum(x * x), np.ones(100_000), lambda x, g: 2.0 * x * wrong_at(element, n=x.size)(x, g)
    )
    v = random_direction(problem, np.random.default_rng(0), None, 0.0)
    before = problem.budget.calls
    assert worst_element(DirectionalFunction(problem, np.ones(1), v, problem.x)) == element
    assert problem.budget.calls - before <= 24, "halving alone takes 38"


def test_of_many_elements_that_are_wrong_one_is_found_if_none_is_at_the_centre():
    problem = problem_of(
        lambda x: np.sum(x * x), np.ones(1000), lambda x, g: 2.0 * x * wrong_at(0, 1, 990, n=1000)(x, g)
    )
    assert worst_element(DirectionalFunction(problem, np.ones(1), np.ones(1000), problem.x)) in (0, 1, 990)
    cancelling = problem_of(lambda x: np.sum(x * x), np.ones(1000), lambda x, g: wrong_at(3, factor=3.0, n=1000)(x, g))
    v = np.where(np.arange(1000) == 3, -1.0, 1.0) * np.where(np.isin(np.arange(1000), (3, 40)), 1.0, 1e-6)
    assert worst_element(DirectionalFunction(cancelling, np.ones(1), v, cancelling.x)) in (3, 40)


def test_of_two_wrong_elements_the_worse_is_found():
    problem = problem_of(lambda x: x.sum(), np.ones(60), lambda x, g: g * np.where(np.arange(60) == 7, 9.0, 2.0))
    phi = DirectionalFunction(problem, np.ones(1), np.ones(60), problem.x)
    only = DirectionalFunction(problem, np.ones(1), np.where(np.arange(60) == 7, 0.0, 1.0), problem.x)
    assert worst_element(phi) in range(60)
    assert worst_element(only) != 7
    two = problem_of(lambda x: x.sum(), np.ones(60), lambda x, g: g * (1.0 + 8.0 * (np.arange(60) == 7)))
    assert worst_element(DirectionalFunction(two, np.ones(1), np.ones(60), two.x)) == 7


@pytest.mark.parametrize(("factor", "taken"), [(2.0, True), (1.001, False)])
def test_the_steepest_element_is_taken_without_a_search_if_it_is_as_wrong_as_they_are_on_average(factor, taken):
    x, factors = np.linspace(1.0, 2.0, 60), np.full(60, 2.0)
    x[7], factors[7] = 16.0, factor
    problem = problem_of(lambda x: np.sum(x * x), x, lambda x, g: factors * g * 2.0 * x)
    phi = DirectionalFunction(problem, np.ones(1), np.ones(60), problem.x)
    before = problem.budget.calls
    assert (worst_element(phi) == 7) is taken
    assert (problem.budget.calls - before == 4) is taken, "two along the line, and two along the element"


def test_a_mismatch_is_that_of_a_curve_too():
    problem = problem_of(lambda x: np.sum(x**4), 0.5 * np.ones(20), lambda x, g: g * 4.0 * x**3)
    for u, v in ((1.0, np.ones(20)), (-2.0, draw(20))):
        assert mismatch_along(problem, np.array([u]), v) == pytest.approx(0.0, abs=1e-7)
    near = problem_of(
        lambda x: np.sum(np.where(np.abs(x - 0.5) < 0.1, x, np.nan)), 0.5 * np.ones(20), lambda x, g: 0.0 * x
    )
    assert mismatch_along(near, np.ones(1), np.ones(20)) == pytest.approx(20.0), "in small steps"
    outside = problem_of(lambda x: np.sum(np.where(x > 0.49, x, np.nan)), 0.5 * np.ones(20), lambda x, g: g + 0.0 * x)
    assert mismatch_along(outside, np.ones(1), np.ones(20)) == 0.0


def test_a_steep_output_that_is_wrong_is_named_without_a_search():
    def right(x, g):
        return g * np.arange(1.0, 41.0) * x

    f, calls = (lambda x: 0.5 * np.arange(1.0, 41.0) * x * x), []
    problem = problem_of(f, np.ones(40), lambda x, g: (calls.append(x), 2.0 * right(x, g))[1])
    sums = problem_of(lambda x: np.arange(1.0, 41.0) * x.sum(), np.ones(40), lambda x, g: 0.0 * g)
    phi = DirectionalFunction(sums, np.ones(40), sums.element_direction(5), sums.x)
    assert np.argmax(wrong_output(phi)) == 39
    phi = DirectionalFunction(sums, -np.ones(40), sums.element_direction(5), sums.x)
    assert np.argmax(wrong_output(phi)) == 39, "a negative weight is one"
    phi = DirectionalFunction(problem, np.ones(40), problem.element_direction(5), problem.x)
    calls.clear()
    assert np.argmax(wrong_output(phi)) == 5
    assert len(calls) == 1
    flat = problem_of(lambda x: np.where(np.arange(40) == 0, np.nan, 0.0 * x), np.ones(40), lambda x, g: g)
    phi = DirectionalFunction(flat, np.where(np.arange(40) == 0, 0.0, 1.0), flat.element_direction(5), flat.x)
    assert np.argmax(wrong_output(phi)) == 5, "not one that is not finite"


@pytest.mark.parametrize("output", [0, 1, 20, 39])
def test_the_wrong_output_of_an_element_is_found_by_halving(output):
    def vjp(x, g):
        return g * 4.0 * x**3 + 0.3 * g[output] * (np.arange(40) == 5)

    problem = problem_of(lambda x: x**4, np.ones(40), vjp)
    sampled = SampledCheck(problem, 0)
    for u in (np.ones(40), sampled._next_cotangent()):
        assert (
            np.argmax(wrong_output(DirectionalFunction(problem, u, problem.element_direction(5), problem.x))) == output
        )
    near = problem_of(lambda x: np.where(np.abs(x - 1.0) < 0.1, x**4, np.nan), np.ones(40), vjp)
    found = wrong_output(DirectionalFunction(near, np.ones(40), near.element_direction(5), near.x))
    assert found.tolist() == unit_vector(40, output).tolist(), "in small steps"
    wrong = titles(comparison for comparison in sampled.compare() if comparison.agrees is False)
    assert f"df[{output}]/dx0[5]" in wrong


def test_what_no_calls_are_left_for_next_to_the_point_is_what_was_found_at_it():
    problem = problem_of(np.sin, draw(30), lambda x, g: g * np.cos(x))
    phi = DirectionalFunction(problem, np.ones(30), np.ones(30), problem.x)
    found = Comparison("it", 0.0, Estimate(0.0, 0.0), None, "kink"), phi
    beside = functools.partial(SampledCheck(problem, 0)._compare_nearby, found, "it", np.ones(30), np.ones(30), 1.0)
    assert problem.budget.run(0, beside, firm=True) is found
    assert problem.budget.run(40, beside, firm=True)[0].agrees


def test_next_to_the_point_is_three_times_farther_away_by_each_number_s_scale(monkeypatch):
    problem = problem_of(np.sin, np.array([1.0, 64.0, -1024.0] * 10), lambda x, g: g * np.cos(x))
    phi = DirectionalFunction(problem, np.ones(30), np.ones(30), problem.x)
    found, points = (Comparison("it", 0.0, Estimate(0.0, 0.0), None, "kink"), phi), []
    monkeypatch.setattr(array_check, "compare_along", lambda *args: points.append(args[-1]) or found)
    SampledCheck(problem, 0)._compare_nearby(found, "it", np.ones(30), np.ones(30), 1.0)
    assert len(points) == 3
    for x, away in zip(points, array_check.NEARBY_DISTANCES, strict=True):
        parts = np.abs(x - problem.x) / problem.scale / away
        assert ((parts >= 0.5) & (parts <= 1.0)).all()
        assert 0 < np.count_nonzero(x > problem.x) < 30


def _softplus(x):
    return np.logaddexp(x.dtype.type(0), x)


def _softplus_mean(x):
    return _softplus(x).mean()


def _x_sine(x):
    return (x * np.sin(x)).sum()


_slopes = {
    _softplus: lambda x, g: g / (1.0 + np.exp(-x)),
    _softplus_mean: lambda x, g: g / (1.0 + np.exp(-x)) / x.size,
    _x_sine: lambda x, g: g * (np.sin(x) + x * np.cos(x)),
}


def test_of_the_elements_beside_a_wrong_one_few_calls_tell_what_is_seen_at_a_glance(monkeypatch):
    """Of 24 elements one is steep. It takes many steps to show how wrong the others are, so few of them are tried."""
    x, counts = np.where(np.arange(24) == 5, 3.0, 0.01).astype(np.float32), []
    for further in (array_check.CALLS_AFTER_WRONG, 1000):
        monkeypatch.setattr(array_check, "CALLS_AFTER_WRONG", further)
        problem = problem_of(lambda x: (x * x).sum(), x, lambda x, g: g * 3.0 * x)
        wrong = [comparison.title for comparison in SampledCheck(problem, 0).compare() if comparison.agrees is False]
        assert "df/dx0[5]" in wrong
        counts.append(problem.budget.calls)
    assert counts[0] + 64 < counts[1]
    monkeypatch.setattr(array_check, "CALLS_AFTER_WRONG", 16)
    monkeypatch.setattr(array_check, "MAX_UNCLEAR_AFTER_WRONG", 4)
    problem = problem_of(lambda x: (x * x).sum(), x, lambda x, g: g * 3.0 * x)
    SampledCheck(problem, 0).compare()
    assert problem.budget.calls == counts[0] + 2 * 16


def test_of_very_many_numbers_in_half_precision_fewer_derivatives_are_compared(monkeypatch):
    x = np.random.default_rng(0).normal(size=100).astype(np.float16)
    right, wrong = [], []

    def calls(factor):
        made = []

        def f(x):
            made.append(x)
            return np.tanh(x)

        def vjp(x, g):
            return np.float16(factor) * g * (1 - np.tanh(x) ** 2)

        if factor == 1.0:
            found = str(gradcheck(f, x, vjp=vjp))
        else:
            with pytest.raises(GradientMismatch) as raised:
                gradcheck(f, x, vjp=vjp)
            found = str(raised.value)
        return len(made), found

    for most in (2**18, 199):
        monkeypatch.setattr(problem_module, "MANY_IN_HALF_PRECISION", most)
        right.append(calls(1.0))
        wrong.append(calls(1.1))
    assert "12 derivatives agree" in right[0][1]
    assert "4 derivatives agree" in right[1][1]
    assert right[1][0] < 0.5 * right[0][0]
    assert wrong[1][0] < 0.5 * wrong[0][0]


@pytest.mark.parametrize("factor", [-1, 0, 0.5])
def test_curvature_along_a_direction_hides_no_mistake_in_half_precision(factor):
    """The mismatch of a gradient that is far off is curved where the function is, and this curvature is no noise."""
    for n in (300, 2000) if factor else (300,):
        x = np.random.default_rng(0).normal(size=n).astype(np.float16)

        def sum_of_squares(x):
            return np.float16((x * x).sum(dtype=np.float32))

        gradcheck(sum_of_squares, x, vjp=lambda x, u: 2 * u * x)
        with pytest.raises(GradientMismatch):
            gradcheck(sum_of_squares, x, vjp=lambda x, u: np.float16(factor) * 2 * u * x)


def test_where_the_type_has_too_few_numbers_equal_ones_are_no_sign_of_a_kink():
    for n, telling in ((20, True), (30_000, False)):
        x = np.random.default_rng(0).normal(size=n).astype(np.float16)
        x[1] = x[0]
        problem = problem_of(np.sort, x, lambda x, g: g[np.argsort(np.argsort(x))])
        assert problem.tied_elements[:2].all()
        assert problem.avoidable_ties.any() == telling


@pytest.mark.parametrize("f", [_softplus_mean, _x_sine])
def test_if_noise_hides_the_elements_of_a_wrong_direction_few_of_them_are_tried(f):
    """One per cent of the derivative shows in the mean of 20,000 numbers of float32, but not for a single one."""
    x = np.random.default_rng(0).normal(size=20_000).astype(np.float32)
    passes = []

    def vjp(x, g):
        passes.append(g)
        return (np.float32(1.01) * _slopes[f](x, g)).astype(np.float32)

    problem = problem_of(f, x, vjp)
    wrong = [comparison.title for comparison in SampledCheck(problem, 0).compare() if comparison.agrees is False]
    assert wrong == ["direction 1"]
    assert problem.budget.calls + len(passes) < 300


@pytest.mark.parametrize("kind", [np.float64, np.float32])
@pytest.mark.parametrize("factor", [2.0, -1.0, 0.5])
@pytest.mark.parametrize("f", [_softplus, _softplus_mean, _x_sine])
def test_once_a_direction_is_wrong_its_elements_need_no_excuses_of_their_own(f, factor, kind):
    x = np.random.default_rng(0).normal(size=20_000).astype(kind)
    passes = []

    def vjp(x, g):
        passes.append(g)
        return (factor * _slopes[f](x, g)).astype(kind)

    problem = problem_of(f, x, vjp)
    comparisons = SampledCheck(problem, 0).compare()
    wrong = [comparison for comparison in comparisons if comparison.agrees is False]
    assert any(comparison.title.startswith("df") for comparison in wrong), "one element at least is named"
    assert all(math.isclose(c.analytic, factor * c.numeric.slope, rel_tol=0.1) for c in wrong)
    assert problem.budget.calls + len(passes) < 250


@pytest.mark.parametrize(("n", "kind", "most"), [(12, np.float64, 27), (12, np.float32, 31), (3, np.float64, 31)])
@pytest.mark.parametrize(("f", "slope"), [(np.tanh, lambda x: 1.0 - np.tanh(x) ** 2), (np.exp, np.exp)])
def test_a_mistake_in_a_smooth_function_is_not_taken_for_treads_which_would_need_further_calls(f, slope, n, kind, most):
    x, made = np.random.default_rng(0).normal(size=n).astype(kind), []

    def counted(x):
        made.append(x)
        return f(x)

    with pytest.raises(GradientMismatch):
        gradcheck(counted, x, vjp=lambda x, g: 2.0 * g * slope(x))
    assert len(made) <= most


def test_three_wrong_elements_are_enough():
    comparisons = comparisons_of(lambda x: x.sum(), np.ones(60), lambda x, g: 2.0 * g * np.ones(60))
    wrong = [
        comparison
        for comparison in comparisons
        if comparison.agrees is False and not comparison.title.startswith("direction")
    ]
    assert len(wrong) == 3
    comparisons = comparisons_of(lambda x: x.sum(), np.ones(60), wrong_at(3, 4))
    assert {"df/dx0[3]", "df/dx0[4]"} & {comparison.title for comparison in comparisons if comparison.agrees is False}
    assert (
        sum(comparison.agrees is True and not comparison.title.startswith("direction") for comparison in comparisons)
        >= 6
    )


def test_a_derivative_along_directions_alone_is_compared_too():
    problem = problem_of(np.sin, draw(30), jvp=lambda x, t: t * np.cos(x))
    comparisons = SampledCheck(problem, 0).compare()
    assert all(comparison.agrees for comparison in comparisons)
    assert len(comparisons) == 12
    wrong = problem_of(np.sin, draw(30), jvp=lambda x, t: 1.1 * t * np.cos(x))
    assert any(comparison.agrees is False for comparison in SampledCheck(wrong, 0).compare())


def test_the_seed_decides_what_is_drawn():
    f, vjp = (lambda x: np.sin(x).sum()), (lambda x, g: g * np.cos(x))
    assert titles(comparisons_of(f, draw(100), vjp, 1)) == titles(comparisons_of(f, draw(100), vjp, 1))
    assert titles(comparisons_of(f, draw(100), vjp, 1)) != titles(comparisons_of(f, draw(100), vjp, 2))


def test_at_a_terminal_it_is_said_at_once_that_something_is_wrong(monkeypatch, capsys):
    x, calls = draw(100), []

    def f(x):
        calls.append(len(capsys.readouterr().err))
        return np.sin(x).sum()

    for terminal in (True, False):
        calls.clear()
        monkeypatch.setattr(sys.stderr, "isatty", lambda terminal=terminal: terminal, raising=False)
        assert any(comparison.agrees is False for comparison in comparisons_of(f, x, lambda x, g: 1.5 * g * np.cos(x)))
        assert any(calls[: len(calls) // 2]) is terminal, "before half of the calls are made"


@pytest.mark.parametrize("kind", ["float64", "float32"])
@pytest.mark.parametrize(("shape", "g_calls"), [((24,), 13), ((4,), 18)])
def test_what_is_right_and_smooth_takes_few_calls(kind, shape, g_calls):
    """Each comparison takes four calls of f, and all elements share one gradient. A clear mistake takes few more."""
    calls = {"f": 0, "vjp": 0}

    def f(x):
        calls["f"] += 1
        return np.sin(x)

    def vjp(x, g, factor=1.0):
        calls["vjp"] += 1
        return factor * g * np.cos(x)

    x = draw(*shape).astype(kind)
    assert all(comparison.agrees for comparison in comparisons_of(f, x, vjp))
    assert calls["f"] <= 4 * (12 if shape == (24,) else 16) + 4
    assert calls["vjp"] <= g_calls
    calls["f"] = calls["vjp"] = 0
    assert not all(comparison.agrees is not False for comparison in comparisons_of(f, x, lambda x, g: vjp(x, g, 1.5)))
    assert calls["f"] <= 300


def test_an_array_that_is_moved_alone_is_moved_as_far_as_with_the_others():
    problem = Problem(
        "it", lambda x, y: x.sum() + y.sum(), (draw(5), draw(30)), {"vjp": lambda x, y, g: (g, g)}, None, None
    )
    groups = dict(array_groups(problem, np.ones(35)))
    assert groups["x0"].tolist() == [1.0] * 5 + [0.0] * 30
    assert groups["x1"].tolist() == [0.0] * 5 + [1.0] * 30


def _softmax(x):
    e = np.exp(x - x.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True)


# In the last row of each point, two large inputs get the same weight and move alike, so the softmax does not change
SATURATED = [
    [[3600.0, 841.0, 431.0, 0.0], [81.3, 0.0, 350.0, 0.0], [251.0, -940.0, 474.0, 488.0]],
    [[308.0, 1420.0, -0.0, -37.8], [1400.0, -28.7, -0.0, 24.8], [63.2, 195.0, 200.0, 23.4]],
]


def _softmax_vjp(x, u):
    p = _softmax(x)
    return p * (u - (p * u).sum(-1, keepdims=True))


@pytest.mark.parametrize("point", SATURATED)
def test_last_bits_of_a_backward_pass_whose_parts_cancel_are_no_mistake(point, monkeypatch):
    assert gradcheck(_softmax, np.array(point), vjp=_softmax_vjp)
    kept = tuple(each for each in excuses.EXCUSES if each is not excuses.rounding_of_derivative)
    monkeypatch.setattr(excuses, "EXCUSES", kept)
    monkeypatch.setattr(directional_comparison, "_vanishes_beside", lambda *args: False)
    with pytest.raises(GradientMismatch):
        gradcheck(_softmax, np.array(point), vjp=_softmax_vjp)


@pytest.mark.parametrize("point", SATURATED)
@pytest.mark.parametrize("share", [1e-9, 1e-3, 1.0])
def test_a_derivative_of_a_flat_function_that_is_larger_than_last_bits_is_a_mistake(point, share):
    def vjp(x, u):
        p = _softmax(x)
        return p * (u - (1.0 - share) * (p * u).sum(-1, keepdims=True))

    with pytest.raises(GradientMismatch):
        gradcheck(_softmax, np.array(point), vjp=vjp)


@pytest.mark.parametrize(("kind", "calls", "backward"), [("d", 120, 20), ("f", 380, 100)])
def test_a_wrong_derivative_of_many_numbers_is_found_in_few_calls(kind, calls, backward):
    """In float32, it depends on numpy's version how often 37 calls of the derivative measure its noise."""
    counts = {"f": 0, "vjp": 0}

    def f(x):
        counts["f"] += 1
        return np.sin(x)

    def vjp(x, u):
        counts["vjp"] += 1
        return (1.03 * u * np.cos(x)).astype(kind)

    with pytest.raises(GradientMismatch):
        gradcheck(f, np.round(np.random.default_rng(0).normal(size=5000), 3).astype(kind), vjp=vjp)
    assert counts["f"] <= calls
    assert counts["vjp"] <= backward


def test_a_wrong_output_that_alone_changes_with_an_element_is_not_compared_again():
    calls = []

    def sin(x):
        calls.append(x)
        return np.sin(x)

    with pytest.raises(GradientMismatch) as found:  # of so many numbers, no results are cached
        gradcheck(sin, draw(2000), vjp=lambda x, g: 1.5 * g * np.cos(x))
    rows = [line.split() for line in str(found.value).splitlines() if line.startswith("WRONG")]
    assert len(rows) == 3
    assert {ratio for *_, ratio, _ in rows} == {"1.5"}
    assert all(re.fullmatch(r"df\[(\d+)\]/dx\[\1\]", title) for _, title, *_ in rows)
    assert len(calls) <= 45
