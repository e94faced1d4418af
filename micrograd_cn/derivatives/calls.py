"""A function called with variables in the place of its arguments' numbers: what the functions of `functional` share."""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from numbers import Real
from typing import Any

from ..engine import Value, constant
from ..gradients import gradients
from ..graph.context import here, recording
from .tree import flatten, is_array, listed

__all__ = ["Call", "holds_values", "level", "places"]

_depth: ContextVar[int] = ContextVar("micrograd_cn_depth", default=0)


@contextmanager
def level() -> Iterator[tuple[int, bool]]:
    """Record what happens inside; give the number of levels around this one, and whether `no_grad()` is around it.

    >>> with level() as (depth, quiet):
    ...     depth, quiet
    (0, False)
    """
    depth = _depth.get()
    token = _depth.set(depth + 1)
    try:
        with recording() as quiet:
            yield depth, quiet
    finally:
        _depth.reset(token)


class Call:
    """Apply a function to fresh variables in the place of some of its arguments.

    Attributes:
        inputs: the variables.
        nested: whether results must be `Value`s, since another level, the caller or a recording goes on with them.
        quiet: whether `no_grad()` is around it.
        output: what the function returned.

    Raises:
        TypeError: an argument holds what is no number.
        ValueError: there is no such argument, or it is named twice.

    >>> with level() as around:
    ...     call = Call("grad", lambda x, y: x * y, [1], (2, 5), {}, around)
    ...     call.plain(call.scalar()), call.gradient(call.scalar(), many=False)
    (10.0, 2.0)
    """

    def __init__(
        self,
        name: str,
        f: Callable[..., Any],
        argnums: Sequence[int],
        args: Sequence[Any],
        kwargs: Any,
        around: tuple[int, bool],
    ):
        self.name = name
        depth, self.quiet = around
        named = {i % len(args) for i in argnums if -len(args) <= i < len(args)}
        if len(named) < len(argnums):
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
        # inside another level the results must go on depending on its variables, so they are Values there, and so are
        # those that a function has which is recorded: its parameters may have a part in them
        self.nested = depth > 0 or here().hooks is not None or holds_values([*args, *kwargs.values()])
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
        if not self.nested:
            return x.data if isinstance(x, Value) else x
        y: Value = x if isinstance(x, Value) else constant(x)
        return y.detach() if self.quiet else y

    @property
    def deeper(self) -> bool:
        """Whether derivatives are differentiated in their turn, or computed anew."""
        return self.nested and (not self.quiet or here().hooks is not None)

    def gradient(self, y: Value, many: bool) -> Any:
        """Return the gradient of `y` in the arguments' structure; a tuple of them if there are `many` arguments."""
        flat = gradients(y, self.inputs, create_graph=True) if self.deeper else gradients(y, self.inputs)
        return self.structured([self.plain(g) for g in flat], many)

    def structured(self, flat: list[Any], many: bool) -> Any:
        """Return the numbers in the arguments' structure."""
        parts, start = [], 0
        for n, rebuild in self.rebuilds:
            parts.append(rebuild(flat[start : start + n]))
            start += n
        return tuple(parts) if many else parts[0]


def holds_values(tree: Any) -> bool:
    """Return whether there is a `Value` in a structure.

    >>> holds_values([1.0, {"x": Value(2)}]), holds_values([1.0])
    (True, False)
    """
    for _, x in flatten(tree, arrays=False)[0]:
        if is_array(x):
            if getattr(getattr(x, "dtype", None), "kind", "") == "O" and holds_values(listed(x)):
                return True
        elif isinstance(x, Value):
            return True
    return False


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
    if type(y).__module__ == "numpy" and not is_array(y):  # numpy's scalars and arrays without an axis
        return _checked(name, what, y.item())
    if isinstance(y, Real) and not isinstance(y, bool):  # a comparison's answer is returned by mistake
        return constant(y)
    hint = (
        "use jacobian, or return one of its elements"
        if isinstance(y, (list, tuple, dict)) or is_array(y)
        else "return what micrograd_cn's operations give, or a number, which is a constant"
    )
    raise TypeError(f"{name}: {what} {type(y).__name__} {y!r}, not a Value; {hint}")


def places(name: str, argnums: int | Sequence[int]) -> tuple[Sequence[int], bool]:
    """Return the places of arguments, and whether they were given as a sequence.

    Raises:
        TypeError: they are no integers.

    >>> places("grad", 0), places("grad", (0, 1))
    (([0], False), ([0, 1], True))
    """
    many = isinstance(argnums, Iterable)
    numbers: Any = argnums if many else [argnums]
    try:
        return [operator.index(i) for i in numbers], many
    except TypeError:
        raise TypeError(f"{name}: argnums must be an int or a sequence of ints, got {argnums!r}") from None
