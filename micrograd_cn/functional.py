"""Functions to functions: gradients, Jacobians and Hessians of functions of numbers, of any order.

Arguments that are differentiated are numbers, or nested lists, tuples and dicts of numbers; results are floats in the
same structure. Every function here may be used inside a function that is differentiated by another: each call makes
variables of its own, so that one level's never count as another's.

A function that returns a plain number is constant, with derivative 0. So is one that loses its graph on the way, as
`math.exp(x.data)` does: no number tells how it was computed.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from numbers import Real
from typing import Any

from . import ops
from .engine import Value, constant, topological_order
from .gradients import gradients, symbolic_edges
from .modes import check_tangent, recording
from .tree import flatten, leaves_like

__all__ = ["grad", "hessian", "hvp", "jacobian", "jvp", "value_and_grad", "vjp"]

Function = Callable[..., Any]
_depth: ContextVar[int] = ContextVar("micrograd_cn_depth", default=0)


@contextmanager
def _level() -> Iterator[tuple[int, bool]]:
    """Record what happens inside; give the number of levels around this one, and whether `no_grad()` is around it."""
    depth = _depth.get()
    token = _depth.set(depth + 1)
    try:
        with recording() as quiet:
            yield depth, quiet
    finally:
        _depth.reset(token)


class _Call:
    """A function applied to fresh variables in the place of some of its arguments."""

    def __init__(
        self, name: str, f: Function, argnums: Sequence[int], args: Sequence[Any], kwargs: Any, level: tuple[int, bool]
    ):
        self.name = name
        depth, self.quiet = level
        places = {i % len(args) for i in argnums if -len(args) <= i < len(args)}
        if len(places) < len(argnums):
            raise ValueError(f"{name}: argnums {list(argnums)} must name each of {len(args)} arguments at most once")
        fresh = list(args)
        self.inputs: list[Value] = []
        self.rebuilds: list[tuple[int, Callable[[list[Any]], Any]]] = []
        for i in argnums:
            leaves, rebuild = flatten(args[i], f"argument {i}")
            variables = [_variable(name, path, x) for path, x in leaves]
            fresh[i] = rebuild(variables)
            self.inputs += variables
            self.rebuilds.append((len(leaves), rebuild))
        # inside another level the results must go on depending on its variables, so they are Values there
        self.nested = depth > 0 or _holds_values([*args, *kwargs.values()])
        self.output = f(*fresh, **kwargs)

    def scalar(self) -> Value:
        """Return the output, which must be one `Value` or number."""
        return _checked(self.name, "the function returned", self.output)

    def outputs(self) -> tuple[list[Value], Callable[[list[Any]], Any]]:
        """Return the output's leaves, which must be `Value`s or numbers, and how they are put together."""
        leaves, rebuild = flatten(self.output, "output")
        return [_checked(self.name, f"{path} of the function is", y) for path, y in leaves], rebuild

    def plain(self, x: Any) -> Any:
        """Return a result as it is given out."""
        if self.nested and self.quiet:
            return constant(x.data if isinstance(x, Value) else x)
        if self.nested:
            return x if isinstance(x, Value) else constant(x)
        return x.data if isinstance(x, Value) else x

    def gradient(self, y: Value, many: bool) -> Any:
        """Return the gradient of `y` in the arguments' structure; a tuple of them if there are `many` arguments."""
        deeper = self.nested and not self.quiet
        flat = gradients(y, self.inputs, create_graph=True) if deeper else gradients(y, self.inputs)
        return self.structured([self.plain(g) for g in flat], many)

    def structured(self, flat: list[Any], many: bool) -> Any:
        """Return the numbers in the arguments' structure."""
        parts, start = [], 0
        for n, rebuild in self.rebuilds:
            parts.append(rebuild(flat[start : start + n]))
            start += n
        return tuple(parts) if many else parts[0]


def _holds_values(tree: Any) -> bool:
    return any(isinstance(x, Value) for _, x in flatten(tree)[0])


def _variable(name: str, path: str, x: Any) -> Value:
    if isinstance(x, Value) and x.requires_grad:
        variable: Value = x * 1.0  # a node of its own: the same Value may also reach the function as another's
        return variable
    try:
        return Value(x.data if isinstance(x, Value) else x)
    except TypeError as error:
        raise TypeError(f"{name}: {path}: {error}") from error


def _checked(name: str, what: str, y: Any) -> Value:
    if isinstance(y, Value):
        return y
    if isinstance(y, Real) and not isinstance(y, bool):  # a comparison's answer is returned by mistake
        return constant(y)
    hint = (
        "use jacobian, or return one of its elements"
        if isinstance(y, (list, tuple, dict))
        else "return what micrograd_cn's operations give, or a number, which is a constant"
    )
    raise TypeError(f"{name}: {what} {type(y).__name__} {y!r}, not a Value; {hint}")


def _argnums(name: str, argnums: int | Sequence[int]) -> tuple[Sequence[int], bool]:
    """Return the places of the arguments, and whether they were given as a sequence."""
    many = isinstance(argnums, Iterable)
    places: Any = argnums if many else [argnums]
    try:
        return [operator.index(i) for i in places], many
    except TypeError:
        raise TypeError(f"{name}: argnums must be an int or a sequence of ints, got {argnums!r}") from None


def value_and_grad(f: Function, argnums: int | Sequence[int] = 0) -> Function:
    """Return a function that gives f's value and its gradient.

    Args:
        f: takes numbers or structures of them, returns one `Value`; a plain number that it returns is a constant.
        argnums: which arguments to differentiate; a sequence gives a tuple of gradients.

    Raises:
        TypeError: `argnums` is no int or sequence of ints; when called, if an argument holds what is no number, or f
            returns something that is neither a `Value` nor a number.
        ValueError: when called, if there is no such argument.

    >>> value_and_grad(lambda p: p["x"] * p["y"])({"x": 2, "y": 5})
    (10.0, {'x': 5.0, 'y': 2.0})
    """
    numbers, many = _argnums("grad", argnums)

    def derived(*args: Any, **kwargs: Any) -> tuple[Any, Any]:
        with _level() as level:
            call = _Call("grad", f, numbers, args, kwargs, level)
            y = call.scalar()
            return call.plain(y), call.gradient(y, many)

    return derived


def grad(f: Function, argnums: int | Sequence[int] = 0) -> Function:
    """Return the gradient of a scalar function. Arguments and errors are those of `value_and_grad`.

    >>> cube = lambda x: x ** 3
    >>> grad(cube)(2), grad(grad(cube))(2), grad(grad(grad(cube)))(2)
    (12.0, 12.0, 6.0)
    """
    both = value_and_grad(f, argnums)
    return lambda *args, **kwargs: both(*args, **kwargs)[1]


def jacobian(f: Function, argnums: int | Sequence[int] = 0) -> Function:
    """Return the derivatives of every output with respect to every input, by one backward pass an output.

    The result has the output's structure, with the structure of the arguments in the place of each output.
    Arguments and errors are those of `value_and_grad`, but f returns a structure of `Value`s.

    >>> jacobian(lambda v: [v[0] * v[1], v[0] + v[1]])([2, 3])
    [[3.0, 2.0], [1.0, 1.0]]
    """
    numbers, many = _argnums("jacobian", argnums)

    def derived(*args: Any, **kwargs: Any) -> Any:
        with _level() as level:
            call = _Call("jacobian", f, numbers, args, kwargs, level)
            outputs, rebuild = call.outputs()
            return rebuild([call.gradient(y, many) for y in outputs])

    return derived


def hessian(f: Function, argnums: int | Sequence[int] = 0) -> Function:
    """Return the second derivatives of a scalar function, for about n gradients of n inputs.

    The result has the gradient's structure, with the structure of the arguments in the place of each derivative.
    Arguments and errors are those of `value_and_grad`.

    >>> hessian(lambda v: v[0] ** 2 * v[1])([2, 3])
    [[6.0, 4.0], [4.0, 0.0]]
    """
    return jacobian(grad(f, argnums), argnums)


def hvp(f: Function, x: Any, v: Any) -> Any:
    """Return the Hessian of f at `x` times the vector `v`, for a few gradients, however many inputs there are.

    Args:
        f: takes `x`, returns one `Value`.
        x: a number or a structure of numbers.
        v: the same structure.

    Raises:
        TypeError: as for `grad`.
        ValueError: `v` has another structure than `x`.

    >>> hvp(lambda v: v[0] ** 2 * v[1], [2, 3], [1, 0])
    [6.0, 4.0]
    """
    direction = _like("hvp", "v", v, x)
    return grad(lambda x: ops.dot(_leaves(grad(f)(x)), direction))(x)


def jvp(f: Function, x: Any, v: Any) -> tuple[Any, Any]:
    """Return f(x) and the derivative of f at `x` in the direction `v`, by one forward pass, however many outputs.

    Args:
        f: takes `x`, returns a structure of `Value`s.
        x: a number or a structure of numbers.
        v: the same structure.

    Raises:
        TypeError: as for `jacobian`.
        ValueError: `v` has another structure than `x`.
        FloatingPointError: inside `detect_anomaly()`, a node's derivative is not finite.

    >>> jvp(lambda v: [v[0] * v[1], v[0] + v[1]], [2, 3], [1, 0])
    ([6.0, 5.0], [3.0, 1.0])
    """
    direction = _like("jvp", "v", v, x)
    with _level() as level:
        call = _Call("jvp", f, [0], [x], {}, level)
        call.nested = call.nested or _holds_values(direction)
        deeper = call.nested and not call.quiet
        outputs, rebuild = call.outputs()
        tangents: dict[Value, Any] = dict(zip(call.inputs, direction, strict=True))
        for node in reversed(topological_order(*outputs)):
            edges = symbolic_edges(node, tangents.keys()) if deeper else node._edges()
            moving = [(partial, tangents[p]) for p, partial in edges if p in tangents]
            if moving:  # no variable is, for its operand lies outside
                tangents[node] = ops.dot([partial for partial, _ in moving], [t for _, t in moving])
                check_tangent(node, tangents[node])
        flat = [call.plain(tangents.get(y, 0.0)) for y in outputs]
        return rebuild([call.plain(y) for y in outputs]), rebuild(flat)


def vjp(f: Function, x: Any) -> tuple[Any, Function]:
    """Return f(x), and the function that takes weights of the outputs to the gradient of their weighted sum.

    Args:
        f: takes `x`, returns a structure of `Value`s.
        x: a number or a structure of numbers.

    Raises:
        TypeError: as for `jacobian`.
        ValueError: when called, if the weights have another structure than the output.

    >>> value, pull = vjp(lambda v: [v[0] * v[1], v[0] + v[1]], [2, 3])
    >>> value, pull([1, 0]), pull([0, 1])
    ([6.0, 5.0], [3.0, 2.0], [1.0, 1.0])
    """
    with _level() as level:
        call = _Call("vjp", f, [0], [x], {}, level)
        outputs, rebuild = call.outputs()
        value = rebuild([call.plain(y) for y in outputs])
        nested = call.nested

    def pull(weights: Any) -> Any:
        flat = _like("vjp", "the weights", weights, call.output)
        with _level() as (depth, quiet):
            call.nested = nested or depth > 0 or _holds_values(flat)
            call.quiet = quiet
            return call.gradient(ops.dot(outputs, flat), many=False)

    return value, pull


def _leaves(tree: Any) -> list[Any]:
    return [x for _, x in flatten(tree)[0]]


def _like(name: str, what: str, tree: Any, model: Any) -> list[Any]:
    """Return the leaves of `tree`, which must have the structure of `model`."""
    try:
        found = leaves_like(tree, model)
    except ValueError as error:
        raise ValueError(f"{name}: {what} must have the structure of {model!r}, got {tree!r}") from error
    return [x if isinstance(x, Value) else Value(x).data for _, x in found]
