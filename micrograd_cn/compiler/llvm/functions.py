"""Functions of vectors: by a formula, by the C library's own functions of vectors, or by C's one lane after the other.

POLYNOMIALS are what every machine has; they are as fast as glibc's functions of vectors (libmvec) and more accurate.
The others are libmvec's where the process has them, and else C's, lane by lane, with whatever error they have.

All are what C's functions are at 0.0, -0.0, inf, nan, subnormal numbers and the ends of domains, and no error is over 4
units in the last place, so no lane is guarded; a lane's bits do not depend on the other lanes. ULPS has the errors.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from .elementary import POLYNOMIALS
from .lanes import Lanes, vector
from .text import KERNEL_PREFIX, Function
from .vectors import Vector

LIBRARY = "libmvec.so.1"
LETTERS = {2: "b", 4: "d", 8: "e"}  # of SSE, AVX and AVX-512 in libmvec's names, by doubles in a vector
# The worst errors that were found, rounded up, in units in the last place, with vectors of 2, 4 and 8 doubles on x86-64
# (`python -m tests.compiler.vector_functions` looks for them). On other processors glibc promises no more than 4.
ULPS = {
    **{"exp": 1.4, "expm1": 1.9, "log": 0.9, "log1p": 1.5, "tanh": 2.7, "sin": 3.9, "cos": 3.9, "tan": 4.0},
    **{"asin": 3.2, "acos": 2.4, "atan": 2.8, "atan2": 3.3, "sinh": 2.3, "cosh": 2.2, "erf": 2.7, "erfc": 2.4},
    **{"pow": 1.6, "hypot": 2.1},
}


class Library:
    """The functions of vectors that a process has.

    Args:
        triple: what LLVM calls the machine.
        simd: how many doubles its vectors have.
        fused: whether it multiplies and adds with one rounding.
        found: whether the process has a function of this name; with `LIBRARY` loaded, if there is one.
    """

    def __init__(self, triple: str, simd: int, fused: bool, found: Callable[[str], bool]) -> None:
        self.triple = triple
        self.simd = simd
        self.fused = fused
        self.found = found

    def symbol(self, name: str, operands: int) -> str:
        """Return libmvec's name for a function of SIMD vectors; "" if the process does not have it.

        >>> Library("x86_64-unknown-linux-gnu", 4, True, lambda symbol: True).symbol("pow", 2)
        '_ZGVdN4vv_pow'
        >>> Library("x86_64-unknown-linux-musl", 4, True, lambda symbol: False).symbol("pow", 2)
        ''
        """
        arm = self.triple.startswith(("aarch64", "arm64"))
        letter = "n" if arm else LETTERS[self.simd]
        symbol = f"_ZGV{letter}N{self.simd}{'v' * operands}_{name}"
        return symbol if name in ULPS and self.found(symbol) else ""

    def on_vectors(self, name: str, count: int, operands: int) -> Function:
        """Return the function `vector_<name>_<count>`, one of C's for `count` lanes."""
        kind = vector(count)
        parameters = [f"%x{k}" for k in range(operands)]
        f = Function(called(name, count), ", ".join([f"{kind} {x}" for x in parameters]), kind)
        lanes = Lanes(f, count, self.fused)
        symbol = self.symbol(name, operands)
        if name in POLYNOMIALS and operands == 1:
            result = POLYNOMIALS[name](Vector(lanes, "%x0")).name
        elif symbol:
            result = self._by_parts(f, symbol, count, parameters)
        else:
            result = _lane_by_lane(f, name, count, parameters)
        f.do(f"ret {kind} {result}")
        return f

    def _by_parts(self, f: Function, symbol: str, count: int, parameters: list[str]) -> str:
        """Write calls of a function of SIMD vectors for all parts of wider ones."""
        kind, simd = vector(count), vector(self.simd)
        results = []
        for start in range(0, count, self.simd):
            chosen = ", ".join([f"i32 {start + k}" for k in range(self.simd)])
            parts = [
                f.op(f"shufflevector {kind} {x}, {kind} poison, <{self.simd} x i32> <{chosen}>") for x in parameters
            ]
            results.append(f.call(simd, symbol, *[f"{simd} {x}" for x in parts]))
        width = self.simd
        while len(results) > 1:
            width *= 2
            joined = ", ".join([f"i32 {k}" for k in range(width)])
            results = [
                f.op(f"shufflevector {vector(width // 2)} {a}, {vector(width // 2)} {b}, <{width} x i32> <{joined}>")
                for a, b in zip(results[::2], results[1::2], strict=True)
            ]
        return results[0]


def called(name: str, count: int) -> str:
    """Return what a function for so many lanes is called."""
    return f"{KERNEL_PREFIX}vector_{name}_{count}"


def _lane_by_lane(f: Function, name: str, count: int, parameters: Sequence[str]) -> str:
    """Write a loop over the lanes."""
    kind = vector(count)
    memory = [f.op(f"alloca {kind}, align 64") for _ in parameters]
    for x, pointer in zip(parameters, memory, strict=True):
        f.store(kind, x, pointer, 64)
    with f.loop(count) as lane:
        xs = [f"double {f.load('double', f.at(pointer, lane.index))}" for pointer in memory]
        f.store("double", f.call("double", name, *xs), f.at(memory[0], lane.index))
    return f.load(kind, memory[0], 64)
