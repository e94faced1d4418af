"""Functions of Python whose code is this machine's: a call costs what one of `len` costs, by ctypes several times that.

They are what C's extensions have: a function that takes an object, here a tuple, and returns one. The tuple's first
item is a `bytes` with the function's operands, its second is what is returned; the others live as long as the function.
"""

from __future__ import annotations

import ctypes
from array import array
from collections.abc import Callable
from functools import cache
from typing import Any

USED = ("PyTuple_GetItem", "PyBytes_AsString", "Py_IncRef", "PyEval_SaveThread", "PyEval_RestoreThread")
NO_ARGUMENTS = 4  # METH_NOARGS


class _Definition(ctypes.Structure):
    """PyMethodDef: what CPython knows of a function of C."""

    _fields_ = (
        ("name", ctypes.c_char_p),
        ("function", ctypes.c_void_p),
        ("flags", ctypes.c_int),
        ("doc", ctypes.c_char_p),
    )


def addresses() -> dict[str, int]:
    """Return where Python's own functions are that such code calls."""
    return {name: ctypes.cast(getattr(ctypes.pythonapi, name), ctypes.c_void_p).value or 0 for name in USED}


@cache
def _definition(code: int) -> _Definition:
    """Return what must live as long as any function with this code: as long as the code itself."""
    return _Definition(b"prepared", code, NO_ARGUMENTS, None)


def builtin_function(code: int, operands: list[int], result: Any, *held: Any) -> Callable[[], Any]:
    """Return a function without arguments that runs some code and returns the result.

    Args:
        code: where it is.
        operands: its whole numbers.
        result: what is returned at every call.
        held: what must live as long.
    """
    make = ctypes.pythonapi.PyCFunction_NewEx
    make.argtypes, make.restype = [ctypes.c_void_p, ctypes.py_object, ctypes.c_void_p], ctypes.py_object
    state = array("q", operands).tobytes(), result, *held
    made: Callable[[], Any] = make(ctypes.addressof(_definition(code)), state, None)
    return made
