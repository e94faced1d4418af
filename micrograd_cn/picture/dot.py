"""Write a graph in the DOT language: the texts and looks of its boxes and edges, and the legend."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable
from typing import TYPE_CHECKING, Any

from .. import ieee
from ..engine import Value
from ..handwritten import Comparison, GraphNode, Handwritten, Opaque, is_handwritten
from ..module import Module
from ..words import WORDS, language
from .boxes import FOLDS, FULL_LABELS, MOST_BOXES, Box, Edge, Flow, readable_flow
from .text import FONT_SIZE, clean, escaped, inches, number, padded, signed

if TYPE_CHECKING:
    from .digraph import Picture

POSITIVE, NEGATIVE, ZERO = "#0072B2", "#C44E00", "#8A8A8A"  # blue and orange as colour-blind people tell them apart
DOUBT = "#FFF2B3"
SOME_LABELS = 150  # boxes up to which an edge shows its contribution


def draw_dot(
    root: GraphNode,
    format: str = "svg",  # noqa: A002 -- micrograd's name
    rankdir: str = "LR",
    *,
    lang: str | None = None,
    fold: str | None = "auto",
    max_nodes: int = MOST_BOXES,
    parameters: Module | Iterable[Any] = (),
    fontname: str = "sans-serif",
    legend: bool = True,
) -> Picture:
    """Return the graph below `root` as a picture that shows how the gradient flows.

    A box has the value's name or operation, its data and its gradient; where two or three contributions met, their sum.
    "grad -" says that `backward()` has not run. An edge, one an operand slot, is labelled with the local derivative and
    the contribution (that times the result's gradient) which it carries to the operand. Width grows with the
    contribution's size, colour is its sign, and a dashed grey edge carries 0.

    A class of your own is drawn as well, if its nodes keep `data`, `grad`, their operands `_prev` and the operation's
    name `_op`. Gradients are then those that it computed, beside the table's local derivatives; where a gradient is not
    the sum of its contributions, the box says so.

    Args:
        root: the value to draw, usually the one `backward()` was called on, of ours or of a class of your own.
        format: "svg", "png", or, with the system's Graphviz, "pdf" and others.
        rankdir: "LR" from left to right, "TB" from top to bottom.
        lang: the language of the words, "en" or "zh"; the locale's for None.
        fold: what is folded into boxes: each "neuron" and innermost `scope`, each "layer" instead of its neurons, the
            outermost parts ("scope"), nothing (None), or as little as keeps the picture readable ("auto").
        max_nodes: how many boxes there may be.
        parameters: values, or a module whose parameters, to be marked as such; those of `nn` are anyway.
        fontname: the font of all texts.
        legend: whether to explain direction, colour and width.

    Raises:
        TypeError: `root` is neither.
        ValueError: an option has no such value, there are more boxes than `max_nodes`, or a graph of your own is a
            circle.

    >>> a = Value(2, "a")
    >>> draw_dot(a + a).source.count("->")
    2
    """
    from .digraph import Picture

    words = WORDS[language(lang)]
    handwritten = Handwritten(root) if is_handwritten(root) else None
    if handwritten:
        root = handwritten.root
    if not isinstance(root, Value):
        needed = words["needed"] if hasattr(root, "data") else ""
        raise TypeError(words["not_a_value"].format(kind=type(root).__name__) + needed)
    if rankdir not in ("LR", "TB"):
        raise ValueError(words["rankdir"].format(given=rankdir))
    if fold not in ("auto", *FOLDS, None):
        raise ValueError(words["fold"].format(given=fold))
    flow = readable_flow(root, fold)
    if len(flow.boxes) > max_nodes:
        can_fold = fold in (None, "neuron", "layer") and any(node.group for node in flow.nodes)
        hint = words["hint_fold" if can_fold else "hint_part"]
        raise ValueError(words["too_large"].format(boxes=len(flow.boxes), limit=max_nodes, hint=hint))
    named: list[Any] = list(parameters.parameters() if isinstance(parameters, Module) else parameters)
    marked: set[Any] = {handwritten.of(p) for p in named} if handwritten else set(named)
    wrong: set[Value] = set()  # whose gradient is not the sum of its contributions
    if handwritten:
        comparison = Comparison(root, handwritten.unit)
        if root.grad == 1.0:
            wrong = {node for node in flow.nodes if not comparison.is_right(node)}

    picture = Picture(format=format, graph_attr={"rankdir": rankdir, "ranksep": "0.6", "nodesep": "0.3"})
    picture.lang = language(lang)
    picture.attr("graph", fontname=fontname, fontsize="9", fontcolor="#444444")
    picture.attr("node", shape="box", fontname=fontname, fontsize=f"{FONT_SIZE:g}", margin="0.12,0.07")
    picture.attr("edge", fontname=fontname, fontsize="10", arrowsize="0.7")
    for box in flow.boxes:
        lines = _folded_lines(box, flow, words) if box.group else _lines(box.nodes[0], flow, words, wrong)
        picture.node(box.name, escaped(lines, r"\n"), width=inches(lines), **style(box, root, marked, wrong))
    for edge in flow.edges:
        picture.edge(edge.source.name, edge.target.name, **_edge_look(edge, flow))
    if legend and flow.edges:
        lines = [words[key] for key in ("legend_flow", "legend_box", "legend_edge")]
        if flow.ran:
            lines += [words["legend_width"].format(largest=number(flow.largest)), words["legend_colour"]]
        if any(box.group for box in flow.boxes):
            lines.append(words["legend_fold"])
        if wrong:
            lines.append(words["legend_wrong"])
        if any(_is_unknown(edge) for edge in flow.edges):
            lines.append(words["legend_unknown"])
        left = r"\l"
        picture.attr(label=escaped(map(padded, lines), left) + left, labelloc="b", labeljust="l")
    return picture


def _lines(node: Value, flow: Flow, words: dict[str, str], wrong: set[Value]) -> list[str]:
    title = "  ".join(filter(None, [clean(node.label), node.op.looks.symbol if node.op else ""]))
    lines = [title] if title else []
    lines.append(f"{words['data']} {number(node.data)}")
    if isinstance(node.op, Opaque) and (why := node.op.why(words)):
        lines.append(why)
    if node.requires_grad:
        received = flow.received.get(node, [])
        total = ieee.sum(*received)
        grad = node.grad or 0.0  # None, as PyTorch resets it, is 0
        known = flow.ran and not (node.op is None and grad == 0.0 and total and node not in wrong)  # not reset since
        line = f"{words['grad']} {number(grad) if known else '-'}"
        cancel = math.isnan(grad) and {-math.inf, math.inf} <= set(received)
        met = cancel or math.isclose(total, grad, rel_tol=1e-9, abs_tol=1e-12)
        terms = " + ".join(f"({number(c)})" if c < 0 else number(c) for c in received)
        if node in wrong:
            line += f" ≠ {terms if len(received) <= 3 else number(total)}"
        elif known and met and 2 <= len(received) <= 3:
            line += f" = {terms}"
        lines.append(line)
    return lines


def _folded_lines(box: Box, flow: Flow, words: dict[str, str]) -> list[str]:
    lines = [str(box.group), f"{len(box.nodes)} {words['nodes']}"]
    gradients = [node.grad or 0.0 for node in box.nodes if node.op is None]
    norm = number(math.hypot(*gradients)) if flow.ran else "-"
    return [*lines, f"|{words['grad']}| {norm}"]


def style(box: Box, root: Value, marked: Collection[object], wrong: Collection[Value] = ()) -> dict[str, str]:
    """Return the DOT attributes by which a box shows its role."""
    if box.group:
        return {"style": "filled", "fillcolor": "#E8E8E8", "peripheries": "2" if root in box.nodes else "1"}
    [node] = box.nodes
    look = {}
    if node is root and node.op is not None:
        look["peripheries"] = "2"
    if not node.requires_grad:
        look["style"] = "dashed"
    elif node.op is None:
        if node.group or node in marked:
            look["penwidth"] = "2.5"
        else:
            look["style"] = "rounded"
    if node in wrong:
        look |= {"style": f"{look.get('style', '')},filled".strip(","), "fillcolor": DOUBT}
    return look


def _is_unknown(edge: Edge) -> bool:
    """Return whether there is no local derivative to show."""
    op = edge.slots[0][0].op
    return isinstance(op, Opaque) and not op.has_partials


def _edge_look(edge: Edge, flow: Flow) -> dict[str, str]:
    if edge.constant:
        return {"style": "dashed", "color": ZERO}
    if _is_unknown(edge):
        return {"style": "dotted", "color": "#555555", "fontcolor": "#555555", "label": "×?"}
    several = len(edge.contributions) > 1
    if not flow.ran:
        return {} if several or len(flow.boxes) > FULL_LABELS else {"label": f"×{number(edge.partial)}"}
    look = {}
    contribution = edge.size if several else edge.contributions[0]
    if several:
        look["label"] = f"{len(edge.contributions)}×" if len(flow.boxes) <= SOME_LABELS else ""
    elif len(flow.boxes) <= FULL_LABELS:
        look["label"] = f"×{number(edge.partial)} → {signed(contribution)}"
    elif len(flow.boxes) <= SOME_LABELS:
        look["label"] = signed(contribution)
    if contribution == 0.0:
        return look | {"style": "dashed", "color": ZERO, "fontcolor": "#5E5E5E"}
    colour = "#555555" if several or contribution != contribution else POSITIVE if contribution > 0 else NEGATIVE
    share = min(edge.size / flow.largest, 1.0) if flow.largest and edge.size == edge.size else 1.0
    return look | {"color": colour, "fontcolor": colour, "penwidth": f"{1.0 + 4.0 * share:.2f}"}
