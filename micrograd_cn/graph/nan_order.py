"""Find the result of a comparison with nan that makes numpy treat nan in an array of `Value`s as in one of floats.

In Python, a comparison with nan is False, and `max` and `sorted` rely on that. numpy treats nan as the largest float
when it sorts, and the result of `np.maximum` is nan if one of the operands is. It implements this for floats alone. For
objects it relies on their comparisons: `np.sort` and the like ask a < b and then a > b, `np.argmax` asks a > b,
`np.argmin` asks a < b, `np.maximum` chooses a if a >= b, and `np.minimum` chooses a if a <= b. So the result of a
comparison depends on the function that compares. If `callers` cannot find out which function this is, the comparison
raises an error.
"""

from __future__ import annotations

import sys
from types import FrameType
from typing import Any

from .callers import NOT_NUMPY, Question, asked_by, called_function, is_numpys_code, local_variables
from .plain_numbers import FOR_NUMPY

__all__ = ["asks_for_nan", "holds_with_nan"]

# The numpy functions and methods that order elements
ORDERS = {"sort", "argsort", "partition", "argpartition", "lexsort", "searchsorted", "argmax", "argmin"}
MAX_ORDERED = 1000  # the elements of a larger array are not looked at, since each comparison with nan looks at them all
# The numpy functions that choose one of two elements
EXTREMA = {"maximum": "max", "fmax": "fmax", "minimum": "min", "fmin": "fmin", "clip": "both"}


def asks_for_nan(symbol: str, caller: FrameType) -> bool:
    """Return whether a comparison that was False for two numbers may be True where one of the operands is nan.

    It may if a numpy function such as `np.sort` compares, or if it is not known which function compares.

    Args:
        symbol: the sign of the comparison: "<", "<=", ">" or ">=".
        caller: the frame in which the comparison, or the function that compares, is called.
    """
    question = asked_by(caller)
    return not question.is_known or question.name in (ORDERS if symbol in ("<", ">") else EXTREMA)


def holds_with_nan(symbol: str, a: Any, b: Any, x: float, y: float, caller: FrameType) -> bool:
    """Return the result of a comparison in which one of the numbers is nan.

    It is False, as for floats, unless a numpy function compares, such as `np.sort`. Then it is the result that makes
    the numpy function treat nan as it does in an array of floats.

    Args:
        symbol: the sign of the comparison: "<", "<=", ">" or ">=".
        a: the `Value` whose method Python has called.
        b: the other operand.
        x: the number of a.
        y: the number of b.
        caller: the frame in which the comparison, or the function that compares, is called.

    Raises:
        ValueError: it is not known which function compares, or numpy orders the elements for a median or a quantile,
            or two of the elements that `np.unique` orders are nan, or `np.clip` compares `Value`s and numbers.
    """
    question = asked_by(caller)
    if question is NOT_NUMPY:
        return False
    if symbol in ("<", ">"):
        return _sorts_nan(question, symbol, b, x, y, caller)
    kind = EXTREMA.get(question.name, "")
    if not kind:
        _refuse_unknown(question)
        return False
    if kind == "both":
        _check_clip(a, b, caller)
    direct = kind == "both" or symbol == (">=" if kind.endswith("max") else "<=")
    first, second = (x, y) if direct else (y, x)
    decisive = second if kind.startswith("f") else first
    return decisive != decisive


def _sorts_nan(question: Question, symbol: str, b: Any, x: float, y: float, caller: FrameType) -> bool:
    """Return the result of x < y or x > y, where at least one of the two numbers is nan.

    If numpy compares, it sorts nan to the end by these results, and `np.argmax` and `np.argmin` return the index of the
    first nan. Otherwise the result is False, as for floats.

    Args:
        question: which function compares.
        symbol: the sign of the comparison, "<" or ">".
        b: the operand whose number is y, a `Value` or a plain number.
        x: the number on the left.
        y: the number on the right.
        caller: the frame in which the comparison, or the function that compares, is called.

    Raises:
        ValueError: it is not known which function compares, or numpy would not recognise nan, as for a median.
    """
    name = question.name
    is_list = name == "sort" and not question.is_known and symbol == "<"  # sort() of a list never asks for x > y
    if is_list:
        return False
    if name not in ORDERS:
        _refuse_unknown(question)
        return False
    if name == "sort" and not question.is_known:
        raise ValueError(
            "x.sort() of Values among which is nan, where x is an expression: numpy and Python order nan in different "
            "ways; give x a name, or write np.sort(x)"
        )
    _refuse_functions(x != x and y != y, caller)
    if not hasattr(b, "_data"):
        _refuse_mixed(name, caller)
    later, earlier = (y, x) if (symbol == "<") is (name != "argmin") else (x, y)
    return later != later and earlier == earlier


def _refuse_mixed(name: str, caller: FrameType) -> None:
    """Raise ValueError if numpy orders an array that has Values, nan as a plain number, and another plain number.

    Python compares the two plain numbers, and says that neither is less than the other. `name` is the numpy function,
    such as "sort", and `caller` is the frame that calls it.
    """
    x = getattr(called_function(caller), "__self__", None)
    if not isinstance(x, sys.modules["numpy"].ndarray) or not x.dtype.hasobject or x.size > MAX_ORDERED:
        return
    numbers = [item for item in x.flat if not hasattr(item, "_data")]
    if len({item == item for item in numbers}) == 2:
        raise ValueError(
            f"np.{name}() of Values and plain numbers, among which is nan: Python compares two plain numbers, and "
            "finds no order of nan; write Value(y, requires_grad=False) for each plain number y"
        )


def _refuse_unknown(question: Question) -> None:
    """Raise ValueError if `question` says that it is not known which function compares.

    numpy and Python treat nan differently, so the result of the comparison would not be known either.
    """
    if not question.is_known:
        raise ValueError(
            "a comparison of Values with nan by a function that is not called by its name: numpy and Python treat nan "
            "in different ways; write the name, as in np.argmax(x), x.argmax(), np.maximum(x, y), max(xs) or sorted(xs)"
        )


def _refuse_functions(both: bool, caller: FrameType) -> None:
    """Raise an error if numpy orders elements, one of which is nan, for `np.median`, a quantile or `np.unique`.

    These numpy functions recognise nan only in arrays of floats. `np.unique` is refused only if `both` is true: if
    both elements that are compared are nan. `caller` is the frame that orders the elements.
    """
    frame: FrameType | None = caller
    while frame and (is_numpys_code(frame) or frame.f_code.co_filename in FOR_NUMPY):
        name = frame.f_code.co_name
        if name in ("median", "quantile", "percentile"):
            raise ValueError(
                f"np.{name}() of Values among which is nan: numpy would take it for the largest of them; write "
                f"np.nan{name} to leave it out"
            )
        if name == "unique" and both and local_variables(frame).get("equal_nan"):
            raise ValueError(
                "np.unique() of Values among which nan is more than once: numpy would not find that they are the same; "
                "write np.unique([x.data for x in xs]) for the numbers"
            )
        frame = frame.f_back


def _check_clip(a: Any, b: Any, caller: FrameType) -> None:
    """Raise ValueError if it is not known which of a and b is a bound of `np.clip(x, low, high)`.

    The operands of the comparison, a and b, do not tell. numpy compares x >= low, and then r <= high, where r is the
    larger of x and low. But in two cases Python calls a method of low instead, for low <= x: if x is a float and low is
    a `Value`, and if the class of low is a subclass of the class of x. A bound is then the first operand, not the
    second one. This may also happen with high. `caller` is the frame that calls numpy, and has the arguments of
    `np.clip` in its variables.
    """
    known = local_variables(caller)
    operands = known["operands"] if "operands" in known else [known.get(name) for name in ("a", "min", "max")]
    kinds = [set(map(type, sys.modules["numpy"].asarray(x, dtype=object).flat)) for x in operands]
    is_value = [any(hasattr(kind, "_data") for kind in found) for found in kinds]
    if type(a) is not type(b) and is_value != [True, False, False] and len(set.union(*kinds)) > 1:
        raise ValueError(
            "np.clip() of Values and numbers among which is nan: numpy does not say which of them are the bounds; "
            "write np.minimum(np.maximum(x, low), high)"
        )
