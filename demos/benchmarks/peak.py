"""What one core of this machine can do at most: multiplications with additions, all in registers."""

import ctypes
from collections.abc import Callable
from functools import cache
from typing import Any

from micrograd_cn.compiler.llvm.lanes import Lanes
from micrograd_cn.compiler.llvm.machine import machine
from micrograd_cn.compiler.llvm.text import Function

SPARE = 4  # registers that are no sums
MOST_SUMS = 16
STEPS = 100_000


def sums() -> int:
    """Return how many sums are added to at once: enough that none is waited for, and not more than registers."""
    return min(MOST_SUMS, machine().registers - SPARE)


@cache
def _compiled() -> tuple[Any, Any]:
    on = machine()
    f = Function("peak", "i64 %n, double %x", "double")
    lanes = Lanes(f, on.simd, on.fused)
    x = lanes.splat("%x")
    with f.loop("%n", [(lanes.kind, lanes.constant(0.0))] * sums()) as loop:
        loop.next = [lanes.product_added(total, x, x) for total in loop.carried]
    total = loop.next[0]
    for other in loop.next[1:]:
        total = lanes.add(total, other)
    f.do(f"ret double {lanes.sum_of_lanes(total)}")
    compiled = on.compile([f])
    return compiled, ctypes.CFUNCTYPE(ctypes.c_double, ctypes.c_int64, ctypes.c_double)(compiled.address("peak"))


def at_the_peak() -> tuple[Callable[[float], None], int]:
    """Return what keeps a core at its peak for so many times, and the floating-point operations of one time.

    >>> work, operations = at_the_peak()
    >>> work(0.01)
    >>> operations % STEPS
    0
    """
    _, run = _compiled()

    def work(times: float) -> None:
        run(int(times * STEPS), 0.5)

    return work, 2 * sums() * machine().simd * STEPS
