"""Bounds of the rounding errors in the values and partial derivatives of operations, which gradient checks allow for.

A function that is named like an operation takes the operation's result and operands. It returns the relative error of
the result, then that of each partial derivative, in units of 1e-15. The final rounding of each of these numbers to a
float is not counted. An error is inf where an intermediate result overflows or underflows but the derivative itself
does not.
"""

from __future__ import annotations

import math
from math import fabs, inf

from . import ieee, special
from .ieee import INV_SQRT_2PI, SQRT_HALF


def ratio(a: float, b: float) -> float:
    """Return |a| / |b|; 0 if a is 0, even if b is 0 too."""
    return ieee.div(fabs(a), fabs(b)) if a else 0.0


def subnormal(x: float) -> float:
    """Return a bound of the relative error of rounding `x` to a float, in units of 1e-15.

    It is small for most numbers, grows as `x` becomes subnormal, and is at most 1e15.
    """
    return min(ratio(2.0**-1022, x), 1e15)


def pow(y: float, a: float, b: float) -> tuple[float, float, float]:  # noqa: A001 -- the row's name
    """Return the rounding errors, in units of 1e-15, of y = a**b and of its two derivatives.

    A power is exp(exponent * log(a)), so the exponent magnifies the error of the logarithm.
    """
    z = ieee.pow(a, b - 1.0)
    return (
        0.0,
        inf if math.isinf(z) else fabs((b - 1.0) * ieee.log(a)) + subnormal(z),
        inf if math.isinf(y) else subnormal(y),
    )


def atan2(angle: float, y: float, x: float) -> tuple[float, float, float]:
    """Return the rounding errors, in units of 1e-15, of `angle` = atan2(y, x) and of its two derivatives.

    The derivatives divide by the radius hypot(y, x), which may be subnormal.
    """
    r = math.hypot(y, x)
    return 0.0, 2.0 * subnormal(r) + subnormal(ratio(x, r)), 2.0 * subnormal(r) + subnormal(ratio(y, r))


def gelu(y: float, x: float) -> tuple[float, float]:
    """Return the rounding errors, in units of 1e-15, of y = x * Phi(x) and of its derivative.

    The terms of the derivative nearly cancel if x is negative. Phi is the normal distribution function.
    """
    cdf, slope = 0.5 * math.erfc(-SQRT_HALF * x), x * INV_SQRT_2PI * ieee.exp(-0.5 * x * x)
    lost = fabs(x) * subnormal(y)
    return x * x + lost, (1.0 + x * x) * ratio(cdf + fabs(slope), cdf + slope) + lost


def silu(y: float, x: float) -> tuple[float, float]:
    """Return the rounding errors, in units of 1e-15, of y = x * sigmoid(x) and of its derivative.

    The terms of the derivative nearly cancel if x is negative.
    """
    return 0.0, ratio(ieee.sigmoid(x) + fabs(y), ieee.sigmoid(x) + y * ieee.sigmoid(-x))


def dot(y: float, *operands: float) -> tuple[float, ...]:
    """Return the rounding errors, in units of 1e-15, of y, the sum of products of `operands`, and of its derivatives.

    The products may nearly cancel. The derivatives are exact, so their errors are 0.
    """
    n = len(operands) // 2
    products = [fabs(x * z) for x, z in zip(operands[:n], operands[n : 2 * n], strict=True)]
    size = inf if inf in products else ieee.sum(*products)
    return (ratio(size, y) if math.isfinite(size) else inf, *[0.0] * len(operands))


def logsumexp(y: float, *xs: float) -> tuple[float, ...]:
    """Return the relative rounding errors, in units of 1e-15, of y = logsumexp(xs) and of its derivatives.

    The largest x and the logarithm that is added to it may nearly cancel.
    """
    peak = max(xs)
    shift = math.fsum(ieee.exp(x - y) * fabs(x - peak) for x in xs)
    return (ratio(fabs(peak) + shift, y), *[fabs(x - y) + shift + 1.0 for x in xs])


def lgamma(y: float, x: float) -> tuple[float, float]:
    """Return the relative rounding errors, in units of 1e-15, of y = lgamma(x) and of its derivative.

    If x is negative, lgamma(x) and its derivative are each computed as a difference of two terms, which nearly cancel
    near a root.
    """
    if not x < 0.0:
        return 0.0, 0.0
    return ratio(2.0 * fabs(special.lgamma(-x)) + 1.0, y), digamma(special.digamma(x), x)[0]


def digamma(y: float, x: float) -> tuple[float, float]:
    """Return the rounding errors, in units of 1e-15, of y = digamma(x) and of its derivative.

    If x is negative, digamma is the difference of two terms, which nearly cancel at a root.
    """
    return ratio(2.0 * fabs(special.digamma(1.0 - x)), y) if x < 0.0 else 0.0, 0.0


def erfinv(y: float, x: float) -> tuple[float, float]:
    """Return the rounding errors, in units of 1e-15, of y = erfinv(x) and of its derivative.

    The derivative is an exponential, whose error grows with y**2.
    """
    return 0.0, 2.0 * y * y if math.isfinite(y) else 0.0
