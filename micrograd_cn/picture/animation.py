"""Animate a forward and a backward pass: as an SVG without a script, or as a GIF.

`Animation` makes a picture of each moment. All pictures have the same boxes in the same places. If a line of their SVG
text is the same in all pictures, the animated SVG has it only once. If a line changes, the animated SVG has each form
of the line once, and CSS shows each form at its moments. A viewer without animation, or whose user prefers reduced
motion, shows the last moment.
"""

from __future__ import annotations

import html
import io
import re
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ..engine import Value, topological_order
from ..ops import neg
from ..text.words import WORDS
from .boxes import FULL_LABELS, READABLE_EDGES, Flow, readable_flow
from .cells import NUMBER, TITLE, Text, roomy
from .dot import backward_pass, picture_of
from .steps import Moment, Step
from .text import clean, drawn, number

if TYPE_CHECKING:
    from .digraph import Picture

FIRST, LEAVES, FORWARD, BACKWARD, LAST = 2.0, 1.5, 1.2, 2.4, 4.0  # seconds of the scenes, in their order
LONGEST_EXPRESSION = 60  # characters; a longer part of an expression becomes "…"
LONGEST_NAME = 30  # characters; a node without a label whose expression is longer is called by its operation
MOST_LEAVES = 6  # a caption names at most so many leaves with their data or gradients


@dataclass(frozen=True)
class Scene:
    """A picture in the animation.

    Attributes:
        moment: the moment of the forward or backward pass that the picture shows.
        caption: the text below the picture.
        seconds: how long the picture is shown.
    """

    moment: Moment
    caption: str
    seconds: float


class Animation:
    """The forward and the backward pass of the graph below `root`, moment by moment.

    The backward pass is that of one `root.backward()`, whatever gradients the graph has now. In a folded graph, an edge
    between two boxes may stand for several steps of the backward pass. It has one scene, after the last of these steps.

    Args:
        root: the value to differentiate.
        lang: the language of the words, "en" or "zh".
        path: the name of the file to write, which messages contain.

    Attributes:
        expression: what the graph computes, as Python code, such as "y = tanh(w * x + b)".
        scenes: the scenes, one after the other. The first and the last show all gradients.

    Raises:
        ValueError: the graph is too large to be read, `root` is a constant, or a local derivative is not known.

    >>> a = Value(3, "a")
    >>> [scene.caption for scene in Animation(a + a, "en").scenes][-2:]
    ['a.grad: 1 + (local 1 × upstream 1) = 2', 'a.grad = 2']
    """

    def __init__(self, root: Value, lang: str, path: str = "") -> None:
        self.lang = lang
        steps = backward_pass(root, path or "draw_flow()", lang)
        self._flow = readable_flow(root, steps=steps)
        boxes, edges = len(self._flow.boxes), len(self._flow.edges)
        if boxes > FULL_LABELS or edges > READABLE_EDGES:
            raise ValueError(WORDS[lang]["pass_large"].format(path=path, boxes=boxes, edges=edges))
        self._texts = expressions(self._flow.nodes)
        self.expression = equation(root, self._texts)
        self.scenes = list(self._scenes(self._flow))

    def _scenes(self, flow: Flow) -> Iterator[Scene]:
        """Yield the scenes: one for the leaves of `flow`, one for each computed node, and one for each backward step.

        The first and the last scene show the same picture: the end of the backward pass, with all gradients. It comes
        first, too, because a viewer that plays no animations may show the first scene.
        """
        assert flow.steps
        computed = list(reversed(topological_order(flow.root)))
        leaves = [node for node in flow.nodes if node.op is None and node.label]
        given = ", ".join(f"{clean(node.label)} = {number(node.data)}" for node in leaves[:MOST_LEAVES])
        end = Moment(len(flow.steps.steps))
        yield Scene(end, self.gradients, FIRST)
        yield Scene(Moment(None, frozenset(computed)), given, LEAVES)
        for i, node in enumerate(computed, 1):
            if not flow.box_of[node].group:
                yield Scene(Moment(None, frozenset(computed[i:])), self._forward(node), FORWARD)
        yield Scene(Moment(0), f"{self._name(flow.root)}.grad = 1", FORWARD)
        ends = {max(flow.steps.index[slot] for slot in edge.slots) for edge in flow.edges if not edge.constant}
        for i, step in enumerate(flow.steps.steps):
            if i in ends:
                yield Scene(Moment(i + 1), self._backward(step), BACKWARD)
        yield Scene(end, self.gradients, LAST)

    @property
    def gradients(self) -> str:
        """The gradients of up to MOST_LEAVES labelled leaves, such as "w.grad = 1.002, x.grad = -1.503"."""
        assert self._flow.steps
        end = Moment(len(self._flow.steps.steps))
        leaves = [node for node in self._flow.nodes if node.op is None and node.label and node.requires_grad]
        found = [(clean(node.label), self._flow.steps.gradient(node, end)) for node in leaves[:MOST_LEAVES]]
        return ", ".join(f"{name}.grad = {number(grad or 0.0)}" for name, grad in found)

    def _name(self, node: Value) -> str:
        """Return a short text for `node`: its label, such as "y", or its expression, such as "(w * x)".

        If it has no label and the expression is long, the text is the name of its operation.
        """
        if node.label:
            return clean(node.label)
        text = self._texts[node]
        if node.op and (text == "…" or len(text) > LONGEST_NAME):
            return drawn(node.op.notation.symbol)
        return f"({text})" if _precedence(node) else text

    def _forward(self, node: Value) -> str:
        """Return the operation of `node` with the numbers of its operands, and the result, such as "y = 2 * 3 = 6"."""
        assert node.op is not None
        numbers = [number(parent.data) for parent in node.parents]
        if node.op.notation.precedence:
            numbers = [f"({text})" if text.startswith("-") else text for text in numbers]
        name = f"{clean(node.label)} = " if node.label else ""
        return f"{name}{_short(node.op.text(*numbers))} = {number(node.data)}"

    def _backward(self, step: Step) -> str:
        """Return the sentence that describes `step`, a step of the backward pass."""
        assert step.node.op is not None
        return WORDS[self.lang][step.narration].format(
            name=self._name(step.operand),
            node=self._name(step.node),
            op=drawn(step.node.op.notation.symbol),
            before=number(step.before + 0.0),
            local=number(step.partial + 0.0),
            upstream=number((step.upstream or 0.0) + 0.0),
            after=number(step.after + 0.0),
        )

    def pictures(self) -> Iterator[Picture]:
        """Yield the picture of each scene. Nothing moves from one picture to the next."""
        captions = [Text(scene.caption, NUMBER) for scene in self.scenes]
        heading = Text(self.expression, TITLE, bold=True)
        for scene, caption in zip(self.scenes, captions, strict=True):
            lines = [heading, roomy(caption, captions)]
            yield picture_of(self._flow.at(scene.moment), self.lang, caption=lines)

    @property
    def svg(self) -> str:
        """Return the animated SVG. It has a title, a description, and no script.

        Raises:
            RenderError: no renderer is installed, or it failed.
        """
        words = WORDS[self.lang]
        frames = [picture.pipe("svg").decode() for picture in self.pictures()]
        title = words["pass_title"].format(expression=self.expression)
        told = words["pass_moves"].format(gradients=self.gradients)
        return merged(frames, [scene.seconds for scene in self.scenes], title, told)

    @property
    def gif(self) -> bytes:
        """Return the animation as a GIF.

        Raises:
            ImportError: the package Pillow is not installed.
            RenderError: no renderer is installed, it failed, or it cannot draw these characters.
        """
        try:
            from PIL import Image
        except ModuleNotFoundError as error:
            raise ImportError(WORDS[self.lang]["no_pillow"]) from error
        images = [Image.open(io.BytesIO(picture.pipe("png"))).convert("RGB") for picture in self.pictures()]
        file = io.BytesIO()
        times = [round(1000 * scene.seconds) for scene in self.scenes]
        images[0].save(file, "GIF", save_all=True, append_images=images[1:], duration=times, loop=0)
        return file.getvalue()


def expressions(nodes: Iterable[Value]) -> dict[Value, str]:
    """Return a dict from each of `nodes` to its expression as Python code.

    The nodes are in an order in which operands come first. A part of an expression that is longer than
    LONGEST_EXPRESSION is replaced by "…".

    >>> from micrograd_cn.engine import graph_nodes
    >>> a, b = Value(2, "a"), Value(3, "b")
    >>> y = (a + b) * a - (a - b)
    >>> expressions(graph_nodes(y))[y]
    '(a + b) * a - (a - b)'
    """
    texts: dict[Value, str] = {}
    for node in nodes:
        if node.op is None:
            texts[node] = clean(node.label) or number(node.data)
            continue
        parts = []
        for slot, parent in enumerate(node.parents):
            inner, outer = _precedence(parent), node.op.notation.precedence
            last = slot == len(node.parents) - 1
            weaker = inner == outer and (len(node.parents) == 1 or last != node.op.notation.right_associative)
            part = texts[parent]
            parts.append(f"({part})" if outer and inner and part != "…" and (inner < outer or weaker) else part)
        texts[node] = _short(node.op.text(*parts))
    return texts


def equation(root: Value, texts: dict[Value, str]) -> str:
    """Return Python code that computes `root`, such as "y = tanh(w * x + b)".

    `texts` has the expressions of the graph's nodes, as the function `expressions` returns them.

    >>> from micrograd_cn.engine import graph_nodes
    >>> y = Value(2, "a") * 3
    >>> y.label = "y"
    >>> equation(y, expressions(graph_nodes(y)))
    'y = a * 3'
    """
    return f"{clean(root.label)} = {texts[root]}" if root.label and root.op else texts[root]


def _precedence(node: Value) -> int:
    """Return the precedence of the operator in the expression of `node`, or 0 if it never needs parentheses."""
    if node.op is None:
        return neg.notation.precedence if not node.label and number(node.data).startswith("-") else 0
    return node.op.notation.precedence


def _short(text: str) -> str:
    return text if len(text) <= LONGEST_EXPRESSION else "…"


BLOCK = re.compile(r'(<g id="(?:node|edge)\d+".*?\n</g>)', re.DOTALL)


def merged(frames: list[str], seconds: list[float], title: str, description: str) -> str:
    """Return one SVG that shows the SVGs `frames` one after the other, and then begins again.

    All frames have the same boxes and edges in the same order. `seconds` has the time for which each frame is shown.
    `title` and `description` are for screen readers, and a viewer shows the title as a tooltip. The names of the CSS
    classes depend on the frames, so the styles of two animations in one page do not mix.
    """
    forms = _Forms(frames, seconds)
    blocks = [BLOCK.split(frame) for frame in frames]
    text = "".join(forms.merge([block.split("\n") for block in same]) for same in zip(*blocks, strict=True))
    opening, _, rest = text.partition("<svg ")
    tag, _, inside = rest.partition(">")
    name = f"<title>{html.escape(title)}</title><desc>{html.escape(description)}</desc>"
    return f'{opening}<svg role="img" {tag}>{name}<style>{forms.style}</style>{inside}'


class _Forms:
    """Merge the texts of frames, and mark the lines that are not in all frames with CSS classes.

    There is a class for each set of frames. A line gets the class of the frames that have this line.
    """

    def __init__(self, frames: list[str], seconds: list[float]) -> None:
        self._seconds = seconds
        self._prefix = f"p{zlib.crc32(''.join(frames).encode()):08x}-"
        self._names: dict[tuple[int, ...], str] = {}

    def merge(self, frames: list[list[str]]) -> str:
        """Return the lines of `frames` as one text, in which each line that not all frames have gets a CSS class.

        `frames` has, for each frame, the lines of one part of the picture, such as a box. All lines with a class are
        inserted at one point: where the last frame has its first line that not all frames have, or before the end of
        the box, "</g>".
        """
        count = len(frames)
        where: dict[str, list[int]] = {}
        for i, lines in enumerate(frames):
            for line in dict.fromkeys(lines):
                where.setdefault(line, []).append(i)
        varying = [line for line, found in where.items() if len(found) < count and "> </text>" not in line]
        varying.sort(key=lambda line: line.startswith("<text"))  # a text is on top of a shape
        marked = [self._marked(line, tuple(where[line]), count) for line in varying]
        merged: list[str] = []
        for line in frames[-1]:
            if marked and (len(where[line]) < count or line == "</g>"):
                merged += marked
                marked = []
            if len(where[line]) == count:
                merged.append(line)
        assert not marked
        return "\n".join(merged)

    def _marked(self, line: str, found: tuple[int, ...], count: int) -> str:
        """Return the SVG element `line` with the CSS class for `found`, the indices of the frames that have it.

        `count` is the number of all frames. A viewer that plays no animation hides the element, unless the last frame
        has it.
        """
        name = self._names.setdefault(found, f"{self._prefix}{len(self._names)}")
        hidden = "" if found[-1] == count - 1 else ' visibility="hidden"'
        element, _, rest = line.partition(" ")
        return f'{element} class="{name}"{hidden} {rest}'

    @property
    def style(self) -> str:
        """The CSS that shows each class in its frames. Nothing moves if the user prefers reduced motion."""
        total = sum(self._seconds)
        starts = [100 * sum(self._seconds[:i]) / total for i in range(len(self._seconds))]
        rules = []
        for found, name in self._names.items():
            shown = [i in found for i in range(len(starts))]
            keys = [
                f"{start:.4g}%{{visibility:{'visible' if now else 'hidden'}}}"
                for i, (start, now) in enumerate(zip(starts, shown, strict=True))
                if i == 0 or now != shown[i - 1]
            ]
            end = f"100%{{visibility:{'visible' if shown[-1] else 'hidden'}}}"
            rules.append(f".{name}{{animation-name:{name}}}@keyframes {name}{{{''.join(keys)}{end}}}")
        timing = f'[class^="{self._prefix}"]{{animation:{total:g}s step-end infinite}}'
        return f"@media screen and (prefers-reduced-motion:no-preference){{{timing}{''.join(rules)}}}"
