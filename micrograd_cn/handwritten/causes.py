"""Which mistake in a backward pass gives a node the gradient that it has, where the numbers tell.

Each mistake is tried: what it would make of the contributions is compared with the gradient that is there. Of those
that give it, the likeliest is the one that explains most of the nodes at which a gradient differs first.
"""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from .. import ieee
from ..engine import Value
from .comparison import Comparison, Contribution

__all__ = ["Cause", "likeliest"]

MOST_NODES = 100  # at which mistakes are tried
MOST_TERMS = 8  # of which all parts are tried
MOST_PERMUTED = 4  # of which all orders are tried
MOST_TIMES = 1000  # that one gradient may have been added


class Cause(NamedTuple):
    """A mistake, and what it is about at a node."""

    kind: str
    there: tuple[Contribution, ...] = ()  # the contributions that have arrived, where not all have
    about: Contribution | None = None  # the one that is wrong, or of a user that sends wrongly
    number: float = 0.0  # how many times, or the local derivative that would give the gradient


def likeliest(comparison: Comparison) -> tuple[Value, Cause | None]:
    """Return a node at which a gradient differs first, and the likeliest mistake there.

    The node is the nearest to the root of those that the mistake explains. It is None where the numbers do not tell.

    >>> x = Value(3)
    >>> y = x + x
    >>> y.backward()
    >>> x.grad = 1.0
    >>> likeliest(Comparison(y, 2.0**-52))[1].kind
    'assigned'
    """
    first = comparison.wrong[0]
    if first is comparison.root:
        return first, Cause("root" if any(node.grad for node in comparison.nodes) else "not run")
    found = {node: list(_causes(comparison, node)) for node in comparison.wrong[:MOST_NODES]}
    counts = Counter(kind for causes in found.values() for kind in {cause.kind for cause in causes})
    kind, most = counts.most_common(1)[0] if counts else ("", 0)
    operation, uses, known_right = _suspect(comparison, list(found))
    if operation and not most and known_right and all(node.op is None for node in comparison.wrong):
        return first, Cause("left over")
    if operation and (not most or (uses > most and not known_right)):
        return next((node, cause) for node in found if (cause := _wrong_local(comparison, node, operation)))
    for node, causes in found.items():
        for cause in causes:
            if cause.kind == kind:
                return node, cause
    return first, None


def _causes(comparison: Comparison, node: Value) -> Iterator[Cause]:
    """Yield the mistakes that give the node's gradient."""
    sent = comparison.received[node]
    theirs = node.grad or 0.0

    def gives(*terms: float) -> bool:
        return comparison.same(node, theirs, ieee.sum(*terms))

    if theirs == 0.0:
        yield Cause("nothing")
        return
    only_root = all(c.user is comparison.root for c in sent)
    if only_root or all(other.op is None for other in comparison.wrong):
        times = round(theirs / comparison.expected(node)) if comparison.expected(node) else 0
        if 2 <= times <= MOST_TIMES and gives(times * comparison.expected(node)):
            yield Cause("left over", number=times)
    for there in _parts(sent):
        if gives(*[c.value for c in there]):
            yield Cause("assigned", there)
            break
    for user, own in _by_user(sent).items():
        rest = [c.value for c in sent if c.user is not user]
        local = sum(c.local for c in own)
        arrived = comparison.received.get(user, [])
        if len(arrived) < 2 or not local:
            continue
        for there in _parts(arrived):
            if gives(*rest, *[local * c.value for c in there]):
                yield Cause("early", there, own[0])
                break
        if any(gives(*rest, local * again) for again in _again(arrived)):
            yield Cause("again", about=own[0])
    for c in sent:
        if gives(c.local, *[other.value for other in sent if other is not c]):
            yield Cause("upstream", about=c)
            break
    else:
        if gives(*[c.local for c in sent]):
            yield Cause("upstream", about=sent[0])


def _parts(sent: Sequence[Contribution]) -> Iterator[tuple[Contribution, ...]]:
    """Yield some, but not all, of the contributions; fewer ones first."""
    if len(sent) <= MOST_TERMS:
        for count in range(1, len(sent)):
            yield from itertools.combinations(sent, count)
    else:
        yield from ((c,) for c in sent)


def _again(arrived: Sequence[Contribution]) -> Iterator[float]:
    """Yield what a node sends in all, over its local derivative, that sends more than once."""
    values = [c.value for c in arrived]
    if len(values) <= MOST_PERMUTED:
        for order in itertools.permutations(values):
            yield sum(itertools.accumulate(order))  # whenever a contribution arrives, all that it has by then
    yield from (times * sum(values) for times in range(2, len(values) + 2))


def _by_user(sent: Sequence[Contribution]) -> dict[Value, list[Contribution]]:
    found: dict[Value, list[Contribution]] = {}
    for c in sent:
        found.setdefault(c.user, []).append(c)
    return found


def _suspect(comparison: Comparison, wrong: Sequence[Value]) -> tuple[str, int, int]:
    """Return the operation whose local derivative is likeliest to be wrong: what most of the wrong nodes, and fewest of
    the right ones, are operands of. Also of how many wrong ones, and of how many right ones alone.
    """
    blamed: Counter[str] = Counter()
    for node in wrong:
        blamed.update({_name(c) for c in comparison.received[node] if c.upstream})
    cleared: Counter[str] = Counter()
    for node, sent in comparison.received.items():
        names = {_name(c) for c in sent}
        if len(names) == 1 and node not in comparison.tainted and comparison.expected(node):
            cleared.update(names)
    if not blamed:
        return "", 0, 0
    name = max(blamed, key=lambda name: (blamed[name] / (blamed[name] + cleared[name]), blamed[name]))
    return name, blamed[name], cleared[name]


def _name(c: Contribution) -> str:
    return c.user.op.symbol if c.user.op else ""


def _wrong_local(comparison: Comparison, node: Value, operation: str) -> Cause | None:
    """Return which local derivative of the operation would give the node's gradient."""
    sent = comparison.received[node]
    for c in sent:
        if _name(c) == operation and c.upstream:
            rest = ieee.sum(*[other.value for other in sent if other is not c])
            return Cause("local", about=c, number=((node.grad or 0.0) - rest) / c.upstream)
    return None
