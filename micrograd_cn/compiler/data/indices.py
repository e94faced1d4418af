"""Find rows in which an index of `take`, or a target of a loss, is out of range, so `fit` can refuse them.

The result for such a row is nan, and `fit` would train with it.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from math import isnan
from typing import Any, NamedTuple

from ...engine import Value
from ...graph.context import recording
from ..instructions.graph import Graph, is_check, is_nan
from .arrays import FlatNumbers
from .columns import Numbers
from .replay import copied_leaves, replay


class Indices(NamedTuple):
    """The indices by which operations of a graph select one of several operands, as `take` and `cross_entropy` do.

    Attributes:
        counts: for inputs that are indices, a dict from the position of the input in a row to the number of operands.
            The index must be less than this count. If several operations use the index, it is the smallest count.
        computed: for indices that operations of the graph compute, a dict from the index, a node, to this count.
        ignored: for inputs that are indices unless they are a certain number, a dict from the position of the input in
            a row to this number. An example is the target of a `cross_entropy` with an `ignore_index`.
    """

    counts: dict[int, int]
    computed: dict[Value, int]
    ignored: dict[int, float]


def indices_of(graph: Graph) -> Indices:
    """Return the indices by which operations of a graph, such as `take`, select one of several operands.

    In the examples, the inputs are x and i, at the positions 0 and 1. In the first, i selects one of three operands,
    and one of two, so it is an index that must be less than 2. The node `1 - i` selects one of two operands. It is a
    computed index, which must be less than 2, too. In the second example, i is an index unless it is -100.

    >>> from micrograd_cn import equal, take, where
    >>> i, x = Value(0), Value(5)
    >>> found = indices_of(Graph([take([x, 1, 2], i) + take([x, 1], i) + take([x, 1], 1 - i)], [x, i]))
    >>> found.counts, list(found.computed.values())
    ({1: 2}, [2])
    >>> indices_of(Graph([take([x, 1], where(equal(i, -100), 0, i))], [x, i])).ignored
    {1: -100.0}
    """
    places = {x: k for k, x in enumerate(graph.inputs)}
    counts: dict[int, int] = {}
    computed: dict[Value, int] = {}
    ignored: dict[int, float] = {}
    for node, op in graph.operations:
        if op.lowerings.is_gather:
            index, count = node.operands[0], len(node.operands) - 1
            other, number = _input_unless_ignored(index)
            if other in places and number is not None:
                ignored[places[other]] = number
                counts[places[other]] = min(count, counts.get(places[other], count))
            if index in places:
                counts[places[index]] = min(count, counts.get(places[index], count))
            elif isinstance(index, Value) and index.op:
                computed[index] = min(count, computed.get(index, count))
    return Indices(counts, computed, ignored)


def _input_unless_ignored(index: Any) -> tuple[Any, float | None]:
    """Return x and the number c if `index` has the form where(equal(x, c), ..., x); otherwise `index` and None.

    In the first case, x is an index unless it equals c.
    """
    if isinstance(index, Value) and index.op and index.op.lowerings.machine == "select":
        condition, _, x = index.operands
        compared = condition.op.lowerings.array if isinstance(condition, Value) and condition.op else ""
        if compared == "==" and condition.operands[0] is x:
            number = condition.operands[1]
            return x, number if type(number) is float else None
    return index, None


def rows_out_of_range(counts: dict[int, int], numbers: Numbers, width: int, rows: Sequence[int]) -> set[int]:
    """Return the indices of those rows in which an index of `take` is out of range, or is not an integer.

    Args:
        counts: a dict from positions in a row to counts. The number at such a position must be an integer from 0 to
            the count minus 1.
        numbers: the numbers of all rows, one row after the other.
        width: how many numbers a row has.
        rows: the indices of the rows to check.

    >>> from array import array
    >>> rows_out_of_range({1: 2}, array("d", [9, 0, 9, 1, 9, 2, 9, 0.5]), 2, range(4)) == {2, 3}
    True
    """
    found: set[int] = set()
    for place, count in counts.items():
        column = numbers[place::width]
        every = len(rows) == len(column)
        if every and _are_indices(column, count):
            continue
        values = set(column if every else [column[row] for row in rows])
        wrong = {x for x in values if not (0.0 <= x < count and x.is_integer())}
        if wrong:
            found.update([row for row in rows if column[row] in wrong or column[row] != column[row]])
    return found


def _are_indices(column: FlatNumbers, count: int) -> bool:
    """Return whether all numbers in a column are integers from 0 to `count` - 1; False if numpy is not imported."""
    if not (numpy := sys.modules.get("numpy")):
        return False
    numbers = numpy.asarray(column)
    return bool(((numbers >= 0) & (numbers < count) & (numbers == numpy.floor(numbers))).all())


def out_of_range(graph: Graph, numbers: Sequence[float]) -> str:
    """Return a text about an index of `take` that is out of range, or not an integer, in the row with these numbers.

    Return "" if there is none.

    >>> from micrograd_cn import take
    >>> i = Value(0, "i")
    >>> out_of_range(Graph([take([1, 2], i)], [i]), [2.0])
    'an index or class is 2.0, but there are 2 to choose from, with the numbers 0 to 1'
    """
    copies = copied_leaves(graph, numbers)
    with recording():
        for node, op in replay(graph, copies):
            if op.lowerings.is_gather:
                index, count = copies[node].operands[0], len(node.operands) - 1
                number = index._data if isinstance(index, Value) else index
                if isnan(op.forward(number, *map(float, range(count)))):
                    between = f"the numbers 0 to {count - 1}"
                    return f"an index or class is {number}, but there are {count} to choose from, with {between}"
    return ""


def is_refused(graph: Graph, numbers: Sequence[float]) -> bool:
    """Return whether a loss in the graph refuses the row with these numbers: a `where` of the loss selects nan for it.

    >>> from micrograd_cn import less, where
    >>> t = Value(0.5)
    >>> graph = Graph([where(less(0, t), t, float("nan"))], [t])
    >>> is_refused(graph, [0.5]), is_refused(graph, [-0.5])
    (False, True)
    """
    copies = copied_leaves(graph, numbers)
    with recording():
        for node, op in replay(graph, copies):
            if is_check((node, op)):
                condition, *_ = copies[node].operands
                if is_nan(node.operands[1 if getattr(condition, "_data", condition) else 2]):
                    return True
    return False
