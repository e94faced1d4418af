"""Methods that numpy's functions call: `np.arctan(values)` calls `value.arctan()` for each `Value` of an array.

For a function such as `np.exp`, whose operation has the same name here, `operators` has the method. This module has the
methods for functions whose operation has another name here, such as `np.arctan`. For functions without an operation it
has methods that raise an error, which says what to write. Functions that never call a method (`np.logaddexp`,
`np.isnan`, `np.heaviside`) raise numpy's own error.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NoReturn, Self

from .. import ops
from .operators import Operators, method

__all__ = ["NumpyMethods"]


def _no_operation(name: str, instead: str) -> Callable[[Any], NoReturn]:
    """Return a method for numpy's function `name`, which has no operation. It raises an error that names `instead`."""

    def refuse(self: Any) -> NoReturn:
        raise TypeError(f"np.{name}() of a Value: there is no operation for it; write {instead}")

    refuse.__name__, refuse.__qualname__, refuse.__doc__ = name, f"Value.{name}", f"Refuse: write {instead}."
    return refuse


class NumpyMethods(Operators):
    """Mixin: methods that numpy's functions call on the elements of an array.

    >>> import numpy as np
    >>> from micrograd_cn import Value
    >>> np.arctan2(np.array([Value(0), Value(1)]), 1.0)[0]
    Value(data=0.0, grad=0.0)
    >>> np.log10(Value(100))
    Traceback (most recent call last):
    TypeError: np.log10() of a Value: there is no operation for it; write x.log() / math.log(10)
    """

    __slots__ = ()

    arcsin = method(ops.asin)
    arccos = method(ops.acos)
    arctan = method(ops.atan)
    arctan2 = method(ops.atan2)
    hypot = method(ops.hypot)
    fabs = method(ops.abs)

    def exp2(self) -> Self:
        """Return 2 to the power of this value."""
        return 2.0**self

    def deg2rad(self) -> Self:
        """Return this value, an angle in degrees, converted to radians."""
        return self * (math.pi / 180.0)

    def rad2deg(self) -> Self:
        """Return this value, an angle in radians, converted to degrees."""
        return self * (180.0 / math.pi)

    radians, degrees = deg2rad, rad2deg

    def conjugate(self) -> Self:
        """Return this value itself, because it is real. `np.var` and `np.std` call this method."""
        return self

    log2 = _no_operation("log2", "x.log() / math.log(2)")
    log10 = _no_operation("log10", "x.log() / math.log(10)")
    cbrt = _no_operation("cbrt", "x ** (1 / 3), for x above 0")
    arcsinh = _no_operation("arcsinh", "(x + hypot(x, 1)).log()")
    arccosh = _no_operation("arccosh", "(x + (x * x - 1).sqrt()).log()")
    arctanh = _no_operation("arctanh", "(x.log1p() - (-x).log1p()) / 2")
    rint = _no_operation("rint", "round(x.data), whose derivative is 0")
