"""Write the operations of straight-line LLVM code, with formulas, which stand for several instructions."""

from __future__ import annotations

from collections.abc import Sequence

from ..instructions.code import FORMULAS
from ..instructions.straight_line import StraightLineWriter
from .lanes import Lanes
from .text import Function


class StraightLineLanes(Lanes):
    """Write operations in a basic block, in which equal operations are written only once.

    The instructions of formulas are written one after the other, so formulas share common subexpressions.

    >>> from .text import Function
    >>> f = Function("f", "double %x", "double")
    >>> lanes = StraightLineLanes(f, 1, fused=False)
    >>> lanes.apply("fneg", ["%x"]), lanes.apply("fneg", ["%x"])
    ('%v0', '%v0')
    """

    def __init__(self, f: Function, count: int, fused: bool) -> None:
        super().__init__(f, count, fused)
        self._computed: dict[tuple[str, ...], str] = {}

    def compare(self, opcode: str, xs: Sequence[str]) -> str:
        """Return the mask of a comparison such as "fcmp olt", with one bit for each lane."""
        key = (opcode, *xs)
        if key not in self._computed:
            self._computed[key] = super().compare(opcode, xs)
        return self._computed[key]

    def operation(self, opcode: str, xs: Sequence[str]) -> str:
        """Apply an opcode, which may be a formula, to the vectors `xs`, and return the name of the result."""
        key = (opcode, *xs)
        if key not in self._computed:
            self._computed[key] = self._formula(opcode, xs) if opcode in FORMULAS else super().operation(opcode, xs)
        return self._computed[key]

    def _formula(self, opcode: str, xs: Sequence[str]) -> str:
        code, result = FORMULAS[opcode]
        writer = StraightLineWriter(self, code)
        writer.names.update(enumerate(xs))
        writer.write_all(range(len(xs), len(code.instructions)))
        return writer.name_of(result)
