"""What `detect_anomaly` looks at, and what it says: results, gradients and tangents that are inf or nan."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from ..ops.operation import Op

__all__ = ["check_gradients", "check_tangent", "check_value", "in_words"]


def in_words(op: Op, operands: Sequence[Any]) -> str:
    """Return an operation with its operands' labels and data.

    >>> from micrograd_cn import Value, add
    >>> in_words(add, (Value(1, "x"), 2.0))
    'add(x=1.0, 2.0)'
    """
    shown = [f"{x.label}={x._data}" if getattr(x, "label", "") else str(getattr(x, "_data", x)) for x in operands]
    if len(shown) > 8:
        shown[4:-3] = ["..."]
    return f"{op.name}({', '.join(shown)})"


def check_value(op: Op, operands: Sequence[Any], data: float) -> None:
    """Raise FloatingPointError if the result of an operation is not finite.

    >>> from micrograd_cn import log
    >>> check_value(log, (0.0,), log(0.0))
    Traceback (most recent call last):
    FloatingPointError: log(0.0) gave -inf
    """
    if not math.isfinite(data):
        raise FloatingPointError(f"{in_words(op, operands)} gave {data}")


def check_gradients(node: Any) -> None:
    """Raise FloatingPointError if a gradient that a node sent to is not finite.

    >>> from micrograd_cn import Value
    >>> check_gradients(Value(1) * 2)
    """
    for slot, (parent, partial) in enumerate(zip(node.parents, node.partials, strict=True)):
        if parent.requires_grad and not math.isfinite(parent.grad):
            raise FloatingPointError(
                f"backward through {_named(node)}: the gradient of operand {slot} became "
                f"{parent.grad}; upstream gradient {node.grad}, local derivative {partial}"
            )


def check_tangent(node: Any, tangent: Any) -> None:
    """Raise FloatingPointError if a node's derivative in the direction of a `jvp` is not finite.

    >>> from micrograd_cn import Value
    >>> check_tangent(Value(1) * 2, 2.0)
    """
    if not math.isfinite(getattr(tangent, "data", tangent)):
        raise FloatingPointError(
            f"jvp through {_named(node)}: the tangent became {tangent}; local derivatives {node.partials}"
        )


def _named(node: Any) -> str:
    """Return a node in words, with its label."""
    return f"{node.label!r} {in_words(node.op, node.parents)}" if node.label else in_words(node.op, node.parents)
