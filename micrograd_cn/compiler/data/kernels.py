"""Compile the kernels of this folder: machine code that all programs share, and that copies and sorts their data.

Python code does the work of these kernels until they are compiled.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ..llvm.machine import Machine, machine
from ..llvm.text import KERNEL_PREFIX, KernelWriters
from ..threads.background import BackgroundTasks


class SharedKernels(dict[str, Callable[..., Any]]):
    """Kernels that are compiled together. This is a dict from their names to functions that call them.

    Args:
        kernels: a dict from the names to the functions that write the kernels in LLVM.
        holds_gil: whether Python's other threads have to wait while the kernels run. They need not if the kernels read
            and write no Python objects.

    Attributes:
        are_compiled: whether the kernels are compiled.
    """

    def __init__(self, kernels: KernelWriters, holds_gil: bool = False) -> None:
        self.kernels, self.holds_gil, self.are_compiled = kernels, holds_gil, False
        self._served, self._tasks = 0, BackgroundTasks()
        self._addresses: dict[str, int] = {}
        self._machines: list[Machine] = []  # those whose kernels are used; the machine code is freed with them

    def __missing__(self, name: str) -> Callable[..., Any]:
        """Return a function that calls the kernel with this name. Add the function to the dict."""
        self.address(name)
        self[name] = found = machine().function(KERNEL_PREFIX + name, self.kernels[name], True, self.holds_gil)
        return found

    def address(self, name: str) -> int:
        """Return the address of the kernel with this name. The kernel is compiled if it is not yet."""
        if name not in self._addresses:
            on = machine()
            self._machines.append(on)
            self._addresses[name] = on.address(KERNEL_PREFIX + name, self.kernels[name], fast=True)
        return self._addresses[name]

    def compile(self) -> None:
        """Compile all kernels."""
        machine().compile_kernels({KERNEL_PREFIX + name: write for name, write in self.kernels.items()}, True)
        self.are_compiled = True

    def are_ready(self, items: int, before: int) -> bool:
        """Return whether the kernels are compiled. If they are not, Python code must do their work.

        Once Python code has processed many items, compile the kernels in the background.

        Args:
            items: how many items Python code is going to process if the kernels are not compiled.
            before: how many items Python code must have processed, in all calls together, before compiling begins.
        """
        if not self.are_compiled:
            if self._served < before:
                self._served += items
                return False
            self._tasks.do("compile", self.compile)
        return self.are_compiled
