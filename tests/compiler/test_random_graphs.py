"""A few random graphs of each family of the campaign, which compares all kinds of code, C and Python with the engine.

`python -m tests.compiler.campaign` draws thousands.
"""

from functools import cache
from itertools import count, islice

import pytest

from . import campaign
from .graphs import FAMILIES, draw, family_of


def small(family, most=45):
    """Yield cases of a family that are so small that a check takes little time."""
    for k in count():
        seed = f"tests/{family}/{k}"
        if family_of(seed) != family:
            continue
        _, case = draw(seed)
        if 4 < len(case.graph.steps) <= most and len(case.rows) <= 40:
            yield case


@cache
def cases(family):
    return [*islice(small(family), COUNT)]


COUNT = 3
SLOW = {"attention", "recurrent"}
CASES = [
    pytest.param(family.__name__, k, marks=[pytest.mark.thorough] * (k > 0 or family.__name__ in SLOW))
    for family in dict.fromkeys(FAMILIES)
    for k in range(COUNT)
]


@pytest.mark.parametrize(("family", "number"), CASES)
def test_what_is_printed_has_the_engines_numbers(family, number):
    """All kinds of code, the C source and the Python source give the engine's numbers for a random graph."""
    campaign.check(cases(family)[number])


@pytest.mark.thorough
def test_a_difference_is_made_smaller_and_printed_as_code(monkeypatch):
    """If a printer is wrong, here for sums, the campaign finds it, makes the case smaller, and prints code for it."""
    right = campaign.by_python

    def wrong(graph, rows):
        outputs, *rest = right(graph, rows)
        summed = any(op.name == "sum" for op, _ in graph.steps)
        return ([[y + summed for y in row] for row in outputs], *rest)

    monkeypatch.setattr(campaign, "by_python", wrong)
    case = next(case for case in small("sums") if any(op.name == "sum" for op, _ in case.graph.steps))
    assert campaign.failure(case).kind == "eager, forward"
    reduced = campaign.reduced(case, seconds=0.3)
    assert len(reduced.graph.steps) <= len(case.graph.steps)
    assert campaign.failure(reduced).kind == "eager, forward"
    compile(campaign.code(reduced), "a case", "exec")
