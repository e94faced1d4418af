"""Hypothesis strategies: leaves, arrays of arguments, and small networks with a point to evaluate them at."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from ..engine import Value
from ..nn import MLP
from .reals import NORMAL, _floats, _st, bounds, reals

__all__ = ["networks", "register", "values"]

if TYPE_CHECKING:
    from hypothesis.strategies import DrawFn, SearchStrategy


def values(min_value: float = -math.inf, max_value: float = math.inf) -> SearchStrategy[Value]:
    """Return a strategy for leaves, some of them labelled, with data of every magnitude, 0.0 and -0.0 among them.

    Args:
        min_value: the least of their finite data; -inf for no bound.
        max_value: the greatest; inf for no bound.

    Raises:
        ValueError: a bound is nan, or no finite number lies between them.
        TypeError: a bound is not a real number.

    >>> from hypothesis import find
    >>> find(values(), lambda v: v.data >= 2)
    Value(data=2.0, grad=0.0)
    """
    st = _st()
    data = reals(*bounds("values", min_value, max_value), magnitudes=NORMAL)
    return st.builds(Value, data, st.just("") | st.text(max_size=8))  # type: ignore[no-any-return]


def points(
    shape: int | tuple[int, ...] = (),
    dtype: Any = "float64",
    min_value: float = -1e6,
    max_value: float = 1e6,
    apart: float = 0.0,
) -> SearchStrategy[Any]:
    """Return a strategy for numpy arrays to check the gradient of a function of arrays at.

    Their elements are of every magnitude and of one alike: most of an array's are within a factor of 1000, so that
    none is lost beside another.

    Args:
        shape: as numpy takes it.
        dtype: float64, float32 or float16; every element is a number of it.
        min_value: the least element; -inf for the least finite one.
        max_value: the greatest.
        apart: how far elements lie from 0 and from each other at least, so that relu, max and their like are smooth.

    Raises:
        ValueError: a bound is nan, or there is no room between the bounds.
        TypeError: a bound is not a real number, or `dtype` is not a floating-point type.
        ImportError: numpy is missing.

    >>> from hypothesis import find
    >>> find(points(3, "float32", apart=0.5), lambda x: x.sum() > 3)
    """
    try:
        import numpy as np
    except ImportError as error:
        raise ImportError("points() draws arrays and needs numpy: pip install numpy") from error
    kind = np.dtype(dtype)
    if kind.kind != "f":
        raise TypeError(f"points: dtype must be a floating-point type, such as float32, got {kind}")
    limits = np.finfo(kind)
    low, high = bounds("points", min_value, max_value, float(limits.max))
    size = math.prod((shape,) if isinstance(shape, int) else shape)
    ...


def networks(max_width: int = 3, activations: Iterable[str] = ("tanh", "sigmoid", "softplus", "gelu")) -> Any:
    """Return a strategy for pairs of a small `MLP` and inputs for it.

    >>> from hypothesis import find
    >>> model, x = find(networks(), lambda pair: len(pair[0].layers) == 1)
    >>> model, x
    (MLP(1, [1])
      layers.0: Layer(1, 1, linear), 2 parameters, [0.0])
    """
    return _st().composite(_draw_network)(max_width, list(activations))


def _draw_network(draw: DrawFn, max_width: int, activations: list[str]) -> tuple[MLP, list[float]]:
    st = _st()
    widths = draw(st.lists(st.integers(1, max_width), min_size=2, max_size=4))
    model = MLP(widths[0], widths[1:], draw(st.sampled_from(activations)), init="zeros", seed=0)
    for p in model.parameters():
        p.data = draw(_floats(-2.0, 2.0))
    return model, draw(st.lists(_floats(-2.0, 2.0), min_size=widths[0], max_size=widths[0]))


def register() -> None:
    """Let `hypothesis.strategies.from_type(Value)` draw leaves; hypothesis calls this when it is imported.

    >>> from hypothesis import find
    >>> from hypothesis.strategies import from_type
    >>> register()
    >>> find(from_type(Value), lambda v: v.data > 1)
    Value(data=2.0, grad=0.0)
    """
    _st().register_type_strategy(Value, lambda thing: values())
