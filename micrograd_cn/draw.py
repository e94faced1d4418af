"""Draw a graph and how the gradient flows through it: a box a value, an edge an operand slot."""

from __future__ import annotations

import html
import math
import os
import unicodedata
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import graphviz

from . import ops
from .engine import Group, Value, topological_order
from .module import Module
from .render import find_renderer, render
from .words import WORDS, language

__all__ = ["Picture", "draw_dot"]

POSITIVE, NEGATIVE, ZERO = "#0072B2", "#C44E00", "#8A8A8A"  # blue and orange as colour-blind people tell them apart
FULL_LABELS = 60  # boxes up to which an edge shows its derivative and contribution
SOME_LABELS = 150  # boxes up to which it shows its contribution
READABLE_EDGES = 90  # edges up to which a picture need not be folded further
MOST_BOXES = 400  # boxes beyond which there is no picture
LONGEST_LABEL = 40  # columns
FONT_SIZE = 12.0  # points


class Picture(graphviz.Digraph):  # type: ignore[misc]  # graphviz has no type hints
    """A `graphviz.Digraph` that draws itself with whichever renderer is installed.

    Raises:
        RenderError: on drawing, if no renderer can draw it as it should look. `.source` and `.save()` need none.

    >>> picture = draw_dot(Value(1, "x") * 2)
    >>> type(picture), picture.source.count("->")
    (<class 'micrograd_cn.draw.Picture'>, 2)
    """

    lang = "en"  # of its errors

    @property
    def drawn_by(self) -> str | None:
        """Return the name of the program that draws it, None if none is installed."""
        program = find_renderer()
        return Path(program).stem if program else None

    def pipe(self, format: str | None = None, *_: Any, encoding: str | None = None, **__: Any) -> Any:  # noqa: A002
        """Return the picture as bytes, or as text in `encoding`."""
        picture = render(self.source, format or self.format, self.lang)
        return picture.decode(encoding) if encoding else picture

    def render(
        self,
        filename: str | os.PathLike[str] | None = None,
        directory: str | os.PathLike[str] | None = None,
        view: bool = False,
        cleanup: bool = False,
        format: str | None = None,  # noqa: A002 -- graphviz's name
        *_: Any,
        outfile: str | os.PathLike[str] | None = None,
        **__: Any,
    ) -> str:
        """Write the DOT text and the picture, and return the picture's path.

        The picture goes to `outfile`, whose ending is the format unless one is given, else to `filename` with the
        format's ending added; `cleanup` removes the DOT text again.
        """
        if outfile is None:
            source = Path(self.save(filename, directory=directory))
            format = format or self.format  # noqa: A001
            target = source.with_name(f"{source.name}.{format}")
        else:
            target = Path(directory or "", outfile)
            format = format or target.suffix[1:] or self.format  # noqa: A001
            source = Path(self.save(filename or target.with_suffix(".gv"), directory=directory if filename else None))
        try:
            target.write_bytes(render(self.source, format, self.lang))
        finally:
            if cleanup:
                source.unlink()
        if view:
            graphviz.view(str(target))
        return str(target)


@dataclass
class Box:
    """What one box of the picture stands for: a node, or those of a neuron or layer."""

    name: str
    nodes: list[Value] = field(default_factory=list)
    group: Group | None = None


@dataclass
class Edge:
    """What one edge stands for: an operand slot, or all those between two boxes of which one is folded."""

    source: Box
    target: Box
    partial: float
    slots: list[tuple[Value, int]]
    contributions: list[float]
    constant: bool

    @property
    def size(self) -> float:
        """Return the contribution's magnitude; of several, their Euclidean norm."""
        return math.hypot(*self.contributions) if len(self.contributions) > 1 else math.fabs(self.contributions[0])


class Flow:
    """The boxes and edges of the graph below a root, folded as asked: what a picture or page shows of it."""

    def __init__(self, root: Value, fold: str | None):
        self.root = root
        self.ran = root.grad != 0.0  # backward() gives its root the gradient 1, and nodes of 0 pass nothing on
        interior = topological_order(root)
        self.nodes = list(dict.fromkeys(n for node in reversed(interior) for n in (*node.parents, node))) or [root]
        groups = _groups(interior)
        boxes: dict[Value | Group, Box] = {}
        self.box_of: dict[Value, Box] = {}
        for node in self.nodes:
            group = _folded(groups.get(node, node.group), fold)
            box = boxes.setdefault(group or node, Box(f"v{len(boxes)}", group=group))
            box.nodes.append(node)
            self.box_of[node] = box
        self.boxes = list(boxes.values())
        self.received: dict[Value, list[float]] = defaultdict(list)
        merged: dict[tuple[int, int], Edge] = {}
        self.edges: list[Edge] = []
        for node in reversed(interior):
            target = self.box_of[node]
            for slot, (parent, partial) in enumerate(zip(node.parents, node.partials, strict=True)):
                contribution = node.grad * partial if parent.requires_grad else 0.0
                if parent.requires_grad:
                    self.received[parent].append(contribution)
                source = self.box_of[parent]
                if source is target:
                    continue
                edge = Edge(source, target, partial, [(node, slot)], [contribution], not parent.requires_grad)
                if source.group or target.group:
                    known = merged.setdefault((id(source), id(target)), edge)
                    if known is not edge:
                        known.slots.append((node, slot))
                        known.contributions.append(contribution)
                        continue
                self.edges.append(edge)
        self.largest = max((e.size for e in self.edges if math.isfinite(e.size)), default=0.0) if self.ran else 0.0


def _groups(interior: list[Value]) -> dict[Value, Group]:
    """Return the groups of the nodes and constants that an activation function of several operations made.

    Such a node is used in one group alone, and has that group alone below it; such a constant is no input of a `dot`.
    """
    below: dict[Value, set[Group]] = {}
    users: dict[Value, list[Value]] = defaultdict(list)
    for node in reversed(interior):  # operands first
        around = set().union(*(below[parent] for parent in node.parents if parent.op))
        below[node] = {node.group} if node.group else around if len(around) == 1 else set()
        for parent in node.parents:
            users[parent].append(node)
    found: dict[Value, Group] = {}
    for node in [*interior, *(leaf for leaf in users if leaf.op is None)]:  # users first
        using = {user.group or found.get(user) for user in users[node]}
        [group] = using if len(using) == 1 else [None]
        if node.group is None and group:
            constant = not node.requires_grad and all(user.op is not ops.dot for user in users[node])
            if constant or below.get(node) == {group}:
                found[node] = group
    return found


def _folded(group: Group | None, fold: str | None) -> Group | None:
    """Return the group whose box a node of the neuron `group` goes into; None for a box of its own."""
    return None if fold is None else group if fold == "neuron" or group is None else group.outer or group


def readable_flow(root: Value, fold: str | None = "auto") -> Flow:
    """Return the boxes and edges, folded until they can be read if `fold` is "auto"."""
    flow = Flow(root, None if fold == "auto" else fold)
    if fold == "auto":
        for finer in ("neuron", "layer"):
            if len(flow.boxes) <= FULL_LABELS and len(flow.edges) <= READABLE_EDGES:
                break
            folded = Flow(root, finer)
            if len(folded.boxes) < len(flow.boxes):
                flow = folded
    return flow


def draw_dot(
    root: Value,
    format: str = "svg",  # noqa: A002 -- micrograd's name
    rankdir: str = "LR",
    *,
    lang: str | None = None,
    fold: str | None = "auto",
    max_nodes: int = MOST_BOXES,
    parameters: Module | Iterable[Value] = (),
    fontname: str = "sans-serif",
    legend: bool = True,
) -> Picture:
    """Return the graph below `root` as a picture that shows how the gradient flows.

    A box has the value's name or operation, its data and its gradient; where two or three contributions met, their sum.
    "grad -" says that `backward()` has not run. An edge, one an operand slot, is labelled with the local derivative and
    the contribution (that times the result's gradient) which it carries to the operand. Width grows with the
    contribution's size, colour is its sign, and a dashed grey edge carries 0.

    Args:
        root: the value to draw, usually the one `backward()` was called on.
        format: "svg", "png", or, with the system's Graphviz, "pdf" and others.
        rankdir: "LR" from left to right, "TB" from top to bottom.
        lang: the language of the words, "en" or "zh"; the locale's for None.
        fold: how a network's nodes are folded into boxes: by "neuron", by "layer", not at all (None), or as little as
            keeps the picture readable ("auto").
        max_nodes: how many boxes there may be.
        parameters: values, or a module whose parameters, to be marked as such; those of `nn` are anyway.
        fontname: the font of all texts.
        legend: whether to explain direction, colour and width.

    Raises:
        TypeError: `root` is not a `Value`.
        ValueError: an option has no such value, or there are more boxes than `max_nodes`.

    >>> a = Value(2, "a")
    >>> draw_dot(a + a).source.count("->")
    2
    """
    words = WORDS[language(lang)]
    if not isinstance(root, Value):
        raise TypeError(words["not_a_value"].format(kind=type(root).__name__))
    if rankdir not in ("LR", "TB"):
        raise ValueError(words["rankdir"].format(given=rankdir))
    if fold not in ("auto", "neuron", "layer", None):
        raise ValueError(words["fold"].format(given=fold))
    flow = readable_flow(root, fold)
    if len(flow.boxes) > max_nodes:
        can_fold = fold in (None, "neuron") and any(node.group for node in flow.nodes)
        hint = words["hint_fold" if can_fold else "hint_part"]
        raise ValueError(words["too_large"].format(boxes=len(flow.boxes), limit=max_nodes, hint=hint))
    marked = set(parameters.parameters() if isinstance(parameters, Module) else parameters)

    picture = Picture(format=format, graph_attr={"rankdir": rankdir, "ranksep": "0.6", "nodesep": "0.3"})
    picture.lang = language(lang)
    picture.attr("graph", fontname=fontname, fontsize="9", fontcolor="#444444")
    picture.attr("node", shape="box", fontname=fontname, fontsize=f"{FONT_SIZE:g}", margin="0.12,0.07")
    picture.attr("edge", fontname=fontname, fontsize="10", arrowsize="0.7")
    for box in flow.boxes:
        lines = _folded_lines(box, flow, words) if box.group else _lines(box.nodes[0], flow, words)
        picture.node(box.name, _escaped(lines), width=_width(lines), **style(box, root, marked))
    for edge in flow.edges:
        picture.edge(edge.source.name, edge.target.name, **_edge_look(edge, flow))
    if legend and flow.edges:
        lines = [words[key] for key in ("legend_flow", "legend_box", "legend_edge")]
        if flow.ran:
            lines += [words["legend_width"].format(largest=_number(flow.largest)), words["legend_colour"]]
        if any(box.group for box in flow.boxes):
            lines.append(words["legend_fold"])
        picture.attr(label=_escaped([_padded(line) for line in lines], left=True), labelloc="b", labeljust="l")
    return picture


def _lines(node: Value, flow: Flow, words: dict[str, str]) -> list[str]:
    title = "  ".join(filter(None, [clean(node.label), node.op.symbol if node.op else ""]))
    lines = [title] if title else []
    lines.append(f"{words['data']} {_number(node.data)}")
    if node.requires_grad:
        received = flow.received.get(node, [])
        known = flow.ran and not (node.op is None and node.grad == 0.0 and math.fsum(received))  # not set to 0 since
        total = f"{words['grad']} {_number(node.grad) if known else '-'}"
        met = 2 <= len(received) <= 3 and math.isclose(math.fsum(received), node.grad, rel_tol=1e-9, abs_tol=1e-12)
        if known and met:
            total += " = " + " + ".join(f"({_number(c)})" if c < 0 else _number(c) for c in received)
        lines.append(total)
    return lines


def _folded_lines(box: Box, flow: Flow, words: dict[str, str]) -> list[str]:
    lines = [str(box.group), f"{len(box.nodes)} {words['nodes']}"]
    gradients = [node.grad for node in box.nodes if node.op is None]
    norm = _number(math.hypot(*gradients)) if flow.ran else "-"
    return [*lines, f"|{words['grad']}| {norm}"]


def style(box: Box, root: Value, marked: set[Value]) -> dict[str, str]:
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
    return look


def _edge_look(edge: Edge, flow: Flow) -> dict[str, str]:
    if edge.constant:
        return {"style": "dashed", "color": ZERO}
    several = len(edge.contributions) > 1
    if not flow.ran:
        return {} if several or len(flow.boxes) > FULL_LABELS else {"label": f"×{_number(edge.partial)}"}
    look = {}
    contribution = edge.size if several else edge.contributions[0]
    if several:
        look["label"] = f"{len(edge.contributions)}×" if len(flow.boxes) <= SOME_LABELS else ""
    elif len(flow.boxes) <= FULL_LABELS:
        look["label"] = f"×{_number(edge.partial)} → {_signed(contribution)}"
    elif len(flow.boxes) <= SOME_LABELS:
        look["label"] = _signed(contribution)
    if contribution == 0.0:
        return look | {"style": "dashed", "color": ZERO, "fontcolor": "#5E5E5E"}
    colour = "#555555" if several or contribution != contribution else POSITIVE if contribution > 0 else NEGATIVE
    share = min(edge.size / flow.largest, 1.0) if flow.largest and edge.size == edge.size else 1.0
    return look | {"color": colour, "fontcolor": colour, "penwidth": f"{1.0 + 4.0 * share:.2f}"}


def _number(x: float) -> str:
    return f"{x + 0.0:.4g}"  # + 0.0 makes -0 a plain 0


def _signed(x: float) -> str:
    return f"{x:+.4g}" if x else "0"


def clean(label: str) -> str:
    """Return the label in one line, cut where it is very long, without what XML may not hold (section 2.2)."""
    shown = "".join(" " if c in "\t\n\r" else "�" if _forbidden(c) else c for c in str(label)[: 2 * LONGEST_LABEL])
    while columns(shown) > LONGEST_LABEL:
        shown = shown[:-2] + "…"
    return shown


def _forbidden(c: str) -> bool:
    return unicodedata.category(c) in ("Cc", "Cs") or c in "\ufffe\uffff"


def columns(text: str) -> int:
    """Return the text's width in columns of a monospaced font, where a Chinese character takes two."""
    return sum(2 if unicodedata.east_asian_width(c) in "WF" else 1 for c in text)


def _padded(line: str) -> str:
    """Return a line of the legend with spaces for what renderers count too narrow: Chinese, and unknown fonts."""
    return line + "\u00a0" * (columns(line) - len(line) + len(line) // 5)


def _width(lines: list[str]) -> str:
    """Return the width in inches that the lines need: renderers without Chinese fonts count them far too narrow."""
    if all(line.isascii() for line in lines):
        return "0.3"
    return f"{max(map(columns, lines)) * 0.53 * FONT_SIZE / 72.0 + 0.3:.2f}"


def _escaped(lines: list[str], left: bool = False) -> str:
    """Return the lines as a DOT label: backslashes and entities as themselves."""
    end = r"\l" if left else r"\n"
    text = end.join(graphviz.escape(html.escape(line, quote=False)) for line in lines)
    return str(graphviz.nohtml(text + end if left else text))
