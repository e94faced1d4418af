"""Refuse `np.nan_to_num` of values that are recorded, where numpy asks nobody and leaves every nan in its place.

The plain function calls it with numbers, and gets them without nan. In a recording, numpy makes an array of objects of
a `Value`, of a list, or of another array of `Value`s, and returns it unchanged. It calls no method of them. For a
`ValueArray`, which stands for an array among the arguments, there is an operation.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from types import FrameType
from typing import Any, TypeVar

from ...engine import Value

A = TypeVar("A")
T = TypeVar("T")


def refuse_nan_to_num(call: Callable[[A], T], arguments: A) -> T:
    """Return `call(arguments)`. Refuse `np.nan_to_num` of a `Value`, or of a collection with `Value`s, meanwhile.

    This sets a profile function, which slows the call down. So use it only for code that names `nan_to_num`. If there
    is a profile function already, as of a profiler, nothing is refused.

    Raises:
        TypeError: `call` has called `np.nan_to_num` of such an object.
    """
    numpy: Any = sys.modules.get("numpy")
    if numpy is None or sys.getprofile() is not None:
        return call(arguments)
    code = numpy.nan_to_num.__wrapped__.__code__

    def look(frame: FrameType, event: str, _: object) -> None:
        if event == "call" and frame.f_code is code:
            given = numpy.asarray(frame.f_locals["x"], dtype=object)
            if any(isinstance(x, Value) for x in given.ravel().tolist()):
                raise TypeError(
                    "np.nan_to_num() of recorded numbers changes nothing, unless they are in an array that is an "
                    "argument; write where(equal(x, x), x, 0.0) with micrograd_cn's functions, which take arrays"
                )

    sys.setprofile(look)
    try:
        return call(arguments)
    finally:
        sys.setprofile(None)
