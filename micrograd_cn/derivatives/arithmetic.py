"""Arithmetic with symbolic derivatives. It folds constants, and drops derivatives that are zero for all inputs.

A derivative is stored as a number, the coefficient, and a node: it is the product of the two. So 2 * x times 3 * y is
6 * (x * y), which takes one new node instead of three. A coefficient that is too large or too small for a float, such
as the product of 1e-200 and 1e-200, is stored as a fraction, because the next factor may bring it back into the range
of floats.

A derivative also has a value in a finite field (see finite_field.py), which shows whether the derivative is zero
whatever numbers the leaves have. A coefficient cannot show this, because it is rounded.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Container, Iterable, Sequence
from functools import cache
from typing import TYPE_CHECKING, Any, TypeAlias

from .. import ops
from ..engine import Value, constant
from ..graph.subclasses import OVERRIDING, without_operators
from ..ops.operation import Op
from ..ops.registry import is_known
from .finite_field import MULTIPLY, NEGATE, POWER, PRIME, RATIONAL, FieldElement, FieldEvaluator, field_element
from .finite_field import folded_operands as operands_of
from .selected import Gated, Gates, Selected, ungated_product

if TYPE_CHECKING:
    from fractions import Fraction  # functions import it when they need it: importing it takes milliseconds

__all__ = ["ONE", "Derivative", "DerivativeArithmetic", "SumFactor"]

Coefficient: TypeAlias = "float | Fraction"
# A coefficient, a node (None for 1), and a value in the finite field
Derivative: TypeAlias = "tuple[Coefficient, Value | Gated | None, FieldElement]"
ONE: Derivative = (1.0, None, 1)
LEAST, MOST = sys.float_info.min, sys.float_info.max  # the sizes of the smallest and largest float with all its digits
STEP = 2.0**900  # a node is multiplied by this number, or its inverse, until the rest of a fraction is a float

# An operation that lowers to one of these machine instructions has local derivatives whose form depends only on which
# operands are numbers. Most of them are a number, or a number times an operand. A `Factor` is such a local derivative:
# the slot of the operand to differentiate with respect to, the number, and the slot of the operand that is multiplied
# by the number (None for 1).
UNIFORM = {*RATIONAL, POWER}
Factor: TypeAlias = tuple[int, Derivative, int | None]


class SumFactor(tuple[Any, ...]):
    """The local derivative of a sum of products, such as `dot`, with respect to an operand: the operand's factor.

    If the factor is infinite, its product with a derivative that is 0 is computed in one of two ways:

    - The derivative with respect to the sum may be 0, since a later operation, such as `relu`, did not select the sum.
      The product is then nan, as `Gates.NOT_FOR_SUMS` says. With `Gates.ALL`, there are no factors of this class.
    - The derivative of the operation that computed the operand may be 0, since that operation did not select its own
      operand. The product is then 0.
    """

    __slots__ = ()


class DerivativeArithmetic:
    """Multiply and add derivatives. A sum that is zero whatever numbers the leaves have is None.

    A derivative is a tuple of three items: a coefficient, the node that it multiplies, or None for a constant, and the
    value of the derivative in a finite field.

    Args:
        variables: nodes to treat as leaves, even if they were computed.
        graph: the nodes of the graph that is differentiated. A constant factor in one of these nodes stays there. All
            other nodes were made for derivatives, and their constant factors become part of the coefficient.
        gates: a `Gates`, which says which derivatives are 0 where an operation, such as `relu`, did not select an
            operand, even if another factor is infinite or nan. Without gates, there are fewer nodes. Where all factors
            are finite, the derivatives are the same, apart from the sign of 0.

    Attributes:
        field: the `FieldEvaluator`. It gives the value of each node in a finite field, which is 0 if the node is zero
            whatever numbers the leaves have.
        multiplications: how many products of two nodes have been made.

    >>> x = Value(3)
    >>> arithmetic = DerivativeArithmetic([x])
    >>> first, second = arithmetic.from_node(2 * x), arithmetic.from_node(-x)
    >>> arithmetic.multiply(first, first)[:2]
    (4.0, Value(data=9.0, grad=0.0))
    >>> arithmetic.sum_as_value([first, second, second, (5.0, None, 5)])
    5.0
    """

    def __init__(self, variables: Sequence[Value], graph: Iterable[Value] = (), gates: Gates = Gates.ALL) -> None:
        self._gates = gates
        self.field = FieldEvaluator(variables)
        self._graph = {*variables, *graph}
        self._factors: dict[tuple[Any, ...], list[Factor]] = {}  # by the operation, and what each operand is
        self.multiplications = 0
        # For each node and each `Gated` that is 0 where an operation did not select an operand: the `Selected` that
        # says whether it did. The number of the node does not say so, since it may be 0 for another reason.
        self._selected: dict[Value | Gated, Selected] = {}
        self._zero = constant(0.0)
        self._gated_factors: dict[tuple[Selected, Value], Value] = {}  # the results of `_where`
        # The results of `_both` and `_any`, by their arguments. The units of a layer, for example, share a `Selected`
        self._combined: dict[tuple[Selected | None, ...], Selected] = {}

    def from_node(self, x: Value | float) -> Derivative | None:
        """Return x, a node or a number, as a `Derivative`, or None if it is zero whatever numbers the leaves have.

        Constant factors are moved into the coefficient.
        """
        if not isinstance(x, Value):
            return _from_number(x) if x != 0.0 else None
        element = self.field.of(x)
        if element == 0:
            return None
        coefficient: Coefficient = 1.0
        node: Any = x if x.requires_grad else x.data
        while type(node) is not float and node.op and node not in self._graph:
            if node.op.lowerings.machine == NEGATE:
                coefficient, [node] = -coefficient, operands_of(node)
            elif node.op.lowerings.machine == MULTIPLY and float in map(type, xs := operands_of(node)):
                number, node = xs if type(xs[0]) is float else xs[::-1]
                coefficient = _times(coefficient, number)
            else:
                break
        if type(node) is float:
            return _times(coefficient, node), None, element
        return coefficient, without_operators(node) if OVERRIDING else node, element

    def multiply(self, a: Derivative, b: Derivative) -> Derivative:
        """Return the product of the derivatives a and b."""
        if a is ONE or b is ONE:
            return b if a is ONE else a
        (c, x, e), (d, y, f) = a, b
        element = None if e is None or f is None else e * f % PRIME
        coefficient = d if c == 1.0 else c if d == 1.0 else _times(c, d)
        if x is None or y is None:
            node = y if x is None else x
        else:
            self.multiplications += 1
            if not self._selected:
                node = x * y  # type: ignore[operator]  # nothing is `Gated` without selections
            elif type(a) is type(b) is SumFactor:
                found: Any = SumFactor((coefficient, self._product(x, y, True, True), element))
                return found
            else:
                node = self._product(x, y, type(a) is SumFactor, type(b) is SumFactor)
        if self._selected and node is not None and node in self._selected and not _is_finite(coefficient):
            return 1.0, self._product(node, coefficient), element
        return coefficient, node, element

    def _product(self, x: Any, y: Any, in_sum: bool = False, y_in_sum: bool = False) -> Value | Gated:
        """Return x * y, or 0 if x or y is 0 because an operand was unselected, even if the other factor is infinite.

        x is a derivative with respect to a node, and y a derivative of this node. `in_sum` and `y_in_sum` say whether x
        and y are `SumFactor`s, which are factors of a sum of products such as `dot`. If the derivative with respect to
        the sum is 0, its product with an infinite factor may be nan.
        """
        first, second = self._selected.get(x), self._selected.get(y)
        if first is None:
            if second is None:
                product: Value = x * y
                return product
            if in_sum and y is not second.partial:  # several paths may share x, and then they share the gated x, too
                product = self._where(second, x) * (y.node() if type(y) is Gated else y)
                self._selected[product] = second
                return product
            both = second
        elif second is None:
            if y_in_sum:
                product = (x.node() if type(x) is Gated else x) * y
                self._selected[product] = first
                return product
            both = first
        else:
            both = first if second is first else self._both(first, second)
        gated = Gated(ungated_product(x, y, first, second), both)
        self._selected[gated] = both
        return gated

    def _where(self, selected: Selected, x: Value) -> Value:
        """Return `selected.where(x)`. Calls with the same arguments return the same node."""
        found = self._gated_factors.get((selected, x))
        if found is None:
            found = self._gated_factors[selected, x] = selected.where(x)
        return found

    def _both(self, first: Selected, second: Selected) -> Selected:
        """Return a `Selected` that says whether the operands of both `first` and `second` were selected.

        For the same arguments, it is the same object.
        """
        key = first, second
        found = self._combined.get(key)
        if found is None:
            found = self._combined[key] = Selected(both=key)
        return found

    def _any(self, several: Iterable[Selected]) -> Selected:
        """Return a `Selected` that says whether the operand of at least one `Selected` in `several` was selected.

        For the same arguments, it is the same object.
        """
        alternatives = tuple(dict.fromkeys(several))
        if len(alternatives) == 1:
            return alternatives[0]
        found = self._combined.get((None, *alternatives))
        if found is None:
            found = self._combined[None, *alternatives] = Selected(alternatives=alternatives)
        return found

    def add(self, terms: Sequence[Derivative]) -> Derivative | None:
        """Return the sum of the derivatives `terms`, or None if it is zero whatever numbers the leaves have."""
        if len(terms) == 1:
            return terms[0]
        elements = [e for _, _, e in terms]
        element = None if None in elements else sum(elements) % PRIME  # type: ignore[arg-type]
        if element == 0:
            return None
        coefficients: dict[Any, Coefficient] = {}
        repeated: dict[Any, list[Coefficient]] = {}
        for c, x, _ in terms:
            if x in coefficients:
                repeated.setdefault(x, [coefficients[x]]).append(c)
            else:
                coefficients[x] = c
        for x, summands in repeated.items():
            coefficients[x] = _sum(summands)
        bias = coefficients.pop(None, 0.0)
        factors = [(c, x) for x, c in coefficients.items() if c != 0.0]
        if not factors:
            return bias, None, element
        if len(factors) == 1 and not bias:
            [(c, x)] = factors
            return c, x, element
        added = [_scaled(c, x.node() if type(x) is Gated else x) for c, x in factors]
        if bias:
            added.append(_as_float(bias))
        total: Value = ops.sum(added) if len(added) > 3 else sum(added[1:], added[0])
        if self._selected and not bias and self._selected.keys() >= coefficients.keys():
            self._selected[total] = self._any([self._selected[x] for x in coefficients])
        return 1.0, total, element

    def sum_as_value(self, terms: Sequence[Derivative]) -> Value | float | None:
        """Return the sum of the derivatives `terms` as a node, or as a float if it is constant; None if it is zero."""
        found = self.add(terms)
        if found is None:
            return None
        coefficient, node, element = found
        if node is None:
            return _as_float(coefficient)
        value: Value = _scaled(coefficient, node.node() if isinstance(node, Gated) else node)
        constant = element is not None and element == field_element(value._data)
        return value._data if constant else value

    def edges(self, node: Value, relevant: Container[Value]) -> list[tuple[Value, Derivative]]:
        """Return the operands of `node` that are in `relevant`, each with its local derivative.

        An operand whose local derivative is zero whatever numbers the leaves have is left out.
        """
        assert node.op is not None
        xs = operands_of(node)
        if node in self._graph:
            self.field.evaluate(node, xs)
        found: list[tuple[Value, Derivative]] = []
        if node.op.lowerings.machine == MULTIPLY and is_known(node.op) and _returns_other_operands(node.op):
            for x, other in (xs, xs[::-1]):
                if type(x) is not float and x in relevant and (derivative := self.from_node(other)):
                    found.append((x, derivative))
            return found
        uniform = node.op.lowerings.machine in UNIFORM
        key = (node.op, *[x if type(x) is float else ... if x in relevant else None for x in xs]) if uniform else ()
        if uniform and (factors := self._factors.get(key)):
            for slot, number, other in factors:
                if other is None:
                    found.append((xs[slot], number))
                elif derivative := self.from_node(xs[other]):
                    found.append((xs[slot], self.multiply(number, derivative)))
            return found
        needed = [x in relevant for x in xs]
        if True not in needed:
            return []
        operands = [*map(without_operators, xs)] if OVERRIDING else xs
        partials = node.op.needed_partials(node, operands, needed)
        if uniform and len({*xs}) == len(xs) and key not in self._factors:  # in x * x, a partial could be either x
            self._factors[key] = _factors(operands, partials, needed)
        edges = self._nonzero(partials, needed)
        if not (node.op.selects and self._gates):
            return [(xs[slot], derivative) for slot, derivative in edges]
        for slot, (_, partial, _) in edges:
            if isinstance(partial, Value) and node.op.may_leave_out(slot) and partial not in self._selected:
                self._selected[partial] = Selected(partial, zero=self._zero)
        return [(xs[slot], derivative) for slot, derivative in edges]

    def _nonzero(self, partials: Sequence[Any], needed: Sequence[bool]) -> list[tuple[int, Derivative]]:
        """Return a list of pairs (slot, partial) for the operands that are needed and whose partial is not zero.

        The slot is the index of the operand. `partials` has a number, a node or None for each operand, and `needed` a
        bool.
        """
        found: list[tuple[int, Derivative]] = []
        for slot, (is_needed, partial) in enumerate(zip(needed, partials, strict=True)):
            if is_needed and partial is not None and (derivative := self.from_node(partial)):
                found.append((slot, derivative))
        return found


@cache  # for operations of the table alone, whose functions do not change
def _returns_other_operands(op: Op) -> bool:
    """Return whether the derivative with respect to each of two operands is the other operand, as in a product.

    >>> _returns_other_operands(ops.mul), _returns_other_operands(ops.div)
    (True, False)
    """
    a, b = object(), object()
    if type(op.partials) is not tuple:
        return False
    try:
        return [partial(None, a, b) for partial in op.partials] == [b, a]
    except TypeError:  # a partial computes with an operand, or there are not two operands
        return False


def _factors(xs: Sequence[Any], partials: Sequence[Any], needed: Sequence[bool]) -> list[Factor]:
    """Return a `Factor` for each partial that is needed and not zero: a number, or a number times one of the operands.

    The list is empty if a partial is something else, or if an operand is a constant 0.

    Args:
        xs: the operands; a constant operand is a float.
        partials: a number, a node or None for each operand.
        needed: a bool for each operand.
    """
    found: list[Factor] = []
    if 0.0 in [x for x in xs if type(x) is float]:  # 0.0 and -0.0 are equal keys, but their derivatives differ
        return []
    for slot, (is_needed, partial) in enumerate(zip(needed, partials, strict=True)):
        if not is_needed or partial is None:
            continue
        if not isinstance(partial, Value):
            if partial != 0.0:
                found.append((slot, _from_number(partial), None))
            continue
        slots = {x: k for k, x in enumerate(xs) if type(x) is not float}
        if partial in slots:
            found.append((slot, ONE, slots[partial]))
            continue
        if not (partial.op and partial.op.lowerings.machine == MULTIPLY):
            return []
        number, other = partial.operands
        if type(number) is not float or other not in slots:
            return []
        found.append((slot, _from_number(number), slots[other]))
    return found


def _from_number(x: float) -> Derivative:
    return ONE if x == 1.0 else (x, None, field_element(x))


def _times(c: Coefficient, d: Coefficient) -> Coefficient:
    """Return the product of the coefficients c and d: a float, or a fraction if a float would overflow or underflow.

    >>> _times(_times(1e-200, 1e-200), 1e300)
    1e-100
    """
    if type(c) is type(d) is float:
        product = c * d
        if LEAST <= abs(product) <= MOST or not (c and d and math.isfinite(c) and math.isfinite(d)):
            return product
    if not (_is_finite(c) and _is_finite(d)):
        c, d = (c, d) if _is_finite(d) else (d, c)
        return float(c) if d > 0 else -float(c)
    from fractions import Fraction

    return _as_coefficient(Fraction(c) * Fraction(d))


def _sum(summands: Sequence[Coefficient]) -> Coefficient:
    """Return the sum of `summands`, computed exactly and then rounded once to a float.

    It is an exact fraction if it is too large for a float, or if one of `summands` is a fraction and the sum is too
    small for a float with all its digits. If some of `summands` are infinite or nan, the sum of these is returned.

    >>> _sum([1e100, 1.0, -1e100]), _sum([math.inf, 1.0]), _sum([1e308, 1e308, -1e308])
    (1.0, inf, 1e+308)
    """
    if {*map(type, summands)} == {float}:
        try:
            return math.fsum(summands)
        except (OverflowError, ValueError):  # the sum of some of them is too large, or inf and -inf are among them
            pass
    if not all(map(_is_finite, summands)):
        return sum([float(x) for x in summands if not _is_finite(x)])
    from fractions import Fraction

    return _as_coefficient(sum([Fraction(x) for x in summands], Fraction(0)))


def _is_finite(x: Coefficient) -> bool:
    return type(x) is not float or math.isfinite(x)


def _as_coefficient(x: Fraction) -> Coefficient:
    return float(x) if not x or LEAST <= abs(x) <= MOST else x


def _as_float(x: Coefficient) -> float:
    try:
        return float(x)
    except OverflowError:
        return math.inf if x > 0 else -math.inf


def _scaled(coefficient: Coefficient, node: Any) -> Any:
    """Return coefficient * node. A fraction is multiplied in steps, each by a float."""
    while type(coefficient) is not float:
        step = STEP if abs(_as_float(coefficient)) > 1.0 else 1.0 / STEP
        node = step * node
        coefficient = _times(coefficient, 1.0 / step)
    return node if coefficient == 1.0 else coefficient * node
