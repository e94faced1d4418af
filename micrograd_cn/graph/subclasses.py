"""Let a subclass of `Value` override operators, so other operators call its methods as they do in micrograd.

In micrograd, `x - y` calls `+` and unary `-`, `x / y` calls `*` and `**`, and `3 * x` calls `*`. Here every operator is
an operation of its own, which is faster. But the author of a subclass that overrides `__mul__`, for example to count
products, expects that `3 * x` calls this method. So such a subclass gets micrograd's definitions of the operators that
it does not define itself.
"""

from __future__ import annotations

from typing import Any

from .. import ops
from ..ops.number import number_or_none
from .callers import warn_at_user
from .operators import Operators
from .unsupported import INSTEAD

__all__ = ["OVERRIDING", "adapt", "without_operators"]

PRIMITIVES = ("__add__", "__mul__", "__neg__", "__pow__")
INTERNAL = {
    "data": "operations read the number directly; check or change a number before you assign it",
    "grad": "backward reads and writes the number directly; read x.grad after backward(), in a function of your own",
}


# Names that micrograd's `Value` has too, so it also hides them in a base class after it, and names that every class has
OF_MICROGRAD = {
    *("__add__", "__radd__", "__sub__", "__rsub__", "__mul__", "__rmul__", "__truediv__", "__rtruediv__", "__pow__"),
    *("__neg__", "__init__", "__repr__", "backward", "relu", "data", "grad"),
    *("__module__", "__doc__", "__slots__", "__annotations__", "__init_subclass__"),
}


# All users' classes that override an operator in PRIMITIVES. `Neuron` asks whether there are any, which takes no time.
OVERRIDING: set[type] = set()


def without_operators(x: Any) -> Any:
    """Return `x`, or if a user's class of `x` overrides operators, a plain `Value` that is computed as `x` times 1.

    Code that computes derivatives calls this first. So it applies the operations of the table, and not the user's.
    """
    return ops.mul(x, 1.0) if type(x) in OVERRIDING else x


class Derived:
    """The operators that micrograd defines by `+`, `*`, `**` and unary `-`.

    Python tries `y.__radd__(x)` before `x.__add__(y)` if the class of y is a subclass of the class of x and overrides
    `__radd__`. In micrograd, no class overrides it, and `x.__add__(y)` runs. So `__radd__` and `__rmul__` here return
    NotImplemented if both operands are `Value`s, and Python then calls the method of x.
    """

    def __neg__(self: Any) -> Any:
        return self * -1

    def __radd__(self: Any, other: Any) -> Any:
        return NotImplemented if isinstance(other, Operators) else self + other

    def __rmul__(self: Any, other: Any) -> Any:
        return NotImplemented if isinstance(other, Operators) else self * other

    def __sub__(self: Any, other: Any) -> Any:
        return self + (-other) if _is_operand(other) else NotImplemented

    def __rsub__(self: Any, other: Any) -> Any:
        return other + (-self) if _is_operand(other) else NotImplemented

    def __truediv__(self: Any, other: Any) -> Any:
        if isinstance(other, Operators):
            return self * other**-1
        x = number_or_none(other)
        return NotImplemented if x is None else self * ops.div(1.0, x)

    def __rtruediv__(self: Any, other: Any) -> Any:
        return other * self**-1 if _is_operand(other) else NotImplemented


def _is_operand(x: Any) -> bool:
    return isinstance(x, Operators) or number_or_none(x) is not None


def _hashes_by_identity(cls: Any) -> bool:
    """Return whether two objects of the class `cls` always have different hashes, whatever its `__eq__` compares."""
    if cls.__hash__ is object.__hash__:
        return True
    empty = object.__new__(cls)
    try:
        return hash(empty) in (object.__hash__(empty), hash(id(empty)))
    except Exception:  # __hash__ is None, or a user's code, which may read attributes that are missing
        return False


def _is_ours(cls: type) -> bool:
    return cls.__module__.partition(".")[0] == __name__.partition(".")[0]


def _warn_of_hidden(cls: type) -> None:
    """Warn if methods of a base of `cls` are hidden, because the base comes after `Value`, which has such methods too.

    micrograd's `Value` has few methods, so `class V(Value, Ops)` calls the `log` of Ops there. Here it would call the
    `log` of `Value`. Names that `Value` only refuses, such as softmax, are not hidden; see `unsupported`.
    """
    values = [base for base in cls.__bases__ if issubclass(base, Operators)]
    others = [base for base in cls.__bases__ if not issubclass(base, Operators)]
    known = {base for value in values for base in value.__mro__}  # which have been looked at, with `value`
    hidden: dict[str, list[str]] = {}
    for base in cls.__mro__[:-1]:
        if base not in known and base is not cls:
            for name, part in vars(base).items():
                holder = next(each for each in cls.__mro__ if name in vars(each))
                private = name.startswith("_") and not name.startswith("__")
                if _is_ours(holder) and part is not None and name not in OF_MICROGRAD | INSTEAD.keys() and not private:
                    hidden.setdefault(base.__name__, []).append(name)
    if hidden:
        found = " and ".join(f"{', '.join(names)} of {base}" for base, names in hidden.items())
        right = ", ".join(base.__name__ for base in (*others, *values))
        given = ", ".join(base.__name__ for base in cls.__bases__)
        warn_at_user(
            f"class {cls.__name__}({given}) does not call {found}, because Value has them too and comes first; write "
            f"class {cls.__name__}({right})"
        )


def adapt(cls: Any, base: Any) -> None:
    """Make the operators of `cls`, a user's new subclass of `base`, call the operators that it overrides.

    If it overrides `__add__`, `__mul__`, `__neg__` or `__pow__`, each operator that it does not define itself is
    replaced by one that calls these four, as in the original micrograd: `x - y` then calls `+` and unary `-`. There is
    a warning if `base` hides methods of a class that comes after it, as Ops does in `class V(Value, Ops)`.

    Raises:
        TypeError: the class overrides `data` or `grad`, which the engine reads and writes without calling a method; or
            it compares nodes by something other than identity.

    >>> from micrograd_cn import Value
    >>> class Counted(Value):
    ...     __module__ = "example"  # as if it were not a class of this package
    ...     products = 0
    ...     def __mul__(self, other):
    ...         Counted.products += 1
    ...         return super().__mul__(other)
    >>> x = Counted(2)
    >>> (3 * x / 4 - x).data, Counted.products
    (-0.5, 2)
    """
    if _is_ours(cls):
        return
    for name, why in INTERNAL.items():
        if getattr(cls, name) is not getattr(base, name):
            raise TypeError(f"class {cls.__name__} cannot define {name}: {why}")
    if not _hashes_by_identity(cls):
        raise TypeError(
            f"class {cls.__name__} defines __eq__ or __hash__, but a graph tells nodes apart by identity; add "
            "__hash__ = Value.__hash__ to the class"
        )
    if len(cls.__bases__) > 1:
        _warn_of_hidden(cls)
    if any(getattr(cls, name) is not getattr(base, name) for name in PRIMITIVES):
        OVERRIDING.add(cls)
        for name, derived in vars(Derived).items():
            if callable(derived) and getattr(cls, name) is getattr(base, name):
                setattr(cls, name, derived)
