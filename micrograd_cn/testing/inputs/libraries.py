"""Read arrays of numpy, PyTorch, jax and other libraries as doubles, and make such arrays.

This module never imports PyTorch or jax: their arrays can exist only after somebody else has imported them. It imports
numpy only when it is needed.
"""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from ...engine import Value

if TYPE_CHECKING:
    from numpy import float64
    from numpy.typing import NDArray

__tracebackhide__ = True

NUMBER_KINDS = {"c": "complex", **dict.fromkeys("iub", "int"), **dict.fromkeys("USMm", "other")}  # by a dtype's kind
LIBRARIES = {"torch": "torch", "jax": "jax", "jaxlib": "jax", "numpy": "numpy"}  # by the package of an array's type


def library_of(x: object) -> str:
    """Return the library of an array: "torch", "jax", "numpy" or "other"; "" if `x` is not an array.

    A numpy scalar counts as an array here.

    >>> library_of(1.0), library_of([1.0])
    ('', '')
    """
    kind: Any = type(x)  # Any, since mypy does not know that a type is hashable
    found, all_are_arrays = _library_of_type(kind)
    if all_are_arrays or (found and hasattr(x, "dtype") and hasattr(x, "shape")):
        return found
    if isinstance(x, (Value, type)):
        return ""
    return "other" if hasattr(x, "__array__") or hasattr(x, "tolist") else ""


@functools.lru_cache
def _library_of_type(kind: type) -> tuple[str, bool]:
    """Return the library that a type or one of its base classes comes from, and whether all its objects are arrays.

    The library is "" if it is not a known one. The objects are arrays if the type has the attributes of an array.
    """
    for base in kind.__mro__:
        if found := LIBRARIES.get(base.__module__.partition(".")[0]):
            return found, hasattr(kind, "dtype") and hasattr(kind, "shape")
    return "", False


def is_any_array(x: object) -> bool:
    """Return whether `x` is an array of any library. A numpy scalar or a numpy array without axes counts as a number.

    >>> is_any_array(1.0)
    False
    """
    return bool(library_of(x)) and not (library_of(x) == "numpy" and getattr(x, "ndim", 1) == 0)


def is_tensor(x: object) -> bool:
    """Return whether `x` is a PyTorch tensor."""
    return library_of(x) == "torch"


def to_doubles(x: Any) -> NDArray[float64]:
    """Return an array or a number as a numpy array of doubles, of the same shape.

    >>> to_doubles([1, 2.5])
    array([1. , 2.5])
    """
    whose = library_of(x)
    if whose == "torch":  # this is done most often, so it comes before the import, which takes a while even if repeated
        coarse = x.element_size() <= 2  # numpy has no bfloat16
        doubles: NDArray[float64] = x.double().numpy(force=True) if coarse else x.numpy(force=True).astype(float)
        return doubles
    import numpy as np

    if isinstance(x, Value):
        x = x.data
    elif whose == "other" and not hasattr(x, "__array__"):
        x = x.tolist()
    return np.array(x, dtype=np.float64)


def copy_doubles(x: Any, out: NDArray[float64]) -> None:
    """Write the numbers of an array or a number into `out`, a vector of as many doubles.

    >>> out = to_doubles([0.0, 0.0])
    >>> copy_doubles([1, 2.5], out)
    >>> out.tolist()
    [1.0, 2.5]
    """
    if is_tensor(x) and x.element_size() <= 2:  # numpy has no bfloat16
        sys.modules["torch"].from_numpy(out).copy_(x.detach().reshape(-1))
    else:
        out[...] = to_numpy(x).reshape(-1)


def to_numpy(x: Any) -> NDArray[Any]:
    """Return an array or a number as a numpy array.

    numpy arrays, and PyTorch tensors with more than two bytes per element, keep their type, and are not copied if
    numpy can share their memory. A numpy scalar is returned as it is. Everything else is converted to doubles.

    >>> to_numpy(0.5).shape
    ()
    """
    found: NDArray[Any]
    if library_of(x) == "numpy":
        found = x
    elif is_tensor(x) and x.element_size() > 2:
        found = x.numpy(force=True)
    else:
        found = to_doubles(x)
    return found


def number_kind(x: Any) -> str:
    """Return the kind of a number or of an array's numbers: "float", "complex", "int" (also booleans); else "other".

    >>> number_kind(0.5), number_kind(1 + 2j), number_kind(3), number_kind("sum")
    ('float', 'complex', 'int', 'other')
    """
    import numpy as np

    if is_tensor(x):
        return "float" if x.is_floating_point() else "complex" if x.is_complex() else "int"
    if not is_any_array(x) and not isinstance(x, (complex, np.generic, np.ndarray)):
        number = isinstance(x, Value) or (hasattr(x, "__float__") and not isinstance(x, type))
        return "int" if isinstance(x, int) else "float" if number else "other"
    if library_of(x) == "jax" and _is_random_key(x):
        return "other"
    dtype = np.asarray(x if hasattr(x, "__array__") or not hasattr(x, "tolist") else x.tolist()).dtype
    return NUMBER_KINDS.get(dtype.kind, "float")


def _is_random_key(x: Any) -> bool:
    """Return whether `x` is a jax key for random numbers, or an array of keys; numpy has no such type."""
    jax: Any = sys.modules.get("jax")
    return hasattr(jax, "dtypes") and bool(jax.dtypes.issubdtype(x.dtype, jax.dtypes.extended))


def array_maker(x: Any) -> Callable[[NDArray[float64]], Any]:
    """Return a function that converts a numpy array of doubles to the library, type, device and strides of `x`.

    If the numpy array has the type of `x` already, the converted array may share memory with it.

    >>> array_maker(0.5)(to_doubles(2))
    2.0
    """
    import numpy as np

    if isinstance(x, np.generic):
        return lambda values: x.dtype.type(values)
    match library_of(x):
        case "torch":
            torch = sys.modules["torch"]
            like = {"dtype": x.dtype, "device": x.device}
            if x.numel() and not x.is_contiguous() and all(x.stride()):
                shape, strides = x.shape, x.stride()

                def strided(values: NDArray[float64]) -> Any:
                    made = torch.empty_strided(shape, strides, **like).copy_(torch.from_numpy(np.array(values)))
                    return made.requires_grad_(x.requires_grad)

                return strided

            def made(values: NDArray[float64]) -> Any:
                fresh = torch.from_numpy(values if known is None else values.astype(known, copy=False))
                fresh = fresh if known else fresh.to(**like)
                return fresh.requires_grad_() if asks else fresh

            known = {4: np.float32, 8: np.float64}.get(x.element_size()) if str(x.device) == "cpu" else None
            asks = x.requires_grad
            return made
        case "jax":
            jax = sys.modules["jax"]
            return lambda values: jax.numpy.asarray(values.astype(x.dtype))
        case "numpy":
            if x.size and not x.flags.c_contiguous and all(step > 0 for step in x.strides):
                return lambda values: _strided_like(values, x)
            return lambda values: values.astype(x.dtype, copy=False)
        case "other":
            make: Any = (lambda values: type(x)(x.typecode, values)) if hasattr(x, "typecode") else type(x)
            return lambda values: make(values.tolist())
    return float


def empty_maker(x: Any) -> Callable[[], tuple[Any, NDArray[Any]]] | None:
    """Return a function that makes an uninitialised array like `x`; None if numpy cannot fill such arrays.

    The function has no arguments, and returns the array, and a flat numpy array that shares its memory, through which
    numpy can fill it.

    >>> empty_maker(0.5) is None
    True
    """
    import numpy as np

    if library_of(x) == "numpy" and not isinstance(x, np.generic) and x.flags.c_contiguous and x.itemsize > 2:

        def of_numpy() -> tuple[Any, NDArray[Any]]:
            made = np.empty(x.shape, x.dtype)
            return made, made.reshape(-1)

        return of_numpy
    if is_tensor(x) and x.is_contiguous() and str(x.device) == "cpu" and x.element_size() > 2:

        def of_torch() -> tuple[Any, NDArray[Any]]:
            made = x.new_empty(x.shape)
            return made.requires_grad_(x.requires_grad), made.detach().numpy().reshape(-1)

        return of_torch
    return None


def _strided_like(values: NDArray[float64], like: Any) -> Any:
    """Return a numpy array of these values that has the type and strides of `like`."""
    import numpy as np

    reach = sum((n - 1) * step for n, step in zip(like.shape, like.strides, strict=True))
    made: Any = np.ndarray(like.shape, like.dtype, bytearray(reach + like.itemsize), strides=like.strides)
    made[...] = values
    return made
