"""Samples: tuples of arguments, nested as they may be, as rows of numbers; those of one form are a bucket."""

from __future__ import annotations

import itertools
import math
import sys
from array import array
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, NamedTuple, TypeAlias

from ...derivatives.tree import flatten
from ...engine import Value
from ...ops.number import number
from .rows import Numbers

TreeDef: TypeAlias = (
    Any  # None for a number; for a list or tuple its type and how many numbers, or the forms in it; ...
)
PYTHON_NUMBERS = {float, int}
NON_NUMERIC_KINDS = (*"OSUMmc",)  # kinds of numpy's types: objects may be numbers, text, times and complex ones are not


class ArrayDef(NamedTuple):
    """The form of an array.

    Attributes:
        shape: of it.
        numpy: whether it is numpy's, so that the function gets such arrays of values; else nested lists.
    """

    shape: tuple[int, ...]
    is_numpy: bool


class Bucket:
    """Samples of one form: a row of numbers each.

    Attributes:
        form: of the arguments.
        numbers: of all rows, one after the other.
        width: of a row.
        samples: which sample each row is.
    """

    def __init__(self, treedef: TreeDef, static: tuple[Any, ...] = ()) -> None:
        self.treedef, self.static = treedef, static
        self.numbers: Numbers = array("d")
        self.samples: Sequence[int] = []
        self.width = 0


def select_rows(bucket: Bucket, rows: Sequence[int]) -> Any:
    """Return some rows of a bucket as a program takes them; all of them, in order, where they are."""
    width, numbers = bucket.width, bucket.numbers
    if not width:
        return [[]] * len(rows)
    if len(rows) != len(bucket.samples):
        numbers = array("d", itertools.chain.from_iterable([numbers[i * width : (i + 1) * width] for i in rows]))
    return memoryview(numbers).cast("B").cast("d", (len(rows), width))


def numpy_like(samples: Any, numbers: Any) -> Any:
    """Return numbers as an array of numpy's, if samples are in such arrays, and these are as many for each.

    >>> numpy_like([(1.0,)], [[2.0]])
    [[2.0]]
    """
    numpy = sys.modules.get("numpy")
    arrays = samples if isinstance(samples, tuple) else (samples,)
    if not (numpy and arrays and all(isinstance(x, numpy.ndarray) for x in arrays)):
        return numbers
    shapes = {() if type(x) is float else getattr(x, "shape", None) for x in numbers} if type(numbers) is list else {()}
    return numbers if None in shapes or len(shapes) > 1 else numpy.asarray(numbers)


def treedef_of(x: Any, numbers: array[float]) -> TreeDef:
    """Return the form of an argument, and put its numbers at the end of `numbers`.

    Raises:
        TypeError: there is something else than a number in it.

    >>> found = array("d")
    >>> treedef_of({"x": [1, 2], "y": (3, [4.0])}, found), list(found)
    ((<class 'dict'>, ('x', 'y'), ((<class 'list'>, 2), (<class 'tuple'>, (None, (<class 'list'>, 1))))), [1.0, 2.0, \
3.0, 4.0])
    """
    kind = type(x)
    if kind in PYTHON_NUMBERS:
        numbers.append(number(x))
        return None
    if isinstance(x, (list, tuple)):
        kinds = {*map(type, x)}
        if kinds <= PYTHON_NUMBERS:
            numbers.extend(array("d", x) if kinds == {float} else map(number, x))
            return kind, len(x)
        inside = tuple([treedef_of(item, numbers) for item in x])
        return kind, len(x) if inside.count(None) == len(x) else inside
    if isinstance(x, dict):
        return kind, tuple(x), tuple([treedef_of(item, numbers) for item in x.values()])
    if isinstance(x, Value):
        raise TypeError("a Value; give its number, x.data, or use it in the function, of which it is a parameter then")
    if shape := getattr(x, "shape", ()):
        numbers.extend(flat_doubles(x))
        return ArrayDef(tuple(shape), type(x).__module__ == "numpy")
    if hasattr(x, "tolist") and hasattr(x, "__len__"):  # an array of Python's own
        return treedef_of(x.tolist(), numbers)
    numbers.append(number(x))
    return None


def flat_doubles(x: Any) -> Numbers:
    """Return an array's numbers in a line: where they are, if they lie so, else a copy.

    Raises:
        TypeError: there is something else in it than a number for each entry, or a masked one.
    """
    if type(x).__module__.split(".")[:2] == ["numpy", "ma"] and x.mask.any():
        raise TypeError("a masked array, of which some numbers are missing; write x.filled(...) or x.compressed()")
    try:
        view = memoryview(x)
        if view.format == "d" and view.c_contiguous and not view.readonly:
            return view.cast("B").cast("d") if view.nbytes else array("d")
    except (TypeError, ValueError, BufferError):
        pass  # not every array is a buffer: some lie on another device, or hold what no buffer does
    kind = getattr(getattr(x, "dtype", None), "kind", "")
    if hasattr(x, "__array__") and kind not in NON_NUMERIC_KINDS:
        import numpy as np

        return flat_doubles(np.array(x, dtype=np.float64, order="C"))
    found = array("d", [number(leaf) for _, leaf in flatten(x.tolist())[0]])
    if len(found) != math.prod(x.shape):
        raise TypeError(f"an array of shape {tuple(x.shape)}, in which there are {len(found)} numbers")
    return found


def unflatten(treedef: TreeDef, numbers: Iterator[Any]) -> Any:
    """Return an argument of a form.

    >>> unflatten((list, (None, (tuple, 2))), iter("abc"))
    ['a', ('b', 'c')]
    """
    if treedef is None:
        return next(numbers)
    if isinstance(treedef, ArrayDef):
        return _unflatten_array(treedef, numbers)
    kind, inside, *parts = treedef
    if isinstance(inside, int):
        items = [next(numbers) for _ in range(inside)]
    else:
        items = [unflatten(part, numbers) for part in (parts[0] if parts else inside)]
    if parts:
        return dict(zip(inside, items, strict=True))
    if issubclass(kind, tuple):
        return kind(*items) if hasattr(kind, "_fields") else tuple(items)
    return items


def _unflatten_array(treedef: ArrayDef, numbers: Iterator[Any]) -> Any:
    if treedef.is_numpy:
        import numpy as np

        made = np.empty(treedef.shape, dtype=object)
        for place in np.ndindex(*treedef.shape):
            made[place] = next(numbers)
        return made

    def nested(shape: tuple[int, ...]) -> Any:
        return [nested(shape[1:]) for _ in range(shape[0])] if shape else next(numbers)

    return nested(treedef.shape)


def leaf_paths(treedef: TreeDef, name: str) -> list[str]:
    """Return the name of each number in an argument of a form.

    >>> leaf_paths((dict, ("w", "b"), ((list, 2), None)), "p")
    ["p['w'][0]", "p['w'][1]", "p['b']"]
    """
    return [path for path, _ in flatten(unflatten(treedef, itertools.repeat(0.0)), name)[0]]


class StaticValue(NamedTuple):
    """The value of a static argument; two have the same program if value, type and text are equal."""

    value: Any
    identity: Any


def static_value(name: str, x: Any) -> StaticValue:
    """Return the value of a static argument.

    Raises:
        TypeError: it cannot be hashed.

    >>> static_value("n", 1) == static_value("n", True), static_value("n", (0.0,)) == static_value("n", (-0.0,))
    (False, False)
    """
    try:
        hash(x)
    except TypeError as error:
        raise TypeError(f"static argument {name}, {x!r}: {error}; programs are kept by its value") from None
    return StaticValue(x, _identity(x))


def _identity(x: Any) -> Any:
    """Return what differs for things that differ, also where they are equal, as 1, 1.0 and True are."""
    if isinstance(x, (tuple, frozenset)):
        return type(x), frozenset(map(_identity, x)) if isinstance(x, frozenset) else tuple(map(_identity, x))
    return type(x), repr(x) if isinstance(x, (float, complex)) else x


def first_invalid(arguments: dict[str, Any]) -> str:
    """Return the first argument, or the part of it, that is no number, with the reason.

    >>> first_invalid({"x": [1, [2, "3"]]})
    "x[1][1]: expected a real number, got the str '3'; convert it with float() first"
    """
    for name, x in arguments.items():
        for path, part in (*flatten(x, name)[0], (name, x)):
            try:
                treedef_of(part, array("d"))
            except TypeError as error:
                return f"{path}: {error}"
    return "unknown"


def flatten_arrays(arrays: Sequence[Any]) -> tuple[tuple[TreeDef, ...], Numbers, int]:
    """Return the form of samples of which there is an array for each argument, their numbers, and how many they are.

    Raises:
        ValueError: the arrays are not of the same length.
    """
    lengths = [x.shape[0] for x in arrays]
    if len(set(lengths)) > 1:
        raise ValueError(f"arrays of {' and '.join(map(str, lengths))} samples")
    treedef = tuple(
        [ArrayDef(tuple(x.shape[1:]), type(x).__module__ == "numpy") if x.shape[1:] else None for x in arrays]
    )
    if len(arrays) == 1:
        return treedef, flat_doubles(arrays[0]), lengths[0]
    import numpy as np

    n = lengths[0]
    together = np.concatenate([np.asarray(flat_doubles(x)).reshape(n, math.prod(x.shape[1:])) for x in arrays], axis=1)
    return treedef, flat_doubles(together), n


def bucket_samples(samples: Any, split: Callable[[Any], tuple[tuple[Any, ...], dict[str, Any]]]) -> list[Bucket]:
    """Return samples as buckets, in the order of their first samples.

    Args:
        samples: tuples of arguments.
        split: a sample to its static arguments and the others.

    Raises:
        TypeError: a sample is no tuple of arguments, or there is something else than a number in one; it is named.
    """
    found: dict[Any, Bucket] = {}
    rows: dict[Any, array[float]] = {}
    for i, sample in enumerate(_iterable(samples)):
        static, arguments = split((i, sample))
        numbers = array("d")
        try:
            treedef = tuple([(name, treedef_of(x, numbers)) for name, x in arguments.items()])
        except TypeError:
            raise TypeError(f"sample {i}: {first_invalid(arguments)}") from None
        key = (static, treedef)
        if key not in found:
            found[key] = Bucket(treedef, static)
            found[key].width = len(numbers)
            rows[key] = array("d")
        rows[key].extend(numbers)
        found[key].samples.append(i)  # type: ignore[attr-defined]
    for key, bucket in found.items():
        bucket.numbers = rows[key]
    return list(found.values())


def _iterable(samples: Any) -> Iterable[Any]:
    if isinstance(samples, (str, bytes, dict)) or not hasattr(samples, "__iter__"):
        raise TypeError(f"expected samples, each a tuple of arguments, got {type(samples).__name__}")
    return samples  # type: ignore[no-any-return]
