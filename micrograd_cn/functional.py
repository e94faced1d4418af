"""Turn functions of numbers into functions that compute their gradients, Jacobians and Hessians, to any order.

An argument that is differentiated is a number, or a structure of numbers: a list, tuple, dict or array, nested to any
depth. Its derivative has the same structure, with floats in place of the numbers. The function gets a numpy array as an
array of `Value`s. Elements, slices, `+ - * / ** @`, `sum`, `mean`, `max` and numpy functions that `Value` has as
methods, such as `np.exp`, work on this array. They also work on results in which numbers are beside `Value`s, as in
`np.exp(np.maximum(x, 0))` and `np.log(np.clip(x, 0.1, 0.9))`. The function gets an array of another library as nested
lists, whose `+`, `*` and `==` raise an error; write `np.asarray(x)`.

At a tie, `np.maximum(x, y)`, `np.minimum`, `np.clip`, `np.max` and `np.min` of arrays give the whole gradient to the
first of the equal elements. So at 0, `np.maximum(x, 0)` has the derivative 1, `np.maximum(0, x)` has 0, and the
gradient of `np.max` at [1, 1, 0] is [1, 0, 0]. `micrograd_cn.maximum` and `minimum`, which take arrays, too, give half
to each of two equal numbers. `relu` has the derivative 0 at 0.

If f makes an array of its own from a list of `Value`s and numbers, `np.exp` and the like raise an error: numpy calls a
method of each element, and a number does not have this method. Write `micrograd_cn.exp(xs)` and the like there, which
take arrays of both. `np.nan_to_num` would leave every nan in such an array or in a list of `Value`s. So if the
code of f calls it for a `Value` that is nan or infinite, this raises a TypeError. In a function that f calls, it is not
noticed. Write `micrograd_cn.where(micrograd_cn.equal(x, x), x, 0.0)` instead.

If a `Value` in the function is computed from arguments that are numbers, then `==`, `!=`, `in` and truth (`if t:`,
`t or 1.0`) depend on its number, as `<` and the like do. So the function takes the branch that it takes for numbers,
and the derivative is that of this branch. But the argument is a `Value` all the same: `isinstance(n, int)` and `n is 1`
are false, and a dict with the key 1 does not find n. Write `d.get(int(n.data))` for that. Sets, `Counter` and
`statistics.mode` look elements up in the same way as a dict, so they take two `Value`s of the same number for different
elements. Write `{x.data for x in v}` for a set of the numbers. For an argument that was itself a `Value`, and for what
is computed from it, `==` goes by identity, as everywhere else.

A Python or numpy bool, and an array of bools, is passed to the function as it is, so it can be a mask, and its
derivative is 0. If all numbers of an argument that is to be differentiated are bools, this raises a TypeError. An int
is differentiated like any other number, so it is a `Value` in the function and cannot be an index. To pass an argument
as it is, such as an index or a mask, write `argnums` with the positions of the other arguments. A copy of a `Value`
that stands for a number, as by `copy.deepcopy`, is this `Value` itself, with the same derivative.

Calls can be nested: the function to differentiate may itself call `grad` and the like. Each call makes variables of its
own, so the variables of nested calls are never confused.

Results are floats if the arguments are numbers. But if f uses `Value`s that are not arguments, such as the parameters
of a network, the results are `Value`s that depend on the parameters, so a loss that is computed from the results trains
the parameters. Inside `no_grad()` they are floats even then. A `Value` that f itself makes, such as the `Value(0)` that
begins a sum, counts as a parameter, because f may keep it. Begin a sum with 0.0, and the results are floats.

A function may keep what it computes, in a dict for example, but only for the `Value` that it gets: `memo[x]`. With
`memo[x.data]`, it would return a node of an earlier call in a later call, and its derivative would be 0. So this raises
an error if the results of the earlier call were floats. (`Value`s that calls have returned may be used anywhere.)

A function that returns a plain number is constant, and its derivative is 0. That includes a function that loses its
graph on the way, as `math.exp(x.data)` does, because a number does not tell how it was computed.

To a type checker, the returned functions take and return Any, because Python's types cannot express that a derivative
has the structure of the arguments.
"""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable, Sequence
from math import isfinite
from typing import TYPE_CHECKING, Any, Never, NoReturn, TypeAlias, TypeVar

from . import ops
from .derivatives.argument_binding import BoundCall, argument_positions, contains_values, differentiation_level
from .derivatives.sparse import Sparse
from .derivatives.sparse import sparse_hessian as hessian_entries
from .derivatives.sparse import sparse_jacobian as jacobian_entries
from .engine import Value, topological_order
from .gradients import GraphReach, contribution_through, symbolic_edges
from .graph import anomaly, context
from .graph.callers import warn_at_user
from .graph.nan_to_num import names_nan_to_num
from .ops.number import flag, number
from .ops.options import refuse_options
from .parameters.tree import flatten, flatten_like

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


if not TYPE_CHECKING:

    def __getattr__(name: str) -> NoReturn:
        """Raise an error for a name that this module does not have. It says what to write."""
        from .text.public_names import missing_name

        raise missing_name(name, sys._getframe(1), __name__)


Function: TypeAlias = Callable[..., Any]
F = TypeVar("F", bound=Callable[..., Any])
# What to write instead of a jax or PyTorch option
INSTEAD = {
    "has_aux": "differentiate lambda x: f(x)[0], and call f for the rest",
    "create_graph": "leave it out, because derivatives can be differentiated again",
    "wrt": "write argnums=..., with the positions of arguments",
    "inputs": "pass them to the function that is returned, as in grad(f)(x)",
    "sparsity": "leave it out, because the entries that can be nonzero are found from f",
}
INSTEAD_AT_POINT = INSTEAD | {
    **dict.fromkeys(("argnums", "argnum", "wrt"), "pass a function of one argument, as in lambda x: f(x, y)"),
    **dict.fromkeys(("inputs", "primals"), "pass x second, without a name"),
    **dict.fromkeys(("tangents", "vector", "p"), "pass v third, without a name"),
}
INSTEAD_IN_GRAD = INSTEAD | {"has_aux": "write value_and_grad(f, has_aux=True)"}


def value_and_grad(
    f: Function, argnums: int | Sequence[int] = 0, *, has_aux: bool = False, **wrong: Never
) -> Callable[..., tuple[Any, Any]]:
    """Return a function that takes the arguments of f, and returns the value of f and its gradient.

    `compile(value_and_grad(f))` is this function in machine code, and `scipy.optimize.minimize(fun, x0, jac=True)`
    takes such a function.

    Args:
        f: takes numbers or structures of numbers (lists, tuples, dicts or arrays, nested to any depth), and returns one
            `Value`. If f returns a plain number, the gradient is 0.
        argnums: the position of the argument to differentiate, counted from 0, or a sequence of positions. For a
            sequence, the gradient is a tuple with an item for each position.
        has_aux: whether f returns a pair: the `Value` to differentiate, and auxiliary results, nested to any depth. The
            value that is returned is then a pair, too.

    Raises:
        TypeError: f is not a function, or `argnums` is neither an int nor a sequence of ints. When called: an argument
            contains something that is not a number, or f returns something that is neither a `Value` nor a number, or
            does not return a pair although `has_aux` is set.
        ValueError: f has no argument at one of the positions, or two positions are of the same argument. Some of these
            mistakes are found only when the returned function is called.

    >>> value_and_grad(lambda p: p["x"] * p["y"])({"x": 2, "y": 5})
    (10.0, {'x': 5.0, 'y': 2.0})
    >>> value_and_grad(lambda x: (x * x, {"double": 2 * x}), has_aux=True)(3)
    ((9.0, {'double': 6.0}), 6.0)
    """
    refuse_options("value_and_grad()", wrong, INSTEAD, ("argnums", "has_aux"))
    return _value_and_grad("value_and_grad", f, argnums, has_aux)


def grad(f: Function, argnums: int | Sequence[int] = 0, **wrong: Never) -> Function:
    """Return a function that takes the arguments of f, and returns the gradient of f, df/dx.

    Apply `grad` n times to a function of one number to get its n-th derivative.

    Args:
        f: takes numbers or structures of numbers (lists, tuples, dicts or arrays, nested to any depth), and returns one
            `Value`. If f returns a plain number, the gradient is 0.
        argnums: the position of the argument to differentiate, counted from 0, or a sequence of positions. For a
            sequence, the gradient is a tuple with an item for each position.
        wrong: options of other libraries. If you pass one, an error says what to write instead.

    Raises:
        TypeError, ValueError: the arguments are wrong, in the same cases as for `value_and_grad`.

    >>> cube = lambda x: x ** 3
    >>> grad(cube)(2), grad(grad(cube))(2), grad(grad(grad(cube)))(2)
    (12.0, 12.0, 6.0)
    """
    refuse_options("grad()", wrong, INSTEAD_IN_GRAD, ("argnums",))
    return _grad("grad", f, argnums)


def jacobian(f: Function, argnums: int | Sequence[int] = 0, **wrong: Never) -> Function:
    """Return a function that computes the derivative of every output with respect to every input, J[i][j] = dy_i/dx_j.

    The result of the returned function is nested like the output of f. In place of each number of this output there
    is the gradient of this number, which is nested like the argument to differentiate. There is one backward pass for
    each number of the output.

    Args:
        f: takes numbers or structures of numbers (lists, tuples, dicts or arrays, nested to any depth), and returns a
            `Value`, or a structure of `Value`s.
        argnums: the position of the argument to differentiate, counted from 0, or a sequence of positions. For a
            sequence, each gradient is a tuple with an item for each position.
        wrong: options of other libraries. If you pass one, an error says what to write instead.

    Raises:
        TypeError, ValueError: the arguments are wrong, in the same cases as for `value_and_grad`.

    >>> jacobian(lambda v: [v[0] * v[1], v[0] + v[1]])([2, 3])
    [[3.0, 2.0], [1.0, 1.0]]
    """
    refuse_options("jacobian()", wrong, INSTEAD, ("argnums",))
    return _jacobian("jacobian", f, argnums)


def hessian(f: Function, argnums: int | Sequence[int] = 0, **wrong: Never) -> Function:
    """Return a function that computes the second derivatives of the scalar function f, H[i][j] = d2f/dx_i dx_j.

    The result of the returned function is nested like the gradient of f. In place of each number of the gradient
    there is a row of the Hessian, which is nested like the argument to differentiate. If this argument has n numbers, a
    call takes about as long as n calls of `grad(f)`.

    Args:
        f: takes numbers or structures of numbers (lists, tuples, dicts or arrays, nested to any depth), and returns one
            `Value`.
        argnums: the position of the argument to differentiate, counted from 0, or a sequence of positions. For a
            sequence, the gradient and each row of the Hessian are tuples with an item for each position.
        wrong: options of other libraries. If you pass one, an error says what to write instead.

    Raises:
        TypeError, ValueError: the arguments are wrong, in the same cases as for `value_and_grad`.

    >>> hessian(lambda v: v[0] ** 2 * v[1])([2, 3])
    [[6.0, 4.0], [4.0, 0.0]]
    """
    refuse_options("hessian()", wrong, INSTEAD, ("argnums",))
    return _jacobian("hessian", _grad("hessian", f, argnums), argnums)


def sparse_jacobian(f: Function, argnums: int | Sequence[int] = 0, **wrong: Never) -> Callable[..., Sparse]:
    """Return a function that computes the entries of the Jacobian of f that can be nonzero, as a `Sparse` matrix.

    The matrix has a row for each number in the output of f, and a column for each number in the arguments to
    differentiate. Rows and columns are in the order in which these numbers occur. An entry is left out if it is
    recognised as zero for all arguments; the module `micrograd_cn.derivatives.finite_field` says how.

    Args:
        f: takes numbers or structures of numbers (lists, tuples, dicts or arrays, nested to any depth), and returns a
            `Value`, or a structure of `Value`s.
        argnums: the position of the argument to differentiate, counted from 0, or a sequence of positions.

    Raises:
        TypeError, ValueError: the arguments are wrong, in the same cases as for `value_and_grad`.

    >>> found = sparse_jacobian(lambda v: [v[0] * v[1], v[0] + v[1] - v[0]])([2, 3])
    >>> found
    Sparse(values=[3.0, 2.0, 1.0], rows=[0, 0, 1], columns=[0, 1, 1], shape=(2, 2))
    >>> found.dense()
    [[3.0, 2.0], [0.0, 1.0]]
    """
    refuse_options("sparse_jacobian()", wrong, INSTEAD, ("argnums",))
    positions, _ = argument_positions("sparse_jacobian", f, argnums)

    def derived(*args: Any, **kwargs: Any) -> Sparse:
        with differentiation_level() as around:
            call = BoundCall("sparse_jacobian", f, positions, args, kwargs, around)
            found = jacobian_entries(call.outputs()[0], call.variables)
            return found._replace(values=[call.as_result(x) for x in found.values])

    return _derivative(f, derived)


def sparse_hessian(
    f: Function, argnums: int | Sequence[int] = 0, lower: bool = False, **wrong: Never
) -> Callable[..., Sparse]:
    """Return a function that computes the entries of the Hessian of f that can be nonzero, as a `Sparse` matrix.

    The matrix has a row and a column for each number in the arguments to differentiate, in the order in which these
    numbers occur.

    Args:
        f: a function that returns one `Value`, as for `value_and_grad`.
        argnums: the position of the argument to differentiate, counted from 0, or a sequence of positions.
        lower: whether to return only the lower triangle, which includes the diagonal.

    Raises:
        TypeError: an option has the wrong type. When called: an argument contains something that is not a number, or f
            returns something that is neither a `Value` nor a number.
        ValueError: f has no argument at one of the positions, or two positions are of the same argument.

    >>> sparse_hessian(lambda v: v[0] ** 2 * v[1] + v[2], lower=True)([2, 3, 5])
    Sparse(values=[6.0, 4.0], rows=[0, 1], columns=[0, 0], shape=(3, 3))
    """
    refuse_options("sparse_hessian()", wrong, INSTEAD, ("argnums", "lower"))
    positions, _ = argument_positions("sparse_hessian", f, argnums)
    lower = flag("sparse_hessian(): lower", lower)

    def derived(*args: Any, **kwargs: Any) -> Sparse:
        with differentiation_level() as around:
            call = BoundCall("sparse_hessian", f, positions, args, kwargs, around)
            found = hessian_entries(call.scalar(), call.variables, lower)
            return found._replace(values=[call.as_result(x) for x in found.values])

    return _derivative(f, derived)


def hvp(f: Function, x: Any, v: Any, **wrong: Never) -> Any:
    """Return H v, where H is the Hessian of f at `x`.

    A call takes about as long as a few calls of `grad(f)`, however many numbers `x` contains.

    Args:
        f: takes `x`, and returns one `Value`.
        x: a number, or a list, tuple, dict or array of numbers, nested to any depth.
        v: the vector to multiply H by: numbers, nested like `x`.

    Raises:
        TypeError: f is not a function, or returns something that is neither a `Value` nor a number, or `x` or `v`
            contains something that is not a number.
        ValueError: `v` is not nested like `x`.

    >>> hvp(lambda v: v[0] ** 2 * v[1], [2, 3], [1, 0])
    [6.0, 4.0]
    """
    refuse_options("hvp()", wrong, INSTEAD_AT_POINT)
    direction = _like("hvp", "v", v, x)
    gradient = _grad("hvp", _of_single("hvp", f, x), 0)
    try:
        return _grad("hvp", lambda x: ops.dot(_leaves(gradient(x)), direction), 0)(x)
    except (TypeError, AttributeError) as error:
        _note_tuple("hvp", x, error)
        raise


def jvp(f: Function, x: Any, v: Any, **wrong: Never) -> tuple[Any, Any]:
    """Return f(x) and J v, where J is the Jacobian of f at `x`: the derivative of f in the direction `v`.

    A call takes one forward pass, however many outputs there are.

    Args:
        f: takes `x`, and returns a `Value`, or a list, tuple, dict or array of `Value`s, nested to any depth.
        x: a number, or a list, tuple, dict or array of numbers, nested to any depth.
        v: the direction (the tangents): numbers, nested like `x`.

    Raises:
        TypeError: f is not a function, or its output, `x` or `v` contains something that is not a number.
        ValueError: `v` is not nested like `x`.
        FloatingPointError: inside `detect_anomaly()`, a tangent is not finite.

    >>> jvp(lambda v: [v[0] * v[1], v[0] + v[1]], [2, 3], [1, 0])
    ([6.0, 5.0], [3.0, 1.0])
    """
    refuse_options("jvp()", wrong, INSTEAD_AT_POINT)
    direction = _like("jvp", "v", v, x)
    with differentiation_level() as around:
        try:
            call = BoundCall("jvp", _of_single("jvp", f, x), [0], [x], {}, around)
            call.returns_values = call.returns_values or contains_values(direction)
            create_graph, (outputs, unflatten) = call.create_graph, call.outputs()
        except (TypeError, AttributeError) as error:
            _note_tuple("jvp", x, error)
            raise
        tangents: dict[Value, Any] = dict(zip(call.variables, direction, strict=True))
        reach = GraphReach(call.variables)
        for node in reversed(topological_order(*outputs)):
            if create_graph:
                terms = _symbolic_terms(node, tangents, reach)
            else:
                terms = [(partial, tangents[p]) for p, partial in node.edges() if p in tangents]
            if terms:  # there are none for an argument that was itself computed: its operands have no tangents
                tangents[node] = ops.dot([partial for partial, _ in terms], [t for _, t in terms])
                if context.here().detect_anomaly:
                    anomaly.check_tangent(node, tangents[node])
        flat = [call.as_result(tangents.get(y, 0.0)) for y in outputs]
        return unflatten([call.as_result(y) for y in outputs]), unflatten(flat)


def _symbolic_terms(node: Value, tangents: dict[Value, Any], reach: GraphReach) -> list[tuple[Any, Any]]:
    """Return the terms of the tangent of `node`: a list of pairs (a, b), whose products a * b add up to the tangent.

    Both items of a pair are numbers or `Value`s.

    Args:
        node: a node of the graph.
        tangents: a dict from nodes to their tangents. An operand of `node` is in it if it depends on the arguments.
        reach: finds out which nodes a tangent reaches. This function adds to it the edges that lead to `node`.
    """
    found = []
    for x, edge in symbolic_edges(node, tangents.keys()):
        _, partial, selection = edge
        reach.spread(x, [node], selection)
        if x in reach.certain and not selection:
            found.append((partial, tangents[x]))
        elif (tangent := contribution_through(edge, tangents[x], reach, x)) is not None:
            found.append((1.0, tangent))
    return found


def vjp(f: Function, x: Any, *others: Never, **wrong: Never) -> tuple[Any, Function]:
    """Return f(x), and a function that maps a vector u to u J, where J is the Jacobian of f at `x`.

    In other words, that function takes a weight for each output, nested like the output of f, and returns the gradient
    of the weighted sum of the outputs. This needs one backward pass.

    Args:
        f: takes `x`, and returns a `Value`, or a list, tuple, dict or array of `Value`s, nested to any depth.
        x: a number, or a list, tuple, dict or array of numbers, nested to any depth.
        others, wrong: arguments of the functions of this name in jax and PyTorch, which raise a TypeError that says
            what to write.

    Raises:
        TypeError: f is not a function, or its output or `x` contains something that is not a number.
        ValueError: the returned function is called with weights that are not nested like the output of f.

    >>> value, pull = vjp(lambda v: [v[0] * v[1], v[0] + v[1]], [2, 3])
    >>> value, pull([1, 0]), pull([0, 1])
    ([6.0, 5.0], [3.0, 2.0], [1.0, 1.0])
    """
    if others or wrong:
        refuse_options("vjp()", wrong, INSTEAD_AT_POINT | {"v": "write value, pull = vjp(f, x), and then pull(v)"})
        raise TypeError(
            "vjp(f, x) takes one argument of f: for PyTorch's vjp(f, x, v), write value, pull = vjp(f, x), and then "
            "pull(v); for jax's vjp(f, x, y), write vjp(lambda xs: f(*xs), (x, y))"
        )
    with differentiation_level() as around:
        try:
            call = BoundCall("vjp", _of_single("vjp", f, x), [0], [x], {}, around)
            outputs, unflatten = call.outputs()
        except (TypeError, AttributeError) as error:
            _note_tuple("vjp", x, error)
            raise
        value = unflatten([call.as_result(y) for y in outputs])
        call.keep_in_use()
        returns_values = call.returns_values

    def pull(weights: Any) -> Any:
        flat = _like("vjp", "the weights", weights, call.output)
        with differentiation_level() as level:
            call.announce_variables()
            call.returns_values = returns_values or level.depth > 0 or contains_values(flat)
            call.no_grad = level.no_grad
            return call.gradient(ops.dot(outputs, flat), many=False)

    return value, pull


def _value_and_grad(
    name: str, f: Function, argnums: int | Sequence[int], has_aux: bool = False
) -> Callable[..., tuple[Any, Any]]:
    """Return `value_and_grad(f, argnums, has_aux=has_aux)`.

    Error messages begin with `name`, the function that the user called.
    """
    positions, many = argument_positions(name, f, argnums)
    has_aux = flag(f"{name}(): has_aux", has_aux)

    def derived(*args: Any, **kwargs: Any) -> tuple[Any, Any]:
        with differentiation_level() as around:
            try:
                call = BoundCall(name, f, positions, args, kwargs, around)
            except (TypeError, ValueError) as error:
                if message := _instead(name, f, {i: args[i] for i in positions if i < len(args)}):
                    raise TypeError(f"{name}: {message}") from error
                raise
            if not has_aux:
                y = call.scalar()
                if not (isfinite(y._data) or call.returns_values):
                    _warn_of_caught(name, f, args, kwargs)
                results = call.as_result(y), call.gradient(y, many, only=True)
            else:
                y, aux = call.scalar_and_aux()
                results = (call.as_result(y), aux), call.gradient(y, many)
            call.finish()
            return results

    return _derivative(f, derived)


def _warn_of_caught(name: str, f: Function, args: Sequence[Any], kwargs: dict[str, Any]) -> None:
    """Warn if f, which gives inf or nan for `Value`s, gives a finite number for numbers, because it catches an error.

    For example, f may catch the ZeroDivisionError of x / 0. An operator of floats raises such an error where the same
    operator of `Value`s gives inf or nan.
    """
    if not getattr(getattr(f, "__code__", None), "co_exceptiontable", b""):
        return
    try:
        y = f(*args, **kwargs)
        is_finite = isfinite(number(y))
    except Exception:  # code that was written for `Value`s alone may raise anything for a number
        return
    if is_finite:
        warn_at_user(
            f"{name}(): the function gives {y!r} for these numbers, but inf or nan for Values, for which "
            "an operator raises no ZeroDivisionError or OverflowError that it could catch; write "
            "where(equal(y, 0.0), a, div(x, y)) for an a in the place of x / 0, with functions of micrograd_cn"
        )


def _instead(name: str, f: Any, given: dict[int, Any]) -> str:
    """Return a message for a call that has failed, if it is known what to write instead of the call; otherwise "".

    Args:
        name: the function that the user called.
        f: the function to differentiate.
        given: the arguments to differentiate, by position.
    """
    if hasattr(f, "gradient") and hasattr(f, "fit"):
        return f"the function is compiled; write f.gradient(samples), or {name}(g) of the function g without @compile"
    for i, x in given.items():
        kind = type(x).__name__
        if hasattr(x, "__dataclass_fields__") and not hasattr(x, "__float__"):
            return f"argument {i} is a {kind}, a dataclass; write a dict of numbers, dataclasses.asdict(x)"
        if kind == "SimpleNamespace":
            return f"argument {i} is a {kind}; write a dict of its numbers, vars(x)"
        if kind == "matrix":
            return f"argument {i} is a numpy.matrix; write an array, numpy.asarray(x)"
    return ""


def _grad(name: str, f: Function, argnums: int | Sequence[int]) -> Function:
    both = _value_and_grad(name, f, argnums)
    return _derivative(f, lambda *args, **kwargs: both(*args, **kwargs)[1])


def _jacobian(name: str, f: Function, argnums: int | Sequence[int]) -> Function:
    positions, many = argument_positions(name, f, argnums)

    def derived(*args: Any, **kwargs: Any) -> Any:
        with differentiation_level() as around:
            call = BoundCall(name, f, positions, args, kwargs, around)
            outputs, unflatten = call.outputs()
            rows = [call.gradient(y, many) for y in outputs]
            call.finish()
            return unflatten(rows)

    return _derivative(f, derived)


def _derivative(f: Function, derived: F) -> F:
    """Return `derived`, a derivative of f, which takes the arguments of f; its attribute `differentiated` becomes f.

    By this attribute, `compile` finds the names of the arguments.
    """
    derived.differentiated = f  # type: ignore[attr-defined]  # a function may have any attribute
    return derived


def _leaves(tree: Any) -> list[Any]:
    return [x for _, x in flatten(tree)[0]]


class _TupleOfOne(tuple[Any, ...]):
    """A tuple of one entry that a function gets as its argument. It cannot be repeated, nor joined to another tuple."""

    __slots__ = ()

    def _refuse(self, other: object) -> NoReturn:
        raise TypeError("the argument is a tuple of one entry, whose operators + and * are not those of its entry")

    __add__ = __mul__ = __rmul__ = _refuse


def _of_single(name: str, f: Function, x: Any) -> Function:
    """Return f. But if `x` is a tuple of one entry, return a function that calls f with a tuple that refuses `x * 2`.

    In jax and PyTorch, the function `name`, such as "jvp", would pass the entry itself to f. There, `lambda x: x * 2`
    is a product, and here it would be a tuple with the entry twice.

    Raises:
        TypeError: f is not a function.
    """
    if not callable(f):
        rest = "" if name == "vjp" else ", v"
        raise TypeError(f"{name} takes a function, got {type(f).__name__} {f!r}; write {name}(f, x{rest})")
    if type(x) is not tuple or len(x) != 1 or names_nan_to_num(f):
        return f
    return functools.wraps(f)(lambda x: f(_TupleOfOne(x)))


def _note_tuple(name: str, x: Any, error: TypeError | AttributeError) -> None:
    """If `x` is a tuple, add a note to `error` that says how to pass the items of `x` to f as separate arguments.

    `error` was raised by f, which got the tuple as one argument. In jax, the function `name`, such as "hvp", would pass
    the items. For any other `x`, no note is added.
    """
    if type(x) is tuple:
        rest = "" if name == "vjp" else ", v"
        error.add_note(
            f"{name}() passes x to f as one argument; if f takes the entries of this tuple, as in jax and PyTorch, "
            f"write {name}(lambda x: f(*x), x{rest})"
        )


def _like(name: str, what: str, tree: Any, model: Any) -> list[Any]:
    """Return the leaves of `tree`, which must be nested like `model`, as `Value`s and floats.

    Raises:
        ValueError: `tree` is not nested like `model`. The message begins with `name`, the function that the user
            called, and calls `tree` by the name `what`.
        TypeError: a leaf is neither a `Value` nor a number.
    """
    try:
        found = flatten_like(tree, model)
    except ValueError as error:
        raise ValueError(f"{name}: {what} must have the structure of {model!r}, got {tree!r}") from error
    return [x if isinstance(x, Value) else number(x) for _, x in found]
