"""Instructions that a single other one needs become part of it: fewer steps, and fewer values that lie in memory.

It is for threaded code, in which each step has its price, and for vectors of like instructions, which read and store
what is in memory. Other native code has such values in registers anyway.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Container, Iterable
from itertools import chain
from typing import Any

from .code import (
    FORMULAS,
    GATHER,
    LEAF_OPCODES,
    SAMPLE,
    SUM_OPCODES,
    Code,
    inline_formula,
    register_formula,
    renumbered,
)

MOST_READ = 10  # operands of what is fused
HEAVIEST = 50  # instructions of the machine in what is fused
MIN_OCCURRENCES = 32  # equal trees that are fused: a function for fewer takes longer to compile than it saves
APART = {*LEAF_OPCODES, GATHER}


def fused(code: Code, needed: Iterable[int], kept: Container[int], sums: bool) -> Code:
    """Return the same instructions, by the same numbers, of which common ones of samples have others inside.

    Args:
        code: the instructions.
        needed: the numbers of those that are done, in order.
        kept: the numbers of those whose values something else reads too.
        sums: whether short sums are formulas too; where they are gathered, one function does all of them.
    """
    needed = list(needed)
    trees = _Trees(code, sums)
    uses = Counter(chain.from_iterable(map(code.operands.__getitem__, needed)))
    for i in needed:
        if i in code.per_sample:
            trees.add(i, uses[i] == 1 and i not in kept)
    alike: dict[Any, list[int]] = {}
    for i in trees.roots:
        alike.setdefault(trees.key(i, {j: k for k, j in enumerate(trees.read[i])}), []).append(i)
    found = code.copy()
    for like in alike.values():
        if len(like) >= MIN_OCCURRENCES:
            opcode = trees.opcode(like[0])
            for i in like:
                found.operands[i] = trees.read[i]
                found.instructions[i] = (opcode, *trees.read[i])
    return found


class _Trees:
    """Instructions with others inside.

    Attributes:
        read: what an instruction reads, with all that is inside, each once.
        inside: those of its operands that are inside.
        parts: for those that another one may have inside, about how many instructions of the machine they are.
        roots: those that are another instruction now.
    """

    def __init__(self, code: Code, sums: bool) -> None:
        self.code, self._longest_sum = code, MOST_READ if sums else -1
        self.read: dict[int, tuple[int, ...]] = {}
        self.inside: dict[int, list[int]] = {}
        self.parts: dict[int, int] = {}
        self.roots: dict[int, None] = {}

    def add(self, i: int, single: bool) -> None:
        """Add the next instruction; `single` says whether one other needs it alone."""
        opcode, operands = self.code.instructions[i][0], self.code.operands[i]
        if opcode in APART:
            return
        sum_ = opcode in SUM_OPCODES
        if sum_ and len(operands) > self._longest_sum:
            return
        alone = self.parts.keys().isdisjoint(operands)
        if alone and not (single or sum_):
            return
        weight = self.code.cost_of(i)
        if not alone:
            weight = self._take_in(i, operands, weight)
        if sum_ and i not in self.roots:
            self.read[i], self.roots[i] = tuple(dict.fromkeys(operands)), None
        if single:
            self.parts[i] = weight

    def _take_in(self, i: int, operands: tuple[int, ...], weight: int) -> int:
        """Put those operands inside that can be; return the weight then."""
        read, inside = dict.fromkeys(operands), []
        for j in operands:
            more = self.parts.get(j)
            if more is not None and weight + more <= HEAVIEST:
                within = self.read.get(j) or self.code.operands[j]
                both = dict.fromkeys([k for n in read for k in (within if n == j else (n,))])
                if len(both) <= MOST_READ:
                    read, weight = both, weight + more
                    inside.append(j)
                    self.roots.pop(j, None)
        if inside:
            self.read[i], self.inside[i], self.roots[i] = tuple(read), inside, None
        return weight

    def key(self, i: int, place: dict[int, int]) -> Any:
        """Return what is the same for trees that compute the same of their operands."""
        opcode, *rest = self.code.instructions[i]
        inside = self.inside.get(i, ())
        parts = [self.key(j, place) if j in inside else place[j] for j in self.code.operands[i]]
        return opcode, len(rest[0]) if opcode in SUM_OPCODES else 0, *parts

    def opcode(self, i: int) -> str:
        """Return the name of a tree as a formula."""
        whole = Code()
        place = {j: whole.append(("input", k), SAMPLE) for k, j in enumerate(self.read[i])}

        def number(i: int) -> int:
            instruction, inside = self.code.instructions[i], self.inside.get(i, ())
            numbers = {j: number(j) if j in inside else place[j] for j in self.code.operands[i]}
            if instruction[0] in FORMULAS:
                return inline_formula(whole, instruction[0], [numbers[j] for j in instruction[1:]])
            return whole.add(renumbered(instruction, numbers))

        return register_formula(whole, number(i))
