"""Find the peak of one core of this machine: a compiled loop that multiplies and adds numbers in registers."""

import ctypes
from collections.abc import Callable
from functools import cache
from typing import Any

from micrograd_cn.compiler.llvm.lanes import Lanes
from micrograd_cn.compiler.llvm.machine import VECTOR_LEVEL, machine
from micrograd_cn.compiler.llvm.operands import Vector
from micrograd_cn.compiler.llvm.text import Function

SPARE = 4  # registers that hold something else than a sum
MOST_SUMS = 16
STEPS = 100_000  # passes of the loop that count as one unit of work


def sums() -> int:
    """Return how many independent sums the loop adds to in turn.

    There are so many that an addition need not wait for the one before it, but no more than fit into the registers.
    """
    return min(MOST_SUMS, machine().registers - SPARE)


@cache
def _compiled() -> tuple[Any, Any]:
    on = machine()
    f = Function("peak", "i64 %n, double %x", "double", on.fma)
    lanes = Lanes(f, on.simd)
    x = lanes.splat(Vector(f, "%x"))
    with f.loop("%n", [lanes.splat(0.0)] * sums()) as loop:
        loop.next = [total.multiply_add(x, x) for total in loop.carried]
    total = loop.next[0]
    for other in loop.next[1:]:
        total = total + other
    f.do(f"ret double {total.horizontal_sum()}")
    compiled = on.compile([f], level=VECTOR_LEVEL)  # at a lower level, the sums are not kept in registers
    return compiled, ctypes.CFUNCTYPE(ctypes.c_double, ctypes.c_int64, ctypes.c_double)(compiled.address("peak"))


def at_the_peak() -> tuple[Callable[[float], None], int]:
    """Return a function that keeps a core at its peak for so many units of work as its argument says.

    The second item is the count of additions and multiplications in one unit.

    >>> work, operations = at_the_peak()
    >>> work(0.01)
    >>> operations % STEPS
    0
    """
    _, run = _compiled()

    def work(times: float) -> None:
        run(int(times * STEPS), 0.5)

    return work, 2 * sums() * machine().simd * STEPS
