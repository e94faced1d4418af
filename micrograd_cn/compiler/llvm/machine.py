"""This machine: how wide it computes, from text to functions that can be called (llvmlite), memory for them."""

from __future__ import annotations

import ctypes
import os
import re
import threading
from array import array
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import nullcontext, suppress
from functools import cache, partial
from typing import Any

from . import builtin
from .functions import LIBRARY, Library, called
from .lanes import ARITHMETIC
from .text import FAST_KERNEL_PREFIX, KERNEL_PREFIX, Function, KernelWriters

try:
    import llvmlite.binding as llvm
except ImportError as error:
    raise ImportError("micrograd_cn.compiler needs llvmlite: pip install 'micrograd-cn[native]'") from error

HALVES = ("znver4",)  # processors that compute 512 bits as two halves: 256 are as fast there, and their stores faster
_lock = threading.RLock()  # LLVM's context, into which text is parsed, is one for all threads
_llvm_lock: Any = getattr(llvm.ffi.lib, "_lock", nullcontext())  # of llvmlite, around each call of LLVM


def _hold() -> None:
    _lock.acquire()
    _llvm_lock.__enter__()


def _go_on() -> None:
    _llvm_lock.__exit__(None, None, None)
    _lock.release()


if hasattr(os, "register_at_fork"):  # no other thread is in LLVM when a process is forked, or the child could not go on
    os.register_at_fork(before=_hold, after_in_parent=_go_on, after_in_child=_go_on)


class Machine:
    """The processor that runs the code, and the functions that all programs of this process share.

    Args:
        name: what LLVM calls the processor; by default it is this one. Of another one the code can be looked at.
        triple: what LLVM calls its machine and system.
        features: what LLVM calls the processor's abilities, and whether it has them.

    Attributes:
        simd: how many doubles are in the vectors that it computes fastest with.
        registers: how many of them there are.
        width: lanes of a block: two vectors, since a sum must wait for its last addition, and the sums of a loop share
            the registers.
        fused: whether it multiplies and adds with one rounding.
        shared: the functions of our own that are compiled once, for all programs.
        written: functions that programs have asked for, by what writes them.
        addresses: of the functions, compiled with little effort, and with more.
    """

    def __init__(self, name: str = "", triple: str = "", features: Mapping[str, bool] | None = None) -> None:
        llvm.initialize_native_target()
        llvm.initialize_native_asmprinter()
        self.name = name or llvm.get_host_cpu_name()
        self.triple = triple or llvm.get_process_triple()
        found: Any = llvm.get_host_cpu_features() if features is None else llvm.FeatureMap(features)
        self.features: str = found.flatten()
        wide = found.get("avx512f") and self.name not in HALVES
        self.simd = 8 if wide else 4 if found.get("avx") else 2
        self.width = 2 * self.simd
        self.registers = 32 if found.get("avx512vl") or not self.triple.startswith(("x86", "i")) else 16
        if self.triple == llvm.get_process_triple():
            with _lock:
                self.engine(llvm.parse_assembly(""), 0)  # after the first one, functions of the process are found
                with suppress(RuntimeError):  # not every system has it
                    llvm.load_library_permanently(LIBRARY)
                for python, at in builtin.addresses().items():
                    llvm.add_symbol(python, at)
        self.fused: bool = bool(found.get("fma")) or not self.triple.startswith(("x86", "i"))
        self.library = Library(self.triple, self.simd, self.fused, _found)
        self.kernels: dict[str, Function] = {}
        self.written_kernels: dict[Any, Function] = {}
        self.addresses: tuple[dict[str, int], dict[str, int]] = ({}, {})
        self._compiled: list[Compiled] = []

    def target(self, level: int) -> Any:
        """Return what makes the processor's instructions of a module, with more effort at a higher level."""
        return llvm.Target.from_triple(self.triple).create_target_machine(
            cpu=self.name, features=self.features, opt=level, reloc="default", codemodel="jitdefault", jit=True
        )

    def engine(self, module: Any, level: int) -> Any:
        """Return LLVM's compiler of a module."""
        return llvm.create_mcjit_compiler(module, self.target(level))

    def text(self, functions: Sequence[Function]) -> str:
        """Return the module of some functions, with declarations of what they call."""
        declared: dict[str, str] = {}
        for f in functions:
            for name, (kind, operands) in f.called.items():
                declared[name] = f"declare {kind} @{name}({', '.join(operands)})"
        for f in functions:
            declared.pop(f.name, None)
        widths = f'"min-legal-vector-width"="{64 * self.simd}" "prefer-vector-width"="{64 * self.simd}"'
        return "\n".join(
            [
                f'target triple = "{self.triple}"\n',
                *sorted(declared.values()),
                "",
                *map(str, functions),
                f"attributes #0 = {{ nounwind {widths} }}",
                f'attributes #1 = {{ nounwind "frame-pointer"="all" {widths} }}\n',
                '!0 = !{!"branch_weights", i32 1, i32 2000}',
            ]
        )

    def compile(self, functions: Sequence[Function], op_names: Mapping[str, str] | None = None) -> Compiled:
        """Compile functions, and first those shared by all programs that they call.

        Args:
            functions: what is compiled.
            op_names: the names of the operations that have machine forms, for messages.

        Raises:
            TypeError: they call a function that the process does not have.
        """
        for f in functions:
            self.check(f, op_names or {})
            self.compile_kernels(f.kernels | self._elementary(f), fast=True)
        return Compiled(self, self.text(functions).replace(KERNEL_PREFIX, FAST_KERNEL_PREFIX), 1, op_names or {})

    def check(self, f: Function, op_names: Mapping[str, str]) -> None:
        """Raise TypeError if a function calls one of C's that the process does not have."""
        for name in (*f.called, *(name for name, _ in f.elementary)):
            if not name.startswith(("llvm.", KERNEL_PREFIX)) and not _found(name):
                raise _unknown(name, op_names)

    def _elementary(self, f: Function) -> KernelWriters:
        """Return what writes the functions of vectors that a function calls."""
        return {
            called(name, count): partial(self.library.on_vectors, name, count, operands)
            for (name, count), operands in f.elementary.items()
        }

    def compile_kernels(self, kernels: KernelWriters, fast: bool, op_names: Mapping[str, str] | None = None) -> None:
        """Compile functions that all programs share, once in a process; or once more, so that they are `fast`."""
        with _lock:
            made: dict[str, Function] = {}
            wanted = dict(kernels)
            while wanted:
                name, make = wanted.popitem()
                if name not in self.addresses[fast] and name not in made:
                    f = made[name] = self.kernels.get(name) or make()
                    self.check(f, op_names or {})
                    wanted |= f.kernels | self._elementary(f)
            if made:
                text, prefix = self.text(list(made.values())), FAST_KERNEL_PREFIX if fast else KERNEL_PREFIX
                compiled = Compiled(self, text.replace(KERNEL_PREFIX, prefix), int(fast), op_names or {})
                self._compiled.append(compiled)
                for name in made:
                    shared = name.replace(KERNEL_PREFIX, prefix)
                    self.addresses[fast][name] = compiled.address(shared)
                    llvm.add_symbol(shared, self.addresses[fast][name])
                self.kernels |= made

    def count_slow(self, names: Iterable[str]) -> int:
        """Return how many shared functions have not been made fast yet."""
        return sum(name not in self.addresses[True] for name in names)

    def with_kernels(self, functions: Sequence[Function], names: Iterable[str]) -> list[Function]:
        """Return functions with all the shared ones that they and some others call."""
        found = {f.name: f for f in functions}
        wanted = [*names, *(name for f in functions for name in f.called)]
        while wanted:
            name = wanted.pop()
            if name in self.kernels and name not in found:
                found[name] = self.kernels[name]
                wanted += self.kernels[name].called
        return list(found.values())

    def address(self, name: str, make: Callable[[], Function], fast: bool) -> int:
        """Return the address of a function that all programs share."""
        if name not in self.addresses[fast]:
            self.compile_kernels({name: make}, fast)
        return self.addresses[fast][name]


@cache
def _machine() -> Machine:
    return Machine()


def machine() -> Machine:
    """Return the machine, one for all programs and threads of the process."""
    with _lock:
        return _machine()


class Compiled:
    """The functions of a module; their code is freed with the object.

    Raises:
        RuntimeError: LLVM refuses the text.
        TypeError: it calls an intrinsic that there is not, at which LLVM would crash.
    """

    def __init__(self, on: Machine, text: str, level: int, op_names: Mapping[str, str]) -> None:
        with _lock:
            try:
                module = llvm.parse_assembly(text)
                module.verify()
            except RuntimeError as error:  # some versions of LLVM say here that an intrinsic has other operands
                for opcode in op_names:
                    if opcode.startswith("llvm.") and f"@{opcode}." in str(error):
                        raise _unknown(opcode, op_names) from error
                raise
            declared = [f for f in module.functions if f.is_declaration]
            unknown = [f.name for f in declared if f.name.startswith("llvm.") and not list(f.attributes)]
            self.engine: Any = on.engine(module, level)
            for name in unknown:
                raise _unknown(re.sub(r"(\.v\d+)?\.?f64$", "", name), op_names)
            self.engine.finalize_object()

    def address(self, name: str) -> int:
        """Return a function's address."""
        return int(self.engine.get_function_address(name))


def _found(name: str) -> bool:
    """Return whether the process has a function of C."""
    return llvm.address_of_symbol(name) is not None


def _unknown(opcode: str, op_names: Mapping[str, str]) -> TypeError:
    return TypeError(
        f"the operation {op_names.get(opcode, '')!r} has the machine form {opcode!r}, which is no function of C's "
        "library and no intrinsic of LLVM with so many operands; others are "
        f"{', '.join(ARITHMETIC)}, fneg, fcmp and select"
    )


class Memory:
    """Doubles at an address that vectors like.

    Attributes:
        data: the doubles, to be read and written.
        view: the same, several of them faster.
        address: where they are.
    """

    def __init__(self, count: int) -> None:
        self._raw = (ctypes.c_double * (count + 8))()
        offset = -ctypes.addressof(self._raw) % 64
        self.data: Any = (ctypes.c_double * count).from_buffer(self._raw, offset)
        self.view: Any = memoryview(self.data).cast("B").cast("d") if count else memoryview(array("d"))
        self.address = ctypes.addressof(self._raw) + offset
