"""Find structural zeros: nodes of a graph that are zero whatever numbers the leaves have.

Nodes are evaluated in the field of the integers modulo the prime 2**61 - 1, with a random element for each leaf.
Arithmetic is exact there, so a node that is zero as a rational function of the leaves has the element 0. Any other node
has the element 0 with a chance of about 1e-16 only: a polynomial that is not zero is rarely zero at a random point
(Schwartz 1980, Zippel 1979).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from functools import lru_cache
from random import Random
from typing import Any, TypeAlias

from ..engine import Value
from ..ops.operation import Op

__all__ = ["MULTIPLY", "NEGATE", "POWER", "PRIME", "RATIONAL", "SELECT"]
__all__ += ["FieldElement", "FieldEvaluator", "field_element"]
__all__ += ["folded_operands"]

PRIME = 2**61 - 1
FieldElement: TypeAlias = int | None  # None is unknown: made of inf, nan, or a quotient by zero

# Operations are recognised by the machine instruction that they lower to, and sums of products by their `summands`.
RATIONAL: dict[str, Callable[..., FieldElement]] = {
    "fadd": lambda a, b: a + b,
    "fsub": lambda a, b: a - b,
    "fmul": lambda a, b: a * b,
    "fdiv": lambda a, b: a * pow(b, -1, PRIME) if b else None,
    "fneg": lambda a: -a,
}
MULTIPLY, NEGATE, POWER, SELECT = "fmul", "fneg", "pow", "select"


@lru_cache(1 << 12)
def field_element(x: float) -> FieldElement:
    """Return the element of the field modulo `PRIME` for the rational number that `x` is; None for inf and nan.

    >>> field_element(0.25) * 4 % PRIME
    1
    """
    if not math.isfinite(x):
        return None
    numerator, denominator = x.as_integer_ratio()
    halvings = denominator.bit_length() - 1
    return numerator * (1 << -halvings % 61) % PRIME  # 2**61 is 1 in the field


class FieldEvaluator:
    """Evaluate the nodes of a graph in the field of the integers modulo 2**61 - 1.

    The element of a variable or other leaf is pseudo-random, and the same in every process. The element of a constant
    is the rational number that the float is. Sums, differences, products, quotients and integer powers are computed in
    the field. Any other operation gives a pseudo-random element that depends on the operation and on the elements of
    its operands. So identities between such operations are not recognised, for example sin(x)**2 + cos(x)**2 = 1 or
    sqrt(x)**2 = x.

    Args:
        variables: nodes to treat as leaves, even if they were computed.

    >>> x, y = Value(2), Value(3)
    >>> field = FieldEvaluator()
    >>> field.of(x * y - y * x), field.of((x * x - y * y) / (x - y) - x - y), field.of(x - y) == 0
    (0, 0, False)
    """

    def __init__(self, variables: Iterable[Value] = ()) -> None:
        self._draw = Random(0).randrange
        self._known: dict[Value, FieldElement] = {x: self._draw(1, PRIME) for x in variables}
        self._tags: dict[Op, int] = {}

    def of(self, x: Value | float) -> FieldElement:
        """Return the field element of a node or number, or None if inf, nan or a division by 0 makes it unknown."""
        if type(x) is float:
            return field_element(x)
        known = self._known
        if x in known:
            return known[x]
        stack: list[Any] = [x]
        while stack:
            node = stack[-1]
            if node not in known:
                xs = folded_operands(node)
                waiting = [p for p in xs if type(p) is not float and p not in known]
                if waiting:
                    stack += waiting
                    continue
                known[node] = self._apply(node, xs)
            stack.pop()
        return known[x]  # type: ignore[index]

    def _apply(self, node: Value, xs: Sequence[Any]) -> FieldElement:
        op = node.op
        if op is None:
            return self._draw(1, PRIME) if node.requires_grad else field_element(node.data)
        elements: list[Any] = [field_element(x) if type(x) is float else self._known[x] for x in xs]
        if None in elements:
            return None
        if op.lowerings.summands:
            pairs, terms = op.lowerings.summands(*elements)
            return int(sum([a * b for a, b in pairs]) + sum(terms)) % PRIME
        if rational := RATIONAL.get(op.lowerings.machine):
            result = rational(*elements)
            return None if result is None else result % PRIME
        if op.lowerings.machine == POWER and type(xs[1]) is float and xs[1].is_integer():
            return pow(elements[0], int(xs[1]), PRIME) if elements[0] or xs[1] >= 0.0 else None
        return hash((self._tags.setdefault(op, len(self._tags)), *elements)) % PRIME


def folded_operands(node: Value) -> Sequence[Any]:
    """Return the operands of `node`, with a float in the place of each operand that is a constant.

    >>> x = Value(3)
    >>> folded_operands(2 * x) == [2.0, x]
    True
    """
    return [x if type(x) is float or x.requires_grad else x._data for x in node.operands]
