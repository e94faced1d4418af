"""Stretches as straight-line code of their own: several times as fast as threaded code, and longer to compile."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import groupby

from .instructions import SAMPLE, START
from .lanes import Lanes
from .plan import Plan
from .products import STAGE, blocks
from .schedule import CHUNK, TOGETHER, Gathered, Run, Stage, Step, Stretch, Sums
from .straight import Straight, compute
from .text import BYTE, Function

SMALL = 1024  # scalars of a matrix that is multiplied here, so that its sums need not wait in memory
UNROLLED = 16  # vectors of a run that are written here
LOOP = 20  # instructions that a loop counts for


@dataclass
class Part:
    """Stages that are one function.

    Attributes:
        stages: of the plan.
        lanes: whether they compute vectors.
        kept: what others read, or a loop.
    """

    stages: list[Stage]
    lanes: bool
    kept: set[int] = field(default_factory=set)

    def __post_init__(self) -> None:
        first, *others = self.stages
        self.alone = not others and not isinstance(first, Stretch)  # a function that programs share


def parts_of(plan: Plan) -> dict[int, list[Part]]:
    """Return the parts of each phase."""
    schedule = plan.schedule
    found = {
        phase: [Part(stages, phase == SAMPLE and schedule.lanes) for stages in _joined(plan, phase)]
        for phase in plan.stages
    }
    listed = [part for parts in found.values() for part in parts]
    readers: dict[int, set[int | None]] = {}
    for number, part in enumerate(listed):
        for stage in part.stages:
            who = number if isinstance(stage, Stretch) else None  # loops read memory
            for i in _read(plan, stage):
                readers.setdefault(i, set()).add(who)
    always = {*schedule.roots, *plan.places.filled, *plan.read_by_totals()}
    for number, part in enumerate(listed):
        part.kept = always | {i for i, who in readers.items() if who != {number}}
    return found


def _read(plan: Plan, stage: Stage) -> Iterator[int]:
    """Yield what a stage reads."""
    if isinstance(stage, Stretch):
        for step in stage.steps:
            yield from plan.schedule.reads(step)
    elif isinstance(stage, (Run, Gathered)):
        for i in stage.numbers:
            yield from plan.schedule.reads(Step(i, starts=stage.form == START))
    else:
        yield from plan.read_by(stage)


def _joined(plan: Plan, phase: int) -> Iterator[list[Stage]]:
    """Yield the stages of a phase, those together that are one function."""
    part: list[Stage] = []
    weight = 0
    for stage in plan.stages[phase]:
        if isinstance(stage, Stretch):
            added = sum(map(plan.schedule.weight, stage.steps))
        elif isinstance(stage, Sums) and stage.kind == "matrix" and sum(map(len, stage.rights)) <= SMALL:
            added = LOOP * -(-len(stage.numbers) // TOGETHER)
        elif isinstance(stage, Run) and len(stage.numbers) <= UNROLLED * plan.machine.native:
            added = -(-len(stage.numbers) // plan.machine.native)
        else:
            added = CHUNK
        if part and weight + added > CHUNK:
            yield part
            part, weight = [], 0
        part.append(stage)
        weight += added
    if part:
        yield part


def function(plan: Plan, part: Part, name: str) -> Function:
    """Return the function of a part."""
    f = Function(name, STAGE, "i64")
    if part.lanes:
        with blocks(f) as (block, _, _):
            _write(StraightLine(plan, f, plan.lanes, block, part.kept), part)
    else:
        _write(StraightLine(plan, f, 1, "%s", part.kept), part)
    f.do("ret i64 0")
    return f


def _write(line: StraightLine, part: Part) -> None:
    starts = {step.number for stage in part.stages if isinstance(stage, Stretch) for step in stage.steps if step.starts}
    here = {i for stage in part.stages if isinstance(stage, Sums) for i in stage.numbers}
    for stage in part.stages:
        if isinstance(stage, Sums):
            line.matrix(stage, starts)
        elif isinstance(stage, Run):
            line.run(stage)
        elif isinstance(stage, Stretch):
            line.steps([step for step in stage.steps if not (step.starts and step.number in here)])


class StraightLine(Straight):
    """Write instructions of a plan, whose values are in memory."""

    def __init__(self, plan: Plan, f: Function, count: int, block: str, kept: set[int]) -> None:
        super().__init__(Lanes(f, count, plan.machine.fused), plan.code)
        self.plan, self.block, self.kept = plan, block, kept
        self.align = 8 if self.lanes.scalar else 8 * plan.machine.native

    def steps(self, steps: Sequence[Step]) -> None:
        """Write all steps; some sums are checked together."""
        for together, group in groupby(steps, lambda step: step.together):
            chosen = list(group)
            if together:
                self.checked([step.number for step in chosen])
                continue
            for step in chosen:
                if step.starts:
                    self._start(step.number)
                else:
                    self.write(step.number)
                    if step.number in self.conditions and step.number in self.kept:
                        self.define(step.number, self.value(step.number))

    def load(self, i: int) -> str:
        """Load a value."""
        if self.plan.schedule.in_lanes(i):
            return self.f.load(self.lanes.kind, self.f.at(self.block, self.plan.at(i), BYTE), self.align)
        return self.lanes.splat(self.f.load("double", self.f.at("%s", self.plan.at(i), BYTE)))

    def _store(self, i: int, name: str) -> None:
        self.f.store(self.lanes.kind, name, self.f.at(self.block, self.plan.at(i), BYTE), self.align)

    def define(self, i: int, name: str) -> None:
        """Take note of a value, and store it if somebody else reads it."""
        self.known[i] = name
        if i in self.kept:
            self._store(i, name)

    def _start(self, i: int) -> None:
        """Write what a long sum starts from."""
        form, _, terms, *_ = self.code.instructions[i]
        others = self.plan.schedule.long[i].others
        self._store(i, self.in_units(others, terms, ()) if form == "scaled" else self.products(i, others, terms))

    def run(self, run: Run) -> None:
        """Write instructions on neighbouring scalars as vectors."""
        native = self.plan.machine.native
        lanes = Lanes(self.f, native, self.lanes.fused)
        fixed = ["" if step else lanes.splat(self.value(i)) for i, step in zip(run.firsts, run.steps, strict=True)]
        for k in range(0, len(run.numbers), native):
            places = [self.f.at("%s", self.plan.at(i) + 8 * k, BYTE) for i in (run.numbers[0], *run.firsts)]
            xs = [x or self.f.load(lanes.kind, place) for x, place in zip(fixed, places[1:], strict=True)]
            self.f.store(lanes.kind, compute(lanes, run.form, xs), places[0])

    def matrix(self, group: Sums, starts: set[int]) -> None:
        """Write loops for sums with the same right factors."""
        firsts, step = self.plan.even(group.lefts)
        right, *_ = group.rights
        samples = f"inttoptr (i64 {self.plan.table([self.plan.at(i) for i in right])} to ptr)"
        for k in range(0, len(group.numbers), TOGETHER):
            chosen = group.numbers[k : k + TOGETHER]
            begun = [
                (
                    self.lanes.kind,
                    self.products(i, self.plan.schedule.long[i].others, self.code.instructions[i][2])
                    if i in starts
                    else self.load(i),  # another part has begun it
                )
                for i in chosen
            ]
            with self.f.loop(len(right), [*begun, ("i64", "0")]) as loop:
                *totals, offset = loop.carried
                place = self.f.at(self.block, self.f.word(samples, loop.index), BYTE)
                x = self.f.load(self.lanes.kind, place, self.align)
                for first, total in zip(firsts[k : k + TOGETHER], totals, strict=True):
                    c = self.f.load("double", self.f.at(self.f.at("%s", first, BYTE), offset, BYTE))
                    loop.next.append(self.lanes.product_added(self.lanes.splat(c), x, total, group.form))
                loop.next.append(self.f.add(offset, step))
            names = loop.next[:-1]
            _, _, rescue, table = self.plan.sums[id(group)]
            if isinstance(rescue, str):
                with self.f.rarely(self.lanes.any(self.lanes.overflowed(names)), self.lanes.kind, names) as rare:
                    for i, name in zip(chosen, names, strict=True):
                        self._store(i, name)
                    words = f"ptr {self.f.op(f'inttoptr i64 {table} to ptr')}"
                    self.f.shared[rescue] = self.plan.makers[rescue]
                    self.f.call("i64", rescue, words, "ptr %s", f"ptr {self.block}", "ptr null", "i64 1", "i64 1")
                    places = [self.f.at(self.block, self.plan.at(i), BYTE) for i in chosen]
                    rare.next = [self.f.load(self.lanes.kind, place, self.align) for place in places]
                names = rare.carried
            for i, name in zip(chosen, names, strict=True):
                self.define(i, name)
