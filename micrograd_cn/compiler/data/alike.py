"""Read a list of samples argument by argument, which is several times as fast as sample by sample.

This is possible if an argument has the same type in all samples: a number, an array, a list, a tuple, a namedtuple or a
dict. The items of a list or a tuple must be numbers, lists or tuples of numbers, or arrays. An argument may have
different lengths in different samples. The items of a dict are read key by key, if all samples have the same keys.
"""

from __future__ import annotations

import sys
from array import array
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import lru_cache
from itertools import accumulate, chain, pairwise
from math import prod
from operator import attrgetter, itemgetter, methodcaller
from struct import iter_unpack
from typing import Any

from .arrays import FlatNumbers, doubles, flat_doubles
from .nodes import floats_of
from .treedef import PYTHON_NUMBERS, ArrayDef, TreeDef

DOUBLE_SIZE = 8  # bytes
SAMPLES_PER_CHUNK = 64
MAX_KEPT_LAYOUTS, MAX_KEPT_SAMPLES = 32, 1000  # at most so many layouts are cached, each for at most so many samples
# The numbers of an argument in some samples, as the bytes of doubles, and a key for each sample. Samples have equal
# keys if the argument is nested in the same way. Keys of lists are lengths, or tuples of lengths or shapes. In the key
# of a list of tuples, ~k stands for the length k.
Column = tuple[list[bytes], list[Any]]


def group_alike(arguments: Sequence[Sequence[Any]]) -> list[tuple[list[int], array[float]]] | None:
    """Group samples that are nested in the same way. The groups are in the order of their first samples.

    Args:
        arguments: for each argument, its values in all samples.

    Returns:
        for each group, the indices of its samples, and their numbers, one sample after the other; or None if the
            samples must be read one by one.

    >>> [(rows, numbers.tolist()) for rows, numbers in group_alike([[[1], [2, 3], [4]], [5.0, 6.0, 7.0]])]
    [([0, 2], [1.0, 5.0, 4.0, 7.0]), ([1], [2.0, 3.0, 6.0])]
    >>> group_alike([[{}, 1.0]])
    >>> [(rows, numbers.tolist()) for rows, numbers in group_alike([[{"x": 1, "y": [2]}, {"x": 3, "y": [4]}]])]
    [([0, 1], [1.0, 2.0, 3.0, 4.0])]
    """
    columns = []
    for values in arguments:
        if not (column := _read(values)):
            return None
        columns.append(column)
    varying = [keys for _, keys in columns if len({*keys}) > 1]
    pieces = [column for column, _ in columns]
    rows_of: dict[Any, list[int]] = {}
    if not varying:
        rows_of[None] = [*range(len(arguments[0]))]
    for i, key in enumerate(varying[0] if len(varying) == 1 else zip(*varying, strict=True)):
        rows_of.setdefault(key, []).append(i)
    found = []
    for rows in rows_of.values():
        chosen = [[column[i] for i in rows] for column in pieces] if varying else pieces
        numbers = array("d")
        numbers.frombytes(b"".join(chain.from_iterable(zip(*chosen, strict=True))))
        found.append((rows, numbers))
    return found


def group_flat(arguments: Mapping[str, Sequence[Any]]) -> list[tuple[list[int], TreeDef, array[float]]] | None:
    """Group samples whose arguments are numbers, or lists or tuples of numbers, which may be of any length.

    It does what `group_alike` does, in about half of the time.

    Args:
        arguments: for each name of an argument, its values in all samples.

    Returns:
        for each group, the indices of its samples, their treedef, and their numbers, one sample after the other; or
            None if there are other arguments.

    >>> found = group_flat({"x": [[1], [2, 3], [4]], "y": [5.0, 6.0, 7.0]})
    >>> [(rows, numbers.tolist()) for rows, _, numbers in found]
    [([0, 2], [1.0, 5.0, 4.0, 7.0]), ([1], [2.0, 3.0, 6.0])]
    >>> found[0][1]
    (('x', (<class 'list'>, 1)), ('y', None))
    >>> group_flat({"x": [[[1.0]], [[2.0], [3.0]]]})
    """
    kinds: list[type | None] = []  # the type of each argument, or None for numbers
    columns: list[Sequence[Any]] = []  # its numbers in each sample
    for values in arguments.values():
        found = {*map(type, values)}
        if found <= PYTHON_NUMBERS:
            kinds.append(None)
            columns.append([*zip(values, strict=True)])
        elif len(found) == 1 and is_sequence(kind := found.pop()):
            kinds.append(kind)
            columns.append(values)
        else:
            return None
    rows_of: defaultdict[tuple[int, ...], list[int]] = defaultdict(list)  # by the lengths of the arguments
    for i, key in enumerate(zip(*[map(len, column) for column in columns], strict=True)):
        rows_of[key].append(i)
    order, numbers = [*chain.from_iterable(rows_of.values())], array("d")
    for start in range(0, len(order), SAMPLES_PER_CHUNK):
        chunk = order[start : start + SAMPLES_PER_CHUNK]
        parts = [map(column.__getitem__, chunk) for column in columns]
        samples = parts[0] if len(parts) == 1 else chain.from_iterable(zip(*parts, strict=True))
        if (some := doubles_of([*chain.from_iterable(samples)])) is None:
            return None
        numbers += some
    names, types, groups, end = (*arguments,), (*kinds,), [], 0
    for lengths, rows in rows_of.items():
        start, end = end, end + len(rows) * sum(lengths)
        groups.append((rows, _flat_treedef(names, types, lengths), numbers[start:end]))
    return groups


@lru_cache(1024)
def _flat_treedef(names: tuple[str, ...], kinds: tuple[type | None, ...], lengths: tuple[int, ...]) -> TreeDef:
    """Return the treedef of some arguments: how they are nested.

    Each argument is a number, or a list or tuple of numbers. For each of them, `kinds` has None if it is a number, and
    otherwise its class. `lengths` has the length of each argument, which is ignored for a number.
    """
    inside = [None if kind is None else (kind, length) for kind, length in zip(kinds, lengths, strict=True)]
    return tuple(zip(names, inside, strict=True))


def have_other_shapes(first: Sequence[Any], other: Sequence[Any]) -> bool:
    """Return whether an array in the arguments of one sample differs in shape from that of another sample.

    >>> import numpy
    >>> have_other_shapes((numpy.ones(2), 1.0), (numpy.ones(3), 1.0)), have_other_shapes((1.0,), (2.0,))
    (True, False)
    """
    return any(getattr(x, "shape", None) != getattr(y, "shape", None) for x, y in zip(first, other, strict=True))


def group_arrays(arguments: Mapping[str, Sequence[Any]]) -> list[tuple[list[int], TreeDef, array[float]]] | None:
    """Group samples whose arguments are numbers, lists or tuples of numbers, and numpy arrays of doubles of any shape.

    It does what `group_alike` does, in about a third of the time. How the samples are grouped depends on their shapes
    alone, and is kept for the next call with samples of the same shapes.

    Args:
        arguments: for each name of an argument, its values in all samples.

    Returns:
        for each group, the indices of its samples, their treedef, and their numbers, one sample after the other; or
            None if there are other arguments.

    >>> import numpy
    >>> found = group_arrays({"x": [numpy.ones(1), numpy.ones(2), numpy.zeros(1)], "y": [5.0, 6.0, 7.0]})
    >>> [(rows, numbers.tolist()) for rows, _, numbers in found]
    [([0, 2], [1.0, 5.0, 0.0, 7.0]), ([1], [1.0, 1.0, 6.0])]
    >>> found[0][1]
    (('x', ArrayDef(shape=(1,), is_numpy=True, is_tensor=False)), ('y', None))
    """
    pieces = list[Any]()
    forms = list[Any]()  # None for an argument that is a number, otherwise its type and its form in each sample
    for values in arguments.values():
        kind = type(values[0])
        if (dtype := _common_dtype(values)) is not None:
            if dtype != sys.modules["numpy"].dtype(float):
                return None
            pieces += values
            forms.append((kind, (*map(attrgetter("shape"), values),)))
        elif (numbers := doubles_of(values)) is not None:
            pieces += chain.from_iterable(iter_unpack(f"{DOUBLE_SIZE}s", numbers))
            forms.append(None)
        elif is_sequence(kind) and {*map(type, values)} == {kind}:
            if (numbers := doubles_of([*chain.from_iterable(values)])) is None:
                return None
            lengths = (*map(len, values),)
            pieces += _cut(numbers, lengths)
            forms.append((kind, lengths))
        else:
            return None
    n = len(pieces) // len(forms)
    layout = (_kept_layout if n <= MAX_KEPT_SAMPLES else _layout)((*arguments,), (*forms,), n)
    if layout is None:
        return None
    select, groups = layout
    try:
        data = b"".join(select(pieces))
    except TypeError:  # an array is not contiguous
        data = b"".join([x if type(x) is bytes else x.tobytes() for x in select(pieces)])
    numbers, found, end = array("d", data), [], 0
    for rows, treedef, width in groups:
        start, end = end, end + len(rows) * width
        found.append((rows, treedef, numbers[start:end]))
    return found


def _layout(
    names: tuple[str, ...], forms: tuple[Any, ...], n: int
) -> tuple[Callable[[list[Any]], Iterable[Any]], list[tuple[list[int], TreeDef, int]]] | None:
    """Return how `group_arrays` groups n samples, by the shapes of their arguments.

    `forms` has, for each argument, None if it is a number in all samples. Otherwise it has a pair: the class of the
    argument, and a tuple with its length or its shape in each sample.

    Returns:
        a function and a list, or None if an array has no axis. The function takes a list with a piece for each argument
            and sample: those of the first argument in all samples, then those of the next one, and so on. It returns
            them sorted by groups and samples. The list has, for each group, the indices of its samples, how their
            arguments are nested (the treedef), and how many numbers a sample has.
    """
    columns = [(None,) * n if form is None else form[1] for form in forms]
    rows_of: defaultdict[tuple[Any, ...], list[int]] = defaultdict(list)
    for i, key in enumerate(zip(*columns, strict=True)):
        rows_of[key].append(i)
    kinds = [None if form is None else form[0] for form in forms]
    groups = []
    for key, rows in rows_of.items():
        if () in key:
            return None
        inside: list[TreeDef] = []
        for kind, form in zip(kinds, key, strict=True):
            inside.append(form if form is None else (kind, form) if type(form) is int else ArrayDef(form, True))
        width = sum([1 if form is None else form if type(form) is int else prod(form) for form in key])
        groups.append((rows, tuple(zip(names, inside, strict=True)), width))
    order = [k * n + i for rows, _, _ in groups for i in rows for k in range(len(forms))]
    return (itemgetter(*order) if len(order) > 1 else tuple), groups


_kept_layout = lru_cache(MAX_KEPT_LAYOUTS)(_layout)


def _read(values: Sequence[Any]) -> Column | None:
    """Return the `Column` of an argument: its numbers in all samples, and a key for its nesting in each sample.

    `values` has the value of the argument in each sample. Return None if the samples must be read one by one.
    """
    if (numbers := doubles_of(values)) is not None:
        return [*chain.from_iterable(iter_unpack(f"{DOUBLE_SIZE}s", numbers))], [None] * len(values)
    kinds = {*map(type, values)}
    if len(kinds) > 1:
        return None
    [kind] = kinds
    if is_sequence(kind):
        return _read_sequences(values)
    return _read_dicts(values) if kind is dict else _read_arrays(values)


def is_sequence(kind: type) -> bool:
    """Return whether a class is list, tuple, or a class of namedtuples without further attributes."""
    if kind is list or kind is tuple:
        return True
    return issubclass(kind, tuple) and hasattr(kind, "_fields") and not kind.__dictoffset__


def keys_of_all(values: Sequence[dict[Any, Any]]) -> tuple[str, ...]:
    """Return the keys of some dicts, if these are strings and the same in all of them, in the same order; otherwise ().

    >>> keys_of_all([{"x": 1, "y": 2}, {"x": 3, "y": 4}]), keys_of_all([{"x": 1, "y": 2}, {"y": 4, "x": 3}])
    (('x', 'y'), ())
    """
    keys = [*values[0]]
    are_same = {*map(len, values)} == {len(keys)} and [*chain.from_iterable(values)] == keys * len(values)
    return tuple(keys) if are_same and {*map(type, keys)} <= {str} else ()


def _read_dicts(values: Sequence[dict[Any, Any]]) -> Column | None:
    """Return the numbers of an argument that is a dict in all samples; None if the samples must be read one by one."""
    columns = []
    if not (names := keys_of_all(values)):
        return None
    for name in names:
        if not (column := _read([x[name] for x in values])):
            return None
        columns.append(column)
    pieces = zip(*[found for found, _ in columns], strict=True)
    return [*map(b"".join, pieces)], [*zip(*[keys for _, keys in columns], strict=True)]


def doubles_of(numbers: Sequence[Any]) -> array[float] | None:
    """Return numbers as an array; None if one is not a float, an int, or a `float64` or `int64` of numpy."""
    if numbers and (kind := type(numbers[0])) not in PYTHON_NUMBERS and kind.__name__ not in ("float64", "int64"):
        return None
    if (found := floats_of(numbers)) is not None:
        return found
    kinds = {*map(type, numbers)}
    if not kinds <= PYTHON_NUMBERS:
        numpy = sys.modules.get("numpy")
        if not numpy or not kinds <= PYTHON_NUMBERS | {numpy.float64, numpy.int64}:
            return None
    return doubles(numbers)


def _cut(numbers: array[float], counts: Iterable[int]) -> list[bytes]:
    """Return the bytes of consecutive parts of an array; `counts` has the count of numbers of each part."""
    data = numbers.tobytes()
    return [data[start:end] for start, end in pairwise(accumulate(map(DOUBLE_SIZE.__mul__, counts), initial=0))]


def _read_sequences(values: Sequence[Any]) -> Column | None:
    """Return the `Column` of an argument that is a list in all samples, or a tuple in all of them.

    Return None if the samples must be read one by one. They are read in chunks, so intermediate lists stay in the
    cache.
    """
    pieces: list[bytes] = []
    keys: list[Any] = []
    for start in range(0, len(values), SAMPLES_PER_CHUNK):
        if not (found := _read_chunk(values[start : start + SAMPLES_PER_CHUNK])):
            return None
        pieces += found[0]
        keys += found[1]
    return pieces, keys


def _read_chunk(values: Sequence[Any]) -> Column | None:
    counts = [*map(len, values)]
    items = [*chain.from_iterable(values)]
    if (numbers := doubles_of(items)) is not None:
        return _cut(numbers, counts), counts
    kinds = {*map(type, items)}
    spans = [*pairwise(accumulate(counts, initial=0))]
    if kinds == {list} or kinds == {tuple}:
        lengths = [*map(len, items)]
        if (numbers := doubles_of([*chain.from_iterable(items)])) is None:
            return None
        inside = [tuple(lengths[start:end]) for start, end in spans]
        pieces = _cut(numbers, map(sum, inside))
        if kinds == {tuple}:  # another chunk may have lists, so the keys of tuples are negative
            inside = [tuple([~length for length in lens]) for lens in inside]
        return pieces, [lens or 0 for lens in inside]
    if len(kinds) == 1 and (column := _read_arrays(items)):
        found, shapes = column
        inside = [tuple(shapes[start:end]) for start, end in spans]
        return [b"".join(found[start:end]) for start, end in spans], [shape or 0 for shape in inside]
    return None


def _common_dtype(values: Sequence[Any]) -> Any:
    """Return the dtype of numpy arrays if all have the same one, and it can be converted to doubles; otherwise None."""
    numpy = sys.modules.get("numpy")
    if not numpy or {*map(type, values)} != {numpy.ndarray}:
        return None
    dtypes = {*map(attrgetter("dtype"), values)}
    if len(dtypes) > 1:
        return None
    [dtype] = dtypes
    return dtype if dtype.kind in "fiub" and dtype.itemsize <= DOUBLE_SIZE else None


def arrays_of_one_shape(values: Sequence[Any]) -> tuple[tuple[int, ...], FlatNumbers] | None:
    """Return the shape of numpy arrays, and their numbers, one array after another.

    Return None if shapes or dtypes differ, or if the arrays have no axis.
    """
    if _common_dtype(values) is None:
        return None
    try:  # it takes longer to look at the shapes before
        numbers = sys.modules["numpy"].array(values, dtype=float)
    except ValueError:
        return None
    return (numbers.shape[1:], memoryview(numbers.ravel())) if numbers.ndim > 1 else None


def tensors_of_one_shape(values: Sequence[Any]) -> tuple[tuple[int, ...], FlatNumbers] | None:
    """Return the shape of PyTorch's tensors, and their numbers, one after the other; None if their shapes differ.

    Also return None if they have to be read one by one, so that an error names the first that is wrong.
    """
    torch = sys.modules.get("torch")
    if not torch or {*map(type, values)} != {torch.Tensor} or len({(x.dtype, x.device, x.shape) for x in values}) > 1:
        return None
    try:
        return tuple(values[0].shape), flat_doubles(torch.stack([*values]))
    except (TypeError, RuntimeError):  # of flat_doubles, and of stack for layouts that cannot be stacked
        return None


def _read_arrays(values: Sequence[Any]) -> Column | None:
    dtype = _common_dtype(values)
    shapes = [*map(attrgetter("shape"), values)] if dtype is not None else [()]
    if () in shapes:
        return None
    if dtype != sys.modules["numpy"].dtype(float):
        values = [x.astype(float) for x in values]
    return [*map(methodcaller("tobytes"), values)], shapes
