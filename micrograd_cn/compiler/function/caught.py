"""Define `CatchingHooks`, the hooks of a recording of a function that may catch an arithmetic error.

Python's operators raise ZeroDivisionError and OverflowError for floats, where those of a `Value` give inf or nan. If
the function catches such an error, it does something else for numbers. So whether the error is raised becomes a guard.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from math import inf
from typing import Any

from ...engine import Value, record, traverse
from ...graph.handlers import catching_place
from ...ops import abs as absolute
from ...text.formula import RAISED
from ..data.treedef import ArrayDef, TreeDef
from .hooks import RecordingHooks


class CatchingHooks(RecordingHooks):
    """Hooks for recording a function that may catch an operator's arithmetic error, such as ZeroDivisionError.

    Args:
        kind, hides_numbers: as for `RecordingHooks`.
        in_arrays: for each number of the arguments, whether it is an element of a numpy array. Operators on such
            numbers raise another error, FloatingPointError, if `np.errstate` or `np.seterr` says so.
        uses_errstate: whether the function may call `np.errstate` or `np.seterr`.
    """

    def __init__(self, kind: type[Value], hides_numbers: bool, in_arrays: Sequence[bool], uses_errstate: bool) -> None:
        super().__init__(kind, hides_numbers)
        self._in_arrays, self._uses_errstate = in_arrays, uses_errstate
        self._caught: list[tuple[Value, type[Exception], str]] = []  # new nodes, with an error that would be caught
        self._has_ended = False  # whether the function has returned

    def new_node(self, kind: Any, a: Any, b: Any) -> Value:
        """Return an object that becomes the new node, and note whether the operator's arithmetic error would be caught.

        This is the error that the operator may raise for numbers, such as ZeroDivisionError. It would be caught if the
        operator is inside a `try` statement with a handler for it.
        """
        node = super().new_node(kind, a, b)
        if self._has_ended:
            return node
        frame = sys._getframe(1)
        for error in (ZeroDivisionError, OverflowError, *([FloatingPointError] if self._uses_errstate else ())):
            if place := catching_place(frame, error, calls=error is FloatingPointError):
                self._caught.append((node, error, place))
        return node

    def _finish(self) -> None:
        """Make guards from the comparisons, and from the errors that operators may raise."""
        self._has_ended = True
        of_arrays = {x for x, inside in zip(self._inputs, self._in_arrays, strict=True) if inside}
        for node, error, place in self._caught:
            if node.op is None or not (error is FloatingPointError or error in RAISED.get(node.op.name, ())):
                continue
            leaves = {leaf for leaf in traverse(node)[1] if leaf.requires_grad}
            if leaves.difference(self._inputs) or leaves.isdisjoint(of_arrays) is (error is FloatingPointError):
                # A parameter is a `Value` in the plain function, too. And of the errors, numpy's numbers raise only
                # FloatingPointError, and Python's numbers only the others
                continue
            a: Any
            if error is FloatingPointError or OverflowError in RAISED[node.op.name]:
                a, symbol, b = record(absolute, (node,)), "<", inf
                raises = not a._data < inf
            else:
                a, symbol, b = node.operands[1], "==", 0.0
                raises = getattr(a, "_data", a) == 0.0
            if isinstance(a, Value) and a.requires_grad:
                held = raises if symbol == "==" else not raises
                where = f"{place}, where the code catches {error.__name__}"
                self._comparisons.setdefault((symbol, id(a), id(b)), (a, symbol, b, held, where))
            if raises:
                self.raised = self.raised or f"{place}, an operator raises {error.__name__} for numbers"
        super()._finish()


def in_arrays(treedef: TreeDef) -> list[bool]:
    """Return, for each number of an argument that is nested as `treedef` says, whether it is in a numpy array.

    >>> in_arrays((list, (None, ArrayDef((2,), True))))
    [False, True, True]
    """
    if treedef is None:
        return [False]
    if isinstance(treedef, ArrayDef):
        count = 1
        for length in treedef.shape:
            count *= length
        return [treedef.is_numpy] * count
    *_, parts = treedef
    return [False] * parts if isinstance(parts, int) else [x for part in parts for x in in_arrays(part)]
