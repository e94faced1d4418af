"""Compile kernels (machine code) that all programs share. Python code does their work until they are compiled."""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from typing import Any, NamedTuple

from ..llvm.machine import Machine, machine
from ..llvm.text import KERNEL_PREFIX, Function
from ..threads.background import BackgroundTasks

POINTER, SIZE = ctypes.c_void_p, ctypes.c_int64


class CtypesKernel(NamedTuple):
    """A kernel: a function in machine code, which Python calls through ctypes, or by its address.

    Attributes:
        write: a function that writes the kernel in LLVM.
        result: the ctypes type of the result, or None. It is not used if the kernel is called by its address.
        operands: the ctypes types of the operands. They are not used either if the kernel is called by its address.
        holds_gil: whether Python's other threads have to wait while the kernel runs. They need not if it reads and
            writes no Python objects.
    """

    write: Callable[[], Function]
    result: Any
    operands: list[Any]
    holds_gil: bool = False


class SharedKernels(dict[str, Callable[..., Any]]):
    """Kernels that are compiled together. This is a dict from their names to functions that call them.

    Args:
        kernels: a dict from the names to the kernels.

    Attributes:
        are_compiled: whether the kernels are compiled.
    """

    def __init__(self, kernels: dict[str, CtypesKernel]) -> None:
        self.kernels, self.are_compiled = kernels, False
        self._served, self._tasks = 0, BackgroundTasks()
        self._addresses: dict[str, int] = {}
        self._machines: list[Machine] = []  # those whose kernels are used; the machine code is freed with them

    def __missing__(self, name: str) -> Callable[..., Any]:
        """Return a function that calls the kernel with this name. Add the function to the dict."""
        _, result, operands, holds_gil = self.kernels[name]
        prototype = ctypes.PYFUNCTYPE if holds_gil else ctypes.CFUNCTYPE
        found: Callable[..., Any] = prototype(result, *operands)(self.address(name))
        self[name] = found
        return found

    def address(self, name: str) -> int:
        """Return the address of the kernel with this name. The kernel is compiled if it is not yet."""
        if name not in self._addresses:
            on = machine()
            self._machines.append(on)
            self._addresses[name] = on.address(KERNEL_PREFIX + name, self.kernels[name].write, fast=True)
        return self._addresses[name]

    def compile(self) -> None:
        """Compile all kernels."""
        machine().compile_kernels({KERNEL_PREFIX + name: kernel.write for name, kernel in self.kernels.items()}, True)
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
