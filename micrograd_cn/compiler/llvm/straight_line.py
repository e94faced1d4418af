"""Instructions as straight-line code, of a function's own values: what native and threaded code are made of."""

from __future__ import annotations

from collections.abc import Sequence

from ..instructions.code import FORMULAS, START, SUM_OPCODES, Code, Pair
from .lanes import Lanes


class StraightLineWriter:
    """Write instructions one after the other; a subclass says where the values of others are.

    Attributes:
        known: the names of values.
        made: the names of what was computed, by opcode and operands, so that formulas share their common parts.
    """

    def __init__(self, lanes: Lanes, code: Code, made: dict[tuple[str, ...], str] | None = None) -> None:
        self.lanes, self.code, self.f = lanes, code, lanes.f
        self.known: dict[int, str] = {}
        self.conditions: dict[int, str] = {}  # comparisons, which become numbers only where they are used as such
        self.made: dict[tuple[str, ...], str] = {} if made is None else made

    def value(self, i: int) -> str:
        """Return the name of a value."""
        if i not in self.known:
            if i in self.conditions:
                self.known[i] = self.lanes.number(self.conditions[i])
            elif (x := self.code.value(i)) is not None:
                self.known[i] = self.lanes.constant(x)
            else:
                self.known[i] = self.load(i)
        return self.known[i]

    def load(self, i: int) -> str:
        """Return the name of a value that was not computed here."""
        raise KeyError(i)

    def define(self, i: int, name: str) -> None:
        """Take note of a value."""
        self.known[i] = name

    def write(self, i: int) -> None:
        """Write one instruction."""
        opcode, *rest = self.code.instructions[i]
        if opcode in SUM_OPCODES:
            self.define(i, self.sum(opcode, *rest))
        elif opcode.startswith("fcmp"):
            names = [self.value(j) for j in rest]
            key = (opcode, *names)
            if key not in self.made:
                self.made[key] = self.lanes.condition(opcode, names)
            self.conditions[i] = self.made[key]
        elif opcode == "select" and rest[0] in self.conditions:
            self.define(i, self.lanes.choose(self.conditions[rest[0]], self.value(rest[1]), self.value(rest[2])))
        else:
            names = [self.value(j) for j in rest]
            key = (opcode, *names)
            if key not in self.made:
                self.made[key] = compute(self.lanes, opcode, names, self.made)
            self.define(i, self.made[key])

    def sum(self, opcode: str, pairs: Sequence[Pair], terms: Sequence[int]) -> str:
        """Return the sum of some terms and products."""
        total = ""
        for t in terms:
            total = self.lanes.add(total, self.value(t)) if total else self.value(t)
        for a, b in pairs:
            if total:
                total = self.lanes.multiply_add(self.value(a), self.value(b), total, opcode)
            else:
                total = self.lanes.multiply(self.value(a), self.value(b))
        return total or self.lanes.constant(-0.0)


def compute(lanes: Lanes, opcode: str, names: Sequence[str], made: dict[tuple[str, ...], str] | None = None) -> str:
    """Return what a machine form, a formula or START gives."""
    if opcode == START:
        return names[0]
    if opcode not in FORMULAS:
        return lanes.apply(opcode, names)
    code, result = FORMULAS[opcode]
    straight = StraightLineWriter(lanes, code, made)
    straight.known.update(enumerate(names))
    for i in range(len(names), len(code.instructions)):
        if code.operands[i]:
            straight.write(i)
    return straight.value(result)
