"""`Op`, an operation y = f(x1, ..., xn): a name, the function f of floats, and its n partial derivatives."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Sequence
from functools import lru_cache
from typing import Any, Protocol, SupportsFloat, TypeAlias, TypeVar, overload

from .checks import check_operand_count, check_partial, check_partials, check_result, check_row
from .number import number
from .registry import Row
from .traits import REAL, Lowerings, Notation, Smoothness

__all__ = ["Op", "Recorder", "Selection"]


class Recorder(Protocol):
    """An operand that records the operations applied to it, as a `Value` does."""

    def _record(self, op: Any, operands: Any) -> Any:
        """Return the result of an operation that has this object among its operands."""


R = TypeVar("R", bound=Recorder)
Operand: TypeAlias = Recorder | SupportsFloat


class Selection:
    """The partial derivative with respect to an operand that an operation may leave unselected, as max(x, 0) does.

    An operand that was not selected gets nothing. It does not get the upstream gradient times 0, since 0 * inf is nan:
    the derivative of sqrt(max(x, 0)) at -1 is 0.

    Args:
        contribution: `(g, *operands) -> what the operand gets of the upstream gradient g`, written with `where`. For
            an n-ary operation it returns a tuple for all operands, with None for one that never gets anything.
        weight: the contribution of g = 1 for operands that are floats; None if the operand was not selected.

    >>> from micrograd_cn import relu
    >>> [passing] = relu.partials
    >>> passing(0.0, -1.0), passing.contribution(float("inf"), -1.0), passing(2.0, 2.0)
    (None, 0.0, 1.0)
    """

    __slots__ = ("contribution", "weight")

    def __init__(self, contribution: Callable[..., Any], weight: Callable[..., Any]) -> None:
        self.contribution = contribution
        self.weight = weight

    def __call__(self, y: Any, *operands: Any) -> Any:
        """Return the partial; of floats None if the operand was not selected."""
        for x in operands:
            if type(x) is not float:
                return self.contribution(1.0, *operands)
        return self.weight(*operands)


class Op(Row):
    """An operation; call it with numbers to get a float, or with `Value`s to record a node.

    A partial derivative is a function of the result y and the operands, written with operations of the table. Given
    floats, it returns the float that backward needs. Given `Value`s, it returns a `Value`, which can be differentiated
    again: derivatives of any order follow from the first ones.

    Args:
        name: an identifier, unique in the table.
        forward: f, from floats to a float. It must not raise on any floats, inf and nan included.
        partials: for each operand x, a function (y, x1, ..., xn) -> dy/dx. None says that dy/dx is 0 everywhere, so
            no gradient flows to this operand. A `Selection` stands for an operand that the operation may leave
            unselected. If `partials` is one function instead of a tuple, the operation is n-ary:
            it takes any number of operands, and the function returns a tuple of all partial derivatives.
        doc: what help() shows; by default this text.
        arities: the numbers of operands that an n-ary operation takes, as a range or a tuple; any by default.
        signature: a function from the arguments of a call to the tuple of operands, where these differ, because of
            a default or a sequence.
        notation: how it is written and drawn.
        smoothness: where it is smooth, and which derivative is chosen where it is not.
        lowerings: how other languages compute it.

    Raises:
        TypeError: the name, `forward` or `partials` has the wrong type, or a partial takes another number of arguments.
        ValueError: the name is not an identifier, or `domain` or `arities` do not fit the number of operands.

    >>> from micrograd_cn import Value
    >>> cube = Op("cube", lambda x: x * x * x, (lambda y, x: 3.0 * x * x,))
    >>> x = Value(2)
    >>> cube(x).backward()
    >>> cube(2), x.grad
    (8.0, 12.0)
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
        """Return y: a float if all operands are numbers, a recorded `Value` if one of them is a `Value`."""
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
            check_operand_count(self, len(operands))
        for x in operands:
            if type(x) is not float:
                break
        else:
            return self.forward(*operands)
        for x in operands:
            if hasattr(x, "_record"):  # a Value, which also keeps the operands that are numbers
                return x._record(self, operands)
        return self.forward(*map(number, operands))

    def evaluate(self, *operands: float) -> float:
        """Return f of floats, a float.

        Raises:
            RowError: `forward` did not return a real number.

        >>> Op("two", lambda x: 2, (None,)).evaluate(1.0)
        2.0
        """
        y = self.forward(*operands)
        return y if type(y) is float else check_result(self, y)

    def needed_partials(self, y: Any, operands: Sequence[Any], needed: Sequence[bool]) -> tuple[Any, ...]:
        """Return the partial derivatives of the operands for which `needed` is true; None for the other operands.

        An operand to which no gradient flows has None too. An n-ary operation computes all partials together, and
        returns all of them.

        Raises:
            RowError: the row's functions did not return a derivative for each operand.

        >>> from micrograd_cn import mul
        >>> mul.needed_partials(6.0, (2.0, 3.0), [True, False])
        (3.0, None)
        """
        if not isinstance(self.partials, tuple):
            found: tuple[float | None, ...] = self.partials(y, *operands)
            check_partials(self, found, len(operands))
            return found
        derivatives: list[Any] = []
        for partial, want in zip(self.partials, needed, strict=True):
            derivative = None
            if partial and want:
                derivative = partial(y, *operands)
                if derivative is None and type(partial) is not Selection:
                    check_partial(self, len(derivatives), derivative)
            derivatives.append(derivative)
        return tuple(derivatives)

    def local_derivatives(self, y: Any, *operands: Any) -> tuple[Any, ...]:
        """Return the partial derivatives of all operands; 0.0 for an operand to which no gradient flows.

        >>> from micrograd_cn import less, mul
        >>> mul.local_derivatives(6.0, 2.0, 3.0), less.local_derivatives(1.0, 2.0, 3.0)
        ((3.0, 2.0), (0.0, 0.0))
        """
        found = self.needed_partials(y, operands, [True] * len(operands))
        return tuple([0.0 if derivative is None else derivative for derivative in found])

    def propagates_gradient_to(self, slot: int) -> bool:
        """Return whether a gradient flows to operand number `slot`; it does not if dy/dx is 0 everywhere.

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
        """Return for each operand the function from an upstream gradient to its contribution; None for a plain product.

        The contribution is the float 0.0, or None, if the operand is never selected. For an operand whose partial is
        no `Selection`, it is the partial times the upstream gradient, and there is no function.

        >>> from micrograd_cn import where
        >>> none, chosen, other = where.selection((1.0, 2.0, 3.0))
        >>> none, chosen(5.0), other(5.0)
        (None, 5.0, 0.0)
        """
        partials = self.partials
        if isinstance(partials, tuple):
            return [
                (lambda g, p=p: p.contribution(g, *operands)) if type(p) is Selection else None  # type: ignore[misc]
                for p in partials
            ]
        if type(partials) is not Selection:
            return [None] * len(operands)
        of_all = lru_cache(1)(lambda g: partials.contribution(g, *operands))  # each operand asks for the same g
        return [lambda g, k=k: of_all(g)[k] for k in range(len(operands))]  # type: ignore[misc]

    def text(self, *operands: str) -> str:
        """Return the operation applied to the operands' texts, as Python code.

        >>> from micrograd_cn import div, neg, tanh
        >>> div.text("a", "b"), neg.text("a"), tanh.text("x")
        ('a / b', '-a', 'tanh(x)')
        """
        symbol, precedence, _, text, _ = self.notation
        if text:
            return text(*operands)
        if precedence:
            return f" {symbol} ".join(operands) if len(operands) > 1 else f"{symbol}{operands[0]}"
        return f"{self.name}({', '.join(operands)})"

    @property
    def unary(self) -> bool:
        """Return whether it can be called with one number, like an activation function.

        >>> from micrograd_cn import add, dot, elu, tanh
        >>> tanh.unary, elu.unary, add.unary, dot.unary
        (True, True, False, False)
        """
        if self.arity is None or self.signature is None:
            return self.arity == 1
        import inspect  # here, because importing it takes longer than the rest of the module

        parameters = inspect.signature(self.signature).parameters.values()
        return [p.default is p.empty for p in parameters].count(True) == 1
