"""Prepare calls of compiled code. Once buffers, code and arguments are ready, each call takes little time."""

from __future__ import annotations

import time
from array import array
from typing import Any

from ..data.rows import Numbers, address, row_numbers
from .executable import CompiledGraph, Executable

CALLS_BETWEEN_CHECKS = 256  # a `RowRunner` checks after at most this many calls, and more often in the beginning


class PreparedCall:
    """A computation of some rows' outputs that can be repeated in little time, by one thread at a time.

    Args:
        compiled: the graph.
        executable: the code to run.
        data: a buffer with the numbers of the rows.
        n: how many rows there are.
        out: the address where the outputs are stored.
        kept_alive: objects that must live as long as `run`. The first of them is what `run` returns.

    Attributes:
        executable: the code that is run.
        run: a function without arguments that computes the outputs. It uses the parameters' data that the last `renew`
            has copied.
    """

    def __init__(
        self, compiled: CompiledGraph, executable: Executable, data: Any, n: int, out: int, *kept_alive: Any
    ) -> None:
        self.executable, self._buffers, index = executable, executable.acquire(), row_numbers(n)
        self.run = executable.prepared(
            self._buffers, address(data), address(index), n, out, *kept_alive, index, data, compiled
        )
        self._data, self._parameters = compiled.data, array("d")

    def renew(self) -> None:
        """Copy the parameters' data into the buffers, if the data may have changed since the last `renew`."""
        if self._parameters is not (data := self._data()):
            self.executable.write(self._buffers, data)
            self._parameters = data


class _PreparedRow(PreparedCall):
    """A `PreparedCall` for one row, with memory of its own for the row's numbers and the outputs.

    Attributes:
        numbers: the array to which the row's numbers are written before `run`.
        out: the array that has the outputs after `run`.
    """

    def __init__(self, compiled: CompiledGraph, executable: Executable) -> None:
        self.numbers = memoryview(array("d", bytes(8 * compiled.lowering.width)))
        self.out = array("d", bytes(8 * executable.outputs))
        super().__init__(compiled, executable, self.numbers, 1, address(self.out), None)


class RowRunner:
    """A function that computes the outputs of one row at a time. Several threads may call it at the same time.

    Each call takes a `_PreparedRow` that no other thread uses, or makes another one. The first calls run threaded code
    (tables that shared kernels read). From time to time a call checks whether this code has run for so long that native
    code is worthwhile.

    >>> from micrograd_cn import Value
    >>> x, w = Value(1), Value(3)
    >>> call = RowRunner(CompiledGraph([w * x, -x], [x]))
    >>> call(array("d", [2])).tolist()
    [6.0, -2.0]
    >>> w.data = 5
    >>> call(array("d", [2])).tolist()
    [10.0, -2.0]
    """

    def __init__(self, compiled: CompiledGraph) -> None:
        self._compiled = compiled
        self._idle: list[_PreparedRow] = []
        self._executable: Executable | None = None
        self._calls, self._next_check = 0, 1

    def __call__(self, numbers: Numbers) -> array[float]:
        """Return the outputs of the row whose numbers are in `numbers`."""
        try:
            row = self._idle.pop()
        except IndexError:
            row = self._prepare_row()
        row.numbers[:] = numbers
        row.renew()
        self._calls += 1
        if self._calls < self._next_check:
            row.run()
        else:
            self._run_and_check_tier(row)
        out = row.out[:]
        if row.executable is self._executable:
            self._idle.append(row)
        return out

    def _prepare_row(self) -> _PreparedRow:
        self._executable = self._compiled.select_tier("forward", 1)
        return _PreparedRow(self._compiled, self._executable)

    def _run_and_check_tier(self, row: _PreparedRow) -> None:
        """Compute the row. Then switch to native code if the present code has run long enough."""
        begun = time.perf_counter()
        row.run()
        row.executable.seconds += self._calls * (time.perf_counter() - begun)
        self._calls, self._next_check = 0, min(2 * self._next_check, CALLS_BETWEEN_CHECKS)
        best = self._compiled.select_tier("forward", 1)
        if best is not self._executable:
            self._executable = best
            self._idle.clear()
