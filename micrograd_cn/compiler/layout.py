"""Where the values of instructions are kept; what code for them has in common, be it for a processor or threaded.

Memory is three arrays of doubles. `%s` holds scalars: the parameters, their gradients, constants, totals, and what is
computed once a batch. `%w` holds samples, `width` lanes a slot. `%a` holds for each total a native vector, into which
the samples' contributions are added.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from .instructions import CONSTANT, LONG, SAMPLE, Lowering, Pair, below
from .text import Function

ARGUMENTS = "ptr noalias %s, ptr noalias %w, ptr noalias %a"


class Layout:
    """Places for some instructions and all that they need, and the text that computes them.

    Args:
        code: the instructions.
        roots: those whose values are wanted; they are kept in memory.
        width: lanes.
        native: lanes of the machine's own vectors.
        first: the first free place in `%s`; parameters have the first places.
        slots: how many slots of `%w` the inputs have.
        totals: what is added up over the samples: instructions, or pairs of which the product is.
        fused: whether a product and a sum are rounded once, together, where the instruction allows it.

    Attributes:
        scalar: an instruction's place in `%s`.
        slot: an instruction's slot of `%w`.
        constants: what `%s` holds from the start.
        calls: for each phase the lines that compute it.
        functions: the text of the functions that they call.
        tables: the text of constants.
        called, called_on_vectors: C's functions and intrinsics, and how many operands they have.
    """

    def __init__(
        self,
        code: Lowering,
        roots: Sequence[int],
        width: int,
        native: int,
        first: int,
        slots: int,
        *,
        totals: Sequence[tuple[int, ...]] = (),
        fused: bool = False,
    ) -> None:
        self.code = code
        self.totals = totals
        self.width = width
        self.native = native
        self.align = 8 * native  # of vectors in %w and %a, which begin at multiples of 64
        self.free = first
        self.slots = slots
        self.fused = fused
        self.scalar: dict[int, int] = {}
        self.slot: dict[int, int] = {}
        self.constants: dict[int, float] = {}
        self.calls: dict[int, list[str]] = {}
        self.functions: list[str] = []
        self.tables: list[str] = []
        self.called: dict[str, int] = {}
        self.called_on_vectors: dict[str, int] = {}
        self.total_at = self._take(-(-len(totals) // native) * native)
        self.seed: int | None = None  # the slot of what the gradient starts from

        self.needed = sorted(below(code, [*roots, *(i for factors in totals for i in factors)]))
        for i in self.needed:
            kind, *rest = code.code[i]
            if kind == "parameter":
                self.scalar[i] = rest[0]
            elif kind == "input":
                self.slot[i] = rest[0]
            elif kind == "total":
                self.scalar[i] = self.total_at + rest[0]
            elif kind == "seed":
                self.slot[i] = self.seed = self._slots(1)

    def _take(self, count: int) -> int:
        self.free += count
        return self.free - count

    def _slots(self, count: int) -> int:
        self.slots += count
        return self.slots - count

    def _keep(self, i: int) -> None:
        if self.code.phase[i] == SAMPLE:
            if i not in self.slot:
                self.slot[i] = self._slots(1)
        elif i not in self.scalar:
            self.scalar[i] = self._take(1)
            if self.code.phase[i] == CONSTANT:
                self.constants[self.scalar[i]] = self.code.code[i][1]

    def split(self, i: int) -> tuple[list[Pair], list[Pair]]:
        """Return a sum's products that are computed in a loop, the samples' factors on the right, and the others."""
        phase = self.code.phase
        pairs = [(b, a) if phase[a] == SAMPLE != phase[b] else (a, b) for a, b in self.code.code[i][1]]
        mixed = [p for p in pairs if phase[p[0]] != SAMPLE]
        alike = [p for p in pairs if phase[p[0]] == SAMPLE]
        if len(mixed) >= LONG:
            return mixed, alike
        return (alike, mixed) if len(alike) >= LONG else ([], pairs)

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
