"""A campaign: PyTorch operations at points of scales from 1e-8 to 1e8, and a judge for those that are accused.

Run it from the root of the repository, with PyTorch and mpmath installed:

    python -m tests.testing.scaled_operations --calls 5000

For each accusation, it computes the Jacobian matrix with 60 digits. If PyTorch's own derivative differs from it, the
accusation is right. It prints both kinds by operation, and exits with 1 if a right derivative was accused.
"""

from __future__ import annotations

import argparse
import sys
import warnings
from collections import Counter
from collections.abc import Callable
from typing import Any

import numpy as np

DIGITS, STEP = 60, 1e-25  # of the judge
WRONG = {"float64": 1e-6, "float32": 1e-3}  # relative to the derivative or to 1 % of the largest: PyTorch is wrong
WEIGHTS = 20  # vectors of random weights: some products show an error that others hide
SCALES = [10.0**k for k in range(-8, 9)]


def operations() -> dict[str, tuple[Any, Callable[[list[Any]], list[Any]]]]:
    """Return for each name a PyTorch operation, and a function that computes it with mpmath from a list."""
    import torch
    from mpmath import mp
    from torch.nn import functional

    mp.dps = DIGITS
    special = torch.special

    def each(g: Any) -> Callable[[list[Any]], list[Any]]:
        return lambda xs: [g(x) for x in xs]

    def softmax(xs: list[Any]) -> list[Any]:
        total = mp.fsum(mp.exp(x - max(xs)) for x in xs)
        return [mp.exp(x - max(xs)) / total for x in xs]

    def logsumexp(xs: list[Any]) -> Any:
        return max(xs) + mp.log(mp.fsum(mp.exp(x - max(xs)) for x in xs))

    def variance(xs: list[Any]) -> Any:
        mean = mp.fsum(xs) / len(xs)
        return mp.fsum((x - mean) ** 2 for x in xs) / (len(xs) - 1)

    def sigmoid(x: Any) -> Any:
        return 1 / (1 + mp.exp(-x))

    def sinc(x: Any) -> Any:
        return mp.sin(mp.pi * x) / (mp.pi * x) if x else mp.mpf(1)

    return {
        **{
            name: (getattr(torch, name), each(getattr(mp, name)))
            for name in ("exp", "expm1", "log", "log1p", "sqrt", "sin", "cos", "tan", "sinh", "cosh", "tanh", "asin")
        },
        **{
            name: (getattr(torch, name), each(getattr(mp, name)))
            for name in ("acos", "atan", "asinh", "acosh", "atanh", "erf", "erfc", "digamma", "floor", "sign")
        },
        "abs": (torch.abs, each(abs)),
        "square": (torch.square, each(lambda x: x * x)),
        "cube": (lambda x: x**3, each(lambda x: x**3)),
        "reciprocal": (torch.reciprocal, each(lambda x: 1 / x)),
        "rsqrt": (torch.rsqrt, each(lambda x: 1 / mp.sqrt(x))),
        "lgamma": (torch.lgamma, each(lambda x: mp.log(abs(mp.gamma(x))))),
        "sigmoid": (torch.sigmoid, each(sigmoid)),
        "softplus": (functional.softplus, each(lambda x: mp.log1p(mp.exp(x)))),
        "logsigmoid": (functional.logsigmoid, each(lambda x: -mp.log1p(mp.exp(-x)))),
        "silu": (functional.silu, each(lambda x: x * sigmoid(x))),
        "mish": (functional.mish, each(lambda x: x * mp.tanh(mp.log1p(mp.exp(x))))),
        "gelu": (functional.gelu, each(lambda x: x * mp.ncdf(x))),
        "elu": (functional.elu, each(lambda x: x if x > 0 else mp.expm1(x))),
        "relu": (functional.relu, each(lambda x: max(x, mp.mpf(0)))),
        "leaky relu": (functional.leaky_relu, each(lambda x: x if x > 0 else mp.mpf("0.01") * x)),
        "softsign": (functional.softsign, each(lambda x: x / (1 + abs(x)))),
        "tanhshrink": (functional.tanhshrink, each(lambda x: x - mp.tanh(x))),
        "sinc": (torch.sinc, each(sinc)),
        "exp2": (torch.exp2, each(lambda x: mp.mpf(2) ** x)),
        "i0": (special.i0, each(lambda x: mp.besseli(0, x))),
        "i0e": (special.i0e, each(lambda x: mp.besseli(0, x) * mp.exp(-abs(x)))),
        "i1e": (special.i1e, each(lambda x: mp.besseli(1, x) * mp.exp(-abs(x)))),
        "log_ndtr": (special.log_ndtr, each(lambda x: mp.log(mp.ncdf(x)))),
        "erfcx": (special.erfcx, each(lambda x: mp.exp(x * x) * mp.erfc(x))),
        "log of 1 + square": (lambda x: torch.log(1 + x * x), each(lambda x: mp.log1p(x * x))),
        "one minus cos": (lambda x: 1 - torch.cos(x), each(lambda x: 1 - mp.cos(x))),
        "softmax": (lambda x: x.softmax(0), softmax),
        "log_softmax": (lambda x: x.log_softmax(0), lambda xs: [x - logsumexp(xs) for x in xs]),
        "logsumexp": (lambda x: x.logsumexp(0), lambda xs: [logsumexp(xs)]),
        "logcumsumexp": (lambda x: x.logcumsumexp(0), lambda xs: [logsumexp(xs[: k + 1]) for k in range(len(xs))]),
        "cumsum": (lambda x: x.cumsum(0), lambda xs: [mp.fsum(xs[: k + 1]) for k in range(len(xs))]),
        "cumprod": (lambda x: x.cumprod(0), lambda xs: [mp.fprod(xs[: k + 1]) for k in range(len(xs))]),
        "norm": (torch.linalg.vector_norm, lambda xs: [mp.sqrt(mp.fsum(x * x for x in xs))]),
        "variance": (torch.var, lambda xs: [variance(xs)]),
        "deviation": (torch.std, lambda xs: [mp.sqrt(variance(xs))]),
        "sort": (lambda x: x.sort()[0], sorted),
        "max": (torch.max, lambda xs: [max(xs)]),
        "normalize": (
            lambda x: functional.normalize(x, dim=0, eps=0.0),
            lambda xs: [x / mp.sqrt(mp.fsum(y * y for y in xs)) for x in xs],
        ),
    }


def is_wrong(f: Any, exact: Callable[[list[Any]], list[Any]], x: Any) -> bool:
    """Return whether PyTorch's derivative of `f` at the tensor `x` differs from that of `exact`.

    At a kink or a jump, every derivative between those of the two sides is right. The Jacobian matrix is compared, and
    its products with random weights of the outputs, since PyTorch may compute these otherwise.
    """
    import torch
    from mpmath import mp

    ours = torch.autograd.functional.jacobian(f, x).double().reshape(-1, x.numel()).numpy()
    point = [mp.mpf(float(number)) for number in x]
    here, left, right = exact(point), np.zeros_like(ours), np.zeros_like(ours)
    for i, number in enumerate(point):
        for sign, judged in ((-1, left), (1, right)):
            h = sign * STEP * (abs(number) or 1)
            there = exact([*point[:i], number + h, *point[i + 1 :]])
            judged[:, i] = [float(mp.re((after - before) / h)) for before, after in zip(here, there, strict=True)]
    tolerance = WRONG[str(x.dtype).removeprefix("torch.")]
    if _is_outside(ours, left, right, tolerance * np.maximum(np.abs(right), 0.01 * np.max(np.abs(right)))):
        return True
    for weights in np.random.default_rng(0).normal(size=(WEIGHTS, len(here))):
        u = torch.from_numpy(weights).to(x.dtype)
        _, product = torch.autograd.functional.vjp(f, x, u.reshape(f(x).shape))
        parts = [u.double().numpy()[:, None] * side for side in (left, right)]
        sizes = np.abs(parts[1]).sum(0)
        lower, upper = np.minimum(*parts).sum(0), np.maximum(*parts).sum(0)
        if _is_outside(product.double().numpy(), lower, upper, tolerance * np.maximum(sizes, 0.01 * np.max(sizes))):
            return True
    return False


def _is_outside(found: Any, left: Any, right: Any, allowed: Any) -> bool:
    """Return whether some number of `found` is farther than `allowed` from the interval between `left` and `right`."""
    inside = (found >= np.minimum(left, right) - allowed) & (found <= np.maximum(left, right) + allowed)
    return bool((~inside).any())


def campaign(calls: int, first: int = 0, verbose: bool = False) -> tuple[Counter[str], Counter[str], Counter[str]]:
    """Check operations at random points; return how often each was accused wrongly, rightly, and all verdicts."""
    import torch

    from micrograd_cn.testing import GradientMismatch, gradcheck

    known = operations()
    false, true, verdicts = Counter[str](), Counter[str](), Counter[str]()
    for k in range(first, first + calls):
        name = list(known)[k % len(known)]
        f, exact = known[name]
        random = np.random.default_rng(k)
        kind = torch.float64 if random.random() < 0.5 else torch.float32
        x = torch.from_numpy(SCALES[int(random.integers(len(SCALES)))] * random.normal(size=5)).to(kind)
        if not torch.isfinite(f(x)).all():
            x = x.abs() if torch.isfinite(f(x.abs())).all() else 1 / (1 + x.abs())
        if not torch.isfinite(f(x)).all():
            verdicts["outside the domain"] += 1
            continue
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                gradcheck(f, x)
            verdicts["passed"] += 1
        except GradientMismatch as error:
            kinds = true if is_wrong(f, exact, x) else false
            kinds[name] += 1
            verdicts["accused"] += 1
            if verbose and kinds is false:
                print(f"call {k}: {name}\n{error}", flush=True)
        except ValueError as error:
            verdicts[type(error).__name__] += 1
    return false, true, verdicts


def main() -> None:
    """Run the campaign, and exit with 1 if a right derivative was accused."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--calls", type=int, default=5000, help="how many checks")
    parser.add_argument("--first", type=int, default=0, help="the number of the first check")
    parser.add_argument("--verbose", action="store_true", help="show the messages of wrong accusations")
    options = parser.parse_args()
    false, true, verdicts = campaign(options.calls, options.first, options.verbose)
    print(f"{dict(verdicts)}\naccused rightly, since PyTorch's derivative is wrong: {dict(true)}")
    print(f"accused wrongly: {dict(false)}")
    sys.exit(bool(false))


if __name__ == "__main__":
    main()
