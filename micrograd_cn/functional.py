"""Functions to functions: gradients, Jacobians and Hessians of functions of numbers, of any order.

Arguments that are differentiated are numbers, or nested lists, tuples, dicts and arrays of numbers; results are floats
in the same structure. An array reaches the function as one of `Value`s, as it does in `compile`: elements, slices,
`+ - * / ** @`, `sum`, `mean`, `max` and those of numpy's functions that `Value` has as methods, such as `np.exp`, work
on it. An array of another library than numpy is taken for nested lists of its numbers.

Every function here may be used inside a function that is differentiated by another: each call makes
variables of its own, so that one level's never count as another's.

A function that returns a plain number is constant, with derivative 0. So is one that loses its graph on the way, as
`math.exp(x.data)` does: no number tells how it was computed.

For a type checker the functions that are returned take anything and give Any: a derivative has the structure of the
arguments, at any depth, which no type of a function says.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

from . import ops
from .derivatives.calls import Call, holds_values, level, places
from .derivatives.sparse import Sparse
from .derivatives.sparse import sparse_hessian as hessian_entries
from .derivatives.sparse import sparse_jacobian as jacobian_entries
from .derivatives.tree import flatten, leaves_like
from .engine import Value, topological_order
from .gradients import Reach, part_of, symbolic_edges
from .graph import anomaly, context
from .ops.number import number

__all__ = [
    "Sparse",
    "grad",
    "hessian",
    "hvp",
    "jacobian",
    "jvp",
    "sparse_hessian",
    "sparse_jacobian",
    "value_and_grad",
    "vjp",
]

Function: TypeAlias = Callable[..., Any]


def value_and_grad(f: Function, argnums: int | Sequence[int] = 0) -> Callable[..., tuple[Any, Any]]:
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
    return _value_and_grad("value_and_grad", f, argnums)


def grad(f: Function, argnums: int | Sequence[int] = 0) -> Function:
    """Return the gradient of a scalar function. Arguments and errors are those of `value_and_grad`.

    >>> cube = lambda x: x ** 3
    >>> grad(cube)(2), grad(grad(cube))(2), grad(grad(grad(cube)))(2)
    (12.0, 12.0, 6.0)
    """
    return _grad("grad", f, argnums)


def jacobian(f: Function, argnums: int | Sequence[int] = 0) -> Function:
    """Return the derivatives of every output with respect to every input, by one backward pass an output.

    The result has the output's structure, with the structure of the arguments in the place of each output.
    Arguments and errors are those of `value_and_grad`, but f returns a structure of `Value`s.

    >>> jacobian(lambda v: [v[0] * v[1], v[0] + v[1]])([2, 3])
    [[3.0, 2.0], [1.0, 1.0]]
    """
    return _jacobian("jacobian", f, argnums)


def hessian(f: Function, argnums: int | Sequence[int] = 0) -> Function:
    """Return the second derivatives of a scalar function, for about n gradients of n inputs.

    The result has the gradient's structure, with the structure of the arguments in the place of each derivative.
    Arguments and errors are those of `value_and_grad`.

    >>> hessian(lambda v: v[0] ** 2 * v[1])([2, 3])
    [[6.0, 4.0], [4.0, 0.0]]
    """
    return _jacobian("hessian", _grad("hessian", f, argnums), argnums)


def sparse_jacobian(f: Function, argnums: int | Sequence[int] = 0) -> Callable[..., Sparse]:
    """Return the entries of the Jacobian that are not zero whatever the numbers, as a `Sparse`.

    A row is an output, a column a variable: the numbers in the output's and the arguments' structures in their order.
    What is exactly zero, and how the entries are found, is said in `elements` and `sparse`. Arguments and errors are
    those of `jacobian`.

    >>> found = sparse_jacobian(lambda v: [v[0] * v[1], v[0] + v[1] - v[0]])([2, 3])
    >>> found
    Sparse(values=[3.0, 2.0, 1.0], rows=[0, 0, 1], columns=[0, 1, 1], shape=(2, 2))
    >>> found.dense()
    [[3.0, 2.0], [0.0, 1.0]]
    """
    numbers, _ = places("sparse_jacobian", argnums)

    def derived(*args: Any, **kwargs: Any) -> Sparse:
        with level() as around:
            call = Call("sparse_jacobian", f, numbers, args, kwargs, around)
            found = jacobian_entries(call.outputs()[0], call.inputs)
            return found._replace(values=[call.plain(x) for x in found.values])

    return derived


def sparse_hessian(f: Function, argnums: int | Sequence[int] = 0, lower: bool = False) -> Callable[..., Sparse]:
    """Return the second derivatives of a scalar function that are not zero whatever the numbers, as a `Sparse`.

    Args:
        f: as for `hessian`.
        argnums: as for `hessian`.
        lower: whether to return the lower triangle alone, diagonal included, of which the upper one is the mirror.

    Raises:
        TypeError: as for `hessian`.
        ValueError: as for `hessian`.

    >>> sparse_hessian(lambda v: v[0] ** 2 * v[1] + v[2], lower=True)([2, 3, 5])
    Sparse(values=[6.0, 4.0], rows=[0, 1], columns=[0, 0], shape=(3, 3))
    """
    numbers, _ = places("sparse_hessian", argnums)

    def derived(*args: Any, **kwargs: Any) -> Sparse:
        with level() as around:
            call = Call("sparse_hessian", f, numbers, args, kwargs, around)
            found = hessian_entries(call.scalar(), call.inputs, lower)
            return found._replace(values=[call.plain(x) for x in found.values])

    return derived


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
    gradient = _grad("hvp", f, 0)
    return _grad("hvp", lambda x: ops.dot(_leaves(gradient(x)), direction), 0)(x)


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
    with level() as around:
        call = Call("jvp", f, [0], [x], {}, around)
        call.nested = call.nested or holds_values(direction)
        deeper, (outputs, rebuild) = call.deeper, call.outputs()
        tangents: dict[Value, Any] = dict(zip(call.inputs, direction, strict=True))
        reach = Reach(call.inputs)
        for node in reversed(topological_order(*outputs)):
            if deeper:
                moving = _symbolic_tangents(node, tangents, reach)
            else:
                moving = [(partial, tangents[x]) for x, partial in node.edges() if x in tangents]
            if moving:  # no variable is, for its operand lies outside
                tangents[node] = ops.dot([partial for partial, _ in moving], [t for _, t in moving])
                if context.here().detect_anomaly:
                    anomaly.check_tangent(node, tangents[node])
        flat = [call.plain(tangents.get(y, 0.0)) for y in outputs]
        return rebuild([call.plain(y) for y in outputs]), rebuild(flat)


def _symbolic_tangents(node: Value, tangents: dict[Value, Any], reach: Reach) -> list[tuple[Any, Any]]:
    """Return factors of the products that add up to a node's tangent, made of `Value`s."""
    found = []
    for x, edge in symbolic_edges(node, tangents.keys()):
        reach.spread(x, node, edge)
        _, partial, selection = edge
        if reach.is_certain(x) and not selection:
            found.append((partial, tangents[x]))
        elif (part := part_of(tangents[x], edge, reach, x)) is not None:
            found.append((1.0, part))
    return found


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
    with level() as around:
        call = Call("vjp", f, [0], [x], {}, around)
        outputs, rebuild = call.outputs()
        value = rebuild([call.plain(y) for y in outputs])
        nested = call.nested

    def pull(weights: Any) -> Any:
        flat = _like("vjp", "the weights", weights, call.output)
        with level() as (depth, quiet):
            call.nested = nested or depth > 0 or holds_values(flat)
            call.quiet = quiet
            return call.gradient(ops.dot(outputs, flat), many=False)

    return value, pull


def _value_and_grad(name: str, f: Function, argnums: int | Sequence[int]) -> Callable[..., tuple[Any, Any]]:
    """Return `value_and_grad` for the function of this module that `name` is, whose errors name it."""
    numbers, many = places(name, argnums)

    def derived(*args: Any, **kwargs: Any) -> tuple[Any, Any]:
        with level() as around:
            call = Call(name, f, numbers, args, kwargs, around)
            y = call.scalar()
            return call.plain(y), call.gradient(y, many)

    return derived


def _grad(name: str, f: Function, argnums: int | Sequence[int]) -> Function:
    both = _value_and_grad(name, f, argnums)
    return lambda *args, **kwargs: both(*args, **kwargs)[1]


def _jacobian(name: str, f: Function, argnums: int | Sequence[int]) -> Function:
    numbers, many = places(name, argnums)

    def derived(*args: Any, **kwargs: Any) -> Any:
        with level() as around:
            call = Call(name, f, numbers, args, kwargs, around)
            outputs, rebuild = call.outputs()
            return rebuild([call.gradient(y, many) for y in outputs])

    return derived


def _leaves(tree: Any) -> list[Any]:
    return [x for _, x in flatten(tree)[0]]


def _like(name: str, what: str, tree: Any, model: Any) -> list[Any]:
    """Return the leaves of `tree`, which must have the structure of `model`."""
    try:
        found = leaves_like(tree, model)
    except ValueError as error:
        raise ValueError(f"{name}: {what} must have the structure of {model!r}, got {tree!r}") from error
    return [x if isinstance(x, Value) else number(x) for _, x in found]
