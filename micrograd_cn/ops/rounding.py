"""How far rounding carries: relative errors of the rows' formulas, in units of 1e-15, beyond their last operation's.

The functions of a row's name take a result and its operands, and return the error of the value and of each partial; inf
where an intermediate result overflows or underflows though the derivative itself would not. Gradient checks need it.
"""

from __future__ import annotations

import math
from math import fabs, inf

from . import ieee
from .ieee import INV_SQRT_2PI, SQRT_HALF


def ratio(a: float, b: float) -> float:
    """Return |a| / |b|, 0 where a is 0."""
    return ieee.div(fabs(a), fabs(b)) if a else 0.0


def subnormal(x: float) -> float:
    """Return the relative rounding error of an intermediate result `x` that may be subnormal."""
    return min(ratio(2.0**-1022, x), 1e15)


def pow(y: float, a: float, b: float) -> tuple[float, float, float]:  # noqa: A001 -- the row's name
    """Return the errors of a**b: the exponent magnifies the logarithm's error."""
    z = ieee.pow(a, b - 1.0)
    return (
        0.0,
        inf if math.isinf(z) else fabs((b - 1.0) * ieee.log(a)) + subnormal(z),
        inf if math.isinf(y) else subnormal(y),
    )


def atan2(angle: float, y: float, x: float) -> tuple[float, float, float]:
    """Return the errors of atan2(y, x): the radius may be subnormal."""
    r = math.hypot(y, x)
    return 0.0, 2.0 * subnormal(r) + subnormal(ratio(x, r)), 2.0 * subnormal(r) + subnormal(ratio(y, r))


def gelu(y: float, x: float) -> tuple[float, float]:
    """Return the errors of x * Phi(x): the terms of the derivative cancel below 0."""
    cdf, slope = 0.5 * math.erfc(-SQRT_HALF * x), x * INV_SQRT_2PI * ieee.exp(-0.5 * x * x)
    lost = fabs(x) * subnormal(y)
    return x * x + lost, (1.0 + x * x) * ratio(cdf + fabs(slope), cdf + slope) + lost


def silu(y: float, x: float) -> tuple[float, float]:
    """Return the errors of x * sigmoid(x): the terms of the derivative cancel below 0."""
    return 0.0, ratio(ieee.sigmoid(x) + fabs(y), ieee.sigmoid(x) + y * ieee.sigmoid(-x))


def dot(y: float, *operands: float) -> tuple[float, ...]:
    """Return the errors of a sum of products: they may cancel."""
    n = len(operands) // 2
    products = [fabs(x * z) for x, z in zip(operands[:n], operands[n : 2 * n], strict=True)]
    size = inf if inf in products else ieee.sum(*products)
    return (ratio(size, y) if math.isfinite(size) else inf, *[0.0] * len(operands))


def logsumexp(y: float, *xs: float) -> tuple[float, ...]:
    """Return the errors of the logarithm of a sum: the peak and it may cancel."""
    peak = max(xs)
    shift = math.fsum(ieee.exp(x - y) * fabs(x - peak) for x in xs)
    return (ratio(fabs(peak) + shift, y), *[fabs(x - y) + shift + 1.0 for x in xs])
