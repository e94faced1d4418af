"""Instructions that a single other one needs become part of it: fewer steps, and fewer values that lie in memory.

It is for threaded code, in which each step has its price, and stores what it gives. Native code has such values in
registers anyway.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Container, Iterable
from typing import Any, NamedTuple

from .instructions import FORMULAS, LEAVES, SAMPLE, SUMS, TAKE, Code, inlined, named, renumbered

MOST = 10  # operands of what is fused
LONGEST = 50  # instructions of the machine that it is


class Tree(NamedTuple):
    """An instruction with others inside.

    Attributes:
        number: the instruction's.
        inside: those of its operands that are part of it.
        operands: what is read, each once.
        weight: about how many instructions of the machine it is.
    """

    number: int
    inside: dict[int, Tree]
    operands: tuple[int, ...]
    weight: int


def fused(code: Code, needed: Iterable[int], kept: Container[int]) -> Code:
    """Return the same instructions, by the same numbers, of which those of samples have others inside.

    Args:
        code: the instructions.
        needed: the numbers of those that are done, in order.
        kept: the numbers of those whose values something else reads too.
    """
    needed = list(needed)
    uses = Counter(j for i in needed for j in code.operands[i])
    parts: dict[int, Tree] = {}  # that another one may have inside
    roots: dict[int, Tree] = {}
    for i in needed:
        if i not in code.sampled or not _short(code, i):
            continue
        tree = _tree(code, i, parts)
        if uses[i] == 1 and i not in kept:
            parts[i] = tree
        if tree.inside or code.instructions[i][0] in SUMS:
            roots[i] = tree
        for j in tree.inside:
            roots.pop(j, None)
    found = code.copy()
    forms: dict[Any, str] = {}
    for i, tree in roots.items():
        place = {j: k for k, j in enumerate(tree.operands)}
        key = _key(code, tree, place)
        if key not in forms:
            forms[key] = _form(code, tree)
        found.operands[i] = tree.operands
        found.instructions[i] = (forms[key], *tree.operands)
    return found


def _short(code: Code, i: int) -> bool:
    """Return whether an instruction may be part of another one."""
    form, *rest = code.instructions[i]
    if form in SUMS:
        return form != "scaled" and len(rest) == 2 and len(code.operands[i]) <= MOST
    return form not in LEAVES and form != TAKE


def _tree(code: Code, i: int, parts: dict[int, Tree]) -> Tree:
    inside: dict[int, Tree] = {}
    operands, weight = dict.fromkeys(code.operands[i]), code.weight(i)
    for j in code.operands[i]:
        part = parts.get(j)
        if part and weight + part.weight <= LONGEST:
            more = dict.fromkeys([k for n in operands for k in (part.operands if n == j else (n,))])
            if len(more) <= MOST:
                operands, weight = more, weight + part.weight
                inside[j] = part
    return Tree(i, inside, tuple(operands), weight)


def _key(code: Code, tree: Tree, place: dict[int, int]) -> Any:
    """Return what is the same for trees that compute the same of their operands."""
    form, *rest = code.instructions[tree.number]
    parts = [_key(code, tree.inside[j], place) if j in tree.inside else place[j] for j in code.operands[tree.number]]
    return form, len(rest[0]) if form in SUMS else 0, *parts


def _form(code: Code, tree: Tree) -> str:
    """Return the name of a tree as a formula."""
    whole = Code()
    place = {j: whole.leaf(("input", k), SAMPLE) for k, j in enumerate(tree.operands)}

    def number(tree: Tree) -> int:
        instruction = code.instructions[tree.number]
        numbers = {j: number(tree.inside[j]) if j in tree.inside else place[j] for j in code.operands[tree.number]}
        if instruction[0] in FORMULAS:
            return inlined(whole, instruction[0], [numbers[j] for j in instruction[1:]])
        return whole.add(renumbered(instruction, numbers))

    return named(whole, number(tree))
