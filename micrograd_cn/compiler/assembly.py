"""Instructions to the text of LLVM functions: a row of the batch in each lane, sums of products as loops.

Memory is three arrays of doubles. `%s` holds scalars: the parameters, their gradients, constants, totals, and what is
computed once a batch. `%w` holds samples, `width` lanes a slot: the inputs, and what loops or other functions read.
`%a` holds for each total a native vector, into which the samples' contributions are added.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from copy import copy
from dataclasses import dataclass

from .lowering import AFTER, BATCH, CONSTANT, LEAVES, LONG, SAMPLE, SUMS, Lowering, Pair, below
from .text import Function
from .writer import INSTRUCTIONS, Writer, symbol, vector

TOGETHER = 6  # sums of products that share a loop if they share one factor
CHUNK = 300  # instructions in a function: the time to compile one grows faster than its length
ARGUMENTS = "ptr noalias %s, ptr noalias %w, ptr noalias %a"


@dataclass
class Task:
    """What is written at once: an instruction, several sums of products in one loop, or contributions to totals."""

    kind: str
    items: list[int]
    uses: list[int]  # read one by one
    lists: list[tuple[int, ...]]  # read by a loop, from memory
    weight: int


class Assembly:
    """The functions of some instructions and of all that they need.

    Args:
        code: the instructions.
        roots: those whose values are wanted; they are kept in memory.
        width: lanes.
        native: lanes of the machine's own vectors.
        first: the first free place in `%s`; parameters have the first places.
        slots: how many slots of `%w` the inputs have.
        totals: what is added up over the samples: instructions, or pairs of which the product is.
        fused: whether a product and a sum are rounded once, together, where the instruction allows it.
    """

    def __init__(
        self,
        code: Lowering,
        roots: Sequence[int],
        width: int,
        native: int,
        first: int,
        slots: int,
        totals: Sequence[tuple[int, ...]] = (),
        fused: bool = False,
    ) -> None:
        self.code = code
        self.totals = totals
        self.width = width
        self.native = native
        self.align = 8 * native  # of vectors in %w and %a, which begin at multiples of 64
        self.free = first
        self.slots = slots
        self.fused = fused
        self.scalar: dict[int, int] = {}  # an instruction's place in %s
        self.slot: dict[int, int] = {}  # an instruction's slot of %w
        self.constants: dict[int, float] = {}  # what %s holds from the start
        self.tables: list[str] = []
        self.called: dict[str, int] = {}  # C's functions and intrinsics of scalars, and how many operands they have
        self.called_on_vectors: dict[str, int] = {}
        self.functions: list[str] = []
        self.total_at = self._take(-(-len(totals) // native) * native)
        self.seed: int | None = None  # the slot of what the gradient starts from

        ends = [*roots, *(i for factors in totals for i in factors)]
        needed = sorted(below(code, ends))
        for i in needed:
            kind, *rest = code.code[i]
            if kind == "parameter":
                self.scalar[i] = rest[0]
            elif kind == "input":
                self.slot[i] = rest[0]
            elif kind == "total":
                self.scalar[i] = self.total_at + rest[0]
            elif kind == "seed":
                self.slot[i] = self.seed = self._slots(1)
        chunks = {
            phase: _chunks(self._tasks([i for i in needed if code.phase[i] == phase]) + extra)
            for phase, extra in ((BATCH, []), (SAMPLE, self._contributions()), (AFTER, []))
        }
        self._place(chunks, roots)
        self.calls = {phase: self._write(phase, chunks[phase]) for phase in chunks}
        for called, sample in ((self.called_on_vectors, True), (self.called, False)):
            for name in [name for name in called if name in code.formulas]:
                del called[name]
                self.functions.append(str(self._formula(name, sample)))

    def _take(self, count: int) -> int:
        self.free += count
        return self.free - count

    def _slots(self, count: int) -> int:
        self.slots += count
        return self.slots - count

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
            long, short = self._split(i)
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

    def _split(self, i: int) -> tuple[list[Pair], list[Pair]]:
        """Return a sum's products that are computed in a loop, the samples' factors on the right, and the others."""
        phase = self.code.phase
        pairs = [(b, a) if phase[a] == SAMPLE != phase[b] else (a, b) for a, b in self.code.code[i][1]]
        mixed = [p for p in pairs if phase[p[0]] != SAMPLE]
        alike = [p for p in pairs if phase[p[0]] == SAMPLE]
        if len(mixed) >= LONG:
            return mixed, alike
        return (alike, mixed) if len(alike) >= LONG else ([], pairs)

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
        self.rows: dict[int, list[int]] = {}
        for factor, ks, others in rows:
            self.rows[factor] = ks
            task = shared.get(others)
            if task and len(task.items) < TOGETHER:
                task.items.append(factor)
                task.uses.append(factor)
                task.weight += 10
            else:
                shared[others] = task = Task("outer", [factor], [factor], [others], 20)
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

    def _keep(self, i: int) -> None:
        if self.code.phase[i] == SAMPLE:
            if i not in self.slot:
                self.slot[i] = self._slots(1)
        elif i not in self.scalar:
            self.scalar[i] = self._take(1)
            if self.code.phase[i] == CONSTANT:
                self.constants[self.scalar[i]] = self.code.code[i][1]

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

    def _formula(self, name: str, sample: bool) -> Function:
        """Return the function of a formula, of vectors or of scalars, all of whose values are in registers."""
        formula = self.code.formulas[name]
        within = copy(self)
        within.code, within.slot, within.scalar = formula.code, {}, {}
        kind = vector(self.width) if sample else "double"
        parameters = [f"%x{i}" for i in formula.used]
        listed = ", ".join([f"{kind} {x}" for x in parameters])
        f = Function(f"internal {kind} @{symbol(name, self.width if sample else 0)}({listed}) noinline")
        writer = Writer(within, f, sample)
        writer.known.update(zip(formula.used, parameters, strict=True))
        for i in sorted(below(formula.code, [formula.result])):
            form = formula.code.code[i][0]
            if form not in LEAVES:
                task = Task("sums" if form in SUMS else "plain", [i], [], [], 0)
                getattr(writer, task.kind)(task)
        f.do(f"ret {kind} {writer.value(formula.result)}")
        return f

    def index(self, places: Sequence[int], scale: int = 1) -> Callable[[Function, str], str]:
        """Return how a loop computes the k-th of some places: evenly spaced ones by arithmetic, others by a table."""
        step = places[1] - places[0] if len(places) > 1 else 0
        if list(places) == [places[0] + k * step for k in range(len(places))]:

            def spaced(f: Function, k: str) -> str:
                scaled = k if step * scale == 1 else f.op(f"mul i64 {k}, {step * scale}")
                return f.op(f"add i64 {scaled}, {places[0] * scale}")

            return spaced
        table = f"@table{len(self.tables)}"
        entries = ", ".join([f"i64 {place * scale}" for place in places])
        self.tables.append(f"{table} = private constant [{len(places)} x i64] [{entries}]\n")
        return lambda f, k: f.load("i64", f.op(f"getelementptr i64, ptr {table}, i64 {k}"))


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
