"""The table of operations: every scalar operation, defined once.

A row is an `Op`, which holds all that is known about an operation. Its partial derivatives are written with the
operations of this table: for floats they return floats, for `Value`s they return `Value`s. So one definition serves
evaluation, backward and derivatives of any order. An operation accepts all numbers, inf and nan included, without an
error: its results are those of IEEE 754, as in PyTorch's float64. Functions that need more than a line stand below the
table.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Iterable, Sequence
from functools import cache, lru_cache, reduce
from itertools import accumulate
from math import fabs, inf, nan
from operator import index
from typing import Any, Never, SupportsFloat, TypeVar, overload

from . import ieee, rounding, special
from .ieee import INV_SQRT_2PI, SQRT_HALF, TWO_INV_SQRT_PI
from .number import number, numbers_in
from .operation import Op, Operand, Recorder, Selection
from .options import refuse_arguments, refuse_rows
from .registry import HELPERS, OPS, define
from .special import HALF_SQRT_PI
from .traits import POSITIVE, REAL, Lowerings, Notation, Smoothness

R = TypeVar("R", bound=Recorder)

TAKE = """Return xs[index], counted from 0; nan if there is no such element, as at -1 or 1.5.

If `xs` is a sequence of rows (lists, tuples or arrays), the result is the row at the index, as a list. The derivative
is 1 with respect to the element that is taken, and 0 with respect to the others and to the index. Raises ValueError if
`xs` is empty, or if its rows differ in length.

>>> take([3, 5], 1), take([3, 5], 2), take([[1, 2], [3, 4]], 0)
(5.0, nan, [1.0, 2.0])
"""


_MISSING = object()  # the default of an argument without which a call is refused


class _Take(Op):
    """The operation `take(xs, index)`: the item of `xs` at the position `index`, or nan if there is none.

    If `xs` is a list of lists, a call returns the inner list at this position.
    """

    def __call__(self, xs: Iterable[Any], index: Any = _MISSING) -> Any:  # type: ignore[override]  # a list for rows
        xs = tuple(xs) if type(xs) is list else numbers_in(xs)  # skips a call, for speed
        if not (xs and (isinstance(xs[0], (list, tuple)) or getattr(xs[0], "shape", None))):
            if xs and hasattr(index, "_record"):  # skips the checks in `Op.__call__`, for speed
                return index._record(self, (index, *xs))
            return super().__call__(xs) if index is _MISSING else super().__call__(xs, index)
        if others := [n for n in map(len, xs) if n != len(xs[0])]:
            raise ValueError(f"take() needs rows of one length, got {len(xs[0])} and {others[0]}")
        return [self(column, index) for column in zip(*map(numbers_in, xs), strict=True)]

    __call__.__qualname__ = "take"  # messages of Python say it for an option that is not known


def _choose(condition: Any, a: Any, b: Any) -> Any:
    """Return `where(condition, a, b)`. If the condition is a float, which is a constant, return a or b itself."""
    return (a if condition else b) if type(condition) is float else where(condition, a, b)


def _contribution_to_larger(g: Any, a: Any, b: Any) -> Any:
    """Return what max(a, b) passes to a of its upstream gradient g: nothing if a < b, half if a == b, else all of g."""
    return _choose(less(a, b), 0.0, _choose(equal(a, b), 0.5 * g, g))


def _weight_of_larger(a: float, b: float) -> float | None:
    return None if a < b else 0.5 if a == b else 1.0


def _contributions_of_take(g: Any, index: Any, *xs: Any) -> tuple[Any, ...]:
    return (None, *[_choose(equal(index, float(k)), g, 0.0) for k in range(len(xs))])


@lru_cache(1 << 10)  # so nodes that take the same element share a tuple
def _weights_of_take(count: int, index: float) -> tuple[float | None, ...]:
    return (None, *[1.0 if index == k else None for k in range(count)])


# In partials, `y` is the result, and the operands are named as in the docstring.
# fmt: off

neg: Op = define(Op(
    "neg", lambda x: -x, (lambda y, x: -1.0,),
    "Return -x.\n\n>>> neg(2)\n-2.0",
    notation=Notation("-", 3),
    lowerings=Lowerings(javascript="x => -x", machine="fneg"),
))
add: Op = define(Op(
    "add", lambda a, b: a + b, (lambda y, a, b: 1.0, lambda y, a, b: 1.0),
    "Return a + b.\n\n>>> add(1, 2)\n3.0",
    notation=Notation("+", 1),
    lowerings=Lowerings(javascript="(a, b) => a + b", machine="fadd"),
))
sub: Op = define(Op(
    "sub", lambda a, b: a - b, (lambda y, a, b: 1.0, lambda y, a, b: -1.0),
    "Return a - b.\n\n>>> sub(1, 2)\n-1.0",
    notation=Notation("-", 1),
    lowerings=Lowerings(javascript="(a, b) => a - b", machine="fsub"),
))
mul: Op = define(Op(
    "mul", lambda a, b: a * b, (lambda y, a, b: b, lambda y, a, b: a),
    "Return a * b.\n\n>>> mul(3, 2)\n6.0",
    notation=Notation("*", 2),
    lowerings=Lowerings(javascript="(a, b) => a * b", machine="fmul"),
))
div: Op = define(Op(
    "div", ieee.div, (lambda y, a, b: div(1.0, b), lambda y, a, b: -div(y, b)),
    "Return a / b; 1 / 0 is inf, and 0 / 0 is nan.\n\n>>> div(1, 0)\ninf",
    notation=Notation("/", 2),
    smoothness=Smoothness(kink=lambda a, b: b, rounding=lambda y, a, b: (0.0, 0.0, rounding.subnormal(y))),
    lowerings=Lowerings(javascript="(a, b) => a / b", machine="fdiv"),
))
pow: Op = define(Op(  # noqa: A001 -- the field's name
    "pow", ieee.pow, (lambda y, a, b: _pow_da(a, b), lambda y, a, b: _pow_db(y, a, b)),
    "Return a ** b; nan if a is negative and b is not an integer.\n\n>>> pow(2, 10), pow(-8, 1 / 3)\n(1024.0, nan)",
    notation=Notation("**", 4, right_associative=True, micrograd=lambda a, b: f"**{b}"),
    smoothness=Smoothness(
        domain=(POSITIVE, REAL),
        convention="d/dx x^0 = 0 at every x; d/dy 0^y = 0 for y >= 0; d/dy x^y is nan for x < 0",
        rounding=rounding.pow,
    ),
    lowerings=Lowerings(javascript="power", machine="pow"),
))
abs: Op = define(Op(  # noqa: A001 -- the field's name
    "abs", math.fabs, (lambda y, x: step(x) - step(-x),),
    "Return the absolute value |x|.\n\n>>> abs(-2)\n2.0",
    smoothness=Smoothness(kink=lambda x: x, convention="abs'(0) = 0, abs'(nan) = 0"),
    lowerings=Lowerings(
        differentiable=lambda x: where(less(x, 0.0), -x, x), javascript="Math.abs", machine="llvm.fabs", array="abs",
    ),
))

# Exponentials, logarithms and roots.

exp: Op = define(Op(
    "exp", ieee.exp, (lambda y, x: y,),
    "Return e**x; inf if it overflows.\n\n>>> exp(0), exp(1000)\n(1.0, inf)",
    lowerings=Lowerings(javascript="Math.exp", machine="exp", array="exp"),
))
expm1: Op = define(Op(
    "expm1", ieee.expm1, (lambda y, x: exp(x),),
    "Return e**x - 1, accurately near x = 0 too.\n\n>>> expm1(1e-20)\n1e-20",
    lowerings=Lowerings(javascript="Math.expm1", machine="expm1", array="expm1"),
))
log: Op = define(Op(
    "log", ieee.log, (lambda y, x: div(1.0, x),),
    "Return the natural logarithm of x; -inf at 0, and nan below 0.\n\n>>> log(1), log(0), log(-1)\n(0.0, -inf, nan)",
    smoothness=Smoothness(
        domain=(POSITIVE,),
        convention="log'(0) = inf, log'(-0.0) = -inf; log'(x) = 1/x below 0 too, where log(x) is nan",
    ),
    lowerings=Lowerings(javascript="Math.log", machine="log", array="log"),
))
log1p: Op = define(Op(
    "log1p", ieee.log1p, (lambda y, x: div(1.0, 1.0 + x),),
    "Return log(1 + x), accurately near x = 0 too.\n\n>>> log1p(1e-20)\n1e-20",
    smoothness=Smoothness(
        domain=((-1.0, inf),),
        convention="log1p'(-1) = inf; log1p'(x) = 1/(1 + x) below -1 too, where log1p(x) is nan",
    ),
    lowerings=Lowerings(javascript="Math.log1p", machine="log1p", array="log1p"),
))
sqrt: Op = define(Op(
    "sqrt", ieee.sqrt, (lambda y, x: div(0.5, y),),
    "Return the square root of x; nan if x is negative.\n\n>>> sqrt(9), sqrt(-1)\n(3.0, nan)",
    smoothness=Smoothness(domain=(POSITIVE,), convention="sqrt'(0) = inf, sqrt'(-0.0) = -inf"),
    lowerings=Lowerings(javascript="Math.sqrt", machine="llvm.sqrt", array="sqrt"),
))

# Trigonometric and hyperbolic functions. Angles are in radians.

sin: Op = define(Op(
    "sin", ieee.sin, (lambda y, x: cos(x),), "Return the sine of x radians.\n\n>>> sin(0)\n0.0",
    lowerings=Lowerings(javascript="Math.sin", machine="sin", array="sin"),
))
cos: Op = define(Op(
    "cos", ieee.cos, (lambda y, x: -sin(x),), "Return the cosine of x radians.\n\n>>> cos(0)\n1.0",
    lowerings=Lowerings(javascript="Math.cos", machine="cos", array="cos"),
))
tan: Op = define(Op(
    "tan", ieee.tan, (lambda y, x: 1.0 + y * y,),
    "Return the tangent of x radians.\n\n>>> tan(0)\n0.0",
    smoothness=Smoothness(kink=ieee.cos),
    lowerings=Lowerings(javascript="Math.tan", machine="tan", array="tan"),
))
asin: Op = define(Op(
    "asin", ieee.asin, (lambda y, x: div(1.0, sqrt(_one_minus_square(x))),),
    "Return the arc sine of x in radians; nan outside [-1, 1].\n\n>>> asin(0), asin(2)\n(0.0, nan)",
    smoothness=Smoothness(domain=((-1.0, 1.0),), convention="asin'(1) = inf, asin'(-1) = inf"),
    lowerings=Lowerings(javascript="Math.asin", machine="asin", array="asin"),
))
acos: Op = define(Op(
    "acos", ieee.acos, (lambda y, x: div(-1.0, sqrt(_one_minus_square(x))),),
    "Return the arc cosine of x in radians; nan outside [-1, 1].\n\n>>> acos(1), acos(2)\n(0.0, nan)",
    smoothness=Smoothness(domain=((-1.0, 1.0),), convention="acos'(1) = -inf, acos'(-1) = -inf"),
    lowerings=Lowerings(javascript="Math.acos", machine="acos", array="acos"),
))
atan: Op = define(Op(
    "atan", math.atan, (lambda y, x: _cauchy(x),),
    "Return the arc tangent of x in radians.\n\n>>> atan(0)\n0.0",
    lowerings=Lowerings(javascript="Math.atan", machine="atan", array="atan"),
))
atan2: Op = define(Op(
    "atan2", math.atan2,
    (lambda angle, y, x: _angle_dy(x, y), lambda angle, y, x: _angle_dx(x, y)),
    "Return the angle of the point (x, y) in radians, from -pi to pi; y comes first.\n\n>>> atan2(0, 1)\n0.0",
    smoothness=Smoothness(
        kink=lambda y, x: y if x <= 0.0 else math.hypot(y, x),
        convention="both derivatives are 0 at the origin; beside an infinite operand the derivative is nan",
        rounding=rounding.atan2,
    ),
    lowerings=Lowerings(javascript="Math.atan2", machine="atan2", array="atan2"),
))
hypot: Op = define(Op(
    "hypot", math.hypot, (lambda r, x, y: _cosine(x, y), lambda r, x, y: _sine(x, y)),
    "Return the length of the vector (x, y), sqrt(x**2 + y**2), without overflow.\n\n>>> hypot(3, 4)\n5.0",
    smoothness=Smoothness(
        kink=math.hypot,
        convention="no derivative at the origin: nan; the derivative in an infinite operand is nan, too",
        rounding=lambda r, x, y: (0.0, *[inf if r == inf else rounding.subnormal(r)] * 2),
    ),
    lowerings=Lowerings(javascript="Math.hypot", machine="hypot", array="hypot"),
))
sinh: Op = define(Op(
    "sinh", ieee.sinh, (lambda y, x: cosh(x),), "Return the hyperbolic sine (e**x - e**-x) / 2.\n\n>>> sinh(0)\n0.0",
    lowerings=Lowerings(javascript="Math.sinh", machine="sinh", array="sinh"),
))
cosh: Op = define(Op(
    "cosh", ieee.cosh, (lambda y, x: sinh(x),), "Return the hyperbolic cosine (e**x + e**-x) / 2.\n\n>>> cosh(0)\n1.0",
    lowerings=Lowerings(javascript="Math.cosh", machine="cosh", array="cosh"),
))
sech: Op = define(Op(
    "sech", ieee.sech, (lambda y, x: -tanh(x) * y,),
    "Return the hyperbolic secant 1 / cosh(x), without overflow.\n\n>>> sech(0), sech(1000)\n(1.0, 0.0)",
    lowerings=Lowerings(formula=lambda x: _sech(exp(-abs(x)))),
))
tanh: Op = define(Op(
    "tanh", math.tanh, (lambda y, x: sech(x) * sech(x),),  # 1 - y*y would be 0 where y rounds to 1
    "Return the hyperbolic tangent sinh(x) / cosh(x).\n\n>>> tanh(0), tanh(1000)\n(0.0, 1.0)",
    lowerings=Lowerings(javascript="Math.tanh", machine="tanh", array="tanh"),
))

# Activation functions.

sigmoid: Op = define(Op(
    "sigmoid", ieee.sigmoid, (lambda y, x: _sigmoid_slope(x),),
    "Return the logistic function 1 / (1 + e**-x).\n\n>>> sigmoid(0), sigmoid(-1000)\n(0.5, 0.0)",
    lowerings=Lowerings(formula=lambda x: _sigmoid(x, exp(-abs(x)))),
))
relu: Op = define(Op(
    "relu", ieee.relu, (Selection(
        lambda g, x: _choose(less_equal(x, 0.0), 0.0, g), lambda x: None if x <= 0.0 else 1.0,
    ),),
    "Return max(x, 0), the rectified linear unit.\n\n>>> relu(-2), relu(3)\n(0.0, 3.0)",
    notation=Notation(micrograd=lambda x: "ReLU"),
    smoothness=Smoothness(kink=lambda x: x, convention="relu'(0) = 0, relu'(nan) = 1"),
    lowerings=Lowerings(formula=lambda x: where(less(x, 0.0), 0.0, x), array="relu"),
))
leaky_relu: Op = define(Op(
    "leaky_relu", ieee.leaky_relu,
    (lambda y, x, slope: where(less(0.0, x), 1.0, slope), lambda y, x, slope: _below_zero(x)),
    "Return x if x > 0, else negative_slope * x.\n\n>>> leaky_relu(-2), leaky_relu(-2, 0.5)\n(-0.02, -1.0)",
    signature=lambda x, negative_slope=0.01: (x, negative_slope),
    smoothness=Smoothness(
        kink=lambda x, slope: x,
        convention="leaky_relu'(0) = negative_slope, leaky_relu'(nan) = negative_slope",
    ),
    lowerings=Lowerings(formula=lambda x, slope: where(less(0.0, x), x, slope * x)),
))
elu: Op = define(Op(
    "elu", ieee.elu,
    (lambda y, x, alpha: where(less(0.0, x), 1.0, alpha * exp(_below_zero(x))),
     lambda y, x, alpha: expm1(_below_zero(x))),
    "Return x if x > 0, else alpha * (e**x - 1).\n\n>>> elu(2), elu(-1000)\n(2.0, -1.0)",
    signature=lambda x, alpha=1.0: (x, alpha),
    smoothness=Smoothness(
        kink=lambda x, alpha: x,
        convention="elu'(0) = alpha, elu''(0) = alpha",
        rounding=lambda y, x, alpha: (0.0, rounding.subnormal(ieee.exp(x)), 0.0),
    ),
    lowerings=Lowerings(
        formula=lambda x, alpha: where(less(0.0, x), x, alpha * expm1(x)),
        differentiable=lambda x, alpha: where(less(0.0, x), x, alpha * expm1(_below_zero(x))),  # does not overflow
    ),
))
softplus: Op = define(Op(
    "softplus", ieee.softplus, (lambda y, x: sigmoid(x),),
    "Return log(1 + e**x), a smooth relu, without overflow.\n\n>>> softplus(1000), softplus(-1000)\n(1000.0, 0.0)",
    lowerings=Lowerings(formula=lambda x: where(less(x, 0.0), 0.0, x) + log1p(exp(-abs(x)))),
))
gelu: Op = define(Op(
    "gelu", ieee.gelu, (lambda y, x: 0.5 * erfc(-SQRT_HALF * x) + _normal_moment(x),),
    "Return x * Phi(x) with the normal distribution function Phi (Hendrycks & Gimpel 2016).\n\n>>> gelu(40)\n40.0",
    smoothness=Smoothness(
        convention="gelu'(x) is nan at inf and -inf, and so is gelu(-inf)", rounding=rounding.gelu
    ),
    lowerings=Lowerings(formula=lambda x: 0.5 * x * erfc(-SQRT_HALF * x)),
))
silu: Op = define(Op(
    "silu", ieee.silu, (lambda y, x: _silu_slope(x),),
    "Return x * sigmoid(x), which is also called swish.\n\n>>> silu(0), silu(1000)\n(0.0, 1000.0)",
    smoothness=Smoothness(
        convention="silu'(x) is nan at inf and -inf, and so is silu(-inf)", rounding=rounding.silu
    ),
    lowerings=Lowerings(formula=lambda x: _silu(x, exp(-0.5 * abs(x)))),
))
erf: Op = define(Op(
    "erf", math.erf, (lambda y, x: TWO_INV_SQRT_PI * _bell(x),),
    "Return the error function: 2 / sqrt(pi) * integral of e**-t**2 from 0 to x.\n\n>>> erf(0), erf(10)\n(0.0, 1.0)",
    smoothness=Smoothness(rounding=lambda y, x: (0.0, x * x)),
    lowerings=Lowerings(javascript="erf", machine="erf", array="erf"),
))
erfc: Op = define(Op(
    "erfc", math.erfc, (lambda y, x: -TWO_INV_SQRT_PI * _bell(x),),
    "Return 1 - erf(x), accurately for large x too.\n\n>>> erfc(0), erfc(30)\n(1.0, 0.0)",
    smoothness=Smoothness(rounding=lambda y, x: (0.0, x * x)),
    lowerings=Lowerings(javascript="erfc", machine="erfc", array="erfc"),
))

erfinv: Op = define(Op(
    "erfinv", special.erfinv, (lambda y, x: HALF_SQRT_PI * exp(y * y),),
    "Return the y for which erf(y) = x; inf at 1, and nan outside [-1, 1].\n\n>>> erfinv(0), erfinv(1)\n(0.0, inf)",
    smoothness=Smoothness(
        domain=((-1.0, 1.0),), convention="erfinv'(1) = inf, erfinv'(-1) = inf", rounding=rounding.erfinv
    ),
    lowerings=Lowerings(formula=lambda x: _erfinv_formula(x), array="erfinv"),
))
lgamma: Op = define(Op(
    "lgamma", special.lgamma, (lambda y, x: digamma(x),),
    "Return log(|gamma(x)|), where gamma(n + 1) = n!; inf at 0 and at negative integers.\n\n>>> lgamma(1), lgamma(0)\n"
    "(0.0, inf)",
    smoothness=Smoothness(
        kink=lambda x: _pole_below_zero(x),
        convention="lgamma'(0) = -inf, lgamma'(-0.0) = inf; lgamma'(x) is nan at negative integers and -inf",
        rounding=rounding.lgamma,
    ),
    lowerings=Lowerings(formula=lambda x: _lgamma_formula(x), array="lgamma"),
))
digamma: Op = define(Op(
    "digamma", special.digamma, (lambda y, x: polygamma(1, x),),
    "Return the derivative of lgamma; nan at negative integers.\n\n>>> digamma(0), digamma(-1)\n(-inf, nan)",
    smoothness=Smoothness(
        kink=lambda x: _pole_below_zero(x),
        convention="digamma'(x) is inf at 0 and at negative integers",
        rounding=rounding.digamma,
    ),
    lowerings=Lowerings(formula=lambda x: _digamma_formula(x), array="digamma"),
))

# Rounding to integers, whose derivative is 0.

floor: Op = define(Op(
    "floor", ieee.floor, (None,),
    "Return the largest integer that is not above x.\n\n>>> floor(2.5), floor(-2.5)\n(2.0, -3.0)",
    smoothness=Smoothness(kink=lambda x: _wave(x, 1.0), convention="derivative 0 everywhere"),
    lowerings=Lowerings(javascript="Math.floor", machine="llvm.floor", array="floor"),
))
remainder: Op = define(Op(
    "remainder", ieee.remainder, (lambda y, a, b: 1.0, lambda y, a, b: -_floor_div(a, b)),
    "Return a % b = a - b * floor(a / b), which has the sign of b; nan if b is 0.\n\n>>> remainder(-1, 3)\n2.0",
    notation=Notation("%", 2),
    smoothness=Smoothness(
        kink=lambda a, b: _wave(a, b),
        convention="at a jump the derivatives are 1 and -floor(a / b); beside b = 0 that is -a / b",
    ),
    lowerings=Lowerings(formula=lambda a, b: _remainder_formula(_fmod(a, b), b)),
))

# Comparisons, whose result is 1 or 0, and selections. A condition holds if it is not 0.

less: Op = define(Op(
    "less", lambda a, b: 1.0 if a < b else 0.0, (None, None),
    "Return 1 if a < b, else 0.\n\n>>> less(1, 2), less(2, 2)\n(1.0, 0.0)",
    smoothness=Smoothness(kink=lambda a, b: a - b, convention="derivative 0 everywhere"),
    lowerings=Lowerings(javascript="(a, b) => (a < b ? 1 : 0)", machine="fcmp olt", array="<"),
))
less_equal: Op = define(Op(
    "less_equal", lambda a, b: 1.0 if a <= b else 0.0, (None, None),
    "Return 1 if a <= b, else 0.\n\n>>> less_equal(2, 2), less_equal(3, 2)\n(1.0, 0.0)",
    smoothness=Smoothness(kink=lambda a, b: a - b, convention="derivative 0 everywhere"),
    lowerings=Lowerings(javascript="(a, b) => (a <= b ? 1 : 0)", machine="fcmp ole", array="<="),
))
equal: Op = define(Op(
    "equal", lambda a, b: 1.0 if a == b else 0.0, (None, None),
    "Return 1 if a == b, else 0.\n\n>>> equal(2, 2), equal(3, 2)\n(1.0, 0.0)",
    smoothness=Smoothness(kink=lambda a, b: a - b, convention="derivative 0 everywhere"),
    lowerings=Lowerings(javascript="(a, b) => (a === b ? 1 : 0)", machine="fcmp oeq", array="=="),
))
step: Op = define(Op(
    "step", lambda x: 1.0 if x > 0.0 else 0.0, (None,),
    "Return 1 if x > 0, else 0: the Heaviside step.\n\n>>> step(2), step(0)\n(1.0, 0.0)",
    smoothness=Smoothness(kink=lambda x: x, convention="derivative 0 everywhere"),
    lowerings=Lowerings(formula=lambda x: less(0.0, x)),
))
where: Op = define(Op(
    "where", lambda condition, a, b: a if condition else b,
    (None,
     Selection(lambda g, c, a, b: _choose(c, g, 0.0), lambda c, a, b: 1.0 if c else None),
     Selection(lambda g, c, a, b: _choose(c, 0.0, g), lambda c, a, b: None if c else 1.0)),
    "Return a if the condition is not 0, else b.\n\n>>> where(True, 1, 2), where(0.0, 1, 2)\n(1.0, 2.0)",
    smoothness=Smoothness(kink=lambda condition, a, b: condition, convention="derivative 0 in the condition"),
    lowerings=Lowerings(javascript="(c, a, b) => (c !== 0 ? a : b)", machine="select", array="where"),
))
maximum: Op = define(Op(
    "maximum", ieee.maximum,
    (Selection(_contribution_to_larger, _weight_of_larger),
     Selection(lambda g, a, b: _contribution_to_larger(g, b, a), lambda a, b: _weight_of_larger(b, a))),
    "Return the larger of a and b; nan if either is nan.\n\n>>> maximum(1, 2)\n2.0",
    smoothness=Smoothness(
        kink=lambda a, b: a - b,
        convention="at a tie each has derivative 0.5; if an operand is nan, each has derivative 1",
    ),
    lowerings=Lowerings(
        formula=lambda a, b: where(less_equal(b, a), a, where(less(a, b), b, a + b)), array="maximum",
    ),
))
minimum: Op = define(Op(
    "minimum", ieee.minimum,
    (Selection(lambda g, a, b: _contribution_to_larger(g, b, a), lambda a, b: _weight_of_larger(b, a)),
     Selection(_contribution_to_larger, _weight_of_larger)),
    "Return the smaller of a and b; nan if either is nan.\n\n>>> minimum(1, 2)\n1.0",
    smoothness=Smoothness(
        kink=lambda a, b: a - b,
        convention="at a tie each has derivative 0.5; if an operand is nan, each has derivative 1",
    ),
    lowerings=Lowerings(
        formula=lambda a, b: where(less_equal(a, b), a, where(less(b, a), b, a + b)), array="minimum",
    ),
))
clip: Op = define(Op(
    "clip", ieee.clip,
    (Selection(lambda g, x, low, high: _choose(_lies_between(x, low, high), g, 0.0),
               lambda x, low, high: 1.0 if low <= x <= high and low < high else None),
     Selection(lambda g, x, low, high: _choose(where(less(x, low), less(low, high), 0.0), g, 0.0),
               lambda x, low, high: 1.0 if x < low < high else None),
     Selection(lambda g, x, low, high: _choose(where(less(high, x), 1.0, less(high, low)), g, 0.0),
               lambda x, low, high: 1.0 if x > high or low > high else None)),
    "Return x, but min if x is below it, and max if x is above it; nan if any of the three is nan.\n\n"
    ">>> clip(5, 0, 1), clip(-2, 0, 1)\n(1.0, 0.0)",
    signature=lambda x, min, max: (x, -inf if min is None else min, inf if max is None else max),  # noqa: A006 -- numpy's names
    smoothness=Smoothness(
        kink=lambda x, low, high: min(x - low, high - x) if low < high else low - high,
        convention="at min and at max, x has derivative 1, or 0 if max <= min; at nan it is 0; if max < min, max has 1",
    ),
    lowerings=Lowerings(formula=lambda x, low, high: _smaller(_larger(x, low), high)),
))

# n-ary operations, which are one node however many operands they have.

sum: Op = define(Op(  # noqa: A001 -- the field's name
    "sum", ieee.sum, lambda y, *xs: (1.0,) * len(xs),
    "Return the sum of a sequence, correctly rounded.\n\n>>> sum([0.1] * 10)\n1.0",
    signature=lambda xs, start=None: tuple(xs) if type(xs) is list and start is None else _summands(xs, start),
    notation=Notation(text=lambda *xs: _text_of_list("sum", xs)),
    lowerings=Lowerings(summands=lambda *xs: ((), xs), javascript="sum"),
))
dot: Op = define(Op(
    "dot", ieee.dot,
    lambda y, *xs: (*xs[len(xs) // 2 : len(xs) // 2 * 2], *xs[: len(xs) // 2], *(1.0,) * (len(xs) % 2)),
    "Return the sum of xs[i] * ys[i], plus a bias if one is given: a neuron.\n\n>>> dot([1, 2], [3, 4], 5)\n16.0",
    signature=lambda xs, ys, bias=None: _dot_operands(xs, ys, bias),
    notation=Notation(text=lambda *operands: _dot_text(operands)),
    smoothness=Smoothness(rounding=rounding.dot),
    lowerings=Lowerings(summands=lambda *operands: _dot_summands(operands), javascript="dot"),
))
logsumexp: Op = define(Op(
    "logsumexp", ieee.logsumexp, lambda y, *xs: _logsumexp_partials(xs, _finite_peak),
    "Return the logarithm of the sum of e**x over a sequence, without overflow.\n\n>>> logsumexp([1000, 0])\n1000.0",
    signature=lambda xs: _nonempty("logsumexp", xs, ordered=False),
    notation=Notation(text=lambda *xs: _text_of_list("logsumexp", xs)),
    smoothness=Smoothness(
        convention="operands equal to an infinite result have derivative nan, and others 0",
        rounding=rounding.logsumexp,
    ),
    lowerings=Lowerings(
        formula=lambda *xs: _logsumexp_formula(xs),
        differentiable=lambda *xs: _logsumexp_without_ties(xs),
        javascript="logsumexp",
    ),
))
logaddexp: Op = define(Op(
    "logaddexp", ieee.logsumexp, (lambda y, a, b: sigmoid(a - b), lambda y, a, b: sigmoid(b - a)),
    "Return log(e**a + e**b), without overflow.\n\n>>> logaddexp(1000, 0)\n1000.0",
    smoothness=Smoothness(
        convention="both derivatives are nan at equal infinite operands", rounding=rounding.logsumexp
    ),
    lowerings=Lowerings(
        formula=lambda a, b: _logsumexp_formula((a, b)), javascript="logsumexp", array="logaddexp",
    ),
))
take: _Take = define(_Take(
    "take", ieee.take, Selection(_contributions_of_take, lambda index, *xs: _weights_of_take(len(xs), index)), TAKE,
    arities=range(2, sys.maxsize),
    signature=lambda xs, index: (index, *_nonempty("take", xs)),
    notation=Notation(text=lambda index, *xs: f"take([{', '.join(xs)}], {index})"),
    smoothness=Smoothness(convention="derivative 0 in the index, and in all operands if the index is none of theirs"),
    lowerings=Lowerings(
        formula=lambda index, *xs: _take_formula(index, xs),
        is_gather=True,
        javascript="(index, ...xs) => xs[index] ?? NaN",
    ),
))
# fmt: on

# Kinks: functions that are 0 at a kink, pole or jump, and have different signs beside it.


def _wave(x: float, period: float) -> float:
    """Return the triangle wave of x with slopes 1 and -1 that is 0 at the multiples of `period`; 0 if `period` is 0."""
    if period == 0.0 or not math.isfinite(x):
        return 0.0 if period == 0.0 else x
    rest = math.remainder(x, 2.0 * period)
    size = fabs(rest)
    return math.copysign(min(size, fabs(fabs(period) - size)), rest)


def _pole_below_zero(x: float) -> float:
    return _wave(x, 1.0) if x < 0.5 else 0.5


# Partials that need more than a line. Where a convention says which derivative to take, `where` chooses it, so a
# derivative that was recorded as a graph chooses again when the data change. A choice that depends only on an operand
# that is a float is made in Python instead, once, because a float is a constant.


def _lies_between(x: Any, low: Any, high: Any) -> Any:
    return where(where(less_equal(low, x), less_equal(x, high), 0.0), less(low, high), 0.0)


def _pow_da(a: Any, b: Any) -> Any:
    if isinstance(b, float):
        return 0.0 if b == 0.0 else 1.0 if b == 1.0 else 2.0 * a if b == 2.0 else b * pow(a, b - 1.0)
    return _log_power(a, b - 1.0, b)


def _pow_db(y: Any, a: Any, b: Any) -> Any:
    if isinstance(a, float):
        return y * _log_of_base(a, b)
    return _log_power(a, b, 0.0, 1.0)


def _log_of_base(a: Any, b: Any) -> Any:
    return log(where(where(a, 1.0, less(b, 0.0)), a, 1.0))  # if a = 0 <= b, log(1): 0**b * log(0) is 0


def _below_zero(x: Any) -> Any:
    return where(less(0.0, x), 0.0, x)


def _softmax(xs: Sequence[Any], peak: Callable[..., Any] | None = None) -> tuple[Any, ...]:
    """Return a tuple of exp(x) / (sum of exp over all `xs`), one item for each x in `xs`.

    `peak` is a function that returns the largest x, which is subtracted from all of them; None stands for `_peak`.
    """
    top = (peak or _peak)(*xs)
    exps = [exp(x - top) for x in xs]
    total = sum(exps)
    return tuple([div(e, total) for e in exps])


def _logsumexp_partials(xs: tuple[Any, ...], peak: Callable[..., Any] | None = None) -> tuple[Any, ...]:
    weights = _softmax(xs, peak)
    if len(xs) != 2:
        return weights
    (v, w), (a, b) = weights, xs
    return _weight_of_two(v, a - b), _weight_of_two(w, b - a)


# Formulas by which other languages compute the operations' values: see `Lowerings.formula`. If an operation without a
# kink uses abs(x), the formula's other choices at x = 0 are those for positive x, because the Python that the compiler
# prints is differentiated by other libraries. So the derivatives there are those of the branch for positive x.


def _take_formula(index: Any, xs: Sequence[Any]) -> Any:
    y: Any = nan
    for k in reversed(range(len(xs))):
        y = where(equal(index, float(k)), xs[k], y)
    return y


def _sech(e: Any) -> Any:
    return div(2.0 * e, 1.0 + e * e)


def _sigmoid(x: Any, e: Any) -> Any:
    return div(where(less(x, 0.0), e, 1.0), 1.0 + e)


def _silu(x: Any, half: Any) -> Any:
    return div(where(less(x, 0.0), x * half * half, x), 1.0 + half * half)


def _larger(a: Any, b: Any) -> Any:
    return where(less_equal(b, a), a, where(less(a, b), b, a + b))


def _smaller(a: Any, b: Any) -> Any:
    return where(less_equal(a, b), a, where(less(b, a), b, a + b))


def _remainder_formula(rest: Any, b: Any) -> Any:
    below = less(b, 0.0)
    other_side = less(where(below, -rest, rest), 0.0)
    return where(equal(rest, 0.0), where(below, -0.0, 0.0), where(other_side, rest + b, rest))


def _floor_div_formula(a: Any, b: Any) -> Any:
    rest = _fmod(a, b)
    quotient = div(a - rest, b)
    lower = less(where(less(b, 0.0), -rest, rest), 0.0)
    whole = floor(where(lower, quotient - 1.0, quotient) + 0.5)
    return where(b, where(equal(whole, 0.0), where(less(a, 0.0), -0.0, 0.0), whole), div(a, b))


def _fraction(size: Any) -> Any:
    rest = size - floor(size)
    return where(less(0.5, rest), rest - 1.0, rest)


def _cotangent(rest: Any) -> Any:
    """Return cot(pi * rest) for a `rest` from -0.5 to 0.5, by a formula that other libraries can differentiate."""
    near = where(less(rest, 0.0), -rest, rest)
    steep = less_equal(near, 0.25)
    tangent = tan(math.pi * where(steep, near, 0.5 - near))
    found = where(steep, div(1.0, where(steep, tangent, 1.0)), tangent)
    return where(less(rest, 0.0), -found, found)


# In these formulas, `where` also chooses the operands of branches that are not taken, so none of them divides by 0 or
# overflows. Python's module `math` would raise an error, and numpy would warn.


def _lgamma_formula(x: Any) -> Any:
    size = abs(x)
    low, lowest, far = less(size, 1.5), less(size, 0.5), less_equal(special.FAR, size)
    y, factor = where(far, 2.0, size), 1.0
    for _ in range(6):
        down = less_equal(2.5, y)
        lower = y - 1.0
        y, factor = where(down, lower, y), where(down, factor * lower, factor)
    u = where(low, where(lowest, size, size - 1.0), y - 2.0)
    logarithm = log(where(far, size, where(low, where(lowest, size * (1.0 + size), size), factor)))
    near = _lgamma_near_two(u) + where(low, -logarithm, logarithm)
    above = where(far, _lgamma_far(size, logarithm, div(1.0, where(far, size, special.FAR))), near)
    sine = sin(math.pi * abs(_fraction(size)))
    between = less(0.0, sine)
    below = where(between, log(div(math.pi, where(between, size * sine, 1.0))) - above, inf)
    return where(less(x, -special.SMALL), below, above)


def _digamma_formula(x: Any) -> Any:
    negative = less(x, 0.0)
    above = where(negative, 1.0 - x, x)
    far = less_equal(special.FAR, above)
    y, total = where(far, 2.0, above), 0.0
    for _ in range(6):
        down = less_equal(2.0, y)
        lower = y - 1.0
        y, total = where(down, lower, y), total + div(down, where(down, lower, 1.0))
    low, inverse = less(above, 1.0), div(1.0, above)
    u = where(negative, where(less(-1.0, x), -x, y - 1.0), where(low, above, y - 1.0))
    near = _digamma_near_root(u) + where(low, -inverse, total)
    found = where(far, _digamma_far(log(where(far, above, 1.0)), where(far, inverse, 0.125)), near)
    rest = _fraction(where(negative, -x, 0.25))
    return where(negative, where(rest, found + math.pi * _cotangent(rest), nan), found)


def _polygamma_formula(order: int, x: Any) -> Any:
    negative = less(x, 0.0)
    found = _polygamma_above(order)(where(negative, 1.0 - x, x))
    rest = _fraction(where(negative, -x, 0.25))
    mirrored = (-found if order % 2 else found) - special.reflected(order, -_cotangent(rest))
    if order % 2 == 0:
        mirrored = where(rest, mirrored, nan)
    return where(negative, mirrored, found)


def _erfinv_formula(x: Any) -> Any:
    size = abs(x)
    w = -log((1.0 - size) * (1.0 + size))
    guess = size * where(less(w, 5.0), _erfinv_near(w), _erfinv_tail(w))
    missing = where(less_equal(size, 0.5), erf(guess) - size, 1.0 - size - erfc(guess))
    inside = special.erfinv_step(guess, missing * exp(guess * guess))
    found = where(less(size, 1.0), inside, where(equal(size, 1.0), inf, nan))
    return where(less(x, 0.0), -found, where(less(0.0, x), found, x))


def _logsumexp_formula(xs: Sequence[Any], less_x: Any = None) -> Any:
    tops: list[Any] = [*accumulate(xs, maximum)]
    top = tops[-1]  # log(exp(top) * (1 + others))
    others = [_other(before, x, top, exp(x - top)) for before, x in zip((-inf, *tops), xs, strict=False)]
    return (top if less_x is None else top - less_x) + log1p(sum(others))


def _logsumexp_without_ties(xs: Sequence[Any], less_x: Any = None) -> Any:
    """Return logsumexp(xs) - less_x by a formula whose derivatives are right at ties, too. A `less_x` of None is 0.

    At a tie, `maximum` divides the gradient among its operands. Here the first of the largest numbers is taken as the
    maximum m, so the derivatives are those of the formula m + log1p(sum of exp(x - m) over all other x). The number m
    itself would have the term exp(m - m) = 1, which log1p adds.
    """
    top, first = xs[0], [1.0]  # `first`: whether x is larger than all numbers before it
    for x in xs[1:]:
        first.append(less(top, x))
        top = where(first[-1], x, where(less_equal(x, top), top, top + x))  # nan if x or top is nan
    shift = where(equal(top, inf), 0.0, where(equal(top, -inf), 0.0, top))  # inf - inf would be nan
    others = []
    for x, larger in zip(xs, first, strict=True):
        term = exp(where(equal(x, top), x - shift, x - top))
        others.append(where(equal(x, top), where(larger, 0.0, term), term))
    return (top if less_x is None else top - less_x) + log1p(sum(others))


# A term of the sum in logsumexp, in most cases e = exp(x - top). For the first x that equals `top` it is 0, because
# log1p adds that term. For any further x that equals `top` it is 1, because exp(x - top) would be nan if `top` is inf.
# `before` is the largest of the x before this one.
_other: Op = Op(
    "other",
    lambda before, x, top, e: where(equal(x, top), 1.0 - less(before, x), e),
    (None, None, None, lambda y, before, x, top, e: where(equal(x, top), 0.0, 1.0)),
)


# The largest logit, which softmax subtracts from all logits. As this does not change the result, it could be treated as
# a constant. A gradient flows through it for accuracy: the derivative of the largest weight, which would otherwise be a
# difference of two numbers near 1, becomes the sum of the small derivatives of the other terms.
_peak: Op = Op(
    "peak",
    lambda *xs: reduce(ieee.maximum, xs),
    lambda y, *xs: tuple([equal(x, y) for x in xs]),
    notation=Notation("max"),
    lowerings=Lowerings(formula=lambda *xs: reduce(maximum, xs), javascript="Math.max"),
)


# Like `_peak`, but it returns the largest float instead of inf. The derivatives of logsumexp use it: exp(inf - number)
# is inf, so the weight of any other x is 0 / inf, as in PyTorch, while softmax itself is nan there.
_finite_peak: Op = Op(
    "finite_peak",
    lambda *xs: min(reduce(ieee.maximum, xs), sys.float_info.max),
    lambda y, *xs: tuple([equal(x, y) for x in xs]),
    notation=Notation("max"),
    lowerings=Lowerings(
        formula=lambda *xs: minimum(reduce(maximum, xs), sys.float_info.max),
        javascript="finitePeak",
    ),
)


# logsumexp(xs) - x, where x is one of xs, for losses. It is computed as (x_max - x) + log(...). If the numbers are
# huge, rounding would lose the logarithm in (x_max + log(...)) - x.
log_sum_above: Op = Op(
    "log_sum_above",
    ieee.log_sum_above,
    lambda y, x, *xs: (-1.0, *_logsumexp_partials(xs)),
    arities=range(2, sys.maxsize),
    notation=Notation(text=lambda x, *xs: f"({_text_of_list('logsumexp', xs)} - {x})"),
    lowerings=Lowerings(
        formula=lambda x, *xs: _logsumexp_formula(xs, x),
        differentiable=lambda x, *xs: _logsumexp_without_ties(xs, x),
    ),
)


# Steps of formulas. They have no derivative, because the operations whose formulas they belong to have their own.

_fmod: Op = Op(
    "fmod", ieee.fmod, (None, None), lowerings=Lowerings(javascript="(a, b) => a % b", machine="fmod", array="fmod")
)
_lgamma_near_two: Op = Op("lgamma_near_two", special.lgamma_near_two, (None,))
_lgamma_far: Op = Op("lgamma_far", special.lgamma_far, (None, None, None))
_digamma_near_root: Op = Op("digamma_near_root", special.digamma_near_root, (None,))
_digamma_far: Op = Op("digamma_far", special.digamma_far, (None, None))
_erfinv_near: Op = Op("erfinv_near", lambda w: special.polynomial(w - 2.5, special.NEAR), (None,))
_erfinv_tail: Op = Op("erfinv_tail", lambda w: special.polynomial(sqrt(w) - 3.0, special.TAIL), (None,))


# Operations that are not in the table, but that its derivatives are written with. Each has a derivative of its own,
# because the product rule would compute it as a difference of larger terms, or as 0 * inf.

_one_minus_square: Op = Op("one_minus_square", lambda x: (1.0 - x) * (1.0 + x), (lambda y, x: -2.0 * x,))

# 1 / (1 + x**2), also where x * x overflows. The derivative is 0 where the value is 0, as at inf.
_cauchy: Op = Op(
    "cauchy",
    lambda x: 1.0 / math.hypot(1.0, x) / math.hypot(1.0, x),
    (lambda y, x: -2.0 * y * (where(y, x, 0.0) * y),),
    lowerings=Lowerings(formula=lambda x: div(div(1.0, hypot(1.0, x)), hypot(1.0, x))),
)


def _logistic_density(x: float) -> float:
    e = math.exp(-fabs(x))
    return 1.0 / (1.0 + e) * (e / (1.0 + e))


def _logistic_formula(e: Any) -> Any:
    return div(1.0, 1.0 + e) * div(e, 1.0 + e)


_sigmoid_slope: Op = Op(
    "sigmoid_slope",
    _logistic_density,
    (lambda y, x: -tanh(0.5 * x) * y,),
    notation=Notation("sigmoid'"),
    lowerings=Lowerings(formula=lambda x: _logistic_formula(exp(-abs(x)))),
)


def _silu_curvature(y: Any, x: Any) -> Any:
    slope = _sigmoid_slope(x)
    return slope * (2.0 - where(slope, x, 0.0) * tanh(0.5 * x))


_silu_slope: Op = Op(
    "silu_slope",
    lambda x: ieee.sigmoid(x) + ieee.silu(x) * ieee.sigmoid(-x),
    (_silu_curvature,),
    notation=Notation("silu'"),
    lowerings=Lowerings(formula=lambda x: sigmoid(x) + silu(x) * sigmoid(-x)),
)

_bell: Op = Op(
    "bell",
    lambda x: ieee.exp(-x * x),
    (lambda y, x: -2.0 * where(y, x, 0.0) * y,),
    lowerings=Lowerings(formula=lambda x: exp(-x * x)),
)
_normal: Op = Op(  # the normal distribution's density
    "normal",
    lambda x: INV_SQRT_2PI * ieee.exp(-0.5 * x * x),
    (lambda y, x: -where(y, x, 0.0) * y,),
    lowerings=Lowerings(formula=lambda x: INV_SQRT_2PI * exp(-0.5 * x * x)),
)


def _normal_moment_slope(y: Any, x: Any) -> Any:
    density = _normal(x)
    x = where(density, x, 0.0)
    return (1.0 - x * x) * density


_normal_moment: Op = Op(
    "normal_moment",
    lambda x: x * (INV_SQRT_2PI * ieee.exp(-0.5 * x * x)),
    (_normal_moment_slope,),
    lowerings=Lowerings(formula=lambda x: x * (INV_SQRT_2PI * exp(-0.5 * x * x))),
)

# A weight of a softmax of two logits. It equals sigmoid(difference), where `difference` is its own logit minus the
# other one, so it has the derivative of sigmoid.
_weight_of_two: Op = Op(
    "weight",
    lambda weight, difference: weight,
    (None, lambda y, weight, difference: _sigmoid_slope(difference)),
)


_floor_div: Op = Op(
    "floor_div",
    ieee.floor_div,
    (None, None),
    notation=Notation("//", 2),
    lowerings=Lowerings(formula=_floor_div_formula),
)


class _Polygamma(Op):
    """The operation that computes the derivative of order `order` of digamma.

    There is one for each order, so they are not in the table of operations. A pickle refers to the operation by its
    order.
    """

    def __init__(self, order: int) -> None:
        self.order = order
        super().__init__(
            f"polygamma{order}",
            lambda x: special.polygamma(order, x),
            (lambda y, x: _polygamma(order + 1)(x),),
            notation=Notation(text=lambda x: f"polygamma({order}, {x})"),
            smoothness=Smoothness(kink=_pole_below_zero),
            lowerings=Lowerings(formula=lambda x: _polygamma_formula(order, x)),
        )

    def __reduce__(self) -> tuple[Any, ...]:
        return _polygamma, (self.order,)


@cache
def _polygamma(order: int) -> Op:
    """Return the operation that computes the derivative of order `order` of digamma, where the order is positive.

    A pickle of the operation names this function, so the function must not be renamed.
    """
    return _Polygamma(order)


@cache
def _polygamma_above(order: int) -> Op:
    """Return an operation for the derivative of order `order` of digamma, which is right for x >= 0 alone."""
    start, _, _ = special.polygamma_series(order)
    return Op(
        f"polygamma{order}_above",
        lambda x: special.polygamma_sum(order, [div(1.0, x), *[div(1.0, x + k) for k in range(1, start + 1)]]),
        (None,),
    )


def _log_power_formula(a: Any, e: Any, *coefficients: Any) -> Any:
    """Return a**e times a polynomial in log(a). The first of the `coefficients` is the polynomial's constant term.

    Where the polynomial is 0, the result is 0 even if a**e is inf, unless e is nan.
    """
    polynomial = coefficients[-1]
    for c in coefficients[-2::-1]:
        polynomial = polynomial * _log_of_base(a, e) + c
    return where(where(less_equal(e, inf), polynomial, 1.0), polynomial * pow(a, e), 0.0)


def _log_power_partials(y: Any, a: Any, e: Any, *coefficients: Any) -> tuple[Any, ...]:
    lowered = [0.0 if isinstance(c, float) and c == 0.0 else e * c for c in coefficients]
    for k, c in enumerate(coefficients[1:]):
        lowered[k] += (k + 1.0) * c
    powers = [_log_power(a, e, *[0.0] * k, 1.0) for k in range(len(coefficients))]
    return (_log_power(a, e - 1.0, *lowered), _log_power(a, e, 0.0, *coefficients), *powers)


_log_power: Op = Op("log_power", _log_power_formula, _log_power_partials)


@cache
def _radial(
    terms: tuple[tuple[float, int, int], ...],
    k: int,
    zero_at_origin: bool = False,
    forward: Callable[..., float] | None = None,
) -> Op:
    """Return the operation (x, y) -> P / r**k, where r = hypot(x, y) and P is a polynomial in cosine x/r and sine y/r.

    Args:
        terms: the terms of P, each a tuple (coefficient, exponent of the cosine, exponent of the sine).
        k: the exponent of r.
        zero_at_origin: whether the value is 0 at the origin; otherwise it is nan there. In both cases, the derivatives
            are nan at the origin.
        forward: a function that computes the value from floats faster than the formula P / r**k. None uses the formula.
    """
    i0, j0 = min(i for _, i, _ in terms), min(j for _, _, j in terms)

    def formula(x: Any, y: Any) -> Any:
        r = hypot(x, y)
        if zero_at_origin:
            r = where(r, r, 1.0)
        cosine, sine = div(x, r), div(y, r)
        bounded = [math.prod([cosine] * (i - i0) + [sine] * (j - j0), start=c) for c, i, j in terms]
        total = reduce(add, bounded)
        factors = [cosine] * i0 + [sine] * j0
        if i0 and j0:  # the smaller factors first, each divided by r before the next, so no power of them underflows
            flat = less(abs(sine), abs(cosine))
            factors = [where(flat, s, c) for s, c in zip([sine] * j0 + [cosine] * i0, factors, strict=True)]
        for n, factor in enumerate(factors):
            total = total * (div(factor, r) if n < k else factor)
        if i0 and j0:
            total = where(factors[0], total, 0.0)  # 0, even if 1 / r is inf
        for _ in range(k - len(factors)):
            total = div(total, r)
        return total

    def partial(changes: Callable[[float, int, int], list[tuple[float, int, int]]]) -> Callable[..., Any]:
        found: dict[tuple[int, int], float] = {}
        for coefficient, i, j in terms:
            for c, p, q in changes(coefficient, i, j):
                found[p, q] = found.get((p, q), 0.0) + c
        changed = tuple([(c, i, j) for (i, j), c in found.items() if c])
        return lambda v, x, y: _radial(changed, k + 1)(x, y)

    return Op(
        "radial",
        forward or formula,
        (
            partial(lambda c, i, j: [(c * i, i - 1, j + 2), (-c * (j + k), i + 1, j)]),
            partial(lambda c, i, j: [(c * j, i + 2, j - 1), (-c * (i + k), i, j + 1)]),
        ),
        lowerings=Lowerings(formula=formula),
    )


def _inverse(x: float, y: float) -> float:
    r = math.hypot(x, y) or 1.0
    return x / r / r


_cosine: Op = _radial(((1.0, 1, 0),), 0, forward=lambda x, y: ieee.div(x, math.hypot(x, y)))
_sine: Op = _radial(((1.0, 0, 1),), 0, forward=lambda x, y: ieee.div(y, math.hypot(x, y)))
_angle_dy: Op = _radial(((1.0, 1, 0),), 1, zero_at_origin=True, forward=_inverse)
_angle_dx: Op = _radial(((-1.0, 0, 1),), 1, zero_at_origin=True, forward=lambda x, y: -_inverse(y, x))


# Signatures and texts of n-ary operations, which take any number of operands.


def _text_of_list(name: str, xs: Sequence[str]) -> str:
    return f"{name}([{', '.join(xs)}])"


def _dot_text(operands: Sequence[str]) -> str:
    n = len(operands) // 2
    bias = "".join(f", {b}" for b in operands[2 * n :])
    return f"dot([{', '.join(operands[:n])}], [{', '.join(operands[n : 2 * n])}]{bias})"


def _dot_operands(xs: Iterable[Any], ys: Iterable[Any], bias: Any) -> tuple[Any, ...]:
    xs = tuple(xs) if type(xs) is list else numbers_in(xs)  # skips a call, for speed
    ys = tuple(ys) if type(ys) is list else numbers_in(ys)
    if len(xs) != len(ys):
        raise ValueError(f"dot() needs two sequences of one length, got {len(xs)} and {len(ys)}")
    return xs + ys if bias is None else (*xs, *ys, bias)


def _dot_summands(operands: Sequence[Any]) -> tuple[Sequence[tuple[Any, Any]], Sequence[Any]]:
    n = len(operands) // 2
    return list(zip(operands[:n], operands[n : 2 * n], strict=True)), operands[2 * n :]


def _summands(xs: Iterable[Any], start: Any) -> tuple[Any, ...]:
    summands = numbers_in(xs, ordered=False)
    return summands if start is None else (start, *summands)


def _nonempty(name: str, xs: Iterable[Any], ordered: bool = True) -> tuple[Any, ...]:
    xs = tuple(xs) if type(xs) is list else numbers_in(xs, ordered)
    if not xs:
        raise ValueError(f"{name}() needs at least one operand, got none")
    return xs


@overload
def mean(xs: Iterable[SupportsFloat]) -> float: ...  # type: ignore[overload-overlap]  # it is narrower
@overload
def mean(xs: Iterable[R | SupportsFloat]) -> R: ...
@overload
def mean(xs: Iterable[Operand]) -> Any: ...  # type: ignore[overload-cannot-match]  # as in `Op.__call__`
def mean(xs: Iterable[Any], *others: Never, **wrong: Never) -> Any:
    """Return the arithmetic mean of the sequence xs.

    Raises:
        ValueError: `xs` is empty.
        TypeError: the call has further arguments (`others`), or an option of another library such as `axis` (`wrong`).

    >>> mean([1, 2, 6])
    3.0
    """
    if others or wrong:
        refuse_arguments("mean", xs, others, wrong)
    xs = _nonempty("mean", xs, ordered=False)
    try:
        return div(sum(xs), float(len(xs)))
    except TypeError:
        refuse_rows("mean", xs)
        raise


@overload
def softmax(xs: Iterable[SupportsFloat]) -> list[float]: ...  # type: ignore[overload-overlap]
@overload
def softmax(xs: Iterable[R | SupportsFloat]) -> list[R]: ...
@overload
def softmax(xs: Iterable[Operand]) -> list[Any]: ...  # type: ignore[overload-cannot-match]
def softmax(xs: Iterable[Any], *others: Never, **wrong: Never) -> list[Any]:
    """Return a list of exp(x_i) / sum_j exp(x_j) for each x_i of a sequence, without overflow.

    Raises:
        ValueError: `xs` is empty.
        TypeError: the call has further arguments (`others`), or an option of another library such as `axis` (`wrong`).

    >>> softmax([1000, 1000])
    [0.5, 0.5]
    """
    if others or wrong:
        refuse_arguments("softmax", xs, others, wrong)
    items = _nonempty("softmax", xs)
    try:
        numbers = [x if hasattr(x, "_record") else number(x) for x in items]
    except TypeError:
        refuse_rows("softmax", items)
        raise
    return list(_softmax(numbers))


@overload
def log_softmax(xs: Iterable[SupportsFloat]) -> list[float]: ...  # type: ignore[overload-overlap]
@overload
def log_softmax(xs: Iterable[R | SupportsFloat]) -> list[R]: ...
@overload
def log_softmax(xs: Iterable[Operand]) -> list[Any]: ...  # type: ignore[overload-cannot-match]
def log_softmax(xs: Iterable[Any], *others: Never, **wrong: Never) -> list[Any]:
    """Return a list of x_i - logsumexp(xs) for each x_i of a sequence, without overflow, and accurately near 0 too.

    Raises:
        ValueError: `xs` is empty.
        TypeError: the call has further arguments (`others`), or an option of another library such as `axis` (`wrong`).

    >>> log_softmax([1000, 0])
    [0.0, -1000.0]
    """
    if others or wrong:
        refuse_arguments("log_softmax", xs, others, wrong)
    items = _nonempty("log_softmax", xs)
    try:
        numbers = [x if hasattr(x, "_record") else number(x) for x in items]
    except TypeError:
        refuse_rows("log_softmax", items)
        raise
    top = _peak(*numbers)
    shifted = [x - top for x in numbers]
    total = logsumexp(shifted)
    return [x - total for x in shifted]


@overload
def polygamma(n: int, x: SupportsFloat) -> float: ...
@overload
def polygamma(n: int, x: R) -> R: ...
def polygamma(n: int, x: Any) -> Any:
    """Return the n-th derivative of digamma at x. Each n has an operation of its own.

    Raises:
        TypeError: `n` is not an integer.
        ValueError: `n` is negative.

    >>> polygamma(1, 1)  # pi**2 / 6
    1.6449340668482264
    """
    if not hasattr(n, "__index__") or hasattr(n, "_record"):
        raise TypeError(f"polygamma() takes the order n first, which is an int, got {n!r}; write polygamma(n, x)")
    n = index(n)
    if n < 0:
        raise ValueError(f"polygamma() needs an order of at least 0, got {n}")
    return (_polygamma(n) if n else digamma)(x)


HELPERS.update([x for x in globals().values() if isinstance(x, Op) and OPS.get(x.name) is not x])
__all__ = [*OPS, "log_softmax", "mean", "polygamma", "softmax"]
__test__ = {op.name: op.doc for op in OPS.values()}  # doctest runs the examples of the rows
