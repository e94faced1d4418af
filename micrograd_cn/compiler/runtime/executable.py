"""Turn a graph into code that runs: threaded code at first, native code once the program has run for long enough.

Threaded and native code are the two tiers. Threaded code, which has nothing to do with threads, consists of tables. The
functions that read the tables, called kernels, are shared by all programs, so threaded code is made in little time.
Native code is compiled for one program, and usually runs several times as fast, but not always if the program is large.
Both compute the same bits.
"""

from __future__ import annotations

import ctypes
import time
from array import array
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from functools import cache, partial
from itertools import chain
from math import inf, isnan
from typing import Any, NamedTuple, TypeVar
from weakref import WeakValueDictionary

from ...derivatives.selected import Gates
from ...engine import Value
from ...graph import context
from ..data.anomalies import detect_anomaly
from ..data.captured import CapturedValue
from ..data.columns import Numbers, address
from ..data.parameters import CachedData
from ..data.rows import row_numbers
from ..instructions.code import Code, Pair, Scatter, copied
from ..instructions.gradient import NO_GRADIENT, differentiate
from ..instructions.graph import Graph
from ..instructions.lowering import Lowering
from ..llvm.builtin import builtin_function
from ..llvm.machine import Machine, Memory, machine
from ..loops.places import WORD
from ..loops.plan import Plan
from ..loops.schedule import Schedule
from ..loops.strides import contiguous_spans
from ..native import NativeCode
from ..tables.tables import Tables, touched_words
from ..tables.threaded import Threaded
from ..threads.background import BackgroundTasks
from ..threads.collector import without_collector
from ..threads.forks import ForkSafeLock, cached_property
from ..threads.tasks import divide_rows, run_parallel
from . import drivers

TRIALS = 5  # native code of a large program is compared with threaded code by the fastest of so many runs of each
PADDING = 16  # a vector load may read this many doubles after the last scalar, which are not used
# Threaded code runs for this many seconds per instruction before native code is made, which takes about as long.
SECONDS_BEFORE_NATIVE = 5e-5
MAX_NATIVE_COST = 200_000  # at most so many machine instructions become native code, in some seconds and 80 MB
OVERHEAD_OF_NATIVE = 50  # LLVM takes as long as for so many instructions, even if there are none
# A program runs for this many seconds per kernel before its kernels are optimised, which takes half as long.
SECONDS_BEFORE_FAST_KERNELS = 1e-2
# The code of so many programs, and of so many bytes, is kept for later programs with equal instructions. An instruction
# takes about BYTES_PER_INSTRUCTION in all lists and dicts, and each of its operands BYTES_PER_OPERAND. The code of a
# program with more than MAX_SHARED_INSTRUCTIONS is not kept.
MAX_KEPT, KEPT_BYTES, MAX_SHARED_INSTRUCTIONS = 64, 16 << 20, 20_000
BYTES_PER_INSTRUCTION, BYTES_PER_OPERAND = 1_000, 100
MIN_SHARED = 0.875  # a graph begins with the instructions of another if it has at least this part of its nodes
NEVER_SPOILED = Memory(1)  # has the number 0
T = TypeVar("T")
# A prepared call releases the GIL if it executes more instructions than this in each lane: they take some microseconds.
GIL_RELEASE_SIZE = 20_000
MAX_PARTS = 8  # so many choices of the parameters whose gradients are computed have code of their own
MAX_SCALAR_ROWS = 2  # up to this many rows are computed one at a time, and more in the lanes of vectors
PARAMETER_ALIGNMENT = 16  # parameters are copied in vectors as wide as the widest machine has
CHUNKS_PER_THREAD = 8  # several chunks of rows for each thread, in one queue, so no thread waits long for the others
MIN_ROWS_PER_CHUNK = 1024


def no_collector(first: int, count: int) -> None:
    """No-op: the default of the argument `collect` of `Executable.forward`."""


def driver(name: str, lanes: int = 1, fast: bool = True) -> Any:
    """Return a driver, a compiled loop over rows or batches, as a ctypes function.

    Args:
        name: the driver's name, see `drivers`.
        lanes: how many rows the driver computes at once, one in each lane of a vector; 1 for a driver that computes
            rows one at a time.
        fast: whether the driver is compiled with optimisations.
    """
    return _driver(machine(), name, lanes, fast)


@cache
def _driver(on: Machine, name: str, lanes: int, fast: bool) -> Any:
    writer = drivers.Drivers(on, lanes)
    return on.function(*writer.named(name), fast)


def driver_of(kind: str) -> str:
    """Return the name of the driver that runs an executable of this `kind`; see `Wanted` for kinds."""
    return "gradient" if kind == "gated" else kind


def driver_address(name: str, lanes: int, fast: bool) -> int:
    """Return the address of a driver for `lanes` lanes, of its optimised version if `fast` is set.

    The driver is compiled if no program has needed it yet.
    """
    on = machine()
    return on.address(*drivers.Drivers(on, lanes).named(name), fast)


def has_driver(name: str, lanes: int, fast: bool) -> bool:
    """Return whether a driver is compiled already; see `driver_address`."""
    on = machine()
    return drivers.Drivers(on, lanes).named(name)[0] in on.addresses[fast]


_tasks = BackgroundTasks()  # which compile drivers


def has_prepared_driver(kind: str, rows: int) -> bool:
    """Return whether the driver for prepared calls with `rows` rows is compiled.

    If it is not, a background thread begins to compile it. `kind` is "forward" if the calls compute outputs, and
    "gradient" if they compute the mean output and its gradient.
    """
    name, lanes = f"prepared_{driver_of(kind)}", machine().width if rows > MAX_SCALAR_ROWS else 1
    if not (found := has_driver(name, lanes, fast=False)):
        _tasks.do((name, lanes), partial(driver_address, name, lanes, fast=False))
        found = has_driver(name, lanes, fast=False)  # if no thread can be started
    return found


def padded_count(parameters: int) -> int:
    """Return the least positive multiple of `PARAMETER_ALIGNMENT` that is not less than the number of parameters."""
    return -(-parameters // PARAMETER_ALIGNMENT) * PARAMETER_ALIGNMENT or PARAMETER_ALIGNMENT


class Executable:
    """Code that computes the outputs of a graph or its gradient, as threaded code or as native code.

    The code is for single rows of numbers, or for several rows at once, one in each lane of a vector.

    Args:
        tables: the tables of the plan to compute.
        wanted: what the code computes from its instructions.
        native: whether the code is native code. If not, it is threaded code.

    Attributes:
        plan: the plan that is computed.
        kind: "forward", "gradient", "gated" or "update"; see `Wanted`.
        native: whether the code is native code.
        lanes: how many rows are computed at once, one in each lane of a vector; 1 in code for single rows.
        block: how many doubles a block has; 0 in code for single rows.
        seconds: for about how many seconds the code has run until now.
        code: the threaded or native code of the stages.
        header: the address of the executable's header; see `drivers`.
        outputs: how many outputs there are.
        sizes: how many doubles each `Buffers` of the executable has for scalars, for a panel, and for totals.
        bytes: the size of the tables and of one `Buffers`.
        omits_gates: whether the code may give a gradient that is nan where it should not be; see `mend`.
    """

    def __init__(self, tables: Tables, wanted: Wanted, native: bool) -> None:
        self.tables, self.kind, self.native = tables, wanted.kind, native
        # The scalars begin with the parameters and their gradients. A number follows that is nan if a total is spoiled.
        self._padded_parameters, self.omits_gates = wanted.padded_parameters, wanted.omits_gates
        self.plan = plan = tables.plan
        self.lanes, self.seconds = plan.lanes, 0.0
        schedule = plan.schedule
        copied = self._copied_gradients(wanted)
        touched, lists = plan.touched, touched_words(plan)
        self.code: Threaded | NativeCode
        if native:
            self.code = NativeCode(tables, wanted.outputs if wanted.kind == "forward" else ())
        else:
            self.code = Threaded(tables)
        places, stored = self.code.places, self.code.stored
        self._lists = tables.call_lists(self.code.calls, places)
        # Blocks of an odd count of vectors use all sets of the cache. An update has blocks for all parameters, so it is
        # faster if they are small.
        vectors = places.vector_count | (wanted.kind != "update")
        self.block = vectors * self.lanes if schedule.rows_in_lanes else 0
        outputs = [*map(places.block_offset, wanted.outputs)]
        self.header = tables.table(
            drivers.EMPTY_HEADER._replace(
                **self._lists,
                width=wanted.width,
                row_at=WORD * self.lanes * plan.row_at,
                seed_at=next(map(plan.offset, schedule.seed()), -1),
                block=WORD * self.block,
                panel=plan.blocks,
                outputs=len(outputs),
                output_table=tables.table(outputs),
                stored=int(stored),
                total_count=plan.total_count,
                totals_at=WORD * plan.totals_at,
                gradients=len(copied) // 3,
                gradient_table=tables.table(copied),
                gradients_at=WORD * wanted.padded_parameters,
                spoiled_at=2 * WORD * wanted.padded_parameters if self.omits_gates else 0,
                touched_blocks=touched.blocks if touched else 0,
                touched_at=WORD * plan.touched_at,
                **lists._asdict(),
                always_touched=tables.table([len(touched.always), *touched.always]) if touched else 0,
            )
        )
        self.outputs = len(outputs)
        # The last block may have lanes without a row; their outputs are stored after the panel.
        unused = self.lanes * self.outputs if stored and schedule.rows_in_lanes else 0
        totals = plan.touched_at + touched.words if touched else plan.total_count
        self.sizes = places.scalar_count + PADDING, plan.blocks * self.block + unused, totals + PADDING
        self.bytes = WORD * (sum(self.sizes) + sum(map(len, tables.all)))
        self._unused: list[Buffers] = []
        self._drivers: dict[tuple[str, bool], Any] = {}
        if wanted.kind != "update":  # the driver `fit` is compiled together with `update`
            writer, name = drivers.Drivers(tables.machine, self.lanes), driver_of(wanted.kind)
            tables.kernels |= [writer.named(name)]  # so it is compiled together with the kernels
            if wanted.kind == "forward" and self.lanes == 1:  # the second call with a single row needs it
                tables.kernels |= [writer.named("prepared_forward")]
        tables.link(fast=native)  # compiles missing kernels, and writes the addresses of kernels into the tables

    def _copied_gradients(self, wanted: Wanted) -> list[int]:
        """Return the contiguous spans of the gradients that are copied, as `contiguous_spans` describes them.

        Gradients that the driver `finish` computes in their places, as from touched totals (see `loops.touched`), are
        left out. So are those that are not computed, which stay 0.
        """
        offset, not_computed = self.plan.offset, -1
        spans = contiguous_spans([offset(i) if i != NO_GRADIENT else not_computed for i in wanted.gradients], WORD)
        parts = zip(spans[::3], spans[1::3], spans[2::3], strict=True)
        there = [not_computed, *[WORD * (wanted.padded_parameters + k) for k in spans[1::3]]]
        return [*chain(*[part for part, own in zip(parts, there[1:], strict=True) if part[0] not in (there[0], own)])]

    def new_scalars(self) -> Memory:
        """Return memory for the scalars, with the constants in it."""
        found = Memory(self.sizes[0])
        self.code.places.fill(found.view)
        return found

    def kernel_names(self) -> list[str]:
        """Return the names of the kernels that this code needs."""
        return self.tables.kernel_names(self._lists.values())

    def compile_fast_kernels(self) -> None:
        """Compile the optimised versions of the kernels that this code needs, and of the driver for prepared calls."""
        self.tables.machine.compile_kernels(self.tables.kernels, True, self.plan.code.op_names)
        if self.kind != "update":
            driver_address(f"prepared_{driver_of(self.kind)}", self.lanes, fast=True)

    def has_fast_kernels(self) -> bool:
        """Return whether the optimised kernels and the driver that `compile_fast_kernels` compiles exist already."""
        if self.tables.machine.count_slow(self.tables.kernels):
            return False
        return self.kind == "update" or has_driver(f"prepared_{driver_of(self.kind)}", self.lanes, fast=True)

    def _driver(self, name: str) -> Any:
        key = name, self.tables.fast
        found = self._drivers.get(key)
        if found is None:
            found = self._drivers[key] = driver(name, self.lanes, self.tables.fast)
        return found

    def forward(
        self,
        thread_buffers: Sequence[Buffers],
        numbers: int,
        index: int,
        n: int,
        out: int,
        collect: Callable[[int, int], object] = no_collector,
    ) -> list[Any]:
        """Compute the outputs of n rows, with a thread for each of `thread_buffers`.

        If there are several threads and many rows, the rows are split into more chunks than there are threads. A thread
        that is done with a chunk calls `collect`, while other threads still compute, and then takes the next chunk.

        Args:
            thread_buffers: for each thread, buffers with the parameters in them.
            numbers: the address of the numbers of all rows.
            index: the address of the indices of the rows to compute.
            n: how many rows to compute.
            out: the address where the outputs are stored, row after row.
            collect: a function that is called for each chunk that is done, with the position of the chunk's first row
                in `index` and the number of its rows.

        Returns:
            what `collect` has returned for each chunk, in the order of the rows.
        """
        call, width, threads = self._driver("forward"), self.outputs, len(thread_buffers)
        if threads == 1:  # for speed
            start = time.perf_counter()
            call(self.header, numbers, index, n, out, *thread_buffers[0].addresses)
            found_alone = [collect(0, n)]
            self.seconds += time.perf_counter() - start
            return found_alone
        chunks_each = max(1, min(CHUNKS_PER_THREAD, n // (threads * MIN_ROWS_PER_CHUNK)))
        chunks = divide_rows(n, self.lanes, threads * chunks_each)
        waiting, found = deque(enumerate(chunks)), dict[int, Any]()

        def work(buffers: Buffers) -> None:
            while True:
                try:
                    k, (first, count) = waiting.popleft()
                except IndexError:
                    return
                rows, to = index + WORD * first, out + WORD * width * first
                call(self.header, numbers, rows, count, to, *buffers.addresses)
                found[k] = collect(first, count)

        start = time.perf_counter()
        run_parallel([partial(work, buffers) for buffers in thread_buffers[: len(chunks)]])
        self.seconds += time.perf_counter() - start
        return [found[k] for k in range(len(chunks))]

    def prepared(self, buffers: Buffers, numbers: int, index: int, n: int, out: int, *result: Any) -> Callable[[], Any]:
        """Return a function without arguments that computes the outputs of n rows and returns `result[0]`.

        The function is written in machine code. It keeps `buffers` and all objects in `result` alive. `numbers` is the
        address of the numbers of all rows, and `index` that of the indices of the rows to compute. The outputs are
        stored at the address `out`, row after row. If the executable computes a gradient, the function writes the mean
        output to `out`, and leaves the gradient in the buffers, as `gradient` does.
        """
        schedule = self.plan.schedule
        size = schedule.cost + sum([len(schedule.code.instructions[i][1]) for i in schedule.long_sums])
        long = n * size > GIL_RELEASE_SIZE * self.lanes
        on, name = self.tables.machine, f"prepared_{driver_of(self.kind)}"
        code = on.address(*drivers.Drivers(on, self.lanes).named(name), self.tables.fast)
        words = drivers.PreparedWords(self.header, numbers, index, n, out, *buffers.addresses, long)
        return builtin_function(code, words, *result, buffers)

    def gradient(self, thread_buffers: Sequence[Buffers], numbers: int, index: int, n: int) -> float:
        """Return the mean output of n rows, and leave the gradient of this mean in the buffers of the first thread.

        The gradient is among the scalars of these buffers, after the places of the parameters.

        Args:
            thread_buffers: for each thread, buffers with the parameters in them.
            numbers: the address of the numbers of all rows.
            index: the address of the indices of the rows to compute.
            n: how many rows to compute.
        """
        gradient = self._driver("gradient")  # before the clock starts, since it may have to be compiled
        start = time.perf_counter()
        first = thread_buffers[0]
        if len(thread_buffers) == 1:
            loss = float(gradient(self.header, numbers, index, n, *first.addresses))
        else:
            begin, panels = self._driver("begin"), self._driver("panels")

            def chunk_loss(at: int, count: int, buffers: Buffers) -> float:
                begin(self.header, *buffers.addresses)
                rows = index + WORD * at
                return float(panels(self.header, numbers, rows, count, 1.0, 0.0, *buffers.addresses))

            divided = divide_rows(n, self.lanes, len(thread_buffers))
            tasks = [
                partial(chunk_loss, *rows, buffers) for rows, buffers in zip(divided, thread_buffers, strict=False)
            ]
            losses = run_parallel(tasks)
            for buffers in thread_buffers[1 : len(divided)]:
                self._driver("add")(self.header, first.totals.address, buffers.totals.address)
            self._driver("finish")(self.header, numbers, index, n, *first.addresses)
            loss = sum(losses) / n
        self.seconds += time.perf_counter() - start
        return loss

    def spoiled_address(self, buffers: Buffers) -> int:
        """Return the address of a number that is nan if the gradient in `buffers` has to be computed again, with gates.

        A gate is an instruction that keeps a gradient from being nan; see `instructions.gradient.differentiate`. If
        this code has all gates, the number at the address is always 0.
        """
        return (
            buffers.scalars.address + 2 * WORD * self._padded_parameters if self.omits_gates else NEVER_SPOILED.address
        )

    def mend(
        self, buffers: Buffers, numbers: int, index: int, n: int, select_executable: Callable[[str, int], Executable]
    ) -> None:
        """Compute the gradient in `buffers` anew by code with all gates, if it may be nan because this code omits some.

        A gate is an instruction that keeps a gradient from being nan; see `instructions.gradient.differentiate`. The
        driver `finish` has left a number that tells whether this is so. `select_executable` is the method of the
        `CompiledGraph`, which has the code with gates. The other arguments are those with which the gradient was
        computed.
        """
        if not self.omits_gates or not isnan(buffers.scalars.view[2 * self._padded_parameters]):
            return
        gated = select_executable("gated", n)
        own, size = gated.acquire(), WORD * self._padded_parameters
        ctypes.memmove(own.scalars.address, buffers.scalars.address, size)
        gated.gradient([own], numbers, index, n)
        ctypes.memmove(buffers.scalars.address + size, own.scalars.address + size, size)
        gated.release(own)

    def acquire(self) -> Buffers:
        """Return buffers that no other thread uses until they are passed to `release`."""
        try:
            return self._unused.pop()
        except IndexError:
            return Buffers(self)

    def write(self, buffers: Buffers, parameters: array[float]) -> None:
        """Copy `parameters`, the data of the parameters, into the scalars of `buffers`."""
        ctypes.memmove(buffers.scalars.address, parameters.buffer_info()[0], WORD * len(parameters))

    def acquire_all(self, parameters: array[float], count: int) -> list[Buffers]:
        """Return `count` buffers, one for each thread, with the parameters' data in them.

        Pass them to `release` in the end. A context manager would take as long as a short computation. Buffers that are
        not released, because of an error, are freed.
        """
        thread_buffers = [self.acquire() for _ in range(count)]
        for buffers in thread_buffers:
            self.write(buffers, parameters)
        return thread_buffers

    def release(self, *thread_buffers: Buffers) -> None:
        """Take buffers back, for the next threads that call `acquire`."""
        self._unused.extend(thread_buffers)


class Buffers:
    """The memory that one thread needs to run a program: scalars, a panel of blocks, and totals; see `drivers`.

    Code that computes rows one at a time keeps the values of a row among the scalars, so the address of the scalars is
    passed as that of the panel, too.

    Attributes:
        scalars, panel, totals: the three arrays of doubles.
        addresses: the addresses of these arrays that are passed to drivers.
        kept: an object that the last training with these buffers has made, and that the next training can use. It is
            None before the first training, and during each.
    """

    def __init__(self, executable: Executable) -> None:
        _, panel, totals = executable.sizes
        self.scalars, self.panel, self.totals = executable.new_scalars(), Memory(max(panel, 1)), Memory(totals)
        panel_at = self.panel.address if executable.lanes > 1 else self.scalars.address
        self.addresses = (self.scalars.address, panel_at, self.totals.address)
        self.kept: Any = None


class Wanted(NamedTuple):
    """What code computes from the instructions of a graph.

    Attributes:
        kind: "forward" if the code computes outputs, "gradient" if it computes the mean output and its gradient,
            "gated" if it does this with all gates, which are instructions that keep a gradient from being nan, or
            "update" if it takes an optimiser's step, see `training.update`.
        rows_in_lanes: whether it computes several rows at once, one in each lane of a vector.
        outputs: the instruction numbers of the outputs; of the first one only, if the code computes the gradient.
        gradients: the instruction number of each parameter's gradient, or `NO_GRADIENT`, if the code computes a
            gradient.
        width: the number of inputs, which is the length of a row.
        padded_parameters: how many places in the memory of scalars are reserved for the parameters, padding included.
        omits_gates: whether the code may give a gradient that is nan where it should not be.
    """

    kind: str
    rows_in_lanes: bool
    outputs: tuple[int, ...]
    gradients: tuple[int, ...]
    width: int
    padded_parameters: int
    omits_gates: bool


class Tiers:
    """The code of some instructions in two tiers: threaded code and, once it is worth the time, native code.

    Programs with equal instructions share the object; see `shared_tiers`.

    Args:
        code: the instructions.
        totals: the sums over the rows of a batch that the gradients need; see `Lowering.totals`.
        wanted: what to compute from the instructions.
        on: the machine that the code is for.

    Attributes:
        tables: the tables that both tiers use.
        made: the executables that were made, by whether they are native code.
        key: the key under which `shared_tiers` keeps this object; None if it is not kept.
        chosen: the code to run from now on, which is native code or, if this is faster, threaded code; None until this
            is known.
        background: the tasks that make native code, or optimise kernels.
        bytes: about how much memory the object needs.
    """

    chosen: Executable | None = None
    key: Any = None

    def __init__(self, code: Code, totals: Sequence[tuple[Pair, ...] | Scatter], wanted: Wanted, on: Machine) -> None:
        self._wanted = wanted
        self.made: dict[bool, Executable] = {}
        self.background = BackgroundTasks()
        self._lock = ForkSafeLock()
        if totals:
            code = code.copy()  # a schedule with totals adds instructions, and an exception may end this half-way
        roots = [*wanted.outputs, *[i for i in wanted.gradients if i != NO_GRADIENT]]
        schedule = Schedule(code, roots, totals, wanted.rows_in_lanes)
        taken = 2 * wanted.padded_parameters + PARAMETER_ALIGNMENT * wanted.omits_gates
        gradients = wanted.gradients, wanted.padded_parameters
        self.tables = Tables(Plan(schedule, on.simd, on.width, wanted.width, taken, wanted.outputs, *gradients), on)
        self.bytes = BYTES_PER_INSTRUCTION * len(code.instructions) + BYTES_PER_OPERAND * sum(map(len, code.operands))

    def get(self, native: bool) -> Executable:
        """Return an executable: native code if `native` is set, otherwise threaded code (tables that kernels read).

        It is made when it is first needed. Once there is native code, `select` returns it.
        """
        if native not in self.made:
            with self._lock():
                if native not in self.made:
                    found = without_collector(partial(Executable, self.tables, self._wanted, native))
                    self.bytes += found.bytes
                    self.made[native] = found
        if native:
            self.chosen = self.chosen or self.made[native]
        return self.made[native]

    def select(self, left: float, numbers: Callable[[], tuple[array[float], array[float]]]) -> Executable:
        """Return the code to run now: native code if it exists already, otherwise threaded code.

        Once the threaded code has run for long enough, or if it will probably run for long enough in the `left` seconds
        that the caller still needs it, a background thread begins to make native code, unless it would be too large. If
        native code of a large program turns out to be slower, the program keeps its threaded code.

        Args:
            left: for how many seconds the caller will still need the code.
            numbers: a function that returns the numbers of a row, and the data of the parameters, for which the speed
                of the two tiers is compared.
        """
        if self.chosen:
            return self.chosen
        found, schedule = self.get(native=False), self.tables.schedule
        seconds = max(found.seconds, left)
        self._upgrade_kernels(found, seconds)
        if schedule.cost <= MAX_NATIVE_COST and seconds >= (schedule.cost + OVERHEAD_OF_NATIVE) * SECONDS_BEFORE_NATIVE:
            self.background.do("native", partial(self._make_native, numbers))
            return self.chosen or found
        return found

    def _make_native(self, numbers: Callable[[], tuple[array[float], array[float]]]) -> None:
        """Make native code. If the program is large, and threaded code is faster, keep the threaded code instead.

        Native code of a large program may be slow because the processor waits while instructions are loaded from
        memory. Threaded code has few instructions, and its tables are loaded ahead of time. Other threads need not wait
        while the native code of a large program is made, which takes some seconds, because no lock is held. `numbers`
        returns the numbers of a row, and the data of the parameters, for which the speed of the two is compared.
        """
        name, lanes = driver_of(self._wanted.kind), self.tables.plan.lanes
        driver(name, lanes)  # first, so no call compiles a driver when it finds the code
        driver_address(f"prepared_{name}", lanes, fast=True)
        if not self.tables.schedule.stays_threaded:
            found = self.get(native=True)
            found.release(found.acquire())  # so the first call finds the buffers
        elif not self.chosen:
            native = Executable(self.tables, self._wanted, native=True)
            threaded = self.get(native=False)
            row, parameters = numbers()
            if self._seconds(threaded, row, parameters) < self._seconds(native, row, parameters):
                self.chosen = threaded
            else:
                self.bytes += native.bytes
                self.made[True] = self.chosen = native

    def _seconds(self, executable: Executable, row: array[float], parameters: array[float]) -> float:
        """Return how many seconds an executable takes for copies of a row, in the fastest of TRIALS runs."""
        n = 2 * executable.lanes if executable.lanes > 1 else 1
        numbers = row * n
        out, best = Memory(n * executable.outputs), inf
        buffers = executable.acquire_all(parameters, 1)
        for _ in range(TRIALS):
            start = time.perf_counter()
            if executable.kind == "forward":
                executable.forward(buffers, address(numbers), address(row_numbers(n)), n, out.address)
            else:
                executable.gradient(buffers, address(numbers), address(row_numbers(n)), n)
            best = min(best, time.perf_counter() - start)
        executable.release(*buffers)
        return best

    def fastest(self) -> Executable:
        """Compile and return the fastest code, without waiting until threaded code has run for long.

        This is native code, or threaded code with optimised kernels if native code would take seconds to compile.
        """
        tables = self.tables
        writer = drivers.Drivers(tables.machine, tables.plan.lanes)
        tables.kernels |= [writer.named("prepared_forward")]  # so it is compiled together with the kernels
        found = self.chosen or self.get(native=not tables.schedule.stays_threaded)
        if not tables.fast:
            with self._lock():
                tables.link(fast=True)
        return found

    def _upgrade_kernels(self, executable: Executable, seconds: float) -> None:
        """Switch an executable to optimised kernels if these are worth compiling, and compile them in the background.

        They are if `seconds`, the time that the executable has run or is going to run, is long enough.
        """
        tables = self.tables
        if tables.fast:
            return
        if seconds <= SECONDS_BEFORE_FAST_KERNELS * tables.machine.count_slow(tables.kernels):
            return
        if not executable.has_fast_kernels():
            self.background.do("kernels", executable.compile_fast_kernels)
            if not executable.has_fast_kernels():
                return
        # A background thread that makes native code holds the lock meanwhile. This call would wait for code that takes
        # the place of the tables.
        if tables.schedule.stays_threaded or "native" not in self.background.begun:
            with self._lock():
                tables.link(fast=True)


_kept: dict[Any, Tiers] = {}  # those of the latest programs, in the order of their last use
_keeping = ForkSafeLock()
# The same objects, and those that a program has, by what `CompiledGraph` needs for them, which is known earlier
_by_structure: WeakValueDictionary[Any, Tiers] = WeakValueDictionary()


def shared_tiers(code: Code, totals: Sequence[tuple[Pair, ...] | Scatter], wanted: Wanted, on: Machine) -> Tiers:
    """Return the `Tiers` of some instructions. Programs with equal instructions get the same object while it is kept.

    So if a function is compiled again, as in a cell of a notebook, it only has to be recorded. If a model is trained
    again with other data, it has native code at once if it had this before. The `Tiers` that were used last are kept:
    at most MAX_KEPT, with at most KEPT_BYTES together. The arguments are those of `Tiers`.
    """
    if len(code.instructions) > MAX_SHARED_INSTRUCTIONS:
        return Tiers(code, totals, wanted, on)
    bits = array("d", code.constants.values()).tobytes()  # since 0.0 == -0.0
    sums = [(x.totals, *x.sources) if isinstance(x, Scatter) else x for x in totals]
    key = wanted, on, (*code.instructions,), bits, (*sums,), (*code.op_names.items(),)
    found = _kept.get(key) or Tiers(code, totals, wanted, on)
    found.key = key
    return _keep(found)


def _keep(tiers: Tiers) -> Tiers:
    """Put `tiers` at the end of the dict of kept `Tiers`, as those that were used last, and return them.

    If the dict has other `Tiers` with the same key, these are put at the end and returned instead.
    """
    with _keeping():
        tiers = _kept.pop(tiers.key, tiers)
        _kept[tiers.key] = tiers
        _drop_oldest()
    return tiers


def _drop_oldest() -> None:
    """Remove from the dict of kept `Tiers` those whose last use is the longest ago, until it is within its limits."""
    while len(_kept) > MAX_KEPT or sum([each.bytes for each in _kept.values()]) > KEPT_BYTES:
        del _kept[next(iter(_kept))]


def forget_tiers() -> None:
    """Forget the code of earlier programs, so that programs made from now on get code of their own."""
    with _keeping():
        _kept.clear()
        _by_structure.clear()


class CompiledGraph:
    """The code of one program: the executables that compute the outputs of its graph, and the gradient.

    The methods `outputs_of` and `gradient_of` run them. There are two tiers of executables: threaded code, which
    consists of tables that kernels read, and native code. An executable is made when it is first needed. The methods
    `select_executable` and `fastest_executable` choose one.

    Args:
        outputs: the nodes to compute.
        inputs: the leaves for which a row has numbers.
        parameters: leaves that come first in the list of parameters, whether the graph uses them or not. The other
            parameters of the graph follow.

    Attributes:
        graph: the graph, with its leaves sorted into inputs, parameters and constants.
        data: a function that returns the data of the parameters; see `CachedData`.
        captured: the parameters that stand for values which were computed before the graph was recorded; see
            `CapturedValue`.
        padded_parameters: how many places in the memory of scalars are reserved for the parameters, padding included.
            The same number of places follows for their gradients.
        base: the code of another graph with the same inputs, whose parameters come first among those of this graph; or
            None. Nodes that the two graphs share are not lowered again if they are most of the other graph's nodes; see
            `Lowering`.
    """

    def __init__(self, outputs: list[Value], inputs: list[Value], parameters: Sequence[Value] = ()) -> None:
        self.machine: Machine = machine()
        self.base: CompiledGraph | None = None
        self._variables: tuple[int, ...] | None = None  # the parameters whose gradients are computed, if not all
        self._parts: dict[tuple[int, ...], CompiledGraph] = {}  # the results of `with_gradient_of`, by `_variables`
        self._lowerings: dict[str, Lowering] = {}  # by kind
        self._tiers: dict[tuple[str, bool], Tiers] = {}  # by kind and `rows_in_lanes`
        self._lock = ForkSafeLock()
        self._lowering_lock = ForkSafeLock()
        self.graph = without_collector(partial(Graph, outputs, inputs, parameters))
        self.data = CachedData(self.graph.parameters)
        self.captured = [p for p in self.graph.parameters if isinstance(p, CapturedValue)]
        self.padded_parameters = padded_count(len(self.graph.parameters))

    @cached_property
    def _place(self) -> dict[Value, int]:
        """The index of each parameter."""
        return {p: k for k, p in enumerate(self.graph.parameters)}

    def with_gradient_of(self, variables: Iterable[Value]) -> CompiledGraph:
        """Return an object for the same graph that computes derivatives with respect to `variables` alone.

        These are parameters of the graph; others are ignored. The gradients that it computes have 0 for each other
        parameter. If `variables` has all parameters, or none, this object itself is returned.
        """
        place = self._place
        key = tuple(sorted({place[x] for x in variables if x in place}))
        if len(key) in (0, len(place)):
            return self
        if (found := self._parts.get(key)) is None:
            found = copied(self)
            found._variables, found._parts = key, {}
            found._tiers, found._lowerings = {}, {kind: x for kind, x in self._lowerings.items() if kind == "forward"}
            found._lock, found._lowering_lock = ForkSafeLock(), ForkSafeLock()
            while len(self._parts) >= MAX_PARTS:
                self._parts.pop(next(iter(self._parts), ()), None)
            found = self._parts.setdefault(key, found)
        return found

    def outputs_of(self, numbers: Numbers, index: array[int], threads: int = 1, parameters: int = 0) -> array[float]:
        """Return the outputs of some rows, one row after the other.

        Args:
            numbers: the numbers of all rows, one row after the other.
            index: the indices of the rows to compute.
            threads: how many threads compute.
            parameters: the address of the parameters' current values while `fit` trains them; 0 if these are the data
                of the `Value`s.
        """
        out = array("d", bytes(WORD * len(self.graph.outputs) * len(index)))
        self.write_outputs(numbers, index, threads, address(out), parameters)
        return out

    def write_outputs(
        self,
        numbers: Numbers,
        index: array[int],
        threads: int,
        to: int,
        parameters: int = 0,
        collect: Callable[[int, int], object] = no_collector,
    ) -> list[Any]:
        """Write the outputs of some rows, one row after the other, from the address `to` on.

        The first four arguments, and `parameters`, are those of `outputs_of`. As soon as the outputs of a chunk of rows
        are written, `collect(first, count)` is called with the index of the chunk's first row in `index`, and its count
        of rows.

        Returns:
            the results of `collect` for all chunks, in the order of the rows.
        """
        if not index:
            return []
        self.detect_anomaly(numbers, index, backward=False)
        executable = self.select_executable("forward", len(index))
        now = array("d") if parameters else self.data()
        buffers = executable.acquire_all(now, min(threads, len(index)))
        for each in buffers if parameters else ():
            ctypes.memmove(each.scalars.address, parameters, WORD * len(self.graph.parameters))
        found = executable.forward(buffers, address(numbers), address(index), len(index), to, collect)
        executable.release(*buffers)
        return found

    def gradient_of(self, numbers: Numbers, index: array[int], threads: int) -> tuple[float, array[float]]:
        """Return the mean output over some rows, and the derivatives of this mean with respect to the parameters.

        `numbers` has the numbers of all rows, one row after the other. `index` has the indices of the rows to compute.
        """
        self.detect_anomaly(numbers, index, backward=True)
        executable = self.select_executable("gradient", len(index))
        first = self.padded_parameters
        buffers = executable.acquire_all(self.data(), min(threads, len(index)))
        rows = address(numbers), address(index), len(index)
        loss = executable.gradient(buffers, *rows)
        executable.mend(buffers[0], *rows, self.select_executable)
        gradients = array("d", buffers[0].scalars.view[first : first + len(self.graph.parameters)].tobytes())
        executable.release(*buffers)
        return float(loss), gradients

    def detect_anomaly(self, numbers: Numbers, index: array[int], backward: bool) -> None:
        """Inside `micrograd_cn.detect_anomaly()`, let the engine compute some rows and check the value of every node.

        `numbers` has the numbers of all rows, and `index` the indices of the rows to check. `backward` says whether the
        gradient is checked, too.

        Raises:
            FloatingPointError: a value or a gradient is not finite.
        """
        if context.active:
            detect_anomaly(self.graph, numbers, index, backward)

    def check_operations(self, name: str = "") -> None:
        """Raise ValueError if a user's operation computes something else now than when the program was made.

        Code that is compiled now would compute something else than the code that exists. The message begins with
        `name`, such as "fit(): ".
        """
        if op := self.graph.changed_operation():
            raise ValueError(
                f"{name}the operation {op!r} is not what it was when the program was made, since its functions read "
                "something that has changed; compile anew, or pass what changes as an operand"
            )

    @property
    def lowering(self) -> Lowering:
        """Return the graph, lowered to instructions. It is lowered when the instructions are first needed."""
        return self._lowering_of("forward")

    def _lowering_of(self, kind: str) -> Lowering:
        """Return the instructions of the outputs, or also of the gradient, made when they are first needed.

        `kind` is "forward", "gradient" or "gated", see `tiers`. To make the instructions may run the user's code.
        """

        def made() -> Lowering:
            found = self._lowerings.get(kind)
            return found or self._lowerings.setdefault(kind, without_collector(partial(self._lower, kind)))

        return self._lowerings.get(kind) or self.in_turn(made)

    def _lower(self, kind: str) -> Lowering:
        if kind == "forward":
            return Lowering(self.graph, self._lowered_base())
        known = self._lowerings.get("forward")
        lowering = known.copy() if known else self._lower("forward")  # an interrupt may leave it half done
        variables = None
        if self._variables is not None:
            variables = {self.graph.parameters[k] for k in self._variables}
        differentiate(lowering, Gates.ALL if kind == "gated" else Gates.NONE, variables)
        return lowering

    def _lowered_base(self) -> Lowering | None:
        """Return the instructions of the graph `base`, for this graph to share; None if too few of them are needed.

        The result is also None if there is no `base`, or if its operations run the user's code.
        """
        if not self.base or self.base.graph.runs_users_code:
            return None
        needed = {node for node, _ in self.graph.operations}
        nodes = [node for node, _ in self.base.graph.operations]
        few = sum(map(needed.__contains__, nodes)) < MIN_SHARED * len(nodes)
        return None if few else self.base.lowering

    def tiers(self, kind: str, rows_in_lanes: bool) -> Tiers:
        """Return the `Tiers` of one kind of code: threaded code, and native code once it is worth the time.

        The object is made when it is first needed.

        Args:
            kind: "forward" for the outputs of every row, or "gradient" for the mean output and its gradient. "gated" is
                like "gradient", but takes longer. It is used where the code for "gradient" gives nan, since that code
                multiplies derivatives of 0 by infinite ones; see `instructions.gradient.differentiate`.
            rows_in_lanes: whether the code computes several rows at once, one in each lane of a vector. If not, it
                computes rows one at a time.
        """
        key = kind, rows_in_lanes
        if key not in self._tiers and (shared := self._tiers_of_equal_graph(kind, rows_in_lanes)):
            return self._tiers.setdefault(key, shared)
        if key not in self._tiers:
            lowering = self._lowering_of(kind)  # before the lock is held, since this may run the user's code
            with self._lock():
                if key not in self._tiers:
                    self._tiers[key] = without_collector(partial(self._tiers_of, lowering, kind, rows_in_lanes))
                    if structure := self._structure(kind, rows_in_lanes):
                        _by_structure[structure] = self._tiers[key]
        return self._tiers[key]

    def _structure(self, kind: str, rows_in_lanes: bool) -> Any:
        """Return a key for code of one kind. Graphs with equal keys are lowered to the same instructions.

        The arguments are those of `tiers`. Return None for a graph that is not compared with others, such as one with
        operations of users.
        """
        structure = self.graph.structure
        variables = None if kind == "forward" else self._variables
        return None if structure is None else (kind, rows_in_lanes, self.machine, variables, structure)

    def _tiers_of_equal_graph(self, kind: str, rows_in_lanes: bool) -> Tiers | None:
        """Return the `Tiers` of another graph that is lowered to the same instructions, if there are any.

        So this graph need not be lowered, for example if the same model is made and trained again.
        """
        if not _by_structure or (structure := self._structure(kind, rows_in_lanes)) is None:
            return None
        found = _by_structure.get(structure)
        return _keep(found) if found and found.key else found

    def _tiers_of(self, lowering: Lowering, kind: str, rows_in_lanes: bool) -> Tiers:
        wanted = Wanted(
            kind,
            rows_in_lanes,
            (*(lowering.outputs if kind == "forward" else lowering.outputs[:1]),),
            (*(lowering.gradients if kind != "forward" else ()),),
            lowering.width,
            self.padded_parameters,
            lowering.omits_gates,
        )
        totals = lowering.totals if kind != "forward" else []
        if self.graph.runs_users_code:  # the instructions keep the user's operations alive
            return Tiers(lowering.code, totals, wanted, self.machine)
        return shared_tiers(lowering.code, totals, wanted, self.machine)

    def select_executable(self, kind: str, rows: int, left: float = 0.0) -> Executable:
        """Return the executable for this many rows; see `Tiers.select`. The kinds are those of `tiers`."""
        rows_in_lanes = rows > MAX_SCALAR_ROWS
        tiers = self._tiers.get((kind, rows_in_lanes)) or self.tiers(kind, rows_in_lanes)
        return tiers.chosen or tiers.select(left, self._recorded_numbers)

    def fastest_executable(self, kind: str, rows: int) -> Executable:
        """Compile and return the fastest code for this many rows; see `Tiers.fastest`."""
        return self.tiers(kind, rows > MAX_SCALAR_ROWS).fastest()

    def _recorded_numbers(self) -> tuple[array[float], array[float]]:
        """Return the numbers of the recorded row, and the data of the parameters."""
        return array("d", [x._data for x in self.graph.inputs]), array("d", [x._data for x in self.graph.parameters])

    def description(self) -> str:
        """Return a line about the program: its operations, parameters, tier (native or threaded code) and size."""
        tiers = [*self._tiers.values()]
        made = [x for each in tiers for x in each.made.values()]
        native = any(each.chosen and each.chosen.native for each in tiers)
        tier = "not run yet" if not made else "native code" if native else "threaded code"
        counted = {"operation": len(self.graph.operations), "parameter": len(self.graph.parameters)}
        parts = [f"{n:,} {name}{'s' * (n != 1)}" for name, n in counted.items()]
        size = sum(x.bytes for x in made)
        return ", ".join([*parts, tier, f"{size / 1000:,.0f} kB"])

    def llvm_text(self, kind: str) -> str:
        """Return the LLVM text of the native code for "forward" or "gradient", including the kernels that it calls.

        The text does not depend on what the program has computed before.
        """
        found = self.tiers(kind, rows_in_lanes=True).get(native=True)
        assert isinstance(found.code, NativeCode)
        driver(kind, self.machine.width, fast=True)
        shared = [drivers.driver_names(self.machine.width)[kind], *found.kernel_names()]
        return self.machine.text(self.machine.with_kernels(found.code.functions, shared))

    def with_lowering(self, write: Callable[[Lowering], str]) -> str:
        """Return `write(lowering)`, where `lowering` has the graph's instructions.

        If the program has instructions for its gradient, and these have all gates, `lowering` has them, too. (A gate
        selects 0 instead of a product with a partial derivative that may be infinite.) Otherwise `lowering` is a copy
        without the gradient, and `write` may add the gradient.
        """
        known = self._lowerings.get("gradient")
        lowering = known if known and not known.omits_gates else self.lowering.copy()
        return without_collector(partial(write, lowering))

    def in_turn(self, work: Callable[[], T]) -> T:
        """Return `work()`, which lowers or differentiates the graph. Only one thread at a time does such work.

        If the work runs the user's code, which may itself wait for another thread, a thread waits only half a second
        for its turn. Then it begins its work even if another thread has not finished.
        """
        if self.graph.runs_users_code:
            return self._lowering_lock.in_turn(work)
        with self._lowering_lock():
            return work()
