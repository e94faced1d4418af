"""Every row of the table as a truncated power series over mpmath: its derivatives up to ORDER, without cancellation.

Nothing here is taken from the table. A function of jets is built from its value and its derivative, which is itself a
function of jets.
"""

from math import factorial, prod

from mpmath import mp, mpf

from .references import _clip, _exp

ORDER = 4


class Jet:
    """A polynomial in small changes of n operands, of degree ORDER at most: its coefficients by their exponents."""

    def __init__(self, coefficients):
        self.coefficients = coefficients

    @classmethod
    def variables(cls, *xs):
        n = len(xs)
        units = [tuple(int(i == j) for j in range(n)) for i in range(n)]
        return [cls({(0,) * n: mpf(x), unit: mpf(1)}) for x, unit in zip(xs, units, strict=True)]

    @property
    def origin(self):
        return (0,) * len(next(iter(self.coefficients)))

    @property
    def value(self):
        return self.coefficients[self.origin]

    def derivative(self, times):
        """Return the derivative; `times` says how often it is taken with respect to each operand."""
        return self.coefficients.get(times, mpf(0)) * prod(map(factorial, times))

    def compose(self, series):
        """Return the sum of series[k] * change**k, where `change` is this jet without its value."""
        change = Jet(self.coefficients | {self.origin: mpf(0)})
        total, power = self * 0, change
        total += series[0]
        for s in series[1:]:
            total, power = total + power * s, power * change
        return total

    def __add__(self, other):
        other = other.coefficients if isinstance(other, Jet) else {self.origin: other}
        mine = self.coefficients
        return Jet({k: mine.get(k, 0) + other.get(k, 0) for k in {**mine, **other}})

    def __mul__(self, other):
        if not isinstance(other, Jet):
            return Jet({k: c * other for k, c in self.coefficients.items()})
        product = {self.origin: mpf(0)}
        for k, c in self.coefficients.items():
            for m, d in other.coefficients.items():
                if c and d and sum(k) + sum(m) <= ORDER:
                    together = tuple(map(int.__add__, k, m))
                    product[together] = product.get(together, 0) + c * d
        return Jet(product)

    def __pow__(self, exponent):
        series, factor = [], mpf(1)
        for k in range(ORDER + 1):
            series.append(factor * self.value ** (exponent - k) if factor else mpf(0))
            factor *= (exponent - k) / mpf(k + 1)
        return self.compose(series)

    __radd__, __rmul__ = __add__, __mul__

    def __neg__(self):
        return self * -1

    def __sub__(self, other):
        return self + -other

    def __rsub__(self, other):
        return -self + other

    def __truediv__(self, other):
        return self * other**-1

    def __rtruediv__(self, other):
        return self**-1 * other


def brief(f):
    """Return a function of numbers that is computed to 300 bits at most.

    All of these bits are right, since nothing cancels in `f`, and the 1300 bits for what does cancel take long.
    """

    def function(*xs):
        with mp.workprec(min(mp.prec, 300)):
            return f(*xs)

    return function


def periodic(*derivatives):
    """Return the function whose derivatives repeat: itself is the first of these."""

    def function(x):
        numbers = [f(x.value) for f in derivatives]
        return x.compose([numbers[k % len(numbers)] / factorial(k) for k in range(ORDER + 1)])

    return function


def integral(value, slope):
    """Return a function of jets from its value, a function of numbers, and its derivative, a function of jets."""

    def function(x):
        [t] = Jet.variables(x.value)
        series = slope(t).coefficients
        return x.compose([value(x.value), *[series.get((k,), mpf(0)) / (k + 1) for k in range(ORDER)]])

    return function


def _minus_sin(x):
    return -mp.sin(x)


def _minus_cos(x):
    return -mp.cos(x)


def _sinh(x):
    return mp.sinh(_clip(x))


def _cosh(x):
    return mp.cosh(_clip(x))


exp = periodic(_exp)
expm1 = integral(lambda x: mp.expm1(_clip(x)), exp)
log = integral(mp.log, lambda t: 1 / t)
sin = periodic(mp.sin, mp.cos, _minus_sin, _minus_cos)
cos = periodic(mp.cos, _minus_sin, _minus_cos, mp.sin)
sinh, cosh = periodic(_sinh, _cosh), periodic(_cosh, _sinh)
erf = integral(brief(lambda x: mp.erf(_clip(x, 60))), lambda t: exp(-t * t) * (2 / mp.sqrt(mp.pi)))
erfc = integral(brief(lambda x: mp.erfc(_clip(x, 60))), lambda t: exp(-t * t) * (-2 / mp.sqrt(mp.pi)))
atan = integral(mp.atan, lambda t: 1 / (1 + t * t))


def _root(x):
    return x ** mpf("0.5")


def _logistic(x):
    return 1 / (1 + exp(-x))


def _atan2(y, x):
    """Return the angle, up to a constant."""
    return atan(y / x) if abs(x.value) >= abs(y.value) else -atan(x / y)


def _softplus(x):
    return log(1 + exp(x)) if x.value < 0 else x + log(1 + exp(-x))


def _dot(*operands):
    n = len(operands) // 2
    products = [x * y for x, y in zip(operands[:n], operands[n : 2 * n], strict=True)]
    return sum([*products, *operands[2 * n :]], operands[0] * 0)


def _logsumexp(*xs):
    peak = max(x.value for x in xs)
    return log(sum((exp(x - peak) for x in xs), xs[0] * 0)) + peak


psi = brief(mp.psi)


def _psi(x):
    """Return digamma. Far out, where mpmath is slow, it is log(x) - 1/(2x) to all digits."""
    if x.value > 1e30:
        return log(x) - 0.5 / x
    return x.compose([psi(k, x.value) / factorial(k) for k in range(ORDER + 1)])


def _erfinv(x):
    """Return the inverse of erf, by its differential equation: y' = sqrt(pi)/2 * exp(y**2)."""
    y = mp.erfinv(x.value)
    [t] = Jet.variables(x.value)
    found = t * 0 + y
    for _ in range(ORDER):
        slope = exp(found * found) * (mp.sqrt(mp.pi) / 2)
        found = Jet({(k + 1,): slope.coefficients.get((k,), mpf(0)) / (k + 1) for k in range(ORDER)} | {(0,): y})
    return x.compose([found.coefficients.get((k,), mpf(0)) for k in range(ORDER + 1)])


def _value(x):
    return x.value


def _constant(*operands):
    return sum(operands) * 0


FUNCTIONS = {
    "neg": lambda x: -x,
    "add": lambda a, b: a + b,
    "sub": lambda a, b: a - b,
    "mul": lambda a, b: a * b,
    "div": lambda a, b: a / b,
    "pow": lambda a, b: exp(b * log(a)),
    "abs": lambda x: x if x.value > 0 else -x,
    "exp": exp,
    "expm1": expm1,
    "log": log,
    "log1p": lambda x: log(1 + x),
    "sqrt": _root,
    "sin": sin,
    "cos": cos,
    "tan": lambda x: sin(x) / cos(x),
    "asin": integral(mp.asin, lambda t: 1 / _root(1 - t * t)),
    "acos": integral(mp.acos, lambda t: -1 / _root(1 - t * t)),
    "atan": atan,
    "atan2": _atan2,
    "hypot": lambda x, y: _root(x * x + y * y),
    "sinh": sinh,
    "cosh": cosh,
    "sech": lambda x: 1 / cosh(x),
    "tanh": lambda x: sinh(x) / cosh(x),
    "sigmoid": _logistic,
    "relu": lambda x: x if x.value > 0 else _constant(x),
    "leaky_relu": lambda x, slope: x + _constant(slope) if x.value > 0 else slope * x,
    "elu": lambda x, alpha: x + _constant(alpha) if x.value > 0 else alpha * expm1(x),
    "softplus": _softplus,
    "gelu": lambda x: x * erfc(x * (-1 / mp.sqrt(2))) * mpf("0.5"),
    "silu": lambda x: x * _logistic(x),
    "erf": erf,
    "erfc": erfc,
    "erfinv": _erfinv,
    "lgamma": integral(brief(lambda x: mp.re(mp.loggamma(x))), lambda t: _psi(t)),
    "digamma": lambda x: _psi(x),
    "floor": lambda x: _constant(x) + mp.floor(x.value),
    "remainder": lambda a, b: a - b * mp.floor(a.value / b.value),
    "less": _constant,
    "less_equal": _constant,
    "equal": _constant,
    "step": _constant,
    "where": lambda c, a, b: (a if c.value else b) + _constant(a, b, c),
    "maximum": lambda a, b: max(a, b, key=lambda x: x.value),
    "minimum": lambda a, b: min(a, b, key=lambda x: x.value),
    "clip": lambda x, low, high: min(max(x, low, key=_value), high, key=_value),
    "sum": lambda *xs: sum(xs),
    "dot": _dot,
    "logsumexp": _logsumexp,
    "logaddexp": _logsumexp,
    "take": lambda index, *xs: xs[int(index.value)] + _constant(index),
}
