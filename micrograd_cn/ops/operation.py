"""`Op`, a row of the operation table: a name, a function of floats, and one partial derivative for each operand."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Sequence
from functools import lru_cache
from typing import Any, Protocol, SupportsFloat, TypeAlias, TypeVar, overload

from .checks import check_count, check_derivative, check_result, check_row, check_tuple
from .number import number
from .registry import Row
from .traits import REAL, Lowerings, Notation, Smoothness

__all__ = ["Op", "Recorder", "Selection"]


class Recorder(Protocol):
    """An operand that records the operations that are applied to it, as a `Value` does."""

    def _record(self, op: Any, operands: Any) -> Any:
        """Return the result of an operation, one of whose operands this is."""


R = TypeVar("R", bound=Recorder)
Operand: TypeAlias = Recorder | SupportsFloat


class Selection:
    """The partial derivative with respect to an operand that an operation may leave unselected, as max(x, 0) does.

    An operand that was not selected gets nothing. It does not get the upstream gradient times 0, since 0 * inf is nan:
    the derivative of sqrt(max(x, 0)) at -1 is 0.

    Args:
        passed: `(g, *operands) -> the operand's part of the upstream gradient g`, written with `where`. An n-ary
            operation returns the parts of all operands, and None for one that never gets any.
        weight: the part of g = 1 for operands that are floats; None if the operand was not selected.

    >>> from micrograd_cn import relu
    >>> [passing] = relu.partials
    >>> passing(0.0, -1.0), passing.passed(float("inf"), -1.0), passing(2.0, 2.0)
    (None, 0.0, 1.0)
    """

    __slots__ = ("passed", "weight")

    def __init__(self, passed: Callable[..., Any], weight: Callable[..., Any]) -> None:
        self.passed = passed
        self.weight = weight

    def __call__(self, y: Any, *operands: Any) -> Any:
        """Return the partial; of floats None if the operand was not selected."""
        for x in operands:
            if type(x) is not float:
                return self.passed(1.0, *operands)
        return self.weight(*operands)


class Op(Row):
    """One operation; call it with numbers to get a float, or with `Value`s to record a node.

    Args:
        name: an identifier, unique in the table.
        forward: floats to float; must not raise on any float.
        partials: one function for each operand, `(y, *operands) -> dy/doperand`, where `y` is the result. It is
            written with the table's operations, so that derivatives of any order follow from it. None stands for an
            operand in which the result is piecewise constant: its derivative is 0 everywhere, and no gradient flows
            to it. A `Selection` stands for an operand that the operation may leave unselected. An n-ary operation has a
            single function instead, which returns all partials as a tuple.
        doc: what it computes, for help().
        arities: how many operands an n-ary operation takes, as a range or a tuple of numbers; any by default.
        signature: takes the arguments of a call and returns the operands, where these differ (defaults, sequences).
        notation: how it is written and drawn.
        smoothness: where it is smooth, and which derivative is chosen where it is not.
        lowerings: how other languages compute it.

    Raises:
        TypeError: the name, `forward` or `partials` has the wrong type, or a partial takes another number of arguments.
        ValueError: the name is no identifier, or `domain` or `arities` do not fit the number of operands.

    >>> cube = Op("cube", lambda x: x * x * x, (lambda y, x: 3.0 * x * x,))
    >>> cube(2)
    8.0
    """

    def __init__(
        self,
        name: str,
        forward: Callable[..., float],
        partials: tuple[Callable[..., Any] | None, ...] | Callable[..., Any],
        doc: str = "",
        *,
        arities: Sequence[int] = (),
        signature: Callable[..., tuple[Any, ...]] | None = None,
        notation: Notation = Notation(),  # noqa: B008 -- an immutable tuple
        smoothness: Smoothness = Smoothness(),  # noqa: B008
        lowerings: Lowerings = Lowerings(),  # noqa: B008
    ) -> None:
        self.name = name
        self.forward = forward
        self.partials: Any = partials
        self.doc = doc
        self.arity = len(partials) if isinstance(partials, tuple) else None
        self.arities = arities if len(arities) else range(sys.maxsize) if self.arity is None else (self.arity,)
        self.signature = signature
        self.notation = notation if notation.symbol else notation._replace(symbol=name)
        self.smoothness = smoothness if smoothness.domain else smoothness._replace(domain=(REAL,) * (self.arity or 1))
        self.lowerings = lowerings
        convention = f"\n\nBy convention: {smoothness.convention}." if smoothness.convention else ""
        self.__doc__ = doc + convention if doc else type(self).__doc__
        check_row(self)

    # Mixed lists such as sum([x, 2]) need the third signature: a type checker cannot find R in their elements.
    @overload
    def __call__(self, *args: SupportsFloat | Iterable[SupportsFloat], **options: SupportsFloat) -> float: ...  # type: ignore[overload-overlap]
    @overload
    def __call__(self, *args: R | SupportsFloat | Iterable[R | SupportsFloat], **options: R | SupportsFloat) -> R: ...
    @overload
    def __call__(self, *args: Operand | Iterable[Operand], **options: Operand) -> Any: ...  # type: ignore[overload-cannot-match]
    def __call__(self, *args: Any, **options: Any) -> Any:
        """Return the result: a float if all arguments are numbers, a recorded `Value` if one of them is a `Value`."""
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
            check_count(self, len(operands))
        for x in operands:
            if type(x) is not float:
                break
        else:
            return self.forward(*operands)
        for x in operands:
            if hasattr(x, "_record"):  # a Value; it records numbers beside it as constants
                return x._record(self, operands)
        return self.forward(*map(number, operands))

    def evaluate(self, *operands: float) -> float:
        """Return the result of floats.

        Raises:
            RowError: `forward` did not return a real number.

        >>> Op("two", lambda x: 2, (None,)).evaluate(1.0)
        2.0
        """
        y = self.forward(*operands)
        return y if type(y) is float else check_result(self, y)

    def needed_partials(self, y: Any, operands: Sequence[Any], needed: Sequence[bool]) -> tuple[Any, ...]:
        """Return the partials that are needed; None for each other one, and where no gradient flows.

        An n-ary operation returns all of them, since it computes them together.

        Raises:
            RowError: the row's functions did not return a derivative for each operand.

        >>> from micrograd_cn import mul
        >>> mul.needed_partials(6.0, (2.0, 3.0), [True, False])
        (3.0, None)
        """
        if not isinstance(self.partials, tuple):
            found: tuple[float | None, ...] = self.partials(y, *operands)
            check_tuple(self, found, len(operands))
            return found
        derivatives: list[Any] = []
        for partial, want in zip(self.partials, needed, strict=True):
            derivative = None
            if partial and want:
                derivative = partial(y, *operands)
                if derivative is None and type(partial) is not Selection:
                    check_derivative(self, len(derivatives), derivative)
            derivatives.append(derivative)
        return tuple(derivatives)

    def local_derivatives(self, y: Any, *operands: Any) -> tuple[Any, ...]:
        """Return the local derivatives, one for each operand; 0.0 where no gradient flows.

        >>> from micrograd_cn import less, mul
        >>> mul.local_derivatives(6.0, 2.0, 3.0), less.local_derivatives(1.0, 2.0, 3.0)
        ((3.0, 2.0), (0.0, 0.0))
        """
        found = self.needed_partials(y, operands, [True] * len(operands))
        return tuple([0.0 if derivative is None else derivative for derivative in found])

    def propagates_gradient_to(self, slot: int) -> bool:
        """Return whether a gradient flows to an operand; not if its derivative is 0 everywhere.

        >>> from micrograd_cn import where
        >>> [where.propagates_gradient_to(slot) for slot in range(3)]
        [False, True, True]
        """
        if isinstance(self.partials, tuple):
            return self.partials[slot] is not None
        return slot > 0 or not self.lowerings.is_gather

    @property
    def selects(self) -> bool:
        """Return whether the operation chooses among its operands, and passes no gradient to the others.

        >>> from micrograd_cn import maximum, mul
        >>> maximum.selects, mul.selects
        (True, False)
        """
        functions = self.partials if isinstance(self.partials, tuple) else (self.partials,)
        return Selection in map(type, functions)

    def selection(self, operands: Sequence[Any]) -> list[Callable[[Any], Any] | None]:
        """Return for each operand the function from an upstream gradient to its part; None where it is a product.

        A part is the float 0.0, or None, if the operand is never selected. For an operand whose partial is no
        `Selection`, the part is the partial times the upstream gradient, and there is no function.

        >>> from micrograd_cn import where
        >>> none, passed, other = where.selection((1.0, 2.0, 3.0))
        >>> none, passed(5.0), other(5.0)
        (None, 5.0, 0.0)
        """
        partials = self.partials
        if isinstance(partials, tuple):
            return [
                (lambda g, p=p: p.passed(g, *operands)) if type(p) is Selection else None  # type: ignore[misc]
                for p in partials
            ]
        if type(partials) is not Selection:
            return [None] * len(operands)
        all_parts = lru_cache(1)(lambda g: partials.passed(g, *operands))  # each operand asks for the same gradient
        return [lambda g, k=k: all_parts(g)[k] for k in range(len(operands))]  # type: ignore[misc]

    def text(self, *operands: str) -> str:
        """Return the text of the operation applied to the operands' texts, as Python writes it.

        >>> from micrograd_cn import div, neg, tanh
        >>> div.text("a", "b"), neg.text("a"), tanh.text("x")
        ('a / b', '-a', 'tanh(x)')
        """
        symbol, precedence, _, text = self.notation
        if text:
            return text(*operands)
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
        import inspect  # importing it takes longer than the rest of the module

        parameters = inspect.signature(self.signature).parameters.values()
        return [p.default is p.empty for p in parameters].count(True) == 1
