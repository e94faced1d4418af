"""Hypothesis strategies for `Value`s, and for small networks with inputs."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from ..engine import Value
from ..nn import MLP
from .drawing.float_strategies import NORMAL_MAGNITUDES, bounds, floats_between, import_strategies, reals

__all__ = ["networks", "register", "values"]

if TYPE_CHECKING:
    from hypothesis.strategies import DrawFn, SearchStrategy


def values(min_value: float = -math.inf, max_value: float = math.inf) -> SearchStrategy[Value]:
    """Return a Hypothesis strategy for `Value`s that are leaves, with finite data of every magnitude.

    Some of them have a label.

    Args:
        min_value: the least data; -inf for no bound.
        max_value: the greatest data; inf for no bound.

    Raises:
        ValueError: a bound is nan, or no finite number lies between the bounds.
        TypeError: a bound is not a real number.

    >>> from hypothesis import find
    >>> find(values(), lambda v: v.data >= 2)
    Value(data=2.0, grad=0.0)
    """
    st = import_strategies()
    data = reals(*bounds("values", min_value, max_value), magnitudes=NORMAL_MAGNITUDES)
    return st.builds(Value, data, st.just("") | st.text(max_size=8))  # type: ignore[no-any-return]


def networks(max_width: int = 3, activations: Iterable[str] = ("tanh", "sigmoid", "softplus", "gelu")) -> Any:
    """Return a Hypothesis strategy for pairs of an `MLP` of one to three layers and a list of inputs for it.

    Args:
        max_width: the largest number of neurons in a layer.
        activations: the names of the activation functions from which one is drawn for each network.

    >>> from hypothesis import find
    >>> model, x = find(networks(), lambda pair: len(pair[0].layers) == 1)
    >>> model, x
    (MLP(1, [1]), 2 parameters
      layers.0: Layer(1, 1, linear), [0.0])
    """
    return import_strategies().composite(_draw_network)(max_width, list(activations))


def _draw_network(draw: DrawFn, max_width: int, activations: list[str]) -> tuple[MLP, list[float]]:
    """Return a network and inputs for it, drawn by Hypothesis."""
    st = import_strategies()
    widths = draw(st.lists(st.integers(1, max_width), min_size=2, max_size=4))
    model = MLP(widths[0], widths[1:], draw(st.sampled_from(activations)), init="zeros")
    for p in model.parameters():
        p.data = draw(floats_between(-2.0, 2.0))
    return model, draw(st.lists(floats_between(-2.0, 2.0), min_size=widths[0], max_size=widths[0]))


def register() -> None:
    """Let `hypothesis.strategies.from_type(Value)` draw leaves. Hypothesis calls `register` when it is imported.

    >>> from hypothesis import find
    >>> from hypothesis.strategies import from_type
    >>> register()
    >>> find(from_type(Value), lambda v: v.data > 1)
    Value(data=2.0, grad=0.0)
    """
    import_strategies().register_type_strategy(Value, lambda thing: values())
