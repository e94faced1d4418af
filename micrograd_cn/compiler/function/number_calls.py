"""Call a function with plain numbers, and warn if it computes something else for them than for `Value`s.

A function is recorded with `Value`s in the place of the numbers in its arguments. The function may ask for the type of
an argument, as by `isinstance(x, float)`, or catch an error that only a `Value` raises. So it may run other code for a
number than for a `Value`.
"""

from __future__ import annotations

import copy
import reprlib
import warnings
from collections.abc import Callable, Container, Iterable, Sequence
from contextvars import copy_context
from functools import partial
from typing import Any, NamedTuple

from ...engine import Value
from ...gradients import gradients
from ...graph.callers import warn_at_user
from ...graph.context import recording
from ...ops import dot
from ...ops.number import number
from ...parameters.tree import flatten
from ..agreement import agree, differing_derivative
from ..data.captured import describe
from ..data.treedef import TreeDef, plain_argument, unflatten
from .caught import in_arrays
from .hooks import inline_compiled

_shown = reprlib.Repr()
_shown.maxlist = 50  # the texts of longer lists of results are shortened
INSTEAD_OF_HANDLER = (
    "Write the operation in the place of the function that raises the error, or let the handler compute the same with "
    "operations"
)
INSTEAD_OF_BOOLS = (
    "It asks whether an argument is True or False, by `is`, `match`, isinstance or type, which no Value is: write "
    "where(flag, a, b), or compile(f, static=['flag']) for a program for each of the two"
)
INSTEAD_OF_KINDS = (
    "A compiled function gets Values in the place of numbers of any class, and its arrays have the dtype object: "
    "convert the numbers before the call, or pass the choice as a static argument"
)
LOW_PRECISION = 1e-2, 1e-5  # tolerances for numbers such as those of float16, in whose place a program has doubles
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
    a, b = [[x._data if isinstance(x, Value) else number(x) for x in results] for results in (ours, theirs)]
    if not agree(a, b, rtol, atol):
        first, second = [str(xs[0]) if len(ours) == len(theirs) == 1 else _shown.repr(xs) for xs in (a, b)]
        return Difference(first, second, in_derivative=False)
    a, b = [_gradient(results, parameters) for results in (ours, theirs)]
    if (k := differing_derivative(a, b, rtol, atol)) is None:
        return None
    of = f"as the derivative with respect to {describe(parameters[k])}"
    return Difference(f"{a[k]} {of}", str(b[k]), in_derivative=True)


def _gradient(results: Sequence[Any], parameters: Sequence[Value]) -> list[float]:
    """Return the gradient of the sum of results of a function, each times a fixed weight."""
    with recording():
        total = dot([1.0 / (k + 1.0) for k, _ in enumerate(results)], results)
    return gradients(total, parameters) if isinstance(total, Value) else [0.0] * len(parameters)


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
    asks_for_bools: bool = False,
    compares_identity: bool = False,
    others: Iterable[tuple[Sequence[float], Sequence[Value]]] = (),
    given: Callable[[], dict[str, Any]] | None = None,
    differentiated: Container[int] = (),
) -> None:
    """Warn if a function computes something else for the numbers of the recorded sample than it did for `Value`s.

    There is no warning if the function runs other code for numbers that gives the same results and derivatives, as in
    `try: math.exp(x)`, `except TypeError: x.exp()`. Nor is there one if the function raises an error for numbers, since
    it was then written for `Value`s. The function is called with floats. If some of the numbers are integers, and the
    function needs integers or may ask for them, it is called again with integers. If some of them are 0 or 1, and it
    may ask for bools or compare objects, it is called with True and False in their places. If some of the arguments
    are of another class or dtype, such as arrays of uint8, it is called with copies of the arguments as they are.

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
        asks_for_bools: whether the function may ask whether a number is True or False.
        compares_identity: whether the function may compare objects by `is`, where True and False may be among them.
        others: pairs of the numbers of another sample, for which the function is compared, too, and its results.
        given: a function that returns the arguments as the user gave them; None if they are not known.
        differentiated: the indices of numbers with respect to which the function computes a derivative. There are no
            bools in their places unless the user gave some: a derivative with respect to a bool is 0.

    Raises:
        TypeError: the function computes something else for the numbers, and has caught an arithmetic error.
    """
    integers = [int(x) if x.is_integer() else x for x in numbers]
    needs_integers = "as an index" in caught
    tried = [] if needs_integers else [_Numbers(numbers, "this sample", results)]
    if needs_integers or (asked and any(type(x) is int for x in integers)):
        tried.append(_Numbers(integers, "this sample, as integers", results))
    if asked and (asks_for_bools or compares_identity):
        flags = (None, True, False) if asks_for_bools else (None,)
        tried += _with_bools(call, treedef, numbers, results, flags, differentiated)
    tried += [_Numbers(xs, f"another sample, {_shown.repr([*xs])}", found) for xs, found in others]
    if asked and given:
        tried += _as_given(given, numbers, results)
    for xs, of, ours, arguments in tried:
        found = results_from(partial(call, arguments or _arguments_of(treedef, xs))) if ours else None
        if found is None:
            continue
        tolerances = LOW_PRECISION if arguments else (1e-9, 1e-12)
        if not (other := difference(found, ours, parameters, *tolerances)):
            continue
        text, instead, _ = other
        does = "has caught an error of its recording, and computes" if caught else "computes"
        if raised:
            raise TypeError(
                f"{name} computes {text} for the numbers of {of}, instead of {instead}, which the program would give. "
                f"At {raised}, which the code catches, while a Value gives inf or nan; {INSTEAD_OF_CATCHING}"
            )
        why = f"{caught}. {INSTEAD_OF_HANDLER}" if caught else asked
        if arguments:
            why = f"{INSTEAD_OF_KINDS}. {why}"
        warn_at_user(
            f"{name} {does} {text} for the numbers of {of}, instead of {instead}, which the program gives. "
            f"{INSTEAD_OF_BOOLS if any(type(x) is bool for x in xs) else why}"
        )
        return


class _Numbers(NamedTuple):
    """Numbers for a call of a function, a text that says which numbers they are, and the results for `Value`s.

    If they are of another class or dtype than floats, `arguments` is the dict of arguments that has them.
    """

    numbers: Sequence[float]
    of: str
    results: Sequence[Any]
    arguments: dict[str, Any] | None = None


def _as_given(given: Callable[[], dict[str, Any]], numbers: Sequence[float], results: Sequence[Any]) -> list[_Numbers]:
    """Return the numbers in the arguments that the function `given` returns, unless all are floats or ints.

    There is nothing if the arguments cannot be copied, or read once more.
    """
    try:
        arguments = copy.deepcopy(given())
        leaves = [x for _, x in flatten(arguments, arrays=False)[0] if type(x) not in (float, int)]
    except Exception:  # the user's classes may raise anything
        return []
    others = sorted({f"{getattr(x, 'dtype', type(x).__name__)}" for x in leaves} - {"float64"})
    if not others:
        return []
    return [_Numbers(numbers, f"this sample as they are, {', '.join(others)}", results, arguments)]


def has_bools(given: Callable[[], dict[str, Any]]) -> bool:
    """Return whether there are bools, or arrays of bools, in the arguments that the function `given` returns."""
    try:
        leaves = flatten(given(), arrays=False)[0]
    except Exception:  # the user's classes may raise anything
        return False
    return any(isinstance(x, bool) or str(getattr(x, "dtype", "")).endswith("bool") for _, x in leaves)


def _arguments_of(treedef: TreeDef, numbers: Sequence[float]) -> dict[str, Any]:
    """Return the arguments of a function by their names, with plain numbers."""
    values = iter(numbers)
    return {argument: plain_argument(unflatten(part, values)) for argument, part in treedef}


def _with_bools(
    call: Callable[[dict[str, Any]], Any],
    treedef: TreeDef,
    numbers: Sequence[float],
    results: Sequence[Any],
    flags: Sequence[bool | None],
    left_out: Container[int],
) -> list[_Numbers]:
    """Return the numbers with bools in the places of those that are 0 or 1 and not in an array.

    Numbers with an index in `left_out` stay as they are. There is an entry for each of the flags. All bools are equal
    to the flag; or, if it is None, to the numbers in their places. The other flags are tried since a program is used
    for samples with other bools, too.
    """
    in_array = [x for _, part in treedef for x in in_arrays(part)]
    places = [k for k, x in enumerate(numbers) if x in (0.0, 1.0) and not in_array[k] and k not in left_out]
    found = []
    for flag in flags if places else ():
        given, expected = [*numbers], [*results]
        for k in places:
            given[k] = bool(numbers[k]) if flag is None else flag
        if flag is not None:
            values = iter([Value(x) for x in given])
            arguments = {argument: unflatten(part, values) for argument, part in treedef}
            expected = results_from(partial(call, arguments)) or []
        found.append(
            _Numbers(given, "this sample, as bools" if flag is None else f"this sample, with {flag}", expected)
        )
    return found
