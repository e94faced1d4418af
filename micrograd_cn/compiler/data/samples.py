"""Flatten samples, which are tuples of nested arguments, into rows of numbers.

A treedef describes the nesting of an argument without its numbers, as in JAX. Samples with the same treedefs and the
same static arguments form a bucket, which is an array with a row for each sample.
"""

from __future__ import annotations

import itertools
import math
import sys
from array import array
from collections import deque
from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from enum import Enum
from functools import partial
from types import FunctionType, MethodType, ModuleType, NoneType
from typing import Any, NamedTuple, TypeAlias

from ...derivatives.tree import flatten
from ...engine import Value
from ...module import Module
from ...ops.number import number
from .rows import Numbers

# The treedef of a number is None, and that of an array is an ArrayDef. For a list or tuple, it is a tuple of the type
# and either the count of the numbers or the treedefs of the items. For a dict, it is a tuple of the type, the keys, and
# the treedefs of the values. A key that is no string is a `StaticValue`.
TreeDef: TypeAlias = Any
PYTHON_NUMBERS = {float, int}
MAX_COMPARED = 1000  # a collection inside a static value is compared by its items if it has at most this many
NAMED_BY_VALUE = {bool, int, str, bytes, NoneType}  # types whose values are equal only if they are the same
# Numpy's names for kinds of dtypes whose arrays are not converted as a whole. Objects may be numbers, so each is
# converted on its own, which fails for text, times and complex numbers.
NON_NUMERIC_KINDS = (*"OSUMmc",)


class ArrayDef(NamedTuple):
    """The treedef of an array.

    Attributes:
        shape: the shape of the array.
        is_numpy: whether the array is a numpy array. If so, the recorded function gets a numpy array of `Value`s,
            otherwise nested lists.
    """

    shape: tuple[int, ...]
    is_numpy: bool


class Bucket:
    """Samples with the same treedefs and the same static arguments, as rows of numbers.

    Attributes:
        treedef: the name and the treedef of each argument.
        static: the name and the `StaticValue` of each static argument.
        numbers: the numbers of all rows, one row after the other.
        width: how many numbers a row has.
        samples: for each row, the index of its sample.
    """

    def __init__(self, treedef: TreeDef, static: tuple[Any, ...] = ()) -> None:
        self.treedef, self.static = treedef, static
        self.numbers: Numbers = array("d")
        self.samples: Sequence[int] = []
        self.width = 0


def select_rows(bucket: Bucket, rows: Sequence[int]) -> Any:
    """Return some rows of a bucket as a two-dimensional buffer for a program.

    `rows` has the indices of the rows to return. If it has the indices of all rows, they must be in order, and the
    numbers are not copied.
    """
    width, numbers = bucket.width, bucket.numbers
    if not width:
        return [[]] * len(rows)
    if len(rows) != len(bucket.samples):
        numbers = array("d", itertools.chain.from_iterable([numbers[i * width : (i + 1) * width] for i in rows]))
    return memoryview(numbers).cast("B").cast("d", (len(rows), width))


def numpy_like(samples: Any, numbers: Any) -> Any:
    """Return the results `numbers` as a numpy array if the samples are in numpy arrays and all results have one shape.

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
    """Return the treedef of the argument `x`, and append the numbers in `x` to the array `numbers`.

    Raises:
        TypeError: the argument contains something that is not a number.

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
        keys = [key if type(key) is str else StaticValue(key, _identity(key)) for key in x]
        return kind, tuple(keys), tuple([treedef_of(item, numbers) for item in x.values()])
    if isinstance(x, Value):
        raise TypeError("a Value; give its number, x.data, or use it inside the function, which makes it a parameter")
    if shape := getattr(x, "shape", ()):
        numbers.extend(flat_doubles(x))
        return ArrayDef(tuple(shape), type(x).__module__ == "numpy")
    if hasattr(x, "tolist") and hasattr(x, "__len__"):  # array.array
        return treedef_of(x.tolist(), numbers)
    numbers.append(number(x))
    return None


def flat_doubles(x: Any) -> Numbers:
    """Return the numbers of the array `x` as flat doubles. An array that stores its numbers like this is not copied.

    Raises:
        TypeError: the array contains something that is not a number, or has masked entries.
    """
    if type(x).__module__.split(".")[:2] == ["numpy", "ma"] and x.mask.any():
        raise TypeError("a masked array in which some numbers are missing; write x.filled(...) or x.compressed()")
    try:
        view = memoryview(x)
        if view.format == "d" and view.c_contiguous and not view.readonly:
            return view.cast("B").cast("d") if view.nbytes else array("d")
    except (TypeError, ValueError, BufferError):
        pass  # some arrays are no buffers: they are on another device, or have a dtype that buffers do not have
    kind = getattr(getattr(x, "dtype", None), "kind", "")
    if hasattr(x, "__array__") and kind not in NON_NUMERIC_KINDS:
        import numpy as np

        return flat_doubles(np.array(x, dtype=np.float64, order="C"))
    found = array("d", [number(leaf) for _, leaf in flatten(x.tolist())[0]])
    if len(found) != math.prod(x.shape):
        raise TypeError(f"an array of shape {tuple(x.shape)} that holds {len(found)} numbers")
    return found


def unflatten(treedef: TreeDef, numbers: Iterator[Any]) -> Any:
    """Return an argument with the structure `treedef`, whose leaves come from an iterator; inverse of `treedef_of`.

    The leaves may be anything in the place of numbers, for example `Value`s.

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
        return dict(zip([key if type(key) is str else key.value for key in inside], items, strict=True))
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
    """Return, for each number in an argument called `name`, the Python expression that reads this number.

    >>> leaf_paths((dict, ("w", "b"), ((list, 2), None)), "p")
    ["p['w'][0]", "p['w'][1]", "p['b']"]
    """
    return [path for path, _ in flatten(unflatten(treedef, itertools.repeat(0.0)), name)[0]]


class StaticValue(NamedTuple):
    """The value of a static argument, or a key of a dict. Samples share a program only if their values are equal.

    Attributes:
        value: the value.
        identity: a key for dicts; see `_identity`.
    """

    value: Any
    identity: Any


def static_value(name: str, x: Any) -> StaticValue:
    """Return `x`, the value of the static argument `name`, as a `StaticValue`, which can be a part of a dict's key.

    Raises:
        TypeError: the value is not hashable.

    >>> static_value("n", 1) == static_value("n", True), static_value("n", (0.0,)) == static_value("n", (-0.0,))
    (False, False)
    """
    try:
        hash(x)
    except TypeError as error:
        raise TypeError(
            f"static argument {name}, {x!r}: {error}; give a hashable value, such as a tuple for a list, since "
            "programs are looked up by it"
        ) from None
    return StaticValue(x, _identity(x))


def _identity(x: Any, around: tuple[Any, ...] = ()) -> Any:
    """Return a key for the value `x` that differs even between values that Python calls equal.

    For example, the keys of 1, 1.0 and True differ from each other, and so do the keys of 0.0 and -0.0. The key of an
    object has the attributes that the object has now, by value if they are numbers, texts, collections or arrays, or
    objects with such attributes. The key is made at each call, so two things are left out, which would take too long:
    attributes of a `Module` that are neither numbers nor texts, and the contents of collections of more than
    `MAX_COMPARED` items.

    `around` has the objects that contain `x`, so an object that contains itself has a key, too.
    """
    kind = type(x)
    if kind in NAMED_BY_VALUE:
        return kind, x
    if isinstance(x, (float, complex)):
        return kind, repr(x)
    if any(x is other for other in around) or (around and getattr(x, "size", 0) > MAX_COMPARED):
        return kind, id(x)
    if around and isinstance(x, (set, dict, list, deque, array)) and len(x) > MAX_COMPARED:
        return kind, id(x), len(x)
    around = (*around, x)
    if isinstance(x, (frozenset, set)):
        return kind, frozenset([_identity(item, around) for item in x])
    if isinstance(x, dict):
        return kind, tuple([(_identity(key, around), _identity(item, around)) for key, item in x.items()])
    if isinstance(x, (tuple, list, deque)):
        return kind, tuple([_identity(item, around) for item in x])
    if isinstance(x, (Value, type, FunctionType, ModuleType, Enum)):
        return kind, x
    if hasattr(x, "tobytes") and hasattr(x, "tolist"):  # numpy's arrays and numbers, and array.array
        flat = getattr(getattr(x, "dtype", None), "kind", "") != "O"
        return (
            kind,
            getattr(x, "shape", ()),
            str(getattr(x, "dtype", "")),
            *((x.tobytes(),) if flat else _identity(x.tolist(), around)),
        )
    same: Any = x if isinstance(x, Hashable) else id(x)
    if isinstance(x, (MethodType, partial)):
        inside = (x.__self__,) if isinstance(x, MethodType) else (x.func, x.args, x.keywords)
        return kind, same, _identity(inside, around)
    state = dict(attributes_of(x))
    if isinstance(x, Module):
        state = {name: part for name, part in state.items() if type(part) in NAMED_BY_VALUE or type(part) is float}
    elif not state:
        return kind, same, repr(x)
    return kind, same, tuple([(name, _identity(part, around)) for name, part in state.items()])


def attributes_of(x: object) -> Iterator[tuple[str, Any]]:
    """Yield the name and the value of each attribute of `x` itself, but not the compiled methods that `x` keeps.

    >>> from types import SimpleNamespace
    >>> [*attributes_of(SimpleNamespace(a=1))]
    [('a', 1)]
    """
    for name, part in getattr(x, "__dict__", {}).items():
        if not name.startswith("_compiled_"):
            yield name, part
    for kind in type(x).__mro__:
        slots = vars(kind).get("__slots__", ())
        for name in (slots,) if isinstance(slots, str) else slots:
            if name not in ("__dict__", "__weakref__"):
                private = name.startswith("__") and not name.endswith("__")
                name = f"_{kind.__name__.lstrip('_')}{name}" if private else name
                if hasattr(x, name):
                    yield name, getattr(x, name)


def first_invalid(arguments: dict[str, Any]) -> str:
    """Return a text for error messages: the path to the first part of the arguments that is not a number, and why.

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
    """Flatten samples passed as one array for each argument; return treedefs, numbers and the count of samples.

    The first axis of each array runs over the samples. There is a treedef for each argument. The numbers are flat
    doubles, one sample after the other.

    Raises:
        ValueError: the arrays have different lengths.
    """
    lengths = [x.shape[0] for x in arrays]
    if len(set(lengths)) > 1:
        raise ValueError(f"arrays of {' and '.join(map(str, lengths))} samples; give arrays of equal length")
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
    """Sort samples into buckets, and return the buckets in the order of their first samples.

    Args:
        samples: tuples of arguments.
        split: a function that takes a pair, the index of a sample and the sample. It returns the static arguments as
            pairs of a name and a `StaticValue`, and a dict of the other arguments by name.

    Raises:
        TypeError: a sample is not a tuple of arguments, or contains something that is not a number. The message names
            the sample.
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
