"""What a row says beside its mathematics: how it looks, where it is smooth, and its forms in other languages.

None of it is needed to compute or to differentiate. Pictures and texts read `Looks`, gradient checks read `Smooth`, the
page and the compiler read `Forms`.
"""

# Annotations are no texts in this module: `NamedTuple` would compile each of them whenever the package is imported.

from collections.abc import Callable, Sequence
from math import inf
from typing import Any, NamedTuple, TypeAlias

from .checks import check_result
from .registry import Row

__all__ = ["POSITIVE", "REAL", "Forms", "Interval", "Looks", "Smooth", "Traits"]

Interval: TypeAlias = tuple[float, float]

REAL: Interval = (-inf, inf)
POSITIVE: Interval = (0.0, inf)


class Looks(NamedTuple):
    """How an operation is drawn and written.

    Attributes:
        symbol: how a drawing names it; the name where it is empty.
        precedence: of the operator that `symbol` is, between two operands or before one, as in Python: 1 for a + b,
            2 for a * b, 3 for -a, 4 for a ** b. 0 for what is written as a call.
        right_associative: whether a ** b ** c is a ** (b ** c).
        notation: the operands' texts to the text of a Python call, where it is not `name(a, b)`.

    >>> from micrograd_cn import div
    >>> div.looks
    Looks(symbol='/', precedence=2, right_associative=False, notation=None)
    """

    symbol: str = ""
    precedence: int = 0
    right_associative: bool = False
    notation: Callable[..., str] | None = None


class Smooth(NamedTuple):
    """Where an operation is smooth, what its derivative is where it is not, and how exact its formulas are.

    Attributes:
        domain: the open interval of each operand on which the operation is smooth (one for all if n-ary).
        kink: a function of the operands, zero exactly at kinks, poles and jumps inside the domain.
        convention: the derivative chosen at a kink, in words.
        rounding: `(y, *operands) -> (value, *partials)`: the relative error of the value and of each partial, in units
            of 1e-15, beyond that of their last operation; absent where there is none.

    >>> from micrograd_cn import relu
    >>> relu.smooth.domain, relu.smooth.kink(0.0), relu.smooth.convention
    (((-inf, inf),), 0.0, "relu'(0) = 0")
    """

    domain: tuple[Interval, ...] = ()
    kink: Callable[..., float] | None = None
    convention: str = ""
    rounding: Callable[..., tuple[float, ...]] | None = None


class Forms(NamedTuple):
    """What an operation computes, said so that other languages can compute it.

    Attributes:
        formula: the same as `forward`, written with the table's simpler operations; not needed if `forward` is written
            so itself, or `summands` says it.
        summands: operands to `(pairs, terms)` if the operation is the sum of the products of the pairs and of the
            terms, of which a compiler makes loops.
        chooses: whether the first operand numbers the others, from 0, and the result is the one with this number: nan
            if there is none, as at 1.5. No gradient flows to the first operand.
        javascript: a JavaScript function; the formula's where it is empty.
        machine: the LLVM instruction or intrinsic, or C's function, that computes it; the formula's where it is empty.
        array: the function or the comparison sign that numpy, torch and jax.numpy have for it; the formula's where it
            is empty.

    >>> from micrograd_cn import exp
    >>> exp.forms.machine, exp.forms.javascript
    ('exp', 'Math.exp')
    """

    formula: Callable[..., Any] | None = None
    summands: Callable[..., tuple[Sequence[tuple[Any, Any]], Sequence[Any]]] | None = None
    chooses: bool = False
    javascript: str = ""
    machine: str = ""
    array: str = ""


class Traits(Row):
    """A row as tools see it: its value and derivatives as numbers, its text, and what else they ask.

    Attributes:
        signature: call arguments to the flat tuple of operands, where these differ.
        looks: how it is written and drawn.
        smooth: where it is smooth, and what is agreed on where it is not.
        forms: how other languages compute it.

    >>> from micrograd_cn import where
    >>> where.text("c", "a", "b"), where.unary, where.flows(0), where.flows(1)
    ('where(c, a, b)', False, False, True)
    """

    forward: Callable[..., Any]
    partials: Any
    arity: int | None
    needed: Callable[..., tuple[Any, ...]]
    signature: Callable[..., tuple[Any, ...]] | None
    looks: Looks
    smooth: Smooth
    forms: Forms

    def text(self, *operands: str) -> str:
        """Return the operation applied to the operands' texts, as Python writes it.

        >>> from micrograd_cn import div, neg, tanh
        >>> div.text("a", "b"), neg.text("a"), tanh.text("x")
        ('a / b', '-a', 'tanh(x)')
        """
        symbol, precedence, _, notation = self.looks
        if notation:
            return notation(*operands)
        if precedence:
            return f" {symbol} ".join(operands) if len(operands) > 1 else f"{symbol}{operands[0]}"
        return f"{self.name}({', '.join(operands)})"

    @property
    def unary(self) -> bool:
        """Return whether it can be called with one number, as an activation function is.

        >>> from micrograd_cn import add, dot, elu, tanh
        >>> tanh.unary, elu.unary, add.unary, dot.unary
        (True, True, False, False)
        """
        if self.arity is None or self.signature is None:
            return self.arity == 1
        import inspect  # costs more than the rest of the module

        parameters = inspect.signature(self.signature).parameters.values()
        return [p.default is p.empty for p in parameters].count(True) == 1

    def flows(self, slot: int) -> bool:
        """Return whether a gradient flows to the operand: not where its derivative is 0 whatever the numbers.

        >>> from micrograd_cn import where
        >>> [where.flows(slot) for slot in range(3)]
        [False, True, True]
        """
        if isinstance(self.partials, tuple):
            return self.partials[slot] is not None
        return slot > 0 or not self.forms.chooses

    def value(self, *operands: float) -> float:
        """Return the result, which the row's function must give as a real number.

        Raises:
            RowError: it does not.

        >>> from micrograd_cn import Op
        >>> Op("two", lambda x: 2, (None,)).value(1.0)
        2.0
        """
        y = self.forward(*operands)
        return y if type(y) is float else check_result(self, y)

    def local(self, y: Any, *operands: Any) -> tuple[Any, ...]:
        """Return the local derivatives, one an operand.

        >>> from micrograd_cn import less, mul
        >>> mul.local(6.0, 2.0, 3.0), less.local(1.0, 2.0, 3.0)
        ((3.0, 2.0), (0.0, 0.0))
        """
        found = self.needed(y, operands, [True] * len(operands))
        return tuple([0.0 if derivative is None else derivative for derivative in found])
