"""Write drivers: machine-code functions that loop over rows, batches and epochs, and run lists of calls.

The header of an executable is a list of words, which are integers of 8 bytes. It says where the lists of calls are that
compute the executable's stages, and where its values are in memory. Drivers read it, and other words that Python
writes, by the names of a `NamedTuple`, such as `Header`. A call consists of two addresses. The first is the address of
a kernel, a function that all programs share, or of native code. The second is that of the table that the kernel reads
(see the folder `tables`). Native code reads no table, and the second word is 0.

The memory of an executable is three arrays of doubles. Their addresses have these names in LLVM text:

- `%s`: the scalars.
- `%w`: a panel, which consists of blocks. A block holds `lanes` rows of the batch side by side: for each value that
  depends on the row, it has a vector of `lanes` doubles.
- `%a`: the totals, which are sums over the rows of a batch. If the field `stored` of the header is set, native code
  computes outputs, and `%a` is the address where it stores them.

An executable that computes rows one at a time has no lanes. The values of a row are then among the scalars, and `%w` is
the same address as `%s`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from math import inf
from typing import NamedTuple, Self

from ..data.columns import TABLE_BIT
from ..data.nodes import NodeLoop, address_of, slot_offset
from ..llvm.builtin import BUILTIN_SIGNATURE, operands_of, return_object
from ..llvm.lanes import Lanes
from ..llvm.machine import Machine
from ..llvm.operands import Condition, Doubles, Flags, Integer, Operand, Pointer, Vector, Words, transpose
from ..llvm.text import KERNEL_PREFIX, Function
from ..loops.places import WORD
from ..loops.stages import END_OF_CALLS
from ..tables.gathers import touch

LANE_INDEPENDENT = (
    *("run", "update", "update_touched", "publish_touched", "step"),
    *("accumulate", "clear_touched", "add_touched", "clip", "fit", "mean_gradient"),
)
LANE_SPECIFIC = (
    *("load", "load_narrow", "forward", "prepared_forward", "prepared_gradient"),
    *("begin", "panels", "add", "finish", "gradient"),
)
BLOCKS_PER_UPDATE = 64  # this many blocks of parameters stay in the cache while they are updated
MEMORY_PARAMETERS = "ptr %s, ptr %w, ptr %a"
FIT_PARAMETERS = (
    "ptr %index, ptr %words, ptr %starts, i64 %batches, i64 %first, i64 %steps, ptr %losses, ptr %rates, ptr %s, "
    "ptr %gradients, i64 %parameters, ptr %update, ptr %us, ptr %uw, i64 %fixed, i64 %own, i64 %all, i64 %skips, "
    "ptr %clip, ptr %places, i64 %n, ptr %norms"
)
MEMORY_ARGUMENTS = ("ptr %s", "ptr %w", "ptr %a")


class Header(NamedTuple):
    """The words of an executable's header. Offsets and sizes are in bytes."""

    batch: int  # the addresses of the lists of calls
    broadcast: int
    sample: int
    after: int
    width: int  # how many numbers a row has
    row_at: int  # where these are in a block
    seed_at: int  # where the gradient's seed is in a block
    block: int  # how many bytes a block has
    panel: int  # how many blocks a panel has
    outputs: int  # how many outputs there are
    output_table: int  # the address of a table of where each of them is in a block
    stored: int  # whether the calls of phase SAMPLE store the outputs, from the address %a on
    total_count: int  # how many totals there are
    totals_at: int  # where their means are among the scalars
    gradients: int  # how many contiguous spans the gradients form among the scalars
    gradient_table: int  # the address of a table: of each span its offset, its first gradient's index, its length
    gradients_at: int  # where the spans are copied to, one after the other
    spoiled_at: (
        int  # where a number is that `finish` sets to nan if a total is not finite; 0 if there is no such number
    )
    touched_blocks: int  # in how many blocks the touched totals are; 0 if there are none. See `loops.touched`
    touched_at: int  # where the first of these blocks is among the totals
    touched: int  # where, among the totals, these four arrays are; see `tables.tables.TouchedWords`
    updated: int
    flags: int
    kept: int
    always_touched: int  # the address of a list of blocks, after their count: those that also have other parameters


EMPTY_HEADER = Header(*[0] * len(Header._fields))


class PreparedWords(NamedTuple):
    """The integers of a prepared call: the operands of a driver, most of which are addresses, and one flag."""

    header: int
    rows: int
    indices: int
    row_count: int
    out: int  # the driver `gradient` does not get it: the loss is stored at this address
    scalars: int
    panel: int
    totals: int
    releases_gil: int  # whether to release the GIL while the driver runs


class StepWords(NamedTuple):
    """The integers of the driver `step`. All but the counts are addresses."""

    parameter_count: int
    header: int  # of the compiled update
    rate: int  # the learning rate
    scalars: int  # of the compiled update
    blocks: int  # of the compiled update
    block_count: int
    gradients: int  # memory for as many numbers as there are lanes in all blocks
    data: int  # the same


class BatchWords(NamedTuple):
    """The first 64-bit words of the description of a batch, which tells `fit` and `mean_gradient` what to compute."""

    rows: int  # the count of the batch's rows
    sub_batches: int  # the count of its sub-batches, of each of which `SubBatchWords` follow


class SubBatchWords(NamedTuple):
    """The words that describe a sub-batch: the rows of a batch that one program computes."""

    call: int  # the address of `GradientCallWords`
    first: int  # the position of the sub-batch's first row in the indices of all rows
    row_count: int  # the count of its rows


class GradientCallWords(NamedTuple):
    """The 64-bit words by which `fit` and `mean_gradient` call one program's driver `gradient`."""

    driver: int  # the address of the program's driver `gradient`, and of its operands
    header: int
    rows: int
    scalars: int
    panel: int
    totals: int
    gradient: int  # the address at which the driver leaves the gradient
    parameters: int  # the count of the program's parameters
    spoiled: int  # the address of a number that is nan if the gradient has to be computed anew
    merged: int  # 1 if it has to be computed anew also where the loss is nan, else 0


@cache
def driver_names(lanes: int) -> dict[str, str]:
    """Return a dict from the short names of the drivers to their LLVM names, for vectors of `lanes` lanes."""
    return {name: KERNEL_PREFIX + name for name in LANE_INDEPENDENT} | {
        name: f"{KERNEL_PREFIX}{name}_{lanes}" for name in LANE_SPECIFIC
    }


class Record:
    """Words in memory that have the names of a `NamedTuple`. A method writes code that loads the word with a name.

    Args:
        words: the address of the first word.
        fields: the class of the `NamedTuple`, such as `Header`.
    """

    def __init__(self, words: Words, fields: type[NamedTuple]) -> None:
        self._words, self._place = words, {name: k for k, name in enumerate(fields._fields)}

    def __getitem__(self, name: str) -> Integer:
        return self._words[self._place[name]]

    def pointer(self, name: str) -> Pointer:
        """Return the address that the word with this name holds."""
        return self._words.pointer(self._place[name])

    def words(self, name: str) -> Words:
        """Return the address that the word with this name holds, which must be that of an array of words."""
        return self._words.words(self._place[name])

    def doubles(self, name: str) -> Doubles:
        """Return the address that the word with this name holds, which must be that of an array of doubles."""
        return self._words.doubles(self._place[name])

    def after(self) -> Words:
        """Return the address after the last word."""
        return self._words + len(self._place)


class _TouchedBlocks:
    """The touched totals of a program (see `loops.touched`), and the lists of the blocks that rows have touched.

    Args:
        header: the header of the program's executable.
        totals: the address of the program's totals.

    Attributes:
        totals: the address of the touched totals.
        touched: the address of the list of touched blocks: their count, and then the blocks.
        updated: the address of the list of the blocks that the last step has updated; see `Drivers.update_touched`.
        kept: the address of the gradients of these blocks, in the order of the list.
        flags: a flag for each block; it is set if the block is in the list of touched blocks.
    """

    def __init__(self, header: Record, totals: Doubles) -> None:
        f = totals.f
        self.totals = totals.bytes(header["touched_at"])
        self.touched, self.updated = (Words(f, totals.bytes(header[name]).name) for name in ("touched", "updated"))
        self.flags, self.kept = Flags(f, totals.bytes(header["flags"]).name), totals.bytes(header["kept"])

    @classmethod
    def of(cls, call: Record) -> Self:
        """Return the touched blocks of the program that a call computes; `call` has `GradientCallWords`."""
        return cls(Record(call.words("header"), Header), call.doubles("totals"))

    @contextmanager
    def each(self, f: Function) -> Iterator[Integer]:
        """Write a loop over the touched blocks. The `with` block, which writes its body, gets the block."""
        with f.repeat(self.touched[0]) as loop:
            yield self.touched[loop.index + 1]


def _field(f: Function, name: str) -> Integer:
    return Record(Words(f, "%p"), Header)[name]


def _table(f: Function, name: str) -> Words:
    return Record(Words(f, "%p"), Header).words(name)


class Drivers:
    """Write the drivers as LLVM IR. A driver is a function that loops over rows, batches or epochs.

    The drivers are for vectors of `lanes` lanes, each of which has the value of one row.

    The operands of most drivers are `%p`, the address of the header; `%rows`, the address of the numbers of all rows;
    `%index`, the address of the indices of the rows to compute; `%n`, the number of these indices; and `%s`, `%w` and
    `%a`, the addresses of the scalars, of the memory for row values, and of the totals, which are sums over the rows.
    """

    def __init__(self, machine: Machine, lanes: int) -> None:
        self.machine, self.lanes = machine, lanes
        self.name = driver_names(lanes)

    def named(self, name: str) -> tuple[str, Callable[[], Function]]:
        """Return the LLVM name of the driver with this short name, and the method that writes the driver."""
        return self.name[name], getattr(self, name)

    def _call(self, f: Function, returns: str, name: str, *operands: Operand | int | str) -> str:
        called, write = self.named(name)
        f.kernels[called] = write
        return f.call(returns, called, *operands)

    def _run(
        self, f: Function, calls: str, blocks: Integer | int, stride: Integer, totals: Doubles | None = None
    ) -> None:
        memory = ("ptr %s", "ptr %w", "ptr %a" if totals is None else totals)
        self._call(f, "void", "run", _table(f, calls), *memory, blocks, stride)

    def load(self) -> Function:
        """Write the driver that copies up to `lanes` rows into a block. Lanes that are left over repeat the last row.

        `%rows` is the address of the numbers of all rows, each of which has `%width` numbers. `%index` is the address
        of the indices of the rows to copy, and `%valid` their count. `%to` is the address in the block to which the
        numbers are copied. The seed, the derivative with which backpropagation starts, is `%each` in the lanes of these
        rows, and `%other` in the lanes left over. The seed is stored at the address `%seed`, unless this is null.
        """
        f = Function(
            self.name["load"],
            "ptr %rows, i64 %width, ptr %index, i64 %valid, double %each, double %other, ptr %to, ptr %seed",
        )
        lanes, simd = Lanes(f, self.lanes), Lanes(f, self.machine.simd)
        width, valid, to, seed = Integer(f, "%width"), Integer(f, "%valid"), Doubles(f, "%to"), Doubles(f, "%seed")
        with f.when(f.op("icmp ne ptr %seed, null")):
            each, other = Vector(f, "%each"), Vector(f, "%other")
            lanes.store(lanes.of((valid > lane).select(each, other) for lane in range(self.lanes)), seed)
        if self.lanes == 1:
            f.copy(to, self._rows(f)[0], width)
            f.do("ret void")
            return f
        self._end_if_contiguous(f, lanes)
        rows = self._rows(f)
        with self._simd_steps(f, width) as (first, rest):
            for half in range(0, self.lanes, simd.count):
                chosen = [simd.load(row + first) for row in rows[half : half + simd.count]]
                for k, x in enumerate(transpose(chosen)):
                    simd.store(x, to + ((first + k) * self.lanes + half))
        with f.when(rest != 0):
            self._call(f, "void", "load_narrow", "ptr %rows", rest, "ptr %index", valid, to)
        f.do("ret void")
        return f

    def load_narrow(self) -> Function:
        """Write the driver that copies rows of fewer numbers than a SIMD vector has; the driver `load` calls it.

        The arguments are those of `load`, without the ones for the seed, which `load` has stored. This code is in a
        driver of its own, since a function that also copied wide rows would copy narrow rows more slowly.
        """
        f = Function(self.name["load_narrow"], "ptr %rows, i64 %width, ptr %index, i64 %valid, ptr %to")
        lanes, simd = Lanes(f, self.lanes), Lanes(f, self.machine.simd)
        width, to, rows = Integer(f, "%width"), Doubles(f, "%to"), self._rows(f)
        with f.when(width == 1):
            lanes.store(lanes.of(row[0] for row in rows), to)
        if simd.count > 2:  # otherwise rows have no more than one number here
            with f.when(width > 1):
                for half in range(0, self.lanes, simd.count):
                    chosen = [simd.load_first(row, width) for row in rows[half : half + simd.count]]
                    for k, x in enumerate(transpose(chosen)[:-1]):
                        with f.when(width > k):
                            simd.store(x, to + (k * self.lanes + half))
        f.do("ret void")
        return f

    def _rows(self, f: Function) -> list[Doubles]:
        """Return the addresses of the rows that the driver `load` copies, one for each lane."""
        all_rows, width, index = Doubles(f, "%rows"), Integer(f, "%width"), Words(f, "%index")
        last = Integer(f, "%valid") - 1
        numbers = [index[Integer(f, str(lane)).minimum(last)] for lane in range(self.lanes)]
        return [all_rows + number * width for number in numbers]

    def _end_if_contiguous(self, f: Function, lanes: Lanes) -> None:
        """Write code that copies the rows as one vector, and ends the driver `load`, if they are contiguous numbers.

        Rows are contiguous numbers if each row is one number, all lanes have a row, and the rows' indices follow each
        other.
        """
        check, copy, rest = f.fresh("check"), f.fresh("copy"), f.fresh("rest")
        one, all_lanes = Integer(f, "%width") == 1, Integer(f, "%valid") == lanes.count
        f.do(f"br i1 {one & all_lanes}, label %{check}, label %{rest}")
        f.open(check)
        type_, first = f"<{lanes.count} x i64>", Words(f, "%index")[0]
        steps = ", ".join([f"i64 {lane}" for lane in range(lanes.count)])
        vector = f.op(f"insertelement {type_} poison, i64 {first}, i32 0")
        vector = f.op(f"shufflevector {type_} {vector}, {type_} poison, <{lanes.count} x i32> zeroinitializer")
        vector = f.op(f"add {type_} {vector}, <{steps}>")
        same = f.op(f"icmp eq {type_} {vector}, {f.op(f'load {type_}, ptr %index, align 8')}")
        mask = f.op(f"bitcast <{lanes.count} x i1> {same} to i{lanes.count}")
        f.do(f"br i1 {f.op(f'icmp eq i{lanes.count} {mask}, -1')}, label %{copy}, label %{rest}")
        f.open(copy)
        lanes.store(lanes.load(Doubles(f, "%rows") + first), Doubles(f, "%to"))
        f.do("ret void")
        f.open(rest)

    def _run_panel(
        self,
        f: Function,
        start: Integer,
        n: Integer,
        seeds: tuple[Vector, Vector] | None,
        blocks: Integer | int,
        totals: Doubles | None = None,
    ) -> None:
        """Write code that loads `blocks` blocks of rows, and runs the calls that compute their values.

        The argument `%rows` of the driver is the address of the numbers of all rows, or of a table if these are in
        several arrays, see `data.columns.TABLE_BIT`. The argument `%index` is the address of the indices of all rows.
        Those of the rows to load begin at position `start`, and end before position `n` at the latest. `seeds` has two
        values of the seed, the derivative with which backpropagation starts: in lanes with a row, and in lanes left
        over. It is None if there is no gradient. `totals` is the address that the calls get as their argument `%a`. If
        `totals` is None, they get the argument `%a` of the driver itself.
        """
        tagged = Integer(f, f.op(f"and i64 {f.op('ptrtoint ptr %rows to i64')}, {TABLE_BIT}"))
        for several in (False, True):
            with f.when(tagged != 0 if several else tagged == 0):
                self._load_blocks(f, start, n, seeds, blocks, several)
        self._run(f, "sample", blocks, _field(f, "block"), totals)

    def _load_blocks(
        self,
        f: Function,
        start: Integer,
        n: Integer,
        seeds: tuple[Vector, Vector] | None,
        blocks: Integer | int,
        several: bool,
    ) -> None:
        """Write code that copies the numbers of rows, and their seeds, to `blocks` blocks in the memory at `%w`.

        If `several` is set, the numbers of the rows are in several arrays. `_run_panel` describes the other arguments.
        """
        stride, row_at = _field(f, "block"), _field(f, "row_at")
        null, unused = Doubles(f, "null"), Vector(f, "poison")
        if seeds:
            seed_at = _field(f, "seed_at")
            has_seed = Condition(f, f.op(f"icmp sge i64 {seed_at}, 0"))
        with f.loop(blocks) as block:
            first = start + block.index * self.lanes
            valid = (n - first).minimum(self.lanes)
            to = Doubles(f, "%w").bytes(block.index * stride)
            seed = has_seed.select(to.bytes(seed_at), null) if seeds else null
            chosen = (Words(f, "%index") + first, valid, *(seeds or (unused, unused)))
            to = to.bytes(row_at)
            if several:
                table = Words(f, "%rows").bytes(-TABLE_BIT)
                with f.loop(table[0], [to, seed, table + 1]) as column:
                    to, seed, words = column.carried
                    width = words[1]
                    self._call(f, "void", "load", words.pointer(0), width, *chosen, to, seed)
                    column.next = [to + width * self.lanes, "null", words + 2]
            else:
                self._call(f, "void", "load", "ptr %rows", _field(f, "width"), *chosen, to, seed)

    def _block_count(self, n: Integer) -> Integer:
        return (n + (self.lanes - 1)) // self.lanes

    def forward(self) -> Function:
        """Write the driver that computes the outputs of all rows, and stores them at address `%out`, row after row."""
        f = Function(self.name["forward"], f"ptr %p, ptr %rows, ptr %index, i64 %n, ptr %out, {MEMORY_PARAMETERS}")
        stride, size, outputs = _field(f, "block"), _field(f, "panel"), _field(f, "outputs")
        table = _table(f, "output_table")
        n, out, panel_at, totals_at = Integer(f, "%n"), Doubles(f, "%out"), Doubles(f, "%w"), Doubles(f, "%a")
        self._run(f, "batch", 1, stride)
        self._run(f, "broadcast", self._block_count(n).minimum(size), stride)
        stored = _field(f, "stored") != 0
        whole = n // self.lanes
        with f.when(whole != 0), f.loop(whole, step=size) as panel:
            blocks = (whole - panel.index).minimum(size)
            start = panel.index * self.lanes
            to = out + start * outputs
            totals = stored.select(to, totals_at)
            self._run_panel(f, start, n, None, blocks, totals)
            with f.when(~stored):
                if self.lanes == 1:  # a panel is a single row
                    with f.loop(outputs) as output:
                        to[output.index] = Doubles(f, "%s").bytes(table[output.index])[0]
                else:
                    with f.loop(blocks) as block:
                        found = self._block(f, block.index)
                        self._store_rows(f, table, found, to + block.index * (outputs * self.lanes))
        if self.lanes > 1:
            start = whole * self.lanes
            rest = n - start
            with f.when(rest != 0):
                to = out + start * outputs
                unused = panel_at.bytes(size * stride)
                totals = stored.select(unused, totals_at)
                self._run_panel(f, start, n, None, 1, totals)
                with f.when(stored):
                    f.copy(to, unused, rest * outputs)
                with f.when(~stored), f.loop(outputs) as output:
                    place = panel_at.bytes(table[output.index])
                    with f.loop(rest) as row:
                        x = place[row.index]
                        to[output.index + row.index * outputs] = x
        f.do("ret void")
        return f

    def prepared_forward(self) -> Function:
        """Write the code of a built-in function of Python, which calls the driver `forward`; see `llvm.builtin`.

        `%self` is a tuple. Its first item is a `bytes` with `PreparedWords`, and its second item is the object that the
        function returns.
        """

        def forward(f: Function, operands: Mapping[str, Operand]) -> None:
            self._call(f, "void", "forward", *operands.values())

        return self._builtin("prepared_forward", forward)

    def prepared_gradient(self) -> Function:
        """Write the code of a built-in function of Python, which calls the driver `gradient`; see `llvm.builtin`.

        `%self` is a tuple. Its first item is a `bytes` with `PreparedWords`, and its second item is the object that the
        function returns.
        """

        def gradient(f: Function, operands: Mapping[str, Operand]) -> None:
            given = [x for name, x in operands.items() if name != "out"]
            loss = self._call(f, "double", "gradient", *given)
            f.do(f"store double {loss}, ptr {operands['out']}, align 8")

        return self._builtin("prepared_gradient", gradient)

    def _builtin(self, name: str, compute: Callable[[Function, Mapping[str, Operand]], None]) -> Function:
        f = Function(self.name[name], *BUILTIN_SIGNATURE)
        held = Record(operands_of(f), PreparedWords)
        *names, last = PreparedWords._fields
        operands = {name: held[name] if name == "row_count" else held.pointer(name) for name in names}
        long = held[last] != 0
        with f.when(long):  # releases the GIL
            state = f.call("ptr", "PyEval_SaveThread")
            compute(f, operands)
            f.call("void", "PyEval_RestoreThread", f"ptr {state}")
        with f.when(~long):
            compute(f, operands)
        return_object(f, f.call("ptr", "PyTuple_GetItem", "ptr %self", "i64 1"))
        return f

    def _block(self, f: Function, index: Integer) -> Doubles:
        return Doubles(f, "%w").bytes(index * _field(f, "block"))

    def _store_rows(self, f: Function, table: Words, block: Doubles, to: Doubles) -> None:
        """Write code that stores the outputs of all rows of a block from the address `to` on, row after row.

        `table` is the address of the table of the outputs' offsets in a block, in bytes.
        """
        outputs = _field(f, "outputs")
        simd = Lanes(f, self.machine.simd)
        with self._simd_steps(f, outputs) as (number, rest):
            places = [block.bytes(table[number + k]) for k in range(simd.count)]
            for half in range(0, self.lanes, simd.count):
                xs = [simd.load(place + half) for place in places]
                for k, x in enumerate(transpose(xs)):
                    simd.store(x, to + (number + (half + k) * outputs))
        with f.repeat(rest) as one:
            place = block.bytes(table[one.index])
            for lane in range(self.lanes):
                x = place[lane]
                to[one.index + lane * outputs] = x

    @contextmanager
    def _simd_steps(self, f: Function, count: Integer) -> Iterator[tuple[Integer, Integer]]:
        """Write a loop over the SIMD vectors of `count` contiguous values, whose body is written in the `with` block.

        The `with` block gets the index of the vector's first value, and the number of values that are left for a scalar
        loop. If `count` is not a multiple of the vector's size, the last vector overlaps the one before, and no value
        is left. If there are fewer values than a vector has, the body is not run, and all values are left.
        """
        simd, none = self.machine.simd, Integer(f, "0")
        few = count < simd
        parts = (count + (simd - 1)) // simd
        rest = few.select(count, none)
        last = count - simd
        with f.repeat(few.select(none, parts)) as part:
            yield (part.index * simd).minimum(last), rest

    def begin(self) -> Function:
        """Write the driver that computes the values that depend on parameters alone, once for a batch of rows."""
        f = Function(self.name["begin"], f"ptr %p, {MEMORY_PARAMETERS}")
        self._run(f, "batch", 1, _field(f, "block"))
        f.do("ret void")
        return f

    def panels(self) -> Function:
        """Write the driver that computes the totals of a batch, and returns the sum of the rows' first outputs.

        Totals are sums over the rows. They are written to the address `%a`. The seed, the derivative with which
        backpropagation starts, is `%each` in lanes with a row, and `%other` in the lanes left over in the last block.
        """
        f = Function(
            self.name["panels"],
            f"ptr %p, ptr %rows, ptr %index, i64 %n, double %each, double %other, {MEMORY_PARAMETERS}",
            "double",
        )
        stride, size, table = _field(f, "block"), _field(f, "panel"), _table(f, "output_table")
        self._clear_totals(f)
        n = Integer(f, "%n")
        count = self._block_count(n)
        self._run(f, "broadcast", count.minimum(size), stride)
        with f.loop(count, [Vector(f, "0.0")], step=size) as panel:
            blocks = (count - panel.index).minimum(size)
            start = panel.index * self.lanes
            self._run_panel(f, start, n, (Vector(f, "%each"), Vector(f, "%other")), blocks)
            rows = (n - start).minimum(blocks * self.lanes)
            [total] = panel.carried
            with f.loop(rows, [total]) as row:
                [total] = row.carried
                block, lane = row.index // self.lanes, row.index % self.lanes
                x = self._block(f, block).bytes(table[Integer(f, "0")])[lane]
                row.next = [total + x]
            panel.next = row.next
        [total] = panel.next
        f.do(f"ret double {total}")
        return f

    def add(self) -> Function:
        """Write the driver that adds the totals of another thread, at address `%others`, to those at address `%a`.

        A total is a sum over the rows of a batch. Each thread adds up a part of the rows.
        """
        f = Function(self.name["add"], "ptr %p, ptr %a, ptr %others")
        lanes = Lanes(f, self.machine.simd)
        totals, others = Doubles(f, "%a"), Doubles(f, "%others")
        with f.repeat(_field(f, "total_count") // lanes.count) as loop:
            place = loop.index * lanes.count
            x, y = (lanes.load(base + place) for base in (totals, others))
            lanes.store(x + y, totals + place)
        with f.when(_field(f, "touched_blocks") != 0):
            self._call(f, "void", "add_touched", "ptr %p", totals, others)
        f.do("ret void")
        return f

    def _clear_totals(self, f: Function) -> None:
        """Write code that sets all totals to 0."""
        f.clear("%a", _field(f, "total_count"))
        with f.when(_field(f, "touched_blocks") != 0):
            self._call(f, "void", "clear_touched", "ptr %p", "ptr %s", "ptr %a")

    def clear_touched(self) -> Function:
        """Write the driver that clears the touched totals, and the gradients that were computed from them.

        Touched totals are gradients of tables, of which a batch touches only some blocks; see `loops.touched`. Only the
        blocks that the last batch has touched are cleared. Then the list of touched blocks has only those blocks that
        also have other parameters, since the optimiser has to update these in each step.
        """
        f = Function(self.name["clear_touched"], "ptr %p, ptr %s, ptr %a")
        lanes = self._lanes_of_block(f)
        zero, blocks = lanes.splat(0.0), _TouchedBlocks(Record(Words(f, "%p"), Header), Doubles(f, "%a"))
        gradients = Doubles(f, "%s").bytes(_field(f, "gradients_at"))
        with blocks.each(f) as block:
            place = block * lanes.count
            lanes.store(zero, blocks.totals + place)
            lanes.store(zero, gradients + place)
            blocks.flags.set(block, 0)
        blocks.touched[0] = Integer(f, "0")
        always = _table(f, "always_touched")
        with f.repeat(always[0]) as loop:
            touch(blocks.touched, blocks.flags, always[loop.index + 1])
        f.do("ret void")
        return f

    def add_touched(self) -> Function:
        """Write the driver that adds the touched totals of another thread, at address `%others`, to those at `%a`.

        Touched totals are gradients of tables, of which a batch touches only some blocks; see `loops.touched`. The
        blocks that the rows of the other thread have touched are put into the list at `%a`, too.
        """
        f = Function(self.name["add_touched"], "ptr %p, ptr %a, ptr %others")
        lanes, header = self._lanes_of_block(f), Record(Words(f, "%p"), Header)
        blocks, others = (_TouchedBlocks(header, Doubles(f, name)) for name in ("%a", "%others"))
        with others.each(f) as block:
            place = block * lanes.count
            x, y = (lanes.load(each.totals + place) for each in (blocks, others))
            lanes.store(x + y, blocks.totals + place)
            touch(blocks.touched, blocks.flags, block)
        f.do("ret void")
        return f

    def _lanes_of_block(self, f: Function) -> Lanes:
        """Return `Lanes` for vectors that have as many doubles as a block of parameters, or of touched totals."""
        return Lanes(f, self.machine.width, WORD * self.machine.simd)

    def finish(self) -> Function:
        """Write the driver that divides the totals by the number of rows and computes the gradients from these means.

        The last block may have lanes without a row. They have the seed 0, and add nothing to a total. But 0 * inf is
        nan, so such a lane can spoil a total. If a total is not finite and the last block has such lanes, the totals
        are computed again, and the rows of the last block then come one at a time: the row is in all lanes, and each
        lane has an equal share of the seed.

        Touched totals, see `loops.touched`, are divided only in the blocks that a row has touched. The gradients in the
        other blocks of this kind are 0 already.

        If the header's field `spoiled_at` is not 0, the driver stores a double at this offset among the scalars. It is
        nan if a total is not finite, and otherwise 0. If the program has no inputs, so rows have no numbers, it is nan
        if a gradient is not finite, and otherwise 0.
        """
        f = Function(self.name["finish"], f"ptr %p, ptr %rows, ptr %index, i64 %n, {MEMORY_PARAMETERS}")
        rows, scalars = Integer(f, "%n"), Doubles(f, "%s")
        n, one = rows.to_double(), Vector(f, "1.0")
        bad = self._scale_totals(f, one / n)
        if self.lanes > 1:
            ragged = rows % self.lanes != 0
            with f.when(ragged & bad.is_nan()):
                self._clear_totals(f)
                each, whole, size = one.constant(1.0 / self.lanes), rows // self.lanes, _field(f, "panel")
                with f.when(whole != 0), f.loop(whole, step=size) as panel:
                    blocks = (whole - panel.index).minimum(size)
                    self._run_panel(f, panel.index * self.lanes, rows, (one, one), blocks)
                done = whole * self.lanes
                with f.loop(rows - done) as row:
                    self._run_panel(f, done + row.index, done + row.index + 1, (each, each), 1)
                self._scale_totals(f, one / n)
        self._run(f, "after", 1, _field(f, "block"))
        table, to = _table(f, "gradient_table"), scalars.bytes(_field(f, "gradients_at"))
        with f.repeat(_field(f, "gradients")) as part:
            found, first, count = (table[part.index * 3 + k] for k in range(3))
            f.copy(to + first, scalars.bytes(found), count)
        spoiled_at = _field(f, "spoiled_at")
        with f.when((spoiled_at != 0) & (_field(f, "width") == 0)):
            places = _field(f, "gradients_at") // 8  # the gradients have as many as the parameters, which come first
            scalars.bytes(spoiled_at)[0] = self._nan_unless_finite(f, to, places)
        f.do("ret void")
        return f

    def _scale_totals(self, f: Function, scale: Vector) -> Vector:
        """Write code that multiplies the totals, sums over the rows of a batch, by `scale`, and stores the products.

        `scale` is 1 / (count of rows), so the products are means.

        Return a double that is nan if a mean is not finite, and 0 otherwise. The code also stores this double; see
        `finish`.
        """
        lanes = Lanes(f, self.machine.simd)
        scalars, totals = Doubles(f, "%s"), Doubles(f, "%a")
        factor, to = lanes.splat(scale), scalars.bytes(_field(f, "totals_at"))
        with f.repeat(_field(f, "total_count") // lanes.count, [lanes.splat(0.0)]) as loop:
            place = loop.index * lanes.count
            mean = lanes.load(totals + place) * factor
            lanes.store(mean, to + place)
            [total] = loop.carried
            loop.next = [total + mean * 0.0]
        [total] = loop.next
        bad: Vector = total.horizontal_sum() + self._scale_touched(f, scale)
        spoiled_at = _field(f, "spoiled_at")
        with f.when(spoiled_at != 0):
            scalars.bytes(spoiled_at)[0] = bad
        return bad

    def _scale_touched(self, f: Function, scale: Vector) -> Vector:
        """Write code that multiplies the touched totals by `scale`, and stores the products as gradients.

        Return a double that is nan if a gradient is not finite, and 0 otherwise.
        """
        lanes = self._lanes_of_block(f)
        factor, gradients = lanes.splat(scale), Doubles(f, "%s").bytes(_field(f, "gradients_at"))
        blocks = _TouchedBlocks(Record(Words(f, "%p"), Header), Doubles(f, "%a"))
        count = (_field(f, "touched_blocks") != 0).select(blocks.touched[0], 0)
        with f.repeat(count, [lanes.splat(0.0)]) as loop:
            place = blocks.touched[loop.index + 1] * lanes.count
            mean = lanes.load(blocks.totals + place) * factor
            lanes.store(mean, gradients + place)
            [total] = loop.carried
            loop.next = [total + mean * 0.0]
        [total] = loop.next
        found: Vector = total.horizontal_sum()
        return found

    def _nan_unless_finite(self, f: Function, numbers: Doubles, count: Integer) -> Vector:
        """Write code that computes a double: nan if one of `count` numbers is not finite, and 0 otherwise. Return it.

        `count` must be a multiple of the number of doubles in a SIMD vector.
        """
        lanes = Lanes(f, self.machine.simd)
        with f.repeat(count // lanes.count, [lanes.splat(0.0)]) as loop:
            [total] = loop.carried
            loop.next = [total + lanes.load(numbers + loop.index * lanes.count) * 0.0]
        [total] = loop.next
        found: Vector = total.horizontal_sum()
        return found

    def gradient(self) -> Function:
        """Write the driver that computes, in one thread, the mean output of a batch and the gradient of this mean."""
        f = Function(self.name["gradient"], f"ptr %p, ptr %rows, ptr %index, i64 %n, {MEMORY_PARAMETERS}", "double")
        given = ("ptr %p", "ptr %rows", "ptr %index", "i64 %n")
        self._call(f, "void", "begin", "ptr %p", *MEMORY_ARGUMENTS)
        seeds = ("double 1.0", "double 0.0")
        total = Vector(f, self._call(f, "double", "panels", *given, *seeds, *MEMORY_ARGUMENTS))
        self._call(f, "void", "finish", *given, *MEMORY_ARGUMENTS)
        f.do(f"ret double {total / Integer(f, '%n').to_double()}")
        return f

    def run(self) -> Function:
        """Write the driver that calls a list of functions, one after the other, for `%blocks` blocks of rows.

        The list is at the address `%calls`. Each item has the address of a function, and its first argument: for a
        kernel the address of the kernel's table, and for native code a null pointer. A null pointer in the place of a
        function ends the list. `%stride` is the size of a block in bytes.
        """
        f = Function(self.name["run"], f"ptr %calls, {MEMORY_PARAMETERS}, i64 %blocks, i64 %stride")
        f.do("br label %next")
        f.open("next")
        f.lines.append("  %call = phi ptr [ %calls, %start ], [ %following, %one ]")
        call = Words(f, "%call")
        kernel = call.pointer(0)
        f.do(f"br i1 {f.op(f'icmp eq ptr {kernel}, null')}, label %out, label %one")
        f.open("one")
        kernel.call(call.pointer(1), *MEMORY_ARGUMENTS, Integer(f, "%blocks"), Integer(f, "%stride"))
        f.do(f"%following = getelementptr i64, ptr %call, i64 {len(END_OF_CALLS)}")
        f.do("br label %next")
        f.open("out")
        f.do("ret void")
        return f

    def update(self) -> Function:
        """Write the driver that takes an optimiser's step for every parameter.

        The update of an optimiser is compiled to an executable, too, whose rows are the trained parameters; see
        `CompiledUpdate`. The driver's arguments `%p`, `%us` and `%uw` are the addresses of this executable's header, of
        its scalars, which begin with the learning rate and the number of steps, and of its blocks. The number of blocks
        is `%all`, and each lane of a block has a parameter. A block begins with the inputs: the data, the gradients and
        the state. The outputs are first written to memory that follows the blocks, and then take the places of the data
        and the state. The trained program reads only the parameters of the first `%own` blocks: the gradients of these
        parameters are at the address `%gradients`, and their new data are copied to `%s`, the address of the trained
        program's parameters. The first `%fixed` blocks, which have only parameters that must not change, are left out.
        `%rate` is the address of this step's learning rate, or `%us` if the rate does not change.
        """
        f = Function(
            self.name["update"],
            "ptr %p, ptr %s, ptr %gradients, ptr %rate, ptr %us, ptr %uw, i64 %fixed, i64 %own, i64 %all",
        )
        lanes = self._lanes_of_block(f)
        width = lanes.count
        stride, outputs, table = _field(f, "block"), _field(f, "outputs"), _table(f, "output_table")
        fixed, own_blocks, all_blocks = Integer(f, "%fixed"), Integer(f, "%own"), Integer(f, "%all")
        trained, gradients = Doubles(f, "%s"), Doubles(f, "%gradients")
        scalars, panel = Doubles(f, "%us"), Doubles(f, "%uw")
        end = panel.bytes(all_blocks * stride)

        def run(name: str, w: Doubles, count: Integer | int) -> None:
            self._call(f, "void", "run", _table(f, name), scalars, w, "ptr null", count, stride)

        self._begin_update(f)
        with f.loop(all_blocks, first=fixed, step=BLOCKS_PER_UPDATE) as group:
            first = group.index
            count = (all_blocks - first).minimum(BLOCKS_PER_UPDATE)
            own = (own_blocks.maximum(first) - first).minimum(count)
            w = panel.bytes(first * stride)
            with f.repeat(own) as block:
                to = w.bytes(block.index * stride)
                place = (first + block.index) * width
                lanes.store(lanes.load(gradients + place, 8), to + width)
            run("broadcast", w, count)
            run("sample", w, count)
            with f.loop(count) as block:
                to = w.bytes(block.index * stride)
                # An output may be in the place of an old value, so all of them are copied first
                with f.loop(outputs) as output:
                    lanes.store(lanes.load(to.bytes(table[output.index])), end + output.index * width)
                with f.loop(outputs) as output:  # column 1, the gradient, does not change
                    column = output.index + (output.index > 0).to_integer()
                    lanes.store(lanes.load(end + output.index * width), to + column * width)
            with f.repeat(own) as block:
                from_ = w.bytes(block.index * stride)
                place = (first + block.index) * width
                lanes.store(lanes.load(from_), trained + place, 8)
        f.do("ret void")
        return f

    def _begin_update(self, f: Function) -> None:
        """Write code that sets the scalars of a step, and computes what the parameters have in common."""
        scalars = Doubles(f, "%us")
        steps = scalars + 1
        scalars[0] = Doubles(f, "%rate")[0]
        steps[0] = steps[0] + 1.0
        self._call(f, "void", "run", _table(f, "batch"), scalars, "ptr %uw", "ptr null", 1, _field(f, "block"))

    def update_touched(self) -> Function:
        """Write the driver that takes a step of an optimiser which leaves parameters alone whose gradient is 0.

        The gradients are touched totals, see `loops.touched`. The driver reads the data of the parameters among the
        scalars of their program, and writes the new data there, so `publish_touched` must be called before the blocks
        of the update are read. Only the parameters of touched blocks are read and written. They are copied to memory
        that follows the blocks of the update, `BLOCKS_PER_UPDATE` blocks at a time.

        `%call` is the address of the operands by which the gradient was computed, `GradientCallWords`. The other
        arguments are those of the driver `update`.
        """
        f = Function(self.name["update_touched"], "ptr %p, ptr %rate, ptr %us, ptr %uw, i64 %all, ptr %call")
        lanes, stride, table = self._lanes_of_block(f), _field(f, "block"), _table(f, "output_table")
        width = lanes.count
        call = Record(Words(f, "%call"), GradientCallWords)
        data, gradients, blocks = call.doubles("scalars"), call.doubles("gradient"), _TouchedBlocks.of(call)
        # The copies are after the blocks, and after the memory in which `update` keeps outputs
        copies = Doubles(f, "%uw").bytes(Integer(f, "%all") * stride) + _field(f, "outputs") * width
        self._begin_update(f)
        all_touched = blocks.touched[0]
        with f.when(all_touched != 0), f.loop(all_touched, step=BLOCKS_PER_UPDATE) as group:
            count = (all_touched - group.index).minimum(BLOCKS_PER_UPDATE)
            listed, kept = blocks.touched + group.index, blocks.kept + group.index * width
            with f.loop(count) as loop:
                place, to = listed[loop.index + 1] * width, copies.bytes(loop.index * stride)
                gradient = lanes.load(gradients + place, 8)
                lanes.store(lanes.load(data + place, 8), to)
                lanes.store(gradient, to + width)
                lanes.store(gradient, kept + loop.index * width)
            for name in ("broadcast", "sample"):
                self._call(f, "void", "run", _table(f, name), "ptr %us", copies, "ptr null", count, stride)
            with f.loop(count) as loop:
                place, from_ = listed[loop.index + 1] * width, copies.bytes(loop.index * stride)
                lanes.store(lanes.load(from_.bytes(table[0])), data + place, 8)
        f.copy(blocks.updated, blocks.touched, all_touched + 1)
        f.do("ret void")
        return f

    def publish_touched(self) -> Function:
        """Write the driver that copies the results of `update_touched` to where `update` leaves its results.

        These are the data of the parameters, and their gradients in the last step. The arguments are those of the
        drivers `update` and `update_touched` with the same names.
        """
        f = Function(self.name["publish_touched"], "ptr %p, ptr %s, ptr %uw, i64 %own, ptr %call")
        lanes, stride, panel = self._lanes_of_block(f), _field(f, "block"), Doubles(f, "%uw")
        width = lanes.count
        call = Record(Words(f, "%call"), GradientCallWords)
        data, blocks, zero = call.doubles("scalars"), _TouchedBlocks.of(call), lanes.splat(0.0)
        f.copy("%s", data, call["parameters"])
        with f.repeat("%own") as loop:
            to = panel.bytes(loop.index * stride)
            lanes.store(lanes.load(data + loop.index * width, 8), to)
            lanes.store(zero, to + width)
        with f.repeat(blocks.updated[0]) as loop:
            to = panel.bytes(blocks.updated[loop.index + 1] * stride)
            lanes.store(lanes.load(blocks.kept + loop.index * width), to + width)
        f.do("ret void")
        return f

    def step(self) -> Function:
        """Write the code of a built-in function of Python that takes an optimiser's step; see `llvm.builtin`.

        Its argument is the list of the parameters, which are nodes; see `data.nodes`. Its operands are `StepWords`. It
        reads the data and gradients of the parameters, calls the driver `update` for the step, and assigns the new
        data. Then it returns None. If a parameter is frozen, or its data or gradient is not a float, it changes no
        parameter and returns True.
        """
        f = Function(self.name["step"], *BUILTIN_SIGNATURE)
        held, failed = Record(operands_of(f), StepWords), f"ptr {address_of(True)}"
        f.call("void", "Py_IncRef", failed)  # whoever gets a result owns a reference to it
        nodes = NodeLoop(f, Words(f, "%argument"), held["parameter_count"], failed)
        header, width = held.words("header"), self.machine.width
        stride = Record(header, Header)["block"]
        panel, gradients, new_data = (held.doubles(name) for name in ("blocks", "gradients", "data"))
        with f.repeat(nodes.count, [Condition(f, "true")]) as loop:
            node = nodes.node(loop.index)
            nodes.end_unless(nodes.has_requires_grad(node, True))
            data, grad = (nodes.float_slot(node, slot_offset(name)) for name in ("_data", "_grad"))
            block, lane = loop.index // width, loop.index % width
            panel.bytes(block * stride)[lane] = data.number
            gradients[loop.index] = grad.number
            loop.next = [loop.carried[0] & data.unshared]
        count = held["block_count"]
        work = (held.pointer("rate"), held.pointer("scalars"), panel, 0, count, count)
        self._call(f, "void", "update", header, new_data, gradients, *work)
        nodes.assign_all(slot_offset("_data"), loop.next[0], lambda index, _: new_data[index])
        f.call("void", "Py_DecRef", failed)
        return_object(f, address_of(None))
        return f

    def accumulate(self) -> Function:
        """Write the driver that adds `%n` doubles at address `%from`, times `%weight`, to those at address `%to`."""
        f = Function(self.name["accumulate"], "ptr %to, ptr %from, double %weight, i64 %n")
        simd = Lanes(f, self.machine.simd)
        n, to, added = Integer(f, "%n"), Doubles(f, "%to"), Doubles(f, "%from")
        whole = n // simd.count
        done = whole * simd.count
        for lanes, count, first in ((simd, whole, Integer(f, "0")), (Lanes(f, 1), n - done, done)):
            weight = lanes.splat(Vector(f, "%weight"))
            with f.repeat(count) as loop:
                place = first + loop.index * lanes.count
                sum_at = to + place
                product = lanes.load(added + place) * weight
                lanes.store(lanes.load(sum_at) + product, sum_at)
        f.do("ret void")
        return f

    def clip(self) -> Function:
        """Write the driver that scales gradients down if their Euclidean norm is too large.

        It does what `optim.clip_grad_norm` does.

        `%gradients` is an array of gradients, and `%places` has the indices of the `%n` gradients to clip. `%norms` is
        the address of two numbers. The first is the largest norm that these gradients may have. The driver sets the
        second to the norm that they have before clipping. If this norm is not finite, the gradients are not changed.

        The norm is m * sqrt(sum((g / m)**2)), so squares neither overflow nor vanish. m is the largest |g|, or 1 if
        all gradients are 0.
        """
        f = Function(self.name["clip"], "ptr %gradients, ptr %places, i64 %n, ptr %norms")
        gradients, places, norms = Doubles(f, "%gradients"), Words(f, "%places"), Doubles(f, "%norms")
        zero = Vector(f, "0.0")
        with f.repeat("%n", [zero]) as loop:
            size = gradients[places[loop.index]].intrinsic("llvm.fabs")
            [largest] = loop.carried
            loop.next = [(size > largest).select(size, largest)]
        [largest] = loop.next
        unit: Vector = (largest == 0.0).select(1.0, largest)
        with f.repeat("%n", [zero]) as loop:
            part = gradients[places[loop.index]] / unit
            [total] = loop.carried
            loop.next = [total + part * part]
        [total] = loop.next
        norm = unit * total.intrinsic("llvm.sqrt")
        norms[1] = norm
        factor = norms[0] / (norm + 1e-6)
        with f.when((norm < inf) & (factor < 1.0)), f.repeat("%n") as loop:
            gradient = gradients + places[loop.index]
            gradient[0] = gradient[0] * factor
        f.do("ret void")
        return f

    def fit(self) -> Function:
        """Write the driver that takes `%steps` training steps, one for each batch, from batch `%first` of the epoch on.

        An epoch has `%batches` batches. After the last batch, the first batch is used again. A sub-batch consists of
        the rows of a batch that one program computes. `%starts` has, for each batch, the index in `%words` at which the
        batch's description begins: `BatchWords`, and `SubBatchWords` for each sub-batch, with positions in `%index`.

        `%s` is the address of the parameters, and `%parameters` is their count. `%gradients` is the address of memory
        for as many doubles, in which the gradients of several sub-batches are added up. The loss of each batch,
        computed before its step, is written to `%losses`. `%rates` has the learning rate of each step, or is null if
        the rate does not change. `%update`, `%us` and `%uw` are the addresses of the header, the scalars and the `%all`
        blocks of the compiled update. The program's parameters are in the first `%own` of these blocks, and the first
        `%fixed` have only parameters that must not change.

        `%clip` is the address of the driver `clip` if gradients are clipped before each step, and otherwise null. The
        driver `clip` also gets `%places`, which has the indices of the `%n` gradients to clip, and `%norms`, which is
        an address even if nothing is clipped. If a norm is not finite, no further step is taken, but the losses of the
        remaining batches are still computed.

        `%skips` is not 0 if the update leaves parameters alone whose gradient is 0. If one program with touched totals,
        see `loops.touched`, computes all rows, and gradients are not clipped, a step does nothing for the blocks of
        parameters that no row touches. The parameters then stay among the program's scalars from step to step.

        The driver returns `%steps`, even if a norm was not finite. But if the gradient for a batch has to be computed
        anew, it ends before this batch, and returns how many batches came before it.
        """
        f = Function(self.name["fit"], FIT_PARAMETERS, "i64")
        losses, rates, norms = Doubles(f, "%losses"), Doubles(f, "%rates"), Doubles(f, "%norms")
        stays = Condition(f, f.op("icmp eq ptr %rates, null"))
        clips = Condition(f, f.op("icmp ne ptr %clip, null"))
        # The norm before the first step is 0, or that of the steps which an earlier call has taken
        null = Words(f, "null")

        def publish(call: Words) -> None:
            """Write code that copies results from the scalars of the program of `call`, unless `call` is null."""
            with f.when(call.differs(null)):
                memory = ("ptr %update", "ptr %s", "ptr %uw", "i64 %own")
                self._call(f, "void", "publish_touched", *memory, call)

        with f.loop("%steps", [norms[1] < inf, null]) as step:
            # `holder` is the call of the step before if the current data are among the scalars of its program alone
            going, holder = step.carried
            number = (Integer(f, "%first") + step.index) % Integer(f, "%batches")
            batch = Words(f, "%words") + Words(f, "%starts")[number]
            rate = stays.select(Doubles(f, "%us"), rates + step.index)
            call, alone = self._first_call(f, batch)
            header = Record(Record(call, GradientCallWords).words("header"), Header)
            # A learning rate of -0.0 would have a gradient of 0 change a parameter that is -0.0
            skips = (Integer(f, "%skips") != 0) & ~clips & (rate[0] > 0.0)
            stays_there = alone & skips & (header["touched_blocks"] != 0)
            published = (stays_there & ~call.differs(holder)).select(null, holder)
            publish(published)
            holder = published.differs(null).select(null, holder)
            loss, nan_if_spoiled, gradient = self._loss_of_batch(f, batch, holder)
            finite_loss = nan_if_spoiled.compare("ord", 0.0)
            publish(finite_loss.select(null, holder))
            f.end_unless(finite_loss, f"i64 {step.index}")
            losses[step.index] = loss
            with f.when(clips & going):  # once a norm has ended training, this norm is kept
                Pointer(f, "%clip").call(gradient, "ptr %places", "i64 %n", norms)
            finite = norms[1] < inf
            with f.when(stays_there):
                self._call(f, "void", "update_touched", "ptr %update", rate, "ptr %us", "ptr %uw", "i64 %all", call)
            with f.when(finite & ~stays_there):
                work = (rate, "ptr %us", "ptr %uw", "i64 %fixed", "i64 %own", "i64 %all")
                self._call(f, "void", "update", "ptr %update", "ptr %s", gradient, *work)
            step.next = [finite, stays_there.select(call, null)]
        publish(step.next[1])
        f.do("ret i64 %steps")
        return f

    def mean_gradient(self) -> Function:
        """Write the driver that computes the mean output of a batch and its gradient, for several sub-batches.

        A sub-batch has the rows that one program computes. `%words` is the address of the batch's description:
        `BatchWords`, and `SubBatchWords` for each sub-batch, with positions in `%index`, which has the indices of rows.
        `%s` is the address of the parameters, and `%parameters` is their count. The gradient is written to the address
        `%gradients`, and to the address `%spoiled` a number that is nan if the gradient has to be computed anew. The
        driver returns the mean output.
        """
        f = Function(
            self.name["mean_gradient"],
            "ptr %index, ptr %words, ptr %s, ptr %gradients, i64 %parameters, ptr %spoiled",
            "double",
        )
        loss, nan_if_spoiled, _ = self._loss_of_batch(f, Words(f, "%words"), Words(f, "null"))
        Doubles(f, "%spoiled")[0] = nan_if_spoiled
        f.do(f"ret double {loss}")
        return f

    def _first_call(self, f: Function, words: Words) -> tuple[Words, Condition]:
        """Return the address of the operands by which the first sub-batch of a batch calls its program.

        Return also the condition that there is no other sub-batch, and that the program has all parameters. `words` is
        the address of the description of the batch.
        """
        batch = Record(words, BatchWords)
        call = Record(batch.after(), SubBatchWords).words("call")
        has_all = Record(call, GradientCallWords)["parameters"] == Integer(f, "%parameters")
        return call, (batch["sub_batches"] == 1) & has_all

    def _loss_of_batch(self, f: Function, words: Words, holder: Words) -> tuple[Vector, Vector, Doubles]:
        """Write code that computes the mean loss of a batch, and its gradient, for `fit` and `mean_gradient`.

        `words` is the address of the description of the batch, and `holder` that of the operands of a call whose
        program has the parameters' current data among its scalars; null if there is none. Return three things: the
        loss; another number, which is nan if the gradient has to be computed anew; and the address of the gradient. The
        gradients of several sub-batches are added up at `%gradients`. If there is only one sub-batch, and its program
        reads all parameters, nothing is added up, and the address is the one at which that program leaves the gradient.
        """
        gradients, parameter_count = Doubles(f, "%gradients"), Integer(f, "%parameters")
        batch = Record(words, BatchWords)
        rows, sub_batches = batch["rows"].to_double(), batch["sub_batches"]
        operands, alone = self._first_call(f, words)
        first = Record(operands, GradientCallWords)
        # If there is one sub-batch with all parameters, there are no gradients to add up.
        several = ~alone
        with f.when(several):
            f.clear(gradients, parameter_count)
        with f.loop(sub_batches, [batch.after(), Vector(f, "0.0"), Vector(f, "0.0")]) as loop:
            [one, mean, spoiled] = loop.carried
            sub_batch = Record(one, SubBatchWords)
            operands, count = sub_batch.words("call"), sub_batch["row_count"]
            index, copies = Words(f, "%index") + sub_batch["first"], operands.differs(holder)
            call = Record(operands, GradientCallWords)
            loss, nan_if_spoiled = self._call_gradient(f, call, index, count, copies)
            share = count.to_double() / rows
            with f.when(several):
                found, own = call.doubles("gradient"), call["parameters"]
                self._call(f, "void", "accumulate", gradients, found, share, own)
            loop.next = [sub_batch.after(), mean + share * loss, spoiled + nan_if_spoiled]
        _, mean, spoiled = loop.next
        return mean, spoiled, alone.select(first.doubles("gradient"), gradients)

    def _call_gradient(
        self, f: Function, call: Record, index: Words, count: Integer, copies: Condition
    ) -> tuple[Vector, Vector]:
        """Write a call of the driver `gradient` of a program for `count` rows, whose indices are at address `index`.

        If `copies` holds, the parameters' data are copied to the program's scalars first.

        Return the loss and another number, which is nan if the gradient has to be computed anew: since a total is not
        finite or, for a merged program, since the loss is nan.
        """
        names = ("driver", "header", "rows", "scalars", "panel", "totals")
        driver, header, rows, scalars, panel, totals = (call.pointer(name) for name in names)
        with f.when(copies):
            f.copy(scalars, "%s", call["parameters"])
        loss = Vector(f, driver.call(header, rows, index, count, scalars, panel, totals, returns="double"))
        return loss, call.doubles("spoiled")[0] + (call["merged"] != 0).select(loss, 0.0)
