"""Describe a graph for the page: its operations, its nodes and its groups, but not its numbers.

The groups are layers, neurons and scopes: boxes that a reader of the page can open and close.
"""

from __future__ import annotations

import itertools
from collections import Counter
from typing import Any

from ..engine import Value, graph_nodes, topological_order
from ..graph.groups import Group
from ..ops.operation import Op
from ..ops.registry import OPS
from ..picture.boxes import groups_of
from ..picture.text import drawn
from ..text.formula import FormulaError
from .javascript import Rows

MOST_NAMED = 9  # The narration names at most this many operands of one operation.


class Graph:
    """The graph below a root, with its nodes in the order that the page uses: a node comes after its operands.

    `handwritten` says whether the gradients were computed by a class that a user has written.

    >>> a = Value(2, "a")
    >>> [node.label for node in Graph(a * a + 1).nodes]
    ['a', '', '', '']
    """

    def __init__(self, root: Value, handwritten: bool = False) -> None:
        self.handwritten = handwritten  # whether somebody's own class computed the gradients
        self.root = root
        self.nodes = graph_nodes(root)
        self.groups = groups_of(topological_order(root))

    def facts(self, rows: Rows) -> dict[str, Any]:
        """Return a dict that describes the operations, nodes and groups for the page.

        The operations are added to `rows`, which prints them as JavaScript functions.
        """
        index = {node: i for i, node in enumerate(self.nodes)}
        groups: dict[Group, int] = {}
        ops: dict[tuple[Op, int], int] = {}
        nodes = []
        for node, name in zip(self.nodes, self._names(), strict=True):
            op = ops.setdefault((node.op, len(node.parents)), len(ops)) if node.op else None
            flags = 1 * node.requires_grad + 2 * (node.op is None and node.group is not None)
            parents = [index[parent] for parent in node.parents]
            nodes.append([name, flags, _place(self.groups.get(node), groups), *([] if op is None else [op, parents])])
        listed = [operation_facts(op, count, rows) for op, count in ops]
        fixed = [op.name for (op, _), facts in zip(ops, listed, strict=True) if facts["row"] is None]
        return {
            "ops": listed,
            "nodes": nodes,
            "groups": [[group.name, groups[group.outer] if group.outer else -1] for group in groups],
            "root": index[self.root],
            "fixed": fixed[-1] if fixed else "",
            "handwritten": self.handwritten,
        }

    def _names(self) -> list[str]:
        """Return a list with a name for each node. No two names are the same."""
        labels = [node.label for node in self.nodes]
        inputs = {}
        for node in self.nodes:
            if node.op and node.group and node.op.lowerings.summands:
                for number, (_, x) in enumerate(node.op.lowerings.summands(*node.parents)[0], 1):
                    if x.op is None and not x.label and not x.group:
                        inputs[x] = f"x{number}"
        shared = Counter(filter(None, labels))
        taken: set[str] = set()
        counts: Counter[str] = Counter()
        free = filter(lambda name: name not in shared, map("v{}".format, itertools.count(len(labels))))
        names = []
        for i, node in enumerate(self.nodes):
            first = node.label or inputs.get(node) or (f"v{i}" if f"v{i}" not in shared else next(free))
            if shared[first] > 1 and node.group:
                first = f"{self.groups.get(node)}.{first}"
            name = first
            while name in taken or (name != node.label and name in shared):
                counts[first] += 1
                name = f"{first}#{counts[first] + 1}"
            taken.add(name)
            names.append(name)
        return names


def _place(group: Group | None, groups: dict[Group, int]) -> int:
    """Return the index of `group` in `groups`, or -1 for None.

    If it has no index yet, it gets the next one, after the groups that enclose it.
    """
    if group is None:
        return -1
    _place(group.outer, groups)
    return groups.setdefault(group, len(groups))


def operation_facts(op: Op, count: int, rows: Rows) -> dict[str, Any]:
    """Return a dict that describes `op`, an operation of `count` operands, for the page, and add it to `rows`.

    `rows` prints the operations that were added to it as JavaScript functions. The dict has these keys:

    - `row`: the name under which JavaScript has the operation's value and its partial derivatives. It is None if the
      operation cannot be written with other operations, so JavaScript does not have them.
    - `symbol`: the sign or the name that a box shows.
    - `text`: how the page writes the operation, with a gap such as `{0}` for each operand. If there are more operands
      than MOST_NAMED, some are left out.
    - `written`: the text with all operands. This key exists only if `text` leaves some out.
    - `still`: the indices of the operands to which no gradient ever flows.
    - `selects`: the indices of the operands to which no gradient flows where the local derivative is 0. This key exists
      only if the operation selects among its operands, as `where` does.
    - `listed`: True. This key exists only if a Python program can import the operation from the package.

    >>> from micrograd_cn import where
    >>> operation_facts(where, 3, Rows())
    {'row': 'where', 'symbol': 'where', 'text': 'where({0}, {1}, {2})', 'still': [0], 'selects': [1, 2], 'listed': True}
    """
    try:
        row = rows.add(op, count)
    except FormulaError:
        row = None
    text = written = op.text(*[f"{{{i}}}" for i in range(count)])
    if count > MOST_NAMED:
        text = f"{op.name}({{0}}, {{1}}, …, {{{count - 1}}})"
    still = [slot for slot in range(count) if not op.propagates_gradient_to(slot)]
    facts: dict[str, Any] = {"row": row, "symbol": drawn(op.notation.symbol), "text": text, "still": still}
    if op.selects:
        chosen = enumerate(op.selection((0.0,) * count))
        facts["selects"] = [slot for slot, contribution in chosen if contribution and slot not in still]
    if OPS.get(op.name) is op:
        facts["listed"] = True
    return facts if text == written else facts | {"written": written}
