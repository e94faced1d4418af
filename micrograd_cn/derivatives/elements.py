"""What is zero whatever the numbers: elements of a prime field in the place of nodes' numbers; arithmetic with them.

A derivative that has been computed is a coefficient times a node, with its element: constants are multiplied and added
at once, and what is zero (Schwartz 1980, Zippel 1979: a polynomial that is not is rarely zero at a random point) is
dropped where it arises.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Container, Iterable, Sequence
from functools import lru_cache
from random import Random
from typing import Any, TypeAlias

from .. import ops
from ..engine import Value
from ..ops.operation import Op

__all__ = ["Derivatives", "Elements", "operands"]

PRIME = 2**61 - 1
SMALL, LARGE = 1e-100, 1e100  # between them a product of coefficients is made beforehand, without overflow
Element: TypeAlias = int | None
Derivative: TypeAlias = tuple[float, Value | None, Element]  # a coefficient times a node (None: 1), and their element
ONE: Derivative = (1.0, None, 1)
Part: TypeAlias = tuple[int, Derivative, int | None]  # a slot, a number, and the slot of what it is multiplied with


@lru_cache(1 << 12)
def _element(x: float) -> Element:
    """Return the rational number that a float is, modulo the prime; None for inf and nan."""
    if not math.isfinite(x):
        return None
    numerator, denominator = x.as_integer_ratio()
    halvings = denominator.bit_length() - 1
    return numerator * (1 << -halvings % 61) % PRIME  # since 2**61 is 1


# What a row's machine form computes, modulo the prime. Sums of products are known by their row's `summands`.
RATIONAL: dict[str, Callable[..., Element]] = {
    "fadd": lambda a, b: a + b,
    "fsub": lambda a, b: a - b,
    "fmul": lambda a, b: a * b,
    "fdiv": lambda a, b: a * pow(b, -1, PRIME) if b else None,
    "fneg": lambda a: -a,
}
MULTIPLIED, NEGATED, POWER, SELECTED = "fmul", "fneg", "pow", "select"
KNOWN = {*RATIONAL, POWER}  # whose derivatives are alike for like operands: the same number, or the same one times one


class Elements:
    """Elements of the field modulo 2**61 - 1 in the place of nodes' numbers, to see what is zero whatever these are.

    A leaf is a pseudo-random element, always the same for the same graph; a constant is the rational number that its
    float is; sums, differences, products, quotients and whole powers are those of the field; any other operation is a
    pseudo-random element that depends on the operation and its operands. So a node that is zero as a rational function
    of leaves and such operations has the element 0, and one that is not has it with a chance of about 1e-16. Identities
    between other operations, such as sin(x)**2 + cos(x)**2 = 1 or sqrt(x)**2 = x, are not seen. The element is None,
    for unknown, of what is made of inf, nan, or a quotient by zero.

    >>> x, y = Value(2), Value(3)
    >>> elements = Elements()
    >>> elements.of(x * y - y * x), elements.of((x * x - y * y) / (x - y) - x - y), elements.of(x - y) == 0
    (0, 0, False)
    """

    def __init__(self, variables: Iterable[Value] = ()) -> None:
        self._draw = Random(0).randrange
        self._known: dict[Value, Element] = {x: self._draw(1, PRIME) for x in variables}
        self._tags: dict[Op, int] = {}

    def of(self, x: Value | float) -> Element:
        """Return the element of a node or number."""
        if type(x) is float:
            return _element(x)
        known = self._known
        if x in known:
            return known[x]
        stack: list[Any] = [x]
        while stack:
            node = stack[-1]
            if node not in known:
                xs = operands(node)
                waiting = [p for p in xs if type(p) is not float and p not in known]
                if waiting:
                    stack += waiting
                    continue
                known[node] = self._apply(node, xs)
            stack.pop()
        return known[x]  # type: ignore[index]

    def _apply(self, node: Value, xs: Sequence[Any]) -> Element:
        op = node.op
        if op is None:
            return self._draw(1, PRIME) if node.requires_grad else _element(node.data)
        elements: list[Any] = [_element(x) if type(x) is float else self._known[x] for x in xs]
        if None in elements:
            return None
        if op.lowerings.summands:
            pairs, terms = op.lowerings.summands(*elements)
            return int(sum([a * b for a, b in pairs]) + sum(terms)) % PRIME
        if rational := RATIONAL.get(op.lowerings.machine):
            found = rational(*elements)
            return None if found is None else found % PRIME
        if op.lowerings.machine == POWER and type(xs[1]) is float and xs[1].is_integer():
            return pow(elements[0], int(xs[1]), PRIME) if elements[0] or xs[1] >= 0.0 else None
        return hash((self._tags.setdefault(op, len(self._tags)), *elements)) % PRIME


def operands(node: Value) -> Sequence[Any]:
    """Return a node's operands, those that are constants as floats.

    >>> x = Value(3)
    >>> operands(2 * x) == [2.0, x]
    True
    """
    return [x if type(x) is float or x.requires_grad else x._data for x in node.operands]


class Derivatives:
    """Do arithmetic with derivatives: constants are multiplied and added at once, and what is zero is None.

    Coefficients are multiplied beforehand only where the product is neither very large nor very small.

    Args:
        variables: what is a leaf, though it may have been computed.
        graph: the nodes that are differentiated; of those alone that are made for it, constant factors are taken off.

    Attributes:
        elements: those of the nodes.
        products: how many of what is no constant there have been.

    >>> x = Value(3)
    >>> derivatives = Derivatives([x])
    >>> first, second = derivatives.of(2 * x), derivatives.of(-x)
    >>> derivatives.times(first, first)[:2]
    (4.0, Value(data=9.0, grad=0.0))
    >>> derivatives.result([first, second, second, (5.0, None, 5)])
    5.0
    """

    def __init__(self, variables: Sequence[Value], graph: Iterable[Value] = ()) -> None:
        self.elements = Elements(variables)
        self._graph = {*variables, *graph}
        self._alike: dict[tuple[Any, ...], list[Part]] = {}  # of operations that have like operands
        self.products = 0
        self._selections: set[Value] = set()  # nodes that are 0 where an operation did not select an operand

    def of(self, x: Value) -> Derivative | None:
        """Return a node as a derivative, None if it is zero; constant factors of a product become its coefficient."""
        element = self.elements.of(x)
        if element == 0:
            return None
        coefficient = 1.0
        node: Any = x if x.requires_grad else x.data
        while type(node) is not float and node.op and node not in self._graph:
            if node.op.lowerings.machine == NEGATED:
                coefficient, [node] = -coefficient, operands(node)
            elif node.op.lowerings.machine == MULTIPLIED and float in map(type, xs := operands(node)):
                number, other = xs if type(xs[0]) is float else xs[::-1]
                if not _safe(coefficient, number):
                    break
                coefficient, node = coefficient * number, other
            else:
                break
        return (coefficient * node, None, element) if type(node) is float else (coefficient, node, element)

    def times(self, a: Derivative, b: Derivative) -> Derivative:
        """Return the product."""
        if a is ONE or b is ONE:
            return b if a is ONE else a
        (c, x, e), (d, y, f) = a, b
        element = None if e is None or f is None else e * f % PRIME
        safe = _safe(c, d)
        if x is None or y is None:
            if safe or x is y:
                return c * d, y if x is None else x, element
        else:
            self.products += 1
            if safe:
                return c * d, self._times(x, y), element
            if x in self._selections or y in self._selections:
                return 1.0, self._times(self._times(x, y), c) * d, element
        return 1.0, _product(c, x) * _product(d, y), element

    def _times(self, x: Value, y: Any) -> Value:
        """Return x * y; it is 0 where a factor is 0 since an operand was not selected, though the other may be inf."""
        if x not in self._selections:
            if y not in self._selections:
                return x * y  # type: ignore[no-any-return]  # a Value times a number or Value
            x, y = y, x
        if x.op and x.op.lowerings.machine == SELECTED:
            condition, *branches = x.operands
            product = ops.where(condition, *[self._branch(z, y) for z in branches])
        else:
            product = ops.where(x, x * y, 0.0)
        self._selections.add(product)
        return product  # type: ignore[no-any-return]

    def _branch(self, x: Any, y: Any) -> Any:
        """Return a choice of a selection, times y."""
        if isinstance(x, Value) and x.requires_grad:
            return self._times(x, y)
        number = x._data if isinstance(x, Value) else x
        return 0.0 if number == 0.0 else y if number == 1.0 else number * y

    def total(self, terms: Sequence[Derivative]) -> Derivative | None:
        """Return the sum, None if it is zero."""
        if len(terms) == 1:
            return terms[0]
        elements = [e for _, _, e in terms]
        element = None if None in elements else sum(elements) % PRIME  # type: ignore[arg-type]
        if element == 0:
            return None
        coefficients: dict[Value | None, float] = {}
        for c, x, _ in terms:
            coefficients[x] = coefficients.get(x, 0.0) + c
        bias = coefficients.pop(None, 0.0)
        products = [_product(c, x) for x, c in coefficients.items() if c != 0.0]
        if not products:
            return bias, None, element
        if len(products) == 1 and not bias:
            [(x, c)] = [(x, c) for x, c in coefficients.items() if c != 0.0]
            return c, x, element
        added = [*products, bias] if bias else products
        total = ops.sum(added) if len(added) > 3 else sum(added[1:], added[0])
        if self._selections.issuperset(coefficients) and not bias:
            self._selections.add(total)
        return 1.0, total, element

    def result(self, terms: Sequence[Derivative]) -> Value | float | None:
        """Return the sum as a node, or as a float where it is the same whatever the leaves' numbers; None for zero."""
        found = self.total(terms)
        if found is None:
            return None
        coefficient, node, element = found
        if node is None:
            return coefficient
        now = coefficient * node._data
        constant = element is not None and element == _element(now)
        return now if constant else node if coefficient == 1.0 else coefficient * node

    def edges(self, node: Value, relevant: Container[Value]) -> list[tuple[Value, Derivative]]:
        """Return the operands in `relevant` on which a node depends, each with the local derivative."""
        assert node.op is not None
        xs = operands(node)
        known = node.op.lowerings.machine in KNOWN
        key = (node.op, *[x if type(x) is float else ... if x in relevant else None for x in xs]) if known else ()
        if known and (parts := self._alike.get(key)):
            found: list[tuple[Value, Derivative]] = []
            for slot, factor, other in parts:
                if other is None:
                    found.append((xs[slot], factor))
                elif derivative := self.of(xs[other]):
                    found.append((xs[slot], self.times(factor, derivative)))
            return found
        needed = [x in relevant for x in xs]
        if True not in needed:
            return []
        partials = node.op.needed_partials(node, xs, needed)
        if known and len({*xs}) == len(xs) and key not in self._alike:  # of x * x it is not seen which x is meant
            self._alike[key] = _parts(xs, partials, needed)
        if node.op.selects:
            self._selections.update([partial for partial in partials if isinstance(partial, Value)])
        return self._computed(xs, partials, needed)

    def _computed(
        self, xs: Sequence[Any], partials: Sequence[Any], needed: Sequence[bool]
    ) -> list[tuple[Value, Derivative]]:
        """Return the operands that are needed, each with its local derivative where that is not zero."""
        found: list[tuple[Value, Derivative]] = []
        for x, want, partial in zip(xs, needed, partials, strict=True):
            if not want or partial is None:
                continue
            if isinstance(partial, Value):
                if derivative := self.of(partial):
                    found.append((x, derivative))
            elif partial != 0.0:
                found.append((x, _number(partial)))
        return found


def _parts(xs: Sequence[Any], partials: Sequence[Any], needed: Sequence[bool]) -> list[Part]:
    """Return what local derivatives are made of, if each is a number, or one times an operand; nothing otherwise.

    What is zero has no part.
    """
    found: list[Part] = []
    if 0.0 in [x for x in xs if type(x) is float]:  # which is found where -0.0 is looked for
        return []
    for slot, (want, partial) in enumerate(zip(needed, partials, strict=True)):
        if not want or partial is None:
            continue
        if not isinstance(partial, Value):
            if partial != 0.0:
                found.append((slot, _number(partial), None))
            continue
        place = {x: k for k, x in enumerate(xs) if type(x) is not float}
        if partial in place:
            found.append((slot, ONE, place[partial]))
            continue
        if not (partial.op and partial.op.lowerings.machine == MULTIPLIED):
            return []
        factor, other = partial.operands
        if type(factor) is not float or other not in place:
            return []
        found.append((slot, _number(factor), place[other]))
    return found


def _number(x: float) -> Derivative:
    """Return a number as a derivative."""
    return ONE if x == 1.0 else (x, None, _element(x))


def _safe(c: float, d: float) -> bool:
    """Return whether coefficients may be multiplied before anything else is."""
    return c == 1.0 or d == 1.0 or SMALL < abs(c * d) < LARGE


def _product(coefficient: float, node: Value | None) -> Any:
    return coefficient if node is None else node if coefficient == 1.0 else coefficient * node
