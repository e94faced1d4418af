"""Define `GradientCall`, the operands for the driver `gradient`, the loop that computes the gradient of a program."""

from __future__ import annotations

from array import array

from ..data.columns import Numbers, address
from ..loops.places import WORD
from .drivers import GradientCallWords
from .executable import CompiledGraph, Executable, driver_address

NO_WORDS = array("q", bytes(WORD * len(GradientCallWords._fields)))
ROWS_WORD = GradientCallWords._fields.index("rows")


class GradientCall:
    """The code, the buffers and the operands that compute the mean output of one program and its gradient.

    The operands are those with which the drivers `fit` and `mean_gradient` call the driver `gradient`.

    Args:
        compiled: the program whose gradient is computed.
        rows: how many rows are computed at a time.
        threads: how many threads compute.

    Attributes:
        compiled: the program.
        executable: the code that is used now: threaded code (tables that shared kernels read) or native code.
        thread_buffers: the buffers of each thread.
        numbers: the rows' numbers, which the driver reads.
        panel: the size and the address of the first thread's panel, which is memory for the rows that are computed at
            a time.
        cost: about how many instructions the driver executes for a row.
        words: the operands, as `GradientCallWords`. The methods `renew` and `read` fill them in.
        address: the address of these words.
        work: about how many instructions the driver has executed, or will execute, for the program. The measured
            seconds are divided among several programs in this proportion.
    """

    def __init__(self, compiled: CompiledGraph, rows: int, threads: int = 1) -> None:
        self.compiled, self._rows = compiled, rows
        self.executable = compiled.select_executable("gradient", rows)
        self.thread_buffers = [self.executable.acquire() for _ in range(threads)]
        self.panel, self.cost = self._panel(), self._cost()
        self.words = NO_WORDS[:]
        self.address = address(self.words)
        self._filled: tuple[object, ...] = ()  # what the operands were last filled for
        self.numbers: Numbers = array("d")
        self.work = 0

    def read(self, numbers: Numbers) -> None:
        """Let the driver read the rows' numbers from `numbers`, which must live as long as the driver reads them."""
        # The function `address` gives the same number, but takes longer
        self.words[ROWS_WORD] = numbers.buffer_info()[0] if type(numbers) is array else address(numbers)
        self.numbers = numbers

    def upgrade(self, taken: float, left: float) -> None:
        """Add `taken` seconds to the running time of the code, and switch to faster code if compiling it is worthwhile.

        `left` is how many seconds training still takes, see `CompiledGraph.select_executable`. If it is 0, the code
        stays the same.
        """
        self.executable.seconds += taken
        if left:
            self._use(self.compiled.select_executable(self.executable.kind, self._rows, left))

    def use_gates(self) -> None:
        """Switch to code whose gradients have gates; see `instructions.gradient.differentiate`.

        Where no gradient reaches a node, a gate selects 0 instead of a partial derivative, which may be infinite.
        """
        if self.executable.kind != "gated":
            self._use(self.compiled.select_executable("gated", self._rows))

    def renew(self, panel: int, merged: bool) -> None:
        """Write the operands of the call: the addresses of the code that runs now, and of its buffers.

        Args:
            panel: the address of the panel, memory for the rows that are computed at a time, which all programs share.
            merged: whether the program is a merged one, which computes all branches.
        """
        executable = self.executable
        if self._filled == (filled := (executable.tables.fast, panel, merged)):
            return
        scalars, samples, totals = self.thread_buffers[0].addresses
        words = GradientCallWords(
            driver=driver_address("gradient", executable.lanes, executable.tables.fast),
            header=executable.header,
            rows=self.words[ROWS_WORD],
            scalars=scalars,
            panel=panel if executable.lanes > 1 else samples,
            totals=totals,
            gradient=scalars + WORD * self.compiled.padded_parameters,
            parameters=len(self.compiled.graph.parameters),
            spoiled=executable.spoiled_address(self.thread_buffers[0]),
            merged=merged,
        )
        self.words[:] = array("q", words)
        self._filled = filled

    def _use(self, executable: Executable) -> None:
        before, thread_buffers = self.executable, self.thread_buffers
        if executable is not before:
            self.executable, self.thread_buffers = executable, [executable.acquire() for _ in thread_buffers]
            self.panel, self.cost, self._filled = self._panel(), self._cost(), ()
            before.release(*thread_buffers)  # last, since Ctrl-C may come between two lines

    def _cost(self) -> int:
        return self.executable.plan.schedule.cost + 1

    def _panel(self) -> tuple[int, int]:
        panel = self.thread_buffers[0].panel
        return len(panel.view), panel.address
