"""Bind the arguments of a function to fresh variables, which is the first step of all functions in `functional`.

The numbers in an argument are replaced by leaf `Value`s, the function is called, and its output is a graph over these
leaves. Results go back to the caller nested in lists, tuples, dicts and arrays like the arguments, or like the output.
"""

from __future__ import annotations

import operator
import re
import sys
from collections import OrderedDict, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from copy import deepcopy
from functools import cache, partial
from itertools import chain
from math import isclose
from numbers import Real
from operator import attrgetter
from types import FunctionType
from typing import Any, NamedTuple

from ..engine import Value, constant, traverse
from ..gradients import gradients_in_order
from ..graph import context
from ..graph.callers import warn_at_user
from ..graph.context import here, recording
from ..graph.nan_to_num import names_nan_to_num, refuse_nan_to_num_of_nan
from ..graph.plain_numbers import Variables, variables
from ..ops.number import is_of_numpy, is_table, number_instead, own_operator
from ..parameters.tree import ListOfArray, arrays_to_lists, flatten, is_array

CO_VARARGS = 0x04  # the flag of a code object whose function has a parameter *args; `inspect` takes long to import

__all__ = ["BoundCall", "Level", "argument_array", "argument_positions", "contains_values", "differentiation_level"]

_depth: ContextVar[int] = ContextVar("micrograd_cn_depth", default=0)
_ONLY_FLOATS, _USUAL, _PLAIN = {float}, {float, int, Value}, {float, int, bool, str}
# Marks of variables, which stand in the attribute `_db`. FINISHED: the variable belongs to an outermost call that has
# ended, and has returned nothing but floats. IN_USE: the variable belongs to a call of `vjp`, and the function that
# `vjp` has returned goes on computing with it
FINISHED, IN_USE = 2.0, 3.0
_mark = attrgetter("_db")


class Level(NamedTuple):
    """The surroundings in which a derivative is computed.

    Attributes:
        depth: how many derivatives are being computed around this derivative: 0 for the outer `grad` of grad(grad(f)),
            and 1 for the inner `grad`.
        no_grad: whether the derivative is computed inside `no_grad()`.
    """

    depth: int
    no_grad: bool


@contextmanager
def differentiation_level() -> Iterator[Level]:
    """Record a graph inside the `with` block, even inside `no_grad()`; yield the `Level` of the block.

    >>> with differentiation_level(), differentiation_level() as inner:
    ...     inner
    Level(depth=1, no_grad=False)
    """
    depth = _depth.get()
    try:
        _depth.set(depth + 1)
        if not depth:
            variables.set(Variables())
        if here().no_grad:
            with recording():
                yield Level(depth, True)
        else:
            yield Level(depth, False)
    finally:
        _depth.set(depth)  # first, since Ctrl-C may come after it
        if not depth:
            variables.set(None)


class BoundCall:
    """Call a function with fresh variables in place of the numbers in some of its arguments.

    Args:
        name: the function of `functional` that is called, for messages.
        f: the function to differentiate.
        argnums: the positions of the arguments to bind.
        args: all positional arguments.
        kwargs: all keyword arguments.
        around: the level that `differentiation_level()` yielded.

    Attributes:
        variables: the fresh variables.
        output: what the function returned.
        returns_values: whether results are `Value`s instead of floats. Results are `Value`s if there is another
            derivative around this derivative, if an argument contains `Value`s, if a compiled function is being
            recorded, or if the output depends on parameters that f uses.
        no_grad: whether `no_grad()` is around the call. If so, results that are `Value`s are constants.

    Raises:
        TypeError: an argument contains something that is not a number, or bools alone, or all arguments are passed by
            keyword.
        ValueError: there is no argument at one of the positions, or two positions are of the same argument.

    >>> with differentiation_level() as around:
    ...     call = BoundCall("grad", lambda x, y: x * y, [1], (2, 5), {}, around)
    ...     call.as_result(call.scalar()), call.gradient(call.scalar(), many=False)
    (10.0, 2.0)
    """

    def __init__(
        self,
        name: str,
        f: Callable[..., Any],
        argnums: Sequence[int],
        args: Sequence[Any],
        kwargs: Any,
        around: Level,
    ):
        self.name, self._function = name, f
        depth, self.no_grad = around
        self._is_outermost = not depth
        if kwargs and not args:
            raise TypeError(f"{name}: pass {', '.join(kwargs)} by position, since argnums counts positional arguments")
        named = {i % len(args) for i in argnums if -len(args) <= i < len(args)}
        if len(named) < len(argnums):
            absent = [i for i in argnums if i >= len(args)]
            write = f"; pass argument {absent[0]} in the call, too, even if it has a default" if absent else ""
            if not args:
                raise ValueError(
                    f"{name}: f was called without arguments, and argnums {list(argnums)} is the position of an "
                    f"argument in its call; write {name}(f)(x) for the derivative at x, with a function f of x"
                )
            raise ValueError(
                f"{name}: argnums {list(argnums)} must name each of {len(args)} arguments at most once{write}"
            )
        bound, given = list(args), []
        self.variables: list[Value] = []
        self._unflatten: list[tuple[int, Callable[..., Any]]] = []  # for each argument, the count of its leaves
        has_integers = False
        for i in argnums:
            if type(args[i]) is not float and not (
                type(args[i]) is list and _ONLY_FLOATS.issuperset(map(type, args[i]))
            ):
                _refuse_own_collections(name, f"argument {i}", args[i])
            leaves, unflatten = flatten(args[i], f"argument {i}")
            numbers = [x for _, x in leaves]
            kinds = {*map(type, numbers)}
            if _ONLY_FLOATS.issuperset(kinds):
                fresh = shown = [*map(Value, numbers)]
            else:
                fresh = shown = [_fresh_variable(name, path, x) for path, x in leaves]
                has_integers |= not kinds.isdisjoint((int, bool))
                if not _USUAL.issuperset(kinds):
                    shown = _with_bools(name, f"argument {i}", args[i], numbers, fresh)
            bound[i] = unflatten(shown, argument_array())
            self.variables += fresh
            self._unflatten.append((len(leaves), unflatten))
            given.append(leaves)
        self.announce_variables()
        hooks = here().hooks
        if hooks:
            hooks.differentiated([x for leaves in given for _, x in leaves])
        # If another derivative is being computed around this call, results must stay differentiable with respect to its
        # variables. Results must stay in the graph, too, while a function is being recorded for the compiler, since
        # they may depend on parameters.
        self.returns_values = depth > 0 or here().is_recorded or contains_values([*args, *kwargs.values()])
        # `_given` is for `_refuse_unused`. Inside another derivative, f may use a variable of this derivative that it
        # also gets as an argument, so only an outermost call is checked.
        is_outermost = self.returns_values and not depth
        self._given = given if is_outermost and not hooks else []
        self._passed: list[Any] = [*[x for i, x in enumerate(args) if i not in named], *kwargs.values()]
        known = variables.get()
        assert known is not None, "a level is around each call"
        if is_outermost:
            values = [x for leaves in given for _, x in leaves if isinstance(x, Value)]
            found = [x for x in values if x.op is None and x.requires_grad]
            known.given = [x for x in found if not hooks.has_made(x)] if hooks else found
            known.passed = self._passed
        refusals = context.refusals
        try:
            if has_integers and any(is_of_numpy(x) for i in argnums for _, x in flatten(args[i], arrays=False)[0]):
                self.output = _call_and_compare(name, f, bound, args, kwargs)
            elif names_nan_to_num(f):
                self.output = refuse_nan_to_num_of_nan(lambda: f(*bound, **kwargs))
            else:
                self.output = f(*bound, **kwargs)
        except (TypeError, AttributeError, IndexError, RuntimeError) as error:
            # Imported here, because correct programs do not need them
            from ..graph.conversion import instead_of
            from ..graph.numpy_errors import NO_ARRAY, NO_COLLECTION, numpy_advice

            if instead := instead_of(f):
                f_name = getattr(f, "__name__", "f")
                raise TypeError(f"{name}: math.{f_name} takes plain numbers; write {instead} in the function") from None
            if advice := numpy_advice(error):
                error.add_note(f"{name}: Values are in the place of the numbers in the arguments; {advice}")
            elif re.search(NO_COLLECTION, str(error)) and not hasattr(error, "__notes__"):
                error.add_note(
                    f"{name}: a Value, which has no items, is in the place of each number in the arguments; pass a "
                    "list or an array for a vector"
                )
            for i in argnums:
                for path, x in flatten(args[i], f"argument {i}", arrays=False)[0]:
                    if is_array(x) and not is_of_numpy(x):
                        error.add_note(
                            f"{name}: {path} ({type(x).__name__}) is a list in f; write np.asarray(x) for an array"
                        )
                if isinstance(args[i], (list, tuple)) and re.search(NO_ARRAY, str(error)):
                    kind = type(args[i]).__name__
                    error.add_note(f"{name}: argument {i} is a {kind} in f, too; pass np.array(x) for an array")
            raise
        if context.refusals != refusals:
            _warn_if_numbers_differ(name, f, self.output, args, kwargs, CAUGHT)
        self._order: list[Value] | None = None  # the topological order of the one output, if it is known
        if not (self.returns_values or self.no_grad):
            self.returns_values = self._uses_parameters()

    def announce_variables(self) -> None:
        """Add the fresh variables to the set of variables of all derivatives that are being computed.

        So an outer derivative does not take them for parameters. In `grad(grad(f))`, for example, the outer `grad`
        looks whether f depends on parameters of a model. The variables of the inner `grad` are leaves, too, but not
        parameters.
        """
        known = variables.get()
        assert known is not None, "a level is around each call"
        known.update(self.variables)

    def _uses_parameters(self) -> bool:
        """Return whether the output depends on leaves other than the variables, such as the parameters of a model.

        Results must stay in their graph then, since a loss that is computed from them trains the parameters.
        """
        y = self.output
        outputs = [y] if isinstance(y, Value) else [x for _, x in flatten(y)[0] if isinstance(x, Value)]
        order, leaves = traverse(*outputs)
        others = leaves.difference(variables.get() or ())
        if others:
            self._refuse_finished(others)
        if len(outputs) == 1:
            self._order = order
        return any(leaf.requires_grad for leaf in others)

    def finish(self) -> None:
        """Mark all variables as no longer in use, if this derivative is the outermost one and its results are floats.

        The caller then has no result that depends on a variable. If the output of a later call depends on a marked
        variable, the function has kept a node of this call, which is an error (see `_refuse_finished`). Variables are
        not marked if the results are `Value`s, since these may be used anywhere.
        """
        if self._is_outermost and not self.returns_values:
            for x in variables.get() or ():
                if x.op is None and x._db is None:
                    x._db = FINISHED

    def keep_in_use(self) -> None:
        """Mark the variables as still in use, since the function that `vjp` returns computes with them later."""
        for x in self.variables:
            if x.op is None:
                x._db = IN_USE

    def _refuse_finished(self, leaves: Iterable[Value]) -> None:
        """Raise ValueError if a variable of an earlier call is among `leaves`, the leaves of the output's graph.

        Without the error, the variable would count as a parameter, although it stands for an argument, and the part of
        the derivative that comes from it would be 0.
        """
        if FINISHED not in map(_mark, leaves):
            return
        left = next((x for x in leaves if x._db == FINISHED and x not in (variables.get() or ())), None)
        if left is not None:
            raise ValueError(
                f"{self.name}: the function uses a value that it has computed in an earlier call, from an argument that"
                f" was {left.data}, and kept, for example in a dict, so this part of the derivative would be 0; compute"
                " it in each call, or take the Value x itself as the key of a memo, as in memo[x], and not its number; "
                "keep y.data, or y.detach(), of a value y that counts as constant"
            )

    def _warn_if_read(self) -> None:
        """Warn if the function, which has returned a plain number, may have read it from a `Value`, as by `x.data`.

        It may have done so if its code has a name such as `data`. A plain number tells nothing about its computation,
        so the derivative is 0.
        """
        code = getattr(self._function, "__code__", None)
        read = [name for name in ("data", "item", "tolist") if code and name in code.co_names]
        if read:
            warn_at_user(
                f"{self.name}: the function returned a plain number, whose derivative is 0; if it comes from "
                f"x.{read[0]}, write x itself, and for a constant that is meant, Value(c)"
            )

    def scalar(self) -> Value:
        """Return the output as a `Value`. A number becomes a constant.

        Raises:
            TypeError: the output is neither a `Value` nor a number.
        """
        y = _as_value(self.name, "the function returned", self.output)
        if not isinstance(self.output, Value):
            self._warn_if_read()
        self._refuse_beside(y)
        return y

    def scalar_and_aux(self) -> tuple[Value, Any]:
        """Return the two items of the output: the first as a `Value`, and the second for the user.

        In the second item, each `Value` becomes a float, or stays a `Value` if `returns_values` is set.

        Raises:
            TypeError: the output is not a pair, or its first item is neither a `Value` nor a number.
        """
        if not isinstance(self.output, (tuple, list)) or len(self.output) != 2:
            raise TypeError(f"{self.name}: with has_aux, the function returns a pair (value, aux), got {self.output!r}")
        leaves, unflatten = flatten(self.output[1], "output[1]")
        aux = (
            unflatten([self.as_result(x) if isinstance(x, Value) else x for _, x in leaves])
            if leaves
            else self.output[1]
        )
        y = _as_value(self.name, "output[0] of the function is", self.output[0])
        self._refuse_beside(y)
        return y, aux

    def outputs(self) -> tuple[list[Value], Callable[[list[Any]], Any]]:
        """Return a list of the `Value`s in the output, and a function that nests other items in the same way.

        The function takes a list with as many items as there are `Value`s. A number in the output becomes a constant.

        Raises:
            TypeError: an item of the output is neither a `Value` nor a number.
        """
        leaves, unflatten = flatten(self.output, "output")
        ys = [_as_value(self.name, f"{path} of the function is", y) for path, y in leaves]
        self._refuse_beside(*ys)
        return ys, unflatten

    def as_result(self, x: Any) -> Any:
        """Return `x` as a `Value` if `returns_values` is set (detached inside `no_grad()`), otherwise as a float."""
        if not self.returns_values:
            return x.data if isinstance(x, Value) else x
        y: Value = x if isinstance(x, Value) else constant(x)
        return y.detach() if self.no_grad else y

    @property
    def create_graph(self) -> bool:
        """Whether to record derivatives, because they will be differentiated, or are being compiled."""
        return self.returns_values and (not self.no_grad or here().is_recorded)

    def gradient(self, y: Value, many: bool, only: bool = False) -> Any:
        """Return the gradient of `y` with respect to the variables, nested like the arguments that were bound.

        If `many` is true, the result is a tuple with an item for each bound argument. Otherwise there is only one bound
        argument, and the result is the item for it. `only` says whether `y` is the only output. If it is not,
        the error below is not raised.

        Raises:
            ValueError: the function has not used its argument, but the `Value` that was passed in it, as in
                `grad(lambda a: x * x)(x)`.
        """
        if self._order and self._order[0] is y:
            order = self._order
        else:
            order, leaves = traverse(y)
            self._refuse_finished(leaves)
        flat = gradients_in_order(order, y, self.variables, self.create_graph)
        if only and self._given and not any(g.requires_grad or g._data if isinstance(g, Value) else g for g in flat):
            self._refuse_unused(y)
        return self.unflatten([self.as_result(g) for g in flat] if self.returns_values else flat, many)

    def _refuse_unused(self, y: Value) -> None:
        order, leaves = traverse(y)
        nodes = leaves.union(order)
        given = [x for leaves in self._given for _, x in leaves if isinstance(x, Value)]
        if nodes.isdisjoint(self.variables) and not nodes.isdisjoint(given):
            raise ValueError(
                f"{self.name}: the function does not use its argument, but the values that were passed as the "
                "argument, so the gradient would be 0; compute the result from the argument, or write gradients(y, xs)"
            )

    def _refuse_beside(self, *outputs: Value) -> None:
        """Raise ValueError if `outputs` depend on an argument, and also directly on a leaf that was passed in it.

        The argument has a fresh variable in place of the leaf, but a function may reach the leaf itself through its
        closure, as a method of a model that reads the model's parameters. The derivative would then lack a part. In
        nested derivatives, only the arguments with respect to which the outermost call differentiates are looked at. It
        is no mistake if another argument contains the same leaf: `grad(f)(x, x)` is a partial derivative.
        """
        known = variables.get()
        if known is None or not known.given:
            return
        order, leaves = traverse(*outputs)
        self._refuse_finished(leaves)
        if len(outputs) == 1:
            self._order = order
        ids = {id(x) for x in known.given}
        around = order if known.isdisjoint(order) else [node for node in order if node not in known]
        if ids.isdisjoint(map(id, outputs)) and ids.isdisjoint(map(id, chain(*[node.operands for node in around]))):
            return  # for speed
        passed, _ = flatten([known.passed, self._passed])
        entered = {id(x) for _, x in passed if isinstance(x, Value) and x not in known}
        waiting = [*outputs]
        uses_variables = False
        found: Value | None = None
        while waiting:
            x = waiting.pop()
            if x in known:
                uses_variables = True
            elif id(x) in ids and id(x) not in entered:
                found = x
            elif id(x) not in entered:
                entered.add(id(x))
                waiting += [operand for operand in x.operands if isinstance(operand, Value)]
        if found is not None and uses_variables:
            raise ValueError(
                f"{self.name}: the function uses its argument and also the leaf {found!r} that was passed in it, for "
                "example by a call of a model with this parameter, so the gradient would lack a part; compute all from "
                "the argument, or write gradients(y, xs) for the result y without a function; if the leaf counts as "
                "constant, pass x * 1.0 instead of each leaf x"
            )

    def unflatten(self, flat: list[Any], many: bool) -> Any:
        """Return `flat`, which has a float or a `Value` for each variable, nested like the arguments that were bound.

        If `many` is true, the result is a tuple with an item for each bound argument. Otherwise there is only one bound
        argument, and the result is the item for it.
        """
        parts, start = [], 0
        for n, unflatten in self._unflatten:
            parts.append(unflatten(flat[start : start + n]))
            start += n
        return tuple(parts) if many else parts[0]


def _call_and_compare(
    name: str, f: Callable[..., Any], bound: Sequence[Any], args: Sequence[Any], kwargs: Mapping[str, Any]
) -> Any:
    """Return `f(*bound, **kwargs)`. If f asks for the dtype of an array, warn if f returns another number for `args`.

    `bound` has arrays of `Value`s, whose dtype is object, in place of arrays in `args`. So f would not find that
    these are arrays of uint8, for example.
    """
    from ..graph.value_arrays import asked_for_dtype  # imported here, because it needs numpy

    asked: list[Any] = []
    token = asked_for_dtype.set(asked)
    try:
        call = partial(f, *bound, **kwargs)
        output = refuse_nan_to_num_of_nan(call) if names_nan_to_num(f) else call()
    finally:
        asked_for_dtype.reset(token)
    if asked:
        _warn_if_numbers_differ(name, f, output, args, kwargs, ASKED_FOR_DTYPE)
    return output


# Why a function may give another number for `Value`s than for numbers, and what to write instead
ASKED_FOR_DTYPE = (
    "It asks for the dtype of an array, which is object for Values: convert the array before the call, as in "
    "x.astype(float), and leave the question out"
)
CAUGHT = (
    "It has caught the error of code that needs a plain number, such as math.sqrt(x) or float(x): write the function "
    "of micrograd_cn, such as sqrt(x), or let the handler compute the same"
)


def _warn_if_numbers_differ(
    name: str, f: Callable[..., Any], output: Any, args: Sequence[Any], kwargs: Mapping[str, Any], why: str
) -> None:
    """Warn if `f(*args, **kwargs)`, a call with numbers, gives another result than `output`, the one for `Value`s.

    `name` is the name of the function that was called, such as "grad". `why` is a string that says why the two may
    differ, and what to write instead. While f is recorded for the compiler, nothing is compared.
    """
    if here().is_recorded:
        return
    try:
        plain = f(*deepcopy(args), **kwargs)
        ours, theirs = [[getattr(x, "_data", x) for _, x in flatten(y)[0]] for y in (output, plain)]
        agree = len(ours) == len(theirs) and all(map(_are_close, ours, theirs))
    except Exception:  # code that was written for `Value`s alone may raise anything for numbers
        return
    if not agree:
        shown = [xs[0] if len(xs) == 1 else xs for xs in (ours, theirs)]
        warn_at_user(
            f"{name}(): the function gives {shown[1]} for the numbers as they are, but {shown[0]} for Values, for "
            f"which it is differentiated. {why}"
        )


def _refuse_own_collections(name: str, path: str, x: Any) -> None:
    """Raise TypeError if `x`, or something in it, is a list, tuple or dict of a class with an operator of its own.

    A function to differentiate gets a plain list, tuple or dict in its place, for which `x * 2` or `x[0]` may be
    something else. A namedtuple stays what it is. `name` is the name of the function that was called, such as "grad".
    """
    if not isinstance(x, (list, tuple, dict)):
        return
    kind, items = type(x), x.values() if isinstance(x, dict) else x
    if kind not in _COLLECTIONS and not hasattr(kind, "_fields"):
        base = next(base for base in (list, tuple, dict) if isinstance(x, base))
        above = kind.__mro__[: kind.__mro__.index(base)]
        own = next((n for n in _METHODS if any(isinstance(vars(c).get(n), FunctionType) for c in above)), "")
        if own:
            raise TypeError(
                f"{name}: {path} is a {kind.__name__}, whose {own} a {base.__name__} in its place would not have; "
                f"write {base.__name__}(x) for it"
            )
    if not _ONLY_NUMBERS.issuperset(map(type, items)):
        for key, item in x.items() if isinstance(x, dict) else enumerate(x):
            _refuse_own_collections(name, f"{path}[{key!r}]", item)


_COLLECTIONS = {list, tuple, dict, OrderedDict, defaultdict, ListOfArray}
_ONLY_NUMBERS = {float, int, Value}
# The methods of collections that operators, `for` and the like call, and those that read a dict
_METHODS = (
    *(f"__{prefix}{name}__" for name in ("add", "mul", "sub", "truediv", "pow", "matmul") for prefix in ("", "r", "i")),
    *(
        f"__{name}__"
        for name in ("neg", "abs", "getitem", "missing", "iter", "len", "contains", "eq", "ne", "lt", "gt")
    ),
    *("get", "values", "items", "keys", "index", "count"),
)


def _are_close(x: float, y: float) -> bool:
    """Return whether two numbers agree to about two digits: one may have been computed in a low precision."""
    return x == y or isclose(x, y, rel_tol=1e-2, abs_tol=1e-5) or (x != x and y != y)


def argument_array() -> type | None:
    """Return the class of the arrays that a function gets for arrays of numbers; None if numpy is not imported."""
    return _argument_array() if "numpy" in sys.modules else None


@cache
def _argument_array() -> type:
    from ..graph.value_arrays import ArgumentArray  # imported here, because it needs numpy

    return ArgumentArray


def contains_values(tree: Any) -> bool:
    """Return whether there is a `Value` in `tree`, which may be lists, tuples, dicts or arrays, nested to any depth.

    >>> contains_values([1.0, {"x": Value(2)}]), contains_values([1.0])
    (True, False)
    """
    if type(tree) is list and _PLAIN.issuperset(map(type, tree)):
        return False  # for speed
    for _, x in flatten(tree, arrays=False)[0]:
        if is_array(x):
            if getattr(getattr(x, "dtype", None), "kind", "") == "O" and contains_values(arrays_to_lists(x)):
                return True
        elif isinstance(x, Value):
            return True
    return False


def _with_bools(name: str, path: str, tree: Any, leaves: list[Any], fresh: list[Value]) -> list[Any]:
    """Return what the function gets in place of `leaves`: each bool itself, and variables for the others.

    `fresh` has a variable for each leaf. The derivatives of bools are 0.

    Raises:
        TypeError: the leaves of `tree`, the argument, are bools alone. The message begins with `name`, the function
            that the user called, and calls the argument by `path`.
    """
    bools = [isinstance(x, bool) or (is_of_numpy(x) and x.dtype == bool) for x in leaves]
    if all(bools):
        write = "1.0 * x" if is_array(tree) else "float(x)"
        raise TypeError(
            f"{name}: {path} contains bools alone, which are not differentiated; differentiate another argument, by "
            f"argnums, or write {write} for numbers"
        )
    return [x if is_bool else v for x, v, is_bool in zip(leaves, fresh, bools, strict=True)]


def _fresh_variable(name: str, path: str, x: Any) -> Value:
    if isinstance(x, Value) and x.requires_grad:
        variable: Value = x * 1.0  # a new node, since the same Value may reach the function by another argument too
        return variable
    if type(x) is not float and isinstance(x, (float, int)) and (operator := own_operator(type(x))):
        raise TypeError(
            f"{name}: {path} is a {type(x).__name__}, whose {operator} a Value in its place would not have; write "
            "float(x) for it"
        )
    try:
        return Value(x.data if isinstance(x, Value) else x)
    except TypeError as error:
        items = hasattr(x, "__iter__") and not isinstance(x, (str, bytes, bytearray)) and not is_table(x)
        write = "a list, because a set has no order" if isinstance(x, (set, frozenset)) else "list(...)" * items
        if isinstance(x, Mapping):
            write = "dict(...)"
        if hasattr(x, "parameters"):
            write = "loss.backward(), or gradients(loss, model.parameters()), for the parameters of a model"
        text = str(error).removesuffix(number_instead(x)) + f"; write {write}" if write else str(error)
        raise TypeError(f"{name}: {path}: {text}") from error


def _as_value(name: str, what: str, y: Any) -> Value:
    """Return the output `y` as a `Value`. A number becomes a constant.

    Raises:
        TypeError: `y` is neither a `Value` nor a number. The message begins with `name`, the function that the user
            called, and `what`, the beginning of a sentence about the output.
    """
    if isinstance(y, Value):
        return y
    if is_of_numpy(y) and not is_array(y):  # a numpy scalar, or an array without an axis
        return _as_value(name, what, y.item())
    if isinstance(y, Real) and not isinstance(y, bool):  # a bool is a comparison that was returned by mistake
        return constant(y)
    if hasattr(y, "takes_values"):
        y = y.view(sys.modules["numpy"].ndarray)  # an array as the user knows it
    hint = (
        "use jacobian, or return one of its elements"
        if isinstance(y, (list, tuple, dict)) or is_array(y)
        else "return what micrograd_cn's operations give, or a number, which is a constant"
    )
    raise TypeError(f"{name}: {what} {type(y).__name__} {y!r}, not a Value; {hint}")


def argument_positions(
    name: str, f: Callable[..., Any], argnums: int | Sequence[int] = 0
) -> tuple[Sequence[int], bool]:
    """Return `argnums` as a sequence of ints, and whether `argnums` is a sequence.

    Raises:
        TypeError: f is not a function, or `argnums` is neither an int nor a sequence of ints. All messages begin with
            `name`, the function that the user called.
        ValueError: f takes too few arguments for `argnums`. For example, the user wrote `grad(f, 3)` for the derivative
            at 3, which is `grad(f)(3)`.

    >>> argument_positions("grad", max), argument_positions("grad", max, (0, 1))
    (([0], False), ([0, 1], True))
    """
    if not callable(f):
        write = "gradients(y, [x]) for the derivative of a Value y" if isinstance(f, Value) else f"{name}(f)"
        raise TypeError(f"{name} takes a function, got {type(f).__name__} {f!r}; write {write}")
    many = isinstance(argnums, Iterable)
    numbers: Any = argnums if many else [argnums]
    if isinstance(argnums, (bool, set, frozenset)):  # a set has no order, and so neither would the gradients
        raise TypeError(f"{name}: argnums must be an int or a sequence of ints, got {argnums!r}")
    try:
        positions = [operator.index(i) for i in numbers]
    except TypeError:
        write = f"; write {name}(f)({argnums!r}) for the derivative at this point"
        raise TypeError(f"{name}: argnums must be an int or a sequence of ints, got {argnums!r}{write}") from None
    if positions != [0]:
        count = _positional_count(f)
        if count is not None and not all(-count <= i < count for i in positions):
            takes = f"{count} positional argument{'s' * (count != 1)}"
            write = f"; write {name}(f)({argnums!r}) for the derivative at this point"
            raise ValueError(f"{name}: argnums is {argnums!r}, but the function takes {takes}{write}")
    return positions, many


def _positional_count(f: Callable[..., Any]) -> int | None:
    """Return how many positional arguments the Python function or method f takes; None if this is not known."""
    code = getattr(f, "__code__", None)
    if code is None or code.co_flags & CO_VARARGS:
        return None
    count: int = code.co_argcount - hasattr(f, "__self__")
    return count
