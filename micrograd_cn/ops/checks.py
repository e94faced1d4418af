"""Check an `Op` when it is made, and what its functions return when it is used.

The error messages say how to write the `Op` instead.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from keyword import iskeyword
from typing import Any

from .number import number
from .options import write_instead

__all__ = ["RowError", "check_operand_count", "check_partial", "check_partials", "check_result", "check_row"]

CO_VARARGS = 4  # the flag in `co_flags` of a function that takes `*args`


class RowError(TypeError):
    """The function `forward` or a partial of an operation (an `Op`) returned something invalid, such as None.

    >>> from micrograd_cn import Op, Value
    >>> Op("own", lambda x: x * x, (lambda y, x: None,))(Value(1))
    Traceback (most recent call last):
    micrograd_cn.ops.checks.RowError: own: the partial of operand 0 returned None; is its `return` missing?
    """


def check_row(op: Any) -> None:
    """Check the arguments with which the operation `op` was made.

    Raises:
        TypeError: the name, `forward` or `partials` has the wrong type, or a partial does not take the result and the
            operands as arguments, or it seems to take the result last, since its first arguments have the names of the
            operands of `forward`.
        ValueError: the name is not an identifier; or `smoothness.domain` has more or fewer intervals than there are
            partials; or `arities` begins with a negative number, or contradicts the length of a tuple of partials.

    >>> from micrograd_cn import Op
    >>> Op("square", lambda x: x * x, (lambda y, x: 2.0 * x))  # doctest: +ELLIPSIS
    Traceback (most recent call last):
    TypeError: square: one function as partials makes an operation n-ary: ...
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
        raise ValueError(f"{name}: arities are numbers of operands, for an n-ary operation only; got {op.arities!r}")
    for function in functions:
        if function and not _accepts(function, op.arities):
            raise TypeError(f"{name}: {_required_form(op)}; {function!r} takes other arguments")
        operands, named = _argument_names(op.forward), _argument_names(function)
        if operands and named[:-1] == operands and named[-1] not in operands:
            raise TypeError(
                f"{name}: a partial takes the result and then the operands, but {function!r} has {operands[0]} first, "
                f"as forward has; write lambda {', '.join([named[-1], *operands])}: ..., or another name for the result"
            )


def _argument_names(function: Any) -> tuple[str, ...]:
    """Return the names of the positional arguments of a function that is written in Python; () for any other."""
    code = getattr(function, "__code__", None)
    return tuple(code.co_varnames[: code.co_argcount]) if code and not code.co_flags & CO_VARARGS else ()


def check_result(op: Any, y: object) -> float:
    """Return `y`, which the function `forward` of the operation `op` has returned, as a float.

    Raises:
        RowError: `y` is not a real number.
        OverflowError: `y` is an integer or a fraction that is too large for a float.

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
    except OverflowError as error:
        raise OverflowError(f"{op.name}: forward returned {error}") from None


def check_partials(op: Any, found: object, count: int) -> None:
    """Check `found`, which the function `partials` of the n-ary operation `op` has returned.

    An n-ary operation takes any number of operands.

    Raises:
        RowError: `found` is not a tuple with `count` items, one for each operand.
    """
    if not isinstance(found, tuple) or len(found) != count:
        raise RowError(f"{op.name}: for {_operands(str(count))}, partials returned {found!r}; {_required_form(op)}")


def check_partial(op: Any, slot: int, found: object) -> None:
    """Raise RowError if `found`, which the partial of `op` for the operand at index `slot` has returned, is None."""
    if found is None:
        raise RowError(f"{op.name}: the partial of operand {slot} returned None; is its `return` missing?")


def check_operand_count(op: Any, count: int) -> None:
    """Raise TypeError if the operation `op` does not take `count` operands.

    >>> from micrograd_cn import exp
    >>> exp(1, 2)
    Traceback (most recent call last):
    TypeError: exp() takes 1 operand, got 2
    """
    if count not in op.arities:
        write = write_instead(op.name, count=count)
        raise TypeError(f"{op.name}() takes {_operands(_in_words(op.arities))}, got {count}{write}")


def _accepts(function: Callable[..., Any], arities: Sequence[int]) -> bool:
    """Return whether `function` can be called with the result of an operation and n operands, for all n in `arities`.

    `function` is one of the operation's `partials`, or the one function that computes all partial derivatives. Also
    return True if `function` takes `*args`, or if its parameters cannot be read, as with a built-in function.
    """
    code = getattr(function, "__code__", None)
    if code is None or code.co_flags & CO_VARARGS:
        return True
    most = code.co_argcount - hasattr(function, "__self__")
    least = most - len(getattr(function, "__defaults__", None) or ())
    return all(least <= 1 + n <= most for n in arities)


def _required_form(op: Any) -> str:
    """Return a sentence, for an error message, that says how the partials of `op` must be written."""
    if op.arity is None:
        return (
            "one function as partials makes an operation n-ary: `lambda y, *xs: (...)` returns a tuple, with a "
            "derivative for each operand; for a fixed number of operands write a tuple of functions, "
            "`(lambda y, x: ...,)`"
        )
    return f"a partial takes the result and {_operands(str(op.arity))}"


def _operands(count: str) -> str:
    return f"{count} operand{'s' * (count != '1')}"


def _in_words(arities: Sequence[int]) -> str:
    """Return in words how many operands an operation takes, where `arities` has the possible counts.

    >>> _in_words((3,)), _in_words((2, 4)), _in_words(range(2, 9)), _in_words(range(1, sys.maxsize))
    ('3', '2 or 4', '2 to 8', 'at least 1')
    """
    if len(arities) < 3:
        return " or ".join(map(str, arities))
    return f"at least {arities[0]}" if arities[-1] == sys.maxsize - 1 else f"{arities[0]} to {arities[-1]}"
