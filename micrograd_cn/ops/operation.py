"""`Op`, an operation y = f(x1, ..., xn): a name, the function f of floats, and its n partial derivatives."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Sequence
from functools import lru_cache
from typing import Any, Protocol, SupportsFloat, TypeAlias, TypeVar, overload

from .checks import check_operand_count, check_partial, check_partials, check_result, check_row
from .number import is_array, number
from .options import AXES, refuse_rows, several_numbers, why_no_axis, write_instead
from .registry import Row
from .traits import REAL, Lowerings, Notation, Smoothness

__all__ = ["Op", "Recorder", "Selection"]


class Recorder(Protocol):
    """The type of an operand that records the operations that are applied to it, as a `Value` does."""

    def _record(self, op: Any, operands: Any) -> Any:
        """Apply `op` to `operands`, one of which is this object, and return the result.

        The result remembers how it was computed.
        """


R = TypeVar("R", bound=Recorder)
Operand: TypeAlias = Recorder | SupportsFloat


class Selection:
    """The partial derivative for an operand that an operation may leave unselected, such as x in max(x, 0).

    An operand that was not selected gets no gradient. The upstream gradient times 0 would be wrong, since 0 * inf is
    nan: in sqrt(max(x, 0)) at x = -1, the upstream gradient of max(x, 0) is inf, but the derivative is 0.

    Args:
        contribution: a function `(g, *operands)` that returns how much of the upstream gradient g the operand gets. It
            is written with `where`, so it can be differentiated. For an n-ary operation, which takes any number of
            operands, it returns a tuple with an item for each operand, in which None stands for an operand that never
            gets anything.
        weight: a function `(*operands)` of floats. It returns the factor by which g is multiplied, or None if the
            operand was not selected. For an n-ary operation, it returns a tuple with such a factor or None for each
            operand.

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
        """Return the partial derivative for the result y and these operands.

        If y and the operands are floats, this is a float, or None if the operand was not selected. Otherwise it is the
        contribution for the upstream gradient 1, which may be a `Value`. For an n-ary operation, it is a tuple with
        such an item for each operand.
        """
        return self.weight(*operands) if type(y) is float else self.contribution(1.0, *operands)


class Op(Row):
    """An operation; call it with numbers to get a float, or with `Value`s to record a node.

    A partial derivative is a function of the result y and the operands, written with other `Op`s. Given floats, it
    returns the float that backward needs. Given `Value`s, it returns a `Value`, which can be differentiated again. So
    derivatives of any order follow from the first ones.

    Args:
        name: an identifier, unique in the table of operations, which `define` adds an `Op` to.
        forward: the function f from floats to a float. It must not raise an error for any floats, inf and nan included.
            It must compute the same in each call, so pass random numbers as an operand. `compile` refuses an operation
            whose functions draw random numbers.
        partials: for each operand x, a function (y, x1, ..., xn) -> dy/dx. None says that dy/dx is 0 everywhere, so
            no gradient flows to this operand. A `Selection` stands in place of the function if the operation may leave
            the operand unselected, as max(x, 0) may leave x. If `partials` is one function instead of a tuple, the
            operation is n-ary: it takes any number of operands, and the function returns a tuple of all partial
            derivatives.
        doc: the text that help() shows; by default, the documentation of the class `Op`.
        arities: how many operands an n-ary operation takes, as a range or a tuple of ints; by default, any number.
        signature: a function that takes the arguments of a call, and returns the tuple of operands. It is needed only
            if the arguments are not the operands, because one has a default value or is a sequence of operands.
        notation: how the operation is written and drawn.
        smoothness: where the operation is smooth, and which derivative is chosen where it is not.
        lowerings: how other languages compute the operation.

    Attributes:
        selects: whether the operation selects some of its operands, as `maximum` does, and passes no gradient to the
            others.

    Raises:
        TypeError: the name, `forward` or `partials` has the wrong type, or a partial does not take the result and the
            operands as arguments.
        ValueError: the name is not an identifier; or `smoothness.domain` has more or fewer intervals than there are
            partials; or `arities` begins with a negative number, or contradicts the length of a tuple of partials.

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
        self.selects = Selection in map(type, partials if isinstance(partials, tuple) else (partials,))
        convention = f"\n\nBy convention: {smoothness.convention}." if smoothness.convention else ""
        self.__doc__ = doc + convention if doc else type(self).__doc__
        check_row(self)

    # Mixed lists such as sum([x, 2]) need the third overload: a type checker cannot find R in their elements.
    @overload
    def __call__(self, *args: SupportsFloat | Iterable[SupportsFloat], **options: SupportsFloat) -> float: ...  # type: ignore[overload-overlap]
    @overload
    def __call__(self, *args: R | SupportsFloat | Iterable[R | SupportsFloat], **options: R | SupportsFloat) -> R: ...
    @overload
    def __call__(self, *args: Operand | Iterable[Operand], **options: Operand) -> Any: ...  # type: ignore[overload-cannot-match]
    def __call__(self, *args: Any, **options: Any) -> Any:
        """Return the result: a float if all operands are numbers, a recorded `Value` if one of them is a `Value`.

        If an operand is a numpy array, whose elements may be numbers or `Value`s, return an array with the result for
        each element. The operands are `args`, unless the operation has a `signature`: this function takes `args` and
        `options`, and returns the operands.
        """
        if self.signature is None:
            if options:
                write = write_instead(self.name, options)
                raise TypeError(f"{self.name}() takes no keyword arguments, got {', '.join(options)}{write}")
            operands = args
        else:
            try:
                operands = self.signature(*args, **options)
            except TypeError as error:
                raise TypeError(f"{self.name}(): {_wrong_call(self, args, options) or error}") from error
        if len(operands) not in self.arities:
            check_operand_count(self, len(operands))
        for x in operands:
            if type(x) is not float:
                break
        else:
            return self.forward(*operands)
        try:
            for x in operands:
                if hasattr(x, "_record"):  # a Value, which records all operands, plain numbers too
                    return x._record(self, operands)
            return self.forward(*map(number, operands))
        except TypeError:
            if self.arity is None and _takes_one_list(self):
                refuse_rows(self.name, operands)
            if self.arity is None or not any(map(is_array, operands)):
                raise
            return self._of_elements(operands)

    def _of_elements(self, operands: Sequence[Any]) -> Any:
        """Return an array with the result for each element of the operands, some of which are numpy arrays.

        The operands are broadcast to one shape. The array has floats if all results are floats, and otherwise objects.
        """
        import numpy as np  # it has made one of the arrays

        boxed = []
        for x in operands:
            if hasattr(x, "_record"):  # numpy would look for methods of a Value, but not of the element of an array
                boxed.append(np.empty((), object))
                boxed[-1][()] = x
            else:
                boxed.append(x)
        with np.errstate(all="ignore"):  # a comparison of nan would give a warning
            found: Any = np.frompyfunc(self, len(operands), 1)(*boxed)
        if (
            first := next((x for a in boxed for x in getattr(a, "flat", ()) if hasattr(x, "_record")), None)
        ) is not None:
            first._noted_in_array(sys._getframe(2))
        is_of_floats = all(type(x) is float for x in found.flat)
        return np.array(found, dtype=np.float64) if is_of_floats else found

    def evaluate(self, *operands: float) -> float:
        """Return the value of the operation for `operands`, as a float even if `forward` returns an int.

        Raises:
            RowError: `forward` did not return a real number.

        >>> Op("two", lambda x: 2, (None,)).evaluate(1.0)
        2.0
        """
        y = self.forward(*operands)
        return y if type(y) is float else check_result(self, y)

    def needed_partials(self, y: Any, operands: Sequence[Any], needed: Sequence[bool]) -> tuple[Any, ...]:
        """Return dy/dx for each operand x for which `needed` is true, and None for the other operands.

        None also stands for an operand to which no gradient flows. An n-ary operation, which takes any number of
        operands, computes all partials together, so all of them are returned, whatever `needed` says.

        Args:
            y: the result of the operation for these operands.
            operands: floats, or `Value`s to get derivatives that can be differentiated again.
            needed: a bool for each operand.

        Raises:
            RowError: the functions in `partials` did not return a derivative for each operand.

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
        """Return dy/dx for every x in `operands`, or 0.0 for an operand to which no gradient flows. `y` is the result.

        >>> from micrograd_cn import less, mul
        >>> mul.local_derivatives(6.0, 2.0, 3.0), less.local_derivatives(1.0, 2.0, 3.0)
        ((3.0, 2.0), (0.0, 0.0))
        """
        found = self.needed_partials(y, operands, [True] * len(operands))
        return tuple([0.0 if derivative is None else derivative for derivative in found])

    def propagates_gradient_to(self, slot: int) -> bool:
        """Return whether a gradient can flow to the operand at index `slot`; it cannot if dy/dx is 0 everywhere.

        >>> from micrograd_cn import where
        >>> [where.propagates_gradient_to(slot) for slot in range(3)]
        [False, True, True]
        """
        if isinstance(self.partials, tuple):
            return self.partials[slot] is not None
        return slot > 0 or not self.lowerings.is_gather

    @property
    def is_step(self) -> bool:
        """Whether the operation is a step function, such as a comparison, so no gradient flows to any operand.

        >>> from micrograd_cn import less, mul
        >>> less.is_step, mul.is_step
        (True, False)
        """
        return isinstance(self.partials, tuple) and bool(self.partials) and not any(self.partials)

    def may_leave_out(self, slot: int) -> bool:
        """Return whether the operation may leave the operand at index `slot` unselected, so that it gets no gradient.

        This is so if its partial is a `Selection`.

        >>> from micrograd_cn import where
        >>> [where.may_leave_out(slot) for slot in range(3)]
        [False, True, True]
        """
        partial = self.partials[slot] if isinstance(self.partials, tuple) else self.partials
        return type(partial) is Selection

    def selection(self, operands: Sequence[Any]) -> list[Callable[[Any], Any] | None]:
        """Return a list of functions, one for each operand: from the upstream gradient to the operand's gradient.

        For an operand whose partial is not a `Selection`, the list has None instead of a function; such an operand gets
        the partial times the upstream gradient. A function returns the float 0.0 or None if its operand gets no
        gradient whatever numbers the `Value`s in `operands` have, for example because a constant condition never
        selects it.

        >>> from micrograd_cn import where
        >>> none, chosen, other = where.selection((1.0, 2.0, 3.0))
        >>> none, chosen(5.0), other(5.0)
        (None, 5.0, 0.0)
        """
        partials = self.partials
        if isinstance(partials, tuple):

            def of_one(selection: Selection) -> Callable[[Any], Any]:
                return lambda g: selection.contribution(g, *operands)

            return [of_one(partial) if type(partial) is Selection else None for partial in partials]
        if type(partials) is not Selection:
            return [None] * len(operands)
        of_all = lru_cache(1)(lambda g: partials.contribution(g, *operands))  # called with the same g for every operand

        def in_slot(slot: int) -> Callable[[Any], Any]:
            return lambda g: of_all(g)[slot]

        return [in_slot(slot) for slot in range(len(operands))]

    def text(self, *operands: str) -> str:
        """Return Python code for the operation. `operands` has the code of each operand.

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
        """Whether the operation can be called with one operand, like an activation function.

        >>> from micrograd_cn import add, dot, elu, tanh
        >>> tanh.unary, elu.unary, add.unary, dot.unary
        (True, True, False, False)
        """
        if self.arity is None or self.signature is None:
            return self.arity == 1
        import inspect  # imported here, because this takes longer than importing the rest of the module

        parameters = inspect.signature(self.signature).parameters.values()
        return [p.default is p.empty for p in parameters].count(True) == 1


def _takes_one_list(op: Op) -> bool:
    """Return whether the n-ary operation `op` is called with a list of all operands, as `sum(xs)` is."""
    code, defaults = getattr(op.signature, "__code__", None), getattr(op.signature, "__defaults__", None) or ()
    return code is not None and code.co_argcount - len(defaults) == 1


def _wrong_call(op: Op, args: tuple[Any, ...], options: Iterable[str]) -> str:
    """Return the end of the error message for a wrong call of `op`: what to write instead; "" if that is not known.

    `op` is an operation that has a `signature`. The call had the arguments `args` and the options `options`.
    """
    for axis in AXES:
        if axis in options and op.arity is None:
            return why_no_axis(op.name, axis)
    code, defaults = getattr(op.signature, "__code__", None), getattr(op.signature, "__defaults__", None) or ()
    if code is None:
        return ""
    names = code.co_varnames[: code.co_argcount]
    required = names[: len(names) - len(defaults)]
    if op.arity is None and len(required) == 1 and (write := several_numbers(op.name, args)):
        return write
    unknown = [option for option in options if option not in names]
    missing = [name for name in required[len(args) :] if name not in options]
    if not (unknown or missing):
        return ""  # the error is about an argument, or there are too many of them
    if unknown:
        what = f"there is no {unknown[0]}"
    else:
        what = f"the argument {missing[0]} is missing"
        if len(missing) > 1:
            what = f"the arguments {' and '.join(missing)} are missing"
    return f"{what}; write {op.name}({', '.join(names)})"
