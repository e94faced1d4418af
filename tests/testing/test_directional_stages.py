"""The stages, revisions and excuses of a comparison along a direction: each of them decides some comparison."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import pytest

from micrograd_cn.testing.arrays import directional_comparison, directional_stages, excuses
from micrograd_cn.testing.arrays.directional_comparison import compare_along
from micrograd_cn.testing.arrays.directional_function import DirectionalFunction
from micrograd_cn.testing.arrays.problem import Problem

from .test_staircases import by_tanh, of_poles, poles

half = np.float16


@pytest.fixture(autouse=True)
def quiet():
    """Ignore numpy's warnings, as the check does at all points but the first."""
    with np.errstate(all="ignore"):
        yield


class Along(NamedTuple):
    """A function of an array with its derivative, both elementwise, a point, and a direction of 1s by default."""

    f: Callable[[Any], Any]
    df: Callable[[Any], Any]
    x: Any
    v: Any = None

    def problem(self) -> Problem:
        """Return the problem whether `df` is the derivative of `f`."""
        x = np.asarray(self.x)
        return Problem("check", self.f, (x,), {"vjp": lambda x, g: (g * self.df(x)).astype(x.dtype)}, None, None)

    def direction(self, problem: Problem) -> Any:
        """Return how far each element moves."""
        return np.ones(problem.x.size) if self.v is None else np.array(self.v, float)


def kinked(x):
    return np.maximum(x, 0)


def rounded_to_half(x):
    return x.astype(half).astype(x.dtype)


def noisy(x):
    return np.sin(x) + 1e-3 * np.sin(1e6 * x)


def oscillating(x):
    return np.sin(40 * x.astype(float))


def its_slope(x):
    return 40 * np.cos(40 * x.astype(float))


ENDS = np.array([0.02, 8.0])
STAGES = {  # for each stage, what it decides and how
    ("leaves_domain", None): Along(
        lambda x: np.sqrt(ENDS - x), lambda x: -0.5 / np.sqrt(ENDS - x), [0.01, 4.0], [4.0, 4.0]
    ),
    ("nothing_changes", True): Along(lambda x: 0 * x, lambda x: 0 * x, [1.0]),
    ("nothing_changes", None): Along(kinked, lambda x: 0 * x, [-2.5]),
    ("rounding_hides_all", None): Along(lambda x: x + 2.0**41, lambda x: 1.0, [1.0]),
    ("agrees_at_first_look", True): Along(np.sin, np.cos, [1.0]),
    ("is_step", True): Along(np.floor, lambda x: 0 * x, [0.95]),
    ("first_look_decides", False): Along(np.sin, lambda x: 1.1 * np.cos(x), [1.0]),
    ("agrees_by_known_rounding", True): Along(lambda x: np.sin(200 * x), lambda x: 200 * np.cos(200 * x), [1.0]),
    ("measured_rounding_decides", True): Along(lambda x: (1.1 * x + 1e8) - 1e8, lambda x: 1.1, [0.3]),
    ("interval_means_decide", False): Along(rounded_to_half, lambda x: 1.02, np.float32([1.0])),
    ("interval_means_decide", True): Along(noisy, np.cos, np.float32([0.3])),
    ("noise_hides_it", None): Along(lambda x: (3 * x + 1e17) - 1e17, lambda x: 3.0, [0.3]),
}
HALF_PRECISION_STAGES = {
    ("nothing_changes", True): Along(lambda x: 0 * x, lambda x: 0 * x, half([0.5])),
    ("rounding_hides_both", None): Along(lambda x: half(x + 1000), lambda x: 1.0, half([0.3])),
    ("agrees_at_first_look", True): Along(lambda x: half(3 * x), lambda x: 3.0, half([0.5])),
    ("is_step", True): Along(np.floor, lambda x: 0 * x, half([0.95])),
    ("first_look_decides", False): Along(lambda x: half(3 * x), lambda x: 4.0, half([0.5])),
    ("first_look_decides", None): Along(lambda x: half(x + 300), lambda x: 1.005, half([0.0])),
    ("agrees_by_known_rounding", True): Along(oscillating, its_slope, half([0.0])),
    ("measured_rounding_decides", True): Along(np.abs, np.sign, half([1e-3])),
    ("first_look_is_more_exact", None): Along(
        lambda x: half(oscillating(x)), lambda x: 1.02 * its_slope(x), half([0.0])
    ),
    ("noise_hides_it", None): Along(lambda x: half(9 * np.round(x / 9)), lambda x: 1.2, half([2.0])),
}


def decided(along: Along) -> tuple[str, bool | None]:
    """Return the name of the first stage that decides a comparison, and its verdict."""
    problem = along.problem()
    v = along.direction(problem)
    phi = DirectionalFunction(problem, np.ones(problem.y.size), v, problem.x, per_element=True)
    case = directional_stages.Case("it", phi, 0.0)
    stages = directional_stages.HALF_PRECISION_STAGES if problem.half_precision else directional_stages.STAGES
    return next((stage.__name__, found.agrees) for stage in stages if (found := stage(case)))


@pytest.mark.parametrize(("stage", "along"), {**STAGES}.items(), ids=map(str, STAGES))
def test_each_stage_decides_what_those_before_it_do_not(stage, along):
    assert decided(along) == stage


@pytest.mark.parametrize(("stage", "along"), HALF_PRECISION_STAGES.items(), ids=map(str, HALF_PRECISION_STAGES))
def test_in_half_precision_each_stage_decides_what_those_before_it_do_not(stage, along):
    assert decided(along) == stage


def test_no_stage_is_left_out():
    examples = {name for name, _ in STAGES}, {name for name, _ in HALF_PRECISION_STAGES}
    lists = directional_stages.STAGES, directional_stages.HALF_PRECISION_STAGES
    assert [*examples] == [{stage.__name__ for stage in each} for each in lists]


def verdict(along: Along, **sizes: float) -> bool | None:
    """Return the verdict on the derivative along the direction; `sizes` says how large others are."""
    problem = along.problem()
    u, v = np.ones(problem.y.size), along.direction(problem)
    return compare_along(problem, "it", u, v, **{"typical_slope": 0.0, **sizes})[0].agrees


@pytest.mark.parametrize(
    "x", [[43379e3, 3069200, 9802600, 34094e3, 24727e3], [-204800, 31384e3, 22248e3, 21719e3, 48563e3]]
)
def test_steps_that_rounding_of_the_point_absorbs_tell_nothing(x):
    """In float32, such numbers are farther apart than the poles of tan, and a step of 1 hardly moves any of them."""
    assert verdict(Along(np.tan, lambda x: 1 + np.tan(x) ** 2, np.float32(x))) is None
    assert verdict(Along(lambda x: 3 * x, lambda x: 3.1, np.float32(x))) is False


def without(monkeypatch: pytest.MonkeyPatch, module: Any, names: tuple[str, ...], left_out: str) -> None:
    """Leave a function out of the lists of a module."""
    found = 0
    for name in names:
        kept = tuple(each for each in getattr(module, name) if each.__name__ != left_out)
        found += len(getattr(module, name)) - len(kept)
        monkeypatch.setattr(module, name, kept)
    assert found


def with_poles(x):
    """Return about the logarithm of the gamma function for x below 0, where it has poles at whole numbers."""
    return np.float32(-np.log(np.abs(np.sin(np.float32(np.pi) * (x - np.round(x))))) + x * np.log(-x) - x)


def its_poles(x):
    x = x.astype(float)
    return np.log(-x) - np.pi / np.tan(np.pi * (x - np.round(x)))


SMALL = 0.02 * np.random.default_rng(0).normal(size=100)
ROUNDED_ONE_WAY = Along(
    lambda x: np.sqrt(half(1) + x * x),  # 1 for every small x
    lambda x: x.astype(float) / np.sqrt(1.0 + x.astype(float) ** 2),
    half(SMALL),
    np.copysign(2.0**-6, half(SMALL)),
)


def growing_teeth(x):
    return np.fmod(x, np.float32(3)) + x


def cosine_distance(x):
    """Return 1 less the cosine of x and 1e-10, as PyTorch computes it; in float32, that is 1 for every x."""
    return np.float32(1) - np.float32(1e-10) * x / np.sqrt(np.float32(1e-12) + x * x)


def bend_beside_kink(x):
    """Return a function of float32 that has a kink at 0, and a bend beside it that is as wide as 50 finest steps."""
    return 3 + x - 0.25 * np.abs(x) + 0.25 * np.hypot(x - np.float32(4e-4), np.float32(4e-4))


def its_bend(x):
    """Return its derivative, which at 0 is the mean of those on both sides, and not the slope over longer steps."""
    return 1 - 0.25 * np.sign(x) + 0.25 * (x - 4e-4) / np.hypot(x - 4e-4, 4e-4)


ERF = np.vectorize(math.erf)
ON_A_STAIRCASE = Along(lambda x: 1 - np.cos(x), np.sin, np.float32([3e-6]))
SUM_OF_STEPS = Along(lambda x: np.round(x).sum(), np.zeros_like, np.float32(30 * np.random.default_rng(0).random(1000)))
REVISIONS = {  # for each revision, a comparison, how large others are, and the verdicts with it and without it
    "in_steps_of_1": (Along(np.sin, np.cos, [1e12], [2.0**-20]), {}, True, None),
    "in_steps_of_own_size": (Along(kinked, lambda x: 1.0, np.float32([1e9])), {}, True, None),
    "in_steps_beside_0": (Along(np.sin, lambda x: 1.02 * np.cos(x), half([-2.5]), [2.0**20]), {}, None, False),
    "in_tiny_steps": (Along(kinked, lambda x: 0 * x, np.float32([-2.5]), [2.0**20]), {}, True, None),
    "beside_steps": (SUM_OF_STEPS, {}, True, False),
    "excused": (ON_A_STAIRCASE, {}, None, False),
    "lost_beside_others": (Along(np.sin, lambda x: 1.02 * np.cos(x), [0.0]), {"gradient_norm": 1e16}, True, False),
    "agrees_to_last_bit": (Along(np.abs, np.sign, half([1e-9, 1.0])), {}, True, None),
    "hidden_beside_others": (ON_A_STAIRCASE, {"gradient_norm": 1e-6}, True, None),
}
EXCUSES = {  # for each excuse, a comparison that it takes back
    "rounding_absorbs_changes": Along(lambda x: np.array([1e6, 0.0]) + 1e-14 * x, lambda x: 1e-14, [0.3, 0.7]),
    "rounding_of_all_elements": Along(np.sin, lambda x: 1.02 * np.cos(x), np.float32([1e5])),
    "narrow_features": Along(lambda x: x * np.fmod(x, np.float32(3)), growing_teeth, np.float32([1e7])),
    "treads": ON_A_STAIRCASE._replace(v=[2.0**-6]),
    "treads_of_a_factor": Along(lambda x: by_tanh(x)[0], lambda x: by_tanh(x)[1], [-6.5]),
    "rounding_of_parts": Along(
        lambda x: ERF(x) - np.tanh(x), lambda x: np.exp(-x * x) - 1 / np.cosh(x) ** 2, [19.67671230868108]
    ),
    "tied_kink": Along(np.median, lambda x: np.array([1.0, 0.0, 0.0]), [0.3, 0.3, 0.3], [0.5, 0.0, 0.0]),
    "cancelling_kinks": Along(lambda x: np.clip(x, -1.0, 1.0).sum(), lambda x: 0.0 * x, [-1.0, 1.0], [0.5, 0.5]),
    "features_wider_than_finest_steps": Along(bend_beside_kink, its_bend, np.zeros(1, "f")),
    "features_as_narrow_as_finest_steps": Along(with_poles, its_poles, np.float32([-1100.0164]), [600.0]),
    "hidden_feature": Along(cosine_distance, lambda x: -1e-22 / np.sqrt(1e-12 + x * x) ** 3, np.zeros(3, "f")),
    "rounding_of_terms": Along(
        lambda x: (x * x).sum(), lambda x: x.astype(float) * [2.008, 1.992], half([1.0, 1.0]), [1.0, -0.875]
    ),
    "rounding_in_half_precision": ROUNDED_ONE_WAY,
}
SORTED = Along(lambda x: np.sort(x) @ [1.0, 2.0], lambda x: np.array([2.0, 2.0]), [0.3, 0.3])


@pytest.mark.parametrize("name", REVISIONS)
def test_each_revision_changes_the_verdict_on_some_derivative(monkeypatch, name):
    along, sizes, agrees, otherwise = REVISIONS[name]
    assert verdict(along, **sizes) is agrees
    without(monkeypatch, directional_comparison, ("REVISIONS",), name)
    assert verdict(along, **sizes) is otherwise


@pytest.mark.parametrize("kind", [np.float64, np.float32, half])
def test_a_kink_at_equal_numbers_is_no_mistake_in_any_type_and_hides_none_where_numbers_differ(kind):
    assert verdict(SORTED._replace(x=kind(SORTED.x))) is None
    assert verdict(SORTED._replace(x=kind(np.zeros(2)))) is None
    assert verdict(SORTED._replace(x=kind([0.3, 3.0]))) is False


@pytest.mark.parametrize("start", [0.2, 0.3, 0.4])
def test_two_kinks_between_neighbouring_points_of_an_interval_make_no_derivative_wrong_and_hide_no_mistake(start):
    def f(x):
        return half(np.float64(x).sum() + 4 * np.clip(np.float64(x) - start, 0, 0.01).sum())

    def df(x):
        return 1 + 4 * ((x > start) & (x < start + 0.01))

    along = Along(f, df, half([0.25, 0.1]))
    assert verdict(along) is True
    assert verdict(along._replace(df=lambda x: 1.05 * df(x))) is False


@pytest.mark.parametrize("name", EXCUSES)
def test_each_excuse_takes_some_mistake_back(monkeypatch, name):
    sizes = {"gradient_norm": 1e3} if name == "rounding_of_all_elements" else {}
    assert verdict(EXCUSES[name], **sizes) is None
    without(monkeypatch, excuses, ("EXCUSES", "HALF_PRECISION_EXCUSES"), name)
    assert verdict(EXCUSES[name], **sizes) is False


NARROW = {  # for each question, a function that only this one finds to have features that are narrower than the steps
    "_has_narrow_features": Along(poles, lambda x: of_poles(x, 1.0), np.float32([-15319.6484375])),
    "_oscillates": Along(poles, lambda x: of_poles(x, 1.0), np.float32([-258651.875])),
    "_is_unresolved": Along(lambda x: x * np.fmod(x, np.float32(3)), growing_teeth, np.float32([45926844.0])),
}


@pytest.mark.parametrize("name", NARROW)
def test_each_question_finds_some_features_that_are_narrower_than_the_steps(monkeypatch, name):
    assert verdict(NARROW[name]) is None
    monkeypatch.setattr(excuses, name, lambda phi, number: False)
    assert verdict(NARROW[name]) is False


@pytest.mark.parametrize("x", [-1873661.6, -2915118.8, -3442256.8])
def test_poles_that_even_the_finest_steps_reach_make_no_derivative_wrong_and_hide_no_missing_one(x):
    along = Along(with_poles, its_poles, np.float32([x]), [2.0 ** math.floor(math.log2(-x))])
    assert verdict(along) is None
    assert verdict(along._replace(df=lambda x: 0 * x)) is False


@pytest.mark.parametrize("wrong", [lambda x: -its_poles(x), lambda x: 0 * x, lambda x: its_poles(x) + 200])
def test_a_mistake_is_found_beside_a_pole_that_is_as_near_as_the_finest_steps(wrong):
    assert verdict(EXCUSES["features_as_narrow_as_finest_steps"]._replace(df=wrong)) is False


def test_no_revision_and_no_excuse_is_left_out():
    assert [*REVISIONS] == [revise.__name__ for revise in directional_comparison.REVISIONS]
    names = [each.__name__ for each in (*excuses.EXCUSES, *excuses.HALF_PRECISION_EXCUSES)]
    names.remove("rounding_of_derivative")  # its example is a whole check, in test_array_check.py
    assert [*EXCUSES] == [*dict.fromkeys(names)]
