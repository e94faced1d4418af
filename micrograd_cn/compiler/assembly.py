"""Instructions to the text of LLVM functions: a row of the batch in each lane, sums of products as loops.

Memory is three arrays of doubles. `%s` holds scalars: the parameters, their gradients, constants, totals, and what is
computed once a batch. `%w` holds samples, `width` lanes a slot: the inputs, and what loops or other functions read.
`%a` holds for each total a native vector, into which the samples' contributions are added.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from .lowering import AFTER, BATCH, CONSTANT, LEAVES, SAMPLE, Lowering, Pair, operands
from .text import Function, literal

LONG = 8  # products from which a sum of them is a loop
TOGETHER = 4  # sums of products that share a loop if they share one factor
PARTS = 8  # sums into which a long sum of products of scalars is divided
CHUNK = 300  # instructions in a function: the time to compile one grows faster than its length
ARGUMENTS = "ptr noalias %s, ptr noalias %w, ptr noalias %a"
INSTRUCTIONS = ("fadd", "fsub", "fmul", "fdiv")


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
        fuse: whether a product and a sum may be rounded once, together.
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
        fuse: bool = True,
    ) -> None:
        self.code = code
        self.totals = totals
        self.width = width
        self.native = native
        self.free = first
        self.slots = slots
        self.fuse = " contract" if fuse else ""
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
        needed = sorted(_below(code, ends))
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
        shared: dict[tuple[int, tuple[int, ...]], Task] = {}
        for i in sorted(instructions, key=code.level.__getitem__):
            kind, *rest = code.code[i]
            if kind in LEAVES:
                continue
            if kind != "dot":
                tasks.append(Task("plain", [i], list(rest), [], 1 if kind in INSTRUCTIONS else 4))
                continue
            long, short = self._split(i)
            uses = [j for pair in short for j in pair] + list(rest[1])
            if not long:
                tasks.append(Task("plain", [i], uses, [], len(uses)))
                continue
            left, right = (tuple(side) for side in zip(*long, strict=True))
            together = shared.get((code.level[i], right))
            if together and len(together.items) < TOGETHER:
                together.items.append(i)
                together.uses += uses
                together.lists.append(left)
                together.weight += 10
            else:
                task = Task("dots", [i], uses, [right, left], 20)
                shared[code.level[i], right] = task
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
                    {i: (of_phase, number) for task in chunk if task.kind in ("plain", "dots") for i in task.items}
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


class Writer:
    """Write the tasks of one function, of vectors or of scalars."""

    def __init__(self, assembly: Assembly, f: Function, sample: bool) -> None:
        self.assembly = assembly
        self.code = assembly.code
        self.f = f
        self.sample = sample
        self.lanes = assembly.width if sample else 1
        self.kind = vector(self.lanes) if sample else "double"
        self.known: dict[int, str] = {}
        self.conditions: dict[int, str] = {}

    def value(self, i: int) -> str:
        """Return the name of an instruction's value in this function."""
        if i not in self.known:
            if i in self.conditions:
                ones = self.splat(literal(1.0))
                self.known[i] = self.f.op(
                    f"select {self.mask()} {self.conditions[i]}, {self.kind} {ones}, {self.kind} zeroinitializer"
                    if self.sample
                    else f"select i1 {self.conditions[i]}, double 1.0, double 0.0"
                )
            elif self.code.phase[i] == CONSTANT:
                self.known[i] = self.splat(literal(self.code.code[i][1]))
            elif self.code.phase[i] == SAMPLE:
                self.known[i] = self.f.load(self.kind, self.vector_at(self.assembly.slot[i]), 64)
            else:
                self.known[i] = self.splat(self.f.load("double", self.f.at("%s", self.assembly.scalar[i])))
        return self.known[i]

    def splat(self, x: str) -> str:
        """Return a scalar in all lanes."""
        return splat(self.f, x, self.lanes) if self.sample else x

    def mask(self) -> str:
        """Return the type of a condition."""
        return f"<{self.lanes} x i1>" if self.sample else "i1"

    def vector_at(self, slot: int) -> str:
        """Return a slot's address."""
        return self.f.at("%w", slot * self.lanes)

    def define(self, i: int, name: str) -> None:
        """Take note of an instruction's value, and store it if it has a place."""
        self.known[i] = name
        if i in self.assembly.slot:
            self.f.store(self.kind, name, self.vector_at(self.assembly.slot[i]), 64)
        elif i in self.assembly.scalar:
            self.f.store("double", name, self.f.at("%s", self.assembly.scalar[i]))

    def plain(self, task: Task) -> None:
        """Write one instruction."""
        [i] = task.items
        form, *rest = self.code.code[i]
        if form == "dot":
            self.define(i, self.sum(rest[0], rest[1]))
            return
        if form.startswith("fcmp"):
            a, b = map(self.value, rest)
            self.conditions[i] = self.f.op(f"{form} {self.kind} {a}, {b}")
            if i in self.assembly.slot or i in self.assembly.scalar:
                self.define(i, self.value(i))
            return
        if form == "select":
            condition = self.conditions.get(rest[0])
            if condition is None:
                zero = "zeroinitializer" if self.sample else "0.0"
                condition = self.f.op(f"fcmp une {self.kind} {self.value(rest[0])}, {zero}")
            a, b = map(self.value, rest[1:])
            name = self.f.op(f"select {self.mask()} {condition}, {self.kind} {a}, {self.kind} {b}")
        elif form == "fneg":
            name = self.f.op(f"fneg {self.kind} {self.value(rest[0])}")
        elif form in INSTRUCTIONS:
            a, b = map(self.value, rest)
            name = self.f.op(f"{form}{self.assembly.fuse} {self.kind} {a}, {b}")
        else:
            arguments = ", ".join([f"{self.kind} {self.value(j)}" for j in rest])
            called = self.assembly.called_on_vectors if self.sample else self.assembly.called
            called[form] = len(rest)
            name = self.f.op(f"call {self.kind} @{symbol(form, self.lanes if self.sample else 0)}({arguments})")
        self.define(i, name)

    def sum(self, pairs: Iterable[Pair], terms: Iterable[int], total: str | None = None) -> str:
        """Return the sum of single products and terms, and of `total` if it is given."""
        for t in terms:
            total = self.value(t) if total is None else self.f.op(f"fadd {self.kind} {total}, {self.value(t)}")
        for a, b in pairs:
            product = self.f.op(f"fmul{self.assembly.fuse} {self.kind} {self.value(a)}, {self.value(b)}")
            total = product if total is None else self.f.op(f"fadd{self.assembly.fuse} {self.kind} {total}, {product}")
        assert total is not None
        return total

    def at(self, members: Sequence[int]) -> tuple[bool, Callable[[Function, str], str]]:
        """Return whether a loop reads vectors, and how it computes where they are."""
        assembly = self.assembly
        if self.code.phase[members[0]] == SAMPLE:
            return True, assembly.index([assembly.slot[i] for i in members], self.lanes)
        return False, assembly.index([assembly.scalar[i] for i in members])

    def read(self, place: tuple[bool, Callable[[Function, str], str]], k: str) -> str:
        """Return the k-th member of a list inside a loop."""
        is_vector, index = place
        pointer = self.f.at("%w" if is_vector else "%s", index(self.f, k))
        return self.f.load(self.kind, pointer, 64) if is_vector else self.splat(self.f.load("double", pointer))

    def dots(self, task: Task) -> None:
        """Write a loop that computes one or several sums of products with the same right factors."""
        right, *lefts = task.lists
        if not self.sample and len(right) >= 4 * PARTS and len(lefts) == 1:
            self.in_parts(task)
            return
        places = [self.at(left) for left in lefts]
        shared = self.at(right)
        firsts = []
        for i in task.items:
            _, short = self.assembly._split(i)
            terms = self.code.code[i][2]
            zero = self.splat(literal(0.0))
            firsts.append((self.kind, self.sum(short, terms) if short or terms else zero))
        with self.f.loop(len(right), firsts) as loop:
            x = self.read(shared, loop.index)
            for total, place in zip(loop.carried, places, strict=True):
                product = self.f.op(f"fmul contract {self.kind} {self.read(place, loop.index)}, {x}")
                loop.next.append(self.f.op(f"fadd contract {self.kind} {total}, {product}"))
        for i, name in zip(task.items, loop.next, strict=True):
            self.define(i, name)

    def in_parts(self, task: Task) -> None:
        """Write a loop that computes a sum of products of scalars as several, which need not wait for each other."""
        [i], [right, left] = task.items, task.lists
        steps = len(right) // PARTS
        places = [
            (self.at(left[k : PARTS * steps : PARTS]), self.at(right[k : PARTS * steps : PARTS])) for k in range(PARTS)
        ]
        with self.f.loop(steps, [("double", literal(0.0))] * PARTS) as loop:
            for sum_, (a, b) in zip(loop.carried, places, strict=True):
                product = self.f.op(f"fmul contract double {self.read(a, loop.index)}, {self.read(b, loop.index)}")
                loop.next.append(self.f.op(f"fadd contract double {sum_}, {product}"))
        total = loop.next[0]
        for part in loop.next[1:]:
            total = self.f.op(f"fadd double {total}, {part}")
        short = self.assembly._split(i)[1] + list(zip(left[PARTS * steps :], right[PARTS * steps :], strict=True))
        self.define(i, self.sum(short, self.code.code[i][2], total))

    def total(self, task: Task) -> None:
        """Add to one total."""
        [k] = task.items
        factors = [self.parts(self.value(i)) for i in self.assembly.totals[k]]
        pointer = self.f.at("%a", k * self.assembly.native)
        self.accumulate(pointer, list(zip(*factors, strict=True)))

    def accumulate(self, pointer: str, products: Sequence[Sequence[str]]) -> None:
        """Add native vectors, or products of two, to a total."""
        kind = vector(self.assembly.native)
        sum_ = self.f.load(kind, pointer, 64)
        for factors in products:
            term = self.f.op(f"fmul contract {kind} {', '.join(factors)}") if len(factors) == 2 else factors[0]
            sum_ = self.f.op(f"fadd contract {kind} {sum_}, {term}")
        self.f.store(kind, sum_, pointer, 64)

    def outer(self, task: Task) -> None:
        """Write a loop that adds the products of each factor with a list of others to their totals."""
        factors = [self.parts(self.value(i)) for i in task.items]
        indices = [self.assembly.index(self.assembly.rows[i], self.assembly.native) for i in task.items]
        others = self.at(task.lists[0])
        with self.f.loop(len(task.lists[0])) as loop:
            xs = self.parts(self.read(others, loop.index))
            for parts, index in zip(factors, indices, strict=True):
                pointer = self.f.at("%a", index(self.f, loop.index))
                self.accumulate(pointer, list(zip(parts, xs, strict=True)))

    def parts(self, name: str) -> list[str]:
        """Return a value's native vectors."""
        native = self.assembly.native
        if self.lanes == native:
            return [name]
        return [
            self.f.op(
                f"shufflevector {self.kind} {name}, {self.kind} poison, "
                f"<{native} x i32> <{', '.join(f'i32 {start + k}' for k in range(native))}>"
            )
            for start in range(0, self.lanes, native)
        ]


def symbol(form: str, lanes: int) -> str:
    """Return the name of a machine form's function, of vectors unless `lanes` is 0.

    >>> symbol("llvm.sqrt", 4), symbol("exp", 4), symbol("exp", 0)
    ('llvm.sqrt.v4f64', 'vector_exp', 'exp')
    """
    if form.startswith("llvm."):
        return f"{form}.v{lanes}f64" if lanes else f"{form}.f64"
    return f"vector_{form}" if lanes else form


def declaration(name: str, kind: str, count: int) -> str:
    """Return the declaration of a function of `count` operands.

    >>> declaration("exp", "double", 1)
    'declare double @exp(double)'
    """
    return f"declare {kind} @{name}({', '.join([kind] * count)})"


def vector(lanes: int) -> str:
    """Return the type of a vector.

    >>> vector(4)
    '<4 x double>'
    """
    return f"<{lanes} x double>"


def splat(f: Function, x: str, lanes: int) -> str:
    """Return the vector with a double in every lane."""
    kind = vector(lanes)
    one = f.op(f"insertelement {kind} poison, double {x}, i32 0")
    return f.op(f"shufflevector {kind} {one}, {kind} poison, <{lanes} x i32> zeroinitializer")


def _below(code: Lowering, roots: Iterable[int]) -> set[int]:
    """Return the roots and all that they need."""
    found: set[int] = set()
    stack = list(roots)
    while stack:
        i = stack.pop()
        if i not in found:
            found.add(i)
            stack += operands(code.code[i])
    return found


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
