"""Random programs as users write them give the same numbers when they are compiled, or are refused."""

from collections import Counter

import pytest

from micrograd_cn.ops import ieee
from micrograd_cn.ops.number import number

from .user_programs import Different, compare, crashed, main


@pytest.mark.parametrize(
    ("seed", "programs"),
    [
        (0, 10),
        *(pytest.param(seed, 10, marks=pytest.mark.thorough) for seed in (10, 20, 30)),
        *(pytest.param(seed, 20, marks=pytest.mark.thorough) for seed in (40, 60)),  # of 70 to 79, most are refused
    ],
)
def test_random_programs_give_the_same_numbers_or_are_refused(seed, programs):
    """Programs are compared in calls, `backward`, `gradient` and `fit`, with branches and without."""
    counts = sum(map(compare, range(seed, seed + programs)), Counter())
    assert counts["calls refused"] < 0.7 * counts["calls"], "most programs are not compared"


@pytest.mark.slow
def test_many_random_programs_give_the_same_numbers_or_are_refused():
    assert main(["--programs", "1000", "--seed", "100"]) == 0


@pytest.mark.slow
def test_interrupted_programs_give_the_same_numbers_afterwards():
    assert main(["--programs", "300", "--seed", "5000", "--interrupts", "300"]) == 0


def test_the_comparison_notices_wrong_numbers(monkeypatch):
    """A program whose compiled calls are off by one in a thousand is reported, with its text."""
    from micrograd_cn.compiler import CompiledFunction

    plain = CompiledFunction.__call__
    monkeypatch.setattr(CompiledFunction, "__call__", lambda self, *args, **kw: plain(self, *args, **kw) * 1.001)
    with pytest.raises(Different, match="def make"):
        sum(map(compare, range(10)), Counter())


def test_a_refusal_is_told_from_a_crash():
    """An error that the package raises is a refusal, and one that Python raises in a line of the package is a crash."""
    for f, expected in ((lambda: number("1"), False), (lambda: ieee.relu("1"), True), (lambda: 1 + "1", False)):
        with pytest.raises(TypeError) as caught:
            f()
        assert crashed(caught.value) is expected
