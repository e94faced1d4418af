"""`ValueArray`, the class of the arrays of `Value`s that a compiled function gets in the place of arrays of numbers.

numpy compares the elements of a plain array of objects in `np.maximum`, `np.clip`, `np.sort` and the like, and takes
the elements for true or false in `np.where`. No program can repeat that for other numbers. For a `ValueArray`, these
functions apply operations to the elements, such as `maximum` and `where`, if they mean the same. All other functions
treat it as an array of objects.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from .. import ops
from ..ops.number import number_or_none
from . import context
from .node import Node

__all__ = ["ValueArray"]


def _sign(x: Any) -> Any:
    return ops.where(ops.equal(x, x), ops.less(0.0, x) - ops.less(x, 0.0), x)


def _varies(x: Any) -> bool:
    return isinstance(x, Node) and x.requires_grad


def _comparison(op: Any, compare: Callable[[Any, Any], Any]) -> Callable[[Any, Any], Any]:
    """Return a function that gives the result of a comparison as a node, or as a bool if it is always the same.

    It is always the same if both operands are constants, or if one of them is no number, such as None.

    Args:
        op: the operation.
        compare: the function that compares the operands as Python does.
    """

    def compared(a: Any, b: Any) -> Any:
        varies = (_varies(a) or _varies(b)) and all(
            isinstance(x, Node) or number_or_none(x) is not None for x in (a, b)
        )
        return _condition(op(a, b)) if varies else compare(a, b)

    return compared


def _condition(node: Any) -> Any:
    """Return a node that is 0 or 1 as what Python code may branch on, if hooks for this are installed."""
    hooks = context.here().hooks
    return hooks.made_condition(node) if hooks else node


def _is_truth(x: Any) -> bool:
    return isinstance(x, (bool, np.bool_)) or getattr(type(x), "is_condition", False)


def _connective(of_nodes: Callable[..., Any], of_others: Callable[..., Any]) -> Callable[..., Any]:
    """Return a function such as `&`, which gives a node if an operand is the result of a comparison of arrays."""

    def connected(*operands: Any) -> Any:
        if all(map(_is_truth, operands)) and any(map(_varies, operands)):
            return _condition(of_nodes(*[x if isinstance(x, Node) else float(x) for x in operands]))
        return of_others(*operands)

    return connected


def _is_unequal(a: Any, b: Any) -> Any:
    return 1.0 - ops.equal(a, b)


ALWAYS: dict[str, Callable[..., Any]] = {
    "maximum": ops.maximum,
    "minimum": ops.minimum,
    "clip": ops.clip,
    "logaddexp": ops.logaddexp,
    "sign": _sign,
}
# These functions give nodes while a function is recorded. Elsewhere they compare numbers.
RECORDED: dict[str, Callable[..., Any]] = {
    "less": _comparison(ops.less, lambda a, b: a < b),
    "less_equal": _comparison(ops.less_equal, lambda a, b: a <= b),
    "greater": _comparison(lambda a, b: ops.less(b, a), lambda a, b: a > b),
    "greater_equal": _comparison(lambda a, b: ops.less_equal(b, a), lambda a, b: a >= b),
    "equal": _comparison(ops.equal, lambda a, b: a == b),
    "not_equal": _comparison(_is_unequal, lambda a, b: a != b),
    **dict.fromkeys(("logical_and", "bitwise_and"), _connective(lambda a, b: a * b, lambda a, b: a & b)),
    **dict.fromkeys(("logical_or", "bitwise_or"), _connective(ops.maximum, lambda a, b: a | b)),
    **dict.fromkeys(("logical_xor", "bitwise_xor"), _connective(lambda a, b: abs(a - b), lambda a, b: a ^ b)),
    **dict.fromkeys(("logical_not", "invert"), _connective(lambda a: 1.0 - a, lambda a: ~a)),
}
REDUCED = {"maximum": -np.inf, "minimum": np.inf, "logaddexp": -np.inf}  # with the result for no elements


class ValueArray(np.ndarray):
    """An array of `Value`s, to which functions such as `np.maximum` and `np.where` apply operations.

    >>> from micrograd_cn import Value
    >>> xs = np.array([Value(-1), Value(2)]).view(ValueArray)
    >>> np.maximum(xs, 0)[0].op, np.clip(xs, 0, 1)[1].data, np.max(xs).data
    (<operation maximum>, 1.0, 2.0)
    """

    def __array_ufunc__(  # type: ignore[override]  # numpy's own signature has `out` among the options
        self, ufunc: Any, how: Any, *inputs: Any, out: Any = None, **options: Any
    ) -> Any:
        """Apply an operation, if `ufunc` means the same, or `ufunc` itself to the elements as objects."""
        plain, name = [_plain(x) for x in inputs], ufunc.__name__
        function = ALWAYS.get(name)
        if name in RECORDED and context.here().is_recorded:
            function = RECORDED[name]
        if function and out is None:
            if how == "__call__" and not options:
                return _applied(function, plain)
            if how == "reduce" and name in REDUCED and plain[0].size:
                applied = np.frompyfunc(function, 2, 1, identity=REDUCED[name])
                chosen = {k: x for k, x in options.items() if k != "dtype" and x is not None and x is not np._NoValue}
                with np.errstate(all="ignore"):
                    return _wrapped(applied.reduce(*plain, **{"axis": options.get("axis", 0)} | chosen))
        if out is not None:
            options["out"] = tuple([_plain(x) for x in out])
        return _wrapped(getattr(ufunc, how)(*plain, **options))

    def __array_function__(self, function: Any, types: Any, args: Any, options: Mapping[str, Any]) -> Any:
        """Apply operations for `np.where` and `np.select`, and solve linear equations."""
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
        return super().__array_function__(function, types, args, options)

    def __getitem__(self, key: Any) -> Any:
        """Return elements. A key that has results of comparisons is a mask of bools, on which the program branches."""
        return super().__getitem__(tuple(map(_mask, key)) if type(key) is tuple else _mask(key))

    def astype(self, dtype: Any, *args: Any, **options: Any) -> Any:
        """Return a copy; results of comparisons are the numbers 0 and 1 already, so they stay nodes as floats."""
        if np.dtype(dtype).kind == "f" and self.size and all(map(_is_truth, self.flat)):
            return self.copy()
        return super().astype(dtype, *args, **options)


def _applied(function: Callable[..., Any], operands: Sequence[Any]) -> Any:
    """Return the results of a function for the elements of operands, which are broadcast to one shape."""
    with np.errstate(all="ignore"):  # a comparison of nan would give a warning
        return _wrapped(np.frompyfunc(function, len(operands), 1)(*map(_boxed, operands)))


def _chosen(condition: Any, a: Any, b: Any) -> Any:
    return _applied(ops.where, [_plain(x) for x in (condition, a, b)])


def _mask(key: Any) -> Any:
    return np.array(key, dtype=bool) if isinstance(key, ValueArray) and _has_nodes(key) else key


def _has_nodes(*arrays: Any) -> bool:
    return any(_varies(x) for a in arrays for x in np.asarray(_boxed(a), dtype=object).flat)


def _plain(x: Any) -> Any:
    return x.view(np.ndarray) if isinstance(x, ValueArray) else x


def _boxed(x: Any) -> Any:
    """Return a node as an array without dimensions, because numpy would call its `__array_ufunc__`."""
    if not isinstance(x, Node):
        return x
    array = np.empty((), object)
    array[()] = x
    return array


def _wrapped(result: Any) -> Any:
    if isinstance(result, tuple):
        return tuple(map(_wrapped, result))
    if isinstance(result, np.ndarray) and result.dtype == object:
        return result.view(ValueArray) if result.shape else result[()]
    return result
