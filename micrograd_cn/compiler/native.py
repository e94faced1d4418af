"""Straight lines as straight-line code of their own: several times as fast as threaded code, and longer to compile."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import TypeGuard

from .instructions.code import SAMPLE
from .llvm.lanes import Lanes
from .llvm.straight_line import StraightLineWriter, compute
from .llvm.text import BYTE, Function
from .loops.plan import Plan
from .loops.schedule import MAX_STRAIGHT_LINE_COST
from .loops.stages import Map, Stage, StraightLine
from .tables.sums import KERNEL_ARGUMENTS, each_block

UNROLLED = 16  # vectors of a map that are written here
HALF = 4  # doubles of half a line of the cache


@dataclass
class Part:
    """Stages that are one function.

    Attributes:
        stages: of the plan.
        batched: whether they compute vectors.
        kept: the values to store, since other parts or loops read them; not used if `shared`.
        outputs: what it stores row by row, from `%a` on.
        shared: the call of its one stage if a shared function computes that; else None.
    """

    stages: list[Stage]
    batched: bool
    kept: set[int] = field(default_factory=set)
    outputs: Sequence[int] = ()

    def __post_init__(self) -> None:
        first, *others = self.stages
        self.kernel_call = None if others or isinstance(first, StraightLine) else first.call


def parts_of(plan: Plan, outputs: Sequence[int]) -> dict[int, list[Part]]:
    """Return the parts of each phase; if outputs are given, the last one of the samples stores them where it can."""
    schedule = plan.schedule
    found = {
        phase: [Part(stages, schedule.phase_in_lanes(phase)) for stages in _joined(plan, phase)]
        for phase in plan.stages
    }
    listed = [part for parts in found.values() for part in parts]
    always = {*plan.places.filled, *schedule.totals.factors()}
    reader: dict[int, int | None] = {}  # the number of the part that alone reads a value
    for number, part in enumerate(listed):
        for stage in part.stages:
            if isinstance(stage, StraightLine):
                for i in plan.read_by(stage):
                    if reader.setdefault(i, number) != number:
                        reader[i] = None
            else:
                always.update(plan.read_by(stage))  # by loops, from memory
    last = found[SAMPLE][-1] if found[SAMPLE] else None
    if last and isinstance(last.stages[-1], StraightLine) and len(outputs) <= MAX_STRAIGHT_LINE_COST:
        last.outputs = outputs
    if last and last.outputs:
        who = listed.index(last)
        reader.update({i: None for i in outputs if reader.setdefault(i, who) != who})
    else:
        always.update(schedule.roots)
    for number, part in enumerate(listed):
        if not part.kernel_call:
            part.kept = always | {i for i, who in reader.items() if who != number}
    return found


def _joined(plan: Plan, phase: int) -> Iterator[list[Stage]]:
    """Yield the stages of a phase, those together that are one function."""
    part: list[Stage] = []
    weight = 0
    for stage in plan.stages[phase]:
        if isinstance(stage, StraightLine):
            added = sum(map(plan.schedule.cost_of, stage.numbers))
        elif _is_unrolled(stage, plan):
            added = -(-len(stage.numbers) // plan.simd)
        else:
            added = MAX_STRAIGHT_LINE_COST
        if part and weight + added > MAX_STRAIGHT_LINE_COST:
            yield part
            part, weight = [], 0
        part.append(stage)
        weight += added
    if part:
        yield part


def _is_unrolled(stage: Stage, plan: Plan) -> TypeGuard[Map]:
    """Return whether a map is written here: it is short, and its operands lie side by side."""
    if not isinstance(stage, Map) or not stage.pattern or "g" in stage.pattern:
        return False
    return len(stage.numbers) <= UNROLLED * plan.simd


def write_part(plan: Plan, part: Part, name: str, fused: bool) -> Function:
    """Return the function of a part."""
    f = Function(name, KERNEL_ARGUMENTS)
    if part.batched:
        with each_block(f, [("ptr", "%a")]) as (block, [to], after):
            _write(PartWriter(plan, Lanes(f, plan.lanes, fused), block, part.kept), part, to)
            after.append(f.at(to, plan.lanes * len(part.outputs)))
    else:
        _write(PartWriter(plan, Lanes(f, 1, fused), "%s", part.kept), part, "%a")
    f.do("ret void")
    return f


def _write(line: PartWriter, part: Part, to: str = "") -> None:
    for stage in part.stages:
        if isinstance(stage, Map):
            line.map(stage)
        elif isinstance(stage, StraightLine):
            if part.outputs and stage is part.stages[-1]:
                line.rows(stage.numbers, part.outputs, to)
            else:
                line.write_all(stage.numbers)


class PartWriter(StraightLineWriter):
    """Write instructions of a plan, whose values are in memory."""

    def __init__(self, plan: Plan, lanes: Lanes, block: str, kept: set[int]) -> None:
        super().__init__(lanes, plan.code)
        self.plan, self.block, self.kept = plan, block, kept
        self.align = 8 if self.lanes.scalar else 8 * plan.simd

    def write_all(self, numbers: Iterable[int]) -> None:
        """Write instructions one after the other."""
        for i in numbers:
            if i in self.plan.schedule.long_sums:  # what it starts from
                self._store(i, self.value(self.plan.schedule.start(i)))
            else:
                self.write(i)
                if i in self.conditions and i in self.kept:
                    self.define(i, self.value(i))

    def rows(self, numbers: Sequence[int], outputs: Sequence[int], to: str) -> None:
        """Write instructions, and as soon as they are known as many outputs as a vector has lanes, into each row."""
        left = {*numbers}
        width = self.plan.simd
        if len(outputs) % width:  # rows then begin anywhere, and 64 bytes lie across the cache's lines more often
            width = min(width, HALF)
        simd = Lanes(self.f, min(width, self.lanes.count), self.lanes.fused)
        for k in range(0, len(outputs), simd.count):
            k = max(0, min(k, len(outputs) - simd.count))  # some twice, rather than fewer
            chosen = outputs[k : k + simd.count]
            waiting = [*chosen]
            while waiting:
                if waiting[-1] not in left:
                    waiting.pop()
                elif needed := [i for i in self.plan.schedule.reads(waiting[-1]) if i in left]:
                    waiting += needed
                else:
                    left.remove(waiting[-1])
                    self.write_all(waiting[-1:])
            self._store_rows(simd, [self.value(i) for i in chosen], self.f.at(to, k), len(outputs))

    def _store_rows(self, simd: Lanes, xs: Sequence[str], to: str, width: int) -> None:
        """Store a few neighbouring numbers of each row, whose rows have so many."""
        if simd.scalar:
            self.f.store(simd.type, xs[0], to)
            return
        for half in range(0, self.lanes.count, simd.count):
            chosen = ", ".join([f"i32 {half + k}" for k in range(simd.count)])
            mask = f"<{simd.count} x i32> <{chosen}>"
            parts = [self.f.op(f"shufflevector {self.lanes.type} {x}, {self.lanes.type} poison, {mask}") for x in xs]
            if width == 1:
                self.f.store(simd.type, parts[0], self.f.at(to, half))
            elif len(xs) == simd.count:
                for lane, row in enumerate(simd.transpose(parts), half):
                    self.f.store(simd.type, row, self.f.at(to, lane * width))
            else:
                for k, part in enumerate(parts):
                    for lane in range(simd.count):
                        x = self.f.op(f"extractelement {simd.type} {part}, i32 {lane}")
                        self.f.store("double", x, self.f.at(to, (half + lane) * width + k))

    def load(self, i: int) -> str:
        """Load a value."""
        if self.plan.schedule.in_lanes(i):
            return self.f.load(self.lanes.type, self.f.at(self.block, self.plan.offset(i), BYTE), self.align)
        return self.lanes.splat(self.f.load("double", self.f.at("%s", self.plan.offset(i), BYTE)))

    def _store(self, i: int, name: str) -> None:
        self.f.store(self.lanes.type, name, self.f.at(self.block, self.plan.offset(i), BYTE), self.align)

    def define(self, i: int, name: str) -> None:
        """Take note of a value, and store it if somebody else reads it."""
        self.known[i] = name
        if i in self.kept:
            self._store(i, name)

    def map(self, stage: Map) -> None:
        """Write a map on neighbouring scalars as vectors."""
        simd = self.plan.simd
        lanes = Lanes(self.f, simd, self.lanes.fused)
        firsts = [column[0] for column in self.plan.operands(stage)]
        fixed = [
            lanes.splat(self.value(i)) if letter == "s" else "" for i, letter in zip(firsts, stage.pattern, strict=True)
        ]
        for k in range(0, len(stage.numbers), simd):
            places = [self.f.at("%s", self.plan.offset(i) + 8 * k, BYTE) for i in (stage.numbers[0], *firsts)]
            xs = [x or self.f.load(lanes.type, place) for x, place in zip(fixed, places[1:], strict=True)]
            self.f.store(lanes.type, compute(lanes, stage.opcode, xs), places[0])
