"""Write drivers: machine-code functions that loop over rows, batches and epochs, and run a program's stages.

A program's header is a list of words, which are integers of 8 bytes. The header says where the program's lists of
stages are, and where its values are in memory. A stage is given by the address of a kernel, a function that all
programs share, or of native code, and the address of the table that it reads (see the folder `tables`).

A program's memory is three arrays of doubles. Their addresses have these names in LLVM text:

- `%s`: the scalars.
- `%w`: a panel, which consists of blocks. A block holds `lanes` rows (the numbers of as many samples) of the batch side
  by side: for each value that depends on the row, it has a vector of `lanes` doubles.
- `%a`: the totals, which are sums over the rows of a batch. While native code computes outputs, `%a` is the address
  where the code stores the outputs.

A program that computes rows one at a time has no lanes. The values of a row are then among the scalars, and `%w` is the
same address as `%s`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from math import inf

from ..data.columns import TABLE_BIT
from ..data.nodes import NodeLoop, slot_offset
from ..llvm.lanes import Lanes
from ..llvm.machine import Machine
from ..llvm.text import BYTE, KERNEL_PREFIX, Function, KernelWriters, Name, literal

# The words of a program's header. Offsets and sizes are in bytes. For tables and lists of stages, a word is the
# address.
FIELDS = (
    "batch", "broadcast", "sample", "totals", "after",  # the lists of stages
    "width", "row_at", "seed_at",  # how many numbers a row has; where these, and the gradient's seed, are in a block
    "block", "panel",  # how many bytes a block has, how many blocks a panel
    "outputs", "output_table",  # how many outputs there are, and a table of where each is in a block
    "stored",  # whether the stages of phase SAMPLE store the outputs, from the address %a on
    "count", "totals_at",  # how many totals there are, and where their means are among the scalars
    "gradients",  # how many contiguous runs the gradients form among the scalars
    "gradient_table",  # for each run its offset, the index of its first gradient, and its length
    "gradients_at",  # where the runs are copied to, one after the other
    "spoiled_at",  # where the driver `finish` leaves nan if a total is not finite; 0 if nobody wants to know
)  # fmt: skip
CALL_WORDS = 2  # a stage has two words: the addresses of its kernel and of its table
LANE_INDEPENDENT = ("run", "update", "step", "accumulate", "clip", "fit", "fit_clipped")
LANE_SPECIFIC = ("load", "forward", "prepared", "prepared_gradient", "begin", "panels", "add", "finish", "gradient")
BLOCKS_PER_UPDATE = 64  # this many blocks of parameters stay in the cache while they are updated
MEMORY_PARAMETERS = "ptr %s, ptr %w, ptr %a"
FIT_PARAMETERS = (
    "ptr %index, ptr %words, ptr %starts, i64 %batches, i64 %first, i64 %steps, ptr %losses, ptr %rates, ptr %s, "
    "ptr %gradients, i64 %parameters, ptr %update, ptr %us, ptr %uw, i64 %own, i64 %all"
)
MEMORY_ARGUMENTS = ("ptr %s", "ptr %w", "ptr %a")


@cache
def driver_names(lanes: int) -> dict[str, str]:
    """Return a dict from the short names of the drivers to their LLVM names, for blocks of `lanes` lanes."""
    return {name: KERNEL_PREFIX + name for name in LANE_INDEPENDENT} | {
        name: f"{KERNEL_PREFIX}{name}_{lanes}" for name in LANE_SPECIFIC
    }


def _field(f: Function, name: str) -> str:
    return f.word("%p", FIELDS.index(name))


def _pointer(f: Function, name: str) -> str:
    return f.pointer("%p", FIELDS.index(name))


class Drivers:
    """Write the drivers for blocks of `lanes` lanes as LLVM IR.

    The operands of most drivers are `%p`, the address of the header; `%rows`, the address of the numbers of all rows;
    `%index`, the address of the indices of the rows to compute; `%n`, the count of these indices; and `%s`, `%w` and
    `%a`, the addresses of the program's memory.
    """

    def __init__(self, machine: Machine, lanes: int) -> None:
        self.machine, self.lanes = machine, lanes
        self.name = driver_names(lanes)

    def kernels(self) -> KernelWriters:
        """Return a dict from the LLVM name of each driver to the method that writes the driver."""
        return {called: getattr(self, name) for name, called in self.name.items()}

    def _call(self, f: Function, kind: str, name: str, *operands: str) -> str:
        called = self.name[name]
        f.kernels[called] = self.kernels()[called]
        return f.call(kind, called, *operands)

    def _run_stages(self, f: Function, stages: str, blocks: str, stride: str, totals: str = "%a") -> None:
        memory = ("ptr %s", "ptr %w", f"ptr {totals}")
        self._call(f, "void", "run", f"ptr {_pointer(f, stages)}", *memory, f"i64 {blocks}", f"i64 {stride}")

    def load(self) -> Function:
        """Write the driver that copies up to `lanes` rows into a block. Lanes that are left over repeat the last row.

        `%rows` is the address of the numbers of all rows, each of which has `%width` numbers. `%index` is the address
        of the indices of the rows, and `%valid` their count. `%to` is the address in the block. The seed, the
        derivative with which backpropagation starts, is `%each` in the lanes of these rows, and `%other` in the lanes
        left over. It is stored at the address `%seed` unless this is null.
        """
        f = Function(
            self.name["load"],
            "ptr %rows, i64 %width, ptr %index, i64 %valid, double %each, double %other, ptr %to, ptr %seed",
        )
        lanes = Lanes(f, self.lanes, self.machine.fused)
        last = f.subtract("%valid", 1)
        rows = []
        for lane in range(self.lanes):
            number = f.word("%index", f.smaller(lane, last))
            rows.append(f.at("%rows", f.times(number, "%width")))
        with f.when(f.op("icmp ne ptr %seed, null")):
            seeds = "poison"
            for lane in range(self.lanes):
                inside = f.op(f"icmp ugt i64 %valid, {lane}")
                seeds = self._insert(f, lanes, seeds, f.op(f"select i1 {inside}, double %each, double %other"), lane)
            f.store(lanes.type, seeds, "%seed", 8)
        if lanes.scalar:
            f.copy("%to", rows[0], "%width")
            f.do("ret void")
            return f
        simd = Lanes(f, self.machine.simd, self.machine.fused)
        self._end_if_contiguous(f, lanes)
        with self._simd_steps(f, "%width") as (first, rest):
            for half in range(0, self.lanes, simd.count):
                chosen = [f.load(simd.type, f.at(row, first)) for row in rows[half : half + simd.count]]
                for k, x in enumerate(simd.transpose(chosen)):
                    place = f.add(f.times(f.add(first, k), self.lanes), half)
                    f.store(simd.type, x, f.at("%to", place))
        with f.repeat(rest) as one:
            x = "poison"
            for lane, row in enumerate(rows):
                x = self._insert(f, lanes, x, f.load("double", f.at(row, one.index)), lane)
            f.store(lanes.type, x, f.at("%to", f.times(one.index, self.lanes)), 8)
        f.do("ret void")
        return f

    def _end_if_contiguous(self, f: Function, lanes: Lanes) -> None:
        """Write code that copies the rows as one vector, and ends the driver `load`, if they are contiguous numbers.

        Rows are contiguous numbers if each row is one number, all lanes have a row, and the rows' indices follow each
        other.
        """
        check, copy, rest = f.fresh("check"), f.fresh("copy"), f.fresh("rest")
        one, all_lanes = f.op("icmp eq i64 %width, 1"), f.op(f"icmp eq i64 %valid, {lanes.count}")
        f.do(f"br i1 {f.op(f'and i1 {one}, {all_lanes}')}, label %{check}, label %{rest}")
        f.open(check)
        type_, first = f"<{lanes.count} x i64>", f.word("%index")
        steps = ", ".join([f"i64 {lane}" for lane in range(lanes.count)])
        vector = f.op(f"insertelement {type_} poison, i64 {first}, i32 0")
        vector = f.op(f"shufflevector {type_} {vector}, {type_} poison, <{lanes.count} x i32> zeroinitializer")
        vector = f.op(f"add {type_} {vector}, <{steps}>")
        same = f.op(f"icmp eq {type_} {vector}, {f.load(type_, '%index')}")
        mask = f.op(f"bitcast <{lanes.count} x i1> {same} to i{lanes.count}")
        f.do(f"br i1 {f.op(f'icmp eq i{lanes.count} {mask}, -1')}, label %{copy}, label %{rest}")
        f.open(copy)
        f.store(lanes.type, f.load(lanes.type, f.at("%rows", first)), "%to")
        f.do("ret void")
        f.open(rest)

    def _insert(self, f: Function, lanes: Lanes, x: str, number: str, lane: int) -> str:
        """Write code that inserts `number` into a lane of the vector `x`; return the LLVM value of the new vector."""
        if lanes.scalar:
            return number
        return f.op(f"insertelement {lanes.type} {x}, double {number}, i32 {lane}")

    def _run_panel(
        self, f: Function, start: Name, n: str, each: str, other: str, blocks: str, totals: str = "%a"
    ) -> None:
        """Write code that loads `blocks` blocks of rows, and runs the stages that compute their values.

        The argument `%rows` of the driver is the address of the numbers of all rows, or of a table if these are in
        several arrays, see `data.columns.TABLE_BIT`. The argument `%index` is the address of the indices of all rows.
        Those of the rows to load begin at position `start`, and end before position `n` at the latest. The seeds `each`
        and `other` are as for `load`. `totals` is the address that the stages get as `%a`.
        """
        tagged = f.op(f"and i64 {f.op('ptrtoint ptr %rows to i64')}, {TABLE_BIT}")
        for several, comparison in ((False, "eq"), (True, "ne")):
            with f.when(f.op(f"icmp {comparison} i64 {tagged}, 0")):
                self._load_blocks(f, start, n, each, other, blocks, several)
        self._run_stages(f, "sample", blocks, _field(f, "block"), totals)

    def _load_blocks(self, f: Function, start: Name, n: str, each: str, other: str, blocks: str, several: bool) -> None:
        """Write code that loads `blocks` blocks of rows.

        If `several` is set, the numbers of the rows are in several arrays. The other arguments are as for `_run_panel`.
        """
        stride, row_at = _field(f, "block"), _field(f, "row_at")
        seed_at = "" if each == "poison" else _field(f, "seed_at")
        seeded = f.op(f"icmp sge i64 {seed_at}, 0") if seed_at else ""
        with f.loop(blocks) as block:
            first = f.add(start, f.times(block.index, self.lanes))
            valid = f.smaller(f.subtract(n, first), self.lanes)
            to = f.at("%w", f.times(block.index, stride), BYTE)
            seed = f.op(f"select i1 {seeded}, ptr {f.at(to, seed_at, BYTE)}, ptr null") if seeded else "null"
            chosen = (f"ptr {f.at('%index', first, 'i64')}", f"i64 {valid}", f"double {each}", f"double {other}")
            to = f.at(to, row_at, BYTE)
            if several:
                table = f.at("%rows", -TABLE_BIT, BYTE)
                with f.loop(f.word(table), [("ptr", to), ("ptr", seed), ("ptr", f.at(table, 1, "i64"))]) as column:
                    to, seed, words = column.carried
                    width, place = f.word(words, 1), (f"ptr {to}", f"ptr {seed}")
                    self._call(f, "void", "load", f"ptr {f.pointer(words)}", f"i64 {width}", *chosen, *place)
                    column.next = [f.at(to, f.times(width, self.lanes)), "null", f.at(words, 2, "i64")]
            else:
                place = f"ptr {to}", f"ptr {seed}"
                self._call(f, "void", "load", "ptr %rows", f"i64 {_field(f, 'width')}", *chosen, *place)

    def _block_count(self, f: Function, n: str) -> str:
        return f.quotient(f.add(n, self.lanes - 1), self.lanes)

    def forward(self) -> Function:
        """Write the driver that computes the outputs of all rows, and stores them at address `%out`, row after row."""
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
            self._run_panel(
                f, start, "%n", "poison", "poison", blocks, totals
            )  # there is no gradient, so the seed is not used
            with f.when(f.op(f"xor i1 {stored}, true")):
                if self.lanes == 1:  # a panel is a single row
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
        """Write the code of a built-in function of Python, which calls the driver `forward`; see `llvm.builtin`.

        `%self` is a tuple. Its first item is a `bytes` with the operands of `forward`, and a last word that says
        whether to release the GIL while `forward` runs. Its second item is the object that the function returns.
        """

        def forward(f: Function, operands: list[str]) -> None:
            self._call(f, "void", "forward", *operands)

        return self._builtin("prepared", forward)

    def prepared_gradient(self) -> Function:
        """Write code like that of `prepared`, which calls the driver `gradient` and stores the loss at `%out`."""

        def gradient(f: Function, operands: list[str]) -> None:
            out = operands.pop(4)
            f.store("double", self._call(f, "double", "gradient", *operands), out.removeprefix("ptr "))

        return self._builtin("prepared_gradient", gradient)

    def _builtin(self, name: str, compute: Callable[[Function, list[str]], None]) -> Function:
        f = Function(self.name[name], "ptr %self, ptr %unused", "ptr")
        bytes_of = f.call("ptr", "PyTuple_GetItem", "ptr %self", "i64 0")
        held = f.call("ptr", "PyBytes_AsString", f"ptr {bytes_of}")
        kinds = ("ptr", "ptr", "ptr", "i64", "ptr", *["ptr"] * len(MEMORY_ARGUMENTS))
        operands = [f"{kind} {(f.pointer if kind == 'ptr' else f.word)(held, k)}" for k, kind in enumerate(kinds)]
        long = f.op(f"icmp ne i64 {f.word(held, len(kinds))}, 0")
        with f.when(long):  # releases the GIL
            state = f.call("ptr", "PyEval_SaveThread")
            compute(f, [*operands])
            f.call("void", "PyEval_RestoreThread", f"ptr {state}")
        with f.when(f.op(f"xor i1 {long}, true")):
            compute(f, [*operands])
        result = f.call("ptr", "PyTuple_GetItem", "ptr %self", "i64 1")
        f.call("void", "Py_IncRef", f"ptr {result}")
        f.do(f"ret ptr {result}")
        return f

    def _block(self, f: Function, index: Name) -> str:
        return f.at("%w", f.times(index, _field(f, "block")), BYTE)

    def _output(self, f: Function, table: str, block: str, index: Name) -> str:
        """Write code for the address of output number `index` in the block at the address `block`.

        `table` is the address of a table with the offset of each output in a block, in bytes.
        """
        return f.at(block, f.word(table, index), BYTE)

    def _store_rows(self, f: Function, table: str, block: str, to: str) -> None:
        """Write code that stores the outputs of all rows of a block from the address `to` on, row after row.

        `table` is the address of the table of the outputs' offsets.
        """
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
        """Write a loop over the SIMD vectors of `count` contiguous values, whose body is written in the `with` block.

        The `with` block gets the index of the vector's first value, and the count of values that are left for a scalar
        loop. If `count` is not a multiple of the vector's size, the last vector overlaps the one before, and no value
        is left. If there are fewer values than a vector has, the body is not run, and all values are left.
        """
        simd = self.machine.simd
        few = f.op(f"icmp ult i64 {count}, {simd}")
        parts = f.quotient(f.add(count, simd - 1), simd)
        rest = f.op(f"select i1 {few}, i64 {count}, i64 0")
        last = f.subtract(count, simd)
        with f.repeat(f.op(f"select i1 {few}, i64 0, i64 {parts}")) as part:
            yield f.smaller(f.times(part.index, simd), last), rest

    def begin(self) -> Function:
        """Write the driver that computes the values that depend on parameters alone, once for a batch of rows."""
        f = Function(self.name["begin"], f"ptr %p, {MEMORY_PARAMETERS}")
        self._run_stages(f, "batch", "1", _field(f, "block"))
        f.do("ret void")
        return f

    def panels(self) -> Function:
        """Write the driver that computes the totals of a batch, and returns the sum of the rows' first outputs.

        Totals are sums over the rows. They are written to the address `%a`. `%each` and `%other` are the seeds, as for
        `load`.
        """
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
        """Write the driver that adds the totals of another thread, at address `%others`, to those at address `%a`."""
        f = Function(self.name["add"], "ptr %p, ptr %a, ptr %others")
        lanes = Lanes(f, self.machine.simd, self.machine.fused)
        with f.repeat(f.quotient(_field(f, "count"), lanes.count)) as loop:
            place = f.times(loop.index, lanes.count)
            x, y = (f.load(lanes.type, f.at(base, place)) for base in ("%a", "%others"))
            f.store(lanes.type, lanes.add(x, y), f.at("%a", place))
        f.do("ret void")
        return f

    def finish(self) -> Function:
        """Write the driver that divides the totals by the count of rows and computes the gradients from these means.

        The last block may have lanes without a row. They have the seed 0, and add nothing to a total. But 0 * inf is
        nan, so such a lane can spoil a total. If a total is not finite and the last block has such lanes, the totals
        are computed again, one row at a time: the row is then in all lanes, and each lane has an equal share of the
        seed.
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
        """Write code that multiplies the totals, sums over the rows of a batch, by `scale`, and stores the products.

        `scale` is 1 / (count of rows), so the products are means.

        Return the LLVM value that is nan if a mean is not finite, and 0 otherwise. If the header has a field
        `spoiled_at`, the value is stored there, too.
        """
        lanes = Lanes(f, self.machine.simd, self.machine.fused)
        factor, to = lanes.splat(scale), f.at("%s", _field(f, "totals_at"), BYTE)
        with f.repeat(f.quotient(_field(f, "count"), lanes.count), [(lanes.type, lanes.constant(0.0))]) as loop:
            place = f.times(loop.index, lanes.count)
            mean = lanes.multiply(f.load(lanes.type, f.at("%a", place)), factor)
            f.store(lanes.type, mean, f.at(to, place))
            [total] = loop.carried
            loop.next = [lanes.add(total, lanes.multiply(mean, lanes.constant(0.0)))]
        bad, spoiled_at = lanes.horizontal_sum(*loop.next), _field(f, "spoiled_at")
        with f.when(f.op(f"icmp ne i64 {spoiled_at}, 0")):
            f.store("double", bad, f.at("%s", spoiled_at, BYTE))
        return bad

    def gradient(self) -> Function:
        """Write the driver that computes, in one thread, the mean output of a batch and the gradient of this mean."""
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
        """Write the driver that runs the list of stages at the address `%stages` on `%blocks` blocks.

        It calls the kernel of each stage with the stage's table. `%stride` is the size of a block in bytes.
        """
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
        """Write the driver that takes an optimiser's step for every parameter.

        The update of an optimiser is compiled to a program, too. Its samples are the parameters that are trained, see
        `CompiledUpdate`. `%p` is the address of this program's header. `%us` is the address of its scalars, which begin
        with the learning rate and the count of steps. `%uw` is the address of its `%all` blocks, with a parameter in
        each lane. The trained program reads only the parameters of the first `%own` blocks: the gradients of these
        parameters are at the address `%gradients`, and their new data are copied to `%s`, the address of the trained
        program's parameters. `%rate` is the address of this step's learning rate, or `%us` if the rate does not change.
        """
        f = Function(
            self.name["update"], "ptr %p, ptr %s, ptr %gradients, ptr %rate, ptr %us, ptr %uw, i64 %own, i64 %all"
        )
        width = self.machine.width
        lanes, align = Lanes(f, width, self.machine.fused), 8 * self.machine.simd
        stride, outputs, table = _field(f, "block"), _field(f, "outputs"), _pointer(f, "output_table")
        end = f.at(
            "%uw", f.times("%all", stride), BYTE
        )  # new values wait here until all values of a block are computed, since they are computed from the old values
        steps = f.at("%us", 1)
        f.store("double", f.load("double", "%rate"), "%us")
        f.store("double", f.op(f"fadd double {f.load('double', steps)}, 1.0"), steps)

        def stages(name: str, w: str, count: str) -> None:
            memory = ("ptr %us", f"ptr {w}", "ptr null")
            self._call(f, "void", "run", f"ptr {_pointer(f, name)}", *memory, f"i64 {count}", f"i64 {stride}")

        def places(output: Name) -> tuple[str, str]:
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

    def step(self) -> Function:
        """Write the driver that takes an optimiser's step for parameters that are nodes; see `data.nodes`.

        `%list` is the address of the list of the `%n` parameters. The driver reads their data and gradients, takes the
        step as `update` does, and assigns the new data. It returns 0. If a parameter is frozen or has no gradient, it
        changes nothing and returns 1. `%p`, `%rate`, `%us`, `%uw` and `%all` are as for `update`. `%gradients` and
        `%data` are the addresses of memory for as many numbers as there are lanes in all blocks.
        """
        f = Function(
            self.name["step"],
            "ptr %list, i64 %n, ptr %p, ptr %rate, ptr %us, ptr %uw, i64 %all, ptr %gradients, ptr %data",
            "i64",
        )
        nodes, stride, width = NodeLoop(f), _field(f, "block"), self.machine.width
        with f.repeat("%n", [("i1", "true"), ("i1", "true")]) as loop:
            node, is_value = nodes.node(loop.index)
            data, grad = (nodes.slot(node, slot_offset(name)) for name in ("_data", "_grad"))
            block, lane = f.quotient(loop.index, width), f.op(f"urem i64 {loop.index}, {width}")
            f.store("double", data.number, f.at(f.at("%uw", f.times(block, stride), BYTE), lane))
            f.store("double", grad.number, f.at("%gradients", loop.index))
            before, unshared = loop.carried
            good = nodes.all(before, is_value, data.is_float, grad.is_float, nodes.is_unfrozen(node))
            loop.next = [good, nodes.all(unshared, data.unshared)]
        nodes.end_unless(loop.next[0])
        work = ("ptr %rate", "ptr %us", "ptr %uw", "i64 %all", "i64 %all")
        self._call(f, "void", "update", "ptr %p", "ptr %data", "ptr %gradients", *work)
        nodes.assign_all(slot_offset("_data"), loop.next[1], lambda index, _: f.load("double", f.at("%data", index)))
        f.do("ret i64 0")
        return f

    def accumulate(self) -> Function:
        """Write the driver that adds `%n` doubles at address `%from`, times `%weight`, to those at address `%to`."""
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

    def clip(self) -> Function:
        """Write the driver that scales gradients down if their Euclidean norm is too large.

        It does what `optim.clip_grad_norm` does.

        `%gradients` is an array of gradients, and `%places` has the indices of the `%n` gradients to clip. `%norms` is
        the address of two numbers. The first is the largest norm that these gradients may have. The driver sets the
        second to the norm that they have before clipping. If this norm is not finite, the gradients are not changed.

        The norm is m * sqrt(sum((g / m)**2)), with the largest |g| as m, so squares neither overflow nor vanish.
        """
        f = Function(self.name["clip"], "ptr %gradients, ptr %places, i64 %n, ptr %norms")
        one = Lanes(f, 1, self.machine.fused)

        def gradient(index: Name) -> str:
            return f.at("%gradients", f.word("%places", index))

        with f.repeat("%n", [("double", "0.0")]) as loop:
            size = one.apply("llvm.fabs", [f.load("double", gradient(loop.index))])
            larger = f.op(f"fcmp ogt double {size}, {loop.carried[0]}")
            loop.next = [f.op(f"select i1 {larger}, double {size}, double {loop.carried[0]}")]
        [largest] = loop.next
        zero = f.op(f"fcmp oeq double {largest}, 0.0")
        unit = f.op(f"select i1 {zero}, double 1.0, double {largest}")
        with f.repeat("%n", [("double", "0.0")]) as loop:
            part = f.op(f"fdiv double {f.load('double', gradient(loop.index))}, {unit}")
            loop.next = [f.op(f"fadd double {loop.carried[0]}, {f.op(f'fmul double {part}, {part}')}")]
        norm = f.op(f"fmul double {unit}, {one.apply('llvm.sqrt', loop.next)}")
        f.store("double", norm, f.at("%norms", 1))
        factor = f.op(f"fdiv double {f.load('double', '%norms')}, {f.op(f'fadd double {norm}, {literal(1e-6)}')}")
        finite = f.op(f"fcmp olt double {norm}, {literal(inf)}")
        with f.when(f.op(f"and i1 {finite}, {f.op(f'fcmp olt double {factor}, 1.0')}")), f.repeat("%n") as loop:
            place = gradient(loop.index)
            f.store("double", f.op(f"fmul double {f.load('double', place)}, {factor}"), place)
        f.do("ret void")
        return f

    def fit(self) -> Function:
        """Write the driver that takes `%steps` training steps, one for each batch, from batch `%first` of the epoch on.

        An epoch has `%batches` batches. After the last batch, the first batch is used again. A sub-batch consists of
        the rows of a batch that one program computes. `%starts` has, for each batch, the index in `%words` at which its
        description begins. The description is the count of the batch's rows, the count of its sub-batches and, for each
        sub-batch, the address of a gradient call, the position of its first row in `%index`, and the count of its rows.

        A gradient call is ten words: the addresses of a program's `gradient` driver, of its header, of the numbers of
        all rows, and of its three arrays of memory; the address at which the driver leaves the gradient; the count of
        the program's parameters; the address of a number that is nan if the gradient has to be computed anew; and
        whether it has to be, too, if the loss or a derivative is nan.

        `%s` is the address of the parameters, and `%parameters` is their count. `%gradients` is the address of memory
        for as many doubles, in which the gradients of several sub-batches are added up. The loss of each batch,
        computed before its step, is written to `%losses`. `%rates` has the learning rate of each step, or is null if
        the rate does not change. The remaining operands are those of `update`.

        The driver returns how many steps it has taken: `%steps`, or less if a gradient has to be computed anew.
        """
        return self._fit("fit", FIT_PARAMETERS)

    def fit_clipped(self) -> Function:
        """Write a driver like `fit`, which also clips the gradients before each step, as the driver `clip` does.

        Its last three operands are those of the driver `clip`. If a norm is not finite, no further step is taken.
        """
        return self._fit("fit_clipped", f"{FIT_PARAMETERS}, ptr %places, i64 %n, ptr %norms", clips=True)

    def _fit(self, name: str, parameters: str, clips: bool = False) -> Function:
        f = Function(self.name[name], parameters, "i64")
        stays = f.op("icmp eq ptr %rates, null")

        def is_finite() -> str:
            return f.op(f"fcmp olt double {f.load('double', f.at('%norms', 1))}, {literal(inf)}")

        # The norm before the first step is 0, or that of the steps which an earlier call has taken
        with f.loop("%steps", [("i1", is_finite())] if clips else []) as step:
            number = f.op(f"urem i64 {f.add('%first', step.index)}, %batches")
            at = f.at("%words", f.word("%starts", number), "i64")
            rows = f.op(f"uitofp i64 {f.word(at)} to double")
            sub_batches, first = f.word(at, 1), f.pointer(at, 2)
            one, all_ = f.op(f"icmp eq i64 {sub_batches}, 1"), f.op(f"icmp eq i64 {f.word(first, 7)}, %parameters")
            alone = f.op(f"and i1 {one}, {all_}")  # one sub-batch with all parameters: no gradients to add up
            several = f.op(f"xor i1 {alone}, true")
            with f.when(several):
                f.clear("%gradients", "%parameters")
            carried = [("ptr", f.at(at, 2, "i64")), ("double", "0.0"), ("double", "0.0")]
            with f.loop(sub_batches, carried) as sub_batch:
                [words, mean, spoiled] = sub_batch.carried
                called, index, count = f.pointer(words), f.at("%index", f.word(words, 1), "i64"), f.word(words, 2)
                gradient, header, data, s, w, a, found = (f.pointer(called, k) for k in range(7))
                own = f.word(called, 7)
                f.copy(s, "%s", own)
                memory = f"ptr {s}, ptr {w}, ptr {a}"
                loss = f.op(f"call double {gradient}(ptr {header}, ptr {data}, ptr {index}, i64 {count}, {memory})")
                part = f.op(f"fdiv double {f.op(f'uitofp i64 {count} to double')}, {rows}")
                with f.when(several):
                    self._call(
                        f, "void", "accumulate", "ptr %gradients", f"ptr {found}", f"double {part}", f"i64 {own}"
                    )
                added = f.op(f"fadd double {mean}, {f.op(f'fmul double {part}, {loss}')}")
                spoiled = f.op(f"fadd double {spoiled}, {f.load('double', f.pointer(called, 8))}")
                checked = f.op(f"select i1 {f.op(f'icmp ne i64 {f.word(called, 9)}, 0')}, i64 {own}, i64 0")
                start = f.op(f"select i1 {f.op(f'icmp ne i64 {checked}, 0')}, double {loss}, double 0.0")
                with f.repeat(checked, [("double", f.op(f"fadd double {spoiled}, {start}"))]) as derivative:
                    x = f.load("double", f.at(found, derivative.index))
                    derivative.next = [f.op(f"fadd double {derivative.carried[0]}, {x}")]
                sub_batch.next = [f.at(words, 3, "i64"), added, *derivative.next]
            stop, go_on = f.fresh("stop"), f.fresh("go_on")
            f.do(f"br i1 {f.op(f'fcmp uno double {sub_batch.next[2]}, 0.0')}, label %{stop}, label %{go_on}")
            f.open(stop)
            f.do(f"ret i64 {step.index}")
            f.open(go_on)
            f.store("double", sub_batch.next[1], f.at("%losses", step.index))
            rate = f.op(f"select i1 {stays}, ptr %us, ptr {f.at('%rates', step.index)}")
            gradients = f.op(f"select i1 {alone}, ptr {f.pointer(first, 6)}, ptr %gradients")
            work = (f"ptr {rate}", "ptr %us", "ptr %uw", "i64 %own", "i64 %all")
            update = ("void", "update", "ptr %update", "ptr %s", f"ptr {gradients}", *work)
            if clips:
                [going] = step.carried
                with f.when(going):  # once a norm has ended training, this norm is kept
                    self._call(f, "void", "clip", f"ptr {gradients}", "ptr %places", "i64 %n", "ptr %norms")
                finite = is_finite()
                with f.when(finite):
                    self._call(f, *update)
                step.next = [finite]
            else:
                self._call(f, *update)
        f.do("ret i64 %steps")
        return f


def header(**fields: int) -> Sequence[int]:
    """Return the words of a program's header, in the order of `FIELDS`. A field that is not passed is 0.

    >>> header(broadcast=7)[:3]
    [0, 7, 0]
    """
    return [fields.get(name, 0) for name in FIELDS]
