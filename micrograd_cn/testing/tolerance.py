"""How far the derivative of a function of arrays may be from the numerical one."""

from __future__ import annotations

import math
from dataclasses import dataclass

from .numerical import Estimate
from .problem import DETECTABLE_ERROR

__tracebackhide__ = True

ZERO_ERROR = 2.0**-1022  # a derivative is known to be 0 if its error is at most the smallest normal double
TYPICAL_SHARE = 1e-2  # when rtol is applied, a derivative counts as at least this part of a typical one


@dataclass(frozen=True)
class ArrayTolerance:
    """The tolerance for functions whose rounding is measured: it lets an error of 1 % be seen.

    The relative tolerance refers to the larger of the two derivatives. A derivative that is small beside
    `typical_slope` is computed beside larger ones, so it counts as a hundredth of that.

    Attributes:
        rtol: relative tolerance.
        atol: absolute tolerance.
        typical_slope: the size of derivatives of the same kind.
        analytic_error: how far the analytic derivative is rounded.
        own_slope: the size of this derivative. Where typical ones are larger, it decides how exact the numerical
            derivative must be.
    """

    rtol: float
    atol: float
    typical_slope: float
    analytic_error: float
    own_slope: float = math.inf

    def is_exact_enough(self, e: Estimate, mismatch: float = 0.0) -> bool:
        """Return whether an error of 1 % would be seen.

        Args:
            e: the numerical derivative.
            mismatch: how far the analytic derivative is from it, if it is to be called right: noise may hide that it is
                wrong by 1 %.
        """
        telling = DETECTABLE_ERROR * max(math.fabs(e.slope), min(self.typical_slope, self.own_slope)) or ZERO_ERROR
        return math.fabs(mismatch) + 5.0 * e.error + self.analytic_error <= max(self.atol, telling)

    def allowed_error(self, analytic: float, *estimates: Estimate) -> float:
        """Return how far `analytic` may be from the estimates."""
        each = [max(self._of_size(analytic, e), 5.0 * e.error) for e in estimates]
        return max(self.atol, *each) + self.analytic_error

    def accepts(self, analytic: float, e: Estimate) -> bool:
        """Return whether `analytic` agrees with an estimate so exact that finer steps would not change this."""
        size = max(self.atol, self._of_size(analytic, e))
        exact = 5.0 * e.error <= max(size, 10.0 * e.noise)
        return exact and self.is_exact_enough(e) and math.fabs(analytic - e.slope) <= max(size, 5.0 * e.error)

    def _of_size(self, analytic: float, e: Estimate) -> float:
        """Return the relative tolerance times the size of the derivative."""
        analytic = analytic if math.isfinite(analytic) else e.slope
        return self.rtol * max(math.fabs(e.slope), math.fabs(analytic), TYPICAL_SHARE * self.typical_slope)
