"""The loops around a program's stages, which all programs share: over rows, batches and epochs.

A program is a header of whole numbers: where its lists of stages are, and where its memory holds what. A stage is a
function and its table (see `products`). Memory is three arrays of doubles: `%s`, scalars; `%w`, a panel of blocks, each
with `lanes` rows of the batch side by side, a place for each number of a sample; `%a`, totals over the rows, or
where native code stores the outputs of a panel. Of a program for single rows, samples are scalars, and `%w`
is `%s`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from ..llvm.lanes import Lanes
from ..llvm.machine import Machine
from ..llvm.text import BYTE, KERNEL_PREFIX, Function, KernelWriters, literal

# A program's header. Offsets and sizes are in bytes.
FIELDS = (
    "batch", "broadcast", "sample", "totals", "after",  # lists of stages
    "width", "row_at", "seed_at",  # numbers of a row, where they go, where the gradient starts from
    "block", "panel",  # bytes of a block, blocks of a panel
    "outputs", "output_table",  # how many; where each is in a block
    "stored",  # whether the stages of the samples store them, at %a
    "count", "totals_at",  # how many totals, and where their means are in %s
    "gradients",  # how many parts of them lie side by side in %s
    "gradient_table",  # where each part is there, the number of its first gradient, and how many they are
    "gradients_at",  # where all become neighbours
)  # fmt: skip
CALL_WORDS = 2  # words of a stage's call: function, table
LANE_INDEPENDENT = ("run", "update", "accumulate", "fit")
LANE_SPECIFIC = ("load", "forward", "prepared", "begin", "panels", "add", "finish", "gradient")
BLOCKS_PER_UPDATE = 64  # blocks of parameters that are updated together, so that they stay in the cache
MEMORY_PARAMETERS = "ptr %s, ptr %w, ptr %a"
MEMORY_ARGUMENTS = ("ptr %s", "ptr %w", "ptr %a")


def driver_names(lanes: int) -> dict[str, str]:
    """Return the names of the functions for so many lanes."""
    return {name: KERNEL_PREFIX + name for name in LANE_INDEPENDENT} | {
        name: f"{KERNEL_PREFIX}{name}_{lanes}" for name in LANE_SPECIFIC
    }


def _field(f: Function, name: str) -> str:
    return f.word("%p", FIELDS.index(name))


def _pointer(f: Function, name: str) -> str:
    return f.pointer("%p", FIELDS.index(name))


class Drivers:
    """Write the loops for blocks of so many lanes."""

    def __init__(self, machine: Machine, lanes: int) -> None:
        self.machine, self.lanes = machine, lanes
        self.name = driver_names(lanes)

    def kernels(self) -> KernelWriters:
        """Return what writes each of them, by name."""
        return {called: getattr(self, name) for name, called in self.name.items()}

    def _call(self, f: Function, kind: str, name: str, *operands: str) -> str:
        called = self.name[name]
        f.kernels[called] = self.kernels()[called]
        return f.call(kind, called, *operands)

    def _run_stages(self, f: Function, stages: str, blocks: str, stride: str, totals: str = "%a") -> None:
        memory = ("ptr %s", "ptr %w", f"ptr {totals}")
        self._call(f, "void", "run", f"ptr {_pointer(f, stages)}", *memory, f"i64 {blocks}", f"i64 {stride}")

    def load(self) -> Function:
        """Write the function that puts up to `lanes` rows into a block; those left over repeat the last row.

        Rows are those of which the numbers are at `%index`. The seed of the gradient is `%each` in the lanes of a row,
        `%other` in the others.
        """
        f = Function(
            self.name["load"], "ptr %p, ptr %rows, ptr %index, i64 %valid, double %each, double %other, ptr %w"
        )
        lanes = Lanes(f, self.lanes, self.machine.fused)
        width, seed = _field(f, "width"), _field(f, "seed_at")
        last = f.subtract("%valid", 1)
        rows = []
        for lane in range(self.lanes):
            number = f.word("%index", f.smaller(lane, last))
            rows.append(f.at("%rows", f.times(number, width)))
        with f.when(f.op(f"icmp sge i64 {seed}, 0")):
            seeds = "poison"
            for lane in range(self.lanes):
                inside = f.op(f"icmp ugt i64 %valid, {lane}")
                seeds = self._insert(f, lanes, seeds, f.op(f"select i1 {inside}, double %each, double %other"), lane)
            f.store(lanes.type, seeds, f.at("%w", seed, BYTE), 8)
        to = f.at("%w", _field(f, "row_at"), BYTE)
        if lanes.scalar:
            f.copy(to, rows[0], width)
            f.do("ret void")
            return f
        simd = Lanes(f, self.machine.simd, self.machine.fused)
        with self._simd_steps(f, width) as (first, rest):
            for half in range(0, self.lanes, simd.count):
                chosen = [f.load(simd.type, f.at(row, first)) for row in rows[half : half + simd.count]]
                for k, x in enumerate(simd.transpose(chosen)):
                    place = f.add(f.times(f.add(first, k), self.lanes), half)
                    f.store(simd.type, x, f.at(to, place))
        with f.repeat(rest) as one:
            x = "poison"
            for lane, row in enumerate(rows):
                x = self._insert(f, lanes, x, f.load("double", f.at(row, one.index)), lane)
            f.store(lanes.type, x, f.at(to, f.times(one.index, self.lanes)), 8)
        f.do("ret void")
        return f

    def _insert(self, f: Function, lanes: Lanes, x: str, number: str, lane: int) -> str:
        """Return a vector with a number in one lane."""
        if lanes.scalar:
            return number
        return f.op(f"insertelement {lanes.type} {x}, double {number}, i32 {lane}")

    def _run_panel(
        self, f: Function, start: str, n: str, each: str, other: str, blocks: str, totals: str = "%a"
    ) -> None:
        """Load some blocks of rows from `start` on, and run the stages of the samples."""
        stride = _field(f, "block")
        with f.loop(blocks) as block:
            first = f.add(start, f.times(block.index, self.lanes))
            valid = f.smaller(f.subtract(n, first), self.lanes)
            to = f.at("%w", f.times(block.index, stride), BYTE)
            self._call(
                f, "void", "load", "ptr %p", "ptr %rows", f"ptr {f.at('%index', first, 'i64')}",
                f"i64 {valid}", f"double {each}", f"double {other}", f"ptr {to}",
            )  # fmt: skip
        self._run_stages(f, "sample", blocks, stride, totals)

    def _block_count(self, f: Function, n: str) -> str:
        return f.quotient(f.add(n, self.lanes - 1), self.lanes)

    def forward(self) -> Function:
        """Write the function that computes the outputs of every row."""
        f = Function(self.name["forward"], f"ptr %p, ptr %rows, ptr %index, i64 %n, ptr %out, {MEMORY_PARAMETERS}")
        stride, size, outputs = _field(f, "block"), _field(f, "panel"), _field(f, "outputs")
        table = _pointer(f, "output_table")
        self._run_stages(f, "batch", "1", stride)
        self._run_stages(f, "broadcast", f.smaller(self._block_count(f, "%n"), size), stride)
        stored = f.op(f"icmp ne i64 {_field(f, 'stored')}, 0")
        whole = f.quotient("%n", self.lanes)
        with f.when(f.op(f"icmp ne i64 {whole}, 0")), f.loop(whole, step=size) as panel:
            blocks = f.smaller(f.subtract(whole, panel.index), size)
            start = f.times(panel.index, self.lanes)
            to = f.at("%out", f.times(start, outputs))
            totals = f.op(f"select i1 {stored}, ptr {to}, ptr %a")
            self._run_panel(f, start, "%n", "poison", "poison", blocks, totals)  # there is no gradient
            with f.when(f.op(f"xor i1 {stored}, true")):
                if self.lanes == 1:  # a panel is a row
                    with f.loop(outputs) as output:
                        f.store(
                            "double",
                            f.load("double", self._output(f, table, "%s", output.index)),
                            f.at(to, output.index),
                        )
                else:
                    with f.loop(blocks) as block:
                        self._store_rows(
                            f,
                            table,
                            self._block(f, block.index),
                            f.at(to, f.times(block.index, f.times(outputs, self.lanes))),
                        )
        if self.lanes > 1:
            start = f.times(whole, self.lanes)
            rest = f.subtract("%n", start)
            with f.when(f.op(f"icmp ne i64 {rest}, 0")):
                to = f.at("%out", f.times(start, outputs))
                unused = f.at("%w", f.times(size, stride), BYTE)
                totals = f.op(f"select i1 {stored}, ptr {unused}, ptr %a")
                self._run_panel(f, start, "%n", "poison", "poison", "1", totals)
                with f.when(stored):
                    f.copy(to, unused, f.times(rest, outputs))
                with f.when(f.op(f"xor i1 {stored}, true")), f.loop(outputs) as output:
                    place = self._output(f, table, "%w", output.index)
                    with f.loop(rest) as row:
                        x = f.load("double", f.at(place, row.index))
                        f.store("double", x, f.at(to, f.add(output.index, f.times(row.index, outputs))))
        f.do("ret void")
        return f

    def prepared(self) -> Function:
        """Write a function of Python without arguments that does the same; see `builtin`."""
        f = Function(self.name["prepared"], "ptr %self, ptr %unused", "ptr")
        bytes_of = f.call("ptr", "PyTuple_GetItem", "ptr %self", "i64 0")
        held = f.call("ptr", "PyBytes_AsString", f"ptr {bytes_of}")
        kinds = ("ptr", "ptr", "ptr", "i64", "ptr", *["ptr"] * len(MEMORY_ARGUMENTS))
        operands = [f"{kind} {(f.pointer if kind == 'ptr' else f.word)(held, k)}" for k, kind in enumerate(kinds)]
        long = f.op(f"icmp ne i64 {f.word(held, len(kinds))}, 0")
        with f.when(long):  # other threads go on
            state = f.call("ptr", "PyEval_SaveThread")
            self._call(f, "void", "forward", *operands)
            f.call("void", "PyEval_RestoreThread", f"ptr {state}")
        with f.when(f.op(f"xor i1 {long}, true")):
            self._call(f, "void", "forward", *operands)
        result = f.call("ptr", "PyTuple_GetItem", "ptr %self", "i64 1")
        f.call("void", "Py_IncRef", f"ptr {result}")
        f.do(f"ret ptr {result}")
        return f

    def _block(self, f: Function, index: str) -> str:
        return f.at("%w", f.times(index, _field(f, "block")), BYTE)

    def _output(self, f: Function, table: str, block: str, index: str) -> str:
        """Return the address of an output in a block, of its first lane."""
        return f.at(block, f.word(table, index), BYTE)

    def _store_rows(self, f: Function, table: str, block: str, to: str) -> None:
        """Store the outputs of a whole block, row by row."""
        outputs = _field(f, "outputs")
        simd = Lanes(f, self.machine.simd, self.machine.fused)
        with self._simd_steps(f, outputs) as (number, rest):
            places = [self._output(f, table, block, f.add(number, k)) for k in range(simd.count)]
            for half in range(0, self.lanes, simd.count):
                xs = [f.load(simd.type, f.at(place, half)) for place in places]
                for k, x in enumerate(simd.transpose(xs)):
                    f.store(simd.type, x, f.at(to, f.add(number, f.times(half + k, outputs))))
        with f.repeat(rest) as one:
            place = self._output(f, table, block, one.index)
            for lane in range(self.lanes):
                x = f.load("double", f.at(place, lane))
                f.store("double", x, f.at(to, f.add(one.index, f.times(lane, outputs))))

    @contextmanager
    def _simd_steps(self, f: Function, count: str) -> Iterator[tuple[str, str]]:
        """Repeat the body for each SIMD vector of some neighbours: it is given the number of the first of them.

        The last vector ends at the end, so it may overlap the one before. The body is also given how many are to be
        done one by one after it: all of them if they are less than a vector, else 0.
        """
        simd = self.machine.simd
        few = f.op(f"icmp ult i64 {count}, {simd}")
        parts = f.quotient(f.add(count, simd - 1), simd)
        rest = f.op(f"select i1 {few}, i64 {count}, i64 0")
        last = f.subtract(count, simd)
        with f.repeat(f.op(f"select i1 {few}, i64 0, i64 {parts}")) as part:
            yield f.smaller(f.times(part.index, simd), last), rest

    def begin(self) -> Function:
        """Write the function that computes what a batch needs once."""
        f = Function(self.name["begin"], f"ptr %p, {MEMORY_PARAMETERS}")
        self._run_stages(f, "batch", "1", _field(f, "block"))
        f.do("ret void")
        return f

    def panels(self) -> Function:
        """Write the function that makes the totals of the rows' gradients and returns the sum of their losses."""
        f = Function(
            self.name["panels"],
            f"ptr %p, ptr %rows, ptr %index, i64 %n, double %each, double %other, {MEMORY_PARAMETERS}",
            "double",
        )
        stride, size, table = _field(f, "block"), _field(f, "panel"), _pointer(f, "output_table")
        f.clear("%a", _field(f, "count"))
        count = self._block_count(f, "%n")
        self._run_stages(f, "broadcast", f.smaller(count, size), stride)
        with f.loop(count, [("double", "0.0")], step=size) as panel:
            blocks = f.smaller(f.subtract(count, panel.index), size)
            start = f.times(panel.index, self.lanes)
            self._run_panel(f, start, "%n", "%each", "%other", blocks)
            self._run_stages(f, "totals", blocks, stride)
            rows = f.smaller(f.subtract("%n", start), f.times(blocks, self.lanes))
            [total] = panel.carried
            with f.loop(rows, [("double", total)]) as row:
                [total] = row.carried
                block, lane = f.quotient(row.index, self.lanes), f.op(f"urem i64 {row.index}, {self.lanes}")
                x = f.load("double", f.at(self._output(f, table, self._block(f, block), "0"), lane))
                row.next = [f.op(f"fadd double {total}, {x}")]
            panel.next = row.next
        [total] = panel.next
        f.do(f"ret double {total}")
        return f

    def add(self) -> Function:
        """Write the function that adds the totals of other rows."""
        f = Function(self.name["add"], "ptr %p, ptr %a, ptr %others")
        lanes = Lanes(f, self.machine.simd, self.machine.fused)
        with f.repeat(f.quotient(_field(f, "count"), lanes.count)) as loop:
            place = f.times(loop.index, lanes.count)
            x, y = (f.load(lanes.type, f.at(base, place)) for base in ("%a", "%others"))
            f.store(lanes.type, lanes.add(x, y), f.at("%a", place))
        f.do("ret void")
        return f

    def finish(self) -> Function:
        """Write the function that makes means of the totals, and of these the gradients.

        Lanes of the last block that have no row have seed 0; but 0 times infinity is nan. So where a total is not
        finite and that block was not full, all is computed anew row by row, each row in all lanes.
        """
        f = Function(self.name["finish"], f"ptr %p, ptr %rows, ptr %index, i64 %n, {MEMORY_PARAMETERS}")
        n = f.op("uitofp i64 %n to double")
        bad = self._scale_totals(f, f.op(f"fdiv double 1.0, {n}"))
        if self.lanes > 1:
            ragged = f.op(f"icmp ne i64 {f.op(f'urem i64 %n, {self.lanes}')}, 0")
            with f.when(f.op(f"and i1 {ragged}, {f.op(f'fcmp uno double {bad}, 0.0')}")):
                f.clear("%a", _field(f, "count"))
                each = literal(1.0 / self.lanes)
                with f.loop("%n") as row:
                    self._run_panel(f, row.index, f.add(row.index, 1), each, each, "1")
                    self._run_stages(f, "totals", "1", _field(f, "block"))
                self._scale_totals(f, f.op(f"fdiv double 1.0, {n}"))
        self._run_stages(f, "after", "1", _field(f, "block"))
        table, to = _pointer(f, "gradient_table"), f.at("%s", _field(f, "gradients_at"), BYTE)
        with f.repeat(_field(f, "gradients")) as part:
            found, first, count = (f.word(table, f.add(f.times(part.index, 3), k)) for k in range(3))
            f.copy(f.at(to, first), f.at("%s", found, BYTE), count)
        f.do("ret void")
        return f

    def _scale_totals(self, f: Function, scale: str) -> str:
        """Multiply the totals, and return 0, or nan if one of them is not finite."""
        lanes = Lanes(f, self.machine.simd, self.machine.fused)
        factor, to = lanes.splat(scale), f.at("%s", _field(f, "totals_at"), BYTE)
        with f.repeat(f.quotient(_field(f, "count"), lanes.count), [(lanes.type, lanes.constant(0.0))]) as loop:
            place = f.times(loop.index, lanes.count)
            mean = lanes.multiply(f.load(lanes.type, f.at("%a", place)), factor)
            f.store(lanes.type, mean, f.at(to, place))
            [total] = loop.carried
            loop.next = [lanes.add(total, lanes.multiply(mean, lanes.constant(0.0)))]
        return lanes.horizontal_sum(*loop.next)

    def gradient(self) -> Function:
        """Write the function that computes the mean output and its gradient over a batch."""
        f = Function(self.name["gradient"], f"ptr %p, ptr %rows, ptr %index, i64 %n, {MEMORY_PARAMETERS}", "double")
        given = ("ptr %p", "ptr %rows", "ptr %index", "i64 %n")
        self._call(f, "void", "begin", "ptr %p", *MEMORY_ARGUMENTS)
        seeds = ("double 1.0", "double 0.0")
        total = self._call(f, "double", "panels", *given, *seeds, *MEMORY_ARGUMENTS)
        self._call(f, "void", "finish", *given, *MEMORY_ARGUMENTS)
        n = f.op("uitofp i64 %n to double")
        f.do(f"ret double {f.op(f'fdiv double {total}, {n}')}")
        return f

    def run(self) -> Function:
        """Write the function that runs a list of stages."""
        f = Function(self.name["run"], f"ptr %stages, {MEMORY_PARAMETERS}, i64 %blocks, i64 %stride")
        f.do("br label %next")
        f.open("next")
        f.lines.append("  %stage = phi ptr [ %stages, %start ], [ %following, %one ]")
        function = f.pointer("%stage")
        f.do(f"br i1 {f.op(f'icmp eq ptr {function}, null')}, label %out, label %one")
        f.open("one")
        f.do(f"call void {function}(ptr {f.pointer('%stage', 1)}, {MEMORY_PARAMETERS}, i64 %blocks, i64 %stride)")
        f.do(f"%following = getelementptr i64, ptr %stage, i64 {CALL_WORDS}")
        f.do("br label %next")
        f.open("out")
        f.do("ret void")
        return f

    def update(self) -> Function:
        """Write the function that takes an optimiser's step for every parameter.

        `%us` holds the update's scalars, first the learning rate and the number of steps; `%uw` its samples, which are
        parameters: `%all` blocks, of which the first `%own` are the program's. `%rate` is where the learning rate of
        this step is: `%us` itself where it stays.
        """
        f = Function(
            self.name["update"], "ptr %p, ptr %s, ptr %gradients, ptr %rate, ptr %us, ptr %uw, i64 %own, i64 %all"
        )
        width = self.machine.width
        lanes, align = Lanes(f, width, self.machine.fused), 8 * self.machine.simd
        stride, outputs, table = _field(f, "block"), _field(f, "outputs"), _pointer(f, "output_table")
        end = f.at("%uw", f.times("%all", stride), BYTE)  # where new values wait until all of a block are known
        steps = f.at("%us", 1)
        f.store("double", f.load("double", "%rate"), "%us")
        f.store("double", f.op(f"fadd double {f.load('double', steps)}, 1.0"), steps)

        def stages(name: str, w: str, count: str) -> None:
            memory = ("ptr %us", f"ptr {w}", "ptr null")
            self._call(f, "void", "run", f"ptr {_pointer(f, name)}", *memory, f"i64 {count}", f"i64 {stride}")

        def places(output: str) -> tuple[str, str]:
            return f.at(table, f.times(output, 3), "i64"), f.at(end, f.times(output, width))

        stages("batch", "%uw", "1")
        with f.loop("%all", step=BLOCKS_PER_UPDATE) as group:
            first = group.index
            count = f.smaller(f.subtract("%all", first), BLOCKS_PER_UPDATE)
            own = f.smaller(f.subtract(f.larger("%own", first), first), count)
            w = f.at("%uw", f.times(first, stride), BYTE)
            with f.repeat(own) as block:
                to = f.at(w, f.times(block.index, stride), BYTE)
                place = f.times(f.add(first, block.index), width)
                f.store(lanes.type, f.load(lanes.type, f.at("%gradients", place)), f.at(to, width), align)
            stages("broadcast", w, count)
            stages("sample", w, count)
            with f.loop(count) as block:
                to = f.at(w, f.times(block.index, stride), BYTE)
                with f.loop(outputs) as output:
                    entry, waiting = places(output.index)
                    in_lanes = f.op(f"icmp ne i64 {f.word(entry)}, 0")
                    base = f.op(f"select i1 {in_lanes}, ptr {to}, ptr %us")
                    source = f.at(base, f.word(entry, 1), BYTE)
                    one = lanes.splat(f.load("double", source))
                    with f.when(in_lanes):
                        f.store(lanes.type, f.load(lanes.type, source, align), waiting, align)
                    with f.when(f.op(f"xor i1 {in_lanes}, true")):
                        f.store(lanes.type, one, waiting, align)
                with f.loop(outputs) as output:
                    entry, waiting = places(output.index)
                    x = f.load(lanes.type, waiting, align)
                    f.store(lanes.type, x, f.at(to, f.word(entry, 2), BYTE), align)
            with f.repeat(own) as block:
                from_ = f.at(w, f.times(block.index, stride), BYTE)
                place = f.times(f.add(first, block.index), width)
                f.store(lanes.type, f.load(lanes.type, from_, align), f.at("%s", place))
        f.do("ret void")
        return f

    def accumulate(self) -> Function:
        """Write the function that adds `%n` numbers, multiplied by `%weight`, to as many others."""
        f = Function(self.name["accumulate"], "ptr %to, ptr %from, double %weight, i64 %n")
        simd = Lanes(f, self.machine.simd, self.machine.fused)
        whole = f.quotient("%n", simd.count)
        done = f.times(whole, simd.count)
        for lanes, count, first in (
            (simd, whole, "0"),
            (Lanes(f, 1, self.machine.fused), f.subtract("%n", done), done),
        ):
            weight = lanes.splat("%weight")
            with f.repeat(count) as loop:
                place = f.add(first, f.times(loop.index, lanes.count))
                to = f.at("%to", place)
                product = lanes.multiply(f.load(lanes.type, f.at("%from", place)), weight)
                f.store(lanes.type, lanes.add(f.load(lanes.type, to), product), to)
        f.do("ret void")
        return f

    def fit(self) -> Function:
        """Write the function that takes steps of training, each of one of the `%batches` of an epoch, from `%first` on.

        `%starts` says where in `%words` a batch begins: the number of its rows and of its shares, then for each share
        its source, the first of its rows among those at `%index`, and how many they are. A source is a program's
        `gradient`, what that is called with (its header, the numbers of rows, and memory), where gradients are then,
        and how many parameters there are. `%s` has the parameters, `%gradients` room for the gradients of `%parameters`
        of them. `%losses` are those of each step, before it. The update is a function of `%s` and what it works on (see
        `update`). `%rates` has the learning rate of each of these steps; where it is null, the rate stays what it is.
        """
        f = Function(
            self.name["fit"],
            "ptr %index, ptr %words, ptr %starts, i64 %batches, i64 %first, i64 %steps, ptr %losses, ptr %rates, "
            "ptr %s, ptr %gradients, i64 %parameters, ptr %update, ptr %us, ptr %uw, i64 %own, i64 %all",
        )
        stays = f.op("icmp eq ptr %rates, null")
        with f.loop("%steps") as step:
            number = f.op(f"urem i64 {f.add('%first', step.index)}, %batches")
            at = f.at("%words", f.word("%starts", number), "i64")
            rows = f.op(f"uitofp i64 {f.word(at)} to double")
            shares, first = f.word(at, 1), f.pointer(at, 2)
            one, all_ = f.op(f"icmp eq i64 {shares}, 1"), f.op(f"icmp eq i64 {f.word(first, 7)}, %parameters")
            alone = f.op(f"and i1 {one}, {all_}")  # of a share with all parameters, gradients stay where they are made
            several = f.op(f"xor i1 {alone}, true")
            with f.when(several):
                f.clear("%gradients", "%parameters")
            with f.loop(shares, [("ptr", f.at(at, 2, "i64")), ("double", "0.0")]) as share:
                [words, mean] = share.carried
                source, index, count = f.pointer(words), f.at("%index", f.word(words, 1), "i64"), f.word(words, 2)
                gradient, header, data, s, w, a, found = (f.pointer(source, k) for k in range(7))
                own = f.word(source, 7)
                f.copy(s, "%s", own)
                memory = f"ptr {s}, ptr {w}, ptr {a}"
                loss = f.op(f"call double {gradient}(ptr {header}, ptr {data}, ptr {index}, i64 {count}, {memory})")
                part = f.op(f"fdiv double {f.op(f'uitofp i64 {count} to double')}, {rows}")
                with f.when(several):
                    self._call(
                        f, "void", "accumulate", "ptr %gradients", f"ptr {found}", f"double {part}", f"i64 {own}"
                    )
                added = f.op(f"fadd double {mean}, {f.op(f'fmul double {part}, {loss}')}")
                share.next = [f.at(words, 3, "i64"), added]
            f.store("double", share.next[1], f.at("%losses", step.index))
            rate = f.op(f"select i1 {stays}, ptr %us, ptr {f.at('%rates', step.index)}")
            gradients = f.op(f"select i1 {alone}, ptr {f.pointer(first, 6)}, ptr %gradients")
            work = (f"ptr {rate}", "ptr %us", "ptr %uw", "i64 %own", "i64 %all")
            self._call(f, "void", "update", "ptr %update", "ptr %s", f"ptr {gradients}", *work)
        f.do("ret void")
        return f


def header(**fields: int) -> Sequence[int]:
    """Return a program's header; what is not given is 0.

    >>> header(broadcast=7)[:3]
    [0, 7, 0]
    """
    return [fields.get(name, 0) for name in FIELDS]
