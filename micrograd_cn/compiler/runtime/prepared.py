"""Calls for a row at a time: memory, code and the parameters' numbers are there already, and stay until they change."""

from __future__ import annotations

import time
from array import array
from typing import Any

from ..data.rows import Numbers, address, in_order
from .executable import Executable, Executables

SELDOM = 256  # calls between two looks at whether better code is worth the time to make it


class Prepared:
    """What computes the outputs of the same rows again and again, for one thread at a time.

    Attributes:
        executable: the code.
        run: computes them, with the parameters as they were at the last `renew`.
    """

    def __init__(
        self, executables: Executables, executable: Executable, data: Any, n: int, out: int, *held: Any
    ) -> None:
        self.executable, self._memory, index = executable, executable.memory(), in_order(n)
        self.run = executable.prepared(
            self._memory, address(data), address(index), n, out, *held, index, data, executables
        )
        self._data, self._written = executables.data, array("d")

    def renew(self) -> None:
        """Take the parameters' data, if any data has changed since."""
        if self._written is not (data := self._data()):
            self.executable.write(self._memory, data)
            self._written = data


class _Ready(Prepared):
    """The same of one row.

    Attributes:
        numbers: of the row.
        out: where the outputs are then.
    """

    def __init__(self, executables: Executables, executable: Executable) -> None:
        self.numbers = memoryview(array("d", bytes(8 * executables.lowering.width)))
        self.out = array("d", bytes(8 * executable.outputs))
        super().__init__(executables, executable, self.numbers, 1, address(self.out), None)


class Caller:
    """The outputs for one row after the other; several threads may call it at the same time.

    >>> from micrograd_cn import Value
    >>> x, w = Value(1), Value(3)
    >>> call = Caller(Executables([w * x, -x], [x]))
    >>> call(array("d", [2])).tolist()
    [6.0, -2.0]
    >>> w.data = 5
    >>> call(array("d", [2])).tolist()
    [10.0, -2.0]
    """

    def __init__(self, executables: Executables) -> None:
        self._executables = executables
        self._ready: list[_Ready] = []
        self._executable: Executable | None = None
        self._calls, self._next = 0, 1

    def __call__(self, numbers: Numbers) -> array[float]:
        """Return the outputs of a row."""
        try:
            ready = self._ready.pop()
        except IndexError:
            ready = self._made()
        ready.numbers[:] = numbers
        ready.renew()
        self._calls += 1
        if self._calls < self._next:
            ready.run()
        else:
            self._look(ready)
        out = ready.out[:]
        if ready.executable is self._executable:
            self._ready.append(ready)
        return out

    def _made(self) -> _Ready:
        self._executable = self._executables.best("forward", 1)
        return _Ready(self._executables, self._executable)

    def _look(self, ready: _Ready) -> None:
        """Compute the row, and let go what is ready if there is better code by now."""
        begun = time.perf_counter()
        ready.run()
        ready.executable.seconds += self._calls * (time.perf_counter() - begun)
        self._calls, self._next = 0, min(2 * self._next, SELDOM)
        best = self._executables.best("forward", 1)
        if best is not self._executable:
            self._executable = best
            self._ready.clear()
