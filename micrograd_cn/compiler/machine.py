"""This machine: how wide it computes, from text to functions that can be called (llvmlite), memory for them."""

from __future__ import annotations

import ctypes
import re
import threading
import time
from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

from .instructions import Lowering
from .layout import Layout
from .library import on_vectors
from .text import Function
from .writer import INSTRUCTIONS, declaration, fma, splat, symbol, vector

try:
    import llvmlite.binding as llvm
except ImportError as error:
    raise ImportError("micrograd_cn.compiler needs llvmlite: pip install 'micrograd-cn[native]'") from error

HALVES = ("znver4",)  # processors that compute 512 bits as two halves: 256 are as fast there, and their stores faster
L = TypeVar("L", bound=Layout)
_lock = threading.Lock()  # LLVM's context, into which text is parsed, is one for all threads


class Machine:
    """The processor that runs the code.

    Attributes:
        native: how many doubles are in the vectors that it computes fastest with.
        fused: whether it multiplies and adds with one rounding.
    """

    def __init__(self) -> None:
        llvm.initialize_native_target()
        llvm.initialize_native_asmprinter()
        self.name = llvm.get_host_cpu_name()
        features = llvm.get_host_cpu_features()
        self.features = features.flatten()
        wide = features.get("avx512f") and self.name not in HALVES
        self.native = 8 if wide else 4 if features.get("avx") else 2
        self.triple = llvm.get_process_triple()
        with _lock:
            self.engine(llvm.parse_assembly(""), 0)  # after the first one, functions of the process are found
        self.fused = features.get("fma") or not self.triple.startswith(("x86", "i"))

    def engine(self, module: Any, opt: int) -> Any:
        """Return LLVM's compiler of a module."""
        target = llvm.Target.from_triple(self.triple).create_target_machine(
            cpu=self.name, features=self.features, opt=opt, reloc="default", codemodel="jitdefault", jit=True
        )
        return llvm.create_mcjit_compiler(module, target)

    def arrange(self, kind: type[L], code: Lowering, roots: Sequence[int], first: int, slots: int, **how: Any) -> L:
        """Return the text of some instructions, with lanes for this machine.

        These are two vectors, since a sum must wait for its last addition, and the sums of a loop share the registers.
        """
        return kind(code, roots, 2 * self.native, self.native, first, slots, **{"fused": self.fused, **how})

    def text(self, layout: Layout, functions: Sequence[Function]) -> str:
        """Return a module: a layout's functions, the functions that call them, and what both need.

        Raises:
            TypeError: it calls a function that the process does not have.
        """
        lanes, bits = layout.width, 64 * self.native
        declared = {
            "declare void @llvm.memset.p0.i64(ptr, i8, i64, i1)",
            "declare void @llvm.memcpy.p0.p0.i64(ptr, ptr, i64, i1)",
        }
        declared |= {
            declaration(symbol("llvm.fma", n), vector(n) if n else "double", 3) for n in (0, self.native, lanes)
        }
        for form in {**layout.called, **layout.called_on_vectors}:
            if not form.startswith("llvm.") and llvm.address_of_symbol(form) is None:
                raise _unknown(form, layout.code.rows)
        wrappers = []
        for form, count in layout.called.items():
            declared.add(declaration(symbol(form, 0), "double", count))
        for form, count in layout.called_on_vectors.items():
            if form.startswith("llvm."):
                declared.add(declaration(symbol(form, lanes), vector(lanes), count))
            else:
                declared.add(declaration(form, "double", count))
                wrappers.append(on_vectors(form, lanes, count, self.fused))
        return "\n".join(
            [
                f'target triple = "{self.triple}"\n',
                *sorted(declared),
                "",
                *layout.tables,
                *map(str, wrappers),
                *layout.functions,
                *map(str, functions),
                f'attributes #0 = {{ nounwind "min-legal-vector-width"="{bits}" "prefer-vector-width"="{bits}" }}\n',
                '!0 = !{!"branch_weights", i32 1, i32 2000}',
            ]
        )


class Compiled:
    """The functions of a module; their code is freed with the object.

    Args:
        text: the module.
        machine: what it is for.
        opt: how well it is optimised, 0 to 3.
        rows: the names of the operations that have machine forms, for messages.

    Raises:
        RuntimeError: LLVM refuses the text.
        TypeError: it calls an intrinsic that there is not, at which LLVM would crash.
    """

    def __init__(self, text: str, machine: Machine, opt: int = 2, rows: Mapping[str, str] | None = None) -> None:
        with _lock:
            try:
                module = llvm.parse_assembly(text)
                module.verify()
            except RuntimeError as error:  # some versions of LLVM say here that an intrinsic has other operands
                for form in rows or {}:
                    if form.startswith("llvm.") and f"@{form}." in str(error):
                        raise _unknown(form, rows or {}) from error
                raise
            declared = [f for f in module.functions if f.is_declaration]
            unknown = [f.name for f in declared if f.name.startswith("llvm.") and not list(f.attributes)]
            self.engine: Any = machine.engine(module, opt)
            for name in unknown:
                raise _unknown(re.sub(r"(\.v\d+)?\.?f64$", "", name), rows or {})
            self.engine.finalize_object()

    def function(self, name: str, result: Any, *arguments: Any) -> Any:
        """Return a function that ctypes can call; it holds no lock of Python while it runs."""
        return ctypes.CFUNCTYPE(result, *arguments)(self.engine.get_function_address(name))


def _unknown(form: str, rows: Mapping[str, str]) -> TypeError:
    return TypeError(
        f"the operation {rows.get(form, '')!r} has the machine form {form!r}, which is no function of C's library and "
        f"no intrinsic of LLVM with so many operands; other forms are {', '.join(INSTRUCTIONS)}, fneg, fcmp and select"
    )


class Memory:
    """Doubles at an address that vectors like.

    Attributes:
        data: the doubles, to be read and written.
        address: where they are.
    """

    def __init__(self, count: int) -> None:
        self._raw = (ctypes.c_double * (count + 8))()
        offset = -ctypes.addressof(self._raw) % 64
        self.data: Any = (ctypes.c_double * count).from_buffer(self._raw, offset)
        self.address = ctypes.addressof(self._raw) + offset


def peak(steps: int = 200_000) -> float:
    """Return the floating-point operations a second of one core: multiplications with additions, all in registers.

    >>> peak(10) > 0
    True
    """
    machine = Machine()
    kind, chains = vector(machine.native), 16  # enough not to wait for any
    f = Function("double @peak(i64 %n, double %x)")
    x = splat(f, "%x", machine.native)
    with f.loop("%n", [(kind, "zeroinitializer")] * chains) as loop:
        loop.next = [fma(f, machine.native, sum_, x, x, machine.fused) for sum_ in loop.carried]
    total = loop.next[0]
    for sum_ in loop.next[1:]:
        total = f.op(f"fadd {kind} {total}, {sum_}")
    f.do(f"ret double {f.op(f'extractelement {kind} {total}, i32 0')}")
    layout = machine.arrange(Layout, Lowering(), [], 0, 0)
    compiled = Compiled(machine.text(layout, [f]), machine)
    run = compiled.function("peak", ctypes.c_double, ctypes.c_int64, ctypes.c_double)
    run(steps, 0.5)
    start = time.perf_counter()
    run(steps, 0.5)
    return 2.0 * chains * machine.native * steps / (time.perf_counter() - start)
