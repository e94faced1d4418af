"""Exponentials, logarithms and the hyperbolic tangent of vectors, by polynomials: the same bits on every processor.

The bits differ between processors that multiply and add with one rounding and those that do not, and nowhere else.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Callable
from math import inf, nan

from .vectors import Vector, bits

ROUNDING = 1.5 * 2.0**52  # a small number added to it is rounded to a whole one, which the last bits hold
BIAS = 1023.0  # of the exponent, in a double's bits
SMALLEST_NORMAL, LARGEST_NORMAL = sys.float_info.min, sys.float_info.max  # of the normal numbers
SQRT_HALF = bits(math.sqrt(0.5))
LN2_HIGH = float.fromhex("0x1.62e42fee00000p-1")  # its product with a whole number below 2**20 is exact
LN2_LOW = float.fromhex("0x1.a39ef35793c76p-33")
# exp(r) = 1 + r + r**2 * (EXP[0] + EXP[1] * r + ...) where |r| <= log(2) / 2, with the least error (Remez): 2**-55 |r|
EXP = (
    *(0.5000000000000004, 0.16666666666666685, 0.04166666666658207, 0.00833333333331561, 0.001388888893016692),
    *(1.9841269901019483e-4, 2.4801506696314753e-5, 2.755722959685083e-6, 2.7625543420966455e-7, 2.5113995432320905e-8),
)
# log((1 + s) / (1 - s)) = 2 * s + s * z * (LOG[0] + LOG[1] * z + ...) where z = s**2 <= 0.03: fdlibm's
LOG = (
    *(0.6666666666666735, 0.3999999999940942, 0.2857142874366239, 0.2222219843214978, 0.1818357216161805),
    *(0.15313837699209373, 0.14798198605116586),
)


def exp(x: Vector) -> Vector:
    """Return exp(x) = 2**k * exp(r), where k is whole; where 2**k is no normal number, in two halves."""
    far = x.outside(-708.0, 708.0)
    [x] = x.rarely(far, [x], lambda: [x.between(-746.0, 710.0)])  # where the result is 0 and inf
    power, k = _power(x, BIAS)
    r = k.times(-LN2_LOW, k.times(-LN2_HIGH, x))
    p = r.times(r.times(r.polynomial(EXP), 1.0), 1.0)

    def halves() -> list[Vector]:
        half = k.times(0.5, ROUNDING + BIAS)
        rest = k - (half - (ROUNDING + BIAS)) + (ROUNDING + BIAS)
        return [p * half.bits("shl", 52) * rest.bits("shl", 52)]

    return x.rarely(far, [p * power], halves)[0]


def expm1(x: Vector) -> Vector:
    """Return exp(x) - 1; it is twice what 2**(k - 1) gives, since 2**k may overflow."""
    return x.size().where("olt", 2.0**-54, x, _expm1(x.between(-50.0, 710.0), BIAS - 1.0) * 2.0)


def tanh(x: Vector) -> Vector:
    """Return tanh(x) = e / (e + 2), where e = exp(2|x|) - 1, with the sign of x; it is 1 from 20 on."""
    size = x.size()
    e = _expm1(size.where("ogt", 20.0, 20.0, size) * 2.0, BIAS)
    return (e / (e + 2.0)).signed(x)


def log(x: Vector) -> Vector:
    """Return log(x) = k * log(2) + log(m); a subnormal number is made normal before it is divided into k and m."""
    strange = x.outside(SMALLEST_NORMAL, LARGEST_NORMAL)
    number, bias = x.rarely(
        strange,
        [x, x.all(2.0**52 + BIAS)],
        lambda: [
            x.where("olt", SMALLEST_NORMAL, x * 2.0**54, x),
            x.where("olt", SMALLEST_NORMAL, 2.0**52 + BIAS + 54.0, 2.0**52 + BIAS),
        ],
    )
    m, exponent = _split(number)
    y = _log(exponent.bits("or", bits(2.0**52)) - bias, m - 1.0)
    return x.rarely(strange, [y], lambda: [_with_ends(x, y, 0.0)])[0]


def log1p(x: Vector) -> Vector:
    """Return log(1 + x) = k * log(2) + log(m + c), where c is what the addition has rounded away, divided by 2**k."""
    strange = x.outside(-1.0 + 2.0**-53, 2.0**1000)
    total = x + 1.0
    rest = x - (total - 1.0)  # exact, where it is not far too small to matter
    number, bias = x.rarely(
        strange,
        [total, x.all(2.0**52 + BIAS)],
        lambda: [
            x.where("ogt", 2.0**1000, x * 2.0**-64, total),  # else 2**-k could not be written
            x.where("ogt", 2.0**1000, 2.0**52 + BIAS - 64.0, 2.0**52 + BIAS),
        ],
    )
    m, exponent = _split(number)
    c = rest * exponent.bits("xor", -1).bits("add", 2047).bits("shl", 52)  # 2046 - exponent, so 2**-k
    y = _log(exponent.bits("or", bits(2.0**52)) - bias, m - 1.0 + c).signed(x)
    return x.rarely(strange, [y], lambda: [_with_ends(x, y, -1.0)])[0]


def _power(x: Vector, bias: float) -> tuple[Vector, Vector]:
    """Return 2**(k + bias - BIAS) and k, where k is x / log(2), rounded to a whole number."""
    rounded = x.times(1.0 / math.log(2.0), ROUNDING + bias)
    return rounded.bits("shl", 52), rounded - (ROUNDING + bias)


def _expm1(x: Vector, bias: float) -> Vector:
    """Return (exp(x) - 1) * 2**(bias - BIAS): (2**k - 1) + 2**k * r, which is almost exact, and the smaller rest."""
    power, k = _power(x, bias)
    r = k.times(-LN2_LOW, k.times(-LN2_HIGH, x))
    return power.times(r * r * r.polynomial(EXP), power.times(r, power - 2.0 ** (bias - BIAS)))


def _split(x: Vector) -> tuple[Vector, Vector]:
    """Return m between sqrt(1/2) and sqrt(2), where x = 2**k * m, and as bits k + BIAS."""
    moved = x.bits("add", bits(1.0) - SQRT_HALF)
    return moved.bits("and", 2**52 - 1).bits("add", SQRT_HALF), moved.bits("lshr", 52)


def _log(k: Vector, f: Vector) -> Vector:
    """Return k * log(2) + log(1 + f), by s = f / (2 + f), of which the series has odd powers alone.

    It is f - f**2 / 2 + s * (f**2 / 2 + z * ...), whose first terms are almost exact (fdlibm).
    """
    s = f / (f + 2.0)
    z = s * s
    half = f * f * 0.5
    rest = s * z.times(z.polynomial(LOG), half)
    return k.times(LN2_HIGH, f - (half - k.times(LN2_LOW, rest)))


def _with_ends(x: Vector, y: Vector, pole: float) -> Vector:
    """Return a logarithm with what it is at its pole, where it is -inf, below it, and at inf."""
    y = x.where("oeq", pole, -inf, y)
    y = x.where("ult", pole, nan, y)
    return x.where("oeq", inf, inf, y)


POLYNOMIALS: dict[str, Callable[[Vector], Vector]] = {f.__name__: f for f in (exp, expm1, log, log1p, tanh)}
