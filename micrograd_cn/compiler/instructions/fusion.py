"""Fuse an instruction into the only instruction that reads its value.

Fewer values then go through memory. Two kinds of code gain from this: threaded code (tables that shared kernels read,
see `tables.threaded`), and maps, which compute many instructions of one opcode as vectors (`tables.maps`). In both, an
instruction reads its operands from memory and stores its result in memory. Straight-line native code keeps such values
in registers anyway.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Container, Iterable, Sequence, Set
from itertools import chain
from typing import Any

from .code import GATHER, LEAF_OPCODES, SUM_OPCODES, Code, register_formula

MAX_INPUTS = 10  # operands of a fused instruction, at most
MAX_COST = 50  # machine instructions in a fused instruction, at most
MIN_OCCURRENCES = 32  # at least so many equal trees are worth a kernel; to compile it for fewer takes too long
NOT_FUSED = {*LEAF_OPCODES, GATHER}


def fuse(code: Code, live: Iterable[int], kept: Container[int], sums: bool) -> Code:
    """Return a copy of `code` in which each tree of instructions is fused if trees of its shape occur often.

    A tree is an instruction together with operands that nothing else reads, with operands of these that nothing else
    reads, and so on; see `_Trees`. All instructions of a tree are in phase SAMPLE. The instruction at the root of the
    tree is replaced by an instruction that computes the whole tree, and whose opcode is a formula. The other
    instructions of the tree are still in the list, but nothing uses them, so the numbers of instructions stay the same.

    Args:
        code: the instructions.
        live: the numbers of the instructions on which wanted values depend, in order.
        kept: the numbers of the instructions whose values are read by other code, too, such as the caller. These
            instructions are not fused into the instructions that use them.
        sums: whether sums with at most MAX_INPUTS operands may be fused too. If not, they stay as they are, and
            one kernel computes all those that have the same number of products.
    """
    live = list(live)
    trees = _Trees(code, sums)
    uses = Counter(chain.from_iterable(map(code.operands.__getitem__, live)))
    once = {i for i, count in uses.items() if count == 1 and i not in kept}
    trees.grow([i for i in live if i in code.per_sample], once)
    groups: dict[Any, list[tuple[int, tuple[int, ...]]]] = {}
    for i, (_, reads, shape) in trees.trees.items():
        if i in trees.absorbed or code.instructions[i][0] in SUM_OPCODES:  # no tree of a single other instruction
            inputs = tuple(dict.fromkeys(reads))
            repeated = tuple(map(inputs.index, reads)) if len(inputs) < len(reads) else ()
            groups.setdefault((shape, repeated), []).append((i, inputs))
    result = code.copy()
    for group in groups.values():
        if len(group) >= MIN_OCCURRENCES:
            opcode = trees.opcode(*group[0])
            for i, inputs in group:
                result.operands[i] = inputs
                result.instructions[i] = (opcode, *inputs)
    return result


class _Trees:
    """Trees of instructions. Each tree may become one instruction, whose opcode is a formula.

    A user of an instruction is an instruction that has it as an operand. An instruction may absorb an operand that no
    other instruction uses; it then takes over the tree of the operand. The tree of an instruction consists of this
    instruction, which is the root, and of the trees of the operands that it absorbed.

    Args:
        code: the instructions.
        sums: whether sums with at most MAX_INPUTS operands may be in trees.

    Attributes:
        trees: for each instruction that may be in a tree, and that no user has absorbed, a tuple that describes its
            tree: the cost (see `Code.cost_of`), the numbers of the instructions outside the tree that it reads, in the
            order in which it reads them, and a number that stands for its shape: its opcodes, and which operands are in
            the tree.
        absorbed: for each instruction that absorbed operands, the instruction numbers of these operands.
    """

    def __init__(self, code: Code, sums: bool) -> None:
        self.code, self._longest_sum = code, MAX_INPUTS if sums else -1
        self.trees: dict[int, tuple[int, Sequence[int], int]] = {}
        self.absorbed: dict[int, list[int]] = {}
        self._shapes: dict[Any, int] = {}  # the numbers that stand for shapes

    def grow(self, numbers: Iterable[int], once: Set[int]) -> None:
        """Let each instruction absorb the operands that it can.

        An operand is absorbed if no other instruction uses it, and if the tree of its user then still costs at most
        MAX_COST and has at most MAX_INPUTS inputs.

        Args:
            numbers: the numbers of the instructions, in order, operands first.
            once: the numbers of the instructions whose value only one instruction reads, which may absorb them.
        """
        code, trees = self.code, self.trees
        for i in numbers:
            instruction, operands = code.instructions[i], code.operands[i]
            opcode = instruction[0]
            if opcode in NOT_FUSED:
                continue
            sum_ = opcode in SUM_OPCODES
            if sum_ and len(operands) > self._longest_sum:
                continue
            absorbs_nothing = once.isdisjoint(operands)
            if absorbs_nothing and not (sum_ or i in once):
                continue
            reads, cost = operands, code.cost_of(i)
            inside: list[int] = []
            shapes: list[int | None] = [None] * len(operands)  # those of the operands that are absorbed
            for slot, j in enumerate(() if absorbs_nothing else operands):
                if j not in once or j not in trees:
                    continue
                inner_cost, inner_reads, inner_shape = trees[j]
                if cost + inner_cost <= MAX_COST:
                    k = reads.index(j)
                    both = (*reads[:k], *inner_reads, *reads[k + 1 :])
                    if len(both) <= MAX_INPUTS or len({*both}) <= MAX_INPUTS:
                        reads, cost, shapes[slot] = both, cost + inner_cost, inner_shape
                        inside.append(j)
                        del trees[j]
            if inside:
                self.absorbed[i] = inside
            shape = opcode, len(instruction[1]) if sum_ else 0, *shapes
            trees[i] = cost, reads, self._shapes.setdefault(shape, len(self._shapes))

    def opcode(self, i: int, inputs: Iterable[int]) -> str:
        """Make the tree with the root `i` a formula, and return the opcode that stands for the whole formula.

        `inputs` has the numbers of the instructions outside the tree that it reads, in the order of the operands of the
        formula.
        """
        return register_formula(*self.code.extract(self._members(i), inputs))

    def _members(self, i: int) -> list[int]:
        """Return the numbers of the instructions in the tree with the root `i`, each after its operands."""
        return [*chain.from_iterable(map(self._members, self.absorbed.get(i, ()))), i]
