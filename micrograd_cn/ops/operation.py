"""What a row of the operation table is: a name, the value and the partial derivatives, in mathematics and in calls."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any, SupportsFloat, TypeAlias, overload

from .checks import check_count, check_derivative, check_row, check_tuple
from .number import number
from .traits import REAL, Forms, Looks, Smooth, Traits

__all__ = ["Op"]

if TYPE_CHECKING:
    from ..engine import Value
    from ..graph.operators import Operators

Numbers: TypeAlias = "Value | SupportsFloat | Iterable[Value | SupportsFloat]"
Operand: TypeAlias = "Operators | SupportsFloat"


class Op(Traits):
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
        signature: call arguments to the flat tuple of operands, where these differ (defaults, sequences).
        looks: how it is written and drawn.
        smooth: where it is smooth, and what is agreed on where it is not.
        forms: how other languages compute it.

    Raises:
        TypeError: the name, `forward` or `partials` has the wrong type, or a partial takes another number of arguments.
        ValueError: the name is no identifier, or `domain` or `arities` are of another number of operands.

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
        looks: Looks = Looks(),  # noqa: B008 -- a tuple, which never changes
        smooth: Smooth = Smooth(),  # noqa: B008
        forms: Forms = Forms(),  # noqa: B008
    ) -> None:
        self.name = name
        self.forward = forward
        self.partials = partials
        self.doc = doc
        self.arity = len(partials) if isinstance(partials, tuple) else None
        self.arities = arities if len(arities) else range(sys.maxsize) if self.arity is None else (self.arity,)
        self.signature = signature
        self.looks = looks if looks.symbol else looks._replace(symbol=name)
        self.smooth = smooth if smooth.domain else smooth._replace(domain=(REAL,) * (self.arity or 1))
        self.forms = forms
        convention = f"\n\nBy convention: {smooth.convention}." if smooth.convention else ""
        self.__doc__ = doc + convention if doc else type(self).__doc__
        check_row(self)

    @overload  # narrower than the next, which a type checker need not be told
    def __call__(self, *args: SupportsFloat | Iterable[SupportsFloat], **options: SupportsFloat) -> float: ...  # type: ignore[overload-overlap]
    @overload
    def __call__(self, *args: Numbers, **options: Numbers) -> Value: ...
    @overload
    def __call__(self, *args: Operand | Iterable[Operand], **options: Operand) -> Any: ...
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
            check_count(self, len(operands))
        for x in operands:
            if type(x) is not float:
                break
        else:
            return self.forward(*operands)
        for x in operands:
            if hasattr(x, "_record"):  # a Value; numbers beside it become constants of its graph
                return x._record(self, operands)
        return self.forward(*map(number, operands))

    def needed(self, y: Any, operands: Sequence[Any], wanted: Sequence[bool]) -> tuple[Any, ...]:
        """Return the local derivatives that are wanted; None where one is not, and where no gradient flows.

        An n-ary operation gives all of them, since it computes them together.

        Raises:
            RowError: the row's functions did not give a derivative for each operand.

        >>> from micrograd_cn import mul
        >>> mul.needed(6.0, (2.0, 3.0), [True, False])
        (3.0, None)
        """
        if not isinstance(self.partials, tuple):
            found: tuple[float | None, ...] = self.partials(y, *operands)
            check_tuple(self, found, len(operands))
            return found
        derivatives: list[Any] = []
        for partial, want in zip(self.partials, wanted, strict=True):
            derivative = None
            if partial and want:
                derivative = partial(y, *operands)
                if derivative is None:
                    check_derivative(self, len(derivatives), derivative)
            derivatives.append(derivative)
        return tuple(derivatives)
