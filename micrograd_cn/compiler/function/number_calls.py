"""Call a function with plain numbers, and warn if it computes something else for them than for `Value`s.

A function is recorded with `Value`s in the place of the numbers in its arguments. The function may ask for the type of
an argument, as by `isinstance(x, float)`, or catch an error that only a `Value` raises. So it may run other code for a
number than for a `Value`.
"""

from __future__ import annotations

import reprlib
import warnings
from collections.abc import Callable, Sequence
from contextvars import copy_context
from functools import partial
from math import isfinite
from typing import Any, NamedTuple

from ...engine import Value
from ...gradients import gradients
from ...graph.callers import warn_at_user
from ...graph.context import recording
from ...ops import dot
from ...ops.number import number
from ...parameters.tree import flatten
from ..data.captured import describe
from ..data.treedef import TreeDef, plain_argument, unflatten
from ..program import close
from .hooks import inline_compiled

_shown = reprlib.Repr()
_shown.maxlist = 50  # the texts of longer lists of results are shortened
INSTEAD_OF_HANDLER = (
    "Write the operation in the place of the function that raises the error, or let the handler compute the same with "
    "operations"
)
INSTEAD_OF_CATCHING = (
    "write where(equal(y, 0.0), a, div(x, y)) for an a in the place of x / 0, and where(less(abs(x), 1e100), "
    "pow(x, y), a) for an a in the place of x ** y that overflows, with functions of micrograd_cn"
)


def results_from(call: Callable[[], Any]) -> list[Any] | None:
    """Return the numbers in the result of `call()`, which calls a user's function with numbers; None if it fails.

    A result that depends on a parameter is a `Value`. Warnings are ignored: the function has given its own when it was
    recorded, and numpy warns if an integer overflows.
    """
    try:
        with inline_compiled(), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            result = copy_context().run(call)
        return [x if isinstance(x, Value) else number(x) for _, x in flatten(result)[0]]
    except Exception:  # code that was written for `Value`s alone, such as `x.exp()`, may raise anything for a number
        return None


class Difference(NamedTuple):
    """What a function gives for numbers, and what it gives for `Value`s in their place, as texts.

    Attributes:
        for_numbers, for_values: the texts, such as "3.0", or "3.0 as the derivative with respect to w" and "0.0".
        in_derivative: whether the results agree, and a derivative with respect to a parameter differs.
    """

    for_numbers: str
    for_values: str
    in_derivative: bool


def difference(
    ours: Sequence[Any], theirs: Sequence[Any], parameters: Sequence[Value], rtol: float, atol: float
) -> Difference | None:
    """Compare the results of a function for numbers with those for `Value`s. Return None if they agree.

    If the results agree, their derivatives are compared, too. Those may be wrong, as where a function detaches an
    element that it compares by `is`. The function's results stand for one number then, their sum times fixed weights.

    Args:
        ours, theirs: the results for numbers, and those for `Value`s. Each of them is a `Value` or a number.
        parameters: leaves that require a gradient.
        rtol: the relative tolerance. For a derivative, it is relative to the largest of the derivatives.
        atol: the absolute tolerance.
    """
    numbers = [[x._data if isinstance(x, Value) else number(x) for x in results] for results in (ours, theirs)]
    if len(ours) != len(theirs) or not all(map(close(rtol, atol), *numbers)):
        first, second = [str(xs[0]) if len(ours) == len(theirs) == 1 else _shown.repr(xs) for xs in numbers]
        return Difference(first, second, in_derivative=False)
    found = []
    for results in (ours, theirs):
        with recording():
            total = dot([1.0 / (k + 1.0) for k, _ in enumerate(results)], results)
        found.append(gradients(total, parameters) if isinstance(total, Value) else [0.0] * len(parameters))
    size = max([abs(x) for x in (*found[0], *found[1]) if isfinite(x)], default=0.0)
    agree = close(0.0, max(atol, rtol * size))
    for p, a, b in zip(parameters, *found, strict=True):
        if not agree(a, b):
            return Difference(f"{a} as the derivative with respect to {describe(p)}", str(b), in_derivative=True)
    return None


def warn_if_numbers_differ(
    name: str,
    call: Callable[[dict[str, Any]], Any],
    treedef: TreeDef,
    numbers: Sequence[float],
    results: Sequence[Value],
    parameters: Sequence[Value],
    caught: str,
    asked: str,
    raised: str = "",
) -> None:
    """Warn if a function computes something else for the numbers of the recorded sample than it did for `Value`s.

    There is no warning if the function runs other code for numbers that gives the same results and derivatives, as in
    `try: math.exp(x)`, `except TypeError: x.exp()`. Nor is there one if the function raises an error for numbers, since
    it was then written for `Value`s. The function is called with floats. If some of the numbers are integers, and the
    function needs integers or may ask for them, it is called again with integers.

    Args:
        name: the function's name.
        call: a function that takes the dict of the arguments, and calls the function.
        treedef: describes how the arguments are nested.
        numbers: the numbers of the sample.
        results: the numbers that the function returned while it was recorded, as `Value`s.
        parameters: the leaves on which these depend, and which require a gradient.
        caught: the error that the function has caught where it needs a plain number, and its place; "" if there is
            none.
        asked: the code by which the function may tell a `Value` from a number, and what to write instead; "" if there
            is no such code.
        raised: a text that names an operator that raises an arithmetic error for the numbers, which the function
            catches; "" if there is none.

    Raises:
        TypeError: the function computes something else for the numbers, and has caught an arithmetic error.
    """
    integers = [int(x) if x.is_integer() else x for x in numbers]
    tried = [integers] if "as an index" in caught else [list(numbers)]
    if asked and any(type(x) is int for x in integers):
        tried.append(integers)
    for given in tried:
        values = iter(given)
        arguments = {argument: plain_argument(unflatten(part, values)) for argument, part in treedef}
        found = results_from(partial(call, arguments))
        if found is None:
            continue
        if not (other := difference(found, results, parameters, 1e-9, 1e-12)):
            continue
        text, instead, _ = other
        does = "has caught an error of its recording, and computes" if caught else "computes"
        of = "this sample, as integers" if given is integers else "this sample"
        if raised:
            raise TypeError(
                f"{name} computes {text} for the numbers of {of}, instead of {instead}, which the program would give. "
                f"At {raised}, which the code catches, while a Value gives inf or nan; {INSTEAD_OF_CATCHING}"
            )
        warn_at_user(
            f"{name} {does} {text} for the numbers of {of}, instead of {instead}, which the program gives. "
            f"{f'{caught}. {INSTEAD_OF_HANDLER}' if caught else asked}"
        )
        return
