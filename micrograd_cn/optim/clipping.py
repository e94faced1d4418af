"""`clip_grad_norm`: scale gradients whose norm is too large."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Never

from ..engine import Value
from ..ops.number import number
from ..ops.options import refuse_options
from . import optimizer
from .optimizer import list_of_parameters

__all__ = ["clip_grad_norm"]

# What to write instead of PyTorch options
INSTEAD = {
    "norm_type": "the norm is Euclidean; to clip by another norm, write p.grad *= factor for each parameter p",
    "error_if_nonfinite": "leave it out, because a norm that is inf or nan raises an error",
    "clip_value": "write p.grad = min(max(p.grad, -c), c) for each parameter p, to clip each gradient",
}


def clip_grad_norm(parameters: Iterable[Value], max_norm: float, **wrong: Never) -> float:
    """Scale the gradients of `parameters` down if their Euclidean norm is larger than `max_norm`.

    Return the norm that the gradients had before this. As in PyTorch, the gradients are multiplied by max_norm / (norm
    + 1e-6) if that is less than 1. Parameters whose `grad` is None are left alone.

    Raises:
        ValueError: `max_norm` is negative or nan; there are no parameters, or one of them is a computed node; or the
            norm of the gradients is inf or nan, so no factor makes it `max_norm`.
        TypeError: `parameters` is not a sequence of `Value`s, `max_norm` is not a number, or an option of another
            library is passed, as one of `wrong`.

    >>> p = Value(0.0)
    >>> p.grad = 10.0
    >>> clip_grad_norm([p], 1.0), round(p.grad, 4)
    (10.0, 1.0)
    """
    if wrong:
        refuse_options("clip_grad_norm()", wrong, INSTEAD)
    try:
        max_norm = number(max_norm)
    except TypeError as error:
        raise TypeError(f"clip_grad_norm: max_norm: {error}") from None
    if not max_norm >= 0.0:
        raise ValueError(f"clip_grad_norm: max_norm must be 0 or more, got {max_norm}")
    parameters = list_of_parameters("clip_grad_norm", parameters)
    in_machine_code = optimizer.machine_code if len(parameters) >= optimizer.MIN_PARAMETERS else None
    norm = in_machine_code.norm_of_gradients(parameters) if in_machine_code else None
    if norm is None:
        norm = math.hypot(*[p._grad for p in parameters if p._grad is not None])
    if not math.isfinite(norm):
        raise ValueError(f"clip_grad_norm: the norm of the gradients is {norm}")
    factor = max_norm / (norm + 1e-6)
    if factor < 1.0 and not (in_machine_code and in_machine_code.scale_gradients(parameters, factor)):
        for p in parameters:
            if p._grad is not None:
                p._grad *= factor
    return norm
