"""Define `SubBatchCalls`, which computes the gradient of a mean in one call of machine code for several programs.

Samples of several lengths, for example, are nested in several ways, so each length has a program. To call each
program by itself from Python would take several times as long as the machine code runs.
"""

from __future__ import annotations

import time
from array import array
from collections.abc import Sequence
from functools import partial
from math import isnan

from ...graph import context
from ..data.columns import address
from ..data.rows import row_numbers
from ..data.samples import Bucket
from ..llvm.machine import Memory
from ..runtime.drivers import BatchWords
from ..runtime.executable import MAX_SCALAR_ROWS, driver, has_driver
from ..runtime.gradient_call import GradientCall
from ..runtime.prepared import CALLS_BETWEEN_CHECKS, may_prepare
from ..threads.background import BackgroundTasks
from .batch import MeanGradient
from .recording import Recording
from .store import RecordingStore

MAX_KNOWN = 1000  # the operands of so many programs are kept at most


class SubBatchCalls:
    """Compute the mean result and its gradient for samples that several programs compute.

    Several threads may use the object at the same time.

    Args:
        store: the recordings of the function.
    """

    def __init__(self, store: RecordingStore) -> None:
        self._store, self._calls, self._unused = store, 0, list[_Calls]()
        self._background, self._has_driver = BackgroundTasks(), False

    def gradient(self, name: str, buckets: Sequence[Bucket]) -> MeanGradient | None:
        """Return the mean result and its gradient. A bucket has samples whose arguments are nested alike.

        `name` is the method that needs the gradient, "backward" or "value_and_grad". Return None if there is one bucket
        only, if there were few calls, or if the programs have to be called one by one: where recordings are missing or
        have branches, where no program has all parameters, inside contexts such as `detect_anomaly()`, or if the mean
        is nan and the reason may be an index out of range.

        Raises:
            ValueError: a constant of a program requires a gradient now, or has other data now.
        """
        if len(buckets) == 1 or context.active:
            return None
        if not may_prepare(self._calls, self._is_driver_compiled):
            self._calls += 1
            return None
        try:
            calls = self._unused.pop()
        except IndexError:
            calls = _Calls(self._store)
        found = calls.gradient(name, buckets)
        self._unused.append(calls)
        return found

    def _is_driver_compiled(self) -> bool:
        """Return whether the driver `mean_gradient` is compiled. If not, begin to compile it in the background."""
        self._has_driver = self._has_driver or has_driver("mean_gradient", 1, fast=True)
        if not self._has_driver:
            self._background.do("driver", partial(driver, "mean_gradient"))
        return self._has_driver


class _Calls:
    """The operands of several programs, and memory for their gradient, which one thread uses at a time.

    Args:
        store: the recordings of the function.
    """

    def __init__(self, store: RecordingStore) -> None:
        self._store = store
        self._known: dict[tuple[Recording, bool], GradientCall] = {}  # the bool: whether rows are computed in lanes
        self._panel = Memory(1)  # for the rows that are computed at a time, by any of the programs
        self._gradient = Memory(1)  # with one more number, which is nan if the gradient has to be computed anew
        self._calls, self._next_check, self._seconds = 0, 1, 0.0

    def gradient(self, name: str, buckets: Sequence[Bucket]) -> MeanGradient | None:
        """Return the mean result and its gradient; None if the programs have to be called one by one.

        `SubBatchCalls.gradient` lists when this is so, and raises the same errors.
        """
        parameters, most, whole, has_indices = self._store.parameters, 0, None, False
        used, words, recordings = list[GradientCall](), array("q", BatchWords(0, len(buckets))), self._store.recordings
        for bucket in buckets:
            known = recordings.get((bucket.static, bucket.treedef), ())
            if len(known) != 1:
                return None
            [recording], rows = known, len(bucket.samples)
            call = self._known.get((recording, rows > MAX_SCALAR_ROWS)) or self._prepare(recording, rows)
            if call is None:
                return None
            program = recording.loss
            program.check_frozen(name)
            if (data := program.compiled.data).watched_nodes:
                data.check_constants()
            if not whole and len(program.parameters) == len(parameters) and program.reaches_all:
                whole = recording
            has_indices |= recording.has_indices
            call.read(bucket.numbers)
            call.work += call.cost * rows
            used.append(call)
            words.extend((call.address, 0, rows))  # as `SubBatchWords`
            words[0] += rows
            most = max(most, rows)
        if not whole or (name == "backward" and not whole.loss.has_trainable):
            return None
        numbers = whole.loss.compiled.data()
        if len(self._gradient.view) <= len(numbers):
            self._gradient = Memory(len(numbers) + 1)
        mean = self._run(used, words, row_numbers(most), numbers)
        if isnan(self._gradient.view[len(numbers)]):
            for call in used:
                call.use_gates()
            mean = self._run(used, words, row_numbers(most), numbers)
        self._check_tiers()
        if has_indices and isnan(mean):
            return None
        gradient = array("d", self._gradient.view[: len(numbers)].tobytes())
        return whole, whole.loss, 1.0, mean, gradient

    def _prepare(self, recording: Recording, rows: int) -> GradientCall | None:
        """Return a new prepared call of a recording's code for this many rows, or None if it cannot be prepared.

        It cannot be if the function has compared values, if it uses nodes that were computed before the call, or if it
        did not return a single number.
        """
        compiled = recording.loss.compiled
        if len(self._known) >= MAX_KNOWN:
            self._known.clear()
        if recording.guards.compiled or not recording.single or compiled.captured:
            return None
        found = self._known[recording, rows > MAX_SCALAR_ROWS] = GradientCall(compiled, rows)
        return found

    def _run(
        self, used: Sequence[GradientCall], words: array[int], index: array[int], parameters: array[float]
    ) -> float:
        """Return the mean result over the samples of a batch, and write its gradient to the memory `_gradient`.

        Args:
            used: the prepared calls of the programs, one for each bucket (the samples whose arguments are nested in the
                same way).
            words: integers that describe the batch to the driver: `BatchWords`, and `SubBatchWords` for each bucket.
            index: row indices 0, 1, 2, ..., at least as many as the largest bucket has rows.
            parameters: the data of the parameters.
        """
        largest = max([call.panel[0] for call in used])
        if len(self._panel.view) < largest:
            self._panel = Memory(largest)
        panel = self._panel.address
        for call in used:
            call.renew(panel, merged=False)
        run, begun = driver("mean_gradient"), time.perf_counter()
        n, to = len(parameters), self._gradient.address
        mean = run(address(index), address(words), address(parameters), to, n, to + 8 * n)
        self._seconds += time.perf_counter() - begun
        return float(mean)

    def _check_tiers(self) -> None:
        """Count this call. After enough calls, switch the programs for which it is worthwhile to native code."""
        self._calls += 1
        if self._calls < self._next_check:
            return
        self._calls, self._next_check = 0, min(2 * self._next_check, CALLS_BETWEEN_CHECKS)
        calls = [*self._known.values()]
        total = sum([call.work for call in calls])
        for call in calls:
            seconds = self._seconds * call.work / total
            call.upgrade(seconds, left=seconds)
            call.work = 0
        self._seconds = 0.0
