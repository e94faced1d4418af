"""References for the operation table: formulas in mpmath, the points to look at, and PyTorch's special values.

A row of fixed arity has `(value, *partials)`, an n-ary row `(value, all partials)`. Nothing is taken from the table.
Arguments of exponentials are clipped far outside the range of doubles, where a result is sure to overflow or underflow.
"""

import math
import sys
from itertools import product

from mpmath import mp, mpf


def _clip(x, bound=4000):
    return max(-bound, min(x, bound))


def _exp(x):
    return mp.exp(_clip(x))


def _logistic(x):
    return 1 / (1 + _exp(-x))


def _bell(x):
    return _exp(-x * x / 2) / mp.sqrt(2 * mp.pi)


def _normal(x):
    return mp.erfc(-_clip(x, 60) / mp.sqrt(2)) / 2


def _power(a, b):
    return _exp(b * mp.log(a))


def _halves(operands):
    n = len(operands) // 2
    return operands[:n], operands[n : 2 * n], operands[2 * n :]


def _dot(*operands):
    xs, ys, bias = _halves(operands)
    return sum((x * y for x, y in zip(xs, ys, strict=True)), mpf(0)) + sum(bias)


def _dot_gradient(*operands):
    xs, ys, bias = _halves(operands)
    return [*ys, *xs, *[1 for _ in bias]]


def _logsumexp(*xs):
    return max(xs) + mp.log(sum(_exp(x - max(xs)) for x in xs))


def _softmax(*xs):
    return [1 / sum(_exp(other - x) for other in xs) for x in xs]


def _polygamma(order):
    """Return the derivative of digamma of an order; order -1 is lgamma. mpmath is slow for large numbers."""

    def function(x):
        if x > mpf(10) ** 30:
            return [mp.log(x), 1 / x, x * (mp.log(x) - 1)][order]
        if x <= 0 and x == mp.floor(x):
            raise ZeroDivisionError("a pole")
        return mp.re(mp.loggamma(x)) if order < 0 else mp.psi(order, x)

    return function


def _clipped(x, low, high):
    return min(max(x, low), high)


def _take(index, *xs):
    """Return the operand whose number is nearest to the index; nan outside.

    Near a whole number the result does not change, so numerical derivatives with respect to the index are 0.
    """
    number = int(mp.nint(index)) if mp.isfinite(index) else -1
    return xs[number] if 0 <= number < len(xs) else mp.nan


def _taken(index, *xs):
    return [0, *(int(index == k) for k in range(len(xs)))]


REFERENCES = {
    "neg": (lambda x: -x, lambda x: -1),
    "add": (lambda a, b: a + b, lambda a, b: 1, lambda a, b: 1),
    "sub": (lambda a, b: a - b, lambda a, b: 1, lambda a, b: -1),
    "mul": (lambda a, b: a * b, lambda a, b: b, lambda a, b: a),
    "div": (lambda a, b: a / b, lambda a, b: 1 / b, lambda a, b: -a / b**2),
    "pow": (_power, lambda a, b: b * _power(a, b - 1), lambda a, b: _power(a, b) * mp.log(a)),
    "abs": (lambda x: abs(x), lambda x: mp.sign(x)),
    "exp": (_exp, _exp),
    "expm1": (lambda x: mp.expm1(_clip(x)), _exp),
    "log": (mp.log, lambda x: 1 / x),
    "log1p": (mp.log1p, lambda x: 1 / (1 + x)),
    "sqrt": (mp.sqrt, lambda x: 1 / (2 * mp.sqrt(x))),
    "sin": (mp.sin, mp.cos),
    "cos": (mp.cos, lambda x: -mp.sin(x)),
    "tan": (mp.tan, lambda x: 1 / mp.cos(x) ** 2),
    "asin": (mp.asin, lambda x: 1 / mp.sqrt(1 - x * x)),
    "acos": (mp.acos, lambda x: -1 / mp.sqrt(1 - x * x)),
    "atan": (mp.atan, lambda x: 1 / (1 + x * x)),
    "atan2": (mp.atan2, lambda y, x: x / (x * x + y * y), lambda y, x: -y / (x * x + y * y)),
    "hypot": (mp.hypot, lambda x, y: x / mp.sqrt(x * x + y * y), lambda x, y: y / mp.sqrt(x * x + y * y)),
    "sinh": (lambda x: mp.sinh(_clip(x)), lambda x: mp.cosh(_clip(x))),
    "cosh": (lambda x: mp.cosh(_clip(x)), lambda x: mp.sinh(_clip(x))),
    "sech": (lambda x: mp.sech(_clip(x)), lambda x: -mp.sinh(_clip(x)) / mp.cosh(_clip(x)) ** 2),
    "tanh": (lambda x: mp.tanh(_clip(x)), lambda x: mp.sech(_clip(x)) ** 2),
    "sigmoid": (_logistic, lambda x: _exp(-x) / (1 + _exp(-x)) ** 2),
    "relu": (lambda x: max(x, 0), lambda x: 1 if x > 0 else 0),
    "leaky_relu": (
        lambda x, slope: x if x > 0 else slope * x,
        lambda x, slope: 1 if x > 0 else slope,
        lambda x, slope: min(x, 0),
    ),
    "elu": (
        lambda x, alpha: x if x > 0 else alpha * mp.expm1(_clip(x)),
        lambda x, alpha: 1 if x > 0 else alpha * _exp(x),
        lambda x, alpha: 0 if x > 0 else mp.expm1(_clip(x)),
    ),
    "softplus": (lambda x: max(x, 0) + mp.log1p(_exp(-abs(x))), _logistic),
    "gelu": (lambda x: x * _normal(x), lambda x: _normal(x) + x * _bell(x)),
    "silu": (lambda x: x * _logistic(x), lambda x: _logistic(x) * (1 + x * _logistic(-x))),
    "erf": (lambda x: mp.erf(_clip(x, 60)), lambda x: 2 * _exp(-x * x) / mp.sqrt(mp.pi)),
    "erfc": (lambda x: mp.erfc(_clip(x, 60)), lambda x: -2 * _exp(-x * x) / mp.sqrt(mp.pi)),
    "erfinv": (mp.erfinv, lambda x: mp.sqrt(mp.pi) / 2 * mp.exp(mp.erfinv(x) ** 2)),
    "lgamma": (_polygamma(-1), _polygamma(0)),
    "digamma": (_polygamma(0), _polygamma(1)),
    "floor": (mp.floor, lambda x: 0),
    "remainder": (lambda a, b: a - b * mp.floor(a / b), lambda a, b: 1, lambda a, b: -mp.floor(a / b)),
    "less": (lambda a, b: int(a < b), lambda a, b: 0, lambda a, b: 0),
    "less_equal": (lambda a, b: int(a <= b), lambda a, b: 0, lambda a, b: 0),
    "equal": (lambda a, b: int(a == b), lambda a, b: 0, lambda a, b: 0),
    "step": (lambda x: int(x > 0), lambda x: 0),
    "where": (
        lambda c, a, b: a if c else b,
        lambda c, a, b: 0,
        lambda c, a, b: 1 if c else 0,
        lambda c, a, b: 0 if c else 1,
    ),
    "maximum": (max, lambda a, b: int(a > b), lambda a, b: int(b > a)),
    "minimum": (min, lambda a, b: int(a < b), lambda a, b: int(b < a)),
    "clip": (
        _clipped,
        lambda x, low, high: int(low < x < high),
        lambda x, low, high: int(x < low < high),
        lambda x, low, high: int(high < max(x, low)),
    ),
    "sum": (lambda *xs: sum(xs), lambda *xs: [1] * len(xs)),
    "dot": (_dot, _dot_gradient),
    "logsumexp": (_logsumexp, _softmax),
    "logaddexp": (_logsumexp, lambda a, b: 1 / (1 + _exp(b - a)), lambda a, b: 1 / (1 + _exp(a - b))),
    "take": (_take, _taken),
}

# The bits that a reference needs if 250 are too few: sums of products cancel, from 2**2048 down to 2**-2148.
BITS = {"sum": 2200, "dot": 4400, "logsumexp": 1200, "logaddexp": 1200, "remainder": 4400}

# The points, by the number of operands.

TINY, NORMAL, LARGEST = 5e-324, sys.float_info.min, sys.float_info.max
EDGES = [TINY, 1e-323, NORMAL - TINY, NORMAL, 1e-300, 1e-8, 0.5, 1 - 2**-53, 1.0, 1 + 2**-52, math.pi / 2, 2.0, math.pi]
EDGES += [
    6.0,
    26.5,
    36.7,
    38.5,
    40.0,
    700.0,
    709.7,
    709.79,
    710.4,
    710.48,
    745.0,
    745.2,
    750.0,
    1e300,
    1.7e308,
    LARGEST,
]
EDGES = [0.0, *[sign * x for x in EDGES for sign in (1, -1)]]
HUGE = EDGES[-6:]
DECADES = [sign * 10.0**exponent for exponent in range(-323, 309) for sign in (1, -1)]


def magnitude(rng, low=-323.0, high=308.2):
    return rng.choice((1, -1)) * 10 ** rng.uniform(low, high)


def unary_points(rng):
    xs = [*EDGES, *DECADES, *[magnitude(rng) for _ in range(150)]]
    return [(x,) for x in xs + [rng.uniform(-bound, bound) for bound in (1, 10, 750) for _ in range(150)]]


def binary_points(rng):
    points = list(product(EDGES, EDGES))
    for _ in range(250):
        a, near_one = magnitude(rng), 1 + rng.uniform(-1, 1) * 2.0 ** -rng.randint(1, 52)
        points += [(a, magnitude(rng)), (a, a * rng.uniform(-1, 1)), (rng.uniform(-750, 750), a)]
        points += [(magnitude(rng, high=-306), magnitude(rng, high=-306))]
        points += [(x, rng.uniform(-750, 750) / math.log(abs(x))) for x in (a, near_one) if abs(x) != 1]
    return points


def ternary_points(rng):
    return [tuple(rng.choice(EDGES) for _ in range(3)) for _ in range(500)]


def lists(rng):
    for n in (1, 2, 3, 5, 8):
        for _ in range(25):
            yield tuple(magnitude(rng) for _ in range(n))
            yield tuple(rng.choice(EDGES) for _ in range(n))
            yield tuple(rng.choice(HUGE) for _ in range(n))
            yield tuple(rng.uniform(-750, 750) for _ in range(n))
            yield tuple(rng.uniform(-5, 5) for _ in range(n))
            nearly_equal = magnitude(rng)
            yield tuple(nearly_equal * rng.uniform(0.999, 1) for _ in range(n))


def numbered(op, points):
    """Yield the points; for a row that chooses, make the first operand the number of another one, if there is one."""
    for xs in points:
        if not op.lowerings.is_gather:
            yield xs
        elif len(xs) > 1:
            yield (float(len(repr(xs[0])) % (len(xs) - 1)), *xs[1:])


POINTS = {None: lists, 1: unary_points, 2: binary_points, 3: ternary_points}


# What PyTorch 2.13 gives in float64 on a CPU at special values: `torch.<name>` or `torch.nn.functional.<name>`, and the
# gradients by backward() (-0.0 is written 0). Numbers are as Python writes them, with the functions of `math`.

SPECIAL = "nan inf -inf 0 -0.0 5e-324 -5e-324 1e308 -1e308"
POLES = "1 -1 2 -2"

PYTORCH_UNARY = {  # the values, then the gradients, at SPECIAL; in longer rows, at POLES too
    "neg": ("nan -inf inf -0.0 0 -5e-324 5e-324 -1e308 1e308", "-1 -1 -1 -1 -1 -1 -1 -1 -1"),
    "abs": ("nan inf inf 0 0 5e-324 5e-324 1e308 1e308", "0 1 -1 0 0 1 -1 1 -1"),
    "exp": ("nan inf 0 1 1 1 1 inf 0", "nan inf 0 1 1 1 1 inf 0"),
    "expm1": ("nan inf -1 0 -0.0 5e-324 -5e-324 inf -1", "nan inf 0 1 1 1 1 inf 0"),
    "log": (
        "nan inf nan -inf -inf -744.4400719213812 nan 709.1962086421661 nan 0 nan log(2) nan",
        "nan 0 0 inf -inf inf -inf 1e-308 -1e-308 1 -1 0.5 -0.5",
    ),
    "log1p": (
        "nan inf nan 0 -0.0 0 0 709.1962086421661 nan log(2) -inf log(3) nan",
        "nan 0 0 1 1 1 1 1e-308 -1e-308 0.5 inf 1/3 -1",
    ),
    "sqrt": (
        "nan inf nan 0 -0.0 sqrt(5e-324) nan 1e154 nan 1 nan sqrt(2) nan",
        "nan 0 nan inf -inf .5/sqrt(5e-324) nan 5e-155 nan 0.5 nan .5/sqrt(2) nan",
    ),
    "sin": (
        "nan nan nan 0 -0.0 5e-324 -5e-324 0.4533964905016491 -0.4533964905016491",
        "nan nan nan 1 1 1 1 -0.8913089376870335 -0.8913089376870335",
    ),
    "cos": (
        "nan nan nan 1 1 1 1 -0.8913089376870335 -0.8913089376870335",
        "nan nan nan 0 0 -5e-324 5e-324 -0.4533964905016491 0.4533964905016491",
    ),
    "tan": (
        "nan nan nan 0 -0.0 5e-324 -5e-324 -0.5086861259107568 0.5086861259107568",
        "nan nan nan 1 1 1 1 1.2587615746940943 1.2587615746940943",
    ),
    "asin": (
        "nan nan nan 0 -0.0 5e-324 -5e-324 nan nan pi/2 -pi/2 nan nan",
        "nan nan nan 1 1 1 1 nan nan inf inf nan nan",
    ),
    "acos": (
        "nan nan nan pi/2 pi/2 pi/2 pi/2 nan nan 0 pi nan nan",
        "nan nan nan -1 -1 -1 -1 nan nan -inf -inf nan nan",
    ),
    "atan": ("nan pi/2 -pi/2 0 -0.0 5e-324 -5e-324 pi/2 -pi/2", "nan 0 0 1 1 1 1 0 0"),
    "sinh": ("nan inf -inf 0 -0.0 5e-324 -5e-324 inf -inf", "nan inf inf 1 1 1 1 inf inf"),
    "cosh": ("nan inf inf 1 1 1 1 inf inf", "nan inf -inf 0 0 5e-324 -5e-324 inf -inf"),
    "tanh": ("nan 1 -1 0 -0.0 5e-324 -5e-324 1 -1", "nan 0 0 1 1 1 1 0 0"),
    "sigmoid": ("nan 1 0 0.5 0.5 0.5 0.5 1 0", "nan 0 0 0.25 0.25 0.25 0.25 0 0"),
    "relu": ("nan inf 0 0 -0.0 5e-324 0 1e308 0", "1 1 0 0 0 1 0 1 0"),
    "leaky_relu": ("nan inf -inf 0 -0.0 5e-324 -0.0 1e308 -1e306", "0.01 1 0.01 0.01 0.01 1 0.01 1 0.01"),
    # At nan, elu's gradient is nan in a tensor of eight numbers, but 1 in a tensor of one.
    "elu": ("nan inf -1 0 -0.0 5e-324 -5e-324 1e308 -1", "nan 1 0 1 1 1 1 1 0"),
    "softplus": ("nan inf 0 log(2) log(2) log(2) log(2) 1e308 0", "nan 1 0 0.5 0.5 0.5 0.5 1 0"),
    "gelu": ("nan inf nan 0 -0.0 0 -0.0 1e308 -0.0", "nan nan nan 0.5 0.5 0.5 0.5 1 0"),
    "silu": ("nan inf nan 0 -0.0 0 -0.0 1e308 -0.0", "nan nan nan 0.5 0.5 0.5 0.5 1 0"),
    "erf": ("nan 1 -1 0 -0.0 5e-324 -5e-324 1 -1", "nan 0 0 2/sqrt(pi) 2/sqrt(pi) 2/sqrt(pi) 2/sqrt(pi) 0 0"),
    "erfc": ("nan 0 2 1 1 1 1 0 2", "nan 0 0 -2/sqrt(pi) -2/sqrt(pi) -2/sqrt(pi) -2/sqrt(pi) 0 0"),
    "erfinv": (
        "nan nan nan 0 -0.0 5e-324 -5e-324 nan nan inf -inf nan nan",
        "nan nan nan sqrt(pi)/2 sqrt(pi)/2 sqrt(pi)/2 sqrt(pi)/2 nan nan inf inf nan nan",
    ),
    "lgamma": (
        "nan inf inf inf inf 744.4400719213812 744.4400719213812 inf inf 0 inf 0 inf",
        "nan inf nan -inf inf -inf inf 709.1962086421661 nan -0.5772156649015329 nan 0.42278433509846713 nan",
    ),
    "digamma": (
        "nan inf nan -inf inf -inf inf 709.1962086421661 nan -0.5772156649015329 nan 0.42278433509846713 nan",
        "nan 0 nan inf inf inf inf 1e-308 inf pi**2/6 inf 0.6449340668482264 inf",  # torch has nan and 1e32 for the inf
    ),
    "floor": ("nan inf -inf 0 -0.0 0 -1 1e308 -1e308", "0 0 0 0 0 0 0 0 0"),
    "step": ("0 1 0 0 0 1 0 1 0", ""),
}

OPERANDS = "nan inf -inf 0 -0.0 1 -1"

PYTORCH_BINARY = {  # "value d/da d/db": a line for each a, a column for each b of OPERANDS (and 0.5)
    "add": """
        nan 1 1, nan 1 1, nan 1 1, nan 1 1, nan 1 1, nan 1 1, nan 1 1
        nan 1 1, inf 1 1, nan 1 1, inf 1 1, inf 1 1, inf 1 1, inf 1 1
        nan 1 1, nan 1 1, -inf 1 1, -inf 1 1, -inf 1 1, -inf 1 1, -inf 1 1
        nan 1 1, inf 1 1, -inf 1 1, 0 1 1, 0 1 1, 1 1 1, -1 1 1
        nan 1 1, inf 1 1, -inf 1 1, 0 1 1, -0.0 1 1, 1 1 1, -1 1 1
        nan 1 1, inf 1 1, -inf 1 1, 1 1 1, 1 1 1, 2 1 1, 0 1 1
        nan 1 1, inf 1 1, -inf 1 1, -1 1 1, -1 1 1, 0 1 1, -2 1 1
    """,
    "sub": """
        nan 1 -1, nan 1 -1, nan 1 -1, nan 1 -1, nan 1 -1, nan 1 -1, nan 1 -1
        nan 1 -1, nan 1 -1, inf 1 -1, inf 1 -1, inf 1 -1, inf 1 -1, inf 1 -1
        nan 1 -1, -inf 1 -1, nan 1 -1, -inf 1 -1, -inf 1 -1, -inf 1 -1, -inf 1 -1
        nan 1 -1, -inf 1 -1, inf 1 -1, 0 1 -1, 0 1 -1, -1 1 -1, 1 1 -1
        nan 1 -1, -inf 1 -1, inf 1 -1, -0.0 1 -1, 0 1 -1, -1 1 -1, 1 1 -1
        nan 1 -1, -inf 1 -1, inf 1 -1, 1 1 -1, 1 1 -1, 0 1 -1, 2 1 -1
        nan 1 -1, -inf 1 -1, inf 1 -1, -1 1 -1, -1 1 -1, -2 1 -1, 0 1 -1
    """,
    "mul": """
        nan nan nan, nan inf nan, nan -inf nan, nan 0 nan, nan 0 nan, nan 1 nan, nan -1 nan
        nan nan inf, inf inf inf, -inf -inf inf, nan 0 inf, nan 0 inf, inf 1 inf, -inf -1 inf
        nan nan -inf, -inf inf -inf, inf -inf -inf, nan 0 -inf, nan 0 -inf, -inf 1 -inf, inf -1 -inf
        nan nan 0, nan inf 0, nan -inf 0, 0 0 0, -0.0 0 0, 0 1 0, -0.0 -1 0
        nan nan 0, nan inf 0, nan -inf 0, -0.0 0 0, 0 0 0, -0.0 1 0, 0 -1 0
        nan nan 1, inf inf 1, -inf -inf 1, 0 0 1, -0.0 0 1, 1 1 1, -1 -1 1
        nan nan -1, -inf inf -1, inf -inf -1, -0.0 0 -1, 0 0 -1, -1 1 -1, 1 -1 -1
    """,
    "div": """
        nan nan nan, nan 0 nan, nan 0 nan, nan inf nan, nan -inf nan, nan 1 nan, nan -1 nan
        nan nan nan, nan 0 nan, nan 0 nan, inf inf -inf, -inf -inf -inf, inf 1 -inf, -inf -1 -inf
        nan nan nan, nan 0 nan, nan 0 nan, -inf inf inf, inf -inf inf, -inf 1 inf, inf -1 inf
        nan nan nan, 0 0 0, -0.0 0 0, nan inf nan, nan -inf nan, 0 1 0, -0.0 -1 0
        nan nan nan, -0.0 0 0, 0 0 0, nan inf nan, nan -inf nan, -0.0 1 0, 0 -1 0
        nan nan nan, 0 0 0, -0.0 0 0, inf inf -inf, -inf -inf -inf, 1 1 -1, -1 -1 -1
        nan nan nan, -0.0 0 0, 0 0 0, -inf inf inf, inf -inf inf, -1 1 1, 1 -1 1
    """,
    "pow": """
        nan nan nan, nan nan nan, nan nan nan, 1 0 nan, 1 0 nan, nan 1 nan, nan nan nan, nan nan nan
        nan nan nan, inf inf inf, 0 nan nan, 1 0 inf, 1 0 inf, inf 1 inf, 0 0 nan, inf 0 inf
        nan nan nan, inf inf nan, 0 nan nan, 1 0 nan, 1 0 nan, -inf 1 nan, -0.0 0 nan, inf 0 nan
        nan nan nan, 0 nan 0, inf -inf -inf, 1 0 0, 1 0 0, 0 1 0, inf -inf -inf, 0 inf 0
        nan nan nan, 0 nan 0, inf -inf -inf, 1 0 0, 1 0 0, -0.0 1 0, -inf -inf inf, 0 inf 0
        1 nan 0, 1 inf 0, 1 -inf 0, 1 0 0, 1 0 0, 1 1 0, 1 -1 0, 1 0.5 0
        nan nan nan, 1 inf nan, 1 -inf nan, 1 0 nan, 1 0 nan, -1 1 nan, -1 -1 nan, nan nan nan
    """,
    "atan2": """
        nan nan nan, nan nan nan, nan nan nan, nan nan nan, nan nan nan, nan nan nan, nan nan nan
        nan nan nan, pi/4 nan nan, 3*pi/4 nan nan, pi/2 0 nan, pi/2 0 nan, pi/2 0 nan, pi/2 0 nan
        nan nan nan, -pi/4 nan nan, -3*pi/4 nan nan, -pi/2 0 nan, -pi/2 0 nan, -pi/2 0 nan, -pi/2 0 nan
        nan nan nan, 0 nan 0, pi nan 0, 0 0 0, pi 0 0, 0 1 0, pi -1 0
        nan nan nan, -0.0 nan 0, -pi nan 0, -0.0 0 0, -pi 0 0, -0.0 1 0, -pi -1 0
        nan nan nan, 0 nan 0, pi nan 0, pi/2 0 -1, pi/2 0 -1, pi/4 0.5 -0.5, 3*pi/4 -0.5 -0.5
        nan nan nan, -0.0 nan 0, -pi nan 0, -pi/2 0 1, -pi/2 0 1, -pi/4 0.5 0.5, -3*pi/4 -0.5 0.5
    """,
    "hypot": """
        nan nan nan, inf nan nan, inf nan nan, nan nan nan, nan nan nan, nan nan nan, nan nan nan
        inf nan nan, inf nan nan, inf nan nan, inf nan 0, inf nan 0, inf nan 0, inf nan 0
        inf nan nan, inf nan nan, inf nan nan, inf nan 0, inf nan 0, inf nan 0, inf nan 0
        nan nan nan, inf 0 nan, inf 0 nan, 0 nan nan, 0 nan nan, 1 0 1, 1 0 -1
        nan nan nan, inf 0 nan, inf 0 nan, 0 nan nan, 0 nan nan, 1 0 1, 1 0 -1
        nan nan nan, inf 0 nan, inf 0 nan, 1 1 0, 1 1 0, sqrt(2) sqrt(.5) sqrt(.5), sqrt(2) sqrt(.5) -sqrt(.5)
        nan nan nan, inf 0 nan, inf 0 nan, 1 -1 0, 1 -1 0, sqrt(2) -sqrt(.5) sqrt(.5), sqrt(2) -sqrt(.5) -sqrt(.5)
    """,
    "remainder": """
        nan 1 nan, nan 1 nan, nan 1 nan, nan 1 nan, nan 1 nan, nan 1 nan, nan 1 nan, nan 1 nan
        nan 1 nan, nan 1 nan, nan 1 nan, nan 1 -inf, nan 1 inf, nan 1 nan, nan 1 nan, nan 1 nan
        nan 1 nan, nan 1 nan, nan 1 nan, nan 1 inf, nan 1 -inf, nan 1 nan, nan 1 nan, nan 1 nan
        nan 1 nan, 0 1 0, 0 1 0, nan 1 nan, nan 1 nan, 0 1 0, 0 1 0, 0 1 0
        nan 1 nan, -0.0 1 0, -0.0 1 0, nan 1 nan, nan 1 nan, -0.0 1 0, -0.0 1 0, -0.0 1 0
        nan 1 nan, 1 1 0, -inf 1 1, nan 1 -inf, nan 1 inf, 0 1 -1, 0 1 1, 0 1 -2
        nan 1 nan, inf 1 1, -1 1 0, nan 1 inf, nan 1 -inf, -0.0 1 1, -0.0 1 -1, -0.0 1 2
    """,
    "maximum": """
        nan 1 1, nan 1 1, nan 1 1, nan 1 1, nan 1 1, nan 1 1, nan 1 1
        nan 1 1, inf 0.5 0.5, inf 1 0, inf 1 0, inf 1 0, inf 1 0, inf 1 0
        nan 1 1, inf 0 1, -inf 0.5 0.5, 0 0 1, -0.0 0 1, 1 0 1, -1 0 1
        nan 1 1, inf 0 1, 0 1 0, 0 0.5 0.5, 0 0.5 0.5, 1 0 1, 0 1 0
        nan 1 1, inf 0 1, -0.0 1 0, -0.0 0.5 0.5, -0.0 0.5 0.5, 1 0 1, -0.0 1 0
        nan 1 1, inf 0 1, 1 1 0, 1 1 0, 1 1 0, 1 0.5 0.5, 1 1 0
        nan 1 1, inf 0 1, -1 1 0, 0 0 1, -0.0 0 1, 1 0 1, -1 0.5 0.5
    """,
    "minimum": """
        nan 1 1, nan 1 1, nan 1 1, nan 1 1, nan 1 1, nan 1 1, nan 1 1
        nan 1 1, inf 0.5 0.5, -inf 0 1, 0 0 1, -0.0 0 1, 1 0 1, -1 0 1
        nan 1 1, -inf 1 0, -inf 0.5 0.5, -inf 1 0, -inf 1 0, -inf 1 0, -inf 1 0
        nan 1 1, 0 1 0, -inf 0 1, 0 0.5 0.5, 0 0.5 0.5, 0 1 0, -1 0 1
        nan 1 1, -0.0 1 0, -inf 0 1, -0.0 0.5 0.5, -0.0 0.5 0.5, -0.0 1 0, -1 0 1
        nan 1 1, 1 1 0, -inf 0 1, 0 0 1, -0.0 0 1, 1 0.5 0.5, -1 0 1
        nan 1 1, -1 1 0, -inf 0 1, -1 1 0, -1 1 0, -1 1 0, -1 0.5 0.5
    """,
    "less": """
        0, 0, 0, 0, 0, 0, 0
        0, 0, 0, 0, 0, 0, 0
        0, 1, 0, 1, 1, 1, 1
        0, 1, 0, 0, 0, 1, 0
        0, 1, 0, 0, 0, 1, 0
        0, 1, 0, 0, 0, 0, 0
        0, 1, 0, 1, 1, 1, 0
    """,
    "less_equal": """
        0, 0, 0, 0, 0, 0, 0
        0, 1, 0, 0, 0, 0, 0
        0, 1, 1, 1, 1, 1, 1
        0, 1, 0, 1, 1, 1, 0
        0, 1, 0, 1, 1, 1, 0
        0, 1, 0, 0, 0, 1, 0
        0, 1, 0, 1, 1, 1, 1
    """,
}

PYTORCH_BINARY["equal"] = """
    0, 0, 0, 0, 0, 0, 0
    0, 1, 0, 0, 0, 0, 0
    0, 0, 1, 0, 0, 0, 0
    0, 0, 0, 1, 1, 0, 0
    0, 0, 0, 1, 1, 0, 0
    0, 0, 0, 0, 0, 1, 0
    0, 0, 0, 0, 0, 0, 1
"""  # torch.eq, element by element

# The derivatives 1/(1 + exp(1)) and 1/(1 + exp(-1)), and the values for operands that differ by 1 and by 2.
LESS, MORE = "0.2689414213699951 0.7310585786300049", "0.7310585786300049 0.2689414213699951"
ONE, NEAR, TWO = "1.3132616875182228", "0.31326168751822286", "1.1269280110429725"
PYTORCH_BINARY["logaddexp"] = f"""
    nan nan nan, nan nan nan, nan nan nan, nan nan nan, nan nan nan, nan nan nan, nan nan nan
    nan nan nan, inf nan nan, inf 1 0, inf 1 0, inf 1 0, inf 1 0, inf 1 0
    nan nan nan, inf 0 1, -inf nan nan, 0 0 1, 0 0 1, 1 0 1, -1 0 1
    nan nan nan, inf 0 1, 0 1 0, log(2) .5 .5, log(2) .5 .5, {ONE} {LESS}, {NEAR} {MORE}
    nan nan nan, inf 0 1, 0 1 0, log(2) .5 .5, log(2) .5 .5, {ONE} {LESS}, {NEAR} {MORE}
    nan nan nan, inf 0 1, 1 1 0, {ONE} {MORE}, {ONE} {MORE}, 1+log(2) .5 .5, {TWO} 1/(1+exp(-2)) 1/(1+exp(2))
    nan nan nan, inf 0 1, -1 1 0, {NEAR} {LESS}, {NEAR} {LESS}, {TWO} 1/(1+exp(2)) 1/(1+exp(-2)), log(2)-1 .5 .5
"""

PYTORCH_LISTS = {  # operands: value and gradients
    "where": {
        "nan 1 2": "1 0 1 0",
        "inf 1 2": "1 0 1 0",
        "0 1 2": "2 0 0 1",
        "-0.0 1 2": "2 0 0 1",
        "5e-324 1 2": "1 0 1 0",
        "-1e308 1 2": "1 0 1 0",
        "1 2 nan": "2 0 1 0",
        "0 inf -0.0": "-0.0 0 0 1",
    },
    "clip": {
        "nan 0 1": "nan 0 0 0",
        "nan 1 0": "nan 0 0 1",
        "0.5 0 1": "0.5 1 0 0",
        "0.5 1 0": "0 0 0 1",
        "0.5 nan 1": "nan 0 0 0",
        "0.5 0 nan": "nan 0 0 0",
        "0.5 1 1": "1 0 0 0",
        "-inf 0 1": "0 0 1 0",
        "inf 0 1": "1 0 0 1",
        "inf nan 1": "nan 0 0 1",
        "0 0 1": "0 1 0 0",
        "-0.0 0 1": "-0.0 1 0 0",
        "1 0 1": "1 1 0 0",
        "2 -inf inf": "2 1 0 0",
    },
    "sum": {
        "inf -inf": "nan 1 1",
        "inf 1": "inf 1 1",
        "nan inf": "nan 1 1",
        "1e308 1e308": "inf 1 1",
        "-1e308 -1e308": "-inf 1 1",
    },
    "dot": {
        "inf 0": "nan 0 inf",
        "inf 1 1 -inf": "nan 1 -inf inf 1",
        "1e308 1e308": "inf 1e308 1e308",
        "1e308 1e308 1e308 -1e308": "nan 1e308 -1e308 1e308 1e308",
        "nan 0": "nan 0 nan",
    },
    "take": {  # torch.take of a tensor, and of a tensor with the index
        "0 3 nan": "3 0 1 0",
        "1 inf 5": "5 0 0 1",
        "-0.0 -0.0 1": "-0.0 0 1 0",
        "2 1 2 inf 3": "inf 0 0 0 1 0",
    },
    "logsumexp": {  # at 1e308 1e308 the gradients are torch.softmax: logsumexp's own are 1 and 1
        "-inf": "-inf nan",
        "inf 1": "inf nan 0",
        "inf inf": "inf nan nan",
        "inf -inf": "inf nan 0",
        "-inf -inf": "-inf nan nan",
        "-inf 1": "1 0 1",
        "nan 1": "nan nan nan",
        "nan inf": "nan nan nan",
        "inf nan": "nan nan nan",
        "0 -0.0": "log(2) 0.5 0.5",
        "-1e308 0": "0 0 1",
        "1e308 1e308": "1e308 0.5 0.5",
        "1e308 -1e308 5e-324": "1e308 1 0 0",
        "1 inf -inf inf": "inf 0 nan 0 nan",
    },
}


def _numbers(cells):
    return [float(eval(cell, vars(math))) for cell in cells.split()]


def pytorch(name):
    """Yield what PyTorch gives for a row: operands, value, and gradients, if it can differentiate the operation."""
    if name in PYTORCH_UNARY:
        values, gradients = map(_numbers, PYTORCH_UNARY[name])
        points = _numbers(SPECIAL if len(values) == 9 else f"{SPECIAL} {POLES}")
        for x, value, gradient in zip(points, values, gradients or [None] * len(points), strict=True):
            yield (x,), value, [] if gradient is None else [gradient]
    elif name in PYTORCH_BINARY:
        for a, line in zip(_numbers(OPERANDS), PYTORCH_BINARY[name].strip().splitlines(), strict=True):
            cells = line.split(",")
            for b, cell in zip(_numbers(OPERANDS if len(cells) == 7 else f"{OPERANDS} 0.5"), cells, strict=True):
                value, *gradients = _numbers(cell)
                yield (a, b), value, gradients
    else:
        for operands, cell in PYTORCH_LISTS[name].items():
            value, *gradients = _numbers(cell)
            yield tuple(_numbers(operands)), value, gradients
