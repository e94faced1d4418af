"""Say whether results that were computed in two ways agree, and where their derivatives differ."""

from __future__ import annotations

from collections.abc import Sequence
from math import isclose, isfinite


def agree(ours: Sequence[float], theirs: Sequence[float], rtol: float = 1e-9, atol: float = 1e-12) -> bool:
    """Return whether two sequences have equally many numbers, which are equal up to the tolerances.

    `rtol` is the relative tolerance, and `atol` the absolute tolerance. A nan agrees with a nan.

    >>> nan = float("nan")
    >>> agree([1.0, nan], [1.25, nan], atol=0.5), agree([1.0], [1.0, 1.0]), agree([nan], [1.0])
    (True, False, False)
    """
    return len(ours) == len(theirs) and all(
        isclose(a, b, rel_tol=rtol, abs_tol=atol) or (a != a and b != b) for a, b in zip(ours, theirs, strict=True)
    )


def differing_derivative(ours: Sequence[float], theirs: Sequence[float], rtol: float, atol: float) -> int | None:
    """Return the index of the first derivative that differs between two gradients of one number; None if they agree.

    `atol` is the absolute tolerance. `rtol` is relative to the largest derivative in both gradients, because a smaller
    one may be the difference of large terms. A nan agrees with a nan.

    >>> differing_derivative([100.0, 1.0], [100.0, 1.25], rtol=0.01, atol=0.0)
    >>> differing_derivative([10.0, 1.0], [10.0, 1.25], rtol=0.01, atol=0.0)
    1
    """
    size = max([abs(x) for x in (*ours, *theirs) if isfinite(x)], default=0.0)
    tolerance = max(atol, rtol * size)
    pairs = enumerate(zip(ours, theirs, strict=True))
    return next((k for k, (a, b) in pairs if not agree([a], [b], 0.0, tolerance)), None)
