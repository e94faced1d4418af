"""Warn if `backward` goes through a node again after an optimiser's step has changed the node's operands.

A loss that was computed once, before the loop, keeps its number and its local derivatives, so `loss.backward()` gives
the gradient of the former parameters in every step. The same holds for a weight that `__init__` computes from a
parameter, and for an array of parameters whose items were replaced by what is computed from them. PyTorch raises an
error there, because its `backward` frees the graph.

To be fast, an optimiser asks for this warning only in some of its steps, such as the first one. After such a step, the
first `backward` that reaches a parameter of the optimiser looks at the nodes that it goes through. It leaves out nodes
without a gradient, since no earlier `backward` went through them.

The first `backward` also tells the optimiser which leaves that are not its parameters have got a gradient. If a call of
a model then reads one of these leaves, and neither the model nor the arguments of the call have the leaf,
`parameters.calls` finds it.

When the optimiser comes to the next step in which it asks, it warns if the gradients of all its parameters are 0 and
`backward` was called meanwhile, but has reached none of them. A call of `zero_grad` makes earlier calls of `backward`
count no more. If no `backward` follows it, optimisers of this package warn, too. For speed, `zero_grad` after a
`backward` that has reached a parameter is noticed only between the first two steps.

Where no optimiser asks, the statement `p -= number` for a leaf p outside `no_grad()` asks whether p still has its
number when the next `backward` reaches it; see `Reassignment`.
"""

from __future__ import annotations

import weakref
from collections.abc import Iterable, Sequence
from itertools import islice
from typing import Any

from .callers import warn_at_user
from .closures import Closure

__all__ = [
    *("expect_backward", "note_cleared", "note_gradients", "take_others", "warn_of_outdated", "was_left_out"),
    "was_missed",
]


class Question:
    """What an optimiser wants to know after a step: whether `backward` reaches one of its parameters.

    Attributes:
        optimizer: a weak reference to the optimiser.
        step: the count of the optimiser's steps before this step.
        listed: the parameters that the optimiser had at this step.
        gradients: the gradients of the parameters in `listed` at this step.
        cleared: whether `zero_grad` was called since the step.
        missed: whether a call of `backward` has reached none of the parameters.
        reached: whether a compiled function has added gradients to some of the parameters.
    """

    __slots__ = ("_parameters", "cleared", "gradients", "listed", "missed", "optimizer", "reached", "step")

    def __init__(self, optimizer: Any) -> None:
        self.optimizer = weakref.ref(optimizer, _forget)
        self.listed = [*optimizer.parameters]
        self.gradients = [p._grad for p in self.listed]
        self._parameters: set[Any] | None = None
        self.step: int = optimizer.steps
        self.cleared = self.missed = self.reached = False

    @property
    def parameters(self) -> set[Any]:
        """The parameters in `listed` as a set, which is made when it is first read, so the step takes less time."""
        if self._parameters is None:
            self._parameters = {*self.listed}
        return self._parameters

    def concerns(self, parameters: Iterable[Any]) -> bool:
        """Return whether some of `parameters` are among those of the optimiser."""
        if isinstance(parameters, list) and parameters[:1] == self.listed[:1]:  # for speed; nodes equal by identity
            return bool(parameters)
        return not self.parameters.isdisjoint(parameters)


class Reassignment:
    """The question to the next `backward` after `p -= number` outside `no_grad()`: did the user mean to train the leaf?

    The statement gives the name p to a new node, and leaves the leaf as it was. If the next `backward` goes through the
    leaf, which still has its number, and not through the new node, the user meant to train the leaf.

    Attributes:
        leaf: the leaf, which has a gradient.
        op: the operation, `sub` for `p -= number`.
        number: the number.
        data: the leaf's number at that time.
    """

    __slots__ = ("data", "leaf", "number", "op")

    def __init__(self, leaf: Any, op: Any, number: Any) -> None:
        self.leaf, self.op, self.number, self.data = leaf, op, number, leaf._data

    def answer(self, order: Sequence[Any], leaves: set[Any]) -> None:
        """Warn if the user meant to train the leaf. `backward` visits the nodes in `order`, and `leaves`."""
        leaf = self.leaf
        if leaf not in leaves or leaf._data != self.data:
            return
        if any(node.op is self.op and node.operands[0] is leaf for node in order):
            return  # the new node is used
        sign = self.op.notation.symbol
        warn_at_user(
            f"p {sign}= {self.number!r} outside no_grad() has made a new Value, and left the leaf p, "
            f"{leaf.label or repr(leaf)}, as it was, so this training changes nothing: write p.data {sign}= ..., or "
            f"with no_grad(): p {sign}= ..."
        )


# The open question: that of the last optimiser, or if there is none, of `p -= number`. None if no question is open
expected: Question | Reassignment | None = None
answered: Question | None = None  # what the last optimiser asked in its first step, after `backward` has answered it
# The optimiser that was answered last, and other leaves that this `backward` has sent gradients to, with their numbers
_others: tuple[weakref.ref[Any] | None, list[tuple[Any, float]]] = (None, [])
MOST_OTHERS = 10_000  # the largest number of these leaves that is kept


def _asked() -> Question | None:
    """Return the open question of an optimiser."""
    return expected if isinstance(expected, Question) else None


def _forget(optimizer: weakref.ref[Any]) -> None:
    """Drop the question of an optimiser that no longer exists, so its parameters can be freed.

    Python calls this with `optimizer`, a weak reference to the optimiser.
    """
    global expected, answered, _others
    if _others[0] is optimizer:
        _others = None, []
    if (asked := _asked()) and asked.optimizer is optimizer:
        expected = None
    if answered and answered.optimizer is optimizer:
        answered = None


def expect_backward(optimizer: Any) -> None:
    """Ask the next `backward` that reaches a parameter of `optimizer` to look for outdated nodes.

    Call this before a step of the optimiser. A node is outdated if it was computed before the step.
    """
    global expected, answered, _others
    expected, answered, _others = Question(optimizer), None, (None, [])


def expect_change(leaf: Any, op: Any, number: Any) -> None:
    """Ask the next `backward` whether `leaf` is still as it was after `leaf -= number` outside `no_grad()`.

    For this statement, `op` is `sub`; it is another operation for `+=` and the like. Nothing is asked if another
    question is open, if an optimiser has just got its answer, or if the leaf has no gradient.
    """
    global expected
    if expected is None and answered is None and leaf._grad:
        expected = Reassignment(leaf, op, number)


def was_missed(optimizer: Any) -> int | None:
    """Return since which step of `optimizer` all calls of `backward` have reached none of its parameters.

    Return None if `backward` was not called since the last `expect_backward`, or has reached a parameter. Also return
    None if a compiled function or the user's code has set a gradient to anything but 0 or None, or if the user's code
    has changed the list of parameters.
    """
    asked = _asked()
    if asked is None or not asked.missed or not _is_open(asked, optimizer):
        return None
    changed = [p._grad for p, before in zip(asked.listed, asked.gradients, strict=True) if p._grad is not before]
    if any(changed) or (asked.cleared and any(p._grad for p in asked.listed)):
        return None
    return asked.step


def take_others(optimizer: Any) -> list[tuple[Any, float]]:
    """Return pairs (leaf, number) for leaves with a gradient that are not parameters of `optimizer`, and forget them.

    They are those that the first `backward` after `expect_backward` has reached together with a parameter.
    """
    global _others
    asked_by, found = _others
    if not asked_by or asked_by() is not optimizer:
        return []
    _others = None, []
    return found


def was_left_out(optimizer: Any) -> bool:
    """Return whether, since `expect_backward`, `zero_grad` was called, and no `backward` after it.

    Return False if a compiled function has added gradients to a parameter of `optimizer`, or nothing is known.
    """
    asked = _asked()
    return asked is not None and asked.cleared and not asked.missed and _is_open(asked, optimizer)


def _is_open(asked: Question, optimizer: Any) -> bool:
    """Return whether `asked` is the question of `optimizer`, about its present parameters, and has no answer yet.

    The question is whether `backward` reaches one of the parameters. If a compiled function has added gradients to some
    of them, that answers it, too.
    """
    # Users may have replaced items of the list of parameters
    is_its_own = asked.optimizer() is optimizer and asked.parameters == set(vars(optimizer)["parameters"])
    return is_its_own and not asked.reached


def note_cleared(parameters: Iterable[Any]) -> None:
    """Record that `zero_grad` clears the gradients of `parameters`, so an earlier `backward` does not count any more.

    To be fast, call this only if one of this module's variables `expected` and `answered` is not None.
    """
    global expected, answered
    asked = _asked() or answered
    if asked and asked.concerns(parameters):
        expected, answered = asked, None
        asked.cleared, asked.missed, asked.reached = True, False, False


def note_gradients(parameters: Iterable[Any]) -> None:
    """Record that something other than `backward`, such as a compiled function, adds gradients to `parameters`."""
    asked = _asked()
    if asked and not asked.reached:
        asked.reached = asked.concerns(parameters)


def warn_of_outdated(order: Sequence[Any], leaves: set[Any]) -> None:
    """Answer the open question: warn if an optimiser has changed an operand of a node in `order` since it was computed.

    There is a warning only for a node that would have another number now, and only for the first one. If the open
    question is a `Reassignment`, it gives its own warning instead.

    Args:
        order: the interior nodes that `backward` will visit. They have the gradients of an earlier call.
        leaves: the leaves of their graph.
    """
    global expected, answered, _others
    if isinstance(expected, Reassignment):
        reassignment, expected = expected, None
        reassignment.answer(order, leaves)
        return
    asked = expected
    if asked is None or (optimizer := asked.optimizer()) is None:
        return
    changed = leaves & asked.parameters
    if not changed:
        asked.missed = True
        return
    expected = None
    if asked.step == 0:
        answered = asked
    others = leaves - asked.parameters
    _others = asked.optimizer, [(x, x._data) for x in islice(others, MOST_OTHERS) if x.requires_grad]
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
