"""The last stages of a comparison, which functions of `Value`s and functions of arrays have in common.

The derivative is compared at the point twice. The first comparison believes that the function is rounded as its type or
its graph says. If the derivative does not agree, the rounding error is measured, and the second comparison allows for
it.
"""

from __future__ import annotations

from typing import Protocol

from .compare import Comparison

__tracebackhide__ = True


class RoundedCase(Protocol):
    """A derivative that is compared at the point with two estimates of rounding."""

    @property
    def by_known_rounding(self) -> Comparison:
        """The comparison that believes the rounding error which the type or the graph of the function tells."""
        ...

    @property
    def by_measured_rounding(self) -> Comparison:
        """The comparison after the rounding error has been measured."""
        ...


def agrees_by_known_rounding(case: RoundedCase) -> Comparison | None:
    """Compare with the known rounding error; return the comparison if the derivative agrees, and not at a kink."""
    comparison = case.by_known_rounding
    return comparison if comparison.agrees and not comparison.note else None


def measured_rounding_decides(case: RoundedCase) -> Comparison | None:
    """Compare with the measured rounding error; return the comparison unless noise hides the derivative."""
    comparison = case.by_measured_rounding
    return None if comparison.noisy else comparison


def noise_hides_it(case: RoundedCase) -> Comparison:
    """Return the comparison with the measured rounding error, which says that noise hides it: the last resort."""
    return case.by_measured_rounding
