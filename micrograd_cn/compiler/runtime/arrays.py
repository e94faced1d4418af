"""Call programs with numpy arrays of shapes that were seen before, without reading how the arguments are nested.

Short lists of samples, which may have arrays in them, are treated in the same way.

The numbers of small arrays are copied to memory that is kept from call to call, and large arrays are read where they
are. Nothing is prepared for very large ones: to read how the arguments are nested then takes little of the time.
"""

from __future__ import annotations

import ctypes
import sys
from array import array
from collections.abc import Callable, Iterable, Sequence
from functools import cache, lru_cache
from itertools import chain
from math import prod
from typing import Any, NamedTuple, TypeAlias

from ..data.alike import have_other_shapes, is_sequence, keys_of_all
from ..data.array_reader import COLUMN, CONVERTED, DOUBLES, REFERENCED, Argument, array_reader
from ..data.columns import ColumnTable, address
from ..data.partition import has_nan, nan_finder, nan_finder_is_ready
from ..data.treedef import PYTHON_NUMBERS, ArrayDef, TreeDef
from ..loops.places import WORD
from ..threads.forks import cached_property
from .executable import CompiledGraph, Executable
from .prepared import PreparedRows, PreparedRunner

# A function is ready for this many combinations of shapes, and for more, up to MAX_KINDS, if their memory together has
# at most MAX_DOUBLES numbers
MAX_SHAPES, MAX_KINDS, MAX_DOUBLES = 8, 64, 1_000_000
# With more numbers, reading how arguments are nested takes little of the time; copying more results takes as long.
MAX_PREPARED, MAX_RESULTS = 1_000_000, 100_000
MIN_REFERENCED = 4000  # an array with so many numbers is read where it is, which is faster than to copy it
# Lists with more numbers are read faster by `bucket_samples`. An array counts as one number for each hundred elements.
MAX_LISTED = 200
MAX_READ_SINGLY = 8  # the numbers of more samples than these are copied argument by argument, which is faster then
COLLECTIONS = frozenset([list, tuple, dict])  # an argument in a list of samples may be one of these
LARGEST_INT = 2**1000  # a smaller int is converted to a finite double
Shape: TypeAlias = "tuple[int, ...]"


class _ArrayRows(PreparedRows):
    """`PreparedRows` whose numbers are written from arrays, and whose outputs can be read as an array.

    The arguments are those of `ArrayRunner`, except that `executable` is the code to run, and that `interleaved` says
    whether the numbers of a sample are one after the other in memory. If not, each argument has an array of its own.

    Attributes:
        read: a function that copies arrays to the memory of the rows, and returns whether it could; see
            `prepare_reader`.
    """

    def __init__(
        self,
        compiled: CompiledGraph,
        executable: Executable,
        shapes: Sequence[Shape],
        of_result: Shape,
        nan_stride: int,
        interleaved: bool,
    ) -> None:
        self._shapes, self._of_result, self._nan_stride = shapes, of_result, nan_stride
        self._interleaved = interleaved
        self._find_nan: Callable[[], bool] | None = None if nan_stride else bool
        super().__init__(compiled, executable, shapes[0][0])
        self.read: Callable[[object], bool] = _reads_nothing

    def _memory(self, n: int, width: int) -> tuple[Any, int]:
        if self._interleaved:
            return super()._memory(n, width)
        table = ColumnTable([prod(shape[1:]) for shape in self._shapes])
        return table, sum([size for size in map(prod, self._shapes) if size < MIN_REFERENCED])

    @cached_property
    def parts(self) -> list[Any]:
        """An item for each argument: `item[...] = x` copies the argument's array `x`, or makes the item refer to it."""
        import numpy as np

        if not self._interleaved:
            return [self._place(k, shape, np) for k, shape in enumerate(self._shapes)]
        widths, parts, end = [prod(shape[1:]) for shape in self._shapes], [], 0
        numbers = np.frombuffer(self.numbers).reshape(self._shapes[0][0], sum(widths))
        for shape, width in zip(self._shapes, widths, strict=True):
            parts.append(numbers[:, end : end + width].reshape(shape))
            end += width
        return parts

    def _place(self, k: int, shape: Shape, numpy: Any) -> Any:
        """Return item `k` of the attribute `parts`: an array of this shape, or a `_Reference` if it is large."""
        if prod(shape) >= MIN_REFERENCED:
            return _Reference(self.numbers, k)
        part = numpy.empty(shape)
        self.numbers[k] = part.ctypes.data
        return part

    def prepare_reader(self, is_listed: bool) -> None:
        """Replace the attribute `read` by machine code that copies the numbers of arrays, if this code is compiled.

        Large arrays are not copied: the code notes where they are. `read` takes a tuple of all arrays or, if
        `is_listed` is set, the only sample, a tuple of arrays and floats. It returns whether it could read them. If the
        rows are interleaved, there must be only one row.
        """
        first, arguments = 0, list[Argument]()
        for k, shape in enumerate(self._shapes):
            if is_listed:
                expected, kind = shape[1:] or None, DOUBLES
            else:
                expected, kind = shape, COLUMN if len(shape) == 1 else CONVERTED
            if self._interleaved:
                arguments.append(Argument(expected, address(self.numbers) + WORD * first, kind))
                first += prod(shape)
            elif isinstance(part := self.parts[k], _Reference):
                arguments.append(Argument(expected, self.numbers.address_of(k), REFERENCED))
            else:
                arguments.append(Argument(expected, part.ctypes.data, kind))
        self.read = array_reader(arguments, self.numbers, self.parts) or _reads_nothing

    @cached_property
    def results(self) -> Any:
        """An array with the outputs of the rows. Its first axis runs over the rows."""
        import numpy as np

        return np.frombuffer(self.out).reshape(self._shapes[0][0], *self._of_result)

    def listed_results(self) -> list[Any]:
        """Return the output of each row in a list; if a row has several outputs, they are in lists, too."""
        numbers: list[Any] = self.out.tolist()
        for length in self._of_result[::-1]:
            numbers = [numbers[k : k + length] for k in range(0, len(numbers), length)]
        return numbers

    def finds_nan(self) -> bool:
        """Look at every k-th output, from the first one on, and return whether one of these is nan.

        k is the `nan_stride` of the `ArrayRunner`. If it is 0, look at no output, and return False.
        """
        if (find := self._find_nan) is None:
            if not nan_finder_is_ready():
                return has_nan(self.out, self._nan_stride)
            find = self._find_nan = nan_finder(self.out, self._nan_stride)
        return find()


def _reads_nothing(arrays: object) -> bool:
    return False


class _Reference:
    """The entry `k` of a `ColumnTable`, for a large array, which machine code reads where it is.

    `reference[...] = x` writes the address of the array `x` to the table. Whoever assigns an array keeps it alive until
    the rows are computed. If `x` has numbers of another type or order, the address is that of a copy, which the
    reference keeps alive until the next array is assigned.
    """

    def __init__(self, table: ColumnTable, k: int) -> None:
        self._table, self._k, self._doubles, self._copy = table, k, sys.modules["numpy"].dtype(float), None

    def __setitem__(self, every: Any, x: Any) -> None:
        if x.dtype is self._doubles and x.flags.carray:  # they can be written, so their address is found fastest
            self._table[self._k] = ctypes.addressof(ctypes.c_char.from_buffer(x))
            return
        if x.dtype != self._doubles or not (x.flags.c_contiguous and x.flags.aligned):
            x = self._copy = x.astype(float, order="C")
        self._table[self._k] = x.ctypes.data


class ArrayRunner(PreparedRunner):
    """Compute a graph for samples that are passed in numpy arrays, which have the same shapes at each call.

    An argument may be a number in place of an array that has this number for each sample.

    Args:
        compiled: the compiled graph that computes the samples.
        kind: "forward" to compute the outputs of every sample, "gradient" to compute the mean output and its gradient.
        shapes: the shape of each argument's array. The first axis runs over the samples.
        of_result: the shape of the result of a sample; () for a number.
        nan_stride: k if every k-th output, beginning with the first one, is looked at for nan (see
            `_ArrayRows.finds_nan`); 0 if none is.
        is_listed: whether samples are in a list. The numbers of a sample are then written one after the other, as are
            those of a single small sample. Otherwise each argument has memory of its own, or is read where it is, which
            is faster.
    """

    def __init__(
        self,
        compiled: CompiledGraph,
        kind: str,
        shapes: Sequence[Shape],
        of_result: Shape,
        nan_stride: int = 0,
        is_listed: bool = False,
    ) -> None:
        super().__init__(compiled, kind, shapes[0][0])
        self._shapes, self._of_result, self._nan_stride = shapes, of_result, nan_stride
        is_small_row = shapes[0][0] == 1 and sum(map(prod, shapes)) < MIN_REFERENCED
        self._interleaved, self._is_listed = is_listed or is_small_row, is_listed

    def _prepare(self, executable: Executable) -> PreparedRows:
        rows = self._shapes, self._of_result, self._nan_stride, self._interleaved
        return _ArrayRows(self._compiled, executable, *rows)

    def computed(self, arrays: Sequence[Any] | array[float]) -> Any:
        """Compute the outputs for samples in arrays, and return the `PreparedRows` that have the outputs.

        `arrays` is what `loaded` takes. The caller reads the outputs from the rows, and then passes the rows to
        `release`.
        """
        rows = self.loaded(arrays)
        self.run(rows)
        return rows

    def loaded(self, arrays: Sequence[Any] | array[float]) -> Any:
        """Return `PreparedRows` that have the numbers of the arrays; in the end, pass them to `release`.

        There is an array for each argument or, for samples in a list, one array of doubles with the numbers of all
        samples. Small arrays are copied. The others must be kept alive until the rows are computed.
        """
        rows: Any
        try:  # `acquire`, inlined for speed
            rows = self._unused.pop()
        except IndexError:
            rows = self.acquire()
        if type(arrays) is array:
            rows.numbers[:] = arrays
        else:
            for part, x in zip(rows.parts, arrays, strict=True):
                part[...] = x
        return rows

    def loaded_with_reader(self, arrays: Sequence[Any] | array[float]) -> Any:
        """Return the `PreparedRows` that `loaded` returns, and prepare them for later calls of the method `read`."""
        rows = self.loaded(arrays)
        if rows.read is _reads_nothing:
            rows.prepare_reader(self._is_listed)
        return rows

    def read(self, arrays: object) -> Any:
        """Return `PreparedRows` that have the numbers of the arrays, as `loaded` does, but in less time.

        Return None if no rows are ready, or if machine code cannot read `arrays`, which may be any object. It can read
        a tuple with an array for each argument or, for samples in a list, the only sample, a tuple of arrays and
        floats. The arrays must have the shapes for which the runner was made. A float in the place of a small array
        with one axis is the number of its argument in all samples.
        """
        rows: Any
        try:
            rows = self._unused.pop()
        except IndexError:
            return None
        if rows.read(arrays):
            return rows
        self._unused.append(rows)
        return None

    def mean_gradient_of(self, rows: PreparedRows) -> tuple[float, array[float]]:
        """Compute the mean output for the samples in `rows`, and return it and its gradient.

        The `kind` of the runner must be "gradient".
        """
        self.run(rows)
        return float(rows.out[0]), array("d", rows.gradients.tobytes())

    def add_mean_gradient_of(self, rows: Any) -> tuple[float, array[float] | None]:
        """Compute the mean output for the samples in `rows`, and add its gradient to the `grad` of the parameters.

        Return the mean output and None. But if machine code cannot add the gradient, or if the mean output is nan, add
        nothing, and return the mean output and the gradient. The `kind` of the runner must be "gradient".
        """
        self.run(rows)
        mean = rows.out[0]
        added = mean == mean and rows.add_gradients()
        return mean, None if added else array("d", rows.gradients.tobytes())


def shapes_of(arrays: Sequence[Any], may_be_numbers: bool = False) -> tuple[Shape, ...] | None:
    """Return the shapes of arguments, if all are numpy arrays of real numbers of at most 8 bytes, otherwise None.

    If `may_be_numbers` is true, some of the arguments may be numbers: floats, bools, numbers of numpy, or ints of at
    most 1000 bits. Their shape is (). Return None, too, if numpy was not imported.

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


def shapes_of_columns(columns: Sequence[Any]) -> tuple[Shape, ...] | None:
    """Return the shapes of numpy arrays that have the values of arguments in all samples, or None as `shapes_of` does.

    A number beside arrays is the value of its argument in all samples, so it has the shape of an array with a number
    for each sample. Return None, too, if such an array would be large, or if there are only numbers.

    >>> import numpy
    >>> shapes_of_columns([numpy.zeros((5, 2)), 1.0]), shapes_of_columns([1.0])
    (((5, 2), (5,)), None)
    """
    found = shapes_of(columns, may_be_numbers=True)
    if found is None or () not in found:
        return found
    n = max([shape[0] for shape in found if shape], default=MIN_REFERENCED)
    if n >= MIN_REFERENCED:
        return None
    return tuple([shape or (n,) for shape in found])


@cache
def _number_types() -> frozenset[type]:
    """Return the types of numbers that can be assigned to the elements of an array of doubles without an error.

    An int is not among them, because it may be too large.
    """
    import numpy as np

    integers = [np.dtype(code).type for code in np.typecodes["AllInteger"]]
    return frozenset([float, bool, np.bool_, np.float64, np.float32, np.float16, *integers])


class ListedSamples(NamedTuple):
    """The numbers of samples. The user has passed the samples as a list of tuples or as a tuple of arrays.

    Attributes:
        numbers: all numbers, one sample after the other. If there are numpy arrays in the samples, it is a tuple of
            columns instead. A column has the values of one argument in all samples. If there is only one sample, each
            column is the value itself.
        shapes: for each argument, the shape of an array with its numbers in all samples.
        treedefs: how each argument is nested; None if the samples are a tuple of arrays.
    """

    numbers: array[float] | tuple[Any, ...]
    shapes: tuple[Shape, ...]
    treedefs: tuple[TreeDef, ...] | None


def listed_samples(samples: list[Any]) -> ListedSamples | None:
    """Return the numbers of samples that are a list of tuples, lists or namedtuples.

    An argument must be a number in all samples, or a list, a tuple or a dict of equally many numbers, or a numpy array
    of doubles of the same shape. The keys of a dict must be the same strings in all samples, in the same order. Return
    None for other samples, and for more than `MAX_LISTED` numbers.

    >>> listed = listed_samples([([1.0, 2.0], 3), ([4.0, 5.0], 6.0)])
    >>> listed.numbers.tolist(), listed.shapes, listed.treedefs
    ([1.0, 2.0, 3.0, 4.0, 5.0, 6.0], ((2, 2), (2,)), ((<class 'list'>, 2), None))
    >>> listed_samples([({"x": 1.0, "y": 2.0},), ({"x": 3.0, "y": 4.0},)]).treedefs
    ((<class 'dict'>, ('x', 'y'), (None, None)),)
    """
    numpy = sys.modules.get("numpy")
    array_kind = numpy.ndarray if numpy else None
    if not 0 < len(samples) <= MAX_LISTED or not is_sequence(type(samples[0])):
        return None
    if len(samples) == 1 and (forms := forms_of_sample(samples[0])):
        return ListedSamples(tuple(samples[0]), *forms)
    # Look at the first sample before all of them, since other calls shall not become slower
    kinds = [*map(type, first := samples[0])]
    given = zip(kinds, first, strict=True)
    sizes = [len(x) if kind in COLLECTIONS else 1 + x.size // 100 if kind is array_kind else 1 for kind, x in given]
    if len(samples) * sum(sizes) > MAX_LISTED or any(map(_is_nested, first)):
        return None
    types = {*map(type, samples)}
    if not (len(types) == 1 or types <= {tuple, list}):
        return None
    if len({*map(len, samples)}) != 1:
        return None
    if array_kind in kinds:
        return _in_columns(samples, kinds)
    n = len(samples)
    if COLLECTIONS.isdisjoint(kinds):
        numbers = [*chain.from_iterable(samples)]
        inside: tuple[TreeDef, ...] = (None,) * len(kinds)
        return ListedSamples(array("d", numbers), ((n,),) * len(kinds), inside) if _are_numbers(numbers) else None
    found = _all_numbers(samples, sizes)
    if found is None or not _are_numbers(found):
        return None
    treedefs = tuple(map(_flat_treedef, first))
    shapes = tuple([(n,) if treedef is None else (n, size) for treedef, size in zip(treedefs, sizes, strict=True)])
    return ListedSamples(array("d", found), shapes, treedefs)


def numbers_as_before(samples: list[Any], treedefs: Sequence[TreeDef]) -> array[float] | None:
    """Return the numbers of a list of tuples, one sample after the other, if `treedefs` says how each is nested.

    `treedefs` has the treedef of each argument, as `listed_samples` has returned it for other samples. This takes a
    fraction of the time of `listed_samples`. Return None for samples that are nested in another way, and for arguments
    that are dicts or arrays, which `listed_samples` may still read.

    >>> numbers_as_before([([1.0, 2.0], 3), ([4.0, 5.0], 6.0)], ((list, 2), None)).tolist()
    [1.0, 2.0, 3.0, 4.0, 5.0, 6.0]
    >>> numbers_as_before([([1.0], 3)], ((list, 2), None)), numbers_as_before([([1.0, 2.0], "3")], ((list, 2), None))
    (None, None)
    """
    found, count = list[Any](), len(treedefs)
    for sample in samples:
        if type(sample) is not tuple or len(sample) != count:
            return None
        for x, treedef in zip(sample, treedefs, strict=True):
            if treedef is None:
                found.append(x)
            elif ((kind := type(x)) is list or kind is tuple) and (kind, len(x)) == treedef:
                found += x
            else:
                return None
    return array("d", found) if _are_numbers(found) else None


def _is_nested(x: Any) -> bool:
    """Return whether the first item of a list or tuple `x`, or the first value of a dict, has items itself."""
    if type(x) not in COLLECTIONS or not x:
        return False
    return hasattr(next(iter(x.values())) if type(x) is dict else x[0], "__len__")


def _flat_treedef(x: Any) -> TreeDef:
    """Return the treedef of `x`, a number, or a list, a tuple or a dict of numbers. It says how `x` is nested."""
    kind = type(x)
    if kind is dict:
        return dict, tuple(x), (None,) * len(x)
    return (kind, len(x)) if kind in COLLECTIONS else None


def _items_of_all(column: Sequence[Any]) -> list[Any] | None:
    """Return the items of all lists or tuples in `column`, or the values of all dicts in it, one after another.

    Return None if these collections differ in type or length, or if they are dicts whose keys are not the same strings
    in the same order.
    """
    kind, size = type(column[0]), len(column[0])
    if {*map(type, column)} != {kind} or {*map(len, column)} != {size}:
        return None
    if kind is not dict:
        return [*chain.from_iterable(column)]
    return [*chain.from_iterable(map(dict.values, column))] if not size or keys_of_all(column) else None


def forms_of_sample(sample: Sequence[Any]) -> tuple[tuple[Shape, ...], tuple[TreeDef, ...]] | None:
    """Return `ListedSamples.shapes` and `ListedSamples.treedefs` for a list with the single sample `sample`.

    The sample must consist of numpy arrays of doubles and of floats. Return None if there is anything else in it, if it
    has no array, or if it has many numbers. Calls for samples with the same shapes return the same object, so this is
    faster than to look at the sample as `listed_samples` does.
    """
    if not (numpy := sys.modules.get("numpy")):
        return None
    shapes: list[Shape | None] = []
    for x in sample:
        kind = type(x)
        if kind is numpy.ndarray and x.dtype.char == "d" and x.shape:
            shapes.append(x.shape)
        elif kind is float or kind is numpy.float64:
            shapes.append(None)
        else:
            return None
    return _forms_of_sample(tuple(shapes))


@lru_cache(256)
def _forms_of_sample(inside: tuple[Shape | None, ...]) -> tuple[tuple[Shape, ...], tuple[TreeDef, ...]] | None:
    """Return what `forms_of_sample` returns. `inside` has the shape of each array in the sample, and None for a float.

    Return None if there is no array, or if there are too many numbers.
    """
    if not any(inside) or sum([1 + prod(shape or ()) // 100 for shape in inside]) > MAX_LISTED:
        return None
    shapes = tuple([(1, *(shape or ())) for shape in inside])
    return shapes, tuple([None if shape is None else ArrayDef(shape, True) for shape in inside])


def _all_numbers(samples: list[Any], sizes: list[int]) -> list[Any] | None:
    """Return all numbers of samples whose arguments are numbers, or lists, tuples or dicts, one sample after the other.

    `sizes` has the length of each argument, and 1 for a number. Return None if the items of an argument cannot be read;
    see `_items_of_all`.
    """
    found, width, begin = list[Any](), sum(sizes), 0
    firsts = samples[0]
    if len(samples) <= MAX_READ_SINGLY:
        for sample in samples:
            for first, size, x in zip(firsts, sizes, sample, strict=True):
                kind = type(first)
                if kind not in COLLECTIONS:
                    found.append(x)
                elif type(x) is not kind or len(x) != size:
                    return None
                elif kind is not dict:
                    found += x
                elif not size or keys_of_all((first, x)):
                    found += x.values()
                else:
                    return None
        return found
    found += [None] * (len(samples) * width)
    for first, size, column in zip(firsts, sizes, zip(*samples, strict=True), strict=True):
        if type(first) not in COLLECTIONS:
            found[begin::width] = column
        elif (items := _items_of_all(column)) is not None:
            for k in range(size):
                found[begin + k :: width] = items[k::size]
        else:
            return None
        begin += size
    return found


def _in_columns(samples: list[Any], kinds: list[type]) -> ListedSamples | None:
    """Return the numbers of samples in a list that have numpy arrays as arguments, as `listed_samples` does.

    `kinds` has the types of the arguments in the first sample. Return None if the arrays of an argument differ in
    shape or are no arrays of doubles, or if the items of another argument are not plain numbers in the same places.
    """
    numpy = sys.modules["numpy"]
    if have_other_shapes(samples[0], samples[-1]):
        return None  # for speed
    n, shapes, treedefs, columns = len(samples), list[Shape](), list[TreeDef](), list[Any]()
    for k, kind in enumerate(kinds):
        column: Any = [sample[k] for sample in samples]
        if kind is numpy.ndarray:
            shape = column[0].shape
            if not shape or {*map(type, column)} != {kind} or any(x.shape != shape for x in column):
                return None
            if any(x.dtype.char != "d" for x in column):
                return None
            shapes.append((n, *shape))
            treedefs.append(ArrayDef(shape, True))
            columns.append(column)
            continue
        is_number = kind not in COLLECTIONS
        numbers = column if is_number else _items_of_all(column)
        if numbers is None or not _are_numbers(numbers):
            return None
        shapes.append((n,) if is_number else (n, len(column[0])))
        treedefs.append(_flat_treedef(column[0]))
        # numpy would take several times as long to convert nested lists
        columns.append(column if is_number else numpy.array(array("d", numbers)).reshape(shapes[-1]))
    return ListedSamples(tuple(columns), tuple(shapes), tuple(treedefs))


def _are_numbers(numbers: Iterable[Any]) -> bool:
    """Return whether all items are plain numbers that fit in a double, or numpy's `float64` or `int64`."""
    kinds = {*map(type, numbers)}
    if not kinds <= PYTHON_NUMBERS:
        numpy = sys.modules.get("numpy")
        if not numpy or not kinds <= PYTHON_NUMBERS | {numpy.float64, numpy.int64}:
            return False
    return int not in kinds or all(-LARGEST_INT < x < LARGEST_INT for x in numbers if type(x) is int)


def treedef_of_shapes(
    names: Sequence[str], shapes: Sequence[Shape], collecting: str = "", inside: tuple[TreeDef, ...] | None = None
) -> TreeDef | None:
    """Return the treedef of a sample, which says how its arguments are nested, if the samples are in arrays.

    `names` has the names of the arguments, and `shapes` the shape of each argument's array. The first axis of an array
    runs over the samples. If one argument collects all others in a tuple, as `*args` does, its name is `collecting`.
    If the samples are in a list instead, `inside` has the treedef of each argument.

    Return None, so no prepared call is made, if an argument is missing or is a number, or if the arrays have different
    counts of samples, no samples, or more than MAX_PREPARED numbers in all.
    """
    if not all(shapes) or len({shape[0] for shape in shapes}) != 1:
        return None
    if not 0 < sum(map(prod, shapes)) <= MAX_PREPARED:
        return None
    if inside is None:
        inside = tuple([ArrayDef(shape[1:], True) if shape[1:] else None for shape in shapes])
    if collecting:
        return ((collecting, (tuple, len(inside) if inside.count(None) == len(inside) else inside)),)
    return tuple(zip(names, inside, strict=True)) if len(names) == len(shapes) else None
