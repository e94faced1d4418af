"""Say where gradients first differ from the chain rule, what that node should have received, and the likely mistake."""

from __future__ import annotations

from collections.abc import Iterable

from ..engine import Value
from ..text.words import WORDS
from .causes import Cause, likeliest
from .comparison import Comparison, Contribution
from .reading import GraphNode, Handwritten, is_handwritten

__all__ = ["compare_gradients", "difference", "not_compared"]

MOST_LINES = 5  # about contributions
MOST_NAMED = 3  # operations that are not known
PLACES = ("first", "second", "third")


def compare_gradients(root: GraphNode) -> None:
    """Compare the gradients that somebody's own `Value` class has computed with ours; silent where all agree.

    To be called after the class's own `root.backward()`. Needed are `data`, `grad`, `_prev` (the operands) and `_op`
    (a text such as "+", "**3", "tanh"); or, as in our tutorial and in microgpt, `parents` or `_children`, and in the
    place of a text the local derivatives, `partials` or `_local_grads`.

    Args:
        root: the node on which `backward()` was called; it may be a `Value` of ours.

    Raises:
        AssertionError: a gradient differs. The message says at which node, going from the root back, the first one
            does (those of the node's users are right), what it should be, what each user should have sent, and the
            likely mistake. Also where none differs, but not all could be compared, as an operation is not known.
        TypeError: `root` is no such node.
        ValueError: the graph is a circle.

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
        comparison = Comparison(root, 2.0**-52)
    elif is_handwritten(root):
        read = Handwritten(root)
        comparison = Comparison(read.root, read.unit)
    else:
        raise TypeError(
            f"compare_gradients() takes a node of a graph, got {type(root).__name__}; it needs `data`, `grad`, `_prev` "
            '(its operands) and `_op` (such as "+")'
        )
    if comparison.wrong:
        raise AssertionError(difference(comparison))
    if comparison.unknown:
        raise AssertionError(not_compared(comparison))


def difference(comparison: Comparison) -> str:
    """Return the message about the first gradient that differs, in at most twelve lines.

    >>> x = Value(3, "x")
    >>> y = -x
    >>> y.backward()
    >>> x.grad = 1.0
    >>> print(difference(Comparison(y, 2.0**-52)))
    the first gradient that differs, going back from the root, is that of the leaf x = 3
      it is 1, and should be -1, the sum of local derivative × upstream gradient:
        from -x: -1 × 1 = -1
      likely cause: a wrong local derivative of '-': 1 would give this gradient, and that of -x is -1
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
        lines.append(f"  the users of {others} other wrong gradient{'s' * (others > 1)} are right as well")
    if comparison.unknown:
        above = " and what is above this node is taken as it is;" if node in comparison.doubtful else ""
        lines.append(f"  not all is compared;{above} {_unknown(comparison)}")
    return "\n".join(lines)


def not_compared(comparison: Comparison) -> str:
    """Return the message about a graph in which no gradient differs, of those that can be compared.

    >>> from micrograd_cn.handwritten import Opaque
    >>> own = Opaque("own", 2.0, 1)
    >>> print(not_compared(Comparison(own(Value(3, "x")), 2.0**-52)))
    no gradient differs of those that can be compared, but not all can: below these, gradients follow from local
      derivatives that are not known: own(x) (data 2): unknown operation
    """
    return (
        "no gradient differs of those that can be compared, but not all can: below these, gradients follow from local\n"
        f"  derivatives that are not known: {_unknown(comparison)}"
    )


def _received(comparison: Comparison, node: Value) -> list[str]:
    sent = comparison.received[node]
    shown = sent if len(sent) <= MOST_LINES else sent[: MOST_LINES - 1]
    lines = [f"    from {_source(c)}: {_number(c.local)} × {_number(c.upstream)} = {_number(c.value)}" for c in shown]
    return lines + [f"    ... and {len(sent) - len(shown)} more"] * (len(shown) < len(sent))


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
        sign = f"it is {cause.number:.0f} times the right one" if cause.number else "all but leaves are right"
        return f"{sign}: something is left over from an earlier backward(); set gradients to 0 in between"
    if cause.kind == "assigned":
        return _some(sent, cause)
    assert c is not None
    user = _named(c.user)
    if cause.kind == "early":
        arrived = len(comparison.received[c.user])
        return (
            f"{user} was sent on with {len(cause.there)} of its {arrived} contributions, before the rest had arrived; "
            "a node has its turn after all of its users, in topological order"
        )
    if cause.kind == "again":
        return f"{user} was sent on more than once; a node has one turn, after all of its users"
    if cause.kind == "upstream":
        return f"the local derivative is not multiplied by the upstream gradient, that of {user}"
    if len(cause.operations) > 1:
        *names, last = map(repr, cause.operations)
        return f"a wrong local derivative of {', '.join(names)} or {last}"
    convention = _kink(c.user)
    would, local = _apart(cause.number, c.local)
    name = cause.operations[0]
    text = f"a wrong local derivative of {name!r}: {would} would give this gradient, and that of {_expression(c.user)}"
    return f"{text} is {local}{convention}"


def _some(sent: list[Contribution], cause: Cause) -> str:
    """Say which of the contributions are there, and whether they are the first to arrive, where that is known."""
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
    """Return a node as it would be written: y = a * b."""
    if node.op is None:
        return node.label or _number(node.data)
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
    """Return two numbers with as many digits as it takes to tell them apart."""
    for digits in (4, 6, 9, 12):
        texts = f"{x + 0.0:.{digits}g}", f"{y + 0.0:.{digits}g}"
        if texts[0] != texts[1]:
            return texts
    return repr(x), repr(y)
