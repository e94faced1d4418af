"""The checks of `detect_anomaly`. A result, gradient or tangent that is inf or nan raises an error.

The message names the operation and its operands.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from ..ops.operation import Op

__all__ = ["check_gradients", "check_tangent", "check_value", "describe"]


def describe(op: Op, operands: Sequence[Any]) -> str:
    """Return the text of the operation `op` with the labels and data of its operands, which are nodes or floats.

    If there are more than eight operands, the text leaves out some in the middle.

    >>> from micrograd_cn import Value, add
    >>> describe(add, (Value(1, "x"), 2.0))
    'add(x=1.0, 2.0)'
    """
    shown = [f"{x.label}={x._data}" if getattr(x, "label", "") else str(getattr(x, "_data", x)) for x in operands]
    if len(shown) > 8:
        shown[4:-3] = ["..."]
    return f"{op.name}({', '.join(shown)})"


def check_value(op: Op, operands: Sequence[Any], data: float) -> None:
    """Raise FloatingPointError if `data`, the result of `op` for `operands`, is not finite.

    >>> from micrograd_cn import log
    >>> check_value(log, (0.0,), log(0.0))
    Traceback (most recent call last):
    FloatingPointError: log(0.0) gave -inf
    """
    if not math.isfinite(data):
        raise FloatingPointError(f"{describe(op, operands)} gave {data}")


def check_gradients(node: Any) -> None:
    """Raise FloatingPointError if the gradient of an operand of `node` is not finite.

    Call this after `node` has added its contributions to the gradients of its operands.
    """
    for slot, (parent, partial) in enumerate(zip(node.parents, node.partials, strict=True)):
        if parent.requires_grad and not math.isfinite(parent.grad):
            raise FloatingPointError(
                f"backward through {_describe_node(node)}: the gradient of operand {slot} became "
                f"{parent.grad}; upstream gradient {node.grad}, local derivative {partial}"
            )


def check_tangent(node: Any, tangent: Any) -> None:
    """Raise FloatingPointError if the tangent of `node` (its derivative in the direction of a `jvp`) is not finite."""
    if not math.isfinite(getattr(tangent, "data", tangent)):
        raise FloatingPointError(
            f"jvp through {_describe_node(node)}: the tangent became {tangent}; local derivatives {node.partials}"
        )


def _describe_node(node: Any) -> str:
    """Return the text of the operation that made `node`, after the label of `node` if it has one."""
    text = describe(node.op, node.parents)
    return f"{node.label!r} {text}" if node.label else text
