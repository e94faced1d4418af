"""Write a graph in the DOT language: the texts and the look of its boxes and edges, and the legend."""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from functools import partial
from types import NoneType
from typing import TYPE_CHECKING, Any, Never

from ..engine import Value, topological_order
from ..handwritten import Comparison, GraphNode, Handwritten, Opaque, is_handwritten
from ..module import Module
from ..ops import ieee
from ..ops.number import flag, number_instead, number_or_none
from ..ops.options import refuse_options
from ..text.words import WORDS, instead_of, language
from .boxes import FOLDS, FULL_LABELS, MOST_BOXES, Box, Edge, Flow, readable_flow
from .cells import NOTE, SENT, WORD, Row, Text, box_label, edge_label, legend_label, no_label, pair, steady, title
from .colours import DOUBT, INK, NEGATIVE, PAPER, PARAMETER, PARAMETER_RIM, PART, POSITIVE, QUIET, RIM, ZERO
from .steps import BackwardPass, Moment
from .svg import MARGIN
from .text import clean, drawn, number, signed

if TYPE_CHECKING:
    from .digraph import Picture

SOME_LABELS = 150  # Up to this many boxes, an edge shows its contribution.
# "sans-serif" alone may be a font with the characters of Taiwan, so a font with those of the mainland comes before it.
FONTS = {"en": "sans-serif", "zh": "Noto Sans CJK SC,sans-serif"}

# What to write instead of an option of other libraries
INSTEAD = {
    "params": "write parameters=...",
    **dict.fromkeys(("direction", "orientation"), 'write rankdir="LR" or "TB"'),
    **dict.fromkeys(("filename", "path", "save", "view"), "write draw_dot(y).render(filename, view=True)"),
    **dict.fromkeys(("show_attrs", "show_saved"), "leave it out"),
}


def draw_dot(
    root: GraphNode,
    format: str = "svg",  # noqa: A002 -- micrograd's name
    rankdir: str = "LR",
    *,
    lang: str | None = None,
    fold: str | None = "auto",
    max_nodes: int = MOST_BOXES,
    parameters: Module | GraphNode | Iterable[Any] = (),
    fontname: str | None = None,
    legend: bool = True,
    step: int | None = None,
    **unknown: Never,
) -> Picture:
    """Return a picture of the graph below `root` that shows how the gradient flows.

    A box has the name and the operation of a value, its data and its gradient. If the gradient is the sum of two or
    three contributions, the box shows this sum. If the contributions do not add up to the gradient, as after a second
    `backward()`, the box shows what they add up to.

    An edge stands for one operand of an operation, so a + a has two edges. The edge's label has the local derivative,
    and the contribution that the edge carries to the operand: the local derivative times the gradient of the result.
    The larger a contribution, the wider is its edge. The colour shows the sign, and a dashed grey edge carries 0. A
    label says "nothing" where the product would be nan, such as 0 × inf, but nothing flows, because the operation did
    not select the operand, as `relu` does not select a negative operand. Arrows point the way the gradient flows.
    Before `backward()`, a box says "grad -" and arrows point forward. An SVG has colours for dark pages too, which its
    viewer chooses (`prefers-color-scheme`).

    Nodes of a class of your own are drawn too, if they keep `data`, `grad`, the operands in `_prev` and the name of the
    operation in `_op`. The picture shows the gradients that your class computed, and the local derivatives of this
    package's operation with the same name. If a gradient is not the sum of its contributions, the box says so.

    Args:
        root: the value to draw: a `Value`, or a node of a class of your own. Usually `backward()` was called on it.
        format: "svg" or "png". The system's Graphviz can also draw "pdf" and others.
        rankdir: the direction of the forward pass: "LR" from left to right, "TB" from top to bottom.
        lang: the language of the words, "en" or "zh". For None, it is the locale's language.
        fold: which parts are drawn as one box each. "neuron" folds each neuron and each innermost `scope` into a box.
            "layer" folds each layer instead of its neurons. "scope" folds the outermost parts. None folds nothing, and
            "auto" folds as little as keeps the picture readable. A folded part with one output, such as a neuron,
            shows the data and the gradient of this output.
        max_nodes: how many boxes a picture may have; if there are more, an error is raised.
        parameters: values to mark as parameters, or a model whose parameters are marked; also a list, a dict or pairs
            with names of these, such as `model.named_parameters()`. A None among them, such as a bias that a layer does
            not have, marks nothing. The parameters of layers of `nn` are always marked.
        fontname: the font of all texts, or several fonts separated by commas. The default suits the language.
        legend: whether to explain in one line what the picture shows.
        step: how many edges a backward pass from `root` has gone along at the moment that the picture shows. The
            picture then ignores the gradients that the graph has, so no `backward()` is needed. At 0, only the root has
            its gradient, which is 1. The steps are those that `python -m micrograd_cn` prints, and nothing moves from
            one picture to the next. None shows the gradients that the graph has.

    Raises:
        TypeError: `root` is neither a `Value` nor a node of a class of your own with these attributes, `parameters` has
            something that is neither a node nor a module, `format` or `fontname` is not a str, `legend` is not a bool,
            or `step` is not an integer.
        ValueError: an option has an unknown value, there are more boxes than `max_nodes`, the graph of your class has a
            cycle (a node depends on itself), or `step` is not a step of the backward pass. If `step` is given, it is
            also an error if there is no backward pass because `root` is a constant, or if a local derivative is not
            known.

    >>> a = Value(2, "a")
    >>> draw_dot(a + a).source.count("->")
    2
    >>> "= 1 + 1" in draw_dot(a + a, step=2).source.replace("&#160;", " ")
    True
    """
    refuse_options("draw_dot()", unknown, INSTEAD, ("format", "rankdir", "fold", "max_nodes", "legend", "step"))
    lang = language(lang)
    words = WORDS[lang]
    handwritten = Handwritten(root) if is_handwritten(root) else None
    if handwritten:
        root = handwritten.root
    if not isinstance(root, Value):
        found = words["not_a_value"].format(kind=type(root).__name__)
        raise TypeError(found + instead_of(root, "draw_dot", lang))
    if not isinstance(format, str):
        raise TypeError(words["format_type"].format(kind=type(format).__name__))
    if rankdir not in ("LR", "TB"):
        raise ValueError(words["rankdir"].format(given=rankdir))
    if fold not in ("auto", *FOLDS, None):
        raise ValueError(words["fold"].format(given=fold))
    if not isinstance(fontname, (str, NoneType)):
        raise TypeError(words["fontname"].format(given=fontname))
    legend = flag("draw_dot(): legend", legend)
    if number_or_none(max_nodes) is None:  # math.inf, for any number of boxes, is a number too
        raise TypeError(f"draw_dot(): max_nodes must be a number, got {max_nodes!r}{number_instead(max_nodes)}")
    named = list(_parameters_in(parameters, words, handwritten))
    steps = None if step is None else backward_pass(root, "draw_dot", lang)
    if steps and (isinstance(step, bool) or not isinstance(step, int)):
        raise TypeError(words["step_type"].format(given=step))
    if steps and step is not None and not 0 <= step <= len(steps.steps):
        raise ValueError(words["step"].format(given=step, last=len(steps.steps)))
    flow = readable_flow(root, fold, steps)
    if len(flow.boxes) > max_nodes:
        can_fold = fold in (None, "neuron", "layer") and any(node.group for node in flow.nodes)
        hint = words["hint_fold" if can_fold else "hint_part"]
        raise ValueError(words["too_large"].format(boxes=len(flow.boxes), limit=max_nodes, hint=hint))
    marked: set[Any] = {handwritten.of(p) for p in named} if handwritten else set(named)
    wrong: set[Value] = set()  # nodes whose gradient is not the sum of their contributions
    if handwritten and not steps:
        comparison = Comparison(root, handwritten.unit)
        if root.grad == 1.0:
            wrong = {node for node in flow.nodes if not comparison.is_right(node)}
    if steps:
        flow = flow.at(Moment(step))
    picture = picture_of(flow, lang, rankdir, marked, wrong, fontname, legend)
    picture.format = format
    return picture


def _parameters_in(parameters: Any, words: dict[str, str], theirs: Handwritten | None) -> Iterator[Any]:
    """Yield the nodes that `draw_dot` marks: `parameters` itself, or those inside it.

    `parameters` may be a node, or a module, a dict, a list or a pair (name, node), also nested. `theirs` is the graph
    if its nodes are of a class of the user's own, and otherwise None. A leaf of this graph counts as a node even if it
    lacks some attributes of a node. `words` has the texts of error messages.

    Raises:
        TypeError: `parameters` is or has something else, such as a plain number or a name.
    """
    if isinstance(parameters, Value) or is_handwritten(parameters) or (theirs and theirs.of(parameters)):
        yield parameters
    elif hasattr(parameters, "parameters") and not isinstance(parameters, type):
        found = parameters.parameters  # a method of a module, but a list in an optimiser or a compiled function
        yield from _parameters_in(found() if callable(found) else found, words, theirs)
    elif isinstance(parameters, Mapping):
        yield from _parameters_in(list(parameters.values()), words, theirs)
    elif isinstance(parameters, tuple) and len(parameters) == 2 and isinstance(parameters[0], str):
        yield from _parameters_in(parameters[1], words, theirs)  # a pair of `named_parameters()`
    elif isinstance(parameters, Iterable) and not _is_single(parameters):
        for x in parameters:
            if x is not None:  # such as the bias of a layer without one
                yield from _parameters_in(x, words, theirs)
    else:
        raise TypeError(words["parameters"].format(kind=type(parameters).__name__, given=parameters))


def _is_single(x: object) -> bool:
    """Return whether `x` is a text or an array without axes, which must not be searched item by item."""
    return isinstance(x, (str, bytes)) or getattr(x, "shape", None) == ()


def backward_pass(root: Value, call: str, lang: str) -> BackwardPass:
    """Return the backward pass from `root`, for pictures of its steps.

    Raises:
        ValueError: `root` is a constant, or a local derivative is not known. The message is in the language `lang`, and
            names `call`, the function that the user called.
    """
    words = WORDS[lang]
    if not root.requires_grad:
        raise ValueError(words["step_constant"].format(call=call, root=root))
    for node in topological_order(root):
        if isinstance(node.op, Opaque) and not node.op.has_partials:
            raise ValueError(words["step_unknown"].format(call=call, op=drawn(node.op.notation.symbol)))
    return BackwardPass(root)


def picture_of(
    flow: Flow,
    lang: str,
    rankdir: str = "LR",
    marked: Collection[object] = (),
    wrong: Collection[Value] = (),
    fontname: str | None = None,
    legend: bool = True,
    caption: Iterable[Text] = (),
) -> Picture:
    """Return the picture of the boxes and edges of `flow`.

    The options `lang`, `rankdir`, `fontname` and `legend` are those of `draw_dot`. `marked` has the parameters, `wrong`
    the nodes whose gradient is not the sum of their contributions, and `caption` the lines above the legend.
    """
    from .digraph import Picture

    words = WORDS[lang]
    picture = Picture(graph_attr={"rankdir": rankdir, "ranksep": "0.5", "nodesep": "0.3", "pad": "0.15"})
    picture.lang = lang
    fontname = fontname or FONTS[lang]
    picture.attr("graph", fontname=fontname, bgcolor=PAPER)
    picture.attr("node", shape="box", style="rounded,filled", fillcolor=PAPER, color=RIM, fontname=fontname)
    picture.attr("node", margin=f"{MARGIN / 72:g}", width="0", height="0")
    picture.attr("edge", fontname=fontname, arrowsize="0.7", color=ZERO)
    picture.attr("edge", dir="back" if flow.ran else "forward")
    for box in flow.boxes:
        rows = _box_rows(flow, box, words, wrong)
        if flow.steps:
            shown = [node for node in box.nodes if node.op is None or node is box.output] if box.group else box.nodes
            arrivals = sorted({i for node in shown for i in flow.steps.arrivals.get(node, ())})
            rows = _steady(partial(_box_rows, box=box, words=words, wrong=wrong), flow, arrivals)
        picture.node(box.name, box_label(rows), **style(box, flow.root, marked, wrong))
    for edge in flow.edges:
        picture.edge(edge.source.name, edge.target.name, **_edge_look(edge, flow, words))
    if legend and flow.edges:
        texts = _legend(flow, words, rankdir, marked, wrong)
        picture.attr(label=legend_label(texts, caption), labelloc="b", labeljust="l")
    return picture


def _steady(rows: Callable[[Flow], Sequence[Row]], flow: Flow, changes: Iterable[int]) -> list[Row]:
    """Return the rows of a box or edge as `flow` shows them, with room for its rows in the whole animation.

    `rows` is a function that returns the rows for a `Flow`, which is the picture of one moment. `changes` has the
    indices of the steps of the backward pass that change the rows, in order.
    """
    counts = [0, *(i + 1 for i in changes)]
    ever = [rows(flow.at(moment)) for moment in (Moment(None), *map(Moment, counts))]
    moment = flow.moment or Moment(None)
    if moment.unknown:
        return steady(rows(flow), ever)
    return steady(ever[0 if moment.edges is None else bisect_right(counts, moment.edges)], ever)


def _box_rows(flow: Flow, box: Box, words: dict[str, str], wrong: Collection[Value]) -> list[Row]:
    if box.group:
        return _folded_rows(box, flow, words, wrong)
    [node] = box.nodes
    name = " = ".join(filter(None, [clean(node.label), drawn(node.op.notation.symbol) if node.op else ""]))
    return [*([title(name)] if name.strip() else []), *_number_rows(node, flow, words, wrong)]


def _number_rows(node: Value, flow: Flow, words: dict[str, str], wrong: Collection[Value]) -> list[Row]:
    """Return the rows with the data and the gradient of `node`.

    A further row has the sum of the contributions to the gradient, if there are two or three contributions, or if the
    sum is not the gradient. `flow` has the contributions, `words` the texts of one language, and `wrong` the nodes
    whose gradient is not the sum.
    """
    computed = not flow.moment or node not in flow.moment.unknown
    rows: list[Row] = [pair(words["data"], number(node.data) if computed else "-")]
    if isinstance(node.op, Opaque) and (why := node.op.why(words)):
        rows.append(Text(why, NOTE, QUIET))
    if node.requires_grad:
        received = flow.received.get(node, [])
        if flow.steps and flow.moment and (flow.moment.edges or 0) <= flow.steps.arrivals.get(node, [-1])[-1]:
            received = []  # the sum is shown when the last contribution has arrived
        total = ieee.sum(*received)
        found = flow.gradient(node)
        grad = found or 0.0
        reset = not flow.steps and node.op is None and grad == 0.0 and total and node not in wrong
        known = found is not None and not reset
        rows.append(pair(words["grad"], number(grad) if known else "-", _sign(grad) if known else INK, bold=known))
        cancel = math.isnan(grad) and {-math.inf, math.inf} <= set(received)
        met = cancel or math.isclose(total, grad, rel_tol=1e-9, abs_tol=1e-12)
        if node in wrong:
            rows.append(Text(f"≠ {_sum(received) if len(received) <= 3 else number(total)}", NOTE, NEGATIVE))
        elif known and met and 2 <= len(received) <= 3:
            rows.append(Text(f"= {_sum(received)}", NOTE, QUIET))
        elif known and received and _differ(grad, total, received):
            rows.append(Text(words["adds_up"].format(total=number(total)), NOTE, QUIET))
    return rows


def _sum(terms: list[float]) -> str:
    """Return the text of the sum of `terms`, such as "1 + (-2)"."""
    return " + ".join(f"({number(c)})" if c < 0 else number(abs(c)) for c in terms)


def _differ(grad: float, total: float, terms: list[float]) -> bool:
    """Return whether `grad`, the gradient of a node, is not `total`, the sum of its contributions, apart from rounding.

    The two differ after a second backward pass, after clipping, or if a node outside the picture contributes too.
    `terms` has the contributions.
    """
    return math.isfinite(grad - total) and abs(grad - total) > 1e-9 * max(abs(grad), *map(abs, terms))


def _folded_rows(box: Box, flow: Flow, words: dict[str, str], wrong: Collection[Value]) -> list[Row]:
    """Return the rows of the folded `box`. If it has one output, they show the data and the gradient of this node.

    `flow` has the contributions, `words` the texts of one language, and `wrong` the nodes whose gradient is not their
    sum.
    """
    rows: list[Row] = [title(str(box.group))]
    if box.output is not None:
        rows += _number_rows(box.output, flow, words, wrong)
    rows.append(pair(words["node_count"], str(len(box.nodes))))
    parameters = [node for node in box.nodes if node.op is None and node.requires_grad]
    if parameters or box.output is None:
        gradients = [gradient for gradient in map(flow.gradient, parameters) if gradient is not None]
        norm = number(math.hypot(*gradients)) if gradients or (flow.ran and not flow.steps) else "-"
        rows.append(pair(words["grad_norm"], norm))
    return rows


def _sign(x: float) -> str:
    """Return the colour for a gradient or contribution `x`, which depends on the sign of `x`."""
    return POSITIVE if x > 0 else NEGATIVE if x < 0 else INK


def style(box: Box, root: Value, marked: Collection[object], wrong: Collection[Value] = ()) -> dict[str, str]:
    """Return the DOT attributes of `box`, such as its colours, which show whether its node is a parameter, for example.

    The box of `root` has a bold frame. `marked` has the parameters, and `wrong` the nodes whose gradient is not the sum
    of the contributions to it.
    """
    if box.group:  # "ordering" keeps the inputs of a network in order
        width = "3" if root in box.nodes else "1"
        return {"style": "filled", "fillcolor": PART, "penwidth": width, "ordering": "in"}
    [node] = box.nodes
    look: dict[str, str] = {}
    if node is root and node.op is not None:
        look |= {"penwidth": "3", "color": INK}
    if not node.requires_grad:
        look["style"] = "rounded,filled,dashed"
    elif _is_parameter(node, marked):
        look |= {"penwidth": "2", "color": PARAMETER_RIM, "fillcolor": PARAMETER}
    if node in wrong:
        look["fillcolor"] = DOUBT
    return look


def _is_parameter(node: Value, marked: Collection[object]) -> bool:
    return node.op is None and node.requires_grad and (node.group is not None or node in marked)


def _is_unknown(edge: Edge) -> bool:
    """Return whether the local derivative of `edge` is unknown, because this package does not know its operation."""
    op = edge.slots[0][0].op
    return isinstance(op, Opaque) and not op.has_partials


def _edge_look(edge: Edge, flow: Flow, words: dict[str, str]) -> dict[str, str]:
    few, some = len(flow.boxes) <= FULL_LABELS, len(flow.boxes) <= SOME_LABELS
    if edge.constant:
        beside = {"label": no_label()} if few or (flow.ran and some) else {}
        return {"style": "dashed", "dir": "none"} | beside
    if _is_unknown(edge):
        return {"style": "dotted", "color": QUIET, "label": edge_label([Text("× ?", WORD, QUIET)])}
    passed = flow.passed(edge)
    texts = _edge_rows(flow, edge, words)
    if flow.steps:
        indices = sorted([flow.steps.index[slot] for slot in edge.slots if slot in flow.steps.index])
        rows = _steady(partial(_edge_rows, edge=edge, words=words), flow, indices)
        texts = [row for row in rows if isinstance(row, Text)]
    look = {"label": edge_label(texts)} if texts else {}
    if not passed:
        return look | {"color": QUIET} | ({"dir": "forward"} if flow.ran else {})
    size = math.hypot(*passed)
    if size == 0.0:
        return look | {"style": "dashed"}
    share = min(size / flow.largest, 1.0) if flow.largest and size == size else 1.0
    width, head = f"{1.0 + 4.0 * share:.2f}", f"{0.7 + 0.3 * share:.2f}"
    return look | {"color": _edge_colour(edge, passed), "penwidth": width, "arrowsize": head}


def _edge_colour(edge: Edge, passed: list[float]) -> str:
    """Return the colour of `edge` at a moment at which it has carried the contributions `passed`."""
    several = len(edge.contributions) > 1
    return QUIET if several or passed[0] != passed[0] or passed[0] == 0.0 else _sign(passed[0])


def _edge_rows(flow: Flow, edge: Edge, words: dict[str, str]) -> list[Text]:
    """Return the texts of `edge`: its local derivative, and its contribution once the edge has carried it.

    `flow` has the moment that the picture shows, and `words` the texts of one language.
    """
    few, some = len(flow.boxes) <= FULL_LABELS, len(flow.boxes) <= SOME_LABELS
    several = len(edge.contributions) > 1
    passed = flow.passed(edge)
    node, slot = edge.slots[0]
    rows = []
    if several and some:
        rows.append(Text(words["edges"].format(count=len(edge.contributions)), WORD, QUIET))
        if passed:
            rows.append(Text(words["norm"].format(norm=number(math.hypot(*passed))), SENT, QUIET))
    elif few and not several:
        computed = not flow.moment or node not in flow.moment.unknown
        rows.append(Text(f"× {number(edge.partial + 0.0)}" if computed else " ", WORD, QUIET))
    if passed and some and not several:
        upstream = flow.steps.steps[flow.steps.index[node, slot]].upstream if flow.steps else node.grad
        product = (upstream or 0.0) * edge.partial
        text = words["nothing"] if not edge.flows and math.isnan(product) else signed(passed[0])
        rows.append(Text(text, SENT, _edge_colour(edge, passed), bold=True))
    return rows


def _legend(
    flow: Flow, words: dict[str, str], rankdir: str, marked: Collection[object], wrong: Collection[Value]
) -> list[Text]:
    """Return the texts of the legend of a picture. They explain only the signs that this picture contains.

    Args:
        flow: the boxes and edges of the picture.
        words: the texts of the picture's language.
        rankdir: the direction of the forward pass, "LR" or "TB".
        marked: the values that are marked as parameters.
        wrong: the nodes whose gradient is not the sum of their contributions.
    """
    passed = [edge for edge in flow.edges if not edge.constant and not _is_unknown(edge)]
    alone = [edge.contributions[0] for edge in passed if len(edge.contributions) == 1] if flow.ran else []
    single = [node for box in flow.boxes if not box.group for node in box.nodes]
    largest = max((edge.size for edge in passed if edge.size == edge.size), default=0.0) if flow.ran else 0.0
    told = [
        (flow.ran, words["legend_flow"].format(arrow="←" if rankdir == "LR" else "↑"), INK),
        (not flow.ran, words["legend_local"].format(arrow="→" if rankdir == "LR" else "↓"), INK),
        (any(x > 0 for x in alone), words["legend_positive"], POSITIVE),
        (any(x < 0 for x in alone), words["legend_negative"], NEGATIVE),
        (largest > 0.0, words["legend_width"].format(largest=number(largest)), QUIET),
        (any(_is_parameter(node, marked) for node in single), words["legend_parameter"], QUIET),
        (flow.root.op is not None, words["legend_output"], QUIET),
        (len(passed) < len(flow.edges) or 0.0 in alone, words["legend_dashed"], QUIET),
        (any(box.group for box in flow.boxes), words["legend_fold"], QUIET),
        (bool(wrong), words["legend_wrong"], QUIET),
        (any(map(_is_unknown, flow.edges)), words["legend_unknown"], QUIET),
    ]
    return [Text(text, WORD, colour) for needed, text, colour in told if needed]
