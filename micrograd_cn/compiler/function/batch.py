"""Define `SubBatch`, the samples of a batch that one recording computes, and join the results of several."""

from __future__ import annotations

import sys
from array import array
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain
from math import prod
from typing import Any, NamedTuple, TypeAlias

from ...engine import Value
from ...ops.number import number_or_none
from ...parameters.tree import flatten
from ..data.arrays import FlatNumbers
from ..data.partition import at_indices, scatter_rows
from ..data.rows import row_numbers, writable_address
from ..data.samples import Bucket, select_rows
from ..data.treedef import numpy_like
from ..program import Program
from .recording import Recording
from .store import RecordingStore

# The mean result over some samples of a batch, and the gradient of this mean: the recording of the samples, or the
# first one if several are merged; the program that has computed them; the share of the samples in the batch; the mean;
# and its derivatives with respect to the program's parameters.
MeanGradient: TypeAlias = "tuple[Recording, Program, float, float, array[float]]"


class SubBatch(NamedTuple):
    """The samples of a batch that one recording computes.

    Attributes:
        recording: the recording that computes the samples.
        bucket: the bucket of these samples. A bucket has samples whose arguments are nested alike, as rows of numbers.
        rows: the indices of the rows of the bucket that the recording computes.
        computed: the value and the gradient of each row, one row after the other, if a merged program, which computes
            all branches, has computed them already; otherwise None.
    """

    recording: Recording
    bucket: Bucket
    rows: array[int]
    computed: FlatNumbers | None = None

    @property
    def numbers(self) -> Any:
        """The rows, as a matrix that a program reads."""
        return select_rows(self.bucket, self.rows)

    @property
    def positions(self) -> array[int]:
        """The positions of the rows' samples in the batch."""
        return at_indices(self.bucket.samples, self.rows)


def sub_batches_of(store: RecordingStore, buckets: Iterable[Bucket], threads: int) -> Iterator[SubBatch]:
    """Yield sub-batches of the samples, each computed by one recording. Recordings that are missing are made."""
    for bucket in buckets:
        for recording, rows in store.dispatch(bucket, row_numbers(len(bucket.samples)), threads):
            yield SubBatch(recording, bucket, rows)


def numpy_of(samples: Any) -> Any:
    """Return the module numpy if all samples are in numpy arrays, one for each argument, and otherwise None.

    In a tuple with at least one array, there may be numbers, which are the same for all samples.
    """
    if not (numpy := sys.modules.get("numpy")):
        return None
    entries, kind, found = samples if isinstance(samples, tuple) else (samples,), numpy.ndarray, None
    for x in entries:  # no generator, for speed
        if isinstance(x, kind):
            found = numpy
        elif isinstance(x, (list, tuple, Value)) or number_or_none(x) is None:
            return None
    return found


def joined(method: str, name: str, parts: Sequence[tuple[array[int], Any]], samples: Any, out: Any, numpy: Any) -> Any:
    """Return the results of all samples in the order of the samples.

    Args:
        method: the name of the method that has computed the results, for messages.
        name: the name of the function, for messages.
        parts: pairs of the positions of some samples in the batch, and the results of these.
        samples: the samples, as the user has passed them.
        out: a buffer of doubles for the results, which is returned, or None.
        numpy: the module numpy if the results are to be a numpy array where this is possible, otherwise None.

    Raises:
        ValueError: `out` does not have as many numbers as all results have together, or is passed although the results
            of samples differ in size.
    """
    n = sum(len(positions) for positions, _ in parts)
    if numpy and (made := scattered(parts, n, out, numpy)) is not None:
        return made
    results: list[Any] = [None] * n
    for positions, found in parts:
        for position, result in zip(positions, found, strict=True):
            results[position] = result
    if out is None:
        return numpy_like(samples, results)
    numbers = [[x for _, x in flatten(result)[0]] for result in results]
    if len({*map(len, numbers)}) > 1:
        raise ValueError(f"{method}(): the results of {name} have different sizes, so they cannot be rows of out")
    if writable_address(out, sum(map(len, numbers))):
        memoryview(out).cast("B")[:] = array("d", chain.from_iterable(numbers)).tobytes()
    return out


def scattered(parts: Sequence[tuple[array[int], Any]], n: int, out: Any, numpy: Any) -> Any:
    """Return the results of n samples in the order of the samples, as one array, or return None.

    Args:
        parts: pairs of the indices of some samples, and the results of these.
        n: how many samples there are.
        out: a buffer of doubles for the results, which is returned; None for a new numpy array.
        numpy: the module numpy.

    Returns: the results; None if there are no parts, or if some results are not numpy arrays or differ in shape.
    """
    if not parts or not all(isinstance(found, numpy.ndarray) for _, found in parts):
        return None
    [shape, *others] = {found.shape[1:] for _, found in parts}
    if others:
        return None
    width = prod(shape)
    result = numpy.empty((n, *shape)) if out is None else out
    writable_address(result, n * width)
    for positions, found in parts:
        scatter_rows(result, found, positions, width)
    return result


def auxiliary(sub_batches: Sequence[SubBatch], threads: int) -> list[Any]:
    """Return the auxiliary results of all samples: the second items of the pairs that the function returns."""
    found: list[Any] = [None] * sum(len(sub_batch.rows) for sub_batch in sub_batches)
    for sub_batch in sub_batches:
        recording = sub_batch.recording
        outputs = recording.program.forward(sub_batch.numbers, threads)
        rows = outputs if isinstance(outputs, list) else outputs.tolist()
        for position, result in zip(sub_batch.positions, recording.auxiliary(rows), strict=True):
            found[position] = result
    return found


def mean_matrix(found: Sequence[tuple[int, Any]], dense: bool, out: Any) -> Any:
    """Return the mean of the Hessians that several programs computed, weighted by the counts of their samples.

    `found` has a pair for each program: the number of its samples, and the mean of their Hessians. `dense` says whether
    the Hessians are whole matrices, and `out` is the buffer for the result that the user has passed, or None.

    Raises:
        ValueError: `dense` is False or there is an `out`, since neither is possible with several programs; or the
            Hessians have different shapes.
    """
    if not dense or out is not None:
        raise ValueError(
            "hessian(): the samples have several programs, whose entries differ; with mean=True, write dense=True "
            "without out="
        )
    n = sum(count for count, _ in found)
    matrices = [(count / n, [list(row) for row in matrix]) for count, matrix in found]
    if len({(len(matrix), *map(len, matrix)) for _, matrix in matrices}) > 1:
        raise ValueError(
            "hessian(): the samples have different numbers of variables, so their Hessians have no mean; write "
            'wrt="parameters"'
        )
    total = [
        [sum(weight * matrix[i][j] for weight, matrix in matrices) for j in range(len(row))]
        for i, row in enumerate(matrices[0][1])
    ]
    return total if isinstance(found[0][1], list) else sys.modules["numpy"].array(total)
