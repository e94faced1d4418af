"""Compute exponentials, logarithms and the hyperbolic tangent of vectors by polynomials.

FMA is the instruction that multiplies and adds with one rounding. All processors with FMA compute the same bits. All
processors without FMA compute the same bits, too, which may differ from those with FMA.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Callable
from math import inf, nan

from ..instructions.code import bits
from .vectors import Vector

ROUNDING = 1.5 * 2.0**52  # adding a small number to this rounds it to an integer, which is in the last bits
BIAS = 1023.0  # the exponent bits of a double are its exponent plus this
SMALLEST_NORMAL, LARGEST_NORMAL = sys.float_info.min, sys.float_info.max
SQRT_HALF = bits(math.sqrt(0.5))
LN2_HIGH = float.fromhex("0x1.62e42fee00000p-1")  # its product with an integer below 2**20 is exact
LN2_LOW = float.fromhex("0x1.a39ef35793c76p-33")
# exp(r) = 1 + r + r**2 * (EXP[0] + EXP[1] * r + ...) for |r| <= log(2) / 2, with an error of 2**-55 |r| (Remez)
EXP = (
    *(0.5000000000000004, 0.16666666666666685, 0.04166666666658207, 0.00833333333331561, 0.001388888893016692),
    *(1.9841269901019483e-4, 2.4801506696314753e-5, 2.755722959685083e-6, 2.7625543420966455e-7, 2.5113995432320905e-8),
)
# log((1 + s) / (1 - s)) = 2 * s + s * z * (LOG[0] + LOG[1] * z + ...) for z = s**2 <= 0.03: the coefficients of fdlibm
LOG = (
    *(0.6666666666666735, 0.3999999999940942, 0.2857142874366239, 0.2222219843214978, 0.1818357216161805),
    *(0.15313837699209373, 0.14798198605116586),
)


def exp(x: Vector) -> Vector:
    """Return exp(x) = 2**k * exp(r), where x = k * log(2) + r and k is an integer.

    If 2**k is not a normal number, exp(r) is multiplied by two powers of two, whose product is 2**k.
    """
    far = x.any_outside(-708.0, 708.0)
    [x] = x.rarely(far, [x], lambda: [x.clamp(-746.0, 710.0)])  # beyond these bounds the result is 0 or inf
    power, k = _power(x, BIAS)
    r = k.multiply_add(-LN2_LOW, k.multiply_add(-LN2_HIGH, x))
    p = r.multiply_add(r.multiply_add(r.polynomial(EXP), 1.0), 1.0)

    def halves() -> list[Vector]:
        half = k.multiply_add(0.5, ROUNDING + BIAS)
        rest = k - (half - (ROUNDING + BIAS)) + (ROUNDING + BIAS)
        return [p * half.on_bits("shl", 52) * rest.on_bits("shl", 52)]

    return x.rarely(far, [p * power], halves)[0]


def expm1(x: Vector) -> Vector:
    """Return exp(x) - 1, computed as twice the number (exp(x) - 1) / 2. If x is tiny, the result is x.

    With x = k * log(2) + r, (exp(x) - 1) / 2 needs the power 2**(k - 1), which overflows later than 2**k.
    """
    return x.abs().where("olt", 2.0**-54, x, _expm1(x.clamp(-50.0, 710.0), BIAS - 1.0) * 2.0)


def tanh(x: Vector) -> Vector:
    """Return tanh(x): e / (e + 2) with the sign of x, where e = exp(2|x|) - 1. From |x| = 20 on, |tanh(x)| is 1."""
    size = x.abs()
    e = _expm1(size.where("ogt", 20.0, 20.0, size) * 2.0, BIAS)
    return (e / (e + 2.0)).copysign(x)


def log(x: Vector) -> Vector:
    """Return log(x) = k * log(2) + log(m), where x = 2**k * m. A subnormal x is scaled to a normal number first."""
    special = x.any_outside(SMALLEST_NORMAL, LARGEST_NORMAL)
    number, bias = x.rarely(
        special,
        [x, x.splat(2.0**52 + BIAS)],
        lambda: [
            x.where("olt", SMALLEST_NORMAL, x * 2.0**54, x),
            x.where("olt", SMALLEST_NORMAL, 2.0**52 + BIAS + 54.0, 2.0**52 + BIAS),
        ],
    )
    m, exponent = _split(number)
    y = _log(exponent.on_bits("or", bits(2.0**52)) - bias, m - 1.0)
    return x.rarely(special, [y], lambda: [_with_special_values(x, y, 0.0)])[0]


def log1p(x: Vector) -> Vector:
    """Return log(1 + x) = k * log(2) + log(m + c), where 2**k * m is 1 + x rounded, and 2**k * c the rounding error."""
    special = x.any_outside(-1.0 + 2.0**-53, 2.0**1000)
    total = x + 1.0
    rest = x - (total - 1.0)  # the rounding error of `total`: exact, unless it is far too small to matter
    number, bias = x.rarely(
        special,
        [total, x.splat(2.0**52 + BIAS)],
        lambda: [
            x.where("ogt", 2.0**1000, x * 2.0**-64, total),  # otherwise 2**-k could not be represented
            x.where("ogt", 2.0**1000, 2.0**52 + BIAS - 64.0, 2.0**52 + BIAS),
        ],
    )
    m, exponent = _split(number)
    c = rest * exponent.on_bits("xor", -1).on_bits("add", 2047).on_bits("shl", 52)  # 2046 - exponent, so 2**-k
    y = _log(exponent.on_bits("or", bits(2.0**52)) - bias, m - 1.0 + c).copysign(x)
    return x.rarely(special, [y], lambda: [_with_special_values(x, y, -1.0)])[0]


def _power(x: Vector, bias: float) -> tuple[Vector, Vector]:
    """Return 2**(k + bias - BIAS) and k, where k is x / log(2) rounded to an integer, and BIAS is 1023."""
    rounded = x.multiply_add(1.0 / math.log(2.0), ROUNDING + bias)
    return rounded.on_bits("shl", 52), rounded - (ROUNDING + bias)


def _expm1(x: Vector, bias: float) -> Vector:
    """Return (exp(x) - 1) * 2**(bias - BIAS), where BIAS is 1023.

    With x = k * log(2) + r, exp(x) - 1 is (2**k - 1) + 2**k * r, which is almost exact, plus a small correction.
    """
    power, k = _power(x, bias)
    r = k.multiply_add(-LN2_LOW, k.multiply_add(-LN2_HIGH, x))
    return power.multiply_add(r * r * r.polynomial(EXP), power.multiply_add(r, power - 2.0 ** (bias - BIAS)))


def _split(x: Vector) -> tuple[Vector, Vector]:
    """Split x into 2**k * m with m between sqrt(1/2) and sqrt(2). Return m, and doubles whose bits are k + 1023."""
    moved = x.on_bits("add", bits(1.0) - SQRT_HALF)
    return moved.on_bits("and", 2**52 - 1).on_bits("add", SQRT_HALF), moved.on_bits("lshr", 52)


def _log(k: Vector, f: Vector) -> Vector:
    """Return k * log(2) + log(1 + f), by a series in s = f / (2 + f) that has odd powers only (as in fdlibm).

    The logarithm is f - f**2 / 2 + s * (f**2 / 2 + z * ...) with z = s**2. Its first terms are almost exact.
    """
    s = f / (f + 2.0)
    z = s * s
    half = f * f * 0.5
    rest = s * z.multiply_add(z.polynomial(LOG), half)
    return k.multiply_add(LN2_HIGH, f - (half - k.multiply_add(LN2_LOW, rest)))


def _with_special_values(x: Vector, y: Vector, pole: float) -> Vector:
    """Return the logarithm `y` of `x`, corrected in some lanes.

    The result is -inf where x is `pole`, nan where x is less than `pole` or nan, and inf where x is inf.
    """
    y = x.where("oeq", pole, -inf, y)
    y = x.where("ult", pole, nan, y)
    return x.where("oeq", inf, inf, y)


POLYNOMIALS: dict[str, Callable[[Vector], Vector]] = {f.__name__: f for f in (exp, expm1, log, log1p, tanh)}
