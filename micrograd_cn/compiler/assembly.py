"""Instructions to the text of LLVM functions: a row of the batch in each lane, sums of products as loops.

In `%w` are the inputs, and what loops or other functions read.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from .instructions import AFTER, BATCH, LEAVES, LONG, SAMPLE, SUMS, Lowering
from .layout import ARGUMENTS, Layout
from .text import Function
from .writer import INSTRUCTIONS, Writer

TOGETHER = 6  # sums of products that share a loop if they share one factor
CHUNK = 300  # instructions in a function: the time to compile one grows faster than its length


@dataclass
class Task:
    """What is written at once: an instruction, several sums of products in one loop, or contributions to totals."""

    kind: str
    items: list[int]
    uses: list[int]  # read one by one
    lists: list[tuple[int, ...]]  # read by a loop, from memory
    weight: int
    totals: list[list[int]] = field(default_factory=list)  # of "outer", for each item those of its products


class Assembly(Layout):
    """The functions of some instructions and of all that they need."""

    def __init__(self, code: Lowering, roots: Sequence[int], *lanes: int, **how: Any) -> None:
        super().__init__(code, roots, *lanes, **how)
        phase = self.code.phase
        chunks = {
            of: _chunks(self._tasks([i for i in self.needed if phase[i] == of]) + extra)
            for of, extra in ((BATCH, []), (SAMPLE, self._contributions()), (AFTER, []))
        }
        self._place(chunks, roots)
        self.calls = {of: self._write(of, chunks[of]) for of in chunks}

    # What is done, in which order.

    def _tasks(self, instructions: list[int]) -> list[Task]:
        """Return the tasks of a phase, one level after the other, so that like things come together."""
        code, tasks = self.code, []
        shared: dict[tuple[str, int, tuple[int, ...]], Task] = {}
        for i in sorted(instructions, key=code.level.__getitem__):
            kind, *rest = code.code[i]
            if kind in LEAVES:
                continue
            if kind not in SUMS:
                tasks.append(Task("plain", [i], list(rest), [], 1 if kind in INSTRUCTIONS else 4))
                continue
            long, short = self.split(i)
            uses = [j for pair in short for j in pair] + [*rest[1], *rest[2:]]
            left, right = (tuple(side) for side in zip(*long, strict=True)) if long else ((), ())
            together = shared.get((kind, code.level[i], right))
            if not long:
                if together and len(together.items) < TOGETHER:
                    together.items.append(i)
                    together.uses += uses
                    together.weight += len(uses)
                else:
                    shared[kind, code.level[i], right] = task = Task("sums", [i], uses, [], len(uses))
                    tasks.append(task)
                continue
            if together and len(together.items) < TOGETHER:
                together.items.append(i)
                together.uses += uses
                together.lists.append(left)
                together.weight += 10
            else:
                task = Task("dots", [i], uses, [right, left], 20)
                shared[kind, code.level[i], right] = task
                tasks.append(task)
        return tasks

    def _contributions(self) -> list[Task]:
        """Return what is added to the totals: one factor with a list of others in a loop, and single ones."""
        phase = self.code.phase
        of_factor: dict[int, list[tuple[int, int]]] = {}
        tasks, rows = [], []
        for k, factors in enumerate(self.totals):
            if len(factors) == 2 and phase[factors[0]] == phase[factors[1]] == SAMPLE:
                of_factor.setdefault(factors[0], []).append((k, factors[1]))
            else:
                tasks.append(Task("total", [k], list(factors), [], 6))
        for factor, found in of_factor.items():
            if len(found) >= LONG:
                rows.append((factor, [k for k, _ in found], tuple([x for _, x in found])))
            else:
                tasks += [Task("total", [k], [factor, x], [], 6) for k, x in found]
        shared: dict[tuple[int, ...], Task] = {}
        for factor, ks, others in rows:
            task = shared.get(others)
            if task and len(task.items) < TOGETHER:
                task.items.append(factor)
                task.uses.append(factor)
                task.totals.append(ks)
                task.weight += 10
            else:
                shared[others] = task = Task("outer", [factor], [factor], [others], 20, [ks])
                tasks.append(task)
        return tasks

    # Where values are kept.

    def _place(self, chunks: dict[int, list[list[Task]]], roots: Sequence[int]) -> None:
        """Give a place to what a loop, another function or the caller reads; lists that loops read lie together."""
        phase = self.code.phase
        everything = [task for of_phase in chunks.values() for chunk in of_phase for task in chunk]
        for members in dict.fromkeys(members for task in everything for members in task.lists):
            if phase[members[0]] == SAMPLE:
                fresh = [i for i in dict.fromkeys(members) if i not in self.slot]
                self.slot.update(zip(fresh, range(self._slots(len(fresh)), self.slots), strict=True))
            else:
                for i in members:
                    self._keep(i)
        made: dict[int, tuple[int, int]] = {}
        for of_phase, listed in chunks.items():
            for number, chunk in enumerate(listed):
                made.update(
                    {
                        i: (of_phase, number)
                        for task in chunk
                        if task.kind in ("plain", "sums", "dots")
                        for i in task.items
                    }
                )
        for of_phase, listed in chunks.items():
            for number, chunk in enumerate(listed):
                for i in {i for task in chunk for i in task.uses}:
                    if i in made and made[i] != (of_phase, number):
                        self._keep(i)
        for i in roots:
            self._keep(i)

    # How it is written.

    def _write(self, phase: int, chunks: list[list[Task]]) -> list[str]:
        """Write the functions of a phase and return the lines that call them."""
        name = {BATCH: "batch", SAMPLE: "sample", AFTER: "after"}[phase]
        for number, chunk in enumerate(chunks):
            writer = Writer(self, Function(f"internal void @{name}{number}({ARGUMENTS})"), phase == SAMPLE)
            for task in chunk:
                getattr(writer, task.kind)(task)
            writer.f.do("ret void")
            self.functions.append(str(writer.f))
        return [f"call void @{name}{number}({ARGUMENTS})".replace("noalias ", "") for number in range(len(chunks))]


def _chunks(tasks: list[Task]) -> list[list[Task]]:
    chunks: list[list[Task]] = []
    weight = CHUNK
    for task in tasks:
        if weight >= CHUNK:
            chunks.append([])
            weight = 0
        chunks[-1].append(task)
        weight += task.weight
    return chunks
