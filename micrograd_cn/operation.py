"""What a row of the operation table is, and how one is added."""

from __future__ import annotations

import numbers
import sys
from collections.abc import Callable, Sequence
from keyword import iskeyword
from math import inf
from typing import Any, TypeAlias

__all__ = ["OPS", "POSITIVE", "REAL", "Op", "define", "number", "number_or_none"]

Partial: TypeAlias = Callable[..., Any]
Interval: TypeAlias = tuple[float, float]

REAL: Interval = (-inf, inf)
POSITIVE: Interval = (0.0, inf)


def number(x: object) -> float:
    """Return the real number `x` as a float; an integer or fraction beyond the largest float is an infinity.

    Raises:
        TypeError: `x` is text, complex, a sequence, None, or anything else that is not one real number.

    >>> number(3), number(-(10**400))
    (3.0, -inf)
    """
    if type(x) is float:
        return x
    if type(x) is not int:
        if isinstance(x, (str, bytes, bytearray)):
            raise TypeError(f"expected a real number, got the {type(x).__name__} {x!r}; convert it with float() first")
        if isinstance(x, numbers.Complex) and not isinstance(x, numbers.Real):
            raise TypeError(f"expected a real number, got the complex {x!r}; use its .real or .imag")
        if not hasattr(x, "__float__"):
            raise TypeError(f"expected a real number, got {type(x).__name__}")
        if getattr(x, "shape", ()) or (hasattr(x, "__len__") and not hasattr(x, "shape")):
            raise TypeError(f"expected one real number, got the sequence {type(x).__name__}; use one element at a time")
    try:
        return float(x)
    except OverflowError:
        return inf if x > 0 else -inf  # type: ignore[operator]


def number_or_none(x: object) -> float | None:
    """Return `x` as a float, None if it is not one real number.

    >>> number_or_none(3), number_or_none("3")
    (3.0, None)
    """
    try:
        return number(x)
    except TypeError:
        return None


class Op:
    """One operation; call it with numbers for a float, or with `Value`s to record a node.

    Args:
        name: an identifier, unique in the table.
        forward: floats to float; must not raise on any float.
        partials: one function an operand, `(y, *operands) -> dy/doperand`, where `y` is the result; written with the
            table's operations. None for an operand in which the result is piecewise constant: its derivative is 0
            whatever the numbers, and no gradient flows to it. An n-ary operation has one function instead, which
            returns all of them as a tuple.
        doc: what it computes, for help().
        arities: how many operands an n-ary operation takes: a range, or a tuple of the numbers; any by default.
        symbol: how a drawing names it; the name where it is empty.
        precedence: of the operator that `symbol` is, between two operands or before one, as in Python: 1 for a + b,
            2 for a * b, 3 for -a, 4 for a ** b. 0 for what is written as a call.
        right_associative: whether a ** b ** c is a ** (b ** c).
        notation: the operands' texts to the text of a Python call, where it is not `name(a, b)`.
        signature: call arguments to the flat tuple of operands, where these differ (defaults, sequences).
        domain: the open interval of each operand on which the operation is smooth (one for all if n-ary).
        kink: a function of the operands, zero exactly at kinks, poles and jumps inside the domain.
        convention: the derivative chosen at a kink, in words.
        rounding: `(y, *operands) -> (value, *partials)`: the relative error of the value and of each partial, in units
            of 1e-15, beyond that of their last operation; absent where there is none.
        summands: operands to `(pairs, terms)` if the operation is the sum of the products of the pairs and of the
            terms, of which a compiler makes loops.
        chooses: whether the first operand numbers the others, from 0, and the result is the one with this number: nan
            if there is none, as at 1.5. No gradient flows to the first operand.
        formula: what `forward` computes, written with the table's simpler operations, for other languages; not needed
            if `forward` is written so itself, or `summands` says it.
        javascript: what `forward` computes, as a JavaScript function; the formula's where it is empty.
        machine: the LLVM instruction or intrinsic, or C's function, that computes it; the formula's where it is empty.
        array: the function or the comparison sign that numpy, torch and jax.numpy have for it; the formula's where it
            is empty.

    Raises:
        TypeError: the name, `forward` or `partials` has the wrong type.
        ValueError: the name is not an identifier, `domain` does not match `partials`, or `arities` says again, or
            otherwise, how many operands there are.

    >>> cube = Op("cube", lambda x: x * x * x, (lambda y, x: 3.0 * x * x,))
    >>> cube(2)
    8.0
    """

    def __init__(
        self,
        name: str,
        forward: Callable[..., float],
        partials: tuple[Partial | None, ...] | Partial,
        doc: str = "",
        *,
        arities: Sequence[int] = (),
        symbol: str = "",
        precedence: int = 0,
        right_associative: bool = False,
        notation: Callable[..., str] | None = None,
        signature: Callable[..., tuple[Any, ...]] | None = None,
        domain: tuple[Interval, ...] = (),
        kink: Callable[..., float] | None = None,
        convention: str = "",
        rounding: Callable[..., tuple[float, ...]] | None = None,
        summands: Callable[..., tuple[Sequence[tuple[Any, Any]], Sequence[Any]]] | None = None,
        chooses: bool = False,
        formula: Callable[..., Any] | None = None,
        javascript: str = "",
        machine: str = "",
        array: str = "",
    ) -> None:
        if not isinstance(name, str):
            raise TypeError(f"an operation's name must be a str, got {name!r}")
        if not name.isidentifier() or iskeyword(name):
            raise ValueError(f"an operation's name must be an identifier, got {name!r}")
        if not callable(forward):
            raise TypeError(f"{name}: forward must be a function, got {forward!r}")
        functions = partials if isinstance(partials, tuple) else (partials,)
        if not functions or not all(p is None or callable(p) for p in functions) or partials is None:
            raise TypeError(f"{name}: partials must be a tuple of functions or one function, got {partials!r}")
        if domain and len(domain) != len(functions):
            raise ValueError(f"{name}: {len(functions)} partials but {len(domain)} domain intervals")
        if len(arities) and (isinstance(partials, tuple) or arities[0] < 0):
            raise ValueError(f"{name}: arities are numbers of operands, of an n-ary operation alone; got {arities!r}")
        self.name = name
        self.forward = forward
        self.partials = partials
        self.arity = len(partials) if isinstance(partials, tuple) else None
        self.arities = arities if len(arities) else range(sys.maxsize) if self.arity is None else (self.arity,)
        self.doc = doc
        self.symbol = symbol or name
        self.precedence, self.right_associative = precedence, right_associative
        self.notation = notation
        self.signature = signature
        self.domain = domain or (REAL,) * len(functions)
        self.kink = kink
        self.convention = convention
        self.rounding, self.summands, self.chooses = rounding, summands, chooses
        self.formula = formula
        self.javascript, self.machine, self.array = javascript, machine, array
        self.__doc__ = doc or type(self).__doc__

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

    def text(self, *operands: str) -> str:
        """Return the operation applied to the operands' texts, as Python writes it.

        >>> from micrograd_cn import div, neg, tanh
        >>> div.text("a", "b"), neg.text("a"), tanh.text("x")
        ('a / b', '-a', 'tanh(x)')
        """
        if self.notation:
            return self.notation(*operands)
        if self.precedence:
            return f" {self.symbol} ".join(operands) if len(operands) > 1 else f"{self.symbol}{operands[0]}"
        return f"{self.name}({', '.join(operands)})"

    def flows(self, slot: int) -> bool:
        """Return whether a gradient flows to the operand: not where its derivative is 0 whatever the numbers.

        >>> from micrograd_cn import where
        >>> [where.flows(slot) for slot in range(3)]
        [False, True, True]
        """
        return self.partials[slot] is not None if isinstance(self.partials, tuple) else slot > 0 or not self.chooses

    def local(self, y: Any, *operands: Any) -> tuple[Any, ...]:
        """Return the local derivatives, one an operand.

        >>> from micrograd_cn import less, mul
        >>> mul.local(6.0, 2.0, 3.0), less.local(1.0, 2.0, 3.0)
        ((3.0, 2.0), (0.0, 0.0))
        """
        if not isinstance(self.partials, tuple):
            found = self.partials(y, *operands)
            return (0.0, *found[1:]) if self.chooses else found
        return tuple([p(y, *operands) if p else 0.0 for p in self.partials])

    def needed(self, y: Any, operands: Sequence[Any], wanted: Sequence[bool]) -> tuple[Any, ...]:
        """Return the local derivatives that are wanted; None where one is not, and where no gradient flows.

        An n-ary operation gives all of them, since it computes them together.

        >>> from micrograd_cn import mul
        >>> mul.needed(6.0, (2.0, 3.0), [True, False])
        (3.0, None)
        """
        if not isinstance(self.partials, tuple):
            return self.partials(y, *operands)  # type: ignore[no-any-return]
        return tuple([p(y, *operands) if p and w else None for p, w in zip(self.partials, wanted, strict=True)])

    def __call__(self, *args: Any, **options: Any) -> Any:
        """Return the result: a float of numbers, a recorded `Value` if there is one among the arguments."""
        if self.signature is None:
            if options:
                raise TypeError(f"{self.name}() takes no keyword arguments, got {', '.join(options)}")
            operands = args
        else:
            try:
                operands = self.signature(*args, **options)
            except TypeError as error:
                raise TypeError(f"{self.name}(): {error}") from error
        if len(operands) not in self.arities:
            raise TypeError(f"{self.name}() takes {_counted(self.arities)} operands, got {len(operands)}")
        for x in operands:
            if type(x) is not float:
                break
        else:
            return self.forward(*operands)
        for x in operands:
            if hasattr(x, "_record"):  # a Value; numbers beside it become constants of its graph
                return x._record(self, operands)
        return self.forward(*map(number, operands))

    def __copy__(self) -> Op:
        return self

    def __deepcopy__(self, memo: dict[int, Any]) -> Op:
        return self  # a row never changes, so a copy of a model may share it

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle a row of the table by its name."""
        if OPS.get(self.name) is not self:
            raise TypeError(f"cannot pickle the operation {self.name!r}, which is not in the table; define() it")
        return _row, (self.name,)

    def _repr_pretty_(self, printer: Any, cycle: bool) -> None:
        printer.text(repr(self))  # short in hypothesis and IPython, which would list the fields

    def __repr__(self) -> str:
        return f"<operation {self.name}>"


def _counted(arities: Sequence[int]) -> str:
    """Return numbers of operands in words.

    >>> _counted((3,)), _counted((2, 4)), _counted(range(2, 9)), _counted(range(1, sys.maxsize))
    ('3', '2 or 4', '2 to 8', 'at least 1')
    """
    if len(arities) < 3:
        return " or ".join(map(str, arities))
    return f"at least {arities[0]}" if arities[-1] == sys.maxsize - 1 else f"{arities[0]} to {arities[-1]}"


OPS: dict[str, Op] = {}


def _row(name: str) -> Op:
    """Return a row of the table, for what was pickled."""
    if name not in OPS:
        raise LookupError(f"the operation {name!r} was pickled but is not in the table here; define() it first")
    return OPS[name]


def define(op: Op) -> Op:
    """Add a row to the table and return it.

    Raises:
        TypeError: `op` is not an `Op`.
        ValueError: the name is taken.

    >>> from micrograd_cn import tanh
    >>> define(tanh)
    Traceback (most recent call last):
    ValueError: the operation 'tanh' is already defined
    """
    if not isinstance(op, Op):
        raise TypeError(f"define() takes an Op, got {type(op).__name__}")
    if op.name in OPS:
        raise ValueError(f"the operation {op.name!r} is already defined")
    OPS[op.name] = op
    return op
