"""The table of operations: the dict `OPS` from names to rows, which are `Op`s. Add, find and pickle rows."""

from __future__ import annotations

from typing import Any, Self, TypeVar

__all__ = ["OPS", "Row", "define"]


class Row:
    """The base class of `Op`: an interned, immutable object. It is pickled by its name, and a copy is the same object.

    >>> import copy, pickle
    >>> from micrograd_cn import tanh
    >>> copy.deepcopy(tanh) is pickle.loads(pickle.dumps(tanh)) is tanh
    True
    """

    name: str

    def __copy__(self) -> Self:
        return self

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        return self

    def __reduce__(self) -> tuple[Any, ...]:
        if OPS.get(self.name) is not self:
            raise TypeError(f"cannot pickle the operation {self.name!r}, which is not in the table; define() it")
        return _row, (self.name,)

    def _repr_pretty_(self, printer: Any, cycle: bool) -> None:
        printer.text(repr(self))  # without this method, hypothesis and IPython would print all attributes

    def __repr__(self) -> str:
        return f"<operation {self.name}>"


R = TypeVar("R", bound=Row)

OPS: dict[str, Any] = {}
HELPERS: set[Any] = set()  # operations of this package that rows are written with, but that are no rows


def _row(name: str) -> Row:
    """Return the operation with the name `name` from the table of operations.

    A pickle of an operation names this function, so the function must not be renamed.

    Raises:
        LookupError: no operation in the table has this name.
    """
    if name not in OPS:
        raise LookupError(f"the operation {name!r} was pickled but is not in the table here; define() it first")
    row: Row = OPS[name]
    return row


def is_known(op: Row) -> bool:
    """Return whether `op` is in the table, or is a helper operation with which rows of the table are written.

    >>> from micrograd_cn import Op, tanh
    >>> is_known(tanh), is_known(Op("tanh", tanh.forward, tanh.partials))
    (True, False)
    """
    return OPS.get(op.name) is op or op in HELPERS


def define(op: R) -> R:
    """Add `op` to the table of operations and return it.

    Raises:
        TypeError: `op` is not an `Op`.
        ValueError: an operation of the same name is in the table already.

    >>> from micrograd_cn import tanh
    >>> define(tanh)
    Traceback (most recent call last):
    ValueError: the operation 'tanh' is already defined
    """
    if not isinstance(op, Row):
        raise TypeError(f"define() takes an Op, got {type(op).__name__}")
    if op.name in OPS:
        raise ValueError(f"the operation {op.name!r} is already defined")
    OPS[op.name] = op
    return op
