"""Describe the machine, compile LLVM text to machine code for it (by llvmlite), and allocate memory for numbers."""

from __future__ import annotations

import ctypes
import os
import re
import threading
from array import array
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from contextlib import nullcontext, suppress
from functools import partial
from typing import Any

from . import builtin
from .functions import LIBRARY, Library, vector_function_name
from .lanes import ARITHMETIC
from .text import FAST_KERNEL_PREFIX, KERNEL_PREFIX, Function, KernelWriters

try:
    import llvmlite.binding as llvm
except ImportError as error:
    message = "micrograd_cn.compiler needs llvmlite: pip install llvmlite, or from a clone pip install -e '.[native]'"
    raise ImportError(message) from error

# LLVM's levels of code generation for the functions of one program. Those that compute single numbers run no faster at
# level 1, and take twice as long to compile. The same is true of functions that train, since kernels do most of their
# work. But at level 1, functions that compute outputs as vectors are up to 1.6 times as fast as at level 0, since level
# 1 keeps more values in registers.
# And at level 0, LLVM 22 aborts the process on some functions that store outputs as vectors, on emeraldrapids.
SCALAR_LEVEL, VECTOR_LEVEL = 0, 1
SPLIT_512 = ("znver4",)  # these processors split vectors of 512 bits in halves; vectors of 256 bits are stored faster
# The types of ctypes for those of LLVM
CTYPES: dict[str, Any] = {"ptr": ctypes.c_void_p, "i64": ctypes.c_int64, "double": ctypes.c_double, "void": None}
_ZERO = array("d", [0.0])
_lock = threading.RLock()  # all threads share LLVM's global context, into which text is parsed
_llvm_lock: Any = getattr(llvm.ffi.lib, "_lock", nullcontext())  # llvmlite holds it during each call of LLVM


def _hold() -> None:
    _lock.acquire()
    _llvm_lock.__enter__()


def _release() -> None:
    try:
        _llvm_lock.__exit__(None, None, None)
    finally:  # Ctrl-C may have come in `_hold`, before it had the second lock
        _lock.release()


if hasattr(os, "register_at_fork"):  # a child would wait forever for a lock that another thread holds at the fork
    os.register_at_fork(before=_hold, after_in_parent=_release, after_in_child=_release)


class Machine:
    """A processor, and the kernels that are compiled for it: functions that all programs of the process share.

    Args:
        name: LLVM's name of the processor. The default is the processor that runs this process. For another processor,
            code can be written but not run.
        triple: LLVM's name of the machine and system; by default those of this process.
        features: a dict from LLVM's name of each feature, for example "avx", to whether the processor has this feature.
            The default is the features of the processor that runs this process.

    Attributes:
        simd: the number of doubles in a SIMD vector. The processor is fastest with vectors of this size.
        registers: the number of vector registers.
        width: the number of lanes of a block, which is memory for that many rows. The lanes fill two SIMD vectors:
            while an addition to one vector waits for an earlier addition, the processor adds to the other vector.
        fma: whether the processor has FMA: it multiplies and adds with one rounding.
        library: an object that writes the LLVM code of elementary functions, such as exp, of vectors.
        kernels: a dict from names to the kernels that are compiled.
        addresses: two dicts from a kernel's name to its address: `addresses[False]` has kernels that were compiled
            quickly, and `addresses[True]` has optimised ones.
    """

    def __init__(self, name: str = "", triple: str = "", features: Mapping[str, bool] | None = None) -> None:
        llvm.initialize_native_target()
        llvm.initialize_native_asmprinter()
        self.name = name or llvm.get_host_cpu_name()
        self.triple = triple or llvm.get_process_triple()
        found: Any = llvm.get_host_cpu_features() if features is None else llvm.FeatureMap(features)
        self.features: str = found.flatten()
        wide = found.get("avx512f") and self.name not in SPLIT_512
        self.simd = 8 if wide else 4 if found.get("avx") else 2
        self.width = 2 * self.simd
        self.registers = 32 if found.get("avx512vl") or not self.triple.startswith(("x86", "i")) else 16
        if self.triple == llvm.get_process_triple():
            with _lock:
                self.engine()  # LLVM finds the functions of the process only after this
                with suppress(RuntimeError):  # not every system has it
                    llvm.load_library_permanently(LIBRARY)
                for name, address in builtin.addresses().items():
                    llvm.add_symbol(name, address)
        self.fma: bool = bool(found.get("fma")) or not self.triple.startswith(("x86", "i"))
        self.library = Library(self.triple, self.simd, self.fma, _has_function)
        self.kernels: dict[str, Function] = {}
        self.addresses: tuple[dict[str, int], dict[str, int]] = ({}, {})
        self._targets: dict[int, Any] = {}  # for each level, the target machine that generates code
        self._engine: Any = None  # the engine that has the code of all kernels

    def target(self, level: int) -> Any:
        """Return a new target machine, LLVM's object that generates code for this processor.

        At a higher `level` of optimisation, the code is faster, but generating it takes longer.
        """
        return llvm.Target.from_triple(self.triple).create_target_machine(
            cpu=self.name, features=self.features, opt=level, reloc="default", codemodel="jitdefault", jit=True
        )

    def generate(self, module: Any, level: int) -> bytes:
        """Return the machine code of an LLVM module as an object file. `level` is LLVM's optimisation level.

        The target machines are kept, since the first code that a new one generates takes LLVM 2 ms longer.
        """
        target = self._targets.get(level) or self._targets.setdefault(level, self.target(level))
        module.data_layout = str(target.target_data)
        code: bytes = target.emit_object(module)
        return code

    def engine(self) -> Any:
        """Return a new LLVM execution engine, into which object files can be loaded."""
        return llvm.create_mcjit_compiler(llvm.parse_assembly(""), self.target(0))

    def text(self, functions: Sequence[Function], prefix: str = KERNEL_PREFIX) -> str:
        """Return the text of an LLVM module with these functions, and with declarations of those that they call.

        The names of kernels begin with `prefix`, which replaces KERNEL_PREFIX in the text of each function. One
        replacement in the whole text would let Python's other threads wait too long.
        """
        declared: dict[str, str] = {}
        for f in functions:
            for name, (type_, operands) in f.called.items():
                declared[name] = f"declare {type_} @{name}({', '.join(operands)})"
        for f in functions:
            declared.pop(f.name, None)
        widths = f'"min-legal-vector-width"="{64 * self.simd}" "prefer-vector-width"="{64 * self.simd}"'
        return "\n".join(
            [
                f'target triple = "{self.triple}"\n',
                *[line.replace(KERNEL_PREFIX, prefix) for line in sorted(declared.values())],
                "",
                *[str(f).replace(KERNEL_PREFIX, prefix) for f in functions],
                f"attributes #0 = {{ nounwind {widths} }}",
                f'attributes #1 = {{ nounwind "frame-pointer"="all" {widths} }}\n',
                '!0 = !{!"branch_weights", i32 1, i32 2000}',
            ]
        )

    def compile(
        self, functions: Sequence[Function], op_names: Mapping[str, str] | None = None, level: int = SCALAR_LEVEL
    ) -> Compiled:
        """Compile the functions of one program. The kernels that they call are compiled first.

        Args:
            functions: the functions of the program, whose LLVM text is compiled.
            op_names: for each opcode that an operation is lowered to, the operation's name, for error messages.
            level: LLVM's level of code generation.

        Raises:
            TypeError: one of the functions calls a C function that the process does not have, or an LLVM intrinsic that
                does not exist.
        """
        for f in functions:
            self.check(f, op_names or {})
            self.compile_kernels(f.kernels | self._vector_functions(f), fast=True)
        return Compiled(self, functions, FAST_KERNEL_PREFIX, level, op_names or {})

    def check(self, f: Function, op_names: Mapping[str, str]) -> None:
        """Raise TypeError if the LLVM function `f` calls a C function that the process does not have.

        The error message names the operation that is lowered to the C function. `op_names` maps opcodes to the names of
        operations.
        """
        for name in (*f.called, *(name for name, _ in f.vector_functions)):
            if not name.startswith(("llvm.", KERNEL_PREFIX)) and not _has_function(name):
                raise _unknown(name, op_names)

    def _vector_functions(self, f: Function) -> KernelWriters:
        """Return the elementary functions of vectors that `f` calls: a dict from names to functions that write them."""
        return {
            vector_function_name(name, count): partial(self.library.write_vector_function, name, count, operands)
            for (name, count), operands in f.vector_functions.items()
        }

    def _functions_of(self, kernels: KernelWriters, fast: bool, op_names: Mapping[str, str]) -> dict[str, Function]:
        """Return the functions of those kernels, and of the kernels that they call, that are not compiled yet, by name.

        The arguments and the error are those of `compile_kernels`.
        """
        made: dict[str, Function] = {}
        wanted = dict(kernels)
        while wanted:
            name, make = wanted.popitem()
            if name not in self.addresses[fast] and name not in made:
                f = made[name] = self.kernels.get(name) or make()
                self.check(f, op_names)
                wanted |= f.kernels | self._vector_functions(f)
        return made

    def compile_kernels(self, kernels: KernelWriters, fast: bool, op_names: Mapping[str, str] | None = None) -> None:
        """Compile kernels, and the kernels that they call, if they are not compiled yet.

        Args:
            kernels: for each kernel's name, the function that writes the kernel.
            fast: whether to compile optimised versions of the kernels, which takes longer.
            op_names: for each opcode that an operation is lowered to, the operation's name, for error messages.

        Raises:
            TypeError: a kernel calls a C function that the process does not have, or an LLVM intrinsic that does not
                exist.
        """
        if kernels.keys() <= self.addresses[fast].keys():
            return
        with _lock:
            made = self._functions_of(kernels, fast, op_names or {})
            if made:
                prefix = FAST_KERNEL_PREFIX if fast else KERNEL_PREFIX
                compiled = Compiled(self, list(made.values()), prefix, int(fast), op_names or {}, self._engine)
                self._engine = compiled.engine
                found = {name: compiled.address(name.replace(KERNEL_PREFIX, prefix)) for name in made}
                for name, address in found.items():
                    llvm.add_symbol(name.replace(KERNEL_PREFIX, prefix), address)
                self.kernels |= made
                # All at once, and last: LLVM must find each kernel that has an address, and Ctrl-C may come earlier.
                self.addresses[fast].update(found)

    def count_slow(self, names: Collection[str]) -> int:
        """Return how many of the kernels with these names have no optimised version yet."""
        return len(names) - sum(map(self.addresses[True].__contains__, names))  # a loop that runs in C

    def with_kernels(self, functions: Sequence[Function], names: Iterable[str]) -> list[Function]:
        """Return `functions`, followed by the compiled kernels that they need.

        A kernel is needed if its name is in `names`, or if a function or another needed kernel calls it.
        """
        found = {f.name: f for f in functions}
        wanted = [*names, *(name for f in functions for name in f.called)]
        while wanted:
            name = wanted.pop()
            if name in self.kernels and name not in found:
                found[name] = self.kernels[name]
                wanted += self.kernels[name].called
        return list(found.values())

    def address(self, name: str, make: Callable[[], Function], fast: bool) -> int:
        """Return the address of a kernel. The kernel is compiled if that has not been done yet.

        Args:
            name: the kernel's name.
            make: the function that writes the kernel.
            fast: whether the optimised version is wanted.
        """
        if name not in self.addresses[fast]:
            self.compile_kernels({name: make}, fast)
        return self.addresses[fast][name]

    def function(self, name: str, make: Callable[[], Function], fast: bool) -> Callable[..., Any]:
        """Return a kernel as a ctypes function. The kernel is compiled if that has not been done yet.

        The types of its arguments are those in the LLVM text of the kernel: i64 is an int, double a float, and ptr an
        address. Python's other threads go on while it runs, so it may neither read nor write Python objects.

        Args:
            name: the kernel's name.
            make: the function that writes the kernel.
            fast: whether the optimised version is wanted.
        """
        address, f = self.address(name, make, fast), self.kernels[name]
        operands = [CTYPES[x.partition(" ")[0]] for x in f.arguments.split(", ")]
        return ctypes.CFUNCTYPE(CTYPES[f.result], *operands)(address)


_machine: Machine | None = None
_known_intrinsics = set[str]()  # those that LLVM has
_known_functions = set[str]()  # C functions that the process has


def machine() -> Machine:
    """Return the machine that runs this process. All programs and threads of the process share the object."""
    global _machine
    if _machine is None:  # once it is made, nobody needs the lock, which a thread holds while LLVM compiles
        with _lock:
            _machine = _machine or Machine()
    return _machine


class Compiled:
    """The compiled functions of an LLVM module. Their machine code is freed with the engine that has it.

    Each call into LLVM releases the GIL and acquires it again, which makes other threads wait. So LLVM is called as
    rarely as possible; for example, it is not asked for the names of the functions.

    Args:
        on: the machine for which the functions are compiled.
        functions: the functions of the module, whose LLVM text is compiled.
        prefix: the prefix of the names of kernels, which replaces KERNEL_PREFIX.
        level: LLVM's optimisation level. At a higher level, the code is faster but compiling takes longer.
        op_names: for each opcode that an operation is lowered to, the operation's name, for error messages.
        engine: the LLVM execution engine that has other functions, and gets these, too; by default a new one.

    Attributes:
        engine: the execution engine that has the machine code.

    Raises:
        RuntimeError: LLVM rejects the text.
        TypeError: a function calls an intrinsic that does not exist, on which LLVM would crash.
    """

    def __init__(
        self,
        on: Machine,
        functions: Sequence[Function],
        prefix: str,
        level: int,
        op_names: Mapping[str, str],
        engine: Any = None,
    ) -> None:
        text = on.text(functions, prefix)
        intrinsics = {name for f in functions for name in f.called if name.startswith("llvm.")}
        with _lock:
            try:
                module = llvm.parse_assembly(text)
                module.verify()
            except RuntimeError as error:  # some versions of LLVM report here that an intrinsic has other operands
                for opcode in op_names:
                    if opcode.startswith("llvm.") and f"@{opcode}." in str(error):
                        raise _unknown(opcode, op_names) from error
                raise
            unknown = [x for x in intrinsics - _known_intrinsics if not list(module.get_function(x).attributes)]
            for name in unknown:
                raise _unknown(re.sub(r"(\.v\d+)?\.?f64$", "", name), op_names)
            _known_intrinsics.update(intrinsics)
            code = on.generate(module, level)
            self.engine: Any = engine or on.engine()
            self.engine.add_object_file(llvm.ObjectFileRef.from_data(code))
            self.engine.finalize_object()
            names = [f.name.replace(KERNEL_PREFIX, prefix) for f in functions]
            self._addresses = {name: int(self.engine.get_function_address(name)) for name in names}

    def address(self, name: str) -> int:
        """Return the address of the function with this name."""
        return self._addresses[name]


def _has_function(name: str) -> bool:
    """Return whether the process has a C function with this name."""
    if name not in _known_functions and llvm.address_of_symbol(name) is not None:
        _known_functions.add(name)
    return name in _known_functions


def _unknown(opcode: str, op_names: Mapping[str, str]) -> TypeError:
    return TypeError(
        f"the operation {op_names.get(opcode, '')!r} has lowerings.machine={opcode!r}, which is neither a function of "
        "C's library nor an LLVM intrinsic with this number of operands; the LLVM instructions that it may be are "
        f"{', '.join(ARITHMETIC)}, fneg, fcmp and select"
    )


class Memory:
    """An array of `count` doubles, aligned to 64 bytes as the widest SIMD vectors need it.

    Attributes:
        view: the doubles, as a memoryview.
        address: the address of the first double.
    """

    def __init__(self, count: int) -> None:
        doubles = _ZERO * (count + 8)  # a ctypes array would need a type of its own for each length
        start = -doubles.buffer_info()[0] % 64 // 8
        self.view: Any = memoryview(doubles)[start : start + count]
        self.address = doubles.buffer_info()[0] + 8 * start
