"""Operators, methods and attributes of numpy and PyTorch that a `Value` lacks: their use raises a helpful error.

The error says what to write instead. The dict `INSTEAD` has the names of the attributes. Each of them is a descriptor.
There is no `__getattr__` instead of them, because it would be called whenever numpy looks for `__array__` and the like
on a `Value`, and `np.array` of a list of `Value`s would take 18 times as long. `x[0]`, `len(x)` and a loop over a
`Value` raise Python's own errors. With a `__getitem__`, numpy would take a `Value` for a sequence, and `np.array` of a
list would take 9 times as long.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable
from types import FrameType
from typing import TYPE_CHECKING, Any, NoReturn

from . import context
from .callers import asked_by, is_call, is_numpys_code, logical_function, outside_numpy
from .operators import Operators
from .plain_numbers import stands_for_number, variables

__all__ = ["INSTEAD", "Unsupported", "no_operator", "refuse_logical"]

_variables, _modules, _getframe = variables.get, sys.modules, sys._getframe
_ONE = "x itself, which is one number and has no axes"
_HERE = "x itself, which is a float64 in main memory"
_NUMBER = "x.data for the number"
_KEPT = "state = {x: y}, whose keys are nodes, or class Weight(Value): pass, which has room for attributes"
_NEW = "x * 1 for a new node of the same number, or Value(x.data) for a new leaf"

# What to write instead of an attribute: code, in which x is the `Value`, y and z are numbers, and xs and ys are lists.
INSTEAD = {
    **dict.fromkeys(("T", "mT", "H", "transpose", "permute", "swapaxes", "view", "reshape", "flatten", "ravel"), _ONE),
    **dict.fromkeys(("squeeze", "unsqueeze", "expand", "contiguous", "size", "dim", "numel", "nelement"), _ONE),
    **dict.fromkeys(("shape", "ndim", "any", "all"), _ONE),
    **dict.fromkeys(("cpu", "cuda", "to", "device", "double", "half", "astype", "type"), _HERE),
    **dict.fromkeys(("float", "int", "long", "tolist", "eval"), _NUMBER),
    "realize": "x itself, because its number is computed at once",
    "stop_gradient": "x.detach()",
    "trainable": "x.requires_grad",
    "assign": "x.data = y",
    "assign_add": "x.data += y",
    "assign_sub": "x.data -= y",
    **dict.fromkeys(("clone", "copy"), _NEW),
    **dict.fromkeys(("m", "v", "momentum", "velocity", "cache", "state"), _KEPT),
    "real": "x itself, which is a real number",
    "imag": "0.0, because a Value is a real number",
    "dtype": "type(x.data), which is float",
    "numpy": "np.array(x.data) for the number",
    "sum": "sum(xs) for a list",
    "mean": "mean(xs) for a list",
    "prod": "math.prod(xs) for a list",
    "cumsum": "np.cumsum(xs) for a list",
    "max": "maximum(x, y) for two numbers, or max(xs) for a list",
    "min": "minimum(x, y) for two numbers, or min(xs) for a list",
    "argmax": "np.argmax(xs) for a list",
    "argmin": "np.argmin(xs) for a list",
    "std": "np.std(xs) for a list",
    "var": "np.var(xs) for a list",
    "norm": "dot(xs, xs).sqrt() for a list",
    "softmax": "softmax(xs) for a list",
    "log_softmax": "log_softmax(xs) for a list",
    "logsumexp": "logsumexp(xs) for a list",
    "remainder": "x % y",
    "dot": "dot(xs, ys) for lists",
    "matmul": "dot(xs, ys) for lists, or np.array(xs) @ np.array(ys) for arrays",
    "mm": "np.array([xs]) @ np.array([[x], [y]]) for arrays",
    "add": "x + y",
    "sub": "x - y",
    "subtract": "x - y",
    "mul": "x * y",
    "multiply": "x * y",
    "div": "x / y",
    "divide": "x / y",
    "true_divide": "x / y",
    "pow": "x ** y",
    "power": "x ** y",
    "square": "x * x",
    "reciprocal": "1 / x",
    "rsqrt": "1 / x.sqrt()",
    "negative": "-x",
    "absolute": "abs(x)",
    "lt": "x < y for a bool, or less(x, y) for a number in the graph",
    "le": "x <= y for a bool, or less_equal(x, y) for a number in the graph",
    "gt": "x > y for a bool, or less(y, x) for a number in the graph",
    "ge": "x >= y for a bool, or less_equal(y, x) for a number in the graph",
    "eq": "x.data == y for a bool, or equal(x, y) for a number in the graph",
    "ne": "x.data != y for a bool, or 1 - equal(x, y) for a number in the graph",
    "where": "where(less(0, x), y, z)",
    "maximum": "maximum(x, y)",
    "minimum": "minimum(x, y)",
    "clamp": "clip(x, y, z)",
    "clip": "clip(x, y, z)",
    "sign": "less(0, x) - less(x, 0)",
    "ceil": "-(-x).floor(), whose derivative is 0",
    "trunc": "where(less(x, 0.0), -(-x).floor(), x.floor()), whose derivative is 0",
    "round": "(x / 2 + 0.25).floor() - (0.25 - x / 2).floor(), whose derivative is 0",
    "isnan": "x != x",
    "isinf": "abs(x) >= math.inf",
    "isfinite": "abs(x) < math.inf",
    "is_integer": "x.data.is_integer()",
    "acosh": "(x + (x * x - 1).sqrt()).log()",
    "asinh": "(x + hypot(x, 1)).log()",
    "atanh": "(x.log1p() - (-x).log1p()) / 2",
    "atan2": "atan2(x, y)",
    "logit": "(x / (1 - x)).log()",
    "ln": "x.log()",
    "cube": "x ** 3",
    "logsigmoid": "-(-x).softplus()",
    "swish": "x.silu()",
    "mish": "x * x.softplus().tanh()",
    "softsign": "x / (1 + abs(x))",
    "relu6": "minimum(x.relu(), 6)",
    "heaviside": "x.step()",
    "lerp": "x + (y - x) * z",
    "requires_grad_": "x.requires_grad = True, or False for a constant",
    "zero_": "x.data = 0",
    "fill_": "x.data = y",
    "copy_": "x.data = y",
    "add_": "x.data += y",
    "sub_": "x.data -= y",
    "mul_": "x.data *= y",
    "div_": "x.data /= y",
    "clamp_": "x.data = min(max(x.data, y), z)",
    "normal_": "x.data = random.gauss(0, 1)",
    "uniform_": "x.data = random.uniform(y, z)",
    "detach_": "x = x.detach()",
    "is_leaf": "x.op is None",
    "grad_fn": "x.op",
    "retain_grad": "x.grad after backward(), because every Value keeps its gradient",
    "register_hook": "x.grad after backward(), because every Value keeps its gradient",
    "children": "x.parents for the operands",
    "name": "x.label",
    "value": "x.data",
    "val": "x.data",
    "gradient": "x.grad",
    "derivative": "x.grad",
    "zero_grads": "x.zero_grad()",
    **dict.fromkeys(("draw", "show", "plot", "visualize", "graph"), "draw_dot(x)"),
    "draw_dot": "draw_dot(x)",
}


# What to write instead of numpy's functions that read the `dtype` of a `Value`. The derivatives of the first branch of
# np.sinc are right at 0 up to the second one, and the second branch divides by no 0.
READING_DTYPE = {
    "norm": "sum([abs(x) ** y for x in xs]) ** (1 / y) for the norm np.linalg.norm(xs, y)",
    "sinc": "where(equal(x, 0), 1 - y * y / 6, sin(y) / where(equal(x, 0), 1, y)), with y = math.pi * x, "
    "for np.sinc(x)",
}


# The numpy functions and methods, written in C, that ask each element of an array whether it is true
TRUTH = {"logical_not", "nonzero", "count_nonzero", "astype", "where", "array", "asarray"}
LOGICAL = {"logical_or", "logical_and", "logical_xor"}
# Names in code that calls these functions, and in numpy's own code that does, as for np.any and np.nonzero. In all
# other code, a `Value` is true without a look at the caller, which would take long.
ASKING = TRUTH | LOGICAL | {"umr_any", "umr_all", "reduce", "_wrapit", "_array_converter"}
_names_no_asking = frozenset(ASKING).isdisjoint


class _Missing:
    """An attribute that a `Value` does not have. Reading it raises an AttributeError that says what to write.

    An object of a user's subclass of `Value` may have an attribute of this name, which is in its `__dict__`. A base
    class that comes after `Value`, as Ops does in `class V(Value, Ops)`, may have it, too. Then no error is raised.
    """

    def __init__(self, name: str, instead: str) -> None:
        self.name, self.instead = name, instead
        self.__doc__ = f"There is no such attribute: write {instead}."

    def __get__(self, instance: Any, owner: type) -> Any:
        held = getattr(instance, "__dict__", {})
        if owner.__mro__[-3] is not Unsupported and (part := self._hidden_in(owner)) is not None:  # the first for speed
            get = getattr(type(part), "__get__", None)
            if self.name not in held or hasattr(type(part), "__set__"):
                return get(part, instance, owner) if get else part
        if self.name in held:
            return held[self.name]
        instead = self.instead
        if self.name == "dtype" and is_numpys_code(caller := _getframe(1)):
            instead = READING_DTYPE.get(caller.f_code.co_name, "a formula for the numpy function")
        raise AttributeError(f"{owner.__name__!r} object has no attribute {self.name!r}; write {instead}")

    def _hidden_in(self, owner: type) -> Any:
        """Return the attribute of this name in a base of `owner` that comes after `Value`; None if there is none."""
        bases = owner.__mro__
        for base in bases[bases.index(Unsupported) + 1 :]:
            if self.name in vars(base):
                return vars(base)[self.name]
        return None

    def __set__(self, instance: Any, value: object) -> None:
        part = self._hidden_in(type(instance))
        if hasattr(type(part), "__set__"):
            type(part).__set__(part, instance, value)
            return
        if not hasattr(instance, "__dict__"):
            self.__get__(instance, type(instance))
        instance.__dict__[self.name] = value

    def __delete__(self, instance: Any) -> None:
        part = self._hidden_in(type(instance))
        if hasattr(type(part), "__delete__"):
            type(part).__delete__(part, instance)
            return
        self.__get__(instance, type(instance))
        del instance.__dict__[self.name]


def no_operator(sign: str, instead: str) -> Callable[..., NoReturn]:
    """Return a method for Python's operator `sign`, such as "@" or "//", for which there is no operation.

    The method raises an error that says to write `instead`.
    """

    def refuse(self: Any, *other: Any) -> NoReturn:
        raise context.refused(TypeError(f"there is no operation for {sign} of a Value; write {instead}"))

    return refuse


def refuse_logical(caller: FrameType) -> None:
    """Raise an error if the frame `caller` calls np.logical_or, or np.logical_and, of an array of `Value`s.

    For an array of objects, these functions return some of their operands, and not bools. A call inside numpy is left
    alone, since `np.all` and the like ask for bools.
    """
    if not is_call(caller) or is_numpys_code(caller):
        return
    if name := logical_function(caller):
        raise TypeError(
            f"np.{name}() of an array of Values would give some of its elements instead of bools; compare them, as in "
            f"np.{name}(x > 0, y > 0)"
        )


def refuse_truth(caller: FrameType) -> None:
    """Raise an error if the frame `caller` calls a numpy function that asks whether array elements are true.

    This is called when Python asks whether a `Value` that is 0 is true. Every `Value` is true, also this one, so
    `np.any`, `np.nonzero` and the like would treat a 0 in an array as they treat other numbers.
    """
    user = outside_numpy(caller)
    if user is caller and not (is_call(caller) and asked_by(caller).name in TRUTH | LOGICAL):
        return
    from .conversion import called_in  # imported here, because correct programs do not need it

    called = f"{name}()" if (name := called_in(user)) else "a numpy function"
    if caller.f_code.co_name in READING_DTYPE:
        raise TypeError(f"{called} of Values would divide by 0; write {READING_DTYPE[caller.f_code.co_name]}")
    raise TypeError(
        f"{called} of an array of Values would take a 0 among them for true; write a comparison, such as x > 0 or "
        "abs(x) > 0, in the place of the array x"
    )


class Unsupported(Operators):
    """Mixin: errors for operators, methods and attributes that a `Value` does not have.

    >>> from micrograd_cn import Value
    >>> Value(3).clamp(0, 1)
    Traceback (most recent call last):
    AttributeError: 'Value' object has no attribute 'clamp'; write clip(x, y, z)
    >>> hasattr(Value(3), "clamp")
    False
    """

    __slots__ = ()

    op: Any
    _data: float

    if not TYPE_CHECKING:  # a type checker shall go on saying that a Value has no such operators
        __matmul__ = __rmatmul__ = no_operator("@", "dot(xs, ys) for lists of numbers, x * y for two numbers")
        __lshift__ = __rlshift__ = no_operator("<<", "x * 2 ** y")
        __rshift__ = __rrshift__ = no_operator(">>", "x / 2 ** y")
        __divmod__ = __rdivmod__ = no_operator("divmod()", "floor(x / y) and x % y")

        def as_integer_ratio(self) -> NoReturn:
            """Raise TypeError, since a fraction would lose the graph. The module `statistics` calls this method."""
            raise TypeError(
                "a Value as a fraction, as in the module statistics, would lose its graph; write micrograd_cn.mean(xs) "
                "or np.var(xs), or x.data for the number alone"
            )

        def __index__(self) -> NoReturn:
            raise TypeError(
                "a Value as an index or a count would lose its graph; write take(xs, x) for an element of a list, "
                "[x * a for a in xs] for a product with a list, or int(x.data) for the number alone"
            )

    def __bool__(self) -> bool:
        """Return True, as for any object. But raise TypeError for the result of a comparison, such as `less(a, b)`.

        In a function that `functional` differentiates, a `Value` that stands for a plain number is true unless it is 0.
        Elsewhere, numpy functions such as `np.any` and `np.nonzero` raise TypeError if an element is 0.

        >>> from micrograd_cn import Value, less
        >>> bool(Value(0))
        True
        >>> bool(less(Value(3), 2))
        Traceback (most recent call last):
        TypeError: less(...) gives a Value, which is true whatever its number; write x < y, or where(condition, a, b)
        """
        op = self.op
        if (op is None or not op.is_step) and _variables() is None:
            if "numpy" not in _modules:
                return True
            names = _getframe(1).f_code.co_names
            if self._data:
                if "logical_or" not in names and "logical_and" not in names:
                    return True
            elif _names_no_asking(names):
                return True
        caller = _getframe(1)
        refuse_logical(caller)
        if _variables() is not None and stands_for_number(self, caller):
            return self._data != 0.0
        if op and op.is_step:
            raise TypeError(
                f"{op.name}(...) gives a Value, which is true whatever its number; write x < y, or "
                "where(condition, a, b)"
            )
        if self._data == 0.0:
            refuse_truth(caller)
        return True

    def __dir__(self) -> Iterable[str]:
        """Return the names of the attributes for `dir(x)`, without those that only raise an error."""
        names = super().__dir__()
        return [name for name in names if name != "_mask" and (name not in INSTEAD or hasattr(self, name))]


for _name, _instead in INSTEAD.items():
    setattr(Unsupported, _name, _Missing(_name, _instead))
