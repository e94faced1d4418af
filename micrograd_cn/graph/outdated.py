"""Warn if `backward` goes through a node again after an optimiser's step has changed the node's operands.

A loss that was computed once, before the loop, keeps its number and its local derivatives, so `loss.backward()` gives
the gradient of the former parameters in every step. The same holds for a weight that `__init__` computes from a
parameter, and for an array of parameters whose items were replaced by what is computed from them. PyTorch raises an
error there, because its `backward` frees the graph.

To be fast, `backward` looks for such nodes only once after some of an optimiser's steps, such as the first one. A node
that an earlier `backward` went through has a gradient, and all others are left out.
"""

from __future__ import annotations

import weakref
from collections.abc import Sequence
from typing import Any

from .callers import warn_at_user
from .closures import Closure

__all__ = ["expect_backward", "warn_of_outdated", "was_missed"]

MAX_CALLS = 10  # how many calls of `backward` are asked whether their graph has a parameter of the optimiser

# What an optimiser asked: a reference to it, and for how many calls of `backward` it is kept; None if nothing was asked
expected: tuple[weakref.ref[Any], int] | None = None
unreached: weakref.ref[Any] | None = None  # the last optimiser that all these calls missed


def expect_backward(optimizer: Any) -> None:
    """Let the next `backward` of a graph with parameters of `optimizer` look for nodes that the next step outdates."""
    global expected, unreached
    expected, unreached = (weakref.ref(optimizer), MAX_CALLS), None


def was_missed(optimizer: Any) -> bool:
    """Return whether `backward` was called since `expect_backward`, and reached no parameter of `optimizer`."""
    missed = expected[0] if expected and expected[1] < MAX_CALLS else unreached
    return missed is not None and missed() is optimizer


def warn_of_outdated(order: Sequence[Any], leaves: set[Any]) -> None:
    """Warn if a node would have another number now, since an optimiser has changed an operand after it was computed.

    Args:
        order: the interior nodes that `backward` will visit. They have the gradients of an earlier call.
        leaves: the leaves of their graph.
    """
    global expected, unreached
    asked, expected = expected, None
    if asked is None or (optimizer := asked[0]()) is None:
        return
    changed = leaves.intersection(optimizer.parameters)
    if not changed:
        if asked[1] > 1:
            expected = asked[0], asked[1] - 1
        else:
            unreached = asked[0]
        return
    for node in order:
        # A node that no `backward` has reached has the gradient 0.0, and users may have assigned None
        if not node._grad or changed.isdisjoint(node.operands) or isinstance(node.op, Closure):
            continue
        y, before = node.op.evaluate(*[getattr(x, "_data", x) for x in node.operands]), node._data
        if y != before and (y == y or before == before):
            _warn(node, next(x for x in node.operands if x in changed), type(optimizer).__name__)
            return


def _warn(node: Any, leaf: Any, optimizer: str) -> None:
    warn_at_user(
        f"backward() goes again through {node.label or node.op.name + '(...)'}, which was computed before a step of "
        f"{optimizer} changed {leaf.label or 'its operand'}, so the gradient is that of the former number; compute it "
        "anew after each step: in the loop and not before it, and for a model in a call and not in __init__; for a "
        "state that goes on to the next step, write h = h.detach(); if several losses share it, call backward() of "
        "all of them before the step"
    )
