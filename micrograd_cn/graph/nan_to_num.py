"""Refuse `np.nan_to_num` of `Value`s that stand for numbers: numpy would leave every nan in its place.

A user's function may call `np.nan_to_num` of numbers, and get them without nan. If this function is differentiated or
recorded, it passes `Value`s instead. numpy then makes an array of objects of a `Value`, of a list, or of another array
of `Value`s, and returns it unchanged, without calling a method of the `Value`s. An array among the arguments is not
refused: the function gets an `ArgumentArray` for it, for which `value_arrays` computes `np.nan_to_num` by operations.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from math import isfinite
from types import CodeType, FrameType
from typing import Any, TypeVar

from .node import Node

__all__ = ["names_nan_to_num", "refuse_nan_to_num", "refuse_nan_to_num_of_nan"]

A = TypeVar("A")
T = TypeVar("T")


def refuse_nan_to_num(call: Callable[[A], T], arguments: A) -> T:
    """Return `call(arguments)`, but raise an error if it calls `np.nan_to_num` of a `Value`, or a collection of them.

    This sets a profile function, which slows the call down. So use it only for code that names `nan_to_num`. If there
    is a profile function already, as of a profiler, nothing is refused.

    Raises:
        TypeError: `call` has called `np.nan_to_num` of such an object.
    """
    return _refuse_if(
        lambda _: True,
        "np.nan_to_num() of recorded numbers changes nothing, unless they are in an array that is an argument",
        lambda: call(arguments),
    )


def refuse_nan_to_num_of_nan(call: Callable[[], T]) -> T:
    """Return `call()`, but raise an error if it calls `np.nan_to_num` of a `Value` that is nan or infinite.

    The error is also raised if such a `Value` is in a collection that is passed.

    For any other number, `np.nan_to_num` returns the `Value` unchanged, which is right. This sets a profile function,
    so use it only for code that names `nan_to_num`. If there is a profile function already, nothing is refused.

    Raises:
        TypeError: `call` has called `np.nan_to_num` of such an object.
    """
    return _refuse_if(
        lambda x: not isfinite(x._data),
        "np.nan_to_num() changes no Value, unless it is in an array that is an argument",
        call,
    )


def names_nan_to_num(f: Callable[..., Any]) -> bool:
    """Return whether f is `np.nan_to_num`, or its own code names it."""
    code = getattr(f, "__code__", None)
    return _names(code) if type(code) is CodeType else getattr(f, "__name__", "") == "nan_to_num"


def _names(code: CodeType) -> bool:
    """Return whether `code`, or the code of a function inside of it, has the name `nan_to_num`."""
    if "nan_to_num" in code.co_names:
        return True
    # Most functions have no functions inside, and `in` is faster than `any`
    return CodeType in map(type, code.co_consts) and any(type(x) is CodeType and _names(x) for x in code.co_consts)


def _refuse_if(is_wrong: Callable[[Node], bool], message: str, call: Callable[[], T]) -> T:
    """Return `call()`. Raise TypeError if it calls `np.nan_to_num` of a `Value` for which `is_wrong` returns True.

    The error has the text `message`. A profile function, set by `sys.setprofile`, notices the call. If there is one
    already, as while a profiler runs, nothing is refused.
    """
    numpy: Any = sys.modules.get("numpy")
    if numpy is None or sys.getprofile() is not None:
        return call()
    code = numpy.nan_to_num.__wrapped__.__code__

    def look(frame: FrameType, event: str, _: object) -> None:
        if event == "call" and frame.f_code is code:
            given = numpy.asarray(frame.f_locals["x"], dtype=object)
            if any(isinstance(x, Node) and is_wrong(x) for x in given.ravel().tolist()):
                raise TypeError(
                    f"{message}; write where(equal(x, x), x, 0.0) with micrograd_cn's functions, which take arrays"
                )

    sys.setprofile(look)
    try:
        return call()
    finally:
        sys.setprofile(None)
