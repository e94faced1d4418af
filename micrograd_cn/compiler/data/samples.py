"""Flatten samples, which are tuples of nested arguments, into rows of numbers.

A treedef describes how an argument is nested, without its numbers. Samples with the same treedefs and the same static
arguments form a bucket, which is an array with a row for each sample. A static argument is passed to the function
unchanged.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import chain
from operator import is_
from typing import Any

from ...engine import Value
from ...ops.number import number, number_or_none
from .alike import (
    arrays_of_one_shape,
    doubles_of,
    group_alike,
    group_arrays,
    group_flat,
    have_other_shapes,
    is_sequence,
    keys_of_all,
    tensors_of_one_shape,
)
from .arrays import FlatNumbers, flat_doubles, is_column, is_matrix, is_tensor, iterable_data, shape_of
from .columns import MAX_NUMBERS, Columns, Numbers, flat, side_by_side, together
from .partition import gather_rows
from .treedef import PYTHON_NUMBERS, ArrayDef, TreeDef, array_def, first_invalid, treedef_of

MIN_ALIKE = 8  # this many samples or more are read argument by argument, if they are alike; see `alike`
ITERATORS = {type(iter([])), type(iter(())), type(iter(range(0)))}  # their items exist before they are asked for


class Bucket:
    """Samples whose arguments are nested alike, and whose static arguments are the same, as rows of numbers.

    Attributes:
        treedef: the name of each argument, and its treedef, which describes how the argument is nested.
        static: the name and the `StaticValue` of each static argument.
        numbers: the numbers of all rows, one row after the other. They are `Columns` if they are in several arrays.
        width: how many numbers a row has.
        samples: for each row, the index of its sample.
        given: a function that takes the index of a sample, and returns a dict of its arguments as the user gave them,
            without those that are static; None if they are not known.
    """

    __slots__ = ("given", "numbers", "samples", "static", "treedef", "width")

    def __init__(
        self, treedef: TreeDef, static: tuple[Any, ...], numbers: Numbers, width: int, samples: Sequence[int]
    ) -> None:
        self.treedef, self.static, self.numbers, self.width, self.samples = treedef, static, numbers, width, samples
        self.given: Callable[[int], dict[str, Any]] | None = None

    def row(self, i: int) -> Numbers:
        """Return the numbers of a row."""
        return self.numbers[i * self.width : (i + 1) * self.width]


def select_rows(bucket: Bucket, rows: array[int]) -> Any:
    """Return some rows of a bucket (numbers of samples) as a two-dimensional buffer, or as `Columns`, for a program.

    `rows` has the indices of the rows to return. If it has the indices of all rows, they must be in order, and the
    numbers are not copied. If the rows have no numbers, a list of empty lists is returned.
    """
    width, numbers = bucket.width, bucket.numbers
    if not width:
        return [[]] * len(rows)
    if len(rows) != len(bucket.samples):
        numbers = bucket.numbers = flat(numbers)  # kept, since rows for other programs are selected next
        numbers = gather_rows(numbers, rows, width)
    elif isinstance(numbers, Columns):
        return numbers
    elif type(numbers) is memoryview and numbers.readonly and len(numbers) > MAX_NUMBERS:
        return Columns([numbers], len(rows))  # it would be copied as another buffer
    return memoryview(numbers).cast("B").cast("d", (len(rows), width))


def copy_numbers(buckets: Iterable[Bucket]) -> None:
    """Copy the numbers of buckets. Afterwards, a user may change the array from which the numbers were read."""
    for bucket in buckets:
        bucket.numbers = array("d", memoryview(flat(bucket.numbers)).tobytes())


def copy_narrow_columns(buckets: Iterable[Bucket]) -> None:
    """Copy rows that are in several arrays to one array, row after row, if each array has few numbers for a row.

    Rows are then read faster in random order.
    """
    for bucket in buckets:
        if isinstance(bucket.numbers, Columns) and bucket.numbers.are_narrow:
            bucket.numbers = bucket.numbers.flat()


def columns_of(samples: Any) -> tuple[Any, ...] | None:
    """Return the values of each argument if `samples` has them in columns, and otherwise None.

    A column has the values of one argument in all samples. `samples` is in columns if it is a tuple with a column for
    each argument, or an array, which is the only column. A column is a list or an array whose first axis runs over the
    samples. If the tuple has at least one column, it may also have numbers. A number is the value of its argument in
    all samples.

    Raises:
        TypeError: an entry of the tuple is neither a list, nor an array, nor a number; or all entries are numbers.

    >>> columns_of(([1.0, 2.0], [3.0, 4.0])), columns_of([(1.0, 3.0), (2.0, 4.0)])
    (([1.0, 2.0], [3.0, 4.0]), None)
    """
    if type(samples) is list:
        return None
    if is_column(samples):
        return (samples,)
    if not isinstance(samples, tuple) or not samples:
        return None
    columns = [entry for entry in samples if isinstance(entry, (list, range)) or is_column(entry)]
    if len(columns) == len(samples):
        return samples
    found = []
    for entry in samples:
        if isinstance(entry, (list, range)) or is_column(entry):
            found.append(entry)
        elif columns and not isinstance(entry, Value) and number_or_none(entry) is not None:
            found.append(Repeated([entry]) * len(columns[0]))
        else:
            kind = type(entry).__name__
            instead = (
                "write [(x, y), ...], a list, for one entry for each sample"
                if isinstance(entry, (tuple, dict))
                else "write [(x, y)] for one sample"
                if hasattr(entry, "__float__")
                else "leave it out, or write [(x, y), ...] with a number or a list for each sample"
                if entry is None
                else "write list(x) for it"
            )
            raise TypeError(
                f"a tuple has one entry for each argument, a list or an array of its values, but got a {kind}; "
                f"{instead}"
            )
    return tuple(found)


class Repeated(list[Any]):
    """A list that repeats one number for all samples, since the user passed a number in place of a column."""

    def __mul__(self, count: Any) -> Repeated:
        """Return the list, repeated `count` times, as an object of this class."""
        return Repeated(super().__mul__(count))


def bucket_columns(columns: dict[str, Any]) -> Bucket | None:
    """Make one bucket of all samples. `columns` has the values of each argument in an array or a list.

    A bucket has samples whose arguments are nested in the same way. Return None if one of the lists has items other
    than those that `_number_column` reads, since the samples may then need several buckets.

    Raises:
        TypeError: an array is an `np.matrix`, or has entries that are not numbers.
        ValueError: the arrays or lists have different lengths.
    """
    shapes = [None if isinstance(x, (list, range)) else shape_of(x) for x in columns.values()]
    lengths = [shape[0] if shape else len(x) for x, shape in zip(columns.values(), shapes, strict=True)]
    refuse_lengths(columns, lengths)
    treedef: list[tuple[str, TreeDef]] = []
    numbers: list[FlatNumbers] = []
    for (name, x), shape in zip(columns.items(), shapes, strict=True):
        if shape:
            if shape[1:] and is_matrix(x):
                array_def(x, shape)  # raises an error
            try:
                numbers.append(flat_doubles(x))
            except TypeError as error:
                raise TypeError(f"{name}: {error}") from error
            treedef.append((name, ArrayDef(shape[1:], hasattr(x, "__array__"), is_tensor(x)) if shape[1:] else None))
        elif type(x) is Repeated and x and type(x[0]) in PYTHON_NUMBERS:
            numbers.append(array("d", [number(x[0])]) * len(x))
            treedef.append((name, None))
        elif column := _number_column(x):
            treedef.append((name, column[0]))
            numbers.append(column[1])
        else:
            return None
    n = lengths[0]
    beside = together(numbers, n)
    return Bucket(tuple(treedef), (), beside, len(beside) // n if n else 0, range(n))


def _number_column(values: Sequence[Any]) -> tuple[TreeDef, FlatNumbers] | None:
    """Return how an argument is nested in all samples (its treedef), and its numbers, one sample after the other.

    Return None unless the argument is a float or an int in all samples, or a list, a tuple or a namedtuple of equally
    many of these, or an array of numpy or a tensor of PyTorch of one shape, or a dict of such arguments. `values` has
    the argument's value in each sample.

    >>> _number_column([[1.0, 2.0], [3, 4]]), _number_column([[1.0, 2.0], [3]])
    (((<class 'list'>, 2), array('d', [1.0, 2.0, 3.0, 4.0])), None)
    """
    if not values:
        return None, array("d")
    if numbers := doubles_of(values):
        return None, numbers
    kinds = {*map(type, values)}
    if len(kinds) > 1:
        return None
    [kind] = kinds
    if is_sequence(kind):
        lengths = {*map(len, values)}
        if len(lengths) == 1 and (numbers := doubles_of([*chain.from_iterable(values)])):
            return (kind, *lengths), numbers
        return None
    if kind.__module__ == "numpy" and (alike := arrays_of_one_shape(values)):
        return array_def(values[0], alike[0]), alike[1]
    if kind.__module__ == "torch" and (alike := tensors_of_one_shape(values)):
        return array_def(values[0], alike[0]) if alike[0] else None, alike[1]
    if kind is not dict or not (names := keys_of_all(values)):
        return None
    if len(names) > 1 and {*map(type, values[0].values())} <= PYTHON_NUMBERS:
        numbers = doubles_of([*chain.from_iterable(map(dict.values, values))])  # in the order of the names
        if numbers:
            return (dict, names, (None,) * len(names)), numbers
    parts = [part for part in [_number_column([x[name] for x in values]) for name in names] if part]
    if len(parts) < len(names):
        return None
    beside = side_by_side([numbers for _, numbers in parts], len(values))
    return (dict, names, tuple([treedef for treedef, _ in parts])), beside


def refuse_lengths(names: Iterable[str], lengths: Sequence[int]) -> None:
    """Raise ValueError if columns with values of arguments differ in length. `lengths` are in the order of `names`."""
    if len({*lengths}) > 1:
        counts = ", ".join([f"{n} of {name}" for name, n in zip(names, lengths, strict=True)])
        raise ValueError(f"a tuple has one entry for each argument, of equal length, but got {counts}")


def rows_of_columns(columns: Sequence[Any]) -> Iterator[tuple[Any, ...]]:
    """Return an iterator of samples, each a tuple of arguments. `columns` has a list or an array for each argument."""
    return zip(*map(_items, columns), strict=True)


def _items(column: Any) -> Any:
    """Return the items of a list or an array along its first axis: numbers, lists or arrays."""
    if not is_column(column):
        return column
    numbers, shape = flat_doubles(column), shape_of(column)
    if not shape[1:]:
        return numbers
    if not hasattr(column, "__array__"):
        return column.tolist()
    import numpy as np

    return np.asarray(numbers).reshape(shape)


def bucket_samples(samples: Any, split: Callable[[Any], tuple[tuple[Any, ...], dict[str, Any]]]) -> list[Bucket]:
    """Sort samples into buckets, and return the buckets in the order of their first samples.

    A bucket has samples whose arguments are nested in the same way, and whose static arguments are equal.

    Args:
        samples: tuples of arguments.
        split: a function that takes a pair, the index of a sample and the sample. It returns the static arguments as
            pairs of a name and a `StaticValue`, and a dict of the other arguments by name.

    Raises:
        TypeError: a sample is not a tuple of arguments, or contains something that is not a number. The message names
            the sample.
    """
    samples = _listed(samples)
    if alike := _buckets_of_alike(samples, split):
        return alike
    found: dict[Any, Bucket] = {}
    rows: dict[Any, array[float]] = {}
    names: tuple[
        str, ...
    ] = ()  # the arguments' names, if the last sample's items were the arguments, none of it static
    for i, sample in enumerate(_iterable(samples)):
        kind = type(sample)
        if names and (kind is tuple or kind is list) and len(sample) == len(names):  # fast: what `split` would return
            arguments = dict(zip(names, sample, strict=True))
        else:
            static, arguments = split((i, sample))
            names = tuple(arguments) if _are_arguments(sample, arguments) else ()
        numbers = array("d")
        try:
            treedef = tuple([(name, treedef_of(x, numbers)) for name, x in arguments.items()])
        except TypeError:
            raise TypeError(f"sample {i}: {first_invalid(arguments)}") from None
        key = (static, treedef)
        if key not in found:
            rows[key] = array("d")
            found[key] = Bucket(treedef, static, rows[key], len(numbers), [])
        rows[key].extend(numbers)
        found[key].samples.append(i)  # type: ignore[attr-defined]
    return list(found.values())


def _buckets_of_alike(
    samples: Any, split: Callable[[Any], tuple[tuple[Any, ...], dict[str, Any]]]
) -> list[Bucket] | None:
    """Sort samples into buckets, as `bucket_samples` does, by reading them argument by argument.

    A bucket has samples whose arguments are nested in the same way. Return None if the samples have to be read one by
    one; see `group_alike`.
    """
    if type(samples) is not list or len(samples) < MIN_ALIKE:
        return None
    kinds = {*map(type, samples)}
    if not (kinds <= {tuple, list} or (len(kinds) == 1 and is_sequence(*kinds))):
        return None
    if len({*map(len, samples)}) > 1:
        return None
    static, arguments = split((0, samples[0]))
    if static or not arguments or not _are_arguments(samples[0], arguments):
        return None
    values = [*zip(*samples, strict=True)]
    by_name = dict(zip(arguments, values, strict=True))
    if have_other_shapes(samples[0], samples[-1]) and (found := group_arrays(by_name)):
        return [Bucket(treedef, (), numbers, len(numbers) // len(rows), rows) for rows, treedef, numbers in found]
    columns = [column for column in map(_number_column, values) if column]
    if len(columns) == len(values):
        n, treedefs = len(samples), tuple(zip(arguments, [treedef for treedef, _ in columns], strict=True))
        beside = together([numbers for _, numbers in columns], n)
        return [Bucket(treedefs, (), beside, len(beside) // n, range(n))]
    if found := group_flat(by_name) or group_arrays(by_name):
        return [Bucket(treedef, (), numbers, len(numbers) // len(rows), rows) for rows, treedef, numbers in found]
    groups = group_alike(values)
    buckets = []
    for rows, numbers in groups or ():
        first = zip(arguments, samples[rows[0]], strict=True)
        treedef = tuple([(name, _treedef_of_valid(x)) for name, x in first])
        buckets.append(Bucket(treedef, (), numbers, len(numbers) // len(rows), rows))
    return buckets or None


def _listed(samples: Any) -> Any:
    """Return samples as a list if they are a `zip` of lists, tuples, ranges and numpy arrays; otherwise unchanged.

    A list is read in a tenth of the time. Other iterators may give the same object again and again, with other numbers
    in it, so their samples are read one by one.

    >>> _listed(zip([1.0], [2.0])), type(_listed(zip([1.0], (x for x in [2.0]))))
    ([(1.0, 2.0)], <class 'zip'>)
    """
    if type(samples) is not zip:
        return samples
    return [*samples] if all(map(_gives_what_exists, samples.__reduce__()[1])) else samples


def _gives_what_exists(iterator: Any) -> bool:
    """Return whether an iterator gives the items of a list, a tuple or a range, or the parts of a numpy array."""
    kind = type(iterator)
    if kind in ITERATORS:
        return True
    if (kind.__module__, kind.__name__) != ("builtins", "iterator"):  # that of classes with `__getitem__`
        return False
    [sequence, *_] = iterator.__reduce__()[1]
    return type(sequence).__module__ == "numpy"


def _iterable(samples: Any) -> Iterable[Any]:
    """Return the samples as an iterable, with an item for each sample.

    Raises:
        TypeError: `samples` is a dict or a set, or is not a collection.
    """
    if type(samples) is list:  # skips the checks, for speed
        return samples
    kind = type(samples).__name__
    if isinstance(samples, Mapping):
        raise TypeError(
            f"expected samples, each a tuple of arguments, got a {kind}; write tuple(x.values()), with the values in "
            "the order of the arguments"
        )
    if isinstance(samples, (set, frozenset)):
        raise TypeError(f"expected samples, each a tuple of arguments, got a {kind}, which has no order; write a list")
    return iterable_data(
        samples,
        "samples, each a tuple of arguments",
        "[(x, y), ...], or (X, Y) for all values of two arguments x and y",
    )


def _are_arguments(sample: Sequence[Any], arguments: Mapping[str, Any]) -> bool:
    """Return whether the items of a sample are the values of `arguments`, in this order."""
    return len(arguments) == len(sample) and all(map(is_, arguments.values(), sample))


def _treedef_of_valid(x: Any) -> TreeDef:
    """Return the treedef of an argument, which says how it is nested. The numbers in it are known to be valid."""
    if type(x) is float:
        return None
    shape = getattr(x, "shape", ())
    return array_def(x, shape) if shape else treedef_of(x, array("d"))
