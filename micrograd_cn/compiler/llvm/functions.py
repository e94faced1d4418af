"""Write elementary functions of vectors, such as `exp`: by polynomials, by libmvec, or by C's scalar functions.

The polynomials of the module `elementary` run on every machine. They are as fast as libmvec, glibc's library of vector
functions, and more accurate than it. For the functions without a polynomial, libmvec is called if the process has it.
If not, the scalar function of C's library is called for each lane.

At 0.0, -0.0, inf, nan, subnormal numbers and the ends of domains, the results are those of C's functions. The bits of a
lane do not depend on the other lanes. The errors of polynomials and of libmvec are at most 4 units in the last place;
ULPS has the error of each function.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from .elementary import POLYNOMIALS
from .lanes import Lanes
from .operands import Doubles, Vector, vector_type
from .text import KERNEL_PREFIX, Function

LIBRARY = "libmvec.so.1"  # glibc's library of vector functions
# The letters for SSE, AVX2 and AVX-512 in the names of libmvec's functions, by the count of doubles in a vector.
LETTERS = {2: "b", 4: "d", 8: "e"}
# The largest errors that were found on x86-64 with vectors of 2, 4 and 8 doubles, in units in the last place, rounded
# up (`python -m tests.compiler.vector_functions` searches for them). For other processors than x86-64, glibc promises
# errors of at most 4 units.
ULPS = {
    **{"exp": 1.4, "expm1": 1.9, "log": 0.9, "log1p": 1.5, "tanh": 2.7, "sin": 3.9, "cos": 3.9, "tan": 4.0},
    **{"asin": 3.2, "acos": 2.4, "atan": 2.8, "atan2": 3.3, "sinh": 2.3, "cosh": 2.2, "erf": 2.7, "erfc": 2.4},
    **{"pow": 1.6, "hypot": 2.1},
}


class Library:
    """Write the elementary functions of vectors, such as `exp`, for a machine.

    Args:
        triple: LLVM's name of the machine and system.
        simd: the number of doubles in a SIMD vector.
        fma: whether the machine has FMA, which multiplies and adds with one rounding.
        found: a function that takes a name, and returns whether the process has a C function with this name. If the
            system has libmvec, glibc's library of vector functions, the process must have loaded it before.
    """

    def __init__(self, triple: str, simd: int, fma: bool, found: Callable[[str], bool]) -> None:
        self.triple = triple
        self.simd = simd
        self.fma = fma
        self.found = found

    def symbol(self, name: str, operands: int) -> str:
        """Return libmvec's name of a C function, or "" if the process does not have that function of libmvec.

        `name` is the function's name in C, and `operands` is the number of its operands.

        >>> Library("x86_64-unknown-linux-gnu", 4, True, lambda symbol: True).symbol("pow", 2)
        '_ZGVdN4vv_pow'
        >>> Library("x86_64-unknown-linux-musl", 4, True, lambda symbol: False).symbol("pow", 2)
        ''
        """
        arm = self.triple.startswith(("aarch64", "arm64"))
        letter = "n" if arm else LETTERS[self.simd]
        symbol = f"_ZGV{letter}N{self.simd}{'v' * operands}_{name}"
        return symbol if name in ULPS and self.found(symbol) else ""

    def write_vector_function(self, name: str, count: int, operands: int) -> Function:
        """Write the LLVM function that applies a function of C's library to vectors.

        The name of the LLVM function is the one that `vector_function_name` returns.

        Args:
            name: the name of the C function.
            count: the number of lanes of the vectors.
            operands: the number of operands.
        """
        type_ = vector_type(count)
        parameters = ", ".join([f"{type_} %x{k}" for k in range(operands)])
        f = Function(vector_function_name(name, count), parameters, type_, self.fma)
        xs = [Vector(f, f"%x{k}", count) for k in range(operands)]
        symbol = self.symbol(name, operands)
        if name in POLYNOMIALS and operands == 1:
            result = POLYNOMIALS[name](*xs)
        elif symbol:
            result = self._by_parts(f, symbol, xs)
        else:
            result = _lane_by_lane(f, name, xs)
        f.do(f"ret {result.type} {result}")
        return f

    def _by_parts(self, f: Function, symbol: str, xs: Sequence[Vector]) -> Vector:
        """Split vectors into parts, write a call of libmvec's function `symbol` for each part, and join the results.

        Each part is as wide as a SIMD vector.

        Args:
            f: the function in which the calls are written.
            symbol: the name of libmvec's function.
            xs: the vectors, one for each operand of libmvec's function.
        """
        results = []
        for start in range(0, xs[0].count, self.simd):
            parts = [x.shuffle(range(start, start + self.simd)) for x in xs]
            results.append(parts[0].named(f.call(parts[0].type, symbol, *parts)))
        while len(results) > 1:
            width = 2 * results[0].count
            results = [a.shuffle(range(width), b) for a, b in zip(results[::2], results[1::2], strict=True)]
        return results[0]


def vector_function_name(name: str, count: int) -> str:
    """Return the name of the LLVM function that applies the C function `name` to vectors with `count` lanes."""
    return f"{KERNEL_PREFIX}vector_{name}_{count}"


def _lane_by_lane(f: Function, name: str, xs: Sequence[Vector]) -> Vector:
    """Write a loop that calls the C function `name` for each lane, and return the vector of results."""
    lanes = Lanes(f, xs[0].count, 64)
    memory = [Doubles(f, f.op(f"alloca {lanes.type}, align 64")) for _ in xs]
    for x, pointer in zip(xs, memory, strict=True):
        lanes.store(x, pointer)
    with f.loop(lanes.count) as lane:
        numbers = [pointer[lane.index] for pointer in memory]
        memory[0][lane.index] = Vector(f, f.call("double", name, *numbers))
    return lanes.load(memory[0])
