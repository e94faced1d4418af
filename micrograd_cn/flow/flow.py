"""Record graphs, and write the page that steps through them, or an animation of one graph."""

from __future__ import annotations

import copy
import os
from array import array
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..engine import Value
from ..handwritten import GraphNode, Handwritten, is_handwritten
from ..text.words import WORDS, instead_of, language
from .columns import packed
from .graph import Graph
from .javascript import Rows
from .sheet import notebook_frame, sheet, words_of
from .texts import ERRORS, PAGE

if TYPE_CHECKING:
    from ..picture.animation import Animation

ENDINGS = ("", ".html", ".htm", ".svg", ".gif")  # of files that `Tape.save` writes


class Tape:
    """Record a graph in each step of a training run, for a page with a slider over the steps.

    Args:
        lang: the language that the page starts in, "en" or "zh". For None, it is the browser's language.

    Raises:
        ValueError: there are no words in the language `lang`.

    >>> w = Value(1, "w")
    >>> record = Tape()
    >>> for step in range(3):
    ...     loss = (w - 3) ** 2
    ...     record.snapshot(loss)
    ...     w.grad = 0.0
    ...     loss.backward()
    ...     w.data -= 0.25 * w.grad
    >>> len(record)
    3
    """

    def __init__(self, lang: str | None = None) -> None:
        self.lang = language(lang)
        self._chosen = lang
        self._rows = Rows()
        self._graphs: list[dict[str, Any]] = []
        self._snapshots: list[tuple[int, array[float]]] = []  # the graph's index, and the numbers
        self._last: Graph | None = None  # the last graph that was recorded, for an animation

    def __len__(self) -> int:
        return len(self._snapshots)

    def snapshot(self, root: Any) -> None:
        """Record the graph below `root` with its present numbers. Call this before the optimiser changes them.

        Like `draw_flow`, this method accepts a node of a class of your own, and then also records the gradients that
        your class has computed.

        Raises:
            TypeError: `root` is neither a `Value` nor a node of your own class that `draw_flow` accepts.
            ValueError: `root` is a constant, or the graph of your class has a cycle: a node depends on itself.
        """
        errors = ERRORS[self.lang]
        handwritten = is_handwritten(root)
        if handwritten:
            root = Handwritten(root).root
        if not isinstance(root, Value):
            found = errors["not_a_value"].format(kind=type(root).__name__)
            raise TypeError(found + instead_of(root, "draw_flow", self.lang))
        if not root.requires_grad:
            raise ValueError(errors["constant"].format(root=root))
        graph = Graph(root, handwritten)
        facts = graph.facts(self._rows)
        if facts not in self._graphs:
            self._graphs.append(facts)
        numbers = _numbers(graph)
        if handwritten:
            numbers.extend(node.grad for node in graph.nodes)
        self._snapshots.append((self._graphs.index(facts), numbers))
        self._last = graph

    @property
    def html(self) -> str:
        """The text of the HTML file.

        Raises:
            ValueError: nothing was recorded.
        """
        if not self._snapshots:
            raise ValueError(ERRORS[self.lang]["empty"])
        tapes = [packed([row for i, row in self._snapshots if i == graph]) for graph in range(len(self._graphs))]
        data = {
            "lang": self._chosen,
            "words": words_of(PAGE),
            "graphs": self._graphs,
            "tapes": tapes,
            "snapshots": [graph for graph, _ in self._snapshots],
            "expression": self._expression,
        }
        return sheet(self.lang, data, "stepper/stepper.js", {"rows.js": self._rows.module()}, PAGE)

    @property
    def _expression(self) -> str:
        """The heading of pictures that the page saves: the graph's expression; "" for several graphs or a long one."""
        from ..picture.animation import equation, expressions

        if len(self._graphs) > 1 or self._last is None:
            return ""
        text = equation(self._last.root, expressions(self._last.nodes))
        return "" if text == "…" else text

    def save(self, path: str | os.PathLike[str]) -> Path:
        """Write what was recorded to the file `path`, and return this path.

        The file is the page if `path` ends with ".html" or ".htm", or has no ending. If it ends with ".svg" or ".gif",
        the file is an animation of the forward and the backward pass of one graph. An animated SVG has no script, so it
        moves also where a README shows it. If the user prefers reduced motion, nothing moves, and all gradients are
        shown. A GIF needs the package Pillow. Both kinds of animation need a renderer, as `draw_dot` does.

        Raises:
            ValueError: nothing was recorded, or the file has another ending. For an animation: several graphs were
                recorded, the graph is too large, or a local derivative is not known.
            RuntimeError: for an animation, data has changed since the graph was recorded.
            ImportError: for a GIF, Pillow is not installed; for an animation, the package graphviz is not.
            RenderError: for an animation, no renderer is installed, or it failed.
        """
        path = Path(path)
        ending = path.suffix.lower()
        if ending not in ENDINGS:
            raise ValueError(WORDS[self.lang]["pass_ending"].format(path=path))
        if ending == ".svg":
            path.write_bytes(self._animation(path).svg.encode())
        elif ending == ".gif":
            path.write_bytes(self._animation(path).gif)
        else:
            path.write_bytes(self.html.encode())
        return path

    def _animation(self, path: Path) -> Animation:
        """Return the animation of the graph that was recorded. Error messages name the file `path`.

        Raises:
            ValueError: no graph was recorded, or several.
            RuntimeError: data has changed since the graph was recorded.
        """
        from ..picture.animation import Animation

        words = WORDS[self.lang]
        if self._last is None:
            raise ValueError(ERRORS[self.lang]["empty"])
        if len(self._snapshots) > 1:
            raise ValueError(words["pass_tape"].format(path=path, count=len(self._snapshots)))
        recorded, now = self._snapshots[0][1], _numbers(self._last)
        if recorded[: len(now)].tobytes() != now.tobytes():
            raise RuntimeError(words["pass_changed"].format(path=path))
        return Animation(self._last.root, self.lang, str(path))

    def _repr_html_(self) -> str:
        """Return the HTML that a notebook shows for this object: a frame that contains the page."""
        return notebook_frame(PAGE[self.lang]["title"], self.html)


def _numbers(graph: Graph) -> array[float]:
    """Return an array with the data of all nodes of `graph`, followed by all local derivatives."""
    numbers = [[node.data for node in graph.nodes], *[node.partials for node in graph.nodes]]
    return array("d", chain.from_iterable(numbers))


def draw_flow(root: GraphNode, lang: str | None = None) -> Tape:
    """Return a page that steps through the chain rule of the graph below `root`, one edge at a time.

    The page is one HTML file that needs no network. `.save("flow.html")` writes it, `.html` is its text, and a notebook
    shows it in a frame. `.save("pass.svg")` and `.save("pass.gif")` write an animation instead, for slides or a README.
    `draw_dot(root, step=k)` is the picture after k edges.

    The page starts before `backward()`, whatever gradients the graph has now, and it ends with the gradients of one
    `backward()`.

    Layers, neurons and each `scope` are boxes that open and close. In a large graph, neighbouring nodes are grouped
    into such boxes too, so a graph may have tens of thousands of nodes. To give each sample of a batch its own box,
    compute it inside `with scope("sample 1"):`.

    Nodes of a class of your own have a page too, if they keep `data`, `grad`, the operands in `_prev` and the name of
    the operation in `_op`. The steps follow the chain rule, and each box also shows the gradient that your class
    computed.

    ![The page at its end: all boxes have their gradients](../../demos/pictures/flow.en.png)

    A script can read what the page shows from attributes of the SVG's elements, which it finds by these selectors.
    Numbers have all their digits, and an attribute is "" if its number is not known yet.

    - `.node`: `data-name` is the node's label, or else a name such as "v3". The inputs of a network are "x1", "x2" and
      so on. If another node has the same name, a number is added, as in "x1#2". A closed box has the name of its layer,
      neuron or scope. `data-value` is the data. `data-grad` is the part of the gradient that has arrived up to this
      step; for a closed box it is the norm of the gradients of the leaves inside. `data-state` is waiting, partial or
      complete; a constant waits for nothing, so it is always complete. `data-theirs` is the gradient that a class of
      your own computed.
    - `.edge`: `data-src` is the name of the operand, and `data-dst` that of the result. `data-slot` is the index of the
      operand, or "" if several edges are drawn as one. `data-contribution` is the contribution, or the norm of several.
    - `#narration`: its text says what happens in the step.

    Add `#embed` to the address of the page for a compact page in a frame of another one.

    Args:
        root: the value to differentiate: a `Value`, a node of a class of your own, or a `Tape` of a training run.
        lang: the language that the page starts in, "en" or "zh". For None, the page of a `Tape` starts in the language
            of that `Tape`, and any other page starts in the browser's language.

    Raises:
        TypeError: `root` is neither a `Value`, nor a node of a class of your own with these attributes, nor a `Tape`.
        ValueError: `root` is a constant, there are no words in the language `lang`, or the graph of your class has a
            cycle: a node depends on itself.

    >>> a = Value(2, "a")
    >>> draw_flow(a + a, lang="en").html.startswith("<!doctype html>")
    True
    """
    if isinstance(root, Tape):
        translated = copy.copy(root)  # which shares the recording
        if lang is not None:
            translated.lang = translated._chosen = language(lang)
        return translated
    page = Tape(lang)
    page.snapshot(root)
    return page
