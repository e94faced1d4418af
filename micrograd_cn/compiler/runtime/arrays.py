"""Call programs with numpy arrays of shapes that were seen before, without reading how the arguments are nested.

Short lists of samples are read as columns, and then treated in the same way.

The numbers of the arrays are copied to memory that is kept from call to call. This is not worthwhile for large arrays:
to read how the arguments are nested then takes little time compared with the computation.
"""

from __future__ import annotations

import sys
from array import array
from collections.abc import Callable, Sequence
from functools import cache, cached_property
from itertools import chain
from math import prod
from typing import Any, TypeAlias

from ..data.columns import MAX_NUMBERS
from ..data.partition import nan_finder
from ..data.treedef import PYTHON_NUMBERS, ArrayDef, TreeDef
from ..loops.places import WORD
from .executable import CompiledGraph, Executable
from .prepared import PreparedRows, PreparedRunner

# A function is ready for this many combinations of shapes, and for more, up to MAX_KINDS, if their memory together has
# at most MAX_DOUBLES numbers
MAX_SHAPES, MAX_KINDS, MAX_DOUBLES = 8, 64, 1_000_000
# Lists with more numbers are read faster by `bucket_samples`. An array counts as one number for each hundred elements.
MAX_LISTED = 200
LARGEST_INT = 2**1000  # a smaller int is converted to a finite double
Shape: TypeAlias = "tuple[int, ...]"


class _ArrayRows(PreparedRows):
    """`PreparedRows` whose numbers are written from arrays.

    Attributes:
        parts: for each argument, the part of the rows' numbers that belongs to the argument, as an array that has the
            argument's shape.
        results: an array with the outputs of the rows, or with the mean output if a gradient is computed.
    """

    def __init__(
        self,
        compiled: CompiledGraph,
        executable: Executable,
        shapes: Sequence[Shape],
        of_result: Shape,
        nan_stride: int,
    ) -> None:
        import numpy as np

        n, widths = shapes[0][0], [prod(shape[1:]) for shape in shapes]
        super().__init__(compiled, executable, n)
        numbers, end = np.frombuffer(self.numbers).reshape(n, sum(widths)), 0
        self.parts = []
        for shape, width in zip(shapes, widths, strict=True):
            self.parts.append(numbers[:, end : end + width].reshape(shape))
            end += width
        self.results = np.frombuffer(self.out)
        if executable.kind == "forward":
            self.results = self.results.reshape(n, *of_result)
        self._nan_stride = nan_stride

    @cached_property
    def finds_nan(self) -> Callable[[], bool]:
        """A function that looks at every k-th output, from the first one on, and returns whether one of these is nan.

        k is the `nan_stride` of the `ArrayRunner`. If it is 0, the function looks at no output, and returns False.
        """
        return nan_finder(self.out, self._nan_stride) if self._nan_stride else bool


class ArrayRunner(PreparedRunner):
    """Compute a graph for samples that are passed in numpy arrays, which have the same shapes at each call.

    If there is a single sample, an argument may be a number in the place of an array with one number.

    Args:
        compiled: the compiled graph that computes the samples.
        kind: "forward" to compute the outputs of every sample, "gradient" to compute the mean output and its gradient.
        shapes: the shape of each argument's array. The first axis runs over the samples.
        of_result: the shape of the result of a sample; () for a number.
        nan_stride: k if the method `finds_nan` of the rows looks at every k-th output, beginning with the first one; 0
            if it looks at none.
    """

    def __init__(
        self, compiled: CompiledGraph, kind: str, shapes: Sequence[Shape], of_result: Shape, nan_stride: int = 0
    ) -> None:
        super().__init__(compiled, kind, shapes[0][0])
        self._shapes, self._of_result, self._nan_stride = shapes, of_result, nan_stride

    def _prepare(self, executable: Executable) -> PreparedRows:
        return _ArrayRows(self._compiled, executable, self._shapes, self._of_result, self._nan_stride)

    def computed(self, arrays: Sequence[Any]) -> Any:
        """Copy the numbers of the arrays to `PreparedRows`, compute their outputs, and return these rows.

        The caller reads the outputs from the rows, and then passes the rows to `release`.
        """
        rows: Any
        try:  # `acquire`, inlined for speed
            rows = self._unused.pop()
        except IndexError:
            rows = self.acquire()
        for part, x in zip(rows.parts, arrays, strict=True):
            part[...] = x
        self.run(rows)
        return rows

    def mean_gradient(self, arrays: Sequence[Any]) -> tuple[float, array[float]]:
        """Return the mean output for the samples in `arrays`, and its gradient. The kind must be "gradient"."""
        rows = self.computed(arrays)
        mean, gradient = float(rows.out[0]), array("d", rows.gradients.tobytes())
        self.release(rows)
        return mean, gradient


def shapes_of(arrays: Sequence[Any], may_be_numbers: bool = False) -> tuple[Shape, ...] | None:
    """Return the shapes of arguments, if all are numpy arrays of real numbers of at most 8 bytes, otherwise None.

    If `may_be_numbers` is true, some of the arguments may be floats, or integers of at most 1000 bits. Their shape is
    (). None is returned, too, if numpy was not imported.

    >>> import numpy
    >>> shapes_of([numpy.zeros((5, 2)), numpy.zeros(5, int)]), shapes_of([numpy.zeros(5), [1.0]])
    (((5, 2), (5,)), None)
    >>> shapes_of([numpy.zeros(5), 1.0, 7], may_be_numbers=True)
    ((5,), (), ())
    """
    if not (numpy := sys.modules.get("numpy")):
        return None
    array_kind, found = numpy.ndarray, []
    for x in arrays:
        kind = type(x)
        if kind is array_kind and ((dtype := x.dtype).char == "d" or (dtype.kind in "fiub" and dtype.itemsize <= WORD)):
            found.append(x.shape)
        elif may_be_numbers and (kind in _number_types() or (kind is int and -LARGEST_INT < x < LARGEST_INT)):
            found.append(())
        else:
            return None
    return tuple(found)


@cache
def _number_types() -> frozenset[type]:
    """Return the types of numbers that can be assigned to the elements of an array of doubles without an error.

    An int is not among them, because it may be too large.
    """
    import numpy as np

    integers = [np.dtype(code).type for code in np.typecodes["AllInteger"]]
    return frozenset([float, bool, np.bool_, np.float64, np.float32, np.float16, *integers])


def columns_of_list(samples: list[Any]) -> tuple[tuple[Any, ...], tuple[Shape, ...], tuple[TreeDef, ...]] | None:
    """Return the columns of samples that are a list of tuples, their shapes, and the treedefs of the arguments.

    The column of an argument has what the argument is in each sample: numbers, or lists of numbers that are equally
    long, or numpy arrays of doubles of one shape. Its shape is that of an array with the same numbers. Return None for
    other samples, for more than `MAX_LISTED` numbers, or if numpy was not imported.

    >>> import numpy
    >>> columns, shapes, treedefs = columns_of_list([([1.0, 2.0], 3), ([4.0, 5.0], 6.0)])
    >>> columns[0].tolist(), columns[1], shapes, treedefs
    ([[1.0, 2.0], [4.0, 5.0]], (3, 6.0), ((2, 2), (2,)), ((<class 'list'>, 2), None))
    """
    numpy = sys.modules.get("numpy")
    if not numpy or not 0 < len(samples) <= MAX_LISTED or type(samples[0]) not in (tuple, list):
        return None
    # Look at the first sample before all of them, since other calls shall not become slower
    sizes = [len(x) if type(x) is list else 1 + x.size // 100 if type(x) is numpy.ndarray else 1 for x in samples[0]]
    if len(samples) * sum(sizes) > MAX_LISTED or not {*map(type, samples)} <= {tuple, list}:
        return None
    if len({*map(len, samples)}) != 1:
        return None
    n, shapes, treedefs, columns = len(samples), list[Shape](), list[TreeDef](), list[Any]()
    kinds_of_numbers = PYTHON_NUMBERS | {numpy.float64, numpy.int64}
    for column in zip(*samples, strict=True):
        first = column[0]
        numbers: Sequence[Any] = column
        if type(first) is list:
            if {*map(type, column)} != {list} or len({*map(len, column)}) != 1:
                return None
            numbers = [*chain.from_iterable(column)]
            shapes.append((n, len(first)))
            treedefs.append((list, len(first)))
        elif type(first) is numpy.ndarray:
            if first.ndim == 0 or any(type(x) is not numpy.ndarray or x.shape != first.shape for x in column):
                return None
            if any(x.dtype.char != "d" for x in column):
                return None
            shapes.append((n, *first.shape))
            treedefs.append(ArrayDef(first.shape, True))
            columns.append(column)
            continue
        else:
            shapes.append((n,))
            treedefs.append(None)
        if not (kinds := {*map(type, numbers)}) <= kinds_of_numbers:
            return None
        if int in kinds and not all(-LARGEST_INT < x < LARGEST_INT for x in numbers if type(x) is int):
            return None
        # numpy would take several times as long to convert nested lists
        columns.append(numbers if numbers is column else numpy.array(array("d", numbers)).reshape(shapes[-1]))
    return tuple(columns), tuple(shapes), tuple(treedefs)


def treedef_of_shapes(
    names: Sequence[str], shapes: Sequence[Shape], collecting: str = "", inside: tuple[TreeDef, ...] | None = None
) -> TreeDef | None:
    """Return the treedef of a sample, which says how its arguments are nested, if the samples are in arrays.

    `names` has the names of the arguments, and `shapes` the shape of each argument's array. The first axis of an array
    runs over the samples. If one argument collects all others in a tuple, as `*args` does, its name is `collecting`.
    If the samples are in a list instead, `inside` has the treedef of each argument.

    Return None if the arrays shall not be copied: because an argument is missing or is a number, or because the arrays
    have different counts of samples, no samples, or more than MAX_NUMBERS numbers in all.
    """
    if not all(shapes) or len({shape[0] for shape in shapes}) != 1:
        return None
    if not 0 < sum(map(prod, shapes)) <= MAX_NUMBERS:
        return None
    if inside is None:
        inside = tuple([ArrayDef(shape[1:], True) if shape[1:] else None for shape in shapes])
    if collecting:
        return ((collecting, (tuple, len(inside) if inside.count(None) == len(inside) else inside)),)
    return tuple(zip(names, inside, strict=True)) if len(names) == len(shapes) else None
