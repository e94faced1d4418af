"""Compute exponentials, logarithms and the hyperbolic tangent of vectors by polynomials.

FMA is the instruction that multiplies and adds with one rounding. All processors with FMA compute the same bits. All
processors without FMA compute the same bits, too, which may differ from those with FMA.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Sequence
from math import inf, nan

from ..instructions.code import bits
from .operands import Condition, Vector

TO_INTEGER = 1.5 * 2.0**52  # adding a small number to this rounds it to an integer, which is in the last bits
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
    far = _any_outside(x, -708.0, 708.0)
    [x] = x.f.rarely(far, [x], lambda: [_clamp(x, -746.0, 710.0)])  # beyond these bounds the result is 0 or inf
    power, k = _power(x, BIAS)
    r = k.multiply_add(-LN2_LOW, k.multiply_add(-LN2_HIGH, x))
    p = r.multiply_add(r.multiply_add(_polynomial(r, EXP), 1.0), 1.0)

    def halves() -> list[Vector]:
        half = k.multiply_add(0.5, TO_INTEGER + BIAS)
        rest = k - (half - (TO_INTEGER + BIAS)) + (TO_INTEGER + BIAS)
        return [p * half.on_bits("shl", 52) * rest.on_bits("shl", 52)]

    return x.f.rarely(far, [p * power], halves)[0]


def expm1(x: Vector) -> Vector:
    """Return exp(x) - 1, computed as twice the number (exp(x) - 1) / 2. If x is tiny, the result is x.

    With x = k * log(2) + r, (exp(x) - 1) / 2 needs the power 2**(k - 1), which overflows later than 2**k.
    """
    size = x.intrinsic("llvm.fabs")
    y = _expm1(_clamp(x, -50.0, 710.0), BIAS - 1.0) * 2.0
    return (size < 2.0**-54).select(x, y)


def tanh(x: Vector) -> Vector:
    """Return tanh(x): e / (e + 2) with the sign of x, where e = exp(2|x|) - 1. From |x| = 20 on, |tanh(x)| is 1."""
    size = x.intrinsic("llvm.fabs")
    e = _expm1((size > 20.0).select(20.0, size) * 2.0, BIAS)
    return (e / (e + 2.0)).intrinsic("llvm.copysign", x)


def log(x: Vector) -> Vector:
    """Return log(x) = k * log(2) + log(m), where x = 2**k * m. A subnormal x is scaled to a normal number first."""
    special = _any_outside(x, SMALLEST_NORMAL, LARGEST_NORMAL)
    number, bias = x.f.rarely(
        special,
        [x, x.constant(2.0**52 + BIAS)],
        lambda: [
            (x < SMALLEST_NORMAL).select(x * 2.0**54, x),
            (x < SMALLEST_NORMAL).select(x.constant(2.0**52 + BIAS + 54.0), 2.0**52 + BIAS),
        ],
    )
    m, exponent = _split(number)
    y = _log(exponent.on_bits("or", bits(2.0**52)) - bias, m - 1.0)
    return x.f.rarely(special, [y], lambda: [_with_special_values(x, y, 0.0)])[0]


def log1p(x: Vector) -> Vector:
    """Return log(1 + x) = k * log(2) + log(m + c), where 2**k * m is 1 + x rounded, and 2**k * c the rounding error."""
    special = _any_outside(x, -1.0 + 2.0**-53, 2.0**1000)
    total = x + 1.0
    rest = x - (total - 1.0)  # the rounding error of `total`: exact, unless it is far too small to matter
    number, bias = x.f.rarely(
        special,
        [total, x.constant(2.0**52 + BIAS)],
        lambda: [
            (x > 2.0**1000).select(x * 2.0**-64, total),  # otherwise 2**-k could not be represented
            (x > 2.0**1000).select(x.constant(2.0**52 + BIAS - 64.0), 2.0**52 + BIAS),
        ],
    )
    m, exponent = _split(number)
    c = rest * exponent.on_bits("xor", -1).on_bits("add", 2047).on_bits("shl", 52)  # 2046 - exponent, so 2**-k
    y = _log(exponent.on_bits("or", bits(2.0**52)) - bias, m - 1.0 + c).intrinsic("llvm.copysign", x)
    return x.f.rarely(special, [y], lambda: [_with_special_values(x, y, -1.0)])[0]


def _power(x: Vector, bias: float) -> tuple[Vector, Vector]:
    """Return 2**(k + bias - BIAS) and k, where k is x / log(2) rounded to an integer, and BIAS is 1023."""
    rounded = x.multiply_add(1.0 / math.log(2.0), TO_INTEGER + bias)
    return rounded.on_bits("shl", 52), rounded - (TO_INTEGER + bias)


def _expm1(x: Vector, bias: float) -> Vector:
    """Return (exp(x) - 1) * 2**(bias - BIAS), where BIAS is 1023.

    With x = k * log(2) + r, exp(x) - 1 is (2**k - 1) + 2**k * r, which is almost exact, plus a small correction.
    """
    power, k = _power(x, bias)
    r = k.multiply_add(-LN2_LOW, k.multiply_add(-LN2_HIGH, x))
    return power.multiply_add(r * r * _polynomial(r, EXP), power.multiply_add(r, power - 2.0 ** (bias - BIAS)))


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
    rest = s * z.multiply_add(_polynomial(z, LOG), half)
    return k.multiply_add(LN2_HIGH, f - (half - k.multiply_add(LN2_LOW, rest)))


def _with_special_values(x: Vector, y: Vector, pole: float) -> Vector:
    """Return `y`, which is log(x) or log(1 + x), corrected in the lanes where `x` has a special value.

    `pole` is 0 for log(x), and -1 for log(1 + x). The result is -inf where x is `pole`, nan where x is less than `pole`
    or nan, and inf where x is inf.
    """
    y = (x == pole).select(-inf, y)
    y = x.compare("ult", pole).select(nan, y)
    return (x == inf).select(inf, y)


def _polynomial(x: Vector, coefficients: Sequence[float]) -> Vector:
    """Return the value of a polynomial at `x`. The constant term is the first of the coefficients.

    Even and odd powers are added up separately, so two chains of instructions run in parallel.
    """
    square = x * x
    sums: list[Vector] = []
    for start in (0, 1):
        *rest, total = map(x.constant, coefficients[start::2])
        for c in reversed(rest):
            total = total.multiply_add(square, c)
        sums.append(total)
    return x.multiply_add(sums[1], sums[0])


def _clamp(x: Vector, low: float, high: float) -> Vector:
    """Return a vector with lanes below `low` replaced by `low`, and lanes above `high` by `high`. A nan stays."""
    x = (x < low).select(low, x)
    return (x > high).select(high, x)


def _any_outside(x: Vector, low: float, high: float) -> Condition:
    """Return the condition that at least one lane is below `low`, above `high`, or nan."""
    return (x.compare("ult", low) | (x > high)).any()


POLYNOMIALS: dict[str, Callable[[Vector], Vector]] = {f.__name__: f for f in (exp, expm1, log, log1p, tanh)}
