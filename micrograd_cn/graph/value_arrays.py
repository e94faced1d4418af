"""The classes of the arrays of `Value`s that a function gets in place of arrays of numbers.

In a function that `functional` differentiates, this class is `ArgumentArray`. numpy's functions often give plain
numbers beside `Value`s, as `np.maximum(x, 0)` does, and `np.exp` and the like call a method of each element, which a
plain number does not have. An `ArgumentArray` makes constants of the plain numbers before such a call. A plain array of
`Value`s cannot do this, because numpy calls nothing of this package for it.

In a compiled function, the class is `ValueArray`, which is a subclass. numpy compares the elements of an array of
objects in `np.maximum`, `np.clip`, `np.sort` and the like, and takes the elements for true or false in `np.where` and
in an index. A compiled program cannot repeat these choices for other numbers. For a `ValueArray`, each of these
functions applies an operation that computes the same, such as `where`, to the elements. All other functions treat it as
an array of objects.

A comparison gives an array of nodes that are 0 or 1. They are added and multiplied as numpy's bools are, so
`(x > 0) + (x < 9)` says where at least one of the two holds. Where Python or numpy asks for a bool, as in an index or
in `where=`, the program branches on it. Where numpy orders elements, the program branches on their comparisons, and on
which elements are nan.

At a tie, `np.maximum`, `np.minimum`, `np.max`, `np.min`, `np.clip` and `np.ptp` of arrays give the whole gradient to
the first of the elements, as they do in a plain array of `Value`s. There, numpy returns one of the two elements, and
cannot be made to share the gradient between them. `np.clip(x, low, high)` is the minimum of `np.maximum(x, low)` and
high, so x gets the gradient where it equals a bound. If an operand of `np.maximum` or `np.minimum` is a single `Value`,
as in `np.maximum(x[0], x)`, each element gets half, as from `maximum`. `np.clip` with one bound is one of these two
functions.
"""

from __future__ import annotations

import operator
import sys
from collections.abc import Callable, Mapping, Sequence
from contextvars import ContextVar
from typing import Any

import numpy as np

from .. import ops
from ..ops.number import number, number_or_none
from . import context
from .array_updates import refuse_results_in
from .callers import is_numpys_code
from .node import Node
from .numpy_errors import NO_LABELS
from .plain_numbers import variables

__all__ = ["ArgumentArray", "ValueArray"]


def _selecting(function: Callable[..., Any]) -> Callable[..., Any]:
    """Return a function that does the same as `function`, but records a graph even inside `no_grad()`.

    `function` selects one of its operands, and returns a new node, which an operation makes of it. In a plain array of
    objects, numpy returns the selected element itself, with its graph if it was computed before the `no_grad()` block.
    So the new node must have this graph, too.
    """

    def select(*operands: Any) -> Any:
        if not context.here().no_grad:
            return function(*operands)
        with context.recording():
            return function(*operands)

    return select


class _FirstAtTie(ops.Op):
    """An operation that gives its first operand the whole gradient at a tie, as numpy does in arrays of objects.

    In a plain array of `Value`s, numpy compares two elements and returns one of them, which gets the whole gradient.
    This class gives the elements of a `ValueArray` the same gradients.
    """

    def __reduce__(self) -> Any:
        return f"FIRST_{self.notation.symbol.upper()}"


def _choose(condition: Any, a: Any, b: Any) -> Any:
    return (a if condition else b) if type(condition) is float else ops.where(condition, a, b)


def _first_at_tie(row: ops.Op, is_above: Callable[[Any, Any], Any], holds: Callable[[float, float], bool]) -> ops.Op:
    """Return an operation that computes the same as `row`, which is `maximum` or `minimum`.

    At a tie, its first operand gets the whole gradient. The operation `is_above(a, b)` is 1 if the result is a, and 0
    if it is b. For floats, `holds(a, b)` returns True if the result is a, and False if it is b. If an operand is nan,
    the result is the first nan.
    """

    def chosen_first(a: Any, b: Any) -> Any:
        return _choose(is_above(a, b), 1.0, 1.0 - ops.equal(a, a))

    def weight(a: float, b: float) -> bool:
        return holds(a, b) or a != a

    first = ops.operation.Selection(
        lambda g, a, b: _choose(chosen_first(a, b), g, 0.0), lambda a, b: 1.0 if weight(a, b) else None
    )
    second = ops.operation.Selection(
        lambda g, a, b: _choose(chosen_first(a, b), 0.0, g), lambda a, b: None if weight(a, b) else 1.0
    )
    return _FirstAtTie(
        f"np_{row.name}",  # messages say it to a user who wrote np.maximum or np.max
        row.forward,
        (first, second),
        f"Return what np.{row.name} gives for two elements of arrays of `Value`s.",
        notation=row.notation._replace(text=lambda a, b: f"np.{row.name}({a}, {b})"),
        smoothness=row.smoothness._replace(
            convention="at a tie, the first operand has derivative 1; if an operand is nan, the first that is nan has 1"
        ),
        lowerings=ops.traits.Lowerings(formula=row.lowerings.formula),
    )


FIRST_MAXIMUM = _first_at_tie(ops.maximum, lambda a, b: ops.less_equal(b, a), operator.ge)
FIRST_MINIMUM = _first_at_tie(ops.minimum, ops.less_equal, operator.le)


@_selecting
def _clip(x: Any, low: Any, high: Any) -> Any:
    """Return `np.clip(x, low, high)`, as numpy computes it for objects: min(max(x, low), high).

    At a tie with a bound, x gets the whole gradient.
    """
    return FIRST_MINIMUM(FIRST_MAXIMUM(x, low), high)


def _sinc(x: Any) -> Any:
    """Return sin(y) / y for y = pi x. At 0 this is the beginning of its Taylor series, for the derivatives there.

    numpy's function puts a constant in place of 0, so its second derivative would be wrong.
    """
    y, is_zero = np.pi * x, ops.equal(x, 0.0)
    series = 1.0 - y * y / 6.0 * (1.0 - y * y / 20.0 * (1.0 - y * y / 42.0))
    return ops.where(is_zero, series, ops.sin(y) / ops.where(is_zero, 1.0, y))


def _nan_to_num(x: Any, copy: bool = True, nan: Any = 0.0, posinf: Any = None, neginf: Any = None) -> Any:
    """Return what `np.nan_to_num` would give for x, an array of `Value`s, if x were an array of numbers.

    An element that is replaced gets no gradient. The function is needed because numpy's own returns an array of objects
    unchanged. The options `copy`, `nan`, `posinf` and `neginf` are numpy's.

    Raises:
        TypeError: an element is computed from a parameter, or `copy` is false.
    """
    if any(map(_depends_on_parameters, _elements(_plain(x)))):
        raise TypeError(
            "np.nan_to_num() changes nothing in an array of Values that are computed from parameters; write "
            "where(equal(x, x), x, 0.0) with micrograd_cn's functions, which take arrays"
        )
    if not copy:
        raise TypeError("np.nan_to_num() of Values does not change an array; write x = np.nan_to_num(x) without copy=")
    largest = np.finfo(float).max
    bounds = largest if posinf is None else posinf, -largest if neginf is None else neginf

    @_selecting
    def replaced(x: Any, nan: Any, high: Any, low: Any) -> Any:
        if not isinstance(x, Node):
            return np.nan_to_num(x, nan=nan, posinf=high, neginf=low)
        finite = ops.where(ops.equal(x, np.inf), high, ops.where(ops.equal(x, -np.inf), low, x))
        return ops.where(ops.equal(x, x), finite, nan)

    return _applied(replaced, [_plain(y) for y in (x, nan, *bounds)])


def _sign(x: Any) -> Any:
    return ops.where(ops.equal(x, x), ops.less(0.0, x) - ops.less(x, 0.0), x)


def _varies(x: Any) -> bool:
    return isinstance(x, Node) and x.requires_grad


def _number(x: Any) -> Any:
    """Return the number of x if x is a node, and otherwise x itself."""
    return x.data if isinstance(x, Node) else x


def _comparison(op: Any, compare: Callable[[Any, Any], Any]) -> Callable[[Any, Any], Any]:
    """Return a function that compares two operands, and whose result is a node or a bool.

    The result is a bool if both operands are constants, if one of them is not a number, such as None, or if no function
    is being recorded.

    Args:
        op: a function that returns the node, which is 0 or 1.
        compare: a function that returns the bool. It compares the operands as Python does.
    """

    def compared(a: Any, b: Any) -> Any:
        if not all(isinstance(x, Node) or number_or_none(x) is not None for x in (a, b)):
            return compare(a, b)
        if (_varies(a) or _varies(b)) and context.here().is_recorded:
            return _condition(op(a, b))
        return compare(_number(a), _number(b))

    return compared


def _equality(compared: Callable[[Any, Any], Any], compare: Callable[[Any, Any], Any]) -> Callable[[Any, Any], Any]:
    """Return a function that calls `compare`, which is `==` or `!=`, if an operand is computed from a parameter.

    When the user's function runs without being recorded, `==` of such an operand, which is a `Value`, goes by identity.
    When it is recorded, `compare` raises an error that says what to write, as it does where a function compares a
    single `Value`. For all other operands, `compared` is called.
    """

    def equality(a: Any, b: Any) -> Any:
        if a is not b and (_depends_on_parameters(a) or _depends_on_parameters(b)):
            return compare(a, b)
        return compared(a, b)

    return equality


def _depends_on_parameters(x: Any) -> bool:
    """Return whether a function is being recorded now, and x is a node that is computed from a parameter.

    A parameter is a leaf that requires a gradient and does not stand for a number in the function's arguments.
    """
    here = context.here()
    if not _varies(x) or not here.is_recorded or not here.hooks:
        return False
    stand_for_numbers = {*map(id, variables.get() or ())}
    stack, seen = [x], set[int]()
    while stack:
        node = stack.pop()
        if id(node) in seen or not isinstance(node, Node):
            continue
        seen.add(id(node))
        if node.op is not None:
            stack += node.operands
        elif node.requires_grad and id(node) not in stand_for_numbers and not here.hooks.has_made(node):
            return True
    return False


def _condition(node: Any) -> Any:
    """Return an object that Python code may branch on, for the result `node` of a comparison, which is 0 or 1.

    The method `made_condition` of the installed hooks returns it. If no hooks are installed, it is `node` itself.
    """
    hooks = context.here().hooks
    return hooks.made_condition(node) if hooks else node


def _is_truth(x: Any) -> bool:
    return isinstance(x, (bool, np.bool_)) or getattr(type(x), "is_condition", False)


def _connective(of_nodes: Callable[..., Any], of_others: Callable[..., Any]) -> Callable[..., Any]:
    """Return a function such as `&`, which connects conditions: bools, and nodes that comparisons of arrays have given.

    If all operands are conditions and some of them are nodes, `of_nodes` computes the result, which is a node.
    Otherwise `of_others` computes it.
    """

    def connected(*operands: Any) -> Any:
        if all(map(_is_truth, operands)) and any(map(_varies, operands)):
            return _condition(of_nodes(*[x if isinstance(x, Node) else float(x) for x in operands]))
        return of_others(*operands)

    return connected


def _logical(connective: Callable[..., Any]) -> Callable[..., Any]:
    """Return a function such as `np.logical_and`. It calls `connective`, and takes all numbers but 0 for true."""
    return lambda *operands: connective(*map(_truth, operands))


def _truth(x: Any) -> Any:
    """Return whether x is true: a number if it is not 0, another object as `bool` says.

    The result is a bool, or a node if x is a node. A condition, such as a bool, is returned unchanged.
    """
    if _is_truth(x):
        return x
    return _differs(x, 0.0) if isinstance(x, Node) or number_or_none(x) is not None else bool(x)


def _bitwise(sign: str, compute: Callable[..., Any]) -> Callable[..., Any]:
    """Return a function that applies Python's operator `sign`, such as "&", to bools by calling `compute`.

    For numbers it raises TypeError, because it cannot know whether they were bools or integers, for which the operator
    means different things.
    """

    def computed(*operands: Any) -> Any:
        if all(map(_is_truth, operands)):
            return compute(*operands)
        raise TypeError(
            f"there is no operation for {sign} of an array of numbers; for conditions write comparisons, such as "
            "(x > 0) & (y == 1), and x == 0 instead of ~x"
        )

    return computed


def _is_unequal(a: Any, b: Any) -> Any:
    return 1.0 - ops.equal(a, b)


# Operations that take the place of numpy's functions in a `ValueArray`
ALWAYS: dict[str, Callable[..., Any]] = {
    "maximum": _selecting(FIRST_MAXIMUM),
    "minimum": _selecting(FIRST_MINIMUM),
    "fmax": _selecting(lambda a, b: ops.where(ops.less_equal(b, a), a, ops.where(ops.equal(b, b), b, a))),
    "fmin": _selecting(lambda a, b: ops.where(ops.less_equal(a, b), a, ops.where(ops.equal(b, b), b, a))),
    "clip": _clip,
    "logaddexp": ops.logaddexp,
    "sign": _sign,
}
# Operations for these functions if an operand is a single `Value`, and no array, as in `Value.__array_ufunc__`
OF_A_VALUE: dict[str, Callable[..., Any]] = {"maximum": ops.maximum, "minimum": ops.minimum}
_equals = _comparison(ops.equal, lambda a, b: a == b)
_below = _comparison(ops.less, lambda a, b: a < b)
_differs = _comparison(_is_unequal, lambda a, b: a != b)
_and = _connective(lambda a, b: a * b, lambda a, b: a & b)
_or = _connective(ops.maximum, lambda a, b: a | b)
_xor = _connective(lambda a, b: abs(a - b), lambda a, b: a ^ b)
_not = _connective(lambda a: 1.0 - a, lambda a: not a)
# Comparisons and connectives, which give nodes while a function is recorded. Elsewhere they give bools.
CONDITIONS: dict[str, Callable[..., Any]] = {
    "less": _below,
    "less_equal": _comparison(ops.less_equal, lambda a, b: a <= b),
    "greater": _comparison(lambda a, b: ops.less(b, a), lambda a, b: a > b),
    "greater_equal": _comparison(lambda a, b: ops.less_equal(b, a), lambda a, b: a >= b),
    "equal": _equality(_equals, lambda a, b: a == b),
    "not_equal": _equality(_differs, lambda a, b: a != b),
    **{"logical_and": _logical(_and), "logical_or": _logical(_or), "logical_xor": _logical(_xor)},
    "logical_not": _logical(_not),
    "isnan": lambda x: _differs(x, x),
    "isinf": lambda x: _equals(abs(x), np.inf),
    "isfinite": lambda x: _below(abs(x), np.inf),
}
BITWISE = {
    "bitwise_and": _connective(lambda a, b: a * b, _bitwise("&", operator.and_)),
    "bitwise_or": _connective(ops.maximum, _bitwise("|", operator.or_)),
    "bitwise_xor": _connective(lambda a, b: abs(a - b), _bitwise("^", operator.xor)),
    "invert": _connective(lambda a: 1.0 - a, _bitwise("~", operator.not_)),
}
LOGICAL = {"logical_and", "logical_or", "logical_xor", "logical_not"}
# The functions that reduce an array to one number, with the result for no elements
REDUCED = {"maximum": -np.inf, "minimum": np.inf, "fmax": -np.inf, "fmin": np.inf, "logaddexp": -np.inf}


# The functions that give bools for bools. For example, np.add(True, True) is True, and not 2
OF_TRUTHS = {
    **dict.fromkeys(("add", "maximum", "fmax"), _or),
    **dict.fromkeys(("multiply", "minimum", "fmin"), _and),
}
QUESTIONS = {"isnan", "isinf", "isfinite"}  # numpy has no such functions of objects
IDENTITIES = {"add": 0.0, "multiply": 1.0}
PRODUCTS = {np.dot, np.inner, np.vdot, np.tensordot, np.einsum, np.convolve, np.correlate}
# Functions that numpy computes in another way for arrays of objects than for arrays of numbers, with their replacements
OWN: dict[Any, Callable[..., Any]] = {np.sinc: lambda x: _applied(_sinc, [_plain(x)]), np.nan_to_num: _nan_to_num}


# The functions that numpy computes by calling a method of each element. A `Value` has the methods, and a number has not
ELEMENTARY = {
    f.__name__ for f in vars(np).values() if isinstance(f, np.ufunc) and callable(getattr(Node, f.__name__, None))
} - LOGICAL


# A list that gets the arrays whose dtype is asked for; None if nobody wants to know
asked_for_dtype: ContextVar[list[Any] | None] = ContextVar("micrograd_cn_asked_for_dtype", default=None)


class ArgumentArray(np.ndarray):
    """An array of `Value`s and plain numbers, to which `np.exp` and the like apply operations.

    >>> from micrograd_cn import Value
    >>> xs = np.array([Value(-1), Value(2)]).view(ArgumentArray)
    >>> np.maximum(xs, 0)[0], np.sqrt(np.maximum(xs, 0))[0].data
    (0, 0.0)
    """

    takes_values = True  # whether its `__array_ufunc__` takes a `Value` as the other operand

    @property
    def dtype(self) -> Any:
        """The dtype, which is object. The array is added to the list `asked_for_dtype`, if there is one."""
        if (asked := asked_for_dtype.get()) is not None:
            asked.append(self)
        return super().dtype

    def __array_ufunc__(  # type: ignore[override]  # numpy's own signature has `out` among the options
        self, ufunc: Any, how: Any, *inputs: Any, out: Any = None, **options: Any
    ) -> Any:
        """Apply numpy's function `ufunc` to `inputs` as objects, and return the result.

        If `ufunc` calls a method of each element, first make constants of plain numbers, which do not have this method.
        `how` is the name of the method of `ufunc` that was called, such as "__call__" or "reduce". `out` and `options`
        are the options of the call.
        """
        operands = [x.view(np.ndarray) if isinstance(x, ArgumentArray) else x for x in inputs]
        name = ufunc.__name__
        if context.active:
            refuse_results_in(inputs[:1] if how == "at" else out or (), name, sys._getframe(1))
        if name in ELEMENTARY and how == "__call__":
            operands = _with_constants(operands)
        elif options and name in LOGICAL and options.get("dtype") not in (None, object):
            count = ufunc.nin if how in ("__call__", "outer") else 1
            operands[:count] = [np.array(x, dtype=bool) for x in operands[:count]]
        elif how == "reduce" and "where" in options:
            _add_identity(name, operands[0], options)
        elif name in QUESTIONS and how == "__call__" and out is None and not options:
            return _conditions(_applied(CONDITIONS[name], operands))
        if out is not None:
            options["out"] = tuple([_plain(x) for x in out])
        # `apply` is a name, by which `callers` finds out which numpy function compares elements
        apply = ufunc if how == "__call__" else getattr(ufunc, how)
        found = apply(*operands, **options)
        return _wrapped(found, ArgumentArray) if isinstance(found, (np.ndarray, tuple)) else found

    def __array_function__(self, function: Any, types: Any, args: Any, options: Mapping[str, Any]) -> Any:
        """Return `function(*args, **options)` for a function of numpy, some of which the dict `OWN` replaces.

        If the result is an array of objects, return it as an array of this class. numpy calls this method, and also
        passes `types`, the classes of the arrays.
        """
        if (own := OWN.get(function)) and args:
            return _wrapped(own(*args, **options), ArgumentArray)
        return _wrapped(super().__array_function__(function, types, args, options), ArgumentArray)


def _as_method(function: Callable[..., Any], class_name: str, name: str, doc: str) -> Callable[..., Any]:
    """Return `function`, which becomes the method `name` of a class, with this name and this docstring."""
    function.__name__, function.__qualname__, function.__doc__ = name, f"{class_name}.{name}", doc
    return function


def _in_index_order(name: str) -> Callable[..., Any]:
    """Return a method that calls numpy's array method `name`, such as "ravel", but refuses order="K" and order="A".

    These orders are those of the memory. The user's array of numbers, which an `ArgumentArray` stands for, may be in
    another order in memory than the `ArgumentArray`, as a transposed array is.
    """
    method = getattr(np.ndarray, name)

    def ordered(self: Any, *args: Any, **options: Any) -> Any:
        order = options.get("order", args[0] if args and name != "reshape" else "C")
        if order in ("K", "A", "k", "a") and self.ndim > 1:
            raise ValueError(  # np.reshape goes on without this method after a TypeError
                f"{name}() in the order {order!r}, that of the memory, which may differ from call to call; write "
                f"x.{name}({'-1, ' * (name == 'reshape')}order='C'), or 'F' for the order of x.T"
            )
        return method(self, *args, **options)

    refused = "Refuse the orders 'K' and 'A', which are those of the memory."
    return _as_method(ordered, "ArgumentArray", name, f"Call `{name}` of numpy's arrays. {refused}")


for _name in ("ravel", "flatten", "reshape"):
    setattr(ArgumentArray, _name, _in_index_order(_name))


class ValueArray(ArgumentArray):
    """An array of `Value`s, to which functions such as `np.maximum` and `np.where` apply operations.

    >>> from micrograd_cn import Value
    >>> xs = np.array([Value(-1), Value(2)]).view(ValueArray)
    >>> np.maximum(xs, 0)[0].op, np.clip(xs, 0, 1)[1].data, np.max(xs).data
    (<operation np_maximum>, 1.0, 2.0)
    """

    has_arguments = True  # for `array_updates`

    def __array_ufunc__(  # type: ignore[override]  # numpy's own signature has `out` among the options
        self, ufunc: Any, how: Any, *inputs: Any, out: Any = None, **options: Any
    ) -> Any:
        """Apply the operation that computes the same as numpy's function `ufunc`, to the elements of `inputs`.

        If there is none, apply `ufunc` to the elements as objects. `how` is the name of the method of `ufunc` that was
        called, such as "__call__" or "reduce". `out` and `options` are the options of the call.
        """
        plain, name = [_plain(x) for x in inputs], ufunc.__name__
        if context.active:
            refuse_results_in(inputs[:1] if how == "at" else out or (), name, sys._getframe(1))
        if name in ELEMENTARY and how == "__call__":
            plain = _with_constants(plain)
        dtype = options.get("dtype")
        if "where" in options:
            options["where"] = _mask(options["where"])
            if how == "reduce":
                _add_identity(name, plain[0], options)
        if how == "__call__" and not options and (function := OF_TRUTHS.get(name)) and all(map(_are_truths, plain)):
            found = _conditions(_applied(function, plain))
            return found if out is None else _filled(out[0], found)
        if (function := CONDITIONS.get(name)) and how == "__call__" and out is None and not {*options} - {"dtype"}:
            found = _conditions(_applied(function, plain))
            return found if dtype is None or dtype is object else np.array(found, dtype=dtype)
        if function and how in ("reduce", "accumulate") and name.startswith("logical_"):
            if dtype is not None and np.dtype(dtype) == object:
                raise TypeError(f"np.{name} with dtype=object gives an element instead of a bool; leave dtype out")
            truths = np.array(_applied(_truth, plain[:1]), dtype=bool)  # a program for each outcome
            return getattr(ufunc, how)(truths, *plain[1:], **options, **({} if out is None else {"out": out}))
        function = ALWAYS.get(name) or BITWISE.get(name)
        if name in OF_A_VALUE and any(map(_is_single, inputs)):
            function = OF_A_VALUE[name]
        if function and out is None:
            if how == "__call__" and not options:
                return _conditions(_applied(function, plain)) if name in BITWISE else _applied(function, plain)
            is_double = dtype is None or np.dtype(dtype) in (np.dtype(object), np.dtype(float))
            if how == "reduce" and name in REDUCED and plain[0].size and is_double:
                applied = np.frompyfunc(function, 2, 1, identity=REDUCED[name])
                chosen = {k: x for k, x in options.items() if k != "dtype" and x is not None and x is not np._NoValue}
                with np.errstate(all="ignore"):
                    return _wrapped(applied.reduce(*plain, **{"axis": options.get("axis", 0)} | chosen))
        if out is not None:
            options["out"] = tuple([_plain(x) for x in out])
            plain = [*map(_boxed, plain)]  # a `Value` would take `out` for an array of the user
        apply = getattr(ufunc, how)  # a name, by which `callers` finds out which numpy function compares elements
        found = _wrapped(apply(*plain, **options))
        if name in IDENTITIES and how in ("reduce", "accumulate", "reduceat") and out is None:
            found = _as_numbers(found)
        return _as_truths(found) if name == "matmul" and out is None and all(map(_are_truths, plain)) else found

    def __array_function__(self, function: Any, types: Any, args: Any, options: Mapping[str, Any]) -> Any:
        """Return `function(*args, **options)` for a function of numpy.

        Operations take the place of some functions, such as `np.where`, `np.select` and `np.sinc`. numpy calls this
        method, and also passes `types`, the classes of the arrays.
        """
        if function is np.where and len(args) == 3 and not options and _has_nodes(args[0]):
            return _chosen(*args)
        if function is np.select and _has_nodes(*args[0]):
            conditions, choices, *default = args
            result = default[0] if default else options.get("default", 0.0)
            for condition, choice in reversed([*zip(conditions, choices, strict=True)]):
                result = _chosen(condition, choice, result)
            return result
        if function is np.linalg.solve and len(args) == 2 and np.ndim(args[0]) == 2:
            return _wrapped(np.array(ops.solve(*[np.asarray(x, dtype=object).tolist() for x in args]), dtype=object))
        if (own := OWN.get(function)) and args:
            return own(*args, **options)
        if "where" in options:
            options = {**options, "where": _mask(options["where"])}
        if function is np.lexsort:
            return _lexsort(*args, **options)
        if function is np.diff and _are_truths(args[0]):
            return _diff_of_truths(*args, **options)
        found = _wrapped(np.ndarray.__array_function__(self, function, types, args, options))
        if function not in PRODUCTS:
            return found
        operands = args[:2] if function is np.tensordot else [x for x in args if not isinstance(x, str)]
        return _as_truths(found) if all(map(_are_truths, operands)) else found

    def dot(self, other: Any, *args: Any) -> Any:
        """Return `np.dot(self, other, *args)`."""
        return np.dot(self, other, *args)

    def __getitem__(self, key: Any) -> Any:
        """Return the elements that `key` selects.

        If `key` has results of comparisons, it is a mask of bools, and the compiled program branches on each of them.

        Raises:
            TypeError: the key has nodes that are not results of comparisons. Their numbers may vary from sample to
                sample, so they cannot be indices.
        """
        return super().__getitem__(_index(key))

    def __setitem__(self, key: Any, value: Any) -> None:
        """Assign `value` to the elements that `key` selects.

        If `key` has results of comparisons, as in `xs[xs < 0] = 0`, they count as branches of the function that is
        differentiated or recorded.
        """
        super().__setitem__(_index(key), value)

    def astype(self, dtype: Any, *args: Any, **options: Any) -> Any:
        """Return a copy whose elements are of the type `dtype`, for example 0 or 1 for results of comparisons.

        `args` and `options` are further arguments of numpy's method.
        """
        if np.dtype(dtype).kind in "fiu" and self.size and all(map(_is_truth, self.flat)):
            return _applied(lambda x: x * 1.0, [_plain(self)])
        return _wrapped(super().astype(dtype, *args, **options))


def _ordering(name: str) -> Callable[..., Any]:
    """Return a method that calls numpy's array method `name`, such as "sort", which compares elements to order them."""
    method = getattr(np.ndarray, name)

    def ordered(self: Any, *args: Any, **options: Any) -> Any:
        return _wrapped(method(self, *args, **options))

    return _as_method(ordered, "ValueArray", name, f"Call `{name}` of numpy's arrays.")


def _lexsort(keys: Any, axis: int = -1) -> Any:
    return np.lexsort([_plain(key) for key in keys], axis)


def _averaging(name: str) -> Callable[..., Any]:
    """Return a method like the array method `name`, such as "mean", that takes results of comparisons in `where`."""
    method = getattr(np.ndarray, name)

    def averaged(self: Any, *args: Any, **options: Any) -> Any:
        if "where" in options:
            options["where"] = _mask(options["where"])
        return _wrapped(method(self, *args, **options))

    branches = "A program branches on the results of comparisons in `where`."
    return _as_method(averaged, "ValueArray", name, f"Call `{name}` of numpy's arrays. {branches}")


for _name in ("sort", "argsort", "partition", "argpartition", "searchsorted", "argmax", "argmin"):
    setattr(ValueArray, _name, _ordering(_name))
for _name in ("mean", "std", "var"):
    setattr(ValueArray, _name, _averaging(_name))


# Whether some arrays in the function that is recorded stand for tensors of PyTorch
stand_for_tensors: ContextVar[bool] = ContextVar("micrograd_cn_stand_for_tensors", default=False)


def _unlike_tensors(name: str, instead: str) -> Callable[..., Any]:
    """Return a method that calls numpy's array method `name`, but refuses it if arrays stand for PyTorch's tensors.

    A tensor has a method of the same name, which computes something else. `instead` says what the user should write.
    """
    method = getattr(ValueArray, name)

    def called(self: Any, *args: Any, **options: Any) -> Any:
        same = name in ("max", "min") and not args and not options  # without an axis
        if stand_for_tensors.get() and not same and not is_numpys_code(sys._getframe(1)):
            raise TypeError(
                f"{name}() of a tensor is not what {name}() computes of the numpy array that a compiled function gets "
                f"in its place; pass x.numpy() for a tensor x, so both are numpy's{instead}"
            )
        return method(self, *args, **options)

    text = f"Call `{name}` of numpy's arrays. Refuse it if arrays stand for tensors."
    return _as_method(called, "ValueArray", name, text)


for _name, _instead in {
    **dict.fromkeys(("std", "var"), ", or write the formula, as in ((x - x.mean()) ** 2).sum() / (n - 1)"),
    "transpose": ", or write x.swapaxes(i, j), which is the same for both",
    "repeat": "",
    **dict.fromkeys(("max", "min"), ", or write np.max(x, axis) and np.min(x, axis)"),
}.items():
    setattr(ValueArray, _name, _unlike_tensors(_name, _instead))


def _add_identity(name: str, array: Any, options: dict[str, Any]) -> None:
    """Add the identity of the function `name`, such as 0 for "add", to `options`, the options of its `reduce`.

    numpy does not know the identity for objects. It needs the identity only if there is a mask `where`, or if `array`
    is empty.
    """
    is_needed = name in IDENTITIES and (options["where"] is not True or np.size(array) == 0)
    if is_needed and options.get("initial", np._NoValue) is np._NoValue:
        options["initial"] = IDENTITIES[name]


def _mask(where: Any) -> Any:
    return np.array(where, dtype=bool) if isinstance(where, ValueArray) else where


def _are_truths(x: Any) -> bool:
    """Return whether x is a bool, the result of a comparison, or an array of these."""
    if not isinstance(x, np.ndarray):
        return _is_truth(x)
    return x.dtype == bool or (x.dtype == object and x.size > 0 and all(map(_is_truth, x.flat)))


def _as_truths(found: Any) -> Any:
    """Return a bool for each element of `found`, a matrix product of bools: whether the element is not 0."""
    return _conditions(_applied(_truth, [_plain(found)]))


def _as_numbers(found: Any) -> Any:
    """Return `found`, the results of sums or products, with each bool or result of a comparison times 1.0.

    A sum or product of bools is a number. But for a single element, numpy returns the element itself, which is still a
    bool; the factor makes it a number.
    """
    if not any(map(_is_truth, found.flat if isinstance(found, np.ndarray) else [found])):
        return found
    return _applied(lambda x: x * 1.0 if _is_truth(x) else x, [_plain(found)])


def _filled(array: Any, found: Any) -> Any:
    _plain(array)[...] = found
    return array


def _diff_of_truths(x: Any, n: int = 1, axis: int = -1, **ends: Any) -> Any:
    """Return what `np.diff(x, n, axis)` gives for an array x of bools.

    For n = 1, it has True where an element differs from the next one on `axis`. For a larger n, the same is done again
    with the result.

    Raises:
        TypeError: `ends` has the option `prepend` or `append`.
    """
    if ends:
        raise TypeError("np.diff() of comparisons takes no prepend and no append; write np.concatenate first")
    for _ in range(n):
        later, earlier = (np.take(x, range(*ends), axis=axis) for ends in ((1, x.shape[axis]), (x.shape[axis] - 1,)))
        x = np.logical_xor(later, earlier)
    return x


def _applied(function: Callable[..., Any], operands: Sequence[Any]) -> Any:
    """Return an array with the result of `function` for each element of the operands.

    The operands are broadcast to one shape. If this shape has no dimensions, return the one result instead.
    """
    with np.errstate(all="ignore"):  # a comparison of nan would give a warning
        return _wrapped(np.frompyfunc(function, len(operands), 1)(*map(_boxed, operands)))


def _conditions(found: Any) -> Any:
    """Return `found`, the results of a comparison, as an array of bools; unchanged if some of them are nodes."""
    return found if _has_nodes(found) else np.array(found, dtype=bool)[()]


def _chosen(condition: Any, a: Any, b: Any) -> Any:
    @_selecting
    def chosen(condition: Any, a: Any, b: Any) -> Any:
        found = ops.where(condition, a, b)
        return _condition(found) if _is_truth(a) and _is_truth(b) and isinstance(found, Node) else found

    return _applied(chosen, [_plain(x) for x in (condition, a, b)])


def _index(key: Any) -> Any:
    """Return `key`, an index of an array, with bools in place of nodes that are conditions.

    Raises:
        IndexError: the index is a string, as if the array were a table.
        TypeError: the index has other nodes. numpy would ask whether they are true, or convert them to integers.
    """
    if type(key) is tuple:
        return tuple(map(_index, key))
    if isinstance(key, str) or (type(key) is list and any(isinstance(x, str) for x in key)):
        raise IndexError(f"an array has no labels, got {key!r}; {NO_LABELS}")
    if not isinstance(key, (Node, np.ndarray, list)) or (isinstance(key, np.ndarray) and key.dtype != object):
        return key
    elements = np.asarray(_boxed(key), dtype=object)
    numbers = [x for x in elements.flat if isinstance(x, Node) and not _is_truth(x)]
    if not numbers:
        return np.array(key, dtype=bool) if _has_nodes(key) else key
    first: Any = numbers[0]
    operator.index(first)  # raises the error
    return key


def _has_nodes(*arrays: Any) -> bool:
    return any(_varies(x) for a in arrays for x in np.asarray(_boxed(a), dtype=object).flat)


def _is_single(x: Any) -> bool:
    return isinstance(x, Node) or (type(x) is np.ndarray and x.shape == () and x.dtype == object)


def _plain(x: Any) -> Any:
    return x.view(np.ndarray) if isinstance(x, ArgumentArray) else x


def _with_constants(operands: list[Any]) -> list[Any]:
    """Return `operands`, with constant nodes in place of plain numbers in the first operand.

    numpy calls a method of each element of the first operand, and plain numbers do not have this method. If there is no
    `Value` in any operand, all become arrays of floats.
    """
    elements = _elements(operands[0])
    if all(isinstance(y, Node) for y in elements):
        return operands
    nodes = (y for x in operands for y in _elements(x) if isinstance(y, Node))
    if (node := next(nodes, None)) is None:
        return [np.asarray(x, dtype=float) for x in operands]
    found = np.empty(len(elements), dtype=object)
    found[:] = [y if isinstance(y, Node) else node._constant(number(y)) for y in elements]
    return [found.reshape(np.shape(operands[0])), *operands[1:]]


def _elements(x: Any) -> list[Any]:
    return [x] if isinstance(x, Node) else x.ravel().tolist() if type(x) is np.ndarray else np.ravel(x).tolist()


def _boxed(x: Any) -> Any:
    """Return an array without dimensions that contains x, if x is a node; otherwise return x.

    If numpy got the node itself, it would call the node's `__array_ufunc__`.
    """
    if not isinstance(x, Node):
        return x
    array = np.empty((), object)
    array[()] = x
    return array


def _is_foreign(x: Any) -> bool:
    """Return whether `x` is an array of another class than numpy's and this module's, such as a masked array."""
    return isinstance(x, np.ndarray) and type(x) is not np.ndarray and not isinstance(x, ArgumentArray)


def _deferring(name: str) -> Any:
    """Return a method for the operator `name`, such as "__mul__", that leaves the work to a masked array or the like.

    Python asks the right operand first if its class is a subclass of that of the left one. So `v * m` is computed by
    the masked array m if v is a plain array. With this method, the same holds if v is an `ArgumentArray`.
    """
    method, apply = getattr(np.ndarray, name), getattr(operator, name)

    def operate(self: ArgumentArray, other: Any) -> Any:
        return apply(self.view(np.ndarray), other) if _is_foreign(other) else method(self, other)

    return operate


for _operator in ("add", "sub", "mul", "truediv", "floordiv", "mod", "pow", "matmul"):
    setattr(ArgumentArray, f"__{_operator}__", _deferring(f"__{_operator}__"))


def _wrapped(result: Any, kind: type[ArgumentArray] = ValueArray) -> Any:
    """Return `result`, which a numpy function gave, with its arrays of objects as arrays of the class `kind`.

    Arrays of plain numbers, such as those of `np.argsort`, become arrays of numpy's own class.
    """
    if isinstance(result, np.ndarray):
        if not result.dtype.hasobject or _is_foreign(result):
            return _plain(result)
        return result.view(kind) if result.shape else result[()]
    if isinstance(result, (tuple, list)) and type(result) in (tuple, list):
        return type(result)([_wrapped(x, kind) for x in result])
    return result
