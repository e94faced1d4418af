"""The compiled functions of a program, and the training loop: what they work on, and how it goes in and comes out."""

from __future__ import annotations

import ctypes
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from ..engine import Value
from ..optim import SGD, Adam, AdamW, Optimizer
from . import drivers
from .machine import Compiled, Memory
from .rows import address
from .update import lower_update

if TYPE_CHECKING:
    from .program import Program

ALIGNED = 16  # parameters are copied in blocks of the widest width
POINTER, COUNT, DOUBLE = ctypes.c_void_p, ctypes.c_int64, ctypes.c_double


class Module:
    """The compiled functions of `forward` or `backward`."""

    def __init__(self, program: Program, kind: str) -> None:
        code, machine = program._code, program._machine
        first, slots = 2 * program._pitch, len(program._inputs)
        if kind == "forward":
            self.assembly = machine.assemble(code, code.outputs, first, slots)
            functions = [drivers.forward(self.assembly, code.outputs)]
            signature: list[Any] = [None, POINTER, POINTER, COUNT, POINTER, POINTER, POINTER, POINTER]
        else:
            code.differentiate()
            roots = [code.outputs[0], *code.gradients]
            self.assembly = machine.assemble(code, roots, first, slots, totals=code.totals)
            functions = drivers.gradient(self.assembly, code.outputs[0], code.gradients, program._pitch)
            signature = [DOUBLE, POINTER, POINTER, COUNT, POINTER, POINTER, POINTER]
        self.text = machine.text(self.assembly, [drivers.loader(self.assembly, slots), *functions])
        self.compiled = Compiled(self.text, machine, code.size())
        self.run = self.compiled.function(kind, *signature)
        self.address = ctypes.cast(self.run, POINTER).value
        self._unused: list[Buffers] = []

    def memory(self, parameters: Sequence[Value]) -> Buffers:
        """Return memory that no other thread uses, with the parameters' data in it."""
        try:
            memory = self._unused.pop()
        except IndexError:
            memory = Buffers(self)
        memory.s.data[: len(parameters)] = [p.data for p in parameters]
        return memory

    def done(self, memory: Buffers) -> None:
        """Take memory back."""
        self._unused.append(memory)


class Buffers:
    """What one run writes to."""

    def __init__(self, module: Module) -> None:
        assembly = module.assembly
        self.s = Memory(assembly.free)
        self.w = Memory(max(assembly.slots, 1) * assembly.width)
        self.a = Memory((len(assembly.totals) + assembly.native) * assembly.native)
        for place, x in assembly.constants.items():
            self.s.data[place] = x
        self.addresses = (self.s.address, self.w.address, self.a.address)


class Update:
    """The compiled loop of `fit` for a kind of optimiser."""

    def __init__(self, program: Program, optimizer: Optimizer, masked: bool, columns: int) -> None:
        machine = program._machine
        code, outputs = lower_update(optimizer, masked)
        self.assembly = machine.assemble(code, outputs, 2, columns, fused=False)
        text = machine.text(self.assembly, [drivers.fit(self.assembly, outputs, program._pitch)])
        self.compiled = Compiled(text, machine, code.size())
        arguments = [POINTER, POINTER, POINTER, COUNT, COUNT, COUNT, COUNT] + [POINTER] * 6 + [COUNT] * 2
        self.run = self.compiled.function("fit", None, *arguments)


class Training:
    """The compiled loop of `fit` for one optimiser, and what it works on."""

    def __init__(self, program: Program, optimizer: Optimizer) -> None:
        self.program, self.optimizer = program, optimizer
        self.module: Module = program._module("gradient")
        place = {p: i for i, p in enumerate(program.parameters)}
        start = -(-len(place) // ALIGNED) * ALIGNED  # where parameters that the program does not have begin
        self.places: list[int] = []
        for p in optimizer.parameters:
            self.places.append(place.get(p, start))
            start += p not in place
        changed = {i for p, i in zip(optimizer.parameters, self.places, strict=True) if p.requires_grad}
        masked = not changed.issuperset(place.values())
        columns = 2 + len(optimizer.slots) + masked
        key = update_key(optimizer, masked)
        self.compiled: Update = program._once(key, lambda: Update(program, optimizer, masked, columns))
        self.update, self.fit = self.compiled.assembly, self.compiled.run

        self.memory = self.module.memory(program.parameters)
        self.scalars = Memory(self.update.free)
        for at, x in self.update.constants.items():
            self.scalars.data[at] = x
        self.scalars.data[0], self.scalars.data[1] = optimizer.lr, float(optimizer.steps)
        width = self.update.width
        self.own = -(-len(place) // width)
        self.blocks = max(-(-start // width), 1)
        self.samples = Memory(self.blocks * self.update.slots * width)
        size = self.blocks * width
        contents = [[0.0] * size for _ in range(columns)]
        for p, i in place.items():
            contents[0][i] = p.data
        for p, i, state in zip(optimizer.parameters, self.places, optimizer.state, strict=True):
            contents[0][i] = p.data
            for column, slot in zip(contents[2:], optimizer.slots, strict=False):
                column[i] = state[slot]
            if masked:
                contents[-1][i] = float(p.requires_grad)
        for k, column in enumerate(contents):
            for block, start in enumerate(self._starts(k)):
                self.samples.data[start : start + width] = column[block * width : (block + 1) * width]

    def _starts(self, column: int) -> range:
        """Return where each block of a column starts."""
        step = self.update.slots * self.update.width
        return range(column * self.update.width, self.blocks * step, step)

    def _column(self, column: int) -> list[float]:
        width = self.update.width
        return [x for start in self._starts(column) for x in self.samples.data[start : start + width]]

    def run(self, data: Any, index: Any, n: int, batch: int, first: int, steps: int, losses: Memory) -> None:
        """Take steps `first` to `first + steps` of the training."""
        self.fit(
            self.module.address, address(data), address(index), n, batch, first, steps,
            losses.address, *self.memory.addresses, self.scalars.address, self.samples.address, self.own, self.blocks,
        )  # fmt: skip

    def write_back(self) -> None:
        """Give parameters, gradients and the optimiser what they have become."""
        optimizer = self.optimizer
        steps = int(self.scalars.data[1])  # counted there, since Ctrl-C may come just before a line of Python
        if steps != optimizer.steps:
            data, gradients, *kept = (self._column(k) for k in range(2 + len(optimizer.slots)))
            for p, i, state in zip(optimizer.parameters, self.places, optimizer.state, strict=True):
                if p.requires_grad:
                    p.data, p.grad = data[i], gradients[i]
                    for column, slot in zip(kept, optimizer.slots, strict=True):
                        state[slot] = column[i]
                else:
                    p.grad = 0.0
            optimizer.steps = steps
        self.module.done(self.memory)


def update_key(optimizer: Optimizer, masked: bool) -> Any:
    """Return what is equal for optimisers with the same update: that differ in learning rate and state alone.

    It is None where that cannot be told from the options: the update of a class that is not the library's may depend on
    anything.
    """
    if type(optimizer) not in (SGD, Adam, AdamW):
        return None
    varying = {"parameters", "lr", "steps", "state"}
    options = {name: x for name, x in vars(optimizer).items() if name not in varying}
    plain = all(isinstance(x, (float, int, str)) for value in options.values() for x in _listed_or_one(value))
    return (type(optimizer), masked, repr(options)) if plain else None


def _listed_or_one(x: Any) -> Iterable[Any]:
    return x if isinstance(x, tuple) else (x,)
