"""Write a message about wrong gradients: where the first one differs, what it should be, and the likely mistake."""

from __future__ import annotations

import math
from collections.abc import Iterable

from ..engine import Value
from ..text.words import WORDS
from .causes import Cause, likeliest
from .comparison import Comparison, Contribution
from .reading import GraphNode, Handwritten, is_handwritten, without_closures

__all__ = ["compare_gradients", "difference", "not_compared"]

MOST_LINES = 5  # lines about contributions
MOST_NAMED = 3  # unknown operations that are named
PLACES = ("first", "second", "third")


def compare_gradients(root: GraphNode) -> None:
    """Check the gradients that somebody's own `Value` class has computed. If all are correct, nothing happens.

    Call this function after `root.backward()` of that class. A node needs `data`, `grad`, its operands in `_prev`, and
    a string such as "+", "**3" or "tanh" in `_op`. The names of our tutorial and of microgpt work too: `parents` or
    `_children` for the operands, and the local derivatives in `partials` or `_local_grads` instead of the string.

    Args:
        root: the node on which `backward()` was called. It may also be a `Value` of this package. Then a node with a
            `_backward` of your own is compared with the operation that its `_op`, such as "tanh", stands for.

    Raises:
        AssertionError: a gradient is wrong. The message names the first node with a wrong gradient, going back from the
            root, so the nodes that use this node have correct gradients. The message says what the gradient should be,
            what each of the nodes that use it should have sent, and the likely mistake. The error is also raised if no
            gradient is wrong, but some cannot be compared because an operation is not known.
        TypeError: `root` is neither a `Value` nor a node with these attributes.
        ValueError: the graph has a cycle: a node depends on itself.

    >>> class Mine:
    ...     def __init__(self, data, _prev=(), _op="", label=""):
    ...         self.data, self.grad, self._prev, self._op, self.label = data, 0.0, set(_prev), _op, label
    >>> a = Mine(3.0, label="a")
    >>> y = Mine(6.0, (a, a), "+", label="y")
    >>> y.grad = 1.0
    >>> a.grad = 1.0  # y.grad, assigned twice
    >>> compare_gradients(y)
    Traceback (most recent call last):
    AssertionError: the first gradient that differs, going back from the root, is that of the leaf a = 3
      it is 1, and should be 2, the sum of local derivative × upstream gradient:
        from y = a + a, first operand: 1 × 1 = 1
        from y = a + a, second operand: 1 × 1 = 1
      likely cause: only 1 of 2 contributions is there; it is assigned with = where += is needed
    """
    if isinstance(root, Value):
        comparison = Comparison(without_closures(root), 2.0**-52)
    elif is_handwritten(root):
        read = Handwritten(root)
        comparison = Comparison(read.root, read.unit)
    else:
        raise TypeError(
            f"compare_gradients() takes a node of a graph, got {type(root).__name__}; a node needs `data`, `grad`, "
            '`_prev` (its operands) and `_op` (such as "+")'
        )
    if comparison.wrong:
        raise AssertionError(difference(comparison))
    if comparison.unknown:
        raise AssertionError(not_compared(comparison))


def difference(comparison: Comparison) -> str:
    """Return the message about the first wrong gradient that `comparison` found, in at most twelve lines.

    >>> x = Value(3, "x")
    >>> y = -x
    >>> y.backward()
    >>> x.grad = 1.0
    >>> print(difference(Comparison(y, 2.0**-52)))
    the first gradient that differs, going back from the root, is that of the leaf x = 3
      it is 1, and should be -1, the sum of local derivative × upstream gradient:
        from -x: -1 × 1 = -1
      likely cause: a wrong local derivative of '-': 1 would give this gradient, but the derivative of -x is -1
    """
    node, cause = likeliest(comparison)
    theirs, expected = _apart(node.grad or 0.0, comparison.expected(node))
    if node is comparison.root:
        lines = [f"the gradient of the root, {_described(node)}, is {theirs}, and should be 1: it is d root / d root"]
    else:
        lines = [
            f"the first gradient that differs, going back from the root, is that of {_described(node)}",
            f"  it is {theirs}, and should be {expected}, the sum of local derivative × upstream gradient:",
            *_received(comparison, node),
        ]
    if cause:
        lines.append(f"  likely cause: {_mistake(comparison, node, cause)}")
    others = len(comparison.wrong) - 1
    if others:
        wrong = f"are {others} other wrong gradients" if others > 1 else "is another wrong gradient"
        lines.append(f"  there {wrong} whose users are right")
    if comparison.unknown:
        above = "; the gradients above this node are taken as they are" if node in comparison.doubtful else ""
        lines.append(f"  not all gradients can be compared because of {_unknown(comparison)}{above}")
    return "\n".join(lines)


def not_compared(comparison: Comparison) -> str:
    """Return the message for a `comparison` that found no wrong gradient, but could not compare all gradients.

    >>> from micrograd_cn.handwritten import Opaque
    >>> own = Opaque("own", 2.0, 1)
    >>> print(not_compared(Comparison(own(Value(3, "x")), 2.0**-52)))
    no gradient differs, but not all gradients can be compared: those below the following nodes depend on local
      derivatives that are not known: own(x) (data 2): unknown operation
    """
    return (
        "no gradient differs, but not all gradients can be compared: those below the following nodes depend on local\n"
        f"  derivatives that are not known: {_unknown(comparison)}"
    )


def _received(comparison: Comparison, node: Value) -> list[str]:
    sent = comparison.received[node]
    shown = sent if len(sent) <= MOST_LINES else sent[: MOST_LINES - 1]
    lines = [f"    from {_source(c)}: {_product(comparison, c)}" for c in shown]
    return lines + [f"    ... and {len(sent) - len(shown)} more"] * (len(shown) < len(sent))


def _product(comparison: Comparison, c: Contribution) -> str:
    if not c.flows and math.isnan(c.product):
        return f"nothing, because {_why_nothing(comparison, c, 'it')}"
    return f"{_number(c.local)} × {_number(c.upstream)} = {_number(c.value)}"


def _why_nothing(comparison: Comparison, c: Contribution, user: str) -> str:
    assert c.user.op is not None
    if c.user not in comparison.reached:
        return f"no gradient reached {user}"
    if c.user.op.propagates_gradient_to(c.slot):
        return f"{c.user.op.notation.symbol!r} did not select this operand"
    return "this derivative is 0 everywhere"


def _mistake(comparison: Comparison, node: Value, cause: Cause) -> str:
    sent = comparison.received[node]
    c = cause.about
    if cause.kind == "root":
        return "backward() has to begin with 1 there"
    if cause.kind == "not run":
        return "backward() has not run, or all gradients were set to 0 since"
    if cause.kind == "nothing":
        return f"nothing has arrived: does the backward pass of {_names(sent)} reach this operand?"
    if cause.kind == "left over":
        sign = f"it is {cause.number:.0f} times the right one" if cause.number else "only leaves are wrong"
        return f"{sign}: something is left over from an earlier backward(); set gradients to 0 in between"
    if cause.kind == "assigned":
        return _some(sent, cause)
    assert c is not None
    user = _named(c.user)
    if cause.kind == "multiplied":
        return f"{_number(c.local)} × {_number(c.upstream)} is nan; {_why_nothing(comparison, c, user)}, so add nothing"
    if cause.kind == "early":
        arrived = len(comparison.received[c.user])
        return (
            f"{user} sent its gradient on with {len(cause.there)} of its {arrived} contributions, before the rest had "
            "arrived; a node must come after all of its users, in topological order"
        )
    if cause.kind == "again":
        return f"{user} sent its gradient on more than once; a node must send once, after all of its users"
    if cause.kind == "upstream":
        return f"the local derivative is not multiplied by the upstream gradient, which is that of {user}"
    if len(cause.operations) > 1:
        *names, last = map(repr, cause.operations)
        return f"a wrong local derivative of {', '.join(names)} or {last}"
    convention = _kink(c.user)
    would, local = _apart(cause.number, c.local)
    name = cause.operations[0]
    text = f"a wrong local derivative of {name!r}: {would} would give this gradient, but the derivative of"
    return f"{text} {_expression(c.user)} is {local}{convention}"


def _some(sent: list[Contribution], cause: Cause) -> str:
    """Return a string that says that a node's gradient has only some of the contributions to it, and why.

    `sent` has all contributions to the node, and `cause.there` those that its gradient has.
    """
    there, missing = cause.there, [c for c in sent if c not in cause.there]
    text = f"only {len(there)} of {len(sent)} contributions {'is' if len(there) == 1 else 'are'} there"
    if {c.value for c in there}.isdisjoint(c.value for c in missing):
        text += f", {'that' if len(there) == 1 else 'those'} of {' and '.join(_source(c) for c in there)}"
    if cause.are_first:
        return f"{text}; those that arrive later are not added"
    return f"{text}; it is assigned with = where += is needed"


def _kink(node: Value) -> str:
    op, operands = node.op, [x.data for x in node.parents]
    at_kink = op is not None and op.smoothness.kink is not None and op.smoothness.kink(*operands) == 0.0
    return (
        f" (it is at a kink, where we choose {op.smoothness.convention})"
        if at_kink and op and op.smoothness.convention
        else ""
    )


def _unknown(comparison: Comparison) -> str:
    reasons: dict[tuple[str, ...], str] = {}
    for op, node in comparison.unknown.items():
        reasons.setdefault((op.notation.symbol, op.reason, op.shown), f"{_described(node)}: {op.why(WORDS['en'])}")
    shown = list(reasons.values())[:MOST_NAMED]
    return "; ".join(shown) + ", ..." * (len(reasons) > len(shown))


def _described(node: Value) -> str:
    return f"{_named(node)} (data {_number(node.data)})" if node.op else f"the leaf {_leaf(node)}"


def _leaf(node: Value) -> str:
    return f"{node.label} = {_number(node.data)}" if node.label else _number(node.data)


def _source(c: Contribution) -> str:
    times = sum(x is c.user.parents[c.slot] for x in c.user.parents)
    place = PLACES[c.slot] if c.slot < len(PLACES) else f"{c.slot + 1}th"
    return f"{_named(c.user)}, {place} operand" if times > 1 else _named(c.user)


def _named(node: Value) -> str:
    """Return code for `node`, which is not a leaf: "y = a * b", or "a * b" if it has no label."""
    return f"{node.label} = {_expression(node)}" if node.label else _expression(node)


def _expression(node: Value) -> str:
    assert node.op is not None
    texts = [x.label or _number(x.data) for x in node.parents]
    if len(texts) > 6:
        texts = [*texts[:3], "...", *texts[-2:]]
        return f"{node.op.notation.symbol}({', '.join(texts)})"
    return node.op.text(*texts)


def _names(sent: Iterable[Contribution]) -> str:
    return ", ".join(dict.fromkeys(repr(c.user.op.notation.symbol) for c in sent if c.user.op))


def _number(x: float) -> str:
    return f"{x + 0.0:.4g}"


def _apart(x: float, y: float) -> tuple[str, str]:
    """Return strings of two different numbers x and y, with as many digits as are needed to tell them apart."""
    for digits in (4, 6, 9, 12):
        texts = f"{x + 0.0:.{digits}g}", f"{y + 0.0:.{digits}g}"
        if texts[0] != texts[1]:
            return texts
    return repr(x), repr(y)
