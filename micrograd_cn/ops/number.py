"""Convert real numbers to floats, and sequences of numbers to tuples. For anything else an error says what to write."""

from __future__ import annotations

import operator
import sys
from collections.abc import Iterable, Mapping, Sequence
from types import FunctionType
from typing import Any

__all__ = [
    "DATES",
    "flag",
    "is_array",
    "is_of_numpy",
    "is_table",
    "mixed_engines",
    "number",
    "number_instead",
    "number_or_none",
    "numbers_in",
    "own_operator",
    "refuse_masked",
    "whole_number",
]

# What to write instead of a numpy date ("M"), or a difference of dates ("m"); the keys are kinds of dtypes. Python's
# float() would give a count of nanoseconds, or an error, depending on the unit.
DATES = {
    "M": "for a number of days, write (x - start) / np.timedelta64(1, 'D')",
    "m": "for a number of seconds, write x / np.timedelta64(1, 's')",
}


# The methods that Python's operators and conversions call, in which a subclass of float may compute something else
OPERATORS = (
    *("__add__", "__radd__", "__sub__", "__rsub__", "__mul__", "__rmul__", "__truediv__", "__rtruediv__"),
    *("__pow__", "__rpow__", "__neg__", "__pos__", "__abs__", "__lt__", "__le__", "__gt__", "__ge__", "__float__"),
)


def own_operator(kind: type) -> str:
    """Return the name of an operator that `kind`, a class of numbers, defines in Python code; "" if it defines none.

    Operators that Python's own modules define, such as those of `Fraction`, do not count.

    >>> import math
    >>> class Decibel(float):
    ...     def __add__(self, other):
    ...         return Decibel(10 * math.log10(10 ** (self / 10) + 10 ** (other / 10)))
    >>> own_operator(Decibel), own_operator(bool)
    ('__add__', '')
    """
    methods = [(name, getattr(kind, name, None)) for name in OPERATORS]
    own = [name for name, f in methods if isinstance(f, FunctionType) and not _is_pythons(f.__module__)]
    return own[0] if own else ""


def _is_pythons(module: str) -> bool:
    return module != "__main__" and module.partition(".")[0] in sys.stdlib_module_names


MAX_SHOWN = 80  # messages show no longer text of an argument, such as that of an array


def flag(name: str, x: object, meant: str = "") -> bool:
    """Return the option `x`, which is True or False, or the number 1 or 0, as a bool. Messages call it `name`.

    Users may pass by position what they mean for another option. `meant` is the name of this option, which the message
    proposes; "" proposes none.

    Raises:
        TypeError: the option is anything else, such as a string, which Python would take for true.

    >>> flag("strict", 1)
    True
    >>> flag("hessian(): lower", "inputs", "wrt")
    Traceback (most recent call last):
    TypeError: hessian(): lower must be True or False, got 'inputs'; write wrt='inputs'
    """
    try:
        if not hasattr(x, "requires_grad") and x in (0, 1):
            return bool(x)
    except ValueError:  # an array of several numbers is compared with 0
        pass
    write = f"; write {meant}={x!r}" if isinstance(x, str) else f"; write {meant}=..."
    shown = repr(x)
    if len(shown) > MAX_SHOWN:
        shown = f"an object of type {type(x).__name__}"
    raise TypeError(f"{name} must be True or False, got {shown}{write * bool(meant)}")


def whole_number(name: str, x: Any, least: int = 1) -> int:
    """Return the option `x`, an integer of at least `least`, as an int. Messages call it `name`.

    Raises:
        TypeError: `x` is not an integer, or it is a bool.
        ValueError: `x` is smaller than `least`.

    >>> whole_number("check_op: examples", "50")
    Traceback (most recent call last):
    TypeError: check_op: examples must be an int of at least 1, got '50'; write 50
    """
    if isinstance(x, bool) or not hasattr(x, "__index__"):
        whole = str(x).removesuffix(".0")
        write = f"; write {int(whole)}" if whole.isdecimal() else ""
        raise TypeError(f"{name} must be an int of at least {least}, got {x!r}{write}")
    if x < least:
        raise ValueError(f"{name} must be an int of at least {least}, got {x!r}")
    return operator.index(x)


def number(x: object) -> float:
    """Return the real number `x` as a float, rounded as `float(x)` is.

    Raises:
        TypeError: `x` is text, complex, a sequence, None, or anything else that is not one real number.
        OverflowError: `x` is an integer or a fraction that is too large for a float. Python, numpy and PyTorch raise
            this error, too. An infinity, such as `float("inf")` or `Decimal("1e400")`, raises no error.

    >>> number(3)
    3.0
    >>> number(10**400)
    Traceback (most recent call last):
    OverflowError: an int that is too large for a float, which is at most 1.8e308; write math.inf for infinity
    """
    if type(x) is float:
        return x
    if type(x) is not int and not isinstance(x, float):
        import numbers  # imported here, because floats and ints do not need it

        if isinstance(x, (str, bytes, bytearray)):
            raise TypeError(f"expected a real number, got the {type(x).__name__} {x!r}{number_instead(x)}")
        real = isinstance(x, numbers.Real)
        if not real and isinstance(x, numbers.Complex):
            raise TypeError(f"expected a real number, got the complex {x!r}; use its .real or .imag")
        dtype = getattr(x, "dtype", None)
        if (kind := getattr(dtype, "kind", "")) in DATES:
            raise TypeError(f"expected a real number, got the {dtype} {x}; {DATES[kind]}")
        if not real and getattr(dtype, "names", None):
            raise TypeError(f"expected a number, got the row {x} of a structured array; write list(x) for its numbers")
        if not real:
            refuse_masked(x)
        if not real and hasattr(x, "_record"):
            raise TypeError(f"expected a real number, got {type(x).__name__}; write x.data for the number of a Value x")
        if not real and (message := mixed_engines(x)):
            raise TypeError(message)
        if not real and is_table(x):
            raise TypeError(f"expected a real number, got {type(x).__name__}; write df.to_numpy() for the rows of a df")
        if not real and not hasattr(x, "__float__"):
            raise TypeError(f"expected a real number, got {type(x).__name__}{number_instead(x)}")
        if not real and (getattr(x, "shape", None) or (hasattr(x, "__len__") and not hasattr(x, "shape"))):
            raise TypeError(f"expected one real number, got the sequence {type(x).__name__}; use one element at a time")
    try:
        return float(x)  # type: ignore[arg-type]  # what has no __float__ was refused above
    except OverflowError:
        infinity = "math.inf" if x > 0 else "-math.inf"  # type: ignore[operator]  # float(x) has found a number
        kind = type(x).__name__
        raise OverflowError(
            f"{'an' if kind[0] in 'aeiouAEIOU' else 'a'} {kind} that is too large for a float, which is at most "
            f"1.8e308; write {infinity} for infinity"
        ) from None


def number_instead(x: object) -> str:
    """Return the end of an error message about `x`, which is in the place of a number: what to write instead.

    It is "" if that is not known.

    >>> number_instead(None), number_instead(print)
    ('; write math.nan for a missing number', '; call it, and pass what it returns')
    """
    if x is None:
        return "; write math.nan for a missing number"
    if isinstance(x, (str, bytes, bytearray)):
        return "; convert it with float() first"
    if isinstance(x, complex):
        return "; compute the real and the imaginary part by themselves, as x * z.real and x * z.imag for x * z"
    if isinstance(x, Mapping):
        return "; write d[key] for one of its numbers"
    if isinstance(x, (set, frozenset)):
        return "; use one element at a time, of a list, since a set has no order"
    if hasattr(x, "to_numpy"):
        return "; write s.to_numpy() for an array of its numbers"
    if hasattr(x, "__next__"):
        return "; write list(xs), and use one element at a time"
    if isinstance(x, Sequence):
        return "; use one element at a time, as in [f(x) for x in xs]"
    return "; call it, and pass what it returns" if callable(x) else ""


def mixed_engines(x: object) -> str:
    """Return an error message if `x` is a node of another engine, such as micrograd or PyTorch, and otherwise "".

    The message says that the user has mixed two engines.
    """
    if hasattr(x, "_prev") and hasattr(x, "data") and not hasattr(x, "_record"):
        where, instead = "", "import from micrograd_cn.engine and micrograd_cn.nn in every file"
    elif getattr(x, "requires_grad", False) and hasattr(x, "grad_fn"):
        instead = "write t.detach() for the numbers" if getattr(x, "shape", None) else "write t.item() for the number"
        where, instead = ", which requires a gradient,", f"{instead} of a tensor t"
    else:
        return ""
    name = f"{type(x).__module__}.{type(x).__qualname__}"
    return (
        f"{name}{where} beside a Value of micrograd_cn: two engines are mixed, and no gradient would flow from one to "
        f"the other; {instead}"
    )


def is_table(x: object) -> bool:
    """Return whether `x` is a table, such as a pandas DataFrame.

    A loop over a table gives the labels of its columns, not numbers.
    """
    return hasattr(x, "columns") and hasattr(x, "to_numpy")


def refuse_masked(x: Any) -> None:
    """Raise TypeError if `x` is a masked array of numpy in which some numbers are missing."""
    if hasattr(x, "mask") and hasattr(x, "filled") and x.mask.any():
        raise TypeError("a masked array in which some numbers are missing; write x.filled(...) or x.compressed()")


def is_of_numpy(x: object) -> bool:
    """Return whether the class of `x` is one of numpy itself (not of `numpy.ma`), or of `graph.value_arrays`.

    Such an `x` is an array or a number.
    """
    kind = type(x)
    return kind.__module__ == "numpy" or kind.__name__ in ("ArgumentArray", "ValueArray")


def is_array(x: object) -> bool:
    """Return whether `x` is a numpy array with at least one axis, but not a matrix or a masked array."""
    return is_of_numpy(x) and bool(getattr(x, "shape", ())) and type(x).__name__ != "matrix"


def number_or_none(x: object) -> float | None:
    """Return `x` as a float, or None if it is not one real number.

    Raises:
        OverflowError: `x` is an integer or a fraction that is too large for a float.

    >>> number_or_none(3), number_or_none("3")
    (3.0, None)
    """
    try:
        if isinstance(x, (int, float)):
            return float(x)
        return None if getattr(x, "shape", None) else number(x)  # an exception for an array would take longer
    except OverflowError:
        return number(x)
    except TypeError:
        return None


def numbers_in(xs: Iterable[Any], ordered: bool = True) -> tuple[Any, ...]:
    """Return the items of `xs` as a tuple.

    Raises:
        TypeError: `xs` is not iterable; or it is a dict or bytes, whose items are not the numbers that the user means;
            or it is a table such as a DataFrame, whose items are labels; or it is a set, whose items have no order,
            and `ordered` is true.

    >>> numbers_in([1, 2]), numbers_in({1}, ordered=False)
    ((1, 2), (1,))
    >>> numbers_in({"a": 1})
    Traceback (most recent call last):
    TypeError: expected a list of numbers, got a dict, which would give its keys; write list(d.values())
    """
    if type(xs) is not list and type(xs) is not tuple:
        kind = type(xs).__name__
        if isinstance(xs, Mapping):
            raise TypeError(
                f"expected a list of numbers, got a {kind}, which would give its keys; write list(d.values())"
            )
        if isinstance(xs, (bytes, bytearray)):
            raise TypeError(f"expected a list of numbers, got {kind}; write list(b) for the numbers of its bytes b")
        if is_table(xs):
            raise TypeError(
                f"expected a list of numbers, got a {kind}, which would give the labels of its columns; write "
                "df.to_numpy() for the rows of a df"
            )
        if ordered and isinstance(xs, (set, frozenset)):
            raise TypeError(f"expected a list of numbers, got a {kind}, which has no order; write a list")
        if not hasattr(xs, "__iter__"):
            write = "; write [x] for one number" if hasattr(xs, "__float__") else ""
            raise TypeError(f"expected a list of numbers, got {kind} {xs!r}{write}")
    return tuple(xs)
