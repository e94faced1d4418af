"""A row states its errors, which are the condition numbers of its value and partials."""

import math
from math import inf

import pytest

import micrograd_cn as mc
from micrograd_cn import OPS

from .references import LARGEST, TINY

SMALL = 2.0**-1030  # has 8 bits fewer than a normal number: its rounding is 256 times as coarse
LOST = 38 * 2.0**-1022 / 1.0964627734e-314  # gelu(-38) is 38 times a probability, which is subnormal

ROUNDINGS = {  # operands: the condition numbers of the value and of each partial; 2**-1022/x where x is subnormal
    "div": {(3.0, 2.0): (0, 0, 0), (SMALL, 1.0): (0, 0, 256)},
    "pow": {
        (2.0, 10.0): (0, 9 * math.log(2), 0),
        (2.0, -1030.0): (0, 1031 * math.log(2) + 512, 256),
        (2.0, 1024.5): (0, 1023.5 * math.log(2), inf),
        (2.0, 1026.0): (0, inf, inf),
    },
    "atan2": {(3 * SMALL, 4 * SMALL): (0, 102.4, 102.4), (1.0, SMALL): (0, 256, 0), (SMALL, 1.0): (0, 0, 256)},
    "hypot": {(3.0, 4.0): (0, 0, 0), (0.0, SMALL): (0, 256, 256), (LARGEST, LARGEST): (0, inf, inf)},
    "elu": {(-1.0, 2.0): (0, 0, 0), (-720.0, 2.0): (0, 2.0**-1022 * math.exp(360) * math.exp(360), 0)},
    "gelu": {(1.0,): (1, 2), (-1.0,): (1, 9.6170849333187672917), (-38.0,): (1444 + LOST, 1447.0013869547 + LOST)},
    "silu": {
        (1.0,): (0, 2 / (1 + mc.sigmoid(-1))),
        (-1.0,): (0, 2 / (1 - mc.sigmoid(1))),
        (-2.0,): (0, 3 / (2 * mc.sigmoid(2) - 1)),
    },
    "erf": {(3.0,): (0, 9)},
    "erfinv": {(0.5,): (0, 0.4549364231195728), (1.0,): (0, 0)},
    "lgamma": {(2.5,): (0, 0), (-0.5,): ((1 + math.log(math.pi)) / mc.lgamma(-0.5), 2)},
    "digamma": {(2.5,): (0, 0), (-0.5,): (2, 0)},
    "erfc": {(3.0,): (0, 9)},
    "dot": {
        (1.0, 2.0, 3.0, -4.0): (11 / 5, 0, 0, 0, 0),
        (1.0, 2.0, 10.0): (2 / 12, 0, 0, 0),
        (0.0, 1.0): (0, 0, 0),
        (1e200, 1e200): (inf, 0, 0),
        (1e154, 1e154, 1e154, 1e154): (inf, 0, 0, 0, 0),
    },
    "logaddexp": {(1.0, 0.0): (0.9662517633998878, 1.5822031088882178, 2.582203108888218)},
    "logsumexp": {
        (0.0,): (0, 1),
        (1.0, 0.0): (0.9662517633998878, 1.5822031088882178, 2.582203108888218),
        (-3.0, -1.0, 2.0): (1.057553853318732, 6.228242789563351, 4.228242789563351, 1.2282427895633514),
    },
}


def test_stated_errors_are_the_condition_numbers():
    assert ROUNDINGS.keys() == {name for name, op in OPS.items() if op.smoothness.rounding}
    for name, points in ROUNDINGS.items():
        for operands, stated in points.items():
            got = OPS[name].smoothness.rounding(OPS[name].forward(*operands), *operands)
            assert got == pytest.approx(stated, rel=1e-8, abs=1e-8), (name, operands)
    assert OPS["div"].smoothness.rounding(0.0, TINY, 4.0) == (0, 0, 1e15), (
        "of a result that underflows to 0 nothing is left"
    )
