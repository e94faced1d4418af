"""Compare an operation on floats with the same operation recorded on `Value`s."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from ...engine import Value, record
from ...ops.operation import Op, Selection
from .op_failures import Point, op_failure, reraise_as_failure

LOCAL_CODE = "y = OP.forward(XS)\nprint(y, OP.local_derivatives(y, XS))"
RECORDED_CODE = """\
from micrograd_cn.engine import Value, record
xs = [Value(x) for x in (XS,)]
y = record(OP, xs)
print(y, y.partials, OP.local_derivatives(y, *xs))"""
RECORDED_SHARED_CODE = RECORDED_CODE.replace("\ny", "\nxs = [xs[i] for i in PLACES]\ny")


def same_number(a: float, b: float) -> bool:
    """Return whether two numbers are equal, or both are nan."""
    return a == b or (a != a and b != b)


def evaluate(op: Op, xs: Point) -> tuple[float, tuple[float, ...]]:
    """Return the value and the partials of an operation for the floats `xs`, and check that they are numbers.

    Raises:
        AssertionError: the operation raises an error, two calls give different values, or a result is not a number.
    """
    with reraise_as_failure(op, xs, f"{op.name}.forward", "OP.forward(XS)"):
        y: object = op.forward(*xs)
    if not isinstance(y, float):
        raise op_failure(op, xs, f"{op.name}.forward gave {type(y).__name__} {y!r}, not a float", "OP.forward(XS)")
    again = op.forward(*xs)
    if not same_number(y, again):
        raise op_failure(op, xs, f"{op.name}.forward gave {y}, then {again}: it is not a function", "OP.forward(XS)")
    if isinstance(op.partials, tuple):
        partials: Any = tuple([_partial(op, slot, y, xs) for slot in range(len(xs))])
    else:
        with reraise_as_failure(op, xs, f"the function of {op.name}'s partials", LOCAL_CODE):
            partials = op.local_derivatives(y, *xs)
    for slot, p in enumerate(partials):
        if not isinstance(p, (float, int)):
            raise op_failure(op, xs, f"partial {slot} of {op.name} gave {p!r}, not a number", LOCAL_CODE)
    return y, partials


def _partial(op: Op, slot: int, y: float, xs: Point) -> Any:
    """Return the partial with respect to operand `slot`, for floats; 0.0 if no gradient flows to that operand."""
    function = op.partials[slot]
    if function is None:
        return 0.0
    with reraise_as_failure(op, xs, f"partial {slot} of {op.name}", LOCAL_CODE):
        partial = function(y, *xs)
    return 0.0 if partial is None and isinstance(function, Selection) else partial


def check_recording(op: Op, xs: Point, partials: Sequence[float]) -> None:
    """Check that the operation has the same partials for `Value`s, which record it, as for floats.

    `partials` has the partials for the floats `xs`.
    """
    compare_recorded(op, xs, [Value(x) for x in xs], partials, RECORDED_CODE)


def compare_recorded(
    op: Op, at: Point, inputs: Sequence[Value], partials: Sequence[float], code: str, where: str = ""
) -> None:
    """Compare an operation's partials for floats with those that a recorded node stores, and with those for `Value`s.

    Args:
        op: the operation whose partials are compared.
        at: the operands as floats, for messages.
        inputs: the operands as `Value`s.
        partials: the partials for floats.
        code: code to paste that shows a failure, in which `OP` stands for the operation, and `XS` for the operands.
        where: what messages begin with.
    """
    node = record(op, inputs)
    with reraise_as_failure(
        op, at, f"the partials of {op.name}, which must be written with the table's operations,", code
    ):
        symbolic = op.local_derivatives(node, *inputs)
    for slot, (p, q, r) in enumerate(zip(partials, node.partials, symbolic, strict=True)):
        r = r.data if isinstance(r, Value) else r
        if not (same_number(p, q) and (same_number(p, r) or math.isnan(p) or math.isnan(r))):
            raise op_failure(op, at, f"{where}partial {slot} is {p} on floats, {q} when recorded, {r} on Values", code)
