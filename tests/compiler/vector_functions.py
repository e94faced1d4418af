"""Compare the compiler's elementary functions of vectors, such as exp and sin, with exact results.

    python -m tests.compiler.vector_functions  # two million points for each function, which takes minutes
    python -m tests.compiler.vector_functions --points 20000 tanh exp

For each function and each width of vectors, this prints the worst error, in units in the last place, and the operands
that have it. The exit status is 1 if an error exceeds the function's limit in `functions.ULPS`, or if the bits of a
result depend on the other numbers in the vector.

C's functions of long double find the operands with the worst errors, because they are fast. mpmath then measures these
few errors.
"""

import argparse
import contextlib
import ctypes
import itertools
import math
import sys
from functools import cache

import numpy as np
from mpmath import mp, mpf

with contextlib.suppress(ImportError):  # without llvmlite, pytest must still be able to look for doctests in this file
    from micrograd_cn.compiler.llvm.elementary import POLYNOMIALS
    from micrograd_cn.compiler.llvm.functions import ULPS, Library
    from micrograd_cn.compiler.llvm.lanes import Lanes
    from micrograd_cn.compiler.llvm.machine import Machine, _has_function, machine
    from micrograd_cn.compiler.llvm.operands import Doubles
    from micrograd_cn.compiler.llvm.text import Function

BINARY = ("pow", "atan2", "hypot")
LONG = {63: "x86_fp80", 112: "fp128"}.get(np.finfo(np.longdouble).nmant)  # None: C's long double is double
SPECIAL = [0.0, 1.0, 2.0, 3.0, 0.5, math.inf, math.nan, 5e-324, sys.float_info.min, sys.float_info.max, 1e300, 1e22]
SPECIAL += [0.0, 1.0 - 2.0**-53, 1.0 + 2.0**-52, 709.78, 709.79, 745.13, 745.14, 710.47, 710.48, 6.0, 20.0, 27.2, 53.0]
SPECIAL += [-x for x in SPECIAL]


def widths():
    """Return the widths, in doubles, that this machine's vectors may have, and the ways it can compute a * b + c.

    The ways are values of `Machine.fma`: False rounds the product and the sum, True rounds once.
    """
    wide = [n for n, feature in ((4, "+avx,"), (8, "+avx512f,")) if feature in f"{machine().features},"]
    return [2, *wide], [False, True][: 1 + machine().fma]


@cache
def machine_of(native, fma, found=None):
    """Return this machine with `native` doubles in a vector, another way to compute a * b + c, or another library."""
    on = Machine()
    on.simd, on.width, on.fma = native, 2 * native, fma
    on.library = Library(on.triple, native, fma, found or _has_function)
    return on


class Functions:
    """The compiled vector form of one of C's functions, called with arrays whose length is a multiple of its lanes.

    The function is compiled together with the loop that calls it, so it does not become a kernel that programs of this
    process call too.
    """

    def __init__(self, name, on, lanes):
        self.lanes = lanes
        operands = 1 + (name in BINARY)
        function = on.library.write_vector_function(name, lanes, operands)
        f = Function("run", "ptr %x0, ptr %x1, ptr %y, i64 %n")
        vectors = Lanes(f, lanes)
        with f.loop("%n") as loop:
            start = loop.index * lanes
            xs = [vectors.load(Doubles(f, f"%x{k}") + start) for k in range(operands)]
            vectors.store(vectors.named(f.call(vectors.type, function.name, *xs)), Doubles(f, "%y") + start)
        f.do("ret void")
        self.text = str(function)
        self.run, self.compiled = compiled(on, f, function)

    def __call__(self, *xs):
        y = np.empty_like(xs[0])
        assert len(y)
        assert len(y) % self.lanes == 0
        self.run(xs[0].ctypes.data, xs[-1].ctypes.data, y.ctypes.data, len(y) // self.lanes)
        return y


def compiled(on, f, *others):
    """Return a compiled function of three addresses and some counts, and the object that keeps its code alive."""
    code = on.compile([*others, f])
    counts = [ctypes.c_int64] * f.arguments.count("i64 %")
    return ctypes.CFUNCTYPE(None, *[ctypes.c_void_p] * 3, *counts)(code.address(f.name)), code


def limit(name):
    """Return the largest error that a function may have, in units in the last place.

    The functions of other processors' C libraries have not been measured, so these have a common limit.
    """
    return ULPS[name] if name in POLYNOMIALS or machine().triple.startswith("x86_64") else 4.0


def exact(name, *xs):
    """Return the results of C's function of long double, which are exact to far more than a double's digits."""
    f = Function("run", "ptr %x0, ptr %x1, ptr %y, i64 %n")
    with f.loop("%n") as loop:
        numbers = [Doubles(f, f"%x{k}")[loop.index] for k in range(len(xs))]
        wide = [f"{LONG} {f.op(f'fpext double {x} to {LONG}')}" for x in numbers]
        to = f.op(f"getelementptr {LONG}, ptr %y, i64 {loop.index}")
        f.do(f"store {LONG} {f.call(LONG, f'{name}l', *wide)}, ptr {to}, align 16")
    f.do("ret void")
    run, _code = compiled(machine(), f)
    y = np.empty(len(xs[0]), np.longdouble)
    run(xs[0].ctypes.data, xs[-1].ctypes.data, y.ctypes.data, len(y))
    return y


def errors(found, right):
    """Return the errors in units in the last place of a double.

    The error is inf where only one of the two is nan, and where a zero has the wrong sign.
    """
    most = np.longdouble(2.0) ** 1024  # inf counts as this, which is one unit above the largest double
    with np.errstate(all="ignore"):
        size = np.clip(np.abs(right.astype(float)), sys.float_info.min, sys.float_info.max)
        error = np.abs(np.clip(found.astype(np.longdouble), -most, most) - np.clip(right, -most, most))
        error = (error / np.spacing(size)).astype(float)
    error[np.isnan(found) & np.isnan(right)] = 0.0
    error[np.isnan(found) != np.isnan(right)] = math.inf
    error[(found == 0.0) & (np.signbit(found) != np.signbit(right))] = math.inf
    return error


def confirmed(name, found, *xs):
    """Return the error of one result as mpmath computes it, or None if an operand or the result is not finite."""
    if not all(map(math.isfinite, (found, *xs))):
        return None
    with mp.workprec(300):
        y = getattr(mp, {"pow": "power"}.get(name, name))(*map(mpf, xs))
        ulp = math.ulp(min(max(abs(float(y)), sys.float_info.min), sys.float_info.max))
        return float(abs(mpf(found) - y) / ulp)


def points(count, rng):
    """Return about `count` doubles, about as many of each kind, and the special ones."""
    n = count // 10
    sign = rng.choice([-1.0, 1.0], n)
    kinds = [
        rng.integers(0, 2**64, n, dtype=np.uint64).view(float),  # random bits
        rng.integers(0, 2**54, n, dtype=np.uint64).view(float) * sign,  # subnormal numbers, and the smallest others
        np.exp2(rng.uniform(-60.0, 12.0, n)) * sign,
        np.exp2(rng.uniform(10.0, 1024.0, n)) * sign,
        (1.0 + np.exp2(rng.uniform(-53.0, 0.0, n)) * sign) * rng.choice([-1.0, 1.0], n),
        *[rng.uniform(-end, end, n) for end in (1.0, 4.0, 40.0, 800.0)],
        rng.integers(-(10**6), 10**6, n) * (np.pi / 2) * (1.0 + np.exp2(rng.uniform(-60.0, -20.0, n))),  # poles
    ]
    return np.concatenate([*kinds, SPECIAL])


def operands(name, count, rng, multiple=16):
    """Return operands of a function, shuffled, so each vector holds numbers of several kinds.

    All special numbers are among them, and all pairs of special numbers if the function has two operands.
    """
    if name not in BINARY:
        xs = [points(count, rng)]
    else:
        a, b = (rng.permutation(points(count, rng)) for _ in range(2))
        near, n = np.exp2(rng.uniform(-40.0, 40.0, len(a))), len(a) // 2
        with np.errstate(all="ignore"):
            if name == "pow":  # draw results of all sizes, and some whole exponents of negative bases
                b[:n] = rng.uniform(-760.0, 760.0, n) / np.log(np.abs(a[:n]))
                b[: n // 2] = np.round(b[: n // 2])
                a[n // 4 : n] = np.abs(a[n // 4 : n])
            else:
                b[:n] = a[:n] * near[:n]
        pairs = np.array(list(itertools.product(SPECIAL, SPECIAL))).T
        xs = [np.concatenate(both) for both in zip((a, b), pairs, strict=True)]
    order = rng.permutation(len(xs[0]))
    return [np.resize(x[order], -(-len(order) // multiple) * multiple) for x in xs]


def near(xs, error, count, rng):
    """Return operands near those with the largest errors."""
    order = np.argsort(error)[-32:]
    return [
        np.resize(x[order], count) * (1.0 + np.exp2(-rng.uniform(3.0, 50.0, count)) * rng.choice([-1.0, 1.0], count))
        for x in xs
    ]


def worst(name, run, xs, right, rng, rounds, candidates=50):
    """Return the largest error found, and its operands.

    Each round after the first looks near the operands that had the largest errors in the round before.
    """
    best, few = (0.0, []), max(1, len(right) // 64) * run.lanes
    for _ in range(rounds):
        found = run(*xs)
        error = errors(found, right)
        for i in np.argsort(error)[-candidates:]:
            where = [float(x[i]) for x in xs]
            by_mpmath = None if math.isinf(error[i]) else confirmed(name, found[i], *where)
            best = max(best, (float(error[i]) if by_mpmath is None else by_mpmath, where))
        xs = near(xs, error, few, rng)
        right = exact(name, *xs)
    return best


def is_independent(run, xs, rng):
    """Return whether each result keeps its bits after a shuffle, which puts other numbers beside it in the vector."""
    found, order = run(*xs), rng.permutation(len(xs[0]))
    again = run(*[x[order] for x in xs])
    same = again.view(np.uint64) == found[order].view(np.uint64)
    return bool(np.all(same | (np.isnan(again) & np.isnan(found[order]))))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", default=list(ULPS))
    parser.add_argument("--points", type=int, default=2_000_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--rounds", type=int, default=3)
    chosen = parser.parse_args()
    rng = np.random.default_rng(chosen.seed)
    failed = False
    for name in chosen.names:
        xs = operands(name, chosen.points, rng)
        right = exact(name, *xs)
        native_widths, ways = widths()
        for native, fma in itertools.product(native_widths, ways if name in POLYNOMIALS else ways[-1:]):
            run = Functions(name, machine_of(native, fma), 2 * native)
            error, where = worst(name, run, xs, right, rng, chosen.rounds)
            wrong = error > limit(name)
            mixed = not is_independent(run, xs, rng)
            failed |= wrong | mixed
            text = f"{name:6} {native} {'FMA' if fma else '   '} {len(right)} points: {error:.3f} ulp at {where}"
            print(text, "OVER THE LIMIT" * wrong, "DEPENDS ON OTHER LANES" * mixed, flush=True)
    sys.exit(failed)


if __name__ == "__main__":
    main()
