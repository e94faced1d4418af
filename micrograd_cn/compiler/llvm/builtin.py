"""Make Python functions that run machine code directly.

A call takes as long as a call of `len`, while a call through ctypes takes far longer.

Such a function is a built-in function like those of C extensions (`PyCFunction_NewEx`). Python calls the machine code
with the function's `self`, which is a tuple here. The first item of the tuple is a `bytes` with the operands of the
code, and the second item is the result. The other items are objects that must live as long as the function. If a
function takes several arguments, the machine code gets them as an array of objects (see `calling`).
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
    *("PyFloat_FromDouble", "Py_DecRef", "PyFloat_AsDouble", "PyLong_AsSsize_t"),
)
# The function takes no arguments, one, which is `%argument`, or several
METH_NOARGS, METH_O, METH_FASTCALL = 4, 8, 0x80
BUILTIN_SIGNATURE = "ptr %self, ptr %argument", "ptr"  # the parameters and the result of its machine code
CALLING_SUFFIX = ".calling"


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

    `flag` is as for `builtin_function`. A definition must outlive all functions that are made with it, so it is never
    freed. At its end, Python clears the modules, and this cache too, before it frees the last functions, and to free a
    function it reads the definition. So the definition gets a reference that nothing gives up.
    """
    definition = _Definition(b"prepared", code, flag, None)
    ctypes.pythonapi.Py_IncRef(ctypes.py_object(definition))
    return definition


def builtin_function(
    code: int, operands: Sequence[int], result: Any, *held: Any, flag: int = METH_NOARGS
) -> Callable[..., Any]:
    """Return a function that runs machine code, and then returns `result` unless the code returns something else.

    Args:
        code: the address of the machine code.
        operands: the integers that the machine code reads.
        result: the object that calls return.
        held: objects that must live as long as the function.
        flag: METH_NOARGS if the function takes no arguments, METH_O if it takes one, METH_FASTCALL if it takes several.
    """
    make = ctypes.pythonapi.PyCFunction_NewEx
    make.argtypes, make.restype = [ctypes.c_void_p, ctypes.py_object, ctypes.c_void_p], ctypes.py_object
    state = array("q", operands).tobytes(), result, *held
    made: Callable[..., Any] = make(ctypes.addressof(_definition(code, flag)), state, None)
    return made


def calling(kernel: Function) -> Function:
    """Write the code of a built-in function of Python that calls a kernel, and returns whether its result is not 0.

    The built-in function, whose flag is METH_FASTCALL, takes the arguments of the kernel: an int for an i64, a float
    for a double, and an address, as an int, for a ptr. For an argument with the name `%list` or `%other_list`, it takes
    a Python list. Nothing is checked, so only code of this package may call it.
    """
    f = Function(kernel.name + CALLING_SUFFIX, "ptr %self, ptr %arguments, i64 %count", "ptr")
    f.kernels[kernel.name] = lambda: kernel
    given, operands = Words(f, "%arguments"), list[str]()
    for k, argument in enumerate(kernel.arguments.split(", ")):
        x, (kind, _, name) = given.pointer(k), argument.partition(" ")
        if name in ("%list", "%other_list"):
            operands.append(f"ptr {x}")
        elif kind == "double":
            operands.append(f"double {f.call('double', 'PyFloat_AsDouble', x)}")
        else:
            number = f.call("i64", "PyLong_AsSsize_t", x)
            operands.append(f"i64 {number}" if kind == "i64" else f"ptr {f.op(f'inttoptr i64 {number} to ptr')}")
    is_zero = f.op(f"icmp eq i64 {f.call('i64', kernel.name, *operands)}, 0")
    answers = [f"ptr inttoptr (i64 {id(answer)} to ptr)" for answer in (False, True)]
    return_object(f, f.op(f"select i1 {is_zero}, {answers[0]}, {answers[1]}"))
    return f


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
