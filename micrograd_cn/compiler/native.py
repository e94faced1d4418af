"""Write native code: LLVM functions for one program alone, which compute its straight-line code and short maps.

A map is a list of instructions of one opcode, see `loops.stages`. Native code takes longer to compile than threaded
code (tables that shared kernels read, see `tables.threaded`). Unless the program is large, it is several times as fast.
"""

from __future__ import annotations

from collections.abc import Container, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import chain
from typing import TypeGuard

from .instructions.code import SAMPLE, SUM_OPCODES
from .instructions.straight_line import StraightLineWriter
from .llvm.lanes import Lanes, StraightLineLanes
from .llvm.machine import SCALAR_LEVEL, VECTOR_LEVEL, Machine
from .llvm.operands import Doubles, Vector, transpose
from .llvm.text import Function
from .loops.places import WORD
from .loops.plan import Plan
from .loops.schedule import MAX_STRAIGHT_LINE_COST, split_by_cost
from .loops.stages import Call, Loop, Map, Stage, StraightLine
from .loops.strides import pattern_of
from .tables.sums import KERNEL_ARGUMENTS, each_block
from .tables.tables import Tables

MAX_UNROLLED_VECTORS = 16  # SIMD vectors in a map that is unrolled here, at most; kernels compute longer maps
HALF_CACHE_LINE = 4  # doubles in half a cache line
LINES_PER_MODULE = 20_000  # of LLVM text, which LLVM compiles in about a tenth of a second


class NativeCode:
    """The native code of a plan: functions that are compiled for its straight-line code and short maps.

    Args:
        tables: the plan's tables, for the stages that kernels compute.
        outputs: the instruction numbers of the outputs, if the code may store them row by row, else an empty sequence.

    Attributes:
        calls: for each phase, the calls of kernels and native functions that compute its stages.
        places: the plan's places in memory.
        functions: the LLVM functions.
        stored: whether the code stores the outputs row by row. If not, the driver `forward` copies them.
    """

    def __init__(self, tables: Tables, outputs: Sequence[int] = ()) -> None:
        self._plan, self.places = tables.plan, tables.places
        computed = functions_and_loops(tables.plan, outputs)
        functions = [x for x in chain(*computed.values()) if isinstance(x, NativeFunction)]
        in_lanes = tables.plan.lanes > 1
        in_vectors = in_lanes and outputs and not tables.schedule.stays_threaded
        self.functions = [x.write(tables.plan, f"part{k}", tables.machine.fma) for k, x in enumerate(functions)]
        self.stored = any(x.outputs for x in functions)
        optimised = {  # the names of the functions to compile at VECTOR_LEVEL
            f.name for x, f in zip(functions, self.functions, strict=True) if in_vectors or (in_lanes and x.outputs)
        }
        addresses = self._compile(tables.machine, optimised)
        self.calls: dict[int, list[Call]] = {
            phase: [(next(addresses), 0) if isinstance(x, NativeFunction) else tables.calls[x] for x in found]
            for phase, found in computed.items()
        }

    def _compile(self, on: Machine, optimised: Container[str]) -> Iterator[int]:
        """Compile the functions, and yield their addresses.

        They are compiled in modules of limited size. LLVM generates code at `VECTOR_LEVEL` for a module with a function
        whose name is in `optimised`, and at `SCALAR_LEVEL` for the others. Modules of limited size need little memory
        at a time, and another thread that needs LLVM waits only for one of them.
        """
        self._compiled = []
        for group in split_by_cost(self.functions, lambda f: len(f.lines), LINES_PER_MODULE):
            level = VECTOR_LEVEL if any(f.name in optimised for f in group) else SCALAR_LEVEL
            self._compiled.append(on.compile(group, self._plan.code.op_names, level))
            for f in group:
                yield self._compiled[-1].address(f.name)


@dataclass
class NativeFunction:
    """A function of native code, which computes successive stages of one phase of a program.

    A phase consists of the instructions that are computed once before the rows of a batch, or for each row, or once
    after the rows.

    Attributes:
        stages: the stages, in order. They are straight-line code, and short loops over instructions of one opcode.
        in_lanes: whether the stages compute vectors, with one row in each lane. If not, they compute scalars.
        stored: the instruction numbers of those values of the function that loops or other functions read. The function
            stores them in memory.
        outputs: the instruction numbers of the program's outputs if this function stores them. The outputs of the first
            row are then stored from the address in the function's argument `%a` on, and those of each further row
            follow. If this function does not store the outputs, the sequence is empty.
    """

    stages: list[Stage]
    in_lanes: bool
    stored: set[int] = field(default_factory=set)
    outputs: Sequence[int] = ()

    def write(self, plan: Plan, name: str, fma: bool) -> Function:
        """Write the function in LLVM's language, and return it.

        Args:
            plan: the stages of the program, and the places of values in memory.
            name: the function's name.
            fma: whether the machine has FMA, which multiplies and adds with one rounding.

        >>> from micrograd_cn.compiler.instructions.code import Code
        >>> from micrograd_cn.compiler.loops.schedule import Schedule
        >>> code = Code()
        >>> x, y = (code.append(("input", k), SAMPLE) for k in range(2))
        >>> product = code.emit("fmul", x, y)
        >>> plan = Plan(Schedule(code, [product], [], rows_in_lanes=False), 4, 8, 2, 0)
        >>> [function] = functions_and_loops(plan, [product])[SAMPLE]
        >>> for line in function.write(plan, "product", fma=False).lines:
        ...     if "double" in line:
        ...         print(line.strip())
        %v0 = load double, ptr %s, align 8
        %v2 = load double, ptr %v1, align 8
        %v3 = fmul double %v0, %v2
        store double %v3, ptr %a, align 8
        """
        f = Function(name, KERNEL_ARGUMENTS, fma=fma)
        outputs = Doubles(f, "%a")
        if self.in_lanes:
            with each_block(f, [outputs]) as (block, [to], after):
                lanes = StraightLineLanes(f, plan.lanes, WORD * plan.simd)
                self._write_stages(NativeWriter(plan, lanes, block, self.stored), to)
                after.append(to + plan.lanes * len(self.outputs))
        else:
            self._write_stages(NativeWriter(plan, StraightLineLanes(f, 1), Doubles(f, "%s"), self.stored), outputs)
        f.do("ret void")
        return f

    def _write_stages(self, writer: NativeWriter, to: Doubles) -> None:
        for stage in self.stages:
            if isinstance(stage, Map):
                writer.write_map(stage)
            elif isinstance(stage, StraightLine):
                if self.outputs and stage is self.stages[-1]:
                    writer.write_with_outputs(stage.numbers, self.outputs, to)
                else:
                    writer.write_all(stage.numbers)


def functions_and_loops(plan: Plan, outputs: Sequence[int]) -> dict[int, list[NativeFunction | Loop]]:
    """Return what computes each phase of a plan, in order: functions of native code, and loops, which kernels compute.

    Args:
        plan: the stages, and the places of values in memory.
        outputs: the instruction numbers of the outputs. They are stored row by row, see `NativeFunction.outputs`, if
            three conditions hold: phase SAMPLE ends with a function of native code and not with a loop, this function
            ends with straight-line code, and there are at most MAX_STRAIGHT_LINE_COST outputs. In all other cases, each
            output is stored in its place in memory.
    """
    schedule = plan.schedule
    found = {phase: [*_functions_and_loops(plan, phase)] for phase in plan.stages}
    in_memory = {*plan.places.broadcasts, *schedule.totals.factors()}  # the values that are read from memory
    last = found[SAMPLE][-1] if found[SAMPLE] else None
    ends = isinstance(last, NativeFunction) and isinstance(last.stages[-1], StraightLine)
    if isinstance(last, NativeFunction) and ends and 0 < len(outputs) <= MAX_STRAIGHT_LINE_COST:
        last.outputs = outputs
    else:
        in_memory.update(schedule.roots)
    functions = list[NativeFunction]()
    first_reader: dict[int, int] = {}  # for each value that functions read in registers, the index of the first of them
    for x in chain(*found.values()):
        if isinstance(x, NativeFunction):
            in_registers, from_memory = _reads_of(plan, x)
            in_memory |= from_memory
            in_memory.update([i for i in in_registers if first_reader.setdefault(i, len(functions)) != len(functions)])
            functions.append(x)
        else:
            in_memory.update(plan.reads(x))
    for number, function in enumerate(functions):
        computed = chain(*[stage.numbers for stage in function.stages])
        function.stored = {i for i in computed if i in in_memory or first_reader.get(i, number) != number}
    return found


def _reads_of(plan: Plan, function: NativeFunction) -> tuple[set[int], set[int]]:
    """Return two sets of instruction numbers: the values that a function needs in registers, and in memory.

    The straight-line code needs values in registers, and so do the instructions that store the outputs. Loops over
    instructions of one opcode load values from memory.
    """
    in_registers, from_memory = {*function.outputs}, set[int]()
    for stage in function.stages:
        (in_registers if isinstance(stage, StraightLine) else from_memory).update(plan.reads(stage))
    return in_registers, from_memory


def _functions_and_loops(plan: Plan, phase: int) -> Iterator[NativeFunction | Loop]:
    """Yield what computes a phase: functions of successive stages, and the loops among the stages.

    The cost of a function is about the number of its machine instructions. It is at most MAX_STRAIGHT_LINE_COST, unless
    the function has a single stage. A short map, a loop over a few instructions of one opcode, is part of a function if
    the function has other stages, too; otherwise a kernel computes it.
    """
    in_lanes = plan.schedule.phase_in_lanes(phase)
    for stages in _group_stages(plan, phase):
        first, *others = stages
        yield first if not (others or isinstance(first, StraightLine)) else NativeFunction(stages, in_lanes)


def _group_stages(plan: Plan, phase: int) -> Iterator[list[Stage]]:
    """Yield the stages of a phase in groups of limited cost. A stage that a kernel computes is a group by itself."""
    group: list[Stage] = []
    cost = 0
    for stage in plan.stages[phase]:
        if isinstance(stage, StraightLine):
            added = sum(map(plan.code.cost_of, stage.numbers))
        elif _is_unrolled(stage, plan):
            added = -(-len(stage.numbers) // plan.simd)
        else:
            added = MAX_STRAIGHT_LINE_COST
        if group and cost + added > MAX_STRAIGHT_LINE_COST:
            yield group
            group, cost = [], 0
        group.append(stage)
        cost += added
    if group:
        yield group


def _is_unrolled(stage: Stage, plan: Plan) -> TypeGuard[Map]:
    """Return whether a stage is a map that is unrolled: written as SIMD instructions without a loop.

    Such a map is short, and its instructions are not sums. In each operand slot, the operands of the map's instructions
    are contiguous in memory, or all instructions have the same operand.
    """
    if not isinstance(stage, Map) or stage.opcode in SUM_OPCODES:
        return False
    return len(stage.numbers) <= MAX_UNROLLED_VECTORS * plan.simd and "l" not in pattern_of(plan.operand_offsets(stage))


class NativeWriter(StraightLineWriter):
    """Write LLVM code that computes the stages of a native function.

    Values that other functions compute are loaded from memory.

    Args:
        plan: the stages, and the places of values in memory.
        lanes: the writer of vector operations in the function.
        block: the address of a block if the function computes vectors, else that of the scalars.
        stored: the instruction numbers of the values that the function stores in memory.
    """

    def __init__(self, plan: Plan, lanes: StraightLineLanes, block: Doubles, stored: set[int]) -> None:
        super().__init__(lanes, plan.code)
        self.lanes, self.f = lanes, lanes.f
        self.plan, self.block, self.scalars, self.stored = plan, block, Doubles(lanes.f, "%s"), stored

    def write_all(self, numbers: Iterable[int]) -> None:
        """Write LLVM code that computes the instructions with these numbers, one after the other."""
        for i in numbers:
            self.write(i)
            if i in self.conditions and i in self.stored:
                self.name_of(i)  # which stores it as a number

    def write_with_outputs(self, numbers: Sequence[int], outputs: Sequence[int], to: Doubles) -> None:
        """Write LLVM code that computes instructions, and stores the program's outputs row by row.

        The outputs are stored in groups. A group has at most as many outputs as a SIMD vector has lanes. Each group is
        stored as soon as its outputs are computed, so few outputs have to stay in registers. The instructions are
        computed in the order in which the groups need them.

        Args:
            numbers: the numbers of the instructions.
            outputs: the instruction numbers of the outputs.
            to: the address at which the first output of the first row is stored. The outputs of each further row
                follow those of the row before.
        """
        left, n, width = {*numbers}, len(outputs), self.plan.simd
        if n % width:  # rows are not aligned, so a store of 64 bytes would often cross two cache lines
            width = min(width, HALF_CACHE_LINE)
        simd = Lanes(self.f, min(width, self.lanes.count))
        last = max(0, n - simd.count)  # the last group begins here, and overlaps the one before, not to be short
        for first in [min(k, last) for k in range(0, n, simd.count)]:
            chosen = outputs[first : first + simd.count]
            self._write_needed(chosen, left)
            self._store_rows(simd, [self.lanes.named(self.name_of(i)) for i in chosen], to + first, n)

    def _write_needed(self, wanted: Sequence[int], left: set[int]) -> None:
        """Write those instructions in `left` on which the instructions `wanted` depend, and take them out of `left`.

        Each instruction is written after its operands.
        """
        waiting = [*wanted]
        while waiting:
            i = waiting[-1]
            if i not in left:
                waiting.pop()
            elif needed := [j for j in self.code.operands[i] if j in left]:
                waiting += needed
            else:
                left.remove(i)
                self.write_all([i])

    def _store_rows(self, simd: Lanes, xs: Sequence[Vector], to: Doubles, width: int) -> None:
        """Write LLVM code that stores a few neighbouring outputs of each row.

        Args:
            simd: the operations on vectors with at least as many lanes as there are vectors in `xs`.
            xs: these outputs. Each of them is a vector with one row in each lane.
            to: the address of the first of these outputs of the first row.
            width: the number of all outputs of a row.
        """
        if simd.count == 1:
            simd.store(xs[0], to)
            return
        for half in range(0, self.lanes.count, simd.count):
            parts = [x.shuffle(range(half, half + simd.count)) for x in xs]
            if width == 1:
                simd.store(parts[0], to + half)
            elif len(xs) == simd.count:
                for lane, row in enumerate(transpose(parts), half):
                    simd.store(row, to + lane * width)
            else:
                for k, part in enumerate(parts):
                    for lane in range(simd.count):
                        to[(half + lane) * width + k] = part[lane]

    def load(self, i: int) -> str:
        """Write a load of the value of instruction `i` from memory, and return the LLVM name of the value.

        A scalar is broadcast to all lanes.
        """
        if self.plan.schedule.in_lanes(i):
            return self.lanes.load(self.block.bytes(self.plan.offset(i))).name
        return self.lanes.splat(self.scalars.bytes(self.plan.offset(i))[0]).name

    def _store(self, i: int, name: str) -> None:
        self.lanes.store(self.lanes.named(name), self.block.bytes(self.plan.offset(i)))

    def define(self, i: int, name: str) -> None:
        """Record the LLVM name of the value of instruction `i`, and store the value if it is read from memory."""
        self.names[i] = name
        if i in self.stored:
            self._store(i, name)

    def write_map(self, stage: Map) -> None:
        """Write LLVM code that computes a map, a list of instructions of one opcode, in SIMD vectors without a loop."""
        simd = self.plan.simd
        lanes = StraightLineLanes(self.f, simd)
        firsts = [column[0] for column in self.plan.operands(stage)]
        pattern = pattern_of(self.plan.operand_offsets(stage))
        fixed = [
            lanes.splat(Vector(self.f, self.name_of(i))).name if letter == "s" else ""
            for i, letter in zip(firsts, pattern, strict=True)
        ]
        for k in range(0, len(stage.numbers), simd):
            to, *places = [self.scalars.bytes(self.plan.offset(i) + WORD * k) for i in (stage.numbers[0], *firsts)]
            xs = [x or lanes.load(place).name for x, place in zip(fixed, places, strict=True)]
            lanes.store(lanes.named(lanes.apply(stage.opcode, xs)), to)
