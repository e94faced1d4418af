"""Arrays of any library: whose they are, read as doubles, and made anew. No library is imported that was not before."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from ..engine import Value

if TYPE_CHECKING:
    from numpy import float64
    from numpy.typing import NDArray

__tracebackhide__ = True

LIBRARIES = {"torch": "torch", "jax": "jax", "jaxlib": "jax", "numpy": "numpy"}  # the packages that types come from


def library(x: object) -> str:
    """Return the library of an array: "torch", "jax", "numpy", "other"; "" if it is none.

    >>> library(1.0), library([1.0])
    ('', '')
    """
    for base in type(x).__mro__:
        if found := LIBRARIES.get(base.__module__.partition(".")[0]):
            return found
    if isinstance(x, (Value, type)):
        return ""
    return "other" if hasattr(x, "__array__") or hasattr(x, "tolist") else ""


def is_array(x: object) -> bool:
    """Return whether it is an array of any library; a numpy scalar is a number.

    >>> is_array(1.0)
    False
    """
    return bool(library(x)) and not (library(x) == "numpy" and getattr(x, "ndim", 1) == 0)


def read(x: Any) -> NDArray[float64]:
    """Return an array, or a number, as one of doubles, of the same shape.

    >>> read([1, 2.5])
    array([1. , 2.5])
    """
    import numpy as np

    if isinstance(x, Value):
        x = x.data
    elif library(x) == "torch":
        x = x.detach().cpu().double().numpy()
    elif library(x) == "other" and not hasattr(x, "__array__"):
        x = x.tolist()
    return np.array(x, dtype=np.float64)


def kind(x: Any) -> str:
    """Return of what numbers an array is: "float", "complex" or "int" (whole numbers and truth values).

    >>> kind(0.5), kind(1 + 2j)
    ('float', 'complex')
    """
    import numpy as np

    if library(x) == "torch":
        return "float" if x.is_floating_point() else "complex" if x.is_complex() else "int"
    if not is_array(x) and not isinstance(x, (complex, np.generic)):
        return "float"
    dtype = np.asarray(x if hasattr(x, "__array__") or not hasattr(x, "tolist") else x.tolist()).dtype
    return {"c": "complex", "i": "int", "u": "int", "b": "int"}.get(dtype.kind, "float")


def maker(x: Any) -> Callable[[NDArray[float64]], Any]:
    """Return a function that makes, of doubles, an array as `x` is: of its library, type and device.

    >>> maker(0.5)(read(2))
    2.0
    """
    import numpy as np

    if isinstance(x, np.generic):
        return lambda values: x.dtype.type(values)
    match library(x):
        case "torch":
            torch = sys.modules["torch"]
            like = {"dtype": x.dtype, "device": x.device}
            return lambda values: torch.from_numpy(np.array(values)).to(**like).requires_grad_(x.requires_grad)
        case "jax":
            jax = sys.modules["jax"]
            return lambda values: jax.numpy.asarray(values.astype(x.dtype))
        case "numpy":
            return lambda values: values.astype(x.dtype)
        case "other":
            make: Any = (lambda values: type(x)(x.typecode, values)) if hasattr(x, "typecode") else type(x)
            return lambda values: make(values.tolist())
    return float
