"""What one core of this machine can do at most: multiplications with additions, all in registers."""

import ctypes
import time

from micrograd_cn.compiler.lanes import Lanes
from micrograd_cn.compiler.machine import machine
from micrograd_cn.compiler.text import Function

CHAINS = 16  # enough not to wait for any


def peak(steps: int = 200_000) -> float:
    """Return the floating-point operations a second of one core.

    >>> peak(10) > 0
    True
    """
    on = machine()
    f = Function("peak", "i64 %n, double %x", "double")
    lanes = Lanes(f, on.native, on.fused)
    x = lanes.splat("%x")
    with f.loop("%n", [(lanes.kind, lanes.constant(0.0))] * CHAINS) as loop:
        loop.next = [lanes.product_added(total, x, x) for total in loop.carried]
    total = loop.next[0]
    for other in loop.next[1:]:
        total = lanes.add(total, other)
    f.do(f"ret double {lanes.sum_of_lanes(total)}")
    compiled = on.compile([f])
    run = ctypes.CFUNCTYPE(ctypes.c_double, ctypes.c_int64, ctypes.c_double)(compiled.address("peak"))
    run(steps, 0.5)
    start = time.perf_counter()
    run(steps, 0.5)
    return 2.0 * CHAINS * on.native * steps / (time.perf_counter() - start)
