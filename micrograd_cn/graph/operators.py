"""Operators and methods that apply operations: `a + b` is `add(a, b)`, and `a.tanh()` is `tanh(a)`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol, Self, TypeVar, cast

from .. import ops
from ..ops.number import mixed_engines, number_instead, number_or_none
from ..ops.operation import Op

__all__ = ["Operators", "method", "method_call", "result_of_own_class"]

T = TypeVar("T", bound="Operators")


class Method(Protocol):
    """The type of the methods that `method` returns: called on an object, they return an object of the same type."""

    def __get__(self, instance: T, owner: type[T]) -> Callable[..., T]:
        """Return the method of the object `instance`, as Python asks for it; `owner` is the class of the object."""


def method(op: Op) -> Method:
    """Return a method that calls `op` with the object as the first operand, followed by the method's arguments.

    >>> from micrograd_cn import Value, elu
    >>> method(elu)(Value(0), alpha=0.5)
    Value(data=0.0, grad=0.0)
    """

    def unary(self: Any) -> Any:
        return self._unary(op)

    def general(self: Any, *rest: Any, **options: Any) -> Any:
        return op(self, *rest, **options)

    ours = vars(ops).get(op.name) is op  # op() also checks the results, which a user-defined operation needs
    chosen = unary if op.arity == 1 and ours else general
    chosen.__name__, chosen.__qualname__ = op.name, f"Value.{op.name}"
    chosen.__module__ = f"{__name__.partition('.')[0]}.engine"  # pickle looks for the method in Value there
    chosen.__doc__ = op.doc.partition("\n")[0]
    return cast(Method, chosen)


# Written out, because a neuron calls them often, and `operator.methodcaller` takes twice as long
_FREQUENT: dict[str, Callable[[Any], Any]] = {
    "relu": lambda x: x.relu(),
    "tanh": lambda x: x.tanh(),
    "sigmoid": lambda x: x.sigmoid(),
    "leaky_relu": lambda x: x.leaky_relu(),
    "gelu": lambda x: x.gelu(),
    "silu": lambda x: x.silu(),
}


def method_call(name: str) -> Callable[[Any], Any]:
    """Return a function that calls the method `name` of its argument.

    It looks for the method in each call. So it calls the method of a user's subclass of `Value`, and the function that
    a user has assigned to `Value.relu`, for example.

    >>> from micrograd_cn import Value
    >>> method_call("relu")(Value(-2))
    Value(data=0.0, grad=0.0)
    """
    return _FREQUENT.get(name) or (lambda x: getattr(x, name)())


def _is_operand(x: Any) -> bool:
    return isinstance(x, Operators) or number_or_none(x) is not None


def _left_to_python(op: Op, other: Any) -> Any:
    """Return NotImplemented for `other`, an operand of `op` that is not a number, or raise a helpful error.

    For NotImplemented, Python asks the class of `other`, which may know what to do with a `Value`. An error is raised
    for a node of another engine, such as micrograd, whose class would take a `Value` for a number. It is also raised
    for a list and for an array of PyTorch or jax, because these know nothing of `Value`s, and for None, a text, a
    function and whatever else has no method that Python could ask. A list beside `*` is an exception: there, Python
    asks the `Value` how often to repeat the list, and the `Value` raises an error that says what to write. Text beside
    `*` is refused here, because Python would ask how often to repeat it.
    """
    if message := mixed_engines(other):
        raise TypeError(message)
    sign, kind = op.notation.symbol, type(other).__name__
    if sign == "*" and isinstance(other, (str, bytes, bytearray)):
        raise TypeError(
            f"there is no operation for * of a Value and a {kind}; write float(s) * x if the text s is a number, or "
            "s * int(x.data) to repeat it"
        )
    if type(other) in (list, tuple) and sign != "*":
        raise TypeError(f"there is no operation for {sign} of a Value and a {kind}; write [x {sign} a for a in xs]")
    numpys = any(base.__module__ == "numpy" for base in type(other).__mro__)  # also a subclass, as of masked arrays
    if getattr(other, "shape", None) and hasattr(other, "device") and not numpys:
        raise TypeError(
            f"there is no operation for {sign} of a Value and a {kind}, an array of another library; write "
            "np.asarray(t) for an array t, which gives an array of Values"
        )
    is_repeated = sign == "*" and isinstance(other, Sequence)
    knows_nothing = type(other).__module__ == "builtins" and not is_repeated
    if knows_nothing or not hasattr(type(other), REFLECTED.get(op.name, "__rmod__")):
        raise TypeError(f"there is no operation for {sign} of a Value and a {kind}{number_instead(other)}")
    return NotImplemented


REFLECTED = {"add": "__radd__", "sub": "__rsub__", "mul": "__rmul__", "div": "__rtruediv__", "pow": "__rpow__"}


def result_of_own_class(op: Op, x: Any, other: Any) -> Any:
    """Return the result of `op` for `x` and `other`, a number of a user's class, if this class has a method for it.

    Python does the same: for 3.0 * q, it calls `q.__rmul__(3.0)`, even if q could be converted to a float. Return
    NotImplemented if `other` is a Python or numpy number or a `numbers.Real`, or if its class has no such method, or
    if the method returns NotImplemented.
    """
    if isinstance(other, (int, float, Operators)) or type(other).__module__ == "numpy":
        return NotImplemented
    import numbers  # imported here, because the usual operands do not need it

    reflected = getattr(type(other), REFLECTED.get(op.name, ""), None)
    return NotImplemented if reflected is None or isinstance(other, numbers.Real) else reflected(other, x)


class Operators:
    """Mixin: operators and methods that apply operations. A subclass defines what `_record(op, operands)` returns.

    >>> from micrograd_cn import Value
    >>> (2 - Value(3).relu()) ** 2
    Value(data=1.0, grad=0.0)
    """

    __slots__ = ()

    @staticmethod
    def _record(op: Op, operands: Any) -> Any:
        """Apply `op` to `operands`, at least one of which is an object of this class; a subclass defines how."""
        raise NotImplementedError

    def _unary(self, op: Op) -> Self:
        return op(self)

    def _binary(self, op: Op, other: Any) -> Self:
        if not _is_operand(other):
            return cast(Self, _left_to_python(op, other))
        if (result := result_of_own_class(op, self, other)) is NotImplemented:
            result = op(self, other)
        return cast(Self, result)

    def _reflected(self, op: Op, other: Any) -> Self:
        result: Self = op(other, self) if _is_operand(other) else _left_to_python(op, other)
        return result

    def __add__(self, other: Any) -> Self:
        return self._binary(ops.add, other)

    def __radd__(self, other: Any) -> Self:
        return self._reflected(ops.add, other)

    def __sub__(self, other: Any) -> Self:
        return self._binary(ops.sub, other)

    def __rsub__(self, other: Any) -> Self:
        return self._reflected(ops.sub, other)

    def __mul__(self, other: Any) -> Self:
        return self._binary(ops.mul, other)

    def __rmul__(self, other: Any) -> Self:
        return self._reflected(ops.mul, other)

    def __truediv__(self, other: Any) -> Self:
        return self._binary(ops.div, other)

    def __rtruediv__(self, other: Any) -> Self:
        return self._reflected(ops.div, other)

    def __mod__(self, other: Any) -> Self:
        return self._binary(ops.remainder, other)

    def __rmod__(self, other: Any) -> Self:
        return self._reflected(ops.remainder, other)

    def __pow__(self, other: Any, modulus: None = None) -> Self:
        if modulus is not None:
            raise TypeError(f"pow() of a {type(self).__name__} takes a base and an exponent, and no modulus")
        return self._binary(ops.pow, other)

    def __rpow__(self, other: Any, modulus: None = None) -> Self:
        return NotImplemented if modulus is not None else self._reflected(ops.pow, other)

    def __neg__(self) -> Self:
        return self._unary(ops.neg)

    def __abs__(self) -> Self:
        return self._unary(ops.abs)

    def __pos__(self) -> Self:
        return self

    def __floor__(self) -> Self:
        """Return floor(x), for `math.floor`, and for `np.floor` of an array."""
        return self._unary(ops.floor)

    def __ceil__(self) -> Self:
        """Return -floor(-x), the smallest integer not below x, for `math.ceil`, and for `np.ceil` of an array."""
        return -(-self)._unary(ops.floor)

    neg = method(ops.neg)
    abs = method(ops.abs)
    exp = method(ops.exp)
    expm1 = method(ops.expm1)
    log = method(ops.log)
    log1p = method(ops.log1p)
    sqrt = method(ops.sqrt)
    sin = method(ops.sin)
    cos = method(ops.cos)
    tan = method(ops.tan)
    asin = method(ops.asin)
    acos = method(ops.acos)
    atan = method(ops.atan)
    sinh = method(ops.sinh)
    cosh = method(ops.cosh)
    sech = method(ops.sech)
    tanh = method(ops.tanh)
    sigmoid = method(ops.sigmoid)
    relu = method(ops.relu)
    leaky_relu = method(ops.leaky_relu)
    elu = method(ops.elu)
    softplus = method(ops.softplus)
    gelu = method(ops.gelu)
    silu = method(ops.silu)
    erf = method(ops.erf)
    erfc = method(ops.erfc)
    erfinv = method(ops.erfinv)
    lgamma = method(ops.lgamma)
    digamma = method(ops.digamma)
    floor = method(ops.floor)
    step = method(ops.step)
