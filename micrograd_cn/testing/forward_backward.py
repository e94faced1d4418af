"""Take a forward pass and its backward pass, as courses and small libraries write them, as a function and its vjp.

These are functions `forward(x, w) -> (out, cache)` and `backward(dout, cache) -> (dx, dw)`, and layers, which are
objects with methods `forward(x)` and `backward(dout)`.
"""

from __future__ import annotations

import copy
import functools
import inspect
from collections.abc import Callable
from typing import Any

from ..module import Module

__tracebackhide__ = True

Pair = tuple[Callable[..., Any], Callable[..., Any]]


def pair_of_functions(forward: Callable[..., Any], backward: Callable[..., Any]) -> Pair:
    """Return a function and its vjp, from `forward`, which returns `(out, cache)`, and `backward(dout, cache)`.

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

    def vjp(*args: Any, **keywords: Any) -> Any:
        *given, upstream = args
        return backward(upstream, run(*given, **keywords)[1])

    return f, vjp


def is_layer(f: Any) -> bool:
    """Return whether `f` is an object or a class with methods `forward` and `backward`, but of no known library."""
    kind = f if isinstance(f, type) else type(f)
    known = ("torch", "jax", "jaxlib", "numpy")
    return (
        callable(getattr(f, "forward", None))
        and callable(getattr(f, "backward", None))
        and not issubclass(kind, Module)
        and not any(base.__module__.partition(".")[0] in known for base in kind.__mro__)
    )


def pair_of_layer(layer: Any) -> Pair:
    """Return a function and its vjp, from the methods `forward` and `backward` of a layer.

    Each call works with a copy of the layer, so the layer is left as it is. If the layer's `backward` needs two
    arguments, its `forward` returns `(out, cache)`, and the second argument is `cache`.

    Raises:
        TypeError: a class was given, and it cannot be called without arguments.
    """
    name = layer.__name__ if isinstance(layer, type) else type(layer).__name__
    if isinstance(layer, type):
        try:
            layer = layer()
        except TypeError as error:
            raise TypeError(f"gradcheck: give a layer, not its class: gradcheck({name}(...), x) ({error})") from error
    try:
        places = list(inspect.signature(layer.backward).parameters.values())
    except (TypeError, ValueError):
        places = []
    with_cache = sum(p.default is p.empty and p.kind is p.POSITIONAL_OR_KEYWORD for p in places) == 2

    def forward(*args: Any, **keywords: Any) -> tuple[Any, Any]:
        own = copy.deepcopy(layer)
        found = own.forward(*args, **keywords)
        return found if with_cache else (found, own)

    def backward(upstream: Any, cache: Any) -> Any:
        return copy.deepcopy(layer).backward(upstream, cache) if with_cache else cache.backward(upstream)

    f, vjp = pair_of_functions(functools.wraps(layer.forward)(forward), backward)
    f.__name__ = f.__qualname__ = name
    return f, vjp
