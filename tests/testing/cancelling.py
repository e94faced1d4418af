"""Check right derivatives of random compositions that lose digits: `python tests/testing/cancelling.py [count] [seed]`.

Nothing here is wrong, so every mismatch is a fault of the checker. The program prints each mismatch, and how often each
verdict was given.
"""

import random
import sys
import warnings
from collections import Counter

import micrograd_cn as mc
from micrograd_cn import Op
from micrograd_cn.testing import Expression, GradientMismatch, NothingCompared, gradcheck

CANCELLING = [
    Op("log_cosh", lambda x: mc.log(mc.cosh(x)), (lambda y, x: mc.tanh(x),)),
    Op("log_exp", lambda x: mc.log(mc.exp(x)), (lambda y, x: 1.0,)),
    Op("exp_less_1", lambda x: mc.exp(x) - 1, (lambda y, x: mc.exp(x),)),
    Op("one_less_cos", lambda x: 1 - mc.cos(x), (lambda y, x: mc.sin(x),)),
    Op("expm1_log1p", lambda x: mc.expm1(mc.log1p(x * x)), (lambda y, x: 2 * x,)),
    Op("exp_log1p", lambda x: mc.exp(mc.log1p(x * x)) - 1, (lambda y, x: 2 * x,)),
    Op("one_less_sigmoid", lambda x: 1 - mc.sigmoid(x), (lambda y, x: -mc.sigmoid(x) * mc.sigmoid(-x),)),
    Op("sqrt_less_1", lambda x: mc.sqrt(1 + x * x) - 1, (lambda y, x: mc.div(x, y + 1),)),
    Op(
        "near_equals",
        lambda a, b: (a + b) * (a + b) - (a - b) * (a - b),
        (lambda y, a, b: 4 * b, lambda y, a, b: 4 * a),
    ),
    Op("far_away", lambda x: (x + 1e6) - 1e6, (lambda y, x: 1.0,)),
    Op("cube", lambda x: (x + 10) * (x + 10) * (x + 10) - 1000 - 300 * x - 30 * x * x, (lambda y, x: 3 * x * x,)),
]
PLAIN = [mc.add, mc.sub, mc.mul, mc.tanh, mc.sin, mc.exp]
LARGEST = 1e3


def draw(chance):
    """Return a random expression, most of whose steps lose digits, at a point that may be small."""
    point = []
    for _ in range(chance.randint(1, 2)):
        point.append(chance.choice([chance.uniform(-3, 3), 10.0 ** chance.uniform(-12, 0), 0.0, 1.0, -0.5]))
    data, steps = list(point), []
    for _ in range(chance.randint(1, 7)):
        op = chance.choice(CANCELLING if chance.random() < 0.7 else PLAIN)
        operands = tuple([chance.randrange(max(0, len(data) - 3), len(data)) for _ in range(op.arity)])
        y = op.forward(*[data[i] for i in operands])
        if abs(y) <= LARGEST:
            steps.append((op, operands))
            data.append(y)
    return Expression(tuple(point), tuple(steps))


def accusations(count, seed, verdicts):
    """Yield the mismatches among `count` expressions, and count the verdicts; every fourth is checked to order 2."""
    chance = random.Random(seed)
    for k in range(count):
        f = draw(chance)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try:
                gradcheck(f, *f.point, order=2 if k % 4 == 0 else 1)
                verdicts["right"] += 1
            except GradientMismatch as mismatch:
                verdicts["WRONG"] += 1
                yield str(mismatch)
            except NothingCompared as nothing:
                verdicts[type(nothing).__name__] += 1


def main(count=100_000, seed=0):
    verdicts = Counter()
    for text in accusations(count, seed, verdicts):
        print(text, flush=True)
    print(dict(verdicts))
    return int(verdicts["WRONG"] > 0)


if __name__ == "__main__":
    sys.exit(main(*map(int, sys.argv[1:])))
