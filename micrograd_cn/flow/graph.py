"""What a page knows of a graph besides its numbers: the nodes, what is drawn of them, and where DOT puts it."""

from __future__ import annotations

import itertools
import json
from collections import Counter
from typing import Any

from ..engine import Value
from ..formula import FormulaError
from ..picture.boxes import FULL_LABELS, Box, Flow
from ..picture.dot import style
from ..picture.text import clean, columns
from .javascript import Rows

LINE, COLUMN, PADDING = 18.0, 6.8, 10.0  # of a box, in pixels, of which one is a point in DOT
NARROWEST, NARROWEST_SUM = 18, 23  # columns: a line of any number in either language; two terms of four digits
EDGE_LABEL = (
    '<<table border="0" cellborder="0" cellspacing="0" cellpadding="0">'
    '<tr><td fixedsize="true" width="72" height="32"></td></tr></table>>'
)
MOST_OPERANDS = 9  # that an expression in the narration names one by one


def graph_facts(flow: Flow, rows: Rows) -> dict[str, Any]:
    """Return the facts about a graph's nodes, boxes and edges, adding the rows that it needs to `rows`."""
    index = {node: i for i, node in enumerate(flow.nodes)}
    box_index = {id(box): i for i, box in enumerate(flow.boxes)}
    names = _names(flow.nodes)
    nodes = []
    fixed = ""
    for node, name in zip(flow.nodes, names, strict=True):
        facts: dict[str, Any] = {"name": name, "gets": node.requires_grad, "box": box_index[id(flow.box_of[node])]}
        if node.op:
            facts["parents"] = [index[parent] for parent in node.parents]
            facts["symbol"] = node.op.symbol
            facts["text"] = _expression(node)
            try:
                facts["row"] = rows.add(node.op, len(node.parents))
            except FormulaError:
                facts["row"] = None
                fixed = node.op.name
        nodes.append(facts)
    edges = [
        {
            "source": box_index[id(edge.source)],
            "target": box_index[id(edge.target)],
            "slots": [[index[node], slot] for node, slot in edge.slots],
            "constant": edge.constant,
        }
        for edge in flow.edges
    ]
    users = Counter(parent for node in flow.nodes for parent in node.parents)
    boxes = [_box(box, flow, index, names, users) for box in flow.boxes]
    return {"nodes": nodes, "root": index[flow.root], "boxes": boxes, "edges": edges, "fixed": fixed}


def _box(box: Box, flow: Flow, index: dict[Value, int], names: list[str], users: Counter[Value]) -> dict[str, Any]:
    look = style(box, flow.root, set())
    roles = [look.get("style", "solid"), "thick" * ("penwidth" in look), "double" * (look.get("peripheries") == "2")]
    node = box.nodes[0]
    name = str(box.group) if box.group else names[index[node]]
    title = clean(name) + (f"  {node.op.symbol}" if node.op and not box.group else "")
    met = not box.group and node.requires_grad and users[node] > 1  # contributions, whose sum is shown
    summed = met or (not box.group and node.op is None and node.requires_grad)  # as a leaf's passes are
    lines = 5 if met else 4 if box.group or node.requires_grad else 2
    return {
        "name": name,
        "title": title,
        "folded": bool(box.group),
        "nodes": [index[node] for node in box.nodes],
        "roles": " ".join(filter(None, roles)),
        "width": max(columns(title) + 3, NARROWEST_SUM if summed else NARROWEST) * COLUMN + 2 * PADDING,
        "height": lines * LINE + PADDING,
    }


def _names(nodes: list[Value]) -> list[str]:
    """Return a name for each node, of which no two are the same."""
    shared = Counter(node.label for node in nodes)
    taken: set[str] = set()
    counts: Counter[str] = Counter()
    free = filter(lambda name: name not in shared, map("v{}".format, itertools.count(len(nodes))))
    names = []
    for i, node in enumerate(nodes):
        first = node.label or (f"v{i}" if f"v{i}" not in shared else next(free))
        if shared[first] > 1 and node.group:
            first = f"{node.group}.{first}"
        name = first
        while name in taken or (name != node.label and name in shared):
            counts[first] += 1
            name = f"{first}#{counts[first] + 1}"
        taken.add(name)
        names.append(name)
    return names


def _expression(node: Value) -> str:
    """Return the operation as Python writes it, with {0}, {1} ... for the operands."""
    assert node.op
    count = len(node.parents)
    if count > MOST_OPERANDS:
        return f"{node.op.name}({{0}}, {{1}}, …, {{{count - 1}}})"
    return node.op.text(*[f"{{{i}}}" for i in range(count)])


def layout(graph: dict[str, Any], lang: str) -> dict[str, Any]:
    """Return where DOT puts the boxes (their centres), the edges (Bézier curves) and the edges' texts."""
    from ..picture.digraph import Picture

    picture = Picture(graph_attr={"rankdir": "LR", "ranksep": "0.35", "nodesep": "0.25", "pad": "0"})
    picture.attr("node", shape="box", fixedsize="true", label="")
    picture.attr("edge", dir="none")
    for i, box in enumerate(graph["boxes"]):
        picture.node(f"v{i}", width=f"{box['width'] / 72:.4f}", height=f"{box['height'] / 72:.4f}")
    label = EDGE_LABEL if len(graph["boxes"]) <= FULL_LABELS else ""
    for i, edge in enumerate(graph["edges"]):
        picture.edge(f"v{edge['source']}", f"v{edge['target']}", id=str(i), label="" if edge["constant"] else label)
    picture.lang = lang
    laid_out = json.loads(picture.pipe("json"))
    *_, width, height = map(float, laid_out["bb"].split(","))

    def point(text: str) -> list[float]:
        x, y = map(float, text.split(","))
        return [round(x, 1), round(height - y, 1)]

    places = {placed["name"]: point(placed["pos"]) for placed in laid_out["objects"]}
    curves: dict[str, Any] = {str(i): {} for i in range(len(graph["edges"]))}
    for placed in laid_out.get("edges", []):
        curves[placed["id"]] = {
            "curve": [point(p) for p in placed["pos"].split()],
            "place": point(placed["lp"]) if "lp" in placed else None,
        }
    return {
        "size": [width, height],
        "boxes": [box | {"centre": places[f"v{i}"]} for i, box in enumerate(graph["boxes"])],
        "edges": [edge | curves[str(i)] for i, edge in enumerate(graph["edges"])],
    }
