"""Compile the kernels of this folder: machine code that all programs share, and that copies and sorts their data.

Python code does the work of these kernels until they are compiled.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from ..llvm.builtin import BUILTIN_SIGNATURE, CALLING_SUFFIX, METH_FASTCALL, builtin_function, calling
from ..llvm.machine import Machine, machine
from ..llvm.text import KERNEL_PREFIX, KernelWriters
from ..threads.background import BackgroundTasks


class SharedKernels(dict[str, Callable[..., Any]]):
    """Kernels that are compiled together. This is a dict from their names to functions that call them.

    Args:
        kernels: a dict from the names to the functions that write the kernels in LLVM.
        holds_gil: whether Python's other threads have to wait while the kernels run. They need not if the kernels read
            and write no Python objects. If they have to wait, the functions in this dict return False if the kernel
            returns 0, and otherwise True.

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
        on, full = machine(), KERNEL_PREFIX + name
        if self.holds_gil:
            code = on.address(full + CALLING_SUFFIX, lambda: calling(on.kernels[full]), fast=True)
            self[name] = found = builtin_function(code, (), None, on, flag=METH_FASTCALL)
        else:
            self[name] = found = on.function(full, self.kernels[name], True)
        return found

    def address(self, name: str) -> int:
        """Return the address of the kernel with this name. The kernel is compiled if it is not yet."""
        if name not in self._addresses:
            on = machine()
            self._machines.append(on)
            self._addresses[name] = on.address(KERNEL_PREFIX + name, self.kernels[name], fast=True)
        return self._addresses[name]

    def is_ready(self, name: str) -> bool:
        """Return whether the kernel with this name is compiled. If it is not, compile it in the background."""
        if name not in self._addresses:
            self._tasks.do(name, partial(self.address, name))
        return name in self._addresses

    def compile(self) -> None:
        """Compile all kernels."""
        on, full = machine(), {KERNEL_PREFIX + name: write for name, write in self.kernels.items()}
        on.compile_kernels(full, True)
        if self.holds_gil:
            called = [on.kernels[name] for name in full if on.kernels[name].arguments != BUILTIN_SIGNATURE[0]]
            on.compile_kernels({f.name + CALLING_SUFFIX: partial(calling, f) for f in called}, True)
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
