"""Derivatives that are 0 where an operation did not select an operand.

Operations such as `relu`, `maximum` and `where` send no gradient to an operand that they did not select. A derivative
with respect to this operand must be 0 even if a later factor is infinite, so a product of derivatives has to know
whether all operands on the way were selected. A node that says so is made only if it is needed.
"""

from __future__ import annotations

from enum import IntEnum
from functools import reduce
from typing import Any

from .. import ops
from ..engine import Value
from .finite_field import SELECT

__all__ = ["Gated", "Gates", "Selected", "ungated_product"]


class Gates(IntEnum):
    """Which derivatives are 0, and not nan, where an operation such as `relu` did not select an operand.

    A gate chooses 0 instead of a product of derivatives. Without gates, these derivatives are nan if the derivative of
    the output with respect to the operation's result is infinite or nan. To choose 0 for a factor of a sum of products,
    such as `dot`, takes as long as the product. So with `NOT_FOR_SUMS`, derivatives with respect to operands of sums
    may be nan, as in matrix products of PyTorch and jax.
    """

    NONE = 0
    NOT_FOR_SUMS = 1
    ALL = 2


class Selected:
    """Whether operations selected an operand: `node()` returns a node that is 0 only if they did not.

    An operation such as `relu`, `maximum` or `where` selects one operand or several, and sends no gradient to the
    others.

    Pass exactly one of `partial`, `both` and `alternatives`.

    Args:
        partial: a local derivative, a node that is 0 if the operand was not selected.
        both: two other `Selected`s. The operand counts as selected if both of theirs are.
        alternatives: several other `Selected`s. The operand counts as selected if at least one of theirs is.
        zero: the node of the constant 0 that all `Selected`s of a graph share, to save time. Pass it together with
            `partial`. Without `partial`, it is taken from the other `Selected`s.

    Attributes:
        alternatives: the argument, or ().
        partial: the argument, or None.
        constants: the constants that `partial` is chosen from: 0 and 1 for `relu`, or 0, 0.5 and 1 for `maximum`. It is
            empty if `partial` is something other than such a choice.

    >>> x = Value(-3)
    >>> [selected] = [Selected(ops.where(ops.less(0.0, x), 1.0, 0.0), zero=Value(0.0, requires_grad=False))]
    >>> selected.node().data, selected.where(x).data, selected.constants
    (0.0, 0.0, [1.0, 0.0])
    """

    __slots__ = ("_both", "_node", "alternatives", "constants", "partial", "zero")

    def __init__(
        self,
        partial: Value | None = None,
        both: tuple[Selected, ...] = (),
        alternatives: tuple[Selected, ...] = (),
        zero: Value | None = None,
    ) -> None:
        self.partial = self._node = partial
        self._both, self.alternatives = both, alternatives
        self.zero: Any = zero if partial else (both or alternatives)[0].zero
        self.constants = _constants_of(partial) if partial else []

    def node(self) -> Value:
        """Return a node that is 0 only if the operand was not selected."""
        stack = [self]
        while stack:
            last = stack[-1]
            if last._node is None:
                if waiting := [x for x in (*last._both, *last.alternatives) if x._node is None]:
                    stack += waiting
                    continue
                last._node = last._combined()
            stack.pop()
        assert self._node is not None
        return self._node

    def _combined(self) -> Value:
        """Return a new node, made of the nodes of the `Selected`s in the argument `both` or `alternatives`."""
        if self.alternatives:
            nodes = [x.node() for x in self.alternatives]
            return reduce(lambda a, b: ops.where(a, 1.0, b), nodes)
        first, second = self._both
        if len(second.constants) == 2:
            first, second = second, first
        return first.where(second.node())

    def where(self, x: Any) -> Value:
        """Return a node that is `x`, a node or a number, if the operand was selected, and else 0."""
        condition, choices = self.node(), [x, self.zero]
        if len(self.constants) == 2:  # `condition` is one `where`; to take its own condition needs one node less
            condition, choices = condition.operands[0], [x if number else self.zero for number in self.constants]
        found: Value = ops.where(condition, *choices)
        return found


class Gated:
    """A product of derivatives that is 0 where an operand was not selected, and `raw` elsewhere.

    `raw` may be any number where the operand was not selected. In a long product, each factor changes `raw` or
    `selected`, and only at the end `node` makes the node that chooses between `raw` and 0.

    Attributes:
        raw: the product if all operands were selected, a node or a number.
        selected: the `Selected` that says whether they were.
    """

    __slots__ = ("_node", "raw", "selected")

    def __init__(self, raw: Any, selected: Selected) -> None:
        self.raw, self.selected = raw, selected
        self._node: Value | None = None

    def node(self) -> Value:
        """Return a node that is `raw` if all operands were selected, and 0 otherwise."""
        if self._node is None:
            self._node = self.selected.where(self.raw)
        return self._node


def ungated_product(x: Any, y: Any, first: Selected | None, second: Selected | None) -> Any:
    """Return a number or node that is x * y where all operands were selected. Elsewhere, its value does not matter.

    If x or y is a local derivative that is 1 wherever its operand was selected, the other factor is returned alone. If
    x or y is a local derivative that an operation chooses from constants, not all of which are 0 or 1, as `maximum`
    chooses from 0, 0.5 and 1, the other factor is multiplied by each constant, and the result is chosen from the
    products.

    Args:
        x: a derivative: a node, a number, or a `Gated`.
        y: another derivative: a node, a number, or a `Gated`.
        first: says where x is 0 because an operation did not select an operand; None if x is never 0 for this reason.
        second: says where y is 0 because an operation did not select an operand; None if y is never 0 for this reason.
    """
    a, b = [z.raw if type(z) is Gated else z for z in (x, y)]
    for selected, chosen, factor in ((second, b, a), (first, a, b)):
        if selected is not None and selected.constants and chosen is selected.partial:
            return factor if {*selected.constants} <= {0.0, 1.0} else _times_choices(chosen, factor, selected.zero)
    return a * b


def _times_choices(x: Any, y: Any, zero: Value) -> Any:
    """Return x * y, where x is a constant or is chosen from constants by one or several nested `where`s.

    The products of the constants and y are computed, and then one of them is chosen by the same conditions. For the
    constant 0, `zero`, the node of the constant 0, stands in place of the product.
    """
    if x.requires_grad:
        condition, *choices = x.operands
        return ops.where(condition, *[_times_choices(choice, y, zero) for choice in choices])
    number = x._data
    return zero if number == 0.0 else y if number == 1.0 else number * y


def _constants_of(x: Value, depth: int = 2) -> list[float]:
    """Return the constants that x is chosen from, by up to `depth` nested `where`s; [] if it is not such a choice."""
    if not (depth and x.op and x.op.lowerings.machine == SELECT):
        return []
    found: list[float] = []
    for choice in x.operands[1:]:
        if choice.requires_grad:
            if not (inner := _constants_of(choice, depth - 1)):
                return []
            found += inner
        else:
            found.append(choice._data)
    return found
