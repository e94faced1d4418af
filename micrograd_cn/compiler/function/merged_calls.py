"""Define `MergedCalls`, which lets one program that computes all branches compute the methods of a function.

Such a program is merged from several recordings; see `MergedRecordings`. Where it cannot give the right result, its
first output or its gradient is nan, and the rows have to be sorted by their branches.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any

from ...engine import Value
from ...graph import context
from ..data.arrays import FlatNumbers
from ..data.nodes import some_frozen
from ..data.partition import has_nan
from ..data.rows import as_result, row_numbers
from ..data.samples import Bucket
from ..data.treedef import numpy_like
from ..program import Program
from ..wrt import unfrozen
from .batch import MeanGradient, SubBatch
from .merged import MergedRecordings
from .store import RecordingStore
from .variables import GradientVariables


class MergedCalls:
    """Run a function's methods by a merged program, which computes all branches.

    Each method returns None if there is no such program, or if it cannot give the right result.

    Args:
        store: the recordings of the function.
    """

    def __init__(self, store: RecordingStore) -> None:
        self._store = store

    def gradient(self, name: str, buckets: Sequence[Bucket], threads: int) -> MeanGradient | None:
        """Let a merged program, which computes all branches, compute the mean result and its gradient for all samples.

        `name` is the method that needs the gradient. Return None if there is no such program, or if it cannot be used;
        see `MergedRecordings.mean_gradient`.
        """
        merged = self._merged_where(buckets)
        n = len(buckets[0].samples)
        if not (merged and (program := merged.loss(n))):
            return None
        compute = functools.partial(program.compiled.gradient_of, buckets[0].numbers, row_numbers(n), threads)
        return merged.mean_gradient(name, program, compute)

    def derivatives(
        self, variables: GradientVariables, buckets: Sequence[Bucket], threads: int
    ) -> list[SubBatch] | None:
        """Let a merged program compute the value and the gradient of every sample, in one `SubBatch`.

        A merged program computes all branches. Return None if there is no such program, if a value is nan, or if a
        constant requires a gradient now, so the gradient may have to be refused.
        """
        merged = self._merged_where(buckets)
        if not merged or (not variables.arguments and merged.has_unfrozen_constant()):
            return None
        [bucket], first = buckets, merged.recordings[0]
        rows = row_numbers(len(bucket.samples))
        wrt = functools.partial(variables.in_program, parameters=self._store.parameters)
        program = merged.derivative("value_and_grad", wrt, variables.key_for(self._store.parameters), len(rows))
        if not program or (numbers := _numbers(program, bucket, threads)) is None:
            return None
        return [SubBatch(first, bucket, rows, numbers)]

    def results(self, name: str, wrt: Any, buckets: Sequence[Bucket], samples: Any, threads: int, out: Any) -> Any:
        """Return the results of `forward` or `gradient` that a merged program computes for all samples.

        A merged program computes all branches. `name` is the method, and `wrt`, `samples`, `threads` and `out` are its
        arguments; `buckets` has the samples as rows of numbers. Return None if there is no such program, if a result is
        nan, or if a gradient may have to be refused because a constant requires one now.
        """
        if not (merged := self._merged_where(buckets)):
            return None
        [bucket] = buckets
        n = len(bucket.samples)
        program = None
        if name == "forward":
            program = merged.forward(n)
        elif name == "gradient":
            if wrt != "inputs" and merged.has_unfrozen_constant():
                return None
            if wrt == "parameters" and some_frozen(self._store.parameters):
                wrt = unfrozen(self._store.parameters)
            elif not isinstance(wrt, str) and any(isinstance(x, Value) and not x.requires_grad for x in wrt):
                return None  # the code that sorts the rows by their branches raises the error
            key = wrt if isinstance(wrt, str) else tuple(wrt)
            program = merged.derivative("gradient", functools.partial(self._store.wrt_of, "gradient", wrt), key, n)
        if not program or (numbers := _numbers(program, bucket, threads)) is None:
            return None
        width, first = len(program.outputs), merged.recordings[0]
        if out is not None:
            return as_result(numbers, (), None, out)
        rows = memoryview(numbers).cast("B").cast("d", (n,) if program.has_one_output else (n, width))
        found = numpy_like(samples, rows)
        if found is rows:
            found = rows.tolist()
        return first.nested_results(found) if name == "forward" and not first.single else found

    def _merged_where(self, buckets: Sequence[Bucket]) -> MergedRecordings | None:
        """Return the merged recordings that may compute all samples. Return None if there are none.

        There are none if the samples are nested in several ways, or if the call is inside `no_grad()` or
        `detect_anomaly()`.
        """
        if len(buckets) != 1 or context.active:
            return None
        store, bucket = self._store, buckets[0]
        return store.merged_of(store.recordings.get((bucket.static, bucket.treedef), ()))


def _numbers(program: Program, bucket: Bucket, threads: int) -> FlatNumbers | None:
    """Return the outputs of a merged program for all rows of a bucket, or None if the first output of any row is nan.

    A merged program computes all branches of a function, and a bucket has samples whose arguments are nested alike.
    """
    numbers = program.flat(bucket.numbers, len(bucket.samples), threads)
    return None if has_nan(numbers, len(program.outputs)) else numbers
