"""Prepare calls of compiled code. Once buffers, code and arguments are ready, each call takes little time."""

from __future__ import annotations

import time
from array import array
from collections.abc import Callable
from math import isnan
from typing import Any, TypeVar

from ...graph import context
from ..data.columns import Numbers, address
from ..data.nodes import PreparedNodes, prepared_nodes
from ..data.rows import row_numbers
from ..loops.places import WORD
from .executable import CompiledGraph, Executable

K = TypeVar("K")
T = TypeVar("T")
# A call is prepared after more than so many calls, if the driver for it is compiled. If it is not, a background thread
# compiles it, which takes milliseconds.
CALLS_BEFORE_PREPARED = 10
MAX_NODES = 512  # more parameters are read again only if their data may have changed
CALLS_BETWEEN_CHECKS = 256  # a `PreparedRunner` checks after at most this many calls, and more often in the beginning
NOT_SPOILED = array("d", [0.0])


def may_prepare(calls: int, has_driver: Callable[[], bool]) -> bool:
    """Return whether to prepare a call after `calls` calls of its kind.

    Calls are of one kind if they have the same count of rows, or arrays of the same shapes. `has_driver` is called once
    there were a few calls. It returns whether the driver that prepared calls need is compiled. If the driver is not,
    `has_driver` may have it compiled in the background.
    """
    return calls > CALLS_BEFORE_PREPARED and has_driver()


class FrequentCalls(dict[K, T]):
    """A dict from kinds of calls to what was prepared for them. The calls of other kinds are counted.

    A kind, the key, says what calls have in common, such as the shapes of the arguments.

    Args:
        most: how many kinds may be prepared or counted. If a further kind is called, half of the kinds that are only
            counted are forgotten, namely those with the fewest calls. If at most one kind is only counted, all kinds
            are forgotten, also those that are prepared.
    """

    def __init__(self, most: int) -> None:
        super().__init__()
        self._most, self._counts = most, dict[K, int]()

    def is_due(self, kind: K, has_driver: Callable[[], bool]) -> bool:
        """Return whether to prepare calls of a kind now, for which nothing is prepared yet. If not, count this call.

        `has_driver` returns whether the driver that prepared calls need is compiled; if not, it may have it compiled in
        the background.
        """
        calls = self._counts.get(kind, 0)
        if may_prepare(calls, has_driver):
            return True
        if not calls and len(self) + len(self._counts) >= self._most:
            self._forget_some()
        self._counts[kind] = calls + 1
        return False

    def add(self, kind: K, prepared: T) -> T:
        """Keep what was prepared for this kind of calls, and return it."""
        self[kind] = prepared
        self._counts.pop(kind, None)
        return prepared

    def count_anew(self, kind: K) -> None:
        """Forget what was prepared for this kind of calls, and how many such calls there were."""
        self.pop(kind, None)
        self._counts.pop(kind, None)

    def _forget_some(self) -> None:
        by_count = sorted([(count, k) for k, count in enumerate(self._counts.values())])
        kinds = [*self._counts]
        for _, k in by_count[: len(by_count) // 2]:
            self._counts.pop(kinds[k], None)
        if len(by_count) < 2:
            self.clear()
            self._counts.clear()


class PreparedCall:
    """A computation of some rows' outputs that can be repeated in little time, by one thread at a time.

    Args:
        compiled: the compiled graph that computes the rows.
        executable: the code to run.
        numbers: a buffer with the numbers of the rows.
        n: how many rows there are.
        out: the address where the outputs are stored.
        kept_alive: objects that must live as long as `run`. The first of them is what `run` returns.

    Attributes:
        executable: the code that is run.
        run: a function without arguments that computes the outputs. It uses the parameters' data that the last `renew`
            has copied.
    """

    def __init__(
        self, compiled: CompiledGraph, executable: Executable, numbers: Any, n: int, out: int, *kept_alive: Any
    ) -> None:
        self.executable, self._buffers, index = executable, executable.acquire(), row_numbers(n)
        self.run = executable.prepared(
            self._buffers, address(numbers), address(index), n, out, *kept_alive, index, numbers, compiled
        )
        self._data, self._parameters = compiled.data, array("d")
        self._compiled = compiled
        self._nodes: PreparedNodes | None = None
        self._is_for_nodes = bool(compiled.graph.parameters) and not compiled.captured
        self._reads_nodes = self._is_for_nodes and len(compiled.graph.parameters) <= MAX_NODES
        self._operands = address(numbers), address(index), n, compiled.select_executable

    def mend(self) -> None:
        """Compute the gradient anew if it may be nan where it should not be; see `Executable.mend`."""
        self.executable.mend(self._buffers, *self._operands)

    def renew(self) -> None:
        """Copy the parameters' data into the buffers, if the data may have changed since the last `renew`."""
        if (
            context.data_changed
            and self._reads_nodes
            and not (context.active or self._data.watched_nodes)
            and (nodes := self._nodes or self._prepared_nodes())
            and nodes.read()
        ):
            return  # once somebody else notices the change, `data` returns another array
        if self._parameters is not (data := self._data()):
            self.executable.write(self._buffers, data)
            self._parameters = data

    def _prepared_nodes(self) -> PreparedNodes | None:
        """Return functions that read the parameters' nodes and add to their gradients; None if there are none yet."""
        if self._is_for_nodes:
            compiled, scalars = self._compiled, self._buffers.scalars.address
            place = scalars + WORD * compiled.padded_parameters
            self._nodes = prepared_nodes(compiled.graph.parameters, scalars, place)
        return self._nodes

    def add_gradients(self) -> bool:
        """Add the gradient that `run` has computed to the `grad` of the parameters, and return True.

        Return False, and change nothing, if there is no machine code for this, or if it cannot access the parameters.
        """
        nodes = self._nodes or self._prepared_nodes()
        return nodes is not None and nodes.add()


def prepare_outputs(compiled: CompiledGraph, numbers: Any, n: int, out: int, *kept_alive: Any) -> Callable[[], Any]:
    """Return a function without arguments that computes the outputs of n rows by the fastest code, made at once.

    Each call reads the numbers that are in `numbers` at that time, and the parameters' data. The arguments are those of
    `PreparedCall`.
    """
    call = PreparedCall(compiled, compiled.fastest_executable("forward", n), numbers, n, out, *kept_alive)
    if not (compiled.graph.parameters or compiled.data.watched):
        return call.run

    def with_parameters() -> Any:
        call.renew()
        return call.run()

    return with_parameters


class PreparedRows(PreparedCall):
    """A `PreparedCall` for some rows, with memory of its own for the rows' numbers and for the results.

    Attributes:
        numbers: the memory to which the numbers of the rows are written before `run`, one row after the other. A
            subclass may have a `ColumnTable` instead, which says where the numbers are.
        size: how many numbers the memory has.
        out: the array that has the outputs after `run`, or the mean output if the executable computes a gradient.
        gradients: the gradient after `run`, if the executable computes one.
        spoiled: a number, which is nan after `run` if the gradient has to be computed anew; see `Executable.mend`.
    """

    def __init__(self, compiled: CompiledGraph, executable: Executable, n: int) -> None:
        self.numbers, self.size = self._memory(n, len(compiled.graph.inputs))
        self.out = array("d", bytes(8 * (n * executable.outputs if executable.kind == "forward" else 1)))
        super().__init__(compiled, executable, self.numbers, n, address(self.out), None)
        first = compiled.padded_parameters
        self.gradients = self._buffers.scalars.view[first : first + len(compiled.graph.parameters)]
        may_be_spoiled = executable.omits_gates and executable.kind == "gradient"
        self.spoiled = self._buffers.scalars.view[2 * first : 2 * first + 1] if may_be_spoiled else NOT_SPOILED

    def _memory(self, n: int, width: int) -> tuple[Any, int]:
        """Return new memory for n rows, each of which has `width` numbers, and how many numbers the memory has."""
        return memoryview(array("d", bytes(8 * n * width))), n * width


class PreparedRunner:
    """Compute a graph for n rows of numbers, again and again. Several threads may use the object at the same time.

    A thread takes `PreparedRows` that no other thread uses, runs them, and gives them back. The first runs execute
    threaded code (tables that shared kernels read). From time to time `run` checks whether this code has run for so
    long that native code is worthwhile.

    Args:
        compiled: the compiled graph that computes the rows.
        kind: "forward" to compute the outputs of every row, "gradient" to compute the mean output and its gradient.
        n: how many rows are computed at a time.

    >>> from micrograd_cn import Value
    >>> x, w = Value(2), Value(3)
    >>> call = PreparedRunner(CompiledGraph([w * x, -x], [x]))
    >>> call(array("d", [2])).tolist()
    [6.0, -2.0]
    >>> w.data = 5
    >>> call(array("d", [2])).tolist()
    [10.0, -2.0]
    """

    def __init__(self, compiled: CompiledGraph, kind: str = "forward", n: int = 1) -> None:
        self._compiled, self._kind, self._n = compiled, kind, n
        self._unused: list[PreparedRows] = []
        self._executable: Executable | None = None
        self._calls, self._next_check = 0, 1

    def __call__(self, numbers: Numbers) -> array[float]:
        """Return the outputs of the rows whose numbers are in `numbers`, if `kind` is "forward"."""
        try:  # `acquire`, `run` and `release`, inlined: these calls would take a tenth of the time
            row = self._unused.pop()
        except IndexError:
            row = self.acquire()
        row.numbers[:] = numbers
        row.renew()
        self._calls += 1
        if self._calls < self._next_check:
            row.run()
        else:
            self._run_and_check_tier(row)
        out = row.out[:]
        if row.executable is self._executable:
            self._unused.append(row)
        return out

    def acquire(self) -> PreparedRows:
        """Return rows that no other thread uses until they are passed to `release`."""
        try:
            return self._unused.pop()
        except IndexError:
            self._executable = self._compiled.select_executable(self._kind, self._n)
            return self._prepare(self._executable)

    def _prepare(self, executable: Executable) -> PreparedRows:
        return PreparedRows(self._compiled, executable, self._n)

    def run(self, rows: PreparedRows) -> None:
        """Compute the outputs, or the gradient, of `rows`. Their numbers must have been written to `rows.numbers`."""
        rows.renew()
        self._calls += 1
        if self._calls < self._next_check:
            rows.run()
        else:
            self._run_and_check_tier(rows)
        if isnan(rows.spoiled[0]):
            rows.mend()

    def release(self, rows: PreparedRows) -> None:
        """Keep `rows` for the next thread that calls `acquire`.

        They are dropped if the runner uses other code by now than when the rows were made.
        """
        if self.uses_code_of(rows):
            self._unused.append(rows)

    def uses_code_of(self, rows: PreparedRows) -> bool:
        """Return whether the runner still uses the code for which `rows` were made."""
        return rows.executable is self._executable

    @property
    def doubles(self) -> int:
        """How many numbers are in the memory of all those rows that no thread uses now."""
        return sum([rows.size + len(rows.out) + sum(rows.executable.sizes) for rows in self._unused])

    def _run_and_check_tier(self, rows: PreparedRows) -> None:
        """Compute the outputs, or the gradient, of `rows`. Then switch to native code if that is worthwhile by now."""
        begun = time.perf_counter()
        rows.run()
        rows.executable.seconds += self._calls * (time.perf_counter() - begun)
        self._calls, self._next_check = 0, min(2 * self._next_check, CALLS_BETWEEN_CHECKS)
        best = self._compiled.select_executable(self._kind, self._n)
        if best is not self._executable:
            self._executable = best
            self._unused.clear()
