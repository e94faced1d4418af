"""Read arrays of any library as flat arrays of doubles, and refuse arrays with entries that are not real numbers."""

from __future__ import annotations

import math
import sys
from array import array
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, TypeAlias

from ...ops.number import DATES, number, refuse_masked
from ...parameters.tree import flatten

FlatNumbers: TypeAlias = "array[float] | memoryview[Any]"
DOUBLE_FORMATS = ("d", "@d", "=d", "<d")  # the texts with which buffers describe the format of doubles
# What to write instead of an array whose numpy dtype is of this kind.
DTYPE_INSTEAD = {
    "c": "its real part is x.real, and its imaginary part x.imag",
    **DATES,
    "S": "for text that spells numbers, write x.astype(float)",
    "U": "for text that spells numbers, write x.astype(float)",
    "T": "for text that spells numbers, write x.astype(float)",
    "V": "write its fields as the columns of an array",
    "f": "write x.astype(float), which rounds them",
}


def doubles(numbers: Sequence[float]) -> array[float]:
    """Return floats and ints as an array.

    Raises:
        OverflowError: an int is too large for a float.
    """
    try:
        return array("d", numbers)
    except OverflowError:
        return array("d", map(number, numbers))  # raises an error that says what to write instead


def flat_doubles(x: Any) -> FlatNumbers:
    """Return the numbers of the array `x` as a flat array or buffer of doubles.

    An array of doubles in C's order is not copied, unless it is read-only and numpy is not imported. If a read-only
    array is not copied, the returned buffer is read-only, too.

    Numbers of other types are converted to doubles. Missing entries, complex numbers, dates and text are refused, and
    so are sparse arrays and floating-point numbers that are wider than doubles.

    Raises:
        TypeError: the array has entries that are not real numbers or are too wide, is sparse, or requires a gradient.
            The message says what to write instead.
    """
    # `columns.address` needs numpy for read-only buffers
    in_place = doubles_in_place(x, read_only="numpy" in sys.modules)
    if in_place is not None:
        return in_place
    if not hasattr(x, "__array__"):
        return _numbers_one_by_one(x)
    import numpy as np

    try:
        found = np.asarray(x)
    except Exception as error:  # libraries raise various errors for devices and types without a dtype
        if not hasattr(x, "tolist"):
            raise TypeError(f"{type(x).__name__}: {error}") from error
        return _numbers_one_by_one(x)
    kind = found.dtype.kind
    if kind == "O":
        return _numbers_one_by_one(found)
    # Dtypes of other libraries, such as jax's bfloat16, are of the kind "V" too. They convert themselves to doubles.
    foreign = kind == "V" and not issubclass(found.dtype.type, np.void)
    if not foreign and (kind not in "fiub" or found.dtype.itemsize > 8):
        raise TypeError(f"expected real numbers, doubles at most, got an array of {found.dtype}; {DTYPE_INSTEAD[kind]}")
    return flat_doubles(np.array(found, dtype=np.float64, order="C"))


def doubles_in_place(x: Any, read_only: bool = False) -> FlatNumbers | None:
    """Return the numbers of `x` as a flat buffer of doubles that shares the memory of `x`; None if that is impossible.

    It is impossible if `x` is not a buffer of doubles in C's order, or if it is read-only, unless `read_only` is set.
    For an empty array, the result is an empty `array.array`.

    Raises:
        TypeError: `x` has missing or sparse entries, or requires a gradient.
    """
    kind = type(x)
    if kind is not memoryview and kind.__module__ != "numpy":
        _refuse_special(x)
    try:
        view = memoryview(x)
    except (TypeError, ValueError, BufferError):
        return None  # some arrays are no buffers: they are on another device, or have a dtype that buffers do not have
    if view.format not in DOUBLE_FORMATS or not view.c_contiguous or (view.readonly and not read_only):
        return None
    if not view.nbytes:
        return array("d")
    return view if view.ndim == 1 and view.format == "d" else view.cast("B").cast("d")


def is_column(x: Any) -> bool:
    """Return whether `x` is an array of any library with at least one axis. Lists and tuples are not arrays.

    >>> is_column(array("d", [1.0])), is_column([1.0])
    (True, False)
    """
    if not hasattr(x, "shape"):
        return hasattr(x, "tolist") and hasattr(x, "__len__")
    if not x.shape:
        return False
    return hasattr(x, "__array__") or hasattr(x, "tolist") or hasattr(x, "toarray") or hasattr(x, "todense")


def shape_of(x: Any) -> tuple[int, ...]:
    """Return the shape of an array of any library; an `array.array` has one axis."""
    return tuple(x.shape) if hasattr(x, "shape") else (len(x),)


def is_matrix(x: Any) -> bool:
    """Return whether `x` is an `np.matrix`, whose rows are matrices, and whose * is the product of matrices."""
    return any(kind.__name__ == "matrix" and kind.__module__.partition(".")[0] == "numpy" for kind in type(x).__mro__)


def is_tensor(x: Any) -> bool:
    """Return whether `x` is a tensor of PyTorch, some of whose methods compute something else than those of numpy."""
    kind = type(x)
    return kind.__module__ != "numpy" and any(base.__module__.partition(".")[0] == "torch" for base in kind.__mro__)


def number_without_axes(x: Any) -> float:
    """Return the number in an array without axes, or in a scalar of an array library.

    Raises:
        TypeError: `x` is not a real number, its number is masked, or it requires a gradient.
    """
    _refuse_special(x)
    # For some dates, tolist() gives integers, and for a row of a structured array a tuple
    as_it_is = getattr(getattr(x, "dtype", None), "kind", "") in (*DATES, "V")
    try:
        return number(x.tolist() if hasattr(x, "tolist") and not as_it_is else x)
    except RuntimeError as error:
        raise TypeError(f"{type(x).__name__}: {error}") from error


def refuse_collection(x: Any) -> None:
    """Raise TypeError if `x`, which is not a list, tuple, dict or array, has items. A string is not refused.

    The message says what to write instead.
    """
    kind = type(x).__name__
    if isinstance(x, Mapping):
        raise TypeError(f"expected a real number, got a {kind}; write dict(x)")
    if isinstance(x, (set, frozenset)):
        raise TypeError(f"expected a real number, got a {kind}, which has no order; write a list, such as sorted(x)")
    has_items = isinstance(x, Iterable) or (hasattr(x, "__getitem__") and hasattr(x, "__len__"))
    if has_items and not isinstance(x, (str, bytes, bytearray, type)):
        raise TypeError(f"expected a real number, got a {kind}; write list(x)")


def iterable_data(data: Any, expected: str, write: str) -> Iterable[Any]:
    """Return an iterable of the items of `data`.

    For error messages, `expected` is a description of these items, and `write` says how to write data of this form.

    An object that has a length and items, such as a PyTorch dataset, is accepted even if it is not iterable.

    Raises:
        TypeError: `data` is a string, is not a collection, or gives batches of items, as a DataLoader does.
    """
    if type(data) is list:  # skips the checks, for speed
        return data
    kind = type(data).__name__
    if hasattr(data, "dataset") and getattr(data, "batch_size", None) is not None:
        raise TypeError(f"expected {expected}, got a {kind}, which gives batches of them; write x.dataset")
    if isinstance(data, (str, bytes, bytearray)) or getattr(data, "shape", None) == ():
        raise TypeError(f"expected {expected}, got {kind}; write {write}")
    if isinstance(data, Iterable):
        return data
    if hasattr(data, "__getitem__"):
        return (data[i] for i in range(len(data))) if hasattr(data, "__len__") else iter(data)
    raise TypeError(f"expected {expected}, got {kind}; write {write}")


def _refuse_special(x: Any) -> None:
    """Raise TypeError if `x` has missing entries, is sparse, or requires a gradient, which no program computes."""
    refuse_masked(x)
    if _has_missing(x):
        raise TypeError(f"a {type(x).__name__} in which some numbers are missing; write x.fillna(...) or x.dropna()")
    for method in ("toarray", "todense"):
        if hasattr(x, method):
            raise TypeError(f"a sparse {type(x).__name__}, which is not read entry by entry; write x.{method}()")
    if "sparse" in str(getattr(x, "layout", "")):
        raise TypeError(f"a sparse {type(x).__name__}, which is not read entry by entry; write x.to_dense()")
    if getattr(x, "requires_grad", False):
        raise TypeError(f"a {type(x).__name__} that requires a gradient, which it would not get; write x.detach()")


def _has_missing(x: Any) -> bool:
    """Return whether `x`, a pandas Series or DataFrame, has missing entries that its dtypes distinguish from nan."""
    if not hasattr(x, "isna"):
        return False
    if hasattr(x, "columns"):
        return bool(x.loc[:, [hasattr(kind, "na_value") for kind in x.dtypes]].isna().to_numpy().any())
    return hasattr(x.dtype, "na_value") and bool(x.isna().any())


def _numbers_one_by_one(x: Any) -> array[float]:
    if not hasattr(x, "tolist"):
        raise TypeError(f"expected a real number, got {type(x).__name__}")
    try:
        leaves = flatten(x.tolist())[0]
    except RuntimeError as error:
        raise TypeError(f"{type(x).__name__}: {error}") from error
    numbers = array("d", [number(leaf) for _, leaf in leaves])
    if len(numbers) != math.prod(shape_of(x)):
        raise TypeError(
            f"an array of shape {shape_of(x)} that holds {len(numbers)} numbers; write nested lists instead"
        )
    return numbers
