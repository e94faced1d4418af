"""Compute once what no step of `fit` changes: the part of a program that depends on no parameter that is trained.

This is what the layers below the first trained one compute from a sample if they are frozen, or if the optimiser does
not have their parameters. It is also what the function computes from its arguments alone, such as powers of them.
"""

from __future__ import annotations

from array import array
from collections.abc import Collection
from weakref import WeakKeyDictionary

from ...engine import Value
from ..data.captured import with_kept_constants, with_leaves
from ..data.columns import Numbers
from ..data.rows import row_numbers
from ..instructions.graph import evaluation_order
from ..llvm.lanes import cost_in_operands
from ..runtime.executable import CompiledGraph
from ..threads.forks import cached_property

# To load a number takes as long as this many operands of arithmetic, and to compute with an operand this many seconds
OPERANDS_PER_NUMBER, SECONDS_PER_OPERAND = 8, 3e-11
# To split a program takes this many seconds for each operation, and about as long as for so many operations in any case
SECONDS_PER_OPERATION, MORE_OPERATIONS = 1e-4, 50
SECONDS_PER_CALL = 3e-5  # to compute the fixed part takes as long, even if there are few rows
MIN_ROWS = 20_000  # a program has to compute so many rows before its fixed part is looked for
MAX_NUMBERS = 4_000_000  # the fixed part is not kept if it has more numbers
MAX_KEPT = 8  # a program is kept split for at most so many sets of parameters


class _Split:
    """A program split in two. The first computes the fixed part, and the second the loss from the results of the first.

    The fixed part is what depends on the sample, but on no parameter that is trained.

    Args:
        program: the program.
        trained: the parameters that are trained.
    """

    def __init__(self, program: CompiledGraph, trained: Collection[Value]) -> None:
        self._graph, self._trained = program.graph, trained
        self._rows = 0  # how many rows were computed until now that a split program would not have computed
        self._made: tuple[CompiledGraph, CompiledGraph] | None = None

    def made_for(self, rows: int, epochs: int) -> tuple[CompiledGraph, CompiledGraph] | None:
        """Return the program for the fixed part and the one for the loss, or None if the program should not be split.

        The caller is about to train for `epochs` epochs with `rows` rows in each. In the first epoch, the fixed part
        has to be computed in any case, so two programs save time only in the others. They are made once they would have
        saved, in this call and all calls before, as much time as it takes to make them. The program is not split,
        either, if the fixed part has too many numbers to keep.
        """
        spared = rows * (epochs - 1)
        self._rows += spared
        if self._rows < MIN_ROWS:
            return None
        seconds = SECONDS_PER_OPERAND * self._saved
        if seconds * spared < SECONDS_PER_CALL or rows * len(self._columns) > MAX_NUMBERS:
            return None
        operations = len(self._graph.operations) + MORE_OPERATIONS
        if not self._made and seconds * self._rows > SECONDS_PER_OPERATION * operations:
            self._made = self._make()
        return self._made

    @cached_property
    def _root(self) -> Value:
        """The node of the loss, in a graph whose constants have the data that they had when the program was made."""
        [root] = with_kept_constants(self._graph.outputs[:1], self._graph.constants)
        return root

    @cached_property
    def _found(self) -> tuple[list[Value], int]:
        """The nodes at which the program is split, and the cost of computing their numbers for a row.

        These nodes are inputs, or are computed from inputs and from no trained parameter, and a node that depends on a
        trained parameter has them as operands. The cost is in operands, as in `cost_in_operands`. If the loss itself
        depends on no trained parameter, there are no such nodes, and the cost is 0.
        """
        changing, fixed, used, cost = {*self._trained}, {*self._graph.inputs}, dict[Value, None](), 0
        for node in evaluation_order([self._root])[:-1]:
            if not changing.isdisjoint(node.operands):
                changing.add(node)
                used.update(dict.fromkeys(filter(fixed.__contains__, node.operands)))
            elif not fixed.isdisjoint(node.operands):
                fixed.add(node)
                cost += cost_in_operands(node)
        return ([*used], cost) if self._root in changing else ([], 0)

    @property
    def _columns(self) -> list[Value]:
        return self._found[0]

    @cached_property
    def _saved(self) -> int:
        """The cost of computing the nodes in `_columns` for a row, less the cost of loading their numbers instead.

        The unit is that of `cost_in_operands`.
        """
        columns, cost = self._found
        return cost - OPERANDS_PER_NUMBER * sum([x.op is not None for x in columns])

    def _make(self) -> tuple[CompiledGraph, CompiledGraph]:
        # A leaf that takes the place of a node requires a gradient if the node does, as its users were recorded so
        leaves = {x: Value(x._data, x.label, requires_grad=x.requires_grad) for x in self._columns if x.op}
        rest = with_leaves([self._root], leaves)
        return (
            CompiledGraph(self._columns, [*self._graph.inputs], self._graph.parameters),
            CompiledGraph(rest, [leaves.get(x, x) for x in self._columns], self._graph.parameters),
        )


# For each program, how it is split for the sets of parameters with which it was trained last
_splits: WeakKeyDictionary[CompiledGraph, dict[bytes, _Split]] = WeakKeyDictionary()


def without_fixed_part(
    program: CompiledGraph,
    numbers: Numbers,
    rows: int,
    epochs: int,
    threads: int,
    trained: Collection[Value],
    key: bytes,
) -> tuple[CompiledGraph, Numbers]:
    """Return a program that computes the same loss in less time, and the rows that it takes.

    These rows have the numbers of the fixed part, which this function computes: what depends on the sample, but on no
    parameter in `trained`. If such a program would take no less time, `program` and `numbers` are returned. The new
    program has the same parameters in the same order. The caller must see to it that neither the rows nor parameters
    that are not trained change as long as the result is used.

    Args:
        program: a program with one output.
        numbers: the numbers of its rows.
        rows: how many rows there are.
        epochs: how often each row is going to be computed.
        threads: how many threads compute the fixed part.
        trained: the parameters that are trained.
        key: bytes that say which parameters these are.
    """
    splits = _splits.get(program) or _splits.setdefault(program, {})
    split = splits.get(key)
    if split is None:
        if len(splits) >= MAX_KEPT:
            splits.clear()
        split = splits[key] = _Split(program, trained)
    made = split.made_for(rows, epochs)
    if not made:
        return program, numbers
    fixed, rest = made
    found: array[float] = fixed.outputs_of(numbers, row_numbers(rows), threads)
    return rest, found
