"""The functions `lgamma`, `digamma`, `polygamma` and `erfinv`, which Python's module `math` lacks or computes coarsely.

`lgamma`, `digamma`, `polygamma` and `erfinv` take floats, as the functions of `ieee` do. The other functions are parts
of these. Except for `fraction` and `cotangent`, they do not branch on floats, so they can also be called with the
symbols of a formula, although their signatures say `float`. This gives the formulas for other languages (see `table`).

The polynomials were fitted to mpmath's numbers at Chebyshev's nodes. Their errors are below a tenth of an ulp.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import cache
from math import inf, nan, pi

from . import ieee

FAR = 8.0  # from here on, the asymptotic series have all digits
SMALL = 1e-17  # lgamma(x) is lgamma(-x) where |x| is smaller
LOG_SQRT_2PI = 0.9189385332046728
HALF_SQRT_PI = math.sqrt(math.pi) / 2.0
# The positive root of digamma is the sum of these two numbers.
ROOT, ROOT_REST = 1.4616321449683622, 9.549995429965697e-17
# lgamma(2 + u) = u * (LGAMMA[0] + LGAMMA[1] * u + ...) for |u| <= 0.5
# fmt: off
LGAMMA = (
    0.42278433509846713, 0.3224670334241132, -0.06735230105319563, 0.02058080842778338, -0.007385551028935545,
    0.002890510330865901, -0.0011927539009983087, 0.0005096695196526673, -0.00022315497746292723,
    9.945761692157133e-05, -4.4923727564247656e-05, 2.050601970174762e-05, -9.45628851510172e-06,
    4.3828545383846665e-06, -1.9743106888421067e-06, 9.242852225162277e-07, -5.811277768921246e-07,
    2.7475390051909663e-07,
)
# digamma(1.5 + t) = (1.5 + t - root) * (DIGAMMA[0] + DIGAMMA[1] * t + ...) for |t| <= 0.5
DIGAMMA = (
    0.9510558760318328, -0.4236274212814606, 0.24054248424078697, -0.14840492305388092, 0.09498872445289039,
    -0.06192213327548831, 0.040760833940846085, -0.026975796659787055, 0.017907248317313294, -0.011908220105959716,
    0.007927021796868154, -0.005279937255532708, 0.003518106563802472, -0.0023454947397380833, 0.0015633696313653504,
    -0.0010364584817312839, 0.0006909255761282986, -0.00048595039220036254, 0.00032395945401345196,
    -0.00014480643368061614, 9.653646261410062e-05, -0.0001782188548855923, 0.00011881232908510335,
)
# lgamma(x) = (x - 0.5) * log(x) - x + log(sqrt(2 pi)) + (LGAMMA_FAR[0] + LGAMMA_FAR[1] / x**2 + ...) / x for x >= FAR
LGAMMA_FAR = (
    0.08333333333333333, -0.002777777777773988, 0.0007936507897524059, -0.0005952365845057049, 0.0008414700852503147,
    -0.001890382993887715, 0.005065905360156132,
)
# digamma(x) = log(x) - 0.5 / x - (DIGAMMA_FAR[0] + DIGAMMA_FAR[1] / x**2 + ...) / x**2 for x >= FAR
DIGAMMA_FAR = (
    0.08333333333333333, -0.008333333333331664, 0.003968253965999701, -0.004166665501516725, 0.007575459920369176,
    -0.02105106090804774, 0.08002337465397756, -0.299425370626735,
)
# erfinv(x) is about x * (NEAR[0] + NEAR[1] * (w - 2.5) + ...) with w = -log(1 - x**2) < 5, to 1e-8 of x
NEAR = (
    1.501409360450329, 0.24664027905463662, -0.004177392875203149, -0.001252726391773229, 0.00021834938623976644,
    -4.9724196894547514e-06, -3.4639852676333717e-06, 4.6813134805534123e-07, 2.3335967195708108e-08,
    -8.931925970244222e-09,
)
# For larger w it is about x * (TAIL[0] + TAIL[1] * (sqrt(w) - 3) + ...), to 2e-6 of x.
TAIL = (
    2.8329757694241513, 1.0016838767666574, 0.00946664127354239, -0.007738362216368892, 0.005670563133424575,
    -0.003292373098992444, 0.001267935521849544, -0.0002715200685964368, 1.7329621241542465e-05,
    3.920888252999004e-06, -5.932747500040487e-07,
)
# The Bernoulli numbers B_2, B_4, ..., B_24
BERNOULLI = (
    1 / 6, -1 / 30, 1 / 42, -1 / 30, 5 / 66, -691 / 2730, 7 / 6, -3617 / 510, 43867 / 798, -174611 / 330, 854513 / 138,
    -236364091 / 2730,
)
# fmt: on


def polynomial(x: float, coefficients: Sequence[float]) -> float:
    """Return coefficients[0] + coefficients[1] * x + coefficients[2] * x**2 + ..., for a float or a symbol x."""
    total: float = coefficients[-1]
    for c in coefficients[-2::-1]:
        total = total * x + c
    return total


def power(x: float, exponent: int) -> float:
    """Return x**exponent for a positive integer exponent, as a product of squares."""
    if exponent == 1:
        return x
    half = power(x, exponent // 2)
    return half * half * x if exponent % 2 else half * half


def lgamma_far(x: float, log_x: float, inverse: float) -> float:
    """Return lgamma(x) for x >= FAR, from `log_x`, which is log(x), and `inverse`, which is 1/x.

    No intermediate result overflows unless lgamma(x) does.
    """
    rest = LOG_SQRT_2PI - 0.5 + polynomial(inverse * inverse, LGAMMA_FAR) * inverse
    return (x - 0.5) * (log_x - 1.0) + rest


def lgamma_near_two(u: float) -> float:
    """Return lgamma(2 + u) for |u| <= 0.5. It has no error at its root u = 0."""
    return u * polynomial(u, LGAMMA)


def digamma_far(log_x: float, inverse: float) -> float:
    """Return digamma(x) for x >= FAR, from `log_x`, which is log(x), and `inverse`, which is 1/x."""
    square = inverse * inverse
    return log_x - 0.5 * inverse - square * polynomial(square, DIGAMMA_FAR)


def digamma_near_root(u: float) -> float:
    """Return digamma(1 + u) for u from 0 to 1. It is accurate also near its root in this interval."""
    return (u - (ROOT - 1.0) - ROOT_REST) * polynomial(u - 0.5, DIGAMMA)


@cache
def polygamma_series(order: int) -> tuple[int, float, tuple[float, ...]]:
    """Return (count, (order - 1)!, coefficients): what `polygamma_sum` needs to compute polygamma of the order `order`.

    A derivative of digamma is an infinite sum. `polygamma_sum` adds up its first `count` terms, and computes the sum of
    all later terms by an asymptotic series with these coefficients. There, the series is accurate to all digits of a
    float.
    """
    start, factor = 12 + order, math.factorial(order - 1)
    found = []
    for k, bernoulli in enumerate(BERNOULLI, 1):
        c = bernoulli * math.factorial(2 * k + order - 1) / (math.factorial(2 * k) * factor)
        found.append(c)
        if math.fabs(c) < 2.0**-58 * float(start) ** (2 * k):
            break
    return start, float(factor), tuple(found)


def polygamma_sum(order: int, inverses: Sequence[float]) -> float:
    """Return the derivative of order `order` of digamma at x > 0, from the list 1/x, 1/(x + 1), 1/(x + 2) and so on.

    `polygamma_series` says how many items of `inverses` are terms of the sum. One more item follows, 1/(x + count), at
    which the asymptotic series is computed.
    """
    start, factor, series = polygamma_series(order)
    last = inverses[start]
    far = (1.0 + 0.5 * order * last + last * last * polynomial(last * last, series)) * power(last, order) * factor
    near: float = 0.0
    for inverse in reversed(inverses[:start]):
        near = near + power(inverse, order + 1)
    total = near * (factor * order) + far
    return total if order % 2 else -total


@cache
def cotangent_derivative(order: int) -> tuple[float, ...]:
    """Return the derivative of order `order` of cot(x): the coefficients of a polynomial in cot(x), constant first."""
    found = [0.0, 1.0]
    for _ in range(order):
        slope = [k * c for k, c in enumerate(found)][1:]
        found = [-(a + b) for a, b in zip([*slope, 0.0, 0.0], [0.0, 0.0, *slope], strict=True)]
    return tuple(found)


def reflected(order: int, cotangent: float) -> float:
    """Return the derivative of order `order` of pi * cot(pi * x), computed from `cotangent`, which is cot(pi * x)."""
    found = cotangent_derivative(order)
    parity = (order + 1) % 2
    total = polynomial(cotangent * cotangent, found[parity::2])
    return (total * cotangent if parity else total) * pi ** (order + 1)


def erfinv_step(guess: float, missing: float) -> float:
    """Return a better approximation to the y for which erf(y) = x than `guess`, by one step of Halley's method.

    `missing` is (erf(guess) - x) * exp(guess**2).
    """
    newton = HALF_SQRT_PI * missing
    return guess - newton / (1.0 + guess * newton)


def fraction(size: float) -> float:
    """Return how far the positive number `size` is above its nearest integer: an exact number from -0.5 to 0.5."""
    rest = size % 1.0
    return rest - 1.0 if rest > 0.5 else rest


def cotangent(rest: float) -> float:
    """Return cot(pi * rest) for a `rest` from -0.5 to 0.5; inf if it is 0."""
    near = math.fabs(rest)
    found = ieee.div(1.0, math.tan(pi * near)) if near <= 0.25 else math.tan(pi * (0.5 - near))
    return -found if rest < 0.0 else found


def lgamma(x: float) -> float:
    """Return log(|gamma(x)|): inf at 0, at negative integers, at inf and at -inf."""
    size = math.fabs(x)
    if x < -SMALL:
        sine = math.sin(pi * math.fabs(fraction(size))) if size < inf else 0.0
        return math.log(pi / (size * sine)) - lgamma(size) if sine else inf
    if size >= FAR:
        return lgamma_far(size, math.log(size), 1.0 / size)
    if size < 0.5:
        return lgamma_near_two(size) - ieee.log(size * (1.0 + size))
    if size < 1.5:
        return lgamma_near_two(size - 1.0) - math.log(size)
    factor = 1.0
    while size >= 2.5:
        size -= 1.0
        factor *= size
    return lgamma_near_two(size - 2.0) + math.log(factor)


def digamma(x: float) -> float:
    """Return the derivative of lgamma at x: -inf at 0, inf at -0.0, nan at negative integers and -inf."""
    if x < 0.0:
        rest = fraction(-x)
        mirrored = digamma_near_root(-x) if x > -1.0 else digamma(1.0 - x)
        return mirrored + pi * cotangent(rest) if rest else nan
    if x >= FAR:
        return digamma_far(math.log(x), 1.0 / x)
    if x < 1.0:
        return digamma_near_root(x) - ieee.div(1.0, x)
    total = 0.0
    while x >= 2.0:
        x -= 1.0
        total += 1.0 / x
    return digamma_near_root(x - 1.0) + total


def polygamma(order: int, x: float) -> float:
    """Return the derivative of order `order` of digamma at x, where the order is positive.

    At 0 and at negative integers, it is inf if the order is odd. If the order is even, it is -inf at 0 and inf at -0.0,
    and nan at negative integers, where it is inf on one side and -inf on the other.
    """
    if x < 0.0:
        rest = fraction(-x)
        if not rest and order % 2 == 0:
            return nan
        mirrored = polygamma(order, 1.0 - x)
        return (-mirrored if order % 2 else mirrored) - reflected(order, -cotangent(rest))
    start, _, _ = polygamma_series(order)
    return polygamma_sum(order, [ieee.div(1.0, x), *[1.0 / (x + k) for k in range(1, start + 1)]])


def erfinv(x: float) -> float:
    """Return the y for which erf(y) = x: inf at 1, -inf at -1, nan outside of [-1, 1]."""
    size = math.fabs(x)
    if not size < 1.0:
        return x * inf if size == 1.0 else nan
    w = -math.log((1.0 - size) * (1.0 + size))
    guess = size * (polynomial(w - 2.5, NEAR) if w < 5.0 else polynomial(math.sqrt(w) - 3.0, TAIL))
    missing = math.erf(guess) - size if size <= 0.5 else 1.0 - size - math.erfc(guess)
    return math.copysign(erfinv_step(guess, missing * math.exp(guess * guess)), x)
