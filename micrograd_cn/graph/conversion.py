"""The error for `float(x)` and functions that call it, such as `math.exp(x)`; it says what to write instead."""

from __future__ import annotations

import ast
import linecache
from opcode import opname
from types import FrameType
from typing import Any

from ..ops.registry import OPS
from .callers import PACKAGE, outside_numpy

__all__ = [
    "called_in",
    "refusal",
]

# What to write instead of functions that have no operation of the same name.
OTHER_NAMES = {
    "fabs": "abs(x)",
    "fsum": "micrograd_cn.sum(xs)",
    "sumprod": "micrograd_cn.dot(xs, ys)",
    "exp2": "2 ** x",
    "log2": "micrograd_cn.log(x) / math.log(2)",
    "log10": "micrograd_cn.log(x) / math.log(10)",
    "cbrt": "x ** (1 / 3), for x above 0",
    "radians": "x * (math.pi / 180)",
    "degrees": "x * (180 / math.pi)",
    "gamma": "micrograd_cn.exp(micrograd_cn.lgamma(x)), for x above 0",
    # Python rounds x / y to the next integer. The operation `remainder` is x % y, which rounds it down
    "remainder": "x - y * ((z / 2 + 0.25).floor() - (0.25 - z / 2).floor()), with z = x / y",
    "fmod": "x % y, for x and y above 0",
    "copysign": "abs(x) if y >= 0 else -abs(x)",
    "dist": "micrograd_cn.sum([(x - y) ** 2 for x, y in zip(xs, ys)]).sqrt()",
    "trunc": "micrograd_cn.where(micrograd_cn.less(x, 0), -(-x).floor(), x.floor()), whose derivative is 0",
    "interp": "a + (x - x0) * (b - a) / (x1 - x0) between the points (x0, a) and (x1, b)",
    "gradient": "(x[2:] - x[:-2]) / 2, with x[1] - x[0] and x[-1] - x[-2] at the ends",
}


# numpy functions and methods that make an array, whose elements a dtype converts to numbers.
ARRAYS = {"array", "asarray", "asanyarray", "ascontiguousarray", "fromiter", "full", "full_like", "astype"}
# What to write in a function that is compiled, instead of functions that have no operation of the same name.
RECORDED = {
    "int": "take(xs, x) for xs[int(x)]",
    "float": "x itself, since a Value needs no float()",
    "round": "micrograd_cn.floor(x + 0.5), which rounds halves up",
}


def refusal(conversion: str, caller: FrameType, recorded: bool = False) -> TypeError:
    """Return the error for a conversion of a `Value` to a plain number.

    Args:
        conversion: the name of Python's function for the conversion, such as "float".
        caller: the stack frame in which the conversion happens. The message names the function that was called there,
            such as math.exp, as the source code writes it. If the frame belongs to numpy, the message names the
            numpy function that the user called. If the frame belongs to this package, the message names `conversion`.
        recorded: whether the `Value` belongs to a function that is being compiled. The data are then those of one
            sample, so the message does not propose to read them.

    >>> import math
    >>> from micrograd_cn import Value
    >>> math.exp(Value(1))
    Traceback (most recent call last):
    TypeError: math.exp() of a Value would lose its graph; write micrograd_cn.exp(x), or x.data for the number alone
    """
    caller = outside_numpy(caller)
    inside_package = caller.f_code.co_filename.startswith(PACKAGE)
    call = None if inside_package else _call_in(caller)
    called = _name_of(call) or conversion
    name = called.rpartition(".")[2]
    if is_scipys_code(caller):
        return scipys_refusal()
    if name not in OPS and name not in OTHER_NAMES and called != conversion and call and (inner := _function_in(call)):
        called, name, call = inner, inner.rpartition(".")[2], None
    if not inside_package and (_stores_element(caller) or _method_of(call) == "at"):  # np.add.at(a, i, x)
        alone = "" if recorded else ", or write x.data for the number alone"
        return TypeError(
            f"a Value in an array of numbers would lose its graph; make the array with dtype=object{alone}"
        )
    if not inside_package and _method_of(call) in ARRAYS:
        numbers = "" if recorded else ", or [x.data for x in xs] for the numbers alone"
        return TypeError(
            f"{called if call and called != conversion else 'astype'}() of Values would lose their graph; write "
            f"np.array(xs, dtype=object) for an array of Values{numbers}"
        )
    instead = ""
    if name == "log" and call and len(call.args) == 2:
        instead = "micrograd_cn.log(x) / micrograd_cn.log(y), or "
    elif name in OTHER_NAMES or name in OPS:
        instead = f"{OTHER_NAMES.get(name) or f'micrograd_cn.{name}({operand_names(OPS[name].arity)})'}, or "
    if recorded:
        operation = instead.removesuffix(", or ")
        return TypeError(
            f"{called}() of a Value would be the same number for every sample; write "
            + (
                operation
                or f"{RECORDED.get(name, 'where(condition, a, b) for a choice')}, or compile(f, static=...) for a "
                "program for each number"
            )
        )
    return TypeError(
        f"{called}() of a Value would lose its graph; write {instead}x.data for the number" + " alone" * bool(instead)
    )


def is_scipys_code(frame: FrameType) -> bool:
    """Return whether the frame runs code of scipy."""
    return str(frame.f_globals.get("__name__", "")).startswith("scipy.")


def scipys_refusal() -> TypeError:
    """Return the error for `Value`s that a scipy function got from a user's function, such as one to minimise."""
    return TypeError(
        "a scipy function got Values instead of numbers, and would lose their graph; grad(f) and value_and_grad(f) "
        "give Values if f uses parameters or other leaves: write compile(value_and_grad(f)), which gives numbers"
    )


def instead_of(function: Any) -> str:
    """Return what to write instead of `function` of the module `math`, such as "micrograd_cn.exp(x)".

    For a function of another module, and for one that nothing here replaces, return "".
    """
    name = getattr(function, "__name__", "")
    if getattr(function, "__module__", "") != "math":
        return ""
    return OTHER_NAMES.get(name) or (f"micrograd_cn.{name}({operand_names(OPS[name].arity)})" if name in OPS else "")


def _function_in(call: ast.Call) -> str:
    """Return the name of a function of `math` that `call` passes as an argument, as in `list(map(math.exp, xs))`.

    The name is, for example, "math.exp". It is "" if there is no such function.
    """
    nodes = [x for argument in (*call.args, *(k.value for k in call.keywords)) for x in ast.walk(argument)]
    called = [x.func for x in nodes if isinstance(x, ast.Call)]
    names = [ast.unparse(x) for x in nodes if isinstance(x, (ast.Name, ast.Attribute)) and x not in called]
    return next((x for x in names if x.startswith("math.") and x[5:] in {*OPS, *OTHER_NAMES}), "")


def operand_names(count: int | None) -> str:
    """Return names for the `count` operands of an operation, for messages, such as "x, y" if `count` is 2.

    If `count` is None, the operation takes any number of operands, and the result is "xs".
    """
    return "xs" if count is None else ", ".join("xyz"[:count])


def called_in(frame: FrameType) -> str:
    """Return the name of the function that `frame` calls, as its source code writes it, such as "math.exp".

    Return "" if it calls no function by a name.
    """
    return _name_of(_call_in(frame))


def _method_of(call: ast.Call | None) -> str:
    """Return the last part of the name of the function that `call` calls, such as "astype" in `f(x).astype(float)`.

    It is "" if there is no call, or if what is called is neither a name nor an attribute, such as `fs[0]`.
    """
    function = call.func if call else None
    return (
        function.attr if isinstance(function, ast.Attribute) else function.id if isinstance(function, ast.Name) else ""
    )


def _name_of(call: ast.Call | None) -> str:
    called = ast.unparse(call.func) if call else ""
    return called if called.replace(".", "").isidentifier() else ""


def _call_in(frame: FrameType) -> ast.Call | None:
    """Return the syntax tree of the call that `frame` is executing; None if there is no call or no source code."""
    code, lines = frame.f_code, linecache.getlines(frame.f_code.co_filename, frame.f_globals)
    first, last, start, end = list(code.co_positions())[frame.f_lasti // 2]
    if first is None or last is None or start is None or end is None or not first <= last <= len(lines):
        return None
    text = [line.encode() for line in lines[first - 1 : last]]
    text[-1] = text[-1][:end]
    text[0] = text[0][start:]
    try:
        call = ast.parse(b"".join(text).decode(), mode="eval").body
    except (SyntaxError, ValueError):
        return None
    return call if isinstance(call, ast.Call) else None


def _stores_element(frame: FrameType) -> bool:
    """Return whether `frame` is at an assignment such as `a[0] = x`."""
    return opname[frame.f_code.co_code[frame.f_lasti]] in ("STORE_SUBSCR", "STORE_SLICE")
