"""The compiled training loop: what it works on, and how it goes in and comes out."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from ..optim import SGD, Adam, AdamW, Optimizer
from . import drivers
from .assembly import Assembly
from .machine import Compiled, Memory
from .modules import ALIGNED, COUNT, POINTER, Modules
from .rows import address
from .update import lower_update


class Update:
    """The compiled loop of `fit` for a kind of optimiser."""

    def __init__(self, modules: Modules, optimizer: Optimizer, masked: bool, columns: int) -> None:
        machine = modules.machine
        code, outputs = lower_update(optimizer, masked)
        self.layout = machine.arrange(Assembly, code, outputs, 2, columns, fused=False)
        text = machine.text(self.layout, [drivers.fit(self.layout, outputs, modules.pitch)])
        self.compiled = Compiled(text, machine, rows=code.rows)
        arguments = [POINTER, POINTER, POINTER, COUNT, COUNT, COUNT, COUNT] + [POINTER] * 6 + [COUNT] * 2
        self.run = self.compiled.function("fit", None, *arguments)


class Training:
    """The compiled loop of `fit` for one optimiser, and what it works on."""

    def __init__(self, modules: Modules, optimizer: Optimizer) -> None:
        self.modules, self.optimizer = modules, optimizer
        self.module = modules.best("gradient")
        parameters = modules.code.parameters
        place = {p: i for i, p in enumerate(parameters)}
        start = -(-len(place) // ALIGNED) * ALIGNED  # where parameters that the program does not have begin
        self.places: list[int] = []
        for p in optimizer.parameters:
            self.places.append(place.get(p, start))
            start += p not in place
        changed = {i for p, i in zip(optimizer.parameters, self.places, strict=True) if p.requires_grad}
        masked = not changed.issuperset(place.values())
        columns = 2 + len(optimizer.slots) + masked
        key = update_key(optimizer, masked)
        self.compiled: Update = modules.once(key, lambda: Update(modules, optimizer, masked, columns))
        self.update, self.fit = self.compiled.layout, self.compiled.run

        self.memory = self.module.memory([p.data for p in parameters])
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
        """Take steps `first` to `first + steps`, counted in an epoch; `losses` are of that and the following ones."""
        self.fit(
            self.module.address, address(data), address(index), n, batch, first, steps,
            losses.address, *self.memory.addresses, self.scalars.address, self.samples.address, self.own, self.blocks,
        )  # fmt: skip

    def expect(self, taken: float, left: float) -> None:
        """Go on with better code if the seconds that the training has taken, or those that are left, are worth it."""
        self.module.seconds += taken
        if left and self.modules.worth(self.module, max(self.module.seconds, left)):
            better, worse, memory = self.modules.better(self.module), self.module, self.memory
            self.module, self.memory = better, better.memory(memory.s.data[: len(self.modules.code.parameters)])
            worse.done(memory)  # after that, since Ctrl-C may come between two lines

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
