"""Guess the cause of wrong derivatives from their ratios to the numerical derivatives, or from the differences."""

from __future__ import annotations

import math
import re
import statistics
from collections.abc import Sequence

from ..numeric.compare import Comparison
from ..numeric.thresholds import EQUAL_ATOL, EQUAL_RTOL

__tracebackhide__ = True

TOO_LARGE = "large as it should be, as if f had a sum and not a mean"
TOO_SMALL = "small as it should be, as if f had a mean and not a sum"
PARTS = ".real", ".imag"  # how the names of parts of complex arguments end
CONJUGATE = "the conjugate; it should be dL/d.real + 1j * dL/d.imag, also upstream, as in PyTorch (in jax, conjugates)"
CONSTANT = "f is constant near the point: a mask is missing or, for a straight-through gradient, write like=surrogate"
MISSING = "a gradient is missing"
KNOWN_RATIOS = {-1.0: "the sign is wrong", 2.0: "a factor of 2 too much", 0.5: "a factor of 2 is missing"}


def likely_causes(comparisons: Sequence[Comparison]) -> list[str]:
    """Return a line of text for each of the first two arguments whose wrong derivatives have a likely cause.

    >>> from micrograd_cn.testing.numeric.numerical import Estimate
    >>> likely_causes([Comparison("df/dx[0]", -6.0, Estimate(6.0, 1e-9), False, argument="x")])
    ['likely, for x: the sign is wrong']
    """
    wrong = [
        comparison
        for comparison in comparisons
        if comparison.agrees is False and comparison.argument and not comparison.title.startswith("direction")
    ]
    found = []
    for argument in dict.fromkeys(comparison.argument for comparison in wrong):
        of_it = [comparison for comparison in wrong if comparison.argument == argument]
        right = any(
            comparison.agrees and comparison.argument == argument and comparison.numeric.slope != 0.0
            for comparison in comparisons
        )
        whole = [
            comparison.analytic
            for comparison in comparisons
            if comparison.agrees is False and comparison.argument == argument
        ]
        if cause := _cause(of_it, right, any(whole)):
            name = re.split(r"[.\[]", argument)[0]
            is_argument = cause.startswith(MISSING) and name.isidentifier() and name != "parameters"
            cure = f"; if {name} is a constant, such as a target, write static=['{name}']" if is_argument else ""
            found.append(f"likely, for {argument}: {cause}{cure}")
    wrong_parts = [argument for argument in dict.fromkeys(c.argument for c in wrong) if argument.endswith(PARTS)]
    if wrong_parts and all(_is_opposite(c) for c in wrong if c.argument.endswith(PARTS)):
        return [f"likely, for {wrong_parts[0].rpartition('.')[0]}: {CONJUGATE}"]
    return found[:2]


def _is_opposite(comparison: Comparison) -> bool:
    """Return whether the derivative that was checked is the numerical one with the wrong sign."""
    return math.isclose(comparison.analytic, -comparison.numeric.slope, rel_tol=EQUAL_RTOL)


def _cause(wrong: Sequence[Comparison], some_right: bool, some: bool) -> str:
    """Return a string that explains all wrong derivatives with respect to one argument; "" if nothing explains them.

    Args:
        wrong: the comparisons of the wrong derivatives with respect to single elements of the argument.
        some_right: whether another derivative with respect to the argument is correct and not 0.
        some: whether any wrong derivative with respect to the argument is not 0. Derivatives along directions count
            here, too.
    """
    first, *others = {comparison.cause for comparison in wrong}
    if first and not others:
        return first
    pairs = [(comparison.analytic, comparison.numeric.slope) for comparison in wrong]
    if not all(math.isfinite(a) for a, _ in pairs):
        return "it divides by 0, or takes a root or logarithm of 0"
    if all(b == 0.0 for _, b in pairs) and not some_right and all(comparison.note == "" for comparison in wrong):
        return CONSTANT
    if all(a == 0.0 for a, _ in pairs):
        return f"{MISSING}: 0 or None is returned" if not (some_right or some) else "some elements get no gradient"
    ratios = [a / b for a, b in pairs if b != 0.0]
    if len(ratios) == len(pairs) and _all_equal(ratios):
        ratio = statistics.mean(ratios)
        named = next(
            (text for value, text in KNOWN_RATIOS.items() if math.isclose(ratio, value, rel_tol=EQUAL_RTOL)), ""
        )
        if named or some_right:
            return named
        inverse = 1.0 / ratio
        for size, text in ((ratio, TOO_LARGE), (inverse, TOO_SMALL)):
            if math.isclose(size, round(size), rel_tol=EQUAL_RTOL) and abs(size) >= 2.0:
                return f"{round(size)} times as {text}"
        return f"a factor, {ratio:.6g} everywhere" if len(ratios) > 1 else ""
    if len(pairs) > 1 and not _all_equal([a for a, _ in pairs]):
        swapped = sorted(a for a, _ in pairs), sorted(b for _, b in pairs)
        if all(math.isclose(a, b, rel_tol=EQUAL_RTOL, abs_tol=EQUAL_ATOL) for a, b in zip(*swapped, strict=True)):
            return "the right numbers in the wrong places: transposed, or reshaped in another order"
        differences = [a - b for a, b in pairs]
        if _all_equal(differences):
            return f"off by {statistics.mean(differences):.6g} everywhere: a term that is constant"
    return ""


def _all_equal(numbers: Sequence[float]) -> bool:
    """Return whether the numbers are equal, up to `EQUAL_RTOL`."""
    size = max(map(math.fabs, numbers))
    return max(numbers) - min(numbers) <= EQUAL_RTOL * size
