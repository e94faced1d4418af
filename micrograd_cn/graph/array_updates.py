"""Errors for code that would replace the leaves in an array of numpy by constants inside `no_grad()`.

For `W -= G`, where W is an array of leaves, numpy computes `w - g` for each leaf w, and puts the result into W. Inside
`no_grad()` the results are constants, so training would not change the array any more. The same holds for
`np.subtract(W, G, out=W)` and `np.subtract.at(W, i, G)`.

There are two ways to notice it. If an operand is a single `Value`, numpy calls `__array_ufunc__` and passes the array
to it. Otherwise, numpy calls a method of each element, such as `__sub__`. This method can find out only at which
instruction the code of its caller stands.
"""

from __future__ import annotations

import opcode
import sys
import weakref
from collections.abc import Callable, Iterable, Iterator
from types import FrameType
from typing import Any

from ..ops.operation import Op
from . import context
from .callers import CALLS, asked_by, outside_numpy
from .operators import Operators
from .plain_numbers import variables

__all__ = ["refuse_array_update", "refuse_function", "refuse_results_in"]

IN_PLACE = 13  # the argument of Python's instruction BINARY_OP is at least this for `+=` and the like; see `dis`
IN_PLACE_MATRIX_PRODUCT = IN_PLACE + 4
_BINARY_OP = opcode.opmap["BINARY_OP"]
# The signs of Python's operators that call a function of numpy
SIGNS = {"add": "+", "subtract": "-", "multiply": "*", "divide": "/", "power": "**", "remainder": "%"}


def refuse_array_update(op: Op, caller: FrameType) -> None:
    """Raise an error if numpy computes `op` of a leaf and puts the result in its place, inside `no_grad()`.

    The statement `w -= ...` for a single leaf w is allowed: it changes the leaf's data by `Node._changed_in_place`.

    Args:
        op: the operation, whose first operand is a leaf.
        caller: the frame of the code that applies the operation.
    """
    code, at = caller.f_code.co_code, caller.f_lasti  # as in `_is_assignment`, whose call would take longer
    if code[at + 1] >= IN_PLACE and code[at] == _BINARY_OP and context.here().no_grad:
        if code[at + 1] == IN_PLACE_MATRIX_PRODUCT:
            raise TypeError(
                "W @= G inside no_grad(), where W is an array of leaves, would replace them by constants: write "
                "Y = W @ G, and then for w, y in zip(W.flat, Y.flat): w.data = y.data to change the leaves, or "
                "W = W @ G for a new array"
            )
        sign = op.notation.symbol
        raise TypeError(
            f"W {sign}= G inside no_grad(), where W is an array of leaves, would replace them by constants: write "
            f"for w, g in zip(W.flat, G.flat): w.data {sign}= g to change the leaves (w.data {sign}= g for one number "
            f"g), or W = W {sign} G for a new array"
        )
    if code[at] in CALLS:
        refuse_function(caller)


def refuse_function(caller: FrameType) -> None:
    """Raise an error if a function of numpy computes with a leaf, and puts results into an array of leaves (`out=...`).

    For an operation whose left operand is a leaf, `refuse_array_update` calls this function. If the left operand is a
    number, or there is only one operand, no statement such as `W -= G` can replace the leaf, but a function such as
    `np.exp(W, out=W)` can. The error is raised only inside `no_grad()`, and only if Python finds the source code of the
    call.
    """
    if caller.f_code.co_code[caller.f_lasti] in CALLS and context.here().no_grad:
        user = outside_numpy(caller)
        if not _fills_array_of_leaves(user):
            return
        if sign := SIGNS.get(asked_by(user).name):
            instead = f"write for w, g in zip(W.flat, G.flat): w.data {sign}= g to change the leaves, or leave out the "
            instead += "array for a new one"
        else:
            instead = "leave it out for a new array Y, and write for w, y in zip(W.flat, Y.flat): w.data = y.data to "
            instead += "change the leaves"
        raise TypeError(
            f"a function of numpy would replace the leaves in an array by constants inside no_grad(): {instead}"
        )


def refuse_results_in(arrays: Iterable[Any], function: str, caller: FrameType) -> None:
    """Raise an error inside `no_grad()` if one of `arrays`, into which numpy's `function` puts its results, has leaves.

    An array of arguments of a compiled function may take the results, because its elements stand for plain numbers.

    Args:
        arrays: the arrays. An object without elements, such as None, counts as an array without leaves.
        function: the name of the function, such as "subtract".
        caller: the frame of the code that calls the function, or that has a statement such as `W -= g`.
    """
    if not context.here().no_grad or not any(map(_has_leaves, arrays)):
        return
    sign = SIGNS.get(function)
    change = f"w.data {sign}= c" if sign else "w.data = c"
    if sign and _is_assignment(caller):
        raise TypeError(
            f"W {sign}= g inside no_grad(), where W is an array of leaves and g a Value, would replace them by "
            f"constants: write c = g.data first, and then for w in W.flat: {change} to change the leaves, or "
            f"W = W {sign} g for a new array"
        )
    raise TypeError(
        f"np.{function}() would replace the leaves in an array W by constants inside no_grad(): write c = g.data for a "
        f"Value g first, and then for w in W.flat: {change} to change the leaves, or leave out the array for a new one"
    )


def _is_assignment(caller: FrameType) -> bool:
    """Return whether the frame is at a statement such as `W -= G`."""
    code, at = caller.f_code.co_code, caller.f_lasti
    return code[at + 1] >= IN_PLACE and code[at] == _BINARY_OP


def _fills_array_of_leaves(user: FrameType) -> bool:
    """Return whether the function that is called in the frame `user` puts its results into an array of leaves.

    The frame must be outside numpy, because numpy's own code may fill an array that it has made itself. For example,
    `np.mean` over an axis of length 1 divides an array of sums in place, and each of the sums is a leaf of the user.
    """
    from .conversion import array_to_fill  # imported here, because correct programs do not need it

    global _without_leaves
    array, numpy = array_to_fill(user), sys.modules.get("numpy")
    if numpy is None or not isinstance(array, numpy.ndarray) or not array.size:
        return False
    known, first = _without_leaves
    if known() is array and array.flat[0] is first:
        return False
    if not (found := _has_leaves(array)):
        _without_leaves = weakref.ref(array), array.flat[0]
    return found


# The last array that was found to have no leaves, and its first element then. numpy asks for each element of an array,
# and to look through the other array each time would take quadratic time. What numpy puts into it are no leaves.
_without_leaves: tuple[Callable[[], Any], Any] = (lambda: None), None


def _has_leaves(array: Any) -> bool:
    items = () if getattr(array, "has_arguments", False) else getattr(array, "flat", ())
    nodes: Iterator[Any] = (x for x in items if isinstance(x, Operators))
    around = variables.get()  # the arguments of a function that is differentiated stand for plain numbers
    return any(x.op is None and x.requires_grad and not (around and around.include(x)) for x in nodes)
