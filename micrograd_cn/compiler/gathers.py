"""Like instructions whose operands lie anywhere, as functions that all programs share: a table says where they are.

Vectors of operands are gathered from single scalars, and the results lie side by side. The functions have the operands
of `products`.
"""

from __future__ import annotations

import re
from functools import cache

from .lanes import Lanes
from .machine import Machine
from .products import STAGE, Maker, name
from .straight import compute
from .text import BYTE, OURS, Function

MOST = 24  # operands of sums that are written one by one


class _Operands:
    """Write what loads the operands of a table as the letters of a pattern say.

    s: where one is, for all; v: the first one, of neighbours; g: the table of where they are, in whole vectors.
    """

    def __init__(self, lanes: Lanes, pattern: str) -> None:
        self.lanes, f = lanes, lanes.f
        places = [f.pointer("%t", k) if letter == "g" else _at(f, "%t", k) for k, letter in enumerate(pattern, 2)]
        self.all = list(zip(places, pattern, strict=True))
        self.fixed = [lanes.splat(f.load("double", x)) if letter == "s" else "" for x, letter in self.all]

    def load(self, k: int, first: str) -> str:
        """Load one operand of the instructions from `first` on."""
        x, letter = self.all[k]
        if letter == "s":
            return self.fixed[k]
        if letter == "v":
            return self.lanes.f.load(self.lanes.kind, self.lanes.f.at(x, first))
        return _gather(self.lanes, self.lanes.f.at(x, first, "i64"))


@cache
def run(form: str, pattern: str) -> Maker:
    """Return what writes one instruction for many scalars.

    Table: how many vectors; the first result; the operands, as `pattern` says.
    """

    def make(machine: Machine, way: str) -> Function:
        f = Function(f"{OURS}gathered_{re.sub('[^A-Za-z0-9_.]', '_', form)}_{pattern}", STAGE, "i64")
        lanes = Lanes(f, machine.native, machine.fused)
        operands, result = _Operands(lanes, pattern), _at(f, "%t", 1)
        with f.loop(f.word("%t")) as loop:
            first = f.times(loop.index, machine.native)
            xs = [operands.load(k, first) for k in range(len(pattern))]
            f.store(lanes.kind, compute(lanes, form, xs), f.at(result, first))
        f.do("ret i64 0")
        return f

    return make


@cache
def short_sums(pattern: str, check: bool, twins: int = 0) -> Maker:
    """Return what writes sums of a few products, as `sums` does.

    Table: how many vectors; the first result; as `pattern` says the left and the right factor of each product, and the
    twins.
    """

    def make(machine: Machine, form: str) -> Function:
        f = Function(name(f"short_sums_{pattern}{f'_checked{twins}' * check}", form), STAGE, "i64")
        lanes = Lanes(f, machine.native, machine.fused)
        operands, result = _Operands(lanes, pattern), _at(f, "%t", 1)
        count = len(pattern) - twins
        with f.loop(f.word("%t")) as loop:
            first = f.times(loop.index, machine.native)
            xs = [operands.load(k, first) for k in range(count)]
            pairs = list(zip(xs[::2], xs[1::2], strict=True))
            found = lanes.constant(-0.0)
            for a, b in pairs:
                found = lanes.product_added(a, b, found, form)
            if check:
                with f.rarely(lanes.any(lanes.overflowed([found])), lanes.kind, [found]) as rare:
                    scaled = lanes.constant(-0.0)
                    for k in range(count, len(pattern)):
                        scaled = lanes.add(scaled, operands.load(k, first))
                    for a, b in pairs[twins:]:
                        scaled = lanes.product_added(a, b, scaled, "scaled")
                    rare.next = [lanes.rescaled(found, scaled)]
                [found] = rare.carried
            f.store(lanes.kind, found, f.at(result, first))
        f.do("ret i64 0")
        return f

    return make


@cache
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
