"""Numbers without rounding, with their first and second derivatives, to compare the derivatives of floats with.

Sums and products are exact as long as PRECISION bits hold them. Other functions are rounded to FUNCTION_PRECISION bits.
"""

from mpmath import mp, mpf

PRECISION, FUNCTION_PRECISION = 20_000, 200
EXACTLY_ZERO = (mpf(0), mpf(0))


class Exact:
    """A number with its gradient and Hessian. Each number comes with the sum of the sizes of its terms.

    That sum says how far rounding carries a float: by some units in the last place of the sum.

    Attributes:
        value: a pair of the number and the sum of sizes.
        gradient: a list of such pairs, by variable.
        hessian: a list of lists of such pairs.
    """

    def __init__(self, value, gradient, hessian):
        self.value, self.gradient, self.hessian = value, gradient, hessian

    @classmethod
    def variables(cls, *xs):
        n = range(len(xs))
        rows = [[(mpf(i == j),) * 2 for j in n] for i in n]
        return [cls(_sized(x), row, [[EXACTLY_ZERO for _ in n] for _ in n]) for x, row in zip(xs, rows, strict=True)]

    def __add__(self, other):
        if not isinstance(other, Exact):
            return Exact(_plus(self.value, _sized(other)), self.gradient, self.hessian)
        n = range(len(self.gradient))
        return Exact(
            _plus(self.value, other.value),
            [_plus(self.gradient[i], other.gradient[i]) for i in n],
            [[_plus(self.hessian[i][j], other.hessian[i][j]) for j in n] for i in n],
        )

    def __mul__(self, other):
        n, (f, g, h) = range(len(self.gradient)), (self.value, self.gradient, self.hessian)
        if not isinstance(other, Exact):
            k = _sized(other)
            return Exact(_times(f, k), [_times(g[i], k) for i in n], [[_times(h[i][j], k) for j in n] for i in n])
        u, v, w = other.value, other.gradient, other.hessian
        return Exact(
            _times(f, u),
            [_plus(_times(g[i], u), _times(f, v[i])) for i in n],
            [
                [_plus(_times(h[i][j], u), _times(f, w[i][j]), _times(g[i], v[j]), _times(g[j], v[i])) for j in n]
                for i in n
            ],
        )

    def __neg__(self):
        return self * -1.0

    def __sub__(self, other):
        return self + (-other)

    def __truediv__(self, other):
        with mp.workprec(FUNCTION_PRECISION):
            if not isinstance(other, Exact):
                return self * (1 / mpf(other))
            x = other.value[0]
            derivatives = 1 / x, -1 / x**2, 2 / x**3
        return self * other.of(*derivatives)

    def __rtruediv__(self, other):
        return Exact.__truediv__(self * 0.0 + other, self)

    def __pow__(self, k):
        x = self.value[0]
        with mp.workprec(FUNCTION_PRECISION):
            derivatives = x**k, k * x ** (k - 1), k * (k - 1) * x ** (k - 2)
        return self.of(*derivatives)

    def sin(self):
        x = self.value[0]
        with mp.workprec(FUNCTION_PRECISION):
            derivatives = mp.sin(x), mp.cos(x), -mp.sin(x)
        return self.of(*derivatives)

    def of(self, value, first, second):
        """Return f(self), where `value`, `first` and `second` are f, f' and f'' there."""
        n, g = range(len(self.gradient)), self.gradient
        f, df, ddf = map(_sized, (value, first, second))
        rows = [[_plus(_times(df, self.hessian[i][j]), _times(ddf, _times(g[i], g[j]))) for j in n] for i in n]
        return Exact(f, [_times(df, g[i]) for i in n], rows)

    __radd__, __rmul__ = __add__, __mul__


def _sized(x):
    return mpf(x), abs(mpf(x))


def _plus(*terms):
    return sum(x for x, _ in terms), sum(size for _, size in terms)


def _times(a, b):
    return a[0] * b[0], a[1] * b[1]
