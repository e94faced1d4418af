"""Check gradients of random PyTorch functions in few digits: `python tests/testing/half_precision.py [count] [seed]`.

Each function is checked in float16, bfloat16 and float32: first as it is, where every mismatch is a fault of the
checker, then with a gradient that is 1 % too large, everywhere or in its largest element. The program prints mismatches
of right gradients, gradients that are wrong everywhere and passed, and how often each verdict was given.
"""

import contextlib
import random
import sys
import warnings
from collections import Counter

from micrograd_cn.testing import GradientMismatch, NothingCompared, PartlyCompared, gradcheck

with contextlib.suppress(ModuleNotFoundError):  # PyTorch need not be installed to collect tests
    import torch

NUMBER_KINDS = ["float16", "bfloat16", "float32"]
PLAIN = {
    "tanh": lambda h: h.tanh(),
    "sigmoid": lambda h: h.sigmoid(),
    "sin": lambda h: h.sin(),
    "relu": lambda h: h.relu(),
    "gelu": lambda h: torch.nn.functional.gelu(h),
    "silu": lambda h: torch.nn.functional.silu(h),
    "softplus": lambda h: torch.nn.functional.softplus(h),
    "softmax": lambda h: h.softmax(-1),
    "log_softmax": lambda h: h.log_softmax(-1),
    "exp": lambda h: (0.5 * h).exp(),
    "log": lambda h: (1 + h * h).log(),
    "sqrt": lambda h: (1 + h * h).sqrt(),
    "square": lambda h: h * h,
    "reciprocal": lambda h: 1 / (2 + h.abs()),
    "centred": lambda h: h - h.mean(-1, keepdim=True),
    "normed": lambda h: h / (1e-3 + (h * h).sum(-1, keepdim=True)).sqrt(),
    "row sums": lambda h: h.sum(-1, keepdim=True),
    "column means": lambda h: h.mean(0, keepdim=True),
    "logsumexp": lambda h: h.logsumexp(-1, keepdim=True),
    "cumsum": lambda h: h.cumsum(-1),
    "gram": lambda h: h @ h.T,
}
WITH_WEIGHTS = {  # the shapes of the weights for that of the argument, and a size k
    "linear": (lambda n, c, k: [(c, k), (k,)], lambda h, w, b: h @ w + b),
    "matmul": (lambda n, c, k: [(c, k)], lambda h, w: h @ w),
    "product": (lambda n, c, k: [(n, c)], lambda h, w: h * w),
    "sum": (lambda n, c, k: [(c,)], lambda h, b: h + b),
    "layer_norm": (lambda n, c, k: [(c,), (c,)], lambda h, w, b: torch.nn.functional.layer_norm(h, h.shape[-1:], w, b)),
    "attention": (
        lambda n, c, k: [(c, k), (c, k), (c, k)],
        lambda h, q, k, v: ((h @ q) @ (h @ k).T / q.shape[1] ** 0.5).softmax(-1) @ (h @ v),
    ),
}
ENDS = {
    "": lambda h: h,
    "sum": lambda h: h.sum(),
    "mean": lambda h: h.mean(),
    "mean square": lambda h: (h * h).mean(),
}


class Drawn:
    """A random composition, and a point."""

    def __init__(self, chance):
        generator = torch.Generator().manual_seed(chance.randrange(2**31))
        size = chance.choice([1, 1, 1, 0.1, 4])

        def array(*shape):
            return torch.randn(*shape, generator=generator, dtype=torch.float64)

        n, c = chance.choice([(1, 2), (2, 3), (3, 4), (4, 8), (8, 16), (16, 32)])
        self.point, self.names, steps, h = [size * array(n, c)], [], [], (n, c)
        for _ in range(chance.randint(1, 4)):
            name = chance.choice([*PLAIN, *list(WITH_WEIGHTS) * 2])
            shapes, f = WITH_WEIGHTS.get(name, (lambda n, c, k: [], PLAIN.get(name)))
            weights = [
                array(*s) / (s[0] ** 0.5 if len(s) == 2 else 1) for s in shapes(*h, chance.choice([1, 3, 8, 16]))
            ]
            steps.append((f, slice(len(self.point), len(self.point) + len(weights))))
            self.point += weights
            self.names.append(name)
            h = tuple(f(torch.zeros(h, dtype=torch.float64), *weights).shape)
        end = chance.choice([*ENDS])
        self.names.append(end)
        self._steps, self._end = steps, ENDS[end]

    def __call__(self, *args):
        h = args[0]
        for f, place in self._steps:
            h = f(h, *args[place])
        return self._end(h)

    def __str__(self):
        return f"{' -> '.join(filter(None, self.names))} of {tuple(self.point[0].shape)}"


def gradients(f, args, upstream):
    args = [x.detach().requires_grad_() for x in args]
    return torch.autograd.grad([f(*args)], args, [upstream])


def off(f, place):
    """Return the backward pass with a gradient 1 % too large: everywhere, or at `place`, an array and an element."""

    def vjp(*args):
        *args, upstream = args
        found = [g.double() for g in gradients(f, args, upstream)]
        if place is None:
            return tuple([1.01 * g for g in found])
        found[place[0]].view(-1)[place[1]] *= 1.01
        return tuple(found)

    return vjp


def mistakes(f, point):
    """Yield wrong backward passes, with a description; none if the gradient is 0."""
    yield "nothing", {}
    y = f(*point)
    found = gradients(f, point, torch.linspace(0.5, 1.0, y.numel(), dtype=y.dtype).reshape(y.shape))
    effects = [(g * x).abs().double() for g, x in zip(found, point, strict=True)]
    largest = [float(effect.max()) for effect in effects]
    if max(largest) > 0.0:
        k = largest.index(max(largest))
        yield "everywhere", {"vjp": off(f, None)}
        yield "one element", {"vjp": off(f, (k, int(effects[k].argmax())))}


def verdict(f, point, **how):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            gradcheck(f, *point, **how)
        except GradientMismatch as mismatch:
            return "wrong", str(mismatch)
        except NothingCompared as nothing:
            return type(nothing).__name__, ""
    return ("partly right" if any(w.category is PartlyCompared for w in caught) else "right"), ""


def main(count=400, seed=0):
    torch.set_num_threads(1)
    verdicts = {}
    for k in range(count):
        f = Drawn(random.Random(f"{seed}:{k}"))
        for kind in NUMBER_KINDS:
            point = [x.to(getattr(torch, kind)) for x in f.point]
            for mistake, how in mistakes(f, point):
                found, text = verdict(f, point, **how)
                verdicts.setdefault((kind, mistake), Counter())[found] += 1
                if (mistake, found) in (("nothing", "wrong"), ("everywhere", "right")):
                    print(f"{kind} {f}, number {k}, with {mistake} wrong, is {found}", text, sep="\n", flush=True)
    for (kind, mistake), counted in verdicts.items():
        print(f"{kind:8} {mistake + ' wrong':17} {dict(counted)}")
    return int(any(counted["wrong"] for (_, mistake), counted in verdicts.items() if mistake == "nothing"))


if __name__ == "__main__":
    sys.exit(main(*map(int, sys.argv[1:])))
