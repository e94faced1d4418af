"""Make Python functions that run machine code directly.

A call takes as long as a call of `len`, while a call through ctypes takes far longer.

Such a function is a built-in function like those of C extensions (`PyCFunction_NewEx`). Python calls the machine code
with the function's `self`, which is a tuple here. The first item of the tuple is a `bytes` with the operands of the
code, and the second item is the result. The other items are objects that must live as long as the function.
"""

from __future__ import annotations

import ctypes
from array import array
from collections.abc import Callable, Sequence
from functools import cache
from typing import Any

from .operands import Words
from .text import Function

C_API = (
    *("PyTuple_GetItem", "PyBytes_AsString", "Py_IncRef", "PyEval_SaveThread", "PyEval_RestoreThread"),
    *("PyFloat_FromDouble", "Py_DecRef"),
)
METH_NOARGS, METH_O = 4, 8  # the function takes no arguments, or one, which is `%argument`
BUILTIN_SIGNATURE = "ptr %self, ptr %argument", "ptr"  # the parameters and the result of its machine code


class _Definition(ctypes.Structure):
    """CPython's `PyMethodDef`, which describes a built-in function."""

    _fields_ = (
        ("name", ctypes.c_char_p),
        ("function", ctypes.c_void_p),
        ("flags", ctypes.c_int),
        ("doc", ctypes.c_char_p),
    )


def addresses() -> dict[str, int]:
    """Return the addresses of the functions of Python's C API that the machine code calls."""
    return {name: ctypes.cast(getattr(ctypes.pythonapi, name), ctypes.c_void_p).value or 0 for name in C_API}


@cache
def _definition(code: int, flag: int) -> _Definition:
    """Return the `PyMethodDef` of functions that run the machine code at the address `code`.

    `flag` is METH_NOARGS or METH_O. A definition must outlive all functions that are made with it, so it is never
    freed.
    """
    return _Definition(b"prepared", code, flag, None)


def builtin_function(
    code: int, operands: Sequence[int], result: Any, *held: Any, takes_argument: bool = False
) -> Callable[..., Any]:
    """Return a function that runs machine code, and then returns `result` unless the code returns something else.

    Args:
        code: the address of the machine code.
        operands: the integers that the machine code reads.
        result: the object that calls return.
        held: objects that must live as long as the function.
        takes_argument: whether the function takes one argument. Otherwise it takes none.
    """
    make = ctypes.pythonapi.PyCFunction_NewEx
    make.argtypes, make.restype = [ctypes.c_void_p, ctypes.py_object, ctypes.c_void_p], ctypes.py_object
    state = array("q", operands).tobytes(), result, *held
    definition = _definition(code, METH_O if takes_argument else METH_NOARGS)
    made: Callable[..., Any] = make(ctypes.addressof(definition), state, None)
    return made


def operands_of(f: Function) -> Words:
    """Write code that finds the operands of a built-in function in its tuple `%self`. Return the address of the first.

    `f` is the LLVM function that is being written: the machine code of the built-in function.
    """
    first = f.call("ptr", "PyTuple_GetItem", "ptr %self", "i64 0")
    return Words(f, f.call("ptr", "PyBytes_AsString", f"ptr {first}"))


def return_object(f: Function, result: str) -> None:
    """Write the end of the code of a built-in function, which returns the object at the address `result`."""
    f.call("void", "Py_IncRef", f"ptr {result}")
    f.do(f"ret ptr {result}")
