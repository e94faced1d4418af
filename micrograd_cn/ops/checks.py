"""What a row of the table must be: checked when it is made and when it is used, in words that show the right form."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from keyword import iskeyword
from typing import Any

from .number import number

__all__ = ["RowError", "check_count", "check_derivative", "check_result", "check_row", "check_tuple"]

CO_VARARGS = 4  # of a function's code: it takes any number of arguments


class RowError(TypeError):
    """A row's functions do not give what they must.

    >>> from micrograd_cn import Op, Value
    >>> Op("own", lambda x: x * x, (lambda y, x: None,))(Value(1))
    Traceback (most recent call last):
    micrograd_cn.ops.checks.RowError: own: the partial of operand 0 returned None; is its `return` missing?
    """


def check_row(op: Any) -> None:
    """Raise if an operation's name, functions or numbers of operands do not go together.

    Raises:
        TypeError: the name, `forward` or `partials` has the wrong type, or a partial takes another number of arguments.
        ValueError: the name is no identifier, or `domain` or `arities` are of another number of operands.

    >>> from micrograd_cn import Op
    >>> Op("square", lambda x: x * x, (lambda y, x: 2.0 * x))  # doctest: +ELLIPSIS
    Traceback (most recent call last):
    TypeError: square: one function as partials is that of an n-ary operation, ...
    """
    name, partials = op.name, op.partials
    if not isinstance(name, str):
        raise TypeError(f"an operation's name must be a str, got {name!r}")
    if not name.isidentifier() or iskeyword(name):
        raise ValueError(f"an operation's name must be an identifier, got {name!r}")
    if not callable(op.forward):
        raise TypeError(f"{name}: forward must be a function, got {op.forward!r}")
    functions = partials if isinstance(partials, tuple) else (partials,)
    if not functions or not all(p is None or callable(p) for p in functions) or partials is None:
        raise TypeError(f"{name}: partials must be a tuple of functions or one function, got {partials!r}")
    if len(op.smoothness.domain) != len(functions):
        raise ValueError(f"{name}: {len(functions)} partials but {len(op.smoothness.domain)} domain intervals")
    if op.arities[0] < 0 or (op.arity is not None and op.arities != (op.arity,)):
        raise ValueError(f"{name}: arities are numbers of operands, of an n-ary operation alone; got {op.arities!r}")
    for function in functions:
        if function and not _takes(function, op.arities):
            raise TypeError(f"{name}: {_form(op)}; {function!r} takes other arguments")


def check_result(op: Any, y: object) -> float:
    """Return what `forward` gave as a float.

    Raises:
        RowError: it is no real number.

    >>> from micrograd_cn import exp
    >>> check_result(exp, None)
    Traceback (most recent call last):
    micrograd_cn.ops.checks.RowError: exp: forward returned None, not a real number; is its `return` missing?
    """
    try:
        return number(y)
    except TypeError:
        hint = "; is its `return` missing?" if y is None else ""
        raise RowError(f"{op.name}: forward returned {y!r}, not a real number{hint}") from None


def check_tuple(op: Any, found: object, count: int) -> None:
    """Raise RowError if the one function of an n-ary operation did not return a derivative for each operand.

    >>> from micrograd_cn import sum
    >>> check_tuple(sum, (1.0, 1.0), 2)
    """
    if not isinstance(found, tuple) or len(found) != count:
        raise RowError(f"{op.name}: of {count} operands, its partials gave {found!r}; {_form(op)}")


def check_derivative(op: Any, slot: int, found: object) -> None:
    """Raise RowError if the partial of an operand returned nothing.

    >>> from micrograd_cn import mul
    >>> check_derivative(mul, 1, None)
    Traceback (most recent call last):
    micrograd_cn.ops.checks.RowError: mul: the partial of operand 1 returned None; is its `return` missing?
    """
    if found is None:
        raise RowError(f"{op.name}: the partial of operand {slot} returned None; is its `return` missing?")


def check_count(op: Any, count: int) -> None:
    """Raise TypeError if an operation does not take so many operands.

    >>> from micrograd_cn import exp
    >>> check_count(exp, 2)
    Traceback (most recent call last):
    TypeError: exp() takes 1 operands, got 2
    """
    if count not in op.arities:
        raise TypeError(f"{op.name}() takes {_counted(op.arities)} operands, got {count}")


def _takes(function: Callable[..., Any], operands: Sequence[int]) -> bool:
    """Return whether a partial can be called with the result and so many operands, as far as its code shows it."""
    code = getattr(function, "__code__", None)
    if code is None or code.co_flags & CO_VARARGS:
        return True
    most = code.co_argcount - hasattr(function, "__self__")
    least = most - len(getattr(function, "__defaults__", None) or ())
    return all(least <= 1 + n <= most for n in operands)


def _form(op: Any) -> str:
    """Return in words which partials an operation must have."""
    if op.arity is None:
        return (
            "one function as partials is that of an n-ary operation, `lambda y, *xs: (...)`, and returns a tuple, "
            "a derivative an operand; for a fixed number of operands write a tuple of functions, `(lambda y, x: ...,)`"
        )
    return f"a partial takes the result and {op.arity} operand{'s' * (op.arity != 1)}"


def _counted(arities: Sequence[int]) -> str:
    """Return numbers of operands in words.

    >>> _counted((3,)), _counted((2, 4)), _counted(range(2, 9)), _counted(range(1, sys.maxsize))
    ('3', '2 or 4', '2 to 8', 'at least 1')
    """
    if len(arities) < 3:
        return " or ".join(map(str, arities))
    return f"at least {arities[0]}" if arities[-1] == sys.maxsize - 1 else f"{arities[0]} to {arities[-1]}"
