"""How far a derivative of arrays may be from the numerical one: as far as both are known, and no farther."""

from __future__ import annotations

import math
from dataclasses import dataclass

from .numerical import Estimate
from .problem import DETECTABLE_ERROR

__tracebackhide__ = True

ZERO_ERROR = 2.0**-1022  # the error at which a derivative is known to be 0, in whose place a rounded one would be any
TYPICAL_SHARE = 1e-2  # of the relative tolerance: what is excused of an element for the sake of typical ones


@dataclass(frozen=True)
class ArrayTolerance:
    """The tolerance for functions whose rounding is measured: one mistake in a hundred must be seen.

    `typical_slope` is the size of a derivative of the same kind, `error` how far the analytic one is rounded. It is a
    derivative's own size that the relative tolerance is of; of typical ones, beside which it is computed, a hundredth
    of that. How exact the numerical one must be goes by its `own_slope` size where typical ones are larger.
    """

    rtol: float
    atol: float
    typical_slope: float
    analytic_error: float
    own_slope: float = math.inf

    def is_exact_enough(self, e: Estimate, mismatch: float = 0.0) -> bool:
        """Return whether it is exact enough to be compared with; of one that is off by `mismatch`, to call that right.

        What looks right may be wrong by 1 % and be off the other way by noise.
        """
        telling = DETECTABLE_ERROR * max(math.fabs(e.slope), min(self.typical_slope, self.own_slope)) or ZERO_ERROR
        return math.fabs(mismatch) + 5.0 * e.error + self.analytic_error <= max(self.atol, telling)

    def allowed_error(self, analytic: float, *estimates: Estimate) -> float:
        """Return how far `analytic` may be from the estimates."""
        each = [max(self._of_size(analytic, e), 5.0 * e.error) for e in estimates]
        return max(self.atol, *each) + self.analytic_error

    def accepts(self, analytic: float, e: Estimate) -> bool:
        """Return whether `analytic` agrees with an estimate that no finer step would tell apart from it."""
        size = max(self.atol, self._of_size(analytic, e))
        exact = 5.0 * e.error <= max(size, 10.0 * e.noise)
        return exact and self.is_exact_enough(e) and math.fabs(analytic - e.slope) <= max(size, 5.0 * e.error)

    def _of_size(self, analytic: float, e: Estimate) -> float:
        analytic = analytic if math.isfinite(analytic) else e.slope
        return self.rtol * max(math.fabs(e.slope), math.fabs(analytic), TYPICAL_SHARE * self.typical_slope)
