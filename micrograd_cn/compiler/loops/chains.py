"""Find chains of additions of products, `((a * b + c * d) + e * f) + ...`, each of which is one sum of products.

Python's `sum` and numpy's `@` of arrays of `Value`s record such chains, so a layer of a network that is written with
them has a chain for each neuron. Loops compute sums of products, but not chains.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Container, Iterable, Sequence
from itertools import chain
from typing import NamedTuple

from ..instructions.code import MIN_LOOP_PRODUCTS, Code, Pair


class Chain(NamedTuple):
    """A chain of additions. It computes the same number, to the last bit, as a "sum" that adds its products in order.

    Attributes:
        pairs: the two factors of each product. If one of them is the same for all rows, it is the left one.
        terms: the addend before the first product, if there is one.
    """

    pairs: list[Pair]
    terms: tuple[int, ...]


def chains_of_products(code: Code, computed: Sequence[int], kept: Container[int]) -> dict[int, Chain]:
    """Return the long chains of additions, in a dict whose keys are the numbers of their last additions.

    A chain is a sum of products, computed by additions one after the other: each adds a product to the sum so far. In
    all products of a chain, equally many of the two factors depend on the row: both, one or none. Only the chain's own
    additions read its products and sums, but other instructions may read the last sum. A chain is long if a loop may
    compute it.

    Args:
        code: the instructions.
        computed: the numbers of the live instructions that have operands, in order.
        kept: the numbers of the instructions whose values are read by other code, too, such as the caller.
    """
    instructions = code.instructions
    additions = [i for i in computed if instructions[i][0] == "fadd"]
    additions = [i for i in additions if "fmul" in [instructions[j][0] for j in code.operands[i]]]
    among = {*additions}  # a long chain has MIN_LOOP_PRODUCTS - 1 of these, and all but the first one read another
    if sum([not among.isdisjoint(code.operands[i]) for i in additions]) < MIN_LOOP_PRODUCTS - 2:
        return {}
    uses = Counter(chain.from_iterable(map(code.operands.__getitem__, computed)))

    def is_read_once(i: int) -> bool:
        return uses[i] == 1 and i not in kept

    def factors(i: int) -> Pair | None:
        """Return the two factors if instruction `i` is a product that is read only once; otherwise None."""
        if instructions[i][0] != "fmul" or not is_read_once(i):
            return None
        _, a, b = instructions[i]
        return (b, a) if a in code.per_sample and b not in code.per_sample else (a, b)

    found: dict[int, Chain] = {}
    for i in additions:
        _, a, b = instructions[i]
        first, second = factors(a), factors(b)
        if first and not second:  # which of two numbers comes first makes no difference for their sum
            a, first, second = b, second, first
        before = found.get(a) if is_read_once(a) else None
        if before and second and _kind(code, second) == _kind(code, before.pairs[0]):
            before.pairs.append(second)
            found[i] = found.pop(a)
        elif first and second and _kind(code, first) == _kind(code, second):
            found[i] = Chain([first, second], ())
        elif second:
            found[i] = Chain([second], (a,))
    return {i: x for i, x in found.items() if len(x.pairs) >= MIN_LOOP_PRODUCTS}


def _kind(code: Code, pair: Pair) -> int:
    """Return how many of the two factors in `pair` depend on the row of the batch."""
    return sum([x in code.per_sample for x in pair])


def with_sums(code: Code, chains: Iterable[tuple[int, Chain]]) -> Code:
    """Return a copy of `code` in which each chain is one sum.

    The sum takes the place of the last addition. The other instructions are still there, but nothing uses them.
    """
    result = code.copy()
    for i, (pairs, terms) in chains:
        result.instructions[i] = ("sum", tuple(pairs), terms)
        result.operands[i] = (*chain(*pairs), *terms)
    return result
