"""Fuse an instruction into the only instruction that reads its value.

Fewer values then go through memory. Two kinds of code gain from this: threaded code (tables that shared kernels read,
see `tables.threaded`), and maps, which compute many instructions of one opcode as vectors (`tables.maps`). In both, an
instruction reads its operands from memory and stores its result in memory. Straight-line native code keeps such values
in registers anyway.
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
)

MAX_INPUTS = 10  # operands of a fused instruction, at most
MAX_COST = 50  # machine instructions in a fused instruction, at most
MIN_OCCURRENCES = 32  # at least so many equal trees are worth a kernel; to compile it for fewer takes too long
NOT_FUSED = {*LEAF_OPCODES, GATHER}


def fuse(code: Code, live: Iterable[int], kept: Container[int], sums: bool) -> Code:
    """Return a copy of `code` in which each tree of instructions is fused if trees of its shape occur often.

    A tree is an instruction together with operands that nothing else reads, with operands of these that nothing else
    reads, and so on; see `_Trees`. All of them are in phase SAMPLE. The instruction at the root of the tree is replaced
    by an instruction that computes the whole tree, and whose opcode is a formula. The other instructions of the tree
    are still in the list, but nothing uses them, so the numbers of instructions stay the same.

    Args:
        code: the instructions.
        live: the numbers of the instructions on which wanted values depend, in order.
        kept: the numbers of the instructions whose values are read not only by instructions but also, for example, by
            the caller. These instructions are not fused into the instructions that use them.
        sums: whether sums with at most MAX_INPUTS operands may be fused too. If not, they stay as they are, and
            one kernel computes all those that have the same count of products.
    """
    live = list(live)
    trees = _Trees(code, sums)
    uses = Counter(chain.from_iterable(map(code.operands.__getitem__, live)))
    for i in live:
        if i in code.per_sample:
            trees.add(i, uses[i] == 1 and i not in kept)
    groups: dict[Any, list[int]] = {}
    for i in trees.roots:
        groups.setdefault(trees.shape(i, {j: k for k, j in enumerate(trees.inputs[i])}), []).append(i)
    result = code.copy()
    for group in groups.values():
        if len(group) >= MIN_OCCURRENCES:
            opcode = trees.opcode(group[0])
            for i in group:
                result.operands[i] = trees.inputs[i]
                result.instructions[i] = (opcode, *trees.inputs[i])
    return result


class _Trees:
    """Trees of instructions. Each tree may become one instruction, whose opcode is a formula.

    A user of an instruction is an instruction that has it as an operand. An instruction may absorb an operand that no
    other instruction uses. The tree of an instruction consists of this instruction, which is the root, and of the trees
    of the operands that it absorbed.

    Args:
        code: the instructions.
        sums: whether sums with at most MAX_INPUTS operands may be in trees.

    Attributes:
        inputs: for each instruction that is in `roots`, or was until a user absorbed it, the numbers of the
            instructions outside its tree that the tree reads. No number is repeated.
        absorbed: for each instruction that absorbed operands, the instruction numbers of these operands.
        cost: for each instruction that its only user may absorb, the cost of the instruction's tree, see
            `Code.cost_of`.
        roots: a dict whose keys are the roots of the trees that no user has absorbed, in order. A tree of a single
            instruction is left out, unless this is a sum.
    """

    def __init__(self, code: Code, sums: bool) -> None:
        self.code, self._longest_sum = code, MAX_INPUTS if sums else -1
        self.inputs: dict[int, tuple[int, ...]] = {}
        self.absorbed: dict[int, list[int]] = {}
        self.cost: dict[int, int] = {}
        self.roots: dict[int, None] = {}

    def add(self, i: int, used_once: bool) -> None:
        """Add instruction `i` to the trees, and let it absorb the operands that it can.

        Instructions must be added in order, operands first.

        Args:
            i: the instruction's number.
            used_once: whether only one instruction reads the value of instruction `i`, and may absorb it later.
        """
        opcode, operands = self.code.instructions[i][0], self.code.operands[i]
        if opcode in NOT_FUSED:
            return
        sum_ = opcode in SUM_OPCODES
        if sum_ and len(operands) > self._longest_sum:
            return
        absorbs_nothing = self.cost.keys().isdisjoint(operands)
        if absorbs_nothing and not (used_once or sum_):
            return
        cost = self.code.cost_of(i)
        if not absorbs_nothing:
            cost = self._absorb(i, operands, cost)
        if sum_ and i not in self.roots:
            self.inputs[i], self.roots[i] = tuple(dict.fromkeys(operands)), None
        if used_once:
            self.cost[i] = cost

    def _absorb(self, i: int, operands: tuple[int, ...], cost: int) -> int:
        """Let instruction `i` absorb its operands, one after the other, as far as possible.

        An operand is absorbed if no other instruction uses it, and if the tree of `i` then still costs at most MAX_COST
        and has at most MAX_INPUTS inputs.

        Args:
            i: the instruction's number.
            operands: the numbers of its operands.
            cost: the cost of the instruction alone, without its operands.

        Returns:
            the cost of the instruction's tree.
        """
        read, inside = dict.fromkeys(operands), []
        for j in operands:
            more = self.cost.get(j)
            if more is not None and cost + more <= MAX_COST:
                within = self.inputs.get(j) or self.code.operands[j]
                both = dict.fromkeys([k for n in read for k in (within if n == j else (n,))])
                if len(both) <= MAX_INPUTS:
                    read, cost = both, cost + more
                    inside.append(j)
                    self.roots.pop(j, None)
        if inside:
            self.inputs[i], self.absorbed[i], self.roots[i] = tuple(read), inside, None
        return cost

    def shape(self, i: int, place: dict[int, int]) -> Any:
        """Return a key of the tree with the root `i`. Trees with equal keys compute the same function of their inputs.

        Args:
            i: the number of the tree's root.
            place: a dict from the instruction number of each of the tree's inputs to the position of this input.
        """
        instruction, operands, inside = self.code.instructions[i], self.code.operands[i], self.absorbed.get(i)
        opcode = instruction[0]
        if inside:
            shapes = [self.shape(j, place) if j in inside else place[j] for j in operands]
        else:
            shapes = [*map(place.__getitem__, operands)]
        return opcode, len(instruction[1]) if opcode in SUM_OPCODES else 0, *shapes

    def opcode(self, i: int) -> str:
        """Make the tree with the root `i` a formula, and return the opcode that stands for the whole formula."""
        code = Code()
        place = {j: code.append(("input", k), SAMPLE) for k, j in enumerate(self.inputs[i])}

        def number(i: int) -> int:
            instruction, inside = self.code.instructions[i], self.absorbed.get(i, ())
            numbers = {j: number(j) if j in inside else place[j] for j in self.code.operands[i]}
            if instruction[0] in FORMULAS:
                return inline_formula(code, instruction[0], [numbers[j] for j in instruction[1:]])
            return code.add_copy(instruction, numbers)

        return register_formula(code, number(i))
