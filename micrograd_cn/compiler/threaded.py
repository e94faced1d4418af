"""Instructions as threaded code: a table of numbers, through which small functions go, each calling the next one.

There is one function for each form that occurs, so that hardly anything is left to compile. It runs slower than code of
its own, and gives the same numbers to the last bit. (Threaded code: Bell, Communications of the ACM 16, 1973.) All
samples' values are kept in `%w`, and so are, in every lane, the scalars that they are computed with, but for those of
long sums.

An entry of the table is the address of a function, the place of its result, and those of its operands, in bytes from
the beginning of `%w`, or of `%s` where scalars are computed.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable, Sequence
from copy import copy
from typing import Any

from .assembly import Task
from .instructions import AFTER, BATCH, LEAVES, SAMPLE, SUMS, Lowering
from .layout import Layout
from .outlining import Outlined
from .text import Function, literal
from .writer import PARTS, Writer, splat, vector

ENTRY = "(ptr %pc, ptr %s, ptr %w, ptr %a)"
WORD = 8  # bytes
SPLAT, TOTALS, END = "into all lanes", "to totals", "the end"  # which no operation has as a form


class Threaded(Layout):
    """The table of some instructions and of all that they need, and the functions that go through it."""

    def __init__(self, code: Outlined, roots: Sequence[int], *lanes: int, **how: Any) -> None:
        super().__init__(code, roots, *lanes, **how)
        self.formulas = code.formulas
        self.slot_bytes = WORD * self.width
        self.table = array("q")
        self.heads = array("q")  # where a function's number is, to become its address
        self.kernels: dict[tuple[Any, ...], int] = {}
        self.splats: list[int] = []  # pairs of places, in %w and in %s
        self.at: dict[int, int] = {i: slot * self.slot_bytes for i, slot in self.slot.items()}
        self.one, self.nothing = code.constant(1.0), code.constant(-0.0)
        starts = {}
        for phase in (SAMPLE, BATCH, AFTER):  # a batch copies the scalars that its samples have been found to read
            starts[phase] = len(self.table)
            self._table(phase)
        for i in roots:
            if code.phase[i] != SAMPLE:
                self._scalar(i)
        address = self.table.buffer_info()[0]
        for phase, start in starts.items():
            pc = f"ptr inttoptr (i64 {address + WORD * start} to ptr)"
            self.calls[phase] = [f"call void @go({pc}, ptr %s, ptr %w, ptr %a)"]
        self.functions = [self._go(), *map(str, map(self._kernel, self.kernels, self.kernels.values()))]

    def link(self, address_of: Callable[[str], int]) -> None:
        """Put the functions' addresses into the table."""
        addresses = [address_of(f"kernel{number}") for number in self.kernels.values()]
        for place in self.heads:
            self.table[place] = addresses[self.table[place]]

    # The table.

    def _add(self, kernel: tuple[Any, ...], *operands: int) -> None:
        self.heads.append(len(self.table))
        self.table.extend((self.kernels.setdefault(kernel, len(self.kernels)), *operands))

    def _table(self, phase: int) -> None:
        """Write the entries of a phase."""
        code, sample = self.code, phase == SAMPLE
        place = self._sample if sample else self._scalar
        for i in self.needed:
            form, *rest = code.code[i]
            if code.phase[i] != phase or form in LEAVES:
                continue
            if sample:
                self.slot[i] = self._slots(1)
                self.at[i] = self.slot[i] * self.slot_bytes
            if form in SUMS:
                self._sum(i, sample, place)
            else:
                self._add((form, sample, len(rest)), place(i), *map(place, rest))
        if sample and self.totals:
            listed = []
            for k, factors in enumerate(self.totals):
                first, second = factors if len(factors) == 2 else (factors[0], self.one)
                listed += [k * self.native * WORD, place(first), place(second)]
            self._add((TOTALS, True), len(self.totals), *listed)
        if phase == BATCH and self.splats:
            self._add((SPLAT, True), len(self.splats) // 2, *self.splats)
        self._add((END, True))

    def _sample(self, i: int) -> int:
        """Return where samples are, or a scalar in all lanes."""
        at = self.at.get(i)
        if at is None:
            at = self.at[i] = self._slots(1) * self.slot_bytes
            self.splats += (at, self._scalar(i))
        return at

    def _scalar(self, i: int) -> int:
        if i not in self.scalar:
            self._keep(i)
        return self.scalar[i] * WORD

    def _sum(self, i: int, sample: bool, place: Callable[[int], int]) -> None:
        """Write the entry of a sum: its parts with their twins, then products, terms as products with 1."""
        form, _, terms, *twins = self.code.code[i]
        long, short = self.split(i)
        parts = [place(x) for pair in zip(terms, twins, strict=False) for x in pair]
        products = [*((self.one, t) for t in terms[len(twins) :]), *short]
        kind, rest = "", []
        if sample and long and self.code.phase[long[0][0]] != SAMPLE:  # scalars stay where they are
            kind, rest = "mixed", [len(long), *(x for a, b in long for x in (self._scalar(a), place(b)))]
        elif not sample and len(long) >= 4 * PARTS:
            steps = len(long) // PARTS
            kind, rest = "parts", [steps, *(place(x) for pair in long[: PARTS * steps] for x in pair)]
            products += long[PARTS * steps :]
        else:
            products += long
        products = products or [(self.one, self.nothing)]
        listed = [place(x) for pair in products for x in pair]
        self._add((form, sample, len(twins), kind), place(i), *parts, len(products), *listed, *rest)

    # The functions.

    def _go(self) -> str:
        f = Function(f"internal void @go{ENTRY}")
        f.do(f"call void {f.load('ptr', '%pc')}(ptr %pc, ptr %s, ptr %w, ptr %a)")
        f.do("ret void")
        return str(f)

    def _kernel(self, kernel: tuple[Any, ...], number: int) -> Function:
        """Return the function of a form."""
        form, sample, *shape = kernel
        f = Function(f"void @kernel{number}{ENTRY}")
        if form == SPLAT:
            self._splat(f)
        elif form == TOTALS:
            self._totals(f)
        elif form in SUMS:
            self._sum_kernel(f, form, sample, *shape)
        elif form != END:
            self._plain(f, form, sample, *shape)
        f.do("ret void")
        return f

    def _writer(self, f: Function, code: Lowering, sample: bool) -> Writer:
        within = copy(self)
        within.code, within.slot, within.scalar = code, {}, {}
        return Writer(within, f, sample)

    def _plain(self, f: Function, form: str, sample: bool, count: int) -> None:
        """Write an instruction with `count` operands, or a formula's."""
        formula = self.formulas.get(form)
        if formula:
            code, used, body = formula.code, formula.used, formula.body
        else:
            code = Lowering()
            used = [code.add(("input", k), SAMPLE) for k in range(count)]
            body = [code.add((form, *used))]
        writer = self._writer(f, code, sample)
        base = "%w" if sample else "%s"
        for k, i in enumerate(used):
            writer.known[i] = f.load(writer.kind, _operand(f, base, "%pc", 2 + k), self.align if sample else WORD)
        for i in body:
            task = Task("sums" if code.code[i][0] in SUMS else "plain", [i], [], [], 0)
            getattr(writer, task.kind)(task)
        result = writer.value(body[-1])
        f.store(writer.kind, result, _operand(f, base, "%pc", 1), self.align if sample else WORD)
        _next(f, f.at("%pc", 2 + count))

    def _sum_kernel(self, f: Function, form: str, sample: bool, twins: int, kind: str) -> None:
        """Write a sum; see `_sum` for its operands."""
        writer = self._writer(f, self.code, sample)
        base, align = ("%w", self.align) if sample else ("%s", WORD)
        fused = self.fused and form in ("dot", "adjoint")
        products = f.at("%pc", 2 + 2 * twins)
        count = f.load("i64", products)
        first = f.at(products, 1)
        rest = f.at(first, f.op(f"shl i64 {count}, 1"))
        more = f.load("i64", rest) if kind else ""

        def operand(pointer: str, place: int, scalar: bool = False) -> str:
            if scalar:
                return writer.splat(f.load("double", _operand(f, "%s", pointer, place)))
            return f.load(writer.kind, _operand(f, base, pointer, place), align)

        def loop(total: str, count: str, pointer: str, add: Callable[[str, str, str], str], mixed: bool) -> str:
            with f.loop(count, [(writer.kind, total)]) as loop:
                pair = f.at(pointer, f.op(f"shl i64 {loop.index}, 1"))
                loop.next = [add(operand(pair, 0, mixed), operand(pair, 1), loop.carried[0])]
            return loop.next[0]

        def total(add: Callable[[str, str, str], str], twin: int) -> str:
            sum_ = writer.splat(literal(-0.0))
            if kind == "parts":
                with f.loop(more, [("double", literal(-0.0))] * PARTS) as parts:
                    start = f.at(rest, f.op(f"add i64 {f.op(f'mul i64 {parts.index}, {2 * PARTS}')}, 1"))
                    for k, part in enumerate(parts.carried):
                        parts.next.append(add(operand(start, 2 * k), operand(start, 2 * k + 1), part))
                sum_ = parts.next[0]
                for part in parts.next[1:]:
                    sum_ = f.op(f"fadd double {sum_}, {part}")
            for k in range(twins):
                sum_ = f.op(f"fadd {writer.kind} {sum_}, {operand('%pc', 2 + 2 * k + twin)}")
            sum_ = loop(sum_, count, first, add, False)
            return loop(sum_, more, f.at(rest, 1), add, True) if kind == "mixed" else sum_

        def exact(a: str, b: str, sum_: str) -> str:
            return writer.fma(a, b, sum_, fused)

        name = total(writer.scaled_product if form == "scaled" else exact, 0)
        if form in ("sum", "dot"):
            [name] = writer.checked([name], lambda: [total(writer.scaled_product, 1)])
        f.store(writer.kind, name, _operand(f, base, "%pc", 1), align)
        length = {"": "0", "mixed": f"shl i64 {more}, 1", "parts": f"mul i64 {more}, {2 * PARTS}"}[kind]
        _next(f, f.at(rest, f.op(f"add i64 {f.op(length)}, 1")) if kind else rest)

    def _totals(self, f: Function) -> None:
        """Write the addition of products to totals."""
        writer = self._writer(f, self.code, True)
        count = f.load("i64", f.at("%pc", 1))
        with f.loop(count) as loop:
            entry = f.at("%pc", f.op(f"add i64 {f.op(f'mul i64 {loop.index}, 3')}, 2"))
            factors = [
                writer.parts(f.load(writer.kind, _operand(f, "%w", entry, place), self.align)) for place in (1, 2)
            ]
            writer.accumulate(_operand(f, "%a", entry, 0), list(zip(*factors, strict=True)))
        _next(f, f.at("%pc", f.op(f"add i64 {f.op(f'mul i64 {count}, 3')}, 2")))

    def _splat(self, f: Function) -> None:
        """Write scalars into all lanes."""
        count = f.load("i64", f.at("%pc", 1))
        with f.loop(count) as loop:
            entry = f.at("%pc", f.op(f"add i64 {f.op(f'shl i64 {loop.index}, 1')}, 2"))
            x = splat(f, f.load("double", _operand(f, "%s", entry, 1)), self.width)
            f.store(vector(self.width), x, _operand(f, "%w", entry, 0), self.align)
        _next(f, f.at("%pc", f.op(f"add i64 {f.op(f'shl i64 {count}, 1')}, 2")))


def _operand(f: Function, base: str, entry: str, place: int) -> str:
    """Return the address of what a word of the table says."""
    return f.at(base, f.load("i64", f.at(entry, place)), "i8")


def _next(f: Function, pc: str) -> None:
    """Go on with the next entry; the jump needs no stack."""
    f.do(f"musttail call void {f.load('ptr', pc)}(ptr {pc}, ptr %s, ptr %w, ptr %a)")
