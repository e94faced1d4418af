"""The tolerance for functions of arrays.

It decides how far a derivative may be from the numerical one, and how exact the numerical one must be.
"""

from __future__ import annotations

import math
from typing import NamedTuple

from ..numeric.numerical import Estimate
from ..numeric.thresholds import ACCEPTED_NOISE, DETECTABLE_ERROR, ESTIMATED_ERRORS, TYPICAL_SHARE, ZERO_ERROR

__tracebackhide__ = True


class ArrayTolerance(NamedTuple):
    """The tolerance for functions of arrays: a numerical derivative must be so exact that it shows an error of 1 %.

    The derivative that is checked is called analytic. `rtol` is relative to the larger of the analytic and the
    numerical derivative, or to a hundredth of `typical_slope` if both are smaller, since a small derivative shares the
    rounding of larger ones.

    Attributes:
        rtol: relative tolerance.
        atol: absolute tolerance.
        typical_slope: about how large derivatives along directions like this one are.
        analytic_error: the rounding error of the analytic derivative.
        own_slope: an upper estimate of the size of the derivative that is compared. If it is below `typical_slope`, it
            takes the place of `typical_slope` where the required exactness of the numerical derivative is computed.
        flat_slope: a small part of the slope of f in the largest steps. If the numerical derivative is 0 up to its
            error, as at a stationary point, it is only required to be as exact as a derivative of the size
            `flat_slope`.
    """

    rtol: float
    atol: float
    typical_slope: float
    analytic_error: float
    own_slope: float = math.inf
    flat_slope: float = 0.0

    def is_exact_enough(self, e: Estimate, mismatch: float = 0.0) -> bool:
        """Return whether the numerical derivative `e` is so exact that a comparison with it would show a mistake.

        A mistake of 1 % of the numerical derivative must show, or of 1 % of `typical_slope` if that is larger. The
        attributes `own_slope` and `flat_slope` say which size is taken instead of `typical_slope` or of a derivative
        near 0. In any case, an error up to `atol` may be hidden.

        Args:
            e: the numerical derivative.
            mismatch: how far the analytic derivative is from `e`, if the caller wants to call the analytic derivative
                right; else 0.0. The mismatch and the errors of both derivatives together must not hide a mistake.
        """
        if not math.isfinite(e.error + e.slope):
            return False
        size = max(math.fabs(e.slope), min(self.typical_slope, self.own_slope))
        if math.fabs(e.slope) <= ESTIMATED_ERRORS * e.error:
            size = max(size, self.flat_slope)
        telling = DETECTABLE_ERROR * size or ZERO_ERROR
        return math.fabs(mismatch) + ESTIMATED_ERRORS * e.error + self.analytic_error <= max(self.atol, telling)

    def allowed_error(self, analytic: float, *estimates: Estimate) -> float:
        """Return how far `analytic`, the derivative that is checked, may be from the numerical ones in `estimates`."""
        each = [max(self._of_size(analytic, e), ESTIMATED_ERRORS * e.error) for e in estimates]
        return max(self.atol, *each) + self.analytic_error

    def accepts(self, analytic: float, e: Estimate) -> bool | None:
        """Return whether `analytic` agrees with the numerical derivative `e`.

        If it does, but `e` is not exact enough for a verdict, the result is None.
        """
        size = max(self.atol, self._of_size(analytic, e))
        if math.fabs(analytic - e.slope) > max(size, ESTIMATED_ERRORS * e.error):
            return False
        exact = ESTIMATED_ERRORS * e.error <= max(size, ACCEPTED_NOISE * e.noise)
        return True if exact and self.is_exact_enough(e) and math.isfinite(analytic) else None

    def _of_size(self, analytic: float, e: Estimate) -> float:
        """Return `rtol` times the largest of |analytic|, |e.slope|, and `TYPICAL_SHARE` times `typical_slope`.

        If `analytic` is infinite or nan, it does not count.
        """
        analytic = analytic if math.isfinite(analytic) else e.slope
        return self.rtol * max(math.fabs(e.slope), math.fabs(analytic), TYPICAL_SHARE * self.typical_slope)
