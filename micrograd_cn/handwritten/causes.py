"""Find the mistake in a backward pass that explains a wrong gradient, as far as the numbers show it.

For each kind of mistake, the gradient that it would give a node is compared with the gradient that the node has. If
several kinds match, the likeliest is the one that explains the most wrong gradients. A user of a node is a node that
has it as an operand, and so sends it a contribution to its gradient.
"""

from __future__ import annotations

import itertools
import math
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

from ..engine import Value, graph_nodes
from ..ops import ieee
from .comparison import Comparison, Contribution

__all__ = ["Cause", "likeliest"]

KINDS = ("multiplied", "left over", "assigned", "nothing", "early", "again", "upstream")  # likelier ones first
# The search is limited, because the combinations of contributions are exponentially many.
MOST_NODES = 100  # nodes at which mistakes are tried
MOST_TERMS = 8  # up to this many contributions, all subsets are tried
MOST_PERMUTED = 5  # up to this many contributions, all orders are tried
MOST_CHOICES = 2000  # combinations of contributions that the users of a node may have sent
MOST_ORDERS = 20  # nodes at which the order of the arriving contributions is examined
MOST_TIMES = 1000  # how often the correct gradient may have been added


class Cause(NamedTuple):
    """A mistake in a backward pass: its kind, and the facts about it at one node."""

    kind: str  # one of KINDS, or "root", "not run" or "local"
    there: tuple[Contribution, ...] = ()  # for "assigned" and "early": the contributions that have arrived
    about: Contribution | None = None  # a wrong contribution, or one from a user of the node that makes the mistake
    number: float = 0.0  # how often a gradient was added, or which local derivative would give the node's gradient
    operations: tuple[str, ...] = ()  # the names of operations, one of which may have a wrong local derivative
    are_first: bool = False  # whether the contributions that have arrived are certainly the first ones


def likeliest(comparison: Comparison) -> tuple[Value, Cause | None]:
    """Return a node whose gradient is wrong, and the likeliest mistake that gave it this gradient.

    `comparison` has found that some gradients are wrong. Of the nodes whose gradients the mistake explains, the node is
    the one nearest to the root. The mistake is None if the numbers do not show it; the node is then the first with a
    wrong gradient, going back from the root.

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
    if all(comparison.same(x, x.grad or 0.0, _locals(sent)) for x, sent in comparison.received.items()):
        return first, Cause("upstream", about=comparison.received[first][0])
    wrong = [*comparison.wrong, *(node for node in comparison.tainted if not comparison.is_right(node))]
    found = {node: list(_causes(comparison, node)) for node in dict.fromkeys(wrong[:MOST_NODES])}
    counts = Counter(kind for causes in found.values() for kind in {cause.kind for cause in causes})
    likely = {cause.kind for node in comparison.wrong for cause in found.get(node, ())}
    kind = max(likely, key=lambda kind: (counts[kind], -KINDS.index(kind)), default="")
    suspects, uses, known_right = _suspects(comparison, comparison.wrong[:MOST_NODES])
    if not kind and uses < 2 and _is_tangled(comparison, first):
        return first, None
    if suspects and not kind and known_right and all(node.op is None for node in comparison.wrong):
        return first, Cause("left over")
    if suspects and (not kind or (uses > counts[kind] and not known_right)):
        return next((node, cause) for node in found if (cause := _wrong_local(comparison, node, suspects)))
    explained = [(node, cause) for node, causes in found.items() for cause in causes if cause.kind == kind]
    if not explained:
        return first, None
    node, cause = explained[0]
    if cause.there and cause.about is None:
        are_first = any(_are_first(comparison, node, cause.there) for node, cause in explained[:MOST_ORDERS])
        cause = cause._replace(are_first=are_first)
    return node, cause


def _causes(comparison: Comparison, node: Value) -> Iterator[Cause]:
    """Yield each mistake that would give `node` the gradient that it has.

    `comparison` has the correct contributions to the node.
    """
    sent = comparison.received[node]
    theirs = node.grad or 0.0

    def gives(*terms: float) -> bool:
        return comparison.same(node, theirs, ieee.sum(*terms))

    for c in sent:
        if not c.flows and math.isnan(c.product) and gives(*[other.product for other in sent]):
            yield Cause("multiplied", about=c)
    expected = comparison.expected(node)
    only_root = all(c.user is comparison.root for c in sent)
    if expected and (only_root or all(other.op is None for other in comparison.wrong)):
        times = theirs / expected
        if 1.5 < times < MOST_TIMES and gives(round(times) * expected):
            yield Cause("left over", number=round(times))
    for there in _parts(sent):
        if gives(*[c.value for c in there]):
            yield Cause("assigned", there)
            break
    if theirs == 0.0:
        yield Cause("nothing")
    if gives(_locals(sent)):
        yield Cause("upstream", about=sent[0])
    else:
        for c in sent:
            if gives(c.local, *[other.value for other in sent if other is not c]):
                yield Cause("upstream", about=c)
    for kind, turns in (("early", _early), ("again", _again)):
        if cause := _sent_wrongly(comparison, sent, kind, turns, gives):
            yield cause


class Turn(NamedTuple):
    """A wrong number that a user of a node may have used in the backward pass in place of the user's own gradient.

    A user of a node is a node that has it as an operand. In the backward pass, each node has one turn: it multiplies
    its gradient by its local derivatives, and sends the products to its operands. In a faulty backward pass, the turn
    of a user may come before all contributions to its own gradient have arrived, or it may have several turns.

    Attributes:
        total: the gradient that the user has at its turn; if it has several turns, the sum of its gradients at these.
        arrived: the contributions that had arrived at the user before its turn, if some were missing; otherwise empty.
    """

    total: float
    arrived: tuple[Contribution, ...] = ()


def _sent_wrongly(
    comparison: Comparison,
    sent: Sequence[Contribution],
    kind: str,
    turns: Callable[[Sequence[Contribution]], Iterator[Turn]],
    gives: Callable[..., bool],
) -> Cause | None:
    """Return a mistake of the kind `kind` if it explains the gradient of a node; otherwise None.

    The mistake explains the gradient if the gradient results when some users of the node make the mistake, and the
    others do not.

    Args:
        comparison: the comparison of the graph's gradients with the correct ones.
        sent: the correct contributions to the node.
        kind: the kind of mistake: "early" if a user sends contributions before all those to its own gradient have
            arrived, "again" if it sends contributions several times.
        turns: `_early` or `_again`. It takes the contributions to a user that makes this mistake, and yields a `Turn`
            for each number that the user may have used in place of its gradient.
        gives: a function that returns whether the sum of its arguments is the gradient that the node has.
    """
    users = _by_user(sent)
    choices = []
    for user, own in users.items():
        local, arrived = _locals(own), comparison.received.get(user, [])
        others = list(turns(arrived)) if len(arrived) > 1 and local else []
        choices.append([(None, ieee.sum(*[c.value for c in own])), *[(turn, local * turn.total) for turn in others]])
    for chosen in itertools.islice(itertools.product(*choices), 1, MOST_CHOICES):
        if gives(*[value for _, value in chosen]):
            user, turn = next((user, turn) for user, (turn, _) in zip(users, chosen, strict=True) if turn)
            return Cause(kind, turn.arrived, users[user][0])
    return None


def _parts(sent: Sequence[Contribution]) -> Iterator[tuple[Contribution, ...]]:
    """Yield the subsets of the contributions `sent`, small ones first, but neither the empty one nor all contributions.

    If there are more than MOST_TERMS contributions, yield only the subsets that contain a single one.
    """
    if len(sent) <= MOST_TERMS:
        for count in range(1, len(sent)):
            yield from itertools.combinations(sent, count)
    else:
        yield from ((c,) for c in sent)


def _early(arrived: Sequence[Contribution]) -> Iterator[Turn]:
    """Yield a `Turn` for each gradient that a node may pass on if its `_backward` runs too early.

    `arrived` has all contributions to the gradient of this node. Only some of them have arrived when `_backward` runs.
    """
    return (Turn(ieee.sum(*[c.value for c in there]), there) for there in _parts(arrived))


def _again(arrived: Sequence[Contribution]) -> Iterator[Turn]:
    """Yield a `Turn` for each total gradient that a node may have passed on if its `_backward` ran several times.

    `arrived` has all contributions to the gradient of this node. There are two cases. Either the node has passed on,
    after each arrival, the sum of what had arrived by then; or it has passed on the sum of all contributions 2, 3, ...
    times.
    """
    values = [c.value for c in arrived]
    if len(values) <= MOST_PERMUTED:
        for order in itertools.permutations(values):
            yield Turn(ieee.sum(*itertools.accumulate(order)))  # after each arrival it sends all that it has by then
    yield from (Turn(times * ieee.sum(*values)) for times in range(2, len(values) + 2))


def _by_user(sent: Sequence[Contribution]) -> dict[Value, list[Contribution]]:
    found: dict[Value, list[Contribution]] = {}
    for c in sent:
        found.setdefault(c.user, []).append(c)
    return found


def _locals(sent: Sequence[Contribution]) -> float:
    return ieee.sum(*[c.local for c in sent])


def _is_tangled(comparison: Comparison, node: Value) -> bool:
    """Return whether a user of `node` gets more than MOST_PERMUTED contributions, according to `comparison`.

    A user of a node has the node as an operand. If it gets so many contributions, `_again` does not try all orders in
    which they may arrive.
    """
    return any(len(comparison.received.get(c.user, [])) > MOST_PERMUTED for c in comparison.received[node])


def _are_first(comparison: Comparison, node: Value, there: tuple[Contribution, ...]) -> bool:
    """Return whether, in every topological order, the contributions `there` arrive at `node` before all others.

    `comparison` has all contributions to the node.
    """
    others = {c.user for c in comparison.received[node] if c not in there}
    return all(others.issubset(graph_nodes(user)[:-1]) for user in {c.user for c in there})


def _suspects(comparison: Comparison, wrong: Sequence[Value]) -> tuple[list[str], int, int]:
    """Return the names of the operations whose local derivative is likeliest to be wrong, and two counts.

    The first count is how many of the nodes in `wrong`, whose gradients are wrong, get a contribution from the
    operation. The second count is how many nodes with a correct gradient get contributions from this operation alone.
    The likeliest operations are those for which (first count) / (first count + second count) is largest, and among
    these, those for which the first count is largest. So the counts are the same for all of them. `comparison` has the
    contributions to all nodes.
    """
    blamed: Counter[str] = Counter()
    for node in wrong:
        blamed.update({_name(c) for c in comparison.received[node] if c.upstream})
    cleared: Counter[str] = Counter()
    for node, sent in comparison.received.items():
        names = {_name(c) for c in sent}
        if len(names) == 1 and node not in comparison.tainted and comparison.expected(node):
            cleared.update(names)

    def suspicion(name: str) -> tuple[float, int]:
        return blamed[name] / (blamed[name] + cleared[name]), blamed[name]

    most = max(map(suspicion, blamed), default=None)
    suspects = [name for name in blamed if suspicion(name) == most]
    return (suspects, blamed[suspects[0]], cleared[suspects[0]]) if suspects else ([], 0, 0)


def _name(c: Contribution) -> str:
    return c.user.op.notation.symbol if c.user.op else ""


def _wrong_local(comparison: Comparison, node: Value, operations: Sequence[str]) -> Cause | None:
    """Return a `Cause` which says that one of `operations` has a wrong local derivative, or None.

    The operation has made a user of `node`. The attribute `number` of the cause is the local derivative that would give
    `node` the gradient that it has. The result is None if no user with a gradient other than 0 was made by one of
    `operations`. `comparison` has the contributions of all users.
    """
    sent = comparison.received[node]
    users = [c for c in sent if _name(c) in operations and c.upstream]
    if not users:
        return None
    rest = ieee.sum(*[c.value for c in sent if c is not users[0]])
    number = ((node.grad or 0.0) - rest) / users[0].upstream
    return Cause("local", about=users[0], number=number, operations=tuple(dict.fromkeys(map(_name, users))))
