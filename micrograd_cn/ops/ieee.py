"""The float functions with which operations compute their values.

Where the functions of `math` raise an error, these functions return the result that IEEE 754 defines.

Each function takes any floats, inf and nan included, returns a float, and is accurate over its whole domain.
"""

import math
import operator
from collections.abc import Callable
from math import inf, nan

SQRT_HALF = math.sqrt(0.5)
INV_SQRT_2PI = 1.0 / math.sqrt(2.0 * math.pi)
TWO_INV_SQRT_PI = 2.0 / math.sqrt(math.pi)
LARGEST_FRACTION = 2.0**52  # from here on, every float is an integer


def _without_exceptions(f: Callable[[float], float]) -> Callable[[float], float]:
    """Return a function like `f` that returns nan outside the domain of `f`, and inf where `f` overflows.

    `f` itself raises an error there. Do not use this for an `f` that may overflow to -inf, such as sinh, because the
    function would return inf.
    """

    def forward(x: float) -> float:
        try:
            return f(x)
        except ValueError:
            return nan
        except OverflowError:
            return inf

    return forward


exp, expm1, sqrt, cosh = map(_without_exceptions, (math.exp, math.expm1, math.sqrt, math.cosh))
sin, cos, tan, asin, acos = map(_without_exceptions, (math.sin, math.cos, math.tan, math.asin, math.acos))


def log(x: float) -> float:
    """Return the natural logarithm of x: -inf if x is 0, nan if x is negative."""
    return math.log(x) if x > 0.0 else -inf if x == 0.0 else nan


def log1p(x: float) -> float:
    """Return log(1 + x): -inf if x is -1, nan if x is less than -1."""
    return math.log1p(x) if x > -1.0 else -inf if x == -1.0 else nan


def sinh(x: float) -> float:
    """Return the hyperbolic sine of x, which overflows to inf or -inf."""
    try:
        return math.sinh(x)
    except OverflowError:
        return math.copysign(inf, x)


def sech(x: float) -> float:
    """Return 1/cosh(x), computed from exp(-|x|), which cannot overflow."""
    e = math.exp(-math.fabs(x))
    return 2.0 * e / (1.0 + e * e)


def div(a: float, b: float) -> float:
    """Return a/b. If only b is 0, this is inf or -inf, by the signs of a and b; if both are 0, it is nan."""
    try:
        return a / b
    except ZeroDivisionError:
        return nan if a == 0.0 or a != a else math.copysign(inf, a) * math.copysign(1.0, b)


def pow(a: float, b: float) -> float:  # noqa: A001 -- the field's name
    """Return a**b. This is nan if a is negative and b is not an integer; 0 to a negative power is inf or -inf."""
    try:
        return math.pow(a, b)
    except (OverflowError, ValueError):
        whole = b.is_integer()
        if a < 0.0 and not whole:
            return nan
        return math.copysign(inf, a) if whole and math.fmod(b, 2.0) else inf


def sigmoid(x: float) -> float:
    """Return 1/(1 + exp(-x)), computed from exp(-|x|), which cannot overflow."""
    if x >= 0.0:
        return 1.0 / (1.0 + math.exp(-x))
    e = math.exp(x)
    return e / (1.0 + e)


def silu(x: float) -> float:
    """Return x*sigmoid(x), computed as x*exp(x/2)*exp(x/2) if x < -700, where exp(x) may be subnormal and inexact."""
    if x < -700.0:
        half = math.exp(0.5 * x)
        return x * half * half
    return x * sigmoid(x)


def softplus(x: float) -> float:
    """Return log(1 + exp(x)), computed from exp(-|x|), which cannot overflow."""
    return (x if x > 0.0 else 0.0) + math.log1p(math.exp(-math.fabs(x)))


def gelu(x: float) -> float:
    """Return x*Phi(x), where Phi is the normal distribution function.

    Phi(x) is computed from erfc, so it is accurate even where it is nearly 0.
    """
    return 0.5 * x * math.erfc(-SQRT_HALF * x)


def relu(x: float) -> float:
    """Return the larger of x and 0; nan stays nan."""
    return 0.0 if x < 0.0 else x


def leaky_relu(x: float, slope: float) -> float:
    """Return x if x > 0, else slope*x."""
    return x if x > 0.0 else slope * x


def elu(x: float, alpha: float) -> float:
    """Return x if x > 0, else alpha*(exp(x) - 1)."""
    return x if x > 0.0 else alpha * math.expm1(x)


def floor(x: float) -> float:
    """Return the largest integer that is not above x; x itself if it is not finite.

    A result of 0 has the sign of x.
    """
    return math.copysign(math.floor(x), x) if -LARGEST_FRACTION < x < LARGEST_FRACTION and x else x


def remainder(a: float, b: float) -> float:
    """Return a % b, which is a - b*floor(a/b) rounded only once; nan if b is 0 or a is infinite.

    The result has the sign of b.
    """
    return a % b if b else nan


def fmod(a: float, b: float) -> float:
    """Return a - b*trunc(a/b), which is exact and has the sign of a. It is nan if b is 0 or a is infinite."""
    return math.fmod(a, b) if b and math.isfinite(a) else nan


def floor_div(a: float, b: float) -> float:
    """Return the exact quotient a/b rounded down, as the nearest float.

    If only b is 0, the result is inf or -inf, by the signs of a and b. It is nan if both are 0, and if a is infinite
    and b is not 0.
    """
    return a // b if b else div(a, b)


def clip(x: float, low: float, high: float) -> float:
    """Return min(max(x, low), high), so high if low is above high. It is nan if x, low or high is nan."""
    return minimum(maximum(x, low), high)


def maximum(a: float, b: float) -> float:
    """Return the larger of a and b; nan if either is nan."""
    return b if a < b or b != b else a


def minimum(a: float, b: float) -> float:
    """Return the smaller of a and b; nan if either is nan."""
    return b if b < a or b != b else a


def sum(*xs: float) -> float:  # noqa: A001 -- the field's name
    """Return the correctly rounded sum of all xs, which does not depend on their order."""
    try:
        return math.fsum(xs)
    except (OverflowError, ValueError):  # an intermediate sum overflowed, or there is inf - inf
        if all(map(math.isfinite, xs)):
            return math.fsum([x * 2.0**-64 for x in xs]) * 2.0**64
        total = 0.0
        for x in xs:
            total += 0.0 if math.isfinite(x) else x
        return total


def dot(*operands: float) -> float:
    """Return x_1*y_1 + ... + x_n*y_n.

    The operands are x_1, ..., x_n, y_1, ..., y_n. If their count is odd, the last one is a bias, which is added.
    """
    n = len(operands) // 2
    terms = [*map(operator.mul, operands[:n], operands[n : 2 * n]), *operands[2 * n :]]
    try:
        return math.fsum(terms)
    except (OverflowError, ValueError):
        return sum(*terms)


def take(index: float, *xs: float) -> float:
    """Return the element of `xs` at the position `index`, counted from 0; nan if there is none, as at -1 and 0.5."""
    return xs[int(index)] if 0.0 <= index < len(xs) and index.is_integer() else nan


def logsumexp(*xs: float) -> float:
    """Return log(sum of exp(x_i)), where the x_i are the arguments xs.

    It is computed as m + log(1 + sum of exp(x_i - m)), where m is the largest x_i, and the sum is over the others.
    """
    if any(map(math.isnan, xs)):
        return nan
    peak = max(xs)
    if math.isinf(peak):
        return peak
    others = list(xs)
    others.remove(peak)
    return peak + math.log1p(math.fsum([math.exp(x - peak) for x in others]))


def log_sum_above(x: float, *xs: float) -> float:
    """Return logsumexp(xs) - x, where x is one of xs.

    It is computed as (m - x) + log(1 + sum of exp(x_i - m)), where m is the largest x_i, and the sum is over the
    others.
    """
    if any(map(math.isnan, xs)):
        return nan
    peak = max(xs)
    if math.isinf(peak):
        return peak - x
    others = [other - peak for other in xs]
    others.remove(0.0)
    return peak - x + math.log1p(math.fsum(map(math.exp, others)))
