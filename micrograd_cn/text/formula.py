"""Formulas: what an operation computes, as a tree of other operations, with symbols (`Term`s) in place of operands.

A function that is written with this package's operations, such as `lambda x: x * tanh(x)`, accepts any type that these
operations accept. Called with a `Term` for each operand, it returns a formula instead of a number. The HTML page prints
formulas as JavaScript, and the compiler turns them into machine code.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from contextvars import ContextVar
from functools import reduce
from math import isclose
from operator import add
from typing import Any, NamedTuple, NoReturn, Self, TypeAlias, TypeVar

from ..graph.callers import PACKAGE
from ..graph.handlers import catching_place
from ..graph.operators import Operators
from ..ops.checks import RowError
from ..ops.number import number
from ..ops.operation import Op
from ..ops.registry import is_known

__all__ = [
    *(
        "FUNCTIONS_INSTEAD",
        "RAISED",
        "FormulaError",
        "FormulaSteps",
        "OtherForFloats",
        "Term",
        "call_with_terms",
        "expand",
    ),
    *("formula_steps", "remembered", "trace"),
]

T = TypeVar("T")

# What to write for functions that take numbers alone
FUNCTIONS_INSTEAD = (
    "micrograd_cn's functions, such as exp(x) for math.exp(x), and (x + 0.5).floor(), which rounds halves up, for "
    "round(x)"
)
# The errors that Python's operators raise for floats, where machine code and other languages give inf or nan
RAISED = {"div": (ZeroDivisionError,), "remainder": (ZeroDivisionError,), "pow": (ZeroDivisionError, OverflowError)}
RAISED_INSTEAD = {
    ZeroDivisionError: "where(equal(y, 0.0), a, div(x, y)) for an a in the place of x / 0",
    OverflowError: "where(less(abs(x), 1e100), pow(x, y), a) for an a in the place of x ** y that overflows",
}
# While `call_with_terms` runs, the list of the errors that terms have raised; otherwise None
_refusals: ContextVar[list[TypeError] | None] = ContextVar("micrograd_cn_refusals", default=None)
# While `call_with_terms` calls a user's function, its argument `raising`; otherwise None
_raising: ContextVar[list[Term] | None] = ContextVar("micrograd_cn_raising", default=None)


EXAMPLES = 0.625, -1.25, 3.0, 1000.0  # numbers for which a formula is compared with the function it was traced from


class FormulaError(TypeError):
    """An error for a function that is not written with this package's operations alone, so it gives no formula.

    >>> import math
    >>> from micrograd_cn import Op
    >>> expand(Op("own_sine", math.sin, (lambda y, x: math.cos(x),)), Term("x"))  # doctest: +ELLIPSIS
    Traceback (most recent call last):
    micrograd_cn.text.formula.FormulaError: the operation 'own_sine' is not written in the table's operations, ...
    """


def call_with_terms(function: Callable[..., T], *operands: Any, raising: list[Term] | None = None) -> T:
    """Return `function(*operands)`. An error that a `Term` raises in the call is raised even if `function` catches it.

    If there are several such errors, the first one is raised.

    Args:
        function: the function to call.
        operands: its arguments.
        raising: a list for a user's function. The call adds each term to it for which Python's operator raises an error
            for some floats, as x / y does where y is 0. None for the package's own functions, which are not checked.

    Raises:
        FormulaError: the function has done something with a term that no formula can show; or `raising` is a list, and
            the function would catch an error that Python's operator raises for some floats.
    """
    refused: list[TypeError] = []
    token, raising_token = _refusals.set(refused), _raising.set(raising)
    try:
        found = function(*operands)
    finally:
        _refusals.reset(token)
        _raising.reset(raising_token)
    if refused:
        raise refused[0]
    return found


def remembered(error: TypeError) -> TypeError:
    """Return `error`, and store it for `call_with_terms`, which raises it even if the called function has caught it."""
    refused = _refusals.get()
    if refused is not None:
        refused.append(error)
    return error


class OtherForFloats(FormulaError):
    """An error for a function that computes something else for floats than the formula that it gives for terms.

    The function catches an error that only floats raise, or asks for a type. Called with `Value`s, it would give a
    wrong graph.
    """


class Term(Operators):
    """A symbol that stands for an operand, or an operation applied to such symbols.

    Raises:
        FormulaError: the term is compared, or used as a condition or as a key, so the result would depend on the
            operand's number.
        TypeError: the term is converted to a number.

    >>> x = Term("x")
    >>> str(x * x + 1)
    'add(mul(x, x), 1.0)'
    """

    __slots__ = ("name", "op", "operands")

    def __init__(self, name: str = "", op: Op | None = None, operands: tuple[Term | float, ...] = ()) -> None:
        self.name = name
        self.op = op
        self.operands = operands

    @staticmethod
    def _record(op: Op, operands: tuple[Any, ...]) -> Term:
        return Term("", op, tuple([x if isinstance(x, Term) else number(x) for x in operands]))

    def __truediv__(self, other: Any) -> Self:
        return _noted(super().__truediv__(other))

    def __rtruediv__(self, other: Any) -> Self:
        return _noted(super().__rtruediv__(other))

    def __mod__(self, other: Any) -> Self:
        return _noted(super().__mod__(other))

    def __rmod__(self, other: Any) -> Self:
        return _noted(super().__rmod__(other))

    def __pow__(self, other: Any, modulus: None = None) -> Self:
        return _noted(super().__pow__(other, modulus))

    def __rpow__(self, other: Any, modulus: None = None) -> Self:
        return _noted(super().__rpow__(other, modulus))

    def _branch(self, *_: object) -> NoReturn:
        message = (
            "a formula may not branch on an operand's number; use where(), less() or less_equal(), and maximum() and "
            "minimum() for max() and min()"
        )
        raise remembered(FormulaError(message))

    __bool__ = __lt__ = __le__ = __gt__ = __ge__ = __eq__ = __ne__ = _branch

    def __hash__(self) -> int:
        """Return the hash by identity to code of this package, and raise FormulaError for any other caller.

        If a formula looked its operand up in a dict or a set, its result would depend on the operand's value.
        """
        if sys._getframe(1).f_code.co_filename.startswith(PACKAGE):
            return object.__hash__(self)
        raise remembered(
            FormulaError("a formula may not look an operand's number up in a dict or a set; use where() and equal()")
        )

    def _convert(self, *_: object) -> NoReturn:
        raise remembered(TypeError("must be real number, not Term"))

    __float__ = __int__ = __complex__ = __trunc__ = __round__ = _convert
    __divmod__ = __rdivmod__ = _convert
    is_integer = as_integer_ratio = hex = _convert

    def _floor_division(self, *_: object) -> NoReturn:
        raise remembered(TypeError("x // y takes numbers; write (x / y).floor()"))

    __floordiv__ = __rfloordiv__ = _floor_division

    def __format__(self, spec: str) -> str:
        return self._convert() if spec else str(self)

    def __str__(self) -> str:
        return f"{self.op.name}({', '.join(map(str, self.operands))})" if self.op else self.name


def _noted(x: T) -> T:
    """Return `x`, the result of an operator that raises an error for some floats.

    Raises:
        FormulaError: the code that applies the operator would catch the error that the operator raises for such floats.
    """
    raising = _raising.get()
    if raising is None or not isinstance(x, Term) or x.op is None or x.op.name not in RAISED:
        return x
    errors, right = RAISED[x.op.name], x.operands[1]
    if isinstance(right, float) and (0.0 <= right <= 1.0 if OverflowError in errors else right):
        return x  # such as x / 2 and x ** 0.5
    for error in errors:
        if place := catching_place(sys._getframe(2), error):
            raise remembered(
                OtherForFloats(
                    f"{place}: for some numbers this raises {error.__name__}, which the code catches, but machine code "
                    f"and other languages give inf or nan; write {RAISED_INSTEAD[error]}, with functions of "
                    "micrograd_cn"
                )
            )
    raising.append(x)
    return x


def trace(function: Callable[..., Any], *operands: Term | float, of: Op) -> Any:
    """Return the formula that `function` computes from `operands`: a `Term`, a float, or a tuple of these.

    The function of a user's operation is called twice, since it may draw random numbers or change a variable. It is
    also called with a few example numbers, since it may do something else for floats.

    Raises:
        FormulaError: the function is not written with this package's operations alone, two calls return different
            formulas, or the formula does not give the function's results for numbers. The message names `of`, the
            operation that the function belongs to.

    >>> from micrograd_cn import tanh
    >>> [str(p) for p in trace(tanh.local_derivatives, Term("y"), Term("x"), of=tanh)]
    ['mul(sech(x), sech(x))']
    """
    try:
        if is_known(of):
            return call_with_terms(function, *operands)
        found = call_with_terms(function, *operands, raising=[])
        _check_repeatable(operands, found, call_with_terms(function, *operands, raising=[]))
        _check_numbers(function, operands, found)
        return found
    except FormulaError as error:
        raise type(error)(f"the operation {of.name!r}: {error}") from None
    except RowError:
        raise
    except (TypeError, AttributeError) as error:  # math.sin(term), term.is_integer()
        raise FormulaError(
            f"the operation {of.name!r} is not written in the table's operations, as other languages need it: {error}; "
            f"write {FUNCTIONS_INSTEAD}"
        ) from error


def _check_repeatable(operands: Sequence[Term | float], *found: Any) -> None:
    """Raise FormulaError if the formulas in `found`, which two calls of a function returned for `operands`, differ."""
    formulas = [x if isinstance(x, tuple) else (x,) for x in found]
    if not all(isinstance(x, (Term, float, int)) for formula in formulas for x in formula):
        return  # the caller refuses what is no formula
    first, second = [
        [text for op, used in steps for text in (op.name, *map(repr, used))] + [*map(repr, results)]
        for steps, results in [formula_steps(operands, formula) for formula in formulas]
    ]
    if first != second:
        a, b = next(((a, b) for a, b in zip(first, second, strict=False) if a != b), ("", ""))
        numbers = f", with {a} where the next call has {b}" if "." in a and "." in b else ""
        raise FormulaError(
            f"it computes something else in each call{numbers}; pass what changes from call to call, such as a random "
            "number, as an operand"
        )


def _check_numbers(function: Callable[..., Any], operands: Sequence[Term | float], found: Any) -> None:
    """Raise FormulaError if a formula does not give the results of the function from which it was traced.

    Both are computed for a few example numbers, and must be equal up to rounding. Examples for which the function
    raises an error are left out. `found` is the formula, or a tuple of formulas, for the `operands`.
    """
    formulas = found if isinstance(found, tuple) else (found,)
    if not all(isinstance(x, (Term, float, int)) for x in formulas):
        return  # the caller refuses what is no formula
    steps = formula_steps(operands, formulas)
    for example in EXAMPLES:
        numbers = [example + 0.375 * k if isinstance(x, Term) else x for k, x in enumerate(operands)]
        try:
            theirs = function(*numbers)
            theirs = [*map(float, theirs if isinstance(theirs, tuple) else (theirs,))]
            ours = steps.run(numbers, lambda op, xs: op.forward(*xs), float)
        except Exception:  # whatever a user's function raises for these numbers, which may be outside of its domain
            continue
        for x, y in zip(ours, theirs, strict=False):
            if not isclose(x, y, rel_tol=1e-9, abs_tol=1e-12) and (x == x or y == y):
                raise OtherForFloats(
                    f"it gives {y!r} for {', '.join(map(repr, numbers))}, but {x!r} for a symbol in the place of a "
                    "number; write where() for a branch by the type or the text of a number, and float(c) for a c of "
                    "numpy's type float32"
                )


def expand(op: Op, *operands: Term | float) -> Any:
    """Return the value of the operation `op` for `operands`, as a formula of simpler operations.

    The formula is what the function `op.lowerings.formula` returns. If there is no such function, it is the sum of the
    products and terms that `op.lowerings.summands` returns. If there is neither, it is what `op.forward` returns.

    Raises:
        FormulaError: the function that is called is not written with this package's operations alone.

    >>> from micrograd_cn import relu
    >>> str(expand(relu, Term("x")))
    'where(less(x, 0.0), 0.0, x)'
    """
    if op.lowerings.summands and not op.lowerings.formula:
        pairs, terms = op.lowerings.summands(*operands)
        return reduce(add, [*terms, *(a * b for a, b in pairs)], 0.0)
    return trace(op.lowerings.formula or op.forward, *operands, of=op)


Operand: TypeAlias = int | float


class FormulaSteps(NamedTuple):
    """The steps that compute formulas: each step is one operation, and the list has them in the order of computation.

    An operand or a result is either a constant, which is a float, or an index, which is an int. With n inputs, the
    indices 0 to n - 1 stand for the inputs, n for the result of the first step, and so on.

    Attributes:
        steps: for each step, a tuple of an operation and the list of its operands.
        results: for each formula, its result: an index or a constant.

    >>> from micrograd_cn import add
    >>> FormulaSteps([(add, [0, 1])], [2])  # x0 + x1
    FormulaSteps(steps=[(<operation add>, [0, 1])], results=[2])
    """

    steps: list[tuple[Op, list[Operand]]]
    results: list[Operand]

    def run(self, inputs: Sequence[T], apply: Callable[[Op, list[T]], T], constant: Callable[[float], T]) -> list[T]:
        """Return the results of the formulas for `inputs`, which may be numbers, instructions or text, for example.

        Args:
            inputs: the objects to use for the operands of the formulas, in order.
            apply: a function that returns the result of an operation for a list of operands.
            constant: a function that returns what stands for a constant of the formulas.

        >>> from micrograd_cn import add
        >>> steps = FormulaSteps([(add, [0, 1]), (add, [2, 1.0])], [3])  # x0 + x1 + 1
        >>> steps.run([2.0, 3.0], lambda op, xs: op.forward(*xs), float)
        [6.0]
        >>> steps.run(["a", "b"], lambda op, xs: op.text(*xs), str)
        ['a + b + 1.0']
        """
        values = list(inputs)

        def value_of(x: Operand) -> T:
            return values[x] if isinstance(x, int) else constant(x)

        for op, operands in self.steps:
            values.append(apply(op, [value_of(x) for x in operands]))
        return [value_of(x) for x in self.results]

    def of_result(self, k: int, inputs: int) -> FormulaSteps:
        """Return a `FormulaSteps` with the one result `results[k]` and only the steps that it needs.

        `inputs` is the number of inputs. The returned `FormulaSteps` has the same inputs.

        >>> from micrograd_cn import add, exp
        >>> FormulaSteps([(exp, [0]), (add, [0, 2.0])], [1, 2]).of_result(1, inputs=1)
        FormulaSteps(steps=[(<operation add>, [0, 2.0])], results=[1])
        """
        result = self.results[k]
        needed = {result} if isinstance(result, int) else set()
        for i, (_, operands) in reversed([*enumerate(self.steps, inputs)]):
            if i in needed:
                needed.update([x for x in operands if isinstance(x, int)])  # the constant 2.0 is no index
        index = {i: i for i in range(inputs)}
        steps: list[tuple[Op, list[Operand]]] = []
        for i, (op, operands) in enumerate(self.steps, inputs):
            if i in needed:
                index[i] = inputs + len(steps)
                steps.append((op, [index[x] if isinstance(x, int) else x for x in operands]))
        return FormulaSteps(steps, [index[result] if isinstance(result, int) else result])


def formula_steps(inputs: Sequence[Term | float], results: Sequence[Any]) -> FormulaSteps:
    """Return the steps that compute formulas: a list of operations in the order of computation.

    A `Term` object that several formulas contain is computed once. Two equal terms that are different objects are
    computed twice.

    Args:
        inputs: the terms that stand for the operands of the formulas. An item that is a float is in no formula, but
            takes up an index, so the indices of the other inputs are their positions in this list.
        results: the formulas, each a term or a number.

    >>> from micrograd_cn import exp
    >>> x = Term("x")
    >>> formula_steps([x], [exp(x) * exp(x), 2.0])
    FormulaSteps(steps=[(<operation exp>, [0]), (<operation exp>, [0]), (<operation mul>, [1, 2])], results=[3, 2.0])
    """
    number_of: dict[int, int] = {id(t): i for i, t in enumerate(inputs) if isinstance(t, Term)}
    steps: list[tuple[Op, list[Operand]]] = []
    stack = [t for t in reversed(results) if isinstance(t, Term)]
    while stack:
        term = stack[-1]
        if id(term) in number_of:
            stack.pop()
            continue
        waiting = [t for t in reversed(term.operands) if isinstance(t, Term) and id(t) not in number_of]
        if waiting:
            stack += waiting
            continue
        assert term.op is not None
        number_of[id(term)] = len(inputs) + len(steps)
        steps.append((term.op, [number_of[id(t)] if isinstance(t, Term) else t for t in term.operands]))
        stack.pop()
    return FormulaSteps(steps, [number_of[id(t)] if isinstance(t, Term) else float(t) for t in results])
