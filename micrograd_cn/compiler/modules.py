"""The compiled functions of a graph: threaded code at first, code of their own when they have run for long."""

from __future__ import annotations

import ctypes
import gc
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from ..engine import Value
from . import drivers
from .assembly import Assembly
from .layout import Layout
from .lowering import Lowered
from .machine import Compiled, Machine, Memory
from .threaded import Threaded

SMALL = 2000  # instructions for which the functions of threaded code are compiled without optimisation: 10 ms less
PATIENCE = 1.5e-4  # seconds an instruction that threaded code runs until code of its own is worth the time to make it
LARGEST = 10_000  # instructions for which it is made at all: it takes seconds
ALIGNED = 16  # parameters are copied in blocks of the widest width
POINTER, COUNT, DOUBLE = ctypes.c_void_p, ctypes.c_int64, ctypes.c_double


class Module:
    """The functions of `forward` or `backward`, as threaded code or as code of their own.

    Attributes:
        text: of the module, which `load` compiles.
        size: about how much there is to compile, in instructions.
        seconds: that it has run.
    """

    def __init__(
        self, kind: str, layout: type[Layout], code: Lowered, inputs: int, pitch: int, machine: Machine
    ) -> None:
        where = 2 * pitch, inputs
        if kind == "forward":
            self.layout = machine.arrange(layout, code, code.outputs, *where)
            functions = [drivers.forward(self.layout, code.outputs)]
        else:
            code.differentiate()
            roots = [code.outputs[0], *code.gradients]
            self.layout = machine.arrange(layout, code, roots, *where, totals=code.totals)
            functions = drivers.gradient(self.layout, code.outputs[0], code.gradients, pitch)
        self.text = machine.text(self.layout, [drivers.loader(self.layout, inputs), *functions])
        self.kind = kind
        self.size = code.size(self.layout.needed)
        self.seconds = 0.0
        self.run: Any = None
        self._machine = machine
        self._unused: list[Buffers] = []

    def load(self) -> None:
        """Compile the text."""
        quick = isinstance(self.layout, Threaded) and self.size <= SMALL
        self.compiled = Compiled(self.text, self._machine, 0 if quick else 2, self.layout.code.rows)
        if isinstance(self.layout, Threaded):
            self.layout.link(self.compiled.engine.get_function_address)
        out = [POINTER] if self.kind == "forward" else []
        result = DOUBLE if self.kind == "gradient" else None
        run = self.compiled.function(self.kind, result, POINTER, POINTER, COUNT, *out, POINTER, POINTER, POINTER)
        self.address = ctypes.cast(run, POINTER).value
        self.run = run

    def timed(self, *arguments: Any) -> Any:
        """Run, and add the time that it takes to `seconds`."""
        start = time.perf_counter()
        result = self.run(*arguments)
        self.seconds += time.perf_counter() - start
        return result

    def memory(self, parameters: Sequence[float]) -> Buffers:
        """Return memory that no other thread uses, with the parameters' data in it."""
        try:
            memory = self._unused.pop()
        except IndexError:
            memory = Buffers(self)
        memory.s.data[: len(parameters)] = parameters
        return memory

    def done(self, memory: Buffers) -> None:
        """Take memory back."""
        self._unused.append(memory)


class Buffers:
    """What one run writes to."""

    def __init__(self, module: Module) -> None:
        layout = module.layout
        self.s = Memory(layout.free)
        self.w = Memory(max(layout.slots, 1) * layout.width)
        self.a = Memory((len(layout.totals) + layout.native) * layout.native)
        for place, x in layout.constants.items():
            self.s.data[place] = x
        self.addresses = (self.s.address, self.w.address, self.a.address)


class Modules:
    """The modules of a program, each made when it is needed.

    Attributes:
        code: the graph's instructions, for threaded code.
        pitch: how many places parameters have in `%s`, and after them their gradients.
        made: what is compiled, by its key.
    """

    def __init__(self, outputs: list[Value], inputs: list[Value]) -> None:
        self.machine = Machine()
        self.made: dict[Any, Any] = {}
        self._graph = outputs, inputs
        self._lock = threading.RLock()
        self._making = threading.Lock()
        with _collector_off():
            self.code = Lowered(outputs, inputs, outline=True)
        self.pitch = -(-max(len(self.code.parameters), 1) // ALIGNED) * ALIGNED

    def best(self, kind: str) -> Module:
        """Return the functions of "forward" or "gradient": threaded ones until they have run for long."""
        own = self.made.get((kind, Assembly))
        if own and own.run:
            return own  # type: ignore[no-any-return]
        module = self._loaded(kind, Threaded)
        if self.worth(module, module.seconds) and self._making.acquire(blocking=False):
            try:  # other threads go on with the module that there is
                return self.better(module)
            finally:
                self._making.release()
        return module

    def worth(self, module: Module, seconds: float) -> bool:
        """Return whether what runs so long is worth code of its own."""
        return isinstance(module.layout, Threaded) and module.size <= LARGEST and seconds >= module.size * PATIENCE

    def better(self, module: Module) -> Module:
        """Return the same functions as code of their own."""
        return self._loaded(module.kind, Assembly)

    def get(self, kind: str, layout: type[Layout]) -> Module:
        """Return functions that may not be compiled yet."""

        def make() -> Module:
            code = self.code if layout is Threaded else self.once("own", lambda: Lowered(*self._graph, like=self.code))
            return Module(kind, layout, code, len(self._graph[1]), self.pitch, self.machine)

        return self.once((kind, layout), make)  # type: ignore[no-any-return]

    def _loaded(self, kind: str, layout: type[Layout]) -> Module:
        module: Module | None = self.made.get((kind, layout))
        if module is None or module.run is None:
            with self._lock:
                module = self.get(kind, layout)
                if module.run is None:
                    module.load()
        return module

    def once(self, key: Any, make: Callable[[], Any]) -> Any:
        """Return what `make` compiles, once for each key; anew for None."""
        if key is None:
            return make()
        with self._lock:
            if key not in self.made:
                with _collector_off():
                    self.made[key] = make()
            return self.made[key]


@contextmanager
def _collector_off() -> Iterator[None]:
    """Stop the garbage collector, which would go through all that is compiled again and again: it has no cycles."""
    on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if on:
            gc.enable()
