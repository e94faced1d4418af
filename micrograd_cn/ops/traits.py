"""What a row says besides its mathematics: how it is written, where it is smooth, and how other languages compute it.

Computing and differentiating need none of this. Pictures and texts read `Notation`, gradient checks read `Smoothness`,
and the page and the compiler read `Lowerings`.
"""

# This module does without `from __future__ import annotations`: with it, `NamedTuple` would compile each annotation
# whenever the package is imported.

from collections.abc import Callable, Sequence
from math import inf
from typing import Any, NamedTuple, TypeAlias

__all__ = ["POSITIVE", "REAL", "Interval", "Lowerings", "Notation", "Smoothness"]

Interval: TypeAlias = tuple[float, float]

REAL: Interval = (-inf, inf)
POSITIVE: Interval = (0.0, inf)


class Notation(NamedTuple):
    """How an operation is drawn and written.

    Attributes:
        symbol: what a drawing shows; the operation's name where it is empty.
        precedence: how tightly the operator `symbol` binds, as in Python: 1 for a + b, 2 for a * b, 3 for -a, 4 for
            a ** b. It is 0 if the operation is written as a call.
        right_associative: whether a ** b ** c means a ** (b ** c).
        text: takes the operands' texts and returns the text of a Python call, if that is not `name(a, b)`.

    >>> from micrograd_cn import div
    >>> div.notation
    Notation(symbol='/', precedence=2, right_associative=False, text=None)
    """

    symbol: str = ""
    precedence: int = 0
    right_associative: bool = False
    text: Callable[..., str] | None = None


class Smoothness(NamedTuple):
    """Where an operation is smooth, what its derivative is elsewhere, and how exact its formulas are.

    Attributes:
        domain: the open interval of each operand on which the operation is smooth (one for all if it is n-ary).
        kink: a function of the operands that is zero exactly at kinks, poles and jumps inside the domain.
        convention: the derivative chosen at a kink, in words.
        rounding: `(y, *operands) -> (value, *partials)`, the relative errors of the value and of each partial, in
            units of 1e-15. It counts what happens before the last rounding; None where there is nothing to count.

    >>> from micrograd_cn import relu
    >>> relu.smoothness.domain, relu.smoothness.kink(0.0), relu.smoothness.convention
    (((-inf, inf),), 0.0, "relu'(0) = 0")
    """

    domain: tuple[Interval, ...] = ()
    kink: Callable[..., float] | None = None
    convention: str = ""
    rounding: Callable[..., tuple[float, ...]] | None = None


class Lowerings(NamedTuple):
    """How other languages compute an operation.

    Attributes:
        formula: the same function as `forward`, written with simpler operations of the table. It is not needed if
            `forward` is written in this way itself, or if there are `summands`.
        summands: takes the operands and returns `(pairs, terms)` if the operation is the sum of the products of the
            pairs and of the terms. The compiler turns such sums into loops.
        is_gather: whether the first operand is an index, counted from 0, and the result is the operand with this index:
            nan if there is none, as at 1.5. No gradient flows to the index.
        javascript: a JavaScript function; if it is empty, the formula is printed.
        machine: the LLVM instruction or intrinsic, or the C function; if it is empty, the formula is compiled.
        array: the name that numpy, torch and jax.numpy have for the function, or the sign of a comparison; if it is
            empty, the formula is printed.

    >>> from micrograd_cn import exp
    >>> exp.lowerings.machine, exp.lowerings.javascript
    ('exp', 'Math.exp')
    """

    formula: Callable[..., Any] | None = None
    summands: Callable[..., tuple[Sequence[tuple[Any, Any]], Sequence[Any]]] | None = None
    is_gather: bool = False
    javascript: str = ""
    machine: str = ""
    array: str = ""
