"""Turn instructions into code that runs, in four steps. Each step is a class that takes an object of the one before:

    loops.schedule.Schedule    finds the sums that loops compute, and puts the instructions in order
    loops.plan.Plan            makes stages, such as loops and straight-line code, and gives values places in memory
    tables.tables.Tables       writes the loops as tables, which kernels shared by all programs read
    CallLists                  writes the straight-line code, as threaded or native code, and lists the calls of a phase

The steps begin with the instructions of a recorded graph (`runtime.executable`) or of an optimiser's update
(`training.update`). These two modules write the addresses of the lists into the program's header, which the drivers
read, see `runtime.drivers`.
"""

from __future__ import annotations

from collections.abc import Container, Iterator, Sequence
from itertools import chain

from .instructions.code import AFTER, BATCH, SAMPLE, Code, Pair, Scatter
from .llvm.machine import SCALAR_LEVEL, VECTOR_LEVEL, Machine
from .llvm.text import Function
from .loops.plan import Plan
from .loops.schedule import Schedule, split_by_cost
from .loops.stages import END_OF_CALLS, Call, StraightLine
from .native import parts_of, write_part
from .tables.tables import Tables
from .tables.threaded import Threaded

LINES_PER_MODULE = 20_000  # of LLVM text, which LLVM compiles in about a tenth of a second
# In code for single rows, operands are gathered into vectors if a rank has on average at least MIN_ALIKE_PER_RANK
# instructions of each of its opcodes, and the schedule's cost is at least MIN_GATHERED_SIZE. Otherwise it is faster to
# keep values in registers. In programs that are so large that they are fused, operands are always gathered.
MIN_ALIKE_PER_RANK, MIN_GATHERED_SIZE = 8.0, 200


def make_tables(
    on: Machine,
    code: Code,
    roots: Sequence[int],
    totals: Sequence[tuple[Pair, ...] | Scatter],
    *,
    batched: bool,
    width: int,
    scalars: int,
    outputs: Sequence[int] = (),
) -> Tables:
    """Find the loops among some instructions, and return the tables of the loops, which have the plan of all stages.

    A `Schedule` orders the instructions. A `Plan` makes stages of them, and gives their values places in memory.
    `Tables` writes the stages that are loops.

    Args:
        on: the machine.
        code: the instructions. Instructions for `totals` may be added.
        roots: the numbers of the instructions to compute.
        totals: what is to be summed over the rows of a batch: pairs of instructions whose products are added, or a
            `Scatter`.
        batched: whether several rows are computed at once, one in each lane of a vector. If not, rows are computed one
            at a time.
        width: how many inputs a row has.
        scalars: the first free index in the memory for scalars; parameters, for example, have the indices before it.
        outputs: the numbers of the instructions whose values are outputs of each row. If rows are in lanes, such a
            value has a vector in each block, even if it is the same for all rows.

    >>> from micrograd_cn.compiler.llvm.machine import machine
    >>> code = Code()
    >>> x, y = (code.append(("input", k), SAMPLE) for k in range(2))
    >>> product = code.emit("fmul", x, y)
    >>> plan = make_tables(machine(), code, [product], [], batched=False, width=2, scalars=0).plan
    >>> plan.stages[SAMPLE], [plan.scalar[i] for i in (x, y, product)]
    ([StraightLine(numbers=[2])], [0, 1, 2])
    """
    schedule = Schedule(code, roots, totals, batched)
    gather = schedule.is_large or (
        schedule.cost >= MIN_GATHERED_SIZE and schedule.mean_group_size() >= MIN_ALIKE_PER_RANK
    )
    return Tables(Plan(schedule, on.simd, on.width, width, scalars, gather, outputs), on)


class CallLists:
    """The code of a plan: lists of calls. Most calls compute one or several stages of a phase.

    A call is a pair: the name of a kernel and the address of the table that the kernel reads, or the address of native
    code, which was compiled for the plan, and 0.

    Args:
        tables: the tables of the plan.
        native: whether straight-line code becomes native code. If not, it becomes threaded code.
        outputs: the instruction numbers of the outputs, if native code may store them row by row, else an empty
            sequence.

    Attributes:
        plan: the plan.
        places: the places in memory of the plan's values, and further places that threaded code needs.
        functions: the LLVM functions of the native code.
        kernels: the names of the kernels that the calls and their tables name. `addresses` sets this list.
        stored: whether the native code stores the outputs row by row. If not, the driver `forward` copies them.
    """

    def __init__(self, tables: Tables, native: bool, outputs: Sequence[int] = ()) -> None:
        self.tables, self.plan = tables, tables.plan
        self.stored = False
        self.places = tables.places
        self.functions: list[Function] = []
        self.kernels: list[str] = []
        self._calls = self._native(outputs) if native else self._threaded()

    def _native(self, outputs: Sequence[int]) -> dict[int, list[Call]]:
        """Return the calls of each phase.

        Each piece of straight-line code is compiled to a native function, which may include neighbouring stages.
        """
        parts, calls, on = parts_of(self.plan, outputs), dict[int, list[Call]](), self.tables.machine
        in_vectors = self.plan.lanes > 1 and outputs and not self.plan.schedule.is_large
        optimised = set[str]()  # the names of the functions to compile at VECTOR_LEVEL
        for part in chain(*parts.values()):
            if not part.kernel_call:
                name = f"part{len(self.functions)}"
                self.functions.append(write_part(self.plan, part, name, self.tables.machine.fma))
                self.stored = self.stored or bool(part.outputs)
                if in_vectors or part.outputs:
                    optimised.add(name)
        addresses = iter(self._compile(on, optimised))
        for phase, found in parts.items():
            calls[phase] = [part.kernel_call or (next(addresses), 0) for part in found]
        return calls

    def _compile(self, on: Machine, optimised: Container[str]) -> Iterator[int]:
        """Compile the native functions, and yield their addresses.

        They are compiled in modules of limited size. LLVM generates code at `VECTOR_LEVEL` for a module with a function
        whose name is in `optimised`, and at `SCALAR_LEVEL` for the others. Modules of limited size need little memory
        at a time, and another thread that needs LLVM waits only for one of them.
        """
        self._compiled = []
        for group in split_by_cost(self.functions, lambda f: len(f.lines), LINES_PER_MODULE):
            level = VECTOR_LEVEL if any(f.name in optimised for f in group) else SCALAR_LEVEL
            self._compiled.append(on.compile(group, self.plan.code.op_names, level))
            for f in group:
                yield self._compiled[-1].address(f.name)

    def _threaded(self) -> dict[int, list[Call]]:
        """Return the calls of each phase. Straight-line code becomes threaded code: tables that shared kernels read."""
        plan, threaded, calls = self.plan, Threaded(self.tables), dict[int, list[Call]]()
        for phase, found in plan.stages.items():
            batched = plan.schedule.phase_in_lanes(phase)
            calls[phase] = [threaded.call(s, batched) if isinstance(s, StraightLine) else s.call for s in found]
        self.places = threaded.places
        return calls

    def addresses(self) -> dict[str, int]:
        """Write the lists of calls to memory. Return a dict with the address of each list.

        The keys are the names that these lists have in the header, see `runtime.drivers.FIELDS`.
        """
        tables, calls = self.tables, self._calls
        lists = {
            "batch": [*calls[BATCH], *tables.pack_calls],
            "broadcast": tables.broadcast_calls(self.places),
            "sample": [*tables.input_copies(), *calls[SAMPLE]],
            "totals": tables.totals,
            "after": calls[AFTER],
        }
        self.kernels = tables.kernel_names([*chain(*lists.values())])
        return {name: tables.table([*chain(*found, END_OF_CALLS)]) for name, found in lists.items()}
