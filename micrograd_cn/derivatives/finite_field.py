"""Find structural zeros: nodes of a graph that are zero whatever numbers the leaves have.

Nodes are evaluated in a finite field, the integers modulo a prime p of 120 bits, with a random element of the field for
each leaf. Arithmetic in the field is exact, so a node that is zero as a rational function of the leaves gets the
element 0. Any other node gets the element 0 only by chance, for one of two reasons:

- The random elements are a zero of the function. A polynomial of degree d that is not zero modulo p has the element 0
  with a probability of at most d / 2**119 (Schwartz 1980, Zippel 1979).
- The function is zero modulo p. A float is an integer times a power of two, so the coefficients of a polynomial are
  integers, times a common power of two. An integer of b bits is divisible by at most b / 119 of the primes of 120 bits.
  About 1e32 of these primes have the form of `PRIME` (as Hardy and Littlewood conjectured in 1923), and the rule that
  chose `PRIME` among them knows nothing of programs. So the probability is at most b / 1e34.

Let n be the number of factors in the longest product, after fractions are cleared and powers are multiplied out. Then d
is at most n, and b is about 2100 * n, because the exponents of floats span 2098 bits. For a million factors, both
probabilities together are below 1e-24. They say nothing about a program that was written against this prime, for
example with a sum of floats that is `PRIME`. Nor do they say anything about powers such as x**1e300, whose degree is
more than 2**119. But p = 2 * q + 1 with a prime q, and this excludes two coincidences entirely:

- Powers of two: 2**k is 1 modulo p only if k is a multiple of p - 1, because 2 is a primitive root.
- Powers of a node: x**m = x**n holds for at most three elements x, unless m - n is a multiple of q.

Also, two different floats never have the same element, and two integers that are floats never differ by a multiple of
q. `tests/derivatives/test_finite_field.py` proves what is said here about p and q.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from functools import lru_cache
from operator import mul
from random import Random
from typing import TYPE_CHECKING, Any, TypeAlias

from ..engine import Value
from ..ops.operation import Op

if TYPE_CHECKING:
    from fractions import Fraction

__all__ = ["MULTIPLY", "NEGATE", "POWER", "PRIME", "RATIONAL", "SELECT"]
__all__ += ["FieldElement", "FieldEvaluator", "field_element"]
__all__ += ["folded_operands"]

# The first prime p above 2**120 * (e - 2) for which (p - 1) / 2 is a prime, too. It takes four digits of a Python int.
PRIME = 0xB7E151628AED2A6ABF7158809D118B
RANDOM_BITS = 119  # how many bits a random element has
FieldElement: TypeAlias = int | None  # None is unknown: computed from inf or nan, or by a division by zero


@lru_cache(1 << 12)
def _inverse(element: int) -> int:
    return pow(element, -1, PRIME)


# Operations are recognised by the machine instruction that they lower to, and sums of products by their `summands`.
RATIONAL: dict[str, Callable[..., FieldElement]] = {
    "fadd": lambda a, b: a + b,
    "fsub": lambda a, b: a - b,
    "fmul": lambda a, b: a * b,
    "fdiv": lambda a, b: a * _inverse(b) if b else None,
    "fneg": lambda a: -a,
}
MULTIPLY, NEGATE, POWER, SELECT = "fmul", "fneg", "pow", "select"


@lru_cache(1 << 12)
def field_element(x: float | Fraction) -> FieldElement:
    """Return the number `x` as an element of the field of the integers modulo `PRIME`; None for inf and nan.

    >>> field_element(0.25) * 4 % PRIME
    1
    """
    if type(x) is float and not math.isfinite(x):
        return None
    numerator, denominator = x.as_integer_ratio()
    return (numerator if denominator == 1 else numerator * _inverse(denominator)) % PRIME


class FieldEvaluator:
    """Evaluate the nodes of a graph in the field of the integers modulo `PRIME`.

    The element of a variable or other leaf is pseudo-random, from a generator with a fixed seed, so every process finds
    the same zeros. The element of a constant is the float's exact value, a rational number, modulo `PRIME`. Sums,
    differences, products, quotients and integer powers are computed in the field. Any other operation gives a new
    pseudo-random element for each combination of its operands' elements. So identities between such operations are not
    recognised, for example sin(x)**2 + cos(x)**2 = 1 or sqrt(x)**2 = x.

    Args:
        variables: nodes to treat as leaves, even if they were computed.

    >>> x, y = Value(2), Value(3)
    >>> field = FieldEvaluator()
    >>> field.of(x * y - y * x), field.of((x * x - y * y) / (x - y) - x - y), field.of(x - y) == 0
    (0, 0, False)
    """

    def __init__(self, variables: Iterable[Value] = ()) -> None:
        self._draw = Random(0).getrandbits
        self._known: dict[Value, FieldElement] = {x: self._draw(RANDOM_BITS) for x in variables}
        self._drawn: dict[tuple[Op | FieldElement, ...], int] = {}  # by an operation and the elements of its operands

    def of(self, x: Value | float) -> FieldElement:
        """Return the value of x, a node or a number, in the finite field.

        Return None if inf, nan or a division by 0 makes it unknown.
        """
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
                self.evaluate(node, xs)
            stack.pop()
        return known[x]  # type: ignore[index]

    def evaluate(self, node: Value, xs: Sequence[Any]) -> None:
        """Compute the element of the finite field for `node`, whose `folded_operands` are `xs`, unless it is known.

        To call this for all nodes of a graph, operands first, takes less time than to let `of` search the graph below
        each node.
        """
        if node not in self._known:
            self._known[node] = self._apply(node, xs)

    def _apply(self, node: Value, xs: Sequence[Any]) -> FieldElement:
        op, known = node.op, self._known
        if op is None:
            return self._draw(RANDOM_BITS) if node.requires_grad else field_element(node.data)
        elements: list[Any] = [
            field_element(x) if type(x) is float else known[x] if x in known else self.of(x) for x in xs
        ]
        if None in elements:
            return None
        if op.lowerings.summands:
            return _sum_of_products(*op.lowerings.summands(*elements))
        if rational := RATIONAL.get(op.lowerings.machine):
            result = rational(*elements)
            return None if result is None else result % PRIME
        if op.lowerings.machine == POWER and type(xs[1]) is float and xs[1].is_integer():
            return _power(elements[0], int(xs[1]))
        key = (op, *elements)
        drawn = self._drawn.get(key)
        if drawn is None:
            drawn = self._drawn[key] = self._draw(RANDOM_BITS)
        return drawn


def _sum_of_products(pairs: Sequence[tuple[Any, Any]], terms: Sequence[Any]) -> FieldElement:
    """Return the sum of all `terms` and of the products a * b of all `pairs` (a, b), in the finite field.

    Each of these numbers is an element of the field, or a float, which a user-defined operation may have among its
    summands. The result is None if one of them is unknown (see `FieldElement`).
    """
    total: Any = sum([a * b for a, b in pairs]) + sum(terms)
    if type(total) is int:
        return total % PRIME
    numbers = [field_element(x) if type(x) is float else x for pair in (*pairs, *[(x, 1) for x in terms]) for x in pair]
    return None if None in numbers else sum(map(mul, numbers[::2], numbers[1::2])) % PRIME


def _power(base: int, exponent: int) -> FieldElement:
    if exponent >= 0:
        return pow(base, exponent, PRIME)
    return pow(_inverse(base), -exponent, PRIME) if base else None


def folded_operands(node: Value) -> Sequence[Any]:
    """Return the operands of `node`, with a float in place of each operand that is a constant.

    >>> x = Value(3)
    >>> [*folded_operands(2 * x)] == [2.0, x]
    True
    """
    operands = node.operands
    for x in operands:
        if type(x) is not float and not x.requires_grad:
            return [x if type(x) is float or x.requires_grad else x._data for x in operands]
    return operands
