"""Call a function with plain numbers, and say where it computes something else for them than for `Value`s.

A function is recorded with `Value`s in place of the numbers in its arguments. The function may ask for the type of
an argument, as by `isinstance(x, float)`, or catch an error that only a `Value` raises. So it may run other code for a
number than for a `Value`.
"""

from __future__ import annotations

import reprlib
import warnings
from collections.abc import Callable, Sequence
from contextvars import copy_context
from typing import Any, NamedTuple

from ...engine import Value
from ...gradients import gradients
from ...graph.context import recording
from ...ops import dot
from ...ops.number import number
from ...parameters.tree import flatten
from ..agreement import agree, differing_derivative
from ..data.captured import describe
from .hooks import inline_compiled

SHOWN = reprlib.Repr()
SHOWN.maxlist = 50  # the texts of longer lists of numbers are shortened


def results_from(call: Callable[[], Any]) -> list[Any] | None:
    """Return the numbers in the result of `call()`, which calls a user's function with numbers; None if it fails.

    A result that depends on a parameter is a `Value`. Warnings are ignored: the function has given its own when it was
    recorded, and numpy's warnings of integers that overflow would be new, since `Value`s do not overflow in this way.
    """
    try:
        with inline_compiled(), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            result = copy_context().run(call)
        return [x if isinstance(x, Value) else number(x) for _, x in flatten(result)[0]]
    except Exception:  # code that was written for `Value`s alone, such as `x.exp()`, may raise anything for a number
        return None


class Difference(NamedTuple):
    """What a function gives for numbers, and what it gives for `Value`s in their place, as strings.

    Attributes:
        for_numbers, for_values: the strings, such as "3.0", or "3.0 as the derivative with respect to w" and "0.0".
        in_derivative: whether the results agree, and a derivative with respect to a parameter differs.
    """

    for_numbers: str
    for_values: str
    in_derivative: bool


def difference(
    ours: Sequence[Any], theirs: Sequence[Any], parameters: Sequence[Value], rtol: float, atol: float
) -> Difference | None:
    """Compare the results of a function for numbers with those for `Value`s. Return None if they agree.

    If the results agree, their derivatives with respect to `parameters` are compared, too. They may differ even if the
    results agree: a comparison by `is` may come out differently for numbers, and decide what is detached. If there are
    several results, the derivatives are those of their weighted sum, with fixed weights.

    Args:
        ours, theirs: the results for numbers, and those for `Value`s. Each of them is a `Value` or a number.
        parameters: leaves that require a gradient.
        rtol: the relative tolerance. For a derivative, it is relative to the largest of the derivatives.
        atol: the absolute tolerance.
    """
    a, b = [[x._data if isinstance(x, Value) else number(x) for x in results] for results in (ours, theirs)]
    if not agree(a, b, rtol, atol):
        first, second = [str(xs[0]) if len(ours) == len(theirs) == 1 else SHOWN.repr(xs) for xs in (a, b)]
        return Difference(first, second, in_derivative=False)
    a, b = [_gradient(results, parameters) for results in (ours, theirs)]
    if (k := differing_derivative(a, b, rtol, atol)) is None:
        return None
    of = f"as the derivative with respect to {describe(parameters[k])}"
    return Difference(f"{a[k]} {of}", str(b[k]), in_derivative=True)


def _gradient(results: Sequence[Any], parameters: Sequence[Value]) -> list[float]:
    """Return the gradient of the sum of a function's results with the weights 1, 1/2, 1/3, ..."""
    with recording():
        total = dot([1.0 / (k + 1.0) for k, _ in enumerate(results)], results)
    return gradients(total, parameters) if isinstance(total, Value) else [0.0] * len(parameters)


def has_bools(given: Callable[[], dict[str, Any]]) -> bool:
    """Return whether there are bools, or arrays of bools, in the arguments that the function `given` returns."""
    try:
        leaves = flatten(given(), arrays=False)[0]
    except Exception:  # the user's classes may raise anything
        return False
    return any(isinstance(x, bool) or str(getattr(x, "dtype", "")).endswith("bool") for _, x in leaves)
