"""Find touched totals: the gradients of tables, of which a batch touches only the rows that its samples take.

A word embedding is a table of parameters. For each sample, `take` selects one row of it, so all other rows have the
gradient 0. Touched totals are the totals of such scatters if each of them, divided by the number of samples, is the
gradient of a parameter. They lie in memory as the parameters do, in blocks of as many as a vector has lanes. The
scatters note which blocks they add to. All other blocks are 0, so nothing need be done for them: they are neither
cleared before the next batch, nor divided, nor copied, and an update that a gradient of 0 does not change leaves their
parameters alone; see `runtime.drivers`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ..instructions.code import Code, Scatter
from .places import WORD
from .strides import stride

MIN_TOUCHED = 512  # for fewer totals, it takes no longer to do everything for all of them


@dataclass(frozen=True)
class Touched:
    """The touched totals of a program.

    Attributes:
        place: a dict from the index of each of these totals in `Lowering.totals` to the index of its parameter.
        scatters: the scatters that add to these totals.
        blocks: how many blocks the parameters have.
        lanes: how many parameters a block has.
        always: the blocks with at least one parameter whose gradient is not a touched total.
    """

    place: dict[int, int]
    scatters: frozenset[Scatter]
    blocks: int
    lanes: int
    always: list[int]

    @property
    def list_words(self) -> int:
        """How many words a list of blocks takes: its count, and the blocks. The kernels write one further word."""
        return self.blocks + 2

    @property
    def words(self) -> int:
        """How many words of memory are needed for the totals, as many gradients, two lists of blocks, and flags.

        There is a flag for each block, which is a byte.
        """
        return 2 * self.blocks * self.lanes + 2 * self.list_words + -(-self.blocks // WORD)


def touched_totals(
    scatters: Sequence[Scatter], code: Code, gradients: Sequence[int], padded: int, lanes: int
) -> Touched | None:
    """Return the touched totals of a program: the gradients of tables from which each sample takes some rows.

    Return None if there are fewer than `MIN_TOUCHED`.

    Args:
        scatters: the program's scatters.
        code: the program's instructions.
        gradients: the instruction number of each parameter's gradient, or -1 if it is not computed; empty if the
            program computes no gradient.
        padded: how many places the parameters have in memory, a multiple of `lanes`.
        lanes: how many parameters a block has.
    """
    if not scatters or len(gradients) < MIN_TOUCHED:
        return None
    computed = [(k, code.instructions[i]) for k, i in enumerate(gradients) if i >= 0]
    parameter_of = {total: k for k, (opcode, total, *_) in computed if opcode == "mean"}
    place: dict[int, int] = {}
    found: list[Scatter] = []
    for scatter in scatters:
        places = [parameter_of.get(total, -1) for total in scatter.totals]
        if min(places) >= 0 and (stride(places) or 0) > 0:
            found.append(scatter)
            place.update(zip(scatter.totals, places, strict=True))
    if len(place) < MIN_TOUCHED:
        return None
    touched, count = {*place.values()}, [0] * (padded // lanes)
    for k in touched:
        count[k // lanes] += 1
    held = [min(lanes, max(len(gradients) - lanes * block, 0)) for block in range(len(count))]
    always = [block for block, (n, of) in enumerate(zip(count, held, strict=True)) if n < of]
    return Touched(place, frozenset(found), len(count), lanes, always)
