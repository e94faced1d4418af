"""Rows with a planted mistake, and rows that are right though a checker may doubt them."""

import math

import micrograd_cn as mc
from micrograd_cn import Op, Value
from micrograd_cn.ops.traits import Smoothness

# Each must be found by `check_op`, and by a property test with the ci profile's examples.

PLANTED = {
    "sign": Op("bad", lambda x: x * x, (lambda y, x: -2.0 * x,)),
    "factor": Op("bad", lambda x: x * x, (lambda y, x: x,)),
    "swapped operands": Op("bad", lambda a, b: a * b, (lambda y, a, b: a, lambda y, a, b: b)),
    "off by 1 %": Op("bad", lambda x: x * x, (lambda y, x: 2.02 * x,)),
    "wrong below 0": Op("bad", lambda x: x * x, (lambda y, x: 2.0 * x if x > 0.0 else 2.1 * x,)),
    **{
        f"{wrong} below -0.5": Op(
            "bad", lambda x: x * x, (lambda y, x, wrong=wrong: mc.where(mc.less(x, -0.5), wrong, 2 * x),)
        )
        for wrong in (math.nan, math.inf, 1e9)
    },
    "wrong at second order": Op(
        "bad", lambda x: x * x * x, (lambda y, x: 3.0 * x * (x.detach() if isinstance(x, Value) else x),)
    ),
    "wrong where shared": Op("bad", lambda a, b: a * b, (lambda y, a, b: 0.0 * b if a is b else b, lambda y, a, b: a)),
}


def variance(*xs):
    m = mc.mean(xs)
    return mc.mean([(x - m) * (x - m) for x in xs])


NOISY = {  # right, though they lose digits on the way, or are large or small, or have a smaller domain
    "log(1+exp)": Op("own", lambda x: mc.log(1 + mc.exp(x)), (lambda y, x: mc.sigmoid(x),)),
    "1-sigmoid": Op("own", lambda x: 1 - mc.sigmoid(x), (lambda y, x: -mc.sigmoid(x) * mc.sigmoid(-x),)),
    "normal": Op(
        "own",
        lambda x: 0.5 * (1 + mc.erf(x * 0.5**0.5)),
        (lambda y, x: (2 * math.pi) ** -0.5 * mc.exp(-0.5 * x * x),),
        smoothness=Smoothness(
            domain=((-5.0, math.inf),)
        ),  # below, rounding makes it a staircase; at -8 its treads are 0.01 wide
    ),
    "1-erf": Op("own", lambda x: 1 - mc.erf(x), (lambda y, x: -2 * math.pi**-0.5 * mc.exp(-x * x),)),
    "exp-1": Op("own", lambda x: mc.exp(x) - 1, (lambda y, x: mc.exp(x),)),
    "1-cos": Op("own", lambda x: 1 - mc.cos(x), (lambda y, x: mc.sin(x),)),
    "log(cosh)": Op("own", lambda x: mc.log(mc.cosh(x)), (lambda y, x: mc.tanh(x),)),
    "variance": Op("own", variance, lambda y, *xs: tuple([2 * (x - mc.mean(xs)) / len(xs) for x in xs])),
    "deviation": Op(
        "own",
        lambda *xs: mc.sqrt(1e-5 + variance(*xs)),
        lambda y, *xs: tuple([(x - mc.mean(xs)) / (len(xs) * y) for x in xs]),
    ),
    "six operands": Op("own", lambda *xs: mc.sum(xs), tuple([lambda y, *xs: 1.0] * 6)),
    "large": Op("own", lambda x: 1e7 * (2 + mc.sin(x)), (lambda y, x: 1e7 * mc.cos(x),)),
    "small": Op("own", lambda x: 1e-20 * mc.sin(x), (lambda y, x: 1e-20 * mc.cos(x),)),
    "fast": Op("own", lambda x: mc.sin(50 * x), (lambda y, x: 50 * mc.cos(50 * x),)),
    "far": Op("own", mc.log, (lambda y, x: mc.div(1.0, x),), smoothness=Smoothness(domain=((1e15, math.inf),))),
    "poles": Op(
        "own",
        lambda a, b: mc.div(a, b) + mc.div(b, a),
        (
            lambda y, a, b: mc.div(1.0, b) - mc.div(b, a * a),
            lambda y, a, b: mc.div(1.0, a) - mc.div(a, b * b),
        ),
        smoothness=Smoothness(kink=lambda a, b: a * b),
    ),
}
