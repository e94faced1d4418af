"""Like instructions whose operands lie anywhere, as functions that all programs share: a table says where they are.

Vectors of operands are gathered from single scalars, and the results lie side by side. The functions have the operands
of `products`.
"""

from __future__ import annotations

import re

from .lanes import Lanes
from .machine import Machine
from .products import STAGE, Maker, name
from .straight import compute
from .text import BYTE, OURS, Function


def run(form: str, pattern: str) -> Maker:
    """Return what writes one instruction for many scalars.

    Table: how many vectors; the first result; for each operand, as its letter in `pattern` says, s: where it is, for
    all; v: the first one, of neighbours; g: the table of where they are, in whole vectors.
    """

    def make(machine: Machine, way: str) -> Function:
        f = Function(f"{OURS}gathered_{re.sub('[^A-Za-z0-9_.]', '_', form)}_{pattern}", STAGE, "i64")
        lanes = Lanes(f, machine.native, machine.fused)
        places = [f.pointer("%t", k) if letter == "g" else _at(f, "%t", k) for k, letter in enumerate(pattern, 2)]
        fixed = [
            lanes.splat(f.load("double", x)) if letter == "s" else "" for x, letter in zip(places, pattern, strict=True)
        ]
        result = _at(f, "%t", 1)
        with f.loop(f.word("%t")) as loop:
            first = f.times(loop.index, machine.native)
            xs = list(fixed)
            for k, letter in enumerate(pattern):
                if letter == "v":
                    xs[k] = f.load(lanes.kind, f.at(places[k], first))
                elif letter == "g":
                    xs[k] = _gather(lanes, f.at(places[k], first, "i64"))
            f.store(lanes.kind, compute(lanes, form, xs), f.at(result, first))
        f.do("ret i64 0")
        return f

    return make


def sums(check: bool, twins: int = 0) -> Maker:
    """Return what writes sums of as many products; those that might overflow on the way are checked.

    The left factors of the first products are sums themselves, as many as there are `twins`: these in units of
    1 / SCALE, which are read where a sum has overflowed.

    Table: how many vectors; the first result; how many products; for each vector where the left factors of each product
    are, then the right ones; after all its products, where the twins are.
    """

    def make(machine: Machine, form: str) -> Function:
        native = machine.native
        f = Function(name(f"gathered_sums{f'_checked{twins}' * check}", form), STAGE, "i64")
        lanes = Lanes(f, native, machine.fused)
        result, products = _at(f, "%t", 1), f.word("%t", 2)

        def total(form: str, first: str, pairs: str, count: str) -> str:
            with f.loop(count, [(lanes.kind, first), ("ptr", pairs)]) as loop:
                [sum_, pair] = loop.carried
                a, b = (_gather(lanes, f.at(pair, k * native, "i64")) for k in range(2))
                loop.next = [lanes.product_added(a, b, sum_, form), f.at(pair, 2 * native, "i64")]
            return loop.next[0]

        with f.loop(f.word("%t"), [("ptr", f.at("%t", 3, "i64"))]) as loop:
            [pairs] = loop.carried
            zero, after = lanes.constant(-0.0), f.at(pairs, f.times(products, 2 * native), "i64")
            found = total(form, zero, pairs, products)
            if check:
                with f.rarely(lanes.any(lanes.overflowed([found])), lanes.kind, [found]) as rare:
                    scaled = zero
                    for k in range(twins):
                        scaled = lanes.add(scaled, _gather(lanes, f.at(after, k * native, "i64")))
                    others = f.at(pairs, twins * 2 * native, "i64")
                    scaled = total("scaled", scaled, others, f.subtract(products, twins))
                    rare.next = [lanes.rescaled(found, scaled)]
                [found] = rare.carried
            f.store(lanes.kind, found, f.at(result, f.times(loop.index, native)))
            loop.next = [f.at(after, twins * native, "i64")]
        f.do("ret i64 0")
        return f

    return make


def _at(f: Function, table: str, index: int | str = 0) -> str:
    return f.at("%s", f.word(table, index), BYTE)


def _gather(lanes: Lanes, places: str) -> str:
    """Return a vector of the scalars at the next places of a table."""
    vector = "poison"
    for lane in range(lanes.count):
        x = lanes.f.load("double", _at(lanes.f, places, lane))
        vector = lanes.f.op(f"insertelement {lanes.kind} {vector}, double {x}, i32 {lane}")
    return vector
