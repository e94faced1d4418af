"""Find the operation that made a node of somebody's own `Value` class, from the attributes that the node has.

The operations to choose from are the rows of the table of operations in `micrograd_cn.ops`. Usually a class keeps the
operands, and a string such as "+" or "**3" that names the operation. Operands in a set have no order, and the set does
not tell whether one of them is used twice. So all rows that the string may mean are tried with all possible orders, and
the row that gives the node's data is taken. Some classes keep local derivatives instead of a string. Then a row must
give the data and these local derivatives.
"""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple, TypeAlias

from ..engine import Value
from ..ops.operation import Op
from ..ops.registry import OPS
from .opaque import Opaque

__all__ = ["Rows", "explained", "near", "unit_of"]

Operand: TypeAlias = Value | float

# Spellings of operations besides their names and symbols here.
SPELLINGS = {
    "^": "pow",
    "ln": "log",
    "logistic": "sigmoid",
    "max": "maximum",
    "min": "minimum",
    "negate": "neg",
    "swish": "silu",
    "·": "mul",
    "×": "mul",
    "÷": "div",
    "−": "sub",
}
WITH_NUMBER = re.compile(r"(.+?)\s*\(?\s*([-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?)\s*\)?")  # such as **-1
# If a class keeps no name of the operation, a node may be x ** 2 or the like. These second operands are tried.
USUAL_NUMBERS = (2.0, 3.0, 4.0, -1.0, -2.0, 0.5, -0.5)
ALL_ORDERS = 3  # up to this many operands, all orders are tried


class Fit(NamedTuple):
    """An operation that may have made a node.

    Attributes:
        op: the operation.
        operands: the operands in the order in which the operation takes them.
        value: the number that the operation computes from the operands.
    """

    op: Op
    operands: tuple[Operand, ...]
    value: float

    @property
    def numbers(self) -> list[float]:
        """The number of each operand, in the order of the operands."""
        return [x.data if isinstance(x, Value) else x for x in self.operands]

    def slopes(self) -> dict[Value, float]:
        """Return a dict from each node among the operands to the derivative of the value with respect to this node.

        If a node is several of the operands, the derivative is the sum of their partial derivatives.
        """
        found: dict[Value, float] = {}
        for x, partial in zip(self.operands, self.op.local_derivatives(self.value, *self.numbers), strict=True):
            if isinstance(x, Value):
                found[x] = found.get(x, 0.0) + (partial or 0.0)
        return found

    def __str__(self) -> str:
        return f"{self.op.text(*[f'{x:.4g}' for x in self.numbers])} = {self.value:.4g}"


class Rows:
    """Look up operations of this package by the names that somebody's own `Value` class may give them.

    The method `named` returns a pair: a list of the operations that a name may mean, and a tuple with the constant
    operand that the name contains, such as -1.0 for "**-1". The tuple is empty if the name contains no number.

    >>> rows = Rows()
    >>> rows.named("ReLU"), rows.named("**-1"), rows.named("-")
    (([<operation relu>], ()), ([<operation pow>], (-1.0,)), ([<operation neg>, <operation sub>], ()))
    """

    def __init__(self) -> None:
        self._rows: dict[str, list[Op]] = {}
        for op in OPS.values():
            for name in {op.name, op.notation.symbol}:
                self._rows.setdefault(name, []).append(op)
        self._found: dict[str, tuple[list[Op], tuple[float, ...]]] = {}

    def named(self, text: str) -> tuple[list[Op], tuple[float, ...]]:
        """Return the operations that the name `text` may mean, and a tuple with the constant operand that it contains.

        For example, the tuple is (3.0,) for "**3", since the name contains the second operand of x ** 3. The tuple is
        empty if there is no number in `text`.
        """
        if text not in self._found:
            rows, numbers = self._called(text.strip()), tuple[float, ...]()
            if not rows and (match := WITH_NUMBER.fullmatch(text.strip())):
                rows, numbers = self._called(match[1]), (float(match[2]),)
            self._found[text] = rows, numbers
        return self._found[text]

    def _called(self, name: str) -> list[Op]:
        plain = name.lower()
        return self._rows.get(name) or self._rows.get(SPELLINGS.get(plain, plain), [])


def explained(
    rows: Rows,
    text: str | None,
    data: float,
    operands: Sequence[Operand],
    ordered: bool,
    claimed: Sequence[float] | None,
    unit: float,
) -> tuple[Op, Sequence[Operand]]:
    """Return (operation, operands): the operation that made a node of somebody's own `Value` class, and its operands.

    The operands are in the order in which the operation takes them. An operation of this package explains the node if
    `text` may mean it, and it computes the node's data from the operands. If `text` is None, it must also have the
    local derivatives `claimed`. If no operation explains the node, or it is not clear which of several does, an
    `Opaque` operation is returned.

    Args:
        rows: this package's operations by name.
        text: the name that the class gives the operation, or None if it gives none.
        data: the node's number.
        operands: the operands that the node keeps.
        ordered: whether the operands are in order, with an operand that is used twice listed twice.
        claimed: the local derivatives that the node keeps, or None if it keeps none.
        unit: the rounding unit of the numbers' type, such as 2**-52.

    >>> from micrograd_cn import Value
    >>> a, b = Value(2), Value(6)
    >>> op, operands = explained(Rows(), "/", 3.0, {a, b}, False, None, 2.0**-52)
    >>> op, operands == (b, a)
    (<operation div>, True)
    """
    operands = tuple(operands)
    if text is None:
        return _by_numbers(data, operands, claimed, unit)
    ops, numbers = rows.named(text)
    tried: list[Fit] = []
    for group in _arrangements(operands, numbers, ordered):
        fits = list(_fits(ops, group))
        tried += fits
        close = [fit for fit in fits if near(fit.value, data, unit, fit.numbers)]
        if close:
            least = min(_gap(fit.value, data) for fit in close)
            best = [fit for fit in close if _gap(fit.value, data) == least]
            if all(_like(best[0].slopes(), fit.slopes()) for fit in best[1:]):
                return best[0][:2]
            return Opaque(text, data, len(operands), claimed, "opaque_order"), operands
    if tried:
        return Opaque(text, data, len(operands), claimed, "opaque_value", str(tried[0])), operands
    missing = any(op.arity is not None and op.arity > len(operands) + len(numbers) for op in ops)
    return Opaque(text, data, len(operands), claimed, "opaque_operands" if missing else "opaque_unknown"), operands


def _by_numbers(
    data: float, operands: tuple[Operand, ...], claimed: Sequence[float] | None, unit: float
) -> tuple[Op, Sequence[Operand]]:
    """Return (operation, operands) for a node whose class does not name the operation.

    If exactly one operation of this package has the value `data` and the local derivatives `claimed`, it is returned.
    Otherwise an `Opaque` operation is returned. `unit` is the rounding unit of the numbers' type, such as 2**-52.
    """
    groups = [operands]
    if len(operands) == 1:
        groups += [(*operands, x) for x in USUAL_NUMBERS]
    fits = []
    for fit in _fits(OPS.values(), groups):
        if claimed is not None and near(fit.value, data, unit, fit.numbers):
            partials = fit.op.local_derivatives(fit.value, *fit.numbers)
            if all(near(p or 0.0, own, unit) for p, own in zip(partials, claimed, strict=False)):
                fits.append(fit)
    plain = [fit for fit in fits if fit.op.arity is not None] or fits  # a product is a `dot` of two operands as well
    if len(plain) == 1:
        return plain[0][:2]
    return Opaque("", data, len(operands), claimed, "" if fits else "opaque_unknown"), operands


def _arrangements(
    operands: tuple[Operand, ...], numbers: tuple[float, ...], ordered: bool
) -> list[list[tuple[Operand, ...]]]:
    """Return the sequences of operands to try, as lists of sequences that are equally likely. The likeliest come first.

    Args:
        operands: the operands that a node keeps.
        numbers: the number in the name of the operation, if there is one. It comes after the operands.
        ordered: whether the operands are in order, with an operand that is used twice listed twice.
    """
    if numbers:  # they come after the operands, as in x ** 3
        return [[(*operands, *numbers)]]
    others = list(itertools.permutations(operands))[1:] if len(operands) <= ALL_ORDERS else []
    if ordered:
        return [[operands], others]
    return [[operands, *others, *([operands * 2] if len(operands) == 1 else [])]]


def _fits(ops: Iterable[Op], group: Iterable[tuple[Operand, ...]]) -> Iterator[Fit]:
    """Try each operation of `ops` with each sequence of operands in `group`, and yield a `Fit` for each that works.

    An operation is left out if it takes another number of operands.
    """
    for operands in group:
        for op in ops:
            taken = _taken(op, operands)
            if taken is not None:
                fit = Fit(op, taken, math.nan)
                yield fit._replace(value=op.forward(*fit.numbers))


def _taken(op: Op, operands: tuple[Operand, ...]) -> tuple[Operand, ...] | None:
    """Return `operands` and, after them, the defaults of those operands of `op` that a call may leave out.

    Return None if `op` takes more or fewer operands.
    """
    if len(operands) in op.arities:
        return operands
    if op.arity is None or op.signature is None:
        return None
    try:
        called = op.signature(*operands)
    except TypeError:
        return None
    return called if len(called) == op.arity else None


def unit_of(x: object) -> float:
    """Return the rounding unit of the type of `x`: 2**-52, or more for a coarser type such as numpy's float32.

    >>> unit_of(1), unit_of(0.5) == 2.0**-52
    (2.220446049250313e-16, True)
    """
    unit = 2.0**-52
    if not hasattr(x, "dtype") or isinstance(x, float):
        return unit
    one = step = x**0  # type: ignore[operator]  # 1 in the same type, even if x is nan
    while float(step) > unit and one + step / 2 != one:
        step = step / 2
    return float(step)


def near(x: float, y: float, unit: float, operands: Iterable[float] = ()) -> bool:
    """Return whether `x` and `y` may be the results of two ways to compute the same number.

    `unit` is the rounding unit of the numbers' type, such as 2**-52. The numbers may differ by a small part of
    themselves, and also by a small part of the largest of `operands`, from which they were computed.

    >>> near(1.0, 1.0 + 1e-9, 2.0**-52), near(1.0, 1.1, 2.0**-52), near(float("nan"), float("nan"), 2.0**-52)
    (True, False, True)
    """
    size = max([1.0, *[abs(operand) for operand in operands if math.isfinite(operand)]])
    close = math.isclose(x, y, rel_tol=max(1e-6, 64 * unit), abs_tol=4096 * unit * size)
    return close or (x != x and y != y)


def _gap(x: float, y: float) -> float:
    return 0.0 if x == y or (x != x and y != y) else abs(x - y)


def _like(one: dict[Value, float], other: dict[Value, float]) -> bool:
    return all(math.isclose(p, other[x], rel_tol=1e-9) or (p != p and other[x] != other[x]) for x, p in one.items())
