"""Read the bytes of arrays and other buffers, to compare them or to put them back."""

from __future__ import annotations

import sys
from array import array
from collections.abc import Sequence
from ctypes import _SimpleCData, addressof, memmove, sizeof, string_at
from typing import Any

MAX_COMPARED = 10_000  # a collection of more items is neither compared with what it was, nor looked into
MAX_NUMBERS = 100_000  # an array of more numbers is not compared with what it was
CTYPES: Any = _SimpleCData.__base__  # the base of all ctypes classes


def bytes_of(x: Any) -> bytes:
    """Return the bytes of an array. No method of its class is called, such as `__buffer__`, of Python 3.12 or later."""
    if issubclass(type(x), bytearray):
        return bytes(bytearray.copy(x))
    if issubclass(type(x), array):
        return array.tobytes(x)
    return string_at(addressof(x), sizeof(x)) if issubclass(type(x), CTYPES) else x.tobytes()


def plain_array(x: Any) -> Any:
    """Return an array without the methods of its class, and without a mask. It has the same memory."""
    if not issubclass(type(x), (bytearray, array, CTYPES)):
        ndarray = sys.modules["numpy"].ndarray
        return ndarray.view(x, ndarray)
    return x


def hash_of_forms(arrays: Sequence[Any]) -> int:
    """Return a number that changes if the shape or the dtype of a numpy array is assigned to. No user's code runs."""
    ndarray: Any = sys.modules["numpy"].ndarray
    return hash((*map(ndarray.shape.__get__, arrays), *map(ndarray.dtype.__get__, arrays)))


def bytes_if_any(x: memoryview) -> bytes | None:
    """Return the bytes of the memoryview `x`, or None if it was released."""
    try:
        return x.tobytes()
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
    if issubclass(type(x), CTYPES):
        return sizeof(x) <= 8 * MAX_NUMBERS
    if issubclass(type(x), (bytearray, array)):
        length: int = (bytearray if issubclass(type(x), bytearray) else array).__len__(x)
        return length <= MAX_NUMBERS
    numpy = sys.modules.get("numpy")
    if numpy is None or not issubclass(type(x), numpy.ndarray):
        return False
    plain = plain_array(x)
    return not plain.dtype.hasobject and plain.size <= MAX_NUMBERS


def is_object_array(x: Any) -> bool:
    """Return whether `x` is a numpy array of objects, and is not large."""
    numpy = sys.modules.get("numpy")
    if numpy is None or not issubclass(type(x), numpy.ndarray):
        return False
    plain = plain_array(x)
    return plain.dtype.kind == "O" and bool(plain.size <= MAX_COMPARED)


def refill(x: Any, content: bytes) -> None:
    """Write the bytes `content`, which were read from the array `x` before, to this array."""
    if issubclass(type(x), bytearray):
        bytearray.__setitem__(x, slice(None), content)
    elif issubclass(type(x), CTYPES):
        memmove(addressof(x), content, len(content))
    elif issubclass(type(x), array):
        held = array(x.typecode)
        held.frombytes(content)
        array.__setitem__(x, slice(None), held)
    elif x.flags.writeable:  # otherwise the array that it shows is refilled
        x[...] = sys.modules["numpy"].frombuffer(content, x.dtype).reshape(x.shape)
