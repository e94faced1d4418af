"""Turn a forward and a backward pass, in the forms that courses and small libraries use, into a function and its vjp.

The two passes are either functions `forward(x, w) -> (out, cache)` and `backward(dout, cache) -> (dx, dw)`, or methods
`forward(x)` and `backward(dout)` of an object, which is called a layer. A compiled function of this package and its
gradient become a function and its vjp, too.
"""

from __future__ import annotations

import copy
import functools
import inspect
from collections.abc import Callable, Collection
from typing import Any

from ...engine import Value
from ...module import Module
from ...ops.operation import Op
from ...parameters.tree import flatten, is_array

__tracebackhide__ = True

Pair = tuple[Callable[..., Any], Callable[..., Any]]


def pair_of_functions(
    forward: Callable[..., Any], backward: Callable[..., Any], keeps_state: bool = False, shares_state: bool = False
) -> Pair:
    """Return a function and its vjp, from `forward`, which returns `(out, cache)`, and `backward(dout, cache)`.

    The returned functions raise TypeError if `forward` does not return such a pair. The vjp has two more keyword
    arguments, by which a check sees whether the backward pass uses stale state: the vjp calls `_between()` after the
    forward pass, and returns the gradient of the last of `_passes` (1 or 2) backward passes with one cache.

    Args:
        forward: the forward pass.
        backward: the backward pass.
        keeps_state: whether `backward` may change what the forward pass has stored, so one pass is made even if
            `_passes` is 2.
        shares_state: whether all forward passes store results in the same place, so `_between`, which may call the
            function again, is not called.

    >>> f, vjp = pair_of_functions(lambda x: (x * x, x), lambda dout, cache: 2 * cache * dout)
    >>> f(3.0), vjp(3.0, 1.0)
    (9.0, 6.0)
    """

    def run(*args: Any, **keywords: Any) -> Any:
        found = forward(*args, **keywords)
        if not (isinstance(found, tuple) and len(found) == 2):
            raise TypeError(
                f"gradcheck: with backward=, f must return (out, cache), got {type(found).__name__}; if backward needs "
                "no cache, give it as vjp="
            )
        return found

    @functools.wraps(forward)
    def f(*args: Any, **keywords: Any) -> Any:
        return run(*args, **keywords)[0]

    def vjp(*args: Any, _between: Callable[[], Any] | None = None, _passes: int = 1, **keywords: Any) -> Any:
        *given, upstream = args
        cache = run(*given, **keywords)[1]
        if _between is not None and not shares_state:
            _between()
        if _passes == 2 and not keeps_state:
            backward(upstream, cache)
        return backward(upstream, cache)

    return f, vjp


def is_layer(f: Any) -> bool:
    """Return whether `f` is a layer: an object or a class with methods `forward` and `backward` that a user wrote.

    The `backward` of a layer takes the upstream gradient. An object whose `backward` takes no argument, as that of a
    `Value`, is not a layer. Nor is a `Module` of this package, or anything derived from classes of PyTorch, jax or
    numpy.
    """
    kind = f if isinstance(f, type) else type(f)
    known = ("torch", "jax", "jaxlib", "numpy")
    return (
        callable(getattr(f, "forward", None))
        and callable(getattr(f, "backward", None))
        and _takes_gradient(f)
        and not issubclass(kind, Module)
        and not any(base.__module__.partition(".")[0] in known for base in kind.__mro__)
    )


def _takes_gradient(f: Any) -> bool:
    """Return whether the method `backward` of an object or a class takes an argument, or has an unknown signature."""
    found = _positional(f.backward)
    if found is None:
        return True
    of_class = inspect.getattr_static(f, "backward", None) if isinstance(f, type) else None
    takes_object = hasattr(of_class, "__get__") and not isinstance(of_class, (staticmethod, classmethod))
    return len(found) > takes_object


def _positional(method: Any) -> list[inspect.Parameter] | None:
    """Return the parameters of a method that can be passed by position; None if its signature is not known."""
    try:
        found = list(inspect.signature(method).parameters.values())
    except (TypeError, ValueError):
        return None
    return [p for p in found if p.kind not in (p.KEYWORD_ONLY, p.VAR_KEYWORD)]


def pair_of_layer(layer: Any) -> Pair:
    """Return a function and its vjp, from the methods `forward` and `backward` of a layer.

    Each call works with a copy of the layer, so the layer is left as it is. A class is not copied: if `forward` is a
    static method or a class method, calls share what it keeps in the class. If the layer's `backward` needs two
    arguments, its `forward` returns `(out, cache)`, and the second argument is `cache`.

    Raises:
        TypeError: a class was given, and it cannot be called without arguments. The returned functions raise it, too,
            if `backward` needs a second argument, and `forward` does not return a pair.
    """
    name = layer.__name__ if isinstance(layer, type) else type(layer).__name__
    if isinstance(layer, type):
        try:
            layer = layer()
        except TypeError as error:
            raise TypeError(f"gradcheck: give a layer, not its class: gradcheck({name}(...), x) ({error})") from error
    places = _positional(layer.backward) or []
    needed = [p.name for p in places if p.default is p.empty and p.kind is not p.VAR_POSITIONAL]
    with_cache = len(needed) == 2

    def forward(*args: Any, **keywords: Any) -> tuple[Any, Any]:
        own = copy.deepcopy(layer)
        found = own.forward(*args, **keywords)
        if with_cache and not (isinstance(found, tuple) and len(found) == 2):
            raise TypeError(
                f"gradcheck: backward of {name} needs {needed[1]}, which forward does not return beside its result; "
                f"give {needed[1]} a default, or let forward return (out, cache)"
            )
        return found if with_cache else (found, own)

    def backward(upstream: Any, cache: Any) -> Any:
        return copy.deepcopy(layer).backward(upstream, cache) if with_cache else cache.backward(upstream)

    keeps_state, shares_state = not with_cache, getattr(layer.forward, "__self__", None) is not layer
    f, vjp = pair_of_functions(functools.wraps(layer.forward)(forward), backward, keeps_state, shares_state)
    f.__name__ = f.__qualname__ = name
    return f, vjp


def is_compiled(f: Any) -> bool:
    """Return whether `f` is a function that `compile` of this package made."""
    return hasattr(f, "gradient") and hasattr(f, "jacobian") and hasattr(f, "fit")


def pair_of_compiled(compiled: Any) -> Pair:
    """Return a compiled function and its vjp, which uses the derivatives that the machine code computes.

    >>> from micrograd_cn.compiler import compile
    >>> f, vjp = pair_of_compiled(compile(lambda x, w: x * w))
    >>> f(3.0, 2.0), vjp(3.0, 2.0, 10.0)
    (6.0, (20.0, 30.0))
    """
    static = set(_static_names(compiled))

    @functools.wraps(compiled, updated=())
    def f(*args: Any, **keywords: Any) -> Any:
        return compiled(*args, **keywords)

    def vjp(*args: Any, **keywords: Any) -> Any:
        *given, upstream = args
        bound = inspect.signature(compiled).bind(*given, **keywords)
        parameters = bound.signature.parameters
        for name in keywords:
            if name not in parameters or parameters[name].kind is inspect.Parameter.KEYWORD_ONLY:
                raise TypeError(
                    f"gradcheck: {name} is keyword-only, and a compiled function is differentiated by positional "
                    f"arguments alone; let f take {name} as a positional argument"
                )
        if bound.kwargs:  # arguments after one that was left out; with its default, they become positional
            bound.apply_defaults()
        sample, weights = bound.args, [w for _, w in flatten(upstream)[0]]
        single = not isinstance(upstream, (list, tuple, dict)) and not is_array(upstream)
        rows = compiled.gradient([sample]) if single else compiled.jacobian([sample], dense=True)[0]
        total = [sum([w * row[j] for w, row in zip(weights, rows, strict=True)]) for j in range(len(rows[0]))]
        found: list[Any] = []
        start = 0
        for name, x in zip(_positional_names(compiled, given), given, strict=True):
            if name in static:
                found.append(None)
                continue
            leaves, unflatten = flatten(x)
            found.append(unflatten(total[start : start + len(leaves)]))
            start += len(leaves)
        return found[0] if len(found) == 1 else tuple(found)

    f.__name__ = compiled._f.name if isinstance(compiled._f, Op) else compiled._name
    return f, vjp


def with_compiled_static(compiled: Any, args: tuple[Any, ...], static: Collection[str | int]) -> list[str | int]:
    """Return `static`, and the names of those positional arguments of a compiled function that `compile` holds static.

    These are constants for the program, so there are no derivatives with respect to them.
    """
    return [*static, *{*_positional_names(compiled, args)}.intersection(_static_names(compiled))]


def args_as_floats(compiled: Any, args: tuple[Any, ...], static: Collection[str | int]) -> tuple[Any, ...]:
    """Return the positional arguments of a compiled function, with floats in place of integers and of `Value`s.

    This does not change what the function computes. Arguments whose name or index is in `static` are not changed.
    """
    names = _positional_names(compiled, args)
    return tuple(
        [
            x if {name, i, i - len(args)}.intersection(static) else _as_floats(x)
            for i, (name, x) in enumerate(zip(names, args, strict=True))
        ]
    )


def _as_floats(tree: Any) -> Any:
    leaves, unflatten = flatten(tree)
    numbers = [
        x.data if isinstance(x, Value) else float(x) if isinstance(x, int) and not isinstance(x, bool) else x
        for _, x in leaves
    ]
    return unflatten(numbers) if any(a is not b for a, (_, b) in zip(numbers, leaves, strict=True)) else tree


def _static_names(compiled: Any) -> tuple[str, ...]:
    return tuple(compiled._arguments.static)


def _positional_names(compiled: Any, args: Collection[Any]) -> list[str]:
    """Return a list with the name of the parameter that each of the positional arguments `args` belongs to."""
    names: list[str] = []
    for p in inspect.signature(compiled).parameters.values():
        if p.kind is p.VAR_POSITIONAL:
            names += [p.name] * (len(args) - len(names))
        else:
            names.append(p.name)
    return [*names, *[""] * len(args)][: len(args)]  # if there are too many arguments, the call says so
