"""Functions of C's library for vectors: one lane after the other, or, of the exponential, all at once."""

from __future__ import annotations

import math
import struct

from .text import Function, literal
from .writer import fma, splat, vector

ROUNDING = 1.5 * 2.0**52  # a small number added to it is rounded to a whole one, which the last bits hold
LN2_HIGH = float.fromhex("0x1.62e42fee00000p-1")  # its product with a whole number below 2**20 is exact
LN2_LOW = float.fromhex("0x1.a39ef35793c76p-33")
TERMS = 14  # of exp's series; the next one is below 2**-57 where |r| <= log(2) / 2


def on_vectors(name: str, lanes: int, operands: int, fused: bool) -> Function:
    """Return the function that calls one of C's for every lane."""
    if name == "exp":
        return exponential(lanes, fused)
    kind = vector(lanes)
    f = Function(f"internal {kind} @vector_{name}({', '.join(f'{kind} %x{k}' for k in range(operands))}) noinline")
    memory = [f.op(f"alloca {kind}, align 64") for _ in range(operands)]
    for k, pointer in enumerate(memory):
        f.store(kind, f"%x{k}", pointer, 64)
    with f.loop(lanes) as lane:
        xs = ", ".join([f"double {f.load('double', f.at(pointer, lane.index))}" for pointer in memory])
        f.store("double", f.op(f"call double @{name}({xs})"), f.at(memory[0], lane.index))
    f.do(f"ret {kind} {f.load(kind, memory[0], 64)}")
    return f


def exponential(lanes: int, fused: bool) -> Function:
    """Return exp of a vector: 2**k * exp(r), where k is whole and |r| <= log(2) / 2, and exp(r) is a polynomial.

    Arguments beyond its range are moved to where the result is 0 or inf; 2**k is multiplied in two halves, since it may
    overflow or be subnormal by itself.
    """
    kind, whole = vector(lanes), f"<{lanes} x i64>"
    f = Function(f"internal {kind} @vector_exp({kind} %x0) noinline")

    def constant(x: float) -> str:
        return splat(f, literal(x), lanes)

    def integer(n: int) -> str:
        one = f.op(f"insertelement {whole} poison, i64 {n}, i32 0")
        return f.op(f"shufflevector {whole} {one}, {whole} poison, <{lanes} x i32> zeroinitializer")

    x = "%x0"
    for comparison, end in (("olt", -746.0), ("ogt", 710.0)):  # nan stays
        beyond = f.op(f"fcmp {comparison} {kind} {x}, {constant(end)}")
        x = f.op(f"select <{lanes} x i1> {beyond}, {kind} {constant(end)}, {kind} {x}")
    shifted = f.op(f"fadd {kind} {f.op(f'fmul {kind} {x}, {constant(1.0 / math.log(2.0))}')}, {constant(ROUNDING)}")
    k = f.op(f"fsub {kind} {shifted}, {constant(ROUNDING)}")
    r = fma(f, lanes, k, constant(-LN2_HIGH), x, fused)
    r = fma(f, lanes, k, constant(-LN2_LOW), r, fused)
    result = constant(1.0 / math.factorial(TERMS - 1))
    for n in reversed(range(TERMS - 1)):
        result = fma(f, lanes, result, r, constant(1.0 / math.factorial(n)), fused)
    bits = f.op(f"bitcast {kind} {shifted} to {whole}")
    bits = f.op(f"sub {whole} {bits}, {integer(int.from_bytes(struct.pack('<d', ROUNDING), 'little'))}")
    first = f.op(f"ashr {whole} {bits}, {integer(1)}")
    for half in (first, f.op(f"sub {whole} {bits}, {first}")):
        power = f.op(f"shl {whole} {f.op(f'add {whole} {half}, {integer(1023)}')}, {integer(52)}")
        result = f.op(f"fmul {kind} {result}, {f.op(f'bitcast {whole} {power} to {kind}')}")
    f.do(f"ret {kind} {result}")
    return f
