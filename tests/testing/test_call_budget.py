"""The budget of calls: each comparison has a share of it, unless something looks wrong."""

import contextlib

import pytest

from micrograd_cn.testing.numeric.call_budget import CallBudget, OutOfCalls


def calling(budget, times):
    """Return a comparison that calls a function so many times, if the budget allows it."""

    def compare():
        with contextlib.suppress(OutOfCalls):
            for _ in range(times):
                budget.check()
                budget.calls += 1
        return "compared"

    return compare


@pytest.mark.parametrize(("share", "calls"), [(3, 3), (2.5, 3), (0, 0), (-1.0, 0), (20, 9)])
def test_a_comparison_has_so_many_calls_that_are_taken_from_those_that_are_left(share, calls):
    budget = CallBudget(300)
    calling(budget, 2)()
    assert (budget.calls, budget.left) == (2, 300), "outside comparisons there is no limit"
    for k in (1, 2):
        assert budget.run(share, calling(budget, 9)) == "compared"
        assert (budget.calls, budget.left) == (2 + k * calls, 300 - k * calls)
    calling(budget, 9)()
    assert budget.calls == 2 + 2 * calls + 9, "afterwards there is no limit either"


@pytest.mark.parametrize(
    ("firm", "sure", "lifted"), [(False, False, True), (False, True, True), (True, False, False), (True, True, True)]
)
def test_what_looks_wrong_has_as_many_calls_as_it_needs_and_takes_none_from_others_unless_its_limit_is_firm(
    firm, sure, lifted
):
    budget = CallBudget(300)

    def compare():
        budget.lift_limit(sure)
        return calling(budget, 5)()

    assert budget.run(1, compare, firm) == "compared"
    assert (budget.calls, budget.left) == ((5, 300) if lifted else (1, 299))
    budget.run(2, calling(budget, 5))
    assert budget.left == (298 if lifted else 297), "the next comparison has a limit of its own"
