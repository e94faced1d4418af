"""Read the bytes of arrays and other buffers, to compare them or to put them back."""

from __future__ import annotations

import sys
from array import array
from collections.abc import Callable, Sequence
from ctypes import _SimpleCData, addressof, memmove, sizeof, string_at
from functools import partial
from io import BytesIO, StringIO
from typing import Any

MAX_COMPARED = 10_000  # a collection of more items is neither compared with what it was, nor looked into
# An array of more numbers is compared with what it was only if this takes less time than to record the function, and if
# all such arrays together have at most MAX_LARGE_NUMBERS: they are copied
MAX_COMPARED_NUMBERS, MAX_LARGE_NUMBERS = 100_000, 4_000_000
CTYPES_BASE: Any = _SimpleCData.__base__  # the base of all ctypes classes


def bytes_of(x: Any) -> bytes:
    """Return the bytes of an array: a bytearray, an `array.array`, a ctypes object, or what `plain_array` has returned.

    No method of a user's subclass is called, such as `__buffer__` (in Python 3.12 or later).
    """
    if issubclass(type(x), bytearray):
        return bytes(bytearray.copy(x))
    if issubclass(type(x), array):
        return array.tobytes(x)
    return string_at(addressof(x), sizeof(x)) if issubclass(type(x), CTYPES_BASE) else x.tobytes()


def plain_array(x: Any) -> Any:
    """Return a numpy array as an `ndarray` with the same memory; return an array of another kind unchanged.

    The `ndarray` has none of the methods of the array's own class, and no mask.
    """
    if not issubclass(type(x), (bytearray, array, CTYPES_BASE)):
        ndarray = sys.modules["numpy"].ndarray
        return ndarray.view(x, ndarray)
    return x


def hash_of_forms(arrays: Sequence[Any]) -> int:
    """Return a number that changes if another shape or dtype is assigned to one of the numpy arrays.

    No code of the user runs.
    """
    ndarray: Any = sys.modules["numpy"].ndarray
    return hash((*map(ndarray.shape.__get__, arrays), *map(ndarray.dtype.__get__, arrays)))


def bytes_if_any(x: memoryview) -> bytes | None:
    """Return the bytes of the memoryview `x`, or None if it was released."""
    try:
        return x.tobytes()
    except ValueError:
        return None


def content_of_stream(x: BytesIO | StringIO) -> str | None:
    """Return a string that differs if the content of a stream in memory has changed; None if it is closed."""
    try:
        held = BytesIO.getvalue(x) if isinstance(x, BytesIO) else StringIO.getvalue(x)
        return str(hash(held))
    except ValueError:
        return None


def shown_by(x: memoryview) -> Any:
    """Return the object whose memory the memoryview `x` refers to; None if `x` was released."""
    try:
        return x.obj
    except ValueError:
        return None


def is_array(x: Any) -> bool:
    """Return whether `x` is a small bytearray, `array.array`, numpy array of plain numbers, or ctypes object.

    A read-only numpy array counts, too, since it may share the memory of an array that can be written to.
    """
    if issubclass(type(x), CTYPES_BASE):
        return sizeof(x) <= 8 * MAX_COMPARED_NUMBERS
    if issubclass(type(x), (bytearray, array)):
        length: int = (bytearray if issubclass(type(x), bytearray) else array).__len__(x)
        return length <= MAX_COMPARED_NUMBERS
    numpy = sys.modules.get("numpy")
    if numpy is None or not issubclass(type(x), numpy.ndarray):
        return False
    plain = plain_array(x)
    return not plain.dtype.hasobject and plain.size <= MAX_COMPARED_NUMBERS


def is_large_array(x: Any) -> bool:
    """Return whether `x` is a numpy array of numbers that is too large to be compared in each call (see `is_array`)."""
    numpy = sys.modules.get("numpy")
    if numpy is None or not issubclass(type(x), numpy.ndarray):
        return False
    plain = plain_array(x)
    return plain.dtype.kind in "biufc" and bool(plain.size > MAX_COMPARED_NUMBERS)


def is_object_array(x: Any) -> bool:
    """Return whether `x` is a numpy array of objects."""
    numpy = sys.modules.get("numpy")
    return numpy is not None and issubclass(type(x), numpy.ndarray) and plain_array(x).dtype.kind == "O"


def refill(x: Any, content: bytes) -> None:
    """Write the bytes `content`, which were read from the array `x` before, to this array.

    A read-only numpy array is left as it is.
    """
    if issubclass(type(x), bytearray):
        bytearray.__setitem__(x, slice(None), content)
    elif issubclass(type(x), CTYPES_BASE):
        memmove(addressof(x), content, len(content))
    elif issubclass(type(x), array):
        held = array(x.typecode)
        held.frombytes(content)
        array.__setitem__(x, slice(None), held)
    elif x.flags.writeable:  # a read-only view changes with the array whose memory it has
        x[...] = sys.modules["numpy"].frombuffer(content, x.dtype).reshape(x.shape)


def reader_of_foreign(x: Any) -> Callable[[], object] | None:
    """Return a function that reads the content of `x`, a tensor of PyTorch, or a Series or DataFrame of pandas.

    The caller compares what the function returns now with what it returned before, by type and text. For any other
    object, return None.
    """
    root = type(x).__module__.partition(".")[0]
    if root == "torch" and hasattr(x, "detach"):
        return partial(_content_of_tensor, x)
    manager: Any = getattr(x, "_mgr", None) if root == "pandas" else None
    if hasattr(manager, "blocks") and hasattr(manager, "axes"):
        return partial(_content_of_frame, x, [*manager.axes])
    return None


def _content_of_tensor(x: Any) -> object:
    try:
        if x.numel() <= MAX_COMPARED_NUMBERS:
            return hash(x.detach().numpy().tobytes())
    except (TypeError, RuntimeError):  # numpy has no such type, or the tensor is on another device
        pass
    try:
        return f"{x.data_ptr()} {x._version}"  # the version counts the changes in place
    except RuntimeError:
        return None


def _content_of_frame(x: Any, axes: list[Any]) -> str:
    """Return a string that differs if the numbers of `x`, a Series or DataFrame, or its labels have changed.

    The labels are compared by their `id`s. `axes` has the labels that `x` had at first, which the caller keeps alive,
    so new labels cannot have the same `id`.
    """
    found = [*map(id, axes), *map(id, x._mgr.axes)]
    for block in x._mgr.blocks:
        values = block.values
        if hasattr(values, "tobytes"):
            found.append(hash(values.tobytes()) if values.size <= MAX_COMPARED_NUMBERS else id(values))
        else:  # an array of pandas' own, such as that of categories
            found.append(hash(repr(values.tolist())) if len(values) <= MAX_COMPARED else id(values))
    return str(found)
