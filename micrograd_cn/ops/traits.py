"""What an `Op` says besides its mathematics: how it is written, where it is smooth, how other languages compute it.

The engine needs none of this. Pictures and texts read `Notation`, gradient checks read `Smoothness`, and the compiler
and the HTML page of `draw_flow` read `Lowerings`.
"""

# There is no `from __future__ import annotations` here, because `NamedTuple` would then compile the text of every
# annotation on each import of the package.

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
        symbol: what a drawing shows; if it is empty, the operation's name.
        precedence: how tightly the operator `symbol` binds in Python: 1 for a + b, 2 for a * b, 3 for -a, 4 for a ** b.
            It is 0 if the operation is written as a call, such as tanh(x).
        right_associative: whether a ** b ** c means a ** (b ** c).
        text: a function from the operands' texts to the text of the whole expression, if that is neither an operator
            between its operands nor `name(a, b)`.
        micrograd: a function that returns the `_op` of a node in micrograd, if that is not the symbol. It takes a text
            for each operand: the digits of a number, such as "2", or "" for a node.

    >>> from micrograd_cn import div
    >>> div.notation
    Notation(symbol='/', precedence=2, right_associative=False, text=None, micrograd=None)
    """

    symbol: str = ""
    precedence: int = 0
    right_associative: bool = False
    text: Callable[..., str] | None = None
    micrograd: Callable[..., str] | None = None


class Smoothness(NamedTuple):
    """Where an operation is smooth, which derivative it has elsewhere, and how inexact its value and partials may be.

    Attributes:
        domain: for each operand, the open interval on which the operation is smooth. An n-ary operation has a single
            interval, which holds for all operands.
        kink: a function of the operands that is zero at the kinks, poles and jumps inside the domain, and only there.
        convention: a sentence that says which number is taken for the derivative at points without one, such as a kink,
            and at points where the formula does not give the limit of the derivative, such as inf.
        rounding: a function `(y, *operands)` that returns the relative rounding error of the value y, then that of each
            partial derivative, in units of 1e-15. The final rounding of each of these numbers to a float is not
            counted. None stands for errors of 0.

    >>> from micrograd_cn import relu
    >>> relu.smoothness.domain, relu.smoothness.kink(0.0), relu.smoothness.convention
    (((-inf, inf),), 0.0, "relu'(0) = 0, relu'(nan) = 1")
    """

    domain: tuple[Interval, ...] = ()
    kink: Callable[..., float] | None = None
    convention: str = ""
    rounding: Callable[..., tuple[float, ...]] | None = None


class Lowerings(NamedTuple):
    """How other languages compute an operation.

    Attributes:
        formula: a function that computes the same as `forward` with simpler operations. It is not needed if `forward`
            itself is written with operations, if there are `summands`, or if the fields below name a function of each
            language for the operation.
        summands: for a sum of products, a function from the operands to `(pairs, terms)`. The operation is the sum of
            the terms and of the products of the pairs, and the compiler turns it into a loop.
        is_gather: whether the first operand is an index into the others, counted from 0, and the result is the operand
            at this index, or nan if there is none, as at 1.5. No gradient flows to the index.
        javascript: a JavaScript function; if it is empty, the formula is printed.
        machine: the LLVM instruction or intrinsic, or the C function; if it is empty, the formula is compiled.
        array: the function's name in numpy, torch and jax.numpy, or the sign of a comparison; if it is empty, the
            formula is printed.
        differentiable: a formula that is printed instead of `formula` for numpy, torch and jax, because torch and jax
            would compute wrong derivatives of `formula` at some points. If an operation without a kink has this
            operation in its formula, `differentiable` is printed there even if `array` names a function.

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
    differentiable: Callable[..., Any] | None = None
