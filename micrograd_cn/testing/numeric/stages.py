"""The last stages of a comparison, which functions of `Value`s and functions of arrays have in common.

The derivative is compared at the point twice. The first comparison allows for the rounding error of the function that
is computed from the type of its arrays, or from its graph. If the derivative does not agree, the rounding error is
measured, and the second comparison allows for the measured one.
"""

from __future__ import annotations

from typing import Protocol

from .compare import Comparison

__tracebackhide__ = True


class RoundedCase(Protocol):
    """A derivative that is compared at the point twice, with two estimates of the function's rounding error."""

    @property
    def by_known_rounding(self) -> Comparison:
        """The comparison of derivatives that allows for the function's computed rounding error.

        The error is computed from the type of the function's arrays, such as float32, or from the graph of a function
        of `Value`s.
        """
        ...

    @property
    def by_measured_rounding(self) -> Comparison:
        """The comparison of derivatives that allows for the measured rounding error of the function.

        The error is measured by calling the function near the point.
        """
        ...


def agrees_by_known_rounding(case: RoundedCase) -> Comparison | None:
    """Return `case.by_known_rounding` if it calls the derivative right and the point is at no kink; else None."""
    comparison = case.by_known_rounding
    return comparison if comparison.agrees and not comparison.note else None


def measured_rounding_decides(case: RoundedCase) -> Comparison | None:
    """Return the comparison with the measured rounding error; None if noise hides the derivative."""
    comparison = case.by_measured_rounding
    return None if comparison.noisy else comparison


def noise_hides_it(case: RoundedCase) -> Comparison:
    """Return the comparison with the measured rounding error, which says that noise hides the derivative.

    It is the last stage, so `measured_rounding_decides` has found that noise hides the derivative.
    """
    return case.by_measured_rounding
