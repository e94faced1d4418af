"""Methods that numpy's functions call, on a `Value` and on each `Value` of an array.

An array of `Value`s is an array of objects. numpy computes `np.arctan(values)` by calling `value.arctan()` for each of
them. For a function such as `np.exp`, whose operation has the same name here, `operators` has the method. This module
has the methods for functions whose operation has another name here, such as `np.arctan`. For functions without an
operation it has methods that raise an error, which says what to write.

If an argument is a `Value` itself, as in `np.maximum(x, 0)`, numpy calls `__array_ufunc__` instead. This method applies
the operation, or raises an error, which says what to write.

For the following functions of arrays, numpy calls no method of `Value`, because it treats the elements as arbitrary
objects, or as numbers. (A compiled function gets arrays of another class, for which most of these functions are
operations; see `value_arrays`.)

- `np.maximum`, `np.minimum`, `np.fmax`, `np.fmin`, `np.clip`, `np.max` and `np.min` compare the elements, as Python's
  `max` does, and return one of them. This has four effects.

  Plain numbers: there may be one in the result, as in `np.maximum(x, 0)`. If all elements of the result are plain
  numbers, `np.maximum(0, 1 - y * s).mean()` is a plain number, too, and has no `backward`. Write
  `micrograd_cn.maximum(0, 1 - y * s).mean()` or `micrograd_cn.relu(1 - y * s).mean()`, which are always `Value`s.

  Ties: the first of the equal elements gets the whole gradient. So at 0, `np.maximum(x, 0)` has the derivative 1, and
  `np.maximum(0, x)` has the derivative 0. `np.clip(x, 0, 1)` is `np.minimum(np.maximum(x, 0), 1)`, so it has the
  derivative 1 at 0 and at 1, and a bound that is a `Value` gets nothing there. A compiled function does the same. To
  give each operand half of the gradient at a tie, as PyTorch and jax do, write `maximum(x, 0)`, which takes arrays,
  too. `np.maximum` and `np.minimum` do this if an operand is a single `Value`, and so does `np.clip` if it has only one
  bound, and this bound is a `Value`.

  nan: the functions treat it as they do in arrays of floats. `np.maximum` returns it, and `np.fmax` leaves it out.
  numpy only asks the elements to compare themselves, so an element that is nan finds out from the code that calls numpy
  which function compares. If that code calls the function by no name, as in `[np.maximum][0](x, y)`, an error is
  raised.

  Two plain numbers in an array of `Value`s are compared by Python.
- `np.exp` and the like call a method of each element, and raise an error if an element is a plain number. There may be
  such numbers in the results of `np.maximum`, `np.clip`, `np.where`, `np.pad`, `np.append`, `np.tril` and
  `np.concatenate`. Write `micrograd_cn.exp(np.maximum(x, 0))`, which takes arrays of numbers and `Value`s, or
  `micrograd_cn.maximum` and `where`, which give `Value`s. In a function that `functional` differentiates, numpy's
  function works, too.
- `np.nonzero`, `np.count_nonzero`, `np.any`, `np.all`, `np.logical_not`, `np.where` in its condition, `x.astype(bool)`
  and the like ask whether elements are true. Every `Value` is true, even 0, so these functions raise an error if an
  element is 0. Write a comparison, such as `a > 0`, or take the numbers first, as in `np.array([x.data for x in a])`.
  Under another name, as in `f = np.logical_not; f(x)`, some of them are not recognised, and take 0 for true.
- `np.logical_and` and `np.logical_or` return, for arrays of objects, some of the elements, and not bools. So they raise
  an error if the code that calls them uses these names, and always inside a function that `functional` differentiates.
- The operator `==` compares elements by identity, and so does `np.equal`, except that nan is not equal to itself.
  `np.nansum`, `np.isclose`, `np.unique` and other functions that numpy writes in Python compare numbers. Only in a
  function that `functional` differentiates, truth and `==` of its arguments go by the numbers.
- `np.nan_to_num` does not recognise nan: write `np.where(x == x, x, 0.0)`. It does recognise nan in an array that is an
  argument of a function that `functional` differentiates, or of a compiled function. If a compiled function calls it
  with other `Value`s, an error is raised.
- `np.sinc` of 0 raises an error.
- `np.sort`, `np.argmax` and the like compare the elements, and order nan as in an array of floats. A median or a
  quantile of nan is refused, and so is `np.unique` of an array in which nan occurs twice. `nan_order` says how. Two
  plain numbers are compared by Python, which finds no order of nan. So an array of at most 1000 elements is refused if
  numpy compares a `Value` with a nan that is a plain number, and there is another plain number in the array.
- `np.isnan`, `np.isfinite`, `np.allclose`, `np.logaddexp`, `np.linalg.inv`, `det` and `solve`, `np.cov`, `np.angle`,
  `np.interp`, `np.fft` and others raise numpy's own error, which is about arrays of objects and does not say what to
  write, because they call no method of the elements. For a question about numbers, write
  `np.isnan([x.data for x in a])`. For a result with a gradient, write its formula, as in `x * w - y * z` for the
  determinant of `[[x, y], [z, w]]`.
- `np.linalg.norm` of zeros and `np.std` of equal numbers have the gradient nan, since they take the square root of 0,
  whose slope is infinite. PyTorch gives 0 there. For `np.std(xs)`, write
  `np.sqrt(np.mean((xs - xs.mean())**2) + 1e-12)`.
- `W[:] = xs`, `np.copyto(W, xs)`, `W.fill(0.0)` and `np.add(W, xs, out=W)` put other objects into the array W. If W was
  an array of leaves, such as the parameters of a `Module`, the leaves are no longer in it, and nothing trains them or
  what has replaced them. Inside `no_grad()` most of this is an error (see `no_grad`), and a `Module` notices that it
  has lost a parameter. To change the numbers of leaves, write `for w, x in zip(W.flat, xs.flat): w.data = x`.

An operation of a masked array and a `Value`, as in `a * x`, is refused. Write `np.array([x])` for the `Value` x.
"""

from __future__ import annotations

import math
import operator
import sys
from collections.abc import Callable
from functools import cache
from itertools import repeat
from types import FrameType
from typing import TYPE_CHECKING, Any, NamedTuple, NoReturn, Self

from .. import ops
from ..ops.number import DATES, number
from ..ops.operation import Op
from . import context
from .array_updates import refuse_results_in, remember_arrays
from .callers import asked_by, is_numpys_code, outside_numpy
from .operators import method
from .unsupported import Unsupported

__all__ = ["NumpyMethods"]

# What to write instead of a function without an operation: code, and after a comma what to know about the code. The
# code reads no .data, which a compiled function refuses, unless there is no operation for it. The names are those that
# numpy and scipy.special give to their functions.
INSTEAD = {
    "isnan": "x != x",
    "isinf": "abs(x) >= math.inf",
    "isfinite": "abs(x) < math.inf",
    "signbit": "x < 0, which is False for -0.0",
    "log2": "x.log() / math.log(2)",
    "log10": "x.log() / math.log(10)",
    "cbrt": "x ** (1 / 3), for x above 0",
    "arcsinh": "(x + hypot(x, 1)).log()",
    "arccosh": "(x + (x * x - 1).sqrt()).log()",
    "arctanh": "(x.log1p() - (-x).log1p()) / 2",
    "rint": "(x / 2 + 0.25).floor() - (0.25 - x / 2).floor(), whose derivative is 0",
    "trunc": "where(less(x, 0.0), -(-x).floor(), x.floor()), whose derivative is 0",
    "modf": "(f := where(less(x, 0.0), -(-x % 1), x % 1), x - f)",
    "frexp": "math.frexp(x.data)",
    "spacing": "math.ulp(x.data)",
    "expit": "x.sigmoid()",
    "logit": "(x / (1 - x)).log()",
    "erf": "x.erf()",
    "erfc": "x.erfc()",
    "log_expit": "-(-x).softplus()",
    "erfinv": "x.erfinv()",
    "gammaln": "x.lgamma()",
    "psi": "x.digamma()",
    "logaddexp2": "logaddexp(x * math.log(2), y * math.log(2)) / math.log(2)",
    "heaviside": "x.step(), which is 0 at 0",
    "float_power": "x ** y",
    "fmax": "maximum(x, y), which is nan if x or y is",
    "fmin": "minimum(x, y), which is nan if x or y is",
    "fmod": "where(less(x, 0.0), -(-x % abs(y)), x % abs(y))",
    "divmod": "floor(x / y) and x % y",
    "floor_divide": "floor(x / y), whose derivative is 0",
    "copysign": "where(less(y, 0.0), -abs(x), abs(x))",
    "nextafter": "math.nextafter(x.data, y.data)",
    "ldexp": "x * 2 ** y",
    "xlogy": "x * y.log()",
    "matmul": "dot(xs, ys) for lists of numbers, x * y for two numbers",
    "logical_and": "x * y, which is 1 if both conditions are",
    "logical_or": "maximum(x, y), which is 1 if one of the conditions is",
    "logical_xor": "abs(x - y), which is 1 if one of two conditions is",
    "logical_not": "1 - x, which is 1 if the condition x is 0",
}


def _sign(x: Any) -> float:
    return 1.0 if x > 0 else -1.0 if x < 0 else 0.0 if x >= 0 else math.nan


# For each name of a numpy function, the function that computes the same for `Value`s.
FUNCTIONS: dict[str, Callable[..., Any]] = {
    **{"add": operator.add, "subtract": operator.sub, "multiply": operator.mul, "divide": operator.truediv},
    **{"power": operator.pow, "negative": operator.neg, "positive": operator.pos, "absolute": operator.abs},
    **{"less": operator.lt, "less_equal": operator.le, "greater": operator.gt, "greater_equal": operator.ge},
    **{"equal": operator.eq, "not_equal": operator.ne, "sign": _sign, "square": lambda x: x * x},
    **{"reciprocal": lambda x: 1.0 / x, "maximum": ops.maximum, "minimum": ops.minimum},
    **{"arctan2": ops.atan2, "hypot": ops.hypot, "remainder": operator.mod, "logaddexp": ops.logaddexp},
    **{name: operator.methodcaller(name) for name in ("exp", "expm1", "log", "log1p", "sqrt", "sin", "cos", "tan")},
    **{name: operator.methodcaller(name) for name in ("sinh", "cosh", "tanh", "arcsin", "arccos", "arctan", "fabs")},
    **{"floor": math.floor, "ceil": math.ceil},
    **{name: operator.methodcaller(name) for name in ("exp2", "deg2rad", "rad2deg", "radians", "degrees", "conjugate")},
}
# The methods that Python's operators call: x.__sub__(y) for x - y, and y.__rsub__(x) if x is a number.
METHODS = {
    **{"add": ("__add__", "__radd__"), "subtract": ("__sub__", "__rsub__"), "multiply": ("__mul__", "__rmul__")},
    **{"divide": ("__truediv__", "__rtruediv__"), "power": ("__pow__", "__rpow__")},
    "remainder": ("__mod__", "__rmod__"),
    **{"less": ("__lt__", "__gt__"), "less_equal": ("__le__", "__ge__")},
    **{"greater": ("__gt__", "__lt__"), "greater_equal": ("__ge__", "__le__")},
}
ROUNDING = {"round", "around"}  # numpy's functions that round by np.rint
COMPARISONS = {"less", "less_equal", "greater", "greater_equal", "equal", "not_equal"}


class _Ufunc(NamedTuple):
    """What `__array_ufunc__` needs to know of one of numpy's functions."""

    function: Any  # the function in FUNCTIONS that computes the same, or None
    forward: str  # the names of the operator's two methods, `forward` and `reflected`, as in METHODS, or ""
    reflected: str
    result: type  # the type of the elements in an array of results


@cache
def _known(ufunc: Any) -> _Ufunc:
    name = ufunc.__name__
    return _Ufunc(FUNCTIONS.get(name), *METHODS.get(name, ("", "")), bool if name in COMPARISONS else object)


def _no_operation(name: str) -> TypeError:
    """Return the error for a call of numpy's function `name`, for which this package has no operation.

    The message says what to write instead. If a user has called another numpy function, which calls this one, the
    message names that other function.
    """
    from .conversion import called_in, is_scipys_code, scipys_refusal  # here, because correct programs do not need it

    caller = sys._getframe(2)
    user = outside_numpy(caller)
    if is_scipys_code(user):
        return scipys_refusal()
    asked = asked_by(user).name  # "round" for x.round(), which calls np.rint
    public = asked if hasattr(sys.modules["numpy"], asked) else name
    if user is caller:
        return TypeError(f"np.{public}() of a Value: there is no operation for it; write {INSTEAD[name]}")
    called = called_in(user) or f"np.{public}"
    instead = INSTEAD[name] if called.rpartition(".")[2] in ROUNDING else "x.data for the number"
    return TypeError(f"{called}() of a Value: there is no operation for it; write {instead}")


def _refuse(name: str) -> Callable[..., NoReturn]:
    """Return a method for numpy's function `name`, which has no operation. It raises an error."""

    def refuse(self: Any, *other: Any) -> NoReturn:
        raise context.refused(_no_operation(name))

    refuse.__name__, refuse.__qualname__, refuse.__doc__ = name, f"Value.{name}", f"Refuse: write {INSTEAD[name]}."
    return refuse


def _of_two(op: Op) -> Callable[[Any, Any], Any]:
    """Return a method of `Value` that applies `op` to two operands.

    For an array of objects, a numpy function such as `np.arctan2` calls the method of its own name on each element of
    its first argument.
    """

    def of_two(self: Any, other: Any) -> Any:
        if context.active and self.op is None and self.requires_grad:
            remember_arrays(sys._getframe(1))
        return op(self, other)

    of_two.__name__, of_two.__qualname__, of_two.__doc__ = op.name, f"Value.{op.name}", op.doc.partition("\n")[0]
    return of_two


class _Mask:
    """The attribute `_mask` of a `Value`, which functions of masked arrays read from each operand. It raises an error.

    Before that, these functions read `_data`, which is a float in a `Value`. Without the error they would compute with
    this float and lose the graph. The error is not an AttributeError, because they would ignore that. A subclass of
    `Value` may have an attribute named `_mask`.
    """

    __name__ = "_mask"

    def __get__(self, instance: Any, owner: type) -> Any:
        if instance is None:
            return self
        raise TypeError(
            "a masked array beside a Value x would lose the graph; write np.array([x]) for the Value, or fill the "
            "array a, as in a.filled(0.0) * x"
        )


class NumpyMethods(Unsupported):
    """Mixin: methods that numpy's functions call on a `Value`, and on the elements of an array.

    >>> import numpy as np
    >>> from micrograd_cn import Value
    >>> np.arctan2(np.array([Value(0), Value(1)]), 1.0)[0]
    Value(data=0.0, grad=0.0)
    >>> np.log10(Value(100))
    Traceback (most recent call last):
    TypeError: np.log10() of a Value: there is no operation for it; write x.log() / math.log(10)
    """

    __slots__ = ()

    _mask = _Mask()

    if not TYPE_CHECKING:  # a type checker shall go on saying that numpy's functions take no Value

        def __array_ufunc__(self, ufunc: Any, how: str, *operands: Any, **options: Any) -> Any:
            """Return the result of numpy's function `ufunc` for `operands`, among which is a `Value`.

            `how` is the name of the method of `ufunc` that was called, such as "__call__" or "reduce". `options` has
            the options of the call, such as `out`.
            """
            known = _known(ufunc)
            if known.function and how == "__call__" and not options:
                if len(operands) == 1:
                    return known.function(*operands)
                x, y = operands
                np = sys.modules["numpy"]
                if type(x) is np.ndarray and x.shape:
                    return _applied_to_array(ufunc, known, x, y, x)
                if type(y) is np.ndarray and y.shape:
                    return _applied_to_array(ufunc, known, x, y, y)
                result = _applied_to_numbers(ufunc, known, x, y)
                boxes = result is not NotImplemented and _needs_array(sys._getframe(1))
                return _boxed(result) if boxes else result
            if ufunc.__name__ in INSTEAD and how == "__call__":
                raise context.refused(_no_operation(ufunc.__name__))
            if context.active:
                arrays = operands[:1] if how == "at" else options.get("out", ())
                refuse_results_in(arrays, ufunc.__name__, sys._getframe(1))
            return _applied_to_objects(ufunc, how, operands, options)

    arcsin = method(ops.asin)
    arccos = method(ops.acos)
    arctan = method(ops.atan)
    arctan2 = _of_two(ops.atan2)
    hypot = _of_two(ops.hypot)
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

    log2 = _refuse("log2")
    log10 = _refuse("log10")
    cbrt = _refuse("cbrt")
    arcsinh = _refuse("arcsinh")
    arccosh = _refuse("arccosh")
    arctanh = _refuse("arctanh")
    rint = _refuse("rint")
    fmod = _refuse("fmod")
    logical_xor = _refuse("logical_xor")


def _applied_to_array(ufunc: Any, known: _Ufunc, x: Any, y: Any, array: Any) -> Any:
    """Return an array of the results of numpy's function `ufunc`, which `known` describes.

    `array` is one of the operands x and y; the other operand is a `Value`.

    Raises:
        TypeError: the array contains text, complex numbers, dates or other elements that are not real numbers.
    """
    np: Any = sys.modules["numpy"]
    if known.forward and array.dtype.hasobject:  # numpy calls the operators itself
        return ufunc(_boxed(x), _boxed(y))
    kind = array.dtype.kind
    if kind not in "biufO" and array.size and ufunc.__name__ not in ("equal", "not_equal"):
        number(array.flat[0] if kind in DATES else array.item(0))  # raises an error: text and the like are no numbers
    elements = array.tolist() if array.ndim == 1 else array.ravel().tolist()
    if known.forward:
        results = map(getattr(y, known.reflected) if array is x else getattr(x, known.forward), elements)
    elif array is x:
        results = map(known.function, elements, repeat(y))
    else:
        results = map(known.function, repeat(x), elements)
    found = np.fromiter(results, known.result, len(elements))
    return found if array.ndim == 1 else found.reshape(array.shape)


def _applied_to_numbers(ufunc: Any, known: _Ufunc, x: Any, y: Any) -> Any:
    """Return the result of numpy's function `ufunc` for x and y, at least one of which is a `Value`.

    `known` describes the function. The other operand is usually a number. If it is a list or a tuple, the result is an
    array.
    """
    np: Any = sys.modules["numpy"]
    if type(x) is np.ndarray:  # without dimensions
        x = x[()]
    elif type(y) is np.ndarray:
        y = y[()]
    if isinstance(x, np.generic):  # as a float, because numpy's scalars would call numpy again
        x = number(x)
    elif isinstance(y, np.generic):
        y = number(y)
    elif isinstance(x, (list, tuple)) or isinstance(y, (list, tuple)):
        return ufunc(*[np.array(a) if isinstance(a, (list, tuple)) else a for a in (x, y)])
    elif isinstance(x, np.ndarray) or isinstance(y, np.ndarray):  # of a subclass, such as a masked array
        if hasattr(x, "takes_values") or hasattr(y, "takes_values"):
            return NotImplemented  # so numpy asks the `ArgumentArray`, which calls `ufunc` of a plain array
        return _applied_to_objects(ufunc, "__call__", (x, y), {})
    return known.function(x, y)


def _needs_array(caller: FrameType) -> bool:
    """Return whether the frame `caller` runs a function of numpy that needs an array as a result.

    `np.quantile` and `np.var` call such functions, which pass a result on as the option `out` of the next operation.
    """
    return caller.f_code.co_name in ("_lerp", "_var") and is_numpys_code(caller)


def _boxed(x: Any) -> Any:
    """Return an array of no dimensions that contains x, or x itself if it is an array."""
    np: Any = sys.modules["numpy"]
    if type(x) is np.ndarray:
        return x
    array = np.empty((), object)
    array[()] = x
    return array


def _applied_to_objects(ufunc: Any, how: str, operands: tuple[Any, ...], options: dict[str, Any]) -> Any:
    """Return the result of numpy's function `ufunc`, with each `Value` in `operands` put into an array of one object.

    `how` is the name of the method of `ufunc` that was called, such as "__call__" or "reduce", and `options` has the
    options of the call.

    Raises:
        TypeError: numpy cannot apply the function to objects, or cannot put the results into the array `out`.
    """
    boxed = [_boxed(x) if isinstance(x, NumpyMethods) else x for x in operands]
    try:
        apply = getattr(ufunc, how)  # a name, by which `callers` finds out which numpy function compares elements
        return apply(*boxed, **options)
    except TypeError as error:
        text = str(error)
        if "output from dtype('O')" in text:
            raise TypeError(
                "a Value does not fit into an array of floats; write a = a + x for a += x, or make the array with "
                "dtype=object"
            ) from None
        if "not supported for the input types" in text:
            instead = INSTEAD.get(ufunc.__name__, "x.data for the number")
            raise TypeError(f"{ufunc.__name__}() of a Value: there is no operation for it; write {instead}") from None
        raise
